// SPDX-License-Identifier: BSD-2-Clause
/* The file of state.h and its older brothers. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "parse_impl.h"
#include "tree.h"

#define NAME "state.json"
#define TEMPORARY ".new-" NAME

struct state {
	int dir; /* file descriptor */
	bool prepared;
	uint64_t version;
	json_t *objects; /* of the file, until state_load() */
	char path[];
};

/* --- Reading */

static json_t *parse(struct state *s, int fd, size_t size, char *why, size_t why_size)
{
	char reason[512];
	json_t *objects;
	size_t len = 0;
	char *text = parse_read_all(fd, size, &len);

	if (!text) {
		snprintf(why, why_size, "%s: cannot be read: %s", s->path, strerror(errno));
		return NULL;
	}
	objects = state_parse(text, len, &s->version, reason, sizeof(reason));
	tree_wipe_text(text);
	if (!objects)
		snprintf(why, why_size,
			 "%s: %s; the versions before it are beside it: copy the newest %s.* that "
			 "is whole over it, or move it away to start with the configuration alone",
			 s->path, reason, NAME);
	return objects;
}

static int load(struct state *s, char *why, size_t why_size)
{
	int fd = openat(s->dir, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int err = 0;

	if (fd < 0 && errno == ENOENT) {
		s->objects = json_object();
		return s->objects ? 0 : -ENOMEM;
	}
	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
		snprintf(why, why_size, "%s: cannot be read: %s", s->path, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size > STATE_FILE_MAX) {
		err = -EBADMSG;
		snprintf(why, why_size, "%s: is no file of at most %d bytes", s->path,
			 STATE_FILE_MAX);
	} else if (st.st_mode & 077) {
		err = -EBADMSG;
		snprintf(why, why_size,
			 "%s: others may read or write it, and it has secrets: "
			 "chmod 0600 %s",
			 s->path, s->path);
	} else {
		s->objects = parse(s, fd, (size_t)st.st_size, why, why_size);
		err = s->objects ? 0 : -EBADMSG;
	}
	if (fd >= 0)
		close(fd);
	return err;
}

int state_open(const char *folder, struct state **out, char *why, size_t why_size)
{
	size_t room = strlen(folder) + sizeof("/" NAME);
	struct state *s = calloc(1, sizeof(*s) + room);
	int err;

	*out = NULL;
	if (!s) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	snprintf(s->path, room, "%s/%s", folder, NAME);
	if (mkdir(folder, 0700) && errno != EEXIST) {
		err = -errno;
		snprintf(why, why_size, "%s: cannot be made, to be the state folder: %s", folder,
			 strerror(errno));
		free(s);
		return err;
	}
	s->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0) {
		err = -errno;
		snprintf(why, why_size, "%s: cannot use it as state folder: %s", folder,
			 strerror(errno));
		free(s);
		return err;
	}
	err = load(s, why, why_size);
	if (err)
		state_close(s);
	else
		*out = s;
	return err;
}

void state_close(struct state *s)
{
	if (!s)
		return;
	state_abandon(s);
	json_decref(s->objects);
	close(s->dir);
	free(s);
}

const char *state_path(const struct state *s)
{
	return s->path;
}

uint64_t state_version(const struct state *s)
{
	return s->version;
}

json_t *state_load(const struct state *s)
{
	return json_deep_copy(s->objects);
}

/* --- Writing */

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return fsync(fd) ? -errno : 0;
}

static int fail(const struct state *s, int err, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s: cannot be written: %s%s", s->path, strerror(-err),
		 err == -ENOSPC || err == -EDQUOT ? "; make room there"
		 : err == -EROFS || err == -EACCES
			 ? "; riserd has to be able to write there (--state DIR)"
			 : "");
	return err;
}

int state_prepare(struct state *s, const json_t *objects, char *why, size_t why_size)
{
	size_t len = 0;
	char *text = state_format(objects, s->version + 1, &len);
	int fd, err;

	if (!text)
		return fail(s, -ENOMEM, why, why_size);
	if (len > STATE_FILE_MAX) { /* nobody could read it again */
		tree_wipe_text(text);
		return fail(s, -EFBIG, why, why_size);
	}
	state_abandon(s);
	unlinkat(s->dir, TEMPORARY, 0);
	fd = openat(s->dir, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	err = fd < 0 ? -errno : write_all(fd, text, len);
	tree_wipe_text(text);
	if (fd >= 0 && close(fd) && !err)
		err = -errno;
	s->prepared = fd >= 0;
	if (!err)
		return 0;
	state_abandon(s);
	return fail(s, err, why, why_size);
}

static void name_of(uint64_t version, char *out, size_t size)
{
	snprintf(out, size, NAME ".%llu", (unsigned long long)version);
}

/* The present one gets a second name, which it keeps when it is replaced. */
static void keep_old(const struct state *s)
{
	char name[64];

	if (!s->version)
		return;
	name_of(s->version, name, sizeof(name));
	unlinkat(s->dir, name, 0);
	if (linkat(s->dir, NAME, s->dir, name, 0))
		log_warn("%s: version %llu is not kept: %s", s->path,
			 (unsigned long long)s->version, strerror(errno));
}

int state_commit(struct state *s, char *why, size_t why_size)
{
	char name[64];
	int err = 0;

	keep_old(s);
	if (renameat(s->dir, TEMPORARY, s->dir, NAME)) {
		err = -errno;
		state_abandon(s);
		return fail(s, err, why, why_size);
	}
	s->prepared = false;
	s->version++;
	if (fsync(s->dir))
		log_error("%s: the folder cannot be flushed: %s: a loss of power may undo the last "
			  "change",
			  s->path, strerror(errno));
	if (s->version > STATE_KEPT + 1) {
		name_of(s->version - STATE_KEPT - 1, name, sizeof(name));
		unlinkat(s->dir, name, 0);
	}
	return 0;
}

void state_abandon(struct state *s)
{
	if (s->prepared)
		unlinkat(s->dir, TEMPORARY, 0);
	s->prepared = false;
}
