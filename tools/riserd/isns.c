// SPDX-License-Identifier: BSD-2-Clause
/*
 * Keeps a registration with an iSNS server alive. A thread of its own runs riser-isns, one process
 * for each conversation, with an end in time: whatever a server says or leaves unsaid, and whatever
 * becomes of the library that reads it, riserd has lost a child.
 *
 *   nothing known --register--> registered --refresh, each third of the period--> registered
 *        ^ |                        | |    --update, at once when something changes-->
 *        | +- failed: later again   | +- failed: the same; register, which replaces all, after a change
 *        +---------- deregister ----+      when nothing is served any more, or by another server
 *
 * The main thread hands over pictures of what is served, and never waits for any of this.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/beside.h"
#include "isns_impl.h"

enum {
	ATTEMPT_MS = 12000, /* a conversation */
	STOP_MS = 1500, /* the last one */
	RETRY_MS = 1000, /* after a failure; twice as long after each that follows, up to: */
	RETRY_MAX_MS = 60000,
	REFRESH_MAX_MS = 300000, /* the server may forget us in a restart */
};

/* --- pictures */

static void picture_free(struct picture *p)
{
	if (p)
		free(p->items);
	free(p);
}

static void print_items(FILE *out, const struct config *c, struct picture *p)
{
	char text[2][ISNS_ADDRESS_TEXT];

	for (unsigned int i = 0; i < c->target_count; i++) {
		const struct config_target *t = &c->targets[i];

		fprintf(out, "target %s", t->name);
		for (unsigned int j = 0; j < t->tag_count; j++)
			fprintf(out, " %u", t->tags[j]);
		fputc('\n', out);
		p->target_count++;
	}
	for (unsigned int i = 0; i < c->portal_count; i++) {
		const struct config_portal *portal = &c->portals[i];

		if (!(portal->transports & PORTAL_TCP))
			continue; /* iSNS has no word for what is spoken at a port */
		isns_print_address(&portal->address.addr, text);
		fprintf(out, "portal %s %s %u\n", text[0], text[1], portal->tag);
		p->portal_count++;
	}
}

/* NULL: no memory. */
static struct picture *picture_of(const struct config *c)
{
	struct picture *p = calloc(1, sizeof(*p));
	FILE *out = p ? open_memstream(&p->items, &p->len) : NULL;
	bool bad;

	if (!out) {
		free(p);
		return NULL;
	}
	p->server = c->isns;
	if (c->target_count)
		memcpy(p->first, c->targets[0].name, sizeof(p->first));
	print_items(out, c, p);
	bad = ferror(out);
	if (!fclose(out) && !bad)
		return p;
	picture_free(p);
	return NULL;
}

static bool same_server(const struct portal_address *a, const struct portal_address *b)
{
	return a->len == b->len && (!a->len || config_same_address(a, b));
}

/* The last one that was handed over. */
static void take(struct isns *is)
{
	struct picture *next;
	eventfd_t n;

	eventfd_read(is->changed, &n);
	pthread_mutex_lock(&is->lock);
	next = is->next;
	is->next = NULL;
	pthread_mutex_unlock(&is->lock);
	if (!next)
		return;
	if (is->now && same_server(&is->now->server, &next->server) &&
	    !strcmp(is->now->items, next->items)) {
		picture_free(next);
		return;
	}
	if (is->now != is->had)
		picture_free(is->now);
	is->now = next;
}

/* The server has p, or (NULL) nothing. */
static void set_had(struct isns *is, struct picture *p)
{
	if (is->had != is->now && is->had != p)
		picture_free(is->had);
	is->had = p;
}

/* --- the thread */

/* Its reason is the last line. */
static void log_failure(struct isns *is, enum log_level level)
{
	char text[256];
	size_t end = is->said_len, from;

	while (end && (is->said[end - 1] == '\n' || is->said[end - 1] == ' '))
		end--;
	for (from = end; from && is->said[from - 1] != '\n';)
		from--;
	log_escape(text, sizeof(text), is->said + from, end - from);
	log_write(level, "iSNS server %s: not registered: %s; trying again", is->server,
		  end ? text : "no answer");
}

/* Or until something changes. ms -1: no limit. */
static void rest(struct isns *is, int ms)
{
	struct pollfd fds[] = {
		{ .fd = is->stop, .events = POLLIN },
		{ .fd = is->changed, .events = POLLIN },
	};

	/* A signal shortens it: nothing lost. */
	if (poll(fds, array_size(fds), ms) > 0 && fds[0].revents)
		is->stopping = true;
}

/* ms until the registration is to be refreshed. */
static int refresh_after(const struct isns *is)
{
	const char *said = strstr(is->said, "period ");
	unsigned long period = said ? strtoul(said + strlen("period "), NULL, 10) : 0;

	if (!period || period > REFRESH_MAX_MS / 1000 * 3)
		return REFRESH_MAX_MS;
	return period < 3 ? 1000 : (int)(period * 1000 / 3);
}

/* The server forgets us; last: riserd stops. */
static void leave(struct isns *is, bool last)
{
	enum outcome outcome;

	if (!is->known)
		return;
	outcome = isns_run(is, "deregister", last ? STOP_MS : ATTEMPT_MS, !last);
	if (is->stopping && !last)
		return; /* then it is done again */
	if (outcome == OUTCOME_DONE)
		log_info("iSNS server %s: deregistered", is->server);
	else if (is->registered)
		log_warn("iSNS server %s: not deregistered, it does not answer", is->server);
	is->known = is->registered = is->complained = false;
	set_had(is, NULL);
}

/* The server that is to be told, and the name that it knows us by. False: there is nothing to tell.
 * */
static bool settle(struct isns *is)
{
	const struct picture *now = is->now;

	if (!now->server.len || !now->target_count || !same_server(&now->server, &is->address))
		leave(is, false);
	if (is->stopping || !now->server.len || !now->target_count)
		return false;
	if (!is->known) {
		is->complained &= same_server(&now->server, &is->address);
		is->address = now->server;
		address_format(&is->address.addr, is->server, sizeof(is->server));
		memcpy(is->entity, now->first, sizeof(is->entity));
	}
	return true;
}

static void registered(struct isns *is)
{
	if (!is->registered)
		log_info("iSNS server %s: registered", is->server);
	else if (is->had != is->now)
		log_info("iSNS server %s: has the change: %u target%s, %u portal%s", is->server,
			 is->now->target_count, is->now->target_count == 1 ? "" : "s",
			 is->now->portal_count, is->now->portal_count == 1 ? "" : "s");
	is->registered = true;
	is->complained = false;
	set_had(is, is->now);
}

static const char *verb_for(const struct isns *is)
{
	if (is->had == is->now)
		return "refresh";
	return is->registered ? "update" : "register";
}

/* False: once more, later. */
static bool attempt(struct isns *is)
{
	enum outcome outcome = isns_run(is, verb_for(is), ATTEMPT_MS, true);

	is->known |= outcome != OUTCOME_REFUSED;
	if (is->stopping)
		return false;
	if (outcome == OUTCOME_DONE) {
		registered(is);
		return true;
	}
	log_failure(is, is->complained ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN);
	is->complained = true;
	is->registered = false;
	return false;
}

static void *keep_registered(void *arg)
{
	struct isns *is = arg;
	const struct picture *tried = NULL;
	int retry = RETRY_MS;

	while (!is->stopping) {
		take(is);
		if (is->now != tried)
			retry = RETRY_MS;
		tried = is->now;
		if (!settle(is)) {
			rest(is, -1);
		} else if (attempt(is)) {
			retry = RETRY_MS;
			rest(is, refresh_after(is));
		} else if (!is->stopping) {
			rest(is, retry);
			retry = retry * 2 < RETRY_MAX_MS ? retry * 2 : RETRY_MAX_MS;
		}
	}
	leave(is, true);
	return NULL;
}

/* --- the main thread */

static int start(struct isns *is)
{
	int err;

	is->stop = eventfd(0, EFD_CLOEXEC);
	is->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = is->stop < 0 || is->changed < 0 ? -errno : 0;
	if (!err)
		err = -pthread_create(&is->thread, NULL, keep_registered, is);
	if (err && is->stop >= 0)
		close(is->stop);
	if (err && is->changed >= 0)
		close(is->changed);
	return err;
}

/* Takes the picture, also when it fails. */
static int create(struct picture *p, struct isns **out)
{
	struct isns *is = calloc(1, sizeof(*is));
	int err = -ENOMEM;

	if (is && !find_beside("riser-isns", X_OK, is->program, sizeof(is->program))) {
		log_error("iSNS (--isns, isns =): riser-isns is neither beside riserd nor in "
			  "../lib/riser: nobody is registered");
		err = -ENOENT;
	} else if (is) {
		/* Who started us may ignore it: then nobody could learn how a child has ended. */
		signal(SIGCHLD, SIG_DFL);
		pthread_mutex_init(&is->lock, NULL);
		is->next = p;
		err = start(is);
		if (!err) {
			*out = is;
			return 0;
		}
		pthread_mutex_destroy(&is->lock);
	}
	if (err != -ENOENT)
		log_error("iSNS (--isns, isns =): %s", strerror(-err));
	picture_free(p);
	free(is);
	return err;
}

static void hand_over(struct isns *is, struct picture *p)
{
	struct picture *old;

	pthread_mutex_lock(&is->lock);
	old = is->next;
	is->next = p;
	pthread_mutex_unlock(&is->lock);
	picture_free(old);
	eventfd_write(is->changed, 1);
}

int isns_update(struct isns **isns, const struct config *c)
{
	struct picture *p;

	if (!*isns && !c->isns.len)
		return 0;
	p = picture_of(c);
	if (!p) {
		log_error(
			"iSNS: out of memory: the server does not hear of what is served by now; the next "
			"change tells it");
		return -ENOMEM;
	}
	if (!*isns)
		return create(p, isns);
	hand_over(*isns, p);
	return 0;
}

void isns_stop(struct isns *is)
{
	if (is)
		eventfd_write(is->stop, 1);
}

void isns_join(struct isns *is)
{
	if (!is)
		return;
	pthread_join(is->thread, NULL);
	set_had(is, NULL);
	picture_free(is->now);
	picture_free(is->next);
	pthread_mutex_destroy(&is->lock);
	close(is->stop);
	close(is->changed);
	free(is);
}
