// SPDX-License-Identifier: BSD-2-Clause
/*
 * The table of commands. Help, the manual's list of commands, completion, the shell and the check of what
 * was typed come from it, so a command is one row here and one function.
 *
 * Each noun has a file NOUN.c with a table of its commands; commands.c has the list of tables.
 */
#ifndef RISER_COMMAND_H
#define RISER_COMMAND_H

#include "riser.h"

/* What a word means: how it is checked and what is offered for completion. */
enum kind {
	KIND_NONE, /* an option without a value */
	KIND_TEXT,
	KIND_NUMBER, /* an integer, in params a JSON integer */
	KIND_REAL, /* not negative; for options of ours only */
	KIND_SIZE, /* 10G; in params bytes */
	KIND_WORD, /* one of `words` */
	KIND_FILE,
	KIND_TARGET, /* one that is there; what follows its last colon is enough if it is the only one */
	KIND_LUN, /* of the target in front of it; in params a JSON integer */
	KIND_SESSION,
	KIND_INITIATOR,
	KIND_PORTAL,
	KIND_JOB,
	KIND_COMMAND, /* a noun or a verb of this table */
};

enum word_flags {
	WORD_OPTIONAL = 1, /* operands; options always are */
	WORD_MANY = 2, /* may be repeated; in params an array */
	WORD_NEW = 4, /* names something that is not there yet: nothing to look up */
	WORD_OR_OPTION = 8, /* operands: an option with a value will do instead */
};

/* An operand or an option. */
struct word {
	const char *name; /* of an operand "TARGET", of an option "allow" */
	enum kind kind;
	const char *about; /* one line; operands may do without */
	const char *value; /* options: what help calls the value, "IQN"; NULL: there is none */
	const char *words; /* KIND_WORD: "linux windows" */
	const char *param; /* its name among the params of `method`; NULL: not one of them */
	char letter; /* options: the short form; 0: none */
	unsigned int flags;
};

/* The list of a row: WORDS({ .name = "TARGET", .kind = KIND_TARGET }) */
#define WORDS(...)                   \
	(const struct word[])        \
	{                            \
		__VA_ARGS__,         \
		{                    \
			.name = NULL \
		}                    \
	}

enum command_flags {
	COMMAND_CHANGES = 1, /* takes --dry-run */
	COMMAND_LOCAL = 2, /* needs no riserd */
	COMMAND_HIDDEN = 4, /* is not in help */
};

struct args;

struct command {
	const char *noun; /* NULL ends a table */
	const char *verb; /* NULL: the noun is all */
	const char *about; /* one line, no full stop */
	const char *details; /* whole sentences for help and the manual; NULL: none */
	const struct word *operands, *options; /* name NULL ends them; NULL: none */
	unsigned int flags;
	/* Without `run` this method is called with args_params(), and `show` prints what it returns. With
	 * COMMAND_CHANGES and --dry-run the params have dry_run. */
	const char *method;
	void (*show)(struct riser *r, const json_t *result);
	enum status (*run)(struct riser *r, const struct args *a);
};

/* NULL-terminated. */
extern const struct command *const command_tables[];
/* What every command takes. */
extern const struct word global_options[];

#define each_command(row)                                                             \
	for (const struct command *const *row##_table = command_tables; *row##_table; \
	     row##_table++)                                                           \
		for (const struct command *row = *row##_table; row->noun; row++)

/* "session kick" */
const char *command_name(const struct command *c, char *buf, size_t size);
bool command_is_noun(const char *noun);
/* Whether no row in front of this one has its noun: nouns may be spread over files. */
bool command_opens_noun(const struct command *c);
/* NULL: there is none. "ls" is "list", "rm" is "delete". verb NULL: the noun alone, or its "list". */
const struct command *command_lookup(const char *noun, const char *verb);
/* Of the command, or a global one; NULL: there is none. */
const struct word *command_option(const struct command *c, const char *name, size_t len);
const struct word *command_letter(const struct command *c, char letter);
/* The i-th operand, the last one again if it may be repeated; NULL: one too many. */
const struct word *command_operand(const struct command *c, unsigned int i);

/*
 * What was typed, parsed by the table. [args.c]
 */

/* Takes global options into r; words are borrowed for as long as *out lives. On failure all has been
 * said. STATUS_OK with NULL: --help or --version, and it has been answered. `words` has no name of a
 * program in front. */
enum status args_parse(struct riser *r, int count, char **words, struct args **out);
void args_free(struct args *a); /* NULL is fine */

const struct command *args_command(const struct args *a);
/* NULL: not given. */
const char *args_operand(const struct args *a, unsigned int i);
unsigned int args_operands(const struct args *a);
/* The i-th value of an option; NULL: not given so often. Of KIND_NONE "" */
const char *args_option(const struct args *a, const char *name, unsigned int i);
bool args_flag(const struct args *a, const char *name);
/* `otherwise` when it is not given. */
double args_real(const struct args *a, const char *name, double otherwise);
int64_t args_number(const struct args *a, const char *name, int64_t otherwise);
/* An object of all words that have a `param`, new reference; dry_run too. NULL: no memory. */
json_t *args_params(const struct riser *r, const struct args *a);

/* Looks names up, runs the command and returns its status. */
enum status command_run(struct riser *r, struct args *a);
/* Parses and runs. */
enum status command_line(struct riser *r, int count, char **words);

/* Of words with at most 32 letters, the one that was probably meant, or NULL; `next` returns one after
 * the other, then NULL. */
const char *nearest(const char *word, const char *(*next)(void *arg), void *arg);

/* help.c */
void help_overview(const struct riser *r);
void help_noun(const struct riser *r, const char *noun);
void help_command(const struct riser *r, const struct command *c);
/* "riser session kick [OPTION]... SESSION" */
void help_synopsis(const struct command *c, char *buf, size_t size);

#endif
