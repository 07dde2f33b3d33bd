// SPDX-License-Identifier: BSD-2-Clause
/*
 * VERIFY, SBC 5.39: BYTCHK 0 reads the medium, 1 compares it with as much Data-Out, 3 with one
 * block again and again. The buffer holds Data-Out in front and the medium's data behind.
 */
#include "rows.h"

enum {
	VERIFY_CHUNK = BUF_MAX / 2,
	YIELD_BYTES = 16 << 20, /* others run after so much; bounds the depth of calls too */
};

static void verify_chunk(struct scsi_task *task);

static uint8_t bytchk(const struct scsi_task *task)
{
	return (task->cdb[1] & VERIFY_BYTCHK) >> VERIFY_BYTCHK_SHIFT;
}

static uint8_t *verify_medium(const struct scsi_task *task)
{
	return task->buf->data + task->scratch[0];
}

/* With BYTCHK 3 the one block and what the medium has lie end to end, so that comparing them with
 * this overlap compares each block of the medium with the one before it. */
static bool verify_equal(const struct scsi_task *task)
{
	return !bytchk(task) ||
	       block_compare(task->buf->data, verify_medium(task), task->chunk) < 0;
}

/* A chunk of the medium is there. */
static void verify_read(struct scsi_task *task)
{
	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	if (!verify_equal(task)) {
		task_fail(task, SENSE_MISCOMPARE);
		return;
	}
	task->pos += task->chunk;
	if (task->pos == task->end)
		task_good(task);
	else if (task->pos % YIELD_BYTES)
		verify_chunk(task);
	else
		task_yield(task, verify_chunk);
}

/* Its Data-Out is there. */
static void verify_arrived(struct scsi_task *task)
{
	uint64_t offset = (task->lba << task->lu->block_shift) + task->pos;

	if (task_io(task, BS_READ, offset, task->chunk, verify_medium(task), 0, verify_read))
		verify_read(task);
}

static void verify_chunk(struct scsi_task *task)
{
	uint64_t left = task->end - task->pos;

	task->chunk = left < VERIFY_CHUNK ? (uint32_t)left : VERIFY_CHUNK;
	if (bytchk(task) == 1)
		task_fetch(task, (uint32_t)task->pos, task->chunk, task->buf->data, verify_arrived);
	else if (bytchk(task) == 3 && !task->pos)
		task_fetch(task, 0, task->lu->block_size, task->buf->data, verify_arrived);
	else
		verify_arrived(task);
}

static void verify_start(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	uint8_t check = bytchk(task);
	uint64_t data;
	uint32_t chunk;

	if (check == 2) {
		task_fail_cdb(task, 1, 2);
		return;
	}
	block_decode(task);
	if (!block_check_transfer(task))
		return;
	task->end = task->blocks << lu->block_shift;
	data = check == 1 ? task->end : check == 3 && task->end ? lu->block_size : 0;
	task_want_out(task, data);
	if (task_out_room(task) < data) {
		task_fail(task, SENSE_INVALID_IU_FIELD);
		return;
	}
	if (!task->end) {
		task_good(task);
		return;
	}
	chunk = task->end < VERIFY_CHUNK ? (uint32_t)task->end : VERIFY_CHUNK;
	task->scratch[0] = check == 1 ? chunk : (uint32_t)data;
	if (task_buffer(task, task->scratch[0], task->scratch[0] + chunk, verify_chunk))
		verify_chunk(task);
}

const struct cdb_row verify10_row = { .name = "VERIFY (10)",
				      USAGE10(CDB_VERIFY_10, RW_DPO | VERIFY_BYTCHK, LBA4, 0, LEN2,
					      CONTROL),
				      .start = verify_start,
				      .direction = DIR_OUT,
				      .rule = RSV_READ,
				      .flags = ROW_MEDIUM,
				      MEDIUM };

const struct cdb_row verify16_row = { .name = "VERIFY (16)",
				      USAGE16(CDB_VERIFY_16, RW_DPO | VERIFY_BYTCHK, LBA8, LEN4, 0,
					      CONTROL),
				      .start = verify_start,
				      .direction = DIR_OUT,
				      .rule = RSV_READ,
				      .flags = ROW_MEDIUM,
				      MEDIUM };

const struct cdb_row verify12_row = { .name = "VERIFY (12)",
				      USAGE12(CDB_VERIFY_12, RW_DPO | VERIFY_BYTCHK, LBA4, LEN4, 0,
					      CONTROL),
				      .start = verify_start,
				      .direction = DIR_OUT,
				      .rule = RSV_READ,
				      .flags = ROW_MEDIUM,
				      MEDIUM };
