// SPDX-License-Identifier: BSD-2-Clause
/*
 * One session with up to four connections, of which each logs in by itself. CmdSN is counted here,
 * ITTs by each connection in a range of its own.
 */
#ifndef TESTS_UNIT_SESSION_CONNECTIONS_RIG_H
#define TESTS_UNIT_SESSION_CONNECTIONS_RIG_H

#include "session/internal.h"
#include "target_rig.h"
#include "tests/lib/unit.h"

enum { LINKS = 4, ISID = 1, RETAINED_S = 22 + 1 /* DefaultTime2Wait + DefaultTime2Retain */ };

#define FOUR "InitialR2T=No\0MaxConnections=4\0"
#define LEVEL_1 FOUR "ErrorRecoveryLevel=1\0"
#define LEVEL_2 FOUR "ErrorRecoveryLevel=2\0"

static const uint8_t tur[16] = { 0 };
static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 };
static const uint8_t block[512];
static const char slow_disk[] = "ram:1M,fault=write:delay=3s";

struct world {
	struct rig rig;
	struct initiator link[LINKS];
	uint32_t cmdsn;
};

static inline struct iconn *iconn_of(const struct initiator *in)
{
	struct conn *conn = in->peer ? memory_conn(in->peer) : NULL;

	return conn ? conn->user : NULL;
}

static inline bool is_up(const struct world *w, int i)
{
	const struct iconn *ic = iconn_of(&w->link[i]);

	return ic && iconn_up(ic);
}

/* By its TSIH; NULL: it is gone. */
static inline struct session *session_in(const struct world *w)
{
	return w->rig.server->by_tsih[w->link[0].tsih];
}

/* The status of the Login Response that is next, -1 when there is none. 0: it is up. */
static inline int answer_to_login(struct world *w, int i)
{
	struct initiator *in = &w->link[i];
	struct memory_record *rec = rig_receive(in);
	int status = -1;

	if (rec && pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE)
		status = be16_get(rec->h.login_response.status);
	if (status == LOGIN_SUCCESS) {
		in->tsih = be16_get(rec->h.login_response.tsih);
		in->r = memory_conn(in->peer)->reactor;
	}
	free(rec);
	return status;
}

static inline void knock(struct world *w, int i, uint16_t cid, struct reactor *r)
{
	rig_knock_as(&w->rig, &w->link[i], ISID, w->link[0].tsih, cid, r, NULL, 0);
	w->link[i].itt = 1000u * (unsigned int)(i + 1);
	w->link[i].tsih = w->link[0].tsih;
}

/* One more connection of the session of link 0; 0 or the status of the refusal. */
static inline int join(struct world *w, int i, uint16_t cid, struct reactor *r)
{
	knock(w, i, cid, r);
	return answer_to_login(w, i);
}

static inline uint32_t command(struct world *w, int i, const uint8_t *cdb, uint8_t flags,
			       uint32_t edtl, uint32_t len)
{
	return rig_command_sn(&w->link[i], w->cmdsn++, cdb, flags, edtl, block, len);
}

/* TEST UNIT READY there and back. */
static inline int ping(struct world *w, int i)
{
	return rig_status(&w->link[i], command(w, i, tur, CMD_FINAL, 0, 0));
}

/* A write whose R2T is out. */
static inline uint32_t write_waits(struct world *w, int i, uint32_t *ttt)
{
	uint32_t itt = command(w, i, write_1, CMD_FINAL | CMD_WRITE, 512, 0);
	struct memory_record *rec = rig_receive(&w->link[i]);

	CU_ASSERT_FATAL(rec && rec->kind == MEMORY_R2T);
	*ttt = be32_get(rec->h.r2t.ttt);
	free(rec);
	return itt;
}

static inline void begin_with(struct world *w, const char *disk, unsigned int reactors,
			      const struct server_limits *limits, const char *keys, size_t len)
{
	struct server_limits quiet = limits ? *limits : server_default_limits;

	memset(w, 0, sizeof(*w));
	quiet.nop_interval_s = 0; /* nobody here would answer a ping */
	CU_ASSERT_FATAL(rig_up_on(&w->rig, disk, &quiet, reactors));
	w->cmdsn = w->rig.first_cmdsn;
	rig_knock(&w->rig, &w->link[0], ISID, w->rig.r, keys, len);
	CU_ASSERT_TRUE_FATAL(rig_let_in(&w->link[0]));
	CU_ASSERT_EQUAL(ping(w, 0), SAM_CHECK_CONDITION); /* the unit attention */
}
#define begin(w, disk, reactors, keys) begin_with(w, disk, reactors, NULL, keys, sizeof(keys) - 1)

/* With a second connection, CID 1, of a login to the second reactor. */
static inline void begin_two_with(struct world *w, const char *disk, const char *keys, size_t len)
{
	begin_with(w, disk, 2, NULL, keys, len);
	CU_ASSERT_EQUAL(join(w, 1, 1, w->rig.second), LOGIN_SUCCESS);
	CU_ASSERT_EQUAL(ping(w, 1), SAM_GOOD);
}
#define begin_two(w, disk, keys) begin_two_with(w, disk, keys, sizeof(keys) - 1)

/* A write with all its data, which goes to the disk. */
static inline void write_to_disk(struct world *w, int i)
{
	command(w, i, write_1, CMD_FINAL | CMD_WRITE, 512, 512);
	rig_turn(&w->rig);
}

/* Lets time pass on every reactor. */
static inline void pass(struct world *w, unsigned int seconds)
{
	struct rig *rig = &w->rig;

	for (unsigned int i = 0; i < 10 * seconds; i++) {
		for (int n = 0; n < 2 && rig->reactors[n]; n++)
			reactor_advance(rig->reactors[n], 100 * NSEC_PER_MSEC);
		rig_turn(rig);
	}
}

static inline void leave(struct world *w, int i)
{
	if (w->link[i].peer)
		rig_leave(&w->link[i]);
}

static inline void end(struct world *w)
{
	for (int i = 0; i < LINKS; i++)
		leave(w, i);
	pass(w, RETAINED_S);
	CU_ASSERT_TRUE(nothing_left(&w->rig));
	rig_down(&w->rig);
}

/* A Logout Request; the CmdSN is not counted. */
static inline uint32_t log_out(struct world *w, int i, uint8_t reason, uint16_t cid)
{
	union pdu_header h = { 0 };

	h.logout_request.opcode = OP_LOGOUT_REQUEST | OPCODE_IMMEDIATE;
	h.logout_request.reason = PDU_FINAL | reason;
	h.logout_request.itt = be32_of(w->link[i].itt);
	h.logout_request.cid = be16_of(cid);
	h.logout_request.cmdsn = be32_of(w->cmdsn);
	rig_send(&w->link[i], &h, NULL, 0);
	return w->link[i].itt++;
}

/* The response of the Logout Response that is next; -1: there is none. */
static inline int logged_out(struct world *w, int i, uint32_t itt)
{
	struct memory_record *rec = rig_receive(&w->link[i]);
	int response = -1;

	if (rec && pdu_opcode(&rec->h.bhs) == OP_LOGOUT_RESPONSE &&
	    be32_get(rec->h.bhs.itt) == itt) {
		response = rec->h.logout_response.response;
		CU_ASSERT_EQUAL(be16_get(rec->h.logout_response.time2wait), 2);
		CU_ASSERT_EQUAL(be16_get(rec->h.logout_response.time2retain), 20);
	}
	free(rec);
	return response;
}

/* There and back at once: the response. */
static inline int logout_response(struct world *w, int i, uint8_t reason, uint16_t cid)
{
	return logged_out(w, i, log_out(w, i, reason, cid));
}

#endif
