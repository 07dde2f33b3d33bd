// SPDX-License-Identifier: BSD-2-Clause
/*
 * Victims of a PREEMPT AND ABORT wait for its end, beside the queue of the PERSISTENT RESERVE OUTs of
 * the unit (turn.h).
 */
#include "pr.h"

bool pr_fence_names(const struct pr_fence *fence, const struct nexus *nexus)
{
	return nexus != fence->by &&
	       pr_find(fence->victims, nexus->initiator_name, nexus->isid, nexus_port(nexus));
}

/* [lock] Behind the fence that the task's nexus is a victim of. */
static struct list *aside(struct turn *turn, const struct scsi_task *task)
{
	struct reservations *pr = container_of(turn, struct reservations, turn);
	struct list *node;

	list_for_each(node, &pr->fences) {
		struct pr_fence *fence = list_entry(node, struct pr_fence, node);

		if (pr_fence_names(fence, task->nexus))
			return &fence->waiting;
	}
	return NULL;
}

void pr_fences_init(struct reservations *pr)
{
	turn_init(&pr->turn, &pr->lock);
	pr->turn.aside = aside;
	list_init(&pr->fences);
}

void pr_fence_raise(struct scsi_task *task, struct pr_fence *fence)
{
	struct reservations *pr = task->lu->reservations;
	struct list *node, *tmp;

	fence->by = task->nexus;
	list_init(&fence->waiting);
	pthread_mutex_lock(&pr->lock);
	list_add_tail(&pr->fences, &fence->node);
	list_for_each_safe(node, tmp, &pr->turn.queue) {
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
	struct scsi_task *next;

	pthread_mutex_lock(&pr->lock);
	list_del(&fence->node);
	next = turn_line_up(&pr->turn, &fence->waiting);
	pthread_mutex_unlock(&pr->lock);
	turn_tell(next);
}
