// SPDX-License-Identifier: BSD-2-Clause
/*
 * A whole target in one thread for session tests: one or two virtual reactors, a disk, the memory
 * transport. The test is the initiator.
 */
#ifndef TESTS_UNIT_TARGET_RIG_H
#define TESTS_UNIT_TARGET_RIG_H

#include <stdlib.h>
#include <string.h>

#include "backstore.h"
#include "core/log.h"
#include "core/reactor_impl.h"
#include "lu.h"
#include "session/internal.h"
#include "transport/memory.h"

#define RIG_TARGET "iqn.2026-11.test:disk"
#define RIG_INITIATOR "iqn.2026-11.test:initiator"

struct rig {
	struct slab *slab;
	struct reactor *r;
	struct reactor *second; /* NULL: one will do */
	struct reactor *reactors[2]; /* the server's */
	struct backstore *bs;
	struct lu *lu;
	struct scsi_target scsi;
	struct target_config target;
	struct server *server;
	uint32_t first_cmdsn; /* of sessions to come */
	const struct memory_datamover *datamover; /* what their transport looks like; NULL: plain */
};

struct initiator {
	struct rig *rig;
	struct reactor *r; /* where its connection lives */
	struct memory_peer *peer;
	uint32_t cmdsn, itt, maxcmdsn, expcmdsn;
	uint16_t tsih;
};

/* disk: e.g. "ram:1M" or with fault rules. */
static inline bool rig_up_on(struct rig *rig, const char *disk, const struct server_limits *limits,
			     unsigned int reactors)
{
	struct bs_spec spec;
	char why[256];
	struct lu_config lc = { .serial = "TEST0001", .product = "test", .reactors = reactors };
	struct server_config sc = { .target_count = 1, .reactor_count = reactors };

	memset(rig, 0, sizeof(*rig));
	rig->first_cmdsn = 1;
	log_set_level(LOG_LEVEL_ERROR);
	if (slab_create(16u << 20, &rig->slab) ||
	    (reactors > 1 && reactor_create_virtual(rig->slab, &rig->second)) ||
	    reactor_create_virtual(rig->slab, &rig->r) || bs_parse(disk, &spec, why, sizeof(why)) ||
	    bs_open(&spec, &rig->bs, why, sizeof(why)))
		return false;
	if (rig->second)
		rig->second->index = 1;
	rig->reactors[0] = rig->r;
	rig->reactors[1] = rig->second;
	lc.bs = rig->bs;
	if (lu_create(&lc, &rig->lu, why, sizeof(why)))
		return false;
	memcpy(rig->scsi.name, RIG_TARGET, sizeof(RIG_TARGET));
	rig->scsi.ports[0] = (struct target_port){ .tag = 1, .relative = 1 };
	rig->scsi.port_count = 1;
	rig->scsi.lun[0] = rig->lu;
	rig->target.scsi = &rig->scsi;
	rig->target.allow_any = true;
	sc.targets = &rig->target;
	sc.limits = limits ? *limits : server_default_limits;
	sc.reactors = rig->reactors;
	return server_create(&sc, &rig->server) == 0;
}

static inline bool rig_up(struct rig *rig, const char *disk, const struct server_limits *limits)
{
	return rig_up_on(rig, disk, limits, 1);
}

/* For a disk that hangs: its close is what brings the requests back. */
static inline void rig_close_disk(struct rig *rig)
{
	bs_close(rig->bs);
	rig->bs = NULL;
}

static inline void rig_down(struct rig *rig)
{
	server_destroy(rig->server);
	lu_destroy(rig->lu);
	if (rig->bs)
		bs_close(rig->bs);
	reactor_destroy(rig->r);
	reactor_destroy(rig->second);
	slab_destroy(rig->slab);
}

static inline void rig_turn(struct rig *rig)
{
	while (reactor_turn(rig->r) || (rig->second && reactor_turn(rig->second)))
		;
}

/* Where its connection is: one of a session of another reactor has gone there. */
static inline struct reactor *rig_home(const struct initiator *in)
{
	const struct conn *conn = in->peer ? memory_conn(in->peer) : NULL;

	return conn ? conn->reactor : in->r;
}

/* memory_send() on the thread of the initiator's connection, so to speak. */
static inline void rig_send(struct initiator *in, const union pdu_header *h, const void *data,
			    uint32_t len)
{
	struct reactor *before = reactor_set_self(rig_home(in));

	memory_send(in->peer, h, NULL, 0, data, len);
	reactor_set_self(before);
}

/* The next record after everything has settled; NULL: nothing was sent. */
static inline struct memory_record *rig_receive(struct initiator *in)
{
	struct memory_record *rec;

	rig_turn(in->rig);
	rec = memory_receive(in->peer);
	if (rec) {
		in->expcmdsn = be32_get(rec->h.nop_in.expcmdsn);
		in->maxcmdsn = be32_get(rec->h.nop_in.maxcmdsn);
	}
	return rec;
}

/* memory_data_out(), likewise. */
static inline bool rig_data_out(struct initiator *in, uint32_t itt, uint32_t ttt, uint32_t offset,
				const void *data, uint32_t len, bool final)
{
	struct reactor *before = reactor_set_self(rig_home(in));
	bool landed = memory_data_out(in->peer, itt, ttt, offset, data, len, final);

	reactor_set_self(before);
	return landed;
}

/* A connection and a Login Request that asks for everything at once; the answer is not read. tsih: the
 * session that it shall be one more of, 0 for a new one. extra: more keys, len bytes. */
static inline void rig_knock_as(struct rig *rig, struct initiator *in, uint8_t isid, uint16_t tsih,
				uint16_t cid, struct reactor *r, const char *extra, size_t len)
{
	static const char keys[] =
		"InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal\0";
	struct reactor *before = reactor_set_self(r);
	union pdu_header h = { 0 };
	char text[1024];

	assert(sizeof(keys) + len <= sizeof(text));
	memcpy(text, keys, sizeof(keys) - 1);
	if (len)
		memcpy(text + sizeof(keys) - 1, extra, len);
	memset(in, 0, sizeof(*in));
	in->rig = rig;
	in->r = r;
	in->cmdsn = rig->first_cmdsn;
	in->itt = 100;
	in->peer = memory_connect(r, &session_conn_up, rig->server);
	assert(in->peer);
	if (rig->datamover)
		memory_be_datamover(in->peer, rig->datamover);
	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	h.login_request.isid.b[0] = 0x80;
	h.login_request.isid.b[5] = isid;
	h.login_request.tsih = be16_of(tsih);
	h.login_request.cid = be16_of(cid);
	h.login_request.itt = be32_of(in->itt++);
	h.login_request.cmdsn = be32_of(in->cmdsn);
	rig_send(in, &h, text, (uint32_t)(sizeof(keys) - 1 + len));
	reactor_set_self(before);
}

static inline void rig_knock(struct rig *rig, struct initiator *in, uint8_t isid, struct reactor *r,
			     const char *extra, size_t len)
{
	rig_knock_as(rig, in, isid, 0, 0, r, extra, len);
}

/* The answer. True: in full feature phase. */
static inline bool rig_let_in(struct initiator *in)
{
	struct memory_record *rec = rig_receive(in);
	bool ok = rec && pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE &&
		  be16_get(rec->h.login_response.status) == LOGIN_SUCCESS &&
		  (rec->h.login_response.flags & LOGIN_TRANSIT);

	if (ok) {
		in->tsih = be16_get(rec->h.login_response.tsih);
		in->r = rig_home(in);
	}
	free(rec);
	return ok;
}

/* isid: last byte of the ISID. True: in full feature phase. */
static inline bool rig_login(struct rig *rig, struct initiator *in, uint8_t isid)
{
	rig_knock(rig, in, isid, rig->r, NULL, 0);
	return rig_let_in(in);
}

static inline void rig_leave(struct initiator *in)
{
	struct reactor *before = reactor_set_self(rig_home(in));
	struct memory_record *rec;

	memory_disconnect(in->peer);
	reactor_set_self(before);
	rig_turn(in->rig);
	while ((rec = memory_receive(in->peer)))
		free(rec);
	memory_free(in->peer);
	in->peer = NULL;
}

/* A SCSI Command PDU with the next ITT, SIMPLE unless flags say something else; cmdsn is the caller's. Returns the ITT. */
static inline uint32_t rig_command_sn(struct initiator *in, uint32_t cmdsn, const uint8_t *cdb,
				      uint8_t flags, uint32_t edtl, const void *data, uint32_t len)
{
	union pdu_header h = { 0 };

	h.scsi_command.opcode = OP_SCSI_COMMAND;
	h.scsi_command.flags = flags & CMD_ATTR_MASK ? flags : flags | ATTR_SIMPLE;
	h.scsi_command.itt = be32_of(in->itt);
	h.scsi_command.edtl = be32_of(edtl);
	h.scsi_command.cmdsn = be32_of(cmdsn);
	memcpy(h.scsi_command.cdb, cdb, 16);
	rig_send(in, &h, data, len);
	return in->itt++;
}

static inline uint32_t rig_command(struct initiator *in, const uint8_t *cdb, uint8_t flags,
				   uint32_t edtl, const void *data, uint32_t len)
{
	return rig_command_sn(in, in->cmdsn++, cdb, flags, edtl, data, len);
}

/* The status of the next SCSI Response or Data-In with status, or -1. */
static inline int rig_status(struct initiator *in, uint32_t itt)
{
	struct memory_record *rec = rig_receive(in);
	int status = -1;

	if (rec && be32_get(rec->h.bhs.itt) == itt) {
		if (pdu_opcode(&rec->h.bhs) == OP_SCSI_RESPONSE)
			status = rec->h.scsi_response.status;
		else if (pdu_opcode(&rec->h.bhs) == OP_DATA_IN &&
			 (rec->h.data_in.flags & DATA_IN_STATUS))
			status = rec->h.data_in.status;
	}
	free(rec);
	return status;
}

static inline uint32_t rig_tmf(struct initiator *in, uint8_t function, uint32_t rtt,
			       uint32_t refcmdsn)
{
	union pdu_header h = { 0 };

	h.tmf_request.opcode = OP_TMF_REQUEST | OPCODE_IMMEDIATE;
	h.tmf_request.function = 0x80 | function;
	h.tmf_request.itt = be32_of(in->itt);
	h.tmf_request.rtt = be32_of(rtt);
	h.tmf_request.cmdsn = be32_of(in->cmdsn);
	h.tmf_request.refcmdsn = be32_of(refcmdsn);
	rig_send(in, &h, NULL, 0);
	return in->itt++;
}

/* Response code of the next PDU, which must be the TMF Response for itt; -1 otherwise. */
static inline int rig_tmf_response(struct initiator *in, uint32_t itt)
{
	struct memory_record *rec = rig_receive(in);
	int response = -1;

	if (rec && pdu_opcode(&rec->h.bhs) == OP_TMF_RESPONSE && be32_get(rec->h.bhs.itt) == itt)
		response = rec->h.tmf_response.response;
	free(rec);
	return response;
}

/* When everybody has left: no memory, session or connection that was forgotten. */
static inline bool nothing_left(const struct rig *rig)
{
	for (int i = 0; i < 2 && rig->reactors[i]; i++) {
		const struct reactor_state *rs = &rig->server->reactors[i];

		if (rs->commands.in_use || rs->replies.in_use || rs->held.in_use ||
		    rs->unauthenticated_count || !list_empty(&rs->sessions) ||
		    !list_empty(&rs->connections) || !list_empty(&rs->abort_waits) ||
		    rig->reactors[i]->load)
			return false;
	}
	return !slab_in_use(rig->slab) && !rig->server->connections && !rig->server->failed;
}

#endif
