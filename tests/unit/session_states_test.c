// SPDX-License-Identifier: BSD-2-Clause
/* The state machines: their rows, their memory, and what connections and sessions do in them. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "session_connections_rig.h"

static const struct transition *find(const struct machine *m, uint8_t state, uint8_t event)
{
	return machine_find(m, state, event);
}

/* One row for a state and an event, names for all, and every state can be reached and left. */
static void tables_are_sound(void)
{
	static const struct {
		const struct machine *m;
		uint8_t first, last, states, events;
	} all[] = {
		{ &connection_machine, CONN_FREE, CONN_FREE, CONN_CLEANUP + 1, CONN_EV_CLOSED + 1 },
		{ &cid_machine, CID_CLEANUP_WAIT, CID_FREE, CID_FREE + 1, CID_EV_EXPIRED + 1 },
		{ &session_machine, SESSION_FREE, SESSION_FREE, SESSION_ENDING + 1,
		  SESSION_EV_GONE + 1 },
	};

	for (unsigned int t = 0; t < array_size(all); t++) {
		const struct machine *m = all[t].m;
		uint32_t entered = 1u << all[t].first, left = 1u << all[t].last;

		for (unsigned int i = 0; i < m->count; i++) {
			const struct transition *row = &m->rows[i];

			CU_ASSERT_FATAL(row->from < all[t].states && row->to < all[t].states);
			CU_ASSERT_FATAL(row->event < all[t].events);
			CU_ASSERT_PTR_EQUAL(find(m, row->from, row->event), row);
			entered |= 1u << row->to;
			left |= 1u << row->from;
		}
		CU_ASSERT_EQUAL(entered, (1u << all[t].states) - 1);
		CU_ASSERT_EQUAL(left, (1u << all[t].states) - 1);
		for (unsigned int i = 0; i < all[t].states; i++)
			CU_ASSERT_PTR_NOT_NULL(m->states[i]);
		for (unsigned int i = 0; i < all[t].events; i++)
			CU_ASSERT_PTR_NOT_NULL(m->events[i]);
	}
}

static void what_is_not_allowed(void)
{
	CU_ASSERT_PTR_NULL(find(&connection_machine, CONN_FREE, CONN_EV_LOGIN));
	CU_ASSERT_PTR_NULL(find(&connection_machine, CONN_LOGGED_IN, CONN_EV_LOGIN));
	CU_ASSERT_PTR_NULL(find(&connection_machine, CONN_CLOSING, CONN_EV_LOST));
	CU_ASSERT_PTR_NULL(find(&connection_machine, CONN_LOGGED_IN, CONN_EV_MOVED));
	CU_ASSERT_PTR_NULL(find(&session_machine, SESSION_ENDING, SESSION_EV_CONTINUE));
	CU_ASSERT_PTR_NULL(find(&session_machine, SESSION_LOGGED_IN, SESSION_EV_TIMEOUT));
	CU_ASSERT_PTR_NULL(find(&cid_machine, CID_FREE, CID_EV_LOGOUT));
}

/* A bug of ours ends the daemon at once: not in silence, and not somewhere else. */
static void an_illegal_move_ends_it(void)
{
	struct history h = { 0 };
	struct rlimit none = { 0 };
	int status = 0;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		setrlimit(RLIMIT_CORE, &none);
		fclose(stderr);
		machine_next(&connection_machine, &h, CONN_FREE, CONN_EV_LOGGED_IN, 1);
		_exit(0);
	}
	CU_ASSERT_FATAL(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void history(void)
{
	struct history h = { 0 };
	char text[8192];
	uint8_t state = CONN_LOGGED_IN;

	CU_ASSERT_STRING_EQUAL(history_format(&connection_machine, &h, text, sizeof(text)), "");
	for (unsigned int i = 0; i < 3 * HISTORY_LEN + 5; i++)
		state = machine_next(&connection_machine, &h, state, CONN_EV_ASK_LOGOUT,
				     i * NSEC_PER_SEC / 2);
	CU_ASSERT_EQUAL(state, CONN_LOGOUT_REQUESTED);
	CU_ASSERT_EQUAL(h.count, 3 * HISTORY_LEN + 5);
	machine_next(&connection_machine, &h, state, CONN_EV_LOST,
		     (3 * HISTORY_LEN + 5) * NSEC_PER_SEC / 2);
	history_format(&connection_machine, &h, text, sizeof(text));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "0.000 ASK_LOGOUT: LOGOUT_REQUESTED > "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, ", 15.500 LOST: LOGOUT_REQUESTED > CLEANUP"));
	CU_ASSERT_STRING_EQUAL(text + strlen(text) - 7, "CLEANUP");
	for (size_t size = 1; size < 200; size++) { /* too little room */
		memset(text, 'x', sizeof(text));
		history_format(&connection_machine, &h, text, size);
		CU_ASSERT_EQUAL(strlen(text), size - 1);
		CU_ASSERT_EQUAL(text[size], 'x');
	}
}

static bool went(const struct machine *m, const struct history *h, const char *way)
{
	char text[2048], *at;

	history_format(m, h, text, sizeof(text));
	for (; *way; way += strlen(way) + 1) {
		at = strstr(text, way);
		if (!at)
			return false;
		memmove(text, at, strlen(at) + 1);
	}
	return true;
}

/* What the daemon's log would say. */
static void ways_through(void)
{
	struct world w;
	struct session *s;
	struct iconn *ic;

	begin(&w, "ram:1M", 1, LEVEL_2);
	s = session_in(&w);
	ic = iconn_of(&w.link[0]);
	CU_ASSERT_TRUE(went(&connection_machine, &ic->history,
			    "CONNECTED: FREE > XPT_UP\0LOGIN: XPT_UP > IN_LOGIN\0"
			    "LOGGED_IN: IN_LOGIN > LOGGED_IN\0"));
	CU_ASSERT_TRUE(went(&session_machine, &s->history,
			    "LOGIN: FREE > ACTIVE\0LOGGED_IN: ACTIVE > LOGGED_IN\0"));
	CU_ASSERT_EQUAL(join(&w, 1, 0, w.rig.r), LOGIN_SUCCESS); /* in its place */
	ic = iconn_of(&w.link[1]);
	CU_ASSERT_TRUE(went(&connection_machine, &ic->history,
			    "WAIT: IN_LOGIN > ESTABLISHING\0GO_ON: ESTABLISHING > IN_LOGIN\0"));
	leave(&w, 1);
	leave(&w, 0);
	pass(&w, 3);
	CU_ASSERT_EQUAL(join(&w, 2, 0, w.rig.r), LOGIN_SUCCESS);
	CU_ASSERT_TRUE(went(&session_machine, &s->history,
			    "FAILED: LOGGED_IN > FAILED\0CONTINUE: FAILED > IN_CONTINUE\0"
			    "LOGGED_IN: IN_CONTINUE > LOGGED_IN\0"));
	end(&w);
}

UNIT_MAIN(TEST(tables_are_sound), TEST(what_is_not_allowed), TEST(an_illegal_move_ends_it),
	  TEST(history), TEST(ways_through));
