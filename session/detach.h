// SPDX-License-Identifier: BSD-2-Clause
/* Commands that hang in a disk and belong to nobody any more, and sessions that have only such. */
#ifndef RISER_SESSION_DETACH_H
#define RISER_SESSION_DETACH_H

#include "session/internal.h"

/* command.aborted_at of a command on session.detached. */
#define DETACHED UINT64_MAX

/* The disk gives one back, which is about to be freed. */
void command_detached_back(struct command *c);
/* An ending session waits for nothing but commands: for a while. */
void session_linger(struct session *s);
/* Runs as session.linger. */
void session_lingers_no_more(struct timer *t);
/* Commands of the session that work on units which are leaving are aborted, their initiator hears TASK
 * ABORTED, and those that hang belong to nobody. close: connections go that still move their data. May free
 * commands. */
void session_cut_loose(struct session *s, bool close);

#endif
