// SPDX-License-Identifier: BSD-2-Clause
/*
 * Logout (RFC 7143 11.14, 11.15): of the session, of any of its connections, and of a connection
 * whose tasks shall be reassigned. The response says that the clean-up is complete, so it waits until
 * the tasks are back, and until the session has no reservation any more; the connection that carries
 * the request is closed behind it, another one before it.
 *
 * Tasks that can change nothing any more are not waited for: a READ that hangs in its disk. While a
 * write hangs the session keeps its reservations, whatever was answered: what it writes may yet reach
 * the medium, where whoever reserves that next wants to be alone.
 */
#include <stdlib.h>

#include "core/log.h"
#include "session/internal.h"

enum leaves { ANOTHER, ITSELF, WHOLE_SESSION };

/* A Logout Request that waits for its answer. */
struct leaving {
	struct list node; /* session.leaving */
	struct iconn *ic; /* that gets the answer */
	enum leaves what;
	struct be32 itt;
	uint16_t cid; /* of what leaves */
	struct timer timer;
};

static void respond(struct iconn *ic, struct be32 itt, uint8_t response)
{
	const struct login_result *who = &ic->session->who;
	struct reply *rp = reply_new(ic, OP_LOGOUT_RESPONSE);

	if (!rp) {
		iconn_close(ic, false);
		return;
	}
	rp->tx.h.logout_response.response = response;
	rp->tx.h.logout_response.itt = itt;
	rp->tx.h.logout_response.time2wait = be16_of((uint16_t)who->time2wait);
	rp->tx.h.logout_response.time2retain = be16_of((uint16_t)who->time2retain);
	reply_send(rp, true);
}

/* The response is the last PDU on ic. */
static void last_words(struct iconn *ic, struct be32 itt, uint8_t response)
{
	respond(ic, itt, response);
	if (!iconn_live(ic))
		return;
	iconn_event(ic, CONN_EV_LOGGED_OUT);
	conn_close(ic->conn, true);
}

static void leaving_free(struct leaving *l)
{
	timer_cancel(l->ic->rs->reactor, &l->timer);
	list_del(&l->node);
	free(l);
}

static void leaving_answer(struct leaving *l, uint8_t response)
{
	struct iconn *ic = l->ic;
	struct be32 itt = l->itt;
	enum leaves what = l->what;

	leaving_free(l);
	if (what == WHOLE_SESSION && response == LOGOUT_RSP_SUCCESS &&
	    ic->session->who.type == SESSION_NORMAL)
		nexus_loss(&ic->session->nexus);
	if (what != ANOTHER)
		last_words(ic, itt, response);
	else if (iconn_up(ic))
		respond(ic, itt, response);
}

/* Aborted, and not back. */
static bool waits_for(const struct leaving *l, const struct command *c)
{
	if (!session_not_back(c))
		return false;
	switch (l->what) {
	case ANOTHER: return !c->ic && c->cid == l->cid;
	case ITSELF: return c->ic == l->ic;
	case WHOLE_SESSION: break;
	}
	return true;
}

/* Its tag and its slot are free when the response is there. */
static void abandon(struct command *c)
{
	c->reports = false; /* there is no connection to tell it on */
	command_abandon(c);
}

static bool is_done(const struct session *s, const struct leaving *l)
{
	struct list *pos;

	if (l->what == ANOTHER && session_find_cid(s, l->cid))
		return false;
	if (l->what == ITSELF && l->ic->tasks == TASKS_REASSIGN)
		return true;
	list_for_each(pos, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (!waits_for(l, c))
			continue;
		if (c->moving || !scsi_give_up(&c->task))
			return false;
		abandon(c);
	}
	return true;
}

static void leaving_late(struct timer *t)
{
	static struct log_limit limit = LOG_LIMIT(10);
	struct leaving *l = container_of(t, struct leaving, timer);
	struct session *s = l->ic->session;
	unsigned int count = 0;
	struct list *pos;

	list_for_each(pos, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (!waits_for(l, c))
			continue;
		count++;
		abandon(c);
	}
	log_write_limited(
		&limit, LOG_LEVEL_WARN,
		"%s: %s: Logout answered with a failure: %u commands of session %u are "
		"still in the backstore after %d s%s",
		l->ic->conn->peer_name, s->who.initiator_name, count, s->tsih, TMF_TIMEOUT_S,
		l->what == WHOLE_SESSION ? "; until they are back it keeps its reservations" : "");
	leaving_answer(l, LOGOUT_RSP_FAILED);
}

void logout_progress(struct session *s)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->leaving) {
		struct leaving *l = list_entry(pos, struct leaving, node);

		if (is_done(s, l))
			leaving_answer(l, LOGOUT_RSP_SUCCESS);
	}
}

void logout_lost_connection(struct session *s, const struct iconn *ic)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->leaving) {
		struct leaving *l = list_entry(pos, struct leaving, node);

		if (l->ic == ic)
			leaving_free(l);
	}
}

/* Another connection waits for its end already. */
static bool is_leaving(const struct session *s, uint16_t cid)
{
	struct list *pos;

	list_for_each(pos, &s->leaving) {
		const struct leaving *l = list_entry(pos, struct leaving, node);

		if (l->what == ANOTHER && l->cid == cid)
			return true;
	}
	return false;
}

/* At most two requests for each connection are not answered: its own, and one of the others. False: no
 * memory. */
static bool answer_later(struct iconn *ic, const struct bhs_logout_request *req, enum leaves what)
{
	struct session *s = ic->session;
	struct leaving *l = calloc(1, sizeof(*l));

	if (!l)
		return false;
	l->ic = ic;
	l->what = what;
	l->itt = req->itt;
	l->cid = what == ANOTHER ? be16_get(req->cid) : ic->cid;
	l->timer.fn = leaving_late;
	list_add_tail(&s->leaving, &l->node);
	timer_arm(ic->rs->reactor, &l->timer, TMF_TIMEOUT_S * NSEC_PER_SEC);
	s->watched = true;
	return true;
}

/* Nobody is left behind it: the others have logged out, too, though the transport has something of
 * them, or their own Logout waits for its answer. */
static bool is_last(const struct iconn *ic)
{
	const struct session *s = ic->session;
	struct list *pos;

	list_for_each(pos, &s->conns) {
		const struct iconn *other = list_entry(pos, struct iconn, session_node);

		if (other != ic && (iconn_up(other) || other->tasks != TASKS_ABORT))
			return false;
	}
	return list_empty(&s->joiners) && list_empty(&s->lost_cids);
}

static void leave(struct iconn *ic, const struct bhs_logout_request *req, enum leaves what)
{
	static struct log_limit limit = LOG_LIMIT(100);
	struct session *s = ic->session;
	const struct log_about about = { .target = s->who.target ? s->who.target->scsi->name : NULL,
					 .initiator = s->who.initiator_name,
					 .from = ic->conn->peer_name,
					 .session = s->tsih };

	log_write_about(&about, &limit, LOG_LEVEL_INFO, "%s: %s logged out", ic->conn->peer_name,
			s->who.initiator_name);
	event_session(s, ic, SERVER_LOGOUT, "logout", "logged out");
	iconn_event(ic, CONN_EV_LOGOUT);
	if (what == WHOLE_SESSION)
		session_end(s, SESSION_EV_CLOSED, true);
	session_discard_held(s, ic); /* or their turn might come while we wait */
	if (ic->tasks != TASKS_REASSIGN)
		session_abort_tasks(s, what == ITSELF ? ic : NULL);
	if (answer_later(ic, req, what)) {
		ic->conn->answer_due = true; /* whatever the initiator closes meanwhile */
		logout_progress(s);
	} else {
		last_words(ic, req->itt, LOGOUT_RSP_FAILED);
	}
}

/* Those of another connection. */
static bool wait_for_tasks(struct iconn *ic, const struct bhs_logout_request *req)
{
	if (answer_later(ic, req, ANOTHER))
		return true;
	respond(ic, req->itt, LOGOUT_RSP_FAILED);
	return false;
}

static void logout_cid(struct iconn *ic, const struct bhs_logout_request *req, bool recover)
{
	struct session *s = ic->session;
	uint16_t cid = be16_get(req->cid);
	struct iconn *other = session_find_cid(s, cid);
	bool found;

	if (other && !is_leaving(s, cid)) {
		if (!recover || other->state != CONN_IN_LOGOUT) /* that has decided it */
			other->tasks = recover ? TASKS_REASSIGN : TASKS_ABORT;
		if (other == ic)
			leave(ic, req, !recover && is_last(ic) ? WHOLE_SESSION : ITSELF);
		else if (wait_for_tasks(ic, req))
			iconn_end(other, false);
		return;
	}
	found = recover ? session_cid_logged_out(s, cid, true) : session_forget_cid(s, cid);
	if (!found || recover || !session_cid_busy(s, cid))
		respond(ic, req->itt, found ? LOGOUT_RSP_SUCCESS : LOGOUT_RSP_NO_CID);
	else if (wait_for_tasks(ic, req)) /* that are not back yet */
		logout_progress(s);
}

void logout_received(struct iconn *ic, struct pdu *pdu)
{
	const struct bhs_logout_request *req = &pdu->h.logout_request;
	struct session *s = ic->session;

	switch (req->reason & 0x7f) {
	case LOGOUT_SESSION: leave(ic, req, WHOLE_SESSION); break;
	case LOGOUT_CONNECTION: logout_cid(ic, req, false); break;
	case LOGOUT_RECOVERY:
		if (s->who.error_recovery_level == 2)
			logout_cid(ic, req, true);
		else
			respond(ic, req->itt, LOGOUT_RSP_NO_RECOVERY);
		break;
	default: send_reject(ic, &pdu->h, REJECT_PROTOCOL_ERROR); break;
	}
}
