// SPDX-License-Identifier: BSD-2-Clause
/*
 * COMPARE AND WRITE, SBC 5.3. One buffer holds compare data, write data and what the medium has, each
 * of the command's length; where they do not fit, each has a buffer of its own. Data-Out is here
 * before the LU is taken alone.
 */
#include <stdlib.h>

#include "rows.h"

/* The context of a long one; compare data is in task->buf. */
struct apart {
	struct buf *write, *medium;
};

static uint8_t *write_data(const struct scsi_task *task)
{
	const struct apart *apart = task->context;

	return apart ? apart->write->data : task->buf->data + task->end;
}

static uint8_t *medium_data(const struct scsi_task *task)
{
	const struct apart *apart = task->context;

	return apart ? apart->medium->data : task->buf->data + 2 * task->end;
}

static void caw_cleanup(struct scsi_task *task)
{
	struct apart *apart = task->context;

	if (task_protected(task))
		return; /* it is protect_exclusive.c's */
	if (apart->write)
		buf_put(task->reactor, apart->write);
	if (apart->medium)
		buf_put(task->reactor, apart->medium);
}

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
	int64_t differs;

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	differs = block_compare(task->buf->data, medium_data(task), len);
	if (differs >= 0) {
		task_fail_miscompare(task, (uint32_t)differs);
		return;
	}
	stat_add(&task_stats(task)->write_bytes, len);
	gate_change(task);
	if (task_io(task, BS_WRITE, task->lba << task->lu->block_shift, len, write_data(task),
		    write_flags(task->lu, task->cdb[1] & RW_FUA), caw_written))
		caw_written(task);
}

static void caw_alone(struct scsi_task *task)
{
	uint32_t len = (uint32_t)task->end;

	if (task_io(task, BS_READ, task->lba << task->lu->block_shift, len, medium_data(task), 0,
		    caw_read))
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

static void caw_compare_data_here(struct scsi_task *task)
{
	uint32_t len = (uint32_t)task->end;

	task_fetch(task, len, len, write_data(task), caw_arrived);
}

/* It holds a buffer, so it must not wait for the others. */
static void caw_fetch_apart(struct scsi_task *task)
{
	uint32_t len = (uint32_t)task->end;
	struct apart *apart = calloc(1, sizeof(*apart));

	task->context = apart;
	if (apart) {
		apart->write = buf_get(task->reactor, len);
		apart->medium = buf_get(task->reactor, len);
	}
	if (!apart || !apart->write || !apart->medium) {
		task->status = SAM_BUSY;
		task_end(task);
		return;
	}
	task_fetch(task, 0, len, task->buf->data, caw_compare_data_here);
}

static void caw_take_buffer(struct scsi_task *task)
{
	uint32_t len = (uint32_t)task->end;

	if (3 * len > BUF_MAX) {
		if (task_buffer(task, len, len, caw_fetch_apart))
			caw_fetch_apart(task);
	} else if (task_buffer(task, 2 * len, 3 * len, caw_fetch)) {
		caw_fetch(task);
	}
}

static void compare_and_write_start(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	const struct cdb16 *cdb = (const void *)task->cdb;

	if (task_protected(task)) {
		protect_compare_and_write_start(task);
		return;
	}
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
	caw_take_buffer(task);
}

const struct cdb_row compare_and_write_row = { .name = "COMPARE AND WRITE",
					       USAGE16(CDB_COMPARE_AND_WRITE,
						       RW_PROTECT | RW_DPO | RW_FUA, LBA8, 0, 0, 0,
						       0xff, 0, CONTROL),
					       .start = compare_and_write_start,
					       .cleanup = caw_cleanup,
					       PROTECTABLE,
					       WRITES_MEDIUM,
					       MEDIUM };
