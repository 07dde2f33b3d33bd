// SPDX-License-Identifier: BSD-2-Clause
/*
 * Tuples beside the data: making and checking them (backstore/tuple.c), the file they are in
 * (tuple_store.c), and requests for one range at a time (protection.c).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backstore_io.h"
#include "protect_world.h"

/* SBC's test cases for the CRC, and the usual check value. */
static void crc_known_answers(void)
{
	static const struct {
		uint8_t first, step;
		uint16_t crc;
	} rows[] = { { 0x00, 0, 0x0000 },
		     { 0xff, 0, 0xa293 },
		     { 0x00, 1, 0x0224 },
		     { 0xff, 0xff, 0xa0b7 } };
	uint8_t data[32];

	for (size_t i = 0; i < array_size(rows); i++) {
		for (unsigned int k = 0; k < sizeof(data); k++)
			data[k] = (uint8_t)(rows[i].first + k * rows[i].step);
		CU_ASSERT_EQUAL(pi_guard(data, sizeof(data)), rows[i].crc);
		CU_ASSERT_EQUAL(slow_guard(data, sizeof(data)), rows[i].crc);
	}
	memset(data, 0, sizeof(data));
	data[0] = data[1] = 0xff;
	CU_ASSERT_EQUAL(pi_guard(data, sizeof(data)), 0x21b8);
	CU_ASSERT_EQUAL(pi_guard("123456789", 9), 0xd0db);
}

/* --- The file */

static char folder[64], disk_path[128], tuple_path[128];

static void folder_create(void)
{
	snprintf(folder, sizeof(folder), "/tmp/protection-test.XXXXXX");
	CU_ASSERT_FATAL(mkdtemp(folder) != NULL);
	snprintf(disk_path, sizeof(disk_path), "%s/disk", folder);
	snprintf(tuple_path, sizeof(tuple_path), "%s/tuples", folder);
}

static void folder_remove(void)
{
	unlink(disk_path);
	unlink(tuple_path);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static char why[512];

/* pi-path is tuple_path, unless the options name another one. */
static struct backstore *open_with(const char *what, const char *options)
{
	char text[600];
	struct bs_spec spec;
	struct backstore *bs = NULL;

	snprintf(text, sizeof(text), "%s%s", what, options);
	why[0] = '\0';
	if (bs_parse(text, &spec, why, sizeof(why)) || bs_open(&spec, &bs, why, sizeof(why)))
		return NULL;
	return bs;
}

static struct backstore *open_disk(const char *options)
{
	char text[400];

	snprintf(text, sizeof(text), ",pi-path=%s%s", tuple_path, options);
	return open_with(disk_path, text);
}

static bool refused(const char *options, const char *part)
{
	struct backstore *bs = open_disk(options);
	bool ok = !bs && strstr(why, part);

	if (!ok)
		fprintf(stderr, "%s: opened or '%s'\n", options, why);
	bs_close(bs);
	return ok;
}

static void resize_file(const char *path, off_t size)
{
	CU_ASSERT_EQUAL_FATAL(truncate(path, size), 0);
}

struct rig {
	struct slab *slab;
	struct reactor *reactor;
};

static void rig_create(struct rig *rig)
{
	struct reactor_config cfg = { .cpu = -1 };

	CU_ASSERT_FATAL(slab_create(8 << 20, &rig->slab) == 0);
	cfg.slab = rig->slab;
	CU_ASSERT_FATAL(reactor_create(&cfg, &rig->reactor) == 0);
}

static void rig_destroy(struct rig *rig)
{
	reactor_destroy(rig->reactor);
	slab_destroy(rig->slab);
}

static int run(struct rig *rig, struct backstore *bs, enum bs_opcode opcode, uint64_t block,
	       uint64_t blocks, void *data)
{
	uint32_t size = bs->limits.block_size;

	return io_run(rig->reactor, bs, opcode, 0, block * size, blocks * size, data);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	CU_ASSERT_EQUAL(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void tuples_survive_restart(void)
{
	uint8_t *data = pattern(64 * 4096, 3), *back = malloc(1 << 20);
	struct backstore *bs;
	struct rig rig;

	rig_create(&rig);
	folder_create();
	bs = open_disk(",pi=1,size=1M,block-size=4096");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	CU_ASSERT_EQUAL(bs->limits.protection, 1);
	CU_ASSERT(!bs->limits.lends_pointers);
	CU_ASSERT_STRING_EQUAL(bs->driver->name, "file");
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 0, 64, back), 0); /* nothing was written: escapes */
	CU_ASSERT_EQUAL(run(&rig, bs, BS_WRITE, 7, 64, data), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_FLUSH, 0, 0, NULL), 0);
	bs_close(bs);
	bs = open_disk(",pi=1,block-size=4096");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 7, 64, back), 0);
	CU_ASSERT(!memcmp(data, back, 64 * 4096));
	bs_close(bs);

	flip(disk_path, 20 * 4096 + 99);
	bs = open_disk(",pi=1,block-size=4096");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 20, 1, back), -EBADE);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 19, 1, back), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_WRITE, 20, 1, back), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 20, 1, back), 0);
	/* What is unmapped, and what is zeroed. */
	CU_ASSERT_EQUAL(run(&rig, bs, BS_UNMAP, 0, 256, NULL), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_ZERO, 5, 100, NULL), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 0, 256, back), 0);
	bs_close(bs);
	free(data);
	free(back);
	folder_remove();
	rig_destroy(&rig);
}

static void the_file_belongs_to_one_disk(void)
{
	static const char base[] = ",pi=1,size=64K,serial=one";
	struct backstore *bs, *other;
	char text[512];
	struct rig rig;

	rig_create(&rig);
	folder_create();
	bs = open_disk(base);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	/* In use by another disk. */
	snprintf(text, sizeof(text), "%s/other", folder);
	snprintf(text + 200, 200, ",pi=1,size=64K,serial=two,pi-path=%s", tuple_path);
	other = open_with(text, text + 200);
	CU_ASSERT_PTR_NULL(other);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "served already"));
	bs_close(bs);
	other = open_with(text, text + 200);
	CU_ASSERT_PTR_NULL(other);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "serial one"));
	unlink(text);
	CU_ASSERT(refused(",pi=2,serial=one", "type 1, not 2"));
	CU_ASSERT(refused(",pi=1,serial=one,block-size=4096", "blocks of 512"));
	bs = open_disk(",pi=1,serial=one");
	CU_ASSERT_PTR_NOT_NULL(bs);
	bs_close(bs);
	folder_remove();
	rig_destroy(&rig);
}

static void a_damaged_file_is_refused(void)
{
	struct backstore *bs;

	folder_create();
	bs = open_disk(",pi=3,size=64K,serial=one");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	bs_close(bs);
	for (off_t at = 0; at < 68; at++) {
		flip(tuple_path, at);
		CU_ASSERT(refused(",pi=3,serial=one", "damaged"));
		flip(tuple_path, at);
	}
	resize_file(tuple_path, 4096 + 128 * 8 - 1);
	CU_ASSERT(refused(",pi=3,serial=one", "missing"));
	resize_file(tuple_path, 512);
	CU_ASSERT(refused(",pi=3,serial=one", "missing"));
	resize_file(tuple_path, 0);
	CU_ASSERT(refused(",pi=3,serial=one", "less than one block"));
	unlink(tuple_path);
	CU_ASSERT(refused(",pi=3,serial=one,readonly=on", "does not exist"));
	CU_ASSERT_EQUAL(mkdir(tuple_path, 0700), 0);
	CU_ASSERT(refused(",pi=3,serial=one", "regular file"));
	rmdir(tuple_path);
	folder_remove();
}

/* SIGKILL may come between any two steps of making the file, and of giving it another size. */
static void killed_while_the_size_changes(void)
{
	static const off_t sizes[] = { 4096 + 128 * 8, 8192 + 8, 4096 + 128 * 8 + 1, 20480 };
	uint8_t *data = pattern(128 * 512, 3);
	char unfinished[200];
	struct backstore *bs;
	struct rig rig;
	int fd;

	rig_create(&rig);
	folder_create();
	/* What a process left that did not come to the end. */
	snprintf(unfinished, sizeof(unfinished), "%s.new", tuple_path);
	fd = open(unfinished, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CU_ASSERT_EQUAL(write(fd, "rubbish", 7), 7);
	close(fd);
	bs = open_disk(",pi=1,size=64K,serial=one");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	CU_ASSERT_EQUAL(access(unfinished, F_OK), -1);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_WRITE, 0, 128, data), 0);
	bs_close(bs);
	/* The file has another size than its header says, and the disk perhaps has, too. */
	for (size_t i = 0; i < array_size(sizes); i++) {
		resize_file(tuple_path, sizes[i]);
		resize_file(disk_path, i >= 2 ? 1 << 20 : 64 << 10);
		bs = open_disk(",pi=1,serial=one");
		CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
		CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 0, 128, data), 0);
		CU_ASSERT_EQUAL(run(&rig, bs, BS_WRITE, bs->limits.size / 512 - 1, 1, data), 0);
		bs_close(bs);
	}
	flip(disk_path, 0);
	bs = open_disk(",pi=1,serial=one");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 0, 1, data), -EBADE);
	bs_close(bs);
	free(data);
	folder_remove();
	rig_destroy(&rig);
}

/* It is not found out by waiting for a lock that is one's own. */
static void what_the_daemon_has_itself(void)
{
	struct backstore *bs, *other;
	char text[600];

	folder_create();
	bs = open_disk(",pi=1,size=64K,serial=one");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	other = open_with(tuple_path, "");
	CU_ASSERT_PTR_NULL(other);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "served already"));
	bs_close(bs);
	other = open_with(tuple_path, "");
	CU_ASSERT_PTR_NOT_NULL(other);
	bs_close(other);
	snprintf(text, sizeof(text), ",pi=1,serial=one,pi-path=%s", disk_path);
	other = open_with(disk_path, text);
	CU_ASSERT_PTR_NULL(other);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "the disk itself"));
	folder_remove();
}

static void what_cannot_have_it(void)
{
	folder_create();
	CU_ASSERT_PTR_NULL(open_with("null:1M", ",pi=1"));
	CU_ASSERT_PTR_NULL(open_with("ram:1M", ",pi=4"));
	CU_ASSERT_PTR_NULL(open_with("ram:1M", ",pi=1,pi-path=/tmp/x"));
	CU_ASSERT_PTR_NULL(open_with(disk_path, ",size=64K,pi=1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "pi-path"));
	CU_ASSERT(refused(",size=64K", "without pi"));
	folder_remove();
}

/* Blocks that came have no tuples, whatever was in the file for blocks that had been there before. */
static void the_disk_changes_its_size(void)
{
	uint8_t *data = pattern(128 * 512, 3);
	struct backstore *bs;
	struct rig rig;

	rig_create(&rig);
	folder_create();
	bs = open_disk(",pi=1,size=64K,serial=one");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_WRITE, 0, 128, data), 0);
	bs_close(bs);
	resize_file(disk_path, 32 << 10);
	bs = open_disk(",pi=1,serial=one");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 0, 64, data), 0);
	/* While it is in use. */
	resize_file(disk_path, 1 << 20);
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(bs->limits.size, 1 << 20);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 0, 128, data), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_WRITE, 1920, 128, data), 0);
	resize_file(disk_path, 64 << 10);
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	resize_file(disk_path, 1 << 20);
	CU_ASSERT_EQUAL(bs_resize(bs), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 1920, 128, data), 0);
	bs_close(bs);
	bs = open_disk(",pi=1,serial=one");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	flip(disk_path, 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 0, 1, data), -EBADE);
	bs_close(bs);
	free(data);
	folder_remove();
	rig_destroy(&rig);
}

static void disks_in_memory_and_faults(void)
{
	struct backstore *bs = open_with("ram:1M", ",pi=2,fault=read:eio:lba=9");
	uint8_t data[4096] = { 1 };
	struct rig rig;

	rig_create(&rig);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	CU_ASSERT_EQUAL(bs->limits.atomic_max, 2016 * 512); /* a buffer with tuples */
	CU_ASSERT_EQUAL(run(&rig, bs, BS_WRITE, 8, 8, data), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 0, 8, data), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 8, 1, data), 0);
	CU_ASSERT_EQUAL(run(&rig, bs, BS_READ, 8, 8, data), -EIO);
	bs_close(bs);
	rig_destroy(&rig);
}

/* --- Ranges */

struct pair {
	struct protected p;
	struct io_wait io[4];
};

static void pair_start(struct pair *t, int i, enum bs_opcode opcode, uint64_t block,
		       uint64_t blocks, void *data)
{
	io_submit(&t->io[i], t->p.w.reactor, t->p.bs, opcode, 0, block * 512, blocks * 512, data);
}

/* Lets one hanging request after the other come back until there is none. */
static void pair_finish(struct pair *t)
{
	while (t->p.w.disk.held_count || t->p.tuples.held_count) {
		disk_release(t->p.w.disk.held_count ? &t->p.w.disk : &t->p.tuples);
		world_turn(&t->p.w);
	}
	for (int i = 0; i < 4; i++)
		CU_ASSERT(t->io[i].calls <= 1);
}

static void overlapping_writes_wait(void)
{
	uint8_t *a = pattern(8 * 512, 1), *b = pattern(8 * 512, 99), back[8 * 512];
	struct pair t = { 0 };

	protected_create(&t.p, 1, 512);
	t.p.w.disk.hold = t.p.tuples.hold = true;
	pair_start(&t, 0, BS_WRITE, 0, 8, a);
	pair_start(&t, 1, BS_WRITE, 7, 1, b);
	pair_start(&t, 2, BS_READ, 0, 8, back);
	pair_start(&t, 3, BS_WRITE, 8, 8, b); /* another range */
	CU_ASSERT_EQUAL(t.p.w.disk.held_count, 2);
	disk_release(&t.p.w.disk); /* the first's data; now its tuples */
	world_turn(&t.p.w);
	CU_ASSERT_EQUAL(t.p.w.disk.held_count, 1);
	CU_ASSERT_EQUAL(t.p.tuples.held_count, 1);
	disk_release(&t.p.tuples);
	world_turn(&t.p.w);
	CU_ASSERT_EQUAL(t.io[0].res, 0);
	CU_ASSERT_EQUAL(t.p.w.disk.held_count, 2); /* the second begins, the reader still waits */
	pair_finish(&t);
	CU_ASSERT_EQUAL(t.io[1].res, 0);
	CU_ASSERT_EQUAL(t.io[2].res, 0);
	CU_ASSERT_EQUAL(t.io[3].res, 0);
	CU_ASSERT(!memcmp(back, a, 7 * 512));
	CU_ASSERT(!memcmp(back + 7 * 512, b, 512));
	free(a);
	free(b);
	protected_destroy(&t.p);
}

static void readers_do_not_wait_for_readers(void)
{
	uint8_t back[4][512], *data = pattern(512, 4);
	struct pair t = { 0 };

	protected_create(&t.p, 1, 512);
	t.p.w.disk.hold = true;
	pair_start(&t, 0, BS_READ, 5, 1, back[0]);
	pair_start(&t, 1, BS_READ, 5, 1, back[1]);
	CU_ASSERT_EQUAL(t.p.w.disk.held_count, 2);
	pair_start(&t, 2, BS_UNMAP, 5, 1, NULL); /* waits for both */
	pair_start(&t, 3, BS_READ, 5, 1, back[3]); /* and this one for it: nobody starves */
	CU_ASSERT_EQUAL(t.p.w.disk.held_count, 2);
	pair_finish(&t);
	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(t.io[i].res, 0);
	CU_ASSERT(!memcmp(back[0], back[1], 512));
	CU_ASSERT_EQUAL(back[3][0] | back[3][511], 0);
	free(data);
	protected_destroy(&t.p);
}

/* The next one runs after a request that failed, too. */
static void a_failure_frees_the_range(void)
{
	uint8_t *data = pattern(512, 4);
	struct pair t = { 0 };

	protected_create(&t.p, 1, 512);
	t.p.w.disk.hold = true;
	t.p.w.disk.fail[BS_WRITE] = -EIO;
	pair_start(&t, 0, BS_WRITE, 5, 1, data);
	pair_start(&t, 1, BS_WRITE, 5, 1, data);
	disk_release(&t.p.w.disk);
	CU_ASSERT_EQUAL(t.io[0].res, -EIO);
	world_turn(&t.p.w);
	t.p.w.disk.fail[BS_WRITE] = 0;
	pair_finish(&t);
	CU_ASSERT_EQUAL(t.io[1].res, 0);
	free(data);
	protected_destroy(&t.p);
}

static void flush_is_for_both(void)
{
	struct pair t = { 0 };

	protected_create(&t.p, 1, 512);
	CU_ASSERT_EQUAL(io_run(t.p.w.reactor, t.p.bs, BS_FLUSH, 0, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(t.p.w.disk.log[0].opcode, BS_FLUSH);
	CU_ASSERT_EQUAL(t.p.tuples.log[0].opcode, BS_FLUSH);
	t.p.tuples.fail[BS_FLUSH] = -EIO;
	CU_ASSERT_EQUAL(io_run(t.p.w.reactor, t.p.bs, BS_FLUSH, 0, 0, 0, NULL), -EIO);
	CU_ASSERT(t.p.bs->flush_failed);
	protected_destroy(&t.p);
}

/* --- Reactors side by side */

enum { REGION = 24, MOST = 8, ROUNDS = 20000 };

struct load {
	struct bs_req req;
	struct work work;
	struct backstore *bs;
	uint32_t random;
	unsigned int left, failed;
	uint8_t data[MOST * 512];
};

static void load_next(struct work *work)
{
	struct load *l = container_of(work, struct load, work);
	uint32_t r = l->random = l->random * 1664525 + 1013904223, blocks = 1 + (r >> 16) % MOST;

	if (!l->left--) {
		reactor_stop(l->req.reactor);
		return;
	}
	l->req.opcode = r >> 28 & 1 ? BS_WRITE : BS_READ;
	l->req.offset = (r >> 8) % (REGION - MOST) * 512;
	l->req.len = blocks * 512;
	memset(l->data, (int)(r >> 20), sizeof(l->data));
	if (bs_submit(l->bs, &l->req))
		l->req.done(&l->req, l->req.res);
}

static void load_done(struct bs_req *req, int res)
{
	struct load *l = container_of(req, struct load, req);

	l->failed += res != 0;
	reactor_post(req->reactor, &l->work);
}

/* Whoever writes and reads the same blocks at the same time finds data and tuples of one write. */
static void reactors_side_by_side(void)
{
	struct backstore *bs = open_with("ram:1M", ",pi=1");
	struct reactor *reactors[2];
	struct load load[2] = { 0 };
	struct slab *slab;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	CU_ASSERT_EQUAL_FATAL(slab_create(8 << 20, &slab), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct reactor_config cfg = { .index = i, .cpu = -1, .slab = slab };

		CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &reactors[i]), 0);
		load[i].req.reactor = reactors[i];
		load[i].req.done = load_done;
		load[i].req.data = load[i].data;
		load[i].work.fn = load_next;
		load[i].bs = bs;
		load[i].random = i;
		load[i].left = ROUNDS;
		reactor_post(reactors[i], &load[i].work);
	}
	for (int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(reactor_start(reactors[i]), 0);
	for (int i = 0; i < 2; i++) {
		reactor_join(reactors[i]);
		CU_ASSERT_EQUAL(load[i].failed, 0);
		CU_ASSERT_EQUAL(load[i].left, UINT32_MAX);
	}
	for (int i = 0; i < 2; i++)
		reactor_destroy(reactors[i]);
	bs_close(bs);
	slab_destroy(slab);
}

UNIT_MAIN(TEST(crc_known_answers), TEST(tuples_survive_restart), TEST(the_file_belongs_to_one_disk),
	  TEST(a_damaged_file_is_refused), TEST(killed_while_the_size_changes),
	  TEST(what_the_daemon_has_itself), TEST(what_cannot_have_it),
	  TEST(the_disk_changes_its_size), TEST(disks_in_memory_and_faults),
	  TEST(overlapping_writes_wait), TEST(readers_do_not_wait_for_readers),
	  TEST(a_failure_frees_the_range), TEST(flush_is_for_both), TEST(reactors_side_by_side));
