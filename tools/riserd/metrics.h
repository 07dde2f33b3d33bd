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

/* [main thread] Listens on addr and serves what the context knows, which is borrowed. -errno, and the log
 * has said why. */
int metrics_start(struct rpc_context *context, const struct portal_address *addr,
		  struct metrics **out);
/* [main thread] No more requests. NULL is fine. */
void metrics_stop(struct metrics *m);
/* [main thread] After that, and when no reactor runs. NULL is fine. */
void metrics_free(struct metrics *m);

#endif
