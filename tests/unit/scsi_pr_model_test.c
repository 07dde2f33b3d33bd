// SPDX-License-Identifier: BSD-2-Clause
/*
 * Random sequences of PERSISTENT RESERVE OUT from four nexuses, with restarts in between, against a
 * model of SPC-5 5.14 that is as small as it can be: a key per nexus, one holder, one type. After
 * every command status, PRGENERATION, registrations, reservation, unit attentions and what is denied
 * to whom must be the model's.
 */
#include "scsi_pr.h"

enum { ROUNDS = 40, STEPS = 400, NOBODY = -1 };

static struct model {
	uint64_t key[NEXUSES]; /* 0: not registered */
	int holder;
	unsigned int type;
	uint32_t generation;
	bool aptpl;
	uint32_t ua[NEXUSES];
	/* What a restart brings back. */
	uint64_t stored_key[NEXUSES];
	int stored_holder;
	unsigned int stored_type;
} m;

static uint64_t seed;

static unsigned int roll(unsigned int sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)(seed >> 33) % sides;
}

/* --- the model */

static bool everybody(void)
{
	return m.type == 7 || m.type == 8;
}

static bool shared(void)
{
	return m.type >= 5;
}

static bool holds(int who)
{
	return m.type && (everybody() ? m.key[who] != 0 : m.holder == who);
}

static void tell(int except, unsigned int ua)
{
	for (int i = 0; i < NEXUSES; i++) {
		if (i != except && m.key[i])
			m.ua[i] |= 1u << ua;
	}
}

static unsigned int registered(void)
{
	unsigned int n = 0;

	for (int i = 0; i < NEXUSES; i++)
		n += m.key[i] != 0;
	return n;
}

/* who has lost its registration at the hands of `by`. */
static void without_holder(int by)
{
	if (!m.type || (everybody() ? registered() > 0 : m.key[m.holder] != 0))
		return;
	if (shared())
		tell(by, UA_RESERVATIONS_RELEASED);
	m.type = 0;
	m.holder = NOBODY;
}

static int other_port(int who)
{
	return who ^ 2;
}

static uint32_t model_register(int who, bool ignore, uint64_t key, uint64_t new, uint8_t flags)
{
	int twin = flags & PR_ALL_TG_PT ? other_port(who) : who;

	if (!ignore && m.key[who] != key)
		return CONFLICT;
	if (!m.key[who] && !new)
		return 0;
	if (!new) {
		if (twin != who && (ignore || m.key[twin] == key))
			m.key[twin] = 0;
		m.key[who] = 0;
		without_holder(who);
	} else {
		if (twin != who && !ignore && m.key[twin] && m.key[twin] != key &&
		    m.key[twin] != new)
			return CONFLICT;
		m.key[who] = m.key[twin] = new;
	}
	m.generation++;
	m.aptpl = flags & PR_APTPL;
	return 0;
}

static uint32_t model_reserve(int who, unsigned int type)
{
	if (m.type)
		return holds(who) && m.type == type ? 0 : CONFLICT;
	m.type = type;
	m.holder = everybody() ? NOBODY : who;
	return 0;
}

static uint32_t model_release(int who, unsigned int type)
{
	if (!holds(who))
		return 0;
	if (m.type != type)
		return SENSE_BAD_RELEASE;
	if (shared())
		tell(who, UA_RESERVATIONS_RELEASED);
	m.type = 0;
	m.holder = NOBODY;
	return 0;
}

static uint32_t model_clear(int who)
{
	tell(who, UA_RESERVATIONS_PREEMPTED);
	memset(m.key, 0, sizeof(m.key));
	m.type = 0;
	m.holder = NOBODY;
	m.generation++;
	return 0;
}

static uint32_t model_preempt(int who, unsigned int type, uint64_t victim)
{
	bool takes = m.type && (everybody() ? !victim : m.key[m.holder] == victim);
	unsigned int gone = 0;

	if (!victim && !takes)
		return SENSE_INVALID_LIST_FIELD;
	for (int i = 0; i < NEXUSES; i++) {
		if (!m.key[i] || (victim && m.key[i] != victim) || (takes && i == who))
			continue;
		if (i != who)
			m.ua[i] |= 1u << UA_REGISTRATIONS_PREEMPTED;
		m.key[i] = 0;
		gone++;
	}
	if (!takes) {
		if (!gone)
			return CONFLICT;
		without_holder(who);
	} else {
		if (m.type != type)
			tell(who, UA_RESERVATIONS_RELEASED);
		m.type = type;
		m.holder = everybody() ? NOBODY : who;
	}
	m.generation++;
	return 0;
}

static uint32_t model_move(int who, uint64_t key, uint64_t new, uint8_t flags, int to)
{
	if (!m.key[who] || m.key[who] != key)
		return CONFLICT;
	if (!m.type)
		return SENSE_INVALID_CDB_FIELD;
	if (m.holder != who)
		return CONFLICT;
	if (!new || to == who)
		return SENSE_INVALID_LIST_FIELD;
	m.key[to] = new;
	m.holder = to;
	if (flags & PR_MOVE_UNREG)
		m.key[who] = 0;
	m.aptpl = flags & PR_MOVE_APTPL;
	m.generation++;
	return 0;
}

static uint32_t model_register_ids(int who, uint64_t key, uint64_t new, uint8_t flags,
				   unsigned int initiators)
{
	if (m.key[who] != key)
		return CONFLICT;
	if (m.key[who])
		return SENSE_INVALID_CDB_FIELD;
	if (!new)
		return 0;
	if (flags & PR_ALL_TG_PT && m.key[other_port(who)] && m.key[other_port(who)] != new)
		return CONFLICT;
	m.key[who] = new;
	for (int i = 0; i < NEXUSES; i++) {
		bool named = (initiators >> (i & 1) & 1) || (i & 1) == (who & 1);

		if (named && !m.key[i] && (flags & PR_ALL_TG_PT || i >> 1 == who >> 1))
			m.key[i] = new;
	}
	m.generation++;
	m.aptpl = flags & PR_APTPL;
	return 0;
}

static void model_store(void)
{
	memset(m.stored_key, 0, sizeof(m.stored_key));
	m.stored_type = 0;
	m.stored_holder = NOBODY;
	if (!m.aptpl)
		return;
	memcpy(m.stored_key, m.key, sizeof(m.key));
	m.stored_type = m.type;
	m.stored_holder = m.holder;
}

static void model_restart(void)
{
	memcpy(m.key, m.stored_key, sizeof(m.key));
	m.type = m.stored_type;
	m.holder = m.stored_holder;
	m.generation = 0;
	m.aptpl = registered() > 0;
	memset(m.ua, 0, sizeof(m.ua));
}

static uint8_t model_denies(int who)
{
	bool writes = m.type && !(shared() ? m.key[who] != 0 : holds(who));
	bool reads = writes && (m.type == 3 || m.type == 6 || m.type == 8);

	return (uint8_t)((registered() ? 1 << RSV_LEGACY : 0) | (writes ? 1 << RSV_WRITE : 0) |
			 (reads ? 1 << RSV_READ : 0));
}

/* --- one step of both */

static const uint8_t types[] = { 1, 3, 5, 6, 7, 8 };

/* Mostly what may succeed. */
static uint64_t some_key(int who)
{
	unsigned int n = roll(8);

	return n < 5 ? m.key[who] : n < 7 ? roll(4) : m.key[roll(NEXUSES)];
}

static uint32_t step_ids(struct pr_world *p, int who, uint64_t key, uint64_t new, uint8_t flags,
			 uint32_t *expected)
{
	unsigned int initiators = roll(4), len = 0;
	uint8_t ids[256];

	for (int i = 0; i < 2; i++) {
		if (!(initiators >> i & 1))
			continue;
		len += roll(2) ? put_nexus_id(ids + len, &p->n[i])
			       : put_id(ids + len, p->n[i].initiator_name, NULL);
	}
	*expected = model_register_ids(who, key, new, flags, initiators);
	return pr_register_ids(p, (unsigned int)who, key, new, flags, ids, len);
}

static uint32_t step_move(struct pr_world *p, int who, uint64_t key, uint64_t new,
			  uint32_t *expected)
{
	uint8_t flags = (uint8_t)roll(4), id[64];
	int to = (int)roll(NEXUSES);
	uint32_t len = put_nexus_id(id, &p->n[to]);

	*expected = model_move(who, key, new, flags, to);
	return pr_move(p, (unsigned int)who, key, new, flags, p->n[to].port->relative, id, len);
}

static uint32_t expect(int who, uint8_t action, unsigned int type, uint64_t key, uint64_t new,
		       uint8_t flags)
{
	if (action == PR_REGISTER || action == PR_REGISTER_AND_IGNORE)
		return model_register(who, action == PR_REGISTER_AND_IGNORE, key, new, flags);
	if (!m.key[who] || m.key[who] != key)
		return CONFLICT;
	switch (action) {
	case PR_RESERVE: return model_reserve(who, type);
	case PR_RELEASE: return model_release(who, type);
	case PR_CLEAR: return model_clear(who);
	}
	return model_preempt(who, type, new);
}

static void check(struct pr_world *p)
{
	uint8_t *in = malloc(4096);
	uint32_t len = pr_in(p, 0, PR_READ_FULL_STATUS, 4096, in), at = 8, seen = 0;

	CU_ASSERT_EQUAL(get_be(in, 4), m.generation);
	for (; at < len; seen++) {
		int who = (in[at + 19] - 1) * 2 + (in[at + 24 + 21] == 'b');

		CU_ASSERT_FATAL(who >= 0 && who < NEXUSES);
		CU_ASSERT_EQUAL(get_be(in + at, 8), m.key[who]);
		CU_ASSERT_EQUAL(in[at + 12] & PR_STATUS_HOLDER, holds(who));
		CU_ASSERT_EQUAL(in[at + 13], holds(who) ? m.type : 0);
		at += 24 + (uint32_t)get_be(in + at + 20, 4);
	}
	CU_ASSERT_EQUAL(seen, registered());
	len = pr_in(p, 0, PR_READ_RESERVATION, 4096, in);
	CU_ASSERT_EQUAL(len, m.type ? 24 : 8);
	if (m.type && len == 24) {
		CU_ASSERT_EQUAL(in[21], m.type);
		CU_ASSERT_EQUAL(get_be(in + 8, 8), everybody() ? 0 : m.key[m.holder]);
	}
	free(in);
	for (int i = 0; i < NEXUSES; i++)
		CU_ASSERT_EQUAL(atomic_load(&p->n[i].denied[0]), model_denies(i));
}

static void step(struct pr_world *p)
{
	static const uint8_t actions[] = { 0, 0, 0, 1, 1, 1, 2, 3, 4, 4, 4, 5, 6, 6, 7, 7, 8, 8 };
	int who = (int)roll(NEXUSES);
	uint8_t action = actions[roll(array_size(actions))];
	uint8_t type = m.type && roll(2) ? (uint8_t)m.type : types[roll(array_size(types))];
	uint64_t key = some_key(who), new = roll(3) ? roll(4) : m.key[roll(NEXUSES)];
	uint8_t flags = (uint8_t)((roll(2) ? PR_APTPL : 0) | (roll(3) ? 0 : PR_ALL_TG_PT));
	uint32_t expected, result;

	if (action == 8) {
		result = step_ids(p, who, key, new, flags, &expected);
	} else if (action == PR_REGISTER_AND_MOVE) {
		result = step_move(p, who, key, new, &expected);
	} else {
		expected = expect(who, action, type, key, new, flags);
		result = pr_out(p, (unsigned int)who, action, type, key, new, flags);
	}
	CU_ASSERT_EQUAL_FATAL(result, expected);
	model_store();
	/* Commands of a nexus that has unit attentions would report them: taken here. */
	for (unsigned int i = 0; i < NEXUSES; i++) {
		CU_ASSERT_EQUAL_FATAL(pr_attentions(p, i), m.ua[i]);
		m.ua[i] = 0;
	}
	if (!roll(20)) {
		pr_restart(p);
		model_restart();
	}
	check(p);
}

static void random_sequences(void)
{
	for (unsigned int round = 1; round <= ROUNDS; round++) {
		struct pr_world p;
		uint64_t began = seed = round * 0x9e3779b97f4a7c15;
		unsigned int failures = CU_get_number_of_failures();

		memset(&m, 0, sizeof(m));
		m.holder = m.stored_holder = NOBODY;
		pr_create(&p, true);
		for (unsigned int i = 0; i < STEPS; i++) {
			step(&p);
			if (CU_get_number_of_failures() != failures) {
				printf("# round %u, step %u, seed %llx\n", round, i,
				       (unsigned long long)began);
				break;
			}
		}
		pr_destroy(&p);
	}
}

UNIT_MAIN(TEST(random_sequences));
