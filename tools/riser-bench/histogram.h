// SPDX-License-Identifier: BSD-2-Clause
/*
 * Latencies in nanoseconds, counted in buckets whose width grows with the value (as HDR histograms
 * do): exact below 64 ns, and never more than 1/64 off above.
 */
#ifndef RISER_BENCH_HISTOGRAM_H
#define RISER_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
	HISTOGRAM_SUB_BITS = 6,
	HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
	HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB,
};

struct histogram {
	uint64_t samples;
	uint64_t max;
	uint64_t count[HISTOGRAM_BUCKETS];
};

/* Adds the samples of the other one. */
void histogram_merge(struct histogram *h, const struct histogram *other);
/* The value that `percent` of the samples do not exceed, rounded up to its bucket; 0 if empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

static inline unsigned histogram_bucket(uint64_t ns)
{
	unsigned shift;

	if (ns < HISTOGRAM_SUB)
		return (unsigned)ns;
	shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
	return (shift + 1) * HISTOGRAM_SUB + (unsigned)(ns >> shift) - HISTOGRAM_SUB;
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
	h->count[histogram_bucket(ns)]++;
	h->samples++;
	if (ns > h->max)
		h->max = ns;
}

#endif
