// SPDX-License-Identifier: BSD-2-Clause
/* What medium access commands share: where a CDB has its LBA and length, and what is in range. */
#include <string.h>

#include "scsi.h"

void block_decode(struct scsi_task *task)
{
	const void *cdb = task->cdb;
	const struct cdb6 *c6 = cdb;
	const struct cdb10 *c10 = cdb;
	const struct cdb12 *c12 = cdb;
	const struct cdb16 *c16 = cdb;
	const struct cdb32 *c32 = cdb;

	switch (task->row->cdb_len) {
	case 6:
		task->lba = be24_get(c6->lba) & CDB6_LBA_MASK;
		task->blocks = c6->len ? c6->len : 256;
		break;
	case 10:
		task->lba = be32_get(c10->lba);
		task->blocks = be16_get(c10->len);
		break;
	case 12:
		task->lba = be32_get(c12->lba);
		task->blocks = be32_get(c12->len);
		break;
	case 32:
		task->lba = be64_get(c32->lba);
		task->blocks = be32_get(c32->len);
		break;
	default:
		task->lba = be64_get(c16->lba);
		task->blocks = be32_get(c16->len);
		break;
	}
}

unsigned int block_length_at(const struct cdb_row *row)
{
	switch (row->cdb_len) {
	case 6: return 4;
	case 10: return 7;
	case 12: return 6;
	case 32: return 28;
	default: return 10;
	}
}

/* Zero blocks at the end of the medium are in range, SBC 4.5. */
bool block_check_range(struct scsi_task *task)
{
	uint64_t capacity = task->lu->blocks;

	/* The usage bytes let no other bit through, but they let bits be missing. */
	if (task->row->cdb_len == 32 && task->cdb[7] != CDB32_ADDITIONAL) {
		task_fail_cdb(task, 7, 4);
		return false;
	}
	if (task->lba <= capacity && task->blocks <= capacity - task->lba)
		return true;
	task_fail(task, SENSE_LBA_RANGE);
	return false;
}

bool block_check_transfer(struct scsi_task *task)
{
	if (!block_check_range(task))
		return false;
	if (task->blocks <= MAX_TRANSFER_BLOCKS)
		return true;
	task_fail_cdb(task, block_length_at(task->row), 7);
	return false;
}

bool block_begin_out(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	uint64_t bytes, room = task_out_room(task);

	block_decode(task);
	if (!block_check_transfer(task))
		return false;
	bytes = task->blocks << lu->block_shift;
	task_want_out(task, bytes);
	task->end = bytes < room ? bytes : room;
	/* Less data than the CDB says: whole blocks of it are written and the residual tells. Half a
	 * block is not writable, and without the W bit there is no data at all. */
	if (task->end < bytes && (task->end & (lu->block_size - 1) || !task->writes)) {
		task_fail(task, SENSE_INVALID_IU_FIELD);
		return false;
	}
	if (task->end)
		return true;
	task_good(task);
	return false;
}

static void settled(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else
		task_good(task);
}

void block_settle(struct scsi_task *task)
{
	if (!write_flags(task->lu, false))
		task_good(task);
	else if (task_io(task, BS_FLUSH, 0, 0, NULL, 0, settled))
		settled(task);
}

int64_t block_compare(const uint8_t *a, const uint8_t *b, uint32_t len)
{
	enum { STRIDE = 4096 };

	for (uint32_t at = 0; at < len; at += STRIDE) {
		uint32_t n = len - at < STRIDE ? len - at : STRIDE;

		if (!memcmp(a + at, b + at, n))
			continue;
		while (a[at] == b[at])
			at++;
		return at;
	}
	return -1;
}
