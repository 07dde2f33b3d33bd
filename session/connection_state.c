// SPDX-License-Identifier: BSD-2-Clause
/*
 *          connected        login          logged in
 *   FREE ----T3---> XPT_UP --T4--> IN_LOGIN ---T5---> LOGGED_IN --T11--> LOGOUT_REQUESTED
 *    ^                |             |    ^ \            |    \ T9          | T10
 *    |                T6            T7   |  ESTABLISHING T8   > IN_LOGOUT <
 *    |                v             v                    v   / T13
 *    +--------------- CLOSING <--------------------------+--+
 *    +--------------- CLEANUP <--- T15 T16 T17: lost in full feature phase
 *
 * The RFC goes from S4 to S7 straight to S1 where we go to CLOSING; S2 is the initiator's.
 */
#include "session/connection_state.h"

#include "core/list.h"

static const char *const conn_states[] = {
	[CONN_FREE] = "FREE",		[CONN_XPT_UP] = "XPT_UP",
	[CONN_IN_LOGIN] = "IN_LOGIN",	[CONN_ESTABLISHING] = "ESTABLISHING",
	[CONN_LOGGED_IN] = "LOGGED_IN", [CONN_LOGOUT_REQUESTED] = "LOGOUT_REQUESTED",
	[CONN_IN_LOGOUT] = "IN_LOGOUT", [CONN_CLOSING] = "CLOSING",
	[CONN_CLEANUP] = "CLEANUP",
};

static const char *const conn_events[] = {
	[CONN_EV_CONNECTED] = "CONNECTED",
	[CONN_EV_MOVED] = "MOVED",
	[CONN_EV_LOGIN] = "LOGIN",
	[CONN_EV_WAIT] = "WAIT",
	[CONN_EV_GO_ON] = "GO_ON",
	[CONN_EV_LOGGED_IN] = "LOGGED_IN",
	[CONN_EV_ASK_LOGOUT] = "ASK_LOGOUT",
	[CONN_EV_LOGOUT] = "LOGOUT",
	[CONN_EV_LOGGED_OUT] = "LOGGED_OUT",
	[CONN_EV_CLOSE] = "CLOSE",
	[CONN_EV_LOST] = "LOST",
	[CONN_EV_CLOSED] = "CLOSED",
};

static const struct transition conn_rows[] = {
	{ CONN_FREE, CONN_EV_CONNECTED, CONN_XPT_UP }, /* T3 */
	{ CONN_XPT_UP, CONN_EV_LOGIN, CONN_IN_LOGIN }, /* T4 */
	{ CONN_IN_LOGIN, CONN_EV_LOGGED_IN, CONN_LOGGED_IN }, /* T5 */
	{ CONN_XPT_UP, CONN_EV_LOST, CONN_CLOSING }, /* T6 */
	{ CONN_IN_LOGIN, CONN_EV_LOST, CONN_CLOSING }, /* T7 */
	{ CONN_ESTABLISHING, CONN_EV_LOST, CONN_CLOSING }, /* T7 */
	{ CONN_LOGGED_IN, CONN_EV_CLOSE, CONN_CLOSING }, /* T8 */
	{ CONN_LOGGED_IN, CONN_EV_LOGOUT, CONN_IN_LOGOUT }, /* T9 */
	{ CONN_LOGOUT_REQUESTED, CONN_EV_LOGOUT, CONN_IN_LOGOUT }, /* T10 */
	{ CONN_LOGGED_IN, CONN_EV_ASK_LOGOUT, CONN_LOGOUT_REQUESTED }, /* T11 */
	{ CONN_LOGOUT_REQUESTED, CONN_EV_ASK_LOGOUT, CONN_LOGOUT_REQUESTED }, /* T12 */
	{ CONN_IN_LOGOUT, CONN_EV_LOGGED_OUT, CONN_CLOSING }, /* T13 */
	{ CONN_LOGGED_IN, CONN_EV_LOST, CONN_CLEANUP }, /* T15 */
	{ CONN_LOGOUT_REQUESTED, CONN_EV_LOST, CONN_CLEANUP }, /* T16 */
	{ CONN_IN_LOGOUT, CONN_EV_LOST, CONN_CLEANUP }, /* T17 */
	{ CONN_LOGOUT_REQUESTED, CONN_EV_CLOSE, CONN_CLOSING }, /* T18 */
	/* Ours. */
	{ CONN_XPT_UP, CONN_EV_MOVED, CONN_CLOSING }, /* - */
	{ CONN_IN_LOGIN, CONN_EV_WAIT, CONN_ESTABLISHING }, /* - */
	{ CONN_ESTABLISHING, CONN_EV_GO_ON, CONN_IN_LOGIN }, /* - */
	{ CONN_CLOSING, CONN_EV_CLOSED, CONN_FREE }, /* - */
	{ CONN_CLEANUP, CONN_EV_CLOSED, CONN_FREE }, /* - */
};

const struct machine connection_machine = {
	.rows = conn_rows,
	.count = array_size(conn_rows),
	.states = conn_states,
	.events = conn_events,
};

static const char *const cid_states[] = {
	[CID_CLEANUP_WAIT] = "CLEANUP_WAIT",
	[CID_IN_CLEANUP] = "IN_CLEANUP",
	[CID_FREE] = "FREE",
};

static const char *const cid_events[] = {
	[CID_EV_LOGOUT] = "LOGOUT",
	[CID_EV_LOGGED_OUT] = "LOGGED_OUT",
	[CID_EV_EXPIRED] = "EXPIRED",
};

static const struct transition cid_rows[] = {
	{ CID_CLEANUP_WAIT, CID_EV_EXPIRED, CID_FREE }, /* M1 */
	{ CID_CLEANUP_WAIT, CID_EV_LOGOUT, CID_IN_CLEANUP }, /* M2 */
	{ CID_IN_CLEANUP, CID_EV_LOGGED_OUT, CID_FREE }, /* M4 */
};

const struct machine cid_machine = {
	.rows = cid_rows,
	.count = array_size(cid_rows),
	.states = cid_states,
	.events = cid_events,
};
