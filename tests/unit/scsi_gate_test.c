// SPDX-License-Identifier: BSD-2-Clause
/*
 * The write gate on real threads (scsi/gate.c). One block holds a pair {base, n}. One actor
 * writes {base + 1, 0} and must read that base back until it writes again; many actors swap
 * {base, n} for {base, n + 1} by COMPARE AND WRITE; others write elsewhere to keep the gate busy.
 * A swap that is not atomic against the writer brings an old base back; two that are not atomic
 * against each other make the same step twice. Run under SAN=thread too.
 */
#include "scsi_threads.h"

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

enum role { WRITER, SWAPPER, NOISY };

static struct half_disk disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct {
	struct pair last[ACTORS]; /* what the actor wrote, or read */
	_Atomic bool writer_done;
	_Atomic unsigned int bad_base, bad_step, bad_status, swaps, misses;
	_Atomic uint8_t steps[WRITES + 1][STEPS];
} world;

static void submit(struct actor *a, uint8_t opcode, uint64_t lba, uint32_t edtl)
{
	uint8_t cdb[16] = { opcode, [13] = 1 };
	struct be64 be = be64_of(lba);

	memcpy(cdb + 2, be.b, sizeof(be));
	actor_submit(a, cdb, opcode == CDB_READ_16, edtl);
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

/* Writes, reads back, writes the next; every few times not before somebody made a step. */
static void writer_next(struct actor *a)
{
	struct pair *last = &world.last[a->index];

	if (a->task.cdb[0] == CDB_READ_16) {
		if (seen(a).base != last->base)
			atomic_fetch_add(&world.bad_base, 1);
		else if (last->base % PATIENCE == 0 && !seen(a).n) {
			submit(a, CDB_READ_16, 0, BLOCK);
			return;
		}
	} else if (a->task.cdb[0]) {
		submit(a, CDB_READ_16, 0, BLOCK);
		return;
	}
	if (last->base == WRITES) {
		atomic_store(&world.writer_done, true);
		actor_leave(a);
		return;
	}
	last->base++;
	fill(a->out, *last);
	submit(a, CDB_WRITE_16, 0, BLOCK);
}

/* Reads, swaps. */
static void swapper_next(struct actor *a)
{
	struct pair *last = &world.last[a->index];

	if (a->task.cdb[0] == CDB_READ_16) {
		struct pair p = seen(a), next = { p.base, p.n + 1 };

		*last = p;
		fill(a->out, p);
		fill(a->out + BLOCK, next);
		submit(a, CDB_COMPARE_AND_WRITE, 0, 2 * BLOCK);
		return;
	}
	if (a->task.cdb[0] && a->task.status == SAM_GOOD) {
		atomic_fetch_add(&world.swaps, 1);
		if (last->base <= WRITES && last->n < STEPS &&
		    atomic_fetch_add(&world.steps[last->base][last->n], 1))
			atomic_fetch_add(&world.bad_step, 1);
	} else if (a->task.cdb[0]) {
		atomic_fetch_add(&world.misses, 1);
		if (a->task.sense[2] != 0x0e)
			atomic_fetch_add(&world.bad_status, 1);
	}
	if (atomic_load(&world.writer_done))
		actor_leave(a);
	else
		submit(a, CDB_READ_16, 0, BLOCK);
}

static void actor_next(struct actor *a)
{
	switch (a->role) {
	case WRITER: writer_next(a); break;
	case SWAPPER: swapper_next(a); break;
	case NOISY:
		if (atomic_load(&world.writer_done))
			actor_leave(a);
		else
			submit(a, CDB_WRITE_16, 1 + a->index, BLOCK);
		break;
	}
}

static void swaps_are_atomic_against_every_write(void)
{
	static struct threads threads = { .reactor_count = REACTORS,
					  .actor_count = ACTORS,
					  .port = &actor_port,
					  .next = actor_next };
	struct pair end;

	disk.bs.driver = &half_disk_driver;
	disk.bs.limits = (struct bs_limits){ .size = sizeof(disk.bytes), .block_size = BLOCK };
	threads_open(&threads, &disk.bs, NULL);
	threads_forget_attentions(&threads);
	for (unsigned int i = 0; i < ACTORS; i++)
		threads.actors[i].role = i == 0				     ? WRITER
					 : i % (SWAPPERS + NOISE) < SWAPPERS ? SWAPPER
									     : NOISY;
	threads_run(&threads);

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
	CU_ASSERT_EQUAL(threads.lu->exclusive, 0);
	for (int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL(threads.lu->per_reactor[i].gate.writing, false);
	printf("# %u swaps, %u misses\n", world.swaps, world.misses);

	threads_close(&threads);
}

UNIT_MAIN(TEST(swaps_are_atomic_against_every_write));
