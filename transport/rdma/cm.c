// SPDX-License-Identifier: BSD-2-Clause
/*
 * Events of the connection manager: one channel per reactor that has connections, polled on its
 * ring. An event is acknowledged before the connection hears of it, so that the connection may
 * destroy its id at once.
 */
#include "transport/rdma/rdma.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

static struct {
	pthread_mutex_t lock;
	struct rdma_shard *first;
} shards = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct log_limit channel_limit = LOG_LIMIT(5);

static void release(struct rdma_shard *shard)
{
	if (shard->dying && !shard->polling && !shard->busy)
		free(shard);
}

static void close_channel(struct rdma_shard *shard)
{
	if (shard->polling)
		reactor_cancel(shard->reactor, &shard->wake);
	rdma_lib.rdma_destroy_event_channel(shard->channel);
	rdma_lib_put();
	shard->dying = true;
	release(shard);
}

static void stop(struct work *work)
{
	close_channel(container_of(work, struct rdma_shard, stop));
}

static void watch(struct rdma_shard *shard)
{
	io_uring_prep_poll_multishot(reactor_sqe(shard->reactor, &shard->wake), shard->channel->fd,
				     POLLIN);
	shard->polling = true;
}

static void take_events(struct rdma_shard *shard)
{
	struct rdma_cm_event *event;

	while (!shard->dying && !rdma_lib.rdma_get_cm_event(shard->channel, &event)) {
		enum rdma_cm_event_type type = event->event;
		struct rdma_conn *c = event->id->context;
		int status = event->status;

		rdma_lib.rdma_ack_cm_event(event);
		if (c)
			rdma_conn_event(c, type, status);
	}
}

static void woken(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct rdma_shard *shard = container_of(op, struct rdma_shard, wake);

	shard->polling = cqe_flags & IORING_CQE_F_MORE;
	shard->busy = true;
	take_events(shard);
	shard->busy = false;
	if (!shard->dying && !shard->polling) {
		if (res >= 0)
			watch(shard);
		else
			log_write_limited(&channel_limit, LOG_LEVEL_ERROR,
					  "cannot wait for RDMA connection events: %s",
					  strerrordesc_np(-res));
	}
	release(shard);
}

static struct rdma_shard *shard_new(struct reactor *r)
{
	struct rdma_shard *shard;

	if (!rdma_lib_get())
		return NULL;
	shard = calloc(1, sizeof(*shard));
	if (!shard)
		goto err_put;
	shard->channel = rdma_lib.rdma_create_event_channel();
	if (!shard->channel)
		goto err_free;
	fcntl(shard->channel->fd, F_SETFL, fcntl(shard->channel->fd, F_GETFL) | O_NONBLOCK);
	shard->reactor = r;
	shard->users = 1;
	shard->wake.done = woken;
	shard->stop.fn = stop;
	return shard;

err_free:
	log_write_limited(&channel_limit, LOG_LEVEL_WARN,
			  "cannot open a channel for RDMA connections: %s", strerrordesc_np(errno));
	free(shard);
err_put:
	rdma_lib_put();
	return NULL;
}

static struct rdma_shard *find(struct reactor *r)
{
	struct rdma_shard *shard = shards.first;

	while (shard && shard->reactor != r)
		shard = shard->next;
	if (shard)
		shard->users++;
	return shard;
}

struct rdma_shard *rdma_shard_get(struct reactor *r)
{
	struct rdma_shard *shard, *made;

	pthread_mutex_lock(&shards.lock);
	shard = find(r);
	pthread_mutex_unlock(&shards.lock);
	if (shard)
		return shard;
	/* Not under the lock: opening the channel may take a while. */
	made = shard_new(r);
	if (!made)
		return NULL;
	pthread_mutex_lock(&shards.lock);
	shard = find(r);
	if (!shard) {
		made->next = shards.first;
		shards.first = made;
	}
	pthread_mutex_unlock(&shards.lock);
	if (!shard)
		return made;
	close_channel(made); /* somebody was faster */
	return shard;
}

void rdma_shard_start(struct rdma_shard *shard)
{
	atomic_store(&shard->started, true);
	if (!shard->polling && !shard->reactor->is_virtual)
		watch(shard);
}

void rdma_shard_put(struct rdma_shard *shard)
{
	struct rdma_shard **at = &shards.first;

	pthread_mutex_lock(&shards.lock);
	if (--shard->users) {
		pthread_mutex_unlock(&shards.lock);
		return;
	}
	while (*at != shard)
		at = &(*at)->next;
	*at = shard->next;
	pthread_mutex_unlock(&shards.lock);
	/* One that its reactor does not know can go anywhere. */
	if (!atomic_load(&shard->started) || reactor_self() == shard->reactor)
		close_channel(shard);
	else
		reactor_post(shard->reactor, &shard->stop);
}
