// SPDX-License-Identifier: BSD-2-Clause
/* MODE SELECT: the list (reliability 3.8, S11), what changed values do. */
#include "scsi_mode_world.h"

/* --- The cache */

static void without_the_cache_writes_are_forced(void)
{
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(write_block(&w), 0);
	CU_ASSERT_EQUAL(w.disk.log[0].flags, 0);
	disk_forget(&w.disk);
	CU_ASSERT_EQUAL(select6(&w, wce_off, sizeof(wce_off)), 0);
	/* What was in the cache is on the medium before the answer. */
	CU_ASSERT_EQUAL(w.disk.requests, 1);
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_FLUSH);
	CU_ASSERT_EQUAL(page_byte(&w, MODE_CURRENT, MODE_PAGE_CACHING, 2), 0);
	CU_ASSERT_EQUAL(page_byte(&w, MODE_DEFAULT, MODE_PAGE_CACHING, 2), MODE_CACHING_WCE);
	disk_forget(&w.disk);
	CU_ASSERT_EQUAL(write_block(&w), 0);
	CU_ASSERT_EQUAL(w.disk.log[0].flags, BS_FUA);
	disk_forget(&w.disk);
	CU_ASSERT_EQUAL(select6(&w, wce_on, sizeof(wce_on)), 0);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	CU_ASSERT_EQUAL(write_block(&w), 0);
	CU_ASSERT_EQUAL(w.disk.log[0].flags, 0);
	world_destroy(&w);
}

static void a_flush_that_fails_changes_nothing(void)
{
	struct world w;

	world_create(&w);
	w.disk.fail[BS_FLUSH] = -EIO;
	CU_ASSERT_EQUAL(select6(&w, wce_off, sizeof(wce_off)), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(page_byte(&w, MODE_CURRENT, MODE_PAGE_CACHING, 2), MODE_CACHING_WCE);
	CU_ASSERT(atomic_load(&w.lu->mode.write_cache));
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	world_destroy(&w);
}

/* A write that is in the backstore already is flushed with the rest: the flush waits for it. */
static void the_flush_covers_writes_in_flight(void)
{
	struct cdb write = cdb_rw(CDB_WRITE_10, 0, 5, 1), off = cdb_select(MODE_SELECT_PF, 24);
	struct command first, select, late;
	uint8_t *data = pattern(512, 1);
	struct world w;

	world_create(&w);
	w.disk.hold = true;
	command_init(&w, &first, write.b, DIR_WRITE, 512, data);
	command_submit(&first);
	command_init(&w, &select, off.b, DIR_WRITE, sizeof(wce_off), wce_off);
	command_submit(&select);
	CU_ASSERT_EQUAL(w.disk.requests, 1);
	/* One that comes now has looked at WCE while it was set. */
	command_init(&w, &late, write.b, DIR_WRITE, 512, data);
	late.task.nexus = &w.b;
	command_submit(&late);
	CU_ASSERT_EQUAL(w.disk.requests, 1);
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_GOOD(&first);
	CU_ASSERT_EQUAL(w.disk.requests, 2);
	CU_ASSERT_EQUAL(w.disk.log[1].opcode, BS_FLUSH);
	CU_ASSERT_EQUAL(select.ends, 0);
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_GOOD(&select);
	CU_ASSERT_EQUAL(w.disk.requests, 3);
	CU_ASSERT_EQUAL(w.disk.log[2].opcode, BS_WRITE);
	CU_ASSERT_EQUAL(w.disk.log[2].flags, BS_FUA);
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_GOOD(&late);
	command_free(&first);
	command_free(&select);
	command_free(&late);
	free(data);
	world_destroy(&w);
}

static void a_disk_without_a_cache_gets_none(void)
{
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.volatile_cache = false;
	world_open(&w);
	CU_ASSERT_EQUAL(select6(&w, wce_on, sizeof(wce_on)), SENSE_INVALID_LIST_FIELD);
	CU_ASSERT_EQUAL(select6(&w, wce_off, sizeof(wce_off)), 0);
	world_destroy(&w);
}

/* --- The Control page */

static void software_write_protection(void)
{
	uint8_t tail[sizeof(control_list)];
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(select_control(&w, CONTROL_FLAGS4, MODE_SWP), 0);
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_FLUSH);
	CU_ASSERT_EQUAL(write_block(&w), SENSE_SOFT_PROTECTED);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	/* And away again, with a list in which WP is set, as MODE SENSE gave it. */
	memcpy(tail, control_list, sizeof(tail));
	tail[2] = MODE_WRITE_PROTECT | MODE_DPOFUA;
	CU_ASSERT_EQUAL(select6(&w, tail, sizeof(tail)), 0);
	CU_ASSERT_EQUAL(write_block(&w), 0);
	world_destroy(&w);
}

/* Nothing is written any more after GOOD: neither what waits for its data nor what waits at the gate. */
static void writes_that_come_too_late(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_10, 0, 5, 1), select = cdb_select(MODE_SELECT_PF, 16);
	uint8_t list[sizeof(control_list)], *data = pattern(512, 99), *before = pattern(512, 1);
	struct command slow, late, mode;
	struct world w;

	world_create(&w);
	memcpy(list, control_list, sizeof(list));
	list[CONTROL_FLAGS4] = MODE_SWP;
	memcpy(before, w.disk.bytes + 5 * 512, 512);
	command_init(&w, &slow, cdb.b, DIR_WRITE, 512, data);
	slow.hold = true;
	command_submit(&slow);
	w.disk.hold = true;
	command_init(&w, &mode, select.b, DIR_WRITE, sizeof(list), list);
	command_submit(&mode);
	command_init(&w, &late, cdb.b, DIR_WRITE, 512, data);
	late.task.nexus = &w.b;
	command_submit(&late);
	CU_ASSERT_EQUAL(slow.ends + mode.ends + late.ends, 0);
	w.disk.hold = false;
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_GOOD(&mode);
	ASSERT_SENSE(&late, SENSE_WRITE_PROTECTED);
	command_transfer(&slow);
	ASSERT_SENSE(&slow, SENSE_WRITE_PROTECTED);
	CU_ASSERT(!memcmp(w.disk.bytes + 5 * 512, before, 512));
	CU_ASSERT_EQUAL(w.disk.requests, 1);
	command_free(&slow);
	command_free(&late);
	command_free(&mode);
	free(data);
	free(before);
	world_destroy(&w);
}

static void bits_that_others_look_at(void)
{
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(select_control(&w, CONTROL_FLAGS3, 0x10 | QERR_ALL << 1), 0);
	CU_ASSERT_EQUAL(atomic_load(&w.lu->mode.qerr), QERR_ALL);
	CU_ASSERT_EQUAL(select_control(&w, CONTROL_FLAGS3, 0x10 | QERR_NEXUS << 1), 0);
	CU_ASSERT_EQUAL(atomic_load(&w.lu->mode.qerr), QERR_NEXUS);
	CU_ASSERT_EQUAL(select_control(&w, CONTROL_FLAGS3, 0x10 | QERR_RESERVED << 1),
			SENSE_INVALID_LIST_FIELD);
	CU_ASSERT_EQUAL(atomic_load(&w.lu->mode.qerr), QERR_NEXUS);
	CU_ASSERT_EQUAL(select_control(&w, CONTROL_FLAGS5, MODE_TAS), 0);
	CU_ASSERT(atomic_load(&w.lu->mode.tas));
	CU_ASSERT_EQUAL(select_control(&w, CONTROL_FLAGS2, 0x22 | MODE_D_SENSE), 0);
	CU_ASSERT(atomic_load(&w.lu->mode.d_sense));
	CU_ASSERT_EQUAL(select6(&w, control_list, sizeof(control_list)), 0);
	CU_ASSERT(!atomic_load(&w.lu->mode.d_sense));
	CU_ASSERT(!atomic_load(&w.lu->mode.tas));
	world_destroy(&w);
}

/* --- Unit attention */

static void the_others_hear_of_a_change(void)
{
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(select6(&w, wce_on, sizeof(wce_on)), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0); /* it was on */
	CU_ASSERT_EQUAL(select6(&w, wce_off, sizeof(wce_off)), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_MODE_CHANGED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	world_destroy(&w);
}

/* --- The list */

/* A list, and what it gets: length error, or the field at byte and bit. */
static const struct bad_list {
	bool ten;
	uint8_t len;
	uint32_t sense;
	uint8_t byte, bit;
	uint8_t list[40];
} bad_lists[] = {
	/* Too short for the header, the descriptor, the page's head, the page. */
	{ false, 3, SENSE_LIST_LENGTH, 0, 0, { 0 } },
	{ true, 7, SENSE_LIST_LENGTH, 0, 0, { 0 } },
	{ false, 11, SENSE_LIST_LENGTH, 0, 0, { 0, 0, 0, 8 } },
	{ true, 8 + 15, SENSE_LIST_LENGTH, 0, 0, { 0, 0, 0, 0, 1, 0, 0, 16 } },
	{ true, 8, SENSE_LIST_LENGTH, 0, 0, { 0, 0, 0, 0, 0, 0, 0xff, 0xff } },
	{ false, 5, SENSE_LIST_LENGTH, 0, 0, { 0, 0, 0, 0, 0x0a } },
	{ false, 7, SENSE_LIST_LENGTH, 0, 0, { 0, 0, 0, 0, 0x4a, 1, 0 } },
	{ false, 15, SENSE_LIST_LENGTH, 0, 0, { 0, 0, 0, 0, 0x0a, 10, 0x22, 0x10 } },
	/* Header and block descriptor. */
	{ false, 4, SENSE_INVALID_LIST_FIELD, 1, 7, { 0, 1 } },
	{ true, 8, SENSE_INVALID_LIST_FIELD, 2, 7, { 0, 0, 1 } },
	{ false, 11, SENSE_INVALID_LIST_FIELD, 3, 7, { 0, 0, 0, 7 } },
	{ false, 20, SENSE_INVALID_LIST_FIELD, 3, 7, { 0, 0, 0, 16 } },
	{ true, 16, SENSE_INVALID_LIST_FIELD, 6, 7, { 0, 0, 0, 0, 1, 0, 0, 8 } },
	{ false, 12, SENSE_INVALID_LIST_FIELD, 4, 7, { 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 2, 0 } },
	{ false, 12, SENSE_INVALID_LIST_FIELD, 9, 7, { 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 16, 0 } },
	{ true, 24, SENSE_INVALID_LIST_FIELD, 20, 7, { 0, 0, 0, 0, 1, 0, 0, 16, [22] = 16 } },
	/* Pages that are not there, or not of this length. */
	{ false, 6, SENSE_INVALID_LIST_FIELD, 4, 5, { 0, 0, 0, 0, 0x02, 0 } },
	{ false, 6, SENSE_INVALID_LIST_FIELD, 4, 5, { 0, 0, 0, 0, 0x3f, 0 } },
	{ false, 8, SENSE_INVALID_LIST_FIELD, 5, 7, { 0, 0, 0, 0, 0x4a, 0x02, 0, 0 } },
	{ false, 8, SENSE_INVALID_LIST_FIELD, 5, 7, { 0, 0, 0, 0, 0x4a, 0x00, 0, 0x1c } },
	{ false, 8, SENSE_INVALID_LIST_FIELD, 4, 5, { 0, 0, 0, 0, 0x42, 0x01, 0, 0 } },
	{ false, 15, SENSE_INVALID_LIST_FIELD, 5, 7, { 0, 0, 0, 0, 0x0a, 9, 0x22, 0x10 } },
	{ false, 17, SENSE_INVALID_LIST_FIELD, 5, 7, { 0, 0, 0, 0, 0x0a, 11, 0x22, 0x10 } },
	{ false, 36, SENSE_INVALID_LIST_FIELD, 6, 7, { 0, 0, 0, 0, 0x4a, 1, 0xff, 0xff, 7 } },
	/* Bits that cannot be changed: TST, a reserved byte, the priority. */
	{ false,
	  16,
	  SENSE_INVALID_LIST_FIELD,
	  6,
	  5,
	  { 0, 0, 0, 0, 0x0a, 10, 2, 0x10, [12] = 0xff, 0xff } },
	{ false,
	  16,
	  SENSE_INVALID_LIST_FIELD,
	  14,
	  0,
	  { 0, 0, 0, 0, 0x0a, 10, 0x22, 0x10, [12] = 0xff, 0xff, 1 } },
	{ false, 36, SENSE_INVALID_LIST_FIELD, 9, 3, { 0, 0, 0, 0, 0x4a, 1, 0, 28, 7, 8 } },
	{ false,
	  16,
	  SENSE_INVALID_LIST_FIELD,
	  7,
	  2,
	  { 0, 0, 0, 0, 0x0a, 10, 0x22, 0x14, [12] = 0xff, 0xff } },
};

static void bad_lists_change_nothing_and_are_named(void)
{
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(bad_lists); i++) {
		const struct bad_list *b = &bad_lists[i];
		uint8_t cdb[CDB_MAX] = { CDB_MODE_SELECT_6, MODE_SELECT_PF, 0, 0, b->len };
		uint8_t *exact = malloc(b->len);
		struct command c;

		CU_ASSERT_FATAL(exact != NULL);
		memcpy(exact, b->list, b->len);
		if (b->ten) {
			cdb[0] = CDB_MODE_SELECT_10;
			cdb[4] = 0;
			cdb[8] = b->len;
		}
		command_run(&w, &c, cdb, DIR_WRITE, b->len, exact);
		ASSERT_SENSE(&c, b->sense);
		if (b->sense == SENSE_INVALID_LIST_FIELD) {
			CU_ASSERT_EQUAL(c.task.sense[15], 0x88 | b->bit);
			CU_ASSERT_EQUAL(get_be(c.task.sense + 16, 2), b->byte);
		}
		command_free(&c);
		free(exact);
		CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	}
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

/* Every length of a list that is good as a whole, in memory of exactly this size. */
static void no_list_is_read_beyond_its_end(void)
{
	static const uint8_t list[] = { 0, 0, 0,    8, 0,    0,	 0,    0,    0, 0, 2, 0, 0x08, 18,
					0, 0, 0,    0, 0,    0,	 0,    0,    0, 0, 0, 0, 0,    0,
					0, 0, 0,    0, 0x0a, 10, 0x22, 0x10, 0, 0, 0, 0, 0xff, 0xff,
					0, 0, 0x4a, 1, 0,    28, 7,    0,    0, 0, 0, 0, 0,    0,
					0, 0, 0,    0, 0,    0,	 0,    0,    0, 0, 0, 0, 0,    0,
					0, 0, 0,    0, 0,    0 };
	static const uint32_t good[] = { 4 + 8, 4 + 8 + 20, 4 + 8 + 20 + 12, sizeof(list) };
	struct mode_values values;
	struct mode_error error;
	struct world w;

	world_create(&w);
	for (uint32_t len = 0; len <= sizeof(list); len++) {
		uint8_t *exact = malloc(len ? len : 1);
		bool whole = false, taken;

		CU_ASSERT_FATAL(exact != NULL);
		memcpy(exact, list, len);
		for (size_t i = 0; i < array_size(good); i++)
			whole |= good[i] == len;
		mode_defaults(w.lu, &values);
		taken = mode_list_parse(w.lu, exact, len, false, &values, &error);
		CU_ASSERT_EQUAL(taken, whole);
		if (!taken)
			CU_ASSERT_EQUAL(error.sense, SENSE_LIST_LENGTH);
		free(exact);
	}
	world_destroy(&w);
}

static void the_cdb_is_checked_first(void)
{
	static const struct {
		uint8_t flags, len;
		uint32_t edtl, sense;
	} rows[] = {
		{ MODE_SELECT_PF, 0, 0, 0 },
		{ 0, 0, 0, 0 },
		{ 0, 24, 24, SENSE_INVALID_CDB_FIELD }, /* the format of SCSI-1 */
		{ MODE_SELECT_PF, 24, 23, SENSE_LIST_LENGTH },
		{ MODE_SELECT_PF, 24, 0, SENSE_LIST_LENGTH },
		{ MODE_SELECT_PF, 23, 24, SENSE_LIST_LENGTH },
		{ MODE_SELECT_PF | MODE_SELECT_SP, 24, 24, SENSE_INVALID_CDB_FIELD },
		{ MODE_SELECT_SP, 0, 0, SENSE_INVALID_CDB_FIELD },
		{ MODE_SELECT_PF | 0x02, 24, 24, SENSE_INVALID_CDB_FIELD }, /* RTD */
		{ MODE_SELECT_PF, 24, 24, 0 },
	};
	static const uint8_t big[CDB_MAX] = { CDB_MODE_SELECT_10, MODE_SELECT_PF, [7] = 0xff,
					      0xff };
	uint8_t *zeros = calloc(1, 65535);
	struct world w;

	world_create(&w);
	CU_ASSERT_FATAL(zeros != NULL);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_select(rows[i].flags, rows[i].len);

		CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, rows[i].edtl, wce_on), rows[i].sense);
	}
	CU_ASSERT_EQUAL(outcome(&w, big, DIR_WRITE, 65535, zeros), SENSE_LIST_LENGTH);
	free(zeros);
	world_destroy(&w);
}

/* What MODE SENSE gives can be given back, with descriptors of both lengths. */
static void a_round_trip(void)
{
	static const uint8_t flags[] = { 0, MODE_SENSE_DBD, MODE_SENSE_LLBAA };
	struct world w;

	world_with_store(&w, NULL);
	for (size_t i = 0; i < array_size(flags); i++) {
		uint8_t sense[CDB_MAX] = { CDB_MODE_SENSE_10, flags[i], MODE_PAGE_ALL,
					   MODE_SUBPAGE_ALL, [7] = 2 };
		uint8_t give[CDB_MAX] = { CDB_MODE_SELECT_10, MODE_SELECT_PF };
		struct command c;

		command_run(&w, &c, sense, DIR_READ, 512, NULL);
		ASSERT_GOOD(&c);
		put16(give + 7, (uint16_t)c.in_len);
		CU_ASSERT_EQUAL(outcome(&w, give, DIR_WRITE, c.in_len, c.in), 0);
		command_free(&c);
	}
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	world_destroy(&w);
}

UNIT_MAIN(TEST(without_the_cache_writes_are_forced), TEST(a_flush_that_fails_changes_nothing),
	  TEST(the_flush_covers_writes_in_flight), TEST(a_disk_without_a_cache_gets_none),
	  TEST(software_write_protection), TEST(writes_that_come_too_late),
	  TEST(bits_that_others_look_at), TEST(the_others_hear_of_a_change),
	  TEST(bad_lists_change_nothing_and_are_named), TEST(no_list_is_read_beyond_its_end),
	  TEST(the_cdb_is_checked_first), TEST(a_round_trip));
