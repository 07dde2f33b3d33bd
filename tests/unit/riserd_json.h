// SPDX-License-Identifier: BSD-2-Clause
/* Trees of tests as text, and what differs between two. */
#ifndef RISER_TESTS_UNIT_RISERD_JSON_H
#define RISER_TESTS_UNIT_RISERD_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "tests/lib/unit.h"

static inline json_t *json(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	return value;
}

/* Takes both. */
static inline bool same(json_t *value, json_t *expected)
{
	bool equal = value && json_equal(value, expected);

	if (!equal && value)
		json_dumpf(value, stdout, JSON_COMPACT);
	json_decref(value);
	json_decref(expected);
	return equal;
}

#endif
