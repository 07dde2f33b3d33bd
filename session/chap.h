// SPDX-License-Identifier: BSD-2-Clause
/*
 * CHAP (RFC 1994, RFC 7143 12.1.3) with MD5, SHA1, SHA-256 and SHA3-256, one-way and mutual:
 *
 *   IDLE --AuthMethod--> ALGORITHM --CHAP_A--> RESPONSE --CHAP_N, CHAP_R[, CHAP_I, CHAP_C]--> DONE
 *
 * A challenge serves one response. While it is out it stands in a list of the whole process, so
 * that nobody can have us answer it (reflection).
 */
#ifndef RISER_SESSION_CHAP_H
#define RISER_SESSION_CHAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/list.h"
#include "session.h"
#include "session/keys.h"

enum chap_state { CHAP_IDLE, CHAP_ALGORITHM, CHAP_RESPONSE, CHAP_DONE };
enum { CHAP_DIGEST_MAX = 32, CHAP_CHALLENGE_MAX = 1024 };

struct chap_hash;

struct chap {
	struct list node; /* on the list of live challenges, under its lock */
	enum chap_state state;
	struct chap_users users;
	const struct chap_user *user; /* who it is, in DONE */
	bool (*random)(void *out, size_t len);
	const struct chap_hash *hash; /* from RESPONSE on */
	uint8_t identifier;
	uint8_t challenge[CHAP_DIGEST_MAX];
	uint8_t challenge_len;
};

void chap_init(struct chap *chap);
/* The initiator's AuthMethod was answered with CHAP. */
void chap_start(struct chap *chap, const struct chap_users *users,
		bool (*random)(void *out, size_t len));
/* One text of the security stage. transit: the initiator wants to leave the stage with it. False:
 * the login is over; nothing in fault or in the work done tells a wrong name from a wrong secret,
 * or one user from another. */
bool chap_step(struct chap *chap, const struct key_set *set, bool transit, struct text_buf *answer,
	       struct key_fault *fault);
/* Takes the challenge back and wipes it. */
void chap_wipe(struct chap *chap);

#endif
