// SPDX-License-Identifier: BSD-2-Clause
/*
 * What runs has counted, for those who show it: the control socket and the HTTP server. Nothing here waits
 * for a disk or a reactor.
 */
#ifndef RISERD_STATS_H
#define RISERD_STATS_H

#include <jansson.h>

#include "lu.h"
#include "session.h"

/* Of a unit, all reactors together. */
struct lun_counts {
	uint64_t commands, reads, writes, read_bytes, write_bytes;
	uint64_t check_conditions, conflicts; /* conflicts: with reservations */
	uint64_t read_errors, write_errors,
		verify_errors; /* requests that the backstore has failed */
	uint64_t queue; /* commands that are not over */
};

/* All below: under live_look(). */
void stats_of_lun(const struct lu *lu, unsigned int reactors, struct lun_counts *out);
void stats_add_counts(struct lun_counts *sum, const struct lun_counts *c);

/* "read", "write", "flush", "other"; "transport", "queue", "backstore", "total". */
const char *stats_kind_name(enum latency_kind kind);
const char *stats_stage_name(enum latency_stage stage);
/* {count, sum_ns, p50_ns, p99_ns, p999_ns}, and with buckets those that are not empty, {le_ns, count} each;
 * le_ns null: without end. New reference. */
json_t *stats_latency_json(const struct latency_sum *sum, bool buckets);

#endif
