// SPDX-License-Identifier: BSD-2-Clause
/* Login: stages, names, access and every way to get it wrong (rows L1 to L20). */
#define RIG_ALLOCATION_FAILURES
#include "session/name.h"
#include "tests/unit/session_rig.h"

#define USUAL                                                                             \
	"HeaderDigest=CRC32C,None|DataDigest=None|InitialR2T=No|ImmediateData=Yes|"       \
	"MaxRecvDataSegmentLength=131072|MaxBurstLength=16776192|FirstBurstLength=65536|" \
	"DefaultTime2Wait=0|DefaultTime2Retain=5|MaxOutstandingR2T=8|MaxConnections=4|"   \
	"DataPDUInOrder=No|DataSequenceInOrder=No|ErrorRecoveryLevel=2|"
#define USUAL_ANSWER                                                                        \
	"TargetPortalGroupTag=1|HeaderDigest=CRC32C|DataDigest=None|MaxConnections=4|"      \
	"InitialR2T=No|ImmediateData=Yes|MaxBurstLength=1048576|FirstBurstLength=65536|"    \
	"DefaultTime2Wait=0|DefaultTime2Retain=5|ErrorRecoveryLevel=2|MaxOutstandingR2T=1|" \
	"DataPDUInOrder=Yes|DataSequenceInOrder=Yes|MaxRecvDataSegmentLength=262144|"       \
	"TargetAlias=the disk|"

static void expect_usual_result(const struct rig *r)
{
	const struct login_result *got = login_result(r->login);

	CU_ASSERT_EQUAL(got->type, SESSION_NORMAL);
	CU_ASSERT_STRING_EQUAL(got->initiator_name, INITIATOR);
	CU_ASSERT_PTR_EQUAL(got->target, &r->target[0]);
	CU_ASSERT_EQUAL(got->isid.b[0], 0x80);
	CU_ASSERT_EQUAL(got->isid.b[5], 5);
	CU_ASSERT_EQUAL(got->tsih, 0);
	CU_ASSERT_EQUAL(got->cid, 1);
	CU_ASSERT_EQUAL(got->itt, 0x1234);
	CU_ASSERT_EQUAL(got->cmdsn, 77);
	CU_ASSERT_FALSE(got->authenticated);
	CU_ASSERT_TRUE(got->params.header_digest);
	CU_ASSERT_FALSE(got->params.data_digest);
	CU_ASSERT_FALSE(got->params.initial_r2t);
	CU_ASSERT_TRUE(got->params.immediate_data);
	CU_ASSERT_EQUAL(got->params.max_recv_dsl, 262144);
	CU_ASSERT_EQUAL(got->params.max_xmit_dsl, 131072);
	CU_ASSERT_EQUAL(got->params.max_burst, 1048576);
	CU_ASSERT_EQUAL(got->params.first_burst, 65536);
	CU_ASSERT_EQUAL(got->params.max_outstanding_r2t, 1);
	CU_ASSERT_FALSE(got->params.full_feature);
	CU_ASSERT_EQUAL(got->max_connections, 4);
	CU_ASSERT_EQUAL(got->error_recovery_level, 2);
	CU_ASSERT_EQUAL(got->protocol_level, 1);
	CU_ASSERT_EQUAL(got->time2wait, 0);
	CU_ASSERT_EQUAL(got->time2retain, 5);
	CU_ASSERT_TRUE(got->data_pdu_in_order);
	CU_ASSERT_TRUE(got->data_sequence_in_order);
}

static void one_request(void)
{
	struct rig *r = rig_new();

	rig_send(r, OP_TO_FFP, NAMES(DISK) "InitiatorAlias=me \xc3\xa9|" USUAL);
	EXPECT_DONE(r);
	CU_ASSERT_EQUAL(r->reply.flags, OP_TO_FFP);
	CU_ASSERT_STRING_EQUAL(r->text, USUAL_ANSWER);
	expect_usual_result(r);
	CU_ASSERT_STRING_EQUAL(login_result(r->login)->initiator_alias, "me \xc3\xa9");
	rig_free(r);
}

static void through_every_stage(void)
{
	struct rig *r = rig_new();

	rig_send(r, SEC_TO_OP, NAMES(DISK) "AuthMethod=CHAP,None|");
	EXPECT_REPLY(r, SEC_TO_OP);
	CU_ASSERT_STRING_EQUAL(r->text, "TargetPortalGroupTag=1|AuthMethod=None|");
	rig_send(r, OP, "");
	EXPECT_REPLY(r, OP);
	CU_ASSERT_STRING_EQUAL(r->text, "MaxRecvDataSegmentLength=262144|TargetAlias=the disk|");
	rig_send(r, OP, USUAL);
	EXPECT_REPLY(r, OP);
	CU_ASSERT_FALSE(rig_said(r, "MaxRecvDataSegmentLength=262144"));
	rig_send(r, OP_TO_FFP, "");
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, "");
	expect_usual_result(r);
	rig_free(r);
}

/* The portal group is the connection's, and part of the I_T nexus. */
static void portal_group(void)
{
	struct rig *r = rig_new();

	r->env.portal_group_tag = 65535;
	rig_begin(r);
	rig_send(r, SEC_TO_FFP, NAMES(DISK) "AuthMethod=None|");
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, "TargetPortalGroupTag=65535|AuthMethod=None|");
	CU_ASSERT_EQUAL(login_result(r->login)->portal_group_tag, 65535);
	rig_free(r);
}

/* What RFC 7143 section 13 calls the default, in a login that never sees the operational stage. */
static void straight_to_full_feature(void)
{
	struct rig *r = rig_new();
	const struct login_result *got;

	rig_send(r, SEC_TO_FFP, NAMES(DISK) "AuthMethod=None|");
	EXPECT_DONE(r);
	CU_ASSERT_EQUAL(r->reply.flags, SEC_TO_FFP);
	CU_ASSERT_STRING_EQUAL(r->text, "TargetPortalGroupTag=1|AuthMethod=None|");
	got = login_result(r->login);
	CU_ASSERT_FALSE(got->params.header_digest || got->params.data_digest);
	CU_ASSERT_TRUE(got->params.initial_r2t && got->params.immediate_data);
	CU_ASSERT_EQUAL(got->params.max_recv_dsl, 8192);
	CU_ASSERT_EQUAL(got->params.max_xmit_dsl, 8192);
	CU_ASSERT_EQUAL(got->params.max_burst, 262144);
	CU_ASSERT_EQUAL(got->params.first_burst, 65536);
	CU_ASSERT_EQUAL(got->params.max_outstanding_r2t, 1);
	CU_ASSERT_EQUAL(got->time2retain, 20);
	rig_free(r);
}

static void defaults_of_a_normal_session(void)
{
	struct rig *r = rig_new();

	/* SessionType defaults to Normal; NSG counts only with T. */
	r->target[0].alias[0] = '\0';
	rig_send(r, SEC | 2, "InitiatorName=" INITIATOR "|TargetName=" DISK "|");
	EXPECT_REPLY(r, SEC);
	CU_ASSERT_STRING_EQUAL(r->text, "TargetPortalGroupTag=1|");
	rig_send(r, SEC_TO_OP, "");
	EXPECT_REPLY(r, SEC_TO_OP);
	rig_send(r, OP_TO_FFP, "");
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, "MaxRecvDataSegmentLength=262144|");
	CU_ASSERT_EQUAL(login_result(r->login)->params.max_recv_dsl, 262144);
	CU_ASSERT_STRING_EQUAL(login_result(r->login)->initiator_alias, "");
	rig_free(r);
}

static void discovery(void)
{
	struct rig *r = rig_new();

	/* L7: TargetName is ignored, even one that nobody has and one that is no name at all. */
	rig_send(r, OP_TO_FFP,
		 DISCOVERY "TargetName=no name|InitialR2T=No|MaxConnections=2|"
			   "MaxRecvDataSegmentLength=32768|HeaderDigest=CRC32C|");
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, "HeaderDigest=CRC32C|MaxConnections=Irrelevant|"
					"InitialR2T=Irrelevant|MaxRecvDataSegmentLength=262144|");
	CU_ASSERT_EQUAL(login_result(r->login)->type, SESSION_DISCOVERY);
	CU_ASSERT_PTR_NULL(login_result(r->login)->target);
	CU_ASSERT_EQUAL(login_result(r->login)->params.max_xmit_dsl, 32768);
	rig_begin(r);
	rig_send(r, SEC_TO_FFP, DISCOVERY "AuthMethod=CHAP,None|");
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, "AuthMethod=None|");
	rig_free(r);
}

static void names_may_be_repeated_in_the_next_stage(void)
{
	static const struct {
		const char *names;
		enum login_status status;
	} rows[] = {
		{ NAMES(DISK) "InitiatorAlias=b|", LOGIN_SUCCESS },
		{ "InitiatorName=IQN.2026-11.test:INITIATOR|", LOGIN_SUCCESS },
		{ "InitiatorName=" INITIATOR "x|", LOGIN_INITIATOR_ERROR },
		{ "TargetName=" SAFE "|", LOGIN_INITIATOR_ERROR },
		{ "TargetName=|", LOGIN_INITIATOR_ERROR },
		{ "SessionType=Discovery|", LOGIN_INITIATOR_ERROR },
		{ NAMES(DISK) NAMES(DISK), LOGIN_INITIATOR_ERROR },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new();

		rig_send(r, SEC_TO_OP, NAMES(DISK) "InitiatorAlias=a|AuthMethod=None|");
		EXPECT_REPLY(r, SEC_TO_OP);
		rig_send(r, OP_TO_FFP, rows[i].names);
		if (rows[i].status)
			EXPECT_FAIL(r, rows[i].status);
		else
			EXPECT_DONE(r);
		rig_free(r);
	}
}

/* L12: the same answer and the same result wherever the text is cut. */
static void text_cut_at_every_byte(void)
{
	static const char text[] = NAMES(DISK) USUAL;

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		struct rig *r = rig_new();
		uint8_t *bytes = rig_text(text);

		rig_send_bytes(r, OP | MORE, bytes, cut);
		EXPECT_REPLY(r, OP);
		CU_ASSERT_EQUAL(r->reply.text_len, 0);
		rig_send_bytes(r, OP_TO_FFP, bytes + cut, sizeof(text) - 1 - cut);
		EXPECT_DONE(r);
		CU_ASSERT_STRING_EQUAL(r->text, USUAL_ANSWER);
		expect_usual_result(r);
		free(bytes);
		rig_free(r);
	}
}

static void text_in_twenty_parts(void)
{
	static const char text[] = NAMES(DISK) USUAL;
	struct rig *r = rig_new();
	uint8_t *bytes = rig_text(text);

	for (size_t i = 0; i < 19; i++)
		rig_send_bytes(r, OP | MORE, bytes + i, 1);
	EXPECT_REPLY(r, OP);
	rig_send_bytes(r, OP_TO_FFP, bytes + 19, sizeof(text) - 1 - 19);
	EXPECT_DONE(r);
	expect_usual_result(r);
	free(bytes);
	rig_free(r);
}

/* Requests of one login; all but the last are answered, the last is refused. */
struct refusal {
	const char *what;
	struct {
		uint8_t flags;
		const char *text;
	} request[3];
	enum login_status status;
};

#define LONG_64 "Kxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define FIRST(flags_, text_)          \
	{                             \
		{                     \
			flags_, text_ \
		}                     \
	}
#define BAD(text_) FIRST(OP_TO_FFP, NAMES(DISK) text_), LOGIN_INITIATOR_ERROR

static const struct refusal refusals[] = {
	{ "L2 CSG=2", FIRST(0x8b, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 CSG=3", FIRST(0x8f, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 CSG=2 without T", FIRST(0x08, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 CSG=3 without T", FIRST(0x0c, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 NSG=2", FIRST(0x86, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 NSG=2 of security", FIRST(0x82, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 NSG < CSG", FIRST(0x84, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 NSG = CSG", FIRST(0x85, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 NSG = CSG = 0", FIRST(0x80, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 T and C", FIRST(OP_TO_FFP | MORE, NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L2 backwards", { { OP, NAMES(DISK) }, { SEC_TO_OP, "" } }, LOGIN_INVALID_DURING_LOGIN },
	{ "L2 backwards after a change of stage",
	  { { SEC_TO_OP, NAMES(DISK) }, { SEC, "" } },
	  LOGIN_INVALID_DURING_LOGIN },
	{ "L2 forwards without T",
	  { { SEC, NAMES(DISK) }, { OP_TO_FFP, "" } },
	  LOGIN_INVALID_DURING_LOGIN },
	{ "L2 within a text",
	  { { SEC | MORE, NAMES(DISK) }, { OP, "" } },
	  LOGIN_INVALID_DURING_LOGIN },
	{ "L2 operational key in security", FIRST(SEC_TO_OP, NAMES(DISK) "HeaderDigest=None|"),
	  LOGIN_INITIATOR_ERROR },
	{ "L2 AuthMethod in operational", BAD("AuthMethod=None|") },
	{ "L2 CHAP_A in operational", BAD("CHAP_A=5|") },
	{ "L6 nothing", FIRST(OP_TO_FFP, ""), LOGIN_MISSING_PARAMETER },
	{ "L6 no InitiatorName", FIRST(OP_TO_FFP, "TargetName=" DISK "|"),
	  LOGIN_MISSING_PARAMETER },
	{ "L6 no InitiatorName in discovery", FIRST(OP_TO_FFP, "SessionType=Discovery|"),
	  LOGIN_MISSING_PARAMETER },
	{ "L6 no TargetName", FIRST(OP_TO_FFP, "InitiatorName=" INITIATOR "|"),
	  LOGIN_MISSING_PARAMETER },
	{ "L6 names too late",
	  { { OP, "InitiatorName=" INITIATOR "|SessionType=Discovery|" },
	    { OP, "TargetName=" DISK "|" },
	    { OP_TO_FFP, "TargetName=" DISK "|" } },
	  LOGIN_INITIATOR_ERROR },
	{ "L6 malformed InitiatorName", FIRST(OP_TO_FFP, "InitiatorName=x|TargetName=" DISK "|"),
	  LOGIN_INITIATOR_ERROR },
	{ "L6 malformed TargetName",
	  FIRST(OP_TO_FFP, "InitiatorName=" INITIATOR "|TargetName=iqn.2026-11.test:a b|"),
	  LOGIN_INITIATOR_ERROR },
	{ "L6 unknown target", FIRST(OP_TO_FFP, NAMES(DISK "x")), LOGIN_NOT_FOUND },
	{ "L6 not on the list", FIRST(OP_TO_FFP, NAMES(PRIVATE)), LOGIN_NOT_ALLOWED },
	{ "L6 not on the list, by way of security", FIRST(SEC, NAMES(PRIVATE) "AuthMethod=None|"),
	  LOGIN_NOT_ALLOWED },
	{ "L7 SessionType=Foo",
	  FIRST(OP_TO_FFP, "InitiatorName=" INITIATOR "|SessionType=Foo|TargetName=" DISK "|"),
	  LOGIN_SESSION_TYPE },
	{ "L7 SessionType is empty", FIRST(OP_TO_FFP, "InitiatorName=" INITIATOR "|SessionType=|"),
	  LOGIN_SESSION_TYPE },
	{ "L9 key of 64 bytes", BAD(LONG_64 "=1|") },
	{ "L9 key without =", BAD("Key|") },
	{ "L9 empty key", BAD("=1|") },
	{ "L9 only =", BAD("=|") },
	{ "L9 NUL in a key", BAD("Header|Digest=None|") },
	{ "L9 control character in a key", BAD("Header\x01=None|") },
	{ "L9 control character in a value", BAD("X-a=\x1f|") },
	{ "L9 DEL in a value", BAD("X-a=\x7f|") },
	{ "L9 UTF-8 in a key", BAD("H\xc3\xa4=1|") },
	{ "L10 alias of 256 bytes", BAD("InitiatorAlias=" X50 X50 X50 X50 X50 "xxxxxx|") },
	{ "L10 unknown value of 256 bytes", BAD("X-a=" X50 X50 X50 X50 X50 "xxxxxx|") },
	{ "L11 no NUL at the end", BAD("HeaderDigest=None") },
	{ "L11 a leading NUL", FIRST(OP_TO_FFP, "|" NAMES(DISK)), LOGIN_INITIATOR_ERROR },
	{ "L11 NULs only", FIRST(OP_TO_FFP, "||||"), LOGIN_INITIATOR_ERROR },
	{ "L11 NULs behind the text", BAD("|") },
	{ "L13 twice the same", BAD("HeaderDigest=None|HeaderDigest=None|") },
	{ "L13 twice, other value", BAD("MaxBurstLength=512|MaxBurstLength=1024|") },
	{ "L13 twice a name", BAD("InitiatorName=" INITIATOR "|") },
	{ "L13 twice an unknown key", BAD("X-a=1|X-b=1|X-a=2|") },
	{ "L13 twice in two requests",
	  { { OP, NAMES(DISK) "ImmediateData=Yes|" }, { OP, "" }, { OP, "ImmediateData=Yes|" } },
	  LOGIN_INITIATOR_ERROR },
	{ "L13 twice in two requests, unknown",
	  { { OP, NAMES(DISK) "X-a=1|" }, { OP, "X-a=1|" } },
	  LOGIN_INITIATOR_ERROR },
	{ "L13 twice in two stages",
	  { { SEC_TO_OP, NAMES(DISK) "X-a=1|" }, { OP, "X-a=1|" } },
	  LOGIN_INITIATOR_ERROR },
	{ "L13 a name twice in two requests of a stage",
	  { { OP, NAMES(DISK) }, { OP, "InitiatorName=" INITIATOR "|" } },
	  LOGIN_INITIATOR_ERROR },
	{ "L16 bad number", BAD("MaxBurstLength=511|") },
	{ "L16 MaxBurst falls below what FirstBurst was agreed on",
	  { { OP, NAMES(DISK) "FirstBurstLength=65536|" }, { OP_TO_FFP, "MaxBurstLength=4096|" } },
	  LOGIN_INITIATOR_ERROR },
	{ "L18 SendTargets in a login", BAD("SendTargets=All|") },
	{ "a key of targets", BAD("TargetAlias=x|") },
	{ "another key of targets", BAD("TargetPortalGroupTag=1|") },
	{ "only CHAP where there is none", FIRST(SEC, NAMES(DISK) "AuthMethod=CHAP|"),
	  LOGIN_AUTH_FAILED },
	{ "only CHAP for discovery", FIRST(SEC, DISCOVERY "AuthMethod=CHAP|"), LOGIN_AUTH_FAILED },
	{ "CHAP where there is none",
	  { { SEC, NAMES(DISK) "AuthMethod=None|" }, { SEC, "CHAP_A=5|" } },
	  LOGIN_AUTH_FAILED },
};

static void wrong_logins_are_refused(void)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *row = &refusals[i];
		struct rig *r = rig_new();

		for (int n = 0; n < 3 && row->request[n].text; n++) {
			if (n > 0)
				CU_ASSERT_EQUAL(r->action, LOGIN_REPLY);
			rig_send(r, row->request[n].flags, row->request[n].text);
		}
		if (r->action != LOGIN_FAIL || r->reply.status != row->status)
			printf("# %s: got %#x\n", row->what, r->reply.status);
		EXPECT_FAIL(r, row->status);
		rig_send(r, OP_TO_FFP, NAMES(DISK));
		EXPECT_FAIL(r, LOGIN_INVALID_DURING_LOGIN);
		rig_free(r);
	}
}

/* L1, L5. */
static void header_fields_that_are_wrong_or_change(void)
{
	struct rig *r = rig_new();
	struct bhs_login_request first = r->req;

	r->req.version_max = 255;
	rig_send(r, OP, NAMES(DISK));
	EXPECT_REPLY(r, OP);
	for (int change = 0; change < 5; change++) {
		rig_begin(r);
		rig_send(r, OP, NAMES(DISK));
		EXPECT_REPLY(r, OP);
		r->req.itt = be32_of(change == 0 ? 0x4321 : 0x1234);
		r->req.cid = be16_of(change == 1 ? 2 : 1);
		r->req.isid.b[5] = change == 2 ? 6 : 5;
		r->req.tsih = be16_of(change == 3 ? 1 : 0);
		r->req.version_min = change == 4 ? 1 : 0;
		rig_send(r, OP_TO_FFP, "");
		EXPECT_FAIL(r, change == 4 ? LOGIN_BAD_VERSION : LOGIN_INVALID_DURING_LOGIN);
		r->req = first;
	}
	rig_begin(r);
	r->req.version_min = 1;
	rig_send(r, OP, NAMES(DISK));
	EXPECT_FAIL(r, LOGIN_BAD_VERSION);
	rig_free(r);
}

/* L8. */
static void a_login_has_bounds(void)
{
	struct rig *r = rig_new();
	char piece[8192];

	rig_send(r, OP, NAMES(DISK));
	for (int i = 1; i < 20; i++) {
		rig_send(r, OP, "");
		EXPECT_REPLY(r, OP);
	}
	rig_send(r, OP_TO_FFP, "");
	EXPECT_FAIL(r, LOGIN_INITIATOR_ERROR);

	memset(piece, 'v', sizeof(piece));
	rig_begin(r);
	for (int i = 0; i < 8; i++) {
		rig_send_bytes(r, OP | MORE, piece, sizeof(piece));
		EXPECT_REPLY(r, OP);
	}
	rig_send_bytes(r, OP | MORE, piece, 1);
	EXPECT_FAIL(r, LOGIN_INITIATOR_ERROR);
	rig_free(r);
}

/* L11: nothing may look behind the last byte, whatever the length. */
static void full_segments_without_a_nul(void)
{
	char text[LOGIN_DATA_MAX + 1];

	for (uint32_t len = LOGIN_DATA_MAX - 4; len <= LOGIN_DATA_MAX + 1; len++) {
		struct rig *r = rig_new();

		memset(text, 'x', sizeof(text));
		memcpy(text, "InitiatorName=", 14);
		rig_send_bytes(r, OP_TO_FFP, text, len);
		EXPECT_FAIL(r, LOGIN_INITIATOR_ERROR);
		rig_begin(r);
		memset(text, 0, sizeof(text));
		rig_send_bytes(r, OP_TO_FFP, text, len);
		EXPECT_FAIL(r, LOGIN_INITIATOR_ERROR);
		rig_free(r);
	}
}

/* L14. */
static void unknown_keys_are_counted(void)
{
	char text[LOGIN_DATA_MAX];
	size_t len;

	for (int count = 64; count <= 65; count++) {
		struct rig *r = rig_new();

		len = (size_t)snprintf(text, sizeof(text), "%s", NAMES(DISK) USUAL);
		for (int i = 0; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "K%062d=b|", i);
		rig_send(r, OP_TO_FFP, text);
		if (count == 64) {
			EXPECT_DONE(r);
			CU_ASSERT_TRUE(rig_said(r,
						"K0000000000000000000000000000000000000000000000000"
						"0000000000063=NotUnderstood"));
			CU_ASSERT(r->reply.text_len <= LOGIN_DATA_MAX);
			expect_usual_result(r);
		} else {
			EXPECT_FAIL(r, LOGIN_INITIATOR_ERROR);
		}
		rig_free(r);
	}
	for (len = 0; len < sizeof(text); len += 4)
		memcpy(text + len, "a=b", 4);
	struct rig *r = rig_new();

	rig_send_bytes(r, OP_TO_FFP, text, sizeof(text));
	EXPECT_FAIL(r, LOGIN_INITIATOR_ERROR);
	rig_free(r);
}

static void access_list(void)
{
	struct rig *r = rig_new();

	rig_send(r, OP_TO_FFP,
		 "InitiatorName=iqn.2026-11.TEST:friend|TargetName=IQN.2026-11.test:Private|");
	EXPECT_DONE(r);
	CU_ASSERT_PTR_EQUAL(login_result(r->login)->target, &r->target[2]);
	CU_ASSERT_STRING_EQUAL(login_result(r->login)->initiator_name, "iqn.2026-11.test:friend");
	r->target[2].allow_count = 0;
	rig_begin(r);
	rig_send(r, OP_TO_FFP, "InitiatorName=iqn.2026-11.test:friend|TargetName=" PRIVATE "|");
	EXPECT_FAIL(r, LOGIN_NOT_ALLOWED);
	rig_free(r);
}

static void iscsi_names(void)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} rows[] = {
		{ "iqn.1993-08.org.debian:01:abc", "iqn.1993-08.org.debian:01:abc" },
		{ "IQN.2026-12.COM.Example", "iqn.2026-12.com.example" },
		{ "iqn.2026-01.a", "iqn.2026-01.a" },
		{ "eui.0123456789ABCDEF", "eui.0123456789abcdef" },
		{ "naa.0123456789abcdef", "naa.0123456789abcdef" },
		{ "naa.0123456789abcdef0123456789ABCDEF", "naa.0123456789abcdef0123456789abcdef" },
		{ "", NULL },
		{ "iqn", NULL },
		{ "iqn.", NULL },
		{ "iqn.x", NULL },
		{ "iqn.2026-11.", NULL },
		{ "iqn.2026-11.:x", NULL },
		{ "iqn.2026-00.a", NULL },
		{ "iqn.2026-13.a", NULL },
		{ "iqn.2026.11.a", NULL },
		{ "iqn.202a-11.a", NULL },
		{ "iqn.2026-11.a b", NULL },
		{ "iqn.2026-11.a:b_c", NULL },
		{ "iqn.2026-11.a:b/c", NULL },
		{ "iqn.2026-11.a:%s", NULL },
		/* What stringprep leaves, what it maps to ASCII, and what it takes away. */
		{ "iqn.2026-11.a:\xc3\xa9", NULL },
		{ "iqn.2026-11.a:\xe2\x84\xaa", NULL }, /* Kelvin sign: k */
		{ "\xef\xbd\x89qn.2026-11.a", NULL }, /* full-width i */
		{ "iqn.2026-11.a:\xc2\xadx", NULL }, /* soft hyphen */
		{ "iqn.2026-11.a:\x01", NULL },
		{ "eui.0123456789abcde", NULL },
		{ "eui.0123456789abcdef0", NULL },
		{ "eui.0123456789abcdeg", NULL },
		{ "naa.0123456789abcdef0", NULL },
		{ "host.example", NULL },
	};
	char out[ISCSI_NAME_MAX + 1], longest[ISCSI_NAME_MAX + 1];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t *exact = rig_exact(rows[i].in, strlen(rows[i].in));

		CU_ASSERT_EQUAL(name_normalize(exact, strlen(rows[i].in), out),
				rows[i].out != NULL);
		CU_ASSERT_STRING_EQUAL(out, rows[i].out ? rows[i].out : "");
		free(exact);
	}
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "iqn.2026-11.", 12);
	CU_ASSERT_TRUE(name_normalize(longest, ISCSI_NAME_MAX, out));
	CU_ASSERT_EQUAL(strlen(out), ISCSI_NAME_MAX);
	CU_ASSERT_FALSE(name_normalize(longest, ISCSI_NAME_MAX + 1, out));
	CU_ASSERT_FALSE(name_normalize("iqn.2026-11.a\0b", 15, out));
	CU_ASSERT_TRUE(name_equal("iqn.A", "IQN.a"));
	CU_ASSERT_FALSE(name_equal("iqn.a", "iqn.ab"));
	CU_ASSERT_FALSE(name_equal("iqn.ab", "iqn.a"));
}

/* Each allocation of a login fails once: it ends with 0x0302, and never with a session. */
static void out_of_memory(void)
{
#ifdef RIG_SANITIZED
	UNIT_SKIP("the sanitizer owns malloc");
#else
	struct rig *r = rig_new();
	uint8_t *text = rig_text(NAMES(DISK) USUAL);
	long at = 0;

	login_free(r->login);
	do {
		rig_failed = false;
		rig_fail_at = at++;
		r->login = login_new(&r->env);
		if (r->login) {
			r->req.flags = OP_TO_FFP;
			r->action = login_step(r->login, &r->req, text,
					       (uint32_t)strlen(NAMES(DISK) USUAL), &r->reply);
			rig_fail_at = -1;
			if (rig_failed)
				EXPECT_FAIL(r, LOGIN_OUT_OF_RESOURCES);
			else
				EXPECT_DONE(r);
		}
		rig_fail_at = -1;
		CU_ASSERT(r->login || rig_failed);
		login_free(r->login);
		r->login = NULL;
	} while (rig_failed);
	CU_ASSERT(at >= 3);
	free(text);
	rig_free(r);
#endif
}

UNIT_MAIN(TEST(one_request), TEST(through_every_stage), TEST(straight_to_full_feature),
	  TEST(portal_group), TEST(defaults_of_a_normal_session), TEST(discovery),
	  TEST(names_may_be_repeated_in_the_next_stage), TEST(text_cut_at_every_byte),
	  TEST(text_in_twenty_parts), TEST(wrong_logins_are_refused),
	  TEST(header_fields_that_are_wrong_or_change), TEST(a_login_has_bounds),
	  TEST(full_segments_without_a_nul), TEST(unknown_keys_are_counted), TEST(access_list),
	  TEST(iscsi_names), TEST(out_of_memory));
