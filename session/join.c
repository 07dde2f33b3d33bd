// SPDX-License-Identifier: BSD-2-Clause
/*
 * More connections of a session: a Login Request with a TSIH (RFC 7143 6.3.1, 11.12.6). Everything
 * of a session belongs to one reactor, so the connection goes there first. A login with the CID of a
 * connection takes its place (6.3.4): it waits until nothing of that one can move any more.
 */
#include "core/log.h"
#include "session/login_drive.h"

bool join_elsewhere(struct iconn *ic, const struct bhs_login_request *req)
{
	uint16_t tsih = be16_get(req->tsih);
	struct reactor_state *home = tsih ? server_home_of(ic->rs->server, tsih) : NULL;

	/* At a stop the other one may be through already. */
	if (!home || home == ic->rs || !ic->conn->movable || ic->rs->server->stopping)
		return false;
	iconn_event(ic, CONN_EV_MOVED);
	ic->moved = true;
	timer_cancel(ic->rs->reactor, &ic->timer);
	conn_hand_over(ic->conn, home->reactor, ic->rs->server);
	return true;
}

/* Those that have begun to end do not count. */
static unsigned int count_others(const struct session *s, uint16_t cid)
{
	unsigned int n = 0;
	struct list *pos;

	list_for_each(pos, &s->conns) {
		const struct iconn *ic = list_entry(pos, struct iconn, session_node);

		n += ic->cid != cid && iconn_up(ic);
	}
	return n;
}

/* All its connections have logged out, and nobody waits to take the place of one: it ends as soon as
 * the transport has given them back. */
static bool is_over(const struct session *s)
{
	struct list *pos;

	if (list_empty(&s->conns) || !list_empty(&s->joiners) || !list_empty(&s->lost_cids))
		return false;
	list_for_each(pos, &s->conns) {
		const struct iconn *ic = list_entry(pos, struct iconn, session_node);

		if (iconn_live(ic) || ic->tasks != TASKS_ABORT)
			return false;
	}
	return true;
}

static enum login_status check(struct iconn *ic, const struct login_result *who,
			       struct session **out)
{
	enum login_status status = server_find_session(ic->rs, who, out);
	const struct session *s = *out;

	if (status != LOGIN_SUCCESS)
		return status;
	if (s->dying || is_over(s) || ic->rs->draining)
		return LOGIN_NO_SESSION;
	if (s->transport != ic->conn->ops)
		return LOGIN_CANNOT_INCLUDE;
	if (count_others(s, who->cid) >= s->who.max_connections)
		return LOGIN_TOO_MANY_CONNECTIONS;
	return LOGIN_SUCCESS;
}

/* What holds for the session, not for a connection alone (RFC 7143 13, "leading only"). */
static struct conn_params params_in(const struct session *s, const struct login_result *who)
{
	struct conn_params p = s->who.params;

	p.header_digest = who->params.header_digest;
	p.data_digest = who->params.data_digest;
	p.max_recv_dsl = who->params.max_recv_dsl;
	p.max_xmit_dsl = who->params.max_xmit_dsl;
	return p;
}

static void wait(struct iconn *ic, struct session *s)
{
	iconn_event(ic, CONN_EV_WAIT);
	ic->joining = s;
	list_add_tail(&s->joiners, &ic->join_node);
	s->watched = true;
}

/* Takes the place of a connection with its CID, if there is one. True: that is on its way out. */
static bool replace(struct session *s, uint16_t cid)
{
	static struct log_limit limit = LOG_LIMIT(100);
	struct iconn *old = session_find_cid(s, cid);

	if (!session_cid_busy(s, cid))
		return false;
	if (!old)
		return true;
	if (old->tasks == TASKS_UNDECIDED)
		old->tasks = s->who.error_recovery_level == 2 ? TASKS_REASSIGN : TASKS_ABORT;
	if (iconn_live(old))
		log_write_limited(&limit, LOG_LEVEL_INFO,
				  "%s: connection %u of session %u is reinstated by a new login",
				  old->conn->peer_name, cid, s->tsih);
	iconn_end(old, false);
	return true;
}

void join_session(struct iconn *ic)
{
	const struct login_result *who = login_drive_result(ic);
	struct session *s = NULL;
	enum login_status status = check(ic, who, &s);
	struct conn_params params;
	uint16_t cid = who->cid;

	if (status != LOGIN_SUCCESS) {
		login_drive_refuse(ic, login_drive_request(ic), status,
				   "cannot be a connection of the session with this TSIH");
		return;
	}
	if (replace(s, cid)) {
		wait(ic, s);
		return;
	}
	logout_progress(s); /* while nobody has this CID */
	params = params_in(s, who);
	ic->cid = cid;
	if (s->state == SESSION_FAILED)
		session_event(s, SESSION_EV_CONTINUE);
	session_add_connection(s, ic);
	login_drive_enter(ic, s, &params);
	if (!iconn_up(ic)) {
		if (s->state == SESSION_IN_CONTINUE)
			session_event(s, SESSION_EV_CONTINUE_FAILED);
		return;
	}
	if (s->state == SESSION_IN_CONTINUE)
		session_event(s, SESSION_EV_LOGGED_IN);
	session_cid_acknowledged(s, cid, ic->restart_expstatsn);
	session_cid_logged_out(s, cid, false);
}

void join_gave_up(struct iconn *ic)
{
	struct session *s = ic->joining;

	list_del(&ic->join_node);
	ic->joining = NULL;
	session_settle(s);
	session_watched(s);
}

/* Of several with one CID each takes the place of the one before: the initiator wants the last. */
static struct iconn *next_joiner(const struct session *s)
{
	struct list *pos;

	list_for_each(pos, &s->joiners) {
		struct iconn *ic = list_entry(pos, struct iconn, join_node);
		uint16_t cid = login_drive_result(ic)->cid;
		const struct iconn *old = session_find_cid(s, cid);

		if (s->dying || (old && iconn_live(old)) || !session_cid_busy(s, cid))
			return ic;
	}
	return NULL;
}

void join_progress(struct session *s)
{
	struct iconn *ic;

	while ((ic = next_joiner(s))) {
		list_del(&ic->join_node);
		ic->joining = NULL;
		iconn_go_on(ic);
	}
	session_settle(s);
}
