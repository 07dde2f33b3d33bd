// SPDX-License-Identifier: BSD-2-Clause
/* READ of blocks with protection information: scsi/protect.c, protect_rw.c. */
#include "protect_world.h"

enum { LBA = 70, BLOCKS = 3 };

static const uint32_t sizes[] = { 512, 4096 };

static void read_one_way(struct protected *p, uint8_t field, uint8_t wrong)
{
	struct cdb cdb = cdb_protect(p, CDB_READ_16, SA_READ_32, protect_bits(field), LBA, BLOCKS);
	uint8_t seen = noticed[field] & known(p->type) & wrong;
	struct command c;

	/* The middle one is wrong in one field. */
	protect_range(p, LBA, BLOCKS, APP, LBA);
	tuple_store(p, LBA + 1, (uint16_t)(guard_at(p, LBA + 1) ^ (wrong & GUARD_WRONG ? 1 : 0)),
		    (uint16_t)(APP ^ (wrong & APP_WRONG ? 0x0010 : 0)),
		    (LBA + 1) ^ (wrong & REF_WRONG ? 0x80000000 : 0));
	command_run(&p->w, &c, cdb.b, DIR_READ, BLOCKS * p->unit, NULL);
	if (seen) {
		ASSERT_SENSE(&c, 0x0b1000 + (seen == GUARD_WRONG ? 1 : seen == APP_WRONG ? 2 : 3));
		CU_ASSERT_EQUAL(command_information(&c), LBA + 1);
		CU_ASSERT_EQUAL(c.in_len, 0);
	} else {
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(c.in_len, BLOCKS * p->unit);
		CU_ASSERT_EQUAL(command_residual(&c), 0);
		CU_ASSERT(is_stored(p, LBA, BLOCKS, c.in));
	}
	command_free(&c);
}

static void each_field_is_checked_as_told(void)
{
	static const uint8_t wrongs[] = { 0, GUARD_WRONG, APP_WRONG, REF_WRONG };

	for (size_t s = 0; s < array_size(sizes); s++) {
		for (uint8_t type = 1; type <= 3; type++) {
			struct protected p;

			protected_create(&p, type, sizes[s]);
			for (uint8_t field = 1; field < 6; field++) {
				for (size_t i = 0; i < array_size(wrongs); i++)
					read_one_way(&p, field, wrongs[i]);
			}
			protected_destroy(&p);
		}
	}
}

/* RDPROTECT 0: the guard, and with type 1 the reference tag. */
static void without_transfer_the_device_checks(void)
{
	static const uint8_t opcodes[] = { CDB_READ_6, CDB_READ_10, CDB_READ_12, CDB_READ_16 };

	for (uint8_t type = 1; type <= 3; type++) {
		struct protected p;

		protected_create(&p, type, 512);
		for (size_t i = 0; i < array_size(opcodes); i++) {
			struct cdb cdb = cdb_rw(opcodes[i], 0, LBA, BLOCKS);
			struct command c;

			protect_range(&p, LBA, BLOCKS, APP, LBA);
			command_run(&p.w, &c, cdb.b, DIR_READ, BLOCKS * 512, NULL);
			ASSERT_GOOD(&c);
			CU_ASSERT(!memcmp(c.in, block_at(&p, LBA), BLOCKS * 512));
			command_free(&c);

			block_at(&p, LBA + 2)[511] ^= 1;
			ASSERT_FAILS(&p.w, cdb, DIR_READ, BLOCKS * 512, NULL, SENSE_GUARD, LBA + 2);
			block_at(&p, LBA + 2)[511] ^= 1;

			tuple_store(&p, LBA + 1, guard_at(&p, LBA + 1), 0, LBA);
			if (type == 1)
				ASSERT_FAILS(&p.w, cdb, DIR_READ, BLOCKS * 512, NULL,
					     SENSE_REFERENCE_TAG, LBA + 1);
			else
				CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_READ, BLOCKS * 512, NULL),
						0);
		}
		protected_destroy(&p);
	}
}

/* READ (32) says what to expect although it transfers no tuples. */
static void expectations_without_transfer(void)
{
	struct cdb cdb = cdb_32(SA_READ_32, 0, LBA, BLOCKS, 9000, 0x5500, 0xff00);
	struct protected p;
	struct command c;

	protected_create(&p, 2, 512);
	protect_range(&p, LBA, BLOCKS, 0x5577, 9000);
	command_run(&p.w, &c, cdb.b, DIR_READ, BLOCKS * 512, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(c.in_len, BLOCKS * 512);
	CU_ASSERT(!memcmp(c.in, block_at(&p, LBA), BLOCKS * 512));
	command_free(&c);
	tuple_store(&p, LBA + 2, guard_at(&p, LBA + 2), 0x5477, 9002);
	ASSERT_FAILS(&p.w, cdb, DIR_READ, BLOCKS * 512, NULL, SENSE_APPLICATION_TAG, LBA + 2);
	protect_range(&p, LBA, BLOCKS, 0x5577, 9001);
	ASSERT_FAILS(&p.w, cdb, DIR_READ, BLOCKS * 512, NULL, SENSE_REFERENCE_TAG, LBA);
	protected_destroy(&p);
}

static void an_escape_is_not_checked(void)
{
	for (uint8_t type = 1; type <= 3; type++) {
		struct cdb cdb, plain = cdb_rw(CDB_READ_10, 0, LBA, BLOCKS);
		struct protected p;
		struct command c;

		protected_create(&p, type, 512);
		cdb = cdb_protect(&p, CDB_READ_16, SA_READ_32, protect_bits(1), LBA, BLOCKS);
		/* Never written: all ones come back. */
		command_run(&p.w, &c, cdb.b, DIR_READ, BLOCKS * 520, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT(!memcmp(c.in + 512, "\xff\xff\xff\xff\xff\xff\xff\xff", 8));
		CU_ASSERT(is_stored(&p, LBA, BLOCKS, c.in));
		command_free(&c);
		CU_ASSERT_EQUAL(outcome(&p.w, plain.b, DIR_READ, BLOCKS * 512, NULL), 0);
		/* Type 3 wants the reference tag to say it too. */
		tuple_store(&p, LBA, (uint16_t)~guard_at(&p, LBA), 0xffff, LBA + 100);
		CU_ASSERT_EQUAL(outcome(&p.w, plain.b, DIR_READ, BLOCKS * 512, NULL),
				type == 3 ? SENSE_GUARD : 0);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_READ, BLOCKS * 520, NULL),
				type == 3 ? SENSE_GUARD : 0);
		protected_destroy(&p);
	}
}

static void what_is_refused(void)
{
	for (uint8_t type = 1; type <= 3; type++) {
		struct protected p;

		protected_create(&p, type, 512);
		for (uint8_t field = 1; field < 8; field++) {
			struct cdb c10 = cdb_rw(CDB_READ_10, protect_bits(field), LBA, 1);
			struct cdb c32 = cdb_32(SA_READ_32, protect_bits(field), LBA, 1, LBA, 0, 0);
			uint32_t sense = field > 5 ? SENSE_INVALID_CDB_FIELD : 0;

			CU_ASSERT_EQUAL(outcome(&p.w, c10.b, DIR_READ, 520, NULL),
					type == 2 ? SENSE_INVALID_OPCODE : sense);
			CU_ASSERT_EQUAL(outcome(&p.w, c32.b, DIR_READ, 520, NULL),
					type == 2 ? sense : SENSE_INVALID_OPCODE);
		}
		protected_destroy(&p);
	}
}

/* A unit without protection information refuses the field. */
static void without_protection_the_field_is_reserved(void)
{
	struct cdb cdb = cdb_rw(CDB_READ_16, protect_bits(1), 0, 1);
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_READ, 520, NULL), SENSE_INVALID_CDB_FIELD);
	world_destroy(&w);
}

/* More than one buffer, and EDTLs that end in data, in a tuple and behind it. */
static void lengths(void)
{
	for (size_t s = 0; s < array_size(sizes); s++) {
		uint32_t block = sizes[s], blocks = 5000000 / block, unit = block + 8;
		uint32_t edtls[] = { 1,
				     block - 1,
				     block,
				     block + 3,
				     unit,
				     unit + 1,
				     unit * 2016 - 4,
				     unit * 2016 + 4,
				     unit * blocks - 8,
				     unit * blocks,
				     unit * blocks + 100 };
		struct protected p;
		struct cdb cdb;

		protected_create(&p, 1, block);
		protect_range(&p, LBA, blocks, 7, LBA);
		cdb = cdb_rw(CDB_READ_16, protect_bits(1), LBA, blocks);
		for (size_t i = 0; i < array_size(edtls); i++) {
			uint32_t want = unit * blocks;
			uint32_t len = edtls[i] < want ? edtls[i] : want;
			uint8_t tuple[8];
			struct command c;

			command_run(&p.w, &c, cdb.b, DIR_READ, edtls[i], NULL);
			ASSERT_GOOD(&c);
			CU_ASSERT_EQUAL(c.in_len, len);
			CU_ASSERT_EQUAL(command_residual(&c), (int64_t)edtls[i] - want);
			CU_ASSERT(is_stored(&p, LBA, len / unit, c.in));
			if (len % unit) {
				const uint8_t *rest = c.in + len / unit * unit;
				uint32_t data = len % unit < block ? len % unit : block;

				CU_ASSERT(!memcmp(rest, block_at(&p, LBA + len / unit), data));
				tuple_load(&p, LBA + len / unit, tuple);
				CU_ASSERT(!memcmp(rest + data, tuple, len % unit - data));
			}
			command_free(&c);
		}
		CU_ASSERT_EQUAL(
			outcome(&p.w, cdb_rw(CDB_READ_16, 0x20, DISK_BLOCKS, 0).b, 0, 0, NULL), 0);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb_rw(CDB_READ_16, 0x20, DISK_BLOCKS, 1).b, DIR_READ,
					unit, NULL),
				SENSE_LBA_RANGE);
		protected_destroy(&p);
	}
}

/* An error in a later chunk, after data was sent. */
static void a_later_chunk_fails(void)
{
	struct cdb cdb = cdb_rw(CDB_READ_16, protect_bits(1), 0, 5000);
	struct protected p;

	protected_create(&p, 1, 512);
	protect_range(&p, 0, 5000, 0, 0);
	block_at(&p, 4321)[17] ^= 0x40;
	ASSERT_FAILS(&p.w, cdb, DIR_READ, 5000 * 520, NULL, SENSE_GUARD, 4321);
	protected_destroy(&p);
}

static void disks_that_fail(void)
{
	struct cdb with = cdb_rw(CDB_READ_16, protect_bits(1), 0, 4);
	struct cdb without = cdb_rw(CDB_READ_16, 0, 0, 4);
	struct protected p;

	protected_create(&p, 1, 512);
	p.tuples.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(outcome(&p.w, with.b, DIR_READ, 4 * 520, NULL), SENSE_READ_ERROR);
	CU_ASSERT_EQUAL(outcome(&p.w, without.b, DIR_READ, 4 * 512, NULL), SENSE_READ_ERROR);
	p.tuples.fail[BS_READ] = 0;
	p.w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(outcome(&p.w, with.b, DIR_READ, 4 * 520, NULL), SENSE_READ_ERROR);
	CU_ASSERT_EQUAL(outcome(&p.w, without.b, DIR_READ, 4 * 512, NULL), SENSE_READ_ERROR);
	protected_destroy(&p);
}

/* At every point where it waits: the data, the tuples, the transfer. */
static void aborts(void)
{
	struct cdb cdb = cdb_rw(CDB_READ_16, protect_bits(1), 0, 4);
	struct protected p;

	protected_create(&p, 1, 512);
	for (int where = 0; where < 3; where++) {
		struct command c;

		p.w.disk.hold = where == 0;
		p.tuples.hold = where == 1;
		command_init(&p.w, &c, cdb.b, DIR_READ, 4 * 520, NULL);
		c.hold = where == 2;
		command_submit(&c);
		CU_ASSERT_EQUAL(c.ends, where == 2);
		scsi_abort(&c.task);
		CU_ASSERT_EQUAL(c.ends, where == 2);
		p.w.disk.hold = p.tuples.hold = false;
		if (where == 0)
			disk_release(&p.w.disk);
		else if (where == 1)
			disk_release(&p.tuples);
		else
			command_transfer(&c);
		world_turn(&p.w);
		CU_ASSERT_EQUAL(c.ends, 1);
		CU_ASSERT_EQUAL(c.in_len, where == 2 ? 4 * 520 : 0);
		command_free(&c);
	}
	protected_destroy(&p);
}

/* FUA: what waits in a cache goes to the medium first, the tuples too. */
static void fua(void)
{
	struct cdb cdb = cdb_rw(CDB_READ_16, protect_bits(1) | RW_FUA, 0, 1);
	struct protected p;

	protected_create(&p, 1, 512);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_READ, 520, NULL), 0);
	CU_ASSERT_EQUAL(p.w.disk.log[0].opcode, BS_FLUSH);
	CU_ASSERT_EQUAL(p.tuples.log[0].opcode, BS_FLUSH);
	CU_ASSERT_EQUAL(p.w.disk.log[1].opcode, BS_READ);
	CU_ASSERT_EQUAL(p.w.disk.log[1].flags, BS_FUA);
	p.tuples.fail[BS_FLUSH] = -EIO;
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_READ, 520, NULL), SENSE_WRITE_ERROR);
	protected_destroy(&p);
}

static void what_the_unit_says(void)
{
	for (uint8_t type = 1; type <= 3; type++) {
		struct cdb capacity = { { CDB_SERVICE_ACTION_IN_16,
					  SA_READ_CAPACITY_16, [13] = 32 } };
		struct cdb inquiry = { { CDB_INQUIRY, 0, 0, 0, 96 } };
		struct cdb extended = { { CDB_INQUIRY, 1, VPD_EXTENDED, 0, 64 } };
		struct cdb control = { { CDB_MODE_SENSE_10, MODE_SENSE_DBD,
					 MODE_PAGE_CONTROL, [8] = 64 } };
		struct protected p;
		struct command c;

		protected_create(&p, type, 512);
		command_run(&p.w, &c, capacity.b, DIR_READ, 32, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(c.in[12], (type - 1) << 1 | 1); /* P_TYPE, PROT_EN */
		CU_ASSERT_EQUAL(c.in[13] >> 4, 0); /* one tuple for each block */
		command_free(&c);
		command_run(&p.w, &c, inquiry.b, DIR_READ, 96, NULL);
		CU_ASSERT_EQUAL(c.in[5] & 1, 1); /* PROTECT */
		command_free(&c);
		command_run(&p.w, &c, extended.b, DIR_READ, 64, NULL);
		/* SPT: this type only; GRD_CHK, APP_CHK, REF_CHK */
		CU_ASSERT_EQUAL(c.in[4] & 0x3f, (type == 1 ? 0 : type == 2 ? 2 : 4) << 3 | 7);
		command_free(&c);
		command_run(&p.w, &c, control.b, DIR_READ, 64, NULL);
		CU_ASSERT_EQUAL(c.in[8 + 5] & 0x80, 0x80); /* ATO */
		command_free(&c);
		protected_destroy(&p);
	}
}

UNIT_MAIN(TEST(each_field_is_checked_as_told), TEST(without_transfer_the_device_checks),
	  TEST(expectations_without_transfer), TEST(an_escape_is_not_checked),
	  TEST(what_is_refused), TEST(without_protection_the_field_is_reserved), TEST(lengths),
	  TEST(a_later_chunk_fails), TEST(disks_that_fail), TEST(aborts), TEST(fua),
	  TEST(what_the_unit_says));
