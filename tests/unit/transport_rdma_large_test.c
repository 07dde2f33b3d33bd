// SPDX-License-Identifier: BSD-2-Clause
/* Data of more than one chunk, more than one post, more than there is memory for copies; and memory
 * that the device does not register. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/transport_rdma_rig.h"

enum { WHOLE = 256 << 20, STEP = 1 << 20, CHUNKS = WHOLE / (int)REGION_CHUNK + 1 };

/* When the transport may try to register a chunk again is a matter of seconds: they are ours. */
static time_t seconds = 1000;

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	*ts = (struct timespec){ .tv_sec = seconds };
	return 0;
}

/* A disk, and in it WHOLE bytes that touch one chunk more than they would have to. */
struct disk {
	struct region *region;
	uint8_t *data;
};

static struct disk disk_create(void)
{
	struct disk disk = { .region = region_create(WHOLE + REGION_CHUNK, false) };

	CU_ASSERT_PTR_NOT_NULL_FATAL(disk.region);
	disk.data = region_base(disk.region) + 4096;
	for (uint32_t at = 0; at < WHOLE; at += STEP)
		rig_pattern(disk.data + at, 64, at);
	return disk;
}

/* Where the marks are, and a page behind each. */
static bool same(const uint8_t *a, const uint8_t *b)
{
	for (uint32_t at = 0; at < WHOLE; at += STEP)
		if (memcmp(a + at, b + at, 4096) != 0)
			return false;
	return true;
}

/* A READ of WHOLE bytes; what comes is counted and dropped. */
static struct mock_region *read_nowhere(struct iser *in, uint32_t itt)
{
	struct mock_region *region = mock_region_add(0x7f0000100000 + 0x10000000ull * itt, 0);
	static struct message m;

	region->len = WHOLE;
	region->sink = true;
	message_command(&m, itt, CMD_FINAL | CMD_READ, WHOLE, 0);
	message_reads(&m, region);
	iser_send(in, &m);
	return region;
}

/* --- put_data() */

static void nine_chunks_in_one_post(void)
{
	struct iser *in = iser_create();
	struct disk disk = disk_create();
	struct mock_region *region = iser_read(in, 5, WHOLE);
	unsigned int posts = in->qp->posts;
	uint64_t at = 0;

	iser_put(in, 5, disk.data, WHOLE);
	iser_turn(in);
	CU_ASSERT_EQUAL(in->qp->posts, posts + 1);
	CU_ASSERT_EQUAL_FATAL(mock_send_count(in->qp), CHUNKS + 1);
	for (uint32_t i = 0; i < CHUNKS; i++) {
		const struct mock_wr *w = mock_send_at(in->qp, i);

		CU_ASSERT_EQUAL(w->opcode, IBV_WR_RDMA_WRITE);
		CU_ASSERT_EQUAL(w->remote_addr, region->va + at);
		CU_ASSERT_EQUAL(w->sge[0].addr, (uintptr_t)disk.data + at);
		CU_ASSERT(!w->signaled);
		at += w->len;
	}
	CU_ASSERT_EQUAL(at, WHOLE);
	iser_settle(in);
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "done 5 ok"));
	CU_ASSERT(same(region->bytes, disk.data));
	CU_ASSERT_EQUAL(atomic_load(&in->rig->conn->bytes_copied), 0);
	iser_destroy(in);
	region_destroy(disk.region);
}

/* Takes what is posted one by one. */
struct walk {
	struct mock_region *const *region;
	uint32_t item, at; /* of which READ, and where in it, the next one has to be */
	unsigned int post, in_post, posts; /* the last one's, and how many of it there were */
	uint32_t longest; /* Write */
};

static void walk_one(struct walk *walk, const struct mock_wr *w)
{
	const union pdu_header *h = (const void *)(w->bytes + sizeof(struct iser_header));

	walk->posts += walk->post != w->post;
	walk->in_post = walk->post == w->post ? walk->in_post + 1 : 1;
	walk->post = w->post;
	CU_ASSERT_FATAL(walk->in_post <= SEND_BATCH);
	if (w->opcode == IBV_WR_RDMA_WRITE) {
		CU_ASSERT_EQUAL_FATAL(w->remote_addr, walk->region[walk->item]->va + walk->at);
		walk->at += w->len;
		walk->longest = w->len > walk->longest ? w->len : walk->longest;
		return;
	}
	CU_ASSERT_EQUAL_FATAL(walk->at, WHOLE); /* nothing is missing before its response */
	CU_ASSERT_FATAL(w->inlined);
	CU_ASSERT_EQUAL_FATAL(be32_get(h->bhs.itt), walk->item);
	walk->item++;
	walk->at = 0;
}

/* n READs at once; how they went is in *walk. first: posted in the first turn. */
static void reads_at_once(struct iser *in, const struct disk *disk, uint32_t n, struct walk *walk,
			  uint32_t *first)
{
	struct mock_region *region[RIG_TRANSFERS];
	struct remote_data remote[RIG_TRANSFERS];
	char want[32];

	*walk = (struct walk){ .region = region };
	for (uint32_t i = 0; i < n; i++) {
		region[i] = read_nowhere(in, i);
		remote[i] = in->remote;
	}
	for (uint32_t i = 0; i < n; i++) {
		in->remote = remote[i];
		iser_put(in, i, disk->data, WHOLE);
	}
	(void)rig_log(in->rig);
	iser_turn(in);
	*first = mock_send_count(in->qp);
	while (mock_send_count(in->qp)) {
		walk_one(walk, mock_send_at(in->qp, 0));
		mock_send_end(in->qp, IBV_WC_SUCCESS);
		iser_turn(in);
	}
	CU_ASSERT_EQUAL(walk->item, n);
	CU_ASSERT(in->qp->sq_most <= SEND_DEPTH);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(want, sizeof(want), "done %x ok", i);
		CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, want));
	}
}

/* More than a post takes. */
static void seven_at_once(void)
{
	struct iser *in = iser_create();
	struct disk disk = disk_create();
	struct walk walk;
	uint32_t first;

	reads_at_once(in, &disk, 7, &walk, &first);
	CU_ASSERT_EQUAL(first, 7 * (CHUNKS + 1));
	CU_ASSERT_EQUAL(walk.posts, 2);
	CU_ASSERT_EQUAL(atomic_load(&in->rig->conn->bytes_copied), 0);
	iser_destroy(in);
	region_destroy(disk.region);
}

/* More than the send queue takes: the rest goes when there is room. */
static void thirty_at_once(void)
{
	struct iser *in = iser_create();
	struct disk disk = disk_create();
	struct walk walk;
	uint32_t first;

	reads_at_once(in, &disk, 30, &walk, &first);
	CU_ASSERT(first <= SEND_DEPTH && first > SEND_DEPTH - SEND_BATCH);
	iser_destroy(in);
	region_destroy(disk.region);
}

/* --- Without registration */

/* The slab has room for a few copies: the others wait until these are through. */
static void copied_in_pieces(void)
{
	struct iser *in = iser_create();
	struct disk disk = disk_create();
	struct mock_region *region = iser_read(in, 5, WHOLE);

	mock_forbid(disk.data, WHOLE);
	iser_put(in, 5, disk.data, WHOLE);
	iser_turn(in);
	CU_ASSERT(mock_send_count(in->qp) > 1);
	CU_ASSERT(mock_send_count(in->qp) <= buf_budget(in->rig->r) / BUF_MAX);
	iser_settle(in);
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "done 5 ok"));
	CU_ASSERT(same(region->bytes, disk.data));
	CU_ASSERT_EQUAL(atomic_load(&in->rig->conn->bytes_copied), WHOLE);
	/* Once a second and chunk, not for each piece. */
	CU_ASSERT(mock.refused <= CHUNKS);
	iser_destroy(in);
	region_destroy(disk.region);
}

static void seven_at_once_are_copied(void)
{
	struct iser *in = iser_create();
	struct disk disk = disk_create();
	struct walk walk;
	uint32_t first;

	mock_forbid(disk.data, WHOLE);
	reads_at_once(in, &disk, 7, &walk, &first);
	CU_ASSERT(first < 7 * (CHUNKS + 1));
	CU_ASSERT(walk.longest <= BUF_MAX);
	CU_ASSERT_EQUAL(atomic_load(&in->rig->conn->bytes_copied), 7ull * WHOLE);
	iser_destroy(in);
	region_destroy(disk.region);
}

/* Some chunks can be registered: these are not copied. */
static void one_chunk_is_copied(void)
{
	struct iser *in = iser_create();
	struct disk disk = disk_create();
	struct mock_region *region = iser_read(in, 5, WHOLE);

	mock_forbid(region_base(disk.region) + 3 * REGION_CHUNK, REGION_CHUNK);
	iser_put(in, 5, disk.data, WHOLE);
	iser_settle(in);
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "done 5 ok"));
	CU_ASSERT(same(region->bytes, disk.data));
	CU_ASSERT(atomic_load(&in->rig->conn->bytes_copied) >= REGION_CHUNK);
	CU_ASSERT(atomic_load(&in->rig->conn->bytes_copied) <= REGION_CHUNK + BUF_MAX);
	iser_destroy(in);
	region_destroy(disk.region);
}

/* The initiator goes in the middle of it. */
static void lost_while_it_is_copied(void)
{
	struct iser *in = iser_create();
	struct disk disk = disk_create();

	mock_forbid(disk.data, WHOLE);
	read_nowhere(in, 1);
	iser_put(in, 1, disk.data, WHOLE);
	read_nowhere(in, 2);
	iser_put(in, 2, disk.data, WHOLE);
	iser_turn(in);
	mock_send_end(in->qp, IBV_WC_SUCCESS);
	mock_send_end(in->qp, IBV_WC_RETRY_EXC_ERR);
	iser_turn(in);
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "done 1 canceled"));
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "done 2 canceled"));
	iser_destroy(in);
	region_destroy(disk.region);
}

/* --- get_data() */

/* It cannot be copied: the command is told, and the connection has nothing to do with it. */
static void check_no_memory(uint32_t offset, uint32_t forbidden_chunk)
{
	struct iser *in = iser_create();
	struct disk disk = disk_create();
	uint8_t *base = region_base(disk.region), *data = base + offset;
	struct mock_region *region = iser_write(in, 5, 8192);
	struct transfer *t;

	mock_forbid(base + forbidden_chunk * REGION_CHUNK, REGION_CHUNK);
	t = iser_get(in, 5, data, 0, 8192);
	iser_settle(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 01 itt 5\ndone 5 no memory 0\n");
	CU_ASSERT_EQUAL(t->result, TRANSFER_NO_MEMORY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(in->rig->conn);
	CU_ASSERT_EQUAL(region->touched, 0);
	CU_ASSERT_EQUAL(in->qp->reads_most, 0);
	/* Not before a second has passed, whatever has changed. */
	mock_forbid(NULL, 0);
	iser_get(in, 5, data, 0, 8192);
	iser_settle(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "done 5 no memory 0\n");
	CU_ASSERT_EQUAL(mock.refused, 1);
	seconds++;
	iser_get(in, 5, data, 0, 8192);
	iser_settle(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "done 5 ok 8192\n");
	CU_ASSERT(!memcmp(data, region->bytes, 8192));
	CU_ASSERT_PTR_NOT_NULL(in->rig->conn);
	iser_destroy(in);
	region_destroy(disk.region);
}

static void a_read_into_memory_that_is_not_registered(void)
{
	check_no_memory(4096, 0);
}

static void a_read_of_which_one_half_is_not_registered(void)
{
	check_no_memory((uint32_t)REGION_CHUNK - 4096, 0);
	check_no_memory((uint32_t)REGION_CHUNK - 4096, 1);
}

/* The others are not held up. */
static void reads_behind_one_that_fails(void)
{
	struct iser *in = iser_create();
	struct disk disk = disk_create();
	struct mock_region *region;
	struct buf *b = iser_buf(in, 4096);
	const char *log;

	mock_forbid(disk.data, WHOLE);
	iser_write(in, 5, 4096);
	iser_get(in, 5, disk.data, 0, 4096);
	region = iser_write(in, 6, 4096);
	iser_get(in, 6, b->data, 0, 4096);
	iser_settle(in);
	log = rig_log(in->rig);
	CU_ASSERT_PTR_NOT_NULL(strstr(log, "done 5 no memory 0\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(log, "done 6 ok 4096\n"));
	CU_ASSERT(!memcmp(b->data, region->bytes, 4096));
	iser_buf_put(in, b);
	iser_destroy(in);
	region_destroy(disk.region);
}

UNIT_MAIN(TEST(nine_chunks_in_one_post), TEST(seven_at_once), TEST(thirty_at_once),
	  TEST(copied_in_pieces), TEST(seven_at_once_are_copied), TEST(one_chunk_is_copied),
	  TEST(lost_while_it_is_copied), TEST(a_read_into_memory_that_is_not_registered),
	  TEST(a_read_of_which_one_half_is_not_registered), TEST(reads_behind_one_that_fails));
