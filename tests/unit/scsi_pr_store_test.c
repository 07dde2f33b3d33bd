// SPDX-License-Identifier: BSD-2-Clause
/* Reservations that survive a restart: what is stored and when, stores that fail, damaged records. */
#include "core/log.h"
#include "scsi_pr.h"

enum { WE = 1, EA = 3, WE_RO = 5, EA_AR = 8 };

static unsigned int registrations(struct pr_world *p)
{
	uint8_t in[8];

	pr_in(p, 0, PR_READ_KEYS, sizeof(in), in);
	return (unsigned int)get_be(in + 4, 4) / 8;
}

static uint8_t type_held(struct pr_world *p)
{
	uint8_t in[24] = { 0 };

	pr_in(p, 0, PR_READ_RESERVATION, sizeof(in), in);
	return in[21];
}

static void what_is_stored(void)
{
	static const char text[] =
		"reservations 1\ntype 5\n"
		"registration 00000000000000a1 1 000000000001 - iqn.2026-11.test:a\n"
		"registration 00000000000000b2 1 000000000002 holder iqn.2026-11.test:b\n";
	struct pr_world p;

	pr_create(&p, true);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 0xa1, 0), 0);
	CU_ASSERT_EQUAL(p.store.stores, 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 0xb2, PR_APTPL), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_RESERVE, WE_RO, 0xb2, 0, 0), 0);
	CU_ASSERT_EQUAL(p.store.stores, 2);
	CU_ASSERT_EQUAL(p.store.len, sizeof(text) - 1);
	CU_ASSERT(!memcmp(p.store.text, text, sizeof(text) - 1));
	CU_ASSERT_STRING_EQUAL(p.store.name, "reservations.PR_201");
	/* Nothing changes, nothing is stored. */
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_RESERVE, WE_RO, 0xb2, 0, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_RESERVE, WE, 0xb2, 0, 0), CONFLICT);
	CU_ASSERT_EQUAL(p.store.stores, 2);
	/* The last registration says that nothing shall persist. */
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0xa1, 0xa1, 0), 0);
	CU_ASSERT_PTR_NULL(p.store.text);
	pr_restart(&p);
	CU_ASSERT_EQUAL(registrations(&p), 0);
	pr_destroy(&p);
}

static void a_restart_keeps_it(void)
{
	struct pr_world p;
	uint8_t in[8];

	pr_create(&p, true);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, PR_APTPL), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 2, PR_APTPL), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_RESERVE, EA, 2, 0, 0), 0);
	pr_restart(&p);
	CU_ASSERT_EQUAL(registrations(&p), 2);
	CU_ASSERT_EQUAL(type_held(&p), EA);
	/* PRGENERATION begins anew, PTPL_A stays. */
	pr_in(&p, 0, PR_READ_KEYS, sizeof(in), in);
	CU_ASSERT_EQUAL(get_be(in, 4), 0);
	pr_in(&p, 0, PR_REPORT_CAPABILITIES, sizeof(in), in);
	CU_ASSERT(in[3] & PR_PERSISTS);
	/* It holds from the first command on. */
	CU_ASSERT_EQUAL(pr_command(&p, 0, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, 512, NULL),
			CONFLICT);
	CU_ASSERT_EQUAL(pr_command(&p, 1, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, 512, NULL), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_RELEASE, EA, 2, 0, 0), 0);
	pr_restart(&p);
	CU_ASSERT_EQUAL(registrations(&p), 2);
	CU_ASSERT_EQUAL(type_held(&p), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_PREEMPT, 0, 1, 2, 0), 0);
	pr_restart(&p);
	CU_ASSERT_EQUAL(registrations(&p), 1);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 1, 0, PR_APTPL), 0);
	CU_ASSERT_PTR_NULL(p.store.text);
	pr_destroy(&p);
}

/* A session that comes back is the registrant again. */
static void a_nexus_comes_back(void)
{
	struct pr_world p;

	pr_create(&p, true);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_RESERVE, EA, 1, 0, 0), 0);
	nexus_detach(&p.n[0]);
	CU_ASSERT_EQUAL(pr_command(&p, 1, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, 512, NULL),
			CONFLICT);
	nexus_attach(&p.n[0]);
	pr_attentions(&p, 0);
	CU_ASSERT_EQUAL(pr_command(&p, 0, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, 512, NULL), 0);
	/* With another ISID, and through another port, it is somebody else. */
	nexus_detach(&p.n[0]);
	p.n[0].isid[0] ^= 1;
	nexus_attach(&p.n[0]);
	pr_attentions(&p, 0);
	CU_ASSERT_EQUAL(pr_command(&p, 0, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, 512, NULL),
			CONFLICT);
	nexus_detach(&p.n[0]);
	p.n[0].isid[0] ^= 1;
	p.n[0].port = &p.w.target.ports[1];
	nexus_attach(&p.n[0]);
	pr_attentions(&p, 0);
	CU_ASSERT_EQUAL(pr_command(&p, 0, cdb_rw(CDB_READ_10, 0, 0, 1).b, DIR_READ, 512, NULL),
			CONFLICT);
	/* A reset of the unit changes nothing. */
	lu_reset(p.w.lu);
	pr_attentions(&p, 0);
	CU_ASSERT_EQUAL(type_held(&p), EA);
	CU_ASSERT_EQUAL(registrations(&p), 1);
	pr_destroy(&p);
}

static void a_store_that_fails_changes_nothing(void)
{
	static const int errors[] = { -EIO, -ENOSPC, -EROFS, -ENOMEM, -EBADMSG };
	struct pr_world p;

	log_set_level((enum log_level)0); /* each failure is told of */
	pr_create(&p, true);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, PR_APTPL), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 2, PR_APTPL), 0);
	for (size_t i = 0; i < array_size(errors); i++) {
		p.store.fail = errors[i];
		CU_ASSERT_EQUAL(pr_out(&p, 0, PR_RESERVE, WE, 1, 0, 0), SENSE_INTERNAL_FAILURE);
		CU_ASSERT_EQUAL(pr_out(&p, 0, PR_CLEAR, WE, 1, 0, 0), SENSE_INTERNAL_FAILURE);
		CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 1, 7, 0), SENSE_INTERNAL_FAILURE);
		CU_ASSERT_EQUAL(registrations(&p), 2);
		CU_ASSERT_EQUAL(type_held(&p), 0);
		CU_ASSERT_EQUAL(pr_attentions(&p, 1), 0);
	}
	p.store.fail = 0;
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_RESERVE, WE, 1, 0, 0), 0);
	pr_destroy(&p);
}

/* Jobs of the worker come back by message. */
static uint32_t out_with_worker(struct pr_world *p, unsigned int who, uint8_t action, uint64_t key,
				uint64_t action_key)
{
	struct cdb cdb = pr_out_cdb(action, WE, 24);
	struct command c;
	uint8_t list[24];
	uint32_t result;

	pr_list(list, key, action_key, 0);
	command_init(&p->w, &c, cdb.b, DIR_WRITE, 24, list);
	c.task.nexus = &p->n[who];
	command_submit(&c);
	while (!c.ends)
		world_turn(&p->w);
	result = pr_outcome(&c);
	command_free(&c);
	return result;
}

static void they_store(struct pr_world *p, const char *text, uint64_t version)
{
	free(p->store.text);
	p->store.text = strdup(text);
	p->store.len = strlen(text);
	p->store.version = version;
}

/* Somebody else has stored another state: the request is looked at again, on top of that. */
static void another_machine_stores(void)
{
	static const char theirs[] =
		"reservations 1\ntype 1\n"
		"registration 00000000000000cc 1 000000000002 holder iqn.2026-11.test:b\n";
	static const char both[] =
		"reservations 1\ntype 1\n"
		"registration 00000000000000cc 1 000000000002 holder iqn.2026-11.test:b\n"
		"registration 0000000000000001 1 000000000001 - iqn.2026-11.test:a\n";
	struct pr_world p;

	pr_create(&p, true);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, PR_APTPL), 0);
	they_store(&p, theirs, 17);
	/* Its own registration is gone: a conflict. */
	CU_ASSERT_EQUAL(out_with_worker(&p, 0, PR_RESERVE, 1, 0), CONFLICT);
	CU_ASSERT_EQUAL(type_held(&p), WE);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_RELEASE, WE, 0xcc, 0, 0), 0);
	CU_ASSERT_EQUAL(p.store.version, 18);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, PR_APTPL), 0);
	/* It succeeds on both states, and with what they have stored. */
	they_store(&p, both, 30);
	CU_ASSERT_EQUAL(out_with_worker(&p, 0, PR_PREEMPT_AND_ABORT, 1, 0xcc), 0);
	CU_ASSERT_EQUAL(p.w.aborts, 1);
	CU_ASSERT_EQUAL(registrations(&p), 1);
	CU_ASSERT_EQUAL(type_held(&p), WE);
	/* What they have stored cannot be read: nothing changes. */
	log_set_level((enum log_level)0);
	they_store(&p, "nonsense", 40);
	CU_ASSERT_EQUAL(out_with_worker(&p, 0, PR_CLEAR, 1, 0), SENSE_INTERNAL_FAILURE);
	CU_ASSERT_EQUAL(registrations(&p), 1);
	pr_destroy(&p);
}

static const char good_record[] = "reservations 1\ntype 1\n"
				  "registration 00000000000000cc 1 000000000002 holder iqn.b%20\n";
static const struct {
	const char *what, *with;
} damages[] = {
	{ "reservations 1", "reservations 2" },
	{ "type 1", "type 2" },
	{ "type 1", "type 9" },
	{ "type 1", "type 0" }, /* a holder of nothing */
	{ "type 1", "type 7" }, /* one holder of what all hold */
	{ "type 1", "type x" },
	{ "type 1", "type 11" },
	{ "type 1\n", "type 1" },
	{ "holder", "-" },
	{ "holder", "owner" },
	{ "00000000000000cc", "0000000000000000" },
	{ "00000000000000cc", "00000000000000c" },
	{ "00000000000000cc", "00000000000000CC" },
	{ "00000000000000cc", "000000000000000cc" },
	{ " 1 0", " 0 0" },
	{ " 1 0", " 01 0" },
	{ " 1 0", " 65536 0" },
	{ " 1 0", " 111111 0" },
	{ " 1 0", " -1 0" },
	{ "000000000002 ", "00000000000 " },
	{ "000000000002 ", "0000000000022 " },
	{ "iqn.b%20", "" },
	{ "iqn.b%20", "iqn.b%" },
	{ "iqn.b%20", "iqn.b%2" },
	{ "iqn.b%20", "iqn.b%00" },
	{ "iqn.b%20", "iqn.b%61" }, /* needs no such spelling */
	{ "iqn.b%20", "iqn b" },
	{ "%20\n", "%20" },
	{ "%20\n", "%20\n\n" },
	{ "%20\n", "%20\nregistration 00000000000000cc 1 000000000002 - iqn.b%20\n" },
	{ "%20\n", "%20\nregistration 00000000000000cc 1 000000000003 holder iqn.b\n" },
};

static void damaged_records_stop_the_start(void)
{
	const char *good = good_record;
	const size_t size = sizeof(good_record) - 1;
	struct pr_state *state;
	char why[256];

	CU_ASSERT_EQUAL_FATAL(pr_record_read(good, size, &state, why, sizeof(why)), 0);
	CU_ASSERT_STRING_EQUAL(state->r[0].name, "iqn.b ");
	free(state);
	for (size_t i = 0; i < array_size(damages); i++) {
		const char *at = strstr(good, damages[i].what);
		char *text = NULL, *exact;
		size_t len;

		CU_ASSERT_FATAL(at != NULL);
		len = (size_t)asprintf(&text, "%.*s%s%s", (int)(at - good), good, damages[i].with,
				       at + strlen(damages[i].what));
		exact = malloc(len + 1);
		memcpy(exact, text, len + 1);
		CU_ASSERT_EQUAL(pr_record_read(exact, len, &state, why, sizeof(why)), -EBADMSG);
		CU_ASSERT_PTR_NULL(state);
		CU_ASSERT(strlen(why) > 0);
		free(text);
		free(exact);
	}
	/* Cut anywhere but at the end of a line. */
	for (size_t len = 0; len < size; len++) {
		char *exact = malloc(len + 1);

		memcpy(exact, good, len);
		exact[len] = '\0';
		CU_ASSERT_EQUAL(pr_record_read(exact, len, &state, why, sizeof(why)), -EBADMSG);
		free(exact);
	}
}

static void a_unit_is_not_created_without_its_reservations(void)
{
	struct pr_world p;
	char why[512] = "";

	pr_create(&p, true);
	pr_close(&p);
	p.store.text = strdup("reservations 1\ntype 3\n");
	p.store.len = strlen(p.store.text);
	p.store.version = 1;
	snprintf(p.store.name, sizeof(p.store.name), "reservations.PR_201");
	CU_ASSERT_EQUAL(pr_open(&p, true, why, sizeof(why)), -EBADMSG);
	CU_ASSERT(strstr(why, "reservations.PR_201") && strstr(why, "remove"));
	p.store.fail_load = -EIO;
	CU_ASSERT_EQUAL(pr_open(&p, true, why, sizeof(why)), -EIO);
	p.store.fail_load = 0;
	free(p.store.text);
	p.store.text = NULL;
	CU_ASSERT_EQUAL(pr_open(&p, true, why, sizeof(why)), 0);
	pr_destroy(&p);
}

UNIT_MAIN(TEST(what_is_stored), TEST(a_restart_keeps_it), TEST(a_nexus_comes_back),
	  TEST(a_store_that_fails_changes_nothing), TEST(another_machine_stores),
	  TEST(damaged_records_stop_the_start),
	  TEST(a_unit_is_not_created_without_its_reservations));
