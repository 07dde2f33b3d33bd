// SPDX-License-Identifier: BSD-2-Clause
/*
 * The TCP stream parser: whatever way the peer cuts its bytes, the session sees the same PDUs;
 * whatever lengths the peer names, nothing is asked for or written because of them.
 */
#include "tests/unit/transport_rig.h"

/* A little of everything: PDUs with and without data, AHS, padding, immediate data, Data-Out. */
static void compose(struct wire *w)
{
	static const uint8_t ahs[8] = { 0, 5, 2, 0, 0, 0, 2, 0 };
	union pdu_header h = { .scsi_command = { .opcode = OP_SCSI_COMMAND, .flags = CMD_FINAL } };

	wire_plain(w, OP_NOP_OUT, 1, 0);
	wire_plain(w, OP_TEXT_REQUEST, 2, 13);
	wire_command(w, 3, 512, 0);
	wire_command(w, 4, 512, 512);
	h.bhs.itt = be32_of(5);
	wire_pdu(w, &h, ahs, sizeof(ahs), "abc", 3);
	wire_data_out(w, 100, TAG_NONE, 0, 0, 301, false);
	wire_plain(w, OP_NOP_OUT | OPCODE_IMMEDIATE, 6, 1);
	wire_data_out(w, 100, TAG_NONE, 1, 301, 99, true);
	wire_data_out(w, 77, 5, 0, 0, 30, true); /* nobody knows it */
	wire_plain(w, OP_TMF_REQUEST, 7, 0);
}

static const char *run(const struct wire *in, const size_t *cuts, size_t count)
{
	static char log[RIG_LOG];
	struct conn_params params = rig_params();
	struct rig *rig;
	size_t at = 0;

	params.header_digest = in->header_digest;
	params.data_digest = in->data_digest;
	rig = rig_tcp(&params);
	struct transfer *t = rig_transfer(rig, 100, 0, 1000);

	t->unsolicited = true;
	conn_get_data(rig->conn, t);
	for (size_t i = 0; i <= count; i++) {
		size_t end = i < count ? cuts[i] : in->len;

		CU_ASSERT_EQUAL(tcp_test_feed(rig->conn, in->b + at, end - at), end - at);
		at = end;
		rig_turn(rig);
	}
	rig_note(rig, "landed %x\n", rig_sum(t->data, t->len));
	CU_ASSERT_EQUAL(tcp_test_dropped(rig->conn), 1);
	memcpy(log, rig->log, rig->log_len + 1);
	rig_free_data(rig);
	rig_destroy(rig);
	return log;
}

static void every_split(bool header_digest, bool data_digest)
{
	struct wire *w = wire_create();
	static char whole[RIG_LOG];
	static size_t bytes[8192];

	w->header_digest = header_digest;
	w->data_digest = data_digest;
	compose(w);
	memcpy(whole, run(w, NULL, 0), sizeof(whole));
	CU_ASSERT_PTR_NOT_NULL(strstr(whole, "pdu 04 itt 2 data 13"));
	CU_ASSERT_PTR_NOT_NULL(strstr(whole, "pdu 01 itt 4 data 512"));
	CU_ASSERT_PTR_NOT_NULL(strstr(whole, "ahs 8"));
	CU_ASSERT_PTR_NOT_NULL(strstr(whole, "done 64 ok 400\n"));
	CU_ASSERT_PTR_NULL(strstr(whole, "digest"));
	for (size_t cut = 1; cut < w->len; cut++)
		CU_ASSERT_STRING_EQUAL(run(w, &cut, 1), whole);
	for (size_t step = 1; step < 70; step++) {
		size_t n = 0;

		for (size_t at = step; at < w->len; at += step)
			bytes[n++] = at;
		CU_ASSERT_STRING_EQUAL(run(w, bytes, n), whole);
	}
	free(w);
}

static void same_result_for_every_split(void)
{
	every_split(false, false);
}

static void same_result_for_every_split_with_digests(void)
{
	every_split(true, false);
	every_split(false, true);
	every_split(true, true);
}

static void many_pdus_in_one_piece(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	const char *log, *p;
	unsigned int lines = 0;

	for (uint32_t i = 0; i < 1000; i++)
		wire_command(w, i, 4096, 0);
	rig_feed(rig, w);
	log = rig_log(rig);
	for (p = log; *p; p++)
		lines += *p == '\n';
	CU_ASSERT_EQUAL(lines, 1000);
	CU_ASSERT_EQUAL(atomic_load(&rig->conn->pdus_in), 1000);
	CU_ASSERT_EQUAL(atomic_load(&rig->conn->bytes_in), 48000);
	free(w);
	rig_destroy(rig);
}

static void keep_buffer(struct rig *rig, struct pdu *pdu)
{
	if (!pdu->buf)
		return;
	CU_ASSERT_PTR_EQUAL(pdu->data, pdu->buf->data);
	rig_note(rig, "room %d\n", pdu->buf->size >= be32_get(pdu->h.scsi_command.edtl));
	buf_put(rig->r, pdu->buf);
	pdu->buf = NULL;
}

/* Long data that is not complete in the stream. The buffer has room for the solicited rest of the
 * command, up to BUF_MAX. */
static void immediate_data_lands_in_a_buffer_for_the_whole_command(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	char want[200];
	uint8_t data[20000];

	rig->on_pdu = keep_buffer;
	wire_command(w, 9, 200000, 20000);
	rig_feed(rig, w);
	rig_pattern(data, sizeof(data), 9);
	snprintf(want, sizeof(want), "pdu 01 itt 9 data 20000 %x buf\nroom 1\n",
		 rig_sum(data, sizeof(data)));
	CU_ASSERT_STRING_EQUAL(rig_log(rig), want);
	wire_command(w, 10, 0xffffffff, 20000);
	rig_feed(rig, w);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(rig), "room 0\n"));
	/* EDTL smaller than the data: the data decides. */
	wire_command(w, 11, 1, 20001);
	rig_feed(rig, w);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(rig), "data 20001"));
	free(w);
	rig_destroy(rig);
}

static void without_memory_data_is_dropped_and_the_stream_goes_on(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	struct buf *taken[64], *b;
	unsigned int n = 0;

	while (n < 64 && (b = buf_get(rig->r, BUF_MAX)))
		taken[n++] = b;
	CU_ASSERT_FATAL(n < 64);
	while (n < 64 && (b = buf_get(rig->r, 65536)))
		taken[n++] = b;
	wire_command(w, 1, BUF_MAX, 20001);
	wire_plain(w, OP_TEXT_REQUEST, 2, 60000);
	wire_plain(w, OP_NOP_OUT, 3, 0);
	rig_feed(rig, w);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "pdu 01 itt 1 data 20001 dropped\n"
					     "pdu 04 itt 2 data 60000 dropped\n"
					     "pdu 00 itt 3\n");
	while (n)
		buf_put(rig->r, taken[--n]);
	free(w);
	rig_destroy(rig);
}

static void large_text_is_gathered(void)
{
	struct conn_params params = rig_params();
	struct rig *rig;
	struct wire *w = wire_create();
	static uint8_t data[65535];
	char want[100];

	params.data_digest = w->data_digest = true;
	rig = rig_tcp(&params);
	wire_plain(w, OP_TEXT_REQUEST, 8, sizeof(data));
	wire_plain(w, OP_NOP_OUT, 9, 0);
	for (size_t i = 0; i < w->len; i += 1000)
		tcp_test_feed(rig->conn, w->b + i, w->len - i < 1000 ? w->len - i : 1000);
	rig_pattern(data, sizeof(data), 8);
	snprintf(want, sizeof(want), "pdu 04 itt 8 data 65535 %x\npdu 00 itt 9\n",
		 rig_sum(data, sizeof(data)));
	CU_ASSERT_STRING_EQUAL(rig_log(rig), want);
	free(w);
	rig_destroy(rig);
}

static void close_on_fatal(struct rig *rig, bool fatal)
{
	if (fatal)
		conn_close(rig->conn, false);
}

/* A PDU whose lengths break the rules; in the login phase when params is NULL. */
static void expect_refusal(const struct conn_params *params, uint8_t opcode, uint8_t ahs_words,
			   uint32_t dsl)
{
	struct rig *rig = rig_tcp(params);
	union pdu_header h = { .bhs = { .opcode = opcode, .total_ahs_len = ahs_words } };
	struct wire *w = wire_create();
	char want[100];

	rig->on_error = close_on_fatal;
	h.bhs.dlength = be24_of(dsl);
	wire_add(w, &h, BHS_LEN);
	wire_plain(w, OP_LOGIN_REQUEST, 1, 0);
	/* Refused by its 48 bytes, and nothing behind them is looked at. */
	tcp_test_feed(rig->conn, w->b, 47);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "");
	tcp_test_feed(rig->conn, w->b + 47, w->len - 47);
	rig_turn(rig);
	snprintf(want, sizeof(want), "error 04 opcode %02x fatal\nclosed\n", opcode & OPCODE_MASK);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), want);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	free(w);
	rig_destroy(rig);
}

static void lengths_over_a_limit_are_refused_unread(void)
{
	struct conn_params params = rig_params();

	expect_refusal(NULL, OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, 0, LOGIN_DATA_MAX + 1);
	expect_refusal(NULL, OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, 0, 0xffffff);
	expect_refusal(NULL, OP_LOGIN_REQUEST | OPCODE_IMMEDIATE, 1, 0);
	expect_refusal(NULL, OP_DATA_OUT, 0, 0);
	expect_refusal(&params, OP_SCSI_COMMAND, 0, params.max_recv_dsl + 1);
	expect_refusal(&params, OP_DATA_OUT, 0, 0xffffff);
	expect_refusal(&params, OP_SCSI_COMMAND, AHS_MAX / 4 + 1, 0);
	expect_refusal(&params, OP_NOP_OUT, 255, 0);
}

static void limits_themselves_are_fine(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(NULL);
	struct wire *w = wire_create();
	uint8_t ahs[AHS_MAX] = { 1 };
	union pdu_header h = { .bhs = { .opcode = OP_SCSI_COMMAND } };

	wire_plain(w, OP_LOGIN_REQUEST, 1, LOGIN_DATA_MAX);
	rig_feed(rig, w);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(rig), "pdu 03 itt 1 data 8192"));
	conn_apply_keys(rig->conn, &params);
	wire_plain(w, OP_TEXT_REQUEST, 2, params.max_recv_dsl);
	wire_pdu(w, &h, ahs, sizeof(ahs), NULL, 0);
	rig_feed(rig, w);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig->log, "pdu 04 itt 2 data 65536"));
	CU_ASSERT_PTR_NOT_NULL(strstr(rig->log, "ahs 64"));
	free(w);
	rig_destroy(rig);
}

/* A port scanner's 48 bytes are shown to the session at once, whatever length they spell. */
static void before_login_a_stranger_is_shown_by_its_header(void)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: 192.0.2.1:3260\r\nUser-Agent: x\r\n";
	struct rig *rig = rig_tcp(NULL);
	union pdu_header h = { .bhs = { .opcode = OP_TEXT_REQUEST } };
	struct wire *w = wire_create();

	h.bhs.itt = be32_of(3);
	h.bhs.dlength = be24_of(5001);
	wire_add(w, &h, BHS_LEN);
	rig_feed(rig, w);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "pdu 04 itt 3 data 5001 dropped\n");
	/* Its data goes nowhere, and the stream goes on if the session lets it. */
	w->len = 5004;
	memset(w->b, 3, w->len);
	wire_plain(w, OP_LOGIN_REQUEST, 4, 0);
	rig_feed(rig, w);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "pdu 03 itt 4\n");
	rig_destroy(rig);

	rig = rig_tcp(NULL);
	rig->on_error = close_on_fatal;
	tcp_test_feed(rig->conn, http, sizeof(http));
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "error 04 opcode 07 fatal\nclosed\n");
	free(w);
	rig_destroy(rig);
}

static void bad_header_digest_closes_without_a_word(void)
{
	struct conn_params params = rig_params();
	struct wire *w = wire_create();

	params.header_digest = w->header_digest = true;
	wire_plain(w, OP_NOP_OUT, 1, 0);
	wire_plain(w, OP_NOP_OUT, 2, 100);
	for (size_t bit = 0; bit < (BHS_LEN + DIGEST_LEN) * 8; bit++) {
		struct rig *rig;

		if (bit / 8 == 4)
			continue; /* TotalAHSLength moves the digest: another test */
		rig = rig_tcp(&params);
		w->b[BHS_LEN + DIGEST_LEN + bit / 8] ^= (uint8_t)(1 << bit % 8);
		tcp_test_feed(rig->conn, w->b, w->len);
		rig_turn(rig);
		CU_ASSERT_STRING_EQUAL(rig_log(rig), "pdu 00 itt 1\nclosed\n");
		w->b[BHS_LEN + DIGEST_LEN + bit / 8] ^= (uint8_t)(1 << bit % 8);
		rig_destroy(rig);
	}
	free(w);
}

static void bad_data_digest_is_reported_with_the_pdu(void)
{
	struct conn_params params = rig_params();
	struct wire *w = wire_create();
	struct rig *rig;
	size_t at;

	params.data_digest = w->data_digest = true;
	rig = rig_tcp(&params);
	wire_plain(w, OP_NOP_OUT, 1, 9);
	w->b[BHS_LEN + 3] ^= 1;
	at = w->len;
	wire_command(w, 2, 6000, 6000);
	w->b[at + BHS_LEN + 5999] ^= 0x80;
	at = w->len;
	wire_plain(w, OP_TEXT_REQUEST, 3, 20001); /* the padding counts, too */
	w->b[at + BHS_LEN + 20002] ^= 1;
	wire_plain(w, OP_NOP_OUT, 4, 4);
	rig_feed(rig, w);
	at = 0;
	for (const char *p = rig->log; (p = strstr(p, " digest\n")); p++)
		at++;
	CU_ASSERT_EQUAL(at, 3);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig->log, "pdu 00 itt 4 data 4"));
	free(w);
	rig_destroy(rig);
}

static void close_at_once(struct rig *rig, struct pdu *pdu)
{
	(void)pdu;
	conn_close(rig->conn, true);
}

static void nothing_is_delivered_after_close(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();

	rig->on_pdu = close_at_once;
	wire_plain(w, OP_LOGOUT_REQUEST, 1, 0);
	wire_plain(w, OP_NOP_OUT, 2, 0);
	rig_feed(rig, w);
	rig_turn(rig);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "pdu 06 itt 1\nclosed\n");
	free(w);
	rig_destroy(rig);
}

static void peer_gone_in_the_middle_of_anything(void)
{
	struct conn_params params = rig_params();
	struct wire *w = wire_create();

	params.header_digest = w->header_digest = true;
	params.data_digest = w->data_digest = true;
	wire_command(w, 3, 100000, 60001);
	for (size_t cut = 0; cut < w->len; cut += cut < 60 || cut > w->len - 10 ? 1 : 1013) {
		struct rig *rig = rig_tcp(&params);

		tcp_test_feed(rig->conn, w->b, cut);
		tcp_test_eof(rig->conn);
		rig_turn(rig);
		CU_ASSERT_STRING_EQUAL(rig_log(rig), "closed\n");
		rig_destroy(rig);
	}
	free(w);
}

UNIT_MAIN(TEST(same_result_for_every_split), TEST(same_result_for_every_split_with_digests),
	  TEST(many_pdus_in_one_piece),
	  TEST(immediate_data_lands_in_a_buffer_for_the_whole_command),
	  TEST(without_memory_data_is_dropped_and_the_stream_goes_on), TEST(large_text_is_gathered),
	  TEST(lengths_over_a_limit_are_refused_unread), TEST(limits_themselves_are_fine),
	  TEST(before_login_a_stranger_is_shown_by_its_header),
	  TEST(bad_header_digest_closes_without_a_word),
	  TEST(bad_data_digest_is_reported_with_the_pdu), TEST(nothing_is_delivered_after_close),
	  TEST(peer_gone_in_the_middle_of_anything));
