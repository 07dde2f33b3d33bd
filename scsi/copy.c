// SPDX-License-Identifier: BSD-2-Clause
/*
 * EXTENDED COPY (LID1) and (LID4), SPC 6.6: from the parameter list to moves. What is wrong with the
 * list as such is ILLEGAL REQUEST and nothing has been copied; what is wrong with one segment ends
 * the command when its turn comes, as COPY ABORTED (SPC 6.6.3).
 */
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "rows.h"

/* Both headers, and where their fields are. */
struct copy_list {
	const uint8_t *data;
	uint32_t len, head; /* bytes: of the list, and of its header */
	uint32_t cscds_len, segments_len, inline_len; /* bytes */
	uint32_t list_id, list_id_at;
	uint8_t usage;
	struct copy_cscd cscds[COPY_CSCDS];
	unsigned int cscd_count, segment_count;
};

static uint32_t cdb_length(const struct scsi_task *task)
{
	struct be32 len;

	memcpy(len.b, task->cdb + COPY_LENGTH_AT, sizeof(len));
	return be32_get(len);
}

static bool is_lid4(const struct scsi_task *task)
{
	return task->row->service_action == SA_EXTENDED_COPY_LID4;
}

static uint32_t header_size(const struct scsi_task *task)
{
	return is_lid4(task) ? sizeof(struct copy_list_lid4) : sizeof(struct copy_list_lid1);
}

static void read_lid1(struct copy_list *list)
{
	const struct copy_list_lid1 *header = (const void *)list->data;

	list->list_id = header->list_id;
	list->list_id_at = offsetof(struct copy_list_lid1, list_id);
	list->usage = header->flags & COPY_USAGE_MASK;
	list->cscds_len = be16_get(header->cscds_len);
	list->segments_len = be32_get(header->segments_len);
	list->inline_len = be32_get(header->inline_len);
}

/* False: ended. */
static bool read_lid4(struct scsi_task *task, struct copy_list *list)
{
	const struct copy_list_lid4 *header = (const void *)list->data;

	list->list_id = be32_get(header->list_id);
	list->list_id_at = offsetof(struct copy_list_lid4, list_id);
	list->usage = header->flags & COPY_USAGE_MASK;
	list->cscds_len = be16_get(header->cscds_len);
	list->segments_len = be16_get(header->segments_len);
	list->inline_len = be16_get(header->inline_len);
	if (header->format != COPY_LIST_FORMAT)
		task_fail_list(task, offsetof(struct copy_list_lid4, format), 7);
	else if (be16_get(header->header_cscds_len) != COPY_HEADER_CSCDS_LEN)
		task_fail_list(task, offsetof(struct copy_list_lid4, header_cscds_len), 7);
	else if (header->header_type != COPY_HEADER_TYPE)
		task_fail_list(task, offsetof(struct copy_list_lid4, header_type), 7);
	else if (header->flags2 & COPY_LID4_IMMED) /* nothing is copied in the background */
		task_fail_list(task, offsetof(struct copy_list_lid4, flags2), 0);
	else
		return true;
	return false;
}

/* False: the header is wrong; ended. */
static bool check_header(struct scsi_task *task, struct copy_list *list)
{
	uint64_t all;

	if (!is_lid4(task))
		read_lid1(list);
	else if (!read_lid4(task, list))
		return false;
	all = (uint64_t)list->cscds_len + list->segments_len + list->inline_len;
	list->cscd_count = list->cscds_len / (uint32_t)sizeof(struct copy_cscd_wire);
	if (list->usage == COPY_USAGE_RESERVED)
		task_fail_list(task, offsetof(struct copy_list_lid1, flags), 4);
	else if (list->usage == COPY_USAGE_NONE && list->list_id)
		task_fail_list(task, list->list_id_at, 7);
	else if (all > list->len - list->head || all - list->inline_len > COPY_LIST_MAX ||
		 list->cscds_len % sizeof(struct copy_cscd_wire))
		task_fail(task, SENSE_LIST_LENGTH);
	else if (list->inline_len)
		task_fail(task, SENSE_INLINE_DATA);
	else if (list->cscd_count > COPY_CSCDS)
		task_fail(task, SENSE_TOO_MANY_CSCDS);
	else
		return true;
	return false;
}

static uint32_t cscd_at(const struct copy_list *list, unsigned int i)
{
	return list->head + i * (uint32_t)sizeof(struct copy_cscd_wire);
}

/* False: a CSCD descriptor is wrong; ended. */
static bool check_cscds(struct scsi_task *task, struct copy_list *list)
{
	for (unsigned int i = 0; i < list->cscd_count; i++) {
		uint32_t at = cscd_at(list, i);
		const struct copy_cscd_wire *wire = (const void *)(list->data + at);

		list->cscds[i].wire = wire;
		if (wire->type != CSCD_IDENTIFICATION) {
			copy_fail_list(task, SENSE_CSCD_TYPE, at);
			return false;
		}
		if (wire->designator_len > sizeof(wire->designator)) {
			task_fail_list(task, at + offsetof(struct copy_cscd_wire, designator_len),
				       7);
			return false;
		}
	}
	copy_find_units(task, list->cscds, list->cscd_count);
	for (unsigned int i = 0; i < list->cscd_count; i++) {
		const struct copy_cscd *cscd = &list->cscds[i];
		uint32_t block_size = be24_get(cscd->wire->block_size);

		/* 0 leaves it to us, and some initiators do. */
		if (cscd->end.lu && block_size && block_size != cscd->end.lu->block_size) {
			task_fail_list(task,
				       cscd_at(list, i) + (uint32_t)offsetof(struct copy_cscd_wire,
									     block_size),
				       7);
			return false;
		}
	}
	return true;
}

/* Counts the segment descriptors. False: one is wrong; ended. */
static bool check_segments(struct scsi_task *task, struct copy_list *list)
{
	uint32_t at = list->head + list->cscds_len, end = at + list->segments_len;

	while (at < end) {
		const struct copy_segment_wire *segment = (const void *)(list->data + at);
		enum sense_code code = SENSE_NONE;

		if (list->segment_count == COPY_SEGMENTS)
			code = SENSE_TOO_MANY_SEGMENTS;
		else if (segment->type != SEGMENT_BLOCK_TO_BLOCK)
			code = SENSE_SEGMENT_TYPE;
		if (code) {
			copy_fail_list(task, code, at);
			return false;
		}
		if (end - at < sizeof(*segment)) {
			task_fail(task, SENSE_LIST_LENGTH);
			return false;
		}
		if (be16_get(segment->len) != sizeof(*segment) - SEGMENT_HEAD) {
			task_fail_list(task, at + (uint32_t)offsetof(struct copy_segment_wire, len),
				       7);
			return false;
		}
		list->segment_count++;
		at += sizeof(*segment);
	}
	return true;
}

/* --- Moves */

/* The unit that a segment names by number. False: there is none. */
static bool resolve(const struct scsi_task *task, const struct copy_list *list, uint16_t number,
		    struct copy_end *end, enum copy_fault *fault)
{
	if (number == CSCD_OF_COPY_MANAGER) {
		*end = (struct copy_end){ task->lu, lun_number(task->lun) };
		return true;
	}
	*fault = COPY_FAULT_UNREACHABLE;
	if (number >= list->cscd_count || !list->cscds[number].end.lu)
		return false;
	*fault = COPY_FAULT_TYPE;
	if (list->cscds[number].wire->peripheral & CSCD_PERIPHERAL_TYPE)
		return false;
	*fault = COPY_FINE;
	*end = list->cscds[number].end;
	return true;
}

/* len bytes from lba are on the medium. */
static bool end_has(const struct copy_end *end, uint64_t lba, uint64_t len)
{
	uint64_t blocks = end->lu->blocks;

	return lba <= blocks && len >> end->lu->block_shift <= blocks - lba;
}

static void make_move(const struct scsi_task *task, const struct copy_list *list,
		      const struct copy_segment_wire *segment, struct copy_move *move)
{
	uint64_t from = be64_get(segment->source_lba), to = be64_get(segment->destination_lba);
	struct copy_end *source = &move->end[COPY_SOURCE], *target = &move->end[COPY_DESTINATION];

	memset(move, 0, sizeof(*move));
	if (!resolve(task, list, be16_get(segment->source), source, &move->fault) ||
	    !resolve(task, list, be16_get(segment->destination), target, &move->fault))
		return;
	move->len = (uint64_t)be16_get(segment->blocks)
		    << (segment->flags & SEGMENT_DC ? target : source)->lu->block_shift;
	if (move->len & (source->lu->block_size - 1) || move->len & (target->lu->block_size - 1)) {
		move->fault = COPY_FAULT_INEXACT;
	} else if (!end_has(source, from, move->len)) {
		move->fault = COPY_FAULT_SOURCE_RANGE;
	} else if (!end_has(target, to, move->len)) {
		move->fault = COPY_FAULT_DESTINATION_RANGE;
	} else {
		move->at[COPY_SOURCE] = from << source->lu->block_shift;
		move->at[COPY_DESTINATION] = to << target->lu->block_shift;
	}
}

/* The list is right. */
static void start_moves(struct scsi_task *task, const struct copy_list *list)
{
	const struct copy_segment_wire *segments =
		(const void *)(list->data + list->head + list->cscds_len);
	struct copy *copy = calloc(1, sizeof(*copy) + list->segment_count * sizeof(copy->moves[0]));
	int64_t list_id = list->list_id;

	if (!copy) {
		task_fail(task, SENSE_RESOURCES);
		return;
	}
	copy->count = list->segment_count;
	for (unsigned int i = 0; i < copy->count; i++)
		make_move(task, list, &segments[i], &copy->moves[i]);
	task->context = copy;
	if (list->usage == COPY_USAGE_NONE)
		list_id = COPY_NAMELESS;
	if (copy_record_begin(task, list_id, &copy->record))
		copy_run(task);
}

static void list_here(struct scsi_task *task)
{
	struct copy_list list = { .data = task->buf->data,
				  .len = task->chunk,
				  .head = header_size(task) };

	if (check_header(task, &list) && check_cscds(task, &list) && check_segments(task, &list))
		start_moves(task, &list);
}

static void list_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, list_here);
}

static void extended_copy_start(struct scsi_task *task)
{
	uint32_t len = cdb_length(task);

	task_want_out(task, len);
	if (!len) {
		task_good(task);
		return;
	}
	if (len < header_size(task) || len > header_size(task) + COPY_LIST_MAX ||
	    task_out_room(task) < len) {
		task_fail(task, SENSE_LIST_LENGTH);
		return;
	}
	task->chunk = len;
	if (task_buffer(task, len, len, list_fetch))
		list_fetch(task);
}

/* The unit that gets the command need not be an end of the copy: ROW_MEDIUM is asked of the ends. */
#define EXTENDED_COPY(title, action)                                                         \
	{                                                                                    \
		.name = title, .service_action = (action),                                   \
		USAGE16(CDB_THIRD_PARTY_COPY_OUT, (action), 0, 0, 0, 0, 0, 0, 0, 0, LEN4, 0, \
			CONTROL),                                                            \
		.start = extended_copy_start, .cleanup = copy_cleanup, .direction = DIR_OUT, \
		.rule = RSV_WRITE, LONG                                                      \
	}

const struct cdb_row extended_copy_lid1_row =
	EXTENDED_COPY("EXTENDED COPY(LID1)", SA_EXTENDED_COPY_LID1);
const struct cdb_row extended_copy_lid4_row =
	EXTENDED_COPY("EXTENDED COPY(LID4)", SA_EXTENDED_COPY_LID4);
