// SPDX-License-Identifier: BSD-2-Clause
/*
 * Send: one sendmsg in flight per connection. What is queued meanwhile goes with the next one,
 * which is put together at the end of the turn: headers, digests and padding in the batch's own
 * text, payload by reference. Nothing is given back before its last byte was taken.
 */
#include "tcp.h"

#include <errno.h>
#include <string.h>

#include "capture.h"
#include "digest.h"

/* Room for one more PDU, whatever it is. */
static bool has_room(const struct tx_batch *b)
{
	return b->iovs + 3 <= BATCH_IOVS && b->bytes < BATCH_BYTES &&
	       b->text_used + BHS_LEN + DIGEST_LEN + INLINE_MAX + 3 + DIGEST_LEN <= BATCH_TEXT;
}

static void add_ref(struct tx_batch *b, const void *data, uint32_t len)
{
	struct iovec *last = &b->iov[b->iovs];

	b->bytes += len;
	if (b->iovs && (uint8_t *)last[-1].iov_base + last[-1].iov_len == data) {
		last[-1].iov_len += len;
		return;
	}
	last->iov_base = (void *)(uintptr_t)data;
	last->iov_len = len;
	b->iovs++;
}

static void *add_text(struct tx_batch *b, uint32_t len)
{
	uint8_t *p = b->text + b->text_used;

	b->text_used += len;
	add_ref(b, p, len);
	return p;
}

/* What goes out now is still as in the login phase. */
static bool is_plain(const struct tcp_conn *c)
{
	return c->tx.plain > 0;
}

/* The header has its place in the batch and is complete but for dlength. */
static void add_pdu(struct tcp_conn *c, struct tx_batch *b, union pdu_header *h, const void *data,
		    uint32_t len)
{
	bool header_digest = c->base.params.header_digest && !is_plain(c);
	bool data_digest = c->base.params.data_digest && !is_plain(c) && len;
	uint32_t pad = pdu_padded(len) - len;
	uint8_t *tail;

	h->bhs.total_ahs_len = 0;
	h->bhs.dlength = be24_of(len);
	capture_pdu(&c->base, CAPTURE_OUT, h, data, len);
	if (header_digest)
		digest_put(add_text(b, DIGEST_LEN), crc32c_update(CRC32C_INIT, h, BHS_LEN));
	b->pdus++;
	if (!len)
		return;
	if (len <= INLINE_MAX)
		memcpy(add_text(b, len), data, len);
	else
		add_ref(b, data, len);
	if (!pad && !data_digest)
		return;
	tail = add_text(b, pad + (data_digest ? DIGEST_LEN : 0u));
	memset(tail, 0, pad);
	if (data_digest) {
		uint32_t crc = crc32c_update(CRC32C_INIT, data, len);

		digest_put(tail + pad, crc32c_update(crc, tail, pad));
	}
}

static bool add_message(struct tcp_conn *c, struct tx_batch *b, struct tx_pdu *pdu)
{
	union pdu_header *h;

	if (!has_room(b))
		return false;
	h = add_text(b, BHS_LEN);
	*h = pdu->h;
	add_pdu(c, b, h, pdu->data, pdu->data_len);
	if (is_plain(c))
		c->tx.plain--;
	return true;
}

static bool add_r2ts(struct tcp_conn *c, struct tx_batch *b, struct transfer *t)
{
	while (tcp_r2t_due(c, t)) {
		union pdu_header *h;

		if (!has_room(b))
			return false;
		h = add_text(b, BHS_LEN);
		*h = t->h;
		tcp_next_r2t(c, t, &h->r2t);
		add_pdu(c, b, h, NULL, 0);
	}
	return true;
}

/* One PDU with status and nothing special about it, as most READs have it. */
static bool is_simple(const struct tcp_conn *c, const struct transfer *t)
{
	const struct conn_params *params = &c->base.params;

	return t->with_status && !c->tx.head_done && t->len > INLINE_MAX && t->len % 4 == 0 &&
	       t->len <= t->segment && !t->offset && t->len <= params->max_burst &&
	       !(t->part | t->ack | params->header_digest | params->data_digest);
}

static bool add_simple(struct tcp_conn *c, struct tx_batch *b, struct transfer *t)
{
	struct bhs_data_in *h;

	if (!has_room(b))
		return false;
	h = add_text(b, BHS_LEN);
	*h = t->h.data_in;
	h->flags |= DATA_IN_STATUS | PDU_FINAL;
	h->total_ahs_len = 0;
	h->dlength = be24_of(t->len);
	h->ttt = be32_of(TAG_NONE);
	h->datasn = be32_of(t->sn++);
	h->buffer_offset = be32_of(0);
	capture_pdu(&c->base, CAPTURE_OUT, (const union pdu_header *)h, t->data, t->len);
	add_ref(b, t->data, t->len);
	b->pdus++;
	return true;
}

/* Splits at the peer's MaxRecvDataSegmentLength and at every MaxBurstLength of the command, whose
 * last PDU carries the F bit (11.7.1). */
static bool add_data_in(struct tcp_conn *c, struct tx_batch *b, struct transfer *t)
{
	uint32_t max_burst = c->base.params.max_burst;
	uint32_t *done = &c->tx.head_done;

	do {
		uint32_t offset = t->offset + *done, len = t->len - *done, room = max_burst;
		union pdu_header *h;
		bool last;

		if (!has_room(b))
			return false;
		room -= offset < max_burst ? offset : offset % max_burst;
		if (len > t->segment)
			len = t->segment;
		if (len > room)
			len = room;
		last = *done + len == t->len;
		if (t->part && (t->sn < t->from || t->sn >= t->to)) {
			t->sn++;
			*done += len;
			continue; /* left with the others, that time */
		}
		h = add_text(b, BHS_LEN);
		*h = t->h;
		h->data_in.flags = 0;
		if (last && t->with_status) {
			h->data_in.flags = t->h.data_in.flags | DATA_IN_STATUS | PDU_FINAL;
		} else {
			h->data_in.status = 0;
			h->data_in.statsn = be32_of(0);
			h->data_in.residual = be32_of(0);
			if (len == room || (last && t->final))
				h->data_in.flags = PDU_FINAL;
		}
		h->data_in.ttt = be32_of(TAG_NONE);
		if (last && t->ack) {
			h->data_in.flags |= DATA_IN_ACK;
			h->data_in.ttt = t->h.data_in.ttt;
		}
		h->data_in.datasn = be32_of(t->sn++);
		h->data_in.buffer_offset = be32_of(offset);
		add_pdu(c, b, h, len ? (uint8_t *)t->data + *done : NULL, len);
		*done += len;
	} while (*done < t->len);
	*done = 0;
	return true;
}

static bool add_item(struct tcp_conn *c, struct tx_batch *b, struct tx_item *item)
{
	switch (item->h.bhs.opcode) {
	case OP_DATA_IN:
		if (__builtin_expect(is_simple(c, tx_item_transfer(item)), 1))
			return add_simple(c, b, tx_item_transfer(item));
		return add_data_in(c, b, tx_item_transfer(item));
	case OP_R2T: return add_r2ts(c, b, tx_item_transfer(item));
	default: return add_message(c, b, tx_item_pdu(item));
	}
}

static void submit(struct tcp_conn *c)
{
	struct io_uring_sqe *sqe;

	if (c->fd < 0)
		return;
	sqe = reactor_sqe(c->base.reactor, &c->tx.op);
	/* With MSG_WAITALL the kernel goes on by itself when the socket has room again. */
	io_uring_prep_sendmsg(sqe, c->fd, &c->tx.batch->msg, MSG_NOSIGNAL | MSG_WAITALL);
}

static struct tx_batch *batch_get(struct tcp_conn *c)
{
	struct tcp_shard *shard = c->shard;
	struct tx_batch *b = pool_get(&shard->batches);

	if (b) {
		b->iovs = b->text_used = b->bytes = b->pdus = 0;
		list_init(&b->items);
	} else if (!shard->batches.in_use) {
		tcp_conn_fail(c, "out of memory");
	} else if (list_empty(&c->tx.starved)) {
		list_add_tail(&shard->starved, &c->tx.starved);
	}
	return b;
}

static void batch_put(struct tcp_conn *c)
{
	struct tcp_shard *shard = c->shard;
	struct list *node;

	pool_put(&shard->batches, c->tx.batch);
	c->tx.batch = NULL;
	/* All of them: the first may have nothing to send any more. The others line up again. */
	while ((node = list_pop(&shard->starved)))
		tcp_conn_defer(container_of(node, struct tcp_conn, tx.starved));
}

static void queue(struct tcp_conn *c, struct tx_item *item)
{
	c->base.bytes_queued += tx_item_weight(item);
	list_add_tail(&c->tx.queue, &item->node);
	tcp_conn_defer(c);
}

static void give_back(struct tcp_conn *c, struct list *items, enum transfer_result result)
{
	struct list *node;

	while ((node = list_pop(items))) {
		struct tx_item *item = list_entry(node, struct tx_item, node);

		c->base.bytes_queued -= tx_item_weight(item);
		if (item->h.bhs.opcode == OP_DATA_IN) {
			tx_item_transfer(item)->result = result;
			c->base.up->transfer_done(&c->base, tx_item_transfer(item));
		} else {
			tx_item_pdu(item)->sent(tx_item_pdu(item));
		}
	}
}

/* Skips n bytes of the batch; true: that was all of it. */
static bool advance(struct tx_batch *b, size_t n)
{
	while (b->msg.msg_iovlen && n >= b->msg.msg_iov->iov_len) {
		n -= b->msg.msg_iov->iov_len;
		b->msg.msg_iov++;
		b->msg.msg_iovlen--;
	}
	if (!b->msg.msg_iovlen)
		return true;
	b->msg.msg_iov->iov_base = (uint8_t *)b->msg.msg_iov->iov_base + n;
	b->msg.msg_iov->iov_len -= n;
	return false;
}

static void batch_sent(struct tcp_conn *c, enum transfer_result result)
{
	struct list items;

	list_init(&items);
	list_splice_tail(&items, &c->tx.batch->items);
	batch_put(c);
	give_back(c, &items, result);
}

void tcp_tx_flush(struct tcp_conn *c)
{
	struct tx_batch *b;

	if (c->tx.batch || list_empty(&c->tx.queue))
		return;
	b = batch_get(c);
	if (!b)
		return;
	while (!list_empty(&c->tx.queue)) {
		struct tx_item *item = list_entry(c->tx.queue.next, struct tx_item, node);

		if (!add_item(c, b, item))
			break;
		list_del(&item->node);
		/* An R2T is gone when it is in the batch; its transfer lives on. */
		if (item->h.bhs.opcode != OP_R2T)
			list_add_tail(&b->items, &item->node);
	}
	c->tx.batch = b;
	if (!b->bytes) {
		/* R2Ts that are not due any more, or a run that a SNACK had nothing of. */
		batch_sent(c, TRANSFER_OK);
		return;
	}
	memset(&b->msg, 0, sizeof(b->msg));
	b->msg.msg_iov = b->iov;
	b->msg.msg_iovlen = b->iovs;
	stat_add(&c->base.pdus_out, b->pdus);
	submit(c);
}

void tcp_tx_sent(struct tcp_conn *c, int res)
{
	bool all = false;

	if (res > 0) {
		stat_add(&c->base.bytes_out, (uint32_t)res);
		all = advance(c->tx.batch, (size_t)res);
	}
	if (all) {
		batch_sent(c, TRANSFER_OK);
		tcp_conn_defer(c);
	} else if (c->state == TCP_DEAD) {
		batch_sent(c, TRANSFER_CANCELED);
		tcp_conn_defer(c);
	} else if (res > 0 || res == -EINTR || res == -EAGAIN) {
		submit(c);
	} else {
		batch_sent(c, TRANSFER_CANCELED);
		tcp_conn_fail(c, res ? strerrordesc_np(-res) : "the socket takes nothing");
	}
}

static void send_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	(void)cqe_flags;
	tcp_tx_sent(container_of(op, struct tcp_conn, tx.op), res);
}

void tcp_tx_return(struct tcp_conn *c)
{
	struct list items, *node, *tmp;

	assert(!c->tx.batch);
	list_del(&c->tx.starved);
	list_init(&items);
	list_for_each_safe(node, tmp, &c->tx.queue) {
		/* R2Ts to be sent belong to data.c. */
		if (list_entry(node, struct tx_item, node)->h.bhs.opcode == OP_R2T)
			continue;
		list_del(node);
		list_add_tail(&items, node);
	}
	give_back(c, &items, TRANSFER_CANCELED);
}

void tcp_send_pdu(struct conn *conn, struct tx_pdu *pdu)
{
	queue(tcp_conn_of(conn), container_of(&pdu->node, struct tx_item, node));
}

void tcp_put_data(struct conn *conn, struct transfer *t)
{
	t->h.bhs.opcode = OP_DATA_IN;
	/* A new MaxRecvDataSegmentLength holds for what comes behind the Text Response. */
	t->segment = conn->params.max_xmit_dsl;
	queue(tcp_conn_of(conn), container_of(&t->node, struct tx_item, node));
}

void tcp_tx_init(struct tcp_conn *c)
{
	list_init(&c->tx.queue);
	list_init(&c->tx.starved);
	c->tx.op.done = send_done;
}
