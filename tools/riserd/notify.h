// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a supervisor (systemd) hears of riserd: that it serves, what it serves, that it reloads and stops;
 * and, when it wants to (WATCHDOG_USEC), that every reactor turns. The protocol is sd_notify(3)'s: lines in
 * datagrams to the socket that NOTIFY_SOCKET names. Nothing here makes riserd wait or fail. A struct
 * notify * may be NULL everywhere: nobody wants to know.
 */
#ifndef RISERD_NOTIFY_H
#define RISERD_NOTIFY_H

#include "config.h"

struct notify;

/* [main thread, before there are others] Takes the variables out of the environment. NULL: nobody wants to
 * know, or there is no way to him, which the log has said. */
struct notify *notify_open(void);
/* [main thread] One line for who looks at the service: "opening the disks". */
void notify_status(struct notify *n, const char *text);
/* [main thread] What is served now. */
void notify_serving(struct notify *n, const struct config *c);
/* [main thread] It serves: after the start and each reload. */
void notify_ready(struct notify *n);
void notify_reloading(struct notify *n);
void notify_stopping(struct notify *n);

/* [main thread] Starts the thread that feeds the watchdog as long as every reactor turns, and that keeps the
 * number of sessions in the status up to date. All borrowed until notify_unwatch(). */
void notify_watch(struct notify *n, struct reactor **reactors, unsigned int count,
		  struct server *server);
/* [main thread] No more of it, and no more use of the server. */
void notify_unwatch(struct notify *n);
/* [main thread] When no reactor runs any more. */
void notify_close(struct notify *n);

#endif
