// SPDX-License-Identifier: BSD-2-Clause
/*
 * The state file: what commands have changed, kept over restarts. state.json in the folder for what
 * survives a restart (riserd(8), --state), mode 0600:
 *
 *	first part	a line that says the version and the SHA-256 of what follows, then a patch (tree.h)
 *	then		a line for each change of LUNs alone since: its version, what it says, its SHA-256
 *
 * What changes LUNs alone is appended and flushed, which takes as long for the last of many LUNs as for
 * the first. All else, and what comes when the lines have become longer than the first part, replaces the
 * file as a whole: written beside, flushed, renamed, folder flushed. The last ten files stay as
 * state.json.VERSION. Only the last line is not on stable media for sure: without its end it was never
 * answered, and does not count. All [main thread].
 */
#ifndef RISERD_STATE_H
#define RISERD_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { STATE_FORMAT = 1, STATE_KEPT = 10, STATE_FILE_MAX = 64 << 20 };

struct state;

/* Reads what there is; nothing is there at first. -EBADMSG: it is damaged, not ours, or open to others;
 * another -errno. why names the file and the way out. */
int state_open(const char *folder, struct state **out, char *why, size_t why_size);
void state_close(struct state *state); /* NULL is fine */
const char *state_path(const struct state *state);
uint64_t state_version(const struct state *state); /* 0: there was no file */
/* What the file has. A new reference. */
json_t *state_load(const struct state *state);

/* All that is different by a change: what is said of one LUN. Borrowed. */
struct state_change {
	const char *target, *lun;
	const json_t *value; /* NULL: nothing is said any more */
};

/* In two steps, so that what may fail comes before the change that is recorded. prepare() writes what does
 * not count yet; commit() makes it count, abandon() forgets it. objects: all of them, with the change; only
 * NULL: anything may be different. -errno with why: what was recorded before is still there. */
int state_prepare(struct state *state, const json_t *objects, const struct state_change *only,
		  char *why, size_t why_size);
/* What is different by `only` waits for state_flush(), together with others; nobody is told of it until then. */
int state_commit(struct state *state, char *why, size_t why_size);
void state_abandon(struct state *state);
/* -errno with why: something that waited is not recorded. It is with the next change of anything, which
 * writes all objects, or by state_settle(). */
int state_flush(struct state *state, char *why, size_t why_size);
size_t state_waiting(const struct state *state); /* bytes; 0: nothing waits for state_flush() */
/* One first part of all, when it is not that already. */
int state_settle(struct state *state, const json_t *objects, char *why, size_t why_size);

/* What there is of a state file. */
struct state_extent {
	uint64_t version;
	size_t whole; /* bytes of its first part */
	size_t len; /* bytes that count, whole lines */
	unsigned int
		torn; /* the number of the line behind them, which has no end; 0: there is none */
};

/* The text of a state file of len bytes with a NUL behind. A new reference; NULL: why says what is wrong,
 * without the name of the file. */
json_t *state_parse(const char *text, size_t len, struct state_extent *extent, char *why,
		    size_t why_size);
/* The first part; NULL: no memory. The caller's, tree_wipe_text(). */
char *state_format(const json_t *objects, uint64_t version, size_t *len);

/* A line that grows. */
struct state_line {
	char *text; /* owned; NULL: there is none yet */
	size_t len, size;
};

/* One more change; the first one begins the line. -ENOMEM. */
int state_line_add(struct state_line *line, uint64_t version, const struct state_change *change);
int state_line_end(struct state_line *line); /* -ENOMEM */
void state_line_free(struct state_line *line);

#endif
