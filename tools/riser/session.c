// SPDX-License-Identifier: BSD-2-Clause
/* riser session list, show, kick; riser initiator list, show, kick */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client.h"
#include "commands.h"
#include "out.h"
#include "show.h"

static void show_connections(const struct riser *r, const json_t *connections)
{
	struct table *t = table_new("CONNECTION|PEER|LOCAL|HEADER DIGEST|DATA DIGEST");
	const json_t *c;

	each_member(connections, c) {
		table_cell(t, "%lld", (long long)member_number(c, "cid"));
		table_cell(t, "%s", member_text(c, "peer"));
		table_cell(t, "%s", member_text(c, "local"));
		table_cell(t, "%s", member_true(c, "header_digest") ? "CRC32C" : "none");
		table_cell(t, "%s", member_true(c, "data_digest") ? "CRC32C" : "none");
	}
	putchar('\n');
	table_print(r, t);
	table_free(t);
}

static void show_session(struct riser *r, const json_t *s)
{
	const json_t *stats = json_object_get(s, "stats");
	const char *key;
	json_t *value;

	show_line(r, "session", "%s", member_text(s, "id"));
	show_line(r, "initiator", "%s", member_text(s, "initiator"));
	show_line(r, "target", "%s", member_text(s, "target"));
	show_line(r, "type", "%s", member_text(s, "type"));
	show_line(r, "isid", "%s", member_text(s, "isid"));
	show_line(r, "from", "%s", member_text(s, "from"));
	show_line(r, "over", "%s", member_text(s, "transport"));
	show_line(r, "chap user", "%s", member_text(s, "user"));
	show_line(r, "group", "%lld", (long long)member_number(s, "tag"));
	show_line(r, "since", "%s (%s)", member_text(s, "since"),
		  human_since(member_text(s, "since")));
	show_line(r, "recovery", "level %lld", (long long)member_number(s, "error_recovery_level"));
	show_line(r, "in flight", "%lld", (long long)member_number(s, "outstanding"));
	json_object_foreach((json_t *)stats, key, value)
		show_line(r, key, "%lld", (long long)json_integer_value(value));
	show_connections(r, json_object_get(s, "connections"));
}

/* --- kick --- */

static void show_kicked(struct riser *r, const json_t *result)
{
	const json_t *ended = json_object_get(result, "sessions"), *id;

	each_member(ended, id)
		printf("%s session %s\n", r->dry_run ? "would end" : "ended",
		       json_is_string(id) ? shown(json_string_value(id)) : "?");
}

static enum status kick(struct riser *r, const struct args *a, const char *key, const char *who)
{
	json_t *params = json_pack("{s:s}", key, who), *result;
	enum status status;

	if (args_flag(a, "force"))
		json_object_set_new(params, "force", json_true());
	if (r->dry_run)
		json_object_set_new(params, "dry_run", json_true());
	status = client_call(r, "session.kick", params, &result);
	if (status)
		return status;
	if (r->json)
		out_json(result);
	else
		show_kicked(r, result);
	json_decref(result);
	return STATUS_OK;
}

static enum status run_kick(struct riser *r, const struct args *a)
{
	static const char *const keys[] = { "target", "initiator" };
	const char *who = NULL;
	enum status status = STATUS_OK, one;
	unsigned int done = 0;

	for (unsigned int i = 0; (who = args_operand(a, i)); i++) {
		one = kick(r, a, "session", who);
		done += !one;
		status = one ? one : status;
	}
	for (unsigned int k = 0; k < 2; k++) {
		who = args_option(a, keys[k], 0);
		if (!who)
			continue;
		one = kick(r, a, keys[k], who);
		done += !one;
		status = one ? one : status;
	}
	if (!done && !status)
		return fail(r, STATUS_USAGE, NULL, "name sessions, or --target or --initiator",
			    "whom?");
	return status && done ? STATUS_PARTLY : status;
}

/* --- initiators --- */

static void show_initiators(struct riser *r, const json_t *initiators)
{
	struct table *t = table_new("INITIATOR|TARGET|FROM|>SESSIONS|>COMMANDS|>READ|>WRITTEN");
	const json_t *o;

	each_member(initiators, o) {
		const json_t *stats = json_object_get(o, "stats"), *f = json_object_get(o, "from");
		const json_t *sessions = json_object_get(o, "sessions");
		char *from = joined_all(f);

		table_cell(t, "%s", member_text(o, "initiator"));
		table_cell(t, "%s", member_text(o, "target"));
		table_cell(t, "%s", json_is_string(f) ? json_string_value(f) : from ? from : "");
		free(from);
		table_cell(t, "%lld",
			   json_is_array(sessions) ? (long long)json_array_size(sessions)
						   : (long long)json_integer_value(sessions));
		table_cell(t, "%s", human_count(member_real(stats, "commands")));
		table_cell(t, "%s", human_bytes(member_real(stats, "read_bytes")));
		table_cell(t, "%s", human_bytes(member_real(stats, "write_bytes")));
	}
	table_print(r, t);
	table_free(t);
}

static enum status run_initiator_show(struct riser *r, const struct args *a)
{
	const char *name = args_operand(a, 0);
	json_t *sessions, *own = json_array();
	const json_t *s;
	enum status status = client_call(r, "session.list", NULL, &sessions);

	if (status) {
		json_decref(own);
		return status;
	}
	each_member(sessions, s) {
		if (!strcasecmp(member_text(s, "initiator"), name))
			json_array_append(own, (json_t *)s);
	}
	if (!json_array_size(own))
		status = fail(r, STATUS_NOT_FOUND, name, "see 'riser initiator list'",
			      "initiator %s is not logged in", name);
	else if (r->json)
		out_json(own);
	else
		show_sessions(r, own);
	json_decref(own);
	json_decref(sessions);
	return status;
}

#define FORCE                                                             \
	{                                                                 \
		.name = "force", .param = "force",                        \
		.about = "also where commands in flight would be dropped" \
	}

const struct command session_commands[] = {
	{ .noun = "session",
	  .verb = "list",
	  .about = "Who is logged in, to all targets or to one",
	  .operands = WORDS({ .name = "TARGET",
			      .kind = KIND_TARGET,
			      .param = "target",
			      .flags = WORD_OPTIONAL }),
	  .method = "session.list",
	  .show = show_sessions },
	{ .noun = "session",
	  .verb = "show",
	  .about = "All about one session and its connections",
	  .operands = WORDS({ .name = "SESSION", .kind = KIND_SESSION, .param = "session" }),
	  .method = "session.show",
	  .show = show_session },
	{ .noun = "session",
	  .verb = "kick",
	  .about = "End sessions",
	  .details = "An initiator that is still allowed in will log in again at once.",
	  .operands = WORDS(
		  { .name = "SESSION", .kind = KIND_SESSION, .flags = WORD_OPTIONAL | WORD_MANY }),
	  .options = WORDS({ .name = "target",
			     .kind = KIND_TARGET,
			     .value = "TARGET",
			     .about = "all sessions to this target" },
			   { .name = "initiator",
			     .kind = KIND_INITIATOR,
			     .value = "IQN",
			     .about = "all sessions of this initiator" },
			   FORCE),
	  .flags = COMMAND_CHANGES,
	  .run = run_kick },
	{ .noun = NULL },
};

const struct command initiator_commands[] = {
	{ .noun = "initiator",
	  .verb = "list",
	  .about = "Initiators that are logged in",
	  .method = "initiator.list",
	  .show = show_initiators },
	{ .noun = "initiator",
	  .verb = "show",
	  .about = "The sessions of one initiator",
	  .operands = WORDS({ .name = "INITIATOR", .kind = KIND_INITIATOR }),
	  .run = run_initiator_show },
	{ .noun = "initiator",
	  .verb = "kick",
	  .about = "End all sessions of one initiator",
	  .operands = WORDS({ .name = "INITIATOR", .kind = KIND_INITIATOR, .param = "initiator" }),
	  .options = WORDS(FORCE),
	  .flags = COMMAND_CHANGES,
	  .method = "session.kick",
	  .show = show_kicked },
	{ .noun = NULL },
};
