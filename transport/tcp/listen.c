// SPDX-License-Identifier: BSD-2-Clause
/*
 * A portal: one multishot accept on the listener's reactor. The up-call chooses the connection's
 * reactor; the socket travels there as a message and the connection is born there.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "tcp.h"

enum { BACKLOG = 1024, BACKOFF_MS = 100 };

struct listener {
	struct reactor *reactor;
	const struct conn_up *up;
	void *ctx;
	_Atomic uint32_t refs; /* unlisten()'s and one for each socket on its way */
	_Atomic bool closed;
	int fd;
	int spare; /* given up to refuse a connection when no descriptor is left */
	bool started, armed;
	bool shared; /* the socket: somebody else listens on it when we do not any more */
	struct io_op accept;
	struct timer backoff;
	struct work start;
};

/* A socket on its way to its reactor. */
struct handoff {
	struct work work;
	struct listener *listener;
	struct reactor *reactor;
	int fd;
};

static struct log_limit accept_limit = LOG_LIMIT(5);

static void listener_put(struct listener *l)
{
	if (atomic_fetch_sub(&l->refs, 1) == 1)
		free(l);
}

static void arrive(struct work *work)
{
	struct handoff *h = container_of(work, struct handoff, work);
	struct tcp_conn *c;

	if (atomic_load(&h->listener->closed)) {
		close(h->fd);
		tcp_load_sub(h->reactor);
	} else {
		c = tcp_conn_create(h->reactor, h->fd, h->listener->up);
		if (c)
			tcp_conn_start(c, h->listener->ctx);
	}
	listener_put(h->listener);
	free(h);
}

static void hand_over(struct listener *l, int fd)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);
	struct reactor *r = NULL;
	struct handoff *h = NULL;

	if (!getpeername(fd, (struct sockaddr *)&peer, &len))
		r = l->up->place(l->ctx, &peer);
	if (r)
		h = calloc(1, sizeof(*h));
	if (!h) {
		close(fd);
		return;
	}
	h->work.fn = arrive;
	h->listener = l;
	h->reactor = r;
	h->fd = fd;
	atomic_fetch_add(&l->refs, 1);
	/* Counted now, so that a burst of connections spreads. */
	tcp_load_add(r);
	if (r == l->reactor)
		arrive(&h->work);
	else
		reactor_post(r, &h->work);
}

static void arm(struct listener *l)
{
	struct io_uring_sqe *sqe = reactor_sqe(l->reactor, &l->accept);

	io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
	l->armed = true;
}

/* No descriptor is left: takes one waiting peer off the queue and hangs up, so that it learns
 * about it now and not after its own timeout. */
static void refuse_one(struct listener *l)
{
	int flags = fcntl(l->fd, F_GETFL), fd;

	if (l->spare < 0)
		return;
	close(l->spare);
	fcntl(l->fd, F_SETFL, flags | O_NONBLOCK);
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	fcntl(l->fd, F_SETFL, flags);
	if (fd >= 0)
		close(fd);
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void backoff_over(struct timer *timer)
{
	arm(container_of(timer, struct listener, backoff));
}

static void accepted(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct listener *l = container_of(op, struct listener, accept);
	bool more = cqe_flags & IORING_CQE_F_MORE;
	bool closed = atomic_load(&l->closed);

	if (res >= 0 && closed)
		close(res);
	else if (res >= 0)
		hand_over(l, res);
	if (more)
		return;
	l->armed = false;
	if (closed) {
		listener_put(l);
	} else if (res >= 0 || res == -ECONNABORTED || res == -EINTR) {
		arm(l);
	} else {
		log_write_limited(&accept_limit, LOG_LEVEL_WARN, "cannot accept a connection: %s",
				  strerrordesc_np(-res));
		if (res == -EMFILE || res == -ENFILE)
			refuse_one(l);
		timer_arm(l->reactor, &l->backoff, BACKOFF_MS * NSEC_PER_MSEC);
	}
}

static void start(struct work *work)
{
	struct listener *l = container_of(work, struct listener, start);

	l->started = true;
	if (atomic_load(&l->closed))
		listener_put(l);
	else
		arm(l);
}

/* One that listens: ours is a copy, so that either may be closed. */
static int copy_socket(struct portal_address *addr, const char **step)
{
	int fd = fcntl(addr->socket, F_DUPFD_CLOEXEC, 0);

	*step = "take over the socket that listens there";
	return fd < 0 ? -errno : fd;
}

/* Returns the socket or -errno with the step that failed. */
static int open_socket(struct portal_address *addr, const char **step)
{
	int fd, on = 1, error;

	*step = "open a socket";
	fd = socket(addr->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*step = "set SO_REUSEADDR";
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		goto err_close;
	/* 0.0.0.0 and [::] are two portals and may both be served. */
	*step = "set IPV6_V6ONLY";
	if (addr->addr.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)))
		goto err_close;
	*step = "bind";
	if (bind(fd, (struct sockaddr *)&addr->addr, addr->len))
		goto err_close;
	*step = "listen";
	if (listen(fd, BACKLOG))
		goto err_close;
	addr->len = sizeof(addr->addr);
	*step = "read the bound address";
	if (getsockname(fd, (struct sockaddr *)&addr->addr, &addr->len))
		goto err_close;
	return fd;

err_close:
	error = -errno;
	close(fd);
	return error;
}

static int tcp_listen(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
		      void *ctx, struct listener **out, char *why, size_t why_size)
{
	struct listener *l = calloc(1, sizeof(*l));
	const char *step = "listen";
	int fd = -ENOMEM;

	if (l)
		fd = addr->socket ? copy_socket(addr, &step) : open_socket(addr, &step);
	if (fd < 0) {
		char name[64];

		address_format(&addr->addr, name, sizeof(name));
		snprintf(why, why_size, "%s: cannot %s: %s", name, step, strerrordesc_np(-fd));
		free(l);
		return fd;
	}
	l->reactor = r;
	l->up = up;
	l->ctx = ctx;
	l->refs = 1;
	l->fd = fd;
	l->shared = addr->socket;
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	l->accept.done = accepted;
	l->backoff.fn = backoff_over;
	l->start.fn = start;
	*out = l;
	if (reactor_self() == r)
		start(&l->start);
	else
		reactor_post(r, &l->start);
	return 0;
}

static void tcp_unlisten(struct listener *l)
{
	atomic_store(&l->closed, true);
	/* The accept in flight holds the socket; this ends listening at once. On a shared one those who
	 * connect now wait for the next daemon. */
	if (!l->shared)
		shutdown(l->fd, SHUT_RDWR);
	close(l->fd);
	if (l->spare >= 0)
		close(l->spare);
	if (reactor_self() != l->reactor) {
		/* The reactor does not run, and no completion will come any more. */
		listener_put(l);
		return;
	}
	timer_cancel(l->reactor, &l->backoff);
	if (l->armed)
		reactor_cancel(l->reactor, &l->accept);
	else if (l->started)
		listener_put(l);
}

static void tcp_offer_keys(struct conn *conn, struct conn_params *can)
{
	(void)conn;
	/* A data segment lands in one buffer. */
	if (can->max_recv_dsl > BUF_MAX)
		can->max_recv_dsl = BUF_MAX;
	if (can->max_outstanding_r2t > R2T_MAX)
		can->max_outstanding_r2t = R2T_MAX;
}

static void tcp_apply_keys(struct conn *conn, const struct conn_params *params)
{
	struct tcp_conn *c = tcp_conn_of(conn);
	struct list *node;

	/* The final Login Response may still be queued: it goes out without digests. Later calls
	 * leave digests as they are. */
	if (!conn->params.full_feature) {
		list_for_each(node, &c->tx.queue)
			c->tx.plain++;
	}
	conn->params = *params;
	conn->params.full_feature = true;
	/* The digest of data that changes on its way out would be wrong. */
	conn->stable_source = params->data_digest;
}

const struct transport_ops tcp_transport = {
	.name = "tcp",
	.listen = tcp_listen,
	.unlisten = tcp_unlisten,
	.offer_keys = tcp_offer_keys,
	.apply_keys = tcp_apply_keys,
	.send_pdu = tcp_send_pdu,
	.put_data = tcp_put_data,
	.get_data = tcp_get_data,
	.resend_r2ts = tcp_resend_r2ts,
	.cancel_data = tcp_cancel_data,
	.hand_over = tcp_hand_over,
	.close = tcp_close,
};
