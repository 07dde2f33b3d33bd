// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the parts of riser-bench share: the options, a client with its connections, and results.
 * A client is one thread.
 */
#ifndef RISER_BENCH_BENCH_H
#define RISER_BENCH_BENCH_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "histogram.h"
#include "stream.h"

enum {
	QD_MAX = 1024,
	CONNECTIONS_MAX = 4096,
	BS_MAX = 16 * 1024 * 1024,
};

enum io_direction { IO_READ, IO_WRITE, IO_DIRECTIONS };

struct options {
	char host[256];
	char port[8];
	char target[ISCSI_NAME_MAX + 1];
	uint8_t lun[8]; /* as on the wire */

	bool bare; /* be the bare server */
	unsigned connections;
	unsigned qd;
	uint32_t bs; /* bytes */
	const char *rw; /* the word of --rw */
	bool random;
	unsigned mix; /* percentage of reads */
	double seconds;
	double warmup;
	bool header_digest;
	bool data_digest;
	bool verify;
	bool idle; /* hold `connections` sessions, do nothing */
	int cpu; /* -1: not pinned */
	pid_t target_pid; /* 0: unknown */
	bool json;
};

/* Figures of one process, from /proc. */
struct process_stats {
	double cpu_seconds;
	uint64_t rss_anon; /* bytes */
	uint64_t rss_file;
	uint64_t rss_shmem;
};

struct results {
	double elapsed; /* seconds */
	uint64_t ios[IO_DIRECTIONS];
	uint64_t bytes[IO_DIRECTIONS];
	uint64_t verified; /* blocks whose content was compared */
	uint64_t errors;
	struct histogram latency;
	bool have_target;
	double target_cpu; /* seconds of CPU used while measuring */
	struct process_stats target; /* at the end of the measurement */
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

struct client;

struct connection {
	struct stream stream; /* first: the upcalls get a pointer to it */
	struct client *client;
	struct parameters param;
	unsigned number;
	uint32_t cmdsn;
	uint32_t maxcmdsn;
	uint32_t expstatsn;
	uint32_t itt_generation;
	uint64_t next_unit; /* of a sequential run, in units of bs */
	bool ready; /* may issue I/O */
	bool closing; /* Logout was sent */
	bool closed;
	bool wants_write; /* waits for EPOLLOUT */
	bool ping; /* a NOP-In waits for its answer */
	struct bhs_nop_in nop_in;
	struct task *tasks; /* qd + 1: the last one is for TASK_CONTROL */
	struct task **free_tasks;
	unsigned free_count;
	struct burst *bursts; /* a ring of 2 * qd */
	unsigned burst_head;
	unsigned burst_count;
	uint8_t sense[96]; /* the start of a response's data segment */
};

struct client {
	const struct options *opt;
	struct connection **connections;
	unsigned count;
	unsigned outstanding; /* commands of all connections */
	int epoll;
	bool stopping; /* issue nothing more */
	bool measuring;
	bool broken; /* a connection was lost: the run ends */
	uint64_t now; /* ns; taken once per batch, 0 when the next user has to take it */
	uint64_t random_state;
	uint32_t block_size;
	uint64_t blocks;
	uint64_t units; /* capacity in units of opt->bs */
	uint8_t *payload; /* what writes carry without --verify */
	uint64_t *written; /* --verify: a bit per unit, set when a write of it has ended */
	uint8_t *rx;
	struct results *results;
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* options.c. Exits with status 2 on a bad command line, 0 after --help. */
void options_parse(struct options *opt, int argc, char **argv);

/* login.c. Blocking; says on stderr what failed. A logged-in connection's stream is initialised. */
int login(struct connection *c, const struct addrinfo *address, const struct stream_ops *ops);

/* client.c. Returns 0 when the run took place: errors of single commands are in the results. */
int client_run(const struct options *opt, struct results *results);

/* task.c */
extern const struct stream_ops task_stream_ops;
int tasks_init(struct connection *c);
void tasks_free(struct connection *c);
/* Issues what the queue depth, the command window and the socket allow. Negative errno: it broke. */
int tasks_pump(struct connection *c);
/* Issues one command that reads at most len bytes into buffer; the caller waits for TASK_FREE. */
struct task *task_control(struct connection *c, const uint8_t *cdb, size_t cdb_len, uint8_t *buffer,
			  uint32_t len);
void task_logout(struct connection *c);
/* Counts an error and prints the first few. */
__attribute__((format(printf, 2, 3))) void client_error(struct client *client, const char *fmt,
							...);

/* verify.c: the content that --verify writes and expects, a function of the place on the LU. */
void verify_fill(uint8_t *data, uint64_t offset, uint32_t len);
bool verify_matches(const uint8_t *data, uint64_t offset, uint32_t len);

/* report.c */
int process_stats(pid_t pid, struct process_stats *stats);
void report(const struct options *opt, const struct results *results);

/* bare.c. Serves until a signal; returns an exit status. */
int bare_run(const struct options *opt);

#endif
