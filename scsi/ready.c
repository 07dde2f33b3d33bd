// SPDX-License-Identifier: BSD-2-Clause
/* Whether the unit, and the path to it, are in a state for a command. */
#include "scsi.h"

/* One row per condition: which commands it refuses, and with what. The first that fits answers. */
static const struct {
	enum lu_condition condition;
	uint8_t refuses,
		but; /* enum row_flags: commands with one of these, unless with one of those */
	enum sense_code sense;
} conditions[] = {
	{ LU_NO_MEDIUM, ROW_MEDIUM, 0, SENSE_NO_MEDIUM },
	{ LU_STOPPED, ROW_MEDIUM, 0, SENSE_NEEDS_START },
	{ LU_READ_ONLY, ROW_WRITES, 0, SENSE_WRITE_PROTECTED },
	{ LU_SOFT_PROTECTED, ROW_WRITES, 0, SENSE_SOFT_PROTECTED },
};

bool unit_ready(struct scsi_task *task)
{
	uint32_t set = atomic_load_explicit(&task->lu->condition, memory_order_relaxed);

	if (__builtin_expect(!set, 1))
		return true;
	for (size_t i = 0; i < array_size(conditions); i++) {
		if (set & conditions[i].condition && task->row->flags & conditions[i].refuses &&
		    !(task->row->flags & conditions[i].but)) {
			task_fail(task, conditions[i].sense);
			return false;
		}
	}
	return true;
}

void lu_set(struct lu *lu, enum lu_condition condition)
{
	atomic_fetch_or(&lu->condition, condition);
}

void lu_clear(struct lu *lu, enum lu_condition condition)
{
	atomic_fetch_and(&lu->condition, ~(uint32_t)condition);
}
