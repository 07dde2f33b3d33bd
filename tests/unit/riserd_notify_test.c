// SPDX-License-Identifier: BSD-2-Clause
/* What a supervisor hears of riserd: the datagrams, and the signs of life that cease when a reactor hangs. */
#include <poll.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "core/reactor.h"
#include "tests/lib/unit.h"
#include "tools/riserd/notify.h"

enum { WAIT_MS = 10000, REACTORS = 2 };

/* The supervisor's end; the name is in no folder. */
static int supervisor_open(const char *watchdog_us)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[64];
	size_t len = (size_t)snprintf(name, sizeof(name), "@riser-notify-%d", getpid());

	memcpy(a.sun_path + 1, name + 1, len - 1);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&a,
				   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
			      0);
	setenv("NOTIFY_SOCKET", name, 1);
	unsetenv("WATCHDOG_PID");
	if (watchdog_us)
		setenv("WATCHDOG_USEC", watchdog_us, 1);
	else
		unsetenv("WATCHDOG_USEC");
	return fd;
}

/* The next datagram; empty when none comes in time. */
static const char *hear(int fd, int timeout_ms)
{
	static char text[1024];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n = 0;

	if (poll(&p, 1, timeout_ms) == 1)
		n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* Skips what comes before it. */
static bool hears(int fd, const char *what, int timeout_ms)
{
	const char *text;

	do {
		text = hear(fd, timeout_ms);
		if (strstr(text, what))
			return true;
	} while (*text);
	return false;
}

static struct notify *notify_checked(void)
{
	struct notify *n = notify_open();

	CU_ASSERT_PTR_NOT_NULL_FATAL(n);
	CU_ASSERT_PTR_NULL(getenv("NOTIFY_SOCKET"));
	CU_ASSERT_PTR_NULL(getenv("WATCHDOG_USEC"));
	return n;
}

static void nobody_wants_to_know(void)
{
	unsetenv("NOTIFY_SOCKET");
	CU_ASSERT_PTR_NULL(notify_open());
	setenv("NOTIFY_SOCKET", "tcp:nonsense", 1);
	CU_ASSERT_PTR_NULL(notify_open());
	setenv("NOTIFY_SOCKET", "", 1);
	CU_ASSERT_PTR_NULL(notify_open());
	notify_status(NULL, "x");
	notify_serving(NULL, NULL);
	notify_ready(NULL);
	notify_reloading(NULL);
	notify_stopping(NULL);
	notify_watch(NULL, NULL, 0, NULL);
	notify_unwatch(NULL);
	notify_close(NULL);
}

static void it_says_what_it_does(void)
{
	struct config_target targets[2] = { { .lun_count = 3 }, { .lun_count = 1 } };
	struct config *c = config_new();
	int fd = supervisor_open(NULL);
	struct notify *n = notify_checked();

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	c->targets = targets;
	c->target_count = 2;
	notify_status(n, "opening the disks");
	CU_ASSERT_STRING_EQUAL(hear(fd, WAIT_MS), "STATUS=opening the disks");
	notify_serving(n, c);
	notify_ready(n);
	CU_ASSERT_STRING_EQUAL(hear(fd, WAIT_MS),
			       "READY=1\nSTATUS=serving: 2 targets, 4 LUNs, 0 sessions");
	notify_reloading(n);
	CU_ASSERT_EQUAL(strncmp(hear(fd, WAIT_MS), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
	c->target_count = 1;
	targets[0].lun_count = 1;
	notify_serving(n, c);
	notify_ready(n);
	CU_ASSERT_STRING_EQUAL(hear(fd, WAIT_MS),
			       "READY=1\nSTATUS=serving: 1 target, 1 LUN, 0 sessions");
	notify_stopping(n);
	CU_ASSERT_EQUAL(strncmp(hear(fd, WAIT_MS), "STOPPING=1\n", 11), 0);
	notify_close(n);
	close(fd);
	c->targets = NULL;
	c->target_count = 0;
	config_free(c);
}

/* --- Reactors */

struct hang {
	struct work work;
	sem_t begun, end;
	/* release_and_wait() */
	struct next {
		struct work work;
		sem_t turned;
	} next;
	struct reactor *reactor;
	unsigned int told;
	bool went_on;
};

static void hang(struct work *work)
{
	struct hang *h = container_of(work, struct hang, work);

	sem_post(&h->begun);
	while (sem_wait(&h->end))
		;
}

static void start_reactors(struct reactor *reactors[REACTORS])
{
	for (unsigned int i = 0; i < REACTORS; i++) {
		struct reactor_config cfg = { .index = i, .cpu = -1 };

		CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &reactors[i]), 0);
		CU_ASSERT_EQUAL_FATAL(reactor_start(reactors[i]), 0);
	}
}

static void stop_reactors(struct reactor *reactors[REACTORS])
{
	for (unsigned int i = 0; i < REACTORS; i++) {
		reactor_stop(reactors[i]);
		reactor_join(reactors[i]);
	}
}

static void destroy_reactors(struct reactor *reactors[REACTORS])
{
	for (unsigned int i = 0; i < REACTORS; i++)
		reactor_destroy(reactors[i]);
}

static void each_reactor_has_to_turn(void)
{
	int fd = supervisor_open("200000");
	struct notify *n = notify_checked();
	struct hang h = { .work.fn = hang };
	struct reactor *reactors[REACTORS];

	sem_init(&h.begun, 0, 0);
	sem_init(&h.end, 0, 0);
	start_reactors(reactors);
	notify_watch(n, reactors, REACTORS, NULL);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT(hears(fd, "WATCHDOG=1", WAIT_MS));
	reactor_post(reactors[1], &h.work);
	while (sem_wait(&h.begun))
		;
	/* One answer may have been on its way. */
	while (*hear(fd, 300))
		;
	CU_ASSERT_STRING_EQUAL(hear(fd, 300), "");
	sem_post(&h.end);
	CU_ASSERT(hears(fd, "WATCHDOG=1", WAIT_MS));
	notify_unwatch(n);
	stop_reactors(reactors);
	notify_close(n);
	destroy_reactors(reactors);
	sem_destroy(&h.begun);
	sem_destroy(&h.end);
	close(fd);
}

/* [the watching thread] Lets the reactor go on, and looks whether it can. */
static void release_and_wait(const char *text, void *arg)
{
	struct hang *h = arg;
	struct timespec end;

	if (!strstr(text, "reactor 1 hangs") || h->told++)
		return;
	sem_post(&h->end);
	reactor_post(h->reactor, &h->next.work);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += WAIT_MS / 1000;
	h->went_on = !sem_timedwait(&h->next.turned, &end);
}

static void turned(struct work *work)
{
	sem_post(&container_of(work, struct next, work)->turned);
}

static void no_reactor_waits_for_who_reads_the_log(void)
{
	int fd = supervisor_open("200000");
	struct notify *n = notify_checked();
	struct hang h = { .work.fn = hang, .next.work.fn = turned };
	struct reactor *reactors[REACTORS];

	sem_init(&h.begun, 0, 0);
	sem_init(&h.end, 0, 0);
	sem_init(&h.next.turned, 0, 0);
	log_observe(release_and_wait, &h);
	start_reactors(reactors);
	h.reactor = reactors[1];
	reactor_post(reactors[1], &h.work);
	while (sem_wait(&h.begun))
		;
	notify_watch(n, reactors, REACTORS, NULL);
	CU_ASSERT(hears(fd, "WATCHDOG=1", 3 * WAIT_MS));
	notify_unwatch(n);
	log_observe(NULL, NULL);
	CU_ASSERT(h.told);
	CU_ASSERT(h.went_on);
	stop_reactors(reactors);
	notify_close(n);
	destroy_reactors(reactors);
	sem_destroy(&h.begun);
	sem_destroy(&h.end);
	sem_destroy(&h.next.turned);
	close(fd);
}

static void it_stops_beside_a_reactor_that_hangs(void)
{
	int fd = supervisor_open("1000000");
	struct notify *n = notify_checked();
	struct hang h = { .work.fn = hang };
	struct reactor *reactors[REACTORS];

	sem_init(&h.begun, 0, 0);
	sem_init(&h.end, 0, 0);
	start_reactors(reactors);
	reactor_post(reactors[0], &h.work);
	while (sem_wait(&h.begun))
		;
	notify_watch(n, reactors, REACTORS, NULL);
	notify_unwatch(n);
	sem_post(&h.end);
	stop_reactors(reactors);
	CU_ASSERT_FALSE(hears(fd, "WATCHDOG=1", 0));
	notify_close(n);
	destroy_reactors(reactors);
	sem_destroy(&h.begun);
	sem_destroy(&h.end);
	close(fd);
}

static void a_watchdog_for_somebody_else(void)
{
	int fd = supervisor_open("20000");
	struct reactor *reactors[REACTORS];
	struct notify *n;

	setenv("WATCHDOG_PID", "1", 1);
	n = notify_checked();
	start_reactors(reactors);
	notify_watch(n, reactors, REACTORS, NULL);
	CU_ASSERT(hears(fd, "STATUS=", WAIT_MS));
	CU_ASSERT_FALSE(hears(fd, "WATCHDOG=1", 100));
	stop_reactors(reactors);
	notify_close(n);
	destroy_reactors(reactors);
	close(fd);
}

UNIT_MAIN(TEST(nobody_wants_to_know), TEST(it_says_what_it_does), TEST(each_reactor_has_to_turn),
	  TEST(no_reactor_waits_for_who_reads_the_log), TEST(it_stops_beside_a_reactor_that_hangs),
	  TEST(a_watchdog_for_somebody_else));
