// SPDX-License-Identifier: BSD-2-Clause
/*
 * The load: opens the sessions, keeps every queue full for the time asked, and measures. One thread
 * serves all connections; it spins briefly before it sleeps, so that its own wake-ups do not count.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "bench.h"

enum {
	SPIN_NS = 50 * 1000,
	EVENTS = 64,
	CONTROL_SECONDS = 10, /* for TEST UNIT READY, Logout and the rest of the I/O at the end */
	TEST_UNIT_READY = 0x00,
	SERVICE_ACTION_IN_16 = 0x9e,
	READ_CAPACITY_16 = 0x10,
};

static const uint64_t second_ns = 1000000000;

static void connection_lost(struct connection *c, int error)
{
	if (!c->closing) {
		client_error(c->client, "connection %u: %s", c->number,
			     error == -EPROTO	 ? "a PDU that makes no sense"
			     : error == -EBADMSG ? "wrong digest"
						 : strerror(-error));
		c->client->broken = true;
	}
	c->closed = true;
	stream_close(&c->stream);
}

static void connection_pump(struct connection *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int ret = tasks_pump(c);

	if (ret < 0) {
		connection_lost(c, ret);
		return;
	}
	if (stream_unsent(&c->stream) == c->wants_write)
		return;
	c->wants_write = !c->wants_write;
	ev.events |= c->wants_write ? EPOLLOUT : 0;
	epoll_ctl(c->client->epoll, EPOLL_CTL_MOD, c->stream.fd, &ev);
}

/* One turn over the sockets. Returns the number that had something. */
static int turn(struct client *client, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(client->epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct connection *c = events[i].data.ptr;
		int ret = 0;

		client->now = 0;
		if (events[i].events & ~(uint32_t)EPOLLOUT)
			ret = stream_receive(&c->stream, client->rx);
		if (ret < 0)
			connection_lost(c, ret);
		else
			connection_pump(c);
	}
	return n;
}

static int until_ms(uint64_t deadline, uint64_t now)
{
	return now >= deadline ? 0 : (int)((deadline - now) / 1000000) + 1;
}

/* Spins for a while and then sleeps until a socket is ready or the deadline is there. */
static void turn_or_wait(struct client *client, uint64_t deadline)
{
	uint64_t start, now;

	if (turn(client, 0))
		return;
	start = now = now_ns();
	while (now < deadline && now - start < SPIN_NS) {
		if (turn(client, 0))
			return;
		now = now_ns();
	}
	turn(client, until_ms(deadline, now));
}

static void run_until(struct client *client, uint64_t deadline)
{
	while (!client->broken && now_ns() < deadline)
		turn_or_wait(client, deadline);
}

/* Set-up commands */

static int control(struct connection *c, const uint8_t *cdb, size_t cdb_len, uint8_t *data,
		   uint32_t len)
{
	uint64_t deadline = now_ns() + CONTROL_SECONDS * second_ns;
	struct task *t = task_control(c, cdb, cdb_len, data, len);

	connection_pump(c);
	while (t->kind != TASK_FREE) {
		if (c->client->broken || now_ns() >= deadline)
			return -ETIMEDOUT;
		turn(c->client, until_ms(deadline, now_ns()));
	}
	return t->status;
}

/* A new session meets unit attentions: ask until they are cleared. */
static int wait_ready(struct connection *c)
{
	static const uint8_t cdb[6] = { TEST_UNIT_READY };
	int status = -1;

	for (int i = 0; i < 8 && status; i++) {
		status = control(c, cdb, sizeof(cdb), NULL, 0);
		if (status < 0)
			break;
	}
	if (status)
		fprintf(stderr, "riser-bench: connection %u: the LUN is not ready\n", c->number);
	return status ? -EIO : 0;
}

static int read_capacity(struct client *client)
{
	const uint8_t cdb[16] = { SERVICE_ACTION_IN_16, READ_CAPACITY_16, [13] = 32 };
	uint32_t bs = client->opt->bs;
	uint8_t data[32] = { 0 };
	struct be64 last;
	struct be32 size;

	if (control(client->connections[0], cdb, sizeof(cdb), data, sizeof(data))) {
		fprintf(stderr, "riser-bench: READ CAPACITY(16) failed\n");
		return -EIO;
	}
	memcpy(&last, data, sizeof(last));
	memcpy(&size, data + 8, sizeof(size));
	client->block_size = be32_get(size);
	client->blocks = be64_get(last) + 1;
	if (client->block_size < 512 || bs % client->block_size) {
		fprintf(stderr, "riser-bench: --bs %u: no multiple of the disk's block size %u\n",
			bs, client->block_size);
		return -EINVAL;
	}
	client->units = client->blocks / (bs / client->block_size);
	if (!client->units) {
		fprintf(stderr, "riser-bench: --bs %u: larger than the disk\n", bs);
		return -EINVAL;
	}
	return 0;
}

static int resolve(const struct options *opt, struct addrinfo **list)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int ret = getaddrinfo(opt->host, opt->port, &hints, list);

	if (ret)
		fprintf(stderr, "riser-bench: %s: %s\n", opt->host, gai_strerror(ret));
	return ret ? -EINVAL : 0;
}

static int open_connection(struct client *client, const struct addrinfo *address)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int ret;

	if (!c)
		return -ENOMEM;
	c->client = client;
	c->number = client->count;
	c->stream.fd = -1;
	client->connections[client->count++] = c;
	ret = tasks_init(c);
	if (!ret)
		ret = login(c, address, &task_stream_ops);
	if (!ret && epoll_ctl(client->epoll, EPOLL_CTL_ADD, c->stream.fd, &ev))
		ret = -errno;
	return ret ? ret : wait_ready(c);
}

static int open_connections(struct client *client)
{
	struct addrinfo *address;
	int ret = resolve(client->opt, &address);

	if (ret)
		return ret;
	for (unsigned i = 0; i < client->opt->connections && !ret; i++)
		ret = open_connection(client, address);
	freeaddrinfo(address);
	return ret;
}

static int prepare(struct client *client)
{
	const struct options *opt = client->opt;

	client->rx = malloc(STREAM_RX_SIZE);
	client->payload = malloc(opt->bs);
	client->connections = calloc(opt->connections, sizeof(*client->connections));
	client->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!client->rx || !client->payload || !client->connections || client->epoll < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < opt->bs; i += 256) {
		if (getrandom(client->payload + i, opt->bs - i < 256 ? opt->bs - i : 256, 0) < 0)
			return -errno;
	}
	if (getrandom(&client->random_state, sizeof(client->random_state), 0) < 0)
		return -errno;
	return 0;
}

static void logout_all(struct client *client)
{
	uint64_t deadline = now_ns() + CONTROL_SECONDS * second_ns;

	for (unsigned i = 0; i < client->count; i++) {
		struct connection *c = client->connections[i];

		if (c->stream.fd < 0 || c->closed || !stream_room(&c->stream))
			continue;
		task_logout(c);
		connection_pump(c);
	}
	for (unsigned i = 0; i < client->count; i++) {
		struct connection *c = client->connections[i];

		while (c->closing && !c->closed && now_ns() < deadline)
			turn(client, until_ms(deadline, now_ns()));
	}
}

static void release(struct client *client)
{
	for (unsigned i = 0; i < client->count; i++) {
		struct connection *c = client->connections[i];

		stream_close(&c->stream);
		tasks_free(c);
		free(c);
	}
	if (client->epoll >= 0)
		close(client->epoll);
	free(client->connections);
	free(client->payload);
	free(client->written);
	free(client->rx);
}

static void start_io(struct client *client)
{
	for (unsigned i = 0; i < client->count && !client->opt->idle; i++) {
		struct connection *c = client->connections[i];

		c->next_unit = client->units / client->count * i;
		c->ready = true;
		connection_pump(c);
	}
}

static void drain(struct client *client)
{
	uint64_t deadline = now_ns() + CONTROL_SECONDS * second_ns;

	client->stopping = true;
	while (client->outstanding && !client->broken && now_ns() < deadline)
		turn_or_wait(client, deadline);
	if (client->outstanding && !client->broken)
		client_error(client, "%u commands were never answered", client->outstanding);
}

static void measure(struct client *client)
{
	const struct options *opt = client->opt;
	struct results *r = client->results;
	struct process_stats before = { 0 };
	uint64_t start;

	start_io(client);
	run_until(client, now_ns() + (uint64_t)(opt->warmup * 1e9));
	r->have_target = opt->target_pid && !process_stats(opt->target_pid, &before);
	start = now_ns();
	client->measuring = true;
	run_until(client, start + (uint64_t)(opt->seconds * 1e9));
	client->measuring = false;
	r->elapsed = (double)(now_ns() - start) / 1e9;
	if (r->have_target)
		r->have_target = !process_stats(opt->target_pid, &r->target);
	r->target_cpu = r->target.cpu_seconds - before.cpu_seconds;
	drain(client);
}

int client_run(const struct options *opt, struct results *results)
{
	struct client client = { .opt = opt, .results = results, .epoll = -1 };
	int ret = prepare(&client);

	if (ret)
		fprintf(stderr, "riser-bench: %s\n", strerror(-ret));
	if (!ret)
		ret = open_connections(&client);
	if (!ret)
		ret = read_capacity(&client);
	if (!ret && opt->verify) {
		client.written = calloc(client.units / 64 + 1, sizeof(*client.written));
		ret = client.written ? 0 : -ENOMEM;
	}
	if (!ret) {
		measure(&client);
		logout_all(&client);
	}
	release(&client);
	return ret;
}
