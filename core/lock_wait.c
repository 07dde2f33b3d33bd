// SPDX-License-Identifier: BSD-2-Clause
#include "lock_wait.h"

#include <errno.h>
#include <time.h>

#include "log.h"

enum { STEP_MS = 10, TELL_AFTER = 100, GIVE_UP_AFTER = 500 /* steps */ };

int lock_wait(int (*try_lock)(void *arg), void *arg, const char *path)
{
	static const struct timespec pause = { .tv_nsec = STEP_MS * 1000000 };
	int err = try_lock(arg);

	for (int steps = 1; (err == -EBUSY || err == -EAGAIN) && steps <= GIVE_UP_AFTER; steps++) {
		if (steps == TELL_AFTER)
			log_info("%s is locked: waiting for %d s at most", path,
				 (GIVE_UP_AFTER - TELL_AFTER) * STEP_MS / 1000);
		nanosleep(&pause, NULL);
		err = try_lock(arg);
	}
	return err;
}
