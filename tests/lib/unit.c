// SPDX-License-Identifier: BSD-2-Clause
/*
 * TAP around CUnit. CUnit keeps the list of failed assertions per test and
 * survives its _FATAL variants; the runner (tests/run) notices a crash by the plan.
 */
#include "tests/lib/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* CUnit's handlers take no argument of ours; one process runs one list of tests. */
static struct {
	unsigned int done;
	unsigned int failed;
	unsigned int asserts_before;
	const char *skip;
} unit;

void unit_skip(const char *reason)
{
	unit.skip = reason;
}

static void test_start(const CU_pTest test, const CU_pSuite suite)
{
	(void)test;
	(void)suite;
	unit.asserts_before = CU_get_number_of_asserts();
	unit.skip = NULL;
}

/* Multi-line conditions stay TAP comments. */
static void print_comment(const char *text)
{
	for (; *text; text++) {
		putchar(*text);
		if (*text == '\n')
			fputs("#   ", stdout);
	}
	putchar('\n');
}

static void test_complete(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord first)
{
	bool idle = CU_get_number_of_asserts() == unit.asserts_before && !unit.skip;
	bool failed = first || idle;

	(void)suite;
	unit.done++;
	unit.failed += failed;
	printf("%sok %u - %s", failed ? "not " : "", unit.done, test->pName);
	if (unit.skip && !failed)
		printf(" # SKIP %s", unit.skip);
	putchar('\n');
	for (CU_pFailureRecord f = first; f; f = f->pNext) {
		printf("# %s:%u: ", f->strFileName, f->uiLineNumber);
		print_comment(f->strCondition);
	}
	if (idle)
		printf("# %s made no assertion\n", test->pName);
	fflush(stdout);
}

static bool selected(const struct unit_test *test, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], test->name))
			return true;
	}
	return argc < 2;
}

int unit_run(const struct unit_test *tests, size_t count, int argc, char **argv)
{
	unsigned int chosen = 0;
	CU_pSuite suite;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	suite = CU_add_suite("unit", NULL, NULL);
	for (size_t i = 0; suite && i < count; i++) {
		if (!selected(&tests[i], argc, argv))
			continue;
		if (!CU_add_test(suite, tests[i].name, tests[i].run))
			suite = NULL;
		chosen++;
	}
	if (!suite || !chosen) {
		fprintf(stderr, "%s: %s\n", argv[0], suite ? "no such test" : CU_get_error_msg());
		CU_cleanup_registry();
		return 2;
	}
	printf("1..%u\n", chosen);
	fflush(stdout);
	CU_set_test_start_handler(test_start);
	CU_set_test_complete_handler(test_complete);
	CU_run_all_tests();
	CU_cleanup_registry();
	return unit.failed || unit.done != chosen;
}
