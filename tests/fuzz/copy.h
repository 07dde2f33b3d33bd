// SPDX-License-Identifier: BSD-2-Clause
/* What fuzz_copy.c and its model of third-party copy, copy_model.c, share. */
#ifndef RISER_TESTS_FUZZ_COPY_H
#define RISER_TESTS_FUZZ_COPY_H

#include "scsi/copy.h"
#include "tests/fuzz/scsi_port.h"

enum world_bits { /* first byte */
		  LARGE_BLOCKS = 0x01, /* unit 1 has blocks of 4096 bytes */
		  PROTECTED = 0x02, /* unit 1 */
		  DENIED_WRITE = 0x04,
		  DENIED_READ = 0x08,
		  FORCED = 0x10, /* no volatile cache in unit 1 */
		  SLOW = 0x20, /* requests are done later */
		  CLONES = 0x40, /* the backstores copy between themselves */
};
enum command_bits { /* first byte of a command; the low three bits are its kind */
		    UNIT_1 = 0x08,
		    STRANGER = 0x10, /* comes by the other target */
		    FIX_UP = 0x20, /* designators and tokens are real ones */
		    ABORT = 0x40,
		    FAULT = 0x80, /* the next request fails */
};
enum kind { COPY_LID1, COPY_LID4, POPULATE, WRITE_USING, ASK, RAW, CLOCK, STOP };
enum { DISKS = 3, FOREIGN = 2, DISK_SIZE = 64 * 512, LIST_SIZE = 4200, PENDING = 64 };

struct disk {
	struct backstore bs;
	uint8_t *bytes, *shadow;
	struct lu *lu;
	uint8_t designator[24]; /* as CSCD descriptors have it */
};

struct command {
	struct port_command io;
	uint8_t bits;
	uint8_t *list; /* len bytes; NULL: none */
	uint32_t len;
};

/* Everything that a life has. */
struct copy_life {
	struct disk disks[DISKS];
	uint8_t world; /* enum world_bits */
	/* The last token that was made, and what it stands for. */
	uint8_t token[ROD_TOKEN_SIZE];
	struct copy_range token_ranges[COPY_RANGES];
	unsigned int token_count, token_disk;
};
extern struct copy_life life;

static inline uint32_t block_size(unsigned int disk)
{
	return life.disks[disk].bs.limits.block_size;
}

/* --- copy_model.c */
/* The disk of the unit that gets the command. */
unsigned int model_own_disk(const struct command *c);
/* What these commands should have done, done to the shadows. */
void model_copy(const struct command *c);
void model_write(const struct command *c);
/* No telling what it has done. */
void model_follow(void);
/* The disks have to be what the shadows are. */
void model_check(void);

#endif
