// SPDX-License-Identifier: BSD-2-Clause
/* Logins of the second and later connections of a session (TSIH != 0), and where a target is not. */
#include "tests/unit/session_rig.h"

/* What the first connection of the session has settled is not settled again. */
static void keys_of_the_session_are_refused(void)
{
	static const char *const keys[] = {
		"MaxConnections=4|",	    "InitialR2T=Yes|",	       "ImmediateData=Yes|",
		"MaxBurstLength=262144|",   "FirstBurstLength=65536|", "DefaultTime2Wait=2|",
		"DefaultTime2Retain=20|",   "MaxOutstandingR2T=1|",    "DataPDUInOrder=Yes|",
		"DataSequenceInOrder=Yes|", "ErrorRecoveryLevel=0|",   "TaskReporting=RFC3720|",
		"iSCSIProtocolLevel=1|",
	};
	struct rig *r = rig_new();
	char text[512];

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		for (int tsih = 1; tsih >= 0; tsih--) {
			r->req.tsih = be16_of((uint16_t)tsih);
			snprintf(text, sizeof(text), NAMES(DISK) "HeaderDigest=None|%s", keys[i]);
			rig_begin(r);
			rig_send(r, OP_TO_FFP, text);
			if (tsih)
				EXPECT_FAIL(r, LOGIN_INITIATOR_ERROR);
			else
				EXPECT_DONE(r);
		}
	}
	/* Later in the login as well. */
	r->req.tsih = be16_of(1);
	rig_begin(r);
	rig_send(r, OP, NAMES(DISK) "HeaderDigest=None|");
	EXPECT_REPLY(r, OP);
	rig_send(r, OP_TO_FFP, "MaxBurstLength=512|");
	EXPECT_FAIL(r, LOGIN_INITIATOR_ERROR);
	rig_free(r);
}

static void keys_of_a_connection_are_negotiated(void)
{
	struct rig *r = rig_new();
	const struct login_result *got;

	r->req.tsih = be16_of(7);
	r->req.cid = be16_of(2);
	r->env.portal_group_tag = 9;
	rig_begin(r);
	rig_send(r, SEC_TO_OP, NAMES(DISK) "InitiatorAlias=me|AuthMethod=None|");
	EXPECT_REPLY(r, SEC_TO_OP);
	CU_ASSERT_STRING_EQUAL(r->text, "TargetPortalGroupTag=9|AuthMethod=None|");
	rig_send(
		r, OP_TO_FFP,
		"HeaderDigest=CRC32C|DataDigest=CRC32C,None|MaxRecvDataSegmentLength=65536|X-a=b|");
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, "HeaderDigest=CRC32C|DataDigest=CRC32C|"
					"MaxRecvDataSegmentLength=262144|TargetAlias=the disk|"
					"X-a=NotUnderstood|");
	got = login_result(r->login);
	CU_ASSERT_EQUAL(got->tsih, 7);
	CU_ASSERT_EQUAL(got->cid, 2);
	CU_ASSERT_TRUE(got->params.header_digest && got->params.data_digest);
	CU_ASSERT_EQUAL(got->params.max_xmit_dsl, 65536);
	CU_ASSERT_EQUAL(got->params.max_recv_dsl, 262144);
	rig_free(r);
}

/* RFC 7143 13.4, 13.5: a connection says who it is, whatever its session has said. */
static void every_connection_names_itself(void)
{
	struct rig *r = rig_new();

	r->req.tsih = be16_of(7);
	rig_begin(r);
	rig_send(r, OP_TO_FFP, "TargetName=" DISK "|");
	EXPECT_FAIL(r, LOGIN_MISSING_PARAMETER);
	rig_begin(r);
	rig_send(r, OP_TO_FFP, "InitiatorName=" INITIATOR "|");
	EXPECT_FAIL(r, LOGIN_MISSING_PARAMETER);
	rig_begin(r);
	rig_send(r, OP_TO_FFP, NAMES(PRIVATE));
	EXPECT_FAIL(r, LOGIN_NOT_ALLOWED);
	/* ... and proves it. */
	rig_begin(r);
	rig_send(r, OP_TO_FFP, NAMES(SAFE));
	EXPECT_FAIL(r, LOGIN_AUTH_FAILED);
	rig_begin(r);
	rig_send(r, SEC_TO_OP, NAMES(SAFE) "AuthMethod=CHAP,None|");
	EXPECT_REPLY(r, SEC);
	CU_ASSERT_TRUE(rig_said(r, "AuthMethod=CHAP"));
	rig_free(r);
}

/* What the session and its transport offer, and what is left of it. */
static void recovery_and_connections(void)
{
	static const struct {
		uint32_t max_connections;
		uint8_t level;
		const char *offer, *answer;
		uint32_t got_connections, got_level, got_protocol;
	} rows[] = {
		{ 4, 2, "MaxConnections=8|ErrorRecoveryLevel=2|iSCSIProtocolLevel=2|",
		  "MaxConnections=4|ErrorRecoveryLevel=2|iSCSIProtocolLevel=2|", 4, 2, 2 },
		{ 4, 2, "MaxConnections=2|ErrorRecoveryLevel=1|iSCSIProtocolLevel=1|",
		  "MaxConnections=2|ErrorRecoveryLevel=1|iSCSIProtocolLevel=1|", 2, 1, 1 },
		{ 1, 0, "MaxConnections=8|ErrorRecoveryLevel=2|iSCSIProtocolLevel=9|",
		  "MaxConnections=1|ErrorRecoveryLevel=0|iSCSIProtocolLevel=2|", 1, 0, 2 },
		{ 0, 1, "MaxConnections=8|ErrorRecoveryLevel=2|iSCSIProtocolLevel=0|",
		  "MaxConnections=1|ErrorRecoveryLevel=1|iSCSIProtocolLevel=0|", 1, 1, 0 },
		/* What is not offered has its default. */
		{ 4, 2, "", "", 1, 0, 1 },
	};
	char answer[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new();
		const struct login_result *got;

		r->env.can.max_connections = rows[i].max_connections;
		r->env.can.error_recovery_level = rows[i].level;
		rig_begin(r);
		rig_send(r, SEC_TO_OP, NAMES(DISK) "AuthMethod=None|");
		rig_send(r, OP, "");
		EXPECT_REPLY(r, OP);
		rig_send(r, OP_TO_FFP, rows[i].offer);
		EXPECT_DONE(r);
		snprintf(answer, sizeof(answer), "%s", rows[i].answer);
		CU_ASSERT_STRING_EQUAL(r->text, answer);
		got = login_result(r->login);
		CU_ASSERT_EQUAL(got->max_connections, rows[i].got_connections);
		CU_ASSERT_EQUAL(got->error_recovery_level, rows[i].got_level);
		CU_ASSERT_EQUAL(got->params.max_connections, rows[i].got_connections);
		CU_ASSERT_EQUAL(got->params.error_recovery_level, rows[i].got_level);
		CU_ASSERT_EQUAL(got->protocol_level, rows[i].got_protocol);
		rig_free(r);
	}
}

/* RFC 7143 13.21: a discovery session has one connection and no recovery. */
static void discovery_recovers_nothing(void)
{
	struct rig *r = rig_new();

	rig_send(r, OP_TO_FFP,
		 DISCOVERY "MaxConnections=4|ErrorRecoveryLevel=2|iSCSIProtocolLevel=2|");
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, "MaxConnections=Irrelevant|ErrorRecoveryLevel=0|"
					"iSCSIProtocolLevel=Irrelevant|"
					"MaxRecvDataSegmentLength=262144|");
	CU_ASSERT_EQUAL(login_result(r->login)->max_connections, 1);
	CU_ASSERT_EQUAL(login_result(r->login)->error_recovery_level, 0);
	CU_ASSERT_EQUAL(login_result(r->login)->protocol_level, 1);
	rig_free(r);
}

/* Redirection, RFC 7143 11.13.5 and 13.8. */

#define EXPECT_REDIRECT(r, status_, address)                                     \
	do {                                                                     \
		CU_ASSERT_EQUAL((r)->action, LOGIN_FAIL);                        \
		CU_ASSERT_EQUAL((r)->reply.status, (status_));                   \
		CU_ASSERT_EQUAL((r)->reply.flags & 0xc3, 0);                     \
		CU_ASSERT_STRING_EQUAL((r)->text, "TargetAddress=" address "|"); \
		CU_ASSERT_PTR_NOT_NULL((r)->reply.why);                          \
	} while (0)

static void a_target_that_is_elsewhere(void)
{
	struct rig *r = rig_new();

	r->target[0].redirect = "[2001:db8::7]:3260";
	rig_send(r, OP_TO_FFP, NAMES(DISK) "HeaderDigest=None|");
	EXPECT_REDIRECT(r, LOGIN_MOVED_TEMPORARILY, "[2001:db8::7]:3260");
	/* That login is over. */
	rig_send(r, OP_TO_FFP, NAMES(DISK));
	EXPECT_FAIL(r, LOGIN_INVALID_DURING_LOGIN);
	r->target[0].redirect = "storage.example";
	r->target[0].redirect_permanent = true;
	rig_begin(r);
	rig_send(r, SEC_TO_OP, NAMES(DISK) "AuthMethod=None|");
	EXPECT_REDIRECT(r, LOGIN_MOVED_PERMANENTLY, "storage.example");
	/* Another connection of a session, in two parts. */
	r->req.tsih = be16_of(1);
	rig_begin(r);
	rig_send(r, OP | MORE, "InitiatorName=" INITIATOR "|Target");
	EXPECT_REPLY(r, OP);
	rig_send(r, OP_TO_FFP, "Name=" DISK "|");
	EXPECT_REDIRECT(r, LOGIN_MOVED_PERMANENTLY, "storage.example");
	rig_free(r);
}

/* Only who may have the target hears where it is; who proves himself does so there. */
static void redirection_minds_the_access_list(void)
{
	struct rig *r = rig_new();

	r->target[2].redirect = "192.0.2.7:3260";
	rig_send(r, OP_TO_FFP, NAMES(PRIVATE));
	EXPECT_FAIL(r, LOGIN_NOT_ALLOWED);
	rig_begin(r);
	rig_send(r, OP_TO_FFP, "InitiatorName=iqn.2026-11.test:friend|TargetName=" PRIVATE "|");
	EXPECT_REDIRECT(r, LOGIN_MOVED_TEMPORARILY, "192.0.2.7:3260");
	r->target[1].redirect = "192.0.2.7:3260";
	rig_begin(r);
	rig_send(r, SEC, NAMES(SAFE) "AuthMethod=CHAP|");
	EXPECT_REDIRECT(r, LOGIN_MOVED_TEMPORARILY, "192.0.2.7:3260");
	/* The other targets, and discovery, are here. */
	rig_begin(r);
	rig_send(r, OP_TO_FFP, NAMES(DISK));
	EXPECT_DONE(r);
	rig_begin(r);
	rig_send(r, OP_TO_FFP, DISCOVERY);
	EXPECT_DONE(r);
	rig_free(r);
}

UNIT_MAIN(TEST(keys_of_the_session_are_refused), TEST(keys_of_a_connection_are_negotiated),
	  TEST(every_connection_names_itself), TEST(recovery_and_connections),
	  TEST(discovery_recovers_nothing), TEST(a_target_that_is_elsewhere),
	  TEST(redirection_minds_the_access_list));
