// SPDX-License-Identifier: BSD-2-Clause
/* See turn.h. The turn is handed on by a message to the reactor of the next task. */
#include "turn.h"

void turn_init(struct turn *turn, pthread_mutex_t *lock)
{
	turn->lock = lock;
	turn->owner = NULL;
	turn->aside = NULL;
	list_init(&turn->queue);
}

/* [lock] True: the task has the turn. It may belong to another thread. */
static bool take_place(struct turn *turn, struct scsi_task *task)
{
	struct list *place = turn->aside ? turn->aside(turn, task) : NULL;

	if (!place && turn->owner)
		place = &turn->queue;
	if (place)
		list_add_tail(place, &task->lu_node);
	else
		turn->owner = task;
	return !place;
}

bool turn_take(struct turn *turn, struct scsi_task *task, void (*step)(struct scsi_task *task))
{
	bool taken;

	task->step = step;
	task->turn = turn;
	pthread_mutex_lock(turn->lock);
	taken = take_place(turn, task);
	pthread_mutex_unlock(turn->lock);
	if (!taken)
		task->waits = WAITS_TURN;
	return taken;
}

static void turn_has_come(struct work *work)
{
	struct scsi_task *task = container_of(work, struct scsi_task, work);

	task->waits = WAITS_NOTHING;
	if (task->aborted)
		task_end(task); /* gives the turn */
	else
		task->step(task);
}

void turn_tell(struct scsi_task *next)
{
	if (!next)
		return;
	next->work.fn = turn_has_come;
	reactor_post(next->reactor, &next->work);
}

void turn_give(struct turn *turn, struct scsi_task *task)
{
	struct scsi_task *next = NULL;
	struct list *node;

	pthread_mutex_lock(turn->lock);
	if (turn->owner == task) {
		node = list_pop(&turn->queue);
		if (node)
			next = list_entry(node, struct scsi_task, lu_node);
		turn->owner = next;
	}
	pthread_mutex_unlock(turn->lock);
	turn_tell(next);
}

struct scsi_task *turn_line_up(struct turn *turn, struct list *waiting)
{
	struct scsi_task *next = NULL;
	struct list *node;

	while ((node = list_pop(waiting))) {
		struct scsi_task *task = list_entry(node, struct scsi_task, lu_node);

		if (take_place(turn, task))
			next = task;
	}
	return next;
}

bool turn_abandon(struct scsi_task *task)
{
	struct turn *turn = task->turn;
	bool queued;

	pthread_mutex_lock(turn->lock);
	queued = turn->owner != task;
	if (queued)
		list_del(&task->lu_node);
	pthread_mutex_unlock(turn->lock);
	return queued;
}
