// SPDX-License-Identifier: BSD-2-Clause
/* How the last reload has ended. */
#include <stdio.h>

#include "control.h"

void rpc_reloaded(struct rpc_context *x, bool ok, const char *message)
{
	struct event e = { .type = EVENT_RELOAD, .lun = -1 };

	if (!*message)
		message = ok ? "the configuration is served as it is now"
			     : "the configuration is not applied";

	pthread_mutex_lock(&x->lock);
	x->last_reload.ever = true;
	x->last_reload.ok = ok;
	clock_gettime(CLOCK_REALTIME, &x->last_reload.time);
	snprintf(x->last_reload.message, sizeof(x->last_reload.message), "%s", message);
	pthread_mutex_unlock(&x->lock);
	snprintf(e.reason, sizeof(e.reason), "%s", ok ? "applied" : "refused");
	snprintf(e.text, sizeof(e.text), "%s", message);
	events_tell(x->events, &e);
}
