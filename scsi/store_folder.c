// SPDX-License-Identifier: BSD-2-Clause
/*
 * The store in a folder: a file per record. A record is replaced by writing a temporary file beside
 * it, flushing it, renaming it over the old one and flushing the folder: at any moment, also after
 * SIGKILL or loss of power, there is the old record or the new one. A worker does the writing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/lock_wait.h"
#include "core/log.h"
#include "core/write_all.h"
#include "store.h"
#include "store_record.h"

#define LOCK_NAME ".lock"
#define TEMPORARY_PREFIX ".new-"

struct folder {
	struct store store;
	struct worker *worker; /* everything that is written goes through it, one after the other */
	int dir, lock; /* file descriptors */
	char path[];
};

/* --- files [any thread that may block] */

/* The whole file in malloc()ed memory with a NUL behind. -ENOENT, -EBADMSG (not a file of ours), ... */
static int read_file(const struct folder *f, const char *name, char **file, size_t *len,
		     const char **why)
{
	int fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), err = 0;
	struct stat st;
	ssize_t n = 1;

	*file = NULL;
	*len = 0;
	*why = NULL;
	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
	} else if (!S_ISREG(st.st_mode) || st.st_size > RECORD_FILE_MAX) {
		*why = S_ISREG(st.st_mode) ? "it is too large" : "it is not a regular file";
		err = -EBADMSG;
	} else {
		*file = malloc((size_t)st.st_size + 1);
		err = *file ? 0 : -ENOMEM;
	}
	while (!err && *len < (size_t)st.st_size && n > 0) {
		n = read(fd, *file + *len, (size_t)st.st_size - *len);
		if (n > 0)
			*len += (size_t)n;
		else if (n < 0)
			err = -errno;
	}
	if (fd >= 0)
		close(fd);
	if (err) {
		free(*file);
		*file = NULL;
	} else {
		(*file)[*len] = '\0';
	}
	return err;
}

static int flush_folder(const struct folder *f)
{
	return fsync(f->dir) ? -errno : 0;
}

static int replace_file(const struct folder *f, const char *name, const char *file, size_t len)
{
	char temporary[sizeof(TEMPORARY_PREFIX) + STORE_NAME_MAX];
	int fd, err;

	snprintf(temporary, sizeof(temporary), TEMPORARY_PREFIX "%s", name);
	fd = openat(f->dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, file, len);
	if (!err && fsync(fd))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	if (!err && renameat(f->dir, temporary, f->dir, name))
		err = -errno;
	if (err)
		unlinkat(f->dir, temporary, 0);
	return err;
}

/* The folder could not be flushed, so that nobody knows which record a loss of power would leave:
 * with the old one back in place both are the same. */
static void put_back(const struct folder *f, const char *name, const char *old, size_t len)
{
	int err = old ? replace_file(f, name, old, len) : unlinkat(f->dir, name, 0) ? -errno : 0;

	if (!err)
		err = flush_folder(f);
	if (err && err != -ENOENT)
		log_error("%s/%s: cannot take back a change that failed: %s", f->path, name,
			  strerror(-err));
}

/* --- one compare-and-store [the worker's thread] */

/* The present version and the file itself; 0 and NULL: there is none. */
static int look(const struct folder *f, const char *name, uint64_t *version, char **old,
		size_t *old_len)
{
	const char *why;
	size_t at, len;
	int err = read_file(f, name, old, old_len, &why);

	*version = 0;
	if (err)
		return err == -ENOENT ? 0 : err;
	return record_decode(*old, *old_len, &at, &len, version, &why);
}

static int change(const struct folder *f, struct store_req *req, uint64_t version)
{
	char *file;
	size_t len;
	int err;

	if (!req->len)
		return version && unlinkat(f->dir, req->name, 0) ? -errno : 0;
	file = record_encode(req->data, req->len, version + 1, &len);
	if (!file)
		return -ENOMEM;
	err = replace_file(f, req->name, file, len);
	free(file);
	return err;
}

static int compare_and_store(const struct folder *f, struct store_req *req)
{
	uint64_t version;
	char *old = NULL;
	size_t old_len;
	int err;

	if (!record_name_valid(req->name) || req->len > STORE_RECORD_MAX)
		return -EINVAL;
	err = look(f, req->name, &version, &old, &old_len);
	if (!err && version != req->version)
		err = -EAGAIN;
	if (!err)
		err = change(f, req, version);
	if (!err) {
		err = flush_folder(f);
		if (err)
			put_back(f, req->name, old, old_len);
		else
			req->version = req->len ? version + 1 : 0;
	}
	free(old);
	return err;
}

static void store_run(struct job *job)
{
	struct store_req *req = container_of(job, struct store_req, job);

	req->res = compare_and_store(container_of(req->store, struct folder, store), req);
}

static void store_done(struct job *job)
{
	struct store_req *req = container_of(job, struct store_req, job);

	req->done(req, req->res);
}

/* --- the store's operations */

static void folder_compare_and_store(struct store *store, struct store_req *req)
{
	struct folder *f = container_of(store, struct folder, store);

	req->store = store;
	req->job.run = store_run;
	req->job.done = store_done;
	req->job.reactor = req->reactor;
	worker_submit(f->worker, &req->job);
}

static int folder_load(struct store *store, const char *name, char **data, size_t *len,
		       uint64_t *version, char *why, size_t why_size)
{
	struct folder *f = container_of(store, struct folder, store);
	const char *reason = NULL;
	size_t file_len, at;
	char *file;
	int err = -EINVAL;

	*data = NULL;
	*len = 0;
	*version = 0;
	if (record_name_valid(name))
		err = read_file(f, name, &file, &file_len, &reason);
	if (!err) {
		err = record_decode(file, file_len, &at, len, version, &reason);
		if (err) {
			free(file);
			*version = 0;
		}
	}
	if (err == -EBADMSG)
		snprintf(why, why_size,
			 "%s/%s is damaged: %s; restore it from a backup, or remove it to start "
			 "without what it holds",
			 f->path, name, reason);
	else if (err)
		snprintf(why, why_size, "%s/%s cannot be read: %s", f->path, name, strerror(-err));
	if (err)
		return err;
	memmove(file, file + at, *len);
	file[*len] = '\0';
	*data = file;
	return 0;
}

static void folder_close(struct store *store)
{
	struct folder *f = container_of(store, struct folder, store);

	worker_destroy(f->worker);
	if (f->lock >= 0)
		close(f->lock);
	if (f->dir >= 0)
		close(f->dir);
	free(f);
}

static const struct store_ops folder_ops = {
	.load = folder_load,
	.compare_and_store = folder_compare_and_store,
	.close = folder_close,
};

/* --- opening */

static int flush_parent(const char *path)
{
	char parent[4096];
	int fd, err;

	if ((size_t)snprintf(parent, sizeof(parent), "%s/..", path) >= sizeof(parent))
		return -ENAMETOOLONG;
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fsync(fd) ? -errno : 0;
	close(fd);
	return err;
}

/* A folder is on the disk when its parent is flushed. One that is there may be of a daemon that was
 * killed in between; where the parent cannot be flushed now, somebody else has made it. */
static int make_folder(const char *path)
{
	bool made = !mkdir(path, 0700);
	int err;

	if (!made && errno != EEXIST)
		return -errno;
	err = flush_parent(path);
	return made ? err : 0;
}

static int remove_leftovers(const struct folder *f)
{
	int fd = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		return err;
	}
	while ((entry = readdir(dir))) {
		if (!strncmp(entry->d_name, TEMPORARY_PREFIX, sizeof(TEMPORARY_PREFIX) - 1))
			unlinkat(f->dir, entry->d_name, 0);
	}
	closedir(dir);
	return 0;
}

static int try_lock(void *arg)
{
	const struct folder *f = arg;

	return flock(f->lock, LOCK_EX | LOCK_NB) ? -errno : 0;
}

static int open_files(struct folder *f)
{
	int err = make_folder(f->path);

	if (err)
		return err;
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir < 0)
		return -errno;
	f->lock = openat(f->dir, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->lock < 0)
		return -errno;
	err = lock_wait(try_lock, f, f->path);
	if (!err)
		err = remove_leftovers(f);
	/* What is in it is acted on from now on: a daemon may have been killed before it flushed that. */
	return err ? err : flush_folder(f);
}

int store_open_folder(const char *path, struct store **out, char *why, size_t why_size)
{
	size_t len = strlen(path) + 1;
	struct folder *f = calloc(1, sizeof(*f) + len);
	int err = -ENOMEM;

	*out = NULL;
	if (f) {
		f->store.ops = &folder_ops;
		f->dir = f->lock = -1;
		memcpy(f->path, path, len);
		err = open_files(f);
		if (!err)
			err = worker_create("store", &f->worker);
	}
	if (!err) {
		*out = &f->store;
		return 0;
	}
	if (err == -EWOULDBLOCK)
		snprintf(why, why_size,
			 "%s: another daemon uses this state folder; give each its own", path);
	else
		snprintf(why, why_size, "%s: cannot use it as state folder: %s", path,
			 strerror(-err));
	if (f)
		folder_close(&f->store);
	return err;
}
