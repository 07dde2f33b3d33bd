// SPDX-License-Identifier: BSD-2-Clause
/* Sums, differences and percentiles of histograms. */
#include <math.h>

#include "histogram.h"

#define COUNT_MAX ((int64_t)1 << 48) /* so that sums of what is no count stay numbers */

/* The bucket that ends there; they come in order, so it is near `from`. */
static unsigned int bucket_of(struct histogram *h, unsigned int from, double end)
{
	unsigned int i = from;

	while (i < h->buckets && h->end_ns[i] < end)
		i++;
	if (i < h->buckets && h->end_ns[i] <= end)
		return i;
	if (h->buckets == HISTOGRAM_BUCKETS)
		return i < h->buckets ? i : i - 1; /* more than there can be: into the next one */
	for (unsigned int k = h->buckets++; k > i; k--) {
		h->end_ns[k] = h->end_ns[k - 1];
		h->count[k] = h->count[k - 1];
	}
	h->end_ns[i] = end;
	h->count[i] = 0;
	return i;
}

void histogram_add(struct histogram *h, const json_t *buckets, int sign)
{
	const json_t *b;
	unsigned int at = 0;

	each_member(buckets, b) {
		const json_t *end = json_object_get(b, "le_ns");
		int64_t count = member_number(b, "count");

		count = count < 0 ? 0 : count > COUNT_MAX ? COUNT_MAX : count;
		if (!count)
			continue;
		at = bucket_of(h, at, json_is_number(end) ? json_number_value(end) : INFINITY);
		h->count[at] += sign * count;
	}
}

int64_t histogram_count(const struct histogram *h)
{
	int64_t sum = 0;

	for (unsigned int i = 0; i < h->buckets; i++)
		sum += h->count[i] > 0 ? h->count[i] : 0;
	return sum;
}

double histogram_percentile(const struct histogram *h, double percent)
{
	double wanted = (double)histogram_count(h) * percent / 100, seen = 0;

	for (unsigned int i = 0; i < h->buckets; i++) {
		double begin = i ? h->end_ns[i - 1] : 0, count = (double)h->count[i];

		if (count <= 0)
			continue;
		if (seen + count >= wanted)
			return isinf(h->end_ns[i])
				       ? begin
				       : begin + (h->end_ns[i] - begin) * (wanted - seen) / count;
		seen += count;
	}
	return NAN;
}
