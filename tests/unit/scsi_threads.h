// SPDX-License-Identifier: BSD-2-Clause
/*
 * A world for the tests of scsi/ on real threads: one unit, a nexus for each reactor, and actors that
 * send one command after the other, each from the reactor that it belongs to. A port that plays the
 * initiator moves data when the reactor turns, never from inside a call, as the contract says.
 * Tests keep what their actors need beside this in arrays of their own, by index.
 */
#ifndef RISER_TESTS_UNIT_SCSI_THREADS_H
#define RISER_TESTS_UNIT_SCSI_THREADS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backstore/driver.h"
#include "core/slab.h"
#include "lu.h"
#include "pdu.h"
#include "scsi/scsi.h"
#include "tests/lib/unit.h"

enum { REACTORS_MAX = 3, ACTORS_MAX = 16, OUT_MAX = 4096, IN_MAX = 2048 };

struct threads;

struct actor {
	struct scsi_task task; /* the last command; cdb_len is 0 before the first */
	struct threads *threads;
	struct reactor *reactor;
	unsigned int index, role, rounds; /* role and rounds are the test's */
	uint8_t out[OUT_MAX], in[IN_MAX];
	struct work start, transfer, disk_work;
	bool last_sent;
};

struct threads {
	/* The test's, before threads_open(). Actor i belongs to reactor i % reactor_count. */
	unsigned int reactor_count, actor_count;
	const struct task_port_ops *port;
	/* [actor's reactor] Judges the last command; then actor_submit() or actor_leave(). */
	void (*next)(struct actor *a);

	struct slab *slab;
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus[REACTORS_MAX]; /* a nexus belongs to one reactor */
	struct reactor *reactors[REACTORS_MAX];
	struct actor actors[ACTORS_MAX];
	_Atomic unsigned int running; /* actors */
};

/* --- The port */

static inline struct actor *actor_of(struct scsi_task *task)
{
	return container_of(task, struct actor, task);
}

static inline struct actor *actor_of_req(struct bs_req *req)
{
	return actor_of(container_of(req, struct scsi_task, req));
}

static inline void actor_start(struct work *work)
{
	struct actor *a = container_of(work, struct actor, start);

	a->threads->next(a);
}

static inline void actor_transferred(struct work *work)
{
	struct actor *a = container_of(work, struct actor, transfer);
	bool last = a->last_sent;

	a->task.io_done(&a->task, true);
	if (last)
		a->threads->next(a);
}

static inline void actor_transfer(struct actor *a, void (*fn)(struct work *work))
{
	a->transfer.fn = fn;
	reactor_defer(a->reactor, &a->transfer);
}

static inline void actor_get(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct actor *a = actor_of(task);

	if ((uint64_t)offset + len > OUT_MAX)
		abort();
	memcpy(data, a->out + offset, len);
	actor_transfer(a, actor_transferred);
}

static inline void actor_put(struct scsi_task *task, const void *data, uint32_t offset,
			     uint32_t len, bool last)
{
	struct actor *a = actor_of(task);

	if ((uint64_t)offset + len > IN_MAX)
		abort();
	memcpy(a->in + offset, data, len);
	a->last_sent = last;
	actor_transfer(a, actor_transferred);
}

static inline void actor_done(struct scsi_task *task)
{
	struct actor *a = actor_of(task);

	/* Not from inside: the stack would grow with every command. */
	reactor_defer(a->reactor, &a->start);
}

static inline void actor_abort_others(struct scsi_task *task)
{
	(void)task;
}

static const struct task_port_ops actor_port = { .get_data = actor_get,
						 .put_data = actor_put,
						 .done = actor_done,
						 .abort_others = actor_abort_others };

/* --- The actors */

/* cdb: 16 bytes. edtl: bytes of Data-In when it reads, else of Data-Out. */
static inline void actor_submit(struct actor *a, const uint8_t *cdb, bool reads, uint32_t edtl)
{
	struct scsi_task *t = &a->task;

	memset(t, 0, sizeof(*t));
	t->port = a->threads->port;
	t->nexus = &a->threads->nexus[a->reactor->index];
	t->reactor = a->reactor;
	t->attribute = ATTR_SIMPLE;
	memcpy(t->cdb, cdb, 16);
	t->cdb_len = CDB_MAX;
	t->reads = reads && edtl;
	t->writes = !reads && edtl;
	t->edtl = edtl;
	a->last_sent = false;
	scsi_submit(t);
}

/* Sends nothing any more; the last one to leave ends threads_run(). */
static inline void actor_leave(struct actor *a)
{
	struct threads *t = a->threads;

	if (atomic_fetch_sub(&t->running, 1) != 1)
		return;
	for (unsigned int i = 0; i < t->reactor_count; i++)
		reactor_stop(t->reactors[i]);
}

/* --- The world */

static inline void threads_attach(struct threads *t)
{
	memset(t->nexus, 0, sizeof(t->nexus));
	for (unsigned int i = 0; i < t->reactor_count; i++) {
		t->nexus[i].target = &t->target;
		t->nexus[i].port = &t->target.ports[0];
		nexus_attach(&t->nexus[i]);
	}
}

/* A unit over bs, reactors that do not run yet, and actors that have not begun. store: may be NULL. */
static inline void threads_open(struct threads *t, struct backstore *bs, struct store *store)
{
	struct lu_config cfg = { .bs = bs,
				 .serial = "1",
				 .product = "threads",
				 .reactors = t->reactor_count,
				 .store = store };

	CU_ASSERT_FATAL(t->reactor_count <= REACTORS_MAX && t->actor_count <= ACTORS_MAX);
	CU_ASSERT_EQUAL_FATAL(slab_create(8 << 20, &t->slab), 0);
	CU_ASSERT_EQUAL_FATAL(lu_create(&cfg, &t->lu, (char[256]){ 0 }, 256), 0);
	memset(&t->target, 0, sizeof(t->target));
	t->target.lun[0] = t->lu;
	t->target.port_count = 1;
	threads_attach(t);
	for (unsigned int i = 0; i < t->reactor_count; i++) {
		struct reactor_config rc = { .index = i, .cpu = -1, .slab = t->slab };

		CU_ASSERT_EQUAL_FATAL(reactor_create(&rc, &t->reactors[i]), 0);
	}
	memset(t->actors, 0, sizeof(t->actors));
	for (unsigned int i = 0; i < t->actor_count; i++) {
		struct actor *a = &t->actors[i];

		a->threads = t;
		a->index = i;
		a->reactor = t->reactors[i % t->reactor_count];
		a->start.fn = actor_start;
	}
}

/* For actors that expect no unit attention. */
static inline void threads_forget_attentions(struct threads *t)
{
	for (unsigned int i = 0; i < t->reactor_count; i++)
		atomic_store(&t->nexus[i].unit_attentions[0], 0);
}

/* Returns when all actors have left. */
static inline void threads_run(struct threads *t)
{
	atomic_store(&t->running, t->actor_count);
	for (unsigned int i = 0; i < t->actor_count; i++)
		reactor_post(t->actors[i].reactor, &t->actors[i].start);
	for (unsigned int i = 0; i < t->reactor_count; i++)
		CU_ASSERT_EQUAL_FATAL(reactor_start(t->reactors[i]), 0);
	for (unsigned int i = 0; i < t->reactor_count; i++)
		reactor_join(t->reactors[i]);
	CU_ASSERT_EQUAL(t->running, 0);
}

/* Every buffer has to be back. */
static inline void threads_close(struct threads *t)
{
	for (unsigned int i = 0; i < t->reactor_count; i++) {
		reactor_destroy(t->reactors[i]);
		nexus_detach(&t->nexus[i]);
	}
	lu_destroy(t->lu);
	CU_ASSERT_EQUAL(slab_in_use(t->slab), 0);
	slab_destroy(t->slab);
}

/* --- A disk whose requests take a turn of the reactor: half of the data moves before, half after. */

enum { HALF_DISK_BLOCK = 512, HALF_DISK_BLOCKS = 64 };

struct half_disk {
	struct backstore bs;
	pthread_mutex_t lock; /* the memory; says nothing about order */
	uint8_t bytes[HALF_DISK_BLOCKS * HALF_DISK_BLOCK];
};

/* The disk's memory may only be touched this way. */
static inline void half_disk_copy(struct half_disk *d, void *to, const void *from, size_t len)
{
	pthread_mutex_lock(&d->lock);
	memcpy(to, from, len);
	pthread_mutex_unlock(&d->lock);
}

static inline void half_disk_move(struct bs_req *req, bool second)
{
	struct half_disk *d = container_of(req->bs, struct half_disk, bs);
	uint64_t half = req->len / 2, at = second ? half : 0;
	uint8_t *here = d->bytes + req->offset + at, *there = (uint8_t *)req->data + at;

	if (req->opcode == BS_READ)
		half_disk_copy(d, there, here, half);
	else
		half_disk_copy(d, here, there, half);
}

static inline void half_disk_finish(struct work *work)
{
	struct actor *a = container_of(work, struct actor, disk_work);

	half_disk_move(&a->task.req, true);
	bs_complete(&a->task.req, 0);
}

static inline bool half_disk_submit(struct backstore *bs, struct bs_req *req)
{
	struct actor *a = actor_of_req(req);

	(void)bs;
	half_disk_move(req, false);
	a->disk_work.fn = half_disk_finish;
	reactor_defer(a->reactor, &a->disk_work);
	return false;
}

static inline void *half_disk_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)len;
	return container_of(bs, struct half_disk, bs)->bytes + offset;
}

static const struct bs_driver half_disk_driver = { .name = "half",
						   .submit = half_disk_submit,
						   .borrow = half_disk_borrow };

#endif
