// SPDX-License-Identifier: BSD-2-Clause
/*
 * The command window under load (RFC 7143 4.2.2.1). MaxCmdSN never moves back: a window shrinks because
 * the slots of commands that end are kept (session.withheld), and grows because two come back for one.
 *
 *   what is short                                        slots of a session
 *   nothing                                              limits.window
 *   somebody on any reactor waits for a buffer           1/8 of that
 *   the connection has FLOW_OUTPUT_MAX bytes unread      1/4
 *   FLOW_SLOTS_MIN of them at least, where the window has so many.
 *
 * So a window never closes for want of memory, and the last answer has told the initiator of a slot
 * that it may use. What closes a window is answers that nobody reads (session.owed, session.c); when
 * they are read a NOP-In tells.
 *
 * A window full of long commands could take the memory of everybody, and keep it until the data timer
 * ends it: reads that are not taken, writes whose data does not come. So a session has at most
 * reactor_state.long_max bytes of them under way; further ones are parked, in front of the task set, as if
 * they had not come yet. Only ORDERED commands mind who went before: they are parked behind those that
 * are, and everything behind them, but for HEAD OF QUEUE and ACA, which never wait.
 *
 * What is parked has no buffer: those in front of it may be waiting for one. A write that has brought data
 * never waits for memory; where there is none for it it goes on in the buffer that it has (frugal). If it
 * may not, for its place in the order, it is answered TASK SET FULL, as if its data had found no room.
 */
#include "session/flow.h"

enum { FLOW_SLOTS_MIN = 4 };

uint32_t flow_window(const struct session *s, const struct iconn *ic)
{
	uint32_t whole = s->server->cfg.limits.window, slots = whole;

	if (flow_is_short_of_memory(s))
		slots = whole / 8;
	else if (ic && ic->conn->bytes_queued > FLOW_OUTPUT_MAX)
		slots = whole / 4;
	if (slots < FLOW_SLOTS_MIN)
		slots = FLOW_SLOTS_MIN;
	return slots < whole ? slots : whole;
}

void flow_slot_back_slowly(struct session *s, const struct iconn *ic)
{
	uint32_t whole = s->server->cfg.limits.window, slots = flow_window(s, ic);

	if (whole - s->withheld > slots) {
		s->withheld++;
		return;
	}
	s->maxcmdsn++;
	if (s->withheld && whole - s->withheld < slots) {
		s->withheld--;
		s->maxcmdsn++;
	}
}

/* --- Long commands */

uint32_t flow_long_max(uint64_t budget)
{
	return budget / 8 < FLOW_LONG_MAX ? (uint32_t)(budget / 8) : FLOW_LONG_MAX;
}

void flow_init(struct reactor_state *rs)
{
	rs->short_of_memory = buf_shortage(rs->reactor);
	rs->long_max = flow_long_max(buf_budget(rs->reactor));
}

/* The memory that it takes at a time: the SCSI layer works in chunks. */
static uint32_t share_of(const struct command *c)
{
	if (c->task.edtl <= FLOW_LONG)
		return 0;
	return c->task.edtl < BUF_MAX ? c->task.edtl : BUF_MAX;
}

static bool fits(const struct command *c)
{
	const struct session *s = c->session;

	return !s->long_bytes || s->long_bytes + share_of(c) <= s->rs->long_max;
}

/* A write that has a buffer, and asks for no other. */
static bool fits_as_it_is(const struct command *c)
{
	return c->task.first_buf || fits(c);
}

static bool may_start(const struct command *c)
{
	const struct session *s = c->session;

	switch (c->task.attribute) {
	case ATTR_HEAD:
	case ATTR_ACA: return true;
	case ATTR_ORDERED: return !s->parked_count && fits_as_it_is(c);
	default:
		return !s->parked_ordered &&
		       (!share_of(c) || c->task.first_buf || (!s->parked_count && fits(c)));
	}
}

static void take_share(struct command *c)
{
	c->flow = share_of(c) ? FLOW_COUNTS : FLOW_NOTHING;
	c->session->long_bytes += share_of(c);
}

static void start(struct command *c)
{
	c->task.frugal = c->task.first_buf && !fits(c);
	if (!c->task.frugal)
		take_share(c);
}

static void park(struct command *c)
{
	struct session *s = c->session;

	c->flow = FLOW_PARKED;
	list_add_tail(&s->parked, &c->parked);
	s->parked_count++;
	s->parked_ordered += c->task.attribute == ATTR_ORDERED;
}

static void leave_park(struct command *c)
{
	struct session *s = c->session;

	c->flow = FLOW_NOTHING;
	list_del(&c->parked);
	s->parked_count--;
	s->parked_ordered -= c->task.attribute == ATTR_ORDERED;
}

bool flow_admit_slowly(struct command *c)
{
	if (c->early_status)
		return true;
	if (may_start(c)) {
		start(c);
		return true;
	}
	if (c->task.first_buf) {
		c->early_status = SAM_TASK_SET_FULL;
		return true;
	}
	park(c);
	return false;
}

/* At the end of the turn: whoever has ended a command may be walking over those of the session. */
void flow_unpark(struct work *work)
{
	struct session *s = container_of(work, struct session, unpark_work);

	while (s->parked_count) {
		struct command *c = list_entry(s->parked.next, struct command, parked);

		if (share_of(c) && !fits(c))
			return;
		leave_park(c);
		take_share(c);
		command_submit(c);
	}
}

void flow_over(struct command *c)
{
	struct session *s = c->session;

	if (c->flow == FLOW_PARKED)
		leave_park(c);
	else
		s->long_bytes -= share_of(c);
	c->flow = FLOW_NOTHING;
	if (s->parked_count)
		reactor_defer(s->rs->reactor, &s->unpark_work);
}
