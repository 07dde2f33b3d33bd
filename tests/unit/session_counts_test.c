// SPDX-License-Identifier: BSD-2-Clause
/*
 * What reactors count while a session goes on, and where the time of its commands goes: with a clock that
 * the test turns.
 */
#include "session/internal.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

static const uint8_t tur[16] = { 0 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };
static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 };
static const uint8_t no_command[16] = { [0] = 0xff };

enum { BLOCK = 512 };
#define MS NSEC_PER_MSEC

static void begin(struct rig *rig, struct initiator *in, const char *disk)
{
	CU_ASSERT_FATAL(rig_up(rig, disk, NULL));
	CU_ASSERT_FATAL(rig_login(rig, in, 1));
	CU_ASSERT_EQUAL(rig_status(in, rig_command(in, tur, CMD_FINAL, 0, NULL, 0)),
			SAM_CHECK_CONDITION);
}

static void end(struct rig *rig, struct initiator *in)
{
	rig_leave(in);
	rig_down(rig);
}

static struct latency_sum spent(const struct rig *rig, enum latency_stage stage,
				enum latency_kind kind)
{
	struct latency_sum sum = { 0 };

	lu_add_latency(rig->lu, stage, kind, &sum);
	return sum;
}

static struct latency_sum of_session(const struct rig *rig, enum latency_kind kind)
{
	const struct session *s =
		list_entry(rig->server->reactors[0].sessions.next, struct session, reactor_node);
	struct latency_sum sum = { 0 };

	latency_add(&sum, &s->stats.latency, kind);
	return sum;
}

static void time_at_the_disk(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t itt;

	begin(&rig, &in, "ram:1M,fault=read:delay=30ms");
	itt = rig_command(&in, read_1, CMD_FINAL | CMD_READ, BLOCK, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_EQUAL(lu_under_way(rig.lu), 1);
	reactor_advance(rig.r, 30 * MS);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_EQUAL(lu_under_way(rig.lu), 0);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_BACKSTORE, LATENCY_READ).sum_ns, 30 * MS);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_TOTAL, LATENCY_READ).sum_ns, 30 * MS);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_QUEUE, LATENCY_READ).sum_ns, 0);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_TRANSPORT, LATENCY_READ).sum_ns, 0);
	for (unsigned int stage = 0; stage < LATENCY_STAGES; stage++)
		CU_ASSERT_EQUAL(spent(&rig, stage, LATENCY_READ).samples, 1);
	CU_ASSERT_EQUAL(of_session(&rig, LATENCY_READ).sum_ns, 30 * MS);
	CU_ASSERT_EQUAL(of_session(&rig, LATENCY_WRITE).samples, 0);
	/* TEST UNIT READY at the beginning. */
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_TOTAL, LATENCY_OTHER).samples, 1);
	end(&rig, &in);
}

static void time_until_the_data_is_here(void)
{
	struct memory_record *r2t;
	uint8_t data[BLOCK] = { 1 };
	struct initiator in;
	struct rig rig;
	uint32_t itt;

	begin(&rig, &in, "ram:1M,fault=write:delay=5ms");
	itt = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, BLOCK, NULL, 0);
	r2t = rig_receive(&in);
	CU_ASSERT_FATAL(r2t && pdu_opcode(&r2t->h.bhs) == OP_R2T);
	reactor_advance(rig.r, 40 * MS);
	CU_ASSERT_TRUE(rig_data_out(&in, itt, be32_get(r2t->h.r2t.ttt), 0, data, BLOCK, true));
	rig_turn(&rig);
	reactor_advance(rig.r, 5 * MS);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_TRANSPORT, LATENCY_WRITE).sum_ns, 40 * MS);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_BACKSTORE, LATENCY_WRITE).sum_ns, 5 * MS);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_TOTAL, LATENCY_WRITE).sum_ns, 45 * MS);
	free(r2t);
	end(&rig, &in);
}

static void time_behind_another_command(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t first, second;

	begin(&rig, &in, "ram:1M,fault=read:delay=20ms");
	first = rig_command(&in, read_1, CMD_FINAL | CMD_READ, BLOCK, NULL, 0);
	second = rig_command(&in, tur, CMD_FINAL | ATTR_ORDERED, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_EQUAL(lu_under_way(rig.lu), 2);
	reactor_advance(rig.r, 20 * MS);
	CU_ASSERT_EQUAL(rig_status(&in, first), SAM_GOOD);
	CU_ASSERT_EQUAL(rig_status(&in, second), SAM_GOOD);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_QUEUE, LATENCY_OTHER).sum_ns, 20 * MS);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_BACKSTORE, LATENCY_OTHER).sum_ns, 0);
	end(&rig, &in);
}

static void time_begins_anew(void)
{
	struct latency_sum sum = { 0 };
	struct initiator in;
	struct rig rig;

	begin(&rig, &in, "ram:1M");
	CU_ASSERT_EQUAL(
		rig_status(&in, rig_command(&in, read_1, CMD_FINAL | CMD_READ, BLOCK, NULL, 0)),
		SAM_GOOD);
	lu_latency_since(rig.lu, LATENCY_TOTAL, LATENCY_READ, &sum);
	CU_ASSERT_EQUAL(sum.samples, 1);
	CU_ASSERT_TRUE(lu_reset_latency(rig.lu));
	sum = (struct latency_sum){ 0 };
	lu_latency_since(rig.lu, LATENCY_TOTAL, LATENCY_READ, &sum);
	CU_ASSERT_EQUAL(sum.samples, 0);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_TOTAL, LATENCY_READ).samples, 1);
	end(&rig, &in);
}

/* A command that is aborted has had its time, too. */
static void aborted_commands_are_over(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t itt, tmf;

	begin(&rig, &in, "ram:1M,fault=read:delay=1s");
	itt = rig_command(&in, read_1, CMD_FINAL | CMD_READ, BLOCK, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	tmf = rig_tmf(&in, TMF_ABORT_TASK, itt, in.cmdsn - 1);
	rig_turn(&rig);
	reactor_advance(rig.r, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(lu_under_way(rig.lu), 0);
	CU_ASSERT_EQUAL(spent(&rig, LATENCY_TOTAL, LATENCY_READ).samples, 1);
	end(&rig, &in);
}

static uint64_t refusals(const struct server_counts *c, const char *name)
{
	for (unsigned int i = 0; i < REFUSALS; i++) {
		if (!strcmp(refusal_name(i), name))
			return c->refusals[i];
	}
	CU_FAIL("no such refusal");
	return 0;
}

static void errors_by_name(void)
{
	struct initiator in, other;
	struct server_counts c;
	struct rig rig;
	uint32_t itt;

	begin(&rig, &in, "ram:1M");
	itt = rig_command(&in, no_command, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_CHECK_CONDITION);
	itt = rig_tmf(&in, TMF_LUN_RESET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, itt), TMF_RSP_COMPLETE);
	rig_knock_as(&rig, &other, 2, 77, 0, rig.r, NULL, 0); /* no session has this TSIH */
	CU_ASSERT_FALSE(rig_let_in(&other));
	server_count(rig.server, &c);
	CU_ASSERT_EQUAL(c.logins, 1);
	CU_ASSERT_EQUAL(refusals(&c, "no-such-session"), 1);
	CU_ASSERT_EQUAL(refusals(&c, "authentication-failed"), 0);
	CU_ASSERT_EQUAL(c.sense[0x5], 1);
	CU_ASSERT_EQUAL(c.sense[0x6], 1);
	CU_ASSERT_STRING_EQUAL(sense_key_name(5), "illegal-request");
	CU_ASSERT_EQUAL(c.functions[TMF_LUN_RESET], 1);
	CU_ASSERT_STRING_EQUAL(task_function_name(TMF_LUN_RESET), "lun-reset");
	/* Whatever an initiator sends. */
	CU_ASSERT_STRING_EQUAL(task_function_name(TMF_FUNCTION_MASK), "unknown");
	CU_ASSERT_EQUAL(c.lost, 0);
	rig_leave(&other);
	end(&rig, &in);
}

static void logins_that_are_given_up(void)
{
	struct server_counts c;
	struct initiator in;
	struct rig rig;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	memset(&in, 0, sizeof(in));
	in.rig = &rig;
	in.r = rig.r;
	in.peer = memory_connect(rig.r, &session_conn_up, rig.server);
	reactor_advance(rig.r, 16 * NSEC_PER_SEC);
	server_count(rig.server, &c);
	CU_ASSERT_EQUAL(refusals(&c, "timeout"), 1);
	CU_ASSERT_STRING_EQUAL(c.transports[0].name, "memory");
	rig_leave(&in);
	server_count(rig.server, &c);
	CU_ASSERT_EQUAL(c.transports[0].connections, 0);
	CU_ASSERT_EQUAL(c.transports[0].closed, 1);
	rig_down(&rig);
}

struct seen {
	unsigned int sessions;
	uint64_t read_bytes;
};

static void see(const struct session_view *view, void *arg)
{
	struct seen *seen = arg;

	CU_ASSERT_STRING_EQUAL(view->info.initiator, RIG_INITIATOR);
	CU_ASSERT_STRING_EQUAL(view->transport, "memory");
	CU_ASSERT_FALSE(view->discovery);
	seen->sessions++;
	seen->read_bytes += view->stats->read_bytes;
}

static void bytes_stay_when_the_session_goes(void)
{
	struct seen seen = { 0 };
	struct server_counts c;
	struct initiator in;
	struct rig rig;

	begin(&rig, &in, "ram:1M");
	CU_ASSERT_EQUAL(
		rig_status(&in, rig_command(&in, read_1, CMD_FINAL | CMD_READ, BLOCK, NULL, 0)),
		SAM_GOOD);
	server_view_sessions(rig.server, see, &seen);
	CU_ASSERT_EQUAL(seen.sessions, 1);
	CU_ASSERT_EQUAL(seen.read_bytes, BLOCK);
	server_count(rig.server, &c);
	CU_ASSERT_EQUAL(c.transports[0].read_bytes, BLOCK);
	CU_ASSERT_EQUAL(c.transports[0].connections, 1);
	rig_leave(&in);
	server_count(rig.server, &c);
	CU_ASSERT_EQUAL(c.transports[0].read_bytes, BLOCK);
	CU_ASSERT_EQUAL(c.transports[0].connections, 0);
	CU_ASSERT_EQUAL(c.lost, 1);
	server_view_sessions(rig.server, see, &seen);
	CU_ASSERT_EQUAL(seen.sessions, 1);
	rig_down(&rig);
}

UNIT_MAIN(TEST(time_at_the_disk), TEST(time_until_the_data_is_here),
	  TEST(time_behind_another_command), TEST(time_begins_anew),
	  TEST(aborted_commands_are_over), TEST(errors_by_name), TEST(logins_that_are_given_up),
	  TEST(bytes_stay_when_the_session_goes));
