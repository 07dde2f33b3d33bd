// SPDX-License-Identifier: BSD-2-Clause
/* Files and block devices as disks: opening, locking, size, identity. Requests: file_io.c. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/lock_wait.h"
#include "core/log.h"
#include "core/slab.h"

static const char serial_xattr[] = "user.riser.serial";

/* What the steps of opening share. */
struct opening {
	const struct bs_spec *spec;
	struct file_disk *disk;
	struct stat st;
	uint64_t size; /* bytes, as the inode or the device says */
	char *why;
	size_t why_size;
};

#define fail(o, err, ...) bs_fail(err, (o)->why, (o)->why_size, __VA_ARGS__)

static void set_name(struct backstore *bs, const char *path)
{
	size_t len = strlen(path);

	if (len < sizeof(bs->name))
		memcpy(bs->name, path, len + 1);
	else
		snprintf(bs->name, sizeof(bs->name), "...%s", path + len - (sizeof(bs->name) - 4));
}

void sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd;

	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path + 1), path);
	else
		snprintf(folder, sizeof(folder), ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		log_warn("%s: cannot make the new file's name durable: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int create(struct opening *o)
{
	const struct bs_spec *spec = o->spec;
	int fd, err;

	if (!spec->size || spec->read_only)
		return fail(o, -ENOENT, "%s does not exist%s", spec->path,
			    spec->read_only ? "" : "; ,size=10G would create it");
	err = bs_check_size(spec, o->why, o->why_size);
	if (err)
		return err;
	fd = open(spec->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(o, -errno, "%s cannot be created: %s", spec->path, strerror(errno));
	if (ftruncate(fd, (off_t)spec->size) || fsync(fd)) {
		err = fail(o, -errno, "%s cannot be made %llu bytes large: %s", spec->path,
			   (unsigned long long)spec->size, strerror(errno));
		unlink(spec->path);
		close(fd);
		return err;
	}
	close(fd);
	sync_folder_of(spec->path);
	log_info("%s: created, a sparse file of %llu bytes", spec->path,
		 (unsigned long long)spec->size);
	return 0;
}

/* Before it is opened: opening a tape or a FIFO does things. */
static int look_at_path(struct opening *o)
{
	const char *path = o->spec->path;
	int err;

	if (stat(path, &o->st)) {
		if (errno != ENOENT)
			return fail(o, -errno, "%s: %s", path, strerror(errno));
		err = create(o);
		if (err)
			return err;
		if (stat(path, &o->st))
			return fail(o, -errno, "%s: %s", path, strerror(errno));
	}
	if (!S_ISREG(o->st.st_mode) && !S_ISBLK(o->st.st_mode))
		return fail(o, -EINVAL, "%s is neither a regular file nor a block device", path);
	return 0;
}

static int refuse_twice(struct opening *o)
{
	const struct backstore *other = bs_find_inode(o->disk->bs.dev, o->disk->bs.ino);

	if (!other)
		return 0;
	return fail(o, -EBUSY, "%s is served already, as %s: a disk can be served once",
		    o->spec->path, other->name);
}

static int try_open(void *arg)
{
	struct opening *o = arg;
	const struct bs_spec *spec = o->spec;
	int flags = O_CLOEXEC | (spec->read_only ? O_RDONLY : O_RDWR) |
		    (spec->direct ? O_DIRECT : 0) | (S_ISBLK(o->st.st_mode) ? O_EXCL : 0);

	o->disk->fd = open(spec->path, flags);
	return o->disk->fd < 0 ? -errno : 0;
}

static int open_first(struct opening *o)
{
	const struct bs_spec *spec = o->spec;
	struct file_disk *disk = o->disk;
	mode_t type = o->st.st_mode & S_IFMT;
	int err = lock_wait(try_open, o, spec->path);

	if (err == -EBUSY)
		return fail(o, -EBUSY,
			    "%s is in use (mounted, swap, part of a volume group or served by "
			    "another program): stop that first",
			    spec->path);
	if (err == -EINVAL && spec->direct)
		return fail(o, -EINVAL,
			    "%s is on a filesystem without O_DIRECT: leave out direct=on",
			    spec->path);
	if (err)
		return fail(o, err, "%s: %s%s", spec->path, strerror(-err),
			    err == -EROFS || err == -EACCES || err == -EPERM
				    ? " (readonly=on needs less)"
				    : "");
	if (fstat(disk->fd, &o->st) || (o->st.st_mode & S_IFMT) != type)
		return fail(o, -EAGAIN, "%s has changed while it was opened", spec->path);
	return 0;
}

/* An open file of its own, of the very inode that fd has. */
static int open_second(struct opening *o)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", o->disk->fd);
	o->disk->second_fd = open(path, O_CLOEXEC | (o->spec->read_only ? O_RDONLY : O_RDWR));
	if (o->disk->second_fd < 0)
		return fail(o, -errno, "%s cannot be opened a second time through %s: %s",
			    o->spec->path, path, strerror(errno));
	if (!o->disk->direct)
		o->disk->medium_fd =
			open(path, O_CLOEXEC | O_DIRECT | (o->spec->read_only ? O_RDONLY : O_RDWR));
	return 0;
}

static int try_lock(void *arg)
{
	const struct opening *o = arg;
	struct flock region = {
		.l_type = o->spec->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (fcntl(o->disk->fd, F_OFD_SETLK, &region) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

/* Against other programs that lock (QEMU does); a block device has O_EXCL. */
static int lock(struct opening *o)
{
	int err = o->disk->block_device ? 0 : lock_wait(try_lock, o, o->spec->path);

	if (!err)
		return 0;
	if (err == -EBUSY)
		return fail(o, -EBUSY,
			    "%s is locked by another program%s: stop that first (lslocks shows it)",
			    o->spec->path, o->spec->read_only ? " that writes to it" : "");
	log_warn("%s: cannot be locked against other programs: %s", o->spec->path, strerror(-err));
	return 0;
}

/* Space without data behind the end, at once given back, but by ext4, which punches nothing there: a block
 * of it stays. Without any left it can be asked for all the same. Who takes it must be able to tell it
 * from holes. */
static bool can_anchor(int fd, off_t beyond)
{
	int keep = FALLOC_FL_KEEP_SIZE;
	struct fiemap map = { .fm_length = BUF_MIN };

	if (ioctl(fd, FS_IOC_FIEMAP, &map) ||
	    (fallocate(fd, FALLOC_FL_ZERO_RANGE | keep, beyond, BUF_MIN) && errno != ENOSPC &&
	     errno != EDQUOT))
		return false;
	return !fallocate(fd, FALLOC_FL_PUNCH_HOLE | keep, beyond, BUF_MIN);
}

static int probe_file(struct opening *o)
{
	struct bs_limits *l = &o->disk->bs.limits;
	struct statvfs fs = { .f_bsize = BUF_MIN };
	uint32_t sector;
	off_t beyond;

	o->size = (uint64_t)o->st.st_size;
	if (!l->block_size)
		l->block_size = 512;
	if (o->spec->size && o->spec->size != o->size)
		return fail(o, -EINVAL,
			    "%s exists and has %llu bytes, not %llu: leave out size=, or resize it "
			    "with truncate -s",
			    o->spec->path, (unsigned long long)o->size,
			    (unsigned long long)o->spec->size);
	/* A hole behind the end changes nothing and tells whether holes can be punched. */
	beyond = (off_t)((o->size + BUF_MIN - 1) / BUF_MIN * BUF_MIN);
	l->can_unmap = !o->spec->read_only &&
		       !fallocate(o->disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, beyond,
				  BUF_MIN);
	l->can_anchor = l->can_unmap && can_anchor(o->disk->fd, beyond);
	l->can_report_space = !fstatvfs(o->disk->fd, &fs);
	if (!fs.f_bsize) /* a filesystem of somebody's own making says anything */
		fs.f_bsize = BUF_MIN;
	l->unmap_granularity = (uint32_t)fs.f_bsize;
	/* Where a filesystem knows nothing of holes it says that all is data. */
	l->can_report_extents = lseek(o->disk->fd, 0, SEEK_HOLE) >= 0;
	if (o->st.st_blksize > BUF_MIN)
		l->optimal_io_size = (uint32_t)o->st.st_blksize;
	/* What goes past the page cache is written at once, to sectors of one block of the
	 * filesystem: whole as far as the drive keeps a sector whole. What is below, say, btrfs is
	 * not known; then it is one block, as for any write. */
	sector = fs.f_bsize >= BUF_MIN ? blockdev_sector_below(o->st.st_dev) : 0;
	l->atomic_max = sector > l->block_size ? sector : l->block_size;
	l->atomic_granularity = l->atomic_max;
	return 0;
}

/* What the kernel writes whole on an open file, if it does. It takes powers of two at multiples of
 * themselves, WRITE ATOMIC any multiple of a granularity: so it is one size for all, that of a
 * database page. The fields are younger than the C library's headers. */
static void probe_atomic(struct file_disk *disk)
{
	enum { MASK = 0x10000, UNIT_MIN_AT = 0xa8, UNIT_MAX_AT = 0xac, PAGE_OF_DATABASE = 16384 };
	struct bs_limits *l = &disk->bs.limits;
	uint32_t min, max;
	struct statx stx;

	if (!disk->direct || statx(disk->fd, "", AT_EMPTY_PATH, MASK, &stx) ||
	    !(stx.stx_mask & MASK))
		return;
	memcpy(&min, (const char *)&stx + UNIT_MIN_AT, sizeof(min));
	memcpy(&max, (const char *)&stx + UNIT_MAX_AT, sizeof(max));
	if (max > PAGE_OF_DATABASE)
		max = PAGE_OF_DATABASE;
	if (!min || min > max || (max & (max - 1)) || max % l->block_size || max <= l->atomic_max)
		return;
	disk->atomic_unit = l->atomic_max = l->atomic_granularity = max;
}

static int check_direct(struct opening *o)
{
	struct file_disk *disk = o->disk;
	uint32_t block = disk->bs.limits.block_size;
	struct statx stx;
	void *page;
	ssize_t n;

	if (!disk->direct)
		return 0;
	disk->memory_align = disk->offset_align = block;
	if (!statx(disk->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
	    stx.stx_mask & STATX_DIOALIGN && stx.stx_dio_offset_align) {
		disk->memory_align = stx.stx_dio_mem_align;
		disk->offset_align = stx.stx_dio_offset_align;
	}
	if (block % disk->offset_align)
		return fail(o, -EINVAL,
			    "%s: direct I/O needs blocks of %u bytes: add block-size=4096 or leave "
			    "out direct=on",
			    o->spec->path, disk->offset_align);
	/* Older filesystems do not tell; a read does. */
	page = aligned_alloc(BUF_MIN, BUF_MIN);
	if (!page)
		return fail(o, -ENOMEM, "out of memory");
	n = pread(disk->fd, page, block, 0);
	free(page);
	if (n < 0)
		return fail(o, -errno,
			    "%s: direct reads of %u bytes fail: %s (block-size=4096 may help, or "
			    "leave out direct=on)",
			    o->spec->path, block, strerror(errno));
	return 0;
}

static int settle_size(struct opening *o)
{
	struct bs_limits *l = &o->disk->bs.limits;

	l->size = o->size / l->block_size * l->block_size;
	if (!l->size)
		return fail(o, -EINVAL,
			    "%s has %llu bytes, less than one block of %u: enlarge it with "
			    "truncate -s",
			    o->spec->path, (unsigned long long)o->size, l->block_size);
	if (l->size != o->size)
		log_warn("%s: the last %llu bytes are not served, they are no whole block of %u",
			 o->spec->path, (unsigned long long)(o->size - l->size), l->block_size);
	return 0;
}

/* Identity */

static bool stored_serial(int fd, char serial[37])
{
	ssize_t n = fgetxattr(fd, serial_xattr, serial, 36);

	for (ssize_t i = 0; i < n; i++) {
		if (serial[i] <= 0x20 || serial[i] > 0x7e)
			n = 0;
	}
	serial[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* A random serial kept with the file survives renaming and restoring to another machine. */
static bool store_serial(struct opening *o, char serial[37])
{
	unsigned char random[16];

	if (o->spec->read_only || getrandom(random, sizeof(random), 0) != sizeof(random))
		return false;
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(serial + 2 * i, 3, "%02x", random[i]);
	if (!fsetxattr(o->disk->fd, serial_xattr, serial, strlen(serial), XATTR_CREATE) &&
	    !fsync(o->disk->fd))
		return true;
	log_info("%s: the serial number is derived from the path, it cannot be stored: %s",
		 o->spec->path, strerror(errno));
	return false;
}

static void set_serial(struct opening *o)
{
	struct backstore *bs = &o->disk->bs;
	char text[PATH_MAX];

	if (!o->spec->serial[0] && !o->disk->block_device &&
	    (stored_serial(o->disk->fd, bs->serial) || store_serial(o, bs->serial)))
		return;
	if (o->disk->block_device && blockdev_wwid(bs->dev, text, sizeof(text)))
		bs_set_serial(bs, o->spec, text);
	else
		bs_set_serial(bs, o->spec, realpath(o->spec->path, text) ? text : o->spec->path);
}

/* Opening */

static int fill_in(struct opening *o)
{
	struct file_disk *disk = o->disk;
	struct bs_limits *l = &disk->bs.limits;
	int err;

	l->block_size = o->spec->block_size;
	l->read_only = o->spec->read_only;
	l->physical_block_size = BUF_MIN;
	/* Also with O_DIRECT: the device's own cache is behind it, and only a flush reaches that. */
	l->volatile_cache = !o->spec->read_only;
	l->caches_reads = !disk->direct;
	err = disk->block_device ? blockdev_probe(disk, o->spec, &o->size, o->why, o->why_size)
				 : probe_file(o);
	if (!err)
		err = settle_size(o);
	if (!err)
		err = check_direct(o);
	if (!err && !disk->direct && disk->medium_fd < 0) /* there is no way past the page cache */
		l->atomic_max = l->atomic_granularity = l->block_size;
	if (!err)
		probe_atomic(disk);
	return err;
}

static int open_all(struct opening *o)
{
	struct file_disk *disk = o->disk;
	int err = look_at_path(o);

	if (err)
		return err;
	disk->block_device = S_ISBLK(o->st.st_mode);
	disk->bs.dev = disk->block_device ? o->st.st_rdev : o->st.st_dev;
	disk->bs.ino = disk->block_device ? 0 : o->st.st_ino;
	err = refuse_twice(o);
	if (!err)
		err = open_first(o);
	if (!err)
		err = lock(o);
	if (!err)
		err = open_second(o);
	if (!err)
		err = fill_in(o);
	if (!err)
		set_serial(o);
	return err;
}

/* Explicitly: a ring may hold on to the open file for a while after its last request was done, until
 * its thread enters the kernel again. */
static void unlock(int fd)
{
	struct flock region = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(fd, F_OFD_SETLK, &region);
}

static void file_close(struct backstore *bs)
{
	struct file_disk *disk = container_of(bs, struct file_disk, bs);

	worker_destroy(disk->worker);
	if (disk->medium_fd >= 0)
		close(disk->medium_fd);
	if (disk->second_fd >= 0)
		close(disk->second_fd);
	if (disk->fd >= 0) {
		unlock(disk->fd);
		close(disk->fd);
	}
	free(disk);
}

static int file_open(const struct bs_spec *spec, struct backstore **out, char *why, size_t why_size)
{
	struct opening o = { .spec = spec, .why = why, .why_size = why_size };
	int err;

	o.disk = bs_alloc(sizeof(*o.disk), &bs_file_driver);
	if (!o.disk || !bs_zeros() || worker_create("disk-worker", &o.disk->worker)) {
		free(o.disk);
		return bs_fail(-ENOMEM, why, why_size, "out of memory");
	}
	o.disk->fd = o.disk->second_fd = o.disk->medium_fd = -1;
	o.disk->direct = spec->direct;
	set_name(&o.disk->bs, spec->path);
	err = open_all(&o);
	if (err) {
		file_close(&o.disk->bs);
		return err;
	}
	*out = &o.disk->bs;
	return 0;
}

/* lends_pointers is false: never called. */
static void *file_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)bs;
	(void)offset;
	(void)len;
	return NULL;
}

static int file_measure(struct backstore *bs, uint64_t *size)
{
	struct file_disk *disk = container_of(bs, struct file_disk, bs);
	uint64_t bytes = 0;
	struct stat st;

	if (disk->block_device ? ioctl(disk->fd, BLKGETSIZE64, &bytes) : fstat(disk->fd, &st))
		return -errno;
	if (!disk->block_device)
		bytes = (uint64_t)st.st_size;
	*size = bytes / bs->limits.block_size * bs->limits.block_size;
	/* First the new end, then writes need not look any more. */
	bs->limits.size = *size;
	atomic_store(&disk->cut, false);
	return 0;
}

const struct bs_driver bs_file_driver = {
	.name = "file",
	.open = file_open,
	.close = file_close,
	.submit = file_submit,
	.borrow = file_borrow,
	.measure = file_measure,
};
