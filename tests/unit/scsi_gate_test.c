// SPDX-License-Identifier: BSD-2-Clause
/*
 * The write gate on real threads (scsi/gate.c). One block holds a pair {base, n}. One actor
 * writes {base + 1, 0} and must read that base back until it writes again; many actors swap
 * {base, n} for {base, n + 1} by COMPARE AND WRITE; others write elsewhere to keep the gate busy.
 * A swap that is not atomic against the writer brings an old base back; two that are not atomic
 * against each other make the same step twice. Run under SAN=thread too.
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
	REACTORS = 3,
	SWAPPERS = 3,
	NOISE = 2,
	WRITES = 400,
	STEPS = 256,
	PATIENCE = 4,
	BLOCK = 512
};
enum { ACTORS = 1 + REACTORS * (SWAPPERS + NOISE) };

struct pair {
	uint64_t base, n;
};

/* --- A disk whose requests take a turn of the reactor: half of the data moves before, half after. */

static struct {
	struct backstore bs;
	pthread_mutex_t lock; /* the memory; says nothing about order */
	uint8_t bytes[64 * BLOCK];
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

enum role { WRITER, SWAPPER, NOISY };

struct actor {
	struct scsi_task task;
	enum role role;
	struct reactor *reactor;
	unsigned int index;
	struct pair last;
	uint64_t rounds;
	uint8_t out[2 * BLOCK], in[BLOCK];
	struct work start, transfer, disk_work;
	bool last_sent;
};

static struct {
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus[REACTORS]; /* a nexus belongs to one reactor */
	struct reactor *reactors[REACTORS];
	struct actor actors[ACTORS];
	_Atomic unsigned int running; /* actors */
	_Atomic bool writer_done;
	_Atomic unsigned int bad_base, bad_step, bad_status, swaps, misses;
	_Atomic uint8_t steps[WRITES + 1][STEPS];
} world;

static void move_half(struct bs_req *req, bool second)
{
	uint64_t half = req->len / 2, at = second ? half : 0;
	uint8_t *here = disk.bytes + req->offset + at, *there = (uint8_t *)req->data + at;

	pthread_mutex_lock(&disk.lock);
	if (req->opcode == BS_READ)
		memcpy(there, here, half);
	else
		memcpy(here, there, half);
	pthread_mutex_unlock(&disk.lock);
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

static const struct bs_driver disk_driver = { .name = "test", .submit = disk_submit };

/* --- The port and what the actors do */

static void actor_next(struct actor *a);

static void transferred(struct work *work)
{
	struct actor *a = container_of(work, struct actor, transfer);
	bool last = a->last_sent;

	a->task.io_done(&a->task, true);
	if (last)
		actor_next(a);
}

static void port_get(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct actor *a = container_of(task, struct actor, task);

	memcpy(data, a->out + offset, len);
	reactor_defer(a->reactor, &a->transfer);
}

static void port_put(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
		     bool last)
{
	struct actor *a = container_of(task, struct actor, task);

	memcpy(a->in + offset, data, len);
	a->last_sent = last;
	reactor_defer(a->reactor, &a->transfer);
}

static void actor_start(struct work *work);

static void port_done(struct scsi_task *task)
{
	struct actor *a = container_of(task, struct actor, task);

	/* Not from inside: the stack would grow with every command. */
	a->start.fn = actor_start;
	reactor_defer(a->reactor, &a->start);
}

static void actor_start(struct work *work)
{
	actor_next(container_of(work, struct actor, start));
}

static const struct task_port_ops port_ops = { .get_data = port_get,
					       .put_data = port_put,
					       .done = port_done };

static void submit(struct actor *a, uint8_t opcode, uint64_t lba, uint32_t edtl)
{
	struct scsi_task *t = &a->task;
	struct be64 be = be64_of(lba);

	memset(t, 0, sizeof(*t));
	t->port = &port_ops;
	t->nexus = &world.nexus[a->reactor->index];
	t->reactor = a->reactor;
	t->cdb[0] = opcode;
	memcpy(t->cdb + 2, be.b, sizeof(be));
	t->cdb[13] = 1;
	t->cdb_len = 16;
	t->reads = opcode == CDB_READ_16;
	t->writes = !t->reads;
	t->edtl = edtl;
	a->last_sent = false;
	a->transfer.fn = transferred;
	scsi_submit(t);
}

static void fill(uint8_t *block, struct pair p)
{
	for (unsigned int i = 0; i < BLOCK; i += sizeof(p))
		memcpy(block + i, &p, sizeof(p));
}

static struct pair seen(const struct actor *a)
{
	struct pair p;

	memcpy(&p, a->in, sizeof(p));
	return p;
}

static void actor_leaves(struct actor *a)
{
	if (a->role == WRITER)
		atomic_store(&world.writer_done, true);
	if (atomic_fetch_sub(&world.running, 1) != 1)
		return;
	for (int i = 0; i < REACTORS; i++)
		reactor_stop(world.reactors[i]);
}

/* Writes, reads back, writes the next; every few times not before somebody made a step. */
static void writer_next(struct actor *a)
{
	if (a->task.cdb[0] == CDB_READ_16) {
		if (seen(a).base != a->last.base)
			atomic_fetch_add(&world.bad_base, 1);
		else if (a->last.base % PATIENCE == 0 && !seen(a).n) {
			submit(a, CDB_READ_16, 0, BLOCK);
			return;
		}
	} else if (a->task.cdb[0]) {
		submit(a, CDB_READ_16, 0, BLOCK);
		return;
	}
	if (a->last.base == WRITES) {
		actor_leaves(a);
		return;
	}
	a->last.base++;
	fill(a->out, a->last);
	submit(a, CDB_WRITE_16, 0, BLOCK);
}

/* Reads, swaps. */
static void swapper_next(struct actor *a)
{
	if (a->task.cdb[0] == CDB_READ_16) {
		struct pair p = seen(a), next = { p.base, p.n + 1 };

		a->last = p;
		fill(a->out, p);
		fill(a->out + BLOCK, next);
		submit(a, CDB_COMPARE_AND_WRITE, 0, 2 * BLOCK);
		return;
	}
	if (a->task.cdb[0] && a->task.status == SAM_GOOD) {
		atomic_fetch_add(&world.swaps, 1);
		if (a->last.base <= WRITES && a->last.n < STEPS &&
		    atomic_fetch_add(&world.steps[a->last.base][a->last.n], 1))
			atomic_fetch_add(&world.bad_step, 1);
	} else if (a->task.cdb[0]) {
		atomic_fetch_add(&world.misses, 1);
		if (a->task.sense[2] != 0x0e)
			atomic_fetch_add(&world.bad_status, 1);
	}
	if (atomic_load(&world.writer_done))
		actor_leaves(a);
	else
		submit(a, CDB_READ_16, 0, BLOCK);
}

static void actor_next(struct actor *a)
{
	a->rounds++;
	switch (a->role) {
	case WRITER: writer_next(a); break;
	case SWAPPER: swapper_next(a); break;
	case NOISY:
		if (atomic_load(&world.writer_done))
			actor_leaves(a);
		else
			submit(a, CDB_WRITE_16, 1 + a->index, BLOCK);
		break;
	}
}

static void world_run(struct slab *slab)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < REACTORS; i++) {
		struct reactor_config cfg = { .index = i, .cpu = -1, .slab = slab };

		CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &world.reactors[i]), 0);
	}
	for (unsigned int i = 0; i < ACTORS; i++) {
		struct actor *a = &world.actors[i];

		a->index = i;
		a->role = i == 0 ? WRITER : i % (SWAPPERS + NOISE) < SWAPPERS ? SWAPPER : NOISY;
		a->reactor = world.reactors[n++ % REACTORS];
		a->start.fn = actor_start;
		reactor_post(a->reactor, &a->start);
	}
	atomic_store(&world.running, ACTORS);
	for (int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL_FATAL(reactor_start(world.reactors[i]), 0);
	for (int i = 0; i < REACTORS; i++)
		reactor_join(world.reactors[i]);
}

static void swaps_are_atomic_against_every_write(void)
{
	struct lu_config cfg = {
		.bs = &disk.bs, .serial = "1", .product = "gate", .reactors = REACTORS
	};
	struct pair end;
	struct slab *slab;

	disk.bs.driver = &disk_driver;
	disk.bs.limits = (struct bs_limits){ .size = sizeof(disk.bytes), .block_size = BLOCK };
	CU_ASSERT_EQUAL_FATAL(slab_create(8 << 20, &slab), 0);
	CU_ASSERT_EQUAL_FATAL(lu_create(&cfg, &world.lu, (char[256]){ 0 }, 256), 0);
	world.target.lun[0] = world.lu;
	for (int i = 0; i < REACTORS; i++) {
		world.nexus[i].target = &world.target;
		world.nexus[i].port = &world.target.ports[0];
		nexus_attach(&world.nexus[i]);
		atomic_store(&world.nexus[i].unit_attentions[0], 0);
	}
	world_run(slab);

	CU_ASSERT_EQUAL(world.running, 0);
	CU_ASSERT_EQUAL(world.bad_base, 0);
	CU_ASSERT_EQUAL(world.bad_step, 0);
	CU_ASSERT_EQUAL(world.bad_status, 0);
	CU_ASSERT(world.swaps >= WRITES / PATIENCE);
	CU_ASSERT(world.misses > 0);
	/* The last base was stepped n times, each step once. */
	memcpy(&end, disk.bytes, sizeof(end));
	CU_ASSERT_EQUAL(end.base, WRITES);
	for (uint64_t i = 0; i < end.n && i < STEPS; i++)
		CU_ASSERT_EQUAL(world.steps[WRITES][i], 1);
	CU_ASSERT_EQUAL(world.lu->exclusive, 0);
	for (int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL(world.lu->per_reactor[i].gate.writing, false);
	printf("# %u swaps, %u misses\n", world.swaps, world.misses);

	for (int i = 0; i < REACTORS; i++)
		reactor_destroy(world.reactors[i]);
	for (int i = 0; i < REACTORS; i++)
		nexus_detach(&world.nexus[i]);
	lu_destroy(world.lu);
	CU_ASSERT_EQUAL(slab_in_use(slab), 0);
	slab_destroy(slab);
}

UNIT_MAIN(TEST(swaps_are_atomic_against_every_write));
