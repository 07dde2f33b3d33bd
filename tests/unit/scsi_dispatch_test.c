// SPDX-License-Identifier: BSD-2-Clause
/* What happens before a handler: scsi/dispatch.c and the CDB table. Reliability 3.8, S1 and S2. */
#include "protect_world.h"

static struct cdb cdb_of_action(uint8_t opcode, uint16_t action)
{
	struct cdb cdb = { { opcode } };

	if (opcode == CDB_VARIABLE_LENGTH) {
		cdb.b[7] = 24;
		cdb.b[8] = (uint8_t)(action >> 8);
		cdb.b[9] = (uint8_t)action;
	} else {
		cdb.b[1] = (uint8_t)action;
	}
	return cdb;
}

/* Calls f for every row of the table with a CDB that names it. */
static unsigned int each_row(void (*f)(const struct cdb_row *row, struct cdb cdb, void *arg),
			     void *arg)
{
	unsigned int count = 0;

	for (unsigned int opcode = 0; opcode < 256; opcode++) {
		const struct cdb_row *row = cdb_table[opcode];

		if (!row)
			continue;
		if (!row->actions) {
			f(row, (struct cdb){ { (uint8_t)opcode } }, arg);
			count++;
			continue;
		}
		for (const struct cdb_row *const *action = row->actions; *action; action++) {
			f(*action, cdb_of_action((uint8_t)opcode, (*action)->service_action), arg);
			count++;
		}
	}
	return count;
}

static void check_row(const struct cdb_row *row, struct cdb cdb, void *arg)
{
	static const uint8_t lens[8] = { 6, 10, 10, 32, 16, 12, 0, 0 };

	(void)arg;
	CU_ASSERT_EQUAL(row->cdb_len, lens[cdb.b[0] >> 5]);
	CU_ASSERT_EQUAL(row->usage[0], cdb.b[0]);
	CU_ASSERT(row->start != NULL);
	CU_ASSERT(row->start != task_respond || row->fill != NULL);
	CU_ASSERT_EQUAL(row->usage[row->cdb_len == 32 ? 1 : row->cdb_len - 1], CONTROL_NACA);
	for (unsigned int i = row->cdb_len; i < 16; i++)
		CU_ASSERT_EQUAL(row->usage[i], 0xff);
	for (unsigned int i = 0; i < row->alloc_len; i++)
		CU_ASSERT_EQUAL(row->usage[row->alloc_at + i], 0xff);
	CU_ASSERT(row->nominal_s > 0 && row->recommended_s >= row->nominal_s);
	CU_ASSERT_PTR_EQUAL(cdb_find(cdb.b), row);
}

static void rows_are_well_formed(void)
{
	CU_ASSERT(each_row(check_row, NULL) >= 29);
}

static void set_reserved_bits(const struct cdb_row *row, struct cdb cdb, void *arg)
{
	struct world *w = arg;

	if (!row_exists(row, w->lu))
		return;
	for (unsigned int i = 8; i < row->cdb_len * 8u; i++) {
		struct cdb bad = cdb;
		struct command c;

		if (row->usage[i / 8] & 1 << i % 8)
			continue;
		bad.b[i / 8] |= (uint8_t)(1 << i % 8);
		if (cdb_find(bad.b) != row)
			continue;
		command_run(w, &c, bad.b, DIR_READ, 0, NULL);
		ASSERT_SENSE(&c, SENSE_INVALID_CDB_FIELD);
		/* Sense key specific: C/D, BPV, bit, byte. */
		CU_ASSERT_EQUAL(c.task.sense[15], 0xc8 | i % 8);
		CU_ASSERT_EQUAL(get_be(c.task.sense + 16, 2), i / 8);
		command_free(&c);
	}
}

/* Also those of the control byte, and protection bits. */
static void reserved_bits_are_refused_and_named(void)
{
	struct world w;

	world_create(&w);
	CU_ASSERT(each_row(set_reserved_bits, &w) > 0);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

static void reserved_bits_of_32_byte_cdbs(void)
{
	struct protected p;

	protected_create(&p, 2, 512);
	CU_ASSERT(each_row(set_reserved_bits, &p.w) > 0);
	CU_ASSERT_EQUAL(p.w.disk.requests, 0);
	protected_destroy(&p);
}

/* SBC-4 has READ (32) and its like for type 2 protection alone. */
static void only_type_2_has_32_byte_cdbs(void)
{
	struct cdb read = cdb_32(SA_READ_32, 0, 0, 1, 0, 0, 0), unknown = read, wrong_len = read;
	struct cdb too_long = cdb_32(SA_READ_32, 0, 0, MAX_TRANSFER_BLOCKS + 1, 0, 0, 0);

	put16(unknown.b + 8, 0x0012);
	wrong_len.b[7] = 0x10;
	for (uint8_t type = 1; type <= 3; type++) {
		struct protected p;
		bool has = type == 2;

		protected_create(&p, type, 512);
		CU_ASSERT_EQUAL(outcome(&p.w, read.b, DIR_READ, 512, NULL),
				has ? 0 : SENSE_INVALID_OPCODE);
		CU_ASSERT_EQUAL(outcome(&p.w, unknown.b, DIR_READ, 512, NULL),
				has ? SENSE_INVALID_CDB_FIELD : SENSE_INVALID_OPCODE);
		CU_ASSERT_EQUAL(outcome(&p.w, wrong_len.b, DIR_READ, 512, NULL),
				has ? SENSE_INVALID_CDB_FIELD : SENSE_INVALID_OPCODE);
		CU_ASSERT_EQUAL(outcome(&p.w, too_long.b, DIR_READ, 512, NULL),
				has ? SENSE_LBA_RANGE : SENSE_INVALID_OPCODE);
		protected_destroy(&p);
	}
}

/* REPORT SUPPORTED OPERATION CODES lists what is there. */
static void a_unit_without_protection_has_no_32_byte_cdbs(void)
{
	struct cdb all = { { CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_OPCODES, [8] = 0x10 } };
	struct cdb read = cdb_32(SA_READ_32, 0, 0, 1, 0, 0, 0);
	struct command c;
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(outcome(&w, read.b, DIR_READ, 512, NULL), SENSE_INVALID_OPCODE);
	command_run(&w, &c, all.b, DIR_READ, 4096, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT(c.in_len > 100);
	for (uint32_t at = 4; at < c.in_len; at += 8)
		CU_ASSERT_NOT_EQUAL(c.in[at], CDB_VARIABLE_LENGTH);
	command_free(&c);
	world_destroy(&w);
}

static void bytes_behind_a_short_cdb_are_ignored(void)
{
	struct cdb cdb = { { CDB_TEST_UNIT_READY } };
	struct command c;
	struct world w;

	world_create(&w);
	command_init(&w, &c, cdb.b, 0, 0, NULL);
	memset(c.task.cdb + 6, 0xff, sizeof(c.task.cdb) - 6);
	command_submit(&c);
	ASSERT_GOOD(&c);
	command_free(&c);
	world_destroy(&w);
}

/* S1, S12. */
static void unknown_commands(void)
{
	struct world w;

	world_create(&w);
	for (unsigned int opcode = 0; opcode < 256; opcode++) {
		struct cdb cdb = { { (uint8_t)opcode } };

		if (!cdb_table[opcode])
			CU_ASSERT_EQUAL(outcome(&w, cdb.b, 0, 0, NULL), SENSE_INVALID_OPCODE);
	}
	CU_ASSERT_EQUAL(outcome(&w, (uint8_t[CDB_MAX]){ CDB_MAINTENANCE_IN, 0x1e }, 0, 0, NULL),
			SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, (uint8_t[CDB_MAX]){ CDB_SERVICE_ACTION_IN_16 }, 0, 0, NULL),
			SENSE_INVALID_CDB_FIELD);
	world_destroy(&w);
}

static void logical_unit_numbers(void)
{
	static const struct {
		uint8_t lun[8];
		int number;
	} rows[] = {
		{ { 0, 0 }, 0 },	{ { 0, 7 }, 7 },
		{ { 0x40, 0 }, 0 },	{ { 0x40, 255 }, 255 },
		{ { 0x41, 0 }, -1 },	{ { 1, 0 }, -1 },
		{ { 0x80, 0 }, -1 },	{ { 0xc1, 1 }, -1 },
		{ { 0, 0, 1 }, -1 },	{ { 0, 0, 0, 0, 0, 0, 0, 1 }, -1 },
		{ { 0x3f, 0xff }, -1 },
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		CU_ASSERT_EQUAL(lun_number(rows[i].lun), rows[i].number);
		CU_ASSERT_PTR_EQUAL(target_lu(&w.target, rows[i].lun),
				    rows[i].number == 0 ? w.lu : NULL);
	}
	world_destroy(&w);
}

static void a_lun_that_is_not_there(void)
{
	static const struct {
		uint8_t cdb[CDB_MAX];
		uint32_t sense;
	} rows[] = {
		{ { CDB_TEST_UNIT_READY }, SENSE_NO_LU },
		{ { CDB_READ_10 }, SENSE_NO_LU },
		{ { 0xff }, SENSE_NO_LU },
		{ { CDB_REPORT_LUNS, [9] = 255 }, 0 },
		{ { CDB_INQUIRY, 0, 0, 0, 255 }, 0 },
		{ { CDB_INQUIRY, 1, 0, 0, 255 }, 0 },
		{ { CDB_INQUIRY, 1, 0x83, 0, 255 }, SENSE_INVALID_CDB_FIELD },
		{ { CDB_INQUIRY, 2, 0, 0, 255 }, SENSE_INVALID_CDB_FIELD },
		{ { CDB_REQUEST_SENSE, 0, 0, 0, 255 }, 0 },
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct command c;

		command_init(&w, &c, rows[i].cdb, DIR_READ, 255, NULL);
		c.task.lun[1] = 9;
		command_submit(&c);
		CU_ASSERT_EQUAL(command_sense(&c), rows[i].sense);
		if (rows[i].cdb[0] == CDB_INQUIRY && !rows[i].sense)
			CU_ASSERT_EQUAL(c.in[0], PERIPHERAL_NO_LU);
		if (rows[i].cdb[0] == CDB_REQUEST_SENSE) {
			CU_ASSERT_EQUAL(c.in[2], 0x05);
			CU_ASSERT_EQUAL(c.in[12], 0x25);
		}
		command_free(&c);
	}
	world_destroy(&w);
}

static void a_read_only_unit_refuses_every_writing_command(void)
{
	static const uint8_t writing[] = { CDB_WRITE_6,	 CDB_WRITE_10,	       CDB_WRITE_12,
					   CDB_WRITE_16, CDB_WRITE_SAME_10,    CDB_WRITE_SAME_16,
					   CDB_UNMAP,	 CDB_COMPARE_AND_WRITE };
	struct cdb read = cdb_rw(CDB_READ_10, 0, 0, 1);
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.read_only = true;
	world_open(&w);
	for (size_t i = 0; i < array_size(writing); i++) {
		struct cdb cdb = { { writing[i] } };

		CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 0, NULL), SENSE_WRITE_PROTECTED);
	}
	CU_ASSERT_EQUAL(outcome(&w, read.b, DIR_READ, 512, NULL), 0);
	world_destroy(&w);
}

UNIT_MAIN(TEST(rows_are_well_formed), TEST(reserved_bits_are_refused_and_named),
	  TEST(reserved_bits_of_32_byte_cdbs), TEST(only_type_2_has_32_byte_cdbs),
	  TEST(a_unit_without_protection_has_no_32_byte_cdbs),
	  TEST(bytes_behind_a_short_cdb_are_ignored), TEST(unknown_commands),
	  TEST(logical_unit_numbers), TEST(a_lun_that_is_not_there),
	  TEST(a_read_only_unit_refuses_every_writing_command));
