// SPDX-License-Identifier: BSD-2-Clause
/* What the target posts: RDMA Writes and Sends, their order, number and completions. */
#include "tests/unit/transport_rdma_rig.h"

enum { MANY = 1000 };

static struct message m;
static struct tx_pdu pdus[MANY];
static uint8_t text[8192];

static bool has(struct iser *in, const char *line)
{
	return strstr(in->rig->log, line) != NULL;
}

/* --- READ */

static void a_read_is_one_post(void)
{
	struct iser *in = iser_create();
	struct mock_region *region = iser_read(in, 5, 4096);
	struct buf *b = iser_buf(in, 4096);
	unsigned int before = in->qp->posts;
	const struct mock_wr *write, *send;
	const struct bhs_scsi_response *rsp;

	rig_pattern(b->data, 4096, 5);
	iser_put(in, 5, b->data, 4096);
	CU_ASSERT_EQUAL(in->qp->posts, before);
	iser_turn(in);
	CU_ASSERT_EQUAL(in->qp->posts, before + 1);
	CU_ASSERT_EQUAL_FATAL(mock_send_count(in->qp), 2);
	write = mock_send_at(in->qp, 0);
	CU_ASSERT_EQUAL(write->opcode, IBV_WR_RDMA_WRITE);
	CU_ASSERT(!write->signaled);
	CU_ASSERT_EQUAL(write->len, 4096);
	CU_ASSERT_EQUAL(write->sge[0].addr, (uintptr_t)b->data);
	CU_ASSERT_EQUAL(write->remote_addr, region->va);
	CU_ASSERT_EQUAL(write->rkey, region->rkey);
	send = mock_send_at(in->qp, 1);
	CU_ASSERT_EQUAL(send->opcode, IBV_WR_SEND_WITH_INV);
	CU_ASSERT_EQUAL(send->invalidate_rkey, region->rkey);
	CU_ASSERT(send->signaled && send->inlined);
	CU_ASSERT_EQUAL(send->len, HEADERS);
	CU_ASSERT_EQUAL(send->bytes[0], ISER_CTRL);
	rsp = (const void *)(send->bytes + sizeof(struct iser_header));
	CU_ASSERT_EQUAL(rsp->opcode, OP_SCSI_RESPONSE);
	CU_ASSERT_EQUAL(rsp->flags, PDU_FINAL);
	CU_ASSERT_EQUAL(rsp->response, RSP_COMPLETED);
	CU_ASSERT_EQUAL(rsp->status, 0);
	CU_ASSERT_EQUAL(be32_get(rsp->itt), 5);
	CU_ASSERT_EQUAL(be32_get(rsp->statsn), 1005);
	CU_ASSERT(!has(in, "done"));
	iser_settle(in);
	CU_ASSERT(has(in, "done 5 ok"));
	CU_ASSERT(!memcmp(region->bytes, b->data, 4096));
	CU_ASSERT_EQUAL(atomic_load(&in->rig->conn->bytes_copied), 0);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* The Write's buffer is not given back before the Send's completion, which says both are done. */
static void the_write_alone_ends_nothing(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 4096);

	iser_read(in, 5, 4096);
	iser_put(in, 5, b->data, 4096);
	iser_turn(in);
	mock_send_end(in->qp, IBV_WC_SUCCESS);
	iser_turn(in);
	CU_ASSERT(!has(in, "done"));
	mock_send_end(in->qp, IBV_WC_SUCCESS);
	iser_turn(in);
	CU_ASSERT(has(in, "done 5 ok"));
	iser_buf_put(in, b);
	iser_destroy(in);
}

static void a_residual_and_its_flags_reach_the_response(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 4096);
	struct mock_message *msg;
	struct transfer *t;

	iser_read(in, 5, 8192);
	t = iser_put(in, 5, b->data, 512);
	t->h.data_in.flags |= RSP_UNDERFLOW;
	t->h.data_in.residual = be32_of(7680);
	t->h.data_in.expcmdsn = be32_of(11);
	t->h.data_in.maxcmdsn = be32_of(42);
	iser_settle(in);
	msg = mock_message_take(in->qp);
	CU_ASSERT_PTR_NOT_NULL_FATAL(msg);
	CU_ASSERT_EQUAL(message_header(msg)->scsi_response.flags, PDU_FINAL | RSP_UNDERFLOW);
	CU_ASSERT_EQUAL(be32_get(message_header(msg)->scsi_response.residual), 7680);
	CU_ASSERT_EQUAL(be32_get(message_header(msg)->scsi_response.expcmdsn), 11);
	CU_ASSERT_EQUAL(be32_get(message_header(msg)->scsi_response.maxcmdsn), 42);
	CU_ASSERT_EQUAL(be32_get(message_header(msg)->scsi_response.expdatasn), 0);
	free(msg);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* In parts: every part at its place, one response. */
static void a_read_in_parts(void)
{
	struct iser *in = iser_create();
	struct mock_region *region = iser_read(in, 5, 12288);
	struct buf *b = iser_buf(in, 12288);

	rig_pattern(b->data, 12288, 9);
	conn_put_data(in->rig->conn, iser_transfer(in, 5, b->data, 0, 4096));
	iser_settle(in);
	CU_ASSERT_PTR_NULL(in->qp->in);
	conn_put_data(in->rig->conn, iser_transfer(in, 5, b->data + 4096, 4096, 4096));
	iser_settle(in);
	CU_ASSERT_PTR_NULL(in->qp->in);
	iser_put(in, 5, b->data + 8192, 4096)->offset = 8192;
	iser_settle(in);
	CU_ASSERT_PTR_NOT_NULL(in->qp->in);
	CU_ASSERT(!memcmp(region->bytes, b->data, 12288));
	iser_buf_put(in, b);
	iser_destroy(in);
}

static void status_without_data(void)
{
	struct iser *in = iser_create();
	struct mock_region *region = iser_read(in, 5, 4096);

	iser_put(in, 5, NULL, 0);
	iser_turn(in);
	CU_ASSERT_EQUAL_FATAL(mock_send_count(in->qp), 1);
	CU_ASSERT_EQUAL(mock_send_at(in->qp, 0)->opcode, IBV_WR_SEND_WITH_INV);
	iser_settle(in);
	CU_ASSERT_EQUAL(region->touched, 0);
	CU_ASSERT(has(in, "done 5 ok"));
	iser_destroy(in);
}

/* Never past what the initiator has advertised, whoever asks for it. */
static void data_beyond_edtl_is_never_posted(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 8192);
	struct mock_region *region = iser_read(in, 5, 4096);

	iser_put(in, 5, b->data, 4097);
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(region->touched, 0);
	CU_ASSERT(!has(in, "done 5 ok") && has(in, "done 5"));
	CU_ASSERT_EQUAL(in->closed, 1);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* --- Remote invalidation */

static void no_invalidation_unless_negotiated(void)
{
	for (int without = 0; without < 2; without++) {
		struct rdma_request request = iser_request();
		struct conn_params params = iser_params();
		struct iser *in = iser_begin();

		if (without == 0)
			request.send_w_inv = false;
		else
			mock.attr.device_cap_flags = 0;
		iser_arrive(in, &request);
		CU_ASSERT_EQUAL(mock.accept.data[0], ISER_CM_NO_ZBVA | ISER_CM_NO_SEND_W_INV);
		iser_establish(in);
		conn_apply_keys(in->rig->conn, &params);
		iser_read(in, 5, 4096);
		iser_put(in, 5, NULL, 0);
		iser_turn(in);
		CU_ASSERT_EQUAL(mock_send_at(in->qp, 0)->opcode, IBV_WR_SEND);
		iser_settle(in);
		iser_destroy(in);
	}
}

static void the_private_data_says_what_we_do(void)
{
	struct iser *in = iser_create();

	CU_ASSERT_EQUAL(mock.accept.data[0], ISER_CM_NO_ZBVA);
	CU_ASSERT_EQUAL(mock.accept.param.private_data_len, 4);
	CU_ASSERT_EQUAL(mock.accept.param.initiator_depth, ISER_ORD);
	CU_ASSERT_EQUAL(mock.accept.param.responder_resources, 1);
	CU_ASSERT_EQUAL(mock.accept.param.rnr_retry_count, 7);
	CU_ASSERT_EQUAL(in->qp->min_rnr_timer, MIN_RNR_TIMER);
	iser_destroy(in);
}

/* A response that is a PDU of its own: sense, or the end of a write. */
static void a_response_invalidates_its_commands_key(void)
{
	struct iser *in = iser_create();
	struct mock_region *region = iser_write(in, 5, 4096);

	iser_respond(in, &pdus[0], OP_SCSI_RESPONSE, 5, text, 20);
	pdus[0].remote = in->remote;
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_send_at(in->qp, 0)->opcode, IBV_WR_SEND_WITH_INV);
	CU_ASSERT_EQUAL(mock_send_at(in->qp, 0)->invalidate_rkey, region->rkey);
	iser_settle(in);
	CU_ASSERT_EQUAL(in->rig->sent, 1);
	iser_destroy(in);
}

static void a_command_without_a_key_is_not_invalidated(void)
{
	struct iser *in = iser_create();

	message_command(&m, 5, CMD_FINAL | CMD_WRITE, 512, 512);
	m.ih.write_stag = m.ih.read_stag = be32_of(0x777); /* not said to be valid */
	iser_send(in, &m);
	iser_respond(in, &pdus[0], OP_SCSI_RESPONSE, 5, NULL, 0);
	pdus[0].remote = in->remote;
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_send_at(in->qp, 0)->opcode, IBV_WR_SEND);
	iser_settle(in);
	iser_destroy(in);
}

static void other_pdus_never_invalidate(void)
{
	struct iser *in = iser_create();

	iser_read(in, 5, 4096);
	iser_respond(in, &pdus[0], OP_TMF_RESPONSE, 6, NULL, 0);
	pdus[0].remote = in->remote;
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_send_at(in->qp, 0)->opcode, IBV_WR_SEND);
	iser_settle(in);
	iser_destroy(in);
}

/* --- Sends */

static void check_text(struct iser *in, uint32_t len)
{
	struct mock_message *msg;

	iser_settle(in);
	msg = mock_message_take(in->qp);
	CU_ASSERT_PTR_NOT_NULL_FATAL(msg);
	CU_ASSERT_EQUAL_FATAL(msg->len, HEADERS + len);
	CU_ASSERT_EQUAL(be24_get(message_header(msg)->bhs.dlength), len);
	CU_ASSERT(!memcmp(msg->bytes + HEADERS, text, len));
	free(msg);
}

static void long_answers_before_full_feature_phase(void)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();

	iser_arrive(in, &request);
	iser_establish(in);
	for (uint32_t len = 0; len <= 8192; len = len ? len * 2 : 1) {
		rig_pattern(text, len, len);
		iser_respond(in, &pdus[0], OP_LOGIN_RESPONSE, 1, text, len);
		check_text(in, len);
	}
	CU_ASSERT_EQUAL(in->rig->sent, 15);
	iser_destroy(in);
}

static void long_answers_in_a_discovery_session(void)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct iser *in;

	params.rdma_extensions = false;
	params.max_xmit_dsl = 32768;
	in = iser_with(&request, &params);
	CU_ASSERT(in->rig->conn->max_full_feature_data == 0 ||
		  in->rig->conn->max_full_feature_data > FULL_FEATURE_DATA);
	rig_pattern(text, 8192, 3);
	iser_respond(in, &pdus[0], OP_TEXT_RESPONSE, 1, text, 8192);
	check_text(in, 8192);
	iser_destroy(in);
}

static void full_feature_sends_fit_the_initiators_receives(void)
{
	struct iser *in = iser_create();

	CU_ASSERT_EQUAL(in->rig->conn->max_full_feature_data, 128);
	rig_pattern(text, 128, 3);
	iser_respond(in, &pdus[0], OP_REJECT, 1, text, 128);
	check_text(in, 128);
	iser_destroy(in);
}

/* A device without inline data. */
static void nothing_inline(void)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct iser *in = iser_begin();
	struct mock_region *region;
	struct buf *b = iser_buf(in, 4096);

	mock.max_inline = 0;
	iser_arrive(in, &request);
	iser_establish(in);
	conn_apply_keys(in->rig->conn, &params);
	region = iser_read(in, 5, 4096);
	rig_pattern(b->data, 4096, 5);
	iser_put(in, 5, b->data, 4096);
	rig_pattern(text, 64, 3);
	iser_respond(in, &pdus[0], OP_NOP_IN, 1, text, 64);
	iser_turn(in);
	CU_ASSERT(!mock_send_at(in->qp, 1)->inlined);
	iser_settle(in);
	CU_ASSERT(!memcmp(region->bytes, b->data, 4096));
	free(mock_message_take(in->qp));
	check_text(in, 64);
	iser_buf_put(in, b);
	iser_destroy(in);
}

static void one_doorbell_per_turn(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 4096);
	unsigned int before;

	for (uint32_t i = 0; i < 10; i++)
		iser_read(in, i, 4096); /* the last one's keys are used for all */
	before = in->qp->posts;
	for (uint32_t i = 0; i < 10; i++) {
		conn_put_data(in->rig->conn, iser_transfer(in, i, b->data, 0, 4096));
		iser_respond(in, &pdus[i], OP_NOP_IN, i, NULL, 0);
	}
	reactor_turn(in->rig->r);
	CU_ASSERT_EQUAL(in->qp->posts, before + 1);
	CU_ASSERT_EQUAL(mock_send_count(in->qp), 20);
	iser_settle(in);
	CU_ASSERT_EQUAL(in->qp->posts, before + 1);
	CU_ASSERT_EQUAL(in->rig->sent, 10);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* More than the send queue holds: it is never overrun, and the order stays. */
static void a_thousand_items_in_order(void)
{
	struct iser *in = iser_create();
	struct mock_message *msg;

	for (uint32_t i = 0; i < MANY; i++)
		iser_respond(in, &pdus[i], OP_NOP_IN, i, NULL, 0);
	iser_settle(in);
	CU_ASSERT(in->qp->sq_most <= SEND_DEPTH);
	for (uint32_t i = 0; i < MANY; i++) {
		msg = mock_message_take(in->qp);
		CU_ASSERT_PTR_NOT_NULL_FATAL(msg);
		CU_ASSERT_EQUAL(be32_get(message_header(msg)->bhs.itt), i);
		free(msg);
	}
	CU_ASSERT_EQUAL(in->rig->sent, MANY);
	CU_ASSERT_EQUAL(in->rig->conn->bytes_queued, 0);
	iser_destroy(in);
}

/* The same when completions come one by one. */
static void a_full_send_queue_goes_on(void)
{
	struct iser *in = iser_create();

	for (uint32_t i = 0; i < MANY; i++)
		iser_respond(in, &pdus[i], OP_NOP_IN, i, NULL, 0);
	iser_turn(in);
	CU_ASSERT(mock_send_count(in->qp) <= SEND_DEPTH);
	while (mock_send_end(in->qp, IBV_WC_SUCCESS))
		iser_turn(in);
	CU_ASSERT_EQUAL(in->rig->sent, MANY);
	CU_ASSERT(in->qp->sq_most <= SEND_DEPTH);
	iser_destroy(in);
}

static void answer(struct rig *rig, struct pdu *pdu)
{
	struct iser *in = iser_now;

	iser_pdu(rig, pdu);
	iser_respond(in, &pdus[0], OP_NOP_IN, be32_get(pdu->h.bhs.itt), NULL, 0);
}

/* The response may open the window: the receive that takes the next command is there before. */
static void receives_are_posted_before_the_response(void)
{
	struct iser *in = iser_create();
	uint32_t receives = mock_recv_count(in->qp);

	in->rig->on_pdu = answer;
	message_plain(&m, OP_NOP_OUT, 1, 0);
	mock_deliver(in->qp, &m.ih, m.len);
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), receives - 1);
	reactor_turn(in->rig->r);
	CU_ASSERT_EQUAL(mock_send_count(in->qp), 1);
	CU_ASSERT_EQUAL(in->qp->recvs_at_post, receives);
	iser_settle(in);
	iser_destroy(in);
}

static void login_done(struct rig *rig, struct pdu *pdu)
{
	struct conn_params params = iser_params();

	(void)pdu;
	iser_respond(iser_now, &pdus[0], OP_LOGIN_RESPONSE, 1, NULL, 0);
	conn_apply_keys(rig->conn, &params);
}

static void full_feature_receives_are_posted_before_the_login_response(void)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();

	in->rig->on_pdu = login_done;
	iser_arrive(in, &request);
	iser_establish(in);
	message_plain(&m, OP_LOGIN_REQUEST, 1, 0);
	mock_deliver(in->qp, &m.ih, m.len);
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_send_count(in->qp), 1);
	CU_ASSERT(in->qp->recvs_at_post >= ISER_WINDOW + UNEXPECTED_MAX);
	iser_settle(in);
	iser_destroy(in);
}

/* --- Memory */

static void check_copied(uint32_t max_inline)
{
	static uint8_t data[4096];
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct iser *in = iser_begin();
	struct mock_region *region;

	mock.max_inline = max_inline;
	iser_arrive(in, &request);
	iser_establish(in);
	conn_apply_keys(in->rig->conn, &params);
	region = iser_read(in, 5, 4096);
	rig_pattern(data, sizeof(data), 1);
	iser_put(in, 5, data, 4096);
	iser_settle(in);
	CU_ASSERT(has(in, "done 5 ok"));
	CU_ASSERT(!memcmp(region->bytes, data, 4096));
	CU_ASSERT_EQUAL(atomic_load(&in->rig->conn->bytes_copied), 4096);
	iser_destroy(in);
}

static void memory_that_is_not_registered_is_copied(void)
{
	check_copied(512);
}

/* One copy of the data and one of the response. */
static void nothing_registered_and_nothing_inline(void)
{
	check_copied(0);
}

/* Across the end of a chunk: two memory regions, two Writes, one Send. */
static void data_in_two_chunks(void)
{
	struct iser *in = iser_create();
	struct region *disk = region_create(2 * REGION_CHUNK, false);
	struct mock_region *region = iser_read(in, 5, 8192);
	uint8_t *data;

	CU_ASSERT_PTR_NOT_NULL_FATAL(disk);
	data = region_base(disk) + REGION_CHUNK - 1024;
	rig_pattern(data, 8192, 1);
	iser_put(in, 5, data, 8192);
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_send_count(in->qp), 3);
	CU_ASSERT_EQUAL(mock_send_at(in->qp, 0)->len, 1024);
	CU_ASSERT_EQUAL(mock_send_at(in->qp, 1)->remote_addr, region->va + 1024);
	iser_settle(in);
	CU_ASSERT(!memcmp(region->bytes, data, 8192));
	CU_ASSERT(has(in, "done 5 ok"));
	CU_ASSERT_EQUAL(atomic_load(&in->rig->conn->bytes_copied), 0);
	iser_destroy(in);
	region_destroy(disk);
}

static void two_chunks_in_every_item_do_not_overrun_the_queue(void)
{
	struct iser *in = iser_create();
	struct region *disk = region_create(2 * REGION_CHUNK, false);
	uint8_t *data;

	CU_ASSERT_PTR_NOT_NULL_FATAL(disk);
	data = region_base(disk) + REGION_CHUNK - 512;
	for (uint32_t i = 0; i < RIG_TRANSFERS; i++) {
		iser_read(in, i, 1024);
		iser_put(in, i, data, 1024);
	}
	for (uint32_t i = 0; i < 200; i++)
		iser_respond(in, &pdus[i], OP_NOP_IN, i, NULL, 0);
	iser_settle(in);
	CU_ASSERT(in->qp->sq_most <= SEND_DEPTH);
	CU_ASSERT_EQUAL(in->rig->sent, 200);
	iser_destroy(in);
	region_destroy(disk);
}

static void a_post_that_fails_closes(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 4096);

	iser_read(in, 5, 4096);
	mock_fail("ibv_post_send", 1);
	iser_put(in, 5, b->data, 4096);
	iser_respond(in, &pdus[0], OP_NOP_IN, 1, NULL, 0);
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_EQUAL(in->rig->sent, 1);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 01 itt 5\ndone 5 canceled 0\nclosed\n");
	iser_buf_put(in, b);
	iser_destroy(in);
}

UNIT_MAIN(TEST(a_read_is_one_post), TEST(the_write_alone_ends_nothing),
	  TEST(a_residual_and_its_flags_reach_the_response), TEST(a_read_in_parts),
	  TEST(status_without_data), TEST(data_beyond_edtl_is_never_posted),
	  TEST(no_invalidation_unless_negotiated), TEST(the_private_data_says_what_we_do),
	  TEST(a_response_invalidates_its_commands_key),
	  TEST(a_command_without_a_key_is_not_invalidated), TEST(other_pdus_never_invalidate),
	  TEST(long_answers_before_full_feature_phase), TEST(long_answers_in_a_discovery_session),
	  TEST(full_feature_sends_fit_the_initiators_receives), TEST(nothing_inline),
	  TEST(one_doorbell_per_turn), TEST(a_thousand_items_in_order),
	  TEST(a_full_send_queue_goes_on), TEST(receives_are_posted_before_the_response),
	  TEST(full_feature_receives_are_posted_before_the_login_response),
	  TEST(memory_that_is_not_registered_is_copied), TEST(data_in_two_chunks),
	  TEST(two_chunks_in_every_item_do_not_overrun_the_queue), TEST(a_post_that_fails_closes),
	  TEST(nothing_registered_and_nothing_inline));
