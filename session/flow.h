// SPDX-License-Identifier: BSD-2-Clause
/* How many commands a session may have under way, and how much memory for long ones: flow.c. All on
 * the session's reactor. */
#ifndef RISER_SESSION_FLOW_H
#define RISER_SESSION_FLOW_H

#include "session/internal.h"

enum {
	FLOW_LONG = 64 << 10, /* bytes; a longer command waits when its session has many of those */
	FLOW_LONG_MAX = 1 << 30, /* bytes of those, in one session, however much memory there is */
	FLOW_OUTPUT_MAX = 16 << 20, /* bytes unread on a connection before its window shrinks */
};

/* What a command is to the share of memory that its session has for long ones. */
enum flow_share { FLOW_NOTHING, FLOW_COUNTS, FLOW_PARKED };

void flow_init(struct reactor_state *rs);
/* Bytes of long commands that one session may have under way, out of a budget for all. */
uint32_t flow_long_max(uint64_t budget);

/* --- The window */

static inline bool flow_is_short_of_memory(const struct session *s)
{
	return atomic_load_explicit(s->rs->short_of_memory, memory_order_relaxed);
}

/* The slots of a session whose command used ic (or NULL), as things are now. */
uint32_t flow_window(const struct session *s, const struct iconn *ic);
void flow_slot_back_slowly(struct session *s, const struct iconn *ic);

/* A command on ic (or NULL) needs its slot no more: MaxCmdSN advances, or not yet. */
static inline void flow_slot_back(struct session *s, const struct iconn *ic)
{
	if (__builtin_expect(s->withheld || flow_is_short_of_memory(s) ||
				     (ic && ic->conn->bytes_queued > FLOW_OUTPUT_MAX),
			     0))
		flow_slot_back_slowly(s, ic);
	else
		s->maxcmdsn++;
}

/* --- Long commands */

bool flow_admit_slowly(struct command *c);

/* It may start, and nothing has to be counted. */
static inline bool flow_is_free(const struct command *c)
{
	return __builtin_expect(c->task.edtl <= FLOW_LONG && !c->session->parked_count, 1);
}

/* c may start. False: it is parked, and command_submit() follows. */
static inline bool flow_admit(struct command *c)
{
	return flow_is_free(c) || flow_admit_slowly(c);
}

/* c, whose flow is not FLOW_NOTHING, holds no memory any more. */
void flow_over(struct command *c);
/* Runs as session.unpark_work. */
void flow_unpark(struct work *work);

#endif
