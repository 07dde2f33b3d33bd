// SPDX-License-Identifier: BSD-2-Clause
/*
 * COMPARE AND WRITE, SBC 5.3. The buffer holds compare data, write data and what the medium has,
 * each of the command's length. Data-Out is here before the LU is taken alone.
 */
#include "rows.h"

static void caw_written(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else
		task_good(task);
}

static void caw_read(struct scsi_task *task)
{
	uint32_t len = (uint32_t)task->end;
	uint8_t *compare = task->buf->data, *write = compare + len;
	int64_t differs;

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	differs = block_compare(compare, write + len, len);
	if (differs >= 0) {
		task_fail_miscompare(task, (uint32_t)differs);
		return;
	}
	stat_add(&task_stats(task)->write_bytes, len);
	if (task_io(task, BS_WRITE, task->lba << task->lu->block_shift, len, write,
		    write_flags(task->lu, task->cdb[1] & RW_FUA), caw_written))
		caw_written(task);
}

static void caw_alone(struct scsi_task *task)
{
	uint32_t len = (uint32_t)task->end;

	if (task_io(task, BS_READ, task->lba << task->lu->block_shift, len,
		    task->buf->data + 2 * len, 0, caw_read))
		caw_read(task);
}

static void caw_arrived(struct scsi_task *task)
{
	if (gate_lock(task, caw_alone))
		caw_alone(task);
}

static void caw_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, 2 * (uint32_t)task->end, task->buf->data, caw_arrived);
}

static void compare_and_write_start(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	const struct cdb16 *cdb = (const void *)task->cdb;

	task->lba = be64_get(cdb->lba);
	task->blocks = task->cdb[CAW_BLOCKS_AT];
	if (!block_check_range(task))
		return;
	if (task->blocks > lu->max_compare_blocks) {
		task_fail_cdb(task, CAW_BLOCKS_AT, 7);
		return;
	}
	task->end = task->blocks << lu->block_shift;
	task_want_out(task, 2 * task->end);
	if (task_out_room(task) != 2 * task->end) {
		task_fail(task, SENSE_INVALID_CDB_FIELD);
		return;
	}
	if (!task->end) {
		task_good(task);
		return;
	}
	if (task_buffer(task, 2 * (uint32_t)task->end, 3 * (uint32_t)task->end, caw_fetch))
		caw_fetch(task);
}

const struct cdb_row compare_and_write_row = { .name = "COMPARE AND WRITE",
					       USAGE16(CDB_COMPARE_AND_WRITE, RW_DPO | RW_FUA, LBA8,
						       0, 0, 0, 0xff, 0, CONTROL),
					       .start = compare_and_write_start,
					       WRITES_MEDIUM,
					       MEDIUM };
