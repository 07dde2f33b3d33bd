// SPDX-License-Identifier: BSD-2-Clause
/*
 * Registered buffers for direct I/O: the slab in pieces, each registered when a buffer of it first goes to
 * a disk. All at once would pin, and clear, all memory that riserd may ever use, and every session of the
 * reactor would wait for that: 0.7 s for 256 MiB. [owner thread]
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/reactor_impl.h"
#include "core/slab.h"

/* So many the kernel takes, and no piece may be larger than 1 GiB. */
enum { PIECES_MAX = 1 << 14 };

static bool refused(struct reactor_impl *impl, int err)
{
	log_warn(
		"reactor %u does direct I/O with ordinary buffers%s: cannot register %zu KiB: %s%s",
		impl->pub.index, impl->fixed.state == FIXED_YES ? " from now on" : "",
		impl->fixed.piece >> 10, strerror(-err),
		err == -ENOMEM ? " (raise RLIMIT_MEMLOCK, LimitMEMLOCK=)" : "");
	impl->fixed.state = FIXED_NO;
	return false;
}

/* A table with places for all pieces. */
static bool prepare(struct reactor_impl *impl)
{
	size_t size = slab_size(impl->slab), count;
	int err;

	impl->fixed.piece = FIXED_PIECE_MIN;
	while ((size - 1) / impl->fixed.piece >= PIECES_MAX)
		impl->fixed.piece *= 2;
	count = (size - 1) / impl->fixed.piece + 1;
	err = io_uring_register_buffers_sparse(&impl->ring, (unsigned int)count);
	if (err)
		return refused(impl, err);
	impl->fixed.registered = calloc(count, 1);
	if (!impl->fixed.registered)
		return refused(impl, -ENOMEM);
	impl->fixed.state = FIXED_YES;
	return true;
}

static bool register_piece(struct reactor_impl *impl, size_t index)
{
	size_t begin = index * impl->fixed.piece, left = slab_size(impl->slab) - begin;
	struct iovec piece = {
		.iov_base = (char *)slab_base(impl->slab) + begin,
		.iov_len = left < impl->fixed.piece ? left : impl->fixed.piece,
	};
	int err = io_uring_register_buffers_update_tag(&impl->ring, (unsigned int)index, &piece,
						       NULL, 1);

	if (err < 0)
		return refused(impl, err);
	impl->fixed.registered[index] = true;
	return true;
}

int reactor_fixed_buffer(const struct reactor *r, const void *p, uint32_t len)
{
	struct reactor_impl *impl = r->impl;
	uintptr_t base, at = (uintptr_t)p;
	size_t first;

	if (r->is_virtual || !impl->slab)
		return -1;
	base = (uintptr_t)slab_base(impl->slab);
	if (!len || at < base || len > slab_size(impl->slab) ||
	    at - base > slab_size(impl->slab) - len)
		return -1;
	assert_owner(r);
	if (impl->fixed.state == FIXED_UNTRIED && !prepare(impl))
		return -1;
	if (!impl->fixed.registered)
		return -1;
	first = (at - base) / impl->fixed.piece;
	if (first != (at - base + len - 1) / impl->fixed.piece)
		return -1;
	/* After the first refusal those that are registered go on. */
	if (!impl->fixed.registered[first] &&
	    (impl->fixed.state == FIXED_NO || !register_piece(impl, first)))
		return -1;
	return (int)first;
}

void fixed_destroy(struct reactor_impl *impl)
{
	free(impl->fixed.registered);
	impl->fixed.registered = NULL;
}
