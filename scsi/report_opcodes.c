// SPDX-License-Identifier: BSD-2-Clause
/* REPORT SUPPORTED OPERATION CODES, SPC 6.37: the CDB table as the initiator sees it. */
#include <string.h>

#include "rows.h"

enum { REPORT_ALL = 0, REPORT_OPCODE = 1, REPORT_ACTION = 2, REPORT_EITHER = 3 };

static uint8_t *write_timeouts(const struct cdb_row *row, uint8_t *out)
{
	struct opcode_timeouts timeouts = { .len = be16_of(sizeof(timeouts) - 2),
					    .nominal = be32_of(row->nominal_s),
					    .recommended = be32_of(row->recommended_s) };

	memcpy(out, &timeouts, sizeof(timeouts));
	return out + sizeof(timeouts);
}

static uint8_t *write_descriptor(const struct scsi_task *task, uint8_t opcode, bool action,
				 const struct cdb_row *row, uint8_t *out)
{
	bool timeouts = task->cdb[2] & RSOC_RCTD;
	struct opcode_descriptor d = {
		.opcode = opcode,
		.service_action = be16_of(row->service_action),
		.flags = (uint8_t)((action ? OPCODE_SERVACTV : 0) | (timeouts ? OPCODE_CTDP : 0)),
		.cdb_len = be16_of(row->cdb_len),
	};

	if (!row_exists(row, task->lu))
		return out;
	memcpy(out, &d, sizeof(d));
	out += sizeof(d);
	return timeouts ? write_timeouts(row, out) : out;
}

static int report_all(struct scsi_task *task, uint8_t *out)
{
	uint8_t *at = out + sizeof(struct be32);
	struct be32 len;

	for (unsigned int opcode = 0; opcode < array_size(cdb_table); opcode++) {
		const struct cdb_row *row = cdb_table[opcode];

		if (!row)
			continue;
		if (!row->actions) {
			at = write_descriptor(task, (uint8_t)opcode, false, row, at);
			continue;
		}
		for (const struct cdb_row *const *action = row->actions; *action; action++)
			at = write_descriptor(task, (uint8_t)opcode, true, *action, at);
	}
	len = be32_of((uint32_t)(at - out - (long)sizeof(len)));
	memcpy(out, &len, sizeof(len));
	return (int)(at - out);
}

static int report_one(struct scsi_task *task, const struct cdb_row *row, uint8_t *out)
{
	bool timeouts = task->cdb[2] & RSOC_RCTD;
	struct opcode_support head = { .flags = SUPPORT_NOT };
	uint8_t *at = out + sizeof(head);

	if (row && row_exists(row, task->lu)) {
		head.flags = (uint8_t)(SUPPORT_STANDARD | (timeouts ? SUPPORT_CTDP : 0));
		head.cdb_len = be16_of(row->cdb_len);
		memcpy(at, row->usage, row->cdb_len);
		at[cdb_flags_at(row)] &= (uint8_t)~cdb_absent_bits(row, task->lu);
		at += row->cdb_len;
		if (timeouts)
			at = write_timeouts(row, at);
	}
	memcpy(out, &head, sizeof(head));
	return (int)(at - out);
}

static int report_opcodes_fill(struct scsi_task *task, uint8_t *out)
{
	uint8_t options = task->cdb[2] & RSOC_OPTIONS, opcode = task->cdb[3];
	uint16_t action = (uint16_t)(task->cdb[4] << 8 | task->cdb[5]);
	const struct cdb_row *row = cdb_table[opcode];
	bool has_actions = row && row->actions, exists = row && !row->actions;

	if (options == REPORT_ALL)
		return report_all(task, out);
	if (options > REPORT_EITHER) {
		task_sense_cdb(task, 2, 2);
		return -1;
	}
	/* An operation code has to be asked for in the way it has: with service actions or not. */
	if ((options == REPORT_OPCODE && has_actions) || (options == REPORT_ACTION && exists)) {
		task_sense_cdb(task, 2, 2);
		return -1;
	}
	if (exists && options == REPORT_EITHER && action)
		row = NULL;
	if (has_actions)
		row = cdb_action(row, action);
	return report_one(task, row, out);
}

const struct cdb_row report_opcodes_row = { .name = "REPORT SUPPORTED OPERATION CODES",
					    .service_action = SA_REPORT_SUPPORTED_OPCODES,
					    USAGE12(CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_OPCODES,
						    RSOC_RCTD | RSOC_OPTIONS, 0xff, 0xff, 0xff,
						    LEN4, 0, CONTROL),
					    RESPONDS(report_opcodes_fill),
					    ALLOCATION(6, 4),
					    .rule = RSV_READ,
					    .flags = ROW_STANDBY | ROW_DURING_JOB,
					    QUICK };
