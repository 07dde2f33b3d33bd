// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connection recovery (RFC 7143 7.2.2), level 2: the tasks of a lost connection go on in the SCSI layer
 * and keep their place in CmdSN order, but have no connection. What they want to send or to fetch
 * waits until TASK REASSIGN gives them another one.
 *
 * Meanwhile their memory is of use to nobody. Of all sessions together such tasks may hold one in
 * PINNED_SHARE of all buffers; beyond that the oldest ones are ended, and whoever asks for them is told by
 * CHECK CONDITION, as where a SNACK wants what is not kept.
 */
#include "session/recovery.h"

void recovery_unpin(struct command *c)
{
	struct recovery *r = c->kept;

	list_del(&r->pinned_node);
	c->session->rs->pinned_bytes -= r->pinned;
	r->pinned = 0;
}

/* The SCSI layer works in chunks. A write that has all of its data is soon over. */
void recovery_pin(struct command *c)
{
	struct reactor_state *rs = c->session->rs;
	struct recovery *r = c->kept;

	if (!c->submitted || c->task.aborted || r->over || r->pinned ||
	    !(c->task.reads || r->waits == WAITS_TO_GET))
		return;
	r->pinned = c->task.edtl < BUF_MAX ? c->task.edtl : BUF_MAX;
	rs->pinned_bytes += r->pinned;
	list_add_tail(&rs->pinned, &r->pinned_node);
	reactor_defer(rs->reactor, &rs->shed_work);
}

/* At the end of the turn: whoever waits now was called by the SCSI layer. */
void recovery_shed(struct work *work)
{
	struct reactor_state *rs = container_of(work, struct reactor_state, shed_work);
	uint64_t most = buf_budget(rs->reactor) / PINNED_SHARE / rs->server->cfg.reactor_count;

	while (rs->pinned_bytes > most && !list_empty(&rs->pinned)) {
		struct recovery *r = list_entry(rs->pinned.next, struct recovery, pinned_node);
		struct command *c = r->status.command;

		recovery_unpin(c);
		if (c->task.aborted)
			continue; /* it goes as it is */
		r->shed = r->refused = true;
		command_abort(c, true);
	}
}

void recovery_suspend(struct session *s, struct iconn *ic)
{
	struct list *pos;

	list_for_each(pos, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);
		struct recovery *r = c->kept;

		if (c->ic != ic)
			continue;
		c->ic = NULL;
		c->cid = ic->cid;
		list_del(&r->status.node);
		r->numbered = r->running = r->resending = r->again = false;
		r->wish = WISH_NOTHING;
		r->suspended = true;
		recovery_pin(c);
	}
}

void recovery_expire(struct session *s, uint16_t cid)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &s->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (c->ic || !c->kept || !c->kept->suspended || c->cid != cid)
			continue;
		c->kept->suspended = false;
		command_abort(c, false); /* may free c */
	}
}

/* The newest command of this tag that is not over for the initiator. */
static struct command *find(const struct session *s, uint32_t itt)
{
	struct command *c = command_find(s, itt);
	struct list *pos;

	if (c)
		return c;
	for (pos = s->commands.prev; pos != &s->commands; pos = pos->prev) {
		c = list_entry(pos, struct command, node);
		if (c->itt == itt && c->answered && c->kept && !c->kept->gone)
			return c;
	}
	return NULL;
}

static struct command *find_lost(const struct session *s, uint32_t itt)
{
	struct command *c = find(s, itt);

	return c && !c->ic && c->kept && c->kept->suspended ? c : NULL;
}

/* What the initiator has got of Data-In, RFC 7143 11.5.6; numbers that cannot be are ignored. */
static void acknowledge(struct command *c, uint32_t expdatasn)
{
	if (c->task.reads && expdatasn > c->kept->acked && expdatasn <= c->xfer.sn)
		recovery_ack_data(c, expdatasn);
}

uint8_t recovery_reassign(struct iconn *ic, const struct bhs_tmf_request *req)
{
	struct session *s = ic->session;
	struct command *c;
	bool ready = false;

	if (s->who.error_recovery_level < 2)
		return TMF_RSP_NO_REASSIGN;
	c = find(s, be32_get(req->rtt));
	if (!c || (c->task.aborted && !c->answered && !(c->kept && c->kept->shed)))
		return TMF_RSP_NO_TASK;
	if (c->ic || !c->kept->suspended || !session_lost_cid(s, c->cid, &ready) || !ready)
		return TMF_RSP_STILL_ALLEGIANT;
	c->ic = ic;
	c->kept->snack_tag = 0;
	acknowledge(c, be32_get(req->expdatasn));
	return TMF_RSP_COMPLETE;
}

void recovery_resume(struct iconn *ic)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &ic->session->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (c->ic != ic || !c->kept || !c->kept->suspended)
			continue;
		c->kept->suspended = false;
		recovery_unpin(c);
		if (c->kept->shed && !c->answered)
			continue; /* its answer comes when the SCSI layer has let go of it */
		if (recovery_resend(c))
			recovery_go_on(c);
		else if (c->answered && c->kept->refused && recovery_line_up(c))
			recovery_answer_again(c);
		else
			snack_refuse(c);
	}
}

bool recovery_reissue(struct iconn *ic, uint32_t itt)
{
	struct command *c = find_lost(ic->session, itt);
	bool ready;

	if (!c || !c->answered || !session_lost_cid(ic->session, c->cid, &ready))
		return false;
	c->ic = ic;
	c->kept->suspended = false;
	recovery_answer_again(c);
	return true;
}
