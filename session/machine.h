// SPDX-License-Identifier: BSD-2-Clause
/*
 * State machines as tables, and the memory of what they did last. States and events are small enums
 * of their owner; the machines themselves are in connection_state.c and session_state.c.
 */
#ifndef RISER_SESSION_MACHINE_H
#define RISER_SESSION_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_LEN = 32 };

struct transition {
	uint8_t from, event, to;
};

struct machine {
	const struct transition *rows;
	unsigned int count; /* of rows */
	const char *const *states, *const *events; /* names */
};

/* The last moves of one machine, 16 bytes each. Zeroed at first. */
struct history {
	uint32_t count; /* of all moves that ever were */
	struct {
		uint64_t at; /* ns */
		struct transition did;
	} last[HISTORY_LEN];
};

/* The row for this event in this state, NULL: there is none. */
const struct transition *machine_find(const struct machine *m, uint8_t state, uint8_t event);
/* The state after the event, which is remembered. An event without a row is a bug of ours: whatever
 * a peer can cause has been filtered before. */
uint8_t machine_next(const struct machine *m, struct history *h, uint8_t state, uint8_t event,
		     uint64_t now);
/* "0.000 LOGIN: XPT_UP > IN_LOGIN, 1.250 ...": seconds since the first move that is still known.
 * Cut to size bytes, NUL-terminated. Returns out. */
const char *history_format(const struct machine *m, const struct history *h, char *out,
			   size_t size);

#endif
