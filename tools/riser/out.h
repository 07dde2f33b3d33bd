// SPDX-License-Identifier: BSD-2-Clause
/* What people read: tables, figures with units, colours. --json prints none of it. */
#ifndef RISER_OUT_H
#define RISER_OUT_H

#include <stdio.h>

#include "riser.h"

enum color { COLOR_OFF, COLOR_BOLD, COLOR_DIM, COLOR_RED, COLOR_GREEN, COLOR_YELLOW };

/* The escape sequence, or "" where stdout has no colours. */
const char *paint(const struct riser *r, enum color color);
/* Colour of a word of health: "ok", "degraded", ... */
enum color health_color(const char *health);

/* One JSON text and a newline, on stdout. */
void out_json(const json_t *value);
/* Text of others: control characters, those that nobody sees or that turn the direction of writing, and
 * what is no UTF-8 become '?', so that it can neither drive the terminal nor pass for another. */
void out_text(FILE *to, const char *text);
/* The same with its lines and tabs. */
void out_lines(FILE *to, const char *text);
/* The same in at most so many columns of the screen; the last is '>' if there was more. */
void out_cut(FILE *to, const char *text, unsigned int columns);
/* The same for printf(): the text itself if it may be shown, else a copy of at most 511 bytes that is
 * overwritten after 16 calls. */
const char *shown(const char *text);
/* Makes UTF-8 of a text in its place: '?' for each byte that is none. */
void text_mend(char *text);
/* A JSON string; what is no UTF-8 is mended. NULL: no memory. */
json_t *text_json(const char *text);
/* Of stdin, stdout and stderr, what is closed is opened to nothing: else the socket of riserd, or a file,
 * would get its number and what is printed. */
void out_open_standard(void);
/* Whether nobody reads stdout any more. */
bool out_unread(void);
/* After a command: what could not be written is an error, unless nobody reads it. Returns the status. */
enum status out_end(enum status status);
/* Bytes of the first character; 0: it is no UTF-8. */
size_t text_letter(const char *text);
/* Whether all of it is UTF-8; NULL is. */
bool is_text(const char *text);

/* Columns "NAME|>SIZE": those with '>' are aligned to the right. NULL: no memory, which all of these
 * take. Cells that are "" show "-". */
struct table;
struct table *table_new(const char *columns);
/* The next cell; rows end by themselves. */
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_color(struct table *t, enum color color); /* of the last cell */
void table_print(const struct riser *r,
		 const struct table *t); /* headings only if there are rows */
void table_print_to(const struct riser *r, const struct table *t, unsigned int columns,
		    unsigned int rows); /* cut to the screen; 0: not */
void table_free(struct table *t);

/* Into one of some buffers, of which the oldest is used again after 16 calls. */
const char *human_size(uint64_t bytes); /* "10 GiB" */
const char *human_bytes(double bytes); /* per second or in all, powers of 1000: "1.2 MB" */
const char *human_count(double count); /* "12.3k" */
const char *human_ns(double ns); /* "85 us" */
const char *human_seconds(double seconds); /* "3 d 4 h" */
/* How long ago an RFC 3339 time was, "2 h 3 min"; "" for "" */
const char *human_since(const char *time);
/* How many columns a text takes on a terminal. */
unsigned int text_width(const char *text);

#endif
