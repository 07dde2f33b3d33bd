// SPDX-License-Identifier: BSD-2-Clause
/* What happens to sessions and units becomes events. */
#include <stdio.h>

#include "control.h"

void events_of_log(const char *text, void *arg)
{
	struct event e = { .type = EVENT_WARNING, .lun = -1, .reason = "error" };

	snprintf(e.text, sizeof(e.text), "%s", text);
	events_tell(arg, &e);
}

void events_of_server(const struct server_event *what, void *arg)
{
	static const enum event_type types[] = {
		[SERVER_LOGIN] = EVENT_LOGIN,	[SERVER_LOGIN_FAILED] = EVENT_LOGIN_FAILED,
		[SERVER_LOGOUT] = EVENT_LOGOUT, [SERVER_LOST] = EVENT_SESSION_LOST,
		[SERVER_RESET] = EVENT_RESET,	[SERVER_LUN] = EVENT_LUN,
	};
	struct event e = { .type = types[what->type], .session = what->tsih, .lun = what->lun };

	snprintf(e.target, sizeof(e.target), "%s", what->target ? what->target : "");
	snprintf(e.initiator, sizeof(e.initiator), "%s", what->initiator ? what->initiator : "");
	snprintf(e.from, sizeof(e.from), "%s", what->from ? what->from : "");
	snprintf(e.reason, sizeof(e.reason), "%s", what->reason ? what->reason : "");
	snprintf(e.text, sizeof(e.text), "%s", what->text ? what->text : "");
	events_tell(arg, &e);
}
