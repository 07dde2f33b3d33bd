// SPDX-License-Identifier: BSD-2-Clause
/*
 * LOG SENSE, SPC 6.7 and 7.3, SBC 6.4: a table of pages. To add one: a function and a row. There is
 * nothing here that is not measured: no temperature, no times.
 */
#include <string.h>

#include "pages.h"
#include "rows.h"

/* --- Counters */

void log_count(const struct lu *lu, struct log_counters *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned int i = 0; i < lu->reactors; i++) {
		const struct lu_stats *s = &lu->per_reactor[i].stats;

		out->value[LOG_READS] += s->reads;
		out->value[LOG_WRITES] += s->writes;
		out->value[LOG_READ_BYTES] += s->read_bytes;
		out->value[LOG_WRITE_BYTES] += s->write_bytes;
		out->value[LOG_VERIFY_BYTES] += s->verify_bytes;
		out->value[LOG_READ_FAILED] += s->read_errors;
		out->value[LOG_WRITE_FAILED] += s->write_errors;
		out->value[LOG_VERIFY_FAILED] += s->verify_errors;
	}
}

void log_count_error(const struct scsi_task *task)
{
	struct lu_stats *s = &task->lu->per_reactor[task->reactor->index].stats;
	enum bs_opcode opcode = task->req.opcode;

	if (bs_writes(opcode) || opcode == BS_FLUSH)
		stat_add(&s->write_errors, 1);
	else if (opcode == BS_READ && task->row->direction == DIR_OUT)
		stat_add(&s->verify_errors, 1);
	else if (opcode == BS_READ)
		stat_add(&s->read_errors, 1);
}

/* --- The parameters of a page, each written behind the one before */

struct output {
	struct scsi_task *task;
	uint8_t *at;
	uint16_t from; /* PARAMETER POINTER */
	uint16_t last; /* the greatest code that there is */
	struct log_counters counters;
};

static void put(struct output *o, uint16_t code, uint8_t control, void *parameter, size_t len)
{
	struct log_parameter *head = parameter;

	o->last = code;
	if (code < o->from)
		return;
	head->code = be16_of(code);
	head->control = control;
	head->len = (uint8_t)(len - sizeof(*head));
	memcpy(o->at, parameter, len);
	o->at += len;
}

/* What PC asks for: the value, or a threshold, which nobody has set. */
static uint64_t counter(const struct output *o, uint64_t value)
{
	switch (o->task->cdb[2] >> 6) {
	case LOG_CUMULATIVE: return value;
	case LOG_DEFAULT_CUMULATIVE: return 0;
	default: return UINT64_MAX;
	}
}

/* We correct no errors: what fails has failed. */
static void put_errors(struct output *o, enum log_counter bytes, enum log_counter failed)
{
	for (uint16_t code = 0; code < LOG_ERROR_COUNTERS; code++) {
		struct {
			struct log_parameter head;
			struct be64 value;
		} p = { 0 };
		uint64_t value = code == LOG_ERROR_BYTES	 ? o->counters.value[bytes]
				 : code == LOG_ERROR_UNCORRECTED ? o->counters.value[failed]
								 : 0;

		p.value = be64_of(counter(o, value));
		put(o, code, LOG_TSD | LOG_COUNTER, &p, sizeof(p));
	}
}

static void write_errors(struct output *o)
{
	put_errors(o, LOG_WRITE_BYTES, LOG_WRITE_FAILED);
}

static void read_errors(struct output *o)
{
	put_errors(o, LOG_READ_BYTES, LOG_READ_FAILED);
}

static void verify_errors(struct output *o)
{
	put_errors(o, LOG_VERIFY_BYTES, LOG_VERIFY_FAILED);
}

/* The backstore has answered before. */
static void provisioning(struct output *o)
{
	const struct scsi_task *task = o->task;
	struct log_resource p = { .count = be32_of(threshold_sets(task->req.space.available)),
				  .scope = LOG_SCOPE_SHARED };

	put(o, LOG_AVAILABLE, LOG_LIST, &p, sizeof(p));
	p.count = be32_of(threshold_sets(task->req.space.used));
	p.scope = LOG_SCOPE_UNIT;
	put(o, LOG_USED, LOG_LIST, &p, sizeof(p));
}

static void temperature(struct output *o)
{
	for (uint16_t code = 0; code < 2; code++) { /* of now, and the highest one allowed */
		struct log_temperature p = { .celsius = LOG_TEMPERATURE_UNKNOWN };

		put(o, code, LOG_LIST, &p, sizeof(p));
	}
}

static void statistics(struct output *o)
{
	uint8_t shift = o->task->lu->block_shift;
	const uint64_t *v = o->counters.value;
	struct log_statistics p = { .reads = be64_of(v[LOG_READS]),
				    .writes = be64_of(v[LOG_WRITES]),
				    .blocks_received = be64_of(v[LOG_WRITE_BYTES] >> shift),
				    .blocks_sent = be64_of(v[LOG_READ_BYTES] >> shift) };
	struct log_idle idle = { 0 };
	struct log_interval interval = { 0 };

	put(o, 1, LOG_LIST, &p, sizeof(p));
	put(o, 2, LOG_LIST, &idle, sizeof(idle));
	put(o, 3, LOG_LIST, &interval, sizeof(interval));
}

/* A disk that has lost a write-back is not to be trusted. */
static void exceptions(struct output *o)
{
	struct log_exceptions p = { .celsius = LOG_TEMPERATURE_UNKNOWN,
				    .specific = LOG_TEMPERATURE_UNKNOWN };

	if (atomic_load(&o->task->lu->bs->flush_failed))
		p.asc = 0x5d; /* FAILURE PREDICTION THRESHOLD EXCEEDED */
	put(o, 0, LOG_LIST, &p, sizeof(p));
}

/* --- The table */

#define ONE(c) (1u << (c))

/* In ascending order. A page without a writer is a list of pages: of those with subpage 00h, or of
 * all. counters: what LOG SELECT resets with it. */
static const struct log_page {
	uint8_t code, subpage;
	void (*write)(struct output *o);
	uint32_t counters;
	bool (*exists)(const struct lu *lu);
} pages[] = {
	{ LOG_PAGE_SUPPORTED, 0, NULL, 0, NULL },
	{ LOG_PAGE_SUPPORTED, LOG_SUBPAGE_ALL, NULL, 0, NULL },
	{ LOG_PAGE_WRITE_ERRORS, 0, write_errors, ONE(LOG_WRITE_BYTES) | ONE(LOG_WRITE_FAILED),
	  NULL },
	{ LOG_PAGE_READ_ERRORS, 0, read_errors, ONE(LOG_READ_BYTES) | ONE(LOG_READ_FAILED), NULL },
	{ LOG_PAGE_VERIFY_ERRORS, 0, verify_errors, ONE(LOG_VERIFY_BYTES) | ONE(LOG_VERIFY_FAILED),
	  NULL },
	{ LOG_PAGE_PROVISIONING, 0, provisioning, 0, lu_reports_space },
	{ LOG_PAGE_TEMPERATURE, 0, temperature, 0, NULL },
	{ LOG_PAGE_STATISTICS, 0, statistics,
	  ONE(LOG_READS) | ONE(LOG_WRITES) | ONE(LOG_READ_BYTES) | ONE(LOG_WRITE_BYTES), NULL },
	{ LOG_PAGE_EXCEPTIONS, 0, exceptions, 0, NULL },
};

static const struct log_page *page_find(const struct lu *lu, uint8_t code, uint8_t subpage)
{
	for (size_t i = 0; i < array_size(pages); i++) {
		if (pages[i].code == code && pages[i].subpage == subpage)
			return !pages[i].exists || pages[i].exists(lu) ? &pages[i] : NULL;
	}
	return NULL;
}

bool log_page_exists(const struct lu *lu, uint8_t code, uint8_t subpage)
{
	return page_find(lu, code, subpage) != NULL;
}

uint32_t log_page_counters(const struct lu *lu, uint8_t code, uint8_t subpage)
{
	const struct log_page *page = page_find(lu, code, subpage);

	return page ? page->counters : 0;
}

static uint8_t *write_list(const struct lu *lu, bool subpages, uint8_t *at)
{
	for (size_t i = 0; i < array_size(pages); i++) {
		const struct log_page *page = &pages[i];

		if ((page->subpage && !subpages) || (page->exists && !page->exists(lu)))
			continue;
		*at++ = page->code;
		if (subpages)
			*at++ = page->subpage;
	}
	return at;
}

/* --- The command */

static const struct log_page *page_asked_for(const struct scsi_task *task)
{
	return page_find(task->lu, task->cdb[2] & 0x3f, task->cdb[3]);
}

static int log_sense_fill(struct scsi_task *task, uint8_t *out)
{
	const struct log_page *page = page_asked_for(task);
	struct log_header *header = (struct log_header *)out;
	struct lu_pages *of = task->lu->pages;
	struct output o = { .task = task,
			    .at = out + sizeof(*header),
			    .from = (uint16_t)(task->cdb[5] << 8 | task->cdb[6]) };

	/* Counted under the lock, or a reset in between would begin behind what we count. */
	pthread_mutex_lock(&of->lock);
	log_count(task->lu, &o.counters);
	for (unsigned int i = 0; i < LOG_COUNTERS; i++)
		o.counters.value[i] -= of->began.value[i];
	pthread_mutex_unlock(&of->lock);
	if (page->write)
		page->write(&o);
	else
		o.at = write_list(task->lu, page->subpage, o.at);
	if (o.from > o.last) {
		task_sense_cdb(task, 5, 7);
		return -1;
	}
	header->page = (uint8_t)(LOG_DS | (page->subpage ? LOG_SPF : 0) | page->code);
	header->subpage = page->subpage;
	header->len = be16_of((uint16_t)(o.at - out - (long)sizeof(*header)));
	return (int)(o.at - out);
}

static void log_space(struct scsi_task *task)
{
	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	thresholds_look(task->lu, task->req.space.used, task->req.space.available);
	task_respond(task);
}

static void log_sense_start(struct scsi_task *task)
{
	const struct log_page *page = page_asked_for(task);

	if (!page) {
		bool named = log_page_exists(task->lu, task->cdb[2] & 0x3f, 0);

		task_fail_cdb(task, named ? 3 : 2, named ? 7 : 5);
	} else if (page->write != provisioning) {
		task_respond(task);
	} else if (task_io(task, BS_SPACE, 0, 0, NULL, 0, log_space)) {
		log_space(task);
	}
}

/* PPC and SP are zero: no parameters of changed values only, and nothing is saved. */
const struct cdb_row log_sense_row = { .name = "LOG SENSE",
				       USAGE10(CDB_LOG_SENSE, 0, 0xff, 0xff, 0, LEN2, LEN2,
					       CONTROL),
				       .start = log_sense_start,
				       .fill = log_sense_fill,
				       .direction = DIR_IN,
				       ALLOCATION(7, 2),
				       .rule = RSV_STATUS,
				       .flags = ROW_STANDBY | ROW_DURING_JOB,
				       QUICK };
