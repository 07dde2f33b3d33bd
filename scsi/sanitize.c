// SPDX-License-Identifier: BSD-2-Clause
/*
 * SANITIZE, SBC 4.11 and 5.30. What has to survive restart is a record of the store: it is there
 * before the first byte goes and until everything is on stable media, so that a unit goes on where
 * the daemon was killed, and a failure is not forgotten.
 *
 * OVERWRITE writes all blocks the backstore has. Where a block was before on a filesystem that
 * does not write in place, or in spare areas of a drive, is out of its reach.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "job.h"
#include "rows.h"

#define SANITIZE_IMMED 0x80
#define SANITIZE_AUSE 0x20
enum { SA_OVERWRITE = 0x01, SA_BLOCK_ERASE = 0x02, SA_EXIT_FAILURE_MODE = 0x1f };

/* OVERWRITE parameter list. */
struct overwrite_list {
	uint8_t flags; /* INVERT, TEST, OVERWRITE COUNT */
	uint8_t rsvd;
	struct be16 len; /* INITIALIZATION PATTERN LENGTH */
	uint8_t pattern[];
};
static_assert(sizeof(struct overwrite_list) == 4, "OVERWRITE parameter list");
#define OVERWRITE_INVERT 0x80
#define OVERWRITE_COUNT 0x1f

enum { PATTERN_MAX = 4096, TEXT_MAX = 256 + 2 * PATTERN_MAX };
static const char kind[] = "sanitize";

struct sanitize {
	struct lu_job job;
	bool overwrite; /* else block erase */
	bool ause, failed;
	uint16_t pattern_len;
	uint8_t pattern[PATTERN_MAX];
	char text[TEXT_MAX]; /* the record */
};

static struct sanitize *sanitize_of(struct lu_job *job)
{
	return container_of(job, struct sanitize, job);
}

/* --- The record */

static size_t write_record(const struct sanitize *s, char *out)
{
	int len = snprintf(out, TEXT_MAX,
			   "riser sanitize 1\n%s %s ause %u invert %u passes %u done %u\n",
			   s->failed ? "failed" : "running", s->overwrite ? "overwrite" : "erase",
			   s->ause, s->job.invert, s->job.passes, s->job.pass);

	for (uint16_t i = 0; i < s->pattern_len; i++)
		len += snprintf(out + len, TEXT_MAX - (size_t)len, "%02x", s->pattern[i]);
	return (size_t)(len + snprintf(out + len, TEXT_MAX - (size_t)len, "\n"));
}

static bool read_pattern(struct sanitize *s, const char *text, size_t len)
{
	unsigned int byte;

	if (len < 1 || text[len - 1] != '\n' || len % 2 != 1 || len / 2 > PATTERN_MAX)
		return false;
	s->pattern_len = (uint16_t)(len / 2);
	for (size_t i = 0; i < s->pattern_len; i++) {
		if (strspn(text + 2 * i, "0123456789abcdef") < 2 ||
		    sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		s->pattern[i] = (uint8_t)byte;
	}
	return true;
}

/* text has a NUL behind its len bytes. */
static bool read_record(struct sanitize *s, const char *text, size_t len)
{
	unsigned int ause, invert, passes, done;
	char state[8] = "", method[10] = "";
	int head = 0;

	if (sscanf(text, "riser sanitize 1\n%7s %9s ause %1u invert %1u passes %3u done %3u%n",
		   state, method, &ause, &invert, &passes, &done, &head) != 6 ||
	    !head || text[head] != '\n' || passes > OVERWRITE_COUNT || done > passes ||
	    (strcmp(state, "running") && strcmp(state, "failed")) ||
	    (strcmp(method, "overwrite") && strcmp(method, "erase")))
		return false;
	s->failed = state[0] == 'f';
	s->overwrite = method[0] == 'o';
	s->ause = ause;
	s->job.invert = invert;
	s->job.passes = (uint8_t)passes;
	s->job.pass = (uint8_t)done;
	return read_pattern(s, text + head + 1, len - (size_t)head - 1) && passes > 0 &&
	       (s->pattern_len > 0) == s->overwrite;
}

/* remove: it is over. */
static void store_record(struct sanitize *s, bool remove,
			 void (*recorded)(struct lu_job *job, int res))
{
	job_record(&s->job, kind, s->text, remove ? 0 : write_record(s, s->text),
		   &s->job.lu->sanitize_version, recorded);
}

/* --- The operation */

static void sanitize_finish_failed(struct lu_job *job, int res)
{
	struct lu *lu = job->lu;

	(void)res; /* logged; then a restart tries once more */
	atomic_store(&lu->sanitize_ause, sanitize_of(job)->ause);
	lu_set(lu, LU_SANITIZE_FAILED);
	job_finish(job, SENSE_SANITIZE_FAILED, false);
}

static void sanitize_fail(struct sanitize *s)
{
	s->failed = true;
	log_error("%s: SANITIZE has failed", s->job.lu->bs->name);
	store_record(s, false, sanitize_finish_failed);
}

/* With a record that cannot be removed the next start would sanitize what is written from now on. */
static void sanitize_over(struct lu_job *job, int res)
{
	if (res < 0) {
		sanitize_finish_failed(job, res);
		return;
	}
	lu_clear(job->lu, LU_SANITIZE_FAILED);
	job_finish(job, SENSE_NONE, false);
}

/* How far it is, for the next start. */
static void pass_recorded(struct lu_job *job, int res)
{
	if (res < 0)
		sanitize_fail(sanitize_of(job));
	else
		job_run(job);
}

static void sanitize_next(struct lu_job *job, int res)
{
	struct sanitize *s = sanitize_of(job);

	if (res == -ECANCELED)
		job_finish(job, SENSE_RESOURCES, true);
	else if (res < 0)
		sanitize_fail(s);
	else if (job->pass < job->passes + job->then_unmap)
		store_record(s, false, pass_recorded);
	else
		store_record(s, true, sanitize_over);
}

static void sanitize_prepare(struct sanitize *s)
{
	s->job.condition = LU_SANITIZING;
	s->job.next = sanitize_next;
	if (s->overwrite)
		return;
	/* What is erased reads as anything; what is unmapped, as zeros. */
	s->job.opcode = BS_ERASE;
	s->job.then_unmap = true;
}

static struct sanitize *sanitize_create(struct lu *lu, const uint8_t *pattern, uint16_t len)
{
	struct lu_job *job = job_create(lu, sizeof(struct sanitize), pattern, len);
	struct sanitize *s;

	if (!job)
		return NULL;
	s = sanitize_of(job);
	s->overwrite = pattern != NULL;
	s->pattern_len = len;
	if (pattern)
		memcpy(s->pattern, pattern, len);
	sanitize_prepare(s);
	return s;
}

int sanitize_load(struct lu *lu, char *why, size_t why_size)
{
	struct sanitize read = { 0 }, *s;
	char name[STORE_NAME_MAX], *text = NULL;
	size_t len = 0;
	int err;

	if (!lu->store)
		return 0;
	store_record_name(name, kind, lu->serial);
	err = lu->store->ops->load(lu->store, name, &text, &len, &lu->sanitize_version, why,
				   why_size);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (!read_record(&read, text, len) || read.pattern_len > lu->block_size) {
		snprintf(
			why, why_size,
			"the record %s is damaged: a SANITIZE has begun and it is not known which; "
			"remove the record to give up on it",
			name);
		err = -EBADMSG;
	}
	free(text);
	if (err)
		return err;
	if (read.failed) {
		lu->sanitize_ause = read.ause;
		lu_set(lu, LU_SANITIZE_FAILED);
		return 0;
	}
	s = sanitize_create(lu, read.overwrite ? read.pattern : NULL, read.pattern_len);
	if (!s)
		return -ENOMEM;
	s->ause = read.ause;
	s->job.invert = read.job.invert;
	s->job.passes = read.job.passes;
	s->job.pass = read.job.pass;
	/* All passes were done, only the record was left: one more does no harm. */
	if (s->job.pass == s->job.passes && !s->job.then_unmap)
		s->job.pass--;
	log_info("%s: SANITIZE goes on", lu->bs->name);
	lu->job = &s->job;
	lu_set(lu, LU_SANITIZING);
	return 0;
}

/* --- The command */

/* A failure in the restricted mode cannot be left by a SANITIZE in the unrestricted one. False: ended. */
static bool sanitize_check(struct scsi_task *task)
{
	struct lu *lu = task->lu;

	if (!lu_is(lu, LU_SANITIZE_FAILED) || atomic_load(&lu->sanitize_ause) ||
	    !(task->cdb[1] & SANITIZE_AUSE))
		return true;
	task_fail_cdb(task, 1, 5);
	return false;
}

/* Nothing is being written, and nobody begins: the unit is ours from here. */
static void sanitize_alone(struct scsi_task *task)
{
	const struct overwrite_list *list = NULL;
	struct lu *lu = task->lu;
	struct sanitize *s;

	if (!job_may_begin(task) || !sanitize_check(task))
		return;
	if (task->row->service_action == SA_OVERWRITE)
		list = (const struct overwrite_list *)task->buf->data;
	s = sanitize_create(lu, list ? list->pattern : NULL, list ? be16_get(list->len) : 0);
	if (!s) {
		task_fail(task, SENSE_RESOURCES);
		return;
	}
	s->ause = task->cdb[1] & SANITIZE_AUSE;
	if (list) {
		s->job.invert = list->flags & OVERWRITE_INVERT;
		s->job.passes = list->flags & OVERWRITE_COUNT;
	}
	job_claim(task, &s->job, !(task->cdb[1] & SANITIZE_IMMED));
	store_record(s, false, job_begin);
}

static void sanitize_lock(struct scsi_task *task)
{
	if (gate_lock(task, sanitize_alone))
		sanitize_alone(task);
}

/* The parameter list of OVERWRITE is there, TEST is 0 or may be ignored. */
static void sanitize_list_here(struct scsi_task *task)
{
	const struct overwrite_list *list = (const struct overwrite_list *)task->buf->data;
	uint16_t len = be16_get(list->len);

	if (!(list->flags & OVERWRITE_COUNT))
		task_fail_list(task, 0, 4);
	else if (!len || len > task->lu->block_size)
		task_fail_list(task, 2, 7);
	else if (len > task->chunk - sizeof(*list))
		task_fail(task, SENSE_LIST_LENGTH);
	else
		sanitize_lock(task);
}

static void sanitize_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, sanitize_list_here);
}

static void overwrite_start(struct scsi_task *task)
{
	uint32_t len = be16_get(((const struct cdb10 *)task->cdb)->len);

	if (len <= sizeof(struct overwrite_list) ||
	    len > sizeof(struct overwrite_list) + task->lu->block_size) {
		task_fail_cdb(task, 7, 7);
		return;
	}
	if (!sanitize_check(task))
		return;
	task_want_out(task, len);
	if (task_out_room(task) < len) {
		task_fail(task, SENSE_INVALID_IU_FIELD);
		return;
	}
	task->chunk = len;
	if (task_buffer(task, len, len, sanitize_fetch))
		sanitize_fetch(task);
}

static void erase_start(struct scsi_task *task)
{
	if (sanitize_check(task))
		sanitize_lock(task);
}

static bool lu_can_erase(const struct lu *lu)
{
	return lu->bs->limits.can_erase && lu->can_unmap;
}

/* --- EXIT FAILURE MODE */

struct leaving {
	struct scsi_task *task;
	struct store_req store;
	char name[STORE_NAME_MAX];
};

static void failure_left(struct store_req *req, int res)
{
	struct leaving *leaving = container_of(req, struct leaving, store);
	struct scsi_task *task = leaving->task;
	struct lu *lu = task->lu;

	task->waits = WAITS_NOTHING;
	if (!res) {
		lu->sanitize_version = 0;
		lu_clear(lu, LU_SANITIZE_FAILED);
	}
	if (task->aborted)
		task_end(task);
	else if (res < 0)
		task_fail(task, SENSE_INTERNAL_FAILURE);
	else
		task_good(task);
}

/* The unit is ours alone: no other SANITIZE begins meanwhile. */
static void exit_failure_alone(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	struct leaving *leaving;

	if (!job_may_begin(task))
		return;
	if (!lu_is(lu, LU_SANITIZE_FAILED)) {
		task_good(task);
		return;
	}
	if (!atomic_load(&lu->sanitize_ause)) {
		task_fail_cdb(task, 1, 4);
		return;
	}
	if (!lu->store || !lu->sanitize_version) {
		lu_clear(lu, LU_SANITIZE_FAILED);
		task_good(task);
		return;
	}
	leaving = calloc(1, sizeof(*leaving));
	if (!leaving) {
		task_fail(task, SENSE_RESOURCES);
		return;
	}
	task->context = leaving;
	leaving->task = task;
	store_record_name(leaving->name, kind, lu->serial);
	leaving->store = (struct store_req){ .name = leaving->name,
					     .version = lu->sanitize_version,
					     .reactor = task->reactor,
					     .done = failure_left };
	task->waits = WAITS_STORE;
	lu->store->ops->compare_and_store(lu->store, &leaving->store);
}

static void exit_failure_start(struct scsi_task *task)
{
	if (gate_lock(task, exit_failure_alone))
		exit_failure_alone(task);
}

#define SANITIZES(action, length)                                                               \
	.service_action = (action),                                                             \
	USAGE10(CDB_SANITIZE, SANITIZE_IMMED | SANITIZE_AUSE | (action), 0, 0, 0, 0, 0, length, \
		CONTROL)

const struct cdb_row sanitize_overwrite_row = {
	.name = "SANITIZE: OVERWRITE",
	SANITIZES(SA_OVERWRITE, LEN2),
	.start = overwrite_start,
	.direction = DIR_OUT,
	.rule = RSV_WRITE,
	.flags = ROW_MEDIUM | ROW_WRITES | ROW_REPAIRS,
	WHOLE_MEDIUM,
};

#define NO_LIST 0, 0 /* PARAMETER LIST LENGTH */

const struct cdb_row sanitize_block_erase_row = {
	.name = "SANITIZE: BLOCK ERASE",
	SANITIZES(SA_BLOCK_ERASE, NO_LIST),
	.start = erase_start,
	.rule = RSV_WRITE,
	.flags = ROW_MEDIUM | ROW_WRITES | ROW_REPAIRS,
	.exists = lu_can_erase,
	WHOLE_MEDIUM,
};

const struct cdb_row sanitize_exit_failure_row = {
	.name = "SANITIZE: EXIT FAILURE MODE",
	SANITIZES(SA_EXIT_FAILURE_MODE, NO_LIST),
	.start = exit_failure_start,
	.rule = RSV_WRITE,
	.flags = ROW_MEDIUM | ROW_REPAIRS,
	MEDIUM,
};
