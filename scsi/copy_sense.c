// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sense data of copies: COPY ABORTED tells the segment, and what the source or the destination
 * would have answered if the initiator had asked it, SPC 6.6.3.
 */
#include <string.h>

#include "copy.h"

enum { SENSE_FROM_SOURCE = 1, SENSE_FROM_DESTINATION = 2 }; /* SENSE DATA SOURCE, SPC 4.4.2.6 */

static bool in_descriptors(const struct scsi_task *task)
{
	return task->sense[0] == SENSE_CURRENT_DESCRIPTOR;
}

static void end_checked(struct scsi_task *task)
{
	stat_add(&task_stats(task)->check_conditions, 1);
	task_end(task);
}

void copy_fail_list(struct scsi_task *task, enum sense_code code, unsigned int byte)
{
	task_sense_list(task, byte, 7);
	if (in_descriptors(task))
		((struct sense_descriptor *)task->sense)->ascq = (uint8_t)code;
	else
		((struct sense_fixed *)task->sense)->ascq = (uint8_t)code;
	end_checked(task);
}

/* Fixed format: COMMAND-SPECIFIC INFORMATION has where the status and sense data of the source and
 * of the destination begin (one byte each, 0: nowhere), then the segment's number. */
static void add_fixed(struct scsi_task *task, unsigned int segment, enum copy_side side,
		      uint8_t status, enum sense_code forwarded)
{
	struct sense_fixed *sense = (struct sense_fixed *)task->sense;
	uint8_t *at = task->sense + sizeof(*sense);
	struct be16 number = be16_of((uint16_t)segment);

	memcpy(&sense->specific.b[2], number.b, sizeof(number));
	if (status == SAM_GOOD)
		return;
	sense->specific.b[side == COPY_SOURCE ? 0 : 1] = sizeof(*sense);
	*at++ = status;
	if (status == SAM_CHECK_CONDITION)
		at += sense_write(at, forwarded, false);
	task->sense_len = (uint8_t)(at - task->sense);
	sense->additional_len = (uint8_t)(task->sense_len - 8);
}

static void add_descriptors(struct scsi_task *task, unsigned int segment, enum copy_side side,
			    uint8_t status, enum sense_code forwarded)
{
	struct sense_command_specific specific = { .type = SENSE_TYPE_COMMAND_SPECIFIC,
						   .additional_len = sizeof(specific) - 2,
						   .information = be64_of(segment) };
	struct sense_forwarded forward = { .type = SENSE_TYPE_FORWARDED,
					   .source = side == COPY_SOURCE ? SENSE_FROM_SOURCE
									 : SENSE_FROM_DESTINATION,
					   .status = status };
	uint8_t *at = task->sense + task->sense_len, *head;
	int len = 0;

	memcpy(at, &specific, sizeof(specific));
	at += sizeof(specific);
	if (status != SAM_GOOD) {
		head = at;
		at += sizeof(forward);
		if (status == SAM_CHECK_CONDITION)
			len = sense_write(at, forwarded, true);
		at += len;
		forward.additional_len = (uint8_t)(sizeof(forward) - 2 + (size_t)len);
		memcpy(head, &forward, sizeof(forward));
	}
	task->sense_len = (uint8_t)(at - task->sense);
	task->sense[7] = (uint8_t)(task->sense_len - 8);
}

void copy_fail_segment(struct scsi_task *task, enum sense_code code, unsigned int segment,
		       enum copy_side side, uint8_t status, enum sense_code forwarded)
{
	struct copy *copy = task->context;

	task_sense_code(task, code);
	if (in_descriptors(task))
		add_descriptors(task, segment, side, status, forwarded);
	else
		add_fixed(task, segment, side, status, forwarded);
	copy_record_end(copy->record, task, NULL);
	copy->record = NULL;
	end_checked(task);
}
