// SPDX-License-Identifier: BSD-2-Clause
/* What goes on for a unit and may take long, and how the last of these have ended. */
#include "operations.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/log.h"
#include "job.h"

enum { REMEMBERED = 64, LONG_S = 1 };

/* The oldest is written over. */
struct past {
	struct lu_operation ended[REMEMBERED];
	uint64_t count;
};

/* The lock is a leaf. */
static struct {
	_Atomic uint64_t last_id;
	pthread_mutex_t lock;
	struct past all, brief; /* brief: copies that come by the thousand */
	/* Set while no reactor runs. */
	void (*told)(const struct lu_operation *o, void *arg);
	void *told_arg;
} operations = { .lock = PTHREAD_MUTEX_INITIALIZER };

void lu_watch_operations(void (*told)(const struct lu_operation *o, void *arg), void *arg)
{
	operations.told = told;
	operations.told_arg = arg;
}

uint64_t lu_operation_number(void)
{
	return ++operations.last_id;
}

void operation_begin(struct lu_operation *o, const struct lu *lu, enum lu_operation_kind kind)
{
	*o = (struct lu_operation){ .id = lu_operation_number(), .kind = kind, .lun = lu->number };
	memcpy(o->target, lu->target, sizeof(o->target));
	clock_gettime(CLOCK_REALTIME, &o->since);
}

void operation_tell(const struct lu_operation *o)
{
	if (operations.told)
		operations.told(o, operations.told_arg);
}

/* Who waits for the end of something long finds it, however many others have ended since. */
static bool is_brief(const struct lu_operation *o)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return o->kind == LU_OPERATION_COPY && now.tv_sec - o->since.tv_sec <= LONG_S;
}

void operation_end(const struct lu_operation *o)
{
	struct past *past = is_brief(o) ? &operations.brief : &operations.all;

	pthread_mutex_lock(&operations.lock);
	past->ended[past->count++ % REMEMBERED] = *o;
	pthread_mutex_unlock(&operations.lock);
}

/* Under the lock. */
static bool find(const struct past *past, uint64_t id, struct lu_operation *out)
{
	for (unsigned int i = 0; i < REMEMBERED; i++) {
		if (past->ended[i].id != id)
			continue;
		*out = past->ended[i];
		return true;
	}
	return false;
}

bool lu_operation_ended(uint64_t id, struct lu_operation *out)
{
	bool found;

	if (!id)
		return false;
	pthread_mutex_lock(&operations.lock);
	found = find(&operations.all, id, out) || find(&operations.brief, id, out);
	pthread_mutex_unlock(&operations.lock);
	return found;
}

unsigned int lu_operations(struct lu *lu, struct lu_operation *out, unsigned int max)
{
	unsigned int n = 0;

	pthread_mutex_lock(&lu->lock);
	if (lu->job && max)
		out[n++] = job_operation(lu->job);
	pthread_mutex_unlock(&lu->lock);
	return n + copy_operations(lu, out + n, max - n);
}

bool lu_cancel_operation(struct lu *lu, uint64_t id)
{
	bool found;

	pthread_mutex_lock(&lu->lock);
	found = lu->job && lu->job->as_operation.id == id && lu->job->reactor;
	if (found) {
		log_warn("%s: a %s is canceled", lu->bs->name,
			 lu->job->condition == LU_FORMATTING ? "FORMAT UNIT" : "SANITIZE");
		atomic_store(&lu->job->canceled, true);
		atomic_store(&lu->job->stop, true);
	}
	pthread_mutex_unlock(&lu->lock);
	return found || copy_cancel_operation(lu, id);
}
