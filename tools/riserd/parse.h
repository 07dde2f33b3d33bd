// SPDX-License-Identifier: BSD-2-Clause
/* The configuration file: docs/riser.conf.5. */
#ifndef RISERD_PARSE_H
#define RISERD_PARSE_H

#include <jansson.h>

#include "config.h"

/* One mistake. text: what is wrong, and what was expected; line: as it stands in the file, NULL: it is
 * not about a line. */
struct complaint {
	struct place place;
	const char *text, *line;
};

typedef void complain_fn(const struct complaint *complaint);

/* Reads the file and what it includes; needs no device that it names. check: secrets that may not be read
 * are taken as they are. NULL: told() was called once. [main thread] */
struct config *config_parse_file(const char *path, bool check, complain_fn *told);
/* The same of len bytes at text; `name` stands for the file. */
struct config *config_parse_text(const char *name, const char *text, size_t len, bool check,
				 complain_fn *told);

/* The same of a tree (tree.h), in which secrets may stand as they are. */
struct config *config_parse_tree(const char *name, const json_t *tree, complain_fn *told);

/* Whom a section of an initiator is about, by its title; out is empty before, its rights are not touched. NULL,
 * or what it takes. */
const char *config_who(const char *title, struct initiator_rule *out);

/* To stderr, as compilers do; and to the log. */
void print_complaint(const struct complaint *complaint);
void log_complaint(const struct complaint *complaint);

#endif
