// SPDX-License-Identifier: BSD-2-Clause
/* What the unit says that it can: REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS. */
#include "scsi_port.h"

static struct cdb cdb_rsoc(uint8_t options, uint8_t opcode, uint16_t action)
{
	struct cdb c = { { CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_OPCODES, options, opcode } };

	put16(c.b + 4, action);
	put32(c.b + 6, 65535);
	return c;
}

static void rsoc(struct world *w, struct command *c, uint8_t options, uint8_t opcode,
		 uint16_t action)
{
	struct cdb cdb = cdb_rsoc(options, opcode, action);

	command_run(w, c, cdb.b, DIR_READ, 65535, NULL);
}

/* Commands of the table that this unit has. */
static uint32_t commands_of(const struct lu *lu)
{
	uint32_t count = 0;

	for (unsigned int opcode = 0; opcode < array_size(cdb_table); opcode++) {
		const struct cdb_row *row = cdb_table[opcode];

		if (row && !row->actions)
			count += row_exists(row, lu);
		for (unsigned int i = 0; row && row->actions && row->actions[i]; i++)
			count += row_exists(row->actions[i], lu);
	}
	return count;
}

static void every_listed_command_can_be_asked_for(void)
{
	for (int rctd = 0; rctd < 2; rctd++) {
		uint32_t step = rctd ? 20 : 8, count;
		struct command all, c;
		struct world w;

		world_create(&w);
		rsoc(&w, &all, rctd ? RSOC_RCTD : 0, 0, 0);
		ASSERT_GOOD(&all);
		count = commands_of(w.lu);
		CU_ASSERT(count > 60);
		CU_ASSERT_EQUAL(get_be(all.in, 4), count * step);
		CU_ASSERT_EQUAL(all.in_len, 4 + count * step);
		for (uint32_t at = 4; at < all.in_len; at += step) {
			const uint8_t *d = all.in + at;
			uint16_t action = (uint16_t)get_be(d + 2, 2);
			bool has_action = d[5] & OPCODE_SERVACTV;

			CU_ASSERT_EQUAL(!!(d[5] & OPCODE_CTDP), rctd);
			CU_ASSERT(has_action || !action);
			rsoc(&w, &c, (uint8_t)((rctd ? RSOC_RCTD : 0) | (has_action ? 2 : 1)), d[0],
			     action);
			ASSERT_GOOD(&c);
			CU_ASSERT_EQUAL(c.in[1], rctd ? 0x83 : 3);
			CU_ASSERT_EQUAL(get_be(c.in + 2, 2), get_be(d + 6, 2));
			CU_ASSERT_EQUAL(c.in[4], d[0]);
			CU_ASSERT_EQUAL(c.in_len, 4 + get_be(d + 6, 2) + (rctd ? 12 : 0));
			if (rctd)
				CU_ASSERT_EQUAL(get_be(d + 8, 2), 10);
			command_free(&c);
			/* The other way of asking is an error. */
			rsoc(&w, &c, has_action ? 1 : 2, d[0], action);
			ASSERT_SENSE(&c, SENSE_INVALID_CDB_FIELD);
			command_free(&c);
		}
		command_free(&all);
		world_destroy(&w);
	}
}

static void one_command(void)
{
	static const struct {
		uint8_t options, opcode;
		uint16_t action;
		uint32_t sense;
		uint8_t support;
	} rows[] = {
		{ 1, 0xff, 0, 0, 1 },
		{ 2, 0xff, 0, 0, 1 },
		{ 3, 0xff, 0, 0, 1 },
		{ 2, CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_TMFS, 0, 3 },
		{ 2, CDB_MAINTENANCE_IN, 0x1f, 0, 1 },
		{ 2, CDB_MAINTENANCE_IN, 0x100 | SA_REPORT_SUPPORTED_OPCODES, 0, 1 },
		{ 3, CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_OPCODES, 0, 3 },
		{ 3, CDB_READ_10, 0, 0, 3 },
		{ 3, CDB_READ_10, 1, 0, 1 },
		{ 1, CDB_MAINTENANCE_IN, 0, SENSE_INVALID_CDB_FIELD, 0 },
		{ 2, CDB_READ_10, 0, SENSE_INVALID_CDB_FIELD, 0 },
		{ 4, CDB_READ_10, 0, SENSE_INVALID_CDB_FIELD, 0 },
		{ 7, CDB_READ_10, 0, SENSE_INVALID_CDB_FIELD, 0 },
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct command c;

		rsoc(&w, &c, rows[i].options, rows[i].opcode, rows[i].action);
		CU_ASSERT_EQUAL(command_sense(&c), rows[i].sense);
		CU_ASSERT_EQUAL(c.in[1], rows[i].support);
		command_free(&c);
	}
	world_destroy(&w);
}

/* A disk that cannot give space back has no UNMAP and no UNMAP bit. */
static void without_unmap(void)
{
	struct cdb unmap = { { CDB_UNMAP } }, same = cdb_rw(CDB_WRITE_SAME_16, 0x09, 0, 1);
	struct command c;
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.can_unmap = false;
	world_open(&w);
	rsoc(&w, &c, 1, CDB_UNMAP, 0);
	CU_ASSERT_EQUAL(c.in[1], SUPPORT_NOT);
	command_free(&c);
	rsoc(&w, &c, 1, CDB_WRITE_SAME_16, 0);
	CU_ASSERT_EQUAL(c.in[4 + 1], WRITE_SAME_NDOB);
	command_free(&c);
	CU_ASSERT_EQUAL(outcome(&w, unmap.b, DIR_WRITE, 0, NULL), SENSE_INVALID_OPCODE);
	CU_ASSERT_EQUAL(outcome(&w, same.b, DIR_WRITE, 0, NULL), SENSE_INVALID_CDB_FIELD);
	world_destroy(&w);
}

/* The ANCHOR bit is where space can be taken in advance. */
static void with_anchor(void)
{
	static const struct {
		uint8_t opcode, flags, anchor;
	} rows[] = {
		{ CDB_UNMAP, 0, UNMAP_ANCHOR },
		{ CDB_WRITE_SAME_10, WRITE_SAME_UNMAP, WRITE_SAME_ANCHOR },
		{ CDB_WRITE_SAME_16, WRITE_SAME_UNMAP | WRITE_SAME_NDOB, WRITE_SAME_ANCHOR },
	};

	for (int can = 0; can < 2; can++) {
		struct world w;

		world_init(&w, 512);
		w.disk.bs.limits.can_anchor = can;
		world_open(&w);
		for (size_t i = 0; i < array_size(rows); i++) {
			struct command c;

			rsoc(&w, &c, 1, rows[i].opcode, 0);
			CU_ASSERT_EQUAL(c.in[4 + 1], rows[i].flags | (can ? rows[i].anchor : 0));
			command_free(&c);
		}
		world_destroy(&w);
	}
}

/* REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS. */
static void supported_functions(void)
{
	static const struct {
		uint8_t repd, alloc;
		uint32_t len;
	} rows[] = { { 0, 255, 4 }, { 0x80, 255, 16 }, { 0x80, 4, 4 }, { 0, 0, 0 } };
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		uint8_t cdb[CDB_MAX] = { CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_TMFS,
					 rows[i].repd, [9] = rows[i].alloc };
		struct command c;

		command_run(&w, &c, cdb, DIR_READ, 255, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(c.in_len, rows[i].len);
		if (c.in_len) {
			CU_ASSERT_EQUAL(get_be(c.in, 3), 0xf80000);
			CU_ASSERT_EQUAL(c.in[3], rows[i].repd ? 12 : 0);
		}
		if (c.in_len == 16) {
			CU_ASSERT_EQUAL(get_be(c.in + 4, 4), 0x0100a000);
			/* Both are longer than what a function takes: TMF_TIMEOUT_S. */
			CU_ASSERT(get_be(c.in + 8, 4) > 50 && get_be(c.in + 12, 4) > 50);
		}
		command_free(&c);
	}
	world_destroy(&w);
}

UNIT_MAIN(TEST(every_listed_command_can_be_asked_for), TEST(one_command), TEST(without_unmap),
	  TEST(with_anchor), TEST(supported_functions));
