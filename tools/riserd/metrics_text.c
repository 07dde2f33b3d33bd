// SPDX-License-Identifier: BSD-2-Clause
/*
 * The text format of Prometheus, version 0.0.4. All samples of a name stand together, so units and sessions
 * are visited once for each name.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/slab.h"
#include "metrics_impl.h"
#include "options.h"

struct writer {
	FILE *out;
	struct metrics_view *view;
	struct metrics_family {
		const char *name;
		void (*value)(struct writer *w, const struct lun_counts *c, const struct lu *lu);
	} const *family;
	char labels[2048]; /* target="..." and more, of what is being visited */
	unsigned int sessions;
	/* Latencies: of a unit, or of the target whose units are being visited. */
	const struct scsi_target *target;
	bool by_target, any;
	struct latency_sum of[LATENCY_STAGES][LATENCY_KINDS];
};

/* --- The format */

static void head(struct writer *w, const char *name, const char *type, const char *help)
{
	fprintf(w->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: names come from initiators and administrators. */
static void escape(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 3 < size; text++) {
		if (*text == '"' || *text == '\\')
			out[n++] = '\\';
		out[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
	}
	out[n] = '\0';
}

static void number(struct writer *w, const char *name, const char *labels, uint64_t value)
{
	fprintf(w->out, *labels ? "%s{%s} %lu\n" : "%s%s %lu\n", name, labels, value);
}

static void fraction(struct writer *w, const char *name, const char *labels, double value)
{
	fprintf(w->out, *labels ? "%s{%s} %.15g\n" : "%s%s %.15g\n", name, labels, value);
}

/* One label more than what is being visited has. */
static void labelled(struct writer *w, const char *name, const char *label, const char *value,
		     uint64_t n)
{
	const char *comma = w->labels[0] ? "," : "";

	fprintf(w->out, "%s{%s%s%s=\"%s\"} %lu\n", name, w->labels, comma, label, value, n);
}

static void one(struct writer *w, const char *name, const char *type, const char *help,
		uint64_t value)
{
	head(w, name, type, help);
	number(w, name, "", value);
}

static void named(struct writer *w, const char *name, const char *help, const char *label,
		  const uint64_t *counts, unsigned int count,
		  const char *(*name_of)(unsigned int index))
{
	head(w, name, "counter", help);
	for (unsigned int i = 0; i < count; i++) {
		if (name_of(i))
			labelled(w, name, label, name_of(i), counts[i]);
	}
}

/* --- The daemon */

static double seconds(const struct timespec *ts)
{
	return (double)ts->tv_sec + (double)ts->tv_nsec / 1e9;
}

static void write_reload(struct writer *w)
{
	struct rpc_context *x = w->view->context;
	struct timespec time = x->started;
	bool ok = true;

	pthread_mutex_lock(&x->lock);
	if (x->last_reload.ever) {
		ok = x->last_reload.ok;
		time = x->last_reload.time;
	}
	pthread_mutex_unlock(&x->lock);
	one(w, "riser_config_last_reload_success", "gauge",
	    "Whether the last change of the configuration was applied.", ok);
	head(w, "riser_config_last_reload_timestamp_seconds", "gauge",
	     "When that was; the start, if there was none.");
	fraction(w, "riser_config_last_reload_timestamp_seconds", "", seconds(&time));
}

static void write_daemon(struct writer *w)
{
	struct rpc_context *x = w->view->context;
	const struct config *c = live_running(x->live);

	head(w, "riser_build_info", "gauge", "The version of riserd; always 1.");
	fprintf(w->out, "riser_build_info{version=\"%s\"} 1\n", RISERD_VERSION);
	head(w, "riser_start_time_seconds", "gauge", "When riserd started, in Unix time.");
	fraction(w, "riser_start_time_seconds", "", seconds(&x->started));
	write_reload(w);
	one(w, "riser_targets", "gauge", "Targets.", c->target_count);
	one(w, "riser_portals", "gauge", "Portals.", c->portal_count);
	if (!x->slab)
		return;
	head(w, "riser_buffer_bytes", "gauge", "Memory for data in flight.");
	number(w, "riser_buffer_bytes", "state=\"used\"", slab_in_use(x->slab));
	number(w, "riser_buffer_bytes", "state=\"free\"",
	       slab_size(x->slab) - slab_in_use(x->slab));
}

static void write_reactors(struct writer *w)
{
	static const struct {
		const char *name, *type, *help;
		size_t at; /* in struct reactor_stats */
	} counters[] = {
		{ "riser_reactor_turns_total", "counter", "Turns of the loop.",
		  offsetof(struct reactor_stats, turns) },
		{ "riser_reactor_sleeps_total", "counter", "Times it slept.",
		  offsetof(struct reactor_stats, sleeps) },
		{ "riser_copied_bytes_total", "counter",
		  "Payload that the CPU has copied between network and disk.",
		  offsetof(struct reactor_stats, bytes_copied) },
	};
	const struct rpc_context *x = w->view->context;
	const struct config *c = live_running(x->live);
	char labels[64];

	metrics_look_busy(w->view);
	head(w, "riser_reactor_busy_seconds_total", "counter",
	     "Time with work to do, neither asleep nor looking for work.");
	for (unsigned int i = 0; i < x->reactor_count; i++) {
		snprintf(labels, sizeof(labels), "reactor=\"%u\",cpu=\"%d\"", i, c->cpus[i]);
		fraction(w, "riser_reactor_busy_seconds_total", labels,
			 (double)x->reactors[i]->stats.busy_ns / 1e9);
	}
	head(w, "riser_reactor_busy_ratio", "gauge", "The same since the last look, 0 to 1.");
	for (unsigned int i = 0; i < x->reactor_count; i++) {
		snprintf(labels, sizeof(labels), "reactor=\"%u\",cpu=\"%d\"", i, c->cpus[i]);
		fraction(w, "riser_reactor_busy_ratio", labels, w->view->busy.ratio[i]);
	}
	head(w, "riser_reactor_connections", "gauge", "Connections of the reactor.");
	for (unsigned int i = 0; i < x->reactor_count; i++) {
		snprintf(labels, sizeof(labels), "reactor=\"%u\"", i);
		number(w, "riser_reactor_connections", labels, x->reactors[i]->load);
	}
	for (unsigned int n = 0; n < array_size(counters); n++) {
		head(w, counters[n].name, counters[n].type, counters[n].help);
		for (unsigned int i = 0; i < x->reactor_count; i++) {
			const char *stats = (const char *)&x->reactors[i]->stats;

			snprintf(labels, sizeof(labels), "reactor=\"%u\"", i);
			number(w, counters[n].name, labels,
			       *(const _Atomic uint64_t *)(stats + counters[n].at));
		}
	}
}

/* --- The server */

static void write_transports(struct writer *w, const struct server_counts *c)
{
	const struct transport_counts *t, *end = c->transports + SERVER_TRANSPORTS;

	head(w, "riser_transport_connections", "gauge", "Connections there are.");
	for (t = c->transports; t < end && t->name; t++)
		labelled(w, "riser_transport_connections", "transport", t->name, t->connections);
	head(w, "riser_transport_bytes_total", "counter", "Payload, by transport.");
	for (t = c->transports; t < end && t->name; t++) {
		fprintf(w->out,
			"riser_transport_bytes_total{transport=\"%s\",direction=\"read\"} %lu\n"
			"riser_transport_bytes_total{transport=\"%s\",direction=\"write\"} %lu\n",
			t->name, t->read_bytes, t->name, t->write_bytes);
	}
	head(w, "riser_transport_copied_bytes_total", "counter",
	     "Payload that the CPU has copied, by transport; some seconds late.");
	for (t = c->transports; t < end && t->name; t++)
		labelled(w, "riser_transport_copied_bytes_total", "transport", t->name,
			 t->bytes_copied);
	head(w, "riser_rdma_errors_total", "counter", "Errors of RDMA connections and devices.");
	for (t = c->transports; t < end && t->name; t++) {
		for (const struct transport_error *e = t->errors; e && e->name; e++)
			labelled(w, "riser_rdma_errors_total", "kind", e->name, e->count);
	}
}

static void write_server(struct writer *w)
{
	struct server_counts c;

	w->labels[0] = '\0';
	metrics_count(w->view, &c);
	one(w, "riser_logins_total", "counter", "Connections that have logged in.", c.logins);
	one(w, "riser_login_redirects_total", "counter", "Logins that were sent elsewhere.",
	    c.redirected);
	named(w, "riser_login_failures_total", "Logins refused or given up.", "reason", c.refusals,
	      REFUSALS, refusal_name);
	one(w, "riser_connections_lost_total", "counter",
	    "Connections that were logged in and ended without a Logout.", c.lost);
	one(w, "riser_digest_errors_total", "counter", "Data whose CRC32C was wrong.",
	    c.digest_errors);
	named(w, "riser_sense_total", "CHECK CONDITIONs by sense key.", "key", c.sense, SENSE_KEYS,
	      sense_key_name);
	named(w, "riser_task_management_total", "Task management functions.", "function",
	      c.functions, TASK_FUNCTIONS, task_function_name);
	named(w, "riser_rejects_total", "PDUs that were rejected.", "reason", c.rejects, REJECTS,
	      reject_name);
	write_transports(w, &c);
}

/* --- Sessions */

struct session_group {
	const struct scsi_target *target;
	const char *transport;
	uint64_t count;
};
struct session_groups {
	struct session_group *of;
	size_t count, room;
};

static void group_session(const struct session_view *view, void *arg)
{
	struct session_groups *groups = arg;
	struct session_group *g = groups->of, *end = g + groups->count;

	while (g < end && (g->target != view->info.target || g->transport != view->transport))
		g++;
	if (g == end && groups->count == groups->room) {
		size_t room = groups->room ? 2 * groups->room : 64;

		g = realloc(groups->of, room * sizeof(*g));
		if (!g)
			return;
		groups->of = g;
		groups->room = room;
		g += groups->count;
	}
	if (g == groups->of + groups->count) {
		*g = (struct session_group){ view->info.target, view->transport, 0 };
		groups->count++;
	}
	g->count++;
}

static void label_session(struct writer *w, const struct session_view *view)
{
	char target[512] = "", initiator[512];

	if (view->info.target)
		escape(target, sizeof(target), view->info.target->name);
	escape(initiator, sizeof(initiator), view->info.initiator);
	snprintf(w->labels, sizeof(w->labels),
		 "target=\"%s\",initiator=\"%s\",session=\"%u\",transport=\"%s\"", target,
		 initiator, view->info.tsih, view->transport);
}

static void write_session_commands(const struct session_view *view, void *arg)
{
	struct writer *w = arg;

	if (view->discovery || w->sessions++ >= METRICS_SESSIONS_MAX)
		return;
	label_session(w, view);
	number(w, "riser_session_commands_total", w->labels, view->stats->commands);
}

static void write_session_bytes(const struct session_view *view, void *arg)
{
	struct writer *w = arg;

	if (view->discovery || w->sessions++ >= METRICS_SESSIONS_MAX)
		return;
	label_session(w, view);
	labelled(w, "riser_session_bytes_total", "direction", "read", view->stats->read_bytes);
	labelled(w, "riser_session_bytes_total", "direction", "write", view->stats->write_bytes);
}

static void write_sessions(struct writer *w)
{
	struct server *server = live_server(w->view->context->live);
	struct session_groups groups = { 0 };

	server_view_sessions(server, group_session, &groups);
	head(w, "riser_sessions", "gauge", "Sessions; those for discovery have no target.");
	for (size_t i = 0; i < groups.count; i++) {
		const struct session_group *g = &groups.of[i];
		char target[512] = "";

		if (g->target)
			escape(target, sizeof(target), g->target->name);
		snprintf(w->labels, sizeof(w->labels), "target=\"%s\",transport=\"%s\"", target,
			 g->transport);
		number(w, "riser_sessions", w->labels, g->count);
	}
	free(groups.of);
	head(w, "riser_session_commands_total", "counter", "SCSI commands of a session.");
	w->sessions = 0;
	server_view_sessions(server, write_session_commands, w);
	head(w, "riser_session_bytes_total", "counter", "Payload of a session.");
	w->sessions = 0;
	server_view_sessions(server, write_session_bytes, w);
}

/* --- LUNs */

static void operations(struct writer *w, const struct lun_counts *c, const struct lu *lu)
{
	uint64_t known = c->reads + c->writes;

	(void)lu;
	labelled(w, w->family->name, "op", "read", c->reads);
	labelled(w, w->family->name, "op", "write", c->writes);
	labelled(w, w->family->name, "op", "other", c->commands > known ? c->commands - known : 0);
}

static void bytes(struct writer *w, const struct lun_counts *c, const struct lu *lu)
{
	(void)lu;
	labelled(w, w->family->name, "direction", "read", c->read_bytes);
	labelled(w, w->family->name, "direction", "write", c->write_bytes);
}

static void errors(struct writer *w, const struct lun_counts *c, const struct lu *lu)
{
	(void)lu;
	labelled(w, w->family->name, "op", "read", c->read_errors);
	labelled(w, w->family->name, "op", "write", c->write_errors);
	labelled(w, w->family->name, "op", "verify", c->verify_errors);
}

static void conditions(struct writer *w, const struct lun_counts *c, const struct lu *lu)
{
	(void)lu;
	number(w, w->family->name, w->labels, c->check_conditions);
}

static void conflicts(struct writer *w, const struct lun_counts *c, const struct lu *lu)
{
	(void)lu;
	number(w, w->family->name, w->labels, c->conflicts);
}

static void queue(struct writer *w, const struct lun_counts *c, const struct lu *lu)
{
	(void)lu;
	number(w, w->family->name, w->labels, c->queue);
}

static void size(struct writer *w, const struct lun_counts *c, const struct lu *lu)
{
	(void)c;
	number(w, w->family->name, w->labels, lu_backstore(lu)->limits.size);
}

static void healthy(struct writer *w, const struct lun_counts *c, const struct lu *lu)
{
	const struct backstore *bs = lu_backstore(lu);

	(void)c;
	number(w, w->family->name, w->labels, !bs->flush_failed && bs->limits.size);
}

static void label_target(struct writer *w, const struct scsi_target *target)
{
	char name[512];

	escape(name, sizeof(name), target->name);
	snprintf(w->labels, sizeof(w->labels), "target=\"%s\"", name);
}

static void write_lun(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	struct writer *w = arg;
	struct lun_counts counts;
	size_t len;

	stats_of_lun(lu, w->view->context->reactor_count, &counts);
	label_target(w, target);
	len = strlen(w->labels);
	snprintf(w->labels + len, sizeof(w->labels) - len, ",lun=\"%u\"", lun);
	w->family->value(w, &counts, lu);
}

static void write_luns(struct writer *w)
{
	static const struct metrics_family families[] = {
		{ "riser_lun_operations_total", operations },
		{ "riser_lun_bytes_total", bytes },
		{ "riser_lun_errors_total", errors },
		{ "riser_lun_check_conditions_total", conditions },
		{ "riser_lun_reservation_conflicts_total", conflicts },
		{ "riser_lun_queue", queue },
		{ "riser_lun_size_bytes", size },
		{ "riser_lun_healthy", healthy },
	};
	static const struct {
		const char *type, *help;
	} about[array_size(families)] = {
		{ "counter", "SCSI commands." },
		{ "counter", "Payload." },
		{ "counter", "Requests that the disk has failed." },
		{ "counter", "Commands that ended with CHECK CONDITION." },
		{ "counter", "Commands that ended with RESERVATION CONFLICT." },
		{ "gauge", "Commands that are not over." },
		{ "gauge", "Capacity." },
		{ "gauge", "1: all is well. 0: a flush has failed, or the disk has no size." },
	};

	for (unsigned int i = 0; i < array_size(families); i++) {
		w->family = &families[i];
		head(w, families[i].name, about[i].type, about[i].help);
		live_each_lun(w->view->context->live, write_lun, w);
	}
}

struct hanging {
	uint64_t commands[2], gone; /* commands by `served` */
};

static void add_hanging(const struct live_hanging *h, void *arg)
{
	struct hanging *sum = arg;

	sum->commands[h->served] += h->commands;
	sum->gone += !h->served;
}

static void write_hanging(struct writer *w)
{
	struct hanging sum = { 0 };

	live_each_hanging(w->view->context->live, add_hanging, &sum);
	head(w, "riser_detached_commands", "gauge",
	     "Commands that hang in a disk and that nobody waits for any more.");
	w->labels[0] = '\0';
	labelled(w, "riser_detached_commands", "served", "yes", sum.commands[1]);
	labelled(w, "riser_detached_commands", "served", "no", sum.commands[0]);
	one(w, "riser_detached_luns", "gauge",
	    "LUNs that went by force, and whose disks are open for what hangs in them.", sum.gone);
}

/* --- Latencies */

/* The ends of the buckets are powers of two nanoseconds. */
enum { FIRST_BIT = 12, LAST_BIT = 34 };

static void histogram(struct writer *w, const char *name, const char *labels,
		      const struct latency_sum *sum)
{
	uint64_t below = 0;
	unsigned int i = 0;

	for (unsigned int bit = FIRST_BIT; bit <= LAST_BIT; bit++) {
		for (; i < LATENCY_BUCKETS && latency_bucket_end(i) <= 1ull << bit; i++)
			below += sum->count[i];
		fprintf(w->out, "%s_bucket{%s,le=\"%.12g\"} %lu\n", name, labels,
			(double)(1ull << bit) / 1e9, below);
	}
	fprintf(w->out, "%s_bucket{%s,le=\"+Inf\"} %lu\n", name, labels, sum->samples);
	fprintf(w->out, "%s_sum{%s} %.15g\n", name, labels, (double)sum->sum_ns / 1e9);
	fprintf(w->out, "%s_count{%s} %lu\n", name, labels, sum->samples);
}

/* w->labels says of what. Operations that there were none of are left out. */
static void write_latency(struct writer *w)
{
	char labels[sizeof(w->labels) + 64];

	for (unsigned int kind = 0; kind < LATENCY_KINDS; kind++) {
		for (unsigned int stage = 0; stage < LATENCY_STAGES; stage++) {
			if (!w->of[stage][kind].samples)
				continue;
			snprintf(labels, sizeof(labels), "%s,op=\"%s\",stage=\"%s\"", w->labels,
				 stats_kind_name(kind), stats_stage_name(stage));
			histogram(w, "riser_lun_latency_seconds", labels, &w->of[stage][kind]);
		}
	}
	memset(w->of, 0, sizeof(w->of));
	w->any = false;
}

static void flush_target(struct writer *w)
{
	size_t len;

	if (!w->any)
		return;
	label_target(w, w->target);
	len = strlen(w->labels);
	snprintf(w->labels + len, sizeof(w->labels) - len, ",lun=\"\"");
	write_latency(w);
}

/* Units of a target follow each other. */
static void add_latency(const struct scsi_target *target, unsigned int lun, struct lu *lu,
			void *arg)
{
	struct writer *w = arg;
	size_t len;

	if (target != w->target)
		flush_target(w);
	w->target = target;
	for (unsigned int stage = 0; stage < LATENCY_STAGES; stage++) {
		for (unsigned int kind = 0; kind < LATENCY_KINDS; kind++)
			lu_add_latency(lu, stage, kind, &w->of[stage][kind]);
	}
	w->any = true;
	if (w->by_target)
		return;
	label_target(w, target);
	len = strlen(w->labels);
	snprintf(w->labels + len, sizeof(w->labels) - len, ",lun=\"%u\"", lun);
	write_latency(w);
}

static void count_lun(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	unsigned int *count = arg;

	(void)target, (void)lun, (void)lu;
	++*count;
}

static void write_latencies(struct writer *w)
{
	const struct live *live = w->view->context->live;
	unsigned int luns = 0;

	live_each_lun(live, count_lun, &luns);
	one(w, "riser_luns", "gauge", "LUNs.", luns);
	w->by_target = luns > METRICS_LUNS_MAX;
	head(w, "riser_lun_latency_seconds", "histogram",
	     "From the arrival of a command to the end of its answer, and the stages of that.");
	live_each_lun(live, add_latency, w);
	flush_target(w);
}

void metrics_write_text(struct metrics_view *v, FILE *out)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return;
	w->out = out;
	w->view = v;
	live_look(v->context->live);
	write_daemon(w);
	write_reactors(w);
	write_server(w);
	write_sessions(w);
	write_luns(w);
	write_hanging(w);
	write_latencies(w);
	live_look_end(v->context->live);
	free(w);
}
