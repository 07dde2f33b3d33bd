// SPDX-License-Identifier: BSD-2-Clause
/* Receives that connections of a reactor share, as hardware does it. */
#include "tests/unit/transport_rdma_rig.h"

static struct message m;

static struct iser *create(void)
{
	setenv("RISER_RDMA_SRQ", "on", 1);
	return iser_create();
}

/* Whatever the device has to say. */
static void device_events(struct iser *in, struct rdma_cq *cq)
{
	cq->device.done(&cq->device, POLLIN, IORING_CQE_F_MORE);
	cq->watching = false; /* a virtual reactor polls no descriptor */
	iser_turn(in);
}

static void a_pdu_reaches_its_connection(void)
{
	struct iser *in = create();
	struct rdma_request request = iser_request();
	struct mock_qp *first = in->qp;
	struct conn *conn = in->rig->conn;

	CU_ASSERT_EQUAL(mock.srqs, 1);
	iser_arrive(in, &request);
	rdma_shard_put(in->shard); /* taken twice */
	iser_establish(in);
	CU_ASSERT_EQUAL(mock.srqs, 1);
	message_plain(&m, OP_NOP_OUT, 1, 0);
	mock_deliver(first, &m.ih, m.len);
	message_plain(&m, OP_LOGIN_REQUEST, 2, 0);
	mock_deliver(in->qp, &m.ih, m.len);
	iser_turn(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 00 itt 1\npdu 03 itt 2\n");
	CU_ASSERT_EQUAL(atomic_load(&conn->pdus_in), 1);
	conn_close(conn, false);
	reactor_advance(in->rig->r, 2 * DRAIN_SECONDS * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	/* The other one goes on. */
	in->qp = mock_qp_latest();
	message_plain(&m, OP_LOGIN_REQUEST, 3, 0);
	CU_ASSERT_EQUAL(mock_deliver(in->qp, &m.ih, m.len), MOCK_DELIVERED);
	iser_turn(in);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(in->rig), "pdu 03 itt 3"));
	mock_event(in->id, RDMA_CM_EVENT_DISCONNECTED, 0);
	iser_events(in);
	reactor_advance(in->rig->r, 2 * DRAIN_SECONDS * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 2);
	iser_destroy(in);
}

/* A burst is taken and posted again. */
static void receives_come_back(void)
{
	struct iser *in = create();
	uint32_t posted = mock_recv_count(in->qp);

	CU_ASSERT(posted >= ISER_WINDOW + UNEXPECTED_MAX);
	for (uint32_t i = 0; i < 3 * posted; i++) {
		message_command(&m, i, CMD_FINAL | CMD_WRITE, 512, 512);
		CU_ASSERT_EQUAL_FATAL(mock_deliver(in->qp, &m.ih, m.len), MOCK_DELIVERED);
		if (i % 16 == 15)
			iser_turn(in);
		(void)rig_log(in->rig);
	}
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), posted);
	iser_destroy(in);
}

static void a_short_send_closes(void)
{
	for (uint32_t len = 0; len < HEADERS; len += 5) {
		struct iser *in = create();

		message_plain(&m, OP_NOP_OUT, 7, 0);
		mock_deliver(in->qp, &m.ih, len);
		reactor_advance(in->rig->r, 2 * DRAIN_SECONDS * NSEC_PER_SEC);
		CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "closed\n");
		iser_destroy(in);
	}
}

/* The device says when the last receive is back; without a word it takes a little longer. */
static void the_last_receive(void)
{
	for (int says = 0; says < 2; says++) {
		struct iser *in = create();
		struct rdma_cq *cq = rdma_conn_of(in->rig->conn)->cq;
		struct buf *b = iser_buf(in, 4096);

		iser_read(in, 5, 4096);
		iser_put(in, 5, b->data, 4096);
		conn_close(in->rig->conn, false);
		if (says)
			device_events(in, cq);
		reactor_advance(in->rig->r, (says ? 1 : 2 * DRAIN_SECONDS) * NSEC_PER_SEC);
		CU_ASSERT_EQUAL(in->closed, 1);
		CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "done 5 canceled 0\nclosed\n"));
		iser_buf_put(in, b);
		iser_destroy(in);
	}
}

UNIT_MAIN(TEST(a_pdu_reaches_its_connection), TEST(receives_come_back), TEST(a_short_send_closes),
	  TEST(the_last_receive));
