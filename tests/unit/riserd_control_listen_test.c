// SPDX-License-Identifier: BSD-2-Clause
/* Where the control socket is: who comes at the same instant, and what stands there already. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tools/riserd/control.h"

enum { DAEMONS = 6, ROUNDS = 100 };

static char folder[64], path[96], lock[104];

static void up(void)
{
	const char *tmp = getenv("TMPDIR");

	/* Names of sockets are short. */
	snprintf(folder, sizeof(folder), "%s/riser-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/control.sock", folder);
	snprintf(lock, sizeof(lock), "%s.lock", path);
}

static void down(void)
{
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(folder), 0); /* nothing else is there */
}

/* What a daemon leaves behind that was killed. */
static void leave_behind(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static int come(int *fd, char why[512])
{
	*fd = -1;
	why[0] = '\0';
	return control_listen(path, fd, why, 512);
}

struct rival {
	pthread_t thread;
	pthread_barrier_t *start;
	char why[512];
	int fd, err;
};

static void *rival(void *arg)
{
	struct rival *r = arg;

	pthread_barrier_wait(r->start);
	r->err = come(&r->fd, r->why);
	return NULL;
}

static bool answers(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	memcpy(address.sun_path, path, strlen(path) + 1);
	err = connect(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	return !err;
}

/* How many have taken it. */
static unsigned int compete(void)
{
	struct rival rivals[DAEMONS];
	pthread_barrier_t start;
	unsigned int winners = 0;

	pthread_barrier_init(&start, NULL, DAEMONS);
	for (unsigned int i = 0; i < DAEMONS; i++) {
		rivals[i] = (struct rival){ .start = &start };
		pthread_create(&rivals[i].thread, NULL, rival, &rivals[i]);
	}
	for (unsigned int i = 0; i < DAEMONS; i++) {
		pthread_join(rivals[i].thread, NULL);
		winners += !rivals[i].err;
		if (rivals[i].err)
			CU_ASSERT_PTR_NOT_NULL(strstr(rivals[i].why, "another riserd serves it"));
	}
	CU_ASSERT_TRUE(answers());
	for (unsigned int i = 0; i < DAEMONS; i++) {
		if (!rivals[i].err)
			close(rivals[i].fd);
	}
	pthread_barrier_destroy(&start);
	return winners;
}

static void one_takes_what_a_dead_one_has_left(void)
{
	unsigned int rounds = 0;

	up();
	leave_behind();
	/* What a round leaves is left over in the next. */
	while (rounds < ROUNDS && compete() == 1)
		rounds++;
	CU_ASSERT_EQUAL(rounds, ROUNDS);
	down();
}

static void the_other_one_is_named(void)
{
	char why[512], process[64];
	int fd, second;

	up();
	CU_ASSERT_EQUAL_FATAL(come(&fd, why), 0);
	CU_ASSERT_EQUAL(come(&second, why), -EADDRINUSE);
	snprintf(process, sizeof(process), "another riserd serves it, process %d;", (int)getpid());
	CU_ASSERT_PTR_NOT_NULL(strstr(why, process));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, path));
	CU_ASSERT_TRUE(answers());
	close(fd);
	down();
}

static void files_stay(void)
{
	char why[512];
	FILE *file;
	int fd;

	up();
	file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fclose(file);
	CU_ASSERT_EQUAL(come(&fd, why), -EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "or it is no socket"));
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
	CU_ASSERT_EQUAL(come(&fd, why), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "its folder is not there"));
}

/* Of one that was killed while it had it, and one that is no file at all. */
static void a_lock_that_is_left_is_no_obstacle(void)
{
	char why[512];
	FILE *file;
	int fd;

	up();
	file = fopen(lock, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fclose(file);
	CU_ASSERT_EQUAL_FATAL(come(&fd, why), 0);
	close(fd);
	unlink(path);
	CU_ASSERT_EQUAL_FATAL(symlink("elsewhere", lock), 0);
	CU_ASSERT_EQUAL(come(&fd, why), -ELOOP);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, lock));
	unlink(lock);
	down();
}

UNIT_MAIN(TEST(one_takes_what_a_dead_one_has_left), TEST(the_other_one_is_named), TEST(files_stay),
	  TEST(a_lock_that_is_left_is_no_obstacle));
