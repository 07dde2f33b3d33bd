// SPDX-License-Identifier: BSD-2-Clause
#include "core/beside.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

bool find_beside(const char *name, int mode, char *path, size_t size)
{
	static const char *const places[] = { "", "../lib/riser/" };
	char folder[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", folder, sizeof(folder));

	while (len > 0 && folder[len - 1] != '/')
		len--;
	for (size_t i = 0; len > 0 && i < sizeof(places) / sizeof(places[0]); i++) {
		int n = snprintf(path, size, "%.*s%s%s", (int)len, folder, places[i], name);

		if ((size_t)n < size && !access(path, mode))
			return true;
	}
	return false;
}
