// SPDX-License-Identifier: BSD-2-Clause
/*
 * Text requests in full feature phase, RFC 7143 11.10 and Appendix C: SendTargets and what may be
 * declared again. See login.h.
 *
 *            no TTT                            C=1, or F=0           F=1 and all said
 *   closed ----------> collecting, answering ----------> the same ------------------> closed
 *
 * A request that belongs to no exchange is rejected and leaves the open one alone; an error in the
 * exchange itself ends it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "session/keys.h"
#include "session/login.h"
#include "session/name.h"
#include "session/text.h"

struct text_exchange {
	struct text_buf in; /* all text of the exchange */
	struct text_buf out; /* the whole answer; at most what the configuration is long */
	uint32_t text_start; /* where in `in` the present text begins */
	uint32_t sent; /* bytes of out that were handed over */
	uint32_t pdus; /* requests that were not for the rest of an answer */
	uint32_t itt, ttt;
	uint32_t last_ttt; /* lives on over exchanges, so that no TTT comes back */
	bool open;
	bool final; /* the initiator has said F */
	bool new_max_xmit_dsl;
	uint32_t max_xmit_dsl;
	struct key_seen seen;
};

static void reset(struct text_exchange *x)
{
	uint32_t last_ttt = x->last_ttt;

	text_buf_free(&x->in);
	text_buf_free(&x->out);
	*x = (struct text_exchange){ .last_ttt = last_ttt };
}

void text_exchange_free(struct text_exchange *x)
{
	if (!x)
		return;
	reset(x);
	free(x);
}

static void put_target(const struct login_env *env, const struct target_config *target,
		       struct text_buf *out)
{
	text_put(out, key_name(KEY_TARGET_NAME), target->scsi->name);
	for (unsigned int i = 0; i < env->portal_count; i++) {
		if (target_in_group(target, env->portals[i].tag))
			text_put_address(out, key_name(KEY_TARGET_ADDRESS), env->portals[i].address,
					 env->portals[i].tag);
	}
}

/* RFC 7143 Appendix C: a normal session hears of its own target only, a discovery session of every
 * target whose access list has the initiator. */
static void send_targets(const struct login_env *env, const struct login_result *who,
			 struct text_str value, struct text_buf *out)
{
	bool all = text_is(value, "All");
	char name[ISCSI_NAME_MAX + 1];

	if (!all && value.len > 0 && !name_normalize(value.s, value.len, name))
		return;
	if (who->target) {
		if (all || value.len == 0 || name_equal(name, who->target->scsi->name))
			put_target(env, who->target, out);
		return;
	}
	for (unsigned int i = 0; i < env->target_count && (all || value.len > 0); i++) {
		const struct target_config *target = &env->targets[i];

		if (target_allows(target, who->initiator_name, &who->from) &&
		    (all || name_equal(name, target->scsi->name)))
			put_target(env, target, out);
	}
}

/* A whole text is there. */
static bool answer(struct text_exchange *x, const struct login_env *env,
		   const struct login_result *who, enum reject_reason *reason)
{
	static const struct key_values no_offer;
	struct key_values values = { 0 };
	struct key_fault fault;
	struct key_set set;

	*reason = REJECT_PROTOCOL_ERROR;
	if (!keys_read(&set, &x->seen, x->in.bytes, x->text_start, x->in.len, STAGE_FULL_FEATURE,
		       &fault) ||
	    set.misplaced)
		return false;
	x->text_start = x->in.len;
	x->out.max = UINT32_MAX;
	if (!keys_negotiate(&set, &x->seen, &no_offer, false, &values, &x->out, &fault))
		return false;
	if (values.v[KEY_MAX_RECV_DSL]) {
		x->new_max_xmit_dsl = true;
		x->max_xmit_dsl = values.v[KEY_MAX_RECV_DSL];
	}
	if (key_present(&set, KEY_SEND_TARGETS))
		send_targets(env, who, set.value[KEY_SEND_TARGETS], &x->out);
	keys_answer_unknown(&set, &x->seen, x->in.bytes, &x->out);
	*reason = REJECT_OUT_OF_RESOURCES;
	return !x->out.error;
}

/* Takes the text of a request, and answers it when it is whole. */
static bool collect(struct text_exchange *x, const struct login_env *env,
		    const struct login_result *who, bool more, const uint8_t *data, uint32_t len,
		    enum reject_reason *reason)
{
	x->sent = x->out.len = 0;
	x->in.max = env->limits->login_bytes;
	*reason = REJECT_PROTOCOL_ERROR;
	if (++x->pdus > env->limits->login_pdus)
		return false;
	text_append(&x->in, data, len);
	if (x->in.error) {
		if (x->in.error == -ENOMEM)
			*reason = REJECT_OUT_OF_RESOURCES;
		return false;
	}
	return more || answer(x, env, who, reason);
}

static void next_ttt(struct text_exchange *x)
{
	if (++x->last_ttt == TAG_NONE)
		x->last_ttt = 1;
	x->ttt = x->last_ttt;
}

/* The next part of the answer. */
static void emit(struct text_exchange *x, bool more, uint32_t max_text, struct text_reply *reply)
{
	uint32_t rest = x->out.len - x->sent;

	reply->text = rest ? x->out.bytes + x->sent : NULL;
	reply->text_len = rest < max_text ? rest : max_text;
	x->sent += reply->text_len;
	if (x->sent < x->out.len)
		reply->flags = TEXT_CONTINUE;
	else if (x->final && !more)
		reply->flags = PDU_FINAL;
	if (reply->flags & PDU_FINAL) {
		x->open = false;
		reply->new_max_xmit_dsl = x->new_max_xmit_dsl;
		reply->max_xmit_dsl = x->max_xmit_dsl;
	} else {
		next_ttt(x);
		reply->ttt = x->ttt;
	}
}

/* Whether the request opens, restarts or goes on with the exchange; 0 or a reject_reason. */
static int enter(struct text_exchange *x, uint32_t itt, uint32_t ttt)
{
	if (itt == TAG_NONE)
		return REJECT_INVALID_PDU_FIELD;
	if (ttt != TAG_NONE && (!x->open || ttt != x->ttt))
		return REJECT_INVALID_PDU_FIELD;
	if (x->open && itt != x->itt)
		return REJECT_PROTOCOL_ERROR;
	if (ttt == TAG_NONE) {
		reset(x);
		x->itt = itt;
		x->open = true;
	}
	return 0;
}

static bool run(struct text_exchange *x, const struct login_env *env,
		const struct login_result *who, uint32_t max_text, uint8_t flags,
		const uint8_t *data, uint32_t len, struct text_reply *reply)
{
	bool more = flags & TEXT_CONTINUE, final = flags & PDU_FINAL;
	bool pending = x->sent < x->out.len;

	reply->reject = REJECT_PROTOCOL_ERROR;
	if (more && final)
		return false;
	/* Only an empty request may ask for the rest of an answer. */
	if (pending && (more || len))
		return false;
	if (!pending && !collect(x, env, who, more, data, len, &reply->reject))
		return false;
	x->final |= final;
	emit(x, more, max_text, reply);
	return true;
}

enum text_action text_step(struct text_exchange **exchange, const struct login_env *env,
			   const struct login_result *who, uint32_t max_text,
			   const struct bhs_text_request *req, const uint8_t *data, uint32_t len,
			   struct text_reply *reply)
{
	struct text_exchange *x = *exchange;
	int reason;

	assert(max_text > 0);
	*reply = (struct text_reply){ .ttt = TAG_NONE, .reject = REJECT_OUT_OF_RESOURCES };
	if (!x)
		x = *exchange = calloc(1, sizeof(*x));
	if (!x)
		return TEXT_REJECT;
	reason = enter(x, be32_get(req->itt), be32_get(req->ttt));
	if (reason) {
		reply->reject = (enum reject_reason)reason;
		return TEXT_REJECT;
	}
	if (run(x, env, who, max_text, req->flags, data, len, reply))
		return TEXT_REPLY;
	reset(x);
	return TEXT_REJECT;
}
