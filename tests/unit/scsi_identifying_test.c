// SPDX-License-Identifier: BSD-2-Clause
/* Identifying information and timestamp, and REPORT PRIORITY, which there is not. */
#include <time.h>

#include "fake_store.h"
#include "scsi/pages.h"
#include "scsi_port.h"

static void world_with_store(struct world *w, struct fake_store *store)
{
	struct lu_config cfg = { .bs = &w->disk.bs,
				 .serial = "0123456789abcdef",
				 .product = "disk",
				 .reactors = 1,
				 .store = &store->store };

	world_init(w, 512);
	CU_ASSERT_FATAL(lu_create(&cfg, &w->lu, (char[256]){ 0 }, 256) == 0);
	w->target.lun[0] = w->lu;
	nexus_join(w, &w->a, "a");
	nexus_join(w, &w->b, "b");
}

/* Maintenance CDBs have their length in bytes 6 to 9. */
static struct cdb maintenance(uint8_t opcode, uint8_t action, uint32_t len, uint8_t type)
{
	struct cdb c = { { opcode, action } };

	put32(c.b + 6, len);
	c.b[10] = (uint8_t)(type << 1);
	return c;
}

static uint32_t set(struct world *w, uint8_t type, const void *data, uint32_t len)
{
	struct cdb cdb =
		maintenance(CDB_MAINTENANCE_OUT, SA_SET_IDENTIFYING_INFORMATION, len, type);
	uint8_t *exact = malloc(len ? len : 1);
	uint32_t sense;

	CU_ASSERT_FATAL(exact != NULL);
	memcpy(exact, data, len);
	sense = outcome(w, cdb.b, DIR_WRITE, len, exact);
	free(exact);
	return sense;
}

static void report(struct world *w, struct command *c, uint8_t type)
{
	struct cdb cdb =
		maintenance(CDB_MAINTENANCE_IN, SA_REPORT_IDENTIFYING_INFORMATION, 1024, type);

	command_run(w, c, cdb.b, DIR_READ, 1024, NULL);
	ASSERT_GOOD(c);
	CU_ASSERT_EQUAL(get_be(c->in, 4) + 4, c->in_len);
}

static void what_is_set_is_reported_and_survives(void)
{
	struct fake_store store;
	struct command c;
	struct world w;

	fake_store_init(&store);
	world_with_store(&w, &store);
	report(&w, &c, IDENTIFYING_INFORMATION);
	CU_ASSERT_EQUAL(c.in_len, 4);
	command_free(&c);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_INFORMATION, "\x00\xff rack 7", 9), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_IDENTIFIER_CHANGED);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_TEXT, "Grüße", sizeof("Grüße")), 0);
	CU_ASSERT_EQUAL(store.stores, 2);
	for (int restart = 0; restart < 2; restart++) {
		report(&w, &c, IDENTIFYING_INFORMATION);
		CU_ASSERT_EQUAL(c.in_len, 4 + 9);
		CU_ASSERT(!memcmp(c.in + 4, "\x00\xff rack 7", 9));
		command_free(&c);
		report(&w, &c, IDENTIFYING_TEXT);
		CU_ASSERT_STRING_EQUAL((char *)c.in + 4, "Grüße");
		command_free(&c);
		world_destroy(&w);
		world_with_store(&w, &store);
	}
	/* Nothing is what it was before. */
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_INFORMATION, "", 0), 0);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_TEXT, "", 0), 0);
	world_destroy(&w);
	world_with_store(&w, &store);
	report(&w, &c, IDENTIFYING_TEXT);
	CU_ASSERT_EQUAL(c.in_len, 4);
	command_free(&c);
	world_destroy(&w);
}

static void what_is_refused(void)
{
	struct cdb truncated =
		maintenance(CDB_MAINTENANCE_OUT, SA_SET_IDENTIFYING_INFORMATION, 8, 0);
	struct cdb unknown =
		maintenance(CDB_MAINTENANCE_IN, SA_REPORT_IDENTIFYING_INFORMATION, 255, 1);
	struct fake_store store;
	uint8_t zeros[300] = { 0 };
	struct command c;
	struct world w;

	fake_store_init(&store);
	world_with_store(&w, &store);
	report(&w, &c, IDENTIFYING_SUPPORTED);
	CU_ASSERT_EQUAL(c.in_len, 4 + 2 * 4);
	CU_ASSERT_EQUAL(get_be(c.in + 4, 8), 0x0000004004000100ull);
	command_free(&c);
	CU_ASSERT_EQUAL(outcome(&w, unknown.b, DIR_READ, 255, NULL), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(set(&w, 1, "x", 1), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_SUPPORTED, "x", 1), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_INFORMATION, zeros, 65), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_INFORMATION, zeros, 64), 0);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_TEXT, zeros, 257), SENSE_INVALID_CDB_FIELD);
	/* A text ends with its only NUL. */
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_TEXT, "text", 4), SENSE_INVALID_LIST_FIELD);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_TEXT, "te\0xt", 6), SENSE_INVALID_LIST_FIELD);
	memset(zeros, 'x', 255);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_TEXT, zeros, 256), 0);
	CU_ASSERT_EQUAL(outcome(&w, truncated.b, DIR_WRITE, 7, zeros), SENSE_LIST_LENGTH);
	truncated.b[6] = truncated.b[7] = truncated.b[8] = truncated.b[9] = 0xff;
	CU_ASSERT_EQUAL(outcome(&w, truncated.b, DIR_WRITE, 7, zeros), SENSE_INVALID_CDB_FIELD);
	/* A store that fails. */
	store.store_fails = -ENOSPC;
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_TEXT, "new", 4), SENSE_INTERNAL_FAILURE);
	report(&w, &c, IDENTIFYING_TEXT);
	CU_ASSERT_EQUAL(c.in_len, 4 + 256);
	command_free(&c);
	world_destroy(&w);
}

/* What would not survive is not taken. */
/* Reads and writes do not, and one that waits can be aborted. */
static void others_wait_for_the_store(void)
{
	struct cdb cdb = maintenance(CDB_MAINTENANCE_OUT, SA_SET_IDENTIFYING_INFORMATION, 3, 0);
	static const uint8_t save[CDB_MAX] = { CDB_MODE_SELECT_6, 0x01 };
	struct cdb rw = cdb_rw(CDB_WRITE_10, 0, 5, 1);
	uint8_t *data = pattern(512, 1);
	struct command c[3], mode;
	struct fake_store store;
	struct world w;

	fake_store_init(&store);
	world_with_store(&w, &store);
	store.hold = true;
	for (int i = 0; i < 3; i++) {
		command_init(&w, &c[i], cdb.b, DIR_WRITE, 3, i ? "two" : "one");
		command_submit(&c[i]);
	}
	command_init(&w, &mode, save, 0, 0, NULL);
	command_submit(&mode);
	CU_ASSERT_EQUAL(outcome(&w, rw.b, DIR_WRITE, 512, data), 0);
	CU_ASSERT_EQUAL(c[0].ends + c[1].ends + c[2].ends + mode.ends, 0);
	scsi_abort(&c[2].task);
	CU_ASSERT_EQUAL(c[2].ends, 1);
	store.hold = false;
	fake_store_release(&store);
	world_turn(&w);
	ASSERT_GOOD(&c[0]);
	ASSERT_GOOD(&c[1]);
	ASSERT_GOOD(&mode);
	CU_ASSERT_EQUAL(store.stores, 3);
	for (int i = 0; i < 3; i++)
		command_free(&c[i]);
	command_free(&mode);
	report(&w, &c[0], 0);
	CU_ASSERT(!memcmp(c[0].in + 4, "two", 3));
	command_free(&c[0]);
	free(data);
	world_destroy(&w);
}

/* The turn comes to one that is aborted in the same moment: it goes on to the next. */
static void an_abort_when_the_turn_comes(void)
{
	struct cdb cdb = maintenance(CDB_MAINTENANCE_OUT, SA_SET_IDENTIFYING_INFORMATION, 3, 0);
	struct fake_store store;
	struct command c[3];
	struct world w;

	fake_store_init(&store);
	world_with_store(&w, &store);
	store.hold = true;
	for (int i = 0; i < 3; i++) {
		command_init(&w, &c[i], cdb.b, DIR_WRITE, 3, "abc");
		command_submit(&c[i]);
	}
	store.hold = false;
	fake_store_release(&store);
	while (!c[0].ends)
		reactor_turn(w.reactor);
	CU_ASSERT_EQUAL(c[1].task.waits, WAITS_TURN);
	scsi_abort(&c[1].task);
	CU_ASSERT_EQUAL(c[1].ends, 0);
	world_turn(&w);
	CU_ASSERT_EQUAL(c[1].ends, 1);
	ASSERT_GOOD(&c[2]);
	for (int i = 0; i < 3; i++)
		command_free(&c[i]);
	world_destroy(&w);
}

static void without_a_store(void)
{
	struct command c;
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(set(&w, IDENTIFYING_TEXT, "text", 5), SENSE_INVALID_CDB_FIELD);
	report(&w, &c, IDENTIFYING_TEXT);
	CU_ASSERT_EQUAL(c.in_len, 4);
	command_free(&c);
	world_destroy(&w);
}

static void damaged_records_stop_the_start(void)
{
	static const char *const bad[] = {
		"riser identifying information 1\n01/00 41\n",
		"riser identifying information 1\n00/01 41\n",
		"riser identifying information 1\n00/00\n",
		"riser identifying information 1\n00/00 41\n00/00 41\n",
		"riser identifying information 1\n00/00 4",
	};
	struct fake_store store;
	char name[STORE_NAME_MAX], why[256];
	struct world w;

	world_create(&w);
	store_record_name(name, "id", "0123456789abcdef");
	for (size_t i = 0; i < array_size(bad); i++) {
		struct lu_config cfg = { .bs = &w.disk.bs,
					 .serial = "0123456789abcdef",
					 .product = "disk",
					 .reactors = 1,
					 .store = &store.store };
		struct lu *lu;

		fake_store_init(&store);
		fake_store_put(&store, name, bad[i], strlen(bad[i]));
		CU_ASSERT_EQUAL(lu_create(&cfg, &lu, why, sizeof(why)), -EBADMSG);
		CU_ASSERT(strstr(why, name) != NULL);
	}
	world_destroy(&w);
}

/* --- Timestamp */

static uint64_t timestamp(struct world *w, uint8_t *origin)
{
	struct cdb cdb = maintenance(CDB_MAINTENANCE_IN, SA_REPORT_TIMESTAMP, 255, 0);
	struct command c;
	uint64_t ms;

	command_run(w, &c, cdb.b, DIR_READ, 255, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(c.in_len, 12);
	CU_ASSERT_EQUAL(get_be(c.in, 2), 10);
	*origin = c.in[2];
	ms = get_be(c.in + 4, 6);
	command_free(&c);
	return ms;
}

static uint32_t set_timestamp(struct world *w, uint64_t ms, uint32_t len, uint32_t edtl)
{
	struct cdb cdb = maintenance(CDB_MAINTENANCE_OUT, SA_SET_TIMESTAMP, len, 0);
	uint8_t list[16], whole[8];

	memset(list, 0, sizeof(list));
	put64(whole, ms);
	memcpy(list + 4, whole + 2, 6);
	return outcome(w, cdb.b, DIR_WRITE, edtl, list);
}

static void the_clock_begins_with_the_hosts(void)
{
	uint64_t now = (uint64_t)time(NULL) * 1000, ms;
	struct world w;
	uint8_t origin;

	world_create(&w);
	ms = timestamp(&w, &origin);
	CU_ASSERT_EQUAL(origin, TIMESTAMP_BY_OTHERS);
	CU_ASSERT(ms + 10000 > now && ms < now + 600000);
	world_destroy(&w);
}

static void the_clock_is_set(void)
{
	const uint64_t then = 0x7f0000000000;
	struct world w;
	uint8_t origin;
	uint64_t ms;

	world_create(&w);
	CU_ASSERT_EQUAL(set_timestamp(&w, then, 12, 12), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_TIMESTAMP_CHANGED);
	ms = timestamp(&w, &origin);
	CU_ASSERT_EQUAL(origin, TIMESTAMP_BY_SCSI);
	CU_ASSERT(ms >= then && ms < then + 600000);
	CU_ASSERT_EQUAL(set_timestamp(&w, 5, 0, 0), 0);
	CU_ASSERT_EQUAL(set_timestamp(&w, 5, 11, 12), SENSE_LIST_LENGTH);
	CU_ASSERT_EQUAL(set_timestamp(&w, 5, 12, 11), SENSE_LIST_LENGTH);
	CU_ASSERT_EQUAL(set_timestamp(&w, 5, UINT32_MAX, 4), SENSE_LIST_LENGTH);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	CU_ASSERT(timestamp(&w, &origin) >= then);
	/* What is behind it is none of our business. */
	CU_ASSERT_EQUAL(set_timestamp(&w, 5, 16, 16), 0);
	CU_ASSERT(timestamp(&w, &origin) < then);
	world_destroy(&w);
}

static void there_is_no_report_priority(void)
{
	struct cdb cdb = maintenance(CDB_MAINTENANCE_IN, 0x0e, 255, 0);
	struct command c;
	struct world w;

	world_create(&w);
	command_run(&w, &c, cdb.b, DIR_READ, 255, NULL);
	ASSERT_SENSE(&c, SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(get_be(c.task.sense + 16, 2), 1);
	command_free(&c);
	world_destroy(&w);
}

UNIT_MAIN(TEST(what_is_set_is_reported_and_survives), TEST(what_is_refused),
	  TEST(others_wait_for_the_store), TEST(an_abort_when_the_turn_comes),
	  TEST(without_a_store), TEST(damaged_records_stop_the_start),
	  TEST(the_clock_begins_with_the_hosts), TEST(the_clock_is_set),
	  TEST(there_is_no_report_priority));
