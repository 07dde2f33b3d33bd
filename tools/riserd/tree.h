// SPDX-License-Identifier: BSD-2-Clause
/*
 * A configuration as a tree: sections are objects with an object per title ("target", its name, "lun",
 * its number), keys have texts or arrays of texts, spelled as in riser.conf(5). Trees of what commands
 * have changed are patches as in RFC 7396: what they have replaces, null takes away. All [main thread].
 */
#ifndef RISERD_TREE_H
#define RISERD_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A target or portal of a patch that has this key is made by it; without it, it changes what another
 * source makes, and means nothing when that does not. */
#define TREE_CREATED "created"
/* A section of an initiator that has this key stands behind those that are there, but in front of the first that
 * would leave it nothing. */
#define TREE_PLACED "placed"
/* A list of such titles of a target: these sections stand in its order, and TREE_PLACED means nothing there. Those
 * that it does not name stand behind what is in front of them otherwise. */
#define TREE_ORDER "initiator-order"

/* What a patch may be made of: lower-case keys, titles as tree_title() makes them, texts without control
 * characters, numbers that are whole, true and false (on and off), arrays of those, null. "_" in a key is
 * "-". A new tree, or NULL: why names the key. */
json_t *tree_clean(const json_t *in, char *why, size_t why_size);
/* How a title of such a section is written: addresses with their port, names in lower case. False: it
 * is none of that kind. */
bool tree_title(const char *section, const char *title, char *out, size_t size);

/* Applies a patch, but for targets and portals that neither has created; those are counted. -ENOMEM. */
int tree_patch(json_t *tree, const json_t *patch, unsigned int *orphans);
/* The same of any object: all of the patch counts. -ENOMEM. */
int tree_merge(json_t *tree, const json_t *patch);
/* After all patches: puts what has TREE_PLACED, and what TREE_ORDER names, where it belongs, and takes the keys
 * away. -ENOMEM. */
int tree_place(json_t *tree);
/* Puts a section in front of another one; both are titles of `sections`. -ENOMEM. */
int tree_move(json_t *sections, const char *title, const char *before);
/* The titles of sections in their order, new reference; NULL: no memory. */
json_t *tree_titles(const json_t *sections);
/* Of the sections of a target's initiators: the one in front of `title` that fits everybody whom that one
 * fits, so that it counts for nobody. Borrowed from `sections`; NULL: there is none. */
const char *tree_hidden_by(const json_t *sections, const char *title);
/* first and then second, as one patch. -ENOMEM. */
int tree_combine(json_t *first, const json_t *second);
/* What a patch says of one LUN from now on; lun NULL: nothing, and of its target only what is left. -ENOMEM. */
int tree_put_lun(json_t *tree, const char *target, const char *number, json_t *lun);
/* Takes out of `patch` what `newer` has an opinion of. */
void tree_yield(json_t *patch, const json_t *newer);
/* Takes out of `patch` what takes away things that `base` does not have, and what says nothing. */
void tree_prune(json_t *patch, const json_t *base);

struct cfg_t;
/* Adds what libconfuse has read; secrets as tree_to_text() had them. -ENOMEM. */
int tree_add(json_t *tree, struct cfg_t *cfg, const json_t *secrets);

/* The tree as riserd reads it; NULL: no memory. The caller's: tree_wipe_text(). secrets, an array: gets what the
 * secret keys have, for which their places in it stand in the text: whoever reads that keeps copies. NULL:
 * they stand there. */
char *tree_to_text(const json_t *tree, size_t *len, json_t *secrets);
/* A value that stands for a secret; borrowed, NULL: it does not. */
const json_t *tree_secret(const json_t *secrets, const char *place);
bool tree_is_secret(const char *key);
void tree_wipe_text(char *text); /* and frees; NULL is fine */
/* A copy without secrets and TREE_CREATED; NULL: no memory. */
json_t *tree_hidden(const json_t *tree);
/* The same for JSON: texts of the configuration that are not UTF-8 are as rpc_text() has them. */
json_t *tree_public(const json_t *tree);
/* [{"path": "target iqn... lun 3 size", "before": ..., "after": ...}], without secrets; either may miss.
 * New reference, NULL: no memory. */
json_t *tree_diff(const json_t *before, const json_t *after);

#endif
