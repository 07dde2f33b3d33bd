// SPDX-License-Identifier: BSD-2-Clause
/*
 * POPULATE TOKEN and WRITE USING TOKEN, SBC 5.14 and 5.49: what Windows copies with (ODX). Nothing
 * moves when a token is made. What one writes comes from the unit where it was made, whose state and
 * reservations are asked again, or is zeros for the zero ROD token. IMMED asks for an answer before
 * the work; these answer when it is done, and RECEIVE ROD TOKEN INFORMATION tells the same.
 */
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "rows.h"

static uint32_t cdb_number(const struct scsi_task *task, unsigned int at)
{
	struct be32 n;

	memcpy(n.b, task->cdb + at, sizeof(n));
	return be32_get(n);
}

/* --- Range descriptors */

struct range_list {
	struct copy_range ranges[COPY_RANGES];
	unsigned int count;
	uint64_t blocks; /* in all */
};

static_assert(sizeof(struct write_using_list) + (COPY_RANGES + 1) * sizeof(struct range_wire) <=
		      RESPONSE_SIZE,
	      "what token_start() does not fetch is not looked at");

/* len bytes of descriptors at `at`, whose length stands at length_at of a list that says it has
 * data_len. False: the lengths do not fit each other; ended. */
static bool check_lengths(struct scsi_task *task, uint32_t data_len, uint32_t len, uint32_t at,
			  uint32_t length_at)
{
	if (data_len + 2 > cdb_number(task, COPY_LENGTH_AT))
		task_fail(task, SENSE_LIST_LENGTH);
	else if (data_len + 2 < at + sizeof(struct range_wire))
		task_fail_list(task, 0, 7);
	else if (len < sizeof(struct range_wire) || at + len > data_len + 2)
		task_fail_list(task, length_at, 7);
	else if (len / sizeof(struct range_wire) > COPY_RANGES)
		copy_fail_list(task, SENSE_TOO_MANY_SEGMENTS, length_at);
	else
		return true;
	return false;
}

static bool range_overlaps(const struct copy_range *a, const struct copy_range *b)
{
	return a->lba < b->lba ? b->lba - a->lba < a->blocks && b->blocks
			       : a->lba - b->lba < b->blocks && a->blocks;
}

/* The i-th range is on the medium and overlaps none before it. False: ended. */
static bool check_range(struct scsi_task *task, const struct range_list *list, unsigned int i,
			uint32_t at)
{
	task->lba = list->ranges[i].lba;
	task->blocks = list->ranges[i].blocks;
	if (!block_check_range(task))
		return false;
	for (unsigned int j = 0; j < i; j++) {
		if (range_overlaps(&list->ranges[i], &list->ranges[j])) {
			task_fail_list(task, at, 7);
			return false;
		}
	}
	return true;
}

/* A descriptor of which there is only a part, at the end, does not count. False: ended. */
static bool read_ranges(struct scsi_task *task, struct range_list *list, uint32_t at, uint32_t len,
			uint32_t length_at)
{
	list->count = len / (uint32_t)sizeof(struct range_wire);
	list->blocks = 0;
	for (unsigned int i = 0; i < list->count; i++) {
		uint32_t wire_at = at + i * (uint32_t)sizeof(struct range_wire);
		const struct range_wire *wire = (const void *)(task->buf->data + wire_at);

		list->ranges[i].lba = be64_get(wire->lba);
		list->ranges[i].blocks = be32_get(wire->blocks);
		list->blocks += list->ranges[i].blocks;
		if (!check_range(task, list, i, wire_at))
			return false;
	}
	if (list->blocks <= TOKEN_MAX_BYTES >> task->lu->block_shift)
		return true;
	task_fail_list(task, length_at, 7);
	return false;
}

/* --- POPULATE TOKEN */

/* False: ended. */
static bool populate_check(struct scsi_task *task, struct range_list *ranges, uint32_t *timeout)
{
	const struct populate_list *list = (const void *)task->buf->data;
	uint32_t len = be16_get(list->ranges_len);
	const uint32_t length_at = offsetof(struct populate_list, ranges_len);

	if (!check_lengths(task, be16_get(list->len), len, sizeof(*list), length_at))
		return false;
	*timeout = be32_get(list->timeout);
	if (*timeout > TOKEN_MAX_TIMEOUT) {
		task_fail_list(task, offsetof(struct populate_list, timeout), 7);
		return false;
	}
	if (!*timeout)
		*timeout = TOKEN_DEFAULT_TIMEOUT;
	if (list->flags & POPULATE_RTV && be32_get(list->rod_type) != ROD_ACCESS_UPON_REFERENCE) {
		task_fail_list(task, offsetof(struct populate_list, rod_type), 7);
		return false;
	}
	return read_ranges(task, ranges, sizeof(*list), len, length_at);
}

static void populate_here(struct scsi_task *task)
{
	struct copy_record *record;
	struct range_list ranges;
	uint8_t token[ROD_TOKEN_SIZE];
	uint32_t timeout;
	int err;

	if (!populate_check(task, &ranges, &timeout) ||
	    !copy_record_begin(task, cdb_number(task, TOKEN_LIST_ID_AT), &record))
		return;
	err = token_create(task, ranges.ranges, ranges.count, timeout, token);
	if (err) {
		task_sense_code(task, sense_of_errno(err, BS_READ));
		copy_record_end(record, task, NULL);
		stat_add(&task_stats(task)->check_conditions, 1);
		task_end(task);
		return;
	}
	copy_record_progress(record, ranges.blocks << task->lu->block_shift);
	task->status = SAM_GOOD;
	copy_record_end(record, task, token);
	task_good(task);
}

static void populate_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, populate_here);
}

/* --- WRITE USING TOKEN */

/* The moves of a write: where in the source ranges they are. */
struct cursor {
	const struct copy_range *ranges;
	unsigned int count, i;
	uint64_t done; /* blocks of ranges[i] */
};

/* Blocks up to the end of the present range, which is not empty; 0: all ranges are done. */
static uint64_t cursor_left(struct cursor *c)
{
	while (c->i < c->count && c->done == c->ranges[c->i].blocks) {
		c->i++;
		c->done = 0;
	}
	return c->i < c->count ? c->ranges[c->i].blocks - c->done : 0;
}

static void cursor_skip(struct cursor *c, uint64_t blocks)
{
	uint64_t left;

	while (blocks && (left = cursor_left(c))) {
		uint64_t n = blocks < left ? blocks : left;

		c->done += n;
		blocks -= n;
	}
}

static uint64_t cursor_at(const struct cursor *c)
{
	return c->ranges[c->i].lba + c->done;
}

/* One move for each piece that is in one range of both, as far as the source goes; without source
 * (end->lu NULL) for each range of the destination. */
static void add_moves(const struct scsi_task *task, struct copy *copy, const struct copy_end *end,
		      struct cursor *from, struct cursor *to)
{
	uint8_t shift = task->lu->block_shift;
	uint64_t n, left;

	while ((n = cursor_left(to))) {
		struct copy_move *move = &copy->moves[copy->count];

		if (end->lu) {
			left = cursor_left(from);
			if (!left)
				break;
			if (left < n)
				n = left;
			move->at[COPY_SOURCE] = cursor_at(from) << shift;
			from->done += n;
		}
		copy->count++;
		move->end[COPY_SOURCE] = *end;
		move->end[COPY_DESTINATION] = (struct copy_end){ task->lu, lun_number(task->lun) };
		move->at[COPY_DESTINATION] = cursor_at(to) << shift;
		move->len = n << shift;
		to->done += n;
	}
}

/* What the token stands for. False: ended. */
static bool write_source(struct scsi_task *task, const struct write_using_list *list,
			 struct copy_end *end, struct range_list *source)
{
	enum sense_code code;

	*end = (struct copy_end){ NULL, -1 };
	source->count = 0;
	source->blocks = 0;
	if (be32_get(((const struct rod_token_wire *)list->token)->type) == ROD_BLOCK_DEVICE_ZERO)
		return true;
	code = token_use(task, list->token, list->flags & WRITE_USING_DEL_TKN, end, source->ranges,
			 &source->count);
	if (code == SENSE_NONE && end->lu->block_size != task->lu->block_size)
		code = SENSE_TOKEN_OPERATION;
	for (unsigned int i = 0; i < source->count; i++)
		source->blocks += source->ranges[i].blocks;
	if (code == SENSE_NONE)
		return true;
	task_fail(task, code);
	return false;
}

/* The list is right so far: the moves, and off they go. */
static void write_moves(struct scsi_task *task, const struct copy_end *end,
			const struct range_list *source, uint64_t offset,
			const struct range_list *target)
{
	struct cursor from = { .ranges = source->ranges, .count = source->count };
	struct cursor to = { .ranges = target->ranges, .count = target->count };
	struct copy *copy =
		calloc(1, sizeof(*copy) + (source->count + target->count) * sizeof(copy->moves[0]));

	if (!copy) {
		task_fail(task, SENSE_RESOURCES);
		return;
	}
	copy->by_token = true;
	copy->partial = end->lu && target->blocks > source->blocks - offset;
	cursor_skip(&from, offset);
	add_moves(task, copy, end, &from, &to);
	task->context = copy;
	if (!copy_record_begin(task, cdb_number(task, TOKEN_LIST_ID_AT), &copy->record))
		return;
	copy_run(task);
}

static void write_here(struct scsi_task *task)
{
	const struct write_using_list *list = (const void *)task->buf->data;
	uint32_t len = be16_get(list->ranges_len);
	const uint32_t length_at = offsetof(struct write_using_list, ranges_len);
	uint64_t offset = be64_get(list->offset);
	struct range_list source, target;
	struct copy_end end;

	if (!check_lengths(task, be16_get(list->len), len, sizeof(*list), length_at) ||
	    !read_ranges(task, &target, sizeof(*list), len, length_at) ||
	    !write_source(task, list, &end, &source))
		return;
	if (end.lu && offset >= source.blocks)
		task_fail_list(task, offsetof(struct write_using_list, offset), 7);
	else
		write_moves(task, &end, &source, offset, &target);
}

static void write_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, write_here);
}

/* --- Both */

static void token_start(struct scsi_task *task, uint32_t header, void (*fetch)(struct scsi_task *))
{
	uint32_t len = cdb_number(task, COPY_LENGTH_AT);

	task_want_out(task, len);
	if (!len) {
		task_good(task);
		return;
	}
	if (len < header || task_out_room(task) < len) {
		task_fail(task, SENSE_LIST_LENGTH);
		return;
	}
	/* What is behind the most ranges there may be is not needed to say so. */
	task->chunk = len < RESPONSE_SIZE ? len : RESPONSE_SIZE;
	if (task_buffer(task, task->chunk, task->chunk, fetch))
		fetch(task);
}

static void populate_start(struct scsi_task *task)
{
	token_start(task, sizeof(struct populate_list), populate_fetch);
}

static void write_using_start(struct scsi_task *task)
{
	token_start(task, sizeof(struct write_using_list), write_fetch);
}

#define TOKEN_CDB(action) \
	USAGE16(CDB_THIRD_PARTY_COPY_OUT, (action), 0, 0, 0, 0, LEN4, LEN4, 0, CONTROL)

const struct cdb_row populate_token_row = { .name = "POPULATE TOKEN",
					    .service_action = SA_POPULATE_TOKEN,
					    TOKEN_CDB(SA_POPULATE_TOKEN),
					    .start = populate_start,
					    .direction = DIR_OUT,
					    .rule = RSV_READ,
					    .flags = ROW_MEDIUM,
					    MEDIUM };

const struct cdb_row write_using_token_row = { .name = "WRITE USING TOKEN",
					       .service_action = SA_WRITE_USING_TOKEN,
					       TOKEN_CDB(SA_WRITE_USING_TOKEN),
					       .start = write_using_start,
					       .cleanup = copy_cleanup,
					       WRITES_MEDIUM,
					       LONG };
