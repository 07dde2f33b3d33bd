// SPDX-License-Identifier: BSD-2-Clause
/*
 * The part of a task management function that one reactor does: its visit aborts the tasks that the
 * function names in the sessions there and waits until they are over, or as long as it may.
 */
#include "core/log.h"
#include "session/tmf.h"

/* [session's reactor] One visit is back. */
static void visit_back(struct work *work)
{
	struct tmf_visit *v = container_of(work, struct tmf_visit, back);
	struct tmf *tmf = v->tmf;

	tmf->write_hangs |= v->write_hangs;
	if (--tmf->pending == 0)
		tmf->aborted(tmf);
}

static void visit_over(struct tmf_visit *v)
{
	list_del(&v->wait.node);
	timer_cancel(v->rs->reactor, &v->timer);
	reactor_post(v->tmf->session->rs->reactor, &v->back);
}

/* Data of an aborted task may still move, and the initiator will use its memory for something else
 * when it has our answer: only the end of the connection ends that for certain. */
static void cut_off(struct iconn *ic)
{
	static struct log_limit limit = LOG_LIMIT(10);

	if (!iconn_live(ic))
		return;
	log_write_limited(&limit, LOG_LEVEL_WARN,
			  "%s: data of an aborted task still moves after %d s, closing",
			  ic->conn->peer_name, TMF_TIMEOUT_S);
	iconn_close(ic, false);
}

/* The initiator takes the tags of these tasks for free when it has our answer. True: one of them
 * may still write. */
static bool abandon_all(const struct tmf_visit *v)
{
	bool writes = false;
	struct list *spos, *cpos;

	list_for_each(spos, &v->rs->sessions) {
		struct session *s = list_entry(spos, struct session, reactor_node);

		list_for_each(cpos, &s->commands) {
			struct command *c = list_entry(cpos, struct command, node);

			if (!abort_wait_covers(&v->wait, c))
				continue;
			writes |= !scsi_give_up(&c->task);
			if (c->moving && c->ic && c->ic->conn->unstoppable)
				cut_off(c->ic);
			if (s == v->tmf->session)
				c->reports = false;
			command_abandon(c);
		}
	}
	return writes;
}

static void visit_timeout(struct timer *t)
{
	static struct log_limit limit = LOG_LIMIT(10);
	struct tmf_visit *v = container_of(t, struct tmf_visit, timer);

	log_write_limited(&limit, LOG_LEVEL_WARN,
			  "task management function %u answered with %u tasks still in the "
			  "backstore",
			  v->tmf->function, v->wait.remaining);
	v->write_hangs = abandon_all(v);
	visit_over(v);
}

static void wait_done(struct abort_wait *w)
{
	visit_over(container_of(w, struct tmf_visit, wait));
}

/* Other initiators than the one that asked learn that their task is gone by TASK ABORTED (TAS), or
 * by the unit attention of the reset. lu_reset() has raised that, but a moment ago: they may have
 * heard of it before they sent this command. told: the unit of which they hear now. */
static void abort_one(struct tmf_visit *v, struct command *c, const struct lu **told)
{
	struct session *s = c->session;
	const struct lu *lu = target_lu_of(s->nexus.target, c->task.lun);
	bool foreign = s != v->tmf->session && lu, tas = foreign && lu_reports_aborted(lu);

	if (foreign && !tas && lu != *told)
		nexus_raise_ua(&s->nexus, lu, UA_BUS_DEVICE_RESET);
	*told = lu;
	abort_wait_add(&v->wait);
	command_abort(c, tas); /* may free c */
}

/* Is newer than the function, though it is here already: it came on another connection, or while the
 * function has waited. */
static bool is_newer(const struct tmf *tmf, const struct command *c)
{
	return c->session == tmf->session && (c->ic != tmf->ic || tmf->gathers) && !c->immediate &&
	       !sn_lt(c->cmdsn, tmf->cmdsn);
}

/* Of another nexus where the one that asked does not see all: unit by unit. */
static void clear_aca(const struct tmf *tmf, struct session *s)
{
	if (tmf->lu || s == tmf->session || lun_set_is_all(&tmf->sees)) {
		nexus_clear_aca(&s->nexus, tmf->lu);
		return;
	}
	for (unsigned int i = 0; i < TARGET_LUNS; i++) {
		const struct lu *lu = s->nexus.target->lun[i]; /* which may leave meanwhile */

		if (lu && lun_set_has(&tmf->sees, i))
			nexus_clear_aca(&s->nexus, lu);
	}
}

static void visit_session(struct tmf_visit *v, struct session *s)
{
	struct tmf *tmf = v->tmf;
	const struct lu *told = NULL;
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (c->answered || !abort_wait_names(&v->wait, c) ||
		    (!tmf->command && is_newer(tmf, c)))
			continue;
		abort_one(v, c, &told);
	}
	if (s->who.type == SESSION_NORMAL && tmf->clears_aca &&
	    (s == tmf->session ||
	     (tmf->everyone && (tmf->lu || s->nexus.target == v->wait.target))))
		clear_aca(tmf, s);
}

/* [any reactor] Aborts what is named here; on the session's reactor at once, so that nothing is
 * newer than the function. */
static void visit_run(struct work *work)
{
	struct tmf_visit *v = container_of(work, struct tmf_visit, work);
	struct list *pos;

	v->wait.done = wait_done;
	abort_wait_begin(&v->wait, v->rs);
	timer_arm(v->rs->reactor, &v->timer, v->patience);
	list_for_each(pos, &v->rs->sessions)
		visit_session(v, list_entry(pos, struct session, reactor_node));
	abort_wait_counted(&v->wait, v->rs);
}

void tmf_visits_begin(struct tmf *tmf, uint64_t patience)
{
	struct session *s = tmf->session;

	tmf->pending = tmf->visit_count;
	for (unsigned int i = 0; i < tmf->visit_count; i++) {
		struct tmf_visit *v = &tmf->visits[i];

		v->wait.session = tmf->everyone ? NULL : s;
		v->wait.target = s->nexus.target;
		v->wait.lu = tmf->lu;
		v->wait.sees = tmf->everyone && !tmf->lu ? &tmf->sees : NULL;
		v->wait.asker = s;
		v->wait.command = tmf->command;
		v->wait.aca = tmf->function == TMF_CLEAR_ACA;
		v->patience = patience;
		v->work.fn = visit_run;
		v->back.fn = visit_back;
		v->timer.fn = visit_timeout;
		list_init(&v->wait.node);
		if (v->rs == s->rs)
			visit_run(&v->work);
		else
			reactor_post(v->rs->reactor, &v->work);
	}
}
