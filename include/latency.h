// SPDX-License-Identifier: BSD-2-Clause
/*
 * Latencies of commands in nanoseconds, counted in buckets whose width grows with the value: below 1 us
 * one bucket, then four for each power of two up to 69 s, and one for what takes longer.
 *
 * Clocks: a reactor looks at the time once per turn of its loop, and nobody looks again for the sake of
 * statistics. What begins and ends in one turn takes 0.
 */
#ifndef RISER_LATENCY_H
#define RISER_LATENCY_H

#include <stdint.h>

#include "core/reactor.h"

enum latency_kind { LATENCY_READ, LATENCY_WRITE, LATENCY_FLUSH, LATENCY_OTHER, LATENCY_KINDS };

/* Where the time of a command goes. The first three add up to the last. */
enum latency_stage {
	LATENCY_TRANSPORT, /* its data is on the way, or its answer: network and initiator */
	LATENCY_QUEUE, /* it waits for its turn, for memory, for other commands, for a CPU */
	LATENCY_BACKSTORE, /* the disk has it */
	LATENCY_TOTAL, /* from its arrival until the kernel or the device has taken its answer */
	LATENCY_STAGES
};

enum {
	LATENCY_FIRST_BIT = 10, /* what is below 2^10 ns is not told apart */
	LATENCY_LAST_BIT = 36, /* what is from 2^36 ns on neither */
	LATENCY_BUCKETS = 1 + 4 * (LATENCY_LAST_BIT - LATENCY_FIRST_BIT) + 1,
};

/* One histogram for each kind. Written by one thread, read by anyone. */
struct latency_histograms {
	_Atomic uint64_t count[LATENCY_BUCKETS][LATENCY_KINDS];
	_Atomic uint64_t sum_ns[LATENCY_KINDS];
};

/* What a unit has of its commands on one reactor. A stage that took no time at all is not counted, nor is
 * the sum for the transport: both follow from the rest, see latency_add_stage(). */
struct latency_set {
	struct latency_histograms of[LATENCY_STAGES];
	uint64_t before; /* commands of the unit that came before there was memory for this */
	/* What followed from the rest when somebody looked last. */
	_Atomic uint64_t no_time[LATENCY_TOTAL][LATENCY_KINDS], transport_ns[LATENCY_KINDS];
};

/* Of any number of histograms; nobody else's. */
struct latency_sum {
	uint64_t sum_ns, samples;
	uint64_t count[LATENCY_BUCKETS];
};

static inline unsigned int latency_bucket(uint64_t ns)
{
	unsigned int bit;

	if (ns < 1u << LATENCY_FIRST_BIT)
		return 0;
	bit = 63u ^ (unsigned int)__builtin_clzll(ns);
	if (__builtin_expect(bit >= LATENCY_LAST_BIT, 0))
		return LATENCY_BUCKETS - 1;
	/* The two bits behind the highest one; 4 of it stand for that one itself. */
	return 4 * (bit - LATENCY_FIRST_BIT) + (unsigned int)(ns >> (bit - 2)) - 3;
}

/* ns: all values of the bucket are less; UINT64_MAX for the last one. */
static inline uint64_t latency_bucket_end(unsigned int bucket)
{
	if (bucket == 0)
		return 1u << LATENCY_FIRST_BIT;
	if (bucket >= LATENCY_BUCKETS - 1)
		return UINT64_MAX;
	return (uint64_t)((bucket - 1) % 4 + 5) << ((bucket - 1) / 4 + LATENCY_FIRST_BIT - 2);
}

/* [owner thread] */
static inline void latency_count(struct latency_histograms *h, unsigned int bucket,
				 unsigned int kind)
{
	stat_add(&h->count[bucket][kind], 1);
}

/* [any thread] */
void latency_add(struct latency_sum *sum, const struct latency_histograms *h,
		 enum latency_kind kind);
void latency_add_stage(struct latency_sum *sum, struct latency_set *set, enum latency_stage stage,
		       enum latency_kind kind);
void latency_merge(struct latency_sum *sum, const struct latency_sum *other);
/* ns: what `percent` of the samples do not exceed, as if those of a bucket were spread evenly; 0 when
 * there is none. */
uint64_t latency_percentile(const struct latency_sum *sum, double percent);

#endif
