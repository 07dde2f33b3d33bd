// SPDX-License-Identifier: BSD-2-Clause
/*
 * Data of commands at error recovery level 1 and up: Data-In is copied and kept until it is
 * acknowledged, sent again in runs as it was (Data SNACK) or all of it anew (R-Data SNACK, TASK
 * REASSIGN); what finds no connection waits for one.
 */
#include <string.h>

#include "session/recovery.h"

/* --- Buffers */

/* NULL: over the bounds, or no memory. */
static struct buf *keep(struct session *s, uint32_t len)
{
	struct reactor_state *rs = s->rs;
	uint64_t share = buf_budget(rs->reactor) / KEPT_SHARE / s->server->cfg.reactor_count;
	struct buf *b;

	if (len > BUF_MAX || s->kept_bytes + len > KEPT_BYTES_MAX || rs->kept_bytes + len > share)
		return NULL;
	b = buf_get(rs->reactor, len);
	if (!b)
		return NULL;
	s->kept_bytes += b->size;
	rs->kept_bytes += b->size;
	return b;
}

static void unkeep(struct session *s, struct buf *b)
{
	if (!b)
		return;
	s->kept_bytes -= b->size;
	s->rs->kept_bytes -= b->size;
	buf_put(s->rs->reactor, b);
}

/* --- Pieces */

static void drop_first(struct command *c)
{
	struct recovery *r = c->kept;

	unkeep(c->session, r->piece[0].buf);
	memmove(&r->piece[0], &r->piece[1], --r->pieces * sizeof(r->piece[0]));
}

void recovery_free_pieces(struct command *c)
{
	while (c->kept->pieces)
		drop_first(c);
}

/* As a transport cuts Data-In (RFC 7143 11.7): at MaxRecvDataSegmentLength and MaxBurstLength. */
static uint32_t segment_at(uint32_t offset, uint32_t segment, uint32_t max_burst)
{
	uint32_t room = max_burst - offset % max_burst;

	return segment < room ? segment : room;
}

/* The first n PDUs of a piece, in bytes. */
static uint32_t bytes_of(const struct piece *p, uint32_t n, uint32_t max_burst)
{
	uint32_t bytes = 0;

	while (n-- && p->segment && bytes < p->len)
		bytes += segment_at(p->offset + bytes, p->segment, max_burst);
	return bytes < p->len ? bytes : p->len;
}

static uint32_t pdus_of(const struct piece *p, uint32_t max_burst)
{
	uint32_t n = 0;

	for (uint32_t bytes = 0; bytes < p->len && p->segment; n++)
		bytes += segment_at(p->offset + bytes, p->segment, max_burst);
	return n;
}

void recovery_ack_data(struct command *c, uint32_t sn)
{
	struct recovery *r = c->kept;
	struct piece *p = r->piece;

	while (r->pieces && p->end <= sn) {
		r->acked_offset = p->offset + p->len;
		if (p->asked)
			r->ack_wanted = false;
		if (!p->buf) /* it has arrived, and with it what the SCSI layer waits for */
			reactor_defer(c->task.reactor, &c->io_work);
		drop_first(c);
	}
	if (!r->pieces && sn == c->xfer.sn) {
		r->acked_offset = r->given;
	} else if (r->pieces && p->sn <= sn) {
		uint32_t bytes = bytes_of(p, sn - p->sn, c->session->who.params.max_burst);

		p->data += bytes;
		p->offset += bytes;
		p->len -= bytes;
		/* Where a piece was cut by two lengths, nobody knows what sn stands for. */
		r->acked_offset = p->segment || p->sn == sn ? p->offset : SN_NONE;
		p->sn = sn;
	}
	r->acked = sn;
}

/* --- Moving */

void recovery_get(struct command *c, void *data, uint32_t offset, uint32_t len)
{
	struct recovery *r = c->kept;

	r->waits = WAITS_TO_GET;
	r->data = data;
	r->offset = offset;
	r->len = len;
	if (c->task.aborted)
		recovery_aborted(c);
	else if (r->suspended)
		recovery_pin(c);
	else
		recovery_go_on(c);
}

void recovery_put(struct command *c, void *data, uint32_t offset, uint32_t len, bool last)
{
	struct recovery *r = c->kept;

	r->waits = WAITS_TO_PUT;
	r->data = data;
	r->offset = offset;
	r->len = len;
	r->last = last;
	if (c->task.aborted)
		recovery_aborted(c);
	else if (r->suspended)
		recovery_pin(c);
	else
		recovery_go_on(c);
}

static void start_get(struct command *c)
{
	struct recovery *r = c->kept;

	r->waits = WAITS_FOR_NOTHING;
	r->moves = MOVES_GET;
	command_get(c, r->data, r->offset, r->len);
}

/* Piece i leaves, or leaves anew. */
static void start_piece(struct command *c, uint32_t i, enum moves moves)
{
	struct recovery *r = c->kept;
	struct piece *p = &r->piece[i];
	struct transfer *t = &c->xfer;

	r->moves = moves;
	r->current = i;
	command_put(c, p->data, p->offset, p->len);
	t->final = p->last;
	t->ack = p->asked && r->ack_wanted;
	t->h.data_in.ttt = be32_of(t->ack ? r->ack_ttt : TAG_NONE);
	t->part = moves == MOVES_RUN;
	if (t->part) {
		t->from = r->from;
		t->to = r->to;
		t->sn = p->sn;
	} else {
		p->sn = t->sn;
		p->end = SN_NONE;
		p->segment = c->ic->conn->params.max_xmit_dsl;
		if (t->ack)
			r->ack_since = 0;
	}
	if (p->status)
		command_put_status(c, r->status.statsn);
	command_put_start(c);
}

/* What the next piece waits for: once in MaxBurstLength bytes, and never for memory that is not kept
 * (RFC 7143 11.7.2). */
static void ask(struct command *c, struct piece *p)
{
	struct recovery *r = c->kept;

	r->unasked += p->len;
	if (!p->buf || p->last || r->unasked < c->session->who.params.max_burst)
		return;
	r->unasked = 0;
	if (++c->session->ack_ttt == TAG_NONE)
		c->session->ack_ttt = 0;
	r->ack_ttt = c->session->ack_ttt;
	p->asked = r->ack_wanted = true;
}

static void start_put(struct command *c)
{
	struct recovery *r = c->kept;
	struct piece *p = &r->piece[r->pieces];

	memset(p, 0, sizeof(*p));
	p->buf = r->pieces < PIECES_MAX ? keep(c->session, r->len) : NULL;
	p->data = p->buf ? p->buf->data : r->data;
	p->offset = r->offset;
	p->len = r->len;
	p->last = r->last;
	if (p->buf) {
		memcpy(p->buf->data, r->data, r->len);
		stat_add(&c->task.reactor->stats.bytes_copied, r->len);
		stat_add(&c->ic->conn->bytes_copied, r->len);
		reactor_defer(c->task.reactor, &c->io_work);
	}
	r->waits = WAITS_FOR_NOTHING;
	r->ends = r->last;
	r->given = r->offset + r->len;
	stat_add(&c->session->stats.read_bytes, r->len);
	ask(c, p);
	/* What is not kept cannot be sent again: then the status has its own PDU, which can. */
	if (p->last && p->buf && !r->snack_tag) {
		p->status = r->by_data = true;
		command_answered(c);
		recovery_number(c, c->ic->statsn++);
	}
	start_piece(c, r->pieces++, MOVES_PUT);
}

/* --- Sending again */

/* The next piece of the run. */
static bool run_on(struct command *c)
{
	struct recovery *r = c->kept;

	for (; r->at < r->pieces; r->at++) {
		const struct piece *p = &r->piece[r->at];

		if (p->sn >= r->to || p->end <= r->from)
			continue;
		r->next_sn = c->xfer.sn;
		start_piece(c, r->at++, MOVES_RUN);
		return true;
	}
	r->running = false;
	return false;
}

bool recovery_resend(struct command *c)
{
	struct recovery *r = c->kept;
	uint32_t at = r->acked_offset;

	for (uint32_t i = 0; i < r->pieces && at == r->piece[i].offset; i++)
		at += r->piece[i].len;
	if (at != r->given)
		return false;
	for (uint32_t i = 0; i < r->pieces; i++) {
		r->piece[i].sn = r->piece[i].end = SN_NONE;
		r->piece[i].status = false;
	}
	if (!c->task.writes)
		c->xfer.sn = r->acked;
	r->by_data = false;
	r->resending = true;
	r->ack_since = 0; /* whoever asked for a DataACK has to leave first */
	r->at = 0;
	return true;
}

/* The next piece of all; behind the last, the answer, if there was one. */
static bool resend_on(struct command *c)
{
	struct recovery *r = c->kept;

	if (r->at < r->pieces) {
		start_piece(c, r->at++, MOVES_AGAIN);
		return true;
	}
	r->resending = false;
	if (!c->answered)
		return false;
	if (r->response_out)
		r->again = true;
	else
		recovery_answer_again(c);
	return false;
}

/* What was asked for again goes first. True: something moves. */
static bool repeat(struct command *c)
{
	struct recovery *r = c->kept;

	while (r->running || r->resending || r->wish) {
		if (r->running ? run_on(c) : r->resending && resend_on(c))
			return true;
		if (!r->running && !r->resending && r->wish)
			snack_take(c);
	}
	if (r->again && !r->response_out)
		recovery_answer_again(c);
	return false;
}

void recovery_go_on(struct command *c)
{
	struct recovery *r = c->kept;

	if (c->moving)
		return;
	if (c->task.aborted && !c->answered) {
		if (r->waits == WAITS_TO_ANSWER)
			command_finish(c);
		return;
	}
	if (!recovery_line_up(c) || repeat(c))
		return;
	switch (r->waits) {
	case WAITS_TO_GET: start_get(c); break;
	case WAITS_TO_PUT:
		if (!r->ack_wanted)
			start_put(c);
		break;
	case WAITS_TO_ANSWER: command_finish(c); break;
	case WAITS_FOR_NOTHING: break;
	}
}

/* --- What came back */

static void get_done(struct command *c, struct transfer *t)
{
	struct recovery *r = c->kept;
	bool ok = t->result == TRANSFER_OK;

	if (t->result == TRANSFER_CANCELED && !c->task.aborted) {
		/* The connection is lost, the task is not: another one brings what is missing. */
		recovery_get(c, (uint8_t *)t->data + t->received, t->offset + t->received,
			     t->len - t->received);
		return;
	}
	r->waits = WAITS_FOR_NOTHING;
	if (!ok)
		command_transfer_sense(c, t->result);
	c->task.io_done(&c->task, ok);
}

static void piece_done(struct command *c, const struct transfer *t)
{
	struct recovery *r = c->kept;
	struct piece *p = &r->piece[r->current];
	const struct conn_params *params = &c->ic->conn->params;

	if (t->result == TRANSFER_OK)
		p->end = t->sn;
	else /* what has left of it, the other side knows */
		p->end = p->sn + pdus_of(p, params->max_burst);
	if (p->segment != params->max_xmit_dsl)
		p->segment = 0;
	if (t->ack)
		r->ack_since = reactor_now(c->task.reactor);
}

/* Runs are only of what is kept. */
static bool lent_was_sent(const struct recovery *r, const struct transfer *t)
{
	return r->moves != MOVES_RUN && r->current == r->pieces - 1 && t->result == TRANSFER_OK;
}

/* The SCSI layer can have its memory back: it was sent, or need not be. */
static void give_back(struct command *c)
{
	struct recovery *r = c->kept;

	r->pieces--;
	recovery_go_on(c);
	recovery_io_work(c);
}

void recovery_transfer_done(struct command *c, struct transfer *t)
{
	struct recovery *r = c->kept;
	enum moves moves = r->moves;

	if (moves == MOVES_GET) {
		get_done(c, t);
		return;
	}
	if (moves == MOVES_RUN)
		t->sn = r->next_sn;
	else
		piece_done(c, t);
	t->part = t->ack = false;
	if (r->gone) {
		recovery_free_pieces(c);
		recovery_settle(c);
		return;
	}
	if (r->ack_came) {
		r->ack_came = false;
		recovery_ack_data(c, t->sn);
	}
	if (c->answered) {
		recovery_go_on(c);
		recovery_settle(c);
	} else if (recovery_lent(r) && (c->task.aborted || lent_was_sent(r, t))) {
		give_back(c);
	} else {
		recovery_go_on(c);
	}
}
