// SPDX-License-Identifier: BSD-2-Clause
/* Which connections are captured, from when on, and until when. */
#include "capture_rig.h"
#include "session/internal.h"
#include "target_rig.h"

static struct capture *create(unsigned int rings)
{
	struct capture_config cfg = { .rings = rings, .data = 100 };
	struct capture *c;

	CU_ASSERT_EQUAL_FATAL(capture_create(&cfg, &c), 0);
	return c;
}

static bool is_captured(const struct initiator *in)
{
	return memory_conn(in->peer)->tap;
}

/* Begins, or with NULL ends. */
static void set(struct rig *rig, struct capture *c, const struct capture_filter *filter)
{
	static const struct capture_filter all;

	CU_ASSERT_EQUAL(server_capture(rig->server, c, filter ? filter : &all), 0);
	rig_turn(rig);
}

/* Whether a login that comes after the filter is captured. */
static bool login_is(struct rig *rig, struct capture *c, const char *initiator, const char *target)
{
	struct capture_filter filter = { 0 };
	struct initiator in;
	bool is;

	snprintf(filter.initiator, sizeof(filter.initiator), "%s", initiator);
	snprintf(filter.target, sizeof(filter.target), "%s", target);
	set(rig, c, &filter);
	CU_ASSERT(rig_login(rig, &in, 1));
	is = is_captured(&in);
	rig_leave(&in);
	return is;
}

static void the_first_pdu_says_who_it_is(void)
{
	struct capture *c = create(1);
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	CU_ASSERT(!login_is(&rig, c, "iqn.2026-11.test:other", ""));
	CU_ASSERT(!login_is(&rig, c, "", "iqn.2026-11.test:other"));
	CU_ASSERT_STRING_EQUAL(captured(c), ""); /* not even their logins */
	CU_ASSERT(login_is(&rig, c, "", ""));
	CU_ASSERT(login_is(&rig, c, "iqn.2026-11.TEST:INI*", RIG_TARGET));
	CU_ASSERT(!login_is(&rig, c, "iqn.2026-11.test:init", ""));
	/* The transport of the test has no hooks: these are of the session. */
	CU_ASSERT_STRING_EQUAL(captured(c), "<03 itt 64 93/93\n"
					    "<03 itt 64 93/93\n");
	rig_down(&rig);
	capture_put(c);
}

static void sessions_that_are_there(void)
{
	struct capture_filter filter = { .session_count = 2 };
	struct initiator one, two, three;
	struct capture *c = create(1);
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	CU_ASSERT(rig_login(&rig, &one, 1));
	CU_ASSERT(rig_login(&rig, &two, 2));
	filter.sessions[0] = 4711;
	filter.sessions[1] = two.tsih;
	set(&rig, c, &filter);
	CU_ASSERT(!is_captured(&one));
	CU_ASSERT(is_captured(&two));
	CU_ASSERT(rig_login(&rig, &three, 3));
	CU_ASSERT(!is_captured(&three));
	/* Another capture takes the place of this one. */
	filter.sessions[0] = filter.sessions[1] = one.tsih;
	set(&rig, c, &filter);
	CU_ASSERT(is_captured(&one));
	CU_ASSERT(!is_captured(&two));
	set(&rig, NULL, NULL);
	CU_ASSERT(!is_captured(&one));
	rig_leave(&one);
	rig_leave(&two);
	rig_leave(&three);
	rig_down(&rig);
	capture_put(c);
}

/* Sessions on two reactors: the reader knows when both have begun. */
static void every_reactor(void)
{
	struct capture *c = create(2);
	struct initiator one, two;
	struct capture_area *area;
	struct rig rig;
	size_t size;

	CU_ASSERT_FATAL(rig_up_on(&rig, "ram:1M", NULL, 2));
	area = map_capture(c, &size);
	CU_ASSERT(rig_login(&rig, &one, 1));
	rig_knock(&rig, &two, 2, rig.second, NULL, 0);
	CU_ASSERT(rig_let_in(&two));
	CU_ASSERT_EQUAL(area->begun, 0);
	set(&rig, c, NULL);
	CU_ASSERT_EQUAL(area->begun, 2);
	CU_ASSERT(is_captured(&one));
	CU_ASSERT(is_captured(&two));
	rig_leave(&one);
	rig_leave(&two);
	/* The server keeps it: the capture that nobody has ended is over with the server. */
	capture_put(c);
	CU_ASSERT(!area->over);
	rig_down(&rig);
	CU_ASSERT(area->over);
	munmap(area, size);
}

/* The end of a connection is the end of its capture: no memory is left. */
static void connections_that_end_under_it(void)
{
	struct capture *c = create(1);
	struct initiator in;
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	set(&rig, c, NULL);
	rig_knock(&rig, &in, 1, rig.r, NULL, 0); /* and goes before it has its answer */
	rig_leave(&in);
	CU_ASSERT(rig_login(&rig, &in, 1));
	rig_leave(&in);
	rig_turn(&rig);
	set(&rig, NULL, NULL);
	rig_down(&rig);
	capture_put(c);
}

UNIT_MAIN(TEST(the_first_pdu_says_who_it_is), TEST(sessions_that_are_there), TEST(every_reactor),
	  TEST(connections_that_end_under_it));
