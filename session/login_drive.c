// SPDX-License-Identifier: BSD-2-Clause
/*
 * Drives the login negotiation of login.h over a connection: sends its answers, settles the
 * session at the end, waits for an old session that the new one replaces.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/log.h"
#include "session/login_drive.h"

struct text_env {
	struct login_env env;
	struct exports *exports; /* one of its users */
	struct redirect redirect;
	struct login_portal portals[PORTALS_MAX];
	char names[PORTALS_MAX][64];
};

struct login_state {
	struct login *login;
	struct text_env *env;
	struct bhs_login_request last; /* what the reply at the end answers */
	struct login_reply reply;
};

/* Of logins that fail, and of those that do not: whoever may log in may do it all day. */
static struct log_limit login_limit = LOG_LIMIT(10), logged_in_limit = LOG_LIMIT(100);

static bool random_bytes(void *out, size_t len)
{
	return getrandom(out, len, 0) == (ssize_t)len;
}

/* Under server->lock. */
static void name_portals(struct text_env *te, const struct iconn *ic)
{
	const struct server *s = ic->rs->server;
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->portal_count; i++) {
		const struct sockaddr_storage *ss = &s->portals[i].address.addr;

		if (address_is_wildcard(ss) && ss->ss_family != ic->conn->local.ss_family)
			continue;
		if (!address_tellable(ss, &ic->conn->local))
			continue;
		address_as_target(ss, &ic->conn->local, te->names[n], sizeof(te->names[n]));
		te->portals[n] = (struct login_portal){ te->names[n], s->portals[i].tag };
		n++;
	}
	te->env.portals = te->portals;
	te->env.portal_count = n;
}

struct text_env *text_env_new(struct iconn *ic)
{
	struct server *s = ic->rs->server;
	struct text_env *te = calloc(1, sizeof(*te));
	struct portal_entry entry;

	if (!te)
		return NULL;
	te->exports = exports_get(s);
	pthread_mutex_lock(&s->lock);
	name_portals(te, ic);
	entry = server_portal_of(s, ic->conn);
	pthread_mutex_unlock(&s->lock);
	te->env.targets = te->exports->targets;
	te->env.target_count = te->exports->target_count;
	te->env.discovery_chap = te->exports->discovery_chap;
	te->env.limits = &s->cfg.limits;
	te->env.portal_group_tag = entry.tag;
	te->redirect = entry.redirect;
	te->env.redirect = te->redirect.where[0] ? te->redirect.where : NULL;
	te->env.redirect_permanent = te->redirect.permanent;
	te->env.from = address_range_of(&ic->conn->peer);
	te->env.random = random_bytes;
	te->env.can = (struct conn_params){
		.header_digest = true,
		.data_digest = true,
		.immediate_data = true,
		.initial_r2t = false,
		.max_recv_dsl = 262144,
		.max_burst = BUF_MAX,
		.first_burst = 262144,
		.max_outstanding_r2t = 16,
		.max_connections = limit_of(s, session_connections),
		.error_recovery_level = (uint8_t)limit_of(s, error_recovery_level),
	};
	if (!ic->conn->params.full_feature)
		conn_offer_keys(ic->conn, &te->env.can);
	return te;
}

void text_env_free(struct text_env *env)
{
	if (env)
		exports_put(env->exports);
	free(env);
}

struct exports *login_drive_exports(const struct iconn *ic)
{
	return ic->login->env->exports;
}

const struct login_env *text_env_get(const struct text_env *env)
{
	return &env->env;
}

const struct login_result *login_drive_result(const struct iconn *ic)
{
	return login_result(ic->login->login);
}

const struct bhs *login_drive_request(const struct iconn *ic)
{
	return (const struct bhs *)&ic->login->last;
}

void login_state_free(struct login_state *ls)
{
	if (!ls)
		return;
	login_free(ls->login);
	text_env_free(ls->env);
	free(ls);
}

static bool login_begin(struct iconn *ic)
{
	struct login_state *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return false;
	ls->env = text_env_new(ic);
	if (ls->env)
		ls->login = login_new(&ls->env->env);
	if (!ls->login) {
		login_state_free(ls);
		return false;
	}
	ic->login = ls;
	return true;
}

/* The window of a session that goes on is its own, whatever the CmdSN of this login. */
static void tell_window(const struct iconn *ic, struct bhs_login_response *h)
{
	const struct login_result *who = ic->login ? login_drive_result(ic) : NULL;
	struct session *s;

	if (who && who->tsih && server_find_session(ic->rs, who, &s) == LOGIN_SUCCESS)
		fill_window(s, &h->expcmdsn, &h->maxcmdsn);
}

/* tsih: of the new session in the last response, else the request's. */
static void send_response(struct iconn *ic, const struct bhs_login_request *req,
			  const struct login_reply *lr, uint16_t tsih)
{
	struct reply *rp = reply_new(ic, OP_LOGIN_RESPONSE);
	struct bhs_login_response *h;
	uint32_t cmdsn = be32_get(req->cmdsn);

	if (!rp || !reply_data(rp, lr->text, lr->text_len)) {
		if (rp)
			pool_put(&ic->rs->replies, rp);
		iconn_close(ic, false);
		return;
	}
	h = &rp->tx.h.login_response;
	h->flags = lr->status == LOGIN_SUCCESS ? lr->flags : 0;
	h->isid = req->isid;
	h->tsih = be16_of(tsih);
	h->itt = req->itt;
	h->expcmdsn = be32_of(cmdsn);
	h->maxcmdsn = be32_of(cmdsn + ic->rs->server->cfg.limits.window - 1);
	tell_window(ic, h);
	h->status = be16_of(lr->status);
	reply_send(rp, true);
}

void login_drive_end(struct iconn *ic, const struct bhs_login_request *req,
		     const struct login_reply *reply)
{
	send_response(ic, req, reply, 0);
	iconn_close(ic, true);
}

static void log_refusal(const struct iconn *ic, enum login_status status, const char *why)
{
	const struct login_result *who = ic->login ? login_drive_result(ic) : NULL;
	struct log_about about = { .from = ic->conn->peer_name, .reason = refusal_of(status) };

	if (who) {
		about.target = who->target_name;
		about.initiator = who->initiator_name;
	}
	log_write_about(&about, &login_limit, LOG_LEVEL_WARN, "%s: login refused (0x%04x): %s",
			ic->conn->peer_name, status, why);
}

/* A login that failed: the answer, then the end. req: any header, its ITT is echoed. */
void login_drive_refuse(struct iconn *ic, const struct bhs *bhs, enum login_status status,
			const char *why)
{
	struct login_reply lr = { .status = status };
	struct bhs_login_request req = { 0 };

	if (ic->refusal)
		return;
	if (pdu_opcode(bhs) == OP_LOGIN_REQUEST)
		memcpy(&req, bhs, sizeof(req));
	req.itt = bhs->itt;
	count_refusal(ic->rs, status);
	event_login_failed(ic, refusal_of(status), why);
	if (login_refuse_late(ic, &req, status))
		return;
	log_refusal(ic, status, why);
	login_drive_end(ic, &req, &lr);
}

/* The answer has a text: where the target is. */
static void redirect(struct iconn *ic, const struct bhs_login_request *req,
		     const struct login_reply *reply)
{
	stat_add(&ic->rs->counters.redirected, 1);
	log_write_limited(&logged_in_limit, LOG_LEVEL_INFO, "%s: login redirected (0x%04x)",
			  ic->conn->peer_name, reply->status);
	login_drive_end(ic, req, reply);
}

static void log_login(const struct iconn *ic, const struct session *s,
		      const struct conn_params *params)
{
	const struct login_result *who = login_drive_result(ic);
	const struct log_about about = { .target = who->target ? who->target->scsi->name : NULL,
					 .initiator = who->initiator_name,
					 .from = ic->conn->peer_name,
					 .session = s->tsih };
	char alias[64];

	log_write_about(&about, &logged_in_limit, LOG_LEVEL_INFO,
			"%s: %s%s%s logged in%s over %s, %s %u%s%s", ic->conn->peer_name,
			who->initiator_name, who->initiator_alias[0] ? " alias " : "",
			log_escape(alias, sizeof(alias), who->initiator_alias,
				   strlen(who->initiator_alias)),
			who->type == SESSION_DISCOVERY ? " for discovery" : "", ic->conn->ops->name,
			who->tsih ? "one more connection of session" : "session", s->tsih,
			who->authenticated ? ", CHAP" : "",
			params->header_digest || params->data_digest ? ", digests" : "");
}

void login_drive_enter(struct iconn *ic, struct session *s, const struct conn_params *params)
{
	struct login_state *ls = ic->login;
	struct conn_params p = *params;

	send_response(ic, &ls->last, &ls->reply, s->tsih);
	if (!iconn_live(ic))
		return;
	p.full_feature = true;
	p.command_window = ic->rs->server->cfg.limits.window;
	conn_apply_keys(ic->conn, &p);
	iconn_event(ic, CONN_EV_LOGGED_IN);
	stat_add(&ic->rs->counters.logins, 1);
	log_login(ic, s, &p);
	event_login(ic, s);
	login_state_free(ls);
	ic->login = NULL;
}

static void lead(struct iconn *ic, struct session *s)
{
	const struct login_result *who = &s->who;

	session_event(s, SESSION_EV_LOGGED_IN);
	ic->cid = who->cid;
	session_add_connection(s, ic);
	list_add_tail(&ic->rs->sessions, &s->reactor_node);
	if (who->type == SESSION_NORMAL) {
		nexus_attach(&s->nexus);
		session_apply_rights(s);
	}
	login_drive_enter(ic, s, &who->params);
}

/* The negotiation is through: settle which session this is. Again after an old one has gone. */
void login_drive_continue(struct iconn *ic)
{
	const struct login_result *who = login_drive_result(ic);
	const struct bhs *bhs = login_drive_request(ic);
	struct session *s;

	if (who->tsih) {
		join_session(ic);
		return;
	}
	s = ic->rs->draining ? NULL : session_new(ic, who);
	if (!s) {
		login_drive_refuse(ic, bhs, LOGIN_OUT_OF_RESOURCES, "out of memory or stopping");
		return;
	}
	switch (session_register(s, ic)) {
	case REGISTERED: lead(ic, s); break;
	case REGISTER_WAIT:
		session_discard(s);
		iconn_event(ic, CONN_EV_WAIT);
		break;
	case REGISTER_NO_TSIH:
		session_discard(s);
		login_drive_refuse(ic, bhs, LOGIN_OUT_OF_RESOURCES, "all TSIHs are in use");
		break;
	case REGISTER_FORBIDDEN:
		session_discard(s);
		login_drive_refuse(ic, bhs, LOGIN_NOT_FOUND, "what is exported has changed");
		break;
	}
}

/* A key that only the first connection may negotiate, in a session that is not there: the latter is the
 * initiator's trouble. Asked after it has proved who it is. */
static void fail(struct iconn *ic, const struct bhs *bhs)
{
	const struct login_reply *reply = &ic->login->reply;
	struct session *s;

	if (reply->leading_only &&
	    server_find_session(ic->rs, login_drive_result(ic), &s) == LOGIN_NO_SESSION)
		login_drive_refuse(ic, bhs, LOGIN_NO_SESSION, "no session has this TSIH");
	else
		login_drive_refuse(ic, bhs, reply->status,
				   reply->why ? reply->why : "negotiation failed");
}

void login_drive(struct iconn *ic, struct pdu *pdu)
{
	const struct bhs_login_request *req = &pdu->h.login_request;
	struct login_state *ls;

	if (ic->refusal)
		return;
	if (!ic->login && !login_begin(ic)) {
		login_drive_refuse(ic, &pdu->h.bhs, LOGIN_OUT_OF_RESOURCES, "out of memory");
		return;
	}
	if (pdu->dropped) {
		login_drive_refuse(ic, &pdu->h.bhs, LOGIN_OUT_OF_RESOURCES, "out of buffers");
		return;
	}
	ls = ic->login;
	ls->last = *req;
	ls->reply = (struct login_reply){ 0 };
	switch (login_step(ls->login, req, pdu->data, pdu->data_len, &ls->reply)) {
	case LOGIN_REPLY: send_response(ic, req, &ls->reply, be16_get(req->tsih)); break;
	case LOGIN_FAIL:
		if (ls->reply.text_len)
			redirect(ic, req, &ls->reply);
		else
			fail(ic, &pdu->h.bhs);
		break;
	case LOGIN_DONE: login_drive_continue(ic); break;
	}
}
