// SPDX-License-Identifier: BSD-2-Clause
/*
 * A world for the tests of scsi/: a virtual reactor, a disk in memory whose requests fail or hang
 * on demand, one target, two nexuses, and a port that plays the initiator. Data-Out comes, and
 * Data-In goes, when the reactor turns; never from inside a call, as the contract says.
 */
#ifndef RISER_TESTS_UNIT_SCSI_PORT_H
#define RISER_TESTS_UNIT_SCSI_PORT_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backstore/driver.h"
#include "core/slab.h"
#include "lu.h"
#include "pdu.h"
#include "scsi/scsi.h"
#include "tests/lib/unit.h"

enum { DISK_BLOCKS = 16384, LOG_MAX = 64, HELD_MAX = 32, DIR_READ = 1, DIR_WRITE = 2 };

/* --- The disk */

struct disk_log {
	enum bs_opcode opcode;
	uint32_t flags;
	uint64_t offset, len;
};

struct disk {
	struct backstore bs;
	uint8_t *bytes;
	int fail[BS_OPCODES]; /* -errno by opcode */
	bool hold; /* requests hang until disk_release() */
	struct bs_req *held[HELD_MAX];
	unsigned int held_count;
	struct disk_log log[LOG_MAX]; /* what was asked, in order */
	unsigned int requests; /* since disk_forget() */
};

static inline int disk_execute(struct disk *d, struct bs_req *req)
{
	if (d->fail[req->opcode])
		return d->fail[req->opcode];
	switch (req->opcode) {
	case BS_READ: memcpy(req->data, d->bytes + req->offset, req->len); break;
	case BS_WRITE: memcpy(d->bytes + req->offset, req->data, req->len); break;
	case BS_UNMAP:
	case BS_ZERO: memset(d->bytes + req->offset, 0, req->len); break;
	case BS_FLUSH: break;
	case BS_ERASE: memset(d->bytes + req->offset, 0xee, req->len); break;
	default: return -EOPNOTSUPP;
	}
	return 0;
}

static inline bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	struct disk *d = container_of(bs, struct disk, bs);

	if (d->requests < LOG_MAX)
		d->log[d->requests] =
			(struct disk_log){ req->opcode, req->flags, req->offset, req->len };
	d->requests++;
	if (d->hold) {
		if (d->held_count == HELD_MAX)
			abort();
		d->held[d->held_count++] = req;
		return false;
	}
	req->res = disk_execute(d, req);
	return true;
}

static inline void *disk_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)len;
	return container_of(bs, struct disk, bs)->bytes + offset;
}

static const struct bs_driver disk_driver = {
	.name = "test",
	.submit = disk_submit,
	.borrow = disk_borrow,
};

/* Carries out the oldest request that hangs. */
static inline void disk_release(struct disk *d)
{
	struct bs_req *req = d->held[0];

	CU_ASSERT_FATAL(d->held_count > 0);
	memmove(d->held, d->held + 1, --d->held_count * sizeof(d->held[0]));
	bs_complete(req, disk_execute(d, req));
}

static inline void disk_forget(struct disk *d)
{
	d->requests = 0;
}

/* --- The world */

struct command;

struct world {
	struct slab *slab;
	struct reactor *reactor;
	struct disk disk;
	struct lu *lu;
	struct scsi_target target;
	struct nexus a, b;
	/* The last abort_tasks(): how many there were, and what it asked for. */
	unsigned int aborts;
	bool abort_report, abort_a, abort_b;
	/* abort_others(): how often, and what shall happen (NULL: nothing). */
	unsigned int others;
	void (*abort_others)(struct command *c);
};

static inline void nexus_join(struct world *w, struct nexus *n, const char *name)
{
	memset(n, 0, sizeof(*n));
	n->target = &w->target;
	n->port = &w->target.ports[0];
	snprintf(n->initiator_name, sizeof(n->initiator_name), "iqn.2026-11.test:%s", name);
	nexus_attach(n);
	for (int i = 0; i < TARGET_LUNS; i++)
		atomic_store(&n->unit_attentions[i], 0);
}

/* Everything but the LU, so that a test can change disk.bs.limits before world_open(). */
static inline void world_init(struct world *w, uint32_t block_size)
{
	struct bs_limits *l = &w->disk.bs.limits;

	memset(w, 0, sizeof(*w));
	CU_ASSERT_FATAL(slab_create(16 << 20, &w->slab) == 0);
	CU_ASSERT_FATAL(reactor_create_virtual(w->slab, &w->reactor) == 0);
	l->size = (uint64_t)DISK_BLOCKS * block_size;
	l->block_size = block_size;
	l->physical_block_size = 4096;
	l->can_unmap = true;
	l->volatile_cache = true;
	w->disk.bs.driver = &disk_driver;
	w->disk.bytes = calloc(DISK_BLOCKS, block_size);
	CU_ASSERT_FATAL(w->disk.bytes != NULL);
	for (uint64_t i = 0; i < l->size; i++)
		w->disk.bytes[i] = (uint8_t)(i / block_size + i % 251);
	snprintf(w->target.name, sizeof(w->target.name), "iqn.2026-11.test:disk");
	w->target.ports[0] = (struct target_port){ .tag = 1, .relative = 1 };
	w->target.port_count = 1;
}

static inline void world_open(struct world *w)
{
	struct lu_config cfg = {
		.bs = &w->disk.bs, .serial = "0123456789abcdef", .product = "disk", .reactors = 1
	};

	CU_ASSERT_FATAL(lu_create(&cfg, &w->lu, (char[256]){ 0 }, 256) == 0);
	w->target.lun[0] = w->lu;
	nexus_join(w, &w->a, "a");
	nexus_join(w, &w->b, "b");
}

static inline void world_create(struct world *w)
{
	world_init(w, 512);
	world_open(w);
}

static inline void world_turn(struct world *w)
{
	while (reactor_turn(w->reactor))
		;
}

/* Every buffer has to be back. */
static inline void world_destroy(struct world *w)
{
	world_turn(w);
	CU_ASSERT_EQUAL(slab_in_use(w->slab), 0);
	nexus_detach(&w->a);
	nexus_detach(&w->b);
	lu_destroy(w->lu);
	reactor_destroy(w->reactor);
	slab_destroy(w->slab);
	free(w->disk.bytes);
}

/* --- The port */

struct command {
	struct scsi_task task;
	struct world *world;
	const uint8_t *out; /* Data-Out, edtl bytes */
	uint8_t *in; /* Data-In arrives here, edtl bytes */
	uint32_t in_len; /* bytes that arrived, in order */
	const void *lent; /* where the last Data-In came from */
	struct work transfer;
	bool moving, transfer_fails;
	bool hold; /* transfers hang until command_transfer() */
	bool answered;
	unsigned int ends; /* must be 1 in the end */
	unsigned int gets, puts;
	uint8_t *first; /* memory of first_buf */
};

static inline void command_ended(struct command *c)
{
	c->ends++;
	CU_ASSERT_EQUAL(c->ends, 1);
}

static inline void command_moved(struct work *work)
{
	struct command *c = container_of(work, struct command, transfer);

	c->moving = false;
	if (c->transfer_fails)
		task_sense(&c->task, 0x0b, 0x47, 0x05);
	c->task.io_done(&c->task, !c->transfer_fails);
}

static inline void command_move(struct command *c)
{
	CU_ASSERT(!c->moving);
	c->moving = true;
	c->transfer.fn = command_moved;
	if (!c->hold)
		reactor_defer(c->task.reactor, &c->transfer);
}

/* Lets a transfer that hangs come back. */
static inline void command_transfer(struct command *c)
{
	CU_ASSERT_FATAL(c->moving);
	reactor_defer(c->task.reactor, &c->transfer);
	world_turn(c->world);
}

static inline void port_get(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct command *c = container_of(task, struct command, task);
	uint32_t here = 0;

	c->gets++;
	CU_ASSERT_FATAL(task->writes && (uint64_t)offset + len <= task->edtl && c->out);
	/* What came with the command is only in first_buf; in place it must not be touched. */
	if (offset < task->first_len) {
		here = task->first_len - offset < len ? task->first_len - offset : len;
		if (data != c->first + offset)
			memcpy(data, c->first + offset, here);
	}
	if (!c->transfer_fails)
		memcpy((uint8_t *)data + here, c->out + offset + here, len - here);
	command_move(c);
}

static inline void port_put(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
			    bool last)
{
	struct command *c = container_of(task, struct command, task);

	c->puts++;
	CU_ASSERT_FATAL(task->reads && len > 0 && (uint64_t)offset + len <= task->edtl);
	CU_ASSERT_EQUAL(offset, c->in_len);
	memcpy(c->in + offset, data, len);
	c->in_len += len;
	c->lent = data;
	if (last) {
		CU_ASSERT_EQUAL(task->status, SAM_GOOD);
		command_ended(c);
	}
	command_move(c);
}

static inline void port_done(struct scsi_task *task)
{
	struct command *c = container_of(task, struct command, task);

	CU_ASSERT(!c->moving);
	CU_ASSERT(!task->buf);
	command_ended(c);
}

static inline void port_abort(struct scsi_task *task,
			      bool (*victim)(const void *arg, const struct nexus *nexus),
			      const void *arg, bool report)
{
	struct command *c = container_of(task, struct command, task);
	struct world *w = c->world;

	w->aborts++;
	w->abort_report = report;
	w->abort_a = victim(arg, &w->a);
	w->abort_b = victim(arg, &w->b);
	command_move(c);
}

static inline void port_abort_others(struct scsi_task *task)
{
	struct command *c = container_of(task, struct command, task);

	c->world->others++;
	if (c->world->abort_others)
		c->world->abort_others(c);
}

static const struct task_port_ops port_ops = { port_get, port_put, port_done, port_abort,
					       port_abort_others };

/* A command that is not submitted yet. cdb: as long as its group code says. */
static inline void command_init(struct world *w, struct command *c, const uint8_t *cdb, int dir,
				uint32_t edtl, const void *out)
{
	static const uint8_t lens[8] = { 6, 10, 10, 32, 16, 12, 6, 6 };

	memset(c, 0, sizeof(*c));
	/* Whatever a recycled task may hold. */
	memset(&c->task, 0xa5, sizeof(c->task));
	c->world = w;
	c->out = out;
	c->in = calloc(1, edtl ? edtl : 1);
	c->task.port = &port_ops;
	c->task.nexus = &w->a;
	c->task.reactor = w->reactor;
	c->task.attribute = ATTR_SIMPLE;
	memset(c->task.lun, 0, sizeof(c->task.lun));
	memset(c->task.cdb, 0, sizeof(c->task.cdb));
	memcpy(c->task.cdb, cdb, lens[cdb[0] >> 5]);
	c->task.cdb_len = CDB_MAX;
	c->task.reads = dir & DIR_READ;
	c->task.writes = dir & DIR_WRITE;
	c->task.edtl = edtl;
	c->task.first_buf = NULL;
	c->task.frugal = false;
	c->task.first_len = 0;
	c->task.lent_data = NULL;
	c->task.stable_source = false;
}

/* Data-Out that comes with the command: its first len bytes in a buffer of at least size. */
static inline void command_immediate(struct command *c, uint32_t len, uint32_t size)
{
	c->task.first_buf = buf_get(c->task.reactor, size);
	CU_ASSERT_FATAL(c->task.first_buf != NULL);
	memcpy(c->task.first_buf->data, c->out, len);
	c->task.first_len = len;
	c->first = c->task.first_buf->data;
}

static inline void command_submit(struct command *c)
{
	scsi_submit(&c->task);
	world_turn(c->world);
}

static inline void command_free(struct command *c)
{
	CU_ASSERT_EQUAL(c->ends, 1);
	CU_ASSERT(!c->moving);
	buf_put(c->task.reactor, c->task.first_buf);
	free(c->in);
	c->in = NULL;
}

/* Runs a command to its end. */
static inline void command_run(struct world *w, struct command *c, const uint8_t *cdb, int dir,
			       uint32_t edtl, const void *out)
{
	command_init(w, c, cdb, dir, edtl, out);
	command_submit(c);
	CU_ASSERT_EQUAL_FATAL(c->ends, 1);
}

/* The sense a command ended with; 0 when it has none. */
static inline uint32_t command_sense(const struct command *c)
{
	const uint8_t *s = c->task.sense;

	if (c->task.status != SAM_CHECK_CONDITION || c->task.sense_len != 8 + s[7])
		return 0;
	if (s[0] == SENSE_CURRENT_DESCRIPTOR)
		return (uint32_t)(s[1] << 16 | s[2] << 8 | s[3]);
	return (uint32_t)(s[2] << 16 | s[12] << 8 | s[13]);
}

static inline int64_t command_residual(const struct command *c)
{
	return (int64_t)c->task.edtl - (int64_t)c->task.transfer_len;
}

#define ASSERT_GOOD(c)                                       \
	do {                                                 \
		CU_ASSERT_EQUAL((c)->ends, 1);               \
		CU_ASSERT_EQUAL((c)->task.status, SAM_GOOD); \
	} while (0)
#define ASSERT_SENSE(c, code)                                           \
	do {                                                            \
		CU_ASSERT_EQUAL((c)->ends, 1);                          \
		CU_ASSERT_EQUAL((c)->task.status, SAM_CHECK_CONDITION); \
		CU_ASSERT_EQUAL(command_sense(c), (uint32_t)(code));    \
	} while (0)

/* Runs a command and frees it; returns its sense, 0 for GOOD, all ones for another status. */
static inline uint32_t outcome(struct world *w, const uint8_t *cdb, int dir, uint32_t edtl,
			       const void *out)
{
	struct command c;
	uint32_t sense;

	command_run(w, &c, cdb, dir, edtl, out);
	sense = c.task.status == SAM_GOOD	       ? 0
		: c.task.status == SAM_CHECK_CONDITION ? command_sense(&c)
						       : UINT32_MAX;
	command_free(&c);
	return sense;
}

/* Sense of TEST UNIT READY; 0: none. */
static inline uint32_t ready(struct world *w, struct nexus *nexus)
{
	struct command c;
	uint32_t sense;

	command_init(w, &c, (uint8_t[CDB_MAX]){ CDB_TEST_UNIT_READY }, 0, 0, NULL);
	c.task.nexus = nexus;
	command_submit(&c);
	sense = command_sense(&c);
	command_free(&c);
	return sense;
}

/* --- CDBs */

static inline void put16(uint8_t *at, uint16_t v)
{
	struct be16 be = be16_of(v);

	memcpy(at, be.b, sizeof(be));
}

static inline void put32(uint8_t *at, uint32_t v)
{
	struct be32 be = be32_of(v);

	memcpy(at, be.b, sizeof(be));
}

static inline void put64(uint8_t *at, uint64_t v)
{
	struct be64 be = be64_of(v);

	memcpy(at, be.b, sizeof(be));
}

static inline uint64_t get_be(const uint8_t *at, unsigned int len)
{
	uint64_t v = 0;

	while (len--)
		v = v << 8 | *at++;
	return v;
}

struct cdb {
	uint8_t b[CDB_MAX];
};

/* A medium access CDB in the shape of its group code. */
static inline struct cdb cdb_rw(uint8_t opcode, uint8_t flags, uint64_t lba, uint32_t blocks)
{
	struct cdb c = { { opcode, flags } };

	switch (opcode >> 5) {
	case 0:
		c.b[1] = (uint8_t)(lba >> 16);
		put16(c.b + 2, (uint16_t)lba);
		c.b[4] = (uint8_t)blocks;
		break;
	case 1:
	case 2:
		put32(c.b + 2, (uint32_t)lba);
		put16(c.b + 7, (uint16_t)blocks);
		break;
	case 5:
		put32(c.b + 2, (uint32_t)lba);
		put32(c.b + 6, blocks);
		break;
	default:
		put64(c.b + 2, lba);
		put32(c.b + 10, blocks);
		break;
	}
	return c;
}

/* Bytes that look like no other call's. */
static inline uint8_t *pattern(size_t len, uint8_t seed)
{
	uint8_t *bytes = malloc(len ? len : 1);

	CU_ASSERT_FATAL(bytes != NULL);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seed + i * 7 + (i >> 9) * 13);
	return bytes;
}

#endif
