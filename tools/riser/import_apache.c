// SPDX-License-Identifier: BSD-2-Clause
/* Files in the syntax of Apache: "key value", <block NAME>, comments, lines that go on, include. */
#include <glob.h>
#include <stdio.h>
#include <string.h>
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

	strip_comment(text);
	trim(text);
	len = strlen(text);
	if (!len)
		return;
	if (text[0] != '<') {
		split(text, &l);
		if (!strcmp(l.key, "include"))
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
	if (!strncmp(text, "<<include", 9)) {
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

/* Comments as in C, which begin and end lines. */
static void blank_comments(char *text)
{
	bool inside = false;

	for (char *line = text; *line; line += *line == '\n') {
		size_t len = strcspn(line, "\n");
		const char *end = memmem(line, len, "*/", 2);

		inside |= !strncmp(line + strspn(line, " \t"), "/*", 2);
		if (inside)
			memset(line, ' ', len);
		inside &= !end;
		line += len;
	}
}

static void parse_text(struct apache *r, char *text)
{
	unsigned int number = 0;
	char *end;

	blank_comments(text);
	for (char *line = text; line && !r->im->failed; line = end) {
		unsigned int first = ++number;

		end = strchr(line, '\n');
		/* A backslash at the end goes on. */
		while (end && end > line && end[-1] == '\\') {
			end[-1] = end[0] = ' ';
			number++;
			end = strchr(end, '\n');
		}
		if (end)
			*end++ = '\0';
		parse_line(r, line, first);
	}
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
