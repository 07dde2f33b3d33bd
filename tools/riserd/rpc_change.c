// SPDX-License-Identifier: BSD-2-Clause
/* Parameters become patches, see rpc_change.h. */
#include "rpc_change.h"

#include <stdio.h>
#include <string.h>

const char *change_text(const json_t *params, const char *name)
{
	return json_string_value(json_object_get(params, name));
}

bool change_given(const json_t *params, const char *name)
{
	return json_is_true(json_object_get(params, name));
}

unsigned int change_flags(const json_t *params)
{
	return (change_given(params, "runtime") ? CHANGE_RUNTIME : 0) |
	       (change_given(params, "force") ? CHANGE_FORCE : 0) |
	       (change_given(params, "dry_run") ? CHANGE_DRY_RUN : 0);
}

bool change_title(struct rpc_call *call, const char *section, const char *text, char *out,
		  size_t size)
{
	static const struct {
		const char *section, *takes;
	} kinds[] = {
		{ "target", "an iSCSI name like iqn.2026-11.com.example:disk1" },
		{ "portal", "ADDR, ADDR:PORT or [IPV6]:PORT" },
		{ "chap", "a name of 1 to 255 bytes without control characters" },
	};

	if (tree_title(section, text, out, size))
		return true;
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(kinds[i].section, section))
			rpc_fail(call, RPC_USAGE, text, kinds[i].takes, "%s %.200s: it takes %s",
				 strcmp(section, "chap") ? section : "user", text, kinds[i].takes);
	}
	return false;
}

json_t *change_find(const struct rpc_call *call, const char *section, const char *title)
{
	const json_t *now = changes_now(call->context->changes);

	return json_object_get(json_object_get(now, section), title);
}

json_t *change_find_lun(const struct rpc_call *call, const char *target, unsigned int lun)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", lun);
	return json_object_get(json_object_get(change_find(call, "target", target), "lun"), number);
}

static const json_t *find_in(const json_t *tree, const struct change_at *at)
{
	const json_t *object = json_object_get(tree, at->section);

	object = at->title ? json_object_get(object, at->title) : object;
	return at->inner ? json_object_get(json_object_get(object, at->inner), at->name) : object;
}

/* --- Keys */

/* "block_size" is block-size. */
static void key_of(const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s", name);
	for (char *c = out; *c; c++)
		*c = *c == '_' ? '-' : *c;
}

static bool unset(struct rpc_call *call, const json_t *names, json_t *object)
{
	char key[64];

	for (size_t i = 0; i < json_array_size(names); i++) {
		key_of(json_string_value(json_array_get(names, i)), key, sizeof(key));
		if (json_object_get(object, key)) {
			rpc_fail(call, RPC_USAGE, key, "set it or unset it",
				 "%s is to be set and to be unset", key);
			return false;
		}
		json_object_set_new(object, key, json_null());
	}
	return true;
}

bool change_keys(struct rpc_call *call, const json_t *params, const char *const *names,
		 json_t *object)
{
	const json_t *options = json_object_get(params, "options");
	json_t *value, *cleaned;
	char why[256], key[64];
	const char *name;

	for (; *names; names++) {
		value = json_object_get(params, *names);
		key_of(*names, key, sizeof(key));
		if (value)
			json_object_set(object, key, value);
	}
	json_object_foreach((json_t *)options, name, value)
	{
		key_of(name, key, sizeof(key));
		if (json_is_object(value) || json_object_get(object, key)) {
			rpc_fail(call, RPC_USAGE, name, "riser.conf(5) has the keys",
				 json_is_object(value) ? "option %.64s: is no key with a value"
						       : "option %.64s: is given twice",
				 name);
			return false;
		}
		json_object_set(object, key, value);
	}
	if (!unset(call, json_object_get(params, "unset"), object))
		return false;
	cleaned = tree_clean(object, why, sizeof(why));
	if (cleaned && json_object_get(cleaned, TREE_ORDER)) {
		snprintf(why, sizeof(why), "there is no key %s: initiator.set has before",
			 TREE_ORDER);
		json_decref(cleaned);
		cleaned = NULL;
	}
	if (!cleaned) {
		rpc_fail(call, RPC_USAGE, NULL, "riser.conf(5) has the keys", "%s", why);
		return false;
	}
	json_object_clear(object);
	json_object_update(object, cleaned);
	json_decref(cleaned);
	return true;
}

/* And what is in it: a user or a LUN that it does not name must not come along. */
static void cover(json_t *object, const json_t *below)
{
	json_t *value, *over;
	const char *key;

	json_object_foreach((json_t *)below, key, value)
	{
		over = json_object_get(object, key);
		if (!over)
			json_object_set_new_nocheck(object, key, json_null());
		else if (json_is_object(over) && json_is_object(value))
			cover(over, value);
	}
}

void change_cover(const struct rpc_call *call, json_t *object, const struct change_at *at)
{
	cover(object, find_in(changes_base(call->context->changes), at));
	cover(object, find_in(changes_saved(call->context->changes), at));
}

/* --- Doing it */

enum rpc_status change_failed(struct rpc_call *call, const struct change_failure *f)
{
	return rpc_fail(call, f->status, f->object[0] ? f->object : NULL,
			f->hint[0] ? f->hint : NULL, "%s", f->message);
}

static void tell(const struct rpc_call *call, const char *about)
{
	struct event e = { .type = EVENT_CONFIG, .lun = -1 };

	snprintf(e.reason, sizeof(e.reason), "%s", call->method);
	snprintf(e.text, sizeof(e.text), "%s: %.200s", call->method, about);
	events_tell(call->context->events, &e);
}

enum rpc_status change_do_patch(struct rpc_call *call, const json_t *params, const json_t *patch,
				const char *about, json_t *more, json_t **result)
{
	struct changes *changes = call->context->changes;
	struct change_failure failure;
	unsigned int flags = change_flags(params);
	json_t *diff = NULL;
	bool ok = changes_apply(changes, patch, flags, &diff, &failure), changed;

	if (!ok && failure.status != RPC_PARTLY) {
		json_decref(diff);
		json_decref(more);
		return change_failed(call, &failure);
	}
	changed = json_array_size(diff) && !(flags & CHANGE_DRY_RUN);
	if (changed)
		tell(call, about);
	*result = more ? more : json_object();
	json_object_set_new(*result, "changed", json_boolean(changed));
	json_object_set_new(*result, "differences",
			    json_integer((json_int_t)json_array_size(diff)));
	if (flags & CHANGE_DRY_RUN || json_array_size(diff) <= CHANGE_ROWS)
		json_object_set(*result, "diff", diff);
	json_decref(diff);
	return ok ? RPC_OK : change_failed(call, &failure);
}

enum rpc_status change_do(struct rpc_call *call, const json_t *params, const struct change_at *at,
			  json_t *object, json_t *more, json_t **result)
{
	json_t *patch = object ? object : json_null();
	enum rpc_status status;
	char about[600];

	if (at->inner)
		patch = json_pack("{s:{s:o}}", at->inner, at->name, patch);
	patch = at->title ? json_pack("{s:{s:o}}", at->section, at->title, patch)
			  : json_pack("{s:o}", at->section, patch);
	snprintf(about, sizeof(about), "%s%s%s%s%s", at->title ? at->title : at->section,
		 at->inner ? " " : "", at->inner ? at->inner : "", at->inner ? " " : "",
		 at->inner ? at->name : "");
	status = change_do_patch(call, params, patch, about, more, result);
	if (status != RPC_OK && !call->object[0])
		snprintf(call->object, sizeof(call->object), "%.255s", about);
	json_decref(patch);
	return status;
}

enum rpc_status change_idle(json_t *more, json_t **result)
{
	*result = more ? more : json_object();
	json_object_set_new(*result, "changed", json_false());
	json_object_set_new(*result, "diff", json_array());
	return RPC_OK;
}
