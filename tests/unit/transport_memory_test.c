// SPDX-License-Identifier: BSD-2-Clause
/* The in-process transport keeps the same promises as a wire. */
#include "transport/memory.h"

#include "tests/unit/transport_rig.h"

struct counted {
	struct tx_pdu pdu;
	unsigned int sent;
};

static void sent(struct tx_pdu *pdu)
{
	container_of(pdu, struct counted, pdu)->sent++;
}

static struct memory_peer *connect_to(struct rig *rig, const struct conn_params *params)
{
	struct memory_peer *peer = memory_connect(rig->r, &rig_up, rig);

	if (!peer)
		abort();
	CU_ASSERT_PTR_EQUAL(memory_conn(peer), rig->conn);
	if (params)
		conn_apply_keys(rig->conn, params);
	return peer;
}

static void end(struct rig *rig, struct memory_peer *peer)
{
	memory_disconnect(peer);
	rig_turn(rig);
	CU_ASSERT_PTR_NULL(memory_conn(peer));
	CU_ASSERT_PTR_NULL(memory_receive(peer));
	memory_free(peer);
	rig_free_data(rig);
	rig_destroy(rig);
}

static void pdus_in_and_out(void)
{
	struct rig *rig = rig_create();
	struct memory_peer *peer = connect_to(rig, NULL);
	union pdu_header h = { .bhs = { .opcode = OP_LOGIN_REQUEST } };
	struct counted c = { 0 };
	struct memory_record *r;
	char want[100];

	h.bhs.itt = be32_of(3);
	memory_send(peer, &h, NULL, 0, "hello", 5);
	snprintf(want, sizeof(want), "pdu 03 itt 3 data 5 %x\n", rig_sum("hello", 5));
	CU_ASSERT_STRING_EQUAL(rig_log(rig), want);
	c.pdu.h.bhs.opcode = OP_LOGIN_RESPONSE;
	c.pdu.data = "answer";
	c.pdu.data_len = 6;
	c.pdu.sent = sent;
	conn_send_pdu(rig->conn, &c.pdu);
	CU_ASSERT_EQUAL(c.sent, 0);
	rig_turn(rig);
	CU_ASSERT_EQUAL(c.sent, 1);
	r = memory_receive(peer);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	CU_ASSERT_EQUAL(r->kind, MEMORY_PDU);
	CU_ASSERT_EQUAL(be24_get(r->h.bhs.dlength), 6);
	CU_ASSERT_EQUAL(memcmp(r->data, "answer", 6), 0);
	free(r);
	end(rig, peer);
}

static void keep(struct rig *rig, struct pdu *pdu)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(pdu->buf);
	CU_ASSERT(pdu->buf->size >= 10000);
	buf_put(rig->r, pdu->buf);
	pdu->buf = NULL;
}

static void data_both_ways(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_create();
	struct memory_peer *peer = connect_to(rig, &params);
	union pdu_header h = { .scsi_command = { .opcode = OP_SCSI_COMMAND } };
	struct memory_record *r;
	struct transfer *t;
	uint32_t ttt;

	rig->on_pdu = keep;
	h.scsi_command.edtl = be32_of(10000);
	memory_send(peer, &h, NULL, 0, "immediate", 9);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(rig), "data 9"));

	t = rig_transfer(rig, 4, 100, 300000);
	rig_pattern(t->data, t->len, 1);
	t->with_status = true;
	t->h.data_in.statsn = be32_of(9);
	conn_put_data(rig->conn, t);
	r = memory_receive(peer);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	CU_ASSERT_EQUAL(r->kind, MEMORY_DATA_IN);
	CU_ASSERT_EQUAL(r->h.data_in.flags, PDU_FINAL | DATA_IN_STATUS);
	CU_ASSERT_EQUAL(be32_get(r->h.data_in.buffer_offset), 100);
	CU_ASSERT_EQUAL(r->len, 300000);
	CU_ASSERT_EQUAL(memcmp(r->data, t->data, r->len), 0);
	free(r);
	CU_ASSERT_STRING_EQUAL(rig->log, "");
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 4 ok 0\n");

	t = rig_get(rig, 5, 10);
	r = memory_receive(peer);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	CU_ASSERT_EQUAL(r->kind, MEMORY_R2T);
	CU_ASSERT_EQUAL(be32_get(r->h.r2t.desired_len), 10);
	ttt = be32_get(r->h.r2t.ttt);
	free(r);
	CU_ASSERT_FALSE(memory_data_out(peer, 6, ttt, 0, "x", 1, true));
	CU_ASSERT_FALSE(memory_data_out(peer, 5, TAG_NONE, 0, "x", 1, true));
	CU_ASSERT(memory_data_out(peer, 5, ttt, 0, "12345", 5, false));
	CU_ASSERT(memory_data_out(peer, 5, ttt, 5, "67890", 5, true));
	CU_ASSERT_STRING_EQUAL(rig->log, "");
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 5 ok 10\n");
	CU_ASSERT_EQUAL(memcmp(t->data, "1234567890", 10), 0);
	end(rig, peer);
}

static void results_of_get_data(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_create();
	struct memory_peer *peer = connect_to(rig, &params);
	struct transfer *t;

	for (uint32_t i = 0; i < 3; i++) {
		t = rig_transfer(rig, i, 0, 10);
		t->unsolicited = true;
		conn_get_data(rig->conn, t);
	}
	CU_ASSERT_PTR_NULL(memory_receive(peer));
	CU_ASSERT(memory_data_out(peer, 0, TAG_NONE, 0, "abc", 3, true));
	CU_ASSERT(memory_data_out(peer, 1, TAG_NONE, 1, "abc", 3, true));
	CU_ASSERT(memory_data_out(peer, 2, TAG_NONE, 0, "0123456789a", 11, true));
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 0 ok 3\ndone 1 digest 0\ndone 2 short 0\n");
	rig_get(rig, 7, 10);
	CU_ASSERT(memory_finish(peer, 7, TRANSFER_UNEXPECTED));
	CU_ASSERT_FALSE(memory_finish(peer, 7, TRANSFER_OK));
	t = rig_get(rig, 8, 10);
	conn_cancel_data(rig->conn, t);
	conn_cancel_data(rig->conn, t);
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 7 unexpected 0\ndone 8 canceled 0\n");
	free(memory_receive(peer));
	free(memory_receive(peer));
	end(rig, peer);
}

static void disconnect_returns_everything(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_create();
	struct memory_peer *peer = connect_to(rig, &params);
	union pdu_header h = { .bhs = { .opcode = OP_NOP_OUT } };
	struct counted c = { .pdu = { .sent = sent } };

	rig_get(rig, 5, 10);
	memory_disconnect(peer);
	CU_ASSERT(rig->conn->closing);
	conn_send_pdu(rig->conn, &c.pdu);
	rig_get(rig, 6, 10);
	memory_send(peer, &h, NULL, 0, NULL, 0);
	CU_ASSERT_STRING_EQUAL(rig->log, "");
	rig_turn(rig);
	CU_ASSERT_EQUAL(c.sent, 1);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 6 canceled 0\ndone 5 canceled 0\nclosed\n");
	free(memory_receive(peer)); /* the R2T from before */
	end(rig, peer);
}

static void look_at_room(struct rig *rig, struct pdu *pdu)
{
	CU_ASSERT_EQUAL(pdu->remote.opaque[3], 7);
	CU_ASSERT_PTR_NOT_NULL_FATAL(pdu->buf);
	/* The first burst, and no more than what rounding up makes of it. */
	CU_ASSERT(pdu->buf->size >= 4096 && pdu->buf->size < 65536);
	(void)rig;
}

/* What a transport that moves data by itself offers, limits and hands through. */
static void looks_like_a_datamover(void)
{
	static const struct memory_datamover how = {
		.max_recv_dsl = 16384,
		.max_unexpected = 40,
		.max_ahs = 64,
		.max_data = 128,
	};
	static const struct remote_data remote = { { 0, 0, 0, 7 } };
	struct conn_params params = rig_params();
	struct conn_params can = {
		.header_digest = true,
		.error_recovery_level = 2,
		.max_connections = 4,
	};
	struct rig *rig = rig_create();
	struct memory_peer *peer = connect_to(rig, NULL);
	union pdu_header h = { .scsi_command = { .opcode = OP_SCSI_COMMAND } };

	memory_be_datamover(peer, &how);
	conn_offer_keys(rig->conn, &can);
	CU_ASSERT_TRUE(can.rdma_extensions && can.needs_extensions);
	CU_ASSERT_FALSE(can.header_digest);
	CU_ASSERT_EQUAL(can.max_recv_dsl, 16384);
	CU_ASSERT_EQUAL(can.max_unexpected, 40);
	CU_ASSERT_EQUAL(can.max_ahs, 64);
	CU_ASSERT_EQUAL(can.error_recovery_level, 0);
	CU_ASSERT_EQUAL(can.max_connections, 1);
	CU_ASSERT_EQUAL(rig->conn->max_full_feature_data, 0);
	params.first_burst = 4096;
	conn_apply_keys(rig->conn, &params);
	CU_ASSERT_EQUAL(rig->conn->max_full_feature_data, 128);
	memory_set_remote(peer, &remote);
	rig->on_pdu = look_at_room;
	h.scsi_command.edtl = be32_of(1 << 20);
	memory_send(peer, &h, NULL, 0, "immediate", 9);
	rig_log(rig);
	end(rig, peer);
}

/* Error recovery: what asks for a DataACK and what answers a SNACK is told from the rest. */
static void data_in_again(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_create();
	struct memory_peer *peer = connect_to(rig, &params);
	struct memory_record *r;

	for (uint32_t from = 4; from < 8; from++) {
		struct transfer *t = rig_transfer(rig, 4, 0, 10);

		t->sn = 5;
		t->ack = t->part = true;
		t->h.data_in.ttt = be32_of(0xabc);
		t->from = from;
		t->to = from == 4 ? 5 : 7;
		conn_put_data(rig->conn, t);
		CU_ASSERT_EQUAL(t->sn, 6);
		rig_turn(rig);
		CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 4 ok 0\n");
		r = memory_receive(peer);
		CU_ASSERT_EQUAL(r != NULL, from == 5);
		if (!r)
			continue;
		CU_ASSERT_EQUAL(r->h.data_in.flags, DATA_IN_ACK);
		CU_ASSERT_EQUAL(be32_get(r->h.data_in.ttt), 0xabc);
		CU_ASSERT_EQUAL(be32_get(r->h.data_in.datasn), 5);
		CU_ASSERT(r->from == 5 && r->to == 7);
		free(r);
	}
	end(rig, peer);
}

static void r2ts_again(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_create();
	struct memory_peer *peer = connect_to(rig, &params);
	struct transfer *t = rig_transfer(rig, 5, 0, 10);
	struct memory_record *first, *again;

	t->sn = 3;
	conn_get_data(rig->conn, t);
	first = memory_receive(peer);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first);
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 6, 3, 1));
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 4, 0));
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 0, 3));
	CU_ASSERT_PTR_NULL(memory_receive(peer));
	for (uint32_t count = 0; count < 2; count++) {
		CU_ASSERT(conn_resend_r2ts(rig->conn, 5, 3, count));
		again = memory_receive(peer);
		CU_ASSERT_PTR_NOT_NULL_FATAL(again);
		CU_ASSERT_EQUAL(again->kind, MEMORY_R2T);
		CU_ASSERT_EQUAL(memcmp(&again->h, &first->h, BHS_LEN), 0);
		free(again);
	}
	CU_ASSERT_EQUAL(rig->stamps, 2);
	CU_ASSERT(memory_data_out(peer, 5, be32_get(first->h.r2t.ttt), 0, "1234567890", 10, true));
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 3, 0));
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 5 ok 10\n");
	free(first);
	end(rig, peer);
}

UNIT_MAIN(TEST(pdus_in_and_out), TEST(data_both_ways), TEST(results_of_get_data),
	  TEST(disconnect_returns_everything), TEST(looks_like_a_datamover), TEST(data_in_again),
	  TEST(r2ts_again));
