// SPDX-License-Identifier: BSD-2-Clause
/* What one initiator may do at a target, and how much of it may be done in a second. */
#ifndef RISER_RIGHTS_H
#define RISER_RIGHTS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Counted are commands that transfer data of the medium, and what copies move; everything else passes.
 * What is left over is kept for `burst_ns`: so much may go at once afterwards. A command that is larger
 * than what is there goes, too, and those behind it wait the longer.
 */
struct io_limits {
	uint64_t iops; /* commands per second; 0: any number */
	uint64_t bandwidth; /* bytes per second; 0: any number */
	uint64_t burst_ns;
};

static inline bool io_limits_any(const struct io_limits *l)
{
	return l->iops || l->bandwidth;
}
static inline bool io_limits_equal(const struct io_limits *a, const struct io_limits *b)
{
	return a->iops == b->iops && a->bandwidth == b->bandwidth && a->burst_ns == b->burst_ns;
}

enum { LUN_SET_LUNS = 256 };

struct lun_set {
	uint32_t bits[LUN_SET_LUNS / 32];
};

static inline bool lun_set_has(const struct lun_set *set, unsigned int lun)
{
	return set->bits[lun / 32] >> lun % 32 & 1;
}
static inline void lun_set_add(struct lun_set *set, unsigned int lun)
{
	set->bits[lun / 32] |= 1u << lun % 32;
}
static inline struct lun_set lun_set_all(void)
{
	struct lun_set all;

	for (unsigned int i = 0; i < LUN_SET_LUNS / 32; i++)
		all.bits[i] = UINT32_MAX;
	return all;
}
static inline bool lun_set_is_all(const struct lun_set *set)
{
	for (unsigned int i = 0; i < LUN_SET_LUNS / 32; i++) {
		if (set->bits[i] != UINT32_MAX)
			return false;
	}
	return true;
}

struct nexus_rights {
	struct lun_set sees; /* the other LUNs are not there for it */
	struct lun_set only_reads; /* these are write protected for it */
	struct io_limits limits; /* of all its initiator does at the target, in whatever sessions */
};

static inline bool nexus_rights_equal(const struct nexus_rights *a, const struct nexus_rights *b)
{
	bool equal = io_limits_equal(&a->limits, &b->limits);

	for (unsigned int i = 0; i < LUN_SET_LUNS / 32; i++)
		equal = equal && a->sees.bits[i] == b->sees.bits[i] &&
			a->only_reads.bits[i] == b->only_reads.bits[i];
	return equal;
}
static inline struct nexus_rights nexus_rights_all(void)
{
	return (struct nexus_rights){ .sees = lun_set_all() };
}

#endif
