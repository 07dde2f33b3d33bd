// SPDX-License-Identifier: BSD-2-Clause
/*
 * The life of a connection: connect, login, TEST UNIT READY until unit attentions are cleared, the
 * job, Logout, and the close that is the target's. Nothing here waits for one connection, so that
 * ten thousand are opened soon; but only a few at a time, since targets bound what is half open.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

enum {
	PATIENCE_SECONDS = 10, /* without any progress */
	CHECKS_MAX = 8, /* unit attentions of a new session */
	FILES_MORE = 64, /* descriptors that are not connections */
	TEST_UNIT_READY = 0x00,
};

static const uint64_t second_ns = 1000000000;

static void watch(struct connection *c, int op, bool writing)
{
	struct epoll_event ev = { .events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c };

	c->wants_write = writing;
	epoll_ctl(c->client->epoll, op, c->stream.fd, &ev);
}

/* Returns true when the connection is there already. */
static int start_connect(struct connection *c, int fd)
{
	const struct addrinfo *a = c->job->address;
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		return -errno;
	if (!connect(fd, a->ai_addr, a->ai_addrlen))
		return true;
	return errno == EINPROGRESS ? false : -errno;
}

static int connect_failed(struct connection *c, int error)
{
	fprintf(stderr, "riser-bench: login of connection %u: %s\n", c->number, strerror(-error));
	return -EPROTO;
}

int session_start(struct connection *c)
{
	const struct addrinfo *a = c->job->address;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return connect_failed(c, -errno);
	stream_init(&c->stream, fd, &task_stream_ops, &c->client->pool);
	c->login_start = now_ns();
	c->state = SESSION_CONNECTING;
	ret = start_connect(c, fd);
	if (ret < 0)
		return connect_failed(c, ret);
	watch(c, EPOLL_CTL_ADD, !ret);
	return ret ? session_connected(c) : 0;
}

int session_connected(struct connection *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->stream.fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error)
		return connect_failed(c, -error);
	c->state = SESSION_LOGIN;
	return login_start(c);
}

static void check(struct connection *c)
{
	static const uint8_t cdb[6] = { TEST_UNIT_READY };

	c->checks++;
	task_control(c, cdb, sizeof(cdb), NULL, 0);
}

int session_logged_in(struct connection *c)
{
	struct client *client = c->client;
	struct results *r = c->job->results;

	if (c->job->opt->kind != JOB_LOGIN) {
		c->state = SESSION_CHECK;
		c->checks = 0;
		check(c);
		return 0;
	}
	if (client->measuring) {
		r->logins++;
		histogram_add(&r->latency, client_now(client) - c->login_start);
	}
	task_logout(c);
	return 0;
}

int session_checked(struct connection *c, uint8_t status)
{
	if (!status) {
		c->state = SESSION_OPEN;
		c->client->opening--;
		return 0;
	}
	if (c->checks == CHECKS_MAX) {
		fprintf(stderr, "riser-bench: connection %u: the LUN is not ready\n", c->number);
		return -EPROTO;
	}
	check(c);
	return 0;
}

static const char *reason(int error)
{
	switch (error) {
	case -EPROTO: return "a PDU that makes no sense";
	case -EBADMSG: return "wrong digest";
	default: return strerror(-error);
	}
}

void session_lost(struct connection *c, int error)
{
	enum session_state state = c->state;
	bool cycle = c->job->opt->kind == JOB_LOGIN;

	stream_close(&c->stream);
	login_free(c);
	c->state = SESSION_NONE;
	if (state == SESSION_LEFT || (state == SESSION_LOGOUT && !cycle)) {
		if (!cycle || c->client->stopping)
			return;
		tasks_reset(c);
		error = session_start(c);
		if (!error)
			connection_pump(c);
		if (!error)
			return;
		stream_close(&c->stream);
	}
	c->client->broken = true;
	/* What goes wrong in a login has been told. */
	if (error == -EPROTO && state != SESSION_OPEN)
		c->job->results->errors++;
	else
		job_error(c->job, "connection %u: %s", c->number, reason(error));
}

/* All of them */

/* Descriptors for all connections, if the hard limit allows it. */
static int raise_limit(unsigned connections)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	if (limit.rlim_max < connections + FILES_MORE) {
		fprintf(stderr,
			"riser-bench: %u connections: only %llu files may be open (ulimit -Hn)\n",
			connections, (unsigned long long)limit.rlim_max);
		return -EMFILE;
	}
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) ? -errno : 0;
}

static int resolve(struct job *job)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int ret = getaddrinfo(job->opt->host, job->opt->port, &hints, &job->address);

	if (!ret)
		return 0;
	fprintf(stderr, "riser-bench: %s: %s\n", job->opt->host, gai_strerror(ret));
	job->address = NULL;
	return -EHOSTUNREACH;
}

static int job_connections_init(struct job *job)
{
	unsigned n = job->opt->connections;

	job->connections = calloc(n, sizeof(*job->connections));
	if (!job->connections)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		job->connections[i].stream.fd = -1;
	for (unsigned i = 0; i < n; i++) {
		struct connection *c = job->connections + i;
		int ret;

		c->client = job->client;
		c->job = job;
		c->number = job->client->count++;
		c->qd = job->opt->kind == JOB_IO ? job->opt->qd : 1;
		ret = tasks_init(c);
		if (ret)
			return ret;
	}
	return 0;
}

int sessions_init(struct client *client)
{
	unsigned connections = 0;
	int ret;

	for (unsigned i = 0; i < client->opt->job_count; i++)
		connections += client->opt->jobs[i].connections;
	ret = raise_limit(connections);
	for (unsigned i = 0; i < client->opt->job_count && !ret; i++) {
		ret = resolve(&client->jobs[i]);
		if (!ret)
			ret = job_connections_init(&client->jobs[i]);
	}
	return ret;
}

void sessions_free(struct client *client)
{
	for (unsigned i = 0; i < client->opt->job_count; i++) {
		struct job *job = client->jobs + i;

		for (unsigned j = 0; job->connections && j < job->opt->connections; j++) {
			struct connection *c = job->connections + j;

			stream_close(&c->stream);
			login_free(c);
			tasks_free(c);
		}
		free(job->connections);
		if (job->address)
			freeaddrinfo(job->address);
	}
}

static int open_next(struct client *client, struct connection *c)
{
	int ret = session_start(c);

	client->opening++;
	if (ret)
		return ret;
	connection_pump(c);
	return 0;
}

/* Until at most `allowed` are on their way; somebody has to get there every few seconds. */
static int wait_for_opening(struct client *client, unsigned allowed)
{
	uint64_t deadline = now_ns() + PATIENCE_SECONDS * second_ns;
	unsigned opening = client->opening;

	while (client->opening > allowed && !client->broken) {
		if (now_ns() >= deadline) {
			fprintf(stderr, "riser-bench: login: no answer for %d s\n",
				PATIENCE_SECONDS);
			return -ETIMEDOUT;
		}
		client_turn(client, until_ms(deadline, now_ns()));
		if (client->opening < opening) {
			opening = client->opening;
			deadline = now_ns() + PATIENCE_SECONDS * second_ns;
		}
	}
	return client->broken ? -ECONNRESET : 0;
}

/* Jobs that log in and out do so from the start of the load on. */
int sessions_open(struct client *client)
{
	int ret = 0;

	for (unsigned i = 0; i < client->opt->job_count; i++) {
		struct job *job = client->jobs + i;

		if (job->opt->kind == JOB_LOGIN)
			continue;
		for (unsigned j = 0; j < job->opt->connections && !ret; j++) {
			ret = open_next(client, job->connections + j);
			if (!ret)
				ret = wait_for_opening(client, client->opt->opening - 1);
		}
	}
	return ret ? ret : wait_for_opening(client, 0);
}

static void logout(struct connection *c)
{
	if (c->state == SESSION_OPEN && stream_room(&c->stream)) {
		task_logout(c);
		connection_pump(c);
	}
}

/* Waits for the answer, or for the end of a login that is on its way; not for the close. */
static void wait_until_left(struct connection *c, uint64_t deadline)
{
	while (c->state != SESSION_NONE && c->state != SESSION_OPEN && c->state != SESSION_LEFT &&
	       now_ns() < deadline)
		client_turn(c->client, until_ms(deadline, now_ns()));
}

void sessions_logout(struct client *client)
{
	uint64_t deadline = now_ns() + PATIENCE_SECONDS * second_ns;

	for (unsigned i = 0; i < client->opt->job_count; i++) {
		for (unsigned j = 0; j < client->jobs[i].opt->connections; j++) {
			logout(client->jobs[i].connections + j);
			/* Keeps what is unanswered, and the target's queue of it, short. */
			if (j % 64 == 63)
				client_turn(client, 0);
		}
	}
	for (unsigned i = 0; i < client->opt->job_count; i++) {
		for (unsigned j = 0; j < client->jobs[i].opt->connections; j++)
			wait_until_left(client->jobs[i].connections + j, deadline);
	}
}
