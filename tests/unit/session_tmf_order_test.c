// SPDX-License-Identifier: BSD-2-Clause
/*
 * Task management in sessions with several connections: the CmdSN order around a function, and the
 * question to the other connection when things are not as usual.
 */
#include "session_links_rig.h"

static const uint8_t sync_cache[16] = { [0] = 0x35 };

/* A session with two connections. */
struct pair {
	struct rig rig;
	struct initiator a, b;
};

static void pair_up(struct pair *p, const char *disk)
{
	struct server_limits limits = server_default_limits;

	limits.nop_interval_s = 0; /* nobody here would answer a ping */
	CU_ASSERT_FATAL(rig_up_on(&p->rig, disk, &limits, 1));
	log_in_newer(&p->rig, &p->a, 1, p->rig.r);
	link_up(&p->a, &p->b, 2);
}

static void pair_down(struct pair *p)
{
	rig_leave(&p->b);
	rig_leave(&p->a);
	CU_ASSERT_EQUAL(slab_in_use(p->rig.slab), 0);
	CU_ASSERT_TRUE(list_empty(&p->rig.server->reactors[0].sessions));
	rig_down(&p->rig);
}

/* What waits behind a gap that is filled has its turn, and so has what comes out of order later. */
static void the_order_goes_on(void)
{
	uint32_t tmf, gap, ping, itt, first;
	union pdu_header h = { 0 };
	struct memory_record *rec;
	struct pair p;

	pair_up(&p, "ram:1M");
	gap = p.a.cmdsn;
	ping = p.b.itt++;
	h.nop_out.opcode = OP_NOP_OUT;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = be32_of(ping);
	h.nop_out.ttt = be32_of(TAG_NONE);
	h.nop_out.cmdsn = be32_of(gap + 1);
	rig_send(&p.b, &h, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&p.b));
	p.a.cmdsn = gap + 2;
	tmf = link_tmf(&p.a, &p.a, TMF_I_T_NEXUS_RESET, TAG_NONE);
	rec = link_next(&p.b, OP_NOP_IN);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(be32_get(rec->h.nop_in.itt), ping);
	free(rec);
	link_answer(&p.a, &p.b, link_asked(&p.b));
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_TRUE(list_empty(&session_of(&p.a)->held));
	CU_ASSERT_NOT_EQUAL(next_sense(&p.a), 0);
	first = p.a.cmdsn;
	itt = rig_command_sn(&p.b, first + 1, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&p.b));
	p.a.cmdsn = first;
	CU_ASSERT_EQUAL(next_sense(&p.a), 0);
	CU_ASSERT_EQUAL(rig_status(&p.b, itt), SAM_GOOD);
	CU_ASSERT_EQUAL(p.b.maxcmdsn - p.b.expcmdsn + 1, 128);
	pair_down(&p);
}

/* While older commands are waited for, newer ones may come behind the function. */
static void commands_behind_the_function_live(void)
{
	uint32_t tmf, gap, older, newer, ttt;
	struct memory_record *rec;
	struct pair p;

	pair_up(&p, "ram:1M");
	gap = p.a.cmdsn++;
	tmf = link_tmf(&p.a, &p.a, TMF_ABORT_TASK_SET, TAG_NONE);
	newer = link_command(&p.a, &p.a, write_1, CMD_FINAL | CMD_WRITE, 512);
	CU_ASSERT_PTR_NULL(rig_receive(&p.a));
	older = rig_command_sn(&p.b, gap, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	free(link_next(&p.b, OP_R2T));
	rec = link_next(&p.a, OP_R2T);
	CU_ASSERT_FATAL(rec != NULL);
	ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	reactor_advance(p.rig.r, 20 * NSEC_PER_MSEC);
	CU_ASSERT_PTR_NULL(command_find(session_of(&p.a), older));
	link_answer(&p.a, &p.b, link_asked(&p.b));
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_TRUE(rig_data_out(&p.a, newer, ttt, 0, block, 512, true));
	CU_ASSERT_EQUAL(rig_status(&p.a, newer), SAM_GOOD);
	pair_down(&p);
}

/* Without a keep-alive the question to the other connection is no test whether it lives: its answer
 * may take longer than until the next tick. */
static void the_question_is_no_keep_alive(void)
{
	uint64_t tick = server_default_limits.data_timeout_s * NSEC_PER_SEC / 2;
	uint32_t tmf, ttt;
	struct pair p;

	pair_up(&p, "ram:1M");
	reactor_advance(p.rig.r, tick); /* sees the logins */
	rig_turn(&p.rig);
	reactor_advance(p.rig.r, tick - NSEC_PER_MSEC);
	rig_turn(&p.rig);
	tmf = link_tmf(&p.a, &p.a, TMF_ABORT_TASK_SET, TAG_NONE);
	ttt = link_asked(&p.b);
	reactor_advance(p.rig.r, 2 * NSEC_PER_MSEC);
	rig_turn(&p.rig);
	CU_ASSERT_FATAL(memory_conn(p.b.peer) != NULL);
	link_answer(&p.a, &p.b, ttt);
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
	pair_down(&p);
}

/* No memory to ask: what was asked before proves nothing. */
static void a_question_that_is_not_sent(void)
{
	void *taken[256];
	struct pool *pool;
	uint32_t tmf, ttt, itt;
	size_t limit, n = 0;
	struct pair p;

	pair_up(&p, "ram:1M,fault=flush:delay=1s");
	nop_in_ping(iconn_of(&p.b));
	ttt = link_asked(&p.b);
	itt = link_command(&p.a, &p.b, sync_cache, CMD_FINAL, 0);
	tmf = link_tmf(&p.a, &p.a, TMF_ABORT_TASK, itt);
	CU_ASSERT_PTR_NULL(rig_receive(&p.a));
	pool = &p.rig.server->reactors[0].replies;
	limit = pool->limit;
	pool->limit = pool->total;
	while (n < array_size(taken) && (taken[n] = pool_get(pool)))
		n++;
	pass(&p.rig, 1);
	CU_ASSERT_PTR_NULL(rig_receive(&p.b));
	while (n)
		pool_put(pool, taken[--n]);
	pool->limit = limit;
	link_answer(&p.a, &p.b, ttt);
	pass(&p.rig, TMF_S);
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_REJECTED);
	pair_down(&p);
}

static struct transport_ops lingering;

static void close_later(struct conn *conn, bool flush)
{
	(void)flush;
	conn->closing = true;
}

/* A connection whose last words are not sent: the answer is behind them. */
static void a_connection_that_ends_is_waited_for(void)
{
	struct iconn *ending;
	struct conn *conn;
	uint32_t tmf;
	struct pair p;

	pair_up(&p, "ram:1M");
	ending = iconn_of(&p.b);
	conn = ending->conn;
	lingering = memory_transport;
	lingering.close = close_later;
	conn->ops = &lingering;
	iconn_end(ending, true);
	CU_ASSERT_FALSE(iconn_up(ending));
	tmf = link_tmf(&p.a, &p.a, TMF_ABORT_TASK_SET, TAG_NONE);
	CU_ASSERT_PTR_NULL(rig_receive(&p.a));
	memory_transport.close(conn, false);
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_COMPLETE);
	/* One that takes too long: nothing is certain. */
	rig_leave(&p.b);
	link_up(&p.a, &p.b, 3);
	ending = iconn_of(&p.b);
	conn = ending->conn;
	conn->ops = &lingering;
	iconn_end(ending, true);
	tmf = link_tmf(&p.a, &p.a, TMF_ABORT_TASK_SET, TAG_NONE);
	pass(&p.rig, TMF_S);
	CU_ASSERT_EQUAL(rig_tmf_response(&p.a, tmf), TMF_RSP_REJECTED);
	memory_transport.close(conn, false);
	rig_turn(&p.rig);
	pair_down(&p);
}

UNIT_MAIN(TEST(a_connection_that_ends_is_waited_for), TEST(the_order_goes_on),
	  TEST(commands_behind_the_function_live), TEST(the_question_is_no_keep_alive),
	  TEST(a_question_that_is_not_sent));
