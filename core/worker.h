// SPDX-License-Identifier: BSD-2-Clause
/*
 * A thread for what blocks and has no place in a ring: lseek, copy_file_range, rename. Jobs of one
 * worker run one after the other. Who must not wait for another's dead disk has a worker of its own.
 */
#ifndef RISER_CORE_WORKER_H
#define RISER_CORE_WORKER_H

#include "core/list.h"
#include "core/reactor.h"

struct worker;

struct job {
	/* set by the caller, untouched until done */
	void (*run)(struct job *job); /* [the worker's thread] may block */
	void (*done)(
		struct job *job); /* [owner thread of reactor], never from inside worker_submit() */
	struct reactor *reactor;
	/* the worker's */
	struct list node;
	struct work back;
};

/* [any thread] name: up to 15 characters, for the thread. The thread starts with the first job.
 * -ENOMEM. */
int worker_create(const char *name, struct worker **out);
/* [any thread] No job is outstanding, and the reactors of those there were still exist: the thread
 * may not be back from waking one. NULL is fine. */
void worker_destroy(struct worker *worker);
/* [any thread] Never fails and never waits: when no thread can be started, done() follows with
 * run() called on the reactor's thread instead. */
void worker_submit(struct worker *worker, struct job *job);

#endif
