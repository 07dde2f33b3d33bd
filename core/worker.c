// SPDX-License-Identifier: BSD-2-Clause
/* A thread for jobs that block: a queue under a lock, results posted to the jobs' reactors. */
#include "core/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

struct worker {
	pthread_mutex_t lock; /* guards what follows; a leaf */
	pthread_cond_t more; /* the queue is not empty any more, or stop */
	struct list queue;
	bool started, stop;
	unsigned int strays; /* jobs on the way to their reactor, to run there */
	pthread_t thread;
	pthread_mutex_t alone; /* held while a stray job runs: jobs run one after the other */
	char name[16];
};

/* A stray job needs its worker on the way back; the place is free while it is on no list. */
static void stray_set_worker(struct job *job, struct worker *worker)
{
	job->node.next = (struct list *)worker;
}

static struct worker *stray_worker(const struct job *job)
{
	return (struct worker *)job->node.next;
}

int worker_create(const char *name, struct worker **out)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	*out = worker;
	if (!worker)
		return -ENOMEM;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_mutex_init(&worker->alone, NULL);
	pthread_cond_init(&worker->more, NULL);
	list_init(&worker->queue);
	snprintf(worker->name, sizeof(worker->name), "%s", name);
	return 0;
}

void worker_destroy(struct worker *worker)
{
	if (!worker)
		return;
	pthread_mutex_lock(&worker->lock);
	assert(list_empty(&worker->queue) && !worker->strays);
	worker->stop = true;
	pthread_cond_signal(&worker->more);
	pthread_mutex_unlock(&worker->lock);
	if (worker->started)
		pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->more);
	pthread_mutex_destroy(&worker->alone);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

static void job_back(struct work *work)
{
	struct job *job = container_of(work, struct job, back);

	job->done(job);
}

/* The next job, or NULL: stop. */
static struct job *next_job(struct worker *worker)
{
	struct list *node;

	pthread_mutex_lock(&worker->lock);
	while (list_empty(&worker->queue) && !worker->stop)
		pthread_cond_wait(&worker->more, &worker->lock);
	node = list_pop(&worker->queue);
	pthread_mutex_unlock(&worker->lock);
	return node ? list_entry(node, struct job, node) : NULL;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct job *job;

	pthread_setname_np(pthread_self(), worker->name);
	while ((job = next_job(worker))) {
		job->run(job);
		job->back.fn = job_back;
		reactor_post(job->reactor, &job->back);
	}
	return NULL;
}

/* The caller may be a reactor that is pinned to its CPU: what blocks goes where the process may. */
static int start_thread(struct worker *worker)
{
	sigset_t all, before;
	pthread_attr_t attr;
	cpu_set_t set;
	int err;

	err = pthread_attr_init(&attr);
	if (err)
		return err;
	if (!sched_getaffinity(getpid(), sizeof(set), &set))
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	/* Signals belong to the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&worker->thread, &attr, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

static void stray_run(struct work *work)
{
	struct job *job = container_of(work, struct job, back);
	struct worker *worker = stray_worker(job);

	pthread_mutex_lock(&worker->alone);
	job->run(job);
	pthread_mutex_unlock(&worker->alone);
	pthread_mutex_lock(&worker->lock);
	worker->strays--;
	pthread_mutex_unlock(&worker->lock);
	job->done(job);
}

/* [lock] There is a thread. While jobs are elsewhere none is started, so that they end first. */
static bool has_thread(struct worker *worker)
{
	static struct log_limit limit = LOG_LIMIT(10);
	int err;

	if (worker->started || worker->strays)
		return worker->started;
	err = start_thread(worker);
	worker->started = !err;
	if (err)
		log_write_limited(&limit, LOG_LEVEL_WARN,
				  "cannot start the thread %s: %s; a reactor does its work and may "
				  "be held up",
				  worker->name, strerror(err));
	return worker->started;
}

void worker_submit(struct worker *worker, struct job *job)
{
	pthread_mutex_lock(&worker->lock);
	if (has_thread(worker)) {
		list_add_tail(&worker->queue, &job->node);
		pthread_cond_signal(&worker->more);
	} else {
		worker->strays++;
		stray_set_worker(job, worker);
		job->back.fn = stray_run;
		reactor_post(job->reactor, &job->back);
	}
	pthread_mutex_unlock(&worker->lock);
}
