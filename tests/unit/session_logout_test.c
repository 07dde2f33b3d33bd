// SPDX-License-Identifier: BSD-2-Clause
/*
 * Logout: what has ended when the response is there, what is waited for, and who else comes while
 * it is.
 */
#include "session_connections_rig.h"

static const char hanging[] = "ram:1M,fault=write:hang";
static const char reads_hang[] = "ram:1M,fault=read:hang";
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };
static const uint8_t reasons[] = { LOGOUT_SESSION, LOGOUT_CONNECTION };

static bool is_reserved(const struct world *w)
{
	struct reservation_view *view = lu_view_reservations(w->rig.lu);
	bool reserved = view && view->legacy;

	CU_ASSERT_PTR_NOT_NULL(view);
	free(view);
	return reserved;
}

static void take_reservation(struct world *w)
{
	static const uint8_t reserve[16] = { [0] = 0x16 };

	CU_ASSERT_EQUAL(rig_status(&w->link[0], command(w, 0, reserve, CMD_FINAL, 0, 0)), SAM_GOOD);
	CU_ASSERT_TRUE(is_reserved(w));
}

/* --- What is waited for */

/* The response says that the clean-up is complete. */
static void logout_waits_for_its_tasks(void)
{
	static const struct {
		uint8_t reason;
		int from;
		bool two;
	} rows[] = { { LOGOUT_SESSION, 0, false },
		     { LOGOUT_SESSION, 1, true },
		     { LOGOUT_CONNECTION, 0, false },
		     { LOGOUT_CONNECTION, 1, true } };

	for (size_t i = 0; i < 2 * array_size(rows); i++) {
		bool hangs = i % 2;
		struct world w;
		uint32_t itt;
		int from = rows[i / 2].from;

		begin(&w, hangs ? hanging : slow_disk, 2, FOUR);
		if (rows[i / 2].two)
			CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.second), LOGIN_SUCCESS);
		write_to_disk(&w, from);
		itt = log_out(&w, from, rows[i / 2].reason, (uint16_t)from);
		CU_ASSERT_PTR_NULL(rig_receive(&w.link[from]));
		CU_ASSERT_PTR_NOT_NULL(memory_conn(w.link[from].peer));
		pass(&w, hangs ? TMF_TIMEOUT_S - 1 : 2);
		CU_ASSERT_PTR_NULL(rig_receive(&w.link[from]));
		pass(&w, 2);
		CU_ASSERT_EQUAL(logged_out(&w, from, itt),
				hangs ? LOGOUT_RSP_FAILED : LOGOUT_RSP_SUCCESS);
		CU_ASSERT_PTR_NULL(memory_conn(w.link[from].peer));
		if (rows[i / 2].two && rows[i / 2].reason == LOGOUT_CONNECTION)
			CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		if (hangs)
			rig_close_disk(&w.rig);
		end(&w);
	}
}

/* Who waits, and for whom: another connection goes on, the asker goes away, a new login comes. */
static void logout_is_not_waited_for(void)
{
	for (int what = 0; what < 3; what++) {
		struct world w;

		begin_two(&w, hanging, FOUR);
		write_to_disk(&w, 1);
		log_out(&w, 1, what == 2 ? LOGOUT_SESSION : LOGOUT_CONNECTION, 1);
		rig_turn(&w.rig);
		if (what == 0)
			CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		if (what == 1)
			leave(&w, 1);
		if (what == 2)
			CU_ASSERT_EQUAL(join(&w, 2, 2, w.rig.r), LOGIN_NO_SESSION);
		rig_close_disk(&w.rig);
		end(&w);
	}
}

/* What ends with a nexus has ended when the response is on its way. */
static void logout_ends_the_nexus(void)
{
	for (int i = 0; i < 2; i++) {
		struct world w;

		begin(&w, "ram:1M", 1, FOUR);
		take_reservation(&w);
		log_out(&w, 0, reasons[i], 0);
		CU_ASSERT_PTR_NOT_NULL(session_in(&w));
		CU_ASSERT_FALSE(is_reserved(&w));
		end(&w);
	}
}

/* The last of several connections ends the nexus, whatever the transport still has of the others. */
static void logout_one_after_the_other(void)
{
	for (int slow = 0; slow < 2; slow++) {
		struct world w;
		uint32_t first, last;

		begin_two(&w, slow ? slow_disk : "ram:1M", FOUR);
		take_reservation(&w);
		if (slow)
			write_to_disk(&w, 1);
		first = log_out(&w, 1, LOGOUT_CONNECTION, 1);
		last = log_out(&w, 0, LOGOUT_CONNECTION, 0);
		CU_ASSERT_EQUAL(is_reserved(&w), slow);
		if (slow) {
			CU_ASSERT_PTR_NULL(rig_receive(&w.link[0]));
			pass(&w, 4);
		}
		CU_ASSERT_EQUAL(logged_out(&w, 1, first), LOGOUT_RSP_SUCCESS);
		CU_ASSERT_EQUAL(logged_out(&w, 0, last), LOGOUT_RSP_SUCCESS);
		CU_ASSERT_FALSE(is_reserved(&w));
		CU_ASSERT_PTR_NULL(session_in(&w));
		end(&w);
	}
}

/* What the write does may still come: nobody else gets what the session had reserved. */
static void reservation_outlives_a_write(void)
{
	for (int i = 0; i < 2; i++) {
		struct world w;
		uint32_t itt;

		begin(&w, hanging, 1, FOUR);
		take_reservation(&w);
		write_to_disk(&w, 0);
		itt = log_out(&w, 0, reasons[i], 0);
		pass(&w, TMF_TIMEOUT_S + 1);
		CU_ASSERT_EQUAL(logged_out(&w, 0, itt), LOGOUT_RSP_FAILED);
		leave(&w, 0);
		CU_ASSERT_TRUE(is_reserved(&w));
		rig_close_disk(&w.rig);
		rig_turn(&w.rig);
		CU_ASSERT_FALSE(is_reserved(&w));
		end(&w);
	}
}

/* A read changes nothing: its disk need not give it back, but its tag and its slot are free. */
static void logout_leaves_reads_behind(void)
{
	enum { SESSION, LAST, ITS_OWN, OF_ANOTHER, OF_A_LOST_ONE, CASES };

	for (int what = 0; what < CASES; what++) {
		bool alone = what == SESSION || what == LAST;
		uint8_t reason = what == SESSION ? LOGOUT_SESSION : LOGOUT_CONNECTION;
		struct world w;
		uint32_t itt;
		int to = what == ITS_OWN;

		begin(&w, reads_hang, 2, LEVEL_2);
		if (!alone)
			CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.second), LOGIN_SUCCESS);
		take_reservation(&w);
		itt = command(&w, !alone, read_1, CMD_FINAL | CMD_READ, 512, 0);
		rig_turn(&w.rig);
		if (what == OF_A_LOST_ONE)
			leave(&w, 1);
		CU_ASSERT_EQUAL(logout_response(&w, to, reason, !alone), LOGOUT_RSP_SUCCESS);
		CU_ASSERT_EQUAL(is_reserved(&w), !alone);
		if (!alone) {
			w.link[0].itt = itt;
			CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
			CU_ASSERT_EQUAL(w.link[0].maxcmdsn - w.link[0].expcmdsn + 1, 128);
		}
		rig_close_disk(&w.rig);
		end(&w);
	}
}

/* Nobody waits for the second time for what ABORT TASK has given up. */
static void logout_after_an_abort(void)
{
	struct world w;
	uint32_t itt, tmf;

	begin(&w, reads_hang, 1, FOUR);
	itt = command(&w, 0, read_1, CMD_FINAL | CMD_READ, 512, 0);
	w.link[0].cmdsn = w.cmdsn;
	tmf = rig_tmf(&w.link[0], TMF_ABORT_TASK, itt, w.cmdsn - 1);
	pass(&w, TMF_TIMEOUT_S + 1);
	CU_ASSERT_EQUAL(rig_tmf_response(&w.link[0], tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(logout_response(&w, 0, LOGOUT_SESSION, 0), LOGOUT_RSP_SUCCESS);
	rig_close_disk(&w.rig);
	end(&w);
}

/* --- What waits for its turn */

/* It does not come to it while the Logout waits, or its connection closes: its place is free. */
static void held_commands_do_not_run(void)
{
	static const uint8_t ways[] = { LOGOUT_CONNECTION, LOGOUT_RECOVERY };

	for (int i = 0; i < 2; i++) {
		struct world w;
		uint32_t missing, itt, tur_itt;

		begin_two(&w, slow_disk, LEVEL_2);
		write_to_disk(&w, 1);
		missing = w.cmdsn++;
		command(&w, 1, write_1, CMD_FINAL | CMD_WRITE, 512, 512);
		itt = log_out(&w, 1, ways[i], 1);
		tur_itt = rig_command_sn(&w.link[0], missing, tur, CMD_FINAL, 0, NULL, 0);
		CU_ASSERT_EQUAL(session_in(&w)->expcmdsn, missing + 1);
		CU_ASSERT_EQUAL(rig_status(&w.link[0], tur_itt), SAM_GOOD);
		CU_ASSERT_EQUAL(session_in(&w)->command_count, 1);
		w.cmdsn = missing + 1;
		CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		pass(&w, 4);
		CU_ASSERT_EQUAL(logged_out(&w, 1, itt), LOGOUT_RSP_SUCCESS);
		CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		end(&w);
	}
}

/* The data of one of them is on the way. */
static void held_commands_with_data(void)
{
	for (int level = 0; level < 2; level++) {
		for (int i = 0; i < 2; i++) {
			struct world w;
			uint32_t missing;

			begin_two(&w, "ram:1M", LEVEL_1);
			session_in(&w)->who.error_recovery_level = (uint32_t)level;
			missing = w.cmdsn++;
			command(&w, 1, write_1, CMD_WRITE, 512, 0);
			CU_ASSERT_EQUAL(logout_response(&w, 1, reasons[i], 1), LOGOUT_RSP_SUCCESS);
			w.cmdsn = missing;
			if (reasons[i] == LOGOUT_CONNECTION) {
				CU_ASSERT_EQUAL(session_in(&w)->command_count, 0);
				CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
				CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
			}
			end(&w);
		}
	}
}

/* The Logout is one of those that have waited, and more stand behind it. */
static void held_logout(void)
{
	for (int i = 0; i < 2; i++) {
		union pdu_header h = { 0 };
		struct world w;
		uint32_t missing;

		begin_two(&w, "ram:1M", FOUR);
		missing = w.cmdsn++;
		h.logout_request.opcode = OP_LOGOUT_REQUEST;
		h.logout_request.reason = PDU_FINAL | reasons[i];
		h.logout_request.itt = be32_of(7);
		h.logout_request.cid = be16_of(1);
		h.logout_request.cmdsn = be32_of(w.cmdsn++);
		rig_send(&w.link[1], &h, NULL, 0);
		command(&w, 1, write_1, CMD_FINAL | CMD_WRITE, 512, 512);
		CU_ASSERT_PTR_NULL(rig_receive(&w.link[1]));
		rig_command_sn(&w.link[0], missing, tur, CMD_FINAL, 0, NULL, 0);
		CU_ASSERT_EQUAL(session_in(&w)->expcmdsn, missing + 2);
		CU_ASSERT_EQUAL(logged_out(&w, 1, 7), LOGOUT_RSP_SUCCESS);
		CU_ASSERT_EQUAL(session_in(&w) != NULL, reasons[i] == LOGOUT_CONNECTION);
		end(&w);
	}
}

/* --- Who else comes */

/* Another connection asks, too: whoever has no answer yet may have lost its connection. */
static void logout_of_one_that_leaves(void)
{
	static const uint8_t ways[] = { LOGOUT_CONNECTION, LOGOUT_RECOVERY };

	for (int i = 0; i < 2; i++) {
		struct world w;
		uint32_t itt;

		begin_two(&w, slow_disk, LEVEL_2);
		write_to_disk(&w, 1);
		log_out(&w, 1, LOGOUT_CONNECTION, 1);
		itt = log_out(&w, 0, ways[i], 1);
		CU_ASSERT_PTR_NULL(rig_receive(&w.link[0]));
		pass(&w, 4);
		CU_ASSERT_EQUAL(logged_out(&w, 0, itt), LOGOUT_RSP_SUCCESS);
		CU_ASSERT_EQUAL(session_in(&w)->command_count, 0);
		CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
		end(&w);
	}
}

/* One that waits for its answer counts no more among those that there may be. */
static void room_for_another(void)
{
	struct world w;

	begin_two(&w, hanging, "InitialR2T=No\0MaxConnections=2\0");
	write_to_disk(&w, 1);
	CU_ASSERT_EQUAL(join(&w, 2, 2, w.rig.r), LOGIN_TOO_MANY_CONNECTIONS);
	leave(&w, 2);
	log_out(&w, 1, LOGOUT_CONNECTION, 1);
	CU_ASSERT_EQUAL(join(&w, 2, 2, w.rig.r), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(ping(&w, 2), SAM_GOOD);
	rig_close_disk(&w.rig);
	end(&w);
}

/* The session is ended otherwise, too: nothing is answered twice, and nothing stays. */
static void ended_meanwhile(void)
{
	enum { REINSTATED, DROPPED, LOST, STOPPED, CASES };

	for (int what = 0; what < 2 * CASES; what++) {
		bool itself = what % 2;
		struct world w;

		begin_two(&w, slow_disk, FOUR);
		write_to_disk(&w, 1);
		log_out(&w, 1, itself ? LOGOUT_CONNECTION : LOGOUT_SESSION, 1);
		if (what / 2 == REINSTATED)
			rig_knock(&w.rig, &w.link[2], ISID, w.rig.second, NULL, 0);
		if (what / 2 == DROPPED) {
			struct reactor *before = reactor_set_self(w.rig.r);

			async_drop_session(session_in(&w));
			reactor_set_self(before);
		}
		if (what / 2 == LOST)
			leave(&w, 0);
		if (what / 2 == STOPPED) {
			struct reactor *before = reactor_set_self(w.rig.r);

			w.rig.server->reactors[0].drain_work.fn(
				&w.rig.server->reactors[0].drain_work);
			reactor_set_self(before);
		}
		rig_turn(&w.rig);
		CU_ASSERT_PTR_NOT_NULL(session_in(&w));
		CU_ASSERT_EQUAL(memory_conn(w.link[1].peer) != NULL,
				what / 2 == DROPPED || (what / 2 == LOST && !itself));
		pass(&w, 4);
		CU_ASSERT_PTR_NULL(session_in(&w));
		if (what / 2 == REINSTATED)
			CU_ASSERT_TRUE(rig_let_in(&w.link[2]));
		end(&w);
	}
}

/* --- What operators hear */

struct heard {
	int logouts, losses;
};

static void hear(const struct server_event *event, void *arg)
{
	struct heard *heard = arg;

	heard->logouts += event->type == SERVER_LOGOUT;
	heard->losses += event->type == SERVER_LOST;
}

/* Once, also of an initiator that does not wait for its answer, or that there is no memory for. */
static void logout_is_told_once(void)
{
	enum { ANSWERED, LATE, GONE, REINSTATED, NO_MEMORY, CASES };

	for (int what = 0; what < 2 * CASES; what++) {
		struct heard heard = { 0 };
		struct world w;
		struct pool *replies;

		begin(&w, hanging, 1, FOUR);
		w.rig.server->cfg.event = hear;
		w.rig.server->cfg.event_arg = &heard;
		replies = &w.rig.server->reactors[0].replies;
		if (what / 2 != ANSWERED && what / 2 != NO_MEMORY)
			write_to_disk(&w, 0);
		if (what / 2 == NO_MEMORY) {
			replies->free_list = NULL;
			replies->limit = replies->total;
		}
		log_out(&w, 0, reasons[what % 2], 0);
		if (what / 2 == LATE)
			pass(&w, TMF_TIMEOUT_S + 1);
		if (what / 2 == GONE)
			leave(&w, 0);
		if (what / 2 == REINSTATED)
			rig_knock(&w.rig, &w.link[1], ISID, w.rig.r, NULL, 0);
		rig_turn(&w.rig);
		CU_ASSERT(!w.link[0].peer || !memory_conn(w.link[0].peer));
		CU_ASSERT_EQUAL(heard.logouts, 1);
		CU_ASSERT_EQUAL(heard.losses, 0);
		leave(&w, 1);
		rig_close_disk(&w.rig);
		rig_turn(&w.rig);
		CU_ASSERT_EQUAL(heard.logouts, 1);
		CU_ASSERT_EQUAL(heard.losses, 0);
		end(&w);
	}
}

UNIT_MAIN(TEST(logout_waits_for_its_tasks), TEST(logout_is_not_waited_for),
	  TEST(logout_ends_the_nexus), TEST(logout_one_after_the_other),
	  TEST(reservation_outlives_a_write), TEST(logout_leaves_reads_behind),
	  TEST(logout_after_an_abort), TEST(held_commands_do_not_run),
	  TEST(held_commands_with_data), TEST(held_logout), TEST(logout_of_one_that_leaves),
	  TEST(room_for_another), TEST(ended_meanwhile), TEST(logout_is_told_once));
