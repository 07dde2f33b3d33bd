// SPDX-License-Identifier: BSD-2-Clause
/* Hello and HelloReply (RFC 7145 5.1.2.2, 9.3, 9.4), which no initiator in the field sends. */
#include "tests/unit/transport_rdma_rig.h"

static struct message m;

static struct iser *established(void)
{
	struct iser *in = iser_begin();
	struct rdma_request request = iser_request();

	iser_arrive(in, &request);
	iser_establish(in);
	return in;
}

static void send_hello(struct iser *in, unsigned int min, unsigned int max, uint16_t ird)
{
	struct iser_hello hello = {
		.flags = ISER_HELLO,
		.versions = (uint8_t)(max << 4 | min),
		.ird = be16_of(ird),
	};

	mock_deliver(in->qp, &hello, sizeof(hello));
	iser_settle(in);
}

/* The next message is a HelloReply. */
static struct iser_hello_reply reply_to(struct iser *in)
{
	static const uint8_t zeros[24];
	struct iser_hello_reply reply = { 0 };
	struct mock_message *msg = in->qp ? mock_message_take(in->qp) : NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(msg);
	CU_ASSERT_EQUAL_FATAL(msg->len, sizeof(reply));
	CU_ASSERT(!msg->invalidates);
	memcpy(&reply, msg->bytes, sizeof(reply));
	CU_ASSERT(!memcmp(reply.reserved, zeros, sizeof(zeros)));
	free(msg);
	return reply;
}

/* Nothing but the end was heard of it. */
static void check_dropped(struct iser *in)
{
	reactor_advance(in->rig->r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "closed\n");
	iser_destroy(in);
}

static void versions_in_common(void)
{
	static const struct {
		unsigned int min, max, current;
	} cases[] = {
		{ 10, 10, 10 }, { 1, 1, 1 }, { 0, 1, 1 },    { 1, 10, 10 },
		{ 0, 15, 10 },	{ 1, 9, 1 }, { 10, 15, 10 },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		struct iser *in = established();
		struct iser_hello_reply reply;

		send_hello(in, cases[i].min, cases[i].max, ISER_ORD);
		reply = reply_to(in);
		CU_ASSERT_EQUAL(reply.flags, ISER_HELLO_REPLY);
		CU_ASSERT_EQUAL(reply.versions >> 4, ISER_VERSION);
		CU_ASSERT_EQUAL(reply.versions & 0x0f, cases[i].current);
		CU_ASSERT_STRING_EQUAL(rig_log(in->rig), ""); /* not a PDU */
		message_plain(&m, OP_LOGIN_REQUEST, 3, 0);
		iser_send(in, &m);
		CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 03 itt 3\n");
		iser_destroy(in);
	}
}

/* HelloReply with REJ, and the connection ends when the initiator has had time to read it. */
static void no_version_in_common(void)
{
	static const struct {
		unsigned int min, max;
	} cases[] = { { 2, 9 }, { 11, 15 }, { 0, 0 }, { 10, 1 }, { 15, 0 } };

	for (size_t i = 0; i < array_size(cases); i++) {
		struct iser *in = established();
		struct iser_hello_reply reply;

		send_hello(in, cases[i].min, cases[i].max, ISER_ORD);
		reply = reply_to(in);
		CU_ASSERT_EQUAL(reply.flags, ISER_HELLO_REPLY | ISER_HELLO_REPLY_REJECT);
		CU_ASSERT_EQUAL(reply.versions >> 4, ISER_VERSION);
		CU_ASSERT_EQUAL(in->closed, 0);
		message_plain(&m, OP_LOGIN_REQUEST, 3, 0);
		iser_send(in, &m);
		reactor_advance(in->rig->r, FLUSH_SECONDS * NSEC_PER_SEC);
		CU_ASSERT_EQUAL(in->closed, 1);
		CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "closed\n");
		iser_destroy(in);
	}
}

/* What both can do, and no initiator can raise what its connect request has said. */
static void the_depth_is_the_lower_one(void)
{
	static const struct {
		uint16_t ird, ord;
	} cases[] = { { 1, 1 }, { 3, 3 }, { 4, 4 }, { 5, 4 }, { 0xffff, 4 } };

	for (size_t i = 0; i < array_size(cases); i++) {
		struct conn_params params = iser_params();
		struct iser *in = established();
		struct buf *b = iser_buf(in, 16 * 512);

		send_hello(in, 10, 10, cases[i].ird);
		CU_ASSERT_EQUAL(be16_get(reply_to(in).ord), cases[i].ord);
		conn_apply_keys(in->rig->conn, &params);
		iser_write(in, 5, 16 * 512);
		for (uint32_t n = 0; n < 16; n++)
			iser_get(in, 5, b->data + n * 512, n * 512, 512);
		iser_settle(in);
		CU_ASSERT_EQUAL(in->qp->reads_most, cases[i].ord);
		iser_buf_put(in, b);
		iser_destroy(in);
	}
}

/* Nothing could be written with none; a field that was left out does not mean that. */
static void a_depth_of_nothing(void)
{
	struct iser *in = established();

	send_hello(in, 10, 10, 0);
	CU_ASSERT_EQUAL(be16_get(reply_to(in).ord), ISER_ORD);
	iser_destroy(in);
}

static void without_inline_data(void)
{
	struct iser *in = iser_begin();
	struct rdma_request request = iser_request();

	mock.max_inline = 0;
	iser_arrive(in, &request);
	iser_establish(in);
	send_hello(in, 10, 10, 2);
	CU_ASSERT_EQUAL(be16_get(reply_to(in).ord), 2);
	iser_destroy(in);
}

static void a_second_hello_closes(void)
{
	struct iser *in = established();

	send_hello(in, 10, 10, 2);
	send_hello(in, 10, 10, 2);
	check_dropped(in);
}

static void a_hello_after_a_pdu_closes(void)
{
	struct iser *in = established();

	message_plain(&m, OP_LOGIN_REQUEST, 3, 0);
	iser_send(in, &m);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 03 itt 3\n");
	send_hello(in, 10, 10, 2);
	check_dropped(in);
}

static void a_hello_in_full_feature_phase_closes(void)
{
	struct iser *in = iser_create();

	send_hello(in, 10, 10, 2);
	check_dropped(in);
}

static void a_hello_of_another_length_closes(void)
{
	struct iser_hello hello[2] = { { .flags = ISER_HELLO, .versions = 0xaa } };

	for (uint32_t len = 1; len < sizeof(hello); len++) {
		struct iser *in;

		if (len == sizeof(hello[0]))
			continue;
		in = established();
		mock_deliver(in->qp, hello, len);
		check_dropped(in);
	}
}

UNIT_MAIN(TEST(versions_in_common), TEST(no_version_in_common), TEST(the_depth_is_the_lower_one),
	  TEST(a_depth_of_nothing), TEST(without_inline_data), TEST(a_second_hello_closes),
	  TEST(a_hello_after_a_pdu_closes), TEST(a_hello_in_full_feature_phase_closes),
	  TEST(a_hello_of_another_length_closes));
