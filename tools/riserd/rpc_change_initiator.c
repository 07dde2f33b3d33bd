// SPDX-License-Identifier: BSD-2-Clause
/* initiator.set, initiator.delete: what an initiator finds at a target. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse_impl.h"
#include "rpc_change.h"

static const char *const initiator_names[] = { "luns",	    "readonly", "iops",
					       "bandwidth", "burst",	NULL };

/* The section that is meant. */
struct which {
	char target[300], who[300]; /* who: as it is written there, if it is there */
	char before
		[300]; /* the section that it shall stand in front of; "": where it belongs by itself */
	json_t *sections; /* of the target, as they run; borrowed, NULL: none */
	bool there;
};

/* --- Whom it is about */

static bool same_who(const struct initiator_rule *a, const struct initiator_rule *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->user, b->user) &&
	       a->by_address == b->by_address && a->from.bits == b->from.bits &&
	       !memcmp(a->from.address, b->from.address, sizeof(a->from.address));
}

/* How the section is written that is there already; NULL: there is none. */
static const char *find_section(const struct which *w, const struct initiator_rule *rule)
{
	struct initiator_rule other;
	const char *title;
	json_t *section;

	json_object_foreach(w->sections, title, section)
	{
		other = (struct initiator_rule){ .by_address = false };
		if (!config_who(title, &other) && same_who(rule, &other))
			return title;
	}
	return NULL;
}

/* Else names in lower case. */
static bool spell_who(struct which *w, const struct initiator_rule *rule, const char *text)
{
	const char *title = find_section(w, rule);

	w->there = title;
	if (title) {
		snprintf(w->who, sizeof(w->who), "%s", title);
		return true;
	}
	return tree_title("initiator", rule->name[0] ? rule->name : text, w->who, sizeof(w->who));
}

static enum rpc_status find(struct rpc_call *call, const json_t *params, struct which *w)
{
	const char *who = change_text(params, "who"), *takes;
	struct initiator_rule rule = { .by_address = false };

	if (!change_title(call, "target", change_text(params, "target"), w->target,
			  sizeof(w->target)))
		return RPC_USAGE;
	takes = config_who(who, &rule);
	if (takes)
		return rpc_fail(call, RPC_USAGE, who, takes, "initiator %.200s: it takes %s", who,
				takes);
	if (!change_find(call, "target", w->target))
		return rpc_fail(call, RPC_NOT_FOUND, w->target, "target.list has all targets",
				"there is no target %.200s", w->target);
	w->sections = json_object_get(change_find(call, "target", w->target), "initiator");
	if (spell_who(w, &rule, who))
		return RPC_OK;
	return rpc_fail(call, RPC_USAGE, who, "at most 255 bytes without control characters",
			"initiator %.200s: is too long, or has control characters", who);
}

static enum rpc_status find_before(struct rpc_call *call, const json_t *params, struct which *w)
{
	const char *text = change_text(params, "before"), *title;
	struct initiator_rule rule = { .by_address = false };

	if (!text)
		return RPC_OK;
	title = config_who(text, &rule) ? NULL : find_section(w, &rule);
	if (!title)
		return rpc_fail(call, RPC_NOT_FOUND, text,
				"target.show has the sections in their order",
				"%.200s has no section initiator %.200s to stand in front of",
				w->target, text);
	if (!strcmp(title, w->who))
		return rpc_fail(call, RPC_USAGE, text, NULL,
				"initiator %.200s cannot stand in front of itself", text);
	snprintf(w->before, sizeof(w->before), "%s", title);
	return RPC_OK;
}

static json_t *named(const struct which *w)
{
	return json_pack("{s:s, s:s}", "target", w->target, "who", w->who);
}

/* --- What it has */

/* No other word may get by: null is for the parser as if nothing were there. */
static bool check_keys(struct rpc_call *call, const json_t *section)
{
	const char *key, *near;
	const json_t *value;

	json_object_foreach((json_t *)section, key, value)
	{
		unsigned int i = 0;

		while (initiator_names[i] && strcmp(initiator_names[i], key) != 0)
			i++;
		if (initiator_names[i])
			continue;
		near = parse_nearest(key, initiator_names, array_size(initiator_names) - 1);
		rpc_fail(call, RPC_CONFIG_INVALID, key,
			 "there are luns, readonly, iops, bandwidth and burst",
			 "an initiator has no key '%.64s'%s%s%s", key, near ? "; is '" : "",
			 near ? near : "", near ? "' meant?" : "");
		return false;
	}
	return true;
}

/* "3" or "2-5": whether one of these LUNs is there. What is none of this the parser has to judge. */
static bool has_some(const json_t *luns, const char *word)
{
	unsigned long first, last;
	char number[16], *end;

	if (!isdigit((unsigned char)*word))
		return true;
	first = last = strtoul(word, &end, 10);
	if (*end == '-')
		last = strtoul(end + 1, &end, 10);
	if (*end || first > last || last >= TARGET_LUNS)
		return true;
	for (; first <= last; first++) {
		snprintf(number, sizeof(number), "%lu", first);
		if (json_object_get(luns, number))
			return true;
	}
	return false;
}

/* The first word of a key that names no LUN of the target; NULL: there is none. */
static const char *stray_lun(const json_t *luns, const json_t *value)
{
	const char *word = json_string_value(value);

	if (word)
		return has_some(luns, word) ? NULL : word;
	for (size_t i = 0; i < json_array_size(value); i++) {
		word = json_string_value(json_array_get(value, i));
		if (word && !has_some(luns, word))
			return word;
	}
	return NULL;
}

/* A slip of the finger, or a LUN that comes later. */
static enum rpc_status check_luns(struct rpc_call *call, const json_t *params,
				  const struct which *w, const json_t *section)
{
	const json_t *luns = json_object_get(change_find(call, "target", w->target), "lun");
	const char *stray = stray_lun(luns, json_object_get(section, "luns"));

	if (!stray)
		stray = stray_lun(luns, json_object_get(section, "readonly"));
	if (!stray || change_given(params, "force"))
		return RPC_OK;
	return rpc_fail(
		call, RPC_NOT_FOUND, w->target,
		"lun.list has all LUNs; --force (\"force\": true) takes one that comes later",
		"%.200s has no LUN %s", w->target, stray);
}

/* --- What it does to those who are logged in */

struct loss {
	const char *target;
	struct target_config before, after, own; /* own: the section that is set; else none */
	struct lun_set luns; /* that are there */
	unsigned int count; /* sessions that lose one which nobody has spoken of */
	char first[ISCSI_NAME_MAX + 1];
	unsigned int tsih, lun; /* of the first */
};

static struct nexus_rights rights_of(const struct target_config *target,
				     const struct session_info *s)
{
	return target_rights(target, s->initiator, &s->from, s->user);
}

static void look(const struct session_info *s, void *arg)
{
	struct nexus_rights before, after, own;
	unsigned int lun = 0;
	uint32_t lost = 0;
	struct loss *l = arg;

	if (!s->target || strcmp(s->target->name, l->target) != 0)
		return;
	own = rights_of(&l->own, s);
	if (lun_set_is_all(&own.sees))
		return;
	before = rights_of(&l->before, s);
	after = rights_of(&l->after, s);
	for (unsigned int i = 0; i < array_size(l->luns.bits) && !lost; i++, lun += 32)
		lost = l->luns.bits[i] & before.sees.bits[i] & ~after.sees.bits[i];
	if (!lost || l->count++)
		return;
	snprintf(l->first, sizeof(l->first), "%s", s->initiator);
	l->tsih = s->tsih;
	l->lun = lun - 32 + (unsigned int)__builtin_ctz(lost);
}

static void say_nothing(const struct complaint *c)
{
	(void)c;
}

/* A target that has these sections and is nothing else; NULL: they are not right, and whoever applies them
 * says why. */
static struct config *parse_sections(const struct rpc_call *call, const struct which *w,
				     const json_t *sections)
{
	const json_t *users = json_object_get(change_find(call, "target", w->target), "chap");
	json_t *tree = json_pack("{s:{s:{s:[s], s:O*, s:O*}}}", "target", w->target, "allow", "any",
				 "chap", users, "initiator", sections);
	struct config *config = tree ? config_parse_tree("initiators", tree, say_nothing) : NULL;

	json_decref(tree);
	return config;
}

static struct target_config with_rules(const struct config *c)
{
	const struct config_target *t = &c->targets[0];

	return (struct target_config){ .rules = t->rules,
				       .rule_count = t->rule_count,
				       .masked = t->masked };
}

static bool fits_everybody(const struct initiator_rule *rule)
{
	return !rule->name[0] && !rule->user[0] && !rule->by_address;
}

/* Those of whom no section speaks see all LUNs, or none, as soon as another one says which. */
static json_t *note_for_others(const struct which *w, const struct loss *l)
{
	if (l->before.masked == l->after.masked)
		return NULL;
	for (unsigned int i = 0; i < l->after.rule_count; i++) {
		if (fits_everybody(&l->after.rules[i]))
			return NULL;
	}
	return json_sprintf("initiators that no section of %s fits see %s", w->target,
			    l->after.masked ? "none of its LUNs" : "all its LUNs");
}

static void look_around(const struct rpc_call *call, const struct which *w, struct loss *l)
{
	json_t *luns = json_object_get(change_find(call, "target", w->target), "lun"), *lun;
	const char *number;

	json_object_foreach(luns, number, lun)
		lun_set_add(&l->luns, (unsigned int)strtoul(number, NULL, 10) % TARGET_LUNS);
	l->target = w->target;
	server_each_session(live_server(call->context->live), look, l);
}

/* *note: what the change means for everybody else, if it does; taken over by the caller. */
static enum rpc_status weigh(struct rpc_call *call, const json_t *params, const struct which *w,
			     const json_t *sections, bool sets, json_t **note)
{
	struct config *before = parse_sections(call, w, w->sections);
	struct config *after = parse_sections(call, w, sections);
	struct initiator_rule rule = { .by_address = false };
	struct loss l = { .count = 0 };

	if (before && after) {
		l.before = with_rules(before);
		l.after = with_rules(after);
		rule.rights = nexus_rights_all();
		l.own = (struct target_config){ .rules = &rule, .masked = true };
		/* A section that moves takes from those who are in none of their own, too. */
		l.own.rule_count = sets && !w->before[0] && !config_who(w->who, &rule);
		look_around(call, w, &l);
		*note = note_for_others(w, &l);
	}
	config_free(before);
	config_free(after);
	if (!l.count || change_given(params, "force"))
		return RPC_OK;
	return rpc_fail(
		call, RPC_BUSY, w->target,
		"give them a section of their own first; --force (\"force\": true) takes the "
		"LUNs away",
		"%u session%s would lose LUNs by it: %s, session %u, LUN %u%s", l.count,
		l.count > 1 ? "s" : "", l.first, l.tsih, l.lun, l.count > 1 ? ", and more" : "");
}

/* --- Doing it */

/* What the sections will be; section NULL: without it. NULL: no memory. */
static json_t *sections_after(const struct which *w, const json_t *section)
{
	json_t *sections = w->sections ? json_deep_copy(w->sections) : json_object();
	json_t *patch = json_object(), *tree;
	int err = sections && patch ? 0 : -1;

	json_object_set(patch, w->who, section ? (json_t *)section : json_null());
	tree = json_pack("{s:{s:{s:O}}}", "target", w->target, "initiator", sections);
	err |= !tree || tree_merge(sections, patch) || tree_place(tree) ? -1 : 0;
	if (!err && w->before[0])
		err = tree_move(sections, w->who, w->before);
	json_decref(patch);
	json_decref(tree);
	if (!err)
		return sections;
	json_decref(sections);
	return NULL;
}

/* With the section in front of what is wrong in it. */
static enum rpc_status in_its_place(struct rpc_call *call, const struct which *w,
				    enum rpc_status status)
{
	char what[sizeof(call->message)];

	if (status != RPC_CONFIG_INVALID)
		return status;
	snprintf(what, sizeof(what), "%s", call->message);
	return rpc_fail(call, status, w->target,
			strstr(what, "no chap") ? "user.add makes the user"
						: "riser.conf(5) has the keys",
			"%.120s initiator %.100s: %.280s", w->target, w->who, what);
}

/* What is saved says nothing of changes that are not to stay. NULL: call says why. */
static json_t *order_that_stays(struct rpc_call *call, const json_t *params, const struct which *w,
				const json_t *section, const json_t *sections)
{
	json_t *own, *after, *titles;
	struct which stays = *w;

	if (change_given(params, "runtime"))
		return tree_titles(sections);
	own = changes_persistent(call->context->changes);
	stays.sections = json_object_get(json_object_get(json_object_get(own, "target"), w->target),
					 "initiator");
	if (w->before[0] && !json_object_get(stays.sections, w->before)) {
		rpc_fail(
			call, RPC_USAGE, w->before, "repeat it with --runtime (\"runtime\": true)",
			"initiator %.200s is there until a restart, and what is saved cannot stand in "
			"front of it",
			w->before);
		json_decref(own);
		return NULL;
	}
	after = sections_after(&stays, section);
	titles = tree_titles(after);
	json_decref(after);
	json_decref(own);
	return titles;
}

/* section is taken; NULL: it goes. Where somebody has said how sections stand he says it of all of them. */
static enum rpc_status put(struct rpc_call *call, const json_t *params, const struct which *w,
			   json_t *section, const json_t *sections, json_t **result)
{
	const json_t *saved = json_object_get(changes_saved(call->context->changes), "target");
	bool ordered = json_object_get(json_object_get(saved, w->target), TREE_ORDER);
	json_t *target =
		json_pack("{s:{s:o}}", "initiator", w->who, section ? section : json_null());
	enum rpc_status status;
	json_t *patch, *more;
	char about[640];

	if (ordered || w->before[0]) {
		json_t *order = order_that_stays(call, params, w, section, sections);

		if (!order) {
			json_decref(target);
			return RPC_USAGE;
		}
		json_object_set_new(target, TREE_ORDER, order);
	}
	more = named(w);
	json_object_set_new(more, "order", tree_titles(sections));
	patch = json_pack("{s:{s:o}}", "target", w->target, target);
	snprintf(about, sizeof(about), "%s initiator %s", w->target, w->who);
	status = change_do_patch(call, params, patch, about, more, result);
	if (status != RPC_OK && !call->object[0])
		snprintf(call->object, sizeof(call->object), "%.255s", about);
	json_decref(patch);
	return status;
}

/* Who counts for nobody any more because of it; NULL: nobody. */
static json_t *note_for_hidden(const json_t *sections, const char *who)
{
	const json_t *section;
	const char *title, *hides;

	json_object_foreach((json_t *)sections, title, section)
	{
		hides = tree_hidden_by(sections, title);
		if (hides && !strcmp(hides, who))
			return json_sprintf(
				"it stands in front of initiator %s, which so counts for "
				"nobody",
				title);
	}
	return NULL;
}

/* section is taken; NULL: it goes. */
static enum rpc_status apply(struct rpc_call *call, const json_t *params, const struct which *w,
			     json_t *section, json_t **result)
{
	json_t *sections = sections_after(w, section), *note = NULL;
	const char *hidden = section ? tree_hidden_by(sections, w->who) : NULL;
	enum rpc_status status;

	status = sections ? weigh(call, params, w, sections, section, &note)
			  : rpc_fail(call, RPC_FAILED, NULL, NULL, "out of memory");
	if (status) {
		json_decref(section);
	} else {
		if (!note && section)
			note = note_for_hidden(sections, w->who);
		if (hidden && !note)
			note = json_sprintf("initiator %s stands in front of it, so that it counts "
					    "for nobody: put it there with --before (\"before\")",
					    hidden);
		status = in_its_place(call, w, put(call, params, w, section, sections, result));
		if (note && status == RPC_OK)
			json_object_set(*result, "note", note);
	}
	json_decref(note);
	json_decref(sections);
	return status;
}

static enum rpc_status set(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct which w = { .there = false };
	enum rpc_status status = find(call, params, &w);
	struct change_at at = { "target", w.target, "initiator", w.who };
	json_t *section;

	if (!status)
		status = find_before(call, params, &w);
	if (status)
		return status;
	section = json_object();
	if (!change_keys(call, params, initiator_names, section))
		status = RPC_USAGE;
	else if (!check_keys(call, section))
		status = RPC_CONFIG_INVALID;
	else
		status = check_luns(call, params, &w, section);
	if (!status && w.there && !json_object_size(section) && !w.before[0])
		status = rpc_fail(call, RPC_USAGE, w.who, "riser.conf(5) has the keys",
				  "initiator %.200s: nothing is to be set", w.who);
	if (status) {
		json_decref(section);
		return status;
	}
	if (!w.there) {
		json_object_set_new(section, TREE_PLACED, json_string("on"));
		change_cover(call, section, &at);
	}
	return apply(call, params, &w, section, result);
}

static enum rpc_status drop(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct which w = { .there = false };
	enum rpc_status status = find(call, params, &w);

	if (!status && w.there)
		return apply(call, params, &w, NULL, result);
	if (!status)
		status = rpc_fail(call, RPC_NOT_FOUND, w.who, "config.dump has all sections",
				  "%.200s has no section initiator %.200s", w.target, w.who);
	if (status == RPC_NOT_FOUND && change_given(params, "if_exists"))
		return change_idle(named(&w), result);
	return status;
}

#define WHERE                                                                       \
	{ "target", RPC_STRING, true, "its iSCSI name" },                           \
	{                                                                           \
		"who", RPC_STRING, true,                                            \
			"any, a name (with *), an address, a network, or user:NAME" \
	}
#define LAST(forced)                                                                              \
	{ "runtime", RPC_BOOLEAN, false, "not into the state file: it is gone after a restart" }, \
		{ "force", RPC_BOOLEAN, false, forced },                                          \
		{ "dry_run", RPC_BOOLEAN, false, "only say what would be different" },            \
	{                                                                                         \
		0                                                                                 \
	}

static const struct rpc_param set_params[] = {
	WHERE,
	{ "luns", RPC_STRINGS, false, "LUNs that it sees: \"0\", \"2-5\", all, none" },
	{ "readonly", RPC_STRINGS, false, "on, off, or LUNs that it may not write" },
	{ "iops", RPC_INTEGER, false, "commands per second" },
	{ "bandwidth", RPC_STRING, false, "bytes per second, like 100M" },
	{ "burst", RPC_STRING, false, "a time, like 500ms: for how long these may save up" },
	{ "options", RPC_OBJECT, false, "the same keys as in riser.conf(5)" },
	{ "unset", RPC_STRINGS, false, "keys that it shall not have any more" },
	{ "before", RPC_STRING, false, "the section of this one is the next behind it" },
	LAST("also LUNs that are not there yet, and when others lose LUNs by it"),
};
static const struct rpc_param delete_params[] = {
	WHERE,
	{ "if_exists", RPC_BOOLEAN, false, "no error when it is not there" },
	LAST("also when somebody who is logged in loses LUNs by it"),
};

extern const struct rpc_method rpc_change_initiator_methods[];
const struct rpc_method rpc_change_initiator_methods[] = {
	{ "initiator.set", "makes or changes what an initiator finds at a target", RPC_ADMIN,
	  RPC_MAIN, set_params, set },
	{ "initiator.delete", "takes the section of an initiator away", RPC_ADMIN, RPC_MAIN,
	  delete_params, drop },
	{ 0 },
};
