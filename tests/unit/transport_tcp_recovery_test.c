// SPDX-License-Identifier: BSD-2-Clause
/*
 * Error recovery levels 1 and 2 over TCP: what is asked for again when Data-Out is lost on its
 * way, R2Ts and Data-In that leave a second time, and the DataACK that Data-In asks for.
 */
#include "tests/unit/transport_rig.h"

static struct rig *level_one(struct conn_params params)
{
	params.error_recovery_level = 1;
	return rig_tcp(&params);
}

static struct rig *plain(uint32_t outstanding)
{
	struct conn_params params = rig_params();

	params.max_outstanding_r2t = outstanding;
	return level_one(params);
}

static struct rig *with_digests(void)
{
	struct conn_params params = rig_params();

	params.data_digest = true;
	return level_one(params);
}

/* A Data-Out whose data digest does not match. */
static void spoilt_data_out(struct wire *w, uint32_t itt, const struct r2t *r, uint32_t datasn,
			    uint32_t offset, uint32_t len, bool final)
{
	size_t at = w->len;

	wire_data_out(w, itt, r ? r->ttt : TAG_NONE, datasn, offset, len, final);
	w->b[at + BHS_LEN] ^= 1;
}

static void is_r2t(const struct r2t *r, uint32_t r2tsn, uint32_t offset, uint32_t len)
{
	CU_ASSERT_EQUAL(r->r2tsn, r2tsn);
	CU_ASSERT_EQUAL(r->offset, offset);
	CU_ASSERT_EQUAL(r->len, len);
}

/* The only R2T that is sent now. */
static struct r2t asked_for(struct rig *rig, uint32_t r2tsn, uint32_t offset, uint32_t len)
{
	struct r2t r = read_r2t(rig);

	is_r2t(&r, r2tsn, offset, len);
	return r;
}

/* From the first byte that is missing to the end of the burst; what was sent for the old tag has
 * no effect and gets no answer. */
static void a_digest_error_is_asked_for_again(void)
{
	struct rig *rig = with_digests();
	struct wire *w = wire_for(rig);
	struct transfer *t = rig_get(rig, 5, 10000);
	struct r2t r[2];

	r[0] = read_r2t(rig);
	wire_data_out(w, 5, r[0].ttt, 0, 0, 5000, false);
	spoilt_data_out(w, 5, &r[0], 1, 5000, 2000, false);
	spoilt_data_out(w, 5, &r[0], 2, 7000, 2999, false);
	wire_data_out(w, 5, r[0].ttt, 3, 9999, 1, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "error 02 opcode 05\nerror 02 opcode 05\n");
	CU_ASSERT_EQUAL(tcp_test_dropped(rig->conn), 2);
	r[1] = asked_for(rig, 1, 5000, 5000);
	CU_ASSERT(r[1].ttt != r[0].ttt);
	/* Still on its way for the old tag, when the new one is known. */
	wire_data_out(w, 5, r[0].ttt, 0, 0, 100, true);
	wire_data_out(w, 5, r[1].ttt, 0, 5000, 3000, false);
	wire_data_out(w, 5, r[1].ttt, 1, 8000, 2000, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 ok 10000\n");
	CU_ASSERT_EQUAL(tcp_test_dropped(rig->conn), 3);
	CU_ASSERT_EQUAL(t->sn, 2);
	CU_ASSERT(landed(t, 5, 10000));
	rig_end(rig, w);
}

/* The rows of lost Data-Out: 10000 bytes at 1000. No Reject: nobody knows its header. */
struct row {
	const char *name;
	struct {
		uint32_t datasn, offset, len;
		bool final;
	} pdu[3];
	uint32_t missing; /* Buffer Offset from which on it is asked for again */
};

static const struct row rows[] = {
	{ "the first PDU lost", { { 1, 2000, 9000, true } }, 1000 },
	{ "one in the middle lost",
	  { { 0, 1000, 100, false }, { 2, 1200, 100, false }, { 3, 1300, 9700, true } },
	  1100 },
	{ "DataSN in order, offset not",
	  { { 0, 1000, 100, false }, { 1, 1104, 9896, true } },
	  1100 },
	{ "offset in order, DataSN not",
	  { { 0, 1000, 100, false }, { 2, 1100, 9900, true } },
	  1100 },
	{ "one PDU twice", { { 0, 1000, 100, false }, { 0, 1000, 100, false } }, 1100 },
	{ "before the transfer", { { 0, 996, 4, true } }, 1000 },
	{ "the last without data", { { 0, 1000, 9999, false }, { 2, 10999, 0, true } }, 10999 },
};

static void gaps_are_asked_for_again(void)
{
	struct wire *w = wire_create();

	for (size_t i = 0; i < array_size(rows); i++) {
		const struct row *row = &rows[i];
		struct rig *rig = plain(1);
		struct transfer *t = rig_transfer(rig, 5, 1000, 10000);
		struct r2t r;

		t->sn = 6;
		conn_get_data(rig->conn, t);
		r = read_r2t(rig);
		for (unsigned int k = 0; k < 3 && row->pdu[k].offset; k++)
			wire_data_out(w, 5, r.ttt, row->pdu[k].datasn, row->pdu[k].offset,
				      row->pdu[k].len, row->pdu[k].final);
		rig_feed(rig, w);
		if (rig->log_len)
			printf("# %s: %s\n", row->name, rig->log);
		CU_ASSERT_STRING_EQUAL(rig_log(rig), "");
		r = asked_for(rig, 7, row->missing, 11000 - row->missing);
		wire_answer(w, &r);
		CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 ok 10000\n");
		CU_ASSERT(landed(t, 5, 10000));
		rig_end(rig, NULL);
	}
	free(w);
}

/* Its own R2T gets what is wrong with data: no more than at level 0. */
static void other_mistakes_are_not_recovered(void)
{
	struct rig *rig = plain(1);
	struct wire *w = wire_create();
	struct r2t r;

	rig_get(rig, 5, 10000);
	r = read_r2t(rig);
	wire_data_out(w, 5, r.ttt + 16, 0, 0, 10000, true);
	wire_data_out(w, 5, r.ttt, 0, 0, 9999, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "error 09 opcode 05\ndone 5 short 9999\n");
	rig_get(rig, 6, 10000);
	r = read_r2t(rig);
	wire_data_out(w, 6, TAG_NONE, 0, 0, 100, true);
	wire_data_out(w, 6, r.ttt, 1, 0, 10000, true);
	rig_feed(rig, w);
	/* The task has failed before it lost anything. */
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 6 unexpected 0\n");
	CU_ASSERT_EQUAL(read_r2ts(rig, &r, 0), 0);
	rig_end(rig, w);
}

/* Eight times, then the task fails as it does at level 0, after its data has come. */
static void who_spoils_for_ever_is_not_asked_for_ever(void)
{
	struct rig *rig = with_digests();
	struct wire *w = wire_for(rig);
	struct r2t r, last;

	rig_get(rig, 5, 10000);
	r = read_r2t(rig);
	for (uint32_t i = 0; i < 8; i++) {
		wire_data_out(w, 5, r.ttt, 0, r.offset, 100, false);
		spoilt_data_out(w, 5, &r, 1, r.offset + 100, 100, false);
		CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "error 02 opcode 05\n");
		last = r;
		r = asked_for(rig, i + 1, last.offset + 100, last.len - 100);
	}
	spoilt_data_out(w, 5, &r, 0, r.offset, 100, false);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "error 02 opcode 05\n");
	CU_ASSERT_EQUAL(read_r2ts(rig, &r, 0), 0);
	wire_data_out(w, 5, last.ttt, 2, 800, 100, true); /* of a burst before */
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "");
	wire_data_out(w, 5, r.ttt, 1, r.offset + 100, r.len - 100, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 digest 800\n");
	rig_end(rig, w);
}

/* Each burst has its tries; the next burst is asked for when one is complete. */
static void a_recovered_burst_makes_room_for_the_next(void)
{
	struct rig *rig = plain(1);
	struct wire *w = wire_create();
	struct transfer *t = rig_get(rig, 5, 3 * 32768);
	struct r2t r;

	for (uint32_t i = 0; i < 3; i++) {
		r = asked_for(rig, 2 * i, i * 32768, 32768);
		wire_data_out(w, 5, r.ttt, 0, r.offset, 20000, false);
		wire_data_out(w, 5, r.ttt, 2, r.offset + 20000, 12768, true);
		rig_feed(rig, w);
		r = asked_for(rig, 2 * i + 1, i * 32768 + 20000, 12768);
		wire_answer(w, &r);
		rig_feed(rig, w);
	}
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 5 ok 98304\n");
	CU_ASSERT(landed(t, 5, 3 * 32768));
	rig_end(rig, w);
}

/* R2TSNs leave in their order; a burst that is complete does not wait for those that are not. */
static void several_bursts_lose_something(void)
{
	struct rig *rig = plain(3);
	struct wire *w = wire_create();
	struct transfer *t = rig_get(rig, 5, 4 * 32768);
	struct r2t r[3], again[3];

	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, r, 3), 3);
	wire_data_out(w, 5, r[2].ttt, 1, r[2].offset, 100, false);
	wire_data_out(w, 5, r[0].ttt, 0, r[0].offset, 100, false);
	wire_data_out(w, 5, r[0].ttt, 2, r[0].offset + 100, 100, false);
	wire_answer(w, &r[1]);
	rig_feed(rig, w);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, again, 3), 3);
	is_r2t(&again[0], 3, r[2].offset, 32768);
	is_r2t(&again[1], 4, r[0].offset + 100, 32668);
	is_r2t(&again[2], 5, 3 * 32768, 32768);
	for (int i = 0; i < 3; i++)
		wire_answer(w, &again[i]);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 ok 131072\n");
	CU_ASSERT(landed(t, 5, 4 * 32768));
	rig_end(rig, w);
}

/* One burst fails while another has a recovery R2T in the queue: that is sent and drained. */
static void a_failed_task_drains_what_it_asks_for_again(void)
{
	struct rig *rig = plain(2);
	struct wire *w = wire_create();
	struct r2t r[2];

	rig_get(rig, 5, 4 * 32768);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, r, 2), 2);
	wire_data_out(w, 5, r[0].ttt, 1, r[0].offset, 100, false);
	wire_data_out(w, 5, r[1].ttt, 0, r[1].offset, 100, true);
	rig_feed(rig, w);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, r, 1), 1);
	is_r2t(&r[0], 2, 0, 32768);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "");
	wire_data_out(w, 5, r[0].ttt, 0, 0, 32768, true);
	rig_feed(rig, w);
	CU_ASSERT_EQUAL(read_r2ts(rig, r, 0), 0);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 5 short 32768\n");
	rig_end(rig, w);
}

static void unsolicited_data_is_asked_for_again(void)
{
	struct rig *rig = with_digests();
	struct wire *w = wire_for(rig);
	struct transfer *t = rig_get_unsolicited(rig, 5, 512, 8000);
	struct r2t r, old;

	wire_data_out(w, 5, TAG_NONE, 0, 512, 3000, false);
	spoilt_data_out(w, 5, NULL, 1, 3512, 3000, false);
	wire_data_out(w, 5, TAG_NONE, 2, 6512, 2000, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "error 02 opcode 05\n");
	CU_ASSERT_EQUAL(tcp_test_dropped(rig->conn), 1);
	old = asked_for(rig, 0, 3512, 5000);
	CU_ASSERT_EQUAL(rig->stamps, 1);
	/* The rest is lost once more, to a gap. */
	wire_data_out(w, 5, old.ttt, 0, 3512, 1000, false);
	wire_data_out(w, 5, old.ttt, 2, 5512, 1000, false);
	wire_data_out(w, 5, old.ttt, 3, 6512, 2000, true);
	wire_data_out(w, 5, TAG_NONE, 3, 6512, 2000, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "");
	r = asked_for(rig, 1, 4512, 4000);
	CU_ASSERT(r.ttt != old.ttt);
	wire_data_out(w, 5, r.ttt, 0, 4512, 4000, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 ok 8000\n");
	CU_ASSERT_EQUAL(t->sn, 2);
	CU_ASSERT(landed(t, 5, 8000));
	rig_end(rig, w);
}

/* What is asked for ends where the R2T ends, as every burst does; too much of the unsolicited
 * sequence, or one that nobody wants, is no loss. */
static void limits_of_unsolicited_data(void)
{
	struct rig *rig = plain(1);
	struct wire *w = wire_create();
	struct r2t r;

	rig_get_unsolicited(rig, 5, 0, 500);
	wire_data_out(w, 5, TAG_NONE, 0, 0, 501, false);
	wire_data_out(w, 5, TAG_NONE, 7, 501, 10, true);
	rig_get_unsolicited(rig, 6, 0, 0);
	wire_data_out(w, 6, TAG_NONE, 7, 0, 0, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 short 0\ndone 6 digest 0\n");
	rig_get_unsolicited(rig, 7, 0, 500);
	wire_data_out(w, 7, TAG_NONE, 1, 100, 400, true);
	rig_feed(rig, w);
	r = asked_for(rig, 0, 0, 500);
	wire_data_out(w, 7, r.ttt, 0, 0, 501, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "error 09 opcode 05 fatal\n");
	conn_close(rig->conn, false);
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 7 canceled 0\nclosed\n");
	rig_end(rig, w);
}

static void cancel_before_the_recovery_r2t_is_out(void)
{
	struct rig *rig = plain(1);
	struct wire *w = wire_create();
	struct transfer *t = rig_get_unsolicited(rig, 5, 0, 500);
	struct r2t r;

	wire_data_out(w, 5, TAG_NONE, 1, 100, 400, false);
	rig_feed(rig, w);
	conn_cancel_data(rig->conn, t);
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 0, 0));
	CU_ASSERT_EQUAL(read_r2ts(rig, &r, 0), 0);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 5 canceled 0\n");
	wire_data_out(w, 5, TAG_NONE, 2, 500, 0, true);
	rig_feed(rig, w);
	CU_ASSERT_EQUAL(tcp_test_dropped(rig->conn), 1);
	rig_end(rig, w);
}

static void r2ts_are_sent_again(void)
{
	struct rig *rig = plain(3);
	struct wire *w = wire_create();
	struct transfer *t;
	struct r2t r[3], again[3];

	t = rig_transfer(rig, 5, 0, 4 * 32768);
	t->sn = 0xfffffffe; /* numbers wrap */
	conn_get_data(rig->conn, t);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, r, 3), 3);
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 6, 0, 0));
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 1, 0));
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 1, 1000));
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 0xfffffff0, 14));
	CU_ASSERT_EQUAL(read_r2ts(rig, again, 0), 0);
	rig->stamps = 0;
	CU_ASSERT(conn_resend_r2ts(rig->conn, 5, 0xffffffff, 1));
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, again, 1), 1);
	CU_ASSERT_EQUAL(memcmp(&again[0], &r[1], sizeof(r[1])), 0);
	CU_ASSERT_EQUAL(rig->stamps, 1);
	/* Twice before it could leave: once. */
	CU_ASSERT(conn_resend_r2ts(rig->conn, 5, 0xfffffff0, 0));
	CU_ASSERT(conn_resend_r2ts(rig->conn, 5, 0xffffffff, 0));
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, again, 3), 3);
	CU_ASSERT_EQUAL(memcmp(again, r, sizeof(r)), 0);
	/* Answered before it left: not at all, and the next burst is asked for. */
	CU_ASSERT(conn_resend_r2ts(rig->conn, 5, 0xfffffffe, 1));
	wire_answer(w, &r[0]);
	rig_feed(rig, w);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, again, 1), 1);
	is_r2t(&again[0], 1, 3 * 32768, 32768);
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 0xfffffffe, 1));
	/* Asked for again behind a gap: only the new number is there. */
	wire_data_out(w, 5, r[1].ttt, 1, r[1].offset, 100, false);
	rig_feed(rig, w);
	r[1] = asked_for(rig, 2, 32768, 32768);
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 0xffffffff, 1));
	CU_ASSERT(conn_resend_r2ts(rig->conn, 5, 2, 1));
	wire_data_out(w, 5, r[1].ttt, 0, r[1].offset, 100, false);
	rig_feed(rig, w);
	again[1] = read_r2t(rig);
	CU_ASSERT_EQUAL(memcmp(&again[1], &r[1], sizeof(r[1])), 0);
	wire_data_out(w, 5, r[1].ttt, 1, r[1].offset + 100, r[1].len - 100, true);
	wire_answer(w, &r[2]);
	wire_answer(w, &again[0]);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 ok 131072\n");
	CU_ASSERT(landed(t, 5, 4 * 32768));
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 5, 0, 0));
	/* Data that nobody asked for has no R2T. */
	rig_get_unsolicited(rig, 7, 0, 100);
	CU_ASSERT_FALSE(conn_resend_r2ts(rig->conn, 7, 0, 0));
	conn_close(rig->conn, false);
	rig_turn(rig);
	rig_end(rig, w);
}

/* --- Data-In */

static struct transfer *put(struct rig *rig, uint32_t itt, uint32_t offset, uint32_t len,
			    uint32_t sn, bool with_status)
{
	struct transfer *t = rig_data_in(rig, itt, offset, len);

	t->h.data_in.ttt = be32_of(0xabc);
	t->with_status = t->final = with_status;
	t->sn = sn;
	return t;
}

/* Reads Data-In PDUs as "DataSN:offset+len[F][S][A]" each; data must be that of t. */
static const char *data_in(struct rig *rig, const struct transfer *t)
{
	struct wire *w = wire_create();
	static char text[4096];
	union pdu_header h;
	const uint8_t *data;
	size_t at = 0, n = 0;
	uint32_t len;

	rig_drain(rig, w);
	text[0] = 0;
	while (wire_read(w, &at, &h, &data, &len)) {
		uint32_t offset = be32_get(h.data_in.buffer_offset);
		bool status = h.data_in.flags & DATA_IN_STATUS, ack = h.data_in.flags & DATA_IN_ACK;

		CU_ASSERT_EQUAL(h.bhs.opcode, OP_DATA_IN);
		CU_ASSERT_EQUAL(be32_get(h.data_in.ttt), ack ? 0xabc : TAG_NONE);
		CU_ASSERT_EQUAL(h.data_in.lun[1], 3);
		CU_ASSERT_EQUAL(be32_get(h.data_in.statsn), status ? 77 : 0);
		CU_ASSERT_EQUAL(h.data_in.status, status ? 0x5a : 0);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%u:%u+%u%s%s%s ",
				      be32_get(h.data_in.datasn), offset, len,
				      h.data_in.flags & PDU_FINAL ? "F" : "", status ? "S" : "",
				      ack ? "A" : "");
		CU_ASSERT_FATAL(offset >= t->offset && offset - t->offset + len <= t->len);
		CU_ASSERT(!len || !memcmp(data, (uint8_t *)t->data + (offset - t->offset), len));
	}
	free(w);
	return text;
}

static void the_last_data_in_asks_for_an_ack(void)
{
	struct rig *rig = plain(1);
	struct transfer *t = put(rig, 4, 0, 40000, 0, false);

	t->ack = true;
	conn_put_data(rig->conn, t);
	CU_ASSERT_STRING_EQUAL(data_in(rig, t), "0:0+8192 1:8192+8192 2:16384+8192 3:24576+8192F "
						"4:32768+7232A ");
	CU_ASSERT_EQUAL(t->sn, 5);
	t = put(rig, 4, 40000, 100, 5, true);
	t->ack = true;
	conn_put_data(rig->conn, t);
	CU_ASSERT_STRING_EQUAL(data_in(rig, t), "5:40000+100FSA ");
	t = put(rig, 4, 40100, 100, 6, true);
	conn_put_data(rig->conn, t);
	CU_ASSERT_STRING_EQUAL(data_in(rig, t), "6:40100+100FS ");
	rig_end(rig, NULL);
}

/* What a SNACK asks for is cut as it was the first time. */
static void data_in_again(void)
{
	static const struct {
		uint32_t from, to;
		bool status, ack;
		const char *want;
	} runs[] = {
		{ 0, UINT32_MAX, true, false,
		  "3:30000+2768F 4:32768+8192 5:40960+8192 6:49152+848FS " },
		{ 3, 7, false, true, "3:30000+2768F 4:32768+8192 5:40960+8192 6:49152+848A " },
		{ 3, 4, true, true, "3:30000+2768F " },
		{ 5, 6, true, false, "5:40960+8192 " },
		{ 4, 6, true, false, "4:32768+8192 5:40960+8192 " },
		{ 6, 7, true, true, "6:49152+848FSA " },
		{ 6, 100, false, false, "6:49152+848 " },
		{ 0, 3, true, true, "" },
		{ 7, 9, true, true, "" },
		{ 5, 5, true, true, "" },
	};
	struct rig *rig = plain(1);

	for (size_t i = 0; i < array_size(runs); i++) {
		struct transfer *t = put(rig, 4, 30000, 20000, 3, runs[i].status);

		t->part = true;
		t->from = runs[i].from;
		t->to = runs[i].to;
		t->ack = runs[i].ack;
		conn_put_data(rig->conn, t);
		CU_ASSERT_STRING_EQUAL(rig->log, "");
		CU_ASSERT_STRING_EQUAL(data_in(rig, t), runs[i].want);
		CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 4 ok 0\n");
		CU_ASSERT_EQUAL(t->sn, 7);
		CU_ASSERT_EQUAL(rig->conn->bytes_queued, 0);
	}
	rig_end(rig, NULL);
}

/* A run of a long read that does not fit in one send. */
static void a_long_run_again(void)
{
	struct conn_params params = rig_params();
	struct rig *rig;
	struct transfer *t;
	const char *text;
	char want[40];

	params.max_xmit_dsl = 512;
	rig = level_one(params);
	t = put(rig, 4, 0, 200 * 512, 0, true);
	t->part = true;
	t->from = 10;
	t->to = 199;
	conn_put_data(rig->conn, t);
	text = data_in(rig, t);
	for (uint32_t sn = 10; sn < 199; sn++) {
		int n = snprintf(want, sizeof(want), "%u:%u+512%s ", sn, sn * 512,
				 sn % 64 == 63 ? "F" : "");

		CU_ASSERT_FATAL(!strncmp(text, want, (size_t)n));
		text += n;
	}
	CU_ASSERT_STRING_EQUAL(text, "");
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 4 ok 0\n");
	rig_end(rig, NULL);
}

UNIT_MAIN(TEST(a_digest_error_is_asked_for_again), TEST(gaps_are_asked_for_again),
	  TEST(other_mistakes_are_not_recovered), TEST(who_spoils_for_ever_is_not_asked_for_ever),
	  TEST(a_recovered_burst_makes_room_for_the_next), TEST(several_bursts_lose_something),
	  TEST(a_failed_task_drains_what_it_asks_for_again),
	  TEST(unsolicited_data_is_asked_for_again), TEST(limits_of_unsolicited_data),
	  TEST(cancel_before_the_recovery_r2t_is_out), TEST(r2ts_are_sent_again),
	  TEST(the_last_data_in_asks_for_an_ack), TEST(data_in_again), TEST(a_long_run_again));
