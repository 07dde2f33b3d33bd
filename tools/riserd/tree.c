// SPDX-License-Identifier: BSD-2-Clause
/* Trees that are put together, see tree.h. */
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "options.h"

enum { DEPTH_MAX = 6, TEXT_MAX = 8192 };

/* --- Titles */

static bool portal_title(const char *title, char *out, size_t size)
{
	struct portal_address address;
	char text[64];

	if (!options_parse_address(title, &address))
		return false;
	address_format(&address.addr, text, sizeof(text));
	snprintf(out, size, "%s", text);
	return true;
}

static bool plain_title(const char *title, size_t most)
{
	for (const char *c = title; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	}
	return title[0] && strlen(title) <= most;
}

bool tree_title(const char *section, const char *title, char *out, size_t size)
{
	char name[ISCSI_NAME_MAX + 1];
	uint64_t number;

	out[0] = '\0';
	if (!strcmp(section, "portal"))
		return portal_title(title, out, size);
	if (!strcmp(section, "target")) {
		if (!name_normalize(title, strlen(title), name))
			return false;
		snprintf(out, size, "%s", name);
	} else if (!strcmp(section, "lun")) {
		if (!parse_number(title, TARGET_LUNS - 1, &number))
			return false;
		snprintf(out, size, "%u", (unsigned int)number);
	} else { /* chap, initiator */
		if (!plain_title(title, CHAP_NAME_MAX))
			return false;
		snprintf(out, size, "%s", title);
	}
	return true;
}

/* --- Cleaning */

static bool is_utf8(const char *text)
{
	json_t *value = json_string(text);

	json_decref(value);
	return value;
}

static json_t *clean(const json_t *in, const char *section, unsigned int depth, char *why,
		     size_t why_size);

static bool is_titled(const char *section)
{
	static const char *const titled[] = { "portal", "target", "lun", "chap", "initiator" };

	for (unsigned int i = 0; i < array_size(titled); i++) {
		if (!strcmp(section, titled[i]))
			return true;
	}
	return false;
}

static bool key_name(const char *key, char *out, size_t size)
{
	size_t len = strlen(key);

	if (!len || len >= size || key[0] < 'a' || key[0] > 'z')
		return false;
	for (size_t i = 0; i <= len; i++) {
		out[i] = key[i] == '_' ? '-' : key[i];
		if (out[i] && !strchr("abcdefghijklmnopqrstuvwxyz0123456789-", out[i]))
			return false;
	}
	return true;
}

/* section: whose titles these are; NULL: keys. */
static json_t *clean_object(const json_t *in, const char *section, unsigned int depth, char *why,
			    size_t why_size)
{
	json_t *out = json_object(), *value, *copy;
	char name[CHAP_NAME_MAX + 1];
	const char *key;

	json_object_foreach((json_t *)in, key, value)
	{
		bool good = section ? tree_title(section, key, name, sizeof(name)) && is_utf8(name)
				    : key_name(key, name, 64);

		copy = NULL;
		if (!good)
			snprintf(why, why_size, "%s%s'%.200s' cannot be the name of a %s",
				 section ? section : "", section ? ": " : "", key,
				 section ? section : "key");
		else if (section && !json_is_object(value) && !json_is_null(value))
			snprintf(why, why_size, "%s %.200s: is an object or null", section, name);
		else
			copy = clean(value, section ? NULL : name, depth + 1, why, why_size);
		if (!copy || !out || json_object_set_new(out, name, copy)) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

static json_t *clean_array(const json_t *in, const char *key, unsigned int depth, char *why,
			   size_t why_size)
{
	json_t *out = json_array();

	for (size_t i = 0; out && i < json_array_size(in); i++) {
		json_t *copy =
			json_is_object(json_array_get(in, i)) ||
					json_is_array(json_array_get(in, i)) ||
					json_is_null(json_array_get(in, i))
				? NULL
				: clean(json_array_get(in, i), key, depth + 1, why, why_size);

		if (copy && !json_array_append_new(out, copy))
			continue;
		if (!why[0])
			snprintf(why, why_size, "%s: a list has texts and numbers", key);
		json_decref(out);
		out = NULL;
	}
	return out;
}

static json_t *clean(const json_t *in, const char *key, unsigned int depth, char *why,
		     size_t why_size)
{
	char number[32];

	if (depth > DEPTH_MAX) {
		snprintf(why, why_size, "%s: is too deep", key ? key : "it");
		return NULL;
	}
	switch (json_typeof(in)) {
	case JSON_OBJECT:
		return clean_object(in, key && is_titled(key) ? key : NULL, depth, why, why_size);
	case JSON_ARRAY: return clean_array(in, key ? key : "it", depth, why, why_size);
	case JSON_STRING:
		if (json_string_length(in) <= TEXT_MAX &&
		    (!json_string_length(in) || plain_title(json_string_value(in), TEXT_MAX)) &&
		    is_utf8(json_string_value(in)))
			return json_string(json_string_value(in));
		snprintf(why, why_size, "%s: is no text (UTF-8) of at most %d bytes on one line",
			 key ? key : "it", TEXT_MAX);
		return NULL;
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(in));
		return json_string(number);
	case JSON_TRUE: return json_string("on");
	case JSON_FALSE: return json_string("off");
	case JSON_NULL: return json_null();
	case JSON_REAL: break;
	}
	snprintf(why, why_size, "%s: is no whole number", key ? key : "it");
	return NULL;
}

json_t *tree_clean(const json_t *in, char *why, size_t why_size)
{
	json_t *out;

	why[0] = '\0';
	if (!json_is_object(in)) {
		snprintf(why, why_size, "is no object");
		return NULL;
	}
	out = clean(in, NULL, 0, why, why_size);
	if (!out && !why[0])
		snprintf(why, why_size, "out of memory");
	return out;
}

/* --- Patches */

int tree_merge(json_t *tree, const json_t *patch)
{
	json_t *value, *old;
	const char *key;
	int err = 0;

	json_object_foreach((json_t *)patch, key, value)
	{
		old = json_object_get(tree, key);
		if (json_is_null(value)) {
			json_object_del(tree, key);
		} else if (!json_is_object(value)) {
			err |= json_object_set_new(tree, key, json_deep_copy(value));
		} else {
			if (!json_is_object(old)) {
				err |= json_object_set_new(tree, key, json_object());
				old = json_object_get(tree, key);
			}
			err |= !old || tree_merge(old, value) ? -1 : 0;
		}
	}
	return err ? -ENOMEM : 0;
}

static bool has_makers(const char *section)
{
	return !strcmp(section, "target") || !strcmp(section, "portal");
}

int tree_patch(json_t *tree, const json_t *patch, unsigned int *orphans)
{
	json_t *section, *object, *part;
	const char *name, *title;
	int err = 0;

	json_object_foreach((json_t *)patch, name, section)
	{
		if (!has_makers(name) || !json_is_object(section)) {
			part = json_pack("{s:O}", name, section);
			err |= !part || tree_merge(tree, part) ? -1 : 0;
			json_decref(part);
			continue;
		}
		json_object_foreach(section, title, object)
		{
			/* null takes the key away: nobody has made it then. */
			if (!json_is_null(object) &&
			    !json_is_string(json_object_get(object, TREE_CREATED)) &&
			    !json_object_get(json_object_get(tree, name), title)) {
				*orphans += 1;
				continue;
			}
			part = json_pack("{s:{s:O}}", name, title, object);
			err |= !part || tree_merge(tree, part) ? -1 : 0;
			json_decref(part);
		}
	}
	return err ? -ENOMEM : 0;
}

int tree_combine(json_t *first, const json_t *second)
{
	json_t *value, *old;
	const char *key;
	int err = 0;

	json_object_foreach((json_t *)second, key, value)
	{
		old = json_object_get(first, key);
		if (json_is_object(value) && json_is_object(old))
			err |= tree_combine(old, value);
		else
			err |= json_object_set_new(first, key, json_deep_copy(value));
	}
	return err ? -ENOMEM : 0;
}

int tree_put_lun(json_t *tree, const char *target, const char *number, json_t *lun)
{
	json_t *targets = json_object_get(tree, "target"),
	       *object = json_object_get(targets, target);
	json_t *luns = json_object_get(object, "lun"), *patch;
	int err;

	if (json_is_object(luns) && lun)
		return json_object_set(luns, number, lun) ? -ENOMEM : 0;
	if (lun) {
		patch = json_pack("{s:{s:{s:{s:O}}}}", "target", target, "lun", number, lun);
		err = patch ? tree_combine(tree, patch) : -ENOMEM;
		json_decref(patch);
		return err;
	}
	/* null says something, too: that one of below is gone. */
	json_object_del(luns, number);
	if (json_is_object(luns) && !json_object_size(luns))
		json_object_del(object, "lun");
	if (json_is_object(object) && !json_object_size(object))
		json_object_del(targets, target);
	return 0;
}

void tree_yield(json_t *patch, const json_t *newer)
{
	json_t *value, *old;
	const char *key;

	json_object_foreach((json_t *)newer, key, value)
	{
		old = json_object_get(patch, key);
		if (json_is_object(value) && json_is_object(old)) {
			tree_yield(old, value);
			if (!json_object_size(old))
				json_object_del(patch, key);
		} else if (old) {
			json_object_del(patch, key);
		}
	}
}

void tree_prune(json_t *patch, const json_t *base)
{
	const json_t *below;
	json_t *value;
	const char *key;
	void *next;

	json_object_foreach_safe(patch, next, key, value)
	{
		below = json_object_get(base, key);
		if (json_is_object(value)) {
			tree_prune(value, below);
			if (!json_object_size(value))
				json_object_del(patch, key);
		} else if (json_is_null(value) && !below) {
			json_object_del(patch, key);
		}
	}
}
