// SPDX-License-Identifier: BSD-2-Clause
/* The file of state.h and its older brothers. */
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/write_all.h"
#include "parse_impl.h"
#include "tree.h"

#define NAME "state.json"
#define TEMPORARY ".new-" NAME

enum { END_ROOM = 128 }; /* for state_line_end() */

struct state {
	int dir; /* file descriptors: */
	int file; /* state.json, to append to; -1: not open */
	int fresh; /* what shall replace it; -1: nothing */
	size_t fresh_len;
	dev_t dev; /* of state.json */
	ino_t ino;
	bool behind; /* it cannot be appended to: the next change replaces it */
	struct state_extent has; /* what it has for good */
	struct state_line line; /* what else it has: no end, so that it does not count */
	size_t waiting; /* so much of the line is committed; the rest is prepared */
	json_t *objects; /* of the file, until state_load() */
	char path[];
};

/* --- Reading */

static json_t *parse(struct state *s, int fd, size_t size, char *why, size_t why_size)
{
	char reason[512] = "";
	json_t *objects;
	size_t len = 0;
	char *text = parse_read_all(fd, size, &len);

	if (!text) {
		snprintf(why, why_size, "%s: cannot be read: %s", s->path, strerror(errno));
		return NULL;
	}
	objects = state_parse(text, len, &s->has, reason, sizeof(reason));
	OPENSSL_cleanse(text, len);
	free(text);
	if (!objects)
		snprintf(why, why_size,
			 "%s: %s; the versions before it are beside it: copy the newest %s.* that "
			 "is whole over it, or move it away to start with the configuration alone",
			 s->path, reason, NAME);
	if (objects && s->has.torn)
		log_warn(
			"%s: line %u has no end: it was never answered, because riserd or its host "
			"ended first, and is left out",
			s->path, s->has.torn);
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
		s->behind = s->has.torn;
		s->dev = st.st_dev;
		s->ino = st.st_ino;
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
	s->file = s->fresh = -1;
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
	if (s->file >= 0)
		close(s->file);
	state_line_free(&s->line);
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
	return s->has.version;
}

json_t *state_load(const struct state *s)
{
	return json_deep_copy(s->objects);
}

size_t state_waiting(const struct state *s)
{
	return s->waiting;
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

/* --- A line more */

/* Somebody may have moved it away, or put another one in its place: that is replaced. */
static bool is_ours(struct state *s)
{
	struct stat opened, named;

	if (s->file < 0)
		s->file = openat(s->dir, NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return s->file >= 0 && !fstat(s->file, &opened) &&
	       !fstatat(s->dir, NAME, &named, AT_SYMLINK_NOFOLLOW) && opened.st_dev == s->dev &&
	       opened.st_ino == s->ino && named.st_dev == s->dev && named.st_ino == s->ino &&
	       (size_t)named.st_size == s->has.len + s->waiting && !(named.st_mode & 077);
}

/* Replaced when there is more behind the first part than in it, its size follows what there is to say, and
 * the cost of that is shared by as many changes. */
static bool can_append(struct state *s)
{
	return s->has.version && !s->behind && s->has.len - s->has.whole <= s->has.whole &&
	       is_ours(s);
}

/* The line from `from` on. */
static int put(const struct state *s, size_t from)
{
	if (lseek(s->file, (off_t)(s->has.len + from), SEEK_SET) < 0)
		return -errno;
	return write_all(s->file, s->line.text + from, s->line.len - from);
}

static int prepare_line(struct state *s, const struct state_change *only)
{
	size_t from = s->line.len;
	int err = state_line_add(&s->line, s->has.version + 1, only);

	if (!err && s->has.len + s->line.len + END_ROOM > STATE_FILE_MAX)
		err = -EFBIG;
	if (!err)
		err = put(s, from);
	if (err)
		state_abandon(s);
	return err;
}

int state_flush(struct state *s, char *why, size_t why_size)
{
	int err;

	if (!s->waiting) /* what does not wait any more was recorded, or has failed */
		return s->behind ? fail(s, -EIO, why, why_size) : 0;
	err = state_line_end(&s->line);
	if (!err)
		err = put(s, s->waiting);
	if (!err && fdatasync(s->file))
		err = -errno;
	if (!err) {
		s->has.len += s->line.len;
		s->has.version++;
	}
	/* Nobody knows what of it is there. */
	s->behind |= err != 0;
	s->line.len = s->waiting = 0;
	return err ? fail(s, err, why, why_size) : 0;
}

/* --- All of it */

static int prepare_whole(struct state *s, const json_t *objects)
{
	char *text = state_format(objects, s->has.version + 1, &s->fresh_len);
	int err = 0;

	if (!text)
		return -ENOMEM;
	if (s->fresh_len > STATE_FILE_MAX) { /* nobody could read it again */
		tree_wipe_text(text);
		return -EFBIG;
	}
	unlinkat(s->dir, TEMPORARY, 0);
	s->fresh = openat(s->dir, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			  0600);
	err = s->fresh < 0 ? -errno : write_all(s->fresh, text, s->fresh_len);
	tree_wipe_text(text);
	if (!err && fsync(s->fresh))
		err = -errno;
	if (err)
		state_abandon(s);
	return err;
}

static void name_of(uint64_t version, char *out, size_t size)
{
	snprintf(out, size, NAME ".%llu", (unsigned long long)version);
}

/* The present one gets a second name, which it keeps when it is replaced. */
static void keep_old(const struct state *s)
{
	char name[64];

	if (!s->has.version)
		return;
	name_of(s->has.version, name, sizeof(name));
	unlinkat(s->dir, name, 0);
	if (linkat(s->dir, NAME, s->dir, name, 0))
		log_warn("%s: version %llu is not kept: %s", s->path,
			 (unsigned long long)s->has.version, strerror(errno));
}

/* 0: it has no such name. */
static uint64_t version_in(const char *name)
{
	uint64_t version =
		strncmp(name, NAME ".", sizeof(NAME)) ? 0 : strtoull(name + sizeof(NAME), NULL, 10);
	char again[64];

	name_of(version, again, sizeof(again));
	return strcmp(name, again) != 0 ? 0 : version;
}

/* Versions that are kept do not follow one another. One with a higher number than the present is from before
 * an older one was put back: of a very old age. */
static void drop_oldest(const struct state *s)
{
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint64_t ages[STATE_KEPT];
	struct dirent *entry;
	char name[64];

	memset(ages, 0xff, sizeof(ages));
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		uint64_t version = version_in(entry->d_name), age = s->has.version - version;

		/* Each place keeps the younger one: what is left over is older than all of them. */
		for (unsigned int i = 0; version && i < STATE_KEPT; i++) {
			uint64_t older = age > ages[i] ? age : ages[i];

			ages[i] = age + ages[i] - older;
			age = older;
		}
		name_of(s->has.version - age, name, sizeof(name));
		if (version && age != UINT64_MAX)
			unlinkat(s->dir, name, 0);
	}
	closedir(dir);
}

static int commit_whole(struct state *s, char *why, size_t why_size)
{
	struct stat st;
	int err = 0;

	keep_old(s);
	if (fstat(s->fresh, &st) || renameat(s->dir, TEMPORARY, s->dir, NAME)) {
		err = -errno;
		state_abandon(s);
		s->behind = true;
		return fail(s, err, why, why_size);
	}
	if (s->file >= 0)
		close(s->file);
	s->file = s->fresh;
	s->fresh = -1;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->behind = false;
	s->has = (struct state_extent){ s->has.version + 1, s->fresh_len, s->fresh_len, 0 };
	s->line.len = s->waiting = 0; /* it has that, too */
	if (fsync(s->dir))
		log_error("%s: the folder cannot be flushed: %s: a loss of power may undo the last "
			  "change",
			  s->path, strerror(errno));
	drop_oldest(s);
	return 0;
}

/* --- Either */

int state_prepare(struct state *s, const json_t *objects, const struct state_change *only,
		  char *why, size_t why_size)
{
	int err;

	state_abandon(s);
	err = only && can_append(s) ? prepare_line(s, only) : -EFBIG;
	if (err == -EFBIG)
		err = prepare_whole(s, objects);
	return err ? fail(s, err, why, why_size) : 0;
}

int state_commit(struct state *s, char *why, size_t why_size)
{
	if (s->fresh >= 0)
		return commit_whole(s, why, why_size);
	s->waiting = s->line.len;
	return 0;
}

void state_abandon(struct state *s)
{
	if (s->fresh >= 0) {
		unlinkat(s->dir, TEMPORARY, 0);
		close(s->fresh);
	}
	s->fresh = -1;
	if (s->line.len == s->waiting)
		return;
	s->line.len = s->waiting;
	if (ftruncate(s->file, (off_t)(s->has.len + s->waiting)))
		s->behind = true;
}

int state_settle(struct state *s, const json_t *objects, char *why, size_t why_size)
{
	int err = 0;

	if (s->behind || s->waiting || s->has.len != s->has.whole)
		err = state_prepare(s, objects, NULL, why, why_size);
	return err || s->fresh < 0 ? err : state_commit(s, why, why_size);
}
