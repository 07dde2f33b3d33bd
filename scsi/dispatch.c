// SPDX-License-Identifier: BSD-2-Clause
/*
 * From a CDB to its handler: LUN, task set, unit attention, operation code, reserved bits,
 * reservation, state of the unit; in this order (SAM 5.3.3, 5.14, SPC 5.13). What is behind the task
 * set is looked at when the command is enabled. The path of a READ takes no lock.
 */
#include <assert.h>
#include <string.h>

#include "limiter.h"
#include "task_set.h"

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
	task->copies = false;
	task->lent = false;
	task->set_state = SET_NONE;
	task->waits = WAITS_NOTHING;
	task->kind = LATENCY_OTHER;
	task->work.queued = false;
	task->io_ns = 0;
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

/* An operation code none of whose service actions is on the unit is not there either. */
static bool has_an_action(const struct cdb_row *row, const struct lu *lu)
{
	for (const struct cdb_row *const *action = row->actions; action && *action; action++) {
		if (row_exists(*action, lu))
			return true;
	}
	return false;
}

static void no_such_command(struct scsi_task *task)
{
	const struct cdb_row *row = cdb_table[task->cdb[0]];

	if (row && has_an_action(row, task->lu))
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

/* Apart from task_enabled(), which has no variable in memory so. True: ended. */
static __attribute__((noinline)) bool report_attention(struct scsi_task *task)
{
	enum sense_code code;

	if ((task->row && task->row->flags & ROW_NO_UA) ||
	    !unit_attention_take(task->nexus, task->lun[1], &code))
		return false;
	task_fail(task, code);
	return true;
}

static void report_conflict(struct scsi_task *task)
{
	stat_add(&task_stats(task)->conflicts, 1);
	task->status = SAM_RESERVATION_CONFLICT;
	task_end(task);
}

void task_paid(struct scsi_task *task)
{
	if (reservation_conflict(task->nexus, task->lun[1], task->row->rule))
		report_conflict(task);
	else if (unit_still_ready(task))
		task->row->start(task);
}

void task_enabled(struct scsi_task *task)
{
	struct nexus *nexus = task->nexus;
	const struct cdb_row *row = task->row;
	int number = task->lun[1]; /* lun_number() of a unit that exists */

	if (__builtin_expect(atomic_load_explicit(&nexus->unit_attentions[number],
						  memory_order_relaxed) != 0,
			     0) &&
	    report_attention(task))
		return;
	if (__builtin_expect(!row || !row_exists(row, task->lu), 0)) {
		no_such_command(task);
		return;
	}
	if (!reserved_bits_clear(task))
		return;
	if (__builtin_expect(reservation_conflict(nexus, number, row->rule), 0)) {
		report_conflict(task);
		return;
	}
	if (unit_ready(task))
		row->start(task);
}

void scsi_submit(struct scsi_task *task)
{
	int number = lun_number(task->lun);
	struct lu *lu = number < 0 ? NULL : nexus_found(task->nexus, number);
	struct lu_reactor *own;

	task_reset(task);
	task->lu = lu;
	task->row = cdb_find(task->cdb);
	if (__builtin_expect(!lu, 0)) {
		submit_without_lu(task);
		return;
	}
	own = &lu->per_reactor[task->reactor->index];
	stat_add(&own->stats.commands, 1);
	task->latency = atomic_load_explicit(&own->latency, memory_order_relaxed);
	if (__builtin_expect(!task->latency, 0))
		task->latency = lu_latency_create(own);
	if (__builtin_expect(task_set_enter(task), 1))
		task_enabled(task);
}

void scsi_refuse(struct scsi_task *task)
{
	uint64_t transfer_len = task->transfer_len;
	uint8_t status = task->status, sense_len = task->sense_len;

	task_reset(task);
	task->status = status;
	task->sense_len = sense_len;
	task->transfer_len = transfer_len;
	task->lu = nexus_lu(task->nexus, task->lun);
	if (task->lu)
		task_set_pass(task);
	task_end(task);
}
