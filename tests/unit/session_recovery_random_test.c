// SPDX-License-Identifier: BSD-2-Clause
/*
 * An initiator that has lost its mind: commands, SNACKs of every kind and number, acknowledgements,
 * aborts, reassignments and lost connections in any order. Nothing of it may crash the target, leave
 * something behind, or go wrong for a read that it was polite about.
 */
#include "session_recovery_rig.h"

enum { STEPS = 2500, TAGS = 16 };

struct mad {
	struct test t;
	unsigned int level;
	uint64_t seed;
	uint32_t ttt; /* the last that asked for a DataACK */
	uint32_t r2t, r2t_itt, r2t_offset, r2t_len;
	bool full; /* nothing more can be kept */
	bool bursts; /* several pieces go before a DataACK has to come */
};

/* The memory transport, but that the connection breaks with the next Data-In. */
static struct transport_ops breaking;

static void break_at_put(struct conn *conn, struct transfer *t)
{
	memory_transport.close(conn, false);
	memory_transport.put_data(conn, t);
}

static uint32_t roll(struct mad *m, uint32_t n)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (uint32_t)(m->seed >> 20) % n;
}

static uint32_t some_itt(struct mad *m)
{
	return m->t.in.itt - 1 - roll(m, TAGS);
}

static uint32_t some_number(struct mad *m)
{
	switch (roll(m, 4)) {
	case 0: return 0;
	case 1: return roll(m, 4);
	case 2: return m->t.acked + roll(m, 8);
	default: return (uint32_t)m->seed;
	}
}

static void look_at(struct mad *m, const struct memory_record *rec)
{
	if (rec->kind == MEMORY_R2T) {
		m->r2t = be32_get(rec->h.r2t.ttt);
		m->r2t_itt = be32_get(rec->h.bhs.itt);
		m->r2t_offset = be32_get(rec->h.r2t.buffer_offset);
		m->r2t_len = be32_get(rec->h.r2t.desired_len);
	}
	if (rec->kind == MEMORY_DATA_IN && rec->h.data_in.flags & DATA_IN_ACK)
		m->ttt = be32_get(rec->h.data_in.ttt);
}

/* Also what the target does not know yet that it has left. */
static void read_now(struct mad *m)
{
	struct memory_record *rec;

	while ((rec = memory_receive(m->t.in.peer))) {
		look_at(m, rec);
		free(rec);
	}
}

static void read_all(struct mad *m)
{
	rig_turn(&m->t.rig);
	read_now(m);
}

static bool up(const struct mad *m)
{
	const struct conn *conn = memory_conn(m->t.in.peer);

	return conn && !conn->closing;
}

/* Into the session of old, where it still is and lets us in, or a new one. */
static void connect_again(struct mad *m)
{
	static const char keys[] =
		"InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal";
	struct test *t = &m->t;
	char more[64];
	int len = snprintf(more, sizeof(more), "MaxConnections=4%cErrorRecoveryLevel=%u", 0,
			   m->level) +
		  1;
	union pdu_header h = { 0 };

	read_all(m);
	forget_peer(t, t->in.peer);
	if (session_of(t) && !session_of(t)->dying) {
		t->in.peer = memory_connect(t->rig.r, &session_conn_up, t->rig.server);
		CU_ASSERT_PTR_NOT_NULL_FATAL(t->in.peer);
		h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
		h.login_request.flags = LOGIN_TRANSIT | 1 << 2 | STAGE_FULL_FEATURE;
		h.login_request.isid.b[0] = 0x80;
		h.login_request.isid.b[5] = 1;
		h.login_request.tsih = be16_of(t->in.tsih);
		h.login_request.itt = be32_of(t->in.itt++);
		h.login_request.cmdsn = be32_of(t->in.cmdsn);
		rig_send(&t->in, &h, keys, sizeof(keys));
		if (rig_let_in(&t->in)) {
			acknowledge(t);
			return;
		}
		forget_peer(t, t->in.peer);
	}
	rig_knock(&t->rig, &t->in, 1, t->rig.r, more, (size_t)len);
	/* Aborted tasks of the session before may take their time in the disk. */
	for (int i = 0; i < 5 && conn_of(t)->state < CONN_LOGGED_IN; i++)
		reactor_advance(t->rig.r, NSEC_PER_SEC);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&t->in));
	t->in.itt += TAGS;
	acknowledge(t);
}

static void some_command(struct mad *m)
{
	static const uint32_t kib[] = { 4, 16, 256, 1024, 2560 };
	static uint8_t data[4096];
	struct test *t = &m->t;

	t->in.cmdsn = session_of(t)->expcmdsn + (roll(m, 16) == 0);
	switch (roll(m, 4)) {
	case 0: command(t, tur, 0, 0); break;
	case 1: command(t, write_8, CMD_WRITE, 4096); break;
	case 2: rig_command(&t->in, write_8, CMD_FINAL | CMD_WRITE, 4096, data, 1024); break;
	default: read_kib(t, kib[roll(m, array_size(kib))]); break;
	}
}

static void some_data(struct mad *m)
{
	static uint8_t data[4096];
	uint32_t len = roll(m, 2) ? m->r2t_len : roll(m, m->r2t_len + 1);

	if (m->r2t_len && m->r2t_len <= sizeof(data))
		memory_data_out(m->t.in.peer, m->r2t_itt, m->r2t, m->r2t_offset, data, len,
				len == m->r2t_len);
	m->r2t_len = 0;
}

static void some_snack(struct mad *m)
{
	uint8_t type = (uint8_t)roll(m, 5);
	uint32_t ttt = type == SNACK_DATA_ACK && roll(m, 2) ? m->ttt : some_number(m);

	snack(&m->t, type, some_itt(m), ttt, some_number(m), some_number(m) % 4);
}

static void lose_connection(struct mad *m)
{
	switch (roll(m, 3)) {
	case 0: memory_disconnect(m->t.in.peer); break;
	case 1: iconn_close(conn_of(&m->t), roll(m, 2)); break;
	case 2: memory_conn(m->t.in.peer)->ops = &breaking; return;
	}
	if (roll(m, 2))
		reactor_advance(m->t.rig.r, roll(m, 30) * NSEC_PER_SEC);
}

static void fill(struct mad *m, bool full)
{
	uint64_t *kept = &m->t.rig.server->reactors[0].kept_bytes;

	*kept += ((uint64_t)full << 40) - ((uint64_t)m->full << 40);
	m->full = full;
}

static void step(struct mad *m)
{
	struct test *t = &m->t;

	switch (roll(m, 40)) {
	case 0: lose_connection(m); break;
	case 1: rig_tmf(&t->in, TMF_ABORT_TASK, some_itt(m), t->in.cmdsn - 1); break;
	case 2:
		if (roll(m, 8) == 0)
			rig_tmf(&t->in, TMF_LUN_RESET, TAG_NONE, 0);
		else
			fill(m, roll(m, 2));
		break;
	case 3 ... 5: reassign(t, some_itt(m), some_number(m)); break;
	case 6 ... 7: ack_status(t); break;
	case 8: t->acked += roll(m, conn_of(t)->statsn - t->acked + 1); break;
	case 9: read_now(m); break;
	case 10 ... 12: read_all(m); break;
	case 13: reactor_advance(t->rig.r, roll(m, 2000) * NSEC_PER_MSEC); break;
	case 14 ... 16: some_data(m); break;
	case 17 ... 26: some_snack(m); break;
	default: some_command(m); break;
	}
}

static void check_polite_read(struct mad *m)
{
	struct memory_record *rec;
	struct test *t = &m->t;
	uint32_t itt;
	int status = -1;

	if (up(m))
		memory_conn(t->in.peer)->ops = &memory_transport;
	read_all(m);
	reactor_advance(t->rig.r, 10 * NSEC_PER_SEC);
	if (!up(m))
		connect_again(m);
	rig_tmf(&t->in, TMF_LUN_RESET, TAG_NONE,
		0); /* what waits for this initiator fills its window */
	reactor_advance(t->rig.r, 10 * NSEC_PER_SEC);
	read_all(m);
	ack_status(t);
	t->in.itt += TAGS;
	for (int i = 0; i < 5 && status != SAM_GOOD; i++) { /* unit attentions */
		t->in.cmdsn = session_of(t)->expcmdsn;
		itt = command(t, read_8, CMD_READ, 4096);
		reactor_advance(t->rig.r, 2 * NSEC_PER_SEC);
		while ((rec = rig_receive(&t->in))) {
			if (be32_get(rec->h.bhs.itt) == itt && rec->kind == MEMORY_DATA_IN)
				status = SAM_GOOD;
			free(rec);
		}
		ack_status(t);
	}
	CU_ASSERT_EQUAL(status, SAM_GOOD);
}

static void run(unsigned int level, const char *disk, uint64_t seed)
{
	struct server_limits limits = server_default_limits;
	struct mad m = { .level = level,
			 .seed = seed * 0x9e3779b97f4a7c15u,
			 .bursts = seed % 4 > 1 };

	breaking = memory_transport;
	breaking.put_data = break_at_put;
	limits.nop_interval_s = 0; /* it would not answer */
	begin_with(&m.t, level, disk, &limits);
	m.ttt = m.r2t_len = 0;
	for (int i = 0; i < STEPS; i++) {
		if (!up(&m))
			connect_again(&m);
		if (m.bursts)
			session_of(&m.t)->who.params.max_burst = 4 * MIB;
		step(&m);
	}
	fill(&m, false);
	check_polite_read(&m);
	if (m.t.in.peer)
		rig_leave(&m.t.in);
	reactor_advance(m.t.rig.r, 60 * NSEC_PER_SEC);
	end(&m.t);
}

static void level_1(void)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		run(1, "ram:8M", seed);
}

static void level_2(void)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		run(2, "ram:8M", seed);
}

static void slow_disk(void)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		run(1 + seed % 2, "ram:8M,fault=read:delay=1s", seed);
}

static void slow_writes(void)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		run(1 + seed % 2, "ram:8M,fault=write:delay=1s", seed);
}

UNIT_MAIN(TEST(level_1), TEST(level_2), TEST(slow_disk), TEST(slow_writes));
