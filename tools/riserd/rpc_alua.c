// SPDX-License-Identifier: BSD-2-Clause
/* Access states of portal groups, target by target (ALUA). */
#include <stdio.h>
#include <string.h>

#include "parse_impl.h"
#include "rpc_look.h"

static json_t *ports(const struct config *c, uint16_t tag)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->portal_count; i++) {
		if (c->portals[i].tag == tag)
			json_array_append_new(list, look_address(&c->portals[i].address));
	}
	return list;
}

static void append_groups(const struct rpc_context *x, unsigned int index, json_t *list)
{
	const struct config *c = live_running(x->live);
	const struct scsi_target *scsi = live_target(x->live, index);

	for (unsigned int i = 0; i < scsi->port_count; i++) {
		const struct target_port *p = &scsi->ports[i];
		json_t *group = json_pack("{so si ss sb so}", "target",
					  rpc_text(c->targets[index].name), "tag", p->tag, "access",
					  look_access((enum access_state)p->access), "preferred",
					  (int)p->preferred, "ports", ports(c, p->tag));

		json_array_append_new(list, group);
	}
}

static enum rpc_status alua_list(struct rpc_call *call, const json_t *params, json_t **result)
{
	const struct rpc_context *x = call->context;
	enum rpc_status status = RPC_OK;
	json_t *list = json_array();
	unsigned int index;

	live_look(x->live);
	if (!json_object_get(params, "target")) {
		for (index = 0; index < live_running(x->live)->target_count; index++)
			append_groups(x, index, list);
	} else if (look_target(call, params, &index)) {
		append_groups(x, index, list);
	} else {
		status = RPC_NOT_FOUND;
	}
	live_look_end(x->live);
	if (status == RPC_OK)
		*result = list;
	else
		json_decref(list);
	return status;
}

static const struct {
	const char *name;
	enum access_state state;
} states[] = {
	{ "optimized", ACCESS_OPTIMIZED }, { "non-optimized", ACCESS_NON_OPTIMIZED },
	{ "standby", ACCESS_STANDBY },	   { "unavailable", ACCESS_UNAVAILABLE },
	{ "offline", ACCESS_OFFLINE },
};

static enum rpc_status bad_access(struct rpc_call *call, const char *text)
{
	const char *names[array_size(states)], *near;

	for (unsigned int i = 0; i < array_size(states); i++)
		names[i] = states[i].name;
	near = parse_nearest(text, names, array_size(states));
	return rpc_fail(
		call, RPC_USAGE, text, near,
		"access takes optimized, non-optimized, standby, unavailable or offline%s%s%s",
		near ? "; is '" : "", near ? near : "", near ? "' meant?" : "");
}

static bool has_group(const struct scsi_target *scsi, json_int_t tag)
{
	for (unsigned int i = 0; i < scsi->port_count; i++) {
		if (scsi->ports[i].tag == tag)
			return true;
	}
	return false;
}

/* Under live_look(). */
static enum rpc_status set(struct rpc_call *call, const json_t *params, struct event *e)
{
	json_int_t tag = json_integer_value(json_object_get(params, "tag"));
	const char *text = json_string_value(json_object_get(params, "access"));
	struct live *live = call->context->live;
	unsigned int i = 0, index;

	while (i < array_size(states) && strcmp(states[i].name, text) != 0)
		i++;
	if (i == array_size(states))
		return bad_access(call, text);
	if (!look_target(call, params, &index))
		return RPC_NOT_FOUND;
	snprintf(e->target, sizeof(e->target), "%s", live_running(live)->targets[index].name);
	if (!has_group(live_target(live, index), tag))
		return rpc_fail(call, RPC_NOT_FOUND, e->target, "alua.list has those that it has",
				"the target has no portal group %lld", (long long)tag);
	if (json_is_true(json_object_get(params, "dry_run")))
		return RPC_OK;
	live_set_access(live, index, (uint16_t)tag, states[i].state);
	snprintf(e->reason, sizeof(e->reason), "%s", text);
	snprintf(e->text, sizeof(e->text), "portal group %d is %s by command", (int)tag, text);
	return RPC_OK;
}

static enum rpc_status alua_set(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct event e = { .type = EVENT_PATH, .lun = -1 };
	struct rpc_context *x = call->context;
	enum rpc_status status;

	live_look(x->live);
	status = set(call, params, &e);
	live_look_end(x->live);
	if (status != RPC_OK)
		return status;
	if (e.text[0])
		events_tell(x->events, &e);
	*result = json_pack("{so sO sO}", "target", rpc_text(e.target), "tag",
			    json_object_get(params, "tag"), "access",
			    json_object_get(params, "access"));
	return RPC_OK;
}

static const struct rpc_param list_params[] = {
	{ "target", RPC_STRING, false, "the portal groups of this target only" },
	{ 0 },
};

static const struct rpc_param set_params[] = {
	{ "target", RPC_STRING, true, "the name of the target" },
	{ "tag", RPC_INTEGER, true, "which of its portal groups" },
	{ "access", RPC_STRING, true, "optimized, non-optimized, standby, unavailable or offline" },
	{ "dry_run", RPC_BOOLEAN, false, "only look whether it could be" },
	{ 0 },
};

extern const struct rpc_method rpc_alua_methods[];
const struct rpc_method rpc_alua_methods[] = {
	{ "alua.list", "the access state of each portal group of each target", RPC_MONITOR,
	  RPC_CONTROL, list_params, alua_list },
	{ "alua.set", "gives a portal group another access state, until the next start", RPC_ADMIN,
	  RPC_MAIN, set_params, alua_set },
	{ 0 },
};
