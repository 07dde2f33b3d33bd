// SPDX-License-Identifier: BSD-2-Clause
/* The command line of riserd. */
#ifndef RISERD_OPTIONS_H
#define RISERD_OPTIONS_H

#include "backstore.h"
#include "config.h"
#include "core/log.h"
#include "session.h"

#define RISERD_VERSION "0.1"

enum { OPTION_PORTALS = 64, OPTION_CPUS = REACTOR_MAX, ISNS_PORT = 3205 };

struct option_portal {
	struct portal_address address;
	enum portal_transports transports;
	uint16_t tag; /* portal group */
	enum access_state access; /* of the group, at the start */
	bool access_given, preferred;
};

/* What --chap and --chap-mutual say, or their brothers for discovery. */
struct option_users {
	struct chap_user *user; /* owned; room for CHAP_USERS_MAX, or NULL */
	unsigned int count;
	struct chap_account mutual; /* of users without one of their own; empty: none */
};

struct options {
	struct option_portal portals[OPTION_PORTALS];
	unsigned int portal_count;
	struct target_port ports[TARGET_PORTS]; /* one for each portal group, by ascending tag */
	unsigned int port_count;
	char target_name[ISCSI_NAME_MAX + 1];
	char alias[256]; /* empty: none */
	bool allow_cold_reset;
	bool allow_any;
	char (*allow)[ISCSI_NAME_MAX + 1];
	unsigned int allow_count;
	struct option_users chap, discovery_chap;
	char redirect[REDIRECT_MAX + 1]; /* "name[:port]": where the target is; empty: here */
	bool redirect_permanent;
	struct portal_address isns; /* server; len 0: none */
	const char *state; /* folder for what survives a restart; NULL: nothing does */
	char *state_of_system; /* owned: where it comes from unless it was given */
	int cpus[OPTION_CPUS];
	unsigned int cpu_count;
	uint64_t memory; /* bytes for the slab */
	uint64_t busy_poll_ns;
	enum log_level log_level;
	struct server_limits limits;
	const char *control; /* socket; NULL: what the file says, or none */
	const char *file; /* -c: all else stands there; NULL: on the command line */
	bool check_only; /* -t */
	struct bs_spec *disks;
	char **disk_texts; /* borrowed: the DISKs as they were given */
	unsigned int disk_count;
};

/* Fills *o from the command line. 0, or the exit status after one line to stderr that names the
 * argument (2), or 1 for out of memory; -1: --help or --version was printed, exit 0. */
int options_parse(struct options *o, int argc, char **argv);
void options_free(struct options *o); /* wipes secrets */
/* The same as a configuration, once: secrets and disks go over there. NULL: no memory. */
struct config *options_to_config(struct options *o);
/* What a file leaves open and the machine decides. False: no memory. */
bool config_supplement(struct config *c);

/* "192.0.2.1", "192.0.2.1:3260", "[::1]:3260", "::1", "[fe80::1%eth0]:3260". False: malformed. */
bool options_parse_address(const char *text, struct portal_address *out);
/* "ADDR[:PORT],key=value,...": one more portal. 0 or 2. */
int options_add_portal(struct options *o, const char *text);
/* The target ports that the portals make. 0 or 2. */
int options_make_ports(struct options *o);
/* "ADDR[:PORT][,permanent]": where initiators are sent. 0 or 2. */
int options_parse_redirect(struct options *o, const char *text);
/* The same text as TargetAddress has it. NULL, or what it takes. */
const char *options_make_redirect(const char *text, char out[REDIRECT_MAX + 1], bool *permanent);
/* One option of a portal. NULL, or what it takes. */
const char *options_set_portal(struct option_portal *p, const char *key, const char *value);
/* False: there is no such level. */
bool options_parse_log_level(const char *text, enum log_level *out);
const char *options_log_level_name(enum log_level level);
/* "ADDR[:PORT]": an iSNS server. False: malformed. */
bool options_make_isns(const char *text, struct portal_address *out);
/* The same of the command line. 0 or 2. */
int options_parse_isns(struct options *o, const char *text);
/* USER:FILE: one more user, and how we prove ourselves to him. opt: for messages. 0 or 2. */
int options_add_user(struct option_users *users, const char *opt, const char *text);
int options_add_mutual(struct option_users *users, const char *opt, const char *text);
/* What only all of them together can tell. 0 or 2. */
int options_check_users(struct options *o);
void options_free_users(struct option_users *users); /* wipes secrets */
bool options_is_loopback(const struct portal_address *p);
/* "0,2-3" into cpus; false: malformed, or a CPU we may not use. */
bool options_parse_cpus(const char *text, int *cpus, unsigned int *count);

/* One line to stderr, whatever the arguments hold; 2. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Decimal digits alone, at most max. */
bool parse_number(const char *text, uint64_t max, uint64_t *out);

#endif
