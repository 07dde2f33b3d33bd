// SPDX-License-Identifier: BSD-2-Clause
/*
 * Commands that a disk does not give back: a new login of the initiator, a unit that is taken away by force,
 * and a stop go on without them; what comes back later touches nothing that is new.
 */
#include "session/detach.h"
#include "session_units_rig.h"

enum { SOON_S = 5, LATE_S = 60, MANY = 64 };

static const uint8_t flush_cache[16] = { [0] = 0x35 };
static const char reads_late[] = "ram:1M,serial=OTHER,fault=read:delay=60s:times=1";
static const char writes_late[] = "ram:1M,serial=OTHER,fault=write:delay=60s:times=1";

static bool nothing_detached(const struct rig *rig)
{
	for (int n = 0; n < 2 && rig->reactors[n]; n++) {
		if (!list_empty(&rig->server->reactors[n].detached))
			return false;
	}
	return !server_detached(rig->server) && !slab_in_use(rig->slab);
}

/* Two sessions with the same unit, which is LUN 0. */
static void begin_late(struct rig *rig, const char *disk, unsigned int reactors)
{
	struct server_limits limits = server_default_limits;

	limits.nop_interval_s = 0;
	CU_ASSERT_FATAL(rig_up_on(rig, disk, &limits, reactors));
}

/* --- A new login */

/* RFC 7143 6.3.5: the tasks of the old session are over, whatever the disk does. */
static void a_login_does_not_wait_for_a_read(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct initiator old, new;
		struct rig rig;
		uint32_t itt;

		begin_late(&rig, reads_late, reactors);
		log_in(&rig, &old, 1, rig.r);
		itt = rig_command(&old, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
		CU_ASSERT_PTR_NULL(rig_receive(&old));
		rig_knock(&rig, &new, 1, rig.second ? rig.second : rig.r, NULL, 0);
		rig_turn(&rig);
		pass(&rig, SOON_S);
		CU_ASSERT_TRUE_FATAL(rig_let_in(&new));
		CU_ASSERT_EQUAL(server_detached(rig.server), 1);
		/* The same tag, while the old one has it still. */
		CU_ASSERT_EQUAL(sense_of(&new, 0), SENSE_POWER_ON);
		new.itt = itt;
		itt = rig_command(&new, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
		CU_ASSERT_EQUAL(rig_status(&new, itt), SAM_GOOD);
		pass(&rig, LATE_S);
		CU_ASSERT_PTR_NULL(rig_receive(&new));
		CU_ASSERT_TRUE(nothing_detached(&rig));
		CU_ASSERT_EQUAL(sense_of(&new, 0), 0);
		rig_leave(&old);
		rig_leave(&new);
		rig_turn(&rig);
		rig_down(&rig);
	}
}

/* What it writes could land after the first writes of the new session. */
static void a_login_waits_for_a_write(void)
{
	struct initiator old, new;
	struct rig rig;

	begin_late(&rig, writes_late, 1);
	log_in(&rig, &old, 1, rig.r);
	rig_command(&old, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);
	CU_ASSERT_PTR_NULL(rig_receive(&old));
	rig_leave(&old);
	pass(&rig, LATE_S - 10);
	rig_knock(&rig, &new, 1, rig.r, NULL, 0);
	pass(&rig, SOON_S);
	CU_ASSERT_PTR_NULL(rig_receive(&new));
	pass(&rig, SOON_S + 2);
	CU_ASSERT_TRUE(rig_let_in(&new));
	rig_leave(&new);
	CU_ASSERT_TRUE(nothing_detached(&rig));
	rig_down(&rig);
}

/* Other initiators go on meanwhile, and nothing of theirs waits for it. */
static void a_reset_does_not_wait_for_the_dead(void)
{
	struct initiator dead, other;
	struct rig rig;
	uint32_t tmf;

	begin_late(&rig, "ram:1M,fault=flush:delay=60s:times=1", 1);
	log_in(&rig, &dead, 1, rig.r);
	log_in(&rig, &other, 2, rig.r);
	rig_command(&dead, flush_cache, CMD_FINAL, 0, NULL, 0);
	rig_leave(&dead);
	pass(&rig, SOON_S);
	CU_ASSERT_EQUAL(server_detached(rig.server), 1);
	tmf = rig_tmf(&other, TMF_LUN_RESET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&other, tmf), TMF_RSP_COMPLETE);
	pass(&rig, LATE_S);
	CU_ASSERT_TRUE(nothing_detached(&rig));
	rig_leave(&other);
	rig_down(&rig);
}

/* One dead disk and an initiator that comes back again and again do not take all of the memory. */
static void no_more_than_so_many(void)
{
	struct initiator in;
	uint64_t since;
	struct rig rig;

	begin_late(&rig, "ram:1M,fault=read:delay=60s:times=64", 1);
	for (unsigned int n = 0; n < MANY; n += MANY / 2) {
		log_in(&rig, &in, 1, rig.r);
		for (unsigned int i = 0; i < MANY / 2; i++)
			rig_command(&in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
		rig_leave(&in);
		pass(&rig, SOON_S);
	}
	CU_ASSERT_EQUAL(lu_detached(rig.lu, &since), MANY);
	log_in(&rig, &in, 1, rig.r);
	CU_ASSERT_EQUAL(sense_of(&in, 0), SENSE_NOT_READY);
	pass(&rig, LATE_S);
	CU_ASSERT_EQUAL(lu_detached(rig.lu, &since), 0);
	CU_ASSERT_EQUAL(sense_of(&in, 0), 0);
	rig_leave(&in);
	CU_ASSERT_TRUE(nothing_detached(&rig));
	rig_down(&rig);
}

/* --- A unit that goes by force */

/* The unit leaves; true: nothing but what is detached uses it. */
static bool cut(struct rig *rig, struct lu *lu)
{
	uint64_t oldest;

	target_remove_lun(&rig->scsi, OTHER);
	search_users(rig, lu, (struct unit_search){ .cut = UNIT_CUT });
	search_users(rig, lu, (struct unit_search){ .cut = UNIT_CUT });
	search_users(rig, lu, (struct unit_search){ .forget = true });
	return !lu_users(lu, &oldest);
}

static void a_unit_goes_without_its_commands(void)
{
	static const struct {
		const char *disk;
		bool writes;
	} rows[] = { { reads_late, false }, { writes_late, true } };

	for (size_t i = 0; i < 2 * array_size(rows); i++) {
		struct unit one, two;
		struct initiator a;
		struct rig rig;
		uint64_t since;
		uint32_t itt;
		bool writes = rows[i / 2].writes;

		begin_late(&rig, "ram:1M", 1 + i % 2);
		unit_up(&one, rows[i / 2].disk, 1 + i % 2);
		unit_up(&two, "ram:2M,serial=TWO", 1 + i % 2);
		rig.scsi.lun[OTHER] = one.lu;
		log_in(&rig, &a, 1, rig.second ? rig.second : rig.r);
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
		itt = a.itt;
		command_lun(&a, OTHER, writes ? write_1 : read_1,
			    CMD_FINAL | (writes ? CMD_WRITE : CMD_READ), 512, writes ? block : NULL,
			    writes ? 512 : 0);
		CU_ASSERT_PTR_NULL(rig_receive(&a));
		CU_ASSERT_TRUE(cut(&rig, one.lu));
		CU_ASSERT_EQUAL(lu_detached(one.lu, &since), 1);
		/* Its initiator need not wait for anything. */
		CU_ASSERT_EQUAL(rig_status(&a, itt), SAM_TASK_ABORTED);
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_NO_LU);
		/* Another one has the number, and nothing of the old one is seen there. */
		target_drop_lun(&rig.scsi, OTHER);
		target_add_lun(&rig.scsi, OTHER, two.lu, false);
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
		itt = rig_tmf(&a, TMF_TARGET_WARM_RESET, TAG_NONE, 0);
		CU_ASSERT_EQUAL(rig_tmf_response(&a, itt), TMF_RSP_COMPLETE);
		CU_ASSERT_NOT_EQUAL(sense_of(&a, OTHER), 0);
		command_lun(&a, OTHER, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
		CU_ASSERT_EQUAL(rig_status(&a, a.itt - 1), SAM_GOOD);
		if (i % 2) /* its session need not be there */
			rig_leave(&a);
		CU_ASSERT_TRUE(lu_is_used(one.lu));
		pass(&rig, LATE_S);
		CU_ASSERT_FALSE(used(&rig, one.lu, false));
		unit_down(&one);
		if (a.peer)
			rig_leave(&a);
		CU_ASSERT_TRUE(nothing_detached(&rig));
		target_remove_lun(&rig.scsi, OTHER);
		CU_ASSERT_FALSE(used(&rig, two.lu, true));
		target_drop_lun(&rig.scsi, OTHER);
		unit_down(&two);
		rig_down(&rig);
	}
}

/* A write whose data does not come: it is aborted, and holds nothing. */
static void what_does_not_hang_ends(void)
{
	struct memory_record *rec;
	struct initiator a;
	struct unit one;
	struct rig rig;
	uint32_t itt;

	begin_late(&rig, "ram:1M", 1);
	unit_up(&one, "ram:1M,serial=OTHER", 1);
	rig.scsi.lun[OTHER] = one.lu;
	log_in(&rig, &a, 1, rig.r);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
	itt = a.itt;
	command_lun(&a, OTHER, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	rec = rig_receive(&a);
	CU_ASSERT_FATAL(rec && rec->kind == MEMORY_R2T);
	free(rec);
	CU_ASSERT_TRUE(cut(&rig, one.lu));
	CU_ASSERT_FALSE(lu_is_used(one.lu));
	CU_ASSERT_EQUAL(rig_status(&a, itt), SAM_TASK_ABORTED);
	target_drop_lun(&rig.scsi, OTHER);
	unit_down(&one);
	CU_ASSERT_EQUAL(sense_of(&a, 0), 0);
	rig_leave(&a);
	CU_ASSERT_TRUE(nothing_detached(&rig));
	rig_down(&rig);
}

/* --- A stop */

static void stopped(void *arg)
{
	++*(int *)arg;
}

static void a_stop_does_not_wait(void)
{
	static const char *const disks[] = { reads_late, writes_late };

	for (size_t i = 0; i < array_size(disks); i++) {
		struct initiator a;
		struct rig rig;
		int calls = 0;

		begin_late(&rig, disks[i], 1);
		log_in(&rig, &a, 1, rig.r);
		rig_command(&a, i ? write_1 : read_1, CMD_FINAL | (i ? CMD_WRITE : CMD_READ), 512,
			    i ? block : NULL, i ? 512 : 0);
		server_stop(rig.server, 1000, stopped, &calls);
		pass(&rig, SOON_S);
		CU_ASSERT_EQUAL(calls, 1);
		CU_ASSERT_EQUAL(server_detached(rig.server), 1);
		pass(&rig, LATE_S);
		CU_ASSERT_TRUE(nothing_detached(&rig));
		rig_leave(&a);
		rig_down(&rig);
	}
}

UNIT_MAIN(TEST(a_login_does_not_wait_for_a_read), TEST(a_login_waits_for_a_write),
	  TEST(a_reset_does_not_wait_for_the_dead), TEST(no_more_than_so_many),
	  TEST(a_unit_goes_without_its_commands), TEST(what_does_not_hang_ends),
	  TEST(a_stop_does_not_wait));
