// SPDX-License-Identifier: BSD-2-Clause
/*
 * READ DEFECT DATA, SBC 5.22 and 5.23. A disk that files and memory are made of knows of no defects:
 * both lists are empty, in every format that the standard defines.
 */
#include "rows.h"
#include "scsi_media_wire.h"

enum { LAST_FORMAT = 5 }; /* 6 is vendor specific, 7 reserved */

/* What was asked for, as it is echoed; -1: an unknown format. */
static int defect_flags(struct scsi_task *task, unsigned int at)
{
	uint8_t flags = task->cdb[at];

	if ((flags & DEFECT_FORMAT) <= LAST_FORMAT)
		return flags;
	task_sense_cdb(task, at, 2);
	return -1;
}

static int read_defects10_fill(struct scsi_task *task, uint8_t *out)
{
	struct defect_header10 *header = (struct defect_header10 *)out;
	int flags = defect_flags(task, 2);

	if (flags < 0)
		return -1;
	header->flags = (uint8_t)flags;
	return sizeof(*header);
}

static int read_defects12_fill(struct scsi_task *task, uint8_t *out)
{
	struct defect_header12 *header = (struct defect_header12 *)out;
	int flags = defect_flags(task, 1);

	if (flags < 0)
		return -1;
	header->flags = (uint8_t)flags;
	return sizeof(*header);
}

#define LISTS (DEFECT_PLIST | DEFECT_GLIST | DEFECT_FORMAT)

const struct cdb_row read_defects10_row = { .name = "READ DEFECT DATA (10)",
					    USAGE10(CDB_READ_DEFECT_DATA_10, 0, LISTS, 0, 0, 0, 0,
						    LEN2, CONTROL),
					    RESPONDS(read_defects10_fill),
					    ALLOCATION(7, 2),
					    .rule = RSV_READ,
					    .flags = ROW_MEDIUM,
					    QUICK };

/* ADDRESS DESCRIPTOR INDEX: any, there is nothing from there on either. */
const struct cdb_row read_defects12_row = { .name = "READ DEFECT DATA (12)",
					    USAGE12(CDB_READ_DEFECT_DATA_12, LISTS, LEN4, LEN4, 0,
						    CONTROL),
					    RESPONDS(read_defects12_fill),
					    ALLOCATION(6, 4),
					    .rule = RSV_READ,
					    .flags = ROW_MEDIUM,
					    QUICK };
