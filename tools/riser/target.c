// SPDX-License-Identifier: BSD-2-Clause
/* riser target list, show; riser lun list, show */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "out.h"
#include "show.h"

static void show_list(const struct riser *r, const char *name, const json_t *list)
{
	char *text = joined_all(list);

	show_line(r, name, "%s", text ? text : "");
	free(text);
}

static void show_target(struct riser *r, const json_t *t)
{
	show_line(r, "target", "%s", member_text(t, "name"));
	show_line(r, "alias", "%s", member_text(t, "alias"));
	show_list(r, "allow", json_object_get(t, "allow"));
	show_list(r, "chap users", json_object_get(t, "users"));
	show_list(r, "groups", json_object_get(t, "tags"));
	show_line(r, "redirect", "%s", member_text(t, "redirect"));
	show_line(r, "sessions", "%lld", (long long)member_number(t, "sessions"));
	show_line(r, "source", "%s", member_text(t, "source"));
}

static enum status run_target_show(struct riser *r, const struct args *a)
{
	json_t *t, *luns = NULL, *sessions = NULL;
	enum status status;

	status =
		client_call(r, "target.show", json_pack("{s:s}", "target", args_operand(a, 0)), &t);
	if (status)
		return status;
	if (args_flag(a, "quiet"))
		goto out;
	if (r->json) {
		out_json(t);
		goto out;
	}
	status =
		client_call(r, "lun.list", json_pack("{s:s}", "target", args_operand(a, 0)), &luns);
	if (!status)
		status = client_call(r, "session.list",
				     json_pack("{s:s}", "target", args_operand(a, 0)), &sessions);
	show_target(r, t);
	if (json_array_size(json_object_get(t, "initiators"))) {
		putchar('\n');
		show_rules(r, json_object_get(t, "initiators"));
	}
	if (json_array_size(luns)) {
		putchar('\n');
		show_luns(r, luns);
	}
	if (json_array_size(sessions)) {
		putchar('\n');
		show_sessions(r, sessions);
	}
out:
	json_decref(sessions);
	json_decref(luns);
	json_decref(t);
	return status;
}

static void show_value(const struct riser *r, const char *key, const json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		show_line(r, key, "%s", json_string_value(value));
	} else if (!json_is_null(value)) {
		text = json_dumps(value, JSON_ENCODE_ANY);
		show_line(r, key, "%s", text ? text : "");
		free(text);
	}
}

static void show_lun(const struct riser *r, const json_t *lun)
{
	uint64_t size = (uint64_t)member_number(lun, "size");
	const char *key, *option;
	json_t *value, *inner;

	json_object_foreach((json_t *)lun, key, value)
	{
		if (!strcmp(key, "size")) {
			show_line(r, key, "%s (%llu bytes)", human_size(size),
				  (unsigned long long)size);
		} else if (json_is_object(value)) {
			json_object_foreach(value, option, inner)
			{
				if (strcmp(option, "size") != 0)
					show_value(r, option, inner);
			}
		} else {
			show_value(r, key, value);
		}
	}
}

static enum status run_lun_show(struct riser *r, const struct args *a)
{
	const char *target = args_operand(a, 0), *lun = args_operand(a, 1);
	json_t *luns;
	const json_t *found;
	enum status status;

	status = client_call(r, "lun.list", json_pack("{s:s}", "target", target), &luns);
	if (status)
		return status;
	found = find_lun(luns, NULL, strtoll(lun, NULL, 10));
	if (!found)
		status = fail(r, STATUS_NOT_FOUND, target, "see 'riser lun list'",
			      "target %s has no LUN %s", target, lun);
	else if (r->json)
		out_json(found);
	else
		show_lun(r, found);
	json_decref(luns);
	return status;
}

const struct command target_commands[] = {
	{ .noun = "target",
	  .verb = "list",
	  .about = "All targets",
	  .method = "target.list",
	  .show = show_targets },
	{ .noun = "target",
	  .verb = "show",
	  .about = "All about one target, its LUNs and who is connected",
	  .operands = WORDS({ .name = "TARGET", .kind = KIND_TARGET }),
	  .options = WORDS({ .name = "quiet",
			     .letter = 'q',
			     .about = "say nothing: exit status 0 if it is served, 3 if "
				      "not, 7 if riserd is not running" }),
	  .run = run_target_show },
	{ .noun = NULL },
};

const struct command lun_commands[] = {
	{ .noun = "lun",
	  .verb = "list",
	  .about = "LUNs, of all targets or of one",
	  .operands = WORDS({ .name = "TARGET",
			      .kind = KIND_TARGET,
			      .param = "target",
			      .flags = WORD_OPTIONAL }),
	  .method = "lun.list",
	  .show = show_luns },
	{ .noun = "lun",
	  .verb = "show",
	  .about = "All about one LUN",
	  .operands = WORDS({ .name = "TARGET", .kind = KIND_TARGET },
			    { .name = "LUN", .kind = KIND_LUN }),
	  .run = run_lun_show },
	{ .noun = NULL },
};
