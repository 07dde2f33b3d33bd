// SPDX-License-Identifier: BSD-2-Clause
/*
 * A SCSI Command PDU becomes a command (RFC 7143 11.3): what is refused at once, Additional Header
 * Segments, the first burst, the turn in CmdSN order.
 */
#include <string.h>

#include "session/flow.h"
#include "session/recovery.h"

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
	memcpy(t->h.r2t.lun, c->task.lun, sizeof(c->task.lun));
	t->h.r2t.itt = be32_of(c->itt);
	t->data = len ? c->task.first_buf->data + offset : NULL;
	t->offset = offset;
	t->len = len;
	t->unsolicited = true;
	c->receiving = true;
	c->data_since = c->moves_since = reactor_now(ic->rs->reactor);
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
	memset(c, 0, offsetof(struct command, task.sense));
	c->task.port = &command_port_ops;
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
	c->io_work.fn = command_io_work;
	c->arrived = reactor_now(s->rs->reactor);
	c->xfer.remote = pdu->remote;
	list_init(&c->node);
	if (!s->who.error_recovery_level)
		return c;
	if (!recovery_begin(c)) {
		pool_put(&s->rs->commands, c);
		return NULL;
	}
	c->task.stable_source = true; /* memory that others may write is no copy */
	return c;
}

/* It was not linked yet. */
static void command_discard(struct command *c)
{
	if (c->kept)
		recovery_end(c);
	pool_put(&c->session->rs->commands, c);
}

/* Lent data that has to wait. False: no memory. */
static bool keep(struct command *c, const struct pdu *pdu)
{
	uint32_t room = c->task.edtl < FIRST_ROOM ? c->task.edtl : FIRST_ROOM;
	struct reactor *reactor = c->task.reactor;
	struct buf *buf = buf_get(reactor, room > pdu->data_len ? room : pdu->data_len);

	if (!buf)
		return false;
	memcpy(buf->data, pdu->data, pdu->data_len);
	stat_add(&reactor->stats.bytes_copied, pdu->data_len);
	stat_add(&c->ic->conn->bytes_copied, pdu->data_len);
	c->task.first_buf = buf;
	return true;
}

/* The SCSI layer will have used up the data when the command has been started. */
static bool goes_through(const struct command *c, const struct pdu *pdu)
{
	const struct bhs_scsi_command *req = &pdu->h.scsi_command;

	return !c->held && !c->kept && (req->flags & (CMD_FINAL | CMD_READ)) == CMD_FINAL &&
	       flow_is_free(c) && !c->session->rs->draining && scsi_takes_lent(&c->task);
}

static void take_first_data(struct command *c, struct pdu *pdu)
{
	if (!pdu->data_len || pdu->dropped)
		return;
	c->task.first_len = pdu->data_len;
	if (pdu->buf) {
		c->task.first_buf = pdu->buf;
		pdu->buf = NULL;
	} else if (goes_through(c, pdu)) {
		c->task.lent_data = pdu->data;
	} else if (!keep(c, pdu)) {
		c->task.first_len = 0;
		pdu->dropped = true;
		return;
	}
	stat_add(&c->session->stats.write_bytes, pdu->data_len);
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
	if (verdict == CMDSN_IGNORE)
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
		command_discard(c);
		return;
	}
	if (verdict == CMDSN_HOLD && !hold(ic, c, pdu)) {
		command_discard(c);
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
	if (ic->rs->draining)
		c->early_status = SAM_BUSY;
	if (c->task.reads && c->task.writes)
		early_sense(c, KEY_ILLEGAL_REQUEST, 0x24, 0x00); /* no bidirectional commands */
	else if (c->task.writes)
		first_burst(ic, c, pdu);
	c->first_data = c->task.first_buf ? c->task.first_buf->data : NULL;
	command_start(c);
}
