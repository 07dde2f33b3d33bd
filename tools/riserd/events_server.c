// SPDX-License-Identifier: BSD-2-Clause
/* What happens to sessions and units becomes events. */
#include <stdio.h>
#include <time.h>

#include "control.h"

void events_of_log(const char *text, void *arg)
{
	struct event e = { .type = EVENT_WARNING, .lun = -1, .reason = "error" };

	snprintf(e.text, sizeof(e.text), "%s", text);
	events_tell(arg, &e);
}

void events_of_server(const struct server_event *what, void *arg)
{
	static const enum event_type types[] = {
		[SERVER_LOGIN] = EVENT_LOGIN,	[SERVER_LOGIN_FAILED] = EVENT_LOGIN_FAILED,
		[SERVER_LOGOUT] = EVENT_LOGOUT, [SERVER_LOST] = EVENT_SESSION_LOST,
		[SERVER_RESET] = EVENT_RESET,	[SERVER_LUN] = EVENT_LUN,
	};
	struct event e = { .type = types[what->type], .session = what->tsih, .lun = what->lun };

	snprintf(e.target, sizeof(e.target), "%s", what->target ? what->target : "");
	snprintf(e.initiator, sizeof(e.initiator), "%s", what->initiator ? what->initiator : "");
	snprintf(e.from, sizeof(e.from), "%s", what->from ? what->from : "");
	snprintf(e.reason, sizeof(e.reason), "%s", what->reason ? what->reason : "");
	snprintf(e.text, sizeof(e.text), "%s", what->text ? what->text : "");
	events_tell(arg, &e);
}

static void describe_end(const struct lu_operation *o, char *text, size_t size)
{
	static const char *const ends[] = {
		[LU_OPERATION_RUNS] = "runs",
		[LU_OPERATION_ENDS] = "is about to end",
		[LU_OPERATION_DONE] = "is done",
		[LU_OPERATION_FAILED] = "has failed",
		[LU_OPERATION_CANCELED] = "was canceled",
		[LU_OPERATION_STOPPED] = "stops with riserd",
	};
	const char *more = "";
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (o->state == LU_OPERATION_FAILED)
		more = o->kind == LU_OPERATION_COPY ? "; its initiator was told why"
						    : "; the log says why";
	snprintf(text, size, "the %s, job %llu, %s: %llu of %llu bytes in %lld s%s",
		 rpc_job_kind(o), (unsigned long long)o->id, ends[o->state],
		 (unsigned long long)o->done, (unsigned long long)o->total,
		 (long long)(now.tv_sec - o->since.tv_sec), more);
}

void events_of_operation(const struct lu_operation *o, void *arg)
{
	static const char *const reasons[] = {
		[LU_OPERATION_RUNS] = "begun",	      [LU_OPERATION_ENDS] = "canceling",
		[LU_OPERATION_DONE] = "done",	      [LU_OPERATION_FAILED] = "failed",
		[LU_OPERATION_CANCELED] = "canceled", [LU_OPERATION_STOPPED] = "stopped",
	};
	struct event e = { .type = EVENT_JOB, .lun = (int)o->lun };

	snprintf(e.target, sizeof(e.target), "%s", o->target);
	snprintf(e.reason, sizeof(e.reason), "%s", reasons[o->state]);
	if (o->state == LU_OPERATION_RUNS)
		snprintf(e.text, sizeof(e.text), "a %s has begun, job %llu", rpc_job_kind(o),
			 (unsigned long long)o->id);
	else
		describe_end(o, e.text, sizeof(e.text));
	events_tell(arg, &e);
}
