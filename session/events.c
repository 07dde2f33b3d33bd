// SPDX-License-Identifier: BSD-2-Clause
/* What happens to sessions, for whoever operates the target: see struct server_event. */
#include <stdio.h>

#include "session/command.h"
#include "session/login_drive.h"

static void tell(struct server *server, const struct server_event *event)
{
	if (server->cfg.event)
		server->cfg.event(event, server->cfg.event_arg);
}

static const char *target_of(const struct login_result *who)
{
	return who->target ? who->target->scsi->name : NULL;
}

void event_login(const struct iconn *ic, const struct session *s)
{
	const struct login_result *who = &s->who;
	struct server_event event = {
		.type = SERVER_LOGIN,
		.target = target_of(who),
		.initiator = who->initiator_name,
		.from = ic->conn->peer_name,
		.tsih = s->tsih,
		.lun = -1,
		.reason = who->type == SESSION_DISCOVERY ? "discovery" : "normal",
	};
	char text[512];

	snprintf(text, sizeof(text), "logged in%s over %s%s%s",
		 login_drive_result(ic)->tsih	  ? " with one more connection"
		 : who->type == SESSION_DISCOVERY ? " for discovery"
						  : "",
		 ic->conn->ops->name, who->user ? " as " : "",
		 who->user ? who->user->account.user : "");
	event.text = text;
	tell(s->server, &event);
}

void event_login_failed(const struct iconn *ic, const char *reason, const char *why)
{
	const struct login_result *who = ic->login ? login_drive_result(ic) : NULL;
	struct server_event event = {
		.type = SERVER_LOGIN_FAILED,
		.target = who && who->target_name[0] ? who->target_name : NULL,
		.initiator = who && who->initiator_name[0] ? who->initiator_name : NULL,
		.from = ic->conn->peer_name,
		.lun = -1,
		.reason = reason,
		.text = why,
	};

	tell(ic->rs->server, &event);
}

void event_session(const struct session *s, const struct iconn *ic, enum server_event_type type,
		   const char *reason, const char *text)
{
	struct server_event event = {
		.type = type,
		.target = target_of(&s->who),
		.initiator = s->who.initiator_name,
		.from = ic ? ic->conn->peer_name : NULL,
		.tsih = s->tsih,
		.lun = -1,
		.reason = reason,
		.text = text,
	};

	tell(s->server, &event);
}

void event_reset(const struct iconn *ic, const struct bhs_tmf_request *req)
{
	uint8_t function = req->function & TMF_FUNCTION_MASK;
	const struct session *s = ic->session;
	struct server_event event = {
		.type = SERVER_RESET,
		.target = target_of(&s->who),
		.initiator = s->who.initiator_name,
		.from = ic->conn->peer_name,
		.tsih = s->tsih,
		.lun = function == TMF_LUN_RESET ? req->lun[1] : -1,
		.reason = task_function_name(function),
		.text = "the initiator resets",
	};

	if (function == TMF_LUN_RESET || function == TMF_TARGET_WARM_RESET ||
	    function == TMF_TARGET_COLD_RESET || function == TMF_I_T_NEXUS_RESET)
		tell(s->server, &event);
}

void event_lun(struct server *server, const struct scsi_target *target, unsigned int lun,
	       enum unit_attention ua)
{
	bool luns = ua == UA_LUNS_CHANGED;
	struct server_event event = {
		.type = SERVER_LUN,
		.target = target->name,
		.lun = (int)lun,
		.reason = luns			      ? target->lun[lun] ? "there" : "gone"
			  : ua == UA_CAPACITY_CHANGED ? "resized"
						      : "changed",
		.text = luns			    ? "initiators are told that it has come or gone"
			: ua == UA_CAPACITY_CHANGED ? "initiators are told of its new capacity"
						    : "initiators are told that it has changed",
	};

	tell(server, &event);
}
