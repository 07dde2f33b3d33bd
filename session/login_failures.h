// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who fails to log in, by address: whoever tries out secrets or names is answered late, so that a
 * guess costs time. Only answers that refuse are late; a login that succeeds never waits here.
 * IPv6 addresses count by their /64: that is what one host may have all of.
 */
#ifndef RISER_SESSION_LOGIN_FAILURES_H
#define RISER_SESSION_LOGIN_FAILURES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	LOGIN_FAILURES_ADDRESSES = 256, /* that are remembered: those that failed last */
	LOGIN_FAILURES_MAX = 32, /* the most that may be free */
	LOGIN_FAILURES_WINDOW_S = 60, /* a failure counts so long; also from log line to log line */
	LOGIN_FAILURES_DELAY_S = 2,
};

struct failing_address {
	uint8_t key[16]; /* family, address or its first half, scope; all zero: unused */
	uint64_t last; /* ns: the last failure */
	uint64_t told; /* ns: the last log line about the address, if it was ever told of */
	bool ever_told;
	uint32_t untold; /* failures since then */
	uint64_t at[LOGIN_FAILURES_MAX]; /* ns: the last ones, a ring */
	uint32_t count; /* ever; count % LOGIN_FAILURES_MAX is the next place in the ring */
};

struct login_failures {
	pthread_mutex_t lock; /* leaf */
	struct failing_address address[LOGIN_FAILURES_ADDRESSES];
};

struct login_failure {
	uint64_t delay; /* ns until the answer may go; 0: at once */
	/* What the log says of a late one: 0: nothing; else so many since it last said something. */
	uint32_t tell;
};

void login_failures_init(struct login_failures *f);
void login_failures_destroy(struct login_failures *f);
/* [any thread] A login from peer is refused at now (ns, any clock that does not go back). free: so
 * many within LOGIN_FAILURES_WINDOW_S are answered at once, at most LOGIN_FAILURES_MAX; 0: all. */
struct login_failure login_failures_add(struct login_failures *f,
					const struct sockaddr_storage *peer, uint32_t free,
					uint64_t now);

#endif
