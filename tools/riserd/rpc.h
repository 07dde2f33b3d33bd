// SPDX-License-Identifier: BSD-2-Clause
/*
 * Methods of the control socket: JSON-RPC 2.0, see riser-rpc(7). Each noun has a file rpc_NOUN.c with a
 * table of its methods; rpc_methods.c has the list of tables; control.c speaks to clients and calls them.
 */
#ifndef RISERD_RPC_H
#define RISERD_RPC_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "live.h"

struct client;

/* Who may call it. */
enum rpc_level { RPC_MONITOR, RPC_ADMIN };

/* Where it runs. */
enum rpc_thread {
	RPC_CONTROL, /* the control thread: looks at snapshots, never waits for a disk */
	RPC_MAIN, /* the main thread, one after the other with reloads: may block */
};

/* Exit statuses of riser(1); an error has code -32000 - status. */
enum rpc_status {
	RPC_OK,
	RPC_FAILED,
	RPC_USAGE,
	RPC_NOT_FOUND,
	RPC_EXISTS,
	RPC_BUSY,
	RPC_PERMISSION,
	RPC_NOT_RUNNING,
	RPC_CONFIG_INVALID,
	RPC_TIMEOUT,
	RPC_PARTLY,
};

enum rpc_type { RPC_STRING, RPC_INTEGER, RPC_BOOLEAN, RPC_STRINGS /* array */, RPC_OBJECT };

struct rpc_param {
	const char *name; /* NULL ends the list */
	enum rpc_type type;
	bool required;
	const char *about;
};

struct rpc_context; /* of the daemon: control.h */

struct rpc_call {
	struct rpc_context *context;
	struct client *client; /* RPC_CONTROL, and no unit test: who asks */
	const char *method;
	enum rpc_level level; /* of the caller */
	char object[256], message[512], hint[256]; /* of an error: rpc_fail() */
};

struct rpc_method {
	const char *name; /* "target.list"; NULL ends a table */
	const char *about; /* one line */
	enum rpc_level level;
	enum rpc_thread thread;
	const struct rpc_param *params; /* NULL: none */
	/* params: an object that has been checked against `params`; borrowed. RPC_OK with a new
	 * reference in *result, or what rpc_fail() has returned. */
	enum rpc_status (*call)(struct rpc_call *call, const json_t *params, json_t **result);
};

/* Says what is wrong with which object (NULL: none), and the way out (NULL: none). Returns status. */
enum rpc_status rpc_fail(struct rpc_call *call, enum rpc_status status, const char *object,
			 const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* New references; NULL: no memory. Any text: what is not UTF-8 in it is shown as \\xNN. */
json_t *rpc_text(const char *text);
json_t *rpc_time(const struct timespec *time); /* CLOCK_REALTIME */

/* NULL-terminated. */
extern const struct rpc_method *const rpc_tables[];
/* NULL: there is none. */
const struct rpc_method *rpc_find(const char *name);
/* rpc.discover's document; new reference, NULL: no memory. */
json_t *rpc_discover(void);

#endif
