// SPDX-License-Identifier: BSD-2-Clause
/* What goes on for a unit and may take long, and how the last of these have ended. */
#include "operations.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core/log.h"
#include "job.h"

enum { REMEMBERED = 64 };

/* The lock is a leaf. */
static struct {
	_Atomic uint64_t last_id;
	pthread_mutex_t lock;
	struct lu_operation ended[REMEMBERED]; /* the oldest is written over */
	uint64_t count; /* that have ended */
} operations = { .lock = PTHREAD_MUTEX_INITIALIZER };

void operation_begin(struct lu_operation *o, enum lu_operation_kind kind)
{
	*o = (struct lu_operation){ .id = ++operations.last_id, .kind = kind };
	clock_gettime(CLOCK_REALTIME, &o->since);
}

void operation_end(const struct lu_operation *o)
{
	pthread_mutex_lock(&operations.lock);
	operations.ended[operations.count++ % REMEMBERED] = *o;
	pthread_mutex_unlock(&operations.lock);
}

bool lu_operation_ended(uint64_t id, struct lu_operation *out)
{
	bool found = false;

	pthread_mutex_lock(&operations.lock);
	for (unsigned int i = 0; i < REMEMBERED && id && !found; i++) {
		found = operations.ended[i].id == id;
		if (found)
			*out = operations.ended[i];
	}
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
