// SPDX-License-Identifier: BSD-2-Clause
/* Whether the unit, and the path to it, are in a state for a command. */
#include "limiter.h"

/* One row per condition: which commands it refuses, and with what. The first that fits answers. */
static const struct {
	enum lu_condition condition;
	/* enum row_flags: commands with one of these (0: all), unless with one of those */
	uint8_t refuses, but;
	enum sense_code sense;
} conditions[] = {
	{ LU_SANITIZING, 0, ROW_DURING_JOB, SENSE_SANITIZING },
	{ LU_FORMATTING, 0, ROW_DURING_JOB, SENSE_FORMATTING },
	{ LU_SANITIZE_FAILED, 0, ROW_DURING_JOB | ROW_REPAIRS, SENSE_SANITIZE_FAILED },
	{ LU_NO_MEDIUM, ROW_MEDIUM, 0, SENSE_NO_MEDIUM },
	{ LU_STOPPED, ROW_MEDIUM, 0, SENSE_NEEDS_START },
	{ LU_FORMAT_FAILED, ROW_MEDIUM, ROW_REPAIRS, SENSE_FORMAT_CORRUPTED },
	{ LU_HANGS, ROW_MEDIUM, 0, SENSE_NOT_READY },
	{ LU_READ_ONLY, ROW_WRITES, 0, SENSE_WRITE_PROTECTED },
	{ LU_SOFT_PROTECTED, ROW_WRITES, 0, SENSE_SOFT_PROTECTED },
};

/* The same for the access state of the target port, SPC 5.16.2: which commands it lets through. */
static const struct {
	enum access_state state;
	uint8_t but;
	enum sense_code sense;
} paths[] = {
	{ ACCESS_STANDBY, ROW_STANDBY | ROW_UNAVAILABLE, SENSE_STANDBY },
	{ ACCESS_UNAVAILABLE, ROW_UNAVAILABLE, SENSE_UNAVAILABLE },
	{ ACCESS_OFFLINE, ROW_UNAVAILABLE, SENSE_OFFLINE },
	{ ACCESS_TRANSITIONING, ROW_UNAVAILABLE, SENSE_TRANSITION },
};

enum sense_code unit_refusal(const struct nexus *nexus, int lun, const struct lu *lu, uint8_t flags)
{
	uint32_t set = atomic_load_explicit(&lu->condition, memory_order_relaxed);
	uint8_t access = atomic_load_explicit(&nexus->port->access, memory_order_relaxed);

	if (__builtin_expect(!(set | access), 1))
		return SENSE_NONE;
	if (set & LU_GUARDED && nexus_only_reads(nexus, (unsigned int)lun))
		set |= LU_READ_ONLY;
	for (size_t i = 0; i < array_size(paths); i++) {
		if (access == paths[i].state && !(flags & paths[i].but))
			return paths[i].sense;
	}
	for (size_t i = 0; i < array_size(conditions); i++) {
		if (set & conditions[i].condition &&
		    (!conditions[i].refuses || flags & conditions[i].refuses) &&
		    !(flags & conditions[i].but))
			return conditions[i].sense;
	}
	return SENSE_NONE;
}

static bool refused(struct scsi_task *task)
{
	enum sense_code code = unit_refusal(task->nexus, task->lun[1], task->lu, task->row->flags);

	if (code == SENSE_NONE)
		return false;
	if (code == SENSE_SANITIZING || code == SENSE_FORMATTING)
		task_fail_job(task);
	else
		task_fail(task, code);
	return true;
}

bool unit_still_ready(struct scsi_task *task)
{
	if (refused(task))
		return false;
	return !lu_is(task->lu, LU_WATCHES_SPACE) || !(task->row->flags & ROW_MEDIUM) ||
	       task->lent_data || !thresholds_due(task);
}

static __attribute__((noinline)) bool unit_ready_slowly(struct scsi_task *task)
{
	if (refused(task))
		return false;
	if (lu_is(task->lu, LU_LIMITED | LU_GUARDED) && !limits_pass(task))
		return false;
	return unit_still_ready(task);
}

bool unit_ready(struct scsi_task *task)
{
	const struct target_port *port = task->nexus->port;
	uint32_t set = atomic_load_explicit(&task->lu->condition, memory_order_relaxed);

	if (__builtin_expect(!(set | atomic_load_explicit(&port->access, memory_order_relaxed)), 1))
		return true;
	return unit_ready_slowly(task);
}

void lu_set(struct lu *lu, enum lu_condition condition)
{
	atomic_fetch_or(&lu->condition, condition);
}

void lu_clear(struct lu *lu, enum lu_condition condition)
{
	atomic_fetch_and(&lu->condition, ~(uint32_t)condition);
}
