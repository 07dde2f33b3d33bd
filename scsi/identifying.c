// SPDX-License-Identifier: BSD-2-Clause
/*
 * REPORT and SET IDENTIFYING INFORMATION, SPC 5.6, 6.32 and 6.45: what an administrator writes on
 * the unit. It survives restart, so without a store it cannot be set.
 */
#include <stdlib.h>
#include <string.h>

#include "pages.h"
#include "rows.h"

enum { TYPE_AT = 10, TYPE_SHIFT = 1, TYPE_MASK = 0xfe };

static const char title[] = "riser identifying information 1";

static const struct {
	uint8_t type;
	uint16_t max; /* bytes */
} types[IDENTIFYING_TYPES] = {
	{ IDENTIFYING_INFORMATION, IDENTIFYING_INFORMATION_MAX },
	{ IDENTIFYING_TEXT, IDENTIFYING_TEXT_MAX },
};

static int type_find(uint8_t type)
{
	for (int i = 0; i < IDENTIFYING_TYPES; i++) {
		if (types[i].type == type)
			return i;
	}
	return -1;
}

/* --- REPORT */

static int report_types(uint8_t *out)
{
	uint8_t *at = out + sizeof(struct identifying_header);

	for (unsigned int i = 0; i < IDENTIFYING_TYPES; i++) {
		struct identifying_type d = { .type = (uint8_t)(types[i].type << TYPE_SHIFT),
					      .max = be16_of(types[i].max) };

		memcpy(at, &d, sizeof(d));
		at += sizeof(d);
	}
	return (int)(at - out);
}

static int report_identifying_fill(struct scsi_task *task, uint8_t *out)
{
	struct identifying_header *header = (struct identifying_header *)out;
	struct lu_pages *pages = task->lu->pages;
	uint8_t type = task->cdb[TYPE_AT] >> TYPE_SHIFT;
	int at = type_find(type), len = sizeof(*header);

	if (type == IDENTIFYING_SUPPORTED) {
		len = report_types(out);
	} else if (at < 0) {
		task_sense_cdb(task, TYPE_AT, 7);
		return -1;
	} else {
		pthread_mutex_lock(&pages->lock);
		memcpy(out + len, pages->identifying[at].bytes, pages->identifying[at].len);
		len += pages->identifying[at].len;
		pthread_mutex_unlock(&pages->lock);
	}
	header->len = be16_of((uint16_t)(len - (int)sizeof(*header)));
	return len;
}

/* --- The record */

struct loading {
	struct identifying *into;
	uint32_t seen;
};

static bool identifying_line(void *arg, uint8_t code, uint8_t subcode, const uint8_t *bytes,
			     size_t len)
{
	struct loading *loading = arg;
	int at = type_find(code);

	if (at < 0 || subcode || !len || len > types[at].max || loading->seen & 1u << at)
		return false;
	loading->seen |= 1u << at;
	loading->into[at].len = (uint16_t)len;
	memcpy(loading->into[at].bytes, bytes, len);
	return true;
}

int identifying_load(struct lu *lu, char *why, size_t why_size)
{
	struct loading loading = { .into = lu->pages->identifying };
	const struct lines_load load = { "id", title, identifying_line, &loading,
					 &lu->pages->identifying_version };

	return lines_load(lu, &load, why, why_size);
}

static void identifying_lines(const struct identifying *all, struct lines *r)
{
	lines_begin(r, title);
	for (unsigned int i = 0; i < IDENTIFYING_TYPES; i++) {
		if (all[i].len)
			lines_put(r, types[i].type, 0, all[i].bytes, all[i].len);
	}
}

/* --- SET */

struct set_identifying {
	struct lines_save save;
	struct identifying all[IDENTIFYING_TYPES];
};

static void set_stored(struct scsi_task *task, int res)
{
	struct set_identifying *set = task->context;
	struct lu_pages *pages = task->lu->pages;

	if (!res) {
		pages->identifying_version = set->save.req.version;
		pthread_mutex_lock(&pages->lock);
		memcpy(pages->identifying, set->all, sizeof(set->all));
		pthread_mutex_unlock(&pages->lock);
		lu_raise_ua(task->lu, UA_IDENTIFIER_CHANGED, task->nexus);
	}
	if (task->aborted)
		task_end(task);
	else if (res)
		task_fail(task, SENSE_INTERNAL_FAILURE);
	else
		task_good(task);
}

/* It is our turn: what is stored is what is there plus our change. */
static void set_run(struct scsi_task *task)
{
	struct lu_pages *pages = task->lu->pages;
	struct set_identifying *set = task->context;
	struct identifying *mine;

	pthread_mutex_lock(&pages->lock);
	memcpy(set->all, pages->identifying, sizeof(set->all));
	pthread_mutex_unlock(&pages->lock);
	mine = &set->all[type_find(task->cdb[TYPE_AT] >> TYPE_SHIFT)];
	mine->len = (uint16_t)task->chunk;
	if (task->chunk)
		memcpy(mine->bytes, task->buf->data, task->chunk);
	identifying_lines(set->all, &set->save.lines);
	lines_store(task, &set->save, "id", pages->identifying_version, set_stored);
}

static void set_begin(struct scsi_task *task)
{
	task->context = malloc(sizeof(struct set_identifying));
	if (!task->context)
		task_fail(task, SENSE_RESOURCES);
	else if (turn_take(&task->lu->pages->turn, task, set_run))
		set_run(task);
}

/* A text ends with its only NUL. */
static void set_arrived(struct scsi_task *task)
{
	const uint8_t *text = task->buf->data;
	const uint8_t *nul = memchr(text, 0, task->chunk);

	if (task->cdb[TYPE_AT] >> TYPE_SHIFT == IDENTIFYING_TEXT && nul != text + task->chunk - 1) {
		task_fail_list(task, nul ? (unsigned int)(nul - text) : task->chunk - 1, 7);
		return;
	}
	set_begin(task);
}

static void set_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, set_arrived);
}

static void set_identifying_start(struct scsi_task *task)
{
	const struct cdb12 *cdb = (const void *)task->cdb;
	uint32_t list = be32_get(cdb->len);
	int at = type_find(task->cdb[TYPE_AT] >> TYPE_SHIFT);

	if (at < 0) {
		task_fail_cdb(task, TYPE_AT, 7);
		return;
	}
	if (list > types[at].max) {
		task_fail_cdb(task, 6, 7);
		return;
	}
	task_want_out(task, list);
	if (task_out_room(task) < list) {
		task_fail(task, SENSE_LIST_LENGTH);
		return;
	}
	task->chunk = list;
	if (!list)
		set_begin(task);
	else if (task_buffer(task, list, list, set_fetch))
		set_fetch(task);
}

static bool lu_has_store(const struct lu *lu)
{
	return lu->store != NULL;
}

const struct cdb_row report_identifying_row = { .name = "REPORT IDENTIFYING INFORMATION",
						.service_action = SA_REPORT_IDENTIFYING_INFORMATION,
						USAGE12(CDB_MAINTENANCE_IN,
							SA_REPORT_IDENTIFYING_INFORMATION, 0, 0, 0,
							0, LEN4, TYPE_MASK, CONTROL),
						RESPONDS(report_identifying_fill),
						ALLOCATION(6, 4),
						.rule = RSV_NEVER,
						.flags = ROW_STANDBY,
						QUICK };

const struct cdb_row set_identifying_row = { .name = "SET IDENTIFYING INFORMATION",
					     .service_action = SA_SET_IDENTIFYING_INFORMATION,
					     USAGE12(CDB_MAINTENANCE_OUT,
						     SA_SET_IDENTIFYING_INFORMATION, 0, 0, 0, 0,
						     LEN4, TYPE_MASK, CONTROL),
					     .start = set_identifying_start,
					     .cleanup = pages_give_turn,
					     .direction = DIR_OUT,
					     .rule = RSV_WRITE,
					     .exists = lu_has_store,
					     MEDIUM };
