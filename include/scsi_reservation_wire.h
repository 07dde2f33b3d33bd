// SPDX-License-Identifier: BSD-2-Clause
/* PERSISTENT RESERVE IN and OUT on the wire, SPC-5 6.14 and 6.15, and TransportIDs, SPC-5 7.6.4. */
#ifndef RISER_SCSI_RESERVATION_WIRE_H
#define RISER_SCSI_RESERVATION_WIRE_H

#include <assert.h>
#include <stdint.h>

#include "endian_types.h"

/* Service actions of PERSISTENT RESERVE IN. */
enum {
	PR_READ_KEYS = 0x00,
	PR_READ_RESERVATION = 0x01,
	PR_REPORT_CAPABILITIES = 0x02,
	PR_READ_FULL_STATUS = 0x03,
};

/* Service actions of PERSISTENT RESERVE OUT. */
enum {
	PR_REGISTER = 0x00,
	PR_RESERVE = 0x01,
	PR_RELEASE = 0x02,
	PR_CLEAR = 0x03,
	PR_PREEMPT = 0x04,
	PR_PREEMPT_AND_ABORT = 0x05,
	PR_REGISTER_AND_IGNORE = 0x06,
	PR_REGISTER_AND_MOVE = 0x07,
	PR_REPLACE_LOST = 0x08, /* not supported */
};

/* TYPE; SCOPE, the upper four bits of the same byte, is 0: the logical unit. */
enum {
	PR_NONE = 0, /* ours: there is no reservation */
	PR_WRITE_EXCLUSIVE = 1,
	PR_EXCLUSIVE_ACCESS = 3,
	PR_WRITE_EXCLUSIVE_REGISTRANTS = 5,
	PR_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	PR_WRITE_EXCLUSIVE_ALL = 7,
	PR_EXCLUSIVE_ACCESS_ALL = 8,
};
#define PR_TYPE_MASK 0x0f
#define PR_SCOPE_SHIFT 4

/* Parameter list of every service action but REGISTER AND MOVE. */
struct pr_out_list {
	struct be64 key; /* RESERVATION KEY */
	struct be64 action_key; /* SERVICE ACTION RESERVATION KEY */
	uint8_t obsolete[4];
	uint8_t flags;
	uint8_t rsvd, obsolete2[2];
};
static_assert(sizeof(struct pr_out_list) == 24, "PERSISTENT RESERVE OUT");
#define PR_SPEC_I_PT 0x08 /* behind the list: be32 length, TransportIDs */
#define PR_ALL_TG_PT 0x04
#define PR_APTPL 0x01

struct pr_move_list {
	struct be64 key, action_key;
	uint8_t rsvd;
	uint8_t flags;
	struct be16 port; /* RELATIVE TARGET PORT IDENTIFIER */
	struct be32 id_len; /* bytes of the TransportID, which follows */
};
static_assert(sizeof(struct pr_move_list) == 24, "REGISTER AND MOVE");
#define PR_MOVE_UNREG 0x02
#define PR_MOVE_APTPL 0x01

struct transport_id {
	uint8_t format; /* TPID FORMAT, PROTOCOL IDENTIFIER */
	uint8_t rsvd;
	struct be16 additional_len; /* bytes that follow: at least 20, a multiple of 4 */
};
static_assert(sizeof(struct transport_id) == 4, "TransportID");
enum {
	TRANSPORT_ID_DEVICE = 0x05, /* 00b, iSCSI: the name of an initiator device */
	TRANSPORT_ID_PORT = 0x45, /* 01b, iSCSI: name,i,0xISID */
	TRANSPORT_ID_MIN = 24,
	TRANSPORT_ID_MAX =
		4 + 244, /* of ours: 223 bytes of name, ",i,0x", 12 digits, NUL, padding */
};

/* READ KEYS, READ RESERVATION and READ FULL STATUS begin with it. */
struct pr_in_header {
	struct be32 generation;
	struct be32 additional_len; /* bytes that follow */
};
static_assert(sizeof(struct pr_in_header) == 8, "PERSISTENT RESERVE IN");

struct pr_reservation {
	struct be64 key; /* of the holder; 0: every registrant is */
	uint8_t obsolete[4], rsvd;
	uint8_t scope_type;
	uint8_t obsolete2[2];
};
static_assert(sizeof(struct pr_reservation) == 16, "READ RESERVATION");

struct pr_capabilities {
	struct be16 len;
	uint8_t can;
	uint8_t allows; /* TMV, ALLOW COMMANDS, PTPL_A */
	uint8_t types[2];
	uint8_t rsvd[2];
};
static_assert(sizeof(struct pr_capabilities) == 8, "REPORT CAPABILITIES");
#define PR_CAN_SPEC_I_PT 0x08
#define PR_CAN_ALL_TG_PT 0x04
#define PR_CAN_PERSIST 0x01
#define PR_TYPES_VALID 0x80
#define PR_ALLOWS_TEST_UNIT_READY 0x10
#define PR_PERSISTS 0x01

struct pr_full_status {
	struct be64 key;
	uint8_t rsvd[4];
	uint8_t flags;
	uint8_t scope_type; /* of a holder */
	uint8_t rsvd2[4];
	struct be16 port;
	struct be32 additional_len; /* the TransportID follows */
};
static_assert(sizeof(struct pr_full_status) == 24, "READ FULL STATUS");
#define PR_STATUS_HOLDER 0x01

#endif
