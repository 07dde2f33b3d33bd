// SPDX-License-Identifier: BSD-2-Clause
/* What slab.c (area and units, under the lock) and slab_cache.c (one reactor's view) share. */
#ifndef RISER_CORE_SLAB_IMPL_H
#define RISER_CORE_SLAB_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/reactor.h"
#include "core/slab.h"

struct slab_class {
	uint32_t size; /* bytes */
	uint32_t cached_max, batch; /* what a reactor may keep, and how many buffers move at once */
};

extern const struct slab_class slab_classes[BUF_CLASSES];

struct unit {
	struct list node; /* free_units, partial[], draining, or none: every buffer is out */
	struct buf *free;
	uint16_t used, carved; /* buffers out; descriptors filled in so far */
	uint8_t class_index;
	bool draining;
};

struct slab {
	struct region *region; /* at least size bytes */
	uint8_t *base;
	size_t size;
	struct buf *bufs; /* one descriptor per 4 KiB; a buffer has that of its first page */
	struct unit *units;
	/* Read without the lock as a hint; written under it. */
	_Atomic bool short_of_memory; /* a reactor waits */
	pthread_mutex_t lock; /* a leaf: held while posting to reactors, nothing else */
	struct list free_units, partial[BUF_CLASSES], draining;
	struct list caches, waiting; /* of struct slab_cache */
	unsigned int waiting_count, draining_count;
	int64_t retired_out; /* bytes_out of caches that are gone */
};

struct slab_cache {
	struct slab *slab;
	struct reactor *reactor;
	/* owner thread */
	struct buf *free[BUF_CLASSES];
	uint32_t count[BUF_CLASSES];
	struct list waiters;
	bool queued; /* on slab->waiting, or a granted buffer is on its way */
	/* written by the owner thread, read by anyone; negative when it frees others' buffers */
	_Atomic int64_t bytes_out;
	/* slab->lock */
	struct list node, waiting;
	uint32_t wanted_class;
	struct buf *granted;
	bool flush_wanted, kicked;
	struct work kick;
};

/* Index of the smallest class that holds len bytes. */
uint32_t slab_class_of(uint32_t len);

/* The rest: slab->lock is held. */

/* A buffer of the class, NULL when there is none. */
struct buf *slab_take(struct slab *slab, uint32_t class_index);
/* Puts b back and serves who waits. */
void slab_give_back(struct slab *slab, struct buf *b);
/* Grants what there is to the caches on slab->waiting, first come, first served. */
void slab_serve_waiting(struct slab *slab);
/* The cache waits no more. */
void slab_leave_queue(struct slab *slab, struct slab_cache *cache);
/* Posts cache->kick to its reactor, once. */
void slab_kick(struct slab_cache *cache);

#endif
