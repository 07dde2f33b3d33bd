// SPDX-License-Identifier: BSD-2-Clause
/*
 * hand_over(): a connection goes on at another reactor, over TCP without a socket and in memory.
 * What it brings there is what the peer has sent, however that was cut.
 */
#include "tests/unit/transport_rig.h"

#include "core/reactor_impl.h"
#include "transport/memory.h"

struct pair {
	struct slab *slab;
	struct reactor *old_r, *new_r;
	struct conn *old_conn, *new_conn;
	unsigned int accepted, closed, turns_down; /* of the new one; refuses it */
	bool close_old; /* right after hand_over() */
	char log[4096]; /* what the new connection has delivered */
};

static void note(struct pair *p, const struct pdu *pdu)
{
	size_t len = strlen(p->log);

	snprintf(p->log + len, sizeof(p->log) - len, "%02x itt %x data %u %x\n",
		 pdu_opcode(&pdu->h.bhs), be32_get(pdu->h.bhs.itt), pdu->data_len,
		 rig_sum(pdu->data, pdu->data ? pdu->data_len : 0));
}

static void pair_accepted(void *ctx, struct conn *conn)
{
	struct pair *p = ctx;

	conn->user = p;
	p->accepted++;
	if (conn->reactor == p->old_r) {
		p->old_conn = conn;
		return;
	}
	/* There is no moment at which nobody has it. */
	CU_ASSERT_PTR_NOT_NULL(p->old_conn);
	p->new_conn = conn;
	if (p->turns_down)
		conn_close(conn, false);
}

static void pair_pdu(struct conn *conn, struct pdu *pdu)
{
	struct pair *p = conn->user;

	CU_ASSERT_PTR_EQUAL(reactor_self(), conn->reactor);
	if (conn->reactor == p->new_r) {
		note(p, pdu);
		return;
	}
	conn_hand_over(conn, p->new_r, p);
	CU_ASSERT_TRUE(conn->closing);
	if (p->close_old) {
		conn_close(conn, false);
		conn_close(conn, true);
	}
}

static void pair_closed(struct conn *conn)
{
	struct pair *p = conn->user;

	p->closed++;
	if (conn->reactor == p->old_r)
		p->old_conn = NULL;
	else
		p->new_conn = NULL;
}

static const struct conn_up up = {
	.place = rig_place,
	.accepted = pair_accepted,
	.pdu_received = pair_pdu,
	.protocol_error = rig_protocol_error,
	.transfer_done = rig_transfer_done,
	.stamp = rig_stamp,
	.closed = pair_closed,
};

static void pair_begin(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	if (slab_create(8 << 20, &p->slab) || reactor_create_virtual(p->slab, &p->new_r) ||
	    reactor_create_virtual(p->slab, &p->old_r))
		abort();
	p->new_r->index = 1;
}

static void settle(struct pair *p)
{
	while (reactor_turn(p->old_r) || reactor_turn(p->new_r))
		;
}

static void pair_end(struct pair *p)
{
	if (p->new_conn) {
		reactor_set_self(p->new_r);
		conn_close(p->new_conn, false);
		reactor_set_self(p->old_r);
	}
	settle(p);
	CU_ASSERT_PTR_NULL(p->new_conn);
	CU_ASSERT_EQUAL(p->closed, p->accepted);
	CU_ASSERT_EQUAL(atomic_load(&p->old_r->load), 0);
	CU_ASSERT_EQUAL(atomic_load(&p->new_r->load), 0);
	CU_ASSERT_EQUAL(slab_in_use(p->slab), 0);
	reactor_destroy(p->old_r);
	reactor_destroy(p->new_r);
	slab_destroy(p->slab);
}

/* Where it comes from is known from the first: the peer may be gone when it arrives. */
static void pair_connect(struct pair *p)
{
	tcp_conn_create_test(p->old_r, &up, p);
	p->old_conn->peer.ss_family = AF_INET6;
	snprintf(p->old_conn->peer_name, sizeof(p->old_conn->peer_name), "[::1]:7");
}

static void is_of_the_same_peer(const struct conn *conn)
{
	CU_ASSERT_EQUAL(conn->peer.ss_family, AF_INET6);
	CU_ASSERT_STRING_EQUAL(conn->peer_name, "[::1]:7");
}

/* What comes in on the connection, wherever it is. */
static void feed(struct pair *p, const uint8_t *bytes, size_t len)
{
	struct conn *conn = p->new_conn ? p->new_conn : p->old_conn;
	struct reactor *before = reactor_set_self(conn->reactor);

	tcp_test_feed(conn, bytes, len);
	reactor_set_self(before);
	settle(p);
}

static void compose(struct wire *w)
{
	wire_plain(w, OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, 1, 333);
	wire_plain(w, OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, 2, 0);
	wire_plain(w, OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, 3, 90);
}

static void expect(char *want, size_t size)
{
	static const uint32_t len[] = { 333, 0, 90 };
	uint8_t data[333];
	size_t at = 0;

	for (uint32_t i = 0; i < 3; i++) {
		rig_pattern(data, len[i], i + 1);
		at += (size_t)snprintf(want + at, size - at, "03 itt %x data %u %x\n", i + 1,
				       len[i], rig_sum(data, len[i]));
	}
}

/* The peer's bytes are cut in two at every place, and arrive a turn apart. */
static void nothing_lost_nothing_twice(void)
{
	struct wire *w = wire_create();
	char want[400];

	compose(w);
	expect(want, sizeof(want));
	for (size_t cut = 1; cut <= w->len; cut++) {
		struct pair p;

		pair_begin(&p);
		pair_connect(&p);
		feed(&p, w->b, cut);
		if (cut < w->len)
			feed(&p, w->b + cut, w->len - cut);
		CU_ASSERT_STRING_EQUAL(p.log, want);
		CU_ASSERT_PTR_NULL(p.old_conn);
		CU_ASSERT_FATAL(p.new_conn != NULL);
		CU_ASSERT_EQUAL(atomic_load(&p.old_r->load), 0);
		CU_ASSERT_EQUAL(atomic_load(&p.new_r->load), 1);
		is_of_the_same_peer(p.new_conn);
		CU_ASSERT_EQUAL(p.new_conn->pdus_in, 3);
		CU_ASSERT_EQUAL(p.new_conn->bytes_in, w->len);
		pair_end(&p);
	}
	free(w);
}

/* Who closes the old one cannot reach the new one any more; who refuses the new one closes it. */
static void closed_on_the_way(void)
{
	for (int what = 0; what < 2; what++) {
		struct wire *w = wire_create();
		struct pair p;

		pair_begin(&p);
		p.close_old = what == 0;
		p.turns_down = what == 1;
		tcp_conn_create_test(p.old_r, &up, &p);
		compose(w);
		feed(&p, w->b, w->len);
		CU_ASSERT_EQUAL(p.new_conn != NULL, p.close_old);
		CU_ASSERT_EQUAL(p.accepted, 2);
		CU_ASSERT_EQUAL(p.log[0] != 0, p.close_old);
		pair_end(&p);
		free(w);
	}
}

/* More than there is room for behind the first request: no initiator does that. */
static void too_much_behind(void)
{
	struct wire *w = wire_create();
	struct pair p;

	pair_begin(&p);
	tcp_conn_create_test(p.old_r, &up, &p);
	wire_plain(w, OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, 1, LOGIN_DATA_MAX);
	wire_plain(w, OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, 2, LOGIN_DATA_MAX);
	feed(&p, w->b, BHS_LEN);
	feed(&p, w->b + BHS_LEN, 2 * LOGIN_DATA_MAX);
	CU_ASSERT_EQUAL(p.accepted, 1);
	CU_ASSERT_EQUAL(p.closed, 1);
	pair_end(&p);
	free(w);
}

static void in_memory(void)
{
	for (int vanishes = 0; vanishes < 2; vanishes++) {
		union pdu_header h = { .bhs = { .opcode = OP_LOGIN_REQUEST } };
		struct memory_peer *peer;
		struct pair p;
		char want[100];

		pair_begin(&p);
		peer = memory_connect(p.old_r, &up, &p);
		h.bhs.itt = be32_of(7);
		memory_send(peer, &h, NULL, 0, "hello", 5);
		if (vanishes)
			memory_disconnect(peer);
		settle(&p);
		snprintf(want, sizeof(want), "03 itt 7 data 5 %x\n", rig_sum("hello", 5));
		CU_ASSERT_STRING_EQUAL(p.log, vanishes ? "" : want);
		CU_ASSERT_EQUAL(p.accepted, vanishes ? 1 : 2);
		CU_ASSERT_PTR_EQUAL(memory_conn(peer), p.new_conn);
		CU_ASSERT_PTR_NULL(p.old_conn);
		pair_end(&p);
		memory_free(peer);
	}
}

UNIT_MAIN(TEST(nothing_lost_nothing_twice), TEST(closed_on_the_way), TEST(too_much_behind),
	  TEST(in_memory));
