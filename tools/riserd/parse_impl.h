// SPDX-License-Identifier: BSD-2-Clause
/* What the parse*.c share. */
#ifndef RISERD_PARSE_IMPL_H
#define RISERD_PARSE_IMPL_H

#include <confuse.h>
#include <jansson.h>

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
	bool ours; /* riserd has written it, not a person */
	const json_t *secrets; /* that it names; see tree_to_text() */
	unsigned int line; /* of the value that is looked at */
	complain_fn *told;
	uint32_t globals; /* bits of keys that were given */
	unsigned int discovery_line, control_line, metrics_line;
	uint32_t control_seen, metrics_seen;

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
	struct io_limits lun_limits;
	uint32_t lun_seen;

	struct nexus_rights rights; /* of an initiator */
	bool rights_mask; /* it says which LUNs */
	uint32_t initiator_seen;

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

/* parse_text.c */
/* What comments hide becomes blanks, but for the ends of lines. */
void parse_blank_comments(char *text);
/* The line of the last { that is not closed, which libconfuse does not mind; 0: there is none. */
unsigned int parse_open_brace(const char *text);

/* parse_keys.c: the tables, each with as many as its name says, ended by an empty one */
extern const struct key global_keys[], portal_keys[], target_keys[], lun_keys[], chap_keys[],
	initiator_keys[], control_keys[], metrics_keys[];
bool parse_portal_end(struct parser *p, const char *title, unsigned int line);
bool parse_target_end(struct parser *p, const char *title, unsigned int line);
bool parse_lun_end(struct parser *p, const char *title, unsigned int line);
bool parse_chap_end(struct parser *p, const char *title, unsigned int line);
/* "ADDR" or "ADDR/BITS"; and whether it has no bits beyond its length. */
bool parse_range(const char *value, struct address_range *out);
bool parse_range_is_canonical(const struct address_range *r);

/* parse_limits.c */
/* False: a list is there and has nothing in it, said. */
bool parse_initiator_lists(struct parser *p, cfg_t *section);
/* False: one is about a user whom the target does not have, said. */
bool parse_rules_check(struct parser *p, unsigned int line);
bool parse_initiator_end(struct parser *p, const char *title, unsigned int line);
/* struct key: iops, bandwidth and burst of a LUN */
const char *parse_lun_limit(struct parser *p, const struct key *key, const char *value);
/* False: they make no sense together, said. */
bool parse_limits_end(struct parser *p, struct io_limits *limits, unsigned int line);

/* At most size bytes of a file and a zero behind them, from malloc(); *len: how many there were. NULL with
 * errno. */
char *parse_read_all(int fd, size_t size, size_t *len);

/* What follows from all of it. */
bool parse_settle(struct parser *p);
void parse_forget(struct parser *p); /* what is pending */

#endif
