// SPDX-License-Identifier: BSD-2-Clause
/* A connection's life and above all its end: events, completions and calls in every order. */
#include "tests/unit/transport_rdma_rig.h"

static struct message m;
static struct tx_pdu pdus[4];

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;

	for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

static bool is_last(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	return at && !at[strlen(line)];
}

/* I/O of every kind that does not end by itself. */
struct load {
	struct buf *put, *get, *unsolicited;
	unsigned int transfers, pdus;
};

static void load_start(struct iser *in, struct load *load)
{
	struct transfer *t;

	memset(load, 0, sizeof(*load));
	load->put = iser_buf(in, 4096);
	load->get = iser_buf(in, 65536);
	load->unsolicited = iser_buf(in, 8192);
	iser_read(in, 1, 4096);
	iser_put(in, 1, load->put->data, 4096);
	iser_write(in, 2, 65536);
	for (uint32_t i = 0; i < 8; i++) /* half of them wait for the other half */
		iser_get(in, 2, load->get->data + i * 8192, i * 8192, 8192);
	message_command(&m, 3, CMD_WRITE, 8192, 0);
	iser_send(in, &m);
	t = iser_transfer(in, 3, load->unsolicited->data, 0, 8192);
	t->unsolicited = true;
	conn_get_data(in->rig->conn, t);
	for (load->pdus = 0; load->pdus < 3; load->pdus++)
		iser_respond(in, &pdus[load->pdus], OP_NOP_IN, load->pdus, NULL, 0);
	load->transfers = 1 + 8 + 1;
	(void)rig_log(in->rig);
}

/* All of it came back, before closed() and once. */
static void load_end(struct iser *in, struct load *load)
{
	const char *log = in->rig->log;

	CU_ASSERT_EQUAL(count(log, "done"), load->transfers);
	CU_ASSERT_EQUAL(in->rig->sent, load->pdus);
	CU_ASSERT(is_last(log, "closed\n"));
	CU_ASSERT_EQUAL(in->closed, 1);
	buf_put(in->rig->r, load->put);
	buf_put(in->rig->r, load->get);
	buf_put(in->rig->r, load->unsolicited);
}

/* --- The way in */

static void an_established_connection_is_announced(void)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();

	iser_arrive(in, &request);
	CU_ASSERT_PTR_NOT_NULL(in->rig->conn);
	CU_ASSERT_EQUAL(mock.accepts, 1);
	CU_ASSERT_STRING_EQUAL(in->rig->conn->peer_name, "192.0.2.2:40000");
	CU_ASSERT_STRING_EQUAL(in->rig->conn->local_name, "192.0.2.1:3260");
	iser_establish(in);
	CU_ASSERT_EQUAL(in->qp->state, MOCK_RTS);
	iser_destroy(in);
}

/* Nothing was announced: the request is refused and nobody hears of it. */
static void check_refused(const char *function, unsigned int nth)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();

	mock_fail(function, nth);
	iser_arrive(in, &request);
	CU_ASSERT_PTR_NULL(in->rig->conn);
	CU_ASSERT_EQUAL(mock.rejects, 1);
	CU_ASSERT_EQUAL(mock.accepts, 0);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "");
	CU_ASSERT(!mock_id_alive(in->id));
	iser_destroy(in);
}

static void without_resources_the_request_is_refused(void)
{
	check_refused("ibv_create_comp_channel", 1);
	check_refused("ibv_create_cq", 1);
	check_refused("ibv_query_device", 1);
	check_refused("ibv_alloc_pd", 1);
	check_refused("ibv_post_recv", 1);
}

static void a_small_device_refuses(void)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();

	mock.attr.max_qp_wr = 16;
	iser_arrive(in, &request);
	CU_ASSERT_PTR_NULL(in->rig->conn);
	CU_ASSERT_EQUAL(mock.rejects, 1);
	iser_destroy(in);
	in = iser_begin();
	mock.attr.max_cqe = 100;
	iser_arrive(in, &request);
	CU_ASSERT_PTR_NULL(in->rig->conn);
	CU_ASSERT_EQUAL(mock.rejects, 1);
	iser_destroy(in);
}

static void without_memory_for_receives_the_request_is_refused(void)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();
	struct buf *hoard = iser_hoard(in);

	iser_arrive(in, &request);
	CU_ASSERT_PTR_NULL(in->rig->conn);
	CU_ASSERT_EQUAL(mock.rejects, 1);
	iser_hoard_put(in, hoard);
	iser_destroy(in);
}

static void an_accept_that_fails(void)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();

	mock_fail("rdma_accept", 1);
	iser_arrive(in, &request);
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NULL(in->rig->conn);
	CU_ASSERT(!mock_id_alive(in->id));
	iser_destroy(in);
}

static void two_connections_share_a_device(void)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_begin();
	struct rdma_cm_id *id;
	struct conn *first;

	iser_arrive(in, &request);
	iser_establish(in);
	first = in->rig->conn;
	id = in->id;
	iser_arrive(in, &request);
	CU_ASSERT_EQUAL(mock.qps, 2);
	CU_ASSERT_EQUAL(mock.pds, 1);
	CU_ASSERT_EQUAL(mock.cqs, 1);
	rdma_shard_put(in->shard); /* taken twice */
	CU_ASSERT_PTR_NOT_EQUAL(first, in->rig->conn);
	conn_close(first, false);
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT(!mock_id_alive(id));
	CU_ASSERT(mock_id_alive(in->id));
	CU_ASSERT_EQUAL(mock.qps, 1);
	in->qp = NULL;
	mock_event(in->id, RDMA_CM_EVENT_DISCONNECTED, 0);
	iser_events(in);
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 2);
	iser_destroy(in);
}

/* --- Every event in every state, in every order with what else happens */

enum state { ARRIVED, LOGGED_IN, LOADED, FLUSHING, STATES };
enum action { EVENT, CLOSE, FLUSH_SEND, FLUSH_RECV, ACTIONS };

static const enum rdma_cm_event_type events[] = {
	RDMA_CM_EVENT_ESTABLISHED,    RDMA_CM_EVENT_DISCONNECTED, RDMA_CM_EVENT_TIMEWAIT_EXIT,
	RDMA_CM_EVENT_DEVICE_REMOVAL, RDMA_CM_EVENT_ADDR_CHANGE,  RDMA_CM_EVENT_CONNECT_ERROR,
	RDMA_CM_EVENT_UNREACHABLE,    RDMA_CM_EVENT_REJECTED,
};

static struct iser *in_state(enum state state, struct load *load)
{
	struct rdma_request request = iser_request();
	struct iser *in;

	memset(load, 0, sizeof(*load));
	if (state == ARRIVED) {
		in = iser_begin();
		iser_arrive(in, &request);
		message_plain(&m, OP_LOGIN_REQUEST, 1, 0);
		iser_send(in, &m); /* parked */
		return in;
	}
	in = iser_create();
	if (state == LOADED || state == FLUSHING)
		load_start(in, load);
	if (state == FLUSHING)
		conn_close(in->rig->conn, true);
	iser_turn(in);
	return in;
}

static void act(struct iser *in, enum action action, enum rdma_cm_event_type event)
{
	struct mock_qp *qp = mock_qp_latest();

	switch (action) {
	case EVENT: iser_event(in, event); break;
	case CLOSE:
		if (in->rig->conn)
			conn_close(in->rig->conn, false);
		break;
	case FLUSH_SEND:
		if (!qp)
			break;
		qp->state = MOCK_ERR; /* the wire is cut here if nothing else was before */
		mock_flush_send(qp, UINT32_MAX);
		break;
	case FLUSH_RECV:
		if (!qp)
			break;
		qp->state = MOCK_ERR;
		mock_flush_recv(qp, UINT32_MAX);
		break;
	default: break;
	}
}

static void live(enum state state, const enum action *order, enum rdma_cm_event_type event,
		 bool turns)
{
	struct load load;
	struct iser *in = in_state(state, &load);
	bool flushed = false;

	mock.hold_flush = true;
	for (int i = 0; i < ACTIONS; i++) {
		act(in, order[i], event);
		if (turns)
			iser_turn(in);
	}
	/* Then the device does what it has to. */
	iser_turn(in);
	while (in->rig->conn && !flushed) {
		struct mock_qp *qp = mock_qp_latest();

		flushed = !qp || !(mock_flush_recv(qp, 1) + mock_flush_send(qp, 1));
		iser_turn(in);
	}
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT(is_last(in->rig->log, "closed\n"));
	CU_ASSERT_EQUAL(count(in->rig->log, "done"), load.transfers);
	CU_ASSERT_EQUAL(in->rig->sent, load.pdus);
	CU_ASSERT_EQUAL(mock.busy_destroyed, 0);
	if (load.put)
		load_end(in, &load);
	iser_destroy(in);
}

static void swap(enum action *a, enum action *b)
{
	enum action c = *a;

	*a = *b;
	*b = c;
}

static void permute(enum action *order, int from, enum state state, enum rdma_cm_event_type event)
{
	if (from == ACTIONS) {
		live(state, order, event, true);
		live(state, order, event, false);
		return;
	}
	for (int i = from; i < ACTIONS; i++) {
		swap(&order[from], &order[i]);
		permute(order, from + 1, state, event);
		swap(&order[from], &order[i]);
	}
}

static void every_order(enum state state)
{
	enum action order[ACTIONS] = { EVENT, CLOSE, FLUSH_SEND, FLUSH_RECV };

	for (size_t i = 0; i < array_size(events); i++)
		permute(order, 0, state, events[i]);
}

static void every_order_before_established(void)
{
	every_order(ARRIVED);
}

static void every_order_when_idle(void)
{
	every_order(LOGGED_IN);
}

static void every_order_under_load(void)
{
	every_order(LOADED);
}

static void every_order_while_flushing(void)
{
	every_order(FLUSHING);
}

/* Each event alone ends a connection, but for ESTABLISHED. */
static void each_event_alone(void)
{
	for (size_t i = 0; i < array_size(events); i++) {
		struct load load;
		struct iser *in = in_state(LOADED, &load);

		iser_event(in, events[i]);
		iser_turn(in);
		CU_ASSERT_EQUAL(in->closed, events[i] != RDMA_CM_EVENT_ESTABLISHED);
		if (events[i] == RDMA_CM_EVENT_DEVICE_REMOVAL)
			CU_ASSERT(mock.lost_contexts > 0);
		if (in->rig->conn)
			conn_close(in->rig->conn, false);
		iser_turn(in);
		load_end(in, &load);
		iser_destroy(in);
	}
}

/* An event that overtakes the connection on its way to its reactor. */
static void events_before_arrival(void)
{
	static struct conn_up up;

	up = rig_up;
	up.closed = iser_closed;
	for (size_t i = 0; i < array_size(events); i++) {
		struct rdma_request request = iser_request();
		struct iser *in = iser_begin();
		struct rdma_conn *c;

		in->id = mock_id_new();
		in->shard = rdma_shard_get(in->rig->r);
		rdma_lib.rdma_migrate_id(in->id, in->shard->channel);
		atomic_fetch_add(&in->rig->r->load, 1);
		c = rdma_conn_new(in->rig->r, in->id, &request, &up, in->rig);
		iser_event(in, events[i]);
		c->shard = rdma_shard_get(in->rig->r);
		reactor_post(in->rig->r, &c->arrive);
		reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
		if (events[i] != RDMA_CM_EVENT_ESTABLISHED) {
			CU_ASSERT_PTR_NULL(in->rig->conn);
			CU_ASSERT(!mock_id_alive(in->id));
		}
		in->qp = mock_qp_latest();
		iser_destroy(in);
	}
}

/* --- The way out */

/* What is queued is sent, then the initiator hangs up. */
static void a_flush_sends_what_is_queued(void)
{
	struct iser *in = iser_create();

	iser_respond(in, &pdus[0], OP_LOGOUT_RESPONSE, 1, NULL, 0);
	conn_close(in->rig->conn, true);
	CU_ASSERT(in->rig->conn->closing);
	iser_turn(in);
	CU_ASSERT_EQUAL(mock_send_count(in->qp), 1);
	iser_settle(in);
	CU_ASSERT_EQUAL(in->rig->sent, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(in->qp);
	CU_ASSERT_PTR_NOT_NULL(in->qp->in);
	iser_event(in, RDMA_CM_EVENT_DISCONNECTED);
	iser_turn(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "closed\n");
	iser_destroy(in);
}

static void a_peer_that_never_hangs_up(void)
{
	struct iser *in = iser_create();

	iser_respond(in, &pdus[0], OP_LOGOUT_RESPONSE, 1, NULL, 0);
	conn_close(in->rig->conn, true);
	iser_settle(in);
	reactor_advance(in->rig->r, FLUSH_SECONDS * NSEC_PER_SEC + NSEC_PER_MSEC);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "closed\n");
	CU_ASSERT_EQUAL(mock.disconnects, 1);
	iser_destroy(in);
}

/* It does not even take our last words. */
static void a_peer_that_reads_nothing(void)
{
	struct iser *in = iser_create();

	iser_respond(in, &pdus[0], OP_LOGOUT_RESPONSE, 1, NULL, 0);
	conn_close(in->rig->conn, true);
	reactor_advance(in->rig->r, FLUSH_SECONDS * NSEC_PER_SEC + NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(in->rig->sent, 1);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "closed\n");
	iser_destroy(in);
}

/* Nothing is given back while the device has it, as long as there is hope. */
static void memory_waits_for_the_markers(void)
{
	struct load load;
	struct iser *in = in_state(LOADED, &load);
	struct mock_qp *qp = in->qp;

	mock.hold_flush = true;
	conn_close(in->rig->conn, false);
	reactor_advance(in->rig->r, (DRAIN_SECONDS - 1) * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(count(in->rig->log, "done 1 "), 0);
	CU_ASSERT_EQUAL(in->rig->sent, 0);
	while (mock_recv_count(qp))
		mock_flush_recv(qp, 1);
	iser_turn(in);
	CU_ASSERT_EQUAL(in->closed, 0);
	while (mock_send_count(qp) > 1)
		mock_flush_send(qp, 1);
	iser_turn(in);
	CU_ASSERT_EQUAL(in->closed, 0);
	mock_flush_send(qp, 1);
	iser_turn(in);
	CU_ASSERT_EQUAL(mock.busy_destroyed, 0);
	load_end(in, &load);
	iser_destroy(in);
}

static void markers_that_never_come_back(void)
{
	struct load load;
	struct iser *in = in_state(LOADED, &load);

	mock.hold_flush = true;
	iser_event(in, RDMA_CM_EVENT_DEVICE_REMOVAL);
	reactor_advance(in->rig->r, DRAIN_SECONDS * NSEC_PER_SEC + NSEC_PER_MSEC);
	load_end(in, &load);
	iser_destroy(in);
}

/* Completions that are on the queue when the queue pair goes still find their memory: another
 * connection keeps the completion queue, and it is looked at again. */
static void completions_left_behind(void)
{
	struct rdma_request request = iser_request();
	struct iser *in = iser_create();
	struct conn *first = in->rig->conn;

	iser_arrive(in, &request);
	rdma_shard_put(in->shard); /* taken twice */
	mock.hold_flush = mock.flush_on_destroy = true;
	conn_close(first, false);
	reactor_advance(in->rig->r, 2 * DRAIN_SECONDS * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(mock.busy_destroyed, 1);
	CU_ASSERT_EQUAL(in->closed, 1);
	mock.hold_flush = false;
	mock_qp_error(mock_qp_latest());
	iser_turn(in);
	CU_ASSERT_EQUAL(in->closed, 2);
	iser_destroy(in);
}

/* No marker can be posted. */
static void markers_that_cannot_be_posted(void)
{
	static const char *const functions[] = { "ibv_post_send", "ibv_post_recv" };

	for (size_t i = 0; i < array_size(functions); i++) {
		struct load load;
		struct iser *in = in_state(LOADED, &load);

		mock_fail(functions[i], 1);
		conn_close(in->rig->conn, false);
		reactor_advance(in->rig->r, 2 * DRAIN_SECONDS * NSEC_PER_SEC);
		load_end(in, &load);
		iser_destroy(in);
	}
}

/* Any error in the middle of I/O: what came before is done, nothing after it is. */
static void an_error_in_the_middle(void)
{
	static const enum ibv_wc_status statuses[] = {
		IBV_WC_LOC_LEN_ERR,    IBV_WC_LOC_PROT_ERR,	IBV_WC_WR_FLUSH_ERR,
		IBV_WC_REM_ACCESS_ERR, IBV_WC_RETRY_EXC_ERR,	IBV_WC_RNR_RETRY_EXC_ERR,
		IBV_WC_FATAL_ERR,      IBV_WC_RESP_TIMEOUT_ERR, IBV_WC_REM_INV_REQ_ERR,
	};

	for (size_t i = 0; i < array_size(statuses); i++) {
		for (int at = 0; at < 6; at++) {
			struct load load;
			struct iser *in = in_state(LOADED, &load);

			for (int k = 0; k < at; k++)
				mock_send_end(in->qp, IBV_WC_SUCCESS);
			mock_send_end(in->qp, statuses[i]);
			iser_turn(in);
			load_end(in, &load);
			iser_destroy(in);
		}
	}
}

/* Fifty logins leave nothing: not even one memory region more than the first. */
static void connections_come_and_go(void)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct iser *in = iser_begin();

	for (unsigned int i = 1; i <= 50; i++) {
		iser_arrive(in, &request);
		if (i > 1)
			rdma_shard_put(in->shard);
		iser_establish(in);
		conn_apply_keys(in->rig->conn, &params);
		iser_turn(in);
		conn_close(in->rig->conn, i % 2);
		iser_event(in, RDMA_CM_EVENT_DISCONNECTED);
		iser_turn(in);
		CU_ASSERT_EQUAL_FATAL(in->closed, i);
		CU_ASSERT_EQUAL(mock.qps + mock.cqs + mock.pds + mock.mrs, 0);
		CU_ASSERT_EQUAL(slab_in_use(in->rig->slab), 0);
	}
	iser_destroy(in);
}

UNIT_MAIN(TEST(an_established_connection_is_announced),
	  TEST(without_resources_the_request_is_refused), TEST(a_small_device_refuses),
	  TEST(without_memory_for_receives_the_request_is_refused), TEST(an_accept_that_fails),
	  TEST(two_connections_share_a_device), TEST(every_order_before_established),
	  TEST(every_order_when_idle), TEST(every_order_under_load),
	  TEST(every_order_while_flushing), TEST(each_event_alone), TEST(events_before_arrival),
	  TEST(a_flush_sends_what_is_queued), TEST(a_peer_that_never_hangs_up),
	  TEST(a_peer_that_reads_nothing), TEST(memory_waits_for_the_markers),
	  TEST(markers_that_never_come_back), TEST(completions_left_behind),
	  TEST(markers_that_cannot_be_posted), TEST(an_error_in_the_middle),
	  TEST(connections_come_and_go));
