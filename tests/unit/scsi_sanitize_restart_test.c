// SPDX-License-Identifier: BSD-2-Clause
/* SANITIZE and the end of the daemon: what is recorded, and what the next start makes of it. */
#include "sanitize_rig.h"

static bool stopped;

static void has_stopped(void *arg)
{
	(void)arg;
	stopped = true;
}

static void restart_goes_on(void)
{
	uint8_t *list = overwrite_list(INVERTED | 2, 16);
	struct command c;
	struct world w;

	begin(&w);
	w.disk.hold = true;
	command_init(&w, &c, sanitize(OVERWRITE | IMMED, 20).b, DIR_WRITE, 20, list);
	command_submit(&c);
	ASSERT_GOOD(&c);
	command_free(&c);
	/* Ten chunks and a flush: into the second pass. */
	for (int i = 0; i < 10; i++) {
		disk_release(&w.disk);
		world_turn(&w);
	}
	stopped = false;
	lu_stop_job(w.lu, has_stopped, NULL);
	CU_ASSERT(!stopped); /* a request is at the disk */
	disk_release(&w.disk);
	world_turn(&w);
	CU_ASSERT(stopped);
	CU_ASSERT_EQUAL(w.disk.held_count, 0);
	restart(&w);
	disk_forget(&w.disk);
	w.disk.hold = false;
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZING);
	lu_resume(w.lu, w.reactor);
	world_turn(&w);
	CU_ASSERT(overwritten(&w, list, 0));
	/* Only the second pass. */
	CU_ASSERT_EQUAL(w.disk.requests, (DISK_SIZE >> 20) + 1);
	atomic_store(&w.a.unit_attentions[0], 0);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	restart(&w);
	lu_resume(w.lu, w.reactor); /* nothing to do */
	lu_stop_job(w.lu, has_stopped, NULL);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	free(list);
	world_destroy(&w);
}

/* The daemon is gone before it can go on: the record is still there. */
static void start_without_resuming_keeps_it(void)
{
	static const char record[] =
		"riser sanitize 1\nrunning erase ause 0 invert 0 passes 1 done 1\n\n";
	struct world w;

	begin(&w);
	fake_store_put(&store, RECORD, record, strlen(record));
	restart(&w);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZING);
	restart(&w);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZING);
	stopped = false;
	lu_stop_job(w.lu, has_stopped, NULL);
	CU_ASSERT(stopped);
	disk_forget(&w.disk);
	lu_resume(w.lu, w.reactor);
	world_turn(&w);
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_UNMAP);
	CU_ASSERT_EQUAL(w.disk.bytes[DISK_SIZE - 1], 0);
	world_destroy(&w);
}

static void damaged_records_are_refused(void)
{
	static const char *const records[] = {
		"",
		"riser sanitize 2\nrunning erase ause 0 invert 0 passes 1 done 0\n\n",
		"riser sanitize 1\nrunning erase ause 0 invert 0 passes 1 done 0\n",
		"riser sanitize 1\nrunning erase ause 0 invert 0 passes 0 done 0\n\n",
		"riser sanitize 1\nrunning erase ause 0 invert 0 passes 32 done 0\n\n",
		"riser sanitize 1\nrunning erase ause 0 invert 0 passes 1 done 2\n\n",
		"riser sanitize 1\nrunning erase ause 0 invert 0 passes 1 done 0\n00\n",
		"riser sanitize 1\nrunning overwrite ause 0 invert 0 passes 1 done 0\n\n",
		"riser sanitize 1\nrunning overwrite ause 0 invert 0 passes 1 done 0\n0\n",
		"riser sanitize 1\nrunning overwrite ause 0 invert 0 passes 1 done 0\n0g\n",
		"riser sanitize 1\nrunning overwrite ause 0 invert 0 passes 1 done 0\n00",
		"riser sanitize 1\nwalking overwrite ause 0 invert 0 passes 1 done 0\n00\n",
		"riser sanitize 1\nrunning overwhelm ause 0 invert 0 passes 1 done 0\n00\n",
		"riser sanitize 1\nrunning overwrite ause 0 invert 0 passes 999999999 done 0\n00\n",
	};
	struct lu_config cfg = { .serial = "0123456789abcdef",
				 .product = "disk",
				 .reactors = 1,
				 .store = &store.store };
	struct world w;
	struct lu *lu;
	char why[256], longest[8000];

	begin(&w);
	cfg.bs = &w.disk.bs;
	for (size_t i = 0; i < array_size(records); i++) {
		fake_store_put(&store, RECORD, records[i], strlen(records[i]));
		CU_ASSERT_EQUAL(lu_create(&cfg, &lu, why, sizeof(why)), -EBADMSG);
		CU_ASSERT_PTR_NOT_NULL(strstr(why, "sanitize.0123456789abcdef is damaged"));
	}
	/* A pattern longer than a block. */
	memset(longest, '0', sizeof(longest));
	memcpy(longest, records[7], strlen(records[7]) - 1);
	longest[strlen(records[7]) - 1 + 1026] = '\n';
	fake_store_put(&store, RECORD, longest, strlen(records[7]) + 1026);
	CU_ASSERT_EQUAL(lu_create(&cfg, &lu, why, sizeof(why)), -EBADMSG);
	store.load_fails = -EIO;
	CU_ASSERT(lu_create(&cfg, &lu, why, sizeof(why)) < 0);
	world_destroy(&w);
}

/* Without a store nothing survives, and all else is the same. */
static void works_without_a_store(void)
{
	uint8_t *list = overwrite_list(31, 1);
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), 0);
	CU_ASSERT(overwritten(&w, list, 0));
	w.disk.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE | AUSE, list), SENSE_SANITIZE_FAILED);
	CU_ASSERT_EQUAL(exit_failure(&w), 0);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	free(list);
	world_destroy(&w);
}

UNIT_MAIN(TEST(restart_goes_on), TEST(start_without_resuming_keeps_it),
	  TEST(damaged_records_are_refused), TEST(works_without_a_store));
