// SPDX-License-Identifier: BSD-2-Clause
/*
 * ORWRITE (16), SBC 5.15: what the medium has, or what was sent. Each chunk is read, changed and
 * written with the LU alone, after its Data-Out is here; between chunks others may run. The result
 * is the same whatever they do: bits are only set, and a chunk that another command has written
 * since is read again with it. The buffer holds Data-Out in front and the medium's data behind.
 */
#include <string.h>

#include "rows.h"

enum { CHUNK = BUF_MAX / 2 };

static void chunk_fetch(struct scsi_task *task);

static uint64_t chunk_offset(const struct scsi_task *task)
{
	return (task->lba << task->lu->block_shift) + task->pos;
}

static void chunk_written(struct scsi_task *task)
{
	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	gate_unlock(task);
	task->pos += task->chunk;
	if (task->pos == task->end)
		task_good(task);
	else
		task_yield(task, chunk_fetch);
}

/* to |= from; len is a multiple of the block. */
static void or_into(uint8_t *to, const uint8_t *from, uint32_t len)
{
	for (uint32_t at = 0; at < len; at += sizeof(uint64_t)) {
		uint64_t a, b;

		memcpy(&a, to + at, sizeof(a));
		memcpy(&b, from + at, sizeof(b));
		a |= b;
		memcpy(to + at, &a, sizeof(a));
	}
}

static void chunk_read(struct scsi_task *task)
{
	uint8_t *data = task->buf->data, *medium = data + task->scratch[0];

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	or_into(medium, data, task->chunk);
	stat_add(&task_stats(task)->write_bytes, task->chunk);
	gate_change(task);
	if (task_io(task, BS_WRITE, chunk_offset(task), task->chunk, medium,
		    write_flags(task->lu, task_has_bit(task, RW_FUA)), chunk_written))
		chunk_written(task);
}

static void chunk_alone(struct scsi_task *task)
{
	if (task_io(task, BS_READ, chunk_offset(task), task->chunk,
		    task->buf->data + task->scratch[0], 0, chunk_read))
		chunk_read(task);
}

static void chunk_arrived(struct scsi_task *task)
{
	if (gate_lock(task, chunk_alone))
		chunk_alone(task);
}

static void chunk_fetch(struct scsi_task *task)
{
	uint64_t left = task->end - task->pos;

	task->chunk = left < CHUNK ? (uint32_t)left : CHUNK;
	task_fetch(task, (uint32_t)task->pos, task->chunk, task->buf->data, chunk_arrived);
}

static void orwrite_start(struct scsi_task *task)
{
	uint32_t chunk;

	if (!block_begin_out(task))
		return;
	chunk = task->end < CHUNK ? (uint32_t)task->end : CHUNK;
	task->scratch[0] = chunk;
	if (task_buffer(task, chunk, 2 * chunk, chunk_fetch))
		chunk_fetch(task);
}

/* ORPROTECT is outside the mask: protection information is kept, but not transferred with this. */
const struct cdb_row orwrite16_row = { .name = "ORWRITE (16)",
				       USAGE16(CDB_ORWRITE_16, RW_DPO | RW_FUA, LBA8, LEN4, 0,
					       CONTROL),
				       .start = orwrite_start,
				       WRITES_MEDIUM,
				       MEDIUM };
