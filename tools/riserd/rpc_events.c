// SPDX-License-Identifier: BSD-2-Clause
/* Events: those that have been, and those to come. */
#include <string.h>

#include "control_impl.h"
#include "parse_impl.h"

static json_t *or_null(const char *text)
{
	return *text ? rpc_text(text) : json_null();
}

static json_t *event_json(const struct event *e)
{
	return json_pack("{sI so ss so so so so so so so}", "seq", (json_int_t)e->seq, "time",
			 rpc_time(&e->time), "type", event_type_names[e->type], "target",
			 or_null(e->target), "initiator", or_null(e->initiator), "from",
			 or_null(e->from), "session",
			 e->session ? json_sprintf("%u", e->session) : json_null(), "lun",
			 e->lun >= 0 ? json_integer(e->lun) : json_null(), "reason",
			 or_null(e->reason), "text", rpc_text(e->text));
}

char *event_notification(const struct event *e)
{
	json_t *json = json_pack("{ss ss so}", "jsonrpc", "2.0", "method", "event", "params",
				 event_json(e));
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

char *events_lost_notification(uint64_t count)
{
	json_t *json = json_pack("{ss ss s{sI}}", "jsonrpc", "2.0", "method", "events.lost",
				 "params", "count", (json_int_t)count);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

static enum rpc_status events_list(struct rpc_call *call, const json_t *params, json_t **result)
{
	json_int_t since = json_integer_value(json_object_get(params, "since"));
	struct events *events = call->context->events;
	struct event e;

	if (since < 0)
		return rpc_fail(call, RPC_USAGE, "since", NULL, "since takes a number from 0 on");
	*result = json_array();
	for (uint64_t seq = (uint64_t)since; events_next(events, seq, &e); seq = e.seq)
		json_array_append_new(*result, event_json(&e));
	return RPC_OK;
}

/* False: there is no such type. */
static bool add_type(const char *name, uint32_t *types)
{
	for (unsigned int i = 0; i < EVENT_TYPES; i++) {
		if (strcmp(name, event_type_names[i]) != 0)
			continue;
		*types |= 1u << i;
		return true;
	}
	return false;
}

static enum rpc_status events_subscribe(struct rpc_call *call, const json_t *params,
					json_t **result)
{
	const json_t *wanted = json_object_get(params, "types"), *item;
	struct client *c = call->client;
	uint32_t types = wanted ? 0 : (1u << EVENT_TYPES) - 1;
	const char *near;
	size_t i;

	json_array_foreach(wanted, i, item)
	{
		if (add_type(json_string_value(item), &types))
			continue;
		near = parse_nearest(json_string_value(item), event_type_names, EVENT_TYPES);
		return rpc_fail(call, RPC_USAGE, json_string_value(item), near,
				near ? "there are no events '%.48s'; is '%s' meant?"
				     : "there are no events '%.48s'",
				json_string_value(item), near);
	}
	if (!c)
		return rpc_fail(call, RPC_FAILED, NULL, NULL, "there is no client to tell events");
	c->control->subscribers += !c->types && types;
	c->control->subscribers -= c->types && !types;
	c->types = types;
	c->event = events_last(call->context->events);
	*result = json_pack("{sI}", "seq", (json_int_t)c->event);
	return RPC_OK;
}

static const struct rpc_param list_params[] = {
	{ "since", RPC_INTEGER, false, "only those after this number" },
	{ 0 },
};

static const struct rpc_param subscribe_params[] = {
	{ "types", RPC_STRINGS, false, "which ones; none: no more events; all unless given" },
	{ 0 },
};

extern const struct rpc_method rpc_events_methods[];
const struct rpc_method rpc_events_methods[] = {
	{ "events.list", "the last events, oldest first", RPC_MONITOR, RPC_CONTROL, list_params,
	  events_list },
	{ "events.subscribe", "from now on events come as notifications", RPC_MONITOR, RPC_CONTROL,
	  subscribe_params, events_subscribe },
	{ 0 },
};
