// SPDX-License-Identifier: BSD-2-Clause
/* A fence whose command nobody waits for any more: it was aborted before it aborts the others. */
#include "session_tasks_rig.h"

static bool is_victim(const void *arg, const struct nexus *nexus)
{
	const uint64_t *ids = arg;

	return nexus->id == ids[0] || nexus->id == ids[1];
}

static uint64_t victims[2];

static void abort_others(struct scsi_task *task)
{
	command_abort(container_of(task, struct command, task), false);
	task_abort_others(task, is_victim, victims, false, task_good);
}

static void the_tasks_of_its_victims_end(void)
{
	for (int leaves = 0; leaves < 2; leaves++) {
		struct initiator *in;
		struct test t;
		uint32_t itt, ttt, writes[INITIATORS], ttts[INITIATORS];

		begin(&t, "ram:1M", 2);
		in = &t.in[PREEMPTOR];
		for (int i = NEAR; i <= FAR; i++) {
			writes[i] = write_waits(&t.in[i], &ttts[i]);
			victims[i - NEAR] = session_of(&t.in[i])->nexus.id;
		}
		itt = write_waits(in, &ttt);
		command_find(session_of(in), itt)->task.step = abort_others;
		rig_data_out(in, itt, ttt, 0, block, 512, true);
		if (leaves)
			rig_leave(in);
		rig_turn(&t.rig);
		if (leaves) {
			CU_ASSERT_PTR_NULL(session_of(in));
		} else {
			CU_ASSERT_PTR_NULL(rig_receive(in));
			CU_ASSERT_EQUAL(session_of(in)->command_count, 0);
		}
		for (int i = NEAR; i <= FAR; i++) {
			CU_ASSERT_FALSE(
				rig_data_out(&t.in[i], writes[i], ttts[i], 0, block, 512, true));
			CU_ASSERT_PTR_NULL(rig_receive(&t.in[i]));
			CU_ASSERT_EQUAL(next_sense(&t.in[i]), SENSE_COMMANDS_CLEARED);
		}
		end(&t);
	}
}

UNIT_MAIN(TEST(the_tasks_of_its_victims_end));
