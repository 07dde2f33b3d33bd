// SPDX-License-Identifier: BSD-2-Clause
/* Data of writes: RDMA Reads, unsolicited Data-Out, and the end of either before its time. */
#include "tests/unit/transport_rdma_rig.h"

static struct message m;
static struct tx_pdu pdu;

static bool has(struct iser *in, const char *line)
{
	return strstr(in->rig->log, line) != NULL;
}

static struct iser *with_ord(uint8_t ord)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();

	request.ord = ord;
	return iser_with(&request, &params);
}

/* --- RDMA Reads */

static void a_write_is_one_signaled_read(void)
{
	struct iser *in = iser_create();
	struct mock_region *region = iser_write(in, 5, 4096);
	struct buf *b = iser_buf(in, 4096);
	const struct mock_wr *w;

	iser_get(in, 5, b->data, 0, 4096);
	iser_turn(in);
	CU_ASSERT_EQUAL_FATAL(mock_send_count(in->qp), 1);
	w = mock_send_at(in->qp, 0);
	CU_ASSERT_EQUAL(w->opcode, IBV_WR_RDMA_READ);
	CU_ASSERT(w->signaled);
	CU_ASSERT_EQUAL(w->remote_addr, region->va);
	CU_ASSERT_EQUAL(w->rkey, region->rkey);
	CU_ASSERT_EQUAL(w->sge[0].addr, (uintptr_t)b->data);
	CU_ASSERT(!has(in, "done"));
	iser_settle(in);
	CU_ASSERT(has(in, "done 5 ok 4096"));
	CU_ASSERT(!memcmp(b->data, region->bytes, 4096));
	CU_ASSERT_EQUAL(atomic_load(&in->rig->conn->bytes_copied), 0);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* The address in the header is that of the first byte that does not come unasked, or, with
 * TaggedBufferForSolicitedDataOnly=No, that of the whole buffer. */
static void check_address(bool from_start, uint8_t final, uint32_t immediate, uint32_t offset)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct mock_region *region;
	struct iser *in;
	struct buf *b;

	params.tagged_from_start = from_start;
	params.first_burst = 4096;
	in = iser_with(&request, &params);
	b = iser_buf(in, 16384);
	region = mock_region_add(0x123456789000, 16384);
	rig_pattern(region->bytes, 16384, 7);
	message_command(&m, 5, final | CMD_WRITE, 16384, immediate);
	message_writes(&m, region, from_start ? 0 : offset);
	iser_send(in, &m);
	iser_get(in, 5, b->data, offset, 16384 - offset);
	iser_settle(in);
	CU_ASSERT(has(in, "done 5 ok"));
	CU_ASSERT(!memcmp(b->data, region->bytes + offset, 16384 - offset));
	iser_buf_put(in, b);
	iser_destroy(in);
}

static void the_address_behind_unsolicited_data(void)
{
	check_address(false, CMD_FINAL, 0, 0);
	check_address(false, CMD_FINAL, 1024, 1024);
	check_address(false, 0, 1024, 4096); /* FirstBurstLength comes unasked */
	check_address(false, 0, 0, 4096);
}

static void the_address_of_the_whole_buffer(void)
{
	check_address(true, CMD_FINAL, 0, 0);
	check_address(true, CMD_FINAL, 1024, 1024);
	check_address(true, 0, 1024, 4096);
	check_address(true, 0, 0, 4096);
}

/* Not more at a time than the initiator can answer, and in the order of the calls. */
static void check_depth(uint8_t ord)
{
	struct iser *in = with_ord(ord);
	struct mock_region *region = iser_write(in, 5, 40 * 512);
	struct buf *b = iser_buf(in, 40 * 512);
	uint32_t next = 0;

	for (uint32_t i = 0; i < 40; i++)
		iser_get(in, 5, b->data + i * 512, i * 512, 512);
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_send_count(in->qp), ord);
	while (mock_send_count(in->qp)) {
		CU_ASSERT_EQUAL(mock_send_at(in->qp, 0)->remote_addr, region->va + 512 * next++);
		mock_send_end(in->qp, IBV_WC_SUCCESS);
		iser_turn(in);
	}
	CU_ASSERT_EQUAL(next, 40);
	CU_ASSERT_EQUAL(in->qp->reads_most, ord);
	CU_ASSERT(!memcmp(b->data, region->bytes, 40 * 512));
	iser_buf_put(in, b);
	iser_destroy(in);
}

static void as_many_reads_as_the_initiator_answers(void)
{
	check_depth(1);
	check_depth(4);
	check_depth(16);
}

/* Nothing could be written: the request is refused. */
static void an_initiator_that_answers_no_reads(void)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();

	request.ord = 0;
	iser_arrive(in, &request);
	CU_ASSERT_PTR_NULL(in->rig->conn);
	CU_ASSERT_EQUAL(mock.rejects, 1);
	CU_ASSERT_EQUAL(mock.accepts, 0);
	iser_destroy(in);
}

static void responses_pass_waiting_reads(void)
{
	struct iser *in = with_ord(1);
	struct buf *b = iser_buf(in, 8192);

	iser_write(in, 5, 8192);
	iser_get(in, 5, b->data, 0, 4096);
	iser_get(in, 5, b->data + 4096, 4096, 4096);
	iser_respond(in, &pdu, OP_NOP_IN, 1, NULL, 0);
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_send_count(in->qp), 2);
	CU_ASSERT_EQUAL(mock_send_at(in->qp, 1)->opcode, IBV_WR_SEND);
	iser_settle(in);
	CU_ASSERT_EQUAL(in->rig->sent, 1);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* A chunk each: with a depth of one the device lets the second wait, and nothing else is posted. */
static void a_read_in_two_chunks(void)
{
	for (uint8_t ord = 1; ord <= 4; ord++) {
		struct iser *in = with_ord(ord);
		struct region *disk = region_create(2 * REGION_CHUNK, false);
		struct mock_region *region = iser_write(in, 5, 8192);
		uint8_t *data;

		CU_ASSERT_PTR_NOT_NULL_FATAL(disk);
		data = region_base(disk) + REGION_CHUNK - 4096;
		iser_get(in, 5, data, 0, 8192);
		iser_settle(in);
		CU_ASSERT(has(in, "done 5 ok 8192"));
		CU_ASSERT(!memcmp(data, region->bytes, 8192));
		CU_ASSERT(in->qp->reads_most <= (ord < 2 ? 2u : ord));
		iser_destroy(in);
		region_destroy(disk);
	}
}

static void data_beyond_edtl_is_never_fetched(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 8192);
	struct mock_region *region = iser_write(in, 5, 4096);

	iser_get(in, 5, b->data, 1, 4096);
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(region->touched, 0);
	CU_ASSERT(!has(in, "done 5 ok") && has(in, "done 5"));
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* The key is wrong, or its memory shorter than the command said. */
static void an_access_error_is_never_ok(void)
{
	for (int read = 0; read < 2; read++) {
		struct iser *in = iser_create();
		struct buf *b = iser_buf(in, 4096);

		if (read) {
			iser_read(in, 5, 4096)->len = 4095;
			iser_put(in, 5, b->data, 4096);
		} else {
			iser_write(in, 5, 4096)->dead = true;
			iser_get(in, 5, b->data, 0, 4096);
		}
		iser_settle(in);
		reactor_advance(in->rig->r, NSEC_PER_SEC);
		CU_ASSERT_STRING_EQUAL(rig_log(in->rig),
				       "pdu 01 itt 5\ndone 5 canceled 0\nclosed\n");
		iser_buf_put(in, b);
		iser_destroy(in);
	}
}

/* --- cancel_data() */

static void a_read_that_waits_is_canceled_at_once(void)
{
	struct iser *in = with_ord(1);
	struct buf *b = iser_buf(in, 8192);
	struct transfer *t;

	iser_write(in, 5, 8192);
	iser_get(in, 5, b->data, 0, 4096);
	iser_turn(in);
	t = iser_get(in, 5, b->data + 4096, 4096, 4096);
	conn_cancel_data(in->rig->conn, t);
	CU_ASSERT(!has(in, "done")); /* not from inside */
	iser_turn(in);
	CU_ASSERT(has(in, "done 5 canceled"));
	(void)rig_log(in->rig);
	iser_settle(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "done 5 ok 4096\n");
	CU_ASSERT_EQUAL(in->qp->reads_most, 1);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* The device has it: it ends when the device is through, and not before. */
static void a_read_under_way_ends_by_itself(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 4096);
	struct transfer *t;

	iser_write(in, 5, 4096);
	t = iser_get(in, 5, b->data, 0, 4096);
	iser_turn(in);
	conn_cancel_data(in->rig->conn, t);
	conn_cancel_data(in->rig->conn, t);
	reactor_advance(in->rig->r, NSEC_PER_SEC);
	CU_ASSERT(!has(in, "done"));
	iser_settle(in);
	CU_ASSERT(has(in, "done 5 ok 4096") || has(in, "done 5 canceled"));
	(void)rig_log(in->rig);
	iser_settle(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "");
	iser_buf_put(in, b);
	iser_destroy(in);
}

static void canceled_twice_is_done_once(void)
{
	struct iser *in = with_ord(1);
	struct buf *b = iser_buf(in, 4096);
	struct transfer *t;

	iser_write(in, 5, 4096);
	t = iser_get(in, 5, b->data, 0, 4096);
	conn_cancel_data(in->rig->conn, t);
	conn_cancel_data(in->rig->conn, t);
	iser_settle(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 01 itt 5\ndone 5 canceled 0\n");
	CU_ASSERT_EQUAL(in->qp->reads_most, 0);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* --- Unsolicited Data-Out */

static struct transfer *unsolicited(struct iser *in, uint32_t itt, struct buf *b, uint32_t offset,
				    uint32_t len)
{
	struct transfer *t;

	message_command(&m, itt, CMD_WRITE, 8192, offset);
	iser_send(in, &m);
	(void)rig_log(in->rig);
	t = iser_transfer(in, itt, b ? b->data : NULL, offset, len);
	t->unsolicited = true;
	conn_get_data(in->rig->conn, t);
	return t;
}

static void data_out(struct iser *in, uint32_t itt, uint32_t datasn, uint32_t offset, uint32_t len,
		     bool final)
{
	message_data_out(&m, itt, TAG_NONE, datasn, offset, len, final);
	iser_send(in, &m);
}

static void unsolicited_data_lands(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 8192);
	uint8_t want[8192];

	unsolicited(in, 5, b, 1024, 7168);
	data_out(in, 5, 0, 1024, 4096, false);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "");
	data_out(in, 5, 1, 5120, 3072, true);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "done 5 ok 7168\n");
	rig_pattern(want, sizeof(want), 5);
	CU_ASSERT(!memcmp(b->data, want + 1024, 7168));
	iser_buf_put(in, b);
	iser_destroy(in);
}

static void a_short_sequence_says_how_much_came(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 8192);

	unsolicited(in, 5, b, 0, 8192);
	data_out(in, 5, 0, 0, 512, true);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "done 5 ok 512\n");
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* The first broken rule counts; the sequence ends with its F bit, and nothing lands elsewhere. */
static void data_out_that_breaks_a_rule(void)
{
	static const struct {
		uint32_t datasn, offset, len;
		const char *want;
	} cases[] = {
		{ 1, 512, 512, "done 5 digest" }, /* DataSN 0 is missing */
		{ 0, 1024, 512, "done 5 digest" }, /* a gap */
		{ 0, 0, 512, "done 5 digest" }, /* over the immediate data */
		{ 0, 512, 7681, "done 5 short" }, /* one byte too many */
		{ 0, 0xfffffe00, 512, "done 5" },  { 0, 0xfffffe00, 1024, "done 5" },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		struct iser *in = iser_create();
		struct buf *b = iser_buf(in, 8192);
		const char *log;

		memset(b->data, 0x5a, 8192);
		unsolicited(in, 5, b, 512, 7680);
		message_data_out(&m, 5, TAG_NONE, cases[i].datasn, 0, cases[i].len, false);
		m.h.data_out.buffer_offset = be32_of(cases[i].offset);
		iser_send(in, &m);
		CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "");
		data_out(in, 5, 1, 1024, 512, true);
		log = rig_log(in->rig);
		CU_ASSERT(!strncmp(log, cases[i].want, strlen(cases[i].want)));
		CU_ASSERT_PTR_NULL(strstr(log, "ok"));
		for (uint32_t at = 7680; at < 8192; at++)
			CU_ASSERT_EQUAL_FATAL(b->data[at], 0x5a);
		iser_buf_put(in, b);
		iser_destroy(in);
	}
}

static void data_out_for_nobody_is_dropped(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 8192);

	data_out(in, 99, 0, 0, 512, true);
	conn_cancel_data(in->rig->conn, unsolicited(in, 5, b, 0, 8192));
	iser_turn(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "done 5 canceled 0\n");
	memset(b->data, 0x5a, 8192);
	data_out(in, 5, 0, 0, 512, true);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "");
	CU_ASSERT_EQUAL(b->data[0], 0x5a);
	CU_ASSERT_PTR_NOT_NULL(in->rig->conn);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* A sequence of a command that was refused is drained. */
static void data_out_into_nothing(void)
{
	struct iser *in = iser_create();

	unsolicited(in, 5, NULL, 512, 0);
	data_out(in, 5, 0, 512, 512, false);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "");
	data_out(in, 5, 1, 1024, 512, true);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(in->rig), "done 5"));
	CU_ASSERT_PTR_NOT_NULL(in->rig->conn);
	iser_destroy(in);
}

/* We read what we ask for: nobody was invited to send it. */
static void solicited_data_out_closes(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 4096);

	iser_write(in, 5, 4096);
	iser_get(in, 5, b->data, 0, 4096);
	message_data_out(&m, 5, 17, 0, 0, 512, true);
	mock_deliver(in->qp, &m.ih, m.len);
	iser_turn(in);
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT(has(in, "error") && has(in, "fatal"));
	CU_ASSERT_EQUAL(in->closed, 1);
	iser_buf_put(in, b);
	iser_destroy(in);
}

static void two_sequences_at_a_time(void)
{
	struct iser *in = iser_create();
	struct buf *a = iser_buf(in, 8192), *b = iser_buf(in, 8192);
	uint8_t want[1024];

	unsolicited(in, 5, a, 0, 8192);
	unsolicited(in, 6, b, 0, 8192);
	data_out(in, 5, 0, 0, 512, false);
	data_out(in, 6, 0, 0, 512, false);
	data_out(in, 6, 1, 512, 512, true);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "done 6 ok 1024\n");
	data_out(in, 5, 1, 512, 512, true);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "done 5 ok 1024\n");
	rig_pattern(want, sizeof(want), 5);
	CU_ASSERT(!memcmp(a->data, want, sizeof(want)));
	rig_pattern(want, sizeof(want), 6);
	CU_ASSERT(!memcmp(b->data, want, sizeof(want)));
	iser_buf_put(in, a);
	iser_buf_put(in, b);
	iser_destroy(in);
}

UNIT_MAIN(TEST(a_write_is_one_signaled_read), TEST(the_address_behind_unsolicited_data),
	  TEST(the_address_of_the_whole_buffer), TEST(as_many_reads_as_the_initiator_answers),
	  TEST(an_initiator_that_answers_no_reads), TEST(responses_pass_waiting_reads),
	  TEST(a_read_in_two_chunks), TEST(data_beyond_edtl_is_never_fetched),
	  TEST(an_access_error_is_never_ok), TEST(a_read_that_waits_is_canceled_at_once),
	  TEST(a_read_under_way_ends_by_itself), TEST(canceled_twice_is_done_once),
	  TEST(unsolicited_data_lands), TEST(a_short_sequence_says_how_much_came),
	  TEST(data_out_that_breaks_a_rule), TEST(data_out_for_nobody_is_dropped),
	  TEST(data_out_into_nothing), TEST(solicited_data_out_closes),
	  TEST(two_sequences_at_a_time));
