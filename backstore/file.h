// SPDX-License-Identifier: BSD-2-Clause
/* What file.c (opening), file_io.c (requests) and blockdev.c (devices) share. */
#ifndef RISER_BACKSTORE_FILE_H
#define RISER_BACKSTORE_FILE_H

#include "driver.h"

struct file_disk {
	struct backstore bs;
	int fd; /* with O_DIRECT when direct */
	/* The same inode, never O_DIRECT: for transfers whose memory is not aligned. It is an open
	 * file of its own, so the kernel reports a lost write-back to it separately. */
	int second_fd;
	bool block_device, direct;
	uint32_t memory_align, offset_align; /* bytes, powers of 2; when direct */
	/* Learnt from the first -EOPNOTSUPP. [any thread] */
	_Atomic bool no_nowait_read, no_nowait_write, no_punch_hole, no_zero_range;
};

/* Everything about an open block device that is not in its inode. 0 or -errno with why. */
int blockdev_probe(struct file_disk *disk, const struct bs_spec *spec, uint64_t *size, char *why,
		   size_t why_size);
/* What the kernel knows the device by, wherever it is plugged in. False: nothing. */
bool blockdev_wwid(dev_t rdev, char *out, size_t size);

bool file_submit(struct backstore *bs, struct bs_req *req);

#endif
