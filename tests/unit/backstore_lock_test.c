// SPDX-License-Identifier: BSD-2-Clause
// beside: yes
/* Locks of files that are disks: against other programs, and those that will soon be gone. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backstore_io.h"

static char path[256], read_only[300];

static int make_file(void)
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	snprintf(path, sizeof(path), "%s/riser-lock-XXXXXX", tmp ? tmp : "/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, 1 << 20), 0);
	snprintf(read_only, sizeof(read_only), "%s,readonly=on", path);
	return fd;
}

static bool lock_elsewhere(int fd, short type)
{
	struct flock region = { .l_type = type, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &region) == 0;
}

static void *close_soon(void *fd)
{
	usleep(100000);
	close(*(int *)fd);
	return NULL;
}

/* A process that was killed keeps its locks until the kernel has ended its requests. The pause is no
 * synchronisation: whenever the lock goes, the file is opened. */
static void a_lock_that_goes_is_waited_for(void)
{
	struct backstore *bs;
	pthread_t thread;
	int fd;

	fd = make_file();
	CU_ASSERT(lock_elsewhere(fd, F_WRLCK));
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, close_soon, &fd), 0);
	bs = open_text(path);
	CU_ASSERT_PTR_NOT_NULL(bs);
	CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
	bs_close(bs);
	unlink(path);
}

static void locked_file_is_refused(void)
{
	struct backstore *bs;
	int fd;

	fd = make_file();
	CU_ASSERT(lock_elsewhere(fd, F_WRLCK));
	CU_ASSERT(refuses(read_only, -EBUSY, "locked by another program"));
	/* Another reader shuts out writers only. */
	CU_ASSERT(lock_elsewhere(fd, F_RDLCK));
	CU_ASSERT(refuses(path, -EBUSY, "locked by another program"));
	bs = open_text(read_only);
	CU_ASSERT(!lock_elsewhere(fd, F_WRLCK));
	bs_close(bs);
	/* And ours shuts out the others, as long as the disk is open. */
	CU_ASSERT(lock_elsewhere(fd, F_UNLCK));
	bs = open_text(path);
	CU_ASSERT(!lock_elsewhere(fd, F_RDLCK));
	bs_close(bs);
	CU_ASSERT(lock_elsewhere(fd, F_WRLCK));
	close(fd);
	unlink(path);
}

/* More of every descriptor of the file; returns how many. */
static unsigned int hold_on(int held[8])
{
	unsigned int n = 0;

	for (int fd = 3; fd < 256 && n < 8; fd++) {
		char link[64], target[sizeof(path)] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, target, sizeof(target) - 1) > 0 && !strcmp(target, path))
			held[n++] = fcntl(fd, F_DUPFD_CLOEXEC, 256);
	}
	return n;
}

/* A ring may keep the open file for a while after the last request was done. */
static void closed_is_unlocked(void)
{
	struct backstore *bs;
	unsigned int n;
	int held[8], fd;

	fd = make_file();
	bs = open_text(path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bs);
	n = hold_on(held);
	CU_ASSERT_FATAL(n > 1); /* fd itself is one */
	bs_close(bs);
	CU_ASSERT(lock_elsewhere(fd, F_WRLCK));
	while (n)
		close(held[--n]);
	close(fd);
	unlink(path);
}

UNIT_MAIN(TEST(a_lock_that_goes_is_waited_for), TEST(locked_file_is_refused),
	  TEST(closed_is_unlocked));
