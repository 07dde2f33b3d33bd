// SPDX-License-Identifier: BSD-2-Clause
/* What the commands that create, set and delete things share: change*.c. */
#ifndef RISER_CHANGE_H
#define RISER_CHANGE_H

#include "command.h"

/* Options of each of them. */
#define CHANGE_OPTIONS                                                                     \
	{ .name = "runtime",                                                               \
	  .param = "runtime",                                                              \
	  .about = "not into the state file: it is gone after a restart" },                \
	{                                                                                  \
		.name = "force", .param = "force", .about = "also when sessions end by it" \
	}
#define IF_EXISTS                                          \
	{                                                  \
		.name = "if-exists", .param = "if_exists", \
		.about = "no error when it is not there"   \
	}
#define IF_NOT_EXISTS                                              \
	{                                                          \
		.name = "if-not-exists", .param = "if_not_exists", \
		.about = "no error when it is there already"       \
	}
#define PAIRS(optional)                                                                  \
	{                                                                                \
		.name = "KEY=VALUE", .kind = KIND_TEXT, .flags = WORD_MANY | (optional), \
		.about = "keys of riser.conf(5); KEY= takes one away"                    \
	}

/* "KEY=VALUE" into object's "options", or without a value its "unset". */
enum status change_pair(const struct riser *r, json_t *params, const char *pair);
/* A member of an object that names a file of ours by a relative path: riserd's folder is another one. */
enum status change_absolute(const struct riser *r, json_t *object, const char *key);
/* The method of the command, with these parameters, which are taken; says what was done to `what`. */
enum status change_call(struct riser *r, const struct args *a, json_t *params, const char *done,
			const char *what);
/* The lines of a difference: [{path, before, after}]. */
void change_show_diff(const struct riser *r, const json_t *diff);

#endif
