// SPDX-License-Identifier: BSD-2-Clause
/*
 * Log counters on real threads: one actor per reactor counts and resets or reads, so that a reset
 * comes between the counting and the showing of another. A counter never shows less than nothing.
 * Run under SAN=thread too.
 */
#include "scsi_log_wire.h"
#include "scsi_threads.h"

enum { REACTORS = 3, ROUNDS = 100000, ROOM = 128 };

static struct {
	struct backstore bs;
	_Atomic unsigned int absurd, bad_status, shown;
} world;

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	(void)bs;
	req->res = 0;
	return true;
}

static const struct bs_driver disk_driver = { .name = "test", .submit = disk_submit };

static void port_put(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
		     bool last)
{
	const struct log_statistics *p =
		(const void *)((const uint8_t *)data + sizeof(struct log_header));

	CU_ASSERT_FATAL(len >= sizeof(struct log_header) + sizeof(*p));
	atomic_fetch_add(&world.shown, 1);
	if (be64_get(p->reads) > (uint64_t)REACTORS * ROUNDS)
		atomic_fetch_add(&world.absurd, 1);
	actor_put(task, data, offset, len, last);
}

static void port_done(struct scsi_task *task)
{
	/* A reset by another is told as a unit attention. */
	if (task->status == SAM_CHECK_CONDITION ? task->sense[2] != 6 : task->status != SAM_GOOD)
		atomic_fetch_add(&world.bad_status, 1);
	actor_done(task);
}

static const struct task_port_ops port_ops = { .put_data = port_put,
					       .done = port_done,
					       .abort_others = actor_abort_others };

/* The last actor resets all counters, the others look at them. */
static void actor_next(struct actor *a)
{
	static const uint8_t sense[CDB_MAX] = {
		CDB_LOG_SENSE, 0, LOG_CUMULATIVE << 6 | LOG_PAGE_STATISTICS, [8] = ROOM
	};
	static const uint8_t select[CDB_MAX] = { CDB_LOG_SELECT, LOG_SELECT_PCR,
						 LOG_CUMULATIVE << 6 };
	bool resets = a->index == REACTORS - 1;

	if (a->rounds++ == ROUNDS) {
		actor_leave(a);
		return;
	}
	stat_add(&a->threads->lu->per_reactor[a->index].stats.reads, 1);
	actor_submit(a, resets ? select : sense, !resets, resets ? 0 : ROOM);
}

static void counters_are_never_less_than_nothing(void)
{
	static struct threads threads = { .reactor_count = REACTORS,
					  .actor_count = REACTORS,
					  .port = &port_ops,
					  .next = actor_next };

	world.bs.driver = &disk_driver;
	world.bs.limits.size = 64 * 512;
	world.bs.limits.block_size = 512;
	threads_open(&threads, &world.bs, NULL);
	threads_run(&threads);

	CU_ASSERT_EQUAL(world.absurd, 0);
	CU_ASSERT_EQUAL(world.bad_status, 0);
	CU_ASSERT(world.shown > 0);
	printf("# %u pages shown\n", world.shown);

	threads_close(&threads);
}

UNIT_MAIN(TEST(counters_are_never_less_than_nothing));
