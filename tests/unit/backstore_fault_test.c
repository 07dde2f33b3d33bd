// SPDX-License-Identifier: BSD-2-Clause
/* The fault filter's rules, and the latch after a failed flush. */
#include "backstore_io.h"

static struct reactor *r;
static uint8_t data[8192];

static struct backstore *begin(const char *text)
{
	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(NULL, &r), 0);
	memset(data, 0x5a, sizeof(data));
	return open_text(text);
}

static void end(struct backstore *bs)
{
	bs_close(bs);
	reactor_destroy(r);
}

static int read_at(struct backstore *bs, uint64_t block)
{
	return io_run(r, bs, BS_READ, 0, block * 512, 512, data);
}

static int write_at(struct backstore *bs, uint64_t block)
{
	return io_run(r, bs, BS_WRITE, 0, block * 512, 512, data);
}

static int flush(struct backstore *bs)
{
	return io_run(r, bs, BS_FLUSH, 0, 0, 0, NULL);
}

static void it_looks_like_what_it_wraps(void)
{
	struct backstore *plain = begin("ram:1M"), *bs;
	char serial[37];

	memcpy(serial, plain->serial, sizeof(serial));
	end(plain);
	bs = begin("ram:1M,fault=read:eio:lba=5");
	CU_ASSERT_STRING_EQUAL(bs->serial, serial);
	CU_ASSERT_STRING_EQUAL(bs->name, "ram:1M");
	CU_ASSERT_EQUAL(bs->limits.size, 1 << 20);
	CU_ASSERT(bs->limits.can_unmap);
	/* Nothing may go round the rules. */
	CU_ASSERT(!bs->limits.lends_pointers);
	end(bs);
}

static void without_a_match_everything_works(void)
{
	struct backstore *bs = begin("ram:1M,fault=read:eio:lba=100");
	uint8_t back[512];

	CU_ASSERT_EQUAL(write_at(bs, 7), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 7 * 512, 512, back), 0);
	CU_ASSERT(all_bytes(back, 0x5a, 512));
	CU_ASSERT_EQUAL(io_run(r, bs, BS_ZERO, BS_FUA, 7 * 512, 512, NULL), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 7 * 512, 512, back), 0);
	CU_ASSERT(all_bytes(back, 0, 512));
	CU_ASSERT_EQUAL(flush(bs), 0);
	end(bs);
}

static void rules_choose_opcode_and_error(void)
{
	struct backstore *bs = begin("ram:1M,fault=write:enospc;unmap:eio;zero:etimedout");

	CU_ASSERT_EQUAL(read_at(bs, 0), 0);
	CU_ASSERT_EQUAL(write_at(bs, 0), -ENOSPC);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_UNMAP, 0, 0, 512, NULL), -EIO);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_ZERO, 0, 0, 512, NULL), -ETIMEDOUT);
	CU_ASSERT_EQUAL(read_at(bs, 0), 0);
	CU_ASSERT(all_bytes(data, 0, 512)); /* the write was not done */
	CU_ASSERT_EQUAL(bs->stats[0].errors, 3);
	end(bs);
	bs = begin("ram:1M,fault=any:enodata");
	CU_ASSERT_EQUAL(read_at(bs, 0), -ENODATA);
	CU_ASSERT_EQUAL(write_at(bs, 0), -ENODATA);
	end(bs);
}

static void rules_count(void)
{
	static const struct {
		const char *text;
		const char *expected; /* one letter per read: . works, E fails */
	} rows[] = {
		{ "ram:1M,fault=read:eio:after=3", "...EEEEEEE" },
		{ "ram:1M,fault=read:eio:once", "E........." },
		{ "ram:1M,fault=read:eio:times=2", "EE........" },
		{ "ram:1M,fault=read:eio:every=3", "E..E..E..E" },
		{ "ram:1M,fault=read:eio:after=1:every=4:times=2", ".E...E...." },
		{ "ram:1M,fault=read:eio:once;read:eio:after=2:once", "E.E......." },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		struct backstore *bs = begin(rows[i].text);
		char seen[11] = "";

		for (int n = 0; n < 10; n++)
			seen[n] = read_at(bs, 0) ? 'E' : '.';
		CU_ASSERT_STRING_EQUAL(seen, rows[i].expected);
		end(bs);
	}
}

static void rules_have_a_range(void)
{
	struct backstore *bs = begin("ram:1M,fault=read:eio:lba=10-19");

	CU_ASSERT_EQUAL(read_at(bs, 9), 0);
	CU_ASSERT_EQUAL(read_at(bs, 10), -EIO);
	CU_ASSERT_EQUAL(read_at(bs, 19), -EIO);
	CU_ASSERT_EQUAL(read_at(bs, 20), 0);
	/* A request that only touches it. */
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 8 * 512, 1024, data), 0);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 8 * 512, 1536, data), -EIO);
	end(bs);
}

static void short_does_the_first_half(void)
{
	struct backstore *bs = begin("ram:1M,fault=write:short:once;read:short:after=1:once");
	uint8_t back[4096];

	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, 0, 0, 4096, data), -EIO);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 0, 4096, back), 0);
	CU_ASSERT(all_bytes(back, 0x5a, 2048));
	CU_ASSERT(all_bytes(back + 2048, 0, 2048));
	memset(back, 0xee, sizeof(back));
	CU_ASSERT_EQUAL(io_run(r, bs, BS_READ, 0, 0, 4096, back), -ENODATA);
	CU_ASSERT(all_bytes(back, 0x5a, 2048));
	CU_ASSERT(all_bytes(back + 2048, 0xee, 2048));
	/* Half of one block is none. */
	end(bs);
	bs = begin("ram:1M,fault=read:short");
	CU_ASSERT_EQUAL(read_at(bs, 0), -ENODATA);
	end(bs);
}

static void delays_take_their_time(void)
{
	struct backstore *bs = begin("ram:1M,fault=read:delay=200ms:once;write:eio:delay=3s");
	struct io_wait io;

	io_submit(&io, r, bs, BS_READ, 0, 0, 512, data);
	reactor_advance(r, 199 * NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(io.calls, 0);
	reactor_advance(r, NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(io.calls, 1);
	CU_ASSERT_EQUAL(io.res, 0);
	CU_ASSERT(all_bytes(data, 0, 512));
	CU_ASSERT_EQUAL(read_at(bs, 0), 0);
	io_submit(&io, r, bs, BS_WRITE, 0, 0, 512, data);
	reactor_advance(r, 2 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(io.calls, 0);
	reactor_advance(r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(io.calls, 1);
	CU_ASSERT_EQUAL(io.res, -EIO);
	end(bs);
}

static void hanging_requests_end_with_the_disk(void)
{
	struct backstore *bs = begin("ram:1M,fault=write:hang:once");
	struct io_wait io;

	io_submit(&io, r, bs, BS_WRITE, 0, 0, 512, data);
	reactor_advance(r, 3600 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(io.calls, 0);
	CU_ASSERT_EQUAL(write_at(bs, 0), 0);
	bs_close(bs);
	CU_ASSERT_EQUAL(io.calls, 1);
	CU_ASSERT_EQUAL(io.res, -EIO);
	reactor_destroy(r);
}

static void a_failed_flush_is_not_forgotten(void)
{
	struct backstore *bs = begin("ram:1M,fault=flush:eio:after=1:once");

	CU_ASSERT_EQUAL(flush(bs), 0);
	CU_ASSERT(!bs->flush_failed);
	CU_ASSERT_EQUAL(flush(bs), -EIO);
	CU_ASSERT(bs->flush_failed);
	/* The disk itself would say yes now; what it lost before is still lost. */
	CU_ASSERT_EQUAL(flush(bs), -EIO);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, BS_FUA, 0, 512, data), -EIO);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_ZERO, BS_FUA, 0, 512, NULL), -EIO);
	CU_ASSERT_EQUAL(write_at(bs, 0), 0);
	CU_ASSERT_EQUAL(read_at(bs, 0), 0);
	CU_ASSERT(all_bytes(data, 0x5a, 512));
	/* The operator clears it. */
	bs->flush_failed = false;
	CU_ASSERT_EQUAL(flush(bs), 0);
	end(bs);
}

static void a_failed_forced_write_latches_too(void)
{
	struct backstore *bs = begin("ram:1M,fault=write:eio:once");

	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, BS_FUA, 0, 512, data), -EIO);
	CU_ASSERT(bs->flush_failed);
	CU_ASSERT_EQUAL(flush(bs), -EIO);
	end(bs);
	/* An ordinary write promises nothing, and one without space lost nothing. */
	bs = begin("ram:1M,fault=write:eio:once;write:enospc:after=1:once");
	CU_ASSERT_EQUAL(write_at(bs, 0), -EIO);
	CU_ASSERT_EQUAL(io_run(r, bs, BS_WRITE, BS_FUA, 0, 512, data), -ENOSPC);
	CU_ASSERT(!bs->flush_failed);
	CU_ASSERT_EQUAL(flush(bs), 0);
	end(bs);
	/* A flush without space means write-back had none. */
	bs = begin("ram:1M,fault=flush:enospc:once");
	CU_ASSERT_EQUAL(flush(bs), -ENOSPC);
	CU_ASSERT(bs->flush_failed);
	end(bs);
}

/* The kernel tells one of several that a write-back was lost; the others must not say yes. */
static void a_promise_in_flight_fails_with_the_one_that_was_told(void)
{
	struct backstore *bs = begin("ram:1M,fault=flush:delay=200ms:once;flush:eio:after=1:once;"
				     "write:delay=200ms:times=2");
	struct io_wait flushed, forced, plain;

	io_submit(&flushed, r, bs, BS_FLUSH, 0, 0, 0, NULL);
	io_submit(&forced, r, bs, BS_WRITE, BS_FUA, 0, 512, data);
	io_submit(&plain, r, bs, BS_WRITE, 0, 512, 512, data);
	CU_ASSERT_EQUAL(flush(bs), -EIO);
	reactor_advance(r, 200 * NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(flushed.calls, 1);
	CU_ASSERT_EQUAL(flushed.res, -EIO);
	CU_ASSERT_EQUAL(forced.calls, 1);
	CU_ASSERT_EQUAL(forced.res, -EIO);
	CU_ASSERT_EQUAL(plain.calls, 1);
	CU_ASSERT_EQUAL(plain.res, 0);
	CU_ASSERT_EQUAL(bs->stats[0].errors, 3);
	end(bs);
}

UNIT_MAIN(TEST(it_looks_like_what_it_wraps), TEST(without_a_match_everything_works),
	  TEST(rules_choose_opcode_and_error), TEST(rules_count), TEST(rules_have_a_range),
	  TEST(short_does_the_first_half), TEST(delays_take_their_time),
	  TEST(hanging_requests_end_with_the_disk), TEST(a_failed_flush_is_not_forgotten),
	  TEST(a_failed_forced_write_latches_too),
	  TEST(a_promise_in_flight_fails_with_the_one_that_was_told));
