// SPDX-License-Identifier: BSD-2-Clause
/* The thread of the control socket. See control.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control_impl.h"
#include "core/log.h"

enum {
	ACCEPT_TURN =
		64 /* before clients have their turn: whoever may connect can go on for ever */
};

uint64_t control_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

void control_wake(struct control *control)
{
	eventfd_write(control->wake_fd, 1);
}

/* [any thread] An event: of interest only when somebody listens. */
static void wake_for_event(void *arg)
{
	struct control *control = arg;

	if (control->subscribers)
		control_wake(control);
}

/* --- Clients come */

static void turn_away(int fd, enum rpc_status status, const char *message, const char *hint)
{
	char *text = rpc_refusal(0, status, message, hint);

	if (text) {
		send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
		send(fd, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	free(text);
	close(fd);
}

/* A place that is free, or that of the client that has been idle for the longest. */
static struct client *find_place(struct control *control, enum rpc_level level)
{
	struct client *idle = NULL, *spare = NULL;
	unsigned int taken = 0;

	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &control->clients[i];

		taken += c->fd >= 0;
		if (c->fd < 0)
			spare = c;
		else if (!c->types && !c->waits && !c->text && !c->out.len && !c->capture &&
			 (!idle || c->idle_since < idle->idle_since))
			idle = c;
	}
	if (spare && (level == RPC_ADMIN || taken < CONTROL_CLIENTS - CONTROL_ADMIN_CLIENTS))
		return spare;
	if (!idle || control_now() - idle->idle_since < CONTROL_IDLE_S * NSEC_PER_SEC)
		return NULL;
	client_close(idle);
	return idle;
}

/* Since we were told last: who has gone before another came makes room for it. */
static void see_who_left(struct control *control)
{
	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &control->clients[i];
		struct pollfd p = { .fd = c->fd };

		if (c->fd < 0)
			continue;
		p.events = client_wants(c);
		if (poll(&p, 1, 0) == 1 && p.revents & POLLHUP)
			client_event(c, p.revents);
	}
}

static void accept_clients(struct control *control)
{
	static struct log_limit limit = LOG_LIMIT(5);
	unsigned int left = ACCEPT_TURN;
	enum rpc_level level;
	struct client *c;
	char hint[256];
	uid_t uid;
	int fd = 0;

	while (left--) {
		fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			break;
		if (!control_peer_level(control->context, fd, &level, &uid)) {
			log_write_limited(&limit, LOG_LEVEL_WARN,
					  "control socket: user %u is not allowed in",
					  (unsigned int)uid);
			turn_away(
				fd, RPC_PERMISSION, "you may not use the control socket",
				control_way_in(control->context, RPC_MONITOR, hint, sizeof(hint)));
			continue;
		}
		c = find_place(control, level);
		if (!c) {
			see_who_left(control);
			c = find_place(control, level);
		}
		if (c)
			client_open(c, control, fd, level);
		else
			turn_away(fd, RPC_BUSY, "too many clients on the control socket",
				  "close some, or try again");
	}
	if (fd >= 0)
		return;
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		log_write_limited(&limit, LOG_LEVEL_WARN, "control socket: cannot accept: %s",
				  strerror(errno));
		control->deaf_until = control_now() + NSEC_PER_SEC;
	}
}

/* --- The loop */

static int timeout_ms(const struct control *control, uint64_t now)
{
	uint64_t at = control->deaf_until;

	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		const struct client *c = &control->clients[i];
		uint64_t deadline = c->fd >= 0 ? client_deadline(c) : 0;

		if (c->fd >= 0 && c->more)
			return 0;
		if (deadline && (!at || deadline < at))
			at = deadline;
	}
	if (!at)
		return -1;
	return at <= now ? 0 : (int)((at - now) / NSEC_PER_MSEC + 1);
}

static void turn(struct control *control)
{
	struct pollfd fds[CONTROL_CLIENTS + 2];
	uint64_t now = control_now();
	eventfd_t n;

	if (control->deaf_until && now >= control->deaf_until)
		control->deaf_until = 0;
	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		const struct client *c = &control->clients[i];

		fds[i] = (struct pollfd){ .fd = c->fd,
					  .events = c->fd >= 0 ? client_wants(c) : (short)0 };
	}
	fds[CONTROL_CLIENTS] = (struct pollfd){ .fd = control->wake_fd, .events = POLLIN };
	fds[CONTROL_CLIENTS + 1] =
		(struct pollfd){ .fd = control->deaf_until ? -1 : control->listener,
				 .events = POLLIN };
	if (poll(fds, CONTROL_CLIENTS + 2, timeout_ms(control, now)) < 0)
		return;
	if (fds[CONTROL_CLIENTS].revents)
		eventfd_read(control->wake_fd, &n);
	queue_collect(control);
	now = control_now();
	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &control->clients[i];

		if (c->fd < 0)
			continue;
		client_event(c, fds[i].revents);
		if (c->fd >= 0)
			client_expire(c, now);
	}
	if (fds[CONTROL_CLIENTS + 1].revents)
		accept_clients(control);
}

static void *run(void *arg)
{
	struct control *control = arg;

	pthread_setname_np(pthread_self(), "control");
	while (!control->stopping)
		turn(control);
	queue_collect(control);
	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &control->clients[i];

		if (c->fd >= 0 && !c->waits)
			client_progress(c);
		if (c->fd >= 0)
			client_close(c);
	}
	return NULL;
}

/* --- From outside */

static int open_socket(struct control *control, const struct control_config *cfg)
{
	struct stat st;
	char why[512];
	int err;

	if (cfg->fd >= 0) {
		control->listener = cfg->fd;
		return 0;
	}
	err = control_listen(cfg->path, &control->listener, why, sizeof(why));
	if (err) {
		log_write(cfg->optional ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "%s", why);
		return err;
	}
	control->path = strdup(cfg->path);
	if (control->path && !stat(control->path, &st)) {
		control->dev = st.st_dev;
		control->ino = st.st_ino;
	}
	return control->path ? 0 : -ENOMEM;
}

static void destroy(struct control *control)
{
	struct list *node;
	struct stat st;

	/* Only what is ours: another one may have taken the place. */
	if (control->path && !stat(control->path, &st) && st.st_dev == control->dev &&
	    st.st_ino == control->ino)
		unlink(control->path);
	free(control->path);
	if (control->listener >= 0)
		close(control->listener);
	if (control->wake_fd >= 0)
		close(control->wake_fd);
	if (control->main_fd >= 0)
		close(control->main_fd);
	list_splice_tail(&control->finished, &control->queued);
	while ((node = list_pop(&control->finished)))
		queue_free_call(list_entry(node, struct main_call, node));
	pthread_mutex_destroy(&control->lock);
	free(control);
}

int control_start(const struct control_config *cfg, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	int err;

	*out = NULL;
	if (!control)
		return -ENOMEM;
	pthread_mutex_init(&control->lock, NULL);
	list_init(&control->queued);
	list_init(&control->finished);
	control->context = cfg->context;
	control->listener = -1;
	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++)
		control->clients[i].fd = -1;
	control->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	control->main_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = control->wake_fd < 0 || control->main_fd < 0 ? -errno : open_socket(control, cfg);
	if (!err) {
		cfg->context->control = control;
		events_set_waker(cfg->context->events, wake_for_event, control);
		err = -pthread_create(&control->thread, NULL, run, control);
	}
	if (err) {
		cfg->context->control = NULL;
		events_set_waker(cfg->context->events, NULL, NULL);
		destroy(control);
		return err;
	}
	*out = control;
	return 0;
}

void control_stop(struct control *control)
{
	if (!control)
		return;
	control->stopping = true;
	control_wake(control);
	pthread_join(control->thread, NULL);
	events_set_waker(control->context->events, NULL, NULL);
	control->context->control = NULL;
	destroy(control);
}

int control_main_fd(const struct control *control)
{
	return control ? control->main_fd : -1;
}
