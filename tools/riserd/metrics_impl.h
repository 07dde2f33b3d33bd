// SPDX-License-Identifier: BSD-2-Clause
/* What the metrics*.c share. All [HTTP thread]. */
#ifndef RISERD_METRICS_IMPL_H
#define RISERD_METRICS_IMPL_H

#include <stdio.h>

#include "metrics.h"
#include "stats.h"

/* metrics_visitors.c: connections. Times are ns, CLOCK_MONOTONIC. */
enum {
	VISITORS = 64, /* that may stay */
	VISITORS_MORE = 16, /* that may come at once, before others have to go */
};

struct visitor {
	int fd; /* borrowed; -1: nobody */
	struct address_range from; /* of IPv6 the network */
	uint64_t since; /* it came, has asked or was answered */
	bool asked; /* its request is complete, its answer not yet on its way as a whole */
	bool leaves; /* it was shut down */
};

struct visitors {
	struct visitor at[VISITORS + VISITORS_MORE];
	unsigned int count; /* of those that do not leave */
};

void visitors_init(struct visitors *v);
/* fd is open until visitor_goes(). NULL: there is no place. */
struct visitor *visitor_comes(struct visitors *v, int fd, const struct sockaddr *from,
			      uint64_t now);
void visitor_asks(struct visitor *who, uint64_t now);
void visitor_is_answered(struct visitor *who, uint64_t now);
void visitor_goes(struct visitors *v, struct visitor *who);
/* Shuts down those whose time is over, and who is too many. When to look again; UINT64_MAX: there is no need. */
uint64_t visitors_look(struct visitors *v, uint64_t now);

/* More LUNs than that have their latencies counted together, by target. */
enum { METRICS_LUNS_MAX = 512 };
/* Sessions in one answer: the page shows no more, and Prometheus shall not have more series. */
enum { METRICS_SESSIONS_MAX = 1000 };

/* What may only grow for who reads it, though it is put together of parts that move. */
struct metrics_peak {
	const char *name; /* of the transport */
	uint64_t read_bytes, write_bytes;
};

/* How busy reactors were between two looks. */
struct metrics_busy {
	uint64_t looked, busy_ns[REACTOR_MAX]; /* ns */
	double ratio[REACTOR_MAX]; /* 0..1 */
};

struct metrics_view {
	struct rpc_context *context;
	struct metrics_busy busy;
	struct metrics_peak peak[SERVER_TRANSPORTS];
};

/* Looks at the reactors, if the last look was long enough ago. */
void metrics_look_busy(struct metrics_view *v);
/* server_count(), with bytes that never go back. */
void metrics_count(struct metrics_view *v, struct server_counts *out);

/* metrics_text.c: the text format of Prometheus, version 0.0.4. */
void metrics_write_text(struct metrics_view *v, FILE *out);
/* metrics_json.c: what the page shows; NULL: no memory. */
json_t *metrics_json(struct metrics_view *v);
/* metrics_page.c: the page. */
extern const char metrics_page[], metrics_page_end[];

#endif
