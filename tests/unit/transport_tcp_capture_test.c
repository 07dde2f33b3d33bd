// SPDX-License-Identifier: BSD-2-Clause
/* A capture over TCP has every PDU as it was on the wire, in its order, digests left out. */
#include "tests/unit/capture_rig.h"
#include "tests/unit/transport_rig.h"

static struct capture *capture;

/* A connection that is captured. */
static struct rig *begin(bool digests)
{
	struct capture_config cfg = { .rings = 1, .data = 100000 };
	struct conn_params params = rig_params();
	struct rig *rig;

	params.header_digest = params.data_digest = digests;
	rig = rig_tcp(&params);
	CU_ASSERT_EQUAL_FATAL(capture_create(&cfg, &capture), 0);
	CU_ASSERT(capture_attach(capture, rig->conn, true));
	return rig;
}

static void end(struct rig *rig, struct wire *w)
{
	capture_detach(rig->conn);
	rig_end(rig, w);
	capture_put(capture);
}

static uint32_t ttt_sent(const struct wire *out)
{
	return be32_get(((const union pdu_header *)out->b)->r2t.ttt);
}

static void everything_that_passes(bool digests)
{
	struct rig *rig = begin(digests);
	struct wire *w = wire_for(rig), *out = wire_create();
	uint8_t ahs[4] = { 0 };
	union pdu_header h = { .bhs = { .opcode = OP_SCSI_COMMAND, .itt = be32_of(9) } };
	struct transfer *t;

	wire_plain(w, OP_NOP_OUT | OPCODE_IMMEDIATE, 1, 5);
	wire_command(w, 2, 20000, 12000);
	wire_pdu(w, &h, ahs, sizeof(ahs), NULL, 0);
	rig_feed(rig, w);
	t = rig_data_in(rig, 3, 0, 20000);
	t->with_status = t->final = true;
	conn_put_data(rig->conn, t);
	t = rig_data_in(rig, 4, 0, 4096); /* as most READs */
	t->with_status = t->final = true;
	conn_put_data(rig->conn, t);
	rig_drain(rig, out);
	CU_ASSERT_STRING_EQUAL(captured(capture), "<00 itt 1 5/5\n"
						  "<01 itt 2 12000/12000\n"
						  "<01 itt 9 ahs 4\n"
						  ">25 itt 3 8192/8192\n"
						  ">25 itt 3 8192/8192\n"
						  ">25 itt 3 3616/3616\n"
						  ">25 itt 4 4096/4096\n");
	free(out);
	end(rig, w);
}

static void in_order(void)
{
	everything_that_passes(false);
	everything_that_passes(true);
}

static void r2t_and_data_out(void)
{
	struct rig *rig = begin(false);
	struct wire *w = wire_for(rig), *out = wire_create();
	struct transfer *t = rig_get(rig, 5, 20000);

	rig_drain(rig, out);
	wire_data_out(w, 5, ttt_sent(out), 0, 0, 12000, false);
	wire_data_out(w, 5, ttt_sent(out), 1, 12000, 8000, true);
	wire_data_out(w, 77, 99, 0, 0, 700, true); /* nobody's, and thrown away */
	rig_feed(rig, w);
	rig_turn(rig);
	CU_ASSERT_EQUAL(t->received, 20000);
	CU_ASSERT_STRING_EQUAL(captured(capture), ">31 itt 5\n"
						  "<05 itt 5 12000/12000\n"
						  "<05 itt 5 8000/8000\n"
						  "<05 itt 4d 0/700\n");
	free(out);
	end(rig, w);
}

/* The bytes that landed in place are those of the file. */
static void the_data_of_data_out(void)
{
	struct rig *rig = begin(false);
	struct wire *w = wire_for(rig), *out = wire_create();
	struct transfer *t = rig_get(rig, 5, 20000);
	const struct capture_record *r;
	struct capture_area *area;
	size_t size;

	rig_drain(rig, out);
	wire_data_out(w, 5, ttt_sent(out), 0, 0, 20000, true);
	/* Cut, so that some of it lands where it belongs and some comes with the header. */
	tcp_test_feed(rig->conn, w->b, 1000);
	tcp_test_feed(rig->conn, w->b + 1000, w->len - 1000);
	rig_turn(rig);
	area = map_capture(capture, &size);
	r = (const void *)((const uint8_t *)ring_of(area, 0) + CAPTURE_PAGE);
	r = (const void *)((const uint8_t *)r + r->size);
	CU_ASSERT_EQUAL_FATAL(r->data_kept, 20000);
	CU_ASSERT(!memcmp((const uint8_t *)(r + 1) + BHS_LEN, t->data, 20000));
	munmap(area, size);
	free(out);
	end(rig, w);
}

/* What was captured before the end stays readable, whatever becomes of the connection. */
static void nothing_after_detach(void)
{
	struct rig *rig = begin(false);
	struct wire *w = wire_for(rig);

	wire_plain(w, OP_NOP_OUT | OPCODE_IMMEDIATE, 1, 0);
	rig_feed(rig, w);
	capture_detach(rig->conn);
	wire_plain(w, OP_NOP_OUT | OPCODE_IMMEDIATE, 2, 0);
	rig_feed(rig, w);
	CU_ASSERT_STRING_EQUAL(captured(capture), "<00 itt 1\n");
	end(rig, w);
}

UNIT_MAIN(TEST(in_order), TEST(r2t_and_data_out), TEST(the_data_of_data_out),
	  TEST(nothing_after_detach));
