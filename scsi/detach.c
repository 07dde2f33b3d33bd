// SPDX-License-Identifier: BSD-2-Clause
/*
 * Tasks that hang in a disk when nobody waits for them any more. Their initiator is told that they are over
 * (scsi_give_up()), or they belong to nobody at all (scsi_detach()): then their unit counts them until the
 * disk gives them back, and stays as long, though no LUN may show it any more. Their memory is theirs until
 * then, since the disk may write to it.
 *
 * What hangs keeps buffers that others would need. A unit that has DETACHED_MAX of such tasks refuses what
 * touches its medium (LU_HANGS), so that one dead disk and an initiator that comes again and again do not
 * take all of them. So does one with a single write among them: it should have gone, but came back, and that
 * write could land on what is written now.
 */
#include "task_set.h"

enum { DETACHED_MAX = 64 };

bool scsi_give_up(struct scsi_task *task)
{
	/* Not all that writes has Data-Out: WRITE SAME with NDOB, SANITIZE. */
	if (task->writes || (task->row && task->row->flags & ROW_WRITES))
		return false;
	task_set_leave_slowly(task);
	return true;
}

static bool may_change(const struct lu *lu, const struct scsi_task *task)
{
	return lu == task->io_lu && bs_writes(task->req.opcode);
}

static void add(struct lu *lu, const struct scsi_task *task)
{
	uint32_t before;

	pthread_mutex_lock(&lu->lock);
	before = atomic_fetch_add(&lu->detached, 1);
	if (!before)
		atomic_store(&lu->detached_since, task->io_since);
	lu->detached_writes += may_change(lu, task);
	if (before + 1 >= DETACHED_MAX || lu->detached_writes)
		lu_set(lu, LU_HANGS);
	pthread_mutex_unlock(&lu->lock);
}

static void sub(struct lu *lu, const struct scsi_task *task)
{
	pthread_mutex_lock(&lu->lock);
	lu->detached_writes -= may_change(lu, task);
	if (!lu->detached_writes && atomic_load(&lu->detached) <= DETACHED_MAX)
		lu_clear(lu, LU_HANGS);
	pthread_mutex_unlock(&lu->lock);
	/* The last: when it is 0 the unit may go. */
	atomic_fetch_sub(&lu->detached, 1);
}

/* The third unit of a copy that its disks do themselves; NULL: there is none. */
static struct lu *source_of(const struct scsi_task *task)
{
	if (task->req.opcode != BS_COPY || task->from == task->lu || task->from == task->io_lu)
		return NULL;
	return task->from;
}

bool scsi_on_leaving(const struct scsi_task *task)
{
	return task->waits == WAITS_BACKSTORE && lu_is_leaving(task->io_lu);
}

/* An aborted task does nothing more than the request that it waits for. */
bool scsi_detach(struct scsi_task *task, bool writing)
{
	if (!task->aborted || task->waits != WAITS_BACKSTORE ||
	    (!writing && bs_writes(task->req.opcode)))
		return false;
	task_set_leave_slowly(task);
	if (task->lu)
		add(task->lu, task);
	if (task->io_lu != task->lu)
		add(task->io_lu, task);
	if (source_of(task))
		add(source_of(task), task);
	return true;
}

void scsi_detached_back(struct scsi_task *task)
{
	if (source_of(task))
		sub(source_of(task), task);
	if (task->io_lu != task->lu)
		sub(task->io_lu, task);
	if (task->lu)
		sub(task->lu, task);
}

uint32_t lu_detached(const struct lu *lu, uint64_t *since)
{
	*since = atomic_load(&lu->detached_since);
	return atomic_load(&lu->detached);
}

void lu_hold(struct lu *lu)
{
	atomic_fetch_add(&lu->operators, 1);
}

void lu_release(struct lu *lu)
{
	atomic_fetch_sub(&lu->operators, 1);
}
