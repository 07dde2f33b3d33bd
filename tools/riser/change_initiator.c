// SPDX-License-Identifier: BSD-2-Clause
/* riser initiator set, delete: what an initiator finds at a target */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "client.h"
#include "commands.h"
#include "out.h"
#include "show.h"

/* The value of a key that is a list, "luns=0,2-5"; NULL: it is none, or it is to be taken away. */
static const char *list_of(const char *pair, char *key, size_t size)
{
	static const char *const lists[] = { "luns", "readonly" };

	for (unsigned int i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		size_t len = strlen(lists[i]);

		if (strncmp(pair, lists[i], len) != 0 || pair[len] != '=' || !pair[len + 1])
			continue;
		snprintf(key, size, "%s", lists[i]);
		return pair + len + 1;
	}
	return NULL;
}

static enum status take_pair(const struct riser *r, json_t *params, const char *pair)
{
	char key[16];
	const char *at = list_of(pair, key, sizeof(key));
	json_t *list;

	if (!at)
		return change_pair(r, params, pair);
	if (json_object_get(params, key))
		return fail(r, STATUS_USAGE, key, NULL, "%s is given twice", key);
	list = json_array();
	for (; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		json_array_append_new(list, json_stringn(at, strcspn(at, ",")));
	json_object_set_new(params, key, list);
	return STATUS_OK;
}

static enum status change(struct riser *r, const struct args *a, const char *done)
{
	json_t *params = args_params(r, a);
	enum status status = STATUS_OK;
	char what[1024];

	for (unsigned int i = 2; i < args_operands(a) && !status; i++)
		status = take_pair(r, params, args_operand(a, i));
	if (status) {
		json_decref(params);
		return status;
	}
	snprintf(what, sizeof(what), "%.500s initiator %.500s", args_operand(a, 0),
		 args_operand(a, 1));
	return change_call(r, a, params, done, what);
}

static enum status run_set(struct riser *r, const struct args *a)
{
	return change(r, a, "set");
}

static enum status run_delete(struct riser *r, const struct args *a)
{
	return change(r, a, "deleted");
}

/* --- What there is */

static void limits_cell(struct table *t, const json_t *o)
{
	int64_t iops = member_number(o, "iops"), bandwidth = member_number(o, "bandwidth");
	const char *comma = iops > 0 && bandwidth > 0 ? ", " : "";

	table_cell(t, "%s%s%s%s%s", iops > 0 ? human_count((double)iops) : "",
		   iops > 0 ? " IOPS" : "", comma,
		   bandwidth > 0 ? human_size((uint64_t)bandwidth) : "", bandwidth > 0 ? "/s" : "");
}

void show_rules(const struct riser *r, const json_t *rules)
{
	struct table *t = table_new(">ORDER|INITIATOR|LUNS|READ-ONLY|LIMITS");
	const json_t *o;

	each_member(rules, o) {
		char *luns = joined_all(json_object_get(o, "luns"));
		char *readonly = joined_all(json_object_get(o, "readonly"));

		table_cell(t, "%zu", o_i + 1);
		table_cell(t, "%s", member_text(o, "who"));
		table_cell(t, "%s", luns && *luns ? luns : "none");
		table_cell(t, "%s", readonly ? readonly : "");
		limits_cell(t, o);
		free(luns);
		free(readonly);
	}
	table_print(r, t);
	table_free(t);
}

static enum status run_order(struct riser *r, const struct args *a)
{
	json_t *target;
	enum status status = client_call(r, "target.show", args_params(r, a), &target);
	const json_t *rules;

	if (status)
		return status;
	rules = json_object_get(target, "initiators");
	if (r->json)
		out_json(rules);
	else if (json_array_size(rules))
		show_rules(r, rules);
	else
		puts("there are none: every initiator that may log in sees all LUNs");
	json_decref(target);
	return STATUS_OK;
}

#define TARGET                                                           \
	{                                                                \
		.name = "TARGET", .kind = KIND_TARGET, .param = "target" \
	}
#define WHO                                                                          \
	{                                                                            \
		.name = "WHO", .kind = KIND_INITIATOR, .param = "who",               \
		.about = "any, a name (with *), an address, a network, or user:NAME" \
	}
#define LAST(forced)                                                        \
	{ .name = "runtime",                                                \
	  .param = "runtime",                                               \
	  .about = "not into the state file: it is gone after a restart" }, \
	{                                                                   \
		.name = "force", .param = "force", .about = (forced)        \
	}

const struct command initiator_change_commands[] = {
	{ .noun = "initiator",
	  .verb = "set",
	  .about = "Say which LUNs of a target an initiator sees and may write, and its limits",
	  .details =
		  "As a section initiator in riser.conf(5), which is made if it is not there: "
		  "behind the others, but in front of the first that would leave it nothing, or "
		  "where --before says: the first section that fits an initiator counts. As soon as "
		  "one has luns, initiators that none fits see no LUN.",
	  .operands = WORDS(TARGET, WHO,
			    { .name = "KEY=VALUE",
			      .kind = KIND_TEXT,
			      .flags = WORD_MANY | WORD_OR_OPTION,
			      .about = "luns=0,2-5 (all, none), readonly=on (off, 3), iops=5000, "
				       "bandwidth=100M, burst=10s; KEY= takes one away" }),
	  .options =
		  WORDS({ .name = "before",
			  .kind = KIND_INITIATOR,
			  .value = "WHO",
			  .param = "before",
			  .about = "put the section in front of this one, also if it is there" },
			LAST("also LUNs that are not there yet, and when others lose LUNs by it")),
	  .flags = COMMAND_CHANGES,
	  .method = "initiator.set",
	  .run = run_set },
	{ .noun = "initiator",
	  .verb = "order",
	  .about = "What initiators find at a target: of these the first that fits one counts",
	  .operands = WORDS(TARGET),
	  .run = run_order },
	{ .noun = "initiator",
	  .verb = "delete",
	  .about = "Take the section of an initiator away",
	  .operands = WORDS(TARGET, WHO),
	  .options = WORDS(IF_EXISTS, LAST("also when somebody who is logged in loses LUNs by it")),
	  .flags = COMMAND_CHANGES,
	  .method = "initiator.delete",
	  .run = run_delete },
	{ .noun = NULL },
};
