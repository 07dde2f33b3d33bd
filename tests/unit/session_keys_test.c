// SPDX-License-Identifier: BSD-2-Clause
/* Keys: what each offer is answered with, and which values are none (rows L13 to L16, L20). */
#include "session/keys.h"
#include "tests/unit/session_rig.h"

struct offer {
	const char *text, *answer; /* answer NULL: refused */
	enum key key; /* whose value is then */
	uint32_t value;
};

static const struct offer offers[] = {
	/* Lists: the first of theirs that we have. */
	{ "HeaderDigest=None|", "HeaderDigest=None|", KEY_HEADER_DIGEST, 0 },
	{ "HeaderDigest=CRC32C|", "HeaderDigest=CRC32C|", KEY_HEADER_DIGEST, 1 },
	{ "DataDigest=None,CRC32C|", "DataDigest=None|", KEY_DATA_DIGEST, 0 },
	{ "DataDigest=X-a,CRC32C,None|", "DataDigest=CRC32C|", KEY_DATA_DIGEST, 1 },
	{ "DataDigest=X-a|", NULL, KEY_DATA_DIGEST, 0 },
	{ "DataDigest=|", NULL, KEY_DATA_DIGEST, 0 },
	{ "DataDigest=crc32c|", NULL, KEY_DATA_DIGEST, 0 },
	{ "TaskReporting=ResponseFence,RFC3720|", "TaskReporting=RFC3720|", KEY_TASK_REPORTING, 0 },
	/* Numbers. */
	{ "MaxConnections=65535|", "MaxConnections=4|", KEY_MAX_CONNECTIONS, 4 },
	{ "MaxConnections=3|", "MaxConnections=3|", KEY_MAX_CONNECTIONS, 3 },
	{ "MaxConnections=0|", NULL, KEY_MAX_CONNECTIONS, 1 },
	{ "MaxConnections=65536|", NULL, KEY_MAX_CONNECTIONS, 1 },
	{ "MaxBurstLength=512|", "MaxBurstLength=512|", KEY_MAX_BURST, 512 },
	{ "MaxBurstLength=0x200|", "MaxBurstLength=512|", KEY_MAX_BURST, 512 },
	{ "MaxBurstLength=16777215|", "MaxBurstLength=1048576|", KEY_MAX_BURST, 1048576 },
	{ "MaxBurstLength=511|", NULL, KEY_MAX_BURST, 262144 },
	{ "MaxBurstLength=16777216|", NULL, KEY_MAX_BURST, 262144 },
	{ "MaxBurstLength=18446744073709552128|", NULL, KEY_MAX_BURST, 262144 },
	{ "MaxBurstLength=4294967808|", NULL, KEY_MAX_BURST, 262144 },
	{ "MaxBurstLength=-1|", NULL, KEY_MAX_BURST, 262144 },
	{ "MaxBurstLength= 512|", NULL, KEY_MAX_BURST, 262144 },
	{ "MaxBurstLength=512,1024|", NULL, KEY_MAX_BURST, 262144 },
	{ "MaxBurstLength=0512|", NULL, KEY_MAX_BURST, 262144 },
	{ "MaxBurstLength=|", NULL, KEY_MAX_BURST, 262144 },
	{ "FirstBurstLength=512|", "FirstBurstLength=512|", KEY_FIRST_BURST, 512 },
	{ "FirstBurstLength=16777215|", "FirstBurstLength=262144|", KEY_FIRST_BURST, 262144 },
	{ "FirstBurstLength=511|", NULL, KEY_FIRST_BURST, 65536 },
	/* FirstBurstLength stays within MaxBurstLength, in any order. */
	{ "FirstBurstLength=262144|MaxBurstLength=4096|",
	  "MaxBurstLength=4096|FirstBurstLength=4096|", KEY_FIRST_BURST, 4096 },
	{ "MaxBurstLength=4096|FirstBurstLength=4097|",
	  "MaxBurstLength=4096|FirstBurstLength=4096|", KEY_FIRST_BURST, 4096 },
	{ "MaxBurstLength=4096|", "MaxBurstLength=4096|", KEY_FIRST_BURST, 4096 },
	{ "DefaultTime2Wait=0|", "DefaultTime2Wait=0|", KEY_TIME2WAIT, 0 },
	{ "DefaultTime2Wait=1|", "DefaultTime2Wait=1|", KEY_TIME2WAIT, 1 },
	{ "DefaultTime2Wait=3600|", "DefaultTime2Wait=3600|", KEY_TIME2WAIT, 3600 },
	{ "DefaultTime2Wait=3601|", NULL, KEY_TIME2WAIT, 2 },
	{ "DefaultTime2Retain=0|", "DefaultTime2Retain=0|", KEY_TIME2RETAIN, 0 },
	{ "DefaultTime2Retain=60|", "DefaultTime2Retain=20|", KEY_TIME2RETAIN, 20 },
	{ "MaxOutstandingR2T=65535|", "MaxOutstandingR2T=16|", KEY_MAX_OUTSTANDING_R2T, 16 },
	{ "MaxOutstandingR2T=0|", NULL, KEY_MAX_OUTSTANDING_R2T, 1 },
	/* Sequences are in order: error recovery needs one R2T at a time. */
	{ "MaxOutstandingR2T=4|ErrorRecoveryLevel=1|", "ErrorRecoveryLevel=1|MaxOutstandingR2T=1|",
	  KEY_MAX_OUTSTANDING_R2T, 1 },
	{ "MaxOutstandingR2T=4|ErrorRecoveryLevel=0|", "ErrorRecoveryLevel=0|MaxOutstandingR2T=4|",
	  KEY_MAX_OUTSTANDING_R2T, 4 },
	{ "ErrorRecoveryLevel=0|", "ErrorRecoveryLevel=0|", KEY_ERROR_RECOVERY_LEVEL, 0 },
	{ "ErrorRecoveryLevel=1|", "ErrorRecoveryLevel=1|", KEY_ERROR_RECOVERY_LEVEL, 1 },
	{ "ErrorRecoveryLevel=2|", "ErrorRecoveryLevel=2|", KEY_ERROR_RECOVERY_LEVEL, 2 },
	{ "ErrorRecoveryLevel=3|", NULL, KEY_ERROR_RECOVERY_LEVEL, 0 },
	{ "iSCSIProtocolLevel=31|", "iSCSIProtocolLevel=2|", KEY_PROTOCOL_LEVEL, 2 },
	{ "iSCSIProtocolLevel=2|", "iSCSIProtocolLevel=2|", KEY_PROTOCOL_LEVEL, 2 },
	{ "iSCSIProtocolLevel=1|", "iSCSIProtocolLevel=1|", KEY_PROTOCOL_LEVEL, 1 },
	{ "iSCSIProtocolLevel=32|", NULL, KEY_PROTOCOL_LEVEL, 1 },
	{ "iSCSIProtocolLevel=0|", "iSCSIProtocolLevel=0|", KEY_PROTOCOL_LEVEL, 0 },
	/* Declared: there is no answer. */
	{ "MaxRecvDataSegmentLength=512|", "", KEY_MAX_RECV_DSL, 512 },
	{ "MaxRecvDataSegmentLength=16777215|", "", KEY_MAX_RECV_DSL, 16777215 },
	{ "MaxRecvDataSegmentLength=511|", NULL, KEY_MAX_RECV_DSL, 8192 },
	{ "MaxRecvDataSegmentLength=16777216|", NULL, KEY_MAX_RECV_DSL, 8192 },
	/* Booleans: InitialR2T OR No, ImmediateData AND Yes, in order OR Yes. */
	{ "InitialR2T=Yes|", "InitialR2T=Yes|", KEY_INITIAL_R2T, 1 },
	{ "InitialR2T=No|", "InitialR2T=No|", KEY_INITIAL_R2T, 0 },
	{ "InitialR2T=YES|", NULL, KEY_INITIAL_R2T, 1 },
	{ "InitialR2T=|", NULL, KEY_INITIAL_R2T, 1 },
	{ "ImmediateData=Yes|", "ImmediateData=Yes|", KEY_IMMEDIATE_DATA, 1 },
	{ "ImmediateData=No|", "ImmediateData=No|", KEY_IMMEDIATE_DATA, 0 },
	{ "ImmediateData=maybe|", NULL, KEY_IMMEDIATE_DATA, 1 },
	{ "ImmediateData=Yes,No|", NULL, KEY_IMMEDIATE_DATA, 1 },
	{ "DataPDUInOrder=No|", "DataPDUInOrder=Yes|", KEY_DATA_PDU_IN_ORDER, 1 },
	{ "DataSequenceInOrder=No|", "DataSequenceInOrder=Yes|", KEY_DATA_SEQUENCE_IN_ORDER, 1 },
	/* L20. */
	{ "IFMarker=Yes|", "IFMarker=No|", KEY_IF_MARKER, 0 },
	{ "OFMarker=No|", "OFMarker=No|", KEY_OF_MARKER, 0 },
	{ "IFMarkInt=2048~8192|", "IFMarkInt=Reject|", KEY_IF_MARK_INT, 0 },
	{ "OFMarkInt=1|", "OFMarkInt=Reject|", KEY_OF_MARK_INT, 0 },
	/* L15: answers are taken as such, known key or not. */
	{ "HeaderDigest=Reject|", "", KEY_HEADER_DIGEST, 0 },
	{ "MaxBurstLength=Irrelevant|", "", KEY_MAX_BURST, 262144 },
	{ "ImmediateData=NotUnderstood|", "", KEY_IMMEDIATE_DATA, 1 },
	{ "MaxRecvDataSegmentLength=Reject|", "", KEY_MAX_RECV_DSL, 8192 },
	{ "X-com.foo=NotUnderstood|X-com.bar=Reject|X-com.baz=Irrelevant|", "", KEY_COUNT, 0 },
	{ "X-com.foo=bar|", "X-com.foo=NotUnderstood|", KEY_COUNT, 0 },
	{ "X#com.foo=bar|", "X#com.foo=NotUnderstood|", KEY_COUNT, 0 },
	/* Declared, and understood. */
	{ "X#NodeArchitecture=ExampleOS/1.0,ExampleInitiator/2.0|", "", KEY_COUNT, 0 },
};

/* What is answered to a text of the operational stage, as "Key=Value|"; NULL: refused. */
static const char *negotiated(const char *bars, const struct conn_params *can, bool discovery,
			      struct key_values *values)
{
	static char said[1024];
	uint8_t *text = rig_text(bars);
	struct text_buf answer = { .max = sizeof(said) - 1 };
	struct key_seen seen = { 0 };
	struct key_fault fault = { 0 };
	struct key_values ours;
	struct key_set set;
	bool ok;

	keys_offer(can, &ours);
	keys_defaults(values);
	ok = keys_read(&set, &seen, text, 0, (uint32_t)strlen(bars), STAGE_OPERATIONAL, &fault) &&
	     keys_negotiate(&set, &seen, &ours, discovery, values, &answer, &fault);
	if (ok)
		keys_answer_unknown(&set, &seen, text, &answer);
	else
		CU_ASSERT_EQUAL(fault.status, LOGIN_INITIATOR_ERROR);
	CU_ASSERT_EQUAL(answer.error, 0);
	rig_bars(said, sizeof(said), answer.bytes, answer.len);
	text_buf_free(&answer);
	free(text);
	return ok ? said : NULL;
}

static const struct conn_params everything = {
	.header_digest = true,
	.data_digest = true,
	.immediate_data = true,
	.max_recv_dsl = 262144,
	.max_burst = 1048576,
	.first_burst = 262144,
	.max_outstanding_r2t = 16,
	.error_recovery_level = 2,
	.max_connections = 4,
};

static void check_offers(const struct offer *table, size_t count, const struct conn_params *can)
{
	for (size_t i = 0; i < count; i++) {
		const struct offer *row = &table[i];
		struct key_values values;
		const char *said = negotiated(row->text, can, false, &values);

		if (!said != !row->answer || (said && strcmp(said, row->answer)))
			printf("# %s became %s\n", row->text, said ? said : "a refusal");
		CU_ASSERT_EQUAL(said != NULL, row->answer != NULL);
		if (said && row->answer)
			CU_ASSERT_STRING_EQUAL(said, row->answer);
		if (row->key < KEY_COUNT)
			CU_ASSERT_EQUAL(values.v[row->key], row->value);
	}
}

static void every_offer_has_its_answer(void)
{
	check_offers(offers, sizeof(offers) / sizeof(offers[0]), &everything);
}

#define AGREED "RDMAExtensions=Yes|"

/* RFC 7145 section 6, where the transport can. */
static const struct offer extended[] = {
	{ AGREED, AGREED, KEY_RDMA_EXTENSIONS, 1 },
	{ "RDMAExtensions=No|", "RDMAExtensions=No|", KEY_RDMA_EXTENSIONS, 0 },
	{ "RDMAExtensions=yes|", NULL, KEY_RDMA_EXTENSIONS, 0 },
	/* In any order within a text. */
	{ "InitiatorRecvDataSegmentLength=262144|" AGREED,
	  AGREED "InitiatorRecvDataSegmentLength=262144|", KEY_INITIATOR_RECV_DSL, 262144 },
	{ AGREED "InitiatorRecvDataSegmentLength=512|",
	  AGREED "InitiatorRecvDataSegmentLength=512|", KEY_INITIATOR_RECV_DSL, 512 },
	{ AGREED "InitiatorRecvDataSegmentLength=16777215|",
	  AGREED "InitiatorRecvDataSegmentLength=16777215|", KEY_INITIATOR_RECV_DSL, 16777215 },
	{ AGREED "InitiatorRecvDataSegmentLength=511|", NULL, KEY_COUNT, 0 },
	{ AGREED "InitiatorRecvDataSegmentLength=16777216|", NULL, KEY_COUNT, 0 },
	{ AGREED "TargetRecvDataSegmentLength=8192|", AGREED "TargetRecvDataSegmentLength=8192|",
	  KEY_TARGET_RECV_DSL, 8192 },
	{ AGREED "TargetRecvDataSegmentLength=16777215|",
	  AGREED "TargetRecvDataSegmentLength=16384|", KEY_TARGET_RECV_DSL, 16384 },
	{ AGREED "TargetRecvDataSegmentLength=511|", NULL, KEY_COUNT, 0 },
	{ AGREED "TargetRecvDataSegmentLength=Irrelevant|", AGREED, KEY_TARGET_RECV_DSL, 8192 },
	{ AGREED, AGREED, KEY_INITIATOR_RECV_DSL, 8192 },
	/* Declared: ours comes back. */
	{ AGREED "MaxOutstandingUnexpectedPDUs=2|", AGREED "MaxOutstandingUnexpectedPDUs=40|",
	  KEY_MAX_UNEXPECTED_PDUS, 2 },
	{ AGREED "MaxOutstandingUnexpectedPDUs=4294967295|",
	  AGREED "MaxOutstandingUnexpectedPDUs=40|", KEY_MAX_UNEXPECTED_PDUS, UINT32_MAX },
	{ AGREED "MaxOutstandingUnexpectedPDUs=0|", AGREED "MaxOutstandingUnexpectedPDUs=40|",
	  KEY_MAX_UNEXPECTED_PDUS, 0 },
	{ AGREED "MaxOutstandingUnexpectedPDUs=1|", NULL, KEY_COUNT, 0 },
	{ AGREED "MaxOutstandingUnexpectedPDUs=4294967296|", NULL, KEY_COUNT, 0 },
	{ AGREED "MaxAHSLength=2|", AGREED "MaxAHSLength=64|", KEY_MAX_AHS, 2 },
	{ AGREED "MaxAHSLength=0|", AGREED "MaxAHSLength=64|", KEY_MAX_AHS, 0 },
	{ AGREED "MaxAHSLength=1|", NULL, KEY_COUNT, 0 },
	{ AGREED, AGREED, KEY_MAX_AHS, 256 },
	/* Declared by the initiator alone. */
	{ AGREED "TaggedBufferForSolicitedDataOnly=No|", AGREED, KEY_TAGGED_SOLICITED_ONLY, 0 },
	{ AGREED "TaggedBufferForSolicitedDataOnly=Yes|", AGREED, KEY_TAGGED_SOLICITED_ONLY, 1 },
	{ AGREED, AGREED, KEY_TAGGED_SOLICITED_ONLY, 1 },
	{ AGREED "TaggedBufferForSolicitedDataOnly=2|", NULL, KEY_COUNT, 0 },
	{ AGREED "iSERHelloRequired=Yes|", AGREED "iSERHelloRequired=No|", KEY_HELLO_REQUIRED, 0 },
	{ AGREED "iSERHelloRequired=No|", AGREED "iSERHelloRequired=No|", KEY_HELLO_REQUIRED, 0 },
	/* Without the extensions: no meaning and no effect, but a bad value stays bad. */
	{ "InitiatorRecvDataSegmentLength=512|TargetRecvDataSegmentLength=512|",
	  "InitiatorRecvDataSegmentLength=Irrelevant|TargetRecvDataSegmentLength=Irrelevant|",
	  KEY_TARGET_RECV_DSL, 8192 },
	{ "TargetRecvDataSegmentLength=512|RDMAExtensions=No|",
	  "RDMAExtensions=No|TargetRecvDataSegmentLength=Irrelevant|", KEY_TARGET_RECV_DSL, 8192 },
	{ "TargetRecvDataSegmentLength=511|", NULL, KEY_COUNT, 0 },
	{ "iSERHelloRequired=Yes|", "iSERHelloRequired=Irrelevant|", KEY_HELLO_REQUIRED, 0 },
	{ "MaxOutstandingUnexpectedPDUs=2|", "", KEY_MAX_UNEXPECTED_PDUS, 0 },
	{ "MaxAHSLength=2|", "", KEY_MAX_AHS, 256 },
	{ "TaggedBufferForSolicitedDataOnly=No|", "", KEY_TAGGED_SOLICITED_ONLY, 1 },
};

/* The same where it cannot. */
static const struct offer plain[] = {
	{ AGREED, "RDMAExtensions=No|", KEY_RDMA_EXTENSIONS, 0 },
	{ AGREED "InitiatorRecvDataSegmentLength=512|MaxAHSLength=2|",
	  "RDMAExtensions=No|InitiatorRecvDataSegmentLength=Irrelevant|", KEY_INITIATOR_RECV_DSL,
	  8192 },
};

static void keys_of_the_extensions(void)
{
	struct conn_params can = everything;
	struct key_values values;

	can.rdma_extensions = true;
	can.max_recv_dsl = 16384;
	can.max_unexpected = 40;
	can.max_ahs = 64;
	check_offers(extended, sizeof(extended) / sizeof(extended[0]), &can);
	check_offers(plain, sizeof(plain) / sizeof(plain[0]), &everything);
	CU_ASSERT_STRING_EQUAL(negotiated(AGREED "TargetRecvDataSegmentLength=512|MaxAHSLength=2|",
					  &can, true, &values),
			       "RDMAExtensions=Irrelevant|TargetRecvDataSegmentLength=Irrelevant|");
	CU_ASSERT_EQUAL(values.v[KEY_RDMA_EXTENSIONS], 0);
	/* Nothing to declare. */
	can.max_unexpected = can.max_ahs = 0;
	CU_ASSERT_STRING_EQUAL(negotiated(AGREED "MaxOutstandingUnexpectedPDUs=2|MaxAHSLength=2|",
					  &can, false, &values),
			       AGREED);
}

static void a_transport_without_digests(void)
{
	struct conn_params can = everything;
	struct key_values values;

	can.header_digest = can.data_digest = false;
	CU_ASSERT_STRING_EQUAL(negotiated("HeaderDigest=CRC32C,None|", &can, false, &values),
			       "HeaderDigest=None|");
	CU_ASSERT_PTR_NULL(negotiated("DataDigest=CRC32C|", &can, false, &values));
	can.header_digest = true;
	CU_ASSERT_STRING_EQUAL(negotiated("HeaderDigest=CRC32C,None|", &can, false, &values),
			       "HeaderDigest=CRC32C|");
}

/* What the session does not say is one connection at level 0. */
static void a_transport_without_recovery(void)
{
	struct conn_params can = everything;
	struct key_values values;

	can.max_connections = 0;
	can.error_recovery_level = 0;
	CU_ASSERT_STRING_EQUAL(
		negotiated("MaxConnections=9|ErrorRecoveryLevel=2|", &can, false, &values),
		"MaxConnections=1|ErrorRecoveryLevel=0|");
	can.max_connections = 1;
	can.error_recovery_level = 1;
	CU_ASSERT_STRING_EQUAL(
		negotiated("MaxConnections=9|ErrorRecoveryLevel=2|", &can, false, &values),
		"MaxConnections=1|ErrorRecoveryLevel=1|");
}

static void our_side_of_the_booleans(void)
{
	struct conn_params can = everything;
	struct key_values values;

	can.initial_r2t = true;
	can.immediate_data = false;
	CU_ASSERT_STRING_EQUAL(negotiated("InitialR2T=No|ImmediateData=Yes|", &can, false, &values),
			       "InitialR2T=Yes|ImmediateData=No|");
	CU_ASSERT_EQUAL(values.v[KEY_INITIAL_R2T], 1);
	CU_ASSERT_EQUAL(values.v[KEY_IMMEDIATE_DATA], 0);
}

static void discovery_has_no_use_for_data_keys(void)
{
	struct key_values values;

	CU_ASSERT_STRING_EQUAL(negotiated("MaxBurstLength=512|TaskReporting=RFC3720|"
					  "DefaultTime2Wait=5|",
					  &everything, true, &values),
			       "MaxBurstLength=Irrelevant|DefaultTime2Wait=5|"
			       "TaskReporting=Irrelevant|");
	CU_ASSERT_EQUAL(values.v[KEY_MAX_BURST], 262144);
	CU_ASSERT_PTR_NULL(negotiated("MaxBurstLength=511|", &everything, true, &values));
	/* RFC 7143 13.21: one connection, level 0. */
	CU_ASSERT_STRING_EQUAL(negotiated("MaxConnections=4|ErrorRecoveryLevel=2|"
					  "iSCSIProtocolLevel=2|",
					  &everything, true, &values),
			       "MaxConnections=Irrelevant|ErrorRecoveryLevel=0|"
			       "iSCSIProtocolLevel=Irrelevant|");
	CU_ASSERT_EQUAL(values.v[KEY_MAX_CONNECTIONS], 1);
	CU_ASSERT_EQUAL(values.v[KEY_ERROR_RECOVERY_LEVEL], 0);
}

/* Which keys may come in which stage. */
static void stages_of_keys(void)
{
	static const struct {
		const char *text;
		bool in[4];
	} rows[] = {
		{ "InitiatorName=x|", { true, true, false, false } },
		{ "InitiatorAlias=x|", { true, true, false, true } },
		{ "SessionType=x|", { true, true, false, false } },
		{ "TargetName=x|", { true, true, false, false } },
		{ "TargetAlias=x|", { false, false, false, false } },
		{ "TargetAddress=x|", { false, false, false, false } },
		{ "TargetPortalGroupTag=1|", { false, false, false, false } },
		{ "SendTargets=All|", { false, false, false, true } },
		{ "AuthMethod=None|", { true, false, false, false } },
		{ "CHAP_A=5|", { true, false, false, false } },
		{ "CHAP_C=0x1|", { true, false, false, false } },
		{ "HeaderDigest=None|", { false, true, false, false } },
		{ "MaxConnections=1|", { false, true, false, false } },
		{ "MaxRecvDataSegmentLength=512|", { false, true, false, true } },
		{ "IFMarker=No|", { false, true, false, false } },
		{ "RDMAExtensions=Yes|", { false, true, false, false } },
		{ "TargetRecvDataSegmentLength=512|", { false, true, false, false } },
		{ "MaxOutstandingUnexpectedPDUs=2|", { false, true, false, false } },
		{ "X#NodeArchitecture=x|", { true, true, false, true } },
		{ "X-anything=1|", { true, true, false, true } },
	};
	static const int stages[] = { STAGE_SECURITY, STAGE_OPERATIONAL, STAGE_FULL_FEATURE };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) * 3; i++) {
		int stage = stages[i % 3];
		uint8_t *text = rig_text(rows[i / 3].text);
		struct key_seen seen = { 0 };
		struct key_fault fault;
		struct key_set set;

		CU_ASSERT_TRUE(keys_read(&set, &seen, text, 0, (uint32_t)strlen(rows[i / 3].text),
					 stage, &fault));
		CU_ASSERT_EQUAL(set.misplaced, !rows[i / 3].in[stage]);
		free(text);
	}
}

/* RFC 7143 section 13, "LO": what a later connection of a session cannot negotiate. */
static void keys_of_the_first_connection(void)
{
	static const struct {
		const char *text;
		bool leading;
	} rows[] = {
		{ "MaxConnections=1|", true },
		{ "InitialR2T=Yes|", true },
		{ "ImmediateData=Yes|", true },
		{ "MaxBurstLength=512|", true },
		{ "FirstBurstLength=512|", true },
		{ "DefaultTime2Wait=1|", true },
		{ "DefaultTime2Retain=1|", true },
		{ "MaxOutstandingR2T=1|", true },
		{ "DataPDUInOrder=Yes|", true },
		{ "DataSequenceInOrder=Yes|", true },
		{ "ErrorRecoveryLevel=0|", true },
		{ "TaskReporting=RFC3720|", true },
		{ "iSCSIProtocolLevel=1|", true },
		{ "RDMAExtensions=Yes|", true },
		{ "X-a=1|MaxConnections=1|", true },
		{ "", false },
		{ "InitiatorName=x|TargetName=y|SessionType=Normal|InitiatorAlias=z|", false },
		{ "HeaderDigest=None|DataDigest=None|MaxRecvDataSegmentLength=512|", false },
		{ "IFMarker=No|OFMarker=No|X-a=1|X#NodeArchitecture=x|", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t *text = rig_text(rows[i].text);
		struct key_seen seen = { 0 };
		struct key_fault fault;
		struct key_set set;

		CU_ASSERT_TRUE(keys_read(&set, &seen, text, 0, (uint32_t)strlen(rows[i].text),
					 STAGE_OPERATIONAL, &fault));
		CU_ASSERT_EQUAL(keys_leading_only(&set), rows[i].leading);
		free(text);
	}
}

/* How long a value may be, and what a longer one costs. */
static void lengths_of_values(void)
{
	static const struct {
		const char *key;
		uint32_t max;
		enum login_status status;
	} rows[] = {
		{ "InitiatorName", 255, LOGIN_INITIATOR_ERROR },
		{ "InitiatorAlias", 255, LOGIN_INITIATOR_ERROR },
		{ "HeaderDigest", 255, LOGIN_INITIATOR_ERROR },
		{ "MaxBurstLength", 255, LOGIN_INITIATOR_ERROR },
		{ "CHAP_N", 255, LOGIN_AUTH_FAILED },
		{ "CHAP_R", 8192, LOGIN_INITIATOR_ERROR },
		{ "CHAP_C", 8192, LOGIN_INITIATOR_ERROR },
		{ "X-unknown", 255, LOGIN_INITIATOR_ERROR },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t key_len = (uint32_t)strlen(rows[i].key), len;

		for (uint32_t over = 0; over <= 1; over++) {
			struct key_seen seen = { 0 };
			struct key_fault fault = { 0 };
			struct key_set set;
			uint8_t *text;

			len = key_len + 1 + rows[i].max + over + 1;
			text = malloc(len);
			memset(text, 'x', len);
			memcpy(text, rows[i].key, key_len);
			text[key_len] = '=';
			text[len - 1] = '\0';
			CU_ASSERT_EQUAL(
				keys_read(&set, &seen, text, 0, len, STAGE_SECURITY, &fault),
				!over);
			CU_ASSERT_EQUAL(fault.status, over ? rows[i].status : LOGIN_SUCCESS);
			free(text);
		}
	}
}

UNIT_MAIN(TEST(every_offer_has_its_answer), TEST(keys_of_the_extensions),
	  TEST(a_transport_without_digests), TEST(a_transport_without_recovery),
	  TEST(keys_of_the_first_connection), TEST(our_side_of_the_booleans),
	  TEST(discovery_has_no_use_for_data_keys), TEST(stages_of_keys), TEST(lengths_of_values));
