// SPDX-License-Identifier: BSD-2-Clause
/* QUERY TASK, QUERY TASK SET and QUERY ASYNCHRONOUS EVENT (RFC 7144), and who may ask. */
#include "session_links_rig.h"

static const uint8_t report_tmfs[16] = { [0] = 0xa3, [1] = 0x0d, [9] = 16 };
static const uint8_t sync_cache[16] = { [0] = 0x35 };
static const uint8_t no_lun[8] = { 0, 9 };

static void up(struct rig *rig, const char *disk)
{
	struct server_limits limits = server_default_limits;

	limits.nop_interval_s = 0;
	CU_ASSERT_FATAL(rig_up_on(rig, disk, &limits, 1));
}

static void down(struct rig *rig)
{
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	CU_ASSERT_TRUE(list_empty(&rig->server->reactors[0].sessions));
	rig_down(rig);
}

static int ask(struct initiator *in, uint8_t function, uint32_t rtt)
{
	uint32_t itt = rig_tmf(in, function, rtt, in->cmdsn - 1);

	return rig_tmf_response(in, itt);
}

/* As ask(), for a unit that is not there. */
static int ask_nobody(struct initiator *in, uint8_t function)
{
	union pdu_header h = { 0 };

	h.tmf_request.opcode = OP_TMF_REQUEST | OPCODE_IMMEDIATE;
	h.tmf_request.function = PDU_FINAL | function;
	memcpy(h.tmf_request.lun, no_lun, sizeof(no_lun));
	h.tmf_request.itt = be32_of(in->itt);
	h.tmf_request.cmdsn = be32_of(in->cmdsn);
	rig_send(in, &h, NULL, 0);
	return rig_tmf_response(in, in->itt++);
}

static const uint8_t functions[] = { TMF_QUERY_TASK, TMF_QUERY_TASK_SET, TMF_QUERY_ASYNC_EVENT,
				     TMF_I_T_NEXUS_RESET };

/* They exist for those who have negotiated level 2, and nothing behind them for anybody. */
static void level(void)
{
	struct initiator old, newer;
	struct rig rig;

	up(&rig, "ram:1M");
	log_in(&rig, &old, 1, rig.r);
	log_in_newer(&rig, &newer, 2, rig.r);
	for (size_t i = 0; i < array_size(functions); i++) {
		CU_ASSERT_EQUAL(ask(&old, functions[i], 0), TMF_RSP_NOT_SUPPORTED);
		CU_ASSERT_EQUAL(ask(&newer, functions[i], 0), TMF_RSP_COMPLETE);
	}
	CU_ASSERT_EQUAL(ask(&newer, 0, 0), TMF_RSP_NOT_SUPPORTED);
	for (unsigned int i = TMF_QUERY_ASYNC_EVENT + 1; i < 128; i++)
		CU_ASSERT_EQUAL(ask(&newer, (uint8_t)i, 0), TMF_RSP_NOT_SUPPORTED);
	rig_leave(&old);
	rig_leave(&newer);
	down(&rig);
}

/* And REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS knows for whom. */
static void reported(void)
{
	for (int newer = 0; newer < 2; newer++) {
		static const uint8_t want[2][2] = { { 0xf8, 0x00 }, { 0xfc, 0x07 } };
		struct memory_record *rec;
		struct initiator in;
		struct rig rig;

		up(&rig, "ram:1M");
		if (newer)
			log_in_newer(&rig, &in, 1, rig.r);
		else
			log_in(&rig, &in, 1, rig.r);
		rig_command(&in, report_tmfs, CMD_FINAL | CMD_READ, 16, NULL, 0);
		rec = link_next(&in, OP_DATA_IN);
		CU_ASSERT_FATAL(rec && rec->len >= 4);
		CU_ASSERT_EQUAL(memcmp(rec->data, want[newer], 2), 0);
		free(rec);
		rig_leave(&in);
		down(&rig);
	}
}

static void units(void)
{
	struct initiator in;
	struct rig rig;

	up(&rig, "ram:1M");
	log_in_newer(&rig, &in, 1, rig.r);
	CU_ASSERT_EQUAL(ask_nobody(&in, TMF_QUERY_TASK), TMF_RSP_NO_LUN);
	CU_ASSERT_EQUAL(ask_nobody(&in, TMF_QUERY_TASK_SET), TMF_RSP_NO_LUN);
	CU_ASSERT_EQUAL(ask_nobody(&in, TMF_QUERY_ASYNC_EVENT), TMF_RSP_NO_LUN);
	CU_ASSERT_EQUAL(ask_nobody(&in, TMF_I_T_NEXUS_RESET), TMF_RSP_COMPLETE);
	rig_leave(&in);
	down(&rig);
}

/* Wherever the task is: it waits for data, for its turn, or in the disk. */
static void tasks(void)
{
	struct initiator in, other;
	uint32_t waits, ttt, hangs, held;
	struct rig rig;

	up(&rig, "ram:1M,fault=flush:hang");
	log_in_newer(&rig, &in, 1, rig.r);
	log_in_newer(&rig, &other, 2, rig.r);
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK_SET, 0), TMF_RSP_COMPLETE);
	waits = write_waits(&in, &ttt);
	hangs = rig_command(&in, sync_cache, CMD_FINAL, 0, NULL, 0);
	held = rig_command_sn(&in, in.cmdsn + 1, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK, waits), TMF_RSP_SUCCEEDED);
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK, hangs), TMF_RSP_SUCCEEDED);
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK, held), TMF_RSP_SUCCEEDED);
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK, 0xabcd), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK_SET, 0), TMF_RSP_SUCCEEDED);
	/* Of another nexus nobody hears. */
	CU_ASSERT_EQUAL(ask(&other, TMF_QUERY_TASK, waits), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(ask(&other, TMF_QUERY_TASK_SET, 0), TMF_RSP_COMPLETE);
	/* Nor of one that has ended. */
	CU_ASSERT_TRUE(rig_data_out(&in, waits, ttt, 0, block, 512, true));
	CU_ASSERT_EQUAL(rig_status(&in, waits), SAM_GOOD);
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK, waits), TMF_RSP_COMPLETE);
	rig_leave(&in);
	rig_leave(&other);
	rig_close_disk(&rig);
	rig_turn(&rig);
	down(&rig);
}

/* A task that was aborted is not there, though the disk still has it. */
static void aborted_task(void)
{
	struct initiator in;
	uint32_t itt, tmf;
	struct rig rig;

	up(&rig, "ram:1M,fault=flush:hang");
	log_in_newer(&rig, &in, 1, rig.r);
	itt = rig_command(&in, sync_cache, CMD_FINAL, 0, NULL, 0);
	tmf = rig_tmf(&in, TMF_ABORT_TASK, itt, in.cmdsn - 1);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK, itt), TMF_RSP_COMPLETE);
	pass(&rig, TMF_S);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK, itt), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_TASK_SET, 0), TMF_RSP_COMPLETE);
	rig_leave(&in);
	rig_close_disk(&rig);
	rig_turn(&rig);
	down(&rig);
}

/* The conditions that wait are told, the first of them in words, and they go on waiting. */
static void asynchronous_events(void)
{
	static const struct {
		int first, second; /* -1: none */
		uint8_t info[3];
	} rows[] = {
		{ UA_CAPACITY_CHANGED, -1, { 0x16, 0x2a, 0x09 } },
		{ UA_LUNS_CHANGED, UA_CAPACITY_CHANGED, { 0x26, 0x2a, 0x09 } },
		{ UA_BUS_DEVICE_RESET, UA_LUNS_CHANGED, { 0x26, 0x29, 0x03 } },
	};
	struct initiator in;
	struct rig rig;

	up(&rig, "ram:1M");
	log_in_newer(&rig, &in, 1, rig.r);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct memory_record *rec;

		CU_ASSERT_EQUAL(ask(&in, TMF_QUERY_ASYNC_EVENT, 0), TMF_RSP_COMPLETE);
		lu_raise_ua(rig.lu, (enum unit_attention)rows[i].first, NULL);
		if (rows[i].second >= 0)
			lu_raise_ua(rig.lu, (enum unit_attention)rows[i].second, NULL);
		for (int again = 0; again < 2; again++) {
			rig_tmf(&in, TMF_QUERY_ASYNC_EVENT, 0, 0);
			rec = link_next(&in, OP_TMF_RESPONSE);
			CU_ASSERT_FATAL(rec != NULL);
			CU_ASSERT_EQUAL(rec->h.tmf_response.response, TMF_RSP_SUCCEEDED);
			CU_ASSERT_EQUAL(memcmp((uint8_t *)&rec->h + 8, rows[i].info, 3), 0);
			free(rec);
		}
		while (next_sense(&in))
			;
	}
	rig_leave(&in);
	down(&rig);
}

UNIT_MAIN(TEST(level), TEST(reported), TEST(units), TEST(tasks), TEST(aborted_task),
	  TEST(asynchronous_events));
