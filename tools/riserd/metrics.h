// SPDX-License-Identifier: BSD-2-Clause
/*
 * HTTP for people and programs that watch: /metrics in the text format of Prometheus, /healthz, and a
 * status page on /. Read only; see riser-metrics(7).
 *
 * A thread of its own serves it. It waits for no disk, and no reactor ever waits for it. An answer is made
 * at most a few times in a second, however many ask.
 */
#ifndef RISERD_METRICS_H
#define RISERD_METRICS_H

#include "control.h"

struct metrics;

/* [main thread] Listens on addr; who comes waits for metrics_serve(). before: what serves until then, whose port
 * may be the same; NULL: nothing does. The context is borrowed. -errno, and the log has said why. */
int metrics_open(struct rpc_context *context, const struct portal_address *addr,
		 const struct metrics *before, struct metrics **out);
/* [main thread] Once: serves what the context knows. */
void metrics_serve(struct metrics *m);
/* [main thread] No more requests. NULL is fine. */
void metrics_stop(struct metrics *m);
/* [main thread] After that, and when no reactor runs; those that were retired, too. NULL is fine. */
void metrics_free(struct metrics *m);
/* [main thread] After metrics_stop(), while reactors run, one of which may have been asked for a sign of life and
 * not have answered: takes m to the older ones, and frees those of which no reactor has anything. NULL is
 * fine. Returns the rest. */
struct metrics *metrics_retire(struct metrics *m, struct metrics *older);

#endif
