// SPDX-License-Identifier: BSD-2-Clause
/* How much may be done in a second: scsi/limiter.c, and where commands meet it. */
#include "scsi/limiter.h"
#include "scsi_copy_world.h"

enum { MS = 1000000, COMMANDS = 64 };

/* Commands of two nexuses that wait. */
struct crowd {
	struct world w;
	struct command c[COMMANDS];
	unsigned int count;
};

static void limit(struct world *w, uint64_t iops, uint64_t bandwidth, uint64_t burst_ms)
{
	lu_set_limits(w->lu, &(struct io_limits){ iops, bandwidth, burst_ms * MS });
}

static struct command *sends(struct crowd *k, struct nexus *nexus, unsigned int blocks)
{
	struct cdb cdb = cdb_rw(CDB_READ_10, 0, 0, blocks);
	struct command *c = &k->c[k->count++];

	CU_ASSERT_FATAL(k->count <= COMMANDS);
	command_init(&k->w, c, cdb.b, DIR_READ, blocks * 512, NULL);
	c->task.nexus = nexus;
	command_submit(c);
	return c;
}

static unsigned int ended(const struct crowd *k, const struct nexus *nexus)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < k->count; i++)
		n += k->c[i].ends && k->c[i].task.nexus == nexus;
	return n;
}

static struct crowd *crowd(void)
{
	struct crowd *k = calloc(1, sizeof(*k));

	CU_ASSERT_FATAL(k != NULL);
	world_create(&k->w);
	return k;
}

static void forget(struct crowd *k)
{
	for (unsigned int i = 0; i < k->count; i++) {
		ASSERT_GOOD(&k->c[i]);
		command_free(&k->c[i]);
	}
	k->count = 0;
}

static void done(struct crowd *k)
{
	forget(k);
	world_destroy(&k->w);
	free(k);
}

static void advance(struct crowd *k, uint64_t ms)
{
	reactor_advance(k->w.reactor, ms * MS);
}

static void commands_per_second(void)
{
	struct crowd *k = crowd();

	/* 100 per second, 50 ms of them at once; the last one goes while there is anything left. */
	limit(&k->w, 100, 0, 50);
	for (int i = 0; i < 20; i++)
		sends(k, &k->w.a, 8);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 6);
	advance(k, 5);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 6);
	advance(k, 15);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 8);
	advance(k, 100);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 18);
	advance(k, 20);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 20);
	/* What was not used is kept, but not for ever. */
	advance(k, 5000);
	for (int i = 0; i < 20; i++)
		sends(k, &k->w.a, 8);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 26);
	advance(k, 5000);
	done(k);
}

static void bytes_per_second(void)
{
	struct crowd *k = crowd();

	limit(&k->w, 0, 1 << 20, 10);
	/* A command that is larger than the burst goes, and leaves a debt of 490 ms. */
	sends(k, &k->w.a, 1024);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 1);
	sends(k, &k->w.a, 8);
	advance(k, 480);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 1);
	advance(k, 15);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 2);
	/* Whichever is less counts. */
	limit(&k->w, 10, 1 << 20, 10);
	for (int i = 0; i < 4; i++)
		sends(k, &k->w.a, 8);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 3);
	advance(k, 205);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 5);
	advance(k, 1000);
	done(k);
}

/* Who says that he expects more than his command moves does not make others wait for it. */
static void what_is_expected_costs_nothing(void)
{
	static const uint32_t blocks[] = { 8, 0 };
	struct crowd *k = crowd();

	limit(&k->w, 0, 1 << 20, 10);
	for (unsigned int i = 0; i < 2; i++) {
		struct cdb cdb = cdb_rw(CDB_READ_10, 0, 0, blocks[i]);
		struct command *c = &k->c[k->count++];

		command_init(&k->w, c, cdb.b, DIR_READ, 1 << 20, NULL);
		c->task.edtl = UINT32_MAX;
		command_submit(c);
		CU_ASSERT_EQUAL(c->ends, 1);
	}
	sends(k, &k->w.b, 8);
	advance(k, 10);
	CU_ASSERT_EQUAL(ended(k, &k->w.b), 1);
	advance(k, 5000);
	done(k);
}

static void what_moves_no_data_passes(void)
{
	static const uint8_t tur[CDB_MAX] = { CDB_TEST_UNIT_READY };
	static const uint8_t sync[CDB_MAX] = { CDB_SYNCHRONIZE_CACHE_10 };
	static const uint8_t inquiry[CDB_MAX] = { CDB_INQUIRY, [4] = 36 };
	static const uint8_t capacity[CDB_MAX] = { CDB_READ_CAPACITY_10 };
	struct crowd *k = crowd();

	limit(&k->w, 1, 0, 1);
	sends(k, &k->w.a, 1);
	sends(k, &k->w.a, 1);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 1);
	for (int i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(outcome(&k->w, tur, 0, 0, NULL), 0);
		CU_ASSERT_EQUAL(outcome(&k->w, sync, 0, 0, NULL), 0);
		CU_ASSERT_EQUAL(outcome(&k->w, inquiry, DIR_READ, 36, NULL), 0);
		CU_ASSERT_EQUAL(outcome(&k->w, capacity, DIR_READ, 8, NULL), 0);
	}
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 1);
	advance(k, 1000);
	done(k);
}

static void a_deep_queue_keeps_nobody_out(void)
{
	struct crowd *k = crowd();

	limit(&k->w, 100, 0, 10);
	for (int i = 0; i < 40; i++)
		sends(k, &k->w.a, 8);
	for (int i = 0; i < 10; i++)
		sends(k, &k->w.b, 8);
	CU_ASSERT_EQUAL(ended(k, &k->w.b), 0);
	advance(k, 200);
	/* Both had about ten. */
	CU_ASSERT(ended(k, &k->w.b) >= 9);
	CU_ASSERT(ended(k, &k->w.a) <= 13);
	advance(k, 1000);
	done(k);
}

static void large_commands_keep_nobody_out(void)
{
	struct crowd *k = crowd();

	limit(&k->w, 0, 1 << 20, 10);
	for (int i = 0; i < 8; i++)
		sends(k, &k->w.a, 256); /* 128 KiB */
	for (int i = 0; i < 40; i++)
		sends(k, &k->w.b, 8);
	advance(k, 625);
	/* 640 KiB, of which 160 are what b wants. */
	CU_ASSERT_EQUAL(ended(k, &k->w.b), 40);
	CU_ASSERT(ended(k, &k->w.a) >= 3 && ended(k, &k->w.a) <= 4);
	advance(k, 2000);
	done(k);
}

static void who_waits_can_be_aborted(void)
{
	struct crowd *k = crowd();
	struct command *first, *second, *last;

	limit(&k->w, 10, 0, 1);
	sends(k, &k->w.a, 8);
	first = sends(k, &k->w.a, 8);
	second = sends(k, &k->w.a, 8);
	last = sends(k, &k->w.a, 8);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 1);
	scsi_abort(&first->task); /* the head of its line */
	scsi_abort(&last->task);
	world_turn(&k->w);
	CU_ASSERT(first->ends == 1 && last->ends == 1 && !second->ends);
	advance(k, 110);
	CU_ASSERT_EQUAL(second->ends, 1);
	sends(k, &k->w.a, 8);
	scsi_abort(&k->c[4].task); /* nobody waits any more */
	CU_ASSERT_EQUAL(k->c[4].ends, 1);
	first->task.status = last->task.status = k->c[4].task.status = SAM_GOOD;
	done(k);
}

static void limits_change_while_commands_wait(void)
{
	struct crowd *k = crowd();

	limit(&k->w, 1, 0, 1);
	for (int i = 0; i < 10; i++)
		sends(k, &k->w.a, 8);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 1);
	limit(&k->w, 100, 0, 10);
	advance(k, 150);
	CU_ASSERT(ended(k, &k->w.a) >= 5);
	limit(&k->w, 0, 0, 0);
	advance(k, 100);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 10);
	sends(k, &k->w.a, 8);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 11);
	done(k);
}

/* The same limits again are no change: whoever reads his file anew every minute gives no burst away. */
static void what_does_not_change_gives_nothing(void)
{
	struct crowd *k = crowd();

	limit(&k->w, 10, 0, 1000);
	for (int i = 0; i < 12; i++)
		sends(k, &k->w.a, 8);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 11);
	limit(&k->w, 10, 0, 1000);
	advance(k, 50);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 11);
	advance(k, 100);
	done(k);
}

static void a_unit_that_leaves_lets_them_go(void)
{
	struct crowd *k = crowd();

	limit(&k->w, 1, 0, 1);
	for (int i = 0; i < 5; i++)
		sends(k, i % 2 ? &k->w.a : &k->w.b, 8);
	target_remove_lun(&k->w.target, 0);
	world_turn(&k->w);
	CU_ASSERT_EQUAL(ended(k, &k->w.a) + ended(k, &k->w.b), 5);
	target_return_lun(&k->w.target, 0);
	done(k);
}

static void a_reservation_counts_after_the_wait(void)
{
	static const uint8_t reserve[CDB_MAX] = { CDB_RESERVE_6 };
	struct crowd *k = crowd();
	struct command c;

	limit(&k->w, 10, 0, 1);
	sends(k, &k->w.a, 8);
	sends(k, &k->w.a, 8);
	command_init(&k->w, &c, reserve, 0, 0, NULL);
	c.task.nexus = &k->w.b;
	command_submit(&c);
	ASSERT_GOOD(&c);
	command_free(&c);
	advance(k, 150);
	CU_ASSERT_EQUAL(k->c[1].task.status, SAM_RESERVATION_CONFLICT);
	k->c[1].task.status = SAM_GOOD;
	done(k);
}

static void writes_to_memory_are_limited_too(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_10, 0, 0, 8);
	uint8_t *data = pattern(4096, 1);
	struct crowd *k = crowd();
	struct command *c = &k->c[0];

	lu_set_limits(k->w.lu, &(struct io_limits){ 10, 0, MS });
	for (int i = 0; i < 2; i++) {
		c = &k->c[k->count++];
		command_init(&k->w, c, cdb.b, DIR_WRITE, 4096, data);
		command_immediate(c, 4096, 4096);
		CU_ASSERT_FALSE(scsi_takes_lent(&c->task));
		command_submit(c);
	}
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 1);
	advance(k, 110);
	done(k);
	free(data);
}

/* --- Initiators */

static void restrict_to(struct nexus *nexus, uint64_t iops)
{
	struct nexus_rights rights = nexus_rights_all();
	unsigned int first;

	rights.limits = (struct io_limits){ iops, 0, 10 * MS };
	CU_ASSERT_EQUAL(nexus_restrict(nexus, &rights, &first), 0);
}

static void one_initiator_only(void)
{
	struct crowd *k = crowd();

	restrict_to(&k->w.a, 100);
	for (int i = 0; i < 10; i++) {
		sends(k, &k->w.a, 8);
		sends(k, &k->w.b, 8);
	}
	CU_ASSERT_EQUAL(ended(k, &k->w.b), 10);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 2);
	/* Then the unit's own. */
	limit(&k->w, 50, 0, 10);
	advance(k, 100);
	CU_ASSERT(ended(k, &k->w.a) >= 6 && ended(k, &k->w.a) <= 8);
	advance(k, 1000);
	done(k);
}

static void sessions_of_an_initiator_share(void)
{
	struct crowd *k = crowd();
	struct nexus again;

	nexus_join(&k->w, &again, "a");
	restrict_to(&k->w.a, 100);
	restrict_to(&again, 100);
	restrict_to(&k->w.b, 100);
	CU_ASSERT_PTR_EQUAL(k->w.a.limiter, again.limiter);
	CU_ASSERT_PTR_NOT_EQUAL(k->w.a.limiter, k->w.b.limiter);
	for (int i = 0; i < 10; i++) {
		sends(k, &k->w.a, 8);
		sends(k, &again, 8);
		sends(k, &k->w.b, 8);
	}
	advance(k, 50);
	CU_ASSERT_EQUAL(ended(k, &k->w.b), 7);
	CU_ASSERT_EQUAL(ended(k, &k->w.a) + ended(k, &again), 7);
	CU_ASSERT(ended(k, &again) >= 3 && ended(k, &again) <= 4);
	/* Those that wait go on when theirs changes. */
	restrict_to(&again, 0);
	world_turn(&k->w);
	CU_ASSERT_EQUAL(ended(k, &again), 10);
	CU_ASSERT_PTR_NULL(again.limiter);
	restrict_to(&k->w.a, 0);
	restrict_to(&k->w.b, 0);
	world_turn(&k->w);
	forget(k);
	nexus_detach(&again);
	done(k);
}

static void a_unit_that_leaves_does_not_wait_for_its_initiator(void)
{
	struct crowd *k = crowd();

	restrict_to(&k->w.a, 1);
	for (int i = 0; i < 4; i++)
		sends(k, &k->w.a, 8);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 1);
	target_remove_lun(&k->w.target, 0);
	world_turn(&k->w);
	CU_ASSERT_EQUAL(ended(k, &k->w.a), 4);
	target_return_lun(&k->w.target, 0);
	done(k);
}

/* --- Copies */

/* 3 MiB from LUN 0 to LUN 1. */
static void start_copy(struct copy_world *cw, struct command *c, struct param_list *l)
{
	list_units(cw, list_start(l, 1));
	list_segment(l, 0, 0, 1, 0, 6144);
	command_prepare(cw, c, &cw->w.a, 0, list_cdb(l), DIR_WRITE, l->len, l->b);
	command_submit(c);
}

static void copy_at_once(struct copy_world *cw)
{
	struct param_list l;
	struct command c;

	start_copy(cw, &c, &l);
	ASSERT_GOOD(&c);
	command_done(&c);
}

static void wait_ms(struct copy_world *cw, uint64_t ms)
{
	reactor_advance(cw->w.reactor, ms * MS);
}

/* clones: the disk copies, in one piece; else MiB by MiB, which is paid for once, too. */
static void copies_wait(bool clones, bool source, bool destination, bool initiator)
{
	const struct io_limits limits = { 0, 1 << 20, 10 * MS };
	struct nexus_rights rights = nexus_rights_all();
	struct copy_world cw;
	struct param_list l;
	struct command c;
	unsigned int first;

	copy_world_create(&cw, 512);
	cw.clones = clones;
	rights.limits = limits;
	if (initiator)
		nexus_restrict(&cw.w.a, &rights, &first);
	if (source)
		lu_set_limits(cw.w.lu, &limits);
	if (destination)
		lu_set_limits(cw.lu2, &limits);
	copy_at_once(&cw); /* and leaves a debt of 3 s */
	memset(cw.second.bytes, 0, 3 << 20);
	start_copy(&cw, &c, &l);
	wait_ms(&cw, 2900);
	CU_ASSERT_EQUAL(c.ends, 0);
	/* It waits without memory. */
	CU_ASSERT_EQUAL(slab_in_use(cw.w.slab), 0);
	wait_ms(&cw, 200);
	ASSERT_GOOD(&c);
	CU_ASSERT(!memcmp(cw.second.bytes, cw.w.disk.bytes, 3 << 20));
	command_done(&c);
	copy_world_destroy(&cw);
}

static void a_copy_is_no_way_around(void)
{
	for (int clones = 0; clones < 2; clones++) {
		copies_wait(clones, true, false, false);
		copies_wait(clones, false, true, false);
		copies_wait(clones, false, false, true);
		copies_wait(clones, true, true, true);
	}
}

static void a_copy_that_waits_can_be_aborted(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;

	copy_world_create(&cw, 512);
	lu_set_limits(cw.lu2, &(struct io_limits){ 0, 64 << 10, 10 * MS });
	copy_at_once(&cw);
	start_copy(&cw, &c, &l);
	CU_ASSERT_EQUAL(c.ends, 0);
	scsi_abort(&c.task);
	CU_ASSERT_EQUAL(c.ends, 1);
	command_done(&c);
	copy_world_destroy(&cw);
}

/* The timer of a limiter may outlive all that it was for. */
static void the_last_one_aborted_stops_the_clock(void)
{
	struct crowd *k = crowd();

	restrict_to(&k->w.a, 1);
	sends(k, &k->w.a, 8);
	sends(k, &k->w.a, 8);
	scsi_abort(&k->c[1].task);
	CU_ASSERT_PTR_NULL(k->w.a.limiter->pacer);
	CU_ASSERT_EQUAL(k->w.a.limiter->users, 1);
	k->c[1].task.status = SAM_GOOD;
	done(k);
}

UNIT_MAIN(TEST(commands_per_second), TEST(bytes_per_second), TEST(what_is_expected_costs_nothing),
	  TEST(what_moves_no_data_passes), TEST(a_deep_queue_keeps_nobody_out),
	  TEST(large_commands_keep_nobody_out), TEST(who_waits_can_be_aborted),
	  TEST(limits_change_while_commands_wait), TEST(what_does_not_change_gives_nothing),
	  TEST(a_unit_that_leaves_lets_them_go), TEST(a_reservation_counts_after_the_wait),
	  TEST(writes_to_memory_are_limited_too), TEST(one_initiator_only),
	  TEST(sessions_of_an_initiator_share),
	  TEST(a_unit_that_leaves_does_not_wait_for_its_initiator), TEST(a_copy_is_no_way_around),
	  TEST(a_copy_that_waits_can_be_aborted), TEST(the_last_one_aborted_stops_the_clock));
