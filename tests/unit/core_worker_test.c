// SPDX-License-Identifier: BSD-2-Clause
/* The worker: order, threads, several reactors, and no thread to be had. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/worker.h"
#include "tests/lib/unit.h"

enum { MANY = 1000 };

struct errand {
	struct job job;
	struct errand_log *log;
	unsigned int number;
	pthread_t ran_on;
	struct reactor *came_back_on;
	unsigned int runs, dones;
};

/* In which order jobs ran (the worker's) and came back (the reactor's). */
struct errand_log {
	unsigned int ran[MANY], back[MANY], runs, dones;
};

static void errand_run(struct job *job)
{
	struct errand *e = container_of(job, struct errand, job);

	e->ran_on = pthread_self();
	e->runs++;
	e->log->ran[e->log->runs++] = e->number;
}

static void errand_done(struct job *job)
{
	struct errand *e = container_of(job, struct errand, job);

	e->came_back_on = reactor_self();
	e->dones++;
	e->log->back[e->log->dones++] = e->number;
}

static void errand_init(struct errand *e, struct errand_log *log, unsigned int number,
			struct reactor *r)
{
	memset(e, 0, sizeof(*e));
	e->job.run = errand_run;
	e->job.done = errand_done;
	e->job.reactor = r;
	e->log = log;
	e->number = number;
}

static void turn_until(struct reactor *r, const unsigned int *count, unsigned int wanted)
{
	while (*count < wanted) {
		if (!reactor_turn(r))
			sched_yield();
	}
}

static void jobs_run_in_order_on_a_thread(void)
{
	static struct errand errands[MANY];
	static struct errand_log log;
	struct reactor *r;
	struct worker *worker;
	unsigned int out_of_order = 0, wrong_thread = 0;

	memset(&log, 0, sizeof(log));
	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(NULL, &r), 0);
	CU_ASSERT_EQUAL_FATAL(worker_create("test", &worker), 0);
	for (unsigned int i = 0; i < MANY; i++) {
		errand_init(&errands[i], &log, i, r);
		worker_submit(worker, &errands[i].job);
	}
	CU_ASSERT_EQUAL(log.dones, 0); /* never from inside */
	turn_until(r, &log.dones, MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		out_of_order += log.ran[i] != i || log.back[i] != i;
		wrong_thread += pthread_equal(errands[i].ran_on, pthread_self()) ||
				!pthread_equal(errands[i].ran_on, errands[0].ran_on) ||
				errands[i].came_back_on != r;
		CU_ASSERT(errands[i].runs == 1 && errands[i].dones == 1);
	}
	CU_ASSERT_EQUAL(out_of_order, 0);
	CU_ASSERT_EQUAL(wrong_thread, 0);
	worker_destroy(worker);
	reactor_destroy(r);
}

static void unused_worker_is_nothing(void)
{
	struct worker *worker;

	CU_ASSERT_EQUAL_FATAL(worker_create("a name of more than 15 characters", &worker), 0);
	worker_destroy(worker);
	worker_destroy(NULL);
}

/* A job that is submitted again from its own done(), as a copy in pieces does. */
struct relay {
	struct job job;
	struct worker *worker;
	unsigned int left, runs;
	sem_t *end;
};

static void relay_run(struct job *job)
{
	container_of(job, struct relay, job)->runs++;
}

static void relay_done(struct job *job)
{
	struct relay *relay = container_of(job, struct relay, job);

	CU_ASSERT_PTR_EQUAL(reactor_self(), job->reactor);
	if (--relay->left)
		worker_submit(relay->worker, job);
	else
		sem_post(relay->end);
}

static void reactors_share_a_worker(void)
{
	struct reactor_config cfg = { .cpu = -1 };
	struct relay relays[2] = { 0 };
	struct worker *worker;
	sem_t end;

	sem_init(&end, 0, 0);
	CU_ASSERT_EQUAL_FATAL(worker_create("test", &worker), 0);
	for (unsigned int i = 0; i < 2; i++) {
		cfg.index = i;
		CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &relays[i].job.reactor), 0);
		CU_ASSERT_EQUAL_FATAL(reactor_start(relays[i].job.reactor), 0);
		relays[i].job.run = relay_run;
		relays[i].job.done = relay_done;
		relays[i].worker = worker;
		relays[i].left = MANY;
		relays[i].end = &end;
		worker_submit(worker, &relays[i].job);
	}
	sem_wait(&end);
	sem_wait(&end);
	worker_destroy(worker); /* it may still be about to wake a reactor */
	for (unsigned int i = 0; i < 2; i++) {
		reactor_stop(relays[i].job.reactor);
		reactor_join(relays[i].job.reactor);
		reactor_destroy(relays[i].job.reactor);
		CU_ASSERT_EQUAL(relays[i].runs, MANY);
	}
	sem_destroy(&end);
}

static void remember_mask(struct job *job)
{
	struct errand *e = container_of(job, struct errand, job);
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	e->runs = sigismember(&set, SIGTERM) && sigismember(&set, SIGINT);
}

static void signals_stay_with_the_main_thread(void)
{
	struct errand_log log = { 0 };
	struct errand e;
	struct reactor *r;
	struct worker *worker;
	sigset_t set;

	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(NULL, &r), 0);
	CU_ASSERT_EQUAL_FATAL(worker_create("test", &worker), 0);
	errand_init(&e, &log, 0, r);
	e.job.run = remember_mask;
	worker_submit(worker, &e.job);
	turn_until(r, &log.dones, 1);
	CU_ASSERT_EQUAL(e.runs, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	CU_ASSERT(!sigismember(&set, SIGTERM));
	worker_destroy(worker);
	reactor_destroy(r);
}

/* [a child process] Exits 0 when jobs are done in order on the reactor. */
static void without_threads(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { array_size(code), code };
	struct errand_log log = { 0 };
	struct errand e[3];
	struct reactor *r;
	struct worker *worker;
	bool ok;

	if (reactor_create_virtual(NULL, &r) || worker_create("test", &worker))
		_exit(2);
	/* The kernel has no more threads; RLIMIT_NPROC would not bind root. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		_exit(3);
	for (unsigned int i = 0; i < 3; i++) {
		errand_init(&e[i], &log, i, r);
		worker_submit(worker, &e[i].job);
	}
	ok = log.runs == 0;
	while (reactor_turn(r))
		;
	for (unsigned int i = 0; i < 3; i++)
		ok = ok && log.ran[i] == i && log.back[i] == i && e[i].dones == 1 &&
		     pthread_equal(e[i].ran_on, pthread_self());
	worker_destroy(worker);
	_exit(ok ? 0 : 1);
}

static void no_thread_to_be_had(void)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		without_threads();
	CU_ASSERT_FATAL(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

UNIT_MAIN(TEST(jobs_run_in_order_on_a_thread), TEST(unused_worker_is_nothing),
	  TEST(reactors_share_a_worker), TEST(signals_stay_with_the_main_thread),
	  TEST(no_thread_to_be_had));
