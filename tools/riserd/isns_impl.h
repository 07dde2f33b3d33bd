// SPDX-License-Identifier: BSD-2-Clause
/* What isns.c (when) and isns_run.c (how) share. */
#ifndef RISERD_ISNS_IMPL_H
#define RISERD_ISNS_IMPL_H

#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>

#include "isns.h"

enum { ISNS_ADDRESS_TEXT = INET6_ADDRSTRLEN + 16 };

/* What is served, as riser-isns reads it. */
struct picture {
	struct portal_address server; /* len 0: nobody is told */
	unsigned int target_count, portal_count;
	char first[ISCSI_NAME_MAX + 1]; /* name of the first target */
	char *items; /* owned */
	size_t len;
};

struct isns {
	pthread_t thread;
	int stop; /* eventfd: isns_stop() was called */
	int changed; /* eventfd: there is another picture */
	pthread_mutex_t lock; /* leaf: next */
	struct picture *next; /* owned; NULL: the thread has the last one */
	char program[PATH_MAX + 32];
	/* the thread's */
	bool stopping;
	struct picture *now; /* never NULL once it runs */
	/* What the server has; NULL: nothing yet, or nobody can tell. */
	struct picture *had;
	struct portal_address address; /* of the server that may know us */
	bool known; /* it may have something of us */
	bool registered; /* it has `had` and nothing else */
	bool complained;
	char server[64]; /* as logged */
	char entity[ISCSI_NAME_MAX + 1]; /* the first target that it heard of, as long
                                      as it knows us */
	char said[1024]; /* by riser-isns: the end of it */
	size_t said_len;
};

enum outcome { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_UNKNOWN };

/* Address and port as riser-isns reads them. */
void isns_print_address(const struct sockaddr_storage *ss, char text[2][ISNS_ADDRESS_TEXT]);
/* [the thread] Runs riser-isns; what it says is in said. It is killed after so long; or, when it is
 * interruptible, as soon as riserd stops. UNKNOWN: the server may have heard of it. */
enum outcome isns_run(struct isns *is, const char *verb, int ms, bool interruptible);

#endif
