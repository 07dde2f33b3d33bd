// SPDX-License-Identifier: BSD-2-Clause
/*
 * The task set, SAM 8: which commands of a nexus run on a unit, and which wait for others.
 *
 *	arrives as     runs at once when                        else
 *	SIMPLE         no HEAD OF QUEUE, no ORDERED, no dormant  dormant
 *	ORDERED        the set is empty                          dormant
 *	HEAD OF QUEUE  always
 *	ACA            there is an ACA condition and no such     ACA ACTIVE; without the condition
 *	               command                                   5/49/00
 *	any but ACA, during an ACA condition                     ACA ACTIVE
 *
 * A command leaves the set when its status goes out, or its initiator is told that it was aborted
 * (scsi_give_up()). CHECK CONDITION with NACA in the CONTROL byte establishes the ACA condition;
 * dormant commands stay so until it is cleared. Commands that run already run to their end: they may
 * hold memory and the write gate, which others need. A dormant write that has brought data holds memory,
 * too: while a command of its nexus waits for some, which may be the one that it is behind, there is no
 * such write; its initiator sends it again.
 *
 * All [owner thread of the nexus].
 */
#ifndef RISER_SCSI_TASK_SET_H
#define RISER_SCSI_TASK_SET_H

#include "pdu.h"
#include "scsi.h"

enum {
	/* Commands of one nexus on one unit; more are answered TASK SET FULL. Beyond what a command
	 * window has, so that only immediate commands and those that the disk keeps get there. */
	TASK_SET_MAX = 1024,
};

/* What the task is to its set. */
enum set_state {
	SET_NONE, /* it is not in it, or not any more */
	SET_SIMPLE,
	SET_ORDERED,
	SET_HEAD,
	SET_ACA,
	SET_DORMANT,
};

/* ACA_COMMAND outlives a condition that is cleared: the command has still to come back. */
enum aca_bits { ACA_ESTABLISHED = 0x01, ACA_COMMAND = 0x02 };

static inline struct task_set *task_set_of(const struct scsi_task *task)
{
	return &task->nexus->sets[task->lun[1]]; /* lun_number() of a unit that exists */
}

/* Nothing but SIMPLE commands that run. */
static inline bool task_set_plain(const struct task_set *set)
{
	return !(set->dormant | set->heads | set->ordered | set->aca);
}

bool task_set_enter_slowly(struct scsi_task *task);
void task_set_leave_slowly(struct scsi_task *task);

/* The plain case: it does not wait. */
static inline bool task_set_lets_in(const struct scsi_task *task)
{
	const struct task_set *set = task_set_of(task);

	return __builtin_expect(task->attribute <= ATTR_SIMPLE && task_set_plain(set) &&
					set->enabled < TASK_SET_MAX,
				1);
}

/* A task of an existing unit has come. False: it waits, and task_enabled() follows; or it has
 * ended. */
static inline bool task_set_enter(struct scsi_task *task)
{
	struct task_set *set = task_set_of(task);

	if (!task_set_lets_in(task))
		return task_set_enter_slowly(task);
	set->enabled++;
	task->set_state = SET_SIMPLE;
	return true;
}

/* A task that has a status comes, only to leave. During an ACA condition the status becomes another
 * one. */
void task_set_pass(struct scsi_task *task);

/* Its status goes out now. */
static inline void task_set_leave(struct scsi_task *task)
{
	if (__builtin_expect(task->set_state != SET_SIMPLE || task->status == SAM_CHECK_CONDITION ||
				     !task_set_plain(task_set_of(task)),
			     0)) {
		task_set_leave_slowly(task);
		return;
	}
	task_set_of(task)->enabled--;
	task->set_state = SET_NONE;
}

/* One more command of the nexus waits for memory (nexus.hungry, which memory or its abort takes back).
 * Dormant ones that hold some, and may wait for it, are answered TASK SET FULL at the end of the turn. */
void task_set_hungry(struct nexus *nexus);
/* A dormant task is aborted. */
void task_set_withdraw(struct scsi_task *task);
void task_set_attach(struct nexus *nexus);

/* dispatch.c: the task's turn has come. */
void task_enabled(struct scsi_task *task);

#endif
