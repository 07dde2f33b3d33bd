// SPDX-License-Identifier: BSD-2-Clause
/*
 * TARGET COLD RESET and I_T NEXUS RESET, and task management in sessions with several connections:
 * what may still be on its way, in either direction, when a function comes or is answered.
 */
#include "session_links_rig.h"

static const uint8_t bad_naca[16] = { [1] = 1, [5] = CONTROL_NACA };
static const uint8_t reserve[16] = { [0] = 0x16 };
static const uint8_t sync_cache[16] = { [0] = 0x35 };

static void up(struct rig *rig, const char *disk, unsigned int reactors)
{
	struct server_limits limits = server_default_limits;

	limits.nop_interval_s = 0; /* nobody here would answer a ping */
	CU_ASSERT_FATAL(rig_up_on(rig, disk, &limits, reactors));
}

static void down(struct rig *rig)
{
	if (rig->bs)
		rig_close_disk(rig);
	rig_turn(rig);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	for (int n = 0; n < 2 && rig->reactors[n]; n++) {
		CU_ASSERT_TRUE(list_empty(&rig->server->reactors[n].sessions));
		CU_ASSERT_TRUE(list_empty(&rig->server->reactors[n].abort_waits));
	}
	rig_down(rig);
}

/* A session with two connections. */
struct pair {
	struct rig rig;
	struct initiator a, b;
};

static void pair_up(struct pair *p, const char *disk)
{
	up(&p->rig, disk, 1);
	log_in_newer(&p->rig, &p->a, 1, p->rig.r);
	link_up(&p->a, &p->b, 2);
}

static void pair_down(struct pair *p)
{
	rig_leave(&p->b);
	rig_leave(&p->a);
	down(&p->rig);
}

/* A write on one of the connections; its R2T is out. */
static uint32_t link_write(struct pair *p, struct initiator *in, uint32_t *ttt)
{
	uint32_t itt = link_command(&p->a, in, write_1, CMD_FINAL | CMD_WRITE, 512);
	struct memory_record *rec = rig_receive(in);

	CU_ASSERT_FATAL(rec && rec->kind == MEMORY_R2T);
	*ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	return itt;
}

/* --- TARGET COLD RESET */

static void cold_reset_needs_leave(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t itt, tmf, ttt;

	up(&rig, "ram:1M", 1);
	log_in(&rig, &in, 1, rig.r);
	itt = write_waits(&in, &ttt);
	tmf = rig_tmf(&in, TMF_TARGET_COLD_RESET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_NOT_AUTHORIZED);
	CU_ASSERT_TRUE(rig_data_out(&in, itt, ttt, 0, block, 512, true));
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_EQUAL(next_sense(&in), 0);
	rig_leave(&in);
	down(&rig);
}

/* The answer, then the end of every session of the target. */
static void cold_reset(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct initiator in, other, again;
		struct rig rig;
		uint32_t tmf, ttt;

		up(&rig, "ram:1M", reactors);
		rig.target.allow_cold_reset = true;
		log_in(&rig, &in, 1, rig.r);
		log_in(&rig, &other, 2, rig.second ? rig.second : rig.r);
		write_waits(&in, &ttt);
		write_waits(&other, &ttt);
		tmf = rig_tmf(&in, TMF_TARGET_COLD_RESET, TAG_NONE, 0);
		CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_EQUAL(link_event(&in), ASYNC_DROP_SESSION);
		CU_ASSERT_PTR_NULL(rig_receive(&in));
		CU_ASSERT_EQUAL(link_event(&other), ASYNC_DROP_SESSION);
		CU_ASSERT_PTR_NULL(rig_receive(&other));
		CU_ASSERT_PTR_NULL(memory_conn(in.peer));
		CU_ASSERT_PTR_NULL(memory_conn(other.peer));
		/* They begin anew, at once. */
		log_in(&rig, &again, 1, rig.r);
		CU_ASSERT_EQUAL(next_sense(&again), 0);
		rig_leave(&in);
		rig_leave(&other);
		rig_leave(&again);
		down(&rig);
	}
}

/* It happens also when nobody waits for the answer any more. */
static void cold_reset_without_its_issuer(void)
{
	struct initiator in, other;
	struct rig rig;

	up(&rig, "ram:1M,fault=flush:hang", 2);
	rig.target.allow_cold_reset = true;
	log_in(&rig, &in, 1, rig.second);
	log_in(&rig, &other, 2, rig.r);
	rig_command(&other, sync_cache, CMD_FINAL, 0, NULL, 0);
	rig_tmf(&in, TMF_TARGET_COLD_RESET, TAG_NONE, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	rig_leave(&in);
	pass(&rig, TMF_S);
	CU_ASSERT_PTR_NULL(memory_conn(other.peer));
	rig_leave(&other);
	down(&rig);
}

/* --- I_T NEXUS RESET */

static void nexus_reset(void)
{
	struct initiator in, other;
	struct rig rig;
	uint32_t itt, tmf, mine, theirs, mine_ttt, theirs_ttt;

	up(&rig, "ram:1M", 1);
	log_in_newer(&rig, &in, 1, rig.r);
	log_in_newer(&rig, &other, 2, rig.r);
	atomic_store(&session_of(&in)->nexus.prevents_removal[0], true);
	theirs = write_waits(&other, &theirs_ttt);
	mine = write_waits(&in, &mine_ttt);
	itt = rig_command(&in, bad_naca, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_CHECK_CONDITION);
	CU_ASSERT_NOT_EQUAL(set_of(&in)->aca, 0);
	tmf = rig_tmf(&in, TMF_I_T_NEXUS_RESET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_FALSE(rig_data_out(&in, mine, mine_ttt, 0, block, 512, true));
	CU_ASSERT_EQUAL(session_of(&in)->command_count, 0);
	CU_ASSERT_EQUAL(set_of(&in)->aca, 0);
	CU_ASSERT_FALSE(session_of(&in)->nexus.prevents_removal[0]);
	CU_ASSERT_EQUAL(next_sense(&in), SENSE_NEXUS_LOSS);
	CU_ASSERT_EQUAL(next_sense(&in), 0);
	/* Nobody else has lost anything. */
	CU_ASSERT_TRUE(rig_data_out(&other, theirs, theirs_ttt, 0, block, 512, true));
	CU_ASSERT_EQUAL(rig_status(&other, theirs), SAM_GOOD);
	CU_ASSERT_EQUAL(next_sense(&other), 0);
	rig_leave(&in);
	rig_leave(&other);
	down(&rig);
}

/* RESERVE(6) belongs to the nexus that is lost. */
static void nexus_reset_releases(void)
{
	struct initiator in, other;
	struct rig rig;
	uint32_t itt, tmf;

	up(&rig, "ram:1M", 1);
	log_in_newer(&rig, &in, 1, rig.r);
	log_in_newer(&rig, &other, 2, rig.r);
	itt = rig_command(&in, reserve, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	itt = rig_command(&other, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&other, itt), SAM_RESERVATION_CONFLICT);
	tmf = rig_tmf(&in, TMF_I_T_NEXUS_RESET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(next_sense(&other), 0);
	rig_leave(&in);
	rig_leave(&other);
	down(&rig);
}

/* --- The answer and what was sent on the other connection */

static const uint8_t of_many[] = { TMF_ABORT_TASK_SET, TMF_CLEAR_TASK_SET, TMF_LUN_RESET,
				   TMF_TARGET_WARM_RESET, TMF_I_T_NEXUS_RESET };

static void the_answer_waits_for_the_other_connection(void)
{
	for (size_t i = 0; i < array_size(of_many); i++) {
		uint32_t itt, ttt, tmf, asked;
		struct pair p;

		pair_up(&p, "ram:1M");
		itt = link_write(&p, &p.b, &ttt);
		tmf = link_tmf(&p.a, &p.a, of_many[i], TAG_NONE);
		CU_ASSERT_PTR_NULL(rig_receive(&p.a));
		CU_ASSERT_FALSE(rig_data_out(&p.b, itt, ttt, 0, block, 512, true));
		asked = link_asked(&p.b);
		CU_ASSERT_NOT_EQUAL(asked, TAG_NONE);
		/* Only the other connection knows, and only of this question. */
		link_answer(&p.a, &p.a, asked);
		link_answer(&p.a, &p.b, asked - 1);
		CU_ASSERT_PTR_NULL(rig_receive(&p.a));
		link_answer(&p.a, &p.b, asked);
		CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_PTR_NULL(rig_receive(&p.b));
		pair_down(&p);
	}
}

/* Nobody waits for ever: "rejected" says that nothing is certain. */
static void the_wait_is_bounded(void)
{
	uint32_t tmf;
	struct pair p;

	pair_up(&p, "ram:1M");
	tmf = link_tmf(&p.a, &p.a, TMF_ABORT_TASK_SET, TAG_NONE);
	CU_ASSERT_NOT_EQUAL(link_asked(&p.b), TAG_NONE);
	pass(&p.rig, TMF_TIMEOUT_S - 1);
	CU_ASSERT_PTR_NULL(rig_receive(&p.a));
	pass(&p.rig, 1);
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_REJECTED);
	pair_down(&p);
}

/* A disk that hangs leaves time for the question. */
static void a_hung_task_and_the_other_connection(void)
{
	for (int writes = 0; writes < 2; writes++) {
		uint32_t tmf, asked = TAG_NONE;
		struct pair p;

		pair_up(&p, writes ? "ram:1M,fault=write:hang" : "ram:1M,fault=flush:hang");
		if (writes)
			rig_command_sn(&p.b, p.a.cmdsn++, write_1, CMD_FINAL | CMD_WRITE, 512,
				       block, 512);
		else
			link_command(&p.a, &p.b, sync_cache, CMD_FINAL, 0);
		tmf = link_tmf(&p.a, &p.a, TMF_LUN_RESET, TAG_NONE);
		CU_ASSERT_PTR_NULL(rig_receive(&p.a));
		CU_ASSERT_PTR_NULL(rig_receive(&p.b));
		for (unsigned int s = 1; s < TMF_TIMEOUT_S && asked == TAG_NONE; s++) {
			pass(&p.rig, 1);
			asked = link_asked(&p.b);
		}
		CU_ASSERT_NOT_EQUAL(asked, TAG_NONE);
		link_answer(&p.a, &p.b, asked);
		CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf),
				writes ? TMF_RSP_REJECTED : TMF_RSP_COMPLETE);
		rig_leave(&p.b);
		rig_leave(&p.a);
		rig_close_disk(&p.rig);
		down(&p.rig);
	}
}

/* The order of one connection needs no help; a task of another one does. */
static void abort_task_here_and_there(void)
{
	for (int there = 0; there < 2; there++) {
		uint32_t itt, ttt, tmf;
		struct pair p;

		pair_up(&p, "ram:1M");
		itt = link_write(&p, there ? &p.b : &p.a, &ttt);
		tmf = link_tmf(&p.a, &p.a, TMF_ABORT_TASK, itt);
		if (there) {
			uint32_t asked = link_asked(&p.b);

			CU_ASSERT_PTR_NULL(rig_receive(&p.a));
			CU_ASSERT_NOT_EQUAL(asked, TAG_NONE);
			link_answer(&p.a, &p.b, asked);
		}
		CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_PTR_NULL(rig_receive(&p.b));
		pair_down(&p);
	}
}

/* Several at a time, each with a question of its own. */
static void two_functions(void)
{
	uint32_t first, second, asked[2];
	struct pair p;

	pair_up(&p, "ram:1M");
	first = link_tmf(&p.a, &p.a, TMF_ABORT_TASK_SET, TAG_NONE);
	asked[0] = link_asked(&p.b);
	second = link_tmf(&p.a, &p.a, TMF_LUN_RESET, TAG_NONE);
	asked[1] = link_asked(&p.b);
	CU_ASSERT_NOT_EQUAL(asked[0], asked[1]);
	link_answer(&p.a, &p.b, asked[0]);
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, first), TMF_RSP_COMPLETE);
	CU_ASSERT_PTR_NULL(rig_receive(&p.a));
	link_answer(&p.a, &p.b, asked[1]);
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, second), TMF_RSP_COMPLETE);
	pair_down(&p);
}

/* Who asked is gone, in whatever state the function is: nobody is answered, nothing is left. */
static void gone_meanwhile(void)
{
	for (int fenced = 0; fenced < 2; fenced++) {
		struct pair p;

		pair_up(&p, "ram:1M");
		if (!fenced)
			p.a.cmdsn++; /* a command that does not come */
		link_tmf(&p.a, &p.b, TMF_LUN_RESET, TAG_NONE);
		CU_ASSERT_EQUAL(link_asked(&p.a) != TAG_NONE, fenced);
		CU_ASSERT_FALSE(list_empty(&session_of(&p.a)->tmfs));
		rig_leave(&p.b);
		if (session_of(&p.a))
			CU_ASSERT_TRUE(list_empty(&session_of(&p.a)->tmfs));
		rig_leave(&p.a);
		down(&p.rig);
	}
}

/* Nothing comes out of a connection that is lost; at error recovery level 2 the session goes on. */
static void a_lost_connection_says_nothing_any_more(void)
{
	static const char keys[] = LEVEL_2 "ErrorRecoveryLevel=2\0DefaultTime2Retain=5\0";
	struct pair p;
	uint32_t itt, tmf, ttt;

	up(&p.rig, "ram:1M", 1);
	rig_knock(&p.rig, &p.a, 1, p.rig.r, keys, sizeof(keys) - 1);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&p.a));
	CU_ASSERT_EQUAL(next_sense(&p.a), SENSE_POWER_ON);
	link_up(&p.a, &p.b, 2);
	itt = link_write(&p, &p.b, &ttt);
	tmf = link_tmf(&p.a, &p.a, TMF_LUN_RESET, TAG_NONE);
	CU_ASSERT_PTR_NULL(rig_receive(&p.a));
	rig_leave(&p.b);
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_PTR_NULL(command_find(session_of(&p.a), itt));
	CU_ASSERT_EQUAL(next_sense(&p.a), SENSE_BUS_DEVICE_RESET);
	rig_leave(&p.a);
	pass(&p.rig, 10);
	down(&p.rig);
}

/* A function of another connection reaches the tasks that a lost one has left. */
static void tasks_of_a_lost_connection(void)
{
	static const char keys[] = LEVEL_2 "ErrorRecoveryLevel=2\0DefaultTime2Retain=5\0";
	static const uint8_t functions[] = { TMF_ABORT_TASK, TMF_ABORT_TASK_SET, TMF_LUN_RESET };

	for (size_t i = 0; i < array_size(functions); i++) {
		struct pair p;
		uint32_t itt, tmf, ttt;

		up(&p.rig, "ram:1M", 1);
		rig_knock(&p.rig, &p.a, 1, p.rig.r, keys, sizeof(keys) - 1);
		CU_ASSERT_TRUE_FATAL(rig_let_in(&p.a));
		CU_ASSERT_EQUAL(next_sense(&p.a), SENSE_POWER_ON);
		link_up(&p.a, &p.b, 2);
		itt = link_write(&p, &p.b, &ttt);
		rig_leave(&p.b);
		tmf = link_tmf(&p.a, &p.a, TMF_QUERY_TASK, itt);
		CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_SUCCEEDED);
		tmf = link_tmf(&p.a, &p.a, functions[i],
			       functions[i] == TMF_ABORT_TASK ? itt : TAG_NONE);
		CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
		tmf = link_tmf(&p.a, &p.a, TMF_QUERY_TASK, itt);
		CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_EQUAL(session_of(&p.a)->command_count, 0);
		rig_leave(&p.a);
		pass(&p.rig, 10);
		down(&p.rig);
	}
}

/* --- The function and what is on its way to us on the other connection */

/* A command that is older than the function runs, if at all, before the answer. */
static void older_commands_are_waited_for(void)
{
	static const uint8_t functions[] = { TMF_ABORT_TASK_SET, TMF_CLEAR_TASK_SET,
					     TMF_LUN_RESET };

	for (size_t i = 0; i < array_size(functions); i++) {
		uint32_t tmf, itt, older;
		struct pair p;

		pair_up(&p, "ram:1M");
		older = p.a.cmdsn++;
		tmf = link_tmf(&p.a, &p.a, functions[i], TAG_NONE);
		pass(&p.rig, 1);
		CU_ASSERT_PTR_NULL(rig_receive(&p.a));
		CU_ASSERT_PTR_NULL(rig_receive(&p.b));
		itt = rig_command_sn(&p.b, older, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
		free(link_next(&p.b, OP_R2T));
		CU_ASSERT_PTR_NOT_NULL(command_find(session_of(&p.a), itt));
		reactor_advance(p.rig.r, 20 * NSEC_PER_MSEC);
		CU_ASSERT_PTR_NULL(command_find(session_of(&p.a), itt));
		link_answer(&p.a, &p.b, link_asked(&p.b));
		CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_EQUAL(next_sense(&p.a),
				functions[i] == TMF_LUN_RESET ? SENSE_BUS_DEVICE_RESET : 0);
		pair_down(&p);
	}
}

/* But not for ever, and a reset that has not happened is none. */
static void commands_that_never_come(void)
{
	uint32_t tmf, gap;
	struct pair p;

	pair_up(&p, "ram:1M");
	gap = p.a.cmdsn++;
	tmf = link_tmf(&p.a, &p.a, TMF_LUN_RESET, TAG_NONE);
	pass(&p.rig, TMF_S);
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_REJECTED);
	rig_command_sn(&p.b, gap, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&p.b, p.b.itt - 1), SAM_GOOD);
	pair_down(&p);
}

/* Where everything of the session ends anyway, what comes late is ignored. */
static void resets_fill_the_gaps(void)
{
	static const uint8_t functions[] = { TMF_TARGET_WARM_RESET, TMF_I_T_NEXUS_RESET };

	for (size_t i = 0; i < array_size(functions); i++) {
		uint32_t tmf, gap, held;
		struct pair p;

		pair_up(&p, "ram:1M");
		gap = p.a.cmdsn;
		held = rig_command_sn(&p.a, gap + 1, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
		p.a.cmdsn = gap + 3;
		tmf = link_tmf(&p.a, &p.a, functions[i], TAG_NONE);
		CU_ASSERT_PTR_NULL(command_find(session_of(&p.a), held));
		CU_ASSERT_EQUAL(session_of(&p.a)->expcmdsn, gap + 3);
		link_answer(&p.a, &p.b, link_asked(&p.b));
		CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
		rig_command_sn(&p.b, gap, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
		CU_ASSERT_PTR_NULL(rig_receive(&p.b));
		CU_ASSERT_NOT_EQUAL(next_sense(&p.a), 0);
		CU_ASSERT_EQUAL(next_sense(&p.a), 0);
		CU_ASSERT_EQUAL(p.a.maxcmdsn - p.a.expcmdsn + 1, 128);
		pair_down(&p);
	}
}

/* A command that was sent after the function, and has overtaken it. */
static void newer_commands_live(void)
{
	for (size_t i = 0; i < array_size(of_many); i++) {
		uint32_t tmf, older, newer, ttt;
		struct pair p;

		pair_up(&p, "ram:1M");
		older = link_write(&p, &p.b, &ttt);
		newer = link_write(&p, &p.b, &ttt);
		p.a.cmdsn--; /* of the newer one: the function was sent before it */
		tmf = link_tmf(&p.a, &p.a, of_many[i], TAG_NONE);
		p.a.cmdsn++;
		link_answer(&p.a, &p.b, link_asked(&p.b));
		CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_PTR_NULL(command_find(session_of(&p.a), older));
		CU_ASSERT_TRUE(rig_data_out(&p.b, newer, ttt, 0, block, 512, true));
		CU_ASSERT_EQUAL(rig_status(&p.b, newer), SAM_GOOD);
		pair_down(&p);
	}
}

UNIT_MAIN(TEST(cold_reset_needs_leave), TEST(cold_reset), TEST(cold_reset_without_its_issuer),
	  TEST(nexus_reset), TEST(nexus_reset_releases),
	  TEST(the_answer_waits_for_the_other_connection), TEST(the_wait_is_bounded),
	  TEST(a_hung_task_and_the_other_connection), TEST(abort_task_here_and_there),
	  TEST(two_functions), TEST(gone_meanwhile), TEST(a_lost_connection_says_nothing_any_more),
	  TEST(tasks_of_a_lost_connection), TEST(older_commands_are_waited_for),
	  TEST(commands_that_never_come), TEST(resets_fill_the_gaps), TEST(newer_commands_live));
