// SPDX-License-Identifier: BSD-2-Clause
/*
 * Four sessions of one disk, on one reactor or on two, for tests of tasks that end because of other
 * tasks.
 */
#ifndef TESTS_UNIT_SESSION_TASKS_RIG_H
#define TESTS_UNIT_SESSION_TASKS_RIG_H

#include "scsi/task_set.h"
#include "session/internal.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

static const uint8_t tur[16] = { 0 };
static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 };
static const uint8_t block[512];

/* --- The world: an initiator that preempts, two that may be its victims, one that looks on */

enum { PREEMPTOR, NEAR, FAR, BYSTANDER, INITIATORS };

/* Writes take their time: more than a task management function waits, less than a session does. */
#define SLOW "ram:1M,fault=write:delay=30s"
enum { SLOW_S = 31, TMF_S = TMF_TIMEOUT_S + 1 };

struct test {
	struct rig rig;
	struct initiator in[INITIATORS];
};

static inline void log_in(struct rig *rig, struct initiator *in, uint8_t isid, struct reactor *r)
{
	uint32_t itt;

	rig_knock(rig, in, isid, r, "InitialR2T=No\0", 14);
	CU_ASSERT_TRUE_FATAL(rig_let_in(in));
	itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
}

static inline void begin(struct test *t, const char *disk, unsigned int reactors)
{
	struct rig *rig = &t->rig;
	struct server_limits limits = server_default_limits;

	limits.nop_interval_s = 0; /* nobody here would answer a ping */
	CU_ASSERT_FATAL(rig_up_on(rig, disk, &limits, reactors));
	for (uint8_t i = 0; i < INITIATORS; i++)
		log_in(rig, &t->in[i], i + 1, rig->second && i >= FAR ? rig->second : rig->r);
}

/* Lets time pass on every reactor. */
static inline void pass(struct rig *rig, unsigned int seconds)
{
	for (unsigned int i = 0; i < seconds; i++) {
		for (int n = 0; n < 2 && rig->reactors[n]; n++)
			reactor_advance(rig->reactors[n], NSEC_PER_SEC);
		rig_turn(rig);
	}
}

static inline void end(struct test *t)
{
	struct rig *rig = &t->rig;

	for (int i = 0; i < INITIATORS; i++) {
		if (t->in[i].peer)
			rig_leave(&t->in[i]);
	}
	pass(rig, SLOW_S);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	for (int n = 0; n < 2 && rig->reactors[n]; n++) {
		CU_ASSERT_TRUE(list_empty(&rig->server->reactors[n].sessions));
		CU_ASSERT_TRUE(list_empty(&rig->server->reactors[n].abort_waits));
	}
	rig_down(rig);
}

static inline struct session *session_of(const struct initiator *in)
{
	struct server *server = in->rig->server;

	for (unsigned int n = 0; n < server->cfg.reactor_count; n++) {
		struct list *pos;

		list_for_each(pos, &server->reactors[n].sessions) {
			struct session *s = list_entry(pos, struct session, reactor_node);

			if (s->tsih == in->tsih)
				return s;
		}
	}
	return NULL;
}

static inline struct task_set *set_of(const struct initiator *in)
{
	return &session_of(in)->nexus.sets[0];
}

/* A write whose R2T is out. */
static inline uint32_t write_waits(struct initiator *in, uint32_t *ttt)
{
	uint32_t itt = rig_command(in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	struct memory_record *rec = rig_receive(in);

	CU_ASSERT_FATAL(rec && rec->kind == MEMORY_R2T);
	*ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	return itt;
}

static inline uint32_t write_is_slow(struct initiator *in)
{
	uint32_t itt = rig_command(in, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);

	CU_ASSERT_PTR_NULL(rig_receive(in));
	return itt;
}

/* The sense of the next command: 0 for GOOD, -1 for no answer. */
static inline int next_sense(struct initiator *in)
{
	uint32_t itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	struct memory_record *rec = rig_receive(in);
	int sense = -1;

	if (rec && be32_get(rec->h.bhs.itt) == itt && rec->h.scsi_response.status == SAM_GOOD)
		sense = 0;
	else if (rec && be32_get(rec->h.bhs.itt) == itt && rec->len >= 2 + 14)
		sense = (rec->data[2 + 2] & 15) << 16 | rec->data[2 + 12] << 8 | rec->data[2 + 13];
	free(rec);
	return sense;
}

#endif
