// SPDX-License-Identifier: BSD-2-Clause
/* Timers, deferred work and messages on a virtual reactor, whose clock the test moves. */
#include <stdlib.h>

#include "core/reactor.h"
#include "tests/lib/unit.h"

static struct reactor *create(void)
{
	struct reactor *r;

	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(NULL, &r), 0);
	CU_ASSERT_PTR_EQUAL(reactor_self(), r);
	return r;
}

struct alarm {
	struct timer timer;
	struct reactor *r;
	uint64_t fired_at, again;
	unsigned int fired;
	struct alarm *cancels;
};

static void ring(struct timer *timer)
{
	struct alarm *a = container_of(timer, struct alarm, timer);

	CU_ASSERT(!timer_armed(timer));
	CU_ASSERT_PTR_EQUAL(reactor_self(), a->r);
	a->fired++;
	a->fired_at = reactor_now(a->r);
	if (a->again)
		timer_arm(a->r, timer, a->again);
	if (a->cancels)
		timer_cancel(a->r, &a->cancels->timer);
}

static void fires_once_when_due(void)
{
	struct reactor *r = create();
	struct alarm a = { .timer.fn = ring, .r = r };
	uint64_t begin = reactor_now(r);

	timer_arm(r, &a.timer, 100);
	CU_ASSERT(timer_armed(&a.timer));
	reactor_advance(r, 99);
	CU_ASSERT_EQUAL(a.fired, 0);
	reactor_advance(r, 1);
	CU_ASSERT_EQUAL(a.fired, 1);
	CU_ASSERT_EQUAL(a.fired_at, begin + 100);
	reactor_advance(r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(a.fired, 1);
	CU_ASSERT_EQUAL(reactor_now(r), begin + 100 + NSEC_PER_SEC);
	reactor_destroy(r);
	CU_ASSERT_PTR_NULL(reactor_self());
}

static void arming_again_moves_it(void)
{
	struct reactor *r = create();
	struct alarm a = { .timer.fn = ring, .r = r };

	timer_arm(r, &a.timer, 100);
	timer_arm(r, &a.timer, 1000);
	reactor_advance(r, 500);
	CU_ASSERT_EQUAL(a.fired, 0);
	timer_arm(r, &a.timer, 10);
	reactor_advance(r, 10);
	CU_ASSERT_EQUAL(a.fired, 1);
	reactor_destroy(r);
}

static void cancelled_does_not_fire(void)
{
	struct reactor *r = create();
	struct alarm a = { .timer.fn = ring, .r = r }, b = a;

	timer_cancel(r, &a.timer);
	timer_arm(r, &a.timer, 10);
	timer_cancel(r, &a.timer);
	CU_ASSERT(!timer_armed(&a.timer));
	/* One that is due in the same turn can still be cancelled by the one before it. */
	a.cancels = &b;
	timer_arm(r, &a.timer, 20);
	timer_arm(r, &b.timer, 20);
	timer_arm(r, &a.timer, 19);
	reactor_advance(r, 100);
	CU_ASSERT_EQUAL(a.fired, 1);
	CU_ASSERT_EQUAL(b.fired, 0);
	reactor_destroy(r);
}

static void rearming_in_the_callback_is_periodic(void)
{
	struct reactor *r = create();
	struct alarm a = { .timer.fn = ring, .r = r, .again = 10 };

	timer_arm(r, &a.timer, 10);
	reactor_advance(r, 100);
	CU_ASSERT_EQUAL(a.fired, 10);
	/* The longest time does not wrap around. */
	a.again = UINT64_MAX;
	reactor_advance(r, 10);
	CU_ASSERT_EQUAL(a.fired, 11);
	reactor_advance(r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(a.fired, 11);
	CU_ASSERT(timer_armed(&a.timer));
	reactor_destroy(r);
}

static void zero_fires_in_the_next_turn(void)
{
	struct reactor *r = create();
	struct alarm a = { .timer.fn = ring, .r = r };

	timer_arm(r, &a.timer, 0);
	CU_ASSERT_EQUAL(a.fired, 0);
	reactor_advance(r, 1);
	CU_ASSERT_EQUAL(a.fired, 1);
	reactor_destroy(r);
}

/* Arms, moves and cancels at random and compares with what a plain array says. */

enum { ALARMS = 300, MOVES = 20000 };

static uint64_t last_fired;
static unsigned int out_of_order;

static void check_order(struct timer *timer)
{
	struct alarm *a = container_of(timer, struct alarm, timer);

	if (reactor_now(a->r) < last_fired || reactor_now(a->r) != a->again)
		out_of_order++;
	last_fired = reactor_now(a->r);
	a->fired++;
	a->again = 0;
}

static void many_fire_in_order(void)
{
	static struct alarm alarms[ALARMS];
	struct reactor *r = create();
	uint32_t seed = 1;
	unsigned int expected = 0, fired = 0;

	last_fired = out_of_order = 0;
	for (int i = 0; i < ALARMS; i++)
		alarms[i] = (struct alarm){ .timer.fn = check_order, .r = r };
	for (int i = 0; i < MOVES; i++) {
		struct alarm *a;
		uint64_t ns;

		seed = seed * 1664525 + 1013904223;
		a = &alarms[(seed >> 8) % ALARMS];
		ns = 1 + (seed >> 16) % 10000;
		if (seed >> 30 == 0) {
			expected -= timer_armed(&a->timer);
			timer_cancel(r, &a->timer);
		} else {
			expected += !timer_armed(&a->timer);
			timer_arm(r, &a->timer, ns);
			a->again = reactor_now(r) + ns; /* when it has to fire */
		}
		if (seed >> 28 == 15)
			reactor_advance(r, ns / 100);
	}
	reactor_advance(r, 20000);
	for (int i = 0; i < ALARMS; i++) {
		fired += alarms[i].fired;
		CU_ASSERT(!timer_armed(&alarms[i].timer));
	}
	CU_ASSERT_EQUAL(fired, expected);
	CU_ASSERT_EQUAL(out_of_order, 0);
	CU_ASSERT_EQUAL(r->stats.timers_fired, fired);
	reactor_destroy(r);
}

/* Deferred work and messages */

struct note {
	struct work work;
	struct reactor *r;
	unsigned int runs, again, *order, place;
};

static void write_down(struct work *work)
{
	struct note *n = container_of(work, struct note, work);

	n->runs++;
	if (n->order)
		n->place = (*n->order)++;
	if (n->again) {
		n->again--;
		reactor_defer(n->r, work);
	}
}

static void deferred_twice_runs_once(void)
{
	struct reactor *r = create();
	struct note n = { .work.fn = write_down, .r = r };

	reactor_defer(r, &n.work);
	reactor_defer(r, &n.work);
	CU_ASSERT_EQUAL(n.runs, 0);
	CU_ASSERT(reactor_turn(r));
	CU_ASSERT_EQUAL(n.runs, 1);
	CU_ASSERT(!reactor_turn(r));
	reactor_defer(r, &n.work);
	reactor_advance(r, 0);
	CU_ASSERT_EQUAL(n.runs, 2);
	reactor_destroy(r);
}

static void deferring_itself_waits_a_turn(void)
{
	struct reactor *r = create();
	struct note n = { .work.fn = write_down, .r = r, .again = 2 };

	reactor_defer(r, &n.work);
	CU_ASSERT(reactor_turn(r));
	CU_ASSERT_EQUAL(n.runs, 1);
	CU_ASSERT(reactor_turn(r));
	CU_ASSERT(reactor_turn(r));
	CU_ASSERT_EQUAL(n.runs, 3);
	CU_ASSERT(!reactor_turn(r));
	reactor_destroy(r);
}

static void messages_come_before_deferred_work(void)
{
	struct reactor *r = create();
	unsigned int order = 0;
	struct note deferred = { .work.fn = write_down, .r = r, .order = &order }, first = deferred,
		    second = deferred;

	reactor_defer(r, &deferred.work);
	reactor_post(r, &first.work);
	reactor_post(r, &second.work);
	CU_ASSERT(reactor_turn(r));
	CU_ASSERT_EQUAL(first.place, 0);
	CU_ASSERT_EQUAL(second.place, 1);
	CU_ASSERT_EQUAL(deferred.place, 2);
	CU_ASSERT_EQUAL(r->stats.messages, 2);
	reactor_destroy(r);
}

static void freed_in_its_own_function(struct work *work)
{
	free(container_of(work, struct note, work));
}

static void a_message_may_free_itself(void)
{
	struct reactor *r = create();

	for (int i = 0; i < 3; i++) {
		struct note *n = calloc(1, sizeof(*n));

		CU_ASSERT_PTR_NOT_NULL_FATAL(n);
		n->work.fn = freed_in_its_own_function;
		reactor_post(r, &n->work);
	}
	CU_ASSERT(reactor_turn(r));
	CU_ASSERT_EQUAL(r->stats.messages, 3);
	reactor_destroy(r);
}

static void each_virtual_reactor_is_self_in_its_turn(void)
{
	struct reactor *a = create(), *b = create();
	struct note arms = { .work.fn = write_down, .r = a, .again = 1 };

	/* write_down() defers on a, which asserts that a is "self". */
	reactor_post(a, &arms.work);
	CU_ASSERT(reactor_turn(a));
	CU_ASSERT_EQUAL(arms.runs, 2);
	CU_ASSERT_PTR_EQUAL(reactor_self(), b);
	reactor_destroy(b);
	reactor_destroy(a);
}

UNIT_MAIN(TEST(fires_once_when_due), TEST(arming_again_moves_it), TEST(cancelled_does_not_fire),
	  TEST(rearming_in_the_callback_is_periodic), TEST(zero_fires_in_the_next_turn),
	  TEST(many_fire_in_order), TEST(deferred_twice_runs_once),
	  TEST(deferring_itself_waits_a_turn), TEST(messages_come_before_deferred_work),
	  TEST(a_message_may_free_itself), TEST(each_virtual_reactor_is_self_in_its_turn));
