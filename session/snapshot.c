// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sessions as each reactor sees its own, for whoever lists them, and the end of one that an operator does not
 * want. A reactor copies some sessions per message, so that a thousand of them do not hold up its I/O. When
 * one has ended between two messages it begins anew, since nothing tells which ones it has copied.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/deadline.h"
#include "core/log.h"
#include "session/internal.h"

enum { AT_ONCE = 64, BEGINNINGS = 8 };

struct session_snapshot {
	_Atomic unsigned int users; /* parts that are not complete, and who asked */
	sem_t part_done;
	uint16_t tsih; /* the only one that is wanted; 0: all */
	unsigned int part_count, parts_done;
	struct part {
		struct work work;
		struct session_snapshot *of;
		struct reactor_state *rs;
		unsigned int position; /* in reactor_state.sessions */
		unsigned int beginnings;
		uint64_t sessions_gone; /* when it began */
		struct session_detail *sessions; /* owned */
		unsigned int count, room;
		_Atomic bool complete; /* nobody changes it any more */
	} parts[];
};

static void drop_sessions(struct part *p)
{
	for (unsigned int i = 0; i < p->count; i++)
		free(p->sessions[i].connections);
	free(p->sessions);
	p->sessions = NULL;
	p->count = p->room = p->position = 0;
}

void session_snapshot_put(struct session_snapshot *snapshot)
{
	if (!snapshot || --snapshot->users)
		return;
	for (unsigned int i = 0; i < snapshot->part_count; i++)
		drop_sessions(&snapshot->parts[i]);
	sem_destroy(&snapshot->part_done);
	free(snapshot);
}

/* --- On a reactor */

static void copy_connections(const struct session *s, struct session_detail *d)
{
	unsigned int n = 0;
	struct list *pos;

	list_for_each(pos, &s->conns)
		n++;
	d->connections = calloc(n ? n : 1, sizeof(*d->connections));
	if (!d->connections)
		return;
	list_for_each(pos, &s->conns) {
		const struct iconn *ic = list_entry(pos, struct iconn, session_node);
		struct connection_detail *c = &d->connections[d->connection_count++];

		c->cid = ic->cid;
		c->header_digest = ic->conn->params.header_digest;
		c->data_digest = ic->conn->params.data_digest;
		memcpy(c->peer, ic->conn->peer_name, sizeof(c->peer));
		memcpy(c->local, ic->conn->local_name, sizeof(c->local));
	}
}

static void copy_session(const struct session *s, struct session_detail *d)
{
	const struct login_result *who = &s->who;
	const struct session_stats *st = &s->stats;

	*d = (struct session_detail){
		.tsih = s->tsih,
		.tag = who->portal_group_tag,
		.discovery = who->type == SESSION_DISCOVERY,
		.ending = s->dying,
		.transport = s->transport->name,
		.age_ns = reactor_now(s->rs->reactor) - s->since,
		.reactor = s->rs->reactor->index,
		.error_recovery_level = who->error_recovery_level,
		.outstanding = s->command_count,
		.commands = st->commands,
		.read_bytes = st->read_bytes,
		.write_bytes = st->write_bytes,
		.rejects = st->rejects,
		.task_management = st->tmfs,
		.aborts = st->aborts,
	};
	memcpy(d->isid, who->isid.b, sizeof(d->isid));
	if (who->target)
		snprintf(d->target, sizeof(d->target), "%s", s->nexus.target->name);
	snprintf(d->initiator, sizeof(d->initiator), "%s", who->initiator_name);
	if (who->user)
		snprintf(d->user, sizeof(d->user), "%s", who->user->account.user);
	copy_connections(s, d);
}

static bool make_room(struct part *p)
{
	unsigned int room = p->room ? 2 * p->room : 16;
	struct session_detail *grown;

	if (p->count < p->room)
		return true;
	grown = reallocarray(p->sessions, room, sizeof(*grown));
	if (!grown)
		return false;
	p->sessions = grown;
	p->room = room;
	return true;
}

/* Whether there are more. */
static bool copy_some(struct part *p)
{
	unsigned int skip = p->position, left = AT_ONCE;
	struct list *pos;

	list_for_each(pos, &p->rs->sessions) {
		const struct session *s = list_entry(pos, struct session, reactor_node);

		if (skip) {
			skip--;
			continue;
		}
		if (!left--)
			return true;
		p->position++;
		if (p->of->tsih && p->of->tsih != s->tsih)
			continue;
		if (!make_room(p))
			return false;
		copy_session(s, &p->sessions[p->count++]);
	}
	return false;
}

static void visit(struct work *work)
{
	struct part *p = container_of(work, struct part, work);
	struct session_snapshot *snapshot = p->of;

	if (p->sessions_gone != p->rs->sessions_gone && p->beginnings < BEGINNINGS) {
		drop_sessions(p);
		p->beginnings++;
		p->sessions_gone = p->rs->sessions_gone;
	}
	if (copy_some(p)) {
		reactor_post(p->rs->reactor, &p->work);
		return;
	}
	p->complete = true;
	sem_post(&snapshot->part_done);
	session_snapshot_put(snapshot);
}

/* --- Outside */

int server_snapshot(struct server *server, uint16_t tsih, struct session_snapshot **out)
{
	unsigned int n = server->cfg.reactor_count;
	struct session_snapshot *snapshot =
		calloc(1, sizeof(*snapshot) + n * sizeof(snapshot->parts[0]));

	*out = snapshot;
	if (!snapshot)
		return -ENOMEM;
	sem_init(&snapshot->part_done, 0, 0);
	snapshot->users = n + 1;
	snapshot->part_count = n;
	snapshot->tsih = tsih;
	for (unsigned int i = 0; i < n; i++) {
		struct part *p = &snapshot->parts[i];

		p->of = snapshot;
		p->rs = &server->reactors[i];
		p->work.fn = visit;
		reactor_post(p->rs->reactor, &p->work);
	}
	return 0;
}

unsigned int session_snapshot_wait(struct session_snapshot *snapshot,
				   const struct timespec *deadline)
{
	while (snapshot->parts_done < snapshot->part_count &&
	       (deadline ? deadline_wait(&snapshot->part_done, deadline)
			 : !sem_trywait(&snapshot->part_done)))
		snapshot->parts_done++;
	return snapshot->part_count - snapshot->parts_done;
}

void session_snapshot_each(const struct session_snapshot *snapshot,
			   void (*see)(const struct session_detail *session, void *arg), void *arg)
{
	for (unsigned int i = 0; i < snapshot->part_count; i++) {
		const struct part *p = &snapshot->parts[i];

		for (unsigned int j = 0; p->complete && j < p->count; j++)
			see(&p->sessions[j], arg);
	}
}

/* --- The end of a session */

struct kick {
	struct work work;
	struct reactor_state *rs;
	uint16_t tsih;
};

/* [owner thread of the session, if it is still there] */
static void kick(struct work *work)
{
	struct kick *k = container_of(work, struct kick, work);
	struct list *pos;

	list_for_each(pos, &k->rs->sessions) {
		struct session *s = list_entry(pos, struct session, reactor_node);

		if (s->tsih != k->tsih || s->dying)
			continue;
		log_info("session %u of %s is ended by an operator", s->tsih,
			 s->who.initiator_name);
		event_session(s, session_any_connection(s), SERVER_LOGOUT, "kicked",
			      "the session is ended by an operator");
		async_drop_session(s);
		break;
	}
	free(k);
}

int server_end_session(struct server *server, uint16_t tsih)
{
	struct kick *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->rs = server_home_of(server, tsih);
	k->tsih = tsih;
	k->work.fn = kick;
	if (!k->rs) {
		free(k);
		return -ENOENT;
	}
	reactor_post(k->rs->reactor, &k->work);
	return 0;
}
