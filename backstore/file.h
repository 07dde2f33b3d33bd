// SPDX-License-Identifier: BSD-2-Clause
/* What file.c (opening), file_io.c and file_jobs.c (requests), blockdev.c (devices) share. */
#ifndef RISER_BACKSTORE_FILE_H
#define RISER_BACKSTORE_FILE_H

#include "core/worker.h"
#include "driver.h"

struct file_disk {
	struct backstore bs;
	int fd; /* with O_DIRECT when direct */
	/* The same inode, never O_DIRECT: for transfers whose memory is not aligned. It is an open
	 * file of its own, so the kernel reports a lost write-back to it separately. */
	int second_fd;
	/* The same inode with O_DIRECT, where fd goes through the page cache: for reads that want to
	 * know what the medium has, and for atomic writes. -1: there is no O_DIRECT. */
	int medium_fd;
	bool block_device, direct;
	uint32_t memory_align, offset_align; /* bytes, powers of 2; when direct */
	/* RWF_ATOMIC writes exactly so much at its multiples; 0: there is no RWF_ATOMIC. */
	uint32_t atomic_unit;
	struct worker *worker; /* for what blocks */
	/* A request has met the end of the file where there should be data: writes look before they
	 * write, or they would make it grow again. Until bs_resize(). */
	_Atomic bool cut;
	/* Learnt from the first -EOPNOTSUPP. [any thread] */
	_Atomic bool no_nowait_read, no_nowait_write, no_punch_hole, no_zero_range;
};

/* Everything about an open block device that is not in its inode. 0 or -errno with why. */
int blockdev_probe(struct file_disk *disk, const struct bs_spec *spec, uint64_t *size, char *why,
		   size_t why_size);
/* The physical sector of the device with this number, for files on it: at most a page; 0: unknown or
 * not aligned. */
uint32_t blockdev_sector_below(dev_t dev);
/* What the kernel knows the device by, wherever it is plugged in. False: nothing. */
bool blockdev_wwid(dev_t rdev, char *out, size_t size);

bool file_submit(struct backstore *bs, struct bs_req *req);

/* Makes the name of a new file durable, or warns. */
void sync_folder_of(const char *path);
/* READ, WRITE, UNMAP, ZERO, FLUSH. True: complete with req->res. [owner thread] */
bool file_start(struct bs_req *req);
/* [any thread] There is less of the file than the request's range: what was there is lost, not zero. */
void file_note_cut(const struct bs_req *req);
/* What was changed is on stable media when the request asks for that; completes it. */
void file_make_durable(struct bs_req *req);

/* The rest, and writes when `cut`. True: complete with req->res. [owner thread] */
bool file_job_start(struct bs_req *req);

#endif
