// SPDX-License-Identifier: BSD-2-Clause
/*
 * Percentiles of a log-linear histogram.
 */
#include "histogram.h"

void histogram_merge(struct histogram *h, const struct histogram *other)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		h->count[i] += other->count[i];
	h->samples += other->samples;
	if (other->max > h->max)
		h->max = other->max;
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_top(unsigned bucket)
{
	unsigned shift;
	uint64_t mantissa;

	if (bucket < HISTOGRAM_SUB)
		return bucket;
	shift = bucket / HISTOGRAM_SUB - 1;
	mantissa = bucket % HISTOGRAM_SUB + HISTOGRAM_SUB;
	return ((mantissa + 1) << shift) - 1;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	double wanted = (double)h->samples * percent / 100;
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && h->samples; i++) {
		seen += h->count[i];
		if (seen && (double)seen >= wanted)
			return bucket_top(i) < h->max ? bucket_top(i) : h->max;
	}
	return h->max;
}
