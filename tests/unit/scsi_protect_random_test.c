// SPDX-License-Identifier: BSD-2-Clause
/*
 * Whatever CDB, EDTL and data a unit with protection information gets, the command ends once, no
 * memory is lost, and whoever leaves the checks on has made no block unreadable.
 */
#include "protect_world.h"

enum { AREA = 40, ROUNDS = 1500 };

static uint32_t state;

static uint32_t next(uint32_t below)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % below;
}

static struct cdb random_cdb(struct protected *p, bool checked)
{
	static const uint8_t opcodes[] = { CDB_READ_6,
					   CDB_READ_10,
					   CDB_READ_12,
					   CDB_READ_16,
					   CDB_WRITE_10,
					   CDB_WRITE_16,
					   CDB_WRITE_AND_VERIFY_10,
					   CDB_WRITE_AND_VERIFY_16,
					   CDB_VERIFY_10,
					   CDB_VERIFY_16,
					   CDB_WRITE_SAME_10,
					   CDB_WRITE_SAME_16,
					   CDB_COMPARE_AND_WRITE,
					   CDB_WRITE_ATOMIC_16,
					   CDB_ORWRITE_16,
					   CDB_UNMAP };
	static const uint16_t actions[] = { SA_READ_32, SA_VERIFY_32, SA_WRITE_32,
					    SA_WRITE_AND_VERIFY_32, SA_WRITE_SAME_32 };
	uint8_t flags = (uint8_t)next(32), field = (uint8_t)next(8);
	uint32_t lba = next(AREA), blocks = next(12);
	uint8_t opcode = opcodes[next(array_size(opcodes))];
	struct cdb cdb;

	/* 001b and 101b check everything. */
	flags |= protect_bits(checked && field ? (next(2) ? 1 : 5) : field);
	if (p->type == 2 && next(4))
		return cdb_32(actions[next(array_size(actions))], flags, lba, blocks, lba, APP, 0);
	cdb = cdb_rw(opcode, opcode == CDB_READ_6 ? 0 : flags, lba, blocks);
	if (opcode == CDB_COMPARE_AND_WRITE || opcode == CDB_WRITE_ATOMIC_16) {
		put32(cdb.b + 10, 0);
		cdb.b[13] = (uint8_t)blocks;
	}
	return cdb;
}

static void random_command(struct protected *p, bool checked)
{
	struct cdb cdb = random_cdb(p, checked);
	uint32_t units[] = { p->block, p->unit, 1, p->unit - 1 };
	uint32_t edtl = next(26) * units[next(4)];
	uint8_t *all = transfer_of(p, AREA, (uint8_t)next(4), APP, next(AREA));
	uint8_t *out = malloc(edtl ? edtl : 1);
	struct command c;

	CU_ASSERT_FATAL(out != NULL && edtl <= AREA * p->unit);
	memcpy(out, all, edtl);
	command_init(&p->w, &c, cdb.b, edtl ? (next(3) ? DIR_WRITE : DIR_READ) : 0, edtl, out);
	if (c.task.writes && !next(3))
		command_immediate(&c, 1 + next(edtl), edtl);
	command_submit(&c);
	CU_ASSERT_EQUAL(c.ends, 1);
	CU_ASSERT(c.in_len <= edtl);
	command_free(&c);
	free(all);
	free(out);
}

static void any_command_ends(void)
{
	for (uint8_t type = 1; type <= 3; type++) {
		struct protected p;

		state = type;
		protected_create(&p, type, 512);
		for (int i = 0; i < ROUNDS; i++)
			random_command(&p, false);
		protected_destroy(&p);
	}
}

static void what_is_checked_stays_readable(void)
{
	for (uint8_t type = 1; type <= 3; type++) {
		struct cdb read = cdb_rw(CDB_READ_16, 0, 0, 2 * AREA);
		struct protected p;

		state = type + 100;
		protected_create(&p, type, 512);
		for (int i = 0; i < ROUNDS; i++) {
			random_command(&p, true);
			if (i % 16 == 0)
				CU_ASSERT_EQUAL(
					outcome(&p.w, read.b, DIR_READ, 2 * AREA * 512, NULL), 0);
		}
		protected_destroy(&p);
	}
}

UNIT_MAIN(TEST(any_command_ends), TEST(what_is_checked_stays_readable));
