// SPDX-License-Identifier: BSD-2-Clause
/* Targets, as they are served. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "rpc_look.h"

const char *look_source(const struct rpc_context *x, const struct place *place)
{
	if (!place->file)
		return "command-line";
	if (x->state_file && !strcmp(place->file, x->state_file))
		return "state";
	return strcmp(place->file, "runtime") ? "file" : "runtime";
}

bool look_target(struct rpc_call *call, const json_t *params, unsigned int *index)
{
	const char *text = json_string_value(json_object_get(params, "target"));
	const struct config *c = live_running(call->context->live);
	unsigned int low = 0, high = c->target_count;
	char name[ISCSI_NAME_MAX + 1];

	if (!name_normalize(text, strlen(text), name))
		snprintf(name, sizeof(name), "%s", text);
	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		int order = strcmp(name, c->targets[middle].name);

		if (!order) {
			*index = middle;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	rpc_fail(call, RPC_NOT_FOUND, text, "target.list has all targets",
		 "there is no target %.223s", text);
	return false;
}

static json_t *range(const struct address_range *r)
{
	static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };
	bool is_v4 = r->bits >= 96 && !memcmp(r->address, v4, sizeof(v4));
	char address[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];

	inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? r->address + 12 : r->address, address,
		  sizeof(address));
	snprintf(text, sizeof(text), "%s/%u", address, is_v4 ? r->bits - 96u : r->bits);
	return json_string(text);
}

static json_t *allow(const struct config_target *t)
{
	json_t *list = json_array();

	if (t->allow_any)
		json_array_append_new(list, json_string("any"));
	for (unsigned int i = 0; i < t->allow_count; i++)
		json_array_append_new(list, rpc_text(t->allow[i]));
	for (unsigned int i = 0; i < t->from_count; i++)
		json_array_append_new(list, range(&t->from[i]));
	return list;
}

static json_t *users(const struct config_target *t)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < t->chap.count; i++)
		json_array_append_new(list, rpc_text(t->chap.user[i].account.user));
	return list;
}

/* As riser.conf(5) has it: "all", or numbers and "2-5". */
static json_t *luns_of(const struct lun_set *set)
{
	json_t *list = json_array();
	char text[32];

	if (lun_set_is_all(set)) {
		json_array_append_new(list, json_string("all"));
		return list;
	}
	for (unsigned int lun = 0, end; lun < LUN_SET_LUNS; lun = end + 1) {
		end = lun;
		if (!lun_set_has(set, lun))
			continue;
		while (end + 1 < LUN_SET_LUNS && lun_set_has(set, end + 1))
			end++;
		snprintf(text, sizeof(text), end > lun ? "%u-%u" : "%u", lun, end);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *who(const struct initiator_rule *rule)
{
	if (rule->by_address)
		return range(&rule->from);
	if (rule->user[0])
		return json_sprintf("user:%s", rule->user);
	return rule->name[0] ? rpc_text(rule->name) : json_string("any");
}

/* In the order that counts: the first that fits an initiator. */
static json_t *initiators(const struct config_target *t)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < t->rule_count; i++) {
		const struct nexus_rights *r = &t->rules[i].rights;

		json_array_append_new(list, json_pack("{so so so sI sI sI}", "who",
						      who(&t->rules[i]), "luns", luns_of(&r->sees),
						      "readonly", luns_of(&r->only_reads), "iops",
						      (json_int_t)r->limits.iops, "bandwidth",
						      (json_int_t)r->limits.bandwidth, "burst_ns",
						      (json_int_t)r->limits.burst_ns));
	}
	return list;
}

static json_t *text_or_null(const char *text)
{
	return *text ? rpc_text(text) : json_null();
}

/* sessions: how many each target has, by name. */
static json_t *target_json(const struct rpc_context *x, unsigned int index, const json_t *sessions)
{
	const struct config_target *t = &live_running(x->live)->targets[index];
	const struct scsi_target *scsi = live_target(x->live, index);
	json_t *luns = json_array(), *tags = json_array();

	for (unsigned int i = 0; i < t->lun_count; i++)
		json_array_append_new(luns,
				      look_lun(x, t, &t->luns[i], scsi->lun[t->luns[i].number]));
	for (unsigned int i = 0; i < scsi->port_count; i++)
		json_array_append_new(tags, json_integer(scsi->ports[i].tag));
	return json_pack("{so so so so so so so sI ss}", "name", rpc_text(t->name), "alias",
			 text_or_null(t->alias), "luns", luns, "allow", allow(t), "users", users(t),
			 "tags", tags, "redirect", text_or_null(t->redirect), "sessions",
			 json_integer_value(json_object_get(sessions, t->name)), "source",
			 look_source(x, &t->place));
}

static void count_session(const struct session_view *session, void *arg)
{
	const struct scsi_target *target = session->info.target;
	json_t *counts = arg;
	json_t *n;

	if (!target)
		return;
	n = json_object_get(counts, target->name);
	if (n)
		json_integer_set(n, json_integer_value(n) + 1);
	else
		json_object_set_new(counts, target->name, json_integer(1));
}

static json_t *count_sessions(const struct rpc_context *x)
{
	json_t *counts = json_object();

	server_view_sessions(live_server(x->live), count_session, counts);
	return counts;
}

static enum rpc_status target_list(struct rpc_call *call, const json_t *params, json_t **result)
{
	const struct rpc_context *x = call->context;
	json_t *sessions, *list = json_array();

	(void)params;
	live_look(x->live);
	sessions = count_sessions(x);
	for (unsigned int i = 0; i < live_running(x->live)->target_count; i++)
		json_array_append_new(list, target_json(x, i, sessions));
	live_look_end(x->live);
	json_decref(sessions);
	*result = list;
	return RPC_OK;
}

static enum rpc_status target_show(struct rpc_call *call, const json_t *params, json_t **result)
{
	const struct rpc_context *x = call->context;
	unsigned int index;
	json_t *sessions;

	live_look(x->live);
	if (!look_target(call, params, &index)) {
		live_look_end(x->live);
		return RPC_NOT_FOUND;
	}
	sessions = count_sessions(x);
	*result = target_json(x, index, sessions);
	json_object_set_new(*result, "initiators",
			    initiators(&live_running(x->live)->targets[index]));
	live_look_end(x->live);
	json_decref(sessions);
	return RPC_OK;
}

static const struct rpc_param show_params[] = {
	{ "target", RPC_STRING, true, "the name of the target" },
	{ 0 },
};

extern const struct rpc_method rpc_target_methods[];
const struct rpc_method rpc_target_methods[] = {
	{ "target.list", "every target with its LUNs, and who may log in", RPC_MONITOR, RPC_CONTROL,
	  NULL, target_list },
	{ "target.show", "one target, and what its initiators find there", RPC_MONITOR, RPC_CONTROL,
	  show_params, target_show },
	{ 0 },
};
