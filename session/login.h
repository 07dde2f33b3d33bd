// SPDX-License-Identifier: BSD-2-Clause
/*
 * Login negotiation (RFC 7143 sections 6, 11.12, 11.13, 13) and Text requests, as functions over
 * plain structs: no socket, no session, no timer. connection.c feeds them and sends what they say;
 * unit tests and fuzzers call them directly.
 */
#ifndef RISER_SESSION_LOGIN_H
#define RISER_SESSION_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pdu.h"
#include "session.h"

/* A portal as SendTargets names it, RFC 7143 13.8. */
struct login_portal {
	const char *address; /* "192.0.2.1:3260" or "[2001:db8::1]:3260" */
	uint16_t tag; /* of its portal group */
};

/* Where the answers of a login come from. Borrowed while a login or text exchange lives. */
struct login_env {
	const struct target_config *targets;
	unsigned int target_count;
	struct chap_users
		discovery_chap; /* who may ask for targets; those of a target are its own */
	const struct server_limits *limits;
	struct conn_params can; /* our side's offer, after conn_offer_keys() */
	/* To name in SendTargets; wildcard addresses are already replaced by the connection's own
	 * local address. */
	const struct login_portal *portals;
	unsigned int portal_count;
	uint16_t portal_group_tag; /* where the connection came in */
	struct address_range from; /* and where it came from */
	const char
		*redirect; /* all that come in there are sent here, NULL: none; see target_config */
	bool redirect_permanent;
	/* getrandom() in the daemon; fixed in tests. Fills all len bytes or returns false. */
	bool (*random)(void *out, size_t len);
};

enum session_type { SESSION_NORMAL, SESSION_DISCOVERY };

/* What a login has settled. Valid for use when login_step() said LOGIN_DONE. */
struct login_result {
	enum session_type type;
	char initiator_name[ISCSI_NAME_MAX + 1]; /* lower case */
	char initiator_alias[256]; /* as received, "" = none; escape before logging */
	const struct target_config *target; /* NULL: discovery */
	char target_name[ISCSI_NAME_MAX + 1]; /* that was asked for, lower case; "": none yet */
	struct isid isid;
	uint16_t portal_group_tag; /* with name, ISID and target: the I_T nexus */
	uint16_t tsih; /* as the initiator sent it; 0 = new session */
	uint16_t cid;
	uint32_t itt;
	uint32_t cmdsn; /* of the first Login Request: the session's ExpCmdSN */
	struct address_range from;
	bool authenticated; /* CHAP was done and succeeded */
	const struct chap_user *user; /* as whom; of the configuration; NULL: there was no CHAP */
	/* full_feature not set. With tsih != 0 only the digests and the data segment lengths were
	 * negotiated; for the rest, here and below, what the session has agreed on holds. */
	struct conn_params params;
	uint32_t max_connections, error_recovery_level, time2wait, time2retain;
	uint32_t protocol_level; /* iSCSIProtocolLevel; 1 when it was not negotiated */
	bool data_pdu_in_order, data_sequence_in_order;
};

enum login_action {
	LOGIN_REPLY, /* send the reply, wait for the next request */
	LOGIN_FAIL, /* send the reply (its status says why, its text where a target has moved), then
		     * close */
	LOGIN_DONE, /* settle the session, then send the reply with T=1, NSG=3 and the TSIH */
};

/* A Login Response to be: the caller adds sequence numbers, ITT, ISID. */
struct login_reply {
	uint8_t flags; /* T, C, CSG, NSG */
	enum login_status status;
	const char *why; /* for the log on LOGIN_FAIL: static text, no peer bytes */
	bool leading_only; /* why: a key that is the session's, which had better be there */
	const uint8_t *text; /* text_len bytes inside struct login, valid until the next step */
	uint32_t text_len; /* at most what the initiator takes (8192) */
};

struct login; /* opaque; bounded by limits->login_bytes, allocated per login, freed after it */

/* NULL: out of memory. env is borrowed. */
struct login *login_new(const struct login_env *env);
void login_free(struct login *login); /* wipes secrets; NULL is fine */
/* One Login Request with its data segment (len bytes, not NUL-terminated, borrowed). Checks
 * everything about it: versions, stages, T/C/CSG/NSG, ITT/CID/ISID constancy, PDU and byte bounds,
 * keys, authentication, names, access. Does not check TSIH against sessions: the caller does, when
 * it is not 0, before LOGIN_DONE takes effect. */
enum login_action login_step(struct login *login, const struct bhs_login_request *req,
			     const uint8_t *data, uint32_t len, struct login_reply *reply);
const struct login_result *login_result(const struct login *login);

/*
 * Text requests in full feature phase (RFC 7143 11.10): SendTargets, and the keys that may be
 * renegotiated (MaxRecvDataSegmentLength). One exchange at a time per connection.
 */
enum text_action {
	TEXT_REPLY, /* send the reply; its F bit and TTT say whether the exchange goes on */
	TEXT_REJECT, /* send a Reject with reply->reject; the exchange is over, unless the request
		      * was none of it (other ITT, wrong TTT): then it goes on */
};

struct text_reply {
	uint8_t flags; /* F, C */
	uint32_t ttt; /* host order; TAG_NONE when the exchange is over */
	enum reject_reason reject;
	const uint8_t *text; /* valid until the next step or text_exchange_free() */
	uint32_t text_len;
	bool new_max_xmit_dsl; /* the initiator declared a new MaxRecvDataSegmentLength */
	uint32_t max_xmit_dsl;
};

struct text_exchange; /* opaque; allocated by the first request, reused by later ones */

/* One Text Request. *exchange is NULL before the first; it is allocated and advanced here, and
 * belongs to the caller. TTTs are never used twice in its life.
 * max_text: largest data segment for the reply (transport and MaxRecvDataSegmentLength). */
enum text_action text_step(struct text_exchange **exchange, const struct login_env *env,
			   const struct login_result *who, uint32_t max_text,
			   const struct bhs_text_request *req, const uint8_t *data, uint32_t len,
			   struct text_reply *reply);
void text_exchange_free(struct text_exchange *exchange); /* NULL is fine */

#endif
