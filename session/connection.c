// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connections: the transport's up-calls, dispatch by opcode, and the two timers (login deadline,
 * keep-alive). Their states: connection_state.h.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "session/capturing.h"
#include "session/login_drive.h"

static struct log_limit peer_limit = LOG_LIMIT(10);

static void tick(struct timer *t);

static uint64_t tick_interval(const struct server_limits *l)
{
	uint64_t s = limit_in(l, data_timeout_s);

	if (limit_in(l, nop_interval_s) && limit_in(l, nop_interval_s) < s)
		s = limit_in(l, nop_interval_s);
	return s * NSEC_PER_SEC / 2;
}

/* Ticks of many connections come together: a thousand that are idle shall not wake the reactor a
 * thousand times. Later by less than a 64th. */
static void arm_tick(struct iconn *ic)
{
	uint64_t now = reactor_now(ic->rs->reactor);
	uint64_t interval = tick_interval(&ic->rs->server->cfg.limits), grain = interval / 64;
	uint64_t due = now + interval + grain - 1;

	timer_arm(ic->rs->reactor, &ic->timer, due - due % grain - now);
}

void iconn_event(struct iconn *ic, enum iconn_event event)
{
	ic->state = machine_next(&connection_machine, &ic->history, ic->state, event,
				 reactor_now(ic->rs->reactor));
}

void iconn_close(struct iconn *ic, bool flush)
{
	if (iconn_live(ic))
		iconn_event(ic, CONN_EV_LOST);
	conn_close(ic->conn, flush);
}

void iconn_end(struct iconn *ic, bool flush)
{
	if (iconn_up(ic))
		iconn_event(ic, CONN_EV_CLOSE);
	iconn_close(ic, flush);
}

static struct reactor *place(void *ctx, const struct sockaddr_storage *peer)
{
	static struct log_limit limit = LOG_LIMIT(5);
	struct server *s = ctx;
	struct reactor *best = NULL;

	(void)peer;
	if (s->stopping)
		return NULL;
	if (s->connections >= limit_of(s, max_connections)) {
		log_write_limited(&limit, LOG_LEVEL_WARN,
				  "connection refused: %u connections are the limit",
				  limit_of(s, max_connections));
		return NULL;
	}
	for (unsigned int i = 0; i < s->cfg.reactor_count; i++) {
		struct reactor *r = s->cfg.reactors[i];

		if (!best || r->load < best->load)
			best = r;
	}
	return best;
}

static void login_deadline(struct timer *t)
{
	struct iconn *ic = container_of(t, struct iconn, timer);

	count_newcomer_end(ic->rs, NEWCOMER_LATE);
	event_login_failed(ic, refusal_name(NEWCOMER_LATE), "the login is not finished in time");
	log_write_limited(&peer_limit, LOG_LEVEL_WARN, "%s: login not finished in %u s, closing",
			  ic->conn->peer_name, limit_of(ic->rs->server, login_timeout_s));
	iconn_close(ic, false);
}

static void accepted(void *ctx, struct conn *conn)
{
	struct server *s = ctx;
	struct reactor_state *rs = reactor_state_of(s, conn->reactor);
	struct iconn *ic = calloc(1, sizeof(*ic));

	conn->user = ic;
	if (!ic) {
		conn_close(conn, false);
		return;
	}
	ic->conn = conn;
	ic->rs = rs;
	ic->timer.fn = login_deadline;
	ic->reinstate_work.fn = iconn_reinstated;
	list_init(&ic->reinstate_node);
	list_init(&ic->session_node);
	list_init(&ic->join_node);
	iconn_event(ic, CONN_EV_CONNECTED);
	list_init(&ic->unacked);
	list_add_tail(&rs->connections, &ic->node);
	traffic_opened(rs, conn);
	newcomer_came(ic);
	s->connections++;
	if (rs->draining) {
		iconn_close(ic, false);
		return;
	}
	timer_arm(rs->reactor, &ic->timer, limit_of(s, login_timeout_s) * NSEC_PER_SEC);
}

/* Full feature phase begins: from the login deadline to the keep-alive tick. */
static void check_phase(struct iconn *ic)
{
	if (!iconn_up(ic) || list_empty(&ic->login_node))
		return;
	newcomer_left(ic);
	capture_logged_in(ic);
	ic->timer.fn = tick;
	ic->last_heard = ic->last_read = ic->last_tick = reactor_now(ic->rs->reactor);
	arm_tick(ic);
}

/* PDUs that may not carry data or an AHS, and that only an initiator may send. */
static bool check_format(struct iconn *ic, struct pdu *pdu)
{
	uint8_t op = pdu_opcode(&pdu->h.bhs);
	bool no_data = op == OP_TMF_REQUEST || op == OP_LOGOUT_REQUEST || op == OP_SNACK;

	if (op >= OP_NOP_IN || (pdu->ahs_len && op != OP_SCSI_COMMAND)) {
		log_write_limited(&peer_limit, LOG_LEVEL_WARN,
				  "%s: protocol error, opcode 0x%02x%s, closing",
				  ic->conn->peer_name, op, pdu->ahs_len ? " with an AHS" : "");
		iconn_close(ic, false);
		return false;
	}
	if (no_data && pdu->data_len) {
		send_reject(ic, &pdu->h, REJECT_INVALID_PDU_FIELD);
		iconn_close(ic, true);
		return false;
	}
	return true;
}

static bool known_opcode(uint8_t op)
{
	return op <= OP_LOGOUT_REQUEST || op == OP_SNACK;
}

/* A request whose turn in CmdSN order has come (or that is immediate). */
void iconn_dispatch(struct iconn *ic, struct pdu *pdu)
{
	switch (pdu_opcode(&pdu->h.bhs)) {
	case OP_NOP_OUT: nop_out_received(ic, pdu); break;
	case OP_TMF_REQUEST: tmf_received(ic, pdu); break;
	case OP_TEXT_REQUEST: text_received(ic, pdu); break;
	case OP_LOGOUT_REQUEST: logout_received(ic, pdu); break;
	}
}

/* N3: an initiator that acknowledges what was never sent is lost. */
static bool check_expstatsn(struct iconn *ic, const struct pdu *pdu)
{
	uint32_t expstatsn = be32_get(pdu->h.nop_out.expstatsn); /* same place in all requests */

	if (sn_le(expstatsn, ic->statsn))
		return true;
	log_write_limited(&peer_limit, LOG_LEVEL_WARN,
			  "%s: ExpStatSN %u is ahead of StatSN %u, closing", ic->conn->peer_name,
			  expstatsn, ic->statsn);
	iconn_close(ic, false);
	return false;
}

/* Everything but SCSI Command in full feature phase. */
static void request_received(struct iconn *ic, struct pdu *pdu)
{
	struct session *s = ic->session;
	const struct bhs *bhs = &pdu->h.bhs;
	uint8_t op = pdu_opcode(bhs);

	if (op == OP_LOGIN_REQUEST) {
		send_reject(ic, &pdu->h, REJECT_PROTOCOL_ERROR);
		iconn_close(ic, true);
		return;
	}
	if (op == OP_SNACK) {
		snack_received(ic, pdu);
		return;
	}
	if (pdu->data_digest_error || pdu->dropped) {
		send_reject(ic, &pdu->h,
			    pdu->dropped ? REJECT_OUT_OF_RESOURCES : REJECT_DATA_DIGEST);
		return;
	}
	if (be32_get(bhs->itt) == TAG_NONE && (op != OP_NOP_OUT || !pdu_immediate(bhs))) {
		send_reject(ic, &pdu->h, REJECT_INVALID_PDU_FIELD);
		return;
	}
	if (!pdu_immediate(bhs)) {
		uint32_t cmdsn = be32_get(pdu->h.nop_out.cmdsn); /* same place in all requests */

		switch (session_cmdsn(s, cmdsn)) {
		case CMDSN_IGNORE: return;
		case CMDSN_HOLD:
			if (session_hold(s, cmdsn, NULL, ic, pdu) == HELD_NO_MEMORY)
				send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
			return;
		case CMDSN_NOW: /* done at once: the window moves as a whole */
			s->expcmdsn++;
			s->maxcmdsn++;
			break;
		}
	}
	iconn_dispatch(ic, pdu);
	session_release_held(s);
}

static void full_feature(struct iconn *ic, struct pdu *pdu)
{
	uint8_t op = pdu_opcode(&pdu->h.bhs);

	if (!check_format(ic, pdu))
		return;
	if (!known_opcode(op)) {
		send_reject(ic, &pdu->h, REJECT_NOT_SUPPORTED);
		return;
	}
	if (op != OP_LOGIN_REQUEST) {
		if (!check_expstatsn(ic, pdu))
			return;
		recovery_acknowledge(ic, be32_get(pdu->h.nop_out.expstatsn));
		if (!iconn_up(ic)) /* the window was told, by one answer too many */
			return;
	}
	if (op == OP_SCSI_COMMAND) {
		command_received(ic, pdu);
		session_release_held(ic->session);
	} else {
		request_received(ic, pdu);
	}
}

static void pdu_received(struct conn *conn, struct pdu *pdu)
{
	struct iconn *ic = conn->user;
	uint8_t op = pdu_opcode(&pdu->h.bhs);

	if (!ic || conn->closing)
		return;
	switch (ic->state) {
	case CONN_XPT_UP:
		if (op != OP_LOGIN_REQUEST) { /* not iSCSI: no answer */
			iconn_close(ic, false);
			return;
		}
		if (join_elsewhere(ic, &pdu->h.login_request))
			return;
		capture_login(ic, pdu);
		ic->restart_expstatsn = be32_get(pdu->h.login_request.expstatsn);
		iconn_event(ic, CONN_EV_LOGIN);
		/* fall through */
	case CONN_IN_LOGIN:
		if (op != OP_LOGIN_REQUEST) {
			login_drive_refuse(ic, &pdu->h.bhs, LOGIN_INVALID_DURING_LOGIN,
					   "not a Login Request during login");
			return;
		}
		newcomer_went_on(ic);
		login_drive(ic, pdu);
		check_phase(ic);
		break;
	case CONN_ESTABLISHING: /* RFC 7143 6.3: the initiator must wait for our response */
		login_drive_refuse(ic, &pdu->h.bhs, LOGIN_INVALID_DURING_LOGIN,
				   "a PDU before the final Login Response");
		break;
	case CONN_LOGGED_IN:
	case CONN_LOGOUT_REQUESTED: full_feature(ic, pdu); break;
	case CONN_FREE:
	case CONN_IN_LOGOUT:
	case CONN_CLOSING:
	case CONN_CLEANUP: break;
	}
}

static void protocol_error(struct conn *conn, const union pdu_header *h, enum reject_reason reason,
			   bool fatal)
{
	struct iconn *ic = conn->user;

	if (!ic || ic->state >= CONN_IN_LOGOUT)
		return;
	/* An AHS that cannot be leaves no frame to answer in: RFC 7143 7.7. */
	if (iconn_up(ic) && h->bhs.total_ahs_len * 4 <= AHS_MAX)
		send_reject(ic, h, reason);
	else if (!iconn_up(ic) && pdu_opcode(&h->bhs) == OP_LOGIN_REQUEST)
		login_drive_refuse(ic, &h->bhs, LOGIN_INITIATOR_ERROR,
				   "malformed PDU during login");
	else if (ic->state == CONN_IN_LOGIN || ic->state == CONN_ESTABLISHING)
		login_drive_refuse(ic, &h->bhs, LOGIN_INVALID_DURING_LOGIN,
				   "not a Login Request during login");
	if (fatal)
		iconn_close(ic, true);
}

static void transfer_done(struct conn *conn, struct transfer *t)
{
	(void)conn;
	command_transfer_done(t);
}

static void stamp(struct conn *conn, union pdu_header *r2t)
{
	const struct iconn *ic = conn->user;

	r2t->r2t.statsn = be32_of(ic->statsn);
	fill_window(ic->session, &r2t->r2t.expcmdsn, &r2t->r2t.maxcmdsn);
}

void iconn_go_on(struct iconn *ic)
{
	if (ic->state != CONN_ESTABLISHING)
		return;
	iconn_event(ic, CONN_EV_GO_ON);
	login_drive_continue(ic);
	check_phase(ic);
}

/* An old session is gone, or this connection is: exactly one of the two frees the wait. */
void iconn_reinstated(struct work *work)
{
	struct iconn *ic = container_of(work, struct iconn, reinstate_work);
	struct server *s = ic->rs->server;

	pthread_mutex_lock(&s->lock);
	ic->reinstate_posted = false;
	pthread_mutex_unlock(&s->lock);
	if (ic->gone) {
		free(ic);
		return;
	}
	iconn_go_on(ic);
}

/* The way there, when it was no good one. */
static void log_end(const struct iconn *ic)
{
	char past[512];

	if (ic->state == CONN_CLEANUP && log_enabled(LOG_LEVEL_DEBUG))
		log_write(LOG_LEVEL_DEBUG, "%s: lost: %s", ic->conn->peer_name,
			  history_format(&connection_machine, &ic->history, past, sizeof(past)));
}

static void closed(struct conn *conn)
{
	struct iconn *ic = conn->user;
	struct reactor_state *rs;
	struct server *s;
	bool posted;

	if (!ic)
		return;
	capture_detach(conn);
	rs = ic->rs;
	s = rs->server;
	if (iconn_live(ic))
		iconn_event(ic, CONN_EV_LOST);
	log_end(ic);
	if (ic->state == CONN_CLEANUP)
		stat_add(&rs->counters.lost, 1);
	newcomer_left(ic);
	list_del(&ic->node);
	traffic_closed(ic);
	timer_cancel(rs->reactor, &ic->timer);
	login_state_free(ic->login);
	text_exchange_free(ic->text);
	text_env_free(ic->text_env);
	recovery_release(ic);
	if (ic->session)
		session_lost_connection(ic->session, ic);
	if (ic->joining)
		join_gave_up(ic);
	iconn_event(ic, CONN_EV_CLOSED);
	s->connections--;
	pthread_mutex_lock(&s->lock);
	if (ic->reinstate_waiting) {
		list_del(&ic->reinstate_node);
		ic->reinstate_waiting = false;
	}
	posted = ic->reinstate_posted;
	ic->gone = true;
	pthread_mutex_unlock(&s->lock);
	if (!posted)
		free(ic);
	reactor_drain_check(rs);
}

/* A command whose Data-Out never comes holds a buffer: give up on the connection. While data of
 * other commands comes, it is only slow. */
static bool data_overdue(const struct iconn *ic, uint64_t now)
{
	uint64_t limit = limit_of(ic->rs->server, data_timeout_s) * NSEC_PER_SEC;
	struct list *pos;

	list_for_each(pos, &ic->session->commands) {
		const struct command *c = list_entry(pos, struct command, node);
		uint64_t since = c->ic == ic ? c->data_since : 0;

		if (since && now - (since > ic->last_data ? since : ic->last_data) > limit)
			return true;
	}
	return false;
}

/* Whole PDUs count, not bytes: a PDU that trickles in for ever is no sign of life. */
static void look_for_traffic(struct iconn *ic, uint64_t now)
{
	uint64_t in = ic->conn->pdus_in, out = ic->conn->bytes_out;

	if (in != ic->pdus_in_seen) {
		ic->pdus_in_seen = in;
		ic->last_heard = now;
		ic->nop_outstanding = false;
	}
	if (out != ic->bytes_out_seen || !ic->conn->bytes_queued) {
		ic->bytes_out_seen = out;
		ic->last_read = now;
	}
}

/* Why the connection has to go, or NULL. */
static const char *lost(const struct iconn *ic, uint64_t now)
{
	const struct server_limits *l = &ic->rs->server->cfg.limits;

	if (data_overdue(ic, now))
		return "no Data-Out came for too long";
	if (now - ic->last_read > limit_in(l, data_timeout_s) * NSEC_PER_SEC)
		return "nothing of what was sent was read for too long";
	if (limit_in(l, nop_interval_s) && ic->nop_outstanding &&
	    now - ic->last_heard >= 2 * limit_in(l, nop_interval_s) * NSEC_PER_SEC)
		return "no answer to NOP-In";
	return NULL;
}

static void tick(struct timer *t)
{
	struct iconn *ic = container_of(t, struct iconn, timer);
	const struct server_limits *l = &ic->rs->server->cfg.limits;
	uint64_t now = reactor_now(ic->rs->reactor);
	/* We got no CPU ourselves: what the initiator did meanwhile is still on its way to us. */
	bool held_up = now - ic->last_tick > 2 * tick_interval(l);
	const char *why;

	if (!iconn_up(ic))
		return;
	ic->last_tick = now;
	look_for_traffic(ic, now);
	traffic_look(ic);
	why = held_up ? NULL : lost(ic, now);
	if (!why && !held_up)
		why = recovery_overdue(ic, now);
	if (why) {
		log_write_limited(&peer_limit, LOG_LEVEL_WARN, "%s: %s: %s, closing",
				  ic->conn->peer_name, ic->session->who.initiator_name, why);
		async_drop(ic);
		return;
	}
	if (limit_in(l, nop_interval_s) && !ic->nop_outstanding &&
	    now - ic->last_heard >= limit_in(l, nop_interval_s) * NSEC_PER_SEC)
		nop_in_ping(ic);
	arm_tick(ic);
}

const struct conn_up session_conn_up = {
	.place = place,
	.accepted = accepted,
	.pdu_received = pdu_received,
	.protocol_error = protocol_error,
	.transfer_done = transfer_done,
	.stamp = stamp,
	.closed = closed,
};
