// SPDX-License-Identifier: BSD-2-Clause
/* Where a unit keeps the latencies of its commands, and sums of them. */
#include "latency.h"

#include <stdlib.h>

#include "scsi.h"

/* With the first command, so that a unit which nobody uses from a reactor costs nothing there. A unit
 * that gets no memory goes without, and the next command tries again. */
struct latency_set *lu_latency_create(struct lu_reactor *own)
{
	struct latency_set *set = calloc(1, sizeof(*set));

	if (set)
		set->before = own->stats.commands - 1; /* without the one that is here */
	atomic_store_explicit(&own->latency, set, memory_order_release);
	return set;
}

static struct latency_set *set_of(const struct lu *lu, unsigned int reactor)
{
	return atomic_load_explicit(&lu->per_reactor[reactor].latency, memory_order_acquire);
}

void lu_add_latency(const struct lu *lu, enum latency_stage stage, enum latency_kind kind,
		    struct latency_sum *sum)
{
	for (unsigned int i = 0; i < lu->reactors; i++) {
		struct latency_set *set = set_of(lu, i);

		if (set)
			latency_add_stage(sum, set, stage, kind);
	}
}

struct latency_past {
	struct latency_sum of[LATENCY_STAGES][LATENCY_KINDS];
};

bool lu_reset_latency(struct lu *lu)
{
	struct latency_past *past = calloc(1, sizeof(*past));

	if (!past)
		return false;
	for (unsigned int stage = 0; stage < LATENCY_STAGES; stage++) {
		for (unsigned int kind = 0; kind < LATENCY_KINDS; kind++)
			lu_add_latency(lu, stage, kind, &past->of[stage][kind]);
	}
	free(lu->past);
	lu->past = past;
	return true;
}

/* Counters that are looked at one by one may seem to have gone back. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

void lu_latency_since(const struct lu *lu, enum latency_stage stage, enum latency_kind kind,
		      struct latency_sum *sum)
{
	const struct latency_sum *before = lu->past ? &lu->past->of[stage][kind] : NULL;
	struct latency_sum all = { 0 }, some = { 0 };

	lu_add_latency(lu, stage, kind, &all);
	for (unsigned int i = 0; before && i < LATENCY_BUCKETS; i++) {
		some.count[i] = since(all.count[i], before->count[i]);
		some.samples += some.count[i];
	}
	if (before)
		some.sum_ns = since(all.sum_ns, before->sum_ns);
	latency_merge(sum, before ? &some : &all);
}

static uint64_t under_way(const struct lu_reactor *own, const struct latency_set *set)
{
	struct latency_sum over = { 0 };
	uint64_t begun;

	/* In this order: what ends meanwhile must not make the difference negative. */
	for (unsigned int kind = 0; kind < LATENCY_KINDS; kind++)
		latency_add(&over, &set->of[LATENCY_TOTAL], kind);
	begun = atomic_load_explicit(&own->stats.commands, memory_order_acquire) - set->before;
	return begun > over.samples ? begun - over.samples : 0;
}

uint64_t lu_under_way(const struct lu *lu)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < lu->reactors; i++) {
		const struct latency_set *set = set_of(lu, i);

		if (set)
			sum += under_way(&lu->per_reactor[i], set);
	}
	return sum;
}

void lu_latency_destroy(struct lu *lu)
{
	for (unsigned int i = 0; i < lu->reactors; i++)
		free(atomic_load(&lu->per_reactor[i].latency));
	free(lu->past);
}

/* --- Sums */

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void latency_add(struct latency_sum *sum, const struct latency_histograms *h,
		 enum latency_kind kind)
{
	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		uint64_t count = load(&h->count[i][kind]);

		sum->count[i] += count;
		sum->samples += count;
	}
	sum->sum_ns += load(&h->sum_ns[kind]);
}

/* What follows from several counters, which are read one after the other while they grow, may seem to have
 * gone back; who has seen it higher sees that again. */
static uint64_t never_less(_Atomic uint64_t *most, uint64_t now)
{
	uint64_t before = load(most);

	while (before < now) {
		if (atomic_compare_exchange_weak(most, &before, now))
			return now;
	}
	return before;
}

/* What a command spent with the transport is all that it did not spend elsewhere. */
static void add_transport_ns(struct latency_sum *sum, struct latency_set *set,
			     enum latency_kind kind)
{
	uint64_t total = load(&set->of[LATENCY_TOTAL].sum_ns[kind]);
	uint64_t others = load(&set->of[LATENCY_QUEUE].sum_ns[kind]) +
			  load(&set->of[LATENCY_BACKSTORE].sum_ns[kind]);

	sum->sum_ns += never_less(&set->transport_ns[kind], total > others ? total - others : 0);
}

/* The total is read first: then nothing seems to have taken no time only because it came meanwhile. */
void latency_add_stage(struct latency_sum *sum, struct latency_set *set, enum latency_stage stage,
		       enum latency_kind kind)
{
	uint64_t before = sum->samples, all = 0, counted;

	for (unsigned int i = 0; stage != LATENCY_TOTAL && i < LATENCY_BUCKETS; i++)
		all += load(&set->of[LATENCY_TOTAL].count[i][kind]);
	atomic_thread_fence(memory_order_acquire);
	latency_add(sum, &set->of[stage], kind);
	if (stage == LATENCY_TOTAL)
		return;
	if (stage == LATENCY_TRANSPORT)
		add_transport_ns(sum, set, kind);
	counted = sum->samples - before;
	counted = never_less(&set->no_time[stage][kind], all > counted ? all - counted : 0);
	sum->count[0] += counted;
	sum->samples += counted;
}

void latency_merge(struct latency_sum *sum, const struct latency_sum *other)
{
	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++)
		sum->count[i] += other->count[i];
	sum->samples += other->samples;
	sum->sum_ns += other->sum_ns;
}

uint64_t latency_percentile(const struct latency_sum *sum, double percent)
{
	double wanted = (double)sum->samples * percent / 100, seen = 0;

	for (unsigned int i = 0; i < LATENCY_BUCKETS && sum->samples; i++) {
		uint64_t begin = i ? latency_bucket_end(i - 1) : 0, end = latency_bucket_end(i);
		double count = (double)sum->count[i];

		if (!sum->count[i] || seen + count < wanted) {
			seen += count;
			continue;
		}
		if (end == UINT64_MAX)
			return begin; /* nobody knows how much more */
		return begin + (uint64_t)((double)(end - begin) * (wanted - seen) / count);
	}
	return 0;
}
