// SPDX-License-Identifier: BSD-2-Clause
/* RAM and null disks, and the checks that every backstore has in front of it. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backstore/driver.h"
#include "backstore_io.h"
#include "core/region.h"

static struct reactor *r;
static uint8_t block[BUF_MAX], other[BUF_MAX];

static struct backstore *begin(const char *text)
{
	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(NULL, &r), 0);
	return open_text(text);
}

static void end(struct backstore *bs)
{
	bs_close(bs);
	reactor_destroy(r);
}

static void limits_say_what_it_is(void)
{
	struct backstore *bs = begin("ram:64M,block-size=4096,readonly=on");

	CU_ASSERT_EQUAL(bs->limits.size, 64 << 20);
	CU_ASSERT_EQUAL(bs->limits.block_size, 4096);
	CU_ASSERT(bs->limits.read_only);
	CU_ASSERT(!bs->limits.volatile_cache);
	CU_ASSERT(bs->limits.can_unmap);
	CU_ASSERT(bs->limits.lends_pointers);
	CU_ASSERT_STRING_EQUAL(bs->name, "ram:64M");
	CU_ASSERT_EQUAL(strlen(bs->serial), 32);
	CU_ASSERT_EQUAL(bs->limits.physical_block_size, 4096);
	end(bs);
	bs_close(NULL);
}

static void physical_blocks_are_as_said(void)
{
	static const char *const disks[] = { "ram:64K,physical-block-size=512",
					     "ram:64K,physical-block-size=512,pi=1",
					     "ram:64K,physical-block-size=512,fault=read:eio" };
	struct backstore *bs;

	for (size_t i = 0; i < array_size(disks); i++) {
		bs = begin(disks[i]);
		CU_ASSERT_EQUAL(bs->limits.physical_block_size, 512);
		end(bs);
	}
	CU_ASSERT(refuses("ram:64K,block-size=4096,physical-block-size=512", -EINVAL,
			  "physical-block-size=512 is less than a block, which has 4096 bytes"));
}

static void new_memory_reads_zeros(void)
{
	struct backstore *bs = begin("ram:8M");

	memset(block, 0xee, sizeof(block));
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 4 << 20, BUF_MAX, block), 0);
	CU_ASSERT(all_bytes(block, 0, BUF_MAX));
	end(bs);
}

static void what_is_written_is_read(void)
{
	struct backstore *bs = begin("ram:8M");

	memset(block, 0x11, 4096);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, 0, 512, 1024, block), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, BS_FUA, (8 << 20) - 512, 512, block), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 0, 2048, other), 0);
	CU_ASSERT(all_bytes(other, 0, 512));
	CU_ASSERT(all_bytes(other + 512, 0x11, 1024));
	CU_ASSERT(all_bytes(other + 1536, 0, 512));
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, (8 << 20) - 512, 512, other), 0);
	CU_ASSERT(all_bytes(other, 0x11, 512));
	end(bs);
}

static unsigned int resident_pages(void *p, size_t len)
{
	static unsigned char map[4096];
	unsigned int n = 0;

	CU_ASSERT_EQUAL_FATAL(mincore(p, len, map), 0);
	for (size_t i = 0; i < len / 4096; i++)
		n += map[i] & 1;
	return n;
}

static void unmapped_memory_is_given_back(void)
{
	static const enum bs_opcode opcodes[] = { BS_UNMAP, BS_ZERO };

	for (size_t i = 0; i < array_size(opcodes); i++) {
		struct backstore *bs = begin("ram:8M");
		uint8_t *p = bs_borrow(bs, 0, 8 << 20);

		memset(p, 0x77, 8 << 20);
		CU_ASSERT_EQUAL(resident_pages(p, 8 << 20), 2048);
		/* From the middle of a page to the middle of a page. */
		CU_ASSERT_EQUAL(io_run(r, bs, opcodes[i], 0, 512, (6 << 20), NULL), 0);
		CU_ASSERT(resident_pages(p, 8 << 20) <= 514);
		CU_ASSERT(all_bytes(p, 0x77, 512));
		CU_ASSERT(all_bytes(p + 512, 0, 6 << 20));
		CU_ASSERT(all_bytes(p + 512 + (6 << 20), 0x77, (2 << 20) - 512));
		/* Within one page, and across two without a whole one. */
		memset(p, 0x77, 3 * 4096);
		CU_ASSERT_EQUAL(io_run(r, bs, opcodes[i], 0, 1024, 512, NULL), 0);
		CU_ASSERT_EQUAL(io_run(r, bs, opcodes[i], 0, 2 * 4096 - 512, 1024, NULL), 0);
		CU_ASSERT(all_bytes(p, 0x77, 1024));
		CU_ASSERT(all_bytes(p + 1024, 0, 512));
		CU_ASSERT(all_bytes(p + 1536, 0x77, 2 * 4096 - 512 - 1536));
		CU_ASSERT(all_bytes(p + 2 * 4096 - 512, 0, 1024));
		CU_ASSERT(all_bytes(p + 2 * 4096 + 512, 0x77, 4096 - 512));
		end(bs);
	}
}

/* A device that has a part of the disk keeps its pages; they read as zeros all the same. */
static void what_a_device_has_is_zeroed_in_place(void)
{
	static const enum bs_opcode opcodes[] = { BS_UNMAP, BS_ZERO };

	for (size_t i = 0; i < array_size(opcodes); i++) {
		struct backstore *bs = begin("ram:8M");
		uint8_t *p = bs_borrow(bs, 0, 8 << 20);
		struct region *region = region_of(p);

		CU_ASSERT_PTR_NOT_NULL_FATAL(region);
		CU_ASSERT_PTR_EQUAL(region_of(p + (8 << 20) - 1), region);
		region_pin(region, p);
		memset(p, 0x77, 8 << 20);
		CU_ASSERT_EQUAL(io_run(r, bs, opcodes[i], 0, 512, 6 << 20, NULL), 0);
		CU_ASSERT_EQUAL(resident_pages(p, 8 << 20), 2048);
		CU_ASSERT(all_bytes(p, 0x77, 512));
		CU_ASSERT(all_bytes(p + 512, 0, 6 << 20));
		CU_ASSERT(all_bytes(p + 512 + (6 << 20), 0x77, (2 << 20) - 512));
		region_unpin(region, p);
		end(bs);
	}
}

static void zeros_are_a_region(void)
{
	const uint8_t *zeros = bs_zeros();
	struct region *region = region_of(zeros);

	CU_ASSERT_PTR_NOT_NULL_FATAL(zeros);
	CU_ASSERT_PTR_NOT_NULL_FATAL(region);
	CU_ASSERT_PTR_EQUAL(region_of(zeros + BUF_MAX - 1), region);
	CU_ASSERT_PTR_EQUAL(bs_zeros(), zeros);
	CU_ASSERT(all_bytes(zeros, 0, BUF_MAX));
}

static void borrowed_pointer_is_the_disk(void)
{
	struct backstore *bs = begin("ram:8M");
	uint8_t *p = bs_borrow(bs, 4096, 4096);

	memset(block, 0x42, 4096);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, 0, 4096, 4096, block), 0);
	CU_ASSERT(all_bytes(p, 0x42, 4096));
	CU_ASSERT_EQUAL(r->stats.bytes_copied, 4096);
	/* Writing from it copies nothing. */
	memset(p, 0x43, 4096);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, 0, 4096, 4096, p), 0);
	CU_ASSERT_EQUAL(r->stats.bytes_copied, 4096);
	end(bs);
}

static void null_forgets(void)
{
	struct backstore *bs = begin("null:1T");

	memset(block, 0x42, sizeof(block));
	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, 0, 0, BUF_MAX, block), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 0, BUF_MAX, block), 0);
	CU_ASSERT(all_bytes(block, 0, BUF_MAX));
	CU_ASSERT(all_bytes(bs_borrow(bs, (1ull << 40) - BUF_MAX, BUF_MAX), 0, BUF_MAX));
	/* There are no more zeros than that to lend: a read fetches them piece by piece. */
	CU_ASSERT_PTR_NULL(bs_borrow(bs, 0, BUF_MAX + 512));
	CU_ASSERT_EQUAL(io_run(r, bs, BS_UNMAP, 0, 0, 1ull << 40, NULL), 0);
	CU_ASSERT_EQUAL(r->stats.bytes_copied, 0);
	end(bs);
}

static void read_only_refuses_changes(void)
{
	struct backstore *bs = begin("ram:1M,readonly=on");

	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, 0, 0, 512, block), -EROFS);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_UNMAP, 0, 0, 512, NULL), -EROFS);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_ZERO, 0, 0, 512, NULL), -EROFS);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 0, 512, block), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(bs->stats[0].errors, 3);
	end(bs);
}

static void empty_requests_do_nothing(void)
{
	struct backstore *bs = begin("ram:1M");

	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 1 << 20, 0, NULL), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, BS_FUA, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_UNMAP, 0, 0, 0, NULL), 0);
	end(bs);
}

static void statistics_count(void)
{
	struct backstore *bs = begin("ram:1M");

	io_run(r, bs, BS_READ, 0, 0, 512, block);
	io_run(r, bs, BS_READ, 0, 0, 4096, block);
	io_run(r, bs, BS_WRITE, 0, 0, 1024, block);
	io_run(r, bs, BS_FLUSH, 0, 0, 0, NULL);
	io_run(r, bs, BS_UNMAP, 0, 0, 512, NULL);
	io_run(r, bs, BS_ZERO, 0, 0, 512, NULL);
	CU_ASSERT_EQUAL(bs->stats[0].reads, 2);
	CU_ASSERT_EQUAL(bs->stats[0].read_bytes, 4608);
	CU_ASSERT_EQUAL(bs->stats[0].writes, 1);
	CU_ASSERT_EQUAL(bs->stats[0].write_bytes, 1024);
	CU_ASSERT_EQUAL(bs->stats[0].flushes, 1);
	CU_ASSERT_EQUAL(bs->stats[0].unmaps, 2);
	CU_ASSERT_EQUAL(bs->stats[0].errors, 0);
	end(bs);
}

static void serials_are_stable_and_unique(void)
{
	struct backstore *a = begin("ram:1M"), *b = open_text("ram:1M"), *c = open_text("ram:2M");
	char first[37], second[37];

	CU_ASSERT_STRING_NOT_EQUAL(a->serial, b->serial);
	CU_ASSERT_STRING_NOT_EQUAL(a->serial, c->serial);
	CU_ASSERT_STRING_NOT_EQUAL(b->serial, c->serial);
	memcpy(first, a->serial, sizeof(first));
	memcpy(second, b->serial, sizeof(second));
	bs_close(a);
	bs_close(b);
	bs_close(c);
	a = open_text("ram:1M");
	b = open_text("ram:1M");
	CU_ASSERT_STRING_EQUAL(a->serial, first);
	CU_ASSERT_STRING_EQUAL(b->serial, second);
	bs_close(b);
	b = open_text("ram:3M,serial=MINE,naa=3000000000000001,eui=0000000000000002");
	CU_ASSERT_STRING_EQUAL(b->serial, "MINE");
	CU_ASSERT(refuses("null:1M,serial=MINE", -EEXIST, "ram:3M"));
	CU_ASSERT(refuses("null:1M,naa=3000000000000001", -EEXIST, "ram:3M"));
	CU_ASSERT(refuses("null:1M,eui=0000000000000002", -EEXIST, "ram:3M"));
	bs_close(b);
	end(a);
}

static void impossible_memory_is_refused(void)
{
	CU_ASSERT(refuses("ram:8000000T", -ENOMEM, "cannot map"));
}

UNIT_MAIN(TEST(limits_say_what_it_is), TEST(physical_blocks_are_as_said),
	  TEST(new_memory_reads_zeros), TEST(what_is_written_is_read),
	  TEST(unmapped_memory_is_given_back), TEST(what_a_device_has_is_zeroed_in_place),
	  TEST(zeros_are_a_region), TEST(borrowed_pointer_is_the_disk), TEST(null_forgets),
	  TEST(read_only_refuses_changes), TEST(empty_requests_do_nothing), TEST(statistics_count),
	  TEST(serials_are_stable_and_unique), TEST(impossible_memory_is_refused));
