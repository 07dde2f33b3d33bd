// SPDX-License-Identifier: BSD-2-Clause
/*
 * The orderly stop: no new connections, commands in progress finish or are given up, every session
 * is closed, the last reactor says so.
 */
#include "session/internal.h"

static bool idle(const struct reactor_state *rs)
{
	struct list *pos;

	list_for_each(pos, &rs->sessions) {
		const struct session *s = list_entry(pos, struct session, reactor_node);

		if (s->command_count)
			return false;
	}
	return true;
}

static void stopped(struct work *work)
{
	struct server *s = container_of(work, struct server, unlisten_work);

	s->stopped(s->stopped_arg);
}

void drain_tick(struct timer *t)
{
	struct reactor_state *rs = container_of(t, struct reactor_state, drain_timer);
	bool late = reactor_now(rs->reactor) >= rs->drain_deadline;
	struct list *pos, *tmp;

	if (late || idle(rs))
		list_for_each_safe(pos, tmp, &rs->connections)
			iconn_close(list_entry(pos, struct iconn, node), !late);
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

void drain_begin(struct work *work)
{
	struct reactor_state *rs = container_of(work, struct reactor_state, drain_work);

	rs->draining = true;
	rs->drain_deadline = reactor_now(rs->reactor) + rs->server->drain_ms * NSEC_PER_MSEC;
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
