// SPDX-License-Identifier: BSD-2-Clause
/* The driver of the state machines: see machine.h. */
#include "session/machine.h"

#include <assert.h>
#include <stdio.h>

#include "core/reactor.h"

const struct transition *machine_find(const struct machine *m, uint8_t state, uint8_t event)
{
	for (unsigned int i = 0; i < m->count; i++) {
		if (m->rows[i].from == state && m->rows[i].event == event)
			return &m->rows[i];
	}
	return NULL;
}

uint8_t machine_next(const struct machine *m, struct history *h, uint8_t state, uint8_t event,
		     uint64_t now)
{
	const struct transition *row = machine_find(m, state, event);
	unsigned int at = h->count++ % HISTORY_LEN;

	assert(row);
	h->last[at].at = now;
	h->last[at].did = *row;
	return row->to;
}

const char *history_format(const struct machine *m, const struct history *h, char *out, size_t size)
{
	uint32_t i = h->count > HISTORY_LEN ? h->count - HISTORY_LEN : 0;
	uint64_t begin = h->last[i % HISTORY_LEN].at;
	size_t len = 0;

	out[0] = '\0';
	for (; i < h->count && len < size; i++) {
		const struct transition *did = &h->last[i % HISTORY_LEN].did;
		uint64_t ms = (h->last[i % HISTORY_LEN].at - begin) / NSEC_PER_MSEC;

		len += (size_t)snprintf(out + len, size - len, "%s%lu.%03lu %s: %s > %s",
					len ? ", " : "", ms / 1000, ms % 1000,
					m->events[did->event], m->states[did->from],
					m->states[did->to]);
	}
	return out;
}
