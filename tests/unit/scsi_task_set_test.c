// SPDX-License-Identifier: BSD-2-Clause
/*
 * The task set: which commands of a nexus wait for which, what an auto contingent allegiance stops,
 * and what CHECK CONDITION does to the others. Commands are READs of a disk that hangs.
 */
#include "scsi/task_set.h"
#include "scsi_port.h"

enum { MANY = 24 };

static const uint8_t tur[CDB_MAX] = { CDB_TEST_UNIT_READY };
/* A reserved bit; without and with NACA. */
static const uint8_t wrong[CDB_MAX] = { CDB_TEST_UNIT_READY, 1 };
static const uint8_t wrong_naca[CDB_MAX] = { CDB_TEST_UNIT_READY, 1, [5] = CONTROL_NACA };

static void world_hangs(struct world *w)
{
	world_create(w);
	w->disk.hold = true;
}

/* Submits a READ of block `lba`; it ends when finish() says so. */
static void begin(struct world *w, struct command *c, uint8_t attribute, uint32_t lba)
{
	struct cdb cdb = cdb_rw(CDB_READ_10, 0, lba, 1);

	command_init(w, c, cdb.b, DIR_READ, 512, NULL);
	c->task.attribute = attribute;
	command_submit(c);
}

/* Where the disk has the READ of this command; -1: it was not started. */
static int held_at(const struct world *w, const struct command *c)
{
	for (unsigned int i = 0; i < w->disk.held_count; i++) {
		if (w->disk.held[i] == &c->task.req)
			return (int)i;
	}
	return -1;
}

static bool runs(const struct world *w, const struct command *c)
{
	return held_at(w, c) >= 0;
}

static bool waits(const struct world *w, const struct command *c)
{
	return !c->ends && !runs(w, c);
}

/* The disk answers this READ. */
static void finish(struct world *w, struct command *c)
{
	struct disk *d = &w->disk;
	int at = held_at(w, c);
	struct bs_req *req;

	CU_ASSERT_FATAL(at >= 0);
	req = d->held[at];
	memmove(d->held + 1, d->held, (size_t)at * sizeof(d->held[0]));
	d->held[0] = req;
	disk_release(d);
	world_turn(w);
}

static void finish_good(struct world *w, struct command *c)
{
	finish(w, c);
	ASSERT_GOOD(c);
	command_free(c);
}

static uint32_t attribute_outcome(struct world *w, struct nexus *nexus, uint8_t attribute,
				  const uint8_t *cdb)
{
	struct command c;
	uint32_t result;

	command_init(w, &c, cdb, 0, 0, NULL);
	c.task.nexus = nexus;
	c.task.attribute = attribute;
	command_submit(&c);
	result = c.task.status == SAM_CHECK_CONDITION ? command_sense(&c) : c.task.status;
	command_free(&c);
	return result;
}

static uint32_t simple(struct world *w, const uint8_t *cdb)
{
	return attribute_outcome(w, &w->a, ATTR_SIMPLE, cdb);
}

/* --- Order */

static void simple_commands_run_side_by_side(void)
{
	static const uint8_t attributes[] = { ATTR_SIMPLE, ATTR_UNTAGGED, ATTR_SIMPLE };
	struct command c[3];
	struct world w;

	world_hangs(&w);
	for (unsigned int i = 0; i < 3; i++) {
		begin(&w, &c[i], attributes[i], i);
		CU_ASSERT(runs(&w, &c[i]));
	}
	CU_ASSERT_EQUAL(w.a.sets[0].enabled, 3);
	for (unsigned int i = 3; i--;)
		finish_good(&w, &c[i]);
	CU_ASSERT_EQUAL(w.a.sets[0].enabled, 0);
	world_destroy(&w);
}

static void ordered_waits_for_all_and_all_wait_for_it(void)
{
	struct command before[2], ordered[2], after;
	struct world w;

	world_hangs(&w);
	begin(&w, &before[0], ATTR_SIMPLE, 0);
	begin(&w, &before[1], ATTR_SIMPLE, 1);
	begin(&w, &ordered[0], ATTR_ORDERED, 2);
	begin(&w, &ordered[1], ATTR_ORDERED, 3);
	begin(&w, &after, ATTR_SIMPLE, 4);
	finish_good(&w, &before[1]);
	CU_ASSERT(waits(&w, &ordered[0]));
	finish_good(&w, &before[0]);
	CU_ASSERT(runs(&w, &ordered[0]));
	CU_ASSERT(waits(&w, &ordered[1]));
	finish_good(&w, &ordered[0]);
	CU_ASSERT(runs(&w, &ordered[1]));
	CU_ASSERT(waits(&w, &after));
	finish_good(&w, &ordered[1]);
	finish_good(&w, &after);
	world_destroy(&w);
}

static void head_of_queue_overtakes(void)
{
	struct command running, ordered, head[2], after;
	struct world w;

	world_hangs(&w);
	begin(&w, &running, ATTR_SIMPLE, 0);
	begin(&w, &ordered, ATTR_ORDERED, 1);
	begin(&w, &head[0], ATTR_HEAD, 2);
	begin(&w, &head[1], ATTR_HEAD, 3);
	CU_ASSERT(runs(&w, &head[0]));
	CU_ASSERT(runs(&w, &head[1]));
	finish_good(&w, &running);
	CU_ASSERT(waits(&w, &ordered));
	finish_good(&w, &head[0]);
	begin(&w, &after, ATTR_SIMPLE, 4);
	finish_good(&w, &head[1]);
	CU_ASSERT(runs(&w, &ordered));
	CU_ASSERT(waits(&w, &after));
	finish_good(&w, &ordered);
	finish_good(&w, &after);
	/* One alone holds up what comes behind it. */
	begin(&w, &head[0], ATTR_HEAD, 0);
	begin(&w, &after, ATTR_SIMPLE, 1);
	CU_ASSERT(waits(&w, &after));
	finish_good(&w, &head[0]);
	finish_good(&w, &after);
	world_destroy(&w);
}

static void nexuses_and_luns_have_sets_of_their_own(void)
{
	struct cdb read = cdb_rw(CDB_READ_10, 0, 9, 1);
	struct command ordered, other, next_door;
	struct world w;

	world_hangs(&w);
	w.target.lun[1] = w.lu;
	begin(&w, &ordered, ATTR_ORDERED, 0);
	command_init(&w, &other, read.b, DIR_READ, 512, NULL);
	other.task.nexus = &w.b;
	command_submit(&other);
	CU_ASSERT(runs(&w, &other));
	command_init(&w, &next_door, read.b, DIR_READ, 512, NULL);
	next_door.task.lun[1] = 1;
	next_door.task.attribute = ATTR_ORDERED;
	command_submit(&next_door);
	CU_ASSERT(runs(&w, &next_door));
	finish_good(&w, &next_door);
	finish_good(&w, &other);
	finish_good(&w, &ordered);
	world_destroy(&w);
}

/* What a command meets is looked at when its turn comes. */
static void dormant_commands_are_checked_when_they_are_enabled(void)
{
	struct command ordered, waiting;
	struct world w;

	world_hangs(&w);
	begin(&w, &ordered, ATTR_ORDERED, 0);
	begin(&w, &waiting, ATTR_SIMPLE, 1);
	lu_raise_ua(w.lu, UA_CAPACITY_CHANGED, NULL);
	finish_good(&w, &ordered);
	ASSERT_SENSE(&waiting, SENSE_CAPACITY_CHANGED);
	command_free(&waiting);
	world_destroy(&w);
}

static void aborted_dormant_commands_leave_and_let_others_pass(void)
{
	struct command running, ordered, behind;
	struct world w;

	world_hangs(&w);
	begin(&w, &running, ATTR_SIMPLE, 0);
	begin(&w, &ordered, ATTR_ORDERED, 1);
	begin(&w, &behind, ATTR_SIMPLE, 2);
	scsi_abort(&ordered.task);
	CU_ASSERT_EQUAL(ordered.ends, 1);
	CU_ASSERT(waits(&w, &behind));
	world_turn(&w);
	CU_ASSERT(runs(&w, &behind));
	command_free(&ordered);
	/* A running one is in the set until it is back. */
	begin(&w, &ordered, ATTR_ORDERED, 1);
	scsi_abort(&running.task);
	scsi_abort(&behind.task);
	CU_ASSERT(waits(&w, &ordered));
	finish(&w, &running);
	finish(&w, &behind);
	CU_ASSERT(runs(&w, &ordered));
	command_free(&running);
	command_free(&behind);
	finish_good(&w, &ordered);
	world_destroy(&w);
}

/* --- Order, at random */

struct model_task {
	struct command c;
	uint8_t attribute; /* ATTR_UNTAGGED: the entry is free */
	unsigned int age;
	bool enabled;
};

/* SAM 8.5, as it is written there. */
static bool model_may_run(const struct model_task *set, const struct model_task *t)
{
	if (t->attribute == ATTR_HEAD)
		return true;
	for (int i = 0; i < MANY; i++) {
		const struct model_task *o = &set[i];

		if (o == t || !o->attribute)
			continue;
		if (o->attribute == ATTR_HEAD)
			return false;
		if (o->age < t->age &&
		    (o->attribute == ATTR_ORDERED || t->attribute == ATTR_ORDERED))
			return false;
	}
	return true;
}

static void model_settle(struct model_task *set)
{
	for (int i = 0; i < MANY; i++) {
		if (set[i].attribute && !set[i].enabled)
			set[i].enabled = model_may_run(set, &set[i]);
	}
}

static void model_compare(const struct world *w, const struct model_task *set)
{
	for (int i = 0; i < MANY; i++) {
		if (set[i].attribute)
			CU_ASSERT_EQUAL_FATAL(set[i].enabled, runs(w, &set[i].c));
	}
}

static uint32_t random_next(uint32_t *state)
{
	return *state = *state * 1664525 + 1013904223;
}

static void random_step(struct world *w, struct model_task *set, unsigned int age, uint32_t random)
{
	struct model_task *t = &set[(random >> 8) % MANY];

	if (!t->attribute) {
		static const uint8_t attributes[] = { ATTR_SIMPLE, ATTR_SIMPLE, ATTR_SIMPLE,
						      ATTR_ORDERED, ATTR_HEAD };

		t->attribute = attributes[(random >> 16) % array_size(attributes)];
		t->age = age;
		t->enabled = false;
		begin(w, &t->c, t->attribute, age % DISK_BLOCKS);
	} else if (t->enabled) {
		t->attribute = ATTR_UNTAGGED;
		finish_good(w, &t->c);
	} else if ((random >> 16) % 4 == 0) {
		t->attribute = ATTR_UNTAGGED;
		scsi_abort(&t->c.task);
		world_turn(w);
		command_free(&t->c);
	}
}

static void any_sequence_is_ordered_as_the_model_says(void)
{
	struct model_task *set = calloc(MANY, sizeof(*set));
	uint32_t random = 4711;
	struct world w;

	CU_ASSERT_FATAL(set != NULL);
	world_hangs(&w);
	for (unsigned int age = 0; age < 20000; age++) {
		random_step(&w, set, age, random_next(&random));
		model_settle(set);
		model_compare(&w, set);
	}
	for (bool some = true; some;) {
		some = false;
		for (int i = 0; i < MANY; i++) {
			if (!set[i].attribute || !set[i].enabled)
				continue;
			set[i].attribute = ATTR_UNTAGGED;
			finish_good(&w, &set[i].c);
			model_settle(set);
			model_compare(&w, set);
			some = true;
		}
	}
	CU_ASSERT(list_empty(&w.a.dormant));
	CU_ASSERT(task_set_plain(&w.a.sets[0]) && !w.a.sets[0].enabled);
	world_destroy(&w);
	free(set);
}

/* --- TASK SET FULL */

static void a_set_has_an_end(void)
{
	struct command *c = calloc(TASK_SET_MAX, sizeof(*c)), head;
	struct world w;

	CU_ASSERT_FATAL(c != NULL);
	world_hangs(&w);
	begin(&w, &head, ATTR_HEAD, 0);
	for (unsigned int i = 0; i < TASK_SET_MAX - 1; i++) {
		begin(&w, &c[i], ATTR_SIMPLE, 1);
		CU_ASSERT(waits(&w, &c[i]));
	}
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_TASK_SET_FULL);
	CU_ASSERT_EQUAL(attribute_outcome(&w, &w.a, ATTR_HEAD, tur), SAM_TASK_SET_FULL);
	CU_ASSERT_EQUAL(attribute_outcome(&w, &w.b, ATTR_SIMPLE, tur), SAM_GOOD);
	w.disk.hold = false;
	finish_good(&w, &head);
	for (unsigned int i = 0; i < TASK_SET_MAX - 1; i++) {
		ASSERT_GOOD(&c[i]);
		command_free(&c[i]);
	}
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_GOOD);
	/* And so for commands that all run. */
	w.a.sets[0].enabled = TASK_SET_MAX;
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_TASK_SET_FULL);
	w.a.sets[0].enabled = 0;
	world_destroy(&w);
	free(c);
}

/* --- ACA */

static void naca_stops_the_nexus_until_aca_is_cleared(void)
{
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(simple(&w, wrong), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_GOOD);
	CU_ASSERT_EQUAL(simple(&w, wrong_naca), SENSE_INVALID_CDB_FIELD);
	for (uint8_t attribute = ATTR_UNTAGGED; attribute < ATTR_ACA; attribute++) {
		CU_ASSERT_EQUAL(attribute_outcome(&w, &w.a, attribute, tur), SAM_ACA_ACTIVE);
		CU_ASSERT_EQUAL(attribute_outcome(&w, &w.b, attribute, tur), SAM_GOOD);
	}
	/* Those that report no unit attention are stopped, too; and no condition is lost. */
	lu_raise_ua(w.lu, UA_MODE_CHANGED, &w.b);
	CU_ASSERT_EQUAL(simple(&w, (uint8_t[CDB_MAX]){ CDB_INQUIRY, [4] = 36 }), SAM_ACA_ACTIVE);
	CU_ASSERT_EQUAL(simple(&w, (uint8_t[CDB_MAX]){ 0xff }), SAM_ACA_ACTIVE);
	nexus_clear_aca(&w.b, w.lu);
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_ACA_ACTIVE);
	nexus_clear_aca(&w.a, w.lu);
	CU_ASSERT_EQUAL(simple(&w, tur), SENSE_MODE_CHANGED);
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_GOOD);
	CU_ASSERT(task_set_plain(&w.a.sets[0]));
	world_destroy(&w);
}

static void one_command_at_a_time_has_the_aca_attribute(void)
{
	struct command aca, simple_one, more;
	struct world w;

	world_hangs(&w);
	CU_ASSERT_EQUAL(simple(&w, wrong_naca), SENSE_INVALID_CDB_FIELD);
	begin(&w, &aca, ATTR_ACA, 0);
	CU_ASSERT(runs(&w, &aca));
	CU_ASSERT_EQUAL(attribute_outcome(&w, &w.a, ATTR_ACA, tur), SAM_ACA_ACTIVE);
	finish_good(&w, &aca);
	/* The condition outlives it. */
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_ACA_ACTIVE);
	begin(&w, &aca, ATTR_ACA, 0);
	nexus_clear_aca(&w.a, NULL);
	begin(&w, &simple_one, ATTR_SIMPLE, 1);
	CU_ASSERT(runs(&w, &simple_one));
	/* A new condition, while the command from the old one is still there. */
	CU_ASSERT_EQUAL(simple(&w, wrong_naca), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(attribute_outcome(&w, &w.a, ATTR_ACA, tur), SAM_ACA_ACTIVE);
	finish_good(&w, &aca);
	begin(&w, &more, ATTR_ACA, 2);
	CU_ASSERT(runs(&w, &more));
	finish_good(&w, &more);
	finish_good(&w, &simple_one);
	world_destroy(&w);
}

static void an_aca_command_that_fails_ends_the_condition(void)
{
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(simple(&w, wrong_naca), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(attribute_outcome(&w, &w.a, ATTR_ACA, wrong_naca), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_ACA_ACTIVE);
	CU_ASSERT_EQUAL(attribute_outcome(&w, &w.a, ATTR_ACA, wrong), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_GOOD);
	world_destroy(&w);
}

static void the_aca_attribute_needs_the_condition(void)
{
	struct world w;

	world_create(&w);
	for (uint8_t attribute = ATTR_ACA; attribute < 8; attribute++)
		CU_ASSERT_EQUAL(attribute_outcome(&w, &w.a, attribute, tur), SENSE_INVALID_MESSAGE);
	CU_ASSERT_EQUAL(w.a.sets[0].enabled, 0);
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_GOOD);
	world_destroy(&w);
}

static void dormant_commands_stay_behind_an_aca(void)
{
	struct command running, ordered, aca;
	struct world w;

	world_hangs(&w);
	begin(&w, &running, ATTR_SIMPLE, 0);
	begin(&w, &ordered, ATTR_ORDERED, 1);
	/* The READ that runs fails with NACA. */
	running.task.cdb[9] = CONTROL_NACA;
	w.disk.fail[BS_READ] = -EIO;
	finish(&w, &running);
	w.disk.fail[BS_READ] = 0;
	ASSERT_SENSE(&running, SENSE_READ_ERROR);
	command_free(&running);
	CU_ASSERT(waits(&w, &ordered));
	begin(&w, &aca, ATTR_ACA, 2);
	finish_good(&w, &aca);
	CU_ASSERT(waits(&w, &ordered));
	nexus_clear_aca(&w.a, w.lu);
	world_turn(&w);
	CU_ASSERT(runs(&w, &ordered));
	finish_good(&w, &ordered);
	world_destroy(&w);
}

/* NACA is where the group of the operation code has its CONTROL byte. */
static void naca_of_every_shape(void)
{
	static const struct {
		uint8_t opcode, control_at;
	} rows[] = { { CDB_TEST_UNIT_READY, 5 },
		     { CDB_READ_10, 9 },
		     { CDB_MODE_SENSE_10, 9 },
		     { CDB_VARIABLE_LENGTH, 1 },
		     { CDB_READ_16, 15 },
		     { CDB_READ_12, 11 },
		     { 0x02, 5 } /* there is none such */ };
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		uint8_t cdb[CDB_MAX];

		memset(cdb, 0xff, sizeof(cdb));
		cdb[0] = rows[i].opcode;
		cdb[rows[i].control_at] = 0;
		CU_ASSERT_EQUAL(simple(&w, cdb) >> 16, KEY_ILLEGAL_REQUEST);
		CU_ASSERT_EQUAL(simple(&w, tur), SAM_GOOD);
		memset(cdb, 0, sizeof(cdb));
		cdb[0] = rows[i].opcode;
		cdb[2] = 0x80;
		cdb[rows[i].control_at == 1 ? 9 : 1] = 0xff;
		cdb[rows[i].control_at] = CONTROL_NACA;
		CU_ASSERT_EQUAL(simple(&w, cdb) >> 16, KEY_ILLEGAL_REQUEST);
		CU_ASSERT_EQUAL(simple(&w, tur), SAM_ACA_ACTIVE);
		nexus_clear_aca(&w.a, w.lu);
	}
	world_destroy(&w);
}

static void a_unit_attention_with_naca_is_an_aca_as_well(void)
{
	static const uint8_t naca[CDB_MAX] = { CDB_TEST_UNIT_READY, [5] = CONTROL_NACA };
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(simple(&w, naca), SAM_GOOD);
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_GOOD);
	lu_raise_ua(w.lu, UA_MODE_CHANGED, NULL);
	CU_ASSERT_EQUAL(simple(&w, naca), SENSE_MODE_CHANGED);
	CU_ASSERT_EQUAL(simple(&w, tur), SAM_ACA_ACTIVE);
	world_destroy(&w);
}

/* --- QERR */

static struct command *victims;

static void abort_victims(struct command *by)
{
	for (int i = 0; i < 3; i++) {
		if (&victims[i] != by)
			scsi_abort(&victims[i].task);
	}
}

static void qerr_aborts_the_others_of_the_nexus(void)
{
	struct command c[3];
	struct world w;

	world_hangs(&w);
	w.abort_others = abort_victims;
	victims = c;
	for (uint8_t qerr = 0; qerr <= 3; qerr++) {
		w.others = 0;
		if (qerr == 2)
			continue;
		atomic_store(&w.lu->mode.qerr, qerr);
		begin(&w, &c[0], ATTR_SIMPLE, 0);
		begin(&w, &c[1], ATTR_SIMPLE, 1);
		begin(&w, &c[2], ATTR_ORDERED, 2);
		w.disk.fail[BS_READ] = -EIO;
		finish(&w, &c[0]);
		w.disk.fail[BS_READ] = 0;
		CU_ASSERT_EQUAL(w.others, qerr ? 1 : 0);
		/* What was aborted does not count as an error of its own. */
		CU_ASSERT_EQUAL(c[2].ends, qerr ? 1 : 0);
		finish(&w, &c[1]);
		CU_ASSERT_EQUAL(c[1].task.aborted, qerr != 0);
		if (!qerr)
			finish(&w, &c[2]);
		CU_ASSERT_EQUAL(w.others, qerr ? 1 : 0);
		for (int i = 0; i < 3; i++)
			command_free(&c[i]);
		/* No other status does it. */
		CU_ASSERT_EQUAL(attribute_outcome(&w, &w.a, ATTR_SIMPLE, tur), SAM_GOOD);
		CU_ASSERT_EQUAL(w.others, qerr ? 1 : 0);
	}
	CU_ASSERT(task_set_plain(&w.a.sets[0]) && !w.a.sets[0].enabled);
	world_destroy(&w);
}

UNIT_MAIN(TEST(simple_commands_run_side_by_side), TEST(ordered_waits_for_all_and_all_wait_for_it),
	  TEST(head_of_queue_overtakes), TEST(nexuses_and_luns_have_sets_of_their_own),
	  TEST(dormant_commands_are_checked_when_they_are_enabled),
	  TEST(aborted_dormant_commands_leave_and_let_others_pass),
	  TEST(any_sequence_is_ordered_as_the_model_says), TEST(a_set_has_an_end),
	  TEST(naca_stops_the_nexus_until_aca_is_cleared),
	  TEST(one_command_at_a_time_has_the_aca_attribute),
	  TEST(an_aca_command_that_fails_ends_the_condition),
	  TEST(the_aca_attribute_needs_the_condition), TEST(dormant_commands_stay_behind_an_aca),
	  TEST(naca_of_every_shape), TEST(a_unit_attention_with_naca_is_an_aca_as_well),
	  TEST(qerr_aborts_the_others_of_the_nexus));
