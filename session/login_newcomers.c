// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connections that have not logged in, and who of them has to go when there are too many: whoever
 * opens connections must not lock out initiators that log in. So the one goes that has been longest
 * without a step of its login, and none goes before it had time for one: of a burst that came in one
 * turn not a byte has been looked at yet. Only far beyond the limit nobody has time.
 */
#include "core/log.h"
#include "session/login_drive.h"

enum {
	GRACE_MS = 100, /* between two steps */
	CROWD = 4, /* times the limit: beyond it there is no grace */
};

static uint32_t share_of(const struct reactor_state *rs)
{
	const struct server_config *cfg = &rs->server->cfg;
	uint32_t share = cfg->limits.max_unauthenticated / cfg->reactor_count;

	return share ? share : 1;
}

static void evict(struct reactor_state *rs)
{
	static struct log_limit limit = LOG_LIMIT(10);
	uint32_t share = share_of(rs);

	while (rs->unauthenticated_count > share) {
		struct iconn *oldest =
			list_entry(rs->unauthenticated.next, struct iconn, login_node);
		uint64_t quiet = reactor_now(rs->reactor) - oldest->login_step;

		if (quiet < GRACE_MS * NSEC_PER_MSEC &&
		    rs->unauthenticated_count <= CROWD * share) {
			timer_arm(rs->reactor, &rs->evict_timer, GRACE_MS * NSEC_PER_MSEC - quiet);
			return;
		}
		log_write_limited(&limit, LOG_LEVEL_WARN,
				  "%s: too many connections without a login, closing the oldest",
				  oldest->conn->peer_name);
		count_newcomer_end(rs, NEWCOMER_CROWDED);
		event_login_failed(oldest, refusal_name(NEWCOMER_CROWDED),
				   "too many connections have not logged in");
		newcomer_left(oldest);
		iconn_close(oldest, false);
	}
}

void newcomers_time(struct timer *t)
{
	evict(container_of(t, struct reactor_state, evict_timer));
}

void newcomer_came(struct iconn *ic)
{
	struct reactor_state *rs = ic->rs;

	ic->login_step = reactor_now(rs->reactor);
	list_add_tail(&rs->unauthenticated, &ic->login_node);
	if (++rs->unauthenticated_count > share_of(rs))
		evict(rs);
}

void newcomer_went_on(struct iconn *ic)
{
	if (list_empty(&ic->login_node))
		return;
	ic->login_step = reactor_now(ic->rs->reactor);
	list_del(&ic->login_node);
	list_add_tail(&ic->rs->unauthenticated, &ic->login_node);
}

void newcomer_left(struct iconn *ic)
{
	struct reactor_state *rs = ic->rs;

	if (list_empty(&ic->login_node))
		return;
	list_del(&ic->login_node);
	if (--rs->unauthenticated_count <= share_of(rs))
		timer_cancel(rs->reactor, &rs->evict_timer);
}
