// SPDX-License-Identifier: BSD-2-Clause
/* Events: numbers, the ring, who is woken, and floods of one type. */
#include <stdio.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "tools/riserd/events.h"

static void tell(struct events *events, enum event_type type, const char *text)
{
	struct event e = { .type = type, .lun = -1 };

	snprintf(e.text, sizeof(e.text), "%s", text);
	events_tell(events, &e);
}

static void numbers_and_order(void)
{
	struct events *events = events_new();
	struct event e;

	CU_ASSERT_EQUAL(events_last(events), 0);
	CU_ASSERT_FALSE(events_next(events, 0, &e));
	tell(events, EVENT_LOGIN, "one");
	tell(events, EVENT_LOGOUT, "two");
	CU_ASSERT_EQUAL(events_last(events), 2);
	CU_ASSERT_TRUE(events_next(events, 0, &e));
	CU_ASSERT_EQUAL(e.seq, 1);
	CU_ASSERT_STRING_EQUAL(e.text, "one");
	CU_ASSERT_TRUE(e.time.tv_sec > 0);
	CU_ASSERT_TRUE(events_next(events, 1, &e));
	CU_ASSERT_EQUAL(e.type, EVENT_LOGOUT);
	CU_ASSERT_FALSE(events_next(events, 2, &e));
	CU_ASSERT_FALSE(events_next(events, 1000, &e));
	events_free(events);
}

/* All types in turn, so that no allowance is used up: the oldest are gone. */
static void the_ring_forgets_the_oldest(void)
{
	struct events *events = events_new();
	unsigned int told = 0;
	char text[32];
	struct event e;

	for (unsigned int i = 0; i < 110; i++) {
		for (unsigned int type = 0; type < EVENT_TYPES; type++) {
			snprintf(text, sizeof(text), "%u", ++told);
			tell(events, (enum event_type)type, text);
		}
	}
	CU_ASSERT_EQUAL(events_last(events), told);
	CU_ASSERT_TRUE(events_next(events, 0, &e));
	CU_ASSERT_EQUAL(e.seq, told - EVENTS_KEPT + 1);
	for (uint64_t seq = 0; events_next(events, seq, &e); seq = e.seq) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)e.seq);
		CU_ASSERT_STRING_EQUAL(e.text, text);
	}
	events_free(events);
}

static void count(void *arg)
{
	++*(unsigned int *)arg;
}

static void who_listens_is_woken(void)
{
	struct events *events = events_new();
	unsigned int calls = 0;

	events_set_waker(events, count, &calls);
	tell(events, EVENT_RESET, "x");
	CU_ASSERT_EQUAL(calls, 1);
	events_set_waker(events, NULL, NULL);
	tell(events, EVENT_RESET, "x");
	CU_ASSERT_EQUAL(calls, 1);
	events_tell(NULL, NULL);
	events_free(events);
}

static void a_flood_leaves_room_for_others(void)
{
	struct events *events = events_new();
	uint64_t last;
	struct event e;

	tell(events, EVENT_LUN, "before");
	for (unsigned int i = 0; i < 100000; i++)
		tell(events, EVENT_LOGIN_FAILED, "no");
	last = events_last(events);
	CU_ASSERT_TRUE(last < EVENTS_KEPT);
	CU_ASSERT_TRUE(events_next(events, 0, &e));
	CU_ASSERT_STRING_EQUAL(e.text, "before");
	tell(events, EVENT_LUN, "after");
	CU_ASSERT_EQUAL(events_last(events), last + 1);
	events_free(events);
}

static void every_type_has_a_name(void)
{
	for (unsigned int i = 0; i < EVENT_TYPES; i++)
		CU_ASSERT_PTR_NOT_NULL(event_type_names[i]);
	CU_ASSERT_STRING_EQUAL(event_type_names[EVENT_LOGIN_FAILED], "login-failed");
}

UNIT_MAIN(TEST(numbers_and_order), TEST(the_ring_forgets_the_oldest), TEST(who_listens_is_woken),
	  TEST(a_flood_leaves_room_for_others), TEST(every_type_has_a_name));
