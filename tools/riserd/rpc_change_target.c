// SPDX-License-Identifier: BSD-2-Clause
/* target.create, set, delete; portal.create, set, delete. */
#include <stdio.h>
#include <string.h>

#include "rpc_change.h"

#define OPTIONS                                                                               \
	{                                                                                     \
		"options", RPC_OBJECT, false, "any other key of the section in riser.conf(5)" \
	}
#define UNSET                                                                       \
	{                                                                           \
		"unset", RPC_STRINGS, false, "keys that it shall not have any more" \
	}

/* What the two nouns have in common. */
struct noun {
	const char *section;
	const char *list; /* the method that has all of them */
	const char *const *keys;
};

static const char *const target_keys[] = { "alias", "allow", "portals", "redirect", NULL };
static const char *const portal_keys[] = { "transports", "tag",	     "access",
					   "preferred",	 "redirect", NULL };
static const struct noun target_noun = { "target", "target.list", target_keys };
static const struct noun portal_noun = { "portal", "portal.list", portal_keys };

static bool title_of(struct rpc_call *call, const json_t *params, const struct noun *noun,
		     char *title, size_t size)
{
	return change_title(call, noun->section, change_text(params, noun->section), title, size);
}

static json_t *named(const struct noun *noun, const char *title)
{
	return json_pack("{s:s}", noun->section, title);
}

static enum rpc_status not_there(struct rpc_call *call, const json_t *params,
				 const struct noun *noun, const char *title, json_t **result)
{
	char hint[64];

	if (change_given(params, "if_exists"))
		return change_idle(named(noun, title), result);
	snprintf(hint, sizeof(hint), "%s has all of them", noun->list);
	return rpc_fail(call, RPC_NOT_FOUND, title, hint, "there is no %s %.200s", noun->section,
			title);
}

/* CHAP users and LUNs of a target that is made. False: rpc_fail() was called. */
static bool add_parts(struct rpc_call *call, const json_t *params, json_t *object)
{
	static const char *const parts[] = { "luns", "chap" }, *const sections[] = { "lun",
										     "chap" };
	json_t *part, *cleaned, *whole;
	char why[256];

	for (unsigned int i = 0; i < 2; i++) {
		part = json_object_get(params, parts[i]);
		if (!part)
			continue;
		whole = json_pack("{s:O}", sections[i], part);
		cleaned = tree_clean(whole, why, sizeof(why));
		json_decref(whole);
		if (!cleaned) {
			rpc_fail(call, RPC_USAGE, parts[i], NULL, "%s: %s", parts[i], why);
			return false;
		}
		json_object_update(object, cleaned);
		json_decref(cleaned);
	}
	return true;
}

static enum rpc_status create(struct rpc_call *call, const json_t *params, const struct noun *noun,
			      json_t **result)
{
	struct change_at at = { .section = noun->section };
	char title[300];
	json_t *object;

	if (!title_of(call, params, noun, title, sizeof(title)))
		return RPC_USAGE;
	at.title = title;
	if (change_find(call, noun->section, title)) {
		if (change_given(params, "if_not_exists"))
			return change_idle(named(noun, title), result);
		return rpc_fail(call, RPC_EXISTS, title, "change it by set, or take another name",
				"there is a %s %.200s already", noun->section, title);
	}
	object = json_object();
	if (!change_keys(call, params, noun->keys, object) || !add_parts(call, params, object)) {
		json_decref(object);
		return RPC_USAGE;
	}
	json_object_set_new(object, TREE_CREATED, json_string("on"));
	change_cover(call, object, &at);
	return change_do(call, params, &at, object, named(noun, title), result);
}

static enum rpc_status set(struct rpc_call *call, const json_t *params, const struct noun *noun,
			   json_t **result)
{
	struct change_at at = { .section = noun->section };
	char title[300];
	json_t *object;

	if (!title_of(call, params, noun, title, sizeof(title)))
		return RPC_USAGE;
	at.title = title;
	if (!change_find(call, noun->section, title))
		return not_there(call, params, noun, title, result);
	object = json_object();
	if (!change_keys(call, params, noun->keys, object)) {
		json_decref(object);
		return RPC_USAGE;
	}
	if (!json_object_size(object)) {
		json_decref(object);
		return rpc_fail(call, RPC_USAGE, title, "riser.conf(5) has the keys",
				"%s %.200s: nothing is to be set", noun->section, title);
	}
	return change_do(call, params, &at, object, named(noun, title), result);
}

static enum rpc_status delete (struct rpc_call *call, const json_t *params, const struct noun *noun,
			       json_t **result) {
	struct change_at at = { .section = noun->section }; char title[300];

	if (!title_of(call, params, noun, title, sizeof(title))) return RPC_USAGE;
	at.title = title;
	if (!change_find(call, noun->section, title)) return not_there(call, params, noun, title,
								       result);
	return change_do(call, params, &at, NULL, named(noun, title), result);
}

/* --- Methods */

static enum rpc_status target_create(struct rpc_call *call, const json_t *params, json_t **result)
{
	return create(call, params, &target_noun, result);
}

static enum rpc_status target_set(struct rpc_call *call, const json_t *params, json_t **result)
{
	return set(call, params, &target_noun, result);
}

static enum rpc_status target_delete(struct rpc_call *call, const json_t *params, json_t **result)
{
	return delete (call, params, &target_noun, result);
}

static enum rpc_status portal_create(struct rpc_call *call, const json_t *params, json_t **result)
{
	return create(call, params, &portal_noun, result);
}

static enum rpc_status portal_set(struct rpc_call *call, const json_t *params, json_t **result)
{
	return set(call, params, &portal_noun, result);
}

static enum rpc_status portal_delete(struct rpc_call *call, const json_t *params, json_t **result)
{
	return delete (call, params, &portal_noun, result);
}

#define TARGET                                               \
	{                                                    \
		"target", RPC_STRING, true, "its iSCSI name" \
	}
#define TARGET_KEYS                                                                           \
	{ "alias", RPC_STRING, false, "what people call it" },                                \
		{ "allow", RPC_STRINGS, false, "who may log in: any, names, networks" },      \
		{ "portals", RPC_STRINGS, false, "addresses of the portals where it is" },    \
	{                                                                                     \
		"redirect", RPC_STRING, false, "where it is instead: ADDR[:PORT][,permanent]" \
	}
#define PORTAL                                                                            \
	{                                                                                 \
		"portal", RPC_STRING, true, "its address: ADDR, ADDR:PORT or [IPV6]:PORT" \
	}
#define PORTAL_KEYS                                                                       \
	{ "transports", RPC_STRING, false, "tcp, iser or all" },                          \
		{ "tag", RPC_INTEGER, false, "portal group, 1 to 65535" },                \
		{ "access", RPC_STRING, false, "state of access of the group" },          \
		{ "preferred", RPC_BOOLEAN, false, "initiators shall prefer the group" }, \
	{                                                                                 \
		"redirect", RPC_STRING, false, "where initiators are sent"                \
	}
#define IF_EXISTS                                                                \
	{                                                                        \
		"if_exists", RPC_BOOLEAN, false, "no error when it is not there" \
	}
#define IF_NOT_EXISTS                                                                    \
	{                                                                                \
		"if_not_exists", RPC_BOOLEAN, false, "no error when it is there already" \
	}

static const struct rpc_param target_create_params[] = {
	TARGET,
	TARGET_KEYS,
	{ "luns", RPC_OBJECT, false, "LUNs by their number: {\"0\": {\"path\": \"...\"}}" },
	{ "chap", RPC_OBJECT, false, "users: {\"alice\": {\"secret-file\": \"...\"}}" },
	OPTIONS,
	IF_NOT_EXISTS,
	CHANGE_PARAMS,
};
static const struct rpc_param target_set_params[] = { TARGET, TARGET_KEYS, OPTIONS,
						      UNSET,  IF_EXISTS,   CHANGE_PARAMS };
static const struct rpc_param target_delete_params[] = { TARGET, IF_EXISTS, CHANGE_PARAMS };
static const struct rpc_param portal_create_params[] = { PORTAL, PORTAL_KEYS, OPTIONS,
							 IF_NOT_EXISTS, CHANGE_PARAMS };
static const struct rpc_param portal_set_params[] = { PORTAL, PORTAL_KEYS, OPTIONS,
						      UNSET,  IF_EXISTS,   CHANGE_PARAMS };
static const struct rpc_param portal_delete_params[] = { PORTAL, IF_EXISTS, CHANGE_PARAMS };

extern const struct rpc_method rpc_change_target_methods[];
const struct rpc_method rpc_change_target_methods[] = {
	{ "target.create", "a target more", RPC_ADMIN, RPC_MAIN, target_create_params,
	  target_create },
	{ "target.set", "changes a target", RPC_ADMIN, RPC_MAIN, target_set_params, target_set },
	{ "target.delete", "takes a target away, with its LUNs", RPC_ADMIN, RPC_MAIN,
	  target_delete_params, target_delete },
	{ "portal.create", "an address more to listen on", RPC_ADMIN, RPC_MAIN,
	  portal_create_params, portal_create },
	{ "portal.set", "changes a portal", RPC_ADMIN, RPC_MAIN, portal_set_params, portal_set },
	{ "portal.delete", "listens there no more", RPC_ADMIN, RPC_MAIN, portal_delete_params,
	  portal_delete },
	{ 0 },
};
