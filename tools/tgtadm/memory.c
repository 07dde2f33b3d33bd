// SPDX-License-Identifier: BSD-2-Clause
/* What tgtadm knows and riserd does not, for as long as one riserd runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tgtadm.h"

enum { MEMORY_MOST = 64 << 20 };

void memory_refresh(struct tgt *t)
{
	json_decref(t->targets);
	json_decref(t->by_name);
	t->targets = t->by_name = NULL;
}

const char *memory_key(const char *name, char key[256])
{
	size_t i = 0;

	for (; name[i] && i < 255; i++)
		key[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
	key[i] = '\0';
	return key;
}

static void take_number(struct tgt *t, json_int_t tid)
{
	char key[24];

	snprintf(key, sizeof(key), "%lld", (long long)tid);
	json_object_set_new(t->taken, key, json_true());
}

static bool is_taken(struct tgt *t, json_int_t tid)
{
	const char *name;
	json_t *known;
	char key[24];

	if (!t->taken) {
		t->taken = json_object();
		json_object_foreach(json_object_get(t->memory, "targets"), name, known)
			take_number(t, json_integer_value(json_object_get(known, "tid")));
	}
	snprintf(key, sizeof(key), "%lld", (long long)tid);
	return json_object_get(t->taken, key);
}

void memory_number(struct tgt *t, const char *name, unsigned int tid)
{
	json_t *known = memory_target(t, name);
	json_int_t had = json_integer_value(json_object_get(known, "tid"));
	char key[24];

	if (!is_taken(t, tid))
		take_number(t, tid);
	json_object_set_new(known, "tid", json_integer(tid));
	if (had == (json_int_t)tid)
		return;
	/* The one that it had just been given is free again. */
	snprintf(key, sizeof(key), "%lld", (long long)had);
	json_object_del(t->taken, key);
	t->free_tid = had < t->free_tid ? had : t->free_tid;
}

json_t *memory_target(struct tgt *t, const char *name)
{
	json_t *targets = json_object_get(t->memory, "targets"), *known;
	char key[256];

	known = json_object_get(targets, memory_key(name, key));
	if (known)
		return known;
	/* Below it all are taken. */
	while (!t->free_tid || is_taken(t, t->free_tid))
		t->free_tid++;
	take_number(t, t->free_tid);
	json_object_set_new(targets, key, json_pack("{s:I}", "tid", t->free_tid));
	t->dirty = true;
	return json_object_get(targets, key);
}

json_t *memory_accounts(struct tgt *t)
{
	return json_object_get(t->memory, "accounts");
}

/* A file that is not what we have written is as good as none. */
static json_t *read_memory(const char *file, const char *daemon)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	json_t *memory = NULL;
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size < MEMORY_MOST &&
	    (st.st_uid == geteuid() || !st.st_uid))
		memory = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
	if (fd >= 0)
		close(fd);
	if (memory && (strcmp(member_text(memory, "daemon"), daemon) != 0 ||
		       !json_is_object(json_object_get(memory, "targets")) ||
		       !json_is_object(json_object_get(memory, "accounts")))) {
		json_decref(memory);
		memory = NULL;
	}
	return memory ? memory
		      : json_pack("{s:s, s:{}, s:{}}", "daemon", daemon, "targets", "accounts");
}

/* Those that are not served any more are forgotten; new ones get numbers in the order of their names. */
static void compare(struct tgt *t)
{
	json_t *targets = json_object_get(t->memory, "targets"), *known, *target;
	const char *name;
	void *next;

	json_object_foreach_safe(targets, next, name, known)
	{
		if (!find_target(t, name))
			json_object_del(targets, name);
	}
	each_member(t->targets, target) {
		memory_target(t, member_text(target, "name"));
	}
}

int memory_open(struct tgt *t)
{
	char daemon[128], lock[sizeof(t->file) + 8];
	json_t *status = NULL;
	int err = ask(t, "status", NULL, &status);

	t->lock = -1;
	if (err)
		return err;
	snprintf(daemon, sizeof(daemon), "%lld %s", (long long)member_number(status, "pid"),
		 member_text(status, "started"));
	json_decref(status);
	snprintf(t->file, sizeof(t->file), "%.4000s.tgtadm", t->r.socket);
	snprintf(lock, sizeof(lock), "%s.lock", t->file);
	/* Who may not write there may look all the same. */
	t->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (t->lock >= 0 && flock(t->lock, LOCK_EX)) {
		close(t->lock);
		t->lock = -1;
	}
	t->memory = read_memory(t->file, daemon);
	err = ask(t, "target.list", NULL, &t->targets);
	if (!err)
		compare(t);
	return err;
}

bool memory_can_change(struct tgt *t)
{
	if (t->lock < 0)
		complain(t, "%s: cannot be written", t->file);
	return t->lock >= 0;
}

bool memory_save(struct tgt *t)
{
	char part[sizeof(t->file) + 8];
	int fd, err = 0;

	snprintf(part, sizeof(part), "%s.new", t->file);
	if (!memory_can_change(t))
		return false;
	unlink(part);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || json_dumpfd(t->memory, fd, JSON_COMPACT))
		err = errno ? errno : EIO;
	if (fd >= 0)
		close(fd);
	if (!err && rename(part, t->file))
		err = errno;
	if (err)
		complain(t, "%s: cannot be written: %s", t->file, strerror(err));
	t->dirty = err;
	return !err;
}

void memory_close(struct tgt *t)
{
	memory_refresh(t);
	json_decref(t->memory);
	json_decref(t->taken);
	t->memory = t->taken = NULL;
	if (t->lock >= 0)
		close(t->lock);
	t->lock = -1;
}
