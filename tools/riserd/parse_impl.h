// SPDX-License-Identifier: BSD-2-Clause
/* What the parse*.c share. */
#ifndef RISERD_PARSE_IMPL_H
#define RISERD_PARSE_IMPL_H

#include <confuse.h>

#include "options.h"
#include "parse.h"

/* A text and where it comes from. */
struct source {
	const char *name; /* owned by the configuration */
	char *text; /* as it is, and a NUL */
	size_t len;
	struct source *next; /* not parsed yet */
};

/* One that has begun: its values come before its title. */
struct pending_users {
	struct config_users users;
	struct chap_user user;
	uint32_t seen; /* bits of user's keys */
};

struct parser {
	struct config *config;
	struct source *source; /* being parsed */
	struct source *todo, *done;
	const char *at; /* parse_line_of() has come there */
	unsigned int at_line;
	bool check, failed;
	unsigned int line; /* of the value that is looked at */
	complain_fn *told;
	uint32_t globals; /* bits of keys that were given */
	unsigned int discovery_line;

	struct option_portal portal;
	char portal_redirect[REDIRECT_MAX + 1];
	bool portal_redirect_permanent;
	uint32_t portal_seen;

	struct config_target target;
	struct portal_address *target_portals; /* owned: of "portals" */
	unsigned int target_portal_count;
	uint32_t target_seen;

	char lun[8192]; /* as bs_parse() has it */
	char lun_path[4096];
	uint32_t lun_seen;

	struct pending_users chap; /* of the target or of discovery, whichever it is in */
};

/* What a key of a section does with its value. */
struct key {
	const char *name;
	/* NULL: done; else what was expected, and "" when parse_fail() has told more. */
	const char *(*set)(struct parser *p, const struct key *key, const char *value);
	bool list;
};

/* Once: the first mistake counts. line 0: of no line. */
void parse_fail(struct parser *p, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same of what was found when all was read. */
void parse_fail_at(struct parser *p, const struct place *place, const char *why);
/* The last line up to `line` that has this word. */
unsigned int parse_line_of(struct parser *p, unsigned int line, const char *word);
/* The word that was probably meant, NULL: none of these. */
const char *parse_nearest(const char *word, const char *const *words, unsigned int count);

/* parse_keys.c: the tables, each with as many as its name says, ended by an empty one */
extern const struct key global_keys[], portal_keys[], target_keys[], lun_keys[], chap_keys[];
bool parse_portal_end(struct parser *p, const char *title, unsigned int line);
bool parse_target_end(struct parser *p, const char *title, unsigned int line);
bool parse_lun_end(struct parser *p, const char *title, unsigned int line);
bool parse_chap_end(struct parser *p, const char *title, unsigned int line);
/* What follows from all of it. */
bool parse_settle(struct parser *p);
void parse_forget(struct parser *p); /* what is pending */

#endif
