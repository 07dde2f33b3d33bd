// SPDX-License-Identifier: BSD-2-Clause
/* Trees that are patched, told and written as text, and the text of the file that keeps them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "riserd_json.h"
#include "tests/lib/unit.h"
#include "tools/riserd/parse.h"
#include "tools/riserd/state.h"
#include "tools/riserd/tree.h"

static char why[512];

/* --- Trees */

static void cleaning_takes_what_json_has(void)
{
	json_t *in = json(
		"{\"target\": {\"IQN.2026-11.test:A\": {\"lun\": {\"007\": {\"block_size\": 512,"
		" \"readonly\": true, \"serial\": null}}, \"allow\": [\"any\", 3]}},"
		" \"portal\": {\"192.0.2.1\": null}}");
	json_t *out = tree_clean(in, why, sizeof(why));

	CU_ASSERT_TRUE(same(out, json("{\"target\": {\"iqn.2026-11.test:a\": {\"lun\": {\"7\": "
				      "{\"block-size\": \"512\", \"readonly\": \"on\", \"serial\": "
				      "null}}, \"allow\": [\"any\", \"3\"]}}, \"portal\": "
				      "{\"192.0.2.1:3260\": null}}")));
	json_decref(in);
}

static void cleaning_refuses_the_rest(void)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "[]", "no object" },
		{ "{\"a b\": \"1\"}", "'a b'" },
		{ "{\"x } portal y {\": \"1\"}", "'x } portal y {'" },
		{ "{\"A\": \"1\"}", "'A'" },
		{ "{\"log\": \"a\\nb\"}", "log" },
		{ "{\"log\": 1.5}", "whole number" },
		{ "{\"allow\": [[\"a\"]]}", "allow" },
		{ "{\"allow\": [null]}", "allow" },
		{ "{\"target\": {\"disk\": {}}}", "'disk'" },
		{ "{\"target\": {\"iqn.2026-11.test:a\": \"x\"}}", "an object or null" },
		{ "{\"target\": {\"iqn.2026-11.test:a\": {\"lun\": {\"256\": {}}}}}", "'256'" },
		{ "{\"a\": {\"a\": {\"a\": {\"a\": {\"a\": {\"a\": {\"a\": {\"a\": {}}}}}}}}}",
		  "deep" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *in = json(rows[i].text);
		json_t *out = tree_clean(in, why, sizeof(why));

		CU_ASSERT_PTR_NULL(out);
		CU_ASSERT_PTR_NOT_NULL(strstr(why, rows[i].says));
		if (!strstr(why, rows[i].says))
			printf("# %s: %s\n", rows[i].text, why);
		json_decref(out);
		json_decref(in);
	}
}

static void a_patch_needs_what_it_changes(void)
{
	json_t *tree = json(
		"{\"target\": {\"a\": {\"alias\": \"x\", \"lun\": {\"0\": {\"path\": \"p\"}}}}}");
	json_t *patch =
		json("{\"target\": {\"a\": {\"alias\": null, \"lun\": {\"1\": {\"path\": \"q\"}}},"
		     " \"b\": {\"alias\": \"orphan\"}, \"c\": {\"created\": \"on\"}, \"d\": "
		     "{\"created\": null, \"alias\": \"orphan\"}}}");
	unsigned int orphans = 0;

	CU_ASSERT_EQUAL(tree_patch(tree, patch, &orphans), 0);
	CU_ASSERT_EQUAL(orphans, 2);
	CU_ASSERT_TRUE(
		same(tree, json("{\"target\": {\"a\": {\"lun\": {\"0\": {\"path\": \"p\"}, \"1\": "
				"{\"path\": \"q\"}}}, \"c\": {\"created\": \"on\"}}}")));
	json_decref(patch);
}

static void patches_are_put_together(void)
{
	json_t *first = json("{\"a\": {\"b\": \"1\", \"c\": null}, \"d\": \"2\"}");
	json_t *second = json("{\"a\": {\"c\": \"3\"}, \"d\": null}");
	json_t *base = json("{\"a\": {\"x\": \"0\"}}");

	CU_ASSERT_EQUAL(tree_combine(first, second), 0);
	CU_ASSERT_TRUE(json_is_null(json_object_get(first, "d")));
	tree_prune(first, base); /* there is no d to take away */
	CU_ASSERT_TRUE(same(json_incref(first), json("{\"a\": {\"b\": \"1\", \"c\": \"3\"}}")));
	tree_yield(first, second); /* of a.c somebody else has the last word */
	CU_ASSERT_TRUE(same(first, json("{\"a\": {\"b\": \"1\"}}")));
	json_decref(second);
	json_decref(base);
}

/* The titles of `sections`, in their order. */
static const char *order_of(const json_t *sections)
{
	static char text[512];
	const json_t *section;
	const char *title;

	text[0] = '\0';
	json_object_foreach((json_t *)sections, title, section)
	{
		size_t used = strlen(text);

		CU_ASSERT_PTR_NULL(json_object_get(section, TREE_PLACED));
		snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "", title);
	}
	return text;
}

/* "any +iqn...": titles, those with + have TREE_PLACED. */
static json_t *sections_of(const char *titles)
{
	json_t *sections = json_object();
	char copy[512], *rest = copy, *title;

	snprintf(copy, sizeof(copy), "%s", titles);
	while ((title = strsep(&rest, " "))) {
		json_t *section = json_object();

		if (*title == '+')
			json_object_set_new(section, TREE_PLACED, json_string("on"));
		json_object_set_new(sections, title + (*title == '+'), section);
	}
	return sections;
}

static void sections_stand_where_they_count(void)
{
#define A "iqn.2026-11.t:a"
#define B "iqn.2026-11.t:b"
	static const struct {
		const char *made, *order;
	} rows[] = {
		{ "any +" A, A " any" },
		{ "+any +" A " +user:bob", A " user:bob any" },
		{ B " +" A, B " " A },
		{ "+" B " " A " +any", B " " A " any" },
		{ "any " A, "any " A }, /* somebody has written it so */
		{ "iqn.*.t:* +iqn.* +" A "* +" A, A " " A "* iqn.*.t:* iqn.*" },
		{ A "* +iqn.*a +IQN.2026-11.T:AB", "IQN.2026-11.T:AB " A "* iqn.*a" },
		{ "10.0.0.0/8 +" A " +10.1.0.0/16 +11.0.0.1",
		  "10.1.0.0/16 10.0.0.0/8 " A " 11.0.0.1" },
		{ "::/0 +10.0.0.1 +user:bob", "10.0.0.1 user:bob ::/0" },
		{ "user:bob +user:al +nobody any", "user:bob user:al nobody any" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *sections = sections_of(rows[i].made);
		json_t *tree = json_pack("{s:{s:{s:o}}}", "target", "t", "initiator", sections);
		const char *order;

		CU_ASSERT_EQUAL(tree_place(tree), 0);
		order = order_of(sections);
		CU_ASSERT_STRING_EQUAL(order, rows[i].order);
		if (strcmp(order, rows[i].order) != 0)
			printf("# %s: %s\n", rows[i].made, order);
		json_decref(tree);
	}
}

/* A list of titles, blanks between them; "": a value that is none. */
static json_t *list_of(const char *titles)
{
	json_t *list = json_array();
	char copy[512], *rest = copy, *title;

	if (!*titles)
		return json_string("none");
	snprintf(copy, sizeof(copy), "%s", titles);
	while ((title = strsep(&rest, " ")))
		json_array_append_new(list, json_string(title));
	return list;
}

static void sections_stand_as_somebody_has_said(void)
{
	static const struct {
		const char *made, *list, *order;
	} rows[] = {
		{ "any " A " " B, B " any " A, B " any " A },
		{ "any " A " +" B, B " any",
		  B " any " A }, /* of those it names the mark means nothing */
		{ "any " A " +" B, A " gone any " A, A " " B " any" },
		{ "user:new any " A " user:old", A " any", "user:new " A " any user:old" },
		{ A " " B " any", B " " A, B " " A " any" }, /* the file's last stays so */
		{ A " any +user:bob", "any " A, "user:bob any " A },
		{ "any " A, "", "any " A },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *sections = sections_of(rows[i].made);
		json_t *tree = json_pack("{s:{s:{s:o, s:o}}}", "target", "t", "initiator", sections,
					 TREE_ORDER, list_of(rows[i].list));
		const char *order;

		CU_ASSERT_EQUAL(tree_place(tree), 0);
		order = order_of(sections);
		CU_ASSERT_STRING_EQUAL(order, rows[i].order);
		if (strcmp(order, rows[i].order) != 0)
			printf("# %s, %s: %s\n", rows[i].made, rows[i].list, order);
		CU_ASSERT_PTR_NULL(json_object_get(
			json_object_get(json_object_get(tree, "target"), "t"), TREE_ORDER));
		json_decref(tree);
	}
}

static void differences_have_no_secrets(void)
{
	json_t *a = json("{\"target\": {\"t\": {\"chap\": {\"u\": {\"secret-hex\": \"aa\"}}}}}");
	json_t *b = json("{\"target\": {\"t\": {\"chap\": {\"u\": {\"secret-hex\": \"bb\"}, \"v\": "
			 "{\"secret-hex\": \"cc\"}}, \"created\": \"on\"}}}");
	json_t *shown = tree_public(b), *diff = tree_diff(a, b);
	char *text = json_dumps(diff, 0), *tree = json_dumps(shown, 0);

	CU_ASSERT_EQUAL(json_array_size(diff), 2);
	CU_ASSERT_PTR_NULL(strstr(text, "aa"));
	CU_ASSERT_PTR_NULL(strstr(text, "bb"));
	CU_ASSERT_PTR_NULL(strstr(text, "cc"));
	CU_ASSERT_PTR_NULL(strstr(tree, "bb"));
	CU_ASSERT_PTR_NULL(strstr(tree, "created"));
	free(text);
	free(tree);
	json_decref(diff);
	json_decref(shown);
	json_decref(a);
	json_decref(b);
}

static void fails(const struct complaint *c)
{
	printf("# %s\n", c->text);
}

/* What a tree says, the configuration has, and its own tree is the same again. */
static void a_tree_is_read_as_it_is(void)
{
	static const char text[] =
		"{\"portal\": {\"127.0.0.1:3260\": {\"tag\": \"7\"}}, \"target\": {\"iqn.2026-11.test:a\": "
		"{\"alias\": \"it's \\\\ ${HOME} # no /* comment */ \\\" {\", \"allow\": [\"any\"], "
		"\"portals\": [\"127.0.0.1\"], \"chap\": {\"al ice\": {\"secret-hex\": "
		"\"6162636465666768696a6b6c\"}}, \"lun\": {\"5\": {\"path\": \"/a,b\", \"size\": \"1M\"}}}}}";
	json_t *tree = json(text);
	struct config *c = config_parse_tree("state", tree, fails);

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(c->target_count, 1);
	CU_ASSERT_STRING_EQUAL(c->targets[0].alias, "it's \\ ${HOME} # no /* comment */ \" {");
	CU_ASSERT_EQUAL(c->targets[0].tags[0], 7);
	CU_ASSERT_STRING_EQUAL(c->targets[0].luns[0].spec.path, "/a,b");
	CU_ASSERT_EQUAL(c->targets[0].chap.user[0].account.secret_len, 12);
	CU_ASSERT_EQUAL(memcmp(c->targets[0].chap.user[0].account.secret, "abcdefghijkl", 12), 0);
	CU_ASSERT_TRUE(json_equal(c->tree, tree));
	config_free(c);
	json_decref(tree);
}

static void hear_nothing(const struct complaint *c)
{
	CU_ASSERT_PTR_NULL(strstr(c->text, "61626364"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->line);
	CU_ASSERT_PTR_NULL(strstr(c->line, "6162"));
}

/* Secrets stand in files of their own, but for riserd's. */
static void a_file_has_no_secrets(void)
{
	static const char text[] = "target iqn.2026-11.test:a { chap u { secret-hex = "
				   "6162636465666768696a6b6c } lun 0 { path = ram:1M } }";

	static const char mistaken[] = "target iqn.2026-11.test:a { chap u { secret-file = /a "
				       "secret = '6162 63646566' } lun 0 { path = ram:1M } }";

	CU_ASSERT_PTR_NULL(config_parse_text("t", text, strlen(text), false, hear_nothing));
	CU_ASSERT_PTR_NULL(config_parse_text("t", mistaken, strlen(mistaken), false, hear_nothing));
}

/* A path is any bytes: it is kept as it is, also in a dump, and JSON has a text for it. */
static void a_path_need_not_be_utf8(void)
{
	static const char text[] = "target iqn.2026-11.test:a { alias = 'g\xfcn$x' lun 5 { path = "
				   "'/a \xff\"$x\\\\b' } }";
	struct config *c = config_parse_text("t", text, strlen(text), false, fails), *again;
	json_t *shown, *diff, *empty = json_object();
	char *dump;
	size_t len;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_STRING_EQUAL(c->targets[0].luns[0].spec.path, "/a \xff\"$x\\b");
	dump = tree_to_text(c->tree, &len, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dump);
	CU_ASSERT_PTR_NULL(strchr(dump, '\xff'));
	again = config_parse_text("t", dump, len, false, fails);
	CU_ASSERT_PTR_NOT_NULL_FATAL(again);
	CU_ASSERT_STRING_EQUAL(again->targets[0].luns[0].spec.path, "/a \xff\"$x\\b");
	CU_ASSERT_TRUE(json_equal(c->tree, again->tree));
	shown = tree_public(c->tree);
	diff = tree_diff(empty, c->tree);
	tree_wipe_text(dump);
	dump = json_dumps(shown, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dump);
	CU_ASSERT_PTR_NOT_NULL(strstr(dump, "xff"));
	free(dump);
	dump = json_dumps(diff, 0);
	CU_ASSERT_PTR_NOT_NULL(dump);
	free(dump);
	/* Commands come as JSON: what they say is UTF-8. */
	CU_ASSERT_PTR_NULL(tree_clean(c->tree, why, sizeof(why)));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "UTF-8"));
	json_decref(empty);
	json_decref(shown);
	json_decref(diff);
	config_free(again);
	config_free(c);
}

/* --- The text of the file */

static void any_damage_is_noticed(void)
{
	json_t *objects = json("{\"target\": {\"iqn.2026-11.test:a\": {\"created\": \"on\"}}}");
	struct state_extent extent;
	size_t len = 0;
	char *text = state_format(objects, 17, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_TRUE(
		same(state_parse(text, len, &extent, why, sizeof(why)), json_incref(objects)));
	CU_ASSERT_EQUAL(extent.version, 17);
	CU_ASSERT_EQUAL(extent.whole, len);
	CU_ASSERT_EQUAL(extent.len, len);
	for (size_t cut = 0; cut < len; cut++) {
		char last = text[cut];

		text[cut] = '\0';
		CU_ASSERT_PTR_NULL(state_parse(text, cut, &extent, why, sizeof(why)));
		text[cut] = last;
	}
	for (char *at = strstr(text, "\"objects\""); *at; at++) {
		*at ^= 1;
		CU_ASSERT_PTR_NULL(state_parse(text, len, &extent, why, sizeof(why)));
		*at ^= 1;
	}
	free(text);
	json_decref(objects);
}

/* --- Lines */

static const struct state_change *a_change(const char *lun, json_t *value)
{
	static struct state_change change;

	json_decref((json_t *)change.value);
	change = (struct state_change){ "iqn.2026-11.test:a", lun, value };
	return &change;
}

static void end_changes(void)
{
	a_change(NULL, NULL);
}

/* A first part of version 17 and two lines; starts: where these begin, and where the last one ends. */
static char *with_lines(size_t starts[3])
{
	json_t *objects =
		json("{\"target\": {\"iqn.2026-11.test:a\": {\"created\": \"on\", \"lun\": "
		     "{\"0\": {\"path\": \"a\"}}}}}");
	struct state_line line = { 0 };
	char *text = state_format(objects, 17, &starts[0]);

	for (unsigned int i = 0; i < 2; i++) {
		line.len = 0;
		CU_ASSERT_EQUAL(state_line_add(&line, 18 + i,
					       a_change(i ? "2" : "1", json("{\"path\": \"b\"}"))),
				0);
		CU_ASSERT_EQUAL(
			state_line_add(&line, 18 + i, a_change("0", i ? NULL : json_null())), 0);
		CU_ASSERT_EQUAL(state_line_end(&line), 0);
		starts[i + 1] = starts[i] + line.len;
		text = realloc(text, starts[i + 1] + 1);
		CU_ASSERT_PTR_NOT_NULL_FATAL(text);
		memcpy(text + starts[i], line.text, line.len + 1);
	}
	state_line_free(&line);
	json_decref(objects);
	end_changes();
	return text;
}

static void lines_go_over_the_first_part(void)
{
	struct state_extent extent;
	size_t starts[3];
	char *text = with_lines(starts);

	CU_ASSERT_TRUE(
		same(state_parse(text, starts[2], &extent, why, sizeof(why)),
		     json("{\"target\": {\"iqn.2026-11.test:a\": {\"created\": \"on\", "
			  "\"lun\": {\"1\": {\"path\": \"b\"}, \"2\": {\"path\": \"b\"}}}}}")));
	CU_ASSERT_EQUAL(extent.version, 19);
	CU_ASSERT_EQUAL(extent.whole, starts[0]);
	CU_ASSERT_EQUAL(extent.len, starts[2]);
	CU_ASSERT_EQUAL(extent.torn, 0);
	free(text);
}

/* The last write may have got as far as anywhere. What is before it counts, all of it or nothing. */
static void a_line_without_end_does_not_count(void)
{
	struct state_extent extent;
	size_t starts[3];
	char *text = with_lines(starts);

	for (size_t cut = starts[0]; cut < starts[2]; cut++) {
		bool first = cut >= starts[1];
		json_t *objects = state_parse(text, cut, &extent, why, sizeof(why));

		CU_ASSERT_PTR_NOT_NULL(objects);
		CU_ASSERT_EQUAL(extent.version, first ? 18 : 17);
		CU_ASSERT_EQUAL(extent.len, starts[first]);
		CU_ASSERT_EQUAL(extent.torn != 0, cut != starts[first]);
		json_decref(objects);
	}
	/* Its blocks get to the disk in any order; those that have not are zeros. */
	text[starts[1] + 5] = '\0';
	json_decref(state_parse(text, starts[2], &extent, why, sizeof(why)));
	CU_ASSERT_EQUAL(extent.version, 18);
	CU_ASSERT_EQUAL(extent.len, starts[1]);
	free(text);
}

static void any_damage_of_a_line_is_noticed(void)
{
	struct state_extent extent;
	size_t starts[3];
	char *text = with_lines(starts);
	char place[32];
	unsigned int number = 1;

	for (size_t i = 0; i < starts[0]; i++)
		number += text[i] == '\n';
	for (size_t i = starts[0]; i < starts[2] - 1; i++) {
		snprintf(place, sizeof(place), "line %u ", number);
		number += text[i] == '\n';
		text[i] ^= 1;
		CU_ASSERT_PTR_NULL(state_parse(text, starts[2], &extent, why, sizeof(why)));
		CU_ASSERT_PTR_NOT_NULL(strstr(why, place));
		text[i] ^= 1;
	}
	/* One is missing, or is there twice. */
	memmove(text + starts[0], text + starts[1], starts[2] - starts[1] + 1);
	CU_ASSERT_PTR_NULL(
		state_parse(text, starts[0] + starts[2] - starts[1], &extent, why, sizeof(why)));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "version 19, and 18 comes next"));
	free(text);
}

static void a_line_says_what_riserd_says(void)
{
	static const struct {
		const char *target, *lun, *value;
	} rows[] = {
		{ "disk", "0", "{}" },
		{ "iqn.2026-11.test:A", "0", "{}" },
		{ "iqn.2026-11.test:a", "256", "{}" },
		{ "iqn.2026-11.test:a", "00", "{}" },
		{ "iqn.2026-11.test:a", "0", "[]" },
		{ "iqn.2026-11.test:a", "0", "{\"path\": 1.5}" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *empty = json_object();
		struct state_change change = { rows[i].target, rows[i].lun, json(rows[i].value) };
		struct state_line line = { 0 };
		struct state_extent extent;
		size_t len;
		char *text = state_format(empty, 1, &len);

		CU_ASSERT_EQUAL(state_line_add(&line, 2, &change), 0);
		CU_ASSERT_EQUAL(state_line_end(&line), 0);
		text = realloc(text, len + line.len + 1);
		CU_ASSERT_PTR_NOT_NULL_FATAL(text);
		memcpy(text + len, line.text, line.len + 1);
		CU_ASSERT_PTR_NULL(state_parse(text, len + line.len, &extent, why, sizeof(why)));
		CU_ASSERT_PTR_NOT_NULL(strstr(why, "which LUN"));
		state_line_free(&line);
		json_decref((json_t *)change.value);
		json_decref(empty);
		free(text);
	}
}

/* "Of this one of the file's nothing is left" is no empty place. */
static void a_deleted_target_stays_deleted(void)
{
	json_t *tree = json("{\"target\": {\"a\": null, \"b\": {\"lun\": {\"1\": null}}}}");

	CU_ASSERT_EQUAL(tree_put_lun(tree, "a", "0", NULL), 0);
	CU_ASSERT_EQUAL(tree_put_lun(tree, "b", "0", NULL), 0);
	CU_ASSERT_TRUE(same(json_incref(tree),
			    json("{\"target\": {\"a\": null, \"b\": {\"lun\": {\"1\": null}}}}")));
	CU_ASSERT_EQUAL(tree_put_lun(tree, "b", "1", NULL), 0);
	CU_ASSERT_TRUE(same(tree, json("{\"target\": {\"a\": null}}")));
}

UNIT_MAIN(TEST(cleaning_takes_what_json_has), TEST(cleaning_refuses_the_rest),
	  TEST(a_patch_needs_what_it_changes), TEST(patches_are_put_together),
	  TEST(sections_stand_where_they_count), TEST(sections_stand_as_somebody_has_said),
	  TEST(differences_have_no_secrets), TEST(a_tree_is_read_as_it_is),
	  TEST(a_file_has_no_secrets), TEST(a_path_need_not_be_utf8), TEST(any_damage_is_noticed),
	  TEST(lines_go_over_the_first_part), TEST(a_line_without_end_does_not_count),
	  TEST(any_damage_of_a_line_is_noticed), TEST(a_line_says_what_riserd_says),
	  TEST(a_deleted_target_stays_deleted));
