// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sockets that listen already when riserd starts: whoever started it holds them, too, so that initiators
 * that connect during a restart wait instead of being refused. The protocol is systemd's (LISTEN_FDS, see
 * systemd.socket(5)). All [main thread].
 */
#ifndef RISERD_INHERIT_H
#define RISERD_INHERIT_H

#include "config.h"

struct inherited;

/* Takes the sockets that the environment speaks of, and takes the variables out of it. *out is NULL when
 * there are none. -errno: one of them is of no use here, and the log has said which and why. */
int inherit_sockets(struct inherited **out);
/* Says of each socket that no portal of *c listens on it. in may be NULL. */
void inherit_check(const struct inherited *in, const struct config *c);
/* The socket with this address, which stays ours; 0: there is none. in may be NULL. */
int inherit_find(const struct inherited *in, const struct portal_address *address);
/* After all listeners. NULL is fine. */
void inherit_close(struct inherited *in);

#endif
