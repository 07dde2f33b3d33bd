// SPDX-License-Identifier: BSD-2-Clause
/*
 * An initiator that has negotiated an error recovery level: it says in every request what it has
 * acknowledged, and asks again for what it has "missed".
 */
#ifndef TESTS_UNIT_SESSION_RECOVERY_RIG_H
#define TESTS_UNIT_SESSION_RECOVERY_RIG_H

#include <stdio.h>

#include "session/recovery.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

enum { MIB = 1 << 20 };

static const uint8_t tur[16] = { 0 };
static const uint8_t read_8[16] = { [0] = 0x28, [8] = 8 };
static const uint8_t write_8[16] = { [0] = 0x2a, [8] = 8 };

struct test {
	struct rig rig;
	struct initiator in;
	uint32_t acked; /* ExpStatSN of what it sends */
};

static inline struct session *session_at(struct rig *rig, uint16_t tsih)
{
	struct list *pos;

	list_for_each(pos, &rig->server->reactors[0].sessions) {
		struct session *s = list_entry(pos, struct session, reactor_node);

		if (s->tsih == tsih)
			return s;
	}
	return NULL;
}

static inline struct session *session_of(struct test *t)
{
	return session_at(&t->rig, t->in.tsih);
}

static inline struct iconn *conn_of(struct test *t)
{
	return memory_conn(t->in.peer)->user;
}

/* What is sent next acknowledges everything that has a StatSN. */
static inline void acknowledge(struct test *t)
{
	t->acked = conn_of(t)->statsn;
}

static inline uint32_t command(struct test *t, const uint8_t *cdb, uint8_t flags, uint32_t edtl)
{
	union pdu_header h = { 0 };

	h.scsi_command.opcode = OP_SCSI_COMMAND;
	h.scsi_command.flags = CMD_FINAL | ATTR_SIMPLE | flags;
	h.scsi_command.itt = be32_of(t->in.itt);
	h.scsi_command.edtl = be32_of(edtl);
	h.scsi_command.cmdsn = be32_of(t->in.cmdsn++);
	h.scsi_command.expstatsn = be32_of(t->acked);
	memcpy(h.scsi_command.cdb, cdb, 16);
	rig_send(&t->in, &h, NULL, 0);
	return t->in.itt++;
}

/* READ (10) of some KiB from the start. */
static inline uint32_t read_kib(struct test *t, uint32_t kib)
{
	uint8_t cdb[16] = { [0] = 0x28, [7] = (uint8_t)(kib * 2 >> 8), [8] = (uint8_t)(kib * 2) };

	return command(t, cdb, CMD_READ, kib << 10);
}

/* A NOP-Out that wants no answer: only its ExpStatSN counts. */
static inline void ack_status(struct test *t)
{
	union pdu_header h = { 0 };

	acknowledge(t);
	h.nop_out.opcode = OP_NOP_OUT | OPCODE_IMMEDIATE;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = be32_of(TAG_NONE);
	h.nop_out.ttt = be32_of(TAG_NONE);
	h.nop_out.cmdsn = be32_of(t->in.cmdsn);
	h.nop_out.expstatsn = be32_of(t->acked);
	rig_send(&t->in, &h, NULL, 0);
	rig_turn(&t->rig);
}

static inline void snack(struct test *t, uint8_t type, uint32_t itt, uint32_t ttt, uint32_t begrun,
			 uint32_t run)
{
	union pdu_header h = { 0 };

	h.snack.opcode = OP_SNACK | OPCODE_IMMEDIATE;
	h.snack.type = 0x80 | type;
	h.snack.itt = be32_of(itt);
	h.snack.ttt = be32_of(ttt);
	h.snack.expstatsn = be32_of(t->acked);
	h.snack.begrun = be32_of(begrun);
	h.snack.runlength = be32_of(run);
	rig_send(&t->in, &h, NULL, 0);
}

static inline struct memory_record *expect(struct test *t, uint8_t opcode)
{
	struct memory_record *rec = rig_receive(&t->in);

	CU_ASSERT_PTR_NOT_NULL_FATAL(rec);
	CU_ASSERT_EQUAL_FATAL(pdu_opcode(&rec->h.bhs), opcode);
	return rec;
}

static inline void expect_nothing(struct test *t)
{
	struct memory_record *rec = rig_receive(&t->in);

	CU_ASSERT_PTR_NULL(rec);
	free(rec);
}

static inline void expect_reject(struct test *t, uint8_t reason)
{
	struct memory_record *rec = expect(t, OP_REJECT);

	CU_ASSERT_EQUAL(rec->h.reject.reason, reason);
	free(rec);
}

/* A SCSI Response with this StatSN and status. */
static inline void expect_response(struct test *t, uint32_t itt, uint32_t statsn, uint8_t status,
				   uint32_t snack_tag)
{
	struct memory_record *rec = expect(t, OP_SCSI_RESPONSE);
	const struct bhs_scsi_response *h = &rec->h.scsi_response;

	CU_ASSERT_EQUAL(be32_get(h->itt), itt);
	CU_ASSERT_EQUAL(be32_get(h->statsn), statsn);
	CU_ASSERT_EQUAL(h->status, status);
	CU_ASSERT_EQUAL(be32_get(h->snack_tag), snack_tag);
	free(rec);
}

/* CHECK CONDITION, ABORTED COMMAND, SNACK REJECTED; its StatSN. */
static inline uint32_t expect_refusal(struct test *t, uint32_t itt)
{
	struct memory_record *rec = expect(t, OP_SCSI_RESPONSE);
	const struct bhs_scsi_response *h = &rec->h.scsi_response;
	uint32_t statsn = be32_get(h->statsn);

	CU_ASSERT_EQUAL(be32_get(h->itt), itt);
	CU_ASSERT_EQUAL(h->status, SAM_CHECK_CONDITION);
	CU_ASSERT_TRUE_FATAL(rec->len >= 16);
	CU_ASSERT_EQUAL(rec->data[2 + 2] & 15, 0x0b);
	CU_ASSERT_EQUAL(rec->data[2 + 12], 0x11);
	CU_ASSERT_EQUAL(rec->data[2 + 13], 0x13);
	free(rec);
	return statsn;
}

/* Everything that two PDUs have in common but ExpCmdSN and MaxCmdSN. */
static inline bool is_replica(struct memory_record *a, struct memory_record *b)
{
	b->h.nop_in.expcmdsn = a->h.nop_in.expcmdsn;
	b->h.nop_in.maxcmdsn = a->h.nop_in.maxcmdsn;
	return a->len == b->len && !memcmp(&a->h, &b->h, sizeof(a->h)) &&
	       !memcmp(a->data, b->data, a->len);
}

static inline void log_in(struct test *t, struct rig *rig, const char *keys, size_t len)
{
	uint32_t itt;

	rig_knock(rig, &t->in, 1, rig->r, keys, len);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&t->in));
	acknowledge(t);
	itt = command(t, tur, 0, 0);
	CU_ASSERT_EQUAL(rig_status(&t->in, itt), SAM_CHECK_CONDITION);
	ack_status(t);
	CU_ASSERT_TRUE(list_empty(&session_of(t)->commands));
}

/* Another connection of the session: the initiator goes on with it. cid: 0 is that of the first, whose
 * place it takes. The old one is returned. */
static inline struct memory_peer *join(struct test *t, uint16_t cid)
{
	static const char keys[] =
		"InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal";
	struct memory_peer *old = t->in.peer;
	union pdu_header h = { 0 };

	t->in.peer = memory_connect(t->rig.r, &session_conn_up, t->rig.server);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t->in.peer);
	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	h.login_request.isid.b[0] = 0x80;
	h.login_request.isid.b[5] = 1;
	h.login_request.tsih = be16_of(t->in.tsih);
	h.login_request.cid = be16_of(cid);
	h.login_request.itt = be32_of(t->in.itt++);
	h.login_request.cmdsn = be32_of(t->in.cmdsn);
	rig_send(&t->in, &h, keys, sizeof(keys));
	CU_ASSERT_TRUE_FATAL(rig_let_in(&t->in));
	acknowledge(t);
	return old;
}

static inline void forget_peer(struct test *t, struct memory_peer *peer)
{
	struct memory_record *rec;

	memory_disconnect(peer);
	rig_turn(&t->rig);
	while ((rec = memory_receive(peer)))
		free(rec);
	memory_free(peer);
}

/* The connection is lost, and another one takes its place. */
static inline void reconnect(struct test *t)
{
	memory_disconnect(t->in.peer);
	rig_turn(&t->rig);
	CU_ASSERT_PTR_NULL(memory_conn(t->in.peer));
	forget_peer(t, join(t, 0));
}

static inline uint32_t reassign(struct test *t, uint32_t rtt, uint32_t expdatasn)
{
	union pdu_header h = { 0 };

	h.tmf_request.opcode = OP_TMF_REQUEST | OPCODE_IMMEDIATE;
	h.tmf_request.function = 0x80 | TMF_TASK_REASSIGN;
	h.tmf_request.itt = be32_of(t->in.itt);
	h.tmf_request.rtt = be32_of(rtt);
	h.tmf_request.cmdsn = be32_of(t->in.cmdsn);
	h.tmf_request.expstatsn = be32_of(t->acked);
	h.tmf_request.expdatasn = be32_of(expdatasn);
	rig_send(&t->in, &h, NULL, 0);
	return t->in.itt++;
}

static inline void expect_reassigned(struct test *t, uint32_t rtt, uint32_t expdatasn, int response)
{
	uint32_t itt = reassign(t, rtt, expdatasn);

	CU_ASSERT_EQUAL(rig_tmf_response(&t->in, itt), response);
}

static inline void begin_with(struct test *t, unsigned int level, const char *disk,
			      const struct server_limits *limits)
{
	char keys[64];
	int len =
		snprintf(keys, sizeof(keys), "MaxConnections=4%cErrorRecoveryLevel=%u", 0, level) +
		1;

	memset(t, 0, sizeof(*t));
	CU_ASSERT_FATAL(rig_up(&t->rig, disk, limits));
	log_in(t, &t->rig, keys, (size_t)len);
	CU_ASSERT_EQUAL(session_of(t)->who.error_recovery_level, level);
}

static inline void begin(struct test *t, unsigned int level)
{
	begin_with(t, level, "ram:8M", NULL);
	/* Data that tells where it is from. */
	for (uint32_t i = 0; i < 8 * MIB; i += 4)
		*(uint32_t *)((uint8_t *)bs_borrow(t->rig.bs, 0, 8 * MIB) + i) = i * 2654435761u;
}

static inline bool is_disk(struct test *t, const struct memory_record *rec)
{
	uint32_t offset = be32_get(rec->h.data_in.buffer_offset);

	return !memcmp(rec->data, bs_borrow(t->rig.bs, offset, rec->len), rec->len);
}

/* What is sent is not kept from now on: the session has as much as it may. */
static inline void keep_nothing(struct test *t)
{
	session_of(t)->kept_bytes += KEPT_BYTES_MAX;
}

static inline void keep_again(struct test *t)
{
	session_of(t)->kept_bytes -= KEPT_BYTES_MAX;
}

/* A read of 4 KiB that was answered, and of which nothing is kept but its status. Returns its ITT. */
static inline uint32_t begin_unkept(struct test *t)
{
	uint32_t itt;

	begin(t, 2);
	keep_nothing(t);
	itt = command(t, read_8, CMD_READ, 4096);
	free(expect(t, OP_DATA_IN));
	free(expect(t, OP_SCSI_RESPONSE));
	return itt;
}

static inline void rig_break_at_put(struct conn *conn, struct transfer *t)
{
	memory_transport.close(conn, false);
	memory_transport.put_data(conn, t);
}

/* The connection breaks with the next Data-In. */
static inline void break_at_data(struct test *t)
{
	static struct transport_ops breaking;

	breaking = memory_transport;
	breaking.put_data = rig_break_at_put;
	memory_conn(t->in.peer)->ops = &breaking;
}

/* Logout for recovery of the connection with this CID. */
static inline void log_out_for_recovery(struct test *t, uint16_t cid)
{
	struct memory_record *rec;
	union pdu_header h = { 0 };

	h.logout_request.opcode = OP_LOGOUT_REQUEST | OPCODE_IMMEDIATE;
	h.logout_request.reason = 0x80 | LOGOUT_RECOVERY;
	h.logout_request.itt = be32_of(t->in.itt++);
	h.logout_request.cid = be16_of(cid);
	h.logout_request.cmdsn = be32_of(t->in.cmdsn);
	h.logout_request.expstatsn = be32_of(t->acked);
	rig_send(&t->in, &h, NULL, 0);
	rec = expect(t, OP_LOGOUT_RESPONSE);
	CU_ASSERT_EQUAL(rec->h.logout_response.response, LOGOUT_RSP_SUCCESS);
	free(rec);
}

static inline void end(struct test *t)
{
	const struct session *s = t->in.tsih ? session_of(t) : NULL;
	bool waits = s && s->who.error_recovery_level == 2;

	if (t->in.peer)
		rig_leave(&t->in);
	if (waits) /* DefaultTime2Wait and DefaultTime2Retain */
		reactor_advance(t->rig.r, 30 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(slab_in_use(t->rig.slab), 0);
	CU_ASSERT_TRUE(list_empty(&t->rig.server->reactors[0].sessions));
	CU_ASSERT_EQUAL(t->rig.server->reactors[0].kept_bytes, 0);
	CU_ASSERT_EQUAL(t->rig.server->reactors[0].recoveries.in_use, 0);
	CU_ASSERT_EQUAL(t->rig.server->reactors[0].replies.in_use, 0);
	rig_down(&t->rig);
}

#endif
