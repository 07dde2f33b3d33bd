// SPDX-License-Identifier: BSD-2-Clause
/* Sessions: who is logged in. Each reactor tells of its own; one that does not answer in time is left out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/deadline.h"
#include "rpc_look.h"

/* Which sessions are meant; NULL or 0: any. */
struct filter {
	const char *target, *initiator;
	unsigned int tsih;
};

static bool matches(const struct filter *f, const struct session_detail *s)
{
	return (!f->target || !strcmp(f->target, s->target)) &&
	       (!f->initiator || !strcmp(f->initiator, s->initiator)) &&
	       (!f->tsih || f->tsih == s->tsih);
}

/* What was given, in the form that names have inside. */
struct wanted {
	struct filter filter;
	char target[ISCSI_NAME_MAX + 1], initiator[ISCSI_NAME_MAX + 1];
};

static const char *name_of(const json_t *params, const char *key, char out[ISCSI_NAME_MAX + 1])
{
	const char *text = json_string_value(json_object_get(params, key));

	if (text && !name_normalize(text, strlen(text), out))
		snprintf(out, ISCSI_NAME_MAX + 1, "%s", text);
	return text ? out : NULL;
}

static bool parse_filter(const json_t *params, struct wanted *w)
{
	const char *id = json_string_value(json_object_get(params, "session"));
	unsigned long tsih;
	char *end;

	*w = (struct wanted){ 0 };
	w->filter.target = name_of(params, "target", w->target);
	w->filter.initiator = name_of(params, "initiator", w->initiator);
	if (!id)
		return true;
	tsih = strtoul(id, &end, 10);
	w->filter.tsih = (unsigned int)tsih;
	return *id >= '0' && *id <= '9' && !*end && tsih && tsih <= UINT16_MAX;
}

/* --- The snapshot */

struct session_snapshot *look_sessions(struct rpc_context *x, unsigned int tsih,
				       unsigned int *silent)
{
	struct session_snapshot *snapshot;
	struct timespec deadline;

	if (server_snapshot(live_server(x->live), (uint16_t)tsih, &snapshot))
		return NULL;
	if (x->turn) {
		while ((*silent = session_snapshot_wait(snapshot, NULL)))
			x->turn(x->turn_arg);
		return snapshot;
	}
	deadline = deadline_in(deadline_passed(&x->hangs_until) ? CONTROL_SNAPSHOT_MS
								: CONTROL_SHORT_MS);
	*silent = session_snapshot_wait(snapshot, &deadline);
	if (*silent && deadline_passed(&x->hangs_until))
		x->hangs_until = deadline_in(CONTROL_HANGS_MS);
	return snapshot;
}

/* --- As JSON */

static json_t *or_null(const char *text)
{
	return *text ? rpc_text(text) : json_null();
}

static json_t *connections(const struct session_detail *s)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < s->connection_count; i++) {
		const struct connection_detail *c = &s->connections[i];

		json_array_append_new(list,
				      json_pack("{si ss ss sb sb}", "cid", c->cid, "peer", c->peer,
						"local", c->local, "header_digest",
						c->header_digest, "data_digest", c->data_digest));
	}
	return list;
}

json_t *look_session_stats(const struct session_detail *s)
{
	return json_pack("{sI sI sI sI sI sI}", "commands", (json_int_t)s->commands, "read_bytes",
			 (json_int_t)s->read_bytes, "write_bytes", (json_int_t)s->write_bytes,
			 "rejects", (json_int_t)s->rejects, "task_management",
			 (json_int_t)s->task_management, "aborts", (json_int_t)s->aborts);
}

static json_t *since(const struct session_detail *s)
{
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_REALTIME, &t);
	now = (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec - s->age_ns;
	t = (struct timespec){ (time_t)(now / NSEC_PER_SEC), (long)(now % NSEC_PER_SEC) };
	return rpc_time(&t);
}

static json_t *session_json(const struct session_detail *s)
{
	char isid[13];

	for (unsigned int i = 0; i < sizeof(s->isid); i++)
		snprintf(isid + 2 * i, 3, "%02x", s->isid[i]);
	return json_pack("{so so so ss si so si so ss ss so si si si sb so so}", "id",
			 json_sprintf("%u", s->tsih), "target", or_null(s->target), "initiator",
			 rpc_text(s->initiator), "isid", isid, "tsih", s->tsih, "user",
			 or_null(s->user), "tag", s->tag, "from",
			 s->connection_count ? json_string(s->connections[0].peer) : json_null(),
			 "transport", s->transport, "type", s->discovery ? "discovery" : "normal",
			 "since", since(s), "error_recovery_level", (int)s->error_recovery_level,
			 "outstanding", (int)s->outstanding, "reactor", (int)s->reactor, "ending",
			 s->ending, "connections", connections(s), "stats", look_session_stats(s));
}

struct listing {
	const struct filter *filter;
	json_t *list;
};

static void append(const struct session_detail *s, void *arg)
{
	const struct listing *l = arg;

	if (matches(l->filter, s))
		json_array_append_new(l->list, session_json(s));
}

static enum rpc_status bad_session(struct rpc_call *call, const json_t *params)
{
	return rpc_fail(call, RPC_USAGE, json_string_value(json_object_get(params, "session")),
			"session.list has the id of each", "a session is a number from 1 to 65535");
}

/* Only some reactors have told of theirs. */
static enum rpc_status incomplete(struct rpc_call *call, unsigned int silent)
{
	return rpc_fail(call, RPC_PARTLY, NULL, "look whether riserd is out of CPU, or stopped",
			"%u of %u reactors did not answer within %d ms", silent,
			call->context->reactor_count, CONTROL_SNAPSHOT_MS);
}

static enum rpc_status session_list(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct session_snapshot *snapshot;
	struct listing listing;
	struct wanted wanted;
	unsigned int silent;

	parse_filter(params, &wanted);
	snapshot = look_sessions(call->context, 0, &silent);
	if (!snapshot)
		return rpc_fail(call, RPC_FAILED, NULL, NULL, "out of memory");
	listing = (struct listing){ &wanted.filter, json_array() };
	session_snapshot_each(snapshot, append, &listing);
	session_snapshot_put(snapshot);
	*result = listing.list;
	return silent ? incomplete(call, silent) : RPC_OK;
}

static enum rpc_status session_show(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct session_snapshot *snapshot;
	struct listing listing;
	struct wanted wanted;
	unsigned int silent;

	if (!parse_filter(params, &wanted))
		return bad_session(call, params);
	snapshot = look_sessions(call->context, wanted.filter.tsih, &silent);
	if (!snapshot)
		return rpc_fail(call, RPC_FAILED, NULL, NULL, "out of memory");
	listing = (struct listing){ &wanted.filter, json_array() };
	session_snapshot_each(snapshot, append, &listing);
	session_snapshot_put(snapshot);
	*result = json_incref(json_array_get(listing.list, 0));
	json_decref(listing.list);
	if (*result)
		return RPC_OK;
	if (silent)
		return incomplete(call, silent);
	return rpc_fail(call, RPC_NOT_FOUND, json_string_value(json_object_get(params, "session")),
			"session.list has all sessions", "there is no session %u",
			wanted.filter.tsih);
}

/* --- The end of sessions */

struct kicking {
	const struct filter *filter;
	struct server *server;
	bool force, dry;
	json_t *busy, *ended;
	unsigned int found;
};

static void find_busy(const struct session_detail *s, void *arg)
{
	struct kicking *k = arg;

	if (!matches(k->filter, s) || s->ending)
		return;
	k->found++;
	if (s->outstanding)
		json_array_append_new(k->busy, json_sprintf("%u (%s, %u commands)", s->tsih,
							    s->initiator, s->outstanding));
}

static void end_one(const struct session_detail *s, void *arg)
{
	struct kicking *k = arg;

	if (matches(k->filter, s) && !s->ending &&
	    (k->dry || !server_end_session(k->server, s->tsih)))
		json_array_append_new(k->ended, json_sprintf("%u", s->tsih));
}

static enum rpc_status kick(struct rpc_call *call, struct session_snapshot *snapshot,
			    unsigned int silent, struct kicking *k)
{
	session_snapshot_each(snapshot, find_busy, k);
	if (!k->found && silent)
		return incomplete(call, silent);
	if (!k->found)
		return rpc_fail(call, RPC_NOT_FOUND, NULL, "session.list has all sessions",
				"nobody is logged in like that");
	if (json_array_size(k->busy) && !k->force) {
		char *names = json_dumps(k->busy, JSON_COMPACT);

		rpc_fail(call, RPC_BUSY, NULL, "force ends them with their commands",
			 "sessions have commands in progress: %.400s", names ? names : "");
		free(names);
		return RPC_BUSY;
	}
	session_snapshot_each(snapshot, end_one, k);
	return silent ? incomplete(call, silent) : RPC_OK;
}

static enum rpc_status session_kick(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct session_snapshot *snapshot;
	struct wanted wanted;
	struct kicking k = { .server = live_server(call->context->live),
			     .force = json_is_true(json_object_get(params, "force")),
			     .dry = json_is_true(json_object_get(params, "dry_run")) };
	enum rpc_status status;
	unsigned int silent;

	if (!parse_filter(params, &wanted))
		return bad_session(call, params);
	k.filter = &wanted.filter;
	if (!wanted.filter.target && !wanted.filter.initiator && !wanted.filter.tsih)
		return rpc_fail(call, RPC_USAGE, NULL, "name a session, a target or an initiator",
				"session.kick: whose session shall end?");
	snapshot = look_sessions(call->context, wanted.filter.tsih, &silent);
	if (!snapshot)
		return rpc_fail(call, RPC_FAILED, NULL, NULL, "out of memory");
	k.busy = json_array();
	k.ended = json_array();
	status = kick(call, snapshot, silent, &k);
	session_snapshot_put(snapshot);
	if (status == RPC_OK || status == RPC_PARTLY)
		*result = json_pack("{sO sb}", "sessions", k.ended, "dry_run", k.dry);
	json_decref(k.busy);
	json_decref(k.ended);
	return status;
}

static const struct rpc_param list_params[] = {
	{ "target", RPC_STRING, false, "those of this target only" },
	{ "initiator", RPC_STRING, false, "those of this initiator only" },
	{ 0 },
};

static const struct rpc_param show_params[] = {
	{ "session", RPC_STRING, true, "its id, from session.list" },
	{ 0 },
};

static const struct rpc_param kick_params[] = {
	{ "session", RPC_STRING, false, "its id, from session.list" },
	{ "target", RPC_STRING, false, "all sessions of this target" },
	{ "initiator", RPC_STRING, false, "all sessions of this initiator" },
	{ "force", RPC_BOOLEAN, false, "also those with commands in progress" },
	{ "dry_run", RPC_BOOLEAN, false, "only say which ones" },
	{ 0 },
};

extern const struct rpc_method rpc_session_methods[];
const struct rpc_method rpc_session_methods[] = {
	{ "session.list", "who is logged in, with connections and counters", RPC_MONITOR,
	  RPC_CONTROL, list_params, session_list },
	{ "session.show", "one session", RPC_MONITOR, RPC_CONTROL, show_params, session_show },
	{ "session.kick", "ends sessions; initiators may log in again", RPC_ADMIN, RPC_CONTROL,
	  kick_params, session_kick },
	{ 0 },
};
