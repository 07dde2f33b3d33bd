// SPDX-License-Identifier: BSD-2-Clause
/*
 * Unit tests: CUnit's assertions, TAP on stdout. A test file is a handful of
 * static void functions and, as its last lines, UNIT_MAIN(TEST(one), TEST(other)).
 */
#ifndef RISER_TESTS_LIB_UNIT_H
#define RISER_TESTS_LIB_UNIT_H

#include <CUnit/CUnit.h>
#include <stddef.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

/*
 * Runs the tests whose names stand in argv[1..], or all when there are none.
 * A test without a single assertion fails: it could not have failed otherwise.
 * Returns the exit status: 0 all passed, 1 a test failed, 2 no such test.
 */
int unit_run(const struct unit_test *tests, size_t count, int argc, char **argv);

/* Marks the running test as skipped; assertions that failed before still fail it. */
void unit_skip(const char *reason);

#define TEST(function)                             \
	{                                          \
		.name = #function, .run = function \
	}

#define UNIT_SKIP(reason)          \
	do {                       \
		unit_skip(reason); \
		return;            \
	} while (0)

#define UNIT_MAIN(...)                                                                        \
	int main(int argc, char **argv)                                                       \
	{                                                                                     \
		static const struct unit_test unit_tests[] = { __VA_ARGS__ };                 \
                                                                                              \
		return unit_run(unit_tests, sizeof(unit_tests) / sizeof(unit_tests[0]), argc, \
				argv);                                                        \
	}                                                                                     \
	_Static_assert(1, "ends with a semicolon")

#endif
