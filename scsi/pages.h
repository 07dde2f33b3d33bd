// SPDX-License-Identifier: BSD-2-Clause
/*
 * Private header of what a unit remembers for its pages: mode parameters, identifying information,
 * timestamp, where log counters began, provisioning thresholds. Everything is [any thread] unless
 * it says otherwise; what changes rarely is under the lock of struct lu_pages.
 */
#ifndef RISER_SCSI_PAGES_H
#define RISER_SCSI_PAGES_H

#include <pthread.h>

#include "scsi.h"
#include "scsi_log_wire.h"
#include "scsi_mode_wire.h"
#include "store.h"
#include "turn.h"

/* --- mode_pages.c: the table */

enum mode_index {
	MODE_RECOVERY,
	MODE_CACHING,
	MODE_CONTROL,
	MODE_EXTENSION,
	MODE_POWER,
	MODE_EXCEPTIONS,
	MODE_PROVISIONING,
	MODE_PAGES
};
enum { MODE_PAGE_MAX = 40 };

struct mode_page {
	uint8_t code, subpage;
	uint8_t len; /* bytes, the head included */
	/* Write what is behind the head into zeroed bytes of the whole page. NULL: zeros. */
	void (*defaults)(const struct lu *lu, void *page);
	void (*changeable)(const struct lu *lu, void *page);
	/* Whether a page that only changes what is changeable means something; else where not. NULL:
	 * it always does. */
	bool (*valid)(const void *page, unsigned int *byte, unsigned int *bit);
	bool (*exists)(const struct lu *lu); /* NULL: every unit has it */
};
extern const struct mode_page mode_pages[MODE_PAGES];

/* One value of every page, by its place in the table. Only changeable bits count. */
struct mode_values {
	uint8_t page[MODE_PAGES][MODE_PAGE_MAX];
};

static inline bool mode_page_exists(const struct mode_page *row, const struct lu *lu)
{
	return !row->exists || row->exists(lu);
}
static inline size_t mode_head_len(const struct mode_page *row)
{
	return row->subpage ? sizeof(struct mode_subpage_head) : sizeof(struct mode_page_head);
}
/* The place of a page that the unit has, or -1. */
int mode_page_find(const struct lu *lu, uint8_t code, uint8_t subpage);
/* The whole page: values where they may differ from the default, head in front. */
void mode_page_write(const struct lu *lu, unsigned int index, const struct mode_values *values,
		     uint8_t *out);
/* The mask, with the same head. */
void mode_page_mask(const struct lu *lu, unsigned int index, uint8_t *out);
void mode_defaults(const struct lu *lu, struct mode_values *values);

/* --- mode.c: the values of a unit */

/* Makes the rest of the unit follow its current values. */
void mode_apply(struct lu *lu);
void mode_current(struct lu *lu, struct mode_values *out);
void mode_saved(struct lu *lu, struct mode_values *out);
/* Row cleanup of what takes pages->turn: task->context has to be there before. */
void pages_give_turn(struct scsi_task *task);

/* --- mode_select.c */

enum { MODE_LIST_MAX = 4096 }; /* bytes: more than all pages and descriptors need */

/* A list that cannot be taken: SENSE_LIST_LENGTH, or SENSE_INVALID_LIST_FIELD at byte and bit. */
struct mode_error {
	enum sense_code sense;
	unsigned int byte, bit;
};
/* Changes values as the parameter list says; ten: of MODE SELECT (10). False: error is set, and
 * values are worth nothing. */
bool mode_list_parse(const struct lu *lu, const uint8_t *list, uint32_t len, bool ten,
		     struct mode_values *values, struct mode_error *error);

/* --- mode_record.c: records of the store */

enum { LINES_MAX = 4096 };

/* Text under construction. Lines are "CODE/SUBCODE xx xx ...". */
struct lines {
	size_t len;
	char text[LINES_MAX];
};
/* title: the first line, without its newline. */
void lines_begin(struct lines *r, const char *title);
void lines_put(struct lines *r, uint8_t code, uint8_t subcode, const uint8_t *bytes, size_t len);
/* Calls line() for each line; it returns false for one that does not fit. False: the text is not
 * such a record. */
bool lines_read(const char *text, size_t len, const char *title,
		bool (*line)(void *arg, uint8_t code, uint8_t subcode, const uint8_t *bytes,
			     size_t len),
		void *arg);

/* [main thread] Reads a record of the unit. 0: it is read, or there is none. Else -errno with why. */
struct lines_load {
	const char *kind, *title;
	bool (*line)(void *arg, uint8_t code, uint8_t subcode, const uint8_t *bytes, size_t len);
	void *arg;
	uint64_t *version;
};
int lines_load(const struct lu *lu, const struct lines_load *load, char *why, size_t why_size);

/* Storing a record for a task that waits. Embedded in task->context. */
struct lines_save {
	struct store_req req;
	struct scsi_task *task;
	void (*step)(struct scsi_task *task, int res);
	char name[STORE_NAME_MAX];
	struct lines lines;
};
/* [owner thread] step follows with the store's result, even when the task was aborted meanwhile: what
 * is stored has happened. save->lines is filled in; an empty one removes the record. */
void lines_store(struct scsi_task *task, struct lines_save *save, const char *kind,
		 uint64_t version, void (*step)(struct scsi_task *task, int res));

int mode_load(struct lu *lu, char *why, size_t why_size);
void mode_lines(const struct lu *lu, const struct mode_values *values, struct lines *r);

/* --- log.c */

enum log_counter {
	LOG_READS,
	LOG_WRITES,
	LOG_READ_BYTES,
	LOG_WRITE_BYTES,
	LOG_VERIFY_BYTES,
	LOG_READ_FAILED,
	LOG_WRITE_FAILED,
	LOG_VERIFY_FAILED,
	LOG_COUNTERS
};
struct log_counters {
	uint64_t value[LOG_COUNTERS];
};
/* Sums over the reactors, since the start. */
void log_count(const struct lu *lu, struct log_counters *out);
/* Bit set of counters that the page shows; 0: there is no such page, or it has none. */
uint32_t log_page_counters(const struct lu *lu, uint8_t page, uint8_t subpage);
bool log_page_exists(const struct lu *lu, uint8_t page, uint8_t subpage);

/* --- log_thresholds.c */

/* Bytes as threshold sets. */
uint32_t threshold_sets(uint64_t bytes);
bool lu_reports_space(const struct lu *lu);
/* The mode pages have changed. */
void thresholds_apply(struct lu *lu, const struct mode_values *values);
/* What the backstore said of its space: unit attentions for thresholds that are crossed now. */
void thresholds_look(struct lu *lu, uint64_t used, uint64_t available);

/* --- identifying.c */

struct identifying {
	uint16_t len;
	uint8_t bytes[IDENTIFYING_TEXT_MAX];
};
enum { IDENTIFYING_TYPES = 2 };
int identifying_load(struct lu *lu, char *why, size_t why_size);

/* --- all of it */

struct lu_pages {
	pthread_mutex_t lock; /* nothing else is taken under it */
	struct mode_values current, saved;
	struct log_counters began; /* subtracted from what is counted since the start */
	struct identifying identifying[IDENTIFYING_TYPES];
	int64_t clock_offset; /* ms: timestamp minus CLOCK_BOOTTIME */
	uint8_t clock_origin;
	struct turn turn; /* one MODE SELECT or SET IDENTIFYING INFORMATION after the other; lock */
	uint64_t mode_version, identifying_version; /* who has the turn */
	/* Thresholds. */
	_Atomic uint64_t look_at; /* ns: when the space is to be looked at next */
	_Atomic uint32_t crossed; /* bit set: told already */
	struct mode_provisioning watched; /* as of the last change */
};

void timestamp_init(struct lu_pages *pages);

#endif
