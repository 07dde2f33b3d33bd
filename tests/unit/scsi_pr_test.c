// SPDX-License-Identifier: BSD-2-Clause
/* PERSISTENT RESERVE OUT and IN, each service action: who may, what it does, who is told. */
#include "scsi_pr.h"

enum { WE = 1, EA = 3, WE_RO = 5, EA_RO = 6, WE_AR = 7, EA_AR = 8 };
enum {
	REL = UA_RESERVATIONS_RELEASED,
	RES_PRE = UA_RESERVATIONS_PREEMPTED,
	REG_PRE = UA_REGISTRATIONS_PREEMPTED
};
enum { CDB_BAD = SENSE_INVALID_CDB_FIELD, LIST_BAD = SENSE_INVALID_LIST_FIELD };

/* One PERSISTENT RESERVE OUT and what is to come of it. */
struct step {
	uint8_t who, action, type;
	uint64_t key, action_key;
	uint8_t flags;
	uint32_t result; /* sense, CONFLICT or 0 */
	/* The state behind it. */
	uint8_t held; /* type */
	uint64_t holder_key; /* as READ RESERVATION has it */
	uint64_t keys[NEXUSES]; /* registered keys by nexus */
	uint8_t ua[NEXUSES]; /* 0: none */
	uint8_t generation; /* since the beginning of the script */
};

static void check_state(struct pr_world *p, const struct step *s, const char *script, size_t at)
{
	uint8_t *in = malloc(UINT16_MAX);
	uint32_t len, keys = 0, offset = 8;

	for (unsigned int i = 0; i < NEXUSES; i++)
		keys += s->keys[i] != 0;
	if (get_be(in, pr_in(p, 3, PR_READ_KEYS, UINT16_MAX, in) ? 4 : 4) != s->generation)
		printf("# %s, step %zu\n", script, at);
	CU_ASSERT_EQUAL(get_be(in, 4), s->generation);
	CU_ASSERT_EQUAL(get_be(in + 4, 4), 8 * keys);
	len = pr_in(p, 3, PR_READ_RESERVATION, UINT16_MAX, in);
	CU_ASSERT_EQUAL(get_be(in + 4, 4), s->held ? 16 : 0);
	CU_ASSERT_EQUAL(len, s->held ? 24 : 8);
	if (s->held && len == 24) {
		CU_ASSERT_EQUAL(get_be(in + 8, 8), s->holder_key);
		CU_ASSERT_EQUAL(in[21], s->held);
	}
	len = pr_in(p, 3, PR_READ_FULL_STATUS, UINT16_MAX, in);
	CU_ASSERT_EQUAL(get_be(in + 4, 4), len - 8);
	for (uint32_t i = 0; i < keys && offset + 24 <= len; i++) {
		const uint8_t *d = in + offset;
		uint8_t id[300];
		bool found = false;

		for (unsigned int n = 0; n < NEXUSES && !found; n++) {
			uint32_t id_len = put_nexus_id(id, &p->n[n]);

			found = get_be(d + 20, 4) == id_len && !memcmp(d + 24, id, id_len) &&
				get_be(d + 18, 2) == p->n[n].port->relative;
			if (found)
				CU_ASSERT_EQUAL(get_be(d, 8), s->keys[n]);
		}
		CU_ASSERT(found);
		offset += 24 + (uint32_t)get_be(d + 20, 4);
	}
	CU_ASSERT_EQUAL(offset, len);
	free(in);
}

static void play_on(struct pr_world *p, const char *script, const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct step *s = &steps[i];
		uint32_t result =
			pr_out(p, s->who, s->action, s->type, s->key, s->action_key, s->flags);

		if (result != s->result)
			printf("# %s, step %zu: %x\n", script, i, result);
		CU_ASSERT_EQUAL(result, s->result);
		for (unsigned int n = 0; n < NEXUSES; n++) {
			uint32_t ua = pr_attentions(p, n);

			if (ua != (s->ua[n] ? 1u << s->ua[n] : 0))
				printf("# %s, step %zu, nexus %u: attentions %x\n", script, i, n,
				       ua);
			CU_ASSERT_EQUAL(ua, s->ua[n] ? 1u << s->ua[n] : 0);
		}
		check_state(p, s, script, i);
	}
}

static void play(const char *script, const struct step *steps, size_t count)
{
	struct pr_world p;

	pr_create(&p, true);
	play_on(&p, script, steps, count);
	pr_destroy(&p);
}
#define PLAY(steps) play(__func__, steps, array_size(steps))

static void register_needs_the_right_key(void)
{
	static const struct step steps[] = {
		/* Not registered: key 0 is right; with action key 0 nothing happens. */
		{ 0, PR_REGISTER, 0, 0, 0, 0, 0, .generation = 0 },
		{ 0, PR_REGISTER, 0, 5, 1, 0, CONFLICT, .generation = 0 },
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 0, PR_REGISTER, 0, 0, 2, 0, CONFLICT, .keys = { 1 }, .generation = 1 },
		{ 0, PR_REGISTER, 0, 9, 2, 0, CONFLICT, .keys = { 1 }, .generation = 1 },
		{ 0, PR_REGISTER, 0, 9, 0, 0, CONFLICT, .keys = { 1 }, .generation = 1 },
		{ 0, PR_REGISTER, 0, 1, 2, 0, 0, .keys = { 2 }, .generation = 2 },
		/* SCOPE and TYPE do not matter. */
		{ 1, PR_REGISTER, 0xff, 0, 2, 0, 0, .keys = { 2, 2 }, .generation = 3 },
		{ 0, PR_REGISTER, 0, 2, 0, 0, 0, .keys = { 0, 2 }, .generation = 4 },
		{ 1, PR_REGISTER, 0, 2, 0, 0, 0, .generation = 5 },
	};
	PLAY(steps);
}

static void register_and_ignore_asks_for_no_key(void)
{
	static const struct step steps[] = {
		{ 0, PR_REGISTER_AND_IGNORE, 0, 7, 0, 0, 0, .generation = 0 },
		{ 0, PR_REGISTER_AND_IGNORE, 0, 7, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 0, PR_REGISTER_AND_IGNORE, 0, 7, 3, 0, 0, .keys = { 3 }, .generation = 2 },
		{ 0, PR_REGISTER_AND_IGNORE, 0, 7, 0, 0, 0, .generation = 3 },
	};
	PLAY(steps);
}

static void all_ports_at_once(void)
{
	static const struct step steps[] = {
		{ 0, PR_REGISTER, 0, 0, 1, PR_ALL_TG_PT, 0, .keys = { 1, 0, 1 }, .generation = 1 },
		{ 2, PR_REGISTER, 0, 1, 2, 0, 0, .keys = { 1, 0, 2 }, .generation = 2 },
		/* The other port's key is another one. */
		{ 0, PR_REGISTER, 0, 1, 3, PR_ALL_TG_PT, CONFLICT, .keys = { 1, 0, 2 },
		  .generation = 2 },
		{ 0, PR_REGISTER, 0, 1, 2, PR_ALL_TG_PT, 0, .keys = { 2, 0, 2 }, .generation = 3 },
		{ 0, PR_REGISTER_AND_IGNORE, 0, 9, 4, PR_ALL_TG_PT, 0, .keys = { 4, 0, 4 },
		  .generation = 4 },
		{ 1, PR_REGISTER, 0, 0, 4, 0, 0, .keys = { 4, 4, 4 }, .generation = 5 },
		{ 0, PR_REGISTER, 0, 4, 0, PR_ALL_TG_PT, 0, .keys = { 0, 4 }, .generation = 6 },
		/* Others ignore the bit, and APTPL. */
		{ 1, PR_RESERVE, WE, 4, 0, PR_ALL_TG_PT | PR_APTPL, 0, .held = WE, .holder_key = 4,
		  .keys = { 0, 4 }, .generation = 6 },
	};
	PLAY(steps);
}

static void reserve_is_for_registrants(void)
{
	static const struct step steps[] = {
		{ 0, PR_RESERVE, WE, 0, 0, 0, CONFLICT, .generation = 0 },
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, WE, 2, 0, 0, CONFLICT, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, 0x11, 1, 0, 0, CDB_BAD, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, 0, 1, 0, 0, CDB_BAD, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, 2, 1, 0, 0, CDB_BAD, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, 4, 1, 0, 0, CDB_BAD, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, 9, 1, 0, 0, CDB_BAD, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, EA, 1, 77, 0, 0, .held = EA, .holder_key = 1, .keys = { 1, 2 },
		  .generation = 2 },
		/* Again: only as it is, and only by the holder. */
		{ 0, PR_RESERVE, EA, 1, 0, 0, 0, .held = EA, .holder_key = 1, .keys = { 1, 2 },
		  .generation = 2 },
		{ 0, PR_RESERVE, WE, 1, 0, 0, CONFLICT, .held = EA, .holder_key = 1,
		  .keys = { 1, 2 }, .generation = 2 },
		{ 1, PR_RESERVE, EA, 2, 0, 0, CONFLICT, .held = EA, .holder_key = 1,
		  .keys = { 1, 2 }, .generation = 2 },
		/* A new key does not end it. */
		{ 0, PR_REGISTER, 0, 1, 6, 0, 0, .held = EA, .holder_key = 6, .keys = { 6, 2 },
		  .generation = 3 },
		{ 2, PR_RESERVE, EA, 0, 0, 0, CONFLICT, .held = EA, .holder_key = 6,
		  .keys = { 6, 2 }, .generation = 3 },
	};
	PLAY(steps);
}

static void every_registrant_holds(void)
{
	static const struct step steps[] = {
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, WE_AR, 1, 0, 0, 0, .held = WE_AR, .keys = { 1, 2 },
		  .generation = 2 },
		{ 1, PR_RESERVE, WE_AR, 2, 0, 0, 0, .held = WE_AR, .keys = { 1, 2 },
		  .generation = 2 },
		{ 1, PR_RESERVE, EA_AR, 2, 0, 0, CONFLICT, .held = WE_AR, .keys = { 1, 2 },
		  .generation = 2 },
		/* Who asked for it may go. */
		{ 0, PR_REGISTER, 0, 1, 0, 0, 0, .held = WE_AR, .keys = { 0, 2 }, .generation = 3 },
		{ 2, PR_REGISTER, 0, 0, 3, 0, 0, .held = WE_AR, .keys = { 0, 2, 3 },
		  .generation = 4 },
		{ 2, PR_RELEASE, EA_AR, 3, 0, 0, SENSE_BAD_RELEASE, .held = WE_AR,
		  .keys = { 0, 2, 3 }, .generation = 4 },
		{ 2, PR_RELEASE, WE_AR, 3, 0, 0, 0, .keys = { 0, 2, 3 }, .generation = 4,
		  .ua = { 0, REL } },
		{ 1, PR_RESERVE, EA_AR, 2, 0, 0, 0, .held = EA_AR, .keys = { 0, 2, 3 },
		  .generation = 4 },
		{ 1, PR_REGISTER, 0, 2, 0, 0, 0, .held = EA_AR, .keys = { 0, 0, 3 },
		  .generation = 5 },
		/* The last one turns off the light. */
		{ 2, PR_REGISTER, 0, 3, 0, 0, 0, .generation = 6 },
	};
	PLAY(steps);
}

static void release_tells_registrants_of_shared_types(void)
{
	static const struct step steps[] = {
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RELEASE, WE, 1, 0, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 2, PR_RELEASE, WE, 0, 0, 0, CONFLICT, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, WE, 1, 0, 0, 0, .held = WE, .holder_key = 1, .keys = { 1, 2 },
		  .generation = 2 },
		/* By another registrant: GOOD, nothing happens. */
		{ 1, PR_RELEASE, EA, 2, 0, 0, 0, .held = WE, .holder_key = 1, .keys = { 1, 2 },
		  .generation = 2 },
		{ 0, PR_RELEASE, WE, 2, 0, 0, CONFLICT, .held = WE, .holder_key = 1,
		  .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RELEASE, EA, 1, 0, 0, SENSE_BAD_RELEASE, .held = WE, .holder_key = 1,
		  .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RELEASE, 0x21, 1, 0, 0, CDB_BAD, .held = WE, .holder_key = 1,
		  .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RELEASE, WE, 1, 0, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, EA, 1, 0, 0, 0, .held = EA, .holder_key = 1, .keys = { 1, 2 },
		  .generation = 2 },
		{ 0, PR_RELEASE, EA, 1, 0, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, WE_RO, 1, 0, 0, 0, .held = WE_RO, .holder_key = 1,
		  .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RELEASE, WE_RO, 1, 0, 0, 0, .keys = { 1, 2 }, .generation = 2,
		  .ua = { 0, REL } },
		{ 1, PR_RESERVE, EA_RO, 2, 0, 0, 0, .held = EA_RO, .holder_key = 2,
		  .keys = { 1, 2 }, .generation = 2 },
		{ 1, PR_RELEASE, EA_RO, 2, 0, 0, 0, .keys = { 1, 2 }, .generation = 2,
		  .ua = { REL } },
	};
	PLAY(steps);
}

static void a_holder_that_unregisters_releases(void)
{
	static const struct step steps[] = {
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 0, PR_RESERVE, EA, 1, 0, 0, 0, .held = EA, .holder_key = 1, .keys = { 1, 2 },
		  .generation = 2 },
		{ 0, PR_REGISTER, 0, 1, 0, 0, 0, .keys = { 0, 2 }, .generation = 3 },
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1, 2 }, .generation = 4 },
		{ 0, PR_RESERVE, WE_RO, 1, 0, 0, 0, .held = WE_RO, .holder_key = 1,
		  .keys = { 1, 2 }, .generation = 4 },
		/* Not the holder. */
		{ 1, PR_REGISTER_AND_IGNORE, 0, 0, 0, 0, 0, .held = WE_RO, .holder_key = 1,
		  .keys = { 1 }, .generation = 5 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .held = WE_RO, .holder_key = 1, .keys = { 1, 2 },
		  .generation = 6 },
		{ 0, PR_REGISTER, 0, 1, 0, 0, 0, .keys = { 0, 2 }, .generation = 7,
		  .ua = { 0, REL } },
	};
	PLAY(steps);
}

static void clear_takes_everything(void)
{
	static const struct step steps[] = {
		{ 0, PR_CLEAR, 0, 0, 0, 0, CONFLICT, .generation = 0 },
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 3, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2, 0, 2 }, .generation = 3 },
		{ 0, PR_RESERVE, EA, 1, 0, 0, 0, .held = EA, .holder_key = 1,
		  .keys = { 1, 2, 0, 2 }, .generation = 3 },
		{ 1, PR_CLEAR, 0xff, 1, 0, 0, CONFLICT, .held = EA, .holder_key = 1,
		  .keys = { 1, 2, 0, 2 }, .generation = 3 },
		{ 1, PR_CLEAR, 0xff, 2, 0, 0, 0, .generation = 4,
		  .ua = { RES_PRE, 0, 0, RES_PRE } },
	};
	PLAY(steps);
}

static void preempt_takes_the_reservation(void)
{
	static const struct step steps[] = {
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 2, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1, 2, 1 }, .generation = 3 },
		{ 3, PR_REGISTER, 0, 0, 4, 0, 0, .keys = { 1, 2, 1, 4 }, .generation = 4 },
		{ 0, PR_RESERVE, WE, 1, 0, 0, 0, .held = WE, .holder_key = 1,
		  .keys = { 1, 2, 1, 4 }, .generation = 4 },
		{ 1, PR_PREEMPT, EA, 1, 1, 0, CONFLICT, .held = WE, .holder_key = 1,
		  .keys = { 1, 2, 1, 4 }, .generation = 4 },
		{ 1, PR_PREEMPT, EA, 2, 9, 0, CONFLICT, .held = WE, .holder_key = 1,
		  .keys = { 1, 2, 1, 4 }, .generation = 4 },
		{ 1, PR_PREEMPT, EA, 2, 0, 0, LIST_BAD, .held = WE, .holder_key = 1,
		  .keys = { 1, 2, 1, 4 }, .generation = 4 },
		{ 1, PR_PREEMPT, 2, 2, 1, 0, CDB_BAD, .held = WE, .holder_key = 1,
		  .keys = { 1, 2, 1, 4 }, .generation = 4 },
		{ 1, PR_PREEMPT, 0x31, 2, 1, 0, CDB_BAD, .held = WE, .holder_key = 1,
		  .keys = { 1, 2, 1, 4 }, .generation = 4 },
		/* All with the holder's key go; who stays hears of the new type. */
		{ 1, PR_PREEMPT, EA_RO, 2, 1, 0, 0, .held = EA_RO, .holder_key = 2,
		  .keys = { 0, 2, 0, 4 }, .generation = 5, .ua = { REG_PRE, 0, REG_PRE, REL } },
		/* The same type: who stays hears nothing. */
		{ 3, PR_PREEMPT, EA_RO, 4, 2, 0, 0, .held = EA_RO, .holder_key = 4,
		  .keys = { 0, 0, 0, 4 }, .generation = 6, .ua = { 0, REG_PRE } },
		/* Its own: the type changes, the registration stays. */
		{ 3, PR_PREEMPT, WE, 4, 4, 0, 0, .held = WE, .holder_key = 4,
		  .keys = { 0, 0, 0, 4 }, .generation = 7 },
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .held = WE, .holder_key = 4,
		  .keys = { 1, 0, 0, 4 }, .generation = 8 },
		{ 0, PR_PREEMPT, WE_AR, 1, 4, 0, 0, .held = WE_AR, .keys = { 1 }, .generation = 9,
		  .ua = { 0, 0, 0, REG_PRE } },
	};
	PLAY(steps);
}

static void preempt_takes_registrations(void)
{
	static const struct step steps[] = {
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 2, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2, 2 }, .generation = 3 },
		{ 3, PR_REGISTER, 0, 0, 4, 0, 0, .keys = { 1, 2, 2, 4 }, .generation = 4 },
		/* Nobody holds a reservation: TYPE does not matter, key 0 is nobody's. */
		{ 3, PR_PREEMPT, 0, 4, 0, 0, LIST_BAD, .keys = { 1, 2, 2, 4 }, .generation = 4 },
		{ 3, PR_PREEMPT, 0x22, 4, 1, 0, 0, .keys = { 0, 2, 2, 4 }, .generation = 5,
		  .ua = { REG_PRE } },
		/* Its own key: it goes too, and needs no telling. */
		{ 1, PR_PREEMPT, 0, 2, 2, 0, 0, .keys = { 0, 0, 0, 4 }, .generation = 6,
		  .ua = { 0, 0, REG_PRE } },
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1, 0, 0, 4 }, .generation = 7 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2, 0, 4 }, .generation = 8 },
		{ 0, PR_RESERVE, WE, 1, 0, 0, 0, .held = WE, .holder_key = 1,
		  .keys = { 1, 2, 0, 4 }, .generation = 8 },
		/* Another one's than the holder's: the reservation stays. */
		{ 3, PR_PREEMPT, EA, 4, 2, 0, 0, .held = WE, .holder_key = 1,
		  .keys = { 1, 0, 0, 4 }, .generation = 9, .ua = { 0, REG_PRE } },
		{ 0, PR_PREEMPT, EA, 1, 4, 0, 0, .held = WE, .holder_key = 1, .keys = { 1 },
		  .generation = 10, .ua = { 0, 0, 0, REG_PRE } },
	};
	PLAY(steps);
}

static void preempt_of_all_registrants(void)
{
	static const struct step steps[] = {
		{ 0, PR_REGISTER, 0, 0, 1, 0, 0, .keys = { 1 }, .generation = 1 },
		{ 1, PR_REGISTER, 0, 0, 2, 0, 0, .keys = { 1, 2 }, .generation = 2 },
		{ 2, PR_REGISTER, 0, 0, 3, 0, 0, .keys = { 1, 2, 3 }, .generation = 3 },
		{ 0, PR_RESERVE, EA_AR, 1, 0, 0, 0, .held = EA_AR, .keys = { 1, 2, 3 },
		  .generation = 3 },
		/* One key: registrations. */
		{ 0, PR_PREEMPT, WE, 1, 3, 0, 0, .held = EA_AR, .keys = { 1, 2 }, .generation = 4,
		  .ua = { 0, 0, REG_PRE } },
		{ 0, PR_PREEMPT, WE, 1, 3, 0, CONFLICT, .held = EA_AR, .keys = { 1, 2 },
		  .generation = 4 },
		/* Key 0: everybody else, and the reservation. */
		{ 1, PR_PREEMPT, 0, 2, 0, 0, CDB_BAD, .held = EA_AR, .keys = { 1, 2 },
		  .generation = 4 },
		{ 1, PR_PREEMPT, WE, 2, 0, 0, 0, .held = WE, .holder_key = 2, .keys = { 0, 2 },
		  .generation = 5, .ua = { REG_PRE } },
		{ 1, PR_PREEMPT, EA_AR, 2, 2, 0, 0, .held = EA_AR, .keys = { 0, 2 },
		  .generation = 6 },
		/* The last registrant takes itself away. */
		{ 1, PR_PREEMPT, WE, 2, 2, 0, 0, .generation = 7 },
	};
	PLAY(steps);
}

static void register_with_transport_ids(void)
{
	uint8_t ids[600];
	uint32_t len;
	struct pr_world p;

	pr_create(&p, true);
	/* Itself, the other initiator with all ports, by name. */
	len = put_nexus_id(ids, &p.n[0]);
	len += put_nexus_id(ids + len, &p.n[1]);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 2, 0, 1, 0, ids, len), 0);
	/* Through port 2: nexus 2 itself (which is a), and b there (nexus 3). */
	check_state(&p, &(struct step){ .keys = { 0, 0, 1, 1 }, .generation = 1 }, __func__, 0);
	/* Who is registered cannot add others. */
	CU_ASSERT_EQUAL(pr_register_ids(&p, 2, 1, 2, 0, ids, len), CDB_BAD);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 2, 1, 0, 0, ids, len), CDB_BAD);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 2, 9, 0, 0, ids, len), CONFLICT);
	pr_restart(&p);

	/* A registered one of the list keeps its key. */
	CU_ASSERT_EQUAL(pr_out(&p, 1, PR_REGISTER, 0, 0, 7, 0), 0);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 0, 0, 1, PR_ALL_TG_PT, ids, len), 0);
	check_state(&p, &(struct step){ .keys = { 1, 7, 1, 1 }, .generation = 2 }, __func__, 1);
	pr_restart(&p);

	/* A device: all ports that are known. Upper case from a tool. */
	len = put_id(ids, "IQN.2026-11.TEST:b", NULL);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 0, 0, 1, 0, ids, len), 0);
	check_state(&p, &(struct step){ .keys = { 1, 1 }, .generation = 1 }, __func__, 2);
	pr_restart(&p);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 0, 0, 1, PR_ALL_TG_PT, ids, 0), 0);
	check_state(&p, &(struct step){ .keys = { 1, 0, 1 }, .generation = 1 }, __func__, 3);
	pr_restart(&p);
	/* Nobody knows it: nothing could be registered, so nothing is. */
	len = put_id(ids, "iqn.2026-11.test:z", NULL);
	CU_ASSERT_EQUAL(pr_register_ids(&p, 0, 0, 1, 0, ids, len), LIST_BAD);
	check_state(&p, &(struct step){ 0 }, __func__, 4);
	pr_destroy(&p);
}

static void a_bad_transport_id_registers_nobody(void)
{
	static const struct {
		uint8_t head[4];
		const char *text;
		uint32_t len; /* given bytes; 0: those of the header and its additional length */
	} rows[] = {
		{ { 0x45, 0, 0, 20 }, "a,i,0x1", 0 }, /* this one is right */
		{ { 0x40, 0, 0, 20 }, "a,i,0x1", 0 }, /* Fibre Channel */
		{ { 0x46, 0, 0, 20 }, "a,i,0x1", 0 }, /* SAS */
		{ { 0x4f, 0, 0, 20 }, "a,i,0x1", 0 },
		{ { 0x85, 0, 0, 20 }, "a,i,0x1", 0 }, /* format 10b */
		{ { 0x55, 0, 0, 20 }, "a,i,0x1", 0 },
		{ { 0x45, 0, 0, 16 }, "a,i,0x1", 0 },
		{ { 0x45, 0, 0, 22 }, "a,i,0x1", 0 },
		{ { 0x45, 0, 0, 23 }, "a,i,0x1", 0 },
		{ { 0x45, 0, 0, 24 }, "a,i,0x1", 24 }, /* longer than what is there */
		{ { 0x45, 0, 0xff, 0xfc }, "a,i,0x1", 24 },
		{ { 0x45, 0, 0, 20 }, "a,i,0x1", 20 },
		{ { 0x45, 0, 0, 20 }, "a,i,0x1", 3 },
		{ { 0x45, 0, 0, 20 }, "aaaaaaaaaaaaa,i,0x123", 0 }, /* no NUL */
		{ { 0x45, 0, 0, 20 }, "a", 0 },
		{ { 0x45, 0, 0, 20 }, "a,i,0x", 0 },
		{ { 0x45, 0, 0, 20 }, ",i,0x1", 0 },
		{ { 0x45, 0, 0, 20 }, "a,i,0xg", 0 },
		{ { 0x45, 0, 0, 20 }, "a,i,1", 0 },
		{ { 0x45, 0, 0, 20 }, "a,t,0x1", 0 },
		{ { 0x45, 0, 0, 24 }, "a,i,0x1234567890123", 0 },
		{ { 0x45, 0, 0, 20 }, "a b,i,0x1", 0 },
		{ { 0x45, 0, 0, 20 }, "", 0 },
		{ { 0x05, 0, 0, 20 }, "", 0 },
		{ { 0x05, 0, 0, 20 }, "a,i,0x1", 0 },
	};
	struct pr_world p;

	pr_create(&p, true);
	for (size_t i = 0; i < array_size(rows); i++) {
		uint32_t size = rows[i].len ? rows[i].len : 4u + rows[i].head[3];
		uint8_t *id = calloc(1, size);
		struct pr_initiator parsed;
		size_t text = strlen(rows[i].text);

		memcpy(id, rows[i].head, size < 4 ? size : 4);
		if (size > 4)
			memcpy(id + 4, rows[i].text, text < size - 4 ? text : size - 4);
		CU_ASSERT_EQUAL(transport_id_parse(id, size, &parsed), i ? 0 : size);
		CU_ASSERT_EQUAL(pr_register_ids(&p, 1, 0, 1, 0, id, size), i ? LIST_BAD : 0);
		if (!i)
			CU_ASSERT_EQUAL(pr_out(&p, 1, PR_CLEAR, 0, 1, 0, 0), 0);
		check_state(&p, &(struct step){ .generation = 2 }, __func__, i);
		free(id);
	}
	pr_destroy(&p);
}

static void the_longest_name_goes_both_ways(void)
{
	struct pr_registration r = { .isid = { 0xab, 0xcd, 0xef, 1, 2, 3 }, .port = 1, .key = 1 };
	struct pr_initiator id;
	uint8_t *out = malloc(TRANSPORT_ID_MAX);

	for (unsigned int len = 1; len <= 223; len++) {
		uint32_t size;
		uint8_t *exact;

		memset(r.name, 'n', len);
		size = transport_id_write(out, &r);
		CU_ASSERT_FATAL(size <= TRANSPORT_ID_MAX && size >= 24 && size % 4 == 0);
		exact = malloc(size);
		memcpy(exact, out, size);
		CU_ASSERT_EQUAL(transport_id_parse(exact, size, &id), size);
		CU_ASSERT_STRING_EQUAL(id.name, r.name);
		CU_ASSERT(!memcmp(id.isid, r.isid, 6) && !id.device);
		free(exact);
	}
	free(out);
}

UNIT_MAIN(TEST(register_needs_the_right_key), TEST(register_and_ignore_asks_for_no_key),
	  TEST(all_ports_at_once), TEST(reserve_is_for_registrants), TEST(every_registrant_holds),
	  TEST(release_tells_registrants_of_shared_types), TEST(a_holder_that_unregisters_releases),
	  TEST(clear_takes_everything), TEST(preempt_takes_the_reservation),
	  TEST(preempt_takes_registrations), TEST(preempt_of_all_registrants),
	  TEST(register_with_transport_ids), TEST(a_bad_transport_id_registers_nobody),
	  TEST(the_longest_name_goes_both_ways));
