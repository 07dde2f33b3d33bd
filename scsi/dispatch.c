// SPDX-License-Identifier: BSD-2-Clause
/*
 * From a CDB to its handler: LUN, unit attention, operation code, reserved bits, reservation,
 * state of the unit; in this order (SAM 5.14, SPC 5.13). The path of a READ takes no lock.
 */
#include <assert.h>
#include <string.h>

#include "scsi.h"

static void task_reset(struct scsi_task *task)
{
	task->status = SAM_GOOD;
	task->aborted = false;
	task->sense_len = 0;
	task->transfer_len = 0;
	task->buf = NULL;
	task->context = NULL;
	task->mem = NULL;
	task->pos = 0;
	task->counted_write = false;
	task->exclusive = false;
	task->waits = WAITS_NOTHING;
	task->work.queued = false;
}

static void fail_reserved_bit(struct scsi_task *task)
{
	const struct cdb_row *row = task->row;

	for (unsigned int i = 0; i < row->cdb_len; i++) {
		uint8_t usage = row->usage[i], bad;

		if (i == cdb_flags_at(row))
			usage &= (uint8_t)~cdb_absent_bits(row, task->lu);
		bad = (uint8_t)(task->cdb[i] & ~usage);
		if (bad) {
			task_fail_cdb(task, i, 31u - (unsigned int)__builtin_clz(bad));
			return;
		}
	}
	assert(!"a reserved bit was set");
}

static bool upper_half_clear(const struct scsi_task *task)
{
	for (unsigned int i = 16; i < CDB_MAX; i++) {
		if (task->cdb[i] & ~task->row->usage[i])
			return false;
	}
	return true;
}

/* Fails the task when a bit outside the row's usage mask is set. */
static bool reserved_bits_clear(struct scsi_task *task)
{
	const struct cdb_row *row = task->row;
	uint64_t cdb[2], usage[2];

	memcpy(cdb, task->cdb, sizeof(cdb));
	memcpy(usage, row->usage, sizeof(usage));
	if (__builtin_expect(!((cdb[0] & ~usage[0]) | (cdb[1] & ~usage[1])), 1) &&
	    (row->cdb_len <= 16 || upper_half_clear(task)) &&
	    !(task->cdb[cdb_flags_at(row)] & cdb_absent_bits(row, task->lu)))
		return true;
	fail_reserved_bit(task);
	return false;
}

static void no_such_command(struct scsi_task *task)
{
	const struct cdb_row *row = cdb_table[task->cdb[0]];

	if (row && row->actions)
		task_fail_cdb(task, task->cdb[0] == CDB_VARIABLE_LENGTH ? 8 : 1,
			      task->cdb[0] == CDB_VARIABLE_LENGTH ? 7 : 4);
	else
		task_fail(task, SENSE_INVALID_OPCODE);
}

static void submit_without_lu(struct scsi_task *task)
{
	if (!task->row || !(task->row->flags & ROW_NO_LU))
		task_fail(task, SENSE_NO_LU);
	else if (reserved_bits_clear(task))
		task->row->start(task);
}

void scsi_submit(struct scsi_task *task)
{
	struct nexus *nexus = task->nexus;
	int number = lun_number(task->lun);
	const struct cdb_row *row = cdb_find(task->cdb);
	struct lu *lu = number < 0 ? NULL : nexus->target->lun[number];
	enum sense_code code;

	task_reset(task);
	task->lu = lu;
	task->row = row;
	if (__builtin_expect(!lu, 0)) {
		submit_without_lu(task);
		return;
	}
	stat_add(&task_stats(task)->commands, 1);
	if (__builtin_expect(atomic_load_explicit(&nexus->unit_attentions[number],
						  memory_order_relaxed) != 0,
			     0) &&
	    !(row && row->flags & ROW_NO_UA) && unit_attention_take(nexus, number, &code)) {
		task_fail(task, code);
		return;
	}
	if (__builtin_expect(!row || !row_exists(row, lu), 0)) {
		no_such_command(task);
		return;
	}
	if (!reserved_bits_clear(task))
		return;
	if (__builtin_expect(reservation_conflict(nexus, number, row->rule), 0)) {
		stat_add(&task_stats(task)->conflicts, 1);
		task->status = SAM_RESERVATION_CONFLICT;
		task_end(task);
		return;
	}
	if (unit_ready(task))
		row->start(task);
}
