// SPDX-License-Identifier: BSD-2-Clause
/*
 * SCSI commands: from the PDU to the SCSI layer and back (RFC 7143 11.3, 11.4).
 *
 *   command_received -> [unsolicited data] -> [its turn in CmdSN order] -> scsi_submit
 *        SCSI layer: get_data / put_data any number of times, then done or put_data(last)
 *   -> response sent -> command_free
 */
#include <string.h>

#include "session/abort_tasks.h"
#include "session/flow.h"
#include "session/recovery.h"

static struct command **itt_slot(const struct session *s, uint32_t itt)
{
	uint32_t hash = (itt ^ itt >> 16) * 0x9e3779b1u;

	return (struct command **)&s->by_itt[hash >> 26];
}
static_assert(ITT_BUCKETS == 64, "hash >> 26");

struct command *command_find(const struct session *s, uint32_t itt)
{
	struct command *c = *itt_slot(s, itt);

	while (c && c->itt != itt)
		c = c->itt_next;
	return c;
}

void command_link(struct command *c)
{
	struct command **slot = itt_slot(c->session, c->itt);

	c->itt_next = *slot;
	*slot = c;
	list_add_tail(&c->session->commands, &c->node);
	c->session->command_count++;
}

void command_free_tag(struct command *c)
{
	struct command **slot = itt_slot(c->session, c->itt);

	while (*slot && *slot != c)
		slot = &(*slot)->itt_next;
	if (*slot)
		*slot = c->itt_next;
}

void command_free(struct command *c)
{
	struct session *s = c->session;

	command_count(c);
	stat_add(&s->stats.ended, 1);
	command_free_tag(c);
	session_forget_slot(c);
	list_del(&c->node);
	s->command_count--;
	if (c->kept)
		recovery_end(c);
	if (c->flow)
		flow_over(c);
	if (c->immediate)
		s->immediate--;
	if (c->task.first_buf)
		buf_put(s->rs->reactor, c->task.first_buf);
	abort_wait_finished(s->rs, c);
	pool_put(&s->rs->commands, c);
	if (s->watched)
		session_watched(s);
	reactor_drain_check(s->rs);
}

bool command_can_send(const struct command *c)
{
	const struct iconn *ic = c->ic;

	return ic && iconn_up(ic) && !c->task.aborted;
}

/* Residual count and the O or U flag (RFC 7143 11.4.5). */
static uint8_t residual(const struct scsi_task *task, uint32_t *count)
{
	uint64_t expected = task->reads || task->writes ? task->edtl : 0;
	uint64_t diff;

	if (task->transfer_len == expected) {
		*count = 0;
		return 0;
	}
	diff = task->transfer_len > expected ? task->transfer_len - expected
					     : expected - task->transfer_len;
	*count = diff > UINT32_MAX ? UINT32_MAX : (uint32_t)diff;
	return task->transfer_len > expected ? RSP_OVERFLOW : RSP_UNDERFLOW;
}

static void response_sent(struct tx_pdu *tx)
{
	struct command *c = container_of(tx, struct command, response);

	if (c->kept)
		recovery_response_back(c);
	else
		command_free(c);
}

void command_answered(struct command *c)
{
	c->answered = true;
	command_free_tag(c);
	session_leave_window(c);
}

void command_send_response(struct command *c, uint32_t statsn, uint32_t snack_tag)
{
	struct scsi_task *task = &c->task;
	struct bhs_scsi_response *h = &c->response.h.scsi_response;
	uint32_t count;

	memset(&c->response, 0, sizeof(c->response));
	c->response.remote = c->xfer.remote;
	h->opcode = OP_SCSI_RESPONSE;
	h->flags = PDU_FINAL | residual(task, &count);
	h->response = RSP_COMPLETED;
	h->status = task->status;
	h->itt = be32_of(c->itt);
	h->snack_tag = be32_of(snack_tag);
	h->statsn = be32_of(statsn);
	fill_window(c->session, &h->expcmdsn, &h->maxcmdsn);
	h->expdatasn = be32_of(c->xfer.sn);
	h->residual = be32_of(count);
	if (__builtin_expect(task->sense_len, 0)) {
		count_sense(c->session->rs, task);
		c->response_data[0] = 0;
		c->response_data[1] = task->sense_len;
		memcpy(c->response_data + 2, task->sense, task->sense_len);
		c->response.data = c->response_data;
		c->response.data_len = 2u + task->sense_len;
	}
	c->response.sent = response_sent;
	c->moves_since = reactor_now(task->reactor);
	conn_send_pdu(c->ic->conn, &c->response);
}

/* The task has a status: SCSI Response. */
static void respond(struct command *c)
{
	command_answered(c);
	if (c->kept)
		recovery_answer_again(c);
	else
		command_send_response(c, c->ic->statsn++, 0);
}

/* It was aborted, and its initiator is told. */
static void respond_aborted(struct command *c)
{
	c->task.status = SAM_TASK_ABORTED;
	c->task.sense_len = 0;
	if (c->kept && c->kept->refused) /* SNACK REJECTED */
		task_sense(&c->task, KEY_ABORTED_COMMAND, 0x11, 0x13);
	c->task.transfer_len = c->task.edtl;
	respond(c);
	abort_wait_finished(c->session->rs, c);
}

void command_finish(struct command *c)
{
	const struct iconn *ic = c->ic;

	if (c->kept && !recovery_may_finish(c))
		return;
	if (command_can_send(c))
		respond(c);
	else if (c->reports && ic && iconn_up(ic))
		respond_aborted(c);
	else
		command_free(c);
}

static void port_done(struct scsi_task *task)
{
	struct command *c = container_of(task, struct command, task);

	assert(!c->moving || c->kept);
	c->submitted = false;
	command_finish(c);
}

void command_io_work(struct work *work)
{
	struct command *c = container_of(work, struct command, io_work);
	bool last = c->answered;

	if (c->kept) {
		recovery_io_work(c);
		return;
	}
	c->task.io_done(&c->task, command_can_send(c) && !c->no_memory);
	if (last)
		command_free(c);
}

void command_get(struct command *c, void *data, uint32_t offset, uint32_t len)
{
	struct transfer *t = &c->xfer;

	memset(&t->h, 0, sizeof(t->h));
	memcpy(t->h.r2t.lun, c->task.lun, sizeof(c->task.lun));
	t->h.r2t.opcode = OP_R2T;
	t->h.r2t.flags = PDU_FINAL;
	t->h.r2t.itt = be32_of(c->itt);
	t->h.r2t.statsn = be32_of(c->ic->statsn);
	fill_window(c->session, &t->h.r2t.expcmdsn, &t->h.r2t.maxcmdsn);
	t->data = data;
	t->offset = offset;
	t->len = len;
	t->unsolicited = t->with_status = t->final = false;
	c->moving = true;
	c->data_since = c->moves_since = reactor_now(c->task.reactor);
	conn_get_data(c->ic->conn, t);
}

static void port_get_data(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct command *c = container_of(task, struct command, task);
	uint32_t here = 0;

	if (offset < task->first_len) {
		here = task->first_len - offset < len ? task->first_len - offset : len;
		if (data != c->first_data + offset) {
			memcpy(data, c->first_data + offset, here);
			stat_add(&task->reactor->stats.bytes_copied, here);
			if (c->ic)
				stat_add(&c->ic->conn->bytes_copied, here);
		}
	}
	if (here == len || (!c->kept && !command_can_send(c))) {
		reactor_defer(task->reactor, &c->io_work);
		return;
	}
	stat_add(&c->session->stats.write_bytes, len - here);
	if (c->kept)
		recovery_get(c, (uint8_t *)data + here, offset + here, len - here);
	else
		command_get(c, (uint8_t *)data + here, offset + here, len - here);
}

void command_put(struct command *c, const void *data, uint32_t offset, uint32_t len)
{
	struct transfer *t = &c->xfer;
	struct bhs_data_in *h = &t->h.data_in;

	assert(len > 0 && (uint64_t)offset + len <= c->task.edtl);
	memset(&t->h, 0, sizeof(t->h));
	h->opcode = OP_DATA_IN;
	memcpy(h->lun, c->task.lun, sizeof(c->task.lun));
	h->itt = be32_of(c->itt);
	h->ttt = be32_of(TAG_NONE);
	t->data = (void *)data;
	t->offset = offset;
	t->len = len;
	t->unsolicited = t->with_status = t->final = false;
}

void command_put_status(struct command *c, uint32_t statsn)
{
	struct bhs_data_in *h = &c->xfer.h.data_in;
	uint32_t count;

	h->flags = DATA_IN_STATUS | residual(&c->task, &count);
	h->status = c->task.status;
	h->statsn = be32_of(statsn);
	h->residual = be32_of(count);
	c->xfer.with_status = c->xfer.final = true;
}

void command_put_start(struct command *c)
{
	struct bhs_data_in *h = &c->xfer.h.data_in;

	fill_window(c->session, &h->expcmdsn, &h->maxcmdsn);
	c->moving = true;
	c->moves_since = reactor_now(c->task.reactor);
	conn_put_data(c->ic->conn, &c->xfer);
}

static void port_put_data(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
			  bool last)
{
	struct command *c = container_of(task, struct command, task);

	if (c->kept) {
		recovery_put(c, (void *)data, offset, len, last);
		return;
	}
	c->answered = last;
	if (!command_can_send(c)) {
		reactor_defer(task->reactor, &c->io_work);
		return;
	}
	command_put(c, data, offset, len);
	if (last) {
		command_answered(c);
		command_put_status(c, c->ic->statsn++);
	}
	stat_add(&c->session->stats.read_bytes, len);
	command_put_start(c);
}

const struct task_port_ops command_port_ops = {
	.get_data = port_get_data,
	.put_data = port_put_data,
	.done = port_done,
	.abort_tasks = port_abort_tasks,
	.abort_others = port_abort_others,
};

void command_transfer_sense(struct command *c, enum transfer_result result)
{
	switch (result) {
	case TRANSFER_DIGEST: /* PROTOCOL SERVICE CRC ERROR */
		stat_add(&c->session->rs->counters.digest_errors, 1);
		task_sense(&c->task, KEY_ABORTED_COMMAND, 0x47, 0x05);
		break;
	case TRANSFER_UNEXPECTED: /* UNEXPECTED UNSOLICITED DATA */
		task_sense(&c->task, KEY_ABORTED_COMMAND, 0x0c, 0x0c);
		break;
	case TRANSFER_SHORT: /* NOT ENOUGH UNSOLICITED DATA */
		task_sense(&c->task, KEY_ABORTED_COMMAND, 0x0c, 0x0d);
		break;
	case TRANSFER_NO_MEMORY: /* INSUFFICIENT RESOURCES */
		task_sense(&c->task, KEY_ABORTED_COMMAND, 0x55, 0x03);
		break;
	case TRANSFER_OK:
	case TRANSFER_CANCELED: break;
	}
	c->task.transfer_len = c->task.edtl;
}

static void unsolicited_done(struct command *c, struct transfer *t)
{
	c->receiving = false;
	/* At higher levels a task outlives its connection; R2Ts ask for what is missing. */
	if (c->task.aborted || (t->result == TRANSFER_CANCELED && !c->kept)) {
		c->task.aborted = true;
		if (c->held)
			session_unhold(c->session, c);
		command_finish(c);
		return;
	}
	c->task.first_len += t->received;
	stat_add(&c->session->stats.write_bytes, t->received);
	if (t->result == TRANSFER_OK && t->received < t->len)
		t->result = TRANSFER_SHORT;
	if (t->result != TRANSFER_OK && t->result != TRANSFER_CANCELED && !c->early_status) {
		command_transfer_sense(c, t->result);
		c->early_status = SAM_CHECK_CONDITION;
	}
	command_start(c);
}

void command_transfer_done(struct transfer *t)
{
	struct command *c = container_of(t, struct command, xfer);
	bool last = c->answered;
	bool ok = t->result == TRANSFER_OK;

	c->moving = false;
	if (!last)
		c->moved_ns += reactor_now(c->task.reactor) - c->moves_since;
	if (c->data_since)
		c->ic->last_data = reactor_now(c->task.reactor);
	c->data_since = 0;
	if (t->unsolicited) {
		unsolicited_done(c, t);
		return;
	}
	if (c->kept) {
		recovery_transfer_done(c, t);
		return;
	}
	if (last) {
		c->task.io_done(&c->task, true);
		command_free(c);
		return;
	}
	if (!ok)
		command_transfer_sense(c, t->result);
	c->task.io_done(&c->task, ok);
}

/* Its turn has come, or its unsolicited data, or both. */
void command_start(struct command *c)
{
	if (!c->held && !c->receiving && flow_admit(c))
		command_submit(c);
}

void command_submit(struct command *c)
{
	c->submitted = true;
	c->task.status = c->early_status;
	if (c->early_status)
		scsi_refuse(&c->task);
	else
		scsi_submit(&c->task);
}

static void abort_task(struct command *c, bool report)
{
	c->aborted_at = ++c->session->rs->aborts;
	c->reports = report;
	c->past_medium = c->moving && !c->data_since;
	stat_add(&c->session->stats.aborts, 1);
	if (c->receiving) {
		c->task.aborted = true;
		conn_cancel_data(c->ic->conn, &c->xfer);
		return;
	}
	if (!c->submitted) {
		c->task.aborted = true;
		if (c->held)
			session_unhold(c->session, c);
		command_finish(c);
		return;
	}
	if (c->moving && c->data_since && c->ic)
		conn_cancel_data(c->ic->conn, &c->xfer);
	if (c->job)
		abort_job_give_up(c);
	if (c->kept)
		recovery_aborted(c);
	scsi_abort(&c->task);
}

void command_abort(struct command *c, bool report)
{
	if (c->answered && c->kept && !c->ic)
		recovery_drop(c);
	else if (!c->answered && !c->task.aborted)
		abort_task(c, report);
}

void command_abandon(struct command *c)
{
	if (c->reports)
		return; /* its initiator waits for the answer, and not for ours */
	command_free_tag(c);
	session_leave_window(c);
}
