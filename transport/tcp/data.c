// SPDX-License-Identifier: BSD-2-Clause
/*
 * Data from the initiator: get_data() becomes R2Ts, and every Data-Out is held against the burst
 * it says it belongs to (RFC 7143 11.7 and 11.8) before a pointer is made of its numbers. A task
 * whose data is spoilt drains what was asked for and then finishes with the first failure.
 *
 * From error recovery level 1 on a burst that lost a PDU, to its digest or to a gap, is given up
 * where it broke off, and the rest of it asked for again (7.8, 7.9: recovery R2T). What is on its
 * way for the old tag meanwhile is dropped. The same when a burst makes no progress for some seconds:
 * what was lost, the R2T itself or the last Data-Out, had nothing behind it that could tell (7.1.4.1,
 * sequence reception timeout).
 */
#include "tcp.h"

#include <string.h>

#include "capture.h"

static struct get **bucket(struct tcp_conn *c, uint32_t itt)
{
	return &c->gets[(itt ^ itt >> 16) % GET_BUCKETS];
}

static struct get *find(struct tcp_conn *c, uint32_t itt)
{
	struct get *g = *bucket(c, itt);

	while (g && g->itt != itt)
		g = g->next;
	return g;
}

static void burst_begin(struct tcp_conn *c, struct get *g, struct burst *b, uint32_t offset,
			uint32_t len)
{
	b->offset = offset;
	b->len = len;
	b->got = b->datasn = b->seen = b->stalled = 0;
	b->result = TRANSFER_OK;
	b->active = true;
	b->due = false;
	g->outstanding++;
	c->large_bursts += len >= LARGE;
}

static void burst_end(struct tcp_conn *c, struct get *g, struct burst *b)
{
	b->active = false;
	g->outstanding--;
	if (b->due) {
		b->due = false;
		g->due--;
	}
	c->large_bursts -= b->len >= LARGE;
}

/* Takes g apart. Nothing in the kernel may know t's data any more. */
static struct transfer *detach(struct tcp_conn *c, struct get *g, enum transfer_result result)
{
	struct transfer *t = g->t;
	struct get **at = bucket(c, g->itt);

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	for (uint32_t i = 0; g->outstanding; i++) {
		if (g->burst[i].active)
			burst_end(c, g, &g->burst[i]);
	}
	list_del(&t->node); /* R2Ts still to be sent */
	if (c->rx.get == g)
		c->rx.get = NULL;
	t->result = result;
	pool_put(&c->shard->gets, g);
	return t;
}

/* From inside down-calls: transfer_done() comes at the end of the turn. */
static void finish_later(struct tcp_conn *c, struct get *g, enum transfer_result result)
{
	struct transfer *t = detach(c, g, result);

	list_add_tail(&c->finished, &t->node);
	tcp_conn_defer(c);
}

static void finish_now(struct tcp_conn *c, struct get *g)
{
	struct transfer *t = detach(c, g, g->result);

	c->base.up->transfer_done(&c->base, t);
}

static void fail(struct get *g, enum transfer_result result)
{
	if (g->result == TRANSFER_OK)
		g->result = result;
	if (!g->due)
		list_del(&g->t->node); /* asks for nothing more */
}

bool tcp_r2t_due(struct tcp_conn *c, const struct transfer *t)
{
	const struct get *g = find(c, be32_get(t->h.bhs.itt));

	if (g->due)
		return true;
	return g->asked < t->len && g->result == TRANSFER_OK &&
	       g->outstanding < c->base.params.max_outstanding_r2t && g->outstanding < R2T_MAX;
}

/* The slot stands in the tag, the rest makes it one that was not used for long. */
static uint32_t new_ttt(struct tcp_conn *c, uint32_t slot)
{
	uint32_t ttt = c->next_ttt++ << 4 | slot;

	return ttt == TAG_NONE ? c->next_ttt++ << 4 | slot : ttt;
}

static struct burst *ask(struct tcp_conn *c, struct get *g)
{
	struct transfer *t = g->t;
	uint32_t len = t->len - g->asked, slot = 0;
	struct burst *b;

	if (len > c->base.params.max_burst)
		len = c->base.params.max_burst;
	while (g->burst[slot].active)
		slot++;
	b = &g->burst[slot];
	b->ttt = new_ttt(c, slot);
	b->r2tsn = t->sn++;
	b->recoveries = 0;
	burst_begin(c, g, b, t->offset + g->asked, len);
	g->asked += len;
	return b;
}

/* The one with the lowest R2TSN of those that are to be sent again. */
static struct burst *ask_again(struct get *g)
{
	struct burst *first = NULL;

	for (uint32_t i = 0; i < R2T_MAX; i++) {
		struct burst *b = &g->burst[i];

		if (b->due && (!first || (int32_t)(b->r2tsn - first->r2tsn) < 0))
			first = b;
	}
	first->due = false;
	g->due--;
	return first;
}

bool tcp_next_r2t(struct tcp_conn *c, struct transfer *t, struct bhs_r2t *r2t)
{
	struct get *g = find(c, be32_get(t->h.bhs.itt));
	const struct burst *b;

	if (!tcp_r2t_due(c, t))
		return false;
	b = g->due ? ask_again(g) : ask(c, g);
	r2t->flags = PDU_FINAL;
	r2t->ttt = be32_of(b->ttt);
	r2t->r2tsn = be32_of(b->r2tsn);
	r2t->buffer_offset = be32_of(b->offset);
	r2t->desired_len = be32_of(b->len);
	return true;
}

static void queue_r2ts(struct tcp_conn *c, struct transfer *t)
{
	if (!list_empty(&t->node))
		return;
	t->h.bhs.opcode = OP_R2T;
	c->base.up->stamp(&c->base, &t->h);
	list_add_tail(&c->tx.queue, &t->node);
	tcp_conn_defer(c);
}

static void set_due(struct get *g, struct burst *b)
{
	g->due += !b->due;
	b->due = true;
}

bool tcp_resend_r2ts(struct conn *conn, uint32_t itt, uint32_t from, uint32_t count)
{
	struct tcp_conn *c = tcp_conn_of(conn);
	struct get *g = find(c, itt);
	bool any = false;

	if (!g || g->canceled)
		return false;
	for (uint32_t i = 0; i < R2T_MAX; i++) {
		struct burst *b = &g->burst[i];
		uint32_t ahead = b->r2tsn - from;

		if (!b->active || b->ttt == TAG_NONE || ahead > (count ? count - 1 : INT32_MAX))
			continue;
		set_due(g, b);
		any = true;
	}
	if (any)
		queue_r2ts(c, g->t);
	return any;
}

static bool recoverable(const struct tcp_conn *c, const struct get *g, const struct burst *b)
{
	return c->base.params.error_recovery_level && g->result == TRANSFER_OK && b->got < b->len &&
	       b->recoveries < RECOVERIES_MAX;
}

/* Recovery R2T: what is missing of b becomes a burst of its own. */
static void recover(struct tcp_conn *c, struct get *g, struct burst *b)
{
	struct transfer *t = g->t;
	uint32_t ttt;

	burst_end(c, g, b);
	if (b->offset == t->offset + t->received)
		t->received += b->got;
	ttt = new_ttt(c, (uint32_t)(b - g->burst));
	if (!b->recoveries++)
		b->oldest_ttt = b->ttt == TAG_NONE ? ttt : b->ttt;
	b->ttt = ttt;
	b->r2tsn = t->sn++;
	burst_begin(c, g, b, b->offset + b->got, b->len - b->got);
	set_due(g, b);
	queue_r2ts(c, t);
}

/* --- Sequence reception timeout */

static void watch(struct tcp_conn *c)
{
	if (!timer_armed(&c->sequence_timer) && c->base.params.error_recovery_level)
		timer_arm(c->base.reactor, &c->sequence_timer, NSEC_PER_SEC);
}

/* A Data-Out under way is progress: that it trickles in is not this timeout's matter. */
static void look_at(struct tcp_conn *c, struct get *g, struct burst *b)
{
	uint32_t limit = c->quiet >= SEQUENCE_SECONDS ? SEQUENCE_SECONDS : SEQUENCE_BUSY_SECONDS;
	bool coming = c->rx.get == g && c->rx.burst == b;
	bool progress = b->got != b->seen || b->due || coming;

	b->seen = b->got;
	b->stalled = progress ? 0 : b->stalled + 1;
	if (b->stalled >= limit << b->recoveries && b->result == TRANSFER_OK &&
	    recoverable(c, g, b))
		recover(c, g, b);
}

void tcp_sequence_tick(struct timer *timer)
{
	struct tcp_conn *c = container_of(timer, struct tcp_conn, sequence_timer);
	bool outstanding = false;

	if (c->state != TCP_OPEN)
		return;
	c->quiet = c->data_outs == c->data_outs_seen ? c->quiet + 1 : 0;
	c->data_outs_seen = c->data_outs;
	for (uint32_t i = 0; i < GET_BUCKETS; i++) {
		for (struct get *g = c->gets[i]; g; g = g->next) {
			outstanding = true;
			for (uint32_t k = 0; k < R2T_MAX && !g->canceled; k++) {
				if (g->burst[k].active)
					look_at(c, g, &g->burst[k]);
			}
		}
	}
	if (outstanding)
		watch(c);
}

/* Which burst a Data-Out answers; NULL: none of this transfer. */
static struct burst *burst_of(struct get *g, uint32_t ttt)
{
	struct burst *b = g->t->unsolicited ? &g->burst[0] : &g->burst[ttt % R2T_MAX];

	return b->active && b->ttt == ttt ? b : NULL;
}

/* A tag that a recovery R2T took the place of: its data may still be on the way. */
static bool given_up(const struct get *g, uint32_t ttt)
{
	const struct burst *b = &g->burst[g->t->unsolicited ? 0 : ttt % R2T_MAX];
	uint32_t age = b->ttt - ttt;

	if (!b->recoveries)
		return false;
	if (ttt == TAG_NONE)
		return g->t->unsolicited;
	return age && age % R2T_MAX == 0 && age <= b->ttt - b->oldest_ttt;
}

static void protocol_error(struct tcp_conn *c, enum reject_reason reason, bool fatal)
{
	if (fatal)
		c->rx.stopped = true;
	c->base.up->protocol_error(&c->base, &c->rx.pdu.h, reason, fatal);
}

/* Data-Out that none of the task's bursts is waiting for. */
static void not_asked_for(struct tcp_conn *c, struct get *g, uint32_t ttt)
{
	if (ttt != TAG_NONE) {
		protocol_error(c, REJECT_INVALID_PDU_FIELD, false);
		return;
	}
	fail(g, TRANSFER_UNEXPECTED);
	c->rx.get = g;
}

void tcp_data_out_begin(struct tcp_conn *c)
{
	const struct bhs_data_out *h = &c->rx.pdu.h.data_out;
	struct tcp_rx *rx = &c->rx;
	uint32_t offset = be32_get(h->buffer_offset), ttt = be32_get(h->ttt);
	uint64_t end = (uint64_t)offset + rx->pdu.data_len;
	struct get *g = find(c, be32_get(h->itt));
	struct burst *b;

	rx->get = NULL;
	rx->burst = NULL;
	if (!g || g->canceled) {
		/* Legal after an abort, and not worth an answer otherwise. */
		c->data_out_dropped++;
		return;
	}
	b = burst_of(g, ttt);
	if (!b && given_up(g, ttt)) {
		c->data_out_dropped++;
		return;
	}
	if (!b) {
		not_asked_for(c, g, ttt);
		return;
	}
	/* Data beyond an R2T is an attack or a lost mind; beyond the unsolicited limit it is
	 * what the session has sense data for, as long as the numbers do not wrap. */
	if (end > (ttt == TAG_NONE ? UINT32_MAX : (uint64_t)b->offset + b->len)) {
		protocol_error(c, REJECT_INVALID_PDU_FIELD, true);
		return;
	}
	rx->get = g;
	rx->burst = b;
	if (b->result != TRANSFER_OK)
		return;
	if (end > (uint64_t)b->offset + b->len)
		b->result = TRANSFER_SHORT;
	else if (be32_get(h->datasn) != b->datasn || offset != b->offset + b->got)
		b->result = TRANSFER_DIGEST; /* a PDU got lost on the way */
	else if (rx->pdu.data_len)
		rx->land = (uint8_t *)g->t->data + (offset - g->t->offset);
}

static void burst_done(struct tcp_conn *c, struct get *g, struct burst *b)
{
	struct transfer *t = g->t;

	burst_end(c, g, b);
	if (b->offset == t->offset + t->received)
		t->received += b->got;
	if (b->result != TRANSFER_OK)
		fail(g, b->result);
	if (g->result == TRANSFER_OK && !t->unsolicited && g->asked < t->len) {
		queue_r2ts(c, t);
	} else if (!g->outstanding) {
		if (g->result == TRANSFER_OK && !t->unsolicited)
			t->received = t->len; /* whatever the order of the bursts */
		finish_now(c, g);
	}
}

/* What has landed, if it has, ends where the next byte would have gone. */
static void capture_data_out(struct tcp_conn *c)
{
	const struct pdu *pdu = &c->rx.pdu;
	const uint8_t *end = c->rx.land;

	capture_write(&c->base, CAPTURE_IN, &pdu->h, pdu->ahs, pdu->ahs_len,
		      end ? end - pdu->data_len : NULL, pdu->data_len);
}

void tcp_data_out_end(struct tcp_conn *c, bool digest_ok)
{
	const struct bhs_data_out *h = &c->rx.pdu.h.data_out;
	uint32_t len = c->rx.pdu.data_len;
	bool last = h->flags & PDU_FINAL;
	struct burst *b = c->rx.burst;
	struct get *g = c->rx.get;
	bool solicited, full;

	if (__builtin_expect(c->base.tap != NULL, 0))
		capture_data_out(c);
	if (!digest_ok) {
		protocol_error(c, REJECT_DATA_DIGEST, false);
		if (c->rx.get != g)
			return; /* the callee canceled it */
	}
	if (!g)
		return;
	if (!b) {
		c->rx.get = NULL;
		if (!g->outstanding)
			finish_now(c, g);
		return;
	}
	c->data_outs++;
	if (b->result == TRANSFER_OK && digest_ok) {
		b->got += len;
		b->datasn++;
	} else if (b->result == TRANSFER_OK) {
		b->result = TRANSFER_DIGEST;
	}
	c->rx.get = NULL;
	if (b->result == TRANSFER_DIGEST && recoverable(c, g, b)) {
		recover(c, g, b);
		return;
	}
	solicited = b->ttt != TAG_NONE;
	full = solicited && be32_get(h->buffer_offset) + len == b->offset + b->len;
	if (b->result == TRANSFER_OK && solicited && last != full)
		b->result = TRANSFER_SHORT;
	if (last || full)
		burst_done(c, g, b);
}

void tcp_get_data(struct conn *conn, struct transfer *t)
{
	struct tcp_conn *c = tcp_conn_of(conn);
	uint32_t itt = be32_get(t->h.bhs.itt);
	struct get *g = NULL;

	assert(!find(c, itt) || find(c, itt)->canceled);
	t->received = 0;
	list_init(&t->node);
	if (c->state == TCP_OPEN) {
		g = pool_get(&c->shard->gets);
		if (!g)
			tcp_conn_fail(c, "out of memory");
	}
	if (!g) {
		t->result = TRANSFER_CANCELED;
		list_add_tail(&c->finished, &t->node);
		tcp_conn_defer(c);
		return;
	}
	memset(g, 0, sizeof(*g));
	g->t = t;
	g->itt = itt;
	g->next = *bucket(c, itt);
	*bucket(c, itt) = g;
	watch(c);
	if (t->unsolicited) {
		g->asked = t->len;
		g->burst[0].ttt = TAG_NONE;
		burst_begin(c, g, &g->burst[0], t->offset, t->len);
		return;
	}
	t->h.bhs.opcode = OP_R2T;
	list_add_tail(&c->tx.queue, &t->node);
	tcp_conn_defer(c);
}

static void cancel(struct tcp_conn *c, struct get *g)
{
	struct tcp_rx *rx = &c->rx;

	if (g->canceled)
		return;
	if (rx->get == g && rx->land && rx->land_left && rx->armed) {
		/* The kernel may be writing to the buffer at this moment. */
		g->canceled = true;
		list_del(&g->t->node);
		reactor_cancel(c->base.reactor, &rx->op);
		return;
	}
	if (rx->get == g) {
		rx->land = NULL;
		rx->check = false;
	}
	finish_later(c, g, TRANSFER_CANCELED);
}

void tcp_cancel_data(struct conn *conn, struct transfer *t)
{
	struct tcp_conn *c = tcp_conn_of(conn);
	struct get *g = find(c, be32_get(t->h.bhs.itt));

	/* Not there: its transfer_done() is already on the way. */
	if (g && g->t == t)
		cancel(c, g);
}

void tcp_data_let_go(struct tcp_conn *c)
{
	struct tcp_rx *rx = &c->rx;
	struct get *g = rx->get;

	if (!g || !g->canceled)
		return;
	rx->land = NULL;
	rx->check = false;
	finish_later(c, g, TRANSFER_CANCELED);
}

void tcp_data_cancel_all(struct tcp_conn *c)
{
	for (uint32_t i = 0; i < GET_BUCKETS; i++) {
		struct get *g = c->gets[i], *next;

		for (; g; g = next) {
			next = g->next;
			cancel(c, g);
		}
	}
}
