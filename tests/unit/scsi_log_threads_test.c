// SPDX-License-Identifier: BSD-2-Clause
/*
 * Log counters on real threads: one actor per reactor counts and resets or reads, so that a reset
 * comes between the counting and the showing of another. A counter never shows less than nothing.
 * Run under SAN=thread too.
 */
#include <stdatomic.h>
#include <string.h>

#include "backstore/driver.h"
#include "core/slab.h"
#include "lu.h"
#include "pdu.h"
#include "scsi/scsi.h"
#include "scsi_log_wire.h"
#include "tests/lib/unit.h"

enum { REACTORS = 3, ROUNDS = 100000, ROOM = 128 };

struct actor {
	struct scsi_task task;
	struct reactor *reactor;
	unsigned int index, rounds;
	struct work start, transfer;
	uint64_t reads; /* of the last LOG SENSE */
};

static struct {
	struct backstore bs;
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus[REACTORS];
	struct reactor *reactors[REACTORS];
	struct actor actors[REACTORS];
	_Atomic unsigned int running, absurd, bad_status, shown;
} world;

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	(void)bs;
	req->res = 0;
	return true;
}

static const struct bs_driver disk_driver = { .name = "test", .submit = disk_submit };

static void actor_next(struct work *work);

static void again(struct actor *a)
{
	a->start.fn = actor_next;
	reactor_defer(a->reactor, &a->start);
}

static void transferred(struct work *work)
{
	struct actor *a = container_of(work, struct actor, transfer);

	a->task.io_done(&a->task, true);
	again(a);
}

static void port_put(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
		     bool last)
{
	const struct log_statistics *p =
		(const void *)((const uint8_t *)data + sizeof(struct log_header));
	struct actor *a = container_of(task, struct actor, task);

	(void)offset;
	(void)last;
	CU_ASSERT_FATAL(len >= sizeof(struct log_header) + sizeof(*p));
	a->reads = be64_get(p->reads);
	atomic_fetch_add(&world.shown, 1);
	if (a->reads > (uint64_t)REACTORS * ROUNDS)
		atomic_fetch_add(&world.absurd, 1);
	a->transfer.fn = transferred;
	reactor_defer(a->reactor, &a->transfer);
}

static void port_done(struct scsi_task *task)
{
	/* A reset by another is told as a unit attention. */
	if (task->status == SAM_CHECK_CONDITION ? task->sense[2] != 6 : task->status != SAM_GOOD)
		atomic_fetch_add(&world.bad_status, 1);
	again(container_of(task, struct actor, task));
}

static void port_abort_others(struct scsi_task *task)
{
	(void)task;
}

static const struct task_port_ops port_ops = { .put_data = port_put,
					       .done = port_done,
					       .abort_others = port_abort_others };

static void leave(void)
{
	if (atomic_fetch_sub(&world.running, 1) != 1)
		return;
	for (int i = 0; i < REACTORS; i++)
		reactor_stop(world.reactors[i]);
}

/* The last actor resets all counters, the others look at them. */
static void actor_next(struct work *work)
{
	static const uint8_t sense[CDB_MAX] = {
		CDB_LOG_SENSE, 0, LOG_CUMULATIVE << 6 | LOG_PAGE_STATISTICS, [8] = ROOM
	};
	static const uint8_t select[CDB_MAX] = { CDB_LOG_SELECT, LOG_SELECT_PCR,
						 LOG_CUMULATIVE << 6 };
	struct actor *a = container_of(work, struct actor, start);
	bool resets = a->index == REACTORS - 1;
	struct scsi_task *t = &a->task;

	if (a->rounds++ == ROUNDS) {
		leave();
		return;
	}
	stat_add(&world.lu->per_reactor[a->index].stats.reads, 1);
	memset(t, 0, sizeof(*t));
	t->port = &port_ops;
	t->nexus = &world.nexus[a->index];
	t->reactor = a->reactor;
	t->attribute = ATTR_SIMPLE;
	memcpy(t->cdb, resets ? select : sense, CDB_MAX);
	t->cdb_len = CDB_MAX;
	t->reads = !resets;
	t->edtl = resets ? 0 : ROOM;
	scsi_submit(t);
}

static void counters_are_never_less_than_nothing(void)
{
	struct lu_config cfg = {
		.bs = &world.bs, .serial = "1", .product = "log", .reactors = REACTORS
	};
	struct slab *slab;

	world.bs.driver = &disk_driver;
	world.bs.limits.size = 64 * 512;
	world.bs.limits.block_size = 512;
	CU_ASSERT_EQUAL_FATAL(slab_create(8 << 20, &slab), 0);
	CU_ASSERT_EQUAL_FATAL(lu_create(&cfg, &world.lu, (char[256]){ 0 }, 256), 0);
	world.target.lun[0] = world.lu;
	world.target.port_count = 1;
	atomic_store(&world.running, REACTORS);
	for (unsigned int i = 0; i < REACTORS; i++) {
		struct reactor_config rc = { .index = i, .cpu = -1, .slab = slab };
		struct actor *a = &world.actors[i];

		world.nexus[i].target = &world.target;
		world.nexus[i].port = &world.target.ports[0];
		nexus_attach(&world.nexus[i]);
		CU_ASSERT_EQUAL_FATAL(reactor_create(&rc, &world.reactors[i]), 0);
		a->index = i;
		a->reactor = world.reactors[i];
		a->start.fn = actor_next;
		reactor_post(a->reactor, &a->start);
	}
	for (int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL_FATAL(reactor_start(world.reactors[i]), 0);
	for (int i = 0; i < REACTORS; i++)
		reactor_join(world.reactors[i]);

	CU_ASSERT_EQUAL(world.absurd, 0);
	CU_ASSERT_EQUAL(world.bad_status, 0);
	CU_ASSERT(world.shown > 0);
	printf("# %u pages shown\n", world.shown);

	for (int i = 0; i < REACTORS; i++)
		reactor_destroy(world.reactors[i]);
	for (int i = 0; i < REACTORS; i++)
		nexus_detach(&world.nexus[i]);
	lu_destroy(world.lu);
	slab_destroy(slab);
}

UNIT_MAIN(TEST(counters_are_never_less_than_nothing));
