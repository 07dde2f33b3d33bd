// SPDX-License-Identifier: BSD-2-Clause
/* Token buckets, and who waits for them: see limiter.h. */
#include <assert.h>
#include <stdlib.h>

#include "limiter.h"

/* All there are, so that one whose timer the end of a reactor has left armed is not lost. */
static struct {
	pthread_mutex_t lock;
	struct list list;
} limiters = { PTHREAD_MUTEX_INITIALIZER, { &limiters.list, &limiters.list } };

/* --- Buckets */

/* ns until it has tokens; 0: now. */
static uint64_t bucket_wait(const struct bucket *b, uint64_t now, uint64_t burst_ns)
{
	uint64_t until;

	if (!atomic_load_explicit(&b->rate, memory_order_relaxed))
		return 0;
	until = atomic_load_explicit(&b->until, memory_order_relaxed);
	return until > now + burst_ns ? until - now - burst_ns : 0;
}

static void bucket_take(struct bucket *b, uint64_t now, uint64_t tokens)
{
	uint64_t rate = atomic_load_explicit(&b->rate, memory_order_relaxed), cost, until, from;

	if (!rate)
		return;
	cost = tokens * NSEC_PER_SEC / rate; /* tokens: 32 bits */
	until = atomic_load_explicit(&b->until, memory_order_relaxed);
	do {
		from = until > now ? until : now;
	} while (!atomic_compare_exchange_weak(&b->until, &until, from + cost));
}

static uint64_t limiter_wait(const struct limiter *l, uint64_t now)
{
	uint64_t burst_ns = atomic_load_explicit(&l->burst_ns, memory_order_relaxed);
	uint64_t commands = bucket_wait(&l->commands, now, burst_ns);
	uint64_t bytes = bucket_wait(&l->bytes, now, burst_ns);

	return commands > bytes ? commands : bytes;
}

static void pay(struct limiter *l, const struct scsi_task *task, uint64_t now)
{
	bucket_take(&l->commands, now, 1);
	bucket_take(&l->bytes, now, task->tokens);
}

/* --- Lines. All under the lock. */

static struct list *lines_of(struct limiter *l, const struct nexus *nexus)
{
	return &l->lines[nexus->id % LIMITER_LINES];
}

static bool is_first(const struct scsi_task *task)
{
	return !list_empty(&task->line_node);
}

static struct scsi_task *first_of(struct limiter *l, const struct nexus *nexus)
{
	struct list *lines = lines_of(l, nexus), *pos;

	list_for_each(pos, lines) {
		struct scsi_task *first = list_entry(pos, struct scsi_task, line_node);

		if (first->nexus == nexus)
			return first;
	}
	return NULL;
}

static void line_up(struct limiter *l, struct scsi_task *task)
{
	struct scsi_task *first = first_of(l, task->nexus);

	list_init(&task->line);
	list_init(&task->line_node);
	if (first) {
		list_add_tail(&first->line, &task->turn_node);
	} else {
		task->credit = TURN_QUANTUM;
		list_add_tail(lines_of(l, task->nexus), &task->line_node);
		list_add_tail(&l->turns, &task->turn_node);
	}
	task->limiter = l;
	l->waiting++;
}

/* The next one of its nexus takes its place. */
static void leave_line(struct limiter *l, struct scsi_task *task)
{
	struct list *node = is_first(task) ? list_pop(&task->line) : NULL;

	if (node) {
		struct scsi_task *next = list_entry(node, struct scsi_task, turn_node);

		list_splice_tail(&next->line, &task->line);
		next->credit = task->credit;
		list_add_tail(&task->turn_node, &next->turn_node);
		list_add_tail(&task->line_node, &next->line_node);
	}
	list_del(&task->turn_node);
	list_del(&task->line_node);
	task->limiter = NULL;
	l->waiting--;
}

static void has_tokens(struct work *work)
{
	struct scsi_task *task = container_of(work, struct scsi_task, work);

	task->waits = WAITS_NOTHING;
	if (task->aborted)
		task_end(task);
	else
		task->step(task);
}

/* Out of its line. */
static void let_go(struct limiter *l, struct scsi_task *task)
{
	leave_line(l, task);
	task->work.fn = has_tokens;
	reactor_post(task->reactor, &task->work);
}

/* What a command counts among nexuses: where only commands are limited, all count the same. */
static int64_t turn_cost(const struct limiter *l, const struct scsi_task *task)
{
	uint32_t bytes = task->tokens < TURN_MAX ? task->tokens : TURN_MAX;

	return l->limits.bandwidth ? TURN_COMMAND + (int64_t)bytes : TURN_QUANTUM;
}

static void next_turns(struct limiter *l, uint64_t now)
{
	while (!list_empty(&l->turns) && !limiter_wait(l, now)) {
		struct list *node = l->turns.next;
		struct scsi_task *task = list_entry(node, struct scsi_task, turn_node);

		if (task->credit <= 0) {
			task->credit += TURN_QUANTUM;
			list_del(node);
			list_add_tail(&l->turns, node);
			continue;
		}
		task->credit -= turn_cost(l, task);
		pay(l, task, now);
		let_go(l, task);
	}
}

/* --- Pace */

static void arm(struct limiter *l, uint64_t now)
{
	uint64_t ns = limiter_wait(l, now);

	ns = ns < PACE_MIN_NS ? PACE_MIN_NS : ns > PACE_MAX_NS ? PACE_MAX_NS : ns;
	timer_arm(l->pacer, &l->timer, ns);
}

/* [the pacer] */
static void pace(struct timer *timer)
{
	struct limiter *l = container_of(timer, struct limiter, timer);
	uint64_t now;
	bool over;

	pthread_mutex_lock(&l->lock);
	now = reactor_now(l->pacer);
	next_turns(l, now);
	over = list_empty(&l->turns);
	if (over)
		l->pacer = NULL;
	else
		arm(l, now);
	pthread_mutex_unlock(&l->lock);
	if (over)
		limiter_put(l);
}

static bool take_slowly(struct limiter *l, struct scsi_task *task,
			void (*step)(struct scsi_task *task))
{
	uint64_t now = reactor_now(task->reactor);
	bool taken;

	pthread_mutex_lock(&l->lock);
	taken = lu_is_leaving(task->lu) || (list_empty(&l->turns) && !limiter_wait(l, now));
	if (taken) {
		pay(l, task, now);
	} else {
		task->waits = WAITS_TOKENS;
		task->step = step;
		line_up(l, task);
		if (!l->pacer) {
			l->pacer = task->reactor;
			l->users++;
			arm(l, now);
		}
	}
	pthread_mutex_unlock(&l->lock);
	return taken;
}

bool limiter_take(struct limiter *l, struct scsi_task *task, void (*step)(struct scsi_task *task))
{
	uint64_t now = reactor_now(task->reactor);

	if (atomic_load_explicit(&l->waiting, memory_order_relaxed) || limiter_wait(l, now))
		return take_slowly(l, task, step);
	pay(l, task, now);
	return true;
}

bool limiter_abandon(struct scsi_task *task)
{
	/* Its owner keeps it until the task has left. */
	struct limiter *l = task->limiter;
	bool waits, over = false;

	if (!l)
		return false;
	pthread_mutex_lock(&l->lock);
	waits = task->limiter == l;
	if (waits)
		leave_line(l, task);
	if (list_empty(&l->turns) && l->pacer == task->reactor) {
		timer_cancel(l->pacer, &l->timer);
		l->pacer = NULL;
		over = true;
	}
	pthread_mutex_unlock(&l->lock);
	if (over)
		limiter_put(l);
	return waits;
}

/* Of one line, in their order. */
static void let_line_pass(struct limiter *l, struct scsi_task *first, const struct lu *lu)
{
	struct list *pos, *tmp;

	while (!lu || first->lu == lu) {
		bool last = list_empty(&first->line);
		struct scsi_task *next = list_entry(first->line.next, struct scsi_task, turn_node);

		let_go(l, first);
		if (last)
			return;
		first = next;
	}
	list_for_each_safe(pos, tmp, &first->line) {
		struct scsi_task *task = list_entry(pos, struct scsi_task, turn_node);

		if (task->lu == lu)
			let_go(l, task);
	}
}

void limiter_let_pass(struct limiter *l, const struct lu *lu, const struct nexus *nexus)
{
	struct list *pos, *tmp;

	pthread_mutex_lock(&l->lock);
	list_for_each_safe(pos, tmp, &l->turns) {
		struct scsi_task *first = list_entry(pos, struct scsi_task, turn_node);

		if (!nexus || first->nexus == nexus)
			let_line_pass(l, first, lu);
	}
	pthread_mutex_unlock(&l->lock);
}

/* --- Life */

static void set(struct limiter *l, const struct io_limits *limits)
{
	l->limits = *limits;
	l->commands.rate = limits->iops;
	l->bytes.rate = limits->bandwidth;
	l->burst_ns = limits->burst_ns;
	l->commands.until = l->bytes.until = 0;
}

void limiter_set(struct limiter *l, const struct io_limits *limits)
{
	pthread_mutex_lock(&l->lock);
	if (!io_limits_equal(&l->limits, limits))
		set(l, limits);
	pthread_mutex_unlock(&l->lock);
}

struct limiter *limiter_new(const struct io_limits *limits)
{
	struct limiter *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->users = 1;
	l->timer.fn = pace;
	pthread_mutex_init(&l->lock, NULL);
	list_init(&l->turns);
	for (unsigned int i = 0; i < LIMITER_LINES; i++)
		list_init(&l->lines[i]);
	set(l, limits);
	pthread_mutex_lock(&limiters.lock);
	list_add_tail(&limiters.list, &l->node);
	pthread_mutex_unlock(&limiters.lock);
	return l;
}

struct limiter *limiter_keep(struct limiter *l)
{
	l->users++;
	return l;
}

void limiter_put(struct limiter *l)
{
	if (!l || --l->users)
		return;
	assert(list_empty(&l->turns));
	pthread_mutex_lock(&limiters.lock);
	list_del(&l->node);
	pthread_mutex_unlock(&limiters.lock);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
