// SPDX-License-Identifier: BSD-2-Clause
/* REPORT LUNS, SPC 6.35: the target's inventory, whatever LUN was asked. */
#include "rows.h"

enum { SELECT_ADDRESSED = 0, SELECT_WELL_KNOWN = 1, SELECT_ALL = 2 };

static int report_luns_fill(struct scsi_task *task, uint8_t *out)
{
	struct report_luns_header *header = (struct report_luns_header *)out;
	const struct scsi_target *target = task->nexus->target;
	const struct cdb12 *cdb = (const void *)task->cdb;
	uint8_t *lun = out + sizeof(*header);
	int number = lun_number(task->lun);

	static_assert(sizeof(*header) + 8 * TARGET_LUNS <= RESPONSE_SIZE, "every LUN fits");
	if (task->cdb[2] > SELECT_ALL) {
		task_sense_cdb(task, 2, 7);
		return -1;
	}
	if (be32_get(cdb->len) < 16) {
		task_sense_cdb(task, 6, 7);
		return -1;
	}
	/* There are no well known logical units. */
	for (int i = 0; i < TARGET_LUNS && task->cdb[2] != SELECT_WELL_KNOWN; i++) {
		if (target->lun[i]) {
			lun[1] = (uint8_t)i;
			lun += 8;
		}
	}
	if (number >= 0)
		unit_attention_clear(task->nexus, number, UA_LUNS_CHANGED);
	header->list_len = be32_of((uint32_t)(lun - out - (long)sizeof(*header)));
	return (int)(lun - out);
}

const struct cdb_row report_luns_row = { .name = "REPORT LUNS",
					 USAGE12(CDB_REPORT_LUNS, 0, 0xff, 0, 0, 0, LEN4, 0,
						 CONTROL),
					 RESPONDS(report_luns_fill),
					 ALLOCATION(6, 4),
					 .rule = RSV_NEVER,
					 .flags = ROW_NO_LU | ROW_NO_UA,
					 QUICK };
