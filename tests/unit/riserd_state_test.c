// SPDX-License-Identifier: BSD-2-Clause
/* Trees that are patched, told and written as text, and the file that keeps them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tools/riserd/parse.h"
#include "tools/riserd/state.h"
#include "tools/riserd/tree.h"

static char why[512];

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	return value;
}

/* Takes both. */
static bool same(json_t *value, json_t *expected)
{
	bool equal = value && json_equal(value, expected);

	if (!equal && value)
		json_dumpf(value, stdout, JSON_COMPACT);
	json_decref(value);
	json_decref(expected);
	return equal;
}

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
		     " \"b\": {\"alias\": \"orphan\"}, \"c\": {\"created\": \"on\"}}}");
	unsigned int orphans = 0;

	CU_ASSERT_EQUAL(tree_patch(tree, patch, &orphans), 0);
	CU_ASSERT_EQUAL(orphans, 1);
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
	dump = tree_to_text(c->tree, &len);
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
	uint64_t version = 0;
	size_t len = 0;
	char *text = state_format(objects, 17, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_TRUE(
		same(state_parse(text, len, &version, why, sizeof(why)), json_incref(objects)));
	CU_ASSERT_EQUAL(version, 17);
	for (size_t cut = 0; cut < len; cut++) {
		char last = text[cut];

		text[cut] = '\0';
		CU_ASSERT_PTR_NULL(state_parse(text, cut, &version, why, sizeof(why)));
		text[cut] = last;
	}
	for (char *at = strstr(text, "\"objects\""); *at; at++) {
		*at ^= 1;
		CU_ASSERT_PTR_NULL(state_parse(text, len, &version, why, sizeof(why)));
		*at ^= 1;
	}
	free(text);
	json_decref(objects);
}

/* --- The file */

static char folder[64];

static void begin(void)
{
	snprintf(folder, sizeof(folder), "/tmp/riser-state-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static unsigned int files(void)
{
	DIR *dir = opendir(folder);
	unsigned int n = 0;

	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.' || !strncmp(e->d_name, ".new", 4);
	closedir(dir);
	return n;
}

static void end(void)
{
	DIR *dir = opendir(folder);

	for (struct dirent *e; (e = readdir(dir));)
		unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	rmdir(folder);
}

static struct state *open_it(void)
{
	struct state *s = NULL;

	CU_ASSERT_EQUAL(state_open(folder, &s, why, sizeof(why)), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	return s;
}

static void it_is_there_again(void)
{
	json_t *one = json("{\"target\": {\"iqn.2026-11.test:a\": {\"created\": \"on\"}}}");
	struct stat st;
	struct state *s;

	begin();
	s = open_it();
	CU_ASSERT_TRUE(same(state_load(s), json_object()));
	CU_ASSERT_EQUAL(state_prepare(s, one, why, sizeof(why)), 0);
	state_abandon(s);
	CU_ASSERT_EQUAL(files(), 0);
	CU_ASSERT_EQUAL(state_prepare(s, one, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(state_commit(s, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(stat(state_path(s), &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	state_close(s);
	s = open_it();
	CU_ASSERT_EQUAL(state_version(s), 1);
	CU_ASSERT_TRUE(same(state_load(s), one));
	state_close(s);
	end();
}

static void ten_older_ones_are_kept(void)
{
	json_t *empty = json_object();
	char name[128];
	struct state *s;

	begin();
	s = open_it();
	for (unsigned int i = 0; i < 25; i++) {
		CU_ASSERT_EQUAL(state_prepare(s, empty, why, sizeof(why)), 0);
		CU_ASSERT_EQUAL(state_commit(s, why, sizeof(why)), 0);
	}
	CU_ASSERT_EQUAL(files(), 1 + STATE_KEPT);
	snprintf(name, sizeof(name), "%s.24", state_path(s));
	CU_ASSERT_EQUAL(access(name, F_OK), 0);
	snprintf(name, sizeof(name), "%s.15", state_path(s));
	CU_ASSERT_EQUAL(access(name, F_OK), 0);
	state_close(s);
	json_decref(empty);
	end();
}

static void write_it(const char *text, mode_t mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/state.json", folder);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	CU_ASSERT_EQUAL(fchmod(fd, mode), 0);
	close(fd);
}

static void others_are_refused(void)
{
	json_t *empty = json_object();
	struct state *s = NULL;
	size_t len = 0;
	char *text = state_format(empty, 1, &len);

	begin();
	write_it("{}\n", 0600);
	CU_ASSERT_EQUAL(state_open(folder, &s, why, sizeof(why)), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "truncated"));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, folder));
	write_it(text, 0640);
	CU_ASSERT_EQUAL(state_open(folder, &s, why, sizeof(why)), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "chmod 0600"));
	write_it(text, 0600);
	CU_ASSERT_EQUAL(state_open(folder, &s, why, sizeof(why)), 0);
	state_close(s);
	free(text);
	json_decref(empty);
	end();
}

/* What could not be read again is not written. */
static void it_has_a_most(void)
{
	json_t *one = json_object(), *large = json_object();
	char *text = malloc(STATE_FILE_MAX + 1);
	uint64_t version;
	struct state *s;
	size_t len = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	memset(text, 'a', STATE_FILE_MAX);
	text[STATE_FILE_MAX] = '\0';
	json_object_set_new(large, "a", json_string(text));
	free(text);
	begin();
	s = open_it();
	CU_ASSERT_EQUAL(state_prepare(s, large, why, sizeof(why)), -EFBIG);
	CU_ASSERT_EQUAL(files(), 0);
	CU_ASSERT_EQUAL(state_prepare(s, one, why, sizeof(why)), 0);
	state_close(s);
	text = state_format(one, INT64_MAX, &len);
	CU_ASSERT_PTR_NULL(state_parse(text, len, &version, why, sizeof(why)));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "version"));
	free(text);
	json_decref(one);
	json_decref(large);
	end();
}

UNIT_MAIN(TEST(cleaning_takes_what_json_has), TEST(cleaning_refuses_the_rest),
	  TEST(a_patch_needs_what_it_changes), TEST(patches_are_put_together),
	  TEST(differences_have_no_secrets), TEST(a_tree_is_read_as_it_is),
	  TEST(a_file_has_no_secrets), TEST(a_path_need_not_be_utf8), TEST(any_damage_is_noticed),
	  TEST(it_is_there_again), TEST(ten_older_ones_are_kept), TEST(it_has_a_most),
	  TEST(others_are_refused));
