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
#include "session/internal.h"

struct text_env {
	struct login_env env;
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

/* A wildcard portal is named by the address that this initiator has reached. */
struct text_env *text_env_new(struct iconn *ic)
{
	struct server *s = ic->rs->server;
	struct text_env *te = calloc(1, sizeof(*te));
	unsigned int n = 0;

	if (!te)
		return NULL;
	for (unsigned int i = 0; i < s->portal_count; i++) {
		const struct sockaddr_storage *ss = &s->portals[i].address.addr;

		if (address_is_wildcard(ss) && ss->ss_family != ic->conn->local.ss_family)
			continue;
		/* The port is the same in both. */
		address_format(address_is_wildcard(ss) ? &ic->conn->local : ss, te->names[n],
			       sizeof(te->names[n]));
		te->portals[n] = (struct login_portal){ te->names[n], s->portals[i].tag };
		n++;
	}
	te->env = (struct login_env){
		.targets = s->cfg.targets,
		.target_count = s->cfg.target_count,
		.limits = &s->cfg.limits,
		.portals = te->portals,
		.portal_count = n,
		.portal_group_tag = server_tag_of(s, ic->conn),
		.random = random_bytes,
	};
	te->env.can = (struct conn_params){
		.header_digest = true,
		.data_digest = true,
		.immediate_data = true,
		.initial_r2t = false,
		.max_recv_dsl = 262144,
		.max_burst = BUF_MAX,
		.first_burst = 262144,
		.max_outstanding_r2t = 16,
	};
	if (!ic->conn->params.full_feature)
		conn_offer_keys(ic->conn, &te->env.can);
	return te;
}

void text_env_free(struct text_env *env)
{
	free(env);
}

const struct login_env *text_env_get(const struct text_env *env)
{
	return &env->env;
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

	ic->login = ls;
	if (!ls)
		return false;
	ls->env = text_env_new(ic);
	if (ls->env)
		ls->login = login_new(&ls->env->env);
	return ls->login;
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
	h->status = be16_of(lr->status);
	reply_send(rp, true);
}

/* A login that failed: the answer, then the end. req: any header, its ITT is echoed. */
void login_drive_refuse(struct iconn *ic, const struct bhs *bhs, enum login_status status,
			const char *why)
{
	struct login_reply lr = { .status = status };
	struct bhs_login_request req = { 0 };

	if (pdu_opcode(bhs) == OP_LOGIN_REQUEST)
		memcpy(&req, bhs, sizeof(req));
	req.itt = bhs->itt;
	log_write_limited(&login_limit, LOG_LEVEL_WARN, "%s: login refused (0x%04x): %s",
			  ic->conn->peer_name, status, why);
	send_response(ic, &req, &lr, 0);
	iconn_close(ic, true);
}

static void logged_in(struct iconn *ic, struct session *s)
{
	const struct login_result *who = &s->who;
	struct login_state *ls = ic->login;
	struct conn_params params = who->params;
	char alias[64];

	session_add_connection(s, ic);
	ic->cid = who->cid;
	list_add_tail(&ic->rs->sessions, &s->reactor_node);
	if (who->type == SESSION_NORMAL)
		nexus_attach(&s->nexus);
	send_response(ic, &ls->last, &ls->reply, s->tsih);
	if (ic->state == CONN_CLEANUP)
		return;
	params.full_feature = true;
	params.command_window = ic->rs->server->cfg.limits.window;
	conn_apply_keys(ic->conn, &params);
	ic->state = CONN_LOGGED_IN;
	log_write_limited(&logged_in_limit, LOG_LEVEL_INFO,
			  "%s: %s%s%s logged in%s over %s, session %u%s%s", ic->conn->peer_name,
			  who->initiator_name, who->initiator_alias[0] ? " alias " : "",
			  log_escape(alias, sizeof(alias), who->initiator_alias,
				     strlen(who->initiator_alias)),
			  who->type == SESSION_DISCOVERY ? " for discovery" : "",
			  ic->conn->ops->name, s->tsih, who->authenticated ? ", CHAP" : "",
			  params.header_digest || params.data_digest ? ", digests" : "");
	login_state_free(ls);
	ic->login = NULL;
}

/* The negotiation is through: settle which session this is. Again after an old one has gone. */
void login_drive_continue(struct iconn *ic)
{
	const struct login_result *who = login_result(ic->login->login);
	const struct bhs *bhs = (const struct bhs *)&ic->login->last;
	enum login_status status = server_check_tsih(ic->rs->server, who);
	struct session *s;

	if (status != LOGIN_SUCCESS) {
		login_drive_refuse(ic, bhs, status, "no session with this TSIH for it");
		return;
	}
	s = ic->rs->draining ? NULL : session_new(ic, who);
	if (!s) {
		login_drive_refuse(ic, bhs, LOGIN_OUT_OF_RESOURCES, "out of memory or stopping");
		return;
	}
	switch (session_register(s, ic)) {
	case REGISTERED: logged_in(ic, s); break;
	case REGISTER_WAIT:
		free(s);
		ic->state = CONN_ESTABLISHING;
		break;
	case REGISTER_NO_TSIH:
		free(s);
		login_drive_refuse(ic, bhs, LOGIN_OUT_OF_RESOURCES, "all TSIHs are in use");
		break;
	}
}

void login_drive(struct iconn *ic, struct pdu *pdu)
{
	const struct bhs_login_request *req = &pdu->h.login_request;
	struct login_state *ls;

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
		login_drive_refuse(ic, &pdu->h.bhs, ls->reply.status,
				   ls->reply.why ? ls->reply.why : "negotiation failed");
		break;
	case LOGIN_DONE: login_drive_continue(ic); break;
	}
}
