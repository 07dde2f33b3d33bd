// SPDX-License-Identifier: BSD-2-Clause
/*
 * One client of the control socket: lines in, one answer to each, in their order. Nothing is read from a
 * client that has not taken its answers, and nothing done; so what it can make us keep is one line, one
 * answer and what jansson makes of the line.
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

enum {
	READ_STEP = 64 << 10,
	MONITOR_REQUEST_MAX = 64 << 10,
	TOKENS_MAX = 500000, /* values of a text: each takes some hundred bytes */
	TURN = 64, /* requests for one client before others have their turn, */
	TURN_MS = 100, /* or so long: a reactor may have to be waited for */
};

/* --- Output */

static size_t unsent(const struct client *c)
{
	return c->out.len - c->out.sent;
}

static void append(struct client *c, const char *bytes, size_t len)
{
	struct output *o = &c->out;
	size_t size = o->size ? o->size : 4096;
	char *grown;

	if (c->closing)
		return;
	if (o->sent && size - o->len < len) {
		o->len -= o->sent;
		memmove(o->bytes, o->bytes + o->sent, o->len);
		o->sent = 0;
	}
	while (size - o->len < len)
		size *= 2;
	if (size != o->size) {
		grown = realloc(o->bytes, size);
		if (!grown) {
			log_error("control socket: no memory for an answer of %zu bytes", len);
			c->closing = true;
			return;
		}
		o->bytes = grown;
		o->size = size;
	}
	memcpy(o->bytes + o->len, bytes, len);
	o->len += len;
}

/* Takes text, which may be NULL. */
static void say(struct client *c, char *text)
{
	if (text) {
		append(c, text, strlen(text));
		append(c, "\n", 1);
	}
	free(text);
}

static void flush(struct client *c)
{
	struct output *o = &c->out;

	while (unsent(c)) {
		ssize_t n = trace_send(c, o->bytes + o->sent, unsent(c));

		if (n > 0) {
			o->sent += (size_t)n;
			c->stuck_since = 0;
		} else if (errno == EAGAIN) {
			if (!c->stuck_since)
				c->stuck_since = control_now();
			return;
		} else if (errno != EINTR) {
			client_close(c);
			return;
		}
	}
	c->stuck_since = 0;
	free(o->bytes);
	*o = (struct output){ 0 };
	if (c->closing)
		client_close(c);
}

/* The last that it hears. */
static void refuse(struct client *c, int code, const char *message, const char *hint)
{
	say(c, rpc_refusal(code, RPC_USAGE, message, hint));
	c->closing = true;
}

/* --- Answers */

/* Takes reply, which may be NULL. */
static void answer(struct client *c, char *reply)
{
	if (!json_is_array(c->text)) {
		say(c, reply);
		return;
	}
	if (reply) {
		append(c, c->opened ? "," : "[", 1);
		append(c, reply, strlen(reply));
		c->opened = true;
	}
	free(reply);
}

static void end_text(struct client *c)
{
	if (c->opened)
		append(c, "]\n", 2);
	json_decref(c->text);
	c->text = NULL;
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

	c->next++;
	if (!rpc_request_begin(&r, value)) {
		answer(c, rpc_request_reply(&r));
	} else if (r.method->thread == RPC_MAIN) {
		r.call.client = NULL;
		if (queue_call(c, &r))
			return;
		rpc_request_fail(&r, RPC_FAILED, "out of memory", NULL);
		answer(c, rpc_request_reply(&r));
	} else {
		rpc_request_run(&r);
		answer(c, rpc_request_reply(&r));
	}
	rpc_request_end(&r);
}

void client_finished(struct client *c, struct main_call *call)
{
	c->waits = NULL;
	c->line_since = control_now(); /* nobody has read meanwhile */
	answer(c, rpc_request_reply(&call->request));
	client_progress(c);
}

/* --- Lines */

static size_t request_max(const struct client *c)
{
	return c->level == RPC_ADMIN ? CONTROL_REQUEST_MAX : MONITOR_REQUEST_MAX;
}

static bool too_many_values(const char *line, size_t len)
{
	size_t values = 0;

	for (size_t i = 0; i < len; i++)
		values += line[i] == ',' || line[i] == '[' || line[i] == '{';
	return values > TOKENS_MAX;
}

static void begin_text(struct client *c, const char *line, size_t len)
{
	json_error_t error;
	char why[256];

	if (too_many_values(line, len)) {
		refuse(c, RPC_CODE_REQUEST, "this request has too many values",
		       "send it in several");
		return;
	}
	c->text = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!c->text) {
		snprintf(why, sizeof(why), "no JSON: %s at byte %d", error.text, error.position);
		say(c, rpc_refusal(RPC_CODE_PARSE, RPC_USAGE, why,
				   "one JSON text per line, in UTF-8"));
		return;
	}
	if (!json_is_array(c->text))
		return;
	if (!json_array_size(c->text) || json_array_size(c->text) > CONTROL_BATCH_MAX) {
		snprintf(why, sizeof(why), "a batch has 1 to %d requests", CONTROL_BATCH_MAX);
		say(c, rpc_refusal(RPC_CODE_REQUEST, RPC_USAGE, why, NULL));
		end_text(c);
	}
}

static void drop_input(struct client *c)
{
	c->control->input_bytes -= c->in_size;
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
		say(c, rpc_refusal(0, RPC_PERMISSION, "you may not use the control socket any more",
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
			refuse(c, RPC_CODE_REQUEST, "this request is too long",
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
	       unsent(c) <= CONTROL_OUTPUT_LOW) {
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
	full = unsent(c) > CONTROL_OUTPUT_LOW;
	if (c->fd >= 0)
		flush(c);
	/* All was taken at once: nothing but us goes on with the rest. */
	if (c->fd >= 0 && full && !unsent(c))
		c->more = true;
}

void client_tell_events(struct client *c)
{
	struct events *events = c->control->context->events;
	struct event e;

	if (!c->types || c->closing || events_last(events) == c->event || !still_may(c))
		return;
	while (!c->closing && unsent(c) <= CONTROL_OUTPUT_LOW &&
	       events_next(events, c->event, &e)) {
		if (e.seq != c->event + 1)
			say(c, events_lost_notification(e.seq - c->event - 1));
		c->event = e.seq;
		if (c->types & 1u << e.type)
			say(c, event_notification(&e));
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
		refuse(c, RPC_CODE_REQUEST, "too many long requests at once", "try again");
		return false;
	}
	grown = realloc(c->in, size);
	if (!grown) {
		refuse(c, RPC_CODE_INTERNAL, "out of memory", "try again");
		return false;
	}
	control->input_bytes += size - c->in_size;
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
		flush(c);
	if (c->fd >= 0 && revents & POLLIN && client_wants(c) & POLLIN)
		receive(c);
	else if (c->fd >= 0 && revents & (POLLHUP | POLLERR))
		client_close(c);
	if (c->fd >= 0)
		client_progress(c);
	if (c->fd >= 0 && c->over && !c->waits && !c->more && !c->text && !unsent(c))
		client_close(c);
}

short client_wants(const struct client *c)
{
	short events = 0;

	/* Its line is complete once there is a text: the next one can wait. */
	if (!c->waits && !c->text && !c->closing && !c->over && !c->more &&
	    unsent(c) <= CONTROL_OUTPUT_LOW)
		events |= POLLIN;
	if (unsent(c))
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

	if (queue_forget(c))
		rpc_request_fail(&r, RPC_TIMEOUT,
				 "riserd is busy with another change; this was not begun",
				 "try again when it is over");
	else
		rpc_request_fail(&r, RPC_TIMEOUT, "this takes long; it goes on",
				 "see riser events, or try again");
	answer(c, rpc_request_reply(&r));
	rpc_request_end(&r);
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
		refuse(c, RPC_CODE_REQUEST, "this line has no end",
		       "a request is one line, and complete within 10 s");
	client_progress(c);
}

void client_open(struct client *c, struct control *control, int fd, enum rpc_level level)
{
	*c = (struct client){
		.control = control, .fd = fd, .level = level, .idle_since = control_now()
	};
}

void client_close(struct client *c)
{
	if (c->waits)
		queue_forget(c);
	if (c->types)
		c->control->subscribers--;
	trace_end(c);
	drop_input(c);
	json_decref(c->text);
	free(c->out.bytes);
	close(c->fd);
	*c = (struct client){ .control = c->control, .fd = -1 };
}
