// SPDX-License-Identifier: BSD-2-Clause
/*
 * REASSIGN BLOCKS, SBC 5.24. Where a block lies is not ours to say, but the device below gives a
 * block that it cannot read another place when it is written. So each block is read and written back
 * to stable media with the LU alone; a block that cannot be read becomes zeros, as the command allows
 * for what is lost. GOOD: all of them have been written.
 */
#include <errno.h>
#include <string.h>

#include "rows.h"
#include "scsi_media_wire.h"

enum { LIST_MAX = RESPONSE_SIZE }; /* bytes, header included: up to 1023 blocks */

static unsigned int lba_size(const struct scsi_task *task)
{
	return task->cdb[1] & REASSIGN_LONGLBA ? 8 : 4;
}

static uint64_t lba_at(const struct scsi_task *task, uint64_t pos)
{
	const uint8_t *at = task->buf->data + pos;
	struct be64 be8;
	struct be32 be4;

	if (lba_size(task) == sizeof(be8)) {
		memcpy(&be8, at, sizeof(be8));
		return be64_get(be8);
	}
	memcpy(&be4, at, sizeof(be4));
	return be32_get(be4);
}

/* Behind the list. */
static uint8_t *block_of(const struct scsi_task *task)
{
	return task->buf->data + LIST_MAX;
}

static void reassign_next(struct scsi_task *task);

static void block_written(struct scsi_task *task)
{
	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	gate_unlock(task);
	task->pos += lba_size(task);
	if (task->pos == task->end)
		task_good(task);
	else
		task_yield(task, reassign_next);
}

/* The medium was asked and has not got it. Other errors say nothing of the block: what was only not
 * tried must not become zeros. */
static bool is_lost(int res)
{
	return res == -EIO || res == -ENODATA || res == -EBADMSG || res == -EILSEQ || res == -EBADE;
}

static void block_read(struct scsi_task *task)
{
	struct lu *lu = task->lu;

	if (task->req.res < 0 && !is_lost(task->req.res)) {
		task_fail_io(task);
		return;
	}
	if (task->req.res < 0)
		memset(block_of(task), 0, lu->block_size);
	gate_change(task);
	if (task_io(task, BS_WRITE, task->lba << lu->block_shift, lu->block_size, block_of(task),
		    BS_FUA, block_written))
		block_written(task);
}

static void reassign_alone(struct scsi_task *task)
{
	struct lu *lu = task->lu;

	if (task_io(task, BS_READ, task->lba << lu->block_shift, lu->block_size, block_of(task), 0,
		    block_read))
		block_read(task);
}

static void reassign_next(struct scsi_task *task)
{
	task->lba = lba_at(task, task->pos);
	if (gate_lock(task, reassign_alone))
		reassign_alone(task);
}

/* All of the list is checked before the first block is touched. */
static void list_here(struct scsi_task *task)
{
	task->blocks = 1;
	for (uint64_t pos = task->pos; pos < task->end; pos += lba_size(task)) {
		task->lba = lba_at(task, pos);
		if (!block_check_range(task))
			return;
	}
	if (task->pos == task->end)
		task_good(task);
	else
		reassign_next(task);
}

/* What the initiator sends is here; the list's header says how much of it is the list. */
static void data_here(struct scsi_task *task)
{
	const struct reassign_header *header = (const void *)task->buf->data;
	uint64_t len = task->cdb[1] & REASSIGN_LONGLIST ? be32_get(header->long_len)
							: be16_get(header->len);

	task->pos = sizeof(*header);
	task->end = sizeof(*header) + len;
	task_want_out(task, task->end);
	if (len % lba_size(task) || task->end > task_out_room(task))
		task_fail(task, SENSE_LIST_LENGTH);
	else if (task->end > LIST_MAX)
		task_fail_list(task, 0, 7);
	else
		list_here(task);
}

static void reassign_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, data_here);
}

/* The CDB has no length. */
static void reassign_start(struct scsi_task *task)
{
	uint64_t room = task_out_room(task);

	task_want_out(task, sizeof(struct reassign_header));
	if (room < sizeof(struct reassign_header)) {
		task_fail(task, SENSE_LIST_LENGTH);
		return;
	}
	task->chunk = room < LIST_MAX ? (uint32_t)room : LIST_MAX;
	if (task_buffer(task, task->chunk, LIST_MAX + task->lu->block_size, reassign_fetch))
		reassign_fetch(task);
}

const struct cdb_row reassign_blocks_row = {
	.name = "REASSIGN BLOCKS",
	USAGE6(CDB_REASSIGN_BLOCKS, REASSIGN_LONGLBA | REASSIGN_LONGLIST, 0, 0, 0, CONTROL),
	.start = reassign_start,
	WRITES_MEDIUM,
	LONG
};
