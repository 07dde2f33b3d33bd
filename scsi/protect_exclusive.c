// SPDX-License-Identifier: BSD-2-Clause
/*
 * COMPARE AND WRITE (SBC 5.3) and WRITE ATOMIC (SBC 5.48) with protection information. All Data-Out
 * is here and checked before the LU is taken alone. In the buffer COMPARE AND WRITE has what is
 * compared, what is written, and what the medium has.
 */
#include "protect.h"

static void written(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else
		task_good(task);
}

static void change(struct scsi_task *task, uint8_t *data, struct pi_tuple *tuples, uint32_t flags)
{
	stat_add(&task_stats(task)->write_bytes, task->end);
	gate_change(task);
	if (protect_write(task, data, tuples,
			  flags | write_flags(task->lu, task_has_bit(task, RW_FUA)), written))
		written(task);
}

/* Gets a buffer, unless the EDTL is wrong or there is nothing to do. */
static void fetch_all(struct scsi_task *task, uint32_t size, bool wrong_len, enum sense_code sense,
		      void (*step)(struct scsi_task *task))
{
	task_want_out(task, task->end);
	if (wrong_len)
		task_fail(task, sense);
	else if (!task->end)
		task_good(task);
	else if (task_buffer(task, 0, size, step))
		step(task);
}

/* --- COMPARE AND WRITE */

static uint8_t *caw_part(const struct scsi_task *task, unsigned int part)
{
	const struct protect *p = protect_of(task);

	return task->buf->data + (size_t)part * p->count * p->unit;
}

static void caw_read(struct scsi_task *task)
{
	struct protect *p = protect_of(task);
	uint32_t block = task->lu->block_size, at;

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	for (uint32_t i = 0; i < p->count; i++) {
		enum sense_code code = protect_compare(
			task, caw_part(task, 0) + (size_t)i * block, &p->tuples[i],
			caw_part(task, 2) + (size_t)i * block, &p->medium[i], 0, &at);

		if (code) {
			protect_fail(task, code, (uint64_t)i * p->unit + at);
			return;
		}
	}
	change(task, caw_part(task, 1), p->other, 0);
}

static void caw_alone(struct scsi_task *task)
{
	if (protect_read(task, caw_part(task, 2), protect_of(task)->medium, 0, caw_read))
		caw_read(task);
}

static void caw_arrived(struct scsi_task *task)
{
	struct protect *p = protect_of(task);

	protect_gather(p, caw_part(task, 0), p->tuples);
	protect_gather(p, caw_part(task, 1), p->other);
	if (protect_check(task, caw_part(task, 0), p->tuples) &&
	    protect_check(task, caw_part(task, 1), p->other) && gate_lock(task, caw_alone))
		caw_alone(task);
}

static void caw_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, (uint32_t)task->end, task->buf->data, caw_arrived);
}

static bool caw_decode(struct scsi_task *task)
{
	const struct cdb16 *cdb = (const void *)task->cdb;

	task->lba = be64_get(cdb->lba);
	task->blocks = task->cdb[CAW_BLOCKS_AT];
	if (!block_check_range(task))
		return false;
	if (task->blocks <= task->lu->max_compare_blocks)
		return true;
	task_fail_cdb(task, CAW_BLOCKS_AT, 7);
	return false;
}

void protect_compare_and_write_start(struct scsi_task *task)
{
	static const struct protect_shape shape = {
		.decode = caw_decode, .units = 2, .blocks = 1, .other = true, .medium = true
	};
	struct protect *p = protect_begin(task, &shape);

	if (!p)
		return;
	protect_next(p, task->blocks);
	task->end = 2 * p->count * p->unit;
	fetch_all(task, (uint32_t)task->end + p->count * task->lu->block_size,
		  task_out_room(task) != task->end, SENSE_INVALID_CDB_FIELD, caw_fetch);
}

/* --- WRITE ATOMIC */

static void atomic_alone(struct scsi_task *task)
{
	change(task, task->buf->data, protect_of(task)->tuples, BS_ATOMIC);
}

static void atomic_arrived(struct scsi_task *task)
{
	struct protect *p = protect_of(task);

	protect_gather(p, task->buf->data, p->tuples);
	if (protect_check(task, task->buf->data, p->tuples) && gate_lock(task, atomic_alone))
		atomic_alone(task);
}

static void atomic_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, (uint32_t)task->end, task->buf->data, atomic_arrived);
}

void protect_write_atomic_start(struct scsi_task *task)
{
	static const struct protect_shape shape = { .decode = write_atomic_check, .units = 1 };
	struct protect *p = protect_begin(task, &shape);

	if (!p)
		return;
	/* The backstore has no larger atomic writes than one buffer. */
	protect_next(p, task->blocks);
	task->end = (uint64_t)p->count * p->unit;
	/* Less data than the CDB says could only be written in part. */
	fetch_all(task, (uint32_t)task->end, task_out_room(task) < task->end,
		  SENSE_INVALID_IU_FIELD, atomic_fetch);
}
