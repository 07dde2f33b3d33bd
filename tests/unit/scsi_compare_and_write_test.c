// SPDX-License-Identifier: BSD-2-Clause
/* COMPARE AND WRITE and the write gate on one thread. Reliability 3.8, S8. */
#include "scsi_media.h"

static void equal_data_is_replaced(void)
{
	static const struct {
		uint32_t block_size;
		uint8_t blocks;
		uint32_t immediate, size;
	} rows[] = {
		{ 512, 1, 0, 0 },
		{ 512, 1, 1024, 1024 },
		{ 512, 255, 0, 0 },
		{ 512, 255, 65536, 65536 },
		{ 512, 4, 512, 16384 },
		{ 4096, 85, 0, 0 },
		{ 4096, 255, 0, 0 },
		{ 4096, 200, 65536, 65536 },
		{ 4096, 255, 65536, BUF_MAX },
		{ 4096, 1, 8192, 8192 },
		{ 512, 8, 8192, 8192 },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_caw(0, 3, rows[i].blocks);
		uint32_t len = rows[i].blocks * rows[i].block_size;
		struct command c;
		uint8_t *data;
		struct world w;

		world_init(&w, rows[i].block_size);
		world_open(&w);
		data = caw_data(&w, 3, rows[i].blocks, 99);
		command_init(&w, &c, cdb.b, DIR_WRITE, 2 * len, data);
		if (rows[i].size)
			command_immediate(&c, rows[i].immediate, rows[i].size);
		command_submit(&c);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(command_residual(&c), 0);
		CU_ASSERT(!memcmp(w.disk.bytes + 3 * rows[i].block_size, data + len, len));
		CU_ASSERT_EQUAL(w.lu->exclusive, 0);
		command_free(&c);
		free(data);
		world_destroy(&w);
	}
}

/* The engine does not trust what a task held the last time: here the address of a buffer it gets
 * again, which must not pass for first_buf with the data in place. */
static void a_recycled_task_fetches_its_data(void)
{
	struct cdb cdb = cdb_caw(0, 3, 4);
	struct command c;
	struct buf *buf;
	struct world w;
	uint8_t *data;

	world_create(&w);
	data = caw_data(&w, 3, 4, 99);
	command_init(&w, &c, cdb.b, DIR_WRITE, 4096, data);
	command_immediate(&c, 4096, 4096); /* too small for three times 4 blocks */
	buf = buf_get(w.reactor, 3 * 2048);
	CU_ASSERT_FATAL(buf != NULL);
	memset(buf->data, 0x55, buf->size);
	c.task.mem = buf->data;
	buf_put(w.reactor, buf);
	command_submit(&c);
	ASSERT_GOOD(&c);
	CU_ASSERT(!memcmp(w.disk.bytes + 3 * 512, data + 2048, 2048));
	command_free(&c);
	free(data);
	world_destroy(&w);
}

/* It holds first_buf already, so it must not wait for another one. */
static void no_memory_is_busy_for_who_holds_a_buffer(void)
{
	struct cdb cdb = cdb_caw(0, 3, 4);
	struct buf *bufs[256];
	struct command c;
	unsigned int n = 0;
	struct world w;
	uint8_t *data;

	world_create(&w);
	data = caw_data(&w, 3, 4, 99);
	command_init(&w, &c, cdb.b, DIR_WRITE, 4096, data);
	command_immediate(&c, 4096, 4096);
	for (uint32_t size = BUF_MAX; size >= BUF_MIN; size /= 4) {
		while (n < array_size(bufs) && (bufs[n] = buf_get(w.reactor, size)))
			n++;
	}
	command_submit(&c);
	CU_ASSERT_EQUAL(c.ends, 1);
	CU_ASSERT_EQUAL(c.task.status, SAM_BUSY);
	while (n)
		buf_put(w.reactor, bufs[--n]);
	command_free(&c);
	free(data);
	world_destroy(&w);
}

/* With three buffers: all of them come back, whether memory or the initiator gives up. */
static void a_long_one_that_ends_early(void)
{
	struct cdb cdb = cdb_caw(0, 3, 255);
	uint32_t len = 255 * 4096;
	struct buf *bufs[64];

	for (unsigned int left = 1; left <= 3; left++) {
		unsigned int n = 0;
		struct command c;
		struct world w;
		uint8_t *data;

		world_init(&w, 4096);
		world_open(&w);
		data = caw_data(&w, 3, 255, 99);
		while (n < array_size(bufs) && (bufs[n] = buf_get(w.reactor, BUF_MAX)))
			n++;
		for (unsigned int i = 0; i < left; i++)
			buf_put(w.reactor, bufs[--n]);
		command_init(&w, &c, cdb.b, DIR_WRITE, 2 * len, data);
		c.hold = true;
		command_submit(&c);
		if (left == 3) {
			command_transfer(&c);
			CU_ASSERT_EQUAL(c.ends, 0);
			scsi_abort(&c.task);
			command_transfer(&c);
		}
		CU_ASSERT_EQUAL(c.ends, 1);
		CU_ASSERT(left == 3 || c.task.status == SAM_BUSY);
		CU_ASSERT_EQUAL(w.disk.requests, 0);
		while (n)
			buf_put(w.reactor, bufs[--n]);
		command_free(&c);
		free(data);
		world_destroy(&w);
	}
}

static void a_miscompare_names_the_byte_and_writes_nothing(void)
{
	static const uint32_t offsets[] = { 0, 1, 511, 512, 1000, 4096, 255 * 512 - 1 };
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(offsets); i++) {
		struct cdb cdb = cdb_caw(RW_FUA, 0, 255);
		uint8_t *data = caw_data(&w, 0, 255, 5);
		struct command c;

		data[offsets[i]] ^= 0x80;
		data[255 * 512 - 1] ^= 0x01;
		disk_forget(&w.disk);
		command_run(&w, &c, cdb.b, DIR_WRITE, 255 * 1024, data);
		ASSERT_SENSE(&c, SENSE_MISCOMPARE);
		CU_ASSERT_EQUAL(c.task.sense[0], 0xf0);
		CU_ASSERT_EQUAL(get_be(c.task.sense + 3, 4), offsets[i]);
		CU_ASSERT_EQUAL(w.disk.requests, 1);
		CU_ASSERT_EQUAL(w.lu->exclusive, 0);
		command_free(&c);
		free(data);
	}
	world_destroy(&w);
}

static void caw_that_is_wrong(void)
{
	static const struct {
		uint64_t lba;
		uint8_t blocks;
		uint32_t edtl, sense;
	} rows[] = {
		{ 0, 0, 0, 0 },
		{ DISK_BLOCKS, 0, 0, 0 },
		{ DISK_BLOCKS, 1, 8192, SENSE_LBA_RANGE },
		{ UINT64_MAX, 1, 8192, SENSE_LBA_RANGE },
		{ 0, 1, 16384, SENSE_INVALID_CDB_FIELD },
		{ 0, 3, 16384, SENSE_INVALID_CDB_FIELD },
		{ 0, 1, 0, SENSE_INVALID_CDB_FIELD },
		{ 0, 0, 8192, SENSE_INVALID_CDB_FIELD },
		{ 0, 86, 86 * 8192, SENSE_INVALID_CDB_FIELD },
	};
	uint8_t *data = pattern(86 * 8192, 0);
	struct world w;

	world_init(&w, 4096);
	world_open(&w);
	w.lu->max_compare_blocks = 85; /* as with protection information */
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_caw(0, rows[i].lba, rows[i].blocks);

		CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, rows[i].edtl, data), rows[i].sense);
	}
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	free(data);
	world_destroy(&w);
}

static void errors_open_the_gate_again(void)
{
	struct cdb cdb = cdb_caw(0, 0, 1), write = cdb_rw(CDB_WRITE_10, 0, 9, 1);
	struct world w;
	uint8_t *data;

	world_create(&w);
	data = caw_data(&w, 0, 1, 5);
	w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 1024, data), SENSE_READ_ERROR);
	w.disk.fail[BS_READ] = 0;
	w.disk.fail[BS_WRITE] = -ENOSPC;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 1024, data), SENSE_SPACE_FAILED);
	w.disk.fail[BS_WRITE] = 0;
	CU_ASSERT_EQUAL(outcome(&w, write.b, DIR_WRITE, 512, data), 0);
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 1024, data), 0);
	free(data);
	world_destroy(&w);
}

static void writes_and_caw_exclude_each_other(void)
{
	struct cdb caw = cdb_caw(0, 0, 1), write = cdb_rw(CDB_WRITE_10, 0, 9, 1);
	struct cdb unmap = cdb_rw(CDB_WRITE_SAME_16, WRITE_SAME_NDOB | WRITE_SAME_UNMAP, 4, 1);
	struct cdb read = cdb_rw(CDB_READ_10, 0, 9, 1);
	struct command w1, c1, c2, w2, r, z;
	struct world w;
	uint8_t *data;

	world_create(&w);
	data = caw_data(&w, 0, 1, 5);
	w.disk.hold = true;
	command_init(&w, &w1, write.b, DIR_WRITE, 512, data);
	command_init(&w, &c1, caw.b, DIR_WRITE, 1024, data);
	command_init(&w, &c2, caw.b, DIR_WRITE, 1024, data);
	command_init(&w, &w2, write.b, DIR_WRITE, 512, data);
	command_init(&w, &z, unmap.b, DIR_WRITE, 0, NULL);
	command_init(&w, &r, read.b, DIR_READ, 512, NULL);
	command_submit(&w1);
	command_submit(&c1); /* waits for w1 */
	command_submit(&c2); /* waits for c1 */
	command_submit(&w2); /* waits for c1 */
	command_submit(&z);
	CU_ASSERT_STRING_EQUAL(asked(&w), "w");
	command_submit(&r); /* a read goes on */
	CU_ASSERT_STRING_EQUAL(asked(&w), "wr");
	disk_release(&w.disk); /* w1 */
	world_turn(&w);
	ASSERT_GOOD(&w1);
	CU_ASSERT_STRING_EQUAL(asked(&w), "wrr"); /* c1 reads */
	disk_release(&w.disk); /* r */
	disk_release(&w.disk); /* c1's read */
	world_turn(&w);
	CU_ASSERT_STRING_EQUAL(asked(&w), "wrrw"); /* c1 writes, nobody else */
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_GOOD(&c1);
	/* The writers that waited go first, then c2, which finds other data. */
	CU_ASSERT_STRING_EQUAL(asked(&w), "wrrwwu");
	disk_release(&w.disk);
	world_turn(&w);
	CU_ASSERT_STRING_EQUAL(asked(&w), "wrrwwu");
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_GOOD(&w2);
	ASSERT_GOOD(&z);
	CU_ASSERT_STRING_EQUAL(asked(&w), "wrrwwur");
	disk_release(&w.disk);
	world_turn(&w);
	ASSERT_SENSE(&c2, SENSE_MISCOMPARE);
	CU_ASSERT_EQUAL(w.lu->exclusive, 0);
	CU_ASSERT_EQUAL(w.lu->per_reactor[0].gate.writing, false);
	command_free(&w1);
	command_free(&c1);
	command_free(&c2);
	command_free(&w2);
	command_free(&z);
	command_free(&r);
	free(data);
	world_destroy(&w);
}

/* A reactor counts as writing until its turn ends, and writes of that turn still enter. */
static void a_turn_that_wrote_is_waited_for(void)
{
	struct cdb caw = cdb_caw(0, 0, 1), write = cdb_rw(CDB_WRITE_10, 0, 9, 1);
	struct command w1, c1, w2;
	struct world w;
	uint8_t *data;

	world_create(&w);
	data = caw_data(&w, 0, 1, 5);
	command_init(&w, &w1, write.b, DIR_WRITE, 512, data);
	command_immediate(&w1, 512, 512);
	command_init(&w, &c1, caw.b, DIR_WRITE, 1024, data);
	command_immediate(&c1, 1024, 4096);
	command_init(&w, &w2, write.b, DIR_WRITE, 512, data);
	command_immediate(&w2, 512, 512);
	scsi_submit(&w1.task);
	ASSERT_GOOD(&w1);
	w.disk.hold = true;
	scsi_submit(&c1.task);
	CU_ASSERT_STRING_EQUAL(asked(&w), "w");
	scsi_submit(&w2.task);
	CU_ASSERT_STRING_EQUAL(asked(&w), "ww");
	world_turn(&w);
	CU_ASSERT_STRING_EQUAL(asked(&w), "ww");
	disk_release(&w.disk);
	ASSERT_GOOD(&w2);
	world_turn(&w);
	CU_ASSERT_STRING_EQUAL(asked(&w), "wwr");
	disk_release(&w.disk);
	disk_release(&w.disk);
	ASSERT_GOOD(&c1);
	command_free(&w1);
	command_free(&c1);
	command_free(&w2);
	free(data);
	world_destroy(&w);
}

/* A writer whose data does not come holds up nobody. */
static void a_slow_initiator_does_not_hold_the_gate(void)
{
	struct cdb caw = cdb_caw(0, 0, 1), write = cdb_rw(CDB_WRITE_10, 0, 9, 1);
	struct command slow;
	struct world w;
	uint8_t *data;

	world_create(&w);
	data = caw_data(&w, 0, 1, 5);
	command_init(&w, &slow, write.b, DIR_WRITE, 512, data);
	slow.hold = true;
	command_submit(&slow);
	CU_ASSERT_EQUAL(outcome(&w, caw.b, DIR_WRITE, 1024, data), 0);
	CU_ASSERT_EQUAL(slow.ends, 0);
	command_transfer(&slow);
	ASSERT_GOOD(&slow);
	command_free(&slow);
	free(data);
	world_destroy(&w);
}

/* Aborts in every state of the gate; the others go on as if it had not been there. */
static void abort_in_the_gate(void)
{
	struct cdb caw = cdb_caw(0, 0, 1), write = cdb_rw(CDB_WRITE_10, 0, 9, 1);
	enum { IN_DRAIN, IN_TURN, IN_GATE, IN_READ, IN_DRAIN_POSTED, IN_TURN_POSTED, STATES };

	for (int state = 0; state < STATES; state++) {
		struct command w1, c1, c2, w2, *victim;
		struct command *all[] = { &w1, &c1, &c2, &w2 };
		struct world w;
		uint8_t *data;

		world_create(&w);
		data = caw_data(&w, 0, 1, 5);
		w.disk.hold = true;
		command_init(&w, &w1, write.b, DIR_WRITE, 512, data);
		command_init(&w, &c1, caw.b, DIR_WRITE, 1024, data);
		command_init(&w, &c2, caw.b, DIR_WRITE, 1024, data);
		command_init(&w, &w2, write.b, DIR_WRITE, 512, data);
		for (size_t i = 0; i < array_size(all); i++)
			command_submit(all[i]);
		switch (state) {
		case IN_DRAIN: victim = &c1; break;
		case IN_TURN: victim = &c2; break;
		case IN_GATE: victim = &w2; break;
		case IN_DRAIN_POSTED: /* w1 is done, c1 not told yet */
			victim = &c1;
			disk_release(&w.disk);
			break;
		case IN_TURN_POSTED: /* c1 gave up, c2 not told yet */
			victim = &c2;
			scsi_abort(&c1.task);
			break;
		default:
			victim = &c1;
			disk_release(&w.disk);
			world_turn(&w);
			break;
		}
		CU_ASSERT_EQUAL(victim->ends, 0);
		scsi_abort(&victim->task);
		CU_ASSERT_EQUAL(victim->ends, state < IN_READ);
		for (int i = 0; i < 40; i++) {
			world_turn(&w);
			if (w.disk.held_count)
				disk_release(&w.disk);
		}
		for (size_t i = 0; i < array_size(all); i++) {
			CU_ASSERT_EQUAL(all[i]->ends, 1);
			command_free(all[i]);
		}
		CU_ASSERT_EQUAL(w1.task.status, SAM_GOOD);
		if (victim != &w2)
			CU_ASSERT(!memcmp(w.disk.bytes + 9 * 512, data, 512));
		/* c1 swaps unless it was aborted; then c2 does. */
		CU_ASSERT(state == IN_TURN_POSTED || !memcmp(w.disk.bytes, data + 512, 512));
		CU_ASSERT_EQUAL(w.lu->exclusive, 0);
		CU_ASSERT_PTR_NULL(w.lu->owner);
		CU_ASSERT_EQUAL(w.lu->per_reactor[0].gate.writing, false);
		free(data);
		world_destroy(&w);
	}
}

UNIT_MAIN(TEST(equal_data_is_replaced), TEST(a_recycled_task_fetches_its_data),
	  TEST(no_memory_is_busy_for_who_holds_a_buffer), TEST(a_long_one_that_ends_early),
	  TEST(a_miscompare_names_the_byte_and_writes_nothing), TEST(caw_that_is_wrong),
	  TEST(errors_open_the_gate_again), TEST(writes_and_caw_exclude_each_other),
	  TEST(a_turn_that_wrote_is_waited_for), TEST(a_slow_initiator_does_not_hold_the_gate),
	  TEST(abort_in_the_gate));
