// SPDX-License-Identifier: BSD-2-Clause
/* Down-calls from inside up-calls, and how the completion queue wakes a reactor that sleeps. */
#include "tests/unit/transport_rdma_rig.h"

static struct message m;
static struct tx_pdu pdu;

static void close_at_once(void *ctx, struct conn *conn)
{
	rig_accepted(ctx, conn);
	conn_close(conn, false);
}

/* The session does not want it: never accepted by us, closed() all the same. */
static void closed_while_it_is_announced(void)
{
	static struct conn_up up;
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();
	struct rdma_conn *c;

	up = rig_up;
	up.accepted = close_at_once;
	up.closed = iser_closed;
	in->id = mock_id_new();
	in->shard = rdma_shard_get(in->rig->r);
	rdma_lib.rdma_migrate_id(in->id, in->shard->channel);
	atomic_fetch_add(&in->rig->r->load, 1);
	c = rdma_conn_new(in->rig->r, in->id, &request, &up, in->rig);
	c->shard = rdma_shard_get(in->rig->r);
	reactor_post(in->rig->r, &c->arrive);
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_EQUAL(mock.accepts, 0);
	CU_ASSERT_EQUAL(mock.rejects, 1);
	CU_ASSERT(!mock_id_alive(in->id));
	iser_destroy(in);
}

static bool flush;

static void close_on_pdu(struct rig *rig, struct pdu *p)
{
	(void)p;
	conn_close(rig->conn, flush);
}

static void close_on_done(struct rig *rig, struct transfer *t)
{
	(void)t;
	conn_close(rig->conn, flush);
}

static void closed_from_a_pdu(void)
{
	for (int i = 0; i < 2; i++) {
		struct iser *in = iser_create();

		flush = i;
		in->rig->on_pdu = close_on_pdu;
		for (uint32_t k = 0; k < 8; k++) {
			message_command(&m, k, CMD_FINAL | CMD_WRITE, 4096, 4096);
			mock_deliver(in->qp, &m.ih, m.len);
		}
		reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
		CU_ASSERT_EQUAL(in->closed, 1);
		/* The other seven are not heard of. */
		CU_ASSERT_PTR_NULL(strstr(in->rig->log, "itt 1"));
		iser_destroy(in);
	}
}

static void closed_from_a_result(void)
{
	for (int i = 0; i < 4; i++) {
		struct iser *in = iser_create();
		struct buf *b = iser_buf(in, 16384);

		flush = i & 1;
		in->rig->on_done = close_on_done;
		if (i & 2)
			iser_read(in, 1, 16384);
		else
			iser_write(in, 1, 16384);
		for (uint32_t k = 0; k < 4; k++) {
			struct transfer *t =
				iser_transfer(in, 1, b->data + 4096 * k, 4096 * k, 4096);

			if (i & 2)
				conn_put_data(in->rig->conn, t);
			else
				conn_get_data(in->rig->conn, t);
		}
		iser_settle(in);
		reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
		CU_ASSERT_EQUAL(in->closed, 1);
		iser_buf_put(in, b);
		iser_destroy(in);
	}
}

/* The PDU's owner sends it again, or hangs up, from inside sent(). */
static unsigned int again;

static void sent_again(struct tx_pdu *p)
{
	iser_sent(p);
	if (again && again--)
		conn_send_pdu(iser_now->rig->conn, p);
	else if (iser_now->rig->conn)
		conn_close(iser_now->rig->conn, flush);
}

static void sent_again_from_inside(void)
{
	for (int i = 0; i < 2; i++) {
		struct iser *in = iser_create();

		flush = i;
		again = 1000;
		iser_respond(in, &pdu, OP_NOP_IN, 1, NULL, 0);
		pdu.sent = sent_again;
		iser_settle(in);
		reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
		CU_ASSERT_EQUAL(in->rig->sent, 1001);
		CU_ASSERT_EQUAL(in->closed, 1);
		iser_destroy(in);
	}
}

static void next_part(struct rig *rig, struct transfer *t)
{
	if (t->result != TRANSFER_OK || t->offset + t->len >= 65536)
		return;
	t->offset += t->len;
	conn_get_data(rig->conn, t);
}

static void the_next_part_from_inside_a_result(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 4096);
	struct mock_region *region;

	in->rig->on_done = next_part;
	region = iser_write(in, 1, 65536);
	iser_get(in, 1, b->data, 0, 4096);
	iser_settle(in);
	CU_ASSERT_EQUAL(region->touched, 16);
	CU_ASSERT(!memcmp(b->data, region->bytes + 61440, 4096));
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* Down-calls are legal until closed(). */
static void late_calls(void)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 4096);
	struct transfer *t;

	iser_write(in, 2, 4096);
	mock.hold_flush = true;
	conn_close(in->rig->conn, false);
	iser_turn(in);
	t = iser_get(in, 2, b->data, 0, 4096);
	conn_cancel_data(in->rig->conn, t);
	iser_put(in, 3, NULL, 0);
	iser_respond(in, &pdu, OP_NOP_IN, 1, NULL, 0);
	conn_close(in->rig->conn, true);
	conn_close(in->rig->conn, false);
	iser_turn(in);
	mock_flush_send(in->qp, UINT32_MAX);
	mock_flush_recv(in->qp, UINT32_MAX);
	iser_turn(in);
	CU_ASSERT_EQUAL(in->rig->sent, 1);
	CU_ASSERT_STRING_EQUAL(strstr(in->rig->log, "done 3"), "done 3 canceled 0\nclosed\n");
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "done 2 canceled 0\n"));
	CU_ASSERT_EQUAL(in->closed, 1);
	iser_buf_put(in, b);
	iser_destroy(in);
}

/* --- Sleeping */

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* A reactor that is about to sleep arms the queue; a completion rings its descriptor. Often enough for
 * every event to be acknowledged in batches. */
static void a_completion_wakes(void)
{
	struct iser *in = iser_create();
	struct rdma_cq *cq = rdma_conn_of(in->rig->conn)->cq;

	for (uint32_t i = 0; i < 200; i++) {
		CU_ASSERT_FALSE_FATAL(cq->poller.arm(&cq->poller));
		CU_ASSERT(!readable(cq->channel->fd));
		message_plain(&m, OP_NOP_OUT, i, 0);
		mock_deliver(in->qp, &m.ih, m.len);
		CU_ASSERT_FATAL(readable(cq->channel->fd));
		CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "");
		cq->wake.done(&cq->wake, POLLIN, IORING_CQE_F_MORE);
		cq->polling = false; /* a virtual reactor polls no descriptor */
		iser_turn(in);
		CU_ASSERT_PTR_NOT_NULL_FATAL(strstr(rig_log(in->rig), "pdu 00"));
	}
	iser_destroy(in);
}

/* What came just before makes no event: then there is no sleep. */
static void a_completion_before_arming_is_not_slept_over(void)
{
	struct iser *in = iser_create();
	struct rdma_cq *cq = rdma_conn_of(in->rig->conn)->cq;

	message_plain(&m, OP_NOP_OUT, 1, 0);
	mock_deliver(in->qp, &m.ih, m.len);
	CU_ASSERT(cq->poller.arm(&cq->poller));
	iser_turn(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 00 itt 1\n");
	CU_ASSERT(!cq->poller.arm(&cq->poller));
	iser_destroy(in);
}

UNIT_MAIN(TEST(closed_while_it_is_announced), TEST(closed_from_a_pdu), TEST(closed_from_a_result),
	  TEST(sent_again_from_inside), TEST(the_next_part_from_inside_a_result), TEST(late_calls),
	  TEST(a_completion_wakes), TEST(a_completion_before_arming_is_not_slept_over));
