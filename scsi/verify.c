// SPDX-License-Identifier: BSD-2-Clause
/*
 * VERIFY, SBC 5.39: BYTCHK 0 reads the medium, 1 compares it with as much Data-Out, 3 with one
 * block again and again. The buffer holds Data-Out in front and the medium's data behind. What is
 * verified is the medium where the backstore can read past its caches (BS_FUA), else what a READ
 * would bring.
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

/* Where in the Data-Out of this chunk the first difference is, or -1. With BYTCHK 3 the one block
 * and what the medium has lie end to end, so that comparing them with this overlap compares each
 * block of the medium with the one before it. */
static int64_t verify_compare(const struct scsi_task *task)
{
	int64_t at;

	if (!bytchk(task))
		return -1;
	at = block_compare(task->buf->data, verify_medium(task), task->chunk);
	return at < 0 || bytchk(task) == 1 ? at : at % task->lu->block_size;
}

/* A chunk of the medium is there. */
static void verify_read(struct scsi_task *task)
{
	int64_t differs;

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	differs = verify_compare(task);
	if (differs >= 0) {
		task_fail_miscompare(task, (bytchk(task) == 1 ? task->pos : 0) + (uint64_t)differs);
		return;
	}
	task->pos += task->chunk;
	stat_add(&task_stats(task)->verify_bytes, task->chunk);
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

	if (task_read(task, offset, task->chunk, verify_medium(task), BS_FUA, verify_read))
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

	if (task_protected(task)) {
		protect_verify_start(task);
		return;
	}
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
				      USAGE10(CDB_VERIFY_10, RW_PROTECT | RW_DPO | VERIFY_BYTCHK,
					      LBA4, 0, LEN2, CONTROL),
				      .start = verify_start,
				      PROTECTABLE,
				      .direction = DIR_OUT,
				      .rule = RSV_READ,
				      .flags = ROW_MEDIUM,
				      MEDIUM };

const struct cdb_row verify16_row = { .name = "VERIFY (16)",
				      USAGE16(CDB_VERIFY_16, RW_PROTECT | RW_DPO | VERIFY_BYTCHK,
					      LBA8, LEN4, 0, CONTROL),
				      .start = verify_start,
				      PROTECTABLE,
				      .direction = DIR_OUT,
				      .rule = RSV_READ,
				      .flags = ROW_MEDIUM,
				      MEDIUM };

const struct cdb_row verify12_row = { .name = "VERIFY (12)",
				      USAGE12(CDB_VERIFY_12, RW_PROTECT | RW_DPO | VERIFY_BYTCHK,
					      LBA4, LEN4, 0, CONTROL),
				      .start = verify_start,
				      PROTECTABLE,
				      .direction = DIR_OUT,
				      .rule = RSV_READ,
				      .flags = ROW_MEDIUM,
				      MEDIUM };

const struct cdb_row verify32_row = { .name = "VERIFY (32)",
				      USAGE32(SA_VERIFY_32, RW_PROTECT | RW_DPO | VERIFY_BYTCHK),
				      .start = verify_start,
				      PROTECTABLE,
				      .exists = protect_allows_32,
				      .direction = DIR_OUT,
				      .rule = RSV_READ,
				      .flags = ROW_MEDIUM,
				      MEDIUM };
