// SPDX-License-Identifier: BSD-2-Clause
/*
 * PDUs of chosen sessions for `riser trace`. The client gets a descriptor of the memory that the reactors
 * write to (capture_wire.h) along with the answer, and reads there; the daemon writes no file. A trace
 * belongs to the client that has begun it and ends with its connection.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "capture.h"
#include "control_impl.h"

ssize_t trace_send(struct client *c, const void *bytes, size_t len)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	int fd;
	ssize_t n;

	if (!c->hands_over)
		return send(c->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	fd = capture_fd(c->capture);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		c->hands_over = false;
	return n;
}

void trace_end(struct client *c)
{
	struct server *server;

	if (!c->capture)
		return;
	server = live_server(c->control->context->live);
	/* Without memory for messages to the reactors they go on, for nobody, until the next trace. */
	server_capture(server, NULL, NULL);
	capture_put(c->capture);
	c->capture = NULL;
	c->hands_over = false;
}

/* --- What to capture */

struct match {
	const struct capture_filter *filter;
	bool found[CAPTURE_SESSIONS];
	unsigned int sessions; /* all that the filter wants */
};

static bool wants(const char *pattern, const char *name)
{
	return !pattern[0] || (name && !fnmatch(pattern, name, 0));
}

static void look_at(const struct session_info *s, void *arg)
{
	struct match *m = arg;
	const struct capture_filter *f = m->filter;
	bool named = !f->session_count;

	for (unsigned int i = 0; i < f->session_count; i++) {
		if (f->sessions[i] == s->tsih)
			named = m->found[i] = true;
	}
	m->sessions += named && wants(f->initiator, s->initiator) &&
		       wants(f->target, s->target ? s->target->name : NULL);
}

static enum rpc_status take_name(struct rpc_call *call, const json_t *params, const char *key,
				 char out[ISCSI_NAME_MAX + 1])
{
	const char *text = json_string_value(json_object_get(params, key));

	out[0] = '\0';
	if (!text || name_pattern(text, out))
		return RPC_OK;
	return rpc_fail(call, RPC_USAGE, text,
			"a name such as iqn.2026-11.net.example:a, or "
			"iqn.2026-11.net.example:*",
			"%s: '%.256s' is no iSCSI name, nor a pattern of names", key, text);
}

static enum rpc_status take_sessions(struct rpc_call *call, const json_t *params,
				     struct capture_filter *f)
{
	const json_t *list = json_object_get(params, "sessions"), *item;
	size_t i;

	if (json_array_size(list) > CAPTURE_SESSIONS)
		return rpc_fail(call, RPC_USAGE, NULL, "name a target or an initiator instead",
				"a trace takes at most %d sessions", CAPTURE_SESSIONS);
	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(item);
		char *end;
		unsigned long tsih = strtoul(text, &end, 10);

		if (*text < '0' || *text > '9' || *end || !tsih || tsih > UINT16_MAX)
			return rpc_fail(call, RPC_USAGE, text, "riser session list has them",
					"'%.64s' is no number of a session", text);
		f->sessions[f->session_count++] = (uint16_t)tsih;
	}
	return RPC_OK;
}

/* A target whose name was given in full has to be there, or a trace of nothing would look like silence. */
static enum rpc_status check(struct rpc_call *call, struct match *m)
{
	struct live *live = call->context->live;
	const struct capture_filter *f = m->filter;
	bool there = !f->target[0] || strchr(f->target, '*');

	live_look(live);
	for (unsigned int i = 0; i < live_running(live)->target_count && !there; i++)
		there = !strcmp(live_running(live)->targets[i].name, f->target);
	live_look_end(live);
	if (!there)
		return rpc_fail(call, RPC_NOT_FOUND, f->target, "riser target list has them",
				"there is no target %s", f->target);
	server_each_session(live_server(live), look_at, m);
	for (unsigned int i = 0; i < f->session_count; i++) {
		char id[8];

		snprintf(id, sizeof(id), "%u", f->sessions[i]);
		if (!m->found[i])
			return rpc_fail(call, RPC_NOT_FOUND, id, "riser session list has them",
					"there is no session %s", id);
	}
	return RPC_OK;
}

static enum rpc_status take_data(struct rpc_call *call, const json_t *params, uint32_t *data)
{
	const json_t *value = json_object_get(params, "snaplen");
	json_int_t n = value ? json_integer_value(value) : CAPTURE_DATA;

	*data = (uint32_t)n;
	if (n >= 0 && n <= CAPTURE_DATA_MAX)
		return RPC_OK;
	return rpc_fail(call, RPC_USAGE, "snaplen", NULL, "snaplen takes 0 to %d bytes",
			CAPTURE_DATA_MAX);
}

/* --- Methods */

static enum rpc_status begin(struct rpc_call *call, const struct capture_filter *filter,
			     uint32_t data)
{
	struct client *c = call->client;
	struct capture_config cfg = { .rings = call->context->reactor_count, .data = data };
	int err = capture_create(&cfg, &c->capture);

	if (!err)
		err = server_capture(live_server(call->context->live), c->capture, filter);
	if (!err) {
		c->hands_over = true;
		return RPC_OK;
	}
	capture_put(c->capture);
	c->capture = NULL;
	return rpc_fail(call, RPC_FAILED, NULL,
			"see the memory and the open files that riserd may have",
			"no memory for a trace: %s", strerror(-err));
}

static enum rpc_status trace_start(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct capture_filter filter = { 0 };
	struct match match = { .filter = &filter };
	struct client *c = call->client;
	enum rpc_status status;
	uint32_t data;

	if (!c || !call->context->live)
		return rpc_fail(call, RPC_FAILED, NULL, NULL, "there is nobody to hand a trace to");
	for (unsigned int i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->control->clients[i].capture)
			return rpc_fail(call, RPC_BUSY, NULL,
					"end the other riser trace, it stops with its connection",
					"somebody traces already");
	}
	status = take_name(call, params, "target", filter.target);
	if (!status)
		status = take_name(call, params, "initiator", filter.initiator);
	if (!status)
		status = take_sessions(call, params, &filter);
	if (!status)
		status = take_data(call, params, &data);
	if (!status)
		status = check(call, &match);
	if (!status)
		status = begin(call, &filter, data);
	if (!status)
		*result = json_pack("{si si si si}", "version", CAPTURE_VERSION, "sessions",
				    (int)match.sessions, "snaplen", (int)data, "rings",
				    (int)call->context->reactor_count);
	return status;
}

static enum rpc_status trace_stop(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct client *c = call->client;
	uint64_t written, lost;

	(void)params;
	if (!c || !c->capture)
		return rpc_fail(call, RPC_NOT_FOUND, NULL,
				"a trace is stopped by the connection that has begun it",
				"this client traces nothing");
	capture_count(c->capture, &written, &lost);
	trace_end(c);
	*result = json_pack("{sI sI}", "pdus", (json_int_t)written, "lost", (json_int_t)lost);
	return RPC_OK;
}

static const struct rpc_param start_params[] = {
	{ "target", RPC_STRING, false, "only sessions of this target; a name, which may have '*'" },
	{ "initiator", RPC_STRING, false, "only this initiator; a name, which may have '*'" },
	{ "sessions", RPC_STRINGS, false, "only these sessions, at most 16" },
	{ "snaplen", RPC_INTEGER, false,
	  "how many bytes are kept of the data of a SCSI command in each PDU; 256 unless given" },
	{ 0 },
};

extern const struct rpc_method rpc_trace_methods[];
const struct rpc_method rpc_trace_methods[] = {
	{ "trace.start",
	  "PDUs go to memory whose descriptor comes with the answer (SCM_RIGHTS), until the "
	  "connection ends",
	  RPC_ADMIN, RPC_CONTROL, start_params, trace_start },
	{ "trace.stop", "ends the trace of this connection", RPC_ADMIN, RPC_CONTROL, NULL,
	  trace_stop },
	{ 0 },
};
