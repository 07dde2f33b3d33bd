// SPDX-License-Identifier: BSD-2-Clause
/*
 * Error recovery where two things meet: a refusal and a lost connection, an abort and what is sent
 * anew, a status that is wanted while data moves, a clock that belongs to the past.
 */
#include "session_recovery_rig.h"

/* As if pieces were that much shorter than MaxBurstLength, after which a DataACK has to come. */
static void begin_bursts(struct test *t, unsigned int level, const char *disk, uint32_t max_burst,
			 const struct server_limits *limits)
{
	begin_with(t, level, disk, limits);
	session_of(t)->who.params.max_burst = max_burst;
}

static void expect_data(struct test *t, uint32_t datasn)
{
	struct memory_record *rec = expect(t, OP_DATA_IN);

	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.datasn), datasn);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.buffer_offset), datasn * MIB);
	free(rec);
}

/* A status that does not say that there is less data than there is. */
static void expect_status(struct test *t, uint32_t itt, uint32_t expdatasn, uint32_t snack_tag)
{
	struct memory_record *rec = expect(t, OP_SCSI_RESPONSE);

	CU_ASSERT_EQUAL(be32_get(rec->h.scsi_response.itt), itt);
	CU_ASSERT_EQUAL(rec->h.scsi_response.status, SAM_GOOD);
	CU_ASSERT_EQUAL(be32_get(rec->h.scsi_response.expdatasn), expdatasn);
	CU_ASSERT_EQUAL(be32_get(rec->h.scsi_response.snack_tag), snack_tag);
	free(rec);
}

/* --- Connections that are lost */

/* The status of a task that ended with SNACK REJECTED is as good as any other. */
static void refused_and_lost(void)
{
	struct test t;
	uint32_t itt;

	itt = begin_unkept(&t);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	expect_reject(&t, REJECT_SNACK);
	expect_refusal(&t, itt);
	for (int i = 0; i < 2; i++) {
		reconnect(&t);
		expect_reassigned(&t, itt, 0, TMF_RSP_COMPLETE);
		CU_ASSERT_EQUAL(expect_refusal(&t, itt), conn_of(&t)->statsn - 1);
		expect_nothing(&t);
	}
	keep_again(&t);
	ack_status(&t);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	end(&t);
}

/* Aborted while a piece that is kept goes out anew, before one that is the SCSI layer's. */
static void abort_behind_a_piece(void)
{
	struct memory_record *rec;
	bool answered = false;
	uint32_t itt, tmf;
	struct test t;

	begin_bursts(&t, 2, "ram:8M,fault=read:delay=1s", 4 * MIB, NULL);
	itt = read_kib(&t, 2048);
	reactor_advance(t.rig.r, NSEC_PER_SEC + NSEC_PER_SEC / 2);
	expect_data(&t, 0);
	keep_nothing(&t);
	break_at_data(&t);
	reactor_advance(t.rig.r, NSEC_PER_SEC);
	CU_ASSERT_PTR_NULL_FATAL(memory_conn(t.in.peer));
	forget_peer(&t, join(&t, 0));
	reassign(&t, itt, 0);
	tmf = rig_tmf(&t.in, TMF_ABORT_TASK, itt, t.in.cmdsn - 1);
	while ((rec = rig_receive(&t.in))) {
		answered |= be32_get(rec->h.bhs.itt) == tmf;
		free(rec);
	}
	CU_ASSERT_TRUE(answered);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	keep_again(&t);
	end(&t);
}

/* A SNACK may come while the task goes out anew, before its status has a number. */
static void snack_behind_reassign(void)
{
	struct test t;
	uint32_t itt, tmf;

	begin(&t, 2);
	itt = command(&t, read_8, CMD_READ, 4096);
	free(expect(&t, OP_DATA_IN));
	reconnect(&t);
	tmf = reassign(&t, itt, 0);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&t.in, tmf), TMF_RSP_COMPLETE);
	free(expect(&t, OP_DATA_IN));
	expect_status(&t, itt, 1, 0);
	free(expect(&t, OP_DATA_IN));
	expect_nothing(&t);
	end(&t);
}

/* The connection ends with the answer to TASK REASSIGN, and nobody may come back. */
static void reassigned_in_vain(void)
{
	struct memory_peer *first;
	struct test t;
	uint32_t itt;

	begin(&t, 2);
	itt = command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	first = join(&t, 1);
	forget_peer(&t, first);
	log_out_for_recovery(&t, 0);
	conn_of(&t)->replies += REPLIES_MAX;
	reassign(&t, itt, 0);
	t.rig.server->reactors[0].draining = true;
	rig_turn(&t.rig);
	CU_ASSERT_PTR_NULL(memory_conn(t.in.peer));
	CU_ASSERT_TRUE(list_empty(&t.rig.server->reactors[0].sessions));
	end(&t);
}

/* What is not kept, but has arrived: nothing is missing. */
static void arrived_and_lost(void)
{
	struct test t;
	uint32_t itt;

	itt = begin_unkept(&t);
	reconnect(&t);
	expect_reassigned(&t, itt, 1, TMF_RSP_COMPLETE);
	expect_status(&t, itt, 1, 0);
	expect_nothing(&t);
	keep_again(&t);
	end(&t);
}

/* The connection broke between two PDUs of one piece: the rest of it is missing. */
static void broken_in_a_piece(void)
{
	struct memory_record *rec;
	struct test t;
	uint32_t itt;

	begin(&t, 2);
	break_at_data(&t);
	itt = read_kib(&t, 32);
	rig_turn(&t.rig);
	forget_peer(&t, join(&t, 0));
	CU_ASSERT_EQUAL(conn_of(&t)->conn->params.max_xmit_dsl, 8192);
	expect_reassigned(&t, itt, 1, TMF_RSP_COMPLETE);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.datasn), 1);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.buffer_offset), 8192);
	CU_ASSERT_EQUAL(rec->len, 3 * 8192);
	CU_ASSERT_TRUE(is_disk(&t, rec));
	free(rec);
	expect_status(&t, itt, 2, 0);
	end(&t);
}

/* --- The status, and data that moves */

static void begin_with_response(struct test *t, uint32_t *itt)
{
	begin_bursts(t, 1, "ram:8M", 4 * MIB, NULL);
	*itt = read_kib(t, 2048);
	expect_data(t, 0);
	expect_data(t, 1);
	snack(t, SNACK_R_DATA, *itt, 5, 0, 0);
	expect_data(t, 0);
	expect_data(t, 1);
	expect_status(t, *itt, 2, 5);
	expect_nothing(t);
}

/* ExpDataSN is that of the whole, though DataSN is in the middle of a run. */
static void status_in_a_run(void)
{
	struct test t;
	uint32_t itt;

	begin_with_response(&t, &itt);
	for (int i = 0; i < 2; i++)
		snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, conn_of(&t)->statsn - 1, 1);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 1);
	expect_status(&t, itt, 2, 5);
	expect_data(&t, 0);
	expect_status(&t, itt, 2, 5);
	expect_nothing(&t);
	end(&t);
}

/* And no status gets in front of data that goes out anew. */
static void status_in_r_data(void)
{
	struct test t;
	uint32_t itt;

	begin_with_response(&t, &itt);
	for (int i = 0; i < 2; i++)
		snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, conn_of(&t)->statsn - 1, 1);
	snack(&t, SNACK_R_DATA, itt, 6, 0, 0);
	expect_status(&t, itt, 2, 5);
	expect_data(&t, 0);
	expect_data(&t, 1);
	expect_status(&t, itt, 2, 6);
	expect_nothing(&t);
	end(&t);
}

/* The Data-In that had the status cannot be cut as it was: the status has a PDU of its own. */
static void status_of_other_segments(void)
{
	static const char key[] = "MaxRecvDataSegmentLength=4096";
	union pdu_header h = { 0 };
	struct test t;
	uint32_t itt, statsn;

	begin(&t, 1);
	itt = read_kib(&t, 16);
	free(expect(&t, OP_DATA_IN));
	statsn = conn_of(&t)->statsn - 1;
	h.text_request.opcode = OP_TEXT_REQUEST | OPCODE_IMMEDIATE;
	h.text_request.flags = PDU_FINAL;
	h.text_request.itt = be32_of(0x7e7e);
	h.text_request.ttt = be32_of(TAG_NONE);
	h.text_request.cmdsn = be32_of(t.in.cmdsn);
	h.text_request.expstatsn = be32_of(t.acked);
	rig_send(&t.in, &h, key, sizeof(key));
	free(expect(&t, OP_TEXT_RESPONSE));
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, statsn, 1);
	expect_response(&t, itt, statsn, SAM_GOOD, 0);
	expect_nothing(&t);
	end(&t);
}

/* --- DataACK */

/* One for a PDU that has not gone out anew yet says nothing of what is on the way. */
static void ack_too_early(void)
{
	struct memory_record *rec;
	uint32_t itt, ttt;
	struct test t;

	begin_bursts(&t, 1, "ram:8M", 2 * MIB, NULL);
	itt = read_kib(&t, 3072);
	expect_data(&t, 0);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_TRUE(rec->h.data_in.flags & DATA_IN_ACK);
	ttt = be32_get(rec->h.data_in.ttt);
	free(rec);
	snack(&t, SNACK_R_DATA, itt, 5, 0, 0);
	snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, 1, 0);
	expect_data(&t, 0);
	expect_reject(&t, REJECT_INVALID_DATA_ACK);
	expect_data(&t, 1);
	snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, 2, 0);
	expect_data(&t, 2);
	expect_status(&t, itt, 3, 5);
	end(&t);
}

/* While data moves that a SNACK has asked for: DataSN is in the past then. */
static void ack_in_a_run(void)
{
	struct memory_record *rec;
	uint32_t itt, ttt;
	struct test t;

	begin_bursts(&t, 1, "ram:8M", 2 * MIB, NULL);
	itt = read_kib(&t, 3072);
	expect_data(&t, 0);
	rec = expect(&t, OP_DATA_IN);
	ttt = be32_get(rec->h.data_in.ttt);
	free(rec);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 1);
	snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, 2, 0);
	expect_data(&t, 0);
	expect_data(&t, 2);
	expect_nothing(&t);
	end(&t);
}

/* ExpDataSN of TASK REASSIGN is no DataACK for what comes behind it. */
static void ack_after_reassign(void)
{
	struct memory_record *rec;
	uint32_t itt, ttt;
	struct test t;

	begin_bursts(&t, 2, "ram:8M", 2 * MIB, NULL);
	itt = read_kib(&t, 3072);
	expect_data(&t, 0);
	expect_data(&t, 1);
	reconnect(&t);
	expect_reassigned(&t, itt, 1, TMF_RSP_COMPLETE);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.datasn), 1);
	CU_ASSERT_TRUE(rec->h.data_in.flags & DATA_IN_ACK);
	ttt = be32_get(rec->h.data_in.ttt);
	free(rec);
	expect_nothing(&t);
	snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, 2, 0);
	expect_data(&t, 2);
	end(&t);
}

/* Nobody waits for memory that is not kept. */
static void no_ack_for_what_is_not_kept(void)
{
	struct memory_record *rec;
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	keep_nothing(&t);
	itt = read_kib(&t, 2048);
	for (int i = 0; i < 2; i++) {
		rec = expect(&t, OP_DATA_IN);
		CU_ASSERT_FALSE(rec->h.data_in.flags & DATA_IN_ACK);
		free(rec);
	}
	expect_status(&t, itt, 2, 0);
	keep_again(&t);
	end(&t);
}

enum { PATIENCE = 10 };

static const struct server_limits *timed(struct server_limits *limits, uint32_t nop_interval_s)
{
	*limits = server_default_limits;
	limits->data_timeout_s = PATIENCE;
	limits->nop_interval_s = nop_interval_s;
	return limits;
}

/* The time for a DataACK that was asked for on a connection of old is over. */
static void ack_of_old(void)
{
	struct server_limits limits;
	struct test t;
	uint32_t itt;

	begin_bursts(&t, 2, "ram:8M", 2 * MIB, timed(&limits, 0));
	itt = read_kib(&t, 3072);
	expect_data(&t, 0);
	expect_data(&t, 1);
	memory_disconnect(t.in.peer);
	reactor_advance(t.rig.r, (PATIENCE + 5) * NSEC_PER_SEC);
	reconnect(&t);
	reassign(&t, itt, 0);
	/* The piece before the one that asks is on its way. */
	CU_ASSERT_PTR_NULL(recovery_overdue(conn_of(&t), reactor_now(t.rig.r)));
	rig_turn(&t.rig);
	CU_ASSERT_PTR_NULL(recovery_overdue(conn_of(&t), reactor_now(t.rig.r)));
	CU_ASSERT_PTR_NOT_NULL(recovery_overdue(
		conn_of(&t), reactor_now(t.rig.r) + (PATIENCE + 1) * NSEC_PER_SEC));
	end(&t);
}

/* Nobody acknowledges data of a task that was aborted, however long the disk keeps it. */
static void ack_of_an_aborted_task(void)
{
	struct server_limits limits;
	struct test t;
	uint32_t itt;

	begin_bursts(&t, 1, "ram:8M,fault=read:delay=40s", 512 << 10, timed(&limits, 0));
	itt = read_kib(&t, 2048);
	reactor_advance(t.rig.r, 41 * NSEC_PER_SEC);
	expect_data(&t, 0);
	rig_tmf(&t.in, TMF_ABORT_TASK, itt, t.in.cmdsn - 1);
	for (int i = 0; i < 3 * PATIENCE; i++)
		reactor_advance(t.rig.r, NSEC_PER_SEC);
	CU_ASSERT_PTR_NOT_NULL_FATAL(memory_conn(t.in.peer));
	free(expect(&t, OP_TMF_RESPONSE));
	reactor_advance(t.rig.r, 20 * NSEC_PER_SEC); /* the disk's */
	end(&t);
}

/* --- StatSN and ExpStatSN */

/* StatSN wraps in the middle of what is not acknowledged. */
static void statsn_wraps(void)
{
	const uint32_t base = UINT32_MAX - 1;
	uint32_t itt[4];
	struct test t;

	begin(&t, 1);
	conn_of(&t)->statsn = t.acked = base;
	for (uint32_t i = 0; i < 4; i++) {
		itt[i] = command(&t, tur, 0, 0);
		expect_response(&t, itt[i], base + i, SAM_GOOD, 0);
	}
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base, 4);
	for (uint32_t i = 0; i < 4; i++)
		expect_response(&t, itt[i], base + i, SAM_GOOD, 0);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base + 2, 1);
	expect_response(&t, itt[2], 0, SAM_GOOD, 0);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base, 5);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	t.acked = base + 3;
	command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base + 2, 1);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base + 3, 1);
	expect_response(&t, itt[3], 1, SAM_GOOD, 0);
	end(&t);
}

/* The status is acknowledged before the transport has given the data back. */
static void acknowledged_while_it_moves(void)
{
	union pdu_header h = { 0 };
	struct test t;

	begin(&t, 1);
	command(&t, read_8, CMD_READ, 4096);
	acknowledge(&t);
	h.nop_out.opcode = OP_NOP_OUT | OPCODE_IMMEDIATE;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = h.nop_out.ttt = be32_of(TAG_NONE);
	h.nop_out.cmdsn = be32_of(t.in.cmdsn);
	h.nop_out.expstatsn = be32_of(t.acked);
	rig_send(&t.in, &h, NULL, 0);
	CU_ASSERT_TRUE(list_empty(&conn_of(&t)->unacked));
	CU_ASSERT_EQUAL(session_of(&t)->kept_bytes, 4096);
	rig_turn(&t.rig);
	CU_ASSERT_EQUAL(session_of(&t)->kept_bytes, 0);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	free(expect(&t, OP_DATA_IN));
	end(&t);
}

/* On a slow line the status is still on its way, and what is asked for stands behind it. */
static void slow_line(void)
{
	struct server_limits limits;
	unsigned int seconds = 0;
	struct test t;

	begin_bursts(&t, 1, "ram:8M", MIB, timed(&limits, 4 * PATIENCE));
	command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	memory_conn(t.in.peer)->bytes_queued = 1;
	for (int i = 0; i < 3 * PATIENCE; i++) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(memory_conn(t.in.peer));
		stat_add(&memory_conn(t.in.peer)->bytes_out, 1);
		command(&t, tur, 0, 0);
		reactor_advance(t.rig.r, NSEC_PER_SEC);
	}
	memory_conn(t.in.peer)->bytes_queued = 0;
	while (memory_conn(t.in.peer) && ++seconds < 3 * PATIENCE) {
		command(&t, tur, 0, 0);
		reactor_advance(t.rig.r, NSEC_PER_SEC);
	}
	CU_ASSERT_TRUE(seconds < 3 * PATIENCE);
	end(&t);
}

/* Tasks that start only after their connection is lost hold memory like those that ran: one that is ended
 * for its memory makes room for the next. */
static void started_and_forgotten(void)
{
	enum { READS = 4 };
	struct reactor_state *rs;
	uint32_t itt[READS];
	struct session *s;
	struct test t;

	begin(&t, 2);
	s = session_of(&t);
	rs = s->rs;
	keep_nothing(&t);
	s->long_bytes = rs->long_max = 1; /* one at a time, and that one was there before */
	for (int i = 0; i < READS; i++)
		itt[i] = read_kib(&t, 1024);
	rig_turn(&t.rig);
	CU_ASSERT_EQUAL(s->parked_count, READS);
	memory_disconnect(t.in.peer);
	rig_turn(&t.rig);
	rs->pinned_bytes += buf_budget(rs->reactor); /* nobody may hold any more */
	s->long_bytes = 0;
	reactor_defer(rs->reactor, &s->unpark_work);
	reactor_advance(t.rig.r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(slab_in_use(t.rig.slab), 0);
	CU_ASSERT_EQUAL(rs->pinned_bytes, buf_budget(rs->reactor));
	rs->pinned_bytes -= buf_budget(rs->reactor);
	forget_peer(&t, join(&t, 0));
	for (int i = 0; i < READS; i++) {
		expect_reassigned(&t, itt[i], 0, TMF_RSP_COMPLETE);
		expect_refusal(&t, itt[i]);
	}
	expect_nothing(&t);
	keep_again(&t);
	end(&t);
}

UNIT_MAIN(TEST(started_and_forgotten), TEST(refused_and_lost), TEST(abort_behind_a_piece),
	  TEST(snack_behind_reassign), TEST(reassigned_in_vain), TEST(arrived_and_lost),
	  TEST(broken_in_a_piece), TEST(status_in_a_run), TEST(status_in_r_data),
	  TEST(status_of_other_segments), TEST(ack_too_early), TEST(ack_in_a_run),
	  TEST(ack_after_reassign), TEST(no_ack_for_what_is_not_kept), TEST(ack_of_old),
	  TEST(ack_of_an_aborted_task), TEST(statsn_wraps), TEST(acknowledged_while_it_moves),
	  TEST(slow_line));
