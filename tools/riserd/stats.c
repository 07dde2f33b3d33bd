// SPDX-License-Identifier: BSD-2-Clause
/* Sums of what the units count, and how latencies look as JSON. */
#include "stats.h"

#include <stdatomic.h>

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void stats_of_lun(const struct lu *lu, unsigned int reactors, struct lun_counts *out)
{
	*out = (struct lun_counts){ .queue = lu_under_way(lu) };
	for (unsigned int r = 0; r < reactors; r++) {
		const struct lu_stats *st = lu_stats(lu, r);

		out->commands += load(&st->commands);
		out->reads += load(&st->reads);
		out->writes += load(&st->writes);
		out->read_bytes += load(&st->read_bytes);
		out->write_bytes += load(&st->write_bytes);
		out->check_conditions += load(&st->check_conditions);
		out->conflicts += load(&st->conflicts);
		out->read_errors += load(&st->read_errors);
		out->write_errors += load(&st->write_errors);
		out->verify_errors += load(&st->verify_errors);
	}
}

void stats_add_counts(struct lun_counts *sum, const struct lun_counts *c)
{
	sum->commands += c->commands;
	sum->reads += c->reads;
	sum->writes += c->writes;
	sum->read_bytes += c->read_bytes;
	sum->write_bytes += c->write_bytes;
	sum->check_conditions += c->check_conditions;
	sum->conflicts += c->conflicts;
	sum->read_errors += c->read_errors;
	sum->write_errors += c->write_errors;
	sum->verify_errors += c->verify_errors;
	sum->queue += c->queue;
}

const char *stats_kind_name(enum latency_kind kind)
{
	static const char *const names[LATENCY_KINDS] = { "read", "write", "flush", "other" };

	return names[kind];
}

const char *stats_stage_name(enum latency_stage stage)
{
	static const char *const names[LATENCY_STAGES] = { "transport", "queue", "backstore",
							   "total" };

	return names[stage];
}

static json_t *buckets_json(const struct latency_sum *sum)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		uint64_t end = latency_bucket_end(i);

		if (!sum->count[i])
			continue;
		json_array_append_new(
			all,
			json_pack("{so sI}", "le_ns",
				  end == UINT64_MAX ? json_null() : json_integer((json_int_t)end),
				  "count", (json_int_t)sum->count[i]));
	}
	return all;
}

json_t *stats_latency_json(const struct latency_sum *sum, bool buckets)
{
	json_t *json = json_pack("{sI sI sI sI sI}", "count", (json_int_t)sum->samples, "sum_ns",
				 (json_int_t)sum->sum_ns, "p50_ns",
				 (json_int_t)latency_percentile(sum, 50), "p99_ns",
				 (json_int_t)latency_percentile(sum, 99), "p999_ns",
				 (json_int_t)latency_percentile(sum, 99.9));

	if (buckets)
		json_object_set_new(json, "buckets", buckets_json(sum));
	return json;
}
