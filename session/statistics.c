// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the server counts, by reactor, transport and session, and how the log tells it. Every
 * reactor counts and tells its own.
 */
#include <stdatomic.h>

#include "core/log.h"
#include "session/internal.h"

/* NULL: more transports than there is room for. */
static struct traffic *find(struct reactor_state *rs, const struct transport_ops *transport)
{
	for (unsigned int i = 0; i < TRANSPORTS_MAX; i++) {
		struct traffic *t = &rs->traffic[i];

		if (!t->transport)
			t->transport = transport;
		if (t->transport == transport)
			return t;
	}
	return NULL;
}

void traffic_opened(struct reactor_state *rs, const struct conn *conn)
{
	struct traffic *t = find(rs, conn->ops);

	if (t)
		stat_add(&t->open, 1);
}

void traffic_look(struct iconn *ic)
{
	struct traffic *t = find(ic->rs, ic->conn->ops);
	uint64_t copied = ic->conn->bytes_copied;

	if (t)
		stat_add(&t->bytes_copied, copied - ic->copied);
	ic->copied = copied;
}

void traffic_closed(struct iconn *ic)
{
	struct traffic *t = find(ic->rs, ic->conn->ops);

	if (!t)
		return;
	stat_add(&t->open, UINT64_MAX); /* one less */
	if (ic->moved)
		return;
	traffic_look(ic);
	stat_add(&t->closed, 1);
}

void traffic_of_session(const struct session *s)
{
	struct traffic *t = find(s->rs, s->transport);

	if (!t)
		return;
	stat_add(&t->read_bytes, s->stats.read_bytes);
	stat_add(&t->write_bytes, s->stats.write_bytes);
}

static void log_transport(struct reactor_state *rs, const struct traffic *t)
{
	uint64_t read_bytes = t->read_bytes, write_bytes = t->write_bytes, closed = t->closed;
	struct list *pos;

	list_for_each(pos, &rs->connections) {
		struct iconn *ic = list_entry(pos, struct iconn, node);

		if (ic->conn->ops == t->transport)
			traffic_look(ic);
	}
	list_for_each(pos, &rs->sessions) {
		const struct session *s = list_entry(pos, struct session, reactor_node);

		if (s->transport != t->transport)
			continue;
		read_bytes += s->stats.read_bytes;
		write_bytes += s->stats.write_bytes;
	}
	log_info("reactor %u over %s: %lu connections, %lu of them closed, %lu bytes read, "
		 "%lu bytes written, %lu bytes copied",
		 rs->reactor->index, t->transport->name, closed + t->open, closed, read_bytes,
		 write_bytes, t->bytes_copied);
}

static uint64_t copied(const struct session *s)
{
	uint64_t bytes = s->stats.bytes_copied;
	struct list *pos;

	list_for_each(pos, &s->conns)
		bytes += list_entry(pos, struct iconn, session_node)->conn->bytes_copied;
	return bytes;
}

static void log_session(const struct session *s)
{
	const struct session_stats *st = &s->stats;
	const struct iconn *ic = session_any_connection(s);

	log_info("session %u: %s from %s over %s on reactor %u: %lu commands, %lu bytes read, "
		 "%lu bytes written, %lu bytes copied, %lu rejects, "
		 "%lu task management functions, %lu aborts",
		 s->tsih, s->who.initiator_name, ic ? ic->conn->peer_name : "nowhere",
		 s->transport->name, s->rs->reactor->index, st->commands, st->read_bytes,
		 st->write_bytes, copied(s), st->rejects, st->tmfs, st->aborts);
}

void log_statistics(struct work *work)
{
	struct reactor_state *rs = container_of(work, struct reactor_state, statistics_work);
	const struct reactor_stats *r = &rs->reactor->stats;
	struct list *pos;

	rs->statistics_posted = false;
	log_info("reactor %u: %lu turns, %lu sleeps, %lu completions, %lu messages, "
		 "%lu bytes copied",
		 rs->reactor->index, r->turns, r->sleeps, r->completions, r->messages,
		 r->bytes_copied);
	for (unsigned int i = 0; i < TRANSPORTS_MAX && rs->traffic[i].transport; i++)
		log_transport(rs, &rs->traffic[i]);
	list_for_each(pos, &rs->sessions)
		log_session(list_entry(pos, struct session, reactor_node));
}

void server_log_statistics(struct server *s)
{
	for (unsigned int i = 0; i < s->cfg.reactor_count; i++)
		if (!atomic_exchange(&s->reactors[i].statistics_posted, true))
			reactor_post(s->cfg.reactors[i], &s->reactors[i].statistics_work);
}
