// SPDX-License-Identifier: BSD-2-Clause
/* CHAP with several users, and for discovery. */
#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "session/chap.h"
#include "tests/unit/session_rig.h"

/* Computed with Python's hashlib: MD5(27 | secret | a0 a1 ... af) of the rig's challenge. */
static const struct somebody {
	const char *user, *secret, *response;
} people[] = {
	{ "alice", "alice-secret-0123456789", "e9efea20138596a3a82a618a81cf7e55" },
	{ "bob", "bob-secret-of-his-own", "2fe8ca4569e383a5a695740b44ad3276" },
	{ "dora", "dora-12bytes", "610213e2e8257385c68344f2f4c20113" },
};
enum { PEOPLE = sizeof(people) / sizeof(people[0]) };
/* MD5(5a | secret | 01 02 ... 10) of riser's secrets. */
#define ASK "CHAP_I=90|CHAP_C=0x0102030405060708090a0b0c0d0e0f10|"
#define FOR_ALICE "CHAP_N=riser|CHAP_R=0xc76090ab9019b9ce9a0cad29c20949f8|"
#define FOR_DORA "CHAP_N=r2|CHAP_R=0x5e8cdcabcf4dde3e440328163a2b060a|"

static unsigned int responses, compared; /* computed; bytes, in constant time */

/* In front of OpenSSL's own. */
int EVP_DigestFinal_ex(EVP_MD_CTX *ctx, unsigned char *md, unsigned int *size)
{
	int (*real)(EVP_MD_CTX *, unsigned char *, unsigned int *) =
		dlsym(RTLD_NEXT, "EVP_DigestFinal_ex");

	responses++;
	return real(ctx, md, size);
}

int CRYPTO_memcmp(const void *a, const void *b, size_t len)
{
	int (*real)(const void *, const void *, size_t) = dlsym(RTLD_NEXT, "CRYPTO_memcmp");

	compared += (unsigned int)len;
	return real(a, b, len);
}

static struct rig *rig_of_three(void)
{
	struct rig *r = rig_new();

	for (int i = 0; i < PEOPLE; i++)
		rig_account(&r->user[i].account, people[i].user, people[i].secret);
	rig_account(&r->user[2].mutual, "r2", "riser-for-dora-only");
	r->target[1].chap.count = PEOPLE;
	rig_begin(r);
	return r;
}

static void answer(struct rig *r, const char *first, const char *user, const char *response,
		   const char *more)
{
	char text[512];

	rig_begin(r);
	rig_send(r, SEC, first);
	EXPECT_REPLY(r, SEC);
	rig_send(r, SEC, "CHAP_A=5|");
	EXPECT_REPLY(r, SEC);
	snprintf(text, sizeof(text), "CHAP_N=%s|CHAP_R=0x%s|%s", user, response, more);
	rig_send(r, SEC_TO_FFP, text);
}

#define LOGIN NAMES(SAFE) "AuthMethod=CHAP|"
#define ASK_TARGETS DISCOVERY "AuthMethod=CHAP|"

/* Everybody with the secret that is his, and with nobody else's. */
static void each_user_has_a_secret(void)
{
	struct rig *r = rig_of_three();

	for (int user = 0; user < PEOPLE; user++) {
		for (int secret = 0; secret < PEOPLE; secret++) {
			answer(r, LOGIN, people[user].user, people[secret].response, "");
			if (user == secret)
				EXPECT_DONE(r);
			else
				EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
			CU_ASSERT_EQUAL(login_result(r->login)->authenticated, user == secret);
		}
	}
	for (int secret = 0; secret < PEOPLE; secret++) {
		answer(r, LOGIN, "eve", people[secret].response, "");
		EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
		answer(r, LOGIN, "", people[secret].response, "");
		EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	}
	rig_free(r);
}

/* C4: the work tells neither whether there is such a user, nor which one it is, nor how far the name
 * or the response was right. */
static void everybody_costs_the_same(void)
{
	static const char *const names[] = { "alice", "bob", "dora", "eve", "alic", "alicex", "" };
	static const char *const said[] = { "e9efea20138596a3a82a618a81cf7e55",
					    "e9efea20138596a3a82a618a81cf7e54", "00", "" };
	struct rig *r = rig_of_three();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) * 4; i++) {
		responses = compared = 0;
		answer(r, LOGIN, names[i / 4], said[i % 4], "");
		CU_ASSERT_EQUAL(r->action, i == 0 ? LOGIN_DONE : LOGIN_FAIL);
		CU_ASSERT_EQUAL(responses, PEOPLE);
		CU_ASSERT_EQUAL(compared, PEOPLE * (256 + 16));
	}
	rig_free(r);
}

static void users_may_share_a_secret(void)
{
	struct rig *r = rig_of_three();

	rig_account(&r->user[1].account, "bob", people[0].secret);
	answer(r, LOGIN, "bob", people[0].response, "");
	EXPECT_DONE(r);
	answer(r, LOGIN, "alice", people[0].response, "");
	EXPECT_DONE(r);
	rig_free(r);
}

/* We prove ourselves to each as he expects it, and to nobody who has not proved himself. */
static void each_user_has_our_proof(void)
{
	struct rig *r = rig_of_three();

	answer(r, LOGIN, "alice", people[0].response, ASK);
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, FOR_ALICE);
	answer(r, LOGIN, "dora", people[2].response, ASK);
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, FOR_DORA);
	answer(r, LOGIN, "bob", people[1].response, ASK);
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	answer(r, LOGIN, "bob", people[1].response, "");
	EXPECT_DONE(r);
	answer(r, LOGIN, "dora", people[0].response, ASK);
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	rig_free(r);
}

/* As many as there may be, the longest names and secrets among them: the last is as good as the
 * first. */
static void many_users(void)
{
	struct rig *r = rig_new();
	struct chap_user *many = calloc(CHAP_USERS_MAX, sizeof(*many));
	char name[256];

	for (int i = 0; i < CHAP_USERS_MAX; i++) {
		snprintf(name, sizeof(name), "u%0*d", 1 + i % 254, i);
		rig_account(&many[i].account, name, people[i % PEOPLE].secret);
	}
	r->target[1].chap = (struct chap_users){ many, CHAP_USERS_MAX };
	for (int i = 0; i < CHAP_USERS_MAX; i += 15) {
		answer(r, LOGIN, many[i].account.user, people[i % PEOPLE].response, "");
		EXPECT_DONE(r);
		answer(r, LOGIN, many[i].account.user, people[(i + 1) % PEOPLE].response, "");
		EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	}
	rig_free(r);
	free(many);
}

static void discovery_with_a_secret(void)
{
	struct rig *r = rig_of_three();

	/* That of a target is none for discovery, nor the other way round. */
	r->env.discovery_chap = (struct chap_users){ &r->user[1], 1 };
	answer(r, ASK_TARGETS, "bob", people[1].response, "");
	EXPECT_DONE(r);
	CU_ASSERT_TRUE(login_result(r->login)->authenticated);
	CU_ASSERT_EQUAL(login_result(r->login)->type, SESSION_DISCOVERY);
	answer(r, ASK_TARGETS, "alice", people[0].response, "");
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	answer(r, ASK_TARGETS, "bob", people[1].response, ASK);
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	rig_account(&r->user[1].mutual, "r2", "riser-for-dora-only");
	answer(r, ASK_TARGETS, "bob", people[1].response, ASK);
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, FOR_DORA);
	/* A target without CHAP is reached as before. */
	rig_begin(r);
	rig_send(r, OP_TO_FFP, NAMES(DISK));
	EXPECT_DONE(r);
	CU_ASSERT_FALSE(login_result(r->login)->authenticated);
	rig_free(r);
}

static void discovery_cannot_go_around_it(void)
{
	static const struct {
		uint8_t flags;
		const char *text;
	} rows[] = {
		{ OP_TO_FFP, DISCOVERY },
		{ OP, DISCOVERY },
		{ SEC_TO_FFP, DISCOVERY },
		{ SEC_TO_OP, DISCOVERY "AuthMethod=None|" },
		{ SEC, DISCOVERY "AuthMethod=KRB5,None|" },
		{ OP_TO_FFP, DISCOVERY "TargetName=" DISK "|" },
	};
	struct rig *r = rig_of_three();

	r->env.discovery_chap = (struct chap_users){ r->user, PEOPLE };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_begin(r);
		rig_send(r, rows[i].flags, rows[i].text);
		EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	}
	rig_begin(r);
	rig_send(r, SEC_TO_FFP, DISCOVERY "AuthMethod=None,CHAP|");
	EXPECT_REPLY(r, SEC);
	CU_ASSERT_STRING_EQUAL(r->text, "AuthMethod=CHAP|");
	rig_send(r, OP_TO_FFP, "");
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	rig_free(r);
}

/* RFC 7143 12.1.3: a challenge that waits in a discovery login is not answered in a normal one. */
static void reflection_from_discovery(void)
{
	struct rig *waiting = rig_of_three(), *r = rig_of_three();

	waiting->env.discovery_chap = (struct chap_users){ waiting->user, PEOPLE };
	rig_random_base = 1;
	rig_begin(waiting);
	rig_send(waiting, SEC, ASK_TARGETS);
	rig_send(waiting, SEC, "CHAP_A=5|");
	CU_ASSERT_STRING_EQUAL(waiting->text,
			       "CHAP_A=5|CHAP_I=39|CHAP_C=0x0102030405060708090a0b0c0d0e0f10|");
	rig_random_base = 0xa0;
	answer(r, LOGIN, "alice", people[0].response, ASK);
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	rig_free(waiting);
	answer(r, LOGIN, "alice", people[0].response, ASK);
	EXPECT_DONE(r);
	rig_free(r);
}

UNIT_MAIN(TEST(each_user_has_a_secret), TEST(everybody_costs_the_same),
	  TEST(users_may_share_a_secret), TEST(each_user_has_our_proof), TEST(many_users),
	  TEST(discovery_with_a_secret), TEST(discovery_cannot_go_around_it),
	  TEST(reflection_from_discovery));
