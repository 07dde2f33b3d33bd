// SPDX-License-Identifier: BSD-2-Clause
/*
 * The io_uring of a reactor: set-up on kernels 6.1 to 6.18 with liburing 2.3, submission,
 * completions.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "core/reactor_impl.h"
#include "core/slab.h"

enum { SQ_ENTRIES = 1024, CQ_ENTRIES = 8192 };

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* The best first; an older kernel answers -EINVAL to a flag it does not know. All start disabled:
 * with SINGLE_ISSUER the thread that enables the ring is the one that may use it. */
static const unsigned int setup_flags[] = {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		IORING_SETUP_SUBMIT_ALL,
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		IORING_SETUP_SUBMIT_ALL,
	IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
	0,
};

static int setup(struct reactor_impl *impl)
{
	int err = -EINVAL;

	for (size_t i = 0; i < array_size(setup_flags) && err == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = setup_flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
			.cq_entries = CQ_ENTRIES,
		};

		err = io_uring_queue_init_params(SQ_ENTRIES, &impl->ring, &params);
	}
	return err;
}

static int read_disabled_sysctl(void)
{
	FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	int value = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%d", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

static void explain(int err)
{
	int sysctl = err == -EPERM ? read_disabled_sysctl() : 0;

	if (sysctl)
		log_error("io_uring is disabled on this machine (kernel.io_uring_disabled = %d): "
			  "run 'sysctl kernel.io_uring_disabled=0'%s",
			  sysctl, sysctl == 1 ? " or start as root" : "");
	else if (err == -EPERM || err == -EACCES)
		log_error("io_uring is forbidden here, probably by the seccomp profile of a "
			  "container: allow io_uring_setup, io_uring_enter, io_uring_register");
	else if (err == -ENOSYS)
		log_error("this kernel, or the seccomp profile of a container, has no io_uring: "
			  "riser needs Linux 6.1 or newer");
	else if (err == -ENOMEM)
		log_error("no memory for an io_uring: raise RLIMIT_MEMLOCK (ulimit -l, "
			  "LimitMEMLOCK=) or free memory");
	else
		log_error("cannot create an io_uring: %s", strerror(-err));
}

static int probe(struct reactor_impl *impl)
{
	struct io_uring_probe *probed = io_uring_get_probe_ring(&impl->ring);

	if (!probed)
		return -ENOMEM;
	for (int op = 0; op < IORING_OP_LAST; op++)
		impl->has_op[op] = io_uring_opcode_supported(probed, op);
	io_uring_free_probe(probed);
	return 0;
}

int ring_create(struct reactor_impl *impl)
{
	int err = setup(impl);

	if (err) {
		explain(err);
		return err;
	}
	impl->has_ring = true;
	err = probe(impl);
	if (!err && !(impl->ring.features & IORING_FEAT_EXT_ARG))
		err = -ENOSYS;
	if (err) {
		explain(err);
		ring_destroy(impl);
	}
	return err;
}

void ring_destroy(struct reactor_impl *impl)
{
	if (impl->has_ring)
		io_uring_queue_exit(&impl->ring);
	impl->has_ring = false;
	fixed_destroy(impl);
}

static void arm_wake(struct reactor_impl *impl)
{
	struct io_uring_sqe *sqe = reactor_sqe(&impl->pub, &impl->wake_op);

	io_uring_prep_read(sqe, impl->eventfd, &impl->wake_count, sizeof(impl->wake_count), 0);
}

static void woken(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct reactor_impl *impl = container_of(op, struct reactor_impl, wake_op);

	(void)cqe_flags;
	if (res < 0 && res != -EINTR && res != -EAGAIN)
		impl->broken = res;
	else
		arm_wake(impl);
}

int ring_attach(struct reactor_impl *impl)
{
	int err;

	if (!impl->enabled) {
		/* liburing 2.3 declares io_uring_enable_rings() but does not export it. */
		err = io_uring_register((unsigned int)impl->ring.ring_fd,
					IORING_REGISTER_ENABLE_RINGS, NULL, 0);
		if (err < 0)
			return err;
		impl->enabled = true;
		impl->wake_op.done = woken;
		arm_wake(impl);
	}
	/* Saves a file table look-up per system call; nothing is lost when it does not work. */
	impl->fd_registered = io_uring_register_ring_fd(&impl->ring) == 1;
	return 0;
}

/* The registered ring fd is a slot of this thread: another one could not release it. */
void ring_detach(struct reactor_impl *impl)
{
	if (impl->fd_registered)
		io_uring_unregister_ring_fd(&impl->ring);
	impl->fd_registered = false;
}

unsigned int ring_reap(struct reactor_impl *impl)
{
	struct io_uring *ring = &impl->ring;
	/* Only what is there now: a turn ends even when completions keep coming. */
	unsigned int ready = io_uring_cq_ready(ring), mask = *ring->cq.kring_mask;

	for (unsigned int i = 0; i < ready; i++) {
		const struct io_uring_cqe *cqe = &ring->cq.cqes[*ring->cq.khead & mask];
		struct io_op *op = (struct io_op *)(uintptr_t)cqe->user_data;
		uint32_t flags = cqe->flags;
		int res = cqe->res;

		io_uring_cq_advance(ring, 1);
		if (op)
			op->done(op, res, flags);
	}
	if (ready)
		stat_add(&impl->pub.stats.completions, ready);
	return ready;
}

static void check(struct reactor_impl *impl, int ret)
{
	if (ret < 0 && ret != -ETIME && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		impl->broken = ret;
}

void ring_submit(struct reactor_impl *impl)
{
	struct io_uring *ring = &impl->ring;
	unsigned int kernel_flags = IO_URING_READ_ONCE(*ring->sq.kflags);

	/* With DEFER_TASKRUN completions appear only inside io_uring_enter(GETEVENTS). */
	if (io_uring_sq_ready(ring))
		check(impl, io_uring_submit_and_get_events(ring));
	else if (kernel_flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
		check(impl, io_uring_get_events(ring));
}

void ring_wait(struct reactor_impl *impl)
{
	uint64_t next = timers_next(&impl->timers), now = clock_ns();
	uint64_t ns = next > now ? next - now : 0;
	struct __kernel_timespec ts = {
		.tv_sec = (int64_t)(ns / NSEC_PER_SEC),
		.tv_nsec = (long long)(ns % NSEC_PER_SEC),
	};
	struct io_uring_cqe *cqe;

	impl->slept_at = now;
	if (next == UINT64_MAX)
		ts.tv_sec = 3600; /* nothing to wake for: any long time will do */
	check(impl, io_uring_submit_and_wait_timeout(&impl->ring, &cqe, 1, &ts, NULL));
}

struct io_uring_sqe *reactor_sqe(struct reactor *r, struct io_op *op)
{
	struct reactor_impl *impl = r->impl;
	struct io_uring_sqe *sqe;

	assert(!r->is_virtual);
	assert_owner(r);
	while (!(sqe = io_uring_get_sqe(&impl->ring))) {
		int ret = io_uring_submit(&impl->ring);

		stat_add(&r->stats.sqe_full, 1);
		check(impl, ret);
		if (impl->broken) {
			/* Nothing will complete any more and the loop ends with this turn; the
			 * caller still gets an entry to write to. */
			sqe = &impl->ring.sq.sqes[0];
			break;
		}
		if (ret <= 0)
			sched_yield();
	}
	memset(sqe, 0, sizeof(*sqe));
	sqe->user_data = (uintptr_t)op;
	return sqe;
}

void reactor_submit(struct reactor *r)
{
	assert_owner(r);
	ring_submit(r->impl);
}

void reactor_cancel(struct reactor *r, struct io_op *op)
{
	io_uring_prep_cancel(reactor_sqe(r, NULL), op, 0);
}

bool reactor_has_op(const struct reactor *r, int ioring_op)
{
	return ioring_op >= 0 && ioring_op < IORING_OP_LAST && r->impl->has_op[ioring_op];
}
