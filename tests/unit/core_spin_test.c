// SPDX-License-Identifier: BSD-2-Clause
/* How long a reactor looks on before it sleeps. */
#include "core/reactor_impl.h"
#include "tests/lib/unit.h"

enum { LONGEST = 50000 };

/* What `gaps` gaps of `gap` ns between work and work cost: the time spent looking on. */
static uint64_t cost(struct spin *s, uint64_t gap, unsigned int gaps)
{
	uint64_t spent = 0;

	for (unsigned int i = 0; i < gaps; i++) {
		if (spin_goes_on(s, gap)) {
			spent += gap;
			continue;
		}
		spent += s->now;
		spin_slept(s, gap);
	}
	return spent;
}

static struct spin begin(void)
{
	struct spin s;

	spin_init(&s, LONGEST);
	return s;
}

static void a_steady_load_is_never_slept_through(void)
{
	struct spin s = begin();

	CU_ASSERT_EQUAL(cost(&s, LONGEST - 1, 1000), 1000ull * (LONGEST - 1));
	CU_ASSERT_EQUAL(s.now, LONGEST);
}

/* One gap that was worth it brings the spin back, from none at all. */
static void it_comes_back_at_once(void)
{
	struct spin s = begin();

	cost(&s, NSEC_PER_SEC, 20);
	CU_ASSERT_EQUAL(s.now, 0);
	CU_ASSERT(!spin_goes_on(&s, 0));
	spin_slept(&s, LONGEST - 1);
	CU_ASSERT_EQUAL(s.now, LONGEST);
}

static void an_idle_reactor_stops_spinning(void)
{
	struct spin s = begin();

	CU_ASSERT(cost(&s, NSEC_PER_MSEC, 1000) < 2 * LONGEST);
	CU_ASSERT_EQUAL(s.now, 0);
}

/* The spin does not reach to the next work, though the sleep behind it is short. */
static void gaps_a_little_too_long_cost_nothing(void)
{
	struct spin s = begin();

	CU_ASSERT(cost(&s, LONGEST + 1, 1000) < 2 * LONGEST);
	CU_ASSERT_EQUAL(s.now, 0);
}

/* A hitch of a busy reactor: half of the spin still bridges its gaps. */
static void one_hitch_does_not_end_it(void)
{
	struct spin s = begin();

	spin_slept(&s, 10 * NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(s.now, LONGEST / 2);
	CU_ASSERT(spin_goes_on(&s, LONGEST / 2 - 1));
	spin_slept(&s, LONGEST - 1);
	CU_ASSERT_EQUAL(s.now, LONGEST);
}

static void without_a_longest_spin_there_is_none(void)
{
	struct spin s;

	spin_init(&s, 0);
	CU_ASSERT(!spin_goes_on(&s, 0));
	spin_slept(&s, 0);
	CU_ASSERT(!spin_goes_on(&s, 0));
}

/* Whoever spins for a longest one that is over must not go on with it. */
static void another_longest_counts_at_once(void)
{
	struct spin s;

	spin_init(&s, 50000);
	CU_ASSERT(spin_goes_on(&s, 20000));
	spin_set(&s, 10000);
	CU_ASSERT(!spin_goes_on(&s, 20000));
	CU_ASSERT(spin_goes_on(&s, 9999));
	spin_set(&s, 0);
	CU_ASSERT(!spin_goes_on(&s, 0));
	for (int i = 0; i < 20; i++)
		spin_slept(&s, 100000);
	spin_set(&s, 50000);
	CU_ASSERT(!spin_goes_on(&s, 0));
	spin_slept(&s, 40000);
	CU_ASSERT(spin_goes_on(&s, 49999));
}

/* The real loop: work now and then, and each time an operation that is over as soon as it is
 * submitted, as most sends are. */

enum { TICKS = 20, TICK_MS = 2, SPIN_US = 64, SETTLED = 10 /* ticks: 64 us are halved to none */ };

struct ticker {
	struct reactor *r;
	struct work work;
	struct timer timer;
	struct io_op op;
	unsigned int ticks, done;
};

static void op_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	(void)res;
	(void)cqe_flags;
	container_of(op, struct ticker, op)->done++;
}

static void tick(struct timer *timer)
{
	struct ticker *t = container_of(timer, struct ticker, timer);

	if (++t->ticks > TICKS) {
		reactor_stop(t->r);
		return;
	}
	if (t->ticks > SETTLED)
		CU_ASSERT_EQUAL(t->r->impl->spin.now, 0);
	io_uring_prep_nop(reactor_sqe(t->r, &t->op));
	timer_arm(t->r, &t->timer, TICK_MS * NSEC_PER_MSEC);
}

static void start(struct work *work)
{
	tick(&container_of(work, struct ticker, work)->timer);
}

static void work_now_and_then_is_not_spun_for(void)
{
	struct reactor_config cfg = { .cpu = -1, .busy_poll_ns = SPIN_US * NSEC_PER_USEC };
	struct ticker t = { .work.fn = start, .timer.fn = tick, .op.done = op_done };

	CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &t.r), 0);
	reactor_post(t.r, &t.work);
	CU_ASSERT_EQUAL(reactor_run(t.r), 0);
	CU_ASSERT_EQUAL(t.done, TICKS);
	reactor_destroy(t.r);
}

UNIT_MAIN(TEST(a_steady_load_is_never_slept_through), TEST(it_comes_back_at_once),
	  TEST(an_idle_reactor_stops_spinning), TEST(gaps_a_little_too_long_cost_nothing),
	  TEST(one_hitch_does_not_end_it), TEST(without_a_longest_spin_there_is_none),
	  TEST(another_longest_counts_at_once), TEST(work_now_and_then_is_not_spun_for));
