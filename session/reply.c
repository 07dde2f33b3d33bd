// SPDX-License-Identifier: BSD-2-Clause
/*
 * Answers that belong to no SCSI command: Reject, NOP-In, Logout and Text Responses, and the
 * buffer handling that they and Login Responses share.
 */
#include <string.h>

#include "core/log.h"
#include "session/login_drive.h"

static void reply_free(struct reply *rp)
{
	struct reactor_state *rs = rp->ic->rs;

	rp->ic->replies--;
	rp->ic->reply_bytes -= rp->tx.data_len;
	buf_put(rs->reactor, rp->buf);
	pool_put(&rs->replies, rp);
}

static void start(struct reply *rp)
{
	rp->out = true;
	conn_send_pdu(rp->ic->conn, &rp->tx);
}

static void reply_sent(struct tx_pdu *tx)
{
	struct reply *rp = container_of(tx, struct reply, tx);

	rp->out = false;
	if (!rp->kept)
		reply_free(rp);
	else if (rp->again)
		reply_send_again(rp);
}

bool reply_send_again(struct reply *rp)
{
	struct bhs_nop_in *h = &rp->tx.h.nop_in; /* all have them at the same place */
	bool room = !rp->again;

	rp->again = rp->out;
	if (rp->out)
		return room;
	if (!rp->ic->conn->closing) {
		fill_window(rp->ic->session, &h->expcmdsn, &h->maxcmdsn);
		start(rp);
	}
	return true;
}

void reply_acknowledged(struct reply *rp)
{
	list_del(&rp->number.node);
	rp->kept = false;
	if (!rp->out)
		reply_free(rp);
}

/* NULL: no memory; the caller closes the connection. */
struct reply *reply_new(struct iconn *ic, uint8_t opcode)
{
	struct reply *rp = pool_get(&ic->rs->replies);

	if (!rp)
		return NULL;
	memset(&rp->tx, 0, sizeof(rp->tx));
	rp->tx.h.bhs.opcode = opcode;
	rp->tx.h.bhs.flags = PDU_FINAL;
	rp->tx.sent = reply_sent;
	rp->ic = ic;
	rp->buf = NULL;
	rp->kept = rp->again = false;
	return rp;
}

bool reply_data(struct reply *rp, const void *data, uint32_t len)
{
	void *to = rp->small;

	if (len == 0)
		return true;
	if (len > sizeof(rp->small)) {
		rp->buf = buf_get(rp->ic->rs->reactor, len);
		if (!rp->buf)
			return false;
		to = rp->buf->data;
	}
	memcpy(to, data, len);
	rp->tx.data = to;
	rp->tx.data_len = len;
	return true;
}

/* The command window does not bound answers to immediate requests, Rejects and the like: there is
 * no end to them when the peer never reads. */
static void count(struct iconn *ic, const struct reply *rp)
{
	static struct log_limit limit = LOG_LIMIT(10);

	ic->replies++;
	ic->reply_bytes += rp->tx.data_len;
	if (ic->conn->closing || (ic->replies <= REPLIES_MAX && ic->reply_bytes <= REPLY_BYTES_MAX))
		return;
	log_write_limited(&limit, LOG_LEVEL_WARN, "%s: %u answers are unread, closing",
			  ic->conn->peer_name, ic->replies);
	iconn_close(ic, false);
}

/* A Status SNACK may ask for it until it is acknowledged. */
static void keep(struct reply *rp)
{
	rp->kept = true;
	rp->number.command = NULL;
	rp->number.statsn = be32_get(rp->tx.h.nop_in.statsn);
	rp->number.since = reactor_now(rp->ic->rs->reactor);
	list_add_tail(&rp->ic->unacked, &rp->number.node);
}

/* All responses have StatSN, ExpCmdSN and MaxCmdSN at the same place. May close the connection. */
void reply_send(struct reply *rp, bool consume)
{
	struct iconn *ic = rp->ic;
	struct bhs_nop_in *h = &rp->tx.h.nop_in;

	h->statsn = be32_of(ic->statsn);
	if (consume)
		ic->statsn++;
	if (ic->session)
		fill_window(ic->session, &h->expcmdsn, &h->maxcmdsn);
	if (consume && iconn_up(ic) && ic->session->who.error_recovery_level)
		keep(rp);
	start(rp);
	count(ic, rp);
}

void send_reject(struct iconn *ic, const union pdu_header *bad, enum reject_reason reason)
{
	static struct log_limit limit = LOG_LIMIT(10);
	struct reply *rp = reply_new(ic, OP_REJECT);

	log_write_limited(&limit, LOG_LEVEL_WARN, "%s: rejected PDU, opcode 0x%02x, reason 0x%02x",
			  ic->conn->peer_name, pdu_opcode(&bad->bhs), reason);
	if (!rp) {
		iconn_close(ic, false);
		return;
	}
	rp->tx.h.reject.reason = reason;
	rp->tx.h.reject.tag = be32_of(TAG_NONE);
	reply_data(rp, bad, BHS_LEN);
	count_reject(ic->rs, reason);
	if (ic->session)
		stat_add(&ic->session->stats.rejects, 1);
	reply_send(rp, true);
}

/* The longest data segment for an answer. */
static uint32_t answer_room(const struct conn *conn)
{
	uint32_t room = conn->params.max_xmit_dsl, max = conn->max_full_feature_data;

	return max && room > max ? max : room;
}

/* RFC 7143 11.18: a ping is echoed; an answer to our own NOP-In only proves life. */
void nop_out_received(struct iconn *ic, struct pdu *pdu)
{
	const struct bhs_nop_out *req = &pdu->h.nop_out;
	uint32_t room = answer_room(ic->conn);
	struct reply *rp;

	if (be32_get(req->itt) == TAG_NONE) {
		if (ic->nop_outstanding && be32_get(req->ttt) == ic->nop_ttt)
			ic->nop_outstanding = false;
		tmf_nop_answered(ic->session, ic, be32_get(req->ttt));
		return;
	}
	rp = reply_new(ic, OP_NOP_IN);
	if (!rp || !reply_data(rp, pdu->data, pdu->data_len < room ? pdu->data_len : room)) {
		if (rp)
			pool_put(&ic->rs->replies, rp);
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
		return;
	}
	memcpy(rp->tx.h.nop_in.lun, req->lun, sizeof(req->lun));
	rp->tx.h.nop_in.itt = req->itt;
	rp->tx.h.nop_in.ttt = be32_of(TAG_NONE);
	reply_send(rp, true);
}

void nop_in_ping(struct iconn *ic)
{
	struct reply *rp = reply_new(ic, OP_NOP_IN);

	if (!rp)
		return;
	if (++ic->nop_ttt == TAG_NONE)
		ic->nop_ttt = 0;
	ic->nop_outstanding = true;
	ic->pinged = reactor_now(ic->rs->reactor);
	rp->tx.h.nop_in.itt = be32_of(TAG_NONE);
	rp->tx.h.nop_in.ttt = be32_of(ic->nop_ttt);
	reply_send(rp, false);
}

void nop_in_window(struct iconn *ic)
{
	struct reply *rp = reply_new(ic, OP_NOP_IN);

	if (!rp) { /* it would wait for ever */
		iconn_close(ic, false);
		return;
	}
	rp->tx.h.nop_in.itt = be32_of(TAG_NONE);
	rp->tx.h.nop_in.ttt = be32_of(TAG_NONE);
	reply_send(rp, false);
}

void text_received(struct iconn *ic, struct pdu *pdu)
{
	const struct bhs_text_request *req = &pdu->h.text_request;
	uint32_t room = answer_room(ic->conn);
	struct text_reply tr = { 0 };
	struct reply *rp;

	if (!ic->text_env)
		ic->text_env = text_env_new(ic);
	if (!ic->text_env) {
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
		return;
	}
	if (room > LOGIN_DATA_MAX)
		room = LOGIN_DATA_MAX;
	if (text_step(&ic->text, text_env_get(ic->text_env), &ic->session->who, room, req,
		      pdu->data, pdu->data_len, &tr) == TEXT_REJECT) {
		send_reject(ic, &pdu->h, tr.reject);
		return;
	}
	rp = reply_new(ic, OP_TEXT_RESPONSE);
	if (!rp || !reply_data(rp, tr.text, tr.text_len)) {
		if (rp)
			pool_put(&ic->rs->replies, rp);
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
		return;
	}
	rp->tx.h.bhs.flags = tr.flags;
	memcpy(rp->tx.h.text_response.lun, req->lun, sizeof(req->lun));
	rp->tx.h.text_response.itt = req->itt;
	rp->tx.h.text_response.ttt = be32_of(tr.ttt);
	reply_send(rp, true);
	if (tr.new_max_xmit_dsl && !ic->conn->params.rdma_extensions) {
		struct conn_params p = ic->conn->params;

		p.max_xmit_dsl = tr.max_xmit_dsl;
		conn_apply_keys(ic->conn, &p);
	}
}
