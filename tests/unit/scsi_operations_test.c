// SPDX-License-Identifier: BSD-2-Clause
/* Long work on units as operators see it: what runs, how it has ended, and who is told of it. */
#include "scsi_copy_world.h"

struct heard {
	unsigned int count;
	struct lu_operation last[4];
};

static void hear(const struct lu_operation *o, void *arg)
{
	struct heard *h = arg;

	CU_ASSERT_FATAL(h->count < array_size(h->last));
	h->last[h->count++] = *o;
}

/* A copy without a list identifier that hangs in its first write. */
static void start_nameless(struct copy_world *cw, struct command *c, struct param_list *l)
{
	list_units(cw, list_start(l, 0));
	l->b[1] = COPY_USAGE_NONE;
	list_segment(l, 0, 0, 1, 0, 8);
	list_segment(l, 0, 8, 1, 8, 8);
	command_prepare(cw, c, &cw->w.a, 0, list_cdb(l), DIR_WRITE, l->len, l->b);
	cw->second.hold = true;
	command_submit(c);
	world_turn(&cw->w);
	CU_ASSERT_FATAL(!c->ends);
}

static void let_go(struct copy_world *cw)
{
	cw->second.hold = false;
	while (cw->second.held_count)
		disk_release(&cw->second);
	world_turn(&cw->w);
}

static void copies_without_a_list_identifier(void)
{
	struct lu_operation seen[4], ended;
	struct copy_world cw;
	struct param_list l, other;
	struct command c, d;

	copy_world_create(&cw, 512);
	start_nameless(&cw, &c, &l);
	start_nameless(&cw, &d, &other); /* the same nexus, at the same time */
	CU_ASSERT_EQUAL_FATAL(lu_operations(cw.w.lu, seen, 4), 2);
	CU_ASSERT_EQUAL(seen[0].kind, LU_OPERATION_COPY);
	CU_ASSERT_EQUAL(seen[0].state, LU_OPERATION_RUNS);
	CU_ASSERT_EQUAL(seen[0].total, 16 * 512);
	CU_ASSERT_NOT_EQUAL(seen[0].id, seen[1].id);
	CU_ASSERT(lu_cancel_operation(cw.w.lu, seen[0].id));
	let_go(&cw);
	CU_ASSERT_EQUAL_FATAL(c.ends, 1);
	CU_ASSERT_EQUAL(c.task.status, SAM_CHECK_CONDITION);
	ASSERT_GOOD(&d);
	command_done(&c);
	command_done(&d);
	CU_ASSERT_EQUAL(lu_operations(cw.w.lu, seen + 2, 2), 0);
	CU_ASSERT(lu_operation_ended(seen[0].id, &ended));
	CU_ASSERT_EQUAL(ended.state, LU_OPERATION_CANCELED);
	CU_ASSERT(lu_operation_ended(seen[1].id, &ended));
	CU_ASSERT_EQUAL(ended.state, LU_OPERATION_DONE);
	CU_ASSERT_EQUAL(ended.done, 16 * 512);
	copy_world_destroy(&cw);
}

static void one_that_is_aborted_with_its_task(void)
{
	struct lu_operation seen;
	struct copy_world cw;
	struct param_list l;
	struct command c;

	copy_world_create(&cw, 512);
	start_nameless(&cw, &c, &l);
	CU_ASSERT_EQUAL_FATAL(lu_operations(cw.w.lu, &seen, 1), 1);
	scsi_abort(&c.task);
	let_go(&cw);
	CU_ASSERT_EQUAL(c.ends, 1);
	command_done(&c);
	CU_ASSERT_EQUAL(lu_operations(cw.w.lu, &seen, 1), 0);
	copy_world_destroy(&cw);
}

/* Who waits for a format is told how it has ended, whatever else has ended meanwhile. */
static void short_copies_push_nothing_out(void)
{
	struct cdb format = { { CDB_FORMAT_UNIT } };
	struct lu_operation ended;
	struct heard h = { 0 };
	struct copy_world cw;
	struct param_list l;

	copy_world_create(&cw, 512);
	lu_watch_operations(hear, &h);
	CU_ASSERT_EQUAL(outcome(&cw.w, format.b, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(h.count, 2);
	list_units(&cw, list_start(&l, 0));
	l.b[1] = COPY_USAGE_NONE;
	list_segment(&l, 0, 0, 1, 0, 1);
	for (unsigned int i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT_EQUAL(h.count, 2); /* and they are no news */
	CU_ASSERT(lu_operation_ended(h.last[0].id, &ended));
	CU_ASSERT_EQUAL(ended.state, LU_OPERATION_DONE);
	lu_watch_operations(NULL, NULL);
	copy_world_destroy(&cw);
}

static void beginning_and_end_are_told(void)
{
	struct cdb format = { { CDB_FORMAT_UNIT } };
	struct heard h = { 0 };
	struct copy_world cw;

	copy_world_create(&cw, 512);
	snprintf(cw.w.lu->target, sizeof(cw.w.lu->target), "iqn.2026-11.test:disk");
	cw.w.lu->number = 5;
	lu_watch_operations(hear, &h);
	CU_ASSERT_EQUAL(outcome(&cw.w, format.b, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(h.count, 2);
	CU_ASSERT_EQUAL(h.last[0].state, LU_OPERATION_RUNS);
	CU_ASSERT_EQUAL(h.last[0].kind, LU_OPERATION_FORMAT);
	CU_ASSERT_STRING_EQUAL(h.last[0].target, "iqn.2026-11.test:disk");
	CU_ASSERT_EQUAL(h.last[0].lun, 5);
	CU_ASSERT_EQUAL(h.last[1].state, LU_OPERATION_DONE);
	CU_ASSERT_EQUAL(h.last[1].id, h.last[0].id);
	CU_ASSERT_EQUAL(h.last[1].done, (uint64_t)DISK_BLOCKS * 512);
	h.count = 0;
	for (unsigned int i = 0; i < BS_OPCODES; i++)
		cw.w.disk.fail[i] = -EIO;
	CU_ASSERT_NOT_EQUAL(outcome(&cw.w, format.b, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(h.count, 2);
	CU_ASSERT_EQUAL(h.last[1].state, LU_OPERATION_FAILED);
	lu_watch_operations(NULL, NULL);
	copy_world_destroy(&cw);
}

UNIT_MAIN(TEST(copies_without_a_list_identifier), TEST(one_that_is_aborted_with_its_task),
	  TEST(short_copies_push_nothing_out), TEST(beginning_and_end_are_told));
