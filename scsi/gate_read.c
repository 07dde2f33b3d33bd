// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads that see all or nothing of what an exclusive command writes: the reader's half of the
 * sequence number of gate.c. A read that ran while an exclusive command changed the medium is done
 * again, and after a few times inside the gate, where no exclusive command runs. How much one read
 * sees at once is one backstore request.
 */
#include "scsi.h"

enum { FREE_TRIES = 3 }; /* reads outside the gate */

/* The request is still there as task_io() has filled it in. */
static bool read_in_gate(struct scsi_task *task)
{
	return gate_enter(task) && task_io_start(task);
}

static void read_back(struct scsi_task *task);

/* True: it is over. False: read_back() follows. */
static bool read_again(struct scsi_task *task)
{
	struct bs_req *req = &task->req;

	do {
		if (req->res < 0 || task->read_tries > FREE_TRIES ||
		    !gate_changed(task->io_lu, task->read_sequence))
			return true;
		task->read_sequence =
			atomic_load_explicit(&task->io_lu->sequence, memory_order_acquire);
		task->step = read_back;
		if (++task->read_tries > FREE_TRIES)
			return read_in_gate(task);
	} while (task_io_start(task));
	return false;
}

static void read_back(struct scsi_task *task)
{
	if (read_again(task))
		task->read_step(task);
}

bool task_read_on(struct scsi_task *task, struct lu *lu, uint64_t offset, uint64_t len, void *data,
		  uint32_t flags, void (*step)(struct scsi_task *task))
{
	task->read_step = step;
	task->read_tries = 1;
	task->read_sequence = atomic_load_explicit(&lu->sequence, memory_order_acquire);
	return task_io_on(task, lu, BS_READ, offset, len, data, flags, read_back) &&
	       read_again(task);
}

bool task_read(struct scsi_task *task, uint64_t offset, uint64_t len, void *data, uint32_t flags,
	       void (*step)(struct scsi_task *task))
{
	return task_read_on(task, task->lu, offset, len, data, flags, step);
}
