// SPDX-License-Identifier: BSD-2-Clause
/* Reactors without ring, thread and real time, for unit tests and fuzzers. */
#include <assert.h>
#include <errno.h>

#include "core/reactor_impl.h"
#include "core/slab.h"

int reactor_create_virtual(struct slab *slab, struct reactor **out)
{
	struct reactor_impl *impl;
	int err = reactor_alloc(&impl);

	*out = NULL;
	if (err)
		return err;
	impl->pub.is_virtual = true;
	impl->pub.now = NSEC_PER_SEC; /* 0 would look like "not armed" */
	if (slab) {
		impl->slab = slab;
		impl->pub.buffers = slab_cache_create(slab, &impl->pub);
		if (!impl->pub.buffers) {
			reactor_free(impl);
			return -ENOMEM;
		}
	}
	reactor_set_self(&impl->pub);
	*out = &impl->pub;
	return 0;
}

static void turn_until_idle(struct reactor *r)
{
	while (reactor_turn(r))
		;
}

void reactor_advance(struct reactor *r, uint64_t ns)
{
	struct reactor_impl *impl = r->impl;
	uint64_t end = impl->pub.now + ns;

	assert(r->is_virtual);
	turn_until_idle(r);
	while (timers_next(&impl->timers) <= end) {
		impl->pub.now = timers_next(&impl->timers);
		turn_until_idle(r);
	}
	impl->pub.now = end;
	turn_until_idle(r);
}
