// SPDX-License-Identifier: BSD-2-Clause
/*
 * Refusals that come late: an address that was refused too often for a name or a secret waits for
 * each further one. See login_failures.h.
 */
#include "core/log.h"
#include "session/login_drive.h"

/* Somebody may have tried out a name or a secret. */
static bool is_guess(enum login_status status)
{
	return status == LOGIN_AUTH_FAILED || status == LOGIN_NOT_ALLOWED ||
	       status == LOGIN_NOT_FOUND;
}

static void answer(struct timer *t)
{
	struct iconn *ic = container_of(t, struct iconn, timer);
	struct login_reply lr = { .status = ic->refusal };

	login_drive_end(ic, &ic->refused, &lr);
}

bool login_refuse_late(struct iconn *ic, const struct bhs_login_request *req,
		       enum login_status status)
{
	static struct log_limit limit = LOG_LIMIT(10);
	struct server *s = ic->rs->server;
	struct login_failure failure;

	if (!is_guess(status))
		return false;
	failure = login_failures_add(&s->login_failures, &ic->conn->peer,
				     limit_of(s, login_failures), reactor_now(ic->rs->reactor));
	if (!failure.delay)
		return false;
	if (failure.tell)
		log_write_limited(&limit, LOG_LEVEL_WARN,
				  "%s: too many refused logins from there: %u more, the last with "
				  "0x%04x, are answered %u s late",
				  ic->conn->peer_name, failure.tell, status,
				  LOGIN_FAILURES_DELAY_S);
	ic->refused = *req;
	ic->refusal = status;
	ic->timer.fn = answer; /* it comes before the login deadline would have, or in its place */
	timer_arm(ic->rs->reactor, &ic->timer, failure.delay);
	return true;
}
