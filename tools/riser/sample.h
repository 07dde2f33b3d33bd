// SPDX-License-Identifier: BSD-2-Clause
/* Rates: the difference of two looks at riserd's counters. */
#ifndef RISER_SAMPLE_H
#define RISER_SAMPLE_H

#include "riser.h"

/* One look. All members are NULL or references of ours. */
struct sample {
	double at; /* seconds */
	json_t *luns, *sessions;
};

enum rate_by { RATE_LUN, RATE_TARGET, RATE_SESSION };

struct rate {
	const char *target, *initiator,
		*session; /* "" where it has none; borrowed from the sample */
	int64_t lun; /* -1: none */
	double iops, read, write; /* per second; bytes */
	double errors; /* per second */
	double p50_ns, p99_ns; /* NAN: not known, or no command */
	int64_t queue; /* commands in flight */
};

/* A sample that is {0} can be freed, too. */
enum status sample_take(struct riser *r, struct sample *s);
/* The same, with an error object of client_ask() instead of words. */
enum status sample_ask(struct riser *r, struct sample *s, json_t **error);
void sample_free(struct sample *s);
/* Sleeps; false: a signal came. */
bool sample_wait(double seconds);

/* One for each of what is there by now, in riserd's order; those of a target are sums. Returns how many,
 * *out is for free(). What was not there before, or counts anew, has been idle. */
size_t sample_rates(const struct sample *before, const struct sample *now, enum rate_by by,
		    struct rate **out);
/* Sum of all, without names. */
struct rate sample_total(const struct rate *rates, size_t count);
/* "12.3k IOPS, read 48 MB/s, written 2 MB/s"; "idle". Valid until the next call. */
const char *rate_text(const struct rate *rate);
json_t *rate_json(const struct rate *rate);

#endif
