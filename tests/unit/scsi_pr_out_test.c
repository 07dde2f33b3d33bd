// SPDX-License-Identifier: BSD-2-Clause
/*
 * PERSISTENT RESERVE OUT as a command: parameter lists that are wrong (reliability 3.8, S9), REGISTER
 * AND MOVE, a full table, turns, PERSISTENT RESERVE IN cut short.
 */
#include "scsi_pr.h"

enum { WE = 1, EA = 3, WE_RO = 5, EA_AR = 8 };
enum { LIST_BAD = SENSE_INVALID_LIST_FIELD, LENGTH_BAD = SENSE_LIST_LENGTH };

static uint64_t generation(struct pr_world *p)
{
	uint8_t in[8];

	pr_in(p, 0, PR_READ_KEYS, sizeof(in), in);
	return get_be(in, 4);
}

static unsigned int registrations(struct pr_world *p)
{
	uint8_t in[8];

	pr_in(p, 0, PR_READ_KEYS, sizeof(in), in);
	return (unsigned int)get_be(in + 4, 4) / 8;
}

static void list_lengths(void)
{
	static const struct {
		uint8_t action;
		uint32_t cdb_len, edtl;
		uint8_t flags;
		uint32_t ids_len; /* TRANSPORTID PARAMETER DATA LENGTH */
		uint32_t result;
	} rows[] = {
		{ PR_REGISTER, 0, 0, 0, 0, LENGTH_BAD },
		{ PR_REGISTER, 1, 1, 0, 0, LENGTH_BAD },
		{ PR_REGISTER, 23, 23, 0, 0, LENGTH_BAD },
		{ PR_REGISTER, 25, 25, 0, 0, LENGTH_BAD },
		{ PR_REGISTER, 28, 28, 0, 0, LENGTH_BAD },
		{ PR_REGISTER, 48, 48, 0, 0, LENGTH_BAD },
		{ PR_REGISTER, 0xffffffff, 24, 0, 0, LENGTH_BAD },
		{ PR_REGISTER, 0x00100001, 64, 0, 0, LENGTH_BAD },
		{ PR_REGISTER, 24, 0, 0, 0, LENGTH_BAD }, /* nothing comes */
		{ PR_REGISTER, 24, 23, 0, 0, LENGTH_BAD },
		{ PR_REGISTER, 24, 24, PR_SPEC_I_PT, 0, LENGTH_BAD },
		{ PR_REGISTER, 27, 27, PR_SPEC_I_PT, 0, LENGTH_BAD },
		{ PR_REGISTER, 28, 28, PR_SPEC_I_PT, 1, LENGTH_BAD },
		{ PR_REGISTER, 28, 28, PR_SPEC_I_PT, 24, LENGTH_BAD },
		{ PR_REGISTER, 28, 28, PR_SPEC_I_PT, 0xffffffff, LENGTH_BAD },
		{ PR_REGISTER, 28, 28, PR_SPEC_I_PT, 0xfffffffc, LENGTH_BAD },
		{ PR_REGISTER, 52, 52, PR_SPEC_I_PT, 0, LENGTH_BAD },
		{ PR_REGISTER, 52, 52, PR_SPEC_I_PT, 24, LIST_BAD }, /* zeros are no TransportID */
		{ PR_RESERVE, 25, 25, 0, 0, LENGTH_BAD },
		{ PR_RELEASE, 23, 23, 0, 0, LENGTH_BAD },
		{ PR_CLEAR, 28, 28, 0, 0, LENGTH_BAD },
		{ PR_PREEMPT, 32, 32, 0, 0, LENGTH_BAD },
		{ PR_PREEMPT_AND_ABORT, 16, 16, 0, 0, LENGTH_BAD },
		{ PR_REGISTER_AND_IGNORE, 28, 28, 0, 0, LENGTH_BAD },
		{ PR_REGISTER_AND_IGNORE, 28, 28, PR_SPEC_I_PT, 0, LENGTH_BAD },
		/* SPEC_I_PT is for REGISTER. */
		{ PR_REGISTER_AND_IGNORE, 24, 24, PR_SPEC_I_PT, 0, LIST_BAD },
		{ PR_RESERVE, 24, 24, PR_SPEC_I_PT, 0, LIST_BAD },
		{ PR_CLEAR, 24, 24, PR_SPEC_I_PT, 0, LIST_BAD },
		{ PR_REGISTER_AND_MOVE, 23, 23, 0, 0, LENGTH_BAD },
		{ PR_REGISTER_AND_MOVE, 24, 24, 0, 0, LIST_BAD },
		{ PR_REGISTER_AND_MOVE, 48, 48, 0, 0, LENGTH_BAD },
	};
	struct pr_world p;

	pr_create(&p, true);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = pr_out_cdb(rows[i].action, WE, rows[i].cdb_len);
		uint8_t *list = calloc(1, rows[i].edtl ? rows[i].edtl : 1);

		if (rows[i].edtl > 15)
			list[15] = 1;
		if (rows[i].edtl > 20)
			list[20] = rows[i].flags;
		if (rows[i].edtl >= 28)
			put32(list + 24, rows[i].ids_len);
		CU_ASSERT_EQUAL(pr_command(&p, 0, cdb.b, DIR_WRITE, rows[i].edtl, list),
				rows[i].result);
		free(list);
	}
	CU_ASSERT_EQUAL(generation(&p), 0);
	pr_destroy(&p);
}

static void no_such_service_action(void)
{
	struct pr_world p;
	uint8_t list[24] = { 0 };

	pr_create(&p, true);
	for (unsigned int action = PR_REPLACE_LOST; action < 32; action++) {
		struct cdb cdb = pr_out_cdb((uint8_t)action, 0, 24);

		CU_ASSERT_EQUAL(pr_command(&p, 0, cdb.b, DIR_WRITE, 24, list),
				SENSE_INVALID_CDB_FIELD);
	}
	for (unsigned int action = 4; action < 32; action++) {
		uint8_t cdb[CDB_MAX] = { CDB_PERSISTENT_RESERVE_IN, (uint8_t)action, [8] = 255 };

		CU_ASSERT_EQUAL(pr_command(&p, 0, cdb, DIR_READ, 255, NULL),
				SENSE_INVALID_CDB_FIELD);
	}
	pr_destroy(&p);
}

static void without_a_store_nothing_persists(void)
{
	uint8_t in[8], id[64];
	struct pr_world p;
	uint32_t len;

	pr_create(&p, false);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, PR_APTPL), LIST_BAD);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER_AND_IGNORE, 0, 0, 1, PR_APTPL), LIST_BAD);
	CU_ASSERT_EQUAL(registrations(&p), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, 0), 0);
	/* Ignored where it has no meaning. */
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_RESERVE, WE, 1, 0, PR_APTPL), 0);
	len = put_nexus_id(id, &p.n[1]);
	CU_ASSERT_EQUAL(pr_move(&p, 0, 1, 2, PR_MOVE_APTPL, 1, id, len), LIST_BAD);
	pr_in(&p, 0, PR_REPORT_CAPABILITIES, 8, in);
	CU_ASSERT_EQUAL(get_be(in, 8), 0x00080c90ea010000);
	pr_destroy(&p);
	pr_create(&p, true);
	pr_in(&p, 0, PR_REPORT_CAPABILITIES, 8, in);
	CU_ASSERT_EQUAL(get_be(in, 8), 0x00080d90ea010000);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, PR_APTPL), 0);
	pr_in(&p, 0, PR_REPORT_CAPABILITIES, 8, in);
	CU_ASSERT_EQUAL(get_be(in, 8), 0x00080d91ea010000);
	pr_destroy(&p);
}

/* --- REGISTER AND MOVE */

static uint8_t type_held(struct pr_world *p, uint64_t *key)
{
	uint8_t in[24] = { 0 };

	pr_in(p, 0, PR_READ_RESERVATION, sizeof(in), in);
	*key = get_be(in + 8, 8);
	return in[21];
}

static void move_passes_the_reservation_on(void)
{
	struct pr_world p;
	uint8_t id[64];
	uint64_t key;
	uint32_t len;

	pr_create(&p, true);
	len = put_nexus_id(id, &p.n[1]);
	CU_ASSERT_EQUAL(pr_move(&p, 0, 0, 2, 0, 1, id, len), CONFLICT);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, 0), 0);
	/* No reservation, then one that somebody else holds. */
	CU_ASSERT_EQUAL(pr_move(&p, 0, 1, 2, 0, 1, id, len), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(pr_out(&p, 2, PR_REGISTER, 0, 0, 3, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 2, PR_RESERVE, WE_RO, 3, 0, 0), 0);
	CU_ASSERT_EQUAL(pr_move(&p, 0, 1, 2, 0, 1, id, len), CONFLICT);
	CU_ASSERT_EQUAL(pr_move(&p, 2, 1, 2, 0, 1, id, len), CONFLICT); /* not its key */
	CU_ASSERT_EQUAL(pr_move(&p, 2, 3, 0, 0, 1, id, len), LIST_BAD);
	CU_ASSERT_EQUAL(pr_move(&p, 2, 3, 2, 0, 3, id, len), LIST_BAD); /* no such port */
	CU_ASSERT_EQUAL(pr_move(&p, 2, 3, 2, 0, 0, id, len), LIST_BAD);
	CU_ASSERT_EQUAL(pr_move(&p, 2, 3, 2, 0, 1, id, 0), LIST_BAD); /* nobody */
	CU_ASSERT_EQUAL(generation(&p), 2);
	CU_ASSERT_EQUAL(pr_move(&p, 2, 3, 2, 0, 1, id, len), 0);
	CU_ASSERT_EQUAL(generation(&p), 3);
	CU_ASSERT_EQUAL(type_held(&p, &key), WE_RO);
	CU_ASSERT_EQUAL(key, 2);
	CU_ASSERT_EQUAL(registrations(&p), 3);
	for (unsigned int i = 0; i < NEXUSES; i++)
		CU_ASSERT_EQUAL(pr_attentions(&p, i), 0);
	/* On to one that is registered, which gets the new key; the old holder goes. */
	len = put_nexus_id(id, &p.n[0]);
	CU_ASSERT_EQUAL(pr_move(&p, 1, 2, 9, PR_MOVE_UNREG, 1, id, len), 0);
	CU_ASSERT_EQUAL(type_held(&p, &key), WE_RO);
	CU_ASSERT_EQUAL(key, 9);
	CU_ASSERT_EQUAL(registrations(&p), 2);
	/* To itself; through its other port it is somebody else. */
	CU_ASSERT_EQUAL(pr_move(&p, 0, 9, 8, 0, 1, id, len), LIST_BAD);
	CU_ASSERT_EQUAL(pr_move(&p, 0, 9, 8, 0, 2, id, len), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 2, PR_RELEASE, WE_RO, 8, 0, 0), 0);
	/* A device has more than one port, and all registrants nothing to give. */
	len = put_id(id, p.n[1].initiator_name, NULL);
	CU_ASSERT_EQUAL(pr_move(&p, 2, 8, 1, 0, 1, id, len), LIST_BAD);
	len = put_nexus_id(id, &p.n[1]);
	CU_ASSERT_EQUAL(pr_out(&p, 2, PR_RESERVE, EA_AR, 8, 0, 0), 0);
	CU_ASSERT_EQUAL(pr_move(&p, 2, 8, 1, 0, 1, id, len), CONFLICT);
	pr_destroy(&p);
}

/* --- a full table */

static uint32_t many_ids(uint8_t *ids, unsigned int from, unsigned int count)
{
	uint32_t len = 0;

	for (unsigned int i = 0; i < count; i++) {
		char isid[8];

		snprintf(isid, sizeof(isid), "%x", from + i);
		len += put_id(ids + len, "i.x", isid);
	}
	return len;
}

static void a_full_table(void)
{
	uint8_t *ids = malloc(1 << 20), *in = malloc(UINT16_MAX);
	struct pr_world p;
	uint32_t len;

	pr_create(&p, true);
	/* 10 000 do not even get looked at one by one. */
	len = many_ids(ids, 1, 10000);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 0, 0, 1, 0, ids, len), LIST_BAD);
	/* One too many: nobody is registered. */
	len = many_ids(ids, 1, PR_MAX);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 0, 0, 1, PR_APTPL, ids, len),
			SENSE_REGISTRATION_RESOURCES);
	CU_ASSERT_EQUAL(registrations(&p), 0);
	len = many_ids(ids, 1, PR_MAX - 1);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 0, 0, 1, PR_ALL_TG_PT, ids, len),
			SENSE_REGISTRATION_RESOURCES);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 0, 0, 1, PR_APTPL, ids, len), 0);
	CU_ASSERT_EQUAL(registrations(&p), PR_MAX);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 1, PR_APTPL),
			SENSE_REGISTRATION_RESOURCES);
	/* What is there can still be used. */
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 1, 2, PR_APTPL), 0);
	pr_restart(&p);
	CU_ASSERT_EQUAL(registrations(&p), PR_MAX);
	CU_ASSERT_EQUAL(pr_in(&p, 0, PR_READ_KEYS, UINT16_MAX, in), 8 + 8 * PR_MAX);
	CU_ASSERT_EQUAL(pr_in(&p, 0, PR_READ_FULL_STATUS, UINT16_MAX, in),
			8 + 52 * (PR_MAX - 1) + 64);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_CLEAR, 0, 2, 0, 0), 0);
	CU_ASSERT_PTR_NULL(p.store.text);
	pr_destroy(&p);
	free(ids);
	free(in);
}

/* --- PERSISTENT RESERVE IN */

/* S5: what does not fit is cut off, the header still tells of it. */
static void answers_are_cut(void)
{
	uint8_t whole[512], in[512];
	struct pr_world p;

	pr_create(&p, true);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(pr_out(&p, i, PR_REGISTER, 0, 0, 0x0102030405060708 + i, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_RESERVE, EA, 0x0102030405060708, 0, 0), 0);
	for (uint8_t action = 0; action < 4; action++) {
		uint32_t len = pr_in(&p, 1, action, sizeof(whole), whole);

		for (uint16_t alloc = 0; alloc < len; alloc++) {
			CU_ASSERT_EQUAL(pr_in(&p, 1, action, alloc, in), alloc);
			CU_ASSERT(!memcmp(in, whole, alloc));
		}
	}
	pr_destroy(&p);
}

/* --- turns */

struct two {
	struct command c[2];
	uint8_t list[2][24];
};

static void two_init(struct pr_world *p, struct two *t, uint8_t flags)
{
	struct cdb cdb = pr_out_cdb(PR_REGISTER, 0, 24);

	for (unsigned int i = 0; i < 2; i++) {
		pr_list(t->list[i], 0, i + 1, flags);
		command_init(&p->w, &t->c[i], cdb.b, DIR_WRITE, 24, t->list[i]);
		t->c[i].task.nexus = &p->n[i];
	}
}

static void one_after_the_other(void)
{
	struct pr_world p;
	struct two t;

	pr_create(&p, true);
	p.store.hold = true;
	two_init(&p, &t, PR_APTPL);
	command_submit(&t.c[0]);
	command_submit(&t.c[1]);
	CU_ASSERT_EQUAL(t.c[0].ends + t.c[1].ends, 0);
	/* A store that hangs keeps no buffers. */
	CU_ASSERT_EQUAL(slab_in_use(p.w.slab), 0);
	/* Nothing is there before it is stored. */
	CU_ASSERT_EQUAL(registrations(&p), 0);
	CU_ASSERT_EQUAL(p.w.lu->reservations->state->generation, 0);
	memory_store_release(&p.store);
	world_turn(&p.w);
	ASSERT_GOOD(&t.c[0]);
	CU_ASSERT_EQUAL(t.c[1].ends, 0);
	CU_ASSERT_EQUAL(registrations(&p), 1);
	memory_store_release(&p.store);
	world_turn(&p.w);
	ASSERT_GOOD(&t.c[1]);
	CU_ASSERT_EQUAL(registrations(&p), 2);
	command_free(&t.c[0]);
	command_free(&t.c[1]);
	pr_destroy(&p);
}

static void who_waits_may_be_aborted(void)
{
	struct pr_world p;
	struct two t;

	pr_create(&p, true);
	p.store.hold = true;
	two_init(&p, &t, PR_APTPL);
	command_submit(&t.c[0]);
	command_submit(&t.c[1]);
	scsi_abort(&t.c[1].task);
	CU_ASSERT_EQUAL(t.c[1].ends, 1);
	/* What is being stored cannot be taken back: it holds, though nobody is told. */
	scsi_abort(&t.c[0].task);
	CU_ASSERT_EQUAL(t.c[0].ends, 0);
	memory_store_release(&p.store);
	world_turn(&p.w);
	CU_ASSERT_EQUAL(t.c[0].ends, 1);
	command_free(&t.c[0]);
	command_free(&t.c[1]);
	CU_ASSERT_EQUAL(registrations(&p), 1);

	/* Aborted while its turn is on the way to it. */
	two_init(&p, &t, PR_APTPL);
	put64(t.list[0], 1);
	command_submit(&t.c[0]);
	command_submit(&t.c[1]);
	p.store.hold = false;
	p.store.held->done(p.store.held, memory_store_now(&p.store, p.store.held));
	p.store.held = NULL;
	scsi_abort(&t.c[1].task);
	CU_ASSERT_EQUAL(t.c[1].ends, 0);
	world_turn(&p.w);
	CU_ASSERT_EQUAL(t.c[0].ends, 1);
	CU_ASSERT_EQUAL(t.c[1].ends, 1);
	command_free(&t.c[0]);
	command_free(&t.c[1]);
	CU_ASSERT_EQUAL(registrations(&p), 1);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 5, 0), 0);
	pr_destroy(&p);
}

/* A transfer that fails, or an abort while the list comes. */
static void the_list_does_not_come(void)
{
	struct pr_world p;
	struct two t;

	pr_create(&p, true);
	two_init(&p, &t, 0);
	t.c[0].transfer_fails = true;
	command_submit(&t.c[0]);
	CU_ASSERT_EQUAL(command_sense(&t.c[0]), 0x0b4705);
	t.c[1].hold = true;
	command_submit(&t.c[1]);
	scsi_abort(&t.c[1].task);
	command_transfer(&t.c[1]);
	CU_ASSERT_EQUAL(t.c[1].ends, 1);
	CU_ASSERT_EQUAL(registrations(&p), 0);
	command_free(&t.c[0]);
	command_free(&t.c[1]);
	pr_destroy(&p);
}

UNIT_MAIN(TEST(list_lengths), TEST(no_such_service_action), TEST(without_a_store_nothing_persists),
	  TEST(move_passes_the_reservation_on), TEST(a_full_table), TEST(answers_are_cut),
	  TEST(one_after_the_other), TEST(who_waits_may_be_aborted), TEST(the_list_does_not_come));
