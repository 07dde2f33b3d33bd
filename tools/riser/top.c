// SPDX-License-Identifier: BSD-2-Clause
/* riser top: rates per LUN, target or session; on a terminal with keys, elsewhere one table after the other. */
#include <ctype.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "out.h"
#include "sample.h"

struct top {
	struct riser *r;
	enum rate_by by;
	char sort; /* a key of sorts[] */
	double interval;
	bool screen; /* drawn again and again, with keys */
	struct sample before, now;
	json_t *error; /* to be said when the screen is back */
};

static const struct sort {
	char key;
	const char *name;
} sorts[] = {
	{ 'i', "iops" },    { 'r', "read" },  { 'w', "write" },
	{ 'p', "latency" }, { 'q', "queue" }, { 'e', "errors" },
};
#define SORT_WORDS "iops read write latency queue errors"

static const char *const views[] = { "lun", "target", "session" };

static volatile sig_atomic_t ended;

static void end(int sig)
{
	(void)sig;
	ended = 1;
}

/* --- order --- */

static double figure(const struct rate *rate, char key)
{
	switch (key) {
	case 'r': return rate->read;
	case 'w': return rate->write;
	case 'p': return isnan(rate->p99_ns) ? -1 : rate->p99_ns;
	case 'q': return (double)rate->queue;
	case 'e': return rate->errors;
	default: return rate->iops;
	}
}

/* The busiest first; those that do the same as riserd has them. */
static int compare(const void *left, const void *right, void *key)
{
	const struct rate *a = left, *b = right;
	double x = figure(a, *(char *)key), y = figure(b, *(char *)key);
	int order = (x < y) - (x > y);

	if (!order)
		order = strcmp(a->target, b->target);
	if (!order)
		order = (a->lun > b->lun) - (a->lun < b->lun);
	return order ? order : strcmp(a->session, b->session);
}

/* --- showing --- */

static const char *latency_text(double ns)
{
	return isnan(ns) ? "" : human_ns(ns);
}

static struct table *table_of(const struct top *t, const struct rate *rates, size_t count)
{
	static const char *const columns[] = {
		"TARGET|>LUN|>IOPS|>READ/s|>WRITE/s|>P50|>P99|>QUEUE|>ERRORS/s",
		"TARGET|>IOPS|>READ/s|>WRITE/s|>P50|>P99|>QUEUE|>ERRORS/s",
		"INITIATOR|SESSION|>IOPS|>READ/s|>WRITE/s|>P50|>P99|>QUEUE|>ERRORS/s|TARGET",
	};
	struct table *table = table_new(columns[t->by]);

	for (size_t i = 0; i < count; i++) {
		const struct rate *rate = &rates[i];

		table_cell(table, "%s", t->by == RATE_SESSION ? rate->initiator : rate->target);
		if (t->by == RATE_LUN)
			table_cell(table, "%lld", (long long)rate->lun);
		else if (t->by == RATE_SESSION)
			table_cell(table, "%s", rate->session);
		table_cell(table, "%s", human_count(rate->iops));
		table_cell(table, "%s", human_bytes(rate->read));
		table_cell(table, "%s", human_bytes(rate->write));
		table_cell(table, "%s", latency_text(rate->p50_ns));
		table_cell(table, "%s", latency_text(rate->p99_ns));
		table_cell(table, "%lld", (long long)rate->queue);
		table_cell(table, "%s", human_count(rate->errors));
		table_color(table, rate->errors > 0 ? COLOR_RED : COLOR_OFF);
		if (t->by == RATE_SESSION)
			table_cell(table, "%s", rate->target);
	}
	return table;
}

static void time_text(char *buf, size_t size, bool rfc)
{
	time_t now = time(NULL);
	struct tm tm;

	if (rfc)
		strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	else
		strftime(buf, size, "%H:%M:%S", localtime_r(&now, &tm));
}

static void print_json(const struct top *t, const struct rate *rates, size_t count)
{
	json_t *rows = json_array(), *row, *all;
	char now[32];

	for (size_t i = 0; i < count; i++) {
		row = rate_json(&rates[i]);
		json_object_set_new(row, "target", json_string(rates[i].target));
		if (t->by == RATE_LUN)
			json_object_set_new(row, "lun", json_integer(rates[i].lun));
		if (t->by == RATE_SESSION) {
			json_object_set_new(row, "initiator", json_string(rates[i].initiator));
			json_object_set_new(row, "session", json_string(rates[i].session));
		}
		json_array_append_new(rows, row);
	}
	time_text(now, sizeof(now), true);
	all = json_pack("{s:s, s:s, s:f, s:o}", "time", now, "by", views[t->by], "seconds",
			t->now.at - t->before.at, "rows", rows);
	out_json(all);
	json_decref(all);
}

/* Of the terminal; a serial line may not know. */
static struct winsize screen_size(void)
{
	struct winsize size = { 0 };

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	size.ws_row = size.ws_row ? size.ws_row : 24;
	size.ws_col = size.ws_col ? size.ws_col : 80;
	return size;
}

static void print_table(const struct top *t, const struct table *table, const char *head)
{
	static const char keys[] = "[l]un [t]arget [s]ession  [i]ops [r]ead [w]rite [p]99 [q]ueue "
				   "[e]rrors  [x] exit";
	struct winsize size = screen_size();

	if (!t->screen) {
		puts(head);
		table_print(t->r, table);
		putchar('\n');
		return;
	}
	printf("\033[H\033[J%s", paint(t->r, COLOR_BOLD));
	out_cut(stdout, head, size.ws_col);
	printf("%s\n%s", paint(t->r, COLOR_OFF), paint(t->r, COLOR_DIM));
	out_cut(stdout, keys, size.ws_col);
	printf("%s\n\n", paint(t->r, COLOR_OFF));
	table_print_to(t->r, table, size.ws_col, size.ws_row > 5 ? size.ws_row - 4 : 1);
}

static void print_screen(const struct top *t, const struct rate *rates, size_t count)
{
	struct rate total = sample_total(rates, count);
	struct table *table = table_of(t, rates, count);
	const char *sort = "";
	char now[32], head[320];

	time_text(now, sizeof(now), false);
	for (unsigned int i = 0; i < sizeof(sorts) / sizeof(*sorts); i++) {
		if (sorts[i].key == t->sort)
			sort = sorts[i].name;
	}
	if (t->screen)
		snprintf(head, sizeof(head), "riser top  %s  by %s, sorted by %s  %s", now,
			 views[t->by], sort, rate_text(&total));
	else
		snprintf(head, sizeof(head), "%s  by %s  %s", now, views[t->by], rate_text(&total));
	print_table(t, table, head);
	table_free(table);
	fflush(stdout);
}

static void show(struct top *t)
{
	struct rate *rates;
	size_t count = sample_rates(&t->before, &t->now, t->by, &rates);

	if (count)
		qsort_r(rates, count, sizeof(*rates), compare, &t->sort);
	if (t->r->json)
		print_json(t, rates, count);
	else
		print_screen(t, rates, count);
	free(rates);
}

/* --- keys --- */

static void key(struct top *t, char c)
{
	switch (c) {
	case 'l': t->by = RATE_LUN; break;
	case 't': t->by = RATE_TARGET; break;
	case 's': t->by = RATE_SESSION; break;
	case 'x':
	case 'Q':
	case 27: ended = 1; break;
	default:
		for (unsigned int i = 0; i < sizeof(sorts) / sizeof(*sorts); i++)
			t->sort = sorts[i].key == c ? c : t->sort;
	}
	if (t->before.luns)
		show(t);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_and_listen(struct top *t)
{
	int64_t until = now_ms() + (int64_t)(t->interval * 1000), left;
	struct pollfd p = { .fd = t->screen ? STDIN_FILENO : -1, .events = POLLIN };
	char c;

	while (!ended && (left = until - now_ms()) > 0) {
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		if (read(STDIN_FILENO, &c, 1) == 1)
			key(t, c);
		else
			ended = 1;
	}
}

static enum status look(struct top *t)
{
	sample_free(&t->before);
	t->before = t->now;
	t->now = (struct sample){ 0 };
	return sample_ask(t->r, &t->now, &t->error);
}

static enum status loop(struct top *t, int64_t count)
{
	enum status status = look(t);

	for (int64_t n = 0; !status && !ended && (!count || n < count) && !ferror(stdout); n++) {
		pause_and_listen(t);
		if (!ended)
			status = look(t);
		if (!ended && !status)
			show(t);
	}
	sample_free(&t->before);
	sample_free(&t->now);
	return status;
}

static char sort_key(const char *name)
{
	for (unsigned int i = 0; name && i < sizeof(sorts) / sizeof(*sorts); i++) {
		if (!strcmp(sorts[i].name, name))
			return sorts[i].key;
	}
	return 'i';
}

static enum rate_by view_of(const char *name)
{
	for (unsigned int i = 0; name && i < 3; i++) {
		if (!strcmp(views[i], name))
			return (enum rate_by)i;
	}
	return RATE_LUN;
}

static enum status run_top(struct riser *r, const struct args *a)
{
	struct sigaction stop = { .sa_handler = end }, old[2];
	struct termios was, raw;
	struct top t = {
		.r = r,
		.by = view_of(args_option(a, "by", 0)),
		.sort = sort_key(args_option(a, "sort", 0)),
		.interval = args_real(a, "interval", 1),
		.screen = r->terminal && !r->json && !args_flag(a, "count") &&
			  !tcgetattr(STDIN_FILENO, &was),
	};
	enum status status;

	if (t.interval < 0.1)
		return fail(r, STATUS_USAGE, NULL, "0.1 at least", "--interval: too short");
	if (args_number(a, "count", 1) < 1)
		return fail(r, STATUS_USAGE, NULL, "1 at least", "--count: too few");
	ended = 0;
	sigaction(SIGINT, &stop, &old[0]);
	sigaction(SIGTERM, &stop, &old[1]);
	if (t.screen) {
		raw = was;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
		printf("\033[?1049h\033[?25l");
	}
	status = loop(&t, args_number(a, "count", 0));
	if (t.screen) {
		printf("\033[?25h\033[?1049l");
		fflush(stdout);
		tcsetattr(STDIN_FILENO, TCSANOW, &was);
	}
	sigaction(SIGINT, &old[0], NULL);
	sigaction(SIGTERM, &old[1], NULL);
	if (status)
		client_report(r, status, t.error);
	json_decref(t.error);
	return status;
}

const struct command top_commands[] = {
	{ .noun = "top",
	  .about = "Who does how much now: IOPS, throughput, latency, queue and errors",
	  .details = "On a terminal keys change the view; elsewhere, or with --count, one table "
		     "follows the other, with --json one object per line.",
	  .options = WORDS({ .name = "by",
			     .kind = KIND_WORD,
			     .value = "VIEW",
			     .words = "lun target session",
			     .about = "a row for each" },
			   { .name = "sort",
			     .kind = KIND_WORD,
			     .value = "FIGURE",
			     .words = SORT_WORDS,
			     .about = "the highest first" },
			   { .name = "interval",
			     .letter = 'i',
			     .kind = KIND_REAL,
			     .value = "SECONDS",
			     .about = "between two looks (1)" },
			   { .name = "count",
			     .letter = 'n',
			     .kind = KIND_NUMBER,
			     .value = "N",
			     .about = "so many times, then end" }),
	  .run = run_top },
	{ .noun = NULL },
};
