// SPDX-License-Identifier: BSD-2-Clause
/*
 * Limits of a unit, or of an initiator: commands and bytes per second, with a burst. Two token buckets that
 * all reactors share, without a lock as long as nobody waits.
 *
 * A bucket is one number: the time until which its rate is used up. Taking n tokens moves that by n / rate;
 * when it is further ahead of the clock than the burst lasts, the bucket is empty. So nothing refills it,
 * and a command that is larger than the burst goes all the same and leaves a debt.
 *
 * Commands that find a bucket empty wait, under the limiter's lock: one line for each nexus, in the order in
 * which they came, and the nexuses take turns, so that one with a deep queue or large commands cannot keep
 * out another (surplus round robin: who has had more than his quantum waits for others to have theirs). The
 * timer of one reactor, the pacer, lets them go; those of other reactors get a message. Timers are set for
 * the time when there are tokens again, and never sooner than PACE_MIN_NS, so that a high rate does not
 * mean many of them.
 *
 *	line_node   the first one of a line: on limiter.lines[]; others: nowhere
 *	line        the first one's: those behind it, by turn_node
 *	turn_node   the first one's: on limiter.turns
 */
#ifndef RISER_SCSI_LIMITER_H
#define RISER_SCSI_LIMITER_H

#include "scsi.h"

enum {
	LIMITER_LINES = 16,
	PACE_MIN_NS = 200000,
	PACE_MAX_NS = 100000000, /* a limit that was lifted is noticed then */
	TURN_QUANTUM = 64 << 10, /* bytes that a nexus may have more than its share */
	TURN_MAX = 1 << 20, /* and as much a long command counts at most */
	TURN_COMMAND = 512, /* bytes that a command is worth besides its data */
};

struct bucket {
	_Atomic uint64_t rate; /* tokens per second; 0: no limit */
	_Atomic uint64_t until; /* CLOCK_MONOTONIC, ns */
};

struct limiter {
	struct list node; /* of all limiters, see limiter.c */
	_Atomic unsigned int users; /* owners, and the timer while it is armed */
	_Atomic unsigned int waiting;
	struct bucket commands, bytes;
	_Atomic uint64_t burst_ns;

	pthread_mutex_t lock; /* nothing but reactor_post() under it */
	struct io_limits limits; /* as they were set */
	struct list turns; /* lines in the order in which they are looked at */
	struct list lines[LIMITER_LINES]; /* the same by nexus */
	struct reactor *pacer; /* whose timer is armed, NULL: nobody waits */
	struct timer timer;
};

/* [any thread] NULL: no memory. One user. */
struct limiter *limiter_new(const struct io_limits *limits);
struct limiter *limiter_keep(struct limiter *l);
void limiter_put(struct limiter *l); /* NULL is fine */
/* [any thread] Begins with full buckets, unless nothing changes. */
void limiter_set(struct limiter *l, const struct io_limits *limits);
/* Takes one command's tokens, task->tokens being its bytes. False: it waits, WAITS_TOKENS, then step. */
bool limiter_take(struct limiter *l, struct scsi_task *task, void (*step)(struct scsi_task *task));
/* The task gives up waiting. False: its continuation is on its way and will see task->aborted. */
bool limiter_abandon(struct scsi_task *task);
/* [any thread] Tasks that wait, all on this unit (NULL: on any) and of this nexus (NULL: of any), go on
 * without tokens. */
void limiter_let_pass(struct limiter *l, const struct lu *lu, const struct nexus *nexus);

/* --- view.c */
/* Takes the tokens of a command that is about to start. False: it waits, then task_paid() follows. */
bool limits_pass(struct scsi_task *task);
/* The same for a piece of a copy between these units (either may be NULL), of `bytes`: to be called again
 * by step. task->paid is 0 at first. */
bool limits_pass_copy(struct scsi_task *task, struct lu *from, struct lu *to, uint32_t bytes,
		      void (*step)(struct scsi_task *task));
/* [main thread, under the lock of the list of nexuses] The nexus sees lu there, if it may. */
void nexus_show(struct nexus *nexus, unsigned int lun, struct lu *lu);
/* dispatch.c: the task has its tokens, and what was checked before it waited may have changed. */
void task_paid(struct scsi_task *task);
/* The nexus goes away; no task of it is left. */
void nexus_forget_limits(struct nexus *nexus);

#endif
