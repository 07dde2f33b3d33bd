// SPDX-License-Identifier: BSD-2-Clause
/*
 * tgtadm and tgt-admin on top of riserd's control socket. What the two have and riserd has not - numbers of
 * targets, accounts that belong to no target, access rules as they were given - is remembered in a file
 * beside the socket, for as long as this riserd runs: everything is made with "runtime", as tgt forgets all
 * with its daemon. One command at a time has that file's lock.
 */
#ifndef TGTADM_H
#define TGTADM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/riser/riser.h"

/* A name that no initiator has: tgt's targets are closed until somebody is let in. */
#define NOBODY "iqn.1995-01.invalid.nobody:none"

/* Exit statuses: EINVAL and ENOTCONN, as of tgtadm. */
enum { DONE = 0, UNKNOWN_WORD = 1, REFUSED = 22, NO_DAEMON = 107 };

struct options {
	const char *op, *mode, *lld;
	const char *targetname, *path, *bstype, *bsflags, *bsopts, *device_type, *block_size;
	const char *address, *initiator, *name, *value, *params, *user, *password;
	const char *tid_text, *lun_text, *sid_text, *cid_text; /* NULL: not given */
	unsigned int tid, lun, sid;
	bool force, outgoing;
};

struct tgt {
	struct riser r;
	const char *program; /* for messages */
	struct options o;
	json_t *targets; /* target.list; NULL: not asked yet */
	json_t *by_name; /* the same by name, in lower case; NULL with it */
	json_t *taken; /* numbers that some target has or had: members "7"; NULL: not looked yet */
	json_t *memory; /* {"daemon", "targets": {name: {...}}, "accounts": {user: secret}} */
	char file[4096]; /* where it is kept */
	json_int_t free_tid; /* none that is smaller is free; 0: not looked yet */
	bool dirty; /* numbers were given out that are not in the file */
	int lock; /* -1: none, and nothing is written */
};

/* --- memory.c */

/* Takes the lock and reads. Targets that are not known yet get numbers. Status. */
int memory_open(struct tgt *t);
/* False: it cannot be written, which has been said. */
bool memory_save(struct tgt *t);
void memory_close(struct tgt *t);
/* What is remembered of a target: {"tid", "acl": [], "allow", "outgoing", "closed"}; made if it is not
 * there. "acl" are the rules as they were given, "allow" is what riserd made of them. */
json_t *memory_target(struct tgt *t, const char *name);
json_t *memory_accounts(struct tgt *t);
/* A target that is known has this number from now on. */
void memory_number(struct tgt *t, const char *name, unsigned int tid);
/* A name of a target as riserd has it, in lower case. Returns key. */
const char *memory_key(const char *name, char key[256]);
/* Forgets what was asked of riserd: something has changed. */
void memory_refresh(struct tgt *t);

/* --- ask.c */

/* Says "tgtadm: ..." on stderr. Returns REFUSED. */
int complain(const struct tgt *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same without making it an error. */
void tell(const struct tgt *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Calls a method; params are taken, NULL: none. Status; what was wrong has been said. result NULL: is not
 * wanted. */
int ask(struct tgt *t, const char *method, json_t *params, json_t **result);
/* A change: with "runtime". *busy, if it is not NULL: sessions are in the way, nothing has been said. */
int change(struct tgt *t, const char *method, json_t *params, bool force, bool *busy);
/* The name of the target of --tid, borrowed; NULL: there is none, which has been said. */
const char *target_name(struct tgt *t);
/* "" for what is no text. */
const char *text_value(const json_t *value);
/* Of target.list; NULL: there is none. Borrowed. */
const json_t *find_target(struct tgt *t, const char *name);
const json_t *find_lun(const json_t *target, unsigned int lun);

/* --- One file per mode. Each returns a status. */

typedef int operation(struct tgt *t);
struct verb {
	const char *op, *mode;
	operation *run;
};
extern const struct verb target_verbs[], unit_verbs[], session_verbs[], account_verbs[],
	system_verbs[];

/* --- Used by tgt-admin, too. Options are those of the verbs. */

int target_new(struct tgt *t);
int target_delete(struct tgt *t);
int target_show_all(struct tgt *t);
/* Lets in who these rules say, instead of all others. */
int target_allow(struct tgt *t, const char *name, const json_t *acl, bool force);
/* Whether riserd's rules have no addresses. */
bool target_from_anywhere(const json_t *allow);
/* The rules as they were given, borrowed; NULL: none, or somebody else has set others since. */
const json_t *target_given(struct tgt *t, const char *name);
int unit_new(struct tgt *t);
/* Secret of the account, at the target, in the direction of --outgoing. */
int account_bind(struct tgt *t);
int account_new(struct tgt *t);

/* --control-port N is the socket control.N.sock. */
void other_socket(struct tgt *t, const char *port);
/* False: what would have to be remembered cannot be, which has been said; so nothing is done. */
bool memory_can_change(struct tgt *t);

/* tgt-admin */
int admin_main(struct tgt *t, int argc, char **argv);

#endif
