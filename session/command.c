// SPDX-License-Identifier: BSD-2-Clause
/*
 * SCSI commands: from the PDU to the SCSI layer and back (RFC 7143 11.3, 11.4).
 *
 *   command_received -> [unsolicited data] -> [its turn in CmdSN order] -> scsi_submit
 *        SCSI layer: get_data / put_data any number of times, then done or put_data(last)
 *   -> response sent -> command_free
 */
#include <string.h>

#include "core/log.h"
#include "session/internal.h"

static const struct task_port_ops port_ops;

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

static void command_link(struct command *c)
{
	struct command **slot = itt_slot(c->session, c->itt);

	c->itt_next = *slot;
	*slot = c;
	list_add_tail(&c->session->commands, &c->node);
	c->session->command_count++;
}

/* The tag is the initiator's again as soon as it can have our answer, which is before we learn that
 * the answer was sent. Safe on a command whose tag is free already. */
static void free_tag(struct command *c)
{
	struct command **slot = itt_slot(c->session, c->itt);

	while (*slot && *slot != c)
		slot = &(*slot)->itt_next;
	if (*slot)
		*slot = c->itt_next;
}

static void command_free(struct command *c)
{
	struct session *s = c->session;

	free_tag(c);
	session_forget_slot(c);
	list_del(&c->node);
	s->command_count--;
	if (c->immediate)
		s->immediate--;
	if (c->task.first_buf)
		buf_put(s->rs->reactor, c->task.first_buf);
	abort_wait_finished(s->rs, c);
	pool_put(&s->rs->commands, c);
	if (s->dying)
		session_check_dead(s);
	reactor_drain_check(s->rs);
}

static bool can_send(const struct command *c)
{
	const struct iconn *ic = c->ic;

	return ic && ic->state == CONN_LOGGED_IN && !c->task.aborted;
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
	command_free(container_of(tx, struct command, response));
}

/* The task has a status: SCSI Response. */
static void respond(struct command *c)
{
	struct scsi_task *task = &c->task;
	struct bhs_scsi_response *h = &c->response.h.scsi_response;
	struct iconn *ic = c->ic;
	uint32_t count;

	c->answered = true;
	free_tag(c);
	session_leave_window(c);
	memset(&c->response, 0, sizeof(c->response));
	c->response.remote = c->xfer.remote;
	h->opcode = OP_SCSI_RESPONSE;
	h->flags = PDU_FINAL | residual(task, &count);
	h->response = RSP_COMPLETED;
	h->status = task->status;
	h->itt = be32_of(c->itt);
	h->statsn = be32_of(ic->statsn++);
	fill_window(c->session, &h->expcmdsn, &h->maxcmdsn);
	h->expdatasn = be32_of(c->xfer.sn);
	h->residual = be32_of(count);
	if (task->sense_len) {
		c->response_data[0] = 0;
		c->response_data[1] = task->sense_len;
		memcpy(c->response_data + 2, task->sense, task->sense_len);
		c->response.data = c->response_data;
		c->response.data_len = 2u + task->sense_len;
	}
	c->response.sent = response_sent;
	conn_send_pdu(ic->conn, &c->response);
}

/* It was aborted, and its initiator is told. */
static void respond_aborted(struct command *c)
{
	c->task.status = SAM_TASK_ABORTED;
	c->task.sense_len = 0;
	c->task.transfer_len = c->task.edtl;
	respond(c);
	abort_wait_finished(c->session->rs, c);
}

static void finish(struct command *c)
{
	const struct iconn *ic = c->ic;

	if (can_send(c))
		respond(c);
	else if (c->reports && ic && ic->state == CONN_LOGGED_IN)
		respond_aborted(c);
	else
		command_free(c);
}

static void port_done(struct scsi_task *task)
{
	struct command *c = container_of(task, struct command, task);

	assert(!c->moving);
	c->submitted = false;
	finish(c);
}

/* io_done for what needs no transport: data that is here already, or a connection that is gone. */
static void io_work(struct work *work)
{
	struct command *c = container_of(work, struct command, io_work);
	bool last = c->answered;

	c->task.io_done(&c->task, can_send(c) && !c->no_memory);
	if (last)
		command_free(c);
}

static void port_get_data(struct scsi_task *task, void *data, uint32_t offset, uint32_t len)
{
	struct command *c = container_of(task, struct command, task);
	uint32_t here = 0;
	struct transfer *t = &c->xfer;

	if (offset < task->first_len) {
		here = task->first_len - offset < len ? task->first_len - offset : len;
		if (data != c->first_data + offset) {
			memcpy(data, c->first_data + offset, here);
			stat_add(&task->reactor->stats.bytes_copied, here);
			if (c->ic)
				stat_add(&c->ic->conn->bytes_copied, here);
		}
	}
	if (here == len || !can_send(c)) {
		reactor_defer(task->reactor, &c->io_work);
		return;
	}
	memset(&t->h, 0, sizeof(t->h));
	memcpy(t->h.r2t.lun, task->lun, sizeof(task->lun));
	t->h.r2t.opcode = OP_R2T;
	t->h.r2t.flags = PDU_FINAL;
	t->h.r2t.itt = be32_of(c->itt);
	t->h.r2t.statsn = be32_of(c->ic->statsn);
	fill_window(c->session, &t->h.r2t.expcmdsn, &t->h.r2t.maxcmdsn);
	t->data = (uint8_t *)data + here;
	t->offset = offset + here;
	t->len = len - here;
	t->unsolicited = t->with_status = t->final = false;
	c->moving = true;
	c->data_since = reactor_now(task->reactor);
	stat_add(&c->session->stats.write_bytes, t->len);
	conn_get_data(c->ic->conn, t);
}

static void port_put_data(struct scsi_task *task, const void *data, uint32_t offset, uint32_t len,
			  bool last)
{
	struct command *c = container_of(task, struct command, task);
	struct transfer *t = &c->xfer;
	struct bhs_data_in *h = &t->h.data_in;
	uint32_t count;

	c->answered = last;
	if (!can_send(c)) {
		reactor_defer(task->reactor, &c->io_work);
		return;
	}
	assert(len > 0 && (uint64_t)offset + len <= task->edtl);
	memset(&t->h, 0, sizeof(t->h));
	h->opcode = OP_DATA_IN;
	memcpy(h->lun, task->lun, sizeof(task->lun));
	h->itt = be32_of(c->itt);
	h->ttt = be32_of(TAG_NONE);
	if (last) {
		free_tag(c);
		session_leave_window(c);
		h->flags = DATA_IN_STATUS | residual(task, &count);
		h->status = task->status;
		h->statsn = be32_of(c->ic->statsn++);
		h->residual = be32_of(count);
	}
	fill_window(c->session, &h->expcmdsn, &h->maxcmdsn);
	t->data = (void *)data;
	t->offset = offset;
	t->len = len;
	t->with_status = last;
	t->final = last;
	t->unsolicited = false;
	c->moving = true;
	stat_add(&c->session->stats.read_bytes, len);
	conn_put_data(c->ic->conn, t);
}

static const struct task_port_ops port_ops = {
	.get_data = port_get_data,
	.put_data = port_put_data,
	.done = port_done,
	.abort_tasks = port_abort_tasks,
	.abort_others = port_abort_others,
};

static void transfer_sense(struct command *c, enum transfer_result result)
{
	switch (result) {
	case TRANSFER_DIGEST: /* PROTOCOL SERVICE CRC ERROR */
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
	t->sn = 0;
	if (c->task.aborted || t->result == TRANSFER_CANCELED) {
		c->task.aborted = true;
		if (c->held)
			session_unhold(c->session, c);
		finish(c);
		return;
	}
	c->task.first_len += t->received;
	stat_add(&c->session->stats.write_bytes, t->received);
	if (t->result == TRANSFER_OK && t->received < t->len)
		t->result = TRANSFER_SHORT;
	if (t->result != TRANSFER_OK && !c->early_status) {
		transfer_sense(c, t->result);
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
	if (c->data_since)
		c->ic->last_data = reactor_now(c->task.reactor);
	c->data_since = 0;
	if (t->unsolicited) {
		unsolicited_done(c, t);
		return;
	}
	if (last) {
		c->task.io_done(&c->task, true);
		command_free(c);
		return;
	}
	if (!ok)
		transfer_sense(c, t->result);
	c->task.io_done(&c->task, ok);
}

/* Its turn has come, or its unsolicited data, or both. */
void command_start(struct command *c)
{
	if (c->held || c->receiving)
		return;
	c->submitted = true;
	c->task.status = c->early_status;
	if (c->early_status)
		scsi_refuse(&c->task);
	else
		scsi_submit(&c->task);
}

void command_abort(struct command *c, bool report)
{
	if (c->answered || c->task.aborted)
		return;
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
		finish(c);
		return;
	}
	if (c->moving && c->data_since && c->ic)
		conn_cancel_data(c->ic->conn, &c->xfer);
	if (c->job)
		abort_job_give_up(c);
	scsi_abort(&c->task);
}

void command_abandon(struct command *c)
{
	if (c->reports)
		return; /* its initiator waits for the answer, and not for ours */
	free_tag(c);
	session_leave_window(c);
}

static void early_sense(struct command *c, uint8_t key, uint8_t asc, uint8_t ascq)
{
	task_sense(&c->task, key, asc, ascq);
	c->task.transfer_len = c->task.edtl;
	c->early_status = SAM_CHECK_CONDITION;
}

/* Collects len bytes of unsolicited Data-Out; 0: only waits for its end, the command has failed
 * already and must not be answered while its data is on the way. */
static void receive_unsolicited(struct iconn *ic, struct command *c, uint32_t offset, uint32_t len)
{
	struct transfer *t = &c->xfer;

	memset(&t->h, 0, sizeof(t->h));
	t->h.r2t.itt = be32_of(c->itt);
	t->data = len ? c->task.first_buf->data + offset : NULL;
	t->offset = offset;
	t->len = len;
	t->unsolicited = true;
	c->receiving = true;
	c->data_since = reactor_now(ic->rs->reactor);
	conn_get_data(ic->conn, t);
}

/* What RFC 7143 allows in the first burst. False: early_status says why not. */
static bool first_burst_allowed(struct iconn *ic, struct command *c, const struct pdu *pdu,
				uint32_t limit, bool more)
{
	const struct conn_params *p = &ic->conn->params;

	if (pdu->dropped) {
		c->early_status = SAM_TASK_SET_FULL;
		return false;
	}
	if ((pdu->data_len && !p->immediate_data) || (more && p->initial_r2t)) {
		early_sense(c, KEY_ABORTED_COMMAND, 0x0c, 0x0c);
		return false;
	}
	if (pdu->data_len > limit || (more && pdu->data_len == limit)) {
		early_sense(c, KEY_ABORTED_COMMAND, 0x0c, 0x0d);
		return false;
	}
	if (!more)
		return true;
	if (!c->task.first_buf)
		c->task.first_buf = buf_get(ic->rs->reactor, limit);
	if (!c->task.first_buf || c->task.first_buf->size < limit) {
		c->early_status = SAM_TASK_SET_FULL;
		return false;
	}
	return true;
}

static void first_burst(struct iconn *ic, struct command *c, const struct pdu *pdu)
{
	uint32_t first = ic->conn->params.first_burst;
	uint32_t limit = first < c->task.edtl ? first : c->task.edtl;
	bool more = !(pdu->h.scsi_command.flags & CMD_FINAL);
	bool allowed = first_burst_allowed(ic, c, pdu, limit, more);

	if (more)
		receive_unsolicited(ic, c, pdu->data_len, allowed ? limit - pdu->data_len : 0);
}

enum ahs_verdict { AHS_TAKEN, AHS_REJECT, AHS_MALFORMED };

/* Extended CDB (RFC 7143 11.2.2.3). Other AHS types are not ours: Reject. Lengths that do not add
 * up are a format error. */
static enum ahs_verdict take_ahs(struct command *c, const struct pdu *pdu)
{
	uint32_t pos = 0;
	bool have_ecdb = false;

	while (pos < pdu->ahs_len) {
		const struct ahs *a = (const void *)(pdu->ahs + pos);
		uint32_t len;

		len = be16_get(a->length);
		if (len == 0 || len + 3 > pdu->ahs_len - pos)
			return AHS_MALFORMED;
		if (a->type != AHS_EXTENDED_CDB || have_ecdb || c->task.cdb[0] != 0x7f ||
		    len - 1 > CDB_MAX - 16)
			return AHS_REJECT;
		memcpy(c->task.cdb + 16, pdu->ahs + pos + 4, len - 1);
		c->task.cdb_len = (uint8_t)(16 + len - 1);
		have_ecdb = true;
		pos += pdu_padded(len + 3);
	}
	return AHS_TAKEN;
}

/* 0, or the reason of a Reject. */
static uint8_t check_command(const struct session *s, const struct pdu *pdu)
{
	const struct bhs_scsi_command *req = &pdu->h.scsi_command;
	bool moves = req->flags & (CMD_READ | CMD_WRITE);

	if (pdu->data_digest_error)
		return REJECT_DATA_DIGEST;
	if (s->who.type == SESSION_DISCOVERY)
		return REJECT_PROTOCOL_ERROR;
	if (be32_get(req->itt) == TAG_NONE)
		return REJECT_INVALID_PDU_FIELD;
	if (!(req->flags & CMD_WRITE) && (!(req->flags & CMD_FINAL) || pdu->data_len))
		return REJECT_INVALID_PDU_FIELD;
	if (!moves && be32_get(req->edtl))
		return REJECT_INVALID_PDU_FIELD;
	if (command_find(s, be32_get(req->itt)))
		return REJECT_TASK_IN_PROGRESS;
	if (pdu_immediate(&pdu->h.bhs) && s->immediate >= IMMEDIATE_MAX)
		return REJECT_IMMEDIATE_COMMAND;
	return 0;
}

static struct command *command_new(struct iconn *ic, struct pdu *pdu)
{
	struct session *s = ic->session;
	const struct bhs_scsi_command *req = &pdu->h.scsi_command;
	struct command *c = pool_get(&s->rs->commands);

	if (!c)
		return NULL;
	memset(c, 0, offsetof(struct command, response));
	c->task.port = &port_ops;
	c->task.nexus = &s->nexus;
	c->task.reactor = s->rs->reactor;
	memcpy(c->task.lun, req->lun, sizeof(req->lun));
	memcpy(c->task.cdb, req->cdb, sizeof(req->cdb));
	c->task.cdb_len = 16;
	c->task.attribute = req->flags & CMD_ATTR_MASK;
	c->task.reads = req->flags & CMD_READ;
	c->task.writes = req->flags & CMD_WRITE;
	c->task.edtl = be32_get(req->edtl);
	c->task.stable_source = ic->conn->stable_source;
	c->session = s;
	c->ic = ic;
	c->itt = be32_get(req->itt);
	c->cmdsn = be32_get(req->cmdsn);
	c->immediate = pdu_immediate(&pdu->h.bhs);
	c->io_work.fn = io_work;
	c->xfer.remote = pdu->remote;
	list_init(&c->node);
	return c;
}

static void take_first_data(struct command *c, struct pdu *pdu)
{
	if (pdu->data_len && !pdu->dropped) {
		c->task.first_buf = pdu->buf;
		c->task.first_len = pdu->data_len;
		stat_add(&c->session->stats.write_bytes, pdu->data_len);
		pdu->buf = NULL;
	}
}

static bool command_ahs(struct iconn *ic, struct command *c, const struct pdu *pdu)
{
	switch (take_ahs(c, pdu)) {
	case AHS_TAKEN: return true;
	case AHS_REJECT: send_reject(ic, &pdu->h, REJECT_INVALID_PDU_FIELD); return false;
	case AHS_MALFORMED: iconn_close(ic, false); return false;
	}
	return false;
}

/* Until its turn. False: it is ignored or rejected. */
static bool hold(struct iconn *ic, struct command *c, const struct pdu *pdu)
{
	enum hold_result result = session_hold(c->session, c->cmdsn, c, NULL, NULL);

	if (result == HELD_NO_MEMORY)
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
	c->held = result == HELD;
	return c->held;
}

void command_received(struct iconn *ic, struct pdu *pdu)
{
	struct session *s = ic->session;
	uint32_t cmdsn = be32_get(pdu->h.scsi_command.cmdsn);
	enum cmdsn_verdict verdict = CMDSN_NOW;
	uint8_t reason;
	struct command *c;

	if (!pdu_immediate(&pdu->h.bhs))
		verdict = session_cmdsn(s, cmdsn);
	if (verdict == CMDSN_IGNORE || ic->rs->draining)
		return;
	reason = check_command(s, pdu);
	if (reason) { /* the CmdSN does not count as received: RFC 7143 7.3 */
		send_reject(ic, &pdu->h, reason);
		return;
	}
	c = command_new(ic, pdu);
	if (!c) {
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
		return;
	}
	if (pdu->ahs_len && !command_ahs(ic, c, pdu)) {
		pool_put(&s->rs->commands, c);
		return;
	}
	if (verdict == CMDSN_HOLD && !hold(ic, c, pdu)) {
		pool_put(&s->rs->commands, c);
		return;
	}
	stat_add(&s->stats.commands, 1);
	command_link(c);
	if (c->immediate) {
		s->immediate++;
	} else if (!c->held) {
		s->expcmdsn++;
		c->in_window = true;
	}
	take_first_data(c, pdu);
	if (c->task.reads && c->task.writes)
		early_sense(c, KEY_ILLEGAL_REQUEST, 0x24, 0x00); /* no bidirectional commands */
	else if (c->task.writes)
		first_burst(ic, c, pdu);
	c->first_data = c->task.first_buf ? c->task.first_buf->data : NULL;
	command_start(c);
}
