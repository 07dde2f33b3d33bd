// SPDX-License-Identifier: BSD-2-Clause
/* The reader's side of a capture: memory that riserd writes to (capture_wire.h). */
#ifndef RISER_RING_H
#define RISER_RING_H

#include <stdbool.h>

#include "capture_wire.h"

struct rings;

/* fd is taken. NULL with one line in why. */
struct rings *rings_open(int fd, char *why, size_t why_size);
/* The oldest record of all rings, if it was written before `until` (ns, CLOCK_REALTIME): behind it come
 * BHS, AHS, the kept data and its padding. It stays until the next call. NULL: there is none yet. */
const struct capture_record *rings_next(struct rings *rings, uint64_t until);
/* Waits until every reactor captures; at most ms. */
void rings_await(const struct rings *rings, unsigned int ms);
/* Nothing will be written any more. */
bool rings_over(const struct rings *rings);
/* PDUs that had no room so far. */
uint64_t rings_lost(const struct rings *rings);
void rings_close(struct rings *rings); /* NULL is fine */

#endif
