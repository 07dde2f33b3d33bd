// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writes with protection information: scsi/protect_rw.c, protect_same.c, protect_exclusive.c, and what
 * becomes of tuples when commands without them write and unmap.
 */
#include "protect_world.h"

enum { LBA = 70, BLOCKS = 3 };

static uint32_t sense_of(uint8_t wrong)
{
	return 0x0b1000u + (wrong == GUARD_WRONG ? 1 : wrong == APP_WRONG ? 2 : 3);
}

/* Makes the tuple of block `at` of a transfer wrong in one field. */
static void spoil(const struct protected *p, uint8_t *data, uint32_t at, uint8_t wrong)
{
	uint8_t *tuple = data + at * p->unit + p->block;

	if (wrong & GUARD_WRONG)
		tuple[1] ^= 0x20;
	if (wrong & APP_WRONG)
		tuple[3] ^= 0x40; /* within APP_MASK */
	if (wrong & REF_WRONG)
		tuple[4] ^= 0x80;
}

static void write_one_way(struct protected *p, uint8_t opcode16, uint16_t action32, uint8_t field,
			  uint8_t wrong)
{
	struct cdb cdb = cdb_protect(p, opcode16, action32, protect_bits(field), LBA, BLOCKS);
	uint8_t *data = transfer_of(p, BLOCKS, (uint8_t)(field * 16 + wrong), APP, LBA);
	uint8_t seen = noticed[field] & known(p->type) & wrong;
	struct command c;

	spoil(p, data, 1, wrong);
	disk_forget(&p->w.disk);
	command_run(&p->w, &c, cdb.b, DIR_WRITE, BLOCKS * p->unit, data);
	if (seen) {
		ASSERT_SENSE(&c, sense_of(seen));
		CU_ASSERT_EQUAL(command_information(&c), LBA + 1);
		CU_ASSERT_EQUAL(p->w.disk.requests, 0);
	} else {
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(command_residual(&c), 0);
		CU_ASSERT(is_stored(p, LBA, BLOCKS, data));
	}
	command_free(&c);
	free(data);
}

static void each_field_is_checked_as_told(void)
{
	static const uint8_t wrongs[] = { 0, GUARD_WRONG, APP_WRONG, REF_WRONG };

	for (uint32_t block = 512; block <= 4096; block *= 8) {
		for (uint8_t type = 1; type <= 3; type++) {
			struct protected p;

			protected_create(&p, type, block);
			for (uint8_t field = 1; field < 6; field++) {
				for (size_t i = 0; i < array_size(wrongs); i++) {
					write_one_way(&p, CDB_WRITE_16, SA_WRITE_32, field,
						      wrongs[i]);
					write_one_way(&p, CDB_WRITE_AND_VERIFY_16,
						      SA_WRITE_AND_VERIFY_32, field, wrongs[i]);
				}
			}
			protected_destroy(&p);
		}
	}
}

/* WRPROTECT 0: the guard is made, type 1 and 2 get the LBA, type 3 all ones. */
static void tuples_are_made(void)
{
	static const uint8_t opcodes[] = { CDB_WRITE_6, CDB_WRITE_10, CDB_WRITE_12, CDB_WRITE_16,
					   CDB_WRITE_AND_VERIFY_10 };

	for (uint32_t block = 512; block <= 4096; block *= 8) {
		for (uint8_t type = 1; type <= 3; type++) {
			struct protected p;

			protected_create(&p, type, block);
			for (size_t i = 0; i < array_size(opcodes); i++) {
				struct cdb cdb = cdb_rw(opcodes[i], 0, LBA, BLOCKS);
				uint8_t *data = pattern(BLOCKS * block, opcodes[i]), want[8],
					got[8];

				CU_ASSERT_EQUAL(
					outcome(&p.w, cdb.b, DIR_WRITE, BLOCKS * block, data), 0);
				CU_ASSERT(!memcmp(data, block_at(&p, LBA), BLOCKS * block));
				for (uint32_t k = 0; k < BLOCKS; k++) {
					tuple_put(want, slow_guard(data + k * block, block), 0,
						  type == 3 ? 0xffffffff : LBA + k);
					tuple_load(&p, LBA + k, got);
					CU_ASSERT(!memcmp(want, got, 8));
				}
				free(data);
			}
			protected_destroy(&p);
		}
	}
}

/* 32-byte CDBs that transfer none: made as for the others, whatever the CDB expects. */
static void tuples_are_made_for_long_cdbs(void)
{
	struct cdb write = cdb_32(SA_WRITE_32, 0, LBA, 1, 999, 0, 0);
	struct cdb same = cdb_32(SA_WRITE_SAME_32, 0, LBA + 1, 3000, 999, 0, 0);
	struct cdb unmap = cdb_32(SA_WRITE_SAME_32, WRITE_SAME_UNMAP, LBA, 1, 999, 0, 0);
	uint8_t *data = pattern(512, 3), zeros[512] = { 0 }, want[8], got[8];
	struct protected p;

	protected_create(&p, 2, 512);
	CU_ASSERT_EQUAL(outcome(&p.w, write.b, DIR_WRITE, 512, data), 0);
	CU_ASSERT_EQUAL(outcome(&p.w, same.b, DIR_WRITE, 512, data), 0);
	for (uint32_t i = 0; i <= 3000; i += 1500) {
		tuple_put(want, slow_guard(data, 512), 0, LBA + i);
		tuple_load(&p, LBA + i, got);
		CU_ASSERT(!memcmp(want, got, 8));
		CU_ASSERT(!memcmp(block_at(&p, LBA + i), data, 512));
	}
	CU_ASSERT_EQUAL(outcome(&p.w, unmap.b, DIR_WRITE, 512, zeros), 0);
	tuple_load(&p, LBA, got);
	CU_ASSERT(!memcmp(got, "\xff\xff\xff\xff\xff\xff\xff\xff", 8));
	free(data);
	protected_destroy(&p);
}

/* What one initiator writes without, another reads with tuples. */
static void both_ways_meet(void)
{
	struct cdb plain = cdb_rw(CDB_WRITE_10, 0, LBA, 2);
	struct protected p;

	for (uint8_t type = 1; type <= 3; type++) {
		uint8_t *data = pattern(2 * 512, 3);
		struct cdb read;

		protected_create(&p, type, 512);
		read = type == 2 ? cdb_32(SA_READ_32, 0x20, LBA, 2, LBA, 0, 0)
				 : cdb_rw(CDB_READ_10, 0x20, LBA, 2);
		CU_ASSERT_EQUAL(outcome(&p.w, plain.b, DIR_WRITE, 2 * 512, data), 0);
		CU_ASSERT_EQUAL(outcome(&p.w, read.b, DIR_READ, 2 * 520, NULL), 0);
		free(data);
		protected_destroy(&p);
	}
}

static void escapes_are_taken(void)
{
	for (uint8_t type = 1; type <= 3; type++) {
		struct protected p;
		struct cdb cdb;
		uint8_t *data;

		protected_create(&p, type, 512);
		cdb = cdb_protect(&p, CDB_WRITE_16, SA_WRITE_32, 0x20, LBA, 1);
		data = transfer_of(&p, 1, 1, 0xffff, 0xffffffff);
		data[100] ^= 1; /* the guard is wrong */
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), 0);
		CU_ASSERT(is_stored(&p, LBA, 1, data));
		put32(data + 516, LBA + 1); /* the reference tag, too */
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data),
				type == 3 ? SENSE_GUARD : 0);
		free(data);
		protected_destroy(&p);
	}
}

static void what_is_refused(void)
{
	uint8_t data[520] = { 0 };

	for (uint8_t type = 1; type <= 3; type++) {
		struct protected p;

		protected_create(&p, type, 512);
		for (uint8_t field = 1; field < 8; field++) {
			struct cdb c12 = cdb_rw(CDB_WRITE_12, protect_bits(field), LBA, 1);
			struct cdb c32 =
				cdb_32(SA_WRITE_32, protect_bits(field), LBA, 1, LBA, 0, 0);
			struct cdb or = cdb_rw(CDB_ORWRITE_16, protect_bits(field), LBA, 1);
			uint32_t sense = field > 5 ? SENSE_INVALID_CDB_FIELD : UINT32_MAX;
			uint32_t got = outcome(&p.w, c12.b, DIR_WRITE, 520, data);

			if (type == 2)
				CU_ASSERT_EQUAL(got, SENSE_INVALID_OPCODE);
			if (type != 2 && sense != UINT32_MAX)
				CU_ASSERT_EQUAL(got, sense);
			got = outcome(&p.w, c32.b, DIR_WRITE, 520, data);
			if (type != 2)
				CU_ASSERT_EQUAL(got, SENSE_INVALID_OPCODE);
			if (type == 2 && sense != UINT32_MAX)
				CU_ASSERT_EQUAL(got, sense);
			CU_ASSERT_EQUAL(outcome(&p.w, or.b, DIR_WRITE, 520, data),
					SENSE_INVALID_CDB_FIELD);
		}
		protected_destroy(&p);
	}
}

/* Many buffers, data that came with the command, whole blocks of a short transfer, and no others. */
static void lengths(void)
{
	for (uint32_t block = 512; block <= 4096; block *= 8) {
		uint32_t blocks = 3000000 / block, unit = block + 8, want = unit * blocks;
		struct protected p;
		struct cdb cdb = cdb_rw(CDB_WRITE_16, 0x20, LBA, blocks);
		uint32_t firsts[] = { 0, 1, unit, 8192, 65536 };
		uint8_t *data;

		protected_create(&p, 1, block);
		for (uint8_t i = 0; i < array_size(firsts); i++) {
			struct command c;

			data = transfer_of(&p, blocks, (uint8_t)(i * 31), i, LBA);
			command_init(&p.w, &c, cdb.b, DIR_WRITE, want, data);
			if (firsts[i])
				command_immediate(&c, firsts[i], firsts[i]);
			command_submit(&c);
			ASSERT_GOOD(&c);
			CU_ASSERT(is_stored(&p, LBA, blocks, data));
			command_free(&c);
			free(data);
		}
		data = transfer_of(&p, blocks, 99, 5, LBA);
		/* Two blocks of it; the rest is residual. */
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 2 * unit, data), 0);
		CU_ASSERT(is_stored(&p, LBA, 2, data));
		CU_ASSERT(!is_stored(&p, LBA, 3, data));
		disk_forget(&p.w.disk);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 2 * block, data),
				SENSE_INVALID_IU_FIELD);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 2 * unit - 8, data),
				SENSE_INVALID_IU_FIELD);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, 0, 0, NULL), SENSE_INVALID_IU_FIELD);
		CU_ASSERT_EQUAL(p.w.disk.requests, 0);
		free(data);
		protected_destroy(&p);
	}
}

static void forced_writes_force_both(void)
{
	struct cdb rows[] = { cdb_rw(CDB_WRITE_16, 0x20 | RW_FUA, LBA, 1),
			      cdb_rw(CDB_WRITE_AND_VERIFY_16, 0x20, LBA, 1) };
	struct protected p;
	uint8_t *data;

	protected_create(&p, 1, 512);
	data = transfer_of(&p, 1, 1, 1, LBA);
	for (size_t i = 0; i < array_size(rows); i++) {
		disk_forget(&p.w.disk);
		disk_forget(&p.tuples);
		CU_ASSERT_EQUAL(outcome(&p.w, rows[i].b, DIR_WRITE, 520, data), 0);
		CU_ASSERT_EQUAL(p.w.disk.log[0].flags, BS_FUA);
		CU_ASSERT_EQUAL(p.tuples.log[0].flags, BS_FUA);
		CU_ASSERT_EQUAL(p.w.disk.requests, i + 1);
	}
	CU_ASSERT_EQUAL(p.w.disk.log[1].flags, BS_FUA); /* what is verified is the medium */
	free(data);
	protected_destroy(&p);
}

static void disks_that_fail(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_16, 0x20, LBA, 1),
		   plain = cdb_rw(CDB_WRITE_16, 0, LBA, 1);
	struct protected p;
	uint8_t *data;

	protected_create(&p, 1, 512);
	data = transfer_of(&p, 1, 1, 1, LBA);
	p.tuples.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(outcome(&p.w, plain.b, DIR_WRITE, 512, data), SENSE_WRITE_ERROR);
	p.tuples.fail[BS_WRITE] = -ENOSPC;
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), SENSE_SPACE_FAILED);
	p.w.disk.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), SENSE_WRITE_ERROR);
	free(data);
	protected_destroy(&p);
}

/* Data new, tuple old: nobody gets that for good. Writing it again mends it. */
static void half_a_write_is_found(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_16, 0x20, LBA, 1), plain = cdb_rw(CDB_READ_16, 0, LBA, 1);
	struct protected p;
	uint8_t *data;

	protected_create(&p, 1, 512);
	protect_range(&p, LBA, 1, 0, LBA);
	data = transfer_of(&p, 1, 1, 1, LBA);
	p.tuples.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), SENSE_WRITE_ERROR);
	p.tuples.fail[BS_WRITE] = 0;
	ASSERT_FAILS(&p.w, plain, DIR_READ, 512, NULL, SENSE_GUARD, LBA);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), 0);
	CU_ASSERT_EQUAL(outcome(&p.w, plain.b, DIR_READ, 512, NULL), 0);
	free(data);
	protected_destroy(&p);
}

static void transfers_that_fail_and_aborts(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_16, 0x20, LBA, 4);
	struct protected p;
	uint8_t *data;

	protected_create(&p, 1, 512);
	data = transfer_of(&p, 4, 1, 1, LBA);
	for (int where = 0; where < 4; where++) {
		struct command c;

		command_init(&p.w, &c, cdb.b, DIR_WRITE, 4 * 520, data);
		c.hold = where == 0;
		c.transfer_fails = where == 3;
		p.w.disk.hold = where == 1;
		p.tuples.hold = where == 2;
		command_submit(&c);
		if (where < 3) {
			CU_ASSERT_EQUAL(c.ends, 0);
			scsi_abort(&c.task);
			CU_ASSERT_EQUAL(c.ends, 0);
		}
		p.w.disk.hold = p.tuples.hold = false;
		if (where == 0)
			command_transfer(&c);
		else if (where == 1)
			disk_release(&p.w.disk);
		else if (where == 2)
			disk_release(&p.tuples);
		world_turn(&p.w);
		CU_ASSERT_EQUAL(c.ends, 1);
		command_free(&c);
	}
	free(data);
	protected_destroy(&p);
}

/* --- WRITE SAME */

static void write_same_counts_reference_tags(void)
{
	for (uint32_t block = 512; block <= 4096; block *= 8) {
		for (uint8_t type = 1; type <= 3; type++) {
			uint32_t blocks = 3000, unit = block + 8;
			struct protected p;
			struct cdb cdb;
			uint8_t *data;
			bool right = true;

			protected_create(&p, type, block);
			cdb = cdb_protect(&p, CDB_WRITE_SAME_16, SA_WRITE_SAME_32, 0x20, LBA,
					  blocks);
			data = transfer_of(&p, 1, type, APP, LBA);
			CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, unit, data), 0);
			for (uint32_t i = 0; i < blocks; i++) {
				put32(data + block + 4, LBA + (type == 3 ? 0 : i));
				right = right && is_stored(&p, LBA + i, 1, data);
			}
			CU_ASSERT(right);
			/* Escapes stay escapes. */
			memset(data + block, 0xff, 8);
			CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, unit, data), 0);
			for (uint32_t i = 0; i < blocks; i++)
				right = right && is_stored(&p, LBA + i, 1, data);
			CU_ASSERT(right);
			free(data);
			protected_destroy(&p);
		}
	}
}

static void write_same_checks(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_SAME_16, 0x20, LBA, 10);
	struct protected p;
	uint8_t *data;

	protected_create(&p, 1, 512);
	data = transfer_of(&p, 1, 5, APP, LBA);
	data[3] ^= 1;
	ASSERT_FAILS(&p.w, cdb, DIR_WRITE, 520, data, SENSE_GUARD, LBA);
	data[3] ^= 1;
	put32(data + 516, LBA + 1);
	ASSERT_FAILS(&p.w, cdb, DIR_WRITE, 520, data, SENSE_REFERENCE_TAG, LBA);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 512, data), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(p.w.disk.requests, 0);
	free(data);
	protected_destroy(&p);
}

/* Zeros are unmapped when the tuple is an escape as that of an unmapped block is, else written. */
static void write_same_unmaps(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_SAME_16, 0x20 | WRITE_SAME_UNMAP, LBA, 10);
	struct cdb none =
		cdb_rw(CDB_WRITE_SAME_16, 0x20 | WRITE_SAME_UNMAP | WRITE_SAME_NDOB, LBA, 10);
	uint8_t data[520] = { 0 };
	struct protected p;

	protected_create(&p, 1, 512);
	put32(data + 516, LBA);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), 0);
	CU_ASSERT_EQUAL(p.w.disk.log[0].opcode, BS_WRITE);
	CU_ASSERT(is_stored(&p, LBA, 1, data));
	memset(data + 512, 0xff, 8);
	disk_forget(&p.w.disk);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), 0);
	CU_ASSERT_EQUAL(p.w.disk.log[0].opcode, BS_UNMAP);
	CU_ASSERT(is_stored(&p, LBA + 9, 1, data));
	protect_range(&p, LBA, 10, 1, LBA);
	CU_ASSERT_EQUAL(outcome(&p.w, none.b, 0, 0, NULL), 0);
	CU_ASSERT(is_stored(&p, LBA, 1, data));
	protected_destroy(&p);
}

/* --- Without tuples in the command */

static void unmapped_blocks_are_escapes(void)
{
	struct cdb unmap = { { CDB_UNMAP, [8] = 24 } };
	struct cdb read = cdb_rw(CDB_READ_16, 0x20, LBA, 4);
	uint8_t list[24] = { 0, 22, 0, 16 };
	struct protected p;
	uint8_t tuple[8];

	protected_create(&p, 1, 512);
	protect_range(&p, LBA, 4, 1, LBA);
	put64(list + 8, LBA + 1);
	put32(list + 16, 2);
	CU_ASSERT_EQUAL(outcome(&p.w, unmap.b, DIR_WRITE, 24, list), 0);
	CU_ASSERT_EQUAL(outcome(&p.w, read.b, DIR_READ, 4 * 520, NULL), 0);
	for (uint32_t i = 0; i < 4; i++) {
		tuple_load(&p, LBA + i, tuple);
		CU_ASSERT_EQUAL(!memcmp(tuple, "\xff\xff\xff\xff\xff\xff\xff\xff", 8),
				i == 1 || i == 2);
	}
	protected_destroy(&p);
}

static void written_zeros_have_tuples(void)
{
	for (uint8_t type = 1; type <= 3; type++) {
		struct cdb same = cdb_rw(CDB_WRITE_SAME_16, WRITE_SAME_NDOB, LBA, 5000);
		struct cdb plain = cdb_rw(CDB_READ_16, 0, LBA, 5000);
		struct protected p;
		uint8_t want[8], got[8];

		protected_create(&p, type, 512);
		CU_ASSERT_EQUAL(outcome(&p.w, same.b, 0, 0, NULL), 0);
		tuple_put(want, 0, 0, type == 3 ? 0xffffffff : LBA + 4999);
		tuple_load(&p, LBA + 4999, got);
		CU_ASSERT(!memcmp(want, got, 8));
		CU_ASSERT_EQUAL(outcome(&p.w, plain.b, DIR_READ, 5000 * 512, NULL), 0);
		block_at(&p, LBA + 4000)[0] = 1;
		ASSERT_FAILS(&p.w, plain, DIR_READ, 5000 * 512, NULL, SENSE_GUARD, LBA + 4000);
		protected_destroy(&p);
	}
}

/* FORMAT UNIT leaves blocks that nobody checks, with its own pattern of zeros and with another. */
static void formatted_blocks_are_escapes(void)
{
	struct cdb cdb = { { CDB_FORMAT_UNIT, 0x90 } }; /* FMTPINFO 10b: type 1; FMTDATA */
	uint8_t lists[2][10] = { { 0 }, { 0, 0x88, 0, 0, 0, 1, 0, 2, 0xab, 0xcd } };
	uint8_t tuple[8];

	for (int i = 0; i < 2; i++) {
		struct protected p;

		protected_create(&p, 1, 512);
		protect_range(&p, LBA, 1, 1, LBA);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, i ? 10 : 4, lists[i]), 0);
		tuple_load(&p, LBA, tuple);
		CU_ASSERT(!memcmp(tuple, "\xff\xff\xff\xff\xff\xff\xff\xff", 8));
		CU_ASSERT_EQUAL(block_at(&p, LBA)[0], i ? 0xab : 0);
		protected_destroy(&p);
	}
}

static void orwrite_makes_tuples(void)
{
	struct cdb cdb = cdb_rw(CDB_ORWRITE_16, 0, LBA, 2), read = cdb_rw(CDB_READ_16, 0, LBA, 2);
	uint8_t *data = pattern(1024, 77);
	struct protected p;

	protected_create(&p, 1, 512);
	protect_range(&p, LBA, 2, 1, LBA);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 1024, data), 0);
	CU_ASSERT_EQUAL(outcome(&p.w, read.b, DIR_READ, 1024, NULL), 0);
	free(data);
	protected_destroy(&p);
}

/* --- COMPARE AND WRITE, WRITE ATOMIC */

static void compare_and_write(void)
{
	for (uint32_t block = 512; block <= 4096; block *= 8) {
		for (uint8_t type = 1; type <= 3; type += 2) {
			uint32_t n = block == 512 ? 255 : 85, unit = block + 8;
			struct cdb cdb = cdb_rw(CDB_COMPARE_AND_WRITE, 0x20, LBA, 0);
			struct protected p;
			uint8_t *old, *both = malloc(2 * (size_t)n * unit), *fresh;

			cdb.b[13] = (uint8_t)n;
			protected_create(&p, type, block);
			CU_ASSERT(p.w.lu->max_compare_blocks >= n);
			old = transfer_of(&p, n, 8, APP, LBA);
			fresh = transfer_of(&p, n, 9, APP + 1, LBA);
			CU_ASSERT_EQUAL(outcome(&p.w, cdb_rw(CDB_WRITE_16, 0x20, LBA, n).b,
						DIR_WRITE, n * unit, old),
					0);
			memcpy(both, old, n * unit);
			memcpy(both + n * unit, fresh, n * unit);
			/* The medium differs: in the data, then in the application tag. */
			block_at(&p, LBA + 2)[7] ^= 1;
			ASSERT_FAILS(&p.w, cdb, DIR_WRITE, 2 * n * unit, both, SENSE_MISCOMPARE,
				     2 * unit + 7);
			block_at(&p, LBA + 2)[7] ^= 1;
			tuple_store(&p, LBA, guard_at(&p, LBA), APP + 9, LBA);
			ASSERT_FAILS(&p.w, cdb, DIR_WRITE, 2 * n * unit, both,
				     SENSE_MISCOMPARE_GUARD + 1, block + 2);
			tuple_store(&p, LBA, guard_at(&p, LBA), APP, LBA);
			/* What would be written is wrong. */
			both[n * unit] ^= 1;
			ASSERT_FAILS(&p.w, cdb, DIR_WRITE, 2 * n * unit, both, SENSE_GUARD, LBA);
			both[n * unit] ^= 1;
			CU_ASSERT(is_stored(&p, LBA, n, old));
			CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 2 * n * block, both),
					SENSE_INVALID_CDB_FIELD);
			CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 2 * n * unit, both), 0);
			CU_ASSERT(is_stored(&p, LBA, n, fresh));
			free(old);
			free(both);
			free(fresh);
			protected_destroy(&p);
		}
	}
}

/* The tuples are escapes on stable media before the data changes: whatever stops it, the block can be
 * read, old or new. */
static void write_atomic(void)
{
	struct cdb cdb = { { CDB_WRITE_ATOMIC_16, 0x20, [9] = LBA, [13] = 8 } };
	struct protected p;
	uint8_t *data, *large;

	protected_create(&p, 1, 512);
	data = transfer_of(&p, 8, 1, 1, LBA);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 8 * 520, data), 0);
	CU_ASSERT(is_stored(&p, LBA, 8, data));
	CU_ASSERT_EQUAL(p.tuples.requests, 2);
	CU_ASSERT_EQUAL(p.tuples.log[0].flags, BS_FUA);
	CU_ASSERT_EQUAL(p.w.disk.log[0].flags, BS_FUA | BS_ATOMIC);
	/* As much as the backstore says, and one more. */
	large = transfer_of(&p, 129, 1, 1, LBA);
	cdb.b[13] = 128;
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 128 * 520, large), 0);
	cdb.b[13] = 129;
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 129 * 520, large), SENSE_INVALID_CDB_FIELD);
	free(large);
	cdb.b[13] = 8;
	p.w.disk.fail[BS_WRITE] = -EIO; /* as if the machine had stopped there */
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 8 * 520, data), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb_rw(CDB_READ_16, 0, LBA, 8).b, DIR_READ, 8 * 512, NULL),
			0);
	data[0] ^= 1;
	ASSERT_FAILS(&p.w, cdb, DIR_WRITE, 8 * 520, data, SENSE_GUARD, LBA);
	free(data);
	protected_destroy(&p);
}

UNIT_MAIN(TEST(each_field_is_checked_as_told), TEST(tuples_are_made),
	  TEST(tuples_are_made_for_long_cdbs), TEST(both_ways_meet), TEST(escapes_are_taken),
	  TEST(what_is_refused), TEST(lengths), TEST(forced_writes_force_both),
	  TEST(disks_that_fail), TEST(half_a_write_is_found), TEST(transfers_that_fail_and_aborts),
	  TEST(write_same_counts_reference_tags), TEST(write_same_checks), TEST(write_same_unmaps),
	  TEST(unmapped_blocks_are_escapes), TEST(written_zeros_have_tuples),
	  TEST(formatted_blocks_are_escapes), TEST(orwrite_makes_tuples), TEST(compare_and_write),
	  TEST(write_atomic));
