// SPDX-License-Identifier: BSD-2-Clause
/*
 * rdma-core at run time. libibverbs is linked; librdmacm comes and goes with its users, because a
 * verbs context that it leaves open keeps its device from being removed.
 *
 * librdmacm closes the context of a dead device itself when it looks at the list of devices again
 * and no id uses it. It does so unasked, too, so a context is known to be open only by its
 * descriptor.
 */
#include "transport/rdma/libs.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/list.h"
#include "core/log.h"

static const char library[] = "librdmacm.so.1";

struct rdma_lib rdma_lib = {
#define X(name) .name = name,
	RDMA_VERBS_FUNCTIONS(X)
#undef X
};

static const struct {
	const char *name;
	size_t offset; /* in struct rdma_lib */
} cm_functions[] = {
#define X(name) { #name, offsetof(struct rdma_lib, name) },
	RDMA_CM_FUNCTIONS(X)
#undef X
};

/* A verbs context that librdmacm has opened. */
struct context {
	struct context *next;
	struct ibv_context *verbs; /* to be looked into only while it is open */
	int fd;
	struct stat file; /* what fd is */
	bool lost; /* the device is gone */
	bool dead; /* librdmacm knows, and closes it with the last id */
	char path[IBV_SYSFS_PATH_MAX]; /* the device's, in sysfs */
};

static struct {
	pthread_mutex_t lock; /* of all below; not for the data path */
	void *handle; /* librdmacm; NULL: not loaded */
	unsigned int users;
	struct context *contexts;
	bool stale; /* a lost context stays open until nobody uses librdmacm */
	bool warned;
} lib = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void set_functions(void *handle, const char **missing)
{
	*missing = NULL;
	for (size_t i = 0; i < array_size(cm_functions); i++) {
		void *fn = handle ? dlsym(handle, cm_functions[i].name) : NULL;

		memcpy((char *)&rdma_lib + cm_functions[i].offset, &fn, sizeof(fn));
		if (!fn)
			*missing = cm_functions[i].name;
	}
}

static int load(char *why, size_t why_size)
{
	const char *missing;

	if (lib.handle)
		return 0;
	/* Objects of a device that is gone can be destroyed. Read when libibverbs looks for
	 * drivers. */
	setenv("RDMAV_ALLOW_DISASSOC_DESTROY", "1", 0);
	lib.handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (!lib.handle) {
		snprintf(why, why_size, "%s", dlerror());
		return -ENOENT;
	}
	set_functions(lib.handle, &missing);
	if (missing) {
		snprintf(why, why_size, "%s has no %s", library, missing);
		dlclose(lib.handle);
		lib.handle = NULL;
		return -ENOENT;
	}
	return 0;
}

static bool is_open(const struct context *c)
{
	struct stat now;

	return !fstat(c->fd, &now) && now.st_dev == c->file.st_dev && now.st_ino == c->file.st_ino;
}

static void forget_closed(void)
{
	struct context **at = &lib.contexts, *c;

	while ((c = *at)) {
		if (is_open(c)) {
			at = &c->next;
		} else {
			*at = c->next;
			free(c);
		}
	}
}

static void note(struct ibv_context *verbs)
{
	struct context **at = &lib.contexts, *c;
	const char *path = verbs->device->dev_path;

	forget_closed();
	while ((c = *at)) {
		if (c->verbs == verbs && !strcmp(c->path, path))
			return;
		/* One pointer, or one descriptor, is one open context: the other is history. */
		if (c->verbs == verbs || c->fd == verbs->cmd_fd) {
			*at = c->next;
			free(c);
		} else {
			at = &c->next;
		}
	}
	c = calloc(1, sizeof(*c));
	if (!c || fstat(verbs->cmd_fd, &c->file)) {
		free(c); /* at worst the device cannot be removed while we run */
		return;
	}
	c->verbs = verbs;
	c->fd = verbs->cmd_fd;
	snprintf(c->path, sizeof(c->path), "%s", path);
	c->next = lib.contexts;
	lib.contexts = c;
}

/* Nobody uses librdmacm: takes it out of memory and closes what it left open. */
static void unload(void)
{
	const char *missing;
	struct context *c;
	void *still;

	set_functions(NULL, &missing);
	dlclose(lib.handle);
	lib.handle = NULL;
	lib.stale = false;
	still = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
	if (still) {
		dlclose(still);
		if (!lib.warned)
			log_warn("%s stays loaded: an RDMA device that was in use cannot be "
				 "removed before this process ends",
				 library);
		lib.warned = true;
		return;
	}
	forget_closed();
	while ((c = lib.contexts)) {
		lib.contexts = c->next;
		ibv_close_device(c->verbs);
		free(c);
	}
}

/* Has librdmacm look at the devices, so that it sees which are gone. It opens the others: they are
 * ours to watch, too. */
static void look_again(void)
{
	struct ibv_context **list = rdma_lib.rdma_get_devices(NULL);
	struct context *c;

	/* NULL, too, when no device is left at all: then librdmacm forgets nothing. */
	lib.stale = !list;
	if (!list)
		return;
	for (size_t i = 0; list[i]; i++)
		note(list[i]);
	for (c = lib.contexts; c; c = c->next) {
		c->dead = c->lost;
		for (size_t i = 0; list[i]; i++) {
			if (list[i] == c->verbs)
				c->dead = false;
		}
	}
	rdma_lib.rdma_free_devices(list);
	forget_closed();
}

static void settle(void)
{
	bool waiting = false;

	if (!lib.users) {
		if (lib.handle && lib.contexts)
			unload();
		return;
	}
	for (struct context *c = lib.contexts; c; c = c->next)
		waiting |= c->lost && !c->dead;
	lib.stale &= waiting;
	if (waiting)
		look_again();
}

int rdma_lib_load(char *why, size_t why_size)
{
	int err;

	pthread_mutex_lock(&lib.lock);
	err = load(why, why_size);
	pthread_mutex_unlock(&lib.lock);
	return err;
}

/* The cheap way to ask: anything else has the kernel look for modules each time. */
static bool any_device(void)
{
	DIR *dir = opendir("/sys/class/infiniband");
	struct dirent *entry = NULL;

	if (!dir)
		return false;
	do {
		entry = readdir(dir);
	} while (entry && entry->d_name[0] == '.');
	closedir(dir);
	return entry;
}

bool rdma_lib_get(void)
{
	char why[256];
	bool ok;

	pthread_mutex_lock(&lib.lock);
	settle();
	ok = !lib.stale && any_device() && !load(why, sizeof(why));
	lib.users += ok;
	pthread_mutex_unlock(&lib.lock);
	return ok;
}

void rdma_lib_put(void)
{
	pthread_mutex_lock(&lib.lock);
	lib.users--;
	settle();
	pthread_mutex_unlock(&lib.lock);
}

void rdma_lib_note_context(struct ibv_context *verbs)
{
	pthread_mutex_lock(&lib.lock);
	note(verbs);
	pthread_mutex_unlock(&lib.lock);
}

void rdma_lib_device_lost(struct ibv_context *verbs)
{
	bool news = false;

	pthread_mutex_lock(&lib.lock);
	for (struct context *c = lib.contexts; c; c = c->next) {
		if (c->verbs == verbs && !c->lost)
			news = c->lost = true;
	}
	if (news)
		settle();
	pthread_mutex_unlock(&lib.lock);
}

struct ibv_context *rdma_lib_watch(void)
{
	struct ibv_context *lost = NULL;
	struct context *c;

	pthread_mutex_lock(&lib.lock);
	forget_closed();
	for (c = lib.contexts; c && !lost; c = c->next) {
		if (!c->lost && access(c->path, F_OK) && errno == ENOENT) {
			c->lost = true;
			lost = c->verbs;
		}
	}
	settle();
	pthread_mutex_unlock(&lib.lock);
	return lost;
}

bool rdma_lib_stale(void)
{
	bool stale;

	pthread_mutex_lock(&lib.lock);
	stale = lib.stale;
	pthread_mutex_unlock(&lib.lock);
	return stale;
}
