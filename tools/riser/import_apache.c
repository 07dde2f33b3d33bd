// SPDX-License-Identifier: BSD-2-Clause
/* Files in the syntax of Apache: "key value", <block NAME>, comments, lines that go on, include. */
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "import_apache.h"

enum { DEPTH = 16, FILES_MOST = 100000 };

static void read_file(struct apache *r, const char *path, unsigned int line);

static void on_include(struct apache *r, struct apache_line *l)
{
	const char *slash = strrchr(r->im->file, '/');
	const char *pattern = l->value;
	struct stat st;
	glob_t found;

	if (*pattern != '/' && slash)
		pattern = import_text(r->im, "%.*s/%s", (int)(slash - r->im->file), r->im->file,
				      pattern);
	if (!stat(pattern, &st) && S_ISDIR(st.st_mode))
		pattern = import_text(r->im, "%s/*", pattern);
	if (r->depth == DEPTH) {
		import_fail(r->im, l->number, "files include each other, or %d deep", DEPTH);
		return;
	}
	if (glob(pattern, 0, NULL, &found)) {
		if (!strpbrk(pattern, "*?["))
			import_fail(r->im, l->number, "%s: cannot be read", pattern);
		return;
	}
	for (size_t i = 0; i < found.gl_pathc && !r->im->failed; i++)
		read_file(r, import_copy(r->im, found.gl_pathv[i], strlen(found.gl_pathv[i])),
			  l->number);
	globfree(&found);
}

static void strip_comment(char *text)
{
	for (char *c = text; *c; c++) {
		if (*c == '#') {
			*c = '\0';
			break;
		}
		if (*c == '\\' && c[1] == '#')
			memmove(c, c + 1, strlen(c));
	}
}

/* Without spaces at the ends, and quotes. */
static void trim(char *text)
{
	size_t from = strspn(text, " \t\r"), len = strlen(text + from);

	memmove(text, text + from, len + 1);
	while (len && strchr(" \t\r", text[len - 1]))
		text[--len] = '\0';
	if (len > 1 && text[0] == '"' && text[len - 1] == '"') {
		memmove(text, text + 1, len - 2);
		text[len - 2] = '\0';
	}
}

/* "key value", "key = value". */
static void split(char *text, struct apache_line *out)
{
	size_t len = strcspn(text, " \t=");
	char *value = text + len;

	value += strspn(value, " \t");
	value += *value == '=';
	out->key = text;
	out->value = value;
	if (text[len])
		text[len] = '\0';
	trim(out->value);
}

static void parse_line(struct apache *r, char *text, unsigned int number)
{
	struct apache_line l = { .number = number };
	size_t len;

	trim(text);
	len = strlen(text);
	if (!len)
		return;
	if (text[0] != '<') {
		split(text, &l);
		if (!strcasecmp(l.key, "include"))
			on_include(r, &l);
		else if (!*l.value)
			import_fail(r->im, number, "%s has no value", l.key);
		else
			r->line(r->arg, &l);
		return;
	}
	if (text[len - 1] != '>') {
		import_fail(r->im, number, "%s: no > at the end", text);
		return;
	}
	text[len - 1] = '\0';
	if (!strncasecmp(text, "<<include", 9)) {
		text[len - 2] = '\0';
		split(text + 2, &l);
		on_include(r, &l);
	} else if (text[1] == '/') {
		split(text + 2, &l);
		r->end(r->arg, &l);
	} else {
		split(text + 1, &l);
		r->begin(r->arg, &l);
	}
}

/* Comments as in C: within a line, or from a line that begins with one to the one that has the end. They end
 * and begin where they do for tgt-admin, so that no rule is lost in one. False: nothing is left. */
static bool strip_c_comment(char *line, bool *inside)
{
	char *from = strstr(line, "/*"), *end = NULL;

	for (char *at = line; (at = strstr(at, "*/")); at++)
		end = at;
	if (from && end && end >= from + 2) {
		memset(from, ' ', (size_t)(end + 2 - from));
	} else if (from == line + strspn(line, " \t")) {
		*inside = true;
	} else if (end) {
		*inside = false;
		memset(line, ' ', (size_t)(end + 2 - line));
	}
	return !*inside;
}

/* Whether it goes on: a backslash at the end, before which there is none. */
static bool goes_on(const char *text, size_t len)
{
	return len && text[len - 1] == '\\' && (len == 1 || text[len - 2] != '\\');
}

/* Comments go before lines are joined: a backslash in one takes no rule along. */
static void parse_text(struct apache *r, char *text)
{
	unsigned int number = 0, first = 0;
	char *begun = NULL, *end; /* what goes on, and where the next part belongs */
	bool inside = false;
	size_t len, had = 0;

	for (char *line = text; line && !r->im->failed; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		number++;
		if (strip_c_comment(line, &inside))
			strip_comment(line);
		else
			*line = '\0';
		len = strlen(line);
		if (strspn(line, " \t\r") == len)
			continue;
		if (!begun) {
			begun = line;
			first = number;
			had = 0;
		}
		memmove(begun + had, line, len + 1);
		had += len;
		if (goes_on(begun, had)) {
			begun[had - 1] = ' ';
			continue;
		}
		parse_line(r, begun, first);
		begun = NULL;
	}
	if (begun && !r->im->failed)
		parse_line(r, begun, first);
}

static void read_file(struct apache *r, const char *path, unsigned int line)
{
	const char *before = r->im->file;
	char *text;
	size_t len;

	if (++r->files > FILES_MOST) {
		import_fail(r->im, line, "more than %d files", FILES_MOST);
		return;
	}
	text = import_read(r->im, path, &len, line);
	if (!text)
		return;
	r->im->file = path;
	r->depth++;
	parse_text(r, text);
	r->depth--;
	if (!r->im->failed)
		r->im->file = before;
}

void apache_read(struct apache *r, const char *path)
{
	read_file(r, path, 0);
}
