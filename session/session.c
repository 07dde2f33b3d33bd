// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sessions: birth, command window (RFC 7143 4.2.2.1), commands that came before their turn, death.
 * A session is free only when every command and task management function of it has come back.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "session/detach.h"
#include "session/flow.h"
#include "session/login_drive.h"

static void free_session(struct session *s)
{
	char past[512];

	session_event(s, SESSION_EV_GONE);
	if (log_enabled(LOG_LEVEL_DEBUG))
		log_write(LOG_LEVEL_DEBUG, "session %u of %s is gone: %s", s->tsih,
			  s->who.initiator_name,
			  history_format(&session_machine, &s->history, past, sizeof(past)));
	list_del(&s->reactor_node);
	timer_cancel(s->rs->reactor, &s->linger);
	exports_put(s->exports);
	free(s);
}

static void leave(struct session *s)
{
	list_del(&s->reactor_node);
	s->rs->sessions_gone++;
	if (s->who.type == SESSION_NORMAL)
		nexus_detach(&s->nexus);
	session_unregister(s);
	traffic_of_session(s); /* not before: nobody shall find its bytes twice */
	s->unregistered = true;
}

/* Nothing is left of it, but perhaps what is detached: then its struct stays for that. */
static void end_session(struct work *work)
{
	struct session *s = container_of(work, struct session, free_work);

	if (!s->unregistered)
		leave(s);
	if (list_empty(&s->detached) && !s->tmf_count) {
		free_session(s);
	} else {
		list_add_tail(&s->rs->detached, &s->reactor_node);
		s->freeing = false;
	}
}

void session_discard(struct session *s)
{
	session_event(s, SESSION_EV_REFUSED);
	exports_put(s->exports);
	free(s);
}

struct session *session_new(struct iconn *ic, const struct login_result *who)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->server = ic->rs->server;
	s->rs = ic->rs;
	s->who = *who;
	s->exports = exports_keep(login_drive_exports(ic));
	s->transport = ic->conn->ops;
	s->since = reactor_now(ic->rs->reactor);
	list_init(&s->registry_node);
	list_init(&s->reactor_node);
	list_init(&s->reinstate_waiters);
	list_init(&s->conns);
	list_init(&s->joiners);
	list_init(&s->leaving);
	list_init(&s->lost_cids);
	list_init(&s->held);
	list_init(&s->parked);
	list_init(&s->tmfs);
	list_init(&s->commands);
	list_init(&s->detached);
	s->kill_work.fn = session_kill;
	s->progress_work.fn = session_progress;
	s->unpark_work.fn = flow_unpark;
	s->free_work.fn = end_session;
	s->linger.fn = session_lingers_no_more;
	s->expcmdsn = who->cmdsn;
	s->maxcmdsn = who->cmdsn + s->server->cfg.limits.window - 1;
	session_event(s, SESSION_EV_LOGIN);
	if (who->target) {
		s->nexus.target = who->target->scsi;
		s->nexus.port = target_port_by_tag(who->target->scsi, who->portal_group_tag);
		s->nexus.queries = who->protocol_level >= 2;
		memcpy(s->nexus.initiator_name, who->initiator_name, sizeof(who->initiator_name));
		memcpy(s->nexus.isid, who->isid.b, sizeof(who->isid.b));
	}
	return s;
}

void session_event(struct session *s, enum session_event event)
{
	enum session_state before = s->state;

	s->state = machine_next(&session_machine, &s->history, s->state, event,
				reactor_now(s->rs->reactor));
	if (before == SESSION_FAILED)
		s->server->failed--;
	if (s->state == SESSION_FAILED)
		s->server->failed++;
}

void session_end(struct session *s, enum session_event why, bool flush)
{
	struct list *pos, *tmp;

	if (s->dying)
		return;
	if (s->state == SESSION_FAILED && why == SESSION_EV_CLOSED)
		why = SESSION_EV_TIMEOUT;
	session_event(s, why);
	s->dying = s->watched = true;
	session_forget_cids(s);
	if (list_empty(&s->conns))
		session_drop_held(s);
	list_for_each_safe(pos, tmp, &s->conns) {
		struct iconn *ic = list_entry(pos, struct iconn, session_node);

		if ((iconn_live(ic) && ic->state != CONN_IN_LOGOUT) || !flush)
			iconn_end(ic, flush);
	}
	session_watched(s);
}

/* Another login takes this session's place. [owner thread] */
void session_kill(struct work *work)
{
	static struct log_limit limit = LOG_LIMIT(100);
	struct session *s = container_of(work, struct session, kill_work);
	struct list *pos, *tmp;

	pthread_mutex_lock(&s->server->lock);
	s->kill_ran = true;
	pthread_mutex_unlock(&s->server->lock);
	if (!s->dying)
		log_write_limited(&limit, LOG_LEVEL_INFO,
				  "session %u of %s is reinstated by a new login", s->tsih,
				  s->who.initiator_name);
	session_end(s, SESSION_EV_REINSTATED, false);
	/* Those that end in good order already: nobody waits for their last words. */
	list_for_each_safe(pos, tmp, &s->conns)
		iconn_end(list_entry(pos, struct iconn, session_node), false);
	session_check_dead(s);
}

void session_add_connection(struct session *s, struct iconn *ic)
{
	ic->session = s;
	list_add_tail(&s->conns, &ic->session_node);
}

struct iconn *session_any_connection(const struct session *s)
{
	struct list *pos;

	list_for_each(pos, &s->conns) {
		struct iconn *ic = list_entry(pos, struct iconn, session_node);

		if (iconn_up(ic))
			return ic;
	}
	return NULL;
}

void session_check_dead(struct session *s)
{
	bool hangs = !list_empty(&s->detached), ready;

	if (!s->dying || s->freeing || !list_empty(&s->conns) || !list_empty(&s->joiners))
		return;
	if (!list_empty(&s->commands)) {
		session_linger(s);
		return;
	}
	/* What waits for the tasks of others comes back to it, whatever it is by then. */
	if (hangs ? s->unregistered || !list_empty(&s->tmfs) : s->tmf_count)
		return;
	pthread_mutex_lock(&s->server->lock);
	ready = !s->kill_posted || s->kill_ran;
	if (ready) /* a login on another reactor may find s up to its end: no kill_work now */
		s->kill_posted = s->kill_ran = true;
	pthread_mutex_unlock(&s->server->lock);
	if (!ready)
		return;
	s->freeing = true;
	reactor_defer(s->rs->reactor, &s->free_work);
}

static bool is_held(const struct session *s, uint32_t cmdsn)
{
	struct list *pos;

	list_for_each(pos, &s->held) {
		if (list_entry(pos, struct held, node)->cmdsn == cmdsn)
			return true;
	}
	return false;
}

enum cmdsn_verdict session_cmdsn(const struct session *s, uint32_t cmdsn)
{
	if (cmdsn == s->expcmdsn && sn_le(cmdsn, s->maxcmdsn))
		return CMDSN_NOW;
	if (sn_lt(cmdsn, s->expcmdsn) || sn_lt(s->maxcmdsn, cmdsn))
		return CMDSN_IGNORE; /* RFC 7143 4.2.2.1: silently */
	return is_held(s, cmdsn) ? CMDSN_IGNORE : CMDSN_HOLD; /* a retry (7.2.1) is ignored, too */
}

static uint32_t window(const struct session *s)
{
	return s->server->cfg.limits.window;
}

/* The slot comes back when the status is queued, so that the response carries it. But where nobody
 * reads the responses, or the disk keeps aborted commands, memory for a second window is enough. */
void session_leave_window(struct command *c)
{
	struct session *s = c->session;

	/* Data that is kept for SNACKs is counted elsewhere. */
	if (c->flow && (c->kept || c->task.aborted))
		flow_over(c);
	if (!c->in_window)
		return;
	c->in_window = false;
	c->loose = true;
	if (s->loose++ < window(s))
		flow_slot_back(s, c->ic);
	else
		s->owed++;
}

/* The end of a command: what was owed is paid when half of that window is there again. */
void session_forget_slot(struct command *c)
{
	struct session *s = c->session;
	struct iconn *ic;

	if (c->in_window)
		flow_slot_back(s, c->ic);
	if (!c->loose)
		return;
	s->loose--;
	if (!s->owed || s->loose > window(s) / 2)
		return;
	s->maxcmdsn += s->owed;
	s->owed = 0;
	ic = session_any_connection(s);
	if (ic)
		nop_in_window(ic);
}

static void held_free(struct session *s, struct held *h)
{
	list_del(&h->node);
	buf_put(s->rs->reactor, h->buf);
	pool_put(&s->rs->held, h);
}

static enum hold_result held_new(struct session *s, uint32_t cmdsn, struct held **out)
{
	struct list *pos;
	struct held *h;

	/* By CmdSN; newcomers are usually last. */
	for (pos = s->held.prev; pos != &s->held; pos = pos->prev) {
		h = list_entry(pos, struct held, node);
		if (h->cmdsn == cmdsn)
			return HELD_ALREADY;
		if (sn_lt(h->cmdsn, cmdsn))
			break;
	}
	h = pool_get(&s->rs->held);
	if (!h)
		return HELD_NO_MEMORY;
	memset(h, 0, sizeof(*h));
	h->cmdsn = cmdsn;
	list_add_head(pos, &h->node);
	*out = h;
	return HELD;
}

/* Keeps a request until its turn: command c, or a copy of pdu that came in on ic. */
enum hold_result session_hold(struct session *s, uint32_t cmdsn, struct command *c,
			      struct iconn *ic, struct pdu *pdu)
{
	struct held *h;
	enum hold_result result = held_new(s, cmdsn, &h);

	if (result != HELD)
		return result;
	h->command = c;
	if (c)
		return HELD;
	h->ic = ic;
	h->pdu = *pdu;
	if (pdu->data_len) {
		h->buf = buf_get(s->rs->reactor, pdu->data_len);
		if (!h->buf) {
			held_free(s, h);
			return HELD_NO_MEMORY;
		}
		memcpy(h->buf->data, pdu->data, pdu->data_len);
		h->pdu.data = h->buf->data;
	}
	return HELD;
}

/* ABORT TASK for a command that has not come: its CmdSN counts as received (RFC 7143 11.5.1). */
bool session_skip_cmdsn(struct session *s, uint32_t cmdsn)
{
	struct held *h;

	if (cmdsn == s->expcmdsn) {
		s->expcmdsn++;
		s->maxcmdsn++;
		return true;
	}
	if (held_new(s, cmdsn, &h) != HELD)
		return false;
	h->skip = true;
	return true;
}

/* A held command was aborted: its place in the order stays taken. */
void session_unhold(struct session *s, const struct command *c)
{
	struct list *pos;

	list_for_each(pos, &s->held) {
		struct held *h = list_entry(pos, struct held, node);

		if (h->command == c) {
			h->command = NULL;
			h->skip = true;
			return;
		}
	}
}

/* What came in on ic and has to wait is discarded: its place in the order is free again, and the
 * initiator fills it by a retry (RFC 7143 11.14). May free commands; one whose unsolicited data is on
 * the way is aborted. */
void session_discard_held(struct session *s, const struct iconn *ic)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->held) {
		struct held *h = list_entry(pos, struct held, node);
		struct command *c = h->command;

		if ((c ? c->ic : h->ic) != ic)
			continue;
		held_free(s, h);
		if (!c)
			continue;
		c->held = false;
		command_abort(c, false); /* may free c */
	}
}

/* ExpCmdSN has moved: run what has become due, unless a Logout was among it. */
void session_release_held(struct session *s)
{
	while (!list_empty(&s->held)) {
		struct held *h = list_entry(s->held.next, struct held, node);

		if (h->cmdsn != s->expcmdsn || (!h->skip && !session_any_connection(s)))
			return;
		list_del(&h->node); /* a Logout discards what is on the list */
		s->expcmdsn++;
		if (h->command) {
			h->command->held = false;
			h->command->in_window = true;
			command_start(h->command);
		} else {
			s->maxcmdsn++;
			if (!h->skip && iconn_up(h->ic))
				iconn_dispatch(h->ic, &h->pdu);
		}
		held_free(s, h);
	}
}

void session_drop_held(struct session *s)
{
	while (!list_empty(&s->held)) {
		struct held *h = list_entry(s->held.next, struct held, node);

		if (h->command)
			h->command->held = false;
		held_free(s, h);
	}
}
