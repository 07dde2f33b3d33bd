// SPDX-License-Identifier: BSD-2-Clause
/*
 * A disk in memory: one anonymous mapping, filled with zeros by the kernel as it is touched and
 * given back to it by UNMAP. Lends pointers, so that READ sends from the disk itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/memcheck.h"
#include "driver.h"

enum { PAGE = 4096 };

struct ram_disk {
	struct backstore bs;
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
	disk->memory = mmap(NULL, spec->size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (disk->memory == MAP_FAILED) {
		err = bs_fail(-errno, why, why_size, "%s: cannot map that much memory: %s",
			      disk->bs.name, strerror(errno));
		free(disk);
		return err;
	}
	madvise(disk->memory, spec->size, MADV_HUGEPAGE);
	madvise(disk->memory, spec->size, MADV_DONTFORK);
	*out = &disk->bs;
	return 0;
}

static void ram_close(struct backstore *bs)
{
	struct ram_disk *disk = container_of(bs, struct ram_disk, bs);

	munmap(disk->memory, bs->limits.size);
	free(disk);
}

/* Whole pages go back to the kernel, the ends are written. */
static void discard(uint8_t *p, uint64_t len)
{
	uint64_t head = -(uintptr_t)p % PAGE, pages;

	if (head > len)
		head = len;
	pages = (len - head) / PAGE * PAGE;
	if (!pages || madvise(p + head, pages, MADV_DONTNEED)) {
		memset(p, 0, len); /* also when the memory is locked */
		return;
	}
	memset(p, 0, head);
	memset(p + head + pages, 0, len - head - pages);
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
	case BS_ZERO: discard(p, req->len); break;
	case BS_FLUSH: break;
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
