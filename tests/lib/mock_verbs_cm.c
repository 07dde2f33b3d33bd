// SPDX-License-Identifier: BSD-2-Clause
/* The mock's connection manager, the loader's part of it, and what both halves share. */
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/lib/mock_verbs_impl.h"

enum { CALLS_MAX = 64, PRIVATE_SEEN = 56 };

struct channel {
	struct rdma_event_channel ibv;
	struct list events; /* struct event: not got yet */
	unsigned int ids;
};

struct event {
	struct rdma_cm_event ibv;
	struct list node;
	uint8_t data[PRIVATE_SEEN];
};

struct mock_id {
	struct rdma_cm_id ibv;
	struct list node;
	unsigned int unacked; /* events got and not acknowledged */
	bool listening;
};

struct call {
	const char *name;
	unsigned int count, fail_at;
};

static struct call calls[CALLS_MAX];

struct mock mock;

struct rdma_lib rdma_lib = {
#define X(name) .name = mock_##name,
	RDMA_CM_FUNCTIONS(X) RDMA_VERBS_FUNCTIONS(X)
#undef X
};

/* --- Calls, failures, descriptors */

void mock_broken(const char *fmt, ...)
{
	va_list ap;

	if (mock.failure[0])
		return;
	va_start(ap, fmt);
	vsnprintf(mock.failure, sizeof(mock.failure), fmt, ap);
	va_end(ap);
}

const char *mock_failure(void)
{
	return mock.failure[0] ? mock.failure : NULL;
}

static struct call *call_of(const char *function)
{
	struct call *c = calls;

	while (c->name && strcmp(c->name, function) != 0)
		if (++c == calls + CALLS_MAX)
			abort();
	c->name = function;
	return c;
}

bool mock_fails(const char *function, int err)
{
	struct call *c = call_of(function);

	if (++c->count != c->fail_at)
		return false;
	errno = err;
	return true;
}

void mock_fail(const char *function, unsigned int nth)
{
	struct call *c = call_of(function);

	c->fail_at = nth ? c->count + nth : 0;
}

unsigned int mock_calls(const char *function)
{
	return call_of(function)->count;
}

int mock_fd(void)
{
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void mock_fd_ring(int fd)
{
	if (eventfd_write(fd, 1))
		mock_broken("eventfd_write: %s", strerror(errno));
}

void mock_fd_clear(int fd)
{
	eventfd_t n;

	(void)eventfd_read(fd, &n); /* EAGAIN: it was clear */
}

void mock_begin(void)
{
	memset(calls, 0, sizeof(calls));
	memset(&mock, 0, sizeof(mock));
	list_init(&mock.qp_list);
	list_init(&mock.mr_list);
	list_init(&mock.id_list);
	list_init(&mock.async);
	mock.keys = 0x100;
	mock.max_inline = MOCK_INLINE;
	mock.attr = (struct ibv_device_attr){
		.max_mr_size = UINT64_MAX,
		.page_size_cap = 4096,
		.max_qp = 1024,
		.max_qp_wr = 4096,
		.device_cap_flags = IBV_DEVICE_MEM_MGT_EXTENSIONS,
		.max_sge = 32,
		.max_sge_rd = 32,
		.max_cq = 64,
		.max_cqe = 4096,
		.max_mr = 1024,
		.max_pd = 64,
		.max_srq = 16,
		.max_srq_wr = 4096,
		.max_srq_sge = MOCK_SGE,
		.max_qp_rd_atom = 128,
		.max_qp_init_rd_atom = 128,
		.phys_port_cnt = 1,
	};
	mock_context_init();
}

const char *mock_end(void)
{
	static char first[sizeof(mock.failure)];

	if (mock.ids || mock.channels || mock.qps || mock.lib_users)
		mock_broken(
			"left: %u ids, %u event channels, %u queue pairs, %d users of the library",
			mock.ids, mock.channels, mock.qps, mock.lib_users);
	if (mock.cqs || mock.comp_channels || mock.mrs || mock.pds || mock.srqs)
		mock_broken("left: %u completion queues, %u channels, %u regions, %u domains",
			    mock.cqs, mock.comp_channels, mock.mrs, mock.pds);
	mock_context_end();
	memcpy(first, mock.failure, sizeof(first));
	return first[0] ? first : NULL;
}

/* --- Ids */

static struct mock_id *id_of(struct rdma_cm_id *id)
{
	return container_of(id, struct mock_id, ibv);
}

static struct channel *channel_of(struct rdma_event_channel *channel)
{
	return container_of(channel, struct channel, ibv);
}

static struct mock_id *id_create(struct rdma_event_channel *channel, void *context)
{
	struct mock_id *id = mock_zalloc(sizeof(*id));

	id->ibv.channel = channel;
	id->ibv.context = context;
	id->ibv.ps = RDMA_PS_TCP;
	if (channel)
		channel_of(channel)->ids++;
	list_add_tail(&mock.id_list, &id->node);
	mock.ids++;
	return id;
}

static void set_address(struct sockaddr_in *in, uint32_t addr, uint16_t port)
{
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(addr);
	in->sin_port = htons(port);
}

static void set_peer(struct mock_id *id)
{
	id->ibv.verbs = &mock.context;
	id->ibv.port_num = 1;
	id->ibv.qp_type = IBV_QPT_RC;
	set_address(&id->ibv.route.addr.src_sin, 0xc0000201, 3260); /* 192.0.2.1 */
	set_address(&id->ibv.route.addr.dst_sin, 0xc0000202, 40000);
}

struct rdma_cm_id *mock_id_new(void)
{
	struct mock_id *id = id_create(NULL, NULL);

	set_peer(id);
	return &id->ibv;
}

bool mock_id_alive(const struct rdma_cm_id *id)
{
	struct list *node;

	list_for_each(node, &mock.id_list) {
		if (&list_entry(node, struct mock_id, node)->ibv == id)
			return true;
	}
	return false;
}

struct rdma_cm_id *mock_listening(void)
{
	struct list *node;

	list_for_each(node, &mock.id_list) {
		if (list_entry(node, struct mock_id, node)->listening)
			return &list_entry(node, struct mock_id, node)->ibv;
	}
	return NULL;
}

static struct event *event_add(struct rdma_cm_id *id, enum rdma_cm_event_type type, int status)
{
	struct event *ev = mock_zalloc(sizeof(*ev));

	if (!id->channel)
		abort();
	ev->ibv.id = id;
	ev->ibv.event = type;
	ev->ibv.status = status;
	list_add_tail(&channel_of(id->channel)->events, &ev->node);
	mock_fd_ring(id->channel->fd);
	return ev;
}

void mock_event(struct rdma_cm_id *id, enum rdma_cm_event_type type, int status)
{
	event_add(id, type, status);
}

struct rdma_cm_id *mock_connect(struct rdma_cm_id *listening, const struct rdma_conn_param *param)
{
	struct mock_id *id = id_create(listening->channel, listening->context);
	struct event *ev;

	set_peer(id);
	ev = event_add(&id->ibv, RDMA_CM_EVENT_CONNECT_REQUEST, 0);
	ev->ibv.listen_id = listening;
	ev->ibv.param.conn = *param;
	/* The buffer is longer than what was sent, and gone once the event is acknowledged. */
	memcpy(ev->data, param->private_data, param->private_data_len);
	ev->ibv.param.conn.private_data = ev->data;
	ev->ibv.param.conn.private_data_len = PRIVATE_SEEN;
	return &id->ibv;
}

/* --- librdmacm */

struct rdma_event_channel *mock_rdma_create_event_channel(void)
{
	struct channel *ch;

	if (mock_fails("rdma_create_event_channel", ENOMEM))
		return NULL;
	ch = mock_zalloc(sizeof(*ch));
	list_init(&ch->events);
	ch->ibv.fd = mock_fd();
	mock.channels++;
	return &ch->ibv;
}

void mock_rdma_destroy_event_channel(struct rdma_event_channel *channel)
{
	struct channel *ch = channel_of(channel);

	if (ch->ids)
		mock_broken("an event channel is destroyed under %u ids", ch->ids);
	if (!list_empty(&ch->events))
		mock_broken("an event channel is destroyed with events on it");
	close(channel->fd);
	free(ch);
	mock.channels--;
}

int mock_rdma_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id, void *context,
			enum rdma_port_space ps)
{
	if (mock_fails("rdma_create_id", ENOMEM))
		return -1;
	if (ps != RDMA_PS_TCP)
		mock_broken("an id of another port space");
	*id = &id_create(channel, context)->ibv;
	return 0;
}

static void id_free(struct mock_id *id);

/* Whom an event holds until it is acknowledged: a connect request its listener. */
static struct mock_id *holder(const struct rdma_cm_event *ev)
{
	return id_of(ev->listen_id ? ev->listen_id : ev->id);
}

/* As the kernel does: what was not delivered is dropped with the id. */
static void drop_events(struct mock_id *id)
{
	struct list *node, *tmp;

	if (!id->ibv.channel)
		return;
	list_for_each_safe(node, tmp, &channel_of(id->ibv.channel)->events) {
		struct event *ev = list_entry(node, struct event, node);

		if (holder(&ev->ibv) != id && ev->ibv.id != &id->ibv)
			continue;
		list_del(node);
		if (ev->ibv.id != &id->ibv)
			id_free(id_of(ev->ibv.id)); /* nobody will hear of it */
		free(ev);
	}
	channel_of(id->ibv.channel)->ids--;
}

static void id_free(struct mock_id *id)
{
	drop_events(id);
	list_del(&id->node);
	free(id);
	mock.ids--;
}

int mock_rdma_destroy_id(struct rdma_cm_id *ibv)
{
	struct mock_id *id = id_of(ibv);

	if (!mock_id_alive(ibv)) {
		mock_broken("an id is destroyed twice");
		return -1;
	}
	mock_fails("rdma_destroy_id", 0);
	if (ibv->qp)
		mock_broken("an id is destroyed before its queue pair");
	if (id->unacked)
		mock_broken("an id is destroyed with %u events not acknowledged: blocks for ever",
			    id->unacked);
	id_free(id);
	return 0;
}

int mock_rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *addr)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

	if (mock_fails("rdma_bind_addr", EADDRINUSE))
		return -1;
	if (addr->sa_family == AF_INET)
		memcpy(&id->route.addr.src_sin, addr, sizeof(id->route.addr.src_sin));
	else
		memcpy(&id->route.addr.src_sin6, addr, sizeof(id->route.addr.src_sin6));
	if (addr->sa_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY))
		return 0;
	if (mock.absent) {
		errno = ENODEV;
		return -1;
	}
	id->verbs = &mock.context;
	return 0;
}

int mock_rdma_listen(struct rdma_cm_id *id, int backlog)
{
	(void)backlog;
	if (mock_fails("rdma_listen", EADDRINUSE))
		return -1;
	id_of(id)->listening = true;
	return 0;
}

int mock_rdma_get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **event)
{
	struct channel *ch = channel_of(channel);
	struct list *node;

	if (mock_fails("rdma_get_cm_event", EAGAIN))
		return -1;
	node = list_pop(&ch->events);
	if (!node) {
		errno = EAGAIN;
		return -1;
	}
	if (list_empty(&ch->events))
		mock_fd_clear(channel->fd);
	*event = &list_entry(node, struct event, node)->ibv;
	holder(*event)->unacked++;
	return 0;
}

int mock_rdma_ack_cm_event(struct rdma_cm_event *event)
{
	if (!mock_id_alive(event->listen_id ? event->listen_id : event->id))
		mock_broken("an event is acknowledged after its id was destroyed");
	else
		holder(event)->unacked--;
	free(container_of(event, struct event, ibv));
	return 0;
}

int mock_rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
	if (mock_fails("rdma_accept", ENOMEM))
		return -1;
	if (!id->qp)
		mock_broken("rdma_accept() without a queue pair");
	else if (!mock_recv_count(container_of(id->qp, struct mock_qp, ibv)))
		mock_broken("rdma_accept() without a receive: the Login Request finds none");
	else
		container_of(id->qp, struct mock_qp, ibv)->state = MOCK_RTS;
	mock.accepts++;
	if (!param)
		return 0;
	mock.accept.param = *param;
	if (param->private_data_len > MOCK_PRIVATE)
		mock_broken("%u bytes of private data", param->private_data_len);
	else if (param->private_data_len)
		memcpy(mock.accept.data, param->private_data, param->private_data_len);
	mock.accept.param.private_data = mock.accept.data;
	return 0;
}

int mock_rdma_reject(struct rdma_cm_id *id, const void *data, uint8_t len)
{
	(void)id;
	if (len > MOCK_PRIVATE)
		mock_broken("%u bytes of private data", len);
	mock.reject_len = len < MOCK_PRIVATE ? len : MOCK_PRIVATE;
	if (data && len)
		memcpy(mock.reject, data, mock.reject_len);
	mock.rejects++;
	return mock_fails("rdma_reject", EINVAL) ? -1 : 0;
}

int mock_rdma_notify(struct rdma_cm_id *id, enum ibv_event_type event)
{
	(void)id, (void)event;
	mock.notifies++;
	return mock_fails("rdma_notify", EINVAL) ? -1 : 0;
}

int mock_rdma_disconnect(struct rdma_cm_id *id)
{
	mock.disconnects++;
	if (mock_fails("rdma_disconnect", EINVAL))
		return -1;
	if (id->qp)
		mock_qp_error(container_of(id->qp, struct mock_qp, ibv));
	return 0;
}

int mock_rdma_migrate_id(struct rdma_cm_id *id, struct rdma_event_channel *channel)
{
	struct list *node, *tmp;

	if (mock_fails("rdma_migrate_id", ENOMEM))
		return -1;
	if (id_of(id)->unacked)
		mock_broken("an id changes its channel with events not acknowledged: blocks");
	if (id->channel) {
		list_for_each_safe(node, tmp, &channel_of(id->channel)->events) {
			if (list_entry(node, struct event, node)->ibv.id != id)
				continue;
			list_del(node);
			list_add_tail(&channel_of(channel)->events, node);
			mock_fd_ring(channel->fd);
		}
		channel_of(id->channel)->ids--;
	}
	channel_of(channel)->ids++;
	id->channel = channel;
	return 0;
}

int mock_rdma_set_option(struct rdma_cm_id *id, int level, int name, void *value, size_t len)
{
	(void)id, (void)level, (void)name, (void)value, (void)len;
	return mock_fails("rdma_set_option", ENOSYS) ? -1 : 0;
}

int mock_rdma_create_qp(struct rdma_cm_id *id, struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	if (mock_fails("rdma_create_qp", ENOMEM))
		return -1;
	if (id->qp)
		mock_broken("a second queue pair for one id");
	id->qp = mock_qp_create(pd, attr);
	return id->qp ? 0 : -1;
}

void mock_rdma_destroy_qp(struct rdma_cm_id *id)
{
	if (!id->qp) {
		mock_broken("rdma_destroy_qp() without one");
		return;
	}
	mock_qp_destroy(id->qp);
	id->qp = NULL;
}

const char *mock_rdma_event_str(enum rdma_cm_event_type event)
{
	(void)event;
	return "an event";
}

/* --- The loader (libs.c) */

int rdma_lib_load(char *why, size_t why_size)
{
	(void)why, (void)why_size;
	return 0;
}

bool rdma_lib_get(void)
{
	if (mock_fails("rdma_lib_get", 0) || mock.lib_gone)
		return false;
	mock.lib_users++;
	return true;
}

void rdma_lib_put(void)
{
	if (--mock.lib_users < 0)
		mock_broken("rdma_lib_put() without a get");
}

void rdma_lib_note_context(struct ibv_context *verbs)
{
	if (verbs != &mock.context)
		mock_broken("a context that is nobody's");
	mock.noted_contexts++;
}

void rdma_lib_device_lost(struct ibv_context *verbs)
{
	if (verbs != &mock.context)
		mock_broken("a context that is nobody's");
	mock.lost_contexts++;
}

struct ibv_context *rdma_lib_watch(void)
{
	return NULL;
}

bool rdma_lib_stale(void)
{
	return mock.lib_gone;
}
