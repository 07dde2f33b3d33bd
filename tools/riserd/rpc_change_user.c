// SPDX-License-Identifier: BSD-2-Clause
/* user.list, add, set, remove: who proves what, to which target or at discovery. */
#include <stdio.h>
#include <string.h>

#include "rpc_change.h"
#include "secret.h"

/* Where the users are. */
struct where {
	char target[300], user[300]; /* target empty: discovery */
};

static json_t *users_of(const struct rpc_call *call, const struct where *w)
{
	const json_t *now = changes_now(call->context->changes);
	const json_t *of = w->target[0] ? change_find(call, "target", w->target)
					: json_object_get(now, "discovery");

	return json_object_get(of, "chap");
}

static enum rpc_status find(struct rpc_call *call, const json_t *params, struct where *w)
{
	const char *target = change_text(params, "target");

	if (!target == !change_given(params, "discovery"))
		return rpc_fail(call, RPC_USAGE, NULL, "name a target, or \"discovery\": true",
				"a user is one of a target or of discovery");
	if (target && !change_title(call, "target", target, w->target, sizeof(w->target)))
		return RPC_USAGE;
	if (!change_title(call, "chap", change_text(params, "user"), w->user, sizeof(w->user)))
		return RPC_USAGE;
	if (target && !change_find(call, "target", w->target))
		return rpc_fail(call, RPC_NOT_FOUND, w->target, "target.list has all targets",
				"there is no target %.200s", w->target);
	return RPC_OK;
}

static json_t *named(const struct where *w)
{
	return w->target[0] ? json_pack("{s:s, s:s}", "target", w->target, "user", w->user)
			    : json_pack("{s:b, s:s}", "discovery", 1, "user", w->user);
}

static void set_hex(json_t *object, const char *key, const char *secret)
{
	char text[2 * CHAP_SECRET_MAX + 1];

	for (size_t i = 0; secret[i]; i++)
		snprintf(text + 2 * i, 3, "%02x", (unsigned char)secret[i]);
	json_object_set_new(object, key, json_string(text));
	secret_wipe(text, sizeof(text));
}

/* The names of the parameters with the words of riser.conf(5). */
static void key_of(const char *prefix, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s%s", prefix, name);
	for (char *c = out; *c; c++)
		*c = *c == '_' ? '-' : *c;
}

/* Of one direction: at most one of the three. The others go, so that a secret can be replaced. */
static enum rpc_status take_secret(struct rpc_call *call, const json_t *params, const char *prefix,
				   json_t *object, bool *given)
{
	static const char *const kinds[] = { "secret", "secret_file", "credential" };
	static const char *const keys[] = { "secret-hex", "secret-file", "credential" };
	char name[64], key[64];
	unsigned int count = 0;
	const char *value;

	for (unsigned int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", prefix, kinds[i]);
		key_of(prefix, keys[i], key, sizeof(key));
		value = change_text(params, name);
		if (!value)
			continue;
		count++;
		if (!i && (strlen(value) < CHAP_SECRET_MIN || strlen(value) > CHAP_SECRET_MAX)) {
			return rpc_fail(call, RPC_CONFIG_INVALID, NULL, NULL,
					"%s: has %zu bytes, it must have %d to %d", name,
					strlen(value), CHAP_SECRET_MIN, CHAP_SECRET_MAX);
		}
		if (!i)
			set_hex(object, key, value);
		else
			json_object_set_new(object, key, json_string(value));
	}
	for (unsigned int i = 0; i < 3 && count; i++) {
		key_of(prefix, keys[i], key, sizeof(key));
		if (!json_object_get(object, key))
			json_object_set_new(object, key, json_null());
	}
	*given = count;
	if (count < 2)
		return RPC_OK;
	return rpc_fail(call, RPC_USAGE, NULL, NULL,
			"%ssecret, %ssecret_file and %scredential: one of them", prefix, prefix,
			prefix);
}

/* What the parameters say of the user: a new reference, when it returns RPC_OK. */
static enum rpc_status describe(struct rpc_call *call, const json_t *params, json_t **user,
				bool *secret)
{
	const char *mutual = change_text(params, "mutual");
	json_t *object = json_object();
	bool ours = false;
	enum rpc_status status = take_secret(call, params, "", object, secret);

	if (!status)
		status = take_secret(call, params, "mutual_", object, &ours);
	if (!status && mutual)
		json_object_set_new(object, "mutual", json_string(mutual));
	if (status)
		json_decref(object);
	else
		*user = object;
	return status;
}

static enum rpc_status apply(struct rpc_call *call, const json_t *params, const struct where *w,
			     json_t *user, json_t **result)
{
	struct change_at at = { "target", w->target, "chap", w->user };
	json_t *patch;
	enum rpc_status status;

	if (w->target[0])
		return change_do(call, params, &at, user, named(w), result);
	patch = json_pack("{s:{s:{s:o}}}", "discovery", "chap", w->user, user ? user : json_null());
	status = change_do_patch(call, params, patch, "discovery", named(w), result);
	json_decref(patch);
	return status;
}

static enum rpc_status add(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct change_at at = { "target", NULL, "chap", NULL };
	struct where w = { .target = "" };
	enum rpc_status status = find(call, params, &w);
	json_t *user;
	bool secret;

	if (status)
		return status;
	if (json_object_get(users_of(call, &w), w.user)) {
		if (change_given(params, "if_not_exists"))
			return change_idle(named(&w), result);
		return rpc_fail(call, RPC_EXISTS, w.user, "user.set gives another secret",
				"there is a user %.200s already", w.user);
	}
	status = describe(call, params, &user, &secret);
	if (status)
		return status;
	if (!secret) {
		json_decref(user);
		return rpc_fail(call, RPC_USAGE, w.user,
				"secret_file names a file of riserd's host",
				"user %.200s: has no secret", w.user);
	}
	at.name = w.user;
	if (w.target[0])
		at.title = w.target;
	else
		at.section = "discovery";
	change_cover(call, user, &at);
	return apply(call, params, &w, user, result);
}

static enum rpc_status set(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct where w = { .target = "" };
	enum rpc_status status = find(call, params, &w);
	json_t *user;
	bool secret;

	if (status)
		return status;
	if (!json_object_get(users_of(call, &w), w.user))
		return rpc_fail(call, RPC_NOT_FOUND, w.user, "user.list has all users",
				"there is no user %.200s", w.user);
	status = describe(call, params, &user, &secret);
	return status ? status : apply(call, params, &w, user, result);
}

static enum rpc_status drop(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct where w = { .target = "" };
	enum rpc_status status = find(call, params, &w);

	if (status)
		return status;
	if (json_object_get(users_of(call, &w), w.user))
		return apply(call, params, &w, NULL, result);
	if (change_given(params, "if_exists"))
		return change_idle(named(&w), result);
	return rpc_fail(call, RPC_NOT_FOUND, w.user, "user.list has all users",
			"there is no user %.200s", w.user);
}

static void list_users(json_t *out, const char *target, const json_t *chap)
{
	const json_t *user;
	const char *name;
	json_t *row;

	json_object_foreach((json_t *)chap, name, user)
	{
		row = json_pack("{s:o, s:b}", "user", rpc_text(name), "mutual",
				json_object_get(user, "mutual") != NULL);
		json_object_set_new(row, "target", target ? json_string(target) : json_null());
		json_array_append_new(out, row);
	}
}

static enum rpc_status list(struct rpc_call *call, const json_t *params, json_t **result)
{
	const json_t *now = changes_now(call->context->changes), *target;
	const char *name;

	(void)params;
	*result = json_array();
	json_object_foreach(json_object_get(now, "target"), name, target)
		list_users(*result, name, json_object_get(target, "chap"));
	list_users(*result, NULL, json_object_get(json_object_get(now, "discovery"), "chap"));
	return RPC_OK;
}

#define WHERE                                                                 \
	{ "target", RPC_STRING, false, "of this target" },                    \
		{ "discovery", RPC_BOOLEAN, false, "of discovery sessions" }, \
	{                                                                     \
		"user", RPC_STRING, true, "the name that he logs in with"     \
	}
#define SECRETS                                                                            \
	{ "secret", RPC_STRING, false, "12 to 255 bytes; it goes into the state file" },   \
		{ "secret_file", RPC_STRING, false, "file of riserd's host that has it" }, \
		{ "credential", RPC_STRING, false, "credential of systemd that has it" },  \
		{ "mutual", RPC_STRING, false, "as whom we prove ourselves to him" },      \
		{ "mutual_secret", RPC_STRING, false, "and by what" },                     \
		{ "mutual_secret_file", RPC_STRING, false, "or the file that has it" },    \
	{                                                                                  \
		"mutual_credential", RPC_STRING, false, "or the credential"                \
	}

static const struct rpc_param add_params[] = {
	WHERE,
	SECRETS,
	{ "if_not_exists", RPC_BOOLEAN, false, "no error when it is there already" },
	CHANGE_PARAMS,
};
static const struct rpc_param set_params[] = { WHERE, SECRETS, CHANGE_PARAMS };
static const struct rpc_param remove_params[] = {
	WHERE,
	{ "if_exists", RPC_BOOLEAN, false, "no error when it is not there" },
	CHANGE_PARAMS,
};

extern const struct rpc_method rpc_change_user_methods[];
const struct rpc_method rpc_change_user_methods[] = {
	{ "user.list", "users of all targets and of discovery, without secrets", RPC_MONITOR,
	  RPC_MAIN, NULL, list },
	{ "user.add", "somebody more who may log in", RPC_ADMIN, RPC_MAIN, add_params, add },
	{ "user.set", "gives a user another secret", RPC_ADMIN, RPC_MAIN, set_params, set },
	{ "user.remove", "somebody who may not log in any more", RPC_ADMIN, RPC_MAIN, remove_params,
	  drop },
	{ 0 },
};
