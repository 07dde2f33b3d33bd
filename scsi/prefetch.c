// SPDX-License-Identifier: BSD-2-Clause
/*
 * PRE-FETCH, SBC 5.17. The blocks are read, through whatever caches reads, and thrown away. The
 * answer is CONDITION MET when all of them are in memory then: where the backstore's memory is the
 * disk, at once; else after reading, when the backstore caches what was read and the range is not
 * longer than what one command may fill the cache with. GOOD otherwise: done as far as it makes sense.
 * IMMED is satisfied by waiting. No group collects anything, so GROUP NUMBER may be any.
 */
#include "rows.h"

enum {
	CHUNK = 256 << 10,
	CACHE_MAX = 64 << 20, /* bytes */
	YIELD_BYTES = 4 << 20, /* others run after so much */
};

static void prefetch_end(struct scsi_task *task)
{
	bool all = (task->blocks << task->lu->block_shift) <= task->end;

	task->status = all ? SAM_CONDITION_MET : SAM_GOOD;
	task_end(task);
}

static void prefetch_next(struct scsi_task *task);

static void prefetch_read(struct scsi_task *task)
{
	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	task->pos += task->chunk;
	if (task->pos == task->end)
		prefetch_end(task);
	else if (task->pos % YIELD_BYTES)
		prefetch_next(task);
	else
		task_yield(task, prefetch_next);
}

static void prefetch_next(struct scsi_task *task)
{
	uint64_t left = task->end - task->pos;
	uint64_t at = (task->lba << task->lu->block_shift) + task->pos;

	task->chunk = left < CHUNK ? (uint32_t)left : CHUNK;
	if (task_io(task, BS_READ, at, task->chunk, task->buf->data, 0, prefetch_read))
		prefetch_read(task);
}

static void prefetch_start(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	uint64_t bytes;
	uint32_t chunk;

	block_decode(task);
	if (!block_check_range(task))
		return;
	if (!task->blocks) /* up to the end of the medium */
		task->blocks = lu->blocks - task->lba;
	bytes = task->blocks << lu->block_shift;
	if (!bytes || lu->lends) {
		task->end = bytes;
		prefetch_end(task);
		return;
	}
	task->end = 0;
	if (!lu->bs->limits.caches_reads) {
		prefetch_end(task);
		return;
	}
	task->end = bytes < CACHE_MAX ? bytes : CACHE_MAX;
	chunk = task->end < CHUNK ? (uint32_t)task->end : CHUNK;
	if (task_buffer(task, 0, chunk, prefetch_next))
		prefetch_next(task);
}

#define GROUP 0x3f

const struct cdb_row prefetch10_row = { .name = "PRE-FETCH (10)",
					USAGE10(CDB_PRE_FETCH_10, CACHE_IMMED, LBA4, GROUP, LEN2,
						CONTROL),
					.start = prefetch_start,
					.rule = RSV_READ,
					.flags = ROW_MEDIUM,
					MEDIUM };

const struct cdb_row prefetch16_row = { .name = "PRE-FETCH (16)",
					USAGE16(CDB_PRE_FETCH_16, CACHE_IMMED, LBA8, LEN4, GROUP,
						CONTROL),
					.start = prefetch_start,
					.rule = RSV_READ,
					.flags = ROW_MEDIUM,
					MEDIUM };
