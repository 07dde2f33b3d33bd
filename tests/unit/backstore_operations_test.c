// SPDX-License-Identifier: BSD-2-Clause
/* What backstores do besides reading and writing: extents, space, copies, erasing, atomic writes,
 * another size. The same on memory and on files, as far as both have it. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backstore/file.h"
#include "backstore_io.h"

enum { KIB = 1024, MIB = 1 << 20 };

static struct reactor *r;
static char folder[256], text[600], path[300];
static _Alignas(4096) uint8_t data[BUF_MAX + 4096], back[BUF_MAX];

static void begin(void)
{
	struct reactor_config cfg = { .cpu = -1 };
	const char *tmp = getenv("TMPDIR");

	CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &r), 0);
	snprintf(folder, sizeof(folder), "%s/riser-operations-XXXXXX", tmp ? tmp : "/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk", folder);
}

static void end(void)
{
	char other[400];

	unlink(path);
	snprintf(other, sizeof(other), "%s.other", path);
	unlink(other);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
	reactor_destroy(r);
}

static struct backstore *open_file(const char *suffix, const char *options)
{
	snprintf(text, sizeof(text), "%s%s%s", path, suffix, options);
	return open_text(text);
}

static int io(struct backstore *bs, enum bs_opcode opcode, uint32_t flags, uint64_t offset,
	      uint64_t len, void *p)
{
	return io_run(r, bs, opcode, flags, offset, len, p);
}

static int copy(struct backstore *to, uint32_t flags, uint64_t offset, uint64_t len,
		struct backstore *from, uint64_t from_offset)
{
	struct io_wait wait = {
		.req = { .opcode = BS_COPY,
			 .flags = flags,
			 .offset = offset,
			 .len = len,
			 .source = from,
			 .source_offset = from_offset,
			 .reactor = r,
			 .done = io_done },
		.work.fn = io_start,
		.bs = to,
		.res = NOT_DONE,
	};

	reactor_post(r, &wait.work);
	CU_ASSERT_EQUAL(reactor_run(r), 0);
	CU_ASSERT_EQUAL(wait.calls, 1);
	return wait.res;
}

/* Length of the extent at offset; negative: a hole. 0 after an error, which is in *res. */
static int64_t extent(struct backstore *bs, uint64_t offset, uint64_t len, int *res)
{
	struct io_wait wait;

	io_submit(&wait, r, bs, BS_EXTENT, 0, offset, len, NULL);
	*res = wait.res;
	if (wait.res)
		return 0;
	return wait.req.extent.mapped ? (int64_t)wait.req.extent.len
				      : -(int64_t)wait.req.extent.len;
}

static int space(struct backstore *bs, uint64_t *used, uint64_t *available)
{
	struct io_wait wait;

	io_submit(&wait, r, bs, BS_SPACE, 0, 0, 0, NULL);
	*used = wait.req.space.used;
	*available = wait.req.space.available;
	return wait.res;
}

/* Bytes that tell where they are. */
static void fill(struct backstore *bs, uint64_t offset, uint64_t len, uint8_t seed)
{
	uint64_t n;

	for (uint64_t at = offset; at < offset + len; at += n) {
		n = offset + len - at < BUF_MAX ? offset + len - at : BUF_MAX;
		for (uint64_t i = 0; i < n; i++)
			data[i] = (uint8_t)(seed + (at + i) / 512 * 3 + (at + i) % 251);
		CU_ASSERT_EQUAL_FATAL(io(bs, BS_WRITE, 0, at, n, data), 0);
	}
}

static bool same(struct backstore *a, uint64_t a_offset, struct backstore *b, uint64_t b_offset,
		 uint64_t len)
{
	uint64_t n;

	for (uint64_t at = 0; at < len; at += n) {
		n = len - at < BUF_MAX ? len - at : BUF_MAX;
		if (io(a, BS_READ, 0, a_offset + at, n, data) ||
		    io(b, BS_READ, 0, b_offset + at, n, back) || memcmp(data, back, n))
			return false;
	}
	return true;
}

static bool zeros(struct backstore *bs, uint64_t offset, uint64_t len)
{
	memset(data, 0xee, len);
	return !io(bs, BS_READ, 0, offset, len, data) && all_bytes(data, 0, len);
}

/* Extents */

static void memory_knows_what_was_never_written(void)
{
	struct backstore *bs;
	int res;

	begin();
	bs = open_text("ram:64M");
	CU_ASSERT(bs->limits.can_report_extents);
	/* One look covers 8 MiB. */
	CU_ASSERT_EQUAL(extent(bs, 0, 64 * MIB, &res), -8 * MIB);
	fill(bs, 40 * MIB, 64 * KIB, 1);
	CU_ASSERT_EQUAL(extent(bs, 36 * MIB, 28 * MIB, &res), -4 * MIB);
	/* Reading does not give it space. */
	CU_ASSERT(zeros(bs, 16 * MIB, MIB));
	CU_ASSERT_EQUAL(extent(bs, 16 * MIB, MIB, &res), -MIB);
	CU_ASSERT(extent(bs, 40 * MIB, 24 * MIB, &res) >= 64 * KIB);
	CU_ASSERT_EQUAL(extent(bs, 40 * MIB + 512, 1024, &res), 1024);
	CU_ASSERT_EQUAL(io(bs, BS_UNMAP, 0, 40 * MIB, 2 * MIB, NULL), 0);
	CU_ASSERT_EQUAL(extent(bs, 40 * MIB, 4096, &res), -4096);
	CU_ASSERT_EQUAL(res, 0);
	bs_close(bs);
	bs = open_text("null:1T");
	CU_ASSERT_EQUAL(extent(bs, 512, 1ll << 39, &res), -(1ll << 39));
	bs_close(bs);
	end();
}

static void files_have_holes(void)
{
	struct backstore *bs;
	int res;

	begin();
	bs = open_file("", ",size=4M");
	CU_ASSERT(bs->limits.can_report_extents);
	CU_ASSERT_EQUAL(extent(bs, 0, 4 * MIB, &res), -4 * MIB);
	fill(bs, MIB, 64 * KIB, 1);
	CU_ASSERT_EQUAL(extent(bs, 0, 4 * MIB, &res), -MIB);
	CU_ASSERT_EQUAL(extent(bs, 0, 512, &res), -512);
	CU_ASSERT_EQUAL(extent(bs, MIB, 3 * MIB, &res), 64 * KIB);
	CU_ASSERT_EQUAL(extent(bs, MIB + 512, 1024, &res), 1024);
	CU_ASSERT_EQUAL(extent(bs, MIB + 64 * KIB, MIB, &res), -MIB);
	/* Before anything reaches the disk, and after. */
	CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(extent(bs, MIB, 3 * MIB, &res), 64 * KIB);
	CU_ASSERT_EQUAL(io(bs, BS_UNMAP, BS_FUA, MIB, 32 * KIB, NULL), 0);
	CU_ASSERT_EQUAL(extent(bs, 0, 4 * MIB, &res), -MIB - 32 * KIB);
	CU_ASSERT_EQUAL(res, 0);
	bs_close(bs);
	end();
}

/* Space */

static void space_is_counted(void)
{
	const char *what[] = { "ram:64M", NULL };

	begin();
	for (size_t i = 0; i < array_size(what); i++) {
		struct backstore *bs = what[i] ? open_text(what[i]) : open_file("", ",size=64M");
		uint64_t before, used, available;

		CU_ASSERT(bs->limits.can_report_space);
		CU_ASSERT_EQUAL(space(bs, &before, &available), 0);
		CU_ASSERT(available > 0);
		fill(bs, 8 * MIB, 2 * MIB, 1);
		CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), 0);
		CU_ASSERT_EQUAL(space(bs, &used, &available), 0);
		CU_ASSERT(used >= before + 2 * MIB);
		CU_ASSERT_EQUAL(io(bs, BS_UNMAP, BS_FUA, 0, 64 * MIB, NULL), 0);
		CU_ASSERT_EQUAL(space(bs, &used, &available), 0);
		CU_ASSERT(used <= before + 64 * KIB);
		bs_close(bs);
	}
	end();
}

/* Copies */

static void copies_are_whole(void)
{
	enum { LEN = 20 * MIB + 512 };

	begin();
	for (int i = 0; i < 3; i++) {
		static const char *const options[] = { "", ",size=64M", ",size=64M,direct=on" };
		struct backstore *a = i ? open_file("", options[i]) : open_text("ram:64M");
		struct backstore *b = i ? open_file(".other", ",size=64M") : open_text("ram:64M");

		fill(a, 512, LEN, 1);
		fill(b, 0, 32 * MIB, 7);
		CU_ASSERT_EQUAL(copy(b, BS_FUA, MIB, LEN, a, 512), 0);
		CU_ASSERT(same(b, MIB, a, 512, LEN));
		/* Alike within a block of the filesystem, which may share it then. */
		CU_ASSERT_EQUAL(copy(b, 0, 2 * MIB + 1024, LEN, a, 1024), 0);
		CU_ASSERT(same(b, 2 * MIB + 1024, a, 1024, LEN));
		/* Neighbours stay. */
		CU_ASSERT(!same(b, 0, a, 0, 512));
		if (i == 2) { /* nothing is copied to it that way */
			bs_close(a);
			bs_close(b);
			break;
		}
		fill(a, 32 * MIB, 512, 7);
		/* To itself. */
		CU_ASSERT_EQUAL(copy(a, 0, 40 * MIB, 64 * KIB, a, 512), 0);
		CU_ASSERT(same(a, 40 * MIB, a, 512, 64 * KIB));
		/* What was just written and is nowhere but in a cache is copied as well. */
		fill(b, 0, 128 * KIB, 9);
		CU_ASSERT_EQUAL(copy(a, 0, 4096, 64 * KIB, b, 4096), 0);
		CU_ASSERT(same(a, 4096, b, 4096, 64 * KIB));
		bs_close(a);
		bs_close(b);
		if (i == 1)
			unlink(path);
	}
	end();
}

static void copies_between_different_things_are_refused(void)
{
	struct backstore *file, *ram, *null;

	begin();
	file = open_file("", ",size=4M");
	ram = open_text("ram:4M");
	null = open_text("null:4M");
	CU_ASSERT_EQUAL(copy(file, 0, 0, 4096, ram, 0), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(copy(ram, 0, 0, 4096, file, 0), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(copy(ram, 0, 0, 4096, null, 0), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(copy(null, 0, 0, 4096, ram, 0), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(copy(null, 0, 0, 4096, null, 8192), 0);
	/* Behind the end of either. */
	CU_ASSERT_EQUAL(copy(ram, 0, 4 * MIB, 4096, ram, 0), -ENODATA);
	CU_ASSERT_EQUAL(copy(ram, 0, 0, 4096, ram, 4 * MIB - 512), -ENODATA);
	bs_close(file);
	bs_close(ram);
	bs_close(null);
	end();
}

/* Erasing */

static void memory_is_erased_and_files_are_not(void)
{
	struct backstore *bs;

	begin();
	bs = open_text("ram:8M");
	CU_ASSERT(bs->limits.can_erase);
	fill(bs, 0, 4 * MIB, 1);
	CU_ASSERT_EQUAL(io(bs, BS_ERASE, BS_FUA, 512, 3 * MIB, NULL), 0);
	CU_ASSERT(zeros(bs, 512, MIB));
	CU_ASSERT(!zeros(bs, 0, 512));
	CU_ASSERT(!zeros(bs, 3 * MIB + 512, 512));
	bs_close(bs);
	bs = open_file("", ",size=4M");
	CU_ASSERT(!bs->limits.can_erase);
	CU_ASSERT_EQUAL(io(bs, BS_ERASE, 0, 0, 4096, NULL), -EOPNOTSUPP);
	bs_close(bs);
	end();
}

/* Atomic writes */

static void atomic_writes_keep_to_their_limits(void)
{
	begin();
	for (int i = 0; i < 3; i++) {
		static const char *const options[] = { "", ",size=4M", ",size=4M,direct=on" };
		struct backstore *bs = i ? open_file("", options[i]) : open_text("ram:4M");
		uint32_t max = bs->limits.atomic_max, unit = bs->limits.atomic_granularity;

		CU_ASSERT(max >= bs->limits.block_size && max <= BUF_MAX);
		CU_ASSERT(unit >= bs->limits.block_size && max % unit == 0);
		memset(data, 0x5a, sizeof(data));
		CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_ATOMIC, max, max, data), 0);
		CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_ATOMIC | BS_FUA, 0, unit, data), 0);
		CU_ASSERT_EQUAL(io(bs, BS_READ, 0, max, max, back), 0);
		CU_ASSERT(all_bytes(back, 0x5a, max));
		if (max < BUF_MAX)
			CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_ATOMIC, 0, 2 * max, data), -EINVAL);
		if (unit > 512) {
			CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_ATOMIC, 512, unit, data), -EINVAL);
			CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_ATOMIC, 0, 512, data), -EINVAL);
		}
		bs_close(bs);
	}
	end();
}

/* RWF_ATOMIC, on a file whose kernel or drive may not have it: then nothing is written, and nobody
 * falls back to a write that could be torn. The data is not aligned, so it is copied first. */
static void atomic_write_is_whole_or_refused(void)
{
	struct backstore *bs;
	int res;

	begin();
	bs = open_file("", ",size=1M,direct=on");
	fill(bs, 0, 64 * KIB, 1);
	container_of(bs, struct file_disk, bs)->atomic_unit = 4096;
	bs->limits.atomic_max = bs->limits.atomic_granularity = 4096;
	memset(data, 0x5a, sizeof(data));
	res = io(bs, BS_WRITE, BS_ATOMIC, 8192, 4096, data + 1);
	CU_ASSERT(res == 0 || res == -EOPNOTSUPP || res == -EINVAL);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 8192, 4096, back), 0);
	CU_ASSERT_EQUAL(all_bytes(back, 0x5a, 4096), res == 0);
	for (int i = 0; i < 4096 && res; i++)
		CU_ASSERT_EQUAL_FATAL(back[i],
				      (uint8_t)(1 + (8192 + i) / 512 * 3 + (8192 + i) % 251));
	bs_close(bs);
	end();
}

/* Through the page cache a copy would write back what neighbours in its pages were, over what O_DIRECT
 * has written meanwhile. */
static void copies_to_direct_disks_do_not_meet_the_page_cache(void)
{
	struct backstore *direct, *cached;

	begin();
	direct = open_file("", ",size=64M,direct=on");
	cached = open_file(".other", ",size=64M");
	fill(cached, 0, MIB, 1);
	fill(direct, 0, MIB, 7);
	CU_ASSERT_EQUAL(copy(direct, 0, MIB + 512, 512, cached, 512), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(copy(direct, 0, MIB + 512, 512, direct, 512), -EOPNOTSUPP);
	CU_ASSERT(zeros(direct, MIB, 4096));
	/* Whole blocks may be shared, where the filesystem can. */
	switch (copy(direct, 0, MIB, MIB, cached, 0)) {
	case 0: CU_ASSERT(same(direct, MIB, cached, 0, MIB)); break;
	case -EOPNOTSUPP: CU_ASSERT(zeros(direct, MIB, MIB)); break;
	default: CU_FAIL("copy to a direct disk");
	}
	bs_close(direct);
	bs_close(cached);
	end();
}

static bool in_page_cache(const struct backstore *bs, uint64_t offset, bool *tells)
{
	enum { TMPFS = 0x01021994 };
	const struct file_disk *disk = container_of(bs, struct file_disk, bs);
	unsigned char page = 1;
	struct statfs fs;
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, disk->second_fd, (off_t)offset);

	CU_ASSERT_FATAL(p != MAP_FAILED);
	CU_ASSERT_EQUAL(mincore(p, 4096, &page), 0);
	munmap(p, 4096);
	/* Where the page cache is all there is, and where there is no way past it. */
	*tells = !fstatfs(disk->fd, &fs) && fs.f_type != TMPFS && disk->medium_fd >= 0;
	return page & 1;
}

/* A page of the cache may change while it is on its way to the disk. */
static void atomic_writes_go_past_the_page_cache(void)
{
	struct backstore *bs;
	bool tells;

	begin();
	bs = open_file("", ",size=1M,block-size=4096");
	fill(bs, 0, 64 * KIB, 1);
	CU_ASSERT(in_page_cache(bs, 8192, &tells));
	memset(data, 0x5a, sizeof(data));
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_ATOMIC, 8192, 4096, data + i), 0);
		CU_ASSERT(!in_page_cache(bs, 8192, &tells) || !tells);
		CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 8192, 4096, back), 0);
		CU_ASSERT(all_bytes(back, 0x5a, 4096));
		CU_ASSERT_EQUAL(io(bs, BS_WRITE, 0, 8192, 4096, data), 0);
	}
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_ATOMIC | BS_FUA, 0, 4096, data + 512), 0);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 0, 8192, back), 0);
	CU_ASSERT(all_bytes(back, 0x5a, 4096));
	CU_ASSERT_EQUAL(back[4096], (uint8_t)(1 + 8 * 3 + 4096 % 251));
	bs_close(bs);
	end();
}

/* Another size */

static off_t file_size(void)
{
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	return st.st_size;
}

static void resize_follows_the_file(void)
{
	struct backstore *bs;

	begin();
	bs = open_file("", ",size=4M");
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(bs->limits.size, 4 * MIB);
	CU_ASSERT_EQUAL(truncate(path, 8 * MIB + 100), 0);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 4 * MIB, 512, back), -ENODATA);
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(bs->limits.size, 8 * MIB);
	fill(bs, 7 * MIB, MIB, 1);
	CU_ASSERT_EQUAL(truncate(path, MIB), 0);
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(bs->limits.size, MIB);
	/* Nothing makes it grow again. */
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, 0, 7 * MIB, 512, data), -ENODATA);
	CU_ASSERT_EQUAL(io(bs, BS_ZERO, 0, MIB - 512, 1024, NULL), -ENODATA);
	CU_ASSERT_EQUAL(file_size(), MIB);
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, 0, MIB - 512, 512, data), 0);
	CU_ASSERT_EQUAL(truncate(path, 100), 0);
	for (int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(bs_resize(bs), -ENODATA);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 0, 512, back), -ENODATA);
	CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	bs_close(bs);
	bs = open_text("ram:1M");
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(bs->limits.size, MIB);
	bs_close(bs);
	bs = open_file(".other", ",size=1M,fault=read:delay=1us");
	snprintf(text, sizeof(text), "%s.other", path);
	CU_ASSERT_EQUAL(truncate(text, 2 * MIB), 0);
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(bs->limits.size, 2 * MIB);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 2 * MIB - 512, 512, back), 0);
	bs_close(bs);
	end();
}

/* Somebody cuts the file and tells nobody. */
static void cut_file_does_not_grow_again(void)
{
	static const enum bs_opcode writes[] = { BS_WRITE, BS_ZERO, BS_UNMAP };
	struct backstore *bs;
	int res;

	begin();
	bs = open_file("", ",size=8M");
	fill(bs, 0, 8 * MIB, 1);
	CU_ASSERT_EQUAL(truncate(path, 4 * MIB), 0);
	CU_ASSERT_EQUAL(extent(bs, 6 * MIB, 4096, &res), 0);
	CU_ASSERT_EQUAL(res, -ENODATA);
	/* Whoever finds that out, writes know it from then on. */
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, 0, 6 * MIB, 4096, data), -ENODATA);
	CU_ASSERT_EQUAL(file_size(), 4 * MIB);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 6 * MIB, 4096, back), -ENODATA);
	for (size_t i = 0; i < array_size(writes); i++) {
		CU_ASSERT_EQUAL(io(bs, writes[i], 0, 6 * MIB, 4096, data), -ENODATA);
		CU_ASSERT_EQUAL(io(bs, writes[i], BS_FUA, 4 * MIB - 512, 1024, data), -ENODATA);
		CU_ASSERT_EQUAL(io(bs, writes[i], 0, 0, 4096, data), 0);
	}
	CU_ASSERT_EQUAL(copy(bs, 0, 6 * MIB, 4096, bs, 0), -ENODATA);
	CU_ASSERT_EQUAL(copy(bs, 0, 0, 4096, bs, 6 * MIB), -ENODATA);
	CU_ASSERT_EQUAL(file_size(), 4 * MIB);
	/* They were refused, not lost. */
	CU_ASSERT(!bs->flush_failed);
	CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	bs_close(bs);
	end();
}

/* Failures */

static void rules_name_every_operation(void)
{
	struct backstore *bs;
	uint64_t used, available;
	int res;

	begin();
	bs = open_text("ram:4M,fault=copy:eio:once;extent:enodata:once;space:eio:once;"
		       "erase:eio:once;unmap:eio:lba=8-15");
	CU_ASSERT_EQUAL(copy(bs, 0, 0, 4096, bs, 8192), -EIO);
	fill(bs, 8192, 4096, 1);
	CU_ASSERT_EQUAL(copy(bs, 0, 0, 4096, bs, 8192), 0);
	CU_ASSERT(same(bs, 0, bs, 8192, 4096));
	CU_ASSERT_EQUAL(extent(bs, 0, 4096, &res), 0);
	CU_ASSERT_EQUAL(res, -ENODATA);
	CU_ASSERT_EQUAL(extent(bs, 0, 4096, &res), 4096);
	CU_ASSERT_EQUAL(space(bs, &used, &available), -EIO);
	CU_ASSERT_EQUAL(space(bs, &used, &available), 0);
	CU_ASSERT(used >= 4096);
	CU_ASSERT_EQUAL(io(bs, BS_ERASE, 0, 0, 4096, NULL), -EIO);
	CU_ASSERT_EQUAL(io(bs, BS_ERASE, 0, 0, 4096, NULL), 0);
	CU_ASSERT(!bs->flush_failed);
	/* Unmapping that should have been durable: nobody knows what is on the medium. */
	CU_ASSERT_EQUAL(io(bs, BS_UNMAP, BS_FUA, 4096, 4096, NULL), -EIO);
	CU_ASSERT(bs->flush_failed);
	CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), -EIO);
	bs_close(bs);
	end();
}

/* A write that was refused before it began loses nothing that was acknowledged. */
static void what_was_not_begun_is_not_lost(void)
{
	struct backstore *bs;

	begin();
	bs = open_text("ram:4M,fault=write:enomem:once");
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_FUA, 0, 512, data), -ENOMEM);
	CU_ASSERT(!bs->flush_failed);
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_FUA, 0, 512, data), 0);
	CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	bs_close(bs);
	end();
}

/* UNMAP may name gigabytes: others run in between. */
static void memory_is_given_back_in_pieces(void)
{
	static const enum bs_opcode opcodes[] = { BS_UNMAP, BS_ZERO, BS_ERASE };
	struct backstore *bs;

	begin();
	reactor_destroy(r);
	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(NULL, &r), 0);
	bs = open_text("ram:256M");
	for (size_t i = 0; i < array_size(opcodes); i++) {
		struct io_wait wait;
		unsigned int turns = 0;

		fill(bs, 0, MIB, 1);
		fill(bs, 199 * MIB, MIB, 1);
		io_submit(&wait, r, bs, opcodes[i], BS_FUA, 512, 200 * MIB - 1024, NULL);
		CU_ASSERT_EQUAL(wait.res, NOT_DONE);
		while (wait.res == NOT_DONE && reactor_turn(r))
			turns++;
		CU_ASSERT_EQUAL(wait.res, 0);
		CU_ASSERT(turns >= 6);
		CU_ASSERT(zeros(bs, 512, MIB));
		CU_ASSERT(zeros(bs, 199 * MIB, MIB - 512));
		CU_ASSERT(!zeros(bs, 200 * MIB - 512, 512));
		CU_ASSERT(!zeros(bs, 0, 512));
	}
	bs_close(bs);
	end();
}

UNIT_MAIN(TEST(memory_knows_what_was_never_written), TEST(files_have_holes), TEST(space_is_counted),
	  TEST(copies_are_whole), TEST(copies_between_different_things_are_refused),
	  TEST(memory_is_erased_and_files_are_not), TEST(atomic_writes_keep_to_their_limits),
	  TEST(atomic_write_is_whole_or_refused), TEST(atomic_writes_go_past_the_page_cache),
	  TEST(resize_follows_the_file), TEST(copies_to_direct_disks_do_not_meet_the_page_cache),
	  TEST(cut_file_does_not_grow_again), TEST(rules_name_every_operation),
	  TEST(what_was_not_begun_is_not_lost), TEST(memory_is_given_back_in_pieces));
