// SPDX-License-Identifier: BSD-2-Clause
/*
 * A disk in memory: one region, filled with zeros by the kernel as it is touched and given back to
 * it by UNMAP. Lends pointers, so that READ sends from the disk itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/memcheck.h"
#include "core/region.h"
#include "driver.h"

struct ram_disk {
	struct backstore bs;
	struct region *region;
	uint8_t *memory;
};

static int ram_open(const struct bs_spec *spec, struct backstore **out, char *why, size_t why_size)
{
	struct ram_disk *disk;
	int err = bs_check_size(spec, why, why_size);

	if (err)
		return err;
	disk = bs_alloc(sizeof(*disk), &bs_ram_driver);
	if (!disk)
		return bs_fail(-ENOMEM, why, why_size, "out of memory");
	bs_memory_limits(spec, &disk->bs.limits);
	bs_set_name(&disk->bs, spec);
	bs_set_serial_by_order(&disk->bs, spec, disk->bs.name);
	disk->region = region_create(spec->size, false);
	if (!disk->region) {
		err = bs_fail(-errno, why, why_size, "%s: cannot map that much memory: %s",
			      disk->bs.name, strerror(errno));
		free(disk);
		return err;
	}
	disk->memory = region_base(disk->region);
	*out = &disk->bs;
	return 0;
}

static void ram_close(struct backstore *bs)
{
	struct ram_disk *disk = container_of(bs, struct ram_disk, bs);

	region_destroy(disk->region);
	free(disk);
}

/* Initiators may write a block while others read or write it; which bytes they then see is theirs
 * to order, as on any disk. The thread sanitizer must not take that for a race of ours. */
#if THREAD_SANITIZER
__attribute__((no_sanitize("thread"))) static void copy(void *to, const void *from, uint64_t len)
{
	volatile uint8_t *t = to;
	const volatile uint8_t *f = from;

	while (len--)
		*t++ = *f++;
}
#else
static void copy(void *to, const void *from, uint64_t len)
{
	memcpy(to, from, len);
}
#endif

static bool ram_submit(struct backstore *bs, struct bs_req *req)
{
	struct ram_disk *disk = container_of(bs, struct ram_disk, bs);
	uint8_t *p = disk->memory + req->offset;

	req->res = 0;
	switch (req->opcode) {
	case BS_READ:
	case BS_WRITE:
		if (req->data == p)
			break; /* a borrowed pointer: it is there already */
		if (req->opcode == BS_READ)
			copy(req->data, p, req->len);
		else
			copy(p, req->data, req->len);
		stat_add(&req->reactor->stats.bytes_copied, req->len);
		break;
	case BS_UNMAP:
	case BS_ZERO: region_discard(disk->region, p, req->len); break;
	case BS_FLUSH: break;
	case BS_ERASE:
	case BS_COPY:
	case BS_EXTENT:
	case BS_SPACE: req->res = -EOPNOTSUPP; break;
	}
	return true;
}

static void *ram_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)len;
	return container_of(bs, struct ram_disk, bs)->memory + offset;
}

const struct bs_driver bs_ram_driver = {
	.name = "ram",
	.open = ram_open,
	.close = ram_close,
	.submit = ram_submit,
	.borrow = ram_borrow,
};
