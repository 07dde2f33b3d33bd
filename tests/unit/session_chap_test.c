// SPDX-License-Identifier: BSD-2-Clause
/* CHAP: known answers, and every way not to be let in (rows C1 to C6, C8). */
#define RIG_ALLOCATION_FAILURES
#include "session/chap.h"
#include "tests/unit/session_rig.h"

/*
 * The rig's challenge is a0 a1 a2 ... with identifier 0x27, alice's secret is in session_rig.h.
 * Computed with Python's hashlib: H(27 | secret | challenge), and for mutual CHAP
 * H(5a | riser's secret | 01 02 ... 10).
 */
static const struct vector {
	const char *number, *hex, *base64, *mutual, *challenge;
} vectors[] = {
	{ "5", "e9efea20138596a3a82a618a81cf7e55", "6e/qIBOFlqOoKmGKgc9+VQ==",
	  "c76090ab9019b9ce9a0cad29c20949f8", "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf" },
	{ "6", "883c577a043d797b278807e694254eb366c81a24", "iDxXegQ9eXsniAfmlCVOs2bIGiQ=",
	  "dc77d29b12c748aea78db1cc0ac92963e9a047c3", "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3" },
	{ "7", "6b8cafd1dd3d2a28986d27add4143564b0f9421e01756a86ce657bd230225e08",
	  "a4yv0d09KiiYbSet1BQ1ZLD5Qh4BdWqGzmV70jAiXgg=",
	  "b4e3fe981704407f7dc2055b8945609b34665fb40fcd8c499a0e19f1cf591bc7",
	  "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf" },
	{ "8", "c201f27f692877a64831832a3bc8c0ab7a93b8f0e41bc09d756768984e0b51a0",
	  "wgHyf2kod6ZIMYMqO8jAq3qTuPDkG8CddWdomE4LUaA=",
	  "4c26a376fe13c211628ac631093af08c06f12c36a7f0bbe85203440d9af49973",
	  "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf" },
};
#define MD5_HEX "e9efea20138596a3a82a618a81cf7e55"
#define GOOD "CHAP_N=alice|CHAP_R=0x" MD5_HEX "|"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Up to the challenge; the text of the reply is the challenge. */
static void challenge(struct rig *r, const char *algorithms)
{
	char text[64];

	rig_begin(r);
	rig_send(r, SEC, NAMES(SAFE) "AuthMethod=CHAP|");
	EXPECT_REPLY(r, SEC);
	CU_ASSERT_STRING_EQUAL(r->text, "TargetPortalGroupTag=1|AuthMethod=CHAP|");
	snprintf(text, sizeof(text), "CHAP_A=%s|", algorithms);
	rig_send(r, SEC, text);
}

static void expect_challenge(const struct rig *r, const struct vector *v)
{
	char text[256];

	snprintf(text, sizeof(text), "CHAP_A=%s|CHAP_I=39|CHAP_C=0x%s|", v->number, v->challenge);
	CU_ASSERT_STRING_EQUAL(r->text, text);
}

static void one_way_with_every_algorithm(void)
{
	struct rig *r = rig_new();
	char text[256];

	for (size_t i = 0; i < COUNT(vectors) * 2; i++) {
		const struct vector *v = &vectors[i / 2];

		challenge(r, v->number);
		EXPECT_REPLY(r, SEC);
		expect_challenge(r, v);
		snprintf(text, sizeof(text), "CHAP_N=alice|CHAP_R=%s%s|", i % 2 ? "0b" : "0x",
			 i % 2 ? v->base64 : v->hex);
		rig_send(r, SEC_TO_OP, text);
		EXPECT_REPLY(r, SEC_TO_OP);
		CU_ASSERT_STRING_EQUAL(r->text, "");
		rig_send(r, OP_TO_FFP, "");
		EXPECT_DONE(r);
		CU_ASSERT_TRUE(login_result(r->login)->authenticated);
		CU_ASSERT_PTR_EQUAL(login_result(r->login)->target, &r->target[1]);
	}
	rig_free(r);
}

static void mutual_with_every_algorithm(void)
{
	struct rig *r = rig_new();
	char text[512];

	for (size_t i = 0; i < COUNT(vectors); i++) {
		const struct vector *v = &vectors[i];

		challenge(r, v->number);
		snprintf(text, sizeof(text),
			 "CHAP_N=alice|CHAP_R=0X%s|CHAP_I=0x5a|"
			 "CHAP_C=0bAQIDBAUGBwgJCgsMDQ4PEA==|",
			 v->hex);
		rig_send(r, SEC_TO_FFP, text);
		EXPECT_DONE(r);
		snprintf(text, sizeof(text), "CHAP_N=riser|CHAP_R=0x%s|", v->mutual);
		CU_ASSERT_STRING_EQUAL(r->text, text);
		CU_ASSERT_TRUE(login_result(r->login)->authenticated);
	}
	rig_free(r);
}

static void first_algorithm_in_common(void)
{
	static const struct {
		const char *offer;
		size_t chosen;
	} rows[] = { { "7,5", 2 }, { "5,7", 0 }, { "1,99,300,8,5", 3 }, { "0x6", 1 } };
	struct rig *r = rig_new();

	for (size_t i = 0; i < COUNT(rows); i++) {
		challenge(r, rows[i].offer);
		expect_challenge(r, &vectors[rows[i].chosen]);
	}
	rig_free(r);
}

/* What real initiators do with the T bit: libiscsi and open-iscsi set it with AuthMethod, iPXE in
 * every request. They are held back, not refused. */
static void t_bit_before_the_end(void)
{
	struct rig *r = rig_new();

	rig_send(r, SEC_TO_OP, NAMES(SAFE) "AuthMethod=CHAP,None|");
	EXPECT_REPLY(r, SEC);
	CU_ASSERT_TRUE(rig_said(r, "AuthMethod=CHAP"));
	rig_send(r, SEC_TO_OP, "CHAP_A=5|");
	EXPECT_REPLY(r, SEC);
	expect_challenge(r, &vectors[0]);
	rig_send(r, SEC_TO_OP, GOOD);
	EXPECT_REPLY(r, SEC_TO_OP);
	/* libiscsi says its names again. */
	rig_send(r, OP_TO_FFP, NAMES(SAFE) "HeaderDigest=None|");
	EXPECT_DONE(r);
	CU_ASSERT_TRUE(login_result(r->login)->authenticated);
	rig_free(r);
}

static void end_of_chap_without_t_bit(void)
{
	struct rig *r = rig_new();

	challenge(r, "5");
	rig_send(r, SEC, GOOD);
	EXPECT_REPLY(r, SEC);
	rig_send(r, SEC, "");
	EXPECT_REPLY(r, SEC);
	rig_send(r, SEC_TO_OP, "");
	EXPECT_REPLY(r, SEC_TO_OP);
	rig_free(r);
}

static void names_say_nothing_before_authentication(void)
{
	struct rig *r = rig_new();

	snprintf(r->target[1].alias, sizeof(r->target[1].alias), "secret place");
	challenge(r, "5");
	CU_ASSERT_FALSE(rig_said(r, "TargetAlias=secret place"));
	rig_send(r, SEC_TO_OP, GOOD);
	CU_ASSERT_FALSE(rig_said(r, "TargetAlias=secret place"));
	rig_send(r, OP_TO_FFP, "");
	EXPECT_DONE(r);
	CU_ASSERT_TRUE(rig_said(r, "TargetAlias=secret place"));
	rig_free(r);
}

/* Requests after NAMES(SAFE) in the first one; the last is refused. */
static const struct {
	const char *what;
	struct {
		uint8_t flags;
		const char *text;
	} request[3];
	enum login_status status;
} refusals[] = {
	{ "C1 None only", { { SEC_TO_OP, "AuthMethod=None|" } }, LOGIN_AUTH_FAILED },
	{ "C1 None only, no T", { { SEC, "AuthMethod=None|" } }, LOGIN_AUTH_FAILED },
	{ "C1 other methods", { { SEC, "AuthMethod=KRB5,SRP|" } }, LOGIN_AUTH_FAILED },
	{ "C1 no method", { { SEC_TO_OP, "" } }, LOGIN_AUTH_FAILED },
	{ "C1 no method, to full feature", { { SEC_TO_FFP, "" } }, LOGIN_AUTH_FAILED },
	{ "C1 no method, later", { { SEC, "" }, { SEC_TO_OP, "" } }, LOGIN_AUTH_FAILED },
	{ "C1 an answer for a method", { { SEC, "AuthMethod=Reject|" } }, LOGIN_AUTH_FAILED },
	{ "C1 starts in operational", { { OP_TO_FFP, "" } }, LOGIN_AUTH_FAILED },
	{ "C1 starts in operational, no T", { { OP, "" } }, LOGIN_AUTH_FAILED },
	{ "C1 CHAP in operational", { { OP_TO_FFP, "AuthMethod=CHAP|" } }, LOGIN_AUTH_FAILED },
	{ "C1 jumps after AuthMethod",
	  { { SEC, "AuthMethod=CHAP|" }, { OP_TO_FFP, "" } },
	  LOGIN_AUTH_FAILED },
	{ "C1 jumps after the challenge",
	  { { SEC, "AuthMethod=CHAP|" }, { SEC, "CHAP_A=5|" }, { OP_TO_FFP, "" } },
	  LOGIN_AUTH_FAILED },
	{ "C1 T without CHAP_A",
	  { { SEC, "AuthMethod=CHAP|" }, { SEC_TO_OP, "" } },
	  LOGIN_AUTH_FAILED },
	{ "C1 T without CHAP_R",
	  { { SEC, "AuthMethod=CHAP|" }, { SEC, "CHAP_A=5|" }, { SEC_TO_FFP, "" } },
	  LOGIN_AUTH_FAILED },
	{ "C2 no CHAP_A", { { SEC, "AuthMethod=CHAP|" }, { SEC, "" } }, LOGIN_MISSING_PARAMETER },
	{ "C2 CHAP_A with AuthMethod",
	  { { SEC, "AuthMethod=CHAP|CHAP_A=5|" } },
	  LOGIN_AUTH_FAILED },
	{ "C2 CHAP_A before AuthMethod", { { SEC, "CHAP_A=5|" } }, LOGIN_AUTH_FAILED },
	{ "C2 CHAP_R before CHAP_A",
	  { { SEC, "AuthMethod=CHAP|" }, { SEC, GOOD } },
	  LOGIN_AUTH_FAILED },
	{ "C2 all at once",
	  { { SEC, "AuthMethod=CHAP|" }, { SEC_TO_OP, "CHAP_A=5|" GOOD } },
	  LOGIN_AUTH_FAILED },
};

static void chap_cannot_be_gone_around(void)
{
	char text[256];

	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct rig *r = rig_new();

		for (int n = 0; n < 3 && refusals[i].request[n].text; n++) {
			if (n > 0)
				CU_ASSERT_EQUAL(r->action, LOGIN_REPLY);
			snprintf(text, sizeof(text), "%s%s", n ? "" : NAMES(SAFE),
				 refusals[i].request[n].text);
			rig_send(r, refusals[i].request[n].flags, text);
		}
		if (r->action != LOGIN_FAIL || r->reply.status != refusals[i].status)
			printf("# %s: got %#x\n", refusals[i].what, r->reply.status);
		EXPECT_FAIL(r, refusals[i].status);
		rig_free(r);
	}
}

static void algorithms_we_do_not_have(void)
{
	static const char *const lists[] = { "",    "4",  "9",	"0",	    "5,5,5", "7,7",
					     "9,9", "5,", "x",	"-5",	    "5;7",   "5,x",
					     "05",  " 5", "5 ", "5,6,7,8,5" };
	struct rig *r = rig_new();

	for (size_t i = 0; i < COUNT(lists); i++) {
		challenge(r, lists[i]);
		EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	}
	rig_free(r);
}

/* What is sent instead of the right answer to an MD5 challenge. */
static const struct {
	const char *text;
	enum login_status status;
} answers[] = {
	/* C3 */
	{ "CHAP_N=alice|CHAP_R=0x69efea20138596a3a82a618a81cf7e55|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0xe9efea20138596a3a82a618a81cf7e54|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0x00000000000000000000000000000000|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0x" MD5_HEX "00|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0x" MD5_HEX "0|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0x" MD5_HEX MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0x" MD5_HEX MD5_HEX MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0xe9efea20138596a3a82a618a81cf7e|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0xe9efea20138596a3a82a618a81cf7e5|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0xe9|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0xg9efea20138596a3a82a618a81cf7e55|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0x|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0b|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R= 0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0b6e/qIBOFlqOoKmGKgc9+VQ|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0b6e/qIBOFlqOoKmGKgc9+VQ=|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0b6e/qIBOFlqOoKmGKgc9+VR==|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0b6e=qIBOFlqOoKmGKgc9+VQ==|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=0b6e_qIBOFlqOoKmGKgc9-VQ==|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|CHAP_R=NotUnderstood|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alice|", LOGIN_MISSING_PARAMETER },
	{ "CHAP_R=0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_R=0x" MD5_HEX "|", LOGIN_INITIATOR_ERROR },
	{ GOOD "CHAP_A=5|", LOGIN_INITIATOR_ERROR },
	/* C4 */
	{ "CHAP_N=bob|CHAP_R=0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=|CHAP_R=0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=Alice|CHAP_R=0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alicex|CHAP_R=0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=alic|CHAP_R=0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=0bYWxpY2U=|CHAP_R=0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=0x616c696365|CHAP_R=0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	{ "CHAP_N=riser|CHAP_R=0x" MD5_HEX "|", LOGIN_AUTH_FAILED },
	/* C5 */
	{ GOOD "CHAP_I=256|CHAP_C=0x01|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_I=-1|CHAP_C=0x01|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_I=|CHAP_C=0x01|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_I=1|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_C=0x01|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_I=1|CHAP_C=0x|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_I=1|CHAP_C=|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_I=1|CHAP_C=0xzz|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_I=1|CHAP_C=0xa0a1a2a3a4a5a6a7a8a9aaabacadaeaf|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_I=1|CHAP_C=0xA0A1A2A3A4A5A6A7A8A9AAABACADAEAF|", LOGIN_AUTH_FAILED },
	{ GOOD "CHAP_I=1|CHAP_C=0boKGio6SlpqeoqaqrrK2urw==|", LOGIN_AUTH_FAILED },
	/* the secret of the other direction: H(27 | riser's secret | challenge) is none of ours */
	{ "CHAP_N=riser|CHAP_R=0xc76090ab9019b9ce9a0cad29c20949f8|", LOGIN_AUTH_FAILED },
};

static void wrong_answers_are_refused(void)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct rig *r = rig_new();

		challenge(r, "5");
		rig_send(r, SEC_TO_OP, answers[i].text);
		if (r->reply.status != answers[i].status)
			printf("# %s: got %#x\n", answers[i].text, r->reply.status);
		EXPECT_FAIL(r, answers[i].status);
		/* The challenge is used up: the right answer comes too late. */
		rig_send(r, SEC_TO_OP, GOOD);
		EXPECT_FAIL(r, LOGIN_INVALID_DURING_LOGIN);
		rig_free(r);
	}
}

/* C4: the log and the wire show no difference. */
static void name_and_secret_fail_alike(void)
{
	struct rig *r = rig_new();
	const char *why;

	challenge(r, "5");
	rig_send(r, SEC_TO_OP, "CHAP_N=bob|CHAP_R=0x" MD5_HEX "|");
	why = r->reply.why;
	challenge(r, "5");
	rig_send(r, SEC_TO_OP, "CHAP_N=alice|CHAP_R=0x00000000000000000000000000000000|");
	CU_ASSERT_STRING_EQUAL(r->reply.why, why);
	rig_free(r);
}

static void lengths_of_responses_and_challenges(void)
{
	struct rig *r = rig_new();
	char digits[2 * 1025 + 1], text[4096];

	memset(digits, '5', sizeof(digits));
	for (int count = 0; count <= 255; count++) {
		challenge(r, "5");
		snprintf(text, sizeof(text), "CHAP_N=alice|CHAP_R=0x%.*s|", count, digits);
		rig_send(r, SEC_TO_OP, text);
		EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	}
	for (int bytes = 1; bytes <= 1025; bytes += 1024 / 4 - (bytes == 1)) {
		challenge(r, "5");
		snprintf(text, sizeof(text), GOOD "CHAP_I=1|CHAP_C=0x%.*s|", 2 * bytes, digits);
		rig_send(r, SEC_TO_OP, text);
		EXPECT_REPLY(r, SEC_TO_OP);
	}
	challenge(r, "5");
	snprintf(text, sizeof(text), GOOD "CHAP_I=1|CHAP_C=0x%.*s|", 2 * 1025, digits);
	rig_send(r, SEC_TO_OP, text);
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	rig_free(r);
}

static void names_of_256_bytes(void)
{
	struct rig *r = rig_new();
	char text[512], name[257];

	memset(name, 'a', sizeof(name));
	for (int len = 255; len <= 256; len++) {
		challenge(r, "5");
		snprintf(text, sizeof(text), "CHAP_N=%.*s|CHAP_R=0x" MD5_HEX "|", len, name);
		rig_send(r, SEC_TO_OP, text);
		EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	}
	memset(r->user[0].account.user, 'a', 255);
	challenge(r, "5");
	snprintf(text, sizeof(text), "CHAP_N=%.*s|CHAP_R=0x" MD5_HEX "|", 255, name);
	rig_send(r, SEC_TO_OP, text);
	EXPECT_REPLY(r, SEC_TO_OP);
	rig_free(r);
}

static void mutual_that_is_not_configured(void)
{
	struct rig *r = rig_new();

	r->user[0].mutual.user[0] = '\0';
	challenge(r, "5");
	rig_send(r, SEC_TO_OP, GOOD "CHAP_I=1|CHAP_C=0x01|");
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	challenge(r, "5");
	rig_send(r, SEC_TO_OP, GOOD);
	EXPECT_REPLY(r, SEC_TO_OP);
	rig_free(r);
}

/* C5: nobody gets our answer to a challenge that waits on another connection, and it is free
 * again when that login is over. */
static void challenge_of_another_connection(void)
{
	struct rig *waiting = rig_new(), *r = rig_new();
	static const char theirs[] =
		GOOD "CHAP_I=1|CHAP_C=0x00000000000000000000000000000000000102030405060708090a0b0c"
		     "0d0e0f|";
	static const char *const reflected =
		GOOD "CHAP_I=1|CHAP_C=0x000102030405060708090a0b0c0d0e0f|";

	rig_random_base = 0;
	challenge(waiting, "5");
	CU_ASSERT_STRING_EQUAL(waiting->text,
			       "CHAP_A=5|CHAP_I=39|CHAP_C=0x000102030405060708090a0b0c0d0e0f|");
	rig_random_base = 0xa0;
	challenge(r, "5");
	rig_send(r, SEC_TO_OP, reflected);
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	challenge(r, "5");
	rig_send(r, SEC_TO_OP, theirs);
	EXPECT_REPLY(r, SEC_TO_OP);
	rig_free(waiting);
	challenge(r, "5");
	rig_send(r, SEC_TO_OP, reflected);
	EXPECT_REPLY(r, SEC_TO_OP);
	rig_free(r);
}

/* C6: another challenge, and the recorded answer is worth nothing. */
static void replay(void)
{
	struct rig *r = rig_new();

	challenge(r, "5");
	rig_send(r, SEC_TO_OP, GOOD);
	EXPECT_REPLY(r, SEC_TO_OP);
	rig_random_base = 0xa1;
	challenge(r, "5");
	rig_send(r, SEC_TO_OP, GOOD);
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	rig_free(r);
}

static void no_random_numbers(void)
{
	struct rig *r = rig_new();

	rig_random_fails = true;
	challenge(r, "5");
	EXPECT_FAIL(r, LOGIN_TARGET_ERROR);
	rig_free(r);
}

/* L12 */
static void answer_cut_at_every_byte(void)
{
	static const char text[] = GOOD "CHAP_I=90|CHAP_C=0x0102030405060708090a0b0c0d0e0f10|";
	struct rig *r = rig_new();
	uint8_t *bytes = rig_text(text);

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		challenge(r, "5");
		rig_send_bytes(r, SEC | MORE, bytes, cut);
		EXPECT_REPLY(r, SEC);
		CU_ASSERT_STRING_EQUAL(r->text, "");
		rig_send_bytes(r, SEC_TO_OP, bytes + cut, sizeof(text) - 1 - cut);
		EXPECT_REPLY(r, SEC_TO_OP);
		CU_ASSERT_STRING_EQUAL(r->text,
				       "CHAP_N=riser|CHAP_R=0xc76090ab9019b9ce9a0cad29c20949f8|");
	}
	free(bytes);
	rig_free(r);
}

/* Each allocation of the exchange fails once, OpenSSL's too (which can do without some): refused
 * or right, and the wrong answer never let in. */
static void out_of_memory(void)
{
#ifdef RIG_SANITIZED
	UNIT_SKIP("the sanitizer owns malloc");
#else
	static const char *const said[] = { GOOD, "CHAP_N=alice|CHAP_R=0x00|" };
	struct rig *r = rig_new();
	uint8_t *offer = rig_text("CHAP_A=5|");
	long at = 0, refused = 0;

	challenge(r, "5");
	do {
		const char *text = said[at % 2];
		uint8_t *response = rig_text(text);

		rig_begin(r);
		rig_send(r, SEC, NAMES(SAFE) "AuthMethod=CHAP|");
		rig_failed = false;
		rig_fail_at = at++ / 2;
		r->req.flags = SEC;
		r->action = login_step(r->login, &r->req, offer, 9, &r->reply);
		if (r->action == LOGIN_REPLY) {
			r->req.flags = SEC_TO_FFP;
			r->action = login_step(r->login, &r->req, response, (uint32_t)strlen(text),
					       &r->reply);
		}
		rig_fail_at = -1;
		CU_ASSERT_NOT_EQUAL(r->action, LOGIN_REPLY);
		CU_ASSERT(r->action == LOGIN_FAIL || text == said[0]);
		CU_ASSERT_EQUAL(login_result(r->login)->authenticated, r->action == LOGIN_DONE);
		refused += r->action == LOGIN_FAIL && text == said[0];
		free(response);
	} while ((rig_failed || at % 2) && at < 1000);
	CU_ASSERT(refused >= 2);
	CU_ASSERT(at < 1000);
	free(offer);
	rig_free(r);
#endif
}

UNIT_MAIN(TEST(one_way_with_every_algorithm), TEST(mutual_with_every_algorithm),
	  TEST(first_algorithm_in_common), TEST(t_bit_before_the_end),
	  TEST(end_of_chap_without_t_bit), TEST(names_say_nothing_before_authentication),
	  TEST(chap_cannot_be_gone_around), TEST(algorithms_we_do_not_have),
	  TEST(wrong_answers_are_refused), TEST(name_and_secret_fail_alike),
	  TEST(lengths_of_responses_and_challenges), TEST(names_of_256_bytes),
	  TEST(mutual_that_is_not_configured), TEST(challenge_of_another_connection), TEST(replay),
	  TEST(no_random_numbers), TEST(answer_cut_at_every_byte), TEST(out_of_memory));
