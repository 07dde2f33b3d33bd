// SPDX-License-Identifier: BSD-2-Clause
/* Task management functions that know of ACA and TAS, and what QERR does in a session. */
#include "session_tasks_rig.h"

static const uint8_t bad_naca[16] = { [1] = 1, [5] = CONTROL_NACA };
static const uint8_t bad[16] = { [1] = 1 };
static const uint8_t sync_cache[16] = { [0] = 0x35 };

/* --- Task management */

static void clear_aca(void)
{
	struct initiator *in;
	struct test t;
	uint32_t itt, tmf, aca, ttt;

	begin(&t, "ram:1M", 1);
	in = &t.in[NEAR];
	/* No error where there is none. */
	tmf = rig_tmf(in, TMF_CLEAR_ACA, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(in, tmf), TMF_RSP_COMPLETE);
	itt = rig_command(in, bad_naca, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
	itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_ACA_ACTIVE);
	CU_ASSERT_EQUAL(next_sense(&t.in[PREEMPTOR]), 0);
	/* Another nexus cannot clear it; its own does, and the ACA command goes with it. */
	tmf = rig_tmf(&t.in[PREEMPTOR], TMF_CLEAR_ACA, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&t.in[PREEMPTOR], tmf), TMF_RSP_COMPLETE);
	in->itt += 1000;
	aca = rig_command(in, write_1, CMD_FINAL | CMD_WRITE | ATTR_ACA, 512, NULL, 0);
	free(rig_receive(in));
	CU_ASSERT_PTR_NOT_NULL(command_find(session_of(in), aca));
	tmf = rig_tmf(in, TMF_CLEAR_ACA, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_PTR_NULL(command_find(session_of(in), aca));
	CU_ASSERT_EQUAL(next_sense(in), 0);
	/* Nothing else is aborted. */
	itt = write_waits(in, &ttt);
	tmf = rig_tmf(in, TMF_CLEAR_ACA, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_PTR_NOT_NULL(command_find(session_of(in), itt));
	end(&t);
}

/* Each nexus has a task set of its own: the function does not reach beyond it. */
static void clear_task_set(void)
{
	struct test t;
	uint32_t tmf, ttt, mine, theirs;

	begin(&t, "ram:1M", 1);
	atomic_store(&t.rig.lu->mode.tas, true);
	mine = write_waits(&t.in[NEAR], &ttt);
	theirs = write_waits(&t.in[PREEMPTOR], &ttt);
	tmf = rig_tmf(&t.in[NEAR], TMF_CLEAR_TASK_SET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&t.in[NEAR], tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_PTR_NULL(command_find(session_of(&t.in[NEAR]), mine));
	CU_ASSERT_PTR_NOT_NULL(command_find(session_of(&t.in[PREEMPTOR]), theirs));
	CU_ASSERT_EQUAL(next_sense(&t.in[NEAR]), 0);
	CU_ASSERT_EQUAL(next_sense(&t.in[PREEMPTOR]), 0);
	end(&t);
}

/* What a reset takes from the other nexuses is answered with TAS, and silent without. */
static void resets_and_tas(void)
{
	static const uint8_t functions[] = { TMF_LUN_RESET, TMF_TARGET_WARM_RESET };

	for (int i = 0; i < 4; i++) {
		struct initiator *in, *far;
		struct test t;
		uint32_t tmf, ttt, itt, aca;
		bool tas = i & 1;

		begin(&t, "ram:1M", 2);
		in = &t.in[PREEMPTOR];
		far = &t.in[FAR];
		atomic_store(&t.rig.lu->mode.tas, tas);
		write_waits(in, &ttt);
		itt = write_waits(far, &ttt);
		aca = rig_command(&t.in[BYSTANDER], bad_naca, CMD_FINAL, 0, NULL, 0);
		CU_ASSERT_EQUAL(rig_status(&t.in[BYSTANDER], aca), SAM_CHECK_CONDITION);
		tmf = rig_tmf(in, functions[i / 2], TAG_NONE, 0);
		CU_ASSERT_EQUAL(rig_tmf_response(in, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_EQUAL(session_of(in)->command_count, 0);
		CU_ASSERT_EQUAL(rig_status(far, itt), tas ? SAM_TASK_ABORTED : -1);
		CU_ASSERT_EQUAL(next_sense(far), SENSE_BUS_DEVICE_RESET);
		/* ACA is over, too. */
		CU_ASSERT_EQUAL(next_sense(&t.in[BYSTANDER]), SENSE_BUS_DEVICE_RESET);
		CU_ASSERT_EQUAL(next_sense(&t.in[BYSTANDER]), 0);
		CU_ASSERT_EQUAL(next_sense(in), SENSE_BUS_DEVICE_RESET);
		end(&t);
	}
}

/* What others do on units that the initiator does not see goes on; its own tasks all end. */
static void resets_reach_what_is_seen(void)
{
	struct nexus_rights others = { .sees = { { 2 } } };
	struct initiator *in, *far, *bystander;
	uint32_t tmf, ttt, itt, aca;
	unsigned int first;
	struct test t;

	begin(&t, "ram:1M", 2);
	in = &t.in[PREEMPTOR];
	far = &t.in[FAR];
	bystander = &t.in[BYSTANDER];
	write_waits(in, &ttt);
	itt = write_waits(far, &ttt);
	aca = rig_command(bystander, bad_naca, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(bystander, aca), SAM_CHECK_CONDITION);
	nexus_restrict(&session_of(in)->nexus, &others, &first);
	tmf = rig_tmf(in, TMF_TARGET_WARM_RESET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(session_of(in)->command_count, 0);
	CU_ASSERT_PTR_NOT_NULL(command_find(session_of(far), itt));
	CU_ASSERT_EQUAL(next_sense(far), 0);
	itt = rig_command(bystander, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(bystander, itt), SAM_ACA_ACTIVE);
	end(&t);
}

/* The other reactor aborts a moment after the reset has begun: who has heard of it by then, and has
 * a task aborted all the same, hears of it again. */
static void a_reset_that_aborts_is_never_silent(void)
{
	static const uint8_t functions[] = { TMF_LUN_RESET, TMF_TARGET_WARM_RESET };

	for (size_t i = 0; i < array_size(functions); i++) {
		struct initiator *in, *far, *idle;
		struct test t;
		uint32_t tmf, heard, itt;

		begin(&t, "ram:1M", 2);
		in = &t.in[PREEMPTOR];
		far = &t.in[FAR];
		idle = &t.in[BYSTANDER];
		tmf = rig_tmf(in, functions[i], TAG_NONE, 0);
		heard = rig_command(far, tur, CMD_FINAL, 0, NULL, 0);
		rig_command(idle, tur, CMD_FINAL, 0, NULL, 0);
		itt = rig_command(far, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
		CU_ASSERT_PTR_NOT_NULL(command_find(session_of(far), itt));
		CU_ASSERT_EQUAL(rig_tmf_response(in, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_PTR_NULL(command_find(session_of(far), itt));
		CU_ASSERT_EQUAL(rig_status(far, heard), SAM_CHECK_CONDITION);
		free(rig_receive(far)); /* the R2T */
		CU_ASSERT_EQUAL(next_sense(far), SENSE_BUS_DEVICE_RESET);
		CU_ASSERT_EQUAL(next_sense(far), 0);
		free(rig_receive(idle));
		CU_ASSERT_EQUAL(next_sense(idle), 0);
		end(&t);
	}
}

/* What a function gave up on holds up nobody, unless it may still write. */
static void given_up_and_out_of_the_set(void)
{
	static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };

	for (int writes = 0; writes < 2; writes++) {
		struct initiator *in;
		struct test t;
		uint32_t tmf, itt;

		begin(&t, writes ? SLOW : "ram:1M,fault=read:delay=30s", 1);
		in = &t.in[NEAR];
		itt = writes ? rig_command(in, write_1, CMD_FINAL | CMD_WRITE | ATTR_ORDERED, 512,
					   block, 512)
			     : rig_command(in, read_1, CMD_FINAL | CMD_READ | ATTR_ORDERED, 512,
					   NULL, 0);
		CU_ASSERT_PTR_NULL(rig_receive(in));
		tmf = rig_tmf(in, TMF_ABORT_TASK, itt, in->cmdsn - 1);
		pass(&t.rig, TMF_S);
		CU_ASSERT_EQUAL(rig_tmf_response(in, tmf),
				writes ? TMF_RSP_REJECTED : TMF_RSP_COMPLETE);
		itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
		CU_ASSERT_EQUAL(rig_status(in, itt), writes ? -1 : SAM_GOOD);
		pass(&t.rig, SLOW_S);
		CU_ASSERT_EQUAL(set_of(in)->enabled, 0);
		free(rig_receive(in));
		end(&t);
	}
}

/* The reset does not wait longer than it may; the task that hangs answers when it is over, by a tag
 * that is its own until then. */
static void a_reset_gives_up_on_a_task_that_will_answer(void)
{
	struct test t;
	uint32_t tmf, hung;

	begin(&t, SLOW, 2);
	atomic_store(&t.rig.lu->mode.tas, true);
	hung = write_is_slow(&t.in[FAR]);
	tmf = rig_tmf(&t.in[NEAR], TMF_LUN_RESET, TAG_NONE, 0);
	pass(&t.rig, TMF_S);
	CU_ASSERT_EQUAL(rig_tmf_response(&t.in[NEAR], tmf), TMF_RSP_REJECTED);
	CU_ASSERT_PTR_NOT_NULL(command_find(session_of(&t.in[FAR]), hung));
	pass(&t.rig, SLOW_S);
	CU_ASSERT_EQUAL(rig_status(&t.in[FAR], hung), SAM_TASK_ABORTED);
	end(&t);
}

/* Its own initiator aborts it meanwhile: with that answer the tag is free, and no status comes. */
static void aborted_by_two(void)
{
	struct initiator *far;
	struct test t;
	uint32_t tmf, hung;

	begin(&t, SLOW, 2);
	far = &t.in[FAR];
	atomic_store(&t.rig.lu->mode.tas, true);
	hung = write_is_slow(far);
	rig_tmf(&t.in[NEAR], TMF_LUN_RESET, TAG_NONE, 0);
	rig_turn(&t.rig);
	tmf = rig_tmf(far, TMF_ABORT_TASK, hung, far->cmdsn - 1);
	pass(&t.rig, TMF_S);
	CU_ASSERT_EQUAL(rig_tmf_response(far, tmf), TMF_RSP_REJECTED);
	CU_ASSERT_PTR_NULL(command_find(session_of(far), hung));
	pass(&t.rig, SLOW_S);
	CU_ASSERT_PTR_NULL(rig_receive(far));
	end(&t);
}

/* Errors that the session finds are CHECK CONDITIONs as any. */
static void errors_of_the_session_count(void)
{
	static const uint8_t write_naca[16] = { [0] = 0x2a, [8] = 1, [9] = CONTROL_NACA };
	struct initiator *in;
	struct test t;
	uint32_t itt, ttt, waiting;

	begin(&t, "ram:1M", 1);
	in = &t.in[NEAR];
	/* More immediate data than the command moves. */
	itt = rig_command(in, write_naca, CMD_FINAL | CMD_WRITE, 256, block, 512);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
	for (int i = 0; i < 2; i++) { /* now with ACA ACTIVE, whatever is wrong */
		itt = rig_command(in, write_naca, CMD_FINAL | CMD_WRITE, i ? 256 : 512, block, 512);
		CU_ASSERT_EQUAL(rig_status(in, itt), SAM_ACA_ACTIVE);
	}
	itt = rig_command(in, write_naca, CMD_FINAL | CMD_WRITE | ATTR_ACA, 256, block, 512);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
	itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_ACA_ACTIVE);
	/* An ACA command that fails without NACA ends the condition. */
	itt = rig_command(in, write_1, CMD_FINAL | CMD_WRITE | ATTR_ACA, 256, block, 512);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
	CU_ASSERT_EQUAL(next_sense(in), 0);
	atomic_store(&t.rig.lu->mode.qerr, 1);
	waiting = write_waits(in, &ttt);
	itt = rig_command(in, write_1, CMD_FINAL | CMD_WRITE, 256, block, 512);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
	CU_ASSERT_PTR_NULL(command_find(session_of(in), waiting));
	CU_ASSERT_EQUAL(set_of(in)->enabled, 0);
	end(&t);
}

/* --- QERR */

static void qerr_takes_the_other_tasks_of_the_nexus(void)
{
	struct initiator *in;
	struct test t;
	uint32_t itt, ttt, writes, other;

	begin(&t, "ram:1M", 1);
	in = &t.in[NEAR];
	atomic_store(&t.rig.lu->mode.qerr, 1);
	writes = write_waits(in, &ttt);
	rig_command(in, tur, CMD_FINAL | ATTR_ORDERED, 0, NULL, 0);
	other = write_waits(&t.in[PREEMPTOR], &ttt);
	itt = rig_command(in, bad, CMD_FINAL | ATTR_HEAD, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
	CU_ASSERT_PTR_NULL(rig_receive(in));
	CU_ASSERT_PTR_NULL(command_find(session_of(in), writes));
	CU_ASSERT_EQUAL(session_of(in)->command_count, 0);
	CU_ASSERT_EQUAL(next_sense(in), 0);
	CU_ASSERT_EQUAL(in->maxcmdsn - in->expcmdsn + 1, 128);
	CU_ASSERT_PTR_NOT_NULL(command_find(session_of(&t.in[PREEMPTOR]), other));
	CU_ASSERT_EQUAL(next_sense(&t.in[PREEMPTOR]), 0);
	end(&t);
}

/* A command that came before its turn is not in the task set yet. */
static void qerr_spares_what_is_still_to_come(void)
{
	struct initiator *in;
	struct test t;
	uint32_t failed, held;

	begin(&t, "ram:1M", 1);
	in = &t.in[NEAR];
	atomic_store(&t.rig.lu->mode.qerr, 1);
	held = rig_command_sn(in, in->cmdsn + 1, tur, CMD_FINAL, 0, NULL, 0);
	failed = rig_command(in, bad, CMD_FINAL, 0, NULL, 0);
	in->cmdsn++;
	CU_ASSERT_EQUAL(rig_status(in, failed), SAM_CHECK_CONDITION);
	CU_ASSERT_EQUAL(rig_status(in, held), SAM_GOOD);
	CU_ASSERT_EQUAL(next_sense(in), 0);
	end(&t);
}

/* What fails while it is collected, and with it everything that waits for its own data. */
static void qerr_from_inside_a_transfer(void)
{
	struct initiator *in;
	struct test t;
	uint32_t itt[3], ttt[3];

	begin(&t, "ram:1M", 1);
	in = &t.in[NEAR];
	atomic_store(&t.rig.lu->mode.qerr, 3);
	for (int i = 0; i < 3; i++)
		itt[i] = write_waits(in, &ttt[i]);
	CU_ASSERT(memory_finish(in->peer, itt[1], TRANSFER_DIGEST));
	CU_ASSERT_EQUAL(rig_status(in, itt[1]), SAM_CHECK_CONDITION);
	CU_ASSERT_PTR_NULL(rig_receive(in));
	CU_ASSERT_EQUAL(session_of(in)->command_count, 0);
	end(&t);
}

/* A flush that fails in the disk. */
static void qerr_from_the_disk(void)
{
	struct initiator *in;
	struct test t;
	uint32_t itt, ttt;

	begin(&t, "ram:1M,fault=flush:eio", 1);
	in = &t.in[NEAR];
	atomic_store(&t.rig.lu->mode.qerr, 1);
	write_waits(in, &ttt);
	itt = rig_command(in, sync_cache, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
	CU_ASSERT_EQUAL(session_of(in)->command_count, 0);
	end(&t);
}

UNIT_MAIN(TEST(clear_aca), TEST(clear_task_set), TEST(resets_and_tas),
	  TEST(resets_reach_what_is_seen), TEST(a_reset_gives_up_on_a_task_that_will_answer),
	  TEST(aborted_by_two), TEST(a_reset_that_aborts_is_never_silent),
	  TEST(given_up_and_out_of_the_set), TEST(qerr_takes_the_other_tasks_of_the_nexus),
	  TEST(qerr_spares_what_is_still_to_come), TEST(qerr_from_inside_a_transfer),
	  TEST(qerr_from_the_disk), TEST(errors_of_the_session_count));
