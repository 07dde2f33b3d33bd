// SPDX-License-Identifier: BSD-2-Clause
/* Text, tables and colours. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
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

void out_open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

bool out_unread(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP);
}

enum status out_end(enum status status)
{
	int err = fflush(stdout) ? errno : 0;

	if (!err && !ferror(stdout))
		return status;
	clearerr(stdout);
	if (err == EPIPE || out_unread())
		return status;
	fprintf(stderr, "riser: the output cannot be written: %s%s\n", strerror(err ? err : EIO),
		status ? "" : "; the command has been carried out");
	return status ? status : STATUS_FAILED;
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

/* One character of a text, or a byte that is none. */
struct letter {
	size_t len;
	unsigned int width; /* columns */
	bool shown; /* else '?' stands for it */
};

static bool may_be_shown(uint32_t code)
{
	static const struct {
		uint32_t first, last;
	} never[] = {
		/* control characters, C1 too */
		{ 0, 0x1f },
		{ 0x7f, 0x9f },
		/* of no width, and those that turn the direction */
		{ 0x61c, 0x61c },
		{ 0x200b, 0x200f },
		{ 0x2028, 0x202e },
		{ 0x2060, 0x206f },
		{ 0xfeff, 0xfeff },
		{ 0xfff9, 0xfffb },
		{ 0xe0000, 0xe007f },
	};

	for (unsigned int i = 0; i < sizeof(never) / sizeof(*never); i++) {
		if (code >= never[i].first && code <= never[i].last)
			return false;
	}
	return true;
}

static struct letter letter_at(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t len = text_letter(text);
	uint32_t code = len > 1 ? *c & (0x7f >> len) : *c;
	int width;

	for (size_t i = 1; i < len; i++)
		code = code << 6 | (c[i] & 0x3f);
	if (!len || !may_be_shown(code))
		return (struct letter){ len ? len : 1, 1, false };
	/* Of the C locale there is no width for it. */
	width = wcwidth((wchar_t)code);
	return (struct letter){ len, width < 0 ? 1 : (unsigned int)width, true };
}

static void put_letter(FILE *to, const char *text, const struct letter *l)
{
	if (l->shown)
		fwrite(text, 1, l->len, to);
	else
		fputc('?', to);
}

void out_text(FILE *to, const char *text)
{
	for (struct letter l; *text; text += l.len) {
		l = letter_at(text);
		put_letter(to, text, &l);
	}
}

void out_lines(FILE *to, const char *text)
{
	for (struct letter l; *text; text += l.len) {
		l = letter_at(text);
		l.shown |= *text == '\n' || *text == '\t';
		put_letter(to, text, &l);
	}
}

unsigned int text_width(const char *text)
{
	unsigned int width = 0;

	for (struct letter l; *text; text += l.len) {
		l = letter_at(text);
		width += l.width;
	}
	return width;
}

void out_cut(FILE *to, const char *text, unsigned int columns)
{
	bool all = text_width(text) <= columns;
	unsigned int left = all || !columns ? columns : columns - 1;

	for (struct letter l; *text; text += l.len, left -= l.width) {
		l = letter_at(text);
		if (l.width > left)
			break;
		put_letter(to, text, &l);
	}
	if (!all && columns)
		fputc('>', to);
}

const char *shown(const char *text)
{
	static char buffers[16][512];
	static unsigned int next;
	struct letter l;
	size_t used = 0;
	const char *at;
	char *copy;

	for (at = text; *at; at += l.len) {
		l = letter_at(at);
		if (!l.shown)
			break;
	}
	if (!*at)
		return text;
	copy = buffers[next++ % 16];
	for (at = text; *at && used + 5 < sizeof(buffers[0]); at += l.len) {
		l = letter_at(at);
		if (l.shown)
			memcpy(copy + used, at, l.len);
		else
			copy[used] = '?';
		used += l.shown ? l.len : 1;
	}
	copy[used] = '\0';
	return copy;
}

void text_mend(char *text)
{
	for (size_t len; *text; text += len ? len : 1) {
		len = text_letter(text);
		if (!len)
			*text = '?';
	}
}

json_t *text_json(const char *text)
{
	json_t *json = json_string(text);
	char *copy;

	if (json)
		return json;
	copy = strdup(text);
	if (copy)
		text_mend(copy);
	json = copy ? json_string(copy) : NULL;
	free(copy);
	return json;
}

/* --- tables --- */

/* Beyond this width the other rows get no blanks. */
enum { COLUMNS_MAX = 24, WIDTH_MAX = 256 };

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

	for (const char *at = columns; t && at && t->columns < COLUMNS_MAX; t->columns++) {
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
	struct cell *cells;
	char *text;
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
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (text && !*text) {
		free(text);
		text = strdup("-");
	}
	t->cells[t->count++] = (struct cell){ text, COLOR_OFF };
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

/* room: of the screen; 0: it has no end. */
static void print_cell(const struct table *t, unsigned int column, const char *text,
		       unsigned int width, unsigned int room)
{
	unsigned int used = text_width(text), pad = width > used ? width - used : 0;

	if (t->right[column])
		printf("%*s", (int)pad, "");
	if (room && used > room)
		out_cut(stdout, text, room);
	else
		out_text(stdout, text);
	if (!t->right[column] && column + 1 < t->columns)
		printf("%*s", (int)pad, "");
}

/* One line, cut after `columns` of the screen by leaving out cells that do not fit; the first one is cut. */
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
		print_cell(t, c, headings ? t->headings[c] : cell_text(t, i), widths[c],
			   c ? 0 : columns);
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
			widths[i % t->columns] = w < WIDTH_MAX ? w : WIDTH_MAX;
	}
	/* The first one is cut, rather than that the screen has two lines of each. */
	if (columns && widths[0] > columns)
		widths[0] = columns;
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
