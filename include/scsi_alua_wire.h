// SPDX-License-Identifier: BSD-2-Clause
/* Target port groups on the wire, SPC 6.38 and 6.45. */
#ifndef RISER_SCSI_ALUA_WIRE_H
#define RISER_SCSI_ALUA_WIRE_H

#include <assert.h>
#include <stdint.h>

#include "endian_types.h"

#define RTPG_FORMAT_SHIFT 5 /* PARAMETER DATA FORMAT, CDB byte 1 */
enum { RTPG_LENGTH_ONLY = 0, RTPG_EXTENDED = 1 };

/* REPORT TARGET PORT GROUPS parameter data: this, the extended header if it was asked for, then a
 * descriptor for each group with its ports behind it. */
struct rtpg_header {
	struct be32 len; /* bytes that follow this field */
};
static_assert(sizeof(struct rtpg_header) == 4, "RTPG header");

struct rtpg_extended {
	uint8_t format; /* bits 6-4 */
	uint8_t implicit_transition_time; /* seconds; 0: not specified */
	uint8_t rsvd[2];
};
static_assert(sizeof(struct rtpg_extended) == 4, "RTPG extended header");
#define RTPG_FORMAT_TYPE 0x10

struct rtpg_group {
	uint8_t state; /* PREF, ASYMMETRIC ACCESS STATE */
	uint8_t supported;
	struct be16 group;
	uint8_t rsvd;
	uint8_t status; /* STATUS CODE */
	uint8_t vendor;
	uint8_t port_count;
};
static_assert(sizeof(struct rtpg_group) == 8, "target port group descriptor");
#define RTPG_PREF 0x80
/* T_SUP, O_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP */
#define RTPG_SUPPORTED (0x80 | 0x40 | 0x08 | 0x04 | 0x02 | 0x01)
enum { RTPG_BY_COMMAND = 1, RTPG_IMPLICIT = 2 };

struct rtpg_port {
	uint8_t rsvd[2];
	struct be16 relative;
};
static_assert(sizeof(struct rtpg_port) == 4, "target port descriptor");

/* SET TARGET PORT GROUPS parameter list. */
struct stpg_header {
	uint8_t rsvd[4];
};
static_assert(sizeof(struct stpg_header) == 4, "STPG header");

struct stpg_group {
	uint8_t state; /* ASYMMETRIC ACCESS STATE */
	uint8_t rsvd;
	struct be16 group; /* with the state offline a RELATIVE TARGET PORT IDENTIFIER */
};
static_assert(sizeof(struct stpg_group) == 4, "set target port group descriptor");
#define STPG_STATE 0x0f

#endif
