// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is known of blocks and caches: GET LBA STATUS, PRE-FETCH, READ DEFECT DATA, REASSIGN BLOCKS,
 * SYNCHRONIZE CACHE with IMMED. Reliability 3.8, S3, S5 and S15.
 */
#include "scsi_media.h"

/* --- PRE-FETCH */

static uint8_t prefetch(struct world *w, uint64_t lba, uint32_t blocks)
{
	uint8_t status[2];

	for (int i = 0; i < 2; i++) {
		struct cdb cdb = cdb_rw(i ? CDB_PRE_FETCH_16 : CDB_PRE_FETCH_10,
					i ? CACHE_IMMED : 0, lba, blocks);
		struct command c;

		cdb.b[i ? 14 : 6] = 3; /* GROUP NUMBER */
		disk_forget(&w->disk);
		command_run(w, &c, cdb.b, 0, 0, NULL);
		status[i] = c.task.status;
		command_free(&c);
	}
	CU_ASSERT_EQUAL(status[0], status[1]);
	return status[1];
}

static void prefetch_says_whether_all_is_in_memory(void)
{
	struct cdb bad = cdb_rw(CDB_PRE_FETCH_10, 0, DISK_BLOCKS, 1);
	struct world w;

	odd_world(&w, 512);
	CU_ASSERT_EQUAL(prefetch(&w, 0, 100), SAM_GOOD);
	CU_ASSERT_EQUAL(w.disk.requests, 0); /* nothing would remember it */
	w.disk.bs.limits.caches_reads = true;
	CU_ASSERT_EQUAL(prefetch(&w, 0, 100), SAM_CONDITION_MET);
	CU_ASSERT_STRING_EQUAL(asked(&w), "r");
	CU_ASSERT_EQUAL(prefetch(&w, 16, 0), SAM_CONDITION_MET); /* to the end */
	CU_ASSERT_EQUAL(w.disk.requests, DISK_BLOCKS * 512 / (256 << 10));
	CU_ASSERT_EQUAL(prefetch(&w, DISK_BLOCKS, 0), SAM_CONDITION_MET);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	CU_ASSERT_EQUAL(outcome(&w, bad.b, 0, 0, NULL), SENSE_LBA_RANGE);
	w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(prefetch(&w, 0, 1), SAM_CHECK_CONDITION);
	world_destroy(&w);

	world_init(&w, 4096);
	w.disk.bs.limits.caches_reads = true;
	world_open(&w);
	w.lu->blocks = 1 << 20; /* larger than what may be fetched: the rest is never asked for */
	w.disk.fail[BS_READ] = 0;
	CU_ASSERT_EQUAL(prefetch(&w, 0, 0), SAM_GOOD);
	CU_ASSERT_EQUAL(w.disk.requests, (64 << 20) / (256 << 10));
	w.lu->blocks = DISK_BLOCKS;
	world_destroy(&w);

	world_init(&w, 512);
	w.disk.bs.limits.lends_pointers = true;
	world_open(&w);
	CU_ASSERT_EQUAL(prefetch(&w, 0, 0), SAM_CONDITION_MET);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

/* --- GET LBA STATUS */

static struct cdb lba_status(uint64_t lba, uint32_t alloc, uint8_t type)
{
	struct cdb c = { { CDB_SERVICE_ACTION_IN_16, SA_GET_LBA_STATUS } };

	put64(c.b + 2, lba);
	put32(c.b + 10, alloc);
	c.b[14] = type;
	return c;
}

/* Descriptor n: its LBA, blocks and state. */
#define ASSERT_EXTENT(c, n, first, count, state)                        \
	do {                                                            \
		const uint8_t *at_ = (c)->in + 8 + 16 * (n);            \
		CU_ASSERT_EQUAL(get_be(at_, 8), (uint64_t)(first));     \
		CU_ASSERT_EQUAL(get_be(at_ + 8, 4), (uint64_t)(count)); \
		CU_ASSERT_EQUAL(at_[12], state);                        \
	} while (0)

static void lba_status_of_what_has_no_extents(void)
{
	struct cdb cdb = lba_status(10, 1000, 0);
	struct command c;
	struct world w;

	odd_world(&w, 512); /* says it can, and then that it cannot */
	command_run(&w, &c, cdb.b, DIR_READ, 1000, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(c.in_len, 24);
	CU_ASSERT_EQUAL(get_be(c.in, 4), 20);
	ASSERT_EXTENT(&c, 0, 10, DISK_BLOCKS - 10, LBA_MAPPED);
	command_free(&c);
	w.disk.fail[BS_EXTENT] = -EIO;
	CU_ASSERT_NOT_EQUAL(outcome(&w, cdb.b, DIR_READ, 1000, NULL), 0);
	w.disk.bs.limits.can_report_extents = false;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_READ, 1000, NULL), 0);
	world_destroy(&w);
}

static void lba_status_lists_extents(void)
{
	static const struct {
		uint32_t alloc, in_len, data_len;
	} cuts[] = {
		{ 0, 0, 0 },	{ 3, 3, 0 },	{ 8, 8, 20 },	{ 23, 23, 36 },
		{ 24, 24, 36 }, { 39, 39, 52 }, { 40, 40, 52 }, { 65535, 4088, 4084 },
	};
	struct command c;
	struct world w;

	odd_world(&w, 512);
	odd.extent = 16 * 512; /* 1024 of them */
	for (size_t i = 0; i < array_size(cuts); i++) {
		struct cdb cdb = lba_status(5, cuts[i].alloc, 0);

		command_run(&w, &c, cdb.b, DIR_READ, 65535, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(c.in_len, cuts[i].in_len);
		if (c.in_len >= 8)
			CU_ASSERT_EQUAL(get_be(c.in, 4), cuts[i].data_len);
		if (c.in_len >= 24)
			ASSERT_EXTENT(&c, 0, 5, 11, LBA_MAPPED);
		if (c.in_len >= 40)
			ASSERT_EXTENT(&c, 1, 16, 16, LBA_DEALLOCATED);
		command_free(&c);
	}
	world_destroy(&w);
}

static void lba_status_by_report_type(void)
{
	static const struct {
		uint8_t type;
		uint32_t sense, count; /* of descriptors */
	} rows[] = {
		{ 0, 0, 4 },	{ 1, 0, 2 },
		{ 2, 0, 2 },	{ 3, 0, 2 },
		{ 4, 0, 0 },	{ 5, SENSE_INVALID_CDB_FIELD, 0 },
		{ 0x10, 0, 0 }, { 0xff, SENSE_INVALID_CDB_FIELD, 0 },
	};
	struct command c;
	struct world w;

	odd_world(&w, 512);
	odd.extent = DISK_BLOCKS / 4 * 512;
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = lba_status(0, 4096, rows[i].type);

		command_run(&w, &c, cdb.b, DIR_READ, 4096, NULL);
		CU_ASSERT_EQUAL(command_sense(&c), rows[i].sense);
		if (!rows[i].sense) {
			CU_ASSERT_EQUAL(c.in_len, 8 + 16 * rows[i].count);
			CU_ASSERT_EQUAL(c.in[7] & LBA_STATUS_RTP, rows[i].type != 0);
		}
		command_free(&c);
	}
	world_destroy(&w);
}

static void anchored_blocks_are_told(void)
{
	static const struct {
		uint8_t type, count, state;
		uint64_t lba; /* of the first */
	} rows[] = {
		{ 0, 4, LBA_MAPPED, 0 },
		{ LBA_REPORT_NOT_MAPPED, 2, LBA_ANCHORED, DISK_BLOCKS / 4 },
		{ LBA_REPORT_MAPPED, 2, LBA_MAPPED, 0 },
		{ LBA_REPORT_DEALLOCATED, 1, LBA_DEALLOCATED, DISK_BLOCKS / 4 * 3 },
		{ LBA_REPORT_ANCHORED, 1, LBA_ANCHORED, DISK_BLOCKS / 4 },
	};
	struct command c;
	struct world w;

	odd_world(&w, 512);
	w.lu->can_anchor = true;
	odd.anchors = true;
	odd.extent = DISK_BLOCKS / 4 * 512;
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = lba_status(0, 4096, rows[i].type);

		command_run(&w, &c, cdb.b, DIR_READ, 4096, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(c.in_len, 8 + 16 * rows[i].count);
		ASSERT_EXTENT(&c, 0, rows[i].lba, DISK_BLOCKS / 4, rows[i].state);
		command_free(&c);
	}
	world_destroy(&w);
}

static void lba_status_in_range(void)
{
	struct cdb cdb = lba_status(DISK_BLOCKS, 24, 0), last = lba_status(DISK_BLOCKS - 1, 24, 0);
	struct cdb far = lba_status(~0ull, 24, 0);
	struct command c;
	struct world w;

	odd_world(&w, 512);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_READ, 24, NULL), SENSE_LBA_RANGE);
	CU_ASSERT_EQUAL(outcome(&w, far.b, DIR_READ, 24, NULL), SENSE_LBA_RANGE);
	CU_ASSERT_EQUAL(outcome(&w, last.b, DIR_READ, 24, NULL), 0);
	/* More blocks than a descriptor counts are two. */
	w.lu->blocks = 1ull << 33;
	w.disk.bs.limits.can_report_extents = false;
	cdb = lba_status(1, 4096, 0);
	command_run(&w, &c, cdb.b, DIR_READ, 4096, NULL);
	ASSERT_EXTENT(&c, 0, 1, UINT32_MAX, LBA_MAPPED);
	ASSERT_EXTENT(&c, 1, 1ull << 32, UINT32_MAX, LBA_MAPPED);
	ASSERT_EXTENT(&c, 2, (1ull << 33) - 1, 1, LBA_MAPPED);
	CU_ASSERT_EQUAL(c.in_len, 8 + 3 * 16);
	command_free(&c);
	w.lu->blocks = DISK_BLOCKS;
	world_destroy(&w);
}

/* An extent that ends inside a block: with a part of it mapped the block is. */
static void blocks_that_are_holes_in_part_are_mapped(void)
{
	struct cdb cdb = lba_status(0, 4096, 0);
	struct command c;
	struct world w;

	odd_world(&w, 512);
	odd.extent = 384;
	command_run(&w, &c, cdb.b, DIR_READ, 4096, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT(c.in_len >= 24);
	CU_ASSERT(get_be(c.in + 16, 4) > 2);
	CU_ASSERT_EQUAL(c.in[20], LBA_MAPPED);
	command_free(&c);
	world_destroy(&w);
}

static void why_the_list_ends(void)
{
	static const struct {
		uint32_t alloc;
		uint8_t type, condition;
		bool asks; /* the disk */
	} rows[] = {
		{ 4096 + 8, 0, 0, true }, /* longer than what we answer at most */
		{ 56, 0, LBA_STATUS_BY_ALLOCATION, true },
		{ 4096, LBA_REPORT_ANCHORED, LBA_STATUS_BY_CAPACITY, false },
		{ 4096, LBA_REPORT_UNREADABLE, LBA_STATUS_BY_CAPACITY, false },
	};
	struct command c;
	struct world w;

	odd_world(&w, 512);
	odd.extent = 512;
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = lba_status(0, rows[i].alloc, rows[i].type);

		disk_forget(&w.disk);
		command_run(&w, &c, cdb.b, DIR_READ, 65536, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(c.in[7] >> LBA_STATUS_CONDITION_SHIFT, rows[i].condition);
		CU_ASSERT_EQUAL(w.disk.requests > 0, rows[i].asks);
		command_free(&c);
	}
	world_destroy(&w);
}

/* --- READ DEFECT DATA */

static void there_are_no_defects(void)
{
	struct world w;

	world_create(&w);
	for (unsigned int format = 0; format < 8; format++) {
		uint8_t lists = (uint8_t)(DEFECT_PLIST | DEFECT_GLIST | format);
		struct cdb ten = { { CDB_READ_DEFECT_DATA_10, 0, lists } };
		struct cdb twelve = { { CDB_READ_DEFECT_DATA_12, lists } };
		uint32_t sense = format < 6 ? 0 : SENSE_INVALID_CDB_FIELD;
		struct command c;

		ten.b[8] = twelve.b[9] = 255;
		command_run(&w, &c, ten.b, DIR_READ, 255, NULL);
		CU_ASSERT_EQUAL(command_sense(&c), sense);
		CU_ASSERT_EQUAL(c.in_len, sense ? 0 : 4);
		CU_ASSERT(sense || (c.in[1] == lists && get_be(c.in + 2, 2) == 0));
		command_free(&c);
		command_run(&w, &c, twelve.b, DIR_READ, 255, NULL);
		CU_ASSERT_EQUAL(command_sense(&c), sense);
		CU_ASSERT_EQUAL(c.in_len, sense ? 0 : 8);
		CU_ASSERT(sense || (c.in[1] == lists && get_be(c.in + 4, 4) == 0));
		command_free(&c);
	}
	world_destroy(&w);
}

/* --- REASSIGN BLOCKS */

static void blocks_are_written_again(void)
{
	uint8_t list[4 + 2 * 4] = { 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 9 }, before[512];
	uint8_t longs[4 + 8] = { 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5 };
	struct cdb cdb = { { CDB_REASSIGN_BLOCKS } };
	struct cdb longer = { { CDB_REASSIGN_BLOCKS, REASSIGN_LONGLBA | REASSIGN_LONGLIST } };
	struct command c;
	struct world w;

	world_create(&w);
	memcpy(before, w.disk.bytes + 7 * 512, 512);
	command_run(&w, &c, cdb.b, DIR_WRITE, sizeof(list), list);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(command_residual(&c), 0);
	CU_ASSERT_STRING_EQUAL(asked(&w), "rWrW");
	CU_ASSERT(!memcmp(w.disk.bytes + 7 * 512, before, 512));
	command_free(&c);
	/* What cannot be read is lost. */
	w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, longer.b, DIR_WRITE, sizeof(longs), longs), 0);
	memset(before, 0, sizeof(before));
	CU_ASSERT(!memcmp(w.disk.bytes + 5 * 512, before, 512));
	w.disk.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, sizeof(list), list), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(w.lu->exclusive, 0);
	world_destroy(&w);
}

static void reassign_lists_that_are_wrong(void)
{
	static const struct {
		uint8_t header[4], flags;
		uint32_t edtl, sense;
	} rows[] = {
		{ { 0, 0, 0, 0 }, 0, 4, 0 },
		{ { 0, 0, 0, 0 }, 0, 3, SENSE_LIST_LENGTH },
		{ { 0, 0, 0, 0 }, 0, 0, SENSE_LIST_LENGTH },
		{ { 0, 0, 0, 4 }, 0, 7, SENSE_LIST_LENGTH },
		{ { 0, 0, 0, 3 }, 0, 16, SENSE_LIST_LENGTH },
		{ { 0, 0, 0, 4 }, REASSIGN_LONGLBA, 16, SENSE_LIST_LENGTH },
		{ { 0, 0, 0x20, 0 }, 0, 8196, SENSE_INVALID_LIST_FIELD },
		{ { 0xff, 0xff, 0xff, 0xfc }, REASSIGN_LONGLIST, 16, SENSE_LIST_LENGTH },
		{ { 0, 0, 0, 8 }, 0, 12, SENSE_LBA_RANGE }, /* the second one */
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = { { CDB_REASSIGN_BLOCKS, rows[i].flags } };
		uint8_t *list = calloc(1, rows[i].edtl + 12);

		CU_ASSERT_FATAL(list != NULL);
		memcpy(list, rows[i].header, sizeof(rows[i].header));
		memset(list + 8, 0xff, 4);
		CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, rows[i].edtl, list), rows[i].sense);
		free(list);
	}
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

/* A disk that did not even try to read says nothing of the block. */
static void what_could_be_read_is_not_lost(void)
{
	static const int errors[] = { -ENOMEM, -EAGAIN, -EINPROGRESS };
	uint8_t list[4 + 4] = { 0, 0, 0, 4, 0, 0, 0, 7 }, before[512];
	struct cdb cdb = { { CDB_REASSIGN_BLOCKS } };
	struct world w;

	world_create(&w);
	memcpy(before, w.disk.bytes + 7 * 512, 512);
	for (size_t i = 0; i < array_size(errors); i++) {
		w.disk.fail[BS_READ] = errors[i];
		CU_ASSERT_NOT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, sizeof(list), list), 0);
		CU_ASSERT(!memcmp(w.disk.bytes + 7 * 512, before, 512));
		CU_ASSERT_EQUAL(w.lu->exclusive, 0);
	}
	world_destroy(&w);
}

/* --- SYNCHRONIZE CACHE */

static void immed_answers_before_the_flush_has_ended(void)
{
	struct cdb immed = cdb_rw(CDB_SYNCHRONIZE_CACHE_10, CACHE_IMMED, 0, 0);
	struct cdb immed16 = cdb_rw(CDB_SYNCHRONIZE_CACHE_16, CACHE_IMMED, 0, 0);
	struct cdb wait = cdb_rw(CDB_SYNCHRONIZE_CACHE_10, 0, 0, 0);
	struct world w;

	world_create(&w);
	w.disk.hold = true;
	CU_ASSERT_EQUAL(outcome(&w, immed.b, 0, 0, NULL), 0);
	CU_ASSERT_STRING_EQUAL(asked(&w), "f");
	/* One at a time is enough, but what came later needs a later one. */
	CU_ASSERT_EQUAL(outcome(&w, immed16.b, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(outcome(&w, immed.b, 0, 0, NULL), 0);
	CU_ASSERT_STRING_EQUAL(asked(&w), "f");
	disk_release(&w.disk);
	CU_ASSERT_STRING_EQUAL(asked(&w), "ff");
	w.disk.fail[BS_FLUSH] = -EIO;
	disk_release(&w.disk);
	w.disk.fail[BS_FLUSH] = 0;
	w.disk.hold = false;
	/* Nobody was told: the next promise is refused. */
	CU_ASSERT_EQUAL(outcome(&w, wait.b, 0, 0, NULL), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(outcome(&w, immed.b, 0, 0, NULL), SENSE_WRITE_ERROR);
	world_destroy(&w);
}

UNIT_MAIN(TEST(prefetch_says_whether_all_is_in_memory), TEST(lba_status_of_what_has_no_extents),
	  TEST(lba_status_lists_extents), TEST(lba_status_by_report_type),
	  TEST(lba_status_in_range), TEST(anchored_blocks_are_told),
	  TEST(blocks_that_are_holes_in_part_are_mapped), TEST(why_the_list_ends),
	  TEST(what_could_be_read_is_not_lost), TEST(there_are_no_defects),
	  TEST(blocks_are_written_again), TEST(reassign_lists_that_are_wrong),
	  TEST(immed_answers_before_the_flush_has_ended));
