// SPDX-License-Identifier: BSD-2-Clause
/* Too many connections without a login: who goes, and when. */
#include "target_rig.h"
#include "tests/lib/unit.h"

enum { LIMIT = 3, MANY = 16, GRACE_MS = 100 };

struct crowd {
	struct rig rig;
	struct memory_peer *peer[MANY];
	unsigned int count;
};

static void begin(struct crowd *c)
{
	struct server_limits limits = server_default_limits;

	memset(c, 0, sizeof(*c));
	limits.max_unauthenticated = LIMIT;
	CU_ASSERT_FATAL(rig_up(&c->rig, "ram:1M", &limits));
}

static void come(struct crowd *c, unsigned int count)
{
	while (count--) {
		c->peer[c->count] = memory_connect(c->rig.r, &session_conn_up, c->rig.server);
		CU_ASSERT_PTR_NOT_NULL_FATAL(c->peer[c->count]);
		c->count++;
	}
	rig_turn(&c->rig);
}

static bool there(const struct crowd *c, unsigned int i)
{
	return memory_conn(c->peer[i]);
}

static unsigned int left(const struct crowd *c)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->count; i++)
		n += there(c, i);
	return n;
}

static void end(struct crowd *c)
{
	for (unsigned int i = 0; i < c->count; i++) {
		if (there(c, i))
			memory_disconnect(c->peer[i]);
	}
	rig_turn(&c->rig);
	for (unsigned int i = 0; i < c->count; i++)
		memory_free(c->peer[i]);
	/* Nothing is left to be timed either. */
	reactor_advance(c->rig.r, NSEC_PER_SEC);
	rig_down(&c->rig);
}

static void pass_ms(struct crowd *c, uint64_t ms)
{
	reactor_advance(c->rig.r, ms * NSEC_PER_MSEC);
}

/* A Login Request, not the last; answered. */
static void step(struct initiator *in, bool first)
{
	static const char keys[] =
		"InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal";
	union pdu_header h = { 0 };
	struct memory_record *rec;

	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = STAGE_OPERATIONAL << 2;
	h.login_request.isid.b[0] = 0x80;
	h.login_request.itt = be32_of(7);
	h.login_request.cmdsn = be32_of(1);
	rig_send(in, &h, keys, first ? sizeof(keys) : 0);
	rec = rig_receive(in);
	CU_ASSERT(rec && be16_get(rec->h.login_response.status) == LOGIN_SUCCESS);
	free(rec);
}

static void the_quietest_one_goes_after_a_while(void)
{
	struct crowd c;

	begin(&c);
	come(&c, LIMIT + 1);
	pass_ms(&c, GRACE_MS - 1);
	CU_ASSERT_EQUAL(left(&c), LIMIT + 1);
	pass_ms(&c, 1);
	CU_ASSERT_EQUAL(left(&c), LIMIT);
	CU_ASSERT(!there(&c, 0));
	/* The others may stay: there are not too many. */
	pass_ms(&c, 1000);
	CU_ASSERT_EQUAL(left(&c), LIMIT);
	end(&c);
}

/* All of them come before its Login Request is looked at. */
static void a_burst_costs_nobody_his_login(void)
{
	struct initiator in;
	struct crowd c;

	begin(&c);
	come(&c, 4 * LIMIT);
	CU_ASSERT_FATAL(there(&c, 0));
	in = (struct initiator){ .rig = &c.rig, .r = c.rig.r, .peer = c.peer[0] };
	step(&in, true);
	pass_ms(&c, GRACE_MS);
	CU_ASSERT(there(&c, 0));
	CU_ASSERT_EQUAL(left(&c), LIMIT);
	end(&c);
}

/* The oldest connection goes on with its login, the others say nothing. */
static void whoever_goes_on_may_stay(void)
{
	struct initiator in;
	struct crowd c;

	begin(&c);
	come(&c, 1);
	in = (struct initiator){ .rig = &c.rig, .r = c.rig.r, .peer = c.peer[0] };
	step(&in, true);
	come(&c, LIMIT);
	for (int i = 0; i < 10; i++) {
		pass_ms(&c, GRACE_MS - 10);
		step(&in, false);
	}
	CU_ASSERT(there(&c, 0));
	CU_ASSERT(!there(&c, 1));
	CU_ASSERT_EQUAL(left(&c), LIMIT);
	end(&c);
}

static void a_login_that_stops_half_way_goes_like_any_other(void)
{
	struct initiator in;
	struct crowd c;

	begin(&c);
	come(&c, 1);
	in = (struct initiator){ .rig = &c.rig, .r = c.rig.r, .peer = c.peer[0] };
	step(&in, true);
	pass_ms(&c, 1000);
	come(&c, LIMIT);
	/* It has had its time. */
	CU_ASSERT(!there(&c, 0));
	CU_ASSERT_EQUAL(left(&c), LIMIT);
	end(&c);
}

static void far_too_many_have_no_time_at_all(void)
{
	struct crowd c;

	begin(&c);
	come(&c, 4 * LIMIT);
	CU_ASSERT_EQUAL(left(&c), 4 * LIMIT);
	come(&c, 1);
	CU_ASSERT_EQUAL(left(&c), 4 * LIMIT);
	CU_ASSERT(!there(&c, 0));
	end(&c);
}

UNIT_MAIN(TEST(the_quietest_one_goes_after_a_while), TEST(a_burst_costs_nobody_his_login),
	  TEST(whoever_goes_on_may_stay), TEST(a_login_that_stops_half_way_goes_like_any_other),
	  TEST(far_too_many_have_no_time_at_all));
