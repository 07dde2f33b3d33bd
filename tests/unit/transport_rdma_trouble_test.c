// SPDX-License-Identifier: BSD-2-Clause
/* Devices, peers and memory that make trouble while something else goes on. */
#include "tests/unit/transport_rdma_rig.h"

static struct message m;

/* The connection was closing when the device went: not later than 200 ms from then. */
static void the_device_goes_while_it_drains(void)
{
	struct iser *in = iser_create();

	mock.hold_flush = true;
	conn_close(in->rig->conn, false);
	iser_turn(in);
	iser_event(in, RDMA_CM_EVENT_DEVICE_REMOVAL);
	reactor_advance(in->rig->r, (DRAIN_LOST_MS + 1) * NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	reactor_advance(in->rig->r, 2 * DRAIN_SECONDS * NSEC_PER_SEC);
	iser_destroy(in);
}

/* More than one turn handles: what counts is how much of it has no answer. */
static void a_flooder_with_the_default_window(void)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct iser *in;
	struct mock_qp *first;
	setenv("RISER_RDMA_SRQ", "on", 1);
	params.command_window = 128;
	in = iser_with(&request, &params);
	first = in->qp;
	for (int i = 0; i < 3; i++)
		iser_another(in, &params);
	/* 640 is the quota, and 512 receives are there. */
	message_plain(&m, OP_NOP_OUT, 1, 0);
	for (int i = 0; i < 20; i++) {
		while (mock_deliver(first, &m.ih, m.len) == MOCK_DELIVERED)
			;
		reactor_turn(in->rig->r);
		(void)rig_log(in->rig);
	}
	reactor_advance(in->rig->r, 2 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	iser_close_all(in);
	iser_destroy(in);
}

/* A queue pair that the device puts into error by itself (a bad request of the peer): no receive
 * comes back that says so. */
static void an_error_of_an_idle_shared_queue_pair(void)
{
	struct iser *in;
	struct rdma_cq *cq;

	setenv("RISER_RDMA_SRQ", "on", 1);
	in = iser_create();
	cq = rdma_conn_of(in->rig->conn)->cq;
	mock_async(IBV_EVENT_QP_ACCESS_ERR, in->qp);
	mock_qp_error(in->qp); /* and LAST_WQE_REACHED */
	cq->device.done(&cq->device, POLLIN, IORING_CQE_F_MORE);
	cq->watching = false;
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	iser_close_all(in);
	iser_destroy(in);
}

/* Others have all buffers at the moment, and this connection has nothing under way: it waits. */
static void a_copy_waits_for_others(void)
{
	struct iser *in = iser_create();
	struct region *disk = region_create(REGION_CHUNK, false);
	struct buf *hoard;

	mock_forbid(region_base(disk), REGION_CHUNK);
	iser_read(in, 5, 1 << 20);
	hoard = iser_hoard(in);
	iser_put(in, 5, region_base(disk), 1 << 20);
	iser_turn(in);
	iser_hoard_put(in, hoard);
	iser_settle(in);
	CU_ASSERT_EQUAL(in->closed, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(in->rig), "done 5 ok"));
	iser_destroy(in);
	region_destroy(disk);
}

UNIT_MAIN(TEST(a_copy_waits_for_others), TEST(the_device_goes_while_it_drains),
	  TEST(a_flooder_with_the_default_window), TEST(an_error_of_an_idle_shared_queue_pair));
