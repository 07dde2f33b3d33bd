// SPDX-License-Identifier: BSD-2-Clause
/*
 * The text keys of RFC 7143 sections 12 and 13 (and 7144), and of RFC 7145 section 6: one row each,
 * how a text is read into them, and what is answered to an offer.
 */
#ifndef RISER_SESSION_KEYS_H
#define RISER_SESSION_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "pdu.h"
#include "session/text.h"
#include "transport.h"

/* In the order in which they are answered: FirstBurstLength wants to know MaxBurstLength,
 * MaxOutstandingR2T wants ErrorRecoveryLevel, and the last ones whether there is RDMAExtensions. */
enum key {
	KEY_INITIATOR_NAME,
	KEY_INITIATOR_ALIAS,
	KEY_SESSION_TYPE,
	KEY_TARGET_NAME,
	KEY_TARGET_ALIAS,
	KEY_TARGET_ADDRESS,
	KEY_TARGET_PORTAL_GROUP_TAG,
	KEY_SEND_TARGETS,
	KEY_AUTH_METHOD,
	KEY_CHAP_A,
	KEY_CHAP_N,
	KEY_CHAP_R,
	KEY_CHAP_I,
	KEY_CHAP_C,
	KEY_NODE_ARCHITECTURE,
	KEY_HEADER_DIGEST,
	KEY_DATA_DIGEST,
	KEY_MAX_CONNECTIONS,
	KEY_INITIAL_R2T,
	KEY_IMMEDIATE_DATA,
	KEY_MAX_RECV_DSL,
	KEY_MAX_BURST,
	KEY_FIRST_BURST,
	KEY_TIME2WAIT,
	KEY_TIME2RETAIN,
	KEY_ERROR_RECOVERY_LEVEL,
	KEY_MAX_OUTSTANDING_R2T,
	KEY_DATA_PDU_IN_ORDER,
	KEY_DATA_SEQUENCE_IN_ORDER,
	KEY_TASK_REPORTING,
	KEY_PROTOCOL_LEVEL,
	KEY_IF_MARKER,
	KEY_OF_MARKER,
	KEY_IF_MARK_INT,
	KEY_OF_MARK_INT,
	KEY_RDMA_EXTENSIONS,
	KEY_INITIATOR_RECV_DSL,
	KEY_TARGET_RECV_DSL,
	KEY_MAX_UNEXPECTED_PDUS,
	KEY_MAX_AHS,
	KEY_TAGGED_SOLICITED_ONLY,
	KEY_HELLO_REQUIRED,
	KEY_COUNT,
};

enum { KEY_UNKNOWN_MAX = 64 };

/* Why a text was refused. In full feature phase every refusal is a protocol error. */
struct key_fault {
	enum login_status status;
	const char *why; /* static text */
};

/* The keys that came in a negotiation so far: none may come twice (RFC 7143 6.3). */
struct key_seen {
	uint64_t known; /* bit per enum key */
	unsigned int unknown_count;
	struct key_unknown {
		uint32_t at; /* offset of the name in the bytes of the negotiation */
		uint8_t len;
		bool is_answer; /* its value was an answer: nothing is to be said to it */
	} unknown[KEY_UNKNOWN_MAX];
};

/* One complete text, sorted by key. */
struct key_set {
	uint64_t present; /* bit per enum key */
	struct text_str value[KEY_COUNT]; /* into the bytes of the negotiation */
	unsigned int unknown_from; /* seen->unknown[] from here on came in this text */
	bool misplaced; /* a key that the initiator may not send in this stage */
};

/* Booleans 0 and 1, numbers, lists an index into the choices; for our side's offer of a list a
 * mask of them. Only negotiated and declared keys have one. */
struct key_values {
	uint32_t v[KEY_COUNT];
};

static inline bool key_present(const struct key_set *set, enum key key)
{
	return set->present >> key & 1;
}

const char *key_name(enum key key);
/* Reads the text all[start..end). all holds every byte of the negotiation since its beginning.
 * stage: STAGE_*. seen is updated, set filled in. */
bool keys_read(struct key_set *set, struct key_seen *seen, const uint8_t *all, uint32_t start,
	       uint32_t end, int stage, struct key_fault *fault);
/* Whether a key is there that only the first login of a session may send (RFC 7143 6.3, "LO"). */
bool keys_leading_only(const struct key_set *set);
/* The stage has changed: names may be repeated once more, as libiscsi does after CHAP. */
void keys_new_stage(struct key_seen *seen);

/* What holds when nobody negotiates. */
void keys_defaults(struct key_values *values);
/* Our side's offer under what the transport can do. */
void keys_offer(const struct conn_params *can, struct key_values *ours);
/* Settles every operational key of set: values is updated, answer gets our part. discovery: keys
 * without meaning there are answered Irrelevant. */
bool keys_negotiate(const struct key_set *set, const struct key_seen *seen,
		    const struct key_values *ours, bool discovery, struct key_values *values,
		    struct text_buf *answer, struct key_fault *fault);
/* NotUnderstood to the unknown keys of set. */
void keys_answer_unknown(const struct key_set *set, const struct key_seen *seen, const uint8_t *all,
			 struct text_buf *answer);

#endif
