// SPDX-License-Identifier: BSD-2-Clause
/*
 * VERIFY, SBC 5.39: BYTCHK 0 reads the medium, 1 compares it with as much Data-Out, 3 with one
 * block again and again. The buffer holds Data-Out in front and the medium's data behind.
 */
#include "scsi.h"

enum { VERIFY_CHUNK = BUF_MAX / 2 };

static uint8_t *verify_medium(const struct scsi_task *task)
{
	return task->buf->data + task->scratch[0];
}

static bool verify_equal(const struct scsi_task *task)
{
	const uint8_t *medium = verify_medium(task), *data = task->buf->data;
	uint8_t bytchk = (task->cdb[1] & VERIFY_BYTCHK) >> VERIFY_BYTCHK_SHIFT;
	uint32_t step = bytchk == 3 ? task->lu->block_size : task->chunk;

	for (uint32_t at = 0; bytchk && at < task->chunk; at += step) {
		if (block_compare(data, medium + at, step) >= 0)
			return false;
	}
	return true;
}

static bool verify_next(struct scsi_task *task);

static void verify_read(struct scsi_task *task);

/* Reads the next chunk; true when its data is there. */
static bool verify_io(struct scsi_task *task)
{
	uint64_t offset = (task->lba << task->lu->block_shift) + task->pos;

	return task_io(task, BS_READ, offset, task->chunk, verify_medium(task), 0, verify_read);
}

/* A chunk of the medium is there. */
static void verify_read(struct scsi_task *task)
{
	do {
		if (task->req.res < 0) {
			task_fail_io(task);
			return;
		}
		if (!verify_equal(task)) {
			task_fail(task, SENSE_MISCOMPARE);
			return;
		}
		task->pos += task->chunk;
		if (task->pos == task->end) {
			task_good(task);
			return;
		}
	} while (verify_next(task) && verify_io(task));
}

static void verify_arrived(struct scsi_task *task)
{
	if (verify_io(task))
		verify_read(task);
}

/* Sizes the next chunk. False: its Data-Out has to come first, verify_arrived() follows. */
static bool verify_next(struct scsi_task *task)
{
	uint8_t bytchk = (task->cdb[1] & VERIFY_BYTCHK) >> VERIFY_BYTCHK_SHIFT;
	uint64_t left = task->end - task->pos;
	uint32_t room = VERIFY_CHUNK;

	task->chunk = left < room ? (uint32_t)left : room;
	if (bytchk != 1)
		return true;
	task_fetch(task, (uint32_t)task->pos, task->chunk, task->buf->data, verify_arrived);
	return false;
}

static void verify_begin(struct scsi_task *task)
{
	if (((task->cdb[1] & VERIFY_BYTCHK) >> VERIFY_BYTCHK_SHIFT) != 3) {
		if (verify_next(task))
			verify_arrived(task);
		return;
	}
	verify_next(task);
	task_fetch(task, 0, task->lu->block_size, task->buf->data, verify_arrived);
}

void verify_start(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	uint8_t bytchk = (task->cdb[1] & VERIFY_BYTCHK) >> VERIFY_BYTCHK_SHIFT;
	uint64_t data;
	uint32_t chunk;

	if (bytchk == 2) {
		task_fail_cdb(task, 1, 2);
		return;
	}
	block_decode(task);
	if (!block_check_transfer(task))
		return;
	task->end = task->blocks << lu->block_shift;
	data = bytchk == 1 ? task->end : bytchk == 3 && task->end ? lu->block_size : 0;
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
	task->scratch[0] = bytchk == 1 ? chunk : (uint32_t)data;
	if (task_buffer(task, task->scratch[0], task->scratch[0] + chunk, verify_begin))
		verify_begin(task);
}
