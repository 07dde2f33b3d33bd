// SPDX-License-Identifier: BSD-2-Clause
/*
 * Devices and completion queues. A device is set up when its first connection comes and taken down
 * with the last one: a device that somebody still has objects on cannot be removed.
 *
 * Memory is registered chunk by chunk when data is first moved there. Looking up a chunk takes no
 * lock; neither does polling.
 */
#include "transport/rdma/rdma.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"

enum {
	LEAF_BITS = 11,
	LEAF_SIZE = 1 << LEAF_BITS,
	ROOT_SIZE = 1 << (REGION_ADDRESS_BITS - REGION_CHUNK_BITS - LEAF_BITS),
	POLL_BATCHES = 8, /* of CQ_BATCH, in one call: others want their turn */
	ACK_BATCH = 64,
};
struct rdma_mr_leaf {
	struct ibv_mr *_Atomic mrs[LEAF_SIZE];
	/* CLOCK_MONOTONIC, s: registering failed, not again before. Under the hca's lock. */
	uint32_t retry_at[LEAF_SIZE];
};

static struct {
	pthread_mutex_t lock;
	struct rdma_hca *first;
} hcas = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* By reactor index, touched by the reactor's thread alone. Virtual reactors share a place, and a
 * thread. */
static struct rdma_cq *cqs[REACTOR_MAX];

static struct log_limit register_limit = LOG_LIMIT(1), device_limit = LOG_LIMIT(5);

/* Memory regions */

static unsigned int leaf_index(const void *p)
{
	return (uintptr_t)p >> (REGION_CHUNK_BITS + LEAF_BITS) & (ROOT_SIZE - 1);
}

static unsigned int mr_index(const void *p)
{
	return (uintptr_t)p >> REGION_CHUNK_BITS & (LEAF_SIZE - 1);
}

static struct ibv_mr *find_mr(struct rdma_hca *hca, const void *p)
{
	struct rdma_mr_leaf *leaf;

	if ((uintptr_t)p >> REGION_ADDRESS_BITS)
		return NULL;
	leaf = atomic_load_explicit(&hca->leaves[leaf_index(p)], memory_order_acquire);
	return leaf ? atomic_load_explicit(&leaf->mrs[mr_index(p)], memory_order_acquire) : NULL;
}

static struct rdma_mr_leaf *get_leaf(struct rdma_hca *hca, const void *p)
{
	struct rdma_mr_leaf *leaf = hca->leaves[leaf_index(p)];

	if (!leaf) {
		leaf = calloc(1, sizeof(*leaf));
		atomic_store_explicit(&hca->leaves[leaf_index(p)], leaf, memory_order_release);
	}
	return leaf;
}

static uint32_t monotonic_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint32_t)ts.tv_sec;
}

static struct ibv_mr *register_chunk(struct rdma_hca *hca, struct region *region, const void *p)
{
	int access = IBV_ACCESS_LOCAL_WRITE | (hca->iwarp ? IBV_ACCESS_REMOTE_WRITE : 0);
	struct ibv_mr *mr;
	uint8_t *start;
	size_t len;
	int err;

	region_chunk(region, p, &start, &len);
	region_pin(region, p);
	mr = rdma_lib.ibv_reg_mr(hca->pd, start, len, access);
	if (mr)
		return mr;
	err = errno;
	region_unpin(region, p);
	rdma_count_error(RDMA_ERROR_REGISTRATION);
	log_write_limited(&register_limit, LOG_LEVEL_WARN,
			  "cannot register %zu MiB of memory with an RDMA device, data is copied "
			  "or refused: %s%s",
			  len >> 20, strerrordesc_np(err),
			  err == ENOMEM ? " (raise RLIMIT_MEMLOCK, LimitMEMLOCK=)" : "");
	return NULL;
}

static struct ibv_mr *get_mr(struct rdma_hca *hca, struct region *region, const void *p)
{
	uint32_t now = monotonic_seconds();
	struct rdma_mr_leaf *leaf;
	struct ibv_mr *mr;

	pthread_mutex_lock(&hca->lock);
	mr = find_mr(hca, p);
	leaf = mr ? NULL : get_leaf(hca, p);
	if (leaf && now >= leaf->retry_at[mr_index(p)]) {
		mr = register_chunk(hca, region, p);
		if (!mr)
			leaf->retry_at[mr_index(p)] = now + 1;
		atomic_store_explicit(&leaf->mrs[mr_index(p)], mr, memory_order_release);
	}
	pthread_mutex_unlock(&hca->lock);
	return mr;
}

bool rdma_lkey(struct rdma_hca *hca, const void *p, uint32_t len, uint32_t *lkey, uint32_t *piece)
{
	struct ibv_mr *mr = find_mr(hca, p);
	struct region *region;
	size_t offset;

	if (!mr) {
		region = region_of(p);
		mr = region ? get_mr(hca, region, p) : NULL;
		if (!mr)
			return false;
	}
	offset = (size_t)((const uint8_t *)p - (uint8_t *)mr->addr);
	if (offset >= mr->length)
		return false;
	*lkey = mr->lkey;
	*piece = len < mr->length - offset ? len : (uint32_t)(mr->length - offset);
	return true;
}

static void free_mrs(struct rdma_mr_leaf *leaf)
{
	for (size_t i = 0; i < LEAF_SIZE; i++) {
		struct ibv_mr *mr = leaf->mrs[i];
		void *start;
		int err;

		if (!mr)
			continue;
		start = mr->addr;
		err = rdma_lib.ibv_dereg_mr(mr);
		if (err) /* the pages stay with the device: keep them where they are */
			log_write_limited(&device_limit, LOG_LEVEL_ERROR,
					  "cannot take memory back from an RDMA device: %s",
					  strerrordesc_np(err));
		else
			region_unpin(region_of(start), start);
	}
	free(leaf);
}

/* Devices */

static void hca_free(struct rdma_hca *hca)
{
	int err = 0;

	if (hca->leaves) {
		for (size_t i = 0; i < ROOT_SIZE; i++) {
			if (hca->leaves[i])
				free_mrs(hca->leaves[i]);
		}
		free(hca->leaves);
	}
	if (hca->pd)
		err = rdma_lib.ibv_dealloc_pd(hca->pd);
	if (err)
		log_write_limited(&device_limit, LOG_LEVEL_ERROR,
				  "cannot release an RDMA device: protection domain: %s",
				  strerrordesc_np(err));
	pthread_mutex_destroy(&hca->lock);
	free(hca);
}

static struct rdma_hca *hca_new(struct ibv_context *verbs)
{
	struct rdma_hca *hca = calloc(1, sizeof(*hca));
	int err = ENOMEM;

	if (!hca)
		goto err_log;
	pthread_mutex_init(&hca->lock, NULL);
	hca->verbs = verbs;
	hca->iwarp = verbs->device->transport_type == IBV_TRANSPORT_IWARP;
	hca->leaves = calloc(ROOT_SIZE, sizeof(*hca->leaves));
	if (!hca->leaves)
		goto err_free;
	err = rdma_lib.ibv_query_device(verbs, &hca->attr);
	if (err)
		goto err_free;
	errno = ENOMEM;
	fcntl(verbs->async_fd, F_SETFL, fcntl(verbs->async_fd, F_GETFL) | O_NONBLOCK);
	hca->pd = rdma_lib.ibv_alloc_pd(verbs);
	err = errno;
	if (!hca->pd)
		goto err_free;
	return hca;

err_free:
	hca_free(hca);
err_log:
	log_write_limited(&device_limit, LOG_LEVEL_WARN, "cannot use RDMA device %s: %s",
			  verbs->device->name, strerrordesc_np(err));
	return NULL;
}

static struct rdma_hca *hca_get(struct ibv_context *verbs)
{
	struct rdma_hca *hca;

	pthread_mutex_lock(&hcas.lock);
	for (hca = hcas.first; hca && hca->verbs != verbs;)
		hca = hca->next;
	if (!hca) {
		hca = hca_new(verbs);
		if (hca) {
			hca->next = hcas.first;
			hcas.first = hca;
		}
	}
	if (hca)
		hca->users++;
	pthread_mutex_unlock(&hcas.lock);
	return hca;
}

static void hca_put(struct rdma_hca *hca)
{
	struct rdma_hca **at = &hcas.first;

	pthread_mutex_lock(&hcas.lock);
	if (--hca->users) {
		pthread_mutex_unlock(&hcas.lock);
		return;
	}
	while (*at != hca)
		at = &(*at)->next;
	*at = hca->next;
	pthread_mutex_unlock(&hcas.lock);
	hca_free(hca);
}

void rdma_hca_lost(struct rdma_hca *hca)
{
	if (!atomic_exchange(&hca->lost, true))
		rdma_lib_device_lost(hca->verbs);
}

void rdma_hca_lost_context(const struct ibv_context *verbs)
{
	pthread_mutex_lock(&hcas.lock);
	for (struct rdma_hca *hca = hcas.first; hca; hca = hca->next) {
		if (hca->verbs == verbs)
			atomic_store(&hca->lost, true);
	}
	pthread_mutex_unlock(&hcas.lock);
}

/* Completion queues */

static void cq_release(struct rdma_cq *cq)
{
	if (cq->dying && !cq->polling && !cq->watching && !cq->busy)
		free(cq);
}

/* At most `batches`; true: there was something. cq may be dying afterwards. */
static bool poll_batches(struct rdma_cq *cq, unsigned int batches)
{
	struct ibv_wc wcs[CQ_BATCH];
	bool any = false;
	int n = CQ_BATCH;

	while (batches-- && n == CQ_BATCH && !cq->dying) {
		n = ibv_poll_cq(cq->cq, CQ_BATCH, wcs);
		if (n <= 0)
			break;
		any = true;
		rdma_completions(wcs, n);
	}
	cq->emptied += n < CQ_BATCH;
	return any;
}

static bool cq_poll(struct rdma_cq *cq, unsigned int batches)
{
	bool outer = cq->busy, any;

	cq->busy = true;
	any = poll_batches(cq, batches);
	cq->busy = outer;
	cq_release(cq);
	return any;
}

void rdma_cq_drain(struct rdma_cq *cq)
{
	cq_poll(cq, UINT32_MAX);
}

/* No completion will come any more: what the connections have under way ends with them. */
static void fail_all(struct rdma_cq *cq)
{
	struct list *node;

	list_for_each(node, &cq->conns)
		rdma_conn_fail(list_entry(node, struct rdma_conn, same_cq),
			       "the device or its completion queue is gone");
}

/* Without receives of its own a queue pair that breaks while nothing is under way has no completion
 * to say so. */
static void fail_broken(struct rdma_cq *cq)
{
	struct list *node;

	list_for_each(node, &cq->conns) {
		struct rdma_conn *c = list_entry(node, struct rdma_conn, same_cq);

		if (c->qp_broken || c->last_wqe)
			rdma_conn_fail(c, "the queue pair is in error");
	}
}

/* What other threads have found out. */
static void look(struct rdma_cq *cq)
{
	if (cq->broken || cq->hca->lost)
		fail_all(cq);
	else if (atomic_exchange(&cq->attention, false))
		fail_broken(cq);
}

static bool poll_queue(struct poller *p)
{
	struct rdma_cq *cq = container_of(p, struct rdma_cq, poller);

	if (__builtin_expect(cq->broken || cq->attention || cq->hca->lost, 0))
		look(cq);
	return cq_poll(cq, POLL_BATCHES);
}

static void ack(struct rdma_cq *cq)
{
	if (cq->unacked)
		rdma_lib.ibv_ack_cq_events(cq->cq, cq->unacked);
	cq->unacked = 0;
}

/* What woke us is taken when there is time: before the next sleep. */
static void take_event(struct rdma_cq *cq)
{
	struct ibv_cq *which;
	void *context;

	cq->woken = false;
	if (!rdma_lib.ibv_get_cq_event(cq->channel, &which, &context) && ++cq->unacked == ACK_BATCH)
		ack(cq);
}

static bool arm_queue(struct poller *p)
{
	struct rdma_cq *cq = container_of(p, struct rdma_cq, poller);

	look(cq);
	if (cq->armed)
		return false;
	if (cq->woken)
		take_event(cq);
	cq->armed = !ibv_req_notify_cq(cq->cq, 0);
	/* What came before the request makes no event. */
	return cq_poll(cq, POLL_BATCHES);
}

static void watch(struct rdma_cq *cq)
{
	if (cq->reactor->is_virtual)
		return;
	io_uring_prep_poll_multishot(reactor_sqe(cq->reactor, &cq->wake), cq->channel->fd, POLLIN);
	cq->polling = true;
}

/* One request makes one event. The poller finds the completions in this very turn. */
static void woken(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct rdma_cq *cq = container_of(op, struct rdma_cq, wake);

	cq->polling = cqe_flags & IORING_CQE_F_MORE;
	if (cq->dying) {
		cq_release(cq);
		return;
	}
	cq->armed = false;
	cq->woken = true;
	if (cq->polling)
		return;
	if (res > 0 || res == -ECANCELED)
		watch(cq);
	else
		cq->broken = true; /* nothing would wake us */
}

/* --- Events of the device. Every queue's reactor watches: whoever is first takes them. */

static void watch_device(struct rdma_cq *cq)
{
	if (cq->reactor->is_virtual)
		return;
	io_uring_prep_poll_multishot(reactor_sqe(cq->reactor, &cq->device),
				     cq->hca->verbs->async_fd, POLLIN);
	cq->watching = true;
}

static void device_event(struct rdma_hca *hca, const struct ibv_async_event *event)
{
	const char *device = hca->verbs->device->name, *what;
	struct rdma_conn *c;

	what = rdma_lib.ibv_event_type_str(event->event_type);
	switch (event->event_type) {
	case IBV_EVENT_QP_LAST_WQE_REACHED:
		/* The queue pair, and so the connection, lives at least until we acknowledge. */
		c = event->element.qp->qp_context;
		atomic_store(&c->last_wqe, true);
		atomic_store(&c->cq->attention, true);
		break;
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
		rdma_count_error(RDMA_ERROR_QUEUE_PAIR);
		c = event->element.qp->qp_context;
		log_write_limited(&device_limit, LOG_LEVEL_WARN, "%s: RDMA device %s: %s",
				  c->base.peer_name, device, what);
		atomic_store(&c->qp_broken, true);
		atomic_store(&c->cq->attention, true);
		break;
	case IBV_EVENT_COMM_EST: break; /* the first receive says so, too */
	case IBV_EVENT_DEVICE_FATAL:
		rdma_count_error(RDMA_ERROR_DEVICE);
		log_write_limited(&device_limit, LOG_LEVEL_ERROR, "RDMA device %s: %s", device,
				  what);
		rdma_hca_lost(hca);
		break;
	case IBV_EVENT_CQ_ERR:
		atomic_store(&((struct rdma_cq *)event->element.cq->cq_context)->broken, true);
		/* fall through */
	case IBV_EVENT_SRQ_ERR:
		rdma_count_error(RDMA_ERROR_DEVICE);
		log_write_limited(&device_limit, LOG_LEVEL_ERROR, "RDMA device %s: %s", device,
				  what);
		break;
	default:
		log_write_limited(&device_limit, LOG_LEVEL_INFO, "RDMA device %s: %s", device,
				  what);
	}
}

static void device_woken(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct rdma_cq *cq = container_of(op, struct rdma_cq, device);
	struct ibv_async_event event;

	cq->watching = cqe_flags & IORING_CQE_F_MORE;
	while (!cq->dying && !rdma_lib.ibv_get_async_event(cq->hca->verbs, &event)) {
		device_event(cq->hca, &event);
		rdma_lib.ibv_ack_async_event(&event);
	}
	if (cq->dying)
		cq_release(cq);
	else if (!cq->watching && (res > 0 || res == -ECANCELED))
		watch_device(cq);
}

static int make_queue(struct rdma_cq *cq, struct ibv_context *verbs)
{
	int vector = (int)(cq->reactor->index % (unsigned int)verbs->num_comp_vectors), err, flags;

	errno = ENOMEM;
	cq->channel = rdma_lib.ibv_create_comp_channel(verbs);
	if (!cq->channel)
		return errno;
	flags = fcntl(cq->channel->fd, F_GETFL);
	fcntl(cq->channel->fd, F_SETFL, flags | O_NONBLOCK);
	errno = ENOMEM;
	cq->cq = rdma_lib.ibv_create_cq(verbs, (int)cq->size, cq, cq->channel, vector);
	if (cq->cq)
		return 0;
	err = errno;
	rdma_lib.ibv_destroy_comp_channel(cq->channel);
	return err;
}

static struct rdma_cq *cq_new(struct reactor *r, struct ibv_context *verbs)
{
	struct rdma_cq *cq = calloc(1, sizeof(*cq));
	int err = ENOMEM;

	if (!cq)
		goto err_log;
	cq->hca = hca_get(verbs);
	if (!cq->hca) {
		free(cq);
		return NULL;
	}
	cq->reactor = r;
	list_init(&cq->conns);
	cq->size = CQ_ENTRIES;
	if (cq->hca->attr.max_cqe < CQ_ENTRIES)
		cq->size = (uint32_t)cq->hca->attr.max_cqe;
	err = cq->size < CQ_PER_CONN ? ENOSPC : make_queue(cq, verbs);
	if (err)
		goto err_put;
	cq->poller.poll = poll_queue;
	cq->poller.arm = arm_queue;
	cq->wake.done = woken;
	cq->device.done = device_woken;
	reactor_add_poller(r, &cq->poller);
	watch(cq);
	watch_device(cq);
	cq->next = cqs[r->index];
	cqs[r->index] = cq;
	return cq;

err_put:
	hca_put(cq->hca);
	free(cq);
err_log:
	log_write_limited(&device_limit, LOG_LEVEL_WARN,
			  "cannot make a completion queue on RDMA device %s: %s",
			  verbs->device->name, strerrordesc_np(err));
	return NULL;
}

static bool has_room(const struct rdma_cq *cq, struct reactor *r, struct ibv_context *verbs)
{
	return cq->reactor == r && cq->hca->verbs == verbs && !cq->broken &&
	       cq->size - cq->used >= CQ_PER_CONN;
}

struct rdma_cq *rdma_cq_get(struct reactor *r, struct ibv_context *verbs)
{
	struct rdma_cq *cq = cqs[r->index];

	assert_owner(r);
	while (cq && !has_room(cq, r, verbs))
		cq = cq->next;
	if (!cq)
		cq = cq_new(r, verbs);
	if (cq)
		cq->used += CQ_PER_CONN;
	return cq;
}

void rdma_cq_put(struct rdma_cq *cq)
{
	struct rdma_cq **at = &cqs[cq->reactor->index];
	int err;

	assert_owner(cq->reactor);
	cq->used -= CQ_PER_CONN;
	if (cq->used)
		return;
	while (*at != cq)
		at = &(*at)->next;
	*at = cq->next;
	reactor_remove_poller(cq->reactor, &cq->poller);
	if (cq->polling)
		reactor_cancel(cq->reactor, &cq->wake);
	if (cq->watching)
		reactor_cancel(cq->reactor, &cq->device);
	ack(cq);
	err = rdma_lib.ibv_destroy_cq(cq->cq);
	if (!err)
		err = rdma_lib.ibv_destroy_comp_channel(cq->channel);
	if (err)
		log_write_limited(&device_limit, LOG_LEVEL_ERROR,
				  "cannot release an RDMA device: completion queue: %s",
				  strerrordesc_np(err));
	hca_put(cq->hca);
	cq->dying = true;
	cq_release(cq);
}
