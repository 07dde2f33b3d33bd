// SPDX-License-Identifier: BSD-2-Clause
/* One request at a time, waited for: on a virtual reactor or on a real one run by the test. */
#ifndef RISER_TESTS_UNIT_BACKSTORE_IO_H
#define RISER_TESTS_UNIT_BACKSTORE_IO_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backstore.h"
#include "core/slab.h"
#include "tests/lib/unit.h"

enum { NOT_DONE = 1 };

struct io_wait {
	struct bs_req req;
	struct work work;
	struct backstore *bs;
	int res;
	unsigned int calls;
	bool inline_answer;
};

static inline void io_done(struct bs_req *req, int res)
{
	struct io_wait *io = container_of(req, struct io_wait, req);

	CU_ASSERT_PTR_EQUAL(reactor_self(), req->reactor);
	io->res = res;
	io->calls++;
	if (!req->reactor->is_virtual)
		reactor_stop(req->reactor);
}

static inline void io_start(struct work *work)
{
	struct io_wait *io = container_of(work, struct io_wait, work);

	io->inline_answer = bs_submit(io->bs, &io->req);
	if (io->inline_answer)
		io_done(&io->req, io->req.res);
}

/* Starts it; a virtual reactor has to be turned by the caller when io->res stays NOT_DONE. */
static inline void io_submit(struct io_wait *io, struct reactor *r, struct backstore *bs,
			     enum bs_opcode opcode, uint32_t flags, uint64_t offset, uint64_t len,
			     void *data)
{
	*io = (struct io_wait){
		.req = { .opcode = opcode,
			 .flags = flags,
			 .offset = offset,
			 .len = len,
			 .data = data,
			 .reactor = r,
			 .done = io_done },
		.work.fn = io_start,
		.bs = bs,
		.res = NOT_DONE,
	};
	if (r->is_virtual) {
		io_start(&io->work);
		return;
	}
	reactor_post(r, &io->work);
	CU_ASSERT_EQUAL(reactor_run(r), 0);
}

/* Starts it and expects it to be done; returns the result. */
static inline int io_run(struct reactor *r, struct backstore *bs, enum bs_opcode opcode,
			 uint32_t flags, uint64_t offset, uint64_t len, void *data)
{
	struct io_wait io;

	io_submit(&io, r, bs, opcode, flags, offset, len, data);
	CU_ASSERT_EQUAL(io.calls, 1);
	return io.res;
}

static inline struct backstore *open_text(const char *text)
{
	struct bs_spec spec;
	struct backstore *bs = NULL;
	char why[512] = "";

	if (bs_parse(text, &spec, why, sizeof(why)) || bs_open(&spec, &bs, why, sizeof(why)))
		printf("# %s: %s\n", text, why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	return bs;
}

/* Expects opening to fail with err and a reason that contains part. */
static inline bool refuses(const char *text, int err, const char *part)
{
	struct bs_spec spec;
	struct backstore *bs = NULL;
	char why[512] = "";
	int res = bs_parse(text, &spec, why, sizeof(why));

	if (!res)
		res = bs_open(&spec, &bs, why, sizeof(why));
	if (res == err && strstr(why, part) && !strchr(why, '\n'))
		return true;
	printf("# %s: %d: %s\n", text, res, why);
	bs_close(bs);
	return false;
}

static inline bool all_bytes(const void *p, uint8_t value, size_t len)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != value)
			return false;
	}
	return true;
}

/* Random requests on a disk of zeros, at least 2 MiB, and on an array: both stay the same. */
static inline void compare_with_model(struct reactor *r, struct backstore *bs, uint8_t *memory)
{
	enum { SIZE = 2 << 20, REQUESTS = 300 };
	static uint8_t model[SIZE];
	uint32_t seed = 12345, block = bs->limits.block_size;
	int failures = 0;

	memset(model, 0, sizeof(model));
	for (int i = 0; i < REQUESTS; i++) {
		static const enum bs_opcode opcodes[] = { BS_WRITE, BS_WRITE, BS_WRITE, BS_READ,
							  BS_UNMAP, BS_ZERO,  BS_FLUSH };
		uint64_t at, len;
		enum bs_opcode opcode;

		seed = seed * 1664525 + 1013904223;
		opcode = opcodes[(seed >> 8) % array_size(opcodes)];
		len = (1 + (seed >> 12) % (seed >> 31 ? BUF_MAX / 8 / block : 8)) * block;
		at = (seed >> 4) % ((SIZE - BUF_MAX / 8) / block) * block;
		if (opcode == BS_WRITE) {
			memset(memory, i, len);
			memset(model + at, i, len);
		} else if (opcode == BS_UNMAP || opcode == BS_ZERO) {
			memset(model + at, 0, len);
		}
		failures += io_run(r, bs, opcode, seed >> 30 ? 0 : BS_FUA, at, len, memory) != 0;
		if (opcode == BS_READ)
			failures += memcmp(memory, model + at, len) != 0;
	}
	for (uint64_t at = 0; at < sizeof(model); at += BUF_MAX / 2) {
		failures += io_run(r, bs, BS_READ, 0, at, BUF_MAX / 2, memory) != 0;
		failures += memcmp(memory, model + at, BUF_MAX / 2) != 0;
	}
	CU_ASSERT_EQUAL(failures, 0);
	CU_ASSERT_EQUAL(bs->stats[0].errors, 0);
}

#endif
