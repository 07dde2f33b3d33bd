// SPDX-License-Identifier: BSD-2-Clause
/* Long work that goes on by itself: SANITIZE, FORMAT UNIT, third-party copies; images (rpc_image.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc_look.h"

enum { JOBS_MAX = 64 /* of one unit */ };

static const char *const kinds[] = {
	[LU_OPERATION_SANITIZE] = "sanitize",
	[LU_OPERATION_FORMAT] = "format",
	[LU_OPERATION_COPY] = "copy",
};

static const char *const states[] = {
	[LU_OPERATION_RUNS] = "running",      [LU_OPERATION_ENDS] = "ending",
	[LU_OPERATION_DONE] = "done",	      [LU_OPERATION_FAILED] = "failed",
	[LU_OPERATION_CANCELED] = "canceled", [LU_OPERATION_STOPPED] = "stopped",
};

const char *rpc_job_kind(const struct lu_operation *o)
{
	return kinds[o->kind];
}

const char *look_job_state(enum lu_operation_state state)
{
	return states[state];
}

struct search {
	uint64_t id; /* 0: all */
	json_t *found; /* array */
	bool cancel;
	bool force;
	struct lu_operation which; /* the last one that was found, of: */
	const struct scsi_target *target;
	unsigned int lun;
	bool canceled;
};

static json_t *job(const struct lu_operation *o)
{
	char id[24];

	snprintf(id, sizeof(id), "%llu", (unsigned long long)o->id);
	return json_pack("{ss ss so si sI sI so ss}", "id", id, "kind", kinds[o->kind], "target",
			 rpc_text(o->target), "lun", (int)o->lun, "done", (json_int_t)o->done,
			 "total", (json_int_t)o->total, "since", rpc_time(&o->since), "state",
			 states[o->state]);
}

static void look_at(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	struct lu_operation list[JOBS_MAX];
	unsigned int n = lu_operations(lu, list, JOBS_MAX);
	struct search *s = arg;

	for (unsigned int i = 0; i < n; i++) {
		if (s->id && s->id != list[i].id)
			continue;
		json_array_append_new(s->found, job(&list[i]));
		s->which = list[i];
		s->target = target;
		s->lun = lun;
		/* Nobody's disk is left half wiped by a slip of the finger. */
		if (s->cancel && (s->force || list[i].kind == LU_OPERATION_COPY))
			s->canceled = lu_cancel_operation(lu, s->id);
	}
}

static void look(struct rpc_call *call, struct search *s)
{
	live_look(call->context->live);
	live_each_lun(call->context->live, look_at, s);
	live_look_end(call->context->live);
}

static enum rpc_status job_list(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct search s = { .found = json_array() };

	(void)params;
	look(call, &s);
	look_images(call->context, s.found);
	*result = s.found;
	return RPC_OK;
}

static enum rpc_status no_job(struct rpc_call *call, const char *id)
{
	return rpc_fail(call, RPC_NOT_FOUND, id, "riser job list has those that run",
			"there is no job %.32s", id);
}

/* 0: no number. */
static uint64_t id_of(const json_t *params)
{
	const char *text = json_string_value(json_object_get(params, "id"));
	unsigned long long id;
	char *end;

	if (*text < '0' || *text > '9')
		return 0;
	id = strtoull(text, &end, 10);
	return *end ? 0 : id;
}

static enum rpc_status job_show(struct rpc_call *call, const json_t *params, json_t **result)
{
	const char *text = json_string_value(json_object_get(params, "id"));
	struct search s = { .id = id_of(params), .found = json_array() };
	struct lu_operation o;
	enum rpc_status status = RPC_OK;

	if (s.id)
		look(call, &s);
	if (json_array_size(s.found))
		*result = json_incref(json_array_get(s.found, 0));
	else if (lu_operation_ended(s.id, &o))
		*result = job(&o);
	else if (!(*result = look_image(call->context, s.id)))
		status = no_job(call, text);
	json_decref(s.found);
	return status;
}

static void tell(struct rpc_call *call, const struct search *s)
{
	struct event e = { .type = EVENT_JOB, .lun = (int)s->lun, .reason = "canceling" };

	snprintf(e.target, sizeof(e.target), "%s", s->target->name);
	snprintf(e.text, sizeof(e.text), "an administrator has canceled the %s, job %llu",
		 kinds[s->which.kind], (unsigned long long)s->which.id);
	events_tell(call->context->events, &e);
}

static enum rpc_status judge(struct rpc_call *call, const json_t *params, const struct search *s)
{
	const char *id = json_string_value(json_object_get(params, "id"));
	bool dry_run = json_is_true(json_object_get(params, "dry_run"));

	if (!json_array_size(s->found))
		return no_job(call, id);
	if (s->which.kind != LU_OPERATION_COPY && !json_is_true(json_object_get(params, "force")))
		return rpc_fail(call, RPC_BUSY, id,
				"--force does it; to wait for its end: riser job wait",
				"LUN %u of %s would refuse reads and writes after that, until "
				"another %s has ended well",
				s->lun, s->target->name, kinds[s->which.kind]);
	if (!dry_run && !s->canceled)
		return rpc_fail(call, RPC_BUSY, id, "try again",
				"job %.32s has not begun yet, or has ended just now", id);
	return RPC_OK;
}

static enum rpc_status job_cancel(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct search s = { .id = id_of(params),
			    .found = json_array(),
			    .cancel = !json_is_true(json_object_get(params, "dry_run")),
			    .force = json_is_true(json_object_get(params, "force")) };
	enum rpc_status status;

	*result = look_image(call->context, s.id);
	if (*result) {
		json_decref(s.found);
		return look_cancel_image(call, params, s.id, result);
	}
	if (s.id)
		look(call, &s);
	status = judge(call, params, &s);
	if (!status && s.cancel)
		tell(call, &s);
	if (!status)
		*result = json_incref(json_array_get(s.found, 0));
	json_decref(s.found);
	return status;
}

static const struct rpc_param show_params[] = {
	{ "id", RPC_STRING, true, "its number" },
	{ 0 },
};

static const struct rpc_param cancel_params[] = {
	{ "id", RPC_STRING, true, "its number" },
	{ "force", RPC_BOOLEAN, false, "also what leaves the LUN unusable: sanitize and format" },
	{ "dry_run", RPC_BOOLEAN, false, "only say what would be" },
	{ 0 },
};

extern const struct rpc_method rpc_job_methods[];
const struct rpc_method rpc_job_methods[] = {
	{ "job.list", "long work that goes on by itself, and how far it is", RPC_MONITOR,
	  RPC_CONTROL, NULL, job_list },
	{ "job.show", "one of them, or how one of the last has ended", RPC_MONITOR, RPC_CONTROL,
	  show_params, job_show },
	{ "job.cancel", "ends one before its time", RPC_ADMIN, RPC_CONTROL, cancel_params,
	  job_cancel },
	{ 0 },
};
