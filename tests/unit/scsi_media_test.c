// SPDX-License-Identifier: BSD-2-Clause
/*
 * Commands that write the medium beside WRITE: WRITE AND VERIFY, ORWRITE, WRITE ATOMIC; what
 * is forced without a cache. Reliability 3.8, S1 to S4 and S15.
 */
#include "scsi_media.h"

/* --- WRITE AND VERIFY */

static struct cdb write_and_verify(unsigned int shape, uint8_t check, uint64_t lba, uint32_t blocks)
{
	static const uint8_t opcodes[] = { CDB_WRITE_AND_VERIFY_10, CDB_WRITE_AND_VERIFY_12,
					   CDB_WRITE_AND_VERIFY_16 };

	return cdb_rw(opcodes[shape], (uint8_t)(check << VERIFY_BYTCHK_SHIFT), lba, blocks);
}

static void what_is_written_is_forced_and_read_back(void)
{
	static const uint32_t lengths[] = { 1, 8, 1024, 1025, 2100 };
	struct world w;

	odd_world(&w, 512);
	for (unsigned int i = 0; i < 4 * array_size(lengths); i++) {
		uint32_t blocks = lengths[i / 4], len = blocks * 512;
		struct cdb cdb = write_and_verify(i % 3, i & 1, 5, blocks);
		uint8_t *data = pattern(len, (uint8_t)(i + 1));
		struct command c;

		disk_forget(&w.disk);
		command_init(&w, &c, cdb.b, DIR_WRITE, len, data);
		if (i & 2)
			command_immediate(&c, 512, 4096);
		command_submit(&c);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(command_residual(&c), 0);
		CU_ASSERT(!memcmp(w.disk.bytes + 5 * 512, data, len));
		CU_ASSERT_STRING_EQUAL(asked(&w), len <= BUF_MAX / 2 ? "WR"
						  : len <= BUF_MAX   ? "WRWR"
								     : "WRWRWR");
		command_free(&c);
		free(data);
	}
	world_destroy(&w);
}

static void what_comes_back_is_compared_when_asked(void)
{
	uint8_t *data = pattern(2 * BUF_MAX, 3);
	struct command c;
	struct world w;

	odd_world(&w, 512);
	odd.spoils = true;
	for (unsigned int shape = 0; shape < 3; shape++) {
		struct cdb cdb = write_and_verify(shape, 0, 0, 8);

		CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 4096, data), 0);
		cdb = write_and_verify(shape, 1, 0, 8);
		command_run(&w, &c, cdb.b, DIR_WRITE, 4096, data);
		ASSERT_SENSE(&c, SENSE_MISCOMPARE);
		CU_ASSERT_EQUAL(get_be(c.task.sense + 3, 4), 4095);
		command_free(&c);
		for (uint8_t check = 2; check < 4; check++) {
			cdb = write_and_verify(shape, check, 0, 8);
			disk_forget(&w.disk);
			CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 4096, data),
					SENSE_INVALID_CDB_FIELD);
			CU_ASSERT_EQUAL(w.disk.requests, 0);
		}
	}
	odd.spoils = false;
	world_destroy(&w);
	free(data);
}

static void write_and_verify_that_fails(void)
{
	struct cdb cdb = write_and_verify(0, 1, 0, 2), end = write_and_verify(2, 0, DISK_BLOCKS, 1);
	uint8_t *data = pattern(1024, 3);
	struct world w;

	odd_world(&w, 512);
	w.disk.fail[BS_WRITE] = -ENOSPC;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 1024, data), SENSE_SPACE_FAILED);
	w.disk.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 1024, data), SENSE_WRITE_ERROR);
	w.disk.fail[BS_WRITE] = 0;
	atomic_store(&w.disk.bs.flush_failed, false); /* the next one is another story */
	w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 1024, data), SENSE_READ_ERROR);
	w.disk.fail[BS_READ] = 0;
	CU_ASSERT_EQUAL(outcome(&w, end.b, DIR_WRITE, 512, data), SENSE_LBA_RANGE);
	/* Whole blocks that came are written, the rest is residual; half a block is refused. */
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 512, data), 0);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 700, data), SENSE_INVALID_IU_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_READ, 1024, NULL), SENSE_INVALID_IU_FIELD);
	free(data);
	world_destroy(&w);
}

/* --- ORWRITE */

static void orwrite_sets_bits(void)
{
	static const uint32_t lengths[] = { 1, 255, 1024, 1025, 2500 };
	struct world w;

	odd_world(&w, 512);
	for (size_t i = 0; i < array_size(lengths); i++) {
		uint32_t len = lengths[i] * 512;
		struct cdb cdb = cdb_rw(CDB_ORWRITE_16, i % 2 ? RW_FUA : 0, 9, lengths[i]);
		uint8_t *data = pattern(len, (uint8_t)(17 * i)), *want = malloc(len);
		struct command c;
		bool right = true;

		CU_ASSERT_FATAL(want != NULL);
		for (uint32_t k = 0; k < len; k++)
			want[k] = data[k] | w.disk.bytes[9 * 512 + k];
		disk_forget(&w.disk);
		command_init(&w, &c, cdb.b, DIR_WRITE, len, data);
		if (i % 3 == 1)
			command_immediate(&c, 700, 8192);
		command_submit(&c);
		ASSERT_GOOD(&c);
		for (uint32_t k = 0; k < len && right; k++)
			right = want[k] == w.disk.bytes[9 * 512 + k];
		CU_ASSERT(right);
		CU_ASSERT_EQUAL(strncmp(asked(&w), i % 2 ? "rW" : "rw", 2), 0);
		CU_ASSERT_EQUAL(w.lu->exclusive, 0);
		CU_ASSERT_EQUAL(w.lu->sequence % 2, 0);
		command_free(&c);
		free(data);
		free(want);
	}
	world_destroy(&w);
}

static void orwrite_that_fails(void)
{
	struct cdb cdb = cdb_rw(CDB_ORWRITE_16, 0, 0, 2), far = cdb_rw(CDB_ORWRITE_16, 0, ~0ull, 1);
	struct cdb none = cdb_rw(CDB_ORWRITE_16, 0, DISK_BLOCKS, 0);
	struct cdb long_one = cdb_rw(CDB_ORWRITE_16, 0, 0, MAX_TRANSFER_BLOCKS + 1);
	uint8_t *data = pattern(1024, 3);
	struct world w;

	odd_world(&w, 512);
	CU_ASSERT_EQUAL(outcome(&w, far.b, DIR_WRITE, 512, data), SENSE_LBA_RANGE);
	CU_ASSERT_EQUAL(outcome(&w, long_one.b, DIR_WRITE, 512, data), SENSE_LBA_RANGE);
	CU_ASSERT_EQUAL(outcome(&w, none.b, 0, 0, NULL), 0);
	w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 1024, data), SENSE_READ_ERROR);
	w.disk.fail[BS_READ] = 0;
	w.disk.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 1024, data), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(w.lu->exclusive, 0);
	CU_ASSERT_EQUAL(w.lu->sequence % 2, 0);
	free(data);
	world_destroy(&w);
}

/* --- WRITE ATOMIC */

static struct cdb write_atomic(uint8_t flags, uint64_t lba, uint16_t boundary, uint16_t blocks)
{
	struct cdb c = { { CDB_WRITE_ATOMIC_16, flags } };

	put64(c.b + 2, lba);
	put16(c.b + 10, boundary);
	put16(c.b + 12, blocks);
	return c;
}

static void an_atomic_write_is_one_request(void)
{
	uint8_t *data = pattern(65536, 7);
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.atomic_max = 65536;
	w.disk.bs.limits.atomic_granularity = 4096;
	world_open(&w);
	for (int forced = 0; forced < 2; forced++) {
		struct cdb cdb = write_atomic(forced ? RW_FUA : 0, 8, 0, 128);

		disk_forget(&w.disk);
		CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 65536, data), 0);
		CU_ASSERT_EQUAL(w.disk.requests, 1);
		CU_ASSERT_EQUAL(w.disk.log[0].flags, BS_ATOMIC | (forced ? BS_FUA : 0));
		CU_ASSERT_EQUAL(w.disk.log[0].len, 65536);
	}
	CU_ASSERT(!memcmp(w.disk.bytes + 8 * 512, data, 65536));
	CU_ASSERT(w.lu->sequence >= 4 && w.lu->sequence % 2 == 0);
	free(data);
	world_destroy(&w);
}

static void an_atomic_write_that_cannot_be(void)
{
	static const struct {
		uint64_t lba;
		uint16_t boundary, blocks;
		uint32_t edtl, sense;
	} rows[] = {
		{ 0, 0, 0, 0, 0 },
		{ DISK_BLOCKS, 0, 0, 0, 0 },
		{ DISK_BLOCKS + 8, 0, 0, 0, SENSE_LBA_RANGE },
		{ UINT64_MAX - 7, 0, 0, 0, SENSE_LBA_RANGE },
		{ DISK_BLOCKS, 0, 8, 4096, SENSE_LBA_RANGE },
		{ 0, 0, 136, 136 * 512, SENSE_INVALID_CDB_FIELD }, /* longer than the maximum */
		{ 4, 0, 8, 4096, SENSE_INVALID_CDB_FIELD }, /* alignment */
		{ 0, 0, 4, 2048, SENSE_INVALID_CDB_FIELD }, /* granularity */
		{ 0, 1, 8, 4096, SENSE_INVALID_CDB_FIELD },
		{ 0, 0, 8, 2048, SENSE_INVALID_IU_FIELD }, /* half of it came */
	};
	uint8_t *data = pattern(136 * 512, 7);
	struct cdb cdb = write_atomic(0, 0, 0, 1);
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.atomic_max = 65536;
	w.disk.bs.limits.atomic_granularity = 4096;
	world_open(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb bad = write_atomic(0, rows[i].lba, rows[i].boundary, rows[i].blocks);

		CU_ASSERT_EQUAL(outcome(&w, bad.b, DIR_WRITE, rows[i].edtl, data), rows[i].sense);
	}
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);

	world_init(&w, 512);
	w.disk.bs.limits.atomic_max = 0;
	world_open(&w);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 512, data), SENSE_INVALID_OPCODE);
	world_destroy(&w);
	free(data);
}

/* --- Without a cache nothing is GOOD before it is durable */

static void every_write_is_forced_without_a_cache(void)
{
	uint8_t *data = pattern(8192, 1), list[24] = { 0, 22, 0, 16 };
	const struct {
		struct cdb cdb;
		uint32_t edtl;
		const uint8_t *out;
		const char *asked;
	} rows[] = {
		{ cdb_rw(CDB_WRITE_6, 0, 0, 1), 512, data, "W" },
		{ cdb_rw(CDB_WRITE_SAME_10, 0, 0, 8), 512, data, "W" },
		{ cdb_rw(CDB_WRITE_SAME_16, WRITE_SAME_NDOB, 0, 8), 0, NULL, "zf" },
		{ cdb_rw(CDB_WRITE_SAME_16, WRITE_SAME_NDOB | WRITE_SAME_UNMAP, 0, 8), 0, NULL,
		  "uf" },
		{ { { CDB_UNMAP, [8] = 24 } }, 24, list, "uf" },
		{ cdb_rw(CDB_ORWRITE_16, 0, 0, 1), 512, data, "rW" },
		{ write_atomic(0, 0, 0, 1), 512, data, "W" },
		{ { { CDB_COMPARE_AND_WRITE, [13] = 1 } }, 1024, NULL, "rW" },
	};
	struct world w;

	list[19] = 8;
	for (size_t i = 0; i < array_size(rows); i++) {
		uint8_t swap[1024];

		world_init(&w, 512);
		w.disk.bs.limits.volatile_cache = false;
		w.disk.bs.limits.atomic_max = w.disk.bs.limits.atomic_granularity = 512;
		world_open(&w);
		memcpy(swap, w.disk.bytes, 512);
		memset(swap + 512, 9, 512);
		CU_ASSERT_EQUAL(outcome(&w, rows[i].cdb.b, rows[i].edtl ? DIR_WRITE : 0,
					rows[i].edtl, rows[i].out ? rows[i].out : swap),
				0);
		CU_ASSERT_STRING_EQUAL(asked(&w), rows[i].asked);
		world_destroy(&w);
	}
	/* And when that fails, it is not GOOD. */
	world_init(&w, 512);
	w.disk.bs.limits.volatile_cache = false;
	world_open(&w);
	w.disk.fail[BS_FLUSH] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, rows[4].cdb.b, DIR_WRITE, 24, list), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(outcome(&w, rows[1].cdb.b, DIR_WRITE, 512, data), SENSE_WRITE_ERROR);
	world_destroy(&w);
	free(data);
}

/* --- Bits of protection information, what is not there */

static void protection_needs_protection_information(void)
{
	static const uint8_t opcodes[] = {
		CDB_READ_10,
		CDB_READ_12,
		CDB_READ_16,
		CDB_WRITE_10,
		CDB_WRITE_12,
		CDB_WRITE_16,
		CDB_VERIFY_10,
		CDB_VERIFY_12,
		CDB_VERIFY_16,
		CDB_WRITE_AND_VERIFY_10,
		CDB_WRITE_AND_VERIFY_12,
		CDB_WRITE_AND_VERIFY_16,
		CDB_WRITE_SAME_10,
		CDB_WRITE_SAME_16,
		CDB_ORWRITE_16,
		CDB_WRITE_ATOMIC_16,
		CDB_COMPARE_AND_WRITE,
	};
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.atomic_max = 4096;
	world_open(&w);
	for (uint8_t bits = 0x20; bits; bits = (uint8_t)(bits + 0x20)) {
		for (size_t i = 0; i < array_size(opcodes); i++) {
			struct cdb cdb = cdb_rw(opcodes[i], bits, 0, 0);

			CU_ASSERT_EQUAL(outcome(&w, cdb.b, 0, 0, NULL), SENSE_INVALID_CDB_FIELD);
		}
	}
	world_destroy(&w);
}

/* READ LONG and WRITE LONG lay open what a disk keeps beside its blocks; there is nothing. */
static void read_long_and_write_long_are_not_there(void)
{
	struct cdb read10 = { { 0x3e } }, write10 = { { 0x3f } }, write16 = { { 0x9f, 0x11 } };
	struct cdb read16 = { { CDB_SERVICE_ACTION_IN_16, 0x11 } };
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(outcome(&w, read10.b, DIR_READ, 520, NULL), SENSE_INVALID_OPCODE);
	CU_ASSERT_EQUAL(outcome(&w, write10.b, 0, 0, NULL), SENSE_INVALID_OPCODE);
	CU_ASSERT_EQUAL(outcome(&w, write16.b, 0, 0, NULL), SENSE_INVALID_OPCODE);
	CU_ASSERT_EQUAL(outcome(&w, read16.b, DIR_READ, 520, NULL), SENSE_INVALID_CDB_FIELD);
	world_destroy(&w);
}

UNIT_MAIN(TEST(what_is_written_is_forced_and_read_back),
	  TEST(what_comes_back_is_compared_when_asked), TEST(write_and_verify_that_fails),
	  TEST(orwrite_sets_bits), TEST(orwrite_that_fails), TEST(an_atomic_write_is_one_request),
	  TEST(an_atomic_write_that_cannot_be), TEST(every_write_is_forced_without_a_cache),
	  TEST(protection_needs_protection_information),
	  TEST(read_long_and_write_long_are_not_there));
