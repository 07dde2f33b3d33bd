// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads beside exclusive commands on real threads (scsi/gate.c, gate_read.c). Four blocks hold the
 * same number four times. Swappers replace all four by COMPARE AND WRITE, readers must never see
 * two numbers at once: neither in what the disk fills a buffer with, half of it a turn later, nor in
 * memory of the disk that the transport reads long after it was lent. In each round the first swap
 * comes in the middle of such loans. Run under SAN=thread too.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backstore/driver.h"
#include "core/slab.h"
#include "lu.h"
#include "scsi/scsi.h"
#include "tests/lib/unit.h"

enum {
	REACTORS = 2,
	READERS = 4, /* on each */
	SWAPPERS = 2,
	ACTORS = REACTORS * (READERS + SWAPPERS),
	ROUNDS = 60,
	LOANS = 20, /* before the first swap */
	READS = 150, /* of each reader, at least */
	SWAPS = 40, /* in a round */
	BLOCK = 512,
	BLOCKS = 4,
	LEN = BLOCK * BLOCKS,
};

static struct {
	struct backstore bs;
	pthread_mutex_t lock; /* the memory; says nothing about order */
	uint8_t bytes[16 * BLOCK];
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct actor {
	struct scsi_task task;
	struct reactor *reactor;
	bool swaps;
	unsigned int rounds;
	uint64_t seen;
	uint8_t out[2 * LEN], in[LEN];
	struct work start, transfer, disk_work;
	const uint8_t *from; /* Data-In on its way */
	unsigned int halves;
	bool ended;
};

static struct {
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus[REACTORS]; /* a nexus belongs to one reactor */
	struct reactor *reactors[REACTORS];
	struct actor actors[ACTORS];
	_Atomic unsigned int running, loans, late_loans, swaps, torn, bad_status;
} world;

/* --- The disk */

static void copy(void *to, const void *from, size_t len)
{
	pthread_mutex_lock(&disk.lock);
	memcpy(to, from, len);
	pthread_mutex_unlock(&disk.lock);
}

static void move_half(struct bs_req *req, bool second)
{
	uint64_t half = req->len / 2, at = second ? half : 0;
	uint8_t *here = disk.bytes + req->offset + at, *there = (uint8_t *)req->data + at;

	if (req->opcode == BS_READ)
		copy(there, here, half);
	else
		copy(here, there, half);
}

static void disk_finish(struct work *work)
{
	struct actor *a = container_of(work, struct actor, disk_work);

	move_half(&a->task.req, true);
	bs_complete(&a->task.req, 0);
}

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	struct scsi_task *task = container_of(req, struct scsi_task, req);
	struct actor *a = container_of(task, struct actor, task);

	(void)bs;
	move_half(req, false);
	a->disk_work.fn = disk_finish;
	reactor_defer(a->reactor, &a->disk_work);
	return false;
}

static void *disk_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)bs;
	(void)len;
	return disk.bytes + offset;
}

static const struct bs_driver disk_driver = { .name = "test",
					      .submit = disk_submit,
					      .borrow = disk_borrow };

/* --- The port */

static void actor_next(struct actor *a);

static void fetched(struct work *work)
{
	struct actor *a = container_of(work, struct actor, transfer);

	a->task.io_done(&a->task, true);
}

static void port_get(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct actor *a = container_of(task, struct actor, task);

	memcpy(data, a->out + offset, len);
	a->transfer.fn = fetched;
	reactor_defer(a->reactor, &a->transfer);
}

/* Half of it, a turn later the other half, as a slow connection takes it. */
static void sent(struct work *work)
{
	struct actor *a = container_of(work, struct actor, transfer);
	uint32_t at = a->halves++ * LEN / 2;

	if (at < LEN) {
		copy(a->in + at, a->from + at, LEN / 2);
		reactor_defer(a->reactor, &a->transfer);
		return;
	}
	a->task.io_done(&a->task, true);
	actor_next(a);
}

static bool is_lent(const struct actor *a)
{
	return a->from >= disk.bytes && a->from < disk.bytes + sizeof(disk.bytes);
}

static void port_put(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
		     bool last)
{
	struct actor *a = container_of(task, struct actor, task);

	CU_ASSERT_FATAL(offset == 0 && len == LEN && last);
	a->from = data;
	a->halves = 0;
	if (is_lent(a))
		atomic_fetch_add(&world.loans, 1);
	if (is_lent(a) && atomic_load(&world.swaps))
		atomic_fetch_add(&world.late_loans, 1);
	a->transfer.fn = sent;
	reactor_defer(a->reactor, &a->transfer);
}

static void port_done(struct scsi_task *task)
{
	struct actor *a = container_of(task, struct actor, task);

	reactor_defer(a->reactor, &a->start);
}

static const struct task_port_ops port_ops = { .get_data = port_get,
					       .put_data = port_put,
					       .done = port_done };

static void submit(struct actor *a, uint8_t opcode)
{
	struct scsi_task *t = &a->task;

	memset(t, 0, sizeof(*t));
	t->port = &port_ops;
	t->nexus = &world.nexus[a->reactor->index];
	t->reactor = a->reactor;
	t->cdb[0] = opcode;
	t->cdb[13] = BLOCKS;
	t->cdb_len = 16;
	t->reads = opcode == CDB_READ_16;
	t->writes = !t->reads;
	t->edtl = t->reads ? LEN : 2 * LEN;
	scsi_submit(t);
}

/* --- The actors */

static void fill(uint8_t *blocks, uint64_t number)
{
	for (unsigned int i = 0; i < LEN; i += sizeof(number))
		memcpy(blocks + i, &number, sizeof(number));
}

static void look(struct actor *a)
{
	uint8_t whole[LEN];

	memcpy(&a->seen, a->in, sizeof(a->seen));
	fill(whole, a->seen);
	if (memcmp(a->in, whole, LEN))
		atomic_fetch_add(&world.torn, 1);
}

static bool has_enough(const struct actor *a)
{
	return atomic_load(&world.swaps) >= SWAPS && (a->swaps || a->rounds >= READS);
}

static void actor_next(struct actor *a)
{
	bool read = a->task.cdb[0] == CDB_READ_16;

	if (read)
		look(a);
	else if (a->task.cdb[0] && a->task.status == SAM_GOOD)
		atomic_fetch_add(&world.swaps, 1);
	else if (a->task.cdb[0] && a->task.sense[2] != 0x0e)
		atomic_fetch_add(&world.bad_status, 1);
	a->rounds++;
	if (has_enough(a)) {
		if (atomic_fetch_sub(&world.running, 1) == 1) {
			for (int i = 0; i < REACTORS; i++)
				reactor_stop(world.reactors[i]);
		}
		return;
	}
	if (read && a->swaps && atomic_load(&world.loans) >= LOANS) {
		fill(a->out, a->seen);
		fill(a->out + LEN, a->seen + 1);
		submit(a, CDB_COMPARE_AND_WRITE);
		return;
	}
	submit(a, CDB_READ_16);
}

static void actor_start(struct work *work)
{
	actor_next(container_of(work, struct actor, start));
}

static void world_run(struct slab *slab)
{
	atomic_store(&world.running, ACTORS);
	for (unsigned int i = 0; i < REACTORS; i++) {
		struct reactor_config cfg = { .index = i, .cpu = -1, .slab = slab };

		CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &world.reactors[i]), 0);
	}
	for (unsigned int i = 0; i < ACTORS; i++) {
		struct actor *a = &world.actors[i];

		memset(a, 0, sizeof(*a));
		a->swaps = i < REACTORS * SWAPPERS;
		a->reactor = world.reactors[i % REACTORS];
		a->start.fn = actor_start;
		reactor_post(a->reactor, &a->start);
	}
	for (int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL_FATAL(reactor_start(world.reactors[i]), 0);
	for (int i = 0; i < REACTORS; i++)
		reactor_join(world.reactors[i]);
}

static void world_round(struct slab *slab)
{
	struct lu_config cfg = {
		.bs = &disk.bs, .serial = "1", .product = "gate", .reactors = REACTORS
	};
	char why[256];

	memset(disk.bytes, 0, sizeof(disk.bytes));
	memset(&world, 0, sizeof(world));
	CU_ASSERT_EQUAL_FATAL(lu_create(&cfg, &world.lu, why, sizeof(why)), 0);
	world.target.lun[0] = world.lu;
	world.target.port_count = 1;
	for (int i = 0; i < REACTORS; i++) {
		world.nexus[i].target = &world.target;
		world.nexus[i].port = &world.target.ports[0];
		nexus_attach(&world.nexus[i]);
		atomic_store(&world.nexus[i].unit_attentions[0], 0);
	}
	world_run(slab);

	CU_ASSERT_EQUAL(world.torn, 0);
	CU_ASSERT_EQUAL(world.late_loans, 0);
	CU_ASSERT_EQUAL(world.bad_status, 0);
	CU_ASSERT(world.loans >= LOANS);
	CU_ASSERT(world.swaps >= SWAPS);
	CU_ASSERT_EQUAL(world.lu->answers_due, 0);
	CU_ASSERT_EQUAL(world.lu->sequence, 2 + 2 * world.swaps);
	for (int i = 0; i < REACTORS; i++) {
		CU_ASSERT_EQUAL(world.lu->per_reactor[i].gate.lent, 0);
		reactor_destroy(world.reactors[i]);
		nexus_detach(&world.nexus[i]);
	}
	lu_destroy(world.lu);
}

static void readers_see_all_or_nothing_of_a_swap(void)
{
	struct slab *slab;

	disk.bs.driver = &disk_driver;
	disk.bs.limits = (struct bs_limits){ .size = sizeof(disk.bytes),
					     .block_size = BLOCK,
					     .lends_pointers = true };
	CU_ASSERT_EQUAL_FATAL(slab_create(8 << 20, &slab), 0);
	for (int i = 0; i < ROUNDS; i++)
		world_round(slab);
	CU_ASSERT_EQUAL(slab_in_use(slab), 0);
	slab_destroy(slab);
}

UNIT_MAIN(TEST(readers_see_all_or_nothing_of_a_swap));
