// SPDX-License-Identifier: BSD-2-Clause
/*
 * The state file. Input: its text; when its checksum is wrong, its objects as a text of their own, so that
 * they are reached; or an array of such objects and changes of LUNs, [target, lun, value], of which lines are
 * made. Oracles: a tree or one reason; what was cleaned once is clean; what a patch makes, as text, is a
 * configuration or one complaint, and a configuration has this very tree; a difference with itself is none;
 * what people may see has no secret; a file of lines has what the changes make, and of one that ends anywhere
 * among them the complete lines count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/must.h"
#include "tools/riserd/parse.h"
#include "tools/riserd/state.h"
#include "tools/riserd/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int complaints;

static void count(const struct complaint *c)
{
	MUST(c->text && c->text[0]);
	complaints++;
}

static void check_differences(const json_t *before, const json_t *after)
{
	json_t *none = tree_diff(after, after), *some = tree_diff(before, after);

	MUST(none && !json_array_size(none) && some);
	json_decref(none);
	json_decref(some);
}

/* Whatever commands have done, riserd reads its own text as it was meant. */
static void check_text(const json_t *tree)
{
	struct config *c;

	complaints = 0;
	c = config_parse_tree("state", tree, count);
	MUST(complaints == (c ? 0 : 1));
	config_free(c);
}

static void check_objects(const json_t *objects)
{
	json_t *base =
		json_loads("{\"portal\": {\"127.0.0.1:3260\": {}}, \"target\": "
			   "{\"iqn.2026-11.test:a\": {\"allow\": [\"any\"], \"lun\": {\"0\": "
			   "{\"path\": \"ram:1M\"}}}}}",
			   0, NULL);
	json_t *tree = json_deep_copy(base), *pruned = json_deep_copy(objects), *shown;
	unsigned int orphans = 0, again = 0;

	MUST(base && tree && pruned);
	MUST(!tree_patch(tree, objects, &orphans));
	MUST(!tree_place(tree));
	check_text(tree);
	check_differences(base, tree);
	shown = tree_public(tree);
	MUST(shown);
	json_decref(shown);
	/* What says nothing can go, and nothing is different. */
	tree_prune(pruned, base);
	shown = json_deep_copy(base);
	MUST(!tree_patch(shown, pruned, &again) && again <= orphans);
	json_decref(shown);
	MUST(!tree_combine(pruned, objects));
	tree_yield(pruned, objects);
	json_decref(pruned);
	json_decref(tree);
	json_decref(base);
}

/* --- Lines */

struct file {
	char *text;
	size_t len;
	unsigned int lines;
};

static void add_line(struct file *f, struct state_line *line)
{
	if (!line->len)
		return;
	MUST(!state_line_end(line));
	f->text = realloc(f->text, f->len + line->len + 1);
	MUST(f->text);
	memcpy(f->text + f->len, line->text, line->len + 1);
	f->len += line->len;
	f->lines++;
	line->len = 0;
}

/* Of as many lines as there are even numbers of changes, so that some have several. */
static bool add_changes(struct file *f, json_t *objects, const json_t *in)
{
	struct state_line line = { 0 };
	bool good = true;
	char why[512];

	for (size_t i = 1; i < json_array_size(in); i++) {
		const json_t *row = json_array_get(in, i);
		struct state_change c = { json_string_value(json_array_get(row, 0)),
					  json_string_value(json_array_get(row, 1)),
					  json_array_get(row, 2) };
		json_t *tree, *cleaned;

		if (!c.target || !c.lun)
			continue;
		tree = json_pack("{s:{s:{s:{s:O}}}}", "target", c.target, "lun", c.lun,
				 c.value ? c.value : json_null());
		cleaned = tree_clean(tree, why, sizeof(why));
		good &= cleaned && json_equal(cleaned, tree);
		MUST(!state_line_add(&line, 8 + f->lines, &c));
		MUST(!good || !tree_put_lun(objects, c.target, c.lun, (json_t *)c.value));
		json_decref(cleaned);
		json_decref(tree);
		if (i % 2)
			add_line(f, &line);
	}
	add_line(f, &line);
	state_line_free(&line);
	return good;
}

static void check_torn(struct file *f, size_t whole, size_t cut)
{
	char last = f->text[cut], why[512] = "";
	struct state_extent extent;
	unsigned int lines = 0;
	json_t *objects;

	f->text[cut] = '\0';
	objects = state_parse(f->text, cut, &extent, why, sizeof(why));
	f->text[cut] = last;
	for (size_t i = whole; i < cut; i++)
		lines += f->text[i] == '\n';
	MUST(objects && extent.version == 7 + lines && extent.whole == whole);
	MUST(extent.len <= cut && !extent.torn == (extent.len == cut));
	json_decref(objects);
}

static void check_lines(const json_t *in)
{
	char why[512] = "";
	json_t *objects = tree_clean(json_array_get(in, 0), why, sizeof(why)), *read;
	struct file f = { 0 };
	struct state_extent extent;
	size_t whole;
	bool good;

	if (!objects)
		return;
	f.text = state_format(objects, 7, &f.len);
	MUST(f.text);
	whole = f.len;
	good = add_changes(&f, objects, in);
	read = state_parse(f.text, f.len, &extent, why, sizeof(why));
	MUST(good ? read && json_equal(read, objects) : !read && why[0]);
	if (good) {
		MUST(extent.len == f.len && extent.version == 7 + f.lines && !extent.torn);
		for (size_t i = 0; i < 8; i++)
			check_torn(&f, whole, whole + (f.len - whole) * i / 8);
	}
	json_decref(read);
	json_decref(objects);
	free(f.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_extent extent;
	char *text = malloc(size + 1), why[512] = "";
	json_t *objects, *json, *twice;

	/* Files of this machine are not its subject. */
	if (!text || size > 65536 || memmem(data, size, "-file", 5) ||
	    memmem(data, size, "_file", 5) || memmem(data, size, "credential", 10)) {
		free(text);
		return 0;
	}
	memcpy(text, data, size);
	text[size] = '\0';
	objects = state_parse(text, size, &extent, why, sizeof(why));
	MUST(objects ? extent.version > 0 : why[0] != '\0');
	MUST(!objects || (extent.whole <= extent.len && extent.len <= size));
	if (!objects) {
		json = json_loadb(text, size, 0, NULL);
		if (json_is_array(json))
			check_lines(json);
		objects = json ? tree_clean(json, why, sizeof(why)) : NULL;
		json_decref(json);
	}
	free(text);
	if (!objects)
		return 0;
	twice = tree_clean(objects, why, sizeof(why));
	MUST(twice && json_equal(twice, objects));
	json_decref(twice);
	check_objects(objects);
	json_decref(objects);
	return 0;
}
