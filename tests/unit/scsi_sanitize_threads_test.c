// SPDX-License-Identifier: BSD-2-Clause
/*
 * SANITIZE and FORMAT UNIT on real threads, against each other and against writers on every reactor.
 * While one of them changes the medium no write reaches the disk, two never run at a time, and each
 * record replaces what its writer has seen. Run under SAN=thread too.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backstore/driver.h"
#include "core/slab.h"
#include "lu.h"
#include "pdu.h"
#include "scsi/scsi.h"
#include "store.h"
#include "tests/lib/unit.h"

enum { REACTORS = 3, PER_REACTOR = 4, ROUNDS = 60, BLOCK = 512, BLOCKS = 64 };
enum { ACTORS = REACTORS * PER_REACTOR };
/* The last one of each reactor. */
enum role { WRITER, CLEANER };

struct actor {
	struct scsi_task task;
	enum role role;
	struct reactor *reactor;
	unsigned int rounds, tries;
	uint8_t out[BLOCK];
	struct work start, transfer, disk_work;
};

static struct {
	struct backstore bs;
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus[REACTORS];
	struct reactor *reactors[REACTORS];
	struct actor actors[ACTORS];
	struct bs_req *job_req; /* of the job, of which there is one */
	struct work job_work;
	_Atomic unsigned int running, cleaners, writes, jobs;
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
	struct actor *a =
		container_of(container_of(req, struct scsi_task, req), struct actor, task);

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
	t->writes = edtl != 0;
	t->edtl = edtl;
	scsi_submit(t);
}

static void submit_next(struct actor *a)
{
	static const uint8_t write[16] = { CDB_WRITE_16, [13] = 1 };
	static const uint8_t erase[16] = { CDB_SANITIZE, 0x02 }, format[16] = { CDB_FORMAT_UNIT };

	if (a->role == WRITER)
		submit(a, write, BLOCK);
	else
		submit(a, a->tries++ % 2 ? format : erase, 0);
}

static void leave(void)
{
	if (atomic_fetch_sub(&world.running, 1) != 1)
		return;
	for (int i = 0; i < REACTORS; i++)
		reactor_stop(world.reactors[i]);
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
		leave();
	} else if (a->role == WRITER && !atomic_load(&world.cleaners)) {
		leave();
	} else {
		submit_next(a);
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

		a->role = i / REACTORS == PER_REACTOR - 1 ? CLEANER : WRITER;
		a->reactor = world.reactors[i % REACTORS];
		a->start.fn = actor_start;
		reactor_post(a->reactor, &a->start);
	}
	atomic_store(&world.running, ACTORS);
	atomic_store(&world.cleaners, REACTORS);
	for (int i = 0; i < REACTORS; i++)
		CU_ASSERT_EQUAL_FATAL(reactor_start(world.reactors[i]), 0);
	for (int i = 0; i < REACTORS; i++)
		reactor_join(world.reactors[i]);
}

static void nobody_writes_meanwhile(void)
{
	struct lu_config cfg = { .bs = &world.bs,
				 .serial = "1",
				 .product = "disk",
				 .reactors = REACTORS,
				 .store = &store };
	struct slab *slab;

	world.bs.driver = &disk_driver;
	world.bs.limits.size = BLOCKS * BLOCK;
	world.bs.limits.block_size = BLOCK;
	world.bs.limits.volatile_cache = true;
	world.bs.limits.can_erase = world.bs.limits.can_unmap = true;
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
	CU_ASSERT_EQUAL(world.collisions, 0);
	CU_ASSERT_EQUAL(world.bad_status, 0);
	CU_ASSERT_EQUAL(world.cleaned, REACTORS * ROUNDS);
	CU_ASSERT(world.written > 0);
	printf("# %u writes between %u SANITIZEs and FORMAT UNITs\n", world.written, world.cleaned);

	for (int i = 0; i < REACTORS; i++)
		reactor_destroy(world.reactors[i]);
	for (int i = 0; i < REACTORS; i++)
		nexus_detach(&world.nexus[i]);
	lu_destroy(world.lu);
	slab_destroy(slab);
}

UNIT_MAIN(TEST(nobody_writes_meanwhile));
