// SPDX-License-Identifier: BSD-2-Clause
/* Block devices: size and topology from ioctls and sysfs, identity from sysfs. */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "core/slab.h"
#include "file.h"

/* First line of an attribute of the device, without white space at its end. */
static bool read_attribute(dev_t rdev, const char *name, char *out, size_t size)
{
	char path[128];
	FILE *file;
	size_t len;
	bool ok;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(rdev), minor(rdev), name);
	file = fopen(path, "re");
	if (!file)
		return false;
	ok = fgets(out, (int)size, file) != NULL;
	fclose(file);
	if (!ok)
		return false;
	len = strcspn(out, "\n");
	while (len && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
	return len > 0;
}

/* A partition has the queue of its disk. */
static uint64_t read_queue(dev_t rdev, const char *name)
{
	char attribute[64], text[64];

	snprintf(attribute, sizeof(attribute), "queue/%s", name);
	if (read_attribute(rdev, attribute, text, sizeof(text)))
		return strtoull(text, NULL, 10);
	snprintf(attribute, sizeof(attribute), "../queue/%s", name);
	if (read_attribute(rdev, attribute, text, sizeof(text)))
		return strtoull(text, NULL, 10);
	return 0;
}

bool blockdev_wwid(dev_t rdev, char *out, size_t size)
{
	static const char *const names[] = { "wwid", "device/wwid", "dm/uuid", "md/uuid" };
	char partition[16], text[256];

	for (size_t i = 0; i < array_size(names); i++) {
		if (read_attribute(rdev, names[i], text, sizeof(text))) {
			snprintf(out, size, "%s", text);
			return true;
		}
	}
	if (!read_attribute(rdev, "partition", partition, sizeof(partition)) ||
	    !(read_attribute(rdev, "../wwid", text, sizeof(text)) ||
	      read_attribute(rdev, "../device/wwid", text, sizeof(text))))
		return false;
	snprintf(out, size, "%s partition %s", text, partition);
	return true;
}

/* A range that no device takes: devices without secure erase say so before they look at it. */
static bool can_erase(int fd)
{
	uint64_t range[2] = { 1, 1 };

	return ioctl(fd, BLKSECDISCARD, range) && errno == EINVAL;
}

uint32_t blockdev_sector_below(dev_t dev)
{
	uint64_t physical = read_queue(dev, "physical_block_size");
	char text[64];

	if (read_attribute(dev, "alignment_offset", text, sizeof(text)) && text[0] != '0')
		return 0;
	return physical <= BUF_MIN ? (uint32_t)physical : BUF_MIN;
}

int blockdev_probe(struct file_disk *disk, const struct bs_spec *spec, uint64_t *size, char *why,
		   size_t why_size)
{
	struct bs_limits *l = &disk->bs.limits;
	unsigned int physical = 0, optimal = 0;
	unsigned short rotational = 0;
	char text[64];
	int logical = 0;
	dev_t rdev = disk->bs.dev;

	if (ioctl(disk->fd, BLKGETSIZE64, size) || ioctl(disk->fd, BLKSSZGET, &logical))
		return bs_fail(-errno, why, why_size, "%s: cannot ask the device for its size: %s",
			       disk->bs.name, strerror(errno));
	if (!l->block_size)
		l->block_size = logical == 4096 ? 4096 : 512;
	if ((disk->direct && (int)l->block_size < logical) || logical > 4096)
		return bs_fail(-EINVAL, why, why_size,
			       "%s: the device has sectors of %d bytes: use block-size=4096 or "
			       "leave out direct=on",
			       disk->bs.name, logical);
	if (spec->size && spec->size != *size)
		return bs_fail(
			-EINVAL, why, why_size,
			"%s: the device has %llu bytes, not %llu: leave out size=", disk->bs.name,
			(unsigned long long)*size, (unsigned long long)spec->size);
	if (!ioctl(disk->fd, BLKPBSZGET, &physical) && physical > l->block_size)
		l->physical_block_size = physical;
	if (!ioctl(disk->fd, BLKIOOPT, &optimal))
		l->optimal_io_size = optimal;
	if (!ioctl(disk->fd, BLKROTATIONAL, &rotational))
		l->rotational = rotational;
	/* Punching a hole is REQ_OP_WRITE_ZEROES that may unmap: both have to be there. A plain
	 * discard may leave old data readable. */
	l->can_unmap = !spec->read_only && read_queue(rdev, "write_zeroes_max_bytes") > 0 &&
		       read_queue(rdev, "discard_max_bytes") > 0;
	l->unmap_granularity = (uint32_t)read_queue(rdev, "discard_granularity");
	if (l->unmap_granularity && read_attribute(rdev, "discard_alignment", text, sizeof(text)))
		l->unmap_alignment = (uint32_t)strtoul(text, NULL, 10) % l->unmap_granularity;
	l->can_erase = !spec->read_only && can_erase(disk->fd);
	/* A drive does not tear the sectors that it says it has. */
	l->atomic_max = physical > l->block_size && physical <= BUF_MAX ? physical : l->block_size;
	l->atomic_granularity = l->atomic_max;
	return 0;
}
