// SPDX-License-Identifier: BSD-2-Clause
/*
 * FORMAT UNIT, SBC 5.4: all blocks are given the pattern, or read as zeros. There are no defects,
 * so no list of them is taken and what the header says about them is met by doing nothing. The
 * protection type is the backstore's: another one cannot be asked for here.
 *
 * A record of the store says that a FORMAT UNIT has begun and has not ended well. Where the daemon
 * finds it at its start the format is corrupted, until another FORMAT UNIT.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "job.h"
#include "rows.h"

/* CDB byte 1. */
#define FORMAT_FMTPINFO 0xc0
#define FORMAT_LONGLIST 0x20
#define FORMAT_FMTDATA 0x10
#define FORMAT_CMPLST 0x08
#define FORMAT_DEFECT_LIST 0x07 /* DEFECT LIST FORMAT */

struct format_header { /* short parameter list header */
	uint8_t usage; /* PROTECTION FIELD USAGE */
	uint8_t flags;
	struct be16 defects_len;
};
static_assert(sizeof(struct format_header) == 4, "FORMAT UNIT, short header");

struct format_header_long {
	uint8_t usage, flags, rsvd;
	uint8_t interval; /* P_I_INFORMATION, PROTECTION INTERVAL EXPONENT */
	struct be32 defects_len;
};
static_assert(sizeof(struct format_header_long) == 8, "FORMAT UNIT, long header");
#define FORMAT_USAGE 0x07
#define FORMAT_FOV 0x80
#define FORMAT_OPTIONS 0x78 /* DPRY, DCRT, STPF, IP: mean something with FOV */
#define FORMAT_IP 0x08
#define FORMAT_IMMED 0x02

struct format_pattern { /* initialization pattern descriptor */
	uint8_t flags; /* obsolete IP MODIFIER, SI */
	uint8_t type;
	struct be16 len;
	uint8_t bytes[];
};
static_assert(sizeof(struct format_pattern) == 4, "initialization pattern descriptor");
enum { PATTERN_DEFAULT = 0, PATTERN_REPEATED = 1 };

/* What the parameter list asks for; offsets in it. */
struct format_request {
	uint32_t pattern_at, pattern_len; /* length 0: zeros */
	uint32_t list_len;
	bool immed;
};

static const char kind[] = "format", record[] = "riser format 1\n";

static void format_fail(struct lu_job *job)
{
	log_error("%s: FORMAT UNIT has failed", job->lu->bs->name);
	lu_set(job->lu, LU_FORMAT_FAILED);
	job_finish(job, SENSE_FORMAT_FAILED, false);
}

static void format_over(struct lu_job *job, int res)
{
	if (res < 0) {
		format_fail(job);
		return;
	}
	lu_clear(job->lu, LU_FORMAT_FAILED);
	job_finish(job, SENSE_NONE, false);
}

static void format_next(struct lu_job *job, int res)
{
	if (res == -ECANCELED)
		job_finish(job, SENSE_RESOURCES, true);
	else if (res < 0)
		format_fail(job);
	else
		job_record(job, kind, record, 0, &job->lu->format_version, format_over);
}

int format_load(struct lu *lu, char *why, size_t why_size)
{
	char name[STORE_NAME_MAX], *text = NULL;
	size_t len = 0;
	int err;

	if (!lu->store)
		return 0;
	store_record_name(name, kind, lu->serial);
	err = lu->store->ops->load(lu->store, name, &text, &len, &lu->format_version, why,
				   why_size);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (len != sizeof(record) - 1 || memcmp(text, record, len)) {
		snprintf(why, why_size,
			 "the record %s is damaged: a FORMAT UNIT has not ended; remove the record "
			 "to take the disk as it is",
			 name);
		err = -EBADMSG;
	} else {
		log_warn("%s: its FORMAT UNIT has not ended; it needs another one", lu->bs->name);
		lu_set(lu, LU_FORMAT_FAILED);
	}
	free(text);
	return err;
}

/* False: ended. */
static bool format_check(struct scsi_task *task)
{
	if (!lu_is(task->lu, LU_SANITIZE_FAILED))
		return true;
	task_fail(task, SENSE_SANITIZE_FAILED);
	return false;
}

/* Nothing is being written, and nobody begins. */
static void format_alone(struct scsi_task *task)
{
	const struct format_request *request = task->context;
	struct lu *lu = task->lu;
	const uint8_t *pattern =
		request->pattern_len ? task->buf->data + request->pattern_at : NULL;
	struct lu_job *job;

	if (!job_may_begin(task) || !format_check(task))
		return;
	job = job_create(lu, sizeof(*job), pattern, request->pattern_len);
	if (!job) {
		task_fail(task, SENSE_RESOURCES);
		return;
	}
	/* A thin disk must not need all of its space at once. */
	if (!pattern)
		job->opcode = lu->can_unmap ? BS_UNMAP : BS_ZERO;
	job->condition = LU_FORMATTING;
	job->next = format_next;
	job_claim(task, job, !request->immed);
	job_record(job, kind, record, sizeof(record) - 1, &lu->format_version, job_begin);
}

static void format_lock(struct scsi_task *task)
{
	if (gate_lock(task, format_alone))
		format_alone(task);
}

/* --- The parameter list. False: ended. */

static uint32_t header_len(const struct scsi_task *task)
{
	return task->cdb[1] & FORMAT_LONGLIST ? sizeof(struct format_header_long)
					      : sizeof(struct format_header);
}

/* SBC table "FMTPINFO field and PROTECTION FIELD USAGE field". -1: no such combination. */
static int protection_type(uint8_t fmtpinfo, uint8_t usage)
{
	switch (fmtpinfo << 4 | usage) {
	case 0x00: return 0;
	case 0x20: return 1;
	case 0x30: return 2;
	case 0x31: return 3;
	default: return -1;
	}
}

static bool check_protection(struct scsi_task *task, uint8_t usage)
{
	uint8_t fmtpinfo = task->cdb[1] >> 6;

	if (protection_type(fmtpinfo, usage) == task->lu->protection)
		return true;
	/* With the usage the list can say, or not, what the CDB says is not to be had. */
	if (usage && protection_type(fmtpinfo, usage) < 0)
		task_fail_list(task, 0, 2);
	else
		task_fail_cdb(task, 1, 7);
	return false;
}

static bool check_pattern(struct scsi_task *task, struct format_request *request)
{
	const struct format_pattern *pattern = (const void *)(task->buf->data + request->list_len);
	uint32_t at = request->list_len, len;

	if (task->chunk - at < sizeof(*pattern)) {
		task_fail(task, SENSE_LIST_LENGTH);
		return false;
	}
	len = be16_get(pattern->len);
	request->list_len += (uint32_t)sizeof(*pattern) + len;
	if (pattern->flags) { /* SI: what was there cannot be got at; SANITIZE is for that */
		task_fail_list(task, at, 5);
	} else if (pattern->type > PATTERN_REPEATED) {
		task_fail_list(task, at + 1, 7);
	} else if ((pattern->type == PATTERN_DEFAULT) != !len || len > task->lu->block_size) {
		task_fail_list(task, at + 2, 7);
	} else if (request->list_len > task->chunk) {
		task_fail(task, SENSE_LIST_LENGTH);
	} else {
		request->pattern_at = at + (uint32_t)sizeof(*pattern);
		request->pattern_len = len;
		return true;
	}
	return false;
}

static bool check_header(struct scsi_task *task, struct format_request *request)
{
	const struct format_header *header = (const void *)task->buf->data;
	const struct format_header_long *longer = (const void *)task->buf->data;
	bool is_long = task->cdb[1] & FORMAT_LONGLIST;
	uint32_t defects = is_long ? be32_get(longer->defects_len) : be16_get(header->defects_len);

	request->list_len = header_len(task);
	request->immed = header->flags & FORMAT_IMMED;
	if (header->usage & ~FORMAT_USAGE)
		task_fail_list(task, 0, 7);
	else if (!(header->flags & FORMAT_FOV) && header->flags & FORMAT_OPTIONS)
		task_fail_list(task, 1, 6);
	else if (is_long && longer->interval)
		task_fail_list(task, 3, 7);
	else if (defects)
		task_fail_list(task, is_long ? 4 : 2, 7);
	else
		return check_protection(task, header->usage);
	return false;
}

static void format_list_here(struct scsi_task *task)
{
	struct format_request *request = task->context;
	const struct format_header *header = (const void *)task->buf->data;

	if (!check_header(task, request))
		return;
	if (header->flags & FORMAT_IP && !check_pattern(task, request))
		return;
	task_want_out(task, request->list_len);
	format_lock(task);
}

static void format_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, format_list_here);
}

/* The CDB has no length: as much of what is offered as a list can be long. */
static void format_take_list(struct scsi_task *task)
{
	uint64_t room = task_out_room(task);
	uint32_t most =
		header_len(task) + (uint32_t)sizeof(struct format_pattern) + task->lu->block_size;

	task_want_out(task, header_len(task));
	if (room < header_len(task)) {
		task_fail(task, SENSE_INVALID_IU_FIELD);
		return;
	}
	task->chunk = room < most ? (uint32_t)room : most;
	if (task_buffer(task, task->chunk, task->chunk, format_fetch))
		format_fetch(task);
}

static void format_start(struct scsi_task *task)
{
	uint8_t flags = task->cdb[1];

	if (!format_check(task))
		return;
	/* About the parameter list, and there is none. */
	if (!(flags & FORMAT_FMTDATA) &&
	    flags & (FORMAT_LONGLIST | FORMAT_CMPLST | FORMAT_DEFECT_LIST)) {
		task_fail_cdb(task, 1, flags & FORMAT_LONGLIST ? 5 : flags & FORMAT_CMPLST ? 3 : 2);
		return;
	}
	task->context = calloc(1, sizeof(struct format_request));
	if (!task->context) {
		task_fail(task, SENSE_RESOURCES);
		return;
	}
	if (flags & FORMAT_FMTDATA)
		format_take_list(task);
	else if (check_protection(task, 0))
		format_lock(task);
}

const struct cdb_row format_unit_row = {
	.name = "FORMAT UNIT",
	USAGE6(CDB_FORMAT_UNIT,
	       FORMAT_FMTPINFO | FORMAT_LONGLIST | FORMAT_FMTDATA | FORMAT_CMPLST |
		       FORMAT_DEFECT_LIST,
	       0, 0, 0, CONTROL),
	.start = format_start,
	.direction = DIR_OUT,
	.rule = RSV_WRITE,
	.flags = ROW_MEDIUM | ROW_WRITES | ROW_REPAIRS,
	WHOLE_MEDIUM,
};
