// SPDX-License-Identifier: BSD-2-Clause
/* Where sections of initiators stand that commands have made. The first that fits an initiator counts, so one
 * behind "any" would be there in vain. */
#include <errno.h>
#include <string.h>

#include "parse.h"
#include "tree.h"

/* Whether whoever `other` is about is somebody that `rule` is about, too. A '*' of the other's name is a
 * character like any other here, which only a '*' stands for. */
static bool covers(struct initiator_rule *rule, const struct initiator_rule *other)
{
	const struct target_config only = { .rules = rule, .rule_count = 1, .masked = true };
	struct nexus_rights rights;

	rule->rights = nexus_rights_all();
	rights = target_rights(&only, other->name, &other->from,
			       other->user[0] ? other->user : NULL);
	return lun_set_has(&rights.sees, 0);
}

const char *tree_hidden_by(const json_t *sections, const char *title)
{
	struct initiator_rule rule = { .by_address = false }, other;
	const json_t *value;
	const char *name;

	if (config_who(title, &rule))
		return NULL;
	json_object_foreach((json_t *)sections, name, value)
	{
		if (!strcmp(name, title))
			return NULL;
		other = (struct initiator_rule){ .by_address = false };
		if (!config_who(name, &other) && covers(&other, &rule))
			return name;
	}
	return NULL;
}

int tree_move(json_t *sections, const char *title, const char *before)
{
	json_t *moved = json_object(), *value;
	int err = moved ? 0 : -ENOMEM;
	const char *name;

	json_object_foreach(sections, name, value)
	{
		if (!strcmp(name, before))
			err |= json_object_set_nocheck(moved, title,
						       json_object_get(sections, title));
		if (strcmp(name, title) != 0)
			err |= json_object_set_nocheck(moved, name, value);
	}
	if (!err) {
		json_object_clear(sections);
		err = json_object_update(sections, moved);
	}
	json_decref(moved);
	return err;
}

/* Takes the key out of all. A list of those that had it, in their order. */
static json_t *take_marks(json_t *sections)
{
	json_t *titles = json_array(), *section;
	const char *title;

	json_object_foreach(sections, title, section)
	{
		if (!json_object_get(section, TREE_PLACED))
			continue;
		json_object_del(section, TREE_PLACED);
		json_array_append_new(titles, json_string(title));
	}
	return titles;
}

json_t *tree_titles(const json_t *sections)
{
	json_t *titles = json_array();
	const json_t *section;
	const char *title;

	json_object_foreach((json_t *)sections, title, section)
		json_array_append_new(titles, json_string_nocheck(title));
	return titles;
}

static size_t place_of(const json_t *titles, const char *title)
{
	size_t i = 0;

	while (i < json_array_size(titles) &&
	       strcmp(json_string_value(json_array_get(titles, i)), title) != 0)
		i++;
	return i;
}

static bool has(const json_t *titles, const char *title)
{
	return place_of(titles, title) < json_array_size(titles);
}

/* What the list has and is there, without those it names twice; their marks go. */
static json_t *those_there(json_t *sections, const json_t *order)
{
	json_t *titles = json_array();

	for (size_t i = 0; i < json_array_size(order); i++) {
		const char *title = json_string_value(json_array_get(order, i));
		json_t *section = title ? json_object_get(sections, title) : NULL;

		if (!section || has(titles, title))
			continue;
		json_object_del(section, TREE_PLACED);
		json_array_append_new(titles, json_string_nocheck(title));
	}
	return titles;
}

static int sort(json_t *sections, const json_t *order)
{
	json_t *titles = those_there(sections, order), *sorted = json_object(), *section;
	int err = titles && sorted ? 0 : -ENOMEM;
	size_t behind = 0, here;
	const char *title;

	/* Those that commands make come last, and are placed then. One that is new in the file stands behind
	 * all that it has before it, or what they keep for some would be open to more. */
	json_object_foreach(sections, title, section)
	{
		size_t at =
			json_object_get(section, TREE_PLACED) ? json_array_size(titles) : behind;

		if (!has(titles, title))
			err |= json_array_insert_new(titles, at, json_string_nocheck(title));
		here = place_of(titles, title) + 1;
		behind = here > behind ? here : behind;
	}
	for (size_t i = 0; i < json_array_size(titles) && !err; i++) {
		title = json_string_value(json_array_get(titles, i));
		err = json_object_set_nocheck(sorted, title, json_object_get(sections, title));
	}
	if (!err) {
		json_object_clear(sections);
		err = json_object_update(sections, sorted);
	}
	json_decref(sorted);
	json_decref(titles);
	return err;
}

static int place(json_t *sections)
{
	json_t *titles = take_marks(sections);
	const char *title, *before;
	int err = titles ? 0 : -ENOMEM;

	for (size_t i = 0; i < json_array_size(titles) && !err; i++) {
		title = json_string_value(json_array_get(titles, i));
		before = tree_hidden_by(sections, title);
		err = before ? tree_move(sections, title, before) : 0;
	}
	json_decref(titles);
	return err;
}

int tree_place(json_t *tree)
{
	json_t *target, *sections, *order;
	const char *name;
	int err = 0;

	json_object_foreach(json_object_get(tree, "target"), name, target)
	{
		sections = json_object_get(target, "initiator");
		order = json_incref(json_object_get(target, TREE_ORDER));
		json_object_del(target, TREE_ORDER);
		if (json_is_object(sections) && json_is_array(order))
			err |= sort(sections, order);
		if (json_is_object(sections))
			err |= place(sections);
		json_decref(order);
	}
	return err ? -ENOMEM : 0;
}
