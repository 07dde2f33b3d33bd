// SPDX-License-Identifier: BSD-2-Clause
/* Sessions as their reactors tell of them, sessions that an operator ends, and what is told of both. */
#include <errno.h>
#include <time.h>

#include "core/deadline.h"
#include "session_links_rig.h"

enum { MANY = 150 };

struct seen {
	unsigned int count, with_connection;
	struct session_detail last;
};

static void see(const struct session_detail *s, void *arg)
{
	struct seen *seen = arg;

	seen->count++;
	seen->with_connection += s->connection_count == 1;
	seen->last = *s;
}

/* Those that a snapshot has. */
static struct seen look(struct rig *rig, uint16_t tsih)
{
	struct session_snapshot *snapshot;
	struct seen seen = { 0 };

	CU_ASSERT_FATAL(!server_snapshot(rig->server, tsih, &snapshot));
	while (session_snapshot_wait(snapshot, NULL))
		rig_turn(rig);
	session_snapshot_each(snapshot, see, &seen);
	session_snapshot_put(snapshot);
	return seen;
}

static void every_session_is_there(void)
{
	static struct initiator in[2];
	struct seen seen;
	struct rig rig;

	CU_ASSERT_FATAL(rig_up_on(&rig, "ram:1M", NULL, 2));
	CU_ASSERT_EQUAL(look(&rig, 0).count, 0);
	CU_ASSERT_FATAL(rig_login(&rig, &in[0], 1) && rig_login(&rig, &in[1], 2));
	seen = look(&rig, 0);
	CU_ASSERT_EQUAL(seen.count, 2);
	CU_ASSERT_EQUAL(seen.with_connection, 2);
	seen = look(&rig, in[1].tsih);
	CU_ASSERT_EQUAL(seen.count, 1);
	CU_ASSERT_EQUAL(seen.last.tsih, in[1].tsih);
	CU_ASSERT_STRING_EQUAL(seen.last.target, RIG_TARGET);
	CU_ASSERT_STRING_EQUAL(seen.last.initiator, RIG_INITIATOR);
	CU_ASSERT_STRING_EQUAL(seen.last.user, "");
	CU_ASSERT_FALSE(seen.last.discovery);
	CU_ASSERT_EQUAL(look(&rig, 9999).count, 0);
	rig_leave(&in[0]);
	rig_leave(&in[1]);
	CU_ASSERT_EQUAL(look(&rig, 0).count, 0);
	rig_down(&rig);
}

/* More than a reactor copies at once, and one ends in the middle. */
static void many_sessions_come_in_pieces(void)
{
	static struct initiator in[MANY];
	struct session_snapshot *snapshot;
	struct seen seen = { 0 };
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	for (unsigned int i = 0; i < MANY; i++)
		CU_ASSERT_FATAL(rig_login(&rig, &in[i], (uint8_t)(i + 1)));
	CU_ASSERT_EQUAL(look(&rig, 0).count, MANY);
	CU_ASSERT_FATAL(!server_snapshot(rig.server, 0, &snapshot));
	reactor_turn(rig.r);
	CU_ASSERT_EQUAL(session_snapshot_wait(snapshot, NULL), 1);
	CU_ASSERT_EQUAL(server_end_session(rig.server, in[0].tsih), 0);
	while (session_snapshot_wait(snapshot, NULL))
		rig_turn(&rig);
	session_snapshot_each(snapshot, see, &seen);
	session_snapshot_put(snapshot);
	CU_ASSERT_TRUE(seen.count == MANY || seen.count == MANY - 1);
	CU_ASSERT_EQUAL(look(&rig, 0).count, MANY - 1);
	for (unsigned int i = 0; i < MANY; i++)
		rig_leave(&in[i]);
	rig_down(&rig);
}

/* Whoever asked may be gone when the reactor answers. */
static void nobody_waits_any_more(void)
{
	struct session_snapshot *snapshot;
	struct timespec past = { 1, 0 };
	struct initiator in;
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	CU_ASSERT_FATAL(rig_login(&rig, &in, 1));
	CU_ASSERT_FATAL(!server_snapshot(rig.server, 0, &snapshot));
	CU_ASSERT_EQUAL(session_snapshot_wait(snapshot, &past), 1);
	session_snapshot_put(snapshot);
	rig_turn(&rig);
	rig_leave(&in);
	rig_down(&rig);
}

/* To the time of day this deadline is long over. */
static void the_time_of_day_does_not_matter(void)
{
	struct session_snapshot *snapshot;
	struct timespec end, deadline = deadline_in(50);
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	CU_ASSERT_FATAL(!server_snapshot(rig.server, 0, &snapshot));
	CU_ASSERT_EQUAL(session_snapshot_wait(snapshot, &deadline), 1);
	clock_gettime(CLOCK_MONOTONIC, &end);
	CU_ASSERT(end.tv_sec > deadline.tv_sec ||
		  (end.tv_sec == deadline.tv_sec && end.tv_nsec >= deadline.tv_nsec));
	session_snapshot_put(snapshot);
	rig_turn(&rig);
	rig_down(&rig);
}

static void an_operator_ends_a_session(void)
{
	static struct initiator in[2];
	struct rig rig;

	CU_ASSERT_FATAL(rig_up_on(&rig, "ram:1M", NULL, 2));
	CU_ASSERT_FATAL(rig_login(&rig, &in[0], 1) && rig_login(&rig, &in[1], 2));
	CU_ASSERT_EQUAL(server_end_session(rig.server, 9999), -ENOENT);
	CU_ASSERT_EQUAL(server_end_session(rig.server, in[0].tsih), 0);
	CU_ASSERT_EQUAL(server_end_session(rig.server, in[0].tsih), 0); /* twice is no harm */
	rig_turn(&rig);
	CU_ASSERT_EQUAL(link_event(&in[0]), ASYNC_DROP_SESSION);
	CU_ASSERT_EQUAL(look(&rig, 0).last.tsih, in[1].tsih);
	CU_ASSERT_EQUAL(look(&rig, 0).count, 1);
	CU_ASSERT_EQUAL(rig_status(&in[1], rig_command(&in[1], tur, CMD_FINAL, 0, NULL, 0)),
			SAM_CHECK_CONDITION);
	rig_leave(&in[0]);
	rig_leave(&in[1]);
	rig_down(&rig);
}

UNIT_MAIN(TEST(every_session_is_there), TEST(many_sessions_come_in_pieces),
	  TEST(nobody_waits_any_more), TEST(the_time_of_day_does_not_matter),
	  TEST(an_operator_ends_a_session));
