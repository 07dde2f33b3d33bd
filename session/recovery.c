// SPDX-License-Identifier: BSD-2-Clause
/*
 * Error recovery: what took a StatSN is kept until ExpStatSN acknowledges it (RFC 7143 4.2.2.2), and
 * with it the command whose status it is. Commands are bounded by the window, replies by REPLIES_MAX.
 */
#include <string.h>

#include "session/abort_tasks.h"
#include "session/flow.h"
#include "session/recovery.h"

void recovery_init(struct reactor_state *rs, size_t commands)
{
	pool_init(&rs->recoveries, sizeof(struct recovery), 32, commands);
	list_init(&rs->pinned);
	rs->shed_work.fn = recovery_shed;
}

bool recovery_begin(struct command *c)
{
	struct recovery *r = pool_get(&c->session->rs->recoveries);

	if (!r)
		return false;
	memset(r, 0, sizeof(*r));
	list_init(&r->status.node);
	list_init(&r->pinned_node);
	r->status.command = c;
	c->kept = r;
	return true;
}

void recovery_end(struct command *c)
{
	struct recovery *r = c->kept;

	recovery_free_pieces(c);
	recovery_unpin(c);
	list_del(&r->status.node);
	if (r->settled)
		c->session->command_count++; /* it was not among them any more */
	pool_put(&c->session->rs->recoveries, r);
	c->kept = NULL;
}

void recovery_number(struct command *c, uint32_t statsn)
{
	struct numbered *n = &c->kept->status;

	n->statsn = statsn;
	n->since = reactor_now(c->task.reactor);
	list_add_tail(&c->ic->unacked, &n->node);
	c->kept->numbered = true;
}

/* --- The end of a command */

void recovery_settle(struct command *c)
{
	struct recovery *r = c->kept;

	if (!c->answered || c->moving || r->response_out || !r->over)
		return;
	command_count(c);
	if (r->gone) {
		command_free(c);
	} else if (!r->settled) {
		r->settled = true;
		c->session->command_count--;
	}
}

static void let_go(struct command *c)
{
	struct recovery *r = c->kept;

	list_del(&r->status.node);
	r->numbered = r->again = false;
	r->gone = true;
	r->wish = WISH_NOTHING;
	if (!c->moving)
		recovery_free_pieces(c);
	recovery_settle(c);
}

void recovery_drop(struct command *c)
{
	if (!c->kept->suspended || c->session->dying)
		let_go(c);
}

/* The SCSI layer is through; with the status nothing is kept that costs others memory or a turn. */
static void over(struct command *c)
{
	c->kept->over = true;
	recovery_unpin(c);
	if (c->flow)
		flow_over(c);
	buf_put(c->session->rs->reactor, c->task.first_buf);
	c->task.first_buf = NULL;
}

/* Its memory was wanted while it waited for TASK REASSIGN. That, or the initiator's question for its
 * status, is answered as where a SNACK wants what is not kept. */
static void end_without_data(struct command *c)
{
	struct session *s = c->session;

	recovery_free_pieces(c);
	c->kept->by_data = false;
	c->task.status = SAM_TASK_ABORTED;
	c->task.sense_len = 0;
	task_sense(&c->task, KEY_ABORTED_COMMAND, 0x11, 0x13); /* SNACK REJECTED */
	c->task.transfer_len = c->task.edtl;
	command_answered(c);
	abort_wait_finished(s->rs, c);
	recovery_settle(c);
	if (s->watched)
		session_watched(s);
}

bool recovery_may_finish(struct command *c)
{
	struct recovery *r = c->kept;

	over(c);
	r->waits = WAITS_FOR_NOTHING;
	if (r->shed && r->suspended && !c->session->dying) {
		end_without_data(c);
		return false;
	}
	if (!c->moving && (c->task.aborted || recovery_line_up(c)))
		return true;
	r->waits = WAITS_TO_ANSWER;
	return false;
}

void recovery_answer_again(struct command *c)
{
	struct recovery *r = c->kept;

	if (!r->numbered)
		recovery_number(c, c->ic->statsn++);
	r->by_data = r->again = false;
	r->response_out = true;
	command_send_response(c, r->status.statsn, r->snack_tag);
}

void recovery_response_back(struct command *c)
{
	struct recovery *r = c->kept;

	r->response_out = false;
	if (r->again && !r->gone)
		recovery_go_on(c);
	recovery_settle(c);
}

/* --- The SCSI layer's side */

void recovery_io_work(struct command *c)
{
	struct recovery *r = c->kept;
	bool ends = r->ends;

	r->ends = false;
	c->task.io_done(&c->task, !c->task.aborted && !c->no_memory); /* may free c unless `ends` */
	if (!ends)
		return;
	c->submitted = false;
	over(c);
	if (c->answered)
		recovery_settle(c);
	else
		command_finish(c);
}

void recovery_aborted(struct command *c)
{
	struct recovery *r = c->kept;

	r->wish = WISH_NOTHING;
	if (recovery_lent(r) && c->moving)
		return; /* the transport has what the SCSI layer would free */
	if (recovery_lent(r))
		r->pieces--;
	else if (r->waits == WAITS_TO_PUT)
		r->ends = r->last;
	else if (r->waits != WAITS_TO_GET)
		return;
	r->waits = WAITS_FOR_NOTHING;
	reactor_defer(c->task.reactor, &c->io_work);
}

/* --- Acknowledgement */

void recovery_acknowledged(struct iconn *ic, uint32_t expstatsn)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &ic->unacked) {
		struct numbered *n = list_entry(pos, struct numbered, node);

		if (!sn_lt(n->statsn, expstatsn))
			return;
		if (n->command)
			let_go(n->command);
		else
			reply_acknowledged(container_of(n, struct reply, number));
	}
}

void recovery_release(struct iconn *ic)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &ic->unacked) {
		struct numbered *n = list_entry(pos, struct numbered, node);

		if (!n->command)
			reply_acknowledged(container_of(n, struct reply, number));
	}
}

/* An initiator that goes on without acknowledging anything is asked, and has half of the time left. */
static const char *status_overdue(struct iconn *ic, uint64_t now, uint64_t limit)
{
	const struct numbered *oldest = list_entry(ic->unacked.next, struct numbered, node);
	uint64_t age = now - oldest->since;

	/* While something waits for the line, the status may do so, too. */
	if (age <= limit / 2 || ic->conn->bytes_queued || !limit_of(ic->rs->server, nop_interval_s))
		return NULL;
	if (ic->pinged <= oldest->since)
		nop_in_ping(ic);
	else if (age > limit && now - ic->pinged >= limit / 2)
		return "ExpStatSN does not move";
	return NULL;
}

const char *recovery_overdue(struct iconn *ic, uint64_t now)
{
	uint64_t limit = limit_of(ic->rs->server, data_timeout_s) * NSEC_PER_SEC;
	struct list *pos;

	if (!ic->session->who.error_recovery_level)
		return NULL;
	list_for_each(pos, &ic->session->commands) {
		const struct command *c = list_entry(pos, struct command, node);
		const struct recovery *r = c->kept;

		if (c->ic == ic && !c->answered && !c->task.aborted && r->ack_wanted &&
		    r->ack_since && now - r->ack_since > limit)
			return "no DataACK came for too long";
	}
	return list_empty(&ic->unacked) ? NULL : status_overdue(ic, now, limit);
}
