// SPDX-License-Identifier: BSD-2-Clause
/* What the status page shows, and asks for again and again: counters that only grow, as stats.get has them,
 * summed up by target. */
#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_impl.h"

struct target_sum {
	const struct scsi_target *target;
	unsigned int luns;
	struct lun_counts counts;
	struct latency_sum latency;
};

struct gather {
	const struct rpc_context *x;
	json_t *targets, *sessions;
	struct target_sum now;
	size_t session_count;
};

/* [[le_ns, count], ...] of those that are not empty; what is without end has 0. */
static json_t *buckets_json(const struct latency_sum *sum)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		uint64_t end = latency_bucket_end(i);

		if (sum->count[i])
			json_array_append_new(
				all, json_pack("[II]", (json_int_t)(end == UINT64_MAX ? 0 : end),
					       (json_int_t)sum->count[i]));
	}
	return all;
}

static void end_target(struct gather *g)
{
	const struct lun_counts *c = &g->now.counts;

	if (!g->now.target)
		return;
	json_array_append_new(
		g->targets,
		json_pack("{so si sI sI sI sI sI sI so}", "name", rpc_text(g->now.target->name),
			  "luns", (int)g->now.luns, "commands", (json_int_t)c->commands,
			  "read_bytes", (json_int_t)c->read_bytes, "write_bytes",
			  (json_int_t)c->write_bytes, "queue", (json_int_t)c->queue, "errors",
			  (json_int_t)(c->read_errors + c->write_errors + c->verify_errors),
			  "conflicts", (json_int_t)c->conflicts, "latency",
			  buckets_json(&g->now.latency)));
	memset(&g->now, 0, sizeof(g->now));
}

/* Units of a target follow each other. */
static void add_lun(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	struct gather *g = arg;
	struct lun_counts counts;

	(void)lun;
	if (target != g->now.target)
		end_target(g);
	g->now.target = target;
	g->now.luns++;
	stats_of_lun(lu, g->x->reactor_count, &counts);
	stats_add_counts(&g->now.counts, &counts);
	lu_add_latency(lu, LATENCY_TOTAL, LATENCY_READ, &g->now.latency);
	lu_add_latency(lu, LATENCY_TOTAL, LATENCY_WRITE, &g->now.latency);
}

static json_t *address_json(const struct address_range *from)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool v4 = !memcmp(from->address, mapped, sizeof(mapped));
	char text[INET6_ADDRSTRLEN];

	if (!from->bits)
		return json_string("");
	inet_ntop(v4 ? AF_INET : AF_INET6, from->address + (v4 ? sizeof(mapped) : 0), text,
		  sizeof(text));
	return json_string(text);
}

static void add_session(const struct session_view *view, void *arg)
{
	const struct session_info *info = &view->info;
	const struct session_stats *st = view->stats;
	struct gather *g = arg;

	if (g->session_count++ >= METRICS_SESSIONS_MAX)
		return;
	json_array_append_new(
		g->sessions,
		json_pack("{si so so so ss sb sI sI sI}", "id", (int)info->tsih, "target",
			  info->target ? rpc_text(info->target->name) : json_string(""),
			  "initiator", rpc_text(info->initiator), "from", address_json(&info->from),
			  "transport", view->transport, "chap", info->user != NULL, "commands",
			  (json_int_t)st->commands, "read_bytes", (json_int_t)st->read_bytes,
			  "write_bytes", (json_int_t)st->write_bytes));
}

/* The answer of a method without parameters; NULL: there is none. */
static json_t *call(struct rpc_context *x, const char *name)
{
	const struct rpc_method *method = rpc_find(name);
	struct rpc_call how = { .context = x, .method = name, .level = RPC_MONITOR };
	json_t *params = json_object(), *result = NULL;

	if (!method || !params || method->call(&how, params, &result) != RPC_OK)
		result = NULL;
	json_decref(params);
	return result;
}

static json_t *busy_json(struct metrics_view *v)
{
	json_t *list = json_array();

	metrics_look_busy(v);
	for (unsigned int i = 0; i < v->context->reactor_count; i++)
		json_array_append_new(list, json_real(v->busy.ratio[i]));
	return list;
}

json_t *metrics_json(struct metrics_view *v)
{
	struct gather *g = calloc(1, sizeof(*g));
	struct live *live = v->context->live;
	struct server_counts counts;
	json_int_t refused = 0;
	json_t *json;

	if (!g)
		return NULL;
	g->x = v->context;
	g->targets = json_array();
	g->sessions = json_array();
	live_look(live);
	live_each_lun(live, add_lun, g);
	end_target(g);
	server_view_sessions(live_server(live), add_session, g);
	metrics_count(v, &counts);
	live_look_end(live);
	for (unsigned int i = 0; i < REFUSALS; i++)
		refused += (json_int_t)counts.refusals[i];
	json = json_pack("{so* so so sI sI sI sI so}", "status", call(v->context, "status"),
			 "targets", g->targets, "sessions", g->sessions, "session_count",
			 (json_int_t)g->session_count, "logins", (json_int_t)counts.logins,
			 "login_failures", refused, "lost", (json_int_t)counts.lost, "busy",
			 busy_json(v));
	free(g);
	return json;
}
