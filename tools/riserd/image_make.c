// SPDX-License-Identifier: BSD-2-Clause
/*
 * The file of an image, on its own thread. Until all of it is there the file is shorter than it was asked for:
 * what a crash leaves behind does not look whole. It is locked meanwhile, so that it is not served.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/log.h"
#include "image_impl.h"

/* Pieces, between which it is asked whether it shall go on. */
enum { RESERVE_AT_ONCE = 1 << 30, WRITE_AT_ONCE = 1 << 20, DIRTY_MOST = 64 << 20 };

__attribute__((format(printf, 4, 5))) static bool refuse(struct image *i, enum rpc_status status,
							 const char *hint, const char *fmt, ...)
{
	struct image_answer *a = &i->answer;
	va_list ap;

	a->status = status;
	snprintf(a->hint, sizeof(a->hint), "%s", hint);
	va_start(ap, fmt);
	vsnprintf(a->message, sizeof(a->message), fmt, ap);
	va_end(ap);
	return false;
}

/* "10.0 GiB" */
static const char *amount(uint64_t bytes, char buf[24])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double n = (double)bytes;
	unsigned int unit = 0;

	for (; n >= 1024 && unit + 1 < array_size(units); unit++)
		n /= 1024;
	snprintf(buf, 24, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
	return buf;
}

static const char *name_of(const struct image *i)
{
	return strrchr(i->path, '/') + 1;
}

static const char *folder_of(const struct image *i, char buf[PATH_MAX])
{
	size_t len = (size_t)(name_of(i) - i->path);

	snprintf(buf, PATH_MAX, "%.*s", (int)(len > 1 ? len - 1 : 1), i->path);
	return buf;
}

/* What its filesystem has for us. False: it does not say. */
static bool space(const struct image *i, uint64_t *bytes)
{
	struct statvfs fs;

	if (fstatvfs(i->folder, &fs) || !fs.f_blocks)
		return false;
	*bytes = (uint64_t)fs.f_bavail * (fs.f_frsize ? fs.f_frsize : fs.f_bsize);
	return true;
}

static bool no_space(struct image *i, const char *limit)
{
	char size[24], left[24] = "no";
	uint64_t bytes;

	if (space(i, &bytes))
		amount(bytes, left);
	return refuse(
		i, RPC_FAILED,
		i->allocate == IMAGE_SPARSE
			? "make room there, or take another folder"
			: "make room there, take another folder, or allocate it sparse, which "
			  "takes space as it is written",
		"%.200s: %s do not fit: %s %s free", i->path, amount(i->size, size), limit, left);
}

/* An error of a call about its folder or its file. */
static bool failed(struct image *i, const char *what, int err)
{
	char folder[PATH_MAX], hint[256];

	folder_of(i, folder);
	switch (err) {
	case EEXIST:
		return refuse(i, RPC_EXISTS, "give another name, or delete it first",
			      "%.200s is there already, and no file is replaced", i->path);
	case ENOENT:
		if (i->folder >= 0)
			return refuse(i, RPC_FAILED, "take another folder",
				      "%.200s: %.200s is no place for files", i->path, folder);
		return refuse(i, RPC_NOT_FOUND,
			      "make the folder; the service does not see /home, /root and /tmp as "
			      "others do (riser.service)",
			      "%.200s: there is no folder %.200s for riserd", i->path, folder);
	case EACCES:
	case EPERM:
		snprintf(hint, sizeof(hint),
			 "as root: install -d -o %u -m 750 FOLDER makes one that it may write to",
			 (unsigned int)geteuid());
		return refuse(i, RPC_PERMISSION, hint,
			      "%.200s: riserd, which is user %u, may not write to %.150s", i->path,
			      (unsigned int)geteuid(), folder);
	case EROFS:
		return refuse(i, RPC_PERMISSION,
			      "take another folder; for the service /usr, /boot and /etc are "
			      "read-only (riser.service)",
			      "%.200s: %.200s is read-only for riserd", i->path, folder);
	case ENOSPC: return no_space(i, "its filesystem has");
	case EDQUOT: return no_space(i, "a quota is used up, and its filesystem has");
	case EFBIG:
		return refuse(i, RPC_FAILED, "a smaller one, or another filesystem",
			      "%.200s: its filesystem, or riserd's limit (ulimit -f), has no files "
			      "of %llu bytes",
			      i->path, (unsigned long long)i->size);
	default:
		return refuse(i, RPC_FAILED, "see what dmesg has about its filesystem",
			      "%.200s: %s: %s", i->path, what, strerror(err));
	}
}

/* --- Looking */

/* Something with a name of ours in it would be taken for a record. */
static bool is_own(const struct image *i)
{
	struct stat own, folder;

	return i->state_folder && !stat(i->state_folder, &own) && !fstat(i->folder, &folder) &&
	       own.st_dev == folder.st_dev && own.st_ino == folder.st_ino;
}

static bool look(struct image *i)
{
	char folder[PATH_MAX];
	struct stat st;
	uint64_t bytes = 0;
	bool known;

	i->folder = open(folder_of(i, folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (i->folder < 0)
		return failed(i, "its folder cannot be opened", errno);
	if (is_own(i))
		return refuse(i, RPC_USAGE, "make a folder for images in it",
			      "%.200s: %.200s is where riserd keeps its state", i->path, folder);
	if (!fstatat(i->folder, name_of(i), &st, AT_SYMLINK_NOFOLLOW))
		return failed(i, "", EEXIST);
	if (errno != ENOENT)
		return failed(i, "it cannot be looked at", errno);
	known = space(i, &bytes);
	i->answer.free = bytes;
	if (i->allocate != IMAGE_SPARSE && known && bytes < i->size)
		return failed(i, "", ENOSPC);
	if (i->dry_run && faccessat(i->folder, ".", W_OK | X_OK, 0))
		return failed(i, "its folder cannot be written to", errno);
	return true;
}

/* --- Making */

static bool create(struct image *i)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;

	i->file = openat(i->folder, name_of(i),
			 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (i->file < 0)
		return failed(i, "it cannot be made", errno);
	if (fstat(i->file, &st))
		return failed(i, "it cannot be looked at", errno);
	i->dev = st.st_dev;
	i->ino = st.st_ino;
	/* Where there are no locks, there are none. */
	if (fcntl(i->file, F_OFD_SETLK, &all) && (errno == EAGAIN || errno == EACCES))
		return refuse(i, RPC_BUSY, "stop that first",
			      "%.200s: another program has locked it", i->path);
	image_begun(i);
	return true;
}

/* Its space, in few pieces. A filesystem that cannot keep any is no matter for who writes anyway. */
static bool reserve(struct image *i)
{
	uint64_t len;

	for (uint64_t at = 0; at < i->size; at += len) {
		int err;

		len = i->size - at < RESERVE_AT_ONCE ? i->size - at : RESERVE_AT_ONCE;
		if (i->stop)
			return false;
		do
			err = fallocate(i->file, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len);
		while (err && errno == EINTR);
		if (err && errno == EOPNOTSUPP && i->allocate == IMAGE_FULL)
			return true;
		if (err && errno == EOPNOTSUPP)
			return refuse(i, RPC_FAILED,
				      "allocate it full, which writes all of it, or sparse",
				      "%.200s: its filesystem can reserve no space", i->path);
		if (err)
			return failed(i, "its space cannot be reserved", errno);
		if (i->allocate == IMAGE_RESERVE)
			i->done = at + len;
	}
	return true;
}

/* Past the page cache, which others have a use for, where that can be. */
static bool set_direct(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && !fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT);
}

/* What the page cache has is on its way to the disk long before the end, and does not stay. */
static bool settle(struct image *i, uint64_t at)
{
	if (fdatasync(i->file))
		return failed(i, "writing", errno);
	posix_fadvise(i->file, 0, (off_t)at, POSIX_FADV_DONTNEED);
	return true;
}

static bool write_from(struct image *i, const void *zeros)
{
	bool direct = set_direct(i->file, true);
	uint64_t at = 0, settled = 0;
	ssize_t n;

	while (at < i->size) {
		uint64_t left = i->size - at;

		if (i->stop)
			return false;
		n = pwrite(i->file, zeros, left < WRITE_AT_ONCE ? left : WRITE_AT_ONCE, (off_t)at);
		if (n < 0 && errno == EINVAL && direct) { /* such as the end, of half a sector */
			if (!set_direct(i->file, false))
				return failed(i, "writing", EINVAL);
			direct = false;
			continue;
		}
		if (n < 0 && errno != EINTR)
			return failed(i, "writing", errno);
		at += n > 0 ? (uint64_t)n : 0;
		i->done = at;
		if (!direct && at - settled >= DIRTY_MOST) {
			if (!settle(i, at))
				return false;
			settled = at;
		}
	}
	return true;
}

static bool write_zeros(struct image *i)
{
	void *zeros = mmap(NULL, WRITE_AT_ONCE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool written;

	if (zeros == MAP_FAILED)
		return failed(i, "memory", errno);
	written = write_from(i, zeros);
	munmap(zeros, WRITE_AT_ONCE);
	return written;
}

/* What whoever has asked will want to know. */
static void remark(struct image *i)
{
	struct image_answer *a = &i->answer;
	char size[24];
	struct stat st;

	if (i->allocate == IMAGE_SPARSE && a->free && a->free < i->size)
		snprintf(a->message, sizeof(a->message),
			 "its filesystem has %s free: that may be full before the disk is",
			 amount(a->free, size));
	if (i->allocate != IMAGE_SPARSE && !fstat(i->file, &st) &&
	    (uint64_t)st.st_blocks * 512 < i->size)
		snprintf(a->message, sizeof(a->message),
			 "its filesystem keeps it in %s, and may be full before the disk is",
			 amount((uint64_t)st.st_blocks * 512, size));
}

static bool finish(struct image *i)
{
	if (i->stop)
		return false;
	if (ftruncate(i->file, (off_t)i->size))
		return failed(i, "its size cannot be set", errno);
	if (fsync(i->file) || fsync(i->folder))
		return failed(i, "it cannot be made durable", errno);
	i->done = i->size;
	remark(i);
	return true;
}

bool image_make(struct image *i)
{
	if (!look(i))
		return false;
	if (i->dry_run)
		return true;
	if (!create(i))
		return false;
	if (i->allocate != IMAGE_SPARSE && !reserve(i))
		return false;
	if (i->allocate == IMAGE_FULL && !write_zeros(i))
		return false;
	return finish(i);
}

/* Only what is ours: somebody may have renamed it, or put something else there. */
void image_remove(struct image *i)
{
	struct image_answer *a = &i->answer;
	size_t used = strlen(a->message);
	struct stat st;

	if (i->file < 0)
		return;
	if (fstatat(i->folder, name_of(i), &st, AT_SYMLINK_NOFOLLOW) || st.st_dev != i->dev ||
	    st.st_ino != i->ino) {
		snprintf(a->message + used, sizeof(a->message) - used,
			 "%sthe half-made file is not where it was made: find and delete it",
			 used ? "; " : "");
		return;
	}
	if (!unlinkat(i->folder, name_of(i), 0) && !fsync(i->folder))
		return;
	snprintf(a->message + used, sizeof(a->message) - used,
		 "%sthe half-made file may be there still: %s: delete it", used ? "; " : "",
		 strerror(errno));
}

void image_close(struct image *i)
{
	if (i->file >= 0)
		close(i->file);
	if (i->folder >= 0)
		close(i->folder);
	i->file = i->folder = -1;
}
