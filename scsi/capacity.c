// SPDX-License-Identifier: BSD-2-Clause
/* READ CAPACITY, SBC 5.20 and 5.21. */
#include "rows.h"

static int read_capacity10_fill(struct scsi_task *task, uint8_t *out)
{
	struct capacity10 *data = (struct capacity10 *)out;
	uint64_t last = task->lu->blocks - 1;

	/* ffffffffh sends the initiator to READ CAPACITY (16). */
	data->last_lba = be32_of(last < UINT32_MAX ? (uint32_t)last : UINT32_MAX);
	data->block_size = be32_of(task->lu->block_size);
	return sizeof(*data);
}

static int read_capacity16_fill(struct scsi_task *task, uint8_t *out)
{
	struct capacity16 *data = (struct capacity16 *)out;
	const struct lu *lu = task->lu;
	uint32_t physical = lu->bs->limits.physical_block_size >> lu->block_shift;

	data->last_lba = be64_of(lu->blocks - 1);
	data->block_size = be32_of(lu->block_size);
	if (lu->protection)
		data->protection =
			(uint8_t)(CAPACITY_PROT_EN | (lu->protection - 1) << CAPACITY_P_TYPE_SHIFT);
	data->exponents = physical ? (uint8_t)__builtin_ctz(physical) : 0;
	/* LOWEST ALIGNED LBA is 0: disks begin with a physical block. */
	data->provisioning = be16_of(lu->can_unmap ? CAPACITY_LBPME | CAPACITY_LBPRZ : 0);
	return sizeof(*data);
}

const struct cdb_row read_capacity10_row = { .name = "READ CAPACITY (10)",
					     USAGE10(CDB_READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0,
						     CONTROL),
					     RESPONDS(read_capacity10_fill),
					     .rule = RSV_NEVER,
					     .flags = ROW_MEDIUM | ROW_STANDBY,
					     QUICK };

const struct cdb_row read_capacity16_row = { .name = "READ CAPACITY (16)",
					     .service_action = SA_READ_CAPACITY_16,
					     USAGE16(CDB_SERVICE_ACTION_IN_16, SA_READ_CAPACITY_16,
						     0, 0, 0, 0, 0, 0, 0, 0, LEN4, 0, CONTROL),
					     RESPONDS(read_capacity16_fill),
					     ALLOCATION(10, 4),
					     .rule = RSV_NEVER,
					     .flags = ROW_MEDIUM | ROW_STANDBY,
					     QUICK };
