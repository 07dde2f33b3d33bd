// SPDX-License-Identifier: BSD-2-Clause
/* Several connections in one session: joining it, order across them, what they share. */
#include "session_connections_rig.h"

static unsigned int count(const struct list *head)
{
	unsigned int n = 0;
	struct list *pos;

	list_for_each(pos, head)
		n++;
	return n;
}

/* Whether it knocks at its session's reactor or at another, it ends up where the session is. */
static void joins_where_the_session_is(void)
{
	struct world w;
	struct session *s;

	begin(&w, "ram:1M", 2, FOUR);
	s = session_in(&w);
	for (int i = 1; i < LINKS; i++) {
		CU_ASSERT_EQUAL(join(&w, i, (uint16_t)i, w.rig.reactors[i % 2]), LOGIN_SUCCESS);
		CU_ASSERT_PTR_EQUAL(w.link[i].r, w.rig.r);
		CU_ASSERT_EQUAL(w.link[i].tsih, w.link[0].tsih);
		CU_ASSERT_PTR_EQUAL(iconn_of(&w.link[i])->session, s);
	}
	CU_ASSERT_EQUAL(count(&s->conns), LINKS);
	CU_ASSERT_EQUAL(w.rig.server->connections, LINKS);
	CU_ASSERT_EQUAL(w.rig.r->load, LINKS);
	CU_ASSERT_EQUAL(w.rig.second->load, 0);
	CU_ASSERT_EQUAL(count(&w.rig.server->reactors[1].connections), 0);
	for (int i = 0; i < LINKS; i++)
		CU_ASSERT_EQUAL(ping(&w, i), SAM_GOOD);
	end(&w);
}

/* Nobody is there any more when it arrives at the other reactor. */
static void vanishes_on_its_way(void)
{
	struct world w;

	begin(&w, "ram:1M", 2, FOUR);
	knock(&w, 1, 1, w.rig.second);
	leave(&w, 1);
	CU_ASSERT_EQUAL(w.rig.server->connections, 1);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	end(&w);
}

/* The session has come from an address that may do more. */
static void no_more_rights_by_joining(void)
{
	const struct initiator_rule rules[] = {
		{ .by_address = true,
		  .from = { { [10] = 0xff, 0xff, 192, 0, 2, 1 }, 128 },
		  .rights = nexus_rights_all() },
		{ .rights = { .sees = { { 1 } } } },
	};
	struct world w;

	begin(&w, "ram:1M", 2, FOUR);
	w.rig.target.rules = rules;
	w.rig.target.rule_count = 2;
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_CANNOT_INCLUDE);
	leave(&w, 1);
	w.rig.target.rule_count = 1; /* whom no rule fits may do all */
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_SUCCESS);
	end(&w);
}

static void refusals(void)
{
	struct world w;
	uint16_t tsih;

	begin(&w, "ram:1M", 2, FOUR);
	tsih = w.link[0].tsih;
	w.link[0].tsih++; /* of no session */
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_NO_SESSION);
	leave(&w, 1);
	w.link[0].tsih = tsih;
	for (int n = 0; n < 2; n++) { /* with a key that only the first one may send */
		rig_knock_as(&w.rig, &w.link[1], ISID, (uint16_t)(tsih + n), 1, w.rig.r,
			     "MaxBurstLength=65536\0", 21);
		CU_ASSERT_EQUAL(answer_to_login(&w, 1),
				n ? LOGIN_NO_SESSION : LOGIN_INITIATOR_ERROR);
		leave(&w, 1);
	}
	for (int n = 0; n < 2; n++) { /* of another initiator port */
		rig_knock_as(&w.rig, &w.link[1], ISID + 1, tsih, 1, w.rig.reactors[n], NULL, 0);
		CU_ASSERT_EQUAL(answer_to_login(&w, 1), LOGIN_CANNOT_INCLUDE);
		leave(&w, 1);
	}
	for (int i = 1; i < LINKS; i++)
		CU_ASSERT_EQUAL(join(&w, i, (uint16_t)i, w.rig.r), LOGIN_SUCCESS);
	leave(&w, 0); /* at level 0 that is the end of it */
	CU_ASSERT_EQUAL(join(&w, 0, 9, w.rig.r), LOGIN_NO_SESSION);
	end(&w);
}

/* What was agreed on, and what the operator allows. */
static void too_many_connections(void)
{
	struct server_limits two = server_default_limits;
	struct world w;

	begin(&w, "ram:1M", 2, "MaxConnections=3\0");
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(join(&w, 2, 2, w.rig.second), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(join(&w, 3, 3, w.rig.second), LOGIN_TOO_MANY_CONNECTIONS);
	end(&w);
	begin(&w, "ram:1M", 1, "InitialR2T=No\0"); /* MaxConnections is 1 then */
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_TOO_MANY_CONNECTIONS);
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	end(&w);
	two.session_connections = 2;
	begin_with(&w, "ram:1M", 1, &two, FOUR, sizeof(FOUR) - 1);
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(join(&w, 2, 2, w.rig.r), LOGIN_TOO_MANY_CONNECTIONS);
	end(&w);
}

/* A login under way when its session ends, or when there is no room any more. */
static void late_for_the_session(void)
{
	static const char keys[] = "InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0";
	struct world w;
	union pdu_header h = { 0 };
	struct memory_record *rec;

	begin(&w, "ram:1M", 1, FOUR);
	w.link[1].rig = &w.rig;
	w.link[1].r = w.rig.r;
	w.link[1].peer = memory_connect(w.rig.r, &session_conn_up, w.rig.server);
	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = STAGE_OPERATIONAL << 2;
	h.login_request.isid.b[0] = 0x80;
	h.login_request.isid.b[5] = ISID;
	h.login_request.tsih = be16_of(w.link[0].tsih);
	h.login_request.cid = be16_of(1);
	h.login_request.cmdsn = be32_of(w.cmdsn + 50);
	rig_send(&w.link[1], &h, keys, sizeof(keys) - 1);
	rec = rig_receive(&w.link[1]);
	CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE);
	/* The window is the session's, and not that of this Login's CmdSN. */
	CU_ASSERT_EQUAL(be32_get(rec->h.login_response.expcmdsn), w.cmdsn);
	CU_ASSERT_EQUAL(be32_get(rec->h.login_response.maxcmdsn), w.cmdsn + 127);
	free(rec);
	leave(&w, 0);
	h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	rig_send(&w.link[1], &h, NULL, 0);
	CU_ASSERT_EQUAL(answer_to_login(&w, 1), LOGIN_NO_SESSION);
	end(&w);
}

static void shares_what_is_the_session_s(void)
{
	static const char keys[] = "MaxRecvDataSegmentLength=4096\0";
	const struct conn_params *a, *b;
	struct world w;

	begin(&w, "ram:1M", 1,
	      FOUR "MaxBurstLength=65536\0FirstBurstLength=8192\0MaxOutstandingR2T=3\0"
		   "ImmediateData=No\0MaxRecvDataSegmentLength=16384\0");
	w.link[1].rig = &w.rig;
	rig_knock_as(&w.rig, &w.link[1], ISID, w.link[0].tsih, 1, w.rig.r, keys, sizeof(keys) - 1);
	CU_ASSERT_EQUAL_FATAL(answer_to_login(&w, 1), LOGIN_SUCCESS);
	a = &memory_conn(w.link[0].peer)->params;
	b = &memory_conn(w.link[1].peer)->params;
	CU_ASSERT_EQUAL(b->max_burst, 65536);
	CU_ASSERT_EQUAL(b->first_burst, 8192);
	CU_ASSERT_EQUAL(b->max_outstanding_r2t, 3);
	CU_ASSERT_FALSE(b->initial_r2t);
	CU_ASSERT_FALSE(b->immediate_data);
	CU_ASSERT_EQUAL(b->command_window, a->command_window);
	CU_ASSERT_EQUAL(a->max_xmit_dsl, 16384);
	CU_ASSERT_EQUAL(b->max_xmit_dsl, 4096);
	end(&w);
}

/* --- Order */

/* CmdSN goes over all connections, StatSN and answers stay on theirs. */
static void order_across_connections(void)
{
	struct memory_record *rec;
	uint32_t itt[3], sn, statsn;
	struct world w;

	begin(&w, "ram:1M", 2, FOUR);
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.second), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(join(&w, 2, 2, w.rig.r), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(ping(&w, 1), SAM_GOOD);
	statsn = iconn_of(&w.link[1])->statsn;
	sn = w.cmdsn;
	itt[2] = rig_command_sn(&w.link[2], sn + 2, tur, CMD_FINAL, 0, NULL, 0);
	itt[1] = rig_command_sn(&w.link[1], sn + 1, tur, CMD_FINAL, 0, NULL, 0);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_PTR_NULL(rig_receive(&w.link[i]));
	itt[0] = rig_command_sn(&w.link[0], sn, tur, CMD_FINAL, 0, NULL, 0);
	w.cmdsn = sn + 3;
	rec = rig_receive(&w.link[1]);
	CU_ASSERT_FATAL(rec && be32_get(rec->h.bhs.itt) == itt[1]);
	CU_ASSERT_EQUAL(be32_get(rec->h.scsi_response.statsn), statsn);
	CU_ASSERT_EQUAL(be32_get(rec->h.scsi_response.expcmdsn), sn + 2);
	free(rec);
	CU_ASSERT_EQUAL(rig_status(&w.link[0], itt[0]), SAM_GOOD);
	CU_ASSERT_EQUAL(rig_status(&w.link[2], itt[2]), SAM_GOOD);
	CU_ASSERT_EQUAL(w.link[2].maxcmdsn - w.link[2].expcmdsn + 1, 128);
	end(&w);
}

static uint32_t nop(struct world *w, int i, uint32_t cmdsn)
{
	union pdu_header h = { 0 };

	h.nop_out.opcode = OP_NOP_OUT;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = be32_of(w->link[i].itt);
	h.nop_out.ttt = be32_of(TAG_NONE);
	h.nop_out.cmdsn = be32_of(cmdsn);
	rig_send(&w->link[i], &h, "hello", 5);
	return w->link[i].itt++;
}

/* Other requests than commands wait too, and are answered where they came in; those of a connection
 * that is gone have not come. */
static void held_requests(void)
{
	for (int leaves = 0; leaves < 2; leaves++) {
		struct memory_record *rec;
		struct world w;
		uint32_t itt, sn;

		begin(&w, "ram:1M", 1, FOUR);
		CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_SUCCESS);
		sn = w.cmdsn;
		itt = nop(&w, 1, sn + 1);
		CU_ASSERT_PTR_NULL(rig_receive(&w.link[1]));
		if (leaves)
			CU_ASSERT_EQUAL(logout_response(&w, 1, LOGOUT_CONNECTION, 1),
					LOGOUT_RSP_SUCCESS);
		CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD); /* sn */
		if (!leaves) {
			w.cmdsn++;
			rec = rig_receive(&w.link[1]);
			CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_NOP_IN);
			CU_ASSERT_EQUAL(be32_get(rec->h.bhs.itt), itt);
			free(rec);
		}
		CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD); /* leaves: in its place */
		CU_ASSERT_EQUAL(w.link[0].maxcmdsn - w.link[0].expcmdsn + 1, 128);
		end(&w);
	}
}

/* A Logout that takes its turn ends its connection; what others have sent behind it goes on. */
static void held_logout(void)
{
	union pdu_header h = { 0 };
	struct world w;
	uint32_t itt, sn;

	begin(&w, "ram:1M", 1, FOUR);
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_SUCCESS);
	sn = w.cmdsn;
	h.logout_request.opcode = OP_LOGOUT_REQUEST;
	h.logout_request.reason = PDU_FINAL | LOGOUT_CONNECTION;
	h.logout_request.itt = be32_of(77);
	h.logout_request.cid = be16_of(1);
	h.logout_request.cmdsn = be32_of(sn + 1);
	rig_send(&w.link[1], &h, NULL, 0);
	itt = rig_command_sn(&w.link[0], sn + 2, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&w.link[0]));
	nop(&w, 1, sn); /* fills the gap */
	w.cmdsn = sn + 3;
	CU_ASSERT_EQUAL(rig_status(&w.link[0], itt), SAM_GOOD);
	CU_ASSERT_PTR_NULL(memory_conn(w.link[1].peer));
	CU_ASSERT_EQUAL(ping(&w, 0), SAM_GOOD);
	end(&w);
}

/* The tag of a task is the session's. */
static void tags_are_the_session_s(void)
{
	struct memory_record *rec;
	struct world w;
	uint32_t ttt;

	begin(&w, "ram:1M", 1, FOUR);
	CU_ASSERT_EQUAL(join(&w, 1, 1, w.rig.r), LOGIN_SUCCESS);
	w.link[0].itt = w.link[1].itt = 55;
	write_waits(&w, 1, &ttt);
	rig_command_sn(&w.link[0], w.cmdsn, tur, CMD_FINAL, 0, NULL, 0);
	rec = rig_receive(&w.link[0]);
	CU_ASSERT_FATAL(rec && pdu_opcode(&rec->h.bhs) == OP_REJECT);
	CU_ASSERT_EQUAL(rec->h.reject.reason, REJECT_TASK_IN_PROGRESS);
	free(rec);
	CU_ASSERT_FALSE(rig_data_out(&w.link[0], 55, ttt, 0, block, 512, true));
	CU_ASSERT_TRUE(rig_data_out(&w.link[1], 55, ttt, 0, block, 512, true));
	CU_ASSERT_EQUAL(rig_status(&w.link[1], 55), SAM_GOOD);
	end(&w);
}

/* Bytes count once for a session, whatever the number of its connections. */
static void statistics(void)
{
	const struct traffic *t;
	struct world w;
	uint32_t itt, ttt;

	begin(&w, "ram:1M", 2, FOUR);
	t = &w.rig.server->reactors[0].traffic[0];
	for (int i = 1; i < LINKS; i++)
		CU_ASSERT_EQUAL(join(&w, i, (uint16_t)i, w.rig.reactors[i % 2]), LOGIN_SUCCESS);
	for (int i = 0; i < LINKS; i++) {
		itt = write_waits(&w, i, &ttt);
		CU_ASSERT_TRUE(rig_data_out(&w.link[i], itt, ttt, 0, block, 512, true));
		CU_ASSERT_EQUAL(rig_status(&w.link[i], itt), SAM_GOOD);
	}
	CU_ASSERT_EQUAL(session_in(&w)->stats.write_bytes, LINKS * 512);
	CU_ASSERT_EQUAL(logout_response(&w, 3, LOGOUT_CONNECTION, 3), 0);
	CU_ASSERT_EQUAL(t->closed, 1);
	for (int i = 0; i < LINKS; i++)
		leave(&w, i);
	CU_ASSERT_EQUAL(t->closed, LINKS);
	CU_ASSERT_EQUAL(t->write_bytes, LINKS * 512);
	CU_ASSERT_EQUAL(w.rig.server->reactors[1].traffic[0].closed, 0);
	end(&w);
}

UNIT_MAIN(TEST(joins_where_the_session_is), TEST(vanishes_on_its_way),
	  TEST(no_more_rights_by_joining), TEST(refusals), TEST(too_many_connections),
	  TEST(late_for_the_session), TEST(shares_what_is_the_session_s),
	  TEST(order_across_connections), TEST(held_requests), TEST(held_logout),
	  TEST(tags_are_the_session_s), TEST(statistics));
