// SPDX-License-Identifier: BSD-2-Clause
/* What a client of the control socket is told, until it has read it; how much all of them may leave unread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control_impl.h"
#include "core/log.h"

size_t client_unsent(const struct client *c)
{
	return c->out.len - c->out.sent;
}

/* How large the buffer has to be for so much more. */
static size_t size_for(const struct client *c, size_t len)
{
	size_t size = c->out.size ? c->out.size : 4096, needed = client_unsent(c) + len;

	while (size < needed && size < CONTROL_OUTPUT_SMALL)
		size *= 2;
	return size < needed ? needed + 4096 : size;
}

/* For an answer of this length. What is small is always kept, and a long one whatever its length is when
 * others do not hold too much. */
bool client_has_room(const struct client *c, size_t len)
{
	size_t max = c->level == RPC_ADMIN ? 2 * CONTROL_OUTPUT_MAX : CONTROL_OUTPUT_MAX;

	return size_for(c, len) <= CONTROL_OUTPUT_SMALL ||
	       c->control->output_bytes - c->out.size <= max;
}

void client_append(struct client *c, const char *bytes, size_t len)
{
	struct output *o = &c->out;
	size_t size = size_for(c, len);
	char *grown;

	if (c->closing)
		return;
	if (o->sent && o->size - o->len < len) {
		o->len -= o->sent;
		memmove(o->bytes, o->bytes + o->sent, o->len);
		o->sent = 0;
	}
	if (size != o->size) {
		grown = realloc(o->bytes, size);
		if (!grown) {
			log_error("control socket: no memory for an answer of %zu bytes", len);
			c->closing = true;
			return;
		}
		c->control->output_bytes += size - o->size;
		o->bytes = grown;
		o->size = size;
	}
	memcpy(o->bytes + o->len, bytes, len);
	o->len += len;
}

/* Takes text, which may be NULL. */
void client_say(struct client *c, char *text)
{
	if (text) {
		client_append(c, text, strlen(text));
		client_append(c, "\n", 1);
	}
	free(text);
}

void client_drop_output(struct client *c)
{
	c->control->output_bytes -= c->out.size;
	free(c->out.bytes);
	c->out = (struct output){ 0 };
	c->stuck_since = 0;
}

void client_flush(struct client *c)
{
	struct output *o = &c->out;

	while (client_unsent(c)) {
		ssize_t n = trace_send(c, o->bytes + o->sent, client_unsent(c));

		if (n > 0) {
			o->sent += (size_t)n;
			c->taken += (size_t)n;
		} else if (errno == EAGAIN) {
			if (!c->stuck_since || c->taken >= CONTROL_WRITE_MIN) {
				c->stuck_since = control_now();
				c->taken = 0;
			}
			return;
		} else if (errno != EINTR) {
			client_close(c);
			return;
		}
	}
	client_drop_output(c);
	if (c->closing)
		client_close(c);
}

/* The last that it hears. */
void client_refuse(struct client *c, int code, const char *message, const char *hint)
{
	client_say(c, rpc_refusal(code, RPC_USAGE, message, hint));
	c->closing = true;
}
