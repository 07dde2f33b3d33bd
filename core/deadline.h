// SPDX-License-Identifier: BSD-2-Clause
/* Waiting until a deadline. */
#ifndef RISER_CORE_DEADLINE_H
#define RISER_CORE_DEADLINE_H

#include <errno.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "core/memcheck.h"

#if THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

/* CLOCK_MONOTONIC: who sets the time of day makes no wait longer or shorter. */
static inline struct timespec deadline_in(uint32_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static inline bool deadline_passed(const struct timespec *deadline)
{
	struct timespec now = deadline_in(0);

	return now.tv_sec > deadline->tv_sec ||
	       (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec);
}

/* sem_wait(), signals or not. False: the deadline has passed. */
static inline bool deadline_wait(sem_t *sem, const struct timespec *deadline)
{
	int err;

	do
		err = sem_clockwait(sem, CLOCK_MONOTONIC, deadline);
	while (err && errno == EINTR);
#if THREAD_SANITIZER
	/* The thread sanitizer does not know sem_clockwait(): what was done before sem_post() is visible. */
	if (!err)
		__tsan_acquire(sem);
#endif
	return !err;
}

#endif
