// SPDX-License-Identifier: BSD-2-Clause
/* What the methods that change things share: rpc_change_*.c. All [main thread]. */
#ifndef RISERD_RPC_CHANGE_H
#define RISERD_RPC_CHANGE_H

#include "change.h"
#include "control.h"
#include "tree.h"

/* Rows of every such method. */
#define CHANGE_PARAMS                                                                             \
	{ "runtime", RPC_BOOLEAN, false, "not into the state file: it is gone after a restart" }, \
		{ "force", RPC_BOOLEAN, false, "also when sessions end by it" },                  \
		{ "dry_run", RPC_BOOLEAN, false, "only say what would be different" },            \
	{                                                                                         \
		0                                                                                 \
	}

enum { CHANGE_ROWS = 64 /* of a diff that nobody has asked for */ };

/* Strings of the parameters; NULL: not given. */
const char *change_text(const json_t *params, const char *name);
bool change_given(const json_t *params, const char *name); /* and true */
unsigned int change_flags(const json_t *params);

/* The name of the object as a tree has it. False: rpc_fail() was called. */
bool change_title(struct rpc_call *call, const char *section, const char *text, char *out,
		  size_t size);
/* What runs: the target, its LUN; NULL: there is none. Borrowed. */
json_t *change_find(const struct rpc_call *call, const char *section, const char *title);
json_t *change_find_lun(const struct rpc_call *call, const char *target, unsigned int lun);

/* Copies the parameters of this list, NULL-terminated, into object, and then what "options" has; what
 * "unset" names becomes null. False: rpc_fail() was called. */
bool change_keys(struct rpc_call *call, const json_t *params, const char *const *names,
		 json_t *object);
/* Applies {section: {title: object}}, or {target: {title: {inner: {name: object}}}} when inner is given;
 * object NULL: takes it away. object is taken. *result: {"changed", "diff"} and what `more` has, which is
 * taken, too; NULL: nothing. */
struct change_at {
	const char *section, *title; /* section "target", "portal" or "discovery" */
	const char *inner, *name; /* NULL: itself */
};
/* Of an object that is made anew: what the configuration and the state file have at this place, where
 * something has taken it away, must not show through. */
void change_cover(const struct rpc_call *call, json_t *object, const struct change_at *at);
enum rpc_status change_do(struct rpc_call *call, const json_t *params, const struct change_at *at,
			  json_t *object, json_t *more, json_t **result);
/* The same of any patch; borrowed. about: for the event. */
enum rpc_status change_do_patch(struct rpc_call *call, const json_t *params, const json_t *patch,
				const char *about, json_t *more, json_t **result);
enum rpc_status change_failed(struct rpc_call *call, const struct change_failure *failure);
/* There already, or not there: as if it had been done, if that was asked for. */
enum rpc_status change_idle(json_t *more, json_t **result);

#endif
