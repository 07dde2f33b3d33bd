// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sessions with several connections, for tests of what one of them does to the others. Each connection
 * is a struct initiator; CmdSN is counted in the first one's.
 */
#ifndef TESTS_UNIT_SESSION_LINKS_RIG_H
#define TESTS_UNIT_SESSION_LINKS_RIG_H

#include "session_tasks_rig.h"

#define LEVEL_2 "InitialR2T=No\0iSCSIProtocolLevel=2\0MaxConnections=4\0"

static inline struct iconn *iconn_of(const struct initiator *in)
{
	return memory_conn(in->peer)->user;
}

/* A session of level 2 whose first unit attention is out of the way. */
static inline void log_in_newer(struct rig *rig, struct initiator *in, uint8_t isid,
				struct reactor *r)
{
	uint32_t itt;

	rig_knock(rig, in, isid, r, LEVEL_2, sizeof(LEVEL_2) - 1);
	CU_ASSERT_TRUE_FATAL(rig_let_in(in));
	itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
}

/* `in` becomes one more connection of the session of first. */
static inline void link_up(struct initiator *first, struct initiator *in, uint16_t cid)
{
	static const char keys[] =
		"InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal\0";
	struct reactor *before = reactor_set_self(first->r);
	union pdu_header h = { 0 };

	memset(in, 0, sizeof(*in));
	in->rig = first->rig;
	in->r = first->r;
	in->itt = 1000u * cid;
	in->peer = memory_connect(first->r, &session_conn_up, first->rig->server);
	reactor_set_self(before);
	CU_ASSERT_FATAL(in->peer != NULL);
	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	h.login_request.isid = session_of(first)->who.isid;
	h.login_request.tsih = be16_of(first->tsih);
	h.login_request.itt = be32_of(in->itt++);
	h.login_request.cid = be16_of(cid);
	h.login_request.cmdsn = be32_of(first->cmdsn);
	rig_send(in, &h, keys, sizeof(keys) - 1);
	CU_ASSERT_TRUE_FATAL(rig_let_in(in));
	CU_ASSERT_EQUAL(in->tsih, first->tsih);
}

/* A command on one of the connections, with the next CmdSN of the session. */
static inline uint32_t link_command(struct initiator *first, struct initiator *in,
				    const uint8_t *cdb, uint8_t flags, uint32_t edtl)
{
	return rig_command_sn(in, first->cmdsn++, cdb, flags, edtl, NULL, 0);
}

/* An immediate function on one of the connections. */
static inline uint32_t link_tmf(const struct initiator *first, struct initiator *in,
				uint8_t function, uint32_t rtt)
{
	in->cmdsn = first->cmdsn;
	return rig_tmf(in, function, rtt, first->cmdsn - 1);
}

/* The next PDU has this opcode; NULL: another or none. To be freed. */
static inline struct memory_record *link_next(struct initiator *in, uint8_t opcode)
{
	struct memory_record *rec = rig_receive(in);

	if (rec && pdu_opcode(&rec->h.bhs) == opcode)
		return rec;
	free(rec);
	return NULL;
}

/* The next PDU is a NOP-In that wants an answer: its TTT, else TAG_NONE. */
static inline uint32_t link_asked(struct initiator *in)
{
	struct memory_record *rec = link_next(in, OP_NOP_IN);
	uint32_t ttt = rec ? be32_get(rec->h.nop_in.ttt) : TAG_NONE;

	CU_ASSERT(!rec || be32_get(rec->h.nop_in.itt) == TAG_NONE);
	free(rec);
	return ttt;
}

static inline void link_answer(struct initiator *first, struct initiator *in, uint32_t ttt)
{
	union pdu_header h = { 0 };

	h.nop_out.opcode = OP_NOP_OUT | OPCODE_IMMEDIATE;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = be32_of(TAG_NONE);
	h.nop_out.ttt = be32_of(ttt);
	h.nop_out.cmdsn = be32_of(first->cmdsn);
	rig_send(in, &h, NULL, 0);
}

/* The next PDU is an Asynchronous Message: its event, else -1. */
static inline int link_event(struct initiator *in)
{
	struct memory_record *rec = link_next(in, OP_ASYNC);
	int event = rec ? rec->h.async.event : -1;

	free(rec);
	return event;
}

#endif
