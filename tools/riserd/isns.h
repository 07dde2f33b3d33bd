// SPDX-License-Identifier: BSD-2-Clause
/*
 * Registration with an iSNS server, RFC 4171: targets and portals are there while riserd serves them.
 * The protocol is spoken by the program riser-isns, beside riserd or in ../lib/riser, which is run for
 * each conversation and needs open-isns's library; riserd needs neither.
 */
#ifndef RISERD_ISNS_H
#define RISERD_ISNS_H

#include "config.h"

struct isns;

/* [main thread] The server that c names, if it names one, shall have what c serves; portals are bound
 * already. Nothing is waited for: a thread, which the first call with a server starts, registers and
 * keeps that registered; it tries again while the server is not there, and logs a line when it gets or
 * loses it. *isns: NULL at first. 0; or -errno and a line in the log when that
 * thread or riser-isns is not to be had. */
int isns_update(struct isns **isns, const struct config *c);
/* [main thread] Deregisters, in the background. NULL is fine. */
void isns_stop(struct isns *is);
/* [main thread] After isns_stop(): waits for that, 2 s at most, and frees *is. NULL is fine. */
void isns_join(struct isns *is);

#endif
