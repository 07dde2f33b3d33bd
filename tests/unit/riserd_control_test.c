// SPDX-License-Identifier: BSD-2-Clause
/* One client of the control socket, without the thread: deadlines, back-pressure, and requests that the main
 * thread has. */
#include <stdlib.h>

#include "riserd_control_rig.h"

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

/* The main thread has this request, and its answer is long. */
static void answered_long(const char *ask)
{
	static char text[1 << 20];
	struct main_call *call;

	send_text(ask);
	call = queued();
	list_del(&call->node);
	call->running = true;
	memset(text, 'x', sizeof(text));
	call->request.result = json_stringn(text, sizeof(text));
	list_add_tail(&control.finished, &call->node);
	queue_collect(&control);
	turn();
}

/* When the answers that others do not read are so many bytes. */
static bool hears_long(enum rpc_level level, const char *ask, size_t others, const char *words)
{
	bool heard;

	up(level);
	control.output_bytes = others;
	answered_long(ask);
	heard = hears(words);
	client_close(c);
	CU_ASSERT_EQUAL(control.output_bytes, others);
	control.output_bytes = 0;
	down();
	return heard;
}

static void long_answers_are_bounded_in_all(void)
{
	static const char look[] = ASK("user.list", "{}");

	CU_ASSERT_TRUE(hears_long(RPC_MONITOR, look, CONTROL_OUTPUT_MAX, "xxxx"));
	CU_ASSERT_TRUE(hears_long(RPC_MONITOR, look, CONTROL_OUTPUT_MAX + 1,
				  "\"code\":-32005,\"message\":\"answers that nobody reads"));
}

/* What others do not read does not keep an administrator from his work; and what is done is not said to have
 * failed. */
static void administrators_have_more_room(void)
{
	CU_ASSERT_TRUE(hears_long(RPC_ADMIN, CHANGE, 2 * CONTROL_OUTPUT_MAX, "xxxx"));
	CU_ASSERT_TRUE(hears_long(RPC_ADMIN, CHANGE, 2 * CONTROL_OUTPUT_MAX + 1,
				  "\"code\":-32010,\"message\":\"this was done, but"));
}

/* Some bytes now and then are not reading. */
static void who_takes_his_answer_by_the_spoon_is_left(void)
{
	static char bytes[CONTROL_WRITE_MIN];
	uint64_t at;

	up(RPC_ADMIN);
	answered_long(CHANGE);
	at = client_deadline(c);
	CU_ASSERT(at > control_now());
	CU_ASSERT_EQUAL(recv(peer, bytes, sizeof(bytes) * 3 / 4, MSG_WAITALL),
			sizeof(bytes) * 3 / 4);
	turn();
	CU_ASSERT_EQUAL(client_deadline(c), at);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(recv(peer, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
		turn();
	}
	CU_ASSERT(client_deadline(c) > at);
	client_expire(c, client_deadline(c));
	CU_ASSERT_EQUAL(c->fd, -1);
	down();
}

/* Values take more memory than the bytes that they came in. */
static void long_requests_are_bounded_in_all(void)
{
	static char text[8192] = "[" CHANGE;
	size_t used = strlen(text) - 1; /* without the end of the line */

	up(RPC_ADMIN);
	used += (size_t)snprintf(text + used, sizeof(text) - used, ",[[]");
	while (used < 4096)
		used += (size_t)snprintf(text + used, sizeof(text) - used, ",[]");
	snprintf(text + used, sizeof(text) - used, "]]\n");
	send_text(text);
	CU_ASSERT(control.values > 2000 && control.values < 4096);
	CU_ASSERT_FALSE(list_empty(&control.queued));
	client_close(c);
	CU_ASSERT_EQUAL(control.values, 0);
	down();

	up(RPC_ADMIN);
	control.values = CONTROL_VALUES_MAX;
	send_text(ASK("log.get", "{}"));
	CU_ASSERT_TRUE(hears("level"));
	send_text(text);
	CU_ASSERT_TRUE(hears("too many long requests at once"));
	CU_ASSERT_EQUAL(c->fd, -1);
	control.values = 0;
	down();
}

/* What stood in front of the next line, and where the line was when it had less room. */
static void no_secret_stays_behind(void)
{
	static const char secret[] = "\"secret\":\"a secret of 20 bytes\"";
	static char text[64 << 10];
	char *in;

	up(RPC_ADMIN);
	snprintf(text, sizeof(text), "{\"id\":1,%s}\n{", secret);
	send_text(text);
	CU_ASSERT_TRUE(hears("jsonrpc"));
	in = c->in;
	CU_ASSERT_EQUAL_FATAL(c->in_len, 1);
	for (size_t i = 1; i < strlen(text); i++)
		CU_ASSERT_EQUAL(in[i], 0);
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
	  TEST(long_answers_are_bounded_in_all), TEST(administrators_have_more_room),
	  TEST(who_takes_his_answer_by_the_spoon_is_left), TEST(long_requests_are_bounded_in_all),
	  TEST(no_secret_stays_behind), TEST(what_main_has_not_begun_is_taken_back),
	  TEST(what_main_has_begun_goes_on), TEST(answers_of_main_come_back),
	  TEST(main_runs_one_at_a_time), TEST(nothing_begins_during_a_stop),
	  TEST(fast_readers_are_served_to_the_end), TEST(who_vanishes_is_forgotten),
	  TEST(subscribers_hear_what_they_want), TEST(what_was_missed_is_counted));
