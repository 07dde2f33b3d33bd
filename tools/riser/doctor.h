// SPDX-License-Identifier: BSD-2-Clause
/* riser doctor: each check looks at one thing of this machine and says what it has found. */
#ifndef RISER_DOCTOR_H
#define RISER_DOCTOR_H

#include <stddef.h>

#include "riser.h"

enum level { LEVEL_OK, LEVEL_NOTE, LEVEL_WARNING, LEVEL_BAD };

struct doctor {
	struct riser *r;
	const char *root; /* in front of /proc, /sys and disks; "" on a live machine */
	const char *check; /* that runs */
	json_t *status, *portals, *luns,
		*sessions; /* NULL: riserd is not running, or keeps silent */
	const char *const *disks; /* more of them, from the command line */
	unsigned int disk_count;
	json_t *findings;
	enum level worst;
};

/* hint NULL: nothing is to be done. */
void found(struct doctor *d, enum level level, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The first line of a file below root, without its newline; false: there is none. */
bool first_line(const struct doctor *d, const char *path, char *buf, size_t size);
/* Calls visit() for each name in a folder below root but . and ..; how many. */
unsigned int each_entry(const struct doctor *d, const char *path,
			void (*visit)(struct doctor *d, const char *name, void *arg), void *arg);
bool is_there(const struct doctor *d, const char *path);
/* Whether we look at the machine that runs. */
bool is_live(const struct doctor *d);
/* Of riserd; 0: it does not run, or elsewhere. */
int64_t daemon_pid(const struct doctor *d);

void check_riserd(struct doctor *d);
void check_ports(struct doctor *d);
void check_limits(struct doctor *d);
void check_io_uring(struct doctor *d);
void check_rdma(struct doctor *d);
void check_mtu(struct doctor *d);
void check_disks(struct doctor *d);

#endif
