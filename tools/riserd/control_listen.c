// SPDX-License-Identifier: BSD-2-Clause
/*
 * Where the control socket is. Two daemons that find the socket of a dead one would take away each other's:
 * whoever looks, removes and listens has the lock of a file beside it meanwhile, and removes that file, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

enum { LOCK_TRIES = 200, LOCK_PAUSE_MS = 10 };

/* --- The lock */

/* -ESTALE: its owner has removed it; -EWOULDBLOCK: somebody has it. */
static int try_lock(const char *name, int *out)
{
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600), err = 0;
	struct stat ours, there;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &ours))
		err = -errno;
	else if (lstat(name, &there) || there.st_dev != ours.st_dev || there.st_ino != ours.st_ino)
		err = -ESTALE;
	if (err)
		close(fd);
	else
		*out = fd;
	return err;
}

/* A descriptor for give_back(); -errno. It is held for as long as a socket is made. */
static int take_lock(const char *name)
{
	static const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000 };
	int fd = -1, err = -EWOULDBLOCK;

	for (unsigned int i = 0; i < LOCK_TRIES && (err == -EWOULDBLOCK || err == -ESTALE); i++) {
		if (i)
			nanosleep(&pause, NULL);
		err = try_lock(name, &fd);
		/* What another user has left behind, in a folder of ours. */
		if (err == -EACCES && unlink(name))
			break;
		if (err == -EACCES)
			err = -ESTALE;
	}
	return err ? err : fd;
}

static void give_back(const char *name, int fd)
{
	unlink(name);
	close(fd);
}

/* --- The socket */

/* 0: somebody listens there, *pid is who, 0: not known; -errno: why not. */
static int probe(const struct sockaddr_un *address, pid_t *pid)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	*pid = 0;
	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
	if (!err && !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		*pid = peer.pid;
	close(fd);
	return err;
}

/* A socket that a daemon has left behind, and nothing else. */
static bool is_left_over(const struct sockaddr_un *address, pid_t *pid)
{
	struct stat st;

	return !lstat(address->sun_path, &st) && S_ISSOCK(st.st_mode) &&
	       probe(address, pid) == -ECONNREFUSED;
}

/* errno. *pid: of who has it. */
static int bind_there(int fd, const struct sockaddr_un *address, pid_t *pid)
{
	if (!bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return 0;
	if (errno != EADDRINUSE)
		return errno;
	if (!is_left_over(address, pid))
		return EADDRINUSE;
	unlink(address->sun_path);
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
}

/* [lock held] errno. */
static int make(const struct sockaddr_un *address, int *out, pid_t *pid)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return errno;
	err = bind_there(fd, address, pid);
	/* Who may do what is found out by asking the kernel who is there. */
	if (!err && (chmod(address->sun_path, 0666) || listen(fd, SOMAXCONN))) {
		err = errno;
		unlink(address->sun_path);
	}
	if (err)
		close(fd);
	else
		*out = fd;
	return err;
}

static void tell(const char *path, int err, pid_t pid, char *why, size_t why_size)
{
	static const char another[] =
		"name another one with --control, or in control { socket = PATH }";

	if (err == EADDRINUSE && pid)
		snprintf(why, why_size,
			 "control socket %s: another riserd serves it, process %d; %s", path,
			 (int)pid, another);
	else if (err == EADDRINUSE)
		snprintf(why, why_size,
			 "control socket %s: %s; another riserd serves it, or it is no socket",
			 path, strerror(err));
	else if (err == EWOULDBLOCK || err == ESTALE)
		snprintf(
			why, why_size,
			"control socket %s: another riserd has been at it for 2 s, by the lock of %s.lock; %s",
			path, path, another);
	else if (err == ELOOP || err == EISDIR)
		snprintf(why, why_size, "control socket %s: %s.lock is no file: %s; remove it",
			 path, path, strerror(err));
	else if (err == ENOENT)
		snprintf(
			why, why_size,
			"control socket %s: %s; its folder is not there, make it or name another with "
			"--control",
			path, strerror(err));
	else
		snprintf(why, why_size, "control socket %s: %s%s%s", path, strerror(err),
			 err == EACCES || err == EPERM ? "; " : "",
			 err == EACCES || err == EPERM ? another : "");
}

int control_listen(const char *path, int *out, char *why, size_t why_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char lock[sizeof(address.sun_path) + 8];
	size_t len = strlen(path);
	pid_t pid = 0;
	int fd, err;

	if (!len || len >= sizeof(address.sun_path)) {
		snprintf(why, why_size, "control socket %s: its name has not 1 to %zu bytes", path,
			 sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, len + 1);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	fd = take_lock(lock);
	err = fd < 0 ? -fd : make(&address, out, &pid);
	if (fd >= 0)
		give_back(lock, fd);
	if (err)
		tell(path, err, pid, why, why_size);
	return -err;
}
