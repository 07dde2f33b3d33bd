// SPDX-License-Identifier: BSD-2-Clause
/*
 * The file with the tuples of a disk: a header that says whose they are, then eight bytes for each
 * block. It belongs to one disk: the tuples of another, or of another type, would make every read
 * fail. Memory disks have them in memory.
 */
#include "tuple_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crc.h"
#include "core/log.h"
#include "file.h"
#include "protection.h"

enum { HEADER_SIZE = 4096 };

static const char magic[8] = { 'r', 'i', 's', 'e', 'r', 'P', 'I', '1' };

/* At the start of the file; the rest of HEADER_SIZE is zero. */
struct header {
	char magic[8];
	struct be32 type, block_size;
	struct be64 blocks;
	char serial[40]; /* of the disk, ends with a NUL */
	struct be32 crc; /* CRC-32C of what is above */
};
static_assert(sizeof(struct header) == 68, "header of protection information");

/* What the steps of opening share. */
struct opening {
	const struct bs_spec *spec;
	const struct backstore *data;
	const char *path;
	struct header want;
	char *why;
	size_t why_size;
};

#define fail(o, err, ...) bs_fail(err, (o)->why, (o)->why_size, __VA_ARGS__)

static uint64_t disk_blocks(const struct backstore *data)
{
	return data->limits.size / data->limits.block_size;
}

/* The driver below wants whole sectors. */
static uint64_t bytes_for(uint64_t header, uint64_t blocks)
{
	return (header + blocks * sizeof(struct pi_tuple) + 4095) & ~4095ull;
}

static struct be32 header_crc(const struct header *h)
{
	struct header copy = *h;

	return be32_of(crc32c_update(CRC32C_INIT, &copy, offsetof(struct header, crc)));
}

static void set_header(struct header *h, const struct bs_spec *spec, const struct backstore *data)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, magic, sizeof(magic));
	h->type = be32_of(spec->protection);
	h->block_size = be32_of(data->limits.block_size);
	h->blocks = be64_of(disk_blocks(data));
	snprintf(h->serial, sizeof(h->serial), "%s", data->serial);
	h->crc = header_crc(h);
}

static bool write_header(int fd, const struct header *h)
{
	return pwrite(fd, h, sizeof(*h), 0) == sizeof(*h) && !fsync(fd);
}

/* It gets its name when it is complete: one that was not is made anew at the next start. */
static int create(struct opening *o)
{
	uint64_t size = bytes_for(HEADER_SIZE, be64_get(o->want.blocks));
	char unfinished[sizeof(o->spec->protection_path) + sizeof(".new")];
	int fd, err;

	if (o->spec->read_only)
		return fail(o, -ENOENT, "%s does not exist", o->path);
	snprintf(unfinished, sizeof(unfinished), "%s.new", o->path);
	fd = open(unfinished, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(o, -errno, "%s cannot be created: %s", unfinished, strerror(errno));
	if (ftruncate(fd, (off_t)size) || !write_header(fd, &o->want) ||
	    rename(unfinished, o->path)) {
		err = fail(o, -errno, "%s cannot be made %llu bytes large: %s", o->path,
			   (unsigned long long)size, strerror(errno));
		unlink(unfinished);
		close(fd);
		return err;
	}
	close(fd);
	sync_folder_of(o->path);
	log_info("%s: created, for the protection information of %s; what is on that disk is not "
		 "checked until it is written again",
		 o->path, o->data->name);
	return 0;
}

static int create_if_missing(struct opening *o)
{
	struct stat st;

	if (stat(o->path, &st)) {
		if (errno != ENOENT)
			return fail(o, -errno, "%s: %s", o->path, strerror(errno));
		return create(o);
	}
	if (!S_ISREG(st.st_mode))
		return fail(o, -EINVAL, "%s is not a regular file", o->path);
	if (st.st_dev == o->data->dev && st.st_ino == o->data->ino)
		return fail(o, -EINVAL, "%s is the disk itself", o->path);
	return 0;
}

/* --- Whose it is */

static int check_header(struct opening *o, const struct header *h)
{
	if (memcmp(h->magic, magic, sizeof(magic)) || memcmp(&h->crc, header_crc(h).b, 4))
		return fail(o, -EBADMSG,
			    "%s has no protection information, or its header is damaged: remove it "
			    "to go on without what it knows (a new one is made)",
			    o->path);
	if (strncmp(h->serial, o->want.serial, sizeof(h->serial)))
		return fail(o, -EINVAL,
			    "%s has the protection information of the disk with serial %.36s, and "
			    "%s has serial %s: give each disk its own pi-path",
			    o->path, h->serial, o->data->name, o->want.serial);
	if (be32_get(h->type) != o->spec->protection)
		return fail(
			o, -EINVAL,
			"%s has protection information of type %u, not %u: say pi=%u, or remove "
			"it to begin anew",
			o->path, be32_get(h->type), o->spec->protection, be32_get(h->type));
	if (be32_get(h->block_size) != be32_get(o->want.block_size))
		return fail(o, -EINVAL,
			    "%s has protection information for blocks of %u bytes, not %u: say "
			    "block-size=%u, or remove it to begin anew",
			    o->path, be32_get(h->block_size), be32_get(o->want.block_size),
			    be32_get(h->block_size));
	return 0;
}

/* Keeps the first `keep` tuples; the others are escapes. When it does not come to its end, the file
 * has still all of those. */
static int set_size(int fd, uint64_t keep, uint64_t blocks)
{
	return ftruncate(fd, (off_t)(HEADER_SIZE + keep * sizeof(struct pi_tuple))) ||
			       ftruncate(fd, (off_t)bytes_for(HEADER_SIZE, blocks)) || fsync(fd)
		       ? -errno
		       : 0;
}

/* The disk has another size than last time: tuples of blocks that went away are forgotten, blocks
 * that came have none yet. */
static int resize(struct opening *o, int fd, uint64_t old_blocks)
{
	uint64_t blocks = be64_get(o->want.blocks);
	uint64_t keep = old_blocks < blocks ? old_blocks : blocks;

	if (o->spec->read_only)
		return fail(o, -EINVAL, "%s is for %llu blocks, and %s has %llu", o->path,
			    (unsigned long long)old_blocks, o->data->name,
			    (unsigned long long)blocks);
	/* At any moment the file is at least as large as its header says. */
	if ((blocks < old_blocks && !write_header(fd, &o->want)) || set_size(fd, keep, blocks) ||
	    (blocks > old_blocks && !write_header(fd, &o->want)))
		return fail(o, -errno, "%s cannot be made as large as %s needs: %s", o->path,
			    o->data->name, strerror(errno));
	if (blocks != old_blocks)
		log_info("%s: now for %llu blocks, like %s; it was for %llu", o->path,
			 (unsigned long long)blocks, o->data->name, (unsigned long long)old_blocks);
	return 0;
}

static int check(struct opening *o, struct backstore *store)
{
	int fd = container_of(store, struct file_disk, bs)->fd, err;
	uint64_t blocks;
	struct header h;
	struct stat st;

	if (fstat(fd, &st))
		return fail(o, -errno, "%s: %s", o->path, strerror(errno));
	if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
		memset(&h, 0, sizeof(h));
	err = check_header(o, &h);
	if (err)
		return err;
	blocks = be64_get(h.blocks);
	if (blocks > INT64_MAX / sizeof(struct pi_tuple) - HEADER_SIZE ||
	    (uint64_t)st.st_size < HEADER_SIZE + blocks * sizeof(struct pi_tuple))
		return fail(o, -EBADMSG,
			    "%s has %llu bytes, which is not what its header says: part of it is "
			    "missing; remove it to go on without what it knows",
			    o->path, (unsigned long long)st.st_size);
	if (blocks == disk_blocks(o->data) &&
	    (uint64_t)st.st_size >= bytes_for(HEADER_SIZE, blocks))
		return 0;
	err = resize(o, fd, blocks);
	store->limits.size = bytes_for(HEADER_SIZE, disk_blocks(o->data));
	return err;
}

/* --- Opening */

static int open_file(struct opening *o, struct backstore **out)
{
	struct bs_spec spec = { .block_size = 512,
				.read_only = o->spec->read_only,
				.serial = "tuples" };
	int err = create_if_missing(o);

	if (err)
		return err;
	snprintf(spec.path, sizeof(spec.path), "%s", o->path);
	err = bs_file_driver.open(&spec, out, o->why, o->why_size);
	if (err)
		return err;
	err = check(o, *out);
	if (err)
		(*out)->driver->close(*out);
	return err;
}

static int open_memory(struct opening *o, struct backstore **out)
{
	struct bs_spec spec = { .block_size = 512,
				.size = bytes_for(0, disk_blocks(o->data)),
				.serial = "tuples" };

	return bs_ram_driver.open(&spec, out, o->why, o->why_size);
}

int tuple_store_open(const struct bs_spec *spec, const struct backstore *data,
		     struct backstore **out, uint64_t *at, char *why, size_t why_size)
{
	struct opening o = { .spec = spec,
			     .data = data,
			     .path = spec->protection_path,
			     .why = why,
			     .why_size = why_size };
	bool memory = !strcmp(spec->driver, "ram");
	int err;

	if (memory != !spec->protection_path[0] || !strcmp(spec->driver, "null"))
		return fail(&o, -EINVAL,
			    "%s: pi=%u needs a file or block device with pi-path=FILE, or a RAM "
			    "disk without",
			    data->name, spec->protection);
	set_header(&o.want, spec, data);
	err = memory ? open_memory(&o, out) : open_file(&o, out);
	if (err)
		return err;
	(*out)->limits.block_size = sizeof(struct pi_tuple);
	(*out)->serial[0] = '\0'; /* no initiator sees it */
	bs_list(*out);
	*at = memory ? 0 : HEADER_SIZE;
	snprintf((*out)->name, sizeof((*out)->name), "protection information of %.200s",
		 data->name);
	return 0;
}

static bool write_blocks(int fd, struct header *h, uint64_t blocks)
{
	h->blocks = be64_of(blocks);
	h->crc = header_crc(h);
	return write_header(fd, h);
}

/* When the disk has become smaller nothing was done: writes may be under way. So the header may say
 * more than `before`. */
int tuple_store_grow(struct backstore *store, uint64_t before, uint64_t blocks)
{
	int fd = container_of(store, struct file_disk, bs)->fd, err;
	struct header h;

	if (store->limits.read_only)
		return -EROFS;
	if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
		return -EIO;
	/* As in resize(). */
	if (be64_get(h.blocks) > before && !write_blocks(fd, &h, before))
		return -EIO;
	err = set_size(fd, before, blocks);
	if (err)
		return err;
	if (!write_blocks(fd, &h, blocks))
		return -EIO;
	store->limits.size = bytes_for(HEADER_SIZE, blocks);
	return 0;
}
