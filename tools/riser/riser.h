// SPDX-License-Identifier: BSD-2-Clause
/*
 * riser: the command that shows and changes what riserd serves. One process, one thread, one connection
 * to the control socket; nothing here is shared with riserd but the protocol in riser-rpc(7).
 */
#ifndef RISER_H
#define RISER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define RISER_SOCKET "/run/riser/control.sock"

/* Exit statuses; an error of the control socket has the code -32000 - status. */
enum status {
	STATUS_OK,
	STATUS_FAILED,
	STATUS_USAGE,
	STATUS_NOT_FOUND,
	STATUS_EXISTS,
	STATUS_BUSY,
	STATUS_PERMISSION,
	STATUS_NOT_RUNNING,
	STATUS_CONFIG,
	STATUS_TIMEOUT,
	STATUS_PARTLY,
	STATUS_COUNT,
};

struct client; /* client.h */

/* What all commands share. */
struct riser {
	const char *socket; /* where riserd listens */
	double timeout; /* seconds for one answer; 0: for ever */
	bool json, dry_run;
	bool color, utf8, terminal; /* of stdout */
	struct client *client; /* NULL until it is needed */
};

/* The word of a status in errors: "not-found". */
const char *status_name(enum status status);

/*
 * Says what went wrong with which object (NULL: none), and the way out (NULL: none): on stderr, or with
 * --json as an object with one member "error" on stdout. Returns status.
 */
enum status fail(const struct riser *r, enum status status, const char *object, const char *hint,
		 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Members of an object that may be missing: "" and 0 then. */
const char *member_text(const json_t *object, const char *key);
int64_t member_number(const json_t *object, const char *key);
double member_real(const json_t *object, const char *key);
bool member_true(const json_t *object, const char *key);

/* json_array_foreach() for arrays that may be missing. */
#define each_member(array, item) \
	for (size_t item##_i = 0; ((item) = json_array_get(array, item##_i)); item##_i++)

#endif
