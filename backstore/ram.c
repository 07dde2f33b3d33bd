// SPDX-License-Identifier: BSD-2-Clause
/*
 * A disk in memory: one region, filled with zeros by the kernel as it is touched and given back to
 * it by UNMAP. Lends pointers, so that READ sends from the disk itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/copy_past.h"
#include "core/memcheck.h"
#include "core/region.h"
#include "core/worker.h"
#include "driver.h"

enum {
	PAGE = 4096,
	COPY_PIECE = 1 << 20, /* bytes; others run in between */
	DISCARD_PIECE = 16 << 20, /* the same; a piece may have to be wiped */
	SCAN_PAGES = 2048, /* what one look at the page map covers: 8 MiB */
};
/* Entries of /proc/self/pagemap. */
#define PAGE_PRESENT (1ull << 63)
#define PAGE_SWAPPED (1ull << 62)
#define PAGE_EXCLUSIVE (1ull << 56) /* nobody else has it: not the kernel's page of zeros */

struct ram_disk {
	struct backstore bs;
	struct region *region;
	uint8_t *memory;
	int pagemap; /* -1: cannot be looked at */
	struct worker *worker; /* counts pages */
};

static int ram_open(const struct bs_spec *spec, struct backstore **out, char *why, size_t why_size)
{
	struct ram_disk *disk;
	int err = bs_check_size(spec, why, why_size);

	if (err)
		return err;
	disk = bs_alloc(sizeof(*disk), &bs_ram_driver);
	if (!disk)
		return bs_fail(-ENOMEM, why, why_size, "out of memory");
	bs_memory_limits(spec, &disk->bs.limits);
	disk->bs.limits.can_anchor = disk->bs.limits.can_unmap;
	bs_set_name(&disk->bs, spec);
	bs_set_serial_by_order(&disk->bs, spec, disk->bs.name);
	disk->region = region_create(spec->size, false);
	if (!disk->region) {
		err = bs_fail(-errno, why, why_size, "%s: cannot map that much memory: %s",
			      disk->bs.name, strerror(errno));
		free(disk);
		return err;
	}
	disk->memory = region_base(disk->region);
	disk->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (disk->pagemap >= 0 && worker_create("ram-worker", &disk->worker)) {
		close(disk->pagemap);
		disk->pagemap = -1;
	}
	disk->bs.limits.can_report_extents = disk->bs.limits.can_report_space = disk->pagemap >= 0;
	*out = &disk->bs;
	return 0;
}

static void ram_close(struct backstore *bs)
{
	struct ram_disk *disk = container_of(bs, struct ram_disk, bs);

	worker_destroy(disk->worker);
	if (disk->pagemap >= 0)
		close(disk->pagemap);
	region_destroy(disk->region);
	free(disk);
}

/* Initiators may write a block while others read or write it; which bytes they then see is theirs
 * to order, as on any disk. The thread sanitizer must not take that for a race of ours. */
#if THREAD_SANITIZER
__attribute__((no_sanitize("thread"))) static void copy(void *to, const void *from, uint64_t len)
{
	volatile uint8_t *t = to;
	const volatile uint8_t *f = from;

	while (len--)
		*t++ = *f++;
}
#define store copy
#else
static void copy(void *to, const void *from, uint64_t len)
{
	memcpy(to, from, len);
}

/* The wait at the end of a copy past the cache costs more than fetching a few lines. */
static void store(void *to, const void *from, uint64_t len)
{
	if (len < PAGE)
		copy(to, from, len);
	else
		copy_past_cache(to, from, len);
}
#endif

/* Pages that are written to stay. The next one who looks for extents takes them for data, which an
 * anchored block may become at any time (SBC 4.7.3.5). */
static void write_zeros(uint8_t *p, uint64_t len)
{
	static const uint8_t zeros[PAGE];

	for (uint64_t at = 0, n; at < len; at += n) {
		n = len - at < sizeof(zeros) ? len - at : sizeof(zeros);
		copy(p + at, zeros, n);
	}
}

/* What may be long goes piece by piece: COPY and what makes zeros. */

struct ram_long {
	struct work work;
	struct bs_req *req;
	uint64_t pos; /* bytes done */
};

/* Returns what is left. */
static uint64_t do_piece(const struct bs_req *req, uint64_t *pos)
{
	const struct ram_disk *disk = container_of(req->bs, struct ram_disk, bs);
	bool anchor = req->flags & BS_ANCHOR;
	uint64_t most = req->opcode == BS_COPY || anchor ? COPY_PIECE : DISCARD_PIECE;
	uint64_t left = req->len - *pos, n = left < most ? left : most;
	uint8_t *p = disk->memory + req->offset + *pos;

	if (req->opcode == BS_COPY)
		copy(p,
		     container_of(req->source, struct ram_disk, bs)->memory + req->source_offset +
			     *pos,
		     n);
	else if (anchor)
		write_zeros(p, n);
	else
		region_discard(disk->region, p, n);
	*pos += n;
	return left - n;
}

static void long_goes_on(struct work *work)
{
	struct ram_long *l = container_of(work, struct ram_long, work);
	struct bs_req *req = l->req;

	if (do_piece(req, &l->pos)) {
		reactor_defer(req->reactor, &l->work);
		return;
	}
	free(l);
	bs_complete(req, 0);
}

static bool ram_long(struct bs_req *req)
{
	struct ram_long *l;
	uint64_t pos = 0;

	if (!do_piece(req, &pos))
		return true;
	l = calloc(1, sizeof(*l));
	if (!l) {
		req->res = -ENOMEM;
		return true;
	}
	l->work.fn = long_goes_on;
	l->req = req;
	l->pos = pos;
	reactor_defer(req->reactor, &l->work);
	return false;
}

/* What has memory. A page that was read but never written has the kernel's page of zeros; some that
 * look like it are ours. So that data is never taken for a hole, those have to be zeros. */

/* Looks at pages from `first` on, SCAN_PAGES at most; how many it saw, or -errno. */
static ssize_t scan(const struct ram_disk *disk, uint64_t first, uint64_t *entries)
{
	uint64_t pages = (disk->bs.limits.size + PAGE - 1) / PAGE - first;
	size_t bytes = (pages < SCAN_PAGES ? pages : SCAN_PAGES) * sizeof(entries[0]);
	uint64_t at = ((uintptr_t)disk->memory / PAGE + first) * sizeof(entries[0]);
	ssize_t n = pread(disk->pagemap, entries, bytes, (off_t)at);

	if (n < 0)
		return -errno;
	return n < (ssize_t)sizeof(entries[0]) ? -EIO : n / (ssize_t)sizeof(entries[0]);
}

static bool page_is_zero(const struct ram_disk *disk, uint64_t number)
{
	const uint64_t *word = (const uint64_t *)(disk->memory + number * PAGE), *end;

	for (end = word + PAGE / sizeof(*word); word < end; word++) {
		if (__atomic_load_n(word, __ATOMIC_RELAXED))
			return false;
	}
	return true;
}

static bool has_space(const struct ram_disk *disk, uint64_t number, uint64_t entry)
{
	if (entry & PAGE_SWAPPED)
		return true;
	return entry & PAGE_PRESENT && (entry & PAGE_EXCLUSIVE || !page_is_zero(disk, number));
}

static int ram_extent(const struct ram_disk *disk, struct bs_req *req)
{
	uint64_t first = req->offset / PAGE, end, *entries;
	ssize_t n, i;

	if (disk->pagemap < 0)
		return -EOPNOTSUPP;
	entries = malloc(SCAN_PAGES * sizeof(entries[0]));
	if (!entries)
		return -ENOMEM;
	n = scan(disk, first, entries);
	if (n > 0) {
		req->extent.mapped = has_space(disk, first, entries[0]);
		req->extent.anchored = false;
		for (i = 1; i < n; i++) {
			if (has_space(disk, first + (uint64_t)i, entries[i]) != req->extent.mapped)
				break;
		}
		end = (first + (uint64_t)i) * PAGE;
		req->extent.len = end - req->offset < req->len ? end - req->offset : req->len;
	}
	free(entries);
	return n < 0 ? (int)n : 0;
}

struct ram_count {
	struct job job;
	struct bs_req *req;
	int res;
};

static uint64_t free_memory(void)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	}
	if (file)
		fclose(file);
	return kib * 1024;
}

static void count_pages(struct job *job)
{
	struct ram_count *c = container_of(job, struct ram_count, job);
	const struct ram_disk *disk = container_of(c->req->bs, struct ram_disk, bs);
	uint64_t pages = (disk->bs.limits.size + PAGE - 1) / PAGE, used = 0, left, *entries;
	ssize_t n = -ENOMEM;

	entries = malloc(SCAN_PAGES * sizeof(entries[0]));
	for (uint64_t at = 0; entries && at < pages; at += (uint64_t)n) {
		n = scan(disk, at, entries);
		if (n < 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			used += has_space(disk, at + (uint64_t)i, entries[i]);
	}
	free(entries);
	left = (pages - used) * PAGE;
	c->res = n < 0 ? (int)n : 0;
	c->req->space.used = used * PAGE;
	c->req->space.available = free_memory();
	if (c->req->space.available > left)
		c->req->space.available = left;
}

static void pages_counted(struct job *job)
{
	struct ram_count *c = container_of(job, struct ram_count, job);
	struct bs_req *req = c->req;
	int res = c->res;

	free(c);
	bs_complete(req, res);
}

static bool ram_space(struct ram_disk *disk, struct bs_req *req)
{
	struct ram_count *c = disk->worker ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		req->res = disk->worker ? -ENOMEM : -EOPNOTSUPP;
		return true;
	}
	c->req = req;
	c->job.run = count_pages;
	c->job.done = pages_counted;
	c->job.reactor = req->reactor;
	worker_submit(disk->worker, &c->job);
	return false;
}

static bool ram_submit(struct backstore *bs, struct bs_req *req)
{
	struct ram_disk *disk = container_of(bs, struct ram_disk, bs);
	uint8_t *p = disk->memory + req->offset;

	req->res = 0;
	switch (req->opcode) {
	case BS_READ:
	case BS_WRITE:
		if (req->data == p)
			break; /* a borrowed pointer: it is there already */
		if (req->opcode == BS_READ)
			copy(req->data, p, req->len);
		else
			store(p, req->data, req->len);
		stat_add(&req->reactor->stats.bytes_copied, req->len);
		break;
	case BS_UNMAP:
	case BS_ZERO:
	case BS_ERASE: return ram_long(req);
	case BS_COPY:
		if (req->source->driver == &bs_ram_driver)
			return ram_long(req);
		req->res = -EOPNOTSUPP;
		break;
	case BS_FLUSH: break;
	case BS_EXTENT: req->res = ram_extent(disk, req); break;
	case BS_SPACE: return ram_space(disk, req);
	}
	return true;
}

static void *ram_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)len;
	return container_of(bs, struct ram_disk, bs)->memory + offset;
}

const struct bs_driver bs_ram_driver = {
	.name = "ram",
	.open = ram_open,
	.close = ram_close,
	.submit = ram_submit,
	.borrow = ram_borrow,
};
