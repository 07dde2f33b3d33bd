// SPDX-License-Identifier: BSD-2-Clause
/* Tables and colours. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "out.h"

const char *paint(const struct riser *r, enum color color)
{
	static const char *const codes[] = {
		"\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m",
	};

	return r->color ? codes[color] : "";
}

enum color health_color(const char *health)
{
	if (!strcmp(health, "ok"))
		return COLOR_GREEN;
	return *health ? COLOR_RED : COLOR_OFF;
}

void out_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	putchar('\n');
	fflush(stdout);
}

size_t text_letter(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t len = *c < 0x80	 ? 1
		     : *c < 0xc2 ? 0
		     : *c < 0xe0 ? 2
		     : *c < 0xf0 ? 3
		     : *c < 0xf5 ? 4
				 : 0;

	for (size_t i = 1; i < len; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Longer than need be, surrogates, beyond U+10FFFF. */
	if ((*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) ||
	    (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f))
		return 0;
	return len;
}

/* C1 control characters too: U+0080 to U+009F. */
void out_text(FILE *to, const char *text)
{
	for (size_t len; *text; text += len ? len : 1) {
		const unsigned char *c = (const unsigned char *)text;

		len = text_letter(text);
		if (!len || *c < ' ' || *c == 127 || (*c == 0xc2 && c[1] < 0xa0))
			fputc('?', to);
		else
			fwrite(text, 1, len, to);
	}
}

unsigned int text_width(const char *text)
{
	mbstate_t state = { 0 };
	size_t left = strlen(text);
	unsigned int width = 0;

	while (left) {
		wchar_t c;
		size_t n = mbrtowc(&c, text, left, &state);

		if (n == 0 || n > left) { /* not a character: a byte */
			memset(&state, 0, sizeof(state));
			n = 1;
			width++;
		} else {
			int w = wcwidth(c);

			width += w > 0 ? (unsigned int)w : w < 0;
		}
		text += n;
		left -= n;
	}
	return width;
}

/* --- tables --- */

enum { COLUMNS_MAX = 24, CELL_MAX = 512 };

struct cell {
	char *text; /* NULL: no memory */
	enum color color;
};

struct table {
	char headings[COLUMNS_MAX][32];
	bool right[COLUMNS_MAX];
	unsigned int columns;
	struct cell *cells;
	size_t count, room;
};

struct table *table_new(const char *columns)
{
	struct table *t = calloc(1, sizeof(*t));

	for (const char *at = columns; t && at; t->columns++) {
		const char *end = strchrnul(at, '|');

		t->right[t->columns] = *at == '>';
		at += *at == '>';
		snprintf(t->headings[t->columns], sizeof(t->headings[0]), "%.*s", (int)(end - at),
			 at);
		at = *end ? end + 1 : NULL;
	}
	return t;
}

void table_cell(struct table *t, const char *fmt, ...)
{
	char text[CELL_MAX];
	struct cell *cells;
	va_list ap;

	if (!t)
		return;
	if (t->count == t->room) {
		size_t room = t->room ? t->room * 2 : 64;

		cells = realloc(t->cells, room * sizeof(*cells));
		if (!cells)
			return;
		t->cells = cells;
		t->room = room;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	t->cells[t->count++] = (struct cell){ strdup(*text ? text : "-"), COLOR_OFF };
}

void table_color(struct table *t, enum color color)
{
	if (t && t->count)
		t->cells[t->count - 1].color = color;
}

static const char *cell_text(const struct table *t, size_t i)
{
	return i < t->count && t->cells[i].text ? t->cells[i].text : "";
}

static void print_cell(const struct table *t, unsigned int column, const char *text,
		       unsigned int width, FILE *to)
{
	unsigned int used = text_width(text), pad = width > used ? width - used : 0;

	if (t->right[column])
		fprintf(to, "%*s", (int)pad, "");
	out_text(to, text);
	if (!t->right[column] && column + 1 < t->columns)
		fprintf(to, "%*s", (int)pad, "");
}

/* One line, cut after `columns` of the screen by leaving out cells that do not fit. */
static void print_row(const struct riser *r, const struct table *t, const unsigned int *widths,
		      size_t row, bool headings, unsigned int columns)
{
	unsigned int used = 0;

	for (unsigned int c = 0; c < t->columns; c++) {
		size_t i = row * t->columns + c;
		enum color color = headings ? COLOR_BOLD : i < t->count ? t->cells[i].color : 0;

		used += widths[c] + (c ? 2 : 0);
		if (columns && c && used > columns)
			break;
		if (c)
			fputs("  ", stdout);
		fputs(color ? paint(r, color) : "", stdout);
		print_cell(t, c, headings ? t->headings[c] : cell_text(t, i), widths[c], stdout);
		fputs(color ? paint(r, COLOR_OFF) : "", stdout);
	}
	putchar('\n');
}

void table_print_to(const struct riser *r, const struct table *t, unsigned int columns,
		    unsigned int rows)
{
	unsigned int widths[COLUMNS_MAX] = { 0 };
	size_t lines;

	if (!t || !t->count)
		return;
	for (unsigned int c = 0; c < t->columns; c++)
		widths[c] = text_width(t->headings[c]);
	for (size_t i = 0; i < t->count; i++) {
		unsigned int w = text_width(cell_text(t, i));

		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	lines = (t->count + t->columns - 1) / t->columns;
	print_row(r, t, widths, 0, true, columns);
	for (size_t row = 0; row < lines && (!rows || row + 1 < rows); row++)
		print_row(r, t, widths, row, false, columns);
}

void table_print(const struct riser *r, const struct table *t)
{
	table_print_to(r, t, 0, 0);
}

void table_free(struct table *t)
{
	for (size_t i = 0; t && i < t->count; i++)
		free(t->cells[i].text);
	if (t)
		free(t->cells);
	free(t);
}
