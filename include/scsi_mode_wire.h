// SPDX-License-Identifier: BSD-2-Clause
/*
 * MODE SENSE and MODE SELECT on the wire: bits of the CDBs and mode pages, SPC 7.5 and SBC 6.5.
 * Header and block descriptors are in scsi_wire.h.
 */
#ifndef RISER_SCSI_MODE_WIRE_H
#define RISER_SCSI_MODE_WIRE_H

#include <assert.h>
#include <stdint.h>

#include "endian_types.h"

/* CDB byte 1 of MODE SELECT. */
#define MODE_SELECT_PF 0x10
#define MODE_SELECT_SP 0x01

enum {
	MODE_PAGE_RW_RECOVERY = 0x01,
	MODE_PAGE_POWER = 0x1a,
	MODE_SUBPAGE_EXTENSION = 0x01, /* of the Control page */
	MODE_SUBPAGE_PROVISIONING = 0x02, /* of page 1Ch */
	MODE_SUBPAGE_ALL = 0xff,
};

/* Byte 0 of a page. */
#define MODE_PS 0x80 /* PARAMETERS SAVEABLE */
#define MODE_SPF 0x40 /* there is a SUBPAGE CODE */
#define MODE_CODE 0x3f

struct mode_page_head {
	uint8_t code; /* PS, SPF, PAGE CODE */
	uint8_t len; /* bytes that follow */
};
static_assert(sizeof(struct mode_page_head) == 2, "page_0 mode page format");

struct mode_subpage_head {
	uint8_t code, subpage;
	struct be16 len; /* bytes that follow */
};
static_assert(sizeof(struct mode_subpage_head) == 4, "sub_page mode page format");

/* Read-Write Error Recovery, SBC 6.5.10. */
struct mode_rw_recovery {
	struct mode_page_head head;
	uint8_t flags; /* AWRE, ARRE, ... */
	uint8_t read_retries;
	uint8_t obsolete[3];
	uint8_t flags7; /* LBPERE, MWR */
	uint8_t write_retries;
	uint8_t rsvd;
	struct be16 recovery_time; /* ms, 0: no limit of ours */
};
static_assert(sizeof(struct mode_rw_recovery) == 12, "page 01h");
#define MODE_LBPERE 0x80 /* unit attentions for provisioning thresholds */

/* Caching, SBC 6.5.6. */
struct mode_caching {
	struct mode_page_head head;
	uint8_t flags; /* IC ABPF CAP DISC SIZE WCE MF RCD */
	uint8_t retention;
	struct be16 no_prefetch_above, min_prefetch, max_prefetch, max_prefetch_ceiling;
	uint8_t flags12; /* FSW LBCSS DRA NV_DIS */
	uint8_t segments;
	struct be16 segment_size;
	uint8_t rsvd[4];
};
static_assert(sizeof(struct mode_caching) == 20, "page 08h");

/* Control, SPC 7.5.10. */
struct mode_control {
	struct mode_page_head head;
	uint8_t flags2; /* TST TMF_ONLY DPICZ D_SENSE GLTSD RLEC */
	uint8_t flags3; /* QUEUE ALGORITHM MODIFIER, NUAR, QERR */
	uint8_t flags4; /* RAC UA_INTLCK_CTRL SWP */
	uint8_t flags5; /* ATO TAS ATMPE RWWP AUTOLOAD MODE */
	uint8_t obsolete[2];
	struct be16 busy_timeout; /* ffffh: unlimited */
	struct be16 self_test_time; /* s */
};
static_assert(sizeof(struct mode_control) == 12, "page 0Ah");
#define MODE_TST_PER_NEXUS 0x20
#define MODE_D_SENSE 0x04
#define MODE_GLTSD 0x02 /* log parameters are not saved */
#define MODE_QAM_UNRESTRICTED 0x10
#define MODE_QERR 0x06
#define MODE_QERR_SHIFT 1
#define MODE_SWP 0x08
#define MODE_ATO 0x80
#define MODE_TAS 0x40
enum { QERR_CONTINUE = 0, QERR_ALL = 1, QERR_RESERVED = 2, QERR_NEXUS = 3 };

/* Control Extension, SPC 7.5.11. */
struct mode_control_extension {
	struct mode_subpage_head head;
	uint8_t flags; /* TCMOS SCSIP IALUAE */
	uint8_t priority; /* INITIAL COMMAND PRIORITY */
	uint8_t max_sense; /* bytes, 0: no limit but that of the format */
	uint8_t rsvd[25];
};
static_assert(sizeof(struct mode_control_extension) == 32, "page 0Ah/01h");
#define MODE_TCMOS 0x04 /* the timestamp may be set by other means than SCSI */
#define MODE_SCSIP 0x02 /* but SET TIMESTAMP wins */
#define MODE_IALUAE 0x01 /* access states may change by themselves */

/* Power Condition, SPC 7.5.17: timers and which of them run. All zero: the unit stays active. */
struct mode_power {
	struct mode_page_head head;
	uint8_t timers[38];
};
static_assert(sizeof(struct mode_power) == 40, "page 1Ah");

/* Informational Exceptions Control, SBC 6.5.8. */
struct mode_exceptions {
	struct mode_page_head head;
	uint8_t flags; /* PERF EBF EWASC DEXCPT TEST EBACKERR LOGERR */
	uint8_t method; /* MRIE */
	struct be32 interval, report_count;
};
static_assert(sizeof(struct mode_exceptions) == 12, "page 1Ch");
#define MODE_DEXCPT 0x08 /* no exceptions are reported by themselves */

/* Logical Block Provisioning, SBC 6.5.9. */
struct mode_threshold {
	uint8_t flags; /* ENABLED, THRESHOLD TYPE, THRESHOLD ARMING */
	uint8_t resource; /* parameter code of log page 0Ch */
	uint8_t rsvd[2];
	struct be32 count; /* in threshold sets */
};
static_assert(sizeof(struct mode_threshold) == 8, "threshold descriptor");
#define MODE_THRESHOLD_ENABLED 0x80
#define MODE_ARMED_DECREASING 0x00
#define MODE_ARMED_INCREASING 0x01

enum { MODE_THRESHOLDS = 2 };
struct mode_provisioning {
	struct mode_subpage_head head;
	uint8_t flags; /* SITUA */
	uint8_t rsvd[11];
	struct mode_threshold thresholds[MODE_THRESHOLDS];
};
static_assert(sizeof(struct mode_provisioning) == 32, "page 1Ch/02h");

#endif
