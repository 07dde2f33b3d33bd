// SPDX-License-Identifier: BSD-2-Clause
/*
 * What riserd shall serve, as plain data: made from the command line (options.h) or a file (parse.h),
 * compared with what runs and made to run by live.h. Nothing in it refers to anything that is open.
 */
#ifndef RISERD_CONFIG_H
#define RISERD_CONFIG_H

#include "backstore.h"
#include "core/log.h"
#include "session.h"

enum { CONFIG_PORTALS = 64, CONFIG_CPUS = REACTOR_MAX, CONFIG_WHY = 1024, STATUS_CONFIG = 8 };

/* What a portal is served over. */
enum portal_transports { PORTAL_TCP = 1, PORTAL_ISER = 2, PORTAL_ALL = PORTAL_TCP | PORTAL_ISER };

/* Where in the configuration something stands. */
struct place {
	const char *file; /* owned by the configuration; NULL: the command line */
	unsigned int line;
};

struct config_portal {
	struct portal_address address;
	enum portal_transports transports;
	uint16_t tag; /* portal group */
	enum access_state access; /* of the group */
	bool access_given, preferred;
	bool any_port; /* the address had port 0 */
	char redirect[REDIRECT_MAX +
		      1]; /* "name[:port]": where initiators are sent; empty: nowhere */
	bool redirect_permanent;
	struct place place;
};

struct config_users {
	struct chap_user *user; /* owned; room for CHAP_USERS_MAX, or NULL */
	unsigned int count;
	struct chap_account mutual; /* of users without one of their own; empty: none */
};

struct config_lun {
	unsigned int number;
	struct bs_spec spec;
	struct io_limits limits;
	struct place place;
};

struct config_target {
	char name[ISCSI_NAME_MAX + 1]; /* lower case */
	char alias[256]; /* empty: none */
	bool allow_cold_reset;
	bool allow_any;
	char (*allow)[ISCSI_NAME_MAX + 1];
	unsigned int allow_count;
	struct address_range *from;
	unsigned int from_count;
	struct initiator_rule *rules; /* owned: of initiators */
	unsigned int rule_count;
	bool masked; /* some of them say which LUNs */
	struct config_users chap;
	char redirect[REDIRECT_MAX + 1]; /* where the target is; empty: here */
	bool redirect_permanent;
	uint16_t tags[TARGET_PORTS]; /* portal groups that it is in, 0 of them: all */
	unsigned int tag_count;
	struct config_lun *luns; /* by ascending number */
	unsigned int lun_count;
	struct place place;
};

struct config_group {
	char name[33]; /* empty: none */
	gid_t gid;
};

/* Who may use the control socket, and where it is. */
struct config_control {
	char socket[108]; /* empty: the usual place */
	struct config_group group, admin_group; /* may look; may do all */
};

/* HTTP for metrics and the status page. */
struct config_metrics {
	struct portal_address listen; /* len 0: there is none */
};

struct config {
	struct config_portal portals[CONFIG_PORTALS];
	unsigned int portal_count;
	struct config_target *targets; /* by ascending name */
	unsigned int target_count;
	struct config_users discovery_chap;
	char *state; /* folder for what survives a restart; NULL: nothing does */
	int cpus[CONFIG_CPUS];
	unsigned int cpu_count;
	uint64_t memory; /* bytes for the slab */
	uint64_t busy_poll_ns;
	enum log_level log_level;
	struct server_limits limits;
	struct config_control control;
	struct config_metrics metrics;
	struct portal_address isns; /* server that hears what there is; len 0: none */
	struct json_t *tree; /* the same as it was written: tree.h; NULL: no memory for it */
	char **files; /* names for struct place */
	unsigned int file_count;
};

/* What there is without a word; NULL: no memory. */
struct config *config_new(void);
void config_free(struct config *c); /* wipes secrets; NULL is fine */

/* A target more; NULL: no memory. Pointers to earlier ones are over. */
struct config_target *config_add_target(struct config *c);
/* A LUN more of the target; NULL: no memory. */
struct config_lun *config_add_lun(struct config_target *t);
/* A name that lives as long as c, each once; NULL: no memory. */
const char *config_file_name(struct config *c, const char *name);

/* Sorts, and finds what only the whole can tell: names and numbers that are given twice, one file for
 * two LUNs, secrets that serve in both directions, portal groups that contradict themselves. False: why
 * has a line, *place says where. */
bool config_check(struct config *c, struct place *place, char *why, size_t why_size);

/* The ports that a target has by its portals: at most TARGET_PORTS, by ascending tag. */
unsigned int config_ports(const struct config *c, const struct config_target *t,
			  struct target_port ports[TARGET_PORTS]);
bool config_same_address(const struct portal_address *a, const struct portal_address *b);
/* Whether a disk of the one may go on as one of the other. */
bool config_same_disk(const struct bs_spec *a, const struct bs_spec *b);

#endif
