// SPDX-License-Identifier: BSD-2-Clause
/*
 * The write gate: COMPARE AND WRITE against every write of every reactor, without a lock on the
 * path of a write. See struct gate_slot.
 *
 *	writer:    in_flight++; exclusive? no: write; in_flight--     yes: in_flight--; wait on the slot
 *	exclusive: exclusive = 1; every in_flight zero? no: wait      yes: run; exclusive = 0; wake
 *
 * Each side first tells, then looks (sequentially consistent), so at least one of them sees the
 * other. Who brings the counts to zero takes drain_waiter out and posts its work; an exchange
 * decides when two see zero. Only the backstore request is inside: an initiator that is slow to
 * send its data holds up nobody.
 */
#include "scsi.h"

static struct gate_slot *slot_of(const struct scsi_task *task)
{
	return &task->lu->per_reactor[task->reactor->index].gate;
}

/* Zero seen slot by slot will do: with the flag up nobody enters to stay. */
static bool gate_idle(struct lu *lu)
{
	for (unsigned int i = 0; i < lu->reactors; i++) {
		if (atomic_load(&lu->per_reactor[i].gate.in_flight))
			return false;
	}
	return true;
}

static void slot_leave(struct gate_slot *slot)
{
	struct lu *lu = slot->lu;
	struct scsi_task *waiter;

	atomic_fetch_sub(&slot->in_flight, 1);
	if (__builtin_expect(!atomic_load(&lu->exclusive), 1) || !gate_idle(lu))
		return;
	waiter = atomic_exchange(&lu->drain_waiter, NULL);
	if (waiter)
		reactor_post(waiter->reactor, &waiter->work);
}

bool gate_enter(struct scsi_task *task)
{
	struct gate_slot *slot = slot_of(task);

	for (;;) {
		atomic_fetch_add(&slot->in_flight, 1);
		if (__builtin_expect(!atomic_load(&slot->lu->exclusive), 1)) {
			task->counted_write = true;
			return true;
		}
		slot_leave(slot);
		if (!slot->reactor)
			slot->reactor = task->reactor;
		atomic_store(&slot->has_waiters, true);
		if (atomic_load(&slot->lu->exclusive))
			break;
		/* It opened before it could see us: nobody would wake us. */
	}
	task->waits = WAITS_GATE;
	list_add_tail(&slot->waiting, &task->lu_node);
	return false;
}

void gate_leave(struct scsi_task *task)
{
	task->counted_write = false;
	slot_leave(slot_of(task));
}

/* Tasks that meet the flag again queue up on the slot again. */
void gate_slot_wake(struct work *work)
{
	struct gate_slot *slot = container_of(work, struct gate_slot, wake);
	struct list woken, *node;

	atomic_store(&slot->posted, false);
	list_init(&woken);
	list_splice_tail(&woken, &slot->waiting);
	while ((node = list_pop(&woken))) {
		struct scsi_task *task = list_entry(node, struct scsi_task, lu_node);

		task->waits = WAITS_NOTHING;
		if (gate_enter(task) && task_io_start(task))
			task->step(task);
	}
}

static void gate_go_on(struct work *work);

/* The task is the owner: raises the flag and waits for the writes in flight. */
static bool gate_drain(struct scsi_task *task)
{
	struct lu *lu = task->lu;

	task->waits = WAITS_DRAIN;
	task->work.fn = gate_go_on;
	atomic_store(&lu->exclusive, 1);
	atomic_store(&lu->drain_waiter, task);
	if (!gate_idle(lu) || atomic_exchange(&lu->drain_waiter, NULL) != task)
		return false;
	task->waits = WAITS_NOTHING;
	task->exclusive = true;
	return true;
}

bool gate_lock(struct scsi_task *task, void (*step)(struct scsi_task *task))
{
	struct lu *lu = task->lu;

	task->step = step;
	pthread_mutex_lock(&lu->lock);
	if (lu->owner) {
		task->waits = WAITS_TURN;
		list_add_tail(&lu->queue, &task->lu_node);
		pthread_mutex_unlock(&lu->lock);
		return false;
	}
	lu->owner = task;
	pthread_mutex_unlock(&lu->lock);
	return gate_drain(task);
}

/* It is the task's turn, or the writes it waited for ended: to be looked at again, because who
 * posted this may have seen the zeros of an exclusive command before us. */
static void gate_go_on(struct work *work)
{
	struct scsi_task *task = container_of(work, struct scsi_task, work);

	task->waits = WAITS_NOTHING;
	if (task->aborted) {
		task->exclusive = true; /* so that ending hands the turn on */
		task_end(task);
	} else if (gate_drain(task)) {
		task->step(task);
	}
}

/* The next exclusive command is not started here but posted, behind the writers that wait:
 * a row of COMPARE AND WRITEs cannot keep them out. */
void gate_unlock(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	struct scsi_task *next = NULL;
	struct list *node;

	task->exclusive = false;
	pthread_mutex_lock(&lu->lock);
	atomic_store(&lu->exclusive, 0);
	node = list_pop(&lu->queue);
	if (node)
		next = list_entry(node, struct scsi_task, lu_node);
	lu->owner = next;
	pthread_mutex_unlock(&lu->lock);

	for (unsigned int i = 0; i < lu->reactors; i++) {
		struct gate_slot *slot = &lu->per_reactor[i].gate;

		if (atomic_load(&slot->has_waiters) && atomic_exchange(&slot->has_waiters, false) &&
		    !atomic_exchange(&slot->posted, true))
			reactor_post(slot->reactor, &slot->wake);
	}
	if (next) {
		next->work.fn = gate_go_on;
		reactor_post(next->reactor, &next->work);
	}
}

bool gate_abandon(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	bool queued;

	if (task->waits == WAITS_GATE) {
		list_del(&task->lu_node);
		return true;
	}
	if (task->waits == WAITS_DRAIN) {
		struct scsi_task *waiter = task;

		/* Ours, or taken by who is about to post it. */
		if (!atomic_compare_exchange_strong(&lu->drain_waiter, &waiter, NULL))
			return false;
		task->exclusive = true;
		return true;
	}
	pthread_mutex_lock(&lu->lock);
	queued = lu->owner != task;
	if (queued)
		list_del(&task->lu_node);
	pthread_mutex_unlock(&lu->lock);
	return queued;
}
