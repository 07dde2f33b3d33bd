// SPDX-License-Identifier: BSD-2-Clause
/* SANITIZE: what is written and in which order, who waits, what is refused meanwhile, failures. */
#include "sanitize_rig.h"

static void whole_medium_is_overwritten(void)
{
	static const uint16_t lens[] = { 512, 256, 4, 1, 511 };
	struct world w;

	begin(&w);
	for (size_t i = 0; i < array_size(lens); i++) {
		uint8_t *list = overwrite_list(1, lens[i]);

		disk_forget(&w.disk);
		CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), 0);
		CU_ASSERT(overwritten(&w, list, 0));
		/* On stable media before GOOD. */
		CU_ASSERT_EQUAL(w.disk.log[w.disk.requests - 1].opcode, BS_FLUSH);
		CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
		free(list);
	}
	world_destroy(&w);
}

static void passes_are_flushed_and_inverted(void)
{
	struct world w;

	for (uint8_t passes = 2; passes <= 3; passes++) {
		uint8_t *list = overwrite_list(INVERTED | passes, 4);
		unsigned int flushes = 0, writes = 0;
		struct command c;

		begin(&w);
		w.disk.hold = true;
		command_init(&w, &c, sanitize(OVERWRITE, 8).b, DIR_WRITE, 8, list);
		command_submit(&c);
		while (!c.ends) {
			enum bs_opcode opcode = w.disk.held[0]->opcode;

			disk_release(&w.disk);
			world_turn(&w);
			writes += opcode == BS_WRITE;
			if (opcode != BS_FLUSH)
				continue;
			/* The last pass has the pattern itself. */
			flushes++;
			CU_ASSERT(overwritten(&w, list, (passes - flushes) % 2 ? 0xff : 0));
		}
		CU_ASSERT_EQUAL(flushes, passes);
		CU_ASSERT_EQUAL(writes, passes * (DISK_SIZE >> 20));
		ASSERT_GOOD(&c);
		command_free(&c);
		free(list);
		world_destroy(&w);
	}
}

static void block_erase_erases_and_unmaps(void)
{
	struct world w;

	begin(&w);
	CU_ASSERT_EQUAL(without_data(&w, sanitize(BLOCK_ERASE, 0).b), 0);
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_ERASE);
	for (uint32_t i = 0; i < DISK_SIZE; i += 97)
		CU_ASSERT_EQUAL_FATAL(w.disk.bytes[i], 0);
	CU_ASSERT_EQUAL(without_data(&w, sanitize(BLOCK_ERASE, 8).b), SENSE_INVALID_CDB_FIELD);
	w.disk.bs.limits.can_erase = false;
	CU_ASSERT_EQUAL(without_data(&w, sanitize(BLOCK_ERASE, 0).b), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(without_data(&w, sanitize(CRYPTO_ERASE, 0).b), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(without_data(&w, sanitize(0, 0).b), SENSE_INVALID_CDB_FIELD);
	world_destroy(&w);
}

static void bad_lists_are_refused(void)
{
	uint8_t *list = overwrite_list(1, 512);
	struct world w;

	begin(&w);
	for (uint16_t len = 0; len <= 4; len++)
		CU_ASSERT_EQUAL(outcome(&w, sanitize(OVERWRITE, len).b, DIR_WRITE, 8, list),
				SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, sanitize(OVERWRITE, 517).b, DIR_WRITE, 516, list),
			SENSE_INVALID_CDB_FIELD);
	/* Less comes than the CDB says. */
	CU_ASSERT_EQUAL(outcome(&w, sanitize(OVERWRITE, 516).b, DIR_WRITE, 515, list),
			SENSE_INVALID_IU_FIELD);
	list[0] = 0;
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), SENSE_INVALID_LIST_FIELD);
	list[0] = 1;
	put16(list + 2, 0);
	CU_ASSERT_EQUAL(outcome(&w, sanitize(OVERWRITE, 516).b, DIR_WRITE, 516, list),
			SENSE_INVALID_LIST_FIELD);
	put16(list + 2, 513);
	CU_ASSERT_EQUAL(outcome(&w, sanitize(OVERWRITE, 516).b, DIR_WRITE, 516, list),
			SENSE_INVALID_LIST_FIELD);
	put16(list + 2, 512);
	CU_ASSERT_EQUAL(outcome(&w, sanitize(OVERWRITE, 515).b, DIR_WRITE, 515, list),
			SENSE_LIST_LENGTH);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	CU_ASSERT_EQUAL(store.stores, 0);
	free(list);
	world_destroy(&w);
}

static void protected_units_are_not_sanitized(void)
{
	uint8_t *list = overwrite_list(1, 4);
	struct world w;

	begin(&w);
	lu_set(w.lu, LU_SOFT_PROTECTED);
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), SENSE_SOFT_PROTECTED);
	CU_ASSERT_EQUAL(without_data(&w, sanitize(BLOCK_ERASE, 0).b), SENSE_SOFT_PROTECTED);
	lu_clear(w.lu, LU_SOFT_PROTECTED);
	atomic_store(&w.a.denied[0], 1u << RSV_WRITE);
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), UINT32_MAX);
	CU_ASSERT_EQUAL(without_data(&w, sanitize(BLOCK_ERASE, 0).b), UINT32_MAX);
	atomic_store(&w.a.denied[0], 0);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	free(list);
	world_destroy(&w);
}

/* Starts OVERWRITE with a disk that hangs. */
static void start_held(struct world *w, struct command *c, uint8_t action, const uint8_t *list)
{
	begin(w);
	w->disk.hold = true;
	command_init(w, c, sanitize(action, 8).b, DIR_WRITE, 8, list);
	command_submit(c);
	CU_ASSERT_EQUAL_FATAL(w->disk.held_count, 1);
}

/* Lets the rest of it run. */
static void run_out(struct world *w)
{
	w->disk.hold = false;
	while (w->disk.held_count)
		disk_release(&w->disk);
	world_turn(w);
}

static void most_commands_are_refused_meanwhile(void)
{
	static const uint8_t request_sense[6] = { CDB_REQUEST_SENSE, 0, 0, 0, 18 };
	static const uint8_t inquiry[6] = { CDB_INQUIRY, 0, 0, 0, 96 };
	static const uint8_t start[6] = { CDB_START_STOP_UNIT, 0, 0, 0, START_STOP_START };
	uint8_t *list = overwrite_list(1, 4);
	struct command c, other;
	struct world w;

	start_held(&w, &c, OVERWRITE | IMMED, list);
	ASSERT_GOOD(&c); /* validated, recorded; the rest takes its time */
	command_free(&c);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZING);
	CU_ASSERT_EQUAL(without_data(&w, start), SENSE_SANITIZING);
	CU_ASSERT_EQUAL(outcome(&w, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, 512, NULL),
			SENSE_SANITIZING);
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), SENSE_SANITIZING);
	CU_ASSERT_EQUAL(exit_failure(&w), SENSE_SANITIZING);
	CU_ASSERT_EQUAL(outcome(&w, inquiry, DIR_READ, 96, NULL), 0);
	for (int i = 0; i < 4; i++) {
		disk_release(&w.disk);
		world_turn(&w);
	}
	/* Half of it is done. */
	command_run(&w, &other, request_sense, DIR_READ, 18, NULL);
	ASSERT_GOOD(&other);
	CU_ASSERT_EQUAL(other.in[2], 0x02);
	CU_ASSERT_EQUAL(get_be(other.in + 12, 2), 0x041b);
	CU_ASSERT_EQUAL(other.in[15], 0x80);
	CU_ASSERT(get_be(other.in + 16, 2) > 0x7000 && get_be(other.in + 16, 2) < 0x9000);
	command_free(&other);
	command_run(&w, &other, test_unit_ready, 0, 0, NULL);
	CU_ASSERT_EQUAL(other.task.sense[15], 0x80);
	CU_ASSERT(get_be(other.task.sense + 16, 2) > 0x7000);
	command_free(&other);
	/* A reset does not end it, nor does the loss of the nexus that asked. */
	lu_reset(w.lu);
	nexus_detach(&w.a);
	run_out(&w);
	nexus_join(&w, &w.a, "a");
	CU_ASSERT(overwritten(&w, list, 0));
	CU_ASSERT_EQUAL(atomic_load(&w.b.unit_attentions[0]) >> UA_MEDIUM_CHANGED & 1, 1);
	atomic_store(&w.b.unit_attentions[0], 0);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	free(list);
	world_destroy(&w);
}

static void aborted_command_leaves_it_running(void)
{
	uint8_t *list = overwrite_list(1, 4);
	struct command c;
	struct world w;

	start_held(&w, &c, OVERWRITE, list);
	CU_ASSERT_EQUAL(c.ends, 0);
	scsi_abort(&c.task);
	CU_ASSERT_EQUAL(c.ends, 1);
	command_free(&c);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZING);
	run_out(&w);
	CU_ASSERT(overwritten(&w, list, 0));
	CU_ASSERT_EQUAL(atomic_load(&w.a.unit_attentions[0]), 1u << UA_MEDIUM_CHANGED);
	free(list);
	world_destroy(&w);
}

/* A WRITE whose data comes late must not write behind the overwriting. */
static void commands_that_were_there_before_end(void)
{
	uint8_t *list = overwrite_list(1, 4), *data = pattern(8 * BLOCK, 3);
	struct command write, held, c;
	struct world w;

	begin(&w);
	command_init(&w, &write, cdb_rw(CDB_WRITE_10, 0, 0, 8).b, DIR_WRITE, 8 * BLOCK, data);
	write.hold = true;
	command_submit(&write);
	CU_ASSERT_EQUAL(write.ends, 0);
	/* This one is at the disk already: it is waited for. */
	w.disk.hold = true;
	command_init(&w, &held, cdb_rw(CDB_WRITE_10, 0, 100, 8).b, DIR_WRITE, 8 * BLOCK, data);
	command_submit(&held);
	CU_ASSERT_EQUAL(w.disk.held_count, 1);
	command_init(&w, &c, sanitize(OVERWRITE, 8).b, DIR_WRITE, 8, list);
	command_submit(&c);
	CU_ASSERT_EQUAL(w.disk.held_count, 1);
	CU_ASSERT_EQUAL(store.stores, 0);
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_GOOD(&held);
	CU_ASSERT_EQUAL(w.disk.held[0]->opcode, BS_WRITE);
	CU_ASSERT_EQUAL(w.disk.held[0]->len, 1 << 20);
	write.hold = false;
	command_transfer(&write);
	ASSERT_SENSE(&write, SENSE_SANITIZING);
	run_out(&w);
	ASSERT_GOOD(&c);
	CU_ASSERT(overwritten(&w, list, 0));
	command_free(&write);
	command_free(&held);
	command_free(&c);
	free(list);
	free(data);
	world_destroy(&w);
}

static void second_one_is_refused(void)
{
	uint8_t *list = overwrite_list(1, 4), *data = pattern(8 * BLOCK, 3);
	struct command write, one, two;
	struct world w;

	begin(&w);
	w.disk.hold = true;
	command_init(&w, &write, cdb_rw(CDB_WRITE_10, 0, 100, 8).b, DIR_WRITE, 8 * BLOCK, data);
	command_submit(&write);
	command_init(&w, &one, sanitize(OVERWRITE, 8).b, DIR_WRITE, 8, list);
	command_submit(&one);
	command_init(&w, &two, sanitize(BLOCK_ERASE, 0).b, 0, 0, NULL);
	command_submit(&two);
	CU_ASSERT(!one.ends && !two.ends);
	run_out(&w);
	ASSERT_GOOD(&one);
	ASSERT_SENSE(&two, SENSE_SANITIZING);
	command_free(&write);
	command_free(&one);
	command_free(&two);
	free(list);
	free(data);
	world_destroy(&w);
}

/* --- Failures */

static void failure_in_restricted_mode_stays(void)
{
	uint8_t *list = overwrite_list(1, 4);
	struct world w;

	begin(&w);
	w.disk.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), SENSE_SANITIZE_FAILED);
	w.disk.fail[BS_WRITE] = 0;
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZE_FAILED);
		CU_ASSERT_EQUAL(outcome(&w, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, 512, NULL),
				SENSE_SANITIZE_FAILED);
		CU_ASSERT_EQUAL(exit_failure(&w), SENSE_INVALID_CDB_FIELD);
		CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE | AUSE, list), SENSE_INVALID_CDB_FIELD);
		restart(&w);
	}
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), 0);
	CU_ASSERT(overwritten(&w, list, 0));
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	restart(&w);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	free(list);
	world_destroy(&w);
}

static void failure_in_unrestricted_mode_can_be_left(void)
{
	static const enum bs_opcode fails[] = { BS_FLUSH, BS_ERASE, BS_UNMAP };
	uint8_t *list = overwrite_list(1, 4);
	struct world w;

	begin(&w);
	CU_ASSERT_EQUAL(exit_failure(&w), 0); /* there is none */
	for (size_t i = 0; i < array_size(fails); i++) {
		w.disk.fail[fails[i]] = -EIO;
		CU_ASSERT_EQUAL(without_data(&w, sanitize(BLOCK_ERASE | AUSE, 0).b),
				SENSE_SANITIZE_FAILED);
		w.disk.fail[fails[i]] = 0;
		atomic_store(&w.disk.bs.flush_failed, false);
		if (i == 1)
			restart(&w);
		CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZE_FAILED);
		store.store_fails = -EIO;
		CU_ASSERT_EQUAL(exit_failure(&w), SENSE_INTERNAL_FAILURE);
		store.store_fails = 0;
		CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZE_FAILED);
		CU_ASSERT_EQUAL(exit_failure(&w), 0);
		CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
		restart(&w);
		CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	}
	free(list);
	world_destroy(&w);
}

static void store_that_fails_stops_it(void)
{
	uint8_t *list = overwrite_list(2, 4), before[BLOCK];
	struct command c;
	struct world w;

	begin(&w);
	memcpy(before, w.disk.bytes, sizeof(before));
	store.store_fails = -ENOSPC;
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), SENSE_INTERNAL_FAILURE);
	/* Not a byte has gone. */
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	CU_ASSERT(!memcmp(before, w.disk.bytes, sizeof(before)));
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	/* The record cannot be removed: another start would do it again, so no data is taken. */
	store.store_fails = 0;
	w.disk.hold = true;
	command_init(&w, &c, sanitize(OVERWRITE, 8).b, DIR_WRITE, 8, list);
	command_submit(&c);
	store.store_fails = -EIO;
	run_out(&w);
	ASSERT_SENSE(&c, SENSE_SANITIZE_FAILED);
	command_free(&c);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZE_FAILED);
	store.store_fails = 0;
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), 0);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), 0);
	free(list);
	world_destroy(&w);
}

/* They were good when they came, and their data comes when the unit has failed. */
static void failure_is_seen_by_commands_under_way(void)
{
	uint8_t *list = overwrite_list(1, 4), header[4] = { 0 };
	static const uint8_t format[6] = { CDB_FORMAT_UNIT, 0x10 };
	struct command other, formatting;
	struct world w;

	begin(&w);
	command_init(&w, &other, sanitize(OVERWRITE | AUSE, 8).b, DIR_WRITE, 8, list);
	command_init(&w, &formatting, format, DIR_WRITE, 4, header);
	other.hold = formatting.hold = true;
	command_submit(&other);
	command_submit(&formatting);
	w.disk.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), SENSE_SANITIZE_FAILED);
	w.disk.fail[BS_WRITE] = 0;
	disk_forget(&w.disk);
	other.hold = formatting.hold = false;
	command_transfer(&other);
	command_transfer(&formatting);
	ASSERT_SENSE(&other, SENSE_INVALID_CDB_FIELD);
	ASSERT_SENSE(&formatting, SENSE_SANITIZE_FAILED);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	CU_ASSERT_EQUAL(without_data(&w, test_unit_ready), SENSE_SANITIZE_FAILED);
	command_free(&other);
	command_free(&formatting);
	free(list);
	world_destroy(&w);
}

/* Of a file that was cut below one block nothing is left to be overwritten. */
static void nothing_is_not_sanitized(void)
{
	uint8_t *list = overwrite_list(1, 4);
	struct world w;

	begin(&w);
	w.disk.bs.limits.size = 0;
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE | AUSE, list), SENSE_SANITIZE_FAILED);
	CU_ASSERT_EQUAL(exit_failure(&w), 0);
	CU_ASSERT_EQUAL(without_data(&w, sanitize(BLOCK_ERASE, 0).b), SENSE_SANITIZE_FAILED);
	w.disk.bs.limits.size = DISK_SIZE;
	CU_ASSERT_EQUAL(overwrite(&w, OVERWRITE, list), 0);
	CU_ASSERT(overwritten(&w, list, 0));
	free(list);
	world_destroy(&w);
}

UNIT_MAIN(TEST(whole_medium_is_overwritten), TEST(passes_are_flushed_and_inverted),
	  TEST(block_erase_erases_and_unmaps), TEST(bad_lists_are_refused),
	  TEST(protected_units_are_not_sanitized), TEST(most_commands_are_refused_meanwhile),
	  TEST(aborted_command_leaves_it_running), TEST(commands_that_were_there_before_end),
	  TEST(second_one_is_refused), TEST(failure_in_restricted_mode_stays),
	  TEST(failure_in_unrestricted_mode_can_be_left), TEST(store_that_fails_stops_it),
	  TEST(failure_is_seen_by_commands_under_way), TEST(nothing_is_not_sanitized));
