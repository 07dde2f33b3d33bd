// SPDX-License-Identifier: BSD-2-Clause
/*
 * The load: opens the sessions, keeps every queue full for the time asked, and measures. One thread
 * serves all connections; it spins briefly before it sleeps, so that its own wake-ups do not count.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "bench.h"

enum {
	EVENTS = 256,
	ERRORS_SHOWN = 5,
	PATIENCE_SECONDS = 10, /* for READ CAPACITY and the rest of the I/O at the end */
	SLEEP_MAX_MS = 1000,
	SERVICE_ACTION_IN_16 = 0x9e,
	READ_CAPACITY_16 = 0x10,
};

static const uint64_t second_ns = 1000000000;

void job_error(struct job *job, const char *fmt, ...)
{
	va_list args;

	job->results->errors++;
	if (job->client->errors++ >= ERRORS_SHOWN)
		return;
	fputs("riser-bench: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

void connection_pump(struct connection *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int ret;

	if (c->state <= SESSION_CONNECTING)
		return;
	ret = tasks_pump(c);
	if (ret < 0) {
		session_lost(c, ret);
		return;
	}
	if (stream_unsent(&c->stream) == c->wants_write)
		return;
	c->wants_write = !c->wants_write;
	ev.events |= c->wants_write ? EPOLLOUT : 0;
	epoll_ctl(c->client->epoll, EPOLL_CTL_MOD, c->stream.fd, &ev);
}

static void serve(struct connection *c, uint32_t events)
{
	int ret = 0;

	c->client->now = 0;
	if (c->state == SESSION_CONNECTING)
		ret = session_connected(c);
	else if (events & ~(uint32_t)EPOLLOUT)
		ret = stream_receive(&c->stream, c->client->rx);
	if (ret < 0)
		session_lost(c, ret);
	else
		connection_pump(c);
}

int client_turn(struct client *client, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(client->epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++)
		serve(events[i].data.ptr, events[i].events);
	return n;
}

int until_ms(uint64_t deadline, uint64_t now)
{
	uint64_t ms = now >= deadline ? 0 : (deadline - now) / 1000000 + 1;

	return ms < SLEEP_MAX_MS ? (int)ms : SLEEP_MAX_MS;
}

/* Spins for a while and then sleeps until a socket is ready or the deadline is there. */
static void turn_or_wait(struct client *client, uint64_t deadline)
{
	uint64_t start, now;

	if (client_turn(client, 0))
		return;
	start = now = now_ns();
	while (now < deadline && now - start < client->opt->spin_ns) {
		if (client_turn(client, 0))
			return;
		now = now_ns();
	}
	client_turn(client, until_ms(deadline, now));
}

static void run_until(struct client *client, uint64_t deadline)
{
	while (!client->broken && now_ns() < deadline)
		turn_or_wait(client, deadline);
}

static void run_for(struct client *client, double seconds)
{
	run_until(client, now_ns() + (uint64_t)(seconds * 1e9));
}

/* Preparation */

static int read_capacity(struct job *job, uint64_t *blocks, uint32_t *block_size)
{
	const uint8_t cdb[16] = { SERVICE_ACTION_IN_16, READ_CAPACITY_16, [13] = 32 };
	uint64_t deadline = now_ns() + PATIENCE_SECONDS * second_ns;
	struct connection *c = job->connections;
	uint8_t data[32] = { 0 };
	struct task *t = task_control(c, cdb, sizeof(cdb), data, sizeof(data));
	struct be64 last;
	struct be32 size;

	connection_pump(c);
	while (t->kind != TASK_FREE && !job->client->broken && now_ns() < deadline)
		client_turn(job->client, until_ms(deadline, now_ns()));
	if (t->kind != TASK_FREE || t->status) {
		fprintf(stderr, "riser-bench: READ CAPACITY(16) failed\n");
		return -EIO;
	}
	memcpy(&last, data, sizeof(last));
	memcpy(&size, data + 8, sizeof(size));
	*block_size = be32_get(size);
	*blocks = be64_get(last) + 1;
	return 0;
}

static int job_prepare(struct job *job)
{
	uint32_t bs = job->opt->bs;
	uint32_t block_size;
	uint64_t blocks;
	int ret = read_capacity(job, &blocks, &block_size);

	if (ret)
		return ret;
	if (block_size < 512 || block_size & (block_size - 1) || bs % block_size) {
		fprintf(stderr, "riser-bench: --bs %u: no multiple of the disk's block size %u\n",
			bs, block_size);
		return -EINVAL;
	}
	job->block_shift = (unsigned)__builtin_ctz(block_size);
	job->units = blocks / (bs / block_size);
	if (!job->units) {
		fprintf(stderr, "riser-bench: --bs %u: larger than the disk\n", bs);
		return -EINVAL;
	}
	job->payload = malloc(bs);
	if (job->opt->verify)
		job->written = calloc(job->units / 64 + 1, sizeof(*job->written));
	if (!job->payload || (job->opt->verify && !job->written))
		return -ENOMEM;
	for (uint32_t i = 0; i < bs; i += 256) {
		if (getrandom(job->payload + i, bs - i < 256 ? bs - i : 256, 0) < 0)
			return -errno;
	}
	return 0;
}

static int client_init(struct client *client, const struct options *opt, struct measurement *m)
{
	client->opt = opt;
	for (unsigned i = 0; i < opt->job_count; i++) {
		client->jobs[i] = (struct job){
			.opt = opt->jobs + i,
			.client = client,
			.results = m->results + i,
		};
		client->counted += opt->jobs[i].count > 0;
	}
	client->rx = aligned_alloc(4096, STREAM_RX_SIZE);
	client->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!client->rx || client->epoll < 0)
		return -ENOMEM;
	/* A counted run is one that is repeated: it always goes to the same places. */
	if (client->counted)
		return 0;
	return getrandom(&client->random_state, sizeof(client->random_state), 0) < 0 ? -errno : 0;
}

static void client_free(struct client *client)
{
	sessions_free(client);
	for (unsigned i = 0; i < client->opt->job_count; i++) {
		free(client->jobs[i].payload);
		free(client->jobs[i].written);
	}
	stream_pool_free(&client->pool);
	if (client->epoll >= 0)
		close(client->epoll);
	free(client->rx);
}

/* The run */

static void start_connection(struct job *job, unsigned i)
{
	struct connection *c = job->connections + i;
	int ret = 0;

	if (job->opt->kind == JOB_LOGIN) {
		ret = session_start(c);
	} else {
		c->next_unit = job->units / job->opt->connections * i;
		c->issuing = true;
	}
	if (ret)
		session_lost(c, ret);
	else
		connection_pump(c);
}

static void start_load(struct client *client)
{
	for (unsigned i = 0; i < client->opt->job_count; i++) {
		struct job *job = client->jobs + i;

		if (job->opt->kind == JOB_IDLE)
			continue;
		for (unsigned j = 0; j < job->opt->connections && !client->broken; j++)
			start_connection(job, j);
	}
}

static unsigned outstanding(const struct client *client)
{
	unsigned n = 0;

	for (unsigned i = 0; i < client->opt->job_count; i++)
		n += client->jobs[i].outstanding;
	return n;
}

static void drain(struct client *client)
{
	uint64_t deadline = now_ns() + PATIENCE_SECONDS * second_ns;

	client->stopping = true;
	while (outstanding(client) && !client->broken && now_ns() < deadline)
		turn_or_wait(client, deadline);
	if (outstanding(client) && !client->broken)
		job_error(client->jobs, "%u commands were never answered", outstanding(client));
}

/* Until all that is counted is done, or as long as asked. */
static void run_load(struct client *client)
{
	if (!client->counted) {
		run_for(client, client->opt->seconds);
		return;
	}
	while (client->counted && !client->broken)
		turn_or_wait(client, now_ns() + second_ns);
}

static void measure(struct client *client, struct measurement *m)
{
	const struct options *opt = client->opt;
	struct thread_list *before = calloc(1, sizeof(*before));
	double cpu = -1, client_cpu;
	uint64_t start;

	if (!client->counted) {
		start_load(client);
		run_for(client, opt->warmup);
	}
	if (opt->target_pid && before) {
		process_threads(opt->target_pid, before);
		cpu = process_cpu(opt->target_pid);
	}
	client_cpu = process_cpu(getpid());
	start = now_ns();
	client->measuring = true;
	if (client->counted)
		start_load(client);
	run_load(client);
	client->measuring = false;
	m->elapsed = (double)(now_ns() - start) / 1e9;
	m->client_cpu = process_cpu(getpid()) - client_cpu;
	if (cpu >= 0) {
		m->target_cpu = process_cpu(opt->target_pid) - cpu;
		process_threads(opt->target_pid, &m->target_threads);
		process_threads_since(&m->target_threads, before);
		m->have_target =
			m->target_cpu >= 0 && !process_memory(opt->target_pid, &m->target_memory);
	}
	free(before);
}

static double cpu_share(struct client *client, double seconds)
{
	double cpu = process_cpu(client->opt->target_pid);
	uint64_t start = now_ns();

	run_for(client, seconds);
	return (process_cpu(client->opt->target_pid) - cpu) * 1e9 / (double)(now_ns() - start);
}

/* The sessions stay, nobody issues anything: how soon does the target rest? */
static void measure_after(struct client *client, struct measurement *m)
{
	m->after_first = cpu_share(client, 1);
	m->after_rest = cpu_share(client, client->opt->after);
	m->have_after = m->have_target;
}

static int open_all(struct client *client, struct measurement *m)
{
	uint64_t start = now_ns();
	int ret = sessions_init(client);

	if (!ret)
		ret = sessions_open(client);
	m->opening = (double)(now_ns() - start) / 1e9;
	for (unsigned i = 0; i < client->opt->job_count && !ret; i++) {
		if (client->jobs[i].opt->kind == JOB_IO)
			ret = job_prepare(client->jobs + i);
	}
	return ret;
}

int client_run(const struct options *opt, struct measurement *m)
{
	struct client client = { .epoll = -1 };
	struct process_memory own = { 0 };
	int ret = client_init(&client, opt, m);

	if (!ret)
		ret = open_all(&client, m);
	if (ret == -ENOMEM)
		fprintf(stderr, "riser-bench: %s\n", strerror(-ret));
	if (!ret) {
		measure(&client, m);
		process_memory(getpid(), &own);
		m->client_rss = own.rss_anon + own.rss_file + own.rss_shmem;
		drain(&client);
		if (opt->after > 0 && !client.broken)
			measure_after(&client, m);
		sessions_logout(&client);
	}
	client_free(&client);
	return ret;
}
