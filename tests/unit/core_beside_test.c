// SPDX-License-Identifier: BSD-2-Clause
/* Files beside the executable: this program is one of its own neighbours. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/beside.h"
#include "tests/lib/unit.h"

static void it_finds_itself(void)
{
	char path[PATH_MAX], self[PATH_MAX] = "";

	CU_ASSERT_FATAL(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	CU_ASSERT(find_beside(strrchr(self, '/') + 1, X_OK, path, sizeof(path)));
	CU_ASSERT_STRING_EQUAL(path, self);
	CU_ASSERT(!find_beside(strrchr(self, '/') + 1, X_OK, path, strlen(self)));
}

static void what_is_not_there_is_not_found(void)
{
	char path[PATH_MAX];

	CU_ASSERT(!find_beside("riser-of-no-such-name", F_OK, path, sizeof(path)));
}

UNIT_MAIN(TEST(it_finds_itself), TEST(what_is_not_there_is_not_found));
