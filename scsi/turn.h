// SPDX-License-Identifier: BSD-2-Clause
/*
 * Commands of a unit that run one after the other, from whatever reactors they come: what they
 * change is stored, that takes its time, and the next one has to see what the one before has made.
 * Other commands of the unit go on meanwhile, and tasks may be aborted while they wait.
 */
#ifndef RISER_SCSI_TURN_H
#define RISER_SCSI_TURN_H

#include <pthread.h>

#include "scsi.h"

struct turn {
	/* Guards the rest, and what else its owner likes. Nothing is taken under it here. */
	pthread_mutex_t *lock;
	struct scsi_task *owner; /* whose turn it is */
	struct list queue; /* those behind it, by lu_node */
	/* [lock] Where the task has to wait even when the turn is free, by lu_node; NULL: nowhere.
	 * aside NULL: nobody has to. */
	struct list *(*aside)(struct turn *turn, const struct scsi_task *task);
};

/* lock is borrowed; aside is NULL. */
void turn_init(struct turn *turn, pthread_mutex_t *lock);
/* [owner thread of the task] True: the task has the turn. False: it waits, then step follows, or its
 * end when it was aborted; that has to give the turn. */
bool turn_take(struct turn *turn, struct scsi_task *task, void (*step)(struct scsi_task *task));
/* [owner thread of the task] Nothing happens when it is not the task's: row->cleanup may call this in
 * any case. */
void turn_give(struct turn *turn, struct scsi_task *task);
/* [owner thread of the task] The task gives up waiting. False: the turn is on its way and will see
 * task->aborted. */
bool turn_abandon(struct scsi_task *task);
/* [lock] Those who waited aside look for their places again. Returns who has the turn by that, for
 * turn_tell(), or NULL. */
struct scsi_task *turn_line_up(struct turn *turn, struct list *waiting);
/* [any thread, without the lock] NULL: nobody is told. */
void turn_tell(struct scsi_task *next);

#endif
