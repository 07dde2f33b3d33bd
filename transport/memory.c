// SPDX-License-Identifier: BSD-2-Clause
/*
 * The in-process transport: the test is the peer. Down-calls become records that the test reads;
 * their results come at the end of the turn, as with any transport.
 */
#include "transport/memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory_conn {
	struct conn base;
	struct memory_peer *memory;
	struct work work;
	struct list sent; /* struct tx_pdu: sent() is due */
	struct list done; /* struct transfer: transfer_done() is due */
	struct list gets; /* struct transfer in progress */
	uint32_t next_ttt;
	bool dead;
	const struct pdu *delivered; /* while it is */
	struct move *move; /* hand_over(): the peer's next connection is being made */
};

/* A connection on its way to another reactor, with the PDU that took it there. */
struct move {
	struct work work, back;
	struct memory_conn *old;
	struct reactor *to;
	void *ctx;
	bool canceled; /* the peer has vanished meanwhile */
	union pdu_header h;
	uint32_t len;
	uint8_t data[];
};

struct memory_peer {
	struct memory_conn *conn; /* NULL once closed */
	struct list records;
	struct remote_data remote;
	struct memory_datamover datamover;
	bool is_datamover;
	bool lends; /* memory_lend() */
};

static struct memory_conn *conn_of(struct conn *conn)
{
	return container_of(conn, struct memory_conn, base);
}

static void defer(struct memory_conn *c)
{
	reactor_defer(c->base.reactor, &c->work);
}

static struct memory_record *record(struct memory_conn *c, enum memory_kind kind,
				    const union pdu_header *h, const struct remote_data *remote,
				    const void *data, uint32_t len)
{
	struct memory_record *r = malloc(sizeof(*r) + len);

	if (!r)
		abort(); /* a test that lost an answer proves nothing */
	r->kind = kind;
	r->h = *h;
	r->h.bhs.dlength = be24_of(len);
	r->remote = *remote;
	r->from = r->to = 0;
	r->len = len;
	if (len)
		memcpy(r->data, data, len);
	list_add_tail(&c->memory->records, &r->node);
	stat_add(&c->base.pdus_out, 1);
	stat_add(&c->base.bytes_out, len);
	return r;
}

static void finish_later(struct memory_conn *c, struct transfer *t, enum transfer_result result)
{
	list_del(&t->node);
	t->result = result;
	list_add_tail(&c->done, &t->node);
	defer(c);
}

static void end_of_turn(struct work *work)
{
	struct memory_conn *c = container_of(work, struct memory_conn, work);
	struct list *node;

	while ((node = list_pop(&c->sent))) {
		struct tx_pdu *pdu = list_entry(node, struct tx_pdu, node);

		pdu->sent(pdu);
	}
	while ((node = list_pop(&c->done)))
		c->base.up->transfer_done(&c->base, list_entry(node, struct transfer, node));
	if (!c->dead)
		return;
	if (!list_empty(&c->gets)) {
		struct list *tmp;

		list_for_each_safe(node, tmp, &c->gets)
			finish_later(c, list_entry(node, struct transfer, node), TRANSFER_CANCELED);
	}
	if (c->work.queued || !list_empty(&c->sent) || !list_empty(&c->done)) {
		defer(c);
		return;
	}
	c->base.up->closed(&c->base);
	if (c->memory->conn == c)
		c->memory->conn = NULL;
	atomic_fetch_sub_explicit(&c->base.reactor->load, 1, memory_order_relaxed);
	free(c);
}

static int no_listen(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
		     void *ctx, struct listener **out, char *why, size_t why_size)
{
	(void)r, (void)addr, (void)up, (void)ctx, (void)out;
	snprintf(why, why_size, "memory connections are made by memory_connect()");
	return -EOPNOTSUPP;
}

static void no_unlisten(struct listener *l)
{
	(void)l;
}

static void offer_keys(struct conn *conn, struct conn_params *can)
{
	const struct memory_peer *peer = conn_of(conn)->memory;

	if (!conn->digests)
		can->header_digest = can->data_digest = false;
	if (can->max_recv_dsl > BUF_MAX)
		can->max_recv_dsl = BUF_MAX;
	if (peer->is_datamover) {
		can->rdma_extensions = can->needs_extensions = true;
		can->error_recovery_level = 0;
		can->max_connections = 1;
		can->max_recv_dsl = peer->datamover.max_recv_dsl;
		can->max_unexpected = peer->datamover.max_unexpected;
		can->max_ahs = peer->datamover.max_ahs;
	}
}

static void apply_keys(struct conn *conn, const struct conn_params *params)
{
	const struct memory_peer *peer = conn_of(conn)->memory;

	conn->params = *params;
	conn->params.full_feature = true;
	if (peer->is_datamover)
		conn->max_full_feature_data = peer->datamover.max_data;
}

static void send_pdu(struct conn *conn, struct tx_pdu *pdu)
{
	struct memory_conn *c = conn_of(conn);

	if (!c->dead)
		record(c, MEMORY_PDU, &pdu->h, &pdu->remote, pdu->data, pdu->data_len);
	list_add_tail(&c->sent, &pdu->node);
	defer(c);
}

static void put_data(struct conn *conn, struct transfer *t)
{
	struct memory_conn *c = conn_of(conn);
	union pdu_header h = t->h;

	h.bhs.opcode = OP_DATA_IN;
	h.data_in.flags = 0;
	if (t->with_status)
		h.data_in.flags = t->h.data_in.flags | DATA_IN_STATUS | PDU_FINAL;
	else if (t->final)
		h.data_in.flags = PDU_FINAL;
	h.data_in.ttt = be32_of(TAG_NONE);
	if (t->ack) {
		h.data_in.flags |= DATA_IN_ACK;
		h.data_in.ttt = t->h.data_in.ttt;
	}
	h.data_in.datasn = be32_of(t->sn);
	h.data_in.buffer_offset = be32_of(t->offset);
	if (!c->dead && (!t->part || (t->sn >= t->from && t->sn < t->to))) {
		struct memory_record *r;

		r = record(c, MEMORY_DATA_IN, &h, &t->remote, t->data, t->len);
		r->from = t->part ? t->from : 0;
		r->to = t->part ? t->to : 0;
	}
	t->sn++;
	list_init(&t->node);
	finish_later(c, t, c->dead ? TRANSFER_CANCELED : TRANSFER_OK);
}

static void get_data(struct conn *conn, struct transfer *t)
{
	struct memory_conn *c = conn_of(conn);

	t->received = 0;
	list_init(&t->node);
	if (c->base.closing) {
		finish_later(c, t, TRANSFER_CANCELED);
		return;
	}
	list_add_tail(&c->gets, &t->node);
	if (t->unsolicited) {
		t->h.r2t.ttt = be32_of(TAG_NONE);
		return;
	}
	t->h.bhs.opcode = OP_R2T;
	t->h.bhs.flags = PDU_FINAL;
	t->h.r2t.ttt = be32_of(c->next_ttt++);
	t->h.r2t.r2tsn = be32_of(t->sn++);
	t->h.r2t.buffer_offset = be32_of(t->offset);
	t->h.r2t.desired_len = be32_of(t->len);
	record(c, MEMORY_R2T, &t->h, &t->remote, NULL, 0);
}

static struct transfer *find_get(struct memory_conn *c, uint32_t itt)
{
	struct list *node;

	list_for_each(node, &c->gets) {
		struct transfer *t = list_entry(node, struct transfer, node);

		if (be32_get(t->h.bhs.itt) == itt)
			return t;
	}
	return NULL;
}

/* A get_data() has one R2T here: the one before its next number. */
static bool resend_r2ts(struct conn *conn, uint32_t itt, uint32_t from, uint32_t count)
{
	struct memory_conn *c = conn_of(conn);
	struct transfer *t = find_get(c, itt);
	uint32_t ahead = t ? t->sn - 1 - from : 0;

	if (!t || t->unsolicited || c->base.closing || (count ? ahead >= count : ahead > INT32_MAX))
		return false;
	c->base.up->stamp(conn, &t->h);
	record(c, MEMORY_R2T, &t->h, &t->remote, NULL, 0);
	return true;
}

static void cancel_data(struct conn *conn, struct transfer *t)
{
	struct memory_conn *c = conn_of(conn);

	if (find_get(c, be32_get(t->h.bhs.itt)) == t)
		finish_later(c, t, TRANSFER_CANCELED);
}

static void close_conn(struct conn *conn, bool flush)
{
	struct memory_conn *c = conn_of(conn);

	(void)flush; /* what was sent is with the peer already */
	if (c->move)
		return;
	c->base.closing = true;
	c->dead = true;
	defer(c);
}

/* Becomes the connection of peer; NULL: no memory. */
static struct memory_conn *conn_new(struct memory_peer *peer, struct reactor *r,
				    const struct conn_up *up)
{
	struct memory_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	peer->conn = c;
	c->memory = peer;
	c->base.ops = &memory_transport;
	c->base.up = up;
	c->base.reactor = r;
	c->base.movable = true;
	c->base.params.max_recv_dsl = c->base.params.max_xmit_dsl = LOGIN_DATA_MAX;
	c->work.fn = end_of_turn;
	list_init(&c->sent);
	list_init(&c->done);
	list_init(&c->gets);
	/* Looks like a loopback peer to what prints or compares addresses. */
	c->base.peer.ss_family = c->base.local.ss_family = AF_INET;
	((struct sockaddr_in *)&c->base.peer)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	((struct sockaddr_in *)&c->base.local)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	((struct sockaddr_in *)&c->base.local)->sin_port = htons(ISCSI_PORT);
	snprintf(c->base.peer_name, sizeof(c->base.peer_name), "127.0.0.1:0");
	snprintf(c->base.local_name, sizeof(c->base.local_name), "127.0.0.1:%d", ISCSI_PORT);
	atomic_fetch_add_explicit(&r->load, 1, memory_order_relaxed);
	return c;
}

/* [old reactor] */
static void gone(struct work *work)
{
	struct move *m = container_of(work, struct move, back);

	m->old->move = NULL;
	close_conn(&m->old->base, false);
	free(m);
}

/* [new reactor] */
static void arrive(struct work *work)
{
	struct move *m = container_of(work, struct move, work);
	struct memory_peer *peer = m->old->memory;
	struct memory_conn *c = m->canceled ? NULL : conn_new(peer, m->to, m->old->base.up);

	if (c) {
		c->base.digests = m->old->base.digests;
		c->base.up->accepted(m->ctx, &c->base);
		memory_send(peer, &m->h, NULL, 0, m->len ? m->data : NULL, m->len);
	}
	reactor_post(m->old->base.reactor, &m->back);
}

static void hand_over(struct conn *conn, struct reactor *to, void *ctx)
{
	struct memory_conn *c = conn_of(conn);
	const struct pdu *pdu = c->delivered;
	struct move *m = calloc(1, sizeof(*m) + pdu->data_len);

	assert(list_empty(&c->sent) && list_empty(&c->gets) && list_empty(&c->done));
	if (!m) {
		close_conn(conn, false);
		return;
	}
	m->work.fn = arrive;
	m->back.fn = gone;
	m->old = c;
	m->to = to;
	m->ctx = ctx;
	m->h = pdu->h;
	m->len = pdu->data_len;
	if (m->len)
		memcpy(m->data, pdu->data, m->len);
	c->move = m;
	c->base.closing = true;
	reactor_post(to, &m->work);
}

const struct transport_ops memory_transport = {
	.name = "memory",
	.listen = no_listen,
	.unlisten = no_unlisten,
	.offer_keys = offer_keys,
	.apply_keys = apply_keys,
	.send_pdu = send_pdu,
	.put_data = put_data,
	.get_data = get_data,
	.resend_r2ts = resend_r2ts,
	.cancel_data = cancel_data,
	.hand_over = hand_over,
	.close = close_conn,
};

struct memory_peer *memory_connect(struct reactor *r, const struct conn_up *up, void *ctx)
{
	struct memory_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	list_init(&peer->records);
	if (!conn_new(peer, r, up)) {
		free(peer);
		return NULL;
	}
	up->accepted(ctx, &peer->conn->base);
	return peer;
}

void memory_be_datamover(struct memory_peer *peer, const struct memory_datamover *how)
{
	peer->datamover = *how;
	peer->is_datamover = true;
	peer->conn->base.digests = peer->conn->base.movable = false;
}

void memory_set_remote(struct memory_peer *peer, const struct remote_data *remote)
{
	peer->remote = *remote;
}

void memory_lend(struct memory_peer *peer)
{
	peer->lends = true;
}

struct conn *memory_conn(const struct memory_peer *peer)
{
	return peer->conn ? &peer->conn->base : NULL;
}

/* Immediate data goes to a buffer, as unsolicited data behind it would. */
static void give_buffer(struct memory_conn *c, struct pdu *pdu, const void *data)
{
	uint32_t size = be32_get(pdu->h.scsi_command.edtl), most = c->base.params.first_burst;

	most = most < FIRST_ROOM ? most : FIRST_ROOM;
	size = size > most ? most : size;
	pdu->buf = buf_get(c->base.reactor, size > pdu->data_len ? size : pdu->data_len);
	pdu->dropped = !pdu->buf;
	if (!pdu->buf)
		return;
	memcpy(pdu->buf->data, data, pdu->data_len);
	pdu->data = pdu->buf->data;
}

void memory_send(struct memory_peer *peer, const union pdu_header *h, const void *ahs,
		 uint32_t ahs_len, const void *data, uint32_t len)
{
	struct memory_conn *c = peer->conn;
	struct pdu pdu = { .h = *h, .ahs_len = ahs_len, .data_len = len };
	uint8_t *lent = NULL;

	if (!c || c->base.closing)
		return;
	assert(ahs_len <= AHS_MAX && ahs_len % 4 == 0 && pdu_opcode(&h->bhs) != OP_DATA_OUT);
	assert(len <= c->base.params.max_recv_dsl);
	pdu.h.bhs.total_ahs_len = (uint8_t)(ahs_len / 4);
	pdu.h.bhs.dlength = be24_of(len);
	if (ahs_len)
		memcpy(pdu.ahs, ahs, ahs_len);
	if (pdu_opcode(&h->bhs) == OP_SCSI_COMMAND)
		pdu.remote = peer->remote;
	if (len && pdu_opcode(&h->bhs) == OP_SCSI_COMMAND && peer->lends) {
		pdu.data = lent = malloc(len);
		assert(lent);
		memcpy(lent, data, len);
	} else if (len && pdu_opcode(&h->bhs) == OP_SCSI_COMMAND) {
		give_buffer(c, &pdu, data);
	} else if (len) {
		pdu.data = data;
	}
	stat_add(&c->base.pdus_in, 1);
	stat_add(&c->base.bytes_in, BHS_LEN + ahs_len + len);
	c->delivered = &pdu;
	c->base.up->pdu_received(&c->base, &pdu);
	c->delivered = NULL;
	buf_put(c->base.reactor, pdu.buf);
	if (lent)
		memset(lent, 0xdb, len);
	free(lent);
}

bool memory_data_out(struct memory_peer *peer, uint32_t itt, uint32_t ttt, uint32_t offset,
		     const void *data, uint32_t len, bool final)
{
	struct memory_conn *c = peer->conn;
	struct transfer *t = c ? find_get(c, itt) : NULL;
	enum transfer_result result = TRANSFER_OK;

	if (!t || be32_get(t->h.r2t.ttt) != ttt)
		return false;
	if (offset != t->offset + t->received)
		result = TRANSFER_DIGEST;
	else if (len > t->len - t->received)
		result = TRANSFER_SHORT;
	if (result == TRANSFER_OK) {
		if (len)
			memcpy((uint8_t *)t->data + t->received, data, len);
		t->received += len;
		if (!t->unsolicited && final != (t->received == t->len))
			result = TRANSFER_SHORT;
	}
	stat_add(&c->base.bytes_in, len);
	if (final || result != TRANSFER_OK)
		finish_later(c, t, result);
	return true;
}

bool memory_finish(struct memory_peer *peer, uint32_t itt, enum transfer_result result)
{
	struct transfer *t = peer->conn ? find_get(peer->conn, itt) : NULL;

	if (t)
		finish_later(peer->conn, t, result);
	return t != NULL;
}

struct memory_record *memory_receive(struct memory_peer *peer)
{
	struct list *node = list_pop(&peer->records);

	return node ? list_entry(node, struct memory_record, node) : NULL;
}

void memory_disconnect(struct memory_peer *peer)
{
	if (peer->conn && peer->conn->move)
		peer->conn->move->canceled = true;
	else if (peer->conn)
		close_conn(&peer->conn->base, false);
}

void memory_free(struct memory_peer *peer)
{
	struct list *node;

	if (!peer)
		return;
	assert(!peer->conn);
	while ((node = list_pop(&peer->records)))
		free(list_entry(node, struct memory_record, node));
	free(peer);
}
