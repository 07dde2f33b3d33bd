// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control socket. Input: a byte that says who the client is and how its bytes arrive, then what it
 * sends. Oracles: whatever that is, every line that comes back is one JSON object or array of them, with
 * a version and a result, an error with a word and an exit status, or a notification; what was read is
 * bounded; and the daemon goes on.
 *
 * Methods that open files of this machine are not its subject.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/slab.h"
#include "tests/fuzz/must.h"
#include "tools/riserd/control_impl.h"
#include "tools/riserd/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] = "portal 127.0.0.1:1 { }\n"
			     "target iqn.2026-11.test:one {\n"
			     "    allow = { any }\n"
			     "    lun 0 { path = \"ram:1M\" }\n"
			     "    lun 7 { path = \"null:1G\" serial = abc }\n"
			     "}\n"
			     "target iqn.2026-11.test:two { lun 0 { path = \"ram:1M\" } }\n";

/* --- A daemon without threads */

static struct world {
	struct rpc_context context;
	struct control control;
	struct reactor *reactor;
} world;

static int no_listen(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
		     void *ctx, struct listener **out, char *why, size_t why_size)
{
	(void)r, (void)addr, (void)up, (void)ctx, (void)why, (void)why_size;
	*out = NULL;
	return 0;
}

static void no_unlisten(struct listener *l)
{
	(void)l;
}

static const struct transport_ops transport = { .name = "tcp",
						.listen = no_listen,
						.unlisten = no_unlisten };

static const struct transport_ops *no_rdma(char *why, size_t why_size)
{
	snprintf(why, why_size, "none");
	return NULL;
}

static void turn(void *arg)
{
	struct world *w = arg;

	reactor_advance(w->reactor, NSEC_PER_MSEC);
}

static void complain_never(const struct complaint *c)
{
	fprintf(stderr, "%s\n", c->text);
	abort();
}

static void make_world(struct world *w)
{
	struct live_config cfg = { .reactors = &w->reactor,
				   .reactor_count = 1,
				   .tcp = &transport,
				   .load_rdma = no_rdma,
				   .turn = turn,
				   .turn_arg = w };
	struct config *c =
		config_parse_text("fuzz.conf", config, sizeof(config) - 1, false, complain_never);

	c->cpu_count = 1;
	log_set_level((enum log_level)0);
	MUST(!slab_create(4u << 20, &w->context.slab));
	MUST(!reactor_create_virtual(w->context.slab, &w->reactor));
	MUST(!live_create(&cfg, c, &w->context.live));
	w->context.events = events_new();
	w->context.reactors = &w->reactor;
	w->context.reactor_count = 1;
	w->context.turn = turn;
	w->context.turn_arg = w;
	w->context.control = &w->control;
	pthread_mutex_init(&w->context.lock, NULL);
	w->control.context = &w->context;
	w->control.listener = -1;
	w->control.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->control.main_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&w->control.lock, NULL);
	list_init(&w->control.queued);
	list_init(&w->control.finished);
}

/* Those that look at no file. */
static bool harmless(const char *method)
{
	return !strcmp(method, "alua.set") || !strcmp(method, "reservation.clear");
}

/* What the main thread does; true: there was something. */
static bool run_main(struct world *w)
{
	struct main_call *call;

	if (list_empty(&w->control.queued))
		return false;
	call = list_entry(w->control.queued.next, struct main_call, node);
	if (harmless(call->request.method->name)) {
		control_run_main(&w->control);
	} else {
		list_del(&call->node);
		rpc_request_fail(&call->request, RPC_FAILED, "not here", NULL);
		list_add_tail(&w->control.finished, &call->node);
	}
	queue_collect(&w->control);
	return true;
}

/* --- What comes back */

static void check_reply(const json_t *reply)
{
	const json_t *error = json_object_get(reply, "error"), *data;
	const char *version = json_string_value(json_object_get(reply, "jsonrpc"));

	MUST(version && !strcmp(version, "2.0"));
	if (json_object_get(reply, "method")) {
		MUST(!json_object_get(reply, "id") && json_object_get(reply, "params"));
		return;
	}
	MUST(json_object_get(reply, "id"));
	MUST(!error == !!json_object_get(reply, "result"));
	if (!error)
		return;
	data = json_object_get(error, "data");
	MUST(json_integer_value(json_object_get(error, "code")) < -32000);
	MUST(json_string_length(json_object_get(error, "message")) > 0);
	MUST(json_string_length(json_object_get(data, "name")) > 0);
	MUST(json_integer_value(json_object_get(data, "exit")) > 0);
}

static void check_line(const char *line, size_t len)
{
	json_t *json = json_loadb(line, len, 0, NULL), *one;
	size_t i;

	MUST(json);
	if (json_is_array(json)) {
		MUST(json_array_size(json) > 0);
		json_array_foreach(json, i, one) check_reply(one);
	} else {
		check_reply(json);
	}
	json_decref(json);
}

struct answers {
	char *bytes;
	size_t len, size;
};

static void take_answers(int fd, struct answers *a)
{
	char *end, *line;
	ssize_t n;

	for (;;) {
		if (a->size - a->len < 65536) {
			a->size = 2 * a->size + 65536;
			a->bytes = realloc(a->bytes, a->size);
		}
		n = recv(fd, a->bytes + a->len, a->size - a->len, MSG_DONTWAIT);
		if (n <= 0)
			break;
		a->len += (size_t)n;
	}
	line = a->bytes;
	while ((end = memchr(line, '\n', a->len - (size_t)(line - a->bytes)))) {
		check_line(line, (size_t)(end - line));
		line = end + 1;
	}
	a->len -= (size_t)(line - a->bytes);
	memmove(a->bytes, line, a->len);
}

/* --- One client */

static void settle(struct world *w, struct client *c, int peer, struct answers *a)
{
	unsigned int idle = 0;

	while (c->fd >= 0 && idle < 3) {
		struct pollfd p = { .fd = c->fd, .events = client_wants(c) };

		poll(&p, 1, 0);
		client_event(c, p.revents);
		idle = p.revents & POLLIN || c->more || run_main(w) ? 0 : idle + 1;
		take_answers(peer, a);
		MUST(w->control.input_bytes <= CONTROL_INPUT_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client *c = &world.control.clients[0];
	struct event e = { .type = EVENT_WARNING, .lun = -1, .text = "\xff" };
	struct answers answers = { 0 };
	size_t step;
	int fds[2];

	if (!world.context.live)
		make_world(&world);
	if (!size || size > 65536)
		return 0;
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
	client_open(c, &world.control, fds[0], data[0] & 1 ? RPC_ADMIN : RPC_MONITOR);
	step = data[0] & 2 ? 7 : 4096;
	for (size_t at = 1; at < size && c->fd >= 0; at += step) {
		size_t len = size - at < step ? size - at : step;

		MUST(send(fds[1], data + at, len, MSG_NOSIGNAL) == (ssize_t)len);
		settle(&world, c, fds[1], &answers);
	}
	events_tell(world.context.events, &e);
	if (c->fd >= 0) {
		send(fds[1], "\n", 1, MSG_NOSIGNAL);
		settle(&world, c, fds[1], &answers);
	}
	take_answers(fds[1], &answers);
	MUST(!answers.len || c->fd < 0);
	if (c->fd >= 0)
		client_close(c);
	MUST(!world.control.subscribers && !world.control.input_bytes);
	MUST(!world.control.output_bytes && !world.control.values);
	close(fds[1]);
	free(answers.bytes);
	return 0;
}
