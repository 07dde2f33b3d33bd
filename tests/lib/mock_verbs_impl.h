// SPDX-License-Identifier: BSD-2-Clause
/* What the files of the mock share: verbs.c has the device, _qp.c the queue pairs, _cm.c the
 * connection manager. */
#ifndef RISER_TESTS_LIB_MOCK_VERBS_IMPL_H
#define RISER_TESTS_LIB_MOCK_VERBS_IMPL_H

#include "tests/lib/mock_verbs.h"

struct mock_pd {
	struct ibv_pd ibv;
	unsigned int users;
};

struct mock_completion {
	struct ibv_wc wc;
	struct mock_qp *qp; /* NULL: destroyed since */
	bool send;
	uint32_t frees; /* places in the queue */
};

struct mock_cq {
	struct ibv_cq ibv;
	struct list node; /* in its channel's events, or in none */
	struct mock_completion *ring;
	uint32_t head, tail;
	unsigned int unacked, users;
	bool armed;
};

/* A shared receive queue. */
struct mock_srq {
	struct ibv_srq ibv;
	struct mock_rr *ring;
	uint32_t tail, head, size;
	unsigned int users;
};

static inline struct mock_qp *mock_qp_of(struct ibv_qp *qp)
{
	return container_of(qp, struct mock_qp, ibv);
}

static inline struct mock_cq *mock_cq_of(struct ibv_cq *cq)
{
	return container_of(cq, struct mock_cq, ibv);
}

/* Drops the events about a queue pair or a completion queue that goes. */
void mock_async_drop(const struct ibv_qp *qp, const struct ibv_cq *cq);
void mock_broken(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Counts a call of the function; true: it shall fail, with errno. */
bool mock_fails(const char *function, int err);
void *mock_zalloc(size_t size);
/* A descriptor that polls readable after mock_fd_ring(). */
int mock_fd(void);
void mock_fd_ring(int fd);
void mock_fd_clear(int fd);
/* The device may touch this memory now. */
bool mock_check_sges(const struct ibv_sge *sge, int n, int access, const char *what);
struct mock_completion *mock_complete(struct ibv_cq *ibv, uint64_t wr_id,
				      enum ibv_wc_status status);
/* Sets the context of the device up, the functions of queue pairs and their queues. */
void mock_context_init(void);
void mock_context_end(void);
struct ibv_qp *mock_qp_create(struct ibv_pd *pd, struct ibv_qp_init_attr *attr);
void mock_qp_destroy(struct ibv_qp *qp);
int mock_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
int mock_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
int mock_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);

#define MOCK_FN(name) __typeof__(name) mock_##name;
RDMA_CM_FUNCTIONS(MOCK_FN)
RDMA_VERBS_FUNCTIONS(MOCK_FN)
#undef MOCK_FN

#endif
