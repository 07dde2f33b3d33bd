// SPDX-License-Identifier: BSD-2-Clause
/* Object pools. */
#include <stdint.h>
#include <string.h>

#include "core/pool.h"
#include "tests/lib/unit.h"

/* The sanitizers' malloc gives up on a size that glibc's answers with NULL. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void gives_distinct_aligned_objects(void)
{
	struct pool p;
	void *objects[10];

	pool_init(&p, 100, 4, 100);
	CU_ASSERT_EQUAL(p.total, 0);
	for (int i = 0; i < 10; i++) {
		objects[i] = pool_get(&p);
		CU_ASSERT_PTR_NOT_NULL_FATAL(objects[i]);
		CU_ASSERT_EQUAL((uintptr_t)objects[i] % 64, 0);
		memset(objects[i], i, 100);
	}
	for (int i = 0; i < 10; i++) {
		CU_ASSERT_EQUAL(((uint8_t *)objects[i])[0], i);
		CU_ASSERT_EQUAL(((uint8_t *)objects[i])[99], i);
	}
	CU_ASSERT_EQUAL(p.in_use, 10);
	CU_ASSERT_EQUAL(p.total, 12);
	for (int i = 0; i < 10; i++)
		pool_put(&p, objects[i]);
	CU_ASSERT_EQUAL(p.in_use, 0);
	pool_destroy(&p);
}

static void stops_at_its_limit(void)
{
	struct pool p;
	void *objects[5];

	pool_init(&p, 64, 4, 5);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_PTR_NOT_NULL_FATAL(objects[i] = pool_get(&p));
	CU_ASSERT_PTR_NULL(pool_get(&p));
	pool_put(&p, objects[2]);
	CU_ASSERT_PTR_EQUAL(pool_get(&p), objects[2]);
	CU_ASSERT_PTR_NULL(pool_get(&p));
	for (int i = 0; i < 5; i++)
		pool_put(&p, objects[i]);
	pool_destroy(&p);
}

static void the_last_back_is_the_first_out(void)
{
	struct pool p;
	void *a, *b;

	pool_init(&p, sizeof(void *), 8, 8);
	a = pool_get(&p);
	b = pool_get(&p);
	pool_put(&p, a);
	pool_put(&p, b);
	CU_ASSERT_PTR_EQUAL(pool_get(&p), b);
	CU_ASSERT_PTR_EQUAL(pool_get(&p), a);
	pool_put(&p, a);
	pool_put(&p, b);
	CU_ASSERT_EQUAL(p.total, 8);
	pool_destroy(&p);
}

static void no_memory_is_not_fatal(void)
{
	struct pool p;

	pool_init(&p, (size_t)1 << 60, 1, 1);
	CU_ASSERT_PTR_NULL(pool_get(&p));
	CU_ASSERT_EQUAL(p.total, 0);
	pool_destroy(&p);
}

UNIT_MAIN(TEST(gives_distinct_aligned_objects), TEST(stops_at_its_limit),
	  TEST(the_last_back_is_the_first_out), TEST(no_memory_is_not_fatal));
