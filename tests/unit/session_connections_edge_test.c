// SPDX-License-Identifier: BSD-2-Clause
/*
 * Several connections where two things meet: a Logout and a login with the same CID, a connection that
 * closes while its own request is looked at, losses without end, the orderly stop.
 */
#include "session_connections_rig.h"

/* An immediate function that holds the next CmdSN. */
static uint32_t function(struct world *w, int i, uint8_t what, uint32_t rtt)
{
	w->link[i].cmdsn = w->cmdsn;
	return rig_tmf(&w->link[i], what, rtt, w->cmdsn - 1);
}

/* --- CmdSN */

/* A reset counts what is missing as received, before and behind what is held. */
static void gaps_around_what_is_held(void)
{
	struct world w;
	uint32_t missing, other;

	begin_two(&w, "ram:1M", FOUR);
	missing = w.cmdsn++;
	command(&w, 1, tur, CMD_FINAL, 0, 0);
	other = w.cmdsn++;
	function(&w, 0, TMF_TARGET_WARM_RESET, TAG_NONE);
	rig_turn(&w.rig);
	CU_ASSERT_EQUAL(session_in(&w)->expcmdsn, other + 1);
	CU_ASSERT_EQUAL(session_in(&w)->maxcmdsn, other + 128);
	CU_ASSERT(list_empty(&session_in(&w)->held));
	w.cmdsn = other + 2; /* out of order once more */
	command(&w, 1, tur, CMD_FINAL, 0, 0);
	w.cmdsn = other + 1;
	command(&w, 1, tur, CMD_FINAL, 0, 0);
	rig_turn(&w.rig);
	CU_ASSERT_EQUAL(session_in(&w)->expcmdsn, missing + 5);
	end(&w);
}

/* A place in the order that was filled by ABORT TASK, behind the Logout of the only connection. */
static void gap_behind_a_logout(void)
{
	struct world w;
	union pdu_header h = { 0 };
	uint32_t first;

	begin_two(&w, "ram:1M", LEVEL_2);
	leave(&w, 1); /* the session outlives what follows */
	first = w.cmdsn;
	w.cmdsn = first + 2;
	CU_ASSERT_EQUAL(rig_tmf_response(&w.link[0], function(&w, 0, TMF_ABORT_TASK, TAG_NONE)),
			TMF_RSP_COMPLETE);
	h.logout_request.opcode = OP_LOGOUT_REQUEST;
	h.logout_request.reason = PDU_FINAL | LOGOUT_CONNECTION;
	h.logout_request.itt = be32_of(w.link[0].itt);
	h.logout_request.cmdsn = be32_of(first);
	rig_send(&w.link[0], &h, NULL, 0);
	rig_turn(&w.rig);
	CU_ASSERT_EQUAL_FATAL(session_in(&w)->state, SESSION_FAILED);
	CU_ASSERT_EQUAL(session_in(&w)->expcmdsn, first + 2);
	CU_ASSERT(list_empty(&session_in(&w)->held));
	end(&w);
}

/* --- A request that closes its own connection by what it acknowledges */

static void send_immediate(struct world *w, int i, uint8_t opcode, uint8_t byte1,
			   uint32_t expstatsn)
{
	union pdu_header h = { 0 };

	h.nop_out.opcode = opcode | OPCODE_IMMEDIATE;
	h.nop_out.flags = PDU_FINAL | byte1;
	h.nop_out.itt = be32_of(w->link[i].itt++);
	h.nop_out.ttt = be32_of(opcode == OP_NOP_OUT ? TAG_NONE : 0);
	h.nop_out.cmdsn = be32_of(w->cmdsn);
	h.nop_out.expstatsn = be32_of(expstatsn);
	rig_send(&w->link[i], &h, NULL, 0);
}

/* It frees so many commands that the window is told, by one answer too many. */
static void acknowledged_and_closed(void)
{
	struct server_limits few = server_default_limits;
	struct world w;
	uint32_t statsn;

	few.window = 4;
	begin_with(&w, "ram:1M", 1, &few, LEVEL_1, sizeof(LEVEL_1) - 1);
	while ((int32_t)(session_in(&w)->maxcmdsn - w.cmdsn) >= 0)
		command(&w, 0, tur, CMD_FINAL, 0, 0);
	rig_turn(&w.rig);
	CU_ASSERT(session_in(&w)->owed > 0);
	statsn = iconn_of(&w.link[0])->statsn;
	while (is_up(&w, 0) && iconn_of(&w.link[0])->replies < REPLIES_MAX)
		send_immediate(&w, 0, OP_NOP_OUT, 0, 0);
	rig_turn(&w.rig);
	CU_ASSERT_TRUE(is_up(&w, 0));
	send_immediate(&w, 0, OP_LOGOUT_REQUEST, LOGOUT_SESSION, statsn);
	rig_turn(&w.rig);
	CU_ASSERT_PTR_NULL(session_in(&w));
	end(&w);
}

/* --- Logout */

/* The CID is taken again at once: that is no reason not to answer. */
static void logout_and_login_of_a_cid(void)
{
	struct world w;
	uint32_t itt;

	begin_two(&w, slow_disk, FOUR);
	write_to_disk(&w, 1);
	itt = log_out(&w, 0, LOGOUT_CONNECTION, 1);
	knock(&w, 2, 1, w.rig.r);
	CU_ASSERT_PTR_NULL(rig_receive(&w.link[2]));
	pass(&w, 4);
	CU_ASSERT_EQUAL(logged_out(&w, 0, itt), LOGOUT_RSP_SUCCESS);
	CU_ASSERT_EQUAL(answer_to_login(&w, 2), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(ping(&w, 2), SAM_GOOD);
	end(&w);
}

/* Nothing of the old one is left, but nobody has looked yet. */
static void logout_and_login_in_one_turn(void)
{
	struct world w;
	uint32_t itt;

	begin_two(&w, "ram:1M", FOUR);
	itt = log_out(&w, 0, LOGOUT_CONNECTION, 1);
	while (memory_conn(w.link[1].peer))
		reactor_turn(w.rig.r);
	knock(&w, 2, 1, w.rig.r);
	CU_ASSERT_EQUAL(logged_out(&w, 0, itt), LOGOUT_RSP_SUCCESS);
	CU_ASSERT_EQUAL(answer_to_login(&w, 2), LOGIN_SUCCESS);
	end(&w);
}

/* The answer says that nothing of its tasks will be written any more. */
static void logout_of_a_lost_one_waits(void)
{
	struct world w;
	uint32_t itt;

	begin_two(&w, slow_disk, LEVEL_2);
	write_to_disk(&w, 1);
	leave(&w, 1);
	itt = log_out(&w, 0, LOGOUT_CONNECTION, 1);
	CU_ASSERT_PTR_NULL(rig_receive(&w.link[0]));
	pass(&w, 4);
	CU_ASSERT_EQUAL(logged_out(&w, 0, itt), LOGOUT_RSP_SUCCESS);
	CU_ASSERT_EQUAL(session_in(&w)->command_count, 0);
	end(&w);
}

/* --- Two logins with one CID */

/* Both wait for the old one to go: the newest of them is what the initiator still wants. */
static void two_wait_for_a_cid(void)
{
	struct world w;

	begin_two(&w, slow_disk, FOUR);
	write_to_disk(&w, 1);
	knock(&w, 2, 1, w.rig.r);
	knock(&w, 3, 1, w.rig.second);
	rig_turn(&w.rig);
	pass(&w, 4);
	CU_ASSERT_EQUAL(answer_to_login(&w, 3), LOGIN_SUCCESS);
	CU_ASSERT_TRUE(is_up(&w, 3));
	CU_ASSERT_FALSE(is_up(&w, 2));
	CU_ASSERT_EQUAL(ping(&w, 3), SAM_GOOD);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	end(&w);
}

/* --- Loss */

static int join_acknowledging(struct world *w, int i, uint16_t cid, uint32_t expstatsn)
{
	static const char keys[] =
		"InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal";
	struct initiator *in = &w->link[i];
	union pdu_header h = { 0 };

	memset(in, 0, sizeof(*in));
	in->rig = &w->rig;
	in->r = w->rig.r;
	in->itt = 1000u * (unsigned int)(i + 1);
	in->peer = memory_connect(in->r, &session_conn_up, w->rig.server);
	CU_ASSERT_FATAL(in->peer != NULL);
	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	h.login_request.isid = session_in(w)->who.isid;
	h.login_request.tsih = be16_of(w->link[0].tsih);
	h.login_request.itt = be32_of(in->itt++);
	h.login_request.cid = be16_of(cid);
	h.login_request.cmdsn = be32_of(w->cmdsn);
	h.login_request.expstatsn = be32_of(expstatsn);
	rig_send(in, &h, keys, sizeof(keys));
	return answer_to_login(w, i);
}

/* The first Login Request says what the initiator has got of the connection that it restarts (RFC 7143
 * 11.12.9); what it has got is not kept, however often that happens. */
static void lost_again_and_again(void)
{
	struct server_limits few = server_default_limits;
	uint32_t statsn = 0;
	struct world w;

	few.window = 8;
	begin_with(&w, "ram:1M", 1, &few, LEVEL_2, sizeof(LEVEL_2) - 1);
	for (int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL_FATAL(join_acknowledging(&w, 1, 1, statsn), LOGIN_SUCCESS);
		CU_ASSERT_EQUAL_FATAL(ping(&w, 1), SAM_GOOD);
		CU_ASSERT_EQUAL_FATAL(ping(&w, 1), SAM_GOOD);
		statsn = iconn_of(&w.link[1])->statsn;
		leave(&w, 1);
	}
	end(&w);
}

/* StatSN counts from the start on each connection: an acknowledgement is for the last one only. */
static void older_losses_are_kept(void)
{
	struct world w;
	struct session *s;
	uint32_t statsn;

	begin(&w, "ram:1M", 1, LEVEL_2);
	s = session_in(&w);
	CU_ASSERT_EQUAL_FATAL(join(&w, 1, 1, w.rig.r), LOGIN_SUCCESS);
	command(&w, 1, tur, CMD_FINAL, 0, 0); /* its status does not arrive */
	rig_turn(&w.rig);
	leave(&w, 1);
	CU_ASSERT_EQUAL_FATAL(join_acknowledging(&w, 1, 1, 1), LOGIN_SUCCESS);
	command(&w, 1, tur, CMD_FINAL, 0, 0);
	command(&w, 1, tur, CMD_FINAL, 0, 0);
	rig_turn(&w.rig);
	statsn = iconn_of(&w.link[1])->statsn;
	leave(&w, 1);
	CU_ASSERT_EQUAL(s->loose, 3 + 1); /* and one of connection 0 */
	CU_ASSERT_EQUAL_FATAL(join_acknowledging(&w, 1, 1, statsn - 1), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(s->loose, 2 + 1);
	end(&w);
}

/* The answer to TASK REASSIGN is one too many, and nobody wants the tasks of that connection. */
static void reassigned_to_one_that_goes(void)
{
	struct world w;
	uint32_t rtt;

	begin_two(&w, "ram:1M", LEVEL_2);
	CU_ASSERT_EQUAL(join(&w, 2, 2, w.rig.r), LOGIN_SUCCESS);
	rtt = command(&w, 2, tur, CMD_FINAL, 0, 0);
	rig_turn(&w.rig);
	leave(&w, 2);
	CU_ASSERT_EQUAL(logout_response(&w, 0, LOGOUT_RECOVERY, 2), LOGOUT_RSP_SUCCESS);
	while (is_up(&w, 1) && iconn_of(&w.link[1])->replies < REPLIES_MAX)
		send_immediate(&w, 1, OP_NOP_OUT, 0, 0);
	function(&w, 1, TMF_TASK_REASSIGN, rtt);
	CU_ASSERT_FALSE(is_up(&w, 1));
	log_out(&w, 0, LOGOUT_CONNECTION, 1);
	rig_turn(&w.rig);
	log_out(&w, 0, LOGOUT_SESSION, 0);
	rig_turn(&w.rig);
	CU_ASSERT_PTR_NULL(session_in(&w));
	end(&w);
}

/* --- Stop */

/* Nobody can continue a session once the daemon stops: it does not wait. */
static void nothing_waits_at_a_stop(void)
{
	struct world w;
	struct reactor_state *rs;

	begin_with(&w, "ram:1M", 1, NULL, LEVEL_2, sizeof(LEVEL_2) - 1);
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_SUCCESS);
	leave(&w, 1);
	rs = &w.rig.server->reactors[0];
	w.rig.server->drain_ms = 60000;
	rs->drain_work.fn(&rs->drain_work);
	rig_turn(&w.rig);
	free(rig_receive(&w.link[0])); /* asks for a Logout */
	CU_ASSERT_EQUAL(logout_response(&w, 0, LOGOUT_CONNECTION, 0), LOGOUT_RSP_SUCCESS);
	CU_ASSERT_PTR_NULL(session_in(&w));
	end(&w);
}

/* --- Keep-alive */

/* It is off: the NOP-In of a task management function is no question of life and death. */
static void fence_is_no_keep_alive(void)
{
	struct world w;

	begin_two(&w, "ram:1M", FOUR);
	function(&w, 0, TMF_LUN_RESET, TAG_NONE);
	rig_turn(&w.rig);
	CU_ASSERT_TRUE(iconn_of(&w.link[1])->nop_outstanding);
	pass(&w, server_default_limits.data_timeout_s + 2);
	CU_ASSERT_TRUE(is_up(&w, 0));
	CU_ASSERT_TRUE(is_up(&w, 1));
	end(&w);
}

UNIT_MAIN(TEST(gaps_around_what_is_held), TEST(gap_behind_a_logout), TEST(acknowledged_and_closed),
	  TEST(logout_and_login_of_a_cid), TEST(logout_and_login_in_one_turn),
	  TEST(logout_of_a_lost_one_waits), TEST(two_wait_for_a_cid), TEST(lost_again_and_again),
	  TEST(older_losses_are_kept), TEST(reassigned_to_one_that_goes),
	  TEST(nothing_waits_at_a_stop), TEST(fence_is_no_keep_alive));
