// SPDX-License-Identifier: BSD-2-Clause
/*
 * The CDB table. What stands here is dispatched, checked and reported; nothing else knows which
 * commands there are. The rows are with the code that they start. Shapes: SPC 6, SBC 5.
 */
#include "scsi.h"

static const struct cdb_row *const service_actions_in16[] = { &read_capacity16_row,
							      &lba_status16_row, NULL };
static const struct cdb_row *const variable_length[] = { &read32_row,	    &verify32_row,
							 &write32_row,	    &write_and_verify32_row,
							 &write_same32_row, NULL };
static const struct cdb_row *const maintenance_in[] = {
	&report_target_port_groups_row, &report_opcodes_row,   &report_tmfs_row,
	&report_identifying_row,	&report_timestamp_row, NULL
};
static const struct cdb_row *const maintenance_out[] = { &set_target_port_groups_row,
							 &set_identifying_row, &set_timestamp_row,
							 NULL };

static const struct cdb_row *const third_party_copy_out[] = {
	&extended_copy_lid1_row, &extended_copy_lid4_row,   &populate_token_row,
	&write_using_token_row,	 &copy_operation_abort_row, NULL
};
static const struct cdb_row *const third_party_copy_in[] = {
	&receive_copy_status_lid1_row, &receive_copy_data_lid1_row,
	&receive_copy_parameters_row,  &receive_copy_failure_row,
	&receive_copy_status_lid4_row, &receive_token_information_row,
	&report_all_tokens_row,	       NULL
};

static const struct cdb_row *const persistent_reserve_in[] = {
	&pr_read_keys_row, &pr_read_reservation_row, &pr_capabilities_row, &pr_full_status_row, NULL
};
static const struct cdb_row *const persistent_reserve_out[] = { &pr_register_row,
								&pr_reserve_row,
								&pr_release_row,
								&pr_clear_row,
								&pr_preempt_row,
								&pr_preempt_and_abort_row,
								&pr_register_and_ignore_row,
								&pr_register_and_move_row,
								NULL };

static const struct cdb_row *const sanitize[] = { &sanitize_overwrite_row,
						  &sanitize_block_erase_row,
						  &sanitize_exit_failure_row, NULL };

/* An operation code whose rows are its service actions. */
#define ACTIONS(list)             \
	&(const struct cdb_row)   \
	{                         \
		.actions = (list) \
	}

const struct cdb_row *const cdb_table[256] = {
	[CDB_TEST_UNIT_READY] = &test_unit_ready_row,
	[CDB_REQUEST_SENSE] = &request_sense_row,
	[CDB_FORMAT_UNIT] = &format_unit_row,
	[CDB_READ_6] = &read6_row,
	[CDB_WRITE_6] = &write6_row,
	[CDB_REASSIGN_BLOCKS] = &reassign_blocks_row,
	[CDB_INQUIRY] = &inquiry_row,
	[CDB_RESERVE_6] = &reserve6_row,
	[CDB_RELEASE_6] = &release6_row,
	[CDB_MODE_SELECT_6] = &mode_select6_row,
	[CDB_MODE_SENSE_6] = &mode_sense6_row,
	[CDB_START_STOP_UNIT] = &start_stop_row,
	[CDB_PREVENT_ALLOW] = &prevent_allow_row,
	[CDB_READ_CAPACITY_10] = &read_capacity10_row,
	[CDB_READ_10] = &read10_row,
	[CDB_WRITE_10] = &write10_row,
	[CDB_WRITE_AND_VERIFY_10] = &write_and_verify10_row,
	[CDB_VERIFY_10] = &verify10_row,
	[CDB_PRE_FETCH_10] = &prefetch10_row,
	[CDB_SYNCHRONIZE_CACHE_10] = &synchronize_cache10_row,
	[CDB_READ_DEFECT_DATA_10] = &read_defects10_row,
	[CDB_WRITE_SAME_10] = &write_same10_row,
	[CDB_UNMAP] = &unmap_row,
	[CDB_SANITIZE] = ACTIONS(sanitize),
	[CDB_LOG_SELECT] = &log_select_row,
	[CDB_LOG_SENSE] = &log_sense_row,
	[CDB_MODE_SELECT_10] = &mode_select10_row,
	[CDB_RESERVE_10] = &reserve10_row,
	[CDB_RELEASE_10] = &release10_row,
	[CDB_MODE_SENSE_10] = &mode_sense10_row,
	[CDB_PERSISTENT_RESERVE_IN] = ACTIONS(persistent_reserve_in),
	[CDB_PERSISTENT_RESERVE_OUT] = ACTIONS(persistent_reserve_out),
	[CDB_VARIABLE_LENGTH] = ACTIONS(variable_length),
	[CDB_THIRD_PARTY_COPY_OUT] = ACTIONS(third_party_copy_out),
	[CDB_THIRD_PARTY_COPY_IN] = ACTIONS(third_party_copy_in),
	[CDB_READ_16] = &read16_row,
	[CDB_COMPARE_AND_WRITE] = &compare_and_write_row,
	[CDB_WRITE_16] = &write16_row,
	[CDB_ORWRITE_16] = &orwrite16_row,
	[CDB_WRITE_AND_VERIFY_16] = &write_and_verify16_row,
	[CDB_VERIFY_16] = &verify16_row,
	[CDB_PRE_FETCH_16] = &prefetch16_row,
	[CDB_SYNCHRONIZE_CACHE_16] = &synchronize_cache16_row,
	[CDB_WRITE_SAME_16] = &write_same16_row,
	[CDB_WRITE_ATOMIC_16] = &write_atomic16_row,
	[CDB_SERVICE_ACTION_IN_16] = ACTIONS(service_actions_in16),
	[CDB_REPORT_LUNS] = &report_luns_row,
	[CDB_MAINTENANCE_IN] = ACTIONS(maintenance_in),
	[CDB_MAINTENANCE_OUT] = ACTIONS(maintenance_out),
	[CDB_READ_12] = &read12_row,
	[CDB_WRITE_12] = &write12_row,
	[CDB_WRITE_AND_VERIFY_12] = &write_and_verify12_row,
	[CDB_VERIFY_12] = &verify12_row,
	[CDB_READ_DEFECT_DATA_12] = &read_defects12_row,
};
