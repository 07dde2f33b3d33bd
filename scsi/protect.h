// SPDX-License-Identifier: BSD-2-Clause
/*
 * What commands that transfer protection information share, SBC 4.22. Each block of the transfer is
 * user data with its eight bytes behind; the backstore takes and gives the two apart.
 */
#ifndef RISER_SCSI_PROTECT_H
#define RISER_SCSI_PROTECT_H

#include "protection.h"
#include "scsi.h"

/* task->context */
struct protect {
	struct pi_rule rule; /* ref: of the command's first block */
	bool transfers; /* tuples come or go with the data; else the CDB only says what they are */
	uint32_t unit; /* bytes of one block as transferred */
	uint32_t most; /* blocks of a chunk */
	uint32_t count; /* blocks of the present chunk */
	uint64_t done; /* blocks before it */
	struct pi_tuple *other, *medium; /* room for `most` more, each, where the shape says so */
	struct pi_tuple tuples[]; /* of the present chunk */
};

/* What a command that moves tuples has to know about itself. */
struct protect_shape {
	bool (*decode)(struct scsi_task *task); /* and check the range; false: ended. NULL: usual */
	/* Bytes of buffer for each block of a chunk, in units (as transferred) and in blocks. */
	uint8_t units, blocks;
	bool other, medium; /* tuples that it needs besides those of the chunk */
};

/* Decodes and checks the CDB and sets context. NULL: the task has ended. */
struct protect *protect_begin(struct scsi_task *task, const struct protect_shape *shape);
static inline struct protect *protect_of(const struct scsi_task *task)
{
	return task->context;
}
/* Sets count for the next chunk of a command of `blocks` blocks, and returns it. */
uint32_t protect_next(struct protect *p, uint64_t blocks);
/* Takes `count` blocks as transferred apart, in place, and puts them together again. */
void protect_gather(const struct protect *p, uint8_t *data, struct pi_tuple *tuples);
void protect_spread(const struct protect *p, uint8_t *data, const struct pi_tuple *tuples);
/* Checks the present chunk by the rule. False: the task has ended. */
bool protect_check(struct scsi_task *task, const uint8_t *data, const struct pi_tuple *tuples);
/* Compares a block and its tuple, as sent, with those of the medium: the fields that the protect field
 * says, SBC 5.39. ref_ahead: by how much the reference tag of the medium's shall be more. 0, or
 * CHECK CONDITION's code; *at is the first byte, of the block as transferred, that differs. */
enum sense_code protect_compare(const struct scsi_task *task, const uint8_t *sent,
				const struct pi_tuple *sent_tuple, const uint8_t *medium,
				const struct pi_tuple *medium_tuple, uint32_t ref_ahead,
				uint32_t *at);
/* Ends the task, with INFORMATION. */
void protect_fail(struct scsi_task *task, enum sense_code code, uint64_t information);
/* Reads or writes the present chunk; as task_read() and task_io(). */
bool protect_read(struct scsi_task *task, uint8_t *data, struct pi_tuple *tuples, uint32_t flags,
		  void (*step)(struct scsi_task *task));
bool protect_write(struct scsi_task *task, uint8_t *data, struct pi_tuple *tuples, uint32_t flags,
		   void (*step)(struct scsi_task *task));

#endif
