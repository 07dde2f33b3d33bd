// SPDX-License-Identifier: BSD-2-Clause
/* Login over a transport that needs RDMAExtensions: RFC 7145 section 6. */
#include "tests/unit/session_rig.h"

/* A transport that moves data by itself, as RFC 7145 wants it. */
static struct rig *datamover_new(void)
{
	struct rig *r = rig_new();

	r->env.can.header_digest = r->env.can.data_digest = false;
	r->env.can.rdma_extensions = r->env.can.needs_extensions = true;
	r->env.can.max_recv_dsl = 16384;
	r->env.can.max_unexpected = 40;
	r->env.can.max_ahs = 64;
	rig_begin(r);
	return r;
}

/* What open-iscsi sends; nothing is said that it did not ask for. */
static void extensions_as_open_iscsi_asks(void)
{
	struct rig *r = datamover_new();
	const struct conn_params *p;

	r->target[0].alias[0] = '\0';
	rig_send(r, OP_TO_FFP,
		 NAMES(DISK) "InitialR2T=No|InitiatorRecvDataSegmentLength=262144|"
			     "TargetRecvDataSegmentLength=8192|RDMAExtensions=Yes|");
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, "TargetPortalGroupTag=1|InitialR2T=No|RDMAExtensions=Yes|"
					"InitiatorRecvDataSegmentLength=262144|"
					"TargetRecvDataSegmentLength=8192|");
	p = &login_result(r->login)->params;
	CU_ASSERT_TRUE(p->rdma_extensions);
	CU_ASSERT_FALSE(p->tagged_from_start);
	CU_ASSERT_EQUAL(p->max_xmit_dsl, 262144);
	CU_ASSERT_EQUAL(p->max_recv_dsl, 8192);
	CU_ASSERT_EQUAL(p->max_unexpected, 0);
	CU_ASSERT_EQUAL(p->max_ahs, 256);
	rig_free(r);
}

/* libiscsi sends MaxRecvDataSegmentLength too, and would believe ours if there were one. */
static void max_recv_dsl_has_no_effect_with_extensions(void)
{
	struct rig *r = datamover_new();
	const struct conn_params *p;

	rig_send(r, SEC_TO_OP, NAMES(DISK) "AuthMethod=None|");
	EXPECT_REPLY(r, SEC_TO_OP);
	rig_send(r, OP, "");
	CU_ASSERT_STRING_EQUAL(r->text, "TargetAlias=the disk|");
	rig_send(r, OP_TO_FFP,
		 "MaxRecvDataSegmentLength=262144|RDMAExtensions=Yes|"
		 "InitiatorRecvDataSegmentLength=8192|TargetRecvDataSegmentLength=262144|"
		 "MaxOutstandingUnexpectedPDUs=7|MaxAHSLength=52|"
		 "TaggedBufferForSolicitedDataOnly=No|iSERHelloRequired=No|");
	EXPECT_DONE(r);
	CU_ASSERT_FALSE(rig_said(r, "MaxRecvDataSegmentLength=16384"));
	CU_ASSERT_TRUE(rig_said(r, "MaxOutstandingUnexpectedPDUs=40"));
	CU_ASSERT_TRUE(rig_said(r, "MaxAHSLength=64"));
	p = &login_result(r->login)->params;
	CU_ASSERT_EQUAL(p->max_xmit_dsl, 8192);
	CU_ASSERT_EQUAL(p->max_recv_dsl, 16384);
	CU_ASSERT_TRUE(p->tagged_from_start);
	CU_ASSERT_EQUAL(p->max_unexpected, 7);
	CU_ASSERT_EQUAL(p->max_ahs, 52);
	rig_free(r);
}

static void a_datamover_needs_the_extensions(void)
{
	static const struct {
		uint8_t flags;
		const char *text;
	} without[] = {
		{ OP_TO_FFP, NAMES(DISK) },
		{ OP_TO_FFP, NAMES(DISK) "RDMAExtensions=No|" },
		{ OP_TO_FFP, NAMES(DISK) "RDMAExtensions=Reject|" },
		{ OP_TO_FFP, NAMES(DISK) "TargetRecvDataSegmentLength=8192|" },
		{ SEC_TO_FFP, NAMES(DISK) "AuthMethod=None|" },
		{ OP_TO_FFP, NAMES(DISK) "RDMAExtensions=Yes|TargetRecvDataSegmentLength=511|" },
	};
	struct rig *r = datamover_new();

	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
		rig_send(r, without[i].flags, without[i].text);
		EXPECT_FAIL(r, LOGIN_INITIATOR_ERROR);
		rig_begin(r);
	}
	/* The stage is not over: there is still time. */
	rig_send(r, OP, NAMES(DISK));
	EXPECT_REPLY(r, OP);
	rig_send(r, OP_TO_FFP, "RDMAExtensions=Yes|");
	EXPECT_DONE(r);
	CU_ASSERT_TRUE(login_result(r->login)->params.rdma_extensions);
	CU_ASSERT_EQUAL(login_result(r->login)->params.max_recv_dsl, 8192);
	CU_ASSERT_EQUAL(login_result(r->login)->params.max_xmit_dsl, 8192);
	rig_free(r);
}

static void discovery_over_a_datamover(void)
{
	struct rig *r = datamover_new();

	rig_send(r, OP_TO_FFP, DISCOVERY "MaxRecvDataSegmentLength=32768|");
	EXPECT_DONE(r);
	CU_ASSERT_STRING_EQUAL(r->text, "MaxRecvDataSegmentLength=16384|");
	CU_ASSERT_FALSE(login_result(r->login)->params.rdma_extensions);
	CU_ASSERT_EQUAL(login_result(r->login)->params.max_xmit_dsl, 32768);
	CU_ASSERT_EQUAL(login_result(r->login)->params.max_recv_dsl, 16384);
	rig_begin(r);
	rig_send(r, OP_TO_FFP, DISCOVERY "RDMAExtensions=Yes|HeaderDigest=CRC32C,None|");
	EXPECT_DONE(r);
	CU_ASSERT_TRUE(rig_said(r, "RDMAExtensions=Irrelevant"));
	CU_ASSERT_TRUE(rig_said(r, "HeaderDigest=None"));
	rig_free(r);
}

/* Where the transport is an ordinary one, the lengths of RFC 7143 hold. */
static void extensions_refused(void)
{
	struct rig *r = rig_new();

	rig_send(r, OP_TO_FFP,
		 NAMES(DISK) "RDMAExtensions=Yes|InitiatorRecvDataSegmentLength=512|"
			     "TargetRecvDataSegmentLength=512|MaxAHSLength=2|"
			     "MaxRecvDataSegmentLength=65536|");
	EXPECT_DONE(r);
	CU_ASSERT_TRUE(rig_said(r, "RDMAExtensions=No"));
	CU_ASSERT_TRUE(rig_said(r, "TargetRecvDataSegmentLength=Irrelevant"));
	CU_ASSERT_FALSE(login_result(r->login)->params.rdma_extensions);
	CU_ASSERT_EQUAL(login_result(r->login)->params.max_xmit_dsl, 65536);
	CU_ASSERT_EQUAL(login_result(r->login)->params.max_recv_dsl, 262144);
	CU_ASSERT_EQUAL(login_result(r->login)->params.max_ahs, 0);
	rig_free(r);
}

UNIT_MAIN(TEST(extensions_as_open_iscsi_asks), TEST(max_recv_dsl_has_no_effect_with_extensions),
	  TEST(a_datamover_needs_the_extensions), TEST(discovery_over_a_datamover),
	  TEST(extensions_refused));
