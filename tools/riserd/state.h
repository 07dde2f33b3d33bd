// SPDX-License-Identifier: BSD-2-Clause
/*
 * The state file: what commands have changed, kept over restarts. state.json in the folder for what
 * survives a restart (riserd(8), --state), mode 0600: one line that says the version and the SHA-256 of
 * what follows, then a patch (tree.h). It is replaced as a whole: written beside, flushed, renamed, folder
 * flushed. The last ten versions stay as state.json.VERSION. All [main thread].
 */
#ifndef RISERD_STATE_H
#define RISERD_STATE_H

#include <jansson.h>
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

/* In two steps, so that what may fail comes before the change that is recorded. prepare() writes it beside;
 * commit() makes it count, abandon() forgets it. -errno with why: the old one is still there. */
int state_prepare(struct state *state, const json_t *objects, char *why, size_t why_size);
int state_commit(struct state *state, char *why, size_t why_size);
void state_abandon(struct state *state);

/* The text of a state file of len bytes with a NUL behind. A new reference; NULL: why says what is wrong,
 * without the name of the file. */
json_t *state_parse(const char *text, size_t len, uint64_t *version, char *why, size_t why_size);
/* The same the other way; NULL: no memory. The caller's, tree_wipe_text(). */
char *state_format(const json_t *objects, uint64_t version, size_t *len);

#endif
