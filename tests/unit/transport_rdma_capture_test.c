// SPDX-License-Identifier: BSD-2-Clause
/* A capture over RDMA: the PDUs that were sent, and those that Reads and Writes stand for. */
#include "tests/unit/capture_rig.h"
#include "tests/unit/transport_rdma_rig.h"

static struct capture *capture;
static struct message m;

static struct iser *begin(void)
{
	struct capture_config cfg = { .rings = 1, .data = 100000 };
	struct iser *in = iser_create();

	CU_ASSERT_EQUAL_FATAL(capture_create(&cfg, &capture), 0);
	CU_ASSERT(capture_attach(capture, in->rig->conn, true));
	return in;
}

static void end(struct iser *in)
{
	if (in->rig->conn)
		capture_detach(in->rig->conn);
	iser_destroy(in);
	capture_put(capture);
}

static const union pdu_header *header(const struct capture_area *area, unsigned int i,
				      const struct capture_record **record)
{
	const uint8_t *at = (const uint8_t *)ring_of((struct capture_area *)area, 0) + CAPTURE_PAGE;

	while (i--)
		at += ((const struct capture_record *)at)->size;
	*record = (const struct capture_record *)at;
	return (const union pdu_header *)(*record + 1);
}

static void a_read_is_data_in_and_a_response(void)
{
	struct iser *in = begin();
	struct mock_region *region = iser_read(in, 5, 4096);
	struct buf *b = iser_buf(in, 4096);
	const struct capture_record *record;
	const union pdu_header *h;
	struct capture_area *area;
	size_t size;

	memset(b->data, 0x77, 4096);
	iser_put(in, 5, b->data, 4096);
	iser_settle(in);
	CU_ASSERT_EQUAL(region->bytes[4095], 0x77);
	CU_ASSERT_STRING_EQUAL(captured(capture), "<01 itt 5\n"
						  ">25 itt 5 4096/4096\n"
						  ">21 itt 5\n");
	area = map_capture(capture, &size);
	h = header(area, 1, &record);
	CU_ASSERT(record->rdma);
	CU_ASSERT_EQUAL(h->data_in.flags, PDU_FINAL);
	CU_ASSERT_EQUAL(be32_get(h->data_in.statsn), 0);
	CU_ASSERT_EQUAL(be32_get(h->data_in.buffer_offset), 0);
	CU_ASSERT_EQUAL(((const uint8_t *)(h + 1))[4095], 0x77);
	h = header(area, 2, &record);
	CU_ASSERT_EQUAL(be32_get(h->scsi_response.statsn), 1005);
	munmap(area, size);
	iser_buf_put(in, b);
	end(in);
}

static void a_write_is_r2t_and_data_out(void)
{
	struct iser *in = begin();
	struct buf *b = iser_buf(in, 8192);
	const struct capture_record *record;
	const union pdu_header *h;
	struct capture_area *area;
	size_t size;

	iser_write(in, 6, 8192);
	iser_get(in, 6, b->data, 0, 8192);
	iser_turn(in);
	CU_ASSERT_STRING_EQUAL(captured(capture), "<01 itt 6\n"
						  ">31 itt 6\n");
	iser_settle(in);
	CU_ASSERT_STRING_EQUAL(captured(capture), "<01 itt 6\n"
						  ">31 itt 6\n"
						  "<05 itt 6 8192/8192\n");
	area = map_capture(capture, &size);
	h = header(area, 1, &record);
	CU_ASSERT_EQUAL(be32_get(h->r2t.desired_len), 8192);
	CU_ASSERT_EQUAL(be32_get(h->r2t.ttt), 0);
	h = header(area, 2, &record);
	CU_ASSERT_EQUAL(be32_get(h->data_out.ttt), 0);
	CU_ASSERT_EQUAL(h->data_out.flags, PDU_FINAL);
	CU_ASSERT(!memcmp(h + 1, b->data, 8192));
	munmap(area, size);
	iser_buf_put(in, b);
	end(in);
}

/* What was sent over there in truth: commands with data, Data-Out that nobody asked for, pings. */
static void pdus_of_the_initiator(void)
{
	struct iser *in = begin();
	struct mock_region *region = mock_region_add(0x123456789000, 16384);
	struct buf *b = iser_buf(in, 16384);

	message_command(&m, 7, CMD_WRITE, 16384, 1000);
	message_writes(&m, region, 8192);
	iser_send(in, &m);
	message_data_out(&m, 7, TAG_NONE, 0, 1000, 7192, true);
	iser_send(in, &m);
	message_plain(&m, OP_NOP_OUT | OPCODE_IMMEDIATE, 8, 3);
	iser_send(in, &m);
	CU_ASSERT_STRING_EQUAL(captured(capture), "<01 itt 7 1000/1000\n"
						  "<05 itt 7 7192/7192\n"
						  "<00 itt 8 3/3\n");
	iser_buf_put(in, b);
	end(in);
}

static void detach(struct rig *rig, struct transfer *t)
{
	CU_ASSERT_NOT_EQUAL(t->result, TRANSFER_OK);
	capture_detach(rig->conn);
}

/* A Read that did not happen has brought no Data-Out. */
static void a_read_that_fails(void)
{
	struct iser *in = begin();
	struct buf *b = iser_buf(in, 4096);

	iser_write(in, 6, 4096);
	in->rig->on_done = detach; /* the connection ends behind it */
	iser_get(in, 6, b->data, 0, 4096);
	iser_turn(in);
	mock_send_end(in->qp, IBV_WC_REM_ACCESS_ERR);
	iser_turn(in);
	CU_ASSERT_STRING_EQUAL(captured(capture), "<01 itt 6\n"
						  ">31 itt 6\n");
	iser_buf_put(in, b);
	end(in);
}

UNIT_MAIN(TEST(a_read_is_data_in_and_a_response), TEST(a_write_is_r2t_and_data_out),
	  TEST(pdus_of_the_initiator), TEST(a_read_that_fails));
