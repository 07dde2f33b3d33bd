// SPDX-License-Identifier: BSD-2-Clause
/* Units that come to the target of the rig and go, LUN OTHER mostly. */
#ifndef TESTS_UNIT_SESSION_UNITS_RIG_H
#define TESTS_UNIT_SESSION_UNITS_RIG_H

#include "session_links_rig.h"

enum { OTHER = 3 };

static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };

/* One more unit, in no target yet. */
struct unit {
	struct backstore *bs;
	struct lu *lu;
};

static inline void unit_up(struct unit *u, const char *disk, unsigned int reactors)
{
	struct lu_config cfg = { .serial = "TEST0002", .product = "test", .reactors = reactors };
	struct bs_spec spec;
	char why[256];

	CU_ASSERT_FATAL(!bs_parse(disk, &spec, why, sizeof(why)) &&
			!bs_open(&spec, &u->bs, why, sizeof(why)));
	cfg.bs = u->bs;
	CU_ASSERT_FATAL(!lu_create(&cfg, &u->lu, why, sizeof(why)));
}

static inline void unit_down(struct unit *u)
{
	lu_destroy(u->lu);
	bs_close(u->bs);
}

static inline void command_lun(struct initiator *in, uint8_t lun, const uint8_t *cdb, uint8_t flags,
			       uint32_t edtl, const void *data, uint32_t len)
{
	union pdu_header h = { 0 };

	h.scsi_command.opcode = OP_SCSI_COMMAND;
	h.scsi_command.flags = flags | ATTR_SIMPLE;
	h.scsi_command.lun[1] = lun;
	h.scsi_command.itt = be32_of(in->itt++);
	h.scsi_command.edtl = be32_of(edtl);
	h.scsi_command.cmdsn = be32_of(in->cmdsn++);
	memcpy(h.scsi_command.cdb, cdb, 16);
	rig_send(in, &h, data, len);
}

/* The sense of the next answer: 0 for GOOD, -1 for none. */
static inline int answer(struct initiator *in)
{
	struct memory_record *rec = rig_receive(in);
	int sense = -1;

	if (rec && pdu_opcode(&rec->h.bhs) == OP_SCSI_RESPONSE &&
	    rec->h.scsi_response.status == SAM_GOOD)
		sense = 0;
	else if (rec && rec->len >= 2 + 14)
		sense = (rec->data[2 + 2] & 15) << 16 | rec->data[2 + 12] << 8 | rec->data[2 + 13];
	free(rec);
	return sense;
}

static inline int sense_of(struct initiator *in, uint8_t lun)
{
	command_lun(in, lun, tur, CMD_FINAL, 0, NULL, 0);
	return answer(in);
}

static inline void count_search(void *arg)
{
	++*(unsigned int *)arg;
}

/* Whether somebody uses a unit that is leaving; what: as in struct unit_search, but for the first and last
 * two. */
static inline bool search_users(struct rig *rig, struct lu *lu, struct unit_search what)
{
	unsigned int done = 0;
	struct unit_search search = what;

	search.units = &lu;
	search.unit_count = 1;
	search.done = count_search;
	search.arg = &done;

	CU_ASSERT_EQUAL(server_find_users(rig->server, &search), 0);
	CU_ASSERT_EQUAL(done, 0);
	rig_turn(rig);
	CU_ASSERT_EQUAL(done, 1);
	return lu_is_used(lu);
}

static inline bool used(struct rig *rig, struct lu *lu, bool forget)
{
	return search_users(rig, lu, (struct unit_search){ .forget = forget });
}

#endif
