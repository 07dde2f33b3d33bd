// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which commands conflict with whose reservation: SPC-4 5.13.1 and SBC-3 4.17 for persistent ones,
 * SPC-2 5.5.1 and its annex B for RESERVE (6), for every row of the CDB table.
 */
#include "scsi_pr.h"

enum { WE = 1, EA = 3, WE_RO = 5, EA_RO = 6, WE_AR = 7, EA_AR = 8 };

/* What the standards say of a command, written down once more. */
enum kind {
	ALWAYS = 'a', /* allowed for everybody */
	READS = 'r', /* conflicts with Exclusive Access of others */
	WRITES = 'w', /* and with Write Exclusive */
	STATUS = 's', /* allowed but for a RESERVE (6) of others */
	SPC2 = '2', /* RESERVE and RELEASE */
	PERSISTENT = 'p', /* conflicts with any RESERVE (6) */
};

static const struct {
	uint8_t opcode;
	int action; /* -1: whatever it is */
	enum kind class;
} classes[] = {
	{ CDB_TEST_UNIT_READY, -1, STATUS },
	{ CDB_REQUEST_SENSE, -1, ALWAYS },
	{ CDB_INQUIRY, -1, ALWAYS },
	{ CDB_REPORT_LUNS, -1, ALWAYS },
	{ CDB_READ_CAPACITY_10, -1, ALWAYS },
	{ CDB_SERVICE_ACTION_IN_16, SA_READ_CAPACITY_16, ALWAYS },
	{ CDB_SERVICE_ACTION_IN_16, SA_GET_LBA_STATUS, READS },
	{ CDB_LOG_SENSE, -1, STATUS },
	{ CDB_LOG_SELECT, -1, WRITES },
	{ CDB_MODE_SENSE_6, -1, READS },
	{ CDB_MODE_SENSE_10, -1, READS },
	{ CDB_MODE_SELECT_6, -1, WRITES },
	{ CDB_MODE_SELECT_10, -1, WRITES },
	{ CDB_RESERVE_6, -1, SPC2 },
	{ CDB_RELEASE_6, -1, SPC2 },
	{ CDB_RESERVE_10, -1, SPC2 },
	{ CDB_RELEASE_10, -1, SPC2 },
	{ CDB_PERSISTENT_RESERVE_IN, -1, PERSISTENT },
	{ CDB_PERSISTENT_RESERVE_OUT, -1, PERSISTENT },
	/* What it asks for decides; see start_and_prevent_depend_on_what_is_asked(). */
	{ CDB_START_STOP_UNIT, -1, ALWAYS },
	{ CDB_PREVENT_ALLOW, -1, ALWAYS },
	{ CDB_READ_6, -1, READS },
	{ CDB_READ_10, -1, READS },
	{ CDB_READ_12, -1, READS },
	{ CDB_READ_16, -1, READS },
	{ CDB_VERIFY_10, -1, READS },
	{ CDB_VERIFY_12, -1, READS },
	{ CDB_VERIFY_16, -1, READS },
	{ CDB_PRE_FETCH_10, -1, READS },
	{ CDB_PRE_FETCH_16, -1, READS },
	{ CDB_READ_DEFECT_DATA_10, -1, READS },
	{ CDB_READ_DEFECT_DATA_12, -1, READS },
	{ CDB_WRITE_6, -1, WRITES },
	{ CDB_WRITE_10, -1, WRITES },
	{ CDB_WRITE_12, -1, WRITES },
	{ CDB_WRITE_16, -1, WRITES },
	{ CDB_WRITE_AND_VERIFY_10, -1, WRITES },
	{ CDB_WRITE_AND_VERIFY_12, -1, WRITES },
	{ CDB_WRITE_AND_VERIFY_16, -1, WRITES },
	{ CDB_WRITE_ATOMIC_16, -1, WRITES },
	{ CDB_ORWRITE_16, -1, WRITES },
	{ CDB_COMPARE_AND_WRITE, -1, WRITES },
	{ CDB_WRITE_SAME_10, -1, WRITES },
	{ CDB_WRITE_SAME_16, -1, WRITES },
	{ CDB_UNMAP, -1, WRITES },
	{ CDB_SYNCHRONIZE_CACHE_10, -1, WRITES },
	{ CDB_SYNCHRONIZE_CACHE_16, -1, WRITES },
	{ CDB_FORMAT_UNIT, -1, WRITES },
	{ CDB_REASSIGN_BLOCKS, -1, WRITES },
	{ CDB_SANITIZE, -1, WRITES },
	{ CDB_VARIABLE_LENGTH, SA_READ_32, READS },
	{ CDB_VARIABLE_LENGTH, SA_VERIFY_32, READS },
	{ CDB_VARIABLE_LENGTH, SA_WRITE_32, WRITES },
	{ CDB_VARIABLE_LENGTH, SA_WRITE_AND_VERIFY_32, WRITES },
	{ CDB_VARIABLE_LENGTH, SA_WRITE_SAME_32, WRITES },
	{ CDB_THIRD_PARTY_COPY_OUT, 0x10, READS }, /* POPULATE TOKEN */
	{ CDB_THIRD_PARTY_COPY_OUT, -1, WRITES },
	{ CDB_THIRD_PARTY_COPY_IN, -1, STATUS },
	{ CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_OPCODES, READS },
	{ CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_TMFS, READS },
	{ CDB_MAINTENANCE_IN, -1, ALWAYS },
	{ CDB_MAINTENANCE_OUT, -1, WRITES },
};

static enum kind class_of(const struct cdb_row *row)
{
	for (size_t i = 0; i < array_size(classes); i++) {
		if (classes[i].opcode == row->usage[0] &&
		    (classes[i].action < 0 || classes[i].action == row->service_action))
			return classes[i].class;
	}
	return 0;
}

static const struct cdb_row *const *rows_of(unsigned int opcode, const struct cdb_row *one[2])
{
	const struct cdb_row *row = cdb_table[opcode];

	one[0] = row && row->actions ? NULL : row;
	one[1] = NULL;
	return row && row->actions ? row->actions : one;
}

/* Whether this nexus meets a conflict with each row of the table, by the classes above. */
static void check_rows(struct pr_world *p, unsigned int who, const char *conflicts,
		       const char *what)
{
	for (unsigned int opcode = 0; opcode < 256; opcode++) {
		const struct cdb_row *one[2], *const *row = rows_of(opcode, one);

		for (; *row; row++) {
			enum kind class = class_of(*row);
			bool expected = class && strchr(conflicts, (char)class);
			bool got = reservation_conflict(&p->n[who], 0, (*row)->rule);

			if (!class || got != expected)
				printf("# %s, nexus %u: %s\n", what, who, (*row)->name);
			CU_ASSERT(class != 0);
			CU_ASSERT_EQUAL(got, expected);
		}
	}
}

/* Nexus 0 holds, 1 is registered, 2 is not. */
static void persistent_reservations_and_every_row(void)
{
	static const struct {
		uint8_t type;
		const char *holder, *registrant, *other;
	} rows[] = {
		{ WE, "2", "2w", "2w" },    { EA, "2", "2wr", "2wr" }, { WE_RO, "2", "2", "2w" },
		{ EA_RO, "2", "2", "2wr" }, { WE_AR, "2", "2", "2w" }, { EA_AR, "2", "2", "2wr" },
	};
	struct pr_world p;

	pr_create(&p, true);
	for (unsigned int i = 0; i < 3; i++)
		check_rows(&p, i, "", "nobody is registered");
	for (unsigned int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(pr_out(&p, i, PR_REGISTER, 0, 0, i + 1, 0), 0);
	for (unsigned int i = 0; i < 3; i++)
		check_rows(&p, i, "2", "nothing is reserved");
	for (size_t i = 0; i < array_size(rows); i++) {
		char what[16];

		snprintf(what, sizeof(what), "type %u", rows[i].type);
		CU_ASSERT_EQUAL(pr_out(&p, 0, PR_RESERVE, rows[i].type, 1, 0, 0), 0);
		check_rows(&p, 0, rows[i].holder, what);
		check_rows(&p, 1, rows[i].registrant, what);
		check_rows(&p, 2, rows[i].other, what);
		CU_ASSERT_EQUAL(pr_out(&p, 0, PR_RELEASE, rows[i].type, 1, 0, 0), 0);
		pr_attentions(&p, 1);
		check_rows(&p, 2, "2", "released");
	}
	pr_destroy(&p);
}

static uint32_t plain(struct pr_world *p, unsigned int who, uint8_t opcode, uint8_t byte4)
{
	return pr_command(p, who, (uint8_t[CDB_MAX]){ opcode, [4] = byte4 }, 0, 0, NULL);
}

static void reserve_and_every_row(void)
{
	static const uint8_t reserves[] = { CDB_RESERVE_6, CDB_RESERVE_10 };
	static const uint8_t releases[] = { CDB_RELEASE_6, CDB_RELEASE_10 };
	struct pr_world p;

	pr_create(&p, true);
	for (size_t i = 0; i < array_size(reserves); i++) {
		CU_ASSERT_EQUAL(plain(&p, 0, reserves[i], 0), 0);
		check_rows(&p, 0, "p", "RESERVE (6), its holder");
		check_rows(&p, 1, "pswr", "RESERVE (6)");
		/* S14: RESERVE is refused, RELEASE does nothing; in any spelling. */
		for (size_t k = 0; k < array_size(reserves); k++) {
			CU_ASSERT_EQUAL(plain(&p, 0, reserves[k], 0), 0);
			CU_ASSERT_EQUAL(plain(&p, 1, reserves[k], 0), CONFLICT);
			CU_ASSERT_EQUAL(plain(&p, 1, releases[k], 0), 0);
		}
		CU_ASSERT_EQUAL(plain(&p, 1, CDB_TEST_UNIT_READY, 0), CONFLICT);
		CU_ASSERT_EQUAL(plain(&p, 0, releases[!i], 0), 0);
		check_rows(&p, 1, "", "RELEASE (6)");
	}
	/* Third parties, extents and their lists are not there. */
	for (unsigned int bit = 8; bit < 72; bit++) {
		uint8_t cdb[CDB_MAX] = { CDB_RESERVE_10 };

		cdb[bit / 8] |= (uint8_t)(1 << bit % 8);
		CU_ASSERT_EQUAL(pr_command(&p, 0, cdb, 0, 0, NULL), SENSE_INVALID_CDB_FIELD);
	}
	/* Lost with its nexus, and with a reset. */
	CU_ASSERT_EQUAL(plain(&p, 0, CDB_RESERVE_6, 0), 0);
	nexus_detach(&p.n[0]);
	check_rows(&p, 1, "", "the holder has gone");
	nexus_attach(&p.n[0]);
	CU_ASSERT_EQUAL(plain(&p, 1, CDB_RESERVE_6, 0), 0);
	check_rows(&p, 0, "pswr", "RESERVE (6)");
	lu_reset(p.w.lu);
	check_rows(&p, 0, "", "reset");
	pr_destroy(&p);
}

static void the_two_methods_exclude_each_other(void)
{
	struct pr_world p;
	uint8_t in[8];

	pr_create(&p, true);
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 1, 0), 0);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(plain(&p, i, CDB_RESERVE_6, 0), CONFLICT);
		CU_ASSERT_EQUAL(plain(&p, i, CDB_RELEASE_6, 0), CONFLICT);
	}
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_CLEAR, 0, 1, 0, 0), 0);
	CU_ASSERT_EQUAL(plain(&p, 0, CDB_RESERVE_6, 0), 0);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(pr_out(&p, i, PR_REGISTER, 0, 0, 1, 0), CONFLICT);
		CU_ASSERT_EQUAL(pr_command(&p, i,
					   (uint8_t[CDB_MAX]){ CDB_PERSISTENT_RESERVE_IN, [8] = 8 },
					   DIR_READ, 8, NULL),
				CONFLICT);
	}
	CU_ASSERT_EQUAL(plain(&p, 0, CDB_RELEASE_6, 0), 0);
	pr_in(&p, 0, PR_READ_KEYS, 8, in);
	CU_ASSERT_EQUAL(get_be(in, 8), 2ull << 32);
	pr_destroy(&p);
}

/* A REGISTER that is being stored is first: RESERVE does not come between. */
static void a_reserve_between(void)
{
	struct cdb cdb = pr_out_cdb(PR_REGISTER, 0, 24);
	struct command c;
	struct pr_world p;
	uint8_t list[24];

	pr_create(&p, true);
	p.store.hold = true;
	pr_list(list, 0, 1, PR_APTPL);
	command_init(&p.w, &c, cdb.b, DIR_WRITE, 24, list);
	c.task.nexus = &p.n[0];
	command_submit(&c);
	CU_ASSERT_EQUAL(plain(&p, 1, CDB_RESERVE_6, 0), CONFLICT);
	memory_store_release(&p.store);
	world_turn(&p.w);
	ASSERT_GOOD(&c);
	command_free(&c);
	pr_destroy(&p);

	/* And the list of a REGISTER that comes while the unit is reserved meanwhile. */
	pr_create(&p, true);
	command_init(&p.w, &c, cdb.b, DIR_WRITE, 24, list);
	c.task.nexus = &p.n[0];
	c.hold = true;
	command_submit(&c);
	CU_ASSERT_EQUAL(plain(&p, 1, CDB_RESERVE_6, 0), 0);
	command_transfer(&c);
	CU_ASSERT_EQUAL(pr_outcome(&c), CONFLICT);
	command_free(&c);
	CU_ASSERT_EQUAL(plain(&p, 1, CDB_RELEASE_6, 0), 0);
	pr_destroy(&p);
}

static void start_and_prevent_depend_on_what_is_asked(void)
{
	struct pr_world p;

	pr_create(&p, true);
	p.w.lu->removable = true;
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_REGISTER, 0, 0, 1, 0), 0);
	CU_ASSERT_EQUAL(pr_out(&p, 0, PR_RESERVE, WE, 1, 0, 0), 0);
	for (unsigned int who = 0; who < 2; who++) {
		uint32_t denied = who ? CONFLICT : 0;

		CU_ASSERT_EQUAL(plain(&p, who, CDB_START_STOP_UNIT, START_STOP_START), 0);
		CU_ASSERT_EQUAL(plain(&p, who, CDB_START_STOP_UNIT, 0), denied);
		CU_ASSERT_EQUAL(plain(&p, who, CDB_START_STOP_UNIT, 0x11), denied);
		CU_ASSERT_EQUAL(plain(&p, who, CDB_PREVENT_ALLOW, 1), denied);
		CU_ASSERT_EQUAL(plain(&p, who, CDB_PREVENT_ALLOW, 0), 0);
		CU_ASSERT_EQUAL(plain(&p, who, CDB_TEST_UNIT_READY, 0), 0);
	}
	pr_destroy(&p);
}

UNIT_MAIN(TEST(persistent_reservations_and_every_row), TEST(reserve_and_every_row),
	  TEST(the_two_methods_exclude_each_other), TEST(a_reserve_between),
	  TEST(start_and_prevent_depend_on_what_is_asked));
