// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the initiator sends. A receive lands in two places, the headers in a slot of the header
 * block and the data segment at the start of a 4 KiB aligned buffer, so that immediate data can go
 * to a disk from where it landed: the command takes the buffer and the receive gets another one.
 *
 * No length of the peer is used before it was held against what the device says has arrived.
 */
#include "transport/rdma/rdma.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

static struct log_limit peer_limit = LOG_LIMIT(10);

#define peer_warn(c, fmt, ...)                                                 \
	log_write_limited(&peer_limit, LOG_LEVEL_WARN, "%s: " fmt ", closing", \
			  (c)->base.peer_name, __VA_ARGS__)

/* --- Receives */

static void chain(struct rdma_recv ***end, struct rdma_recv *recv)
{
	recv->next = NULL;
	**end = recv;
	*end = &recv->next;
}

static struct rdma_recv *take_all(struct rdma_recv **first, struct rdma_recv ***end)
{
	struct rdma_recv *all = *first;

	*first = NULL;
	*end = first;
	return all;
}

/* Gives recv a data buffer; false: no memory, the old one (if any) stays. */
static bool new_data(struct rdma_recv *recv)
{
	struct rdma_rq *rq = recv->rq;
	struct buf *b = buf_get(rq->reactor, RECV_DATA);
	uint32_t lkey, piece;

	if (!b)
		return false;
	if (!rdma_lkey(rq->hca, b->data, RECV_DATA, &lkey, &piece) || piece < RECV_DATA) {
		buf_put(rq->reactor, b);
		return false;
	}
	recv->data = b;
	recv->sge[1] = (struct ibv_sge){
		.addr = (uintptr_t)b->data,
		.length = RECV_DATA,
		.lkey = lkey,
	};
	return true;
}

static void prepare(struct rdma_rq *rq, struct rdma_recv *recv, uint8_t *header, uint32_t lkey)
{
	recv->rq = rq;
	recv->data = NULL;
	recv->header = header;
	recv->sge[0] = (struct ibv_sge){
		.addr = (uintptr_t)header,
		.length = HEADERS,
		.lkey = lkey,
	};
	recv->wr = (struct ibv_recv_wr){
		.wr_id = (uintptr_t)recv | WR_RECV,
		.sg_list = recv->sge,
		.num_sge = 2,
	};
}

/* Posts what was used up; an errno. */
static int repost(struct rdma_rq *rq)
{
	struct rdma_recv *first = take_all(&rq->repost, &rq->repost_end);
	struct ibv_recv_wr *bad;

	if (!first)
		return 0;
	for (struct rdma_recv *recv = first; recv; recv = recv->next)
		recv->wr.next = recv->next ? &recv->next->wr : NULL;
	if (rq->srq)
		return ibv_post_srq_recv(rq->srq, &first->wr, &bad);
	return ibv_post_recv(rq->owner->qp, &first->wr, &bad);
}

void rdma_rx_repost(struct rdma_conn *c)
{
	struct rdma_rq *rq = c->rx.rq;
	int err = 0;

	c->rx.taken = 0;
	if (rq->srq || c->state != RDMA_DEAD)
		err = repost(rq);
	if (err) {
		peer_warn(c, "cannot post a receive: %s", strerrordesc_np(err));
		rdma_conn_fail(c, "cannot post a receive");
	}
}

static bool make_block(struct rdma_rq *rq, uint32_t count)
{
	struct rdma_recv_block *block;
	uint32_t lkey, piece, bytes = count * RECV_SLOT;

	block = aligned_alloc(64, (sizeof(*block) + count * sizeof(block->recvs[0]) + 63) & ~63ul);
	if (!block)
		return false;
	block->count = 0;
	block->headers = buf_get(rq->reactor, bytes);
	block->next = rq->blocks;
	rq->blocks = block;
	if (!block->headers || !rdma_lkey(rq->hca, block->headers->data, bytes, &lkey, &piece) ||
	    piece < bytes)
		return false;
	while (block->count < count) {
		struct rdma_recv *recv = &block->recvs[block->count];

		prepare(rq, recv, block->headers->data + block->count * RECV_SLOT, lkey);
		block->count++;
		if (!new_data(recv))
			return false;
		rq->count++;
		chain(&rq->repost_end, recv);
	}
	return true;
}

bool rdma_rx_grow(struct rdma_conn *c, uint32_t n)
{
	struct rdma_rq *rq = c->rx.rq;
	uint32_t want;

	if (n > c->rx.demand) {
		rq->demand += n - c->rx.demand;
		c->rx.demand = n;
	}
	want = rq->demand < rq->depth ? rq->demand : rq->depth;
	if (want > rq->count && !make_block(rq, want - rq->count) && rq->owner)
		return false;
	/* Without memory for more, a shared queue goes on with what it has. */
	if (!rq->count)
		return false;
	return !repost(rq);
}

static void rq_init(struct rdma_rq *rq, struct rdma_cq *cq, uint32_t depth)
{
	rq->hca = cq->hca;
	rq->reactor = cq->reactor;
	rq->depth = depth;
	rq->repost_end = &rq->repost;
}

static void rq_clear(struct rdma_rq *rq)
{
	struct rdma_recv_block *block, *next;

	for (block = rq->blocks; block; block = next) {
		next = block->next;
		for (uint32_t i = 0; i < block->count; i++)
			buf_put(rq->reactor, block->recvs[i].data);
		buf_put(rq->reactor, block->headers);
		free(block);
	}
	rq->blocks = NULL;
}

/* --- Shared receives */

/* Soft devices have no bus device behind them: rdma_rxe and siw make one bad peer's burst every
 * connection's trouble and never say when a closing connection is done with its receives. */
static bool is_hardware(const struct ibv_context *verbs)
{
	char path[sizeof(verbs->device->ibdev_path) + sizeof("/device")];

	snprintf(path, sizeof(path), "%s/device", verbs->device->ibdev_path);
	return !access(path, F_OK);
}

bool rdma_rq_shared(const struct rdma_hca *hca)
{
	const char *wish = getenv("RISER_RDMA_SRQ");

	if (hca->attr.max_srq <= 0 || hca->attr.max_srq_wr < SHARED_DEPTH_MIN ||
	    hca->attr.max_srq_sge < 2)
		return false;
	if (wish && !strcmp(wish, "on"))
		return true;
	return !(wish && !strcmp(wish, "off")) && !hca->iwarp && is_hardware(hca->verbs);
}

static struct rdma_rq *shared_new(struct rdma_cq *cq)
{
	struct ibv_srq_init_attr attr = { .attr = { .max_wr = SHARED_DEPTH, .max_sge = 2 } };
	struct rdma_rq *rq = calloc(1, sizeof(*rq));

	if (!rq)
		return NULL;
	if (cq->hca->attr.max_srq_wr < SHARED_DEPTH)
		attr.attr.max_wr = (uint32_t)cq->hca->attr.max_srq_wr;
	rq_init(rq, cq, attr.attr.max_wr);
	rq->srq = rdma_lib.ibv_create_srq(cq->hca->pd, &attr);
	if (!rq->srq) {
		free(rq);
		return NULL;
	}
	return rq;
}

static void shared_put(struct rdma_cq *cq)
{
	struct rdma_rq *rq = cq->shared;

	if (--rq->users)
		return;
	cq->shared = NULL;
	rdma_lib.ibv_destroy_srq(rq->srq);
	rq_clear(rq);
	free(rq);
}

static struct rdma_conn **bucket(struct rdma_rq *rq, uint32_t qp_num)
{
	return &rq->by_qp_num[qp_num % RQ_BUCKETS];
}

struct rdma_conn *rdma_rx_owner(const struct rdma_recv *recv, uint32_t qp_num)
{
	struct rdma_conn *c;

	if (recv->rq->owner)
		return recv->rq->owner;
	c = *bucket(recv->rq, qp_num);
	while (c && c->qp->qp_num != qp_num)
		c = c->rx.same_bucket;
	return c;
}

void rdma_rx_bind(struct rdma_conn *c)
{
	struct rdma_conn **at;

	if (!c->rx.rq->srq)
		return;
	at = bucket(c->rx.rq, c->qp->qp_num);
	c->rx.same_bucket = *at;
	*at = c;
}

void rdma_rx_unbind(struct rdma_conn *c)
{
	struct rdma_conn **at;

	if (!c->rx.rq->srq)
		return;
	at = bucket(c->rx.rq, c->qp->qp_num);
	while (*at != c)
		at = &(*at)->rx.same_bucket;
	*at = c->rx.same_bucket;
}

/* --- Of a connection */

void rdma_rx_init(struct rdma_conn *c)
{
	c->rx.parked_end = &c->rx.parked;
}

bool rdma_rx_open(struct rdma_conn *c)
{
	struct rdma_cq *cq = c->cq;

	if (!cq->shared && rdma_rq_shared(cq->hca))
		cq->shared = shared_new(cq);
	if (cq->shared) {
		cq->shared->users++;
		c->rx.rq = cq->shared;
		return true;
	}
	rq_init(&c->rx.own, cq, RECV_DEPTH);
	c->rx.own.owner = c;
	c->rx.rq = &c->rx.own;
	return true;
}

void rdma_rx_free(struct rdma_conn *c)
{
	struct rdma_recv *recv = take_all(&c->rx.parked, &c->rx.parked_end), *next;
	struct rdma_rq *rq = c->rx.rq;

	if (rq->owner) {
		rq_clear(rq);
		return;
	}
	for (; recv; recv = next) {
		next = recv->next;
		chain(&rq->repost_end, recv);
	}
	rq->demand -= c->rx.demand;
	repost(rq);
	shared_put(c->cq);
}

void rdma_rx_flushed(struct rdma_conn *c, struct rdma_recv *recv)
{
	if (recv->rq->owner)
		return;
	chain(&recv->rq->repost_end, recv);
	if (c)
		rdma_conn_defer(c);
	else
		repost(recv->rq);
}

/* --- PDUs */

static void refuse(struct rdma_conn *c, enum reject_reason reason)
{
	c->base.up->protocol_error(&c->base, &c->rx.pdu.h, reason, true);
}

/* How much of a write comes without being asked for (RFC 7143 4.2.5.2): what the advertised buffer
 * does not hold. */
static uint32_t unsolicited_len(const struct rdma_conn *c, const struct pdu *pdu)
{
	const struct bhs_scsi_command *req = &pdu->h.scsi_command;
	uint32_t edtl = be32_get(req->edtl), first = c->base.params.first_burst;

	if (req->flags & CMD_FINAL)
		return pdu->data_len;
	return first < edtl ? first : edtl;
}

/* Reads the STags of a command. False: they contradict its R and W bits. */
static bool take_tags(struct rdma_conn *c, const struct iser_header *ih, struct pdu *pdu)
{
	const struct bhs_scsi_command *req = &pdu->h.scsi_command;
	uint32_t edtl = be32_get(req->edtl), unsolicited = unsolicited_len(c, pdu);
	bool reads = req->flags & CMD_READ, writes = req->flags & CMD_WRITE;
	bool rsv = ih->flags & ISER_RSV, wsv = ih->flags & ISER_WSV;
	uint64_t *remote = pdu->remote.opaque;

	if ((rsv && !reads) || (wsv && !writes))
		return false;
	if (reads && !writes && edtl && !rsv)
		return false;
	if (writes && edtl > unsolicited && !wsv)
		return false;
	remote[REMOTE_WRITE_VA] = be64_get(ih->write_va);
	/* ib_iser and libiscsi advertise the address behind the unsolicited data. */
	if (!c->base.params.tagged_from_start)
		remote[REMOTE_WRITE_VA] -= unsolicited;
	remote[REMOTE_READ_VA] = be64_get(ih->read_va);
	remote[REMOTE_STAGS] = (uint64_t)be32_get(ih->write_stag) << 32 | be32_get(ih->read_stag);
	remote[REMOTE_FLAGS_EDTL] = (uint64_t)(ih->flags & (ISER_RSV | ISER_WSV)) << 32 | edtl;
	return true;
}

/* The command may keep its data where it is; then the receive needs another buffer. */
static void command(struct rdma_conn *c, struct rdma_recv *recv)
{
	struct pdu *pdu = &c->rx.pdu;
	struct buf *landed = recv->data;

	if (!pdu->data_len) {
		c->base.up->pdu_received(&c->base, pdu);
		return;
	}
	if (!new_data(recv)) {
		pdu->dropped = true;
		pdu->data = NULL;
		c->base.up->pdu_received(&c->base, pdu);
		return;
	}
	if (pdu->ahs_len) { /* the data does not begin where the buffer does */
		memmove(landed->data, pdu->data, pdu->data_len);
		pdu->data = landed->data;
		stat_add(&c->base.bytes_copied, pdu->data_len);
		stat_add(&c->base.reactor->stats.bytes_copied, pdu->data_len);
	}
	pdu->buf = landed;
	c->base.up->pdu_received(&c->base, pdu);
	buf_put(c->base.reactor, pdu->buf);
}

/* 0 is an iSER header of a PDU without a buffer. */
static void dispatch(struct rdma_conn *c, const struct iser_header *ih, struct rdma_recv *recv)
{
	struct pdu *pdu = &c->rx.pdu;
	uint8_t op = pdu_opcode(&pdu->h.bhs);

	if (op == OP_SCSI_COMMAND) {
		if (!take_tags(c, ih, pdu)) {
			peer_warn(c, "STags that contradict the command, iSER flags 0x%02x",
				  ih->flags);
			refuse(c, REJECT_PROTOCOL_ERROR);
			return;
		}
		command(c, recv);
		return;
	}
	if (ih->flags & (ISER_RSV | ISER_WSV)) {
		peer_warn(c, "an STag with opcode 0x%02x", op);
		refuse(c, REJECT_PROTOCOL_ERROR);
	} else if (op != OP_DATA_OUT) {
		c->base.up->pdu_received(&c->base, pdu);
	} else if (!c->base.params.full_feature || be32_get(pdu->h.data_out.ttt) != TAG_NONE) {
		/* Solicited data is read by us: RFC 7145 7.3.4. */
		peer_warn(c, "Data-Out with TTT 0x%08x", be32_get(pdu->h.data_out.ttt));
		refuse(c, REJECT_PROTOCOL_ERROR);
	} else {
		rdma_data_out(c, &pdu->h.data_out, pdu->data, pdu->data_len);
	}
}

/* An iSCSI PDU of len bytes, headers included. */
static void pdu_arrived(struct rdma_conn *c, struct rdma_recv *recv, uint32_t len)
{
	const struct iser_header *ih = (const void *)recv->header;
	struct pdu *pdu = &c->rx.pdu;
	uint32_t body, ahs_len, data_len;

	if (len < HEADERS) {
		peer_warn(c, "a Send of %u bytes is no PDU", len);
		rdma_conn_fail(c, "short Send");
		return;
	}
	body = len - HEADERS;
	memcpy(&pdu->h, recv->header + sizeof(*ih), BHS_LEN);
	ahs_len = pdu->h.bhs.total_ahs_len * 4u;
	data_len = be24_get(pdu->h.bhs.dlength);
	/* With or without padding: initiators differ. */
	if (ahs_len > AHS_MAX || ahs_len > body || data_len > body - ahs_len ||
	    body - ahs_len - data_len > 3 || data_len > c->base.params.max_recv_dsl) {
		peer_warn(c, "a Send of %u bytes for an AHS of %u and data of %u", len, ahs_len,
			  data_len);
		rdma_conn_fail(c, "lengths do not add up");
		return;
	}
	memcpy(pdu->ahs, recv->data->data, ahs_len);
	pdu->ahs_len = ahs_len;
	pdu->data_len = data_len;
	pdu->data = data_len ? recv->data->data + ahs_len : NULL;
	pdu->buf = NULL;
	pdu->dropped = pdu->data_digest_error = false;
	memset(&pdu->remote, 0, sizeof(pdu->remote));
	stat_add(&c->base.pdus_in, 1);
	dispatch(c, ih, recv);
}

static bool speaks(const struct iser_hello *hello, int version)
{
	return version >= (hello->versions & 0x0f) && version <= hello->versions >> 4;
}

/* RFC 7145 5.1.2.2, never required: over InfiniBand and RoCE the connection manager's private data
 * says the same. */
static void hello_arrived(struct rdma_conn *c, const struct rdma_recv *recv, uint32_t len)
{
	const struct iser_hello *hello = (const void *)recv->header;
	struct iser_hello_reply *reply = &c->tx.hello_reply;
	uint32_t ird;

	if (len != sizeof(*hello) || c->base.params.full_feature || c->tx.hello_due) {
		peer_warn(c, "a Hello of %u bytes at the wrong time or of the wrong length", len);
		rdma_conn_fail(c, "unexpected Hello");
		return;
	}
	ird = be16_get(hello->ird);
	if (ird && ird < c->ord)
		c->ord = ird;
	memset(reply, 0, sizeof(*reply));
	reply->flags = ISER_HELLO_REPLY;
	reply->versions = ISER_VERSION << 4;
	if (speaks(hello, ISER_VERSION))
		reply->versions |= ISER_VERSION;
	else if (speaks(hello, ISER_VERSION_RFC5046))
		reply->versions |= ISER_VERSION_RFC5046;
	else
		reply->flags |= ISER_HELLO_REPLY_REJECT;
	reply->ord = be16_of((uint16_t)c->ord);
	c->tx.hello_due = true;
	rdma_conn_defer(c);
}

static void arrived(struct rdma_conn *c, struct rdma_recv *recv, uint32_t len)
{
	const struct iser_header *ih = (const void *)recv->header;

	stat_add(&c->base.bytes_in, len);
	if (len < sizeof(*ih)) {
		peer_warn(c, "a Send of %u bytes has no iSER header", len);
		rdma_conn_fail(c, "short Send");
		return;
	}
	switch (ih->flags & ISER_OPCODE_MASK) {
	case ISER_CTRL: pdu_arrived(c, recv, len); break;
	case ISER_HELLO: hello_arrived(c, recv, len); break;
	default:
		peer_warn(c, "iSER opcode 0x%02x", ih->flags & ISER_OPCODE_MASK);
		rdma_conn_fail(c, "unknown iSER opcode");
	}
}

/* What an initiator may send before it has an answer of ours, and some of it was answered already. */
static bool over_quota(struct rdma_conn *c)
{
	return !c->rx.rq->owner && ++c->rx.taken > 2 * c->rx.demand;
}

void rdma_rx_completed(struct rdma_conn *c, struct rdma_recv *recv, uint32_t byte_len)
{
	if (c->state == RDMA_CONNECTING) {
		/* The initiator is quicker than its connection manager's last message. */
		recv->byte_len = byte_len;
		chain(&c->rx.parked_end, recv);
		rdma_conn_early_receive(c);
		return;
	}
	if (c->state == RDMA_OPEN && over_quota(c)) {
		peer_warn(c, "more than %u PDUs at a time", 2 * c->rx.demand);
		rdma_conn_fail(c, "no more receives of others");
	}
	if (c->state == RDMA_OPEN)
		arrived(c, recv, byte_len);
	chain(&recv->rq->repost_end, recv);
	rdma_conn_defer(c);
}

void rdma_rx_unpark(struct rdma_conn *c)
{
	struct rdma_recv *recv = take_all(&c->rx.parked, &c->rx.parked_end), *next;

	for (; recv; recv = next) {
		next = recv->next;
		rdma_rx_completed(c, recv, recv->byte_len);
	}
}
