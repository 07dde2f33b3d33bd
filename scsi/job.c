// SPDX-License-Identifier: BSD-2-Clause
/*
 * The engine of long operations on the medium. One request at a time, and others run between two:
 * what a job takes from the commands of other units is bounded.
 */
#include "job.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/slab.h"
#include "operations.h"

enum {
	ALIGN = 4096, /* O_DIRECT takes the data as it is */
	DATA_MAX = 1 << 20, /* bytes */
	OTHER_CHUNK = 16 << 20, /* bytes of a request without data */
};

static size_t round_up(size_t n)
{
	return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static void fill(struct lu_job *job, const uint8_t *pattern, uint32_t len)
{
	uint32_t block = job->lu->block_size;

	for (uint32_t i = 0; i < block; i++)
		job->data[i] = pattern[i % len];
	for (uint32_t at = block; at < job->data_len; at += block)
		memcpy(job->data + at, job->data, block);
}

struct lu_job *job_create(struct lu *lu, size_t size, const uint8_t *pattern, uint32_t len)
{
	uint64_t medium = lu->bs->limits.size;
	size_t data = medium > DATA_MAX		? DATA_MAX
		      : medium > lu->block_size ? medium
						: lu->block_size;
	size_t tuples = data / lu->block_size * sizeof(struct pi_tuple);
	size_t head = round_up(size);
	uint8_t *memory =
		aligned_alloc(ALIGN, head + (pattern ? round_up(data) + round_up(tuples) : 0));
	struct lu_job *job = (struct lu_job *)memory;

	if (!job)
		return NULL;
	memset(memory, 0, head);
	job->lu = lu;
	job->opcode = BS_WRITE;
	job->passes = 1;
	operation_begin(&job->as_operation, lu, LU_OPERATION_SANITIZE);
	if (!pattern)
		return job;
	job->data = memory + head;
	job->data_len = (uint32_t)data;
	fill(job, pattern, len);
	if (lu->protection) {
		/* Blocks that nobody checks, SBC 4.22.2. */
		job->tuples = (struct pi_tuple *)(job->data + round_up(data));
		memset(job->tuples, 0xff, tuples);
	}
	return job;
}

/* --- Passes */

static uint8_t passes_in_all(const struct lu_job *job)
{
	return (uint8_t)(job->passes + job->then_unmap);
}

static enum bs_opcode opcode_now(const struct lu_job *job)
{
	return job->pass < job->passes ? job->opcode : BS_UNMAP;
}

static void complement(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)~bytes[i];
}

/* The data of this pass. */
static void turn_over(struct lu_job *job)
{
	bool inverted = job->invert && (job->passes - 1 - job->pass) % 2;
	size_t blocks = job->data_len / job->lu->block_size;

	if (!job->data || job->pass >= job->passes || inverted == job->inverted)
		return;
	job->inverted = inverted;
	complement(job->data, job->data_len);
	if (job->tuples)
		complement((uint8_t *)job->tuples, blocks * sizeof(job->tuples[0]));
}

static void show_progress(struct lu_job *job)
{
	uint8_t passes = passes_in_all(job);
	/* In blocks of 64 KiB, so that 2^16 of a medium's size fits. */
	uint64_t all = (job->end >> 16) + 1, done = (job->pos >> 16) + job->pass * all;
	uint64_t progress = done * 65536 / (all * passes);

	atomic_store_explicit(&job->total, job->end * passes, memory_order_relaxed);
	atomic_store_explicit(&job->done, job->end * job->pass + job->pos, memory_order_relaxed);
	atomic_store_explicit(&job->lu->job_progress,
			      (uint16_t)(progress > 65535 ? 65535 : progress),
			      memory_order_relaxed);
}

static void request_over(struct lu_job *job, int res)
{
	if (res < 0) {
		job->next(job, res);
		return;
	}
	if (job->req.opcode == BS_FLUSH) {
		job->pass++;
		job->pos = 0;
		job->next(job, 0);
		return;
	}
	job->pos += job->req.len;
	show_progress(job);
	reactor_defer(job->reactor, &job->work);
}

static void request_done(struct bs_req *req, int res)
{
	request_over(container_of(req, struct lu_job, req), res);
}

static void submit(struct lu_job *job, enum bs_opcode opcode, uint64_t len)
{
	struct bs_req *req = &job->req;

	*req = (struct bs_req){ .opcode = opcode,
				.offset = job->pos,
				.len = len,
				.data = opcode == BS_WRITE ? job->data : NULL,
				.reactor = job->reactor,
				.done = request_done };
	if (opcode == BS_WRITE && job->tuples) {
		req->flags = BS_TUPLES;
		req->tuples = job->tuples;
	} else if (opcode == BS_ZERO && job->lu->protection) {
		req->flags = BS_TUPLES; /* all ones, too */
	}
	if (bs_submit(job->lu->bs, req))
		request_over(job, req->res);
}

static void job_step(struct work *work)
{
	struct lu_job *job = container_of(work, struct lu_job, work);
	enum bs_opcode opcode = opcode_now(job);
	uint64_t left = job->end - job->pos,
		 most = opcode == BS_WRITE ? job->data_len : OTHER_CHUNK;

	if (atomic_load(&job->stop))
		job->next(job, atomic_load(&job->canceled) ? -EINTR : -ECANCELED);
	else if (left)
		submit(job, opcode, left < most ? left : most);
	else
		submit(job, BS_FLUSH, 0);
}

void job_run(struct lu_job *job)
{
	job->pos = 0;
	job->end = job->lu->bs->limits.size;
	if (!job->end) {
		/* Nothing is left to be written, and that is not GOOD. */
		job->next(job, -ENODATA);
		return;
	}
	turn_over(job);
	show_progress(job);
	job->work.fn = job_step;
	reactor_defer(job->reactor, &job->work);
}

/* --- The record */

static void record_stored(struct store_req *req, int res)
{
	struct lu_job *job = container_of(req, struct lu_job, store);

	if (!res)
		*job->version = req->version;
	else
		log_error("the record %s cannot be stored: %s", job->record_name, strerror(-res));
	job->recorded(job, res);
}

void job_record(struct lu_job *job, const char *kind, const void *data, size_t len,
		uint64_t *version, void (*recorded)(struct lu_job *job, int res))
{
	struct lu *lu = job->lu;

	if (!lu->store) {
		recorded(job, 0);
		return;
	}
	store_record_name(job->record_name, kind, lu->serial);
	job->recorded = recorded;
	job->version = version;
	job->store = (struct store_req){ .name = job->record_name,
					 .data = data,
					 .len = len,
					 .version = *version,
					 .reactor = job->reactor,
					 .done = record_stored };
	lu->store->ops->compare_and_store(lu->store, &job->store);
}

/* --- Beginning and end */

static void tell_of_beginning(const struct lu_job *job)
{
	struct lu_operation o = job_operation(job);

	operation_tell(&o);
}

bool job_may_begin(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	enum sense_code code;
	bool busy;

	/* With the lock, so that all is seen that a job which is over has left. */
	pthread_mutex_lock(&lu->lock);
	busy = lu->job != NULL;
	pthread_mutex_unlock(&lu->lock);
	code = unit_refusal(task->nexus, task->lun[1], lu, task->row->flags);
	if (busy || code == SENSE_SANITIZING || code == SENSE_FORMATTING)
		task_fail_job(task);
	else if (code != SENSE_NONE)
		task_fail(task, code);
	else
		return true;
	return false;
}

void job_claim(struct scsi_task *task, struct lu_job *job, bool wait_for_end)
{
	struct lu *lu = job->lu;

	assert(task->exclusive);
	job->reactor = task->reactor;
	pthread_mutex_lock(&lu->lock);
	assert(!lu->job);
	lu->job = job;
	pthread_mutex_unlock(&lu->lock);
	atomic_store(&lu->job_progress, 0);
	/* What is being read is read again, and then sees this: nothing of the old contents is sent or
	 * copied any more. */
	gate_change(task);
	/* Before the gate opens: who then comes through it sees this. */
	lu_set(lu, job->condition);
	gate_unlock(task);
	job->waiter = task;
	job->waits_for_end = wait_for_end;
	task->waits = WAITS_JOB;
	/* It may be long until the task ends. */
	if (task->buf)
		buf_put(task->reactor, task->buf);
	task->buf = NULL;
}

void job_begin(struct lu_job *job, int res)
{
	if (res < 0) {
		job_finish(job, SENSE_INTERNAL_FAILURE, false);
		return;
	}
	tell_of_beginning(job);
	if (!job->waits_for_end)
		job_answer(job, SENSE_NONE);
	job_run(job);
}

bool job_abandon(struct scsi_task *task)
{
	struct lu_job *job;

	/* The job is on our thread, and is there as long as it has a waiter. */
	pthread_mutex_lock(&task->lu->lock);
	job = task->lu->job;
	pthread_mutex_unlock(&task->lu->lock);
	assert(job && job->waiter == task);
	job->waiter = NULL;
	return true;
}

void job_answer(struct lu_job *job, enum sense_code code)
{
	struct scsi_task *task = job->waiter;

	if (!task)
		return;
	job->waiter = NULL;
	task->waits = WAITS_NOTHING;
	if (code == SENSE_NONE)
		task_good(task);
	else
		task_fail(task, code);
}

static void job_ended(struct lu_job *job, enum sense_code code, bool keep)
{
	struct lu_operation o = job_operation(job);

	o.state = keep		       ? LU_OPERATION_STOPPED
		  : code == SENSE_NONE ? LU_OPERATION_DONE
		  : job->canceled      ? LU_OPERATION_CANCELED
				       : LU_OPERATION_FAILED;
	operation_tell(&o); /* who sees the end finds that it was told */
	operation_end(&o);
}

void job_finish(struct lu_job *job, enum sense_code code, bool keep)
{
	const struct nexus *asked = job->waiter ? job->waiter->nexus : NULL;
	struct lu *lu = job->lu;
	void (*stopped)(void *arg);
	void *arg;

	job_ended(job, code, keep); /* while it is still to be seen */
	pthread_mutex_lock(&lu->lock);
	lu->job = NULL;
	stopped = job->stopped;
	arg = job->stopped_arg;
	pthread_mutex_unlock(&lu->lock);
	if (!keep) {
		/* From not ready to ready, with other contents; who waited hears that anyway. */
		lu_raise_ua(lu, UA_MEDIUM_CHANGED, asked);
		lu_clear(lu, job->condition);
	}
	job_answer(job, code);
	free(job);
	if (stopped)
		stopped(arg);
}

void lu_stop_job(struct lu *lu, void (*stopped)(void *arg), void *arg)
{
	bool running;

	pthread_mutex_lock(&lu->lock);
	running = lu->job && lu->job->reactor;
	if (running) {
		lu->job->stopped = stopped;
		lu->job->stopped_arg = arg;
		atomic_store(&lu->job->stop, true);
	}
	pthread_mutex_unlock(&lu->lock);
	if (!running)
		stopped(arg);
}

static void resume(struct work *work)
{
	struct lu_job *job = container_of(work, struct lu_job, work);

	tell_of_beginning(job);
	job_run(job);
}

void lu_resume(struct lu *lu, struct reactor *reactor)
{
	struct lu_job *job;

	pthread_mutex_lock(&lu->lock);
	job = lu->job;
	if (job)
		job->reactor = reactor;
	pthread_mutex_unlock(&lu->lock);
	if (!job)
		return;
	job->work.fn = resume;
	reactor_post(reactor, &job->work);
}

/* --- What commands and operators see of it */

struct lu_operation job_operation(const struct lu_job *job)
{
	struct lu_operation o = job->as_operation;

	o.kind = job->condition == LU_FORMATTING ? LU_OPERATION_FORMAT : LU_OPERATION_SANITIZE;
	o.state = job->canceled ? LU_OPERATION_ENDS : LU_OPERATION_RUNS;
	o.done = atomic_load_explicit(&job->done, memory_order_relaxed);
	o.total = atomic_load_explicit(&job->total, memory_order_relaxed);
	return o;
}

bool job_sense(const struct lu *lu, enum sense_code *code, uint16_t *progress)
{
	if (lu_is(lu, LU_SANITIZING))
		*code = SENSE_SANITIZING;
	else if (lu_is(lu, LU_FORMATTING))
		*code = SENSE_FORMATTING;
	else
		return false;
	*progress = atomic_load_explicit(&lu->job_progress, memory_order_relaxed);
	return true;
}

void task_fail_job(struct scsi_task *task)
{
	enum sense_code code = SENSE_SANITIZING;
	uint16_t progress = 0;

	job_sense(task->lu, &code, &progress);
	task_sense_progress(task, code, progress);
	stat_add(&task_stats(task)->check_conditions, 1);
	task_end(task);
}
