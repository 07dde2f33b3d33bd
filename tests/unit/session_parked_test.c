// SPDX-License-Identifier: BSD-2-Clause
/* Long commands: an eighth of the memory for one session, and the rest is parked until it is its turn. */
#include "session_flow_rig.h"

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

UNIT_MAIN(TEST(long_reads_that_nobody_takes), TEST(the_share), TEST(long_writes_that_bring_nothing),
	  TEST(order_of_parked_commands), TEST(parked_commands_end),
	  TEST(parked_commands_of_a_lost_connection));
