// SPDX-License-Identifier: BSD-2-Clause
/* The orderly stop: initiators are asked to log out, told when it is too late for that, and closed. */
#include "session_links_rig.h"

enum { DRAIN_S = 5 };

static const uint8_t sync_cache[16] = { [0] = 0x35 };

static void count_stop(void *arg)
{
	++*(int *)arg;
}

static void up(struct rig *rig, const char *disk, unsigned int reactors)
{
	struct server_limits limits = server_default_limits;

	limits.nop_interval_s = 0;
	CU_ASSERT_FATAL(rig_up_on(rig, disk, &limits, reactors));
}

static void down(struct rig *rig)
{
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	for (int n = 0; n < 2 && rig->reactors[n]; n++) {
		CU_ASSERT_TRUE(list_empty(&rig->server->reactors[n].sessions));
		CU_ASSERT_TRUE(list_empty(&rig->server->reactors[n].connections));
	}
	rig_down(rig);
}

/* The next PDU asks for a logout in time. */
static bool asked_to_go(struct initiator *in)
{
	struct memory_record *rec = link_next(in, OP_ASYNC);
	bool asked = rec && rec->h.async.event == ASYNC_LOGOUT_REQUEST &&
		     be16_get(rec->h.async.parameter[2]) == STOP_LOGOUT_S && !rec->len;

	free(rec);
	return asked;
}

static void log_out(struct initiator *in)
{
	union pdu_header h = { 0 };
	struct memory_record *rec;

	h.logout_request.opcode = OP_LOGOUT_REQUEST | OPCODE_IMMEDIATE;
	h.logout_request.reason = PDU_FINAL | LOGOUT_SESSION;
	h.logout_request.itt = be32_of(in->itt++);
	h.logout_request.cmdsn = be32_of(in->cmdsn);
	rig_send(in, &h, NULL, 0);
	rec = link_next(in, OP_LOGOUT_RESPONSE);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(rec->h.logout_response.response, LOGOUT_RSP_SUCCESS);
	free(rec);
	rig_turn(in->rig);
	CU_ASSERT_PTR_NULL(memory_conn(in->peer));
}

/* All go when they are asked to: nobody waits for the end of the time. */
static void who_goes_ends_it(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct initiator a, b;
		struct rig rig;
		int stops = 0;

		up(&rig, "ram:1M", reactors);
		log_in(&rig, &a, 1, rig.r);
		log_in(&rig, &b, 2, rig.second ? rig.second : rig.r);
		server_stop(rig.server, DRAIN_S * 1000, count_stop, &stops);
		CU_ASSERT_TRUE(asked_to_go(&a));
		CU_ASSERT_TRUE(asked_to_go(&b));
		log_out(&a);
		rig_turn(&rig);
		CU_ASSERT_EQUAL(stops, 0);
		log_out(&b);
		reactor_advance(rig.r, NSEC_PER_MSEC * 20);
		if (rig.second)
			reactor_advance(rig.second, NSEC_PER_MSEC * 20);
		rig_turn(&rig);
		CU_ASSERT_EQUAL(stops, 1);
		rig_leave(&a);
		rig_leave(&b);
		down(&rig);
	}
}

/* Who stays finishes what it has begun, and is told when that is done. */
static void who_stays_is_told(void)
{
	struct initiator in, late;
	struct rig rig;
	uint32_t itt, ttt, busy;
	int stops = 0;

	up(&rig, "ram:1M", 2);
	log_in(&rig, &in, 1, rig.second);
	itt = write_waits(&in, &ttt);
	server_stop(rig.server, DRAIN_S * 1000, count_stop, &stops);
	CU_ASSERT_TRUE(asked_to_go(&in));
	/* Nothing new starts, neither here nor anew. */
	busy = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);
	CU_ASSERT_EQUAL(rig_status(&in, busy), SAM_BUSY);
	CU_ASSERT_FALSE(rig_login(&rig, &late, 3));
	rig_leave(&late);
	pass(&rig, DRAIN_S - 1);
	CU_ASSERT_PTR_NOT_NULL(memory_conn(in.peer));
	CU_ASSERT_EQUAL(stops, 0);
	CU_ASSERT_TRUE(rig_data_out(&in, itt, ttt, 0, block, 512, true));
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	reactor_advance(rig.second, 20 * NSEC_PER_MSEC);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(link_event(&in), ASYNC_DROP_SESSION);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	CU_ASSERT_EQUAL(stops, 1);
	rig_leave(&in);
	down(&rig);
}

/* Who never finishes is told when the time is over. */
static void who_never_finishes(void)
{
	struct initiator in;
	struct rig rig;
	uint32_t ttt;
	int stops = 0;

	up(&rig, "ram:1M", 1);
	log_in(&rig, &in, 1, rig.r);
	write_waits(&in, &ttt);
	server_stop(rig.server, DRAIN_S * 1000, count_stop, &stops);
	CU_ASSERT_TRUE(asked_to_go(&in));
	pass(&rig, DRAIN_S - 1);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	pass(&rig, 1);
	CU_ASSERT_EQUAL(link_event(&in), ASYNC_DROP_SESSION);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	pass(&rig, 1);
	CU_ASSERT_EQUAL(stops, 1);
	rig_leave(&in);
	down(&rig);
}

/* Each connection of a session is asked, and told. */
static void every_connection(void)
{
	struct initiator a, b;
	struct rig rig;
	int stops = 0;

	up(&rig, "ram:1M", 1);
	log_in_newer(&rig, &a, 1, rig.r);
	link_up(&a, &b, 2);
	server_stop(rig.server, DRAIN_S * 1000, count_stop, &stops);
	CU_ASSERT_TRUE(asked_to_go(&a));
	CU_ASSERT_TRUE(asked_to_go(&b));
	pass(&rig, STOP_LOGOUT_S - 1);
	CU_ASSERT_PTR_NOT_NULL(memory_conn(a.peer));
	pass(&rig, 2);
	CU_ASSERT_EQUAL(link_event(&a), ASYNC_DROP_SESSION);
	CU_ASSERT_EQUAL(link_event(&b), ASYNC_DROP_SESSION);
	CU_ASSERT_EQUAL(stops, 1);
	rig_leave(&a);
	rig_leave(&b);
	down(&rig);
}

/* At error recovery level 2 a session without connections waits for one; none will come now. */
static void a_session_that_waits(void)
{
	static const char keys[] = LEVEL_2 "ErrorRecoveryLevel=2\0DefaultTime2Retain=60\0";
	struct initiator in;
	struct rig rig;
	uint32_t ttt;
	int stops = 0;

	up(&rig, "ram:1M", 1);
	rig_knock(&rig, &in, 1, rig.r, keys, sizeof(keys) - 1);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&in));
	CU_ASSERT_EQUAL(next_sense(&in), SENSE_POWER_ON);
	write_waits(&in, &ttt);
	rig_leave(&in);
	pass(&rig, 1);
	CU_ASSERT_FALSE(list_empty(&rig.server->reactors[0].sessions));
	server_stop(rig.server, DRAIN_S * 1000, count_stop, &stops);
	rig_turn(&rig);
	reactor_advance(rig.r, 20 * NSEC_PER_MSEC);
	CU_ASSERT_EQUAL(stops, 1);
	down(&rig);
}

/* Somebody is in a hurry: the time is over at once. */
static void now(void)
{
	struct initiator in;
	struct rig rig;
	int stops = 0;

	up(&rig, "ram:1M", 2);
	log_in(&rig, &in, 1, rig.second);
	server_stop(rig.server, DRAIN_S * 1000, count_stop, &stops);
	CU_ASSERT_TRUE(asked_to_go(&in));
	server_stop_now(rig.server);
	for (int n = 0; n < 2; n++) {
		reactor_advance(rig.r, 20 * NSEC_PER_MSEC);
		reactor_advance(rig.second, 20 * NSEC_PER_MSEC);
		rig_turn(&rig);
	}
	CU_ASSERT_EQUAL(link_event(&in), ASYNC_DROP_SESSION);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	CU_ASSERT_EQUAL(stops, 1);
	rig_leave(&in);
	down(&rig);
}

/* Without a session there is nobody to ask: a login that is not through ends at once. */
static void logins_under_way(void)
{
	struct initiator silent;
	struct rig rig;
	int stops = 0;

	up(&rig, "ram:1M", 1);
	memset(&silent, 0, sizeof(silent));
	silent.rig = &rig;
	silent.r = rig.r;
	silent.peer = memory_connect(rig.r, &session_conn_up, rig.server);
	server_stop(rig.server, DRAIN_S * 1000, count_stop, &stops);
	reactor_advance(rig.r, 20 * NSEC_PER_MSEC);
	CU_ASSERT_PTR_NULL(memory_conn(silent.peer));
	CU_ASSERT_EQUAL(stops, 1);
	rig_leave(&silent);
	down(&rig);
}

/* A disk that hangs keeps its session, though its initiator has been closed in time. */
static void a_hung_disk(void)
{
	struct initiator in;
	struct rig rig;
	int stops = 0;

	up(&rig, "ram:1M,fault=flush:hang", 1);
	log_in(&rig, &in, 1, rig.r);
	rig_command(&in, sync_cache, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	server_stop(rig.server, DRAIN_S * 1000, count_stop, &stops);
	CU_ASSERT_TRUE(asked_to_go(&in));
	pass(&rig, DRAIN_S + 1);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	CU_ASSERT_EQUAL(stops, 0);
	rig_close_disk(&rig);
	pass(&rig, 1);
	CU_ASSERT_EQUAL(stops, 1);
	rig_leave(&in);
	down(&rig);
}

UNIT_MAIN(TEST(who_goes_ends_it), TEST(who_stays_is_told), TEST(who_never_finishes),
	  TEST(every_connection), TEST(a_session_that_waits), TEST(now), TEST(logins_under_way),
	  TEST(a_hung_disk));
