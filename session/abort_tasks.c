// SPDX-License-Identifier: BSD-2-Clause
/*
 * Aborting many tasks and waiting for their end; and what the SCSI layer itself wants aborted: the
 * tasks of preempted nexuses on every reactor, and the others of a nexus after CHECK CONDITION.
 *
 * A job sends a visit to each reactor. The visit aborts its victims there and posts `marked`: nobody
 * is asked who is a victim any more. When the last of them is over it posts `back`. There is no time
 * limit, and cannot be: "preempted" has to mean that nothing of the old nexus is written any more. A
 * task that is aborted itself while it waits gives up after `marked`, so that two that wait for
 * each other end.
 */
#include <stdlib.h>

#include "session/abort_tasks.h"
#include "session/detach.h"
#include "session/flow.h"

/* --- Waiting */

bool abort_wait_names(const struct abort_wait *w, const struct command *c)
{
	if (w->command)
		return w->command == c;
	if (w->session && w->session != c->session)
		return false;
	if ((w->aca && c->task.attribute != ATTR_ACA) || (w->medium && c->past_medium))
		return false;
	if (w->medium && w->lu) /* copies that were sent to other units can write here */
		return task_uses(&c->task, w->lu);
	if (w->lu) /* whatever target it was reached through */
		return w->lu == target_lu_of(c->session->nexus.target, c->task.lun);
	if (w->target && w->target != c->session->nexus.target)
		return false;
	return !w->sees || w->asker == c->session || lun_set_has(w->sees, c->task.lun[1]);
}

void abort_wait_begin(struct abort_wait *w, struct reactor_state *rs)
{
	w->limit = UINT64_MAX;
	w->remaining = 1;
	list_add_tail(&rs->abort_waits, &w->node);
}

static void count_down(struct abort_wait *w)
{
	if (--w->remaining == 0)
		w->done(w);
}

void abort_wait_counted(struct abort_wait *w, struct reactor_state *rs)
{
	w->limit = rs->aborts;
	count_down(w);
}

void abort_wait_finished(struct reactor_state *rs, struct command *c)
{
	struct list *pos, *tmp;

	if (!c->aborted_at)
		return;
	if (c->aborted_at == DETACHED) {
		command_detached_back(c);
		return;
	}
	list_for_each_safe(pos, tmp, &rs->abort_waits) {
		struct abort_wait *w = list_entry(pos, struct abort_wait, node);

		if (abort_wait_covers(w, c))
			count_down(w);
	}
	c->aborted_at = 0;
}

/* --- Tasks of other nexuses */

/* The part of one reactor. */
struct abort_visit {
	struct abort_job *job;
	struct reactor_state *rs;
	struct work work, marked, back;
	struct abort_wait wait;
};

/* Belongs to the reactor of the task that asked; visits travel. */
struct abort_job {
	struct session *session;
	struct command *command; /* who asked; NULL: has been answered */
	const struct command *asker; /* the same, only to compare with */
	const struct lu *lu;
	bool (*victim)(const void *arg, const struct nexus *nexus);
	const void *arg;
	bool report;
	unsigned int marking, pending; /* visits that have not aborted all, that are not back */
	struct abort_visit visits[];
};

/* All that it will do yet is to send what it has read. Nobody waits for that here: an initiator that
 * does not take its data must not hold up the one that shuts it out. */
static bool past_medium(const struct command *c)
{
	return c->task.aborted ? c->past_medium : c->moving && !c->data_since;
}

static bool of_lu(const struct command *c, const struct lu *lu)
{
	return target_lu_of(c->session->nexus.target, c->task.lun) == lu;
}

/* Also waits for what others have aborted, of whatever nexus: it may have been a victim's when it
 * was. */
static void visit_session(struct abort_visit *v, struct session *s)
{
	const struct abort_job *job = v->job;
	bool victim = s->who.type == SESSION_NORMAL && job->victim(job->arg, &s->nexus);
	bool foreign = s != job->session, cleared = false;
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (c == job->asker || c->answered || !task_uses(&c->task, job->lu))
			continue;
		if ((c->task.aborted || victim) && !past_medium(c))
			abort_wait_add(&v->wait);
		if (victim && !c->task.aborted) {
			cleared = true;
			/* For a copy that was sent to another unit nobody looks at this one's TAS. */
			command_abort(c, (job->report && foreign) ||
						 !of_lu(c, job->lu)); /* may free c */
		}
	}
	if (victim)
		nexus_clear_aca(&s->nexus, job->lu);
	if (cleared && foreign && !job->report)
		nexus_raise_ua(&s->nexus, job->lu, UA_COMMANDS_CLEARED);
}

/* [any reactor] */
static void visit_run(struct work *work)
{
	struct abort_visit *v = container_of(work, struct abort_visit, work);
	struct list *pos;

	abort_wait_begin(&v->wait, v->rs);
	list_for_each(pos, &v->rs->sessions)
		visit_session(v, list_entry(pos, struct session, reactor_node));
	reactor_post(v->job->session->rs->reactor, &v->marked);
	abort_wait_counted(&v->wait, v->rs);
}

static void wait_done(struct abort_wait *w)
{
	struct abort_visit *v = container_of(w, struct abort_visit, wait);

	list_del(&w->node);
	reactor_post(v->job->session->rs->reactor, &v->back);
}

static void answer(struct abort_job *job, bool ok)
{
	struct command *c = job->command;

	job->command = NULL;
	c->job = NULL;
	c->task.io_done(&c->task, ok);
}

/* [the asker's reactor] From here on victim() and arg are not looked at any more. */
static void visit_marked(struct work *work)
{
	struct abort_job *job = container_of(work, struct abort_visit, marked)->job;

	if (--job->marking == 0 && job->command->task.aborted)
		answer(job, false);
}

/* [the asker's reactor] */
static void visit_back(struct work *work)
{
	struct abort_job *job = container_of(work, struct abort_visit, back)->job;
	struct session *s = job->session;

	if (--job->pending)
		return;
	if (job->command)
		answer(job, true);
	free(job);
	s->tmf_count--;
	session_check_dead(s);
}

/* Aborted while visits are on their way; otherwise io_work answers for the job. */
void abort_job_give_up(struct command *c)
{
	if (c->job->marking)
		return;
	c->job->command = NULL;
	c->job = NULL;
	reactor_defer(c->task.reactor, &c->io_work);
}

void port_abort_tasks(struct scsi_task *task,
		      bool (*victim)(const void *arg, const struct nexus *nexus), const void *arg,
		      bool report)
{
	struct command *c = container_of(task, struct command, task);
	struct session *s = c->session;
	unsigned int n = s->server->cfg.reactor_count;
	struct abort_job *job = NULL;

	/* Those that were given up on stay until what hangs is back. */
	if (s->tmf_count < 2 * TMF_MAX)
		job = calloc(1, sizeof(*job) + n * sizeof(job->visits[0]));
	if (!job) {
		task_sense(task, KEY_ABORTED_COMMAND, 0x55, 0x03);
		c->no_memory = true;
		reactor_defer(task->reactor, &c->io_work);
		return;
	}
	*job = (struct abort_job){ .session = s,
				   .command = c,
				   .asker = c,
				   .lu = task->lu,
				   .victim = victim,
				   .arg = arg,
				   .report = report,
				   .marking = n,
				   .pending = n };
	c->job = job;
	s->tmf_count++; /* the session outlives it */
	for (unsigned int i = 0; i < n; i++) {
		struct abort_visit *v = &job->visits[i];

		v->job = job;
		v->rs = &s->server->reactors[i];
		v->wait.lu = job->lu;
		v->wait.medium = true;
		v->wait.done = wait_done;
		v->work.fn = visit_run;
		v->marked.fn = visit_marked;
		v->back.fn = visit_back;
		reactor_post(v->rs->reactor, &v->work);
	}
}

/* --- QERR */

void port_abort_others(struct scsi_task *task)
{
	const struct command *asker = container_of(task, struct command, task);
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &asker->session->commands) {
		struct command *c = list_entry(pos, struct command, node);

		/* A command that is held, or parked, is not in the task set yet. */
		if (c != asker && !c->held && c->flow != FLOW_PARKED && of_lu(c, task->lu))
			command_abort(c, false);
	}
}
