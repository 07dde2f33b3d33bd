// SPDX-License-Identifier: BSD-2-Clause
/*
 * A reactor: one thread, one io_uring, one sleeping point for sockets, disks, timers and
 * messages from other reactors. design: threads and ownership in ARCHITECTURE.md.
 *
 * One turn of the loop: completions -> pollers -> messages -> timers -> deferred work -> submit
 * (and sleep when nothing is left to do). Deferred work is where a transport sends everything that
 * was queued on a connection during the turn.
 */
#ifndef RISER_CORE_REACTOR_H
#define RISER_CORE_REACTOR_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/list.h"

struct slab;
struct slab_cache;

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull

/* An operation on the ring. Embedded in its owner, lives until done() was called for the last
 * time (IORING_CQE_F_MORE not set in cqe_flags). */
struct io_op {
	/* [owner thread] res: as the CQE has it, >= 0 or -errno. */
	void (*done)(struct io_op *op, int res, uint32_t cqe_flags);
};

/* A function to be called once on a reactor's thread. Embedded in its owner. */
struct work {
	void (*fn)(struct work *work);
	struct work *next;
	bool queued; /* reactor_defer() only */
};

struct timer {
	void (*fn)(struct timer *timer);
	uint64_t deadline; /* CLOCK_MONOTONIC, ns; 0 = not armed */
	uint32_t slot; /* place in the reactor's heap */
};

/* What is looked at in every turn instead of waiting for the ring: a completion queue of a device.
 * Embedded in its owner. */
struct poller {
	struct list node; /* the reactor's */
	/* Does the work that is there; true: there was some. */
	bool (*poll)(struct poller *p);
	/* The reactor is about to sleep: sees to it that an operation on the ring wakes it when there
	 * is work. True: there is work now, do not sleep. */
	bool (*arm)(struct poller *p);
};

struct reactor_config {
	unsigned int index; /* 0..n-1, small and dense: indexes per-reactor arrays */
	int cpu; /* pin the thread to this CPU; -1 = do not pin */
	struct slab *slab; /* borrowed for the reactor's life; may be NULL in tests */
	uint64_t busy_poll_ns; /* spin at most this long after the last work before sleeping */
};

/* Counters of one reactor, written by its thread, read by anyone (relaxed). */
struct reactor_stats {
	_Atomic uint64_t turns, sleeps, completions, messages, timers_fired, sqe_full;
	_Atomic uint64_t bytes_copied; /* payload bytes the CPU copied between wire and disk */
	_Atomic uint64_t busy_ns; /* turns that had something to do, neither spinning nor asleep */
};

#define REACTOR_MAX 64

struct reactor {
	unsigned int index;
	bool is_virtual;
	uint64_t now; /* reactor_now() */
	struct slab_cache *buffers; /* core/slab.h */
	struct reactor_stats stats;
	_Atomic uint32_t load; /* connections owned; for placement of new ones */
	struct reactor_impl *impl;
};

/* Opens the ring (flags probed, EINVAL drops a flag). *out is NULL on error. Errors: -ENOMEM, or
 * what io_uring_setup says; logged once with the way out (io_uring disabled by sysctl or seccomp,
 * RLIMIT_MEMLOCK). [any thread; the caller must then call reactor_run on the owning thread] */
int reactor_create(const struct reactor_config *cfg, struct reactor **out);

/* A reactor for tests and fuzzers: no ring and no thread; the clock stands still until
 * reactor_advance(). reactor_sqe() must not be called on it. */
int reactor_create_virtual(struct slab *slab, struct reactor **out);

/* Runs until reactor_stop(); returns 0 or -errno when the ring broke. The caller becomes the
 * owner thread. */
int reactor_run(struct reactor *r);
/* Starts a thread that runs the reactor; reactor_join waits for it. */
int reactor_start(struct reactor *r);
void reactor_join(struct reactor *r);
/* [any thread] The loop ends after the present turn. */
void reactor_stop(struct reactor *r);
/* [any thread] Another reactor_config.busy_poll_ns from now on. */
void reactor_set_busy_poll(struct reactor *r, uint64_t ns);
/* Not running any more. Frees everything. NULL is fine. */
void reactor_destroy(struct reactor *r);

/* [owner thread or a virtual reactor's test] One turn without sleeping; true if anything was done. */
bool reactor_turn(struct reactor *r);
/* Virtual reactors: moves the clock by ns, firing timers in order, and turns until idle. */
void reactor_advance(struct reactor *r, uint64_t ns);

/* The reactor whose thread we are on, or NULL. A virtual reactor is "self" everywhere in the
 * thread that created it. */
struct reactor *reactor_self(void);
#define assert_owner(r) assert(reactor_self() == (r))

/* [owner thread] Monotonic ns, read once per turn. */
static inline uint64_t reactor_now(const struct reactor *r)
{
	return r->now;
}

/* [owner thread] A cleared SQE whose completion calls op->done; never NULL (submits when the
 * queue is full). op NULL: the completion is dropped. */
struct io_uring_sqe *reactor_sqe(struct reactor *r, struct io_op *op);
/* [owner thread] What was prepared goes to the kernel now and not when the turn ends: worth a system call
 * before a lot of work. */
void reactor_submit(struct reactor *r);
/* [owner thread] Cancels op's request; op->done comes with -ECANCELED or the real result. */
void reactor_cancel(struct reactor *r, struct io_op *op);
/* [any thread] What the running kernel can do. */
bool reactor_has_op(const struct reactor *r, int ioring_op);
/* [owner thread] Registered-buffer index that covers [p, p+len), or -1: use the plain opcode. The first
 * use of some MiB of the slab registers them, which takes milliseconds. */
int reactor_fixed_buffer(const struct reactor *r, const void *p, uint32_t len);

/* [owner thread] work->fn runs at the end of this turn; queueing twice runs it once. */
void reactor_defer(struct reactor *r, struct work *work);
/* [any thread] work->fn runs on r's thread, in the order of posts from one thread. The work must
 * stay alive and unposted until fn is called. Wakes r. */
void reactor_post(struct reactor *r, struct work *work);

/* [owner thread] p is polled from the next turn on. */
void reactor_add_poller(struct reactor *r, struct poller *p);
/* [owner thread] Also from inside a poll(), its own or another's. */
void reactor_remove_poller(struct reactor *r, struct poller *p);

/* [owner thread] ns from now; re-arming moves it. fn is called once per arming. */
void timer_arm(struct reactor *r, struct timer *t, uint64_t ns);
/* [owner thread] Safe on a timer that is not armed. */
void timer_cancel(struct reactor *r, struct timer *t);
static inline bool timer_armed(const struct timer *t)
{
	return t->deadline != 0;
}

static inline void stat_add(_Atomic uint64_t *counter, uint64_t n)
{
	/* One writer: a load and a store are enough, and cost no bus lock. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	/* Compilers make three instructions of the other form. */
	__asm__("addq %1, %0" : "+m"(*(uint64_t *)counter) : "er"(n) : "cc");
#else
	uint64_t v = __atomic_load_n((uint64_t *)counter, __ATOMIC_RELAXED);

	__atomic_store_n((uint64_t *)counter, v + n, __ATOMIC_RELAXED);
#endif
}

#endif
