// SPDX-License-Identifier: BSD-2-Clause
/*
 * SANITIZE and FORMAT UNIT on real threads, against each other and against writers on every reactor.
 * While one of them changes the medium no write reaches the disk, two never run at a time, and each
 * record replaces what its writer has seen. Run under SAN=thread too.
 */
#include <errno.h>

#include "scsi_threads.h"
#include "store.h"

enum { REACTORS = 3, PER_REACTOR = 4, ROUNDS = 60, BLOCK = 512, BLOCKS = 64 };
enum { ACTORS = REACTORS * PER_REACTOR };
/* The last one of each reactor. */
enum role { WRITER, CLEANER };

static struct {
	struct backstore bs;
	struct bs_req *job_req; /* of the job, of which there is one */
	struct work job_work;
	unsigned int tries[ACTORS];
	_Atomic unsigned int cleaners, writes, jobs;
	_Atomic unsigned int collisions, bad_status, cleaned, written;
} world;

/* --- The disk: requests take a turn of the reactor. */

static void write_finish(struct work *work)
{
	struct actor *a = container_of(work, struct actor, disk_work);

	atomic_fetch_sub(&world.writes, 1);
	bs_complete(&a->task.req, 0);
}

static void job_finished(struct work *work)
{
	struct bs_req *req = world.job_req;

	(void)work;
	atomic_fetch_sub(&world.jobs, 1);
	bs_complete(req, 0);
}

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	struct actor *a = actor_of_req(req);

	(void)bs;
	if (req->opcode == BS_WRITE) {
		atomic_fetch_add(&world.writes, 1);
		if (atomic_load(&world.jobs))
			atomic_fetch_add(&world.collisions, 1);
		a->disk_work.fn = write_finish;
		reactor_defer(req->reactor, &a->disk_work);
		return false;
	}
	if (atomic_fetch_add(&world.jobs, 1) || atomic_load(&world.writes))
		atomic_fetch_add(&world.collisions, 1);
	world.job_req = req;
	world.job_work.fn = job_finished;
	reactor_defer(req->reactor, &world.job_work);
	return false;
}

static const struct bs_driver disk_driver = { .name = "test", .submit = disk_submit };

/* --- The store: only versions. The unit sees to it that there is one request at a time. */

static uint64_t *version_of(const char *name)
{
	static uint64_t versions[2];

	return &versions[name[0] == 'f'];
}

static int no_record(struct store *store, const char *name, char **data, size_t *len,
		     uint64_t *version, char *why, size_t why_size)
{
	(void)store;
	(void)name;
	(void)data;
	(void)len;
	(void)why;
	(void)why_size;
	*version = 0;
	return -ENOENT;
}

static void stored(struct work *work)
{
	struct store_req *req = container_of(work, struct store_req, job.back);
	uint64_t *version = version_of(req->name);

	if (*version != req->version) {
		req->done(req, -EAGAIN);
		return;
	}
	*version = req->version = req->len ? *version + 1 : 0;
	req->done(req, 0);
}

static void compare_and_store(struct store *store, struct store_req *req)
{
	(void)store;
	req->job.back.fn = stored;
	reactor_post(req->reactor, &req->job.back);
}

static const struct store_ops store_ops = { no_record, compare_and_store, NULL };
static struct store store = { &store_ops };

/* --- The actors */

static void submit_next(struct actor *a)
{
	static const uint8_t write[16] = { CDB_WRITE_16, [13] = 1 };
	static const uint8_t erase[16] = { CDB_SANITIZE, 0x02 }, format[16] = { CDB_FORMAT_UNIT };

	if (a->role == WRITER)
		actor_submit(a, write, false, BLOCK);
	else
		actor_submit(a, world.tries[a->index]++ % 2 ? format : erase, false, 0);
}

/* Not ready, or was not for a while: once more. */
static bool comes_again(const struct scsi_task *task)
{
	uint8_t key = task->sense[2] & 15, asc = task->sense[12], ascq = task->sense[13];

	return task->status == SAM_CHECK_CONDITION &&
	       (key == 6 || (key == 2 && asc == 0x04 && (ascq == 0x04 || ascq == 0x1b)));
}

static void actor_next(struct actor *a)
{
	if (a->task.cdb_len && a->task.status == SAM_GOOD) {
		a->rounds++;
		atomic_fetch_add(a->role == WRITER ? &world.written : &world.cleaned, 1);
	} else if (a->task.cdb_len && !comes_again(&a->task)) {
		atomic_fetch_add(&world.bad_status, 1);
	}
	if (a->role == CLEANER && a->rounds == ROUNDS) {
		atomic_fetch_sub(&world.cleaners, 1);
		actor_leave(a);
	} else if (a->role == WRITER && !atomic_load(&world.cleaners)) {
		actor_leave(a);
	} else {
		submit_next(a);
	}
}

static void nobody_writes_meanwhile(void)
{
	static struct threads threads = { .reactor_count = REACTORS,
					  .actor_count = ACTORS,
					  .port = &actor_port,
					  .next = actor_next };

	world.bs.driver = &disk_driver;
	world.bs.limits.size = BLOCKS * BLOCK;
	world.bs.limits.block_size = BLOCK;
	world.bs.limits.volatile_cache = true;
	world.bs.limits.can_erase = world.bs.limits.can_unmap = true;
	threads_open(&threads, &world.bs, &store);
	for (unsigned int i = 0; i < ACTORS; i++)
		threads.actors[i].role = i / REACTORS == PER_REACTOR - 1 ? CLEANER : WRITER;
	atomic_store(&world.cleaners, REACTORS);
	threads_run(&threads);

	CU_ASSERT_EQUAL(world.collisions, 0);
	CU_ASSERT_EQUAL(world.bad_status, 0);
	CU_ASSERT_EQUAL(world.cleaned, REACTORS * ROUNDS);
	CU_ASSERT(world.written > 0);
	printf("# %u writes between %u SANITIZEs and FORMAT UNITs\n", world.written, world.cleaned);

	threads_close(&threads);
}

UNIT_MAIN(TEST(nobody_writes_meanwhile));
