// SPDX-License-Identifier: BSD-2-Clause
/* Trees for riserd to read, and for people: see tree.h. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "rpc.h"
#include "tree.h"

/* Grows by doubling, and leaves no secrets behind. */
struct text {
	char *at;
	size_t len, room;
	bool failed;
	json_t *secrets; /* borrowed; NULL: they stand in it */
};

static void add(struct text *t, const char *s, size_t len)
{
	if (t->failed)
		return;
	if (t->len + len + 1 > t->room) {
		size_t room = 2 * (t->len + len + 1) + 4096;
		char *grown = malloc(room);

		if (!grown) {
			t->failed = true;
			return;
		}
		if (t->at) {
			memcpy(grown, t->at, t->len);
			OPENSSL_cleanse(t->at, t->len);
		}
		free(t->at);
		t->at = grown;
		t->room = room;
	}
	memcpy(t->at + t->len, s, len);
	t->len += len;
	t->at[t->len] = '\0';
}

static void add_text(struct text *t, const char *s)
{
	add(t, s, strlen(s));
}

static bool is_utf8(const char *s)
{
	json_t *value = json_string(s);

	json_decref(value);
	return value;
}

/* What is not UTF-8 as text that is: in double quotes \xNN is a byte, and $ means something. */
static void add_bytes(struct text *t, const char *s)
{
	char byte[8];

	add_text(t, "\"");
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x20 && c < 0x7f && !strchr("\"\\$", c)) {
			add(t, s, 1);
			continue;
		}
		snprintf(byte, sizeof(byte), "\\x%02x", c);
		add_text(t, byte);
	}
	add_text(t, "\"");
}

/* In single quotes nothing but \ and ' means anything. */
static void add_quoted(struct text *t, const char *s)
{
	if (!is_utf8(s)) {
		add_bytes(t, s);
		return;
	}
	add_text(t, "'");
	while (*s) {
		size_t len = strcspn(s, "\\'");

		add(t, s, len);
		s += len;
		if (*s) {
			add_text(t, "\\");
			add(t, s++, 1);
		}
	}
	add_text(t, "'");
}

static void add_secret(struct text *t, const json_t *value)
{
	char place[24];

	snprintf(place, sizeof(place), "%zu", json_array_size(t->secrets));
	if (json_array_append(t->secrets, (json_t *)value))
		t->failed = true;
	add_text(t, place);
}

static void add_one(struct text *t, const char *key, const json_t *value)
{
	if (t->secrets && tree_is_secret(key))
		add_secret(t, value);
	else
		add_quoted(t, json_string_value(value));
}

static void add_value(struct text *t, const char *key, const json_t *value)
{
	if (json_is_string(value)) {
		add_one(t, key, value);
		return;
	}
	add_text(t, "{");
	for (size_t i = 0; i < json_array_size(value); i++) {
		add_text(t, i ? ", " : " ");
		add_one(t, key, json_array_get(value, i));
	}
	add_text(t, " }");
}

static void add_tabs(struct text *t, unsigned int depth)
{
	while (depth--)
		add_text(t, "\t");
}

static void add_object(struct text *t, const json_t *object, unsigned int depth);

static void add_section(struct text *t, const char *name, const char *title, const json_t *content,
			unsigned int depth)
{
	add_tabs(t, depth);
	add_text(t, name);
	if (title) {
		add_text(t, " ");
		add_quoted(t, title);
	}
	add_text(t, " {\n");
	add_object(t, content, depth + 1);
	add_tabs(t, depth);
	add_text(t, "}\n");
}

/* Sections with titles have objects alone; others have keys, or sections with titles. */
static bool is_titled(const char *name)
{
	return !strcmp(name, "portal") || !strcmp(name, "target") || !strcmp(name, "lun") ||
	       !strcmp(name, "chap") || !strcmp(name, "initiator");
}

static void add_sections(struct text *t, const char *name, const json_t *content,
			 unsigned int depth)
{
	const json_t *one;
	const char *title;

	if (!is_titled(name)) {
		add_section(t, name, NULL, content, depth);
		return;
	}
	json_object_foreach((json_t *)content, title, one) add_section(t, name, title, one, depth);
}

static void add_object(struct text *t, const json_t *object, unsigned int depth)
{
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)object, key, value)
	{
		if (json_is_object(value) || !strcmp(key, TREE_CREATED))
			continue;
		add_tabs(t, depth);
		add_text(t, key);
		add_text(t, " = ");
		add_value(t, key, value);
		add_text(t, "\n");
	}
	/* A target names portals that stand above it. */
	value = json_object_get(object, "portal");
	if (json_is_object(value))
		add_sections(t, "portal", value, depth);
	json_object_foreach((json_t *)object, key, value)
	{
		if (json_is_object(value) && strcmp(key, "portal") != 0)
			add_sections(t, key, value, depth);
	}
}

char *tree_to_text(const json_t *tree, size_t *len, json_t *secrets)
{
	struct text t = { .secrets = secrets };

	add_text(&t, "");
	add_object(&t, tree, 0);
	if (t.failed) {
		tree_wipe_text(t.at);
		return NULL;
	}
	*len = t.len;
	return t.at;
}

void tree_wipe_text(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

/* --- Secrets */

bool tree_is_secret(const char *key)
{
	return !strcmp(key, "secret-hex") || !strcmp(key, "mutual-secret-hex");
}

const json_t *tree_secret(const json_t *secrets, const char *place)
{
	uint64_t at;

	return parse_number(place, SIZE_MAX, &at) ? json_array_get(secrets, at) : NULL;
}

/* --- What people may see */

static void hide(json_t *object)
{
	json_t *value;
	const char *key;
	void *next;

	json_object_del(object, TREE_CREATED);
	json_object_foreach_safe(object, next, key, value)
	{
		if (json_is_object(value))
			hide(value);
		else if (tree_is_secret(key))
			json_object_set_new(object, key, json_string("(hidden)"));
	}
}

json_t *tree_hidden(const json_t *tree)
{
	json_t *copy = json_deep_copy(tree);

	if (copy)
		hide(copy);
	return copy;
}

/* A copy in which every text is UTF-8. */
static json_t *printable(const json_t *value)
{
	json_t *out, *name, *part;
	const char *key;

	if (json_is_string(value))
		return rpc_text(json_string_value(value));
	if (json_is_array(value)) {
		out = json_array();
		for (size_t i = 0; i < json_array_size(value); i++)
			json_array_append_new(out, printable(json_array_get(value, i)));
		return out;
	}
	if (!json_is_object(value))
		return json_deep_copy(value);
	out = json_object();
	json_object_foreach((json_t *)value, key, part)
	{
		name = rpc_text(key);
		if (name)
			json_object_set_new(out, json_string_value(name), printable(part));
		json_decref(name);
	}
	return out;
}

json_t *tree_public(const json_t *tree)
{
	json_t *hidden = tree_hidden(tree), *out = hidden ? printable(hidden) : NULL;

	json_decref(hidden);
	return out;
}

/* --- Differences */

/* What of it may be told. NULL: there is nothing, or no memory. */
static json_t *tell(const char *key, const json_t *value)
{
	if (!value)
		return NULL;
	if (json_is_object(value))
		return tree_public(value);
	return tree_is_secret(key) ? json_string("(hidden)") : printable(value);
}

static int report(json_t *out, const char *path, const char *key, const json_t *before,
		  const json_t *after)
{
	json_t *row = json_pack("{s:o}", "path", rpc_text(path));

	if (row && before)
		json_object_set_new(row, "before", tell(key, before));
	if (row && after)
		json_object_set_new(row, "after", tell(key, after));
	return json_array_append_new(out, row);
}

static int compare(json_t *out, const char *path, const json_t *before, const json_t *after);

/* The first section of an initiator that fits counts: whether those that both have stand in another order. */
static bool is_another_order(const json_t *before, const json_t *after)
{
	void *at = json_object_iter((json_t *)after);
	const json_t *section;
	const char *title;

	json_object_foreach((json_t *)before, title, section)
	{
		if (!json_object_get(after, title))
			continue;
		while (at && !json_object_get(before, json_object_iter_key(at)))
			at = json_object_iter_next((json_t *)after, at);
		if (!at || strcmp(json_object_iter_key(at), title) != 0)
			return true;
		at = json_object_iter_next((json_t *)after, at);
	}
	return false;
}

static int compare_order(json_t *out, const char *name, const json_t *before, const json_t *after)
{
	char longer[400];
	json_t *was, *is;
	int err;

	if (!is_another_order(before, after))
		return 0;
	was = tree_titles(before);
	is = tree_titles(after);
	snprintf(longer, sizeof(longer), "target %s initiator order", name);
	err = was && is ? report(out, longer, "order", was, is) : -1;
	json_decref(was);
	json_decref(is);
	return err;
}

static int compare_key(json_t *out, const char *path, const char *key, const json_t *before,
		       const json_t *after)
{
	char longer[1024];
	json_t *empty;
	int err = 0;

	snprintf(longer, sizeof(longer), "%s%s%s", path, path[0] ? " " : "", key);
	if (!strcmp(key, TREE_CREATED) || (before && after && json_equal(before, after)))
		return 0;
	if (!json_is_object(before ? before : after))
		return report(out, longer, key, before, after);
	/* A thing that comes or goes is one row, and what it has others. */
	empty = json_object();
	if (!before || !after) {
		bool plain = true;
		json_t *value;
		const char *name;

		json_object_foreach((json_t *)(before ? before : after), name, value) plain &=
			!json_is_object(value);
		if (plain)
			err = report(out, longer, key, before, after);
		else
			err = compare(out, longer, before ? before : empty, after ? after : empty);
	} else {
		err = compare(out, longer, before, after);
	}
	json_decref(empty);
	return err;
}

static int compare(json_t *out, const char *path, const json_t *before, const json_t *after)
{
	const json_t *value;
	const char *key;
	int err = 0;

	json_object_foreach((json_t *)before, key, value) err |=
		compare_key(out, path, key, value, json_object_get(after, key));
	json_object_foreach((json_t *)after, key, value)
	{
		if (!json_object_get(before, key))
			err |= compare_key(out, path, key, NULL, value);
	}
	return err;
}

/* Objects are equal for jansson whatever their order. */
static int compare_orders(json_t *out, const json_t *before, const json_t *after)
{
	const json_t *targets = json_object_get(after, "target"), *target;
	const char *name;
	int err = 0;

	json_object_foreach(json_object_get(before, "target"), name, target)
	{
		const json_t *was = json_object_get(target, "initiator");
		const json_t *is = json_object_get(json_object_get(targets, name), "initiator");

		if (was && is)
			err |= compare_order(out, name, was, is);
	}
	return err;
}

json_t *tree_diff(const json_t *before, const json_t *after)
{
	json_t *out = json_array();

	if (out && (compare(out, "", before, after) || compare_orders(out, before, after))) {
		json_decref(out);
		out = NULL;
	}
	return out;
}
