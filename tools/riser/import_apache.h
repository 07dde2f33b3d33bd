// SPDX-License-Identifier: BSD-2-Clause
#ifndef RISER_IMPORT_APACHE_H
#define RISER_IMPORT_APACHE_H

#include "import.h"

struct apache_line {
	char *key, *value; /* value may be "" for blocks; both live as long as the import */
	unsigned int number;
};

/* What is called while files are read; im->file is the one that a line is of. After import_fail() nothing
 * is called any more. */
struct apache {
	struct import *im;
	void (*begin)(void *arg, struct apache_line *l); /* <key value> */
	void (*end)(void *arg, struct apache_line *l); /* </key> */
	void (*line)(void *arg, struct apache_line *l); /* key value, which is not "" */
	void *arg;
	unsigned int depth, files; /* zeros */
};

void apache_read(struct apache *r, const char *path);

#endif
