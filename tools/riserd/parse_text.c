// SPDX-License-Identifier: BSD-2-Clause
/* What libconfuse does not look at as it should: comments, and braces that nobody closes. */
#include <string.h>

#include "parse_impl.h"

/* To libconfuse // inside of a word, as in /srv//disk, is part of it; # and the other one end it. */
static bool in_word(const char *text, const char *c)
{
	return c > text && !strchr(" \t\r\n{}()=+,*\"'", c[-1]);
}

void parse_blank_comments(char *text)
{
	char quote = 0;

	for (char *c = text; *c; c++) {
		const char *end;

		if (quote) {
			if (*c == '\\' && c[1])
				c++;
			else if (*c == quote)
				quote = 0;
			continue;
		}
		if (*c == '"' || *c == '\'')
			quote = *c;
		if (*c == '#' || (*c == '/' && c[1] == '/' && !in_word(text, c))) {
			end = c + strcspn(c, "\n");
		} else if (*c == '/' && c[1] == '*') {
			end = strstr(c + 2, "*/");
			end = end ? end + 2 : c + strlen(c);
		} else {
			continue;
		}
		for (; c < end; c++)
			*c = *c == '\n' ? '\n' : ' ';
		c--;
	}
}

unsigned int parse_open_brace(const char *text)
{
	enum { DEPTH = 8 };
	unsigned int lines[DEPTH] = { 0 }, depth = 0, line = 1;
	char quote = 0;

	for (const char *c = text; *c; c++) {
		line += *c == '\n';
		if (quote) {
			if (*c == '\\' && c[1])
				c++;
			else if (*c == quote)
				quote = 0;
		} else if (*c == '"' || *c == '\'') {
			quote = *c;
		} else if (*c == '{' && depth < DEPTH) {
			lines[depth++] = line;
		} else if (*c == '}' && depth) {
			depth--;
		}
	}
	return depth ? lines[depth - 1] : 0;
}
