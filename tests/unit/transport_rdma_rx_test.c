// SPDX-License-Identifier: BSD-2-Clause
/* What the initiator sends over RDMA: good, odd and hostile. */
#include "tests/unit/transport_rdma_rig.h"

static struct message m;

/* Nothing but the end was heard of it. */
static void check_dropped(struct iser *in)
{
	reactor_advance(in->rig->r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "closed\n");
	iser_destroy(in);
}

static void a_pdu_goes_up(void)
{
	struct iser *in = iser_create();

	message_plain(&m, OP_NOP_OUT, 7, 0);
	CU_ASSERT_EQUAL(iser_send(in, &m), MOCK_DELIVERED);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 00 itt 7\n");
	iser_destroy(in);
}

static void data_goes_up_with_and_without_padding(void)
{
	struct iser *in = iser_create();
	char want[64];

	for (uint32_t pad = 0; pad < 4; pad++) {
		message_plain(&m, OP_TEXT_REQUEST, 9, 101);
		snprintf(want, sizeof(want), "pdu 04 itt 9 data 101 %x\n", rig_sum(m.rest, 101));
		m.len += pad;
		iser_send(in, &m);
		CU_ASSERT_STRING_EQUAL(rig_log(in->rig), want);
	}
	iser_destroy(in);
}

static void every_short_send_closes(void)
{
	for (uint32_t len = 0; len < HEADERS; len++) {
		struct iser *in = iser_create();

		message_plain(&m, OP_NOP_OUT, 7, 0);
		CU_ASSERT_EQUAL(mock_deliver(in->qp, &m.ih, len), MOCK_DELIVERED);
		check_dropped(in);
	}
}

static void every_short_send_closes_before_the_login(void)
{
	for (uint32_t len = 0; len < HEADERS; len++) {
		struct iser *in = iser_begin();
		struct rdma_request request = iser_request();

		iser_arrive(in, &request);
		iser_establish(in);
		message_plain(&m, OP_LOGIN_REQUEST, 7, 0);
		mock_deliver(in->qp, &m.ih, len);
		check_dropped(in);
	}
}

static void lengths_that_do_not_add_up_close(void)
{
	static const struct {
		uint8_t ahs_words;
		uint32_t dlength, bytes;
	} cases[] = {
		{ 0, 1, 0 },	 { 0, 512, 511 },	{ 1, 0, 0 },	 { 1, 0, 3 },
		{ 17, 0, 68 },	 { 255, 0, 1020 },	{ 4, 16, 31 },	 { 0, 0, 4 },
		{ 0, 512, 516 }, { 0, 0xffffff, 8192 }, { 0, 8192, 64 }, { 16, 8192, 8191 },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		struct iser *in = iser_create();

		message_plain(&m, OP_TEXT_REQUEST, 7, 0);
		memset(m.rest, 0, 8192);
		m.h.bhs.total_ahs_len = cases[i].ahs_words;
		m.h.bhs.dlength = be24_of(cases[i].dlength);
		m.len = HEADERS + cases[i].bytes;
		mock_deliver(in->qp, &m.ih, m.len);
		check_dropped(in);
	}
}

static void more_data_than_was_declared_closes(void)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct iser *in;

	params.max_recv_dsl = 4096;
	in = iser_with(&request, &params);
	message_plain(&m, OP_TEXT_REQUEST, 7, 4097);
	mock_deliver(in->qp, &m.ih, m.len);
	check_dropped(in);
}

static void unknown_iser_opcodes_close(void)
{
	for (unsigned int op = 0; op < 16; op++) {
		struct iser *in;

		if (op == ISER_CTRL >> 4 || op == ISER_HELLO >> 4)
			continue;
		in = iser_create();
		message_plain(&m, OP_NOP_OUT, 7, 0);
		m.ih.flags = (uint8_t)(op << 4);
		mock_deliver(in->qp, &m.ih, m.len);
		check_dropped(in);
	}
}

static void a_send_longer_than_the_receive_closes(void)
{
	struct iser *in = iser_create();

	message_plain(&m, OP_NOP_OUT, 7, 0);
	m.len = HEADERS + RECV_DATA + AHS_MAX + 1;
	CU_ASSERT_EQUAL(mock_deliver(in->qp, &m.ih, m.len), MOCK_TOO_LONG);
	check_dropped(in);
}

/* iSER's flags against the command's. */
static void tags_and_bits_contradict(void)
{
	static const struct {
		uint8_t tags, bits;
		uint32_t edtl, immediate;
	} cases[] = {
		{ ISER_RSV, CMD_FINAL, 512, 0 }, /* RSV without R */
		{ ISER_WSV, CMD_FINAL, 512, 0 },
		{ ISER_RSV, CMD_FINAL | CMD_WRITE, 512, 512 },
		{ ISER_WSV, CMD_FINAL | CMD_READ, 512, 0 },
		{ ISER_RSV | ISER_WSV, CMD_FINAL | CMD_READ, 512, 0 }, /* two for one direction */
		{ ISER_RSV | ISER_WSV, CMD_FINAL | CMD_WRITE, 512, 0 },
		{ 0, CMD_FINAL | CMD_READ, 512, 0 }, /* R without RSV */
		{ 0, CMD_FINAL | CMD_WRITE, 512, 0 }, /* solicited data from nowhere */
		{ 0, CMD_FINAL | CMD_WRITE, 513, 512 },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		struct iser *in = iser_create();

		message_command(&m, 5, cases[i].bits, cases[i].edtl, cases[i].immediate);
		m.ih.flags |= cases[i].tags;
		m.ih.read_stag = m.ih.write_stag = be32_of(0x1234);
		mock_deliver(in->qp, &m.ih, m.len);
		reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
		if (in->closed != 1)
			fprintf(stderr, "# case %zu\n", i);
		CU_ASSERT_EQUAL(in->closed, 1);
		CU_ASSERT_PTR_NULL(strstr(rig_log(in->rig), "pdu"));
		iser_destroy(in);
	}
}

static void a_tag_without_a_command_closes(void)
{
	struct iser *in = iser_create();

	message_plain(&m, OP_NOP_OUT, 7, 0);
	m.ih.flags |= ISER_RSV;
	mock_deliver(in->qp, &m.ih, m.len);
	reactor_advance(in->rig->r, 10 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_PTR_NULL(strstr(rig_log(in->rig), "pdu"));
	iser_destroy(in);
}

static void commands_that_need_no_tag(void)
{
	struct iser *in = iser_create();

	message_command(&m, 1, CMD_FINAL, 0, 0); /* no data */
	iser_send(in, &m);
	message_command(&m, 2, CMD_FINAL | CMD_WRITE, 512, 512); /* all of it immediate */
	iser_send(in, &m);
	message_command(&m, 3, CMD_WRITE, 8192, 512); /* all of it unsolicited */
	iser_send(in, &m);
	message_command(&m, 4, CMD_FINAL | CMD_READ, 0, 0); /* nothing to be read */
	iser_send(in, &m);
	CU_ASSERT_PTR_NOT_NULL(in->rig->conn);
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "pdu 01 itt 1\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "pdu 01 itt 2 data 512"));
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "pdu 01 itt 3 data 512"));
	CU_ASSERT_PTR_NOT_NULL(strstr(in->rig->log, "pdu 01 itt 4\n"));
	iser_destroy(in);
}

/* Extended CDB and data in one message: however long either is, the data begins where its buffer
 * does, and the buffer is good for the next message. */
static void check_ahs(uint32_t ahs_len, uint32_t len)
{
	struct iser *in = iser_create();
	union pdu_header h = { .scsi_command = { .opcode = OP_SCSI_COMMAND,
						 .flags = CMD_FINAL | CMD_WRITE,
						 .edtl = be32_of(len) } };
	static uint8_t ahs[AHS_MAX], data[RECV_DATA];
	char want[128];

	rig_pattern(ahs, sizeof(ahs), 1);
	rig_pattern(data, sizeof(data), len);
	message_pdu(&m, &h, ahs, ahs_len, data, len);
	in->take = true;
	CU_ASSERT_EQUAL(iser_send(in, &m), MOCK_DELIVERED);
	snprintf(want, sizeof(want), "pdu 01 itt 0 ahs %u %x data %u %x buf\n", ahs_len,
		 rig_sum(ahs, ahs_len), len, rig_sum(data, len));
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), want);
	CU_ASSERT_PTR_NOT_NULL_FATAL(in->taken);
	CU_ASSERT_PTR_EQUAL(in->data, in->taken->data);
	in->take = false;
	/* Once round: the next of the same receive lands elsewhere and whole. */
	for (uint32_t i = mock_recv_count(in->qp); i; i--) {
		(void)rig_log(in->rig);
		CU_ASSERT_EQUAL(iser_send(in, &m), MOCK_DELIVERED);
		CU_ASSERT_STRING_EQUAL(in->rig->log, want);
	}
	CU_ASSERT(!memcmp(in->taken->data, data, len));
	iser_destroy(in);
}

static void an_ahs_stands_before_the_data(void)
{
	static const uint32_t lengths[] = { 1, 512, 8127, 8128, 8129, 8172, 8173, 8191, 8192 };

	for (uint32_t ahs_len = 4; ahs_len <= AHS_MAX; ahs_len += 4)
		check_ahs(ahs_len, RECV_DATA);
	for (size_t i = 0; i < array_size(lengths); i++) {
		check_ahs(20, lengths[i]);
		check_ahs(AHS_MAX, lengths[i]);
	}
}

static void an_ahs_alone(void)
{
	struct iser *in = iser_create();
	union pdu_header h = { .scsi_command = { .opcode = OP_SCSI_COMMAND, .flags = CMD_FINAL } };
	uint8_t ahs[AHS_MAX];
	char want[64];

	rig_pattern(ahs, sizeof(ahs), 1);
	message_pdu(&m, &h, ahs, sizeof(ahs), NULL, 0);
	iser_send(in, &m);
	snprintf(want, sizeof(want), "pdu 01 itt 0 ahs 64 %x\n", rig_sum(ahs, sizeof(ahs)));
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), want);
	iser_destroy(in);
}

/* --- Immediate data */

/* The session gets the buffer that the data landed in, and the receive another one. */
static void immediate_data_stays_where_it_landed(void)
{
	struct iser *in = iser_create();
	const struct mock_rr *rr = &in->qp->rq[in->qp->rq_head % in->qp->cap.max_recv_wr];
	const uint8_t *landing = (const uint8_t *)(uintptr_t)rr->sge[1].addr;
	uint8_t want[4096];

	in->take = true;
	message_command(&m, 5, CMD_FINAL | CMD_WRITE, 4096, 4096);
	memcpy(want, m.rest, sizeof(want));
	iser_send(in, &m);
	CU_ASSERT_PTR_NOT_NULL_FATAL(in->taken);
	CU_ASSERT_PTR_EQUAL(in->taken->data, landing);
	CU_ASSERT_PTR_EQUAL(in->data, landing);
	CU_ASSERT_EQUAL((uintptr_t)landing % 4096, 0);
	CU_ASSERT_EQUAL(atomic_load(&in->rig->conn->bytes_copied), 0);
	/* Whatever comes next does not touch it. */
	for (uint32_t i = 0; i < 2 * in->qp->cap.max_recv_wr; i++) {
		message_plain(&m, OP_TEXT_REQUEST, i, 8192);
		CU_ASSERT_EQUAL_FATAL(iser_send(in, &m), MOCK_DELIVERED);
	}
	CU_ASSERT(!memcmp(in->taken->data, want, sizeof(want)));
	iser_destroy(in);
}

static void immediate_data_that_nobody_keeps_goes_back(void)
{
	struct iser *in = iser_create();
	size_t before = slab_in_use(in->rig->slab);

	for (uint32_t i = 0; i < 600; i++) {
		message_command(&m, i, CMD_FINAL | CMD_WRITE, 4096, 4096);
		CU_ASSERT_EQUAL_FATAL(iser_send(in, &m), MOCK_DELIVERED);
		(void)rig_log(in->rig);
	}
	CU_ASSERT_EQUAL(slab_in_use(in->rig->slab), before);
	iser_destroy(in);
}

/* No memory for a new buffer: the data is thrown away, the receive goes on with the old one. */
static void immediate_data_is_dropped_without_memory(void)
{
	struct iser *in = iser_create();
	struct buf *hoard;
	uint32_t posted = mock_recv_count(in->qp);

	hoard = iser_hoard(in);
	message_command(&m, 5, CMD_FINAL | CMD_WRITE, 4096, 4096);
	iser_send(in, &m);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 01 itt 5 data 4096 dropped\n");
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), posted);
	iser_hoard_put(in, hoard);
	message_command(&m, 6, CMD_FINAL | CMD_WRITE, 16, 16);
	iser_send(in, &m);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(in->rig), "pdu 01 itt 6 data 16"));
	iser_destroy(in);
}

/* --- Room for what comes unasked */

static uint32_t room; /* of the last command's buffer */

static void look_at_room(struct rig *rig, struct pdu *pdu)
{
	room = pdu->buf ? pdu->buf->size : 0;
	iser_pdu(rig, pdu);
}

static struct iser *with_first_burst(uint32_t first_burst)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();
	struct iser *in;

	params.first_burst = first_burst;
	params.max_burst = 1 << 20;
	in = iser_with(&request, &params);
	in->rig->on_pdu = look_at_room;
	return in;
}

/* FirstBurstLength was never spoken of, and Data-Outs follow. */
static void room_for_the_first_burst(void)
{
	static const struct {
		uint32_t first_burst, edtl, immediate, room;
	} cases[] = {
		{ 65536, 131072, 8192, 65536 }, { 65536, 131072, 1, 65536 },
		{ 65536, 32768, 8192, 32768 },	{ 65536, 8192, 512, 8192 },
		{ 8192, 131072, 8192, 8192 },	{ 1 << 20, 1 << 20, 4096, FIRST_ROOM },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		struct iser *in = with_first_burst(cases[i].first_burst);
		struct mock_region *region = mock_region_add(0x7f0000100000, cases[i].edtl);
		char want[64];

		message_command(&m, 5, CMD_WRITE, cases[i].edtl, cases[i].immediate);
		message_writes(&m, region, cases[i].first_burst);
		snprintf(want, sizeof(want), "pdu 01 itt 5 data %u %x buf\n", cases[i].immediate,
			 rig_sum(m.rest, cases[i].immediate));
		iser_send(in, &m);
		CU_ASSERT_STRING_EQUAL(rig_log(in->rig), want);
		CU_ASSERT(room >= cases[i].room);
		iser_destroy(in);
	}
}

/* There is memory for the receive and none for the burst. */
static void no_room_for_the_first_burst(void)
{
	struct iser *in = with_first_burst(65536);
	struct mock_region *region = mock_region_add(0x7f0000100000, 131072);
	struct buf *spare = iser_buf(in, RECV_DATA), *hoard = iser_hoard(in);
	uint32_t posted = mock_recv_count(in->qp);

	iser_buf_put(in, spare);
	message_command(&m, 5, CMD_WRITE, 131072, 8192);
	message_writes(&m, region, 65536);
	iser_send(in, &m);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "pdu 01 itt 5 data 8192 dropped\n");
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), posted);
	iser_hoard_put(in, hoard);
	iser_send(in, &m);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_log(in->rig), " buf\n"));
	CU_ASSERT(room >= 65536);
	iser_destroy(in);
}

/* --- What iSER has no use for */

static void a_snack_closes(void)
{
	struct iser *in = iser_create();

	message_plain(&m, OP_SNACK, 7, 0);
	iser_send(in, &m);
	CU_ASSERT_EQUAL(in->closed, 0); /* what the session says goes out first */
	message_plain(&m, OP_NOP_OUT, 8, 0);
	mock_deliver(in->qp, &m.ih, m.len);
	reactor_advance(in->rig->r, FLUSH_SECONDS * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(in->closed, 1);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "error 04 opcode 10 fatal\nclosed\n");
	iser_destroy(in);
}

/* --- Before full feature phase */

static void a_login_that_comes_early_waits(void)
{
	struct iser *in = iser_begin();
	struct rdma_request request = iser_request();
	char want[64];

	iser_arrive(in, &request);
	message_plain(&m, OP_LOGIN_REQUEST, 3, 300);
	snprintf(want, sizeof(want), "pdu 03 itt 3 data 300 %x\n", rig_sum(m.rest, 300));
	CU_ASSERT_EQUAL(iser_send(in, &m), MOCK_DELIVERED);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), "");
	CU_ASSERT_EQUAL(mock.notifies, 1); /* it establishes the connection as well */
	iser_establish(in);
	CU_ASSERT_STRING_EQUAL(rig_log(in->rig), want);
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), RECV_LOGIN);
	iser_destroy(in);
}

static void few_receives_before_the_login(void)
{
	struct iser *in = iser_begin();
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();

	iser_arrive(in, &request);
	iser_establish(in);
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), RECV_LOGIN);
	conn_apply_keys(in->rig->conn, &params);
	iser_turn(in);
	CU_ASSERT(mock_recv_count(in->qp) >= ISER_WINDOW + UNEXPECTED_MAX);
	CU_ASSERT_EQUAL(in->rig->conn->max_full_feature_data, FULL_FEATURE_DATA);
	iser_destroy(in);
}

/* --- Receives */

/* More than a window at once, in one turn: none is lost, all are posted again. */
static void a_burst_is_taken_in_order(void)
{
	struct iser *in = iser_create();
	uint32_t n = mock_recv_count(in->qp);
	const char *line;

	for (uint32_t i = 0; i < n; i++) {
		message_plain(&m, OP_NOP_OUT, i, 0);
		CU_ASSERT_EQUAL(mock_deliver(in->qp, &m.ih, m.len), MOCK_DELIVERED);
	}
	CU_ASSERT_EQUAL(mock_deliver(in->qp, &m.ih, m.len), MOCK_RNR);
	iser_turn(in);
	line = rig_log(in->rig);
	for (uint32_t i = 0; i < n; i++) {
		char want[32];
		size_t len = (size_t)snprintf(want, sizeof(want), "pdu 00 itt %x\n", i);

		CU_ASSERT_EQUAL_FATAL(strncmp(line, want, len), 0);
		line += len;
	}
	CU_ASSERT_EQUAL(mock_recv_count(in->qp), n);
	iser_destroy(in);
}

UNIT_MAIN(TEST(a_pdu_goes_up), TEST(data_goes_up_with_and_without_padding),
	  TEST(every_short_send_closes), TEST(every_short_send_closes_before_the_login),
	  TEST(lengths_that_do_not_add_up_close), TEST(more_data_than_was_declared_closes),
	  TEST(unknown_iser_opcodes_close), TEST(a_send_longer_than_the_receive_closes),
	  TEST(tags_and_bits_contradict), TEST(a_tag_without_a_command_closes),
	  TEST(commands_that_need_no_tag), TEST(an_ahs_stands_before_the_data), TEST(an_ahs_alone),
	  TEST(immediate_data_stays_where_it_landed),
	  TEST(immediate_data_that_nobody_keeps_goes_back),
	  TEST(immediate_data_is_dropped_without_memory), TEST(room_for_the_first_burst),
	  TEST(no_room_for_the_first_burst), TEST(a_snack_closes),
	  TEST(a_login_that_comes_early_waits), TEST(few_receives_before_the_login),
	  TEST(a_burst_is_taken_in_order));
