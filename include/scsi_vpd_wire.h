// SPDX-License-Identifier: BSD-2-Clause
/* Vital product data pages on the wire, SPC 7.7; those of block devices and designators are in
 * scsi_wire.h. */
#ifndef RISER_SCSI_VPD_WIRE_H
#define RISER_SCSI_VPD_WIRE_H

#include "scsi_wire.h"

enum { VPD_MODE_PAGE_POLICY = 0x87, VPD_SCSI_PORTS = 0x88 };

/* Extended INQUIRY Data, SPC 7.7.7. */
struct vpd_extended {
	struct vpd_header header;
	uint8_t checks; /* ACTIVATE_MICROCODE, SPT, GRD_CHK, APP_CHK, REF_CHK */
	uint8_t attributes; /* UASK_SUP, GROUP_SUP, PRIOR_SUP, HEADSUP, ORDSUP, SIMPSUP */
	uint8_t caches; /* WU_SUP, CRD_SUP, NV_SUP, V_SUP */
	uint8_t nexus; /* NO_PI_CHK, P_I_I_SUP, LUICLR */
	uint8_t collection; /* LU_COLL_TYPE, R_SUP, RTD_SUP */
	uint8_t microcode;
	struct be16 self_test_minutes;
	uint8_t activation;
	uint8_t max_sense; /* bytes */
	uint8_t rsvd[50];
};
static_assert(sizeof(struct vpd_extended) == 64, "VPD 86");
enum {
	EXTENDED_SPT_1 = 0 << 3, /* protection types that the unit can have */
	EXTENDED_SPT_2 = 2 << 3,
	EXTENDED_SPT_3 = 4 << 3,
	EXTENDED_CHECKS = 0x07, /* GRD_CHK, APP_CHK, REF_CHK */
	EXTENDED_SIMPSUP = 0x01,
	EXTENDED_ORDSUP = 0x02,
	EXTENDED_HEADSUP = 0x04,
	EXTENDED_V_SUP = 0x01,
	EXTENDED_NO_PI_CHK = 0x20, /* escapes that are written are not checked */
};

/* Mode Page Policy, SPC 7.7.9: descriptors behind the header. */
struct mode_page_policy {
	uint8_t page, subpage;
	uint8_t policy; /* MLUS, MODE PAGE POLICY: 0 shared */
	uint8_t rsvd;
};
static_assert(sizeof(struct mode_page_policy) == 4, "mode page policy descriptor");

/* SCSI Ports, SPC 7.7.16: for each port this, with the names of the target port behind it. */
struct vpd_port {
	uint8_t rsvd[2];
	struct be16 relative;
	uint8_t rsvd2[2];
	struct be16 initiator_len; /* TransportID of an initiator port: there is none */
	uint8_t rsvd3[2];
	struct be16 target_len; /* bytes of designators that follow */
};
static_assert(sizeof(struct vpd_port) == 12, "SCSI port designation descriptor");

/* Block Limits, SBC 6.6.4, from byte 44 on. */
struct vpd_atomic_limits {
	struct be32 max_len, alignment, granularity;
	struct be32 max_len_with_boundary, max_boundary;
};
static_assert(sizeof(struct vpd_atomic_limits) == 20, "atomic write limits");

/* Block Device Characteristics, SBC 6.6.3. */
enum {
	CHARACTERISTICS_VBULS = 0x01,
	CHARACTERISTICS_ERASED_READS = 0x40, /* WABEREQ 01b: reads after BLOCK ERASE are fine */
};

enum { PROVISIONING_LBPWS10 = 0x20 };

#endif
