// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connection recovery, RFC 7143 7.2.2: tasks outlive their connection and go on with another one, from
 * where the initiator says it is.
 */
#include "session_recovery_rig.h"

/* Longer than tasks are kept: DefaultTime2Wait and DefaultTime2Retain are 2 and 20. */
enum { KEPT_S = 23 };

/* A write whose R2T is out. */
static uint32_t write_waits(struct test *t)
{
	uint32_t itt = command(t, write_8, CMD_WRITE, 4096);

	free(expect(t, OP_R2T));
	return itt;
}

static struct memory_record *expect_data(struct test *t, uint32_t datasn, uint32_t offset,
					 uint32_t len)
{
	struct memory_record *rec = expect(t, OP_DATA_IN);

	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.datasn), datasn);
	CU_ASSERT_EQUAL(be32_get(rec->h.data_in.buffer_offset), offset);
	CU_ASSERT_EQUAL(rec->len, len);
	CU_ASSERT_TRUE(is_disk(t, rec));
	return rec;
}

static uint32_t expect_chunk(struct test *t, uint32_t datasn, uint32_t offset, uint32_t len)
{
	struct memory_record *rec = expect_data(t, datasn, offset, len);
	uint32_t ttt = be32_get(rec->h.data_in.ttt);

	CU_ASSERT_TRUE(rec->h.data_in.flags & DATA_IN_ACK);
	free(rec);
	return ttt;
}

/* --- Reads */

/* A read of 2.5 MiB whose first chunk was not acknowledged: with what the initiator has got of it. */
static void read_goes_on(void)
{
	for (uint32_t got = 0; got < 2; got++) {
		struct test t;
		uint32_t itt, ttt;

		begin(&t, 2);
		itt = read_kib(&t, 2560);
		expect_chunk(&t, 0, 0, MIB);
		reconnect(&t);
		expect_reassigned(&t, itt, got, TMF_RSP_COMPLETE);
		if (!got) {
			ttt = expect_chunk(&t, 0, 0, MIB);
			expect_nothing(&t);
			snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, 1, 0);
		}
		ttt = expect_chunk(&t, 1, MIB, MIB);
		expect_nothing(&t);
		snack(&t, SNACK_DATA_ACK, TAG_NONE, ttt, 2, 0);
		free(expect_data(&t, 2, 2 * MIB, MIB / 2));
		expect_nothing(&t);
		ack_status(&t);
		CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
		end(&t);
	}
}

/* Its connection is lost while the disk reads; the answer waits for another one. */
static void read_in_the_disk(void)
{
	struct memory_record *rec;
	struct test t;
	uint32_t itt;

	begin_with(&t, 2, "ram:8M,fault=read:delay=5s", NULL);
	itt = command(&t, read_8, CMD_READ, 4096);
	expect_nothing(&t);
	memory_disconnect(t.in.peer);
	reactor_advance(t.rig.r, 6 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(session_of(&t)->command_count, 1);
	forget_peer(&t, join(&t, 0));
	expect_nothing(&t);
	expect_reassigned(&t, itt, 0, TMF_RSP_COMPLETE);
	rec = expect(&t, OP_DATA_IN);
	CU_ASSERT_EQUAL(rec->len, 4096);
	CU_ASSERT_TRUE(rec->h.data_in.flags & DATA_IN_STATUS);
	free(rec);
	end(&t);
}

/* Memory of the SCSI layer that could not be copied: the connection breaks with it, so it is there. */
static void read_that_is_not_kept(void)
{
	for (uint32_t got = 0; got < 2; got++) {
		struct test t;
		uint32_t itt;

		begin(&t, 2);
		keep_nothing(&t);
		break_at_data(&t);
		itt = command(&t, read_8, CMD_READ, 4096);
		rig_turn(&t.rig);
		forget_peer(&t, join(&t, 0));
		expect_reassigned(&t, itt, got, TMF_RSP_COMPLETE);
		if (!got)
			free(expect_data(&t, 0, 0, 4096));
		expect_response(&t, itt, conn_of(&t)->statsn - 1, SAM_GOOD, 0);
		expect_nothing(&t);
		keep_again(&t);
		end(&t);
	}
}

/* What was sent, is not kept and did not arrive: the task cannot go on. */
static void read_that_is_lost(void)
{
	struct test t;
	uint32_t itt;

	itt = begin_unkept(&t);
	reconnect(&t);
	expect_reassigned(&t, itt, 0, TMF_RSP_COMPLETE);
	expect_refusal(&t, itt);
	expect_nothing(&t);
	keep_again(&t);
	end(&t);
}

/* The middle of a piece, as a transport cuts it: 16 KiB segments before, others now. */
static void from_the_middle(void)
{
	struct recovery *r;
	struct test t;
	uint32_t itt;

	begin(&t, 2);
	itt = read_kib(&t, 512);
	free(expect(&t, OP_DATA_IN));
	r = list_entry(session_of(&t)->commands.next, struct command, node)->kept;
	CU_ASSERT_EQUAL_FATAL(r->pieces, 1);
	r->piece[0].segment = 16384;
	r->piece[0].end = 32;
	r->status.command->xfer.sn = 32;
	reconnect(&t);
	expect_reassigned(&t, itt, 20, TMF_RSP_COMPLETE);
	free(expect_data(&t, 20, 20 * 16384, 12 * 16384));
	expect_response(&t, itt, conn_of(&t)->statsn - 1, SAM_GOOD, 0);
	end(&t);
}

/* Numbers that cannot be are ignored. */
static void senseless_expdatasn(void)
{
	struct test t;
	uint32_t itt;

	begin(&t, 2);
	itt = command(&t, read_8, CMD_READ, 4096);
	free(expect(&t, OP_DATA_IN));
	reconnect(&t);
	expect_reassigned(&t, itt, 2, TMF_RSP_COMPLETE);
	free(expect_data(&t, 0, 0, 4096));
	expect_response(&t, itt, conn_of(&t)->statsn - 1, SAM_GOOD, 0);
	end(&t);
}

/* --- Writes */

static void write_goes_on(void)
{
	static uint8_t data[4096];
	struct memory_record *rec;
	struct test t;
	uint32_t itt, ttt;

	begin(&t, 2);
	memset(data, 0x5a, sizeof(data));
	itt = command(&t, write_8, CMD_WRITE, 4096);
	rec = expect(&t, OP_R2T);
	ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	CU_ASSERT_TRUE(memory_data_out(t.in.peer, itt, ttt, 0, data, 1024, false));
	reconnect(&t);
	expect_nothing(&t);
	expect_reassigned(&t, itt, 0, TMF_RSP_COMPLETE);
	rec = expect(&t, OP_R2T);
	CU_ASSERT_EQUAL(be32_get(rec->h.r2t.r2tsn), 1);
	CU_ASSERT_EQUAL(be32_get(rec->h.r2t.buffer_offset), 1024);
	CU_ASSERT_EQUAL(be32_get(rec->h.r2t.desired_len), 3072);
	ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	CU_ASSERT_TRUE(memory_data_out(t.in.peer, itt, ttt, 1024, data + 1024, 3072, true));
	CU_ASSERT_EQUAL(rig_status(&t.in, itt), SAM_GOOD);
	CU_ASSERT_EQUAL(memcmp(bs_borrow(t.rig.bs, 0, 4096), data, 4096), 0);
	end(&t);
}

/* The first burst was on its way: an R2T asks for all that had not come. */
static void first_burst_is_lost(void)
{
	static uint8_t data[4096];
	struct memory_record *rec;
	union pdu_header h = { 0 };
	struct test t = { 0 };
	uint32_t itt;

	CU_ASSERT_FATAL(rig_up(&t.rig, "ram:1M", NULL));
	log_in(&t, &t.rig, "ErrorRecoveryLevel=2\0InitialR2T=No", 35);
	itt = t.in.itt++;
	h.scsi_command.opcode = OP_SCSI_COMMAND;
	h.scsi_command.flags = CMD_WRITE | ATTR_SIMPLE;
	h.scsi_command.itt = be32_of(itt);
	h.scsi_command.edtl = be32_of(4096);
	h.scsi_command.cmdsn = be32_of(t.in.cmdsn++);
	h.scsi_command.expstatsn = be32_of(t.acked);
	memcpy(h.scsi_command.cdb, write_8, 16);
	rig_send(&t.in, &h, data, 512);
	expect_nothing(&t);
	reconnect(&t);
	expect_reassigned(&t, itt, 0, TMF_RSP_COMPLETE);
	rec = expect(&t, OP_R2T);
	CU_ASSERT_EQUAL(be32_get(rec->h.r2t.buffer_offset), 512);
	CU_ASSERT_TRUE(memory_data_out(t.in.peer, itt, be32_get(rec->h.r2t.ttt), 512, data + 512,
				       3584, true));
	free(rec);
	CU_ASSERT_EQUAL(rig_status(&t.in, itt), SAM_GOOD);
	end(&t);
}

/* --- Status */

static void status_with_a_new_statsn(void)
{
	struct test t;
	uint32_t plain, data, statsn;

	begin(&t, 2);
	plain = command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	data = command(&t, read_8, CMD_READ, 4096);
	free(expect(&t, OP_DATA_IN));
	reconnect(&t);
	expect_nothing(&t);
	expect_reassigned(&t, plain, 0, TMF_RSP_COMPLETE);
	statsn = conn_of(&t)->statsn;
	expect_response(&t, plain, statsn - 1, SAM_GOOD, 0);
	expect_reassigned(&t, data, 1, TMF_RSP_COMPLETE); /* all of it has arrived */
	expect_response(&t, data, statsn + 1, SAM_GOOD, 0);
	/* It is kept for this connection now. */
	snack(&t, SNACK_STATUS, TAG_NONE, TAG_NONE, statsn + 1, 1);
	expect_response(&t, data, statsn + 1, SAM_GOOD, 0);
	ack_status(&t);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	expect_reassigned(&t, data, 0, TMF_RSP_NO_TASK);
	end(&t);
}

/* --- Who may */

static void responses(void)
{
	struct memory_peer *first;
	struct test t;
	uint32_t itt;

	begin(&t, 2);
	itt = write_waits(&t);
	first = join(&t, 1);
	expect_reassigned(&t, itt, 0, TMF_RSP_STILL_ALLEGIANT);
	expect_reassigned(&t, 0x7777, 0, TMF_RSP_NO_TASK);
	memory_disconnect(first);
	rig_turn(&t.rig);
	/* Lost, but nobody has logged it out. */
	expect_reassigned(&t, itt, 0, TMF_RSP_STILL_ALLEGIANT);
	forget_peer(&t, first);
	end(&t);
}

static void lower_levels(void)
{
	for (unsigned int level = 0; level < 2; level++) {
		struct test t;
		uint32_t itt;

		begin(&t, level);
		itt = write_waits(&t);
		expect_reassigned(&t, itt, 0, TMF_RSP_NO_REASSIGN);
		end(&t);
	}
}

/* Logout for recovery of a connection that lives, or is lost. */
static void logged_out(void)
{
	for (int lost = 0; lost < 2; lost++) {
		struct memory_peer *first;
		struct memory_record *rec;
		struct test t;
		uint32_t itt;

		begin(&t, 2);
		itt = write_waits(&t);
		first = join(&t, 1);
		if (lost)
			memory_disconnect(first);
		rig_turn(&t.rig);
		while ((rec = rig_receive(&t.in))) /* an Async Message may tell of it */
			free(rec);
		log_out_for_recovery(&t, 0);
		expect_reassigned(&t, itt, 0, TMF_RSP_COMPLETE);
		free(expect(&t, OP_R2T));
		forget_peer(&t, first);
		end(&t);
	}
}

/* --- Time, and the other functions */

static void time_is_over(void)
{
	struct test t;

	begin(&t, 2);
	command(&t, tur, 0, 0);
	command(&t, write_8, CMD_WRITE, 4096);
	read_kib(&t, 4096);
	rig_turn(&t.rig);
	rig_leave(&t.in);
	CU_ASSERT_FALSE(list_empty(&t.rig.server->reactors[0].sessions));
	reactor_advance(t.rig.r, KEPT_S * NSEC_PER_SEC);
	CU_ASSERT_TRUE(list_empty(&t.rig.server->reactors[0].sessions));
	end(&t);
}

/* Also when the session lives on. */
static void time_of_one_connection(void)
{
	struct server_limits limits = server_default_limits;
	struct memory_peer *first;
	struct memory_record *rec;
	struct test t;
	uint32_t itt;

	limits.nop_interval_s = 0;
	begin_with(&t, 2, "ram:8M", &limits);
	itt = read_kib(&t, 4096);
	command(&t, tur, 0, 0);
	rig_turn(&t.rig);
	first = join(&t, 1);
	memory_disconnect(first);
	rig_turn(&t.rig);
	CU_ASSERT_FALSE(list_empty(&session_of(&t)->commands));
	for (int i = 0; i < KEPT_S; i++)
		reactor_advance(t.rig.r, NSEC_PER_SEC);
	CU_ASSERT_TRUE(list_empty(&session_of(&t)->commands));
	CU_ASSERT_EQUAL(session_of(&t)->kept_bytes, 0);
	while ((rec = rig_receive(&t.in)))
		free(rec);
	expect_reassigned(&t, itt, 0, TMF_RSP_NO_TASK);
	forget_peer(&t, first);
	end(&t);
}

static void aborted(void)
{
	static const uint8_t functions[] = { TMF_ABORT_TASK, TMF_ABORT_TASK_SET, TMF_LUN_RESET };

	for (size_t i = 0; i < array_size(functions); i++) {
		struct test t;
		uint32_t write, read, tmf;

		begin(&t, 2);
		write = command(&t, write_8, CMD_WRITE, 4096);
		read = read_kib(&t, 4096);
		rig_turn(&t.rig);
		reconnect(&t);
		tmf = rig_tmf(&t.in, functions[i], i ? TAG_NONE : write, t.in.cmdsn - 2);
		CU_ASSERT_EQUAL(rig_tmf_response(&t.in, tmf), TMF_RSP_COMPLETE);
		CU_ASSERT_EQUAL(session_of(&t)->command_count, i ? 0 : 1);
		expect_reassigned(&t, write, 0, TMF_RSP_NO_TASK);
		expect_reassigned(&t, read, 0, i ? TMF_RSP_NO_TASK : TMF_RSP_COMPLETE);
		end(&t);
	}
}

/* ABORT TASK of a task that was answered: the status comes first, RFC 7143 11.5.1. */
static void status_before_abort(void)
{
	struct test t;
	uint32_t itt, tmf;

	begin(&t, 2);
	itt = command(&t, tur, 0, 0);
	free(expect(&t, OP_SCSI_RESPONSE));
	reconnect(&t);
	tmf = rig_tmf(&t.in, TMF_ABORT_TASK, itt, t.in.cmdsn - 1);
	expect_response(&t, itt, t.acked, SAM_GOOD, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&t.in, tmf), TMF_RSP_COMPLETE);
	end(&t);
}

/* --- Order, and again */

/* A command that waited for the one before it was never acknowledged by ExpCmdSN: it is discarded (RFC
 * 7143 11.14), and retried. */
static void held_command(void)
{
	struct test t;
	uint32_t itt;

	begin(&t, 2);
	t.in.cmdsn++;
	itt = command(&t, tur, 0, 0);
	expect_nothing(&t);
	reconnect(&t);
	expect_reassigned(&t, itt, 0, TMF_RSP_NO_TASK);
	t.in.cmdsn -= 2;
	for (int i = 0; i < 2; i++) {
		itt = command(&t, tur, 0, 0);
		CU_ASSERT_EQUAL(rig_status(&t.in, itt), SAM_GOOD);
	}
	CU_ASSERT_EQUAL(t.in.expcmdsn, t.in.cmdsn);
	end(&t);
}

/* The second connection is lost, too, before the task has gone on, and after. */
static void lost_again(void)
{
	struct test t;
	uint32_t read, write;

	begin(&t, 2);
	read = read_kib(&t, 2048);
	expect_chunk(&t, 0, 0, MIB);
	write = write_waits(&t);
	for (int i = 0; i < 3; i++) {
		reconnect(&t);
		reassign(&t, read, 0);
		reassign(&t, write, 0);
		if (i == 1)
			rig_turn(&t.rig);
	}
	reconnect(&t);
	expect_reassigned(&t, read, 1, TMF_RSP_COMPLETE);
	free(expect_data(&t, 1, MIB, MIB));
	expect_reassigned(&t, write, 0, TMF_RSP_COMPLETE);
	free(expect(&t, OP_R2T));
	end(&t);
}

/* A SNACK finds what was reassigned; its tag of old is forgotten. */
static void snack_after_reassign(void)
{
	struct memory_record *first, *replica;
	struct test t;
	uint32_t itt, ttt;

	begin(&t, 2);
	itt = read_kib(&t, 2048);
	ttt = expect_chunk(&t, 0, 0, MIB);
	snack(&t, SNACK_R_DATA, itt, 5, 0, 0);
	CU_ASSERT_EQUAL(expect_chunk(&t, 0, 0, MIB), ttt);
	reconnect(&t);
	expect_reassigned(&t, itt, 0, TMF_RSP_COMPLETE);
	first = expect_data(&t, 0, 0, MIB);
	snack(&t, SNACK_DATA, itt, TAG_NONE, 0, 1);
	replica = expect(&t, OP_DATA_IN);
	CU_ASSERT_TRUE(is_replica(first, replica));
	free(replica);
	snack(&t, SNACK_DATA_ACK, TAG_NONE, be32_get(first->h.data_in.ttt), 1, 0);
	free(first);
	first = expect_data(&t, 1, MIB, MIB);
	CU_ASSERT_TRUE(first->h.data_in.flags & DATA_IN_STATUS);
	free(first);
	end(&t);
}

UNIT_MAIN(TEST(read_goes_on), TEST(read_in_the_disk), TEST(read_that_is_not_kept),
	  TEST(read_that_is_lost), TEST(from_the_middle), TEST(senseless_expdatasn),
	  TEST(write_goes_on), TEST(first_burst_is_lost), TEST(status_with_a_new_statsn),
	  TEST(responses), TEST(lower_levels), TEST(logged_out), TEST(time_is_over),
	  TEST(time_of_one_connection), TEST(aborted), TEST(status_before_abort),
	  TEST(held_command), TEST(lost_again), TEST(snack_after_reassign));
