// SPDX-License-Identifier: BSD-2-Clause
/* Counters and latencies. All of them only grow: who wants rates asks twice. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control.h"
#include "core/slab.h"
#include "rpc_look.h"
#include "stats.h"

struct asking {
	const struct rpc_context *x;
	json_t *list;
	const char *target; /* NULL: any */
	bool buckets;
};

/* --- stats.get */

static json_t *counts_json(const struct lun_counts *c)
{
	return json_pack("{sI sI sI sI sI sI sI sI sI sI sI}", "commands", (json_int_t)c->commands,
			 "reads", (json_int_t)c->reads, "writes", (json_int_t)c->writes,
			 "read_bytes", (json_int_t)c->read_bytes, "write_bytes",
			 (json_int_t)c->write_bytes, "check_conditions",
			 (json_int_t)c->check_conditions, "conflicts", (json_int_t)c->conflicts,
			 "read_errors", (json_int_t)c->read_errors, "write_errors",
			 (json_int_t)c->write_errors, "verify_errors", (json_int_t)c->verify_errors,
			 "queue", (json_int_t)c->queue);
}

static void append_lun(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	struct asking *asking = arg;
	json_t *latency = json_object(), *json;
	struct lun_counts counts;

	if (asking->target && strcmp(asking->target, target->name) != 0)
		return;
	stats_of_lun(lu, asking->x->reactor_count, &counts);
	for (unsigned int kind = 0; kind < LATENCY_KINDS; kind++) {
		struct latency_sum sum = { 0 };

		lu_add_latency(lu, LATENCY_TOTAL, kind, &sum);
		json_object_set_new(latency, stats_kind_name(kind),
				    stats_latency_json(&sum, asking->buckets));
	}
	json = counts_json(&counts);
	json_object_set_new(json, "target", rpc_text(target->name));
	json_object_set_new(json, "lun", json_integer(lun));
	json_object_set_new(json, "latency", latency);
	json_array_append_new(asking->list, json);
}

static void append_session(const struct session_view *view, void *arg)
{
	const struct session_stats *st = view->stats;
	const struct scsi_target *target = view->info.target;
	struct asking *asking = arg;
	json_t *latency = json_object(), *json;
	uint64_t ended;
	char id[8];

	if (asking->target && (!target || strcmp(asking->target, target->name) != 0))
		return;
	for (unsigned int kind = 0; kind < LATENCY_KINDS; kind++) {
		struct latency_sum sum = { 0 };

		latency_add(&sum, &st->latency, kind);
		json_object_set_new(latency, stats_kind_name(kind),
				    stats_latency_json(&sum, asking->buckets));
	}
	snprintf(id, sizeof(id), "%u", view->info.tsih);
	json = json_pack("{ss so so ss sI sI sI sI sI sI so}", "session", id, "target",
			 target ? rpc_text(target->name) : json_null(), "initiator",
			 rpc_text(view->info.initiator), "transport", view->transport, "commands",
			 (json_int_t)st->commands, "read_bytes", (json_int_t)st->read_bytes,
			 "write_bytes", (json_int_t)st->write_bytes, "rejects",
			 (json_int_t)st->rejects, "task_management", (json_int_t)st->tmfs, "aborts",
			 (json_int_t)st->aborts, "latency", latency);
	/* In this order: what ends meanwhile must not make it negative. */
	ended = st->ended;
	json_object_set_new(json, "outstanding", json_integer((json_int_t)(st->commands - ended)));
	json_array_append_new(asking->list, json);
}

static json_t *reactors_json(const struct rpc_context *x)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < x->reactor_count; i++) {
		const struct reactor *r = x->reactors[i];
		const struct reactor_stats *st = &r->stats;

		json_array_append_new(
			list,
			json_pack("{si sI sI sI sI sI sI sI}", "index", (int)r->index, "busy_ns",
				  (json_int_t)st->busy_ns, "turns", (json_int_t)st->turns, "sleeps",
				  (json_int_t)st->sleeps, "completions",
				  (json_int_t)st->completions, "messages", (json_int_t)st->messages,
				  "bytes_copied", (json_int_t)st->bytes_copied, "connections",
				  (json_int_t)r->load));
	}
	return list;
}

static json_t *transports_json(const struct server_counts *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < SERVER_TRANSPORTS && c->transports[i].name; i++) {
		const struct transport_counts *t = &c->transports[i];

		json_array_append_new(list, json_pack("{ss sI sI sI sI sI}", "name", t->name,
						      "connections", (json_int_t)t->connections,
						      "closed", (json_int_t)t->closed, "read_bytes",
						      (json_int_t)t->read_bytes, "write_bytes",
						      (json_int_t)t->write_bytes, "bytes_copied",
						      (json_int_t)t->bytes_copied));
	}
	return list;
}

/* All that have a name. */
static json_t *named(const uint64_t *counts, unsigned int count,
		     const char *(*name)(unsigned int index))
{
	json_t *json = json_object();

	for (unsigned int i = 0; i < count; i++) {
		if (name(i))
			json_object_set_new(json, name(i), json_integer((json_int_t)counts[i]));
	}
	return json;
}

static void add_server(const struct rpc_context *x, json_t *json)
{
	struct server_counts c;

	server_count(live_server(x->live), &c);
	json_object_set_new(json, "transports", transports_json(&c));
	json_object_set_new(json, "logins", json_integer((json_int_t)c.logins));
	json_object_set_new(json, "redirects", json_integer((json_int_t)c.redirected));
	json_object_set_new(json, "login_failures", named(c.refusals, REFUSALS, refusal_name));
	json_object_set_new(json, "connections_lost", json_integer((json_int_t)c.lost));
	json_object_set_new(json, "digest_errors", json_integer((json_int_t)c.digest_errors));
	json_object_set_new(json, "sense", named(c.sense, SENSE_KEYS, sense_key_name));
	json_object_set_new(json, "task_management",
			    named(c.functions, TASK_FUNCTIONS, task_function_name));
	json_object_set_new(json, "rejects", named(c.rejects, REJECTS, reject_name));
}

static json_t *now_json(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return rpc_time(&now);
}

static enum rpc_status stats_get(struct rpc_call *call, const json_t *params, json_t **result)
{
	const struct rpc_context *x = call->context;
	struct asking luns = { .x = x,
			       .buckets = !json_is_false(json_object_get(params, "buckets")) };
	struct asking sessions = luns;
	unsigned int index;
	json_t *json;

	live_look(x->live);
	if (json_object_get(params, "target")) {
		if (!look_target(call, params, &index)) {
			live_look_end(x->live);
			return RPC_NOT_FOUND;
		}
		luns.target = sessions.target = live_running(x->live)->targets[index].name;
	}
	luns.list = json_array();
	sessions.list = json_array();
	live_each_lun(x->live, append_lun, &luns);
	server_view_sessions(live_server(x->live), append_session, &sessions);
	json = json_pack("{so so so so}", "time", now_json(), "luns", luns.list, "sessions",
			 sessions.list, "reactors", reactors_json(x));
	add_server(x, json);
	live_look_end(x->live);
	if (x->slab)
		json_object_set_new(json, "buffers",
				    json_pack("{sI sI}", "size", (json_int_t)slab_size(x->slab),
					      "in_use", (json_int_t)slab_in_use(x->slab)));
	*result = json;
	return RPC_OK;
}

/* --- latency.get */

struct latencies {
	const char *target; /* NULL: any */
	json_int_t lun; /* -1: any */
	bool reset, found, no_memory;
	struct latency_sum of[LATENCY_STAGES][LATENCY_KINDS];
};

static void add_lun(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	struct latencies *all = arg;

	if ((all->target && strcmp(all->target, target->name) != 0) ||
	    (all->lun >= 0 && all->lun != lun))
		return;
	all->found = true;
	for (unsigned int stage = 0; stage < LATENCY_STAGES; stage++) {
		for (unsigned int kind = 0; kind < LATENCY_KINDS; kind++)
			lu_latency_since(lu, stage, kind, &all->of[stage][kind]);
	}
	if (all->reset && !lu_reset_latency(lu))
		all->no_memory = true;
}

static json_t *latencies_json(const struct latencies *all)
{
	json_t *stages = json_object(), *kinds = json_object();

	for (unsigned int stage = 0; stage < LATENCY_STAGES; stage++) {
		struct latency_sum sum = { 0 };

		for (unsigned int kind = 0; kind < LATENCY_KINDS; kind++)
			latency_merge(&sum, &all->of[stage][kind]);
		json_object_set_new(stages, stats_stage_name(stage),
				    stats_latency_json(&sum, true));
	}
	for (unsigned int kind = 0; kind < LATENCY_KINDS; kind++) {
		json_t *of = json_object();

		for (unsigned int stage = 0; stage < LATENCY_STAGES; stage++)
			json_object_set_new(of, stats_stage_name(stage),
					    stats_latency_json(&all->of[stage][kind], true));
		json_object_set_new(kinds, stats_kind_name(kind), of);
	}
	return json_pack("{so so so}", "time", now_json(), "stages", stages, "operations", kinds);
}

/* Under live_look(). */
static enum rpc_status gather(struct rpc_call *call, const json_t *params, struct latencies *all)
{
	const struct rpc_context *x = call->context;
	const json_t *lun = json_object_get(params, "lun");
	unsigned int index;

	all->reset = json_is_true(json_object_get(params, "reset"));
	if (all->reset && call->level != RPC_ADMIN)
		return rpc_fail(call, RPC_PERMISSION, NULL, "leave out reset",
				"to begin again is for administrators, and you may only look");
	if (lun && !json_object_get(params, "target"))
		return rpc_fail(call, RPC_USAGE, "lun", "name the target, too",
				"a LUN without its target is no LUN");
	all->lun = lun ? json_integer_value(lun) : -1;
	if (json_object_get(params, "target")) {
		if (!look_target(call, params, &index))
			return RPC_NOT_FOUND;
		all->target = live_running(x->live)->targets[index].name;
	}
	live_each_lun(x->live, add_lun, all);
	if (all->no_memory)
		return rpc_fail(call, RPC_PARTLY, all->target, "try again",
				"out of memory: not all of them begin again");
	if (lun && !all->found)
		return rpc_fail(call, RPC_NOT_FOUND, all->target, "lun.list has all LUNs",
				"there is no LUN %lld", (long long)all->lun);
	return RPC_OK;
}

static enum rpc_status latency_get(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct latencies *all = calloc(1, sizeof(*all));
	enum rpc_status status;

	if (!all)
		return rpc_fail(call, RPC_FAILED, NULL, NULL, "out of memory");
	live_look(call->context->live);
	status = gather(call, params, all);
	if (status == RPC_OK)
		*result = latencies_json(all);
	live_look_end(call->context->live);
	free(all);
	return status;
}

static const struct rpc_param stats_params[] = {
	{ "target", RPC_STRING, false, "LUNs and sessions of this target only" },
	{ "buckets", RPC_BOOLEAN, false, "false: without the buckets of the latencies" },
	{ 0 },
};

static const struct rpc_param latency_params[] = {
	{ "target", RPC_STRING, false, "LUNs of this target only" },
	{ "lun", RPC_INTEGER, false, "this LUN of the target only" },
	{ "reset", RPC_BOOLEAN, false, "the next answer begins now; stats.get does not care" },
	{ 0 },
};

extern const struct rpc_method rpc_stats_methods[];
const struct rpc_method rpc_stats_methods[] = {
	{ "stats.get", "all counters, since the start", RPC_MONITOR, RPC_CONTROL, stats_params,
	  stats_get },
	{ "latency.get", "how long commands take, by stage and by operation", RPC_MONITOR,
	  RPC_CONTROL, latency_params, latency_get },
	{ 0 },
};
