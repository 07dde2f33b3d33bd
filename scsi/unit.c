// SPDX-License-Identifier: BSD-2-Clause
/*
 * The state of the unit: TEST UNIT READY, REQUEST SENSE (SPC 6.39), START STOP UNIT (SBC 5.31),
 * PREVENT ALLOW MEDIUM REMOVAL (SBC 5.15).
 */
#include "rows.h"

/* The checks in front of every command are the test. */
static void test_unit_ready_start(struct scsi_task *task)
{
	task_good(task);
}

/* A pending condition as data, with GOOD. */
static int request_sense_fill(struct scsi_task *task, uint8_t *out)
{
	enum sense_code code = SENSE_NONE;
	uint16_t progress;

	if (!task->lu)
		code = SENSE_NO_LU;
	else if (unit_attention_take(task->nexus, lun_number(task->lun), &code))
		;
	else if (job_sense(task->lu, &code, &progress))
		return sense_write_progress(out, code, task->cdb[1] & REQUEST_SENSE_DESC, progress);
	else if (lu_is(task->lu, LU_SANITIZE_FAILED))
		code = SENSE_SANITIZE_FAILED;
	else if (lu_is(task->lu, LU_NO_MEDIUM))
		code = SENSE_NO_MEDIUM;
	else if (lu_is(task->lu, LU_STOPPED))
		code = SENSE_NEEDS_START;
	return sense_write(out, code, task->cdb[1] & REQUEST_SENSE_DESC);
}

/* --- PREVENT ALLOW MEDIUM REMOVAL */

static void find_prevention(struct nexus *nexus, int lun, void *arg)
{
	if (atomic_load(&nexus->prevents_removal[lun]))
		*(bool *)arg = true;
}

static void allow_removal(struct nexus *nexus, int lun, void *arg)
{
	(void)arg;
	atomic_store(&nexus->prevents_removal[lun], false);
}

static bool removal_prevented(struct lu *lu)
{
	bool prevented = false;

	lu_each_nexus(lu, find_prevention, &prevented);
	return prevented;
}

void lu_allow_removal(struct lu *lu)
{
	lu_each_nexus(lu, allow_removal, NULL);
}

/* Each nexus for itself: the medium stays as long as one of them wants it to. */
static void prevent_allow_start(struct scsi_task *task)
{
	/* Allowing is for everybody, SPC 5.14.1. */
	if (task->cdb[4] & PREVENT_REMOVAL && !reservation_allows(task, RSV_WRITE))
		return;
	atomic_store(&task->nexus->prevents_removal[lun_number(task->lun)],
		     task->cdb[4] & PREVENT_REMOVAL);
	task_good(task);
}

static bool lu_is_removable(const struct lu *lu)
{
	return lu->removable;
}

/* --- START STOP UNIT */

/* With a removable medium START 0 alone leaves the unit as it is: it has nothing that turns, and
 * initiators that stop it before they eject mean the medium. */
static void stop(struct scsi_task *task)
{
	struct lu *lu = task->lu;

	if (task->cdb[4] & START_STOP_LOEJ)
		lu_set(lu, LU_NO_MEDIUM);
	else if (!lu->removable)
		lu_set(lu, LU_STOPPED);
	task_good(task);
}

static void stop_flushed(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else if (task->cdb[4] & START_STOP_LOEJ && removal_prevented(task->lu))
		task_fail(task, SENSE_REMOVAL_PREVENTED); /* meanwhile */
	else
		stop(task);
}

static void start(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	bool load = task->cdb[4] & START_STOP_LOEJ;

	if (!load && lu_is(lu, LU_NO_MEDIUM)) {
		task_fail(task, SENSE_NO_MEDIUM);
		return;
	}
	lu_clear(lu, LU_STOPPED);
	if (load && lu_is(lu, LU_NO_MEDIUM)) {
		lu_clear(lu, LU_NO_MEDIUM);
		lu_raise_ua(lu, UA_MEDIUM_CHANGED, task->nexus);
	}
	task_good(task);
}

/*
 * IMMED is satisfied by waiting. POWER CONDITION: the unit is always active, so every condition has
 * been reached, and START and LOEJ do not count; but ACTIVE, IDLE and STANDBY end a stop.
 */
static void start_stop_start(struct scsi_task *task)
{
	uint8_t power = task->cdb[4] >> START_STOP_POWER_SHIFT;
	bool loej = task->cdb[4] & START_STOP_LOEJ;

	/* Starting is for everybody, SBC 4.17. */
	if ((power || !(task->cdb[4] & START_STOP_START)) && !reservation_allows(task, RSV_WRITE))
		return;
	if (power) {
		if (power <= START_STOP_STANDBY)
			lu_clear(task->lu, LU_STOPPED);
		task_good(task);
		return;
	}
	if (loej && !task->lu->removable) {
		task_fail_cdb(task, 4, 1);
		return;
	}
	if (loej && removal_prevented(task->lu)) {
		task_fail(task, SENSE_REMOVAL_PREVENTED);
		return;
	}
	if (task->cdb[4] & START_STOP_START) {
		start(task);
		return;
	}
	task->req.res = 0;
	if (task->cdb[4] & START_STOP_NO_FLUSH ||
	    task_io(task, BS_FLUSH, 0, 0, NULL, 0, stop_flushed))
		stop_flushed(task);
}

const struct cdb_row test_unit_ready_row = { .name = "TEST UNIT READY",
					     USAGE6(CDB_TEST_UNIT_READY, 0, 0, 0, 0, CONTROL),
					     .start = test_unit_ready_start,
					     .rule = RSV_STATUS,
					     .flags = ROW_MEDIUM,
					     QUICK };

const struct cdb_row request_sense_row = {
	.name = "REQUEST SENSE",
	USAGE6(CDB_REQUEST_SENSE, REQUEST_SENSE_DESC, 0, 0, 0xff, CONTROL),
	RESPONDS(request_sense_fill),
	ALLOCATION(4, 1),
	.rule = RSV_NEVER,
	.flags = ROW_NO_LU | ROW_NO_UA | ROW_UNAVAILABLE | ROW_DURING_JOB,
	QUICK
};

const struct cdb_row start_stop_row = { .name = "START STOP UNIT",
					USAGE6(CDB_START_STOP_UNIT, START_STOP_IMMED, 0, 0,
					       START_STOP_START | START_STOP_LOEJ |
						       START_STOP_NO_FLUSH | START_STOP_POWER,
					       CONTROL),
					.start = start_stop_start,
					.rule = RSV_NEVER,
					LONG };

const struct cdb_row prevent_allow_row = { .name = "PREVENT ALLOW MEDIUM REMOVAL",
					   USAGE6(CDB_PREVENT_ALLOW, 0, 0, 0, PREVENT_REMOVAL,
						  CONTROL),
					   .start = prevent_allow_start,
					   .exists = lu_is_removable,
					   .rule = RSV_NEVER,
					   QUICK };
