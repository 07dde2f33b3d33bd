// SPDX-License-Identifier: BSD-2-Clause
/* PREEMPT AND ABORT as a fence: what it aborts, what it waits for, what may happen to itself. */
#include "scsi_pr.h"

enum { WE = 1, EA = 3, WE_RO = 5 };
enum { LIST_BAD = SENSE_INVALID_LIST_FIELD };

static unsigned int registrations(struct pr_world *p)
{
	uint8_t in[8];

	pr_in(p, 0, PR_READ_KEYS, sizeof(in), in);
	return (unsigned int)get_be(in + 4, 4) / 8;
}

/* The port's part: aborts the write of the command that is told of, GOOD comes when it is back. */
static struct fence {
	struct command *write;
	bool (*victim)(const void *arg, const struct nexus *nexus);
	const void *arg;
	struct scsi_task *task;
	bool report;
} fence;

static void fence_abort(struct scsi_task *task,
			bool (*victim)(const void *arg, const struct nexus *nexus), const void *arg,
			bool report)
{
	fence.task = task;
	fence.victim = victim;
	fence.arg = arg;
	fence.report = report;
	if (fence.write && victim(arg, fence.write->task.nexus))
		scsi_abort(&fence.write->task);
}

static const struct task_port_ops fence_ops = { port_get, port_put, port_done, fence_abort,
						port_abort_others };

static void preempt_and_abort_waits_for_the_medium(void)
{
	struct cdb write = cdb_rw(CDB_WRITE_10, 0, 100, 8);
	struct cdb cdb = pr_out_cdb(PR_PREEMPT_AND_ABORT, EA, 24);
	uint8_t *data = pattern(4096, 1), list[24];
	struct command hanging, late, preempt;
	struct pr_world p;

	memset(&fence, 0, sizeof(fence));
	pr_create(&p, true);
	atomic_store(&p.w.lu->mode.tas, true);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 2, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_RESERVE, WE_RO, 2, 0, 0), 0);

	p.w.disk.hold = true;
	command_init(&p.w, &hanging, write.b, DIR_WRITE, 4096, data);
	hanging.task.nexus = &p.n[1];
	command_submit(&hanging);
	CU_ASSERT_EQUAL(p.w.disk.held_count, 1);

	pr_list(list, 1, 2, 0);
	fence.write = &hanging;
	command_init(&p.w, &preempt, cdb.b, DIR_WRITE, 24, list);
	preempt.task.port = &fence_ops;
	preempt.task.nexus = &p.n[0];
	command_submit(&preempt);
	/* The reservation has changed hands; who asked is not told before the write is back. */
	CU_ASSERT_EQUAL(preempt.ends, 0);
	CU_ASSERT_PTR_EQUAL(fence.task, &preempt.task);
	CU_ASSERT(fence.report);
	CU_ASSERT(!fence.victim(fence.arg, &p.n[0]) && fence.victim(fence.arg, &p.n[1]));
	CU_ASSERT(!fence.victim(fence.arg, &p.n[2]) && !fence.victim(fence.arg, &p.n[3]));
	CU_ASSERT_EQUAL(hanging.ends, 0);
	/* Commands that come now meet the new reservation. */
	CU_ASSERT_EQUAL(pr_attentions(&p, 1), 1u << UA_REGISTRATIONS_PREEMPTED);
	command_init(&p.w, &late, write.b, DIR_WRITE, 4096, data);
	late.task.nexus = &p.n[1];
	command_submit(&late);
	CU_ASSERT_EQUAL(pr_outcome(&late), CONFLICT);
	CU_ASSERT_EQUAL(p.w.disk.requests, 1);
	/* Others get their turn meanwhile. */
	CU_ASSERT_EQUAL(pr_out(&p, 3, PR_REGISTER, 0, 0, 4, 0), 0);

	disk_release(&p.w.disk);
	world_turn(&p.w);
	CU_ASSERT_EQUAL(hanging.ends, 1);
	fence.task->io_done(fence.task, true);
	ASSERT_GOOD(&preempt);
	command_free(&hanging);
	command_free(&late);
	command_free(&preempt);
	p.w.disk.hold = false;
	free(data);
	pr_destroy(&p);
}

/* PREEMPT alone aborts nothing, nor does one that fails; TAS is what the page says. */
static void only_a_preemption_that_happens_aborts(void)
{
	struct pr_world p;

	pr_create(&p, true);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(pr_out(&p, i, PR_REGISTER, 0, 0, i + 1, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_PREEMPT, WE, 1, 2, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_PREEMPT_AND_ABORT, WE, 1, 2, 0), CONFLICT);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_PREEMPT_AND_ABORT, WE, 2, 3, 0), CONFLICT);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_PREEMPT_AND_ABORT, WE, 1, 0, 0), LIST_BAD);
	CU_ASSERT_EQUAL(p.w.aborts, 0);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_PREEMPT_AND_ABORT, WE, 1, 3, 0), 0);
	CU_ASSERT_EQUAL(p.w.aborts, 1);
	CU_ASSERT(!p.w.abort_report);
	pr_destroy(&p);
}

static void preempt_and_abort_may_itself_be_aborted(void)
{
	struct cdb cdb = pr_out_cdb(PR_PREEMPT_AND_ABORT, EA, 24);
	struct command preempt;
	struct pr_world p;
	uint8_t list[24];

	memset(&fence, 0, sizeof(fence));
	pr_create(&p, true);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 2, 0), 0);
	pr_list(list, 1, 2, 0);
	command_init(&p.w, &preempt, cdb.b, DIR_WRITE, 24, list);
	preempt.task.port = &fence_ops;
	preempt.task.nexus = &p.n[0];
	command_submit(&preempt);
	scsi_abort(&preempt.task);
	CU_ASSERT_EQUAL(preempt.ends, 0);
	/* The port still reads who the victims are. */
	CU_ASSERT(fence.victim(fence.arg, &p.n[1]));
	fence.task->io_done(fence.task, true);
	CU_ASSERT_EQUAL(preempt.ends, 1);
	CU_ASSERT_EQUAL(registrations(&p), 1);
	command_free(&preempt);
	pr_destroy(&p);
}

/* Aborted while it is stored: it happens all the same, and so does the fence, which nobody could ask
 * for again, since the keys are gone. */
static void a_preemption_that_is_stored_aborts_in_any_case(void)
{
	struct cdb cdb = pr_out_cdb(PR_PREEMPT_AND_ABORT, EA, 24);
	struct command preempt;
	struct pr_world p;
	uint8_t list[24];

	memset(&fence, 0, sizeof(fence));
	pr_create(&p, true);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, PR_APTPL), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 2, PR_APTPL), 0);
	pr_list(list, 1, 2, 0);
	command_init(&p.w, &preempt, cdb.b, DIR_WRITE, 24, list);
	preempt.task.port = &fence_ops;
	preempt.task.nexus = &p.n[0];
	p.store.hold = true;
	command_submit(&preempt);
	scsi_abort(&preempt.task);
	CU_ASSERT_EQUAL(preempt.ends, 0);
	/* It waits for the state folder and for no disk. */
	CU_ASSERT_FALSE(scsi_detach(&preempt.task, true));
	CU_ASSERT_PTR_NULL(fence.task);
	memory_store_release(&p.store);
	world_turn(&p.w);
	CU_ASSERT_EQUAL(registrations(&p), 1);
	CU_ASSERT_EQUAL(preempt.ends, 0);
	CU_ASSERT_PTR_EQUAL(fence.task, &preempt.task);
	if (fence.task) {
		CU_ASSERT(fence.victim(fence.arg, &p.n[1]));
		fence.task->io_done(fence.task, false);
	}
	CU_ASSERT_EQUAL(preempt.ends, 1);
	command_free(&preempt);
	p.store.hold = false;
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_CLEAR, 0, 1, 0, 0), 0);
	pr_destroy(&p);
}

/* What victims have asked for before they were preempted does not register them again. */
static void victims_do_not_come_back_before_the_fence_is_there(void)
{
	struct cdb cdb = pr_out_cdb(PR_PREEMPT_AND_ABORT, WE_RO, 24);
	struct cdb again = pr_out_cdb(PR_REGISTER_AND_IGNORE, 0, 24);
	uint8_t list[24], again_list[24];
	struct command preempt, queued, late, fetching;
	struct pr_world p;

	memset(&fence, 0, sizeof(fence));
	pr_create(&p, true);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, PR_APTPL), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 2, PR_APTPL), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_RESERVE, WE_RO, 2, 0, 0), 0);
	pr_list(list, 1, 2, 0);
	pr_list(again_list, 0, 2, PR_APTPL);
	command_init(&p.w, &preempt, cdb.b, DIR_WRITE, 24, list);
	preempt.task.port = &fence_ops;
	preempt.task.nexus = &p.n[0];
	command_init(&p.w, &queued, again.b, DIR_WRITE, 24, again_list);
	queued.task.nexus = &p.n[1];
	command_init(&p.w, &fetching, again.b, DIR_WRITE, 24, again_list);
	fetching.task.nexus = &p.n[1];
	fetching.hold = true;
	p.store.hold = true;
	command_submit(&preempt);
	command_submit(&queued);
	command_submit(&fetching);
	memory_store_release(&p.store);
	p.store.hold = false;
	world_turn(&p.w);
	CU_ASSERT_PTR_EQUAL(fence.task, &preempt.task);
	command_transfer(&fetching);
	/* The visit of their reactor is still on the way: neither may run. */
	CU_ASSERT_EQUAL(queued.ends + fetching.ends, 0);
	CU_ASSERT_EQUAL(registrations(&p), 1);
	scsi_abort(&queued.task);
	scsi_abort(&fetching.task);
	CU_ASSERT_EQUAL(queued.ends, 1);
	CU_ASSERT_EQUAL(fetching.ends, 1);
	/* One that comes behind the visit waits for the end; nobody else does. */
	pr_attentions(&p, 1);
	command_init(&p.w, &late, again.b, DIR_WRITE, 24, again_list);
	late.task.nexus = &p.n[1];
	command_submit(&late);
	CU_ASSERT_EQUAL(late.ends, 0);
	CU_ASSERT_EQUAL(pr_out(&p, 3, PR_REGISTER, 0, 0, 4, 0), 0);
	CU_ASSERT_EQUAL(registrations(&p), 2);
	fence.task->io_done(fence.task, true);
	ASSERT_GOOD(&preempt);
	world_turn(&p.w);
	ASSERT_GOOD(&late);
	CU_ASSERT_EQUAL(registrations(&p), 3);
	command_free(&preempt);
	command_free(&queued);
	command_free(&fetching);
	command_free(&late);
	pr_destroy(&p);
}

UNIT_MAIN(TEST(preempt_and_abort_waits_for_the_medium), TEST(only_a_preemption_that_happens_aborts),
	  TEST(preempt_and_abort_may_itself_be_aborted),
	  TEST(a_preemption_that_is_stored_aborts_in_any_case),
	  TEST(victims_do_not_come_back_before_the_fence_is_there));
