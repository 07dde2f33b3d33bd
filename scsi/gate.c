// SPDX-License-Identifier: BSD-2-Clause
/*
 * The gate: exclusive commands (COMPARE AND WRITE, ORWRITE, WRITE ATOMIC) against every write and
 * every read of every reactor, without a lock on the path of a write or a read.
 *
 * Writes. See struct gate_slot.
 *
 *	writer:    writing = 1; flag up? no: write   yes: writing = 0; wait on the slot
 *	turn end:  nothing active? writing = 0; flag up and nobody writing? continue the one that waits
 *	exclusive: flag = 1; somebody writing? yes: wait   no: run; flag = 0; wake those who wait
 *	the next:  all of them let in? flag = 1; ...
 *
 * Each side first tells, then looks (sequentially consistent), so at least one of them sees the
 * other. Who ends the last writing takes drain_waiter out and posts its work; an exchange decides
 * when two see the end. Only the backstore request is inside: an initiator that is slow to send
 * its data holds up nobody.
 *
 * writing is held until the turn ends because telling costs a full memory barrier, which waits
 * for all the stores of the write before it.
 *
 * Reads do not enter: they would hold up exclusive commands, and be held up by them, and most see
 * nothing of them. They look at lu->sequence before and after (gate_read.c): it is odd while an
 * exclusive command changes the medium and another number afterwards, so a read that could have
 * seen half of a change knows it and is done again. That cannot help a read whose data the
 * transport takes from the backstore's own memory, long after we looked. So nothing is lent any
 * more once there has been an exclusive command, which sequence says by not being 0; the first one
 * has to wait for what is lent at that moment:
 *
 *	reader:    sequence is 0? lent++; ...; transfer is over: lent--
 *	exclusive: sequence = 2; a message to each reactor that ever lent; all answered? go on
 *	message:   lent is 0? answer   else the last lent-- answers
 *
 * lent is its reactor's alone: after the message that reactor sees that sequence is not 0, so lent
 * only falls. Before its first loan a reactor tells that it lends and then looks at sequence, as
 * above. The flag stays down meanwhile: an initiator that is slow to take its data holds up the
 * exclusive command, but no write. A unit without exclusive commands pays a counter for this.
 */
#include "core/memcheck.h"
#include "scsi.h"

/* ThreadSanitizer knows no fences; it does not reorder either. */
#if THREAD_SANITIZER
#define FENCE(order) ((void)0)
#else
#define FENCE(order) atomic_thread_fence(order)
#endif

static struct gate_slot *slot_of(const struct scsi_task *task)
{
	return &task->io_lu->per_reactor[task->reactor->index].gate;
}

/* Slot by slot will do: with the flag up nobody begins. */
static bool gate_idle(struct lu *lu)
{
	for (unsigned int i = 0; i < lu->reactors; i++) {
		if (atomic_load(&lu->per_reactor[i].gate.writing))
			return false;
	}
	return true;
}

static void slot_close(struct gate_slot *slot)
{
	struct lu *lu = slot->lu;
	struct scsi_task *waiter;

	atomic_store(&slot->writing, false);
	if (__builtin_expect(!atomic_load(&lu->exclusive), 1) || !gate_idle(lu))
		return;
	waiter = atomic_exchange(&lu->drain_waiter, NULL);
	if (waiter)
		reactor_post(waiter->reactor, &waiter->work);
}

static void slot_turn_end(struct work *work)
{
	struct gate_slot *slot = container_of(work, struct gate_slot, turn_end);

	slot->open = false;
	if (!slot->active)
		slot_close(slot);
}

/* False: the flag is up. */
static bool slot_open(struct gate_slot *slot, struct reactor *reactor)
{
	/* While a write is active, writing has been seen by whoever raises the flag. */
	if (!slot->active)
		atomic_store(&slot->writing, true);
	if (__builtin_expect(!atomic_load(&slot->lu->exclusive), 1)) {
		slot->open = true;
		reactor_defer(reactor, &slot->turn_end);
		return true;
	}
	if (!slot->active)
		slot_close(slot);
	return false;
}

bool gate_lets_in(struct lu *lu, struct reactor *reactor)
{
	struct gate_slot *slot = &lu->per_reactor[reactor->index].gate;

	return __builtin_expect(slot->open, 1) || slot_open(slot, reactor);
}

bool gate_enter(struct scsi_task *task)
{
	struct gate_slot *slot = slot_of(task);

	while (__builtin_expect(!slot->open, 0) && !slot_open(slot, task->reactor)) {
		if (!slot->reactor)
			slot->reactor = task->reactor;
		atomic_store(&slot->has_waiters, true);
		/* Else it was lowered before it could see us: nobody would wake us. */
		if (atomic_load(&slot->lu->exclusive)) {
			task->waits = WAITS_GATE;
			list_add_tail(&slot->waiting, &task->lu_node);
			return false;
		}
	}
	slot->active++;
	task->counted_write = true;
	return true;
}

void gate_leave(struct scsi_task *task)
{
	struct gate_slot *slot = slot_of(task);

	task->counted_write = false;
	if (--slot->active == 0 && !slot->open)
		slot_close(slot);
}

/* A reactor has nothing lent and will not lend, or has let in who waited. */
static void answer(struct lu *lu)
{
	struct scsi_task *waiter;

	if (atomic_fetch_sub(&lu->answers_due, 1) != 1)
		return;
	waiter = atomic_exchange(&lu->drain_waiter, NULL);
	if (waiter)
		reactor_post(waiter->reactor, &waiter->work);
}

/* The flag stays down until answer(). */
static void slot_wake(struct work *work)
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
	answer(slot->lu);
}

/* --- Loans */

static void slot_stop_lending(struct work *work)
{
	struct gate_slot *slot = container_of(work, struct gate_slot, stop_lending);

	if (slot->lent)
		slot->lending_over = true;
	else
		answer(slot->lu);
}

/* [the first exclusive command] */
static void stop_lending(struct lu *lu)
{
	atomic_fetch_add(&lu->answers_due, 1);
	atomic_store(&lu->sequence, 2);
	for (unsigned int i = 0; i < lu->reactors; i++) {
		struct gate_slot *slot = &lu->per_reactor[i].gate;
		struct reactor *lender = atomic_load(&slot->lender);

		if (!lender)
			continue;
		atomic_fetch_add(&lu->answers_due, 1);
		reactor_post(lender, &slot->stop_lending);
	}
	answer(lu);
}

bool gate_lend(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	struct gate_slot *slot = &lu->per_reactor[task->reactor->index].gate;

	if (__builtin_expect(!atomic_load_explicit(&slot->lender, memory_order_relaxed), 0))
		atomic_store(&slot->lender, task->reactor);
	if (__builtin_expect(atomic_load(&lu->sequence) != 0, 0))
		return false;
	slot->lent++;
	task->lent = true;
	return true;
}

void gate_lend_end(struct scsi_task *task)
{
	struct gate_slot *slot = &task->lu->per_reactor[task->reactor->index].gate;

	task->lent = false;
	if (--slot->lent == 0 && __builtin_expect(slot->lending_over, 0)) {
		slot->lending_over = false;
		answer(slot->lu);
	}
}

/* --- The sequence number */

void gate_change(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	uint32_t sequence = atomic_load_explicit(&lu->sequence, memory_order_relaxed);

	atomic_store_explicit(&lu->sequence, sequence | 1, memory_order_relaxed);
	/* Odd before the first byte changes; a store past the cache heeds no weaker fence than that. */
	FENCE(memory_order_seq_cst);
}

static void change_is_over(struct lu *lu)
{
	uint32_t sequence = atomic_load_explicit(&lu->sequence, memory_order_relaxed);

	if (sequence & 1)
		atomic_store_explicit(&lu->sequence, sequence + 1 ? sequence + 1 : 2,
				      memory_order_release);
}

bool gate_changed(const struct lu *lu, uint32_t before)
{
	FENCE(memory_order_acquire); /* what was read before this look at the number */
	return before & 1 || atomic_load_explicit(&lu->sequence, memory_order_acquire) != before;
}

/* --- Exclusive commands */

void gate_slot_init(struct gate_slot *slot, struct lu *lu)
{
	list_init(&slot->waiting);
	slot->stop_lending.fn = slot_stop_lending;
	slot->wake.fn = slot_wake;
	slot->turn_end.fn = slot_turn_end;
	slot->lu = lu;
}

static void gate_go_on(struct work *work);

/* The task is the owner: waits for what is lent and for who was woken, raises the flag, waits for the
 * writes in flight. */
static bool gate_drain(struct scsi_task *task)
{
	struct lu *lu = task->lu;

	task->waits = WAITS_DRAIN;
	task->work.fn = gate_go_on;
	if (!atomic_load(&lu->sequence))
		stop_lending(lu);
	if (atomic_load(&lu->answers_due)) {
		atomic_store(&lu->drain_waiter, task);
		if (atomic_load(&lu->answers_due) ||
		    atomic_exchange(&lu->drain_waiter, NULL) != task)
			return false;
	}
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

	task->io_lu = lu;
	task->step = step;
	pthread_mutex_lock(&lu->lock);
	if (lu->owner) {
		task->waits = WAITS_LOCK;
		list_add_tail(&lu->queue, &task->lu_node);
		pthread_mutex_unlock(&lu->lock);
		return false;
	}
	lu->owner = task;
	pthread_mutex_unlock(&lu->lock);
	return gate_drain(task);
}

/* It is the task's turn, or the writes it waited for ended: to be looked at again, because who
 * posted this may have seen the end of writing for an exclusive command before us. */
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

/* The next exclusive command has to wait for the answers of those who are woken here: a row of
 * COMPARE AND WRITEs cannot keep them out, on whatever reactor they are. */
void gate_unlock(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	struct scsi_task *next = NULL;
	struct list *node;

	task->exclusive = false;
	atomic_fetch_add(&lu->answers_due, 1); /* ours, until all are asked */
	pthread_mutex_lock(&lu->lock);
	change_is_over(lu);
	atomic_store(&lu->exclusive, 0);
	node = list_pop(&lu->queue);
	if (node)
		next = list_entry(node, struct scsi_task, lu_node);
	lu->owner = next;
	pthread_mutex_unlock(&lu->lock);

	for (unsigned int i = 0; i < lu->reactors; i++) {
		struct gate_slot *slot = &lu->per_reactor[i].gate;

		if (atomic_load(&slot->has_waiters) && atomic_exchange(&slot->has_waiters, false) &&
		    !atomic_exchange(&slot->posted, true)) {
			atomic_fetch_add(&lu->answers_due, 1);
			reactor_post(slot->reactor, &slot->wake);
		}
	}
	answer(lu);
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
