// SPDX-License-Identifier: BSD-2-Clause
/* Figures with units. Sizes of disks are powers of 1024, as their options are; rates powers of 1000. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "out.h"

enum { BUFFERS = 16, LENGTH = 40 };

static char *buffer(void)
{
	static char buffers[BUFFERS][LENGTH];
	static unsigned int next;

	return buffers[next++ % BUFFERS];
}

/* Three digits that count. */
static const char *scaled(double value, double step, const char *const *units, unsigned int count)
{
	char *buf = buffer();
	unsigned int unit = 0;

	while (unit + 1 < count && value >= step * 0.9995) {
		value /= step;
		unit++;
	}
	if (unit && value < 9.995)
		snprintf(buf, LENGTH, "%.3g%s", round(value * 100) / 100, units[unit]);
	else if (value < 99.95)
		snprintf(buf, LENGTH, "%.3g%s", round(value * 10) / 10, units[unit]);
	else
		snprintf(buf, LENGTH, "%.0f%s", value, units[unit]);
	return buf;
}

const char *human_size(uint64_t bytes)
{
	static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB", " PiB" };

	return scaled((double)bytes, 1024, units, 6);
}

const char *human_bytes(double bytes)
{
	static const char *const units[] = { " B", " kB", " MB", " GB", " TB", " PB" };

	return scaled(bytes, 1000, units, 6);
}

const char *human_count(double count)
{
	static const char *const units[] = { "", "k", "M", "G", "T" };

	return scaled(count, 1000, units, 5);
}

const char *human_ns(double ns)
{
	static const char *const units[] = { " ns", " us", " ms", " s" };

	return scaled(ns, 1000, units, 4);
}

const char *human_seconds(double seconds)
{
	uint64_t s = seconds > 0 ? (uint64_t)fmin(seconds, 0x1p62) : 0;
	unsigned long d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60;
	char *buf = buffer();

	if (d)
		snprintf(buf, LENGTH, "%lu d %lu h", d, h);
	else if (h)
		snprintf(buf, LENGTH, "%lu h %lu min", h, m);
	else if (m)
		snprintf(buf, LENGTH, "%lu min", m);
	else
		snprintf(buf, LENGTH, "%lu s", (unsigned long)s);
	return buf;
}

const char *human_since(const char *time_text)
{
	struct tm tm = { 0 };
	time_t then;

	if (!strptime(time_text, "%Y-%m-%dT%H:%M:%S", &tm))
		return "";
	then = timegm(&tm);
	return human_seconds(difftime(time(NULL), then));
}
