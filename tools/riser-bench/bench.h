// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the parts of riser-bench share: the options, a client with its jobs and connections, and
 * results. A client is one thread.
 */
#ifndef RISER_BENCH_BENCH_H
#define RISER_BENCH_BENCH_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "histogram.h"
#include "process.h"
#include "stream.h"

enum {
	QD_MAX = 1024,
	CONNECTIONS_MAX = 20000,
	JOBS_MAX = 8,
	BS_MAX = 16 * 1024 * 1024,
};

enum io_direction { IO_READ, IO_WRITE, IO_DIRECTIONS };

enum job_kind {
	JOB_IO,
	JOB_IDLE, /* sessions that do nothing */
	JOB_LOGIN, /* connections that log in and out */
};

/* One workload: what the command line says, or one --job. */
struct job_options {
	char host[256];
	char port[8];
	char target[ISCSI_NAME_MAX + 1];
	uint8_t lun[8]; /* as on the wire */
	enum job_kind kind;
	unsigned connections;
	unsigned qd;
	uint32_t bs; /* bytes */
	const char *rw; /* the word of --rw, "idle" or "login" */
	bool random;
	unsigned mix; /* percentage of reads */
	uint64_t count; /* commands; 0: as many as fit into the time */
	bool header_digest;
	bool data_digest;
	bool verify;
};

struct options {
	bool bare; /* be the bare server */
	char port[8]; /* where it listens */
	uint64_t memory; /* bytes of its disk; 0: it has none */
	double seconds;
	double warmup;
	double after; /* 0: not */
	unsigned opening; /* logins in flight while sessions are opened */
	uint64_t spin_ns; /* before sleeping */
	int cpu; /* -1: not pinned */
	pid_t target_pid; /* 0: unknown */
	bool json;
	bool several; /* --job was given */
	unsigned job_count;
	struct job_options jobs[JOBS_MAX];
};

/* What one job did while measuring; verified and errors: over the whole run. */
struct results {
	uint64_t ios[IO_DIRECTIONS];
	uint64_t bytes[IO_DIRECTIONS];
	uint64_t logins;
	uint64_t verified; /* blocks whose content was compared */
	uint64_t errors;
	struct histogram latency; /* of commands, or of logins */
};

/* The run as a whole. Without a target, or when it has gone, have_target is false. */
struct measurement {
	double opening; /* seconds until all sessions were there */
	double elapsed; /* seconds of measuring */
	double client_cpu; /* seconds of CPU used while measuring */
	uint64_t client_rss; /* bytes */
	bool have_target;
	double target_cpu;
	struct process_memory target_memory; /* at the end of the measurement */
	struct thread_list target_threads; /* what each used while measuring */
	bool have_after;
	double after_first; /* fraction of a CPU that the target used in the first second */
	double after_rest; /* and in the time after that */
	struct results results[JOBS_MAX];
};

enum task_kind { TASK_FREE, TASK_READ, TASK_WRITE, TASK_CONTROL };

/* One command on its way. Its place in connection.tasks is in the low bits of its ITT. */
struct task {
	enum task_kind kind;
	bool compare; /* the data read is known */
	bool bad; /* an error was counted for it */
	uint8_t status; /* TASK_CONTROL: filled when it ends */
	uint32_t itt;
	uint32_t len; /* bytes */
	uint32_t got; /* bytes of Data-In */
	uint64_t offset; /* bytes from the start of the LU */
	uint64_t start; /* ns */
	uint8_t *buffer; /* writes with --verify, TASK_CONTROL data */
};

/* Data-Out to send: the answer to an R2T, or unsolicited data. Outlives a task that fails early. */
struct burst {
	const uint8_t *buffer; /* the task's, or NULL */
	uint32_t itt;
	uint32_t ttt;
	uint32_t offset;
	uint32_t end;
	uint32_t datasn;
};

/* What login ended with, RFC 7143 section 13. */
struct parameters {
	uint32_t max_send; /* the target's MaxRecvDataSegmentLength */
	uint32_t first_burst;
	uint32_t max_burst;
	bool immediate_data;
	bool initial_r2t;
	bool header_digest;
	bool data_digest;
};

enum session_state {
	SESSION_NONE, /* no socket */
	SESSION_CONNECTING,
	SESSION_LOGIN,
	SESSION_CHECK, /* TEST UNIT READY until the LUN is ready */
	SESSION_OPEN,
	SESSION_LOGOUT, /* Logout was sent */
	SESSION_LEFT, /* and answered: the target closes */
};

struct client;
struct job;
struct login;

struct connection {
	struct stream stream; /* first: the upcalls get a pointer to it */
	struct client *client;
	struct job *job;
	enum session_state state;
	bool wants_write; /* waits for EPOLLOUT */
	bool issuing; /* may issue I/O */
	bool ping; /* a NOP-In waits for its answer */
	uint8_t checks; /* TEST UNIT READYs so far */
	unsigned number;
	unsigned qd;
	uint32_t cmdsn;
	uint32_t maxcmdsn;
	uint32_t expstatsn;
	uint32_t itt_generation;
	struct parameters param;
	uint64_t next_unit; /* of a sequential run, in units of bs */
	uint64_t login_start; /* ns */
	struct login *login; /* while logging in */
	struct task *tasks; /* qd + 1: the last one is for TASK_CONTROL */
	struct task **free_tasks;
	unsigned free_count;
	unsigned burst_head;
	unsigned burst_count;
	struct burst *bursts; /* a ring of 2 * qd */
	struct bhs_nop_in nop_in;
	uint8_t sense[96]; /* the start of a response's data segment */
};

struct job {
	const struct job_options *opt;
	struct client *client;
	struct results *results;
	struct addrinfo *address;
	struct connection *connections;
	unsigned outstanding; /* commands of all connections */
	uint64_t issued;
	unsigned block_shift; /* log2 of the block size */
	uint64_t units; /* capacity in units of bs */
	uint8_t *payload; /* what writes carry without --verify */
	uint64_t *written; /* --verify: a bit per unit, set when a write of it has ended */
};

struct client {
	const struct options *opt;
	struct job jobs[JOBS_MAX];
	unsigned count; /* connections of all jobs */
	unsigned opening; /* sessions on their way to SESSION_OPEN */
	unsigned counted; /* jobs with --count that are not done */
	unsigned errors; /* of all jobs */
	int epoll;
	bool stopping; /* issue nothing more */
	bool measuring;
	bool broken; /* a connection was lost: the run ends */
	uint64_t now; /* ns; taken once per batch, 0 when the next user has to take it */
	uint64_t random_state;
	uint8_t *rx;
	struct stream_pool pool;
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t client_now(struct client *client)
{
	if (!client->now)
		client->now = now_ns();
	return client->now;
}

/* options.c. Exits with status 2 on a bad command line, 0 after --help. */
void options_parse(struct options *opt, int argc, char **argv);

/* client.c. Returns 0 when the run took place: errors of single commands are in the results. */
int client_run(const struct options *opt, struct measurement *m);
/* One turn over the sockets. Returns the number that had something. */
int client_turn(struct client *client, int timeout_ms);
/* Sends what a connection may send now. */
void connection_pump(struct connection *c);
/* How long epoll may sleep. */
int until_ms(uint64_t deadline, uint64_t now);
/* Counts an error and prints the first few. */
__attribute__((format(printf, 2, 3))) void job_error(struct job *job, const char *fmt, ...);

/*
 * session.c: the life of a connection. What returns an int runs inside stream_receive() or in its
 * place: a negative errno is for session_lost().
 */
int sessions_init(struct client *client);
void sessions_free(struct client *client);
/* Opens all of them, a few at a time. Says on stderr what failed. */
int sessions_open(struct client *client);
/* Starts to connect. For connections without a socket. */
int session_start(struct connection *c);
int session_connected(struct connection *c);
int session_logged_in(struct connection *c);
int session_checked(struct connection *c, uint8_t status);
/* The socket is closed, or to be closed: as expected after Logout, or as an error. */
void session_lost(struct connection *c, int error);
void sessions_logout(struct client *client);

/* login.c: makes the login of a connected socket, from its first request on. */
int login_start(struct connection *c);
void login_free(struct connection *c);

/* task.c */
extern const struct stream_ops task_stream_ops;
int tasks_init(struct connection *c);
void tasks_free(struct connection *c);
/* All tasks of a connection are free again: before it is used for a new session. */
void tasks_reset(struct connection *c);
/* Issues what the queue depth, the command window and the socket allow. Negative errno: it broke. */
int tasks_pump(struct connection *c);
/* Queues one command that reads at most len bytes into buffer; it has ended when it is TASK_FREE. */
struct task *task_control(struct connection *c, const uint8_t *cdb, size_t cdb_len, uint8_t *buffer,
			  uint32_t len);
void task_logout(struct connection *c);

/* verify.c: the content that --verify writes and expects, a function of the place on the LU. */
void verify_fill(uint8_t *data, uint64_t offset, uint32_t len);
bool verify_matches(const uint8_t *data, uint64_t offset, uint32_t len);

/* report.c */
void report(const struct options *opt, const struct measurement *m);

/* bare.c. Serves until a signal; returns an exit status. */
int bare_run(const struct options *opt);

#endif
