// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads and writes beside an exclusive command on one thread, step by step: what is done again, what
 * waits, what is lent (scsi/gate.c, gate_read.c). On real threads: scsi_gate_test.c,
 * scsi_gate_read_test.c.
 */
#include "core/reactor_impl.h"
#include "scsi_media.h"

/* A read that saw half of a change is done again, and in the end inside the gate. */
static void a_read_across_a_change_is_done_again(void)
{
	struct cdb caw = cdb_caw(0, 0, 2), read = cdb_rw(CDB_READ_10, 0, 0, 2);
	struct command r, c[4];
	struct world w;
	uint8_t *data;

	world_create(&w);
	data = caw_data(&w, 0, 2, 5);
	CU_ASSERT_EQUAL(outcome(&w, caw.b, DIR_WRITE, 2048, data), 0);
	disk_forget(&w.disk);
	w.disk.hold = true;
	command_init(&w, &r, read.b, DIR_READ, 1024, NULL);
	command_submit(&r);
	/* Three changes, each while the read is at the disk. */
	for (int i = 0; i < 3; i++) {
		struct bs_req *reading = w.disk.held[0];

		w.disk.held_count = 0;
		free(data);
		data = caw_data(&w, 0, 2, (uint8_t)(20 * i));
		command_init(&w, &c[i], caw.b, DIR_WRITE, 2048, data);
		command_submit(&c[i]);
		disk_release(&w.disk);
		disk_release(&w.disk);
		world_turn(&w);
		ASSERT_GOOD(&c[i]);
		command_free(&c[i]);
		bs_complete(reading, disk_execute(&w.disk, reading));
		world_turn(&w);
		CU_ASSERT_EQUAL(r.ends, 0);
		CU_ASSERT_EQUAL_FATAL(w.disk.held_count, 1);
	}
	/* Now it is inside, and an exclusive command has to wait for it. */
	command_init(&w, &c[3], caw.b, DIR_WRITE, 2048, data);
	command_submit(&c[3]);
	CU_ASSERT_EQUAL(w.disk.held_count, 1);
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_GOOD(&r);
	CU_ASSERT(!memcmp(r.in, data + 1024, 1024));
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_SENSE(&c[3], SENSE_MISCOMPARE);
	CU_ASSERT_EQUAL(w.lu->per_reactor[0].gate.writing, false);
	command_free(&c[3]);
	command_free(&r);
	free(data);
	world_destroy(&w);
}

/* A read during the change waits in the gate; a change that fails is a change, too. */
static void a_read_during_a_change(void)
{
	struct cdb caw = cdb_caw(0, 0, 1), read = cdb_rw(CDB_READ_10, 0, 0, 1);
	struct command r, c;
	struct world w;
	uint8_t *data;

	for (int abort = 0; abort < 2; abort++) {
		world_create(&w);
		data = caw_data(&w, 0, 1, 5);
		w.disk.hold = true;
		command_init(&w, &c, caw.b, DIR_WRITE, 1024, data);
		command_submit(&c);
		disk_release(&w.disk);
		CU_ASSERT_STRING_EQUAL(asked(&w), "rw");
		CU_ASSERT_EQUAL(w.lu->sequence % 2, 1);
		command_init(&w, &r, read.b, DIR_READ, 512, NULL);
		command_submit(&r);
		for (int i = 0; i < 3; i++) { /* outside the gate */
			struct bs_req *req = w.disk.held[1];

			CU_ASSERT_EQUAL_FATAL(w.disk.held_count, 2);
			w.disk.held_count = 1;
			bs_complete(req, disk_execute(&w.disk, req));
		}
		CU_ASSERT_STRING_EQUAL(asked(&w), "rwrrr");
		CU_ASSERT_EQUAL(r.ends, 0);
		if (abort) {
			scsi_abort(&r.task);
			CU_ASSERT_EQUAL(r.ends, 1);
		}
		w.disk.fail[BS_WRITE] = -EIO;
		disk_release(&w.disk);
		world_turn(&w);
		ASSERT_SENSE(&c, SENSE_WRITE_ERROR);
		CU_ASSERT_EQUAL(w.lu->sequence % 2, 0);
		if (!abort) {
			disk_release(&w.disk);
			world_turn(&w);
			ASSERT_GOOD(&r);
		}
		CU_ASSERT_EQUAL(w.disk.held_count, 0);
		command_free(&r);
		command_free(&c);
		free(data);
		world_destroy(&w);
	}
}

/* What is lent belongs to a transfer that may last: the first exclusive command waits for it, writes
 * do not. Afterwards nothing is lent. */
static void the_first_exclusive_command_waits_for_what_is_lent(void)
{
	struct cdb caw = cdb_caw(0, 0, 1), write = cdb_rw(CDB_WRITE_10, 0, 9, 1);
	struct cdb read = cdb_rw(CDB_READ_10, 0, 0, 4);
	struct command r1, r2, r3, c;
	struct world w;
	uint8_t *data;

	world_init(&w, 512);
	w.disk.bs.limits.lends_pointers = true;
	world_open(&w);
	data = caw_data(&w, 0, 1, 5);
	command_init(&w, &r1, read.b, DIR_READ, 2048, NULL);
	r1.hold = true;
	command_submit(&r1);
	CU_ASSERT_PTR_EQUAL(r1.lent, w.disk.bytes);
	CU_ASSERT_EQUAL(w.lu->sequence, 0);
	command_init(&w, &c, caw.b, DIR_WRITE, 1024, data);
	command_submit(&c);
	CU_ASSERT_EQUAL(c.ends, 0);
	CU_ASSERT_EQUAL(w.lu->sequence, 2);
	CU_ASSERT_EQUAL(outcome(&w, write.b, DIR_WRITE, 512, data), 0);
	command_init(&w, &r2, read.b, DIR_READ, 2048, NULL);
	command_submit(&r2);
	ASSERT_GOOD(&r2);
	CU_ASSERT_PTR_NOT_EQUAL(r2.lent, w.disk.bytes);
	CU_ASSERT_EQUAL(c.ends, 0);
	command_transfer(&r1);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(w.lu->answers_due, 0);
	command_init(&w, &r3, read.b, DIR_READ, 2048, NULL);
	command_submit(&r3);
	ASSERT_GOOD(&r3);
	CU_ASSERT_PTR_NOT_EQUAL(r3.lent, w.disk.bytes);
	CU_ASSERT(!memcmp(r3.in, data + 512, 512));
	command_free(&r1);
	command_free(&r2);
	command_free(&r3);
	command_free(&c);
	free(data);
	world_destroy(&w);
}

/* Who waits for what is lent may give up; the next one still has to wait. */
static void abort_while_something_is_lent(void)
{
	struct cdb caw = cdb_caw(0, 0, 1), read = cdb_rw(CDB_READ_10, 0, 0, 4);
	struct command r, c1, c2;
	struct world w;
	uint8_t *data;

	for (int queued = 0; queued < 2; queued++) {
		world_init(&w, 512);
		w.disk.bs.limits.lends_pointers = true;
		world_open(&w);
		data = caw_data(&w, 0, 1, 5);
		command_init(&w, &r, read.b, DIR_READ, 2048, NULL);
		r.hold = true;
		command_submit(&r);
		command_init(&w, &c1, caw.b, DIR_WRITE, 1024, data);
		command_submit(&c1);
		command_init(&w, &c2, caw.b, DIR_WRITE, 1024, data);
		if (queued)
			command_submit(&c2);
		scsi_abort(&c1.task);
		CU_ASSERT_EQUAL(c1.ends, 1);
		if (!queued)
			command_submit(&c2);
		world_turn(&w);
		CU_ASSERT_EQUAL(c2.ends, 0);
		CU_ASSERT_EQUAL(w.disk.requests, 0);
		command_transfer(&r);
		ASSERT_GOOD(&c2);
		command_free(&r);
		command_free(&c1);
		command_free(&c2);
		free(data);
		world_destroy(&w);
	}
}

/* --- Another reactor, which looks late at what it is told */

struct far {
	struct reactor *reactor;
	struct work start;
	struct command c;
};

static void far_start(struct work *work)
{
	scsi_submit(&container_of(work, struct far, start)->c.task);
}

static void far_turn(const struct far *f)
{
	while (reactor_turn(f->reactor))
		;
}

static void far_submit(struct world *w, struct far *f, struct cdb cdb, int dir, const void *out)
{
	command_init(w, &f->c, cdb.b, dir, 512, out);
	f->c.task.nexus = &w->b;
	f->c.task.reactor = f->reactor;
	f->start.fn = far_start;
	reactor_post(f->reactor, &f->start);
	far_turn(f);
}

/* The oldest request that hangs is one of that reactor. */
static void far_release(struct world *w, const struct far *f)
{
	reactor_set_self(f->reactor);
	disk_release(&w->disk);
	reactor_set_self(w->reactor);
	far_turn(f);
}

static void far_world(struct world *w, struct far *f)
{
	struct lu_config cfg = {
		.bs = &w->disk.bs, .serial = "0123456789abcdef", .product = "disk", .reactors = 2
	};

	world_init(w, 512);
	CU_ASSERT_FATAL(lu_create(&cfg, &w->lu, (char[256]){ 0 }, 256) == 0);
	w->target.lun[0] = w->lu;
	nexus_join(w, &w->a, "a");
	nexus_join(w, &w->b, "b");
	CU_ASSERT_FATAL(reactor_create_virtual(w->slab, &f->reactor) == 0);
	f->reactor->index = 1;
	reactor_set_self(w->reactor);
}

static void far_world_destroy(struct world *w, struct far *f)
{
	far_turn(f);
	CU_ASSERT_EQUAL(w->lu->answers_due, 0);
	reactor_set_self(f->reactor);
	reactor_destroy(f->reactor);
	reactor_set_self(w->reactor);
	world_destroy(w);
}

/* A row of exclusive commands does not keep out the writes of another reactor, however late that hears
 * that the first one is over. */
static void writes_of_another_reactor_come_in_between(void)
{
	struct cdb caw = cdb_caw(0, 0, 1), write = cdb_rw(CDB_WRITE_10, 0, 9, 1);
	struct command c[2];
	struct world w;
	struct far f;
	uint8_t *data;

	for (int abort = 0; abort < 2; abort++) {
		far_world(&w, &f);
		data = caw_data(&w, 0, 1, 5);
		w.disk.hold = true;
		for (int i = 0; i < 2; i++) {
			command_init(&w, &c[i], caw.b, DIR_WRITE, 1024, data);
			command_submit(&c[i]);
		}
		far_submit(&w, &f, write, DIR_WRITE, data);
		CU_ASSERT_STRING_EQUAL(asked(&w), "r");
		disk_release(&w.disk);
		disk_release(&w.disk);
		world_turn(&w);
		ASSERT_GOOD(&c[0]);
		/* The second one lets the write go first. */
		CU_ASSERT_STRING_EQUAL_FATAL(asked(&w), "rw");
		if (abort) {
			scsi_abort(&c[1].task);
			CU_ASSERT_EQUAL(c[1].ends, 1);
		}
		far_turn(&f);
		CU_ASSERT_STRING_EQUAL(asked(&w), "rww");
		world_turn(&w);
		CU_ASSERT_STRING_EQUAL(asked(&w), "rww");
		far_release(&w, &f);
		ASSERT_GOOD(&f.c);
		world_turn(&w);
		if (!abort) {
			CU_ASSERT_STRING_EQUAL(asked(&w), "rwwr");
			disk_release(&w.disk);
			ASSERT_SENSE(&c[1], SENSE_MISCOMPARE);
		}
		for (int i = 0; i < 2; i++)
			command_free(&c[i]);
		reactor_set_self(f.reactor);
		command_free(&f.c);
		reactor_set_self(w.reactor);
		free(data);
		far_world_destroy(&w, &f);
	}
}

UNIT_MAIN(TEST(a_read_across_a_change_is_done_again), TEST(a_read_during_a_change),
	  TEST(the_first_exclusive_command_waits_for_what_is_lent),
	  TEST(abort_while_something_is_lent), TEST(writes_of_another_reactor_come_in_between));
