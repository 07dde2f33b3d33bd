// SPDX-License-Identifier: BSD-2-Clause
/* Timers of one reactor: a binary heap of pointers, each timer knows its place. */
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "core/reactor_impl.h"

/* Address space only: pages of the array are touched as the heap grows. */
enum { TIMERS_MAX = 1 << 20 };
static const size_t heap_bytes = TIMERS_MAX * sizeof(struct timer *);

int timers_create(struct timer_heap *heap)
{
	void *area = mmap(NULL, heap_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED)
		return -ENOMEM;
	heap->at = area;
	heap->count = 0;
	return 0;
}

void timers_destroy(struct timer_heap *heap)
{
	if (heap->at)
		munmap(heap->at, heap_bytes);
	heap->at = NULL;
}

static void place(struct timer_heap *heap, uint32_t slot, struct timer *t)
{
	heap->at[slot] = t;
	t->slot = slot;
}

static void sift_up(struct timer_heap *heap, uint32_t slot, struct timer *t)
{
	while (slot > 0) {
		uint32_t parent = (slot - 1) / 2;

		if (heap->at[parent]->deadline <= t->deadline)
			break;
		place(heap, slot, heap->at[parent]);
		slot = parent;
	}
	place(heap, slot, t);
}

static void sift_down(struct timer_heap *heap, uint32_t slot, struct timer *t)
{
	for (;;) {
		uint32_t child = 2 * slot + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count &&
		    heap->at[child + 1]->deadline < heap->at[child]->deadline)
			child++;
		if (heap->at[child]->deadline >= t->deadline)
			break;
		place(heap, slot, heap->at[child]);
		slot = child;
	}
	place(heap, slot, t);
}

/* Puts t where it belongs, starting from a free slot. */
static void settle(struct timer_heap *heap, uint32_t slot, struct timer *t)
{
	if (slot > 0 && heap->at[(slot - 1) / 2]->deadline > t->deadline)
		sift_up(heap, slot, t);
	else
		sift_down(heap, slot, t);
}

void timer_arm(struct reactor *r, struct timer *t, uint64_t ns)
{
	struct timer_heap *heap = &r->impl->timers;
	uint64_t now = r->now;
	bool was_armed = timer_armed(t);

	assert_owner(r);
	/* At least 1: a timer that re-arms itself with 0 must not fire twice in one turn. */
	t->deadline = ns < UINT64_MAX - 1 - now ? now + (ns ? ns : 1) : UINT64_MAX - 1;
	if (was_armed) {
		settle(heap, t->slot, t);
		return;
	}
	assert(heap->count < TIMERS_MAX);
	heap->count++;
	sift_up(heap, heap->count - 1, t);
}

void timer_cancel(struct reactor *r, struct timer *t)
{
	struct timer_heap *heap = &r->impl->timers;

	assert_owner(r);
	if (!timer_armed(t))
		return;
	t->deadline = 0;
	heap->count--;
	if (t->slot != heap->count)
		settle(heap, t->slot, heap->at[heap->count]);
}

uint64_t timers_next(const struct timer_heap *heap)
{
	return heap->count ? heap->at[0]->deadline : UINT64_MAX;
}

unsigned int timers_run(struct reactor_impl *impl)
{
	unsigned int fired = 0;

	while (timers_next(&impl->timers) <= impl->pub.now) {
		struct timer *t = impl->timers.at[0];

		timer_cancel(&impl->pub, t);
		t->fn(t);
		fired++;
	}
	if (fired)
		stat_add(&impl->pub.stats.timers_fired, fired);
	return fired;
}
