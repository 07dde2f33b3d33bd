// SPDX-License-Identifier: BSD-2-Clause
// beside: yes
/* The store in a folder: what is kept, what is refused, what a crash may leave. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"
#include "core/slab.h"
#include "scsi/store_record.h"
#include "store.h"
#include "tests/lib/unit.h"

static struct {
	char path[128];
	struct store *store;
	struct slab *slab;
	struct reactor *reactor;
	char why[512];
} t;

static int reopen(void)
{
	if (t.store)
		t.store->ops->close(t.store);
	t.why[0] = '\0';
	return store_open_folder(t.path, &t.store, t.why, sizeof(t.why));
}

static void begin(void)
{
	memset(&t, 0, sizeof(t));
	snprintf(t.path, sizeof(t.path), "%s/riser-store-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	CU_ASSERT_FATAL(mkdtemp(t.path) != NULL);
	/* Missing: it is made. */
	snprintf(t.path + strlen(t.path), 8, "/state");
	CU_ASSERT_EQUAL_FATAL(slab_create(8 << 20, &t.slab), 0);
	CU_ASSERT_EQUAL_FATAL(reactor_create_virtual(t.slab, &t.reactor), 0);
	CU_ASSERT_EQUAL_FATAL(reopen(), 0);
}

static void remove_file(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", t.path, name);
	if (unlink(path))
		rmdir(path);
}

static void end(void)
{
	static const char *const names[] = { "a", "b", ".lock", "link" };

	if (t.store)
		t.store->ops->close(t.store);
	for (size_t i = 0; i < array_size(names); i++)
		remove_file(names[i]);
	CU_ASSERT_EQUAL(rmdir(t.path), 0); /* no temporary is left */
	*strrchr(t.path, '/') = '\0';
	rmdir(t.path);
	reactor_destroy(t.reactor);
	slab_destroy(t.slab);
}

struct request {
	struct store_req req;
	bool done;
	int res;
};

static void request_done(struct store_req *req, int res)
{
	struct request *r = container_of(req, struct request, req);

	r->done = true;
	r->res = res;
}

static void submit(struct request *r, const char *name, const char *data, uint64_t version)
{
	*r = (struct request){ .req = { .name = name,
					.data = data,
					.len = strlen(data),
					.version = version,
					.reactor = t.reactor,
					.done = request_done } };
	t.store->ops->compare_and_store(t.store, &r->req);
}

/* Returns the result; *version goes on when it is 0. */
static int put(const char *name, const char *data, uint64_t *version)
{
	struct request r;

	submit(&r, name, data, *version);
	CU_ASSERT(!r.done);
	while (!r.done)
		reactor_turn(t.reactor);
	*version = r.req.version;
	return r.res;
}

/* The record, or NULL with its error in errno. */
static char *get(const char *name, uint64_t *version)
{
	char *data;
	size_t len;
	int err = t.store->ops->load(t.store, name, &data, &len, version, t.why, sizeof(t.why));

	errno = -err;
	if (err) {
		CU_ASSERT_PTR_NULL(data);
		CU_ASSERT_EQUAL(*version, 0);
		return NULL;
	}
	CU_ASSERT_EQUAL(data[len], '\0');
	return data;
}

static bool holds(const char *name, const char *text)
{
	uint64_t version;
	char *data = get(name, &version);
	bool same = data && !strcmp(data, text);

	free(data);
	return same;
}

static void records_are_kept(void)
{
	uint64_t a = 0, b = 0, seen;
	struct stat st;
	char path[300];

	begin();
	CU_ASSERT(!get("a", &seen) && errno == ENOENT);
	CU_ASSERT_EQUAL(put("a", "first\n", &a), 0);
	CU_ASSERT_EQUAL(put("b", "no newline", &b), 0);
	CU_ASSERT(holds("a", "first\n") && holds("b", "no newline"));
	CU_ASSERT_EQUAL(put("a", "second\n", &a), 0);
	CU_ASSERT_EQUAL(reopen(), 0);
	CU_ASSERT(holds("a", "second\n") && holds("b", "no newline"));
	free(get("a", &seen));
	CU_ASSERT_EQUAL(seen, a);
	snprintf(path, sizeof(path), "%s/a", t.path);
	CU_ASSERT(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
	CU_ASSERT(stat(t.path, &st) == 0 && (st.st_mode & 07777) == 0700);
	CU_ASSERT_EQUAL(put("a", "", &a), 0);
	CU_ASSERT_EQUAL(a, 0);
	CU_ASSERT(!get("a", &seen) && errno == ENOENT);
	CU_ASSERT_EQUAL(put("a", "", &a), 0);
	end();
}

static void who_has_not_seen_it_does_not_replace_it(void)
{
	uint64_t mine = 0, theirs = 0, none = 0;

	begin();
	CU_ASSERT_EQUAL(put("a", "mine", &mine), 0);
	CU_ASSERT_EQUAL(put("a", "theirs", &theirs), -EAGAIN);
	CU_ASSERT_EQUAL(put("a", "", &theirs), -EAGAIN);
	free(get("a", &theirs));
	CU_ASSERT_EQUAL(put("a", "theirs", &theirs), 0);
	CU_ASSERT_EQUAL(put("a", "mine again", &mine), -EAGAIN);
	CU_ASSERT(holds("a", "theirs"));
	/* One that has gone meanwhile. */
	CU_ASSERT_EQUAL(put("a", "", &theirs), 0);
	CU_ASSERT_EQUAL(put("a", "mine again", &mine), -EAGAIN);
	CU_ASSERT_EQUAL(put("a", "", &none), 0);
	end();
}

static void many_at_once_come_back_in_order(void)
{
	struct request r[8];
	char text[8][16];

	begin();
	for (unsigned int i = 0; i < array_size(r); i++) {
		snprintf(text[i], sizeof(text[i]), "record %u", i);
		submit(&r[i], "a", text[i], i);
	}
	for (unsigned int i = 0; i < array_size(r); i++) {
		while (!r[i].done)
			reactor_turn(t.reactor);
		CU_ASSERT_EQUAL(r[i].res, 0);
		CU_ASSERT_EQUAL(r[i].req.version, i + 1);
	}
	CU_ASSERT(holds("a", "record 7"));
	end();
}

static void names(void)
{
	static const char *const bad[] = { "",	   ".",	  "..",	      ".hidden", "a/b",
					   "../a", "a b", "\303\244", "a\n" };
	char name[STORE_NAME_MAX + 8], out[STORE_NAME_MAX];
	uint64_t version = 0;

	begin();
	for (size_t i = 0; i < array_size(bad); i++) {
		CU_ASSERT_EQUAL(put(bad[i], "x", &version), -EINVAL);
		CU_ASSERT(!get(bad[i], &version) && errno == EINVAL);
	}
	memset(name, 'n', sizeof(name));
	name[STORE_NAME_MAX] = '\0';
	CU_ASSERT_EQUAL(put(name, "x", &version), -EINVAL);
	name[STORE_NAME_MAX - 1] = '\0';
	CU_ASSERT(record_name_valid(name));
	/* A serial number of 36 characters that all need another spelling. */
	store_record_name(out, "reservations", "////////////////////////////////////");
	CU_ASSERT(record_name_valid(out));
	CU_ASSERT_EQUAL(strlen(out), 13 + 36 * 3);
	store_record_name(out, "reservations", "a_b c");
	CU_ASSERT_STRING_EQUAL(out, "reservations.a_5fb_20c");
	end();
}

static void write_raw(const char *name, const char *bytes, size_t len)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", t.path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CU_ASSERT_FATAL(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

/* Each bit and each length of a small record. */
static void damage_is_seen(void)
{
	size_t len;
	char *file = record_encode("payload", 7, 3, &len);
	uint64_t version = 3;

	begin();
	write_raw("a", file, len);
	CU_ASSERT(holds("a", "payload"));
	for (size_t i = 0; i < len * 8; i++) {
		file[i / 8] ^= (char)(1 << i % 8);
		write_raw("a", file, len);
		CU_ASSERT(!get("a", &version) && errno == EBADMSG);
		file[i / 8] ^= (char)(1 << i % 8);
	}
	for (size_t i = 0; i < len; i++) {
		write_raw("a", file, i);
		CU_ASSERT(!get("a", &version) && errno == EBADMSG);
	}
	CU_ASSERT(strstr(t.why, t.path) && strstr(t.why, "/a") && strstr(t.why, "remove"));
	/* It is not overwritten either. */
	version = 3;
	CU_ASSERT_EQUAL(put("a", "new", &version), -EBADMSG);
	free(file);
	end();
}

static void headers_that_are_not_ours(void)
{
	static const char *const headers[] = { "riser-record 2 1\n",
					       "riser-record 1 0\n",
					       "riser-record 1 01\n",
					       "riser-record 1 -1\n",
					       "riser-record 1 99999999999999999999\n",
					       "riser-record 1 18446744073709551615\n",
					       "riser-record 1 \n",
					       "riser-record 1 1" };

	begin();
	for (size_t i = 0; i < array_size(headers); i++) {
		size_t head = strlen(headers[i]), at, n;
		uint64_t version;
		const char *why;
		char *other = malloc(head + 72);
		unsigned char sum[32];

		/* With a checksum that is right. */
		memcpy(other, headers[i], head);
		SHA256((const unsigned char *)other, head, sum);
		memcpy(other + head, "sha256 ", 7);
		for (unsigned int k = 0; k < sizeof(sum); k++) {
			other[head + 7 + 2 * k] = "0123456789abcdef"[sum[k] >> 4];
			other[head + 8 + 2 * k] = "0123456789abcdef"[sum[k] & 15];
		}
		other[head + 71] = '\n';
		CU_ASSERT_EQUAL(record_decode(other, head + 72, &at, &n, &version, &why), -EBADMSG);
		free(other);
	}
	end();
}

static void leftovers_go_and_strangers_do_not_hurt(void)
{
	uint64_t version = 0;
	char path[300], target[300];

	begin();
	CU_ASSERT_EQUAL(put("a", "good", &version), 0);
	write_raw(".new-a", "half", 4);
	CU_ASSERT_EQUAL(reopen(), 0);
	snprintf(path, sizeof(path), "%s/.new-a", t.path);
	CU_ASSERT(access(path, F_OK) && errno == ENOENT);
	CU_ASSERT(holds("a", "good"));
	/* Neither a folder, nor a link, nor a pipe is a record; the pipe does not block. */
	snprintf(path, sizeof(path), "%s/b", t.path);
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
	CU_ASSERT(!get("b", &version) && errno == EBADMSG);
	rmdir(path);
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	CU_ASSERT(!get("b", &version) && errno == EBADMSG);
	unlink(path);
	snprintf(target, sizeof(target), "%s/a", t.path);
	snprintf(path, sizeof(path), "%s/link", t.path);
	CU_ASSERT_EQUAL_FATAL(symlink(target, path), 0);
	CU_ASSERT(!get("link", &version) && errno == ELOOP);
	/* Too large to be one. */
	snprintf(path, sizeof(path), "%s/b", t.path);
	write_raw("b", "", 0);
	CU_ASSERT_EQUAL(truncate(path, 1ll << 40), 0);
	CU_ASSERT(!get("b", &version) && errno == EBADMSG);
	end();
}

static void one_daemon_at_a_time(void)
{
	struct store *second;
	char why[256] = "";

	begin();
	CU_ASSERT_EQUAL(store_open_folder(t.path, &second, why, sizeof(why)), -EWOULDBLOCK);
	CU_ASSERT(strstr(why, t.path) && strstr(why, "another daemon"));
	CU_ASSERT_PTR_NULL(second);
	CU_ASSERT_EQUAL(store_open_folder("/proc/nowhere/state", &second, why, sizeof(why)),
			-ENOENT);
	CU_ASSERT_EQUAL(store_open_folder("/dev/null", &second, why, sizeof(why)), -ENOTDIR);
	end();
}

/* What cannot be written leaves what was there. */
static void a_folder_that_cannot_be_written(void)
{
	uint64_t version = 0, before;
	char path[300];

	begin();
	CU_ASSERT_EQUAL(put("a", "old", &version), 0);
	before = version;
	/* A folder stands where the temporary file wants to be: so it is also for root. */
	snprintf(path, sizeof(path), "%s/.new-a", t.path);
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
	CU_ASSERT_EQUAL(put("a", "new", &version), -EISDIR);
	CU_ASSERT_EQUAL(version, before);
	CU_ASSERT(holds("a", "old"));
	rmdir(path);
	CU_ASSERT_EQUAL(put("a", "new", &version), 0);
	end();
}

/* Instead of libc's: so many flushes of a file, or of a folder, fail. */
static struct {
	_Atomic int file, folder;
} bad_flush;
static ino_t flushed[16]; /* folders */
static _Atomic unsigned int flushed_count;

int fsync(int fd)
{
	struct stat st;
	bool folder = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	_Atomic int *bad = folder ? &bad_flush.folder : &bad_flush.file;

	if (*bad) {
		--*bad;
		errno = EIO;
		return -1;
	}
	if (folder)
		flushed[flushed_count++ % array_size(flushed)] = st.st_ino;
	return (int)syscall(SYS_fsync, fd);
}

/* Whatever fails, the old record is the one that a restart would find. */
static void a_flush_that_fails_changes_nothing(void)
{
	uint64_t version = 0, none = 0, before;

	begin();
	CU_ASSERT_EQUAL(put("a", "old", &version), 0);
	before = version;
	bad_flush.file = 1;
	CU_ASSERT_EQUAL(put("a", "new", &version), -EIO);
	CU_ASSERT(holds("a", "old"));
	bad_flush.folder = 1;
	CU_ASSERT_EQUAL(put("a", "new", &version), -EIO);
	CU_ASSERT(holds("a", "old"));
	bad_flush.folder = 1;
	CU_ASSERT_EQUAL(put("a", "", &version), -EIO);
	CU_ASSERT(holds("a", "old"));
	bad_flush.folder = 1;
	CU_ASSERT_EQUAL(put("b", "new", &none), -EIO);
	CU_ASSERT(!get("b", &none) && errno == ENOENT);
	CU_ASSERT_EQUAL(bad_flush.file + bad_flush.folder, 0);
	CU_ASSERT_EQUAL(version, before);
	CU_ASSERT_EQUAL(put("a", "new", &version), 0);
	end();
}

static bool was_flushed(const char *path)
{
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	for (unsigned int i = 0; i < flushed_count; i++) {
		if (flushed[i] == st.st_ino)
			return true;
	}
	return false;
}

/* SIGKILL came between rename and flush, or between mkdir and flush: what is read now is acted on,
 * so that it has to survive a loss of power that comes next. */
static void what_a_start_finds_lasts(void)
{
	uint64_t version = 0;
	char parent[300];

	begin();
	snprintf(parent, sizeof(parent), "%s/..", t.path);
	CU_ASSERT_EQUAL(put("a", "good", &version), 0);
	flushed_count = 0;
	CU_ASSERT_EQUAL(reopen(), 0);
	CU_ASSERT(was_flushed(t.path));
	CU_ASSERT(was_flushed(parent));
	t.store->ops->close(t.store);
	/* The parent may be anybody's; the folder is ours. */
	bad_flush.folder = 1;
	CU_ASSERT_EQUAL(store_open_folder(t.path, &t.store, t.why, sizeof(t.why)), 0);
	t.store->ops->close(t.store);
	bad_flush.folder = 2;
	CU_ASSERT_EQUAL(store_open_folder(t.path, &t.store, t.why, sizeof(t.why)), -EIO);
	CU_ASSERT(strstr(t.why, t.path) != NULL);
	CU_ASSERT_EQUAL(bad_flush.folder, 0);
	CU_ASSERT_EQUAL(reopen(), 0);
	CU_ASSERT(holds("a", "good"));
	end();
}

static void the_largest_record(void)
{
	char *big = malloc(STORE_RECORD_MAX + 2);
	uint64_t version = 0;

	begin();
	memset(big, 'x', STORE_RECORD_MAX + 1);
	big[STORE_RECORD_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(put("a", big, &version), -EINVAL);
	big[STORE_RECORD_MAX] = '\0';
	CU_ASSERT_EQUAL(put("a", big, &version), 0);
	CU_ASSERT(holds("a", big));
	free(big);
	end();
}

UNIT_MAIN(TEST(records_are_kept), TEST(who_has_not_seen_it_does_not_replace_it),
	  TEST(many_at_once_come_back_in_order), TEST(names), TEST(damage_is_seen),
	  TEST(headers_that_are_not_ours), TEST(leftovers_go_and_strangers_do_not_hurt),
	  TEST(one_daemon_at_a_time), TEST(a_folder_that_cannot_be_written),
	  TEST(a_flush_that_fails_changes_nothing), TEST(what_a_start_finds_lasts),
	  TEST(the_largest_record));
