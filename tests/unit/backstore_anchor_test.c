// SPDX-License-Identifier: BSD-2-Clause
/* BS_ANCHOR: blocks that read as zeros and have space. What the disk says of them, as letters: data, or
 * perhaps (m), space alone (a), nothing (d). */
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backstore_io.h"
#include "protection.h"

enum { KIB = 1024, MIB = 1 << 20 };

static struct reactor *r;
static char folder[256], text[600], path[300];
static _Alignas(4096) uint8_t data[BUF_MAX];

static void begin(void)
{
	struct reactor_config cfg = { .cpu = -1 };
	const char *tmp = getenv("TMPDIR");

	CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &r), 0);
	snprintf(folder, sizeof(folder), "%s/riser-anchor-XXXXXX", tmp ? tmp : "/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk", folder);
	snprintf(text, sizeof(text), "%s,size=4M", path);
}

static void end(void)
{
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
	reactor_destroy(r);
}

static int io(struct backstore *bs, enum bs_opcode opcode, uint32_t flags, uint64_t offset,
	      uint64_t len, void *p)
{
	return io_run(r, bs, opcode, flags, offset, len, p);
}

static void fill(struct backstore *bs, uint64_t offset, uint64_t len, uint8_t byte)
{
	memset(data, byte, len);
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, 0, offset, len, data), 0);
}

static bool zeros(struct backstore *bs, uint64_t offset, uint64_t len)
{
	memset(data, 0xee, len);
	return !io(bs, BS_READ, 0, offset, len, data) && all_bytes(data, 0, len);
}

/* What the disk says of the block at offset. */
static char state_of(struct backstore *bs, uint64_t offset)
{
	struct io_wait wait;

	io_submit(&wait, r, bs, BS_EXTENT, 0, offset, bs->limits.size - offset, NULL);
	if (wait.res || wait.req.extent.len % bs->limits.block_size || !wait.req.extent.len)
		return '!';
	return wait.req.extent.mapped ? 'm' : wait.req.extent.anchored ? 'a' : 'd';
}

static uint64_t used_by(struct backstore *bs)
{
	struct io_wait wait;

	io_submit(&wait, r, bs, BS_SPACE, 0, 0, 0, NULL);
	CU_ASSERT_EQUAL(wait.res, 0);
	return wait.req.space.used;
}

static void anchored_blocks_have_space_and_no_data(void)
{
	struct backstore *bs;
	struct statfs fs;
	uint64_t before;

	begin();
	bs = open_text(text);
	CU_ASSERT_EQUAL(statfs(folder, &fs), 0);
	/* ext4 and XFS do; tmpfs has space without data, but does not tell. */
	if (fs.f_type == 0xef53 || fs.f_type == 0x58465342)
		CU_ASSERT(bs->limits.can_anchor);
	if (!bs->limits.can_anchor) {
		printf("# SKIP this filesystem has no unwritten extents that it tells of\n");
		goto out;
	}
	before = used_by(bs);
	fill(bs, MIB, MIB, 1);
	CU_ASSERT_EQUAL(io(bs, BS_ZERO, BS_ANCHOR, MIB, 2 * MIB, NULL), 0);
	CU_ASSERT(zeros(bs, MIB + 64 * KIB, MIB));
	CU_ASSERT(used_by(bs) >= before + 2 * MIB);
	CU_ASSERT_EQUAL(state_of(bs, 0), 'd');
	CU_ASSERT_EQUAL(state_of(bs, MIB - 512), 'd');
	/* What was read may count as data, and did not for all of it. */
	CU_ASSERT_EQUAL(state_of(bs, 5 * MIB / 2), 'a');
	CU_ASSERT_EQUAL(state_of(bs, 3 * MIB - 512), 'a');
	CU_ASSERT_EQUAL(state_of(bs, 3 * MIB), 'd');
	/* Data in the page cache that no filesystem knows of yet. */
	fill(bs, 5 * MIB / 2, 4 * KIB, 1);
	CU_ASSERT_EQUAL(state_of(bs, 5 * MIB / 2), 'm');
	CU_ASSERT_EQUAL(state_of(bs, 5 * MIB / 2 + 4 * KIB), 'a');
	CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(state_of(bs, 5 * MIB / 2), 'm');
	CU_ASSERT_EQUAL(state_of(bs, 5 * MIB / 2 + 4 * KIB), 'a');
	/* The size is what it was, and the space can be given back. */
	CU_ASSERT_EQUAL(io(bs, BS_ZERO, BS_ANCHOR | BS_FUA, 4 * MIB - 512, 512, NULL), 0);
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(bs->limits.size, 4 * MIB);
	CU_ASSERT_EQUAL(io(bs, BS_UNMAP, 0, 0, 4 * MIB, NULL), 0);
	CU_ASSERT_EQUAL(state_of(bs, 0), 'd');
	CU_ASSERT_EQUAL(state_of(bs, 2 * MIB), 'd');
	CU_ASSERT(used_by(bs) < before + 128 * KIB); /* the map may have grown */
out:
	bs_close(bs);
	end();
}

static void anchored_memory_is_taken(void)
{
	struct backstore *bs;

	begin();
	bs = open_text("ram:16M");
	CU_ASSERT(bs->limits.can_anchor);
	fill(bs, 0, 64 * KIB, 1);
	CU_ASSERT_EQUAL(io(bs, BS_ZERO, BS_ANCHOR, 512, 8 * MIB, NULL), 0);
	CU_ASSERT(!zeros(bs, 0, 512));
	CU_ASSERT(zeros(bs, 512, 64 * KIB));
	CU_ASSERT(used_by(bs) >= 8 * MIB);
	CU_ASSERT_EQUAL(io(bs, BS_UNMAP, 0, 0, 16 * MIB, NULL), 0);
	CU_ASSERT_EQUAL(used_by(bs), 0);
	bs_close(bs);
	end();
}

/* Where blocks have protection information it is all ones, as of unmapped ones (SBC 4.7.3.3). */
static void anchored_blocks_are_not_checked(void)
{
	struct pi_tuple tuples[8];
	struct backstore *bs;

	begin();
	bs = open_text("ram:1M,pi=1");
	CU_ASSERT(bs->limits.can_anchor);
	for (int anchor = 0; anchor < 2; anchor++) {
		struct io_wait wait = {
			.req = { .opcode = BS_READ,
				 .flags = BS_TUPLES,
				 .len = 4096,
				 .data = data,
				 .tuples = tuples,
				 .reactor = r,
				 .done = io_done },
			.work.fn = io_start,
			.bs = bs,
			.res = NOT_DONE,
		};

		fill(bs, 0, 4096, 7);
		CU_ASSERT_EQUAL(io(bs, BS_ZERO, anchor ? BS_ANCHOR : 0, 0, 4096, NULL), 0);
		reactor_post(r, &wait.work);
		CU_ASSERT_EQUAL(reactor_run(r), 0);
		CU_ASSERT_EQUAL(wait.res, 0);
		CU_ASSERT(all_bytes(data, 0, 4096));
		CU_ASSERT_EQUAL(all_bytes(tuples, 0xff, sizeof(tuples)), anchor == 1);
		CU_ASSERT(zeros(bs, 0, 4096));
	}
	bs_close(bs);
	end();
}

UNIT_MAIN(TEST(anchored_blocks_are_not_checked), TEST(anchored_blocks_have_space_and_no_data),
	  TEST(anchored_memory_is_taken));
