// SPDX-License-Identifier: BSD-2-Clause
/* One reactor's buffers: its cache of free ones, and those who wait for memory on it. */
#include <assert.h>
#include <stdlib.h>

#include "core/memcheck.h"
#include "core/slab_impl.h"

enum { SERVED_PER_KICK = 64 }; /* waiters served before the loop gets its turn again */

static void flush_class(struct slab_cache *cache, uint32_t class_index, uint32_t keep)
{
	while (cache->count[class_index] > keep) {
		struct buf *b = cache->free[class_index];

		cache->free[class_index] = b->next;
		cache->count[class_index]--;
		slab_give_back(cache->slab, b);
	}
}

static void flush(struct slab_cache *cache)
{
	for (uint32_t i = 0; i < BUF_CLASSES; i++)
		flush_class(cache, i, 0);
}

static void ask_others(struct slab_cache *cache)
{
	struct list *pos;

	list_for_each(pos, &cache->slab->caches) {
		struct slab_cache *other = list_entry(pos, struct slab_cache, node);

		if (other == cache)
			continue;
		other->flush_wanted = true;
		slab_kick(other);
	}
}

/* Caches: owner thread */

static void count_out(struct slab_cache *cache, int64_t bytes)
{
	int64_t out = atomic_load_explicit(&cache->bytes_out, memory_order_relaxed);

	atomic_store_explicit(&cache->bytes_out, out + bytes, memory_order_relaxed);
}

static struct buf *hand_out(struct slab_cache *cache, struct buf *b)
{
	count_out(cache, b->size);
	mem_unpoison(b->data, b->size);
	return b;
}

static struct buf *refill(struct slab_cache *cache, uint32_t class_index)
{
	struct slab *slab = cache->slab;
	struct buf *b, *extra;

	pthread_mutex_lock(&slab->lock);
	b = slab_take(slab, class_index);
	if (!b) {
		flush(cache);
		b = slab_take(slab, class_index);
	}
	if (!b)
		ask_others(cache);
	for (uint32_t i = 1; b && !slab->waiting_count && i < slab_classes[class_index].batch;
	     i++) {
		extra = slab_take(slab, class_index);
		if (!extra)
			break;
		extra->next = cache->free[class_index];
		cache->free[class_index] = extra;
		cache->count[class_index]++;
	}
	pthread_mutex_unlock(&slab->lock);
	return b;
}

static struct buf *get(struct slab_cache *cache, uint32_t class_index)
{
	struct buf *b = cache->free[class_index];

	if (b) {
		cache->free[class_index] = b->next;
		cache->count[class_index]--;
	} else {
		b = refill(cache, class_index);
	}
	return b ? hand_out(cache, b) : NULL;
}

/* Those who wait come first: with a waiter on this reactor nobody overtakes it. */
struct buf *buf_get(struct reactor *r, uint32_t len)
{
	struct slab_cache *cache = r->buffers;

	assert_owner(r);
	if (!cache || !list_empty(&cache->waiters))
		return NULL;
	return get(cache, slab_class_of(len));
}

void buf_put(struct reactor *r, struct buf *b)
{
	struct slab_cache *cache = r->buffers;
	uint32_t index;

	if (!b)
		return;
	assert_owner(r);
	index = b->class_index;
	count_out(cache, -(int64_t)b->size);
	mem_poison(b->data, b->size);
	b->next = cache->free[index];
	cache->free[index] = b;
	cache->count[index]++;
	if (atomic_load_explicit(&cache->slab->short_of_memory, memory_order_relaxed)) {
		pthread_mutex_lock(&cache->slab->lock);
		flush_class(cache, index, 0);
		pthread_mutex_unlock(&cache->slab->lock);
	} else if (cache->count[index] > slab_classes[index].cached_max) {
		pthread_mutex_lock(&cache->slab->lock);
		flush_class(cache, index,
			    slab_classes[index].cached_max - slab_classes[index].batch);
		pthread_mutex_unlock(&cache->slab->lock);
	}
}

/* Waiting: owner thread */

static struct buf_waiter *first_waiter(struct slab_cache *cache)
{
	return list_empty(&cache->waiters)
		       ? NULL
		       : list_entry(cache->waiters.next, struct buf_waiter, node);
}

static void enqueue(struct slab_cache *cache)
{
	struct slab *slab = cache->slab;

	if (cache->queued)
		return;
	cache->queued = true;
	pthread_mutex_lock(&slab->lock);
	cache->wanted_class = slab_class_of(first_waiter(cache)->len);
	list_add_tail(&slab->waiting, &cache->waiting);
	slab->waiting_count++;
	atomic_store_explicit(&slab->short_of_memory, true, memory_order_relaxed);
	slab_serve_waiting(slab);
	if (!cache->granted) {
		flush(cache);
		ask_others(cache);
	}
	pthread_mutex_unlock(&slab->lock);
}

static void ready(struct buf_waiter *w, struct buf *b)
{
	list_del(&w->node);
	w->ready(w, b);
}

static void serve_waiters(struct slab_cache *cache, struct buf *granted)
{
	struct buf_waiter *w = first_waiter(cache);

	if (granted && w && slab_class_of(w->len) == granted->class_index) {
		ready(w, hand_out(cache, granted));
	} else if (granted) {
		/* The waiter it was meant for has been cancelled. */
		pthread_mutex_lock(&cache->slab->lock);
		slab_give_back(cache->slab, granted);
		pthread_mutex_unlock(&cache->slab->lock);
	}
	for (int i = 0; i < SERVED_PER_KICK && !cache->queued; i++) {
		struct buf *b;

		w = first_waiter(cache);
		b = w ? get(cache, slab_class_of(w->len)) : NULL;
		if (!b)
			break;
		ready(w, b);
	}
	if (first_waiter(cache))
		enqueue(cache);
}

static void kicked(struct work *work)
{
	struct slab_cache *cache = container_of(work, struct slab_cache, kick);
	struct slab *slab = cache->slab;
	struct buf *granted;

	pthread_mutex_lock(&slab->lock);
	cache->kicked = false;
	granted = cache->granted;
	cache->granted = NULL;
	if (granted)
		cache->queued = false;
	if (cache->flush_wanted)
		flush(cache);
	cache->flush_wanted = false;
	pthread_mutex_unlock(&slab->lock);
	if (granted)
		serve_waiters(cache, granted);
}

void buf_wait(struct reactor *r, struct buf_waiter *w)
{
	struct slab_cache *cache = r->buffers;

	assert_owner(r);
	list_add_tail(&cache->waiters, &w->node);
	enqueue(cache);
}

void buf_wait_cancel(struct reactor *r, struct buf_waiter *w)
{
	struct slab_cache *cache = r->buffers;
	struct slab *slab;

	assert_owner(r);
	if (list_empty(&w->node))
		return;
	list_del(&w->node);
	if (!cache->queued)
		return;
	slab = cache->slab;
	pthread_mutex_lock(&slab->lock);
	if (!cache->granted && first_waiter(cache)) {
		cache->wanted_class = slab_class_of(first_waiter(cache)->len);
		slab_serve_waiting(slab);
	} else if (!cache->granted) {
		slab_leave_queue(slab, cache);
		cache->queued = false;
	} else if (!first_waiter(cache)) {
		struct buf *b = cache->granted;

		cache->granted = NULL;
		cache->queued = false;
		slab_give_back(slab, b);
	}
	pthread_mutex_unlock(&slab->lock);
}

const _Atomic bool *buf_shortage(const struct reactor *r)
{
	static const _Atomic bool never; /* a reactor without a slab */

	return r->buffers ? &r->buffers->slab->short_of_memory : &never;
}

size_t buf_budget(const struct reactor *r)
{
	return r->buffers ? slab_size(r->buffers->slab) : 0;
}

struct slab_cache *slab_cache_create(struct slab *slab, struct reactor *r)
{
	struct slab_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->slab = slab;
	cache->reactor = r;
	cache->kick.fn = kicked;
	list_init(&cache->waiters);
	list_init(&cache->waiting);
	pthread_mutex_lock(&slab->lock);
	list_add_tail(&slab->caches, &cache->node);
	pthread_mutex_unlock(&slab->lock);
	return cache;
}

/* The reactor has stopped: waiters of its connections, if any, are gone with them. */
void slab_cache_destroy(struct slab_cache *cache)
{
	struct slab *slab = cache->slab;

	pthread_mutex_lock(&slab->lock);
	list_del(&cache->node);
	if (!list_empty(&cache->waiting))
		slab_leave_queue(slab, cache);
	if (cache->granted)
		slab_give_back(slab, cache->granted);
	flush(cache);
	slab->retired_out += atomic_load_explicit(&cache->bytes_out, memory_order_relaxed);
	pthread_mutex_unlock(&slab->lock);
	free(cache);
}
