// SPDX-License-Identifier: BSD-2-Clause
/*
 * The command window under load, floods of immediate requests, initiators that do not take their data
 * or do not bring it.
 */
#include "session_flow_rig.h"

static const uint8_t sync_cache[16] = { [0] = 0x35 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };

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
	  TEST(shrinks_for_a_slow_reader), TEST(talks_but_does_not_read), TEST(immediate_flood),
	  TEST(a_flood_of_functions), TEST(the_connection_that_is_late));
