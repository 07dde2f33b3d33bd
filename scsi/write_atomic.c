// SPDX-License-Identifier: BSD-2-Clause
/*
 * WRITE ATOMIC (16), SBC 5.48: all or nothing, for who reads meanwhile and after a power failure.
 * The first is the gate, the second the backstore (BS_ATOMIC), which says how much it can do at
 * once. All Data-Out is here before the LU is taken alone. An ATOMIC BOUNDARY is not supported
 * (MAXIMUM ATOMIC BOUNDARY SIZE is 0): it is outside the row's mask.
 */
#include "rows.h"
#include "scsi_media_wire.h"

static void atomic_written(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else
		task_good(task);
}

static void atomic_alone(struct scsi_task *task)
{
	task->kind = LATENCY_WRITE;
	stat_add(&task_stats(task)->writes, 1);
	stat_add(&task_stats(task)->write_bytes, task->end);
	gate_change(task);
	if (task_io(task, BS_WRITE, task->lba << task->lu->block_shift, task->end, task->buf->data,
		    BS_ATOMIC | write_flags(task->lu, task_has_bit(task, RW_FUA)), atomic_written))
		atomic_written(task);
}

static void atomic_arrived(struct scsi_task *task)
{
	if (gate_lock(task, atomic_alone))
		atomic_alone(task);
}

static void atomic_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, (uint32_t)task->end, task->buf->data, atomic_arrived);
}

bool write_atomic_check(struct scsi_task *task)
{
	const struct cdb16_atomic *cdb = (const void *)task->cdb;
	const struct bs_limits *limits = &task->lu->bs->limits;
	uint8_t shift = task->lu->block_shift;
	uint64_t unit = limits->atomic_granularity >> shift;

	task->lba = be64_get(cdb->lba);
	task->blocks = be16_get(cdb->len);
	if (!block_check_range(task))
		return false;
	if (unit > 1 && task->lba % unit) {
		task_fail_cdb(task, 2, 7);
		return false;
	}
	if (task->blocks > lu_atomic_max(task->lu) || (unit > 1 && task->blocks % unit)) {
		task_fail_cdb(task, 12, 7);
		return false;
	}
	return true;
}

static void write_atomic_start(struct scsi_task *task)
{
	if (task_protected(task)) {
		protect_write_atomic_start(task);
		return;
	}
	if (!write_atomic_check(task))
		return;
	task->end = task->blocks << task->lu->block_shift;
	task_want_out(task, task->end);
	/* Less data than the CDB says could only be written in part. */
	if (task_out_room(task) < task->end) {
		task_fail(task, SENSE_INVALID_IU_FIELD);
		return;
	}
	if (!task->end) {
		task_good(task);
		return;
	}
	if (task_buffer(task, (uint32_t)task->end, (uint32_t)task->end, atomic_fetch))
		atomic_fetch(task);
}

static bool lu_writes_atomically(const struct lu *lu)
{
	return lu_atomic_max(lu) > 0;
}

const struct cdb_row write_atomic16_row = {
	.name = "WRITE ATOMIC (16)",
	USAGE16(CDB_WRITE_ATOMIC_16, RW_PROTECT | RW_DPO | RW_FUA, LBA8, 0, 0, LEN2, 0, CONTROL),
	.start = write_atomic_start,
	.exists = lu_writes_atomically,
	PROTECTABLE,
	WRITES_MEDIUM,
	MEDIUM
};
