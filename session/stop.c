// SPDX-License-Identifier: BSD-2-Clause
/*
 * The orderly stop: no new connections; every initiator is asked to log out (RFC 7143 11.9.1, event 1).
 * Commands in progress finish, new ones are answered BUSY. A reactor is through with the first of these:
 *
 *   all its initiators have logged out
 *   no command is in progress, and STOP_LOGOUT_S have passed: who ignores the request has nothing to lose
 *   the drain time has passed, or server_stop_now() was called
 *
 * Who is still there then is told that its session is dropped (event 3), and closed. The last reactor
 * says so.
 */
#include "session/internal.h"

static void stopped(struct work *work)
{
	struct server *s = container_of(work, struct server, unlisten_work);

	s->stopped(s->stopped_arg);
}

/* Whoever has a session is told. A connection without one has nothing that could be lost. */
static void close_all(struct reactor_state *rs)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &rs->sessions)
		async_drop_session(list_entry(pos, struct session, reactor_node));
	list_for_each_safe(pos, tmp, &rs->connections)
		iconn_close(list_entry(pos, struct iconn, node), true);
}

static bool idle(const struct reactor_state *rs)
{
	struct list *pos;

	list_for_each(pos, &rs->sessions) {
		if (list_entry(pos, struct session, reactor_node)->command_count)
			return false;
	}
	return true;
}

static bool is_over(const struct reactor_state *rs)
{
	uint64_t now = reactor_now(rs->reactor);

	return rs->server->stopping_now || now >= rs->drain_deadline ||
	       (now >= rs->logout_deadline && idle(rs));
}

void drain_tick(struct timer *t)
{
	struct reactor_state *rs = container_of(t, struct reactor_state, drain_timer);

	if (is_over(rs))
		close_all(rs);
	timer_arm(rs->reactor, &rs->drain_timer, 10 * NSEC_PER_MSEC);
	reactor_drain_check(rs);
}

/* The last connection and session of a draining reactor are gone. */
void reactor_drain_check(struct reactor_state *rs)
{
	struct server *s = rs->server;

	if (!rs->draining || !list_empty(&rs->connections) || !list_empty(&rs->sessions) ||
	    !timer_armed(&rs->drain_timer))
		return;
	timer_cancel(rs->reactor, &rs->drain_timer);
	if (--s->draining == 0) {
		s->unlisten_work.fn = stopped;
		reactor_post(s->cfg.reactors[0], &s->unlisten_work);
	}
}

static uint32_t logout_ms(const struct server *s)
{
	return s->drain_ms < STOP_LOGOUT_S * 1000 ? s->drain_ms : STOP_LOGOUT_S * 1000;
}

static void ask_to_log_out(struct reactor_state *rs)
{
	uint16_t seconds = (uint16_t)((logout_ms(rs->server) + 999) / 1000);
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &rs->connections) {
		struct iconn *ic = list_entry(pos, struct iconn, node);

		if (ic->state < CONN_LOGGED_IN)
			iconn_close(ic, false);
		else
			async_event(ic, ASYNC_LOGOUT_REQUEST, 0, 0, 0, seconds, NULL, 0);
	}
}

/* Nobody can come back to these. */
static void end_failed(struct reactor_state *rs)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &rs->sessions) {
		struct session *s = list_entry(pos, struct session, reactor_node);

		if (s->state == SESSION_FAILED)
			session_end(s, SESSION_EV_CLOSED, false);
	}
}

void drain_begin(struct work *work)
{
	struct reactor_state *rs = container_of(work, struct reactor_state, drain_work);

	rs->draining = true;
	end_failed(rs);
	rs->drain_deadline = reactor_now(rs->reactor) + rs->server->drain_ms * NSEC_PER_MSEC;
	rs->logout_deadline = reactor_now(rs->reactor) + logout_ms(rs->server) * NSEC_PER_MSEC;
	ask_to_log_out(rs);
	drain_tick(&rs->drain_timer);
}

/* [reactor 0] */
static void stop_listening(struct work *work)
{
	struct server *s = container_of(work, struct server, unlisten_work);

	for (unsigned int i = 0; i < s->portal_count; i++) {
		const struct portal *p = &s->portals[i];

		for (unsigned int j = 0; j < p->listener_count; j++)
			p->listeners[j].transport->unlisten(p->listeners[j].listener);
	}
	s->draining = s->cfg.reactor_count;
	for (unsigned int i = 0; i < s->cfg.reactor_count; i++)
		reactor_post(s->cfg.reactors[i], &s->reactors[i].drain_work);
}

void server_stop(struct server *s, uint32_t drain_ms, void (*fn)(void *arg), void *arg)
{
	s->stopping = true;
	s->drain_ms = drain_ms;
	s->stopped = fn;
	s->stopped_arg = arg;
	s->unlisten_work.fn = stop_listening;
	reactor_post(s->cfg.reactors[0], &s->unlisten_work);
}

void server_stop_now(struct server *s)
{
	s->stopping_now = true; /* drain_tick() looks */
}
