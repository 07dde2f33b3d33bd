// SPDX-License-Identifier: BSD-2-Clause
/*
 * What took a StatSN is kept until ExpStatSN acknowledges it (RFC 7143 4.2.2.2), and no longer; what
 * that costs, and what an initiator that acknowledges nothing gets.
 */
#include "session_recovery_rig.h"

static unsigned int count(const struct list *head)
{
	const struct list *pos;
	unsigned int n = 0;

	list_for_each(pos, head)
		n++;
	return n;
}

static void kept_until_acknowledged(void)
{
	struct session *s;
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	s = session_of(&t);
	for (unsigned int i = 1; i <= 5; i++) {
		itt = command(&t, i % 2 ? tur : read_8, i % 2 ? 0 : CMD_READ, i % 2 ? 0 : 4096);
		CU_ASSERT_EQUAL(rig_status(&t.in, itt), SAM_GOOD);
		CU_ASSERT_EQUAL(count(&s->commands), i);
		CU_ASSERT_EQUAL(s->command_count, 0);
		CU_ASSERT_EQUAL(t.in.maxcmdsn - t.in.expcmdsn + 1, 128);
	}
	CU_ASSERT_EQUAL(s->kept_bytes, 2 * 4096);
	t.acked += 2;
	command(&t, tur, 0, 0); /* any request acknowledges */
	CU_ASSERT_EQUAL(s->kept_bytes, 4096);
	CU_ASSERT_EQUAL(count(&s->commands), 4);
	free(expect(&t, OP_SCSI_RESPONSE));
	ack_status(&t);
	CU_ASSERT_TRUE(list_empty(&s->commands));
	CU_ASSERT_EQUAL(s->kept_bytes, 0);
	end(&t);
}

/* Data that came with a command is not kept with its status. */
static void first_data_is_not_kept(void)
{
	static uint8_t data[4096];
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	itt = rig_command(&t.in, write_8, CMD_FINAL | CMD_WRITE, 4096, data, sizeof(data));
	CU_ASSERT_EQUAL(rig_status(&t.in, itt), SAM_GOOD);
	CU_ASSERT_EQUAL(count(&session_of(&t)->commands), 1);
	CU_ASSERT_EQUAL(slab_in_use(t.rig.slab), 0);
	end(&t);
}

/* ExpStatSN of old, or before StatSN has wrapped, acknowledges nothing. */
static void old_expstatsn(void)
{
	struct test t;

	begin(&t, 1);
	command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	t.acked -= 1000;
	command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	CU_ASSERT_EQUAL(count(&conn_of(&t)->unacked), 2);
	end(&t);
}

/* A tag is free when it was answered: of two tasks of one tag the newer is meant. */
static void newest_of_a_tag(void)
{
	struct memory_record *rec;
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	itt = command(&t, read_8, CMD_READ, 4096);
	free(expect(&t, OP_DATA_IN));
	t.in.itt = itt;
	read_kib(&t, 8);
	free(expect(&t, OP_DATA_IN));
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_EQUAL(rec->len, 8192);
	free(rec);
	t.in.itt = itt;
	command(&t, write_8, CMD_WRITE, 4096);
	free(expect(&t, OP_R2T));
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0); /* the task that runs */
	free(expect(&t, OP_R2T));
	end(&t);
}

/* Who acknowledges nothing has its window closed after a second window full of answers, and opened
 * when it does. */
static void window_closes(void)
{
	struct memory_record *rec;
	struct session *s;
	struct test t;
	uint32_t n = 0;

	begin(&t, 1);
	s = session_of(&t);
	while (sn_le(t.in.cmdsn, s->maxcmdsn) && n < 1000) {
		command(&t, tur, 0, 0);
		free(rig_receive(&t.in));
		n++;
	}
	CU_ASSERT_EQUAL(n, 256);
	CU_ASSERT_EQUAL(count(&s->commands), 256);
	ack_status(&t);
	CU_ASSERT_TRUE(list_empty(&s->commands));
	rec = expect(&t, OP_NOP_IN); /* that tells of the window */
	CU_ASSERT_EQUAL(be32_get(rec->h.nop_in.maxcmdsn) - t.in.cmdsn + 1, 128);
	free(rec);
	end(&t);
}

static void unread_replies(void)
{
	union pdu_header h = { 0 };
	struct test t;

	begin(&t, 1);
	h.nop_out.opcode = OP_NOP_OUT | OPCODE_IMMEDIATE;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = be32_of(77);
	h.nop_out.ttt = be32_of(TAG_NONE);
	h.nop_out.cmdsn = be32_of(t.in.cmdsn);
	h.nop_out.expstatsn = be32_of(t.acked);
	for (int i = 0; i < REPLIES_MAX; i++) {
		rig_send(&t.in, &h, NULL, 0);
		free(rig_receive(&t.in));
	}
	CU_ASSERT_PTR_NOT_NULL(memory_conn(t.in.peer));
	rig_send(&t.in, &h, NULL, 0);
	rig_turn(&t.rig);
	CU_ASSERT_PTR_NULL(memory_conn(t.in.peer));
	end(&t);
}

/* --- Time */

enum { PATIENCE = 20 };

static void begin_timed(struct test *t)
{
	struct server_limits limits = server_default_limits;

	limits.data_timeout_s = PATIENCE;
	begin_with(t, 1, "ram:8M", &limits);
}

/* It goes on talking, but acknowledges nothing; it is asked, and then it is over. */
static void expstatsn_does_not_move(void)
{
	struct memory_record *rec;
	unsigned int pings = 0, seconds = 0;
	struct test t;

	begin_timed(&t);
	command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	while (memory_conn(t.in.peer) && ++seconds < 100) {
		uint32_t itt = command(&t, tur, 0, 0);

		while ((rec = rig_receive(&t.in))) {
			pings += pdu_opcode(&rec->h.bhs) == OP_NOP_IN;
			CU_ASSERT_TRUE(pdu_opcode(&rec->h.bhs) == OP_NOP_IN ||
				       be32_get(rec->h.bhs.itt) == itt);
			free(rec);
		}
		reactor_advance(t.rig.r, NSEC_PER_SEC);
	}
	CU_ASSERT_EQUAL(pings, 1);
	CU_ASSERT_TRUE(seconds > PATIENCE && seconds < 3 * PATIENCE);
	end(&t);
}

/* An idle initiator answers the ping, which acknowledges. */
static void idle_is_no_fault(void)
{
	struct memory_record *rec;
	struct test t;

	begin_timed(&t);
	command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	for (int i = 0; i < 200 && memory_conn(t.in.peer); i++) {
		while ((rec = rig_receive(&t.in))) {
			if (pdu_opcode(&rec->h.bhs) == OP_NOP_IN)
				ack_status(&t);
			free(rec);
		}
		reactor_advance(t.rig.r, NSEC_PER_SEC);
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(memory_conn(t.in.peer));
	CU_ASSERT_TRUE(list_empty(&conn_of(&t)->unacked));
	end(&t);
}

static void no_data_ack(void)
{
	struct memory_record *rec;
	unsigned int seconds = 0;
	struct test t;

	begin_timed(&t);
	read_kib(&t, 2048);
	free(expect(&t, OP_DATA_IN));
	while (memory_conn(t.in.peer) && ++seconds < 100) {
		ack_status(&t);
		while ((rec = rig_receive(&t.in)))
			free(rec);
		reactor_advance(t.rig.r, NSEC_PER_SEC);
	}
	CU_ASSERT_TRUE(seconds > PATIENCE && seconds < 2 * PATIENCE);
	end(&t);
}

/* --- Aborts */

/* A chunk waits for DataACK; then for nothing. */
static void abort_while_it_waits(void)
{
	struct test t;
	uint32_t itt, tmf;

	begin(&t, 1);
	itt = read_kib(&t, 4096);
	free(expect(&t, OP_DATA_IN));
	expect_nothing(&t);
	tmf = rig_tmf(&t.in, TMF_ABORT_TASK, itt, t.in.cmdsn - 1);
	CU_ASSERT_EQUAL(rig_tmf_response(&t.in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	CU_ASSERT_EQUAL(session_of(&t)->kept_bytes, 0);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
	expect_reject(&t, REJECT_PROTOCOL_ERROR);
	end(&t);
}

/* While its Data-In is with the transport, and the next chunk waits behind it. */
static void abort_while_it_moves(void)
{
	struct memory_record *rec;
	struct test t;
	uint32_t itt;
	bool answered = false;

	begin(&t, 1);
	itt = read_kib(&t, 4096);
	rig_tmf(&t.in, TMF_ABORT_TASK, itt, t.in.cmdsn - 1);
	while ((rec = rig_receive(&t.in))) {
		CU_ASSERT_NOT_EQUAL(pdu_opcode(&rec->h.bhs), OP_SCSI_RESPONSE);
		answered |= pdu_opcode(&rec->h.bhs) == OP_TMF_RESPONSE;
		free(rec);
	}
	CU_ASSERT_TRUE(answered);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	end(&t);
}

/* Memory that is not ours: the SCSI layer gets it back once, and only when it was sent. */
static void abort_what_is_not_kept(void)
{
	struct memory_record *rec;
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	session_of(&t)->kept_bytes = KEPT_BYTES_MAX;
	for (uint32_t kib = 1024; kib <= 4096; kib *= 2) {
		itt = read_kib(&t, kib);
		rig_tmf(&t.in, TMF_ABORT_TASK, itt, t.in.cmdsn - 1);
		while ((rec = rig_receive(&t.in)))
			free(rec);
		CU_ASSERT_EQUAL(session_of(&t)->command_count, 0);
		ack_status(&t);
		CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	}
	session_of(&t)->kept_bytes -= KEPT_BYTES_MAX;
	end(&t);
}

/* --- Memory */

/* No buffer to copy to: the data goes from where it is. */
static void no_buffer(void)
{
	struct buf *all[4096], *one;
	struct memory_record *rec;
	unsigned int n = 0;
	struct test t;
	uint32_t itt;

	begin(&t, 1);
	one = buf_get(t.rig.r, 4096);
	while (n < array_size(all) && (all[n] = buf_get(t.rig.r, 4096)))
		n++;
	CU_ASSERT_TRUE(n < array_size(all));
	buf_put(t.rig.r, one); /* what the SCSI layer needs */
	itt = command(&t, read_8, CMD_READ, 4096);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_FALSE(rec->h.data_in.flags & DATA_IN_STATUS);
	CU_ASSERT_TRUE(is_disk(&t, rec));
	free(rec);
	expect_response(&t, itt, conn_of(&t)->statsn - 1, SAM_GOOD, 0);
	while (n)
		buf_put(t.rig.r, all[--n]);
	end(&t);
}

/* No memory for what recovery has to remember: the command is refused, and may come again. */
static void no_recovery(void)
{
	struct reactor_state *rs;
	struct test t;
	uint32_t itt;
	size_t limit;

	begin(&t, 1);
	rs = &t.rig.server->reactors[0];
	limit = rs->recoveries.limit;
	while (rs->recoveries.in_use < rs->recoveries.total || !rs->recoveries.total) {
		command(&t, tur, 0, 0);
		free(rig_receive(&t.in));
	}
	rs->recoveries.limit = rs->recoveries.total;
	command(&t, tur, 0, 0);
	expect_reject(&t, REJECT_OUT_OF_RESOURCES);
	rs->recoveries.limit = limit;
	t.in.cmdsn--;
	itt = command(&t, tur, 0, 0);
	CU_ASSERT_EQUAL(rig_status(&t.in, itt), SAM_GOOD);
	end(&t);
}

/* --- The end of a connection */

static void session_ends_at_level_1(void)
{
	struct test t;

	begin(&t, 1);
	command(&t, tur, 0, 0); /* not acknowledged */
	command(&t, read_8, CMD_READ, 4096);
	command(&t, write_8, CMD_WRITE, 4096); /* waits for data */
	read_kib(&t, 4096); /* waits for DataACK */
	snack(&t, 7, 0, 0, 0, 0); /* a reply */
	rig_turn(&t.rig);
	rig_leave(&t.in);
	CU_ASSERT_TRUE(list_empty(&t.rig.server->reactors[0].sessions));
	end(&t);
}

/* In the middle of everything: nothing has come back from the transport yet. */
static void ends_while_all_moves(void)
{
	for (unsigned int level = 1; level <= 2; level++) {
		struct test t;
		uint32_t itt;

		begin(&t, level);
		itt = read_kib(&t, 64);
		snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 0);
		command(&t, tur, 0, 0);
		snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, 0, 0);
		command(&t, write_8, CMD_WRITE, 4096);
		read_kib(&t, 4096);
		rig_leave(&t.in);
		if (level == 2) /* DefaultTime2Wait and DefaultTime2Retain */
			reactor_advance(t.rig.r, 60 * NSEC_PER_SEC);
		end(&t);
	}
}

/* An initiator that acknowledges nothing does not hold up the stop. */
static int stops;

static void stopped(void *arg)
{
	(void)arg;
	stops++;
}

static void stop(void)
{
	struct memory_record *rec;
	struct test t;

	begin(&t, 1);
	command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	CU_ASSERT_EQUAL(session_of(&t)->command_count, 0);
	stops = 0;
	server_stop(t.rig.server, 1000, stopped, NULL);
	for (int i = 0; i < 10 && !stops; i++)
		reactor_advance(t.rig.r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(stops, 1);
	while ((rec = memory_receive(t.in.peer)))
		free(rec);
	memory_free(t.in.peer);
	t.in.peer = NULL;
	end(&t);
}

UNIT_MAIN(TEST(kept_until_acknowledged), TEST(first_data_is_not_kept), TEST(old_expstatsn),
	  TEST(newest_of_a_tag), TEST(window_closes), TEST(unread_replies),
	  TEST(expstatsn_does_not_move), TEST(idle_is_no_fault), TEST(no_data_ack),
	  TEST(abort_while_it_waits), TEST(abort_while_it_moves), TEST(abort_what_is_not_kept),
	  TEST(no_buffer), TEST(no_recovery), TEST(session_ends_at_level_1),
	  TEST(ends_while_all_moves), TEST(stop));
