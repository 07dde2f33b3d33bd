// SPDX-License-Identifier: BSD-2-Clause
/*
 * Task management (RFC 7143 11.5, RFC 7144, SAM 7): abort what the function names, on every reactor
 * that may have such tasks, and answer when all of them are back, but never later than TMF_TIMEOUT_S: a
 * task that hangs in its backstore is marked aborted, so its late completion sends nothing. If it is a
 * write, which may yet reach the medium, "function rejected" says that nothing is certain: the
 * initiator escalates up to a new session, which waits until the old one's tasks are back.
 *
 *   GATHERS -> ABORTS -> FENCED -> answer -> [DROPS]
 *
 * GATHERS, with several connections only (4.2.3.3 b): commands that are older than the function may
 * still be on their way on another connection. They are waited for, since nothing that the function
 * names may run after its answer. Where it names every task of the session their places in the order
 * are filled instead, and they are ignored when they come.
 * ABORTS: tmf_visit.c. Data-Out for aborted writes is not waited for (4.2.3.3 a): what is late is
 * dropped.
 * FENCED: the answer must not overtake what was sent on the other connections: fence.c.
 * DROPS: after the answer to TARGET COLD RESET.
 * When the time to gather or for the fence is over the answer is "function rejected" as well.
 */
#include <stdlib.h>
#include <string.h>

#include "session/tmf.h"

enum {
	GATHER_S = 2, /* how long commands may be on their way on another connection */
	GATHER_TICK_MS = 10,
	FENCE_S = 1, /* of TMF_TIMEOUT_S, left for the other connections */
};

/* What each function is. */
static const struct kind {
	bool aborts; /* else it is answered at once */
	bool lun; /* it names a unit */
	bool resets; /* that unit, or all */
	bool everyone; /* tasks of other nexuses too */
	bool clears_aca;
	bool every_task; /* of the session */
} kinds[] = {
	[TMF_ABORT_TASK] = { .aborts = true },
	/* CLEAR TASK SET is ABORT TASK SET: each nexus has a task set of its own (SAM 7.5). CLEAR ACA
	 * is no error where there is none. */
	[TMF_ABORT_TASK_SET] = { .aborts = true, .lun = true },
	[TMF_CLEAR_ACA] = { .aborts = true, .lun = true, .clears_aca = true },
	[TMF_CLEAR_TASK_SET] = { .aborts = true, .lun = true },
	[TMF_LUN_RESET] = { .aborts = true,
			    .lun = true,
			    .resets = true,
			    .everyone = true,
			    .clears_aca = true },
	[TMF_TARGET_WARM_RESET] = { .aborts = true,
				    .resets = true,
				    .everyone = true,
				    .clears_aca = true,
				    .every_task = true },
	[TMF_TARGET_COLD_RESET] = { .aborts = true,
				    .resets = true,
				    .everyone = true,
				    .clears_aca = true,
				    .every_task = true },
	[TMF_I_T_NEXUS_RESET] = { .aborts = true, .clears_aca = true, .every_task = true },
};

static void respond(struct iconn *ic, struct be32 itt, uint8_t response, const uint8_t info[3])
{
	struct reply *rp = reply_new(ic, OP_TMF_RESPONSE);

	if (!rp) {
		iconn_close(ic, false);
		return;
	}
	rp->tx.h.tmf_response.response = response;
	rp->tx.h.tmf_response.itt = itt;
	if (info)
		memcpy(rp->tx.h.tmf_response.information, info, 3);
	reply_send(rp, true);
}

/* --- The end */

static void release(struct tmf *tmf)
{
	struct session *s = tmf->session;

	timer_cancel(s->rs->reactor, &tmf->timer);
	s->tmf_count--;
	list_del(&tmf->node);
	free(tmf->posts);
	free(tmf);
	session_check_dead(s);
}

/* [session's reactor] */
static void drop_back(struct work *work)
{
	struct tmf *tmf = container_of(work, struct tmf_visit, back)->tmf;

	if (--tmf->pending == 0)
		release(tmf);
}

/* [each reactor] What the answer has not taken along with it: the initiators start anew. */
static void drop_run(struct work *work)
{
	struct tmf_visit *v = container_of(work, struct tmf_visit, work);
	struct list *pos;

	list_for_each(pos, &v->rs->sessions) {
		struct session *s = list_entry(pos, struct session, reactor_node);

		if (s->who.type == SESSION_NORMAL && s->nexus.target == v->wait.target)
			async_drop_session(s);
	}
	reactor_post(v->tmf->session->rs->reactor, &v->back);
}

static void drop_sessions(struct tmf *tmf)
{
	tmf->state = TMF_DROPS;
	tmf->pending = tmf->visit_count;
	for (unsigned int i = 0; i < tmf->visit_count; i++) {
		struct tmf_visit *v = &tmf->visits[i];

		v->work.fn = drop_run;
		v->back.fn = drop_back;
		reactor_post(v->rs->reactor, &v->work);
	}
}

static void answer(struct tmf *tmf)
{
	uint8_t response = tmf->write_hangs || tmf->unfenced ? TMF_RSP_REJECTED : TMF_RSP_COMPLETE;

	timer_cancel(tmf->session->rs->reactor, &tmf->timer);
	if (tmf->ic && iconn_up(tmf->ic))
		respond(tmf->ic, tmf->itt, response, NULL);
	if (tmf->function == TMF_TARGET_COLD_RESET)
		drop_sessions(tmf);
	else
		release(tmf);
}

static void fence_timeout(struct timer *t)
{
	struct tmf *tmf = container_of(t, struct tmf, timer);

	tmf->unfenced = true;
	answer(tmf);
}

/* How long from now on, at least a little. */
static uint64_t time_left(const struct tmf *tmf, uint64_t reserve_s)
{
	uint64_t now = reactor_now(tmf->session->rs->reactor) + reserve_s * NSEC_PER_SEC;

	return now < tmf->deadline ? tmf->deadline - now : NSEC_PER_MSEC;
}

static void all_aborted(struct tmf *tmf)
{
	if (tmf->function == TMF_I_T_NEXUS_RESET)
		nexus_loss(&tmf->session->nexus);
	tmf->state = TMF_FENCED;
	tmf->pending = 0;
	if (!tmf->fenced || !tmf->ic || !fence_raise(tmf)) {
		answer(tmf);
		return;
	}
	tmf->timer.fn = fence_timeout;
	timer_arm(tmf->session->rs->reactor, &tmf->timer, time_left(tmf, 0));
}

void tmf_nop_answered(struct session *s, const struct iconn *ic, uint32_t ttt)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->tmfs) {
		struct tmf *tmf = list_entry(pos, struct tmf, node);

		if (fence_passed(tmf, ic, ttt, false))
			answer(tmf);
	}
}

static struct tmf *tmf_new(struct iconn *ic, const struct bhs_tmf_request *req)
{
	struct session *s = ic->session;
	struct server *server = s->server;
	uint8_t function = req->function & TMF_FUNCTION_MASK;
	bool everyone = kinds[function].everyone;
	unsigned int n = everyone ? server->cfg.reactor_count : 1;
	struct tmf *tmf = calloc(1, sizeof(*tmf) + n * sizeof(tmf->visits[0]));

	if (!tmf)
		return NULL;
	tmf->session = s;
	tmf->ic = ic;
	tmf->itt = req->itt;
	tmf->cmdsn = be32_get(req->cmdsn);
	tmf->function = function;
	tmf->fenced = true;
	tmf->everyone = everyone;
	tmf->clears_aca = kinds[function].clears_aca;
	tmf->sees = s->nexus.rights.sees;
	tmf->deadline = reactor_now(s->rs->reactor) + TMF_TIMEOUT_S * NSEC_PER_SEC;
	tmf->aborted = all_aborted;
	tmf->visit_count = n;
	for (unsigned int i = 0; i < n; i++) {
		struct tmf_visit *v = &tmf->visits[i];

		v->tmf = tmf;
		v->rs = everyone ? &server->reactors[i] : s->rs;
	}
	return tmf;
}

static bool is_alone(const struct session *s)
{
	return s->conns.next == s->conns.prev;
}

static void reset_units(const struct tmf *tmf)
{
	const struct nexus *nexus = &tmf->session->nexus;

	if (tmf->lu) {
		lu_reset(tmf->lu);
		return;
	}
	for (unsigned int i = 0; i < TARGET_LUNS; i++) {
		struct lu *lu = nexus->target->lun[i]; /* which may leave meanwhile */

		if (lu && nexus_sees(nexus, i))
			lu_reset(lu);
	}
}

static void tmf_run(struct tmf *tmf)
{
	tmf->state = TMF_ABORTS;
	if (kinds[tmf->function].resets)
		reset_units(tmf);
	tmf_visits_begin(tmf, time_left(tmf, is_alone(tmf->session) ? 0 : FENCE_S));
}

/* --- Commands that are older than the function and have not come */

/* The function was immediate and holds the CmdSN of the next command. */
static bool commands_missing(const struct tmf *tmf)
{
	const struct session *s = tmf->session;

	return sn_lt(s->expcmdsn, tmf->cmdsn) && sn_le(tmf->cmdsn, s->maxcmdsn + 1);
}

/* Those that are held are aborted by now; the others count as received (4.2.3.3 b). ExpCmdSN, which
 * nobody holds, is last: it goes on from there over what is held. */
static void fill_gaps(struct session *s, uint32_t cmdsn)
{
	for (uint32_t sn = s->expcmdsn + 1; sn_lt(sn, cmdsn); sn++)
		session_skip_cmdsn(s, sn);
	session_skip_cmdsn(s, s->expcmdsn);
	session_release_held(s);
}

static void gather(struct timer *t)
{
	struct tmf *tmf = container_of(t, struct tmf, timer);
	struct session *s = tmf->session;

	if (!commands_missing(tmf)) {
		tmf_run(tmf);
	} else if (time_left(tmf, 0) > (TMF_TIMEOUT_S - GATHER_S) * NSEC_PER_SEC) {
		timer_arm(s->rs->reactor, &tmf->timer, GATHER_TICK_MS * NSEC_PER_MSEC);
	} else {
		tmf->unfenced = true;
		answer(tmf);
	}
}

static void tmf_begin(struct tmf *tmf)
{
	struct session *s = tmf->session;
	bool missing = !tmf->command && !is_alone(s) && commands_missing(tmf);
	uint32_t cmdsn = tmf->cmdsn;

	s->tmf_count++;
	list_add_tail(&s->tmfs, &tmf->node);
	if (missing && !kinds[tmf->function].every_task) {
		tmf->state = TMF_GATHERS;
		tmf->gathers = true;
		tmf->timer.fn = gather;
		timer_arm(s->rs->reactor, &tmf->timer, GATHER_TICK_MS * NSEC_PER_MSEC);
		return;
	}
	tmf_run(tmf); /* may free it, but not before this turn is over */
	if (missing)
		fill_gaps(s, cmdsn);
}

/* --- Requests */

/* ABORT TASK for a tag that is not here (RFC 7143 11.5.1, 11.6.1). */
static uint8_t abort_unknown(struct iconn *ic, const struct bhs_tmf_request *req)
{
	uint32_t ref = be32_get(req->refcmdsn);
	struct session *s = ic->session;

	if (recovery_reissue(ic, be32_get(req->rtt)))
		return TMF_RSP_COMPLETE;
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

/* The task that ABORT TASK names. It should come on the task's own connection (11.5.1), where nothing
 * overtakes anything. */
static bool find_task(struct tmf *tmf, const struct bhs_tmf_request *req)
{
	const struct command *c = command_find(tmf->session, be32_get(req->rtt));

	if (!c)
		c = find_abandoned(tmf->session, be32_get(req->rtt));
	tmf->command = c;
	tmf->fenced = c && c->ic != tmf->ic;
	return c;
}

static void run_function(struct iconn *ic, struct pdu *pdu)
{
	const struct bhs_tmf_request *req = &pdu->h.tmf_request;
	struct session *s = ic->session;
	struct tmf *tmf = tmf_new(ic, req);

	if (!tmf) {
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
		return;
	}
	if (kinds[tmf->function].lun) {
		tmf->lu = nexus_lu_of(&s->nexus, req->lun);
		if (!tmf->lu) {
			free(tmf);
			respond(ic, req->itt, TMF_RSP_NO_LUN, NULL);
			return;
		}
	} else if (tmf->function == TMF_ABORT_TASK && !find_task(tmf, req)) {
		free(tmf);
		respond(ic, req->itt, abort_unknown(ic, req), NULL);
		return;
	}
	tmf_begin(tmf);
}

static bool offered(const struct session *s, uint8_t function)
{
	if (function > TMF_TASK_REASSIGN && s->who.protocol_level < 2)
		return false;
	return function >= TMF_ABORT_TASK && function <= TMF_QUERY_ASYNC_EVENT;
}

static bool aborts(uint8_t function)
{
	return function < array_size(kinds) && kinds[function].aborts;
}

/* Functions that need nobody else. */
static void answer_at_once(struct iconn *ic, const struct bhs_tmf_request *req)
{
	uint8_t info[3] = { 0 }, response;

	if ((req->function & TMF_FUNCTION_MASK) != TMF_TASK_REASSIGN) {
		response = tmf_query(ic->session, req, info);
		respond(ic, req->itt, response, info);
		return;
	}
	response = recovery_reassign(ic, req);
	respond(ic, req->itt, response, NULL);
	if (response == TMF_RSP_COMPLETE && iconn_up(ic))
		recovery_resume(ic);
}

static unsigned int functions_under_way(const struct session *s)
{
	const struct list *pos;
	unsigned int n = 0;

	list_for_each(pos, &s->tmfs)
		n++;
	return n;
}

void tmf_lost_connection(struct session *s, const struct iconn *ic)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->tmfs) {
		struct tmf *tmf = list_entry(pos, struct tmf, node);
		bool lost = tmf->ic == ic;

		if (lost)
			tmf->ic = NULL;
		if (lost && tmf->state == TMF_GATHERS)
			release(tmf);
		else if (fence_passed(tmf, ic, 0, true) || (lost && tmf->state == TMF_FENCED))
			answer(tmf);
	}
}

void tmf_received(struct iconn *ic, struct pdu *pdu)
{
	const struct bhs_tmf_request *req = &pdu->h.tmf_request;
	uint8_t function = req->function & TMF_FUNCTION_MASK;
	struct session *s = ic->session;

	if (s->who.type == SESSION_DISCOVERY) {
		send_reject(ic, &pdu->h, REJECT_PROTOCOL_ERROR);
		return;
	}
	if (functions_under_way(s) >= TMF_MAX) {
		if (pdu_immediate(&pdu->h.bhs))
			send_reject(ic, &pdu->h, REJECT_IMMEDIATE_COMMAND);
		else
			respond(ic, req->itt, TMF_RSP_REJECTED, NULL);
		return;
	}
	stat_add(&s->stats.tmfs, 1);
	count_function(s->rs, function);
	event_reset(ic, req);
	if (!offered(s, function))
		respond(ic, req->itt, TMF_RSP_NOT_SUPPORTED, NULL);
	else if (function == TMF_TARGET_COLD_RESET && !s->who.target->allow_cold_reset)
		respond(ic, req->itt, TMF_RSP_NOT_AUTHORIZED, NULL);
	else if (aborts(function))
		run_function(ic, pdu);
	else
		answer_at_once(ic, req);
}
