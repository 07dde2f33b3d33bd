// SPDX-License-Identifier: BSD-2-Clause
/* --mode connection and --mode session */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tgtadm.h"
#include "tools/riser/out.h"

static int show(struct tgt *t)
{
	const char *name = t->o.tid_text ? target_name(t) : NULL;
	json_t *sessions = NULL, *s, *c;
	int status;

	if (!name)
		return t->o.tid_text ? REFUSED : complain(t, "can't find the target");
	status = ask(t, "session.list", json_pack("{s:s}", "target", name), &sessions);
	each_member(sessions, s) {
		const json_t *connections = json_object_get(s, "connections");

		printf("Session: %" PRId64 "\n", member_number(s, "tsih"));
		each_member(connections, c) {
			const char *peer = member_text(c, "peer"), *colon = strrchr(peer, ':');
			bool six = peer[0] == '[';
			int len = colon ? (int)(colon - peer) : (int)strlen(peer);

			printf("    Connection: %" PRId64 "\n        Initiator: %s\n"
			       "        IP Address: %.*s\n",
			       member_number(c, "cid"), shown(member_text(s, "initiator")),
			       len - (six ? 2 : 0), shown(peer + six));
		}
	}
	json_decref(sessions);
	return status;
}

static bool is_there(const json_t *sessions, unsigned int sid)
{
	json_t *s;

	each_member(sessions, s) {
		if (member_number(s, "tsih") == (int64_t)sid)
			return true;
	}
	return false;
}

/* A session of riserd ends with all its connections. */
static int delete_connection(struct tgt *t)
{
	const char *name = target_name(t);
	json_t *sessions = NULL;
	char id[16];
	bool there;
	int status;

	if (!name)
		return REFUSED;
	if (!t->o.sid_text)
		return complain(t, "'sid' option is necessary");
	status = ask(t, "session.list", json_pack("{s:s}", "target", name), &sessions);
	if (status)
		return status;
	there = is_there(sessions, t->o.sid);
	json_decref(sessions);
	if (!there)
		return complain(t, "can't find the session");
	snprintf(id, sizeof(id), "%u", t->o.sid);
	status =
		ask(t, "session.kick", json_pack("{s:s, s:b}", "session", id, "force", true), NULL);
	memory_refresh(t);
	if (status)
		return status;
	json_object_set_new(memory_target(t, name), "closed", json_integer(time(NULL)));
	return memory_save(t) ? DONE : REFUSED;
}

const struct verb session_verbs[] = {
	{ "show", "connection", show },
	{ "delete", "connection", delete_connection },
	{ "delete", "session", delete_connection },
	{ 0 },
};
