// SPDX-License-Identifier: BSD-2-Clause
/*
 * Copy operations by list identifier: RECEIVE COPY STATUS and its relatives, COPY OPERATION ABORT,
 * SPC 6.3 and 6.18 to 6.24. A list identifier belongs to an I_T nexus and the unit that got the
 * command. What has ended stays known until the identifier is used again or too many others follow; it
 * ends with the nexus. A copy without one has a record as long as it runs, for operators alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "copy.h"
#include "operations.h"
#include "rows.h"

enum { LONG_COPY_MS = 1000 /* who watches operations hears of a copy that takes longer */ };

struct copy_record {
	struct list node; /* oldest first */
	uint64_t nexus; /* its id: never used twice */
	const struct lu *lu;
	int64_t list_id; /* or COPY_NAMELESS */
	bool running; /* owned by a task then */
	bool told; /* that it has begun; its task's */
	int64_t began; /* ms, CLOCK_MONOTONIC */
	struct lu_operation as_operation; /* id, kind, since */
	_Atomic uint64_t total; /* bytes; 0: not known yet */
	_Atomic bool abort;
	_Atomic uint64_t bytes;
	_Atomic uint32_t segments, operations;
	struct copy_result result; /* once it has ended; action always */
};

/* The lock is taken last and held only to look at, link and unlink records. */
static struct {
	pthread_mutex_t lock;
	struct list list;
	unsigned int finished;
} records = { .lock = PTHREAD_MUTEX_INITIALIZER, .list = { &records.list, &records.list } };

static void record_drop(struct copy_record *record)
{
	list_del(&record->node);
	records.finished--;
	free(record);
}

/* The oldest that has ended, of this nexus or (0) of any; *count is how many of it there are. */
static struct copy_record *record_oldest(uint64_t nexus, unsigned int *count)
{
	struct copy_record *oldest = NULL;
	struct list *node;

	*count = 0;
	list_for_each(node, &records.list) {
		struct copy_record *record = list_entry(node, struct copy_record, node);

		if (record->running || (nexus && record->nexus != nexus))
			continue;
		if (!oldest)
			oldest = record;
		++*count;
	}
	return oldest;
}

/* Under the lock. */
static void records_trim(uint64_t nexus)
{
	unsigned int count;
	struct copy_record *oldest = record_oldest(nexus, &count);

	/* Who has more than the one that has just ended gives room for it. */
	if (count > COPY_PER_NEXUS || (records.finished > COPY_TOTAL && count > 1)) {
		record_drop(oldest);
	} else if (records.finished > COPY_TOTAL) {
		oldest = record_oldest(0, &count);
		record_drop(oldest);
	}
}

/* Under the lock. */
static struct copy_record *record_find(const struct scsi_task *task, int64_t list_id)
{
	struct list *node;

	if (list_id == COPY_NAMELESS)
		return NULL;
	list_for_each(node, &records.list) {
		struct copy_record *record = list_entry(node, struct copy_record, node);

		if (record->nexus == task->nexus->id && record->lu == task->lu &&
		    record->list_id == list_id)
			return record;
	}
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}

static int record_add(const struct scsi_task *task, int64_t list_id, struct copy_record **out)
{
	struct copy_record *record = calloc(1, sizeof(*record)), *old;

	if (!record)
		return -ENOMEM;
	record->nexus = task->nexus->id;
	record->lu = task->lu;
	record->list_id = list_id;
	record->running = true;
	record->began = now_ms();
	operation_begin(&record->as_operation, task->lu, LU_OPERATION_COPY);
	record->result.action = (uint8_t)task->row->service_action;
	pthread_mutex_lock(&records.lock);
	old = record_find(task, list_id);
	if (old && old->running) {
		pthread_mutex_unlock(&records.lock);
		free(record);
		return -EBUSY;
	}
	if (old)
		record_drop(old);
	list_add_tail(&records.list, &record->node);
	pthread_mutex_unlock(&records.lock);
	*out = record;
	return 0;
}

bool copy_record_begin(struct scsi_task *task, int64_t list_id, struct copy_record **out)
{
	int err = record_add(task, list_id, out);

	if (!err)
		return true;
	task_fail(task, err == -EBUSY ? SENSE_OPERATION_IN_PROGRESS : SENSE_RESOURCES);
	return false;
}

static struct lu_operation operation_of(const struct copy_record *record)
{
	struct lu_operation o = record->as_operation;

	o.state = record->abort ? LU_OPERATION_ENDS : LU_OPERATION_RUNS;
	o.done = record->bytes;
	o.total = record->total;
	return o;
}

/* Initiators make short copies by the thousand: those are no news. */
static void tell_of_long(struct copy_record *record)
{
	struct lu_operation o;

	if (record->told || now_ms() - record->began < LONG_COPY_MS)
		return;
	record->told = true;
	o = operation_of(record);
	o.state = LU_OPERATION_RUNS;
	operation_tell(&o);
}

bool copy_record_progress(struct copy_record *record, uint64_t bytes)
{
	if (bytes) {
		atomic_fetch_add(&record->bytes, bytes);
		atomic_fetch_add(&record->operations, 1);
		tell_of_long(record);
	}
	return !atomic_load(&record->abort);
}

void copy_record_total(struct copy_record *record, uint64_t bytes)
{
	atomic_store(&record->total, bytes);
}

void copy_record_segment(struct copy_record *record)
{
	atomic_fetch_add(&record->segments, 1);
}

unsigned int copy_operations(const struct lu *lu, struct lu_operation *out, unsigned int max)
{
	unsigned int n = 0;
	struct list *node;

	pthread_mutex_lock(&records.lock);
	list_for_each(node, &records.list) {
		const struct copy_record *record = list_entry(node, struct copy_record, node);

		if (record->running && record->lu == lu && n < max)
			out[n++] = operation_of(record);
	}
	pthread_mutex_unlock(&records.lock);
	return n;
}

bool copy_cancel_operation(const struct lu *lu, uint64_t id)
{
	bool found = false;
	struct list *node;

	pthread_mutex_lock(&records.lock);
	list_for_each(node, &records.list) {
		struct copy_record *record = list_entry(node, struct copy_record, node);

		if (!record->running || record->lu != lu || record->as_operation.id != id)
			continue;
		atomic_store(&record->abort, true);
		found = true;
	}
	pthread_mutex_unlock(&records.lock);
	return found;
}

static void operation_ended(const struct copy_record *record, uint8_t status)
{
	struct lu_operation o = operation_of(record);

	o.state = status == COPY_STATUS_GOOD || status == COPY_STATUS_PARTIAL ? LU_OPERATION_DONE
		  : status == COPY_STATUS_TERMINATED ? LU_OPERATION_CANCELED
						     : LU_OPERATION_FAILED;
	/* Who wanted it to end waits for that. */
	if (record->told || record->abort)
		operation_tell(&o);
	operation_end(&o);
}

/* Under the lock: what initiators may ask for stays. */
static void record_keep(struct copy_record *record, uint8_t status)
{
	record->result.status = status;
	record->running = false;
	records.finished++;
	/* Age counts from the end. */
	list_add_tail(&records.list, &record->node);
	records_trim(record->nexus);
}

static void record_ended(struct copy_record *record, uint8_t status)
{
	operation_ended(record, status);
	pthread_mutex_lock(&records.lock);
	list_del(&record->node);
	if (record->list_id == COPY_NAMELESS)
		free(record);
	else
		record_keep(record, status);
	pthread_mutex_unlock(&records.lock);
}

void copy_record_end(struct copy_record *record, const struct scsi_task *task, const uint8_t *token)
{
	const struct copy *copy = task->context;
	bool partial = copy && copy->partial;
	struct copy_result *result;

	if (!record)
		return;
	result = &record->result;
	result->scsi_status = task->status;
	if (task->status == SAM_CHECK_CONDITION) {
		result->sense_len = task->sense_len;
		memcpy(result->sense, task->sense, task->sense_len);
	}
	result->has_token = token != NULL;
	if (token)
		memcpy(result->token, token, sizeof(result->token));
	record_ended(record, task->status == SAM_GOOD
				     ? (partial ? COPY_STATUS_PARTIAL : COPY_STATUS_GOOD)
			     : atomic_load(&record->abort) ? COPY_STATUS_TERMINATED
							   : COPY_STATUS_FAILED);
}

void copy_cleanup(struct scsi_task *task)
{
	struct copy *copy = task->context;

	if (!copy->record)
		return;
	copy->record->result.scsi_status = SAM_TASK_ABORTED;
	record_ended(copy->record, COPY_STATUS_TERMINATED);
	copy->record = NULL;
}

/* Those of the unit (or NULL) and those of the nexus (or 0), but for those that run. */
static void records_forget(const struct lu *lu, uint64_t nexus)
{
	struct list *node, *next;

	pthread_mutex_lock(&records.lock);
	for (node = records.list.next; node != &records.list; node = next) {
		struct copy_record *record = list_entry(node, struct copy_record, node);

		next = node->next;
		if (!record->running && (record->lu == lu || record->nexus == nexus))
			record_drop(record);
	}
	pthread_mutex_unlock(&records.lock);
}

void copy_forget_unit(const struct lu *lu)
{
	records_forget(lu, 0);
	token_forget_unit(lu);
}

void copy_forget_nexus(const struct nexus *nexus)
{
	records_forget(NULL, nexus->id);
}

/* --- Asking */

/* False: there is none of this list identifier; ended with a field pointer to it. */
static bool copy_result_get(struct scsi_task *task, uint32_t list_id, struct copy_result *out)
{
	struct copy_record *record;

	pthread_mutex_lock(&records.lock);
	record = record_find(task, list_id);
	if (record) {
		if (record->running) {
			memset(out, 0, sizeof(*out));
			out->action = record->result.action;
			out->status = COPY_STATUS_RUNNING;
		} else {
			*out = record->result;
		}
		out->bytes = atomic_load(&record->bytes);
		out->segments = atomic_load(&record->segments);
		out->operations = atomic_load(&record->operations);
	}
	pthread_mutex_unlock(&records.lock);
	if (!record)
		task_sense_cdb(task, COPY_LIST_ID_AT, 7);
	return record != NULL;
}

static uint32_t list_id4(const struct scsi_task *task)
{
	struct be32 id;

	memcpy(id.b, task->cdb + COPY_LIST_ID_AT, sizeof(id));
	return be32_get(id);
}

static uint16_t at_most_16(uint32_t n)
{
	return (uint16_t)(n < UINT16_MAX ? n : UINT16_MAX);
}

/* LID1 has no words for what was terminated or partial. */
static uint8_t status_lid1(uint8_t status)
{
	switch (status) {
	case COPY_STATUS_RUNNING: return COPY_STATUS_RUNNING_LID1;
	case COPY_STATUS_GOOD:
	case COPY_STATUS_PARTIAL: return COPY_STATUS_GOOD;
	default: return COPY_STATUS_FAILED;
	}
}

static int status_lid1_fill(struct scsi_task *task, uint8_t *out)
{
	struct copy_status_lid1 *data = (struct copy_status_lid1 *)out;
	struct copy_result result;

	if (!copy_result_get(task, task->cdb[COPY_LIST_ID_AT], &result))
		return -1;
	data->available = be32_of(sizeof(*data) - sizeof(data->available));
	data->status = status_lid1(result.status);
	data->segments = be16_of(at_most_16(result.segments));
	data->units = result.bytes <= UINT32_MAX ? COPY_UNITS_BYTES : COPY_UNITS_MIB;
	data->count =
		be32_of((uint32_t)(result.bytes <= UINT32_MAX ? result.bytes : result.bytes >> 20));
	return sizeof(*data);
}

/* Nothing is ever held for the application client. */
static int data_lid1_fill(struct scsi_task *task, uint8_t *out)
{
	struct copy_result result;

	(void)out;
	return copy_result_get(task, task->cdb[COPY_LIST_ID_AT], &result) ? 4 : -1;
}

static int failure_lid1_fill(struct scsi_task *task, uint8_t *out)
{
	struct copy_failure_lid1 *data = (struct copy_failure_lid1 *)out;
	struct copy_result result;
	uint8_t status;

	if (!copy_result_get(task, task->cdb[COPY_LIST_ID_AT], &result))
		return -1;
	status = status_lid1(result.status);
	if (status != COPY_STATUS_FAILED)
		return sizeof(data->available);
	data->available =
		be32_of((uint32_t)(sizeof(*data) - sizeof(data->available) + result.sense_len));
	data->status = status;
	data->sense_len = be16_of(result.sense_len);
	memcpy(out + sizeof(*data), result.sense, result.sense_len);
	return (int)sizeof(*data) + result.sense_len;
}

static int status_lid4(const struct copy_result *result, uint8_t *out)
{
	struct copy_status_lid4 *data = (struct copy_status_lid4 *)out;

	data->action = result->action;
	data->status = result->status;
	data->operations = be16_of(at_most_16(result->operations));
	data->update_delay = be32_of(UINT32_MAX);
	data->completion = result->scsi_status;
	data->sense_field_len = data->sense_len = result->sense_len;
	data->units = COPY_UNITS_BYTES;
	data->count = be64_of(result->bytes);
	data->segments = be16_of(at_most_16(result->segments));
	memcpy(out + sizeof(*data), result->sense, result->sense_len);
	return (int)sizeof(*data) + result->sense_len;
}

static int status_lid4_fill(struct scsi_task *task, uint8_t *out)
{
	struct copy_status_lid4 *data = (struct copy_status_lid4 *)out;
	struct copy_result result;
	int len;

	if (!copy_result_get(task, list_id4(task), &result))
		return -1;
	len = status_lid4(&result, out);
	data->available = be32_of((uint32_t)len - (uint32_t)sizeof(data->available));
	return len;
}

/* The same with the count in blocks, and the token that POPULATE TOKEN made. */
static int token_information_fill(struct scsi_task *task, uint8_t *out)
{
	struct copy_status_lid4 *data = (struct copy_status_lid4 *)out;
	struct token_descriptor descriptor = { 0 };
	struct copy_result result;
	size_t size = sizeof(descriptor.descriptors_len);
	int len;

	if (!copy_result_get(task, list_id4(task), &result))
		return -1;
	if (result.action != SA_POPULATE_TOKEN && result.action != SA_WRITE_USING_TOKEN) {
		task_sense_cdb(task, COPY_LIST_ID_AT, 7);
		return -1;
	}
	len = status_lid4(&result, out);
	data->units = COPY_UNITS_BLOCKS;
	data->count = be64_of(result.bytes >> task->lu->block_shift);
	if (result.has_token) {
		size = sizeof(descriptor);
		descriptor.descriptors_len =
			be32_of((uint32_t)(size - sizeof(descriptor.descriptors_len)));
		memcpy(descriptor.token, result.token, sizeof(descriptor.token));
	}
	memcpy(out + len, &descriptor, size);
	len += (int)size;
	data->available = be32_of((uint32_t)len - (uint32_t)sizeof(data->available));
	return len;
}

static int operating_parameters_fill(struct scsi_task *task, uint8_t *out)
{
	static const uint8_t types[] = { SEGMENT_BLOCK_TO_BLOCK, CSCD_IDENTIFICATION };
	struct copy_parameters *data = (struct copy_parameters *)out;

	data->available =
		be32_of(sizeof(*data) + sizeof(types) - (uint32_t)sizeof(data->available));
	data->flags = COPY_SNLID;
	data->cscds = be16_of(COPY_CSCDS);
	data->segments = be16_of(COPY_SEGMENTS);
	data->descriptors_len = be32_of(COPY_LIST_MAX);
	data->segment_len = be32_of((uint32_t)(COPY_SEGMENT_BLOCKS << task->lu->block_shift));
	data->total_copies = be16_of(COPY_TOTAL);
	data->copies = UINT8_MAX;
	data->segment_granularity = task->lu->block_shift;
	data->types_len = sizeof(types);
	memcpy(out + sizeof(*data), types, sizeof(types));
	return sizeof(*data) + sizeof(types);
}

static int all_tokens_fill(struct scsi_task *task, uint8_t *out)
{
	struct report_tokens *data = (struct report_tokens *)out;
	uint32_t len = token_list(task, out + sizeof(*data), RESPONSE_SIZE - sizeof(*data));

	data->available = be32_of(len + (uint32_t)(sizeof(*data) - sizeof(data->available)));
	return (int)(sizeof(*data) + len);
}

static void copy_abort_start(struct scsi_task *task)
{
	struct copy_record *record;

	task_want_out(task, 0);
	pthread_mutex_lock(&records.lock);
	record = record_find(task, list_id4(task));
	if (record && record->running)
		atomic_store(&record->abort, true);
	pthread_mutex_unlock(&records.lock);
	if (record)
		task_good(task);
	else
		task_fail_cdb(task, COPY_LIST_ID_AT, 7);
}

/* What became of one's own copies may be asked whatever is reserved, SPC 5.14.1; by a RESERVE (6) of
 * others it may not. */
#define COPY_IN(title, action, id, filler)                                                    \
	{                                                                                     \
		.name = title, .service_action = (action),                                    \
		USAGE16(CDB_THIRD_PARTY_COPY_IN, (action), id, 0, 0, 0, 0, LEN4, 0, CONTROL), \
		RESPONDS(filler), ALLOCATION(COPY_LENGTH_AT, 4), .rule = RSV_STATUS, QUICK    \
	}
#define NO_ID 0, 0, 0, 0
#define ID1 0xff, 0, 0, 0
#define ID4 LEN4

const struct cdb_row receive_copy_status_lid1_row =
	COPY_IN("RECEIVE COPY STATUS(LID1)", SA_RECEIVE_COPY_STATUS_LID1, ID1, status_lid1_fill);
const struct cdb_row receive_copy_data_lid1_row =
	COPY_IN("RECEIVE COPY DATA(LID1)", SA_RECEIVE_COPY_DATA_LID1, ID1, data_lid1_fill);
const struct cdb_row receive_copy_parameters_row =
	COPY_IN("RECEIVE COPY OPERATING PARAMETERS", SA_RECEIVE_COPY_OPERATING_PARAMETERS, NO_ID,
		operating_parameters_fill);
const struct cdb_row receive_copy_failure_row =
	COPY_IN("RECEIVE COPY FAILURE DETAILS(LID1)", SA_RECEIVE_COPY_FAILURE_DETAILS_LID1, ID1,
		failure_lid1_fill);
const struct cdb_row receive_copy_status_lid4_row =
	COPY_IN("RECEIVE COPY STATUS(LID4)", SA_RECEIVE_COPY_STATUS_LID4, ID4, status_lid4_fill);
const struct cdb_row receive_token_information_row =
	COPY_IN("RECEIVE ROD TOKEN INFORMATION", SA_RECEIVE_ROD_TOKEN_INFORMATION, ID4,
		token_information_fill);
const struct cdb_row report_all_tokens_row =
	COPY_IN("REPORT ALL ROD TOKENS", SA_REPORT_ALL_ROD_TOKENS, NO_ID, all_tokens_fill);

const struct cdb_row copy_operation_abort_row = { .name = "COPY OPERATION ABORT",
						  .service_action = SA_COPY_OPERATION_ABORT,
						  USAGE16(CDB_THIRD_PARTY_COPY_OUT,
							  SA_COPY_OPERATION_ABORT, LEN4, 0, 0, 0, 0,
							  0, 0, 0, 0, 0, CONTROL),
						  .start = copy_abort_start,
						  .direction = DIR_NONE,
						  .rule = RSV_WRITE,
						  QUICK };
