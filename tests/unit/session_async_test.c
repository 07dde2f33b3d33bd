// SPDX-License-Identifier: BSD-2-Clause
/* Asynchronous Messages (RFC 7143 11.9): who gets them, what they say, and their StatSN. */
#include "session_links_rig.h"

static const struct memory_datamover datamover = { .max_recv_dsl = 8192, .max_data = 128 };

static void up(struct rig *rig, unsigned int reactors)
{
	struct server_limits limits = server_default_limits;

	limits.nop_interval_s = 0;
	CU_ASSERT_FATAL(rig_up_on(rig, "ram:1M", &limits, reactors));
}

static void down(struct rig *rig)
{
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	rig_down(rig);
}

/* The next PDU is a SCSI event of this LUN with this sense. */
static bool told(struct initiator *in, uint8_t lun, uint8_t asc, uint8_t ascq)
{
	struct memory_record *rec = link_next(in, OP_ASYNC);
	const struct bhs_async *h = rec ? &rec->h.async : NULL;
	const uint8_t *sense = rec ? rec->data + 2 : NULL;
	bool ok = rec && h->event == ASYNC_SCSI && be32_get(h->tag) == TAG_NONE &&
		  h->flags == PDU_FINAL && h->lun[0] == 0 && h->lun[1] == lun && rec->len == 20 &&
		  rec->data[0] == 0 && rec->data[1] == 18 && (sense[0] & 0x7f) == 0x70 &&
		  (sense[2] & 15) == 6 && sense[12] == asc && sense[13] == ascq;

	free(rec);
	return ok;
}

/* Every session of the target, wherever it lives, and none but those. */
static void a_unit_has_grown(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct initiator a, b;
		struct scsi_target other = { .port_count = 1 };
		struct rig rig;

		up(&rig, reactors);
		log_in(&rig, &a, 1, rig.r);
		log_in(&rig, &b, 2, rig.second ? rig.second : rig.r);
		lu_raise_ua(rig.lu, UA_CAPACITY_CHANGED, NULL); /* as lu_resize() does */
		server_lun_event(rig.server, &rig.scsi, 0, UA_CAPACITY_CHANGED);
		CU_ASSERT_TRUE(told(&a, 0, 0x2a, 0x09));
		CU_ASSERT_TRUE(told(&b, 0, 0x2a, 0x09));
		CU_ASSERT_EQUAL(next_sense(&a), SENSE_CAPACITY_CHANGED);
		CU_ASSERT_EQUAL(next_sense(&a), 0);
		server_lun_event(rig.server, &other, 0, UA_CAPACITY_CHANGED);
		server_lun_event(rig.server, &rig.scsi, TARGET_LUNS, UA_CAPACITY_CHANGED);
		CU_ASSERT_PTR_NULL(rig_receive(&a));
		CU_ASSERT_PTR_NULL(rig_receive(&b));
		rig_leave(&a);
		rig_leave(&b);
		down(&rig);
	}
}

/* A unit that is there now or not any more: the commands of all units tell it, too. */
static void units_come_and_go(void)
{
	struct initiator in;
	struct rig rig;

	up(&rig, 1);
	log_in(&rig, &in, 1, rig.r);
	server_lun_event(rig.server, &rig.scsi, 7, UA_LUNS_CHANGED);
	CU_ASSERT_TRUE(told(&in, 7, 0x3f, 0x0e));
	CU_ASSERT_EQUAL(next_sense(&in), SENSE_LUNS_CHANGED);
	CU_ASSERT_EQUAL(next_sense(&in), 0);
	rig_leave(&in);
	down(&rig);
}

/* Once for a session, however many connections it has. */
static void one_connection_tells(void)
{
	struct initiator a, b;
	struct rig rig;

	up(&rig, 1);
	log_in_newer(&rig, &a, 1, rig.r);
	link_up(&a, &b, 2);
	server_lun_event(rig.server, &rig.scsi, 0, UA_CAPACITY_CHANGED);
	CU_ASSERT_TRUE(told(&a, 0, 0x2a, 0x09));
	CU_ASSERT_PTR_NULL(rig_receive(&b));
	rig_leave(&b);
	rig_leave(&a);
	down(&rig);
}

/* What an initiator over RDMA has room for is enough. */
static void over_rdma(void)
{
	static const char keys[] = "InitialR2T=Yes\0RDMAExtensions=Yes\0";
	struct initiator in;
	struct rig rig;

	up(&rig, 1);
	rig.datamover = &datamover;
	rig_knock(&rig, &in, 1, rig.r, keys, sizeof(keys) - 1);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&in));
	CU_ASSERT_EQUAL(next_sense(&in), SENSE_POWER_ON);
	server_lun_event(rig.server, &rig.scsi, 0, UA_CAPACITY_CHANGED);
	CU_ASSERT_TRUE(told(&in, 0, 0x2a, 0x09));
	rig_leave(&in);
	down(&rig);
}

/* A message takes a StatSN of its connection: the next answer has the one after it. */
static void status_numbers(void)
{
	struct memory_record *rec;
	struct initiator in;
	uint32_t statsn;
	struct rig rig;

	up(&rig, 1);
	log_in(&rig, &in, 1, rig.r);
	statsn = iconn_of(&in)->statsn;
	async_event(iconn_of(&in), ASYNC_NEGOTIATE, 0, 0, 0, 3, NULL, 0);
	rec = link_next(&in, OP_ASYNC);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(rec->h.async.event, ASYNC_NEGOTIATE);
	CU_ASSERT_EQUAL(be16_get(rec->h.async.parameter[2]), 3);
	CU_ASSERT_EQUAL(be32_get(rec->h.async.statsn), statsn);
	CU_ASSERT_EQUAL(be32_get(rec->h.async.expcmdsn), in.cmdsn);
	CU_ASSERT_EQUAL(rec->len, 0);
	free(rec);
	rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	rec = link_next(&in, OP_SCSI_RESPONSE);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(be32_get(rec->h.scsi_response.statsn), statsn + 1);
	free(rec);
	rig_leave(&in);
	down(&rig);
}

/* A connection that we give up: another one says which; the last one says it itself. */
static void a_connection_is_dropped(void)
{
	for (int alone = 0; alone < 2; alone++) {
		struct initiator a, b, *witness = alone ? &a : &b;
		struct memory_record *rec;
		struct session *s;
		struct rig rig;

		up(&rig, 1);
		log_in_newer(&rig, &a, 1, rig.r);
		if (!alone)
			link_up(&a, &b, 2);
		iconn_of(&a)->cid = 17;
		s = session_of(&a);
		s->who.error_recovery_level = 2;
		s->who.time2wait = 2;
		s->who.time2retain = 20;
		async_drop(iconn_of(&a));
		CU_ASSERT_TRUE(memory_conn(a.peer)->closing);
		rec = link_next(witness, OP_ASYNC);
		CU_ASSERT_FATAL(rec != NULL);
		CU_ASSERT_EQUAL(rec->h.async.event, ASYNC_DROP_CONNECTION);
		CU_ASSERT_EQUAL(be16_get(rec->h.async.parameter[0]), 17);
		CU_ASSERT_EQUAL(be16_get(rec->h.async.parameter[1]), 2);
		CU_ASSERT_EQUAL(be16_get(rec->h.async.parameter[2]), 20);
		free(rec);
		CU_ASSERT_PTR_NULL(rig_receive(&a));
		if (!alone) {
			CU_ASSERT_PTR_NOT_NULL(memory_conn(b.peer));
			rig_leave(&b);
		}
		rig_leave(&a);
		pass(&rig, 25);
		down(&rig);
	}
}

/* Where the session goes with any of its connections, the others say that. */
static void a_session_is_dropped(void)
{
	struct initiator a, b;
	struct rig rig;

	up(&rig, 1);
	log_in_newer(&rig, &a, 1, rig.r);
	link_up(&a, &b, 2);
	async_drop(iconn_of(&a));
	CU_ASSERT_PTR_NULL(rig_receive(&a));
	CU_ASSERT_EQUAL(link_event(&b), ASYNC_DROP_SESSION);
	CU_ASSERT_PTR_NULL(memory_conn(b.peer));
	rig_leave(&b);
	rig_leave(&a);
	down(&rig);
}

/* Nobody is told on a connection that is not in full feature phase, or not any more. */
static void not_in_every_state(void)
{
	struct initiator in;
	struct iconn *ic;
	struct rig rig;

	up(&rig, 1);
	memset(&in, 0, sizeof(in));
	in.rig = &rig;
	in.r = rig.r;
	in.peer = memory_connect(rig.r, &session_conn_up, rig.server);
	ic = iconn_of(&in);
	async_event(ic, ASYNC_LOGOUT_REQUEST, 0, 0, 0, 1, NULL, 0);
	async_drop(ic);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	rig_leave(&in);
	log_in(&rig, &in, 1, rig.r);
	iconn_close(iconn_of(&in), true);
	async_to_session(session_of(&in), ASYNC_DROP_SESSION, 0, 0, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	rig_leave(&in);
	down(&rig);
}

UNIT_MAIN(TEST(a_unit_has_grown), TEST(units_come_and_go), TEST(one_connection_tells),
	  TEST(over_rdma), TEST(status_numbers), TEST(a_connection_is_dropped),
	  TEST(a_session_is_dropped), TEST(not_in_every_state));
