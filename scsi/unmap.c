// SPDX-License-Identifier: BSD-2-Clause
/*
 * UNMAP, SBC 5.35. Every descriptor is checked before the first one is carried out. With ANCHOR the
 * blocks keep space, or get it, and read as zeros like the others.
 */
#include "rows.h"

enum { YIELD_BYTES = 16 << 20 }; /* others run after so much */

static const struct unmap_descriptor *unmap_descriptors(const struct scsi_task *task)
{
	return (const void *)(task->buf->data + sizeof(struct unmap_header));
}

/* A list that is wrong ends the task; *count is the number of whole descriptors. */
static bool unmap_check(struct scsi_task *task, uint32_t *count)
{
	const struct unmap_header *header = (const void *)task->buf->data;
	const struct unmap_descriptor *d = unmap_descriptors(task);
	uint32_t list = task->chunk, len = be16_get(header->descriptors_len);
	uint64_t total = 0;

	*count = len / sizeof(*d);
	if (be16_get(header->data_len) + sizeof(header->data_len) > list ||
	    len + sizeof(*header) > list) {
		task_fail(task, SENSE_LIST_LENGTH);
		return false;
	}
	if (*count > MAX_UNMAP_DESCRIPTORS) {
		task_fail(task, SENSE_INVALID_LIST_FIELD);
		return false;
	}
	for (uint32_t i = 0; i < *count; i++) {
		task->lba = be64_get(d[i].lba);
		task->blocks = be32_get(d[i].blocks);
		total += task->blocks;
		if (!block_check_range(task))
			return false;
	}
	if (total > MAX_UNMAP_BLOCKS) {
		task_fail(task, SENSE_INVALID_LIST_FIELD);
		return false;
	}
	return true;
}

/* pos and end count descriptors here, chunk the bytes since others ran. */
static void unmap_done(struct scsi_task *task)
{
	const struct unmap_descriptor *d = unmap_descriptors(task);
	bool anchor = task_has_bit(task, UNMAP_ANCHOR);
	uint8_t shift = task->lu->block_shift;
	uint64_t blocks;

	for (;;) {
		if (task->req.res < 0) {
			task_fail_io(task);
			return;
		}
		while (task->pos < task->end && !be32_get(d[task->pos].blocks))
			task->pos++;
		if (task->pos == task->end) {
			block_settle(task);
			return;
		}
		if (task->chunk >= YIELD_BYTES) {
			task->chunk = 0;
			task_yield(task, unmap_done);
			return;
		}
		blocks = be32_get(d[task->pos].blocks);
		task->chunk = (blocks << shift) < YIELD_BYTES - task->chunk
				      ? task->chunk + (uint32_t)(blocks << shift)
				      : YIELD_BYTES;
		if (!task_io(task, anchor ? BS_ZERO : BS_UNMAP,
			     be64_get(d[task->pos++].lba) << shift, blocks << shift, NULL,
			     anchor ? BS_ANCHOR : 0, unmap_done))
			return;
	}
}

static void unmap_list_here(struct scsi_task *task)
{
	uint32_t count;

	if (!unmap_check(task, &count))
		return;
	task->pos = 0;
	task->end = count;
	task->chunk = 0;
	task->req.res = 0;
	unmap_done(task);
}

static void unmap_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, unmap_list_here);
}

static void unmap_start(struct scsi_task *task)
{
	const struct cdb10 *cdb = (const void *)task->cdb;
	uint32_t list = be16_get(cdb->len);

	task_want_out(task, list);
	if (!list) {
		task_good(task);
		return;
	}
	if (list < sizeof(struct unmap_header) || task_out_room(task) < list) {
		task_fail(task, SENSE_LIST_LENGTH);
		return;
	}
	task->chunk = list;
	if (task_buffer(task, list, list, unmap_fetch))
		unmap_fetch(task);
}

static bool lu_can_unmap(const struct lu *lu)
{
	return lu->can_unmap;
}

const struct cdb_row unmap_row = { .name = "UNMAP",
				   USAGE10(CDB_UNMAP, UNMAP_ANCHOR, 0, 0, 0, 0, 0, LEN2, CONTROL),
				   .start = unmap_start,
				   .direction = DIR_OUT,
				   .rule = RSV_WRITE,
				   .flags = ROW_MEDIUM | ROW_WRITES,
				   .exists = lu_can_unmap,
				   .anchor_bits = UNMAP_ANCHOR,
				   LONG };
