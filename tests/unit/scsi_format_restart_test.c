// SPDX-License-Identifier: BSD-2-Clause
/* FORMAT UNIT and the end of the daemon: a format that did not end well is not forgotten. */
#include "fake_store.h"
#include "scsi_port.h"

enum { BLOCK = 512, DISK_SIZE = DISK_BLOCKS * BLOCK };

static const char record_name[] = "format.0123456789abcdef", record[] = "riser format 1\n";
static const uint8_t test_unit_ready[6] = { CDB_TEST_UNIT_READY };
static const uint8_t format[6] = { CDB_FORMAT_UNIT };

static struct fake_store store;

static int open_with_store(struct world *w, char *why, size_t why_size)
{
	struct lu_config cfg = { .bs = &w->disk.bs,
				 .serial = "0123456789abcdef",
				 .product = "disk",
				 .reactors = 1,
				 .store = &store.store };
	int err = lu_create(&cfg, &w->lu, why, why_size);

	w->target.lun[0] = w->lu;
	return err;
}

static void meet(struct world *w)
{
	char why[256];

	CU_ASSERT_EQUAL_FATAL(open_with_store(w, why, sizeof(why)), 0);
	nexus_join(w, &w->a, "a");
	nexus_join(w, &w->b, "b");
}

static void begin(struct world *w)
{
	fake_store_init(&store);
	world_init(w, BLOCK);
	meet(w);
}

/* The daemon ends and starts again. */
static void restart(struct world *w)
{
	nexus_detach(&w->a);
	nexus_detach(&w->b);
	lu_destroy(w->lu);
	meet(w);
}

static uint32_t without_data(struct world *w, const uint8_t *cdb)
{
	return outcome(w, cdb, 0, 0, NULL);
}

static bool recorded(void)
{
	return store.record[fake_store_find(&store, record_name)].version != 0;
}

static void has_stopped(void *arg)
{
	*(bool *)arg = true;
}

static void interrupted_format_is_corrupted(void)
{
	static const uint8_t inquiry[6] = { CDB_INQUIRY, 0, 0, 0, 96 };
	uint8_t cdb[6] = { CDB_FORMAT_UNIT, 0x10 }, list[4] = { 0, 0x02 }; /* FMTDATA, IMMED */
	bool stopped = false;
	struct command c;
	struct world w;

	begin(&w);
	store.hold = w.disk.hold = true;
	command_init(&w, &c, cdb, DIR_WRITE, 4, list);
	command_submit(&c);
	/* Not a byte goes, and nobody hears of GOOD, before the record is there. */
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	CU_ASSERT_EQUAL(c.ends, 0);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_FORMATTING);
	store.hold = false;
	fake_store_release(&store);
	world_turn(&w);
	ASSERT_GOOD(&c);
	command_free(&c);
	CU_ASSERT_EQUAL(w.disk.held_count, 1);
	lu_stop_job(w.lu, has_stopped, &stopped);
	disk_release(&w.disk);
	world_turn(&w);
	CU_ASSERT(stopped);
	w.disk.hold = false;
	for (int i = 0; i < 2; i++) {
		restart(&w);
		lu_resume(w.lu, w.reactor); /* nothing goes on by itself */
		world_turn(&w);
		CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_FORMAT_CORRUPTED);
		CU_ASSERT_EQUAL(outcome(&w, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, BLOCK, NULL),
				SENSE_FORMAT_CORRUPTED);
		CU_ASSERT_EQUAL(outcome(&w, inquiry, DIR_READ, 96, NULL), 0);
	}
	CU_ASSERT_EQUAL(without_data(&w, format), 0);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT(!recorded());
		CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
		restart(&w);
	}
	world_destroy(&w);
}

static void failed_format_is_not_forgotten(void)
{
	struct world w;

	begin(&w);
	w.disk.fail[BS_FLUSH] = -EIO;
	CU_ASSERT_EQUAL(without_data(&w, format), SENSE_FORMAT_FAILED);
	w.disk.fail[BS_FLUSH] = 0;
	w.disk.bs.flush_failed = false;
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_FORMAT_CORRUPTED);
	restart(&w);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_FORMAT_CORRUPTED);
	CU_ASSERT_EQUAL(without_data(&w, format), 0);
	restart(&w);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	world_destroy(&w);
}

static void store_that_fails_stops_it(void)
{
	struct command c;
	struct world w;

	begin(&w);
	store.store_fails = -ENOSPC;
	CU_ASSERT_EQUAL(without_data(&w, format), SENSE_INTERNAL_FAILURE);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	store.store_fails = 0;
	w.disk.hold = true;
	command_init(&w, &c, format, 0, 0, NULL);
	command_submit(&c);
	/* The record cannot be removed: the next start would take the disk for corrupted. */
	store.store_fails = -EIO;
	w.disk.hold = false;
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_SENSE(&c, SENSE_FORMAT_FAILED);
	command_free(&c);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_FORMAT_CORRUPTED);
	store.store_fails = 0;
	CU_ASSERT_EQUAL(without_data(&w, format), 0);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	CU_ASSERT(!recorded());
	world_destroy(&w);
}

static void damaged_records_are_refused(void)
{
	static const char *const records[] = { "", "riser format 2\n", "riser format 1",
					       "riser format 1\n\n" };
	struct world w;
	char why[256];

	fake_store_init(&store);
	world_init(&w, BLOCK);
	for (size_t i = 0; i < array_size(records); i++) {
		fake_store_put(&store, record_name, records[i], strlen(records[i]));
		CU_ASSERT_EQUAL(open_with_store(&w, why, sizeof(why)), -EBADMSG);
		CU_ASSERT_PTR_NOT_NULL(strstr(why, "format.0123456789abcdef is damaged"));
	}
	store.load_fails = -EIO;
	CU_ASSERT_EQUAL(open_with_store(&w, why, sizeof(why)), -EIO);
	store.load_fails = 0;
	fake_store_put(&store, record_name, record, strlen(record));
	meet(&w);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_FORMAT_CORRUPTED);
	world_destroy(&w);
}

UNIT_MAIN(TEST(interrupted_format_is_corrupted), TEST(failed_format_is_not_forgotten),
	  TEST(store_that_fails_stops_it), TEST(damaged_records_are_refused));
