// SPDX-License-Identifier: BSD-2-Clause
/*
 * The command window under load, floods of immediate requests, initiators that do not take their data
 * or do not bring it, on one connection and on several.
 */
#include "session/flow.h"
#include "session_links_rig.h"

enum { WINDOW = 128, DATA_TIMEOUT_S = 10 };

static const uint8_t sync_cache[16] = { [0] = 0x35 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };

#define LEVEL_2_RECOVERY LEVEL_2 "ErrorRecoveryLevel=2\0DefaultTime2Retain=5\0"

static void up(struct rig *rig, const char *disk, uint32_t window)
{
	struct server_limits limits = server_default_limits;

	limits.nop_interval_s = 0;
	limits.data_timeout_s = DATA_TIMEOUT_S;
	limits.window = window;
	CU_ASSERT_FATAL(rig_up_on(rig, disk, &limits, 1));
}

static void down(struct rig *rig)
{
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	CU_ASSERT_TRUE(list_empty(&rig->server->reactors[0].sessions));
	rig_down(rig);
}

static uint32_t window_of(const struct initiator *in)
{
	return in->maxcmdsn - in->expcmdsn + 1;
}

/* One command after the other, each answered; MaxCmdSN never moves back. */
static void work(struct initiator *in, unsigned int commands)
{
	for (unsigned int i = 0; i < commands; i++) {
		uint32_t before = in->maxcmdsn;
		uint32_t itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);

		CU_ASSERT_EQUAL(rig_status(in, itt), SAM_GOOD);
		CU_ASSERT_FALSE(sn_lt(in->maxcmdsn, before));
	}
}

/* --- Memory */

/* Somebody has all of it, and somebody else waits. */
struct shortage {
	struct buf *taken;
	struct buf_waiter waiter;
	bool served;
};

static void serve(struct buf_waiter *w, struct buf *b)
{
	struct shortage *s = container_of(w, struct shortage, waiter);

	s->served = true;
	b->next = s->taken;
	s->taken = b;
}

static void shortage_begin(struct rig *rig, struct shortage *s)
{
	struct buf *b;

	memset(s, 0, sizeof(*s));
	while ((b = buf_get(rig->r, BUF_MAX))) {
		b->next = s->taken;
		s->taken = b;
	}
	s->waiter = (struct buf_waiter){ .len = BUF_MAX, .ready = serve };
	list_init(&s->waiter.node);
	buf_wait(rig->r, &s->waiter);
}

static void shortage_end(struct rig *rig, struct shortage *s)
{
	while (s->taken) {
		struct buf *b = s->taken;

		s->taken = b->next;
		buf_put(rig->r, b);
		rig_turn(rig);
	}
	CU_ASSERT_TRUE(s->served);
}

static void shrinks_and_grows_with_memory(void)
{
	static const struct {
		uint32_t window, narrow;
	} rows[] = { { 128, 16 }, { 32, 4 }, { 16, 4 }, { 4, 4 }, { 2, 2 }, { 1, 1 } };

	for (size_t i = 0; i < array_size(rows); i++) {
		struct shortage shortage;
		struct initiator in;
		struct rig rig;

		up(&rig, "ram:1M", rows[i].window);
		log_in(&rig, &in, 1, rig.r);
		CU_ASSERT_EQUAL(window_of(&in), rows[i].window);
		shortage_begin(&rig, &shortage);
		work(&in, rows[i].window);
		CU_ASSERT_EQUAL(window_of(&in), rows[i].narrow);
		work(&in, rows[i].window);
		CU_ASSERT_EQUAL(window_of(&in), rows[i].narrow);
		shortage_end(&rig, &shortage);
		work(&in, rows[i].window);
		CU_ASSERT_EQUAL(window_of(&in), rows[i].window);
		work(&in, 3);
		CU_ASSERT_EQUAL(window_of(&in), rows[i].window);
		rig_leave(&in);
		down(&rig);
	}
}

/* What is under way when memory gets short may end, and is not asked back. */
static void a_full_window_shrinks_as_it_ends(void)
{
	struct shortage shortage;
	struct initiator in;
	struct rig rig;

	up(&rig, "ram:1M,fault=flush:delay=1s", WINDOW);
	log_in(&rig, &in, 1, rig.r);
	for (int i = 0; i < WINDOW; i++)
		rig_command(&in, sync_cache, CMD_FINAL, 0, NULL, 0);
	shortage_begin(&rig, &shortage);
	pass(&rig, 2);
	for (uint32_t i = 0; i < WINDOW; i++) {
		struct memory_record *rec = link_next(&in, OP_SCSI_RESPONSE);
		uint32_t kept = WINDOW - WINDOW / 8;

		CU_ASSERT_FATAL(rec != NULL);
		CU_ASSERT_EQUAL(rec->h.scsi_response.status, SAM_GOOD);
		free(rec);
		CU_ASSERT_EQUAL(window_of(&in), i < kept ? 0 : i + 1 - kept);
	}
	/* Nothing is outstanding, and the last answer has told of room. */
	CU_ASSERT_EQUAL(window_of(&in), WINDOW / 8);
	shortage_end(&rig, &shortage);
	work(&in, WINDOW);
	CU_ASSERT_EQUAL(window_of(&in), WINDOW);
	rig_leave(&in);
	down(&rig);
}

/* --- Answers that are not read */

static struct list unread;

static void keep_data(struct conn *conn, struct transfer *t)
{
	conn->bytes_queued += BHS_LEN + t->len;
	list_add_tail(&unread, &t->node);
}

static void read_again(struct conn *conn)
{
	struct list *node;

	conn->ops = &memory_transport;
	while ((node = list_pop(&unread))) {
		struct transfer *t = list_entry(node, struct transfer, node);

		conn->bytes_queued -= BHS_LEN + t->len;
		memory_transport.put_data(conn, t);
	}
}

static void deaf_close(struct conn *conn, bool flush)
{
	memory_transport.close(conn, flush);
	read_again(conn);
}

/* Data-In stays with the transport; everything else goes through. */
static struct conn *stop_reading(struct initiator *in)
{
	static struct transport_ops deaf;
	struct conn *conn = memory_conn(in->peer);

	deaf = memory_transport;
	deaf.put_data = keep_data;
	deaf.close = deaf_close;
	list_init(&unread);
	conn->ops = &deaf;
	return conn;
}

/* Its own window, and nobody else's. */
static void shrinks_for_a_slow_reader(void)
{
	struct initiator slow, other;
	struct conn *conn;
	struct rig rig;

	up(&rig, "ram:1M", WINDOW);
	log_in(&rig, &slow, 1, rig.r);
	log_in(&rig, &other, 2, rig.r);
	conn = memory_conn(slow.peer);
	conn->bytes_queued = FLOW_OUTPUT_MAX;
	work(&slow, WINDOW);
	CU_ASSERT_EQUAL(window_of(&slow), WINDOW);
	conn->bytes_queued = FLOW_OUTPUT_MAX + 1;
	work(&slow, WINDOW);
	work(&other, WINDOW);
	CU_ASSERT_EQUAL(window_of(&slow), WINDOW / 4);
	CU_ASSERT_EQUAL(window_of(&other), WINDOW);
	conn->bytes_queued = 0;
	work(&slow, WINDOW);
	CU_ASSERT_EQUAL(window_of(&slow), WINDOW);
	rig_leave(&slow);
	rig_leave(&other);
	down(&rig);
}

/* X3: who never takes its data, and talks all the time on the same connection. */
static void talks_but_does_not_read(void)
{
	struct initiator in;
	struct rig rig;
	unsigned int s;

	up(&rig, "ram:1M", WINDOW);
	log_in(&rig, &in, 1, rig.r);
	stop_reading(&in);
	rig_command(&in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
	for (s = 0; s < 3 * DATA_TIMEOUT_S && memory_conn(in.peer); s++) {
		union pdu_header h = { 0 };

		h.nop_out.opcode = OP_NOP_OUT | OPCODE_IMMEDIATE;
		h.nop_out.flags = PDU_FINAL;
		h.nop_out.itt = be32_of(TAG_NONE);
		h.nop_out.ttt = be32_of(TAG_NONE);
		h.nop_out.cmdsn = be32_of(in.cmdsn);
		rig_send(&in, &h, NULL, 0);
		pass(&rig, 1);
	}
	/* ticks of connections come together: a little later than twice */
	CU_ASSERT_TRUE(s > DATA_TIMEOUT_S && s <= 2 * DATA_TIMEOUT_S + 1);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	rig_leave(&in);
	down(&rig);
}

/* --- Long commands */

static const uint8_t read_1m[16] = { [0] = 0x28, [7] = 2048 >> 8 };

/* The commands of a session that the SCSI layer has. */
static unsigned int started(const struct initiator *in)
{
	struct list *pos;
	unsigned int n = 0;

	list_for_each(pos, &session_of(in)->commands)
		n += list_entry(pos, struct command, node)->submitted;
	return n;
}

static void expect_read(struct initiator *in, uint32_t itt)
{
	struct memory_record *rec = link_next(in, OP_DATA_IN);

	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(be32_get(rec->h.bhs.itt), itt);
	CU_ASSERT_EQUAL(rec->h.data_in.status, SAM_GOOD);
	free(rec);
}

/* X3, X7: an eighth of the memory for one session, whatever its window. The rest waits its turn. */
static void long_reads_that_nobody_takes(void)
{
	struct initiator slow, other;
	uint32_t first, itt;
	struct conn *conn;
	struct rig rig;

	up(&rig, "ram:1M", WINDOW);
	log_in(&rig, &slow, 1, rig.r);
	log_in(&rig, &other, 2, rig.r);
	conn = stop_reading(&slow);
	first = slow.itt;
	for (int i = 0; i < 16; i++)
		rig_command(&slow, read_1m, CMD_FINAL | CMD_READ, BUF_MAX, NULL, 0);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(rig.server->reactors[0].long_max, 2 * BUF_MAX);
	CU_ASSERT_EQUAL(started(&slow), 2);
	CU_ASSERT_EQUAL(session_of(&slow)->parked_count, 14);
	/* Short ones pass them, and others do not know. */
	CU_ASSERT_EQUAL(next_sense(&slow), 0);
	itt = rig_command(&other, read_1m, CMD_FINAL | CMD_READ, BUF_MAX, NULL, 0);
	expect_read(&other, itt);
	read_again(conn);
	for (uint32_t i = 0; i < 16; i++)
		expect_read(&slow, first + i);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(session_of(&slow)->long_bytes, 0);
	CU_ASSERT_EQUAL(session_of(&slow)->parked_count, 0);
	rig_leave(&slow);
	rig_leave(&other);
	down(&rig);
}

/* An eighth, of whatever --memory allows. */
static void the_share(void)
{
	static const struct {
		uint64_t budget;
		uint32_t share;
	} rows[] = { { 0, 0 },
		     { 4u << 20, 512u << 10 },
		     { 256u << 20, 32u << 20 },
		     { (8ull << 30) - 8, (1u << 30) - 1 },
		     { 32ull << 30, 1u << 30 },
		     { 1ull << 40, 1u << 30 } };

	for (size_t i = 0; i < array_size(rows); i++)
		CU_ASSERT_EQUAL(flow_long_max(rows[i].budget), rows[i].share);
}

/* The same for writes: their buffers are taken when their turn comes. */
static void long_writes_that_bring_nothing(void)
{
	static const uint8_t write_1m[16] = { [0] = 0x2a, [7] = 2048 >> 8 };
	struct initiator in;
	struct rig rig;

	up(&rig, "ram:1M", WINDOW);
	log_in(&rig, &in, 1, rig.r);
	for (int i = 0; i < 16; i++)
		rig_command(&in, write_1m, CMD_FINAL | CMD_WRITE, BUF_MAX, NULL, 0);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(started(&in), 2);
	CU_ASSERT_TRUE(slab_in_use(rig.slab) <= 2 * BUF_MAX);
	pass(&rig, 2 * DATA_TIMEOUT_S);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	rig_leave(&in);
	down(&rig);
}

/* ORDERED means behind those that are parked, and in front of what comes later; HEAD OF QUEUE does not
 * wait. */
static void order_of_parked_commands(void)
{
	static const uint8_t attributes[] = { ATTR_SIMPLE, ATTR_ORDERED, ATTR_SIMPLE, ATTR_HEAD };
	uint32_t itt[array_size(attributes)], first;
	struct memory_record *rec;
	struct initiator in;
	struct conn *conn;
	struct rig rig;

	up(&rig, "ram:1M", WINDOW);
	log_in(&rig, &in, 1, rig.r);
	conn = stop_reading(&in);
	first = in.itt;
	for (int i = 0; i < 3; i++)
		rig_command(&in, read_1m, CMD_FINAL | CMD_READ, BUF_MAX, NULL, 0);
	for (size_t i = 0; i < array_size(attributes); i++)
		itt[i] = rig_command(&in, tur, CMD_FINAL | attributes[i], 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt[0]), SAM_GOOD);
	CU_ASSERT_EQUAL(rig_status(&in, itt[3]), SAM_GOOD);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_EQUAL(session_of(&in)->parked_count, 3);
	read_again(conn);
	for (uint32_t i = 0; i < 3; i++)
		expect_read(&in, first + i);
	for (int i = 1; i < 3; i++) {
		rec = link_next(&in, OP_SCSI_RESPONSE);
		CU_ASSERT_FATAL(rec != NULL);
		CU_ASSERT_EQUAL(be32_get(rec->h.bhs.itt), itt[i]);
		free(rec);
	}
	rig_leave(&in);
	down(&rig);
}

/* Parked commands end like others: by a function, or with their connection. */
static void parked_commands_end(void)
{
	for (int leaves = 0; leaves < 2; leaves++) {
		uint32_t itt, tmf;
		struct initiator in;
		struct conn *conn;
		struct rig rig;

		up(&rig, "ram:1M", WINDOW);
		log_in(&rig, &in, 1, rig.r);
		conn = stop_reading(&in);
		for (int i = 0; i < 7; i++)
			rig_command(&in, read_1m, CMD_FINAL | CMD_READ, BUF_MAX, NULL, 0);
		itt = rig_command(&in, tur, CMD_FINAL | ATTR_ORDERED, 0, NULL, 0);
		rig_turn(&rig);
		CU_ASSERT_EQUAL(session_of(&in)->parked_count, 6);
		if (leaves) {
			deaf_close(conn, false);
		} else {
			tmf = rig_tmf(&in, TMF_ABORT_TASK, itt - 1, in.cmdsn - 2);
			CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
			CU_ASSERT_EQUAL(session_of(&in)->parked_count, 5);
			rig_tmf(&in, TMF_ABORT_TASK_SET, TAG_NONE, 0);
			rig_turn(&rig);
			CU_ASSERT_EQUAL(session_of(&in)->parked_count, 0);
			read_again(conn);
			free(link_next(&in, OP_TMF_RESPONSE));
			CU_ASSERT_EQUAL(session_of(&in)->long_bytes, 0);
			CU_ASSERT_EQUAL(session_of(&in)->parked_ordered, 0);
		}
		rig_leave(&in);
		down(&rig);
	}
}

/* At error recovery level 2 the parked commands of a connection that is lost are still there: another
 * one takes over the one it wants, and it goes on when there is memory for it. */
static void parked_commands_of_a_lost_connection(void)
{
	static const char keys[] = LEVEL_2_RECOVERY;
	static const uint8_t write_1m[16] = { [0] = 0x2a, [7] = 2048 >> 8 };
	union pdu_header h = { 0 };
	struct memory_record *rec;
	struct initiator a, b;
	int asked = 0, answered = 0;
	uint32_t itt[4], tmf;
	struct rig rig;

	up(&rig, "ram:1M", WINDOW);
	rig_knock(&rig, &a, 1, rig.r, keys, sizeof(keys) - 1);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&a));
	CU_ASSERT_EQUAL(next_sense(&a), SENSE_POWER_ON);
	link_up(&a, &b, 2);
	for (int i = 0; i < 4; i++)
		itt[i] = link_command(&a, &b, write_1m, CMD_FINAL | CMD_WRITE, BUF_MAX);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(session_of(&a)->parked_count, 2);
	rig_leave(&b);
	h.logout_request.opcode = OP_LOGOUT_REQUEST | OPCODE_IMMEDIATE;
	h.logout_request.reason = PDU_FINAL | LOGOUT_RECOVERY;
	h.logout_request.itt = be32_of(a.itt++);
	h.logout_request.cid = be16_of(2);
	h.logout_request.cmdsn = be32_of(a.cmdsn);
	rig_send(&a, &h, NULL, 0);
	rec = link_next(&a, OP_LOGOUT_RESPONSE);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(rec->h.logout_response.response, LOGOUT_RSP_SUCCESS);
	free(rec);
	CU_ASSERT_EQUAL(session_of(&a)->parked_count, 2);
	tmf = link_tmf(&a, &a, TMF_TASK_REASSIGN, itt[3]);
	CU_ASSERT_EQUAL(rig_tmf_response(&a, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_PTR_NULL(rig_receive(&a));
	for (int i = 0; i < 3; i++)
		link_tmf(&a, &a, TMF_ABORT_TASK, itt[i]);
	while ((rec = rig_receive(&a))) {
		if (rec->kind == MEMORY_R2T)
			CU_ASSERT_EQUAL(be32_get(rec->h.bhs.itt), itt[3]);
		asked += rec->kind == MEMORY_R2T;
		answered += pdu_opcode(&rec->h.bhs) == OP_TMF_RESPONSE;
		free(rec);
	}
	CU_ASSERT_EQUAL(asked, 1);
	CU_ASSERT_EQUAL(answered, 3);
	CU_ASSERT_EQUAL(session_of(&a)->parked_count, 0);
	rig_leave(&a);
	pass(&rig, 10);
	down(&rig);
}

/* --- Immediate requests */

/* N4: whatever hangs, one more function and one more ping are taken. */
static void immediate_flood(void)
{
	struct memory_record *rec;
	union pdu_header h = { 0 };
	struct initiator in;
	struct rig rig;
	uint32_t tmf;

	up(&rig, "ram:1M,fault=flush:hang", WINDOW);
	log_in(&rig, &in, 1, rig.r);
	h.scsi_command.opcode = OP_SCSI_COMMAND | OPCODE_IMMEDIATE;
	h.scsi_command.flags = CMD_FINAL | ATTR_SIMPLE;
	h.scsi_command.cmdsn = be32_of(in.cmdsn);
	memcpy(h.scsi_command.cdb, sync_cache, sizeof(sync_cache));
	for (int i = 0; i < IMMEDIATE_MAX; i++) {
		h.scsi_command.itt = be32_of(in.itt++);
		rig_send(&in, &h, NULL, 0);
		CU_ASSERT_PTR_NULL(rig_receive(&in));
	}
	h.scsi_command.itt = be32_of(in.itt++);
	rig_send(&in, &h, NULL, 0);
	rec = link_next(&in, OP_REJECT);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(rec->h.reject.reason, REJECT_IMMEDIATE_COMMAND);
	free(rec);
	memset(&h, 0, sizeof(h));
	h.nop_out.opcode = OP_NOP_OUT | OPCODE_IMMEDIATE;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = be32_of(in.itt++);
	h.nop_out.ttt = be32_of(TAG_NONE);
	h.nop_out.cmdsn = be32_of(in.cmdsn);
	rig_send(&in, &h, NULL, 0);
	free(link_next(&in, OP_NOP_IN));
	tmf = rig_tmf(&in, TMF_ABORT_TASK_SET, TAG_NONE, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	pass(&rig, TMF_TIMEOUT_S);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
	rig_leave(&in);
	rig_close_disk(&rig);
	rig_turn(&rig);
	down(&rig);
}

/* Functions that wait are bounded, those that only ask are not in their way, and all are answered. */
static void a_flood_of_functions(void)
{
	struct memory_record *rec;
	struct initiator in;
	struct rig rig;

	up(&rig, "ram:1M,fault=flush:hang", WINDOW);
	log_in_newer(&rig, &in, 1, rig.r);
	rig_command(&in, sync_cache, CMD_FINAL, 0, NULL, 0);
	for (int i = 0; i < TMF_MAX; i++)
		rig_tmf(&in, TMF_ABORT_TASK_SET, TAG_NONE, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	rig_tmf(&in, TMF_LUN_RESET, TAG_NONE, 0);
	rec = link_next(&in, OP_REJECT);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(rec->h.reject.reason, REJECT_IMMEDIATE_COMMAND);
	free(rec);
	pass(&rig, TMF_TIMEOUT_S);
	for (int i = 0; i < TMF_MAX; i++) {
		rec = link_next(&in, OP_TMF_RESPONSE);
		CU_ASSERT_PTR_NOT_NULL(rec);
		free(rec);
	}
	CU_ASSERT_EQUAL(next_sense(&in), 0);
	rig_leave(&in);
	rig_close_disk(&rig);
	rig_turn(&rig);
	down(&rig);
}

/* --- Data that does not come, D10 */

/* The connection goes that does not bring it, not the one that works. */
static void the_connection_that_is_late(void)
{
	static const char keys[] = LEVEL_2_RECOVERY;
	struct initiator a, b;
	struct rig rig;
	uint32_t ttt, itt;
	int event = -1;

	up(&rig, "ram:1M", WINDOW);
	rig_knock(&rig, &a, 1, rig.r, keys, sizeof(keys) - 1);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&a));
	CU_ASSERT_EQUAL(next_sense(&a), SENSE_POWER_ON);
	link_up(&a, &b, 2);
	link_command(&a, &b, write_1, CMD_FINAL | CMD_WRITE, 512);
	for (unsigned int s = 0; s < 2 * DATA_TIMEOUT_S; s++) {
		struct memory_record *rec;

		itt = rig_command(&a, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
		while ((rec = rig_receive(&a)) && rec->kind != MEMORY_R2T) {
			if (pdu_opcode(&rec->h.bhs) == OP_ASYNC)
				event = rec->h.async.event;
			free(rec);
		}
		CU_ASSERT_FATAL(rec != NULL);
		ttt = be32_get(rec->h.r2t.ttt);
		free(rec);
		CU_ASSERT_TRUE(rig_data_out(&a, itt, ttt, 0, block, 512, true));
		CU_ASSERT_EQUAL(rig_status(&a, itt), SAM_GOOD);
		iconn_of(&a)->pinged = 0;
		pass(&rig, 1);
		link_answer(&a, &a, iconn_of(&a)->nop_ttt);
	}
	CU_ASSERT_PTR_NULL(memory_conn(b.peer));
	CU_ASSERT_PTR_NOT_NULL(memory_conn(a.peer));
	CU_ASSERT_EQUAL(event, ASYNC_DROP_CONNECTION);
	rig_leave(&b);
	rig_leave(&a);
	pass(&rig, 10);
	down(&rig);
}

UNIT_MAIN(TEST(shrinks_and_grows_with_memory), TEST(a_full_window_shrinks_as_it_ends),
	  TEST(shrinks_for_a_slow_reader), TEST(talks_but_does_not_read),
	  TEST(long_reads_that_nobody_takes), TEST(the_share), TEST(long_writes_that_bring_nothing),
	  TEST(order_of_parked_commands), TEST(parked_commands_end),
	  TEST(parked_commands_of_a_lost_connection), TEST(immediate_flood),
	  TEST(a_flood_of_functions), TEST(the_connection_that_is_late));
