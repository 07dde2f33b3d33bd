// SPDX-License-Identifier: BSD-2-Clause
/*
 * For LD_PRELOAD under valgrind 3.19, which does not know that io_uring_enter() may block, and lets
 * no other thread run meanwhile: sleeps in ppoll() on the ring instead.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
				     unsigned int wanted, struct __kernel_timespec *ts,
				     sigset_t *signals)
{
	/* What the kernel has deferred to this thread does not end a poll: look every millisecond. */
	const struct timespec slice = { .tv_nsec = 1000000 };
	struct pollfd fd = { .fd = ring->ring_fd, .events = POLLIN };
	long long left = ts ? ts->tv_sec * 1000 + ts->tv_nsec / 1000000 + 1 : -1;
	int ret = io_uring_submit_and_get_events(ring);

	while (ret >= 0 && io_uring_cq_ready(ring) < wanted && left-- != 0) {
		if (ppoll(&fd, 1, &slice, signals) < 0)
			return -errno;
		ret = io_uring_get_events(ring);
	}
	if (ret < 0)
		return ret;
	return io_uring_peek_cqe(ring, cqe) ? -ETIME : 0;
}
