// SPDX-License-Identifier: BSD-2-Clause
/* JSON-RPC over riserd's control socket: one request at a time, and notifications. */
#ifndef RISER_CLIENT_H
#define RISER_CLIENT_H

#include "riser.h"

/*
 * Calls `method`; params are taken, NULL: none. Connects if there is no connection. STATUS_OK: *result is
 * a new reference. Otherwise *error is: {message, data:{name, exit, object, hint}}. Says nothing.
 */
enum status client_ask(struct riser *r, const char *method, json_t *params, json_t **result,
		       json_t **error);
/* The same, but errors are said as fail() does. */
enum status client_call(struct riser *r, const char *method, json_t *params, json_t **result);
/* Says an error object of client_ask(). */
enum status client_report(const struct riser *r, enum status status, const json_t *error);
/* Waits for the next notification, new reference; at most timeout_ms, -1: for ever. STATUS_TIMEOUT, also
 * when a signal came, says nothing; that the connection is gone is said. */
enum status client_next(struct riser *r, int timeout_ms, json_t **notification);
/* Of the connection, for poll(); -1: there is none. */
int client_fd(const struct riser *r);
/* A descriptor that came along with an answer, the caller's now; -1: there is none. */
int client_take_fd(struct riser *r);
/* Whether a notification has been read already: poll() would not tell. */
bool client_pending(const struct riser *r);
void client_close(struct riser *r);

#endif
