// SPDX-License-Identifier: BSD-2-Clause
/* What the tests of commands on the medium share, on top of the world of scsi_port.h. */
#ifndef RISER_TESTS_UNIT_SCSI_MEDIA_H
#define RISER_TESTS_UNIT_SCSI_MEDIA_H

#include "scsi_media_wire.h"
#include "scsi_port.h"

static inline struct cdb cdb_caw(uint8_t flags, uint64_t lba, uint8_t blocks)
{
	struct cdb c = { { CDB_COMPARE_AND_WRITE, flags } };

	put64(c.b + 2, lba);
	c.b[CAW_BLOCKS_AT] = blocks;
	return c;
}

/* Compare data as the disk has it, write data of its own. */
static inline uint8_t *caw_data(struct world *w, uint64_t lba, uint32_t blocks, uint8_t seed)
{
	uint32_t len = blocks * w->lu->block_size;
	uint8_t *data = pattern(2 * len, seed);

	memcpy(data, w->disk.bytes + lba * w->lu->block_size, len);
	return data;
}

/* What the disk was asked, as letters; capital: forced. */
static inline const char *asked(const struct world *w)
{
	static char text[LOG_MAX + 1];
	unsigned int i;

	for (i = 0; i < w->disk.requests && i < LOG_MAX; i++)
		text[i] = (w->disk.log[i].flags & BS_FUA ? "RWFUZXCES"
							 : "rwfuzxces")[w->disk.log[i].opcode];
	text[i] = 0;
	return text;
}

/* --- A disk that stores other bytes than it was given, and knows extents */

static struct {
	bool spoils; /* writes */
	uint64_t extent; /* bytes: mapped and not, by turns; 0: extents are not known */
	bool anchors; /* every second one that is not mapped */
} odd;

static inline bool odd_submit(struct backstore *bs, struct bs_req *req)
{
	struct disk *d = container_of(bs, struct disk, bs);
	uint64_t in;

	if (req->opcode == BS_EXTENT && odd.extent && !d->fail[BS_EXTENT]) {
		in = req->offset % odd.extent;
		req->extent.len = odd.extent - in < req->len ? odd.extent - in : req->len;
		req->extent.mapped = req->offset / odd.extent % 2 == 0;
		req->extent.anchored = odd.anchors && req->offset / odd.extent % 4 == 1;
		req->res = 0;
		d->requests++;
		return true;
	}
	if (!disk_submit(bs, req))
		return false;
	if (req->opcode == BS_WRITE && odd.spoils)
		d->bytes[req->offset + req->len - 1] ^= 0x40;
	return true;
}

static const struct bs_driver odd_driver = { .name = "odd",
					     .submit = odd_submit,
					     .borrow = disk_borrow };

static inline void odd_world(struct world *w, uint32_t block_size)
{
	memset(&odd, 0, sizeof(odd));
	world_init(w, block_size);
	w->disk.bs.driver = &odd_driver;
	w->disk.bs.limits.can_report_extents = true;
	world_open(w);
}

#endif
