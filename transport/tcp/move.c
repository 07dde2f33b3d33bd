// SPDX-License-Identifier: BSD-2-Clause
/*
 * hand_over(): the socket, and what was received from it and not yet used up, becomes a new
 * connection of another reactor. No receive is in flight while a PDU is delivered, so nothing has
 * to be taken back from the kernel.
 */
#include "tcp.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"

/* A connection on its way. Belongs to the old reactor, the new one, and the old one again. */
struct move {
	struct work work, back;
	struct tcp_conn *old;
	struct reactor *to;
	void *ctx;
	int fd;
	uint32_t len;
	uint8_t bytes[]; /* the PDU being delivered and what has come behind it */
};

/* [old reactor] The new one has it. */
static void gone(struct work *work)
{
	struct move *m = container_of(work, struct move, back);

	tcp_conn_fail(m->old, "moved");
	free(m);
}

/* [new reactor] */
static void arrive(struct work *work)
{
	struct move *m = container_of(work, struct move, work);
	struct tcp_conn *c = tcp_conn_create(m->to, m->fd, m->old->base.up);

	if (c) {
		/* A socket whose peer is gone does not know any more who that was. */
		c->base.peer = m->old->base.peer;
		memcpy(c->base.peer_name, m->old->base.peer_name, sizeof(c->base.peer_name));
		tcp_conn_start_with(c, m->ctx, m->bytes, m->len);
	}
	reactor_post(m->old->base.reactor, &m->back);
}

/* A small data segment lies in the stream before what is unparsed, its header does not have to.
 * NULL: no memory, or the peer has sent more than fits beside it before it was let in. */
static struct move *pack(const struct tcp_conn *c)
{
	const struct tcp_rx *rx = &c->rx;
	const struct pdu *pdu = &rx->pdu;
	uint32_t data = pdu_padded(pdu->data_len), rest = rx->end - rx->start;
	struct move *m = NULL;

	if (BHS_LEN + data + rest <= STREAM_SIZE)
		m = calloc(1, sizeof(*m) + BHS_LEN + data + rest);
	if (!m)
		return NULL;
	memcpy(m->bytes, &pdu->h, BHS_LEN);
	if (pdu->data_len)
		memcpy(m->bytes + BHS_LEN, pdu->data, pdu->data_len);
	memcpy(m->bytes + BHS_LEN + data, rx->bytes + rx->start, rest);
	m->len = BHS_LEN + data + rest;
	return m;
}

void tcp_hand_over(struct conn *conn, struct reactor *to, void *ctx)
{
	struct tcp_conn *c = tcp_conn_of(conn);
	struct move *m;

	assert(c->state == TCP_OPEN && !c->rx.armed && !c->rx.pdu.ahs_len && !c->rx.pdu.dropped);
	m = pack(c);
	if (!m) {
		tcp_conn_fail(c, "cannot go over to another reactor");
		return;
	}
	m->work.fn = arrive;
	m->back.fn = gone;
	m->old = c;
	m->to = to;
	m->ctx = ctx;
	m->fd = c->fd;
	c->fd = -1;
	c->state = TCP_MOVING;
	c->base.closing = true;
	c->rx.stopped = true;
	tcp_load_add(to);
	reactor_post(to, &m->work);
}
