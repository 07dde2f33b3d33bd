// SPDX-License-Identifier: BSD-2-Clause
/* What takes a piece at a time gets all of it; errors come back. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/write_all.h"
#include "tests/lib/unit.h"

enum { SIZE = 1 << 20 };

static char sent[SIZE], got[SIZE];

static void *reader(void *arg)
{
	const int *fd = arg;
	size_t len = 0;
	ssize_t n;

	while (len < SIZE && (n = read(*fd, got + len, 4096)) > 0)
		len += (size_t)n;
	return NULL;
}

static void a_pipe_gets_all_of_it(void)
{
	pthread_t thread;
	int fds[2];

	for (size_t i = 0; i < SIZE; i++)
		sent[i] = (char)(i * 31 >> 3);
	CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, reader, &fds[0]), 0);
	CU_ASSERT_EQUAL(write_all(fds[1], sent, SIZE), 0);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(memcmp(sent, got, SIZE), 0);
	CU_ASSERT_EQUAL(write_all(fds[1], sent, 0), 0);
	close(fds[0]);
	close(fds[1]);
}

static void errors_come_back(void)
{
	int fds[2], fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write_all(fd, sent, 10), -ENOSPC);
	close(fd);
	CU_ASSERT_EQUAL(write_all(-1, sent, 10), -EBADF);
	signal(SIGPIPE, SIG_IGN);
	CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	CU_ASSERT_EQUAL(write_all(fds[1], sent, SIZE), -EAGAIN);
	close(fds[0]);
	CU_ASSERT_EQUAL(write_all(fds[1], sent, 10), -EPIPE);
	close(fds[1]);
}

UNIT_MAIN(TEST(a_pipe_gets_all_of_it), TEST(errors_come_back));
