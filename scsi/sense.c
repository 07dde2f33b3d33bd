// SPDX-License-Identifier: BSD-2-Clause
/* Sense data, SPC 4.4, and the one place where an errno becomes a sense code. */
#include <errno.h>
#include <string.h>

#include "scsi.h"

enum sense_code sense_of_errno(int res, enum bs_opcode opcode)
{
	switch (-res) {
	case EIO:
	case EBADMSG: /* checksums of the filesystem below */
	case EILSEQ: return opcode == BS_READ ? SENSE_READ_ERROR : SENSE_WRITE_ERROR;
	case EBADE: return SENSE_GUARD; /* protect_fail_io() knows which field */
	case ENOSPC:
	case EDQUOT: return SENSE_SPACE_FAILED;
	case EROFS:
	case EPERM: return SENSE_WRITE_PROTECTED;
	case EINPROGRESS: return SENSE_SANITIZING;
	case EALREADY: return SENSE_FORMATTING;
	case ENOMEM:
	case EAGAIN:
	case ENOBUFS: return SENSE_RESOURCES;
	default: /* ENODATA (a range is lost), ENODEV, whatever a driver comes up with */
		return SENSE_INTERNAL_FAILURE;
	}
}

/* Both formats have ADDITIONAL SENSE LENGTH in byte 7. */
static int sense_len(const uint8_t *sense)
{
	return 8 + sense[7];
}

static bool in_descriptors(const uint8_t *sense)
{
	return sense[0] == SENSE_CURRENT_DESCRIPTOR;
}

int sense_write(uint8_t *out, enum sense_code code, bool descriptor)
{
	uint8_t key = (uint8_t)(code >> SENSE_KEY_SHIFT), asc = (uint8_t)(code >> SENSE_ASC_SHIFT);

	if (descriptor) {
		struct sense_descriptor sense = { .response = SENSE_CURRENT_DESCRIPTOR,
						  .key = key,
						  .asc = asc,
						  .ascq = (uint8_t)code };

		memcpy(out, &sense, sizeof(sense));
		return sizeof(sense);
	}
	struct sense_fixed sense = { .response = SENSE_CURRENT_FIXED,
				     .key = key,
				     .additional_len = sizeof(sense) - 8,
				     .asc = asc,
				     .ascq = (uint8_t)code };

	memcpy(out, &sense, sizeof(sense));
	return sizeof(sense);
}

static void append(uint8_t *sense, const void *descriptor, size_t len)
{
	memcpy(sense + sense_len(sense), descriptor, len);
	sense[7] = (uint8_t)(sense[7] + len);
}

/* SENSE KEY SPECIFIC: flags with SKSV, and a number. */
static void add_key_specific(uint8_t *sense, uint8_t flags, uint16_t number)
{
	struct sense_key_specific d = { .type = SENSE_TYPE_KEY_SPECIFIC,
					.additional_len = sizeof(d) - 2,
					.flags = flags,
					.number = be16_of(number) };

	if (in_descriptors(sense))
		append(sense, &d, sizeof(d));
	else
		memcpy(((struct sense_fixed *)sense)->key_specific, &d.flags,
		       sizeof(d.flags) + sizeof(d.number));
}

static void add_information(uint8_t *sense, uint64_t information)
{
	struct sense_information d = { .type = SENSE_TYPE_INFORMATION,
				       .additional_len = sizeof(d) - 2,
				       .valid = SENSE_VALID,
				       .information = be64_of(information) };
	struct sense_fixed *fixed = (struct sense_fixed *)sense;

	if (in_descriptors(sense)) {
		append(sense, &d, sizeof(d));
	} else if (information <= UINT32_MAX) {
		fixed->response |= SENSE_VALID;
		fixed->information = be32_of((uint32_t)information);
	}
}

int sense_write_progress(uint8_t *out, enum sense_code code, bool descriptor, uint16_t progress)
{
	sense_write(out, code, descriptor);
	add_key_specific(out, SENSE_SKSV, progress);
	return sense_len(out);
}

void task_sense_code(struct scsi_task *task, enum sense_code code)
{
	/* The port also asks for tasks that were never submitted: task->lu is not set. */
	const struct lu *lu = target_lu_of(task->nexus->target, task->lun);
	bool descriptor = lu && atomic_load_explicit(&lu->mode.d_sense, memory_order_relaxed);

	task->status = SAM_CHECK_CONDITION;
	task->sense_len = (uint8_t)sense_write(task->sense, code, descriptor);
}

void task_sense(struct scsi_task *task, uint8_t key, uint8_t asc, uint8_t ascq)
{
	task_sense_code(task,
			(enum sense_code)(key << SENSE_KEY_SHIFT | asc << SENSE_ASC_SHIFT | ascq));
}

void task_sense_information(struct scsi_task *task, uint64_t information)
{
	add_information(task->sense, information);
	task->sense_len = (uint8_t)sense_len(task->sense);
}

static void sense_key_specific(struct scsi_task *task, enum sense_code code, uint8_t flags,
			       uint16_t number)
{
	task_sense_code(task, code);
	add_key_specific(task->sense, flags, number);
	task->sense_len = (uint8_t)sense_len(task->sense);
}

void task_sense_cdb(struct scsi_task *task, unsigned int byte, unsigned int bit)
{
	sense_key_specific(task, SENSE_INVALID_CDB_FIELD,
			   (uint8_t)(SENSE_SKSV | SENSE_IN_CDB | SENSE_BIT_VALID | bit),
			   (uint16_t)byte);
}

void task_sense_list(struct scsi_task *task, unsigned int byte, unsigned int bit)
{
	sense_key_specific(task, SENSE_INVALID_LIST_FIELD,
			   (uint8_t)(SENSE_SKSV | SENSE_BIT_VALID | bit),
			   (uint16_t)(byte < UINT16_MAX ? byte : UINT16_MAX));
}

void task_sense_progress(struct scsi_task *task, enum sense_code code, uint16_t progress)
{
	sense_key_specific(task, code, SENSE_SKSV, progress);
}
