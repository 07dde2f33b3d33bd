// SPDX-License-Identifier: BSD-2-Clause
/* Pollers: looked at in every turn, armed before a sleep, removed from anywhere. */
#include <unistd.h>

#include "core/reactor.h"
#include "tests/lib/unit.h"

/* A poller that counts, and does what a test asks of it. */
struct source {
	struct poller poller;
	struct reactor *r;
	struct source *removes, *adds; /* in poll(), once */
	struct io_op op; /* the wake-up: a byte in the pipe */
	struct timer timer;
	struct work work;
	int fds[2];
	char byte;
	bool waiting; /* for the byte */
	bool due; /* set by somebody else: there is work */
	unsigned int work_left; /* polls that find some */
	unsigned int polls, arms, sleeps_before;
};

static bool poll_source(struct poller *p)
{
	struct source *s = container_of(p, struct source, poller);

	CU_ASSERT_PTR_EQUAL(reactor_self(), s->r);
	s->polls++;
	if (s->removes)
		reactor_remove_poller(s->r, &s->removes->poller);
	s->removes = NULL;
	if (s->adds)
		reactor_add_poller(s->r, &s->adds->poller);
	s->adds = NULL;
	if (!s->work_left)
		return false;
	s->work_left--;
	return true;
}

static struct source source(struct reactor *r)
{
	return (struct source){ .poller.poll = poll_source, .r = r };
}

static struct reactor *create_virtual(void)
{
	struct reactor *r;

	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(NULL, &r), 0);
	return r;
}

static struct reactor *create_real(uint64_t busy_poll_ns)
{
	struct reactor_config cfg = { .cpu = -1, .busy_poll_ns = busy_poll_ns };
	struct reactor *r;

	CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &r), 0);
	return r;
}

static void every_turn_polls(void)
{
	struct reactor *r = create_virtual();
	struct source a = source(r), b = source(r);

	reactor_add_poller(r, &a.poller);
	reactor_add_poller(r, &b.poller);
	for (unsigned int i = 1; i <= 5; i++) {
		CU_ASSERT(!reactor_turn(r));
		CU_ASSERT_EQUAL(a.polls, i);
		CU_ASSERT_EQUAL(b.polls, i);
	}
	/* The work of either is work of the turn, and keeps the other from nothing. */
	a.work_left = 1;
	CU_ASSERT(reactor_turn(r));
	b.work_left = 1;
	CU_ASSERT(reactor_turn(r));
	CU_ASSERT(!reactor_turn(r));
	CU_ASSERT_EQUAL(a.polls, 8);
	CU_ASSERT_EQUAL(b.polls, 8);
	reactor_remove_poller(r, &a.poller);
	reactor_turn(r);
	CU_ASSERT_EQUAL(a.polls, 8);
	CU_ASSERT_EQUAL(b.polls, 9);
	reactor_destroy(r);
}

/* What a poll defers is done in the same turn. */

static void finish(struct work *work)
{
	container_of(work, struct source, work)->due = true;
}

static bool poll_and_defer(struct poller *p)
{
	struct source *s = container_of(p, struct source, poller);

	reactor_defer(s->r, &s->work);
	return true;
}

static void polls_come_before_deferred_work(void)
{
	struct reactor *r = create_virtual();
	struct source s = { .poller.poll = poll_and_defer, .r = r, .work.fn = finish };

	reactor_add_poller(r, &s.poller);
	CU_ASSERT(reactor_turn(r));
	CU_ASSERT(s.due);
	reactor_destroy(r);
}

/* Every one of three removes every one of them, in whatever order they are called. */
static void removal_from_inside_a_poll(void)
{
	for (int who = 0; who < 3; who++) {
		for (int whom = 0; whom < 3; whom++) {
			struct reactor *r = create_virtual();
			struct source s[3] = { source(r), source(r), source(r) };
			unsigned int before;

			for (int i = 0; i < 3; i++)
				reactor_add_poller(r, &s[i].poller);
			s[who].removes = &s[whom];
			reactor_turn(r);
			before = s[whom].polls;
			CU_ASSERT(before <= 1);
			/* Its memory may be gone by now. */
			s[whom].poller.node = (struct list){ 0 };
			reactor_turn(r);
			CU_ASSERT_EQUAL(s[whom].polls, before);
			for (int i = 0; i < 3; i++) {
				if (i != whom)
					CU_ASSERT_EQUAL(s[i].polls, 2);
			}
			reactor_destroy(r);
		}
	}
}

static void added_in_a_poll_is_polled_from_the_next_turn_on(void)
{
	struct reactor *r = create_virtual();
	struct source a = source(r), b = source(r), one = source(r), other = source(r);

	/* With others on both sides. */
	reactor_add_poller(r, &one.poller);
	reactor_add_poller(r, &a.poller);
	reactor_add_poller(r, &other.poller);
	a.adds = &b;
	reactor_turn(r);
	CU_ASSERT_EQUAL(b.polls, 0);
	reactor_turn(r);
	CU_ASSERT_EQUAL(a.polls, 2);
	CU_ASSERT_EQUAL(b.polls, 1);
	/* Out and in again, as the only one. */
	reactor_remove_poller(r, &b.poller);
	reactor_remove_poller(r, &one.poller);
	reactor_remove_poller(r, &other.poller);
	a.removes = a.adds = &a;
	reactor_turn(r);
	CU_ASSERT_EQUAL(a.polls, 3);
	reactor_turn(r);
	CU_ASSERT_EQUAL(a.polls, 4);
	reactor_destroy(r);
}

/* A real reactor: poll() finds a byte that came through the ring, then stops the loop. */

static void byte_came(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct source *s = container_of(op, struct source, op);

	(void)cqe_flags;
	CU_ASSERT_EQUAL(res, 1);
	s->waiting = false;
	s->due = true;
}

static bool poll_for_byte(struct poller *p)
{
	struct source *s = container_of(p, struct source, poller);

	s->polls++;
	if (!s->due)
		return false;
	s->due = false;
	reactor_remove_poller(s->r, p);
	reactor_stop(s->r);
	return true;
}

static bool arm_byte(struct poller *p)
{
	struct source *s = container_of(p, struct source, poller);

	s->arms++;
	if (!s->waiting)
		io_uring_prep_read(reactor_sqe(s->r, &s->op), s->fds[0], &s->byte, 1, 0);
	s->waiting = true;
	return false;
}

/* Only after the reactor slept for a while does the byte come. */
static void send_byte(struct timer *timer)
{
	struct source *s = container_of(timer, struct source, timer);

	CU_ASSERT(s->r->stats.sleeps >= 1);
	CU_ASSERT_EQUAL(write(s->fds[1], "x", 1), 1);
}

static void begin_waiting(struct work *work)
{
	struct source *s = container_of(work, struct source, work);

	reactor_add_poller(s->r, &s->poller);
	timer_arm(s->r, &s->timer, 10 * NSEC_PER_MSEC);
}

static void run_until_the_byte(struct source *s, uint64_t busy_poll_ns)
{
	struct reactor *r = create_real(busy_poll_ns);

	s->r = r;
	s->poller = (struct poller){ .poll = poll_for_byte, .arm = arm_byte };
	s->op.done = byte_came;
	s->timer.fn = send_byte;
	s->work.fn = begin_waiting;
	CU_ASSERT_EQUAL_FATAL(pipe(s->fds), 0);
	reactor_post(r, &s->work);
	CU_ASSERT_EQUAL(reactor_run(r), 0);
	CU_ASSERT_EQUAL(s->byte, 'x');
	CU_ASSERT(s->arms >= 1);
	CU_ASSERT(s->polls >= 1);
	/* It slept: waiting did not take a turn for every look. */
	CU_ASSERT(r->stats.sleeps >= 1);
	if (!busy_poll_ns)
		CU_ASSERT(r->stats.turns < 20);
	reactor_destroy(r);
	close(s->fds[0]);
	close(s->fds[1]);
}

static void armed_poller_wakes_through_the_ring(void)
{
	struct source spinning = { 0 }, s = { 0 };

	run_until_the_byte(&s, 0);
	run_until_the_byte(&spinning, 50 * NSEC_PER_USEC);
}

/* As long as arm() says that there is work nothing sleeps: no timer, no operation would end it. */

static bool arm_awake(struct poller *p)
{
	struct source *s = container_of(p, struct source, poller);

	s->arms++;
	CU_ASSERT_EQUAL(s->r->stats.sleeps, s->sleeps_before);
	if (s->arms == 100)
		reactor_stop(s->r);
	return true;
}

static void begin_awake(struct work *work)
{
	struct source *s = container_of(work, struct source, work);

	s->sleeps_before = (unsigned int)s->r->stats.sleeps;
	reactor_add_poller(s->r, &s->poller);
}

static void work_found_while_arming_prevents_sleep(void)
{
	struct reactor *r = create_real(0);
	struct source s = { .r = r,
			    .poller = { .poll = poll_source, .arm = arm_awake },
			    .work.fn = begin_awake };

	reactor_post(r, &s.work);
	CU_ASSERT_EQUAL(reactor_run(r), 0);
	CU_ASSERT_EQUAL(s.arms, 100);
	/* Each time the next turn looked for that work. */
	CU_ASSERT(s.polls >= 99);
	reactor_destroy(r);
}

/* What arm() defers is not slept over, and work that polls find is not armed for. */

static void stop_soon(struct work *work)
{
	reactor_stop(container_of(work, struct source, work)->r);
}

static bool arm_and_defer(struct poller *p)
{
	struct source *s = container_of(p, struct source, poller);

	s->arms++;
	s->work.fn = stop_soon;
	reactor_defer(s->r, &s->work);
	return false;
}

static void deferred_while_arming_is_done_before_sleep(void)
{
	struct reactor *r = create_real(NSEC_PER_MSEC);
	struct source s = { .r = r,
			    .poller = { .poll = poll_source, .arm = arm_and_defer },
			    .work.fn = begin_awake,
			    .work_left = 50 };

	reactor_post(r, &s.work);
	CU_ASSERT_EQUAL(reactor_run(r), 0);
	CU_ASSERT_EQUAL(s.work_left, 0);
	CU_ASSERT_EQUAL(s.arms, 1);
	CU_ASSERT_EQUAL(r->stats.sleeps, s.sleeps_before);
	reactor_destroy(r);
}

UNIT_MAIN(TEST(every_turn_polls), TEST(polls_come_before_deferred_work),
	  TEST(removal_from_inside_a_poll), TEST(added_in_a_poll_is_polled_from_the_next_turn_on),
	  TEST(armed_poller_wakes_through_the_ring), TEST(work_found_while_arming_prevents_sleep),
	  TEST(deferred_while_arming_is_done_before_sleep));
