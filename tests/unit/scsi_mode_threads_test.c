// SPDX-License-Identifier: BSD-2-Clause
/*
 * MODE SELECT on real threads. One actor switches the cache off and on, another one, on another
 * reactor, sets and clears TAS; writers write, and COMPARE AND WRITE makes them wait at the gate.
 * After the cache was switched off every write that reaches the disk is forced, whenever it looked at
 * WCE; and no MODE SELECT undoes another one. Run under SAN=thread too.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backstore/driver.h"
#include "core/slab.h"
#include "lu.h"
#include "pdu.h"
#include "scsi/scsi.h"
#include "tests/lib/unit.h"

enum { REACTORS = 3, WRITERS = 3, ROUNDS = 40, BLOCK = 512, BLOCKS = 64 };
enum role { CACHE, TAS, SWAPPER, WRITER };
enum { ACTORS = 2 + REACTORS * (1 + WRITERS) };

struct actor {
	struct scsi_task task;
	enum role role;
	struct reactor *reactor;
	unsigned int index, rounds;
	_Atomic unsigned int ended; /* commands */
	unsigned int before; /* the same, when the cache was switched off */
	bool on; /* what the next MODE SELECT sets */
	uint8_t out[2 * BLOCK];
	struct work start, transfer, disk_work;
};

static struct {
	struct backstore bs;
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus[REACTORS];
	struct reactor *reactors[REACTORS];
	struct actor actors[ACTORS];
	_Atomic unsigned int running, selectors;
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
	struct scsi_task *task = container_of(req, struct scsi_task, req);
	struct actor *a = container_of(task, struct actor, task);

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

static void actor_next(struct actor *a);

static void actor_start(struct work *work)
{
	actor_next(container_of(work, struct actor, start));
}

static void transferred(struct work *work)
{
	struct actor *a = container_of(work, struct actor, transfer);

	a->task.io_done(&a->task, true);
}

static void port_get(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct actor *a = container_of(task, struct actor, task);

	memcpy(data, a->out + offset, len);
	a->transfer.fn = transferred;
	reactor_defer(a->reactor, &a->transfer);
}

static void port_done(struct scsi_task *task)
{
	struct actor *a = container_of(task, struct actor, task);

	atomic_fetch_add(&a->ended, 1);
	/* This is the GOOD that counts: whatever reaches the disk from now on is forced. */
	if (a->role == CACHE && !a->on && task->cdb[0] == CDB_MODE_SELECT_6 &&
	    task->status == SAM_GOOD) {
		for (unsigned int i = 0; i < ACTORS; i++)
			world.actors[i].before = atomic_load(&world.actors[i].ended);
		atomic_store(&world.no_cache, true);
	}
	/* Not from inside: the stack would grow with every command. */
	a->start.fn = actor_start;
	reactor_defer(a->reactor, &a->start);
}

static void port_abort_others(struct scsi_task *task)
{
	(void)task;
}

static const struct task_port_ops port_ops = { .get_data = port_get,
					       .done = port_done,
					       .abort_others = port_abort_others };

/* --- The actors */

static void submit(struct actor *a, const uint8_t *cdb, uint32_t edtl)
{
	struct scsi_task *t = &a->task;

	memset(t, 0, sizeof(*t));
	t->port = &port_ops;
	t->nexus = &world.nexus[a->reactor->index];
	t->reactor = a->reactor;
	t->attribute = ATTR_SIMPLE;
	memcpy(t->cdb, cdb, 16);
	t->cdb_len = CDB_MAX;
	t->writes = true;
	t->edtl = edtl;
	scsi_submit(t);
}

static void submit_select(struct actor *a)
{
	static const uint8_t control[] = { 0x0a, 10, 0x22, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0 };
	uint8_t cdb[16] = { CDB_MODE_SELECT_6, 0x10 };

	memset(a->out, 0, sizeof(a->out));
	if (a->role == CACHE) {
		cdb[4] = 24;
		a->out[4] = MODE_PAGE_CACHING;
		a->out[5] = 18;
		a->out[6] = a->on ? MODE_CACHING_WCE : 0;
		if (a->on)
			atomic_store(&world.no_cache, false);
	} else {
		cdb[4] = 16;
		memcpy(a->out + 4, control, sizeof(control));
		a->out[4 + 5] = a->on ? 0x40 : 0;
	}
	submit(a, cdb, cdb[4]);
}

static void submit_write(struct actor *a, uint8_t opcode)
{
	uint8_t cdb[16] = { opcode, [9] = (uint8_t)(a->index % BLOCKS), [13] = 1 };

	memset(a->out, 0, sizeof(a->out));
	submit(a, cdb, opcode == CDB_COMPARE_AND_WRITE ? 2 * BLOCK : BLOCK);
}

static void leave(void)
{
	if (atomic_fetch_sub(&world.running, 1) != 1)
		return;
	for (int i = 0; i < REACTORS; i++)
		reactor_stop(world.reactors[i]);
}

/* GOOD: what was set is set, and nobody else sets it. */
static void selected(struct actor *a)
{
	const struct lu_mode *mode = &world.lu->mode;

	if (atomic_load(a->role == CACHE ? &mode->write_cache : &mode->tas) != a->on)
		atomic_fetch_add(&world.undone, 1);
	a->on = !a->on;
	a->rounds++;
}

/* Since the cache was switched off each has ended what it waited with, and another one. */
static bool writers_went_on(void)
{
	for (unsigned int i = 0; i < ACTORS; i++) {
		struct actor *a = &world.actors[i];

		if (a->role == WRITER && atomic_load(&a->ended) - a->before < 2)
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
		leave();
	} else if (a->role == CACHE && atomic_load(&world.no_cache) && !writers_went_on()) {
		submit_write(a, CDB_WRITE_16);
	} else if (selects) {
		submit_select(a);
	} else if (!atomic_load(&world.selectors)) {
		leave();
	} else {
		submit_write(a, a->role == SWAPPER ? CDB_COMPARE_AND_WRITE : CDB_WRITE_16);
	}
}

static void world_run(struct slab *slab)
{
	for (unsigned int i = 0; i < REACTORS; i++) {
		struct reactor_config cfg = { .index = i, .cpu = -1, .slab = slab };

		CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &world.reactors[i]), 0);
	}
	for (unsigned int i = 0; i < ACTORS; i++) {
		struct actor *a = &world.actors[i];

		a->index = i;
		a->role = i < 2 ? (enum role)i : i % (1 + WRITERS) == 2 ? SWAPPER : WRITER;
		a->reactor = world.reactors[i % REACTORS];
		a->start.fn = actor_start;
		reactor_post(a->reactor, &a->start);
	}
	atomic_store(&world.running, ACTORS);
	atomic_store(&world.selectors, 2);
	for (int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL_FATAL(reactor_start(world.reactors[i]), 0);
	for (int i = 0; i < REACTORS; i++)
		reactor_join(world.reactors[i]);
}

static void no_write_slips_through(void)
{
	struct lu_config cfg = {
		.bs = &world.bs, .serial = "1", .product = "mode", .reactors = REACTORS
	};
	struct slab *slab;

	world.bs.driver = &disk_driver;
	world.bs.limits.size = BLOCKS * BLOCK;
	world.bs.limits.block_size = BLOCK;
	world.bs.limits.volatile_cache = true;
	CU_ASSERT_EQUAL_FATAL(slab_create(8 << 20, &slab), 0);
	CU_ASSERT_EQUAL_FATAL(lu_create(&cfg, &world.lu, (char[256]){ 0 }, 256), 0);
	world.target.lun[0] = world.lu;
	world.target.port_count = 1;
	for (int i = 0; i < REACTORS; i++) {
		world.nexus[i].target = &world.target;
		world.nexus[i].port = &world.target.ports[0];
		nexus_attach(&world.nexus[i]);
	}
	world_run(slab);

	CU_ASSERT_EQUAL(world.running, 0);
	CU_ASSERT_EQUAL(world.bad_flags, 0);
	CU_ASSERT_EQUAL(world.bad_status, 0);
	CU_ASSERT_EQUAL(world.undone, 0);
	CU_ASSERT(world.writes_forced > 0);
	CU_ASSERT(world.writes_cached > 0);
	printf("# %u writes forced, %u not\n", world.writes_forced, world.writes_cached);

	for (int i = 0; i < REACTORS; i++)
		reactor_destroy(world.reactors[i]);
	for (int i = 0; i < REACTORS; i++)
		nexus_detach(&world.nexus[i]);
	lu_destroy(world.lu);
	slab_destroy(slab);
}

UNIT_MAIN(TEST(no_write_slips_through));
