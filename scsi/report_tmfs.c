// SPDX-License-Identifier: BSD-2-Clause
/*
 * REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, SPC 6.40: what session/task_management.c does for this
 * nexus. Functions newer than SAM-2 are there for initiators that have negotiated them (RFC 7144,
 * iSCSIProtocolLevel 2). Target resets have no bit: SPC-5 has none for them.
 */
#include <string.h>

#include "rows.h"

enum {
	/* In 100 ms. A function is answered after 5 s, whatever hangs; CLEAR ACA waits for one command
	 * at most. */
	TIMEOUT_LONG = 100,
	TIMEOUT_SHORT = 60,
};

static int report_tmfs_fill(struct scsi_task *task, uint8_t *out)
{
	struct supported_tmfs tmfs = { .functions = TMFS_ABORT_TASK | TMFS_ABORT_TASK_SET |
						    TMFS_CLEAR_ACA | TMFS_CLEAR_TASK_SET |
						    TMFS_LUN_RESET };
	size_t len = offsetof(struct supported_tmfs, timeouts_valid);
	bool queries = task->nexus->queries;

	if (queries) {
		tmfs.functions |= TMFS_QUERY_TASK;
		tmfs.more_functions =
			TMFS_QUERY_ASYNC_EVENT | TMFS_QUERY_TASK_SET | TMFS_I_T_NEXUS_RESET;
	}
	if (task->cdb[2] & RSTMF_REPD) {
		tmfs.additional_len = (uint8_t)(sizeof(tmfs) - len);
		tmfs.timeouts_valid = TMFS_TIMEOUTS_VALID;
		tmfs.short_timeout_for = TMFS_ABORT_TASK | TMFS_CLEAR_ACA;
		if (queries) {
			tmfs.short_timeout_for |= TMFS_QUERY_TASK;
			tmfs.more_short_timeout_for = TMFS_QUERY_ASYNC_EVENT | TMFS_QUERY_TASK_SET;
		}
		tmfs.long_timeout = be32_of(TIMEOUT_LONG);
		tmfs.short_timeout = be32_of(TIMEOUT_SHORT);
		len = sizeof(tmfs);
	}
	memcpy(out, &tmfs, len);
	return (int)len;
}

const struct cdb_row report_tmfs_row = {
	.name = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
	.service_action = SA_REPORT_SUPPORTED_TMFS,
	USAGE12(CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_TMFS, RSTMF_REPD, 0, 0, 0, LEN4, 0,
		CONTROL),
	RESPONDS(report_tmfs_fill),
	ALLOCATION(6, 4),
	.rule = RSV_READ,
	.flags = ROW_STANDBY | ROW_DURING_JOB,
	QUICK,
};
