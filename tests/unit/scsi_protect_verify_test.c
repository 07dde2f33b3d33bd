// SPDX-License-Identifier: BSD-2-Clause
/* VERIFY with protection information, every BYTCHK: scsi/protect_verify.c. */
#include "protect_world.h"

enum { LBA = 70, BLOCKS = 3 };

/* SBC's tables: what VRPROTECT checks (of the medium with BYTCHK 0, else of Data-Out), and what it
 * compares. */
static const struct {
	uint8_t checked, compared;
} table[6] = { [1] = { GUARD_WRONG | APP_WRONG | REF_WRONG, GUARD_WRONG | APP_WRONG | REF_WRONG },
	       [2] = { APP_WRONG | REF_WRONG, APP_WRONG | REF_WRONG },
	       [3] = { 0, GUARD_WRONG | APP_WRONG | REF_WRONG },
	       [4] = { GUARD_WRONG, GUARD_WRONG | APP_WRONG | REF_WRONG },
	       [5] = { GUARD_WRONG | APP_WRONG | REF_WRONG, GUARD_WRONG | APP_WRONG | REF_WRONG } };

static uint32_t behind(uint8_t wrong)
{
	return wrong == GUARD_WRONG ? 0 : wrong == APP_WRONG ? 1 : 2;
}

static struct cdb verify(const struct protected *p, uint8_t field, uint8_t bytchk, uint32_t blocks)
{
	return cdb_protect(p, CDB_VERIFY_16, SA_VERIFY_32,
			   (uint8_t)(protect_bits(field) | bytchk << VERIFY_BYTCHK_SHIFT), LBA,
			   blocks);
}

static void wrong_on_medium(struct protected *p, uint32_t at, uint8_t wrong)
{
	tuple_store(p, LBA + at, (uint16_t)(guard_at(p, LBA + at) ^ (wrong & GUARD_WRONG ? 1 : 0)),
		    (uint16_t)(APP ^ (wrong & APP_WRONG ? 0x0010 : 0)),
		    (LBA + at) ^ (wrong & REF_WRONG ? 0x80000000 : 0));
}

static void wrong_in_transfer(const struct protected *p, uint8_t *data, uint32_t at, uint8_t wrong)
{
	uint8_t *tuple = data + at * p->unit + p->block;

	tuple[1] ^= wrong & GUARD_WRONG ? 1 : 0;
	tuple[3] ^= wrong & APP_WRONG ? 0x10 : 0;
	tuple[4] ^= wrong & REF_WRONG ? 0x80 : 0;
}

static const uint8_t wrongs[] = { 0, GUARD_WRONG, APP_WRONG, REF_WRONG };

static void the_medium_is_checked(void)
{
	for (uint32_t block = 512; block <= 4096; block *= 8) {
		for (uint8_t type = 1; type <= 3; type++) {
			struct protected p;

			protected_create(&p, type, block);
			for (uint8_t field = 1; field < 5; field++) {
				for (size_t i = 0; i < array_size(wrongs); i++) {
					struct cdb cdb = verify(&p, field, 0, BLOCKS);
					uint8_t seen =
						table[field].checked & known(type) & wrongs[i];

					protect_range(&p, LBA, BLOCKS, APP, LBA);
					wrong_on_medium(&p, 2, wrongs[i]);
					if (seen)
						ASSERT_FAILS(&p.w, cdb, 0, 0, NULL,
							     SENSE_GUARD + behind(seen), LBA + 2);
					else
						CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, 0, 0, NULL),
								0);
				}
			}
			protected_destroy(&p);
		}
	}
}

/* VRPROTECT 0: as READ does. */
static void without_tuples_the_device_checks(void)
{
	struct cdb read = cdb_rw(CDB_VERIFY_16, 0, LBA, BLOCKS);
	struct cdb compare = cdb_rw(CDB_VERIFY_16, 2, LBA, BLOCKS);
	struct protected p;

	protected_create(&p, 1, 512);
	protect_range(&p, LBA, BLOCKS, 0, LBA);
	CU_ASSERT_EQUAL(outcome(&p.w, read.b, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(outcome(&p.w, compare.b, DIR_WRITE, BLOCKS * 512, block_at(&p, LBA)), 0);
	wrong_on_medium(&p, 1, GUARD_WRONG);
	ASSERT_FAILS(&p.w, read, 0, 0, NULL, SENSE_GUARD, LBA + 1);
	ASSERT_FAILS(&p.w, compare, DIR_WRITE, BLOCKS * 512, block_at(&p, LBA), SENSE_GUARD,
		     LBA + 1);
	protected_destroy(&p);
}

/* VERIFY (32) with VRPROTECT 0 still says what to expect on the medium. */
static void expectations_without_transfer(void)
{
	struct protected p;

	protected_create(&p, 2, 512);
	protect_range(&p, LBA, BLOCKS, APP, LBA);
	for (uint8_t bytchk = 0; bytchk < 2; bytchk++) {
		struct cdb cdb = verify(&p, 0, bytchk, BLOCKS);
		uint32_t len = bytchk ? BLOCKS * 512 : 0;
		int dir = bytchk ? DIR_WRITE : 0;

		wrong_on_medium(&p, 1, 0);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, dir, len, block_at(&p, LBA)), 0);
		wrong_on_medium(&p, 1, APP_WRONG);
		ASSERT_FAILS(&p.w, cdb, dir, len, block_at(&p, LBA), SENSE_APPLICATION_TAG,
			     LBA + 1);
	}
	protected_destroy(&p);
}

/* BYTCHK 1. One field at a time is wrong on the medium, then in what is sent. */
static void what_is_sent_is_checked_and_compared(void)
{
	for (uint32_t block = 512; block <= 4096; block *= 8) {
		for (uint8_t type = 1; type <= 3; type++) {
			uint8_t differ = type == 3 ? GUARD_WRONG | APP_WRONG
						   : GUARD_WRONG | APP_WRONG | REF_WRONG;
			struct protected p;
			uint8_t *data;

			protected_create(&p, type, block);
			data = transfer_of(&p, BLOCKS, 4, APP, LBA);
			for (uint32_t i = 0; i < BLOCKS; i++)
				memcpy(block_at(&p, LBA + i), data + i * p.unit, block);
			for (uint8_t field = 1; field < 6; field++) {
				for (size_t i = 0; i < array_size(wrongs); i++) {
					struct cdb cdb = verify(&p, field, 1, BLOCKS);
					uint8_t w = wrongs[i],
						seen = table[field].compared & differ & w;
					uint32_t len = BLOCKS * p.unit;
					uint32_t at = p.unit + block +
						      (w == GUARD_WRONG ? 0
						       : w == APP_WRONG ? 2
									: 4);

					protect_range(&p, LBA, BLOCKS, APP, LBA);
					wrong_on_medium(&p, 1, w);
					if (seen)
						ASSERT_FAILS(&p.w, cdb, DIR_WRITE, len, data,
							     SENSE_MISCOMPARE_GUARD + behind(w),
							     at);
					else
						CU_ASSERT_EQUAL(
							outcome(&p.w, cdb.b, DIR_WRITE, len, data),
							0);
					wrong_in_transfer(&p, data, 1, w);
					seen = table[field].checked & known(type) & w;
					if (seen)
						ASSERT_FAILS(&p.w, cdb, DIR_WRITE, len, data,
							     SENSE_GUARD + behind(w), LBA + 1);
					else /* alike again */
						CU_ASSERT_EQUAL(
							outcome(&p.w, cdb.b, DIR_WRITE, len, data),
							0);
					wrong_in_transfer(&p, data, 1, w);
				}
			}
			free(data);
			protected_destroy(&p);
		}
	}
}

static void data_that_differs(void)
{
	struct protected p;
	uint8_t *data;
	uint32_t blocks = 3000;
	struct cdb cdb;

	protected_create(&p, 1, 512);
	data = transfer_of(&p, blocks, 4, APP, LBA);
	for (uint32_t i = 0; i < blocks; i++)
		memcpy(block_at(&p, LBA + i), data + i * 520, 512);
	protect_range(&p, LBA, blocks, APP, LBA);
	cdb = verify(&p, 1, 1, blocks);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, blocks * 520, data), 0);
	block_at(&p, LBA + 2999)[5] ^= 1;
	ASSERT_FAILS(&p.w, cdb, DIR_WRITE, blocks * 520, data, SENSE_MISCOMPARE, 2999 * 520 + 5);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, blocks * 512, data),
			SENSE_INVALID_IU_FIELD);
	/* It came with the command. */
	for (uint32_t first = 520; first <= 262144; first *= 8) {
		struct command c;

		command_init(&p.w, &c, cdb.b, DIR_WRITE, blocks * 520, data);
		command_immediate(&c, first, first);
		command_submit(&c);
		ASSERT_SENSE(&c, SENSE_MISCOMPARE);
		command_free(&c);
	}
	free(data);
	protected_destroy(&p);
}

/* BYTCHK 3: reference tags count on from that of the one block. */
static void one_block_against_all(void)
{
	for (uint8_t type = 1; type <= 3; type++) {
		uint32_t blocks = 2500;
		struct protected p;
		uint8_t *data;
		struct cdb cdb;

		protected_create(&p, type, 512);
		data = transfer_of(&p, 1, 4, APP, LBA);
		for (uint32_t i = 0; i < blocks; i++)
			memcpy(block_at(&p, LBA + i), data, 512);
		protect_range(&p, LBA, blocks, APP, LBA);
		cdb = verify(&p, 1, 3, blocks);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), 0);
		wrong_on_medium(&p, 2400, REF_WRONG);
		if (type == 3) {
			CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), 0);
		} else {
			ASSERT_FAILS(&p.w, cdb, DIR_WRITE, 520, data, SENSE_MISCOMPARE_GUARD + 2,
				     512 + 4);
		}
		wrong_on_medium(&p, 2400, 0);
		block_at(&p, LBA + 2400)[9] ^= 4;
		ASSERT_FAILS(&p.w, cdb, DIR_WRITE, 520, data, SENSE_MISCOMPARE, 9);
		free(data);
		protected_destroy(&p);
	}
}

static void what_is_refused(void)
{
	uint8_t data[520] = { 0 };
	struct protected p;

	protected_create(&p, 1, 512);
	CU_ASSERT_EQUAL(outcome(&p.w, verify(&p, 1, 2, 1).b, DIR_WRITE, 520, data),
			SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&p.w, verify(&p, 5, 0, 1).b, 0, 0, NULL), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&p.w, verify(&p, 6, 1, 1).b, DIR_WRITE, 520, data),
			SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&p.w, verify(&p, 1, 1, 0).b, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(p.w.disk.requests, 0);
	p.w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(outcome(&p.w, verify(&p, 1, 0, 1).b, 0, 0, NULL), SENSE_READ_ERROR);
	protected_destroy(&p);
	protected_create(&p, 2, 512);
	CU_ASSERT_EQUAL(outcome(&p.w, cdb_rw(CDB_VERIFY_10, 0x20, 0, 1).b, 0, 0, NULL),
			SENSE_INVALID_OPCODE);
	protected_destroy(&p);
}

static void aborts(void)
{
	uint8_t *data;
	struct protected p;

	protected_create(&p, 1, 512);
	data = transfer_of(&p, 1, 4, APP, LBA);
	for (int where = 0; where < 2; where++) {
		struct command c;

		command_init(&p.w, &c, verify(&p, 1, 1, 1).b, DIR_WRITE, 520, data);
		c.hold = where == 0;
		p.w.disk.hold = where == 1;
		command_submit(&c);
		scsi_abort(&c.task);
		CU_ASSERT_EQUAL(c.ends, 0);
		p.w.disk.hold = false;
		if (where == 0)
			command_transfer(&c);
		else
			disk_release(&p.w.disk);
		world_turn(&p.w);
		CU_ASSERT_EQUAL(c.ends, 1);
		command_free(&c);
	}
	free(data);
	protected_destroy(&p);
}

UNIT_MAIN(TEST(the_medium_is_checked), TEST(without_tuples_the_device_checks),
	  TEST(expectations_without_transfer), TEST(what_is_sent_is_checked_and_compared),
	  TEST(data_that_differs), TEST(one_block_against_all), TEST(what_is_refused),
	  TEST(aborts));
