// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asynchronous Messages (RFC 7143 11.9): what the initiator learns without having asked. Each takes a
 * StatSN of the connection that carries it. They are news, not answers: when there is no memory for one
 * it is left out, and what it says comes another way (a unit attention, the end of the connection).
 *
 *   event                    sent on                       by
 *   SCSI                     one connection of a session   server_lun_event(): units that come, go, grow
 *   logout request           the connection it asks for    the orderly stop
 *   connection is dropped    those that stay; when there   async_drop()
 *                            is none, the one that goes
 *   session is dropped       all of them                   the orderly stop, TARGET COLD RESET,
 *                                                          async_drop() below recovery level 2
 *   negotiation request      the connection                async_event()
 *
 * Event 5 belongs to TaskReporting=FastAbort, which is not offered.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "session/internal.h"

enum { SENSE_LENGTH_FIELD = 2 };
/* Over RDMA an initiator has 128 bytes for what it did not ask for. */
static_assert(SENSE_LENGTH_FIELD + SENSE_MAX <= 128, "sense data fits everywhere");

/* SenseLength, the sense data (11.9.4). */
static bool add_sense(struct reply *rp, const void *sense, uint32_t len)
{
	uint8_t data[SENSE_LENGTH_FIELD + SENSE_MAX];

	if (!len)
		return true;
	assert(len <= SENSE_MAX);
	data[0] = 0;
	data[1] = (uint8_t)len;
	memcpy(data + SENSE_LENGTH_FIELD, sense, len);
	return reply_data(rp, data, SENSE_LENGTH_FIELD + len);
}

static void send_async(struct iconn *ic, const struct bhs_async *what, const void *sense,
		       uint32_t len)
{
	struct reply *rp;

	if (!iconn_up(ic))
		return;
	rp = reply_new(ic, OP_ASYNC);
	if (!rp)
		return;
	if (!add_sense(rp, sense, len)) {
		pool_put(&ic->rs->replies, rp);
		return;
	}
	memcpy(rp->tx.h.async.lun, what->lun, sizeof(what->lun));
	rp->tx.h.async.tag = be32_of(TAG_NONE);
	rp->tx.h.async.event = what->event;
	rp->tx.h.async.vcode = what->vcode;
	memcpy(rp->tx.h.async.parameter, what->parameter, sizeof(what->parameter));
	reply_send(rp, true);
}

void async_event(struct iconn *ic, uint8_t event, uint8_t vcode, uint16_t p1, uint16_t p2,
		 uint16_t p3, const void *sense, uint32_t len)
{
	struct bhs_async what = { .event = event,
				  .vcode = vcode,
				  .parameter = { be16_of(p1), be16_of(p2), be16_of(p3) } };

	send_async(ic, &what, sense, len);
	if (event == ASYNC_LOGOUT_REQUEST && iconn_up(ic))
		iconn_event(ic, CONN_EV_ASK_LOGOUT);
}

void async_to_session(struct session *s, uint8_t event, uint16_t p1, uint16_t p2, uint16_t p3)
{
	struct list *pos;

	list_for_each(pos, &s->conns)
		async_event(list_entry(pos, struct iconn, session_node), event, 0, p1, p2, p3, NULL,
			    0);
}

static struct iconn *another_connection(const struct session *s, const struct iconn *but)
{
	struct list *pos;

	list_for_each(pos, &s->conns) {
		struct iconn *ic = list_entry(pos, struct iconn, session_node);

		if (ic != but && iconn_up(ic))
			return ic;
	}
	return NULL;
}

/* Below error recovery level 2 a session does not outlive any of its connections. Time2Wait and
 * Time2Retain are those of the negotiation; both fit in 16 bits. */
void async_drop(struct iconn *ic)
{
	struct session *s = ic->session;
	struct iconn *other = s ? another_connection(s, ic) : NULL;

	if (other && s->who.error_recovery_level < 2) {
		iconn_close(ic, false);
		async_drop_session(s);
		return;
	}
	if (s)
		async_event(other ? other : ic, ASYNC_DROP_CONNECTION, 0, ic->cid,
			    (uint16_t)s->who.time2wait, (uint16_t)s->who.time2retain, NULL, 0);
	iconn_close(ic, s && !other);
}

void async_drop_session(struct session *s)
{
	async_to_session(s, ASYNC_DROP_SESSION, 0, (uint16_t)s->who.time2wait, 0);
	session_end(s, SESSION_EV_CLOSED, true);
}

/* --- Events of units */

/* One event on its way to every reactor; the last of them frees it. */
struct lun_event {
	struct scsi_target *target;
	struct bhs_async what;
	enum unit_attention ua;
	uint8_t sense[SENSE_MAX];
	uint32_t sense_len;
	_Atomic unsigned int pending;
	struct lun_visit {
		struct work work;
		struct lun_event *event;
		struct reactor_state *rs;
	} visits[];
};

/* The commands of a nexus are told on every unit, whichever comes first (SPC 5.13). */
static void raise_luns_changed(struct session *s)
{
	for (unsigned int i = 0; i < TARGET_LUNS; i++) {
		const struct lu *lu = s->nexus.target->lun[i]; /* which may leave meanwhile */

		if (lu)
			nexus_raise_ua(&s->nexus, lu, UA_LUNS_CHANGED);
	}
}

void async_luns_changed(struct session *s, unsigned int lun)
{
	struct bhs_async what = { .event = ASYNC_SCSI, .lun = { 0, (uint8_t)lun } };
	const struct lu *lu = s->nexus.target->lun[lun];
	struct iconn *ic = session_any_connection(s);
	uint8_t sense[SENSE_MAX];

	if (ic)
		send_async(ic, &what, sense, unit_attention_sense(lu, UA_LUNS_CHANGED, sense));
}

/* [each reactor] */
static void visit(struct work *work)
{
	struct lun_visit *v = container_of(work, struct lun_visit, work);
	struct lun_event *e = v->event;
	struct list *pos;

	list_for_each(pos, &v->rs->sessions) {
		struct session *s = list_entry(pos, struct session, reactor_node);
		struct iconn *ic = session_any_connection(s);

		if (s->who.type != SESSION_NORMAL || s->nexus.target != e->target ||
		    !nexus_sees(&s->nexus, e->what.lun[1]))
			continue;
		if (e->ua == UA_LUNS_CHANGED)
			raise_luns_changed(s);
		if (ic)
			send_async(ic, &e->what, e->sense, e->sense_len);
	}
	if (atomic_fetch_sub(&e->pending, 1) == 1)
		free(e);
}

void server_lun_event(struct server *server, struct scsi_target *target, unsigned int lun,
		      enum unit_attention ua)
{
	unsigned int n = server->cfg.reactor_count;
	struct lun_event *e = calloc(1, sizeof(*e) + n * sizeof(e->visits[0]));

	if (!e || lun >= TARGET_LUNS) {
		free(e);
		return;
	}
	event_lun(server, target, lun, ua);
	e->target = target;
	e->ua = ua;
	e->what.event = ASYNC_SCSI;
	e->what.lun[1] = (uint8_t)lun;
	e->sense_len = unit_attention_sense(target->lun[lun], ua, e->sense);
	atomic_store(&e->pending, n);
	for (unsigned int i = 0; i < n; i++) {
		struct lun_visit *v = &e->visits[i];

		v->event = e;
		v->rs = &server->reactors[i];
		v->work.fn = visit;
		reactor_post(server->cfg.reactors[i], &v->work);
	}
}
