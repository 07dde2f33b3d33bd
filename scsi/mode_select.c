// SPDX-License-Identifier: BSD-2-Clause
/*
 * MODE SELECT, SPC 6.12 and 6.13. The whole list is checked before anything changes, and saved before
 * it becomes current. MODE SELECTs run one after the other (turn.h). One that switches the cache
 * off, or protects the medium, has the unit for itself for that (gate_lock): what the cache holds was
 * written before, so that one flush covers it.
 */
#include <stdlib.h>
#include <string.h>

#include "pages.h"
#include "rows.h"

/* --- The list */

/* What is left of it. */
struct input {
	const struct lu *lu;
	const uint8_t *list;
	uint32_t at, len;
	struct mode_error *error;
};

static bool too_short(struct input *in)
{
	*in->error = (struct mode_error){ .sense = SENSE_LIST_LENGTH };
	return false;
}

static bool bad_field(struct input *in, unsigned int byte, unsigned int bit)
{
	*in->error = (struct mode_error){ SENSE_INVALID_LIST_FIELD, byte, bit };
	return false;
}

/* NUMBER OF LOGICAL BLOCKS 0 keeps the capacity, all ones asks for the greatest: we have but one. */
static bool parse_block(struct input *in, bool longlba)
{
	const struct mode_block_long *large = (const void *)(in->list + in->at);
	const struct mode_block_short *small = (const void *)(in->list + in->at);
	uint64_t capacity = in->lu->blocks, blocks, most = longlba ? UINT64_MAX : UINT32_MAX;
	uint32_t block_size, size_at;

	if (longlba) {
		blocks = be64_get(large->blocks);
		block_size = be32_get(large->block_size);
		size_at = offsetof(struct mode_block_long, block_size);
	} else {
		blocks = be32_get(small->blocks);
		block_size = be24_get(small->block_size);
		size_at = offsetof(struct mode_block_short, block_size);
	}
	if (blocks && blocks != capacity && blocks != most)
		return bad_field(in, in->at, 7);
	if (block_size != in->lu->block_size)
		return bad_field(in, in->at + size_at, 7);
	in->at += longlba ? sizeof(*large) : sizeof(*small);
	return true;
}

/* MODE DATA LENGTH and DEVICE-SPECIFIC PARAMETER mean nothing here. */
static bool parse_header(struct input *in, bool ten)
{
	const struct mode_header6 *six = (const void *)in->list;
	const struct mode_header10 *big = (const void *)in->list;
	uint32_t head = ten ? sizeof(*big) : sizeof(*six), blocks, one;
	bool longlba;

	if (in->len < head)
		return too_short(in);
	longlba = ten && big->flags & MODE_LONGLBA;
	blocks = ten ? be16_get(big->descriptors_len) : six->descriptors_len;
	one = longlba ? sizeof(struct mode_block_long) : sizeof(struct mode_block_short);
	if (ten ? big->medium_type : six->medium_type)
		return bad_field(in, ten ? 2 : 1, 7);
	in->at = head;
	if (blocks > in->len - head)
		return too_short(in);
	if (!blocks)
		return true;
	if (blocks != one)
		return bad_field(in, ten ? 6 : 3, 7);
	return parse_block(in, longlba);
}

/* Only bits of the mask may differ from what there is. */
static bool parse_values(struct input *in, unsigned int index, struct mode_values *values)
{
	const struct mode_page *row = &mode_pages[index];
	uint8_t now[MODE_PAGE_MAX], mask[MODE_PAGE_MAX];
	const uint8_t *page = in->list + in->at;
	unsigned int byte, bit;

	mode_page_write(in->lu, index, values, now);
	mode_page_mask(in->lu, index, mask);
	for (unsigned int i = (unsigned int)mode_head_len(row); i < row->len; i++) {
		uint8_t bad = (uint8_t)((page[i] ^ now[i]) & ~mask[i]);

		if (bad)
			return bad_field(in, in->at + i, 31u - (unsigned int)__builtin_clz(bad));
	}
	if (row->valid && !row->valid(page, &byte, &bit))
		return bad_field(in, in->at + byte, bit);
	for (unsigned int i = (unsigned int)mode_head_len(row); i < row->len; i++)
		values->page[index][i] =
			(uint8_t)((values->page[index][i] & ~mask[i]) | (page[i] & mask[i]));
	in->at += row->len;
	return true;
}

static bool parse_page(struct input *in, struct mode_values *values)
{
	const uint8_t *page = in->list + in->at;
	const struct mode_subpage_head *sub = (const void *)page;
	const struct mode_page_head *plain = (const void *)page;
	uint32_t left = in->len - in->at, len;
	bool spf = page[0] & MODE_SPF;
	int index;

	if (left < (spf ? sizeof(*sub) : sizeof(*plain)))
		return too_short(in);
	/* A page with subpage 00h is written without one. */
	index = spf && !sub->subpage
			? -1
			: mode_page_find(in->lu, page[0] & MODE_CODE, spf ? sub->subpage : 0);
	if (index < 0) {
		bool named = spf && mode_page_find(in->lu, page[0] & MODE_CODE, 0) >= 0;

		return bad_field(in, in->at + named, named ? 7 : 5);
	}
	len = spf ? (uint32_t)sizeof(*sub) + be16_get(sub->len) : sizeof(*plain) + plain->len;
	if (len != mode_pages[index].len)
		return bad_field(in, in->at + (spf ? 2 : 1), 7);
	if (len > left)
		return too_short(in);
	return parse_values(in, (unsigned int)index, values);
}

bool mode_list_parse(const struct lu *lu, const uint8_t *list, uint32_t len, bool ten,
		     struct mode_values *values, struct mode_error *error)
{
	struct input in = { .lu = lu, .list = list, .len = len, .error = error };

	if (!parse_header(&in, ten))
		return false;
	while (in.at < in.len) {
		if (!parse_page(&in, values))
			return false;
	}
	return true;
}

/* --- The command */

struct mode_select {
	struct lines_save save;
	struct mode_values before, after;
};

static void select_commit(struct scsi_task *task)
{
	struct mode_select *select = task->context;
	struct lu *lu = task->lu;

	if (memcmp(&select->before, &select->after, sizeof(select->before)) != 0) {
		pthread_mutex_lock(&lu->pages->lock);
		lu->pages->current = select->after;
		pthread_mutex_unlock(&lu->pages->lock);
		mode_apply(lu);
		lu_raise_ua(lu, UA_MODE_CHANGED, task->nexus);
	}
	task_good(task);
}

static void select_flushed(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else
		select_commit(task);
}

/* The unit is ours alone. */
static void select_locked(struct scsi_task *task)
{
	if (task_io(task, BS_FLUSH, 0, 0, NULL, 0, select_flushed))
		select_flushed(task);
}

/* The cache is switched off, or the medium protected: what is in the cache goes there before. */
static bool needs_flush(const struct mode_select *select)
{
	const struct mode_caching *cache = (const void *)select->before.page[MODE_CACHING];
	const struct mode_caching *cache_after = (const void *)select->after.page[MODE_CACHING];
	const struct mode_control *control = (const void *)select->before.page[MODE_CONTROL];
	const struct mode_control *control_after = (const void *)select->after.page[MODE_CONTROL];

	return (cache->flags & ~cache_after->flags & MODE_CACHING_WCE) ||
	       (control_after->flags4 & ~control->flags4 & MODE_SWP);
}

/* Saved, where that was asked for. */
static void select_finish(struct scsi_task *task)
{
	if (!needs_flush(task->context))
		select_commit(task);
	else if (gate_lock(task, select_locked))
		select_locked(task);
}

static void select_stored(struct scsi_task *task, int res)
{
	struct mode_select *select = task->context;
	struct lu_pages *pages = task->lu->pages;

	if (!res) {
		pages->mode_version = select->save.req.version;
		pthread_mutex_lock(&pages->lock);
		pages->saved = select->after;
		pthread_mutex_unlock(&pages->lock);
	}
	if (task->aborted)
		task_end(task);
	else if (res)
		task_fail(task, SENSE_INTERNAL_FAILURE);
	else
		select_finish(task);
}

/* It is our turn. */
static void select_run(struct scsi_task *task)
{
	struct mode_select *select = task->context;
	struct mode_error error;

	mode_current(task->lu, &select->before);
	select->after = select->before;
	if (task->chunk && !mode_list_parse(task->lu, task->buf->data, task->chunk,
					    task->row->cdb_len == 10, &select->after, &error)) {
		if (error.sense == SENSE_INVALID_LIST_FIELD)
			task_fail_list(task, error.byte, error.bit);
		else
			task_fail(task, error.sense);
		return;
	}
	if (task->cdb[1] & MODE_SELECT_SP) {
		mode_lines(task->lu, &select->after, &select->save.lines);
		lines_store(task, &select->save, "mode", task->lu->pages->mode_version,
			    select_stored);
	} else {
		select_finish(task);
	}
}

static void select_arrived(struct scsi_task *task)
{
	task->context = malloc(sizeof(struct mode_select));
	if (!task->context)
		task_fail(task, SENSE_RESOURCES);
	else if (turn_take(&task->lu->pages->turn, task, select_run))
		select_run(task);
}

static void select_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, select_arrived);
}

static void mode_select_start(struct scsi_task *task)
{
	uint32_t list = task->row->cdb_len == 6
				? task->cdb[4]
				: be16_get(((const struct cdb10 *)(const void *)task->cdb)->len);
	bool save = task->cdb[1] & MODE_SELECT_SP;

	if (save && !task->lu->store) {
		task_fail_cdb(task, 1, 0);
		return;
	}
	/* Without PF the pages are in a format of SCSI-1. */
	if (list && !(task->cdb[1] & MODE_SELECT_PF)) {
		task_fail_cdb(task, 1, 4);
		return;
	}
	task_want_out(task, list);
	if (task_out_room(task) < list || list > MODE_LIST_MAX) {
		task_fail(task, SENSE_LIST_LENGTH);
		return;
	}
	task->chunk = list;
	if (!list && !save)
		task_good(task);
	else if (!list)
		select_arrived(task);
	else if (task_buffer(task, list, list, select_fetch))
		select_fetch(task);
}

const struct cdb_row mode_select6_row = { .name = "MODE SELECT (6)",
					  USAGE6(CDB_MODE_SELECT_6, MODE_SELECT_PF | MODE_SELECT_SP,
						 0, 0, 0xff, CONTROL),
					  .start = mode_select_start,
					  .cleanup = pages_give_turn,
					  .direction = DIR_OUT,
					  .rule = RSV_WRITE,
					  .flags = ROW_STANDBY,
					  MEDIUM };

const struct cdb_row mode_select10_row = {
	.name = "MODE SELECT (10)",
	USAGE10(CDB_MODE_SELECT_10, MODE_SELECT_PF | MODE_SELECT_SP, 0, 0, 0, 0, 0, LEN2, CONTROL),
	.start = mode_select_start,
	.cleanup = pages_give_turn,
	.direction = DIR_OUT,
	.rule = RSV_WRITE,
	.flags = ROW_STANDBY,
	MEDIUM
};
