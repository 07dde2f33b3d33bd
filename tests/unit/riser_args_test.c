// SPDX-License-Identifier: BSD-2-Clause
/* The command line by the table: what becomes of words, options and params. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "tools/riser/command.h"

enum { WORDS = 16 };

/* Splits at blanks; what it says of mistakes goes nowhere. */
static enum status parse(struct riser *r, char *line, struct args **a)
{
	static char *words[WORDS];
	FILE *was = stdout, *quiet = fopen("/dev/null", "w");
	enum status status;
	char *word;
	int count = 0;

	while (count < WORDS && (word = strsep(&line, " ")))
		words[count++] = word;
	*r = (struct riser){ .json = true };
	stdout = quiet;
	status = args_parse(r, count, words, a);
	stdout = was;
	fclose(quiet);
	return status;
}

static struct args *good(struct riser *r, char *line)
{
	struct args *a = NULL;

	CU_ASSERT_EQUAL_FATAL(parse(r, line, &a), STATUS_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	return a;
}

static void bad(const char *line)
{
	struct riser r;
	struct args *a;
	char buf[256];

	snprintf(buf, sizeof(buf), "%s", line);
	CU_ASSERT_EQUAL(parse(&r, buf, &a), STATUS_USAGE);
	CU_ASSERT_PTR_NULL(a);
}

/* The params of a line as JSON with sorted keys; "" if there are none to be had. */
static void params(const char *line, const char *expected)
{
	struct riser r;
	char buf[256], *text;
	struct args *a;
	json_t *p;

	snprintf(buf, sizeof(buf), "%s", line);
	a = good(&r, buf);
	p = args_params(&r, a);
	text = json_dumps(p, JSON_COMPACT | JSON_SORT_KEYS);
	CU_ASSERT_STRING_EQUAL(text, expected);
	free(text);
	json_decref(p);
	args_free(a);
}

static void nouns_and_verbs(void)
{
	char line[] = "session", other[] = "lun ls", third[] = "--timeout 5 reservation clear a 7";
	struct riser r;
	struct args *a = good(&r, line);

	CU_ASSERT_STRING_EQUAL(args_command(a)->verb, "list");
	args_free(a);
	a = good(&r, other);
	CU_ASSERT_STRING_EQUAL(args_command(a)->noun, "lun");
	CU_ASSERT_STRING_EQUAL(args_command(a)->verb, "list");
	args_free(a);
	a = good(&r, third);
	CU_ASSERT_EQUAL(args_operands(a), 2);
	CU_ASSERT_STRING_EQUAL(args_operand(a, 1), "7");
	CU_ASSERT_PTR_NULL(args_operand(a, 2));
	CU_ASSERT_EQUAL(r.timeout, 5);
	args_free(a);
}

static void nothing_is_the_tree(void)
{
	struct riser r = { 0 };
	struct args *a;

	CU_ASSERT_EQUAL_FATAL(args_parse(&r, 0, NULL, &a), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(args_command(a)->noun, "status");
	args_free(a);
}

static void options(void)
{
	char line[] = "top -n3 --by=target -i 0.5 --json",
	     other[] = "events --type login --type lun -f";
	struct riser r;
	struct args *a = good(&r, line);

	CU_ASSERT_EQUAL(args_number(a, "count", 0), 3);
	CU_ASSERT_EQUAL(args_real(a, "interval", 1), 0.5);
	CU_ASSERT_STRING_EQUAL(args_option(a, "by", 0), "target");
	CU_ASSERT_PTR_NULL(args_option(a, "by", 1));
	CU_ASSERT_PTR_NULL(args_option(a, "sort", 0));
	CU_ASSERT_EQUAL(args_number(a, "sort", 9), 9);
	args_free(a);
	a = good(&r, other);
	CU_ASSERT(args_flag(a, "follow"));
	CU_ASSERT(!args_flag(a, "since"));
	CU_ASSERT_STRING_EQUAL(args_option(a, "type", 1), "lun");
	args_free(a);
}

static void what_becomes_of_params(void)
{
	params("lun list", "{}");
	params("lun list iqn.a", "{\"target\":\"iqn.a\"}");
	params("latency iqn.a 3 --reset", "{\"lun\":3,\"reset\":true,\"target\":\"iqn.a\"}");
	params("reservation clear -- -x 0", "{\"lun\":0,\"target\":\"-x\"}");
	params("alua set iqn.a 1 standby --dry-run",
	       "{\"access\":\"standby\",\"dry_run\":true,\"tag\":1,\"target\":\"iqn.a\"}");
}

static void mistakes(void)
{
	static const char *const lines[] = {
		"nonsense",
		"session nonsense",
		"session list --nonsense",
		"session list -Z",
		"session list --dry-run",
		"lun show iqn.a",
		"lun show iqn.a one",
		"lun show iqn.a 99999999999999999999",
		"lun show iqn.a 1 2",
		"lun show iqn.a ",
		"alua set iqn.a 1 quick",
		"alua set iqn.a 1 optimized non-optimized",
		"alua set iqn.a 1 non",
		"top --by",
		"top --by lun --by lun",
		"top --interval -1",
		"top --interval 1e99",
		"top --json=1",
		"top -n",
		"completion tcsh",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		bad(lines[i]);
}

/* Rows that nobody could use, or that contradict each other. */
static void the_table_makes_sense(void)
{
	unsigned int count = 0;
	char line[256];

	each_command(c) {
		const struct word *optional = NULL;

		count++;
		CU_ASSERT(c->about && *c->about && c->about[strlen(c->about) - 1] != '.');
		CU_ASSERT(c->run || c->method);
		CU_ASSERT_PTR_EQUAL(command_lookup(c->noun, c->verb), c);
		help_synopsis(c, line, sizeof(line));
		CU_ASSERT(strlen(line) < 120);
		for (const struct word *w = c->operands; w && w->name; w++) {
			CU_ASSERT_PTR_NULL(optional); /* none behind those that may be left out */
			optional = w->flags & (WORD_OPTIONAL | WORD_MANY) && w[1].name &&
						   !(w[1].flags & WORD_OPTIONAL)
					   ? w
					   : NULL;
			CU_ASSERT(w->kind != KIND_WORD || w->words);
		}
		for (const struct word *w = c->options; w && w->name; w++) {
			CU_ASSERT(w->about && *w->about);
			CU_ASSERT_EQUAL(w->kind == KIND_NONE, !w->value);
			CU_ASSERT(w->kind != KIND_WORD || w->words);
			CU_ASSERT_PTR_EQUAL(command_option(c, w->name, strlen(w->name)), w);
			CU_ASSERT(!w->letter || command_letter(c, w->letter) == w);
		}
	}
	CU_ASSERT(count > 20);
}

static const char *next_fruit(void *arg)
{
	static const char *const fruits[] = { "apple", "pear", "cherry", NULL };
	unsigned int *i = arg;

	return fruits[(*i)++];
}

static void the_nearest_word(void)
{
	static const struct {
		const char *word, *meant;
	} rows[] = {
		{ "pera", "pear" },   { "peer", "pear" },     { "aple", "apple" },
		{ "cher", "cherry" }, { "cheryr", "cherry" }, { "plum", NULL },
		{ "p", NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		unsigned int at = 0;
		const char *found = nearest(rows[i].word, next_fruit, &at);

		CU_ASSERT(rows[i].meant ? found && !strcmp(found, rows[i].meant) : !found);
	}
}

UNIT_MAIN(TEST(nouns_and_verbs), TEST(nothing_is_the_tree), TEST(options),
	  TEST(what_becomes_of_params), TEST(mistakes), TEST(the_table_makes_sense),
	  TEST(the_nearest_word));
