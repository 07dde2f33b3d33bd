// SPDX-License-Identifier: BSD-2-Clause
// beside: yes
/* Locks that somebody may let go of soon. */
#include <errno.h>

#include "core/lock_wait.h"
#include "tests/lib/unit.h"

struct lock {
	int busy; /* answers -EBUSY so often, then `answer` */
	int answer;
	int calls;
};

static int try_lock(void *arg)
{
	struct lock *lock = arg;

	return lock->calls++ < lock->busy ? (lock->calls % 2 ? -EBUSY : -EAGAIN) : lock->answer;
}

static void a_free_lock_is_taken_at_once(void)
{
	struct lock lock = { 0 };

	CU_ASSERT_EQUAL(lock_wait(try_lock, &lock, "it"), 0);
	CU_ASSERT_EQUAL(lock.calls, 1);
}

static void a_lock_that_becomes_free_is_taken(void)
{
	struct lock lock = { .busy = 5 };

	CU_ASSERT_EQUAL(lock_wait(try_lock, &lock, "it"), 0);
	CU_ASSERT_EQUAL(lock.calls, 6);
}

static void other_errors_end_it(void)
{
	struct lock lock = { .busy = 2, .answer = -ENOLCK };

	CU_ASSERT_EQUAL(lock_wait(try_lock, &lock, "it"), -ENOLCK);
	CU_ASSERT_EQUAL(lock.calls, 3);
}

static void it_gives_up(void)
{
	struct lock lock = { .busy = 1 << 20 };

	CU_ASSERT_NOT_EQUAL(lock_wait(try_lock, &lock, "it"), 0);
	CU_ASSERT(lock.calls > 100 && lock.calls <= 501);
}

UNIT_MAIN(TEST(a_free_lock_is_taken_at_once), TEST(a_lock_that_becomes_free_is_taken),
	  TEST(other_errors_end_it), TEST(it_gives_up));
