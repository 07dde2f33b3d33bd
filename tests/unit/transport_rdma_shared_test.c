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

/* --- One that takes the receives of others */

enum { OTHERS = 5 };

static uint32_t flood(struct mock_qp *qp, uint32_t n)
{
	uint32_t sent = 0;

	message_plain(&m, OP_NOP_OUT, 1, 0);
	while (sent < n && mock_deliver(qp, &m.ih, m.len) == MOCK_DELIVERED)
		sent++;
	return sent;
}

/* Whoever sends more in one turn than it may have under way is closed; the others go on. */
static void a_flooder_is_closed(void)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct iser *in;
	struct mock_qp *first;
	uint32_t posted, quota;

	setenv("RISER_RDMA_SRQ", "on", 1);
	params.command_window = 4;
	in = iser_with(&request, &params);
	first = in->qp;
	quota = 2 * 2 * (params.command_window + UNEXPECTED_MAX); /* one Data-Out for each */
	for (int i = 0; i < OTHERS; i++)
		iser_another(in, &params);
	posted = mock_recv_count(in->qp);
	CU_ASSERT_FATAL(posted > quota);
	/* What it may have: nothing happens, however often. */
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(flood(first, quota), quota);
		iser_turn(in);
		(void)rig_log(in->rig);
		CU_ASSERT_EQUAL(mock_recv_count(in->qp), posted);
	}
	CU_ASSERT_EQUAL(in->closed, 0);
	CU_ASSERT_EQUAL(flood(first, quota + 1), quota + 1);
	iser_turn(in);
	in->qp = mock_qp_latest();
	reactor_advance(in->rig->r, 2 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	/* All receives are back. */
	in->qp = mock_qp_latest();
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), posted);
	(void)rig_log(in->rig);
	message_plain(&m, OP_NOP_OUT, 2, 0);
	CU_ASSERT_EQUAL(mock_deliver(in->qp, &m.ih, m.len), MOCK_DELIVERED);
	iser_turn(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 00 itt 2\n");
	CU_ASSERT_EQUAL(mock.qps, OTHERS);
	iser_close_all(in);
	iser_destroy(in);
}

/* What comes before ESTABLISHED is put aside, and has its bound over all turns. */
static void parked_receives_count(void)
{
	struct conn_params params = iser_params();
	struct iser *in = create();
	struct rdma_request request = iser_request();
	uint32_t before = mock_recv_count(in->qp), with;

	rdma_shard_put(in->shard);
	iser_arrive(in, &request);
	with = mock_recv_count(in->qp);
	CU_ASSERT_EQUAL(with, before + RECV_LOGIN);
	for (int i = 0; i < 2 * RECV_LOGIN; i++) {
		CU_ASSERT_EQUAL(flood(in->qp, 1), 1);
		iser_turn(in);
		CU_ASSERT_EQUAL(in->qp->state, MOCK_RTS);
	}
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), with - 2 * RECV_LOGIN);
	CU_ASSERT_EQUAL(flood(in->qp, 1), 1);
	reactor_advance(in->rig->r, 2 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "closed\n");
	/* Those that were put aside are back as well. */
	in->qp = mock_qp_latest();
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), with);
	iser_another(in, &params);
	CU_ASSERT(mock_recv_count(in->qp) >= 2 * before);
	iser_close_all(in);
	iser_destroy(in);
}

/* Put aside and then closed by somebody else, with no word of the device. */
static void receives_of_a_connection_that_never_was(void)
{
	struct iser *in = create();
	struct rdma_request request = iser_request();
	uint32_t with;

	rdma_shard_put(in->shard);
	iser_arrive(in, &request);
	with = mock_recv_count(in->qp);
	CU_ASSERT_EQUAL(flood(in->qp, 2), 2);
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), with - 2);
	CU_ASSERT_EQUAL(flood(in->qp, 1), 1); /* nobody has looked at this one */
	conn_close(in->rig->conn, false);
	reactor_advance(in->rig->r, 2 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_EQUAL(mock_recv_count(mock_qp_latest()), with);
	in->qp = mock_qp_latest();
	iser_close_all(in);
	iser_destroy(in);
}

/* What the device did not take is posted the next time; nothing is posted twice or forgotten. */
static void a_post_that_fails_half_way(void)
{
	for (uint32_t taken = 0; taken < 12; taken += 4) {
		struct conn_params params = iser_params();
		struct iser *in = create();
		struct mock_qp *first = in->qp;
		uint32_t posted;

		iser_another(in, &params);
		posted = mock_recv_count(in->qp);
		CU_ASSERT_EQUAL(flood(first, 12), 12);
		mock.posted_before_failure = taken;
		mock_fail("ibv_post_srq_recv", 1);
		iser_turn(in);
		reactor_advance(in->rig->r, 2 * NSEC_PER_SEC);
		CU_ASSERT(in->closed <= 1); /* the one that it happened to */
		in->qp = mock_qp_latest();
		(void)rig_log(in->rig);
		for (uint32_t i = 0; i < 3 * posted; i++) {
			CU_ASSERT_EQUAL_FATAL(flood(in->qp, 1), 1);
			iser_turn(in);
			CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 00 itt 1\n");
		}
		CU_ASSERT_EQUAL(mock_recv_count(in->qp), posted);
		iser_close_all(in);
		iser_destroy(in);
	}
}

/* A queue of its own that the device does not take receives for any more: the connection ends, and
 * with it those that were posted and those that were not. */
static void a_post_on_its_own_queue_that_fails_half_way(void)
{
	for (uint32_t taken = 0; taken < 12; taken += 4) {
		struct rdma_request request = iser_request();
		struct conn_params params = iser_params();
		struct iser *in;

		setenv("RISER_RDMA_SRQ", "off", 1);
		in = iser_with(&request, &params);
		CU_ASSERT_EQUAL(mock.srqs, 0);
		CU_ASSERT_EQUAL(flood(in->qp, 12), 12);
		mock.posted_before_failure = taken;
		mock_fail("ibv_post_recv", 1);
		reactor_advance(in->rig->r, 2 * NSEC_PER_SEC);
		CU_ASSERT_EQUAL(in->closed, 1);
		CU_ASSERT_EQUAL(mock.busy_destroyed, 0);
		iser_destroy(in);
	}
}

UNIT_MAIN(TEST(a_pdu_reaches_its_connection), TEST(receives_come_back), TEST(a_short_send_closes),
	  TEST(the_last_receive), TEST(a_flooder_is_closed), TEST(parked_receives_count),
	  TEST(receives_of_a_connection_that_never_was), TEST(a_post_that_fails_half_way),
	  TEST(a_post_on_its_own_queue_that_fails_half_way));
