// SPDX-License-Identifier: BSD-2-Clause
/*
 * A whole target in one thread for session tests: virtual reactor, RAM disk, memory transport. The
 * test is the initiator.
 */
#ifndef TESTS_UNIT_TARGET_RIG_H
#define TESTS_UNIT_TARGET_RIG_H

#include <stdlib.h>
#include <string.h>

#include "backstore.h"
#include "core/log.h"
#include "lu.h"
#include "session.h"
#include "transport/memory.h"

#define RIG_TARGET "iqn.2026-11.test:disk"
#define RIG_INITIATOR "iqn.2026-11.test:initiator"

struct rig {
	struct slab *slab;
	struct reactor *r;
	struct backstore *bs;
	struct lu *lu;
	struct scsi_target scsi;
	struct target_config target;
	struct server *server;
};

struct initiator {
	struct rig *rig;
	struct memory_peer *peer;
	uint32_t cmdsn, itt, maxcmdsn, expcmdsn;
	uint16_t tsih;
};

/* disk: e.g. "ram:1M" or with fault rules. */
static inline bool rig_up(struct rig *rig, const char *disk, const struct server_limits *limits)
{
	struct bs_spec spec;
	char why[256];
	struct lu_config lc = { .serial = "TEST0001", .product = "test", .reactors = 1 };
	struct server_config sc = { .target_count = 1, .reactor_count = 1 };

	memset(rig, 0, sizeof(*rig));
	log_set_level(LOG_LEVEL_ERROR);
	if (slab_create(16u << 20, &rig->slab) || reactor_create_virtual(rig->slab, &rig->r) ||
	    bs_parse(disk, &spec, why, sizeof(why)) || bs_open(&spec, &rig->bs, why, sizeof(why)))
		return false;
	lc.bs = rig->bs;
	if (lu_create(&lc, &rig->lu))
		return false;
	memcpy(rig->scsi.name, RIG_TARGET, sizeof(RIG_TARGET));
	rig->scsi.port_group = rig->scsi.relative_port = 1;
	rig->scsi.lun[0] = rig->lu;
	rig->target.scsi = &rig->scsi;
	rig->target.allow_any = true;
	sc.targets = &rig->target;
	sc.limits = limits ? *limits : server_default_limits;
	sc.reactors = &rig->r;
	return server_create(&sc, &rig->server) == 0;
}

static inline void rig_down(struct rig *rig)
{
	server_destroy(rig->server);
	lu_destroy(rig->lu);
	bs_close(rig->bs);
	reactor_destroy(rig->r);
	slab_destroy(rig->slab);
}

static inline void rig_turn(struct rig *rig)
{
	while (reactor_turn(rig->r))
		;
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

/* isid: last byte of the ISID. True: in full feature phase. */
static inline bool rig_login(struct rig *rig, struct initiator *in, uint8_t isid)
{
	static const char keys[] =
		"InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal\0";
	union pdu_header h = { 0 };
	struct memory_record *rec;
	bool ok;

	memset(in, 0, sizeof(*in));
	in->rig = rig;
	in->cmdsn = 1;
	in->itt = 100;
	in->peer = memory_connect(rig->r, &session_conn_up, rig->server);
	if (!in->peer)
		return false;
	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	h.login_request.isid.b[0] = 0x80;
	h.login_request.isid.b[5] = isid;
	h.login_request.itt = be32_of(in->itt++);
	h.login_request.cmdsn = be32_of(in->cmdsn);
	memory_send(in->peer, &h, NULL, 0, keys, sizeof(keys) - 1);
	rec = rig_receive(in);
	ok = rec && pdu_opcode(&rec->h.bhs) == OP_LOGIN_RESPONSE &&
	     be16_get(rec->h.login_response.status) == LOGIN_SUCCESS &&
	     (rec->h.login_response.flags & LOGIN_TRANSIT);
	if (ok)
		in->tsih = be16_get(rec->h.login_response.tsih);
	free(rec);
	return ok;
}

static inline void rig_leave(struct initiator *in)
{
	struct memory_record *rec;

	memory_disconnect(in->peer);
	rig_turn(in->rig);
	while ((rec = memory_receive(in->peer)))
		free(rec);
	memory_free(in->peer);
	in->peer = NULL;
}

/* A SCSI Command PDU with the next ITT; cmdsn is the caller's. Returns the ITT. */
static inline uint32_t rig_command_sn(struct initiator *in, uint32_t cmdsn, const uint8_t *cdb,
				      uint8_t flags, uint32_t edtl, const void *data, uint32_t len)
{
	union pdu_header h = { 0 };

	h.scsi_command.opcode = OP_SCSI_COMMAND;
	h.scsi_command.flags = flags | ATTR_SIMPLE;
	h.scsi_command.itt = be32_of(in->itt);
	h.scsi_command.edtl = be32_of(edtl);
	h.scsi_command.cmdsn = be32_of(cmdsn);
	memcpy(h.scsi_command.cdb, cdb, 16);
	memory_send(in->peer, &h, NULL, 0, data, len);
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
	memory_send(in->peer, &h, NULL, 0, NULL, 0);
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

#endif
