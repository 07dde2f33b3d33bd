// SPDX-License-Identifier: BSD-2-Clause
/*
 * Third-party copy: private header of copy*.c, token*.c and vpd_copy.c. A command's parameter list
 * becomes a list of moves (copy.c, token.c); copy_run.c carries them out chunk by chunk; what has
 * become of it can be asked for later by its list identifier (copy_status.c).
 *
 * A copy works on the units of the nexus' own target and on no others, and before each chunk it is
 * asked again whether this nexus may read here and write there: a list names units by designators,
 * which are no secret.
 */
#ifndef RISER_SCSI_COPY_H
#define RISER_SCSI_COPY_H

#include "scsi.h"
#include "scsi_copy_wire.h"

enum {
	COPY_CSCDS = 16, /* MAXIMUM CSCD DESCRIPTOR COUNT */
	COPY_SEGMENTS = 64, /* MAXIMUM SEGMENT DESCRIPTOR COUNT */
	COPY_LIST_MAX =
		4032, /* MAXIMUM DESCRIPTOR LIST LENGTH; with its header it is one small buffer */
	COPY_RANGES = 128, /* MAXIMUM RANGE DESCRIPTORS */
	COPY_NAMELESS = -1, /* no list identifier */
	COPY_TOTAL = 1024, /* copies with a list identifier that are remembered */
	COPY_PER_NEXUS = 64, /* and of one nexus, but for those that run */
	TOKEN_TOTAL = 1024,
	TOKEN_PER_INITIATOR = 128,
	TOKEN_DEFAULT_TIMEOUT = 60, /* s */
	TOKEN_MAX_TIMEOUT = 600,
};
#define COPY_SEGMENT_BLOCKS 0xffffull
#define TOKEN_MAX_BYTES (16ull << 30) /* of one WRITE USING TOKEN, and of one token */
#define TOKEN_OPTIMAL_BYTES (64ull << 20)

/* Why a move fails when its turn comes, which is what SPC 6.6.3 wants. */
enum copy_fault {
	COPY_FINE,
	COPY_FAULT_UNREACHABLE, /* no such CSCD, or none that this nexus may use */
	COPY_FAULT_TYPE, /* the CSCD is said to be something else than a disk */
	COPY_FAULT_INEXACT, /* not a whole number of the other end's blocks */
	COPY_FAULT_SOURCE_RANGE,
	COPY_FAULT_DESTINATION_RANGE,
};

enum copy_side { COPY_SOURCE, COPY_DESTINATION };

/* A unit as this nexus reaches it. */
struct copy_end {
	struct lu *lu; /* NULL: zeros come from here */
	int lun;
};

/* So many bytes from here to there. */
struct copy_move {
	struct copy_end end[2]; /* by enum copy_side */
	uint64_t at[2]; /* bytes from the unit's start */
	uint64_t len; /* bytes */
	enum copy_fault fault;
};

/* task->context of a running copy. */
struct copy {
	struct copy_record *record; /* NULL: it has ended */
	bool by_token; /* WRITE USING TOKEN: what goes wrong here is that command's own failure */
	bool partial; /* the token has less than was asked for */
	bool buffered; /* the backstores cannot do it between themselves */
	uint8_t phase; /* enum in copy_run.c */
	uint32_t chunk; /* bytes of the present step */
	uint32_t since_yield; /* bytes */
	uint32_t prepaid; /* bytes of a clone that failed: limits do not count them again */
	uint64_t largest; /* bytes of the largest move */
	uint64_t done; /* bytes of the present move */
	unsigned int current, count;
	struct copy_move moves[];
};

/* What is known of a copy operation, by nexus, unit and list identifier. */
struct copy_record;

/* What has come of one, copied out. */
struct copy_result {
	uint8_t action; /* service action of the command */
	uint8_t status; /* COPY_STATUS_* */
	uint8_t scsi_status;
	uint8_t sense_len;
	uint8_t sense[SENSE_MAX];
	uint64_t bytes;
	uint32_t segments, operations;
	bool has_token;
	uint8_t token[ROD_TOKEN_SIZE];
};

/* Part of a unit. */
struct copy_range {
	uint64_t lba;
	uint32_t blocks;
};

/* --- copy_cscd.c */
/* A CSCD descriptor of a parameter list and the unit it stands for: end.lu is NULL without one. */
struct copy_cscd {
	const struct copy_cscd_wire *wire;
	struct copy_end end;
};
/* Looks up `count` designators among the units of the task's own target. */
void copy_find_units(const struct scsi_task *task, struct copy_cscd *cscds, unsigned int count);
/* A descriptor for the unit, of its NAA or EUI-64 designator; block_size included. */
void copy_describe_unit(const struct scsi_task *task, struct copy_cscd_wire *out);
/* May this nexus read (write) this unit now? SAM_GOOD; SAM_RESERVATION_CONFLICT; else
 * SAM_CHECK_CONDITION with *code. */
uint8_t copy_end_check(const struct nexus *nexus, const struct copy_end *end, enum copy_side side,
		       enum sense_code *code);

/* --- copy_run.c */
/* Carries out task->context, a struct copy, and ends the task. Its parameter list is not looked at any
 * more. */
void copy_run(struct scsi_task *task);

/* --- copy_sense.c */
/* CHECK CONDITION with a field pointer to this byte of the parameter list. */
void copy_fail_list(struct scsi_task *task, enum sense_code code, unsigned int byte);
/* COPY ABORTED at this segment. When status is not SAM_GOOD it is what the end has answered, with
 * this sense, and goes along. */
void copy_fail_segment(struct scsi_task *task, enum sense_code code, unsigned int segment,
		       enum copy_side side, uint8_t status, enum sense_code forwarded);

/* --- copy_status.c */
/* Remembers a copy that begins; a finished one of the same list identifier is forgotten. One that has none
 * (COPY_NAMELESS) is only seen by operators, and forgotten when it ends. False: the task has ended. */
bool copy_record_begin(struct scsi_task *task, int64_t list_id, struct copy_record **out);
/* So much more was moved; false: COPY OPERATION ABORT came. */
bool copy_record_progress(struct copy_record *record, uint64_t bytes);
/* So much there is to be moved. */
void copy_record_total(struct copy_record *record, uint64_t bytes);
void copy_record_segment(struct copy_record *record);
/* The command ends as task has it, with this token or NULL. */
void copy_record_end(struct copy_record *record, const struct scsi_task *task,
		     const uint8_t *token);
/* Row cleanup: a task that ends before its time. */
void copy_cleanup(struct scsi_task *task);

/* --- token_store.c */
/* Makes a token for ranges of task->lu: writes ROD_TOKEN_SIZE bytes to out. 0, -ENOMEM, -EIO. */
int token_create(const struct scsi_task *task, const struct copy_range *ranges, unsigned int count,
		 uint32_t timeout_s, uint8_t *out);
/* What a token stands for, as far as task->nexus may use it: SENSE_NONE with *end and its ranges
 * (room for COPY_RANGES), else why not. discard: it is the last time. */
enum sense_code token_use(const struct scsi_task *task, const uint8_t *token, bool discard,
			  struct copy_end *end, struct copy_range *ranges, unsigned int *count);
/* [main thread] The unit goes away. */
void token_forget_unit(const struct lu *lu);
/* Writes the management tokens of task->lu's tokens, as many as fit in size; returns the bytes. */
uint32_t token_list(const struct scsi_task *task, uint8_t *out, uint32_t size);

#endif
