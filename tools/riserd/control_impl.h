// SPDX-License-Identifier: BSD-2-Clause
/* What the control*.c share. All of it belongs to the control thread, but for what stands under a lock. */
#ifndef RISERD_CONTROL_IMPL_H
#define RISERD_CONTROL_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "control.h"
#include "core/list.h"
#include "rpc_request.h"

struct client;

/* A request that the main thread runs. */
struct main_call {
	struct list
		node; /* control.queued or control.finished, under control.lock; or client.held */
	/* The main thread's between the first two; without a method: what waits is recorded. */
	struct rpc_request request;
	struct client *client; /* NULL: nobody waits any more */
	uint64_t deadline; /* ns */
	bool running; /* under control.lock */
	bool batch; /* what it changes may be recorded later, with the rest of its batch */
	bool unsure; /* and is not yet: it is not answered */
};

/* Bytes on their way to a client. */
struct output {
	char *bytes; /* owned */
	size_t len, sent, size;
};

struct client {
	struct control *control;
	int fd; /* -1: this place is free */
	enum rpc_level level;
	uint64_t line_since; /* ns: its line has begun; 0: none has */
	uint64_t stuck_since; /* ns: it has taken less than it has to since; 0: it has taken all */
	size_t taken; /* bytes, since then */
	uint64_t idle_since; /* ns: it asked last */
	bool closing; /* it gets what there is for it, and no more */
	bool more; /* what it has sent is not through yet */
	bool over; /* it sends nothing any more */
	/* The line being received. */
	char *in; /* owned */
	size_t in_len, in_size;
	size_t seen; /* so much of it has no end of line */
	/* The text being answered. */
	json_t *text; /* owned; NULL: none */
	size_t values; /* in it, about */
	size_t next; /* of a batch: the request that comes next */
	bool opened; /* of a batch: an answer has begun */
	struct main_call *waits; /* for the main thread */
	struct list held; /* of a batch: not answered until what they changed is recorded */
	struct output out;
	/* events.subscribe */
	uint32_t types; /* bit set of enum event_type; 0: not subscribed */
	uint64_t event; /* the last one that was looked at */
	/* trace.start */
	struct capture *capture; /* one of its users; NULL: it traces nothing */
	bool hands_over; /* its descriptor goes with the next bytes */
};

struct control {
	struct rpc_context *context;
	pthread_t thread;
	int listener;
	int wake_fd, main_fd; /* eventfds */
	char *path; /* owned; NULL: the socket is not ours to remove */
	dev_t dev;
	ino_t ino;
	_Atomic bool stopping;
	_Atomic unsigned int subscribers;
	uint64_t deaf_until; /* ns: no descriptors are left to accept with */
	size_t input_bytes, output_bytes, values; /* of all clients */
	struct client clients[CONTROL_CLIENTS];

	pthread_mutex_t lock; /* leaf: */
	struct list queued, finished; /* struct main_call */
};

uint64_t control_now(void); /* ns, CLOCK_MONOTONIC */
/* [any thread] */
void control_wake(struct control *control);

/* control_client.c */
void client_open(struct client *c, struct control *control, int fd, enum rpc_level level);
void client_close(struct client *c);
/* What its socket has for it, or takes: revents. */
void client_event(struct client *c, short revents);
/* poll()'s events, and until when (ns, 0: nothing) something is to be done without any. */
short client_wants(const struct client *c);
uint64_t client_deadline(const struct client *c);
/* Answers what can be answered. */
void client_progress(struct client *c);
void client_expire(struct client *c, uint64_t now);
/* The main thread is through. True: the call is taken. */
bool client_finished(struct client *c, struct main_call *call);

/* control_output.c: what it is told */
size_t client_unsent(const struct client *c);
/* For an answer of this length. What is small is always kept, and a long one whatever its length is when
 * others do not hold too much. */
bool client_has_room(const struct client *c, size_t len);
void client_append(struct client *c, const char *bytes, size_t len);
/* One line. Takes text, which may be NULL. */
void client_say(struct client *c, char *text);
/* The last that it hears. */
void client_refuse(struct client *c, int code, const char *message, const char *hint);
void client_drop_output(struct client *c);
/* As much as it takes; may close it. */
void client_flush(struct client *c);

/* Events that it wants to hear of, as many as it takes. */
void client_tell_events(struct client *c);

/* rpc_events.c: what subscribers get, from malloc(); NULL: no memory */
char *event_notification(const struct event *e);
char *events_lost_notification(uint64_t count);

/* rpc_trace.c */
/* send() without waiting, and with what the client is to be handed over. */
ssize_t trace_send(struct client *c, const void *bytes, size_t len);
void trace_end(struct client *c);

/* control_queue.c: between the threads */
/* Takes the request over. False: no memory. */
bool queue_call(struct client *c, const struct rpc_request *request);
/* The client does not wait any more. True: it was not begun and will not be. What is to be recorded is. */
bool queue_forget(struct client *c);
void queue_free_call(struct main_call *call);
/* Gives clients what the main thread has finished. */
void queue_collect(struct control *control);

#endif
