// SPDX-License-Identifier: BSD-2-Clause
/* Reservations as an operator sees and clears them. */
#include <errno.h>

#include "core/log.h"
#include "scsi_pr.h"

struct answer {
	unsigned int calls;
	int res;
};

static void answered(int res, void *arg)
{
	struct answer *a = arg;

	a->calls++;
	a->res = res;
}

static void clear(struct pr_world *p, struct answer *a)
{
	log_set_level(LOG_LEVEL_ERROR);
	*a = (struct answer){ 0 };
	CU_ASSERT_EQUAL(lu_clear_reservations(p->w.lu, &p->w.target, p->w.reactor, answered, a), 0);
	CU_ASSERT_EQUAL(a->calls, 0);
	CU_ASSERT_TRUE(lu_busy(p->w.lu, p->w.reactor));
	world_turn(&p->w);
}

/* a holds it by the first port, b is registered there, too. */
static void reserve(struct pr_world *p, uint8_t flags)
{
	CU_ASSERT_EQUAL(pr_out(p, 0, PR_REGISTER, 0, 0, 0xa, flags), 0);
	CU_ASSERT_EQUAL(pr_out(p, 1, PR_REGISTER, 0, 0, 0xb, flags), 0);
	CU_ASSERT_EQUAL(pr_out(p, 0, PR_RESERVE, PR_WRITE_EXCLUSIVE, 0xa, 0, 0), 0);
}

static void what_an_operator_sees(void)
{
	struct reservation_view *v;
	struct pr_world p;

	pr_create(&p, false);
	v = lu_view_reservations(p.w.lu);
	CU_ASSERT_TRUE(!v->type && !v->legacy && !v->registration_count && !v->holder[0]);
	free(v);
	reserve(&p, 0);
	v = lu_view_reservations(p.w.lu);
	CU_ASSERT_EQUAL(v->type, PR_WRITE_EXCLUSIVE);
	CU_ASSERT_STRING_EQUAL(v->holder, p.n[0].initiator_name);
	CU_ASSERT_EQUAL(v->generation, 2);
	CU_ASSERT_EQUAL_FATAL(v->registration_count, 2);
	CU_ASSERT_TRUE(v->registrations[0].holds && !v->registrations[1].holds);
	CU_ASSERT_STRING_EQUAL(v->registrations[1].initiator, p.n[1].initiator_name);
	CU_ASSERT_EQUAL(v->registrations[1].key, 0xb);
	free(v);
	pr_destroy(&p);
}

static void what_clearing_does(void)
{
	struct pr_world p;
	struct answer a;

	pr_create(&p, false);
	reserve(&p, 0);
	for (unsigned int n = 0; n < NEXUSES; n++)
		pr_attentions(&p, n);
	clear(&p, &a);
	CU_ASSERT_EQUAL(a.calls, 1);
	CU_ASSERT_EQUAL(a.res, 0);
	CU_ASSERT_FALSE(lu_busy(p.w.lu, p.w.reactor));
	for (unsigned int n = 0; n < NEXUSES; n++) {
		CU_ASSERT_EQUAL(pr_attentions(&p, n), n < 2 ? 1u << UA_RESERVATIONS_PREEMPTED : 0);
		CU_ASSERT_EQUAL(atomic_load(&p.n[n].denied[0]), 0);
	}
	/* They may begin anew. */
	reserve(&p, 0);
	pr_destroy(&p);
}

static void a_record_goes_first(void)
{
	struct pr_world p;
	struct answer a;

	pr_create(&p, true);
	reserve(&p, PR_APTPL);
	CU_ASSERT_PTR_NOT_NULL(p.store.text);
	p.store.fail = -EIO;
	clear(&p, &a);
	CU_ASSERT_EQUAL(a.res, -EIO);
	p.store.fail = 0;
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_RESERVE, PR_WRITE_EXCLUSIVE, 0xb, 0, 0), CONFLICT);
	clear(&p, &a);
	CU_ASSERT_EQUAL(a.res, 0);
	CU_ASSERT_EQUAL(p.store.len, 0);
	pr_restart(&p);
	CU_ASSERT_EQUAL(p.w.lu->reservations->state->count, 0);
	pr_destroy(&p);
}

/* RESERVE (6) of the older way. */
static void a_legacy_reservation_goes_too(void)
{
	static const uint8_t reserve_6[16] = { CDB_RESERVE_6 };
	struct reservation_view *v;
	struct pr_world p;
	struct answer a;

	pr_create(&p, false);
	CU_ASSERT_EQUAL(pr_command(&p, 1, reserve_6, DIR_NONE, 0, NULL), 0);
	v = lu_view_reservations(p.w.lu);
	CU_ASSERT_TRUE(v->legacy);
	CU_ASSERT_STRING_EQUAL(v->holder, p.n[1].initiator_name);
	free(v);
	CU_ASSERT_EQUAL(pr_command(&p, 0, reserve_6, DIR_NONE, 0, NULL), CONFLICT);
	clear(&p, &a);
	CU_ASSERT_EQUAL(a.res, 0);
	CU_ASSERT_EQUAL(pr_command(&p, 0, reserve_6, DIR_NONE, 0, NULL), 0);
	pr_destroy(&p);
}

/* A command has the turn while its state is stored: clearing waits, and clears what that has made. */
static void it_waits_for_its_turn(void)
{
	struct cdb cdb = pr_out_cdb(PR_REGISTER, 0, 24);
	uint8_t list[24];
	struct pr_world p;
	struct command c;
	struct answer a;

	pr_create(&p, true);
	pr_list(list, 0, 0xa, PR_APTPL);
	p.store.hold = true;
	command_init(&p.w, &c, cdb.b, DIR_WRITE, 24, list);
	c.task.nexus = &p.n[0];
	command_submit(&c);
	CU_ASSERT_EQUAL(c.ends, 0);
	clear(&p, &a);
	CU_ASSERT_EQUAL(a.calls, 0);
	CU_ASSERT_TRUE(lu_busy(p.w.lu, p.w.reactor));
	p.store.hold = false;
	memory_store_release(&p.store);
	world_turn(&p.w);
	CU_ASSERT_EQUAL(c.ends, 1);
	CU_ASSERT_EQUAL(a.calls, 1);
	CU_ASSERT_EQUAL(p.w.lu->reservations->state->count, 0);
	command_free(&c);
	pr_destroy(&p);
}

UNIT_MAIN(TEST(what_an_operator_sees), TEST(what_clearing_does), TEST(a_record_goes_first),
	  TEST(a_legacy_reservation_goes_too), TEST(it_waits_for_its_turn));
