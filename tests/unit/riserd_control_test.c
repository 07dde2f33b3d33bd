// SPDX-License-Identifier: BSD-2-Clause
/* One client of the control socket, without the thread: deadlines, back-pressure, and requests that the main
 * thread has. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/lib/unit.h"
#include "tools/riserd/control_impl.h"

#define ASK(method, params) \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}\n"

static struct rpc_context context;
static struct control control;
static struct client *const c = &control.clients[0];
static int peer;

static void up(enum rpc_level level)
{
	int fds[2];

	log_set_level(LOG_LEVEL_ERROR);
	context = (struct rpc_context){ .events = events_new(), .control = &control };
	memset(&control, 0, sizeof(control));
	pthread_mutex_init(&context.lock, NULL);
	pthread_mutex_init(&control.lock, NULL);
	control.context = &context;
	control.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	control.main_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	list_init(&control.queued);
	list_init(&control.finished);
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
	client_open(c, &control, fds[0], level);
	peer = fds[1];
}

static void down(void)
{
	if (c->fd >= 0)
		client_close(c);
	CU_ASSERT_EQUAL(control.input_bytes, 0);
	CU_ASSERT_EQUAL(control.subscribers, 0);
	close(peer);
	close(control.wake_fd);
	close(control.main_fd);
	events_free(context.events);
}

/* What poll() would do. */
static void turn(void)
{
	for (unsigned int i = 0; i < 64 && c->fd >= 0; i++) {
		struct pollfd p = { .fd = c->fd, .events = client_wants(c) };

		poll(&p, 1, 0);
		client_event(c, p.revents);
	}
}

static void send_text(const char *text)
{
	CU_ASSERT_EQUAL(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turn();
}

/* Whether what has come has these words; it is gone then. */
static bool hears(const char *words)
{
	static char text[1 << 20];
	ssize_t n = recv(peer, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	if (n > 0 && strstr(text, words))
		return true;
	printf("# heard: %.200s\n", text);
	return false;
}

static bool hears_nothing(void)
{
	char byte;

	return recv(peer, &byte, 1, MSG_DONTWAIT) < 0;
}

static void a_line_has_to_end(void)
{
	uint64_t at;

	up(RPC_MONITOR);
	CU_ASSERT_EQUAL(client_deadline(c), 0);
	send_text("{\"jsonrpc\":");
	at = client_deadline(c);
	CU_ASSERT_TRUE(at > control_now());
	client_expire(c, at - 1);
	CU_ASSERT_TRUE(hears_nothing() && c->fd >= 0);
	client_expire(c, at);
	CU_ASSERT_TRUE(hears("this line has no end"));
	CU_ASSERT_EQUAL(c->fd, -1);
	down();
}

static void pieces_make_a_line(void)
{
	static const char text[] = ASK("log.get", "{}");

	up(RPC_MONITOR);
	for (const char *at = text; *at; at++) {
		send(peer, at, 1, MSG_NOSIGNAL);
		turn();
	}
	CU_ASSERT_TRUE(hears("\"level\":\"error\""));
	CU_ASSERT_EQUAL(client_deadline(c), 0);
	down();
}

static void monitors_have_short_lines(void)
{
	static char text[(64 << 10) + 4096];

	up(RPC_MONITOR);
	memset(text, ' ', sizeof(text) - 1);
	for (const char *at = text; *at && c->fd >= 0;) {
		ssize_t n = send(peer, at, strlen(at), MSG_NOSIGNAL);

		at += n > 0 ? n : 0;
		turn();
	}
	CU_ASSERT_TRUE(hears("too long"));
	CU_ASSERT_EQUAL(c->fd, -1);
	down();
}

/* It asks and asks and takes nothing: what is kept for it is bounded, and it is not listened to. */
static void who_reads_nothing_is_not_served(void)
{
	static const char ask[] = ASK("rpc.discover", "{}");
	uint64_t at;

	up(RPC_MONITOR);
	for (unsigned int i = 0; i < 10000; i++) {
		if (send(peer, ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0)
			break;
		if (i % 100 == 0)
			turn();
	}
	turn();
	CU_ASSERT_FALSE(client_wants(c) & POLLIN);
	CU_ASSERT_TRUE(client_wants(c) & POLLOUT);
	CU_ASSERT_TRUE(c->out.size <= 4 * CONTROL_OUTPUT_LOW);
	at = client_deadline(c);
	CU_ASSERT_TRUE(at > control_now());
	client_expire(c, at);
	CU_ASSERT_EQUAL(c->fd, -1);
	down();
}

/* A slow reader: the buffer does not grow with all that has gone through it. */
static void slow_readers_cost_no_more(void)
{
	static const char ask[] = ASK("rpc.discover", "{}");
	static char bytes[4096];

	up(RPC_MONITOR);
	for (unsigned int i = 0; i < 20000; i++) {
		send(peer, ask, sizeof(ask) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (i % 4 == 0)
			recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (i % 64 == 0)
			turn();
	}
	CU_ASSERT_TRUE(c->fd >= 0);
	CU_ASSERT_TRUE(c->out.size <= 4 * CONTROL_OUTPUT_LOW);
	down();
}

static struct main_call *queued(void)
{
	CU_ASSERT_FALSE_FATAL(list_empty(&control.queued));
	return list_entry(control.queued.next, struct main_call, node);
}

#define CHANGE ASK("alua.set", "{\"target\":\"iqn.a:b\",\"tag\":1,\"access\":\"standby\"}")

/* The socket takes at once what is too much to go on with: nothing else wakes us then. */
static void fast_readers_are_served_to_the_end(void)
{
	static const char ask[] = ASK("rpc.discover", "{}");
	int room = 8 << 20;
	unsigned int asked = 0;
	size_t taken = 0;
	static char bytes[1 << 20];
	ssize_t n;

	up(RPC_MONITOR);
	if (setsockopt(c->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	for (; asked < 40; asked++)
		CU_ASSERT_EQUAL(send(peer, ask, sizeof(ask) - 1, MSG_NOSIGNAL), sizeof(ask) - 1);
	/* As long as poll() would not sleep. */
	for (unsigned int i = 0; i < 1000 && c->fd >= 0; i++) {
		struct pollfd p = { .fd = c->fd, .events = client_wants(c) };

		if (!c->more && !poll(&p, 1, 0))
			break;
		client_event(c, c->more ? 0 : p.revents);
	}
	while ((n = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			asked -= bytes[i] == '\n';
		taken += (size_t)n;
	}
	CU_ASSERT_TRUE(taken > CONTROL_OUTPUT_LOW);
	CU_ASSERT_EQUAL(asked, 0);
	CU_ASSERT_PTR_NULL(c->text);
	down();
}

static void what_main_has_not_begun_is_taken_back(void)
{
	up(RPC_ADMIN);
	send_text(CHANGE);
	CU_ASSERT_TRUE(hears_nothing());
	CU_ASSERT_FALSE(client_wants(c) & POLLIN);
	CU_ASSERT_EQUAL(queued()->client, c);
	client_expire(c, client_deadline(c));
	CU_ASSERT_TRUE(hears("was not begun"));
	CU_ASSERT_TRUE(list_empty(&control.queued));
	send_text(ASK("log.get", "{}"));
	CU_ASSERT_TRUE(hears("level"));
	down();
}

static void what_main_has_begun_goes_on(void)
{
	struct main_call *call;

	up(RPC_ADMIN);
	send_text(CHANGE);
	call = queued();
	list_del(&call->node);
	call->running = true;
	client_expire(c, client_deadline(c));
	CU_ASSERT_TRUE(hears("it goes on"));
	CU_ASSERT_PTR_NULL(call->client);
	rpc_request_fail(&call->request, RPC_FAILED, "too late", NULL);
	list_add_tail(&control.finished, &call->node);
	queue_collect(&control);
	CU_ASSERT_TRUE(hears_nothing());
	down();
}

static void answers_of_main_come_back(void)
{
	struct main_call *call;

	up(RPC_ADMIN);
	send_text(CHANGE ASK("log.get", "{}"));
	call = queued();
	list_del(&call->node);
	call->running = true;
	rpc_request_fail(&call->request, RPC_BUSY, "not now", "later");
	list_add_tail(&control.finished, &call->node);
	queue_collect(&control);
	turn();
	CU_ASSERT_TRUE(hears("\"code\":-32005"));
	down();
}

static enum rpc_status nothing(struct rpc_call *call, const json_t *params, json_t **result)
{
	(void)call, (void)params;
	*result = json_true();
	return RPC_OK;
}

/* Between two of them a signal has its turn, however many are sent. */
static void main_runs_one_at_a_time(void)
{
	static const struct rpc_method method = { .name = "nothing", .call = nothing };
	struct pollfd p;

	up(RPC_ADMIN);
	for (unsigned int i = 0; i < 2; i++) {
		struct main_call *call = calloc(1, sizeof(*call));

		CU_ASSERT_PTR_NOT_NULL_FATAL(call);
		call->request.method = &method;
		list_add_tail(&control.queued, &call->node);
	}
	eventfd_write(control.main_fd, 2);
	p = (struct pollfd){ .fd = control.main_fd, .events = POLLIN };
	control_run_main(&control);
	CU_ASSERT_FALSE(list_empty(&control.queued));
	CU_ASSERT_EQUAL(poll(&p, 1, 0), 1);
	control_run_main(&control);
	CU_ASSERT_TRUE(list_empty(&control.queued));
	CU_ASSERT_EQUAL(poll(&p, 1, 0), 0);
	control_run_main(&control);
	queue_collect(&control);
	down();
}

/* What waits in the socket is not begun: a stop would take as long as that. */
static void nothing_begins_during_a_stop(void)
{
	up(RPC_MONITOR);
	control.stopping = true;
	send_text(ASK("log.get", "{}"));
	CU_ASSERT_TRUE(hears_nothing());
	down();
}

static void who_vanishes_is_forgotten(void)
{
	up(RPC_ADMIN);
	send_text(CHANGE);
	client_close(c);
	CU_ASSERT_TRUE(list_empty(&control.queued));
	down();
}

static void tell(unsigned int n)
{
	struct event e = { .type = EVENT_LUN, .lun = 1, .text = "x" };

	for (unsigned int i = 0; i < n; i++) {
		e.type = (enum event_type)(i % EVENT_TYPES);
		events_tell(context.events, &e);
	}
}

static void subscribers_hear_what_they_want(void)
{
	up(RPC_MONITOR);
	send_text(ASK("events.subscribe", "{\"types\":[\"lun\"]}"));
	CU_ASSERT_TRUE(hears("\"seq\":0"));
	CU_ASSERT_EQUAL(control.subscribers, 1);
	tell(EVENT_TYPES);
	turn();
	CU_ASSERT_TRUE(hears("\"method\":\"event\""));
	CU_ASSERT_TRUE(hears_nothing());
	send_text(ASK("events.subscribe", "{\"types\":[]}"));
	CU_ASSERT_EQUAL(control.subscribers, 0);
	CU_ASSERT_TRUE(hears("result"));
	tell(EVENT_TYPES);
	turn();
	CU_ASSERT_TRUE(hears_nothing());
	down();
}

static void what_was_missed_is_counted(void)
{
	up(RPC_MONITOR);
	send_text(ASK("events.subscribe", "{\"types\":[\"lun\"]}"));
	CU_ASSERT_TRUE(hears("seq"));
	tell(EVENTS_KEPT + 100);
	turn();
	CU_ASSERT_TRUE(hears("\"method\":\"events.lost\",\"params\":{\"count\":100}"));
	down();
}

UNIT_MAIN(TEST(a_line_has_to_end), TEST(pieces_make_a_line), TEST(monitors_have_short_lines),
	  TEST(who_reads_nothing_is_not_served), TEST(slow_readers_cost_no_more),
	  TEST(what_main_has_not_begun_is_taken_back), TEST(what_main_has_begun_goes_on),
	  TEST(answers_of_main_come_back), TEST(main_runs_one_at_a_time),
	  TEST(nothing_begins_during_a_stop), TEST(fast_readers_are_served_to_the_end),
	  TEST(who_vanishes_is_forgotten), TEST(subscribers_hear_what_they_want),
	  TEST(what_was_missed_is_counted));
