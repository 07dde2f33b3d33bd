// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connections that end, and what remains of them (RFC 7143 7.2.2, 7.4, 8.1.5).
 *
 *   how it ends              its tasks                    its session
 *   Logout of it             aborted; kept if for         goes on; ends with the last one
 *                            recovery
 *   a login with its CID     aborted; level 2: kept       goes on
 *   lost, levels 0 and 1     aborted                      ends: what was on the way would leave
 *                                                         a hole in the CmdSN order for ever
 *   lost, level 2            kept                         goes on; without any, waits
 *
 * Tasks are kept for DefaultTime2Wait and DefaultTime2Retain, and so is a session without
 * connections: as long as it remembers a CID.
 */
#include <stdlib.h>

#include "core/log.h"
#include "session/recovery.h"

struct lost_cid {
	struct list node; /* session.lost_cids */
	struct session *session;
	uint16_t cid;
	enum cid_state state;
	struct timer timer;
	struct history history;
};

static struct lost_cid *find(const struct session *s, uint16_t cid)
{
	struct list *pos;

	list_for_each(pos, &s->lost_cids) {
		struct lost_cid *l = list_entry(pos, struct lost_cid, node);

		if (l->cid == cid)
			return l;
	}
	return NULL;
}

static void event(struct lost_cid *l, enum cid_event e)
{
	l->state = machine_next(&cid_machine, &l->history, l->state, e,
				reactor_now(l->session->rs->reactor));
}

/* What is still there of its tasks is aborted. */
static void forget(struct lost_cid *l)
{
	struct session *s = l->session;
	uint16_t cid = l->cid;

	if (l->state == CID_CLEANUP_WAIT)
		event(l, CID_EV_EXPIRED);
	timer_cancel(s->rs->reactor, &l->timer);
	list_del(&l->node);
	free(l);
	recovery_expire(s, cid);
}

static void expired(struct timer *t)
{
	static struct log_limit limit = LOG_LIMIT(10);
	struct lost_cid *l = container_of(t, struct lost_cid, timer);
	struct session *s = l->session;

	log_write_limited(&limit, LOG_LEVEL_INFO,
			  "session %u of %s: nobody has taken over connection %u in time", s->tsih,
			  s->who.initiator_name, l->cid);
	forget(l);
	session_settle(s);
	session_watched(s);
}

static void arm(struct lost_cid *l)
{
	const struct login_result *who = &l->session->who;
	uint64_t seconds = (uint64_t)who->time2wait + who->time2retain;

	/* The initiator alone chooses Time2Wait, up to an hour; what is kept pins memory. */
	if (seconds > RETAIN_MAX_S)
		seconds = RETAIN_MAX_S;
	timer_arm(l->session->rs->reactor, &l->timer, seconds * NSEC_PER_SEC);
}

static void make_room(struct session *s)
{
	unsigned int n = 0;
	struct list *pos;

	list_for_each(pos, &s->lost_cids)
		n++;
	if (n >= LOST_CIDS_MAX)
		forget(list_entry(s->lost_cids.next, struct lost_cid, node));
}

/* Numbers of connections before ic say nothing to the one that takes its place: StatSN begins anew on
 * each. */
static void forget_numbers(const struct session *s, const struct iconn *ic)
{
	struct list *pos;

	list_for_each(pos, &s->commands) {
		const struct command *c = list_entry(pos, struct command, node);

		if (c->ic == ic ? !c->kept->numbered : !c->ic && c->cid == ic->cid)
			c->kept->status.since = 0;
	}
}

void session_cid_acknowledged(struct session *s, uint16_t cid, uint32_t expstatsn)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);
		struct recovery *r = c->kept;

		if (c->ic || c->cid != cid || !c->answered || !r || !r->suspended ||
		    !r->status.since || !sn_lt(r->status.statsn, expstatsn))
			continue;
		r->suspended = false;
		recovery_drop(c); /* may free c */
	}
}

/* The tasks of ic stay. False: no memory. */
static bool keep(struct session *s, struct iconn *ic)
{
	struct lost_cid *l = find(s, ic->cid);

	if (l) {
		list_del(&l->node);
		timer_cancel(s->rs->reactor, &l->timer);
	} else {
		make_room(s);
		l = calloc(1, sizeof(*l));
		if (!l)
			return false;
		list_init(&l->node);
		l->session = s;
		l->cid = ic->cid;
		l->timer.fn = expired;
	}
	l->state = CID_CLEANUP_WAIT;
	list_add_tail(&s->lost_cids, &l->node);
	arm(l);
	forget_numbers(s, ic);
	recovery_suspend(s, ic);
	return true;
}

static void logged_out(struct lost_cid *l)
{
	if (l->state != CID_CLEANUP_WAIT)
		return;
	event(l, CID_EV_LOGOUT);
	event(l, CID_EV_LOGGED_OUT);
}

bool session_lost_cid(const struct session *s, uint16_t cid, bool *ready)
{
	const struct lost_cid *l = find(s, cid);

	*ready = l && l->state == CID_FREE;
	return l;
}

bool session_cid_logged_out(struct session *s, uint16_t cid, bool again)
{
	struct lost_cid *l = find(s, cid);

	if (!l)
		return false;
	logged_out(l);
	if (again)
		arm(l);
	return true;
}

bool session_forget_cid(struct session *s, uint16_t cid)
{
	struct lost_cid *l = find(s, cid);

	if (l)
		forget(l);
	return l;
}

void session_forget_cids(struct session *s)
{
	while (!list_empty(&s->lost_cids))
		forget(list_entry(s->lost_cids.next, struct lost_cid, node));
}

struct iconn *session_find_cid(const struct session *s, uint16_t cid)
{
	struct list *pos;

	list_for_each(pos, &s->conns) {
		struct iconn *ic = list_entry(pos, struct iconn, session_node);

		if (ic->cid == cid)
			return ic;
	}
	return NULL;
}

bool session_not_back(const struct command *c)
{
	return c->task.aborted && !c->answered && !(c->kept && c->kept->shed && c->kept->suspended);
}

bool session_cid_busy(const struct session *s, uint16_t cid)
{
	struct list *pos;

	if (session_find_cid(s, cid))
		return true;
	list_for_each(pos, &s->commands) {
		const struct command *c = list_entry(pos, struct command, node);

		if (!c->ic && c->cid == cid && session_not_back(c))
			return true;
	}
	return false;
}

void session_abort_tasks(struct session *s, const struct iconn *ic)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (!c->held && (!ic || c->ic == ic))
			command_abort(c, false); /* may free c */
	}
}

static void abort_tasks(struct session *s, const struct iconn *ic)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (c->ic != ic)
			continue;
		c->ic = NULL;
		c->cid = ic->cid;
		if (c->kept) /* it was reassigned to ic, but did not go on there */
			c->kept->suspended = false;
		command_abort(c, false); /* may free c */
	}
}

static bool recoverable(const struct session *s)
{
	return s->who.error_recovery_level == 2 && s->who.time2retain > 0 && !s->dying &&
	       !s->rs->draining;
}

/* Nobody is waited for by more sessions than there may be connections. */
static void wait_for_connection(struct session *s)
{
	struct server *server = s->server;

	session_event(s, SESSION_EV_FAILED);
	if (server->connections + server->failed > limit_of(server, max_connections))
		session_end(s, SESSION_EV_TIMEOUT, false);
}

void session_settle(struct session *s)
{
	if (s->dying || !list_empty(&s->conns) || !list_empty(&s->joiners))
		return;
	if (list_empty(&s->lost_cids) || s->rs->draining) /* then nobody can come back */
		session_end(s, SESSION_EV_CLOSED, false);
	else if (s->state == SESSION_LOGGED_IN)
		wait_for_connection(s);
}

void session_lost_connection(struct session *s, struct iconn *ic)
{
	bool lost = ic->state == CONN_CLEANUP && ic->tasks == TASKS_UNDECIDED;
	bool kept = false;

	if (lost && !s->dying)
		event_session(s, ic, SERVER_LOST, "connection-lost",
			      s->who.error_recovery_level < 2
				      ? "the connection is lost, and its session with it"
				      : "the connection is lost, its tasks wait for a new one");
	list_del(&ic->session_node);
	s->stats.bytes_copied += ic->conn->bytes_copied;
	session_discard_held(s, ic);
	tmf_lost_connection(s, ic);
	logout_lost_connection(s, ic);
	if ((lost || ic->tasks == TASKS_REASSIGN) && recoverable(s))
		kept = keep(s, ic);
	if (kept && ic->tasks == TASKS_REASSIGN)
		session_cid_logged_out(s, ic->cid, false);
	if (!kept)
		abort_tasks(s, ic);
	recovery_release(ic);
	if (s->dying && list_empty(&s->conns))
		session_drop_held(s);
	if (lost && !s->dying && s->who.error_recovery_level < 2) {
		session_event(s, SESSION_EV_FAILED);
		session_end(s, SESSION_EV_TIMEOUT, false);
	}
	session_settle(s);
	session_watched(s);
}

void session_progress(struct work *work)
{
	struct session *s = container_of(work, struct session, progress_work);

	if (s->freeing)
		return;
	logout_progress(s); /* before its CID is taken again */
	join_progress(s);
	s->watched = s->dying || !list_empty(&s->joiners) || !list_empty(&s->leaving);
	session_check_dead(s);
}

void session_watched(struct session *s)
{
	if (s->freeing)
		return;
	if (s->dying && list_empty(&s->joiners) && list_empty(&s->leaving))
		session_check_dead(s);
	else
		reactor_defer(s->rs->reactor, &s->progress_work);
}
