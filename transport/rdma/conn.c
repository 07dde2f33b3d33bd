// SPDX-License-Identifier: BSD-2-Clause
/*
 * A connection's life.
 *
 *   connect request -> CONNECTING -- ESTABLISHED --> OPEN -- close(flush) --> FLUSHING
 *                          |                          |                          |
 *                          +------- anything that ends a connection -------------+--> DEAD
 *
 * DEAD: the queue pair is in error, so that every work request ends. A marker was posted behind
 * them on both queues; when both are back nothing can touch our memory or the initiator's, and
 * everything goes back to its owner. Events of the connection manager and completions come in any
 * order.
 */
#include "transport/rdma/rdma.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

static struct log_limit device_limit = LOG_LIMIT(5);

static void end_of_turn(struct work *work);
static void too_long(struct timer *timer);

struct rdma_conn *rdma_conn_new(struct reactor *r, struct rdma_cm_id *id,
				const struct rdma_request *request, const struct conn_up *up,
				void *ctx)
{
	struct rdma_conn *c = aligned_alloc(_Alignof(struct rdma_conn), sizeof(*c));

	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->base.ops = &rdma_transport;
	c->base.up = up;
	c->base.reactor = r;
	c->base.unstoppable = true;
	c->base.params.max_recv_dsl = c->base.params.max_xmit_dsl = LOGIN_DATA_MAX;
	c->id = id;
	c->request = *request;
	c->listen_ctx = ctx;
	c->work.fn = end_of_turn;
	c->arrive.fn = rdma_conn_arrive;
	c->timer.fn = too_long;
	list_init(&c->same_cq);
	rdma_tx_init(c);
	rdma_rx_init(c);
	id->context = c;
	memcpy(&c->base.peer, &id->route.addr.dst_storage, sizeof(c->base.peer));
	memcpy(&c->base.local, &id->route.addr.src_storage, sizeof(c->base.local));
	address_format(&c->base.peer, c->base.peer_name, sizeof(c->base.peer_name));
	address_format(&c->base.local, c->base.local_name, sizeof(c->base.local_name));
	return c;
}

/* The last thing: no queue pair any more. */
static void conn_free(struct rdma_conn *c)
{
	rdma_peer_gone(c);
	if (!c->accepting)
		rdma_lib.rdma_reject(c->id, NULL, 0);
	rdma_lib.rdma_destroy_id(c->id);
	rdma_shard_put(c->shard);
	atomic_fetch_sub_explicit(&c->base.reactor->load, 1, memory_order_relaxed);
	free(c);
}

static void destroy_qp(struct rdma_conn *c)
{
	if (!c->qp)
		return;
	rdma_rx_unbind(c);
	rdma_lib.rdma_destroy_qp(c->id);
	c->qp = NULL;
}

/* --- Birth */

static bool create_qp(struct rdma_conn *c)
{
	static const uint32_t inline_sizes[] = { INLINE_WANTED, HEADERS, 0 };
	struct ibv_qp_init_attr attr;
	int err = EINVAL;

	for (size_t i = 0; i < sizeof(inline_sizes) / sizeof(inline_sizes[0]); i++) {
		attr = (struct ibv_qp_init_attr){
			.qp_context = c,
			.send_cq = c->cq->cq,
			.recv_cq = c->cq->cq,
			.srq = c->rx.rq->srq,
			.qp_type = IBV_QPT_RC,
			.cap = {
				.max_send_wr = SEND_DEPTH + 1,
				.max_recv_wr = RECV_DEPTH + 1,
				.max_send_sge = 1,
				.max_recv_sge = RECV_SGES,
				.max_inline_data = inline_sizes[i],
			},
		};
		if (!rdma_lib.rdma_create_qp(c->id, c->hca->pd, &attr)) {
			c->qp = c->id->qp;
			c->max_inline = attr.cap.max_inline_data;
			rdma_rx_bind(c);
			return true;
		}
		if (errno != EINVAL)
			err = errno;
	}
	rdma_count_error(RDMA_ERROR_QUEUE_PAIR);
	log_write_limited(&device_limit, LOG_LEVEL_WARN, "%s: cannot create a queue pair: %s",
			  c->base.peer_name, strerrordesc_np(err));
	return false;
}

static bool accept_request(struct rdma_conn *c)
{
	bool can_invalidate = c->hca->attr.device_cap_flags & IBV_DEVICE_MEM_MGT_EXTENSIONS;
	struct iser_cm_data data = { .flags = ISER_CM_NO_ZBVA };
	struct ibv_qp_attr attr = { .min_rnr_timer = MIN_RNR_TIMER };
	struct rdma_conn_param param = {
		.private_data = &data,
		.private_data_len = sizeof(data),
		.responder_resources = c->request.responder_resources,
		.initiator_depth = (uint8_t)c->ord,
		.rnr_retry_count = RNR_RETRY,
	};

	c->send_w_inv = c->request.send_w_inv && can_invalidate;
	if (!c->send_w_inv)
		data.flags |= ISER_CM_NO_SEND_W_INV;
	c->accepting = true;
	if (rdma_lib.rdma_accept(c->id, &param)) {
		log_write_limited(&device_limit, LOG_LEVEL_WARN, "%s: cannot accept: %m",
				  c->base.peer_name);
		return false;
	}
	/* Otherwise a Send that comes a moment too early is tried again after 655 ms only. Providers
	 * of iWARP know no such timer. */
	rdma_lib.ibv_modify_qp(c->qp, &attr, IBV_QP_MIN_RNR_TIMER);
	return true;
}

static bool first_receives(struct rdma_conn *c)
{
	if (rdma_rx_grow(c, RECV_LOGIN))
		return true;
	log_write_limited(&device_limit, LOG_LEVEL_WARN,
			  "%s: refused: no memory for its receives; raise --memory or the limit of "
			  "locked memory (ulimit -l)",
			  c->base.peer_name);
	return false;
}

/* The queue pair is destroyed. */
static void leave_device(struct rdma_conn *c)
{
	rdma_rx_free(c);
	list_del(&c->same_cq);
	rdma_cq_put(c->cq);
}

void rdma_conn_arrive(struct work *work)
{
	struct rdma_conn *c = container_of(work, struct rdma_conn, arrive);
	void *ctx = c->listen_ctx;

	c->arrived = true;
	rdma_shard_start(c->shard);
	if (c->request.ord && !c->early && !rdma_listener_closed(c->listener))
		c->cq = rdma_cq_get(c->base.reactor, c->id->verbs);
	if (!c->cq) {
		conn_free(c);
		return;
	}
	c->hca = c->cq->hca;
	c->ord = c->request.ord;
	list_add_tail(&c->cq->conns, &c->same_cq);
	rdma_rx_open(c);
	if (!create_qp(c) || !first_receives(c)) {
		destroy_qp(c);
		rdma_cq_drain(c->cq);
		leave_device(c);
		conn_free(c);
		return;
	}
	log_debug("%s: connected to %s over RDMA, %u reads deep", c->base.peer_name,
		  c->base.local_name, c->ord);
	c->base.up->accepted(ctx, &c->base);
	if (c->state == RDMA_CONNECTING && !accept_request(c))
		rdma_conn_fail(c, "cannot accept");
}

void rdma_conn_early_receive(struct rdma_conn *c)
{
	rdma_lib.rdma_notify(c->id, IBV_EVENT_COMM_EST);
}

/* --- Events of the connection manager */

static void established(struct rdma_conn *c)
{
	if (c->state != RDMA_CONNECTING)
		return;
	c->state = RDMA_OPEN;
	rdma_rx_unpark(c);
}

void rdma_conn_event(struct rdma_conn *c, enum rdma_cm_event_type event, int status)
{
	log_debug("%s: %s, status %d", c->base.peer_name, rdma_lib.rdma_event_str(event), status);
	if (event == RDMA_CM_EVENT_DEVICE_REMOVAL)
		rdma_lib_device_lost(c->id->verbs);
	if (!c->arrived) {
		if (event != RDMA_CM_EVENT_ESTABLISHED)
			c->early = true;
		return;
	}
	switch (event) {
	case RDMA_CM_EVENT_ESTABLISHED: established(c); break;
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_TIMEWAIT_EXIT: rdma_conn_fail(c, "the peer hung up"); break;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		rdma_hca_lost(c->hca);
		rdma_conn_fail(c, "the device is gone");
		break;
	case RDMA_CM_EVENT_ADDR_CHANGE:
		rdma_conn_fail(c, "the address has moved to another device");
		break;
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_REJECTED:
		rdma_count_error(RDMA_ERROR_CONNECTION);
		rdma_conn_fail(c, "the connection was not made");
		break;
	default: break; /* of active sides and multicast */
	}
}

/* --- Completions */

static void failed(struct rdma_conn *c, enum ibv_wc_status status)
{
	static struct log_limit limit = LOG_LIMIT(10);

	if (c->state == RDMA_DEAD)
		return;
	if (status != IBV_WC_WR_FLUSH_ERR) {
		rdma_count_error(RDMA_ERROR_COMPLETION);
		log_write_limited(&limit, LOG_LEVEL_WARN, "%s: RDMA error, closing: %s",
				  c->base.peer_name, rdma_lib.ibv_wc_status_str(status));
	}
	rdma_conn_fail(c, "the queue pair is in error");
}

static void recv_completed(struct rdma_recv *recv, const struct ibv_wc *wc)
{
	struct rdma_conn *c = rdma_rx_owner(recv, wc->qp_num);

	if (c && wc->status == IBV_WC_SUCCESS) {
		rdma_rx_completed(c, recv, wc->byte_len);
		return;
	}
	rdma_rx_flushed(c, recv);
	if (c)
		failed(c, wc->status);
}

static void completed(const struct ibv_wc *wc)
{
	void *of = (void *)(uintptr_t)(wc->wr_id & ~(uint64_t)WR_MASK);
	struct rdma_conn *c = of;

	switch (wc->wr_id & WR_MASK) {
	case WR_RECV: recv_completed(of, wc); break;
	case WR_SEND:
		if (wc->status == IBV_WC_SUCCESS)
			rdma_tx_completed(c);
		else
			failed(c, wc->status);
		break;
	case WR_SEND_MARKER:
		c->send_drained = true;
		rdma_conn_defer(c);
		break;
	case WR_RECV_MARKER:
		c->recv_drained = true;
		rdma_conn_defer(c);
		break;
	}
}

void rdma_completions(const struct ibv_wc *wc, int count)
{
	for (int i = 0; i < count; i++)
		completed(&wc[i]);
}

/* --- Death */

/* The queues are worked off in order: when the markers end, all before them has ended. The receive
 * goes first, while the queue pair still works: soft devices look at the receive queue when it
 * fails and not when something is posted to it. A Send would go out, so its turn is afterwards. */
static bool post_recv_marker(struct rdma_conn *c)
{
	struct ibv_recv_wr recv = { .wr_id = (uintptr_t)c | WR_RECV_MARKER }, *bad;

	return c->rx.rq->srq || !ibv_post_recv(c->qp, &recv, &bad);
}

static bool post_send_marker(struct rdma_conn *c)
{
	struct ibv_send_wr send = {
		.wr_id = (uintptr_t)c | WR_SEND_MARKER,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
	}, *bad;

	return !ibv_post_send(c->qp, &send, &bad);
}

/* False: the queue pair may still send. */
static bool put_into_error(struct rdma_conn *c)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
	bool hung_up = c->accepting && !rdma_lib.rdma_disconnect(c->id);

	/* The first does it, too, but iWARP may refuse it. */
	return !rdma_lib.ibv_modify_qp(c->qp, &attr, IBV_QP_STATE) || hung_up;
}

/* A device that is gone while its work is drained gives little back. */
static void hurry(struct rdma_conn *c)
{
	if (c->hurried || !timer_armed(&c->timer) || !(c->hca->lost || c->cq->broken))
		return;
	c->hurried = true;
	timer_arm(c->base.reactor, &c->timer, DRAIN_LOST_MS * NSEC_PER_MSEC);
}

void rdma_conn_fail(struct rdma_conn *c, const char *why)
{
	uint64_t drain = DRAIN_SECONDS * NSEC_PER_SEC;
	bool marked;

	if (c->state == RDMA_DEAD) {
		hurry(c);
		return;
	}
	log_debug("%s: %s", c->base.peer_name, why);
	c->state = RDMA_DEAD;
	c->base.closing = true;
	marked = c->accepting && post_recv_marker(c);
	marked = put_into_error(c) && marked && post_send_marker(c);
	if (!marked)
		drain = NSEC_PER_MSEC;
	else if (c->hca->lost || c->cq->broken)
		drain = DRAIN_LOST_MS * NSEC_PER_MSEC;
	rdma_tx_stop_waiting(c);
	timer_arm(c->base.reactor, &c->timer, drain);
	rdma_conn_defer(c);
}

/* Shared receives know no marker: an event says that the device has given back the last one it had
 * for this queue pair. True: done, or to be looked at again. */
static bool shared_drained(struct rdma_conn *c)
{
	if (!c->rx.rq->srq || !c->send_drained)
		return false;
	if (atomic_load(&c->last_wqe)) {
		rdma_cq_drain(c->cq); /* it stands in the queue, behind others */
		c->recv_drained = true;
		rdma_conn_defer(c);
		return true;
	}
	if (c->last_wqe_tries++ >= LAST_WQE_TRIES)
		return false;
	timer_arm(c->base.reactor, &c->timer, LAST_WQE_MS * NSEC_PER_MSEC);
	return true;
}

static void reap(struct rdma_conn *c)
{
	if (c->send_drained && !c->recv_drained && c->rx.rq->srq && !c->last_wqe_tries)
		shared_drained(c);
	if (!c->send_drained || !c->recv_drained)
		return;
	destroy_qp(c);
	rdma_tx_return(c);
	rdma_tx_report(c);
	/* Callees may hand in more while they get back what they have. */
	if (c->work.queued || !list_empty(&c->tx.queue) || !list_empty(&c->tx.finished)) {
		rdma_conn_defer(c);
		return;
	}
	timer_cancel(c->base.reactor, &c->timer);
	leave_device(c);
	log_debug("%s: closed", c->base.peer_name);
	c->base.up->closed(&c->base);
	conn_free(c);
}

/* The markers do not come: the device is gone, or the queue pair never was connected. Destroying it
 * ends all its work as well; what it has left on the completion queue has to be seen before we go. */
static void drain_hard(struct rdma_conn *c)
{
	log_debug("%s: markers back: send %d, receive %d", c->base.peer_name, c->send_drained,
		  c->recv_drained);
	rdma_cq_drain(c->cq); /* a provider may drop what is left there of a queue pair */
	destroy_qp(c);
	rdma_cq_drain(c->cq);
	c->send_drained = c->recv_drained = true;
	rdma_conn_defer(c);
}

static void too_long(struct timer *timer)
{
	struct rdma_conn *c = container_of(timer, struct rdma_conn, timer);

	if (c->state == RDMA_DEAD && !shared_drained(c))
		drain_hard(c);
	else if (c->state != RDMA_DEAD)
		rdma_conn_fail(c, "closed");
}

static void end_of_turn(struct work *work)
{
	struct rdma_conn *c = container_of(work, struct rdma_conn, work);

	rdma_tx_report(c);
	/* Receives first: the responses tell the initiator that there is room again. */
	rdma_rx_repost(c);
	if (c->state == RDMA_OPEN || c->state == RDMA_FLUSHING)
		rdma_tx_flush(c);
	if (c->state == RDMA_DEAD)
		reap(c);
}

void rdma_close(struct conn *conn, bool flush)
{
	struct rdma_conn *c = rdma_conn_of(conn);

	if (!flush || c->state == RDMA_CONNECTING) {
		rdma_conn_fail(c, "closed");
		return;
	}
	if (c->state != RDMA_OPEN)
		return;
	/* The initiator is the one to hang up once it has our last words. */
	c->state = RDMA_FLUSHING;
	c->base.closing = true;
	rdma_tx_cancel(c);
	timer_arm(c->base.reactor, &c->timer, FLUSH_SECONDS * NSEC_PER_SEC);
	rdma_conn_defer(c);
}
