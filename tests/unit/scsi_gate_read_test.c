// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads beside exclusive commands on real threads (scsi/gate.c, gate_read.c). Four blocks hold the
 * same number four times. Swappers replace all four by COMPARE AND WRITE, readers must never see
 * two numbers at once: neither in what the disk fills a buffer with, half of it a turn later, nor in
 * memory of the disk that the transport reads long after it was lent. In each round the first swap
 * comes in the middle of such loans. Run under SAN=thread too.
 */
#include "scsi_threads.h"

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

enum role { READER, SWAPPER };

static struct half_disk disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct {
	uint64_t seen;
	const uint8_t *from; /* Data-In on its way */
	unsigned int halves;
} mine[ACTORS];

static struct {
	_Atomic unsigned int loans, late_loans, swaps, torn, bad_status;
} world;

/* --- The port */

static void actor_next(struct actor *a);

/* Half of it, a turn later the other half, as a slow connection takes it. */
static void sent(struct work *work)
{
	struct actor *a = container_of(work, struct actor, transfer);
	uint32_t at = mine[a->index].halves++ * LEN / 2;

	if (at < LEN) {
		half_disk_copy(&disk, a->in + at, mine[a->index].from + at, LEN / 2);
		reactor_defer(a->reactor, &a->transfer);
		return;
	}
	a->task.io_done(&a->task, true);
	actor_next(a);
}

static bool is_lent(const uint8_t *data)
{
	return data >= disk.bytes && data < disk.bytes + sizeof(disk.bytes);
}

static void port_put(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
		     bool last)
{
	struct actor *a = actor_of(task);

	CU_ASSERT_FATAL(offset == 0 && len == LEN && last);
	mine[a->index].from = data;
	mine[a->index].halves = 0;
	if (is_lent(data))
		atomic_fetch_add(&world.loans, 1);
	if (is_lent(data) && atomic_load(&world.swaps))
		atomic_fetch_add(&world.late_loans, 1);
	actor_transfer(a, sent);
}

static const struct task_port_ops port_ops = { .get_data = actor_get,
					       .put_data = port_put,
					       .done = actor_done };

static void submit(struct actor *a, uint8_t opcode)
{
	const uint8_t cdb[16] = { opcode, [13] = BLOCKS };
	bool reads = opcode == CDB_READ_16;

	actor_submit(a, cdb, reads, reads ? LEN : 2 * LEN);
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

	memcpy(&mine[a->index].seen, a->in, sizeof(uint64_t));
	fill(whole, mine[a->index].seen);
	if (memcmp(a->in, whole, LEN))
		atomic_fetch_add(&world.torn, 1);
}

static bool has_enough(const struct actor *a)
{
	return atomic_load(&world.swaps) >= SWAPS && (a->role == SWAPPER || a->rounds >= READS);
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
		actor_leave(a);
		return;
	}
	if (read && a->role == SWAPPER && atomic_load(&world.loans) >= LOANS) {
		fill(a->out, mine[a->index].seen);
		fill(a->out + LEN, mine[a->index].seen + 1);
		submit(a, CDB_COMPARE_AND_WRITE);
		return;
	}
	submit(a, CDB_READ_16);
}

static void world_round(void)
{
	static struct threads threads = { .reactor_count = REACTORS,
					  .actor_count = ACTORS,
					  .port = &port_ops,
					  .next = actor_next };

	memset(disk.bytes, 0, sizeof(disk.bytes));
	memset(&world, 0, sizeof(world));
	threads_open(&threads, &disk.bs, NULL);
	threads_forget_attentions(&threads);
	for (unsigned int i = 0; i < ACTORS; i++)
		threads.actors[i].role = i < REACTORS * SWAPPERS ? SWAPPER : READER;
	threads_run(&threads);

	CU_ASSERT_EQUAL(world.torn, 0);
	CU_ASSERT_EQUAL(world.late_loans, 0);
	CU_ASSERT_EQUAL(world.bad_status, 0);
	CU_ASSERT(world.loans >= LOANS);
	CU_ASSERT(world.swaps >= SWAPS);
	CU_ASSERT_EQUAL(threads.lu->answers_due, 0);
	CU_ASSERT_EQUAL(threads.lu->sequence, 2 + 2 * world.swaps);
	for (int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL(threads.lu->per_reactor[i].gate.lent, 0);
	threads_close(&threads);
}

static void readers_see_all_or_nothing_of_a_swap(void)
{
	disk.bs.driver = &half_disk_driver;
	disk.bs.limits = (struct bs_limits){ .size = sizeof(disk.bytes),
					     .block_size = BLOCK,
					     .lends_pointers = true };
	for (int i = 0; i < ROUNDS; i++)
		world_round();
}

UNIT_MAIN(TEST(readers_see_all_or_nothing_of_a_swap));
