// SPDX-License-Identifier: BSD-2-Clause
/*
 * SNACK (RFC 7143 11.16): the initiator asks again for what it has missed, or says what it has got.
 * However many there are, they cost no memory: each command and each reply remembers one that cannot
 * be served at once, and more of them are rejected.
 */
#include <string.h>

#include "session/recovery.h"

/* The newest command of this tag: in the SCSI layer, or its status is not acknowledged, or is to be
 * sent anew. */
static struct command *find(const struct iconn *ic, uint32_t itt)
{
	struct command *c = command_find(ic->session, itt);
	struct list *pos;

	if (c)
		return c->ic == ic ? c : NULL;
	for (pos = ic->session->commands.prev; pos != &ic->session->commands; pos = pos->prev) {
		c = list_entry(pos, struct command, node);
		if (c->ic == ic && c->itt == itt && c->answered && !c->kept->gone)
			return c;
	}
	return NULL;
}

/* --- Data and R-Data */

static bool is_kept(const struct recovery *r, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < r->pieces && from < to; i++) {
		const struct piece *p = &r->piece[i];

		if (p->sn <= from && from < p->end)
			from = p->end;
	}
	return from >= to;
}

/* They can only be as they were while MaxRecvDataSegmentLength is. */
static bool cut_the_same(const struct command *c, uint32_t from, uint32_t to)
{
	const struct recovery *r = c->kept;

	for (uint32_t i = 0; i < r->pieces; i++) {
		const struct piece *p = &r->piece[i];

		if (p->sn < to && from < p->end && p->segment != c->ic->conn->params.max_xmit_dsl)
			return false;
	}
	return true;
}

static void start_run(struct command *c, uint32_t from, uint32_t to)
{
	struct recovery *r = c->kept;

	r->running = true;
	r->at = 0;
	r->from = from;
	r->to = to;
}

static void take_run(struct command *c)
{
	struct recovery *r = c->kept;
	uint32_t begrun = be32_get(r->snack.snack.begrun);
	uint32_t run = be32_get(r->snack.snack.runlength);
	uint32_t sent = c->xfer.sn, from = begrun, to = run ? begrun + run : sent;

	if (begrun == 0 && run == 0) {
		from = r->acked;
		if (from == sent)
			return; /* everything is acknowledged */
	}
	if (from < r->acked || from >= sent || run > sent - from || !cut_the_same(c, from, to)) {
		send_reject(c->ic, &r->snack, REJECT_PROTOCOL_ERROR);
		return;
	}
	if (!is_kept(r, from, to)) {
		send_reject(c->ic, &r->snack, REJECT_SNACK);
		snack_refuse(c);
		return;
	}
	start_run(c, from, to);
}

/* The Data-In that had the status, or a PDU of its own where that cannot be as it was. */
static void take_status(struct command *c)
{
	struct recovery *r = c->kept;
	uint32_t sent = c->xfer.sn;

	if (r->by_data && cut_the_same(c, sent - 1, sent))
		start_run(c, sent - 1, sent);
	else if (r->response_out)
		r->again = true;
	else
		recovery_answer_again(c);
}

static void take_all(struct command *c)
{
	struct recovery *r = c->kept;

	if (recovery_resend(c)) {
		r->snack_tag = be32_get(r->snack.snack.ttt);
		return;
	}
	send_reject(c->ic, &r->snack, REJECT_SNACK);
	snack_refuse(c);
}

void snack_take(struct command *c)
{
	struct recovery *r = c->kept;
	enum wish wish = r->wish;

	r->wish = WISH_NOTHING;
	switch (wish) {
	case WISH_RUN: take_run(c); break;
	case WISH_STATUS: take_status(c); break;
	case WISH_ALL: take_all(c); break;
	case WISH_NOTHING: break;
	}
}

void snack_refuse(struct command *c)
{
	struct recovery *r = c->kept;

	if (r->refused || !recovery_line_up(c))
		return;
	r->refused = true;
	if (!c->answered) {
		command_abort(c, true); /* ends with what respond_aborted() says */
		return;
	}
	recovery_free_pieces(c);
	r->by_data = false;
	task_sense(&c->task, KEY_ABORTED_COMMAND, 0x11, 0x13); /* SNACK REJECTED */
	c->task.transfer_len = c->task.edtl;
	if (r->response_out)
		r->again = true;
	else
		recovery_answer_again(c);
}

/* False: one is remembered already. */
static bool wish_for(struct command *c, enum wish wish, const union pdu_header *h)
{
	struct recovery *r = c->kept;

	if (r->wish)
		return false;
	r->wish = wish;
	r->snack = *h;
	recovery_go_on(c);
	return true;
}

static void data_snack(struct iconn *ic, const struct pdu *pdu)
{
	const struct bhs_snack *req = &pdu->h.snack;
	struct command *c = find(ic, be32_get(req->itt));
	uint32_t from = be32_get(req->begrun), run = be32_get(req->runlength);

	if (!c || c->kept->suspended || (c->task.aborted && !c->answered)) {
		send_reject(ic, &pdu->h, REJECT_PROTOCOL_ERROR);
		return;
	}
	if (c->task.writes) {
		if (c->answered || from >= c->xfer.sn || run > c->xfer.sn - from ||
		    !conn_resend_r2ts(ic->conn, c->itt, from, run))
			send_reject(ic, &pdu->h, REJECT_PROTOCOL_ERROR);
		return;
	}
	if (!wish_for(c, WISH_RUN, &pdu->h))
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
}

static void r_data_snack(struct iconn *ic, const struct pdu *pdu)
{
	const struct bhs_snack *req = &pdu->h.snack;
	struct command *c = find(ic, be32_get(req->itt));
	uint32_t tag = be32_get(req->ttt);

	if (!tag || tag == TAG_NONE || be32_get(req->begrun) || be32_get(req->runlength))
		send_reject(ic, &pdu->h, REJECT_INVALID_PDU_FIELD);
	else if (!c || c->kept->suspended || !c->task.reads || (c->task.aborted && !c->answered))
		send_reject(ic, &pdu->h, REJECT_PROTOCOL_ERROR);
	else if (!wish_for(c, WISH_ALL, &pdu->h))
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
}

/* --- Status */

/* False: it was asked for already, and has not left yet. */
static bool again(struct numbered *n, const union pdu_header *h)
{
	struct recovery *r;

	if (!n->command)
		return reply_send_again(container_of(n, struct reply, number));
	r = n->command->kept;
	if (r->by_data || !r->response_out)
		return wish_for(n->command, WISH_STATUS, h);
	if (r->again)
		return false;
	r->again = true;
	return true;
}

static uint32_t count_kept(const struct iconn *ic, uint32_t from, uint32_t to)
{
	uint32_t count = 0;
	struct list *pos;

	list_for_each(pos, &ic->unacked) {
		uint32_t sn = list_entry(pos, struct numbered, node)->statsn;

		count += !sn_lt(sn, from) && sn_lt(sn, to);
	}
	return count;
}

static void status_snack(struct iconn *ic, const struct pdu *pdu)
{
	const struct bhs_snack *req = &pdu->h.snack;
	uint32_t from = be32_get(req->begrun), run = be32_get(req->runlength), next = ic->statsn;
	uint32_t acked = be32_get(req->expstatsn), to = run ? from + run : next;
	bool all = from == 0 && run == 0, busy = false;
	struct list *pos;

	if (list_empty(&ic->unacked))
		acked = next;
	else if (all)
		acked = list_entry(ic->unacked.next, struct numbered, node)->statsn;
	if (all)
		from = acked;
	else if (sn_lt(from, acked) || !sn_lt(from, next) || run > next - from) {
		send_reject(ic, &pdu->h, REJECT_PROTOCOL_ERROR);
		return;
	}
	if (count_kept(ic, from, to) != to - from) {
		send_reject(ic, &pdu->h, REJECT_SNACK);
		return;
	}
	list_for_each(pos, &ic->unacked) {
		struct numbered *n = list_entry(pos, struct numbered, node);

		if (!sn_lt(n->statsn, to))
			break; /* among them what is rejected meanwhile */
		if (!sn_lt(n->statsn, from))
			busy |= !again(n, &pdu->h);
	}
	if (busy)
		send_reject(ic, &pdu->h, REJECT_OUT_OF_RESOURCES);
}

/* --- DataACK */

static struct command *find_asker(const struct iconn *ic, uint32_t ttt)
{
	struct list *pos;

	list_for_each(pos, &ic->session->commands) {
		struct command *c = list_entry(pos, struct command, node);

		if (c->ic == ic && c->kept->ack_wanted && c->kept->ack_ttt == ttt &&
		    !c->kept->suspended)
			return c;
	}
	return NULL;
}

/* BegRun is the next DataSN that is expected: that after the PDU which asked, which is the last that
 * was sent. */
static void data_ack(struct iconn *ic, const struct pdu *pdu)
{
	const struct bhs_snack *req = &pdu->h.snack;
	struct command *c = find_asker(ic, be32_get(req->ttt));
	uint32_t begrun = be32_get(req->begrun), sent;
	struct recovery *r;

	if (!c) {
		send_reject(ic, &pdu->h, REJECT_INVALID_DATA_ACK);
		return;
	}
	r = c->kept;
	sent = c->moving && r->moves == MOVES_RUN ? r->next_sn : c->xfer.sn;
	if (begrun != sent || (r->resending && r->at < r->pieces)) {
		send_reject(ic, &pdu->h, REJECT_INVALID_DATA_ACK);
		return;
	}
	if (c->moving) {
		r->ack_came = true;
		return;
	}
	recovery_ack_data(c, sent);
	recovery_go_on(c);
}

void snack_received(struct iconn *ic, const struct pdu *pdu)
{
	if (!ic->session->who.error_recovery_level) {
		send_reject(ic, &pdu->h, REJECT_PROTOCOL_ERROR);
		return;
	}
	switch (pdu->h.snack.type & 0x0f) {
	case SNACK_DATA: data_snack(ic, pdu); break;
	case SNACK_STATUS: status_snack(ic, pdu); break;
	case SNACK_DATA_ACK: data_ack(ic, pdu); break;
	case SNACK_R_DATA: r_data_snack(ic, pdu); break;
	default: send_reject(ic, &pdu->h, REJECT_INVALID_PDU_FIELD); break;
	}
}
