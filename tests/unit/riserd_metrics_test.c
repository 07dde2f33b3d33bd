// SPDX-License-Identifier: BSD-2-Clause
/* The HTTP server with long answers of this test's own: memory for those who do not read them, and reactors
 * that hang. */
#include <arpa/inet.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/reactor.h"
#include "tests/lib/unit.h"
#include "tools/riserd/metrics_impl.h"
#include "tools/riserd/options.h"

enum { PIECE = 1 << 20, PIECES = 32, ANSWERS_MAX = 8, ASKED = 6, TURN_S = 1, MANY = 200 };

static unsigned int made; /* [HTTP thread] until metrics_stop() */
static struct portal_address address;

/* These two stand in place of riserd's. */
void metrics_write_text(struct metrics_view *v, FILE *out)
{
	static char piece[PIECE];

	(void)v;
	memset(piece, '#', sizeof(piece));
	for (unsigned int i = 0; i < PIECES; i++)
		fwrite(piece, sizeof(piece), 1, out);
	made++;
}

json_t *metrics_json(struct metrics_view *v)
{
	(void)v;
	return json_object();
}

/* On a port that was free. */
static struct metrics *start(struct rpc_context *context)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct metrics *m = NULL;

	CU_ASSERT_FATAL(options_parse_address("127.0.0.1:0", &address));
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address.addr, address.len), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&address.addr, &address.len), 0);
	close(fd);
	CU_ASSERT_EQUAL_FATAL(metrics_open(context, &address, NULL, &m), 0);
	metrics_serve(m);
	return m;
}

/* The status of the answer; the rest of it waits in the socket. */
static int ask(const char *path, int *fd)
{
	static const struct timeval soon = { .tv_sec = 5 };
	static const int small = 4096;
	char text[128];
	int status = 0;
	ssize_t len;

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(*fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	CU_ASSERT_EQUAL_FATAL(connect(*fd, (struct sockaddr *)&address.addr, address.len), 0);
	len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
	CU_ASSERT_EQUAL(write(*fd, text, (size_t)len), len);
	len = recv(*fd, text, 12, MSG_WAITALL);
	text[len > 0 ? len : 0] = '\0';
	CU_ASSERT_EQUAL(sscanf(text, "HTTP/1.1 %d", &status), 1);
	return status;
}

static int ask_shortly(const char *path)
{
	int fd, status = ask(path, &fd);

	close(fd);
	return status;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void those_who_do_not_read_get_no_more_memory(void)
{
	struct rpc_context context = { 0 };
	struct metrics *m = start(&context);
	int fds[2 * ANSWERS_MAX], status = 200;
	unsigned int readers = 0;

	/* Each of them when an answer is old enough to be made anew. */
	while (status == 200 && readers < array_size(fds)) {
		status = ask("/metrics", &fds[readers++]);
		pause_ms(260);
	}
	CU_ASSERT_EQUAL(status, 503);
	CU_ASSERT_EQUAL(ask_shortly("/healthz"), 200);
	CU_ASSERT_EQUAL(ask_shortly("/"), 200);
	while (readers)
		close(fds[--readers]);
	for (unsigned int i = 0; i < 100 && status != 200; i++) {
		pause_ms(50);
		status = ask_shortly("/metrics");
	}
	CU_ASSERT_EQUAL(status, 200);
	metrics_stop(m);
	CU_ASSERT(made <= ANSWERS_MAX);
	metrics_free(m);
}

/* Whoever has begun to ask and goes on for ever does not keep others out. */
static void trickling_words_take_nobodys_place(void)
{
	static const struct timeval soon = { .tv_sec = 5 };
	static const char words[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ";
	struct rpc_context context = { 0 };
	struct metrics *m = start(&context);
	int slow[MANY];
	char byte;

	for (unsigned int i = 0; i < MANY; i++) {
		slow[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(slow[i], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
		CU_ASSERT_EQUAL_FATAL(
			connect(slow[i], (struct sockaddr *)&address.addr, address.len), 0);
		CU_ASSERT_EQUAL(write(slow[i], words, sizeof(words) - 1), sizeof(words) - 1);
	}
	for (unsigned int i = 0; i < ASKED; i++)
		CU_ASSERT_EQUAL(ask_shortly("/healthz"), 200);
	/* The oldest of them is not there any more, the youngest is. */
	CU_ASSERT_EQUAL(recv(slow[0], &byte, 1, 0), 0);
	CU_ASSERT(recv(slow[MANY - 1], &byte, 1, MSG_DONTWAIT) < 0);
	for (unsigned int i = 0; i < MANY; i++)
		close(slow[i]);
	metrics_stop(m);
	metrics_free(m);
}

struct hang {
	struct work work;
	sem_t begun, end;
};

static void hang(struct work *work)
{
	struct hang *h = container_of(work, struct hang, work);

	sem_post(&h->begun);
	while (sem_wait(&h->end))
		;
}

static void a_reactor_that_hangs_is_waited_for_once(void)
{
	struct reactor_config cfg = { .cpu = -1 };
	struct reactor *reactor;
	struct rpc_context context = { .reactors = &reactor, .reactor_count = 1 };
	struct hang h = { .work.fn = hang };
	struct metrics *m = start(&context);
	struct timespec begin, end;

	sem_init(&h.begun, 0, 0);
	sem_init(&h.end, 0, 0);
	CU_ASSERT_EQUAL_FATAL(reactor_create(&cfg, &reactor), 0);
	CU_ASSERT_EQUAL_FATAL(reactor_start(reactor), 0);
	CU_ASSERT_EQUAL(ask_shortly("/healthz"), 200);
	reactor_post(reactor, &h.work);
	while (sem_wait(&h.begun))
		;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = 0; i < ASKED; i++)
		CU_ASSERT_EQUAL(ask_shortly("/healthz"), 503);
	clock_gettime(CLOCK_MONOTONIC, &end);
	CU_ASSERT(end.tv_sec - begin.tv_sec >= TURN_S - 1);
	CU_ASSERT(end.tv_sec - begin.tv_sec < (ASKED - 1) * TURN_S);
	sem_post(&h.end);
	for (unsigned int i = 0; i < 100 && ask_shortly("/healthz") != 200; i++)
		pause_ms(20);
	CU_ASSERT_EQUAL(ask_shortly("/healthz"), 200);
	metrics_stop(m);
	reactor_stop(reactor);
	reactor_join(reactor);
	metrics_free(m);
	reactor_destroy(reactor);
	sem_destroy(&h.begun);
	sem_destroy(&h.end);
}

UNIT_MAIN(TEST(those_who_do_not_read_get_no_more_memory), TEST(trickling_words_take_nobodys_place),
	  TEST(a_reactor_that_hangs_is_waited_for_once));
