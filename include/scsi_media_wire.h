// SPDX-License-Identifier: BSD-2-Clause
/* What media commands have on the wire beside the common shapes of CDBs. SBC-4. */
#ifndef RISER_SCSI_MEDIA_WIRE_H
#define RISER_SCSI_MEDIA_WIRE_H

#include "scsi_wire.h"

/* WRITE ATOMIC (16), SBC 5.48. */
struct cdb16_atomic {
	uint8_t opcode;
	uint8_t flags;
	struct be64 lba;
	struct be16 boundary;
	struct be16 len;
	uint8_t group;
	uint8_t control;
};
static_assert(sizeof(struct cdb16_atomic) == 16, "WRITE ATOMIC (16)");

/* GET LBA STATUS, SBC 5.6. */
struct lba_status_header {
	struct be32 data_len; /* bytes that follow this field */
	uint8_t rsvd[3];
	uint8_t flags; /* RTP, COMPLETION CONDITION */
};
static_assert(sizeof(struct lba_status_header) == 8, "GET LBA STATUS");
#define LBA_STATUS_RTP 0x01 /* REPORT TYPE was looked at */
#define LBA_STATUS_CONDITION_SHIFT 1
/* COMPLETION CONDITION. */
enum { LBA_STATUS_BY_ALLOCATION = 1, LBA_STATUS_BY_CAPACITY = 3 };

struct lba_status {
	struct be64 lba;
	struct be32 blocks;
	uint8_t provisioning;
	uint8_t additional;
	uint8_t rsvd[2];
};
static_assert(sizeof(struct lba_status) == 16, "LBA status descriptor");
enum { LBA_MAPPED = 0, LBA_DEALLOCATED = 1, LBA_ANCHORED = 2 };
/* REPORT TYPE. */
enum {
	LBA_REPORT_ALL = 0x00,
	LBA_REPORT_NOT_MAPPED = 0x01, /* any provisioning status but 0 */
	LBA_REPORT_MAPPED = 0x02,
	LBA_REPORT_DEALLOCATED = 0x03,
	LBA_REPORT_ANCHORED = 0x04,
	LBA_REPORT_UNREADABLE = 0x10,
};

/* READ DEFECT DATA, SBC 5.22 and 5.23. */
#define DEFECT_PLIST 0x10
#define DEFECT_GLIST 0x08
#define DEFECT_FORMAT 0x07
struct defect_header10 {
	uint8_t rsvd;
	uint8_t flags;
	struct be16 len; /* bytes of descriptors */
};
static_assert(sizeof(struct defect_header10) == 4, "READ DEFECT DATA (10)");

struct defect_header12 {
	uint8_t rsvd;
	uint8_t flags;
	struct be16 generation;
	struct be32 len;
};
static_assert(sizeof(struct defect_header12) == 8, "READ DEFECT DATA (12)");

/* REASSIGN BLOCKS, SBC 5.24. */
#define REASSIGN_LONGLBA 0x02
#define REASSIGN_LONGLIST 0x01
struct reassign_header {
	union {
		struct be32 long_len; /* LONGLIST */
		struct {
			uint8_t rsvd[2];
			struct be16 len;
		};
	};
};
static_assert(sizeof(struct reassign_header) == 4, "REASSIGN BLOCKS");

#endif
