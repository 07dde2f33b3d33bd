// SPDX-License-Identifier: BSD-2-Clause
/*
 * The engine under every command: a task runs until it waits for one thing (a transfer, the
 * backstore, memory, the gate), and goes on at task->step when that is back. At most one thing is
 * outstanding, so that scsi_abort() knows what to take back. Always on the task's owner thread.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "limiter.h"
#include "task_set.h"
#include "turn.h"

/* Back from a wait. */
static void task_go_on(struct scsi_task *task)
{
	task->waits = WAITS_NOTHING;
	if (__builtin_expect(task->aborted, 0))
		task_end(task);
	else
		task->step(task);
}

/* --- Ending */

static void task_free(struct scsi_task *task)
{
	if (task->buf)
		buf_put(task->reactor, task->buf);
	task->buf = NULL;
	if (task->context && task->row->cleanup)
		task->row->cleanup(task);
	free(task->context);
	task->context = NULL;
}

void task_end(struct scsi_task *task)
{
	if (task->exclusive)
		gate_unlock(task);
	task_free(task);
	task->waits = WAITS_ENDED;
	task_set_leave(task);
	task->port->done(task);
}

/* Ends with the sense that is set. */
static void task_end_checked(struct scsi_task *task)
{
	if (task->lu)
		stat_add(&task_stats(task)->check_conditions, 1);
	task_end(task);
}

void task_fail(struct scsi_task *task, enum sense_code code)
{
	task_sense_code(task, code);
	task_end_checked(task);
}

void task_fail_cdb(struct scsi_task *task, unsigned int byte, unsigned int bit)
{
	task_sense_cdb(task, byte, bit);
	task_end_checked(task);
}

void task_fail_list(struct scsi_task *task, unsigned int byte, unsigned int bit)
{
	task_sense_list(task, byte, bit);
	task_end_checked(task);
}

void task_fail_miscompare(struct scsi_task *task, uint64_t offset)
{
	task_sense_code(task, SENSE_MISCOMPARE);
	task_sense_information(task, offset);
	task_end_checked(task);
}

void task_fail_io(struct scsi_task *task)
{
	log_count_error(task);
	if (task->req.res == -EBADE && task->io_lu->protection)
		protect_fail_io(task);
	else
		task_fail(task, sense_of_errno(task->req.res, task->req.opcode));
}

/* --- Moving data */

static void transfer_done(struct scsi_task *task, bool ok)
{
	if (__builtin_expect(!ok, 0)) {
		task->waits = WAITS_NOTHING;
		task_end(task);
		return;
	}
	task_go_on(task);
}

static void sent_last(struct scsi_task *task, bool ok)
{
	(void)ok; /* the port knows, and the task has ended either way */
	if (task->lent)
		gate_lend_end(task);
	task_free(task);
}

void task_send_last(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len)
{
	task->status = SAM_GOOD;
	task->waits = WAITS_ENDED;
	task_set_leave(task);
	task->io_done = sent_last;
	task->port->put_data(task, data, offset, len, true);
}

void task_send(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
	       void (*step)(struct scsi_task *task))
{
	task->waits = WAITS_TRANSFER;
	task->io_done = transfer_done;
	task->step = step;
	task->port->put_data(task, data, offset, len, false);
}

void task_fetch(struct scsi_task *task, uint32_t offset, uint32_t len, uint8_t *to,
		void (*step)(struct scsi_task *task))
{
	if (offset == 0 && to == task->mem && task->first_len >= len) {
		step(task);
		return;
	}
	task->waits = WAITS_TRANSFER;
	task->io_done = transfer_done;
	task->step = step;
	task->port->get_data(task, to, offset, len);
}

static void memory_ready(struct buf_waiter *waiter, struct buf *buf)
{
	struct scsi_task *task = container_of(waiter, struct scsi_task, waiter);

	task->buf = buf;
	task->nexus->hungry--;
	task_go_on(task);
}

void task_take_first(struct scsi_task *task)
{
	task->buf = task->first_buf;
	task->mem = task->buf->data;
	task->first_buf = NULL;
}

bool task_buffer(struct scsi_task *task, uint32_t front, uint32_t len,
		 void (*step)(struct scsi_task *task))
{
	if (task->first_buf && task->first_buf->size >= len && task->first_len <= front) {
		task_take_first(task);
		return true;
	}
	task->buf = buf_get(task->reactor, len);
	if (__builtin_expect(task->buf != NULL, 1))
		return true;
	if (task->first_buf) {
		task->status = SAM_BUSY;
		task_end(task);
		return false;
	}
	task->waits = WAITS_MEMORY;
	task->step = step;
	task->waiter.len = len;
	task->waiter.ready = memory_ready;
	list_init(&task->waiter.node);
	buf_wait(task->reactor, &task->waiter);
	task_set_hungry(task->nexus);
	return false;
}

void task_abort_others(struct scsi_task *task,
		       bool (*victim)(const void *arg, const struct nexus *nexus), const void *arg,
		       bool report, void (*step)(struct scsi_task *task))
{
	task->waits = WAITS_TRANSFER;
	task->io_done = transfer_done;
	task->step = step;
	task->port->abort_tasks(task, victim, arg, report);
}

/* --- Parameter data */

static uint32_t allocation_length(const struct scsi_task *task)
{
	const uint8_t *at = task->cdb + task->row->alloc_at;
	uint32_t len = 0;

	if (!task->row->alloc_len)
		return UINT32_MAX;
	for (unsigned int i = 0; i < task->row->alloc_len; i++)
		len = len << 8 | at[i];
	return len;
}

static void respond(struct scsi_task *task)
{
	uint32_t alloc = allocation_length(task), room = (uint32_t)task_in_room(task), len;
	int n;

	memset(task->buf->data, 0, RESPONSE_SIZE);
	n = task->row->fill(task, task->buf->data);
	if (n < 0) {
		task_end_checked(task);
		return;
	}
	assert(n <= RESPONSE_SIZE);
	len = (uint32_t)n < alloc ? (uint32_t)n : alloc;
	task_want_in(task, len);
	if (len > room)
		len = room;
	if (len)
		task_send_last(task, task->buf->data, 0, len);
	else
		task_good(task);
}

void task_respond(struct scsi_task *task)
{
	if (task_buffer(task, RESPONSE_SIZE, RESPONSE_SIZE, respond))
		respond(task);
}

/* --- The backstore */

static void io_done(struct bs_req *req, int res)
{
	struct scsi_task *task = container_of(req, struct scsi_task, req);

	req->res = res;
	task->io_ns += reactor_now(task->reactor) - task->io_since;
	if (task->counted_write)
		gate_leave(task);
	task_go_on(task);
}

/* What a command must not do any more that was there before a SANITIZE, a FORMAT UNIT or a MODE
 * SELECT that protects the medium: -errno, or 0. */
static int late_refusal(const struct scsi_task *task)
{
	const struct lu *lu = task->io_lu;

	if (lu_is(lu, LU_SANITIZING | LU_FORMATTING) && task->req.opcode != BS_SPACE)
		return lu_is(lu, LU_SANITIZING) ? -EINPROGRESS : -EALREADY;
	return lu_is(lu, LU_SOFT_PROTECTED) && bs_writes(task->req.opcode) ? -EROFS : 0;
}

bool task_io_start(struct scsi_task *task)
{
	bool late = lu_is(task->io_lu, LU_SANITIZING | LU_FORMATTING | LU_SOFT_PROTECTED);
	int err = __builtin_expect(late, 0) ? late_refusal(task) : 0;

	/* Again, inside the gate: the cache may have been switched off since the caller looked. */
	if (task->counted_write && task->req.opcode == BS_WRITE)
		task->req.flags |= write_flags(task->io_lu, false);
	task->waits = WAITS_BACKSTORE;
	if (__builtin_expect(err, 0))
		task->req.res = err;
	else if (!bs_submit(task->io_lu->bs, &task->req)) {
		task->io_since = reactor_now(task->reactor);
		return false;
	}
	task->waits = WAITS_NOTHING;
	if (task->counted_write)
		gate_leave(task);
	return true;
}

bool task_io(struct scsi_task *task, enum bs_opcode opcode, uint64_t offset, uint64_t len,
	     void *data, uint32_t flags, void (*step)(struct scsi_task *task))
{
	return task_io_on(task, task->lu, opcode, offset, len, data, flags, step);
}

bool task_io_on(struct scsi_task *task, struct lu *lu, enum bs_opcode opcode, uint64_t offset,
		uint64_t len, void *data, uint32_t flags, void (*step)(struct scsi_task *task))
{
	struct bs_req *req = &task->req;

	task->io_lu = lu;
	req->opcode = opcode;
	req->flags = flags;
	req->offset = offset;
	req->len = len;
	req->data = data;
	req->reactor = task->reactor;
	req->done = io_done;
	task->step = step;
	if (bs_writes(opcode) && !task->exclusive && !gate_enter(task))
		return false;
	return task_io_start(task);
}

static void yield_over(struct work *work)
{
	task_go_on(container_of(work, struct scsi_task, work));
}

void task_yield(struct scsi_task *task, void (*step)(struct scsi_task *task))
{
	task->waits = WAITS_DEFERRED;
	task->step = step;
	task->work.fn = yield_over;
	reactor_defer(task->reactor, &task->work);
}

/* --- Abort */

void scsi_abort(struct scsi_task *task)
{
	if (task->aborted)
		return;
	task->aborted = true;
	switch ((enum task_waits)task->waits) {
	case WAITS_TASK_SET: task_set_withdraw(task); break;
	case WAITS_MEMORY:
		buf_wait_cancel(task->reactor, &task->waiter);
		task->nexus->hungry--;
		break;
	case WAITS_GATE:
	case WAITS_LOCK:
	case WAITS_DRAIN:
		if (!gate_abandon(task))
			return;
		break;
	case WAITS_TURN:
		if (!turn_abandon(task))
			return;
		break;
	case WAITS_JOB:
		if (!job_abandon(task))
			return;
		break;
	case WAITS_TOKENS:
		if (!limiter_abandon(task))
			return;
		break;
	case WAITS_NOTHING:
	case WAITS_TRANSFER:
	case WAITS_BACKSTORE:
	case WAITS_STORE:
	case WAITS_DEFERRED:
	case WAITS_ENDED: return; /* ends when that is back */
	}
	task->waits = WAITS_NOTHING;
	task_end(task);
}
