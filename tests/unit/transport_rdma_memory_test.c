// SPDX-License-Identifier: BSD-2-Clause
/* Receives of many connections in a small slab, and the times a lost device gets. */
#include "tests/unit/transport_rdma_rig.h"

static struct message m;

/* Receives that the connections get that come in time. */
enum { FULL = ISER_WINDOW + UNEXPECTED_MAX };

static void check_works(struct iser *in, uint32_t posted)
{
	struct mock_region *region;
	struct buf *b = iser_buf(in, 4096);

	(void)rig_log(in->rig);
	for (uint32_t i = 0; i < 3 * posted; i++) {
		message_command(&m, i, CMD_FINAL | CMD_WRITE, 8192, 8192);
		CU_ASSERT_EQUAL_FATAL(iser_send(in, &m), MOCK_DELIVERED);
		CU_ASSERT_PTR_NULL(strstr(rig_log(in->rig), "dropped"));
	}
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), posted);
	/* A burst of more than it has is tried again by the device. */
	message_plain(&m, OP_NOP_OUT, 1, 0);
	for (uint32_t i = 0; i < posted; i++)
		CU_ASSERT_EQUAL(mock_deliver(in->qp, &m.ih, m.len), MOCK_DELIVERED);
	CU_ASSERT_EQUAL(mock_deliver(in->qp, &m.ih, m.len), MOCK_RNR);
	CU_ASSERT_EQUAL(in->qp->state, MOCK_RTS);
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), posted);
	region = iser_write(in, 99, 4096);
	iser_get(in, 99, b->data, 0, 4096);
	iser_settle(in);
	CU_ASSERT(!memcmp(b->data, region->bytes, 4096));
	iser_buf_put(in, b);
}

/* Half of the buffers and no more: the late ones have few receives, and work. */
static void receives_take_half_of_the_memory(void)
{
	struct conn_params params = iser_params();
	struct iser *in = iser_create();
	uint32_t share = (uint32_t)(buf_budget(in->rig->r) / 2 / RECV_DATA), posted = FULL;
	uint32_t late = 4, conns = share / FULL + late;

	CU_ASSERT_EQUAL(mock_recv_count(in->qp), FULL);
	for (uint32_t i = 1; i < conns; i++) {
		uint32_t n;

		iser_another(in, &params);
		n = mock_recv_count(in->qp);
		posted += n;
		CU_ASSERT(i < share / FULL - 1 ? n == FULL : n >= RECV_FEW);
	}
	CU_ASSERT(mock_recv_count(in->qp) < FULL);
	CU_ASSERT(posted >= share && posted <= share + late * (RECV_FEW + RECV_LOGIN));
	check_works(in, mock_recv_count(in->qp));
	CU_ASSERT_EQUAL(in->closed, 0);
	iser_close_all(in);
	CU_ASSERT_EQUAL(in->closed, conns);
	CU_ASSERT_EQUAL(slab_in_use(in->rig->slab), 0);
	/* What they had is there for others. */
	iser_another(in, &params);
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), FULL);
	iser_destroy(in);
}

static void without_even_a_few_it_closes(void)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct iser *in = iser_begin();
	struct buf *hoard;

	iser_arrive(in, &request);
	iser_establish(in);
	hoard = iser_hoard(in);
	conn_apply_keys(in->rig->conn, &params);
	reactor_advance(in->rig->r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL_FATAL(in->closed, 1);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "closed\n");
	iser_hoard_put(in, hoard);
	/* A discovery session needs fewer. */
	params.rdma_extensions = false;
	iser_another(in, &params);
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), RECV_DISCOVERY);
	iser_destroy(in);
}

/* --- A device that is gone does not give the markers back */

static void check_drain(enum rdma_cm_event_type event, uint64_t ms)
{
	struct iser *in = iser_create();
	struct buf *b = iser_buf(in, 4096);

	mock.hold_flush = true;
	iser_write(in, 5, 4096);
	iser_get(in, 5, b->data, 0, 4096);
	iser_turn(in);
	iser_event(in, event);
	reactor_advance(in->rig->r, (ms - 1) * NSEC_PER_MSEC);
	CU_ASSERT_STRING_EQUAL(in->rig->log, "pdu 01 itt 5\n");
	CU_ASSERT_EQUAL(in->closed, 0);
	reactor_advance(in->rig->r, 2 * NSEC_PER_MSEC);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 01 itt 5\ndone 5 canceled 0\nclosed\n");
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_EQUAL(mock.busy_destroyed, 1);
	CU_ASSERT_EQUAL(mock.pds + mock.mrs + mock.cqs, 0);
	iser_buf_put(in, b);
	iser_destroy(in);
}

static void markers_from_a_removed_device(void)
{
	check_drain(RDMA_CM_EVENT_DEVICE_REMOVAL, DRAIN_LOST_MS);
}

static void markers_from_a_device_that_is_there(void)
{
	check_drain(RDMA_CM_EVENT_DISCONNECTED, DRAIN_SECONDS * 1000);
}

UNIT_MAIN(TEST(receives_take_half_of_the_memory), TEST(without_even_a_few_it_closes),
	  TEST(markers_from_a_removed_device), TEST(markers_from_a_device_that_is_there));
