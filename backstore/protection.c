// SPDX-License-Identifier: BSD-2-Clause
/*
 * A filter that keeps protection information beside the data of another backstore. What is written
 * gets tuples, what is read is checked against them, and with BS_TUPLES they go to and come from the
 * caller, who checks himself.
 *
 * A write is two writes, so requests for overlapping ranges exclude each other, but for reads among
 * themselves. After a crash between the two a block and its tuple do not fit each other: reading it
 * fails until it is written again, as it should, since nobody knows which of them is the newer.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/slab.h"
#include "driver.h"
#include "protection.h"
#include "tuple_store.h"

enum { BATCH = BUF_MAX / 512 }; /* tuples that are written at a time */

struct protected_disk {
	struct backstore bs;
	struct bs_driver driver; /* ours under the name of the disk below */
	struct backstore *data, *tuples;
	uint64_t tuples_at; /* bytes */
	pthread_mutex_t lock; /* a leaf; guards the lists */
	struct list running, waiting; /* of struct operation, in order of arrival */
};

/* The steps of a request, in order. */
enum step {
	END,
	DATA, /* the request itself, on the data */
	MAKE_TUPLES, /* written; again until all are */
	READ_TUPLES,
	UNMAP_TUPLES, /* become escapes */
	ERASE_TUPLES, /* become escapes, on stable media */
	FLUSH_TUPLES,
};

static const uint8_t steps[BS_OPCODES][3] = {
	[BS_READ] = { DATA, READ_TUPLES },
	[BS_WRITE] = { DATA, MAKE_TUPLES },
	[BS_FLUSH] = { DATA, FLUSH_TUPLES },
	/* A crash in between leaves what was there, unchecked, and no error. */
	[BS_UNMAP] = { UNMAP_TUPLES, DATA },
	[BS_ZERO] = { DATA, MAKE_TUPLES },
	[BS_ERASE] = { UNMAP_TUPLES, DATA },
	[BS_EXTENT] = { DATA },
	[BS_SPACE] = { DATA },
};
/* All or nothing: the block has no tuple while it changes, so it can be read whatever happens. */
static const uint8_t atomic_write[] = { ERASE_TUPLES, DATA, MAKE_TUPLES, END };

/* A request as the two backstores below see it. */
struct operation {
	struct bs_req req;
	struct bs_req *outer;
	struct protected_disk *disk;
	const uint8_t *step; /* the present one */
	uint64_t first, blocks;
	uint64_t done; /* blocks whose tuples are written */
	struct list node;
	struct work work; /* it may begin */
	struct pi_tuple tuples[]; /* as stored */
};

/* --- Tuples */

static struct pi_rule rule_at(const struct operation *op, uint64_t block)
{
	return pi_default(op->disk->bs.limits.protection, block);
}

/* From or to the stored form, in which zeros are all ones. */
static void invert(struct pi_tuple *to, const struct pi_tuple *from, size_t count)
{
	const uint8_t *f = (const uint8_t *)from;
	uint8_t *t = (uint8_t *)to;

	for (size_t i = 0; i < count * sizeof(*to); i++)
		t[i] = (uint8_t)~f[i];
}

/* Tuples of `count` blocks from op->done on. */
static void make_tuples(struct operation *op, uint32_t count)
{
	const struct bs_req *outer = op->outer;
	uint32_t block_size = op->disk->bs.limits.block_size;
	struct pi_rule rule = rule_at(op, op->first + op->done);

	if (outer->flags & (BS_TUPLES | BS_ANCHOR) && outer->opcode == BS_ZERO) {
		memset(op->tuples, 0, count * sizeof(op->tuples[0]));
		return;
	}
	if (outer->flags & BS_TUPLES) {
		invert(op->tuples, outer->tuples, count);
		return;
	}
	if (outer->opcode == BS_WRITE) {
		pi_make(op->tuples, outer->data, count, block_size, &rule);
	} else {
		/* Zeros have guard 0 whatever the block size. */
		for (uint32_t i = 0; i < count; i++, rule.ref++)
			pi_make(&op->tuples[i], "", 1, 0, &rule);
	}
	invert(op->tuples, op->tuples, count);
}

static int check_tuples(struct operation *op)
{
	static struct log_limit limit = LOG_LIMIT(10);
	const struct protected_disk *disk = op->disk;
	struct bs_req *outer = op->outer;
	struct pi_rule rule = rule_at(op, op->first);
	uint32_t count = (uint32_t)op->blocks, at;
	uint8_t wrong;

	if (outer->flags & BS_TUPLES) {
		invert(outer->tuples, op->tuples, count);
		return 0;
	}
	invert(op->tuples, op->tuples, count);
	wrong = pi_check(op->tuples, outer->data, count, disk->bs.limits.block_size, &rule, &at);
	if (!wrong)
		return 0;
	outer->mismatch.offset = outer->offset + (uint64_t)at * disk->bs.limits.block_size;
	outer->mismatch.what = wrong;
	log_write_limited(
		&limit, LOG_LEVEL_WARN,
		"%s: block %llu does not fit its protection information (%s): damaged, or "
		"being written when riserd or the machine stopped",
		disk->bs.name, (unsigned long long)(op->first + at),
		wrong == PI_GUARD ? "guard" : "reference tag");
	return -EBADE;
}

/* --- The steps */

static void step_done(struct bs_req *req, int res);

static void prepare(struct operation *op, enum bs_opcode opcode, uint32_t flags, uint64_t offset,
		    uint64_t len, void *data)
{
	op->req = (struct bs_req){ .opcode = opcode,
				   .flags = flags,
				   .offset = offset,
				   .len = len,
				   .data = data,
				   .reactor = op->outer->reactor,
				   .done = step_done };
}

static void prepare_tuples(struct operation *op, enum bs_opcode opcode, uint32_t flags,
			   uint64_t first, uint64_t count)
{
	prepare(op, opcode, flags, op->disk->tuples_at + first * sizeof(struct pi_tuple),
		count * sizeof(struct pi_tuple), op->tuples);
}

/* Fills in op->req and says where it goes. */
static struct backstore *begin_step(struct operation *op)
{
	struct protected_disk *disk = op->disk;
	struct bs_req *outer = op->outer;
	uint32_t fua = outer->flags & BS_FUA, count;
	uint64_t left = op->blocks - op->done;

	switch ((enum step) * op->step) {
	case END: break;
	case DATA:
		/* The tuples of an atomic write must not be on the medium before it is. */
		prepare(op, outer->opcode,
			(outer->flags & ~BS_TUPLES) | (outer->flags & BS_ATOMIC ? BS_FUA : 0),
			outer->offset, outer->len, outer->data);
		return disk->data;
	case MAKE_TUPLES:
		count = left < BATCH ? (uint32_t)left : BATCH;
		make_tuples(op, count);
		prepare_tuples(op, BS_WRITE, fua, op->first + op->done, count);
		break;
	case READ_TUPLES: prepare_tuples(op, BS_READ, 0, op->first, op->blocks); break;
	case UNMAP_TUPLES: prepare_tuples(op, BS_UNMAP, fua, op->first, op->blocks); break;
	case ERASE_TUPLES:
		memset(op->tuples, 0, op->blocks * sizeof(op->tuples[0]));
		prepare_tuples(op, BS_WRITE, BS_FUA, op->first, op->blocks);
		break;
	case FLUSH_TUPLES: prepare(op, BS_FLUSH, 0, 0, 0, NULL); break;
	}
	return disk->tuples;
}

/* The present step has succeeded: what it leaves to do. */
static int end_step(struct operation *op)
{
	struct bs_req *outer = op->outer;
	int err = 0;

	switch ((enum step) * op->step) {
	case DATA:
		if (outer->opcode == BS_EXTENT)
			outer->extent = op->req.extent;
		else if (outer->opcode == BS_SPACE)
			outer->space = op->req.space;
		break;
	case READ_TUPLES: err = check_tuples(op); break;
	case MAKE_TUPLES:
		op->done += op->req.len / sizeof(struct pi_tuple);
		if (op->done < op->blocks)
			return 0; /* the same again */
		break;
	case UNMAP_TUPLES:
	case ERASE_TUPLES:
	case FLUSH_TUPLES:
	case END: break;
	}
	op->step++;
	return err;
}

/* --- Ranges */

static bool excludes(const struct operation *a, const struct operation *b)
{
	if (!a->blocks || !b->blocks ||
	    !(bs_writes(a->outer->opcode) || bs_writes(b->outer->opcode)))
		return false;
	return a->first < b->first + b->blocks && b->first < a->first + a->blocks;
}

/* Whether op excludes one of the list before `end`. */
static bool meets(const struct operation *op, const struct list *head, const struct list *end)
{
	for (const struct list *pos = head->next; pos != end; pos = pos->next) {
		if (excludes(op, list_entry(pos, struct operation, node)))
			return true;
	}
	return false;
}

/* False: it waits, and op->work is posted when it may begin. */
static bool range_lock(struct operation *op)
{
	struct protected_disk *disk = op->disk;
	bool begins;

	pthread_mutex_lock(&disk->lock);
	begins = !meets(op, &disk->running, &disk->running) &&
		 !meets(op, &disk->waiting, &disk->waiting);
	list_add_tail(begins ? &disk->running : &disk->waiting, &op->node);
	pthread_mutex_unlock(&disk->lock);
	return begins;
}

/* Others than those that op has kept out wait for somebody else. */
static void range_unlock(struct operation *op)
{
	struct protected_disk *disk = op->disk;
	struct list *pos, *tmp;

	pthread_mutex_lock(&disk->lock);
	list_del(&op->node);
	list_for_each_safe(pos, tmp, &disk->waiting) {
		struct operation *next = list_entry(pos, struct operation, node);

		if (!excludes(op, next) || meets(next, &disk->running, &disk->running) ||
		    meets(next, &disk->waiting, pos))
			continue;
		list_del(pos);
		list_add_tail(&disk->running, pos);
		reactor_post(next->outer->reactor, &next->work);
	}
	pthread_mutex_unlock(&disk->lock);
}

/* --- Requests */

static int finish(struct operation *op, int res)
{
	range_unlock(op);
	free(op);
	return res;
}

/* What we say with -EBADE nobody below does. */
static int result_below(int res)
{
	return res == -EBADE ? -EIO : res;
}

/* Goes on until it waits (false) or is complete (true, with *res; op is gone). */
static bool go_on(struct operation *op, int *res)
{
	while (*op->step != END) {
		struct backstore *bs = begin_step(op);

		if (!bs_submit(bs, &op->req))
			return false;
		*res = op->req.res ? result_below(op->req.res) : end_step(op);
		if (*res)
			break;
	}
	*res = finish(op, *res);
	return true;
}

static void step_done(struct bs_req *req, int res)
{
	struct operation *op = container_of(req, struct operation, req);
	struct bs_req *outer = op->outer;

	res = res ? result_below(res) : end_step(op);
	if (res)
		bs_complete(outer, finish(op, res));
	else if (go_on(op, &res))
		bs_complete(outer, res);
}

static void range_free(struct work *work)
{
	struct operation *op = container_of(work, struct operation, work);
	struct bs_req *outer = op->outer;
	int res = 0;

	if (go_on(op, &res))
		bs_complete(outer, res);
}

static struct operation *operation_create(struct protected_disk *disk, struct bs_req *req)
{
	bool ranged =
		req->opcode != BS_FLUSH && req->opcode != BS_SPACE && req->opcode != BS_EXTENT;
	uint64_t blocks = ranged ? req->len / disk->bs.limits.block_size : 0;
	struct operation *op =
		malloc(sizeof(*op) + (blocks < BATCH ? blocks : BATCH) * sizeof(struct pi_tuple));

	if (!op)
		return NULL;
	op->outer = req;
	op->disk = disk;
	op->step = req->flags & BS_ATOMIC ? atomic_write : steps[req->opcode];
	op->first = req->offset / disk->bs.limits.block_size;
	op->blocks = blocks;
	op->done = 0;
	op->work = (struct work){ .fn = range_free };
	list_init(&op->node);
	return op;
}

static bool protection_submit(struct backstore *bs, struct bs_req *req)
{
	struct protected_disk *disk = container_of(bs, struct protected_disk, bs);
	struct operation *op;

	req->res = 0;
	/* The copy would have no tuples, or tuples of another place. */
	if (req->opcode == BS_COPY) {
		req->res = -EOPNOTSUPP;
		return true;
	}
	op = operation_create(disk, req);
	if (!op) {
		req->res = -ENOMEM;
		return true;
	}
	return range_lock(op) && go_on(op, &req->res);
}

/* --- Opening */

static void protection_close(struct backstore *bs)
{
	struct protected_disk *disk = container_of(bs, struct protected_disk, bs);

	bs_close(disk->tuples);
	disk->data->driver->close(disk->data);
	pthread_mutex_destroy(&disk->lock);
	free(disk);
}

/* Who has the tuples has them in one buffer with the data. */
static void limit_atomic(struct bs_limits *limits)
{
	uint32_t fit = BUF_MAX / (limits->block_size + (uint32_t)sizeof(struct pi_tuple)) *
		       limits->block_size;

	if (limits->atomic_max > fit)
		limits->atomic_max = fit / limits->atomic_granularity * limits->atomic_granularity;
}

int protection_wrap(struct backstore *data, struct backstore *tuples, uint64_t at, uint8_t type,
		    struct backstore **out)
{
	struct protected_disk *disk = bs_alloc(sizeof(*disk), &bs_protection_driver);

	if (!disk)
		return -ENOMEM;
	pthread_mutex_init(&disk->lock, NULL);
	list_init(&disk->running);
	list_init(&disk->waiting);
	disk->data = data;
	disk->tuples = tuples;
	disk->tuples_at = at;
	disk->driver = bs_protection_driver;
	disk->driver.name = data->driver->name;
	disk->bs.driver = &disk->driver;
	disk->bs.limits = data->limits;
	disk->bs.limits.lends_pointers = false; /* what is lent is not checked */
	disk->bs.limits.protection = type;
	limit_atomic(&disk->bs.limits);
	disk->bs.dev = data->dev;
	disk->bs.ino = data->ino;
	memcpy(disk->bs.name, data->name, sizeof(disk->bs.name));
	memcpy(disk->bs.serial, data->serial, sizeof(disk->bs.serial));
	*out = &disk->bs;
	return 0;
}

static int protection_open(const struct bs_spec *spec, struct backstore **out, char *why,
			   size_t why_size)
{
	const struct bs_driver *driver =
		spec->fault[0] ? &bs_fault_driver : bs_driver_find(spec->driver);
	struct backstore *data, *tuples;
	uint64_t at;
	int err;

	if (!driver)
		return bs_fail(-EINVAL, why, why_size, "there is no backstore '%s'", spec->driver);
	err = driver->open(spec, &data, why, why_size);
	if (err)
		return err;
	err = tuple_store_open(spec, data, &tuples, &at, why, why_size);
	if (err)
		goto err_data;
	err = protection_wrap(data, tuples, at, spec->protection, out);
	if (!err)
		return 0;
	bs_fail(err, why, why_size, "out of memory");
	bs_close(tuples);
err_data:
	driver->close(data);
	return err;
}

/* Blocks that are new have no tuples: the store grows first. */
static int protection_measure(struct backstore *bs, uint64_t *size)
{
	struct protected_disk *disk = container_of(bs, struct protected_disk, bs);
	struct backstore *data = disk->data;
	uint64_t before = *size;
	int err = data->driver->measure ? data->driver->measure(data, size) : 0;

	if (!err && *size > before)
		err = tuple_store_grow(disk->tuples, before / bs->limits.block_size,
				       *size / bs->limits.block_size);
	if (!err)
		data->limits.size = *size;
	return err;
}

/* lends_pointers is false: never called. */
static void *protection_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)bs;
	(void)offset;
	(void)len;
	return NULL;
}

const struct bs_driver bs_protection_driver = {
	.name = "protection",
	.open = protection_open,
	.close = protection_close,
	.submit = protection_submit,
	.borrow = protection_borrow,
	.measure = protection_measure,
};
