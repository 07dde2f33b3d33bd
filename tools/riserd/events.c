// SPDX-License-Identifier: BSD-2-Clause
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"

const char *const event_type_names[EVENT_TYPES] = {
	[EVENT_LOGIN] = "login",     [EVENT_LOGIN_FAILED] = "login-failed",
	[EVENT_LOGOUT] = "logout",   [EVENT_SESSION_LOST] = "session-lost",
	[EVENT_RESET] = "reset",     [EVENT_PATH] = "path",
	[EVENT_LUN] = "lun",	     [EVENT_RELOAD] = "reload",
	[EVENT_CONFIG] = "config",   [EVENT_JOB] = "job",
	[EVENT_WARNING] = "warning",
};

enum { BURST = 128, PER_SECOND = 16 };

/* So that who tries to log in all day does not push everything else out. */
struct allowance {
	double tokens;
	struct timespec at;
	uint64_t left_out;
};

struct events {
	pthread_mutex_t lock; /* leaf: guards the rest */
	uint64_t last;
	struct allowance allowances[EVENT_TYPES];
	void (*wake)(void *arg);
	void *wake_arg;
	struct event kept[EVENTS_KEPT]; /* number n is at n % EVENTS_KEPT */
};

struct events *events_new(void)
{
	struct events *events = calloc(1, sizeof(*events));

	if (events && pthread_mutex_init(&events->lock, NULL)) {
		free(events);
		return NULL;
	}
	for (unsigned int i = 0; events && i < EVENT_TYPES; i++)
		events->allowances[i].tokens = BURST;
	return events;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	pthread_mutex_destroy(&events->lock);
	free(events);
}

void events_set_waker(struct events *events, void (*wake)(void *arg), void *arg)
{
	pthread_mutex_lock(&events->lock);
	events->wake = wake;
	events->wake_arg = arg;
	pthread_mutex_unlock(&events->lock);
}

static bool take(struct allowance *a)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	a->tokens += PER_SECOND * ((double)(now.tv_sec - a->at.tv_sec) +
				   (double)(now.tv_nsec - a->at.tv_nsec) / 1e9);
	a->at = now;
	if (a->tokens > BURST)
		a->tokens = BURST;
	if (a->tokens < 1) {
		a->left_out++;
		return false;
	}
	a->tokens--;
	return true;
}

static void keep(struct events *events, const struct event *event)
{
	struct allowance *a = &events->allowances[event->type];
	struct event *e = &events->kept[++events->last % EVENTS_KEPT];
	size_t used;

	*e = *event;
	e->seq = events->last;
	clock_gettime(CLOCK_REALTIME, &e->time);
	if (!a->left_out)
		return;
	used = strlen(e->text);
	snprintf(e->text + used, sizeof(e->text) - used, " (%llu more like it were left out)",
		 (unsigned long long)a->left_out);
	a->left_out = 0;
}

void events_tell(struct events *events, const struct event *event)
{
	if (!events)
		return;
	pthread_mutex_lock(&events->lock);
	if (take(&events->allowances[event->type])) {
		keep(events, event);
		if (events->wake)
			events->wake(events->wake_arg);
	}
	pthread_mutex_unlock(&events->lock);
}

bool events_next(struct events *events, uint64_t seq, struct event *out)
{
	bool found;

	pthread_mutex_lock(&events->lock);
	if (events->last > EVENTS_KEPT && seq < events->last - EVENTS_KEPT)
		seq = events->last - EVENTS_KEPT;
	found = seq < events->last;
	if (found)
		*out = events->kept[(seq + 1) % EVENTS_KEPT];
	pthread_mutex_unlock(&events->lock);
	return found;
}

uint64_t events_last(struct events *events)
{
	uint64_t last;

	pthread_mutex_lock(&events->lock);
	last = events->last;
	pthread_mutex_unlock(&events->lock);
	return last;
}
