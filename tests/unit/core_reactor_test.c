// SPDX-License-Identifier: BSD-2-Clause
/* The reactor with its real ring: messages, waking, sleeping, operations, fixed buffers. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/reactor_impl.h"
#include "core/slab.h"
#include "tests/lib/unit.h"

static struct reactor *create(struct slab *slab, uint64_t busy_poll_ns)
{
	struct reactor_config cfg = { .cpu = -1, .slab = slab, .busy_poll_ns = busy_poll_ns };
	struct reactor *r;

	CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &r), 0);
	return r;
}

/* A work item that remembers what it needs. */
struct step {
	struct work work;
	struct io_op op;
	struct timer timer;
	struct reactor *r;
	int fds[2];
	char byte;
	int res;
	unsigned int calls;
	void *memory;
};

/* Runs fn on the reactor, in this thread, until something calls reactor_stop(). */
static void run(struct reactor *r, struct step *step, void (*fn)(struct work *))
{
	step->r = r;
	step->work.fn = fn;
	reactor_post(r, &step->work);
	CU_ASSERT_EQUAL(reactor_run(r), 0);
}

static void stop_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct step *s = container_of(op, struct step, op);

	CU_ASSERT(!(cqe_flags & IORING_CQE_F_MORE));
	CU_ASSERT_PTR_EQUAL(reactor_self(), s->r);
	s->res = res;
	s->calls++;
	reactor_stop(s->r);
}

static void start_read(struct work *work)
{
	struct step *s = container_of(work, struct step, work);

	s->op.done = stop_done;
	io_uring_prep_read(reactor_sqe(s->r, &s->op), s->fds[0], &s->byte, 1, 0);
}

static void operation_completes(void)
{
	struct reactor *r = create(NULL, 0);
	struct step s = { 0 };

	CU_ASSERT_EQUAL_FATAL(pipe(s.fds), 0);
	CU_ASSERT_EQUAL(write(s.fds[1], "x", 1), 1);
	run(r, &s, start_read);
	CU_ASSERT_EQUAL(s.res, 1);
	CU_ASSERT_EQUAL(s.byte, 'x');
	CU_ASSERT_EQUAL(s.calls, 1);
	CU_ASSERT_PTR_NULL(reactor_self());
	CU_ASSERT(r->stats.completions >= 1);
	reactor_destroy(r);
	close(s.fds[0]);
	close(s.fds[1]);
}

static void start_and_cancel(struct work *work)
{
	struct step *s = container_of(work, struct step, work);

	start_read(work);
	reactor_cancel(s->r, &s->op);
}

static void cancelled_operation_completes_once(void)
{
	struct reactor *r = create(NULL, 0);
	struct step s = { 0 };

	CU_ASSERT_EQUAL_FATAL(pipe(s.fds), 0);
	run(r, &s, start_and_cancel);
	CU_ASSERT(s.res == -ECANCELED || s.res == -EINTR);
	CU_ASSERT_EQUAL(s.calls, 1);
	reactor_destroy(r);
	close(s.fds[0]);
	close(s.fds[1]);
}

enum { MANY = 5000 }; /* more than the submission queue and half of the completion queue hold */

struct burst {
	struct step step;
	struct io_op op;
	unsigned int done;
};

static void burst_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct burst *b = container_of(op, struct burst, op);

	(void)cqe_flags;
	CU_ASSERT_EQUAL(res, 0);
	if (++b->done == MANY)
		reactor_stop(b->step.r);
}

static void start_burst(struct work *work)
{
	struct burst *b = container_of(work, struct burst, step.work);

	for (int i = 0; i < MANY; i++)
		io_uring_prep_nop(reactor_sqe(b->step.r, &b->op));
}

static void full_queue_submits(void)
{
	struct reactor *r = create(NULL, 0);
	struct burst b = { .op.done = burst_done };

	run(r, &b.step, start_burst);
	CU_ASSERT_EQUAL(b.done, MANY);
	CU_ASSERT(r->stats.sqe_full > 0);
	reactor_destroy(r);
}

static void stop_from_timer(struct timer *timer)
{
	struct step *s = container_of(timer, struct step, timer);

	s->calls++;
	reactor_stop(s->r);
}

static void start_timer(struct work *work)
{
	struct step *s = container_of(work, struct step, work);

	s->timer.fn = stop_from_timer;
	timer_arm(s->r, &s->timer, 30 * NSEC_PER_MSEC);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void sleeps_until_the_timer(void)
{
	static const uint64_t busy_poll_ns[] = { 0, 100 * NSEC_PER_USEC };

	for (size_t i = 0; i < array_size(busy_poll_ns); i++) {
		struct reactor *r = create(NULL, busy_poll_ns[i]);
		struct step s = { 0 };
		uint64_t begin = reactor_now(r), cpu = cpu_ns();

		run(r, &s, start_timer);
		CU_ASSERT_EQUAL(s.calls, 1);
		CU_ASSERT(reactor_now(r) - begin >= 30 * NSEC_PER_MSEC);
		/* Spinning is bounded: most of the 30 ms are slept. */
		CU_ASSERT(cpu_ns() - cpu < 15 * NSEC_PER_MSEC);
		CU_ASSERT(r->stats.sleeps >= 1);
		if (!busy_poll_ns[i])
			CU_ASSERT(r->stats.turns < 20);
		reactor_destroy(r);
	}
}

static void stop_before_run(void)
{
	struct reactor *r = create(NULL, 0);

	reactor_stop(r);
	CU_ASSERT_EQUAL(reactor_run(r), 0);
	reactor_destroy(r);
}

/* Two reactors throw a ball at each other: every message has to wake the other one. */

enum { ROUNDS = 20000 };

struct ball {
	struct work work;
	struct reactor *to[2];
	unsigned int bounces;
};

static void bounce(struct work *work)
{
	struct ball *ball = container_of(work, struct ball, work);

	if (++ball->bounces == ROUNDS) {
		reactor_stop(ball->to[0]);
		reactor_stop(ball->to[1]);
		return;
	}
	reactor_post(ball->to[ball->bounces % 2], &ball->work);
}

static void bounce_between(uint64_t busy_poll_ns)
{
	struct ball ball = { .work.fn = bounce,
			     .to = { create(NULL, busy_poll_ns), create(NULL, busy_poll_ns) } };

	CU_ASSERT_EQUAL_FATAL(reactor_start(ball.to[0]), 0);
	CU_ASSERT_EQUAL_FATAL(reactor_start(ball.to[1]), 0);
	reactor_post(ball.to[0], &ball.work);
	reactor_join(ball.to[0]);
	reactor_join(ball.to[1]);
	CU_ASSERT_EQUAL(ball.bounces, ROUNDS);
	reactor_destroy(ball.to[0]);
	reactor_destroy(ball.to[1]);
}

static void no_wake_up_is_lost(void)
{
	bounce_between(0);
	bounce_between(20 * NSEC_PER_USEC);
}

/* Several threads post to one reactor; the order of each poster's messages stays. */

enum { POSTERS = 4, POSTS = 5000 };

struct letter {
	struct work work;
	struct sink *sink;
	unsigned int poster, number;
};

struct sink {
	struct reactor *r;
	unsigned int next[POSTERS], total, disorder;
};

struct poster {
	pthread_t thread;
	struct letter letters[POSTS];
};

static void receive(struct work *work)
{
	struct letter *l = container_of(work, struct letter, work);
	struct sink *sink = l->sink;

	if (l->number != sink->next[l->poster]++)
		sink->disorder++;
	if (++sink->total == POSTERS * POSTS)
		reactor_stop(sink->r);
}

static void *post_all(void *arg)
{
	struct poster *p = arg;

	for (unsigned int i = 0; i < POSTS; i++)
		reactor_post(p->letters[i].sink->r, &p->letters[i].work);
	return NULL;
}

static void posts_keep_their_order(void)
{
	static struct poster posters[POSTERS];
	struct sink sink = { .r = create(NULL, 0) };

	CU_ASSERT_EQUAL_FATAL(reactor_start(sink.r), 0);
	for (unsigned int i = 0; i < POSTERS; i++) {
		for (unsigned int k = 0; k < POSTS; k++)
			posters[i].letters[k] = (struct letter){ { .fn = receive }, &sink, i, k };
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
	}
	for (unsigned int i = 0; i < POSTERS; i++)
		pthread_join(posters[i].thread, NULL);
	reactor_join(sink.r);
	CU_ASSERT_EQUAL(sink.total, POSTERS * POSTS);
	CU_ASSERT_EQUAL(sink.disorder, 0);
	CU_ASSERT_EQUAL(sink.r->stats.messages, POSTERS * POSTS);
	reactor_destroy(sink.r);
}

/* Fixed buffers */

static bool may_lock(rlim_t bytes)
{
	struct rlimit limit;

	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	return geteuid() == 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes;
}

static void look_up_fixed(struct work *work)
{
	struct step *s = container_of(work, struct step, work);

	s->res = reactor_fixed_buffer(s->r, s->memory, 4096);
	reactor_stop(s->r);
}

/* KiB of this process that stay where they are for the kernel's sake. */
static unsigned long pinned_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[128];

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmPin: %lu kB", &kib);
	fclose(f);
	return kib;
}

static void expect_fixed(struct step *s, char *memory, int index, unsigned long pinned)
{
	s->memory = memory;
	run(s->r, s, look_up_fixed);
	CU_ASSERT_EQUAL(s->res, index);
	CU_ASSERT_EQUAL(pinned_kib(), pinned >> 10);
}

static void slab_is_registered_piece_by_piece_on_first_use(void)
{
	enum { PIECE = FIXED_PIECE_MIN };
	struct step s = { 0 };
	struct slab *slab;
	char other[16], *base;

	if (!may_lock(3 * PIECE))
		UNIT_SKIP("RLIMIT_MEMLOCK is below 12 MiB");
	CU_ASSERT_EQUAL_FATAL(slab_create(2 * PIECE + PIECE / 2, &slab), 0);
	base = slab_base(slab);
	s.r = create(slab, 0);
	expect_fixed(&s, other, -1, 0);
	expect_fixed(&s, base + slab_size(slab) - 4096, 2, PIECE / 2);
	expect_fixed(&s, base + slab_size(slab) - 4095, -1, PIECE / 2);
	expect_fixed(&s, base - 1, -1, PIECE / 2);
	expect_fixed(&s, base, 0, PIECE + PIECE / 2);
	expect_fixed(&s, base + PIECE - 4096, 0, PIECE + PIECE / 2);
	expect_fixed(&s, base + PIECE - 4095, -1, PIECE + PIECE / 2); /* in two of them */
	expect_fixed(&s, base + PIECE, 1, 2 * PIECE + PIECE / 2);
	reactor_destroy(s.r);
	slab_destroy(slab);
}

static void knows_the_kernels_operations(void)
{
	struct reactor *r = create(NULL, 0);

	CU_ASSERT(reactor_has_op(r, IORING_OP_NOP));
	CU_ASSERT(reactor_has_op(r, IORING_OP_SEND_ZC));
	CU_ASSERT(!reactor_has_op(r, -1));
	CU_ASSERT(!reactor_has_op(r, 4711));
	reactor_destroy(r);
	reactor_destroy(NULL);
}

static void no_descriptors_left_is_an_error(void)
{
	struct reactor_config cfg = { .cpu = -1 };
	struct rlimit before, none = { 0, 0 };
	struct reactor *r = (struct reactor *)&cfg;
	int err;

	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
	none.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_NOFILE, &none);
	err = reactor_create(&cfg, &r);
	setrlimit(RLIMIT_NOFILE, &before);
	CU_ASSERT_EQUAL(err, -EMFILE);
	CU_ASSERT_PTR_NULL(r);
}

/* A child in which the kernel answers io_uring_setup() with err, as a container's seccomp profile
 * makes it; what it logs comes back through a pipe. */
static void create_where_forbidden(int err, const char *message)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { array_size(code), code };
	struct reactor_config cfg = { .cpu = -1 };
	int fds[2], status = -1;
	char text[512] = "";
	ssize_t n;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		struct reactor *r;

		dup2(fds[1], STDERR_FILENO);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
			_exit(2);
		_exit(reactor_create(&cfg, &r) != -err || r);
	}
	close(fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	CU_ASSERT(n > 0);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, message));
	/* One message, one line. */
	CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + n - 1);
}

static void a_kernel_without_io_uring_is_explained(void)
{
	create_where_forbidden(EPERM, "io_uring");
	create_where_forbidden(ENOSYS, "riser needs Linux 6.1 or newer");
	create_where_forbidden(ENOMEM, "raise RLIMIT_MEMLOCK");
	create_where_forbidden(EINVAL, "cannot create an io_uring: Invalid argument");
}

UNIT_MAIN(TEST(operation_completes), TEST(cancelled_operation_completes_once),
	  TEST(full_queue_submits), TEST(sleeps_until_the_timer), TEST(stop_before_run),
	  TEST(no_wake_up_is_lost), TEST(posts_keep_their_order),
	  TEST(slab_is_registered_piece_by_piece_on_first_use), TEST(knows_the_kernels_operations),
	  TEST(no_descriptors_left_is_an_error), TEST(a_kernel_without_io_uring_is_explained));
