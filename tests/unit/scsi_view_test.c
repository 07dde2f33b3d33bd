// SPDX-License-Identifier: BSD-2-Clause
/* What one initiator sees and may write, and others more than that: scsi/view.c. */
#include "scsi_copy_world.h"

static const uint8_t tur[CDB_MAX] = { CDB_TEST_UNIT_READY };
static const uint8_t inquiry[CDB_MAX] = { CDB_INQUIRY, [4] = 36 };
static const uint8_t report_luns[CDB_MAX] = { CDB_REPORT_LUNS, [8] = 1 };
static const uint8_t mode_sense[CDB_MAX] = { CDB_MODE_SENSE_6, [2] = 0x3f, [4] = 4 };
static const uint8_t *const zeros = (const uint8_t[512]){ 0 };

/* A command of this nexus to this LUN; the sense, 0 for GOOD. in: 256 bytes, or NULL. */
static uint32_t does(struct world *w, struct nexus *nexus, uint8_t lun, const uint8_t *cdb, int dir,
		     uint32_t len, uint8_t *in)
{
	struct command c;
	uint32_t sense;

	command_init(w, &c, cdb, dir, len, zeros);
	c.task.nexus = nexus;
	c.task.lun[1] = lun;
	command_submit(&c);
	sense = command_sense(&c);
	if (in)
		memcpy(in, c.in, len);
	command_free(&c);
	return sense;
}

static uint32_t reads(struct world *w, struct nexus *nexus, uint8_t lun)
{
	return does(w, nexus, lun, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, 512, NULL);
}

static uint32_t writes(struct world *w, struct nexus *nexus, uint8_t lun)
{
	return does(w, nexus, lun, cdb_rw(CDB_WRITE_10, 0, 0, 1).b, DIR_WRITE, 512, NULL);
}

/* Bit n of either mask is LUN n. */
static unsigned int given(struct nexus *nexus, uint32_t sees, uint32_t only_reads)
{
	struct nexus_rights rights = { .sees.bits[0] = sees, .only_reads.bits[0] = only_reads };
	unsigned int first;

	return nexus_restrict(nexus, &rights, &first);
}

static void other_luns_are_not_there(void)
{
	struct copy_world cw;
	struct world *w = &cw.w;
	uint8_t in[256];

	copy_world_create(&cw, 512);
	given(&w->a, 2, 0);
	does(w, &w->a, 0, report_luns, DIR_READ, 24, in);
	CU_ASSERT_EQUAL(in[3], 8);
	CU_ASSERT_EQUAL(in[9], 1);
	does(w, &w->b, 0, report_luns, DIR_READ, 24, in);
	CU_ASSERT_EQUAL(in[3], 16);
	does(w, &w->a, 0, inquiry, DIR_READ, 36, in);
	CU_ASSERT_EQUAL(in[0], 0x7f);
	does(w, &w->a, 1, inquiry, DIR_READ, 36, in);
	CU_ASSERT_EQUAL(in[0], 0);
	CU_ASSERT_EQUAL(does(w, &w->a, 0, tur, 0, 0, NULL), SENSE_NO_LU);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), SENSE_NO_LU);
	CU_ASSERT_EQUAL(writes(w, &w->a, 0), SENSE_NO_LU);
	CU_ASSERT_EQUAL(reads(w, &w->a, 1), 0);
	CU_ASSERT_EQUAL(reads(w, &w->b, 0), 0);
	CU_ASSERT_PTR_NULL(nexus_lu(&w->a, (uint8_t[8]){ 0, 0 }));
	CU_ASSERT_PTR_NULL(nexus_lu_of(&w->a, (uint8_t[8]){ 0, 0 }));
	CU_ASSERT_PTR_EQUAL(nexus_lu_of(&w->a, (uint8_t[8]){ 0, 1 }), cw.lu2);
	/* With the whole view the target's own list is used again. */
	given(&w->a, UINT32_MAX, 0);
	CU_ASSERT_PTR_EQUAL(nexus_lu(&w->a, (uint8_t[8]){ 0, 0 }), w->lu);
	copy_world_destroy(&cw);
}

static void one_only_reads(void)
{
	static const uint8_t unmap[CDB_MAX] = { CDB_UNMAP };
	struct copy_world cw;
	struct world *w = &cw.w;
	uint8_t in[256];

	copy_world_create(&cw, 512);
	given(&w->a, 3, 1);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), 0);
	CU_ASSERT_EQUAL(writes(w, &w->a, 0), SENSE_WRITE_PROTECTED);
	CU_ASSERT_EQUAL(does(w, &w->a, 0, unmap, 0, 0, NULL), SENSE_WRITE_PROTECTED);
	CU_ASSERT_EQUAL(writes(w, &w->a, 1), 0);
	CU_ASSERT_EQUAL(writes(w, &w->b, 0), 0);
	does(w, &w->a, 0, mode_sense, DIR_READ, 4, in);
	CU_ASSERT_EQUAL(in[2] & 0x80, 0x80);
	does(w, &w->b, 0, mode_sense, DIR_READ, 4, in);
	CU_ASSERT_EQUAL(in[2] & 0x80, 0);
	does(w, &w->a, 1, mode_sense, DIR_READ, 4, in);
	CU_ASSERT_EQUAL(in[2] & 0x80, 0);
	copy_world_destroy(&cw);
}

static void a_change_is_told(void)
{
	struct copy_world cw;
	struct world *w = &cw.w;

	copy_world_create(&cw, 512);
	/* What a new nexus gets is no change. */
	CU_ASSERT_EQUAL(given(&w->a, 1, 0), 0);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), 0);
	CU_ASSERT_EQUAL(given(&w->a, 1, 0), 0);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), 0);
	CU_ASSERT_EQUAL(given(&w->a, 3, 0), 1);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), SENSE_LUNS_CHANGED);
	CU_ASSERT_EQUAL(reads(w, &w->a, 1), SENSE_POWER_ON);
	does(w, &w->a, 1, report_luns, DIR_READ, 24, NULL);
	CU_ASSERT_EQUAL(reads(w, &w->a, 1), 0);
	CU_ASSERT_EQUAL(given(&w->a, 3, 2), 0);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), 0);
	CU_ASSERT_EQUAL(writes(w, &w->a, 1), SENSE_MODE_CHANGED);
	CU_ASSERT_EQUAL(writes(w, &w->a, 1), SENSE_WRITE_PROTECTED);
	/* Who does not see a unit any more does not hold its medium either. */
	atomic_store(&w->a.prevents_removal[0], true);
	CU_ASSERT_EQUAL(given(&w->a, 2, 0), 1);
	CU_ASSERT_FALSE(atomic_load(&w->a.prevents_removal[0]));
	CU_ASSERT_EQUAL(writes(w, &w->a, 1), SENSE_MODE_CHANGED);
	CU_ASSERT_EQUAL(writes(w, &w->a, 1), SENSE_LUNS_CHANGED);
	CU_ASSERT_EQUAL(writes(w, &w->a, 1), 0);
	CU_ASSERT_EQUAL(writes(w, &w->a, 0), SENSE_NO_LU);
	CU_ASSERT_EQUAL(writes(w, &w->b, 0), 0);
	copy_world_destroy(&cw);
}

/* Who does not see a unit any more cannot release it: others would wait for the end of its session. */
static void a_reservation_does_not_outlive_the_view(void)
{
	static const uint8_t reserve[CDB_MAX] = { CDB_RESERVE_6 };
	struct copy_world cw;
	struct world *w = &cw.w;

	copy_world_create(&cw, 512);
	given(&w->a, 3, 0);
	CU_ASSERT_EQUAL(does(w, &w->a, 0, reserve, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(does(w, &w->a, 1, reserve, 0, 0, NULL), 0);
	CU_ASSERT_TRUE(reservation_conflict(&w->b, 0, RSV_WRITE));
	/* What becomes read-only is in view still. */
	given(&w->a, 3, 1);
	CU_ASSERT_TRUE(reservation_conflict(&w->b, 0, RSV_WRITE));
	given(&w->a, 2, 0);
	CU_ASSERT_FALSE(reservation_conflict(&w->b, 0, RSV_WRITE));
	CU_ASSERT_TRUE(reservation_conflict(&w->b, 1, RSV_WRITE));
	CU_ASSERT_EQUAL(writes(w, &w->b, 0), 0);
	/* Back in view it is not what it was. */
	given(&w->a, 3, 0);
	CU_ASSERT_FALSE(reservation_conflict(&w->b, 0, RSV_WRITE));
	copy_world_destroy(&cw);
}

/* A command that has found its unit goes on to its end. */
static void who_is_inside_may_finish(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_10, 0, 4, 1);
	struct copy_world cw;
	struct world *w = &cw.w;
	struct command c;

	copy_world_create(&cw, 512);
	given(&w->a, 3, 0);
	w->disk.hold = true;
	command_init(w, &c, cdb.b, DIR_WRITE, 512, zeros);
	command_submit(&c);
	given(&w->a, 2, 0);
	disk_release(&w->disk);
	world_turn(w);
	ASSERT_GOOD(&c);
	command_free(&c);
	w->disk.hold = false;
	copy_world_destroy(&cw);
}

static void units_come_and_go(void)
{
	struct copy_world cw;
	struct world *w = &cw.w;
	struct lu *lu;

	copy_world_create(&cw, 512);
	given(&w->a, 1, 1);
	given(&w->b, 2, 0);
	target_remove_lun(&w->target, 0);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), SENSE_NO_LU);
	target_return_lun(&w->target, 0);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), 0);
	CU_ASSERT_EQUAL(reads(w, &w->b, 0), SENSE_NO_LU);
	target_remove_lun(&w->target, 0);
	lu = target_drop_lun(&w->target, 0);
	target_add_lun(&w->target, 0, lu, false);
	atomic_store(&lu->leaving, false);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), SENSE_POWER_ON);
	CU_ASSERT_EQUAL(reads(w, &w->a, 0), 0);
	CU_ASSERT_EQUAL(writes(w, &w->a, 0), SENSE_WRITE_PROTECTED);
	CU_ASSERT_EQUAL(reads(w, &w->b, 0), SENSE_NO_LU);
	CU_ASSERT_EQUAL(reads(w, &w->b, 1), 0);
	copy_world_destroy(&cw);
}

/* Whether a copy between the units finds both, and may write the second. */
static uint8_t copies(struct copy_world *cw, struct nexus *nexus, enum sense_code *code)
{
	struct copy_end from = { cw->w.lu, 0 }, to = { cw->lu2, 1 };
	uint8_t status = copy_end_check(nexus, &from, COPY_SOURCE, code);

	return status ? status : copy_end_check(nexus, &to, COPY_DESTINATION, code);
}

static void copies_see_no_more(void)
{
	enum sense_code code;
	struct copy_world cw;
	struct world *w = &cw.w;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(copies(&cw, &w->a, &code), SAM_GOOD);
	given(&w->a, 2, 0);
	CU_ASSERT_EQUAL(copies(&cw, &w->a, &code), SAM_CHECK_CONDITION);
	CU_ASSERT_EQUAL(code, SENSE_NO_LU);
	given(&w->a, 3, 2);
	CU_ASSERT_EQUAL(copies(&cw, &w->a, &code), SAM_CHECK_CONDITION);
	CU_ASSERT_EQUAL(code, SENSE_WRITE_PROTECTED);
	given(&w->a, 3, 1);
	CU_ASSERT_EQUAL(copies(&cw, &w->a, &code), SAM_GOOD);
	CU_ASSERT_EQUAL(copies(&cw, &w->b, &code), SAM_GOOD);
	copy_world_destroy(&cw);
}

UNIT_MAIN(TEST(other_luns_are_not_there), TEST(one_only_reads), TEST(a_change_is_told),
	  TEST(a_reservation_does_not_outlive_the_view), TEST(who_is_inside_may_finish),
	  TEST(units_come_and_go), TEST(copies_see_no_more));
