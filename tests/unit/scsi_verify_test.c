// SPDX-License-Identifier: BSD-2-Clause
/* VERIFY really reads and really compares: scsi/verify.c. */
#include "scsi_port.h"

static const uint8_t opcodes[] = { CDB_VERIFY_10, CDB_VERIFY_12, CDB_VERIFY_16 };

static uint8_t bytchk(uint8_t v)
{
	return (uint8_t)(v << VERIFY_BYTCHK_SHIFT);
}

static void compares_every_byte(void)
{
	static const uint32_t lengths[] = { 1, 2, 8, 1024, 1025, 3000 };
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(lengths); i++) {
		for (size_t k = 0; k < array_size(opcodes); k++) {
			struct cdb cdb = cdb_rw(opcodes[k], bytchk(1), 7, lengths[i]);
			uint32_t len = lengths[i] * 512, at[] = { 0, 1, len / 2, len - 1 };
			uint8_t *data = malloc(len);

			CU_ASSERT_FATAL(data != NULL);
			memcpy(data, w.disk.bytes + 7 * 512, len);
			CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, len, data), 0);
			for (size_t m = 0; m < array_size(at); m++) {
				data[at[m]] ^= 0x10;
				CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, len, data),
						SENSE_MISCOMPARE);
				data[at[m]] ^= 0x10;
			}
			free(data);
		}
	}
	for (unsigned int i = 0; i < w.disk.requests && i < LOG_MAX; i++)
		CU_ASSERT_EQUAL(w.disk.log[i].opcode, BS_READ);
	world_destroy(&w);
}

static void immediate_data_is_compared_too(void)
{
	static const struct {
		uint32_t blocks, first, size;
	} rows[] = {
		{ 4, 2048, 4096 },
		{ 4, 2048, 2048 },
		{ 8, 512, 4096 },
		{ 2048, 65536, 65536 },
		/* More than the first chunk came with the command. */
		{ 1600, 1600 * 512, 1 << 20 },
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_rw(CDB_VERIFY_10, bytchk(1), 0, rows[i].blocks);
		uint32_t len = rows[i].blocks * 512;
		uint8_t *data = malloc(len);

		CU_ASSERT_FATAL(data != NULL);
		memcpy(data, w.disk.bytes, len);
		for (int bad = 0; bad < 2; bad++) {
			struct command c;

			data[len - 1] ^= (uint8_t)bad;
			command_init(&w, &c, cdb.b, DIR_WRITE, len, data);
			command_immediate(&c, rows[i].first, rows[i].size);
			command_submit(&c);
			CU_ASSERT_EQUAL(c.ends, 1);
			CU_ASSERT_EQUAL(command_sense(&c), bad ? (uint32_t)SENSE_MISCOMPARE : 0);
			command_free(&c);
		}
		free(data);
	}
	world_destroy(&w);
}

static void without_bytchk_the_medium_is_read(void)
{
	struct cdb cdb = cdb_rw(CDB_VERIFY_16, RW_DPO, 5, 3000);
	uint64_t bytes = 0;
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.lends_pointers = true;
	world_open(&w);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, 0, 0, NULL), 0);
	for (unsigned int i = 0; i < w.disk.requests; i++) {
		CU_ASSERT_EQUAL(w.disk.log[i].opcode, BS_READ);
		bytes += w.disk.log[i].len;
	}
	CU_ASSERT_EQUAL(bytes, 3000 * 512);
	w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, 0, 0, NULL), SENSE_READ_ERROR);
	world_destroy(&w);
}

/* Data that nobody asked for is residual and not compared. */
static void without_bytchk_data_is_ignored(void)
{
	struct cdb cdb = cdb_rw(CDB_VERIFY_10, 0, 5, 2);
	uint8_t *data = pattern(1024, 200);
	struct command c;
	struct world w;

	world_create(&w);
	command_init(&w, &c, cdb.b, DIR_WRITE, 1024, data);
	command_immediate(&c, 1024, 1024);
	command_submit(&c);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(command_residual(&c), 1024);
	command_free(&c);
	free(data);
	world_destroy(&w);
}

static void one_block_against_all(void)
{
	struct cdb cdb = cdb_rw(CDB_VERIFY_10, bytchk(3), 100, 2500);
	uint8_t *data = pattern(512, 1);
	struct world w;

	world_create(&w);
	for (int i = 0; i < 2500; i++)
		memcpy(w.disk.bytes + (100 + i) * 512, data, 512);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 512, data), 0);
	w.disk.bytes[(100 + 2499) * 512 + 511] ^= 1;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 512, data), SENSE_MISCOMPARE);
	free(data);
	world_destroy(&w);
}

static void bad_commands(void)
{
	uint8_t data[512] = { 0 };
	struct cdb two = cdb_rw(CDB_VERIFY_10, bytchk(2), 0, 1);
	struct cdb one = cdb_rw(CDB_VERIFY_10, bytchk(1), 0, 2);
	struct cdb none = cdb_rw(CDB_VERIFY_10, bytchk(1), DISK_BLOCKS, 0);
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(outcome(&w, two.b, DIR_WRITE, 512, data), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, one.b, DIR_WRITE, 512, data), SENSE_INVALID_IU_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, one.b, DIR_READ, 1024, NULL), SENSE_INVALID_IU_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, none.b, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

UNIT_MAIN(TEST(compares_every_byte), TEST(immediate_data_is_compared_too),
	  TEST(without_bytchk_the_medium_is_read), TEST(without_bytchk_data_is_ignored),
	  TEST(one_block_against_all), TEST(bad_commands));
