// SPDX-License-Identifier: BSD-2-Clause
/* Latency histograms: which bucket a time is in, sums of several, percentiles. */
#include <stdlib.h>
#include <string.h>

#include "latency.h"
#include "tests/lib/unit.h"

static void every_time_is_in_one_bucket(void)
{
	static const uint64_t times[] = { 0,	      1,
					  1023,	      1024,
					  1279,	      1280,
					  2047,	      2048,
					  123456789,  (1ull << 36) - 1,
					  1ull << 36, UINT64_MAX - 1 };

	for (unsigned int i = 0; i < array_size(times); i++) {
		unsigned int bucket = latency_bucket(times[i]);

		CU_ASSERT_FATAL(bucket < LATENCY_BUCKETS);
		CU_ASSERT_TRUE(times[i] < latency_bucket_end(bucket));
		CU_ASSERT_TRUE(!bucket || times[i] >= latency_bucket_end(bucket - 1));
	}
}

static void buckets_follow_each_other(void)
{
	for (unsigned int i = 0; i + 1 < LATENCY_BUCKETS; i++) {
		uint64_t end = latency_bucket_end(i), next = latency_bucket_end(i + 1);

		CU_ASSERT_EQUAL(latency_bucket(end - 1), i);
		CU_ASSERT_EQUAL(latency_bucket(end), i + 1);
		/* As wide as a quarter of what it begins with, at most. */
		if (i && next != UINT64_MAX)
			CU_ASSERT_TRUE(4 * (next - end) <= end);
	}
	CU_ASSERT_EQUAL(latency_bucket_end(LATENCY_BUCKETS - 2), 1ull << LATENCY_LAST_BIT);
}

static void add(struct latency_histograms *h, unsigned int kind, uint64_t ns, unsigned int times)
{
	while (times--) {
		latency_count(h, latency_bucket(ns), kind);
		stat_add(&h->sum_ns[kind], ns);
	}
}

static void kinds_are_apart_and_sums_add_up(void)
{
	struct latency_histograms *h = calloc(2, sizeof(*h));
	struct latency_sum sum = { 0 }, all = { 0 };

	CU_ASSERT_FATAL(h != NULL);
	add(&h[0], LATENCY_READ, 5000, 3);
	add(&h[0], LATENCY_WRITE, 70000, 5);
	add(&h[1], LATENCY_READ, 5000, 4);
	latency_add(&sum, &h[0], LATENCY_READ);
	CU_ASSERT_EQUAL(sum.samples, 3);
	latency_add(&sum, &h[1], LATENCY_READ);
	CU_ASSERT_EQUAL(sum.samples, 7);
	CU_ASSERT_EQUAL(sum.sum_ns, 35000);
	CU_ASSERT_EQUAL(sum.count[latency_bucket(5000)], 7);
	latency_add(&all, &h[0], LATENCY_WRITE);
	latency_merge(&all, &sum);
	CU_ASSERT_EQUAL(all.samples, 12);
	CU_ASSERT_EQUAL(all.sum_ns, 385000);
	free(h);
}

/* What took no time at a stage is not counted there, but shows. */
static void stages_that_took_no_time_follow_from_the_total(void)
{
	struct latency_set *set = calloc(1, sizeof(*set));
	struct latency_sum backstore = { 0 }, transport = { 0 };

	CU_ASSERT_FATAL(set != NULL);
	add(&set->of[LATENCY_TOTAL], LATENCY_READ, 100000, 10);
	add(&set->of[LATENCY_BACKSTORE], LATENCY_READ, 60000, 4);
	add(&set->of[LATENCY_QUEUE], LATENCY_READ, 10000, 1);
	latency_add_stage(&backstore, set, LATENCY_BACKSTORE, LATENCY_READ);
	CU_ASSERT_EQUAL(backstore.samples, 10);
	CU_ASSERT_EQUAL(backstore.count[0], 6);
	CU_ASSERT_EQUAL(backstore.sum_ns, 240000);
	latency_add_stage(&transport, set, LATENCY_TRANSPORT, LATENCY_READ);
	CU_ASSERT_EQUAL(transport.samples, 10);
	CU_ASSERT_EQUAL(transport.sum_ns, 1000000 - 240000 - 10000);
	free(set);
}

/* Whoever reads while a command is being counted must not see anything go back: Prometheus takes that for
 * a new start, and all that was counted for new. */
static void nothing_goes_back_while_a_command_is_counted(void)
{
	struct latency_set *set = calloc(1, sizeof(*set));
	struct latency_sum backstore = { 0 }, transport = { 0 };

	CU_ASSERT_FATAL(set != NULL);
	add(&set->of[LATENCY_TOTAL], LATENCY_READ, 100000, 10);
	add(&set->of[LATENCY_BACKSTORE], LATENCY_READ, 60000, 4);
	latency_add_stage(&backstore, set, LATENCY_BACKSTORE, LATENCY_READ);
	latency_add_stage(&transport, set, LATENCY_TRANSPORT, LATENCY_READ);
	CU_ASSERT_EQUAL(backstore.count[0], 6);
	CU_ASSERT_EQUAL(transport.sum_ns, 760000);
	/* The total was read before. */
	add(&set->of[LATENCY_BACKSTORE], LATENCY_READ, 60000, 1);
	backstore = transport = (struct latency_sum){ 0 };
	latency_add_stage(&backstore, set, LATENCY_BACKSTORE, LATENCY_READ);
	latency_add_stage(&transport, set, LATENCY_TRANSPORT, LATENCY_READ);
	CU_ASSERT_EQUAL(backstore.count[0], 6);
	CU_ASSERT_EQUAL(backstore.samples, 11);
	CU_ASSERT_EQUAL(transport.sum_ns, 760000);
	add(&set->of[LATENCY_TOTAL], LATENCY_READ, 100000, 1);
	backstore = transport = (struct latency_sum){ 0 };
	latency_add_stage(&backstore, set, LATENCY_BACKSTORE, LATENCY_READ);
	latency_add_stage(&transport, set, LATENCY_TRANSPORT, LATENCY_READ);
	CU_ASSERT_EQUAL(backstore.count[0], 6);
	CU_ASSERT_EQUAL(backstore.samples, 11);
	CU_ASSERT_EQUAL(transport.sum_ns, 800000);
	free(set);
}

static void percentiles(void)
{
	struct latency_histograms *h = calloc(1, sizeof(*h));
	struct latency_sum sum = { 0 };

	CU_ASSERT_FATAL(h != NULL);
	CU_ASSERT_EQUAL(latency_percentile(&sum, 99), 0);
	add(h, LATENCY_READ, 10000, 980);
	add(h, LATENCY_READ, 5000000, 20);
	latency_add(&sum, h, LATENCY_READ);
	CU_ASSERT_EQUAL(latency_bucket(latency_percentile(&sum, 50)), latency_bucket(10000));
	CU_ASSERT_EQUAL(latency_bucket(latency_percentile(&sum, 97)), latency_bucket(10000));
	CU_ASSERT_EQUAL(latency_bucket(latency_percentile(&sum, 99)), latency_bucket(5000000));
	CU_ASSERT_TRUE(latency_percentile(&sum, 10) < latency_percentile(&sum, 90));
	add(h, LATENCY_WRITE, UINT64_MAX / 2, 1);
	memset(&sum, 0, sizeof(sum));
	latency_add(&sum, h, LATENCY_WRITE);
	CU_ASSERT_EQUAL(latency_percentile(&sum, 50), 1ull << LATENCY_LAST_BIT);
	free(h);
}

UNIT_MAIN(TEST(every_time_is_in_one_bucket), TEST(buckets_follow_each_other),
	  TEST(kinds_are_apart_and_sums_add_up),
	  TEST(stages_that_took_no_time_follow_from_the_total),
	  TEST(nothing_goes_back_while_a_command_is_counted), TEST(percentiles));
