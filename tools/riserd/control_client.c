// SPDX-License-Identifier: BSD-2-Clause
/*
 * One client of the control socket: lines in, one answer to each, in their order. Nothing is read from a
 * client that has not taken its answers, and nothing done; so what it can make us keep is one line, one
 * answer and what jansson makes of the line. Of each of these there is a limit for all clients together.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_impl.h"
#include "core/log.h"
#include "secret.h"

enum {
	READ_STEP = 64 << 10,
	MONITOR_REQUEST_MAX = 64 << 10,
	VALUES_MAX = CONTROL_VALUES_MAX / 2, /* of one text, */
	VALUES_LOW = 1000, /* and so many are always possible */
	TURN = 64, /* requests for one client before others have their turn, */
	TURN_MS = 100, /* or so long: a reactor may have to be waited for */
};

/* --- Answers */

/* Takes reply, which may be NULL. */
static void add_reply(struct client *c, char *reply)
{
	if (!json_is_array(c->text)) {
		client_say(c, reply);
		return;
	}
	if (reply) {
		client_append(c, c->opened ? "," : "[", 1);
		client_append(c, reply, strlen(reply));
		c->opened = true;
	}
	free(reply);
}

/* What cannot be said: that it was done must not be lost with it. */
static void leave_out(struct rpc_request *r, size_t len)
{
	char message[160];
	bool done = r->method && r->method->level == RPC_ADMIN;

	snprintf(message, sizeof(message),
		 "%sanswers that nobody reads have all memory there is for them, and this one has "
		 "%zu bytes",
		 done ? "this was done, but " : "", len);
	json_decref(r->result);
	r->result = NULL;
	rpc_request_fail(r, done ? RPC_PARTLY : RPC_BUSY, message,
			 "try again when other clients have read theirs");
}

static void answer(struct client *c, struct rpc_request *r)
{
	char *reply = rpc_request_reply(r);

	if (reply && !client_has_room(c, strlen(reply))) {
		leave_out(r, strlen(reply));
		free(reply);
		reply = rpc_request_reply(r);
	}
	if (!reply && r->id) {
		log_error("control socket: no memory for the answer of %s; its client is left",
			  r->call.method ? r->call.method : "a request");
		c->closing = true;
	}
	add_reply(c, reply);
}

/* Behind the answers before it; takes the request. */
static void answer_request(struct client *c, struct rpc_request *r)
{
	struct main_call *call = list_empty(&c->held) ? NULL : calloc(1, sizeof(*call));

	if (call) {
		call->request = *r;
		list_add_tail(&c->held, &call->node);
		return;
	}
	answer(c, r);
	rpc_request_end(r);
}

/* What is held can be answered. how: what became of the record. */
static void answer_held(struct client *c, const struct rpc_request *how)
{
	struct list *node;

	while ((node = list_pop(&c->held))) {
		struct main_call *call = list_entry(node, struct main_call, node);
		struct rpc_request *r = &call->request;

		if (how->status != RPC_OK && call->unsure && r->status == RPC_OK)
			r->status = rpc_fail(&r->call, how->status, how->call.object,
					     how->call.hint, "%s", how->call.message);
		answer(c, r);
		queue_free_call(call);
	}
}

/* What the batch has changed gets to the disk, all at once, before anybody hears of it. */
static void record(struct client *c)
{
	struct rpc_request r = { .method = NULL };

	if (queue_call(c, &r))
		return;
	rpc_request_fail(&r, RPC_PARTLY, "out of memory: this may be gone after a restart", NULL);
	answer_held(c, &r);
}

/* All that is held were changes, whose results are small; whatever else comes must not pile up there. */
static bool may_be_held(const struct client *c, const struct rpc_request *r)
{
	const struct main_call *last = list_entry(c->held.prev, struct main_call, node);

	return list_empty(&c->held) || (r->method && r->method->thread == RPC_MAIN && last->unsure);
}

static void drop_text(struct client *c)
{
	c->control->values -= c->values;
	json_decref(c->text);
	c->text = NULL;
	c->values = 0;
}

static void end_text(struct client *c)
{
	if (!list_empty(&c->held)) {
		record(c);
		return;
	}
	if (c->opened)
		client_append(c, "]\n", 2);
	drop_text(c);
	c->next = 0;
	c->opened = false;
}

/* The next request of the text, or the text itself. */
static void do_request(struct client *c)
{
	struct rpc_request r = {
		.call = { .context = c->control->context, .level = c->level, .client = c }
	};
	bool batch = json_is_array(c->text);
	json_t *value = batch ? json_array_get(c->text, c->next) : c->text;
	bool good = rpc_request_begin(&r, value);

	if (!may_be_held(c, &r)) {
		rpc_request_end(&r);
		record(c);
		return;
	}
	c->next++;
	if (good && r.method->thread == RPC_MAIN) {
		r.call.client = NULL;
		if (queue_call(c, &r))
			return;
		rpc_request_fail(&r, RPC_FAILED, "out of memory", NULL);
	} else if (good) {
		rpc_request_run(&r);
	}
	answer_request(c, &r);
}

bool client_finished(struct client *c, struct main_call *call)
{
	bool held = call->unsure || (call->request.method && !list_empty(&c->held));

	c->waits = NULL;
	c->line_since = control_now(); /* nobody has read meanwhile */
	if (held)
		list_add_tail(&c->held, &call->node);
	else if (call->request.method)
		answer(c, &call->request);
	else
		answer_held(c, &call->request);
	client_progress(c);
	return held;
}

/* --- Lines */

static size_t request_max(const struct client *c)
{
	return c->level == RPC_ADMIN ? CONTROL_REQUEST_MAX : MONITOR_REQUEST_MAX;
}

static size_t count_values(const char *line, size_t len)
{
	size_t values = 0;

	for (size_t i = 0; i < len; i++)
		values += line[i] == ',' || line[i] == '[' || line[i] == '{';
	return values;
}

/* Without what stands there, which may be a secret. */
static void no_json(struct client *c, json_error_t *error)
{
	char *near = strstr(error->text, " near "), why[256];

	snprintf(why, sizeof(why), "no JSON: %.*s at byte %d",
		 near ? (int)(near - error->text) : (int)sizeof(error->text), error->text,
		 error->position);
	secret_wipe(error->text, sizeof(error->text));
	client_say(c,
		   rpc_refusal(RPC_CODE_PARSE, RPC_USAGE, why, "one JSON text per line, in UTF-8"));
}

static void begin_text(struct client *c, const char *line, size_t len)
{
	size_t values = count_values(line, len);
	json_error_t error;
	char why[256];

	if (values > VALUES_MAX) {
		client_refuse(c, RPC_CODE_REQUEST, "this request has too many values",
			      "send it in several");
		return;
	}
	if (values > VALUES_LOW && c->control->values + values > CONTROL_VALUES_MAX) {
		client_refuse(c, RPC_CODE_REQUEST, "too many long requests at once", "try again");
		return;
	}
	c->text = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!c->text) {
		no_json(c, &error);
		return;
	}
	c->values = values;
	c->control->values += values;
	if (!json_is_array(c->text))
		return;
	if (!json_array_size(c->text) || json_array_size(c->text) > CONTROL_BATCH_MAX) {
		snprintf(why, sizeof(why), "a batch has 1 to %d requests", CONTROL_BATCH_MAX);
		client_say(c, rpc_refusal(RPC_CODE_REQUEST, RPC_USAGE, why, NULL));
		end_text(c);
	}
}

/* There may be secrets in it. */
static void drop_input(struct client *c)
{
	c->control->input_bytes -= c->in_size;
	if (c->in)
		secret_wipe(c->in, c->in_len);
	free(c->in);
	c->in = NULL;
	c->in_len = c->in_size = c->seen = 0;
}

/* A reload may have taken rights away since it came. False: all of them. */
static bool still_may(struct client *c)
{
	enum rpc_level level;
	uid_t uid;

	if (!control_peer_level(c->control->context, c->fd, &level, &uid)) {
		client_say(c, rpc_refusal(0, RPC_PERMISSION,
					  "you may not use the control socket any more",
					  "control { } names other groups by now"));
		c->closing = true;
		return false;
	}
	if (level < c->level) {
		c->level = level;
		trace_end(c);
	}
	return true;
}

/* The end of the first line, NULL: there is none yet. */
static char *line_end(struct client *c)
{
	char *end = c->in_len > c->seen ? memchr(c->in + c->seen, '\n', c->in_len - c->seen) : NULL;

	if (!end)
		c->seen = c->in_len;
	return end;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!strchr(" \t\r", line[i]) || !line[i])
			return false;
	}
	return true;
}

/* False: no line is complete. */
static bool next_line(struct client *c)
{
	char *end = line_end(c);
	size_t len;

	if (!end) {
		if (!c->in_len) {
			drop_input(c);
			c->line_since = 0;
		} else if (c->in_len > request_max(c)) {
			client_refuse(c, RPC_CODE_REQUEST, "this request is too long",
				      c->level == RPC_ADMIN ? "at most 4 MiB in one line"
							    : "at most 64 KiB in one line");
		}
		return false;
	}
	len = (size_t)(end - c->in);
	if (!is_blank(c->in, len) && still_may(c))
		begin_text(c, c->in, len);
	c->seen = 0;
	c->in_len -= len + 1;
	memmove(c->in, end + 1, c->in_len);
	secret_wipe(c->in + c->in_len, len + 1);
	c->line_since = c->idle_since = control_now();
	return true;
}

void client_progress(struct client *c)
{
	uint64_t until = control_now() + TURN_MS * NSEC_PER_MSEC;
	unsigned int turn = 0;
	bool full;

	c->more = false;
	while (c->fd >= 0 && !c->waits && !c->closing && !c->control->stopping &&
	       client_unsent(c) <= CONTROL_OUTPUT_LOW) {
		if (turn++ == TURN || control_now() > until) {
			c->more = true;
			break;
		}
		if (c->text &&
		    (json_is_array(c->text) ? c->next < json_array_size(c->text) : c->next == 0))
			do_request(c);
		else if (c->text)
			end_text(c);
		else if (!next_line(c))
			break;
	}
	if (c->fd >= 0 && !c->text)
		client_tell_events(c);
	full = client_unsent(c) > CONTROL_OUTPUT_LOW;
	if (c->fd >= 0)
		client_flush(c);
	/* All was taken at once: nothing but us goes on with the rest. */
	if (c->fd >= 0 && full && !client_unsent(c))
		c->more = true;
}

void client_tell_events(struct client *c)
{
	struct events *events = c->control->context->events;
	struct event e;

	if (!c->types || c->closing || events_last(events) == c->event || !still_may(c))
		return;
	while (!c->closing && client_unsent(c) <= CONTROL_OUTPUT_LOW &&
	       events_next(events, c->event, &e)) {
		if (e.seq != c->event + 1)
			client_say(c, events_lost_notification(e.seq - c->event - 1));
		c->event = e.seq;
		if (c->types & 1u << e.type)
			client_say(c, event_notification(&e));
	}
}

/* --- The socket */

/* Room for READ_STEP more bytes. */
static bool make_room(struct client *c)
{
	struct control *control = c->control;
	size_t size = c->in_size ? c->in_size : READ_STEP / 4;
	char *grown;

	while (size - c->in_len < READ_STEP / 8)
		size *= 2;
	if (size == c->in_size)
		return true;
	if (control->input_bytes - c->in_size + size > CONTROL_INPUT_MAX) {
		client_refuse(c, RPC_CODE_REQUEST, "too many long requests at once", "try again");
		return false;
	}
	grown = malloc(size);
	if (!grown) {
		client_refuse(c, RPC_CODE_INTERNAL, "out of memory", "try again");
		return false;
	}
	control->input_bytes += size - c->in_size;
	if (c->in) {
		memcpy(grown, c->in, c->in_len);
		secret_wipe(c->in, c->in_len);
	}
	free(c->in);
	c->in = grown;
	c->in_size = size;
	return true;
}

static void receive(struct client *c)
{
	ssize_t n;

	if (!make_room(c))
		return;
	n = recv(c->fd, c->in + c->in_len, c->in_size - c->in_len, MSG_DONTWAIT);
	if (n > 0) {
		if (!c->in_len)
			c->line_since = control_now();
		c->in_len += (size_t)n;
	} else if (!n) {
		/* It may have sent all that it has to say, and wait for the answers. */
		c->over = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		client_close(c);
	}
}

void client_event(struct client *c, short revents)
{
	if (revents & POLLOUT)
		client_flush(c);
	if (c->fd >= 0 && revents & POLLIN && client_wants(c) & POLLIN)
		receive(c);
	else if (c->fd >= 0 && revents & (POLLHUP | POLLERR))
		client_close(c);
	if (c->fd >= 0)
		client_progress(c);
	if (c->fd >= 0 && c->over && !c->waits && !c->more && !c->text && !client_unsent(c))
		client_close(c);
}

short client_wants(const struct client *c)
{
	short events = 0;

	/* Its line is complete once there is a text: the next one can wait. */
	if (!c->waits && !c->text && !c->closing && !c->over && !c->more &&
	    client_unsent(c) <= CONTROL_OUTPUT_LOW)
		events |= POLLIN;
	if (client_unsent(c))
		events |= POLLOUT;
	return events;
}

uint64_t client_deadline(const struct client *c)
{
	uint64_t at = UINT64_MAX, line = c->line_since + CONTROL_LINE_S * NSEC_PER_SEC;

	if (c->in_len && client_wants(c) & POLLIN)
		at = line;
	if (c->stuck_since && c->stuck_since + CONTROL_WRITE_S * NSEC_PER_SEC < at)
		at = c->stuck_since + CONTROL_WRITE_S * NSEC_PER_SEC;
	if (c->waits && c->waits->deadline < at)
		at = c->waits->deadline;
	return at == UINT64_MAX ? 0 : at;
}

static void give_up_waiting(struct client *c)
{
	struct rpc_request r = { .id = json_incref(c->waits->request.id) };
	bool request = c->waits->request.method;

	if (queue_forget(c))
		rpc_request_fail(&r, RPC_TIMEOUT,
				 "riserd is busy with another change; this was not begun",
				 "try again when it is over");
	else
		rpc_request_fail(&r, RPC_TIMEOUT, "this takes long; it goes on",
				 "see riser events, or try again");
	if (request)
		answer_request(c, &r);
	else
		answer_held(c, &r);
}

void client_expire(struct client *c, uint64_t now)
{
	uint64_t at = client_deadline(c);

	if (!at || now < at)
		return;
	if (c->stuck_since && now >= c->stuck_since + CONTROL_WRITE_S * NSEC_PER_SEC) {
		log_warn("control socket: a client does not read its answers, it is left");
		client_close(c);
		return;
	}
	if (c->waits && now >= c->waits->deadline)
		give_up_waiting(c);
	else
		client_refuse(c, RPC_CODE_REQUEST, "this line has no end",
			      "a request is one line, and complete within 10 s");
	client_progress(c);
}

void client_open(struct client *c, struct control *control, int fd, enum rpc_level level)
{
	*c = (struct client){
		.control = control, .fd = fd, .level = level, .idle_since = control_now()
	};
	list_init(&c->held);
}

void client_close(struct client *c)
{
	struct list *node;

	if (c->waits)
		queue_forget(c);
	/* Nobody hears of it, but it is in effect. */
	if (!list_empty(&c->held)) {
		record(c);
		if (c->waits)
			queue_forget(c);
	}
	while ((node = list_pop(&c->held)))
		queue_free_call(list_entry(node, struct main_call, node));
	if (c->types)
		c->control->subscribers--;
	trace_end(c);
	drop_input(c);
	drop_text(c);
	client_drop_output(c);
	close(c->fd);
	*c = (struct client){ .control = c->control, .fd = -1 };
}
