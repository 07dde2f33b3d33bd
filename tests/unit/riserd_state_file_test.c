// SPDX-License-Identifier: BSD-2-Clause
/* The state file: written as a whole, line by line, on disks that are full, and what a crash leaves. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "riserd_json.h"
#include "tests/lib/unit.h"
#include "tools/riserd/state.h"
#include "tools/riserd/tree.h"

static char why[512];

static const struct state_change *a_change(const char *lun, json_t *value)
{
	static struct state_change change;

	json_decref((json_t *)change.value);
	change = (struct state_change){ "iqn.2026-11.test:a", lun, value };
	return &change;
}

static void end_changes(void)
{
	a_change(NULL, NULL);
}

/* --- The file */

static char folder[64];

static void begin(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(folder, sizeof(folder), "/tmp/riser-state-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static unsigned int files(void)
{
	DIR *dir = opendir(folder);
	unsigned int n = 0;

	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.' || !strncmp(e->d_name, ".new", 4);
	closedir(dir);
	return n;
}

static void end(void)
{
	DIR *dir = opendir(folder);

	for (struct dirent *e; (e = readdir(dir));)
		unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	rmdir(folder);
}

static struct state *open_it(void)
{
	struct state *s = NULL;

	CU_ASSERT_EQUAL(state_open(folder, &s, why, sizeof(why)), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	return s;
}

static void it_is_there_again(void)
{
	json_t *one = json("{\"target\": {\"iqn.2026-11.test:a\": {\"created\": \"on\"}}}");
	struct stat st;
	struct state *s;

	begin();
	s = open_it();
	CU_ASSERT_TRUE(same(state_load(s), json_object()));
	CU_ASSERT_EQUAL(state_prepare(s, one, NULL, why, sizeof(why)), 0);
	state_abandon(s);
	CU_ASSERT_EQUAL(files(), 0);
	CU_ASSERT_EQUAL(state_prepare(s, one, NULL, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(state_commit(s, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(stat(state_path(s), &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	state_close(s);
	s = open_it();
	CU_ASSERT_EQUAL(state_version(s), 1);
	CU_ASSERT_TRUE(same(state_load(s), one));
	state_close(s);
	end();
}

static void ten_older_ones_are_kept(void)
{
	json_t *empty = json_object();
	char name[128];
	struct state *s;

	begin();
	s = open_it();
	for (unsigned int i = 0; i < 25; i++) {
		CU_ASSERT_EQUAL(state_prepare(s, empty, NULL, why, sizeof(why)), 0);
		CU_ASSERT_EQUAL(state_commit(s, why, sizeof(why)), 0);
	}
	CU_ASSERT_EQUAL(files(), 1 + STATE_KEPT);
	snprintf(name, sizeof(name), "%s.24", state_path(s));
	CU_ASSERT_EQUAL(access(name, F_OK), 0);
	snprintf(name, sizeof(name), "%s.15", state_path(s));
	CU_ASSERT_EQUAL(access(name, F_OK), 0);
	state_close(s);
	json_decref(empty);
	end();
}

static void write_it(const char *text, mode_t mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/state.json", folder);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	CU_ASSERT_EQUAL(fchmod(fd, mode), 0);
	close(fd);
}

static void others_are_refused(void)
{
	json_t *empty = json_object();
	struct state *s = NULL;
	size_t len = 0;
	char *text = state_format(empty, 1, &len);

	begin();
	write_it("{}\n", 0600);
	CU_ASSERT_EQUAL(state_open(folder, &s, why, sizeof(why)), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "truncated"));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, folder));
	write_it(text, 0640);
	CU_ASSERT_EQUAL(state_open(folder, &s, why, sizeof(why)), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "chmod 0600"));
	write_it(text, 0600);
	CU_ASSERT_EQUAL(state_open(folder, &s, why, sizeof(why)), 0);
	state_close(s);
	free(text);
	json_decref(empty);
	end();
}

/* What could not be read again is not written. */
static void it_has_a_most(void)
{
	json_t *one = json_object(), *large = json_object();
	char *text = malloc(STATE_FILE_MAX + 1);
	struct state_extent extent;
	struct state *s;
	size_t len = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	memset(text, 'a', STATE_FILE_MAX);
	text[STATE_FILE_MAX] = '\0';
	json_object_set_new(large, "a", json_string(text));
	free(text);
	begin();
	s = open_it();
	CU_ASSERT_EQUAL(state_prepare(s, large, NULL, why, sizeof(why)), -EFBIG);
	CU_ASSERT_EQUAL(files(), 0);
	CU_ASSERT_EQUAL(state_prepare(s, one, NULL, why, sizeof(why)), 0);
	state_close(s);
	text = state_format(one, INT64_MAX, &len);
	CU_ASSERT_PTR_NULL(state_parse(text, len, &extent, why, sizeof(why)));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "version"));
	free(text);
	json_decref(one);
	json_decref(large);
	end();
}

/* --- The file grows */

/* Objects as they are by now, and the file that holds them. */
struct world {
	struct state *s;
	json_t *objects;
};

static void world_begin(struct world *w)
{
	begin();
	w->s = open_it();
	w->objects = json("{\"target\": {\"iqn.2026-11.test:a\": {\"created\": \"on\"}}}");
	CU_ASSERT_EQUAL(state_prepare(w->s, w->objects, NULL, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(state_commit(w->s, why, sizeof(why)), 0);
}

static void world_end(struct world *w)
{
	state_close(w->s);
	json_decref(w->objects);
	end_changes();
	end();
}

static const struct state_change *change_of(struct world *w, unsigned int lun, json_t *value)
{
	static char number[16];

	snprintf(number, sizeof(number), "%u", lun);
	CU_ASSERT_EQUAL(tree_put_lun(w->objects, "iqn.2026-11.test:a", number, value), 0);
	return a_change(number, value);
}

static int prepare(struct world *w, unsigned int lun, json_t *value)
{
	return state_prepare(w->s, w->objects, change_of(w, lun, value), why, sizeof(why));
}

static int put(struct world *w, unsigned int lun, json_t *value)
{
	int err = prepare(w, lun, value);

	if (!err)
		err = state_commit(w->s, why, sizeof(why));
	return err ? err : state_flush(w->s, why, sizeof(why));
}

static size_t size_of(const struct world *w)
{
	struct stat st;

	CU_ASSERT_EQUAL(stat(state_path(w->s), &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	return (size_t)st.st_size;
}

static ino_t inode_of(const struct world *w)
{
	struct stat st;

	CU_ASSERT_EQUAL(stat(state_path(w->s), &st), 0);
	return st.st_ino;
}

/* What who starts now finds. */
static void file_has(const struct world *w, const json_t *objects)
{
	struct state *again = open_it();

	CU_ASSERT_TRUE(same(state_load(again), json_incref((json_t *)objects)));
	state_close(again);
	(void)w;
}

/* Each change is there at once, however many there are; and the file is as long as what it has to say. */
static void it_grows_line_by_line(void)
{
	unsigned int appended = 0;
	struct world w;
	uint64_t version;
	json_t *text;
	ino_t inode;
	size_t most;

	world_begin(&w);
	for (unsigned int i = 0; i < 200; i++) {
		inode = inode_of(&w);
		CU_ASSERT_EQUAL(put(&w, i, json("{\"path\": \"null:1G\"}")), 0);
		CU_ASSERT_EQUAL(state_version(w.s), i + 2);
		appended += inode_of(&w) == inode;
		file_has(&w, w.objects);
	}
	CU_ASSERT_TRUE(appended > 150);
	most = 4 * size_of(&w);
	/* The same one again and again. */
	for (unsigned int i = 0; i < 400; i++)
		CU_ASSERT_EQUAL(put(&w, i % 7, i & 1 ? json("{\"path\": \"ram:1M\"}") : NULL), 0);
	CU_ASSERT_TRUE(size_of(&w) < most);
	CU_ASSERT_EQUAL(files(), 1 + STATE_KEPT);
	file_has(&w, w.objects);
	CU_ASSERT_EQUAL(put(&w, 0, json_null()), 0);
	file_has(&w, w.objects);
	version = state_version(w.s);
	CU_ASSERT_EQUAL(state_settle(w.s, w.objects, why, sizeof(why)), 0);
	CU_ASSERT_TRUE(state_version(w.s) <= version + 1);
	CU_ASSERT_EQUAL(state_settle(w.s, w.objects, why, sizeof(why)), 0);
	CU_ASSERT_TRUE(state_version(w.s) <= version + 1);
	text = json_load_file(state_path(w.s), 0, NULL);
	CU_ASSERT_PTR_NOT_NULL(text);
	json_decref(text);
	world_end(&w);
}

/* One flush for many. Until then none of them is there; then all are. */
static void changes_may_wait_for_one_another(void)
{
	struct world w;
	json_t *before;

	world_begin(&w);
	before = json_deep_copy(w.objects);
	CU_ASSERT_EQUAL(state_flush(w.s, why, sizeof(why)), 0);
	for (unsigned int i = 0; i < 10; i++) {
		CU_ASSERT_EQUAL(prepare(&w, i, json("{\"path\": \"null:1G\"}")), 0);
		CU_ASSERT_EQUAL(state_commit(w.s, why, sizeof(why)), 0);
		CU_ASSERT_TRUE(state_waiting(w.s) > 0);
		/* One between them that fails. */
		CU_ASSERT_EQUAL(prepare(&w, 99, json("{\"path\": \"/not/there\"}")), 0);
		change_of(&w, 99, NULL);
		state_abandon(w.s);
		file_has(&w, before);
	}
	CU_ASSERT_EQUAL(state_flush(w.s, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(state_waiting(w.s), 0);
	CU_ASSERT_EQUAL(state_version(w.s), 2);
	file_has(&w, w.objects);
	/* What is written as a whole has those that wait, too. */
	for (unsigned int i = 10; i < 12; i++) {
		CU_ASSERT_EQUAL(state_prepare(w.s, w.objects,
					      change_of(&w, i, json("{\"path\": \"null:1G\"}")),
					      why, sizeof(why)),
				0);
		CU_ASSERT_EQUAL(state_commit(w.s, why, sizeof(why)), 0);
	}
	CU_ASSERT_EQUAL(state_prepare(w.s, w.objects, NULL, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(state_commit(w.s, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(state_waiting(w.s), 0);
	file_has(&w, w.objects);
	json_decref(before);
	world_end(&w);
}

static void a_line_without_end_is_left_out(void)
{
	static const char torn[] = "{\"version\": 3, \"luns\": [[\"iqn.2026-11.test:a\",\"7\"";
	struct world w;
	int fd;

	world_begin(&w);
	CU_ASSERT_EQUAL(put(&w, 0, json("{\"path\": \"null:1G\"}")), 0);
	fd = open(state_path(w.s), O_WRONLY | O_APPEND | O_CLOEXEC);
	CU_ASSERT_EQUAL(write(fd, torn, sizeof(torn) - 1), (ssize_t)sizeof(torn) - 1);
	close(fd);
	state_close(w.s);
	w.s = open_it();
	CU_ASSERT_EQUAL(state_version(w.s), 2);
	file_has(&w, w.objects);
	CU_ASSERT_EQUAL(put(&w, 1, json("{\"path\": \"null:1G\"}")), 0);
	file_has(&w, w.objects);
	CU_ASSERT_EQUAL(put(&w, 2, json("{\"path\": \"null:1G\"}")), 0);
	file_has(&w, w.objects);
	world_end(&w);
}

/* Who puts another file in its place, or takes it away, has it replaced: as ever. */
static void only_what_is_ours_is_appended_to(void)
{
	struct world w;

	world_begin(&w);
	unlink(state_path(w.s));
	CU_ASSERT_EQUAL(put(&w, 0, json("{\"path\": \"null:1G\"}")), 0);
	file_has(&w, w.objects);
	write_it("{}\n", 0644);
	CU_ASSERT_EQUAL(put(&w, 1, json("{\"path\": \"null:1G\"}")), 0);
	file_has(&w, w.objects);
	CU_ASSERT_EQUAL(chmod(state_path(w.s), 0644), 0);
	CU_ASSERT_EQUAL(put(&w, 2, json("{\"path\": \"null:1G\"}")), 0);
	CU_ASSERT_TRUE(size_of(&w) > 0);
	file_has(&w, w.objects);
	world_end(&w);
}

static void file_size_limit(rlim_t most)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that is full. What was not recorded is there after the next change that is. */
static void what_could_not_be_written_comes_later(void)
{
	json_t *before;
	struct world w;

	signal(SIGXFSZ, SIG_IGN);
	world_begin(&w);
	CU_ASSERT_EQUAL(put(&w, 0, json("{\"path\": \"null:1G\"}")), 0);
	before = json_deep_copy(w.objects);
	/* Nothing can be written: nothing has happened. */
	file_size_limit(size_of(&w) / 4);
	CU_ASSERT_EQUAL(prepare(&w, 1, json("{\"path\": \"null:1G\"}")), -EFBIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, state_path(w.s)));
	file_size_limit(RLIM_INFINITY);
	change_of(&w, 1, NULL);
	file_has(&w, before);
	CU_ASSERT_EQUAL(state_flush(w.s, why, sizeof(why)), 0);
	/* Only the end of the line does not fit. */
	CU_ASSERT_EQUAL(state_settle(w.s, w.objects, why, sizeof(why)), 0);
	CU_ASSERT_EQUAL(prepare(&w, 1, json("{\"path\": \"null:1G\"}")), 0);
	CU_ASSERT_EQUAL(state_commit(w.s, why, sizeof(why)), 0);
	file_size_limit(size_of(&w) + 10);
	CU_ASSERT_EQUAL(state_flush(w.s, why, sizeof(why)), -EFBIG);
	CU_ASSERT_EQUAL(state_waiting(w.s), 0);
	file_has(&w, before);
	CU_ASSERT_NOT_EQUAL(state_flush(w.s, why, sizeof(why)), 0);
	file_size_limit(RLIM_INFINITY);
	CU_ASSERT_EQUAL(put(&w, 2, json("{\"path\": \"null:1G\"}")), 0);
	file_has(&w, w.objects);
	CU_ASSERT_EQUAL(state_flush(w.s, why, sizeof(why)), 0);
	json_decref(before);
	world_end(&w);
}

/* After an old one was put back numbers begin again there: the others are older than what comes then. */
static void what_was_left_behind_goes_first(void)
{
	json_t *empty = json_object();
	char name[128], old[160];
	struct state *s;

	begin();
	s = open_it();
	for (unsigned int i = 0; i < 15; i++) {
		CU_ASSERT_EQUAL(state_prepare(s, empty, NULL, why, sizeof(why)), 0);
		CU_ASSERT_EQUAL(state_commit(s, why, sizeof(why)), 0);
	}
	snprintf(name, sizeof(name), "%s", state_path(s));
	snprintf(old, sizeof(old), "%s.5", name);
	state_close(s);
	CU_ASSERT_EQUAL(rename(old, name), 0);
	for (unsigned int i = 6; i < 15; i++) {
		char high[160];

		snprintf(old, sizeof(old), "%s.%u", name, i);
		snprintf(high, sizeof(high), "%s.%u", name, 10 * i);
		CU_ASSERT_EQUAL(rename(old, high), 0);
	}
	s = open_it();
	CU_ASSERT_EQUAL(state_version(s), 5);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(state_prepare(s, empty, NULL, why, sizeof(why)), 0);
		CU_ASSERT_EQUAL(state_commit(s, why, sizeof(why)), 0);
	}
	CU_ASSERT_EQUAL(files(), 1 + STATE_KEPT);
	for (unsigned int i = 5; i < 8; i++) {
		snprintf(old, sizeof(old), "%s.%u", name, i);
		CU_ASSERT_EQUAL(access(old, F_OK), 0);
	}
	state_close(s);
	json_decref(empty);
	end();
}

UNIT_MAIN(TEST(it_is_there_again), TEST(ten_older_ones_are_kept), TEST(it_has_a_most),
	  TEST(others_are_refused), TEST(it_grows_line_by_line),
	  TEST(changes_may_wait_for_one_another), TEST(a_line_without_end_is_left_out),
	  TEST(only_what_is_ours_is_appended_to), TEST(what_could_not_be_written_comes_later),
	  TEST(what_was_left_behind_goes_first));
