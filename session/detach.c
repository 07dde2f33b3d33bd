// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a disk does not give back must not hold up anybody who does not need it: a session that has ended, or
 * makes room for a new login of its initiator (RFC 7143 6.3.5), and a LUN that an operator takes away.
 *
 *	the session has ended, LINGER_S ago      what cannot change the medium any more is detached; a
 *	                                         write is waited for: it could land after the first
 *	                                         ones of the next session
 *	the same, at a stop                      writes, too: nobody comes after them
 *	its LUN goes by force                    all of it, also of sessions that go on: nobody gets at
 *	                                         that medium any more; but for a copy's write to a LUN
 *	                                         that stays, which is waited for
 *
 * A detached command is on session.detached and nowhere else: no tag, no slot of the window, no connection,
 * no place in a task set, nobody who waits for it. Its memory stays its own, and struct session and the unit
 * stay as long, since its end goes through them. A session that has nothing else is not registered any
 * more: its nexus is gone, its name and TSIH are free.
 */
#include <stdlib.h>

#include "core/log.h"
#include "session/abort_tasks.h"
#include "session/command.h"
#include "session/detach.h"
#include "session/flow.h"
#include "session/recovery.h"

enum { LINGER_S = 3, LINGER_AT_STOP_S = 1, LINGER_AGAIN_S = 1 };

/* TASK ABORTED, by a PDU that is not the command's own: that has to wait for its disk. */
static void tell_aborted(const struct command *c, struct iconn *ic)
{
	struct reply *rp = reply_new(ic, OP_SCSI_RESPONSE);
	struct bhs_scsi_response *h;

	if (!rp) {
		iconn_close(ic, false);
		return;
	}
	h = &rp->tx.h.scsi_response;
	h->response = RSP_COMPLETED;
	h->status = SAM_TASK_ABORTED;
	h->itt = be32_of(c->itt);
	h->expdatasn = be32_of(c->xfer.sn);
	reply_send(rp, true);
}

/* Nobody finds it any more. */
static void let_go(struct command *c)
{
	struct session *s = c->session;

	command_free_tag(c);
	session_leave_window(c);
	session_forget_slot(c);
	c->in_window = c->loose = false;
	if (c->immediate)
		s->immediate--;
	c->immediate = c->reports = false;
	if (c->ic)
		c->cid = c->ic->cid;
	c->ic = NULL;
	if (c->kept) {
		recovery_unpin(c);
		c->kept->suspended = false;
	}
	list_del(&c->node);
	list_add_tail(&s->detached, &c->node);
	s->command_count--;
}

static bool detach(struct command *c, bool writing)
{
	struct session *s = c->session;
	struct iconn *ic = c->reports ? c->ic : NULL;

	if (c->answered || c->moving || c->receiving || !c->submitted || c->job ||
	    !scsi_detach(&c->task, writing))
		return false;
	let_go(c);
	abort_wait_finished(s->rs, c);
	c->aborted_at = DETACHED;
	s->server->detached++;
	if (ic && iconn_up(ic))
		tell_aborted(c, ic);
	return true;
}

void command_detached_back(struct command *c)
{
	struct session *s = c->session;

	c->aborted_at = 0;
	s->command_count++; /* it was not among them any more */
	s->server->detached--;
	scsi_detached_back(&c->task);
}

uint32_t server_detached(const struct server *s)
{
	return s->detached;
}

/* --- Sessions that end */

void session_linger(struct session *s)
{
	uint64_t seconds = s->rs->draining ? LINGER_AT_STOP_S : LINGER_S;

	if (!timer_armed(&s->linger))
		timer_arm(s->rs->reactor, &s->linger, seconds * NSEC_PER_SEC);
}

static unsigned int detach_all(struct session *s, bool writing)
{
	unsigned int count = 0;
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->commands)
		count += detach(list_entry(pos, struct command, node), writing);
	return count;
}

static void tell_operator(struct session *s, unsigned int count)
{
	static struct log_limit limit = LOG_LIMIT(10);

	if (count)
		log_write_limited(&limit, LOG_LEVEL_WARN,
				  "%s: session %u of %s has ended; %u of its commands hang in "
				  "their disk and are not waited for any more",
				  s->nexus.target->name, s->tsih, s->who.initiator_name, count);
	if (s->command_count && !s->told_of_writes)
		log_write_limited(&limit, LOG_LEVEL_WARN,
				  "%s: session %u of %s ends when its last %u writes are over, and "
				  "a new login of this initiator waits; riser lun delete --force "
				  "takes a LUN whose disk hangs away",
				  s->nexus.target->name, s->tsih, s->who.initiator_name,
				  s->command_count);
	s->told_of_writes = s->command_count;
}

void session_lingers_no_more(struct timer *t)
{
	struct session *s = container_of(t, struct session, linger);

	tell_operator(s, detach_all(s, s->rs->draining));
	if (!list_empty(&s->commands))
		timer_arm(s->rs->reactor, &s->linger, LINGER_AGAIN_S * NSEC_PER_SEC);
	session_watched(s);
}

struct abandon {
	struct work work;
	struct reactor_state *rs;
	uint16_t tsih;
};

/* [owner thread of the session, if it is still there] */
static void abandon(struct work *work)
{
	struct abandon *a = container_of(work, struct abandon, work);
	struct list *pos;

	list_for_each(pos, &a->rs->sessions) {
		struct session *s = list_entry(pos, struct session, reactor_node);

		if (s->tsih != a->tsih || !s->dying || !list_empty(&s->conns))
			continue;
		detach_all(s, true);
		session_watched(s);
		break;
	}
	free(a);
}

void server_abandon_session(struct server *server, uint16_t tsih)
{
	struct reactor_state *rs = server_home_of(server, tsih);
	struct abandon *a = rs ? calloc(1, sizeof(*a)) : NULL;

	if (!a)
		return;
	*a = (struct abandon){ { .fn = abandon }, rs, tsih };
	reactor_post(rs->reactor, &a->work);
}

/* --- Units that go by force */

static void cut(struct command *c, bool close)
{
	struct iconn *ic = c->ic;

	if (!c->answered && !c->task.aborted) {
		/* Ends at once what does not hang, and may free it. */
		command_abort(c, true);
		return;
	}
	if (!detach(c, scsi_on_leaving(&c->task)) && close && c->moving && ic && iconn_live(ic)) {
		log_warn("%s: %s does not take or send the data of a command on a LUN that goes, "
			 "closing",
			 ic->conn->peer_name, c->session->who.initiator_name);
		iconn_close(ic, false);
	}
}

void session_cut_loose(struct session *s, bool close)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (command_uses_unit(c) && task_uses_leaving(&c->task, c->arrived))
			cut(c, close);
	}
	if (s->watched)
		session_watched(s);
}
