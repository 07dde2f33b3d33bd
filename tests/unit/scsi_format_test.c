// SPDX-License-Identifier: BSD-2-Clause
/* FORMAT UNIT: parameter lists of every shape, what the medium has afterwards, failures. */
#include "scsi_port.h"

enum {
	FMTPINFO = 0x80,
	LONGLIST = 0x20,
	FMTDATA = 0x10,
	CMPLST = 0x08,
	FOV = 0x80,
	DCRT = 0x20,
	STPF = 0x10,
	IP = 0x08,
	IMMED = 0x02,
	BLOCK = 512,
	DISK_SIZE = DISK_BLOCKS * BLOCK,
};

static const uint8_t test_unit_ready[6] = { CDB_TEST_UNIT_READY };
static const uint8_t request_sense[6] = { CDB_REQUEST_SENSE, 0, 0, 0, 18 };

static struct cdb format(uint8_t flags)
{
	return (struct cdb){ { CDB_FORMAT_UNIT, flags } };
}

/* malloc()ed exactly: a short header with options, and a pattern unless len is negative. */
static uint8_t *format_list(uint8_t options, int len, uint32_t *size)
{
	uint8_t *list;

	*size = len < 0 ? 4 : 8 + (uint32_t)len;
	list = calloc(1, *size);
	CU_ASSERT_FATAL(list != NULL);
	list[1] = options;
	if (len < 0)
		return list;
	list[5] = len > 0; /* pattern type */
	put16(list + 6, (uint16_t)len);
	for (int i = 0; i < len; i++)
		list[8 + i] = (uint8_t)(0x30 + i % 29);
	return list;
}

static bool filled(const struct world *w, const uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < DISK_SIZE; i++) {
		if (w->disk.bytes[i] != (len ? bytes[i % BLOCK % len] : 0))
			return false;
	}
	return true;
}

/* The outcome of FMTDATA with the list, which is freed. */
static uint32_t run_list(struct world *w, uint8_t flags, uint8_t *list, uint32_t size)
{
	uint32_t sense = outcome(w, format(FMTDATA | flags).b, DIR_WRITE, size, list);

	free(list);
	return sense;
}

static void without_a_list_all_is_zeros(void)
{
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(outcome(&w, format(0).b, 0, 0, NULL), 0);
	CU_ASSERT(filled(&w, NULL, 0));
	/* A thin disk gets its space back, and needs none. */
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_UNMAP);
	CU_ASSERT_EQUAL(w.disk.log[w.disk.requests - 1].opcode, BS_FLUSH);
	CU_ASSERT_EQUAL(outcome(&w, test_unit_ready, 0, 0, NULL), 0);
	world_destroy(&w);
	world_init(&w, BLOCK);
	w.disk.bs.limits.can_unmap = false;
	world_open(&w);
	CU_ASSERT_EQUAL(outcome(&w, format(0).b, 0, 0, NULL), 0);
	CU_ASSERT(filled(&w, NULL, 0));
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_ZERO);
	w.disk.bs.limits.size = 0;
	CU_ASSERT_EQUAL(outcome(&w, format(0).b, 0, 0, NULL), SENSE_FORMAT_FAILED);
	world_destroy(&w);
}

static void patterns_are_written(void)
{
	static const int lens[] = { 1, 4, 511, 512, 0, -1 };
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(lens); i++) {
		uint8_t options = lens[i] < 0 ? FOV | DCRT | STPF : FOV | IP;
		uint32_t size;
		uint8_t *list = format_list(options, lens[i], &size);
		struct command c;

		w.disk.bytes[7777] ^= 0x55;
		command_run(&w, &c, format(FMTDATA).b, DIR_WRITE, size, list);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(command_residual(&c), 0);
		CU_ASSERT(filled(&w, list + 8, lens[i] > 0 ? (uint32_t)lens[i] : 0));
		command_free(&c);
		free(list);
	}
	world_destroy(&w);
}

/* Initiators send no length in the CDB: what they offer beyond the list stays. */
static void longer_data_is_residual(void)
{
	struct world w;
	struct command c;
	uint32_t size;
	uint8_t *list = format_list(FOV | IP, 4, &size), *more = calloc(1, 8192);

	world_create(&w);
	memcpy(more, list, size);
	command_run(&w, &c, format(FMTDATA).b, DIR_WRITE, 8192, more);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(command_residual(&c), 8192 - size);
	CU_ASSERT(filled(&w, list + 8, 4));
	command_free(&c);
	free(list);
	free(more);
	world_destroy(&w);
}

static void long_header_is_read(void)
{
	static const uint8_t bad[] = { 3, 4, 7 }; /* exponent, defects */
	struct world w;
	uint8_t *list;

	world_create(&w);
	list = calloc(1, 8 + 4 + 2);
	list[1] = FOV | IP;
	list[9] = 1;
	list[11] = 2;
	list[12] = 0xab;
	list[13] = 0xcd;
	CU_ASSERT_EQUAL(run_list(&w, LONGLIST, list, 14), 0);
	CU_ASSERT(filled(&w, (const uint8_t[]){ 0xab, 0xcd }, 2));
	for (size_t i = 0; i < array_size(bad); i++) {
		list = calloc(1, 8);
		list[bad[i]] = 1;
		CU_ASSERT_EQUAL(run_list(&w, LONGLIST, list, 8), SENSE_INVALID_LIST_FIELD);
	}
	CU_ASSERT_EQUAL(run_list(&w, LONGLIST, calloc(1, 7), 7), SENSE_INVALID_IU_FIELD);
	world_destroy(&w);
}

static void bad_lists_are_refused(void)
{
	static const struct {
		uint8_t at, value;
	} rows[] = {
		{ 0, 0x08 }, /* reserved */
		{ 0, 0x01 }, /* no such protection type */
		{ 3, 8 }, /* a defect list */
		{ 4, 0x20 }, /* SI */
		{ 5, 2 }, /* pattern type */
		{ 5, 0 }, /* default pattern with a length */
		{ 6, 2 }, /* more than a block */
	};
	struct world w;
	uint32_t size;
	uint8_t *list;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		list = format_list(FOV | IP, 4, &size);
		list[rows[i].at] = rows[i].value;
		CU_ASSERT_EQUAL(run_list(&w, 0, list, size), SENSE_INVALID_LIST_FIELD);
	}
	list = format_list(IP, 4, &size); /* without FOV */
	CU_ASSERT_EQUAL(run_list(&w, 0, list, size), SENSE_INVALID_LIST_FIELD);
	list = format_list(FOV | IP, 4, &size);
	CU_ASSERT_EQUAL(run_list(&w, 0, list, size - 1), SENSE_LIST_LENGTH);
	list = format_list(FOV | IP, -1, &size);
	CU_ASSERT_EQUAL(run_list(&w, 0, list, 4), SENSE_LIST_LENGTH);
	CU_ASSERT_EQUAL(run_list(&w, 0, calloc(1, 3), 3), SENSE_INVALID_IU_FIELD);
	/* Bits about a list where there is none. */
	CU_ASSERT_EQUAL(outcome(&w, format(LONGLIST).b, 0, 0, NULL), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, format(CMPLST).b, 0, 0, NULL), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, format(4).b, 0, 0, NULL), SENSE_INVALID_CDB_FIELD);
	/* The protection type is what the disk has. */
	CU_ASSERT_EQUAL(outcome(&w, format(FMTPINFO).b, 0, 0, NULL), SENSE_INVALID_CDB_FIELD);
	list = format_list(0, -1, &size);
	CU_ASSERT_EQUAL(run_list(&w, FMTPINFO, list, size), SENSE_INVALID_CDB_FIELD);
	lu_set(w.lu, LU_SOFT_PROTECTED);
	CU_ASSERT_EQUAL(outcome(&w, format(0).b, 0, 0, NULL), SENSE_SOFT_PROTECTED);
	lu_clear(w.lu, LU_SOFT_PROTECTED);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

static void immediate_answer_and_progress(void)
{
	struct command c;
	struct world w;
	uint32_t size;
	uint8_t *list = format_list(FOV | IP | IMMED, 4, &size);

	world_create(&w);
	w.disk.hold = true;
	command_init(&w, &c, format(FMTDATA).b, DIR_WRITE, size, list);
	command_submit(&c);
	ASSERT_GOOD(&c);
	command_free(&c);
	for (int i = 0; i < 4; i++) {
		disk_release(&w.disk);
		world_turn(&w);
	}
	CU_ASSERT_EQUAL(outcome(&w, test_unit_ready, 0, 0, NULL), SENSE_FORMATTING);
	CU_ASSERT_EQUAL(outcome(&w, format(0).b, 0, 0, NULL), SENSE_FORMATTING);
	command_run(&w, &c, request_sense, DIR_READ, 18, NULL);
	CU_ASSERT_EQUAL(get_be(c.in + 12, 2), 0x0404);
	CU_ASSERT(get_be(c.in + 16, 2) > 0x7000 && get_be(c.in + 16, 2) < 0x9000);
	command_free(&c);
	w.disk.hold = false;
	disk_release(&w.disk);
	world_turn(&w);
	CU_ASSERT(filled(&w, list + 8, 4));
	atomic_store(&w.a.unit_attentions[0], 0);
	CU_ASSERT_EQUAL(outcome(&w, test_unit_ready, 0, 0, NULL), 0);
	free(list);
	world_destroy(&w);
}

static void failure_stays_until_it_works(void)
{
	struct world w;

	world_create(&w);
	w.disk.fail[BS_UNMAP] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, format(0).b, 0, 0, NULL), SENSE_FORMAT_FAILED);
	w.disk.fail[BS_UNMAP] = 0;
	CU_ASSERT_EQUAL(outcome(&w, test_unit_ready, 0, 0, NULL), SENSE_FORMAT_CORRUPTED);
	CU_ASSERT_EQUAL(outcome(&w, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, BLOCK, NULL),
			SENSE_FORMAT_CORRUPTED);
	CU_ASSERT_EQUAL(outcome(&w, format(0).b, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(outcome(&w, test_unit_ready, 0, 0, NULL), 0);
	lu_set(w.lu, LU_SANITIZE_FAILED);
	CU_ASSERT_EQUAL(outcome(&w, format(0).b, 0, 0, NULL), SENSE_SANITIZE_FAILED);
	lu_clear(w.lu, LU_SANITIZE_FAILED);
	world_destroy(&w);
}

static void abort_leaves_it_running(void)
{
	struct command c;
	struct world w;

	world_create(&w);
	w.disk.hold = true;
	command_init(&w, &c, format(0).b, 0, 0, NULL);
	command_submit(&c);
	CU_ASSERT_EQUAL(c.ends, 0);
	scsi_abort(&c.task);
	command_free(&c);
	w.disk.hold = false;
	disk_release(&w.disk);
	world_turn(&w);
	CU_ASSERT(filled(&w, NULL, 0));
	world_destroy(&w);
}

UNIT_MAIN(TEST(without_a_list_all_is_zeros), TEST(patterns_are_written),
	  TEST(longer_data_is_residual), TEST(long_header_is_read), TEST(bad_lists_are_refused),
	  TEST(immediate_answer_and_progress), TEST(failure_stays_until_it_works),
	  TEST(abort_leaves_it_running));
