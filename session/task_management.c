// SPDX-License-Identifier: BSD-2-Clause
/*
 * Task management (RFC 7143 11.5, SAM 7): abort what the function names, on every reactor that may
 * have such tasks, and answer when all of them are back, but never later than TMF_TIMEOUT_S: a task
 * that hangs in its backstore is marked aborted, so its late completion sends nothing. If it is a
 * write, which may yet reach the medium, "function rejected" says that nothing is certain: the
 * initiator escalates up to a new session, which waits until the old one's tasks are back.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "session/internal.h"

struct tmf;

/* The part of a reset that one reactor does. */
struct tmf_visit {
	struct tmf *tmf;
	struct work work;
	struct work back;
	struct abort_wait wait;
	struct timer timer;
	struct reactor_state *rs;
	bool write_hangs; /* after the timeout: a write may still reach the medium */
};

/* One function under way. Belongs to the session's reactor; visits travel. */
struct tmf {
	struct list node; /* session.tmfs */
	struct session *session;
	struct iconn *ic; /* that gets the answer; NULL: it is gone */
	struct be32 itt;
	uint8_t function;
	unsigned int pending; /* visits that are not back */
	bool write_hangs; /* in any of them */
	const struct command *command; /* ABORT TASK */
	const struct lu *lu; /* NULL: all of the target */
	bool everyone; /* tasks of other nexuses too */
	bool clears_aca;
	unsigned int visit_count;
	struct tmf_visit visits[];
};

static void respond(struct iconn *ic, struct be32 itt, uint8_t response)
{
	struct reply *rp = reply_new(ic, OP_TMF_RESPONSE);

	if (!rp) {
		iconn_close(ic, false);
		return;
	}
	rp->tx.h.tmf_response.response = response;
	rp->tx.h.tmf_response.itt = itt;
	reply_send(rp, true);
}

/* [session's reactor] One visit is back. */
static void visit_back(struct work *work)
{
	struct tmf_visit *v = container_of(work, struct tmf_visit, back);
	struct tmf *tmf = v->tmf;
	struct session *s = tmf->session;

	tmf->write_hangs |= v->write_hangs;
	if (--tmf->pending)
		return;
	s->tmf_count--;
	list_del(&tmf->node);
	if (tmf->ic && tmf->ic->state == CONN_LOGGED_IN)
		respond(tmf->ic, tmf->itt, tmf->write_hangs ? TMF_RSP_REJECTED : TMF_RSP_COMPLETE);
	free(tmf);
	session_check_dead(s);
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

	if (ic->state == CONN_CLEANUP)
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
	const struct lu *lu = target_lu(s->nexus.target, c->task.lun);
	bool foreign = s != v->tmf->session && lu, tas = foreign && lu_reports_aborted(lu);

	if (foreign && !tas && lu != *told)
		nexus_raise_ua(&s->nexus, lu, UA_BUS_DEVICE_RESET);
	*told = lu;
	abort_wait_add(&v->wait);
	command_abort(c, tas); /* may free c */
}

static void visit_session(struct tmf_visit *v, struct session *s)
{
	struct tmf *tmf = v->tmf;
	const struct lu *told = NULL;
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (c->answered || !abort_wait_names(&v->wait, c))
			continue;
		abort_one(v, c, &told);
	}
	if (s->who.type == SESSION_NORMAL && tmf->clears_aca &&
	    (s == tmf->session ||
	     (tmf->everyone && (tmf->lu || s->nexus.target == v->wait.target))))
		nexus_clear_aca(&s->nexus, tmf->lu);
}

/* [any reactor] Aborts what is named here; on the session's reactor from tmf_run(), so that nothing
 * is newer than the function. */
static void visit_run(struct work *work)
{
	struct tmf_visit *v = container_of(work, struct tmf_visit, work);
	struct list *pos;

	v->wait.done = wait_done;
	abort_wait_begin(&v->wait, v->rs);
	timer_arm(v->rs->reactor, &v->timer, TMF_TIMEOUT_S * NSEC_PER_SEC);
	list_for_each(pos, &v->rs->sessions)
		visit_session(v, list_entry(pos, struct session, reactor_node));
	abort_wait_counted(&v->wait, v->rs);
}

static struct tmf *tmf_new(struct iconn *ic, const struct bhs_tmf_request *req, bool everyone)
{
	struct session *s = ic->session;
	struct server *server = s->server;
	unsigned int n = everyone ? server->cfg.reactor_count : 1;
	struct tmf *tmf = calloc(1, sizeof(*tmf) + n * sizeof(tmf->visits[0]));

	if (!tmf)
		return NULL;
	tmf->session = s;
	tmf->ic = ic;
	tmf->itt = req->itt;
	tmf->function = req->function & 0x7f;
	tmf->everyone = everyone;
	tmf->clears_aca = everyone || tmf->function == TMF_CLEAR_ACA;
	tmf->visit_count = n;
	for (unsigned int i = 0; i < n; i++) {
		struct tmf_visit *v = &tmf->visits[i];

		v->tmf = tmf;
		v->rs = everyone ? &server->reactors[i] : s->rs;
		v->work.fn = visit_run;
		v->back.fn = visit_back;
		v->timer.fn = visit_timeout;
		list_init(&v->wait.node);
	}
	return tmf;
}

static void tmf_run(struct tmf *tmf)
{
	struct session *s = tmf->session;

	tmf->pending = tmf->visit_count;
	s->tmf_count++;
	list_add_tail(&s->tmfs, &tmf->node);
	for (unsigned int i = 0; i < tmf->visit_count; i++) {
		struct tmf_visit *v = &tmf->visits[i];

		v->wait.session = tmf->everyone ? NULL : s;
		v->wait.target = s->nexus.target;
		v->wait.lu = tmf->lu;
		v->wait.command = tmf->command;
		v->wait.aca = tmf->function == TMF_CLEAR_ACA;
		if (v->rs == s->rs)
			visit_run(&v->work);
		else
			reactor_post(v->rs->reactor, &v->work);
	}
}

/* ABORT TASK for a tag that is not here (RFC 7143 11.5.1, 11.6.1). */
static uint8_t abort_unknown(struct session *s, const struct bhs_tmf_request *req)
{
	uint32_t ref = be32_get(req->refcmdsn);

	/* A task that was done already, or that no CmdSN in the window can name. */
	if (sn_lt(ref, s->expcmdsn) || sn_lt(s->maxcmdsn, ref))
		return TMF_RSP_NO_TASK;
	if (!sn_lt(ref, be32_get(req->cmdsn)))
		return TMF_RSP_NO_TASK;
	return session_skip_cmdsn(s, ref) ? TMF_RSP_COMPLETE : TMF_RSP_NO_TASK;
}

/* A task that an earlier function gave up on: it is aborted, but not over, and so is not unknown. */
static struct command *find_abandoned(const struct session *s, uint32_t itt)
{
	struct list *pos;

	list_for_each(pos, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (c->itt == itt && c->task.aborted && !c->answered)
			return c;
	}
	return NULL;
}

/* TMF_RSP_COMPLETE: the function runs; anything else is the answer at once. */
static uint8_t prepare(struct session *s, const struct bhs_tmf_request *req, struct tmf *tmf,
		       bool *answered)
{
	struct command *c;

	switch (tmf->function) {
	case TMF_ABORT_TASK:
		c = command_find(s, be32_get(req->rtt));
		if (!c)
			c = find_abandoned(s, be32_get(req->rtt));
		if (!c) {
			*answered = true;
			return abort_unknown(s, req);
		}
		tmf->command = c;
		return TMF_RSP_COMPLETE;
	case TMF_TARGET_WARM_RESET:
		for (unsigned int i = 0; i < TARGET_LUNS; i++)
			if (s->nexus.target->lun[i])
				lu_reset(s->nexus.target->lun[i]);
		return TMF_RSP_COMPLETE;
	}
	tmf->lu = target_lu(s->nexus.target, req->lun);
	if (!tmf->lu)
		return TMF_RSP_NO_LUN;
	if (tmf->function == TMF_LUN_RESET)
		lu_reset(target_lu(s->nexus.target, req->lun));
	return TMF_RSP_COMPLETE;
}

/* CLEAR TASK SET is ABORT TASK SET: each nexus has a task set of its own (SAM 7.5). CLEAR ACA is no
 * error where there is none. */
static bool supported(uint8_t function)
{
	return function >= TMF_ABORT_TASK && function <= TMF_TARGET_WARM_RESET;
}

static uint8_t refusal(uint8_t function)
{
	switch (function) {
	case TMF_TARGET_COLD_RESET: return TMF_RSP_NOT_AUTHORIZED;
	case TMF_TASK_REASSIGN: return TMF_RSP_NO_REASSIGN;
	default: return TMF_RSP_NOT_SUPPORTED;
	}
}

void tmf_lost_connection(struct session *s, const struct iconn *ic)
{
	struct list *pos;

	list_for_each(pos, &s->tmfs) {
		struct tmf *tmf = list_entry(pos, struct tmf, node);

		if (tmf->ic == ic)
			tmf->ic = NULL;
	}
}

void tmf_received(struct iconn *ic, struct pdu *pdu)
{
	const struct bhs_tmf_request *req = &pdu->h.tmf_request;
	uint8_t function = req->function & 0x7f;
	struct session *s = ic->session;
	bool answered = false;
	uint8_t response;
	struct tmf *tmf;

	if (s->who.type == SESSION_DISCOVERY) {
		send_reject(ic, &pdu->h, REJECT_PROTOCOL_ERROR);
		return;
	}
	if (s->tmf_count >= TMF_MAX) {
		if (pdu_immediate(&pdu->h.bhs))
			send_reject(ic, &pdu->h, REJECT_IMMEDIATE_COMMAND);
		else
			respond(ic, req->itt, TMF_RSP_REJECTED);
		return;
	}
	stat_add(&s->stats.tmfs, 1);
	if (!supported(function)) {
		respond(ic, req->itt, refusal(function));
		return;
	}
	tmf = tmf_new(ic, req, function == TMF_LUN_RESET || function == TMF_TARGET_WARM_RESET);
	if (!tmf) {
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
		return;
	}
	response = prepare(s, req, tmf, &answered);
	if (answered || response != TMF_RSP_COMPLETE) {
		free(tmf);
		respond(ic, req->itt, response);
		return;
	}
	tmf_run(tmf);
}
