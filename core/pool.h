// SPDX-License-Identifier: BSD-2-Clause
/*
 * A pool of equal objects for one thread: grows by chunks up to a limit and keeps what it has, so
 * that the steady data path never calls malloc. LIFO: an idle connection keeps nothing warm.
 */
#ifndef RISER_CORE_POOL_H
#define RISER_CORE_POOL_H

#include <stdatomic.h>
#include <stddef.h>

struct pool {
	size_t object_size, per_chunk; /* bytes, objects */
	_Atomic size_t limit; /* objects */
	size_t total, in_use;
	void *free_list;
	void *chunks;
};

/* object_size >= sizeof(void *). Allocates nothing yet. */
void pool_init(struct pool *p, size_t object_size, size_t per_chunk, size_t limit);
/* [any thread] May have so many from now on, if that is more than before. */
void pool_raise(struct pool *p, size_t limit);
/* Frees all chunks; every object must be back. */
void pool_destroy(struct pool *p);
/* Content is undefined; aligned to 64 bytes. NULL: limit reached or out of memory. */
void *pool_get(struct pool *p);
void pool_put(struct pool *p, void *object);

#endif
