// SPDX-License-Identifier: BSD-2-Clause
/*
 * RESERVE (6) and RELEASE (6), SPC-2 5.5.1: one nexus has the logical unit for itself until it
 * releases it, is lost, or the unit is reset.
 */
#include "rows.h"

/* Whether a command of this rule meets a conflict; more types of reservation are more rows. */
static const bool denied[RSV_RULES] = {
	[RSV_NEVER] = false, [RSV_READ] = true, [RSV_WRITE] = true
};

bool reservation_denies(enum reservation_rule rule)
{
	return denied[rule];
}

/* Others met the conflict before; two at once are told apart here. */
static void reserve6_start(struct scsi_task *task)
{
	uint64_t holder = 0, id = task->nexus->id;

	if (!atomic_compare_exchange_strong(&task->lu->reserved_by, &holder, id) && holder != id)
		task->status = SAM_RESERVATION_CONFLICT;
	task_end(task);
}

/* GOOD without effect for a nexus that does not hold it. */
static void release6_start(struct scsi_task *task)
{
	uint64_t holder = task->nexus->id;

	atomic_compare_exchange_strong(&task->lu->reserved_by, &holder, 0);
	task_end(task);
}

const struct cdb_row reserve6_row = { .name = "RESERVE (6)",
				      USAGE6(CDB_RESERVE_6, 0, 0, 0, 0, CONTROL),
				      .start = reserve6_start,
				      .rule = RSV_WRITE,
				      QUICK };

const struct cdb_row release6_row = { .name = "RELEASE (6)",
				      USAGE6(CDB_RELEASE_6, 0, 0, 0, 0, CONTROL),
				      .start = release6_start,
				      .rule = RSV_NEVER,
				      QUICK };
