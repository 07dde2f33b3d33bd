// SPDX-License-Identifier: BSD-2-Clause
/* Whether somebody else uses the disks: file systems, swap, LVM, multipath, loop devices. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "doctor.h"

static const char leave[] = "two writers destroy the data: take it away there, or give riserd "
			    "another disk";

struct disk {
	const char *path;
	const char *whole; /* as the kernel names it */
	char device[64]; /* "8:0" */
	bool used;
};

/* --- file systems and swap --- */

static void mounted(struct doctor *d, struct disk *disk, const char *device)
{
	char path[512], line[4096], number[64], where[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", d->root);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*d %*d %63s %*s %511s", number, where) == 2 &&
		    !strcmp(number, device)) {
			found(d, LEVEL_BAD, leave, "%s is mounted here, on %s", disk->path, where);
			disk->used = true;
			break;
		}
	}
	if (file)
		fclose(file);
}

static void swapped(struct doctor *d, struct disk *disk, const char *device)
{
	char path[512], line[1024], name[512], full[1024], number[64];
	struct stat st;
	FILE *file;

	snprintf(path, sizeof(path), "%s/proc/swaps", d->root);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%511s", name) != 1 || *name != '/')
			continue;
		snprintf(full, sizeof(full), "%s%s", d->root, name);
		if (stat(full, &st) || !S_ISBLK(st.st_mode))
			continue;
		snprintf(number, sizeof(number), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
		if (strcmp(number, device) != 0)
			continue;
		found(d, LEVEL_BAD, leave, "%s is swap space of this machine", disk->path);
		disk->used = true;
	}
	if (file)
		fclose(file);
}

/* --- what stands on top of it --- */

static void look_at_holder(struct doctor *d, const char *name, void *arg)
{
	struct disk *disk = arg;
	char path[160], dm[128] = "", uuid[160] = "";
	const char *kind = "a device of this machine";

	snprintf(path, sizeof(path), "/sys/class/block/%.64s/dm/name", name);
	first_line(d, path, dm, sizeof(dm));
	snprintf(path, sizeof(path), "/sys/class/block/%.64s/dm/uuid", name);
	first_line(d, path, uuid, sizeof(uuid));
	if (!strncmp(uuid, "LVM-", 4))
		kind = "an LVM volume";
	else if (!strncmp(uuid, "mpath-", 6))
		kind = "a multipath device";
	else if (!strncmp(uuid, "CRYPT-", 6))
		kind = "an encrypted device";
	else if (!strncmp(name, "md", 2))
		kind = "a RAID";
	disk->used = true;
	found(d, LEVEL_BAD,
	      !strncmp(uuid, "LVM-", 4)
		      ? "vgchange -an its group, and keep LVM off it (global_filter in lvm.conf)"
	      : !strncmp(uuid, "mpath-", 6)
		      ? "serve the multipath device instead, or blacklist the disk in multipath.conf"
		      : leave,
	      "%s is part of %s that is active here: %s", disk->path, kind, *dm ? dm : name);
}

static void look_at_device(struct doctor *d, struct disk *disk, const char *device)
{
	char path[160];

	mounted(d, disk, device);
	swapped(d, disk, device);
	snprintf(path, sizeof(path), "/sys/dev/block/%s/holders", device);
	each_entry(d, path, look_at_holder, disk);
}

static void look_at_partition(struct doctor *d, const char *name, void *arg)
{
	struct disk *disk = arg;
	char path[256], device[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%s/%.64s/partition", disk->device, name);
	if (!is_there(d, path))
		return;
	snprintf(path, sizeof(path), "/sys/dev/block/%s/%.64s/dev", disk->device, name);
	if (first_line(d, path, device, sizeof(device)))
		look_at_device(d, disk, device);
}

/* --- files --- */

static void look_at_loop(struct doctor *d, const char *name, void *arg)
{
	struct disk *disk = arg;
	char path[160], backing[512];

	if (strncmp(name, "loop", 4) != 0)
		return;
	snprintf(path, sizeof(path), "/sys/class/block/%.64s/loop/backing_file", name);
	if (!first_line(d, path, backing, sizeof(backing)) || strcmp(backing, disk->whole) != 0)
		return;
	found(d, LEVEL_BAD, leave, "%s is in use here as /dev/%s", disk->path, name);
	disk->used = true;
}

/* --- one disk --- */

static void look_at_disk(struct doctor *d, const char *path)
{
	char full[4200], sys[160];
	char *whole = is_live(d) ? realpath(path, NULL) : NULL;
	struct disk disk = { .path = path, .whole = whole ? whole : path };
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", d->root, path);
	if (stat(full, &st)) {
		found(d, LEVEL_BAD, "is the name right, and the device there?", "%s does not exist",
		      path);
		goto out;
	}
	if (S_ISBLK(st.st_mode)) {
		snprintf(disk.device, sizeof(disk.device), "%u:%u", major(st.st_rdev),
			 minor(st.st_rdev));
		look_at_device(d, &disk, disk.device);
		snprintf(sys, sizeof(sys), "/sys/dev/block/%s", disk.device);
		each_entry(d, sys, look_at_partition, &disk);
	} else if (S_ISREG(st.st_mode)) {
		each_entry(d, "/sys/class/block", look_at_loop, &disk);
	} else {
		found(d, LEVEL_BAD, NULL, "%s is neither a file nor a block device", path);
		goto out;
	}
	if (!disk.used)
		found(d, LEVEL_OK, NULL, "nobody else uses %s", path);
out:
	free(whole);
}

void check_disks(struct doctor *d)
{
	const json_t *lun;

	each_member(d->luns, lun) {
		if (*member_text(lun, "path") == '/')
			look_at_disk(d, member_text(lun, "path"));
	}
	for (unsigned int i = 0; i < d->disk_count; i++)
		look_at_disk(d, d->disks[i]);
}
