// SPDX-License-Identifier: BSD-2-Clause
/* What the change*.c share. */
#ifndef RISERD_CHANGE_IMPL_H
#define RISERD_CHANGE_IMPL_H

#include "change.h"
#include "state.h"
#include "tree.h"

struct changes {
	const char *file; /* NULL: the command line */
	struct live *live; /* NULL: not yet */
	struct state *state; /* NULL: there is no folder */
	json_t *base; /* what the file or the command line says */
	json_t *saved, *runtime; /* patches: of the state file, and of this run */
	bool later; /* changes_later() */
};

/* Three trees as one configuration. like: has the places and what no tree says; borrowed. NULL: failure
 * says why. */
struct config *compose(const struct changes *c, const struct config *like, const json_t *base,
		       const json_t *saved, const json_t *runtime, struct change_failure *failure);

/* A tree that is looked at by itself. NULL: failure says what is wrong. */
struct config *changes_parse_tree(const json_t *tree, struct change_failure *failure);
/* Writes c->saved, or what is different in it, to the state file, and makes it count. */
bool change_record(struct changes *c, const struct state_change *only,
		   struct change_failure *failure);
bool change_recorded(struct changes *c, struct change_failure *failure);

/* What the log says while live changes, which is what the caller wants to know. */
struct overheard {
	char error[400], warning[400];
	unsigned int warnings;
};
void overhear(struct overheard *o);
/* No more; it has failed with err: says so. Returns false. */
bool overheard_failure(const struct overheard *o, int err, struct change_failure *failure);

/* change_lun.c: a change of one LUN alone takes no longer the more others there are. */
struct lun_change {
	const char *target, *number; /* borrowed from the patch */
	unsigned int lun;
	const json_t *object; /* of the patch; json_null(): it goes */
};
bool is_lun_change(const struct changes *c, const json_t *patch, struct lun_change *out);
bool change_lun(struct changes *c, const struct lun_change *change, const json_t *patch,
		unsigned int flags, json_t **diff, struct change_failure *failure);

#endif
