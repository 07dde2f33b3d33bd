// SPDX-License-Identifier: BSD-2-Clause
/*
 * Regions. A whole number of chunks of address space is reserved for each, so that no other memory
 * has an address in a region's chunks: who looks up a pointer that is good, and not of a region,
 * never gets to see a region that another thread is about to destroy.
 */
#include "core/region.h"

#include <assert.h>
#include <errno.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/log.h"
#include "core/memcheck.h"

enum {
	PAGE = 4096,
	HUGE = 2 << 20,
	LEAF_BITS = 11,
	ROOT_BITS = REGION_ADDRESS_BITS - REGION_CHUNK_BITS - LEAF_BITS,
};

struct region {
	uint8_t *base;
	size_t size;
	bool shared; /* a memfd: not anonymous memory */
	pthread_mutex_t lock; /* a leaf: a chunk does not become pinned while its pages go */
	uint32_t pins[]; /* of each chunk */
};

struct leaf {
	struct region *_Atomic regions[1 << LEAF_BITS];
};

/* Chunk number -> region. Leaves stay for good. */
static struct {
	struct leaf *_Atomic leaves[1 << ROOT_BITS];
	pthread_mutex_t lock; /* for writing */
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The table */

static size_t chunks_of(size_t len)
{
	return (len + REGION_CHUNK - 1) / REGION_CHUNK;
}

static struct leaf *leaf_of(uintptr_t number)
{
	return atomic_load_explicit(&table.leaves[number >> LEAF_BITS], memory_order_acquire);
}

struct region *region_of(const void *p)
{
	uintptr_t number = (uintptr_t)p >> REGION_CHUNK_BITS;
	struct region *region;
	struct leaf *leaf;

	if (number >> (ROOT_BITS + LEAF_BITS))
		return NULL;
	leaf = leaf_of(number);
	if (!leaf)
		return NULL;
	region = atomic_load_explicit(&leaf->regions[number % (1 << LEAF_BITS)],
				      memory_order_acquire);
	return region && (size_t)((const uint8_t *)p - region->base) < region->size ? region : NULL;
}

/* table.lock is held. Sets the entries of region's chunks; false: no memory for a leaf. */
static bool set_entries(const struct region *region, struct region *to)
{
	uintptr_t first = (uintptr_t)region->base >> REGION_CHUNK_BITS;

	for (uintptr_t n = first; n < first + chunks_of(region->size); n++) {
		struct leaf *leaf = leaf_of(n);

		if (!leaf && !to)
			return true; /* taking back what could not be entered whole */
		if (!leaf) {
			leaf = calloc(1, sizeof(*leaf));
			if (!leaf)
				return false;
			atomic_store_explicit(&table.leaves[n >> LEAF_BITS], leaf,
					      memory_order_release);
		}
		atomic_store_explicit(&leaf->regions[n % (1 << LEAF_BITS)], to,
				      memory_order_release);
	}
	return true;
}

static void leave_table(struct region *region)
{
	pthread_mutex_lock(&table.lock);
	set_entries(region, NULL);
	pthread_mutex_unlock(&table.lock);
}

static bool enter_table(struct region *region)
{
	bool ok;

	pthread_mutex_lock(&table.lock);
	ok = set_entries(region, region);
	pthread_mutex_unlock(&table.lock);
	if (!ok)
		leave_table(region);
	return ok;
}

/* Memory */

/* Address space of len bytes, a multiple of REGION_CHUNK, at such a multiple. */
static uint8_t *reserve(size_t len)
{
	uint8_t *p = mmap(NULL, len + REGION_CHUNK, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t skip;

	if (p == MAP_FAILED)
		return NULL;
	skip = -(uintptr_t)p % REGION_CHUNK;
	if (skip)
		munmap(p, skip);
	munmap(p + skip + len, REGION_CHUNK - skip);
	p += skip;
	if (((uintptr_t)p + len - 1) >> REGION_ADDRESS_BITS) {
		munmap(p, len);
		errno = ENOMEM;
		return NULL;
	}
	return p;
}

/* A mapping reserves the pages, for the file: this fails rather than an access later. */
static int reserve_huge_pages(size_t size)
{
	int fd = memfd_create("riser-region", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	void *p = MAP_FAILED;

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)size) == 0)
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		close(fd);
		return -1;
	}
	munmap(p, size);
	return fd;
}

static bool map_huge(struct region *region, size_t len)
{
	size_t size = (len + HUGE - 1) / HUGE * HUGE;
	int fd = reserve_huge_pages(size);
	void *p;

	if (fd < 0)
		return false;
	region->base = reserve(chunks_of(size) * REGION_CHUNK);
	p = region->base ? mmap(region->base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				fd, 0)
			 : MAP_FAILED;
	close(fd);
	/* When that failed the place may be another thread's by now: it is not touched again. */
	if (p == MAP_FAILED)
		return false;
	region->size = size;
	region->shared = true;
	return true;
}

/* Anonymous memory gets transparent huge pages on nearly every system, a memfd on few. */
static bool map_plain(struct region *region, size_t len)
{
	int err;

	region->size = (len + PAGE - 1) / PAGE * PAGE;
	region->base = reserve(chunks_of(len) * REGION_CHUNK);
	if (!region->base)
		return false;
	if (mprotect(region->base, region->size, PROT_READ | PROT_WRITE)) {
		err = errno;
		munmap(region->base, chunks_of(len) * REGION_CHUNK);
		errno = err;
		return false;
	}
	madvise(region->base, region->size, MADV_HUGEPAGE);
	madvise(region->base, region->size, MADV_DONTFORK);
	return true;
}

static void unmap(struct region *region)
{
	munmap(region->base, chunks_of(region->size) * REGION_CHUNK);
}

struct region *region_create(size_t len, bool try_huge)
{
	struct region *region;

	if (len == 0 || len >> REGION_ADDRESS_BITS) {
		errno = len ? ENOMEM : EINVAL;
		return NULL;
	}
	region = calloc(1, sizeof(*region) + chunks_of(len) * sizeof(region->pins[0]));
	if (!region)
		return NULL;
	if (!(try_huge && map_huge(region, len)) && !map_plain(region, len))
		goto err_free;
	if (!enter_table(region))
		goto err_unmap;
	pthread_mutex_init(&region->lock, NULL);
	return region;

err_unmap:
	unmap(region);
	errno = ENOMEM;
err_free:
	free(region);
	return NULL;
}

void region_destroy(struct region *region)
{
	if (!region)
		return;
	leave_table(region);
	for (size_t i = 0; i < chunks_of(region->size); i++) {
		if (region->pins[i]) {
			/* The pages must not become somebody else's. */
			log_error("memory that a device has not given back stays reserved");
			return;
		}
	}
	unmap(region);
	pthread_mutex_destroy(&region->lock);
	free(region);
}

uint8_t *region_base(const struct region *region)
{
	return region->base;
}

size_t region_size(const struct region *region)
{
	return region->size;
}

/* Chunks */

static size_t chunk_number(const struct region *region, const void *p)
{
	size_t at = (size_t)((const uint8_t *)p - region->base);

	assert(at < region->size);
	return at / REGION_CHUNK;
}

void region_chunk(const struct region *region, const void *p, uint8_t **start, size_t *len)
{
	size_t at = chunk_number(region, p) * REGION_CHUNK, left = region->size - at;

	*start = region->base + at;
	*len = left < REGION_CHUNK ? left : REGION_CHUNK;
}

void region_pin(struct region *region, const void *p)
{
	size_t number = chunk_number(region, p);

	pthread_mutex_lock(&region->lock);
	region->pins[number]++;
	pthread_mutex_unlock(&region->lock);
}

void region_unpin(struct region *region, const void *p)
{
	size_t number = chunk_number(region, p);

	pthread_mutex_lock(&region->lock);
	assert(region->pins[number] > 0);
	region->pins[number]--;
	pthread_mutex_unlock(&region->lock);
}

/* Giving back */

/* What another thread reads or writes there at the same time is its user's to order, as on any
 * disk: the thread sanitizer must not take that for a race of ours. */
#if THREAD_SANITIZER
__attribute__((no_sanitize("thread"))) static void wipe(uint8_t *p, size_t len)
{
	for (volatile uint8_t *at = p; len; len--)
		*at++ = 0;
}
#else
static void wipe(uint8_t *p, size_t len)
{
	memset(p, 0, len);
}
#endif

/* Whole pages of one chunk. False: a device has them, or they are locked. */
static bool give_back(struct region *region, uint8_t *p, size_t len)
{
	size_t number = chunk_number(region, p);
	bool done;

	if (region->shared)
		return false;
	pthread_mutex_lock(&region->lock);
	done = !region->pins[number] && !madvise(p, len, MADV_DONTNEED);
	pthread_mutex_unlock(&region->lock);
	return done;
}

static void discard_in_chunk(struct region *region, uint8_t *p, size_t len)
{
	size_t head = -(uintptr_t)p % PAGE, pages;

	if (head > len)
		head = len;
	pages = (len - head) / PAGE * PAGE;
	if (!pages || !give_back(region, p + head, pages)) {
		wipe(p, len);
		return;
	}
	wipe(p, head);
	wipe(p + head + pages, len - head - pages);
}

void region_discard(struct region *region, void *p, size_t len)
{
	uint8_t *at = p;
	size_t n;

	for (; len; at += n, len -= n) {
		n = REGION_CHUNK - (uintptr_t)at % REGION_CHUNK;
		if (n > len)
			n = len;
		discard_in_chunk(region, at, n);
	}
}
