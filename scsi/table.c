// SPDX-License-Identifier: BSD-2-Clause
/*
 * The CDB table. What stands here is dispatched, checked and reported; nothing else knows which
 * commands there are. The rows are with the code that they start. Shapes: SPC 6, SBC 5.
 */
#include "scsi.h"

static const struct cdb_row *const service_actions_in16[] = { &read_capacity16_row, NULL };
static const struct cdb_row *const maintenance_in[] = { &report_opcodes_row, NULL };

/* An operation code whose rows are its service actions. */
#define ACTIONS(list)             \
	&(const struct cdb_row)   \
	{                         \
		.actions = (list) \
	}

const struct cdb_row *const cdb_table[256] = {
	[CDB_TEST_UNIT_READY] = &test_unit_ready_row,
	[CDB_REQUEST_SENSE] = &request_sense_row,
	[CDB_READ_6] = &read6_row,
	[CDB_WRITE_6] = &write6_row,
	[CDB_INQUIRY] = &inquiry_row,
	[CDB_RESERVE_6] = &reserve6_row,
	[CDB_RELEASE_6] = &release6_row,
	[CDB_MODE_SENSE_6] = &mode_sense6_row,
	[CDB_START_STOP_UNIT] = &start_stop_row,
	[CDB_READ_CAPACITY_10] = &read_capacity10_row,
	[CDB_READ_10] = &read10_row,
	[CDB_WRITE_10] = &write10_row,
	[CDB_VERIFY_10] = &verify10_row,
	[CDB_SYNCHRONIZE_CACHE_10] = &synchronize_cache10_row,
	[CDB_WRITE_SAME_10] = &write_same10_row,
	[CDB_UNMAP] = &unmap_row,
	[CDB_MODE_SENSE_10] = &mode_sense10_row,
	[CDB_READ_16] = &read16_row,
	[CDB_COMPARE_AND_WRITE] = &compare_and_write_row,
	[CDB_WRITE_16] = &write16_row,
	[CDB_VERIFY_16] = &verify16_row,
	[CDB_SYNCHRONIZE_CACHE_16] = &synchronize_cache16_row,
	[CDB_WRITE_SAME_16] = &write_same16_row,
	[CDB_SERVICE_ACTION_IN_16] = ACTIONS(service_actions_in16),
	[CDB_REPORT_LUNS] = &report_luns_row,
	[CDB_MAINTENANCE_IN] = ACTIONS(maintenance_in),
	[CDB_READ_12] = &read12_row,
	[CDB_WRITE_12] = &write12_row,
	[CDB_VERIFY_12] = &verify12_row,
};
