// SPDX-License-Identifier: BSD-2-Clause
/*
 * What each reactor counts of logins, errors and latencies, with names for it, and what anyone may ask
 * for: the sum of all reactors, and session after session.
 */
#include <string.h>

#include "session/command.h"

/* --- Names */

static const struct refusal {
	enum login_status status; /* 0: there was no answer */
	const char *name;
} refusals[REFUSALS] = {
	/* In the order of enum newcomer_end. */
	{ 0, "timeout" },
	{ 0, "too-many-newcomers" },
	{ 0, "other" },
	{ LOGIN_INITIATOR_ERROR, "initiator-error" },
	{ LOGIN_AUTH_FAILED, "authentication-failed" },
	{ LOGIN_NOT_ALLOWED, "not-allowed" },
	{ LOGIN_NOT_FOUND, "target-not-found" },
	{ LOGIN_TARGET_REMOVED, "target-removed" },
	{ LOGIN_BAD_VERSION, "unsupported-version" },
	{ LOGIN_TOO_MANY_CONNECTIONS, "too-many-connections" },
	{ LOGIN_MISSING_PARAMETER, "missing-parameter" },
	{ LOGIN_CANNOT_INCLUDE, "cannot-include-in-session" },
	{ LOGIN_SESSION_TYPE, "session-type-not-supported" },
	{ LOGIN_NO_SESSION, "no-such-session" },
	{ LOGIN_INVALID_DURING_LOGIN, "invalid-during-login" },
	{ LOGIN_TARGET_ERROR, "target-error" },
	{ LOGIN_UNAVAILABLE, "service-unavailable" },
	{ LOGIN_OUT_OF_RESOURCES, "out-of-resources" },
};
enum { REFUSAL_OTHER = 2 };

static const char *const sense_keys[SENSE_KEYS] = {
	"no-sense",	  "recovered-error", "not-ready",      "medium-error",
	"hardware-error", "illegal-request", "unit-attention", "data-protect",
	"blank-check",	  "vendor-specific", "copy-aborted",   "aborted-command",
	"reserved",	  "volume-overflow", "miscompare",     "completed",
};

static const char *const functions[TASK_FUNCTIONS] = {
	[0] = "unknown",
	[TMF_ABORT_TASK] = "abort-task",
	[TMF_ABORT_TASK_SET] = "abort-task-set",
	[TMF_CLEAR_ACA] = "clear-aca",
	[TMF_CLEAR_TASK_SET] = "clear-task-set",
	[TMF_LUN_RESET] = "lun-reset",
	[TMF_TARGET_WARM_RESET] = "target-warm-reset",
	[TMF_TARGET_COLD_RESET] = "target-cold-reset",
	[TMF_TASK_REASSIGN] = "task-reassign",
	[TMF_QUERY_TASK] = "query-task",
	[TMF_QUERY_TASK_SET] = "query-task-set",
	[TMF_I_T_NEXUS_RESET] = "i-t-nexus-reset",
	[TMF_QUERY_ASYNC_EVENT] = "query-asynchronous-event",
};

static const char *const rejects[REJECTS] = {
	[0] = "other",
	[REJECT_DATA_DIGEST] = "data-digest-error",
	[REJECT_SNACK] = "snack",
	[REJECT_PROTOCOL_ERROR] = "protocol-error",
	[REJECT_NOT_SUPPORTED] = "command-not-supported",
	[REJECT_IMMEDIATE_COMMAND] = "too-many-immediate-commands",
	[REJECT_TASK_IN_PROGRESS] = "task-in-progress",
	[REJECT_INVALID_DATA_ACK] = "invalid-data-ack",
	[REJECT_INVALID_PDU_FIELD] = "invalid-pdu-field",
	[REJECT_OUT_OF_RESOURCES] = "out-of-resources",
	[REJECT_WAITING_FOR_LOGOUT] = "waiting-for-logout",
};

const char *refusal_name(unsigned int refusal)
{
	return refusals[refusal].name;
}

static unsigned int find_refusal(enum login_status status)
{
	unsigned int i = REFUSALS - 1;

	while (i > REFUSAL_OTHER && refusals[i].status != status)
		i--;
	return i;
}

const char *refusal_of(enum login_status status)
{
	return refusals[find_refusal(status)].name;
}

const char *sense_key_name(unsigned int key)
{
	return sense_keys[key];
}

const char *task_function_name(unsigned int function)
{
	return functions[function < TASK_FUNCTIONS ? function : 0];
}

const char *reject_name(unsigned int reason)
{
	return rejects[reason];
}

/* --- Counting [owner thread] */

void count_refusal(struct reactor_state *rs, enum login_status status)
{
	stat_add(&rs->counters.refusals[find_refusal(status)], 1);
}

void count_newcomer_end(struct reactor_state *rs, enum newcomer_end why)
{
	stat_add(&rs->counters.refusals[why], 1);
}

void count_function(struct reactor_state *rs, uint8_t function)
{
	stat_add(&rs->counters.functions[function < TASK_FUNCTIONS ? function : 0], 1);
}

void count_reject(struct reactor_state *rs, enum reject_reason reason)
{
	unsigned int i = (unsigned int)reason < REJECTS && rejects[reason] ? reason : 0;

	stat_add(&rs->counters.rejects[i], 1);
	if (reason == REJECT_DATA_DIGEST)
		stat_add(&rs->counters.digest_errors, 1);
}

void count_sense(struct reactor_state *rs, const struct scsi_task *task)
{
	bool fixed = (task->sense[0] & 0x7f) < 0x72; /* response code, SPC 4.4.1 */

	stat_add(&rs->counters.sense[task->sense[fixed ? 2 : 1] & 0x0f], 1);
}

static void count_stage(struct latency_set *set, enum latency_stage stage, unsigned int kind,
			uint64_t ns)
{
	if (ns)
		latency_count(&set->of[stage], latency_bucket(ns), kind);
}

void command_count_stages(struct latency_set *set, const struct scsi_task *task, uint64_t total,
			  uint64_t transport)
{
	uint64_t backstore = task->io_ns, queue = 0;

	/* A recovery may move data while the disk has the next piece. */
	if (transport + backstore < total)
		queue = total - transport - backstore;
	count_stage(set, LATENCY_TRANSPORT, task->kind, transport);
	count_stage(set, LATENCY_QUEUE, task->kind, queue);
	count_stage(set, LATENCY_BACKSTORE, task->kind, backstore);
	stat_add(&set->of[LATENCY_QUEUE].sum_ns[task->kind], queue);
	stat_add(&set->of[LATENCY_BACKSTORE].sum_ns[task->kind], backstore);
}

/* --- Asking [any thread] */

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_all(uint64_t *sum, const _Atomic uint64_t *counters, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		sum[i] += load(&counters[i]);
}

static void add_counters(struct server_counts *sum, const struct counters *c)
{
	sum->logins += load(&c->logins);
	sum->redirected += load(&c->redirected);
	sum->lost += load(&c->lost);
	sum->digest_errors += load(&c->digest_errors);
	add_all(sum->refusals, c->refusals, REFUSALS);
	add_all(sum->sense, c->sense, SENSE_KEYS);
	add_all(sum->functions, c->functions, TASK_FUNCTIONS);
	add_all(sum->rejects, c->rejects, REJECTS);
}

/* NULL: more transports than there is room for. */
static struct transport_counts *counts_of(struct server_counts *sum, const char *name)
{
	for (unsigned int i = 0; i < SERVER_TRANSPORTS; i++) {
		struct transport_counts *t = &sum->transports[i];

		if (!t->name)
			t->name = name;
		if (!strcmp(t->name, name))
			return t;
	}
	return NULL;
}

static void add_traffic(struct server_counts *sum, const struct traffic *traffic)
{
	const struct transport_ops *ops = traffic->transport;
	struct transport_counts *t = ops ? counts_of(sum, ops->name) : NULL;

	if (!t)
		return;
	t->errors = ops->errors;
	t->connections += load(&traffic->open);
	t->closed += load(&traffic->closed);
	t->read_bytes += load(&traffic->read_bytes);
	t->write_bytes += load(&traffic->write_bytes);
	t->bytes_copied += load(&traffic->bytes_copied);
}

static void add_session(const struct session_view *view, void *arg)
{
	struct transport_counts *t = counts_of(arg, view->transport);

	if (!t)
		return;
	t->read_bytes += load(&view->stats->read_bytes);
	t->write_bytes += load(&view->stats->write_bytes);
}

void server_count(struct server *s, struct server_counts *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned int i = 0; i < s->cfg.reactor_count; i++) {
		const struct reactor_state *rs = &s->reactors[i];

		add_counters(out, &rs->counters);
		for (unsigned int j = 0; j < TRANSPORTS_MAX; j++)
			add_traffic(out, &rs->traffic[j]);
	}
	/* After those that are gone: what ends between the two is missing once, and never twice. */
	server_view_sessions(s, add_session, out);
}

static void view(const struct session *s, void (*visit)(const struct session_view *view, void *arg),
		 void *arg)
{
	const struct session_view view = {
		.info = { .target = s->nexus.target,
			  .initiator = s->who.initiator_name,
			  .user = s->who.user ? s->who.user->account.user : NULL,
			  .from = s->who.from,
			  .tag = s->who.portal_group_tag,
			  .tsih = s->tsih },
		.discovery = s->who.type == SESSION_DISCOVERY,
		.transport = s->transport->name,
		.stats = &s->stats,
	};

	visit(&view, arg);
}

enum { TSIHS_AT_ONCE = 4096, SESSIONS_AT_ONCE = 64 };

void server_view_sessions(struct server *s,
			  void (*visit)(const struct session_view *view, void *arg), void *arg)
{
	unsigned int tsih = 0, last = array_size(s->by_tsih);

	while (tsih < last) {
		unsigned int end = tsih + TSIHS_AT_ONCE < last ? tsih + TSIHS_AT_ONCE : last;
		unsigned int left = SESSIONS_AT_ONCE;

		pthread_mutex_lock(&s->lock);
		for (; tsih < end && left; tsih++) {
			if (s->by_tsih[tsih]) {
				view(s->by_tsih[tsih], visit, arg);
				left--;
			}
		}
		pthread_mutex_unlock(&s->lock);
	}
}
