// SPDX-License-Identifier: BSD-2-Clause
/*
 * A portal. It is served while a device has its address and librdmacm is there, otherwise it looks
 * for them once a second:
 *
 *            try_open(): device, rdma_cm and librdmacm are there
 *   waiting ----------------------------------------------------> listening
 *           <----------------------------------------------------
 *            the device is gone, or librdmacm has to be let go
 *
 * A connect request is answered with a reactor of the up-call's choice: its id moves to that
 * reactor's event channel, and the connection is born there.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "transport/rdma/rdma.h"

enum { BACKLOG = 128, PEER_BUCKETS = 64 };

/* A listening id and its channel, as long as they are of use. */
struct inlet {
	struct listener *listener;
	struct rdma_event_channel *channel;
	struct rdma_cm_id *id;
	struct io_op wake;
	bool polling; /* wake is under way */
	bool busy; /* in take_events() */
	bool dying; /* id and channel are gone; the memory waits for the above */
};

struct listener {
	struct reactor *reactor;
	const struct conn_up *up;
	void *ctx;
	_Atomic uint32_t refs; /* unlisten()'s and one for each connection on its way */
	_Atomic bool closed;
	struct sockaddr_storage addr;
	char name[64];
	bool started;
	struct inlet *inlet; /* NULL: waiting */
	struct timer tick;
	struct work start;
};

static struct log_limit refuse_limit = LOG_LIMIT(5);

/* Peers that have not logged in yet */

struct peer {
	struct peer *next;
	struct sockaddr_storage addr;
	unsigned int pending, all; /* connections: not logged in; at all */
};

static struct {
	pthread_mutex_t lock;
	struct peer *buckets[PEER_BUCKETS];
} peers = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The bytes of the address, without its port. */
static const uint8_t *address_bytes(const struct sockaddr_storage *ss, size_t *len)
{
	if (ss->ss_family == AF_INET6) {
		*len = sizeof(struct in6_addr);
		return (const uint8_t *)&((const struct sockaddr_in6 *)ss)->sin6_addr;
	}
	*len = sizeof(struct in_addr);
	return (const uint8_t *)&((const struct sockaddr_in *)ss)->sin_addr;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	size_t len, other;
	const uint8_t *bytes = address_bytes(a, &len);

	return a->ss_family == b->ss_family && !memcmp(bytes, address_bytes(b, &other), len);
}

/* Where the peer is, or where its chain ends. The lock is held. */
static struct peer **find_peer(const struct sockaddr_storage *addr)
{
	size_t len;
	const uint8_t *bytes = address_bytes(addr, &len);
	unsigned int hash = 0;
	struct peer **at;

	while (len--)
		hash = hash * 31 + bytes[len];
	at = &peers.buckets[hash % PEER_BUCKETS];
	while (*at && !same_address(&(*at)->addr, addr))
		at = &(*at)->next;
	return at;
}

/* NULL, or why the peer may not have another connection. */
static const char *peer_enter(const struct sockaddr_storage *addr)
{
	const char *why = NULL;
	struct peer **at;

	pthread_mutex_lock(&peers.lock);
	at = find_peer(addr);
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (*at)
			(*at)->addr = *addr;
	}
	if (!*at)
		why = "out of memory";
	else if ((*at)->pending >= PEER_PENDING_MAX)
		why = "too many RDMA connections of this address have not logged in";
	else if ((*at)->all >= PEER_MAX)
		why = "too many RDMA connections of this address";
	if (!why) {
		(*at)->pending++;
		(*at)->all++;
	}
	pthread_mutex_unlock(&peers.lock);
	return why;
}

static void peer_leave(const struct sockaddr_storage *addr, unsigned int pending, unsigned int all)
{
	struct peer **at, *peer;

	pthread_mutex_lock(&peers.lock);
	at = find_peer(addr);
	peer = *at;
	if (peer) {
		peer->pending -= pending;
		peer->all -= all;
		if (!peer->all) {
			*at = peer->next;
			free(peer);
		}
	}
	pthread_mutex_unlock(&peers.lock);
}

void rdma_peer_settled(struct rdma_conn *c)
{
	if (c->pending_counted)
		peer_leave(&c->base.peer, 1, 0);
	c->pending_counted = false;
}

void rdma_peer_gone(struct rdma_conn *c)
{
	if (c->peer_counted)
		peer_leave(&c->base.peer, c->pending_counted, 1);
	c->peer_counted = c->pending_counted = false;
}

/* Connect requests */

bool rdma_listener_closed(const struct listener *l)
{
	return l && atomic_load(&l->closed);
}

static void listener_put(struct listener *l)
{
	if (atomic_fetch_sub(&l->refs, 1) == 1)
		free(l);
}

/* why goes along as private data: for the one who looks at the wire. */
static void refuse(struct rdma_cm_id *id, const char *why)
{
	rdma_lib.rdma_reject(id, why, (uint8_t)strlen(why));
	rdma_lib.rdma_destroy_id(id);
}

/* A REQ without private data comes with zeros, as long as the field is: no flag of annex A12 may
 * mean something by being clear unless another says that there are flags at all. */
static void read_request(struct rdma_request *request, const struct rdma_conn_param *param)
{
	const struct iser_cm_data *data = param->private_data;

	request->ord = param->initiator_depth;
	request->responder_resources = param->responder_resources;
	request->send_w_inv = data && param->private_data_len >= sizeof(*data) &&
			      (data->flags & ISER_CM_NO_ZBVA) &&
			      !(data->flags & ISER_CM_NO_SEND_W_INV);
}

static void arrive(struct work *work)
{
	struct rdma_conn *c = container_of(work, struct rdma_conn, arrive);
	struct listener *l = c->listener;

	rdma_conn_arrive(work);
	listener_put(l);
}

/* The id becomes a connection of r, on its way there. */
static bool hand_over(struct listener *l, struct rdma_cm_id *id, struct rdma_request *request,
		      struct reactor *r)
{
	struct rdma_shard *shard = rdma_shard_get(r);
	struct rdma_conn *c = NULL;

	if (shard && !rdma_lib.rdma_migrate_id(id, shard->channel))
		c = rdma_conn_new(r, id, request, l->up, l->ctx);
	if (!c) {
		refuse(id, "out of memory");
		if (shard)
			rdma_shard_put(shard);
		return false;
	}
	atomic_fetch_add(&l->refs, 1);
	/* Counted now, so that a burst of connections spreads. */
	atomic_fetch_add_explicit(&r->load, 1, memory_order_relaxed);
	c->shard = shard;
	c->listener = l;
	c->pending_counted = c->peer_counted = true;
	c->arrive.fn = arrive;
	if (r == l->reactor)
		arrive(&c->arrive);
	else
		reactor_post(r, &c->arrive);
	return true;
}

static void connect_request(struct listener *l, struct rdma_cm_id *id, struct rdma_request *request)
{
	struct sockaddr_storage peer = id->route.addr.dst_storage;
	struct ibv_device_attr attr;
	struct reactor *r;
	const char *why;
	char name[64];

	id->context = NULL; /* no connection yet: was ours */
	if (!id->verbs || rdma_lib.ibv_query_device(id->verbs, &attr)) {
		refuse(id, "no device");
		return;
	}
	rdma_lib_note_context(id->verbs);
	if (request->ord > attr.max_qp_init_rd_atom)
		request->ord = (uint8_t)attr.max_qp_init_rd_atom;
	if (request->responder_resources > attr.max_qp_rd_atom)
		request->responder_resources = (uint8_t)attr.max_qp_rd_atom;
	why = request->ord ? peer_enter(&peer)
			   : "it answers no RDMA Reads, so nothing can be written";
	if (why) {
		address_format(&peer, name, sizeof(name));
		log_write_limited(&refuse_limit, LOG_LEVEL_WARN, "%s: refused: %s", name, why);
		refuse(id, why);
		return;
	}
	r = l->up->place(l->ctx, &peer);
	if (!r)
		refuse(id, "too many connections, or stopping");
	if (!r || !hand_over(l, id, request, r))
		peer_leave(&peer, 1, 1);
}

/* Listening */

static void inlet_release(struct inlet *inlet)
{
	if (inlet->dying && !inlet->polling && !inlet->busy)
		free(inlet);
}

/* [listener's reactor, or any thread when that does not run any more] */
static void inlet_close(struct inlet *inlet)
{
	struct reactor *r = inlet->listener->reactor;

	inlet->listener->inlet = NULL;
	if (inlet->polling && reactor_self() == r)
		reactor_cancel(r, &inlet->wake);
	else
		inlet->polling = false; /* no completion will come */
	rdma_lib.rdma_destroy_id(inlet->id);
	rdma_lib.rdma_destroy_event_channel(inlet->channel);
	rdma_lib_put();
	inlet->dying = true;
	inlet_release(inlet);
}

static void lose_device(struct inlet *inlet)
{
	struct ibv_context *verbs = inlet->id->verbs;

	log_info("%s: no longer served over RDMA: %s is gone", inlet->listener->name,
		 verbs ? verbs->device->name : "the last device");
	inlet_close(inlet);
	if (verbs) {
		rdma_hca_lost_context(verbs);
		rdma_lib_device_lost(verbs);
	}
}

static void take_event(struct inlet *inlet, struct rdma_cm_event *event)
{
	enum rdma_cm_event_type type = event->event;
	struct rdma_cm_id *id = event->id;
	struct rdma_request request;

	if (type == RDMA_CM_EVENT_CONNECT_REQUEST)
		read_request(&request, &event->param.conn);
	rdma_lib.rdma_ack_cm_event(event);
	if (type == RDMA_CM_EVENT_CONNECT_REQUEST)
		connect_request(inlet->listener, id, &request);
	else if (type == RDMA_CM_EVENT_DEVICE_REMOVAL)
		lose_device(inlet);
	else if (type == RDMA_CM_EVENT_ADDR_CHANGE)
		inlet_close(inlet); /* the next tick looks where the address is now */
}

static void watch(struct inlet *inlet)
{
	struct reactor *r = inlet->listener->reactor;

	if (r->is_virtual)
		return;
	io_uring_prep_poll_multishot(reactor_sqe(r, &inlet->wake), inlet->channel->fd, POLLIN);
	inlet->polling = true;
}

static void woken(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct inlet *inlet = container_of(op, struct inlet, wake);
	struct rdma_cm_event *event;
	struct listener *l;

	inlet->polling = cqe_flags & IORING_CQE_F_MORE;
	if (inlet->dying) {
		inlet_release(inlet);
		return;
	}
	l = inlet->listener;
	atomic_fetch_add(&l->refs, 1); /* an up-call may end with unlisten() */
	inlet->busy = true;
	while (!inlet->dying && !rdma_lib.rdma_get_cm_event(inlet->channel, &event))
		take_event(inlet, event);
	inlet->busy = false;
	if (inlet->dying)
		inlet_release(inlet);
	else if (!inlet->polling && res >= 0)
		watch(inlet);
	else if (!inlet->polling)
		inlet_close(inlet); /* the next tick begins again */
	listener_put(l);
}

static const char *explain_open(int err)
{
	if (err == ENODEV)
		return "this host has no RDMA device; `rdma link` shows the devices";
	if (err == ENOENT)
		return "the kernel has no rdma_cm: modprobe rdma_ucm";
	if (err == EACCES || err == EPERM)
		return "/dev/infiniband/rdma_cm may not be opened by this user";
	return strerrordesc_np(err);
}

static const char *explain_bind(int err)
{
	if (err == ENODEV || err == EADDRNOTAVAIL)
		return "no RDMA device has this address; `rdma link` shows the devices";
	if (err == EADDRINUSE)
		return "the port is taken: iWARP devices share their ports with TCP and need one "
		       "of their own for iSER (transport=iser)";
	return strerrordesc_np(err);
}

/* A listening id on inlet->channel. -errno. */
static int make_id(struct inlet *inlet)
{
	struct listener *l = inlet->listener;
	int on = 1, err;

	if (rdma_lib.rdma_create_id(inlet->channel, &inlet->id, NULL, RDMA_PS_TCP))
		return -errno;
	/* 0.0.0.0 and [::] are two portals and may both be served. */
	if (rdma_lib.rdma_set_option(inlet->id, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &on,
				     sizeof(on)) ||
	    rdma_lib.rdma_set_option(inlet->id, RDMA_OPTION_ID, RDMA_OPTION_ID_AFONLY, &on,
				     sizeof(on)) ||
	    rdma_lib.rdma_bind_addr(inlet->id, (struct sockaddr *)&l->addr))
		goto err_destroy;
	if (inlet->id->verbs)
		rdma_lib_note_context(inlet->id->verbs);
	if (rdma_lib.rdma_listen(inlet->id, BACKLOG))
		goto err_destroy;
	return 0;

err_destroy:
	err = -errno;
	rdma_lib.rdma_destroy_id(inlet->id);
	return err;
}

/* The kernel has chosen a port: from now on it is ours. */
static void read_port(struct listener *l, const struct rdma_cm_id *id)
{
	/* Both families have it at the same place. */
	in_port_t *port = &((struct sockaddr_in *)&l->addr)->sin_port;

	if (*port)
		return;
	*port = ((const struct sockaddr_in *)&id->route.addr.src_storage)->sin_port;
	address_format(&l->addr, l->name, sizeof(l->name));
}

/* Listens; *why says what is missing for it. -errno. */
static int try_open(struct listener *l, const char **why)
{
	struct inlet *inlet;
	int err;

	*why = explain_open(ENODEV);
	if (!rdma_lib_get())
		return -ENODEV;
	*why = "no memory";
	err = -ENOMEM;
	inlet = calloc(1, sizeof(*inlet));
	if (!inlet)
		goto err_put;
	inlet->listener = l;
	inlet->wake.done = woken;
	inlet->channel = rdma_lib.rdma_create_event_channel();
	err = -errno;
	*why = explain_open(errno);
	if (!inlet->channel)
		goto err_free;
	fcntl(inlet->channel->fd, F_SETFL, fcntl(inlet->channel->fd, F_GETFL) | O_NONBLOCK);
	err = make_id(inlet);
	*why = explain_bind(-err);
	if (err)
		goto err_channel;
	l->inlet = inlet;
	read_port(l, inlet->id);
	log_info("%s: serving over RDMA (%s%s)", l->name,
		 inlet->id->verbs ? "device " : "any device",
		 inlet->id->verbs ? inlet->id->verbs->device->name : "");
	return 0;

err_channel:
	rdma_lib.rdma_destroy_event_channel(inlet->channel);
err_free:
	free(inlet);
err_put:
	rdma_lib_put();
	return err;
}

/* A device that nobody uses goes without an event. */
static void look_at_devices(struct listener *l)
{
	struct ibv_context *lost;

	while ((lost = rdma_lib_watch())) {
		rdma_hca_lost_context(lost);
		if (l->inlet && l->inlet->id->verbs == lost)
			lose_device(l->inlet);
	}
	if (l->inlet && rdma_lib_stale())
		lose_device(l->inlet);
}

static void tick(struct timer *timer)
{
	struct listener *l = container_of(timer, struct listener, tick);
	const char *why;

	timer_arm(l->reactor, &l->tick, NSEC_PER_SEC);
	look_at_devices(l);
	if (l->inlet)
		return;
	if (try_open(l, &why))
		log_debug("%s: waits for RDMA: %s", l->name, why);
	else
		watch(l->inlet);
}

static void start(struct work *work)
{
	struct listener *l = container_of(work, struct listener, start);

	l->started = true;
	if (atomic_load(&l->closed)) {
		listener_put(l);
		return;
	}
	if (l->inlet)
		watch(l->inlet);
	timer_arm(l->reactor, &l->tick, NSEC_PER_SEC);
}

int rdma_portal_listen(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
		       void *ctx, struct listener **out, char *why, size_t why_size)
{
	struct listener *l = calloc(1, sizeof(*l));
	const char *reason = "no memory";
	int err = -ENOMEM;

	if (!l)
		goto err_why;
	l->reactor = r;
	l->up = up;
	l->ctx = ctx;
	l->refs = 1;
	l->addr = addr->addr;
	l->tick.fn = tick;
	l->start.fn = start;
	address_format(&l->addr, l->name, sizeof(l->name));
	err = try_open(l, &reason);
	if (err && addr->required)
		goto err_why;
	if (err)
		log_info("%s: waits for RDMA: %s", l->name, reason);
	addr->addr = l->addr;
	*out = l;
	if (reactor_self() == r)
		start(&l->start);
	else
		reactor_post(r, &l->start);
	return 0;

err_why:
	free(l);
	address_format(&addr->addr, why, why_size < 64 ? why_size : 64);
	snprintf(why + strlen(why), why_size - strlen(why), ": cannot listen for RDMA: %s", reason);
	return err;
}

void rdma_portal_unlisten(struct listener *l)
{
	bool here = reactor_self() == l->reactor;

	atomic_store(&l->closed, true);
	if (here)
		timer_cancel(l->reactor, &l->tick);
	if (l->inlet)
		inlet_close(l->inlet);
	/* start() puts it if it is still to come; it is not when the reactor does not run. */
	if (!here || l->started)
		listener_put(l);
}
