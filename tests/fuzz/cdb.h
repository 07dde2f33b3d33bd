// SPDX-License-Identifier: BSD-2-Clause
/* What fuzz_cdb.c and its model of SBC, cdb_model.c, share. */
#ifndef RISER_TESTS_FUZZ_CDB_H
#define RISER_TESTS_FUZZ_CDB_H

#include "tests/fuzz/scsi_port.h"

enum lu_bits { /* first byte of the input; the second one chooses the size */
	       LU_4096 = 0x01,
	       LU_PROTECTED = 0x02,
	       LU_WILD = 0x04, /* aborts, faults, many at once: no model, only the rules */
	       LU_NO_UNMAP = 0x08,
	       LU_CACHED = 0x10,
	       LU_ATTENTIONS = 0x20, /* the nexuses are new */
	       LU_TUPLES = 0x40, /* protection information; the second byte has the type */
};
enum task_bits { /* first byte of a command */
		 TASK_READS = 0x01,
		 TASK_WRITES = 0x02,
		 TASK_OTHER_NEXUS = 0x04,
		 TASK_OTHER_LUN = 0x08,
		 TASK_IMMEDIATE =
			 0x10, /* data comes with the command, the second time it does not */
		 TASK_ABORT = 0x20, /* wild */
		 TASK_LEAVE = 0x40, /* wild: the next one comes before this one's end */
		 TASK_FAULT = 0x80, /* wild: its first request or transfer fails */
};
enum edtl_from { EDTL_GIVEN, EDTL_CDB, EDTL_TWICE, EDTL_BLOCK }; /* second byte, bits 0-1 */
enum data_from { DATA_GIVEN, DATA_ZEROS, DATA_DISK, DATA_COUNTING }; /* bits 2-3 */
/* Bits 4-7: how much is immediate, in steps of 100 bytes; 0: all. */

enum { COMMANDS_MAX = 20, BIG_COMMANDS_MAX = 5, VARIANTS = 2, BIG = 0xff };

enum kind {
	OTHER, /* does not change the medium */
	READ,
	WRITE, /* WRITE AND VERIFY, WRITE ATOMIC, too */
	VERIFY,
	WRITE_SAME,
	COMPARE_AND_WRITE,
	ORWRITE,
	UNMAP,
};

/* One command of the input and what came of it. */
struct command {
	struct port_command io;
	struct run *run;
	uint8_t bits, how;
	const uint8_t *given; /* into the input */
	uint32_t given_len, edtl;
	uint8_t *out; /* edtl bytes */
	/* what the CDB says, by the fuzzer's own reading */
	enum kind kind;
	bool transfers; /* protection information: other lengths, and not the model's */
	uint8_t flags; /* the byte with DPO, FUA, BYTCHK and their like */
	uint64_t lba, blocks;
};

struct run {
	struct backstore bs;
	struct backstore tuples, *top; /* the LU's; bs where there is no protection information */
	uint8_t *tuple_bytes;
	uint8_t type; /* of protection information; 0: none */
	bool slow; /* answers later */
	uint8_t *disk;
	uint8_t *before; /* the disk before the command */
	struct lu *lu;
	struct scsi_target target;
	struct nexus nexus[2];
	uint8_t bits;
	uint64_t blocks;
	uint32_t block;
	struct command commands[COMMANDS_MAX];
	unsigned int count;
	struct disk_queue queue;
	bool fault; /* the next request fails */
};

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The fuzzer's own reading of the CDB. */
void cdb_decode(struct command *c);
/* The same, where there is protection information. */
void cdb_decode_tuples(struct command *c);
/* What holds for every command that has ended. */
void cdb_check_result(const struct command *c);
/* The disk has to be what it was, changed as the command says when it was GOOD. */
void cdb_check_model(const struct command *c);

#endif
