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
	default:
		task->lba = be64_get(c16->lba);
		task->blocks = be32_get(c16->len);
		break;
	}
}

/* Zero blocks at the end of the medium are in range, SBC 4.5. */
bool block_check_range(struct scsi_task *task)
{
	uint64_t capacity = task->lu->blocks;

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
	/* The first byte of TRANSFER LENGTH. */
	task_fail_cdb(task, task->row->cdb_len == 12 ? 6 : 10, 7);
	return false;
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
