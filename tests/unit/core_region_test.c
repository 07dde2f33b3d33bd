// SPDX-License-Identifier: BSD-2-Clause
/* Regions: where they lie, who finds them, what pins keep and what goes back to the kernel. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/list.h"
#include "core/region.h"
#include "tests/lib/unit.h"

enum { PAGE = 4096, M = 1 << 20 };

static struct region *create(size_t len)
{
	struct region *region = region_create(len, false);

	CU_ASSERT_PTR_NOT_NULL_FATAL(region);
	return region;
}

static bool all_bytes(const uint8_t *p, uint8_t value, size_t len)
{
	return !len || (p[0] == value && !memcmp(p, p + 1, len - 1));
}

static unsigned int resident_pages(void *p, size_t len)
{
	unsigned char map[4096];
	unsigned int n = 0;

	CU_ASSERT_FATAL(len / PAGE <= sizeof(map));
	CU_ASSERT_EQUAL_FATAL(mincore(p, len, map), 0);
	for (size_t i = 0; i < len / PAGE; i++)
		n += map[i] & 1;
	return n;
}

static void lies_at_a_chunk_and_reads_zeros(void)
{
	static const size_t sizes[][2] = {
		{ 1, PAGE },
		{ PAGE, PAGE },
		{ PAGE + 1, 2 * PAGE },
		{ REGION_CHUNK, REGION_CHUNK },
		{ 2 * REGION_CHUNK + 512, 2 * REGION_CHUNK + PAGE },
	};
	struct region *regions[array_size(sizes)];

	for (size_t i = 0; i < array_size(sizes); i++) {
		uint8_t *base = region_base(regions[i] = create(sizes[i][0]));
		size_t size = region_size(regions[i]);

		CU_ASSERT_EQUAL(size, sizes[i][1]);
		CU_ASSERT_EQUAL((uintptr_t)base % REGION_CHUNK, 0);
		CU_ASSERT_EQUAL(resident_pages(base, size < M ? size : M), 0);
		CU_ASSERT(all_bytes(base, 0, PAGE));
		CU_ASSERT(all_bytes(base + size - PAGE, 0, PAGE));
		base[0] = base[size - 1] = 1;
	}
	for (size_t i = 0; i < array_size(sizes); i++)
		region_destroy(regions[i]);
	region_destroy(NULL);
}

static void is_found_by_its_addresses_only(void)
{
	static const size_t sizes[] = { PAGE, REGION_CHUNK, 3 * REGION_CHUNK + 5 * PAGE };
	struct region *regions[array_size(sizes)];
	uint8_t *gone;
	int on_stack;

	for (size_t i = 0; i < array_size(sizes); i++)
		regions[i] = create(sizes[i]);
	for (size_t i = 0; i < array_size(sizes); i++) {
		uint8_t *base = region_base(regions[i]);

		for (size_t at = 0; at < sizes[i]; at += PAGE)
			CU_ASSERT_PTR_EQUAL(region_of(base + at), regions[i]);
		CU_ASSERT_PTR_EQUAL(region_of(base + sizes[i] - 1), regions[i]);
		CU_ASSERT_PTR_NOT_EQUAL(region_of(base + sizes[i]), regions[i]);
		CU_ASSERT_PTR_NOT_EQUAL(region_of(base - 1), regions[i]);
	}
	CU_ASSERT_PTR_NULL(region_of(region_base(regions[0]) + PAGE));
	CU_ASSERT_PTR_NULL(region_of(region_base(regions[2]) + sizes[2]));
	CU_ASSERT_PTR_NULL(region_of(NULL));
	CU_ASSERT_PTR_NULL(region_of(&on_stack));
	CU_ASSERT_PTR_NULL(region_of((void *)is_found_by_its_addresses_only));
	CU_ASSERT_PTR_NULL(region_of((void *)UINTPTR_MAX));
	CU_ASSERT_PTR_NULL(region_of((void *)((uintptr_t)1 << REGION_ADDRESS_BITS)));
	gone = region_base(regions[1]);
	for (size_t i = 0; i < array_size(sizes); i++)
		region_destroy(regions[i]);
	CU_ASSERT_PTR_NULL(region_of(gone));
}

/* No other memory gets an address in a chunk of a region: what lies behind its end is taken. */
static void shares_no_chunk(void)
{
	struct region *region = create(PAGE);
	uint8_t *behind = region_base(region) + PAGE;
	void *p = mmap(behind, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		       -1, 0);

	CU_ASSERT_PTR_EQUAL(p, MAP_FAILED);
	CU_ASSERT_EQUAL(errno, EEXIST);
	region_destroy(region);
}

static void chunks_end_with_the_region(void)
{
	struct region *region = create(2 * REGION_CHUNK + 3 * PAGE);
	uint8_t *base = region_base(region), *start;
	const struct {
		size_t at, start, len;
	} cases[] = {
		{ 0, 0, REGION_CHUNK },
		{ REGION_CHUNK - 1, 0, REGION_CHUNK },
		{ REGION_CHUNK, REGION_CHUNK, REGION_CHUNK },
		{ 2 * REGION_CHUNK - 1, REGION_CHUNK, REGION_CHUNK },
		{ 2 * REGION_CHUNK, 2 * REGION_CHUNK, 3 * PAGE },
		{ 2 * REGION_CHUNK + 3 * PAGE - 1, 2 * REGION_CHUNK, 3 * PAGE },
	};
	size_t len;

	for (size_t i = 0; i < array_size(cases); i++) {
		region_chunk(region, base + cases[i].at, &start, &len);
		CU_ASSERT_PTR_EQUAL(start, base + cases[i].start);
		CU_ASSERT_EQUAL(len, cases[i].len);
	}
	region_destroy(region);
}

static void discarded_pages_go_back(void)
{
	struct region *region = create(8 * M);
	uint8_t *p = region_base(region);

	memset(p, 0x77, 8 * M);
	CU_ASSERT_EQUAL(resident_pages(p, 8 * M), 2048);
	/* From the middle of a page to the middle of a page. */
	region_discard(region, p + 512, 6 * M);
	CU_ASSERT(resident_pages(p, 8 * M) <= 514);
	CU_ASSERT(all_bytes(p, 0x77, 512));
	CU_ASSERT(all_bytes(p + 512, 0, 6 * M));
	CU_ASSERT(all_bytes(p + 512 + 6 * M, 0x77, 2 * M - 512));
	/* Within one page, across two without a whole one, nothing at all. */
	memset(p, 0x77, 3 * PAGE);
	region_discard(region, p + 1024, 512);
	region_discard(region, p + 2 * PAGE - 512, 1024);
	region_discard(region, p + 3 * PAGE - 1, 0);
	CU_ASSERT(all_bytes(p, 0x77, 1024));
	CU_ASSERT(all_bytes(p + 1024, 0, 512));
	CU_ASSERT(all_bytes(p + 1536, 0x77, 2 * PAGE - 512 - 1536));
	CU_ASSERT(all_bytes(p + 2 * PAGE - 512, 0, 1024));
	CU_ASSERT(all_bytes(p + 2 * PAGE + 512, 0x77, PAGE - 512));
	region_destroy(region);
}

static void pinned_pages_stay(void)
{
	struct region *region = create(8 * M);
	uint8_t *p = region_base(region);

	region_pin(region, p);
	region_pin(region, p + 8 * M - 1); /* the same chunk: it counts */
	for (int pins = 2; pins >= 0; pins--) {
		memset(p, 0x77, 8 * M);
		region_discard(region, p + PAGE / 2, 4 * M);
		CU_ASSERT(all_bytes(p, 0x77, PAGE / 2));
		CU_ASSERT(all_bytes(p + 4 * M + PAGE / 2, 0x77, 4 * M - PAGE / 2));
		if (pins) {
			CU_ASSERT_EQUAL(resident_pages(p, 8 * M), 2048);
			region_unpin(region, p + PAGE * pins);
		} else {
			CU_ASSERT(resident_pages(p, 8 * M) <= 1025);
		}
		CU_ASSERT(all_bytes(p + PAGE / 2, 0, 4 * M));
	}
	region_destroy(region);
}

/* Only the second of three chunks is a device's. */
static void each_chunk_has_its_own_pins(void)
{
	struct region *region = create(2 * REGION_CHUNK + M);
	uint8_t *base = region_base(region), *second = base + REGION_CHUNK;
	uint8_t *third = second + REGION_CHUNK;

	region_pin(region, second);
	memset(second - M, 0x55, 2 * M);
	memset(third - M, 0x55, 2 * M);
	region_discard(region, second - M, REGION_CHUNK + 2 * M);
	CU_ASSERT_EQUAL(resident_pages(second - M, M), 0);
	CU_ASSERT_EQUAL(resident_pages(second, M), M / PAGE);
	CU_ASSERT_EQUAL(resident_pages(third - M, M), M / PAGE);
	CU_ASSERT_EQUAL(resident_pages(third, M), 0);
	CU_ASSERT(all_bytes(second - M, 0, REGION_CHUNK + 2 * M));
	region_unpin(region, third - 1);
	region_destroy(region);
}

/* Locked pages cannot be given back (unless RLIMIT_MEMLOCK forbids to lock any). */
static void locked_pages_are_written(void)
{
	struct region *region = create(M);
	uint8_t *p = region_base(region);
	bool locked = mlock(p, 4 * PAGE) == 0;

	memset(p, 0x11, M);
	region_discard(region, p, M);
	CU_ASSERT(all_bytes(p, 0, M));
	if (locked)
		munlock(p, 4 * PAGE);
	region_destroy(region);
}

/* With huge pages or, where there are none, without. */
static void huge_pages_or_not(void)
{
	struct region *region = region_create(3 * M, true);
	uint8_t *p;
	size_t size;

	CU_ASSERT_PTR_NOT_NULL_FATAL(region);
	p = region_base(region);
	size = region_size(region);
	CU_ASSERT(size == 3 * M || size == 4 * M);
	CU_ASSERT_EQUAL((uintptr_t)p % REGION_CHUNK, 0);
	CU_ASSERT(all_bytes(p, 0, size));
	memset(p, 0x33, size);
	region_discard(region, p + 512, 2 * M);
	CU_ASSERT(all_bytes(p, 0x33, 512));
	CU_ASSERT(all_bytes(p + 512, 0, 2 * M));
	CU_ASSERT(all_bytes(p + 512 + 2 * M, 0x33, size - 512 - 2 * M));
	CU_ASSERT_PTR_EQUAL(region_of(p + size - 1), region);
	CU_ASSERT_PTR_NULL(region_of(p + size));
	region_destroy(region);
}

/* In the child: something else may lie at p by now. The kernel looks, as nothing may lie there. */
static bool child_finds(const uint8_t *p, const void *text, size_t len)
{
	char found[64];
	int fds[2];

	if (pipe(fds))
		return true;
	return write(fds[1], p, len) == (ssize_t)len && read(fds[0], found, len) == (ssize_t)len &&
	       !memcmp(found, text, len);
}

static void a_child_does_not_inherit_it(void)
{
	static const char text[] = "what only the parent has";
	struct region *region = create(PAGE);
	uint8_t *p = region_base(region);
	int status = -1;
	pid_t pid;

	memcpy(p, text, sizeof(text));
	pid = fork();
	if (pid == 0)
		_exit(child_finds(p, text, sizeof(text)));
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	region_destroy(region);
}

static void what_cannot_be_is_an_error(void)
{
	static const struct {
		size_t len;
		int err;
	} cases[] = {
		{ 0, EINVAL },
		{ SIZE_MAX, ENOMEM },
		{ SIZE_MAX - REGION_CHUNK, ENOMEM },
		{ (size_t)1 << REGION_ADDRESS_BITS, ENOMEM },
		{ ((size_t)1 << REGION_ADDRESS_BITS) - 1, ENOMEM },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		for (int huge = 0; huge < 2; huge++) {
			errno = 0;
			CU_ASSERT_PTR_NULL(region_create(cases[i].len, huge));
			CU_ASSERT_EQUAL(errno, cases[i].err);
		}
	}
}

/* One thread has memory pinned while others discard it. */

enum { DISCARDERS = 2, ROUNDS = 200, SHARED_PAGES = 64 };

struct contest {
	struct region *region;
	_Atomic unsigned int discards[DISCARDERS];
	_Atomic bool stop;
};

struct discarder {
	pthread_t thread;
	struct contest *contest;
	unsigned int index;
};

static void *discard_all_the_time(void *arg)
{
	struct discarder *d = arg;
	struct contest *c = d->contest;

	while (!atomic_load(&c->stop)) {
		region_discard(c->region, region_base(c->region), SHARED_PAGES * PAGE);
		atomic_fetch_add(&c->discards[d->index], 1);
		sched_yield();
	}
	return NULL;
}

/* Every discarder begins and ends a discard meanwhile. */
static void let_them_discard(struct contest *c)
{
	for (int i = 0; i < DISCARDERS; i++) {
		unsigned int before = atomic_load(&c->discards[i]);

		while (atomic_load(&c->discards[i]) - before < 2)
			sched_yield();
	}
}

static void a_pin_holds_against_other_threads(void)
{
	struct contest c = { .region = create(SHARED_PAGES * PAGE) };
	uint8_t *p = region_base(c.region);
	struct discarder discarders[DISCARDERS];
	unsigned int lost = 0;

	for (unsigned int i = 0; i < DISCARDERS; i++) {
		discarders[i] = (struct discarder){ .contest = &c, .index = i };
		CU_ASSERT_EQUAL_FATAL(pthread_create(&discarders[i].thread, NULL,
						     discard_all_the_time, &discarders[i]),
				      0);
	}
	for (int round = 0; round < ROUNDS; round++) {
		region_pin(c.region, p);
		for (size_t at = 0; at < SHARED_PAGES; at++)
			p[at * PAGE] = 1;
		/* From here on only a discard could take a page away. */
		if (round % 20 == 0)
			let_them_discard(&c);
		lost += resident_pages(p, SHARED_PAGES * PAGE) != SHARED_PAGES;
		region_unpin(c.region, p);
	}
	CU_ASSERT_EQUAL(lost, 0);
	let_them_discard(&c);
	atomic_store(&c.stop, true);
	for (int i = 0; i < DISCARDERS; i++)
		pthread_join(discarders[i].thread, NULL);
	CU_ASSERT(all_bytes(p, 0, SHARED_PAGES * PAGE));
	region_destroy(c.region);
}

/* Regions come and go in one thread while another looks up memory that is none of them. */

static void *come_and_go(void *arg)
{
	_Atomic bool *stop = arg;

	for (int i = 0; i < 500; i++) {
		struct region *region = region_create(PAGE + (size_t)(i % 3) * REGION_CHUNK, false);

		if (!region)
			break;
		region_destroy(region);
	}
	atomic_store(stop, true);
	return NULL;
}

static void look_up_while_regions_come_and_go(void)
{
	struct region *mine = create(REGION_CHUNK + PAGE);
	uint8_t *p = region_base(mine);
	_Atomic bool stop = false;
	unsigned int wrong = 0;
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, come_and_go, &stop), 0);
	while (!atomic_load(&stop)) {
		wrong += region_of(p) != mine;
		wrong += region_of(p + REGION_CHUNK) != mine;
		wrong += region_of(&stop) != NULL;
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(wrong, 0);
	region_destroy(mine);
}

UNIT_MAIN(TEST(lies_at_a_chunk_and_reads_zeros), TEST(is_found_by_its_addresses_only),
	  TEST(shares_no_chunk), TEST(chunks_end_with_the_region), TEST(discarded_pages_go_back),
	  TEST(pinned_pages_stay), TEST(each_chunk_has_its_own_pins),
	  TEST(locked_pages_are_written), TEST(huge_pages_or_not),
	  TEST(a_child_does_not_inherit_it), TEST(what_cannot_be_is_an_error),
	  TEST(a_pin_holds_against_other_threads), TEST(look_up_while_regions_come_and_go));
