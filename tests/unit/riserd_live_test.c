// SPDX-License-Identifier: BSD-2-Clause
/* Configurations that are compared and applied, over the memory transport on a virtual reactor. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "target_rig.h"
#include "tests/lib/unit.h"
#include "tools/riserd/live.h"
#include "tools/riserd/parse.h"
#include "tools/riserd/rpc_look.h"

#define ONE "iqn.2026-11.test:disk" /* RIG_TARGET: initiators of the rig want it */
#define TWO "iqn.2026-11.test:two"

/* --- A transport whose portals are counted */

static unsigned int listening;

static int count_listen(struct reactor *r, struct portal_address *addr, const struct conn_up *up,
			void *ctx, struct listener **out, char *why, size_t why_size)
{
	(void)r, (void)up, (void)ctx;
	if (((const struct sockaddr_in *)&addr->addr)->sin_port == htons(1)) {
		snprintf(why, why_size, "no such port");
		return -EADDRNOTAVAIL;
	}
	*out = NULL;
	listening++;
	return 0;
}

static void count_unlisten(struct listener *l)
{
	(void)l;
	listening--;
}

static const struct transport_ops counted = { .name = "tcp",
					      .listen = count_listen,
					      .unlisten = count_unlisten };

static const struct transport_ops *no_rdma(char *why, size_t why_size)
{
	snprintf(why, why_size, "none");
	return NULL;
}

/* --- The daemon without its main() */

struct world {
	struct rig rig; /* its reactor and initiators; the server is live's */
	struct live *live;
};

static void turn(void *arg)
{
	struct rig *rig = arg;

	rig_turn(rig);
	reactor_advance(rig->r, 20 * NSEC_PER_MSEC);
	rig_turn(rig);
}

static void quiet(const struct complaint *c)
{
	fprintf(stderr, "# %s:%u: %s\n", c->place.file, c->place.line, c->text);
}

static struct config *parse(const char *text)
{
	struct config *c = config_parse_text("test.conf", text, strlen(text), false, quiet);

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	c->log_level = LOG_LEVEL_ERROR + 0;
	c->limits.nop_interval_s = 0;
	c->cpu_count = 1;
	return c;
}

static void up(struct world *w, const char *text)
{
	struct live_config cfg = {
		.tcp = &counted, .load_rdma = no_rdma, .reactor_count = 1, .turn = turn
	};

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

static void down(struct world *w)
{
	CU_ASSERT_EQUAL(live_stop(w->live, NULL), 0);
	CU_ASSERT_EQUAL(slab_in_use(w->rig.slab), 0);
	live_destroy(w->live);
	reactor_destroy(w->rig.r);
	slab_destroy(w->rig.slab);
	listening = 0;
}

static int apply(struct world *w, const char *text)
{
	return live_apply(w->live, parse(text));
}

struct listing {
	char text[1024];
};

static void list(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	struct listing *l = arg;
	size_t used = strlen(l->text);

	snprintf(l->text + used, sizeof(l->text) - used, "%s/%u=%s ",
		 strrchr(target->name, ':') + 1, lun, lu_backstore(lu)->name);
}

static bool serves(const struct world *w, const char *expected)
{
	struct listing l = { "" };

	live_each_lun(w->live, list, &l);
	if (strcmp(l.text, expected) != 0)
		printf("# %s\n", l.text);
	return !strcmp(l.text, expected);
}

/* --- Tests */

static void from_nothing_to_much_and_back(void)
{
	struct world w;

	up(&w, "");
	CU_ASSERT_TRUE(serves(&w, ""));
	CU_ASSERT_EQUAL(apply(&w,
			      "target " TWO " { lun 1 { path = ram:1M } lun 0 { path = ram:2M } }\n"
			      "target " ONE " { lun 9 { path = null:1G } }\n"),
			0);
	CU_ASSERT_TRUE(serves(&w, "disk/9=null:1G two/0=ram:2M two/1=ram:1M "));
	CU_ASSERT_EQUAL(
		apply(&w, "target " TWO " { lun 1 { path = ram:1M } lun 3 { path = ram:2M } }\n"),
		0);
	CU_ASSERT_TRUE(serves(&w, "two/1=ram:1M two/3=ram:2M "));
	CU_ASSERT_EQUAL(apply(&w, ""), 0);
	CU_ASSERT_TRUE(serves(&w, ""));
	down(&w);
}

/* A disk that stays is not touched: what is on it stays too. */
static void what_is_the_same_stays(void)
{
	static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 },
			     read_1[16] = { [0] = 0x28, [8] = 1 };
	struct memory_record *rec;
	struct initiator in;
	uint8_t block[512];
	uint32_t itt;
	struct world w;

	memset(block, 0x5a, sizeof(block));
	up(&w, "target " ONE " { lun 0 { path = ram:1M } }\n");
	CU_ASSERT_TRUE_FATAL(rig_login(&w.rig, &in, 1));
	itt = rig_command(&in, (uint8_t[16]){ 0 }, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_CHECK_CONDITION);
	itt = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_EQUAL(apply(&w, "target " TWO " { lun 0 { path = ram:1M } }\n"
				  "target " ONE " { alias = new lun 0 { path = ram:1M } }\n"),
			0);
	rig_command(&in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec && rec->len == 512);
	CU_ASSERT_EQUAL(memcmp(rec->data, block, 512), 0);
	free(rec);
	rig_leave(&in);
	down(&w);
}

/* Each of these fails at another step, and leaves all as it was. */
static void failures_change_nothing(void)
{
	static const char base[] = "portal 127.0.0.1:3260 { }\ntarget " ONE
				   " { lun 0 { path = ram:1M } lun 1 { path = ram:2M } }\n";
	static const char expected[] = "disk/0=ram:1M disk/1=ram:2M ";
	static const struct {
		const char *text;
		int err;
	} rows[] = {
		{ "memory = 8M target " ONE " { lun 0 { path = ram:1M } }", -EINVAL },
		{ "target " TWO " { lun 0 { path = ram:1M } }",
		  -EBUSY }, /* somebody is logged in */
		{ "target " ONE " { allow = { \"*:nobody\" } lun 0 { path = ram:1M } }", -EBUSY },
		{ "target " ONE " { lun 0 { path = ram:1M } lun 2 { path = /none } }", -ENOENT },
		{ "target " ONE
		  " { lun 0 { path = ram:1M serial = X } lun 1 { path = ram:1M serial = X } }",
		  -EEXIST },
		{ "portal 127.0.0.1:3260 { } portal 127.0.0.2:1 { }\ntarget " ONE
		  " { lun 5 { path = ram:1M } }\ntarget " TWO " { lun 0 { path = ram:4M } }",
		  -EADDRNOTAVAIL },
		{ "portal 127.0.0.1:3260 { tag = 2 }\ntarget " ONE " { lun 0 { path = ram:1M } }",
		  -EBUSY },
	};
	struct initiator in;
	struct world w;
	int err;

	up(&w, base);
	CU_ASSERT_EQUAL(listening, 1);
	CU_ASSERT_TRUE_FATAL(rig_login(&w.rig, &in, 1));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		err = apply(&w, rows[i].text);
		CU_ASSERT_EQUAL(err, rows[i].err);
		if (err != rows[i].err)
			printf("# %s: %d\n", rows[i].text, err);
		CU_ASSERT_TRUE(serves(&w, expected));
		CU_ASSERT_EQUAL(listening, 1);
	}
	rig_leave(&in);
	down(&w);
}

/* Flushing a file needs a ring, and so a reactor that is real. */
static void up_real(struct world *w, const char *text)
{
	struct reactor_config rc = { .cpu = -1 };
	struct live_config cfg = { .tcp = &counted, .load_rdma = no_rdma, .reactor_count = 1 };

	*w = (struct world){ .rig = { .first_cmdsn = 1 } };
	CU_ASSERT_FATAL(!slab_create(16u << 20, &w->rig.slab));
	rc.slab = w->rig.slab;
	CU_ASSERT_FATAL(!reactor_create(&rc, &w->rig.r) && !reactor_start(w->rig.r));
	w->rig.reactors[0] = w->rig.r;
	cfg.reactors = w->rig.reactors;
	CU_ASSERT_FATAL(!live_create(&cfg, parse(text), &w->live));
}

static void down_real(struct world *w)
{
	CU_ASSERT_EQUAL(live_stop(w->live, NULL), 0);
	reactor_stop(w->rig.r);
	reactor_join(w->rig.r);
	live_destroy(w->live);
	reactor_destroy(w->rig.r);
	slab_destroy(w->rig.slab);
	listening = 0;
}

/* A file is closed for another number. When that fails, it is open again as it was. */
static void a_file_moves(void)
{
	char path[] = "/tmp/riser-live-XXXXXX", text[3][512], expected[2][128];
	int fd = mkstemp(path);
	struct world w;

	CU_ASSERT_FATAL(fd >= 0 && !ftruncate(fd, 1 << 20));
	snprintf(text[0], sizeof(text[0]), "target " ONE " { lun 1 { path = %s } }", path);
	snprintf(text[1], sizeof(text[1]),
		 "target " ONE " { lun 0 { path = ram:1M } lun 7 { path = %s size = 7M } }", path);
	snprintf(text[2], sizeof(text[2]), "target " TWO " { lun 7 { path = %s readonly = on } }",
		 path);
	snprintf(expected[0], sizeof(expected[0]), "disk/1=%s ", path);
	snprintf(expected[1], sizeof(expected[1]), "two/7=%s ", path);
	up_real(&w, text[0]);
	CU_ASSERT_EQUAL(apply(&w, text[1]), -EINVAL);
	CU_ASSERT_TRUE(serves(&w, expected[0]));
	CU_ASSERT_EQUAL(apply(&w, text[0]), 0);
	CU_ASSERT_EQUAL(apply(&w, text[2]), 0);
	CU_ASSERT_TRUE(serves(&w, expected[1]));
	CU_ASSERT_EQUAL(apply(&w, text[0]), 0);
	CU_ASSERT_TRUE(serves(&w, expected[0]));
	down_real(&w);
	close(fd);
	unlink(path);
}

/* One of two has its new number when the other cannot have it. */
static void one_of_two_files_moves(void)
{
	char a[] = "/tmp/riser-live-XXXXXX", b[] = "/tmp/riser-live-XXXXXX", text[2][512];
	int fds[2] = { mkstemp(a), mkstemp(b) };
	char expected[128];
	struct world w;

	CU_ASSERT_FATAL(fds[0] >= 0 && fds[1] >= 0 && !ftruncate(fds[0], 1 << 20) &&
			!ftruncate(fds[1], 1 << 20));
	snprintf(text[0], sizeof(text[0]),
		 "target " ONE " { lun 1 { path = %s } lun 2 { path = %s } }", a, b);
	snprintf(text[1], sizeof(text[1]),
		 "target " ONE " { lun 3 { path = %s } lun 7 { path = %s size = 7M } }", a, b);
	snprintf(expected, sizeof(expected), "disk/1=%s disk/2=%s ", a, b);
	up_real(&w, text[0]);
	CU_ASSERT_EQUAL(apply(&w, text[1]), -EINVAL);
	CU_ASSERT_TRUE(serves(&w, expected));
	down_real(&w);
	close(fds[0]);
	close(fds[1]);
	unlink(a);
	unlink(b);
}

/* A file that was gone when it had to be opened again is served as soon as it is there. */
static void a_file_comes_back(void)
{
	char path[] = "/tmp/riser-live-XXXXXX", text[2][512], expected[128];
	int fd = mkstemp(path);
	struct world w;

	CU_ASSERT_FATAL(fd >= 0 && !ftruncate(fd, 1 << 20));
	snprintf(text[0], sizeof(text[0]), "target " ONE " { lun 1 { path = %s } }", path);
	snprintf(text[1], sizeof(text[1]), "target " ONE " { lun 2 { path = %s } }", path);
	snprintf(expected, sizeof(expected), "disk/1=%s ", path);
	up_real(&w, text[0]);
	unlink(path);
	CU_ASSERT_EQUAL(apply(&w, text[1]), -ENOENT);
	CU_ASSERT_TRUE(serves(&w, ""));
	close(fd);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0 && !ftruncate(fd, 1 << 20));
	CU_ASSERT_EQUAL(apply(&w, text[0]), 0);
	CU_ASSERT_TRUE(serves(&w, expected));
	down_real(&w);
	close(fd);
	unlink(path);
}

/* A disk whose flush was not over in time has it still: the next change waits for that. */
static void a_flush_that_is_late(void)
{
	static const char base[] =
		"target " ONE " { lun 0 { path = ram:1M fault = \"flush:delay=60s:once\" } "
		"lun 1 { path = ram:1M fault = \"flush:delay=30s:once\" } }";
	struct world w;
	uint64_t from;

	up(&w, base);
	from = reactor_now(w.rig.r);
	CU_ASSERT_EQUAL(apply(&w, "target " ONE " { lun 2 { path = ram:1M } }"), -EBUSY);
	CU_ASSERT_TRUE(serves(&w, "disk/0=ram:1M disk/1=ram:1M "));
	CU_ASSERT_EQUAL(apply(&w, "target " ONE " { lun 2 { path = ram:1M } }"), 0);
	CU_ASSERT(reactor_now(w.rig.r) - from >= 60 * NSEC_PER_SEC);
	CU_ASSERT_TRUE(serves(&w, "disk/2=ram:1M "));
	down(&w);
}

/* A login that was refused for what is not applied is not refused any more. */
static void who_may_log_in(void)
{
	struct initiator in;
	struct world w;

	up(&w, "target " ONE " { allow = { iqn.2026-11.test:other } lun 0 { path = ram:1M } }\n");
	CU_ASSERT_FALSE(rig_login(&w.rig, &in, 1));
	rig_leave(&in);
	CU_ASSERT_EQUAL(apply(&w,
			      "target " ONE
			      " { allow = { \"iqn.2026-11.test:*\" } lun 0 { path = ram:1M } }\n"),
			0);
	CU_ASSERT_TRUE(rig_login(&w.rig, &in, 1));
	/* Another rule that lets it in, too. */
	CU_ASSERT_EQUAL(apply(&w, "target " ONE " { allow = { any } lun 0 { path = ram:1M } }\n"),
			0);
	rig_leave(&in);
	CU_ASSERT_EQUAL(apply(&w, "target " TWO " { lun 0 { path = ram:1M } }\n"), 0);
	CU_ASSERT_FALSE(rig_login(&w.rig, &in, 1));
	rig_leave(&in);
	down(&w);
}

static void note_port(const struct scsi_target *target, unsigned int lun, struct lu *lu, void *arg)
{
	(void)lun, (void)lu;
	*(int *)arg = target->port_count == 2 ? target->ports[1].access : -1;
}

/* A portal group that was not to be has no portal: nobody is sent there. */
static void a_group_that_is_not_applied(void)
{
	static const char group[] =
		"portal 127.0.0.1:3260 { }\nportal 127.0.0.2:3260 { tag = 2 }\n";
	int access = ACCESS_OPTIMIZED;
	char text[512];
	struct world w;

	up(&w, "portal 127.0.0.1:3260 { }\ntarget " ONE " { lun 0 { path = ram:1M } }\n");
	snprintf(text, sizeof(text),
		 "%starget " ONE " { lun 0 { path = ram:1M } lun 1 { path = /none } }\n", group);
	CU_ASSERT_EQUAL(apply(&w, text), -ENOENT);
	live_each_lun(w.live, note_port, &access);
	CU_ASSERT_EQUAL(access, ACCESS_OFFLINE);
	snprintf(text, sizeof(text), "%starget " ONE " { lun 0 { path = ram:1M } }\n", group);
	CU_ASSERT_EQUAL(apply(&w, text), 0);
	live_each_lun(w.live, note_port, &access);
	CU_ASSERT_EQUAL(access, ACCESS_OPTIMIZED);
	down(&w);
}

static void portals(void)
{
	struct world w;

	up(&w, "portal 127.0.0.1:3260 { }\n");
	CU_ASSERT_EQUAL(listening, 1);
	CU_ASSERT_EQUAL(apply(&w, "portal 127.0.0.1:3260 { }\nportal 127.0.0.2:3260 { tag = 2 }\n"),
			0);
	CU_ASSERT_EQUAL(listening, 2);
	CU_ASSERT_EQUAL(apply(&w, "portal 127.0.0.2:3260 { tag = 2 access = standby }\n"), 0);
	CU_ASSERT_EQUAL(listening, 1);
	CU_ASSERT_EQUAL(live_running(w.live)->portal_count, 1);
	down(&w);
}

/* 10,000 LUNs of 40 targets, and again, and one less. */
static void ten_thousand(void)
{
	enum { TARGETS = 40, LUNS = 250 };
	size_t room = TARGETS * (100 + LUNS * 40), used = 0;
	char *text = malloc(room);
	struct timespec from, to;
	struct world w;
	double seconds;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	for (unsigned int t = 0; t < TARGETS; t++) {
		used += (size_t)snprintf(text + used, room - used, "target iqn.2026-11.test:%u {\n",
					 t);
		for (unsigned int l = 0; l < LUNS; l++)
			used += (size_t)snprintf(text + used, room - used,
						 "lun %u { path = null:1G }\n", l);
		used += (size_t)snprintf(text + used, room - used, "}\n");
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	up(&w, "");
	CU_ASSERT_EQUAL(apply(&w, text), 0);
	CU_ASSERT_EQUAL(apply(&w, text), 0);
	CU_ASSERT_EQUAL(apply(&w, "target iqn.2026-11.test:7 { lun 9 { path = null:1G } }"), 0);
	CU_ASSERT_TRUE(serves(&w, "7/9=null:1G "));
	clock_gettime(CLOCK_MONOTONIC, &to);
	seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("# %.2f s\n", seconds);
	CU_ASSERT(seconds < 10);
	down(&w);
	free(text);
}

static double seconds_of_a_look(struct rpc_context *x)
{
	struct timespec from, to;
	unsigned int silent = 0;

	clock_gettime(CLOCK_MONOTONIC, &from);
	session_snapshot_put(look_sessions(x, 0, &silent));
	clock_gettime(CLOCK_MONOTONIC, &to);
	CU_ASSERT_EQUAL(silent, 1);
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

/* All clients of the control socket wait for one that looks. */
static void a_reactor_that_hangs_is_waited_for_once(void)
{
	struct rpc_context x = { .reactor_count = 1 };
	struct world w;

	up(&w, "");
	x.live = w.live;
	CU_ASSERT(seconds_of_a_look(&x) >= CONTROL_SNAPSHOT_MS / 1e3);
	CU_ASSERT(seconds_of_a_look(&x) < CONTROL_SNAPSHOT_MS / 1e3);
	rig_turn(&w.rig);
	down(&w);
}

UNIT_MAIN(TEST(from_nothing_to_much_and_back), TEST(what_is_the_same_stays),
	  TEST(failures_change_nothing), TEST(a_file_moves), TEST(one_of_two_files_moves),
	  TEST(a_file_comes_back), TEST(a_flush_that_is_late), TEST(who_may_log_in),
	  TEST(a_group_that_is_not_applied), TEST(portals), TEST(ten_thousand),
	  TEST(a_reactor_that_hangs_is_waited_for_once));
