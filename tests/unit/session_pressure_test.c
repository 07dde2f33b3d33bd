// SPDX-License-Identifier: BSD-2-Clause
/*
 * Memory and time are bounded whatever the peer or the disk does: answers that nobody reads,
 * requests out of order, floods, data that is late, tasks that never end.
 */
#include "session/internal.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

enum { WINDOW = 128 };

static const uint8_t tur[16] = { 0 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };
static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 };
static const uint8_t write_16[16] = { [0] = 0x2a, [8] = 16 };

static void clear_attention(struct initiator *in)
{
	uint32_t itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);

	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
}

/* A session whose power-on unit attention is out of the way. */
static void begin_with(struct rig *rig, struct initiator *in, const char *disk,
		       const struct server_limits *limits, unsigned int reactors)
{
	CU_ASSERT_FATAL(rig_up_on(rig, disk, limits, reactors));
	CU_ASSERT_FATAL(rig_login(rig, in, 1));
	clear_attention(in);
}

static void begin(struct rig *rig, struct initiator *in, const char *disk)
{
	begin_with(rig, in, disk, NULL, 1);
}

static void end(struct rig *rig, struct initiator *in)
{
	rig_leave(in);
	CU_ASSERT_TRUE(nothing_left(rig));
	rig_down(rig);
}

/* The same for a disk that hangs: what it keeps comes back when it is closed. */
static void end_hung(struct rig *rig, struct initiator *in)
{
	rig_leave(in);
	rig_close_disk(rig);
	rig_turn(rig);
	CU_ASSERT_TRUE(nothing_left(rig));
	rig_down(rig);
}

static int next_reject(struct initiator *in)
{
	struct memory_record *rec = rig_receive(in);
	int reason = -1;

	if (rec && pdu_opcode(&rec->h.bhs) == OP_REJECT)
		reason = rec->h.reject.reason;
	free(rec);
	return reason;
}

/* opcode: with the immediate bit if wanted. */
static void send_nop(struct initiator *in, uint8_t opcode, uint32_t cmdsn, const void *data,
		     uint32_t len)
{
	union pdu_header h = { 0 };

	h.nop_out.opcode = opcode;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = be32_of(in->itt++);
	h.nop_out.ttt = be32_of(TAG_NONE);
	h.nop_out.cmdsn = be32_of(cmdsn);
	rig_send(in, &h, data, len);
}

static void send_logout(struct initiator *in, uint8_t opcode, uint32_t cmdsn)
{
	union pdu_header h = { 0 };

	h.logout_request.opcode = opcode;
	h.logout_request.reason = PDU_FINAL | LOGOUT_SESSION;
	h.logout_request.itt = be32_of(in->itt++);
	h.logout_request.cmdsn = be32_of(cmdsn);
	rig_send(in, &h, NULL, 0);
}

static bool window_is_whole(const struct initiator *in)
{
	return in->maxcmdsn - in->expcmdsn + 1 == WINDOW;
}

/* --- A peer that reads nothing: what is sent to it stays with the transport. One at a time. */

static struct list unread_pdus, unread_data;

static void read_again(struct conn *conn)
{
	struct list *node;

	conn->ops = &memory_transport;
	conn->bytes_queued = 0;
	while ((node = list_pop(&unread_data)))
		memory_transport.put_data(conn, list_entry(node, struct transfer, node));
	while ((node = list_pop(&unread_pdus)))
		memory_transport.send_pdu(conn, list_entry(node, struct tx_pdu, node));
}

static void deaf_send(struct conn *conn, struct tx_pdu *pdu)
{
	conn->bytes_queued += BHS_LEN + pdu->data_len;
	list_add_tail(&unread_pdus, &pdu->node);
}

static void deaf_put(struct conn *conn, struct transfer *t)
{
	conn->bytes_queued += BHS_LEN + t->len;
	list_add_tail(&unread_data, &t->node);
}

static void deaf_close(struct conn *conn, bool flush)
{
	memory_transport.close(conn, flush);
	read_again(conn);
}

static struct conn *go_deaf(struct initiator *in)
{
	static struct transport_ops deaf;
	struct conn *conn = memory_conn(in->peer);

	deaf = memory_transport;
	deaf.send_pdu = deaf_send;
	deaf.put_data = deaf_put;
	deaf.close = deaf_close;
	list_init(&unread_pdus);
	list_init(&unread_data);
	conn->ops = &deaf;
	return conn;
}

/* X3: commands whose answers nobody reads do not pile up, and afterwards all goes on. */
static void unread_answers(void)
{
	struct rig rig;
	struct initiator in;
	struct memory_record *rec;
	struct conn *conn;
	uint32_t itt;

	begin(&rig, &in, "ram:1M");
	conn = go_deaf(&in);
	for (int i = 0; i < 20 * WINDOW; i++)
		rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	rig_turn(&rig);
	CU_ASSERT_TRUE(rig.server->reactors[0].commands.in_use >= WINDOW);
	CU_ASSERT_TRUE(rig.server->reactors[0].commands.in_use <= 2 * WINDOW);
	read_again(conn);
	while ((rec = rig_receive(&in)))
		free(rec);
	CU_ASSERT_TRUE(window_is_whole(&in));
	in.cmdsn = in.expcmdsn;
	itt = rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_TRUE(window_is_whole(&in));
	end(&rig, &in);
}

/* N4, X3: a flood of requests that the window does not hold back ends the connection. */
static void unread_replies(void)
{
	static uint8_t data[4096];
	static const struct {
		uint8_t opcode;
		uint32_t len;
	} rows[] = {
		{ OP_NOP_OUT | OPCODE_IMMEDIATE, 0 },
		{ OP_NOP_OUT | OPCODE_IMMEDIATE, sizeof(data) },
		{ OP_NOP_OUT, 16 },
		{ OP_SNACK, 0 }, /* rejected */
	};

	for (unsigned int i = 0; i < array_size(rows); i++) {
		struct rig rig;
		struct initiator in;
		struct conn *conn;
		int sent;

		begin(&rig, &in, "ram:1M");
		conn = go_deaf(&in);
		for (sent = 0; sent < 20000 && !conn->closing; sent++)
			send_nop(&in, rows[i].opcode, in.cmdsn++, data, rows[i].len);
		CU_ASSERT_TRUE(conn->closing);
		CU_ASSERT_TRUE(sent > 400); /* what one receive can bring is still harmless */
		CU_ASSERT_TRUE(rig.server->reactors[0].replies.in_use < 2000);
		if (!conn->closing)
			deaf_close(conn, false);
		end(&rig, &in);
	}
}

/* X3: who talks but never reads is dropped in the end. */
static void deaf_for_too_long(void)
{
	struct server_limits limits = server_default_limits;
	struct rig rig;
	struct initiator in;
	int i;

	limits.nop_interval_s = 0;
	limits.data_timeout_s = 10;
	begin_with(&rig, &in, "ram:1M", &limits, 1);
	go_deaf(&in);
	for (i = 0; i < 30 && memory_conn(in.peer); i++) {
		send_nop(&in, OP_NOP_OUT | OPCODE_IMMEDIATE, in.cmdsn, NULL, 0);
		reactor_advance(rig.r, NSEC_PER_SEC);
	}
	CU_ASSERT_TRUE(i >= 10);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	if (memory_conn(in.peer))
		deaf_close(memory_conn(in.peer), false);
	end(&rig, &in);
}

/* Time passes and the reactor gets no CPU: at the end of it everything is due at once. */
static void reactor_is_held_up(struct rig *rig, unsigned int seconds)
{
	rig->r->now += seconds * NSEC_PER_SEC;
}

/* D10, X3: a reactor that was held up itself does not blame the initiators for it. */
static void not_their_fault(void)
{
	static const uint8_t block[512];
	struct server_limits limits = server_default_limits;
	struct memory_record *r2t;
	struct rig rig;
	struct initiator in;
	struct conn *conn;
	uint32_t itt;

	limits.nop_interval_s = 0;
	limits.data_timeout_s = 10;
	begin_with(&rig, &in, "ram:1M", &limits, 1);
	/* The request that ends the pause is answered, but the answer is not out yet. */
	reactor_advance(rig.r, 6 * NSEC_PER_SEC);
	conn = go_deaf(&in);
	reactor_is_held_up(&rig, 11);
	send_nop(&in, OP_NOP_OUT | OPCODE_IMMEDIATE, in.cmdsn, NULL, 0);
	rig_turn(&rig);
	CU_ASSERT_FATAL(memory_conn(in.peer) == conn && !conn->closing);
	read_again(conn);
	free(rig_receive(&in));
	/* Data that waits in the socket. */
	itt = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	r2t = rig_receive(&in);
	CU_ASSERT_FATAL(r2t && r2t->kind == MEMORY_R2T);
	reactor_is_held_up(&rig, 11);
	rig_turn(&rig);
	CU_ASSERT(rig_data_out(&in, itt, be32_get(r2t->h.r2t.ttt), 0, block, 512, true));
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	free(r2t);
	end(&rig, &in);
}

/* X2: a byte now and then is no sign of life. */
static void trickle(void)
{
	struct rig rig;
	struct initiator in;

	begin(&rig, &in, "ram:1M");
	for (int i = 0; i < 60 && memory_conn(in.peer); i++) {
		stat_add(&memory_conn(in.peer)->bytes_in, 1);
		reactor_advance(rig.r, NSEC_PER_SEC);
	}
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	end(&rig, &in);
}

/* D10 means silence, not a slow line: the last of many writes may wait for long. */
static void slow_data(void)
{
	struct server_limits limits = server_default_limits;
	struct memory_record *r2t;
	struct rig rig;
	struct initiator in;
	uint32_t itt[4], ttt[4];
	uint8_t block[512] = { 0 };

	limits.nop_interval_s = 0;
	limits.data_timeout_s = 10;
	begin_with(&rig, &in, "ram:1M", &limits, 1);
	for (int i = 0; i < 4; i++) {
		itt[i] = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
		r2t = rig_receive(&in);
		CU_ASSERT_FATAL(r2t && r2t->kind == MEMORY_R2T);
		ttt[i] = be32_get(r2t->h.r2t.ttt);
		free(r2t);
	}
	for (int i = 0; i < 3; i++) {
		reactor_advance(rig.r, 8 * NSEC_PER_SEC);
		CU_ASSERT_TRUE(rig_data_out(&in, itt[i], ttt[i], 0, block, 512, true));
		CU_ASSERT_EQUAL(rig_status(&in, itt[i]), SAM_GOOD);
	}
	reactor_advance(rig.r, 8 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NOT_NULL(memory_conn(in.peer));
	reactor_advance(rig.r, 8 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	end(&rig, &in);
}

/* --- Requests before their turn */

/* N1: a second request with a CmdSN that is held is ignored, whatever it is. */
static void held_duplicates(void)
{
	struct rig rig;
	struct initiator in;

	begin(&rig, &in, "ram:1M");
	send_nop(&in, OP_NOP_OUT, in.cmdsn + 1, NULL, 0);
	send_nop(&in, OP_NOP_OUT, in.cmdsn + 1, NULL, 0);
	rig_command_sn(&in, in.cmdsn + 1, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	end(&rig, &in);
}

/* N2: what is held goes with the connection, data included. */
static void held_when_lost(void)
{
	static const char big[1000];
	struct rig rig;
	struct initiator in;
	uint8_t block[512] = { 0 };

	begin(&rig, &in, "ram:1M");
	rig_command_sn(&in, in.cmdsn + 1, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);
	rig_command_sn(&in, in.cmdsn + 2, write_16, CMD_FINAL | CMD_WRITE, 8192, NULL, 0);
	send_nop(&in, OP_NOP_OUT, in.cmdsn + 3, big, sizeof(big));
	rig_tmf(&in, TMF_ABORT_TASK, 0x7777, in.cmdsn - 1); /* others still work */
	free(rig_receive(&in));
	CU_ASSERT_EQUAL(rig.server->reactors[0].held.in_use, 3);
	CU_ASSERT_NOT_EQUAL(slab_in_use(rig.slab), 0);
	end(&rig, &in);
}

/* An aborted command's place in the order stays taken, and the window stays whole. */
static void held_aborted(void)
{
	struct rig rig;
	struct initiator in;
	uint8_t block[512];
	uint32_t held, tmf, sn, first, last;

	begin(&rig, &in, "ram:1M");
	memset(block, 0xee, sizeof(block));
	sn = in.cmdsn;
	held = rig_command_sn(&in, sn + 1, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);
	last = rig_command_sn(&in, sn + 2, tur, CMD_FINAL, 0, NULL, 0);
	tmf = rig_tmf(&in, TMF_ABORT_TASK, held, sn + 1);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
	first = rig_command_sn(&in, sn, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, first), SAM_GOOD);
	CU_ASSERT_EQUAL(rig_status(&in, last), SAM_GOOD);
	CU_ASSERT_EQUAL(in.expcmdsn, sn + 3);
	CU_ASSERT_TRUE(window_is_whole(&in));
	CU_ASSERT_NOT_EQUAL(*(uint8_t *)bs_borrow(rig.bs, 0, 512), 0xee);
	end(&rig, &in);
}

/* N7: what stands behind a Logout in CmdSN order does not happen, whenever it came. */
static void nothing_after_logout(void)
{
	struct rig rig;
	struct initiator in;
	uint8_t block[512];

	begin(&rig, &in, "ram:1M");
	memset(block, 0xee, sizeof(block));
	rig_command_sn(&in, in.cmdsn + 2, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);
	send_logout(&in, OP_LOGOUT_REQUEST, in.cmdsn + 1);
	rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	rig_turn(&rig);
	CU_ASSERT_NOT_EQUAL(*(uint8_t *)bs_borrow(rig.bs, 0, 512), 0xee);
	end(&rig, &in);
}

/* N3: CmdSN passes 2^32. */
static void wrap(void)
{
	struct rig rig;
	struct initiator in;
	uint32_t first, second;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	rig.first_cmdsn = 0xfffffffe;
	CU_ASSERT_FATAL(rig_login(&rig, &in, 1));
	clear_attention(&in);
	second = rig_command_sn(&in, 0, tur, CMD_FINAL, 0, NULL, 0);
	rig_command_sn(&in, 0xfffffffe, tur, CMD_FINAL, 0, NULL, 0); /* old */
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	first = rig_command_sn(&in, 0xffffffff, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, first), SAM_GOOD);
	CU_ASSERT_EQUAL(rig_status(&in, second), SAM_GOOD);
	CU_ASSERT_EQUAL(in.expcmdsn, 1);
	CU_ASSERT_TRUE(window_is_whole(&in));
	end(&rig, &in);
}

/* --- Task management */

/* N4: what hangs takes neither all memory nor the last way to say so. */
static void function_flood(void)
{
	static const uint8_t sync[16] = { [0] = 0x35 };
	struct rig rig;
	struct initiator in;
	union pdu_header h = { 0 };
	struct memory_record *rec;
	int refused = 0;

	begin(&rig, &in, "ram:1M,fault=flush:hang");
	for (int i = 0; i < IMMEDIATE_MAX; i++) {
		h.scsi_command.opcode = OP_SCSI_COMMAND | OPCODE_IMMEDIATE;
		h.scsi_command.flags = CMD_FINAL | ATTR_SIMPLE;
		h.scsi_command.itt = be32_of(in.itt++);
		h.scsi_command.cmdsn = be32_of(in.cmdsn);
		memcpy(h.scsi_command.cdb, sync, sizeof(sync));
		rig_send(&in, &h, NULL, 0);
	}
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	rig_tmf(&in, TMF_ABORT_TASK_SET, TAG_NONE, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in)); /* taken, and waits */
	for (int i = 0; i < 1000; i++) {
		memset(&h, 0, sizeof(h));
		h.tmf_request.opcode = OP_TMF_REQUEST;
		h.tmf_request.function = 0x80 | TMF_ABORT_TASK_SET;
		h.tmf_request.itt = be32_of(in.itt++);
		h.tmf_request.rtt = be32_of(TAG_NONE);
		h.tmf_request.cmdsn = be32_of(in.cmdsn++);
		rig_send(&in, &h, NULL, 0);
		rig_turn(&rig);
	}
	while ((rec = rig_receive(&in))) {
		if (pdu_opcode(&rec->h.bhs) == OP_TMF_RESPONSE &&
		    rec->h.tmf_response.response == TMF_RSP_REJECTED)
			refused++;
		free(rec);
	}
	CU_ASSERT_TRUE(refused > 900);
	rig_tmf(&in, TMF_ABORT_TASK_SET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(next_reject(&in), REJECT_IMMEDIATE_COMMAND);
	end_hung(&rig, &in);
}

/* T6, X6: what hangs in the disk keeps neither its tag nor, within reason, its slot when the
 * function that aborted it was answered. */
static void hung_and_given_up(void)
{
	struct rig rig;
	struct initiator in;
	struct memory_record *rec;
	uint32_t first, tmf, itt;

	begin(&rig, &in, "ram:1M,fault=write:hang");
	first = in.itt;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < WINDOW; i++)
			rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, &rig, 512);
		tmf = rig_tmf(&in, TMF_ABORT_TASK_SET, TAG_NONE, 0);
		CU_ASSERT_PTR_NULL(rig_receive(&in));
		reactor_advance(rig.r, 6 * NSEC_PER_SEC);
		CU_ASSERT_NOT_EQUAL(rig_tmf_response(&in, tmf), -1);
		if (round)
			break;
		CU_ASSERT_TRUE(window_is_whole(&in));
		in.itt = first;
		itt = rig_command(&in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
		CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	}
	CU_ASSERT_FALSE(window_is_whole(&in)); /* but not for ever more */
	CU_ASSERT_TRUE(rig.server->reactors[0].commands.in_use <= 2 * WINDOW);
	send_nop(&in, OP_NOP_OUT | OPCODE_IMMEDIATE, in.cmdsn, NULL, 0);
	free(rig_receive(&in));
	CU_ASSERT_PTR_NOT_NULL(memory_conn(in.peer));
	rig_close_disk(&rig);
	rec = rig_receive(&in); /* the window opens again, and says so */
	CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_NOP_IN);
	CU_ASSERT_EQUAL(be32_get(rec->h.nop_in.ttt), TAG_NONE);
	CU_ASSERT_TRUE(window_is_whole(&in));
	free(rec);
	end(&rig, &in);
}

UNIT_MAIN(TEST(unread_answers), TEST(unread_replies), TEST(deaf_for_too_long),
	  TEST(not_their_fault), TEST(trickle), TEST(slow_data), TEST(held_duplicates),
	  TEST(held_when_lost), TEST(held_aborted), TEST(nothing_after_logout), TEST(wrap),
	  TEST(function_flood), TEST(hung_and_given_up));
