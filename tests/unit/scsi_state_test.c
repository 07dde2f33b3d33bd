// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the unit remembers: unit attentions, RESERVE and RELEASE, START STOP UNIT, resets, and
 * what REQUEST SENSE tells of it.
 */
#include "scsi_port.h"

static const uint8_t tur[16] = { CDB_TEST_UNIT_READY };

static uint32_t as(struct world *w, struct nexus *nexus, const uint8_t *cdb)
{
	struct command c;
	uint32_t sense;

	command_init(w, &c, cdb, DIR_READ, 255, NULL);
	c.task.nexus = nexus;
	command_submit(&c);
	sense = c.task.status == SAM_RESERVATION_CONFLICT ? UINT32_MAX : command_sense(&c);
	command_free(&c);
	return sense;
}

static void a_new_nexus_learns_of_power_on_once(void)
{
	struct nexus n = { 0 };
	struct world w;

	world_create(&w);
	n.target = &w.target;
	n.port = &w.target.ports[0];
	nexus_attach(&n);
	CU_ASSERT(n.id != 0 && n.id != w.a.id && n.id != w.b.id);
	CU_ASSERT_EQUAL(as(&w, &n, (uint8_t[CDB_MAX]){ CDB_INQUIRY, [4] = 36 }), 0);
	CU_ASSERT_EQUAL(as(&w, &n, (uint8_t[CDB_MAX]){ CDB_REPORT_LUNS, [9] = 16 }), 0);
	CU_ASSERT_EQUAL(as(&w, &n, tur), SENSE_POWER_ON);
	CU_ASSERT_EQUAL(as(&w, &n, tur), 0);
	nexus_detach(&n);
	world_destroy(&w);
}

static void unit_attentions_come_one_by_one(void)
{
	static const uint32_t order[UA_COUNT] = {
		[UA_POWER_ON] = 0x062900,
		[UA_BUS_DEVICE_RESET] = 0x062903,
		[UA_NEXUS_LOSS] = 0x062907,
		[UA_COMMANDS_CLEARED] = 0x062f00,
		[UA_MEDIUM_CHANGED] = 0x062800,
		[UA_CAPACITY_CHANGED] = 0x062a09,
		[UA_MODE_CHANGED] = 0x062a01,
		[UA_LOG_CHANGED] = 0x062a02,
		[UA_RESERVATIONS_PREEMPTED] = 0x062a03,
		[UA_RESERVATIONS_RELEASED] = 0x062a04,
		[UA_REGISTRATIONS_PREEMPTED] = 0x062a05,
		[UA_ACCESS_STATE_CHANGED] = 0x062a06,
		[UA_TIMESTAMP_CHANGED] = 0x062a10,
		[UA_THRESHOLD_REACHED] = 0x063807,
		[UA_INQUIRY_CHANGED] = 0x063f03,
		[UA_IDENTIFIER_CHANGED] = 0x063f05,
		[UA_LUNS_CHANGED] = 0x063f0e,
	};
	struct world w;

	world_create(&w);
	for (int i = UA_COUNT; i--;)
		lu_raise_ua(w.lu, (enum unit_attention)i, &w.b);
	for (int i = 0; i < UA_COUNT; i++)
		CU_ASSERT_EQUAL(as(&w, &w.a, tur), order[i]);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), 0);
	CU_ASSERT_EQUAL(as(&w, &w.b, tur), 0);
	nexus_raise_ua(&w.b, w.lu, UA_COMMANDS_CLEARED);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), 0);
	CU_ASSERT_EQUAL(as(&w, &w.b, tur), SENSE_COMMANDS_CLEARED);
	CU_ASSERT_EQUAL(as(&w, &w.b, tur), 0);
	/* What does not report them does not lose them. */
	lu_raise_ua(w.lu, UA_MODE_CHANGED, &w.b);
	CU_ASSERT_EQUAL(as(&w, &w.a, (uint8_t[CDB_MAX]){ CDB_INQUIRY, [4] = 36 }), 0);
	CU_ASSERT_EQUAL(as(&w, &w.a, (uint8_t[CDB_MAX]){ CDB_REPORT_LUNS, [9] = 16 }), 0);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), SENSE_MODE_CHANGED);
	/* Also before an operation code that is not there. */
	lu_raise_ua(w.lu, UA_MODE_CHANGED, NULL);
	CU_ASSERT_EQUAL(as(&w, &w.a, (uint8_t[CDB_MAX]){ 0xff }), 0x062a01);
	CU_ASSERT_EQUAL(as(&w, &w.b, tur), 0x062a01);
	/* REPORT LUNS is what the last one asks for. */
	lu_raise_ua(w.lu, UA_LUNS_CHANGED, NULL);
	CU_ASSERT_EQUAL(as(&w, &w.a, (uint8_t[CDB_MAX]){ CDB_REPORT_LUNS, [9] = 16 }), 0);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), 0);
	world_destroy(&w);
}

static void request_sense_takes_the_condition_as_data(void)
{
	static const uint8_t fixed[16] = { CDB_REQUEST_SENSE, 0, 0, 0, 252 };
	static const uint8_t descriptor[16] = { CDB_REQUEST_SENSE, 1, 0, 0, 252 };
	struct command c;
	struct world w;

	world_create(&w);
	lu_raise_ua(w.lu, UA_CAPACITY_CHANGED, NULL);
	command_run(&w, &c, fixed, DIR_READ, 252, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(c.in_len, 18);
	CU_ASSERT_EQUAL(c.in[0], 0x70);
	CU_ASSERT_EQUAL(c.in[2], 6);
	CU_ASSERT_EQUAL(get_be(c.in + 12, 2), 0x2a09);
	command_free(&c);
	lu_raise_ua(w.lu, UA_CAPACITY_CHANGED, NULL);
	command_run(&w, &c, descriptor, DIR_READ, 252, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(c.in_len, 8);
	CU_ASSERT_EQUAL(get_be(c.in, 4), 0x72062a09);
	command_free(&c);
	command_run(&w, &c, fixed, DIR_READ, 252, NULL);
	CU_ASSERT_EQUAL(c.in[2], 0);
	command_free(&c);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), 0);
	world_destroy(&w);
}

/* S14, and what passes a reservation. */
static void reservation_matrix(void)
{
	static const struct {
		uint8_t cdb[CDB_MAX];
		bool passes;
	} rows[] = {
		{ { CDB_INQUIRY, [4] = 36 }, true },
		{ { CDB_REPORT_LUNS, [9] = 16 }, true },
		{ { CDB_REQUEST_SENSE, [4] = 18 }, true },
		{ { CDB_RELEASE_6 }, true },
		{ { CDB_TEST_UNIT_READY }, false },
		{ { CDB_MODE_SENSE_6, 0, 0x3f, 0, 255 }, false },
		{ { CDB_READ_CAPACITY_10 }, true },
		{ { CDB_SERVICE_ACTION_IN_16, SA_READ_CAPACITY_16, [13] = 32 }, true },
		{ { CDB_READ_10, [8] = 0 }, false },
		{ { CDB_WRITE_10, [8] = 0 }, false },
		{ { CDB_VERIFY_10 }, false },
		{ { CDB_SYNCHRONIZE_CACHE_10 }, false },
		{ { CDB_START_STOP_UNIT, [4] = 1 }, true },
		{ { CDB_START_STOP_UNIT, [4] = 0x30 }, false },
		{ { CDB_UNMAP }, false },
		{ { CDB_COMPARE_AND_WRITE }, false },
		{ { CDB_RESERVE_6 }, false },
	};
	static const uint8_t reserve[16] = { CDB_RESERVE_6 }, release[16] = { CDB_RELEASE_6 };
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(as(&w, &w.a, reserve), 0);
	CU_ASSERT_EQUAL(as(&w, &w.a, reserve), 0);
	for (size_t i = 0; i < array_size(rows); i++) {
		CU_ASSERT_EQUAL(as(&w, &w.b, rows[i].cdb), rows[i].passes ? 0 : UINT32_MAX);
		if (rows[i].cdb[0] != CDB_RELEASE_6)
			CU_ASSERT_EQUAL(as(&w, &w.a, rows[i].cdb), 0);
	}
	/* The release of who does not hold it did nothing. */
	CU_ASSERT_EQUAL(as(&w, &w.b, tur), UINT32_MAX);
	CU_ASSERT_EQUAL(lu_stats(w.lu, 0)->conflicts, 11);
	CU_ASSERT_EQUAL(as(&w, &w.a, release), 0);
	CU_ASSERT_EQUAL(as(&w, &w.b, reserve), 0);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), UINT32_MAX);
	world_destroy(&w);
}

static void reservations_end_with_the_nexus_and_the_reset(void)
{
	static const uint8_t reserve[16] = { CDB_RESERVE_6 };
	struct nexus n = { 0 };
	struct world w;

	world_create(&w);
	n.target = &w.target;
	n.port = &w.target.ports[0];
	nexus_attach(&n);
	CU_ASSERT_EQUAL(as(&w, &n, tur), SENSE_POWER_ON);
	CU_ASSERT_EQUAL(as(&w, &n, reserve), 0);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), UINT32_MAX);
	nexus_detach(&n);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), 0);

	CU_ASSERT_EQUAL(as(&w, &w.a, reserve), 0);
	lu_reset(w.lu);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), SENSE_BUS_DEVICE_RESET);
	CU_ASSERT_EQUAL(as(&w, &w.b, tur), SENSE_BUS_DEVICE_RESET);
	CU_ASSERT_EQUAL(as(&w, &w.b, reserve), 0);
	world_destroy(&w);
}

static uint32_t start_stop(struct world *w, uint8_t immed, uint8_t bits)
{
	return as(w, &w->a, (uint8_t[CDB_MAX]){ CDB_START_STOP_UNIT, immed, 0, 0, bits });
}

static void a_stopped_unit_needs_a_start(void)
{
	struct cdb read = cdb_rw(CDB_READ_10, 0, 0, 1);
	struct command c;
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(start_stop(&w, 0, 0), 0);
	CU_ASSERT_EQUAL(w.disk.requests, 1);
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_FLUSH);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), SENSE_NEEDS_START);
	CU_ASSERT_EQUAL(as(&w, &w.b, read.b), SENSE_NEEDS_START);
	CU_ASSERT_EQUAL(as(&w, &w.b, (uint8_t[CDB_MAX]){ CDB_INQUIRY, [4] = 36 }), 0);
	command_run(&w, &c, (uint8_t[CDB_MAX]){ CDB_REQUEST_SENSE, [4] = 18 }, DIR_READ, 18, NULL);
	CU_ASSERT_EQUAL(c.in[2], 2);
	CU_ASSERT_EQUAL(get_be(c.in + 12, 2), 0x0402);
	command_free(&c);
	CU_ASSERT_EQUAL(start_stop(&w, START_STOP_IMMED, START_STOP_START), 0);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), 0);
	/* NO_FLUSH */
	disk_forget(&w.disk);
	CU_ASSERT_EQUAL(start_stop(&w, 0, START_STOP_NO_FLUSH), 0);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	lu_reset(w.lu);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), SENSE_BUS_DEVICE_RESET);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), 0);
	/* Eject of a medium that stays. */
	CU_ASSERT_EQUAL(start_stop(&w, 0, START_STOP_LOEJ), SENSE_INVALID_CDB_FIELD);
	/* A flush that fails leaves the unit running. */
	w.disk.fail[BS_FLUSH] = -EIO;
	CU_ASSERT_EQUAL(start_stop(&w, 0, 0), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(as(&w, &w.a, tur), 0);
	world_destroy(&w);
}

static void errno_to_sense(void)
{
	static const struct {
		int res;
		enum bs_opcode opcode;
		uint32_t sense;
	} rows[] = {
		{ -EIO, BS_READ, 0x031100 },	 { -EIO, BS_WRITE, 0x030c00 },
		{ -EIO, BS_FLUSH, 0x030c00 },	 { -EIO, BS_UNMAP, 0x030c00 },
		{ -ENOSPC, BS_WRITE, 0x072707 }, { -EDQUOT, BS_ZERO, 0x072707 },
		{ -EROFS, BS_WRITE, 0x072700 },	 { -ENODATA, BS_READ, 0x044400 },
		{ -ENOMEM, BS_READ, 0x0b5503 },	 { -ENXIO, BS_READ, 0x044400 },
	};

	for (size_t i = 0; i < array_size(rows); i++)
		CU_ASSERT_EQUAL(sense_of_errno(rows[i].res, rows[i].opcode), rows[i].sense);
}

UNIT_MAIN(TEST(a_new_nexus_learns_of_power_on_once), TEST(unit_attentions_come_one_by_one),
	  TEST(request_sense_takes_the_condition_as_data), TEST(reservation_matrix),
	  TEST(reservations_end_with_the_nexus_and_the_reset), TEST(a_stopped_unit_needs_a_start),
	  TEST(errno_to_sense));
