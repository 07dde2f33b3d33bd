// SPDX-License-Identifier: BSD-2-Clause
/* One client of the control socket, without the thread. */
#ifndef TESTS_UNIT_RISERD_CONTROL_RIG_H
#define TESTS_UNIT_RISERD_CONTROL_RIG_H

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/lib/unit.h"
#include "tools/riserd/control_impl.h"

#define ASK(method, params) \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}\n"

static struct rpc_context context;
static struct control control;
static struct client *const c = &control.clients[0];
static int peer;

static inline void up(enum rpc_level level)
{
	int fds[2];

	log_set_level(LOG_LEVEL_ERROR);
	context = (struct rpc_context){ .events = events_new(), .control = &control };
	memset(&control, 0, sizeof(control));
	pthread_mutex_init(&context.lock, NULL);
	pthread_mutex_init(&control.lock, NULL);
	control.context = &context;
	control.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	control.main_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	list_init(&control.queued);
	list_init(&control.finished);
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
	client_open(c, &control, fds[0], level);
	peer = fds[1];
}

static inline void down(void)
{
	if (c->fd >= 0)
		client_close(c);
	CU_ASSERT_EQUAL(control.input_bytes, 0);
	CU_ASSERT_EQUAL(control.output_bytes, 0);
	CU_ASSERT_EQUAL(control.values, 0);
	CU_ASSERT_EQUAL(control.subscribers, 0);
	close(peer);
	close(control.wake_fd);
	close(control.main_fd);
	events_free(context.events);
}

/* What poll() would do. */
static inline void turn(void)
{
	for (unsigned int i = 0; i < 64 && c->fd >= 0; i++) {
		struct pollfd p = { .fd = c->fd, .events = client_wants(c) };

		poll(&p, 1, 0);
		client_event(c, p.revents);
	}
}

static inline void send_text(const char *text)
{
	CU_ASSERT_EQUAL(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turn();
}

/* Whether what has come has these words; it is gone then. */
static inline bool hears(const char *words)
{
	static char text[1 << 20];
	ssize_t n = recv(peer, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	if (n > 0 && strstr(text, words))
		return true;
	printf("# heard: %.200s\n", text);
	return false;
}

static inline bool hears_nothing(void)
{
	char byte;

	return recv(peer, &byte, 1, MSG_DONTWAIT) < 0;
}

static inline struct main_call *queued(void)
{
	CU_ASSERT_FALSE_FATAL(list_empty(&control.queued));
	return list_entry(control.queued.next, struct main_call, node);
}

#endif
