// SPDX-License-Identifier: BSD-2-Clause
/*
 * iSER (RFC 7145): what the files of this folder share.
 *
 *   libs.c    rdma-core's functions, loaded at run time
 *   listen.c  a portal: waits for a device with its address, takes connect requests
 *   cm.c      one event channel per reactor: events of the connection manager
 *   hca.c     one per device: protection domain, memory regions, completion queues of each reactor
 *   conn.c    life of a connection from the connect request to closed()
 *   rq.c      receive queues, of one connection or shared
 *   rx.c      Sends of the initiator -> PDUs; immediate data stays where it landed
 *   tx.c      PDUs, RDMA Writes and RDMA Reads -> one post per turn; what their completions end
 *   unsolicited.c  Data-Out that comes by Send
 *   ops.c     the transport's table
 *
 * Everything of a connection belongs to its reactor's thread.
 */
#ifndef RISER_TRANSPORT_RDMA_RDMA_H
#define RISER_TRANSPORT_RDMA_RDMA_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/region.h"
#include "iser_wire.h"
#include "transport/queue.h"
#include "transport/rdma/libs.h"

enum {
	HEADERS = sizeof(struct iser_header) + BHS_LEN,
	RECV_DATA = LOGIN_DATA_MAX, /* data segment that one receive takes */
	RECV_TAIL =
		80, /* offset in a slot of the header block: what an AHS pushes out of the data */
	RECV_SLOT = RECV_TAIL + AHS_MAX, /* bytes of a receive in the header block */
	BLOCK_MAX = 16384 / RECV_SLOT, /* receives that are made at a time */
	RECV_SGES = 3, /* headers, data, tail */
	RECV_FEW = 16, /* receives that a connection gets when memory is short */
	RECV_DEPTH = 256, /* receives that a queue pair can hold, without the marker */
	RECV_LOGIN = 2, /* posted before the full feature phase */
	RECV_DISCOVERY = 8, /* posted in a discovery session */
	UNEXPECTED_MAX = 32, /* MaxOutstandingUnexpectedPDUs that we declare */
	SEND_DEPTH = 256, /* work requests on the send queue, without the marker */
	SEND_BATCH = 64, /* of these: in one post */
	/* What an initiator's full feature receive buffers hold whatever it declares: ib_iser and
	 * libiscsi post 128 bytes behind the headers. */
	FULL_FEATURE_DATA = 128,
	INLINE_WANTED = HEADERS + FULL_FEATURE_DATA,
	CQ_ENTRIES = 16384, /* of one completion queue, if the device has as many */
	CQ_PER_CONN = RECV_DEPTH + SEND_DEPTH + 2,
	CQ_BATCH = 32, /* completions taken at a time */
	FLUSH_SECONDS = 2, /* how long a peer may take to read our last words and hang up */
	DRAIN_SECONDS = 5, /* how long the markers may take to come back */
	DRAIN_LOST_MS = 200, /* and from a device that is gone */
	MIN_RNR_TIMER = 12, /* 0.64 ms, IBTA 9.7.5.2.8 */
	RNR_RETRY = 7, /* for the initiator's Sends: for ever, we repost within a turn */
	RQ_BUCKETS = 64,
	SHARED_DEPTH = 4096, /* receives of a shared queue at most */
	SHARED_DEPTH_MIN = 1024, /* less is not worth sharing */
	LAST_WQE_MS = 10, /* how often a closing connection looks whether the device is done with */
	LAST_WQE_TRIES = 100, /* its receives of a shared queue, and how many times */
	PEER_PENDING_MAX = 16, /* connections of one address that have not logged in */
	PEER_MAX = 128, /* connections of one address */
};

/* wr_id: a pointer and, in its low bits, what it points to. */
enum {
	WR_RECV, /* struct rdma_recv */
	WR_SEND, /* struct rdma_conn: any work request of the send queue */
	WR_SEND_MARKER, /* struct rdma_conn: everything before it on the send queue has ended */
	WR_RECV_MARKER, /* struct rdma_conn: and on the receive queue */
	WR_MASK = 7,
};

struct rdma_conn;

/* --- hca.c */

/* A device, as long as connections use it. Shared by the reactors. */
struct rdma_hca {
	struct rdma_hca *next;
	struct ibv_context *verbs;
	struct ibv_pd *pd;
	struct ibv_device_attr attr;
	bool iwarp; /* the sink of an RDMA Read needs remote write access */
	_Atomic bool lost; /* the device is gone */
	uint32_t users; /* under hca.c's lock: rdma_cq */
	pthread_mutex_t lock; /* of registering memory */
	/* Memory regions by chunk number, in two levels. Leaves and entries are set once while the
	 * hca lives. */
	struct rdma_mr_leaf *_Atomic *leaves;
};

/* A completion queue of one reactor. */
struct rdma_cq {
	struct rdma_cq *next; /* same reactor */
	struct rdma_hca *hca;
	struct rdma_rq *shared; /* receive queue of its connections; NULL: each has its own */
	struct reactor *reactor;
	struct ibv_cq *cq;
	struct ibv_comp_channel *channel;
	uint32_t size, used; /* entries */
	uint32_t unacked; /* events got and not acknowledged */
	bool armed; /* an event will come */
	bool woken; /* and has come, and is still to be taken */
	struct poller poller;
	struct io_op wake, device; /* polls of the channel's descriptor and of the device's */
	bool polling, watching; /* they are under way */
	_Atomic bool broken; /* set by any thread: no completion will come any more */
	_Atomic bool attention; /* set by any thread: one of its connections is */
	uint64_t emptied; /* how often it was found empty */
	struct list conns; /* struct rdma_conn.same_cq */
	bool busy; /* in rdma_completions() */
	bool dying; /* the verbs objects are gone; the memory waits for the above */
};

/* [owner thread] A completion queue of r on the device with room for CQ_PER_CONN entries; the hca and
 * the queue are made when there is none. NULL: the device or memory does not allow it; logged. */
struct rdma_cq *rdma_cq_get(struct reactor *r, struct ibv_context *verbs);
/* [owner thread] The queue pair is destroyed. The last one takes the queue, and the last queue the
 * device's memory regions and protection domain with it. */
void rdma_cq_put(struct rdma_cq *cq);
/* [owner thread] Handles completions until there are none. */
void rdma_cq_drain(struct rdma_cq *cq);
/* [any thread] lkey for local access to the first bytes of [p, p+len), and in *piece how many bytes it
 * is good for (<= len): a chunk of a region is registered when it is first asked for. False: p is in
 * no region, or the device or RLIMIT_MEMLOCK does not allow it: copy. */
bool rdma_lkey(struct rdma_hca *hca, const void *p, uint32_t len, uint32_t *lkey, uint32_t *piece);
/* [any thread] The device is gone. */
void rdma_hca_lost(struct rdma_hca *hca);
/* [any thread] Likewise; verbs is only compared. */
void rdma_hca_lost_context(const struct ibv_context *verbs);

/* --- cm.c */

/* What the connections of one reactor share. */
struct rdma_shard {
	struct rdma_shard *next;
	struct reactor *reactor;
	struct rdma_event_channel *channel;
	uint32_t users; /* under cm.c's lock */
	struct io_op wake; /* poll of the channel's descriptor */
	struct work stop;
	bool polling; /* wake is under way */
	bool busy; /* in rdma_conn_event() */
	_Atomic bool started; /* its reactor knows it */
	bool dying; /* the channel is gone; the memory waits for the above */
};

/* [any thread] The shard of r, with a reference; NULL: no memory or no librdmacm. */
struct rdma_shard *rdma_shard_get(struct reactor *r);
/* [owner thread] Before the first id of it can have events: starts polling. */
void rdma_shard_start(struct rdma_shard *shard);
/* [any thread] No id uses the channel any more. */
void rdma_shard_put(struct rdma_shard *shard);

/* --- listen.c */

struct listener; /* private */
int rdma_portal_listen(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
		       void *ctx, struct listener **out, char *why, size_t why_size);
void rdma_portal_unlisten(struct listener *l);
/* [any thread] unlisten() was called: no accepted(). NULL: it was not. */
bool rdma_listener_closed(const struct listener *l);

/* What a connect request said, copied before the event was acknowledged. */
struct rdma_request {
	uint8_t ord; /* RDMA Reads that the initiator can answer at a time */
	uint8_t responder_resources; /* RDMA Reads that it wants us to answer */
	bool send_w_inv; /* it understands Send with Invalidate */
};

/* [any thread] The connection is gone: it does not count for its peer's PEER_MAX any more. */
void rdma_peer_gone(struct rdma_conn *c);
/* [any thread] The connection has logged in or is gone: it does not count for its peer's
 * PEER_PENDING_MAX any more. Idempotent by c->pending_counted. */
void rdma_peer_settled(struct rdma_conn *c);

/* --- conn.c */

enum rdma_state {
	RDMA_CONNECTING, /* accepted by us; what the initiator sends is put aside */
	RDMA_OPEN,
	RDMA_FLUSHING, /* close(flush): sends what is queued, then waits for the peer to hang up */
	RDMA_DEAD, /* the queue pair is in error; everything comes back, then closed() */
};

/* One receive. */
struct rdma_recv {
	struct rdma_rq *rq;
	struct rdma_recv *next; /* to be posted again, or parked */
	uint8_t *header; /* HEADERS bytes of the header block */
	struct buf *data; /* RECV_DATA bytes */
	uint32_t byte_len; /* parked: of the completion */
	struct ibv_sge sge[RECV_SGES];
	struct ibv_recv_wr wr;
} __attribute__((aligned(64)));

/* Receives that were made together. */
struct rdma_recv_block {
	struct rdma_recv_block *next;
	struct buf *headers; /* RECV_SLOT bytes for each */
	uint32_t count;
	struct rdma_recv recvs[];
};

/* A receive queue: a connection's own, or one that the connections of a completion queue share where
 * the device does that well. */
struct rdma_rq {
	struct rdma_conn *owner; /* NULL: shared */
	struct rdma_hca *hca;
	struct reactor *reactor;
	struct rdma_recv_block *blocks;
	uint32_t depth; /* receives that it can hold */
	uint32_t count; /* receives that were made */
	struct rdma_recv *repost, **repost_end; /* done with, to be posted at the end of the turn */
	/* shared: */
	struct ibv_srq *srq;
	uint32_t users; /* connections */
	uint32_t demand; /* receives that they would have as their own */
	struct rdma_conn *by_qp_num[RQ_BUCKETS]; /* rdma_conn.rx.same_bucket */
};

struct rdma_rx {
	struct rdma_rq *rq;
	struct rdma_rq own;
	struct rdma_conn *same_bucket;
	bool greeted; /* Hello came */
	uint32_t demand; /* receives that it was promised */
	/* Of a shared queue: receives that it has taken and not answered since the completion queue
	 * was empty for the last time. */
	uint32_t taken;
	uint64_t emptied; /* rdma_cq.emptied at that time */
	struct rdma_recv *parked, **parked_end; /* came before ESTABLISHED */
	struct pdu pdu;
};

/* A work request on the send queue, in its order. */
struct rdma_sent {
	struct tx_item *item; /* ends with it; NULL: there is more of it, or nobody waits */
	struct buf *bounce; /* what was sent instead of memory that the device cannot read */
	bool signaled; /* its completion ends it and all before it */
	bool read; /* holds a place of ord */
	uint32_t bytes; /* on the wire, for the counters */
};

struct rdma_tx {
	struct list queue; /* struct tx_item: PDUs and Data-In, in order */
	struct list reads; /* struct transfer: get_data() that is not posted yet */
	struct list unsolicited; /* struct transfer: waits for Data-Out */
	struct list finished; /* struct transfer: transfer_done() is due */
	struct rdma_sent ring[SEND_DEPTH];
	uint32_t head, tail; /* of ring: posted and not completed */
	uint32_t reads_out; /* at most ord */
	bool waiting; /* for memory: waiter */
	struct buf_waiter waiter;
	bool hello_due; /* hello_reply is to be sent */
	struct iser_hello_reply hello_reply;
};

struct rdma_conn {
	struct conn base;
	enum rdma_state state;
	struct rdma_cm_id *id;
	struct rdma_shard *shard;
	struct rdma_cq *cq;
	struct list same_cq; /* rdma_cq.conns */
	struct rdma_hca *hca;
	struct ibv_qp *qp;
	struct rdma_request request;
	uint32_t ord; /* RDMA Reads that we may have under way */
	uint32_t max_inline; /* bytes */
	bool send_w_inv; /* negotiated */
	bool established, disconnected; /* what the connection manager said */
	bool send_drained, recv_drained; /* the markers are back */
	_Atomic bool qp_broken; /* set by any thread: the device says so */
	_Atomic bool last_wqe; /* likewise: shared receives of ours come no more */
	uint32_t last_wqe_tries;
	bool pending_counted, peer_counted; /* for its peer: not logged in; at all */
	bool accepting; /* rdma_accept() was called: the queue pair can send */
	void *listen_ctx; /* until accepted() */
	struct listener *listener; /* valid during rdma_conn_arrive(); NULL in tests */
	struct work work; /* end of the turn */
	struct work arrive; /* on its way from the listener */
	bool arrived;
	bool hurried; /* the drain timer knows that the device is gone */
	bool early; /* an event that ends it came before we did */
	struct timer timer; /* flush, then drain */
	struct rdma_tx tx;
	struct rdma_rx rx;
} __attribute__((aligned(64)));

/* [any thread] For a connect request: takes id (its context becomes the connection). NULL: no memory. */
struct rdma_conn *rdma_conn_new(struct reactor *r, struct rdma_cm_id *id,
				const struct rdma_request *request, const struct conn_up *up,
				void *ctx);
/* [owner thread] First thing on its reactor: queue pair, first receives, accept(), accepted(). On any
 * failure the request is rejected and the connection freed. */
void rdma_conn_arrive(struct work *work);
/* [owner thread] The initiator sends before the connection manager says ESTABLISHED. */
void rdma_conn_early_receive(struct rdma_conn *c);
/* [owner thread] An event of its id; it was acknowledged already. */
void rdma_conn_event(struct rdma_conn *c, enum rdma_cm_event_type event, int status);
/* [owner thread] Completions of any connection of the reactor. */
void rdma_completions(const struct ibv_wc *wc, int count);
/* [owner thread] Its use is over: drains at the end of the turn. */
void rdma_conn_fail(struct rdma_conn *c, const char *why);
void rdma_close(struct conn *conn, bool flush);
static inline struct rdma_conn *rdma_conn_of(struct conn *conn)
{
	return container_of(conn, struct rdma_conn, base);
}
static inline void rdma_conn_defer(struct rdma_conn *c)
{
	if (!c->work.queued)
		reactor_defer(c->base.reactor, &c->work);
}

/* --- rq.c */

/* Lists of receives. */
static inline void rdma_recv_chain(struct rdma_recv ***end, struct rdma_recv *recv)
{
	recv->next = NULL;
	**end = recv;
	*end = &recv->next;
}

static inline struct rdma_recv *rdma_recv_take(struct rdma_recv **first, struct rdma_recv ***end)
{
	struct rdma_recv *all = *first;

	*first = NULL;
	*end = first;
	return all;
}

/* [owner thread] Gives recv a data buffer; false: no memory, the old one (if any) stays. */
bool rdma_recv_new_data(struct rdma_recv *recv);

/* [owner thread] Whether the connections of this device share their receives: RISER_RDMA_SRQ=on or
 * off, otherwise where a device is hardware and has enough of them. */
bool rdma_rq_shared(const struct rdma_hca *hca);
/* The receive queue, before the queue pair is created. */
void rdma_rx_open(struct rdma_conn *c);
/* The queue pair was created, and it will be destroyed. */
void rdma_rx_bind(struct rdma_conn *c);
void rdma_rx_unbind(struct rdma_conn *c);
/* Makes and posts receives until the connection has n of its own, or its part of the shared ones;
 * false: not enough memory. */
bool rdma_rx_grow(struct rdma_conn *c, uint32_t n);
void rdma_rx_init(struct rdma_conn *c);
/* The queue pair is destroyed. */
void rdma_rx_free(struct rdma_conn *c);
/* Posts what was used up. */
void rdma_rx_repost(struct rdma_conn *c);
/* A receive ended without a message. */
void rdma_rx_flushed(struct rdma_conn *c, struct rdma_recv *recv);
/* Whose receive it was; NULL: of a connection that is gone. */
struct rdma_conn *rdma_rx_owner(const struct rdma_recv *recv, uint32_t qp_num);

/* --- rx.c */

void rdma_rx_completed(struct rdma_conn *c, struct rdma_recv *recv, uint32_t byte_len);
/* The connection is established: what was put aside. */
void rdma_rx_unpark(struct rdma_conn *c);

/* --- tx.c */

void rdma_tx_init(struct rdma_conn *c);
/* Posts what is queued, as far as there is room. */
void rdma_tx_flush(struct rdma_conn *c);
/* A signaled work request has ended well, and with it all before. */
void rdma_tx_completed(struct rdma_conn *c);
/* It is of no use to wait for memory any more. */
void rdma_tx_stop_waiting(struct rdma_conn *c);
/* Nothing is on the send queue any more: gives everything back. */
void rdma_tx_return(struct rdma_conn *c);
void rdma_send_pdu(struct conn *conn, struct tx_pdu *pdu);
void rdma_put_data(struct conn *conn, struct transfer *t);
void rdma_get_data(struct conn *conn, struct transfer *t);
void rdma_cancel_data(struct conn *conn, struct transfer *t);
/* Ends every get_data() that is not with the device. */
void rdma_tx_cancel(struct rdma_conn *c);
/* transfer_done() for what has ended inside a down-call. */
void rdma_tx_report(struct rdma_conn *c);

/* --- unsolicited.c */

void rdma_data_out(struct rdma_conn *c, const struct bhs_data_out *h, const uint8_t *data,
		   uint32_t len);

/* ops.c: counts, for who watches; the log says what it was. [any thread] */
enum rdma_error {
	RDMA_ERROR_COMPLETION, /* a work request has failed, not because others had */
	RDMA_ERROR_QUEUE_PAIR, /* not to be created, or broken */
	RDMA_ERROR_CONNECTION, /* not made */
	RDMA_ERROR_REGISTRATION, /* of memory */
	RDMA_ERROR_DEVICE,
};
void rdma_count_error(enum rdma_error error);

/* capture.c */
void rdma_captured_put(struct rdma_conn *c, const struct transfer *t);
void rdma_captured_get(struct rdma_conn *c, const struct transfer *t);
void rdma_captured_got(struct rdma_conn *c, const struct transfer *t);

/* The Data-In that the Writes of t stand for, when all are posted; the status is a PDU of its own. */
static inline void rdma_capture_put(struct rdma_conn *c, const struct transfer *t)
{
	if (__builtin_expect(c->base.tap != NULL, 0) && t->received == t->len)
		rdma_captured_put(c, t);
}

/* The R2T that its Read stands for, */
static inline void rdma_capture_get(struct rdma_conn *c, const struct transfer *t)
{
	if (__builtin_expect(c->base.tap != NULL, 0))
		rdma_captured_get(c, t);
}

/* and the Data-Out that it has brought, if it has. */
static inline void rdma_capture_got(struct rdma_conn *c, const struct transfer *t)
{
	if (__builtin_expect(c->base.tap != NULL, 0) && t->received)
		rdma_captured_got(c, t);
}

/* What the transport puts into struct remote_data: the address of the command's byte 0 in either
 * direction, write STag << 32 | read STag, ISER_WSV and ISER_RSV << 32 | EDTL. */
enum { REMOTE_WRITE_VA, REMOTE_READ_VA, REMOTE_STAGS, REMOTE_FLAGS_EDTL };

extern const struct transport_ops rdma_transport;

#endif
