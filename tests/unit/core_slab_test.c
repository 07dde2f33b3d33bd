// SPDX-License-Identifier: BSD-2-Clause
/* The slab: classes, budget, waiting, fairness between classes and between reactors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/reactor_impl.h"
#include "core/slab.h"
#include "tests/lib/unit.h"

enum { K = 1024, M = 1024 * 1024 };

struct world {
	struct slab *slab;
	struct reactor *r;
};

static struct world begin(size_t budget)
{
	struct world w;

	CU_ASSERT_EQUAL_FATAL(slab_create(budget, &w.slab), 0);
	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(w.slab, &w.r), 0);
	return w;
}

static void end(struct world w)
{
	CU_ASSERT_EQUAL(slab_in_use(w.slab), 0);
	reactor_destroy(w.r);
	slab_destroy(w.slab);
}

/* Takes buffers of len until there are none; returns how many, linked through next. */
static unsigned int take_all(struct reactor *r, uint32_t len, struct buf **list)
{
	unsigned int n = 0;
	struct buf *b;

	while ((b = buf_get(r, len))) {
		b->next = *list;
		*list = b;
		n++;
	}
	return n;
}

static void put_all(struct reactor *r, struct buf **list)
{
	while (*list) {
		struct buf *b = *list;

		*list = b->next;
		buf_put(r, b);
	}
}

static void budget_is_rounded_up(void)
{
	struct slab *slab;

	CU_ASSERT_EQUAL_FATAL(slab_create(1, &slab), 0);
	CU_ASSERT_EQUAL(slab_size(slab), 4 * M);
	slab_destroy(slab);
	CU_ASSERT_EQUAL_FATAL(slab_create(5 * M + 1, &slab), 0);
	CU_ASSERT_EQUAL(slab_size(slab), 6 * M);
	CU_ASSERT_EQUAL((uintptr_t)slab_base(slab) % 4096, 0);
	slab_destroy(slab);
	slab_destroy(NULL);
	CU_ASSERT_EQUAL(slab_create(SIZE_MAX, &slab), -ENOMEM);
	CU_ASSERT_PTR_NULL(slab);
	CU_ASSERT_EQUAL(slab_create((size_t)1 << 60, &slab), -ENOMEM);
	CU_ASSERT_PTR_NULL(slab);
}

static void smallest_class_that_fits(void)
{
	static const uint32_t cases[][2] = {
		{ 1, 4 * K },		{ 4 * K, 4 * K },	{ 4 * K + 1, 8 * K },
		{ 8 * K, 8 * K },	{ 8 * K + 1, 16 * K },	{ 16 * K, 16 * K },
		{ 16 * K + 1, 64 * K }, { 64 * K, 64 * K },	{ 64 * K + 1, 256 * K },
		{ 256 * K, 256 * K },	{ 256 * K + 1, 1 * M }, { 1 * M, 1 * M },
	};
	struct world w = begin(8 * M);

	for (size_t i = 0; i < array_size(cases); i++) {
		struct buf *b = buf_get(w.r, cases[i][0]);

		CU_ASSERT_PTR_NOT_NULL_FATAL(b);
		CU_ASSERT_EQUAL(b->size, cases[i][1]);
		CU_ASSERT_EQUAL((uintptr_t)b->data % 4096, 0);
		CU_ASSERT(b->data >= (uint8_t *)slab_base(w.slab));
		CU_ASSERT(b->data + b->size <= (uint8_t *)slab_base(w.slab) + slab_size(w.slab));
		CU_ASSERT_EQUAL(slab_in_use(w.slab), b->size);
		memset(b->data, 0xa5, b->size);
		buf_put(w.r, b);
	}
	buf_put(w.r, NULL);
	end(w);
}

/* Every buffer is written with its own mark; then none may have another's. */
static void buffers_do_not_overlap(void)
{
	static const uint32_t sizes[] = { 4 * K, 8 * K, 16 * K, 64 * K, 256 * K, 1 * M };
	struct world w = begin(16 * M);
	struct buf *list = NULL, *b;
	uint32_t mark = 0;
	bool ok = true;

	while ((b = buf_get(w.r, sizes[mark % array_size(sizes)]))) {
		for (uint32_t at = 0; at < b->size; at += 4096)
			memcpy(b->data + at, &mark, sizeof(mark));
		b->next = list;
		list = b;
		mark++;
	}
	CU_ASSERT(mark > 20);
	for (b = list; b; b = b->next) {
		mark--;
		for (uint32_t at = 0; at < b->size; at += 4096)
			ok &= !memcmp(b->data + at, &mark, sizeof(mark));
	}
	CU_ASSERT(ok);
	put_all(w.r, &list);
	end(w);
}

static void the_whole_budget_serves_any_class(void)
{
	static const uint32_t sizes[] = { 4 * K, 1 * M, 16 * K, 256 * K, 8 * K, 64 * K };
	struct world w = begin(4 * M);

	for (size_t i = 0; i < array_size(sizes); i++) {
		struct buf *list = NULL;

		CU_ASSERT_EQUAL(take_all(w.r, sizes[i], &list), 4 * M / sizes[i]);
		CU_ASSERT_EQUAL(slab_in_use(w.slab), 4 * M);
		CU_ASSERT_PTR_NULL(buf_get(w.r, 1));
		put_all(w.r, &list);
	}
	end(w);
}

static void other_reactors_may_free(void)
{
	struct world w = begin(4 * M);
	struct reactor *other;
	struct buf *list = NULL;

	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(w.slab, &other), 0);
	CU_ASSERT_EQUAL(take_all(other, 4 * K, &list), 1024);
	reactor_set_self(w.r);
	put_all(w.r, &list);
	CU_ASSERT_EQUAL(slab_in_use(w.slab), 0);
	reactor_destroy(other);
	end(w);
}

/* Waiting */

struct waiter {
	struct buf_waiter w;
	struct buf *got;
	unsigned int calls, *order, place;
	struct reactor *r;
	struct waiter *then; /* waits when this one is served */
};

static void served(struct buf_waiter *bw, struct buf *b)
{
	struct waiter *w = container_of(bw, struct waiter, w);

	CU_ASSERT(b->size >= bw->len);
	w->got = b;
	w->calls++;
	if (w->order)
		w->place = (*w->order)++;
	if (w->then)
		buf_wait(w->r, &w->then->w);
}

static struct waiter waiter(struct reactor *r, uint32_t len)
{
	return (struct waiter){ .w = { .len = len, .ready = served }, .r = r };
}

static void waiting_is_never_answered_at_once(void)
{
	struct world w = begin(4 * M);
	struct waiter a = waiter(w.r, 4 * K);

	buf_wait(w.r, &a.w);
	CU_ASSERT_EQUAL(a.calls, 0);
	reactor_advance(w.r, 0);
	CU_ASSERT_EQUAL_FATAL(a.calls, 1);
	buf_put(w.r, a.got);
	end(w);
}

static void waiters_are_served_in_order(void)
{
	struct world w = begin(4 * M);
	unsigned int order = 0;
	struct waiter a = waiter(w.r, 1 * M), b = waiter(w.r, 4 * K), c = waiter(w.r, 64 * K);
	struct buf *list = NULL;

	a.order = b.order = c.order = &order;
	CU_ASSERT_EQUAL(take_all(w.r, 256 * K, &list), 16);
	buf_wait(w.r, &a.w);
	buf_wait(w.r, &b.w);
	buf_wait(w.r, &c.w);
	reactor_advance(w.r, 0);
	CU_ASSERT_EQUAL(order, 0);
	/* One unit's worth comes back: enough for the first, and nobody overtakes it. */
	for (int i = 0; i < 3; i++) {
		struct buf *back = list;

		list = back->next;
		buf_put(w.r, back);
		reactor_advance(w.r, 0);
		CU_ASSERT_PTR_NULL(buf_get(w.r, 256 * K));
	}
	CU_ASSERT_EQUAL(order, 0);
	put_all(w.r, &list);
	reactor_advance(w.r, 0);
	CU_ASSERT_EQUAL_FATAL(order, 3);
	CU_ASSERT_EQUAL(a.place, 0);
	CU_ASSERT_EQUAL(b.place, 1);
	CU_ASSERT_EQUAL(c.place, 2);
	buf_put(w.r, a.got);
	buf_put(w.r, b.got);
	buf_put(w.r, c.got);
	end(w);
}

static void a_waiter_may_wait_again_when_served(void)
{
	struct world w = begin(4 * M);
	struct waiter a = waiter(w.r, 4 * K), b = waiter(w.r, 16 * K);

	a.then = &b;
	buf_wait(w.r, &a.w);
	reactor_advance(w.r, 0);
	CU_ASSERT_EQUAL_FATAL(a.calls, 1);
	CU_ASSERT_EQUAL_FATAL(b.calls, 1);
	buf_put(w.r, a.got);
	buf_put(w.r, b.got);
	end(w);
}

static void cancelled_waiter_gets_nothing(void)
{
	struct world w = begin(4 * M);
	struct waiter a = waiter(w.r, 1 * M), b = waiter(w.r, 4 * K);
	struct buf *list = NULL;

	list_init(&a.w.node);
	buf_wait_cancel(w.r, &a.w);
	/* Alone, with the buffer already on its way. */
	buf_wait(w.r, &a.w);
	buf_wait_cancel(w.r, &a.w);
	reactor_advance(w.r, 0);
	CU_ASSERT_EQUAL(a.calls, 0);
	CU_ASSERT_EQUAL(slab_in_use(w.slab), 0);
	/* In front of one that wants another class, before and after the grant. */
	for (int granted = 0; granted < 2; granted++) {
		take_all(w.r, 1 * M, &list);
		buf_wait(w.r, &a.w);
		buf_wait(w.r, &b.w);
		if (granted)
			put_all(w.r, &list);
		buf_wait_cancel(w.r, &a.w);
		put_all(w.r, &list);
		reactor_advance(w.r, 0);
		CU_ASSERT_EQUAL(a.calls, 0);
		CU_ASSERT_EQUAL_FATAL(b.calls, 1);
		buf_put(w.r, b.got);
		b.calls = 0;
	}
	/* Nothing stays reserved for it: the budget is whole again. */
	CU_ASSERT_EQUAL(take_all(w.r, 1 * M, &list), 4);
	put_all(w.r, &list);
	end(w);
}

/* Two reactors in one thread: each call below is made as one of them. */
static struct buf *get_as(struct reactor *r, uint32_t len)
{
	reactor_set_self(r);
	return buf_get(r, len);
}

static void put_as(struct reactor *r, struct buf *b)
{
	reactor_set_self(r);
	buf_put(r, b);
}

static void turn_both(struct reactor *a, struct reactor *b)
{
	while (reactor_turn(a) || reactor_turn(b))
		;
}

/* A big buffer is wanted while small ones come and go on another reactor, and every unit has
 * some of them in use all the time. */
static void small_buffers_do_not_starve_big_ones(void)
{
	enum { HELD = 900 };
	struct world w = begin(4 * M);
	struct waiter big = waiter(w.r, 1 * M);
	struct buf *held[HELD];
	struct reactor *busy;
	unsigned int taken = 0;
	uint32_t seed = 7;

	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(w.slab, &busy), 0);
	for (int i = 0; i < HELD; i++)
		CU_ASSERT_PTR_NOT_NULL_FATAL(held[i] = get_as(busy, 4 * K));
	reactor_set_self(w.r);
	buf_wait(w.r, &big.w);
	for (int i = 0; i < 100000 && !big.calls; i++) {
		unsigned int at = (seed >> 8) % HELD;

		seed = seed * 1664525 + 1013904223;
		put_as(busy, held[at]);
		turn_both(w.r, busy);
		held[at] = get_as(busy, 4 * K);
		taken += held[at] != NULL;
	}
	CU_ASSERT_EQUAL(big.calls, 1);
	/* The small ones went on meanwhile. */
	CU_ASSERT(taken > 500);
	for (int i = 0; i < HELD; i++)
		put_as(busy, held[i]);
	if (big.calls)
		put_as(w.r, big.got);
	reactor_destroy(busy);
	end(w);
}

/* All that is free lies in the cache of a reactor that does nothing. */
static void a_quiet_reactor_does_not_hoard(void)
{
	struct world w = begin(4 * M);
	struct waiter first = waiter(w.r, 1 * M);
	struct reactor *quiet;
	struct buf *list = NULL;

	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(w.slab, &quiet), 0);
	for (int i = 0; i < 4; i++) {
		struct buf *b = get_as(quiet, 4 * K << (2 * i));

		CU_ASSERT_PTR_NOT_NULL_FATAL(b);
		put_as(quiet, b);
	}
	CU_ASSERT_EQUAL(slab_in_use(w.slab), 0);
	CU_ASSERT_PTR_NULL(get_as(w.r, 1 * M));
	buf_wait(w.r, &first.w);
	turn_both(w.r, quiet);
	CU_ASSERT_EQUAL_FATAL(first.calls, 1);
	reactor_set_self(w.r);
	CU_ASSERT_EQUAL(take_all(w.r, 1 * M, &list), 3);
	put_all(w.r, &list);
	buf_put(w.r, first.got);
	reactor_destroy(quiet);
	end(w);
}

/* Reactors that wait take turns. */
static void waiting_reactors_take_turns(void)
{
	struct world w = begin(4 * M);
	unsigned int order = 0;
	struct waiter a = waiter(w.r, 1 * M), b, c = a;
	struct reactor *other;
	struct buf *list = NULL;

	CU_ASSERT_EQUAL(take_all(w.r, 1 * M, &list), 4);
	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(w.slab, &other), 0);
	b = waiter(other, 1 * M);
	a.order = b.order = c.order = &order;
	reactor_set_self(w.r);
	buf_wait(w.r, &a.w);
	buf_wait(w.r, &c.w);
	reactor_set_self(other);
	buf_wait(other, &b.w);
	for (unsigned int i = 0; i < 3; i++) {
		struct buf *back = list;

		list = back->next;
		put_as(w.r, back);
		turn_both(w.r, other);
		CU_ASSERT_EQUAL(order, i + 1);
	}
	CU_ASSERT_EQUAL(a.place, 0);
	CU_ASSERT_EQUAL(b.place, 1);
	CU_ASSERT_EQUAL(c.place, 2);
	put_as(other, b.got);
	put_as(w.r, a.got);
	put_as(w.r, c.got);
	put_all(w.r, &list);
	reactor_destroy(other);
	end(w);
}

/* Three real reactors take, hold, wait and free at random from a slab that is too small. */

enum { REACTORS = 3, HANDS = 24, STEPS = 20000 };

struct hand {
	struct buf_waiter w;
	struct buf *b;
	struct worker *worker;
	bool waiting;
};

struct worker {
	struct work work;
	struct reactor *r;
	struct hand hands[HANDS];
	uint32_t seed;
	unsigned int steps, waits, spoilt;
	_Atomic unsigned int *finished;
};

static uint32_t next_random(struct worker *w)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return w->seed >> 8;
}

static void mark(struct hand *h, struct buf *b)
{
	uintptr_t id = (uintptr_t)h;

	h->b = b;
	memcpy(b->data, &id, sizeof(id));
	memcpy(b->data + b->size - sizeof(id), &id, sizeof(id));
}

static void release(struct hand *h)
{
	uintptr_t id = (uintptr_t)h;

	h->worker->spoilt += memcmp(h->b->data, &id, sizeof(id)) ||
			     memcmp(h->b->data + h->b->size - sizeof(id), &id, sizeof(id));
	buf_put(h->worker->r, h->b);
	h->b = NULL;
}

static void hand_served(struct buf_waiter *bw, struct buf *b)
{
	struct hand *h = container_of(bw, struct hand, w);

	h->waiting = false;
	mark(h, b);
}

static void step_hand(struct hand *h)
{
	struct worker *w = h->worker;
	uint32_t len = 1u << (9 + next_random(w) % 12);
	struct buf *b;

	if (h->waiting) {
		if (next_random(w) % 8 == 0) {
			buf_wait_cancel(w->r, &h->w);
			h->waiting = false;
		}
		return;
	}
	if (h->b) {
		release(h);
		return;
	}
	b = buf_get(w->r, len);
	if (b) {
		mark(h, b);
		return;
	}
	h->w.len = len;
	h->waiting = true;
	w->waits++;
	buf_wait(w->r, &h->w);
}

static void finish(struct worker *w)
{
	for (int i = 0; i < HANDS; i++) {
		struct hand *h = &w->hands[i];

		if (h->waiting)
			buf_wait_cancel(w->r, &h->w);
		else if (h->b)
			release(h);
		h->waiting = false;
	}
	atomic_fetch_add(w->finished, 1);
}

/* Keeps turning after its own steps: others may need what its cache holds. */
static void work_step(struct work *work)
{
	struct worker *w = container_of(work, struct worker, work);

	if (w->steps < STEPS) {
		for (int i = 0; i < 4; i++)
			step_hand(&w->hands[next_random(w) % HANDS]);
		if (++w->steps == STEPS)
			finish(w);
	} else if (atomic_load(w->finished) == REACTORS) {
		reactor_stop(w->r);
		return;
	}
	reactor_post(w->r, &w->work);
}

static void several_threads_share_a_small_slab(void)
{
	static struct worker workers[REACTORS];
	_Atomic unsigned int finished = 0;
	struct slab *slab;

	CU_ASSERT_EQUAL_FATAL(slab_create(8 * M, &slab), 0);
	for (unsigned int i = 0; i < REACTORS; i++) {
		struct reactor_config cfg = { .index = i, .cpu = -1, .slab = slab };
		struct worker *w = &workers[i];

		*w = (struct worker){ .work.fn = work_step, .seed = i, .finished = &finished };
		for (int k = 0; k < HANDS; k++)
			w->hands[k] = (struct hand){ .w.ready = hand_served, .worker = w };
		CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &w->r), 0);
	}
	for (int i = 0; i < REACTORS; i++) {
		reactor_post(workers[i].r, &workers[i].work);
		CU_ASSERT_EQUAL_FATAL(reactor_start(workers[i].r), 0);
	}
	for (int i = 0; i < REACTORS; i++)
		reactor_join(workers[i].r);
	CU_ASSERT_EQUAL(slab_in_use(slab), 0);
	for (int i = 0; i < REACTORS; i++) {
		CU_ASSERT_EQUAL(workers[i].spoilt, 0);
		CU_ASSERT(workers[i].waits > 0);
		reactor_destroy(workers[i].r);
	}
	slab_destroy(slab); /* asserts that every unit is whole again */
}

UNIT_MAIN(TEST(budget_is_rounded_up), TEST(smallest_class_that_fits), TEST(buffers_do_not_overlap),
	  TEST(the_whole_budget_serves_any_class), TEST(other_reactors_may_free),
	  TEST(waiting_is_never_answered_at_once), TEST(waiters_are_served_in_order),
	  TEST(a_waiter_may_wait_again_when_served), TEST(cancelled_waiter_gets_nothing),
	  TEST(small_buffers_do_not_starve_big_ones), TEST(a_quiet_reactor_does_not_hoard),
	  TEST(waiting_reactors_take_turns), TEST(several_threads_share_a_small_slab));
