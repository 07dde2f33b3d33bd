// SPDX-License-Identifier: BSD-2-Clause
/*
 * Registration with an iSNS server, RFC 4171: the target and the portals are there while riserd
 * serves. The protocol is spoken by the program riser-isns, beside riserd or in ../lib/riser, which
 * is run for each conversation and needs open-isns's library; riserd needs neither.
 */
#ifndef RISERD_ISNS_H
#define RISERD_ISNS_H

#include "options.h"

struct isns;

/* [main thread] Starts a thread that registers what *o names, with portals that are bound already,
 * and keeps that registered: it tries again while the server is not there, and logs a line when it
 * gets or loses it. *o is borrowed until isns_join(). 0; or -errno and a line in the log when that
 * thread or riser-isns is not to be had. */
int isns_start(const struct options *o, struct isns **out);
/* [main thread] Deregisters, in the background. NULL is fine. */
void isns_stop(struct isns *is);
/* [main thread] After isns_stop(): waits for that, 2 s at most, and frees *is. NULL is fine. */
void isns_join(struct isns *is);

#endif
