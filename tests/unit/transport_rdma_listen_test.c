// SPDX-License-Identifier: BSD-2-Clause
/* Portals and connect requests, on a real reactor: the mock's descriptors wake it as a device's do. */
#include <errno.h>

#include "core/reactor_impl.h"
#include "tests/unit/transport_rdma_rig.h"

enum { CONNS = PEER_MAX + 32, TURNS = 10000 };

struct portal {
	struct slab *slab;
	struct reactor *r;
	struct listener *listener;
	struct conn *conn[CONNS]; /* NULL: closed */
	unsigned int accepted, closed;
	bool full; /* no reactor takes more */
};

static struct reactor *place(void *ctx, const struct sockaddr_storage *peer)
{
	struct portal *p = ctx;

	CU_ASSERT_EQUAL(peer->ss_family, AF_INET);
	return p->full ? NULL : p->r;
}

static void accepted(void *ctx, struct conn *conn)
{
	struct portal *p = ctx;

	CU_ASSERT_FATAL(p->accepted < CONNS);
	conn->user = p;
	p->conn[p->accepted++] = conn;
}

static void closed(struct conn *conn)
{
	struct portal *p = conn->user;

	for (unsigned int i = 0; i < p->accepted; i++)
		if (p->conn[i] == conn)
			p->conn[i] = NULL;
	p->closed++;
}

static struct conn_up up;

/* Enough turns for whatever was caused to arrive. */
static void turns(struct portal *p)
{
	for (unsigned int i = 0, idle = 0; i < TURNS && idle < 50; i++)
		idle = reactor_turn(p->r) ? 0 : idle + 1;
}

/* As reactor_run() does before it sleeps. */
static void arm_queues(struct portal *p)
{
	for (unsigned int i = 0; i < p->accepted; i++) {
		struct rdma_cq *cq = p->conn[i] ? rdma_conn_of(p->conn[i])->cq : NULL;

		if (cq)
			cq->poller.arm(&cq->poller);
	}
	turns(p);
}

/* So many are closed in the end: some have to wait for their peer or device, 5 s at most. */
static void wait_closed(struct portal *p, unsigned int n)
{
	uint64_t until = reactor_now(p->r) + 2 * DRAIN_SECONDS * NSEC_PER_SEC;

	while (p->closed < n && reactor_now(p->r) < until)
		turns(p);
	CU_ASSERT_EQUAL(p->closed, n);
}

static struct portal_address address(uint32_t host, bool required)
{
	struct portal_address a = { .len = sizeof(struct sockaddr_in), .required = required };
	struct sockaddr_in *in = (struct sockaddr_in *)&a.addr;

	in->sin_family = AF_INET;
	in->sin_port = htons(3260);
	in->sin_addr.s_addr = htonl(host);
	return a;
}

static struct portal *open_portal(void)
{
	struct portal *p = calloc(1, sizeof(*p));
	struct reactor_config cfg = { .cpu = -1 };
	struct portal_address a = address(0xc0000201, true);
	char why[256];

	log_set_level(LOG_LEVEL_ERROR);
	mock_begin();
	up = (struct conn_up){ .place = place, .accepted = accepted, .closed = closed };
	if (!p || slab_create(16 << 20, &p->slab))
		abort();
	cfg.slab = p->slab;
	if (reactor_create(&cfg, &p->r))
		abort();
	/* What reactor_run() would do before its first turn. */
	reactor_set_self(p->r);
	CU_ASSERT_EQUAL_FATAL(ring_attach(p->r->impl), 0);
	CU_ASSERT_EQUAL_FATAL(rdma_portal_listen(p->r, &a, &up, p, &p->listener, why, sizeof(why)),
			      0);
	turns(p);
	return p;
}

static void close_portal(struct portal *p)
{
	const char *wrong;

	for (unsigned int i = 0; i < p->accepted; i++)
		if (p->conn[i])
			conn_close(p->conn[i], false);
	turns(p);
	CU_ASSERT_EQUAL(p->closed, p->accepted);
	if (p->listener)
		rdma_portal_unlisten(p->listener);
	turns(p);
	CU_ASSERT_EQUAL(atomic_load(&p->r->load), 0);
	CU_ASSERT_EQUAL(slab_in_use(p->slab), 0);
	ring_detach(p->r->impl);
	reactor_set_self(NULL);
	reactor_destroy(p->r);
	slab_destroy(p->slab);
	wrong = mock_end();
	if (wrong)
		fprintf(stderr, "# verbs: %s\n", wrong);
	CU_ASSERT_PTR_NULL(wrong);
	free(p);
}

/* flags: the first byte of the private data; negative: there is none. */
static struct rdma_cm_id *request(struct portal *p, int flags, uint8_t depth)
{
	struct iser_cm_data data = { .flags = (uint8_t)flags };
	struct rdma_conn_param param = {
		.private_data = &data,
		.private_data_len = flags < 0 ? 0 : sizeof(data),
		.responder_resources = 1,
		.initiator_depth = depth,
	};
	struct rdma_cm_id *listening = mock_listening(), *id;

	CU_ASSERT_PTR_NOT_NULL_FATAL(listening);
	id = mock_connect(listening, &param);
	turns(p);
	return id;
}

static void a_request_becomes_a_connection(void)
{
	struct portal *p = open_portal();
	struct rdma_cm_id *id = request(p, ISER_CM_NO_ZBVA, 4);

	CU_ASSERT_EQUAL_FATAL(p->accepted, 1);
	CU_ASSERT_STRING_EQUAL(p->conn[0]->peer_name, "192.0.2.2:40000");
	CU_ASSERT_EQUAL(mock.accepts, 1);
	CU_ASSERT_EQUAL(mock.accept.param.initiator_depth, 4);
	CU_ASSERT_EQUAL(atomic_load(&p->r->load), 1);
	CU_ASSERT(mock.noted_contexts > 0);
	mock_event(id, RDMA_CM_EVENT_ESTABLISHED, 0);
	turns(p);
	CU_ASSERT_PTR_NOT_NULL(p->conn[0]);
	mock_event(id, RDMA_CM_EVENT_DISCONNECTED, 0);
	turns(p);
	CU_ASSERT_EQUAL(p->closed, 1);
	CU_ASSERT(!mock_id_alive(id));
	close_portal(p);
}

/* Flags count only when the initiator speaks of them: zeros are also what comes without. */
static void private_data_of_every_kind(void)
{
	static const struct {
		int flags;
		bool invalidates;
	} cases[] = {
		{ ISER_CM_NO_ZBVA, true }, /* ib_iser */
		{ ISER_CM_NO_ZBVA | ISER_CM_NO_SEND_W_INV, false }, /* libiscsi */
		{ -1, false },
		{ 0, false },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		struct portal *p = open_portal();

		request(p, cases[i].flags, 4);
		CU_ASSERT_EQUAL(mock.accepts, 1);
		CU_ASSERT_EQUAL(!(mock.accept.data[0] & ISER_CM_NO_SEND_W_INV),
				cases[i].invalidates);
		close_portal(p);
	}
}

static void our_device_limits_the_depth(void)
{
	struct portal *p = open_portal();

	mock.attr.max_qp_init_rd_atom = 2;
	request(p, ISER_CM_NO_ZBVA, 16);
	CU_ASSERT_EQUAL(mock.accept.param.initiator_depth, 2);
	close_portal(p);
}

static void nobody_takes_it(void)
{
	struct portal *p = open_portal();
	struct rdma_cm_id *id;

	p->full = true;
	id = request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT_EQUAL(mock.rejects, 1);
	CU_ASSERT(!mock_id_alive(id));
	CU_ASSERT_EQUAL(p->accepted, 0);
	p->full = false;
	request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT_EQUAL(p->accepted, 1);
	close_portal(p);
}

/* One address cannot take all we have without logging in. */
static void pending_connections_of_a_peer_are_bounded(void)
{
	struct conn_params params = iser_params();
	struct portal *p = open_portal();
	struct rdma_cm_id *id = NULL;

	for (int i = 0; i < PEER_PENDING_MAX; i++)
		id = request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT_EQUAL(p->accepted, PEER_PENDING_MAX);
	request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT_EQUAL(p->accepted, PEER_PENDING_MAX);
	CU_ASSERT_EQUAL(mock.rejects, 1);
	/* One logs in, another goes away: two more may come. */
	conn_apply_keys(p->conn[0], &params);
	mock_event(id, RDMA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
	turns(p);
	for (int i = 0; i < 3; i++)
		request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT_EQUAL(p->accepted, PEER_PENDING_MAX + 2);
	CU_ASSERT_EQUAL(mock.rejects, 2);
	close_portal(p);
}

static void requests_that_cannot_be_served(void)
{
	static const char *const functions[] = { "rdma_create_event_channel", "rdma_migrate_id",
						 "ibv_create_cq", "ibv_alloc_pd", "rdma_lib_get" };

	for (size_t i = 0; i < array_size(functions); i++) {
		struct portal *p = open_portal();
		struct rdma_cm_id *id;

		mock_fail(functions[i], 1);
		id = request(p, ISER_CM_NO_ZBVA, 4);
		CU_ASSERT_EQUAL(p->accepted, 0);
		CU_ASSERT_EQUAL(mock.rejects, 1);
		CU_ASSERT(!mock_id_alive(id));
		request(p, ISER_CM_NO_ZBVA, 4);
		CU_ASSERT_EQUAL(p->accepted, 1);
		close_portal(p);
	}
}

/* Connections outlive their portal; a request that nobody has looked at is dropped with it. */
static void unlisten_leaves_connections_alone(void)
{
	struct portal *p = open_portal();
	struct rdma_cm_id *id = request(p, ISER_CM_NO_ZBVA, 4);
	struct rdma_conn_param param = { .private_data = "", .initiator_depth = 4 };

	mock_connect(mock_listening(), &param);
	rdma_portal_unlisten(p->listener);
	p->listener = NULL;
	turns(p);
	CU_ASSERT_EQUAL(p->accepted, 1);
	CU_ASSERT_PTR_NOT_NULL(p->conn[0]);
	CU_ASSERT(mock_id_alive(id));
	CU_ASSERT_PTR_NULL(mock_listening());
	close_portal(p);
}

/* What the listening id hears of its device ends the listening and nothing else. */
static void a_device_that_goes_takes_the_portal_along(void)
{
	struct portal *p = open_portal();
	struct rdma_cm_id *id = request(p, ISER_CM_NO_ZBVA, 4);

	mock_event(mock_listening(), RDMA_CM_EVENT_DEVICE_REMOVAL, 0);
	mock_event(id, RDMA_CM_EVENT_DEVICE_REMOVAL, 0);
	turns(p);
	CU_ASSERT_PTR_NULL(mock_listening());
	CU_ASSERT_EQUAL(p->closed, 1);
	CU_ASSERT(mock.lost_contexts > 0);
	/* Nothing of it is held: it can go. */
	CU_ASSERT_EQUAL(mock.ids + mock.qps + mock.cqs + mock.pds + mock.mrs + mock.channels, 0);
	close_portal(p);
}

static void without_a_device(void)
{
	struct portal_address a = address(0xc0000201, true);
	struct portal *p = open_portal();
	struct listener *l;
	char why[256] = "";

	mock.absent = true;
	CU_ASSERT(rdma_portal_listen(p->r, &a, &up, p, &l, why, sizeof(why)) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "192.0.2.1:3260"));
	CU_ASSERT(strlen(why) > 20);
	a.required = false;
	CU_ASSERT_EQUAL_FATAL(rdma_portal_listen(p->r, &a, &up, p, &l, why, sizeof(why)), 0);
	turns(p);
	rdma_portal_unlisten(l);
	close_portal(p);
}

/* Why the last request was refused, as its initiator was told. */
static bool refused_for(const char *why)
{
	return mock.reject_len == strlen(why) && !memcmp(mock.reject, why, mock.reject_len);
}

static void log_in(struct portal *p, struct rdma_cm_id *id, unsigned int which)
{
	struct conn_params params = iser_params();

	params.rdma_extensions = false; /* few receives */
	mock_event(id, RDMA_CM_EVENT_ESTABLISHED, 0);
	turns(p);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p->conn[which]);
	conn_apply_keys(p->conn[which], &params);
}

/* Logged in or not. */
static void connections_of_a_peer_are_bounded(void)
{
	static const char why[] = "too many RDMA connections of this address";
	struct portal *p = open_portal();
	struct rdma_cm_id *id = NULL;
	unsigned int full;

	for (unsigned int i = 0; i < PEER_MAX; i++) {
		id = request(p, ISER_CM_NO_ZBVA, 4);
		log_in(p, id, i);
	}
	CU_ASSERT_EQUAL(p->accepted, PEER_MAX);
	CU_ASSERT_EQUAL(mock.rejects, 0);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT(!mock_id_alive(request(p, ISER_CM_NO_ZBVA, 4)));
		CU_ASSERT(refused_for(why));
	}
	CU_ASSERT_EQUAL(mock.rejects, 3);
	/* Counted down when they end, each in its way. */
	conn_close(p->conn[0], false);
	mock_event(id, RDMA_CM_EVENT_DISCONNECTED, 0);
	mock_qp_error(list_entry(mock.qp_list.next->next, struct mock_qp, node));
	turns(p);
	full = p->accepted;
	CU_ASSERT_EQUAL(p->closed, 3);
	request(p, ISER_CM_NO_ZBVA, 4);
	request(p, ISER_CM_NO_ZBVA, 4);
	request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT_EQUAL(p->accepted, full + 3);
	request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT_EQUAL(p->accepted, full + 3);
	close_portal(p);
	/* Nothing of it stays behind. */
	p = open_portal();
	for (unsigned int i = 0; i < PEER_PENDING_MAX; i++)
		request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT_EQUAL(p->accepted, PEER_PENDING_MAX);
	close_portal(p);
}

/* Requests that come to nothing do not count. */
static void refused_requests_are_not_pending(void)
{
	static const char *const functions[] = { NULL, "rdma_migrate_id", "ibv_create_cq",
						 "rdma_create_qp", "rdma_accept" };

	for (size_t i = 0; i < array_size(functions); i++) {
		struct portal *p = open_portal();
		unsigned int before;

		for (int n = 0; n < 2 * PEER_PENDING_MAX; n++) {
			p->full = !functions[i];
			if (functions[i])
				mock_fail(functions[i], 1);
			if (functions[i] && !strcmp(functions[i], "rdma_create_qp"))
				mock.max_inline = 0, mock.attr.max_qp_wr = 1;
			CU_ASSERT(!mock_id_alive(request(p, ISER_CM_NO_ZBVA, 4)));
		}
		CU_ASSERT_EQUAL(mock.rejects + p->closed, 2 * PEER_PENDING_MAX + 0u);
		if (!functions[i])
			CU_ASSERT(refused_for("too many connections, or stopping"));
		p->full = false;
		mock.attr.max_qp_wr = 4096;
		before = p->accepted;
		for (int n = 0; n < PEER_PENDING_MAX; n++)
			request(p, ISER_CM_NO_ZBVA, 4);
		CU_ASSERT_EQUAL(p->accepted, before + PEER_PENDING_MAX);
		request(p, ISER_CM_NO_ZBVA, 4);
		CU_ASSERT_EQUAL(p->accepted, before + PEER_PENDING_MAX);
		CU_ASSERT(refused_for(
			"too many RDMA connections of this address have not logged in"));
		close_portal(p);
	}
}

static void the_initiator_is_told_why(void)
{
	struct portal *p = open_portal();

	request(p, ISER_CM_NO_ZBVA, 0);
	CU_ASSERT(refused_for("it answers no RDMA Reads, so nothing can be written"));
	mock_fail("rdma_create_event_channel", 1);
	request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT(refused_for("out of memory"));
	mock_fail("ibv_query_device", 1);
	request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT(refused_for("no device"));
	CU_ASSERT_EQUAL(p->accepted, 0);
	close_portal(p);
}

/* --- Events of the device */

/* No completion of that queue will come: its connections end, and those of another do not. */
static void a_completion_queue_breaks(void)
{
	struct portal *p = open_portal();
	struct rdma_cq *cq;
	unsigned int in_first = 0;

	mock.attr.max_cqe = 2 * CQ_PER_CONN;
	for (unsigned int i = 0; i < 4; i++)
		log_in(p, request(p, ISER_CM_NO_ZBVA, 4), i);
	CU_ASSERT_EQUAL(mock.cqs, 2);
	cq = rdma_conn_of(p->conn[0])->cq;
	for (unsigned int i = 0; i < 4; i++)
		in_first += rdma_conn_of(p->conn[i])->cq == cq;
	CU_ASSERT_EQUAL(in_first, 2);
	mock_async_cq(cq->cq);
	turns(p);
	arm_queues(p);
	CU_ASSERT_EQUAL(p->closed, 2);
	CU_ASSERT_PTR_NULL(p->conn[0]);
	CU_ASSERT_PTR_NULL(p->conn[1]);
	CU_ASSERT_EQUAL(mock.cqs, 1);
	request(p, ISER_CM_NO_ZBVA, 4);
	CU_ASSERT_EQUAL(p->accepted, 5);
	CU_ASSERT_PTR_NOT_NULL(p->conn[4]);
	close_portal(p);
}

/* While its connections are still on it, nobody else is put there. */
static void nobody_is_put_on_a_broken_queue(void)
{
	struct portal *p = open_portal();
	struct rdma_cq *cq;

	log_in(p, request(p, ISER_CM_NO_ZBVA, 4), 0);
	cq = rdma_conn_of(p->conn[0])->cq;
	mock.hold_flush = true;
	mock_async_cq(cq->cq);
	turns(p);
	arm_queues(p);
	CU_ASSERT_EQUAL_FATAL(p->closed, 0);
	CU_ASSERT(cq->broken);
	log_in(p, request(p, ISER_CM_NO_ZBVA, 4), 1);
	CU_ASSERT_PTR_NOT_EQUAL(rdma_conn_of(p->conn[1])->cq, cq);
	CU_ASSERT_EQUAL(mock.cqs, 2);
	arm_queues(p);
	wait_closed(p, 1); /* without its markers */
	CU_ASSERT_PTR_NULL(p->conn[0]);
	CU_ASSERT_PTR_NOT_NULL(p->conn[1]);
	CU_ASSERT_EQUAL(mock.cqs, 1);
	mock.hold_flush = false;
	close_portal(p);
}

static void a_fatal_error_of_the_device(void)
{
	for (int hold = 0; hold < 2; hold++) {
		struct portal *p = open_portal();

		mock.attr.max_cqe = 2 * CQ_PER_CONN;
		for (unsigned int i = 0; i < 3; i++)
			log_in(p, request(p, ISER_CM_NO_ZBVA, 4), i);
		mock.hold_flush = hold;
		mock_async(IBV_EVENT_DEVICE_FATAL, NULL);
		turns(p);
		arm_queues(p);
		wait_closed(p, 3);
		CU_ASSERT_EQUAL(mock.lost_contexts, 1);
		CU_ASSERT_EQUAL(mock.qps + mock.cqs + mock.pds + mock.mrs, 0);
		CU_ASSERT_EQUAL(mock.busy_destroyed, hold ? 3 : 0);
		mock.hold_flush = false;
		close_portal(p);
	}
}

/* The others say nothing that matters to us. */
static void other_events_of_the_device(void)
{
	static const enum ibv_event_type events[] = {
		IBV_EVENT_PORT_ERR,   IBV_EVENT_PORT_ACTIVE, IBV_EVENT_LID_CHANGE,
		IBV_EVENT_GID_CHANGE, IBV_EVENT_COMM_EST,
	};
	struct portal *p = open_portal();

	log_in(p, request(p, ISER_CM_NO_ZBVA, 4), 0);
	for (size_t i = 0; i < array_size(events); i++)
		mock_async(events[i], events[i] == IBV_EVENT_COMM_EST ? mock_qp_latest() : NULL);
	turns(p);
	CU_ASSERT(list_empty(&mock.async));
	CU_ASSERT_PTR_NOT_NULL(p->conn[0]);
	close_portal(p);
}

UNIT_MAIN(TEST(a_request_becomes_a_connection), TEST(private_data_of_every_kind),
	  TEST(our_device_limits_the_depth), TEST(nobody_takes_it),
	  TEST(pending_connections_of_a_peer_are_bounded), TEST(requests_that_cannot_be_served),
	  TEST(unlisten_leaves_connections_alone), TEST(a_device_that_goes_takes_the_portal_along),
	  TEST(without_a_device), TEST(connections_of_a_peer_are_bounded),
	  TEST(refused_requests_are_not_pending), TEST(the_initiator_is_told_why),
	  TEST(a_completion_queue_breaks), TEST(nobody_is_put_on_a_broken_queue),
	  TEST(a_fatal_error_of_the_device), TEST(other_events_of_the_device));
