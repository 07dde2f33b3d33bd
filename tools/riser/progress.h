// SPDX-License-Identifier: BSD-2-Clause
/* How far long work is: a bar on a terminal, lines elsewhere, both on stderr. With --json nothing. */
#ifndef RISER_PROGRESS_H
#define RISER_PROGRESS_H

#include "riser.h"

struct progress {
	const struct riser *r;
	double begun, shown; /* seconds of CLOCK_MONOTONIC; 0: nothing was yet */
	double patience; /* seconds before anything is shown: 0 unless the caller sets it */
	const char *unit; /* "LUNs", the same; NULL: bytes */
	uint64_t first; /* done at the first call */
	bool called;
	unsigned int percent; /* that was shown */
	bool bar; /* stands in a line that has no end yet */
};

enum { PROGRESS_PATIENCE_S = 1 }; /* where most work is short */

void progress_begin(struct progress *p, const struct riser *r);
/* `done` of `total` (bytes, or unit) of `what`; total 0: not known. As often as one likes. */
void progress_show(struct progress *p, const char *what, uint64_t done, uint64_t total);
/* The line ends: something else is going to be printed. */
void progress_end(struct progress *p);

#endif
