// SPDX-License-Identifier: BSD-2-Clause
/* Initiators: who is logged in, by name and target. */
#include <stdio.h>
#include <string.h>

#include "rpc_look.h"

struct listing {
	json_t *list;
	json_t *by_name; /* "INITIATOR TARGET": the entry of list */
};

static void add_to(json_t *object, const char *key, uint64_t n)
{
	json_t *sum = json_object_get(object, key);

	json_integer_set(sum, json_integer_value(sum) + (json_int_t)n);
}

static json_t *new_entry(const struct session_detail *s)
{
	return json_pack(
		"{so so si s[] so}", "initiator", rpc_text(s->initiator), "target",
		*s->target ? rpc_text(s->target) : json_null(), "sessions", 0, "from", "stats",
		json_pack("{si si si si si si}", "commands", 0, "read_bytes", 0, "write_bytes", 0,
			  "rejects", 0, "task_management", 0, "aborts", 0));
}

static void add(const struct session_detail *s, void *arg)
{
	struct listing *l = arg;
	char key[sizeof(s->initiator) + sizeof(s->target) + 1];
	json_t *entry, *stats;

	snprintf(key, sizeof(key), "%s %s", s->initiator, s->target);
	entry = json_object_get(l->by_name, key);
	if (!entry) {
		entry = new_entry(s);
		json_object_set(l->by_name, key, entry);
		json_array_append_new(l->list, entry);
	}
	add_to(entry, "sessions", 1);
	for (unsigned int i = 0; i < s->connection_count; i++)
		json_array_append_new(json_object_get(entry, "from"),
				      json_string(s->connections[i].peer));
	stats = json_object_get(entry, "stats");
	add_to(stats, "commands", s->commands);
	add_to(stats, "read_bytes", s->read_bytes);
	add_to(stats, "write_bytes", s->write_bytes);
	add_to(stats, "rejects", s->rejects);
	add_to(stats, "task_management", s->task_management);
	add_to(stats, "aborts", s->aborts);
}

static enum rpc_status initiator_list(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct session_snapshot *snapshot;
	struct listing listing;
	unsigned int silent;

	(void)params;
	snapshot = look_sessions(call->context, 0, &silent);
	if (!snapshot)
		return rpc_fail(call, RPC_FAILED, NULL, NULL, "out of memory");
	listing = (struct listing){ json_array(), json_object() };
	session_snapshot_each(snapshot, add, &listing);
	session_snapshot_put(snapshot);
	json_decref(listing.by_name);
	*result = listing.list;
	if (silent)
		return rpc_fail(call, RPC_PARTLY, NULL, NULL,
				"%u reactors did not answer within %d ms", silent,
				CONTROL_SNAPSHOT_MS);
	return RPC_OK;
}

extern const struct rpc_method rpc_initiator_methods[];
const struct rpc_method rpc_initiator_methods[] = {
	{ "initiator.list", "who is logged in, by name and target", RPC_MONITOR, RPC_CONTROL, NULL,
	  initiator_list },
	{ 0 },
};
