// SPDX-License-Identifier: BSD-2-Clause
/* START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL, a medium that is ejected, a unit that is resized. */
#include "scsi_port.h"

static void world_removable(struct world *w)
{
	struct lu_config cfg = { .bs = &w->disk.bs,
				 .serial = "0123456789abcdef",
				 .product = "disk",
				 .reactors = 1,
				 .removable = true };

	world_init(w, 512);
	CU_ASSERT_FATAL(lu_create(&cfg, &w->lu, (char[256]){ 0 }, 256) == 0);
	w->target.lun[0] = w->lu;
	nexus_join(w, &w->a, "a");
	nexus_join(w, &w->b, "b");
}

static uint32_t as(struct world *w, struct nexus *nexus, const uint8_t *cdb)
{
	struct command c;
	uint32_t sense;

	command_init(w, &c, cdb, DIR_READ, 255, NULL);
	c.task.nexus = nexus;
	command_submit(&c);
	sense = command_sense(&c);
	command_free(&c);
	return sense;
}

static uint32_t start_stop(struct world *w, struct nexus *nexus, uint8_t immed, uint8_t bits)
{
	return as(w, nexus, (uint8_t[CDB_MAX]){ CDB_START_STOP_UNIT, immed, 0, 0, bits });
}

static uint32_t prevent(struct world *w, struct nexus *nexus, uint8_t bits)
{
	return as(w, nexus, (uint8_t[CDB_MAX]){ CDB_PREVENT_ALLOW, 0, 0, 0, bits });
}

static uint32_t eject(struct world *w, struct nexus *nexus)
{
	return start_stop(w, nexus, 0, START_STOP_LOEJ);
}

static uint32_t load(struct world *w, struct nexus *nexus)
{
	return start_stop(w, nexus, 0, START_STOP_LOEJ | START_STOP_START);
}

/* --- A medium that stays */

static void a_fixed_medium(void)
{
	struct command c;
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(prevent(&w, &w.a, 1), SENSE_INVALID_OPCODE);
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t bits = (uint8_t)(START_STOP_LOEJ | i);

		command_run(&w, &c, (uint8_t[CDB_MAX]){ CDB_START_STOP_UNIT, 0, 0, 0, bits }, 0, 0,
			    NULL);
		ASSERT_SENSE(&c, SENSE_INVALID_CDB_FIELD);
		CU_ASSERT_EQUAL(c.task.sense[15], 0xc9);
		CU_ASSERT_EQUAL(get_be(c.task.sense + 16, 2), 4);
		command_free(&c);
	}
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

/* The unit has one power condition, active, and any other is the same to it. */
static void power_conditions(void)
{
	struct world w;

	world_create(&w);
	for (unsigned int power = 1; power < 16; power++) {
		uint8_t bits = (uint8_t)(power << 4 | START_STOP_LOEJ);

		CU_ASSERT_EQUAL(start_stop(&w, &w.a, START_STOP_IMMED, bits), 0);
		CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	}
	/* Out of a stop lead START, ACTIVE, IDLE and STANDBY. */
	for (uint8_t power = 1; power < 5; power++) {
		CU_ASSERT_EQUAL(start_stop(&w, &w.a, 0, 0), 0);
		CU_ASSERT_EQUAL(ready(&w, &w.a), SENSE_NEEDS_START);
		CU_ASSERT_EQUAL(start_stop(&w, &w.a, 0, (uint8_t)(power << 4)), 0);
		CU_ASSERT_EQUAL(ready(&w, &w.a), power < 4 ? 0 : SENSE_NEEDS_START);
	}
	CU_ASSERT_EQUAL(start_stop(&w, &w.a, 0, START_STOP_START), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	world_destroy(&w);
}

/* --- A medium that goes */

static void a_stop_alone_leaves_a_removable_unit_ready(void)
{
	struct world w;

	world_removable(&w);
	for (uint8_t i = 0; i < 8; i++) {
		uint8_t bits = (uint8_t)((i & 1 ? START_STOP_START : 0) |
					 (i & 2 ? START_STOP_NO_FLUSH : 0));

		disk_forget(&w.disk);
		CU_ASSERT_EQUAL(start_stop(&w, &w.a, i >> 2, bits), 0);
		CU_ASSERT_EQUAL(w.disk.requests, bits ? 0 : 1);
		CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	}
	world_destroy(&w);
}

static void without_a_medium(void)
{
	static const struct {
		uint8_t cdb[CDB_MAX];
		uint32_t sense;
	} rows[] = {
		{ { CDB_TEST_UNIT_READY }, SENSE_NO_MEDIUM },
		{ { CDB_READ_10, [8] = 1 }, SENSE_NO_MEDIUM },
		{ { CDB_WRITE_10, [8] = 1 }, SENSE_NO_MEDIUM },
		{ { CDB_SYNCHRONIZE_CACHE_10 }, SENSE_NO_MEDIUM },
		{ { CDB_READ_CAPACITY_10 }, SENSE_NO_MEDIUM },
		{ { CDB_SERVICE_ACTION_IN_16, SA_READ_CAPACITY_16, [13] = 32 }, SENSE_NO_MEDIUM },
		{ { CDB_START_STOP_UNIT, [4] = START_STOP_START }, SENSE_NO_MEDIUM },
		{ { CDB_INQUIRY, [4] = 36 }, 0 },
		{ { CDB_MODE_SENSE_6, 8, 0x3f, 0, 255 }, 0 },
		{ { CDB_PREVENT_ALLOW, 0, 0, 0, 1 }, 0 },
		{ { CDB_PREVENT_ALLOW, 0, 0, 0, 0 }, 0 },
	};
	struct command c;
	struct world w;

	world_removable(&w);
	CU_ASSERT_EQUAL(eject(&w, &w.a), 0);
	CU_ASSERT_EQUAL(w.disk.requests, 1);
	CU_ASSERT_EQUAL(w.disk.log[0].opcode, BS_FLUSH);
	for (size_t i = 0; i < array_size(rows); i++)
		CU_ASSERT_EQUAL(as(&w, &w.b, rows[i].cdb), rows[i].sense);
	command_run(&w, &c, (uint8_t[CDB_MAX]){ CDB_REQUEST_SENSE, [4] = 18 }, DIR_READ, 18, NULL);
	CU_ASSERT_EQUAL(c.in[2], 2);
	CU_ASSERT_EQUAL(get_be(c.in + 12, 2), 0x3a00);
	command_free(&c);
	CU_ASSERT_EQUAL(eject(&w, &w.b), 0);
	lu_reset(w.lu);
	CU_ASSERT_EQUAL(ready(&w, &w.a), SENSE_BUS_DEVICE_RESET);
	CU_ASSERT_EQUAL(ready(&w, &w.a), SENSE_NO_MEDIUM);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_BUS_DEVICE_RESET);
	/* Back in: the others hear of it, who did it knows. */
	CU_ASSERT_EQUAL(load(&w, &w.a), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_MEDIUM_CHANGED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	/* It was there already. */
	CU_ASSERT_EQUAL(load(&w, &w.a), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	world_destroy(&w);
}

static void a_flush_that_fails_keeps_the_medium(void)
{
	struct world w;

	world_removable(&w);
	w.disk.fail[BS_FLUSH] = -EIO;
	CU_ASSERT_EQUAL(eject(&w, &w.a), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	CU_ASSERT_EQUAL(start_stop(&w, &w.a, 0, START_STOP_LOEJ | START_STOP_NO_FLUSH), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.a), SENSE_NO_MEDIUM);
	world_destroy(&w);
}

/* Each nexus for itself; neither eject nor load while one of them prevents it. */
static void prevention(void)
{
	struct world w;

	world_removable(&w);
	CU_ASSERT_EQUAL(prevent(&w, &w.a, 2), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(prevent(&w, &w.a, 1), 0);
	CU_ASSERT_EQUAL(eject(&w, &w.a), SENSE_REMOVAL_PREVENTED);
	CU_ASSERT_EQUAL(eject(&w, &w.b), SENSE_REMOVAL_PREVENTED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	CU_ASSERT_EQUAL(prevent(&w, &w.b, 1), 0);
	CU_ASSERT_EQUAL(prevent(&w, &w.a, 0), 0);
	CU_ASSERT_EQUAL(eject(&w, &w.a), SENSE_REMOVAL_PREVENTED);
	CU_ASSERT_EQUAL(prevent(&w, &w.b, 0), 0);
	CU_ASSERT_EQUAL(eject(&w, &w.a), 0);
	CU_ASSERT_EQUAL(prevent(&w, &w.b, 1), 0);
	CU_ASSERT_EQUAL(load(&w, &w.a), SENSE_REMOVAL_PREVENTED);
	CU_ASSERT_EQUAL(prevent(&w, &w.b, 0), 0);
	CU_ASSERT_EQUAL(load(&w, &w.a), 0);
	world_destroy(&w);
}

static void prevention_that_comes_during_the_flush(void)
{
	static const uint8_t cdb[CDB_MAX] = { CDB_START_STOP_UNIT, [4] = START_STOP_LOEJ };
	struct command c;
	struct world w;

	world_removable(&w);
	w.disk.hold = true;
	command_init(&w, &c, cdb, 0, 0, NULL);
	command_submit(&c);
	CU_ASSERT_EQUAL(prevent(&w, &w.b, 1), 0);
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_SENSE(&c, SENSE_REMOVAL_PREVENTED);
	command_free(&c);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	world_destroy(&w);
}

static void prevention_ends_with_the_nexus_and_the_reset(void)
{
	struct world w;

	world_removable(&w);
	CU_ASSERT_EQUAL(prevent(&w, &w.b, 1), 0);
	CU_ASSERT_EQUAL(eject(&w, &w.a), SENSE_REMOVAL_PREVENTED);
	nexus_detach(&w.b);
	CU_ASSERT_EQUAL(eject(&w, &w.a), 0);
	CU_ASSERT_EQUAL(load(&w, &w.a), 0);
	/* The same memory, a new nexus. */
	nexus_attach(&w.b);
	CU_ASSERT_EQUAL(eject(&w, &w.a), 0);
	CU_ASSERT_EQUAL(load(&w, &w.a), 0);
	CU_ASSERT_EQUAL(prevent(&w, &w.a, 1), 0);
	lu_reset(w.lu);
	CU_ASSERT_EQUAL(ready(&w, &w.a), SENSE_BUS_DEVICE_RESET);
	CU_ASSERT_EQUAL(eject(&w, &w.a), 0);
	world_destroy(&w);
}

/* --- Resize */

static uint64_t capacity(struct world *w)
{
	struct command c;
	uint64_t last;

	command_run(w, &c,
		    (uint8_t[CDB_MAX]){ CDB_SERVICE_ACTION_IN_16, SA_READ_CAPACITY_16, [13] = 32 },
		    DIR_READ, 32, NULL);
	ASSERT_GOOD(&c);
	last = get_be(c.in, 8);
	command_free(&c);
	return last + 1;
}

static void everybody_hears_of_another_size(void)
{
	struct cdb beyond = cdb_rw(CDB_READ_10, 0, DISK_BLOCKS / 2, 1);
	struct world w;

	world_create(&w);
	CU_ASSERT(!lu_resize(w.lu));
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	w.disk.bs.limits.size = DISK_BLOCKS / 2 * 512;
	CU_ASSERT(lu_resize(w.lu));
	CU_ASSERT_EQUAL(ready(&w, &w.a), SENSE_CAPACITY_CHANGED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_CAPACITY_CHANGED);
	CU_ASSERT_EQUAL(capacity(&w), DISK_BLOCKS / 2);
	CU_ASSERT_EQUAL(as(&w, &w.a, beyond.b), SENSE_LBA_RANGE);
	w.disk.bs.limits.size = DISK_BLOCKS * 512;
	CU_ASSERT(lu_resize(w.lu));
	CU_ASSERT_EQUAL(ready(&w, &w.a), SENSE_CAPACITY_CHANGED);
	CU_ASSERT_EQUAL(capacity(&w), DISK_BLOCKS);
	/* A file without a block: there is no such capacity. */
	w.disk.bs.limits.size = 0;
	CU_ASSERT(!lu_resize(w.lu));
	CU_ASSERT_EQUAL(capacity(&w), DISK_BLOCKS);
	CU_ASSERT_EQUAL(as(&w, &w.a, beyond.b), SENSE_INTERNAL_FAILURE);
	world_destroy(&w);
}

/* A write that waits for its data when the end of the disk moves in front of it. */
static void a_command_that_is_under_way_ends_with_an_error(void)
{
	struct cdb write = cdb_rw(CDB_WRITE_10, 0, DISK_BLOCKS - 8, 8);
	struct cdb read = cdb_rw(CDB_READ_10, 0, DISK_BLOCKS - 4096, 4096);
	uint8_t *data = pattern(8 * 512, 3);
	struct command w1, r1;
	struct world w;

	world_create(&w);
	command_init(&w, &w1, write.b, DIR_WRITE, 8 * 512, data);
	w1.hold = true;
	command_submit(&w1);
	command_init(&w, &r1, read.b, DIR_READ, 4096 * 512, NULL);
	r1.hold = true;
	command_submit(&r1);
	w.disk.bs.limits.size = DISK_BLOCKS / 2 * 512;
	CU_ASSERT(lu_resize(w.lu));
	w1.hold = r1.hold = false;
	command_transfer(&w1);
	ASSERT_SENSE(&w1, SENSE_INTERNAL_FAILURE);
	command_transfer(&r1); /* its second half */
	ASSERT_SENSE(&r1, SENSE_INTERNAL_FAILURE);
	command_free(&w1);
	command_free(&r1);
	free(data);
	world_destroy(&w);
}

UNIT_MAIN(TEST(a_fixed_medium), TEST(power_conditions),
	  TEST(a_stop_alone_leaves_a_removable_unit_ready), TEST(without_a_medium),
	  TEST(a_flush_that_fails_keeps_the_medium), TEST(prevention),
	  TEST(prevention_that_comes_during_the_flush),
	  TEST(prevention_ends_with_the_nexus_and_the_reset), TEST(everybody_hears_of_another_size),
	  TEST(a_command_that_is_under_way_ends_with_an_error));
