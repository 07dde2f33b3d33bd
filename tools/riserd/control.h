// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control socket: JSON-RPC 2.0, one text per line, see riser-rpc(7). A thread of its own speaks to
 * clients; it never waits for a disk, and no reactor ever waits for it.
 *
 *	control thread   accepts, reads, checks, calls RPC_CONTROL methods, writes
 *	main thread      control_run_main(): RPC_MAIN methods, one after the other with reloads
 */
#ifndef RISERD_CONTROL_H
#define RISERD_CONTROL_H

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

#include "events.h"
#include "lu.h"
#include "rpc.h"

#define CONTROL_FOLDER "/run/riser"
#define CONTROL_SOCKET CONTROL_FOLDER "/control.sock"

enum {
	CONTROL_CLIENTS = 64,
	CONTROL_ADMIN_CLIENTS = 8, /* of them: never for monitors */
	CONTROL_REQUEST_MAX = 4 << 20, /* bytes of one line */
	CONTROL_INPUT_MAX = 32 << 20, /* bytes of all lines that are not complete */
	CONTROL_BATCH_MAX = 256, /* requests in one batch */
	CONTROL_OUTPUT_LOW =
		256 << 10, /* bytes unread by a client: beyond it no more is done for it */
	CONTROL_OUTPUT_SMALL = 2 * CONTROL_OUTPUT_LOW, /* what waits for a client and is not long */
	CONTROL_OUTPUT_MAX =
		32 << 20, /* bytes of long answers unread by others: beyond it no more are
	                                * kept, but for administrators, who have twice as much */
	CONTROL_VALUES_MAX =
		1000000, /* in long requests that are not through: each takes some 100 bytes */
	CONTROL_LINE_S = 10, /* a line that has begun is complete by then */
	CONTROL_WRITE_S = 30, /* in so long a client takes what there is for it, or at least */
	CONTROL_WRITE_MIN = 64 << 10, /* so many bytes, or it is left */
	CONTROL_IDLE_S = 60, /* may be left in favour of a new one */
	CONTROL_MAIN_S =
		60, /* the main thread has answered by then, or the client hears that it has not */
	CONTROL_CLEAR_S = 10, /* the store has taken note that reservations are gone */
	CONTROL_SNAPSHOT_MS = 500, /* reactors have told of their sessions by then; */
	CONTROL_HANGS_MS = 10000, /* for so long after one has not, others get only */
	CONTROL_SHORT_MS = 50, /* this much time: it is all clients who wait */
};

struct control;
struct images; /* image.h */

/* What methods know of the daemon. Everything in it lives until control_stop() has returned. */
struct rpc_context {
	struct live *live; /* NULL in tests of the socket alone */
	struct changes *changes; /* main thread; NULL in those tests */
	struct slab *slab;
	struct reactor **reactors;
	unsigned int reactor_count;
	struct events *events;
	const char *config_file; /* NULL: the command line */
	const char *state_file; /* NULL: none */
	struct timespec started; /* CLOCK_REALTIME */
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	/* The last change of what runs. Under `lock`, which nobody holds for long. */
	pthread_mutex_t lock;
	struct {
		bool ever, ok;
		struct timespec time; /* CLOCK_REALTIME */
		char message[512];
	} last_reload;
	/* While the reactors do not run by themselves (tests): makes them turn; NULL: they run. */
	void (*turn)(void *arg);
	void *turn_arg;
	struct control *control; /* NULL: there is none */
	struct images *images; /* NULL in tests */
	struct timespec
		hangs_until; /* [control thread] CLOCK_MONOTONIC: a reactor did not answer lately */
};

/* [main thread] Remembers how a reload has ended, and tells it as an event. */
void rpc_reloaded(struct rpc_context *context, bool ok, const char *message);

/* [any reactor] server_config.event; arg: struct events. */
void events_of_server(const struct server_event *what, void *arg);
/* [any thread] lu_watch_operations(); arg: struct events. */
void events_of_operation(const struct lu_operation *o, void *arg);
/* log_observe(); arg: struct events. */
void events_of_log(const char *text, void *arg);
const char *rpc_log_level(void); /* rpc_log.c */
const char *rpc_job_kind(const struct lu_operation *o); /* rpc_job.c: "sanitize" */

struct control_config {
	const char *path; /* of the socket */
	int fd; /* it listens already; -1: it is to be made */
	bool optional; /* without it a warning is enough */
	struct rpc_context *context; /* borrowed */
};

/* [main thread] Listens and starts the thread. -errno, and the log has said why. */
int control_start(const struct control_config *cfg, struct control **out);
/* [main thread] No more requests; what clients were told is sent, and the socket is gone. NULL is fine. */
void control_stop(struct control *control);
/* Readable when control_run_main() has something to do. -1: control is NULL. */
int control_main_fd(const struct control *control);
/* [main thread] Runs one method that waits for it: who has more to do, such as a signal, need not wait for
 * all. */
void control_run_main(struct control *control);

/* control_access.c: who the peer of this socket is. False: nobody who may do anything. */
bool control_peer_level(struct rpc_context *context, int fd, enum rpc_level *level, uid_t *uid);
/* How somebody who may not comes to this level: the group to join, as `usermod -aG GROUP USER`, USER standing
 * for whoever it is. Returns hint. [control thread, main thread] */
const char *control_way_in(const struct rpc_context *context, enum rpc_level level, char *hint,
			   size_t size);
/* control_listen.c: -errno with a line in why. Takes the place of a socket that nobody listens on. */
int control_listen(const char *path, int *fd, char *why, size_t why_size);

#endif
