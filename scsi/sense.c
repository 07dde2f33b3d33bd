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
	case ENOSPC:
	case EDQUOT: return SENSE_SPACE_FAILED;
	case EROFS:
	case EPERM: return SENSE_WRITE_PROTECTED;
	case ENOMEM:
	case EAGAIN:
	case ENOBUFS: return SENSE_RESOURCES;
	default: /* ENODATA (a range is lost), ENODEV, whatever a driver comes up with */
		return SENSE_INTERNAL_FAILURE;
	}
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

void task_sense_code(struct scsi_task *task, enum sense_code code)
{
	task->status = SAM_CHECK_CONDITION;
	task->sense_len = (uint8_t)sense_write(task->sense, code, false);
}

void task_sense(struct scsi_task *task, uint8_t key, uint8_t asc, uint8_t ascq)
{
	task_sense_code(task,
			(enum sense_code)(key << SENSE_KEY_SHIFT | asc << SENSE_ASC_SHIFT | ascq));
}

void task_sense_information(struct scsi_task *task, uint32_t information)
{
	struct sense_fixed *sense = (struct sense_fixed *)task->sense;

	sense->response |= SENSE_VALID;
	sense->information = be32_of(information);
}

void task_sense_cdb(struct scsi_task *task, unsigned int byte, unsigned int bit)
{
	struct sense_fixed *sense = (struct sense_fixed *)task->sense;
	struct be16 field = be16_of((uint16_t)byte);

	task_sense_code(task, SENSE_INVALID_CDB_FIELD);
	sense->key_specific[0] = (uint8_t)(SENSE_SKSV | SENSE_IN_CDB | SENSE_BIT_VALID | bit);
	memcpy(&sense->key_specific[1], field.b, sizeof(field));
}
