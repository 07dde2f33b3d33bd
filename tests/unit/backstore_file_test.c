// SPDX-License-Identifier: BSD-2-Clause
/* Files as disks: opening, identity, I/O through the page cache and past it. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backstore/file.h"
#include "backstore_io.h"

enum { MIB = 1 << 20 };

static struct reactor *r;
static struct slab *slab;
static char folder[256], text[600], path[300];
static _Alignas(4096) uint8_t data[BUF_MAX + 4096], back[BUF_MAX + 4096];

static void begin(void)
{
	struct reactor_config cfg = { .cpu = -1 };
	const char *tmp = getenv("TMPDIR");

	CU_ASSERT_EQUAL_FATAL(slab_create(4 * MIB, &slab), 0);
	cfg.slab = slab;
	CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &r), 0);
	snprintf(folder, sizeof(folder), "%s/riser-file-XXXXXX", tmp ? tmp : "/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk", folder);
}

static void end(void)
{
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
	reactor_destroy(r);
	slab_destroy(slab);
}

static const char *with(const char *options)
{
	snprintf(text, sizeof(text), "%s%s", path, options);
	return text;
}

static void make_file(off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, size), 0);
	close(fd);
}

static int io(struct backstore *bs, enum bs_opcode opcode, uint32_t flags, uint64_t offset,
	      uint64_t len, void *p)
{
	return io_run(r, bs, opcode, flags, offset, len, p);
}

static uint64_t allocated(void)
{
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* Opening */

static void missing_file_is_created_when_it_has_a_size(void)
{
	struct backstore *bs;
	struct stat st;

	begin();
	CU_ASSERT(refuses(path, -ENOENT, "size=10G would create it"));
	CU_ASSERT(refuses(with(",readonly=on,size=1M"), -ENOENT, "does not exist"));
	bs = open_text(with(",size=8M"));
	CU_ASSERT_EQUAL(bs->limits.size, 8 * MIB);
	CU_ASSERT_EQUAL(bs->limits.block_size, 512);
	CU_ASSERT(bs->limits.volatile_cache);
	CU_ASSERT(!bs->limits.lends_pointers);
	CU_ASSERT_STRING_EQUAL(bs->name, path);
	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, 8 * MIB);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	CU_ASSERT(allocated() < 64 * 1024);
	bs_close(bs);
	/* It exists now: the same size is fine, another one is a mistake. */
	bs_close(open_text(with(",size=8M")));
	CU_ASSERT(refuses(with(",size=9M"), -EINVAL, "has 8388608 bytes, not 9437184"));
	end();
}

static void what_cannot_be_a_disk_is_refused(void)
{
	begin();
	CU_ASSERT(refuses("/nowhere/at/all", -ENOENT, "/nowhere/at/all does not exist"));
	CU_ASSERT(refuses("/nowhere/at/all,size=1M", -ENOENT, "cannot be created"));
	CU_ASSERT(refuses(folder, -EINVAL, "neither a regular file nor a block device"));
	CU_ASSERT(refuses("/dev/null", -EINVAL, "neither"));
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	CU_ASSERT(refuses(path, -EINVAL, "neither"));
	unlink(path);
	make_file(511);
	CU_ASSERT(refuses(path, -EINVAL, "less than one block of 512"));
	make_file(4095);
	CU_ASSERT(refuses(with(",block-size=4096"), -EINVAL, "less than one block of 4096"));
	if (geteuid() != 0) {
		CU_ASSERT_EQUAL_FATAL(chmod(path, 0400), 0);
		CU_ASSERT(refuses(path, -EACCES, "readonly=on"));
	}
	end();
}

static void odd_end_is_not_served(void)
{
	struct backstore *bs;

	begin();
	make_file(3 * 4096 + 700);
	bs = open_text(path);
	CU_ASSERT_EQUAL(bs->limits.size, 3 * 4096 + 512);
	bs_close(bs);
	bs = open_text(with(",block-size=4096"));
	CU_ASSERT_EQUAL(bs->limits.size, 3 * 4096);
	CU_ASSERT_EQUAL(bs->limits.block_size, 4096);
	bs_close(bs);
	end();
}

static void the_same_file_is_served_once(void)
{
	struct backstore *bs;
	char alias[sizeof(path) + 8];

	begin();
	make_file(MIB);
	snprintf(alias, sizeof(alias), "%s-alias", path);
	CU_ASSERT_EQUAL_FATAL(link(path, alias), 0);
	bs = open_text(with(",readonly=on"));
	CU_ASSERT(refuses(alias, -EBUSY, "is served already"));
	CU_ASSERT(refuses(with(",readonly=on,serial=X"), -EBUSY, "can be served once"));
	bs_close(bs);
	/* Also when it is behind the fault filter. */
	bs = open_text(with(",fault=read:eio"));
	CU_ASSERT(refuses(alias, -EBUSY, path));
	bs_close(bs);
	bs_close(open_text(path));
	unlink(alias);
	end();
}

static void serial_is_stored_with_the_file(void)
{
	struct backstore *bs;
	char serial[37], stored[64], moved[sizeof(path) + 8];
	ssize_t n;

	begin();
	make_file(MIB);
	if (setxattr(path, "user.riser.test", "x", 1, 0)) {
		end();
		UNIT_SKIP("the scratch folder is on a filesystem without user xattrs");
	}
	bs = open_text(path);
	memcpy(serial, bs->serial, sizeof(serial));
	bs_close(bs);
	CU_ASSERT_EQUAL(strlen(serial), 32);
	n = getxattr(path, "user.riser.serial", stored, sizeof(stored));
	CU_ASSERT(n == 32 && !memcmp(stored, serial, 32));
	snprintf(moved, sizeof(moved), "%s-moved", path);
	CU_ASSERT_EQUAL_FATAL(rename(path, moved), 0);
	bs = open_text(moved);
	CU_ASSERT_STRING_EQUAL(bs->serial, serial);
	/* Another file at the old path is another disk... */
	make_file(MIB);
	bs_close(open_text(path));
	/* ...but a copy with the same serial cannot be told from the first. */
	CU_ASSERT_EQUAL_FATAL(setxattr(path, "user.riser.serial", serial, 32, 0), 0);
	CU_ASSERT(refuses(path, -EEXIST, "serial="));
	bs_close(bs);
	/* What is given wins; rubbish in the attribute is replaced by what the path says. */
	bs = open_text(with(",serial=GIVEN"));
	CU_ASSERT_STRING_EQUAL(bs->serial, "GIVEN");
	bs_close(bs);
	CU_ASSERT_EQUAL_FATAL(setxattr(path, "user.riser.serial", "a\nb", 3, 0), 0);
	bs = open_text(path);
	CU_ASSERT_EQUAL(strlen(bs->serial), 32);
	CU_ASSERT_STRING_NOT_EQUAL(bs->serial, serial);
	bs_close(bs);
	unlink(moved);
	end();
}

static void read_only_serial_comes_from_the_path(void)
{
	struct backstore *bs;
	char serial[37];

	begin();
	make_file(MIB);
	bs = open_text(with(",readonly=on"));
	CU_ASSERT_EQUAL(strlen(bs->serial), 32);
	memcpy(serial, bs->serial, sizeof(serial));
	bs_close(bs);
	CU_ASSERT(getxattr(path, "user.riser.serial", NULL, 0) < 0);
	bs = open_text(with(",readonly=on"));
	CU_ASSERT_STRING_EQUAL(bs->serial, serial);
	bs_close(bs);
	end();
}

/* I/O */

/* False: this filesystem has no O_DIRECT with blocks of 512 bytes. */
static bool direct_works(void)
{
	struct bs_spec spec;
	struct backstore *bs;
	char why[512];

	CU_ASSERT_EQUAL_FATAL(bs_parse(with(",direct=on"), &spec, why, sizeof(why)), 0);
	if (bs_open(&spec, &bs, why, sizeof(why)))
		return false;
	bs_close(bs);
	return true;
}

static void page_cache_keeps_data(void)
{
	struct backstore *bs;

	begin();
	bs = open_text(with(",size=2M"));
	compare_with_model(r, bs, data);
	bs_close(bs);
	end();
}

/* A read from the medium brings what was written last, flushed or not, whatever the alignment. */
static void a_read_from_the_medium_sees_every_write(void)
{
	struct backstore *bs;

	begin();
	bs = open_text(with(",size=2M"));
	for (unsigned int i = 0; i < 64; i++) {
		uint64_t at = i % 3 * 512, len = (1 + i % 17) * 512;

		memset(data, 1 + (int)i, len);
		CU_ASSERT_EQUAL(io(bs, BS_WRITE, i % 2 ? BS_FUA : 0, at, len, data), 0);
		memset(back, 0, len);
		CU_ASSERT_EQUAL(io(bs, BS_READ, BS_FUA, at, len, back + i % 4), 0);
		CU_ASSERT(!memcmp(back + i % 4, data, len));
	}
	make_file(1 << 20);
	CU_ASSERT_EQUAL(io(bs, BS_READ, BS_FUA, (1 << 20) - 4096, 8192, back), -ENODATA);
	bs_close(bs);
	end();
}

static void no_hole_no_zero_range_still_zeroes(void)
{
	struct backstore *bs;
	struct file_disk *disk;

	begin();
	bs = open_text(with(",size=4M"));
	disk = container_of(bs, struct file_disk, bs);
	disk->no_punch_hole = disk->no_zero_range = true;
	compare_with_model(r, bs, data);
	/* More than one piece of zeros. */
	memset(data, 0x99, BUF_MAX);
	for (uint64_t at = 0; at < 4 * MIB; at += BUF_MAX)
		CU_ASSERT_EQUAL(io(bs, BS_WRITE, 0, at, BUF_MAX, data), 0);
	CU_ASSERT_EQUAL(io(bs, BS_ZERO, BS_FUA, 512, 4 * MIB - 1024, NULL), 0);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 0, BUF_MAX, back), 0);
	CU_ASSERT(all_bytes(back, 0x99, 512));
	CU_ASSERT(all_bytes(back + 512, 0, BUF_MAX - 512));
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 3 * MIB, BUF_MAX, back), 0);
	CU_ASSERT(all_bytes(back, 0, BUF_MAX - 512));
	CU_ASSERT(all_bytes(back + BUF_MAX - 512, 0x99, 512));
	bs_close(bs);
	end();
}

static void direct_keeps_data(void)
{
	struct backstore *bs;

	begin();
	make_file(2 * MIB);
	if (!direct_works()) {
		end();
		UNIT_SKIP("no O_DIRECT with blocks of 512 bytes in the scratch folder");
	}
	bs = open_text(with(",direct=on"));
	CU_ASSERT(bs->limits.volatile_cache);
	compare_with_model(r, bs, data);
	bs_close(bs);
	/* Memory that O_DIRECT cannot use. */
	make_file(0);
	make_file(2 * MIB);
	bs = open_text(with(",direct=on"));
	compare_with_model(r, bs, data + 3);
	bs_close(bs);
	end();
}

struct get_buffer {
	struct work work;
	struct buf *b;
	int index;
};

static void get_in_reactor(struct work *work)
{
	struct get_buffer *g = container_of(work, struct get_buffer, work);

	g->b = buf_get(r, BUF_MAX);
	g->index = g->b ? reactor_fixed_buffer(r, g->b->data, g->b->size) : -1;
	reactor_stop(r);
}

static void put_in_reactor(struct work *work)
{
	buf_put(r, container_of(work, struct get_buffer, work)->b);
	reactor_stop(r);
}

static void direct_uses_registered_buffers(void)
{
	struct get_buffer g = { .work.fn = get_in_reactor };
	struct backstore *bs;

	begin();
	make_file(2 * MIB);
	if (!direct_works()) {
		end();
		UNIT_SKIP("no O_DIRECT with blocks of 512 bytes in the scratch folder");
	}
	reactor_post(r, &g.work);
	CU_ASSERT_EQUAL(reactor_run(r), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(g.b);
	if (geteuid() == 0) /* others may not be allowed to lock that much memory */
		CU_ASSERT_EQUAL(g.index, 0);
	bs = open_text(with(",direct=on"));
	compare_with_model(r, bs, g.b->data);
	bs_close(bs);
	g.work.fn = put_in_reactor;
	reactor_post(r, &g.work);
	CU_ASSERT_EQUAL(reactor_run(r), 0);
	end();
}

static void unmap_punches_and_zero_keeps(void)
{
	struct backstore *bs;
	uint64_t before;

	begin();
	bs = open_text(with(",size=4M"));
	if (!bs->limits.can_unmap) {
		bs_close(bs);
		end();
		UNIT_SKIP("the scratch folder's filesystem cannot punch holes");
	}
	memset(data, 0x31, BUF_MAX);
	for (uint64_t at = 0; at < 4 * MIB; at += BUF_MAX)
		CU_ASSERT_EQUAL(io(bs, BS_WRITE, 0, at, BUF_MAX, data), 0);
	CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	before = allocated();
	CU_ASSERT(before >= 4 * MIB);
	CU_ASSERT_EQUAL(io(bs, BS_UNMAP, 0, MIB, 2 * MIB, NULL), 0);
	CU_ASSERT(allocated() <= before - 2 * MIB + 64 * 1024);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 2 * MIB, BUF_MAX, back), 0);
	CU_ASSERT(all_bytes(back, 0, BUF_MAX));
	before = allocated();
	CU_ASSERT_EQUAL(io(bs, BS_ZERO, BS_FUA, 0, MIB, NULL), 0);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 0, BUF_MAX, back), 0);
	CU_ASSERT(all_bytes(back, 0, BUF_MAX));
	/* tmpfs has no other way than a hole. */
	if (!container_of(bs, struct file_disk, bs)->no_zero_range)
		CU_ASSERT(allocated() >= before);
	bs_close(bs);
	end();
}

static void truncated_file_is_an_error_not_zeros(void)
{
	static const char *const options[] = { "", ",direct=on" };

	begin();
	make_file(MIB);
	for (size_t i = 0; i < 1u + direct_works(); i++) {
		struct backstore *bs;

		make_file(MIB);
		bs = open_text(with(options[i]));
		CU_ASSERT_EQUAL_FATAL(truncate(path, 64 * 1024 + 100), 0);
		CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 128 * 1024, 4096, data), -ENODATA);
		/* The end is inside the range. */
		CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 0, 128 * 1024, data), -ENODATA);
		CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 0, 64 * 1024, data), 0);
		bs_close(bs);
	}
	end();
}

static void read_only_disk(void)
{
	struct backstore *bs;

	begin();
	make_file(MIB);
	bs = open_text(with(",readonly=on"));
	CU_ASSERT(bs->limits.read_only);
	CU_ASSERT(!bs->limits.can_unmap);
	CU_ASSERT(!bs->limits.volatile_cache);
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, 0, 0, 512, data), -EROFS);
	CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 0, 4096, data), 0);
	bs_close(bs);
	end();
}

/* Many at once, so that the answers of a turn and of the ring mix. */

enum { DEPTH = 64, ROUNDS = 8 };

struct stream {
	struct bs_req req;
	struct many *many;
	uint8_t memory[4096];
	unsigned int round;
};

struct many {
	struct work work;
	struct backstore *bs;
	struct stream streams[DEPTH];
	unsigned int running, failures;
};

static void stream_next(struct stream *s);

static void stream_done(struct bs_req *req, int res)
{
	struct stream *s = container_of(req, struct stream, req);

	s->many->failures += res != 0;
	if (req->opcode == BS_READ)
		s->many->failures += !all_bytes(s->memory, (uint8_t)s->round, 4096);
	if (++s->round < 2 * ROUNDS)
		stream_next(s);
	else if (--s->many->running == 0)
		reactor_stop(r);
}

/* Writes its number in even rounds, reads it back in odd ones. */
static void stream_next(struct stream *s)
{
	uint64_t index = (uint64_t)(s - s->many->streams);

	s->req = (struct bs_req){
		.opcode = s->round % 2 ? BS_READ : BS_WRITE,
		.flags = index % 8 ? 0 : BS_FUA,
		.offset = (index * ROUNDS + s->round / 2) * 4096,
		.len = 4096,
		.data = s->memory,
		.reactor = r,
		.done = stream_done,
	};
	memset(s->memory, s->round % 2 ? 0xee : (int)s->round + 1, sizeof(s->memory));
	if (bs_submit(s->many->bs, &s->req))
		stream_done(&s->req, s->req.res);
}

static void start_streams(struct work *work)
{
	struct many *m = container_of(work, struct many, work);

	m->running = DEPTH;
	for (int i = 0; i < DEPTH; i++) {
		m->streams[i].many = m;
		stream_next(&m->streams[i]);
	}
}

static void many_at_once(void)
{
	static const char *const options[] = { ",size=2M", ",direct=on" };
	static struct many m;

	begin();
	make_file(2 * MIB);
	for (size_t i = 0; i < 1u + direct_works(); i++) {
		memset(&m, 0, sizeof(m));
		m.work.fn = start_streams;
		m.bs = open_text(with(options[i]));
		reactor_post(r, &m.work);
		CU_ASSERT_EQUAL(reactor_run(r), 0);
		CU_ASSERT_EQUAL(m.failures, 0);
		CU_ASSERT_EQUAL(m.bs->stats[0].reads, DEPTH * ROUNDS);
		CU_ASSERT_EQUAL(m.bs->stats[0].writes, DEPTH * ROUNDS);
		bs_close(m.bs);
	}
	end();
}

/* A filesystem of 1 MiB, seen by this process only. */
static bool mount_small(const char *where)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	return !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("small", where, "tmpfs", 0, "size=1M");
}

/* First of all tests: a new user namespace needs a process without other threads. */
static void no_space_left_is_not_a_lost_write(void)
{
	struct backstore *bs;
	uint64_t at;
	int res = 0;

	begin();
	if (!mount_small(folder)) {
		end();
		UNIT_SKIP("not allowed to mount a tmpfs");
	}
	bs = open_text(with(",size=4M"));
	memset(data, 0x21, BUF_MAX);
	for (at = 0; at < 4 * MIB && !res; at += 256 * 1024)
		res = io(bs, BS_WRITE, 0, at, 256 * 1024, data);
	CU_ASSERT_EQUAL(res, -ENOSPC);
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_FUA, 2 * MIB, BUF_MAX, data), -ENOSPC);
	CU_ASSERT(!bs->flush_failed);
	CU_ASSERT_EQUAL(io(bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	/* UNMAP makes room. tmpfs zeroes by holes as well. */
	CU_ASSERT_EQUAL(io(bs, BS_UNMAP, 0, 0, 256 * 1024, NULL), 0);
	CU_ASSERT_EQUAL(io(bs, BS_ZERO, BS_FUA, 256 * 1024, 64 * 1024, NULL), 0);
	CU_ASSERT_EQUAL(io(bs, BS_READ, 0, 0, 512 * 1024, back), 0);
	CU_ASSERT(all_bytes(back, 0, 320 * 1024));
	CU_ASSERT(all_bytes(back + 320 * 1024, 0x21, 192 * 1024));
	CU_ASSERT_EQUAL(io(bs, BS_WRITE, BS_FUA, 2 * MIB, 64 * 1024, data), 0);
	bs_close(bs);
	unlink(path);
	/* Not plain umount(): the ring may hold the file of a finished request until it is entered again. */
	CU_ASSERT_EQUAL(umount2(folder, MNT_DETACH), 0);
	end();
}

UNIT_MAIN(TEST(no_space_left_is_not_a_lost_write), TEST(missing_file_is_created_when_it_has_a_size),
	  TEST(what_cannot_be_a_disk_is_refused), TEST(odd_end_is_not_served),
	  TEST(the_same_file_is_served_once), TEST(serial_is_stored_with_the_file),
	  TEST(read_only_serial_comes_from_the_path), TEST(page_cache_keeps_data),
	  TEST(a_read_from_the_medium_sees_every_write), TEST(no_hole_no_zero_range_still_zeroes),
	  TEST(direct_keeps_data), TEST(direct_uses_registered_buffers),
	  TEST(unmap_punches_and_zero_keeps), TEST(truncated_file_is_an_error_not_zeros),
	  TEST(read_only_disk), TEST(many_at_once));
