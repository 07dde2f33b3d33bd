// SPDX-License-Identifier: BSD-2-Clause
/* Tasks of preempted nexuses end on every reactor, and who preempts waits for that. */
#include "session_tasks_rig.h"

static const uint8_t bad_naca[16] = { [1] = 1, [5] = CONTROL_NACA };
static const uint8_t read_4096[16] = { [0] = 0x28, [7] = 16 };

/* --- A command that does what PREEMPT AND ABORT does */

struct preemption {
	uint64_t victims[INITIATORS]; /* nexus ids; 0: none */
	bool report;
	unsigned int asked;
};
static struct preemption preemption;

static bool is_victim(const void *arg, const struct nexus *nexus)
{
	const struct preemption *p = arg;

	for (int i = 0; i < INITIATORS; i++) {
		if (p->victims[i] == nexus->id)
			return true;
	}
	return false;
}

static void preempt(struct scsi_task *task)
{
	task_abort_others(task, is_victim, &preemption, preemption.report, task_good);
}

/* A WRITE of `in` that, when its data comes, aborts the others. Returns its ITT. */
static uint32_t preempt_begins(struct initiator *in)
{
	struct command *c;
	uint32_t ttt, itt = write_waits(in, &ttt);

	c = command_find(session_of(in), itt);
	CU_ASSERT_FATAL(c != NULL);
	c->task.step = preempt;
	CU_ASSERT(rig_data_out(in, itt, ttt, 0, block, 512, true));
	return itt;
}

static void name_victims(struct test *t, bool report, int first, int second)
{
	memset(&preemption, 0, sizeof(preemption));
	preemption.report = report;
	preemption.victims[first] = session_of(&t->in[first])->nexus.id;
	preemption.victims[second] = session_of(&t->in[second])->nexus.id;
}

/* --- abort_tasks() */

static void nothing_to_abort(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct test t;
		uint32_t itt;

		begin(&t, "ram:1M", reactors);
		name_victims(&t, true, NEAR, FAR);
		itt = preempt_begins(&t.in[PREEMPTOR]);
		CU_ASSERT_EQUAL(rig_status(&t.in[PREEMPTOR], itt), SAM_GOOD);
		for (int i = 0; i < INITIATORS; i++)
			CU_ASSERT_EQUAL(next_sense(&t.in[i]), 0);
		end(&t);
	}
}

/* The victims' tasks go without an answer, and their nexuses hear of it. */
static void victims_on_every_reactor(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct test t;
		uint32_t itt, ttt[INITIATORS], writes[INITIATORS];

		begin(&t, "ram:1M", reactors);
		name_victims(&t, false, NEAR, FAR);
		for (int i = NEAR; i < INITIATORS; i++) {
			writes[i] = write_waits(&t.in[i], &ttt[i]);
			/* And one that is dormant behind it. */
			rig_command(&t.in[i], tur, CMD_FINAL | ATTR_ORDERED, 0, NULL, 0);
			CU_ASSERT_EQUAL(set_of(&t.in[i])->dormant, 1);
		}
		itt = preempt_begins(&t.in[PREEMPTOR]);
		CU_ASSERT_EQUAL(rig_status(&t.in[PREEMPTOR], itt), SAM_GOOD);
		CU_ASSERT_EQUAL(next_sense(&t.in[PREEMPTOR]), 0);
		for (int i = NEAR; i <= FAR; i++) {
			CU_ASSERT_FALSE(
				rig_data_out(&t.in[i], writes[i], ttt[i], 0, block, 512, true));
			CU_ASSERT_PTR_NULL(rig_receive(&t.in[i]));
			CU_ASSERT_EQUAL(set_of(&t.in[i])->dormant, 0);
			CU_ASSERT_EQUAL(next_sense(&t.in[i]), SENSE_COMMANDS_CLEARED);
			CU_ASSERT_EQUAL(next_sense(&t.in[i]), 0);
			CU_ASSERT_EQUAL(t.in[i].maxcmdsn - t.in[i].expcmdsn + 1, 128);
		}
		CU_ASSERT(rig_data_out(&t.in[BYSTANDER], writes[BYSTANDER], ttt[BYSTANDER], 0, &t,
				       512, true));
		CU_ASSERT_EQUAL(rig_status(&t.in[BYSTANDER], writes[BYSTANDER]), SAM_GOOD);
		CU_ASSERT_EQUAL(rig_status(&t.in[BYSTANDER], writes[BYSTANDER] + 1), SAM_GOOD);
		CU_ASSERT_EQUAL(next_sense(&t.in[BYSTANDER]), 0);
		end(&t);
	}
}

/* With TAS they are answered instead, wherever they wait. */
static void victims_answer_task_aborted(void)
{
	struct initiator *near, *far;
	struct test t;
	uint32_t itt, ttt, waiting, dormant, unsolicited, held;

	begin(&t, "ram:1M", 2);
	near = &t.in[NEAR];
	far = &t.in[FAR];
	name_victims(&t, true, NEAR, FAR);
	waiting = write_waits(far, &ttt);
	dormant = rig_command(far, tur, CMD_FINAL | ATTR_ORDERED, 0, NULL, 0);
	unsolicited = rig_command(near, write_1, CMD_WRITE, 512, NULL, 0);
	held = rig_command_sn(near, near->cmdsn + 1, tur, CMD_FINAL, 0, NULL, 0);
	itt = preempt_begins(&t.in[PREEMPTOR]);
	CU_ASSERT_EQUAL(rig_status(&t.in[PREEMPTOR], itt), SAM_GOOD);
	CU_ASSERT_EQUAL(rig_status(far, dormant), SAM_TASK_ABORTED);
	CU_ASSERT_EQUAL(rig_status(far, waiting), SAM_TASK_ABORTED);
	CU_ASSERT_EQUAL(next_sense(far), 0);
	CU_ASSERT_EQUAL(rig_status(near, held), SAM_TASK_ABORTED);
	CU_ASSERT_EQUAL(rig_status(near, unsolicited), SAM_TASK_ABORTED);
	CU_ASSERT_EQUAL(next_sense(near), 0); /* the gap is filled; the held one counts */
	near->cmdsn++;
	CU_ASSERT_EQUAL(next_sense(near), 0);
	CU_ASSERT_EQUAL(near->maxcmdsn - near->expcmdsn + 1, 128);
	end(&t);
}

/* However long it takes. What an earlier function gave up on is waited for as well. */
static void what_may_reach_the_medium_is_waited_for(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct test t;
		uint32_t itt, hung, tmf;

		begin(&t, SLOW, reactors);
		name_victims(&t, true, NEAR, FAR);
		hung = write_is_slow(&t.in[NEAR]);
		tmf = rig_tmf(&t.in[FAR], TMF_ABORT_TASK, write_is_slow(&t.in[FAR]),
			      t.in[FAR].cmdsn - 1);
		tmf = t.in[FAR].itt - 1;
		CU_ASSERT_PTR_NULL(rig_receive(&t.in[FAR]));
		pass(&t.rig, TMF_S);
		CU_ASSERT_EQUAL(rig_tmf_response(&t.in[FAR], tmf), TMF_RSP_REJECTED);
		itt = preempt_begins(&t.in[PREEMPTOR]);
		pass(&t.rig, TMF_S);
		pass(&t.rig, TMF_S);
		CU_ASSERT_PTR_NULL(rig_receive(&t.in[PREEMPTOR]));
		CU_ASSERT_PTR_NULL(rig_receive(&t.in[NEAR]));
		pass(&t.rig, SLOW_S);
		CU_ASSERT_EQUAL(rig_status(&t.in[PREEMPTOR], itt), SAM_GOOD);
		CU_ASSERT_EQUAL(rig_status(&t.in[NEAR], hung), SAM_TASK_ABORTED);
		CU_ASSERT_PTR_NULL(rig_receive(&t.in[FAR]));
		CU_ASSERT_EQUAL(next_sense(&t.in[FAR]), 0);
		end(&t);
	}
}

/* The memory transport, but that Data-In takes until somebody calls data_in_arrives(). */
static struct transport_ops lazy;
static struct transfer *data_in;

static void put_data_later(struct conn *conn, struct transfer *t)
{
	(void)conn;
	data_in = t;
}

static void data_in_arrives(struct initiator *in)
{
	struct reactor *before = reactor_set_self(in->r);

	memory_transport.put_data(memory_conn(in->peer), data_in);
	reactor_set_self(before);
	free(rig_receive(in));
}

/* An initiator that does not take its data cannot hold up the one that shuts it out. */
static void data_on_its_way_is_not_waited_for(void)
{
	for (int report = 0; report < 2; report++) {
		struct initiator *far;
		struct test t;
		uint32_t itt, reads;

		begin(&t, "ram:4M,fault=flush:eio",
		      2); /* lends nothing: a READ takes several steps */
		far = &t.in[FAR];
		name_victims(&t, report, NEAR, FAR);
		lazy = memory_transport;
		lazy.put_data = put_data_later;
		memory_conn(far->peer)->ops = &lazy;
		data_in = NULL;
		reads = rig_command(far, read_4096, CMD_FINAL | CMD_READ, 4096 * 512, NULL, 0);
		CU_ASSERT_PTR_NULL(rig_receive(far));
		CU_ASSERT_FATAL(data_in && !data_in->with_status);
		itt = preempt_begins(&t.in[PREEMPTOR]);
		CU_ASSERT_EQUAL(rig_status(&t.in[PREEMPTOR], itt), SAM_GOOD);
		CU_ASSERT_PTR_NOT_NULL(command_find(session_of(far), reads));
		data_in_arrives(far);
		CU_ASSERT_EQUAL(rig_status(far, reads), report ? SAM_TASK_ABORTED : -1);
		CU_ASSERT_EQUAL(next_sense(far), report ? 0 : SENSE_COMMANDS_CLEARED);
		end(&t);
	}
}

/* Each waits for the end of the other: both end, because an aborted one waits no more. */
static void two_that_abort_each_other(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		for (int report = 0; report < 2; report++) {
			struct test t;
			uint32_t first, second;

			begin(&t, SLOW, reactors);
			name_victims(&t, report, PREEMPTOR, FAR);
			/* A third task that hangs keeps both waiting. */
			preemption.victims[BYSTANDER] = session_of(&t.in[BYSTANDER])->nexus.id;
			write_is_slow(&t.in[BYSTANDER]);
			first = preempt_begins(&t.in[PREEMPTOR]);
			CU_ASSERT_PTR_NULL(rig_receive(&t.in[PREEMPTOR]));
			second = preempt_begins(&t.in[FAR]);
			rig_turn(&t.rig);
			if (report)
				CU_ASSERT_EQUAL(rig_status(&t.in[PREEMPTOR], first),
						SAM_TASK_ABORTED);
			CU_ASSERT_PTR_NULL(rig_receive(&t.in[PREEMPTOR]));
			CU_ASSERT_EQUAL(session_of(&t.in[PREEMPTOR])->command_count, 0);
			CU_ASSERT_PTR_NULL(rig_receive(&t.in[FAR]));
			pass(&t.rig, SLOW_S);
			CU_ASSERT_EQUAL(rig_status(&t.in[FAR], second), SAM_GOOD);
			end(&t);
		}
	}
}

/* ABORT TASK of the command that waits: answered at once, not when the victims are back. */
static void who_waits_can_be_aborted(void)
{
	struct test t;
	uint32_t itt, tmf;

	begin(&t, SLOW, 2);
	name_victims(&t, false, NEAR, FAR);
	write_is_slow(&t.in[FAR]);
	itt = preempt_begins(&t.in[PREEMPTOR]);
	CU_ASSERT_PTR_NULL(rig_receive(&t.in[PREEMPTOR]));
	tmf = rig_tmf(&t.in[PREEMPTOR], TMF_ABORT_TASK, itt, t.in[PREEMPTOR].cmdsn - 1);
	CU_ASSERT_EQUAL(rig_tmf_response(&t.in[PREEMPTOR], tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(next_sense(&t.in[PREEMPTOR]), 0);
	/* The session waits for its visits, also when it has no connection any more. */
	rig_leave(&t.in[PREEMPTOR]);
	CU_ASSERT_PTR_NOT_NULL(session_of(&t.in[PREEMPTOR]));
	pass(&t.rig, SLOW_S);
	rig_turn(&t.rig);
	CU_ASSERT_PTR_NULL(session_of(&t.in[PREEMPTOR]));
	end(&t);
}

/* The same before its visits have been anywhere, and by the end of its connection. */
static void who_waits_can_go_away_at_once(void)
{
	for (int leaves = 0; leaves < 2; leaves++) {
		struct initiator *in;
		struct reactor *before;
		struct test t;
		uint32_t itt, ttt, tmf;

		begin(&t, SLOW, 2);
		in = &t.in[PREEMPTOR];
		name_victims(&t, false, NEAR, FAR);
		write_is_slow(&t.in[FAR]);
		itt = write_waits(in, &ttt);
		command_find(session_of(in), itt)->task.step = preempt;
		rig_data_out(in, itt, ttt, 0, block, 512, true);
		/* One turn of its own reactor: the visits are out, none is back. */
		reactor_turn(in->r);
		CU_ASSERT_PTR_NOT_NULL(command_find(session_of(in), itt)->job);
		if (leaves) {
			before = reactor_set_self(in->r);
			memory_disconnect(in->peer);
			reactor_set_self(before);
			rig_turn(&t.rig);
			CU_ASSERT_EQUAL(session_of(in)->command_count, 0);
		} else {
			tmf = rig_tmf(in, TMF_ABORT_TASK, itt, in->cmdsn - 1);
			CU_ASSERT_EQUAL(rig_tmf_response(in, tmf), TMF_RSP_COMPLETE);
		}
		end(&t);
	}
}

/* Visits that nobody waits for any more stay as long as the disk hangs: so many and no more. */
static void visits_have_an_end(void)
{
	struct initiator *in;
	struct test t;
	uint32_t itt;

	begin(&t, SLOW, 2);
	in = &t.in[PREEMPTOR];
	name_victims(&t, false, NEAR, FAR);
	write_is_slow(&t.in[FAR]);
	for (int i = 0; i < 2 * TMF_MAX; i++) {
		struct reactor *before = reactor_set_self(in->r);

		itt = preempt_begins(in);
		CU_ASSERT_PTR_NULL(rig_receive(in));
		command_abort(command_find(session_of(in), itt), false);
		reactor_set_self(before);
		rig_turn(&t.rig);
	}
	CU_ASSERT_EQUAL(session_of(in)->command_count, 0);
	itt = preempt_begins(in);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
	CU_ASSERT_EQUAL(next_sense(in), 0);
	end(&t);
}

static void preempting_oneself_spares_the_command(void)
{
	struct test t;
	uint32_t itt, ttt;

	begin(&t, "ram:1M", 1);
	name_victims(&t, true, PREEMPTOR, PREEMPTOR);
	write_waits(&t.in[PREEMPTOR], &ttt);
	itt = preempt_begins(&t.in[PREEMPTOR]);
	/* Without an answer for the other one: it was this nexus itself. */
	CU_ASSERT_EQUAL(rig_status(&t.in[PREEMPTOR], itt), SAM_GOOD);
	CU_ASSERT_EQUAL(next_sense(&t.in[PREEMPTOR]), 0);
	CU_ASSERT_EQUAL(session_of(&t.in[PREEMPTOR])->command_count, 0);
	end(&t);
}

static void preemption_clears_aca(void)
{
	struct test t;
	uint32_t itt;

	begin(&t, "ram:1M", 2);
	name_victims(&t, false, NEAR, FAR);
	for (int i = NEAR; i < INITIATORS; i++) {
		itt = rig_command(&t.in[i], bad_naca, CMD_FINAL, 0, NULL, 0);
		CU_ASSERT_EQUAL(rig_status(&t.in[i], itt), SAM_CHECK_CONDITION);
	}
	itt = preempt_begins(&t.in[PREEMPTOR]);
	CU_ASSERT_EQUAL(rig_status(&t.in[PREEMPTOR], itt), SAM_GOOD);
	CU_ASSERT_EQUAL(next_sense(&t.in[NEAR]), 0);
	CU_ASSERT_EQUAL(next_sense(&t.in[FAR]), 0);
	itt = rig_command(&t.in[BYSTANDER], tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&t.in[BYSTANDER], itt), SAM_ACA_ACTIVE);
	end(&t);
}

UNIT_MAIN(TEST(nothing_to_abort), TEST(victims_on_every_reactor), TEST(victims_answer_task_aborted),
	  TEST(what_may_reach_the_medium_is_waited_for), TEST(data_on_its_way_is_not_waited_for),
	  TEST(two_that_abort_each_other), TEST(who_waits_can_be_aborted),
	  TEST(who_waits_can_go_away_at_once), TEST(visits_have_an_end),
	  TEST(preempting_oneself_spares_the_command), TEST(preemption_clears_aca));
