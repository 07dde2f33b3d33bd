// SPDX-License-Identifier: BSD-2-Clause
/* What the files that read ctl.conf share: import_ctl*.c. */
#ifndef RISER_IMPORT_CTL_H
#define RISER_IMPORT_CTL_H

#include "import.h"

enum { CTL_WORDS = 5 };

/* "key word word", or "key word { ... }". */
struct statement {
	const char *word[CTL_WORDS]; /* [0] is the key */
	unsigned int words, line;
	struct statement *inside;
	size_t count;
};

struct ctl {
	struct import *im;
	const char *at;
	unsigned int line;
	struct statement root;
};

/* Whether a statement has this key. */
bool ctl_is(const struct statement *s, const char *key);
/* A section outside of all others, by its key and name; NULL: there is none. */
const struct statement *ctl_section(const struct ctl *c, const char *key, const char *name);

/* --- import_ctl_auth.c */

/* Whether it says who may log in, in an auth-group or in a target. */
bool ctl_is_auth(const struct statement *s);
/* A user, of chap or chap-mutual. */
void ctl_chap(struct ctl *c, const struct statement *s, struct import_user **users, size_t *count);
/* Who may log in to the target of a section. */
void ctl_access(struct ctl *c, struct import_target *t, const struct statement *section);

#endif
