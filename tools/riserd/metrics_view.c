// SPDX-License-Identifier: BSD-2-Clause
/* Numbers that the text and the page share. */
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "metrics_impl.h"

enum { BUSY_MS = 900 }; /* less is noise */

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void metrics_look_busy(struct metrics_view *v)
{
	const struct rpc_context *x = v->context;
	uint64_t now = monotonic_ns(), passed = now - v->busy.looked;

	if (v->busy.looked && passed < BUSY_MS * NSEC_PER_MSEC)
		return;
	for (unsigned int i = 0; i < x->reactor_count; i++) {
		uint64_t busy = x->reactors[i]->stats.busy_ns;
		double ratio = (double)(busy - v->busy.busy_ns[i]) / (double)passed;

		/* The first look has nothing before it; a turn is counted when it is over. */
		v->busy.ratio[i] = !v->busy.looked ? 0 : ratio < 1 ? ratio : 1;
		v->busy.busy_ns[i] = busy;
	}
	v->busy.looked = now;
}

/* Transports may change places in server_count(). There is a place for each. */
static struct metrics_peak *peak_of(struct metrics_view *v, const char *name)
{
	struct metrics_peak *p = v->peak;

	while (p->name && strcmp(p->name, name) != 0)
		p++;
	p->name = name;
	return p;
}

static uint64_t grow(uint64_t *peak, uint64_t now)
{
	if (now > *peak)
		*peak = now;
	return *peak;
}

void metrics_count(struct metrics_view *v, struct server_counts *out)
{
	server_count(live_server(v->context->live), out);
	for (unsigned int i = 0; i < SERVER_TRANSPORTS && out->transports[i].name; i++) {
		struct transport_counts *t = &out->transports[i];

		t->read_bytes = grow(&peak_of(v, t->name)->read_bytes, t->read_bytes);
		t->write_bytes = grow(&peak_of(v, t->name)->write_bytes, t->write_bytes);
	}
}
