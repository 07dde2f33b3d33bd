// SPDX-License-Identifier: BSD-2-Clause
/*
 * Configurations of other targets. Input: its first byte says of which one, the rest is the text. Oracle:
 * it fails with a note, or riserd takes the riser.conf that comes of it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/riser/import.h"
#include "tools/riserd/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *made;

static void refused(const struct complaint *c)
{
	fprintf(stderr, "line %u: %s\n%s\n", c->place.line, c->text, made);
	abort();
}

/* Files of secrets are not there. */
static bool has_users(const struct import *im)
{
	bool users = im->discovery_count > 0;

	for (size_t i = 0; i < im->target_count; i++)
		users |= im->targets[i].user_count > 0;
	return users;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import im = { .file = "fuzz" };
	struct import_output out;
	char path[64];
	int fd;

	/* Files of this machine are not its subject. */
	if (!size || size > 65536 || memmem(data, size, "include", 7))
		return 0;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)size - 1)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (data[0] % 3 == 0)
		import_tgt(&im, path);
	else if (data[0] % 3 == 1)
		import_lio(&im, path);
	else
		import_ctl(&im, path);
	close(fd);
	if (im.failed && !im.note_count)
		abort();
	if (!im.failed) {
		import_check(&im);
		import_write(&im, "/nonexistent", &out);
		made = out.text;
		if (!has_users(&im))
			config_free(
				config_parse_text("made.conf", made, strlen(made), false, refused));
	}
	import_free(&im);
	return 0;
}
