// SPDX-License-Identifier: BSD-2-Clause
/* Sense data in both formats: what D_SENSE and DESC choose, and the fields that go with a code. */
#include "scsi_port.h"

/* A task of unit 0 that never runs, with sense in the format asked for. */
static struct scsi_task *sensing(struct world *w, struct command *c, bool descriptor)
{
	atomic_store(&w->lu->mode.d_sense, descriptor);
	command_init(w, c, (uint8_t[CDB_MAX]){ CDB_TEST_UNIT_READY }, 0, 0, NULL);
	c->ends = 1;
	memset(c->task.sense, 0xa5, sizeof(c->task.sense));
	return &c->task;
}

static void expect(struct command *c, const void *sense, size_t len)
{
	CU_ASSERT_EQUAL(c->task.status, SAM_CHECK_CONDITION);
	CU_ASSERT_EQUAL(c->task.sense_len, len);
	CU_ASSERT(!memcmp(c->task.sense, sense, len));
	command_free(c);
}

static void a_code_alone(void)
{
	static const uint8_t fixed[18] = { 0x70, 0, 5, [7] = 10, [12] = 0x20, 0x01 };
	static const uint8_t descriptor[8] = { 0x72, 5, 0x20, 0x01 };
	struct command c;
	struct world w;

	world_create(&w);
	task_sense(sensing(&w, &c, false), 5, 0x20, 0x01);
	expect(&c, fixed, sizeof(fixed));
	task_sense(sensing(&w, &c, true), 5, 0x20, 0x01);
	expect(&c, descriptor, sizeof(descriptor));
	/* Where there is no unit there is no D_SENSE. */
	sensing(&w, &c, true)->lun[1] = 9;
	task_sense(&c.task, 5, 0x20, 0x01);
	expect(&c, fixed, sizeof(fixed));
	world_destroy(&w);
}

static void information(void)
{
	static const uint8_t fixed[18] = { 0xf0, 0, 0x0e, 0x12, 0x34, 0x56, 0x78, 10, [12] = 0x1d };
	static const uint8_t too_long[18] = { 0x70, 0, 0x0e, [7] = 10, [12] = 0x1d };
	static const uint8_t descriptor[20] = { 0x72, 0x0e, 0x1d, 0,	0,    0,   0,
						12,   0,    0x0a, 0x80, 0,    1,   2,
						0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde };
	struct command c;
	struct world w;

	world_create(&w);
	task_sense_code(sensing(&w, &c, false), SENSE_MISCOMPARE);
	task_sense_information(&c.task, 0x12345678);
	expect(&c, fixed, sizeof(fixed));
	task_sense_code(sensing(&w, &c, false), SENSE_MISCOMPARE);
	task_sense_information(&c.task, 0x100000000);
	expect(&c, too_long, sizeof(too_long));
	task_sense_code(sensing(&w, &c, true), SENSE_MISCOMPARE);
	task_sense_information(&c.task, 0x01023456789abcde);
	expect(&c, descriptor, sizeof(descriptor));
	world_destroy(&w);
}

static void field_pointers(void)
{
	static const uint8_t cdb_fixed[18] = {
		0x70, 0, 5, [7] = 10, [12] = 0x24, [15] = 0xcb, 0, 2
	};
	static const uint8_t cdb_descriptor[16] = {
		0x72, 5, 0x24, [7] = 8, 2, 6, 0, 0, 0xcb, 0, 2
	};
	static const uint8_t list_fixed[18] = {
		0x70, 0, 5, [7] = 10, [12] = 0x26, [15] = 0x8f, 1, 2
	};
	static const uint8_t list_descriptor[16] = {
		0x72, 5, 0x26, [7] = 8, 2, 6, 0, 0, 0x8f, 1, 2
	};
	static const uint8_t far_away[16] = {
		0x72, 5, 0x26, [7] = 8, 2, 6, 0, 0, 0x88, 0xff, 0xff
	};
	struct command c;
	struct world w;

	world_create(&w);
	task_sense_cdb(sensing(&w, &c, false), 2, 3);
	expect(&c, cdb_fixed, sizeof(cdb_fixed));
	task_sense_cdb(sensing(&w, &c, true), 2, 3);
	expect(&c, cdb_descriptor, sizeof(cdb_descriptor));
	task_sense_list(sensing(&w, &c, false), 0x102, 7);
	expect(&c, list_fixed, sizeof(list_fixed));
	task_sense_list(sensing(&w, &c, true), 0x102, 7);
	expect(&c, list_descriptor, sizeof(list_descriptor));
	task_sense_list(sensing(&w, &c, true), 0x10000, 0);
	expect(&c, far_away, sizeof(far_away));
	world_destroy(&w);
}

static void progress(void)
{
	static const uint8_t fixed[18] = { 0x70, 0,	      2,    [7] = 10, [12] = 4,
					   0x1b, [15] = 0x80, 0x40, 1 };
	static const uint8_t descriptor[16] = {
		0x72, 2, 4, 0x1b, [7] = 8, 2, 6, 0, 0, 0x80, 0x40, 1
	};
	enum sense_code code = (enum sense_code)0x02041b;
	uint8_t data[18];
	struct command c;
	struct world w;

	world_create(&w);
	task_sense_progress(sensing(&w, &c, false), code, 0x4001);
	expect(&c, fixed, sizeof(fixed));
	task_sense_progress(sensing(&w, &c, true), code, 0x4001);
	expect(&c, descriptor, sizeof(descriptor));
	CU_ASSERT_EQUAL(sense_write_progress(data, code, false, 0x4001), 18);
	CU_ASSERT(!memcmp(data, fixed, 18));
	CU_ASSERT_EQUAL(sense_write_progress(data, code, true, 0x4001), 16);
	CU_ASSERT(!memcmp(data, descriptor, 16));
	world_destroy(&w);
}

/* From the command to its status: the unit's format, also for what the port finds. */
static void d_sense_is_for_every_error(void)
{
	static const uint8_t bad_cdb[CDB_MAX] = { CDB_TEST_UNIT_READY, 0x01 };
	struct cdb write = cdb_rw(CDB_WRITE_10, 0, 0, 1);
	uint8_t *out;
	struct command c;
	struct world w;

	world_create(&w);
	out = pattern(512, 1);
	atomic_store(&w.lu->mode.d_sense, true);
	command_run(&w, &c, bad_cdb, 0, 0, NULL);
	ASSERT_SENSE(&c, SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(c.task.sense[0], 0x72);
	CU_ASSERT_EQUAL(c.task.sense_len, 16);
	command_free(&c);
	command_init(&w, &c, write.b, DIR_WRITE, 512, out);
	c.transfer_fails = true;
	command_submit(&c);
	ASSERT_SENSE(&c, 0x0b4705);
	CU_ASSERT_EQUAL(c.task.sense[0], 0x72);
	command_free(&c);
	free(out);
	/* REQUEST SENSE goes by its DESC bit. */
	for (uint8_t desc = 0; desc < 2; desc++) {
		lu_raise_ua(w.lu, UA_CAPACITY_CHANGED, NULL);
		command_run(&w, &c, (uint8_t[CDB_MAX]){ CDB_REQUEST_SENSE, desc, [4] = 252 },
			    DIR_READ, 252, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(c.in[0], desc ? 0x72 : 0x70);
		command_free(&c);
	}
	world_destroy(&w);
}

UNIT_MAIN(TEST(a_code_alone), TEST(information), TEST(field_pointers), TEST(progress),
	  TEST(d_sense_is_for_every_error));
