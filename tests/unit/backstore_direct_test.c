// SPDX-License-Identifier: BSD-2-Clause
/* When a request that goes past the page cache reaches the kernel. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backstore_io.h"
#include "core/reactor_impl.h"

enum { PATTERN = 0x5a };

struct early {
	struct work work;
	struct bs_req req;
	bool seen;
};

static _Alignas(4096) uint8_t data[BUF_MIN];

static void early_done(struct bs_req *req, int res)
{
	CU_ASSERT_EQUAL(res, 0);
	reactor_stop(req->reactor);
}

/* Looks for what the kernel puts there, without entering it. */
static void submit_and_look(struct work *work)
{
	struct early *e = container_of(work, struct early, work);
	const volatile uint8_t *p = data;
	uint64_t deadline = clock_ns() + 5 * NSEC_PER_SEC;

	CU_ASSERT_FALSE(bs_submit(e->req.bs, &e->req));
	while (!e->seen && clock_ns() < deadline)
		e->seen = *p != PATTERN;
}

static void read_early(struct backstore *bs)
{
	struct reactor_config cfg = { .cpu = -1 };
	struct early e = { .work.fn = submit_and_look };

	CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &e.req.reactor), 0);
	memset(data, PATTERN, sizeof(data));
	e.req.opcode = BS_READ;
	e.req.len = sizeof(data);
	e.req.data = data;
	e.req.done = early_done;
	e.req.bs = bs;
	reactor_post(e.req.reactor, &e.work);
	CU_ASSERT_EQUAL(reactor_run(e.req.reactor), 0);
	CU_ASSERT_TRUE(e.seen);
	reactor_destroy(e.req.reactor);
}

static void a_request_begins_before_the_turn_ends(void)
{
	const char *tmp = getenv("TMPDIR");
	struct bs_spec spec;
	struct backstore *bs;
	char path[256], text[300], why[512];
	int fd, err;

	snprintf(path, sizeof(path), "%s/riser-direct-XXXXXX", tmp ? tmp : "/tmp");
	fd = mkstemp(path);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(ftruncate(fd, 1 << 20), 0);
	close(fd);
	snprintf(text, sizeof(text), "%s,direct=on", path);
	CU_ASSERT_EQUAL_FATAL(bs_parse(text, &spec, why, sizeof(why)), 0);
	err = bs_open(&spec, &bs, why, sizeof(why));
	if (!err) {
		read_early(bs);
		bs_close(bs);
	}
	unlink(path);
	if (err)
		UNIT_SKIP("no O_DIRECT with blocks of 512 bytes in the scratch folder");
}

UNIT_MAIN(TEST(a_request_begins_before_the_turn_ends));
