// SPDX-License-Identifier: BSD-2-Clause
/* UNMAP and WRITE SAME. Reliability 3.8, S6 and S7. */
#include "scsi_port.h"

/* --- UNMAP */

enum { LIST_MAX = 8 + 16 * 300 };

struct list_spec {
	uint16_t list_len; /* PARAMETER LIST LENGTH */
	uint16_t data_len, descriptors_len; /* header fields */
};

static uint32_t unmap(struct world *w, struct list_spec spec, uint32_t edtl, const uint8_t *list)
{
	struct cdb cdb = { { CDB_UNMAP } };
	uint8_t bytes[65536] = { 0 };

	put16(cdb.b + 7, spec.list_len);
	if (list)
		memcpy(bytes, list, LIST_MAX);
	put16(bytes, spec.data_len);
	put16(bytes + 2, spec.descriptors_len);
	return outcome(w, cdb.b, DIR_WRITE, edtl, bytes);
}

static struct list_spec descriptors(unsigned int n)
{
	return (struct list_spec){ (uint16_t)(8 + 16 * n), (uint16_t)(6 + 16 * n),
				   (uint16_t)(16 * n) };
}

static void set_range(uint8_t *list, unsigned int i, uint64_t lba, uint32_t blocks)
{
	put64(list + 8 + 16 * i, lba);
	put32(list + 8 + 16 * i + 8, blocks);
}

static bool zeros(const struct world *w, uint64_t lba, uint64_t blocks)
{
	const uint8_t *p = w->disk.bytes + lba * 512;

	return p[0] == 0 && !memcmp(p, p + 1, blocks * 512 - 1);
}

static void ranges_are_unmapped(void)
{
	uint8_t list[LIST_MAX] = { 0 }, before[512];
	struct world w;

	world_create(&w);
	memcpy(before, w.disk.bytes + 9 * 512, 512);
	set_range(list, 0, 10, 5);
	set_range(list, 1, 3, 0);
	set_range(list, 2, 12, 8); /* overlaps */
	set_range(list, 3, DISK_BLOCKS - 1, 1);
	CU_ASSERT_EQUAL(unmap(&w, descriptors(4), 8 + 64, list), 0);
	CU_ASSERT(zeros(&w, 10, 10));
	CU_ASSERT(zeros(&w, DISK_BLOCKS - 1, 1));
	CU_ASSERT(!memcmp(w.disk.bytes + 9 * 512, before, 512));
	CU_ASSERT(!zeros(&w, 20, 1));
	CU_ASSERT_EQUAL(w.disk.requests, 3);
	world_destroy(&w);
}

static void ranges_of_a_slow_disk_are_unmapped(void)
{
	uint8_t list[LIST_MAX] = { 0 };
	struct cdb cdb = { { CDB_UNMAP } };
	struct command c;
	struct world w;

	world_create(&w);
	put16(cdb.b + 7, 8 + 32);
	put16(list, 6 + 32);
	put16(list + 2, 32);
	set_range(list, 0, 10, 5);
	set_range(list, 1, 100, 5);
	w.disk.hold = true;
	command_init(&w, &c, cdb.b, DIR_WRITE, 8 + 32, list);
	command_immediate(&c, 8 + 32, 4096);
	command_submit(&c);
	disk_release(&w.disk);
	CU_ASSERT_EQUAL(c.ends, 0);
	disk_release(&w.disk);
	ASSERT_GOOD(&c);
	CU_ASSERT(zeros(&w, 10, 5) && zeros(&w, 100, 5));
	command_free(&c);
	world_destroy(&w);
}

static void unmap_lists_that_are_wrong(void)
{
	static const struct {
		struct list_spec spec;
		uint32_t edtl, sense;
	} rows[] = {
		{ { 0, 0, 0 }, 0, 0 },
		{ { 1, 0, 0 }, 1, SENSE_LIST_LENGTH },
		{ { 7, 5, 0 }, 7, SENSE_LIST_LENGTH },
		{ { 8, 6, 0 }, 8, 0 },
		{ { 8, 7, 0 }, 8, SENSE_LIST_LENGTH },
		{ { 8, 6, 16 }, 8, SENSE_LIST_LENGTH },
		{ { 24, 22, 17 }, 24, SENSE_LIST_LENGTH },
		{ { 24, 0xffff, 0xffff }, 24, SENSE_LIST_LENGTH },
		{ { 24, 22, 16 }, 8, SENSE_LIST_LENGTH }, /* the data did not come */
		{ { 24, 22, 16 }, 0, SENSE_LIST_LENGTH },
		{ { 31, 29, 23 }, 31, 0 }, /* the tail of a descriptor is ignored */
		{ { 24, 22, 15 }, 24, 0 },
		{ { 8 + 16 * 256, 6 + 16 * 256, 16 * 256 }, 8 + 16 * 256, 0 },
		{ { 8 + 16 * 257, 6 + 16 * 257, 16 * 257 },
		  8 + 16 * 257,
		  SENSE_INVALID_LIST_FIELD },
		{ { 0xffff, 0xfffd, 0xfff7 }, 0xffff, SENSE_INVALID_LIST_FIELD },
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++)
		CU_ASSERT_EQUAL(unmap(&w, rows[i].spec, rows[i].edtl, NULL), rows[i].sense);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

/* One bad range: nothing is unmapped at all. */
static void unmap_ranges_that_are_wrong(void)
{
	static const struct {
		uint64_t lba;
		uint32_t blocks, sense;
	} rows[] = {
		{ DISK_BLOCKS, 1, SENSE_LBA_RANGE },	 { DISK_BLOCKS, 0, 0 },
		{ DISK_BLOCKS + 1, 0, SENSE_LBA_RANGE }, { UINT64_MAX, 1, SENSE_LBA_RANGE },
		{ 0, UINT32_MAX, SENSE_LBA_RANGE },	 { DISK_BLOCKS - 1, 2, SENSE_LBA_RANGE },
	};
	uint8_t list[LIST_MAX] = { 0 };
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		disk_forget(&w.disk);
		set_range(list, 0, 0, 4);
		set_range(list, 1, rows[i].lba, rows[i].blocks);
		CU_ASSERT_EQUAL(unmap(&w, descriptors(2), 40, list), rows[i].sense);
		CU_ASSERT_EQUAL(w.disk.requests, rows[i].sense ? 0 : 1);
	}
	world_destroy(&w);

	world_init(&w, 512);
	w.disk.bs.limits.size = 1ull << 40;
	world_open(&w);
	set_range(list, 0, 0, MAX_UNMAP_BLOCKS);
	set_range(list, 1, 0, 1);
	CU_ASSERT_EQUAL(unmap(&w, descriptors(2), 40, list), SENSE_INVALID_LIST_FIELD);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

static void unmap_that_fails(void)
{
	uint8_t list[LIST_MAX] = { 0 };
	struct world w;

	world_create(&w);
	set_range(list, 0, 0, 1);
	set_range(list, 1, 5, 1);
	w.disk.fail[BS_UNMAP] = -EIO;
	CU_ASSERT_EQUAL(unmap(&w, descriptors(2), 40, list), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(w.disk.requests, 1);
	world_destroy(&w);
}

static void unmapped_and_anchored(void)
{
	uint8_t list[LIST_MAX] = { 0 };
	struct cdb cdb = { { CDB_UNMAP, UNMAP_ANCHOR } };
	struct world w;

	world_create(&w); /* cannot */
	put16(cdb.b + 7, 8 + 16);
	put16(list, 6 + 16);
	put16(list + 2, 16);
	set_range(list, 0, 10, 5);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 24, list), SENSE_INVALID_CDB_FIELD);
	world_destroy(&w);

	world_init(&w, 512);
	w.disk.bs.limits.can_anchor = true;
	world_open(&w);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 24, list), 0);
	CU_ASSERT(zeros(&w, 10, 5) && !zeros(&w, 9, 1) && !zeros(&w, 15, 1));
	CU_ASSERT_EQUAL(w.disk.requests, 1);
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_ZERO);
	CU_ASSERT_EQUAL(w.disk.log[0].flags, BS_ANCHOR);
	/* There is no more space. */
	w.disk.fail[BS_ZERO] = -ENOSPC;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 24, list), SENSE_SPACE_FAILED);
	/* Without the bit it is given back. */
	cdb.b[1] = 0;
	disk_forget(&w.disk);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 24, list), 0);
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_UNMAP);
	CU_ASSERT_EQUAL(w.disk.log[0].flags, 0);
	world_destroy(&w);
}

/* --- WRITE SAME */

enum { NDOB = WRITE_SAME_NDOB, UNMAP = WRITE_SAME_UNMAP, ANCHOR = WRITE_SAME_ANCHOR };

static void write_same_fills_the_range(void)
{
	static const struct {
		uint8_t opcode, flags;
		uint64_t lba;
		uint32_t blocks, immediate;
		uint8_t byte; /* all of the block, or the first one of a series when it is odd */
		enum bs_opcode asked;
	} rows[] = {
		{ CDB_WRITE_SAME_10, 0, 5, 1, 0, 0xaa, BS_WRITE },
		{ CDB_WRITE_SAME_16, 0, 5, 3000, 0, 0xa1, BS_WRITE },
		{ CDB_WRITE_SAME_16, 0, 5, 3000, 512, 0xac, BS_WRITE },
		{ CDB_WRITE_SAME_16, 0, DISK_BLOCKS - 7, 7, 512, 0xad, BS_WRITE },
		{ CDB_WRITE_SAME_10, 0, 0, DISK_BLOCKS, 0, 0, BS_ZERO },
		{ CDB_WRITE_SAME_10, UNMAP, 3, 100, 0, 0, BS_UNMAP },
		{ CDB_WRITE_SAME_10, UNMAP, 3, 100, 0, 0xff, BS_WRITE },
		{ CDB_WRITE_SAME_16, UNMAP, 3, 100, 0, 0, BS_UNMAP },
		{ CDB_WRITE_SAME_16, UNMAP, 3, 100, 512, 0xae, BS_WRITE },
		{ CDB_WRITE_SAME_16, NDOB, 3, 100, 0, 0, BS_ZERO },
		{ CDB_WRITE_SAME_16, NDOB | UNMAP, 3, 100, 0, 0, BS_UNMAP },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_rw(rows[i].opcode, rows[i].flags, rows[i].lba, rows[i].blocks);
		bool no_data = rows[i].opcode == CDB_WRITE_SAME_16 && rows[i].flags & NDOB;
		uint64_t blocks = rows[i].blocks;
		uint8_t data[512], before, after;
		uint64_t end = (rows[i].lba + blocks) * 512;
		struct command c;
		struct world w;

		world_create(&w);
		before = rows[i].lba ? w.disk.bytes[rows[i].lba * 512 - 1] : 0;
		after = rows[i].lba + blocks < DISK_BLOCKS ? w.disk.bytes[end] : 0;
		for (int k = 0; k < 512; k++)
			data[k] = rows[i].byte & 1 ? (uint8_t)(rows[i].byte + k) : rows[i].byte;
		command_init(&w, &c, cdb.b, DIR_WRITE, no_data ? 0 : 512, data);
		if (rows[i].immediate)
			command_immediate(&c, rows[i].immediate, 512);
		command_submit(&c);
		ASSERT_GOOD(&c);
		for (uint64_t b = 0; b < blocks; b++)
			CU_ASSERT(!memcmp(w.disk.bytes + (rows[i].lba + b) * 512, data, 512));
		if (rows[i].lba)
			CU_ASSERT_EQUAL(w.disk.bytes[rows[i].lba * 512 - 1], before);
		if (rows[i].lba + blocks < DISK_BLOCKS)
			CU_ASSERT_EQUAL(w.disk.bytes[end], after);
		CU_ASSERT_EQUAL(w.disk.log[0].opcode, rows[i].asked);
		command_free(&c);
		world_destroy(&w);
	}
}

/* S7. */
static void write_same_that_is_wrong(void)
{
	static const struct {
		uint8_t opcode, flags;
		uint64_t lba;
		uint32_t blocks, edtl, sense;
	} rows[] = {
		{ CDB_WRITE_SAME_10, ANCHOR, 0, 1, 512, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_10, ANCHOR | UNMAP, 0, 1, 512, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_10, 0x02, 0, 1, 512, SENSE_INVALID_CDB_FIELD }, /* LBDATA */
		{ CDB_WRITE_SAME_10, 0x04, 0, 1, 512, SENSE_INVALID_CDB_FIELD }, /* PBDATA */
		{ CDB_WRITE_SAME_16, 0x02, 0, 1, 512, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_16, 0x04, 0, 1, 512, SENSE_INVALID_CDB_FIELD },
		/* WSNZ */
		{ CDB_WRITE_SAME_10, 0, 0, 0, 512, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_16, 0, 0, 0, 512, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_16, NDOB | UNMAP, 7, 0, 0, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_16, ANCHOR | UNMAP, 0, 1, 512, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_10, NDOB, 0, 1, 0, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_16, 0x20, 0, 1, 512, SENSE_INVALID_CDB_FIELD }, /* WRPROTECT */
		{ CDB_WRITE_SAME_16, 0, 0, 1, 0, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_16, 0, 0, 1, 256, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_16, UNMAP, 0, 1, 1024, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_16, NDOB, 0, 1, 512, SENSE_INVALID_CDB_FIELD },
		{ CDB_WRITE_SAME_16, 0, DISK_BLOCKS + 1, 0, 512, SENSE_LBA_RANGE },
		{ CDB_WRITE_SAME_16, 0, UINT64_MAX, 0, 512, SENSE_LBA_RANGE },
		{ CDB_WRITE_SAME_16, 0, 0, UINT32_MAX, 512, SENSE_LBA_RANGE },
		{ CDB_WRITE_SAME_10, 0, DISK_BLOCKS, 1, 512, SENSE_LBA_RANGE },
	};
	uint8_t data[1024] = { 1 };
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_rw(rows[i].opcode, rows[i].flags, rows[i].lba, rows[i].blocks);

		CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, rows[i].edtl, data), rows[i].sense);
	}
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

static void write_same_with_anchor(void)
{
	static const struct {
		uint8_t opcode, flags, byte;
		uint32_t sense;
		enum bs_opcode asked;
		uint32_t with;
	} rows[] = {
		{ CDB_WRITE_SAME_10, ANCHOR, 0, SENSE_INVALID_CDB_FIELD, 0, 0 },
		{ CDB_WRITE_SAME_16, ANCHOR, 0, SENSE_INVALID_CDB_FIELD, 0, 0 },
		{ CDB_WRITE_SAME_16, ANCHOR | NDOB, 0, SENSE_INVALID_CDB_FIELD, 0, 0 },
		{ CDB_WRITE_SAME_10, ANCHOR | UNMAP, 0, 0, BS_ZERO, BS_ANCHOR },
		{ CDB_WRITE_SAME_16, ANCHOR | UNMAP, 0, 0, BS_ZERO, BS_ANCHOR },
		{ CDB_WRITE_SAME_16, ANCHOR | UNMAP | NDOB, 0, 0, BS_ZERO, BS_ANCHOR },
		/* Anchored blocks read as zeros. */
		{ CDB_WRITE_SAME_10, ANCHOR | UNMAP, 7, 0, BS_WRITE, 0 },
		{ CDB_WRITE_SAME_16, ANCHOR | UNMAP, 7, 0, BS_WRITE, 0 },
		{ CDB_WRITE_SAME_16, UNMAP, 0, 0, BS_UNMAP, 0 },
		{ CDB_WRITE_SAME_16, 0, 0, 0, BS_ZERO, 0 },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_rw(rows[i].opcode, rows[i].flags, 5, 20);
		bool no_data = rows[i].opcode == CDB_WRITE_SAME_16 && rows[i].flags & NDOB;
		uint8_t data[512];
		struct command c;
		struct world w;

		world_init(&w, 512);
		w.disk.bs.limits.can_anchor = true;
		world_open(&w);
		memset(data, rows[i].byte, sizeof(data));
		command_run(&w, &c, cdb.b, DIR_WRITE, no_data ? 0 : 512, data);
		CU_ASSERT_EQUAL(command_sense(&c), rows[i].sense);
		if (rows[i].sense) {
			CU_ASSERT_EQUAL(w.disk.requests, 0);
		} else {
			CU_ASSERT_EQUAL(w.disk.log[0].opcode, rows[i].asked);
			CU_ASSERT_EQUAL(w.disk.log[0].flags, rows[i].with);
			CU_ASSERT(!memcmp(w.disk.bytes + 24 * 512, data, 512));
		}
		command_free(&c);
		world_destroy(&w);
	}
}

static void write_same_is_limited(void)
{
	static const uint64_t limit = (2ull << 30) / 512;
	struct cdb whole = cdb_rw(CDB_WRITE_SAME_16, NDOB, 0, 0);
	struct cdb more = cdb_rw(CDB_WRITE_SAME_16, NDOB, 0, limit + 1);
	struct cdb most = cdb_rw(CDB_WRITE_SAME_16, NDOB, 0, limit);
	struct command c;
	uint64_t next = 0;
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.size = 1ull << 40;
	world_open(&w);
	CU_ASSERT_EQUAL(outcome(&w, whole.b, DIR_WRITE, 0, NULL), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, more.b, DIR_WRITE, 0, NULL), SENSE_INVALID_CDB_FIELD);
	/* Piece by piece, without gap; the first failure ends it. */
	w.disk.hold = true;
	command_init(&w, &c, most.b, DIR_WRITE, 0, NULL);
	command_submit(&c);
	for (int i = 0; i < 3; i++) {
		struct bs_req *req = w.disk.held[0];

		CU_ASSERT_EQUAL_FATAL(w.disk.held_count, 1);
		CU_ASSERT_EQUAL(req->offset, next);
		next += req->len;
		w.disk.held_count = 0;
		bs_complete(req, i < 2 ? 0 : -ENOSPC);
		world_turn(&w);
	}
	ASSERT_SENSE(&c, SENSE_SPACE_FAILED);
	command_free(&c);
	world_destroy(&w);
}

/* A list as long as it may be, on a disk that answers at once: others run in between. */
static void a_long_list_lets_others_run(void)
{
	uint8_t *list = calloc(1, LIST_MAX);
	struct cdb cdb = { { CDB_UNMAP } };
	struct command c;
	struct world w;

	CU_ASSERT_FATAL(list != NULL);
	world_create(&w);
	put16(cdb.b + 7, descriptors(256).list_len);
	put16(list, descriptors(256).data_len);
	put16(list + 2, descriptors(256).descriptors_len);
	for (unsigned int i = 0; i < 256; i++)
		set_range(list, i, i, 4096); /* 2 MiB */
	command_init(&w, &c, cdb.b, DIR_WRITE, descriptors(256).list_len, list);
	command_immediate(&c, descriptors(256).list_len, 8192);
	scsi_submit(&c.task);
	CU_ASSERT(w.disk.requests <= 8);
	world_turn(&w);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(w.disk.requests, 256);
	CU_ASSERT(zeros(&w, 0, 255 + 4096));
	command_free(&c);
	/* Aborted in between. */
	disk_forget(&w.disk);
	command_init(&w, &c, cdb.b, DIR_WRITE, descriptors(256).list_len, list);
	command_immediate(&c, descriptors(256).list_len, 8192);
	scsi_submit(&c.task);
	scsi_abort(&c.task);
	world_turn(&w);
	CU_ASSERT_EQUAL(c.ends, 1);
	CU_ASSERT(w.disk.requests <= 8);
	command_free(&c);
	free(list);
	world_destroy(&w);
}

/* The block came in a buffer that is larger than what is ever filled with copies of it. */
static void write_same_from_a_big_buffer(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_SAME_16, 0, 3, 4000);
	uint8_t *data = pattern(512, 9);
	struct command c;
	bool right = true;
	struct world w;

	world_create(&w);
	command_init(&w, &c, cdb.b, DIR_WRITE, 512, data);
	command_immediate(&c, 512, BUF_MAX);
	command_submit(&c);
	ASSERT_GOOD(&c);
	for (unsigned int i = 3; i < 4003 && right; i++)
		right = !memcmp(w.disk.bytes + i * 512, data, 512);
	CU_ASSERT(right);
	command_free(&c);
	free(data);
	world_destroy(&w);
}

UNIT_MAIN(TEST(ranges_are_unmapped), TEST(ranges_of_a_slow_disk_are_unmapped),
	  TEST(unmap_lists_that_are_wrong), TEST(unmap_ranges_that_are_wrong),
	  TEST(unmap_that_fails), TEST(unmapped_and_anchored), TEST(write_same_with_anchor),
	  TEST(write_same_fills_the_range), TEST(write_same_that_is_wrong),
	  TEST(write_same_is_limited), TEST(a_long_list_lets_others_run),
	  TEST(write_same_from_a_big_buffer));
