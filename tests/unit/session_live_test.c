// SPDX-License-Identifier: BSD-2-Clause
/* Units that come and go, and exports that change, while sessions have commands under way. */
#include "session_units_rig.h"

/* The next PDU is the event that says 3F/0E. */
static bool told(struct initiator *in, uint8_t lun)
{
	struct memory_record *rec = link_next(in, OP_ASYNC);
	bool ok = rec && rec->h.async.lun[1] == lun && rec->len == 20 &&
		  rec->data[2 + 12] == 0x3f && rec->data[2 + 13] == 0x0e;

	free(rec);
	return ok;
}

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

/* A unit that comes was switched on just now, for everybody; all units tell of it. */
static void a_unit_comes(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct initiator a, b;
		struct unit other;
		struct rig rig;

		up(&rig, reactors);
		log_in(&rig, &a, 1, rig.r);
		log_in(&rig, &b, 2, rig.second ? rig.second : rig.r);
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_NO_LU);
		unit_up(&other, "ram:2M,serial=OTHER", reactors);
		target_add_lun(&rig.scsi, OTHER, other.lu, false);
		server_lun_event(rig.server, &rig.scsi, OTHER, UA_LUNS_CHANGED);
		CU_ASSERT_TRUE(told(&a, OTHER));
		CU_ASSERT_TRUE(told(&b, OTHER));
		CU_ASSERT_EQUAL(sense_of(&a, 0), SENSE_LUNS_CHANGED);
		CU_ASSERT_EQUAL(sense_of(&a, 0), 0);
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_LUNS_CHANGED);
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), 0);
		CU_ASSERT_EQUAL(sense_of(&b, OTHER), SENSE_POWER_ON);
		rig_leave(&a);
		rig_leave(&b);
		target_remove_lun(&rig.scsi, OTHER);
		CU_ASSERT_FALSE(used(&rig, other.lu, true));
		CU_ASSERT_PTR_EQUAL(target_drop_lun(&rig.scsi, OTHER), other.lu);
		unit_down(&other);
		down(&rig);
	}
}

/* Commands that have found the unit end as if nothing were; nobody finds it any more. */
static void a_unit_leaves(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct initiator a;
		struct unit other;
		struct rig rig;

		up(&rig, reactors);
		unit_up(&other, "ram:1M,serial=OTHER,fault=write:delay=3s", reactors);
		rig.scsi.lun[OTHER] = other.lu;
		log_in(&rig, &a, 1, rig.second ? rig.second : rig.r);
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
		command_lun(&a, OTHER, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);
		CU_ASSERT_PTR_NULL(rig_receive(&a));
		target_remove_lun(&rig.scsi, OTHER);
		CU_ASSERT_TRUE(used(&rig, other.lu, false));
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_NO_LU);
		CU_ASSERT_EQUAL(sense_of(&a, 0), 0);
		pass(&rig, 4);
		CU_ASSERT_EQUAL(answer(&a), 0);
		CU_ASSERT_FALSE(used(&rig, other.lu, false));
		CU_ASSERT_FALSE(used(&rig, other.lu, true));
		CU_ASSERT_PTR_EQUAL(target_drop_lun(&rig.scsi, OTHER), other.lu);
		unit_down(&other);
		server_lun_event(rig.server, &rig.scsi, OTHER, UA_LUNS_CHANGED);
		CU_ASSERT_TRUE(told(&a, OTHER));
		CU_ASSERT_EQUAL(sense_of(&a, 0), SENSE_LUNS_CHANGED);
		CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_NO_LU);
		rig_leave(&a);
		down(&rig);
	}
}

/* A write whose data never comes holds the unit; it returns, and nothing has happened. */
static void a_unit_returns(void)
{
	struct memory_record *rec;
	struct initiator a;
	struct unit other;
	struct rig rig;
	uint32_t itt, ttt;

	up(&rig, 1);
	unit_up(&other, "ram:1M,serial=OTHER", 1);
	rig.scsi.lun[OTHER] = other.lu;
	log_in(&rig, &a, 1, rig.r);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
	itt = a.itt;
	command_lun(&a, OTHER, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	rec = rig_receive(&a);
	CU_ASSERT_FATAL(rec && rec->kind == MEMORY_R2T);
	ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	target_remove_lun(&rig.scsi, OTHER);
	CU_ASSERT_TRUE(used(&rig, other.lu, false));
	target_return_lun(&rig.scsi, OTHER);
	CU_ASSERT_FALSE(lu_is_leaving(other.lu));
	CU_ASSERT_TRUE(rig_data_out(&a, itt, ttt, 0, block, 512, true));
	CU_ASSERT_EQUAL(answer(&a), 0);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), 0);
	rig_leave(&a);
	target_remove_lun(&rig.scsi, OTHER);
	CU_ASSERT_FALSE(used(&rig, other.lu, true));
	unit_down(&(struct unit){ other.bs, target_drop_lun(&rig.scsi, OTHER) });
	down(&rig);
}

/* Who waits for the end of tasks there has not lost sight of them. */
static void aborts_on_a_unit_that_leaves(void)
{
	union pdu_header h = { 0 };
	struct initiator a;
	struct unit other;
	struct rig rig;

	up(&rig, 1);
	unit_up(&other, "ram:1M,serial=OTHER,fault=write:delay=3s", 1);
	rig.scsi.lun[OTHER] = other.lu;
	log_in(&rig, &a, 1, rig.r);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
	command_lun(&a, OTHER, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);
	CU_ASSERT_PTR_NULL(rig_receive(&a));
	target_remove_lun(&rig.scsi, OTHER);
	h.tmf_request.opcode = OP_TMF_REQUEST | OPCODE_IMMEDIATE;
	h.tmf_request.function = 0x80 | TMF_ABORT_TASK_SET;
	h.tmf_request.lun[1] = OTHER;
	h.tmf_request.itt = be32_of(a.itt);
	h.tmf_request.rtt = be32_of(TAG_NONE);
	h.tmf_request.cmdsn = be32_of(a.cmdsn);
	rig_send(&a, &h, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&a));
	CU_ASSERT_TRUE(used(&rig, other.lu, false));
	/* Also when nobody could find the unit any more. */
	target_drop_lun(&rig.scsi, OTHER);
	CU_ASSERT_TRUE(used(&rig, other.lu, false));
	target_show_lun(&rig.scsi, OTHER, other.lu);
	pass(&rig, 4);
	CU_ASSERT_EQUAL(rig_tmf_response(&a, a.itt++), TMF_RSP_COMPLETE);
	CU_ASSERT_FALSE(used(&rig, other.lu, true));
	target_drop_lun(&rig.scsi, OTHER);
	unit_down(&other);
	CU_ASSERT_EQUAL(sense_of(&a, 0), 0);
	rig_leave(&a);
	down(&rig);
}

/* A unit that takes another one's number is not taken for that: power on, and another INQUIRY. */
static void a_unit_is_replaced(void)
{
	struct unit one, two;
	struct initiator a;
	struct rig rig;

	up(&rig, 1);
	unit_up(&one, "ram:1M,serial=ONE", 1);
	unit_up(&two, "ram:2M,serial=TWO", 1);
	rig.scsi.lun[OTHER] = one.lu;
	log_in(&rig, &a, 1, rig.r);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
	target_remove_lun(&rig.scsi, OTHER);
	CU_ASSERT_FALSE(used(&rig, one.lu, true));
	target_drop_lun(&rig.scsi, OTHER);
	target_add_lun(&rig.scsi, OTHER, two.lu, true);
	unit_down(&one);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_INQUIRY_CHANGED);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), 0);
	rig_leave(&a);
	target_remove_lun(&rig.scsi, OTHER);
	CU_ASSERT_FALSE(used(&rig, two.lu, true));
	target_drop_lun(&rig.scsi, OTHER);
	unit_down(&two);
	down(&rig);
}

/* Memory of the disk that is on its way to the initiator is in use. */
static void lent_memory(void)
{
	struct memory_record *rec;
	struct initiator a;
	struct unit other;
	struct rig rig;

	up(&rig, 1);
	unit_up(&other, "ram:1M,serial=OTHER", 1);
	rig.scsi.lun[OTHER] = other.lu;
	log_in(&rig, &a, 1, rig.r);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
	/* It leaves at the end of the turn, the search comes before that. */
	command_lun(&a, OTHER, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
	target_remove_lun(&rig.scsi, OTHER);
	CU_ASSERT_TRUE(used(&rig, other.lu, false));
	rec = rig_receive(&a);
	CU_ASSERT_PTR_NOT_NULL(rec);
	free(rec);
	rig_turn(&rig);
	CU_ASSERT_FALSE(used(&rig, other.lu, true));
	target_drop_lun(&rig.scsi, OTHER);
	unit_down(&other);
	rig_leave(&a);
	down(&rig);
}

/* An initiator that does not take its answers. */
static struct tx_pdu *withheld;

static void withhold(struct conn *conn, struct tx_pdu *tx)
{
	(void)conn;
	withheld = tx;
}

/* The answer is still on its way when the unit is no more: its latency has been counted before. */
static void an_answer_outlives_its_unit(void)
{
	struct transport_ops deaf = memory_transport;
	const struct latency_set *set;
	struct initiator a;
	struct unit other;
	struct conn *conn;
	struct rig rig;

	up(&rig, 1);
	unit_up(&other, "ram:1M,serial=OTHER", 1);
	rig.scsi.lun[OTHER] = other.lu;
	log_in(&rig, &a, 1, rig.r);
	CU_ASSERT_EQUAL(sense_of(&a, OTHER), SENSE_POWER_ON);
	conn = memory_conn(a.peer);
	deaf.send_pdu = withhold;
	conn->ops = &deaf;
	command_lun(&a, OTHER, tur, CMD_FINAL, 0, NULL, 0);
	rig_turn(&rig);
	CU_ASSERT_PTR_NOT_NULL_FATAL(withheld);
	conn->ops = &memory_transport;
	CU_ASSERT_EQUAL(lu_under_way(other.lu), 1);
	set = container_of(withheld, struct command, response)->task.latency;
	CU_ASSERT_PTR_NOT_NULL(set);
	target_remove_lun(&rig.scsi, OTHER);
	CU_ASSERT_FALSE(used(&rig, other.lu, true));
	CU_ASSERT_EQUAL(lu_under_way(other.lu), 0);
	CU_ASSERT_PTR_NULL(container_of(withheld, struct command, response)->task.latency);
	CU_ASSERT_PTR_EQUAL(target_drop_lun(&rig.scsi, OTHER), other.lu);
	unit_down(&other);
	conn_send_pdu(conn, withheld);
	CU_ASSERT_EQUAL(answer(&a), 0);
	rig_leave(&a);
	down(&rig);
}

/* --- Exports */

struct generation {
	struct exports exports;
	struct target_config target;
	unsigned int released;
};

static void release(struct exports *exports)
{
	container_of(exports, struct generation, exports)->released++;
}

static void generation_up(struct generation *g, const struct rig *rig)
{
	*g = (struct generation){ .target = rig->target };
	g->exports.targets = &g->target;
	g->exports.target_count = 1;
	g->exports.release = release;
}

static void spread(struct rig *rig, struct generation *g)
{
	unsigned int done = 0;

	server_set_exports(rig->server, &g->exports, count_search, &done);
	rig_turn(rig);
	CU_ASSERT_EQUAL(done, 1);
}

static void count_sessions(const struct session_info *info, void *arg)
{
	CU_ASSERT_STRING_EQUAL(info->initiator, RIG_INITIATOR);
	++*(unsigned int *)arg;
}

/* Sessions do not notice, and what they were logged in by before is let go. */
static void exports_change(void)
{
	for (unsigned int reactors = 1; reactors <= 2; reactors++) {
		struct generation one, two, none;
		struct initiator a, b;
		unsigned int sessions = 0;
		struct rig rig;

		up(&rig, reactors);
		generation_up(&one, &rig);
		generation_up(&two, &rig);
		generation_up(&none, &rig);
		none.exports.target_count = 0;
		log_in(&rig, &a, 1, rig.second ? rig.second : rig.r);
		spread(&rig, &one);
		spread(&rig, &two);
		CU_ASSERT_EQUAL(one.released, 1);
		CU_ASSERT_EQUAL(sense_of(&a, 0), 0);
		CU_ASSERT_PTR_EQUAL(session_of(&a)->who.target, &two.target);
		server_each_session(rig.server, count_sessions, &sessions);
		CU_ASSERT_EQUAL(sessions, 1);
		/* The target is gone: nobody comes, nobody has to go. */
		spread(&rig, &none);
		CU_ASSERT_EQUAL(two.released, 0);
		CU_ASSERT_EQUAL(sense_of(&a, 0), 0);
		CU_ASSERT_FALSE(rig_login(&rig, &b, 2));
		rig_leave(&b);
		rig_leave(&a);
		CU_ASSERT_EQUAL(two.released, 1);
		CU_ASSERT_EQUAL(none.released, 0);
		down(&rig);
		CU_ASSERT_EQUAL(none.released, 1);
	}
}

/* What a login has begun with need not hold at its end. */
static void exports_change_during_a_login(void)
{
	struct memory_record *rec;
	struct generation closed;
	struct initiator a, b;
	struct rig rig;

	CU_ASSERT_FATAL(rig_up_on(&rig, "ram:1M,fault=write:delay=3s", NULL, 1));
	generation_up(&closed, &rig);
	closed.target.allow_any = false;
	log_in(&rig, &a, 1, rig.r);
	/* Its twin waits for the end of the session, which has a command under way. */
	write_is_slow(&a);
	rig_knock(&rig, &b, 1, rig.r, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&b));
	spread(&rig, &closed);
	pass(&rig, 4);
	rec = link_next(&b, OP_LOGIN_RESPONSE);
	CU_ASSERT_TRUE(rec && be16_get(rec->h.login_response.status) == LOGIN_NOT_FOUND);
	free(rec);
	rig_leave(&a);
	rig_leave(&b);
	down(&rig);
	CU_ASSERT_EQUAL(closed.released, 1);
}

/* --- Who may */

static void names_and_addresses(void)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} rows[] = {
		{ "iqn.2026-11.test:a", "iqn.2026-11.test:A", true },
		{ "iqn.2026-11.test:a", "iqn.2026-11.test:ab", false },
		{ "iqn.2026-11.test:*", "iqn.2026-11.test:", true },
		{ "iqn.2026-11.test:*", "iqn.2026-11.test:host9", true },
		{ "iqn.2026-11.test:*", "iqn.2026-12.test:host9", false },
		{ "*:host-*-b", "iqn.2026-11.test:host-b-1-b", true },
		{ "*:host-*-b", "iqn.2026-11.test:host-b", false },
		{ "*", "eui.0123456789abcdef", true },
	};
	struct address_range net = { { [10] = 0xff, 0xff, 192, 0, 2, 128 }, 96 + 25 };
	struct address_range in = { { [10] = 0xff, 0xff, 192, 0, 2, 200 }, 128 }, out = in;
	char pattern[1][ISCSI_NAME_MAX + 1];
	struct target_config target = { .allow = pattern, .allow_count = 1 };

	out.address[15] = 127;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_TRUE(name_pattern(rows[i].pattern, pattern[0]));
		CU_ASSERT_EQUAL(target_allows(&target, rows[i].name, NULL), rows[i].matches);
	}
	CU_ASSERT_FALSE(name_pattern("iqn.2026-11.test:a b*", pattern[0]));
	CU_ASSERT_FALSE(name_pattern("host", pattern[0]));
	target.allow_any = true;
	target.from = &net;
	target.from_count = 1;
	CU_ASSERT_TRUE(target_allows(&target, "iqn.2026-11.test:a", &in));
	CU_ASSERT_FALSE(target_allows(&target, "iqn.2026-11.test:a", &out));
	CU_ASSERT_FALSE(target_allows(&target, "iqn.2026-11.test:a", NULL));
	target.allow_any = false; /* both have to fit */
	CU_ASSERT_TRUE(name_pattern("iqn.2026-11.test:a", pattern[0]));
	CU_ASSERT_TRUE(target_allows(&target, "iqn.2026-11.test:a", &in));
	CU_ASSERT_FALSE(target_allows(&target, "iqn.2026-11.test:b", &in));
}

UNIT_MAIN(TEST(a_unit_comes), TEST(a_unit_leaves), TEST(a_unit_returns),
	  TEST(aborts_on_a_unit_that_leaves), TEST(a_unit_is_replaced), TEST(lent_memory),
	  TEST(an_answer_outlives_its_unit), TEST(exports_change),
	  TEST(exports_change_during_a_login), TEST(names_and_addresses));
