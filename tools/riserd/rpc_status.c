// SPDX-License-Identifier: BSD-2-Clause
/* The daemon as a whole. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "core/log.h"
#include "core/slab.h"
#include "options.h"

static json_t *reactor_json(const struct reactor *r, const struct config *config, uint64_t up_ns)
{
	const struct reactor_stats *st = &r->stats;

	return json_pack("{si si sf sI sI sI}", "index", r->index, "cpu", config->cpus[r->index],
			 "busy_ratio", up_ns ? (double)st->busy_ns / (double)up_ns : 0.0, "turns",
			 (json_int_t)st->turns, "sleeps", (json_int_t)st->sleeps, "connections",
			 (json_int_t)r->load);
}

struct looking {
	json_t *problems;
	unsigned int luns;
};

static void look_at(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	struct looking *looking = arg;
	const struct backstore *bs = lu_backstore(lu);
	char text[768];

	looking->luns++;
	if (!bs->flush_failed)
		return;
	snprintf(text, sizeof(text),
		 "%s LUN %u: %s: a flush has failed, written data may be lost; look at the disk, "
		 "then replace the LUN",
		 target->name, lun, bs->name);
	json_array_append_new(looking->problems, rpc_text(text));
}

static void look_at_hanging(const struct live_hanging *h, void *arg)
{
	struct looking *looking = arg;
	char text[1024];

	live_hanging_text(h, text, sizeof(text));
	json_array_append_new(looking->problems, rpc_text(text));
}

static void count_session(const struct session_view *session, void *arg)
{
	unsigned int *count = arg;

	(void)session;
	++*count;
}

static json_t *last_reload(struct rpc_context *x)
{
	json_t *json = json_null();

	pthread_mutex_lock(&x->lock);
	if (x->last_reload.ever)
		json = json_pack("{so sb so}", "time", rpc_time(&x->last_reload.time), "ok",
				 x->last_reload.ok, "message", rpc_text(x->last_reload.message));
	pthread_mutex_unlock(&x->lock);
	return json;
}

static json_t *text_or_null(const char *text)
{
	return text ? rpc_text(text) : json_null();
}

/* Under live_look(). */
static void add_live(struct rpc_context *x, json_t *json, uint64_t up_ns)
{
	const struct config *config = live_running(x->live);
	struct looking looking = { .problems = json_array() };
	json_t *reactors = json_array();
	unsigned int sessions = 0;

	live_each_lun(x->live, look_at, &looking);
	live_each_hanging(x->live, look_at_hanging, &looking);
	server_view_sessions(live_server(x->live), count_session, &sessions);
	for (unsigned int i = 0; i < x->reactor_count; i++)
		json_array_append_new(reactors, reactor_json(x->reactors[i], config, up_ns));
	json_object_set_new(json, "health",
			    json_string(json_array_size(looking.problems) ? "degraded" : "ok"));
	json_object_set_new(json, "problems", looking.problems);
	json_object_set_new(json, "targets", json_integer(config->target_count));
	json_object_set_new(json, "luns", json_integer(looking.luns));
	json_object_set_new(json, "sessions", json_integer(sessions));
	json_object_set_new(json, "portals", json_integer(config->portal_count));
	json_object_set_new(json, "reactors", reactors);
}

static enum rpc_status status(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct rpc_context *x = call->context;
	struct timespec now;
	uint64_t up_ns;
	json_t *json;

	(void)params;
	clock_gettime(CLOCK_MONOTONIC, &now);
	up_ns = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec - x->started_ns;
	json = json_pack("{ss si si so sI so so ss so}", "version", RISERD_VERSION, "api", 1, "pid",
			 (int)getpid(), "started", rpc_time(&x->started), "uptime_s",
			 (json_int_t)(up_ns / NSEC_PER_SEC), "config_file",
			 text_or_null(x->config_file), "state_file", text_or_null(x->state_file),
			 "log_level", rpc_log_level(), "last_reload", last_reload(x));
	if (x->slab)
		json_object_set_new(json, "buffers",
				    json_pack("{sI sI}", "size", (json_int_t)slab_size(x->slab),
					      "in_use", (json_int_t)slab_in_use(x->slab)));
	if (x->live) {
		live_look(x->live);
		add_live(x, json, up_ns);
		live_look_end(x->live);
	}
	*result = json;
	return RPC_OK;
}

extern const struct rpc_method rpc_status_methods[];
const struct rpc_method rpc_status_methods[] = {
	{ "status", "the daemon: version, health, how much it serves", RPC_MONITOR, RPC_CONTROL,
	  NULL, status },
	{ 0 },
};
