// SPDX-License-Identifier: BSD-2-Clause
/* Latencies in buckets, as latency.get and stats.get have them: [{le_ns, count}], in ascending order. */
#ifndef RISER_HISTOGRAM_H
#define RISER_HISTOGRAM_H

#include "riser.h"

enum { HISTOGRAM_BUCKETS = 160 };

struct histogram {
	unsigned int buckets;
	double end_ns[HISTOGRAM_BUCKETS]; /* INFINITY: of the last one */
	int64_t count[HISTOGRAM_BUCKETS];
};

/* Adds the counts times `sign`; buckets NULL: nothing. */
void histogram_add(struct histogram *h, const json_t *buckets, int sign);
int64_t histogram_count(const struct histogram *h);
/* What `percent` of them do not exceed, spread evenly within a bucket; NAN: there is none. */
double histogram_percentile(const struct histogram *h, double percent);

#endif
