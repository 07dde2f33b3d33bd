// SPDX-License-Identifier: BSD-2-Clause
/*
 * A connection's life: the work at the end of each turn, and the steps of closing. Results of
 * down-calls are reported from here, never from inside them; memory goes back when the kernel
 * holds nothing of it any more.
 */
#include "tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

/* One shard per reactor that has connections; looked up when a connection comes or goes. */
static struct {
	pthread_mutex_t lock;
	struct tcp_shard *first;
} shards = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct tcp_shard *shard_new(struct reactor *r)
{
	struct tcp_shard *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->hot = malloc(STREAM_SIZE + HOT_SIZE);
	if (!s->hot) {
		free(s);
		return NULL;
	}
	s->reactor = r;
	pool_init(&s->batches, sizeof(struct tx_batch), 4, SIZE_MAX);
	pool_init(&s->gets, sizeof(struct get), 64, SIZE_MAX);
	list_init(&s->starved);
	s->next = shards.first;
	shards.first = s;
	return s;
}

static struct tcp_shard *shard_get(struct reactor *r)
{
	struct tcp_shard *s;

	pthread_mutex_lock(&shards.lock);
	for (s = shards.first; s && s->reactor != r;)
		s = s->next;
	if (!s)
		s = shard_new(r);
	if (s)
		s->users++;
	pthread_mutex_unlock(&shards.lock);
	return s;
}

static void shard_put(struct tcp_shard *s)
{
	struct tcp_shard **at = &shards.first;

	pthread_mutex_lock(&shards.lock);
	if (--s->users == 0) {
		while (*at != s)
			at = &(*at)->next;
		*at = s->next;
		pool_destroy(&s->batches);
		pool_destroy(&s->gets);
		free(s->hot);
		free(s);
	}
	pthread_mutex_unlock(&shards.lock);
}

static void read_addresses(struct tcp_conn *c)
{
	socklen_t len = sizeof(c->base.peer);
	int on = 1;

	if (c->fd < 0) {
		snprintf(c->base.peer_name, sizeof(c->base.peer_name), "test");
		return;
	}
	/* The peer may be gone already: then the names say so and the first receive will, too. */
	getpeername(c->fd, (struct sockaddr *)&c->base.peer, &len);
	len = sizeof(c->base.local);
	getsockname(c->fd, (struct sockaddr *)&c->base.local, &len);
	address_format(&c->base.peer, c->base.peer_name, sizeof(c->base.peer_name));
	address_format(&c->base.local, c->base.local_name, sizeof(c->base.local_name));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void conn_free(struct tcp_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	tcp_load_sub(c->base.reactor);
	shard_put(c->shard);
	free(c);
}

/* Everything goes back, then the connection itself. Callees may hand in more while they get back
 * what they have: that comes with the next round. */
static void reap(struct tcp_conn *c)
{
	if (c->fd < 0 && c->tx.batch)
		tcp_tx_sent(c, -ECANCELED); /* no completion will say so */
	if (c->rx.armed || c->tx.batch)
		return;
	tcp_rx_discard(c);
	tcp_tx_return(c);
	tcp_data_cancel_all(c);
	if (c->work.queued || !list_empty(&c->finished) || !list_empty(&c->tx.queue)) {
		tcp_conn_defer(c);
		return;
	}
	timer_cancel(c->base.reactor, &c->flush_timer);
	timer_cancel(c->base.reactor, &c->sequence_timer);
	log_debug("%s: closed", c->base.peer_name);
	c->base.up->closed(&c->base);
	conn_free(c);
}

/* All is sent: says so to the peer and waits for its side, throwing away what still comes. */
static void linger(struct tcp_conn *c)
{
	if (c->tx.batch || !list_empty(&c->tx.queue))
		return;
	if (c->rx.eof || c->fd < 0) {
		tcp_conn_fail(c, "closed");
		return;
	}
	c->state = TCP_LINGERING;
	shutdown(c->fd, SHUT_WR);
}

static void report(struct tcp_conn *c)
{
	struct list due, *node;

	list_init(&due);
	list_splice_tail(&due, &c->finished);
	while ((node = list_pop(&due)))
		c->base.up->transfer_done(&c->base, list_entry(node, struct transfer, node));
}

static void end_of_turn(struct work *work)
{
	struct tcp_conn *c = container_of(work, struct tcp_conn, work);

	report(c);
	if (c->state == TCP_OPEN || c->state == TCP_FLUSHING)
		tcp_tx_flush(c);
	if (c->state == TCP_FLUSHING)
		linger(c);
	if (c->state == TCP_FLUSHING || c->state == TCP_LINGERING)
		tcp_rx_arm(c);
	if (c->state == TCP_LINGERING && !list_empty(&c->tx.queue))
		tcp_tx_return(c); /* too late for the wire */
	if (c->state == TCP_DEAD)
		reap(c);
}

void tcp_conn_fail(struct tcp_conn *c, const char *why)
{
	if (c->state == TCP_DEAD)
		return;
	log_debug("%s: %s", c->base.peer_name, why);
	c->state = TCP_DEAD;
	c->base.closing = true;
	c->rx.stopped = true;
	if (c->fd >= 0) {
		shutdown(c->fd, SHUT_RDWR);
		if (c->rx.armed)
			reactor_cancel(c->base.reactor, &c->rx.op);
		if (c->tx.batch)
			reactor_cancel(c->base.reactor, &c->tx.op);
	}
	tcp_conn_defer(c);
}

static void flush_too_long(struct timer *timer)
{
	tcp_conn_fail(container_of(timer, struct tcp_conn, flush_timer), "closed");
}

void tcp_close(struct conn *conn, bool flush)
{
	struct tcp_conn *c = tcp_conn_of(conn);

	if (c->state == TCP_MOVING)
		return;
	if (!flush) {
		tcp_conn_fail(c, "closed");
		return;
	}
	if (c->state != TCP_OPEN)
		return;
	c->state = TCP_FLUSHING;
	c->base.closing = true;
	tcp_data_cancel_all(c);
	tcp_rx_discard(c);
	timer_arm(c->base.reactor, &c->flush_timer, FLUSH_SECONDS * NSEC_PER_SEC);
	tcp_conn_defer(c);
}

struct tcp_conn *tcp_conn_create(struct reactor *r, int fd, const struct conn_up *up)
{
	/* Only the first page of the stream is touched by a connection that says little. */
	struct tcp_conn *c = calloc(1, sizeof(*c));

	if (!c)
		goto err_close;
	c->shard = shard_get(r);
	if (!c->shard)
		goto err_free;
	c->base.ops = &tcp_transport;
	c->base.up = up;
	c->base.reactor = r;
	c->base.digests = c->base.movable = true;
	c->base.params.max_recv_dsl = c->base.params.max_xmit_dsl = LOGIN_DATA_MAX;
	c->fd = fd;
	c->work.fn = end_of_turn;
	c->flush_timer.fn = flush_too_long;
	c->sequence_timer.fn = tcp_sequence_tick;
	list_init(&c->finished);
	tcp_rx_init(c);
	tcp_tx_init(c);
	read_addresses(c);
	return c;

err_free:
	free(c);
err_close:
	if (fd >= 0)
		close(fd);
	tcp_load_sub(r);
	return NULL;
}

void tcp_conn_start_with(struct tcp_conn *c, void *ctx, const void *bytes, uint32_t len)
{
	log_debug("%s: connected to %s", c->base.peer_name, c->base.local_name);
	c->base.up->accepted(ctx, &c->base);
	if (c->state == TCP_OPEN)
		tcp_rx_feed(c, bytes, len);
	if (c->state == TCP_OPEN)
		tcp_rx_arm(c);
}

void tcp_conn_start(struct tcp_conn *c, void *ctx)
{
	tcp_conn_start_with(c, ctx, NULL, 0);
}
