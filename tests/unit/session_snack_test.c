// SPDX-License-Identifier: BSD-2-Clause
/* SNACK, RFC 7143 11.16: data, status, R2Ts again, DataACK, and what is none of it. */
#include "session_recovery_rig.h"

/* --- Data SNACK */

static void data_again(void)
{
	static const struct {
		uint32_t begrun, run;
	} runs[] = { { 0, 1 }, { 0, 0 } };
	struct memory_record *first, *replica;
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	itt = command(&t, read_8, CMD_READ, 4096);
	first = expect(&t, OP_DATA_IN);
	CU_ASSERT_TRUE(first->h.data_in.flags & DATA_IN_STATUS);
	CU_ASSERT_TRUE(is_disk(&t, first));
	/* Whatever happens to the medium. */
	memset((void *)(uintptr_t)bs_borrow(t.rig.bs, 0, 4096), 0xee, 4096);
	for (size_t i = 0; i < array_size(runs); i++) {
		snack(&t, SNACK_DATA, itt, TAG_NONE, runs[i].begrun, runs[i].run);
		replica = expect(&t, OP_DATA_IN);
		CU_ASSERT_TRUE(is_replica(first, replica));
		CU_ASSERT_EQUAL(replica->from, 0);
		CU_ASSERT_EQUAL(replica->to, 1);
		free(replica);
		expect_nothing(&t);
	}
	free(first);
	end(&t);
}

static void data_that_cannot_be_asked_for(void)
{
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	itt = command(&t, read_8, CMD_READ, 4096);
	free(expect(&t, OP_DATA_IN));
	snack(&t, SNACK_DATA, itt, TAG_NONE, 1, 0); /* never sent */
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 2);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, UINT32_MAX);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	snack(&t, SNACK_DATA, itt, TAG_NONE, UINT32_MAX, UINT32_MAX);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	snack(&t, SNACK_DATA, 0x7777, TAG_NONE, 0, 0); /* no such task */
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	acknowledge(&t); /* with the SNACK itself */
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	expect_nothing(&t);
	end(&t);
}

/* MaxRecvDataSegmentLength, declared anew in full feature phase. */
static void declare(struct test *t, const char *key, uint32_t len)
{
	union pdu_header h = { 0 };

	h.text_request.opcode = OP_TEXT_REQUEST | OPCODE_IMMEDIATE;
	h.text_request.flags = PDU_FINAL;
	h.text_request.itt = be32_of(0x7e7e);
	h.text_request.ttt = be32_of(TAG_NONE);
	h.text_request.cmdsn = be32_of(t->in.cmdsn);
	h.text_request.expstatsn = be32_of(t->acked);
	rig_send(&t->in, &h, key, len);
	free(expect(t, OP_TEXT_RESPONSE));
}

static void other_segments(void)
{
	static const char key[] = "MaxRecvDataSegmentLength=4096";
	struct memory_record *first, *rec;
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	itt = command(&t, read_8, CMD_READ, 4096);
	first = expect(&t, OP_DATA_IN);
	declare(&t, key, sizeof(key));
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	for (uint32_t tag = 5; tag < 7; tag++) {
		snack(&t, SNACK_R_DATA, itt, tag, 0, 0);
		rec = expect(&t, OP_DATA_IN);
		CU_ASSERT_FALSE(rec->h.data_in.flags & DATA_IN_STATUS);
		CU_ASSERT_TRUE(rec->h.data_in.flags & PDU_FINAL);
		CU_ASSERT_EQUAL(be32_get(rec->h.data_in.datasn), 0);
		CU_ASSERT_TRUE(is_disk(&t, rec));
		free(rec);
		expect_response(&t, itt, be32_get(first->h.data_in.statsn), SAM_GOOD, tag);
	}
	/* Now the same segments are known again, and the status has a PDU of its own. */
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_FALSE(rec->h.data_in.flags & DATA_IN_STATUS);
	free(rec);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, be32_get(first->h.data_in.statsn), 1);
	expect_response(&t, itt, be32_get(first->h.data_in.statsn), SAM_GOOD, 6);
	free(first);
	expect_nothing(&t);
	end(&t);
}

static void r_data_fields(void)
{
	static const struct {
		uint32_t tag, begrun, run;
	} rows[] = { { 0, 0, 0 }, { TAG_NONE, 0, 0 }, { 1, 1, 0 }, { 1, 0, 1 } };
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	itt = command(&t, read_8, CMD_READ, 4096);
	free(expect(&t, OP_DATA_IN));
	for (size_t i = 0; i < array_size(rows); i++) {
		snack(&t, SNACK_R_DATA, itt, rows[i].tag, rows[i].begrun, rows[i].run);
		expect_reject(&t, REJECT_INVALID_PDU_FIELD);
	}
	snack(&t, 7, itt, TAG_NONE, 0, 0); /* no such type */
	expect_reject(&t, REJECT_INVALID_PDU_FIELD);
	snack(&t, SNACK_R_DATA, 0x7777, 1, 0, 0);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	end(&t);
}

/* --- DataACK */

/* A read of 2.5 MiB: chunks, and none leaves before the one before it was acknowledged. */
static void chunks_wait(void)
{
	struct memory_record *rec;
	uint32_t itt, ttt;
	struct test t;

	begin(&t, 1);
	itt = read_kib(&t, 2560);
	for (uint32_t i = 0; i < 3; i++) {
		rec = expect(&t, OP_DATA_IN);
		CU_ASSERT_EQUAL(be32_get(rec->h.data_in.datasn), i);
		CU_ASSERT_EQUAL(be32_get(rec->h.data_in.buffer_offset), i * MIB);
		CU_ASSERT_EQUAL(rec->len, i < 2 ? MIB : MIB / 2);
		CU_ASSERT_TRUE(is_disk(&t, rec));
		CU_ASSERT_EQUAL(!!(rec->h.data_in.flags & DATA_IN_ACK), i < 2);
		CU_ASSERT_EQUAL(!!(rec->h.data_in.flags & DATA_IN_STATUS), i == 2);
		ttt = be32_get(rec->h.data_in.ttt);
		CU_ASSERT_EQUAL(ttt == TAG_NONE, i == 2);
		free(rec);
		expect_nothing(&t);
		if (i == 2)
			break;
		snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt + 1, i + 1, 0);
		expect_reject(&t, REJECT_INVALID_DATA_ACK);
		snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, i, 0);
		expect_reject(&t, REJECT_INVALID_DATA_ACK);
		snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, i + 2, 0);
		expect_reject(&t, REJECT_INVALID_DATA_ACK);
		expect_nothing(&t);
		snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, i + 1, 0);
		CU_ASSERT_TRUE(session_of(&t)->kept_bytes <= MIB);
	}
	/* What was acknowledged is gone, the rest is not. */
	snack(&t, SNACK_DATA, itt, TAG_NONE, 1, 0);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.datasn), 2);
	free(rec);
	expect_nothing(&t);
	end(&t);
}

/* It comes before we know that what it is for was sent. */
static void early_ack(void)
{
	struct memory_record *rec;
	uint32_t ttt;
	struct test t;

	begin(&t, 1);
	read_kib(&t, 1536);
	rec = memory_receive(t.in.peer);
	CU_ASSERT_PTR_NOT_NULL_FATAL(rec);
	ttt = be32_get(rec->h.data_in.ttt);
	free(rec);
	snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, 1, 0);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.buffer_offset), MIB);
	free(rec);
	expect_nothing(&t);
	end(&t);
}

/* R-Data in the middle of a read: DataSN goes on from what was acknowledged, and the read goes on. */
static void r_data_in_the_middle(void)
{
	struct memory_record *rec;
	uint32_t itt, ttt, statsn;
	struct test t;

	begin(&t, 1);
	itt = read_kib(&t, 2560);
	rec = expect(&t, OP_DATA_IN);
	ttt = be32_get(rec->h.data_in.ttt);
	free(rec);
	snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, 1, 0);
	rec = expect(&t, OP_DATA_IN);
	ttt = be32_get(rec->h.data_in.ttt);
	free(rec);
	snack(&t, SNACK_R_DATA, itt, 9, 0, 0);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.datasn), 1);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.buffer_offset), MIB);
	CU_ASSERT_TRUE(rec->h.data_in.flags & DATA_IN_ACK);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.ttt), ttt);
	CU_ASSERT_TRUE(is_disk(&t, rec));
	free(rec);
	expect_nothing(&t);
	statsn = conn_of(&t)->statsn;
	snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, 2, 0);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.datasn), 2);
	CU_ASSERT_FALSE(rec->h.data_in.flags & DATA_IN_STATUS);
	CU_ASSERT_TRUE(is_disk(&t, rec));
	free(rec);
	expect_response(&t, itt, statsn, SAM_GOOD, 9);
	expect_nothing(&t);
	end(&t);
}

/* What is asked for while all of it goes out anew comes behind it, and does not get in its way. */
static void run_behind_r_data(void)
{
	struct memory_record *rec;
	uint32_t itt, statsn;
	struct test t;

	begin(&t, 1);
	itt = command(&t, read_8, CMD_READ, 4096);
	free(expect(&t, OP_DATA_IN));
	statsn = conn_of(&t)->statsn - 1;
	for (uint32_t tag = 1; tag < 4; tag++) {
		snack(&t, SNACK_R_DATA, itt, tag, 0, 0);
		snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
		snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, statsn, 1);
		rec = expect(&t, OP_DATA_IN);
		CU_ASSERT_EQUAL(rec->to, 0);
		free(rec);
		expect_reject(&t, REJECT_OUT_OF_RESOURCES); /* one is remembered */
		expect_response(&t, itt, statsn, SAM_GOOD, tag);
		rec = expect(&t, OP_DATA_IN);
		CU_ASSERT_EQUAL(rec->to, 1);
		free(rec);
		expect_nothing(&t);
	}
	end(&t);
}

/* --- What is not kept */

/* Four reads fill what this daemon keeps; the fifth is sent, but cannot be sent again. */
static void over_the_bound(void)
{
	struct memory_record *rec;
	uint32_t itt, statsn;
	struct test t;

	begin(&t, 1);
	for (int i = 0; i < 4; i++) {
		itt = read_kib(&t, 1024);
		rec = expect(&t, OP_DATA_IN);
		CU_ASSERT_TRUE(rec->h.data_in.flags & DATA_IN_STATUS);
		free(rec);
	}
	itt = command(&t, read_8, CMD_READ, 4096);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_FALSE(rec->h.data_in.flags & DATA_IN_STATUS);
	CU_ASSERT_TRUE(rec->h.data_in.flags & PDU_FINAL);
	CU_ASSERT_TRUE(is_disk(&t, rec));
	free(rec);
	statsn = conn_of(&t)->statsn - 1;
	expect_response(&t, itt, statsn, SAM_GOOD, 0);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, statsn, 1);
	expect_response(&t, itt, statsn, SAM_GOOD, 0);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	expect_reject(&t, REJECT_SNACK);
	CU_ASSERT_EQUAL(expect_refusal(&t, itt), statsn);
	snack(&t, SNACK_R_DATA, itt, 3, 0, 0); /* that is all there is to say */
	expect_reject(&t, REJECT_SNACK);
	expect_nothing(&t);
	ack_status(&t);
	CU_ASSERT_EQUAL(session_of(&t)->kept_bytes, 0);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	end(&t);
}

/* A task that still reads ends with it, and not before the disk is through. */
static void refused_in_the_middle(void)
{
	uint32_t itt, statsn;
	struct test t;

	begin_with(&t, 1, "ram:8M,fault=read:delay=1s", NULL);
	session_of(&t)->kept_bytes = KEPT_BYTES_MAX; /* as if much were */
	itt = read_kib(&t, 2048);
	expect_nothing(&t);
	reactor_advance(t.rig.r, NSEC_PER_SEC);
	free(expect(&t, OP_DATA_IN));
	expect_nothing(&t);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	statsn = conn_of(&t)->statsn;
	expect_reject(&t, REJECT_SNACK);
	expect_nothing(&t);
	reactor_advance(t.rig.r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(expect_refusal(&t, itt), statsn);
	expect_nothing(&t);
	session_of(&t)->kept_bytes -= KEPT_BYTES_MAX;
	ack_status(&t);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	end(&t);
}

/* --- Status SNACK */

static void status_again(void)
{
	static const struct {
		uint32_t begrun, run, first, count; /* relative to the first */
	} rows[] = { { 0, 1, 0, 1 }, { 1, 2, 1, 2 }, { 2, 0, 2, 2 }, { 0, 4, 0, 4 } };
	struct memory_record *rec;
	uint32_t itt[4], base;
	struct test t;

	begin(&t, 1);
	base = conn_of(&t)->statsn;
	for (int i = 0; i < 4; i++) {
		bool reads = i == 3;

		itt[i] = reads ? command(&t, read_8, CMD_READ, 4096) : command(&t, tur, 0, 0);
		CU_ASSERT_EQUAL(rig_status(&t.in, itt[i]), SAM_GOOD);
	}
	for (size_t i = 0; i < array_size(rows); i++) {
		snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base + rows[i].begrun, rows[i].run);
		for (uint32_t n = rows[i].first; n < rows[i].first + rows[i].count; n++) {
			if (n < 3) {
				expect_response(&t, itt[n], base + n, SAM_GOOD, 0);
				continue;
			}
			rec = expect(&t, OP_DATA_IN);
			CU_ASSERT_EQUAL(be32_get(rec->h.bhs.itt), itt[3]);
			CU_ASSERT_EQUAL(be32_get(rec->h.data_in.statsn), base + 3);
			CU_ASSERT_TRUE(rec->h.data_in.flags & DATA_IN_STATUS);
			free(rec);
		}
		expect_nothing(&t);
	}
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, 0, 0);
	for (uint32_t n = 0; n < 3; n++)
		expect_response(&t, itt[n], base + n, SAM_GOOD, 0);
	free(expect(&t, OP_DATA_IN));
	expect_nothing(&t);
	t.acked = base + 2; /* the SNACK acknowledges two of what it asks for */
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base + 1, 2);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base + 2, 1);
	expect_response(&t, itt[2], base + 2, SAM_GOOD, 0);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base + 5, 1); /* never sent */
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, base + 3, 50);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	end(&t);
}

static void reply_again(void)
{
	struct memory_record *first, *replica;
	union pdu_header h = { 0 };
	struct test t;
	uint32_t base;

	begin(&t, 1);
	base = conn_of(&t)->statsn;
	h.nop_out.opcode = OP_NOP_OUT | OPCODE_IMMEDIATE;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = be32_of(77);
	h.nop_out.ttt = be32_of(TAG_NONE);
	h.nop_out.cmdsn = be32_of(t.in.cmdsn);
	h.nop_out.expstatsn = be32_of(t.acked);
	rig_send(&t.in, &h, "ping", 4);
	first = expect(&t, OP_NOP_IN);
	CU_ASSERT_EQUAL(be32_get(first->h.nop_in.statsn), base);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, 0, 0);
	replica = expect(&t, OP_NOP_IN);
	CU_ASSERT_TRUE(is_replica(first, replica));
	free(first);
	free(replica);
	CU_ASSERT_EQUAL(conn_of(&t)->replies, 1);
	ack_status(&t);
	CU_ASSERT_EQUAL(conn_of(&t)->replies, 0);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, 0, 0); /* nothing, and that is no error */
	expect_nothing(&t);
	end(&t);
}

/* The status of the login was not kept. */
static void login_response_is_not_kept(void)
{
	static const char keys[] = "ErrorRecoveryLevel=1";
	struct test t = { 0 };

	CU_ASSERT_FATAL(rig_up(&t.rig, "ram:1M", NULL));
	rig_knock(&t.rig, &t.in, 1, t.rig.r, keys, sizeof(keys));
	CU_ASSERT_TRUE_FATAL(rig_let_in(&t.in));
	CU_ASSERT_EQUAL(conn_of(&t)->replies, 0);
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, 0, 1);
	free(expect(&t, OP_REJECT));
	end(&t);
}

/* --- R2Ts */

static void r2t_again(void)
{
	static uint8_t data[4096];
	struct memory_record *first, *replica;
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	itt = command(&t, write_8, CMD_WRITE, 4096);
	first = expect(&t, OP_R2T);
	for (uint32_t run = 0; run < 2; run++) {
		snack(&t, SNACK_DATA, itt, TAG_NONE, 0, run);
		replica = expect(&t, OP_R2T);
		CU_ASSERT_TRUE(is_replica(first, replica));
		free(replica);
	}
	snack(&t, SNACK_DATA, itt, TAG_NONE, 1, 1);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	snack(&t, SNACK_R_DATA, itt, 1, 0, 0); /* a write has no Data-In */
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	CU_ASSERT_TRUE(memory_data_out(t.in.peer, itt, be32_get(first->h.r2t.ttt), 0, data,
				       sizeof(data), true));
	CU_ASSERT_EQUAL(rig_status(&t.in, itt), SAM_GOOD);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	free(first);
	end(&t);
}

/* --- Storms */

/* What asks before the first answer has left is served once more, and not a hundred times. */
static void storm(void)
{
	struct memory_record *rec;
	int data = 0, rejects = 0, responses = 0;
	uint32_t itt, statsn;
	struct test t;

	begin(&t, 1);
	itt = command(&t, read_8, CMD_READ, 4096);
	for (int i = 0; i < 100; i++)
		snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	while ((rec = rig_receive(&t.in))) {
		data += pdu_opcode(&rec->h.bhs) == OP_DATA_IN;
		if (pdu_opcode(&rec->h.bhs) == OP_REJECT) {
			CU_ASSERT_EQUAL(rec->h.reject.reason, REJECT_OUT_OF_RESOURCES);
			rejects++;
		}
		free(rec);
	}
	CU_ASSERT_EQUAL(data, 2);
	CU_ASSERT_EQUAL(rejects, 99);
	ack_status(&t);
	statsn = conn_of(&t)->statsn;
	command(&t, tur, 0, 0);
	for (int i = 0; i < 100; i++)
		snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, statsn, 1);
	while ((rec = rig_receive(&t.in))) {
		responses += pdu_opcode(&rec->h.bhs) == OP_SCSI_RESPONSE;
		free(rec);
	}
	CU_ASSERT_EQUAL(responses, 2);
	end(&t);
}

/* --- Level 0 */

static void level_0(void)
{
	struct test t;
	uint32_t itt;

	begin(&t, 0);
	itt = command(&t, read_8, CMD_READ, 4096);
	CU_ASSERT_EQUAL(rig_status(&t.in, itt), SAM_GOOD);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	CU_ASSERT_TRUE(list_empty(&conn_of(&t)->unacked));
	for (uint8_t type = 0; type < 4; type++) {
		snack(&t, type, itt, 1, 0, 0);
		expect_reject(&t, REJECT_PROTOCOL_ERROR);
	}
	CU_ASSERT_TRUE(list_empty(&conn_of(&t)->unacked));
	CU_ASSERT_EQUAL(t.rig.server->reactors[0].recoveries.total, 0);
	end(&t);
}

UNIT_MAIN(TEST(data_again), TEST(data_that_cannot_be_asked_for), TEST(other_segments),
	  TEST(r_data_fields), TEST(chunks_wait), TEST(early_ack), TEST(r_data_in_the_middle),
	  TEST(run_behind_r_data), TEST(over_the_bound), TEST(refused_in_the_middle),
	  TEST(status_again), TEST(reply_again), TEST(login_response_is_not_kept), TEST(r2t_again),
	  TEST(storm), TEST(level_0));
