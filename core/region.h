// SPDX-License-Identifier: BSD-2-Clause
/*
 * Regions: memory that devices may be given direct access to (the slab, RAM disks, the zeros).
 * A region is cut into chunks at multiples of REGION_CHUNK in the address space; a device
 * registers a chunk when it first moves data there, so that memory nobody touches is not pinned.
 *
 * A pinned page must keep its place: region_discard() is the only way to give memory of a region
 * back to the kernel, and it writes zeros where a device has the page.
 */
#ifndef RISER_CORE_REGION_H
#define RISER_CORE_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REGION_CHUNK_BITS = 25, REGION_ADDRESS_BITS = 48 }; /* a region lies below 2^48 */
#define REGION_CHUNK ((size_t)1 << REGION_CHUNK_BITS)

struct region;

/* [any thread] Maps len bytes of zeros, rounded up to 4 KiB and placed at a multiple of
 * REGION_CHUNK: private anonymous memory (transparent huge pages, not inherited by fork), or with
 * try_huge a memfd of reserved huge pages when the system has enough of them. Memory is reserved,
 * not touched. NULL: errno says why. */
struct region *region_create(size_t len, bool try_huge);
/* [any thread] A region with a chunk that is still pinned stays mapped for ever. NULL is fine. */
void region_destroy(struct region *region);
uint8_t *region_base(const struct region *region);
size_t region_size(const struct region *region); /* bytes, as mapped */

/* [any thread, lock-free] The region that p lies in, or NULL. */
struct region *region_of(const void *p);
/* [any thread] The chunk that p lies in: *start and *len are its part of the region. */
void region_chunk(const struct region *region, const void *p, uint8_t **start, size_t *len);
/* [any thread] Before a device gets access to p's chunk, and after it has lost it. Counted. */
void region_pin(struct region *region, const void *p);
void region_unpin(struct region *region, const void *p);
/* [any thread] [p, p+len) reads as zeros afterwards; whole pages that no device has go back to the
 * kernel. */
void region_discard(struct region *region, void *p, size_t len);

#endif
