// SPDX-License-Identifier: BSD-2-Clause
/* The mock's device: protection domains, memory regions, completion queues, queue pairs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/memcheck.h"
#include "tests/lib/mock_verbs_impl.h"

struct mock_mr {
	struct ibv_mr ibv;
	struct list node;
	int access;
};

struct comp_channel {
	struct ibv_comp_channel ibv;
	unsigned int cqs;
	struct list events; /* struct mock_cq.node */
};

struct async {
	struct list node;
	struct ibv_async_event event;
};

/* --- Memory regions */

static const struct mock_mr *mr_of(uint32_t lkey)
{
	struct list *node;

	list_for_each(node, &mock.mr_list) {
		if (list_entry(node, struct mock_mr, node)->ibv.lkey == lkey)
			return list_entry(node, struct mock_mr, node);
	}
	return NULL;
}

void *mock_zalloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

static bool is_poisoned(const struct ibv_sge *sge)
{
#ifdef RISER_ASAN
	return __asan_region_is_poisoned((void *)(uintptr_t)sge->addr, sge->length) != NULL;
#else
	(void)sge;
	return false;
#endif
}

/* The device may touch [addr, addr + length) now. */
static bool check_sge(const struct ibv_sge *sge, int access, const char *what)
{
	const struct mock_mr *mr = mr_of(sge->lkey);

	if (!mr)
		mock_broken("%s: lkey %#x is of no region", what, sge->lkey);
	else if (sge->addr < (uintptr_t)mr->ibv.addr ||
		 sge->addr + sge->length > (uintptr_t)mr->ibv.addr + mr->ibv.length)
		mock_broken("%s: %u bytes outside of the region of lkey %#x", what, sge->length,
			    sge->lkey);
	else if ((mr->access & access) != access)
		mock_broken("%s: access %#x to a region with %#x", what, access, mr->access);
	else if (is_poisoned(sge))
		mock_broken("%s: the memory was given back while the device has it", what);
	else
		return true;
	return false;
}

bool mock_check_sges(const struct ibv_sge *sge, int n, int access, const char *what)
{
	bool ok = true;

	for (int i = 0; i < n; i++)
		ok &= check_sge(&sge[i], access, what);
	return ok;
}

struct ibv_mr *mock_ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	struct mock_mr *mr;

	if (mock_fails("ibv_reg_mr", ENOMEM))
		return NULL;
	if ((uintptr_t)addr < mock.forbidden_end && (uintptr_t)addr + length > mock.forbidden) {
		mock.refused++;
		errno = ENOMEM;
		return NULL;
	}
	mr = mock_zalloc(sizeof(*mr));
	mr->ibv = (struct ibv_mr){
		.context = pd->context,
		.pd = pd,
		.addr = addr,
		.length = length,
		.lkey = ++mock.keys,
		.rkey = mock.keys,
	};
	mr->access = access;
	container_of(pd, struct mock_pd, ibv)->users++;
	list_add_tail(&mock.mr_list, &mr->node);
	mock.mrs++;
	return &mr->ibv;
}

void mock_forbid(const void *p, size_t len)
{
	mock.forbidden = (uintptr_t)p;
	mock.forbidden_end = (uintptr_t)p + len;
}

int mock_ibv_dereg_mr(struct ibv_mr *ibv)
{
	struct mock_mr *mr = container_of(ibv, struct mock_mr, ibv);

	mock_fails("ibv_dereg_mr", 0);
	container_of(ibv->pd, struct mock_pd, ibv)->users--;
	list_del(&mr->node);
	free(mr);
	mock.mrs--;
	return 0;
}

struct ibv_pd *mock_ibv_alloc_pd(struct ibv_context *context)
{
	struct mock_pd *pd;

	if (mock_fails("ibv_alloc_pd", ENOMEM))
		return NULL;
	pd = mock_zalloc(sizeof(*pd));
	pd->ibv.context = context;
	mock.pds++;
	return &pd->ibv;
}

int mock_ibv_dealloc_pd(struct ibv_pd *ibv)
{
	struct mock_pd *pd = container_of(ibv, struct mock_pd, ibv);

	mock_fails("ibv_dealloc_pd", 0);
	if (pd->users) {
		mock_broken("a protection domain goes before %u of its regions and queue pairs",
			    pd->users);
		return EBUSY;
	}
	free(pd);
	mock.pds--;
	return 0;
}

struct mock_region *mock_region_add(uint64_t va, uint32_t len)
{
	struct mock_region *region = mock_zalloc(sizeof(*region));

	region->va = va;
	region->len = len;
	region->rkey = ++mock.keys;
	region->bytes = mock_zalloc(len ? len : 1);
	region->next = mock.regions;
	mock.regions = region;
	return region;
}

struct mock_region *mock_region_of(uint32_t rkey)
{
	struct mock_region *region = mock.regions;

	while (region && region->rkey != rkey)
		region = region->next;
	return region;
}

/* --- Completion queues */

struct ibv_comp_channel *mock_ibv_create_comp_channel(struct ibv_context *context)
{
	struct comp_channel *ch;

	if (mock_fails("ibv_create_comp_channel", EMFILE))
		return NULL;
	ch = mock_zalloc(sizeof(*ch));
	ch->ibv.context = context;
	ch->ibv.fd = mock_fd();
	list_init(&ch->events);
	mock.comp_channels++;
	return &ch->ibv;
}

int mock_ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
	struct comp_channel *ch = container_of(channel, struct comp_channel, ibv);

	mock_fails("ibv_destroy_comp_channel", 0);
	if (ch->cqs) {
		mock_broken("a completion channel goes before its queues");
		return EBUSY;
	}
	close(channel->fd);
	free(ch);
	mock.comp_channels--;
	return 0;
}

struct ibv_cq *mock_ibv_create_cq(struct ibv_context *context, int cqe, void *cq_context,
				  struct ibv_comp_channel *channel, int comp_vector)
{
	struct mock_cq *cq;

	(void)comp_vector;
	if (mock_fails("ibv_create_cq", ENOMEM))
		return NULL;
	if (cqe < 1 || cqe > mock.attr.max_cqe) {
		errno = EINVAL;
		return NULL;
	}
	cq = mock_zalloc(sizeof(*cq));
	cq->ibv.context = context;
	cq->ibv.channel = channel;
	cq->ibv.cq_context = cq_context;
	cq->ibv.cqe = cqe;
	cq->ring = mock_zalloc((size_t)cqe * sizeof(cq->ring[0]));
	list_init(&cq->node);
	if (channel)
		container_of(channel, struct comp_channel, ibv)->cqs++;
	mock.cqs++;
	return &cq->ibv;
}

int mock_ibv_destroy_cq(struct ibv_cq *ibv)
{
	struct mock_cq *cq = mock_cq_of(ibv);

	mock_fails("ibv_destroy_cq", 0);
	if (cq->users) {
		mock_broken("a completion queue goes before %u of its queue pairs", cq->users);
		return EBUSY;
	}
	if (cq->unacked)
		mock_broken("a completion queue goes with %u events not acknowledged: blocks",
			    cq->unacked);
	mock_async_drop(NULL, ibv);
	list_del(&cq->node);
	if (ibv->channel)
		container_of(ibv->channel, struct comp_channel, ibv)->cqs--;
	free(cq->ring);
	free(cq);
	mock.cqs--;
	return 0;
}

struct mock_completion *mock_complete(struct ibv_cq *ibv, uint64_t wr_id, enum ibv_wc_status status)
{
	struct mock_cq *cq = mock_cq_of(ibv);
	struct mock_completion *c = &cq->ring[cq->tail % (uint32_t)ibv->cqe];

	if (cq->tail - cq->head == (uint32_t)ibv->cqe) {
		mock_broken("a completion queue of %d entries overruns", ibv->cqe);
		cq->head++;
	}
	cq->tail++;
	/* With an error nothing but wr_id, status and qp_num is valid. */
	memset(c, 0xee, sizeof(*c));
	c->wc.wr_id = wr_id;
	c->wc.status = status;
	if (cq->armed && ibv->channel) {
		cq->armed = false;
		if (!list_empty(&cq->node))
			list_del(&cq->node);
		list_add_tail(&container_of(ibv->channel, struct comp_channel, ibv)->events,
			      &cq->node);
		mock_fd_ring(ibv->channel->fd);
	}
	return c;
}

static int poll_cq(struct ibv_cq *ibv, int n, struct ibv_wc *wc)
{
	struct mock_cq *cq = mock_cq_of(ibv);
	int got = 0;

	for (; got < n && cq->head != cq->tail; got++) {
		struct mock_completion *c = &cq->ring[cq->head++ % (uint32_t)ibv->cqe];

		wc[got] = c->wc;
		if (c->qp && c->send)
			c->qp->sq_freed += c->frees;
		else if (c->qp)
			c->qp->rq_freed += c->frees;
	}
	return got;
}

static int req_notify_cq(struct ibv_cq *ibv, int solicited_only)
{
	if (mock_fails("ibv_req_notify_cq", EINVAL))
		return EINVAL;
	if (solicited_only)
		mock_broken("events for solicited Sends only: nobody marks them");
	mock_cq_of(ibv)->armed = true;
	return 0;
}

int mock_ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **context)
{
	struct list *events = &container_of(channel, struct comp_channel, ibv)->events;
	struct list *node = list_pop(events);

	if (!node) {
		errno = EAGAIN;
		return -1;
	}
	if (list_empty(events))
		mock_fd_clear(channel->fd);
	list_entry(node, struct mock_cq, node)->unacked++;
	*cq = &list_entry(node, struct mock_cq, node)->ibv;
	*context = (*cq)->cq_context;
	return 0;
}

void mock_ibv_ack_cq_events(struct ibv_cq *cq, unsigned int n)
{
	if (n > mock_cq_of(cq)->unacked)
		mock_broken("more events are acknowledged than there were");
	mock_cq_of(cq)->unacked -= n;
}

/* --- The device */

static struct async *async_add(enum ibv_event_type type)
{
	struct async *a = mock_zalloc(sizeof(*a));

	a->event.event_type = type;
	list_add_tail(&mock.async, &a->node);
	mock_fd_ring(mock.context.async_fd);
	return a;
}

void mock_async(enum ibv_event_type type, struct mock_qp *qp)
{
	struct async *a = async_add(type);

	if (qp)
		a->event.element.qp = &qp->ibv;
}

void mock_async_cq(struct ibv_cq *cq)
{
	async_add(IBV_EVENT_CQ_ERR)->event.element.cq = cq;
}

static bool is_about(const struct ibv_async_event *ev, const struct ibv_qp *qp,
		     const struct ibv_cq *cq)
{
	if (ev->event_type == IBV_EVENT_CQ_ERR)
		return cq && ev->element.cq == cq;
	return qp && ev->element.qp == qp;
}

void mock_async_drop(const struct ibv_qp *qp, const struct ibv_cq *cq)
{
	struct list *node, *tmp;

	if (mock.async_unacked)
		mock_broken("something is destroyed with an event not acknowledged: blocks");
	list_for_each_safe(node, tmp, &mock.async) {
		if (!is_about(&list_entry(node, struct async, node)->event, qp, cq))
			continue;
		list_del(node);
		free(list_entry(node, struct async, node));
	}
}

int mock_ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
	struct list *node = list_pop(&mock.async);

	if (!node) {
		errno = EAGAIN;
		return -1;
	}
	if (list_empty(&mock.async))
		mock_fd_clear(context->async_fd);
	*event = list_entry(node, struct async, node)->event;
	mock.async_unacked++;
	free(list_entry(node, struct async, node));
	return 0;
}

void mock_ibv_ack_async_event(struct ibv_async_event *event)
{
	(void)event;
	mock.async_unacked--;
}

int mock_ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
	(void)context;
	if (mock_fails("ibv_query_device", EIO))
		return EIO;
	*attr = mock.attr;
	return 0;
}

int mock_ibv_close_device(struct ibv_context *context)
{
	(void)context;
	mock_fails("ibv_close_device", 0);
	return 0;
}

const char *mock_ibv_wc_status_str(enum ibv_wc_status status)
{
	(void)status;
	return "a status";
}

const char *mock_ibv_event_type_str(enum ibv_event_type event)
{
	(void)event;
	return "an event";
}

static void *device_list(void *device, int *n)
{
	void **list = mock_zalloc(2 * sizeof(*list));

	list[0] = mock.absent ? NULL : device;
	if (n)
		*n = mock.absent ? 0 : 1;
	return list;
}

struct ibv_context **mock_rdma_get_devices(int *n)
{
	return mock_fails("rdma_get_devices", ENODEV) ? NULL : device_list(&mock.context, n);
}

void mock_rdma_free_devices(struct ibv_context **list)
{
	free(list);
}

void mock_context_init(void)
{
	mock.device.node_type = IBV_NODE_CA;
	mock.device.transport_type = IBV_TRANSPORT_IB;
	memcpy(mock.device.name, "mock0", sizeof("mock0"));
	mock.context.device = &mock.device;
	mock.context.num_comp_vectors = 1;
	mock.context.async_fd = mock_fd();
	mock.context.ops.poll_cq = poll_cq;
	mock.context.ops.req_notify_cq = req_notify_cq;
	mock.context.ops.post_send = mock_post_send;
	mock.context.ops.post_recv = mock_post_recv;
	mock.context.ops.post_srq_recv = mock_post_srq_recv;
}

void mock_context_end(void)
{
	struct mock_region *region;
	struct list *node;

	while ((node = list_pop(&mock.async)))
		free(list_entry(node, struct async, node));
	while ((region = mock.regions)) {
		mock.regions = region->next;
		free(region->bytes);
		free(region);
	}
	close(mock.context.async_fd);
}
