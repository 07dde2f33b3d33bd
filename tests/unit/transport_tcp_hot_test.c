// SPDX-License-Identifier: BSD-2-Clause
/*
 * Much at once: what a connection's own stream has no room for is received into the memory that the
 * connections of a reactor share. It changes nothing of what the session sees, immediate data is lent
 * from there, and what is not complete outlives it.
 */
#include "tests/unit/transport_rig.h"
#include "transport/tcp/tcp.h"

/* Buffers are an economy that depends on the cuts; everything else must not. */
static void without_buf(char *log)
{
	char *p = log;

	while ((p = strstr(p, " buf")))
		memmove(p, p + 4, strlen(p + 4) + 1);
}

/* Sizes around every limit: one stream, small enough to be lent always, a landing of its own. */
static void compose(struct wire *w)
{
	static const uint32_t sizes[] = { 0,	1,     4096, 8191,  8192,  8193, 0,	100,
					  9000, 16384, 4095, 65536, 20001, 3,	 30000, 8192 };
	uint32_t itt = 1000;

	for (unsigned int round = 0; round < 2; round++) {
		for (size_t i = 0; i < array_size(sizes); i++) {
			wire_command(w, itt++, sizes[i], sizes[i]);
			wire_plain(w, OP_NOP_OUT, itt++, sizes[(i + 5) % array_size(sizes)] % 9000);
		}
	}
	wire_data_out(w, 100, TAG_NONE, 0, 0, 3001, false);
	wire_plain(w, OP_TEXT_REQUEST, itt++, 16380);
	wire_data_out(w, 100, TAG_NONE, 1, 3001, 1000, true);
	wire_plain(w, OP_TMF_REQUEST, itt, 0);
}

/* In pieces of the sizes given, round and round. */
static const char *run(const struct wire *in, const size_t *sizes, size_t count)
{
	static char log[RIG_LOG];
	struct conn_params params = rig_params();
	struct rig *rig;
	struct transfer *t;
	size_t turn = 0;

	params.header_digest = in->header_digest;
	params.data_digest = in->data_digest;
	rig = rig_tcp(&params);
	t = rig_transfer(rig, 100, 0, 4096); /* less than what is worth landing in place */
	t->unsolicited = true;
	conn_get_data(rig->conn, t);
	for (size_t at = 0, n; at < in->len; at += n) {
		n = sizes[turn++ % count];
		n = n < in->len - at ? n : in->len - at;
		CU_ASSERT_EQUAL(tcp_test_feed(rig->conn, in->b + at, n), n);
		rig_turn(rig);
	}
	rig_note(rig, "landed %x\n", rig_sum(t->data, t->len));
	CU_ASSERT_EQUAL(atomic_load(&rig->conn->bytes_in), in->len);
	memcpy(log, rig->log, rig->log_len + 1);
	without_buf(log);
	rig_free_data(rig);
	rig_destroy(rig);
	return log;
}

static void every_piece(bool digests)
{
	static const size_t several[] = { 48,	 16384, 1,     200000, 16383, 47,
					  65536, 16385, 48000, 17000,  5,     300000 };
	struct wire *w = wire_create();
	static char whole[RIG_LOG];
	size_t all;

	w->header_digest = w->data_digest = digests;
	compose(w);
	all = w->len;
	memcpy(whole, run(w, &all, 1), sizeof(whole));
	CU_ASSERT_PTR_NOT_NULL(strstr(whole, "data 65536"));
	CU_ASSERT_PTR_NOT_NULL(strstr(whole, "done 64 ok 4001\n"));
	CU_ASSERT_PTR_NULL(strstr(whole, "digest"));
	for (size_t n = 1000; n < all; n += n / 7)
		CU_ASSERT_STRING_EQUAL(run(w, &n, 1), whole);
	for (size_t first = 0; first < array_size(several); first++)
		CU_ASSERT_STRING_EQUAL(run(w, several + first, array_size(several) - first), whole);
	free(w);
}

static void same_result_for_pieces_of_every_size(void)
{
	every_piece(false);
	every_piece(true);
}

static bool in_slab(const struct rig *rig, const void *p)
{
	const uint8_t *base = slab_base(rig->slab), *at = p;

	return at >= base && at < base + slab_size(rig->slab);
}

static void note_loan(struct rig *rig, struct pdu *pdu)
{
	CU_ASSERT_EQUAL(pdu->buf != NULL, pdu->data && in_slab(rig, pdu->data));
}

/* Immediate data that is there is not copied, and asks for no memory. */
static void immediate_data_is_lent(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	const char *log;

	rig->on_pdu = note_loan;
	for (uint32_t i = 0; i < 30; i++)
		wire_command(w, i, 4096, 4096);
	wire_command(w, 30, 65536, 65536);
	rig_feed(rig, w);
	log = rig_log(rig);
	CU_ASSERT_PTR_NOT_NULL(strstr(log, "itt 1e data 65536"));
	CU_ASSERT_PTR_NULL(strstr(log, "buf"));
	CU_ASSERT_EQUAL(atomic_load(&rig->conn->bytes_copied), 0);
	free(w);
	rig_destroy(rig);
}

/* Waiting for the rest of it would mean to move it: it gets a place of its own. */
static void long_immediate_data_that_is_not_complete_lands(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();

	rig->on_pdu = note_loan;
	wire_command(w, 1, 65536, 65536);
	tcp_test_feed(rig->conn, w->b, 1000);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 65536);
	tcp_test_feed(rig->conn, w->b + 1000, w->len - 1000);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(rig), "buf"));
	CU_ASSERT_EQUAL(atomic_load(&rig->conn->bytes_copied), 1000 - BHS_LEN);
	free(w);
	rig_destroy(rig);
}

/* Small immediate data waits where it is, without a buffer, and asks for none in the end. */
static void small_immediate_data_waits_in_the_stream(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();

	wire_command(w, 1, 8192, 8192);
	tcp_test_feed(rig->conn, w->b, w->len - 1);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	tcp_test_feed(rig->conn, w->b + w->len - 1, 1);
	CU_ASSERT_PTR_NULL(strstr(rig_log(rig), "buf"));
	free(w);
	rig_destroy(rig);
}

/* What one connection leaves behind is not what another one finds. */
static void the_rest_of_a_connection_is_its_own(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params), other = { .slab = rig->slab, .r = rig->r };
	struct wire *w = wire_create(), *v = wire_create();
	size_t cut;

	CU_ASSERT_PTR_NOT_NULL_FATAL(tcp_conn_create_test(rig->r, &rig_up, &other));
	conn_apply_keys(other.conn, &params);
	for (uint32_t i = 0; i < 20; i++) {
		wire_command(w, i, 4096, 4096);
		wire_command(v, i + 100, 8192, 8192);
	}
	cut = w->len - 2000;
	tcp_test_feed(rig->conn, w->b, cut);
	tcp_test_feed(other.conn, v->b, v->len - 5000);
	tcp_test_feed(rig->conn, w->b + cut, w->len - cut);
	tcp_test_feed(other.conn, v->b + v->len - 5000, 5000);
	memcpy(v->b, rig_log(rig), RIG_LOG);
	free(w);
	w = wire_create();
	for (uint32_t i = 0; i < 20; i++)
		wire_command(w, i, 4096, 4096);
	for (size_t i = 0; i < w->len; i += 1000)
		tcp_test_feed(rig->conn, w->b + i, w->len - i < 1000 ? w->len - i : 1000);
	CU_ASSERT_STRING_EQUAL(rig_log(rig), (char *)v->b);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(&other), "itt 77 data 8192"));
	conn_close(other.conn, false);
	rig_turn(rig);
	free(w);
	free(v);
	rig_destroy(rig);
}

static void close_at_itt_9(struct rig *rig, struct pdu *pdu)
{
	if (be32_get(pdu->h.bhs.itt) == 9)
		conn_close(rig->conn, true);
}

static void nothing_is_delivered_after_close(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();
	const char *log;

	rig->on_pdu = close_at_itt_9;
	for (uint32_t i = 0; i < 30; i++)
		wire_command(w, i, 4096, 4096);
	rig_feed(rig, w);
	rig_turn(rig);
	log = rig_log(rig);
	CU_ASSERT_PTR_NOT_NULL(strstr(log, "itt 9 data"));
	CU_ASSERT_PTR_NULL(strstr(log, "itt a data"));
	CU_ASSERT_PTR_NOT_NULL(strstr(log, "closed\n"));
	free(w);
	rig_destroy(rig);
}

static unsigned int in_hot;

static void note_place(struct rig *rig, struct pdu *pdu)
{
	const struct tcp_conn *c = tcp_conn_of(rig->conn);

	(void)pdu;
	in_hot += c->rx.bytes != c->stream;
}

/* Requests without data want an answer each. The session takes many that are not sent for a peer that
 * does not read, so they come in portions, with a chance to send in between. */
static void many_small_requests_come_in_portions(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct wire *w = wire_create();

	rig->on_pdu = note_place;
	in_hot = 0;
	for (uint32_t i = 0; i < 2000; i++)
		wire_plain(w, OP_NOP_OUT, i, 0);
	rig_feed(rig, w);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(rig), "itt 7cf\n"));
	CU_ASSERT_EQUAL(in_hot, 0);
	w->len = 0;
	for (uint32_t i = 0; i < 40; i++)
		wire_command(w, i, 512, 512);
	rig_feed(rig, w);
	CU_ASSERT(in_hot > 0);
	free(w);
	rig_destroy(rig);
}

/* Of large payload on its way little is received ahead, but the rest of what waits in the stream is. */
static void waits_for_little_in_one_piece(void)
{
	struct conn_params params = rig_params();
	struct rig *rig = rig_tcp(&params);
	struct tcp_conn *c = tcp_conn_of(rig->conn);
	struct wire *w = wire_create();
	struct transfer *t = rig_transfer(rig, 100, 0, 65536);

	t->unsolicited = true;
	conn_get_data(rig->conn, t);
	CU_ASSERT(c->large_bursts > 0);
	wire_command(w, 1, 8192, 8192);
	tcp_test_feed(rig->conn, w->b, 1000);
	CU_ASSERT_EQUAL(c->rx.offered, STREAM_AHEAD);
	tcp_test_feed(rig->conn, w->b + 1000, w->len - 1000);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(rig), "itt 1 data 8192"));
	CU_ASSERT_EQUAL(c->rx.offered, w->len - 1000 + STREAM_AHEAD);
	rig_free_data(rig);
	free(w);
	rig_destroy(rig);
}

UNIT_MAIN(TEST(same_result_for_pieces_of_every_size), TEST(immediate_data_is_lent),
	  TEST(long_immediate_data_that_is_not_complete_lands),
	  TEST(small_immediate_data_waits_in_the_stream), TEST(the_rest_of_a_connection_is_its_own),
	  TEST(nothing_is_delivered_after_close), TEST(many_small_requests_come_in_portions),
	  TEST(waits_for_little_in_one_piece));
