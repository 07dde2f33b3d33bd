// SPDX-License-Identifier: BSD-2-Clause
/* READ, WRITE, SYNCHRONIZE CACHE: scsi/rw.c, and with them the engine in scsi/task.c. */
#include "scsi_port.h"

static void read_returns_what_is_on_the_disk(void)
{
	static const struct {
		uint8_t opcode;
		uint64_t lba;
		uint32_t blocks;
	} rows[] = {
		{ CDB_READ_6, 0, 1 },
		{ CDB_READ_6, 1000, 255 },
		{ CDB_READ_6, DISK_BLOCKS - 256, 256 },
		{ CDB_READ_10, 0, 1 },
		{ CDB_READ_10, 100, 8 },
		{ CDB_READ_10, 1, 2048 },
		{ CDB_READ_10, 7, 5000 },
		{ CDB_READ_12, DISK_BLOCKS - 1, 1 },
		{ CDB_READ_16, 0, DISK_BLOCKS },
	};
	struct world w;

	for (int lends = 0; lends < 2; lends++) {
		world_init(&w, 512);
		w.disk.bs.limits.lends_pointers = lends;
		world_open(&w);
		for (size_t i = 0; i < array_size(rows); i++) {
			struct cdb cdb = cdb_rw(rows[i].opcode, 0, rows[i].lba, rows[i].blocks);
			uint32_t len = rows[i].blocks * 512;
			struct command c;

			command_run(&w, &c, cdb.b, DIR_READ, len, NULL);
			ASSERT_GOOD(&c);
			CU_ASSERT_EQUAL(c.in_len, len);
			CU_ASSERT_EQUAL(command_residual(&c), 0);
			CU_ASSERT(!memcmp(c.in, w.disk.bytes + rows[i].lba * 512, len));
			if (lends) {
				CU_ASSERT_EQUAL(c.puts, 1);
				CU_ASSERT_PTR_EQUAL(c.lent, w.disk.bytes + rows[i].lba * 512);
			}
			command_free(&c);
		}
		CU_ASSERT_EQUAL(w.disk.requests > 0, !lends);
		world_destroy(&w);
	}
}

static void *lend_at_most_4k(struct backstore *bs, uint64_t offset, uint64_t len)
{
	return len <= 4096 ? disk_borrow(bs, offset, len) : NULL;
}

static void what_is_not_lent_in_one_piece_is_read(void)
{
	struct bs_driver driver = disk_driver;
	struct world w;

	driver.borrow = lend_at_most_4k;
	world_init(&w, 512);
	w.disk.bs.limits.lends_pointers = true;
	w.disk.bs.driver = &driver;
	world_open(&w);
	for (uint32_t blocks = 8; blocks <= 8192; blocks *= 1024) {
		struct cdb cdb = cdb_rw(CDB_READ_10, 0, 5, blocks);
		struct command c;

		command_run(&w, &c, cdb.b, DIR_READ, blocks * 512, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(c.in_len, blocks * 512);
		CU_ASSERT(!memcmp(c.in, w.disk.bytes + 5 * 512, blocks * 512));
		CU_ASSERT_EQUAL(w.disk.requests > 0, blocks > 8);
		command_free(&c);
	}
	world_destroy(&w);
}

static void nothing_is_lent_to_a_port_that_wants_a_stable_source(void)
{
	struct cdb cdb = cdb_rw(CDB_READ_10, 0, 3, 1);
	struct command c;
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.lends_pointers = true;
	world_open(&w);
	command_init(&w, &c, cdb.b, DIR_READ, 512, NULL);
	c.task.stable_source = true;
	command_submit(&c);
	ASSERT_GOOD(&c);
	CU_ASSERT(c.lent != w.disk.bytes + 3 * 512);
	CU_ASSERT(!memcmp(c.in, w.disk.bytes + 3 * 512, 512));
	command_free(&c);
	world_destroy(&w);
}

/* Where memory is rationed, a write goes on in the buffer that its data came in. */
static void frugal_write(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_10, 0, 9, 1024);
	uint8_t *data = pattern(512 << 10, 1);
	struct world w;
	struct command c;

	world_create(&w);
	command_init(&w, &c, cdb.b, DIR_WRITE, 512 << 10, data);
	command_immediate(&c, 4096, 4096);
	c.task.frugal = true;
	command_submit(&c);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(w.disk.requests, 128);
	command_free(&c);
	free(data);
	world_destroy(&w);
}

static void write_reaches_the_disk_in_any_shape(void)
{
	static const struct {
		uint8_t opcode;
		uint64_t lba;
		uint32_t blocks, immediate, first_size;
	} rows[] = {
		{ CDB_WRITE_6, 5, 1, 0, 0 },
		{ CDB_WRITE_6, 5, 1, 512, 512 },
		{ CDB_WRITE_6, 500, 256, 512, 4096 },
		{ CDB_WRITE_10, 9, 16, 8192, 8192 },
		{ CDB_WRITE_10, 9, 16, 1024, 8192 },
		{ CDB_WRITE_10, 9, 4000, 65536, 65536 },
		{ CDB_WRITE_12, 9, 4000, 0, 0 },
		{ CDB_WRITE_16, DISK_BLOCKS - 3, 3, 100, 4096 },
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_rw(rows[i].opcode, 0, rows[i].lba, rows[i].blocks);
		uint32_t len = rows[i].blocks * 512;
		uint8_t *data = pattern(len, (uint8_t)(17 * i + 1)), before = w.disk.bytes[0];
		struct command c;

		command_init(&w, &c, cdb.b, DIR_WRITE, len, data);
		if (rows[i].first_size)
			command_immediate(&c, rows[i].immediate, rows[i].first_size);
		command_submit(&c);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(command_residual(&c), 0);
		CU_ASSERT(!memcmp(w.disk.bytes + rows[i].lba * 512, data, len));
		CU_ASSERT_EQUAL(w.disk.bytes[0], before);
		/* Data that is there is not fetched. */
		if (rows[i].immediate == len)
			CU_ASSERT_EQUAL(c.gets, 0);
		/* After a small first_buf it goes on with big ones. */
		if (rows[i].immediate == 65536)
			CU_ASSERT_EQUAL(w.disk.requests, 3);
		disk_forget(&w.disk);
		command_free(&c);
		free(data);
	}
	world_destroy(&w);
}

/* Reliability: EDTL and CDB disagree. The CDB decides, the smaller amount moves. */
static void read_residuals(void)
{
	static const struct {
		uint32_t blocks, edtl;
		int dir;
		uint32_t moved;
		int64_t residual;
	} rows[] = {
		{ 1, 0, DIR_READ, 0, -512 },
		{ 1, 10000, DIR_READ, 512, 10000 - 512 },
		{ 1, 200, DIR_READ, 200, 200 - 512 },
		{ 2, 512, DIR_READ, 512, -512 },
		{ 0, 512, DIR_READ, 0, 512 },
		{ 1, 512, DIR_WRITE, 0, -512 },
		{ 1, 512, 0, 0, 0 },
		{ 4096, (1 << 20) + 100, DIR_READ, (1 << 20) + 100, (1 << 20) + 100 - 4096 * 512 },
	};
	struct world w;

	for (int lends = 0; lends < 2; lends++) {
		world_init(&w, 512);
		w.disk.bs.limits.lends_pointers = lends;
		world_open(&w);
		for (size_t i = 0; i < array_size(rows); i++) {
			struct cdb cdb = cdb_rw(CDB_READ_10, 0, 10, rows[i].blocks);
			uint8_t out[512] = { 0 };
			struct command c;

			command_run(&w, &c, cdb.b, rows[i].dir, rows[i].edtl, out);
			ASSERT_GOOD(&c);
			CU_ASSERT_EQUAL(c.in_len, rows[i].moved);
			CU_ASSERT_EQUAL(command_residual(&c), rows[i].residual);
			CU_ASSERT(!memcmp(c.in, w.disk.bytes + 10 * 512, rows[i].moved));
			command_free(&c);
		}
		world_destroy(&w);
	}
}

static void write_residuals(void)
{
	static const struct {
		uint32_t blocks, edtl;
		int dir;
		uint32_t sense, written;
		int64_t residual;
	} rows[] = {
		{ 1, 0, DIR_WRITE, 0, 0, -512 },
		{ 1, 10000, DIR_WRITE, 0, 512, 10000 - 512 },
		{ 1, 1024, DIR_WRITE, 0, 512, 512 },
		{ 2, 512, DIR_WRITE, 0, 512, -512 },
		{ 1, 200, DIR_WRITE, SENSE_INVALID_IU_FIELD, 0, 200 - 512 },
		{ 3, 1000, DIR_WRITE, SENSE_INVALID_IU_FIELD, 0, 1000 - 1536 },
		{ 1, 512, DIR_READ, SENSE_INVALID_IU_FIELD, 0, -512 },
		{ 0, 512, DIR_WRITE, 0, 0, 512 },
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_rw(CDB_WRITE_10, 0, 10, rows[i].blocks);
		uint8_t *at = w.disk.bytes + 10 * 512, a[4096], *data = pattern(rows[i].edtl, 'b');
		struct command c;

		memset(at, 'a', sizeof(a));
		memset(a, 'a', sizeof(a));
		command_run(&w, &c, cdb.b, rows[i].dir, rows[i].edtl, data);
		CU_ASSERT_EQUAL(command_sense(&c), rows[i].sense);
		CU_ASSERT_EQUAL(command_residual(&c), rows[i].residual);
		CU_ASSERT(!memcmp(at, data, rows[i].written));
		CU_ASSERT(!memcmp(at + rows[i].written, a, sizeof(a) - rows[i].written));
		command_free(&c);
		free(data);
	}
	world_destroy(&w);
}

/* S3, S4. */
static void ranges_outside_the_medium_are_refused(void)
{
	static const struct {
		uint8_t opcode;
		uint64_t lba;
		uint32_t blocks, sense;
	} rows[] = {
		{ CDB_READ_16, DISK_BLOCKS, 0, 0 },
		{ CDB_READ_16, DISK_BLOCKS + 1, 0, SENSE_LBA_RANGE },
		{ CDB_READ_16, DISK_BLOCKS, 1, SENSE_LBA_RANGE },
		{ CDB_READ_16, DISK_BLOCKS - 1, 2, SENSE_LBA_RANGE },
		{ CDB_READ_16, UINT64_MAX, 0, SENSE_LBA_RANGE },
		{ CDB_READ_16, UINT64_MAX, 1, SENSE_LBA_RANGE },
		{ CDB_READ_16, 1ull << 63, 1, SENSE_LBA_RANGE },
		{ CDB_READ_16, 0, UINT32_MAX, SENSE_LBA_RANGE },
		{ CDB_READ_10, 0x80000000, 0, SENSE_LBA_RANGE },
		{ CDB_READ_6, DISK_BLOCKS - 1, 2, SENSE_LBA_RANGE },
		{ CDB_READ_6, DISK_BLOCKS - 255, 0, SENSE_LBA_RANGE },
		{ CDB_WRITE_16, UINT64_MAX, 1, SENSE_LBA_RANGE },
		{ CDB_WRITE_16, DISK_BLOCKS, 0, 0 },
		{ CDB_WRITE_12, DISK_BLOCKS, 1, SENSE_LBA_RANGE },
		{ CDB_SYNCHRONIZE_CACHE_16, DISK_BLOCKS + 1, 0, SENSE_LBA_RANGE },
		{ CDB_SYNCHRONIZE_CACHE_10, DISK_BLOCKS, 1, SENSE_LBA_RANGE },
		{ CDB_VERIFY_16, UINT64_MAX, 1, SENSE_LBA_RANGE },
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_rw(rows[i].opcode, 0, rows[i].lba, rows[i].blocks);

		CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_READ | DIR_WRITE, 0, NULL), rows[i].sense);
	}
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	world_destroy(&w);
}

static void longer_than_the_maximum_transfer_length(void)
{
	static const uint8_t opcodes[] = { CDB_READ_12,	 CDB_READ_16,	CDB_WRITE_12,
					   CDB_WRITE_16, CDB_VERIFY_12, CDB_VERIFY_16 };
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.size = 1ull << 40; /* only ranges are looked at */
	world_open(&w);
	for (size_t i = 0; i < array_size(opcodes); i++) {
		struct cdb cdb = cdb_rw(opcodes[i], 0, 0, MAX_TRANSFER_BLOCKS + 1);

		CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, 0, NULL), SENSE_INVALID_CDB_FIELD);
	}
	world_destroy(&w);
}

/* S15. */
static void errors_of_the_disk_become_sense(void)
{
	static const struct {
		uint8_t opcode;
		enum bs_opcode fails;
		int err;
		uint32_t sense;
	} rows[] = {
		{ CDB_READ_10, BS_READ, -EIO, SENSE_READ_ERROR },
		{ CDB_READ_10, BS_READ, -ENODATA, SENSE_INTERNAL_FAILURE },
		{ CDB_WRITE_10, BS_WRITE, -EIO, SENSE_WRITE_ERROR },
		{ CDB_WRITE_10, BS_WRITE, -ENOSPC, SENSE_SPACE_FAILED },
		{ CDB_WRITE_10, BS_WRITE, -EROFS, SENSE_WRITE_PROTECTED },
		{ CDB_SYNCHRONIZE_CACHE_10, BS_FLUSH, -EIO, SENSE_WRITE_ERROR },
		{ CDB_SYNCHRONIZE_CACHE_16, BS_FLUSH, -ENOSPC, SENSE_SPACE_FAILED },
	};
	uint8_t data[1024] = { 0 };

	for (int hold = 0; hold < 2; hold++) {
		for (size_t i = 0; i < array_size(rows); i++) {
			struct cdb cdb = cdb_rw(rows[i].opcode, 0, 1, 2);
			int dir = rows[i].fails == BS_READ ? DIR_READ : DIR_WRITE;
			uint32_t edtl = rows[i].fails == BS_FLUSH ? 0 : sizeof(data);
			struct command c;
			struct world w;

			world_create(&w);
			w.disk.hold = hold;
			w.disk.fail[rows[i].fails] = rows[i].err;
			command_init(&w, &c, cdb.b, dir, edtl, data);
			command_submit(&c);
			if (hold) {
				CU_ASSERT_EQUAL(c.ends, 0);
				disk_release(&w.disk);
			}
			ASSERT_SENSE(&c, rows[i].sense);
			CU_ASSERT_EQUAL(c.in_len, 0);
			command_free(&c);
			world_destroy(&w);
		}
	}
}

/* GOOD for FUA and SYNCHRONIZE CACHE is stable media: the disk was asked for it. */
static void fua_and_flush_reach_the_disk(void)
{
	static const struct {
		uint8_t opcode, flags;
		bool cache;
		unsigned int requests;
		enum bs_opcode first;
		uint32_t bs_flags;
	} rows[] = {
		{ CDB_WRITE_10, 0, true, 1, BS_WRITE, 0 },
		{ CDB_WRITE_10, RW_FUA, true, 1, BS_WRITE, BS_FUA },
		{ CDB_WRITE_16, RW_FUA | RW_DPO, false, 1, BS_WRITE, BS_FUA },
		{ CDB_READ_10, RW_DPO, true, 1, BS_READ, 0 },
		{ CDB_READ_10, RW_FUA, true, 2, BS_FLUSH, 0 },
		{ CDB_READ_10, RW_FUA, false, 1, BS_READ, BS_FUA },
		{ CDB_SYNCHRONIZE_CACHE_10, 0, true, 1, BS_FLUSH, 0 },
		{ CDB_SYNCHRONIZE_CACHE_16, 0, false, 1, BS_FLUSH, 0 },
	};
	uint8_t data[512] = { 0 };
	struct world w;

	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_rw(rows[i].opcode, rows[i].flags, 1, 1);

		world_init(&w, 512);
		w.disk.bs.limits.volatile_cache = rows[i].cache;
		world_open(&w);
		CU_ASSERT_EQUAL(
			outcome(&w, cdb.b, rows[i].opcode == CDB_READ_10 ? DIR_READ : DIR_WRITE,
				rows[i].first == BS_FLUSH && rows[i].requests == 1 ? 0 : 512, data),
			0);
		CU_ASSERT_EQUAL(w.disk.requests, rows[i].requests);
		CU_ASSERT_EQUAL(w.disk.log[0].opcode, rows[i].first);
		CU_ASSERT_EQUAL(w.disk.log[0].flags, rows[i].bs_flags);
		world_destroy(&w);
	}
}

/* In a 6-byte CDB the FUA bit is part of the LBA. */
static void write6_lba_is_not_fua(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_6, 0, 0x080001, 1);
	uint8_t data[512] = { 1 };
	struct world w;

	world_init(&w, 512);
	w.disk.bs.limits.size = 1ull << 32;
	world_open(&w);
	w.disk.hold = true;
	struct command c;
	command_init(&w, &c, cdb.b, DIR_WRITE, sizeof(data), data);
	command_submit(&c);
	CU_ASSERT_EQUAL(w.disk.log[0].flags, 0);
	CU_ASSERT_EQUAL(w.disk.log[0].offset, 0x080001ull * 512);
	w.disk.fail[BS_WRITE] = -EIO;
	disk_release(&w.disk);
	ASSERT_SENSE(&c, SENSE_WRITE_ERROR);
	command_free(&c);
	world_destroy(&w);
}

static void a_transfer_that_fails_ends_the_command(void)
{
	struct cdb write = cdb_rw(CDB_WRITE_10, 0, 0, 4), read = cdb_rw(CDB_READ_10, 0, 0, 4096);
	uint8_t data[2048] = { 0 };
	struct command c;
	struct world w;

	world_create(&w);
	command_init(&w, &c, write.b, DIR_WRITE, sizeof(data), data);
	c.transfer_fails = true;
	command_submit(&c);
	ASSERT_SENSE(&c, 0x0b4705);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	command_free(&c);

	command_init(&w, &c, read.b, DIR_READ, 4096 * 512, NULL);
	c.transfer_fails = true;
	command_submit(&c);
	ASSERT_SENSE(&c, 0x0b4705);
	CU_ASSERT_EQUAL(c.puts, 1);
	command_free(&c);
	world_destroy(&w);
}

/* Takes every buffer there is. */
static unsigned int hoard(struct world *w, struct buf **bufs, unsigned int max)
{
	unsigned int n = 0;

	for (uint32_t size = BUF_MAX; size >= BUF_MIN; size /= 4) {
		while (n < max && (bufs[n] = buf_get(w->reactor, size)))
			n++;
	}
	return n;
}

static void commands_wait_for_memory(void)
{
	struct cdb read = cdb_rw(CDB_READ_10, 0, 0, 2048), write = cdb_rw(CDB_WRITE_10, 0, 8, 2048);
	uint8_t *data = pattern(1 << 20, 3);
	struct buf *bufs[256];
	struct command r, wr;
	struct world w;
	unsigned int n;

	world_create(&w);
	n = hoard(&w, bufs, array_size(bufs));
	CU_ASSERT_FATAL(n < array_size(bufs));
	command_init(&w, &r, read.b, DIR_READ, 1 << 20, NULL);
	command_init(&w, &wr, write.b, DIR_WRITE, 1 << 20, data);
	command_submit(&r);
	command_submit(&wr);
	CU_ASSERT_EQUAL(r.ends + wr.ends, 0);
	while (n)
		buf_put(w.reactor, bufs[--n]);
	world_turn(&w);
	ASSERT_GOOD(&r);
	ASSERT_GOOD(&wr);
	CU_ASSERT(!memcmp(w.disk.bytes + 8 * 512, data, 1 << 20));
	command_free(&r);
	command_free(&wr);
	free(data);
	world_destroy(&w);
}

/* Who holds a buffer goes on with it: else everybody could hold one and wait for another. */
static void a_write_with_a_buffer_never_waits_for_memory(void)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_10, 0, 8, 64);
	uint8_t *data = pattern(64 * 512, 9);
	struct buf *bufs[256];
	struct command c;
	struct world w;
	unsigned int n;

	world_create(&w);
	command_init(&w, &c, cdb.b, DIR_WRITE, 64 * 512, data);
	command_immediate(&c, 1024, 4096);
	n = hoard(&w, bufs, array_size(bufs));
	command_submit(&c);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(w.disk.requests, 8);
	CU_ASSERT(!memcmp(w.disk.bytes + 8 * 512, data, 64 * 512));
	command_free(&c);
	while (n)
		buf_put(w.reactor, bufs[--n]);
	free(data);
	world_destroy(&w);
}

/* An abort at every point where a command can stand still. */
static void abort_ends_a_command_wherever_it_waits(void)
{
	struct cdb read = cdb_rw(CDB_READ_10, 0, 0, 4), write = cdb_rw(CDB_WRITE_10, 0, 8, 4);
	uint8_t data[2048] = { 0 };
	struct buf *bufs[256];
	unsigned int n;
	struct command c;
	struct world w;

	world_create(&w);
	/* memory */
	n = hoard(&w, bufs, array_size(bufs));
	command_init(&w, &c, read.b, DIR_READ, sizeof(data), NULL);
	command_submit(&c);
	CU_ASSERT_EQUAL(c.ends, 0);
	scsi_abort(&c.task);
	CU_ASSERT_EQUAL(c.ends, 1);
	while (n)
		buf_put(w.reactor, bufs[--n]);
	world_turn(&w);
	command_free(&c);

	/* the backstore, read and write */
	w.disk.hold = true;
	for (int writes = 0; writes < 2; writes++) {
		command_init(&w, &c, writes ? write.b : read.b, writes ? DIR_WRITE : DIR_READ,
			     sizeof(data), data);
		command_submit(&c);
		scsi_abort(&c.task);
		CU_ASSERT_EQUAL(c.ends, 0);
		disk_release(&w.disk);
		world_turn(&w);
		CU_ASSERT_EQUAL(c.ends, 1);
		CU_ASSERT_EQUAL(c.puts, 0);
		command_free(&c);
	}
	w.disk.hold = false;

	/* Data-Out: nothing is written when it comes after all */
	disk_forget(&w.disk);
	command_init(&w, &c, write.b, DIR_WRITE, sizeof(data), data);
	c.hold = true;
	command_submit(&c);
	scsi_abort(&c.task);
	CU_ASSERT_EQUAL(c.ends, 0);
	command_transfer(&c);
	CU_ASSERT_EQUAL(c.ends, 1);
	CU_ASSERT_EQUAL(w.disk.requests, 0);
	command_free(&c);

	/* the last Data-In, which has ended the command already */
	command_init(&w, &c, read.b, DIR_READ, sizeof(data), NULL);
	c.hold = true;
	command_submit(&c);
	CU_ASSERT_EQUAL(c.ends, 1);
	scsi_abort(&c.task);
	command_transfer(&c);
	CU_ASSERT_EQUAL(c.ends, 1);
	command_free(&c);
	world_destroy(&w);
}

static void big_blocks(void)
{
	struct cdb write = cdb_rw(CDB_WRITE_16, 0, 3, 300), read = cdb_rw(CDB_READ_16, 0, 3, 300);
	uint8_t *data = pattern(300 * 4096, 77);
	struct command c;
	struct world w;

	world_init(&w, 4096);
	world_open(&w);
	CU_ASSERT_EQUAL(outcome(&w, write.b, DIR_WRITE, 300 * 4096, data), 0);
	CU_ASSERT(!memcmp(w.disk.bytes + 3 * 4096, data, 300 * 4096));
	/* 5000 bytes of Data-In: the second block is read whole and sent in part. */
	command_run(&w, &c, read.b, DIR_READ, 5000, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT(!memcmp(c.in, data, 5000));
	CU_ASSERT_EQUAL(w.disk.log[2].len, 8192);
	command_free(&c);
	free(data);
	world_destroy(&w);
}

static void the_lu_counts(void)
{
	struct cdb read = cdb_rw(CDB_READ_10, 0, 0, 4), bad = cdb_rw(CDB_READ_10, 0, UINT32_MAX, 4);
	const struct lu_stats *s;
	struct world w;

	world_create(&w);
	s = lu_stats(w.lu, 0);
	CU_ASSERT_EQUAL(outcome(&w, read.b, DIR_READ, 2048, NULL), 0);
	CU_ASSERT_EQUAL(outcome(&w, bad.b, DIR_READ, 2048, NULL), SENSE_LBA_RANGE);
	CU_ASSERT_EQUAL(s->commands, 2);
	CU_ASSERT_EQUAL(s->read_bytes, 2048);
	CU_ASSERT_EQUAL(s->check_conditions, 1);
	world_destroy(&w);
}

UNIT_MAIN(TEST(read_returns_what_is_on_the_disk), TEST(what_is_not_lent_in_one_piece_is_read),
	  TEST(nothing_is_lent_to_a_port_that_wants_a_stable_source),
	  TEST(write_reaches_the_disk_in_any_shape), TEST(frugal_write), TEST(read_residuals),
	  TEST(write_residuals), TEST(ranges_outside_the_medium_are_refused),
	  TEST(longer_than_the_maximum_transfer_length), TEST(errors_of_the_disk_become_sense),
	  TEST(fua_and_flush_reach_the_disk), TEST(write6_lba_is_not_fua),
	  TEST(a_transfer_that_fails_ends_the_command), TEST(commands_wait_for_memory),
	  TEST(a_write_with_a_buffer_never_waits_for_memory),
	  TEST(abort_ends_a_command_wherever_it_waits), TEST(big_blocks), TEST(the_lu_counts));
