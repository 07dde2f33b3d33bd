// SPDX-License-Identifier: BSD-2-Clause
/*
 * The state file. Input: its text; when its checksum is wrong, its objects as a text of their own, so that
 * they are reached. Oracles: a tree or one reason; what was cleaned once is clean; what a patch makes, as
 * text, is a configuration or one complaint, and a configuration has this very tree; a difference with
 * itself is none; what people may see has no secret.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/riserd/parse.h"
#include "tools/riserd/state.h"
#include "tools/riserd/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                 \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), why[512] = "";
	json_t *objects, *json, *twice;
	uint64_t version = 0;

	/* Files of this machine are not its subject. */
	if (!text || size > 65536 || memmem(data, size, "-file", 5) ||
	    memmem(data, size, "_file", 5) || memmem(data, size, "credential", 10)) {
		free(text);
		return 0;
	}
	memcpy(text, data, size);
	text[size] = '\0';
	objects = state_parse(text, size, &version, why, sizeof(why));
	MUST(objects ? version > 0 : why[0] != '\0');
	if (!objects) {
		json = json_loadb(text, size, 0, NULL);
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
