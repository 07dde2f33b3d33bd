// SPDX-License-Identifier: BSD-2-Clause
/*
 * What tasks that wait for TASK REASSIGN may hold of the memory that all share: a quarter; the oldest
 * ones lose theirs, and say so when they are asked for.
 */
#include "session_recovery_rig.h"

enum { READ_KIB = 64, READS = 80, DELAY_S = 5 };

#define SLOW "ram:8M,fault=read:delay=5s"

static uint64_t bound(struct test *t)
{
	return slab_size(t->rig.slab) / PINNED_SHARE;
}

/* Reads that the disk has when their connection is lost; returns the ITT of the first one. */
static uint32_t lost_reads(struct test *t, unsigned int n)
{
	uint32_t first = t->in.itt;

	begin_with(t, 2, SLOW, NULL);
	first = t->in.itt;
	while (n--)
		read_kib(t, READ_KIB);
	rig_turn(&t->rig);
	memory_disconnect(t->in.peer);
	rig_turn(&t->rig);
	return first;
}

static void expect_read(struct test *t, uint32_t itt)
{
	struct memory_record *rec;

	expect_reassigned(t, itt, 0, TMF_RSP_COMPLETE);
	rec = expect(t, OP_DATA_IN);
	CU_ASSERT_EQUAL(rec->len, READ_KIB << 10);
	CU_ASSERT_TRUE(rec->h.data_in.flags & DATA_IN_STATUS);
	free(rec);
	ack_status(t);
}

static void expect_loss(struct test *t, uint32_t itt)
{
	expect_reassigned(t, itt, 0, TMF_RSP_COMPLETE);
	expect_refusal(t, itt);
	ack_status(t);
	expect_reassigned(t, itt, 0, TMF_RSP_NO_TASK);
}

static void the_oldest_lose_their_memory(void)
{
	unsigned int kept;
	uint32_t first;
	struct test t;

	first = lost_reads(&t, READS);
	CU_ASSERT_EQUAL(t.rig.server->reactors[0].pinned_bytes, bound(&t));
	reactor_advance(t.rig.r, (DELAY_S + 1) * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(slab_in_use(t.rig.slab), bound(&t));
	kept = (unsigned int)(bound(&t) / (READ_KIB << 10));
	forget_peer(&t, join(&t, 0));
	expect_nothing(&t);
	for (unsigned int i = 0; i < READS; i++) {
		if (i < READS - kept)
			expect_loss(&t, first + i);
		else
			expect_read(&t, first + i);
	}
	expect_nothing(&t);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	CU_ASSERT_EQUAL(t.rig.server->reactors[0].pinned_bytes, 0);
	CU_ASSERT_TRUE(list_empty(&t.rig.server->reactors[0].pinned));
	end(&t);
}

/* Who may hold what he has loses nothing. */
static void few_lose_nothing(void)
{
	unsigned int few;
	uint32_t first;
	struct test t;

	first = lost_reads(&t, READS / 2);
	few = READS / 2;
	CU_ASSERT_EQUAL(t.rig.server->reactors[0].pinned_bytes, (uint64_t)few * (READ_KIB << 10));
	forget_peer(&t, join(&t, 0));
	/* Asked for while the disk has them. */
	for (unsigned int i = 0; i < few; i++)
		expect_reassigned(&t, first + i, 0, TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(t.rig.server->reactors[0].pinned_bytes, 0);
	reactor_advance(t.rig.r, (DELAY_S + 1) * NSEC_PER_SEC);
	for (unsigned int i = 0; i < few; i++)
		free(expect(&t, OP_DATA_IN));
	end(&t);
}

/* It is asked for before the disk has let go of it. */
static void asked_for_too_early(void)
{
	uint32_t first;
	struct test t;

	first = lost_reads(&t, READS);
	forget_peer(&t, join(&t, 0));
	expect_reassigned(&t, first, 0, TMF_RSP_COMPLETE);
	expect_nothing(&t);
	reactor_advance(t.rig.r, (DELAY_S + 1) * NSEC_PER_SEC);
	expect_refusal(&t, first);
	expect_loss(&t, first + 1);
	expect_read(&t, first + READS - 1);
	end(&t);
}

/* ABORT TASK of one: its status comes first (RFC 7143 11.5.1). A connection with the CID of the lost one is
 * let in while they are kept, and they end with their time, or with their session. */
static void other_ends(void)
{
	for (int way = 0; way < 4; way++) {
		uint32_t first, tmf;
		struct test t;

		first = lost_reads(&t, READS);
		if (way != 3)
			reactor_advance(t.rig.r, (DELAY_S + 1) * NSEC_PER_SEC);
		forget_peer(&t, join(&t, 0));
		if (way == 0) {
			tmf = rig_tmf(&t.in, TMF_ABORT_TASK, first, t.in.cmdsn - READS);
			expect_refusal(&t, first);
			CU_ASSERT_EQUAL(rig_tmf_response(&t.in, tmf), TMF_RSP_COMPLETE);
		} else if (way == 1) {
			tmf = rig_tmf(&t.in, TMF_LUN_RESET, TAG_NONE, 0);
			CU_ASSERT_EQUAL(rig_tmf_response(&t.in, tmf), TMF_RSP_COMPLETE);
		} else if (way == 2) {
			reconnect(&t);
			expect_loss(&t, first);
		}
		end(&t);
	}
}

UNIT_MAIN(TEST(the_oldest_lose_their_memory), TEST(few_lose_nothing), TEST(asked_for_too_early),
	  TEST(other_ends));
