// SPDX-License-Identifier: BSD-2-Clause
/* Text of others on a terminal: what is shown of it, and how much fits. */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "tools/riser/command.h"
#include "tools/riser/out.h"

/* What `print` writes; for free(). */
static char *printed(void (*print)(FILE *to, const char *text, unsigned int columns),
		     const char *text, unsigned int columns)
{
	char *out = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&out, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(to);
	print(to, text, columns);
	fclose(to);
	return out;
}

static void print_text(FILE *to, const char *text, unsigned int columns)
{
	(void)columns;
	out_text(to, text);
}

static void print_lines(FILE *to, const char *text, unsigned int columns)
{
	(void)columns;
	out_lines(to, text);
}

static void expect(void (*print)(FILE *to, const char *text, unsigned int columns),
		   const char *text, unsigned int columns, const char *expected)
{
	char *out = printed(print, text, columns);

	CU_ASSERT_STRING_EQUAL(out, expected);
	free(out);
}

static void hostile(void)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{ "disk", "disk" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xbe", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xbe" },
		{ "\033[2J", "?[2J" },
		{ "a\n\t\x7f", "a???" },
		{ "\xc2\x9b"
		  "2J",
		  "?2J" }, /* CSI of eight bits */
		{ "\x9b"
		  "2J",
		  "?2J" }, /* no UTF-8 */
		{ "\xc3", "?" }, /* cut */
		{ "\xe2\x80\xae"
		  "1ksid",
		  "?1ksid" }, /* from right to left */
		{ "\xe2\x81\xa6x\xe2\x80\x8b", "?x?" }, /* isolated, and of no width */
		{ "\xef\xbb\xbfx", "?x" },
		{ "\xed\xa0\x80", "???" }, /* half of a pair */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		expect(print_text, rows[i].text, 0, rows[i].expected);
		CU_ASSERT_STRING_EQUAL(shown(rows[i].text), rows[i].expected);
		CU_ASSERT_EQUAL(text_width(rows[i].text), text_width(rows[i].expected));
	}
	expect(print_lines, "a {\n\tb\033\n}\n", 0, "a {\n\tb?\n}\n");
}

static void too_long(void)
{
	char text[2000];

	expect(out_cut, "disk", 4, "disk");
	expect(out_cut, "disks", 4, "dis>");
	expect(out_cut, "disks", 1, ">");
	expect(out_cut, "disks", 0, "");
	expect(out_cut, "\033\033\033", 2, "?>");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CU_ASSERT_PTR_EQUAL(shown(text), text);
	text[0] = '\033';
	CU_ASSERT(strlen(shown(text)) < 512 && shown(text)[0] == '?');
}

static void json(void)
{
	json_t *good = text_json("\xc3\xa4"), *bad = text_json("a\xff\xc3");

	CU_ASSERT_STRING_EQUAL(json_string_value(good), "\xc3\xa4");
	CU_ASSERT_STRING_EQUAL(json_string_value(bad), "a??");
	json_decref(good);
	json_decref(bad);
}

static const char *next_word(void *arg)
{
	const char **left = arg, *word = *left;

	*left = NULL;
	return word;
}

/* Nothing is near to a word that is longer than all of ours. */
static void nearest_of_long(void)
{
	const char *one = "session";
	char text[200];

	CU_ASSERT_STRING_EQUAL(nearest("sesion", next_word, &one), "session");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	one = "session";
	CU_ASSERT_PTR_NULL(nearest(text, next_word, &one));
}

UNIT_MAIN(TEST(hostile), TEST(too_long), TEST(json), TEST(nearest_of_long));
