// SPDX-License-Identifier: BSD-2-Clause
/* Figures with units, widths of text, histograms and rates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/unit.h"
#include "tools/riser/histogram.h"
#include "tools/riser/out.h"
#include "tools/riser/sample.h"

static void units(void)
{
	CU_ASSERT_STRING_EQUAL(human_size(0), "0 B");
	CU_ASSERT_STRING_EQUAL(human_size(1023), "1023 B");
	CU_ASSERT_STRING_EQUAL(human_size(1536), "1.5 KiB");
	CU_ASSERT_STRING_EQUAL(human_size(10ULL << 30), "10 GiB");
	CU_ASSERT_STRING_EQUAL(human_size(UINT64_MAX), "16384 PiB");
	CU_ASSERT_STRING_EQUAL(human_count(999), "999");
	CU_ASSERT_STRING_EQUAL(human_count(12345), "12.3k");
	CU_ASSERT_STRING_EQUAL(human_count(999999), "1M");
	CU_ASSERT_STRING_EQUAL(human_bytes(1.234e9), "1.23 GB");
	CU_ASSERT_STRING_EQUAL(human_ns(85000), "85 us");
	CU_ASSERT_STRING_EQUAL(human_ns(1.5e9), "1.5 s");
	CU_ASSERT_STRING_EQUAL(human_seconds(273600), "3 d 4 h");
	CU_ASSERT_STRING_EQUAL(human_seconds(59), "59 s");
	CU_ASSERT_STRING_EQUAL(human_seconds(-1), "0 s");
	CU_ASSERT_STRING_EQUAL(human_since("yesterday"), "");
}

static void widths(void)
{
	CU_ASSERT_EQUAL(text_width(""), 0);
	CU_ASSERT_EQUAL(text_width("disk"), 4);
	CU_ASSERT_EQUAL(text_width("\xff\xfe"), 2); /* no characters: bytes */
}

static json_t *buckets(const int64_t (*rows)[2], size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array,
				      json_pack("{s:o, s:I}", "le_ns",
						rows[i][0] ? json_integer(rows[i][0]) : json_null(),
						"count", (json_int_t)rows[i][1]));
	return array;
}

static void percentiles(void)
{
	static const int64_t rows[][2] = { { 1000, 50 }, { 2000, 40 }, { 4000, 9 }, { 0, 1 } };
	struct histogram h = { 0 };
	json_t *array = buckets(rows, 4);

	CU_ASSERT(isnan(histogram_percentile(&h, 50)));
	histogram_add(&h, array, 1);
	CU_ASSERT_EQUAL(histogram_count(&h), 100);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 50), 1000);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 25), 500);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 90), 2000);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 99), 4000);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 100), 4000); /* longer than the last end */
	histogram_add(&h, array, -1);
	CU_ASSERT_EQUAL(histogram_count(&h), 0);
	json_decref(array);
}

/* Later looks have buckets that earlier ones had not. */
static void new_buckets(void)
{
	static const int64_t before[][2] = { { 2000, 10 } };
	static const int64_t after[][2] = { { 1000, 5 }, { 2000, 10 }, { 8000, 5 } };
	struct histogram h = { 0 };
	json_t *a = buckets(after, 3), *b = buckets(before, 1);

	histogram_add(&h, a, 1);
	histogram_add(&h, b, -1);
	CU_ASSERT_EQUAL(histogram_count(&h), 10);
	CU_ASSERT_EQUAL(h.buckets, 3);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 50), 1000);
	json_decref(a);
	json_decref(b);
}

/* More than there is room for, out of order, negative: nothing is written beyond. */
static void hostile_buckets(void)
{
	struct histogram h = { 0 };
	json_t *array = json_array();

	for (int i = 0; i < 1000; i++)
		json_array_append_new(array, json_pack("{s:i, s:i}", "le_ns", (i * 7919) % 1009,
						       "count", i - 500));
	histogram_add(&h, array, 1);
	CU_ASSERT(h.buckets <= HISTOGRAM_BUCKETS);
	histogram_percentile(&h, 99);
	histogram_add(&h, NULL, 1);
	json_decref(array);
}

static struct sample look(double at, int64_t a, int64_t b, int64_t c)
{
	struct sample s = { .at = at };

	s.luns = json_pack(
		"[{s:s, s:i, s:I, s:I, s:i}, {s:s, s:i, s:I, s:I, s:i}, {s:s, s:i, s:I}]", "target",
		"one", "lun", 0, "commands", (json_int_t)a, "read_bytes", (json_int_t)(a * 512),
		"queue", 2, "target", "one", "lun", 1, "commands", (json_int_t)b, "write_errors",
		(json_int_t)b, "queue", 3, "target", "two", "lun", 0, "commands", (json_int_t)c);
	return s;
}

static void rates(void)
{
	struct sample before = look(10, 1000, 0, 500), now = look(12, 3000, 10, 100);
	struct rate *r, total;

	CU_ASSERT_EQUAL_FATAL(sample_rates(&before, &now, RATE_LUN, &r), 3);
	CU_ASSERT_EQUAL(r[0].iops, 1000);
	CU_ASSERT_EQUAL(r[0].read, 512000);
	CU_ASSERT_EQUAL(r[1].errors, 5);
	CU_ASSERT_EQUAL(r[2].iops, 0); /* counts anew: not less than nothing */
	CU_ASSERT(isnan(r[0].p99_ns));
	total = sample_total(r, 3);
	CU_ASSERT_EQUAL(total.iops, 1005);
	free(r);
	CU_ASSERT_EQUAL_FATAL(sample_rates(&before, &now, RATE_TARGET, &r), 2);
	CU_ASSERT_STRING_EQUAL(r[0].target, "one");
	CU_ASSERT_EQUAL(r[0].iops, 1005);
	CU_ASSERT_EQUAL(r[0].queue, 5);
	free(r);
	CU_ASSERT_EQUAL(sample_rates(&before, &now, RATE_SESSION, &r), 0);
	free(r);
	sample_free(&before);
	sample_free(&now);
}

static void rates_of_what_is_new(void)
{
	struct sample nothing = { .at = 1 }, now = look(1, 5, 5, 5);
	struct rate *r;

	CU_ASSERT_EQUAL_FATAL(sample_rates(&nothing, &now, RATE_LUN, &r), 3);
	CU_ASSERT_EQUAL(r[0].iops, 0);
	CU_ASSERT_STRING_EQUAL(rate_text(&r[0]), "idle");
	free(r);
	sample_free(&now);
}

UNIT_MAIN(TEST(units), TEST(widths), TEST(percentiles), TEST(new_buckets), TEST(hostile_buckets),
	  TEST(rates), TEST(rates_of_what_is_new));
