// SPDX-License-Identifier: BSD-2-Clause
/* riser stats, riser latency */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "histogram.h"
#include "out.h"
#include "show.h"

enum { COLUMNS = 20, BAR = 40 };

static bool is_plain(const json_t *value)
{
	return !json_is_object(value) && !json_is_array(value);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

static void plain_cell(struct table *t, const char *key, const json_t *value)
{
	if (json_is_string(value))
		table_cell(t, "%s", json_string_value(value));
	else if (json_is_number(value) && ends_with(key, "_ratio"))
		table_cell(t, "%.1f%%", json_number_value(value) * 100);
	else if (json_is_number(value) && ends_with(key, "_bytes"))
		table_cell(t, "%s", human_bytes(json_number_value(value)));
	else if (json_is_number(value) && ends_with(key, "_ns"))
		table_cell(t, "%s", human_ns(json_number_value(value)));
	else if (json_is_integer(value))
		table_cell(t, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		table_cell(t, "%.3g", json_real_value(value));
	else
		table_cell(t, "%s", json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "");
}

/* "read_bytes" is "READ BYTES"; figures stand on the right. */
static void heading(char *columns, size_t size, const char *key, const json_t *value)
{
	size_t used = strlen(columns);

	snprintf(columns + used, size - used, "%s%s%s", used ? "|" : "",
		 json_is_number(value) ? ">" : "", key);
	for (char *c = columns + used + (used > 0); *c; c++) {
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
		else if (*c == '_')
			*c = ' ';
		else if (*c == '|')
			*c = '?';
	}
}

/* What a row is about stands in front of its figures. */
static bool is_name(const char *key)
{
	static const char *const names[] = { "target", "lun",	"id",  "session", "initiator",
					     "name",   "index", "cpu", "reactor" };

	for (unsigned int i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(key, names[i]))
			return true;
	}
	return false;
}

/* Keys of the columns, borrowed from the object. */
static unsigned int pick(const json_t *o, const char *keys[COLUMNS])
{
	unsigned int n = 0;
	const char *key;
	json_t *value;

	for (int names = 1; names >= 0; names--) {
		json_object_foreach((json_t *)o, key, value)
		{
			if (is_plain(value) && is_name(key) == names && n < COLUMNS)
				keys[n++] = key;
		}
	}
	return n;
}

/* A table of whatever members the first one has: riserd may have learnt more than we know. */
static void show_objects(const struct riser *r, const char *title, const json_t *array)
{
	const json_t *first = json_array_get(array, 0), *o;
	const char *keys[COLUMNS];
	unsigned int count = first ? pick(first, keys) : 0;
	char columns[COLUMNS * 32] = "";
	struct table *t;

	if (!count)
		return;
	for (unsigned int i = 0; i < count; i++)
		heading(columns, sizeof(columns), keys[i], json_object_get(first, keys[i]));
	t = table_new(columns);
	each_member(array, o) {
		for (unsigned int i = 0; i < count; i++)
			plain_cell(t, keys[i], json_object_get(o, keys[i]));
	}
	printf("%s%s%s\n", paint(r, COLOR_BOLD), shown(title), paint(r, COLOR_OFF));
	table_print(r, t);
	putchar('\n');
	table_free(t);
}

static void show_count(const char *key, const json_t *value)
{
	char name[128];

	snprintf(name, sizeof(name), "%s", key);
	for (char *c = name; *c; c++)
		*c = *c == '_' ? ' ' : *c;
	printf("%14lld  %s\n", (long long)json_integer_value(value), shown(name));
}

/* {reason: count}: those that have happened. */
static void show_counts(const struct riser *r, const char *title, const json_t *counts)
{
	const char *key;
	json_t *value;
	bool any = false;

	json_object_foreach((json_t *)counts, key, value) any |= json_integer_value(value) != 0;
	if (!any)
		return;
	printf("%s%s%s\n", paint(r, COLOR_BOLD), shown(title), paint(r, COLOR_OFF));
	json_object_foreach((json_t *)counts, key, value)
	{
		if (json_integer_value(value))
			show_count(key, value);
	}
	putchar('\n');
}

static void show_buffers(const json_t *buffers)
{
	printf("buffers: %s, %s in use\n\n", human_size((uint64_t)member_number(buffers, "size")),
	       human_size((uint64_t)member_number(buffers, "in_use")));
}

static void show_stats(struct riser *r, const json_t *stats)
{
	char title[64];
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)stats, key, value)
	{
		snprintf(title, sizeof(title), "%s", key);
		for (char *c = title; *c; c++)
			*c = *c == '_' ? ' ' : *c;
		if (json_is_array(value))
			show_objects(r, title, value);
		else if (!strcmp(key, "buffers"))
			show_buffers(value);
		else if (json_is_object(value))
			show_counts(r, title, value);
	}
	json_object_foreach((json_t *)stats, key, value)
	{
		if (json_is_integer(value))
			show_count(key, value);
	}
}

/* --- latency --- */

static void bar(const struct riser *r, int64_t count, int64_t most)
{
	double part = most > 0 && count > 0 ? (double)count / (double)most : 0;
	unsigned int eighths = (unsigned int)ceil(fmin(part, 1) * BAR * 8);

	for (unsigned int i = 0; i < eighths / 8; i++)
		fputs(r->utf8 ? "\u2588" : "#", stdout);
	if (r->utf8 && eighths % 8)
		printf("%c%c%c", 0xe2, 0x96, 0x90 - (int)(eighths % 8));
	else if (eighths % 8)
		putchar('#');
}

static void row(const struct riser *r, double end, int64_t count, int64_t most)
{
	if (!count)
		return;
	if (isinf(end))
		printf("  %12s", "more");
	else
		printf("  < %10s", human_ns(end));
	printf("  %10lld  ", (long long)count);
	bar(r, count, most);
	putchar('\n');
}

/* The next end of a bucket for people: powers of two. */
static double octave(double end)
{
	return isinf(end) ? end : exp2(ceil(log2(end)));
}

/* A line for each octave; neighbours of one are joined. */
static void show_buckets(const struct riser *r, const struct histogram *h)
{
	int64_t most = 0;

	for (int printing = 0; printing < 2; printing++) {
		int64_t sum = 0;

		for (unsigned int i = 0; i < h->buckets; i++) {
			double end = octave(h->end_ns[i]);

			sum += h->count[i];
			if (i + 1 < h->buckets && octave(h->end_ns[i + 1]) <= end)
				continue;
			if (printing)
				row(r, end, sum, most);
			most = sum > most ? sum : most;
			sum = 0;
		}
	}
}

static void show_histogram(const struct riser *r, const char *stage, const json_t *o)
{
	struct histogram h = { 0 };
	int64_t total;

	histogram_add(&h, json_object_get(o, "buckets"), 1);
	total = histogram_count(&h);
	printf("%s%-10s%s %lld commands", paint(r, COLOR_BOLD), shown(stage), paint(r, COLOR_OFF),
	       (long long)total);
	if (total)
		printf(", p50 %s, p90 %s, p99 %s", human_ns(histogram_percentile(&h, 50)),
		       human_ns(histogram_percentile(&h, 90)),
		       human_ns(histogram_percentile(&h, 99)));
	putchar('\n');
	show_buckets(r, &h);
}

static void show_latency(struct riser *r, const json_t *result)
{
	const json_t *stages = json_object_get(result, "stages");
	const char *stage;
	json_t *o;

	json_object_foreach((json_t *)stages, stage, o) show_histogram(r, stage, o);
}

/* riserd has no dry run of it: what is asked without the reset says whether there is such a LUN. */
static enum status run_latency(struct riser *r, const struct args *a)
{
	const char *target = args_operand(a, 0), *lun = args_operand(a, 1);
	json_t *params = args_params(r, a), *result;
	enum status status;

	if (r->dry_run) {
		json_object_del(params, "reset");
		json_object_del(params, "dry_run");
	}
	status = client_call(r, "latency.get", params, &result);
	if (status)
		return status;
	if (r->dry_run && args_flag(a, "reset"))
		show_dry_run(r, "begin the histograms of %s%s%s again",
			     target ? target : "all targets", lun ? " LUN " : "", lun ? lun : "");
	else if (r->json)
		out_json(result);
	else
		show_latency(r, result);
	json_decref(result);
	return STATUS_OK;
}

#define OPTIONAL_TARGET                                                                          \
	{                                                                                        \
		.name = "TARGET", .kind = KIND_TARGET, .param = "target", .flags = WORD_OPTIONAL \
	}

const struct command stats_commands[] = {
	{ .noun = "stats",
	  .about = "All counters since riserd started",
	  .details = "riser top makes rates of them.",
	  .method = "stats.get",
	  .show = show_stats },
	{ .noun = "latency",
	  .about = "Where the time goes: histograms of transport, queue and backstore",
	  .details = "Of all LUNs, of those of a target or of one. transport is what network and "
		     "initiator take, queue the wait for a turn, backstore the disk.",
	  .operands = WORDS(
		  OPTIONAL_TARGET,
		  { .name = "LUN", .kind = KIND_LUN, .param = "lun", .flags = WORD_OPTIONAL }),
	  .options = WORDS({ .name = "reset", .param = "reset", .about = "and begin again" }),
	  .flags = COMMAND_CHANGES,
	  .run = run_latency },
	{ .noun = NULL },
};
