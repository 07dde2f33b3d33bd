// SPDX-License-Identifier: BSD-2-Clause
/* The tree that the shell walks in: portals, targets with LUNs and sessions, sessions. */
#ifndef RISER_SHELL_H
#define RISER_SHELL_H

#include "command.h"

enum { PLACE_DEPTH = 4, PLACE_NAME = 256, PLACE_TEXT = PLACE_DEPTH * PLACE_NAME };
enum { COMPLETE_INSERT = 512 };

struct place {
	unsigned int depth;
	char names[PLACE_DEPTH][PLACE_NAME];
};

/* "/targets/iqn.2026-11.com.example:disk1"; buf has PLACE_TEXT bytes. */
const char *place_text(const struct place *p, char *buf);
/* "..", "luns/0", "/sessions"; of a target what follows its last colon is enough. On failure all has been
 * said, and p may be anything. */
enum status place_go(struct riser *r, struct place *p, const char *path);
/* The command that lists it; returns how many words. They live as long as p. */
int place_command(struct place *p, char *words[4]);
/* What an operand of this kind is here; NULL: nothing. Lives as long as p. */
const char *place_value(const struct place *p, enum kind kind);

/* For the line in front of the cursor: what to insert, maybe nothing; true: candidates were printed. */
bool shell_complete(struct riser *r, const struct place *p, const char *line, size_t len,
		    char insert[COMPLETE_INSERT]);

#endif
