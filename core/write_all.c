// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <unistd.h>

#include "core/write_all.h"

int write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n) /* what is no file may do that, and would do it for ever */
			return -EIO;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}
