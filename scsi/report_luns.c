// SPDX-License-Identifier: BSD-2-Clause
/* REPORT LUNS, SPC 6.35: the target's inventory as the nexus sees it, whatever LUN was asked. */
#include "rows.h"

/* SELECT REPORT, and whether it asks for units like ours: neither well known nor part of a
 * conglomerate. */
static bool select_report(uint8_t select, bool *ours)
{
	switch (select) {
	case 0x00: /* those with a peripheral, flat space or logical unit address */
	case 0x02: /* all */
	case 0x11: *ours = true; return true; /* administrative, and those of no conglomerate */
	case 0x01: /* well known */
	case 0x10: /* administrative */
	case 0x12: *ours = false; return true; /* those of the addressed one's conglomerate */
	default: return false;
	}
}

/* The list answers the condition for every unit of the target, SAM 5.14. */
static void forget_luns_changed(struct nexus *nexus)
{
	for (int i = 0; i < TARGET_LUNS; i++)
		unit_attention_clear(nexus, i, UA_LUNS_CHANGED);
}

static int report_luns_fill(struct scsi_task *task, uint8_t *out)
{
	struct report_luns_header *header = (struct report_luns_header *)out;
	const struct cdb12 *cdb = (const void *)task->cdb;
	uint8_t *lun = out + sizeof(*header);
	bool ours;

	static_assert(sizeof(*header) + 8 * TARGET_LUNS <= RESPONSE_SIZE, "every LUN fits");
	if (!select_report(task->cdb[2], &ours)) {
		task_sense_cdb(task, 2, 7);
		return -1;
	}
	if (be32_get(cdb->len) < 16) {
		task_sense_cdb(task, 6, 7);
		return -1;
	}
	for (int i = 0; i < TARGET_LUNS && ours; i++) {
		if (nexus_found(task->nexus, i)) {
			lun[1] = (uint8_t)i;
			lun += 8;
		}
	}
	forget_luns_changed(task->nexus);
	header->list_len = be32_of((uint32_t)(lun - out - (long)sizeof(*header)));
	return (int)(lun - out);
}

const struct cdb_row report_luns_row = {
	.name = "REPORT LUNS",
	USAGE12(CDB_REPORT_LUNS, 0, 0xff, 0, 0, 0, LEN4, 0, CONTROL),
	RESPONDS(report_luns_fill),
	ALLOCATION(6, 4),
	.rule = RSV_NEVER,
	.flags = ROW_NO_LU | ROW_NO_UA | ROW_UNAVAILABLE | ROW_DURING_JOB,
	QUICK
};
