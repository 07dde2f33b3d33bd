// SPDX-License-Identifier: BSD-2-Clause
/*
 * Requests on files and block devices. Through the page cache a transfer is first tried at once
 * (RWF_NOWAIT) and goes to the ring when that would block; with O_DIRECT always to the ring.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "core/log.h"
#include "core/slab.h"
#include "file.h"

#ifndef RWF_ATOMIC
#define RWF_ATOMIC 0x40 /* Linux 6.11 */
#endif

enum { RETRIES_MAX = 100 };

/* How a range is made to read as zeros, in the order it is tried. */
enum zero_step { PUNCH_HOLE, ZERO_RANGE, WRITE_ZEROS };

/* The driver's words in a request. */
static uint64_t *progress(struct bs_req *req) /* bytes done */
{
	return &req->priv[0].u64;
}

static uint64_t *step(struct bs_req *req) /* enum zero_step, or a result to come back to */
{
	return &req->priv[1].u64;
}

static void **bounce(struct bs_req *req) /* of an atomic write: a copy that is aligned, or NULL */
{
	return &req->priv[1].ptr;
}

static uint64_t *retries(struct bs_req *req)
{
	return &req->priv[2].u64;
}

static struct file_disk *disk_of(const struct bs_req *req)
{
	return container_of(req->bs, struct file_disk, bs);
}

/* The kernel may answer these for reasons of its own; they say nothing about the disk. */
static bool try_again(struct bs_req *req, int res)
{
	return (res == -EAGAIN || res == -EINTR) && ++*retries(req) < RETRIES_MAX;
}

static struct io_uring_sqe *next_sqe(struct bs_req *req,
				     void (*done)(struct io_op *op, int res, uint32_t cqe_flags))
{
	req->op.done = done;
	return reactor_sqe(req->reactor, &req->op);
}

/* Flush */

static void flush_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct bs_req *req = container_of(op, struct bs_req, op);

	(void)cqe_flags;
	/* Never asked again: after a failure the kernel has forgotten what it lost. */
	if (res < 0 && req->opcode != BS_FLUSH)
		res = -EIO; /* whatever it is, it is not about this request's own space */
	bs_complete(req, res < 0 ? res : 0);
}

static void queue_sync(struct bs_req *req, int fd,
		       void (*done)(struct io_op *op, int res, uint32_t cqe_flags))
{
	io_uring_prep_fsync(next_sqe(req, done), fd, IORING_FSYNC_DATASYNC);
}

/* Reads and writes */

static void transfer_done(struct io_op *op, int res, uint32_t cqe_flags);

static bool is_aligned(const struct file_disk *disk, uintptr_t memory, uint64_t offset,
		       uint32_t len)
{
	return memory % disk->memory_align == 0 && (offset | len) % disk->offset_align == 0;
}

static void prep_transfer(struct file_disk *disk, struct bs_req *req, struct io_uring_sqe *sqe,
			  bool write, const void *p, uint32_t len, uint64_t offset)
{
	bool direct = disk->direct && is_aligned(disk, (uintptr_t)p, offset, len);
	int fd = disk->direct && !direct ? disk->second_fd : disk->fd;
	int fixed = direct ? reactor_fixed_buffer(req->reactor, p, len) : -1;

	if (write && fixed >= 0)
		io_uring_prep_write_fixed(sqe, fd, p, len, offset, fixed);
	else if (write)
		io_uring_prep_write(sqe, fd, p, len, offset);
	else if (fixed >= 0)
		io_uring_prep_read_fixed(sqe, fd, (void *)p, len, offset, fixed);
	else
		io_uring_prep_read(sqe, fd, (void *)p, len, offset);
	/* What failed with -EAGAIN may block, so it goes to a worker. */
	if (*retries(req))
		sqe->flags |= IOSQE_ASYNC;
}

static void queue_transfer(struct bs_req *req)
{
	struct io_uring_sqe *sqe = next_sqe(req, transfer_done);
	uint64_t done = *progress(req);

	prep_transfer(disk_of(req), req, sqe, req->opcode == BS_WRITE, (uint8_t *)req->data + done,
		      (uint32_t)(req->len - done), req->offset + done);
	if (req->opcode == BS_WRITE && req->flags & BS_FUA)
		sqe->rw_flags = RWF_DSYNC;
	/* The drive begins while the rest of the turn is worked on. Kept back until its end, reads would
	 * go there, and their data come back, as one lump with nothing to do in between. */
	if (disk_of(req)->direct && req->opcode == BS_READ)
		reactor_submit(req->reactor);
}

static void second_opinion(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct bs_req *req = container_of(op, struct bs_req, op);

	(void)cqe_flags;
	bs_complete(req, res < 0 ? -EIO : -(int)*step(req));
}

/*
 * A forced write that says "no space" (or no memory) either found none, which harms nobody else, or
 * had to report that write-back of somebody's earlier data found none. second_fd would be told about
 * the latter too. True: that is asked.
 */
static bool forced_write_without_space(struct bs_req *req, int res)
{
	if (!(req->flags & BS_FUA) || (res != -ENOSPC && res != -EDQUOT && res != -ENOMEM))
		return false;
	*step(req) = (uint64_t)-res;
	queue_sync(req, disk_of(req)->second_fd, second_opinion);
	return true;
}

void file_note_cut(const struct bs_req *req)
{
	struct file_disk *disk = disk_of(req);

	if (!disk->block_device && req->offset + req->len <= disk->bs.limits.size &&
	    !atomic_exchange(&disk->cut, true))
		log_error("%s: the file has become shorter than %llu bytes, data is lost",
			  disk->bs.name, (unsigned long long)disk->bs.limits.size);
}

static void transfer_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct bs_req *req = container_of(op, struct bs_req, op);
	bool write = req->opcode == BS_WRITE;

	(void)cqe_flags;
	if (try_again(req, res)) {
		queue_transfer(req);
	} else if (write && forced_write_without_space(req, res)) {
		return;
	} else if (res < 0) {
		bs_complete(req, res);
	} else if (res == 0 && write) {
		bs_complete(req, -EIO);
	} else if (res == 0) {
		file_note_cut(req);
		bs_complete(req, -ENODATA);
	} else {
		*progress(req) += (uint64_t)res;
		if (*progress(req) < req->len)
			queue_transfer(req);
		else
			bs_complete(req, 0);
	}
}

/* Through the page cache without a ring. True: complete, req->res says how. */
static bool transfer_now(struct file_disk *disk, struct bs_req *req)
{
	struct iovec iov = { .iov_base = req->data, .iov_len = req->len };
	bool write = req->opcode == BS_WRITE;
	_Atomic bool *unsupported = write ? &disk->no_nowait_write : &disk->no_nowait_read;
	ssize_t n;

	if (atomic_load_explicit(unsupported, memory_order_relaxed))
		return false;
	n = write ? pwritev2(disk->fd, &iov, 1, (off_t)req->offset, RWF_NOWAIT)
		  : preadv2(disk->fd, &iov, 1, (off_t)req->offset, RWF_NOWAIT);
	if (n > 0)
		*progress(req) = (uint64_t)n;
	if (n == (ssize_t)req->len) {
		req->res = 0;
		return true;
	}
	if (n < 0 && (errno == EOPNOTSUPP || errno == EINVAL))
		atomic_store_explicit(unsupported, true, memory_order_relaxed);
	/* Whatever else is wrong the ring will find out. */
	return false;
}

/*
 * Atomic writes. With O_DIRECT either with RWF_ATOMIC, which the kernel does all at once or not at
 * all; or of one sector, from memory that nobody changes meanwhile. A page of the cache is no such
 * memory: it may be written to while it is on its way to the disk. On a disk that goes through the
 * cache this is safe because nothing else is written at the same time: the caller sees to that.
 */

static void atomic_done(struct io_op *op, int res, uint32_t cqe_flags);

static void queue_atomic(struct bs_req *req)
{
	struct file_disk *disk = disk_of(req);
	struct io_uring_sqe *sqe = next_sqe(req, atomic_done);
	const void *p = *bounce(req) ? *bounce(req) : req->data;

	if (disk->direct) {
		prep_transfer(disk, req, sqe, true, p, (uint32_t)req->len, req->offset);
	} else {
		io_uring_prep_write(sqe, disk->medium_fd, p, (uint32_t)req->len, req->offset);
		if (*retries(req))
			sqe->flags |= IOSQE_ASYNC;
	}
	sqe->rw_flags =
		(disk->atomic_unit ? RWF_ATOMIC : 0) | (req->flags & BS_FUA ? RWF_DSYNC : 0);
}

/* Refused as it is, and not begun. */
static void atomic_refused(struct bs_req *req)
{
	if (disk_of(req)->direct)
		bs_complete(req, -EOPNOTSUPP);
	else
		queue_transfer(req); /* sectors are larger than what is written */
}

static void atomic_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct bs_req *req = container_of(op, struct bs_req, op);

	(void)cqe_flags;
	if (try_again(req, res)) {
		queue_atomic(req);
		return;
	}
	free(*bounce(req));
	if (res == -EINVAL)
		atomic_refused(req);
	else if (!forced_write_without_space(req, res))
		bs_complete(req, res < 0 ? res : (uint64_t)res == req->len ? 0 : -EIO);
}

static bool write_atomically(struct file_disk *disk, struct bs_req *req)
{
	uint32_t align = disk->direct ? disk->memory_align : BUF_MIN;

	*bounce(req) = NULL;
	if ((uintptr_t)req->data % align) {
		*bounce(req) = aligned_alloc(BUF_MIN, (req->len + BUF_MIN - 1) / BUF_MIN * BUF_MIN);
		if (!*bounce(req)) {
			req->res = -ENOMEM;
			return true;
		}
		memcpy(*bounce(req), req->data, req->len);
	}
	queue_atomic(req);
	return false;
}

/* Anything but data and a medium that cannot be read: the page cache has to do. */
static void medium_read_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct bs_req *req = container_of(op, struct bs_req, op);

	(void)cqe_flags;
	if (res == (int)req->len)
		bs_complete(req, 0);
	else if (res == -EIO || res == -EILSEQ)
		bs_complete(req, res);
	else
		queue_transfer(req);
}

/* The kernel writes back what is dirty there first. */
static void queue_medium_read(struct bs_req *req)
{
	io_uring_prep_read(next_sqe(req, medium_read_done), disk_of(req)->medium_fd, req->data,
			   (uint32_t)req->len, req->offset);
}

static bool transfer(struct file_disk *disk, struct bs_req *req)
{
	bool forced = req->opcode == BS_WRITE && req->flags & BS_FUA;

	if (req->flags & BS_ATOMIC && (disk->direct || disk->medium_fd >= 0))
		return write_atomically(disk, req);
	if (req->opcode == BS_READ && req->flags & BS_FUA && disk->medium_fd >= 0) {
		queue_medium_read(req);
		return false;
	}
	if (!disk->direct && !forced && transfer_now(disk, req))
		return true;
	queue_transfer(req);
	return false;
}

/* Unmap and zero */

static void zero_done(struct io_op *op, int res, uint32_t cqe_flags);

static bool step_is_known_bad(struct file_disk *disk, enum zero_step which)
{
	switch (which) {
	case PUNCH_HOLE: return atomic_load_explicit(&disk->no_punch_hole, memory_order_relaxed);
	case ZERO_RANGE: return atomic_load_explicit(&disk->no_zero_range, memory_order_relaxed);
	case WRITE_ZEROS: break;
	}
	return false;
}

/* UNMAP wants the space back, ZERO wants to keep it. */
static enum zero_step first_step(const struct bs_req *req)
{
	return req->opcode == BS_UNMAP ? PUNCH_HOLE : ZERO_RANGE;
}

static enum zero_step next_step(const struct bs_req *req, enum zero_step which)
{
	enum zero_step first = first_step(req);

	if (which != first || req->flags & BS_ANCHOR) /* a hole would have no space */
		return WRITE_ZEROS;
	return first == PUNCH_HOLE ? ZERO_RANGE : PUNCH_HOLE;
}

static void queue_zero(struct bs_req *req)
{
	struct file_disk *disk = disk_of(req);
	struct io_uring_sqe *sqe = next_sqe(req, zero_done);
	uint64_t left = req->len - *progress(req);

	while (step_is_known_bad(disk, (enum zero_step) * step(req)))
		*step(req) = next_step(req, (enum zero_step) * step(req));
	if (*step(req) == WRITE_ZEROS) {
		prep_transfer(disk, req, sqe, true, bs_zeros(),
			      left < BUF_MAX ? (uint32_t)left : BUF_MAX,
			      req->offset + *progress(req));
		return;
	}
	io_uring_prep_fallocate(
		sqe, disk->fd,
		FALLOC_FL_KEEP_SIZE |
			(*step(req) == PUNCH_HOLE ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE),
		(off_t)req->offset, (off_t)req->len);
}

/* True: the next way is tried. */
static bool fall_back(struct bs_req *req, int res)
{
	struct file_disk *disk = disk_of(req);
	enum zero_step which = (enum zero_step) * step(req);

	if (which == WRITE_ZEROS)
		return false;
	/* -EINVAL: this range is not what the device likes; another one may be. */
	if (res != -EOPNOTSUPP && res != -ENOSYS && res != -EINVAL)
		return false;
	if (res != -EINVAL)
		atomic_store_explicit(which == PUNCH_HOLE ? &disk->no_punch_hole
							  : &disk->no_zero_range,
				      true, memory_order_relaxed);
	*step(req) = next_step(req, which);
	queue_zero(req);
	return true;
}

static void zero_done(struct io_op *op, int res, uint32_t cqe_flags)
{
	struct bs_req *req = container_of(op, struct bs_req, op);

	(void)cqe_flags;
	if (try_again(req, res)) {
		queue_zero(req);
		return;
	}
	if (res < 0) {
		if (!fall_back(req, res))
			bs_complete(req, res);
		return;
	}
	if (*step(req) == WRITE_ZEROS) {
		if (res == 0) {
			bs_complete(req, -EIO);
			return;
		}
		*progress(req) += (uint64_t)res;
		if (*progress(req) < req->len) {
			queue_zero(req);
			return;
		}
	}
	file_make_durable(req);
}

void file_make_durable(struct bs_req *req)
{
	if (req->flags & BS_FUA)
		queue_sync(req, disk_of(req)->fd, flush_done);
	else
		bs_complete(req, 0);
}

bool file_submit(struct backstore *bs, struct bs_req *req)
{
	struct file_disk *disk = container_of(bs, struct file_disk, bs);

	if (__builtin_expect(atomic_load_explicit(&disk->cut, memory_order_relaxed), 0) &&
	    bs_writes(req->opcode))
		return file_job_start(req);
	return file_start(req);
}

bool file_start(struct bs_req *req)
{
	struct file_disk *disk = disk_of(req);

	*progress(req) = *retries(req) = 0;
	switch (req->opcode) {
	case BS_READ:
	case BS_WRITE: return transfer(disk, req);
	case BS_UNMAP:
	case BS_ZERO:
		*step(req) = first_step(req);
		queue_zero(req);
		return false;
	case BS_FLUSH: break;
	case BS_ERASE:
	case BS_COPY:
	case BS_EXTENT:
	case BS_SPACE: return file_job_start(req);
	}
	if (disk->bs.limits.read_only) {
		req->res = 0; /* nothing was ever written */
		return true;
	}
	queue_sync(req, disk->fd, flush_done);
	return false;
}
