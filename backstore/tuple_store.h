// SPDX-License-Identifier: BSD-2-Clause
/* Where the tuples of a disk with protection information are: a backstore of eight-byte blocks. */
#ifndef RISER_BACKSTORE_TUPLE_STORE_H
#define RISER_BACKSTORE_TUPLE_STORE_H

#include "driver.h"

/* [main thread] Opens, and creates where it is missing, the store for the tuples of data, as spec
 * says. The tuple of block 0 is at byte *at of *out. What reads as zeros there stands for the
 * escape: tuples are stored inverted, so that a hole is a block that is not checked.
 * 0 or -errno with why. */
int tuple_store_open(const struct bs_spec *spec, const struct backstore *data,
		     struct backstore **out, uint64_t *at, char *why, size_t why_size);

/* [main thread] The disk has grown: the tuples of the blocks behind `before` are escapes. -errno: as it
 * was. */
int tuple_store_grow(struct backstore *store, uint64_t before, uint64_t blocks);

/* The filter itself, over data and a store of tuples that begin at byte `at`; takes both. -ENOMEM. */
int protection_wrap(struct backstore *data, struct backstore *tuples, uint64_t at, uint8_t type,
		    struct backstore **out);

#endif
