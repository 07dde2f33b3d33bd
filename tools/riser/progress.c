// SPDX-License-Identifier: BSD-2-Clause
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "out.h"

enum { BAR = 24, LINE_MAX_S = 60, LINE_PERCENT = 10, COLUMNS_MAX = 512 };
enum { PERCENT = 5, NAME_LEAST = 8 }; /* columns: " 100%", and so many of the name */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void progress_begin(struct progress *p, const struct riser *r)
{
	*p = (struct progress){ .r = r, .begun = now() };
}

static unsigned int columns(void)
{
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || !w.ws_col)
		return 80;
	return w.ws_col < COLUMNS_MAX ? w.ws_col : COLUMNS_MAX;
}

/* ", 2 min left", or "" while nobody can tell. */
static void rest(const struct progress *p, uint64_t done, uint64_t total, char *out, size_t size)
{
	double seconds = now() - p->begun;

	out[0] = '\0';
	if (done > p->first && done < total && seconds >= 1)
		snprintf(out, size, ", %s left",
			 human_seconds(seconds * (double)(total - done) /
				       (double)(done - p->first)));
}

static void draw(const struct progress *p, const char *what, const char *figures,
		 unsigned int percent)
{
	const char *full = p->r->utf8 ? "\u2588" : "#", *empty = p->r->utf8 ? "\u2591" : ".";
	unsigned int room = columns() - 1, used = PERCENT, bar = BAR;

	/* What does not fit is left out: a second line would stay for ever. */
	if (used + bar + 1 + text_width(figures) + NAME_LEAST > room)
		figures = "";
	if (used + bar + 1 + text_width(figures) + NAME_LEAST > room)
		bar = 0;
	used += (bar ? bar + 1 : 0) + text_width(figures);
	fputc('\r', stderr);
	out_cut(stderr, what, room > used ? room - used : 0);
	fputs(bar ? " " : "", stderr);
	for (unsigned int i = 0; i < bar; i++)
		fputs(i * 100 < percent * bar ? full : empty, stderr);
	fprintf(stderr, " %3u%%%s\033[K", percent, figures);
	fflush(stderr);
}

void progress_show(struct progress *p, const char *what, uint64_t done, uint64_t total)
{
	unsigned int percent = total ? (unsigned int)((double)done * 100 / (double)total) : 0;
	bool terminal = isatty(STDERR_FILENO);
	double at = now();
	char left[64], figures[160];

	if (!p->called)
		p->first = done;
	p->called = true;
	if (p->r->json || at - p->begun < p->patience)
		return;
	if (p->shown &&
	    (terminal ? percent == p->percent && at - p->shown < 1
		      : percent < p->percent + LINE_PERCENT && at - p->shown < LINE_MAX_S))
		return;
	p->shown = at;
	p->percent = percent;
	rest(p, done, total, left, sizeof(left));
	if (p->unit)
		snprintf(figures, sizeof(figures), " %llu of %llu %s%s", (unsigned long long)done,
			 (unsigned long long)total, p->unit, left);
	else
		snprintf(figures, sizeof(figures), " %s of %s%s", human_size(done),
			 human_size(total), left);
	p->bar = terminal;
	if (terminal)
		draw(p, what, total ? figures : "", percent);
	else
		fprintf(stderr, "%s: %u%%,%s\n", shown(what), percent, figures);
}

void progress_end(struct progress *p)
{
	if (p->bar)
		fputc('\n', stderr);
	p->bar = false;
	p->shown = 0;
}
