// SPDX-License-Identifier: BSD-2-Clause
/*
 * The states of a connection, RFC 7143 8.1.3 (the target's), and of a CID whose connection was lost,
 * 8.1.5. The rows are in connection_state.c and, to be read, in ARCHITECTURE.md.
 */
#ifndef RISER_SESSION_CONNECTION_STATE_H
#define RISER_SESSION_CONNECTION_STATE_H

#include "session/machine.h"

/* In this order: before, in and after full feature phase. */
enum iconn_state {
	CONN_FREE, /* S1: no transport connection */
	CONN_XPT_UP, /* S3: nothing received yet */
	CONN_IN_LOGIN, /* S4 */
	CONN_ESTABLISHING, /* S4: negotiation done, what it replaces has to go first */
	CONN_LOGGED_IN, /* S5 */
	CONN_LOGOUT_REQUESTED, /* S7: as LOGGED_IN, and we have asked for a Logout */
	CONN_IN_LOGOUT, /* S6: everything else is dropped */
	CONN_CLOSING, /* on the way to S1: nothing is left to be done but for the transport */
	CONN_CLEANUP, /* S8: likewise, but it was lost: its tasks need cleaning up */
};

enum iconn_event {
	CONN_EV_CONNECTED,
	CONN_EV_MOVED, /* another reactor goes on with it */
	CONN_EV_LOGIN, /* the first Login Request */
	CONN_EV_WAIT, /* for an old session or connection to go */
	CONN_EV_GO_ON, /* it is gone */
	CONN_EV_LOGGED_IN, /* the final Login Response */
	CONN_EV_ASK_LOGOUT, /* an Asynchronous Message asks for a Logout */
	CONN_EV_LOGOUT, /* a Logout Request for it */
	CONN_EV_LOGGED_OUT, /* the Logout Response went out */
	CONN_EV_CLOSE, /* the session was closed or reinstated, or the connection was */
	CONN_EV_LOST, /* everything else that ends it: the peer hung up, an error, a time limit */
	CONN_EV_CLOSED, /* the transport has given back everything */
};

extern const struct machine connection_machine;

/* What remains of a connection that was lost at error recovery level 2. */
enum cid_state {
	CID_CLEANUP_WAIT, /* R1 */
	CID_IN_CLEANUP, /* R2 */
	CID_FREE, /* R3: its tasks may be reassigned as long as they are there */
};

enum cid_event {
	CID_EV_LOGOUT, /* for it on another connection, or a Login with it */
	CID_EV_LOGGED_OUT, /* the answer to that */
	CID_EV_EXPIRED, /* DefaultTime2Wait and DefaultTime2Retain are over, or the session is */
};

extern const struct machine cid_machine;

#endif
