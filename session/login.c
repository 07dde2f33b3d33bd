// SPDX-License-Identifier: BSD-2-Clause
/*
 * The login of one connection: stages, T and C bits, names, access, and what goes into the answer.
 * See login.h; RFC 7143 sections 6.2, 6.3, 11.12, 11.13.
 */
#include "session/login.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/chap.h"
#include "session/keys.h"
#include "session/name.h"
#include "session/text.h"

struct login {
	const struct login_env *env;
	struct text_buf in; /* all text of the login: later texts are checked against it */
	struct text_buf out; /* the text of the present reply */
	uint32_t text_start; /* where in `in` the present text begins */
	uint32_t pdus;
	struct key_seen seen;
	struct key_values ours, agreed;
	struct chap chap;
	int stage; /* STAGE_*; where the next request has to be */
	bool started; /* the first request was here: ISID and so on are known */
	bool identified; /* the first text was here: names and access are checked */
	bool declared; /* we have declared our keys of the operational stage */
	bool over;
	bool leading_only; /* for a key that is none of this connection's */
	struct login_result result;
};

static bool refuse(struct key_fault *fault, enum login_status status, const char *why)
{
	*fault = (struct key_fault){ status, why };
	return false;
}

struct login *login_new(const struct login_env *env)
{
	struct login *login = calloc(1, sizeof(*login));

	if (!login)
		return NULL;
	login->env = env;
	login->in.max = env->limits->login_bytes;
	login->out.max = LOGIN_DATA_MAX;
	login->result.portal_group_tag = env->portal_group_tag;
	login->result.from = env->from;
	keys_offer(&env->can, &login->ours);
	keys_defaults(&login->agreed);
	chap_init(&login->chap);
	return login;
}

void login_free(struct login *login)
{
	if (!login)
		return;
	chap_wipe(&login->chap);
	text_buf_free(&login->in);
	text_buf_free(&login->out);
	free(login);
}

const struct login_result *login_result(const struct login *login)
{
	return &login->result;
}

/* Who may log in to what this login names; of nobody until it has named it. */
static const struct chap_users *users(const struct login *login)
{
	static const struct chap_users nobody;

	if (login->result.target)
		return &login->result.target->chap;
	return login->result.type == SESSION_DISCOVERY ? &login->env->discovery_chap : &nobody;
}

/* Whether somebody who has not proved himself must not get past the security stage. */
static bool must_authenticate(const struct login *login)
{
	return users(login)->count && login->chap.state != CHAP_DONE;
}

/*
 * The stages, RFC 7143 6.2 and 11.12.3: what CSG, NSG and the T bit may say. NSG counts only with
 * the T bit, and a text that goes on (C bit) cannot end a stage.
 */
static const struct stage_rule {
	uint8_t csg;
	uint8_t nsg; /* bit per stage that may follow */
} stage_rules[] = {
	{ STAGE_SECURITY, 1 << STAGE_OPERATIONAL | 1 << STAGE_FULL_FEATURE },
	{ STAGE_OPERATIONAL, 1 << STAGE_FULL_FEATURE },
};

static bool check_flags(uint8_t flags, struct key_fault *fault)
{
	const struct stage_rule *rule;

	if (LOGIN_CSG(flags) > STAGE_OPERATIONAL)
		return refuse(fault, LOGIN_INITIATOR_ERROR, "bad current stage");
	rule = &stage_rules[LOGIN_CSG(flags)];
	if (!(flags & LOGIN_TRANSIT))
		return true;
	if (flags & LOGIN_CONTINUE)
		return refuse(fault, LOGIN_INITIATOR_ERROR, "T and C bit together");
	if (!(rule->nsg >> LOGIN_NSG(flags) & 1))
		return refuse(fault, LOGIN_INITIATOR_ERROR, "bad next stage");
	return true;
}

static bool check_stage(const struct login *login, int csg, struct key_fault *fault)
{
	if (csg == login->stage)
		return true;
	if (csg > login->stage && must_authenticate(login))
		return refuse(fault, LOGIN_AUTH_FAILED,
			      "security stage left without authentication");
	return refuse(fault, LOGIN_INVALID_DURING_LOGIN, "stage out of order");
}

static bool check_first(struct login *login, const struct bhs_login_request *req)
{
	struct login_result *r = &login->result;

	login->started = true;
	login->stage = LOGIN_CSG(req->flags);
	r->isid = req->isid;
	r->tsih = be16_get(req->tsih);
	r->cid = be16_get(req->cid);
	r->itt = be32_get(req->itt);
	r->cmdsn = be32_get(req->cmdsn);
	return true;
}

static bool check_later(const struct login *login, const struct bhs_login_request *req,
			struct key_fault *fault)
{
	const struct login_result *r = &login->result;

	if (memcmp(&r->isid, &req->isid, sizeof(r->isid)) || r->tsih != be16_get(req->tsih) ||
	    r->cid != be16_get(req->cid) || r->itt != be32_get(req->itt))
		return refuse(fault, LOGIN_INVALID_DURING_LOGIN,
			      "ISID, TSIH, CID or ITT has changed");
	return check_stage(login, LOGIN_CSG(req->flags), fault);
}

static bool check_header(struct login *login, const struct bhs_login_request *req, uint32_t len,
			 struct key_fault *fault)
{
	if (login->over)
		return refuse(fault, LOGIN_INVALID_DURING_LOGIN,
			      "request after the end of the login");
	if (++login->pdus > login->env->limits->login_pdus)
		return refuse(fault, LOGIN_INITIATOR_ERROR, "too many requests in one login");
	if (len > LOGIN_DATA_MAX)
		return refuse(fault, LOGIN_INITIATOR_ERROR, "data segment longer than 8192 bytes");
	if (req->version_min > 0)
		return refuse(fault, LOGIN_BAD_VERSION, "no common version");
	if (!check_flags(req->flags, fault))
		return false;
	return login->started ? check_later(login, req, fault) : check_first(login, req);
}

static bool buffer_ok(const struct text_buf *buf, struct key_fault *fault)
{
	if (!buf->error)
		return true;
	if (buf->error == -ENOMEM)
		return refuse(fault, LOGIN_OUT_OF_RESOURCES, "no memory for the text");
	return refuse(fault, LOGIN_INITIATOR_ERROR, "too much text in one login");
}

/* RFC 7143 11.13.5: the answer is where the target is, without a portal group tag. */
static bool redirect(struct login *login, const char *where, bool permanent,
		     struct key_fault *fault)
{
	text_put(&login->out, key_name(KEY_TARGET_ADDRESS), where);
	if (!buffer_ok(&login->out, fault))
		return false;
	return refuse(fault, permanent ? LOGIN_MOVED_PERMANENTLY : LOGIN_MOVED_TEMPORARILY,
		      "the target is elsewhere");
}

/* SessionType, InitiatorName, TargetName and the access list: RFC 7143 6.1, 13.4 to 13.6, 13.21. */
static bool identify(struct login *login, const struct key_set *set, struct key_fault *fault)
{
	struct text_str type = set->value[KEY_SESSION_TYPE], name = set->value[KEY_INITIATOR_NAME];
	struct text_str target = set->value[KEY_TARGET_NAME];
	const struct login_env *env = login->env;
	struct login_result *r = &login->result;

	if (key_present(set, KEY_SESSION_TYPE) && text_is(type, "Discovery"))
		r->type = SESSION_DISCOVERY;
	else if (key_present(set, KEY_SESSION_TYPE) && !text_is(type, "Normal"))
		return refuse(fault, LOGIN_SESSION_TYPE, "unknown SessionType");
	if (!key_present(set, KEY_INITIATOR_NAME))
		return refuse(fault, LOGIN_MISSING_PARAMETER, "no InitiatorName");
	if (!name_normalize(name.s, name.len, r->initiator_name))
		return refuse(fault, LOGIN_INITIATOR_ERROR, "malformed InitiatorName");
	if (r->type == SESSION_DISCOVERY)
		return true;
	if (!key_present(set, KEY_TARGET_NAME))
		return refuse(fault, LOGIN_MISSING_PARAMETER, "no TargetName");
	if (!name_normalize(target.s, target.len, r->target_name))
		return refuse(fault, LOGIN_INITIATOR_ERROR, "malformed TargetName");
	r->target = name_find_target(env->targets, env->target_count, r->target_name);
	if (!r->target || !target_in_group(r->target, env->portal_group_tag))
		return refuse(fault, LOGIN_NOT_FOUND, "unknown TargetName");
	if (!target_allows(r->target, r->initiator_name, &r->from))
		return refuse(fault, LOGIN_NOT_ALLOWED, "initiator is not on the access list");
	if (r->target->redirect)
		return redirect(login, r->target->redirect, r->target->redirect_permanent, fault);
	if (env->redirect)
		return redirect(login, env->redirect, env->redirect_permanent, fault);
	text_put_number(&login->out, key_name(KEY_TARGET_PORTAL_GROUP_TAG),
			login->env->portal_group_tag);
	return true;
}

/* libiscsi repeats the names after the security stage; they must be the same. */
static bool same_names(const struct login *login, const struct key_set *set,
		       struct key_fault *fault)
{
	const struct login_result *r = &login->result;
	struct text_str type = set->value[KEY_SESSION_TYPE], name = set->value[KEY_INITIATOR_NAME];
	struct text_str target = set->value[KEY_TARGET_NAME];
	char normalized[ISCSI_NAME_MAX + 1];
	bool same = true;

	if (key_present(set, KEY_INITIATOR_NAME))
		same = name_normalize(name.s, name.len, normalized) &&
		       name_equal(normalized, r->initiator_name);
	if (key_present(set, KEY_TARGET_NAME) && r->target)
		same = same && name_normalize(target.s, target.len, normalized) &&
		       name_equal(normalized, r->target->scsi->name);
	if (key_present(set, KEY_SESSION_TYPE))
		same = same && text_is(type, r->target ? "Normal" : "Discovery");
	return same || refuse(fault, LOGIN_INITIATOR_ERROR, "names have changed");
}

static bool names(struct login *login, const struct key_set *set, struct key_fault *fault)
{
	struct text_str alias = set->value[KEY_INITIATOR_ALIAS];

	if (key_present(set, KEY_INITIATOR_ALIAS)) {
		static_assert(sizeof(login->result.initiator_alias) > TEXT_VALUE_MAX, "alias");
		memcpy(login->result.initiator_alias, alias.s, alias.len);
		login->result.initiator_alias[alias.len] = '\0';
	}
	if (login->identified)
		return same_names(login, set, fault);
	login->identified = true;
	return identify(login, set, fault);
}

static bool offers(struct text_str list, const char *method)
{
	struct text_str item;

	while (text_list_next(&list, &item)) {
		if (text_is(item, method))
			return true;
	}
	return false;
}

/*
 * The security stage. *transit is cleared when the stage goes on in spite of the T bit: libiscsi
 * and open-iscsi set it with AuthMethod, iPXE in every request.
 */
static bool security(struct login *login, const struct key_set *set, bool *transit,
		     struct key_fault *fault)
{
	const char *method = must_authenticate(login) ? "CHAP" : "None";
	bool offered = key_present(set, KEY_AUTH_METHOD);

	if (offered && !offers(set->value[KEY_AUTH_METHOD], method))
		return refuse(fault, LOGIN_AUTH_FAILED, "no AuthMethod in common");
	if (offered)
		text_put(&login->out, key_name(KEY_AUTH_METHOD), method);
	if (!chap_step(&login->chap, set, *transit && must_authenticate(login) && !offered,
		       &login->out, fault))
		return false;
	if (offered && must_authenticate(login))
		chap_start(&login->chap, users(login), login->env->random);
	if (must_authenticate(login))
		*transit = false;
	return true;
}

/* With the extensions it means nothing (RFC 7145 6.2), and libiscsi would go by it in place of
 * TargetRecvDataSegmentLength. */
static bool declares_max_recv_dsl(const struct login *login)
{
	return login->result.type == SESSION_DISCOVERY ||
	       !(login->env->can.needs_extensions || login->agreed.v[KEY_RDMA_EXTENSIONS]);
}

/* The operational stage: answers, and once what we have to declare. */
static bool operational(struct login *login, const struct key_set *set, struct key_fault *fault)
{
	const struct target_config *target = login->result.target;
	bool discovery = login->result.type == SESSION_DISCOVERY;

	if (!keys_negotiate(set, &login->seen, &login->ours, discovery, &login->agreed, &login->out,
			    fault))
		return false;
	if (login->declared)
		return true;
	login->declared = true;
	if (declares_max_recv_dsl(login))
		text_put_number(&login->out, key_name(KEY_MAX_RECV_DSL),
				login->ours.v[KEY_MAX_RECV_DSL]);
	if (target && target->alias[0])
		text_put(&login->out, key_name(KEY_TARGET_ALIAS), target->alias);
	return true;
}

/* A whole text is there: every key is answered. */
static bool answer(struct login *login, bool *transit, struct key_fault *fault)
{
	struct key_set set;
	bool ok;

	if (!keys_read(&set, &login->seen, login->in.bytes, login->text_start, login->in.len,
		       login->stage, fault) ||
	    !names(login, &set, fault))
		return false;
	login->text_start = login->in.len;
	if (login->stage != STAGE_SECURITY && must_authenticate(login))
		return refuse(fault, LOGIN_AUTH_FAILED, "login without authentication");
	if (set.misplaced)
		return refuse(fault, LOGIN_INITIATOR_ERROR, "key not allowed in this stage");
	login->leading_only = login->result.tsih && keys_leading_only(&set);
	if (login->leading_only)
		return refuse(fault, LOGIN_INITIATOR_ERROR,
			      "key that only the first connection of a session may negotiate");
	ok = login->stage == STAGE_SECURITY ? security(login, &set, transit, fault)
					    : operational(login, &set, fault);
	if (!ok)
		return false;
	keys_answer_unknown(&set, &login->seen, login->in.bytes, &login->out);
	return buffer_ok(&login->out, fault);
}

/* A discovery session moves no data: it does without. */
static bool check_extensions(const struct login *login, struct key_fault *fault)
{
	if (!login->env->can.needs_extensions || login->result.type == SESSION_DISCOVERY ||
	    login->agreed.v[KEY_RDMA_EXTENSIONS])
		return true;
	return refuse(fault, LOGIN_INITIATOR_ERROR, "no RDMAExtensions=Yes on this transport");
}

/* RFC 7145 6: with the extensions MaxRecvDataSegmentLength is of no effect. */
static void settle_extensions(const struct login *login, struct conn_params *params)
{
	const uint32_t *v = login->agreed.v;

	if (!v[KEY_RDMA_EXTENSIONS])
		return;
	params->rdma_extensions = true;
	params->max_recv_dsl = v[KEY_TARGET_RECV_DSL];
	params->max_xmit_dsl = v[KEY_INITIATOR_RECV_DSL];
	params->tagged_from_start = !v[KEY_TAGGED_SOLICITED_ONLY];
	params->max_unexpected = v[KEY_MAX_UNEXPECTED_PDUS];
	params->max_ahs = v[KEY_MAX_AHS];
}

static void settle(struct login *login)
{
	const uint32_t *v = login->agreed.v;
	struct login_result *r = &login->result;

	r->authenticated = login->chap.state == CHAP_DONE;
	r->user = login->chap.user;
	r->params = (struct conn_params){
		.header_digest = v[KEY_HEADER_DIGEST],
		.data_digest = v[KEY_DATA_DIGEST],
		.initial_r2t = v[KEY_INITIAL_R2T],
		.immediate_data = v[KEY_IMMEDIATE_DATA],
		.max_recv_dsl = login->declared ? login->ours.v[KEY_MAX_RECV_DSL] : LOGIN_DATA_MAX,
		.max_xmit_dsl = v[KEY_MAX_RECV_DSL],
		.max_burst = v[KEY_MAX_BURST],
		.first_burst = v[KEY_FIRST_BURST],
		.max_outstanding_r2t = v[KEY_ERROR_RECOVERY_LEVEL] ? 1 : v[KEY_MAX_OUTSTANDING_R2T],
		.error_recovery_level = (uint8_t)v[KEY_ERROR_RECOVERY_LEVEL],
		.max_connections = v[KEY_MAX_CONNECTIONS],
	};
	settle_extensions(login, &r->params);
	r->max_connections = v[KEY_MAX_CONNECTIONS];
	r->error_recovery_level = v[KEY_ERROR_RECOVERY_LEVEL];
	r->protocol_level = v[KEY_PROTOCOL_LEVEL];
	r->time2wait = v[KEY_TIME2WAIT];
	r->time2retain = v[KEY_TIME2RETAIN];
	r->data_pdu_in_order = v[KEY_DATA_PDU_IN_ORDER];
	r->data_sequence_in_order = v[KEY_DATA_SEQUENCE_IN_ORDER];
}

static bool step(struct login *login, const struct bhs_login_request *req, const uint8_t *data,
		 uint32_t len, bool *transit, struct key_fault *fault)
{
	if (!check_header(login, req, len, fault))
		return false;
	text_append(&login->in, data, len);
	if (!buffer_ok(&login->in, fault))
		return false;
	*transit = req->flags & LOGIN_TRANSIT;
	if (req->flags & LOGIN_CONTINUE)
		return true;
	if (!answer(login, transit, fault))
		return false;
	return !*transit || LOGIN_NSG(req->flags) != STAGE_FULL_FEATURE ||
	       check_extensions(login, fault);
}

static bool is_redirect(enum login_status status)
{
	return status == LOGIN_MOVED_TEMPORARILY || status == LOGIN_MOVED_PERMANENTLY;
}

enum login_action login_step(struct login *login, const struct bhs_login_request *req,
			     const uint8_t *data, uint32_t len, struct login_reply *reply)
{
	struct key_fault fault = { 0 };
	bool transit = false;

	login->out.len = 0;
	*reply = (struct login_reply){ .flags = (uint8_t)(LOGIN_CSG(req->flags) << 2) };
	if (!step(login, req, data, len, &transit, &fault)) {
		login->over = true;
		reply->status = fault.status;
		reply->why = fault.why;
		reply->leading_only = login->leading_only;
		if (is_redirect(fault.status)) {
			reply->text = login->out.bytes;
			reply->text_len = login->out.len;
		}
		return LOGIN_FAIL;
	}
	reply->text = login->out.bytes;
	reply->text_len = login->out.len;
	if (!transit)
		return LOGIN_REPLY;
	assert(!must_authenticate(login));
	reply->flags |= LOGIN_TRANSIT | LOGIN_NSG(req->flags);
	login->stage = LOGIN_NSG(req->flags);
	keys_new_stage(&login->seen);
	if (login->stage != STAGE_FULL_FEATURE)
		return LOGIN_REPLY;
	settle(login);
	login->over = true;
	return LOGIN_DONE;
}
