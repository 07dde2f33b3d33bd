// SPDX-License-Identifier: BSD-2-Clause
/* Target port groups: what is reported, who may change it, and what a state refuses. */
#include "scsi_alua_wire.h"
#include "scsi_port.h"

/* Three groups; a came in by the first, b by the second. */
static void world_with_groups(struct world *w)
{
	world_create(w);
	w->target.ports[0] = (struct target_port){ .tag = 1, .relative = 1 };
	w->target.ports[1] = (struct target_port){ .tag = 2, .relative = 2, .preferred = true };
	w->target.ports[2] = (struct target_port){ .tag = 0x1234, .relative = 0x1234 };
	w->target.port_count = 3;
	w->b.port = &w->target.ports[1];
}

static struct cdb cdb_rtpg(uint8_t format)
{
	struct cdb c = { { CDB_MAINTENANCE_IN,
			   (uint8_t)(format << 5 | SA_REPORT_TARGET_PORT_GROUPS) } };

	put32(c.b + 6, 4096);
	return c;
}

static struct cdb cdb_stpg(uint32_t len)
{
	struct cdb c = { { CDB_MAINTENANCE_OUT, SA_SET_TARGET_PORT_GROUPS } };

	put32(c.b + 6, len);
	return c;
}

static uint32_t outcome_of(struct world *w, struct nexus *n, const uint8_t *cdb, int dir,
			   uint32_t edtl, const void *out)
{
	struct command c;
	uint32_t sense;

	command_init(w, &c, cdb, dir, edtl, out);
	c.task.nexus = n;
	command_submit(&c);
	CU_ASSERT_EQUAL_FATAL(c.ends, 1);
	sense = c.task.status == SAM_GOOD ? 0 : command_sense(&c);
	CU_ASSERT(sense || c.task.status == SAM_GOOD);
	command_free(&c);
	return sense;
}

/* SET TARGET PORT GROUPS by nexus a, of list_len bytes in a block of just that size. */
static uint32_t set_groups(struct world *w, const void *list, uint32_t list_len)
{
	struct cdb cdb = cdb_stpg(list_len);
	uint8_t *exact = malloc(list_len ? list_len : 1);
	uint32_t sense;

	CU_ASSERT_FATAL(exact != NULL);
	memcpy(exact, list, list_len);
	sense = outcome_of(w, &w->a, cdb.b, DIR_WRITE, list_len, exact);
	free(exact);
	return sense;
}

static uint32_t set_group(struct world *w, uint16_t group, uint8_t state)
{
	uint8_t list[8] = { 0, 0, 0, 0, state, 0, (uint8_t)(group >> 8), (uint8_t)group };

	return set_groups(w, list, sizeof(list));
}

static void report(void)
{
	static const uint8_t expected[] = {
		0,    0, 0, 36, /* length */
		0x00, 0, 0, 0, /* replaced: the first group */
	};
	struct cdb cdb = cdb_rtpg(0), extended = cdb_rtpg(1);
	struct command c, e;
	struct world w;

	world_with_groups(&w);
	w.target.ports[1].access = ACCESS_STANDBY;
	w.target.ports[2].access = ACCESS_OFFLINE;
	command_run(&w, &c, cdb.b, DIR_READ, 4096, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(c.in_len, 4 + 3 * 12);
	CU_ASSERT(!memcmp(c.in, expected, 4));
	for (unsigned int i = 0; i < 3; i++) {
		static const uint8_t states[] = { 0x00, 0x82, 0x0e };
		static const uint16_t tags[] = { 1, 2, 0x1234 };
		const uint8_t *d = c.in + 4 + i * 12;

		CU_ASSERT_EQUAL(d[0], states[i]);
		CU_ASSERT_EQUAL(d[1], 0xcf); /* all but logical block dependent */
		CU_ASSERT_EQUAL(get_be(d + 2, 2), tags[i]);
		CU_ASSERT_EQUAL(d[5], 0);
		CU_ASSERT_EQUAL(d[7], 1);
		CU_ASSERT_EQUAL(get_be(d + 8, 4), tags[i]);
	}
	command_run(&w, &e, extended.b, DIR_READ, 4096, NULL);
	ASSERT_GOOD(&e);
	CU_ASSERT_EQUAL(e.in_len, c.in_len + 4);
	CU_ASSERT_EQUAL(get_be(e.in, 4), 40);
	CU_ASSERT_EQUAL(get_be(e.in + 4, 4), 0x10000000);
	CU_ASSERT(!memcmp(e.in + 8, c.in + 4, 36));
	command_free(&c);
	command_free(&e);
	for (uint8_t format = 2; format < 8; format++) {
		cdb = cdb_rtpg(format);
		CU_ASSERT_EQUAL(outcome_of(&w, &w.a, cdb.b, DIR_READ, 4096, NULL),
				SENSE_INVALID_CDB_FIELD);
	}
	world_destroy(&w);
}

/* Explicit: the change counts at once for the others, they hear of it, and it is reported. */
static void set_by_command(void)
{
	static const uint8_t two[] = { 0, 0, 0, 0, ACCESS_NON_OPTIMIZED, 0, 0, 1, 0xf2, 0, 0, 2 };
	struct cdb cdb = cdb_rtpg(0);
	struct command c;
	struct world w;

	world_with_groups(&w);
	CU_ASSERT_EQUAL(set_groups(&w, two, sizeof(two)), 0);
	CU_ASSERT_EQUAL(w.target.ports[0].access, ACCESS_NON_OPTIMIZED);
	CU_ASSERT_EQUAL(w.target.ports[1].access, ACCESS_STANDBY);
	CU_ASSERT_EQUAL(w.target.ports[2].access, ACCESS_OPTIMIZED);
	CU_ASSERT_EQUAL(w.a.unit_attentions[0], 0);
	CU_ASSERT_EQUAL(w.b.unit_attentions[0], 1u << UA_ACCESS_STATE_CHANGED);
	CU_ASSERT_EQUAL(w.b.unit_attentions[1], 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_ACCESS_STATE_CHANGED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_STANDBY);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	command_run(&w, &c, cdb.b, DIR_READ, 4096, NULL);
	CU_ASSERT_EQUAL(c.in[4 + 5], RTPG_BY_COMMAND);
	CU_ASSERT_EQUAL(c.in[4 + 12 + 5], RTPG_BY_COMMAND);
	CU_ASSERT_EQUAL(c.in[4 + 24 + 5], 0);
	command_free(&c);
	/* What it is already is no change. */
	CU_ASSERT_EQUAL(set_groups(&w, two, sizeof(two)), 0);
	CU_ASSERT_EQUAL(w.b.unit_attentions[0], 0);
	world_destroy(&w);
}

/* Nothing changes when anything in the list is wrong. */
static void bad_lists(void)
{
	static const struct {
		uint8_t list[80];
		uint32_t len, sense;
		uint8_t at; /* field pointer */
	} rows[] = {
		{ { 0 }, 0, 0, 0 },
		{ { 0 }, 4, 0, 0 }, /* no descriptor */
		{ { 0 }, 1, SENSE_LIST_LENGTH, 0 },
		{ { 0 }, 3, SENSE_LIST_LENGTH, 0 },
		{ { 0, 0, 0, 0, 2, 0, 0 }, 7, SENSE_LIST_LENGTH, 0 },
		{ { 0, 0, 0, 0, 2, 0, 0, 2, 2 }, 9, SENSE_LIST_LENGTH, 0 },
		{ { 0 }, 4 + 17 * 4, SENSE_LIST_LENGTH, 0 },
		{ { 0, 0, 0, 0, 2, 0, 0, 1, 4, 0, 0, 2 }, 12, SENSE_INVALID_LIST_FIELD, 8 },
		{ { 0, 0, 0, 0, 2, 0, 0, 1, 5, 0, 0, 2 }, 12, SENSE_INVALID_LIST_FIELD, 8 },
		{ { 0, 0, 0, 0, 2, 0, 0, 1, 0xd, 0, 0, 2 }, 12, SENSE_INVALID_LIST_FIELD, 8 },
		{ { 0, 0, 0, 0, 2, 0, 0, 1, 0xf, 0, 0, 2 }, 12, SENSE_INVALID_LIST_FIELD, 8 },
		{ { 0, 0, 0, 0, 2, 0, 0, 1, 2, 0, 0, 3 }, 12, SENSE_INVALID_LIST_FIELD, 10 },
		{ { 0, 0, 0, 0, 2, 0, 0, 1, 2, 0, 0, 0 }, 12, SENSE_INVALID_LIST_FIELD, 10 },
		{ { 0, 0, 0, 0, 2, 0, 0, 1, 2, 0, 0, 1 }, 12, SENSE_INVALID_LIST_FIELD, 10 },
		/* longest: sixteen groups, of which the fourth does not exist */
		{ { 0, 0, 0, 0, 2, 0, 0, 1, 2, 0, 0, 2, 2, 0, 0x12, 0x34 },
		  4 + 16 * 4,
		  SENSE_INVALID_LIST_FIELD,
		  18 },
	};
	struct world w;

	world_with_groups(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_stpg(rows[i].len);
		uint8_t *list = malloc(rows[i].len ? rows[i].len : 1);
		struct command c;

		CU_ASSERT_FATAL(list != NULL);
		memcpy(list, rows[i].list, rows[i].len);
		command_run(&w, &c, cdb.b, DIR_WRITE, rows[i].len, list);
		CU_ASSERT_EQUAL(command_sense(&c), rows[i].sense);
		if (rows[i].at) {
			CU_ASSERT_EQUAL(c.task.sense[15] & 0xc0, 0x80);
			CU_ASSERT_EQUAL(get_be(c.task.sense + 16, 2), rows[i].at);
		}
		CU_ASSERT_EQUAL(w.target.ports[0].access, ACCESS_OPTIMIZED);
		CU_ASSERT_EQUAL(w.b.unit_attentions[0], 0);
		command_free(&c);
		free(list);
	}
	world_destroy(&w);
}

/* Less Data-Out than the list: no list of that length is made up. */
static void list_longer_than_the_data(void)
{
	static const uint8_t lens[][4] = { { 0xff, 0xff, 0xff, 0xff },
					   { 0, 0, 0, 16 },
					   { 0x80, 0, 0, 4 } };
	uint8_t *list = calloc(1, 12);
	struct world w;

	world_with_groups(&w);
	CU_ASSERT_FATAL(list != NULL);
	for (size_t i = 0; i < array_size(lens); i++) {
		struct cdb cdb = cdb_stpg((uint32_t)get_be(lens[i], 4));

		CU_ASSERT_EQUAL(outcome_of(&w, &w.a, cdb.b, DIR_WRITE, 12, list),
				SENSE_LIST_LENGTH);
	}
	free(list);
	world_destroy(&w);
}

/* Data-Out that came with the command, in memory of any size. */
static void immediate_data(void)
{
	static const uint8_t list[8] = { 0, 0, 0, 0, ACCESS_UNAVAILABLE, 0, 0, 2 };
	struct cdb cdb = cdb_stpg(sizeof(list));

	for (uint32_t len = 1; len <= sizeof(list); len++) {
		struct command c;
		struct world w;

		world_with_groups(&w);
		command_init(&w, &c, cdb.b, DIR_WRITE, sizeof(list), list);
		command_immediate(&c, len, sizeof(list));
		command_submit(&c);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(w.target.ports[1].access, ACCESS_UNAVAILABLE);
		command_free(&c);
		world_destroy(&w);
	}
}

/* What each state lets through, SPC 5.16.2, by the path that has it; the other path sees nothing. */
static void states_refuse_commands(void)
{
	static const struct {
		uint8_t cdb[CDB_MAX];
		int dir;
		bool standby, unavailable;
	} commands[] = {
		{ { CDB_TEST_UNIT_READY }, 0, false, false },
		{ { CDB_READ_10, [8] = 1 }, DIR_READ, false, false },
		{ { CDB_WRITE_10, [8] = 1 }, DIR_WRITE, false, false },
		{ { CDB_SYNCHRONIZE_CACHE_10 }, 0, false, false },
		{ { CDB_START_STOP_UNIT, [4] = 1 }, 0, false, false },
		{ { CDB_MODE_SENSE_6, 0, MODE_PAGE_ALL, 0, 255 }, DIR_READ, true, false },
		{ { CDB_MODE_SENSE_10, 0, MODE_PAGE_ALL, [8] = 255 }, DIR_READ, true, false },
		{ { CDB_READ_CAPACITY_10 }, DIR_READ, true, false },
		{ { CDB_SERVICE_ACTION_IN_16, SA_READ_CAPACITY_16, [13] = 32 },
		  DIR_READ,
		  true,
		  false },
		{ { CDB_INQUIRY, [4] = 96 }, DIR_READ, true, true },
		{ { CDB_REPORT_LUNS, [9] = 16 }, DIR_READ, true, true },
		{ { CDB_REQUEST_SENSE, [4] = 18 }, DIR_READ, true, true },
		{ { CDB_MAINTENANCE_IN, SA_REPORT_TARGET_PORT_GROUPS, [9] = 64 },
		  DIR_READ,
		  true,
		  true },
		{ { CDB_MAINTENANCE_OUT, SA_SET_TARGET_PORT_GROUPS }, DIR_WRITE, true, true },
	};
	static const struct {
		enum access_state state;
		uint32_t sense;
	} states[] = {
		{ ACCESS_OPTIMIZED, 0 },	   { ACCESS_NON_OPTIMIZED, 0 },
		{ ACCESS_STANDBY, SENSE_STANDBY }, { ACCESS_UNAVAILABLE, SENSE_UNAVAILABLE },
		{ ACCESS_OFFLINE, SENSE_OFFLINE }, { ACCESS_TRANSITIONING, SENSE_TRANSITION },
	};
	uint8_t *block = calloc(1, 512);
	struct world w;

	CU_ASSERT_FATAL(block != NULL);
	world_with_groups(&w);
	for (size_t s = 0; s < array_size(states); s++) {
		w.target.ports[1].access = states[s].state;
		for (size_t i = 0; i < array_size(commands); i++) {
			bool allowed = states[s].state == ACCESS_STANDBY ? commands[i].standby
									 : commands[i].unavailable;
			uint32_t sense = allowed ? 0 : states[s].sense;

			CU_ASSERT_EQUAL(outcome_of(&w, &w.b, commands[i].cdb, commands[i].dir,
						   commands[i].dir ? 512 : 0, block),
					sense);
			CU_ASSERT_EQUAL(outcome_of(&w, &w.a, commands[i].cdb, commands[i].dir,
						   commands[i].dir ? 512 : 0, block),
					0);
		}
	}
	free(block);
	world_destroy(&w);
}

static const char *const through_unavailable[] = {
	"REQUEST SENSE",	  "INQUIRY", "REPORT LUNS", "REPORT TARGET PORT GROUPS",
	"SET TARGET PORT GROUPS",
};

static void check_flags(const struct cdb_row *row, unsigned int *listed)
{
	bool named = false;

	for (size_t i = 0; i < array_size(through_unavailable); i++)
		named |= !strcmp(row->name, through_unavailable[i]);
	*listed += named;
	CU_ASSERT_EQUAL((row->flags & ROW_UNAVAILABLE) != 0, named);
	/* What is on the medium is out of reach on standby; how large it is, is not. */
	if (row->flags & ROW_STANDBY && strncmp(row->name, "READ CAPACITY", 13))
		CU_ASSERT_EQUAL(row->flags & (ROW_MEDIUM | ROW_WRITES), 0);
}

/* No other command slips through by a flag. */
static void rows_say_what_goes_through(void)
{
	unsigned int listed = 0;

	for (unsigned int op = 0; op < 256; op++) {
		const struct cdb_row *row = cdb_table[op];

		if (row && !row->actions)
			check_flags(row, &listed);
		for (unsigned int i = 0; row && row->actions && row->actions[i]; i++)
			check_flags(row->actions[i], &listed);
	}
	CU_ASSERT_EQUAL(listed, array_size(through_unavailable));
}

/* Every unit of the target at once, by the port, from the path that is unavailable too. */
static void there_and_back(void)
{
	static const uint8_t states[] = { ACCESS_STANDBY, ACCESS_UNAVAILABLE, ACCESS_OFFLINE };
	struct world w;

	world_with_groups(&w);
	w.target.lun[7] = w.lu;
	for (size_t i = 0; i < array_size(states); i++) {
		CU_ASSERT_EQUAL(set_group(&w, 1, states[i]), 0);
		CU_ASSERT_EQUAL(w.b.unit_attentions[0], 1u << UA_ACCESS_STATE_CHANGED);
		CU_ASSERT_EQUAL(w.b.unit_attentions[7], 1u << UA_ACCESS_STATE_CHANGED);
		CU_ASSERT(ready(&w, &w.a) != 0);
		CU_ASSERT_EQUAL(set_group(&w, 1, ACCESS_OPTIMIZED), 0);
		CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
		w.b.unit_attentions[0] = w.b.unit_attentions[7] = 0;
	}
	world_destroy(&w);
}

/* Nobody may set a group that is on its way. */
static void not_during_a_transition(void)
{
	static const uint8_t both[] = { 0, 0, 0, 0, 2, 0, 0, 1, 2, 0, 0, 2 };
	struct world w;

	world_with_groups(&w);
	CU_ASSERT(target_set_access(&w.target, 2, ACCESS_TRANSITIONING));
	w.a.unit_attentions[0] = 0;
	CU_ASSERT_EQUAL(set_groups(&w, both, sizeof(both)), SENSE_TRANSITION);
	CU_ASSERT_EQUAL(w.target.ports[0].access, ACCESS_OPTIMIZED);
	CU_ASSERT(target_set_access(&w.target, 2, ACCESS_OPTIMIZED));
	w.a.unit_attentions[0] = 0;
	CU_ASSERT_EQUAL(set_groups(&w, both, sizeof(both)), 0);
	world_destroy(&w);
}

/* Implicit: everybody hears of it. */
static void set_by_ourselves(void)
{
	struct cdb cdb = cdb_rtpg(0);
	struct command c;
	struct world w;

	world_with_groups(&w);
	CU_ASSERT(target_set_access(&w.target, 2, ACCESS_NON_OPTIMIZED));
	CU_ASSERT_EQUAL(w.a.unit_attentions[0], 1u << UA_ACCESS_STATE_CHANGED);
	CU_ASSERT_EQUAL(w.b.unit_attentions[0], 1u << UA_ACCESS_STATE_CHANGED);
	w.a.unit_attentions[0] = w.b.unit_attentions[0] = 0;
	command_run(&w, &c, cdb.b, DIR_READ, 4096, NULL);
	CU_ASSERT_EQUAL(c.in[4 + 12], 0x81);
	CU_ASSERT_EQUAL(c.in[4 + 12 + 5], RTPG_IMPLICIT);
	command_free(&c);
	CU_ASSERT(target_set_access(&w.target, 2, ACCESS_NON_OPTIMIZED));
	CU_ASSERT_EQUAL(w.a.unit_attentions[0], 0);
	CU_ASSERT(!target_set_access(&w.target, 3, ACCESS_STANDBY));
	CU_ASSERT(!target_set_access(&w.target, 2, (enum access_state)4));
	CU_ASSERT_EQUAL(w.target.ports[1].access, ACCESS_NON_OPTIMIZED);
	world_destroy(&w);
}

static void port_by_tag(void)
{
	struct world w;

	world_with_groups(&w);
	CU_ASSERT_PTR_EQUAL(target_port_by_tag(&w.target, 0x1234), &w.target.ports[2]);
	CU_ASSERT_PTR_EQUAL(target_port_by_tag(&w.target, 9), &w.target.ports[0]);
	world_destroy(&w);
}

UNIT_MAIN(TEST(report), TEST(set_by_command), TEST(bad_lists), TEST(list_longer_than_the_data),
	  TEST(immediate_data), TEST(states_refuse_commands), TEST(rows_say_what_goes_through),
	  TEST(there_and_back), TEST(not_during_a_transition), TEST(set_by_ourselves),
	  TEST(port_by_tag));
