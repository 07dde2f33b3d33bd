// SPDX-License-Identifier: BSD-2-Clause
/*
 * MODE SELECT on real threads. One actor switches the cache off and on, another one, on another
 * reactor, sets and clears TAS; writers write, and COMPARE AND WRITE makes them wait at the gate.
 * After the cache was switched off every write that reaches the disk is forced, whenever it looked at
 * WCE; and no MODE SELECT undoes another one. Run under SAN=thread too.
 */
#include "scsi_threads.h"

enum { REACTORS = 3, WRITERS = 3, ROUNDS = 40, BLOCK = 512, BLOCKS = 64 };
enum role { CACHE, TAS, SWAPPER, WRITER };
enum { ACTORS = 2 + REACTORS * (1 + WRITERS) };

static struct {
	_Atomic unsigned int ended; /* commands */
	unsigned int before; /* the same, when the cache was switched off */
	bool on; /* what the next MODE SELECT sets */
} mine[ACTORS];

static struct {
	struct backstore bs;
	_Atomic unsigned int selectors;
	_Atomic bool no_cache; /* GOOD for that has been seen, and it is not yet to be on again */
	_Atomic unsigned int bad_flags, bad_status, undone, writes_forced, writes_cached;
} world;

/* --- The disk: requests take a turn of the reactor. */

static void disk_finish(struct work *work)
{
	bs_complete(&container_of(work, struct actor, disk_work)->task.req, 0);
}

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	struct actor *a = actor_of_req(req);

	(void)bs;
	if (req->opcode == BS_WRITE) {
		bool forced = req->flags & BS_FUA;

		atomic_fetch_add(forced ? &world.writes_forced : &world.writes_cached, 1);
		if (atomic_load(&world.no_cache) && !forced)
			atomic_fetch_add(&world.bad_flags, 1);
	}
	if (req->opcode == BS_READ)
		memset(req->data, 0, req->len);
	a->disk_work.fn = disk_finish;
	reactor_defer(a->reactor, &a->disk_work);
	return false;
}

static const struct bs_driver disk_driver = { .name = "test", .submit = disk_submit };

/* --- The port */

static void port_done(struct scsi_task *task)
{
	struct actor *a = actor_of(task);

	atomic_fetch_add(&mine[a->index].ended, 1);
	/* This is the GOOD that counts: whatever reaches the disk from now on is forced. */
	if (a->role == CACHE && !mine[a->index].on && task->cdb[0] == CDB_MODE_SELECT_6 &&
	    task->status == SAM_GOOD) {
		for (unsigned int i = 0; i < ACTORS; i++)
			mine[i].before = atomic_load(&mine[i].ended);
		atomic_store(&world.no_cache, true);
	}
	actor_done(task);
}

static const struct task_port_ops port_ops = { .get_data = actor_get,
					       .done = port_done,
					       .abort_others = actor_abort_others };

/* --- The actors */

static void submit_select(struct actor *a)
{
	static const uint8_t control[] = { 0x0a, 10, 0x22, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0 };
	uint8_t cdb[16] = { CDB_MODE_SELECT_6, 0x10 };

	memset(a->out, 0, 2 * BLOCK);
	if (a->role == CACHE) {
		cdb[4] = 24;
		a->out[4] = MODE_PAGE_CACHING;
		a->out[5] = 18;
		a->out[6] = mine[a->index].on ? MODE_CACHING_WCE : 0;
		if (mine[a->index].on)
			atomic_store(&world.no_cache, false);
	} else {
		cdb[4] = 16;
		memcpy(a->out + 4, control, sizeof(control));
		a->out[4 + 5] = mine[a->index].on ? 0x40 : 0;
	}
	actor_submit(a, cdb, false, cdb[4]);
}

static void submit_write(struct actor *a, uint8_t opcode)
{
	uint8_t cdb[16] = { opcode, [9] = (uint8_t)(a->index % BLOCKS), [13] = 1 };

	memset(a->out, 0, 2 * BLOCK);
	actor_submit(a, cdb, false, opcode == CDB_COMPARE_AND_WRITE ? 2 * BLOCK : BLOCK);
}

/* GOOD: what was set is set, and nobody else sets it. */
static void selected(struct actor *a)
{
	const struct lu_mode *mode = &a->threads->lu->mode;

	if (atomic_load(a->role == CACHE ? &mode->write_cache : &mode->tas) != mine[a->index].on)
		atomic_fetch_add(&world.undone, 1);
	mine[a->index].on = !mine[a->index].on;
	a->rounds++;
}

/* Since the cache was switched off each has ended what it waited with, and another one. */
static bool writers_went_on(const struct threads *threads)
{
	for (unsigned int i = 0; i < ACTORS; i++) {
		if (threads->actors[i].role == WRITER &&
		    atomic_load(&mine[i].ended) - mine[i].before < 2)
			return false;
	}
	return true;
}

static void actor_next(struct actor *a)
{
	bool ran = a->task.cdb_len != 0, selects = a->role == CACHE || a->role == TAS;

	/* The others have changed something: once more. */
	if (ran && a->task.status == SAM_CHECK_CONDITION && a->task.sense[2] == 6)
		;
	else if (ran && a->task.status != SAM_GOOD)
		atomic_fetch_add(&world.bad_status, 1);
	else if (ran && a->task.cdb[0] == CDB_MODE_SELECT_6)
		selected(a);
	if (selects && a->rounds == ROUNDS) {
		atomic_fetch_sub(&world.selectors, 1);
		actor_leave(a);
	} else if (a->role == CACHE && atomic_load(&world.no_cache) &&
		   !writers_went_on(a->threads)) {
		submit_write(a, CDB_WRITE_16);
	} else if (selects) {
		submit_select(a);
	} else if (!atomic_load(&world.selectors)) {
		actor_leave(a);
	} else {
		submit_write(a, a->role == SWAPPER ? CDB_COMPARE_AND_WRITE : CDB_WRITE_16);
	}
}

static void no_write_slips_through(void)
{
	static struct threads threads = { .reactor_count = REACTORS,
					  .actor_count = ACTORS,
					  .port = &port_ops,
					  .next = actor_next };

	world.bs.driver = &disk_driver;
	world.bs.limits.size = BLOCKS * BLOCK;
	world.bs.limits.block_size = BLOCK;
	world.bs.limits.volatile_cache = true;
	threads_open(&threads, &world.bs, NULL);
	for (unsigned int i = 0; i < ACTORS; i++)
		threads.actors[i].role = i < 2 ? i : i % (1 + WRITERS) == 2 ? SWAPPER : WRITER;
	atomic_store(&world.selectors, 2);
	threads_run(&threads);

	CU_ASSERT_EQUAL(world.bad_flags, 0);
	CU_ASSERT_EQUAL(world.bad_status, 0);
	CU_ASSERT_EQUAL(world.undone, 0);
	CU_ASSERT(world.writes_forced > 0);
	CU_ASSERT(world.writes_cached > 0);
	printf("# %u writes forced, %u not\n", world.writes_forced, world.writes_cached);

	threads_close(&threads);
}

UNIT_MAIN(TEST(no_write_slips_through));
