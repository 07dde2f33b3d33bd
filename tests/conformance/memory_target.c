// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target over the in-process transport that a test initiator reaches through a UNIX socket: two
 * RAM disks, two virtual reactors whose clocks follow the real one, all in one thread.
 *
 *     memory_target PATH [USER SECRET [OUR_USER OUR_SECRET]]
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "backstore.h"
#include "core/log.h"
#include "core/reactor_impl.h"
#include "lu.h"
#include "session.h"
#include "tests/conformance/memory_stream.h"
#include "transport/memory.h"

#define TARGET_NAME "iqn.2026-11.test:memory"

enum { DISKS = 2, REACTORS = 2, LINKS = 512, POLL_MS = 5, DRAIN_MS = 1000 };

/* An initiator's connection. */
struct link {
	struct list node; /* target.links */
	int fd;
	struct memory_peer *peer;
	struct stream stream;
};

struct target {
	struct slab *slab;
	struct reactor *reactor[REACTORS];
	struct backstore *bs[DISKS];
	struct lu *lu[DISKS];
	struct scsi_target scsi;
	struct target_config config;
	struct chap_user user;
	struct server *server;
	struct list links;
	unsigned int link_count, next; /* next: the reactor of the next connection */
	uint64_t clock; /* ns */
	int listener;
	bool stopped;
};

static volatile sig_atomic_t stop_asked;

static void on_signal(int sig)
{
	(void)sig;
	stop_asked = 1;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Lets everything happen that can happen now. */
static void settle(struct target *t)
{
	while (reactor_turn(t->reactor[0]) || reactor_turn(t->reactor[1]))
		;
}

static void keep_time(struct target *t)
{
	uint64_t passed = now() - t->clock;

	t->clock += passed;
	for (unsigned int i = 0; i < REACTORS; i++) {
		reactor_set_self(t->reactor[i]);
		reactor_advance(t->reactor[i], passed);
	}
	settle(t);
}

static void link_read(struct link *l)
{
	struct stream *s = &l->stream;
	ssize_t got = recv(l->fd, s->in + s->in_len, STREAM_IN - s->in_len, 0);
	struct conn *conn = memory_conn(l->peer);

	if (got > 0) {
		s->in_len += (size_t)got;
		return;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	s->stopped = true;
	if (conn)
		reactor_set_self(conn->reactor);
	memory_disconnect(l->peer);
}

static void link_write(struct link *l)
{
	struct stream *s = &l->stream;
	ssize_t sent = send(l->fd, s->out, s->out_len, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		s->out_len = 0; /* nobody reads any more */
	if (sent > 0) {
		s->out_len -= (size_t)sent;
		memmove(s->out, s->out + sent, s->out_len);
	}
}

static void link_new(struct target *t)
{
	int fd = accept4(t->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct reactor *r = t->reactor[t->next++ % REACTORS];
	struct link *l;

	if (fd < 0)
		return;
	l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->fd = fd;
	list_add_tail(&t->links, &l->node);
	t->link_count++;
	reactor_set_self(r);
	l->peer = memory_connect(r, &session_conn_up, t->server);
	if (!l->peer)
		abort();
	stream_init(&l->stream, l->peer);
	settle(t);
}

static void link_free(struct target *t, struct link *l)
{
	stream_free(&l->stream);
	memory_free(l->peer);
	list_del(&l->node);
	t->link_count--;
	close(l->fd);
	free(l);
}

/* Everything that is due for every link; those that are over go. */
static void serve(struct target *t)
{
	struct list *node = t->links.next;

	while (node != &t->links) {
		struct link *l = list_entry(node, struct link, node);

		node = node->next;
		while (stream_take(&l->stream)) {
			settle(t);
			stream_gather(&l->stream);
		}
		stream_gather(&l->stream);
		if (l->stream.out_len)
			link_write(l);
		if (!memory_conn(l->peer) && !l->stream.out_len)
			link_free(t, l);
	}
}

static void poll_once(struct target *t)
{
	struct pollfd fds[LINKS + 1] = { { .fd = t->listener, .events = POLLIN } };
	struct link *links[LINKS + 1];
	nfds_t count = 1;
	struct list *node;

	if (t->link_count >= LINKS)
		fds[0].events = 0;
	list_for_each(node, &t->links) {
		struct link *l = list_entry(node, struct link, node);
		const struct stream *s = &l->stream;
		bool in = !s->stopped && s->in_len < STREAM_IN;

		fds[count] = (struct pollfd){ .fd = l->fd };
		fds[count].events = (short)((in ? POLLIN : 0) | (s->out_len ? POLLOUT : 0));
		links[count++] = l;
	}
	if (poll(fds, count, POLL_MS) < 0)
		return;
	for (nfds_t i = 1; i < count; i++) {
		if (!links[i]->stream.stopped && fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			link_read(links[i]);
	}
	if (fds[0].revents & POLLIN)
		link_new(t);
}

/*
 * The target
 */

static bool disk_up(struct target *t, unsigned int i, char *why, size_t why_size)
{
	static const char *const spec[DISKS] = { "ram:64M,block-size=512",
						 "ram:16M,block-size=512" };
	static const char *const serial[DISKS] = { "MEMORY0000", "MEMORY0001" };
	struct lu_config config = { .product = "memory", .reactors = REACTORS };
	struct bs_spec parsed;

	config.serial = serial[i];
	if (bs_parse(spec[i], &parsed, why, why_size) || bs_open(&parsed, &t->bs[i], why, why_size))
		return false;
	config.bs = t->bs[i];
	if (lu_create(&config, &t->lu[i], why, why_size))
		return false;
	t->scsi.lun[i] = t->lu[i];
	return true;
}

static void set_account(struct chap_account *account, const char *user, const char *secret)
{
	size_t len = strlen(secret);

	assert(strlen(user) <= CHAP_NAME_MAX && len >= CHAP_SECRET_MIN && len <= CHAP_SECRET_MAX);
	snprintf(account->user, sizeof(account->user), "%s", user);
	memcpy(account->secret, secret, len);
	account->secret_len = (uint8_t)len;
}

static bool target_up(struct target *t, int argc, char **argv, char *why, size_t why_size)
{
	struct server_config config = { .target_count = 1, .reactor_count = REACTORS };

	if (slab_create(64u << 20, &t->slab))
		return false;
	for (unsigned int i = 0; i < REACTORS; i++) {
		if (reactor_create_virtual(t->slab, &t->reactor[i]))
			return false;
		t->reactor[i]->index = i;
	}
	for (unsigned int i = 0; i < DISKS; i++) {
		if (!disk_up(t, i, why, why_size))
			return false;
	}
	snprintf(t->scsi.name, sizeof(t->scsi.name), "%s", TARGET_NAME);
	t->scsi.ports[0].tag = t->scsi.ports[0].relative = 1;
	t->scsi.port_count = 1;
	if (argc > 3) {
		set_account(&t->user.account, argv[2], argv[3]);
		t->config.chap = (struct chap_users){ &t->user, 1 };
		config.discovery_chap = t->config.chap;
	}
	if (argc > 5)
		set_account(&t->user.mutual, argv[4], argv[5]);
	t->config.scsi = &t->scsi;
	t->config.allow_any = true;
	config.targets = &t->config;
	config.limits = server_default_limits;
	config.limits.login_failures = 0; /* all initiators share one address */
	config.reactors = t->reactor;
	return server_create(&config, &t->server) == 0;
}

static bool listen_at(struct target *t, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path))
		return false;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	t->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return t->listener >= 0 && !bind(t->listener, (struct sockaddr *)&addr, sizeof(addr)) &&
	       !listen(t->listener, LINKS);
}

static void stopped(void *arg)
{
	((struct target *)arg)->stopped = true;
}

static void target_down(struct target *t)
{
	server_stop(t->server, DRAIN_MS, stopped, t);
	while (!t->stopped || t->link_count) {
		keep_time(t);
		serve(t);
		poll_once(t);
	}
	server_destroy(t->server);
	for (unsigned int i = 0; i < DISKS; i++) {
		lu_destroy(t->lu[i]);
		bs_close(t->bs[i]);
	}
	for (unsigned int i = 0; i < REACTORS; i++)
		reactor_destroy(t->reactor[i]);
	slab_destroy(t->slab);
	close(t->listener);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	static struct target target;
	struct target *t = &target;
	char why[256] = "no memory";

	if (argc != 2 && argc != 4 && argc != 6) {
		fprintf(stderr, "usage: %s PATH [USER SECRET [OUR_USER OUR_SECRET]]\n", argv[0]);
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	list_init(&t->links);
	t->clock = now();
	if (!target_up(t, argc, argv, why, sizeof(why)) || !listen_at(t, argv[1])) {
		fprintf(stderr, "%s: %s\n", argv[1], why);
		return 1;
	}
	for (unsigned int i = 0; i < DISKS; i++)
		printf("iscsi+unix:%s/%s/%u\n", argv[1], TARGET_NAME, i);
	printf("ready\n");
	fflush(stdout);
	while (!stop_asked) {
		keep_time(t);
		serve(t);
		poll_once(t);
	}
	target_down(t);
	unlink(argv[1]);
	return 0;
}
