// SPDX-License-Identifier: BSD-2-Clause
/*
 * --mode account. In tgt an account is made first and bound to targets then; riserd's users belong to a
 * target. So accounts are remembered, and become users when they are bound.
 */
#include <stdio.h>
#include <string.h>

#include "tgtadm.h"
#include "tools/riser/out.h"

static const char *user_of(struct tgt *t)
{
	if (!t->o.user)
		complain(t, "'user' option is necessary");
	return t->o.user;
}

int account_new(struct tgt *t)
{
	const char *user = user_of(t);

	if (!user)
		return REFUSED;
	if (!t->o.password)
		return complain(t, "'password' option is necessary");
	if (json_object_get(memory_accounts(t), user))
		return complain(t, "this account already exists");
	json_object_set_new(memory_accounts(t), user, json_string(t->o.password));
	return memory_save(t) ? DONE : REFUSED;
}

static bool has_user(const json_t *target, const char *user)
{
	const json_t *users = json_object_get(target, "users");
	json_t *u;

	each_member(users, u) {
		if (!strcmp(text_value(u), user))
			return true;
	}
	return false;
}

static int add_user(struct tgt *t, const char *name, const char *user)
{
	const char *outgoing = member_text(memory_target(t, name), "outgoing");
	json_t *params = json_pack("{s:s, s:s, s:O}", "target", name, "user", user, "secret",
				   json_object_get(memory_accounts(t), user));

	if (*outgoing) {
		json_object_set_new(params, "mutual", json_string(outgoing));
		json_object_set(params, "mutual_secret",
				json_object_get(memory_accounts(t), outgoing));
	}
	return change(t, "user.add", params, t->o.force, NULL);
}

static int remove_user(struct tgt *t, const char *name, const char *user)
{
	return change(t, "user.remove", json_pack("{s:s, s:s}", "target", name, "user", user), true,
		      NULL);
}

/* How we prove ourselves is said of each user. */
static int set_mutual(struct tgt *t, const char *name, const char *outgoing)
{
	json_t *users = json_deep_copy(json_object_get(find_target(t, name), "users")), *u;
	int status = DONE;

	each_member(users, u) {
		if (!status)
			status = change(t, "user.set",
					json_pack("{s:s, s:O, s:s, s:O}", "target", name, "user", u,
						  "mutual", outgoing, "mutual_secret",
						  json_object_get(memory_accounts(t), outgoing)),
					t->o.force, NULL);
	}
	json_decref(users);
	return status;
}

static int bind_outgoing(struct tgt *t, const char *name, const char *user)
{
	json_t *known = memory_target(t, name);
	int status;

	if (*member_text(known, "outgoing"))
		return complain(t, "this account already exists");
	json_object_set_new(known, "outgoing", json_string(user));
	status = set_mutual(t, name, user);
	if (status)
		json_object_del(known, "outgoing");
	return memory_save(t) ? status : REFUSED;
}

/* Without --tid: of discovery. */
static int bind_discovery(struct tgt *t, const char *user)
{
	if (t->o.outgoing)
		return complain(t,
				"invalid request: set it for a user of discovery: riser user set "
				"--discovery");
	return change(t, "user.add",
		      json_pack("{s:b, s:s, s:O}", "discovery", true, "user", user, "secret",
				json_object_get(memory_accounts(t), user)),
		      false, NULL);
}

int account_bind(struct tgt *t)
{
	const char *user = user_of(t), *name;

	if (!user)
		return REFUSED;
	if (!json_object_get(memory_accounts(t), user))
		return complain(t, "can't find the account");
	if (!t->o.tid_text)
		return bind_discovery(t, user);
	name = target_name(t);
	if (!name)
		return REFUSED;
	if (t->o.outgoing)
		return bind_outgoing(t, name, user);
	if (has_user(find_target(t, name), user))
		return complain(t, "this account already exists");
	return add_user(t, name, user);
}

static int account_unbind(struct tgt *t)
{
	const char *user = user_of(t), *name;
	json_t *known;

	if (user && !t->o.tid_text)
		return change(t, "user.remove",
			      json_pack("{s:b, s:s}", "discovery", true, "user", user), true, NULL);
	name = user ? target_name(t) : NULL;
	if (!name)
		return REFUSED;
	if (!t->o.outgoing)
		return has_user(find_target(t, name), user) ? remove_user(t, name, user)
							    : complain(t, "can't find the account");
	known = memory_target(t, name);
	if (strcmp(member_text(known, "outgoing"), user) != 0)
		return complain(t, "can't find the account");
	/* Users keep it until another one is bound: it is used only when an initiator asks for it. */
	json_object_del(known, "outgoing");
	return memory_save(t) ? DONE : REFUSED;
}

static int account_delete(struct tgt *t)
{
	const char *user = user_of(t), *name;
	json_t *known;
	int status = DONE;

	if (!user)
		return REFUSED;
	if (!json_object_get(memory_accounts(t), user))
		return complain(t, "can't find the account");
	json_object_foreach(json_object_get(t->memory, "targets"), name, known)
	{
		if (!status && has_user(find_target(t, name), user))
			status = remove_user(t, name, user);
	}
	if (status)
		return status;
	json_object_del(memory_accounts(t), user);
	return memory_save(t) ? DONE : REFUSED;
}

static int account_show(struct tgt *t)
{
	const char *user;
	json_t *secret;

	puts("Account list:");
	json_object_foreach(memory_accounts(t), user, secret)
	{
		printf("    %s\n", shown(user));
	}
	return DONE;
}

const struct verb account_verbs[] = {
	{ "new", "account", account_new },   { "delete", "account", account_delete },
	{ "bind", "account", account_bind }, { "unbind", "account", account_unbind },
	{ "show", "account", account_show }, { 0 },
};
