// SPDX-License-Identifier: BSD-2-Clause
/*
 * WRITE AND VERIFY, SBC 5.50. Each chunk is forced to stable media, read back from there and, with
 * BYTCHK 1, compared with what was sent; the buffer holds Data-Out in front and what comes back
 * behind it. What a READ finds in a cache proves nothing: BS_FUA asks the backstore to read past its
 * caches. Where it cannot (memory; a file whose filesystem has no O_DIRECT) the promise that is left
 * is that of the forced write: the device has said that it has the data.
 */
#include "rows.h"

enum {
	CHUNK = BUF_MAX / 2,
	YIELD_BYTES = 16 << 20, /* others run after so much; bounds the depth of calls too */
};

static void chunk_fetch(struct scsi_task *task);

static uint64_t chunk_offset(const struct scsi_task *task)
{
	return (task->lba << task->lu->block_shift) + task->pos;
}

static uint8_t *read_back(const struct scsi_task *task)
{
	return task->buf->data + task->scratch[0];
}

static bool compares(const struct scsi_task *task)
{
	return task_has_bit(task, 1 << VERIFY_BYTCHK_SHIFT);
}

static void chunk_read(struct scsi_task *task)
{
	int64_t differs = -1;

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	if (compares(task))
		differs = block_compare(task->buf->data, read_back(task), task->chunk);
	if (differs >= 0) {
		task_fail_miscompare(task, task->pos + (uint64_t)differs);
		return;
	}
	task->pos += task->chunk;
	if (task->pos == task->end)
		task_good(task);
	else if (task->pos % YIELD_BYTES)
		chunk_fetch(task);
	else
		task_yield(task, chunk_fetch);
}

static void chunk_written(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else if (task_read(task, chunk_offset(task), task->chunk, read_back(task), BS_FUA,
			   chunk_read))
		chunk_read(task);
}

static void chunk_arrived(struct scsi_task *task)
{
	stat_add(&task_stats(task)->write_bytes, task->chunk);
	if (task_io(task, BS_WRITE, chunk_offset(task), task->chunk, task->buf->data, BS_FUA,
		    chunk_written))
		chunk_written(task);
}

static void chunk_fetch(struct scsi_task *task)
{
	uint64_t left = task->end - task->pos;

	task->chunk = left < CHUNK ? (uint32_t)left : CHUNK;
	task_fetch(task, (uint32_t)task->pos, task->chunk, task->buf->data, chunk_arrived);
}

static void write_and_verify_start(struct scsi_task *task)
{
	uint32_t chunk;

	if (task_protected(task)) {
		protect_write_and_verify_start(task);
		return;
	}
	/* 10b and 11b are reserved here: there is no command that writes one block and compares many. */
	if (task_has_bit(task, 2 << VERIFY_BYTCHK_SHIFT)) {
		task_fail_cdb(task, 1, VERIFY_BYTCHK_SHIFT + 1);
		return;
	}
	if (!block_begin_out(task))
		return;
	chunk = task->end < CHUNK ? (uint32_t)task->end : CHUNK;
	task->scratch[0] = chunk;
	if (task_buffer(task, chunk, 2 * chunk, chunk_fetch))
		chunk_fetch(task);
}

#define FLAGS (RW_PROTECT | RW_DPO | VERIFY_BYTCHK)

const struct cdb_row write_and_verify10_row = { .name = "WRITE AND VERIFY (10)",
						USAGE10(CDB_WRITE_AND_VERIFY_10, FLAGS, LBA4, 0,
							LEN2, CONTROL),
						.start = write_and_verify_start,
						PROTECTABLE,
						WRITES_MEDIUM,
						MEDIUM };

const struct cdb_row write_and_verify12_row = { .name = "WRITE AND VERIFY (12)",
						USAGE12(CDB_WRITE_AND_VERIFY_12, FLAGS, LBA4, LEN4,
							0, CONTROL),
						.start = write_and_verify_start,
						PROTECTABLE,
						WRITES_MEDIUM,
						MEDIUM };

const struct cdb_row write_and_verify16_row = { .name = "WRITE AND VERIFY (16)",
						USAGE16(CDB_WRITE_AND_VERIFY_16, FLAGS, LBA8, LEN4,
							0, CONTROL),
						.start = write_and_verify_start,
						PROTECTABLE,
						WRITES_MEDIUM,
						MEDIUM };

const struct cdb_row write_and_verify32_row = { .name = "WRITE AND VERIFY (32)",
						USAGE32(SA_WRITE_AND_VERIFY_32, FLAGS),
						.start = write_and_verify_start,
						PROTECTABLE,
						.exists = protect_allows_32,
						WRITES_MEDIUM,
						MEDIUM };
