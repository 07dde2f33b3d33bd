// SPDX-License-Identifier: BSD-2-Clause
/*
 * T10 protection information, SBC 4.22: eight bytes for each logical block, by which whoever has
 * the block can tell that these are the bytes that were written, and that they belong here.
 */
#ifndef RISER_PROTECTION_H
#define RISER_PROTECTION_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "endian_types.h"

struct pi_tuple {
	struct be16 guard; /* LOGICAL BLOCK GUARD: CRC of the user data, polynomial 8BB7h */
	struct be16 app; /* LOGICAL BLOCK APPLICATION TAG */
	struct be32 ref; /* LOGICAL BLOCK REFERENCE TAG */
};
static_assert(sizeof(struct pi_tuple) == 8, "protection information");

/* Fields of a tuple, as bits. The numbers are those of the additional sense codes' qualifiers but
 * for the last, whose is 3. */
enum pi_field { PI_GUARD = 1, PI_APP = 2, PI_REF = 4 };

/* What tuples of a run of blocks have to be. */
struct pi_rule {
	uint8_t type; /* 1, 2, 3 */
	uint8_t checks; /* enum pi_field */
	uint32_t ref; /* of the first block; each block's is one more. Type 3: not looked at */
	uint16_t app, app_mask; /* bits of the mask are compared */
};

/* All ones where blocks were never written or were unmapped, and where an application client says
 * so: such a block is not checked. Type 3 asks for the reference tag too. */
static inline bool pi_is_escape(const struct pi_tuple *tuple, uint8_t type)
{
	return be16_get(tuple->app) == 0xffff && (type != 3 || be32_get(tuple->ref) == 0xffffffff);
}

uint16_t pi_guard(const void *block, uint32_t block_size);
/* Reference tags of block lba and those behind it, and nothing known about application tags: what
 * is checked, or made, where the command says nothing. */
struct pi_rule pi_default(uint8_t type, uint64_t lba);
/* Tuples for `blocks` blocks of data: guard, application tag 0, reference tags by the rule (type 3:
 * all ones). */
void pi_make(struct pi_tuple *tuples, const void *data, uint32_t blocks, uint32_t block_size,
	     const struct pi_rule *rule);
/* 0, or the field that is wrong, and *at is the block, counted from 0. */
uint8_t pi_check(const struct pi_tuple *tuples, const void *data, uint32_t blocks,
		 uint32_t block_size, const struct pi_rule *rule, uint32_t *at);

#endif
