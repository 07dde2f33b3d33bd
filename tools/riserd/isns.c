// SPDX-License-Identifier: BSD-2-Clause
/*
 * Keeps a registration with an iSNS server alive. A thread of its own runs riser-isns, one process
 * for each conversation, with an end in time: whatever a server says or leaves unsaid, and whatever
 * becomes of the library that reads it, riserd has lost a child.
 *
 *   nothing known --register--> registered --refresh, each third of the period--> registered
 *        ^ |                        | |
 *        | +- failed: later again   | +- failed: the same, with refresh
 *        +---------- deregister ----+
 */
#include "isns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	ATTEMPT_MS = 12000, /* a conversation */
	STOP_MS = 1500, /* the last one */
	RETRY_MS = 1000, /* after a failure; twice as long after each that follows, up to: */
	RETRY_MAX_MS = 60000,
	REFRESH_MAX_MS = 300000, /* the server may forget us in a restart */
	ADDRESS_TEXT = INET6_ADDRSTRLEN + 16,
	ARGS_MAX = 6 + 4 * OPTION_PORTALS + 1,
};

struct isns {
	pthread_t thread;
	int stop; /* eventfd: isns_stop() was called */
	bool stopping;
	char program[PATH_MAX + 32];
	char server[64]; /* as logged */
	char *args[ARGS_MAX];
	char text[OPTION_PORTALS + 1][3][ADDRESS_TEXT]; /* of args: address, port, tag */
	/* the thread's */
	char said[1024]; /* by riser-isns: the end of it */
	size_t said_len;
};

static bool find_program(char *path, size_t size)
{
	static const char *const places[] = { "", "../lib/riser/" };
	char folder[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", folder, sizeof(folder));

	while (len > 0 && folder[len - 1] != '/')
		len--;
	for (unsigned int i = 0; len > 0 && i < array_size(places); i++) {
		int n = snprintf(path, size, "%.*s%sriser-isns", (int)len, folder, places[i]);

		if ((size_t)n < size && !access(path, X_OK))
			return true;
	}
	return false;
}

/* Address and port as riser-isns reads them. */
static void print_address(const struct sockaddr_storage *ss, char text[3][ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN] = "";
	uint16_t port;

	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)ss;

		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text[0], ADDRESS_TEXT, "%s%%%u", host, v6->sin6_scope_id);
		port = v6->sin6_port;
	} else {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)ss;

		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text[0], ADDRESS_TEXT, "%s", host);
		port = v4->sin_port;
	}
	snprintf(text[1], ADDRESS_TEXT, "%u", ntohs(port));
}

/* args[1], the verb, changes. */
static void make_args(struct isns *is, const struct options *o)
{
	unsigned int n = 0;

	print_address(&o->isns.addr, is->text[OPTION_PORTALS]);
	is->args[n++] = is->program;
	is->args[n++] = NULL;
	is->args[n++] = is->text[OPTION_PORTALS][0];
	is->args[n++] = is->text[OPTION_PORTALS][1];
	is->args[n++] = (char *)(uintptr_t) "target";
	is->args[n++] = (char *)(uintptr_t)o->target_name;
	for (unsigned int i = 0; i < o->portal_count; i++) {
		const struct option_portal *p = &o->portals[i];

		if (!(p->transports & PORTAL_TCP))
			continue; /* iSNS has no word for what is spoken at a port */
		print_address(&p->address.addr, is->text[i]);
		snprintf(is->text[i][2], ADDRESS_TEXT, "%u", p->tag);
		is->args[n++] = (char *)(uintptr_t) "portal";
		is->args[n++] = is->text[i][0];
		is->args[n++] = is->text[i][1];
		is->args[n++] = is->text[i][2];
	}
	is->args[n] = NULL;
}

/* --- a conversation */

static int spawn(struct isns *is, int out, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, pipe_only;
	int err;

	sigemptyset(&none);
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	if (posix_spawn_file_actions_init(&files))
		return ENOMEM;
	err = posix_spawnattr_init(&attr);
	if (err)
		goto err_files;
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &pipe_only);
	err = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&files, out, 1);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&files, out, 2);
	if (!err)
		err = posix_spawn(pid, is->program, &files, &attr, is->args, environ);
	posix_spawnattr_destroy(&attr);
err_files:
	posix_spawn_file_actions_destroy(&files);
	return err;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}

/* The last words count: when there are too many, the first are forgotten. False: that was all. */
static bool listen_to(struct isns *is, int fd)
{
	char more[256];
	ssize_t n = read(fd, more, sizeof(more));
	size_t kept = is->said_len;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	if (kept > sizeof(is->said) - 1 - (size_t)n)
		kept = sizeof(is->said) - 1 - (size_t)n;
	memmove(is->said, is->said + is->said_len - kept, kept);
	memcpy(is->said + kept, more, (size_t)n);
	is->said_len = kept + (size_t)n;
	is->said[is->said_len] = '\0';
	return true;
}

/* Until the child ends, or its time; or, when it may be, riserd's. False: it has not ended. */
static bool attend(struct isns *is, int out, int child, int ms, bool interruptible)
{
	int64_t end = now_ms() + ms, left;
	struct pollfd fds[3] = {
		{ .fd = child, .events = POLLIN },
		{ .fd = out, .events = POLLIN },
		{ .fd = interruptible ? is->stop : -1, .events = POLLIN },
	};

	while ((left = end - now_ms()) > 0) {
		if (poll(fds, array_size(fds), (int)left) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (fds[2].revents) {
			is->stopping = true;
			return false;
		}
		if (fds[1].revents && !listen_to(is, out))
			fds[1].fd = -1;
		else if (fds[0].revents && !fds[1].revents)
			return true;
	}
	return false;
}

/* Its reason is the last line. */
static void log_failure(struct isns *is, enum log_level level)
{
	char text[256];
	size_t end = is->said_len, from;

	while (end && (is->said[end - 1] == '\n' || is->said[end - 1] == ' '))
		end--;
	for (from = end; from && is->said[from - 1] != '\n';)
		from--;
	log_escape(text, sizeof(text), is->said + from, end - from);
	log_write(level, "iSNS server %s: not registered: %s; trying again", is->server,
		  end ? text : "no answer");
}

static void say(struct isns *is, int err)
{
	snprintf(is->said, sizeof(is->said), "cannot run riser-isns: %s", strerrordesc_np(err));
	is->said_len = strlen(is->said);
}

enum outcome { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_UNKNOWN };

static enum outcome outcome_of(int status)
{
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 3)
		return OUTCOME_UNKNOWN;
	return WEXITSTATUS(status) ? OUTCOME_REFUSED : OUTCOME_DONE;
}

/* Runs riser-isns; what it says is in said. UNKNOWN: the server may have heard of it. */
static enum outcome run(struct isns *is, const char *verb, int ms, bool interruptible)
{
	int pipes[2], child, status = 0, err;
	bool ended;
	pid_t pid;

	is->args[1] = (char *)(uintptr_t)verb;
	is->said_len = 0;
	if (pipe2(pipes, O_CLOEXEC)) {
		say(is, errno);
		return OUTCOME_REFUSED;
	}
	err = spawn(is, pipes[1], &pid);
	close(pipes[1]);
	if (err) {
		say(is, err);
		close(pipes[0]);
		return OUTCOME_REFUSED;
	}
	child = pidfd_open(pid, 0);
	ended = child >= 0 && attend(is, pipes[0], child, ms, interruptible);
	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (child >= 0)
		close(child);
	close(pipes[0]);
	return ended ? outcome_of(status) : OUTCOME_UNKNOWN;
}

/* --- the thread */

static void wait_for_stop(struct isns *is, int ms)
{
	struct pollfd fd = { .fd = is->stop, .events = POLLIN };

	/* A signal shortens it: nothing lost. */
	if (poll(&fd, 1, ms) > 0)
		is->stopping = true;
}

/* ms until the registration is to be refreshed. */
static int refresh_after(const struct isns *is)
{
	const char *said = strstr(is->said, "period ");
	unsigned long period = said ? strtoul(said + strlen("period "), NULL, 10) : 0;

	if (!period || period > REFRESH_MAX_MS / 1000 * 3)
		return REFRESH_MAX_MS;
	return period < 3 ? 1000 : (int)(period * 1000 / 3);
}

static void *keep_registered(void *arg)
{
	struct isns *is = arg;
	bool known = false; /* the server may have something of us */
	bool registered = false, complained = false;
	const char *verb = "register";
	int retry = RETRY_MS;

	while (!is->stopping) {
		enum outcome outcome = run(is, verb, ATTEMPT_MS, true);

		known |= outcome != OUTCOME_REFUSED;
		if (is->stopping)
			break;
		if (outcome == OUTCOME_DONE) {
			if (!registered)
				log_info("iSNS server %s: registered", is->server);
			registered = true;
			complained = false;
			verb = "refresh";
			retry = RETRY_MS;
			wait_for_stop(is, refresh_after(is));
			continue;
		}
		log_failure(is, complained ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN);
		complained = true;
		registered = false;
		wait_for_stop(is, retry);
		retry = retry * 2 < RETRY_MAX_MS ? retry * 2 : RETRY_MAX_MS;
	}
	if (!known)
		return NULL;
	if (run(is, "deregister", STOP_MS, false) == OUTCOME_DONE)
		log_info("iSNS server %s: deregistered", is->server);
	else if (registered)
		log_warn("iSNS server %s: not deregistered, it does not answer", is->server);
	return NULL;
}

int isns_start(const struct options *o, struct isns **out)
{
	struct isns *is = calloc(1, sizeof(*is));
	int err = -ENOMEM;

	if (!is)
		goto err_log;
	err = -ENOENT;
	if (!find_program(is->program, sizeof(is->program))) {
		log_error("--isns: riser-isns is neither beside riserd nor in ../lib/riser");
		goto err_free;
	}
	/* Who started us may ignore it: then nobody could learn how a child has ended. */
	signal(SIGCHLD, SIG_DFL);
	address_format(&o->isns.addr, is->server, sizeof(is->server));
	make_args(is, o);
	is->stop = eventfd(0, EFD_CLOEXEC);
	err = -errno;
	if (is->stop < 0)
		goto err_free_log;
	err = -pthread_create(&is->thread, NULL, keep_registered, is);
	if (err)
		goto err_close;
	*out = is;
	return 0;

err_close:
	close(is->stop);
err_free_log:
	free(is);
err_log:
	log_error("--isns: %s", strerror(-err));
	return err;
err_free:
	free(is);
	return err;
}

void isns_stop(struct isns *is)
{
	if (is)
		eventfd_write(is->stop, 1);
}

void isns_join(struct isns *is)
{
	if (!is)
		return;
	pthread_join(is->thread, NULL);
	close(is->stop);
	free(is);
}
