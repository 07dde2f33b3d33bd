// SPDX-License-Identifier: BSD-2-Clause
/* What reactor.c, ring.c, fixed.c, timer.c and virtual.c share about one reactor. */
#ifndef RISER_CORE_REACTOR_IMPL_H
#define RISER_CORE_REACTOR_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/reactor.h"
#include "core/spin.h"

/* Pieces of the slab are registered as they are used; larger ones where there would be too many. */
enum { FIXED_PIECE_MIN = 4 << 20 };

/* A binary heap by deadline in an area reserved once, so that arming a timer cannot fail. */
struct timer_heap {
	struct timer **at;
	uint32_t count;
};

struct reactor_impl {
	struct reactor pub; /* what everybody else holds a pointer to */
	/* owner thread */
	struct io_uring ring;
	bool has_ring, enabled; /* enabled: the owner thread has started the ring */
	bool fd_registered;
	int broken; /* -errno of the first fatal ring error */
	uint64_t last_work; /* ns, the turn that last did anything */
	uint64_t slept_at; /* ns: it went to sleep after the last turn; 0: it did not */
	bool worked; /* the last turn did anything */
	struct spin spin; /* how long to look on before sleeping */
	struct timer_heap timers;
	struct work *deferred, **deferred_end;
	struct list pollers, *next_poller; /* the one to be called next in a walk over them */
	struct io_op wake_op;
	uint64_t wake_count; /* where the ring reads the eventfd's counter */
	struct slab *slab;
	struct {
		enum { FIXED_UNTRIED, FIXED_YES, FIXED_NO } state;
		size_t piece; /* bytes: all are as long but for the last one */
		bool *registered; /* each piece of the slab; NULL: none can be */
	} fixed;
	/* written once by reactor_create */
	bool has_op[IORING_OP_LAST];
	int eventfd;
	int cpu;
	pthread_t thread;
	bool thread_started;
	/* any thread */
	_Alignas(64) struct work *_Atomic inbox; /* newest first */
	_Atomic bool sleeping; /* a poster has to wake the owner */
	_Atomic bool stop;
};

/* reactor.c */
int reactor_alloc(struct reactor_impl **out);
void reactor_free(struct reactor_impl *impl);
/* Makes the calling thread the one whose reactor is r (NULL: none); returns the one before. */
struct reactor *reactor_set_self(struct reactor *r);

/* ring.c; all but ring_create and ring_destroy: [owner thread] */
int ring_create(struct reactor_impl *impl);
void ring_destroy(struct reactor_impl *impl);
int ring_attach(struct reactor_impl *impl);
void ring_detach(struct reactor_impl *impl);
unsigned int ring_reap(struct reactor_impl *impl);
/* At most one system call, none when the kernel has nothing to be told. */
void ring_submit(struct reactor_impl *impl);
/* Submits and sleeps until a completion or the next timer. */
void ring_wait(struct reactor_impl *impl);
uint64_t clock_ns(void);

/* fixed.c */
/* The ring is gone. */
void fixed_destroy(struct reactor_impl *impl);

/* timer.c [owner thread] */
int timers_create(struct timer_heap *heap);
void timers_destroy(struct timer_heap *heap);
unsigned int timers_run(struct reactor_impl *impl);
/* Deadline of the first timer, UINT64_MAX when none is armed. */
uint64_t timers_next(const struct timer_heap *heap);

#endif
