// SPDX-License-Identifier: BSD-2-Clause
/* The mock's queue pairs, and what the initiator and the wire do to them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/mock_verbs_impl.h"

enum { RNR_TIMER_MAX = 31 };

static struct mock_srq *srq_of(struct ibv_srq *srq)
{
	return container_of(srq, struct mock_srq, ibv);
}

/* --- Queue pairs */

struct ibv_qp *mock_qp_create(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct mock_qp *qp;

	if (attr->cap.max_inline_data > mock.max_inline ||
	    attr->cap.max_send_wr > (uint32_t)mock.attr.max_qp_wr ||
	    attr->cap.max_recv_wr > (uint32_t)mock.attr.max_qp_wr ||
	    attr->cap.max_send_sge > MOCK_SGE || attr->cap.max_recv_sge > MOCK_SGE) {
		errno = EINVAL;
		return NULL;
	}
	qp = mock_zalloc(sizeof(*qp));
	qp->ibv.context = pd->context;
	qp->ibv.qp_context = attr->qp_context;
	qp->ibv.pd = pd;
	qp->ibv.send_cq = attr->send_cq;
	qp->ibv.recv_cq = attr->recv_cq;
	qp->ibv.srq = attr->srq;
	if (attr->srq)
		srq_of(attr->srq)->users++;
	qp->ibv.qp_num = ++mock.keys;
	qp->ibv.qp_type = attr->qp_type;
	qp->cap = attr->cap;
	qp->sq = mock_zalloc(qp->cap.max_send_wr * sizeof(qp->sq[0]));
	qp->rq = mock_zalloc(qp->cap.max_recv_wr * sizeof(qp->rq[0]));
	qp->in_end = &qp->in;
	container_of(pd, struct mock_pd, ibv)->users++;
	mock_cq_of(attr->send_cq)->users++;
	mock_cq_of(attr->recv_cq)->users++;
	list_add_tail(&mock.qp_list, &qp->node);
	mock.qps++;
	return &qp->ibv;
}

/* Completions of a queue pair that is gone stay where they are, as with rxe. */
static void forget_qp(struct mock_cq *cq, const struct mock_qp *qp)
{
	for (uint32_t i = cq->head; i != cq->tail; i++) {
		struct mock_completion *c = &cq->ring[i % (uint32_t)cq->ibv.cqe];

		if (c->qp == qp)
			c->qp = NULL;
	}
}

void mock_qp_destroy(struct ibv_qp *ibv)
{
	struct mock_qp *qp = mock_qp_of(ibv);
	struct mock_message *msg;

	if (mock_send_count(qp) || (!ibv->srq && mock_recv_count(qp)))
		mock.busy_destroyed++;
	if (mock.flush_on_destroy) {
		mock_flush_recv(qp, UINT32_MAX);
		mock_flush_send(qp, UINT32_MAX);
	}
	mock_async_drop(ibv, NULL);
	forget_qp(mock_cq_of(ibv->send_cq), qp);
	forget_qp(mock_cq_of(ibv->recv_cq), qp);
	if (ibv->srq)
		srq_of(ibv->srq)->users--;
	mock_cq_of(ibv->send_cq)->users--;
	mock_cq_of(ibv->recv_cq)->users--;
	container_of(ibv->pd, struct mock_pd, ibv)->users--;
	while ((msg = mock_message_take(qp)))
		free(msg);
	list_del(&qp->node);
	free(qp->sq);
	free(qp->rq);
	free(qp);
	mock.qps--;
}

int mock_ibv_modify_qp(struct ibv_qp *ibv, struct ibv_qp_attr *attr, int mask)
{
	struct mock_qp *qp = mock_qp_of(ibv);

	if (mock_fails("ibv_modify_qp", EINVAL))
		return EINVAL;
	if (mask & IBV_QP_MIN_RNR_TIMER) {
		if (attr->min_rnr_timer > RNR_TIMER_MAX || qp->state == MOCK_INIT)
			return EINVAL;
		qp->min_rnr_timer = attr->min_rnr_timer;
	}
	if (mask & IBV_QP_STATE && attr->qp_state == IBV_QPS_ERR)
		mock_qp_error(qp);
	return 0;
}

struct mock_qp *mock_qp_latest(void)
{
	if (list_empty(&mock.qp_list))
		return NULL;
	return list_entry(mock.qp_list.prev, struct mock_qp, node);
}

static uint32_t sge_bytes(const struct ibv_sge *sge, int n)
{
	uint32_t len = 0;

	for (int i = 0; i < n; i++)
		len += sge[i].length;
	return len;
}

/* --- The send queue */

static void keep_inline(const struct mock_qp *qp, struct mock_wr *w)
{
	uint32_t at = 0;

	if (w->opcode == IBV_WR_RDMA_READ)
		mock_broken("an inline RDMA Read");
	if (w->len > qp->cap.max_inline_data) {
		mock_broken("%u bytes inline, the queue pair takes %u", w->len,
			    qp->cap.max_inline_data);
		return;
	}
	for (int i = 0; i < w->sges; at += w->sge[i++].length)
		memcpy(w->bytes + at, (void *)(uintptr_t)w->sge[i].addr, w->sge[i].length);
}

static void check_wr(const struct mock_qp *qp, const struct mock_wr *w)
{
	int access = w->opcode == IBV_WR_RDMA_READ ? IBV_ACCESS_LOCAL_WRITE : 0;

	if (w->opcode == IBV_WR_SEND_WITH_INV &&
	    !(mock.attr.device_cap_flags & IBV_DEVICE_MEM_MGT_EXTENSIONS))
		mock_broken("Send with Invalidate on a device that cannot");
	if (w->opcode == IBV_WR_RDMA_READ && w->sges > mock.attr.max_sge_rd)
		mock_broken("an RDMA Read in %d pieces", w->sges);
	if (access && mock.iwarp)
		access |= IBV_ACCESS_REMOTE_WRITE;
	if (qp->state == MOCK_INIT)
		mock_broken("a post to a send queue that is not connected");
	if (!w->inlined)
		mock_check_sges(w->sge, w->sges, access, "post_send");
}

static int post_one(struct mock_qp *qp, const struct ibv_send_wr *wr)
{
	struct mock_wr *w = &qp->sq[qp->sq_tail % qp->cap.max_send_wr];

	if (qp->sq_tail - qp->sq_freed == qp->cap.max_send_wr) {
		mock_broken("more than %u work requests on a send queue", qp->cap.max_send_wr);
		return ENOMEM;
	}
	if (wr->num_sge > (int)qp->cap.max_send_sge) {
		mock_broken("%d pieces in a send queue's work request", wr->num_sge);
		return EINVAL;
	}
	memset(w, 0, sizeof(*w));
	w->opcode = wr->opcode;
	w->wr_id = wr->wr_id;
	w->remote_addr = wr->wr.rdma.remote_addr;
	w->rkey = wr->wr.rdma.rkey;
	w->invalidate_rkey = wr->invalidate_rkey;
	w->signaled = wr->send_flags & IBV_SEND_SIGNALED;
	w->inlined = wr->send_flags & IBV_SEND_INLINE;
	w->fenced = wr->send_flags & IBV_SEND_FENCE;
	w->post = qp->posts;
	w->sges = wr->num_sge;
	if (wr->num_sge)
		memcpy(w->sge, wr->sg_list, (size_t)wr->num_sge * sizeof(w->sge[0]));
	w->len = sge_bytes(w->sge, w->sges);
	check_wr(qp, w);
	if (w->inlined)
		keep_inline(qp, w);
	qp->sq_tail++;
	if (qp->sq_tail - qp->sq_freed > qp->sq_most)
		qp->sq_most = qp->sq_tail - qp->sq_freed;
	if (w->opcode == IBV_WR_RDMA_READ && ++qp->reads > qp->reads_most)
		qp->reads_most = qp->reads;
	return 0;
}

int mock_post_send(struct ibv_qp *ibv, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct mock_qp *qp = mock_qp_of(ibv);
	int err = mock_fails("ibv_post_send", ENOMEM) ? ENOMEM : 0;

	qp->posts++;
	qp->recvs_at_post = mock_recv_count(qp);
	for (; wr; wr = wr->next) {
		if (!err)
			err = post_one(qp, wr);
		if (err) {
			*bad = wr;
			break;
		}
	}
	if (qp->state == MOCK_ERR && !mock.hold_flush)
		mock_flush_send(qp, UINT32_MAX);
	return err;
}

uint32_t mock_send_count(const struct mock_qp *qp)
{
	return qp->sq_tail - qp->sq_head;
}

const struct mock_wr *mock_send_at(const struct mock_qp *qp, uint32_t nth)
{
	if (nth >= mock_send_count(qp))
		return NULL;
	return &qp->sq[(qp->sq_head + nth) % qp->cap.max_send_wr];
}

/* The head of the send queue is through. */
static void send_through(struct mock_qp *qp, enum ibv_wc_status status)
{
	struct mock_wr *w = &qp->sq[qp->sq_head++ % qp->cap.max_send_wr];
	struct mock_completion *c;

	qp->silent++;
	qp->reads -= w->opcode == IBV_WR_RDMA_READ;
	if (status == IBV_WC_SUCCESS && !w->signaled)
		return;
	c = mock_complete(qp->ibv.send_cq, w->wr_id, status);
	c->wc.qp_num = qp->ibv.qp_num;
	c->qp = qp;
	c->send = true;
	c->frees = qp->silent;
	qp->silent = 0;
	if (status == IBV_WC_SUCCESS)
		c->wc.opcode = w->opcode == IBV_WR_RDMA_READ	? IBV_WC_RDMA_READ
			       : w->opcode == IBV_WR_RDMA_WRITE ? IBV_WC_RDMA_WRITE
								: IBV_WC_SEND;
}

/* Local data of w at byte `at`, to or from p. */
static void move_local(const struct mock_wr *w, uint8_t *p, bool to_local)
{
	for (int i = 0; i < w->sges; p += w->sge[i++].length) {
		void *local = (void *)(uintptr_t)w->sge[i].addr;

		if (to_local)
			memcpy(local, p, w->sge[i].length);
		else
			memcpy(p, local, w->sge[i].length);
	}
}

static enum ibv_wc_status access_remote(const struct mock_wr *w)
{
	struct mock_region *region = mock_region_of(w->rkey);

	if (!w->len)
		return IBV_WC_SUCCESS;
	if (!region || region->dead || w->remote_addr < region->va ||
	    w->remote_addr - region->va > region->len ||
	    w->len > region->len - (w->remote_addr - region->va))
		return IBV_WC_REM_ACCESS_ERR;
	if (!region->sink)
		move_local(w, region->bytes + (w->remote_addr - region->va),
			   w->opcode == IBV_WR_RDMA_READ);
	region->touched++;
	return IBV_WC_SUCCESS;
}

/* A key that the initiator does not have (any more) is an error on its side. */
static enum ibv_wc_status take_message(struct mock_qp *qp, const struct mock_wr *w)
{
	struct mock_region *region = mock_region_of(w->invalidate_rkey);
	bool invalidates = w->opcode == IBV_WR_SEND_WITH_INV;
	struct mock_message *msg;

	if (invalidates && (!region || region->dead))
		return IBV_WC_REM_INV_REQ_ERR;
	msg = mock_zalloc(sizeof(*msg) + w->len);
	msg->len = w->len;
	msg->post = w->post;
	if (w->inlined)
		memcpy(msg->bytes, w->bytes, w->len);
	else
		move_local(w, msg->bytes, false);
	if (invalidates) {
		msg->invalidates = region->dead = true;
		msg->invalidated = w->invalidate_rkey;
	}
	*qp->in_end = msg;
	qp->in_end = &msg->next;
	return IBV_WC_SUCCESS;
}

bool mock_send_end(struct mock_qp *qp, enum ibv_wc_status status)
{
	const struct mock_wr *w = mock_send_at(qp, 0);

	if (!w)
		return false;
	if (status == IBV_WC_SUCCESS &&
	    (w->inlined || mock_check_sges(w->sge, w->sges, 0, "send"))) {
		if (w->opcode == IBV_WR_SEND || w->opcode == IBV_WR_SEND_WITH_INV)
			status = take_message(qp, w);
		else
			status = access_remote(w);
	}
	send_through(qp, status);
	if (status != IBV_WC_SUCCESS)
		mock_qp_error(qp);
	return true;
}

unsigned int mock_send_all(struct mock_qp *qp)
{
	unsigned int n = 0;

	while (qp->state == MOCK_RTS && mock_send_end(qp, IBV_WC_SUCCESS))
		n++;
	return n;
}

struct mock_message *mock_message_take(struct mock_qp *qp)
{
	struct mock_message *msg = qp->in;

	if (msg)
		qp->in = msg->next;
	if (!qp->in)
		qp->in_end = &qp->in;
	return msg;
}

/* --- The receive queue */

static bool keep_receive(struct mock_rr *rr, const struct ibv_recv_wr *wr, uint32_t max_sge)
{
	if (wr->num_sge > (int)max_sge || wr->num_sge > MOCK_SGE)
		return false;
	rr->wr_id = wr->wr_id;
	rr->sges = wr->num_sge;
	if (wr->num_sge)
		memcpy(rr->sge, wr->sg_list, (size_t)wr->num_sge * sizeof(rr->sge[0]));
	mock_check_sges(rr->sge, rr->sges, IBV_ACCESS_LOCAL_WRITE, "post_recv");
	return true;
}

int mock_post_recv(struct ibv_qp *ibv, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct mock_qp *qp = mock_qp_of(ibv);
	int err = mock_fails("ibv_post_recv", ENOMEM) ? ENOMEM : 0;
	uint32_t before = mock.posted_before_failure;

	if (ibv->srq)
		mock_broken("a receive is posted to a queue pair that shares its queue");
	for (; wr; wr = wr->next) {
		struct mock_rr *rr = &qp->rq[qp->rq_tail % qp->cap.max_recv_wr];

		if (qp->rq_tail - qp->rq_freed == qp->cap.max_recv_wr) {
			mock_broken("more than %u receives posted", qp->cap.max_recv_wr);
			err = ENOMEM;
			before = 0;
		}
		if ((err && !before--) || !keep_receive(rr, wr, qp->cap.max_recv_sge)) {
			*bad = wr;
			return err ? err : EINVAL;
		}
		qp->rq_tail++;
	}
	if (qp->state == MOCK_ERR && !mock.hold_flush)
		mock_flush_recv(qp, UINT32_MAX);
	return err;
}

struct ibv_srq *mock_ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	struct mock_srq *srq;

	if (mock_fails("ibv_create_srq", ENOMEM))
		return NULL;
	srq = mock_zalloc(sizeof(*srq));
	srq->ibv.context = pd->context;
	srq->ibv.pd = pd;
	srq->size = attr->attr.max_wr;
	srq->ring = mock_zalloc(srq->size * sizeof(srq->ring[0]));
	container_of(pd, struct mock_pd, ibv)->users++;
	mock.srqs++;
	return &srq->ibv;
}

int mock_ibv_destroy_srq(struct ibv_srq *ibv)
{
	struct mock_srq *srq = srq_of(ibv);

	mock_fails("ibv_destroy_srq", 0);
	if (srq->users) {
		mock_broken("a shared receive queue goes before its queue pairs");
		return EBUSY;
	}
	container_of(ibv->pd, struct mock_pd, ibv)->users--;
	free(srq->ring);
	free(srq);
	mock.srqs--;
	return 0;
}

int mock_post_srq_recv(struct ibv_srq *ibv, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct mock_srq *srq = srq_of(ibv);
	int err = mock_fails("ibv_post_srq_recv", ENOMEM) ? ENOMEM : 0;
	uint32_t before = mock.posted_before_failure;

	for (; wr; wr = wr->next) {
		if (srq->tail - srq->head == srq->size) {
			mock_broken("more than %u shared receives posted", srq->size);
			err = ENOMEM;
			before = 0;
		}
		if ((err && !before--) ||
		    !keep_receive(&srq->ring[srq->tail % srq->size], wr, MOCK_SGE)) {
			*bad = wr;
			return err ? err : EINVAL;
		}
		srq->tail++;
	}
	return err;
}

uint32_t mock_recv_count(const struct mock_qp *qp)
{
	if (qp->ibv.srq)
		return srq_of(qp->ibv.srq)->tail - srq_of(qp->ibv.srq)->head;
	return qp->rq_tail - qp->rq_head;
}

/* The oldest receive that qp can use. */
static struct mock_rr *first_receive(struct mock_qp *qp)
{
	struct mock_srq *srq = qp->ibv.srq ? srq_of(qp->ibv.srq) : NULL;

	if (srq)
		return &srq->ring[srq->head % srq->size];
	return &qp->rq[qp->rq_head % qp->cap.max_recv_wr];
}

static struct mock_completion *recv_through(struct mock_qp *qp, enum ibv_wc_status status)
{
	struct mock_completion *c =
		mock_complete(qp->ibv.recv_cq, first_receive(qp)->wr_id, status);

	c->wc.qp_num = qp->ibv.qp_num;
	c->qp = qp;
	c->send = false;
	c->frees = qp->ibv.srq ? 0 : 1;
	if (qp->ibv.srq)
		srq_of(qp->ibv.srq)->head++;
	else
		qp->rq_head++;
	return c;
}

enum mock_delivery mock_deliver(struct mock_qp *qp, const void *bytes, uint32_t len)
{
	const struct mock_rr *rr = first_receive(qp);
	const uint8_t *from = bytes;
	struct mock_completion *c;
	uint32_t left = len;

	if (qp->state != MOCK_RTS)
		return MOCK_DOWN;
	if (!mock_recv_count(qp)) {
		mock.rnr++;
		return MOCK_RNR;
	}
	mock_check_sges(rr->sge, rr->sges, IBV_ACCESS_LOCAL_WRITE, "receive");
	if (len > sge_bytes(rr->sge, rr->sges)) {
		recv_through(qp, IBV_WC_LOC_LEN_ERR);
		mock_qp_error(qp);
		return MOCK_TOO_LONG;
	}
	for (int i = 0; left; i++) {
		uint32_t n = left < rr->sge[i].length ? left : rr->sge[i].length;

		memcpy((void *)(uintptr_t)rr->sge[i].addr, from, n);
		from += n;
		left -= n;
	}
	c = recv_through(qp, IBV_WC_SUCCESS);
	c->wc.opcode = IBV_WC_RECV;
	c->wc.byte_len = len;
	return MOCK_DELIVERED;
}

/* --- Errors and events */

unsigned int mock_flush_send(struct mock_qp *qp, unsigned int n)
{
	unsigned int done = 0;

	for (; done < n && mock_send_count(qp); done++) {
		const struct mock_wr *w = mock_send_at(qp, 0);

		if (!w->inlined)
			mock_check_sges(w->sge, w->sges, 0, "flushed work request");
		send_through(qp, IBV_WC_WR_FLUSH_ERR);
	}
	return done;
}

unsigned int mock_flush_recv(struct mock_qp *qp, unsigned int n)
{
	unsigned int done = 0;

	/* What is shared stays for the others. */
	for (; done < n && !qp->ibv.srq && mock_recv_count(qp); done++) {
		const struct mock_rr *rr = &qp->rq[qp->rq_head % qp->cap.max_recv_wr];

		mock_check_sges(rr->sge, rr->sges, 0, "flushed receive");
		recv_through(qp, IBV_WC_WR_FLUSH_ERR);
	}
	return done;
}

void mock_qp_error(struct mock_qp *qp)
{
	if (qp->state != MOCK_ERR && qp->ibv.srq)
		mock_async(IBV_EVENT_QP_LAST_WQE_REACHED, qp);
	qp->state = MOCK_ERR;
	if (mock.hold_flush)
		return;
	mock_flush_send(qp, UINT32_MAX);
	mock_flush_recv(qp, UINT32_MAX);
}
