// SPDX-License-Identifier: BSD-2-Clause
/* Changes of what is served while commands hang in a disk: without force refused, with force made. */
#include "target_rig.h"
#include "tests/lib/unit.h"
#include "tools/riserd/live.h"
#include "tools/riserd/parse.h"

#define ONE "iqn.2026-11.test:disk" /* RIG_TARGET */
#define HANGS " fault = \"%s:delay=3600s:times=1\""
#define LUN_0 "lun 0 { path = ram:2M } "

enum { HOUR_S = 3600 };

static const uint8_t tur[16] = { 0 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };
static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 };
static const uint8_t block[512];

struct world {
	struct rig rig;
	struct live *live;
	char error[512]; /* the first that the log has told */
};

static int listen_nowhere(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
			  void *ctx, struct listener **out, char *why, size_t why_size)
{
	(void)r, (void)addr, (void)up, (void)ctx, (void)why, (void)why_size;
	*out = NULL;
	return 0;
}

static void unlisten_nowhere(struct listener *l)
{
	(void)l;
}

static const struct transport_ops no_transport = { .name = "tcp",
						   .listen = listen_nowhere,
						   .unlisten = unlisten_nowhere };

static void turn(void *arg)
{
	struct rig *rig = arg;

	rig_turn(rig);
	reactor_advance(rig->r, 20 * NSEC_PER_MSEC);
	rig_turn(rig);
}

static void pass(struct world *w, unsigned int seconds)
{
	for (unsigned int i = 0; i < 10 * seconds; i++) {
		reactor_advance(w->rig.r, 100 * NSEC_PER_MSEC);
		rig_turn(&w->rig);
	}
}

static void note(enum log_level level, const char *text, void *arg)
{
	struct world *w = arg;

	if (level == LOG_LEVEL_ERROR && !w->error[0])
		snprintf(w->error, sizeof(w->error), "%s", text);
}

static void quiet(const struct complaint *c)
{
	fprintf(stderr, "# %s\n", c->text);
}

static struct config *parse(const char *text)
{
	struct config *c = config_parse_text("test.conf", text, strlen(text), false, quiet);

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	c->limits.nop_interval_s = 0;
	c->cpu_count = 1;
	return c;
}

static void up(struct world *w, const char *text)
{
	struct live_config cfg = { .tcp = &no_transport, .reactor_count = 1, .turn = turn };

	memset(w, 0, sizeof(*w));
	w->rig.first_cmdsn = 1;
	log_set_level(LOG_LEVEL_ERROR);
	CU_ASSERT_FATAL(!slab_create(16u << 20, &w->rig.slab));
	CU_ASSERT_FATAL(!reactor_create_virtual(w->rig.slab, &w->rig.r));
	w->rig.reactors[0] = w->rig.r;
	cfg.reactors = w->rig.reactors;
	cfg.turn_arg = &w->rig;
	CU_ASSERT_FATAL(!live_create(&cfg, parse(text), &w->live));
	w->rig.server = live_server(w->live);
	live_resume(w->live);
}

/* When all has come back nothing is left. */
static void down(struct world *w)
{
	pass(w, HOUR_S);
	live_reap(w->live);
	CU_ASSERT_FALSE(live_hangs(w->live));
	CU_ASSERT_EQUAL(live_stop(w->live, NULL), 0);
	CU_ASSERT_EQUAL(slab_in_use(w->rig.slab), 0);
	live_destroy(w->live);
	reactor_destroy(w->rig.r);
	slab_destroy(w->rig.slab);
}

static int apply(struct world *w, const char *text, bool force)
{
	int err;

	w->error[0] = '\0';
	log_listen(note, w);
	err = live_apply_how(w->live, parse(text), force);
	log_listen(NULL, NULL);
	return err;
}

static void begin(struct world *w, struct initiator *in, bool writes)
{
	char text[256];
	uint32_t itt;

	snprintf(text, sizeof(text), "target " ONE " { " LUN_0 "lun 1 { path = ram:1M" HANGS " } }",
		 writes ? "write" : "read");
	up(w, text);
	CU_ASSERT_TRUE_FATAL(rig_login(&w->rig, in, 1));
	itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
}

static uint32_t command(struct initiator *in, uint8_t lun, bool writes)
{
	union pdu_header h = { 0 };

	h.scsi_command.opcode = OP_SCSI_COMMAND;
	h.scsi_command.flags = CMD_FINAL | ATTR_SIMPLE | (writes ? CMD_WRITE : CMD_READ);
	h.scsi_command.lun[1] = lun;
	h.scsi_command.itt = be32_of(in->itt);
	h.scsi_command.edtl = be32_of(512);
	h.scsi_command.cmdsn = be32_of(in->cmdsn++);
	memcpy(h.scsi_command.cdb, writes ? write_1 : read_1, 16);
	rig_send(in, &h, writes ? block : NULL, writes ? 512 : 0);
	return in->itt++;
}

/* One that hangs in LUN 1. */
static uint32_t hang(struct initiator *in, bool writes)
{
	uint32_t itt = command(in, 1, writes);

	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION); /* power on */
	itt = command(in, 1, writes);
	CU_ASSERT_PTR_NULL(rig_receive(in));
	return itt;
}

static void sum(const struct live_hanging *h, void *arg)
{
	struct live_hanging *all = arg;

	all->commands += h->commands;
	all->served |= h->served;
	all->lun += 100 + h->lun;
}

static struct live_hanging hanging(const struct world *w)
{
	struct live_hanging all = { 0 };

	live_each_hanging(w->live, sum, &all);
	return all;
}

/* --- */

static void a_lun_goes_by_force(void)
{
	for (int writes = 0; writes < 2; writes++) {
		struct initiator in;
		struct world w;
		uint32_t itt;

		begin(&w, &in, writes);
		itt = hang(&in, writes);
		pass(&w, 10);
		CU_ASSERT_EQUAL(apply(&w, "target " ONE " { " LUN_0 "}", false), -EBUSY);
		CU_ASSERT_PTR_NOT_NULL(strstr(w.error, ONE " LUN 1: "));
		CU_ASSERT_PTR_NOT_NULL(strstr(w.error, "1 commands that are not over"));
		CU_ASSERT_EQUAL(hanging(&w).commands, 0);
		CU_ASSERT_EQUAL(apply(&w, "target " ONE " { " LUN_0 "}", true), 0);
		CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_TASK_ABORTED);
		CU_ASSERT_EQUAL(hanging(&w).commands, 1);
		CU_ASSERT_EQUAL(hanging(&w).lun, 101);
		CU_ASSERT_FALSE(hanging(&w).served);
		/* What is served goes on changing: its number is free. */
		CU_ASSERT_EQUAL(
			apply(&w, "target " ONE " { " LUN_0 "lun 1 { path = ram:3M } }", false), 0);
		CU_ASSERT_EQUAL(apply(&w, "target " ONE " { lun 1 { path = ram:3M } }", false), 0);
		CU_ASSERT_TRUE(live_has_detached(w.live));
		live_reap(w.live);
		CU_ASSERT_TRUE(live_has_detached(w.live));
		rig_leave(&in);
		down(&w);
	}
}

/* The same in one step; what reads as the same disk is another one. */
static void a_lun_is_replaced_by_force(void)
{
	struct initiator in;
	struct world w;
	uint32_t itt;

	begin(&w, &in, true);
	itt = hang(&in, true);
	CU_ASSERT_EQUAL(apply(&w, "target " ONE " { " LUN_0 "lun 1 { path = ram:1M } }", true), 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_TASK_ABORTED);
	CU_ASSERT_EQUAL(hanging(&w).commands, 1);
	for (int tries = 0; tries < 8; tries++) { /* unit attentions, events */
		struct memory_record *rec;

		command(&in, 1, true);
		while ((rec = rig_receive(&in)))
			free(rec);
	}
	itt = command(&in, 1, true);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	rig_leave(&in);
	down(&w);
}

static void a_target_goes_by_force(void)
{
	for (int writes = 0; writes < 2; writes++) {
		struct initiator in;
		struct world w;

		begin(&w, &in, writes);
		hang(&in, writes);
		CU_ASSERT_EQUAL(apply(&w, "", false), -EBUSY);
		CU_ASSERT_EQUAL(apply(&w, "", true), 0);
		CU_ASSERT_EQUAL(hanging(&w).commands, 1);
		CU_ASSERT_EQUAL(apply(&w, "target " ONE " { lun 1 { path = ram:3M } }", false), 0);
		rig_leave(&in);
		CU_ASSERT_TRUE(rig_login(&w.rig, &in, 1));
		rig_leave(&in);
		down(&w);
	}
}

/* An ended session leaves a read behind: the LUN is served, and says so; without force it stays. */
static void what_an_ended_session_leaves(void)
{
	struct initiator in;
	struct world w;

	begin(&w, &in, false);
	hang(&in, false);
	rig_leave(&in);
	pass(&w, 10);
	CU_ASSERT_EQUAL(hanging(&w).commands, 1);
	CU_ASSERT_TRUE(hanging(&w).served);
	CU_ASSERT_EQUAL(apply(&w, "target " ONE " { " LUN_0 "}", false), -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.error, "1 commands that are not over"));
	CU_ASSERT_EQUAL(apply(&w, "target " ONE " { " LUN_0 "}", true), 0);
	CU_ASSERT_FALSE(hanging(&w).served);
	down(&w);
}

/* A flush that hangs holds up its own disk and no other. */
static void a_flush_that_hangs(void)
{
	struct world w;

	up(&w, "target " ONE " { " LUN_0 "lun 1 { path = ram:1M"
	       " fault = \"flush:delay=3600s:times=1\" } "
	       "lun 2 { path = ram:1M } }");
	CU_ASSERT_EQUAL(apply(&w, "target " ONE " { " LUN_0 "lun 2 { path = ram:1M } }", false),
			-EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.error, "a flush hangs"));
	CU_ASSERT_EQUAL(apply(&w,
			      "target " ONE " { " LUN_0 "lun 1 { path = ram:1M"
			      " fault = \"flush:delay=3600s:times=1\" } }",
			      false),
			0);
	CU_ASSERT_EQUAL(apply(&w, "target " ONE " { " LUN_0 "}", true), 0);
	CU_ASSERT_EQUAL(hanging(&w).lun, 101);
	down(&w);
}

UNIT_MAIN(TEST(a_lun_goes_by_force), TEST(a_lun_is_replaced_by_force), TEST(a_target_goes_by_force),
	  TEST(what_an_ended_session_leaves), TEST(a_flush_that_hangs));
