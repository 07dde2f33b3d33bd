// SPDX-License-Identifier: BSD-2-Clause
/*
 * How long a reactor that finds nothing to do looks on before it sleeps. A wake-up costs more than
 * the answer to a small command, so looking on is worth it where the next work comes soon, and a
 * waste anywhere else.
 *
 * What is judged is the whole gap from the last work to the next, not the sleep in it: a gap that is
 * always a little longer than the spin would leave short sleeps, and cost the spin each time for
 * nothing. All times in ns. [owner thread, but for spin_set()]
 */
#ifndef RISER_CORE_SPIN_H
#define RISER_CORE_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct spin {
	_Atomic uint64_t longest; /* what was configured; 0: never */
	uint64_t now; /* what is done at present, 0..longest */
};

enum { SPIN_SHORTEST = 1000 }; /* less is none */

static inline void spin_init(struct spin *s, uint64_t longest)
{
	*s = (struct spin){ longest, longest };
}

/* [any thread] Another longest one from now on: the next short gap finds it. */
static inline void spin_set(struct spin *s, uint64_t longest)
{
	atomic_store_explicit(&s->longest, longest, memory_order_relaxed);
}

static inline uint64_t spin_longest(const struct spin *s)
{
	return atomic_load_explicit(&s->longest, memory_order_relaxed);
}

/* Nothing was found for `idle`: whether to look once more. */
static inline bool spin_goes_on(const struct spin *s, uint64_t idle)
{
	return idle < s->now && idle < spin_longest(s);
}

/* There was a sleep, and from the last work to its end it took `gap`. One gap that the longest spin
 * would have bridged is enough to spin again; each one that it would not have halves the spin, so
 * that a single hitch costs a busy reactor little and an idle one soon sleeps at once. */
static inline void spin_slept(struct spin *s, uint64_t gap)
{
	uint64_t longest = spin_longest(s);

	if (gap < longest)
		s->now = longest;
	else
		s->now = s->now / 2 < SPIN_SHORTEST ? 0 : s->now / 2;
}

#endif
