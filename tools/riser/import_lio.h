// SPDX-License-Identifier: BSD-2-Clause
/* What the files that read saveconfig.json share: import_lio*.c. */
#ifndef RISER_IMPORT_LIO_H
#define RISER_IMPORT_LIO_H

#include <jansson.h>

#include "import.h"

/* Something of the file, and where it stands in the text. */
struct node {
	const json_t *value;
	const char *at;
};

enum { LIO_LUN_MOST = 16383 };

/* What a portal group says of initiators. */
struct group {
	struct node acls;
	const char *user; /* of those without an ACL; NULL: none */
	bool chap, demo; /* secrets are asked; others than those of the ACLs may log in */
	bool demo_protect, protect; /* these may only read; those, where nothing is said */
};

struct lio {
	struct import *im;
	const char *text;
	const json_t *root;
	struct node *objects; /* storage objects */
	json_t *names; /* "/backstores/block/disk1": which of them */
	const char *counted; /* up to here there are `lines` */
	unsigned int lines;
};

/* The line of a member, or of all. Questions come in the order of the text, nearly. */
unsigned int lio_line(struct lio *l, const struct node *n, const char *key);
/* NULL: there is none, or it is "". */
const char *lio_text(struct lio *l, const struct node *n, const char *key);
/* Numbers may be true and false, or stand in quotes. */
json_int_t lio_number(const struct node *n, const char *key, json_int_t otherwise);
/* A switch. What is no number is `odd`, the value that opens nothing. */
bool lio_is_on(const struct node *n, const char *key, bool missing, bool odd);
/* What is not there has no value, and the place of what it would be in. */
struct node lio_member(const struct node *n, const char *key);
/* The i-th of an array, from the one before it on. */
bool lio_item(const struct node *list, size_t i, struct node *item);
bool lio_is_lun(json_int_t number);

/* --- import_lio_acl.c */

/* What a portal group says of initiators. */
struct group lio_group(struct lio *l, const struct node *tpg);
/* Its ACLs, and its own user. The LUNs of the target are known. */
void lio_acls(struct lio *l, struct import_target *t, const struct node *tpg,
	      const struct group *g);

#endif
