// SPDX-License-Identifier: BSD-2-Clause
/*
 * R2T and Data-Out: how get_data() asks for its data, and what every kind of wrong Data-Out gets.
 */
#include "tests/unit/transport_rig.h"

/* One get_data() of 100000 bytes with bursts of 32768, answered as asked. */
static void r2ts_follow_each_other(uint32_t outstanding, const char *issued)
{
	struct conn_params params = rig_params();
	struct rig *rig;
	struct wire *w = wire_create();
	struct transfer *t;
	char log[100] = "";
	struct r2t r[16];
	unsigned int n;
	uint32_t sn = 7;

	params.max_outstanding_r2t = outstanding;
	rig = rig_tcp(&params);
	t = rig_transfer(rig, 5, 4096, 100000);
	t->sn = sn;
	conn_get_data(rig->conn, t);
	while ((n = read_r2ts(rig, r, 16))) {
		snprintf(log + strlen(log), sizeof(log) - strlen(log), "%u ", n);
		for (unsigned int i = 0; i < n; i++) {
			uint32_t half = r[i].len / 2;

			CU_ASSERT_EQUAL(r[i].itt, 5);
			CU_ASSERT_EQUAL(r[i].r2tsn, sn);
			CU_ASSERT_EQUAL(r[i].offset, 4096 + (sn - 7) * 32768);
			CU_ASSERT_EQUAL(r[i].len, sn - 7 == 3 ? 100000 - 3 * 32768 : 32768);
			CU_ASSERT_STRING_EQUAL(rig->log, "");
			wire_data_out(w, 5, r[i].ttt, 0, r[i].offset, half, false);
			wire_data_out(w, 5, r[i].ttt, 1, r[i].offset + half, r[i].len - half, true);
			sn++;
		}
		rig_feed(rig, w);
	}
	CU_ASSERT_STRING_EQUAL(log, issued);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 5 ok 100000\n");
	CU_ASSERT_EQUAL(t->sn, 11);
	CU_ASSERT(landed(t, 5, 100000));
	rig_end(rig, w);
}

static void r2t_scheduling(void)
{
	r2ts_follow_each_other(1, "1 1 1 1 ");
	r2ts_follow_each_other(3, "3 1 ");
	r2ts_follow_each_other(16, "4 ");
}

/* One more R2T for each burst that is complete, whichever that is. */
static void bursts_may_complete_in_any_order(void)
{
	struct conn_params params = rig_params();
	struct rig *rig;
	struct wire *w = wire_create();
	struct transfer *t;
	struct r2t r[4];

	params.max_outstanding_r2t = 2;
	rig = rig_tcp(&params);
	t = rig_get(rig, 6, 3 * 32768);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, r, 4), 2);
	wire_answer(w, &r[1]);
	rig_feed(rig, w);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, r + 2, 2), 1);
	CU_ASSERT(r[2].ttt != r[0].ttt && r[2].ttt != r[1].ttt);
	wire_answer(w, &r[2]);
	wire_answer(w, &r[0]);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 6 ok 98304\n");
	CU_ASSERT(landed(t, 6, 3 * 32768));
	rig_end(rig, w);
}

static void many_commands_at_a_time(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	struct r2t r[60];

	/* ITTs that share a bucket. */
	for (uint32_t i = 0; i < 60; i++)
		rig_get(rig, i * 64, 1000 + i);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, r, 60), 60);
	for (uint32_t i = 60; i--;)
		wire_data_out(w, r[i].itt, r[i].ttt, 0, 0, r[i].len, true);
	rig_feed(rig, w);
	for (uint32_t i = 0; i < 60; i++) {
		CU_ASSERT_EQUAL(rig->transfer[i].received, 1000 + i);
		CU_ASSERT(landed(&rig->transfer[i], i * 64, 1000 + i));
	}
	rig_end(rig, w);
}

/* The rows of wrong Data-Out against a transfer of 10000 bytes at 1000 in one burst. */
struct row {
	const char *name;
	struct {
		uint32_t itt, ttt_plus, datasn, offset, len;
		bool final, no_ttt;
	} pdu[3];
	const char *log;
	unsigned int dropped;
};

static const struct row rows[] = {
	{ "unknown ITT", { { 9, 0, 0, 1000, 10000, true, false } }, "", 1 },
	{ "unknown ITT, unsolicited", { { 9, 0, 0, 0, 100, true, true } }, "", 1 },
	{ "wrong TTT", { { 5, 16, 0, 1000, 10000, true, false } }, "error 09 opcode 05\n", 0 },
	{ "wrong slot in the TTT",
	  { { 5, 1, 0, 1000, 4, true, false } },
	  "error 09 opcode 05\n",
	  0 },
	{ "unsolicited and not allowed: drained until the burst is complete",
	  { { 5, 0, 0, 0, 100, true, true }, { 5, 0, 0, 1000, 10000, true, false } },
	  "done 5 unexpected 10000\n",
	  0 },
	{ "beyond the burst",
	  { { 5, 0, 0, 1000, 10001, true, false } },
	  "error 09 opcode 05 fatal\n",
	  0 },
	{ "begins beyond the burst",
	  { { 5, 0, 0, 11001, 0, true, false } },
	  "error 09 opcode 05 fatal\n",
	  0 },
	{ "32-bit wrap",
	  { { 5, 0, 0, 0xfffffff0, 0x20, true, false } },
	  "error 09 opcode 05 fatal\n",
	  0 },
	{ "32-bit wrap into the burst",
	  { { 5, 0, 0, 0xfffffff0, 1400, true, false } },
	  "error 09 opcode 05 fatal\n",
	  0 },
	{ "begins before the transfer",
	  { { 5, 0, 0, 996, 4, true, false } },
	  "done 5 digest 0\n",
	  0 },
	{ "gap", { { 5, 0, 0, 1004, 9996, true, false } }, "done 5 digest 0\n", 0 },
	{ "overlap",
	  { { 5, 0, 0, 1000, 100, false, false }, { 5, 0, 1, 1096, 9904, true, false } },
	  "done 5 digest 100\n",
	  0 },
	{ "DataSN does not begin at 0",
	  { { 5, 0, 1, 1000, 10000, true, false } },
	  "done 5 digest 0\n",
	  0 },
	{ "DataSN repeated",
	  { { 5, 0, 0, 1000, 100, false, false }, { 5, 0, 0, 1100, 9900, true, false } },
	  "done 5 digest 100\n",
	  0 },
	{ "DataSN skipped, burst goes on",
	  { { 5, 0, 0, 1000, 100, false, false },
	    { 5, 0, 2, 1100, 100, false, false },
	    { 5, 0, 3, 1200, 9800, true, false } },
	  "done 5 digest 100\n",
	  0 },
	{ "DataSN -1", { { 5, 0, 0xffffffff, 1000, 10000, true, false } }, "done 5 digest 0\n", 0 },
	{ "F early", { { 5, 0, 0, 1000, 9999, true, false } }, "done 5 short 9999\n", 0 },
	{ "F at once without data", { { 5, 0, 0, 1000, 0, true, false } }, "done 5 short 0\n", 0 },
	{ "F missing at the end",
	  { { 5, 0, 0, 1000, 10000, false, false } },
	  "done 5 short 10000\n",
	  0 },
	{ "F missing so far", { { 5, 0, 0, 1000, 9999, false, false } }, "", 0 },
};

static void close_on_fatal(struct rig *rig, bool fatal)
{
	if (fatal)
		conn_close(rig->conn, false);
}

static void wrong_data_out(void)
{
	struct wire *w = wire_create();

	for (size_t i = 0; i < array_size(rows); i++) {
		struct conn_params params = rig_params();
		struct rig *rig = rig_tcp(&params);
		struct transfer *t = rig_transfer(rig, 5, 1000, 10000);
		const struct row *row = &rows[i];
		struct r2t r;
		bool fatal = strstr(row->log, "fatal");
		uint8_t guard[8];

		rig->on_error = close_on_fatal;
		free(t->data);
		t->data = calloc(1, 10000 + sizeof(guard));
		memset((uint8_t *)t->data + 10000, 0x5a, sizeof(guard));
		memset(guard, 0x5a, sizeof(guard));
		conn_get_data(rig->conn, t);
		r = read_r2t(rig);
		for (unsigned int k = 0; k < 3 && row->pdu[k].itt; k++) {
			uint32_t ttt = row->pdu[k].no_ttt ? TAG_NONE : r.ttt + row->pdu[k].ttt_plus;

			wire_data_out(w, row->pdu[k].itt, ttt, row->pdu[k].datasn,
				      row->pdu[k].offset, row->pdu[k].len, row->pdu[k].final);
		}
		rig_feed(rig, w);
		if (strcmp(rig->log, row->log))
			printf("# %s: %s\n", row->name, rig->log);
		CU_ASSERT_STRING_EQUAL(rig_log(rig), row->log);
		CU_ASSERT_EQUAL(tcp_test_dropped(rig->conn), row->dropped);
		if (!fatal) {
			/* The stream is in step. */
			wire_plain(w, OP_NOP_OUT, 2, 0);
			CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "pdu 00 itt 2\n");
		}
		CU_ASSERT_EQUAL(read_r2ts(rig, &r, 0), 0);
		CU_ASSERT_EQUAL(memcmp((uint8_t *)t->data + 10000, guard, sizeof(guard)), 0);
		/* What is open returns the transfer before its memory goes. */
		if (rig->conn)
			conn_close(rig->conn, false);
		rig_turn(rig);
		rig_end(rig, NULL);
	}
	free(w);
}

/* What is wrong never reaches memory, except in a burst that is reported as spoilt. */
static void nothing_lands_out_of_order(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	struct transfer *t = rig_get(rig, 5, 10000);
	uint8_t zero[5000] = { 0 };
	struct r2t r;

	r = read_r2t(rig);
	wire_data_out(w, 5, r.ttt, 0, 0, 5000, false);
	wire_data_out(w, 5, r.ttt, 2, 5000, 3000, false);
	wire_data_out(w, 5, r.ttt, 3, 8000, 2000, true);
	wire_data_out(w, 5, r.ttt, 1, 5000, 3000, false);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 digest 5000\n");
	CU_ASSERT(landed(t, 5, 5000));
	CU_ASSERT_EQUAL(memcmp((uint8_t *)t->data + 5000, zero, 5000), 0);
	CU_ASSERT_EQUAL(tcp_test_dropped(rig->conn), 1);
	rig_end(rig, w);
}

/* A spoilt task asks for nothing more but drains what it has asked for. */
static void a_spoilt_task_drains_its_other_bursts(void)
{
	struct conn_params params = rig_params();
	struct rig *rig;
	struct wire *w = wire_create();
	struct r2t r[4];

	params.max_outstanding_r2t = 3;
	rig = rig_tcp(&params);
	rig_get(rig, 5, 10 * 32768);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, r, 4), 3);
	wire_data_out(w, 5, r[0].ttt, 0, r[0].offset, 100, true);
	wire_answer(w, &r[1]);
	rig_feed(rig, w);
	CU_ASSERT_EQUAL(read_r2ts(rig, r, 0), 0);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "");
	wire_data_out(w, 5, r[2].ttt, 9, r[2].offset, r[2].len, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 short 100\n");
	rig_end(rig, w);
}

static void bad_data_digest_spoils_the_burst(void)
{
	struct conn_params params = rig_params();
	struct wire *w = wire_create();
	struct rig *rig;
	struct r2t r;

	params.data_digest = w->data_digest = true;
	rig = rig_tcp(&params);
	CU_ASSERT(rig->conn->stable_source);
	rig_get(rig, 5, 10001);
	r = read_r2t(rig);
	wire_data_out(w, 5, r.ttt, 0, 0, 5000, false);
	w->b[BHS_LEN + 17] ^= 4;
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "error 02 opcode 05\n");
	wire_data_out(w, 5, r.ttt, 1, 5000, 5001, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 digest 0\n");
	/* The last one is the bad one. */
	rig_get(rig, 6, 3);
	r = read_r2t(rig);
	wire_data_out(w, 6, r.ttt, 0, 0, 3, true);
	w->b[BHS_LEN + 3] = 1; /* padding */
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "error 02 opcode 05\ndone 6 digest 0\n");
	rig_end(rig, w);
}

static void unsolicited_data(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	struct transfer *t = rig_get_unsolicited(rig, 5, 0, 8000);

	/* Ends with F, however much has come. */
	wire_data_out(w, 5, TAG_NONE, 0, 0, 3000, false);
	wire_data_out(w, 5, TAG_NONE, 1, 3000, 3001, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 ok 6001\n");
	CU_ASSERT(landed(t, 5, 6001));
	/* All is there, but F comes in a PDU of its own. */
	t = rig_get_unsolicited(rig, 6, 0, 500);
	wire_data_out(w, 6, TAG_NONE, 0, 0, 500, false);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "");
	wire_data_out(w, 6, TAG_NONE, 1, 500, 0, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 6 ok 500\n");
	CU_ASSERT(landed(t, 6, 500));
	/* More than allowed: drained to F. */
	rig_get_unsolicited(rig, 7, 0, 500);
	wire_data_out(w, 7, TAG_NONE, 0, 0, 400, false);
	wire_data_out(w, 7, TAG_NONE, 1, 400, 101, false);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "");
	wire_data_out(w, 7, TAG_NONE, 2, 501, 10000, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 7 short 400\n");
	/* Nothing is allowed: a drain into nowhere. */
	rig_get_unsolicited(rig, 8, 0, 0);
	wire_data_out(w, 8, TAG_NONE, 0, 0, 4, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 8 short 0\n");
	/* With a TTT it is not unsolicited; a wrap is fatal all the same. */
	rig_get_unsolicited(rig, 9, 0, 500);
	wire_data_out(w, 9, 3, 0, 0, 4, true);
	wire_data_out(w, 9, TAG_NONE, 0, 0xfffffff0, 32, true);
	CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "error 09 opcode 05\nerror 09 opcode 05 fatal\n");
	conn_close(rig->conn, false);
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 9 canceled 0\nclosed\n");
	rig_end(rig, w);
}

static void cancel_at_every_point(void)
{
	struct conn_params params = rig_params();
	struct wire *w = wire_create();
	struct r2t r;
	size_t whole = BHS_LEN + 20000;

	for (size_t cut = 0; cut <= whole; cut += cut < BHS_LEN + 4 ? 4 : 3331) {
		struct rig *rig = rig_tcp(&params);
		struct transfer *t = rig_get(rig, 5, 30000);

		r = read_r2t(rig);
		wire_data_out(w, 5, r.ttt, 0, 0, 20000, false);
		wire_data_out(w, 5, r.ttt, 1, 20000, 10000, true);
		wire_plain(w, OP_NOP_OUT, 2, 0);
		tcp_test_feed(rig->conn, w->b, cut);
		conn_cancel_data(rig->conn, t);
		conn_cancel_data(rig->conn, t);
		CU_ASSERT_STRING_EQUAL(rig->log, ""); /* not from inside */
		rig_turn(rig);
		CU_ASSERT_EQUAL(strncmp(rig_log(rig), "done 5 canceled", 15), 0);
		memset(t->data, 0, t->len);
		tcp_test_feed(rig->conn, w->b + cut, w->len - cut);
		CU_ASSERT_STRING_EQUAL(rig_log(rig), "pdu 00 itt 2\n");
		for (uint32_t i = 0; i < t->len; i++)
			CU_ASSERT_FATAL(!((uint8_t *)t->data)[i]);
		w->len = 0;
		rig_end(rig, NULL);
	}
	free(w);
}

static void cancel_before_the_r2t_is_out(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct r2t r;

	conn_cancel_data(rig->conn, rig_get(rig, 5, 30000));
	CU_ASSERT_EQUAL(read_r2ts(rig, &r, 0), 0);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 5 canceled 0\n");
	rig_end(rig, NULL);
}

static void cancel_on_error(struct rig *rig, bool fatal)
{
	(void)fatal;
	conn_cancel_data(rig->conn, &rig->transfer[0]);
}

static void cancel_from_inside_an_up_call(void)
{
	struct conn_params params = rig_params();
	struct wire *w = wire_create();
	struct rig *rig;
	struct r2t r;

	params.data_digest = w->data_digest = true;
	rig = rig_tcp(&params);
	rig->on_error = cancel_on_error;
	rig_get(rig, 5, 100);
	r = read_r2t(rig);
	wire_data_out(w, 5, r.ttt, 0, 0, 100, true);
	w->b[BHS_LEN] ^= 1;
	rig_feed(rig, w);
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "error 02 opcode 05\ndone 5 canceled 0\n");
	rig_end(rig, w);
}

static void get_again(struct rig *rig, struct transfer *t)
{
	if (be32_get(t->h.bhs.itt) == 5 && rig->transfers < 5)
		rig_get(rig, 5, 50);
}

/* The next piece of a command is asked for from inside transfer_done(). */
static void get_from_inside_an_up_call(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	struct r2t r;

	rig->on_done = get_again;
	rig_get(rig, 5, 50);
	for (int i = 0; i < 5; i++) {
		r = read_r2t(rig);
		wire_data_out(w, 5, r.ttt, 0, 0, 50, true);
		CU_ASSERT_STRING_EQUAL(rig_fed(rig, w), "done 5 ok 50\n");
	}
	rig_end(rig, w);
}

static void close_returns_every_transfer(bool flush)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	struct r2t r[3];

	rig_get(rig, 1, 30000);
	rig_get_unsolicited(rig, 2, 0, 30000);
	CU_ASSERT_EQUAL_FATAL(read_r2ts(rig, r, 3), 1);
	wire_data_out(w, 1, r[0].ttt, 0, 0, 20000, false);
	tcp_test_feed(rig->conn, w->b, 10000);
	rig_get(rig, 3, 30000);
	conn_close(rig->conn, flush);
	conn_close(rig->conn, flush);
	/* Down-calls are legal until closed(). */
	rig_get(rig, 4, 100);
	CU_ASSERT_STRING_EQUAL(rig->log, "");
	rig_turn(rig);
	CU_ASSERT_PTR_NULL(rig->conn);
	for (int i = 1; i <= 4; i++) {
		char line[40];

		snprintf(line, sizeof(line), "done %d canceled 0\n", i);
		CU_ASSERT_PTR_NOT_NULL(strstr(rig->log, line));
	}
	CU_ASSERT_STRING_EQUAL(rig->log + rig->log_len - 7, "closed\n");
	rig_end(rig, w);
}

static void close_with_transfers_in_progress(void)
{
	close_returns_every_transfer(false);
	close_returns_every_transfer(true);
}

UNIT_MAIN(TEST(r2t_scheduling), TEST(bursts_may_complete_in_any_order),
	  TEST(many_commands_at_a_time), TEST(wrong_data_out), TEST(nothing_lands_out_of_order),
	  TEST(a_spoilt_task_drains_its_other_bursts), TEST(bad_data_digest_spoils_the_burst),
	  TEST(unsolicited_data), TEST(cancel_at_every_point), TEST(cancel_before_the_r2t_is_out),
	  TEST(cancel_from_inside_an_up_call), TEST(get_from_inside_an_up_call),
	  TEST(close_with_transfers_in_progress));
