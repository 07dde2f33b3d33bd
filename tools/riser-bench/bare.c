// SPDX-License-Identifier: BSD-2-Clause
/*
 * The bare server: iSCSI framing and nothing behind it. READs are answered from one buffer, WRITEs
 * are received and forgotten. What it reaches is what the machine's sockets allow a target.
 * One thread, one epoll; it spins briefly before it sleeps.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bare.h"
#include "bench.h"

enum { EVENTS = 256, BACKLOG = 1024 };

struct server {
	int epoll;
	int listener;
	uint8_t *rx;
	struct stream_pool pool;
	struct bare_disk disk;
};

static int open_listener(const char *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG) ||
	    getsockname(fd, (struct sockaddr *)&address, &len)) {
		fprintf(stderr, "riser-bench: port %s: %s\n", port, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	printf("iscsi://127.0.0.1:%u/iqn.2026-11.localhost:bare/0\nready\n",
	       ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static void accept_peer(struct server *server)
{
	int one = 1;
	int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN };
	struct peer *p;

	if (fd < 0)
		return;
	p = peer_new(fd, &server->pool, &server->disk);
	ev.data.ptr = p;
	if (!p || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		fprintf(stderr, "riser-bench: a connection was refused: %s\n", strerror(errno));
		close(fd);
		free(p);
	}
}

static void serve_peer(struct server *server, struct peer *p, uint32_t events)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };
	int ret = 0;

	if (events & ~(uint32_t)EPOLLOUT)
		ret = stream_receive(&p->stream, server->rx);
	if (ret >= 0)
		ret = peer_pump(p);
	if (ret < 0) {
		if (ret != -ECONNRESET)
			fprintf(stderr, "riser-bench: a connection was closed: %s\n",
				strerror(-ret));
		stream_close(&p->stream);
		free(p);
		return;
	}
	if (stream_unsent(&p->stream) == p->wants_write)
		return;
	p->wants_write = !p->wants_write;
	ev.events |= p->wants_write ? EPOLLOUT : 0;
	epoll_ctl(server->epoll, EPOLL_CTL_MOD, p->stream.fd, &ev);
}

static int turn(struct server *server, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(server->epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			serve_peer(server, events[i].data.ptr, events[i].events);
		else
			accept_peer(server);
	}
	return n;
}

static void serve(struct server *server, uint64_t spin_ns)
{
	uint64_t idle_since = now_ns();

	for (;;) {
		if (turn(server, now_ns() - idle_since < spin_ns ? 0 : -1))
			idle_since = now_ns();
	}
}

static void raise_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* All pages are there before the first command, large ones where there are any. */
static int open_disk(struct bare_disk *disk, uint64_t size)
{
	struct be64 last;

	disk->size = size ? size : BARE_CAPACITY;
	last = be64_of(disk->size / BARE_BLOCK - 1);
	memcpy(disk->capacity, &last, sizeof(last));
	disk->capacity[10] = BARE_BLOCK >> 8;
	if (!size)
		return 0;
	disk->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (disk->memory == MAP_FAILED)
		return -1;
	madvise(disk->memory, size, MADV_HUGEPAGE);
	memset(disk->memory, 1, size);
	return 0;
}

int bare_run(const struct options *opt)
{
	struct server server = { .rx = aligned_alloc(4096, STREAM_RX_SIZE) };
	struct epoll_event ev = { .events = EPOLLIN }; /* data.ptr NULL: the listener */

	raise_limit();
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!server.rx || server.epoll < 0 || open_disk(&server.disk, opt->memory)) {
		fprintf(stderr, "riser-bench: %s\n", strerror(errno));
		return 1;
	}
	server.listener = open_listener(opt->port);
	if (server.listener < 0)
		return 1;
	if (epoll_ctl(server.epoll, EPOLL_CTL_ADD, server.listener, &ev)) {
		fprintf(stderr, "riser-bench: %s\n", strerror(errno));
		return 1;
	}
	serve(&server, opt->spin_ns);
	return 0;
}
