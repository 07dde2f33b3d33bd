// SPDX-License-Identifier: BSD-2-Clause
/* The state of the unit: TEST UNIT READY, REQUEST SENSE (SPC 6.39), START STOP UNIT (SBC 5.31). */
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

	if (!task->lu)
		code = SENSE_NO_LU;
	else if (!unit_attention_take(task->nexus, lun_number(task->lun), &code) &&
		 lu_is(task->lu, LU_STOPPED))
		code = SENSE_NEEDS_START;
	return sense_write(out, code, task->cdb[1] & REQUEST_SENSE_DESC);
}

static void stop_flushed(struct scsi_task *task)
{
	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	lu_set(task->lu, LU_STOPPED);
	task_good(task);
}

/* LOEJ and power conditions are outside the row's mask: the medium does not come out. IMMED is
 * satisfied by waiting. */
static void start_stop_start(struct scsi_task *task)
{
	if (task->cdb[4] & START_STOP_START) {
		lu_clear(task->lu, LU_STOPPED);
		task_good(task);
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
					     .rule = RSV_READ,
					     .flags = ROW_MEDIUM,
					     QUICK };

const struct cdb_row request_sense_row = { .name = "REQUEST SENSE",
					   USAGE6(CDB_REQUEST_SENSE, REQUEST_SENSE_DESC, 0, 0, 0xff,
						  CONTROL),
					   RESPONDS(request_sense_fill),
					   ALLOCATION(4, 1),
					   .rule = RSV_NEVER,
					   .flags = ROW_NO_LU | ROW_NO_UA,
					   QUICK };

const struct cdb_row start_stop_row = { .name = "START STOP UNIT",
					USAGE6(CDB_START_STOP_UNIT, START_STOP_IMMED, 0, 0,
					       START_STOP_START | START_STOP_NO_FLUSH, CONTROL),
					.start = start_stop_start,
					.rule = RSV_READ,
					LONG };
