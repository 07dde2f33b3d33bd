// SPDX-License-Identifier: BSD-2-Clause
/*
 * Commands that change and store what a unit remembers run one after the other, from whatever reactor
 * they come: the store takes its time, and the next one has to see what the one before has made.
 * Reads and writes of the unit go on meanwhile, and tasks may be aborted while they wait.
 */
#include "pages.h"

bool pages_take_turn(struct scsi_task *task, void (*step)(struct scsi_task *task))
{
	struct lu_pages *pages = task->lu->pages;

	task->step = step;
	pthread_mutex_lock(&pages->lock);
	if (pages->owner) {
		task->waits = WAITS_PAGES;
		list_add_tail(&pages->queue, &task->lu_node);
	} else {
		pages->owner = task;
	}
	pthread_mutex_unlock(&pages->lock);
	return task->waits == WAITS_NOTHING;
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

void pages_give_turn(struct scsi_task *task)
{
	struct lu_pages *pages = task->lu->pages;
	struct scsi_task *next = NULL;
	struct list *node;

	pthread_mutex_lock(&pages->lock);
	if (pages->owner == task) {
		node = list_pop(&pages->queue);
		if (node)
			next = list_entry(node, struct scsi_task, lu_node);
		pages->owner = next;
	}
	pthread_mutex_unlock(&pages->lock);
	if (next) {
		next->work.fn = turn_has_come;
		reactor_post(next->reactor, &next->work);
	}
}

bool pages_abandon(struct scsi_task *task)
{
	struct lu_pages *pages = task->lu->pages;
	bool queued;

	pthread_mutex_lock(&pages->lock);
	queued = pages->owner != task;
	if (queued)
		list_del(&task->lu_node);
	pthread_mutex_unlock(&pages->lock);
	return queued;
}
