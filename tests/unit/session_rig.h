// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target side for the login tests: three targets, an initiator's requests written as
 * "Key=Value|Key=Value|" with '|' for NUL, answers read back the same way, and memory that can
 * run out. Every text goes in from a block of exactly its length, so that ASan sees an overrun.
 */
#ifndef RISER_TESTS_UNIT_SESSION_RIG_H
#define RISER_TESTS_UNIT_SESSION_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/login.h"
#include "tests/lib/unit.h"

#define INITIATOR "iqn.2026-11.test:initiator"
#define DISK "iqn.2026-11.test:disk"
#define SAFE "iqn.2026-11.test:safe"
#define PRIVATE "iqn.2026-11.test:private"
#define NAMES(target) "InitiatorName=" INITIATOR "|SessionType=Normal|TargetName=" target "|"
#define DISCOVERY "InitiatorName=" INITIATOR "|SessionType=Discovery|"

/* Flags of a Login Request: CSG, and with T the NSG. */
enum { SEC = 0x00, SEC_TO_OP = 0x81, SEC_TO_FFP = 0x83, OP = 0x04, OP_TO_FFP = 0x87, MORE = 0x40 };

struct rig {
	struct scsi_target scsi[3];
	struct target_config target[3];
	struct chap_user user[4]; /* of SAFE: alice, and who the test adds */
	char allowed[1][ISCSI_NAME_MAX + 1];
	struct login_portal portal[2];
	struct server_limits limits;
	struct login_env env;
	struct login *login;
	struct bhs_login_request req;
	struct login_reply reply;
	enum login_action action;
	char text[16384]; /* of the last reply, NUL as '|' */
};

static uint8_t rig_random_base;
static bool rig_random_fails;

/* One byte is a CHAP identifier, more are a challenge: 0x27 and a0 a1 a2 ... */
static inline bool rig_random(void *out, size_t len)
{
	uint8_t *bytes = out;

	for (size_t i = 0; i < len; i++)
		bytes[i] = len == 1 ? 0x27 : (uint8_t)(rig_random_base + i);
	return !rig_random_fails;
}

static inline void rig_account(struct chap_account *account, const char *user, const char *secret)
{
	snprintf(account->user, sizeof(account->user), "%s", user);
	account->secret_len = (uint8_t)strlen(secret);
	memcpy(account->secret, secret, account->secret_len);
}

static inline void rig_target(struct rig *r, int i, const char *name)
{
	snprintf(r->scsi[i].name, sizeof(r->scsi[i].name), "%s", name);
	r->target[i].scsi = &r->scsi[i];
	r->target[i].allow_any = true;
}

static inline void rig_free(struct rig *r)
{
	login_free(r->login);
	free(r);
}

static inline void rig_begin(struct rig *r)
{
	login_free(r->login);
	r->login = login_new(&r->env);
}

static inline struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	rig_random_base = 0xa0;
	rig_random_fails = false;
	rig_target(r, 0, DISK);
	rig_target(r, 1, SAFE);
	rig_target(r, 2, PRIVATE);
	snprintf(r->target[0].alias, sizeof(r->target[0].alias), "the disk");
	rig_account(&r->user[0].account, "alice", "alice-secret-0123456789");
	rig_account(&r->user[0].mutual, "riser", "riser-secret-9876543210");
	r->target[1].chap = (struct chap_users){ r->user, 1 };
	r->target[2].allow_any = false;
	r->target[2].allow = r->allowed;
	r->target[2].allow_count = 1;
	snprintf(r->allowed[0], sizeof(r->allowed[0]), "iqn.2026-11.test:Friend");
	r->portal[0] = (struct login_portal){ "192.0.2.1:3260", 1 };
	r->portal[1] = (struct login_portal){ "[2001:db8::1]:3260", 9 };
	r->limits = (struct server_limits){ .login_pdus = 20, .login_bytes = 65536 };
	r->env = (struct login_env){
		.targets = r->target,
		.target_count = 3,
		.limits = &r->limits,
		.can = { .header_digest = true,
			 .data_digest = true,
			 .immediate_data = true,
			 .max_recv_dsl = 262144,
			 .max_burst = 1048576,
			 .first_burst = 262144,
			 .max_outstanding_r2t = 16,
			 .error_recovery_level = 2,
			 .max_connections = 4 },
		.portals = r->portal,
		.portal_count = 2,
		.portal_group_tag = 1,
		.random = rig_random,
	};
	r->req = (struct bhs_login_request){
		.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE,
		.isid = { { 0x80, 1, 2, 3, 4, 5 } },
		.itt = be32_of(0x1234),
		.cid = be16_of(1),
		.cmdsn = be32_of(77),
	};
	rig_begin(r);
	return r;
}

/* A copy of exactly len bytes, never NULL. */
static inline uint8_t *rig_exact(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, bytes, len);
	return copy;
}

static inline uint8_t *rig_text(const char *bars)
{
	uint8_t *copy = rig_exact(bars, strlen(bars));

	for (size_t i = 0; bars[i]; i++) {
		if (copy[i] == '|')
			copy[i] = '\0';
	}
	return copy;
}

static inline void rig_bars(char *out, size_t size, const uint8_t *text, uint32_t len)
{
	CU_ASSERT_FATAL(len < size);
	for (uint32_t i = 0; i < len; i++)
		out[i] = text[i] ? (char)text[i] : '|';
	out[len] = '\0';
}

static inline enum login_action rig_send_bytes(struct rig *r, uint8_t flags, const void *bytes,
					       size_t len)
{
	uint8_t *exact = rig_exact(bytes, len);

	r->req.flags = flags;
	r->req.dlength = be24_of((uint32_t)len);
	r->action = login_step(r->login, &r->req, exact, (uint32_t)len, &r->reply);
	free(exact);
	rig_bars(r->text, sizeof(r->text), r->reply.text, r->reply.text_len);
	return r->action;
}

static inline enum login_action rig_send(struct rig *r, uint8_t flags, const char *bars)
{
	uint8_t *text = rig_text(bars);

	rig_send_bytes(r, flags, text, strlen(bars));
	free(text);
	return r->action;
}

/* Whether the last reply has this pair ("Key=Value"). */
static inline bool rig_said(const struct rig *r, const char *pair)
{
	size_t len = strlen(pair);

	for (const char *at = r->text; (at = strstr(at, pair)); at++) {
		if ((at == r->text || at[-1] == '|') && at[len] == '|')
			return true;
	}
	return false;
}

#define EXPECT_REPLY(r, flags_)                              \
	do {                                                 \
		CU_ASSERT_EQUAL((r)->action, LOGIN_REPLY);   \
		CU_ASSERT_EQUAL((r)->reply.status, 0);       \
		CU_ASSERT_EQUAL((r)->reply.flags, (flags_)); \
	} while (0)

#define EXPECT_DONE(r)                                          \
	do {                                                    \
		CU_ASSERT_EQUAL((r)->action, LOGIN_DONE);       \
		CU_ASSERT_EQUAL((r)->reply.status, 0);          \
		CU_ASSERT_EQUAL((r)->reply.flags & 0x83, 0x83); \
	} while (0)

/* Refused with this status: no text, no T bit, a reason for the log, and nothing after it. */
#define EXPECT_FAIL(r, status_)                                           \
	do {                                                              \
		CU_ASSERT_EQUAL((r)->action, LOGIN_FAIL);                 \
		CU_ASSERT_EQUAL((r)->reply.status, (status_));            \
		CU_ASSERT_EQUAL((r)->reply.text_len, 0);                  \
		CU_ASSERT_EQUAL((r)->reply.flags & 0xc3, 0);              \
		CU_ASSERT_PTR_NOT_NULL((r)->reply.why);                   \
		CU_ASSERT_FALSE(login_result((r)->login)->authenticated); \
	} while (0)

/* Memory that runs out: the allocation with this number fails, counted from 0; -1: none. The
 * sanitizers bring their own malloc; with them this cannot be done. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RIG_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RIG_SANITIZED
#endif
#endif
#ifdef RIG_ALLOCATION_FAILURES
#ifndef RIG_SANITIZED
static long rig_fail_at = -1;
static bool rig_failed;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static bool rig_out_of_memory(void)
{
	if (rig_fail_at < 0 || rig_fail_at-- > 0)
		return false;
	rig_failed = true;
	return true;
}

void *malloc(size_t size)
{
	return rig_out_of_memory() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return rig_out_of_memory() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return rig_out_of_memory() ? NULL : __libc_realloc(old, size);
}
#endif
#endif

#endif
