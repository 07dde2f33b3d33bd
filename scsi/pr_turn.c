// SPDX-License-Identifier: BSD-2-Clause
/*
 * PERSISTENT RESERVE OUTs of one unit run one after the other, from whatever reactor they come: the
 * store takes its time, and the next one has to see what the one before has made. The turn is held
 * from looking at the state until the new one is installed; tasks may be aborted while they wait.
 * Victims of a PREEMPT AND ABORT wait for its end, beside the queue.
 */
#include "pr.h"

bool pr_fence_names(const struct pr_fence *fence, const struct nexus *nexus)
{
	return nexus != fence->by &&
	       pr_find(fence->victims, nexus->initiator_name, nexus->isid, nexus_port(nexus));
}

/* [lock] Where the task has to wait; NULL: nowhere, the turn is free. */
static struct list *place_of(struct reservations *pr, const struct scsi_task *task)
{
	struct list *node;

	list_for_each(node, &pr->fences) {
		struct pr_fence *fence = list_entry(node, struct pr_fence, node);

		if (pr_fence_names(fence, task->nexus))
			return &fence->waiting;
	}
	return pr->owner ? &pr->queue : NULL;
}

/* [lock] True: the task has the turn. */
static bool take_place(struct reservations *pr, struct scsi_task *task)
{
	struct list *place = place_of(pr, task);

	if (place)
		list_add_tail(place, &task->lu_node);
	else
		pr->owner = task;
	return !place;
}

bool pr_take_turn(struct scsi_task *task, void (*step)(struct scsi_task *task))
{
	struct reservations *pr = task->lu->reservations;
	bool taken;

	task->step = step;
	pthread_mutex_lock(&pr->lock);
	taken = take_place(pr, task);
	pthread_mutex_unlock(&pr->lock);
	if (!taken)
		task->waits = WAITS_RESERVATION;
	return taken;
}

/* The step looks at task->aborted: it has a turn to give back. */
static void turn_has_come(struct work *work)
{
	struct scsi_task *task = container_of(work, struct scsi_task, work);

	task->waits = WAITS_NOTHING;
	task->step(task);
}

static void tell(struct scsi_task *next)
{
	if (!next)
		return;
	next->work.fn = turn_has_come;
	reactor_post(next->reactor, &next->work);
}

void pr_give_turn(struct scsi_task *task)
{
	struct reservations *pr = task->lu->reservations;
	struct scsi_task *next = NULL;
	struct list *node;

	pthread_mutex_lock(&pr->lock);
	node = list_pop(&pr->queue);
	if (node)
		next = list_entry(node, struct scsi_task, lu_node);
	pr->owner = next;
	pthread_mutex_unlock(&pr->lock);
	tell(next);
}

void pr_fence_raise(struct scsi_task *task, struct pr_fence *fence)
{
	struct reservations *pr = task->lu->reservations;
	struct list *node, *tmp;

	fence->by = task->nexus;
	list_init(&fence->waiting);
	pthread_mutex_lock(&pr->lock);
	list_add_tail(&pr->fences, &fence->node);
	list_for_each_safe(node, tmp, &pr->queue) {
		if (!pr_fence_names(fence, list_entry(node, struct scsi_task, lu_node)->nexus))
			continue;
		list_del(node);
		list_add_tail(&fence->waiting, node);
	}
	pthread_mutex_unlock(&pr->lock);
}

void pr_fence_lower(struct scsi_task *task, struct pr_fence *fence)
{
	struct reservations *pr = task->lu->reservations;
	struct scsi_task *next = NULL;
	struct list *node;

	pthread_mutex_lock(&pr->lock);
	list_del(&fence->node);
	while ((node = list_pop(&fence->waiting))) {
		struct scsi_task *waiting = list_entry(node, struct scsi_task, lu_node);

		if (take_place(pr, waiting))
			next = waiting;
	}
	pthread_mutex_unlock(&pr->lock);
	tell(next);
}

bool pr_abandon(struct scsi_task *task)
{
	struct reservations *pr = task->lu->reservations;
	bool queued;

	pthread_mutex_lock(&pr->lock);
	queued = pr->owner != task;
	if (queued)
		list_del(&task->lu_node);
	pthread_mutex_unlock(&pr->lock);
	return queued;
}
