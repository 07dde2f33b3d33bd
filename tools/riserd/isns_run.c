// SPDX-License-Identifier: BSD-2-Clause
/* One conversation with an iSNS server: a process that says what is to be said, see isns.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "isns_impl.h"

/* Address and port as riser-isns reads them. */
void isns_print_address(const struct sockaddr_storage *ss, char text[2][ISNS_ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN] = "";
	uint16_t port;

	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)ss;

		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text[0], ISNS_ADDRESS_TEXT, "%s%%%u", host, v6->sin6_scope_id);
		port = v6->sin6_port;
	} else {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)ss;

		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text[0], ISNS_ADDRESS_TEXT, "%s", host);
		port = v4->sin_port;
	}
	snprintf(text[1], ISNS_ADDRESS_TEXT, "%u", ntohs(port));
}

/* False: errno. */
static bool write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return false;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* Each line of it with "was-" in front. */
static bool write_past(int fd, const char *items)
{
	while (*items) {
		size_t len = strcspn(items, "\n") + 1;

		if (!write_all(fd, "was-", 4) || !write_all(fd, items, len))
			return false;
		items += len;
	}
	return true;
}

/* What riser-isns reads, in memory; -1: errno. */
static int make_input(const struct isns *is)
{
	int fd = memfd_create("riser-isns", MFD_CLOEXEC);

	if (fd >= 0 && write_all(fd, is->now->items, is->now->len) &&
	    (!is->had || write_past(fd, is->had->items)) && !lseek(fd, 0, SEEK_SET))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int spawn(struct isns *is, char *const *args, int in, int out, pid_t *pid)
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
	err = posix_spawn_file_actions_adddup2(&files, in, 0);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&files, out, 1);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&files, out, 2);
	if (!err)
		err = posix_spawn(pid, is->program, &files, &attr, args, environ);
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

static void say(struct isns *is, int err)
{
	snprintf(is->said, sizeof(is->said), "cannot run riser-isns: %s", strerrordesc_np(err));
	is->said_len = strlen(is->said);
}

static enum outcome outcome_of(int status)
{
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 3)
		return OUTCOME_UNKNOWN;
	return WEXITSTATUS(status) ? OUTCOME_REFUSED : OUTCOME_DONE;
}

/* Begins riser-isns; *out: what it says. 0 or errno. */
static int begin(struct isns *is, const char *verb, pid_t *pid, int *out)
{
	char address[2][ISNS_ADDRESS_TEXT];
	char *args[] = { is->program, (char *)(uintptr_t)verb, address[0], address[1], is->entity,
			 NULL };
	int pipes[2], in, err;

	isns_print_address(&is->address.addr, address);
	in = make_input(is);
	if (in < 0)
		return errno;
	err = pipe2(pipes, O_CLOEXEC) ? errno : 0;
	if (!err) {
		err = spawn(is, args, in, pipes[1], pid);
		close(pipes[1]);
		*out = pipes[0];
		if (err)
			close(pipes[0]);
	}
	close(in);
	return err;
}

enum outcome isns_run(struct isns *is, const char *verb, int ms, bool interruptible)
{
	int out = -1, child, status = 0, err;
	bool ended;
	pid_t pid;

	is->said_len = 0;
	is->said[0] = '\0';
	err = begin(is, verb, &pid, &out);
	if (err) {
		say(is, err);
		return OUTCOME_REFUSED;
	}
	child = pidfd_open(pid, 0);
	ended = child >= 0 && attend(is, out, child, ms, interruptible);
	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (child >= 0)
		close(child);
	close(out);
	return ended ? outcome_of(status) : OUTCOME_UNKNOWN;
}
