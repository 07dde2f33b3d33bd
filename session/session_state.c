// SPDX-License-Identifier: BSD-2-Clause
/*
 *         login            logged in              failed           continue
 *   FREE --N1--> ACTIVE ------N2------> LOGGED_IN --N5--> FAILED <--N8/N7--> IN_CONTINUE
 *    ^             |                     |    ^             |                     |
 *    +-----N9------+                  N3 N11  +-------------+---------N10---------+
 *    |                                   v                  N6
 *    +-------------------------------- ENDING <-------------+
 *
 * The RFC goes straight to Q1 where we go to ENDING.
 */
#include "session/session_state.h"

#include "core/list.h"

static const char *const states[] = {
	[SESSION_FREE] = "FREE",	   [SESSION_ACTIVE] = "ACTIVE",
	[SESSION_LOGGED_IN] = "LOGGED_IN", [SESSION_FAILED] = "FAILED",
	[SESSION_ENDING] = "ENDING",	   [SESSION_IN_CONTINUE] = "IN_CONTINUE",
};

static const char *const events[] = {
	[SESSION_EV_LOGIN] = "LOGIN",		[SESSION_EV_REFUSED] = "REFUSED",
	[SESSION_EV_LOGGED_IN] = "LOGGED_IN",	[SESSION_EV_CLOSED] = "CLOSED",
	[SESSION_EV_REINSTATED] = "REINSTATED", [SESSION_EV_FAILED] = "FAILED",
	[SESSION_EV_CONTINUE] = "CONTINUE",	[SESSION_EV_CONTINUE_FAILED] = "CONTINUE_FAILED",
	[SESSION_EV_TIMEOUT] = "TIMEOUT",	[SESSION_EV_GONE] = "GONE",
};

static const struct transition rows[] = {
	{ SESSION_FREE, SESSION_EV_LOGIN, SESSION_ACTIVE }, /* N1 */
	{ SESSION_ACTIVE, SESSION_EV_LOGGED_IN, SESSION_LOGGED_IN }, /* N2 */
	{ SESSION_LOGGED_IN, SESSION_EV_CLOSED, SESSION_ENDING }, /* N3 */
	{ SESSION_LOGGED_IN, SESSION_EV_FAILED, SESSION_FAILED }, /* N5 */
	{ SESSION_FAILED, SESSION_EV_TIMEOUT, SESSION_ENDING }, /* N6 */
	{ SESSION_FAILED, SESSION_EV_CONTINUE, SESSION_IN_CONTINUE }, /* N7 */
	{ SESSION_IN_CONTINUE, SESSION_EV_CONTINUE_FAILED, SESSION_FAILED }, /* N8 */
	{ SESSION_ACTIVE, SESSION_EV_REFUSED, SESSION_FREE }, /* N9 */
	{ SESSION_IN_CONTINUE, SESSION_EV_LOGGED_IN, SESSION_LOGGED_IN }, /* N10 */
	{ SESSION_LOGGED_IN, SESSION_EV_REINSTATED, SESSION_ENDING }, /* N11 */
	/* Ours. */
	{ SESSION_FAILED, SESSION_EV_REINSTATED, SESSION_ENDING }, /* N6 */
	{ SESSION_ENDING, SESSION_EV_GONE, SESSION_FREE }, /* - */
};

const struct machine session_machine = {
	.rows = rows,
	.count = array_size(rows),
	.states = states,
	.events = events,
};
