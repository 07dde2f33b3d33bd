// SPDX-License-Identifier: BSD-2-Clause
/*
 * WRITE SAME, SBC 5.52: one block of Data-Out, or zeros (NDOB), all over a range. Zeros become
 * one request of the backstore, and with UNMAP the space may go back. Other data is written, with
 * UNMAP too: what is read afterwards has to be what was sent, and unmapped blocks read as zeros
 * (LBPRZ), so they are unmapped for zeros alone (SBC 4.7.3.4). With ANCHOR they are not given back:
 * they read as zeros and have space. Zero blocks are refused (WSNZ): the
 * whole rest of the medium is nothing to be written by a field that was forgotten.
 */
#include <string.h>

#include "rows.h"

enum {
	PATTERN_SIZE = 256 << 10, /* most copies in a buffer, bytes */
	ZERO_CHUNK = 64 << 20, /* one BS_ZERO or BS_UNMAP */
	YIELD_BYTES = 16 << 20, /* others run after so much was written */
};

static bool is_zero(const uint8_t *data, uint32_t len)
{
	return data[0] == 0 && !memcmp(data, data + 1, len - 1);
}

enum bs_opcode write_same_zero_opcode(const struct scsi_task *task)
{
	return task_has_bit(task, WRITE_SAME_UNMAP) && !task_has_bit(task, WRITE_SAME_ANCHOR)
		       ? BS_UNMAP
		       : BS_ZERO;
}

uint32_t write_same_zero_flags(const struct scsi_task *task)
{
	return task_has_bit(task, WRITE_SAME_ANCHOR) ? BS_ANCHOR : 0;
}

/* scratch[0] says how, scratch[2] with which flags; req.res is that of the last chunk. */
static void write_same_next(struct scsi_task *task)
{
	uint64_t base = task->lba << task->lu->block_shift, left;
	enum bs_opcode opcode = (enum bs_opcode)task->scratch[0];
	uint32_t most = opcode == BS_WRITE ? PATTERN_SIZE : ZERO_CHUNK;

	if (opcode == BS_WRITE && most > task->buf->size)
		most = task->buf->size;
	for (;;) {
		if (task->req.res < 0) {
			task_fail_io(task);
			return;
		}
		task->pos += task->chunk;
		left = task->end - task->pos;
		if (!left && opcode == BS_WRITE) {
			task_good(task);
			return;
		}
		if (!left) {
			block_settle(task);
			return;
		}
		task->scratch[1] += task->chunk;
		task->chunk = 0;
		if (task->scratch[1] >= YIELD_BYTES) {
			task->scratch[1] = 0;
			task_yield(task, write_same_next);
			return;
		}
		task->chunk = left < most ? (uint32_t)left : most;
		if (!task_io(task, opcode, base + task->pos, task->chunk,
			     opcode == BS_WRITE ? task->buf->data : NULL,
			     opcode == BS_WRITE ? write_flags(task->lu, false) : task->scratch[2],
			     write_same_next))
			return;
	}
}

static void write_same_run(struct scsi_task *task, enum bs_opcode opcode)
{
	task->scratch[0] = opcode;
	task->scratch[1] = 0;
	task->scratch[2] = write_same_zero_flags(task);
	task->chunk = 0;
	task->req.res = 0;
	write_same_next(task);
}

static void write_same_arrived(struct scsi_task *task)
{
	uint32_t block = task->lu->block_size;
	uint32_t size = task->end < PATTERN_SIZE ? (uint32_t)task->end : PATTERN_SIZE;
	struct buf *bigger;
	uint8_t *data = task->buf->data;

	if (is_zero(data, block)) {
		write_same_run(task, write_same_zero_opcode(task));
		return;
	}
	/* first_buf was small: more copies at a time when there is memory. */
	bigger = task->buf->size < size ? buf_get(task->reactor, size) : NULL;
	if (bigger) {
		memcpy(bigger->data, data, block);
		buf_put(task->reactor, task->buf);
		task->buf = bigger;
		data = bigger->data;
	}
	if (size > task->buf->size)
		size = task->buf->size;
	for (uint32_t have = block; have < size;) {
		uint32_t n = size - have < have ? size - have : have;

		memcpy(data + have, data, n);
		have += n;
	}
	write_same_run(task, BS_WRITE);
}

static void write_same_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->lu->block_size, task->buf->data, write_same_arrived);
}

bool write_same_check(struct scsi_task *task)
{
	struct lu *lu = task->lu;

	block_decode(task);
	if (!block_check_range(task))
		return false;
	if (task_has_bit(task, WRITE_SAME_ANCHOR) && !task_has_bit(task, WRITE_SAME_UNMAP)) {
		task_fail_cdb(task, cdb_flags_at(task->row), 4);
		return false;
	}
	if (task->blocks && task->blocks <= MAX_WRITE_SAME_BYTES >> lu->block_shift)
		return true;
	task_fail_cdb(task, block_length_at(task->row), 7);
	return false;
}

static void write_same_start(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	bool no_data = task_has_bit(task, WRITE_SAME_NDOB);
	uint32_t data = no_data ? 0 : lu->block_size, most;

	if (task_protected(task)) {
		protect_write_same_start(task);
		return;
	}
	if (!write_same_check(task))
		return;
	task_want_out(task, data);
	if (task_out_room(task) != data) {
		task_fail(task, SENSE_INVALID_CDB_FIELD);
		return;
	}
	task->end = task->blocks << lu->block_shift;
	if (no_data) {
		write_same_run(task, write_same_zero_opcode(task));
		return;
	}
	most = task->end < PATTERN_SIZE ? (uint32_t)task->end : PATTERN_SIZE;
	if (most < data)
		most = data;
	if (task->first_buf)
		task_take_first(task);
	else if (!task_buffer(task, data, most, write_same_fetch))
		return;
	write_same_fetch(task);
}

const struct cdb_row write_same10_row = { .name = "WRITE SAME (10)",
					  USAGE10(CDB_WRITE_SAME_10,
						  RW_PROTECT | WRITE_SAME_ANCHOR | WRITE_SAME_UNMAP,
						  LBA4, 0, LEN2, CONTROL),
					  .start = write_same_start,
					  PROTECTABLE,
					  .unmap_bits = WRITE_SAME_UNMAP,
					  .anchor_bits = WRITE_SAME_ANCHOR,
					  WRITES_MEDIUM,
					  LONG };

const struct cdb_row write_same16_row = { .name = "WRITE SAME (16)",
					  USAGE16(CDB_WRITE_SAME_16,
						  RW_PROTECT | WRITE_SAME_ANCHOR |
							  WRITE_SAME_UNMAP | WRITE_SAME_NDOB,
						  LBA8, LEN4, 0, CONTROL),
					  .start = write_same_start,
					  PROTECTABLE,
					  .unmap_bits = WRITE_SAME_UNMAP,
					  .anchor_bits = WRITE_SAME_ANCHOR,
					  WRITES_MEDIUM,
					  LONG };

const struct cdb_row write_same32_row = { .name = "WRITE SAME (32)",
					  USAGE32(SA_WRITE_SAME_32, RW_PROTECT | WRITE_SAME_ANCHOR |
									    WRITE_SAME_UNMAP |
									    WRITE_SAME_NDOB),
					  .start = write_same_start,
					  PROTECTABLE,
					  .exists = protect_allows_32,
					  .unmap_bits = WRITE_SAME_UNMAP,
					  .anchor_bits = WRITE_SAME_ANCHOR,
					  WRITES_MEDIUM,
					  LONG };
