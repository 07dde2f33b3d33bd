// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connections come and go by chance while commands run, on two reactors and at each error recovery
 * level. Whatever happens, a command that a living connection has sent is answered there once, and
 * in the end nothing is left. The seed is printed; RISER_SEED repeats a run.
 */
#include <stdio.h>

#include "session_connections_rig.h"

enum { STEPS = 400, ROUNDS = 12, TASKS = 16 };

/* What an initiator remembers of one connection. */
struct sent {
	uint32_t itt[TASKS], ttt[TASKS];
	bool data[TASKS]; /* its R2T is here, its data is not there yet */
	unsigned int count;
};

struct chaos {
	struct world w;
	struct sent sent[LINKS];
	uint64_t seed;
	uint16_t next_cid;
	uint16_t cid[LINKS];
	unsigned int level, joins;
	unsigned int logins, commands, losses;
};

static uint32_t below(struct chaos *c, uint32_t n)
{
	c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(c->seed >> 33) % n;
}

static void forget(struct sent *sent, unsigned int i)
{
	sent->count--;
	sent->itt[i] = sent->itt[sent->count];
	sent->ttt[i] = sent->ttt[sent->count];
	sent->data[i] = sent->data[sent->count];
}

static bool was_sent(const struct sent *sent, uint32_t itt, unsigned int *i)
{
	for (*i = 0; *i < sent->count; ++*i) {
		if (sent->itt[*i] == itt)
			return true;
	}
	return false;
}

/* Every answer is to something that this connection has asked for, and comes once. */
static void hear(struct chaos *c, int link)
{
	struct initiator *in = &c->w.link[link];
	struct sent *sent = &c->sent[link];
	struct memory_record *rec;
	unsigned int i;

	if (!in->peer)
		return;
	while ((rec = rig_receive(in))) {
		if (rec->kind == MEMORY_R2T) {
			CU_ASSERT_FATAL(was_sent(sent, be32_get(rec->h.bhs.itt), &i));
			sent->ttt[i] = be32_get(rec->h.r2t.ttt);
			sent->data[i] = true;
		} else if (pdu_opcode(&rec->h.bhs) == OP_SCSI_RESPONSE) {
			CU_ASSERT_FATAL(was_sent(sent, be32_get(rec->h.bhs.itt), &i));
			CU_ASSERT(rec->h.scsi_response.status == SAM_GOOD ||
				  rec->h.scsi_response.status == SAM_CHECK_CONDITION);
			forget(sent, i);
		} else {
			CU_ASSERT(pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE ||
				  pdu_opcode(&rec->h.bhs) == OP_LOGOUT_RESPONSE ||
				  pdu_opcode(&rec->h.bhs) == OP_NOP_IN);
		}
		free(rec);
	}
}

static void drop(struct chaos *c, int link)
{
	hear(c, link);
	leave(&c->w, link);
	c->sent[link].count = 0;
}

static void lead(struct chaos *c)
{
	static const char *const keys[] = { FOUR, LEVEL_1, LEVEL_2 };
	static const size_t len[] = { sizeof(FOUR) - 1, sizeof(LEVEL_1) - 1, sizeof(LEVEL_2) - 1 };
	struct world *w = &c->w;

	for (int i = 0; i < LINKS; i++)
		drop(c, i);
	rig_knock(&w->rig, &w->link[0], ISID, w->rig.reactors[below(c, 2)], keys[c->level],
		  len[c->level]);
	pass(w, 1); /* the last writes of the session before it */
	CU_ASSERT_TRUE_FATAL(rig_let_in(&w->link[0]));
	w->cmdsn = w->rig.first_cmdsn;
	c->cid[0] = 0;
	c->logins++;
}

/* With a CID of its own, or with that of somebody who may be there. */
static void add(struct chaos *c, int link)
{
	uint16_t cid = below(c, 3) ? c->next_cid++ : c->cid[below(c, LINKS)];

	drop(c, link);
	knock(&c->w, link, cid, c->w.rig.reactors[below(c, 2)]);
	c->w.link[link].itt = ++c->joins * 1000;
	c->cid[link] = cid;
	rig_turn(&c->w.rig);
	c->logins += is_up(&c->w, link);
}

static void send_command(struct chaos *c, int link)
{
	struct sent *sent = &c->sent[link];
	bool writes = below(c, 2);

	if (sent->count == TASKS || !sn_le(c->w.cmdsn, session_in(&c->w)->maxcmdsn))
		return;
	sent->data[sent->count] = false;
	sent->itt[sent->count++] = writes ? command(&c->w, link, write_1, CMD_FINAL | CMD_WRITE,
						    512, below(c, 2) ? 512 : 0)
					  : command(&c->w, link, tur, CMD_FINAL, 0, 0);
	c->commands++;
}

static void send_data(struct chaos *c, int link)
{
	struct sent *sent = &c->sent[link];

	for (unsigned int i = 0; i < sent->count; i++) {
		if (!sent->data[i])
			continue;
		sent->data[i] = false;
		CU_ASSERT_TRUE(rig_data_out(&c->w.link[link], sent->itt[i], sent->ttt[i], 0, block,
					    512, true));
		return;
	}
}

static void end_one(struct chaos *c, int link)
{
	int other = (int)below(c, LINKS);

	switch (below(c, 5)) {
	case 0:
		c->losses++;
		drop(c, link);
		break;
	case 1: log_out(&c->w, link, LOGOUT_CONNECTION, c->cid[link]); break;
	case 2: log_out(&c->w, link, LOGOUT_CONNECTION, c->cid[other]); break;
	case 3: log_out(&c->w, link, LOGOUT_RECOVERY, c->cid[other]); break;
	case 4: log_out(&c->w, link, LOGOUT_SESSION, 0); break;
	}
}

static void step(struct chaos *c)
{
	int link = (int)below(c, LINKS);

	if (session_in(&c->w) && session_in(&c->w)->dying)
		pass(&c->w, 1); /* its last writes */
	if (!session_in(&c->w)) {
		lead(c);
	} else if (!is_up(&c->w, link)) {
		if (below(c, 2))
			add(c, link);
	} else {
		switch (below(c, 40)) {
		case 0: end_one(c, link); break;
		case 1: pass(&c->w, below(c, 4)); break;
		case 2: add(c, link); break;
		default: below(c, 3) ? send_command(c, link) : send_data(c, link); break;
		}
	}
	if (below(c, 3))
		hear(c, link);
	for (int i = 0; i < LINKS; i++) { /* the rest of their answers will not come any more */
		if (!is_up(&c->w, i)) {
			hear(c, i);
			c->sent[i].count = 0;
		}
	}
}

/* What is up in the end is served to the end. */
static void finish(struct chaos *c)
{
	for (int n = 0; n < 2 * TASKS; n++) {
		for (int i = 0; i < LINKS; i++) {
			hear(c, i);
			if (is_up(&c->w, i))
				send_data(c, i);
		}
	}
	pass(&c->w, RETAINED_S);
	for (int i = 0; i < LINKS; i++) {
		hear(c, i);
		if (is_up(&c->w, i))
			CU_ASSERT_EQUAL(c->sent[i].count, 0);
	}
}

static void come_and_go(void)
{
	const char *given = getenv("RISER_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : 20261121;
	struct chaos c = { 0 };

	printf("# RISER_SEED=%lu\n", seed);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		memset(c.sent, 0, sizeof(c.sent));
		c.seed = seed + round;
		c.level = round % 3;
		c.next_cid = 1;
		begin_with(&c.w, "ram:1M,fault=write:delay=700ms", 2, NULL, FOUR, sizeof(FOUR) - 1);
		c.w.rig.server->cfg.limits.data_timeout_s = 3600;
		lead(&c);
		for (int i = 0; i < STEPS; i++)
			step(&c);
		finish(&c);
		end(&c.w);
	}
	CU_ASSERT(c.logins > 3 * ROUNDS && c.commands > ROUNDS * STEPS / 4 && c.losses > ROUNDS);
	printf("# %u logins, %u commands, %u losses\n", c.logins, c.commands, c.losses);
}

UNIT_MAIN(TEST(come_and_go));
