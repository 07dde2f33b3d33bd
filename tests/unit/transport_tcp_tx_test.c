// SPDX-License-Identifier: BSD-2-Clause
/* What goes out over TCP: order, Data-In splitting, digests, partial sends, closing. */
#include "tests/unit/transport_rig.h"
#include "transport/tcp/tcp.h"

static void pdu_sent(struct tx_pdu *pdu)
{
	/* The test's: where to count. */
	(*(unsigned int *)(uintptr_t)pdu->data)++;
}

struct counted {
	unsigned int sent;
	uint8_t data[300];
};

static struct tx_pdu *message(struct tx_pdu *pdu, struct counted *c, uint32_t itt, uint32_t len)
{
	memset(pdu, 0, sizeof(*pdu));
	memset(c, 0, sizeof(*c));
	pdu->h.bhs.opcode = OP_NOP_IN;
	pdu->h.bhs.flags = PDU_FINAL;
	pdu->h.bhs.itt = be32_of(itt);
	pdu->h.bhs.dlength = be24_of(0xffffff); /* the transport knows better */
	pdu->data = c;
	pdu->data_len = len;
	pdu->sent = pdu_sent;
	return pdu;
}

static struct transfer *put(struct rig *rig, uint32_t itt, uint32_t offset, uint32_t len,
			    bool with_status, bool final)
{
	struct transfer *t = rig_data_in(rig, itt, offset, len);

	t->with_status = with_status;
	t->final = final;
	conn_put_data(rig->conn, t);
	return t;
}

/* Reads Data-In PDUs as "offset+len[F][S]" each. */
static const char *shape(struct rig *rig, struct wire *w, uint8_t *bytes)
{
	static char text[8192];
	union pdu_header h;
	const uint8_t *data;
	uint32_t len, sn = 0;
	size_t at = 0, n = 0;

	w->header_digest = rig->conn->params.header_digest;
	w->data_digest = rig->conn->params.data_digest;
	w->len = 0;
	rig_drain(rig, w);
	text[0] = 0;
	while (wire_read(w, &at, &h, &data, &len)) {
		uint32_t offset = be32_get(h.data_in.buffer_offset);
		bool status = h.data_in.flags & DATA_IN_STATUS;

		CU_ASSERT_EQUAL(h.bhs.opcode, OP_DATA_IN);
		CU_ASSERT_EQUAL(be32_get(h.data_in.datasn), sn++);
		CU_ASSERT_EQUAL(be32_get(h.data_in.ttt), TAG_NONE);
		CU_ASSERT_EQUAL(be32_get(h.data_in.expcmdsn), 88);
		CU_ASSERT_EQUAL(be32_get(h.data_in.maxcmdsn), 99);
		CU_ASSERT_EQUAL(h.data_in.lun[1], 3);
		CU_ASSERT_EQUAL(be32_get(h.data_in.statsn), status ? 77 : 0);
		CU_ASSERT_EQUAL(be32_get(h.data_in.residual), status ? 55 : 0);
		CU_ASSERT_EQUAL(h.data_in.status, status ? 0x5a : 0);
		CU_ASSERT_EQUAL(h.data_in.flags & DATA_IN_UNDERFLOW,
				status ? DATA_IN_UNDERFLOW : 0);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%u+%u%s%s ", offset, len,
				      h.data_in.flags & PDU_FINAL ? "F" : "", status ? "S" : "");
		memcpy(bytes, data, len);
		bytes += len;
	}
	return text;
}

static void split(uint32_t max_xmit, uint32_t max_burst, bool digests)
{
	struct conn_params params = rig_params();
	static uint8_t got[1 << 20];
	struct wire *w = wire_create();
	struct transfer *t;
	struct rig *rig;
	char want[8192];
	size_t n = 0;
	uint32_t len = 300001;

	params.max_xmit_dsl = max_xmit;
	params.max_burst = max_burst;
	params.first_burst = 512;
	params.header_digest = params.data_digest = digests;
	rig = rig_tcp(&params);
	t = put(rig, 4, 0, len, true, true);
	CU_ASSERT_STRING_EQUAL(rig->log, "");
	for (uint32_t at = 0, part; at < len; at += part) {
		bool f;

		part = max_burst - at % max_burst;
		part = part < max_xmit ? part : max_xmit;
		part = part < len - at ? part : len - at;
		f = (at + part) % max_burst == 0 || at + part == len;
		n += (size_t)snprintf(want + n, sizeof(want) - n, "%u+%u%s%s ", at, part,
				      f ? "F" : "", at + part == len ? "S" : "");
	}
	CU_ASSERT_STRING_EQUAL(shape(rig, w, got), want);
	CU_ASSERT_EQUAL(memcmp(got, t->data, len), 0);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 4 ok 0\n");
	rig_end(rig, w);
}

static void data_in_is_split(void)
{
	split(8192, 262144, false);
	split(262144, 65536, false);
	split(1000, 32768, false);
	split(4096, 4096, true);
	split(513, 10000, true);
}

static void one_command_in_several_pieces(void)
{
	struct conn_params params = rig_params();
	struct rig *rig;
	struct wire *w = wire_create();
	static uint8_t got[100000];
	struct transfer *a, *b;

	params.max_burst = 10000;
	params.first_burst = 512;
	rig = rig_tcp(&params);
	a = put(rig, 4, 0, 9000, false, false);
	b = rig_transfer(rig, 4, 9000, 3000);
	b->sn = 2; /* as a left it when it is done: known to the session */
	b->h = a->h;
	b->final = true;
	conn_put_data(rig->conn, b);
	CU_ASSERT_STRING_EQUAL(shape(rig, w, got), "0+8192 8192+808 9000+1000F 10000+2000F ");
	CU_ASSERT_EQUAL(a->sn, 2);
	CU_ASSERT_EQUAL(b->sn, 4);
	/* Status without data, and data in the last byte of the address space. */
	put(rig, 5, 0, 0, true, true);
	CU_ASSERT_STRING_EQUAL(shape(rig, w, got), "0+0FS ");
	put(rig, 5, 0xfffffff0, 15, false, true);
	CU_ASSERT_STRING_EQUAL(shape(rig, w, got), "4294967280+15F ");
	rig_end(rig, w);
}

/* Messages and data keep their order; the padding is zero; small and large payloads arrive. */
static void order_of_calls(bool digests)
{
	struct conn_params params = rig_params();
	struct rig *rig;
	struct wire *w = wire_create();
	struct counted counted[40];
	struct tx_pdu pdus[40];
	union pdu_header h;
	const uint8_t *data;
	size_t at = 0;
	uint32_t len;

	params.header_digest = params.data_digest = digests;
	rig = rig_tcp(&params);
	w->header_digest = w->data_digest = digests;
	for (uint32_t i = 0; i < 40; i++) {
		message(&pdus[i], &counted[i], i, i * 7);
		memset(counted[i].data, (int)i + 1, sizeof(counted[i].data));
		conn_send_pdu(rig->conn, &pdus[i]);
		if (i % 4 == 0)
			put(rig, i, 0, i * 31 + 1, true, true);
	}
	CU_ASSERT_EQUAL(counted[0].sent, 0);
	CU_ASSERT_EQUAL(rig->conn->bytes_queued, 50 * BHS_LEN + 7 * 780 + 31 * 180 + 10);
	rig_drain(rig, w);
	CU_ASSERT_EQUAL(rig->conn->bytes_queued, 0);
	for (uint32_t i = 0; i < 40; i++) {
		CU_ASSERT_FATAL(wire_read(w, &at, &h, &data, &len));
		CU_ASSERT_EQUAL(h.bhs.opcode, OP_NOP_IN);
		CU_ASSERT_EQUAL(be32_get(h.bhs.itt), i);
		CU_ASSERT_EQUAL(len, i * 7);
		for (uint32_t k = sizeof(unsigned int); k < len; k++)
			CU_ASSERT_FATAL(data[k] == i + 1);
		for (uint32_t k = len; k < pdu_padded(len); k++)
			CU_ASSERT_FATAL(data[k] == 0);
		CU_ASSERT_EQUAL(counted[i].sent, 1);
		if (i % 4)
			continue;
		CU_ASSERT_FATAL(wire_read(w, &at, &h, &data, &len));
		CU_ASSERT_EQUAL(h.bhs.opcode, OP_DATA_IN);
		CU_ASSERT_EQUAL(be32_get(h.bhs.itt), i);
		CU_ASSERT_EQUAL(len, i * 31 + 1);
		CU_ASSERT_EQUAL(memcmp(data, rig->transfer[i / 4].data, len), 0);
	}
	CU_ASSERT_EQUAL(at, w->len);
	CU_ASSERT_EQUAL(atomic_load(&rig->conn->pdus_out), 50);
	CU_ASSERT_EQUAL(atomic_load(&rig->conn->bytes_out), w->len);
	rig_end(rig, w);
}

static void pdus_leave_in_order(void)
{
	order_of_calls(false);
	order_of_calls(true);
}

/* More than a batch holds, taken in pieces of every size: the same bytes, each returned once. */
static void partial_sends(void)
{
	struct conn_params params = rig_params();
	static const size_t pieces[] = { WIRE_MAX, 1 << 16, 1009, 49 };
	uint32_t sum = 0;

	for (size_t p = 0; p < array_size(pieces); p++) {
		struct rig *rig = rig_tcp(&params);
		struct wire *w = wire_create();
		unsigned int done = 0;
		size_t n;

		for (uint32_t i = 0; i < 50; i++)
			put(rig, i, 0, 40000, true, true);
		do {
			rig_turn(rig);
			n = tcp_test_output(rig->conn, w->b + w->len, pieces[p]);
			w->len += n;
		} while (n);
		CU_ASSERT_EQUAL(w->len, 50 * (40000 + 5 * BHS_LEN));
		if (!p)
			sum = rig_sum(w->b, w->len);
		CU_ASSERT_EQUAL(rig_sum(w->b, w->len), sum);
		for (const char *line = rig->log; (line = strstr(line, " ok ")); line++)
			done++;
		CU_ASSERT_EQUAL(done, 50);
		rig_end(rig, w);
	}
}

/* The last PDU of the login goes out as the login did, whatever was negotiated. */
static void login_response_has_no_digest(void)
{
	struct rig *rig = rig_tcp(NULL);
	struct conn_params params = rig_params();
	struct wire *w = wire_create();
	struct counted counted[2];
	struct tx_pdu pdus[2];
	union pdu_header h;
	const uint8_t *data;
	size_t at = 0;
	uint32_t len;

	params.header_digest = params.data_digest = true;
	conn_send_pdu(rig->conn, message(&pdus[0], &counted[0], 1, 30));
	conn_apply_keys(rig->conn, &params);
	conn_send_pdu(rig->conn, message(&pdus[1], &counted[1], 2, 30));
	rig_drain(rig, w);
	CU_ASSERT(wire_read(w, &at, &h, &data, &len));
	w->header_digest = w->data_digest = true;
	CU_ASSERT(wire_read(w, &at, &h, &data, &len));
	CU_ASSERT_EQUAL(at, w->len);
	/* And what comes in has digests from now on. */
	w->len = 0;
	wire_plain(w, OP_NOP_OUT, 3, 5);
	rig_feed(rig, w);
	CU_ASSERT_EQUAL(strncmp(rig_log(rig), "pdu 00 itt 3 data 5", 19), 0);
	rig_destroy(rig);
	free(w);
}

/* New lengths in full feature phase are no login: what is queued keeps its digests, and the length
 * by which it was to be cut, so that a SNACK can ask for the same PDUs again. */
static void new_lengths_keep_digests(void)
{
	struct conn_params params = rig_params();
	struct rig *rig;
	struct wire *w = wire_create();
	struct counted counted;
	struct tx_pdu pdu;
	union pdu_header h;
	const uint8_t *data;
	static const uint32_t lens[5] = { 1000, 30, 512, 488 };
	unsigned int pdus = 0;
	size_t at = 0;
	uint32_t len;

	params.header_digest = params.data_digest = true;
	rig = rig_tcp(&params);
	put(rig, 5, 0, 1000, true, true);
	conn_send_pdu(rig->conn, message(&pdu, &counted, 1, 30));
	params.max_xmit_dsl = 512;
	conn_apply_keys(rig->conn, &params);
	put(rig, 6, 0, 1000, true, true);
	rig_drain(rig, w);
	w->header_digest = w->data_digest = true;
	while (wire_read(w, &at, &h, &data, &len)) {
		CU_ASSERT_EQUAL(len, lens[pdus]);
		pdus++;
	}
	CU_ASSERT_EQUAL(pdus, 4);
	rig_end(rig, w);
}

static void offers(void)
{
	struct rig *rig = rig_tcp(NULL);
	struct conn_params can = rig_params();

	can.header_digest = can.data_digest = true;
	can.max_recv_dsl = 16 << 20;
	can.max_outstanding_r2t = 1000;
	conn_offer_keys(rig->conn, &can);
	CU_ASSERT(can.header_digest && can.data_digest);
	CU_ASSERT_EQUAL(can.max_recv_dsl, BUF_MAX);
	CU_ASSERT_EQUAL(can.max_outstanding_r2t, 16);
	rig_destroy(rig);
}

static void close_returns_everything_once(void)
{
	struct conn_params params = rig_params();

	for (int flush = 0; flush < 2; flush++) {
		struct rig *rig = rig_tcp(&params);
		struct wire *w = wire_create();
		struct counted counted[3];
		struct tx_pdu pdus[3];

		conn_send_pdu(rig->conn, message(&pdus[0], &counted[0], 1, 8));
		put(rig, 5, 0, 100000, true, true);
		rig_turn(rig); /* in flight */
		tcp_test_output(rig->conn, w->b, 100);
		conn_send_pdu(rig->conn, message(&pdus[1], &counted[1], 2, 8));
		conn_close(rig->conn, flush);
		CU_ASSERT(rig->conn->closing);
		conn_send_pdu(rig->conn, message(&pdus[2], &counted[2], 3, 8));
		CU_ASSERT_EQUAL(counted[0].sent + counted[1].sent + counted[2].sent, 0);
		if (flush) {
			rig_turn(rig);
			CU_ASSERT_PTR_NOT_NULL_FATAL(rig->conn);
			rig_drain(rig, w);
			CU_ASSERT_EQUAL(w->len + 100, 100000 + 13 * BHS_LEN + 3 * (BHS_LEN + 8));
		}
		rig_turn(rig);
		CU_ASSERT_STRING_EQUAL(rig_log(rig), flush ? "done 5 ok 0\nclosed\n"
							   : "done 5 canceled 0\nclosed\n");
		for (int i = 0; i < 3; i++)
			CU_ASSERT_EQUAL(counted[i].sent, 1);
		rig_end(rig, w);
	}
}

/* A peer that does not read our last words holds us up for two seconds, no longer. */
static void flush_has_a_deadline(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);

	put(rig, 5, 0, 1000, true, true);
	conn_close(rig->conn, true);
	reactor_advance(rig->r, 1900 * NSEC_PER_MSEC);
	CU_ASSERT_STRING_EQUAL(rig->log, "");
	reactor_advance(rig->r, 200 * NSEC_PER_MSEC);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), "done 5 canceled 0\nclosed\n");
	rig_end(rig, NULL);
}

static void send_more(struct rig *rig, struct transfer *t)
{
	if (rig->transfers < 20 && rig->conn)
		put(rig, be32_get(t->h.bhs.itt) + 1, 0, 10, true, true);
}

/* Answers given from inside transfer_done(), also while the connection dies. */
static void down_calls_from_up_calls(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();

	rig->on_done = send_more;
	put(rig, 0, 0, 10, true, true);
	rig_turn(rig);
	tcp_test_output(rig->conn, w->b, WIRE_MAX);
	CU_ASSERT_EQUAL(rig->transfers, 2);
	conn_close(rig->conn, false);
	rig_turn(rig);
	CU_ASSERT_EQUAL(rig->transfers, 20);
	for (unsigned int i = 0; i < 20; i++) {
		char line[40];

		snprintf(line, sizeof(line), "done %x %s 0\n", i, i ? "canceled" : "ok");
		CU_ASSERT_PTR_NOT_NULL(strstr(rig->log, line));
	}
	CU_ASSERT_STRING_EQUAL(rig->log + rig->log_len - 7, "closed\n");
	rig_end(rig, w);
}

/* Memory for one batch: who waited for it and has nothing to send any more holds nobody up. */
static void a_free_batch_is_not_lost(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	struct conn *conns[3] = { rig->conn };
	struct counted counted[2];
	struct tx_pdu pdus[2];
	struct transfer *t;

	tcp_conn_of(rig->conn)->shard->batches.limit = 1;
	for (int i = 1; i < 3; i++) {
		conns[i] = tcp_conn_create_test(rig->r, &rig_up, rig);
		CU_ASSERT_PTR_NOT_NULL_FATAL(conns[i]);
		conn_apply_keys(conns[i], &params);
	}
	conn_send_pdu(conns[0], message(&pdus[0], &counted[0], 1, 8));
	rig_turn(rig);
	t = rig_transfer(rig, 5, 0, 1000);
	conn_get_data(conns[1], t);
	rig_turn(rig);
	conn_send_pdu(conns[2], message(&pdus[1], &counted[1], 2, 8));
	rig_turn(rig);
	CU_ASSERT_EQUAL(tcp_test_output(conns[2], w->b, WIRE_MAX), 0);
	conn_cancel_data(conns[1], t);
	rig_turn(rig);
	CU_ASSERT_EQUAL(tcp_test_output(conns[0], w->b, WIRE_MAX), BHS_LEN + 8);
	rig_turn(rig);
	CU_ASSERT_EQUAL(tcp_test_output(conns[2], w->b, WIRE_MAX), BHS_LEN + 8);
	CU_ASSERT_EQUAL(counted[0].sent + counted[1].sent, 2);
	for (int i = 0; i < 3; i++)
		conn_close(conns[i], false);
	rig_turn(rig);
	rig_end(rig, w);
}

UNIT_MAIN(TEST(data_in_is_split), TEST(one_command_in_several_pieces), TEST(pdus_leave_in_order),
	  TEST(partial_sends), TEST(login_response_has_no_digest), TEST(new_lengths_keep_digests),
	  TEST(offers), TEST(close_returns_everything_once), TEST(flush_has_a_deadline),
	  TEST(down_calls_from_up_calls), TEST(a_free_batch_is_not_lost));
