// SPDX-License-Identifier: BSD-2-Clause
/*
 * Receive queues: where receives are made, posted, and posted again; a connection's own or one that
 * the connections of a completion queue share.
 */
#include "transport/rdma/rdma.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

/* Bytes of data buffers in receives, of all devices and reactors. */
static _Atomic uint64_t receive_bytes;
static struct log_limit post_limit = LOG_LIMIT(5);

/* Gives recv a data buffer; false: no memory, the old one (if any) stays. */
bool rdma_recv_new_data(struct rdma_recv *recv)
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
		.num_sge = RECV_SGES,
	};
	/* An additional header segment pushes a full data segment over the end of its buffer. */
	recv->sge[2] = (struct ibv_sge){
		.addr = (uintptr_t)header + RECV_TAIL,
		.length = AHS_MAX,
		.lkey = lkey,
	};
}

/* Posts what was used up; an errno: what could not be posted stays for the next time. */
static int repost(struct rdma_rq *rq)
{
	struct rdma_recv *first = rdma_recv_take(&rq->repost, &rq->repost_end), *next;
	struct ibv_recv_wr *bad = NULL;
	int err;

	if (!first)
		return 0;
	for (struct rdma_recv *recv = first; recv; recv = recv->next)
		recv->wr.next = recv->next ? &recv->next->wr : NULL;
	if (rq->srq)
		err = ibv_post_srq_recv(rq->srq, &first->wr, &bad);
	else
		err = ibv_post_recv(rq->owner->qp, &first->wr, &bad);
	if (!err || !bad)
		return err;
	for (first = container_of(bad, struct rdma_recv, wr); first; first = next) {
		next = first->next;
		rdma_recv_chain(&rq->repost_end, first);
	}
	return err;
}

void rdma_rx_repost(struct rdma_conn *c)
{
	struct rdma_rq *rq = c->rx.rq;
	int err = 0;

	if (rq->srq || c->state != RDMA_DEAD)
		err = repost(rq);
	if (err) {
		log_write_limited(&post_limit, LOG_LEVEL_WARN,
				  "%s: cannot post a receive, closing: %s", c->base.peer_name,
				  strerrordesc_np(err));
		rdma_conn_fail(c, "cannot post a receive");
	}
}

static void block_free(struct rdma_rq *rq, struct rdma_recv_block *block)
{
	for (uint32_t i = 0; i < block->count; i++)
		buf_put(rq->reactor, block->recvs[i].data);
	buf_put(rq->reactor, block->headers);
	atomic_fetch_sub(&receive_bytes, (uint64_t)block->count * RECV_DATA);
	free(block);
}

static bool fill_block(struct rdma_rq *rq, struct rdma_recv_block *block, uint32_t count)
{
	uint32_t lkey, piece, bytes = count * RECV_SLOT;

	block->count = 0;
	block->headers = buf_get(rq->reactor, bytes);
	if (!block->headers || !rdma_lkey(rq->hca, block->headers->data, bytes, &lkey, &piece) ||
	    piece < bytes)
		return false;
	while (block->count < count) {
		struct rdma_recv *recv = &block->recvs[block->count];

		prepare(rq, recv, block->headers->data + block->count * RECV_SLOT, lkey);
		if (!rdma_recv_new_data(recv))
			return false;
		block->count++;
	}
	return true;
}

/* Makes `count` receives or none. */
static bool make_block(struct rdma_rq *rq, uint32_t count)
{
	struct rdma_recv_block *block;

	block = aligned_alloc(64, (sizeof(*block) + count * sizeof(block->recvs[0]) + 63) & ~63ul);
	if (!block)
		return false;
	if (!fill_block(rq, block, count)) {
		atomic_fetch_add(&receive_bytes, (uint64_t)block->count * RECV_DATA);
		block_free(rq, block);
		return false;
	}
	atomic_fetch_add(&receive_bytes, (uint64_t)count * RECV_DATA);
	block->next = rq->blocks;
	rq->blocks = block;
	rq->count += count;
	for (uint32_t i = 0; i < count; i++)
		rdma_recv_chain(&rq->repost_end, &block->recvs[i]);
	return true;
}

/* Receives may take half of the buffers: commands need the other half to get anything done. A
 * connection that comes too late for its part has to do with few, and its initiator tries a Send
 * again when none is there. */
static uint32_t allowed(const struct rdma_rq *rq, uint32_t count)
{
	uint64_t share = buf_budget(rq->reactor) / 2, used = atomic_load(&receive_bytes);
	uint64_t left = used < share ? (share - used) / RECV_DATA : 0;

	if (count <= left || count <= RECV_FEW)
		return count;
	return left > RECV_FEW ? (uint32_t)left : RECV_FEW;
}

static void make_receives(struct rdma_rq *rq, uint32_t want)
{
	while (rq->count < want) {
		uint32_t n = want - rq->count < BLOCK_MAX ? want - rq->count : BLOCK_MAX;
		uint32_t may = allowed(rq, n);

		if (!make_block(rq, may) || may < n)
			break;
	}
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
	/* Without memory for more it goes on with what it has. */
	make_receives(rq, want);
	return rq->count >= (want < RECV_FEW ? want : RECV_FEW) && !repost(rq);
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
		block_free(rq, block);
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
	    hca->attr.max_srq_sge < RECV_SGES)
		return false;
	if (wish && !strcmp(wish, "on"))
		return true;
	return !(wish && !strcmp(wish, "off")) && !hca->iwarp && is_hardware(hca->verbs);
}

static struct rdma_rq *shared_new(struct rdma_cq *cq)
{
	struct ibv_srq_init_attr attr = { .attr = { .max_wr = SHARED_DEPTH,
						    .max_sge = RECV_SGES } };
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

void rdma_rx_open(struct rdma_conn *c)
{
	struct rdma_cq *cq = c->cq;

	if (!cq->shared && rdma_rq_shared(cq->hca))
		cq->shared = shared_new(cq);
	if (cq->shared) {
		cq->shared->users++;
		c->rx.rq = cq->shared;
		return;
	}
	rq_init(&c->rx.own, cq, RECV_DEPTH);
	c->rx.own.owner = c;
	c->rx.rq = &c->rx.own;
}

void rdma_rx_free(struct rdma_conn *c)
{
	struct rdma_recv *recv = rdma_recv_take(&c->rx.parked, &c->rx.parked_end), *next;
	struct rdma_rq *rq = c->rx.rq;

	if (rq->owner) {
		rq_clear(rq);
		return;
	}
	for (; recv; recv = next) {
		next = recv->next;
		rdma_recv_chain(&rq->repost_end, recv);
	}
	rq->demand -= c->rx.demand;
	repost(rq);
	shared_put(c->cq);
}

void rdma_rx_flushed(struct rdma_conn *c, struct rdma_recv *recv)
{
	if (recv->rq->owner)
		return;
	rdma_recv_chain(&recv->rq->repost_end, recv);
	if (c)
		rdma_conn_defer(c);
	else
		repost(recv->rq);
}
