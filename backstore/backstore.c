// SPDX-License-Identifier: BSD-2-Clause
/*
 * The checked way to a backstore: opening, range and state checks, the latch after a failed
 * flush, statistics.
 */
#include "backstore.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/region.h"
#include "core/slab.h"
#include "driver.h"

/* All open disks, by serial and by inode: there may be many thousands. [main thread] */
enum { BUCKETS = 4096 };
static struct list by_serial[BUCKETS], by_inode[BUCKETS];

static struct list *bucket(struct list *table, uint64_t hash)
{
	struct list *b = &table[hash % BUCKETS];

	if (!b->next)
		list_init(b);
	return b;
}

static uint64_t serial_hash(const char *serial)
{
	uint64_t h = 14695981039346656037ull;

	for (; *serial; serial++)
		h = (h ^ (uint8_t)*serial) * 1099511628211ull;
	return h;
}

const struct bs_driver *bs_driver_find(const char *name)
{
	static const struct bs_driver *const drivers[] = { &bs_ram_driver, &bs_null_driver,
							   &bs_file_driver };

	for (size_t i = 0; i < array_size(drivers); i++) {
		if (!strcmp(drivers[i]->name, name))
			return drivers[i];
	}
	return NULL;
}

void bs_list(struct backstore *bs)
{
	list_add_tail(bucket(by_serial, serial_hash(bs->serial)), &bs->open_node);
	if (bs->dev || bs->ino)
		list_add_tail(bucket(by_inode, bs->dev ^ bs->ino), &bs->inode_node);
}

const struct backstore *bs_find_serial(const char *serial)
{
	struct list *pos;

	list_for_each(pos, bucket(by_serial, serial_hash(serial))) {
		const struct backstore *bs = list_entry(pos, struct backstore, open_node);

		if (!strcmp(bs->serial, serial))
			return bs;
	}
	return NULL;
}

static bool same(const uint8_t *a, uint8_t a_len, const uint8_t *b, uint8_t b_len)
{
	return a_len && a_len == b_len && !memcmp(a, b, a_len);
}

/* A disk that has one of these designators already, or NULL. */
static const struct backstore *find_designators(const struct bs_designators *d)
{
	struct list *pos;

	if (!d->naa_len && !d->eui_len)
		return NULL;
	for (unsigned int i = 0; i < BUCKETS; i++) {
		list_for_each(pos, bucket(by_serial, i)) {
			const struct backstore *bs = list_entry(pos, struct backstore, open_node);
			const struct bs_designators *other = &bs->designators;

			if (same(d->naa, d->naa_len, other->naa, other->naa_len) ||
			    same(d->eui, d->eui_len, other->eui, other->eui_len))
				return bs;
		}
	}
	return NULL;
}

const struct backstore *bs_find_inode(dev_t dev, ino_t ino)
{
	struct list *pos;

	list_for_each(pos, bucket(by_inode, dev ^ ino)) {
		const struct backstore *bs = list_entry(pos, struct backstore, inode_node);

		if (bs->dev == dev && bs->ino == ino)
			return bs;
	}
	return NULL;
}

void *bs_alloc(size_t size, const struct bs_driver *driver)
{
	struct backstore *bs = calloc(1, size);

	if (!bs)
		return NULL;
	bs->driver = driver;
	list_init(&bs->open_node);
	list_init(&bs->inode_node);
	return bs;
}

void bs_set_name(struct backstore *bs, const struct bs_spec *spec)
{
	static const char suffixes[] = "\0KMGT";
	uint64_t size = spec->size;
	int i = 0;

	while (i < 4 && size && size % 1024 == 0) {
		size /= 1024;
		i++;
	}
	snprintf(bs->name, sizeof(bs->name), "%s:%llu%.1s", spec->driver, (unsigned long long)size,
		 &suffixes[i]);
}

const void *bs_zeros(void)
{
	static struct region *_Atomic zeros;
	struct region *found = atomic_load(&zeros), *fresh;

	if (found)
		return region_base(found);
	fresh = region_create(BUF_MAX, false);
	if (!fresh)
		return NULL;
	if (atomic_compare_exchange_strong(&zeros, &found, fresh))
		return region_base(fresh);
	region_destroy(fresh);
	return region_base(found);
}

/* A driver knows its block size when it is open, not before. */
static int set_physical(struct backstore *bs, const struct bs_spec *spec, char *why,
			size_t why_size)
{
	struct bs_limits *l = &bs->limits;

	if (!spec->physical_block_size)
		return 0;
	if (spec->physical_block_size < l->block_size)
		return bs_fail(
			-EINVAL, why, why_size,
			"%s: physical-block-size=%u is less than a block, which has %u bytes",
			bs->name, spec->physical_block_size, l->block_size);
	l->physical_block_size = spec->physical_block_size;
	return 0;
}

int bs_open(const struct bs_spec *spec, struct backstore **out, char *why, size_t why_size)
{
	const struct bs_driver *driver = spec->protection ? &bs_protection_driver
					 : spec->fault[0] ? &bs_fault_driver
							  : bs_driver_find(spec->driver);
	const struct backstore *other;
	struct backstore *bs;
	int err;

	*out = NULL;
	if (!driver)
		return bs_fail(-EINVAL, why, why_size, "there is no backstore '%s'", spec->driver);
	err = driver->open(spec, &bs, why, why_size);
	if (err)
		return err;
	assert(bs->limits.size > 0 && bs->limits.size % bs->limits.block_size == 0);
	assert(bs->limits.block_size == 512 || bs->limits.block_size == 4096);
	if (bs->limits.atomic_max < bs->limits.block_size)
		bs->limits.atomic_max = bs->limits.atomic_granularity = bs->limits.block_size;
	err = set_physical(bs, spec, why, why_size);
	if (err) {
		driver->close(bs);
		return err;
	}
	/* Initiators take disks with one serial for paths to one disk. */
	other = bs_find_serial(bs->serial);
	if (other) {
		err = bs_fail(-EEXIST, why, why_size,
			      "%s has the serial %s that %s has already: give one of them another "
			      "with serial=",
			      bs->name, bs->serial, other->name);
		driver->close(bs);
		return err;
	}
	other = find_designators(&spec->designators);
	if (other) {
		err = bs_fail(-EEXIST, why, why_size,
			      "%s is given the naa= or eui= that %s has already: initiators would "
			      "take them for one disk",
			      bs->name, other->name);
		driver->close(bs);
		return err;
	}
	bs->designators = spec->designators;
	bs_list(bs);
	*out = bs;
	return 0;
}

void bs_close(struct backstore *bs)
{
	if (!bs)
		return;
	list_del(&bs->open_node);
	if (bs->inode_node.next) /* not one of a test's own making */
		list_del(&bs->inode_node);
	bs->driver->close(bs);
}

void *bs_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	assert(bs->limits.lends_pointers);
	assert(offset <= bs->limits.size && len <= bs->limits.size - offset);
	return bs->driver->borrow(bs, offset, len);
}

int bs_resize(struct backstore *bs)
{
	uint64_t before = bs->limits.size, size = before;
	int err = bs->driver->measure ? bs->driver->measure(bs, &size) : 0;

	if (err)
		return err;
	if (size != before) {
		bs->limits.size = size;
		log_info("%s: %llu bytes now, %llu before", bs->name, (unsigned long long)size,
			 (unsigned long long)before);
	}
	return size ? 0 : -ENODATA;
}

/* Requests */

static bool promises_stable_media(const struct bs_req *req)
{
	return req->opcode == BS_FLUSH || (req->flags & BS_FUA && bs_writes(req->opcode));
}

static bool within(const struct backstore *bs, uint64_t offset, uint64_t len)
{
	uint64_t size = atomic_load_explicit(&bs->limits.size, memory_order_relaxed);

	return offset <= size && len <= size - offset;
}

/* Callers know the size, but it may have changed since they looked. */
static int check_range(const struct backstore *bs, const struct bs_req *req)
{
	const struct bs_limits *l = &bs->limits;

	if (req->opcode == BS_FLUSH || req->opcode == BS_SPACE)
		return 0;
	assert(req->offset % l->block_size == 0 && req->len % l->block_size == 0);
	if (req->opcode == BS_READ || req->opcode == BS_WRITE)
		assert(req->len <= BUF_MAX && (req->data || !req->len));
	if (req->flags & BS_ATOMIC &&
	    (req->len > l->atomic_max || (req->offset | req->len) % l->atomic_granularity))
		return -EINVAL;
	if (!within(bs, req->offset, req->len) ||
	    (req->opcode == BS_COPY && !within(req->source, req->source_offset, req->len)))
		return -ENODATA;
	return 0;
}

static void count(struct bs_stats *stats, const struct bs_req *req)
{
	switch (req->opcode) {
	case BS_READ:
		stat_add(&stats->reads, 1);
		stat_add(&stats->read_bytes, req->len);
		break;
	case BS_WRITE:
		stat_add(&stats->writes, 1);
		stat_add(&stats->write_bytes, req->len);
		break;
	case BS_FLUSH: stat_add(&stats->flushes, 1); break;
	case BS_UNMAP:
	case BS_ZERO:
	case BS_ERASE: stat_add(&stats->unmaps, 1); break;
	case BS_COPY: stat_add(&stats->write_bytes, req->len); break;
	case BS_EXTENT:
	case BS_SPACE: break;
	}
}

static const char *opcode_name(enum bs_opcode opcode)
{
	static const char *const names[] = {
		[BS_READ] = "read",   [BS_WRITE] = "write",	    [BS_FLUSH] = "flush",
		[BS_UNMAP] = "unmap", [BS_ZERO] = "zero",	    [BS_ERASE] = "erase",
		[BS_COPY] = "copy",   [BS_EXTENT] = "extent query", [BS_SPACE] = "space query"
	};

	return names[opcode];
}

/*
 * The kernel reports a lost write-back once, to the next fsync or O_DSYNC write, whichever range
 * it was for. So a failed one is remembered: nothing acknowledged before it can be trusted.
 */
static void latch(struct backstore *bs, const struct bs_req *req, int res)
{
	/* It had no room, or no place in a file that has become shorter, or no memory to begin with,
	 * and was not done; drivers tell that apart from a lost one. */
	if (req->opcode != BS_FLUSH &&
	    (res == -ENOSPC || res == -EDQUOT || res == -ENODATA || res == -ENOMEM))
		return;
	if (atomic_exchange(&bs->flush_failed, true))
		return;
	log_error("%s: %s to stable media failed: %s; data acknowledged before may be lost. Every "
		  "flush and forced write fails from now on; check the disk and restart riserd",
		  bs->name, opcode_name(req->opcode), strerror(-res));
}

/* Returns the result that the caller gets. */
static int account(struct backstore *bs, const struct bs_req *req, int res)
{
	static struct log_limit limit = LOG_LIMIT(10);
	struct bs_stats *stats = &bs->stats[req->reactor->index];

	count(stats, req);
	/* The kernel told another request about a loss while this one was under way. */
	if (!res && promises_stable_media(req) && atomic_load(&bs->flush_failed))
		res = -EIO;
	/* Asked for, and answered, what cannot be done another way than by the caller. */
	if (!res || res == -EOPNOTSUPP)
		return res;
	stat_add(&stats->errors, 1);
	log_write_limited(&limit, LOG_LEVEL_WARN, "%s: %s of %llu bytes at %llu failed: %s",
			  bs->name, opcode_name(req->opcode), (unsigned long long)req->len,
			  (unsigned long long)req->offset, strerror(-res));
	if (promises_stable_media(req))
		latch(bs, req, res);
	return res;
}

/* What is refused without asking the driver. */
static int refusal(struct backstore *bs, const struct bs_req *req)
{
	if (bs_writes(req->opcode) && bs->limits.read_only)
		return -EROFS;
	if (promises_stable_media(req) && atomic_load(&bs->flush_failed))
		return -EIO;
	return check_range(bs, req);
}

bool bs_submit(struct backstore *bs, struct bs_req *req)
{
	assert_owner(req->reactor);
	req->bs = bs;
	req->res = refusal(bs, req);
	if (req->res) {
		stat_add(&bs->stats[req->reactor->index].errors, 1);
		return true;
	}
	if (req->opcode != BS_FLUSH && req->opcode != BS_SPACE && !req->len)
		return true;
	if (!bs->driver->submit(bs, req))
		return false;
	req->res = account(bs, req, req->res);
	return true;
}

void bs_complete(struct bs_req *req, int res)
{
	req->done(req, account(req->bs, req, res));
}
