// SPDX-License-Identifier: BSD-2-Clause
#include "notify.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "options.h"

enum {
	MESSAGE = 512,
	STATUS_PERIOD_MS = 10000, /* how old the status may be */
	PARTS = 4, /* of the watchdog's time: one passes between two questions */
};

/* A question to a reactor. It answers in its next turn. */
struct beat {
	struct work work;
	struct notify *notify;
	bool asked; /* under notify->lock */
};

struct notify {
	int fd;
	struct sockaddr_un to;
	socklen_t to_len;
	uint64_t watchdog_ns; /* 0: nobody waits for a sign of life */
	/* Since notify_watch(). */
	struct reactor **reactors;
	struct beat *beats;
	unsigned int count;
	struct server *server;
	pthread_t thread;
	bool watching;
	pthread_mutex_t lock; /* what follows; never held for long */
	pthread_cond_t changed;
	bool over;
	unsigned int targets, luns;
	char told[MESSAGE]; /* the last status */
};

/* Nobody is waited for: a supervisor with a full queue will hear of the next one. */
__attribute__((format(printf, 2, 3))) static void tell(struct notify *n, const char *fmt, ...)
{
	char text[MESSAGE];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len <= 0)
		return;
	if ((size_t)len >= sizeof(text))
		len = sizeof(text) - 1;
	sendto(n->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT,
	       (const struct sockaddr *)&n->to, n->to_len);
}

/* A path, or with '@' in front a name that is in no folder. False: neither. */
static bool parse_address(struct notify *n, const char *name)
{
	size_t len = strlen(name);

	if ((*name != '/' && *name != '@') || len < 2 || len >= sizeof(n->to.sun_path))
		return false;
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, name, len);
	if (*name == '@')
		n->to.sun_path[0] = '\0';
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*name == '/'));
	return true;
}

/* The watchdog may be meant for somebody else: a shell that has started us, say. */
static uint64_t watchdog_time(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t time, of;

	if (!usec || (pid && (!parse_number(pid, INT32_MAX, &of) || of != (uint64_t)getpid())))
		return 0;
	if (parse_number(usec, UINT64_MAX / NSEC_PER_USEC, &time) && time)
		return time * NSEC_PER_USEC;
	log_warn(
		"WATCHDOG_USEC is '%s': not a number of microseconds; there will be no signs of life",
		usec);
	return 0;
}

static void forget_environment(void)
{
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

struct notify *notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	pthread_condattr_t clock;
	struct notify *n;

	if (!name)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (n->fd < 0 || !parse_address(n, name)) {
		log_warn("cannot tell NOTIFY_SOCKET '%s' that we serve: %s", name,
			 n->fd < 0 ? strerrordesc_np(errno) : "neither a path nor @ and a name");
		if (n->fd >= 0)
			close(n->fd);
		free(n);
		n = NULL;
	} else {
		n->watchdog_ns = watchdog_time();
		pthread_mutex_init(&n->lock, NULL);
		pthread_condattr_init(&clock);
		pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
		pthread_cond_init(&n->changed, &clock);
		pthread_condattr_destroy(&clock);
	}
	forget_environment();
	return n;
}

void notify_status(struct notify *n, const char *text)
{
	if (n)
		tell(n, "STATUS=%s", text);
}

void notify_serving(struct notify *n, const struct config *c)
{
	unsigned int luns = 0;

	if (!n)
		return;
	for (unsigned int i = 0; i < c->target_count; i++)
		luns += c->targets[i].lun_count;
	pthread_mutex_lock(&n->lock);
	if (n->targets != c->target_count || n->luns != luns)
		n->told[0] = '\0';
	n->targets = c->target_count;
	n->luns = luns;
	pthread_mutex_unlock(&n->lock);
}

void notify_reloading(struct notify *n)
{
	struct timespec ts;

	if (!n)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	tell(n, "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reading the configuration again",
	     (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

void notify_stopping(struct notify *n)
{
	if (n)
		tell(n, "STOPPING=1\nSTATUS=stopping: commands in progress finish");
}

/* --- What is served */

static void count_session(const struct session_info *session, void *arg)
{
	unsigned int *sessions = arg;

	(void)session;
	++*sessions;
}

static void describe(struct notify *n, char text[MESSAGE])
{
	unsigned int sessions = 0;

	if (n->server)
		server_each_session(n->server, count_session, &sessions);
	pthread_mutex_lock(&n->lock);
	snprintf(text, MESSAGE, "serving: %u target%s, %u LUN%s, %u session%s", n->targets,
		 n->targets == 1 ? "" : "s", n->luns, n->luns == 1 ? "" : "s", sessions,
		 sessions == 1 ? "" : "s");
	pthread_mutex_unlock(&n->lock);
}

void notify_ready(struct notify *n)
{
	char text[MESSAGE];

	if (!n)
		return;
	describe(n, text);
	tell(n, "READY=1\nSTATUS=%s", text);
}

/* A supervisor that looks at nothing is not told the same thing twice. */
static void tell_status(struct notify *n)
{
	char text[MESSAGE];

	describe(n, text);
	pthread_mutex_lock(&n->lock);
	if (strcmp(n->told, text) != 0) {
		tell(n, "STATUS=%s", text);
		memcpy(n->told, text, sizeof(text));
	}
	pthread_mutex_unlock(&n->lock);
}

/* --- The watchdog */

/* [reactor] */
static void answer(struct work *work)
{
	struct beat *b = container_of(work, struct beat, work);

	pthread_mutex_lock(&b->notify->lock);
	b->asked = false;
	pthread_cond_signal(&b->notify->changed);
	pthread_mutex_unlock(&b->notify->lock);
}

static struct timespec after(uint64_t ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns += (uint64_t)ts.tv_nsec;
	ts.tv_sec += (time_t)(ns / NSEC_PER_SEC);
	ts.tv_nsec = (long)(ns % NSEC_PER_SEC);
	return ts;
}

/* lock held. The first reactor that has not answered, or count. */
static unsigned int first_silent(const struct notify *n)
{
	unsigned int i = 0;

	while (i < n->count && !n->beats[i].asked)
		i++;
	return i;
}

/* lock held. Until all have answered; each time this has taken a period, the log hears of it: without the
 * lock, because a log that nobody reads may block, and no reactor shall wait for that. */
static void await_answers(struct notify *n, uint64_t period)
{
	struct timespec end = after(period);
	unsigned int silent;

	while (!n->over && (silent = first_silent(n)) < n->count) {
		if (pthread_cond_timedwait(&n->changed, &n->lock, &end) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&n->lock);
		log_error("reactor %u hangs: no turn for %llu ms; the supervisor's watchdog gets "
			  "no sign of life",
			  silent, (unsigned long long)(period / NSEC_PER_MSEC));
		pthread_mutex_lock(&n->lock);
		end = after(period);
	}
}

static void ask(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	for (unsigned int i = 0; i < n->count; i++)
		n->beats[i].asked = true;
	pthread_mutex_unlock(&n->lock);
	for (unsigned int i = 0; i < n->count; i++)
		reactor_post(n->reactors[i], &n->beats[i].work);
}

/* Signs of life cease when one reactor does not answer, and only then: a main thread that waits for a slow
 * disk does not make the service restart. */
static void *watch(void *arg)
{
	struct notify *n = arg;
	uint64_t period = STATUS_PERIOD_MS * NSEC_PER_MSEC;
	bool over = false;

	if (n->watchdog_ns && n->watchdog_ns / PARTS < period)
		period = n->watchdog_ns / PARTS;
	while (!over) {
		struct timespec next = after(period);

		if (n->watchdog_ns)
			ask(n);
		pthread_mutex_lock(&n->lock);
		await_answers(n, period);
		over = n->over;
		pthread_mutex_unlock(&n->lock);
		if (over)
			break;
		if (n->watchdog_ns)
			tell(n, "WATCHDOG=1");
		tell_status(n);
		pthread_mutex_lock(&n->lock);
		while (!n->over &&
		       pthread_cond_timedwait(&n->changed, &n->lock, &next) != ETIMEDOUT)
			;
		over = n->over;
		pthread_mutex_unlock(&n->lock);
	}
	return NULL;
}

void notify_watch(struct notify *n, struct reactor **reactors, unsigned int count,
		  struct server *server)
{
	if (!n)
		return;
	n->beats = calloc(count, sizeof(*n->beats));
	if (n->beats) {
		for (unsigned int i = 0; i < count; i++)
			n->beats[i] = (struct beat){ .work = { .fn = answer }, .notify = n };
		n->reactors = reactors;
		n->count = count;
		n->server = server;
		n->watching = !pthread_create(&n->thread, NULL, watch, n);
	}
	if (!n->watching)
		log_warn("no thread for the supervisor: it gets no signs of life");
}

void notify_unwatch(struct notify *n)
{
	if (!n || !n->watching)
		return;
	pthread_mutex_lock(&n->lock);
	n->over = true;
	pthread_cond_signal(&n->changed);
	pthread_mutex_unlock(&n->lock);
	pthread_join(n->thread, NULL);
	n->watching = false;
	n->server = NULL;
}

void notify_close(struct notify *n)
{
	if (!n)
		return;
	notify_unwatch(n);
	close(n->fd);
	pthread_cond_destroy(&n->changed);
	pthread_mutex_destroy(&n->lock);
	free(n->beats);
	free(n);
}
