// SPDX-License-Identifier: BSD-2-Clause
/*
 * Task management at random: sessions of several connections on two reactors, commands that wait for
 * data, for their turn, for memory or in the disk, functions of every kind, connections that come and go.
 * A function is answered in time as long as its connection lives, what a session counts of its commands is
 * true all the time, and in the end nothing is left.
 * RISER_SEED=N repeats a run.
 */
#include <stdio.h>

#include "session/flow.h"
#include "session_links_rig.h"

enum {
	SESSIONS = 3,
	LINKS = 3,
	STEPS = 6000,
	WAITING = 64,
	PATIENCE_S = TMF_TIMEOUT_S + 1,
	EARLY = 4096
};

static const uint8_t sync_cache[16] = { [0] = 0x35 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };
static const uint8_t read_1m[16] = { [0] = 0x28, [7] = 2048 >> 8 };
static const uint8_t write_1m[16] = { [0] = 0x2a, [7] = 2048 >> 8 };
static const uint8_t blocks[BUF_MAX];
static const uint8_t bad_naca[16] = { [1] = 1, [5] = CONTROL_NACA };

static const uint8_t functions[] = {
	TMF_ABORT_TASK,	       TMF_ABORT_TASK,	    TMF_ABORT_TASK_SET,	   TMF_CLEAR_ACA,
	TMF_CLEAR_TASK_SET,    TMF_LUN_RESET,	    TMF_TARGET_WARM_RESET, TMF_QUERY_TASK,
	TMF_QUERY_TASK_SET,    TMF_I_T_NEXUS_RESET, TMF_QUERY_ASYNC_EVENT, TMF_TASK_REASSIGN,
	TMF_TARGET_COLD_RESET,
};

static uint32_t seed;

static uint32_t any(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

struct link {
	struct initiator in; /* peer NULL: there is none */
	struct asked {
		uint32_t itt; /* 0: the entry is free */
		uint64_t since; /* ns */
	} asked[WAITING]; /* functions */
	struct r2t {
		uint32_t itt, ttt, offset, len;
	} r2t[WAITING]; /* itt 0: free */
};

struct party {
	struct link link[LINKS]; /* the first has the CmdSN */
	uint32_t cmdsn, late; /* next CmdSN; one that was left out, 0: none */
	uint32_t maxcmdsn;
	uint16_t cid;
};

/* Somebody who has all of the memory, and waits for more. */
struct hog {
	struct buf *taken; /* NULL: he has none */
	struct buf_waiter waiter;
};

struct world {
	struct rig rig;
	struct hog hog;
	struct party party[SESSIONS];
	unsigned int answered, overdue, lost, logins;
};

static bool alive(const struct link *l)
{
	return l->in.peer && memory_conn(l->in.peer);
}

static void hear(struct world *w, struct party *p, struct link *l)
{
	struct memory_record *rec;

	while (l->in.peer && (rec = rig_receive(&l->in))) {
		uint32_t itt = be32_get(rec->h.bhs.itt);

		if (rec->kind == MEMORY_R2T) {
			const struct bhs_r2t *h = &rec->h.r2t;

			l->r2t[itt % WAITING] =
				(struct r2t){ itt, be32_get(h->ttt), be32_get(h->buffer_offset),
					      be32_get(h->desired_len) };
		} else if (pdu_opcode(&rec->h.bhs) == OP_TMF_RESPONSE ||
			   (pdu_opcode(&rec->h.bhs) == OP_REJECT &&
			    (rec->data[0] & OPCODE_MASK) == OP_TMF_REQUEST)) {
			if (itt == TAG_NONE)
				itt = be32_get(((struct bhs *)rec->data)->itt);
			if (l->asked[itt % WAITING].itt == itt)
				l->asked[itt % WAITING].itt = 0;
			w->answered++;
		} else if (pdu_opcode(&rec->h.bhs) == OP_NOP_IN && any(8)) {
			p->link[0].in.cmdsn = p->cmdsn;
			link_answer(&p->link[0].in, &l->in, be32_get(rec->h.nop_in.ttt));
		}
		if (sn_lt(p->maxcmdsn, l->in.maxcmdsn))
			p->maxcmdsn = l->in.maxcmdsn;
		free(rec);
	}
}

static void hear_all(struct world *w)
{
	for (int i = 0; i < SESSIONS; i++) {
		for (int n = 0; n < LINKS; n++)
			hear(w, &w->party[i], &w->party[i].link[n]);
	}
}

static void leave(struct link *l)
{
	if (l->in.peer)
		rig_leave(&l->in);
	memset(l, 0, sizeof(*l));
}

static struct reactor *home(struct world *w, const struct party *p)
{
	return (p - w->party) % 2 ? w->rig.second : w->rig.r;
}

static void served(struct buf_waiter *w, struct buf *b)
{
	struct hog *hog = container_of(w, struct hog, waiter);

	b->next = hog->taken;
	hog->taken = b;
}

static void memory_is_short(struct rig *rig, struct hog *hog)
{
	struct reactor *before = reactor_set_self(rig->r);
	struct buf *b;

	hog->waiter = (struct buf_waiter){ .len = BUF_MAX, .ready = served };
	list_init(&hog->waiter.node);
	while ((b = buf_get(rig->r, BUF_MAX)))
		served(&hog->waiter, b);
	if (hog->taken)
		buf_wait(rig->r, &hog->waiter);
	reactor_set_self(before);
}

static void memory_is_back(struct rig *rig, struct hog *hog)
{
	while (hog->taken) {
		struct reactor *before = reactor_set_self(rig->r);
		struct buf *b = hog->taken;

		hog->taken = b->next;
		buf_put(rig->r, b);
		reactor_set_self(before);
		rig_turn(rig);
	}
}

static void log_in_anew(struct world *w, struct party *p)
{
	static const char level0[] = LEVEL_2;
	static const char level2[] = LEVEL_2 "ErrorRecoveryLevel=2\0DefaultTime2Retain=4\0";
	bool recovers = any(2);
	struct initiator *in = &p->link[0].in;

	memory_is_back(&w->rig, &w->hog); /* a login needs some */
	for (int n = 0; n < LINKS; n++)
		leave(&p->link[n]);
	rig_knock(&w->rig, in, (uint8_t)(1 + (p - w->party)), home(w, p),
		  recovers ? level2 : level0, recovers ? sizeof(level2) - 1 : sizeof(level0) - 1);
	for (int s = 0; s < 60 && !rig_let_in(in); s++)
		pass(&w->rig, 1); /* until the old session is gone */
	CU_ASSERT_FATAL(in->tsih != 0);
	p->cmdsn = in->cmdsn;
	p->maxcmdsn = in->maxcmdsn;
	p->late = 0;
	p->cid = 1;
	w->logins++;
}

/* CmdSN of the next command: sometimes the one after it, and that one later. */
static uint32_t next_cmdsn(struct party *p)
{
	uint32_t sn = p->late;

	if (sn && any(4)) {
		p->late = 0;
		return sn;
	}
	if (!sn && !any(16))
		p->late = p->cmdsn++;
	return p->cmdsn++;
}

static void command(struct party *p, struct link *l)
{
	static const struct {
		const uint8_t *cdb;
		uint8_t flags;
		uint32_t edtl;
	} rows[] = {
		{ tur, CMD_FINAL, 0 },
		{ tur, CMD_FINAL | ATTR_ORDERED, 0 },
		{ tur, CMD_FINAL | ATTR_HEAD, 0 },
		{ write_1, CMD_FINAL | CMD_WRITE, 512 },
		{ write_1, CMD_FINAL | CMD_WRITE | ATTR_ORDERED, 512 },
		{ read_1, CMD_FINAL | CMD_READ, 512 },
		{ read_1m, CMD_FINAL | CMD_READ, BUF_MAX },
		{ write_1m, CMD_FINAL | CMD_WRITE, BUF_MAX },
		{ write_1m, CMD_FINAL | CMD_WRITE, BUF_MAX },
		{ sync_cache, CMD_FINAL, 0 },
		{ bad_naca, CMD_FINAL, 0 },
	};
	uint32_t i = any(array_size(rows)), len = 0;

	if ((rows[i].flags & CMD_WRITE) && any(2))
		len = rows[i].edtl < EARLY ? rows[i].edtl : EARLY;
	if (sn_lt(p->cmdsn + 2, p->maxcmdsn))
		rig_command_sn(&l->in, next_cmdsn(p), rows[i].cdb, rows[i].flags, rows[i].edtl,
			       blocks, len);
}

static void function(struct world *w, struct party *p, struct link *l)
{
	uint8_t f = functions[any(array_size(functions))];
	uint32_t itt = l->in.itt;

	if (f == TMF_TARGET_COLD_RESET && any(20))
		return;
	if (l->asked[itt % WAITING].itt)
		return;
	l->in.cmdsn = p->cmdsn;
	rig_tmf(&l->in, f, itt - 1 - any(6), p->cmdsn - 1 - any(3));
	l->asked[itt % WAITING] = (struct asked){ itt, reactor_now(w->rig.r) };
}

static void bring_data(struct link *l)
{
	struct r2t *r = &l->r2t[any(WAITING)];

	if (r->itt)
		rig_data_out(&l->in, r->itt, r->ttt, r->offset, blocks, r->len, true);
	r->itt = 0;
}

static void come(struct party *p, struct link *l)
{
	struct initiator *first = NULL;

	for (int n = 0; n < LINKS && !first; n++) {
		if (alive(&p->link[n]))
			first = &p->link[n].in;
	}
	if (!first || !session_of(first) || session_of(first)->dying)
		return;
	leave(l);
	first->cmdsn = p->cmdsn;
	link_up(first, &l->in, ++p->cid);
}

static void step(struct world *w)
{
	struct party *p = &w->party[any(SESSIONS)];
	struct link *l = &p->link[any(LINKS)];
	uint32_t what = any(100);

	if (!alive(l)) {
		if (what < 10)
			come(p, l);
		return;
	}
	if (what < 45)
		command(p, l);
	else if (what < 75)
		bring_data(l);
	else if (what < 90)
		function(w, p, l);
	else if (what < 92) {
		leave(l);
		w->lost++;
	} else if (what < 93) {
		if (w->hog.taken)
			memory_is_back(&w->rig, &w->hog);
		else
			memory_is_short(&w->rig, &w->hog);
	} else {
		uint64_t ns = any(1000) * NSEC_PER_MSEC;

		reactor_advance(w->rig.r, ns);
		reactor_advance(w->rig.second, ns);
	}
}

/* Functions of connections that live are answered by now; a party that has lost everything begins
 * anew. */
static void judge(struct world *w)
{
	uint64_t now = reactor_now(w->rig.r);

	for (int i = 0; i < SESSIONS; i++) {
		struct party *p = &w->party[i];
		bool any_alive = false;

		for (int n = 0; n < LINKS; n++) {
			struct link *l = &p->link[n];

			if (l->in.peer && !alive(l))
				leave(l);
			any_alive |= alive(l);
			for (int k = 0; k < WAITING; k++) {
				struct asked *a = &l->asked[k];

				if (a->itt && now - a->since > PATIENCE_S * NSEC_PER_SEC) {
					w->overdue++;
					a->itt = 0;
				}
			}
		}
		if (!any_alive)
			log_in_anew(w, p);
	}
}

/* Nothing waits whose turn has come, and every slot of the window is somewhere. */
static bool sound(const struct session *s)
{
	uint32_t slots = s->withheld + s->owed, bytes = 0, parked = 0;
	const struct command *first = NULL;
	struct list *pos;

	list_for_each(pos, &s->commands) {
		const struct command *c = list_entry(pos, struct command, node);

		slots += c->in_window;
		bytes += c->flow == FLOW_COUNTS ? c->task.edtl : 0;
		parked += c->flow == FLOW_PARKED;
	}
	if (!list_empty(&s->parked))
		first = list_entry(s->parked.next, struct command, parked);
	if (first && (!bytes || first->task.edtl <= FLOW_LONG ||
		      bytes + first->task.edtl <= s->rs->long_max))
		return false;
	if (!list_empty(&s->held) && session_any_connection(s) &&
	    !sn_lt(s->expcmdsn, list_entry(s->held.next, struct held, node)->cmdsn))
		return false;
	return s->maxcmdsn - s->expcmdsn + 1 + slots == s->server->cfg.limits.window &&
	       bytes == s->long_bytes && parked == s->parked_count;
}

static bool all_sound(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		struct list *pos;

		list_for_each(pos, &w->rig.server->reactors[i].sessions) {
			const struct session *s = list_entry(pos, struct session, reactor_node);

			if (!s->dying && !sound(s))
				return false;
		}
	}
	return true;
}

static void at_random(void)
{
	struct server_limits limits = server_default_limits;
	static struct world w;

	limits.nop_interval_s = 0;
	memset(&w, 0, sizeof(w));
	CU_ASSERT_FATAL(rig_up_on(&w.rig, "ram:1M,fault=flush:delay=3s", &limits, 2));
	w.rig.target.allow_cold_reset = true;
	for (int i = 0; i < SESSIONS; i++)
		log_in_anew(&w, &w.party[i]);
	for (int i = 0; i < STEPS; i++) {
		step(&w);
		hear_all(&w);
		CU_ASSERT_TRUE_FATAL(all_sound(&w));
		judge(&w);
	}
	memory_is_back(&w.rig, &w.hog);
	CU_ASSERT_EQUAL(w.overdue, 0);
	CU_ASSERT_TRUE(w.answered > STEPS / 50);
	for (int i = 0; i < SESSIONS; i++) {
		for (int n = 0; n < LINKS; n++)
			leave(&w.party[i].link[n]);
	}
	pass(&w.rig, SLOW_S);
	CU_ASSERT_TRUE(nothing_left(&w.rig));
	printf("# %u functions answered, %u connections lost, %u sessions\n", w.answered, w.lost,
	       w.logins);
	rig_down(&w.rig);
}

static void many_runs(void)
{
	const char *given = getenv("RISER_SEED");
	uint32_t first = given ? (uint32_t)strtoul(given, NULL, 10) : 20261121;

	for (uint32_t n = 0; n < 4; n++) {
		seed = first + n ? first + n : 1;
		printf("# RISER_SEED=%u\n", seed);
		at_random();
	}
}

UNIT_MAIN(TEST(many_runs));
