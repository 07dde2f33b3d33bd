// SPDX-License-Identifier: BSD-2-Clause
/*
 * What happens, for operators: the last EVENTS_KEPT events, numbered. Who tells one never waits; who reads
 * copies. The lock is a leaf, held for the time of a copy.
 */
#ifndef RISERD_EVENTS_H
#define RISERD_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { EVENTS_KEPT = 1024 };

enum event_type {
	EVENT_LOGIN,
	EVENT_LOGIN_FAILED,
	EVENT_LOGOUT,
	EVENT_SESSION_LOST,
	EVENT_RESET,
	EVENT_PATH,
	EVENT_LUN,
	EVENT_RELOAD,
	EVENT_CONFIG,
	EVENT_JOB,
	EVENT_WARNING,
	EVENT_TYPES,
};

/* "login-failed" */
extern const char *const event_type_names[EVENT_TYPES];

struct event {
	uint64_t seq; /* from 1; set by events_tell() */
	struct timespec time; /* CLOCK_REALTIME; the same */
	enum event_type type;
	char target[224], initiator[224], from[64]; /* empty: none */
	unsigned int session; /* TSIH; 0: none */
	int lun; /* -1: none */
	char reason[48]; /* one word, for machines: "auth-failed"; empty: none */
	char text[256]; /* a sentence, for people */
};

struct events;

struct events *events_new(void); /* NULL: no memory */
void events_free(struct events *events); /* NULL is fine */
/* [any thread] Numbers, dates and keeps it; NULL is fine: nobody listens. Of a type that comes by the hundred
 * some are left out, and the next one says how many. */
void events_tell(struct events *events, const struct event *event);
/* [main thread, before anything is told] Called after each one, on the thread that told it: only wakes. */
void events_set_waker(struct events *events, void (*wake)(void *arg), void *arg);
/* [any thread] The first event after `seq` that is still there. False: there is none. */
bool events_next(struct events *events, uint64_t seq, struct event *out);
/* [any thread] The number of the last one; 0: nothing has happened. */
uint64_t events_last(struct events *events);

#endif
