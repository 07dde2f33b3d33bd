// SPDX-License-Identifier: BSD-2-Clause
/* What was typed, for args.c and run.c. */
#ifndef RISER_ARGS_IMPL_H
#define RISER_ARGS_IMPL_H

#include "command.h"

#define array_count(a) (sizeof(a) / sizeof((a)[0]))

struct given {
	const struct word *word;
	const char *value;
};

struct args {
	const struct command *command;
	const char **operands;
	char **owned; /* names that were looked up, of operands and options */
	unsigned int operand_count, owned_count;
	struct given *options;
	unsigned int option_count;
};

#endif
