// SPDX-License-Identifier: BSD-2-Clause
/*
 * What commands change. What runs is the configuration (the file or the command line), what the state
 * file has over it, and over that what commands have changed for this run only. The admin's file is never
 * written. All [main thread].
 */
#ifndef RISERD_CHANGE_H
#define RISERD_CHANGE_H

#include <jansson.h>

#include "live.h"
#include "rpc.h"

/* struct place.file of what no file has. */
#define CHANGE_RUNTIME_PLACE "runtime"

enum change_flags {
	CHANGE_RUNTIME = 1, /* not into the state file */
	CHANGE_FORCE = 2, /* also when sessions end by it */
	CHANGE_DRY_RUN = 4, /* only look whether it could be done */
};

struct changes;

/* Why a change was not made, or not as a whole. */
struct change_failure {
	enum rpc_status status;
	char object[256], message[512], hint[256];
};

/* What `given` and its state folder make; given is taken, *config is what to serve. file: where given
 * comes from, NULL: the command line. -errno: why has a line; -EBADMSG: the state is not right. */
int changes_open(struct config *given, const char *file, struct changes **out,
		 struct config **config, char *why, size_t why_size);
void changes_close(struct changes *c); /* NULL is fine */
/* As soon as it runs. */
void changes_serve(struct changes *c, struct live *live);
const char *changes_state_file(const struct changes *c); /* NULL: none */

/* Reads the configuration file again and becomes what it says, with the changes over it. */
bool changes_reload(struct changes *c, unsigned int flags, json_t **diff,
		    struct change_failure *failure);
/* Applies a patch (tree_clean()). *diff: what is different by it, tree_diff(), new reference; NULL: is
 * not wanted. False: nothing has changed, or with RPC_PARTLY: it has, but is not in the state file. */
bool changes_apply(struct changes *c, const json_t *patch, unsigned int flags, json_t **diff,
		   struct change_failure *failure);

/* From now on (or not any more) what changes_apply() records may wait for changes_flush(), together with
 * what comes behind it. Until then nobody is told that it was done. */
void changes_later(struct changes *c, bool later); /* NULL is fine */
size_t changes_waiting(const struct changes *c); /* what waits, in bytes; NULL is fine */
/* False: what has waited is in effect, but not in the state file. NULL is fine. */
bool changes_flush(struct changes *c, struct change_failure *failure);
/* The state file as one piece, when nothing else is to be done. NULL is fine. */
void changes_settle(struct changes *c);

/* What runs, as a tree; borrowed. */
const json_t *changes_now(const struct changes *c);
/* What the configuration says without any change; borrowed. */
const json_t *changes_base(const struct changes *c);
/* What the state file has over it; borrowed. */
const json_t *changes_saved(const struct changes *c);
/* The two together; new reference. */
json_t *changes_persistent(const struct changes *c);
const char *changes_file(const struct changes *c); /* NULL: the command line */
struct live *changes_live(const struct changes *c);
/* A configuration file, or text != NULL, that is only looked at. NULL: failure says what is wrong. */
struct config *changes_parse(const char *file, const char *text, struct change_failure *failure);

bool change_fail(struct change_failure *f, enum rpc_status status, const char *object,
		 const char *hint, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif
