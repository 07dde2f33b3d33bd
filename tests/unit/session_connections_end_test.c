// SPDX-License-Identifier: BSD-2-Clause
/*
 * How one of several connections ends, and what becomes of the session: Logout, a new login with the
 * same CID, loss, and the time after that.
 */
#include "session_connections_rig.h"

static const char *hanging = "ram:1M,fault=write:hang";

static void begin_two_at(struct world *w, uint32_t level)
{
	begin_two(w, "ram:1M", LEVEL_2);
	session_in(w)->who.error_recovery_level = level;
}

/* --- Logout */

static void logout_of_its_own(void)
{
	struct world w;
	uint32_t ttt;

	begin_two(&w, "ram:1M", FOUR);
	write_waits(&w, 1, &ttt);
	CU_ASSERT_EQUAL(logout_response(&w, 1, LOGOUT_CONNECTION, 1), LOGOUT_RSP_SUCCESS);
	CU_ASSERT_PTR_NULL(memory_conn(w.link[1].peer));
	CU_ASSERT_EQUAL(session_in(&w)->command_count, 0);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	CU_ASSERT_EQUAL(w.link[0].maxcmdsn - w.link[0].expcmdsn + 1, 128);
	leave(&w, 1);
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_SUCCESS); /* and again */
	CU_ASSERT_EQUAL(ping(&w, 1), SAM_GOOD);
	end(&w);
}

/* The last one takes the session with it, at any level. */
static void logout_of_the_last(void)
{
	for (int level = 0; level < 3; level += 2) {
		struct world w;

		begin_two_at(&w, (uint32_t)level);
		for (int i = 1; i >= 0; i--)
			CU_ASSERT_EQUAL(logout_response(&w, i, LOGOUT_CONNECTION, (uint16_t)i),
					LOGOUT_RSP_SUCCESS);
		CU_ASSERT_PTR_NULL(session_in(&w));
		CU_ASSERT_EQUAL(w.rig.server->failed, 0);
		end(&w);
	}
}

/* What waits there for its turn is discarded (11.14): its CmdSN is to come again. */
static void held_requests_are_discarded(void)
{
	static const uint8_t reasons[] = { LOGOUT_CONNECTION, LOGOUT_RECOVERY };

	for (int i = 0; i < 2; i++) {
		struct world w;
		uint32_t missing, itt;

		begin_two(&w, "ram:1M", LEVEL_2);
		missing = w.cmdsn++;
		command(&w, 1, tur, CMD_FINAL, 0, 0);
		write_to_disk(&w, 1);
		CU_ASSERT_EQUAL(session_in(&w)->command_count, 2);
		CU_ASSERT_EQUAL(logout_response(&w, 0, reasons[i], 1), LOGOUT_RSP_SUCCESS);
		CU_ASSERT_EQUAL(session_in(&w)->command_count, 0);
		CU_ASSERT(list_empty(&session_in(&w)->held));
		itt = rig_command_sn(&w.link[0], missing, tur, CMD_FINAL, 0, NULL, 0);
		CU_ASSERT_EQUAL(rig_status(&w.link[0], itt), SAM_GOOD);
		CU_ASSERT_EQUAL(session_in(&w)->expcmdsn, missing + 1);
		w.cmdsn = missing + 1;
		CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		end(&w);
	}
}

/* The transport still has something of the connection: the session is over all the same. */
static void login_behind_the_last_logout(void)
{
	static const uint8_t reasons[] = { LOGOUT_CONNECTION, LOGOUT_SESSION };

	for (int i = 0; i < 2; i++) {
		struct world w;

		begin(&w, "ram:1M", 1, FOUR);
		log_out(&w, 0, reasons[i], 0);
		CU_ASSERT_PTR_NOT_NULL(session_in(&w));
		CU_ASSERT_EQUAL(join(&w, 1, 0, w.rig.r), LOGIN_NO_SESSION);
		CU_ASSERT_PTR_NULL(session_in(&w));
		end(&w);
	}
}

static void logout_of_the_session(void)
{
	struct world w;
	uint32_t ttt;

	begin_two(&w, "ram:1M", LEVEL_2);
	CU_ASSERT_EQUAL(join(&w, 2, 2, w.rig.r), LOGIN_SUCCESS);
	write_waits(&w, 2, &ttt);
	CU_ASSERT_EQUAL(logout_response(&w, 1, LOGOUT_SESSION, 99), LOGOUT_RSP_SUCCESS);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_PTR_NULL(memory_conn(w.link[i].peer));
		CU_ASSERT_PTR_NULL(memory_receive(w.link[i].peer));
	}
	CU_ASSERT_PTR_NULL(session_in(&w));
	end(&w);
}

/* The answer comes when the other one is gone with its tasks. */
static void logout_of_another(void)
{
	struct world w;
	uint32_t itt;

	begin_two(&w, slow_disk, FOUR);
	write_to_disk(&w, 1);
	itt = log_out(&w, 0, LOGOUT_CONNECTION, 1);
	CU_ASSERT_PTR_NULL(rig_receive(&w.link[0]));
	CU_ASSERT_PTR_NULL(memory_conn(w.link[1].peer));
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD); /* meanwhile */
	CU_ASSERT_EQUAL(logout_response(&w, 0, LOGOUT_CONNECTION, 1), LOGOUT_RSP_NO_CID);
	pass(&w, 4);
	CU_ASSERT_EQUAL(logged_out(&w, 0, itt), LOGOUT_RSP_SUCCESS);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	end(&w);
}

/* A disk that hangs, an asker that does not wait. */
static void logout_of_another_hangs(void)
{
	for (int leaves = 0; leaves < 2; leaves++) {
		struct world w;
		uint32_t itt;

		begin_two(&w, hanging, FOUR);
		write_to_disk(&w, 1);
		itt = log_out(&w, 0, LOGOUT_CONNECTION, 1);
		pass(&w, TMF_TIMEOUT_S - 1);
		CU_ASSERT_PTR_NULL(rig_receive(&w.link[0]));
		if (leaves)
			leave(&w, 0);
		pass(&w, 2);
		if (!leaves) {
			CU_ASSERT_EQUAL(logged_out(&w, 0, itt), LOGOUT_RSP_FAILED);
			CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		}
		rig_close_disk(&w.rig);
		end(&w);
	}
}

static void logout_refused(void)
{
	struct world w;

	begin_two(&w, "ram:1M", LEVEL_1);
	CU_ASSERT_EQUAL(logout_response(&w, 0, LOGOUT_CONNECTION, 7), LOGOUT_RSP_NO_CID);
	CU_ASSERT_EQUAL(logout_response(&w, 0, LOGOUT_RECOVERY, 1), LOGOUT_RSP_NO_RECOVERY);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	CU_ASSERT_EQUAL(ping(&w, 1), SAM_GOOD);
	end(&w);
	begin_two(&w, "ram:1M", LEVEL_2);
	CU_ASSERT_EQUAL(logout_response(&w, 0, LOGOUT_RECOVERY, 7), LOGOUT_RSP_NO_CID);
	CU_ASSERT_EQUAL(ping(&w, 1), SAM_GOOD);
	end(&w);
}

/* --- A login with the CID of a connection that is there */

static void same_cid(void)
{
	for (int level = 0; level < 3; level++) {
		struct world w;
		uint32_t ttt;

		begin_two_at(&w, (uint32_t)level);
		write_waits(&w, 1, &ttt);
		CU_ASSERT_EQUAL(join(&w, 2, 1, w.rig.r), LOGIN_SUCCESS);
		CU_ASSERT_PTR_NULL(memory_conn(w.link[1].peer));
		CU_ASSERT_EQUAL(session_in(&w)->command_count, level == 2);
		CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		CU_ASSERT_EQUAL(ping(&w, 2), SAM_GOOD);
		leave(&w, 1);
		end(&w);
	}
}

/* The only connection of a session that may have no other. */
static void same_cid_alone(void)
{
	for (int from = 0; from < 2; from++) {
		struct world w;

		begin(&w, "ram:1M", 2, "InitialR2T=No\0");
		CU_ASSERT_EQUAL(join(&w, 1, 0, w.rig.reactors[from]), LOGIN_SUCCESS);
		CU_ASSERT_PTR_NULL(memory_conn(w.link[0].peer));
		CU_ASSERT_EQUAL(ping(&w, 1), SAM_GOOD);
		end(&w);
	}
}

/* Its last write is still on the way to the disk: the new one waits, or goes before its turn. */
static void same_cid_waits(void)
{
	enum { WAITS, LEAVES, TIMES_OUT, SESSION_ENDS, CASES };

	for (int what = 0; what < CASES; what++) {
		struct world w;

		begin(&w, hanging, 2, "InitialR2T=No\0");
		write_to_disk(&w, 0);
		knock(&w, 1, 0, w.rig.second);
		CU_ASSERT_PTR_NULL(rig_receive(&w.link[1]));
		CU_ASSERT_PTR_NULL(memory_conn(w.link[0].peer));
		CU_ASSERT_PTR_NOT_NULL(session_in(&w));
		if (what == LEAVES)
			leave(&w, 1);
		if (what == TIMES_OUT)
			pass(&w, 16);
		if (what == SESSION_ENDS) {
			rig_knock(&w.rig, &w.link[2], ISID, w.rig.r, NULL, 0);
			CU_ASSERT_EQUAL(answer_to_login(&w, 1), LOGIN_NO_SESSION);
		}
		rig_close_disk(&w.rig);
		rig_turn(&w.rig);
		CU_ASSERT_EQUAL(session_in(&w) != NULL, what == WAITS);
		if (what == WAITS) {
			CU_ASSERT_EQUAL(answer_to_login(&w, 1), LOGIN_SUCCESS);
			CU_ASSERT_EQUAL(ping(&w, 1), SAM_GOOD);
		}
		if (what == SESSION_ENDS)
			CU_ASSERT_EQUAL(answer_to_login(&w, 2), LOGIN_SUCCESS);
		end(&w);
	}
}

/* Many want to be connection 1: one is in the end. */
static void same_cid_storm(void)
{
	enum { CROWD = 6 };
	struct initiator in[CROWD];
	struct world w;
	int up = 0;

	begin_two(&w, "ram:1M", FOUR);
	for (int i = 0; i < CROWD; i++)
		rig_knock_as(&w.rig, &in[i], ISID, w.link[0].tsih, 1, w.rig.reactors[i % 2], NULL,
			     0);
	rig_turn(&w.rig);
	for (int i = 0; i < CROWD; i++)
		up += iconn_of(&in[i]) && iconn_up(iconn_of(&in[i]));
	CU_ASSERT_EQUAL(up, 1);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	for (int i = 0; i < CROWD; i++)
		rig_leave(&in[i]);
	end(&w);
}

/* --- Loss */

static void lost_below_level_2(void)
{
	for (unsigned int level = 0; level < 2; level++) {
		struct world w;
		uint32_t ttt;

		begin_two_at(&w, level);
		write_waits(&w, 0, &ttt);
		leave(&w, 1);
		CU_ASSERT_PTR_NULL(memory_conn(w.link[0].peer));
		CU_ASSERT_PTR_NULL(session_in(&w));
		CU_ASSERT_EQUAL(w.rig.server->failed, 0);
		end(&w);
	}
}

static bool remembers(const struct world *w, uint16_t cid, bool ready)
{
	bool is_ready, known = session_lost_cid(session_in(w), cid, &is_ready);

	return known && ready == is_ready;
}

/* The others go on; the tasks are kept for a time. */
static void lost_at_level_2(void)
{
	struct world w;
	uint32_t ttt;
	bool ready;

	begin_two(&w, "ram:1M", LEVEL_2);
	write_waits(&w, 1, &ttt);
	leave(&w, 1);
	CU_ASSERT_EQUAL(session_in(&w)->state, SESSION_LOGGED_IN);
	CU_ASSERT_TRUE(remembers(&w, 1, false));
	CU_ASSERT_EQUAL(session_in(&w)->command_count, 1);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	pass(&w, RETAINED_S - 2);
	CU_ASSERT_TRUE(remembers(&w, 1, false));
	CU_ASSERT_EQUAL(session_in(&w)->command_count, 1);
	pass(&w, 2);
	CU_ASSERT_FALSE(session_lost_cid(session_in(&w), 1, &ready));
	CU_ASSERT_EQUAL(session_in(&w)->command_count, 0);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	end(&w);
}

/* Logout for recovery: before or after the loss, of itself or of another. */
static void logout_for_recovery(void)
{
	enum { OF_ITSELF, OF_ANOTHER, OF_A_LOST_ONE, WAYS };

	for (int way = 0; way < WAYS; way++) {
		struct world w;
		uint32_t ttt;
		int from = way != OF_ITSELF ? 0 : 1;

		begin_two(&w, "ram:1M", LEVEL_2);
		write_waits(&w, 1, &ttt);
		if (way == OF_A_LOST_ONE) {
			leave(&w, 1);
			CU_ASSERT_TRUE(remembers(&w, 1, false));
			pass(&w, RETAINED_S - 2);
		}
		CU_ASSERT_EQUAL(logout_response(&w, from, LOGOUT_RECOVERY, 1), LOGOUT_RSP_SUCCESS);
		CU_ASSERT_TRUE(remembers(&w, 1, true));
		CU_ASSERT_EQUAL(session_in(&w)->command_count, 1);
		CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		pass(&w, RETAINED_S - 2); /* counted from the Logout */
		CU_ASSERT_EQUAL(session_in(&w)->command_count, 1);
		CU_ASSERT_EQUAL(logout_response(&w, 0, LOGOUT_CONNECTION, 1),
				LOGOUT_RSP_SUCCESS); /* not wanted any more */
		CU_ASSERT_EQUAL(session_in(&w)->command_count, 0);
		end(&w);
	}
}

/* Without any connection the session waits, and is continued. */
static void continued(void)
{
	struct world w;
	struct session *s;
	uint32_t ttt;

	begin_two(&w, "ram:1M", LEVEL_2);
	s = session_in(&w);
	write_waits(&w, 1, &ttt);
	leave(&w, 0);
	CU_ASSERT_EQUAL(s->state, SESSION_LOGGED_IN);
	leave(&w, 1);
	CU_ASSERT_EQUAL(s->state, SESSION_FAILED);
	CU_ASSERT_EQUAL(w.rig.server->failed, 1);
	pass(&w, 10);
	CU_ASSERT_EQUAL(join(&w, 2, 1, w.rig.second), LOGIN_SUCCESS);
	CU_ASSERT_PTR_EQUAL(session_in(&w), s);
	CU_ASSERT_EQUAL(s->state, SESSION_LOGGED_IN);
	CU_ASSERT_EQUAL(w.rig.server->failed, 0);
	CU_ASSERT_TRUE(remembers(&w, 1, true));
	CU_ASSERT_TRUE(remembers(&w, 0, false));
	CU_ASSERT_EQUAL(ping(&w, 2), SAM_GOOD);
	pass(&w, RETAINED_S); /* the tasks are gone, the session is not */
	CU_ASSERT_EQUAL(s->command_count, 0);
	CU_ASSERT_TRUE(list_empty(&s->lost_cids));
	CU_ASSERT_EQUAL(ping(&w, 2), SAM_GOOD);
	end(&w);
}

/* Nobody comes; or a new session takes its place; or the daemon stops. */
static void not_continued(void)
{
	enum { NOBODY, REINSTATED, STOPPED, CASES };

	for (int what = 0; what < CASES; what++) {
		struct world w;
		uint32_t ttt;

		begin(&w, "ram:1M", 2, LEVEL_2);
		write_waits(&w, 0, &ttt);
		rig_leave(&w.link[0]);
		pass(&w, RETAINED_S - 2);
		CU_ASSERT_FATAL(session_in(&w) != NULL);
		CU_ASSERT_EQUAL(session_in(&w)->state, SESSION_FAILED);
		if (what == NOBODY)
			pass(&w, 2);
		if (what == REINSTATED) {
			rig_knock(&w.rig, &w.link[1], ISID, w.rig.second, NULL, 0);
			CU_ASSERT_TRUE(rig_let_in(&w.link[1]));
		}
		if (what == STOPPED) {
			w.rig.server->reactors[0].drain_work.fn(
				&w.rig.server->reactors[0].drain_work);
			rig_turn(&w.rig);
		}
		CU_ASSERT_PTR_NULL(session_in(&w));
		CU_ASSERT_EQUAL(w.rig.server->failed, 0);
		end(&w);
	}
}

/* Time2Retain 0: nothing is kept, and nobody is waited for. */
static void nothing_retained(void)
{
	struct world w;
	uint32_t ttt;

	begin_two(&w, "ram:1M", LEVEL_2 "DefaultTime2Retain=0\0");
	write_waits(&w, 1, &ttt);
	leave(&w, 1);
	CU_ASSERT_EQUAL(session_in(&w)->command_count, 0);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	leave(&w, 0);
	CU_ASSERT_PTR_NULL(session_in(&w));
	end(&w);
}

/* The initiator has asked for an hour. */
static void retained_for_ever(void)
{
	struct world w;
	uint32_t ttt;

	begin_two(&w, "ram:1M", LEVEL_2 "DefaultTime2Wait=3600\0");
	write_waits(&w, 1, &ttt);
	leave(&w, 1);
	pass(&w, RETAIN_MAX_S - 2);
	CU_ASSERT_EQUAL(session_in(&w)->command_count, 1);
	pass(&w, 4);
	CU_ASSERT_EQUAL(session_in(&w)->command_count, 0);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	log_out(&w, 0, LOGOUT_SESSION, 0);
	end(&w);
}

/* CIDs without end, and sessions that wait without end: both are bounded. */
static void bounds(void)
{
	struct server_limits few = server_default_limits;
	struct world w;
	unsigned int n = 0;
	struct list *pos;
	bool ready;

	begin(&w, "ram:1M", 1, LEVEL_2);
	for (uint16_t cid = 1; cid <= 3 * LOST_CIDS_MAX; cid++) {
		CU_ASSERT_EQUAL(join(&w, 1, cid, w.rig.r), LOGIN_SUCCESS);
		leave(&w, 1);
	}
	list_for_each(pos, &session_in(&w)->lost_cids)
		n++;
	CU_ASSERT_EQUAL(n, LOST_CIDS_MAX);
	CU_ASSERT_TRUE(session_lost_cid(session_in(&w), 3 * LOST_CIDS_MAX, &ready));
	end(&w);

	few.max_connections = 5;
	begin_with(&w, "ram:1M", 1, &few, LEVEL_2, sizeof(LEVEL_2) - 1);
	for (uint8_t i = 0; i < 20; i++) {
		rig_knock(&w.rig, &w.link[1], i + 100, w.rig.r, LEVEL_2, sizeof(LEVEL_2) - 1);
		CU_ASSERT_TRUE(rig_let_in(&w.link[1]));
		leave(&w, 1);
	}
	CU_ASSERT(w.rig.server->failed > 0 && w.rig.server->failed <= 5);
	end(&w);
}

UNIT_MAIN(TEST(logout_of_its_own), TEST(logout_of_the_last), TEST(login_behind_the_last_logout),
	  TEST(logout_of_the_session), TEST(logout_of_another), TEST(logout_of_another_hangs),
	  TEST(logout_refused), TEST(held_requests_are_discarded), TEST(same_cid),
	  TEST(same_cid_alone), TEST(same_cid_waits), TEST(same_cid_storm),
	  TEST(lost_below_level_2), TEST(lost_at_level_2), TEST(logout_for_recovery),
	  TEST(continued), TEST(not_continued), TEST(nothing_retained), TEST(retained_for_ever),
	  TEST(bounds));
