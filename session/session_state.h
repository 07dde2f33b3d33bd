// SPDX-License-Identifier: BSD-2-Clause
/*
 * The states of a session, RFC 7143 8.2 (the target's). The rows are in session_state.c and, to be
 * read, in ARCHITECTURE.md.
 */
#ifndef RISER_SESSION_SESSION_STATE_H
#define RISER_SESSION_SESSION_STATE_H

#include "session/machine.h"

enum session_state {
	SESSION_FREE, /* Q1 */
	SESSION_ACTIVE, /* Q2: its first login is being settled */
	SESSION_LOGGED_IN, /* Q3 */
	SESSION_FAILED, /* Q4: no connection, but it waits for one */
	SESSION_IN_CONTINUE, /* Q5: one is logging in */
	SESSION_ENDING, /* on the way to Q1: its last tasks have to come back */
};

enum session_event {
	SESSION_EV_LOGIN, /* of its first connection */
	SESSION_EV_REFUSED, /* that login failed, or has to wait for another session to go */
	SESSION_EV_LOGGED_IN, /* full feature phase of the first connection, or of one that continues */
	SESSION_EV_CLOSED, /* Logout, of the session or of its last connection; or we end it */
	SESSION_EV_REINSTATED, /* a new session takes its place */
	SESSION_EV_FAILED, /* a connection was lost that it cannot do without */
	SESSION_EV_CONTINUE, /* a Login Request with its TSIH */
	SESSION_EV_CONTINUE_FAILED, /* that login failed */
	SESSION_EV_TIMEOUT, /* nobody has continued it in time, or nobody may */
	SESSION_EV_GONE, /* the last task is back */
};

extern const struct machine session_machine;

#endif
