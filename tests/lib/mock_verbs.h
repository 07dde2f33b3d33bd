// SPDX-License-Identifier: BSD-2-Clause
/*
 * A verbs provider and a connection manager that exist in memory only: `rdma_lib` filled with
 * functions that work on one fake device. The test is the initiator and the wire: it sees what was
 * posted, ends it, delivers Sends, and makes the events. Deterministic, one thread.
 *
 * Rules that the real thing would punish later or not at all are checked at once: the first one
 * that is broken is kept as text (mock_failure()). mock_end() looks for what was left behind.
 */
#ifndef RISER_TESTS_LIB_MOCK_VERBS_H
#define RISER_TESTS_LIB_MOCK_VERBS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/list.h"
#include "transport/rdma/libs.h"

enum { MOCK_SGE = 4, MOCK_INLINE = 512, MOCK_PRIVATE = 196 };

/* Memory of the initiator that it has advertised. */
struct mock_region {
	struct mock_region *next;
	uint64_t va;
	uint32_t len, rkey;
	bool dead; /* invalidated or withdrawn: any access is an error */
	bool sink; /* what is written to it is dropped: for more than there is memory */
	unsigned int touched; /* RDMA operations that got through */
	uint8_t *bytes;
};

/* On the send queue. */
struct mock_wr {
	enum ibv_wr_opcode opcode;
	uint64_t wr_id, remote_addr;
	uint32_t rkey, invalidate_rkey, len;
	unsigned int post; /* which ibv_post_send() of the queue pair, from 1 */
	bool signaled, inlined, fenced;
	int sges;
	struct ibv_sge sge[MOCK_SGE];
	uint8_t bytes[MOCK_INLINE]; /* inlined: the data */
};

/* On the receive queue. */
struct mock_rr {
	uint64_t wr_id;
	int sges;
	struct ibv_sge sge[MOCK_SGE];
};

/* A Send that has arrived at the initiator. */
struct mock_message {
	struct mock_message *next;
	bool invalidates;
	uint32_t invalidated, len;
	unsigned int post;
	uint8_t bytes[];
};

enum mock_state { MOCK_INIT, MOCK_RTS, MOCK_ERR };

struct mock_qp {
	struct ibv_qp ibv;
	struct list node;
	enum mock_state state;
	struct ibv_qp_cap cap;
	/* Rings. Ended entries count until the completion that says so has been polled. */
	struct mock_wr *sq;
	uint32_t sq_tail, sq_head, sq_freed;
	uint32_t silent; /* ended without a completion since the last one */
	struct mock_rr *rq;
	uint32_t rq_tail, rq_head, rq_freed;
	unsigned int posts; /* calls of ibv_post_send() */
	uint32_t recvs_at_post; /* receives that were there at the last of them */
	uint32_t sq_most; /* work requests that the send queue held at a time */
	uint32_t reads, reads_most; /* RDMA Reads on it, and at a time */
	uint8_t min_rnr_timer;
	struct mock_message *in, **in_end; /* what the initiator got and the test has not read */
};

/* What rdma_accept() was told last. */
struct mock_accept {
	struct rdma_conn_param param;
	uint8_t data[MOCK_PRIVATE];
};

struct mock {
	/* What the device is like; set before it is used. */
	struct ibv_device_attr attr;
	uint32_t max_inline;
	bool absent; /* no device: addresses have none */
	bool iwarp;
	bool lib_gone; /* rdma_lib_get() fails */
	/* A queue pair in error keeps its work requests until mock_flush_send() and mock_flush_recv(),
	 * and those that are posted to it as well. Otherwise everything is flushed at once. */
	bool hold_flush;
	/* Memory that the device does not register (mock_forbid()), and how often it was asked to. */
	uintptr_t forbidden, forbidden_end;
	unsigned int refused;
	uint32_t posted_before_failure; /* receives, by a post of them that fails */
	bool flush_on_destroy; /* what a queue pair still holds is flushed while it is destroyed */
	struct ibv_device device;
	struct ibv_context context;

	/* What happened. */
	unsigned int accepts, rejects, disconnects, notifies, lost_contexts, noted_contexts;
	unsigned int rnr; /* Sends that found no receive */
	unsigned int busy_destroyed; /* queue pairs destroyed with work requests on them */
	int lib_users;
	struct mock_accept accept;

	/* What is there. */
	unsigned int pds, mrs, cqs, srqs, comp_channels, channels, qps, ids;
	struct list qp_list, mr_list, id_list; /* struct mock_qp, mock_mr, mock_id */
	struct list async; /* events of the device that nobody has got */
	unsigned int async_unacked;
	uint8_t reject[MOCK_PRIVATE]; /* private data of the last rdma_reject() */
	uint8_t reject_len;
	struct mock_region *regions;
	uint32_t keys;
	char failure[256];
};

extern struct mock mock;

/* A fresh world with a device that can do everything. */
void mock_begin(void);
/* Frees the regions and checks that nothing else is left. NULL, or what was wrong first. */
const char *mock_end(void);
/* NULL, or the first rule that was broken. */
const char *mock_failure(void);
/* The nth call from now of the function of that name fails (1: the next); 0: none does. Names as in
 * libs.h, and ibv_post_send, ibv_post_recv, ibv_req_notify_cq, rdma_lib_get. */
void mock_fail(const char *function, unsigned int nth);
/* Calls so far of a function, failed ones included. */
unsigned int mock_calls(const char *function);

/* --- The initiator's memory */

struct mock_region *mock_region_add(uint64_t va, uint32_t len);
struct mock_region *mock_region_of(uint32_t rkey);

/* --- The send queue */

/* The latest queue pair that is there, or NULL. */
struct mock_qp *mock_qp_latest(void);
uint32_t mock_send_count(const struct mock_qp *qp);
/* The nth of the work requests that are under way, 0 is the oldest; NULL: there are not as many. */
const struct mock_wr *mock_send_at(const struct mock_qp *qp, uint32_t nth);
/* Ends the oldest: with success it is carried out (which ends in another status, and the queue pair in
 * error, when the initiator does not have that memory or key); with any other status the queue pair
 * is in error. False: there is none. */
bool mock_send_end(struct mock_qp *qp, enum ibv_wc_status status);
/* Carries out everything; returns how many. */
unsigned int mock_send_all(struct mock_qp *qp);
/* The oldest Send that has arrived, to be freed; NULL: there is none. */
struct mock_message *mock_message_take(struct mock_qp *qp);

/* --- The receive queue */

enum mock_delivery { MOCK_DELIVERED, MOCK_RNR, MOCK_TOO_LONG, MOCK_DOWN };

/* What is posted for the queue pair: on its own queue, or on the one it shares. */
uint32_t mock_recv_count(const struct mock_qp *qp);
/* A Send of the initiator. MOCK_RNR: no receive was posted, nothing has happened. MOCK_TOO_LONG: the
 * queue pair is in error. MOCK_DOWN: it was before, or cannot receive yet. */
enum mock_delivery mock_deliver(struct mock_qp *qp, const void *bytes, uint32_t len);

/* --- Errors */

/* As when the connection breaks. */
void mock_qp_error(struct mock_qp *qp);
/* With hold_flush: flushes up to n of what is on the queue; returns how many were. */
unsigned int mock_flush_send(struct mock_qp *qp, unsigned int n);
unsigned int mock_flush_recv(struct mock_qp *qp, unsigned int n);

/* --- The connection manager */

/* An id as a connect request brings it, on no channel. */
struct rdma_cm_id *mock_id_new(void);
/* A connect request for a listening id: a new id, and the event on the listener's channel. */
struct rdma_cm_id *mock_connect(struct rdma_cm_id *listening, const struct rdma_conn_param *param);
/* The id that listens, or NULL. */
struct rdma_cm_id *mock_listening(void);
/* An event on the id's channel, behind those that are there. */
void mock_event(struct rdma_cm_id *id, enum rdma_cm_event_type type, int status);
/* The id was not destroyed. */
bool mock_id_alive(const struct rdma_cm_id *id);
/* An asynchronous event of the device; qp is NULL unless it is about one. */
void mock_async(enum ibv_event_type type, struct mock_qp *qp);
/* IBV_EVENT_CQ_ERR. Events of what is destroyed before they were got are dropped. */
void mock_async_cq(struct ibv_cq *cq);
/* ibv_reg_mr() of any of these bytes fails; none: len is 0. */
void mock_forbid(const void *p, size_t len);

#endif
