// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connection recovery (RFC 7143 7.2.2), level 2: the tasks of a lost connection go on in the SCSI layer
 * and keep their place in CmdSN order, but have no connection. What they want to send or to fetch
 * waits until TASK REASSIGN gives them another one.
 */
#include "session/recovery.h"

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
	if (!c || (c->task.aborted && !c->answered))
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
