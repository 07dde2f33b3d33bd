// SPDX-License-Identifier: BSD-2-Clause
/*
 * RESERVE (6) and RELEASE (6), SPC-2 5.5.1: one nexus has the logical unit for itself until it
 * releases it, is lost, or the unit is reset.
 */
#include "rows.h"

/* What a nexus meets that does not hold the reservation. */
enum { DENIED = 1 << RSV_READ | 1 << RSV_WRITE | 1 << RSV_LEGACY };

static void deny(struct nexus *nexus, int lun, void *arg)
{
	uint64_t holder = atomic_load(&((struct lu *)arg)->reserved_by);

	atomic_store(&nexus->denied[lun], holder && holder != nexus->id ? DENIED : 0);
}

void reservation_changed(struct lu *lu)
{
	lu_each_nexus(lu, deny, lu);
}

/* Others met the conflict before; two at once are told apart here. */
static void reserve6_start(struct scsi_task *task)
{
	uint64_t holder = 0, id = task->nexus->id;

	if (!atomic_compare_exchange_strong(&task->lu->reserved_by, &holder, id) && holder != id)
		task->status = SAM_RESERVATION_CONFLICT;
	else
		reservation_changed(task->lu);
	task_end(task);
}

/* GOOD without effect for a nexus that does not hold it. */
static void release6_start(struct scsi_task *task)
{
	uint64_t holder = task->nexus->id;

	if (atomic_compare_exchange_strong(&task->lu->reserved_by, &holder, 0))
		reservation_changed(task->lu);
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
