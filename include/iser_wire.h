// SPDX-License-Identifier: BSD-2-Clause
/*
 * iSER on the wire: RFC 7145 section 9, with the 64-bit virtual addresses of InfiniBand annex A12,
 * and the private data of the connection manager's messages.
 */
#ifndef RISER_ISER_WIRE_H
#define RISER_ISER_WIRE_H

#include <assert.h>

#include "endian_types.h"

enum {
	ISER_OPCODE_MASK = 0xf0,
	ISER_CTRL = 0x10, /* carries an iSCSI PDU */
	ISER_HELLO = 0x20,
	ISER_HELLO_REPLY = 0x30,
	ISER_WSV = 0x08, /* write_stag and write_va are valid */
	ISER_RSV = 0x04, /* read_stag and read_va are valid */
	ISER_HELLO_REPLY_REJECT = 0x01,
	ISER_VERSION = 10, /* in Hello and HelloReply: RFC 7145 9.3 */
	ISER_VERSION_RFC5046 = 1, /* what the first specification had there */
};

/* Before every iSCSI PDU. An STag is what verbs call an rkey. */
struct iser_header {
	uint8_t flags; /* opcode, WSV, RSV */
	uint8_t reserved[3];
	struct be32 write_stag; /* we read from there: SCSI write */
	struct be64 write_va;
	struct be32 read_stag; /* we write there: SCSI read */
	struct be64 read_va;
};
static_assert(sizeof(struct iser_header) == 28, "RFC 7145 9.1");

struct iser_hello {
	uint8_t flags; /* opcode */
	uint8_t versions; /* MaxVer << 4 | MinVer */
	struct be16 ird; /* iSER-IRD: RDMA Reads the initiator can answer at a time */
	uint8_t reserved[24];
};
static_assert(sizeof(struct iser_hello) == 28, "RFC 7145 9.3");

struct iser_hello_reply {
	uint8_t flags; /* opcode, REJ */
	uint8_t versions; /* MaxVer << 4 | CurVer */
	struct be16 ord; /* iSER-ORD: RDMA Reads the target will have under way */
	uint8_t reserved[24];
};
static_assert(sizeof(struct iser_hello_reply) == 28, "RFC 7145 9.4");

/* Private data of REQ (from the initiator) and REP: annex A12. */
struct iser_cm_data {
	uint8_t flags;
	uint8_t reserved[3];
};
enum {
	ISER_CM_NO_ZBVA = 0x80,
	ISER_CM_NO_SEND_W_INV = 0x40,
};

#endif
