// SPDX-License-Identifier: BSD-2-Clause
/*
 * The slab: one region (huge pages when the system has some to spare, else anonymous memory) from
 * which all payload buffers come: size classes, 4 KiB aligned, a budget. Each reactor keeps a small
 * cache per class so that the steady data path takes no lock and never calls malloc.
 */
#ifndef RISER_CORE_SLAB_H
#define RISER_CORE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/list.h"

struct reactor;
struct slab;
struct slab_cache;

enum { BUF_CLASSES = 6, BUF_MIN = 4096, BUF_MAX = 1 << 20 }; /* 4K 8K 16K 64K 256K 1M */

struct buf {
	uint8_t *data; /* 4 KiB aligned; content undefined until written */
	uint32_t size; /* bytes: that of the class, at least what was asked for */
	uint32_t class_index;
	struct buf *next; /* free list; the owner may use it while it owns the buffer */
};

/* budget: bytes, rounded up to 1 MiB, at least 4 MiB. -ENOMEM. Memory is reserved, not touched. */
int slab_create(size_t budget, struct slab **out);
/* All buffers must be back. NULL is fine. */
void slab_destroy(struct slab *slab);
/* The whole area, for registration with rings. */
void *slab_base(const struct slab *slab);
size_t slab_size(const struct slab *slab);
/* [any thread] Bytes in buffers that are handed out now (caches not counted). */
size_t slab_in_use(const struct slab *slab);

/* Called by the reactor. */
struct slab_cache *slab_cache_create(struct slab *slab, struct reactor *r);
void slab_cache_destroy(struct slab_cache *cache);

/* [owner thread] A buffer of at least len bytes (1..BUF_MAX), or NULL when the budget is used up. */
struct buf *buf_get(struct reactor *r, uint32_t len);
/* [owner thread of r, which need not be the one that took it] NULL is fine. */
void buf_put(struct reactor *r, struct buf *b);

/* [any thread] Set while somebody, on any reactor, waits for a buffer of the slab behind r. Valid as long
 * as the slab. */
const _Atomic bool *buf_shortage(const struct reactor *r);
/* [any thread] Bytes of the slab behind r in all, handed out or not. */
size_t buf_budget(const struct reactor *r);

/* Waiting for memory: FIFO per reactor, served when buffers come back on any reactor. */
struct buf_waiter {
	struct list node;
	uint32_t len;
	/* [owner thread] Takes ownership of b. Never called from inside buf_wait(). */
	void (*ready)(struct buf_waiter *w, struct buf *b);
};
/* [owner thread] w stays alive until ready() or buf_wait_cancel(). */
void buf_wait(struct reactor *r, struct buf_waiter *w);
/* [owner thread] Safe when w does not wait (its node must be initialised). */
void buf_wait_cancel(struct reactor *r, struct buf_waiter *w);

#endif
