// SPDX-License-Identifier: BSD-2-Clause
/*
 * Finer rules of commands with protection information: what WRITE SAME without data leaves, when WRITE
 * AND VERIFY compares, what is said about escapes that are written, and where in memory the medium is
 * read to.
 */
#include "protect_world.h"

enum { LBA = 300 };

/* SBC 5.53: NDOB is zeros whose tuples are all ones. Where none are transferred they are made. */
static void write_same_without_data(void)
{
	for (uint8_t type = 1; type <= 3; type++) {
		uint8_t escape[520] = { 0 };
		struct protected p;
		struct cdb cdb;

		memset(escape + 512, 0xff, 8);
		protected_create(&p, type, 512);
		protect_range(&p, LBA, 5000, 1, LBA);
		cdb = cdb_protect(&p, CDB_WRITE_SAME_16, SA_WRITE_SAME_32, 0x20 | WRITE_SAME_NDOB,
				  LBA, 5000);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, 0, 0, NULL), 0);
		CU_ASSERT_EQUAL(p.w.disk.log[0].opcode, BS_ZERO);
		CU_ASSERT(is_stored(&p, LBA, 1, escape));
		CU_ASSERT(is_stored(&p, LBA + 4999, 1, escape));
		cdb = cdb_rw(CDB_WRITE_SAME_16, WRITE_SAME_NDOB, LBA, 5000);
		CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, 0, 0, NULL), 0);
		CU_ASSERT(!is_stored(&p, LBA + 4999, 1, escape));
		protected_destroy(&p);
	}
}

/* Somebody else writes the block between the write and the look at it. What he writes has right
 * tuples: that is an error for who wanted to compare, only. */
static void others_write_meanwhile(void)
{
	for (uint8_t bytchk = 0; bytchk < 2; bytchk++) {
		struct cdb cdb = cdb_rw(CDB_WRITE_AND_VERIFY_16, 0x20 | bytchk << 1, LBA, 1);
		uint8_t *mine, *other;
		struct protected p;
		struct command c;

		protected_create(&p, 1, 512);
		mine = transfer_of(&p, 1, 1, APP, LBA);
		other = transfer_of(&p, 1, 2, APP, LBA);
		p.w.disk.hold = true;
		command_init(&p.w, &c, cdb.b, DIR_WRITE, 520, mine);
		command_submit(&c);
		disk_release(&p.w.disk);
		CU_ASSERT_EQUAL(p.w.disk.held_count, 1); /* the read */
		memcpy(block_at(&p, LBA), other, 512);
		protect_range(&p, LBA, 1, APP, LBA);
		disk_release(&p.w.disk);
		CU_ASSERT_EQUAL(c.ends, 1);
		if (bytchk) {
			ASSERT_SENSE(&c, SENSE_MISCOMPARE);
		} else {
			CU_ASSERT_EQUAL(c.task.status, SAM_GOOD);
		}
		command_free(&c);
		free(mine);
		free(other);
		protected_destroy(&p);
	}
}

/* Without comparing, what is on the medium is checked as WRPROTECT says, or fits itself. */
static void what_was_written_is_checked(void)
{
	static const uint8_t fields[] = { 0, 1, 3 };

	for (uint8_t type = 1; type <= 3; type++) {
		for (size_t i = 0; i < array_size(fields); i++) {
			uint32_t unit = fields[i] ? 520 : 512;
			uint8_t *data;
			struct protected p;
			struct command c;
			struct cdb cdb;

			protected_create(&p, type, 512);
			data = fields[i] ? transfer_of(&p, 1, 1, APP, LBA) : pattern(512, 1);
			cdb = cdb_protect(&p, CDB_WRITE_AND_VERIFY_16, SA_WRITE_AND_VERIFY_32,
					  protect_bits(fields[i]), LBA, 1);
			CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, unit, data), 0);
			p.w.disk.hold = true;
			command_init(&p.w, &c, cdb.b, DIR_WRITE, unit, data);
			command_submit(&c);
			disk_release(&p.w.disk);
			block_at(&p, LBA)[7] ^= 1;
			disk_release(&p.w.disk);
			CU_ASSERT_EQUAL(c.ends, 1);
			if (fields[i] == 3) {
				CU_ASSERT_EQUAL(c.task.status, SAM_GOOD);
			} else {
				ASSERT_SENSE(&c, SENSE_GUARD);
			}
			command_free(&c);
			free(data);
			protected_destroy(&p);
		}
	}
}

/* An escape that is written is not checked, and Extended INQUIRY says so: NO_PI_CHK. */
static void escapes_that_are_written(void)
{
	struct cdb inquiry = { { CDB_INQUIRY, 1, 0x86, 0, 64 } };
	struct cdb cdb = cdb_rw(CDB_WRITE_16, 0x20, LBA, 1);
	struct protected p;
	struct command c;
	uint8_t *data;

	protected_create(&p, 1, 512);
	data = transfer_of(&p, 1, 1, 0xffff, LBA);
	data[0] ^= 1;
	CU_ASSERT_EQUAL(outcome(&p.w, cdb.b, DIR_WRITE, 520, data), 0);
	CU_ASSERT(is_stored(&p, LBA, 1, data));
	command_run(&p.w, &c, inquiry.b, DIR_READ, 64, NULL);
	CU_ASSERT_EQUAL(c.in[7] & 0x20, 0x20);
	command_free(&c);
	free(data);
	protected_destroy(&p);
}

/* Memory that is not aligned cannot be read to past the page cache: what would be verified is that. */
static void the_medium_is_read_to_aligned_memory(void)
{
	struct cdb rows[] = { cdb_rw(CDB_VERIFY_16, 0x20, LBA, 3),
			      cdb_rw(CDB_VERIFY_16, 0x22, LBA, 3),
			      cdb_rw(CDB_VERIFY_16, 0x26, LBA, 3),
			      cdb_rw(CDB_WRITE_AND_VERIFY_16, 0x20, LBA, 3) };
	struct protected p;
	uint8_t *data;

	protected_create(&p, 1, 4096);
	data = transfer_of(&p, 3, 1, 0, LBA);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct command c;

		p.w.disk.hold = true;
		command_init(&p.w, &c, rows[i].b, i ? DIR_WRITE : 0, i ? 3 * 4104 : 0,
			     i ? data : NULL);
		command_submit(&c);
		while (p.w.disk.held_count) {
			CU_ASSERT_EQUAL((uintptr_t)p.w.disk.held[0]->data % 4096, 0);
			CU_ASSERT_EQUAL(p.w.disk.held[0]->flags, BS_FUA);
			disk_release(&p.w.disk);
		}
		CU_ASSERT_EQUAL(c.ends, 1);
		command_free(&c);
	}
	free(data);
	protected_destroy(&p);
}

/* Whether all blocks hold this byte and nobody checks them. */
static bool all_escapes(const struct protected *p, uint8_t byte)
{
	bool right = true;

	for (size_t i = 0; i < DISK_BLOCKS * 8; i++)
		right = right && p->tuples.bytes[i] == 0;
	for (size_t i = 0; i < (size_t)DISK_BLOCKS * 512; i++)
		right = right && p->w.disk.bytes[i] == byte;
	return right;
}

/* SANITIZE takes the tuples, too: OVERWRITE in two passes, INVERT; then BLOCK ERASE. */
static void sanitized_blocks_are_escapes(void)
{
	struct cdb overwrite = { { CDB_SANITIZE, 0x01, [8] = 6 } };
	struct cdb erase = { { CDB_SANITIZE, 0x02 } };
	struct cdb read = cdb_rw(CDB_READ_16, 0x20, LBA, 4);
	uint8_t list[6] = { 0x82, 0, 0, 2, 0xa5, 0xa5 };

	for (uint8_t type = 1; type <= 3; type += 2) {
		struct protected p;

		protected_create(&p, type, 512);
		p.bs->limits.can_erase = true;
		protect_range(&p, 0, DISK_BLOCKS, APP, 0);
		CU_ASSERT_EQUAL(outcome(&p.w, overwrite.b, DIR_WRITE, 6, list), 0);
		CU_ASSERT(all_escapes(&p, 0xa5));
		p.w.a.unit_attentions[0] = 0;
		CU_ASSERT_EQUAL(outcome(&p.w, read.b, DIR_READ, 4 * 520, NULL), 0);
		protect_range(&p, 0, DISK_BLOCKS, APP, 0);
		CU_ASSERT_EQUAL(outcome(&p.w, erase.b, 0, 0, NULL), 0);
		CU_ASSERT(all_escapes(&p, 0));
		protected_destroy(&p);
	}
}

UNIT_MAIN(TEST(write_same_without_data), TEST(others_write_meanwhile),
	  TEST(what_was_written_is_checked), TEST(escapes_that_are_written),
	  TEST(the_medium_is_read_to_aligned_memory), TEST(sanitized_blocks_are_escapes));
