// SPDX-License-Identifier: BSD-2-Clause
/*
 * The send queue. A turn's work goes to the device in one post per connection:
 *
 *   RDMA Read  (signaled)                     get_data(), as long as the initiator can answer more
 *   RDMA Write, RDMA Write                    put_data()
 *   RDMA Write, Send                          put_data() with status: the SCSI Response behind it
 *   Send                                      send_pdu()
 *
 * Only Reads and the last work request of a post are signaled: the queue ends them in order, so the
 * completion of one ends all before it. The ring remembers what was posted and whose it is.
 */
#include "transport/rdma/rdma.h"

#include <string.h>

#include "capture.h"
#include "core/log.h"

/* A post being put together. Inline data has to stay until it is posted only. */
struct post {
	struct rdma_conn *c;
	uint32_t count;
	struct ibv_send_wr wr[SEND_BATCH];
	struct ibv_sge sge[SEND_BATCH];
	uint8_t text[SEND_BATCH][INLINE_WANTED];
};

static struct log_limit memory_limit = LOG_LIMIT(5);

/* For n work requests more, in this post and on the queue. */
static bool has_room(const struct post *post, uint32_t n)
{
	const struct rdma_tx *tx = &post->c->tx;

	return post->count + n <= SEND_BATCH && tx->tail - tx->head + n <= SEND_DEPTH;
}

/* The ring's entry of the work request that was added last. */
static struct rdma_sent *last_sent(const struct post *post)
{
	return &post->c->tx.ring[(post->c->tx.tail - 1) % SEND_DEPTH];
}

/* bounce: the copy that it is about, if any; the ring takes it. */
static struct ibv_send_wr *add_wr(struct post *post, enum ibv_wr_opcode opcode, const void *from,
				  uint32_t len, uint32_t lkey, struct buf *bounce)
{
	struct ibv_send_wr *wr = &post->wr[post->count];

	memset(wr, 0, sizeof(*wr));
	wr->wr_id = (uintptr_t)post->c | WR_SEND;
	wr->opcode = opcode;
	wr->sg_list = &post->sge[post->count];
	wr->num_sge = 1;
	wr->sg_list->addr = (uintptr_t)from;
	wr->sg_list->length = len;
	wr->sg_list->lkey = lkey;
	if (post->count)
		wr[-1].next = wr;
	post->count++;
	post->c->tx.tail++;
	*last_sent(post) = (struct rdma_sent){
		.bounce = bounce,
		.read = opcode == IBV_WR_RDMA_READ,
		.bytes = len,
	};
	return wr;
}

static void out_of_memory(struct rdma_conn *c)
{
	log_write_limited(&memory_limit, LOG_LEVEL_WARN,
			  "%s: no registered memory to send from, closing; raise --memory or the "
			  "limit of locked memory (ulimit -l)",
			  c->base.peer_name);
	rdma_conn_fail(c, "no registered memory");
}

static void memory_ready(struct buf_waiter *waiter, struct buf *b)
{
	struct rdma_conn *c = container_of(waiter, struct rdma_conn, tx.waiter);

	c->tx.waiting = false;
	buf_put(c->base.reactor, b);
	rdma_conn_defer(c);
}

static void wait_for_memory(struct rdma_conn *c, uint32_t len)
{
	if (c->tx.waiting)
		return;
	c->tx.waiting = true;
	c->tx.waiter.len = len;
	c->tx.waiter.ready = memory_ready;
	list_init(&c->tx.waiter.node);
	buf_wait(c->base.reactor, &c->tx.waiter);
}

/* Memory that the device can read, for what it cannot read where it is. NULL: it is waited for, or
 * the device cannot have any and the connection is going down. */
static struct buf *bounce_get(struct post *post, uint32_t len, uint32_t *lkey)
{
	struct rdma_conn *c = post->c;
	struct buf *b = buf_get(c->base.reactor, len);
	uint32_t piece;

	if (!b) {
		wait_for_memory(c, len);
		return NULL;
	}
	if (rdma_lkey(c->hca, b->data, len, lkey, &piece) && piece == len)
		return b;
	buf_put(c->base.reactor, b);
	out_of_memory(c);
	return NULL;
}

/* --- Sends */

/* The command's response may invalidate the STag it came with: the read's, else the write's. */
static void set_invalidate(const struct rdma_conn *c, struct ibv_send_wr *wr,
			   const struct remote_data *remote)
{
	uint32_t flags = (uint32_t)(remote->opaque[REMOTE_FLAGS_EDTL] >> 32);
	uint64_t stags = remote->opaque[REMOTE_STAGS];

	if (!c->send_w_inv || !(flags & (ISER_RSV | ISER_WSV)))
		return;
	wr->opcode = IBV_WR_SEND_WITH_INV;
	wr->invalidate_rkey = flags & ISER_RSV ? (uint32_t)stags : (uint32_t)(stags >> 32);
}

static void build_message(uint8_t *to, const union pdu_header *h, const void *data, uint32_t len)
{
	union pdu_header pdu = *h;
	struct iser_header header = { .flags = ISER_CTRL };

	pdu.bhs.total_ahs_len = 0;
	pdu.bhs.dlength = be24_of(len);
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), &pdu, BHS_LEN);
	if (len)
		memcpy(to + HEADERS, data, len);
}

/* NULL: not now, as bounce_get(). */
static struct ibv_send_wr *add_send(struct post *post, const union pdu_header *h, const void *data,
				    uint32_t len)
{
	struct rdma_conn *c = post->c;
	uint32_t size = HEADERS + len, lkey = 0;
	bool is_inline = size <= c->max_inline && size <= INLINE_WANTED;
	uint8_t *text = post->text[post->count];
	struct buf *bounce = NULL;
	struct ibv_send_wr *wr;

	if (!is_inline) {
		bounce = bounce_get(post, size, &lkey);
		if (!bounce)
			return NULL;
		text = bounce->data;
	}
	build_message(text, h, data, len);
	wr = add_wr(post, IBV_WR_SEND, text, size, lkey, bounce);
	wr->send_flags = is_inline ? IBV_SEND_INLINE : 0;
	capture_pdu(&c->base, CAPTURE_OUT, h, data, len);
	stat_add(&c->base.pdus_out, 1);
	c->rx.taken -= c->rx.taken > 0;
	return wr;
}

static bool add_pdu(struct post *post, struct tx_pdu *pdu)
{
	struct ibv_send_wr *wr = add_send(post, &pdu->h, pdu->data, pdu->data_len);

	if (!wr)
		return false;
	last_sent(post)->item = container_of(&pdu->node, struct tx_item, node);
	if (pdu_opcode(&pdu->h.bhs) == OP_SCSI_RESPONSE)
		set_invalidate(post->c, wr, &pdu->remote);
	return true;
}

/* No Data-In and no status in it: always a SCSI Response (RFC 7145 7.3.5). */
static bool add_response(struct post *post, const struct transfer *t)
{
	const struct bhs_data_in *in = &t->h.data_in;
	union pdu_header h = { 0 };
	struct bhs_scsi_response *rsp = &h.scsi_response;
	struct ibv_send_wr *wr;

	rsp->opcode = OP_SCSI_RESPONSE;
	rsp->flags = PDU_FINAL | (in->flags & (RSP_OVERFLOW | RSP_UNDERFLOW));
	rsp->response = RSP_COMPLETED;
	rsp->status = in->status;
	rsp->itt = in->itt;
	rsp->statsn = in->statsn;
	rsp->expcmdsn = in->expcmdsn;
	rsp->maxcmdsn = in->maxcmdsn;
	rsp->residual = in->residual;
	wr = add_send(post, &h, NULL, 0);
	if (wr)
		set_invalidate(post->c, wr, &t->remote);
	return wr;
}

/* --- Data */

/* What the command advertised bounds what we touch, whoever asks for it. */
static bool within(const struct transfer *t, uint32_t flag)
{
	uint64_t flags_edtl = t->remote.opaque[REMOTE_FLAGS_EDTL];

	return flags_edtl >> 32 & flag && (uint64_t)t->offset + t->len <= (uint32_t)flags_edtl;
}

/* The next RDMA Write of t, from where the data is or from a copy. t->received: bytes that are
 * posted. False: not now, as bounce_get(). */
static bool add_write(struct post *post, struct transfer *t)
{
	struct rdma_conn *c = post->c;
	const uint8_t *from = (uint8_t *)t->data + t->received;
	uint32_t left = t->len - t->received, lkey, piece;
	struct buf *bounce = NULL;
	struct ibv_send_wr *wr;

	if (!rdma_lkey(c->hca, from, left, &lkey, &piece)) {
		piece = left < BUF_MAX ? left : BUF_MAX;
		bounce = bounce_get(post, piece, &lkey);
		if (!bounce)
			return false;
		memcpy(bounce->data, from, piece);
		from = bounce->data;
		stat_add(&c->base.bytes_copied, piece);
		stat_add(&c->base.reactor->stats.bytes_copied, piece);
	}
	wr = add_wr(post, IBV_WR_RDMA_WRITE, from, piece, lkey, bounce);
	wr->wr.rdma.remote_addr = t->remote.opaque[REMOTE_READ_VA] + t->offset + t->received;
	wr->wr.rdma.rkey = (uint32_t)t->remote.opaque[REMOTE_STAGS];
	t->received += piece;
	return true;
}

/* False: the rest has to wait, or the connection is going down. */
static bool add_put(struct post *post, struct transfer *t)
{
	if (t->len && !within(t, ISER_RSV)) {
		rdma_conn_fail(post->c, "data for a buffer that was not advertised");
		return false;
	}
	while (t->received < t->len) {
		if (!has_room(post, 2) || !add_write(post, t))
			return false;
		rdma_capture_put(post->c, t);
	}
	if (t->with_status && (!has_room(post, 1) || !add_response(post, t)))
		return false;
	last_sent(post)->item = container_of(&t->node, struct tx_item, node);
	return true;
}

/* The chunks that t's data lies in: one Read each. */
static uint32_t chunks(const struct transfer *t)
{
	uintptr_t first = (uintptr_t)t->data, last = first + t->len - 1;

	return (uint32_t)(last / REGION_CHUNK - first / REGION_CHUNK + 1);
}

/* All of them at once: a Read that has begun cannot be canceled. */
static bool add_read(struct post *post, struct transfer *t)
{
	struct rdma_conn *c = post->c;
	uint32_t done = 0, lkey[2], piece[2], n = 0;

	for (; done < t->len && n < 2; done += piece[n++]) {
		if (!rdma_lkey(c->hca, (uint8_t *)t->data + done, t->len - done, &lkey[n],
			       &piece[n]))
			return false;
	}
	if (done < t->len)
		return false;
	done = 0;
	for (uint32_t i = 0; i < n; done += piece[i++]) {
		struct ibv_send_wr *wr = add_wr(post, IBV_WR_RDMA_READ, (uint8_t *)t->data + done,
						piece[i], lkey[i], NULL);

		wr->wr.rdma.remote_addr = t->remote.opaque[REMOTE_WRITE_VA] + t->offset + done;
		wr->wr.rdma.rkey = (uint32_t)(t->remote.opaque[REMOTE_STAGS] >> 32);
		wr->send_flags = IBV_SEND_SIGNALED;
		last_sent(post)->signaled = true;
		c->tx.reads_out++;
	}
	last_sent(post)->item = container_of(&t->node, struct tx_item, node);
	rdma_capture_get(c, t);
	return true;
}

/* --- A turn's post */

static bool add_hello(struct post *post)
{
	struct rdma_conn *c = post->c;
	uint32_t size = sizeof(c->tx.hello_reply), lkey = 0;
	uint8_t *text = post->text[post->count];
	bool is_inline = size <= c->max_inline;
	struct buf *bounce = NULL;

	if (!is_inline) {
		bounce = bounce_get(post, size, &lkey);
		if (!bounce)
			return false;
		text = bounce->data;
	}
	memcpy(text, &c->tx.hello_reply, size);
	add_wr(post, IBV_WR_SEND, text, size, lkey, bounce)->send_flags =
		is_inline ? IBV_SEND_INLINE : 0;
	c->tx.hello_due = false;
	return true;
}

/* A Read more than the initiator can answer would stall the whole send queue in the device. */
static bool may_read(const struct rdma_conn *c, uint32_t n)
{
	return !c->tx.reads_out || c->tx.reads_out + n <= c->ord;
}

static void finish_later(struct rdma_conn *c, struct transfer *t, enum transfer_result result)
{
	list_del(&t->node);
	t->result = result;
	list_add_tail(&c->tx.finished, &t->node);
	rdma_conn_defer(c);
}

static void add_reads(struct post *post)
{
	struct rdma_conn *c = post->c;
	struct list *head = &c->tx.reads;

	while (!list_empty(head)) {
		struct transfer *t = list_entry(head->next, struct transfer, node);
		uint32_t n = chunks(t);

		if (!within(t, ISER_WSV)) {
			rdma_conn_fail(c, "data from a buffer that was not advertised");
			return;
		}
		if (!has_room(post, n) || !may_read(c, n))
			return;
		list_del(&t->node);
		if (!add_read(post, t))
			finish_later(c, t, TRANSFER_NO_MEMORY);
	}
}

static void add_queue(struct post *post)
{
	struct list *head = &post->c->tx.queue;

	while (!list_empty(head) && has_room(post, 1)) {
		struct tx_item *item = list_entry(head->next, struct tx_item, node);
		bool ok;

		if (item->h.bhs.opcode == OP_DATA_IN)
			ok = add_put(post, tx_item_transfer(item));
		else
			ok = add_pdu(post, tx_item_pdu(item));
		if (!ok)
			return;
		list_del(&item->node);
	}
}

/* True: there may be more to post. */
static bool post_some(struct rdma_conn *c)
{
	struct ibv_send_wr *bad;
	struct post post;
	int err;

	post.c = c;
	post.count = 0;
	if (!c->tx.hello_due || (has_room(&post, 1) && add_hello(&post))) {
		add_reads(&post);
		add_queue(&post);
	}
	if (c->state == RDMA_DEAD || !post.count)
		return false;
	post.wr[post.count - 1].send_flags |= IBV_SEND_SIGNALED;
	last_sent(&post)->signaled = true;
	err = ibv_post_send(c->qp, post.wr, &bad);
	if (err) {
		log_write_limited(&memory_limit, LOG_LEVEL_WARN,
				  "%s: cannot post to the device: %s", c->base.peer_name,
				  strerrordesc_np(err));
		rdma_conn_fail(c, "cannot post");
		return false;
	}
	return post.count + 2 > SEND_BATCH;
}

void rdma_tx_flush(struct rdma_conn *c)
{
	while (post_some(c))
		;
}

/* --- Results */

static void done(struct rdma_conn *c, struct tx_item *item, enum transfer_result result)
{
	struct transfer *t;

	if (item->h.bhs.opcode != OP_DATA_IN && item->h.bhs.opcode != OP_R2T) {
		c->base.bytes_queued -= tx_item_weight(item);
		tx_item_pdu(item)->sent(tx_item_pdu(item));
		return;
	}
	t = tx_item_transfer(item);
	if (item->h.bhs.opcode == OP_DATA_IN)
		c->base.bytes_queued -= tx_item_weight(item);
	t->received = item->h.bhs.opcode == OP_R2T && result == TRANSFER_OK ? t->len : 0;
	rdma_capture_got(c, t);
	t->result = result;
	c->base.up->transfer_done(&c->base, t);
}

/* The oldest work request has ended. */
static void pop(struct rdma_conn *c, enum transfer_result result)
{
	struct rdma_sent sent = c->tx.ring[c->tx.head++ % SEND_DEPTH];

	c->tx.reads_out -= sent.read;
	buf_put(c->base.reactor, sent.bounce);
	if (result == TRANSFER_OK)
		stat_add(sent.read ? &c->base.bytes_in : &c->base.bytes_out, sent.bytes);
	if (sent.item)
		done(c, sent.item, result);
}

void rdma_tx_completed(struct rdma_conn *c)
{
	bool signaled = false;

	while (!signaled && c->tx.head != c->tx.tail) {
		signaled = c->tx.ring[c->tx.head % SEND_DEPTH].signaled;
		pop(c, TRANSFER_OK);
	}
	rdma_conn_defer(c);
}

void rdma_tx_cancel(struct rdma_conn *c)
{
	struct list due, *node;

	list_init(&due);
	list_splice_tail(&due, &c->tx.reads);
	list_splice_tail(&due, &c->tx.unsolicited);
	while ((node = list_pop(&due))) {
		list_entry(node, struct transfer, node)->result = TRANSFER_CANCELED;
		list_add_tail(&c->tx.finished, node);
	}
	if (!list_empty(&c->tx.finished))
		rdma_conn_defer(c);
}

void rdma_tx_return(struct rdma_conn *c)
{
	struct list due, *node;

	while (c->tx.head != c->tx.tail)
		pop(c, TRANSFER_CANCELED);
	list_init(&due);
	list_splice_tail(&due, &c->tx.queue);
	while ((node = list_pop(&due)))
		done(c, list_entry(node, struct tx_item, node), TRANSFER_CANCELED);
	rdma_tx_cancel(c);
}

void rdma_tx_report(struct rdma_conn *c)
{
	struct list due, *node;

	list_init(&due);
	list_splice_tail(&due, &c->tx.finished);
	while ((node = list_pop(&due)))
		c->base.up->transfer_done(&c->base, list_entry(node, struct transfer, node));
}

/* --- Down-calls */

static void queue(struct rdma_conn *c, struct tx_item *item)
{
	c->base.bytes_queued += tx_item_weight(item);
	list_add_tail(&c->tx.queue, &item->node);
	rdma_conn_defer(c);
}

void rdma_send_pdu(struct conn *conn, struct tx_pdu *pdu)
{
	queue(rdma_conn_of(conn), container_of(&pdu->node, struct tx_item, node));
}

void rdma_put_data(struct conn *conn, struct transfer *t)
{
	t->h.bhs.opcode = OP_DATA_IN;
	t->received = 0;
	queue(rdma_conn_of(conn), container_of(&t->node, struct tx_item, node));
}

void rdma_get_data(struct conn *conn, struct transfer *t)
{
	struct rdma_conn *c = rdma_conn_of(conn);

	t->received = 0;
	t->result = TRANSFER_OK;
	t->h.bhs.opcode = OP_R2T;
	list_init(&t->node);
	if (c->state != RDMA_OPEN) {
		finish_later(c, t, TRANSFER_CANCELED);
	} else if (t->unsolicited) {
		list_add_tail(&c->tx.unsolicited, &t->node);
	} else {
		list_add_tail(&c->tx.reads, &t->node);
		rdma_conn_defer(c);
	}
}

void rdma_cancel_data(struct conn *conn, struct transfer *t)
{
	/* On no list: a Read is with the device, and its end is the end. On `finished`: so is this. */
	if (!list_empty(&t->node) && t->result != TRANSFER_CANCELED)
		finish_later(rdma_conn_of(conn), t, TRANSFER_CANCELED);
}

void rdma_tx_init(struct rdma_conn *c)
{
	list_init(&c->tx.queue);
	list_init(&c->tx.reads);
	list_init(&c->tx.unsolicited);
	list_init(&c->tx.finished);
}

void rdma_tx_stop_waiting(struct rdma_conn *c)
{
	if (c->tx.waiting)
		buf_wait_cancel(c->base.reactor, &c->tx.waiter);
	c->tx.waiting = false;
}
