// SPDX-License-Identifier: BSD-2-Clause
/* config.check, diff, dump, apply. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc_change.h"

/* --- Looking */

static enum rpc_status check(struct rpc_call *call, const json_t *params, json_t **result)
{
	const char *text = change_text(params, "text"), *file = change_text(params, "file");
	struct change_failure failure;
	struct config *config;
	json_int_t luns = 0;

	if (!file)
		file = text ? "text" : changes_file(call->context->changes);
	if (!file)
		return rpc_fail(call, RPC_USAGE, NULL, "name a file, or send a text",
				"riserd was started without a configuration file");
	config = changes_parse(file, text, &failure);
	if (!config)
		return change_failed(call, &failure);
	for (unsigned int i = 0; i < config->target_count; i++)
		luns += config->targets[i].lun_count;
	*result = json_pack("{s:o, s:i, s:i, s:I}", "file", rpc_text(file), "targets",
			    (int)config->target_count, "portals", (int)config->portal_count, "luns",
			    luns);
	config_free(config);
	return RPC_OK;
}

/* What the file says by now and does not run; null without a file. */
static json_t *pending(struct rpc_call *call, json_t *out)
{
	const char *file = changes_file(call->context->changes);
	struct change_failure failure;
	struct config *config;
	json_t *diff;

	if (!file)
		return json_array();
	config = changes_parse(file, NULL, &failure);
	if (!config) {
		json_object_set_new(out, "file_error", rpc_text(failure.message));
		return json_array();
	}
	diff = tree_diff(changes_base(call->context->changes), config->tree);
	config_free(config);
	return diff;
}

static enum rpc_status diff(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct changes *changes = call->context->changes;
	json_t *persistent = changes_persistent(changes), *out = json_object();

	(void)params;
	if (!persistent || !out) {
		json_decref(persistent);
		json_decref(out);
		return rpc_fail(call, RPC_FAILED, NULL, NULL, "out of memory");
	}
	json_object_set_new(out, "file",
			    changes_file(changes) ? rpc_text(changes_file(changes)) : json_null());
	json_object_set_new(out, "state_file",
			    changes_state_file(changes) ? rpc_text(changes_state_file(changes))
							: json_null());
	json_object_set_new(out, "not_applied", pending(call, out));
	json_object_set_new(out, "state", tree_diff(changes_base(changes), persistent));
	json_object_set_new(out, "runtime", tree_diff(persistent, changes_now(changes)));
	json_decref(persistent);
	*result = out;
	return RPC_OK;
}

/* A secret that only the state file has cannot be in a text: a file's name stands for it. */
static bool name_secrets(json_t *object, const char *title)
{
	static const char *const keys[] = { "secret-hex", "mutual-secret-hex" };
	static const char *const files[] = { "secret-file", "mutual-secret-file" };
	bool any = false;
	char path[400];
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(object, next, key, value)
	{
		if (json_is_object(value))
			any |= name_secrets(value, key);
	}
	for (unsigned int i = 0; i < 2; i++) {
		if (!json_object_get(object, keys[i]))
			continue;
		snprintf(path, sizeof(path), "/etc/riser/secrets/%s%s", title, i ? ".mutual" : "");
		json_object_del(object, keys[i]);
		json_object_set_new(object, files[i], json_string_nocheck(path));
		any = true;
	}
	return any;
}

static const char dump_head[] = "# What riserd serves.\n";
static const char secrets_head[] =
	"# Secrets that commands have set are not in here: put them into files of these names.\n";

static json_t *dump_text(const json_t *now)
{
	json_t *tree = tree_hidden(now), *out = NULL;
	bool hidden = tree && name_secrets(tree, "");
	size_t len = 0;
	char *text = tree ? tree_to_text(tree, &len, NULL) : NULL;

	if (text)
		out = json_sprintf("%s%s%s", dump_head, hidden ? secrets_head : "", text);
	free(text);
	json_decref(tree);
	return out;
}

static enum rpc_status dump(struct rpc_call *call, const json_t *params, json_t **result)
{
	const json_t *now = changes_now(call->context->changes);
	const char *format = change_text(params, "format");
	bool json = format && !strcmp(format, "json");

	if (format && !json && strcmp(format, "conf") != 0)
		return rpc_fail(call, RPC_USAGE, format, NULL, "format %.64s: conf or json",
				format);
	*result = json ? json_pack("{s:s, s:o}", "format", "json", "tree", tree_public(now))
		       : json_pack("{s:s, s:o}", "format", "conf", "text", dump_text(now));
	return RPC_OK;
}

/* --- Applying */

static enum rpc_status reload(struct rpc_call *call, const json_t *params, json_t **result)
{
	struct rpc_context *x = call->context;
	unsigned int flags = change_flags(params);
	struct change_failure failure = { .status = RPC_OK };
	json_t *different = NULL;
	bool ok = changes_reload(x->changes, flags, &different, &failure);

	if (!(flags & CHANGE_DRY_RUN))
		rpc_reloaded(x, ok, ok ? "" : failure.message);
	if (!ok) {
		json_decref(different);
		return change_failed(call, &failure);
	}
	*result = json_pack(
		"{s:o, s:b, s:I, s:O}", "file",
		changes_file(x->changes) ? rpc_text(changes_file(x->changes)) : json_null(),
		"changed", json_array_size(different) && !(flags & CHANGE_DRY_RUN), "differences",
		(json_int_t)json_array_size(different), "diff", different);
	json_decref(different);
	return RPC_OK;
}

/* Portals that are there may be named in a text that does not say them. */
static json_t *with_portals(const struct rpc_call *call, const char *file, const char *text,
			    struct change_failure *failure)
{
	const json_t *portals = json_object_get(changes_now(call->context->changes), "portal");
	json_t *tree = json_pack("{s:O*}", "portal", portals), *out = NULL;
	struct config *config;
	char *first, *whole;
	size_t len = 0;
	const char *name;
	json_t *value;

	first = tree ? tree_to_text(tree, &len, NULL) : NULL;
	whole = malloc(len + strlen(text) + 1);
	json_decref(tree);
	if (first && whole) {
		/* In front of the first line, so that the others keep their numbers. */
		for (size_t i = 0; i < len; i++)
			whole[i] = first[i] == '\n' ? ' ' : first[i];
		memcpy(whole + len, text, strlen(text) + 1);
		config = changes_parse(file, whole, failure);
		out = config ? json_deep_copy(config->tree) : NULL;
		config_free(config);
	}
	free(first);
	free(whole);
	json_object_foreach((json_t *)portals, name, value)
		json_object_del(json_object_get(out, "portal"), name);
	return out;
}

/* The objects of a text, which need not be a whole configuration. */
static json_t *parse_objects(const struct rpc_call *call, const char *file, const char *text,
			     struct change_failure *failure)
{
	struct change_failure again = { .status = RPC_OK };
	struct config *config = changes_parse(file ? file : "text", text, failure);
	json_t *tree = config ? json_deep_copy(config->tree) : NULL, *cleaned;
	char why[256];

	config_free(config);
	if (!tree && text)
		tree = with_portals(call, file ? file : "text", text, &again);
	if (!tree)
		return NULL;
	/* What the state file could not give back does not get there. */
	cleaned = tree_clean(tree, why, sizeof(why));
	json_decref(tree);
	if (!cleaned)
		change_fail(failure, RPC_USAGE, NULL,
			    "put it into riserd's configuration file, which takes any bytes", "%s",
			    why);
	return cleaned;
}

/* Objects that are there are changed, others made; LUNs are as the text says, with no other keys. */
static void mark_new(const struct rpc_call *call, json_t *tree, const char *section)
{
	struct change_at at = { .section = section },
			 lun_at = { .section = section, .inner = "lun" };
	json_t *object, *lun, *value;
	const char *number, *key;

	json_object_foreach(json_object_get(tree, section), at.title, object)
	{
		bool there = change_find(call, section, at.title);

		if (!there) {
			json_object_set_new(object, TREE_CREATED, json_string("on"));
			change_cover(call, object, &at);
		}
		lun_at.title = at.title;
		json_object_foreach(json_object_get(object, "lun"), number, lun)
		{
			lun_at.name = number;
			change_cover(call, lun, &lun_at);
			json_object_foreach(
				change_find_lun(call, at.title,
						(unsigned int)strtoul(number, NULL, 10)),
				key, value)
			{
				if (!json_object_get(lun, key))
					json_object_set_new(lun, key, json_null());
			}
		}
	}
}

static bool objects_alone(const json_t *tree, const char **other)
{
	const json_t *value;

	json_object_foreach((json_t *)tree, *other, value)
	{
		if (strcmp(*other, "portal") && strcmp(*other, "target") &&
		    strcmp(*other, "discovery"))
			return false;
	}
	return true;
}

static enum rpc_status apply(struct rpc_call *call, const json_t *params, json_t **result)
{
	const char *text = change_text(params, "text"), *file = change_text(params, "file");
	struct change_failure failure = { .status = RPC_OK };
	enum rpc_status status;
	const char *other;
	json_t *tree;

	if (!text && !file)
		return reload(call, params, result);
	tree = parse_objects(call, file, text, &failure);
	if (!tree)
		return change_failed(call, &failure);
	if (!objects_alone(tree, &other)) {
		rpc_fail(call, RPC_USAGE, other,
			 "put it into riserd's configuration file; here are portals, targets and "
			 "discovery",
			 "%.64s: is a key of the whole daemon", other);
		json_decref(tree);
		return RPC_USAGE;
	}
	mark_new(call, tree, "target");
	mark_new(call, tree, "portal");
	status = change_do_patch(call, params, tree, file ? file : "text", NULL, result);
	json_decref(tree);
	return status;
}

#define TEXT                                                     \
	{                                                        \
		"text", RPC_STRING, false, "as in riser.conf(5)" \
	}
#define FILE_NAME                                                                       \
	{                                                                               \
		"file", RPC_STRING, false,                                              \
			"name of a file of riserd's host; of the text, if there is one" \
	}

static const struct rpc_param check_params[] = { TEXT, FILE_NAME, { 0 } };
static const struct rpc_param dump_params[] = {
	{ "format", RPC_STRING, false, "conf (the default) or json" },
	{ 0 },
};
static const struct rpc_param apply_params[] = { TEXT, FILE_NAME, CHANGE_PARAMS };

extern const struct rpc_method rpc_config_methods[];
const struct rpc_method rpc_config_methods[] = {
	{ "config.check", "whether a configuration is right; without parameters riserd's own file",
	  RPC_ADMIN, RPC_MAIN, check_params, check },
	{ "config.diff", "what the file says that does not run yet, and what was changed over it",
	  RPC_ADMIN, RPC_MAIN, NULL, diff },
	{ "config.dump", "what would make what runs", RPC_ADMIN, RPC_MAIN, dump_params, dump },
	{ "config.apply",
	  "reads the configuration file again; or makes and changes the objects of a text",
	  RPC_ADMIN, RPC_MAIN, apply_params, apply },
	{ 0 },
};
