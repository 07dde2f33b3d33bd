// SPDX-License-Identifier: BSD-2-Clause
/*
 * PERSISTENT RESERVE OUT from several reactors at once, each a thread: a reservation is a lock that
 * one of them has at a time, whatever is aborted meanwhile, and the store sees one change after the
 * other. Who preempts and aborts finds its victims still gone when that is through.
 */
#include <sched.h>

#include "scsi_pr.h"

enum { REACTORS = 3, ACTORS = 6, LOCKS = 100, COMMANDS = 3000 };

struct actor {
	struct scsi_task task;
	struct reactor *reactor;
	struct nexus nexus;
	struct work start, transfer;
	uint8_t list[24];
	uint8_t action;
	unsigned int locks, commands;
	bool registered, abort;
	const void *fence;
	bool (*victim)(const void *arg, const struct nexus *nexus);
};

static struct {
	struct reactor *reactors[REACTORS];
	struct lu *lu;
	struct scsi_target target;
	struct backstore bs;
	struct store store;
	struct actor actors[ACTORS];
	uint64_t version;
	_Atomic unsigned int storing, inside, running;
	_Atomic unsigned int bad_store, bad_lock, bad_fence, bad_status, conflicts, aborted, fences;
	void (*next)(struct work *work);
} t;

/* --- the store: one request at a time, or the turns are broken */

static int no_record(struct store *store, const char *name, char **data, size_t *len,
		     uint64_t *version, char *why, size_t why_size)
{
	(void)store;
	(void)name;
	(void)why;
	(void)why_size;
	*data = NULL;
	*len = 0;
	*version = 0;
	return -ENOENT;
}

static void store_done(struct work *work)
{
	struct store_req *req = container_of(work, struct store_req, job.back);

	if (req->version != t.version)
		atomic_fetch_add(&t.bad_store, 1);
	t.version = req->version = req->len ? t.version + 1 : 0;
	atomic_fetch_sub(&t.storing, 1);
	req->done(req, 0);
}

static void store_it(struct store *store, struct store_req *req)
{
	(void)store;
	if (atomic_fetch_add(&t.storing, 1))
		atomic_fetch_add(&t.bad_store, 1);
	req->job.back.fn = store_done;
	reactor_post(req->reactor, &req->job.back);
}

static const struct store_ops store_ops = { no_record, store_it, NULL };

/* --- the port */

static void arrived(struct work *work)
{
	struct actor *a = container_of(work, struct actor, transfer);

	a->task.io_done(&a->task, true);
}

static void get_data(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct actor *a = container_of(task, struct actor, task);

	memcpy(data, a->list + offset, len);
	a->transfer.fn = arrived;
	reactor_defer(a->reactor, &a->transfer);
}

static void done(struct scsi_task *task)
{
	struct actor *a = container_of(task, struct actor, task);

	a->start.fn = t.next;
	reactor_defer(a->reactor, &a->start);
}

static void fence_is_there(struct work *work)
{
	struct actor *a = container_of(work, struct actor, transfer);
	struct reservations *pr = t.lu->reservations;

	pthread_mutex_lock(&pr->lock);
	for (int i = 0; i < ACTORS; i++) {
		const struct nexus *n = &t.actors[i].nexus;

		if (a->victim(a->fence, n) &&
		    pr_find(pr->state, n->initiator_name, n->isid, nexus_port(n)))
			atomic_fetch_add(&t.bad_fence, 1);
	}
	pthread_mutex_unlock(&pr->lock);
	a->task.io_done(&a->task, true);
}

static void abort_tasks(struct scsi_task *task,
			bool (*victim)(const void *arg, const struct nexus *nexus), const void *arg,
			bool report)
{
	struct actor *a = container_of(task, struct actor, task);

	(void)report;
	a->victim = victim;
	a->fence = arg;
	a->transfer.fn = fence_is_there;
	sched_yield();
	reactor_defer(a->reactor, &a->transfer);
}

static void no_abort_others(struct scsi_task *task)
{
	(void)task;
}

static const struct task_port_ops port = { get_data, NULL, done, abort_tasks, no_abort_others };

/* --- the actors */

static void submit(struct actor *a, uint8_t action)
{
	struct cdb cdb = pr_out_cdb(action, PR_EXCLUSIVE_ACCESS, 24);
	struct scsi_task *task = &a->task;
	unsigned int me = (unsigned int)(a - t.actors), victim = (me + 1) % ACTORS;

	a->action = action;
	pr_list(a->list, action == PR_REGISTER_AND_IGNORE ? 0 : me + 1,
		(action == PR_PREEMPT_AND_ABORT ? victim : me) + 1, PR_APTPL);
	memset(task, 0, sizeof(*task));
	memcpy(task->cdb, cdb.b, 10);
	task->cdb_len = 10;
	task->port = &port;
	task->nexus = &a->nexus;
	task->reactor = a->reactor;
	task->attribute = 1;
	task->writes = true;
	task->edtl = 24;
	atomic_store(&a->nexus.unit_attentions[0], 0);
	scsi_submit(task);
	if (a->abort)
		scsi_abort(task);
}

static void leave(void)
{
	if (atomic_fetch_sub(&t.running, 1) != 1)
		return;
	for (int i = 0; i < REACTORS; i++)
		reactor_stop(t.reactors[i]);
}

/* Whether the last command was GOOD. */
static bool take_status(struct actor *a)
{
	bool good = a->commands && a->task.status == SAM_GOOD && !a->task.aborted;
	/* It was preempted since submit() took those that there were. */
	bool unit_attention = a->task.status == SAM_CHECK_CONDITION && a->task.sense[2] == 0x06;

	if (a->commands && a->task.aborted)
		atomic_fetch_add(&t.aborted, 1);
	else if (a->commands && !good && a->task.status != SAM_RESERVATION_CONFLICT &&
		 !unit_attention)
		atomic_fetch_add(&t.bad_status, 1);
	if (a->commands++ && !good && !a->task.aborted)
		atomic_fetch_add(&t.conflicts, 1);
	return good;
}

/* Register (now and then aborted on the way, and once more), lock, unlock. */
static void locker_next(struct work *work)
{
	struct actor *a = container_of(work, struct actor, start);
	bool good = take_status(a);

	a->abort = false;
	if (good && a->action == PR_RESERVE) {
		if (atomic_fetch_add(&t.inside, 1))
			atomic_fetch_add(&t.bad_lock, 1);
		sched_yield();
		atomic_fetch_sub(&t.inside, 1);
		a->locks++;
		submit(a, PR_RELEASE);
		return;
	}
	if (good && a->action == PR_REGISTER_AND_IGNORE)
		a->registered = true;
	if (a->locks == LOCKS) {
		leave();
		return;
	}
	if (a->registered && a->commands % 5) {
		submit(a, PR_RESERVE);
	} else {
		a->abort = a->registered && a->commands % 7 == 0;
		submit(a, PR_REGISTER_AND_IGNORE);
	}
}

/* Register and preempt the next one. */
static void preemptor_next(struct work *work)
{
	struct actor *a = container_of(work, struct actor, start);

	if (take_status(a) && a->action == PR_PREEMPT_AND_ABORT)
		atomic_fetch_add(&t.fences, 1);
	if (a->commands == COMMANDS) {
		leave();
		return;
	}
	a->abort = a->commands % 7 == 0;
	submit(a, a->commands % 2 ? PR_REGISTER_AND_IGNORE : PR_PREEMPT_AND_ABORT);
}

static void setup(struct slab *slab)
{
	for (unsigned int i = 0; i < REACTORS; i++) {
		struct reactor_config cfg = { .index = i, .cpu = -1, .slab = slab };

		CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &t.reactors[i]), 0);
	}
	for (unsigned int i = 0; i < ACTORS; i++) {
		struct actor *a = &t.actors[i];

		a->reactor = t.reactors[i % REACTORS];
		a->nexus.target = &t.target;
		a->nexus.port = &t.target.ports[0];
		a->nexus.isid[5] = (uint8_t)i;
		snprintf(a->nexus.initiator_name, sizeof(a->nexus.initiator_name), "iqn.x");
		nexus_attach(&a->nexus);
		a->start.fn = t.next;
		reactor_post(a->reactor, &a->start);
	}
}

static void play(void (*next)(struct work *work))
{
	struct lu_config cfg = { .bs = &t.bs,
				 .serial = "1",
				 .product = "turns",
				 .reactors = REACTORS,
				 .store = &t.store };
	struct slab *slab;

	memset(&t, 0, sizeof(t));
	t.next = next;
	t.store.ops = &store_ops;
	t.bs.driver = &disk_driver;
	t.bs.limits = (struct bs_limits){ .size = 1 << 20, .block_size = 512 };
	t.target.ports[0] = (struct target_port){ .tag = 1, .relative = 1 };
	t.target.port_count = 1;
	CU_ASSERT_EQUAL_FATAL(slab_create(8 << 20, &slab), 0);
	CU_ASSERT_EQUAL_FATAL(lu_create(&cfg, &t.lu, (char[256]){ 0 }, 256), 0);
	t.target.lun[0] = t.lu;
	setup(slab);
	atomic_store(&t.running, ACTORS);
	for (int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL_FATAL(reactor_start(t.reactors[i]), 0);
	for (int i = 0; i < REACTORS; i++)
		reactor_join(t.reactors[i]);

	CU_ASSERT_EQUAL(t.bad_store, 0);
	CU_ASSERT_EQUAL(t.bad_lock, 0);
	CU_ASSERT_EQUAL(t.bad_fence, 0);
	CU_ASSERT_EQUAL(t.bad_status, 0);
	CU_ASSERT(t.conflicts > 0);
	if (next == locker_next)
		CU_ASSERT_EQUAL(t.lu->reservations->state->count, ACTORS);
	CU_ASSERT_EQUAL(t.lu->reservations->state->type, 0);
	CU_ASSERT_PTR_NULL(t.lu->reservations->turn.owner);
	CU_ASSERT(list_empty(&t.lu->reservations->turn.queue));
	CU_ASSERT(list_empty(&t.lu->reservations->fences));
	printf("# %u conflicts, %u aborted\n", t.conflicts, t.aborted);

	for (unsigned int i = 0; i < REACTORS; i++)
		reactor_destroy(t.reactors[i]);
	for (unsigned int i = 0; i < ACTORS; i++)
		nexus_detach(&t.actors[i].nexus);
	lu_destroy(t.lu);
	CU_ASSERT_EQUAL(slab_in_use(slab), 0);
	slab_destroy(slab);
}

static void a_reservation_is_a_lock(void)
{
	play(locker_next);
}

static void a_fence_keeps_its_victims_out(void)
{
	play(preemptor_next);
	CU_ASSERT(t.fences > 0);
	printf("# %u fences\n", t.fences);
}

UNIT_MAIN(TEST(a_reservation_is_a_lock), TEST(a_fence_keeps_its_victims_out));
