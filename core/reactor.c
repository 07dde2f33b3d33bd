// SPDX-License-Identifier: BSD-2-Clause
/*
 * The loop of a reactor: order of the phases in a turn, messages from other threads, sleeping
 * and waking, threads. The ring itself is in ring.c.
 */
#include "core/reactor.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"
#include "core/reactor_impl.h"
#include "core/slab.h"

static _Thread_local struct reactor *self;

struct reactor *reactor_self(void)
{
	return self;
}

struct reactor *reactor_set_self(struct reactor *r)
{
	struct reactor *before = self;

	self = r;
	return before;
}

int reactor_alloc(struct reactor_impl **out)
{
	struct reactor_impl *impl = aligned_alloc(_Alignof(struct reactor_impl), sizeof(*impl));
	int err;

	*out = NULL;
	if (!impl)
		return -ENOMEM;
	memset(impl, 0, sizeof(*impl));
	err = timers_create(&impl->timers);
	if (err) {
		free(impl);
		return err;
	}
	impl->pub.impl = impl;
	impl->eventfd = -1;
	impl->cpu = -1;
	impl->deferred_end = &impl->deferred;
	list_init(&impl->pollers);
	*out = impl;
	return 0;
}

void reactor_free(struct reactor_impl *impl)
{
	if (impl->eventfd >= 0)
		close(impl->eventfd);
	timers_destroy(&impl->timers);
	free(impl);
}

int reactor_create(const struct reactor_config *cfg, struct reactor **out)
{
	struct reactor_impl *impl;
	int err = reactor_alloc(&impl);

	assert(cfg->index < REACTOR_MAX);
	*out = NULL;
	if (err)
		return err;
	impl->pub.index = cfg->index;
	impl->cpu = cfg->cpu;
	spin_init(&impl->spin, cfg->busy_poll_ns);
	impl->slab = cfg->slab;
	impl->pub.now = clock_ns();
	/* Blocking on purpose: the ring must wait for it, not answer -EAGAIN. */
	impl->eventfd = eventfd(0, EFD_CLOEXEC);
	if (impl->eventfd < 0) {
		err = -errno;
		log_error("cannot create an eventfd: %s", strerror(-err));
		goto err_free;
	}
	err = ring_create(impl);
	if (err)
		goto err_free;
	if (cfg->slab) {
		impl->pub.buffers = slab_cache_create(cfg->slab, &impl->pub);
		if (!impl->pub.buffers) {
			err = -ENOMEM;
			goto err_ring;
		}
	}
	*out = &impl->pub;
	return 0;

err_ring:
	ring_destroy(impl);
err_free:
	reactor_free(impl);
	return err;
}

void reactor_destroy(struct reactor *r)
{
	if (!r)
		return;
	if (r->buffers)
		slab_cache_destroy(r->buffers);
	if (!r->is_virtual)
		ring_destroy(r->impl);
	if (self == r)
		self = NULL;
	reactor_free(r->impl);
}

/* Messages */

/*
 * Lost wake-ups: the owner stores sleeping and then looks at inbox and stop; a poster stores to
 * inbox or stop and then looks at sleeping. All four are sequentially consistent, so at least
 * one of the two sees what the other wrote.
 */
static void wake(struct reactor_impl *impl)
{
	static const uint64_t one = 1;
	ssize_t n;

	if (!atomic_load(&impl->sleeping) || !atomic_exchange(&impl->sleeping, false))
		return;
	do {
		n = write(impl->eventfd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
	assert(n == sizeof(one));
}

void reactor_post(struct reactor *r, struct work *work)
{
	struct reactor_impl *impl = r->impl;
	struct work *head = atomic_load_explicit(&impl->inbox, memory_order_relaxed);

	do {
		work->next = head;
	} while (!atomic_compare_exchange_weak(&impl->inbox, &head, work));
	wake(impl);
}

void reactor_stop(struct reactor *r)
{
	atomic_store(&r->impl->stop, true);
	wake(r->impl);
}

void reactor_set_busy_poll(struct reactor *r, uint64_t ns)
{
	spin_set(&r->impl->spin, ns);
}

static unsigned int run_messages(struct reactor_impl *impl)
{
	struct work *newest, *oldest = NULL, *next;
	unsigned int done = 0;

	/* A plain load first: the exchange would take the cache line from the posters each turn. */
	if (!atomic_load_explicit(&impl->inbox, memory_order_relaxed))
		return 0;
	for (newest = atomic_exchange(&impl->inbox, NULL); newest; newest = next) {
		next = newest->next;
		newest->next = oldest;
		oldest = newest;
	}
	for (; oldest; oldest = next, done++) {
		next = oldest->next; /* fn may free or post it again */
		oldest->fn(oldest);
	}
	stat_add(&impl->pub.stats.messages, done);
	return done;
}

/* Deferred work */

void reactor_defer(struct reactor *r, struct work *work)
{
	struct reactor_impl *impl = r->impl;

	assert_owner(r);
	if (work->queued)
		return;
	work->queued = true;
	work->next = NULL;
	*impl->deferred_end = work;
	impl->deferred_end = &work->next;
}

/* Work deferred by deferred work waits for the next turn, so a turn always ends. */
static unsigned int run_deferred(struct reactor_impl *impl)
{
	struct work *work = impl->deferred, *next;
	unsigned int done = 0;

	impl->deferred = NULL;
	impl->deferred_end = &impl->deferred;
	for (; work; work = next, done++) {
		next = work->next;
		work->queued = false;
		work->fn(work);
	}
	return done;
}

/* Pollers */

/* At the head: a walk that is under way does not come to it. */
void reactor_add_poller(struct reactor *r, struct poller *p)
{
	assert_owner(r);
	list_add_head(&r->impl->pollers, &p->node);
}

void reactor_remove_poller(struct reactor *r, struct poller *p)
{
	assert_owner(r);
	if (r->impl->next_poller == &p->node)
		r->impl->next_poller = p->node.next;
	list_del(&p->node);
}

/* The next one of a walk, NULL at its end. Any poller may be removed before it is asked for. */
static struct poller *next_poller(struct reactor_impl *impl)
{
	struct list *node = impl->next_poller;

	if (node == &impl->pollers)
		return NULL;
	impl->next_poller = node->next;
	return list_entry(node, struct poller, node);
}

static unsigned int run_pollers(struct reactor_impl *impl)
{
	unsigned int done = 0;
	struct poller *p;

	impl->next_poller = impl->pollers.next;
	while ((p = next_poller(impl)))
		done += p->poll(p);
	return done;
}

/* False: something came up, the reactor must not sleep. */
static bool arm_pollers(struct reactor_impl *impl)
{
	struct poller *p;

	impl->next_poller = impl->pollers.next;
	while ((p = next_poller(impl))) {
		if (p->arm(p))
			return false;
	}
	return !impl->deferred;
}

/* The loop */

/* A new turn, `before` is when the last one began: what was to be submitted belongs to that. */
static void count_busy(struct reactor_impl *impl, uint64_t before)
{
	uint64_t end = impl->slept_at ? impl->slept_at : impl->pub.now;

	if (impl->worked)
		stat_add(&impl->pub.stats.busy_ns, end - before);
	impl->slept_at = 0;
}

static bool turn(struct reactor_impl *impl)
{
	uint64_t before = impl->pub.now;
	unsigned int done = 0;

	if (!impl->pub.is_virtual) {
		impl->pub.now = clock_ns();
		count_busy(impl, before);
		done += ring_reap(impl);
	}
	done += run_pollers(impl);
	done += run_messages(impl);
	done += timers_run(impl);
	done += run_deferred(impl);
	stat_add(&impl->pub.stats.turns, 1);
	if (done)
		impl->last_work = impl->pub.now;
	impl->worked = done > 0;
	return impl->worked;
}

bool reactor_turn(struct reactor *r)
{
	struct reactor *before;
	bool done;

	if (!r->is_virtual) {
		assert_owner(r);
		done = turn(r->impl);
		ring_submit(r->impl);
		return done;
	}
	/* A test may own several virtual reactors: each is "self" during its turn. */
	before = reactor_set_self(r);
	done = turn(r->impl);
	reactor_set_self(before);
	return done;
}

static void sleep_or_submit(struct reactor_impl *impl)
{
	atomic_store(&impl->sleeping, true);
	if (atomic_load(&impl->inbox) || atomic_load(&impl->stop)) {
		atomic_store(&impl->sleeping, false);
		ring_submit(impl);
		return;
	}
	ring_wait(impl);
	atomic_store(&impl->sleeping, false);
	stat_add(&impl->pub.stats.sleeps, 1);
	spin_slept(&impl->spin, clock_ns() - impl->last_work);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* What is to be submitted goes first: most sends are over at once, and a sleep that ends with that
 * would look like a short gap. */
static bool may_sleep(const struct reactor_impl *impl)
{
	return !impl->deferred && !io_uring_sq_ready(&impl->ring) &&
	       !io_uring_cq_ready(&impl->ring) &&
	       !spin_goes_on(&impl->spin, impl->pub.now - impl->last_work);
}

int reactor_run(struct reactor *r)
{
	struct reactor_impl *impl = r->impl;
	int err;

	assert(!r->is_virtual);
	reactor_set_self(r);
	err = ring_attach(impl);
	while (!err) {
		bool worked = turn(impl);

		if (may_sleep(impl) && arm_pollers(impl))
			sleep_or_submit(impl);
		else
			ring_submit(impl);
		if (!worked)
			cpu_relax();
		err = impl->broken;
		if (atomic_load_explicit(&impl->stop, memory_order_relaxed))
			break;
	}
	atomic_store(&impl->stop, false);
	ring_detach(impl);
	reactor_set_self(NULL);
	return err;
}

/* Threads */

static void pin(const struct reactor_impl *impl)
{
	cpu_set_t set;
	int err;

	if (impl->cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(impl->cpu, &set);
	err = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	if (err)
		log_warn("reactor %u runs on any CPU: cannot pin it to CPU %d: %s", impl->pub.index,
			 impl->cpu, strerror(err));
}

static void *thread_main(void *arg)
{
	struct reactor_impl *impl = arg;
	char name[16];
	int err;

	snprintf(name, sizeof(name), "reactor-%u", impl->pub.index);
	pthread_setname_np(pthread_self(), name);
	pin(impl);
	err = reactor_run(&impl->pub);
	if (err)
		log_error("reactor %u has stopped: io_uring: %s", impl->pub.index, strerror(-err));
	return NULL;
}

int reactor_start(struct reactor *r)
{
	struct reactor_impl *impl = r->impl;
	sigset_t all, before;
	int err;

	/* Signals belong to the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&impl->thread, NULL, thread_main, impl);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		log_error("cannot start the thread of reactor %u: %s", r->index, strerror(err));
		return -err;
	}
	impl->thread_started = true;
	return 0;
}

void reactor_join(struct reactor *r)
{
	if (!r->impl->thread_started)
		return;
	pthread_join(r->impl->thread, NULL);
	r->impl->thread_started = false;
}
