// SPDX-License-Identifier: BSD-2-Clause
/*
 * Tasks that a task management function gave up on: they hang in the disk or in a transport that
 * cannot stop what it has begun, and are not over when the function is answered.
 */
#include "session/internal.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

static const uint8_t tur[16] = { 0 };
static const uint8_t sync_cache[16] = { [0] = 0x35 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };
static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 };
/* WRITE SAME (16) without Data-Out (NDOB). */
static const uint8_t write_zeroes[16] = { [0] = 0x93, [1] = 0x01, [13] = 1 };

/* The memory transport, but that a transfer cannot be canceled. */
static struct transport_ops stubborn;

static void cancel_nothing(struct conn *conn, struct transfer *t)
{
	(void)conn, (void)t;
}

static void make_stubborn(struct initiator *in, bool unstoppable)
{
	struct conn *conn = memory_conn(in->peer);

	stubborn = memory_transport;
	stubborn.cancel_data = cancel_nothing;
	conn->ops = &stubborn;
	conn->unstoppable = unstoppable;
}

static void log_in(struct rig *rig, struct initiator *in, uint8_t isid, struct reactor *r)
{
	uint32_t itt;

	rig_knock(rig, in, isid, r, NULL, 0);
	CU_ASSERT_TRUE_FATAL(rig_let_in(in));
	itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
}

static void begin(struct rig *rig, struct initiator *in, const char *disk)
{
	CU_ASSERT_FATAL(rig_up(rig, disk, NULL));
	log_in(rig, in, 1, rig->r);
}

/* Longer than a function takes at most. */
static void timeout(struct rig *rig)
{
	for (unsigned int i = 0; i <= TMF_TIMEOUT_S; i++) {
		for (int n = 0; n < 2 && rig->reactors[n]; n++)
			reactor_advance(rig->reactors[n], NSEC_PER_SEC);
		rig_turn(rig);
	}
}

static void end(struct rig *rig)
{
	if (rig->bs)
		rig_close_disk(rig);
	rig_turn(rig);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	CU_ASSERT_TRUE(list_empty(&rig->server->reactors[0].sessions));
	rig_down(rig);
}

/* A write that waits for its data: the R2T is out. */
static uint32_t write_waits(struct initiator *in, uint32_t *ttt)
{
	uint32_t itt = rig_command(in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	struct memory_record *rec = rig_receive(in);

	CU_ASSERT_FATAL(rec && rec->kind == MEMORY_R2T);
	*ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	return itt;
}

/* The answer to an ABORT TASK, at once or later. */
static int abort_task(struct initiator *in, uint32_t itt)
{
	uint32_t tmf = rig_tmf(in, TMF_ABORT_TASK, itt, in->cmdsn - 1);

	rig_turn(in->rig);
	timeout(in->rig);
	return rig_tmf_response(in, tmf);
}

/* --- A second function for the same task */

/* It is aborted and not over: not unknown. */
static void aborted_again_in_the_disk(void)
{
	static const struct {
		const uint8_t *cdb;
		const char *disk;
		bool writes, sends;
	} rows[] = {
		{ write_1, "ram:1M,fault=write:hang", true, true },
		{ write_zeroes, "ram:1M,fault=zero:hang", true, false },
		{ sync_cache, "ram:1M,fault=flush:hang", false, false },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		bool writes = rows[i].writes, sends = rows[i].sends;
		int want = writes ? TMF_RSP_REJECTED : TMF_RSP_COMPLETE;
		struct initiator in;
		struct rig rig;
		uint32_t itt;

		begin(&rig, &in, rows[i].disk);
		itt = rig_command(&in, rows[i].cdb, sends ? CMD_FINAL | CMD_WRITE : CMD_FINAL,
				  sends ? 512 : 0, &rig, sends ? 512 : 0);
		CU_ASSERT_PTR_NULL(rig_receive(&in));
		for (int n = 0; n < 3; n++) {
			int response = abort_task(&in, itt);

			CU_ASSERT_NOT_EQUAL(response, TMF_RSP_NO_TASK);
			CU_ASSERT(response == want || response == TMF_RSP_REJECTED);
		}
		/* When it is over it is unknown, as any other. */
		rig_close_disk(&rig);
		rig_turn(&rig);
		CU_ASSERT_EQUAL(abort_task(&in, itt), TMF_RSP_NO_TASK);
		rig_leave(&in);
		end(&rig);
	}
}

/* It comes back while the second function waits for it: that one can say it is over. */
static void the_second_function_sees_the_end(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t itt, tmf;

	begin(&rig, &in, "ram:1M,fault=write:hang");
	itt = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, &rig, 512);
	CU_ASSERT_EQUAL(abort_task(&in, itt), TMF_RSP_REJECTED);
	tmf = rig_tmf(&in, TMF_ABORT_TASK, itt, in.cmdsn - 1);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	rig_close_disk(&rig);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
	rig_leave(&in);
	end(&rig);
}

static void aborted_again_in_the_transport(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t itt, ttt;

	begin(&rig, &in, "ram:1M");
	make_stubborn(&in, false);
	itt = write_waits(&in, &ttt);
	for (int n = 0; n < 2; n++) {
		int response = abort_task(&in, itt);

		CU_ASSERT_NOT_EQUAL(response, -1);
		CU_ASSERT_NOT_EQUAL(response, TMF_RSP_NO_TASK);
	}
	CU_ASSERT_PTR_NOT_NULL(memory_conn(in.peer));
	/* Its data comes after all, and goes nowhere. */
	CU_ASSERT_TRUE(rig_data_out(&in, itt, ttt, 0, "\xee", 1, false) || !memory_conn(in.peer));
	CU_ASSERT_TRUE(memory_finish(in.peer, itt, TRANSFER_OK));
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_NOT_EQUAL(*(uint8_t *)bs_borrow(rig.bs, 0, 512), 0xee);
	CU_ASSERT_EQUAL(abort_task(&in, itt), TMF_RSP_NO_TASK);
	rig_leave(&in);
	end(&rig);
}

/* Its tag belongs to another task now: that one is meant. */
static void the_tag_was_used_again(void)
{
	struct initiator in;
	struct rig rig;
	struct memory_record *rec;
	uint32_t itt, ttt, tmf;

	begin(&rig, &in, "ram:1M,fault=flush:hang");
	itt = rig_command(&in, sync_cache, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_NOT_EQUAL(abort_task(&in, itt), TMF_RSP_NO_TASK);
	in.itt = itt;
	CU_ASSERT_EQUAL(write_waits(&in, &ttt), itt);
	tmf = in.itt = itt + 100;
	CU_ASSERT_EQUAL(rig_tmf(&in, TMF_ABORT_TASK, itt, in.cmdsn - 1), tmf);
	rec = rig_receive(&in); /* at once: it waits for nothing but its data */
	CU_ASSERT_FATAL(rec && be32_get(rec->h.bhs.itt) == tmf);
	CU_ASSERT_EQUAL(rec->h.tmf_response.response, TMF_RSP_COMPLETE);
	free(rec);
	rig_leave(&in);
	end(&rig);
}

/* --- A connection whose transfers cannot be stopped */

static void check_cut_off(uint8_t function, bool another, bool unstoppable, unsigned int reactors)
{
	struct initiator victim, other, *in = another ? &other : &victim;
	struct rig rig;
	uint32_t tmf, ttt;
	int response;

	CU_ASSERT_FATAL(rig_up_on(&rig, "ram:1M", NULL, reactors));
	log_in(&rig, &victim, 1, rig.r);
	log_in(&rig, &other, 2, rig.second ? rig.second : rig.r);
	make_stubborn(&victim, unstoppable);
	write_waits(&victim, &ttt);
	tmf = rig_tmf(in, function, function == TMF_ABORT_TASK ? victim.itt - 1 : TAG_NONE,
		      in->cmdsn - 1);
	CU_ASSERT_PTR_NULL(rig_receive(in));
	CU_ASSERT_PTR_NOT_NULL(memory_conn(victim.peer)); /* it gets its time */
	timeout(&rig);
	response = rig_tmf_response(in, tmf);
	CU_ASSERT_EQUAL(memory_conn(victim.peer) == NULL, unstoppable);
	/* On a connection that ends nobody is told that the memory is free. */
	CU_ASSERT_EQUAL(response == -1, unstoppable && !another);
	CU_ASSERT_NOT_EQUAL(response, TMF_RSP_NO_TASK);
	CU_ASSERT_PTR_NOT_NULL(memory_conn(other.peer));
	rig_leave(&victim);
	rig_leave(&other);
	end(&rig);
}

static void a_reset_by_another_session(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		check_cut_off(TMF_LUN_RESET, true, true, reactors);
		check_cut_off(TMF_TARGET_WARM_RESET, true, true, reactors);
		check_cut_off(TMF_LUN_RESET, true, false, reactors);
	}
}

static void functions_of_its_own_session(void)
{
	static const uint8_t functions[] = { TMF_ABORT_TASK, TMF_ABORT_TASK_SET, TMF_LUN_RESET,
					     TMF_TARGET_WARM_RESET };

	for (size_t i = 0; i < array_size(functions); i++) {
		check_cut_off(functions[i], false, true, 1);
		check_cut_off(functions[i], false, false, 1);
	}
}

/* Nothing of it moves: the connection has no part in it. */
static void what_hangs_in_the_disk_closes_nothing(void)
{
	struct initiator victim, other;
	struct rig rig;
	uint32_t tmf;

	begin(&rig, &victim, "ram:1M,fault=write:hang");
	log_in(&rig, &other, 2, rig.r);
	make_stubborn(&victim, true);
	rig_command(&victim, write_1, CMD_FINAL | CMD_WRITE, 512, &rig, 512);
	CU_ASSERT_PTR_NULL(rig_receive(&victim));
	tmf = rig_tmf(&other, TMF_LUN_RESET, TAG_NONE, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&other));
	timeout(&rig);
	CU_ASSERT_EQUAL(rig_tmf_response(&other, tmf), TMF_RSP_REJECTED);
	CU_ASSERT_PTR_NOT_NULL(memory_conn(victim.peer));
	rig_leave(&victim);
	rig_leave(&other);
	end(&rig);
}

/* --- The device cannot reach the memory of a command */

static void a_transfer_without_memory(void)
{
	struct initiator in;
	struct memory_record *rec;
	struct rig rig;
	uint32_t itt, ttt;

	begin(&rig, &in, "ram:1M");
	itt = write_waits(&in, &ttt);
	CU_ASSERT_TRUE(memory_finish(in.peer, itt, TRANSFER_NO_MEMORY));
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_SCSI_RESPONSE);
	CU_ASSERT_EQUAL(be32_get(rec->h.bhs.itt), itt);
	CU_ASSERT_EQUAL(rec->h.scsi_response.status, SAM_CHECK_CONDITION);
	CU_ASSERT_FATAL(rec->len >= 2 + 14);
	CU_ASSERT_EQUAL(rec->data[2 + 2] & 0x0f, KEY_ABORTED_COMMAND);
	CU_ASSERT_EQUAL(rec->data[2 + 12], 0x55);
	CU_ASSERT_EQUAL(rec->data[2 + 13], 0x03);
	free(rec);
	/* The initiator tries again. */
	itt = write_waits(&in, &ttt);
	CU_ASSERT_TRUE(rig_data_out(&in, itt, ttt, 0, (const uint8_t[512]){ 0x5a }, 512, true));
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_EQUAL(*(uint8_t *)bs_borrow(rig.bs, 0, 512), 0x5a);
	itt = rig_command(&in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	rig_leave(&in);
	end(&rig);
}

UNIT_MAIN(TEST(aborted_again_in_the_disk), TEST(the_second_function_sees_the_end),
	  TEST(aborted_again_in_the_transport), TEST(the_tag_was_used_again),
	  TEST(a_reset_by_another_session), TEST(functions_of_its_own_session),
	  TEST(what_hangs_in_the_disk_closes_nothing), TEST(a_transfer_without_memory));
