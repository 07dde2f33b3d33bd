// SPDX-License-Identifier: BSD-2-Clause
/* Where the control socket is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"

/* 0: somebody listens there; -errno: why not. */
static int probe(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
	close(fd);
	return err;
}

/* A socket that a daemon has left behind, and nothing else. */
static bool is_left_over(const struct sockaddr_un *address)
{
	struct stat st;

	return !lstat(address->sun_path, &st) && S_ISSOCK(st.st_mode) &&
	       probe(address) == -ECONNREFUSED;
}

static const char *way_out(int err)
{
	switch (err) {
	case EADDRINUSE: return "; another riserd serves it, or it is no socket";
	case ENOENT: return "; its folder is not there, make it or name another with --control";
	case EACCES:
	case EPERM: return "; name another one with --control, or in control { socket = PATH }";
	}
	return "";
}

int control_listen(const char *path, int *out, char *why, size_t why_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int err = 0, fd;

	if (!len || len >= sizeof(address.sun_path)) {
		snprintf(why, why_size, "control socket %s: its name has not 1 to %zu bytes", path,
			 sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, len + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		err = errno;
	if (!err && bind(fd, (struct sockaddr *)&address, sizeof(address)))
		err = errno;
	if (err == EADDRINUSE && is_left_over(&address)) {
		unlink(path);
		err = bind(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
	}
	/* Who may do what is found out by asking the kernel who is there. */
	if (!err && (chmod(path, 0666) || listen(fd, SOMAXCONN)))
		err = errno;
	if (err) {
		snprintf(why, why_size, "control socket %s: %s%s", path, strerror(err),
			 way_out(err));
		if (fd >= 0)
			close(fd);
		return -err;
	}
	*out = fd;
	return 0;
}
