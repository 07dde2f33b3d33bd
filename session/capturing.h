// SPDX-License-Identifier: BSD-2-Clause
/* Which connections are captured (include/capture.h). All [owner thread]. */
#ifndef RISER_SESSION_CAPTURING_H
#define RISER_SESSION_CAPTURING_H

#include "capture.h"
#include "session/internal.h"

/* The first PDU of a connection, a Login Request. */
void capture_login(struct iconn *ic, const struct pdu *pdu);
/* Its session is known now. */
void capture_logged_in(struct iconn *ic);
/* Or no thread runs any more: the reactor captures nothing, its connections are gone or have no tap. */
void capture_release(struct reactor_state *rs);

#endif
