// SPDX-License-Identifier: BSD-2-Clause
/*
 * Requests on files and block devices that no ring can do, or that must look before they write:
 * they run on the disk's own worker, one after the other. Long ones go piece by piece, so that a
 * query does not wait for the whole of a copy.
 */
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "file.h"

enum {
	CLONE_PIECE = 1 << 30,
	COPY_PIECE = 8 << 20,
	ERASE_PIECE = 64 << 20,
};

struct file_job {
	struct job job;
	struct bs_req *req;
	uint64_t pos; /* bytes done */
	bool no_clone;
	int res;
};

static struct file_disk *disk_of(const struct bs_req *req)
{
	return container_of(req->bs, struct file_disk, bs);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Whether all of the request's range is (still) in the file. A write behind the end would make it
 * grow again, with zeros where data is lost. */
static int check_end(const struct bs_req *req)
{
	struct stat st;

	if (disk_of(req)->block_device)
		return 0;
	if (fstat(disk_of(req)->fd, &st))
		return -errno;
	if (req->offset + req->len <= (uint64_t)st.st_size)
		return 0;
	file_note_cut(req);
	return -ENODATA;
}

/* In a hole, as far as lseek() knows: space without data counts as one there, and so does none. What has
 * become data since is data. */
static int look_for_space(struct bs_req *req)
{
	const struct file_disk *disk = disk_of(req);
	uint64_t block = disk->bs.limits.block_size, begin, end;
	union { /* with one extent behind it */
		struct fiemap head;
		uint8_t room[sizeof(struct fiemap) + sizeof(struct fiemap_extent)];
	} map = { .head = { .fm_start = req->offset,
			    .fm_length = req->extent.len,
			    .fm_extent_count = 1 } };
	const struct fiemap_extent *first = map.head.fm_extents;

	if (!disk->bs.limits.can_anchor)
		return 0;
	if (ioctl(disk->second_fd, FS_IOC_FIEMAP, &map))
		return -errno;
	if (!map.head.fm_mapped_extents)
		return 0;
	begin = first->fe_logical;
	end = begin + first->fe_length;
	if (begin >= req->offset + req->extent.len)
		return 0;
	if (begin >= req->offset + block) {
		req->extent.len = (begin - req->offset) / block * block;
		return 0;
	}
	/* A block that has it in part has not, nor one whose space is another file's, too. */
	req->extent.mapped = !(first->fe_flags & FIEMAP_EXTENT_UNWRITTEN);
	req->extent.anchored = !req->extent.mapped && !(first->fe_flags & FIEMAP_EXTENT_SHARED) &&
			       begin <= req->offset && end >= req->offset + block;
	if (req->extent.mapped || !req->extent.anchored)
		req->extent.len = block;
	else
		req->extent.len = least(req->extent.len, (end - req->offset) / block * block);
	return 0;
}

/* Holes and data of a file. Part of a block that is data makes all of it mapped. */
static int query_extent(struct bs_req *req)
{
	struct file_disk *disk = disk_of(req);
	uint64_t block = disk->bs.limits.block_size;
	off_t begin = (off_t)req->offset, data, hole;
	int err;

	data = lseek(disk->second_fd, begin, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		return errno == EINVAL ? -EOPNOTSUPP : -errno;
	req->extent.mapped = data >= 0 && data - begin < (off_t)block;
	req->extent.anchored = false;
	if (!req->extent.mapped) {
		/* No more data: the hole goes on to the end. */
		req->extent.len =
			data < 0 ? req->len
				 : least(req->len, (uint64_t)(data - begin) / block * block);
		err = look_for_space(req);
		/* Looked at last: what is lost must not pass for a hole. */
		return err ? err : check_end(req);
	}
	hole = lseek(disk->second_fd, data, SEEK_HOLE);
	if (hole < 0)
		return errno == ENXIO ? -ENODATA : -errno; /* it was cut in between */
	req->extent.len = least(req->len, ((uint64_t)(hole - begin) + block - 1) / block * block);
	return check_end(req);
}

static int query_space(struct bs_req *req)
{
	struct file_disk *disk = disk_of(req);
	struct statvfs fs;
	struct stat st;

	if (fstat(disk->fd, &st) || fstatvfs(disk->fd, &fs))
		return -errno;
	req->space.used = (uint64_t)st.st_blocks * 512;
	req->space.available = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

/* These say that the two files, or this range of them, cannot be cloned or copied by the kernel. */
static bool not_possible(int err)
{
	return err == EOPNOTSUPP || err == EXDEV || err == EINVAL || err == ENOTTY ||
	       err == ENOSYS || err == ETXTBSY || err == EPERM;
}

/* second_fd: through the page cache, which transfers with O_DIRECT flush and invalidate. */
static bool clone_piece(struct file_job *job, uint64_t len)
{
	struct bs_req *req = job->req;
	struct file_clone_range range = {
		.src_fd = container_of(req->source, struct file_disk, bs)->second_fd,
		.src_offset = req->source_offset + job->pos,
		.src_length = len,
		.dest_offset = req->offset + job->pos,
	};

	if (!ioctl(disk_of(req)->second_fd, FICLONERANGE, &range)) {
		job->pos += len;
		return true;
	}
	job->no_clone = true; /* whatever is wrong, copying will tell */
	return false;
}

/* Whole blocks of the filesystem can be shared, when both ranges begin alike in a block: what is in
 * front and behind is copied. Sets what is to be copied otherwise, at most *left. */
static bool clone_or_shorten(struct file_job *job, uint64_t *left)
{
	struct bs_req *req = job->req;
	uint64_t block = disk_of(req)->bs.limits.unmap_granularity;
	uint64_t at = (req->offset + job->pos) % block;
	uint64_t before = at ? block - at : 0;

	if (job->no_clone || req->offset % block != req->source_offset % block ||
	    before + block > *left)
		return false;
	if (!before)
		return clone_piece(job, least(*left / block * block, CLONE_PIECE));
	*left = before;
	return false;
}

static int copy_piece(struct file_job *job)
{
	struct bs_req *req = job->req;
	uint64_t left = req->len - job->pos;
	loff_t from = (loff_t)(req->source_offset + job->pos),
	       to = (loff_t)(req->offset + job->pos);
	int err = check_end(req);
	ssize_t n;

	if (err)
		return err;
	if (clone_or_shorten(job, &left))
		return 0;
	/* Through the page cache, which does not go together with O_DIRECT: a page has more than this
	 * range, and the kernel reports lost data when both write to it. */
	if (disk_of(req)->direct)
		return -EOPNOTSUPP;
	n = copy_file_range(container_of(req->source, struct file_disk, bs)->second_fd, &from,
			    disk_of(req)->second_fd, &to, least(left, COPY_PIECE), 0);
	if (n == 0)
		return -ENODATA; /* the source has become shorter */
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return not_possible(errno) ? -EOPNOTSUPP : -errno;
	job->pos += (uint64_t)n;
	return 0;
}

static int erase_piece(struct file_job *job)
{
	struct bs_req *req = job->req;
	uint64_t range[2] = { req->offset + job->pos, least(req->len - job->pos, ERASE_PIECE) };

	if (ioctl(disk_of(req)->fd, BLKSECDISCARD, range))
		return -errno;
	job->pos += range[1];
	return 0;
}

static void job_run(struct job *base)
{
	struct file_job *job = container_of(base, struct file_job, job);

	switch (job->req->opcode) {
	case BS_EXTENT: job->res = query_extent(job->req); break;
	case BS_SPACE: job->res = query_space(job->req); break;
	case BS_COPY: job->res = copy_piece(job); break;
	case BS_ERASE: job->res = erase_piece(job); break;
	case BS_WRITE:
	case BS_UNMAP:
	case BS_ZERO:
	case BS_READ:
	case BS_FLUSH: job->res = check_end(job->req); break;
	}
}

static void job_done(struct job *base)
{
	struct file_job *job = container_of(base, struct file_job, job);
	struct bs_req *req = job->req;
	bool in_pieces = req->opcode == BS_COPY || req->opcode == BS_ERASE;
	int res = job->res;

	if (!res && in_pieces && job->pos < req->len) {
		worker_submit(disk_of(req)->worker, &job->job);
		return;
	}
	free(job);
	if (res)
		bs_complete(req, res);
	else if (in_pieces)
		file_make_durable(req);
	else if (!bs_writes(req->opcode))
		bs_complete(req, 0);
	else if (file_start(req))
		bs_complete(req, req->res);
}

/* Whether this disk, and the other one, can do that at all. */
static bool possible(const struct bs_req *req)
{
	const struct file_disk *disk = disk_of(req);

	switch (req->opcode) {
	case BS_EXTENT: return disk->bs.limits.can_report_extents;
	case BS_SPACE: return disk->bs.limits.can_report_space;
	case BS_ERASE: return disk->bs.limits.can_erase;
	case BS_COPY:
		return !disk->block_device && req->source->driver == &bs_file_driver &&
		       !container_of(req->source, struct file_disk, bs)->block_device;
	default: return true;
	}
}

bool file_job_start(struct bs_req *req)
{
	struct file_job *job = possible(req) ? calloc(1, sizeof(*job)) : NULL;

	if (!job) {
		req->res = possible(req) ? -ENOMEM : -EOPNOTSUPP;
		return true;
	}
	job->job.run = job_run;
	job->job.done = job_done;
	job->job.reactor = req->reactor;
	job->req = req;
	worker_submit(disk_of(req)->worker, &job->job);
	return false;
}
