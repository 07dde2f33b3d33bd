// SPDX-License-Identifier: BSD-2-Clause
/* Pools of equal objects: chunks of memory linked in a list, free objects linked in another. */
#include "core/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "core/memcheck.h"

enum { ALIGN = 64 };

/* The first ALIGN bytes of a chunk hold the link to the next one. */
struct link {
	struct link *next;
};

static size_t stride(const struct pool *p)
{
	return (p->object_size + ALIGN - 1) / ALIGN * ALIGN;
}

void pool_init(struct pool *p, size_t object_size, size_t per_chunk, size_t limit)
{
	assert(object_size >= sizeof(struct link) && per_chunk > 0);
	*p = (struct pool){ .object_size = object_size, .per_chunk = per_chunk, .limit = limit };
}

void pool_raise(struct pool *p, size_t limit)
{
	if (limit > atomic_load_explicit(&p->limit, memory_order_relaxed))
		atomic_store_explicit(&p->limit, limit, memory_order_relaxed);
}

void pool_destroy(struct pool *p)
{
	struct link *chunk = p->chunks, *next;

	assert(p->in_use == 0);
	for (; chunk; chunk = next) {
		next = chunk->next;
		mem_unpoison(chunk, ALIGN + p->per_chunk * stride(p));
		free(chunk);
	}
	p->chunks = p->free_list = NULL;
	p->total = 0;
}

/* Only the link stays readable while nobody owns the object. */
static void push(struct pool *p, void *object)
{
	struct link *link = object;

	link->next = p->free_list;
	p->free_list = link;
	mem_poison(link + 1, p->object_size - sizeof(*link));
}

static void grow(struct pool *p)
{
	size_t left = atomic_load_explicit(&p->limit, memory_order_relaxed) - p->total;
	size_t count = left < p->per_chunk ? left : p->per_chunk;
	struct link *chunk;

	if (!count)
		return;
	chunk = aligned_alloc(ALIGN, ALIGN + p->per_chunk * stride(p));
	if (!chunk)
		return;
	chunk->next = p->chunks;
	p->chunks = chunk;
	p->total += count;
	while (count--)
		push(p, (char *)chunk + ALIGN + count * stride(p));
}

void *pool_get(struct pool *p)
{
	struct link *link;

	if (!p->free_list)
		grow(p);
	link = p->free_list;
	if (!link)
		return NULL;
	p->free_list = link->next;
	p->in_use++;
	mem_unpoison(link, p->object_size);
	mem_junk(link, p->object_size);
	return link;
}

void pool_put(struct pool *p, void *object)
{
	assert(p->in_use > 0);
	p->in_use--;
	push(p, object);
}
