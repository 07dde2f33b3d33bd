// SPDX-License-Identifier: BSD-2-Clause
/* What the state*.c share. */
#ifndef RISERD_STATE_IMPL_H
#define RISERD_STATE_IMPL_H

#include "state.h"

enum { STATE_SUM_SIZE = 65 };
/* JSON's largest: the next one must have a number. */
#define STATE_VERSION_MAX ((uint64_t)INT64_MAX)

/* SHA-256 as digits. False: no memory. */
bool state_checksum(const char *text, size_t len, char out[STATE_SUM_SIZE]);
/* The lines behind the first part of a file, of which extent speaks so far: they change objects. number: of
 * the first of them. False: why says what is wrong. */
bool state_replay(json_t *objects, const char *text, size_t len, unsigned int number,
		  struct state_extent *extent, char *why, size_t why_size);

#endif
