// SPDX-License-Identifier: BSD-2-Clause
/* MODE SELECT: saving, one at a time, aborts. */
#include "scsi_mode_world.h"

static void saved_values_are_durable_before_good(void)
{
	struct cdb cdb = cdb_select(MODE_SELECT_PF | MODE_SELECT_SP, sizeof(wce_off));
	struct fake_store store;
	struct command c;
	struct world w;

	world_with_store(&w, &store);
	store.hold = true;
	command_init(&w, &c, cdb.b, DIR_WRITE, sizeof(wce_off), wce_off);
	command_submit(&c);
	CU_ASSERT_EQUAL(c.ends, 0);
	CU_ASSERT(atomic_load(&w.lu->mode.write_cache));
	fake_store_release(&store);
	world_turn(&w);
	ASSERT_GOOD(&c);
	command_free(&c);
	CU_ASSERT(!atomic_load(&w.lu->mode.write_cache));
	CU_ASSERT_EQUAL(page_byte(&w, MODE_SAVED, MODE_PAGE_CACHING, 2), 0);
	CU_ASSERT(strstr(store.record[0].text, "08/00 88 12 00 ") != NULL);
	/* Without SP the saved ones stay. */
	store.hold = false;
	CU_ASSERT_EQUAL(select6(&w, wce_on, sizeof(wce_on)), 0);
	CU_ASSERT_EQUAL(page_byte(&w, MODE_SAVED, MODE_PAGE_CACHING, 2), 0);
	CU_ASSERT_EQUAL(page_byte(&w, MODE_CURRENT, MODE_PAGE_CACHING, 2), MODE_CACHING_WCE);
	CU_ASSERT_EQUAL(store.stores, 1);
	/* A save without pages saves the current values: the version goes on. */
	CU_ASSERT_EQUAL(select_flags(&w, MODE_SELECT_SP, NULL, 0), 0);
	CU_ASSERT_EQUAL(page_byte(&w, MODE_SAVED, MODE_PAGE_CACHING, 2), MODE_CACHING_WCE);
	CU_ASSERT_EQUAL(store.record[0].version, 2);
	world_destroy(&w);
}

static void a_store_that_fails_changes_nothing(void)
{
	struct fake_store store;
	struct world w;

	world_with_store(&w, &store);
	store.store_fails = -EIO;
	CU_ASSERT_EQUAL(select_flags(&w, MODE_SELECT_PF | MODE_SELECT_SP, wce_off, sizeof(wce_off)),
			SENSE_INTERNAL_FAILURE);
	CU_ASSERT(atomic_load(&w.lu->mode.write_cache));
	CU_ASSERT_EQUAL(page_byte(&w, MODE_SAVED, MODE_PAGE_CACHING, 2), MODE_CACHING_WCE);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	store.store_fails = 0;
	CU_ASSERT_EQUAL(select_flags(&w, MODE_SELECT_PF | MODE_SELECT_SP, wce_off, sizeof(wce_off)),
			0);
	world_destroy(&w);
}

/* What is stored has happened, so it counts though nobody waits for the answer. The rest has not. */
static void an_abort_while_it_is_stored(void)
{
	struct cdb cdb = cdb_select(MODE_SELECT_PF | MODE_SELECT_SP, sizeof(wce_off));
	struct fake_store store;
	struct command c;
	struct world w;

	world_with_store(&w, &store);
	store.hold = true;
	command_init(&w, &c, cdb.b, DIR_WRITE, sizeof(wce_off), wce_off);
	command_submit(&c);
	scsi_abort(&c.task);
	CU_ASSERT_EQUAL(c.ends, 0);
	fake_store_release(&store);
	world_turn(&w);
	CU_ASSERT_EQUAL(c.ends, 1);
	command_free(&c);
	CU_ASSERT_EQUAL(page_byte(&w, MODE_SAVED, MODE_PAGE_CACHING, 2), 0);
	CU_ASSERT_EQUAL(page_byte(&w, MODE_CURRENT, MODE_PAGE_CACHING, 2), MODE_CACHING_WCE);
	CU_ASSERT_EQUAL(write_block(&w), 0);
	/* The record is the one that the next change begins with. */
	store.hold = false;
	CU_ASSERT_EQUAL(select_flags(&w, MODE_SELECT_SP, NULL, 0), 0);
	CU_ASSERT_EQUAL(store.record[0].version, 2);
	world_destroy(&w);
}

/* However long the store takes. */
static void writes_go_on_while_it_is_stored(void)
{
	struct cdb cdb = cdb_select(MODE_SELECT_PF | MODE_SELECT_SP, sizeof(wce_off));
	struct fake_store store;
	struct command c;
	struct world w;

	world_with_store(&w, &store);
	store.hold = true;
	command_init(&w, &c, cdb.b, DIR_WRITE, sizeof(wce_off), wce_off);
	command_submit(&c);
	CU_ASSERT_EQUAL(c.ends, 0);
	CU_ASSERT_EQUAL(write_block(&w), 0);
	fake_store_release(&store);
	world_turn(&w);
	ASSERT_GOOD(&c);
	command_free(&c);
	/* It was in the cache when that went. */
	CU_ASSERT_EQUAL(w.disk.requests, 2);
	CU_ASSERT_EQUAL(w.disk.log[1].opcode, BS_FLUSH);
	world_destroy(&w);
}

/* --- One at a time */

static void selects_run_one_after_the_other(void)
{
	struct cdb off = cdb_select(MODE_SELECT_PF, sizeof(wce_off));
	struct cdb control = cdb_select(MODE_SELECT_PF, sizeof(control_list));
	struct command one, two, three;
	uint8_t tas[sizeof(control_list)];
	struct world w;

	world_create(&w);
	memcpy(tas, control_list, sizeof(tas));
	tas[CONTROL_FLAGS5] = MODE_TAS;
	w.disk.hold = true;
	command_init(&w, &one, off.b, DIR_WRITE, sizeof(wce_off), wce_off);
	command_submit(&one);
	command_init(&w, &two, control.b, DIR_WRITE, sizeof(tas), tas);
	two.task.nexus = &w.b;
	command_submit(&two);
	command_init(&w, &three, control.b, DIR_WRITE, sizeof(tas), tas);
	command_submit(&three);
	CU_ASSERT_EQUAL(one.ends + two.ends + three.ends, 0);
	/* One that waits can be aborted. */
	scsi_abort(&three.task);
	world_turn(&w);
	CU_ASSERT_EQUAL(three.ends, 1);
	w.disk.hold = false;
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_GOOD(&one);
	ASSERT_GOOD(&two);
	CU_ASSERT(!atomic_load(&w.lu->mode.write_cache));
	CU_ASSERT(atomic_load(&w.lu->mode.tas));
	command_free(&one);
	command_free(&two);
	command_free(&three);
	world_destroy(&w);
}

static void an_abort_during_the_flush(void)
{
	struct cdb off = cdb_select(MODE_SELECT_PF, sizeof(wce_off));
	struct command c;
	struct world w;

	world_create(&w);
	w.disk.hold = true;
	command_init(&w, &c, off.b, DIR_WRITE, sizeof(wce_off), wce_off);
	command_submit(&c);
	scsi_abort(&c.task);
	w.disk.hold = false;
	disk_release(&w.disk);
	world_turn(&w);
	CU_ASSERT_EQUAL(c.ends, 1);
	command_free(&c);
	CU_ASSERT(atomic_load(&w.lu->mode.write_cache));
	CU_ASSERT_EQUAL(write_block(&w), 0);
	world_destroy(&w);
}

UNIT_MAIN(TEST(saved_values_are_durable_before_good), TEST(a_store_that_fails_changes_nothing),
	  TEST(an_abort_while_it_is_stored), TEST(writes_go_on_while_it_is_stored),
	  TEST(selects_run_one_after_the_other), TEST(an_abort_during_the_flush));
