// SPDX-License-Identifier: BSD-2-Clause
/*
 * The slab. The area is cut into units of 1 MiB; a unit is cut into buffers of one class when
 * that class needs one and goes back to the common pool when its last buffer comes back.
 *
 *   reactor's cache  <- batches ->  units of the class  <- whole units ->  free units
 *   (owner thread)                  (slab->lock)                           (slab->lock)
 *
 * When memory is short, three things keep every class and every reactor alive:
 * - buffers that come back bypass the caches, and all caches are asked to give up what they have;
 * - reactors that wait are served in turn, before anybody can cut a fresh unit;
 * - for each of them at most one unit "drains": nothing is taken from it any more, so that it
 *   becomes free as a whole and can be cut for another class.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/memcheck.h"
#include "core/region.h"
#include "core/slab_impl.h"

enum {
	UNIT = 1 << 20,
	UNITS_MIN = 4,
	UNITS_MAX = 1 << 20, /* 1 TiB */
	PAGES_PER_UNIT = UNIT / BUF_MIN,
};

const struct slab_class slab_classes[BUF_CLASSES] = {
	{ 4 << 10, 128, 32 }, { 8 << 10, 128, 32 }, { 16 << 10, 64, 16 },
	{ 64 << 10, 32, 8 },  { 256 << 10, 8, 2 },  { 1 << 20, 2, 1 },
};

/* The area */

static int map_area(struct slab *slab)
{
	slab->region = region_create(slab->size, true);
	if (!slab->region)
		return -ENOMEM;
	slab->base = region_base(slab->region);
	mem_poison(slab->base, slab->size);
	return 0;
}

static size_t descriptor_bytes(const struct slab *slab)
{
	return slab->size / BUF_MIN * sizeof(struct buf);
}

int slab_create(size_t budget, struct slab **out)
{
	size_t count = budget / UNIT + (budget % UNIT != 0);
	struct slab *slab;
	void *descriptors;

	*out = NULL;
	if (count < UNITS_MIN)
		count = UNITS_MIN;
	if (count > UNITS_MAX)
		return -ENOMEM;
	slab = calloc(1, sizeof(*slab));
	if (!slab)
		return -ENOMEM;
	slab->size = count * UNIT;
	slab->units = calloc(count, sizeof(*slab->units));
	if (!slab->units)
		goto err_slab;
	descriptors = mmap(NULL, descriptor_bytes(slab), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (descriptors == MAP_FAILED)
		goto err_units;
	slab->bufs = descriptors;
	if (map_area(slab))
		goto err_descriptors;
	pthread_mutex_init(&slab->lock, NULL);
	list_init(&slab->free_units);
	list_init(&slab->draining);
	list_init(&slab->caches);
	list_init(&slab->waiting);
	for (int i = 0; i < BUF_CLASSES; i++)
		list_init(&slab->partial[i]);
	for (size_t i = 0; i < count; i++)
		list_add_tail(&slab->free_units, &slab->units[i].node);
	*out = slab;
	return 0;

err_descriptors:
	munmap(descriptors, descriptor_bytes(slab));
err_units:
	free(slab->units);
err_slab:
	free(slab);
	return -ENOMEM;
}

void slab_destroy(struct slab *slab)
{
	if (!slab)
		return;
	assert(list_empty(&slab->caches));
	for (size_t i = 0; i < slab->size / UNIT; i++)
		assert(slab->units[i].used == 0);
	mem_unpoison(slab->base, slab->size);
	region_destroy(slab->region);
	munmap(slab->bufs, descriptor_bytes(slab));
	pthread_mutex_destroy(&slab->lock);
	free(slab->units);
	free(slab);
}

void *slab_base(const struct slab *slab)
{
	return slab->base;
}

size_t slab_size(const struct slab *slab)
{
	return slab->size;
}

size_t slab_in_use(const struct slab *slab)
{
	struct slab *s = (struct slab *)slab; /* only the lock is written */
	struct list *pos;
	int64_t sum;

	pthread_mutex_lock(&s->lock);
	sum = s->retired_out;
	list_for_each(pos, &s->caches)
		sum += atomic_load_explicit(&list_entry(pos, struct slab_cache, node)->bytes_out,
					    memory_order_relaxed);
	pthread_mutex_unlock(&s->lock);
	/* Counters are read one after the other while others change. */
	return sum > 0 ? (size_t)sum : 0;
}

/* Units: slab->lock is held */

uint32_t slab_class_of(uint32_t len)
{
	uint32_t index = 0;

	assert(len > 0 && len <= BUF_MAX);
	while (slab_classes[index].size < len)
		index++;
	return index;
}

static struct unit *unit_of(struct slab *slab, const struct buf *b)
{
	return &slab->units[(size_t)(b - slab->bufs) / PAGES_PER_UNIT];
}

static struct buf *carve(struct slab *slab, struct unit *u)
{
	size_t number = (size_t)(u - slab->units);
	size_t at = number * UNIT + (size_t)u->carved * slab_classes[u->class_index].size;
	struct buf *b = &slab->bufs[at / BUF_MIN];

	u->carved++;
	b->data = slab->base + at;
	b->size = slab_classes[u->class_index].size;
	b->class_index = u->class_index;
	return b;
}

static bool unit_full(const struct unit *u)
{
	return u->used == UNIT / slab_classes[u->class_index].size;
}

struct buf *slab_take(struct slab *slab, uint32_t class_index)
{
	struct list *partial = &slab->partial[class_index];
	struct unit *u;
	struct buf *b;

	if (list_empty(partial)) {
		struct list *node = list_pop(&slab->free_units);

		if (!node)
			return NULL;
		list_entry(node, struct unit, node)->class_index = (uint8_t)class_index;
		list_add_head(partial, node);
	}
	/* The head is the fullest, so that the others get a chance to become free. */
	u = list_entry(partial->next, struct unit, node);
	b = u->free;
	if (b)
		u->free = b->next;
	else
		b = carve(slab, u);
	u->used++;
	if (unit_full(u))
		list_del(&u->node);
	return b;
}

void slab_kick(struct slab_cache *cache)
{
	if (cache->kicked)
		return;
	cache->kicked = true;
	reactor_post(cache->reactor, &cache->kick);
}

void slab_leave_queue(struct slab *slab, struct slab_cache *cache)
{
	struct list *pos, *tmp;

	list_del(&cache->waiting);
	slab->waiting_count--;
	if (slab->waiting_count)
		return;
	atomic_store_explicit(&slab->short_of_memory, false, memory_order_relaxed);
	list_for_each_safe(pos, tmp, &slab->draining) {
		struct unit *u = list_entry(pos, struct unit, node);

		u->draining = false;
		list_del(&u->node);
		list_add_tail(&slab->partial[u->class_index], &u->node);
	}
	slab->draining_count = 0;
}

void slab_serve_waiting(struct slab *slab)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &slab->waiting) {
		struct slab_cache *cache = list_entry(pos, struct slab_cache, waiting);

		cache->granted = slab_take(slab, cache->wanted_class);
		if (cache->granted) {
			slab_leave_queue(slab, cache);
			slab_kick(cache);
		}
	}
}

void slab_give_back(struct slab *slab, struct buf *b)
{
	struct unit *u = unit_of(slab, b);
	bool was_full = unit_full(u);

	assert(u->used > 0);
	b->next = u->free;
	u->free = b;
	u->used--;
	if (u->used == 0) {
		slab->draining_count -= u->draining;
		list_del(&u->node);
		list_add_head(&slab->free_units, &u->node);
		u->free = NULL;
		u->carved = 0;
		u->draining = false;
	} else if (was_full && !u->draining) {
		list_add_head(&slab->partial[u->class_index], &u->node);
	}
	if (!slab->waiting_count)
		return;
	slab_serve_waiting(slab);
	if (u->used && !unit_full(u) && !u->draining &&
	    slab->draining_count < slab->waiting_count) {
		u->draining = true;
		slab->draining_count++;
		list_del(&u->node);
		list_add_tail(&slab->draining, &u->node);
	}
}
