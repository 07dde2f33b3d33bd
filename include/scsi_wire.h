// SPDX-License-Identifier: BSD-2-Clause
/*
 * What SCSI commands look like on the wire: operation codes, CDBs, parameter data and sense.
 * "SPC" is SPC-5, "SBC" SBC-4. Structs have alignment 1 and the standards' field names.
 */
#ifndef RISER_SCSI_WIRE_H
#define RISER_SCSI_WIRE_H

#include <assert.h>
#include <stdint.h>

#include "endian_types.h"

/* Operation codes. */
enum {
	CDB_TEST_UNIT_READY = 0x00,
	CDB_REQUEST_SENSE = 0x03,
	CDB_FORMAT_UNIT = 0x04,
	CDB_REASSIGN_BLOCKS = 0x07,
	CDB_READ_6 = 0x08,
	CDB_WRITE_6 = 0x0a,
	CDB_INQUIRY = 0x12,
	CDB_MODE_SELECT_6 = 0x15,
	CDB_RESERVE_6 = 0x16,
	CDB_RELEASE_6 = 0x17,
	CDB_MODE_SENSE_6 = 0x1a,
	CDB_START_STOP_UNIT = 0x1b,
	CDB_PREVENT_ALLOW = 0x1e,
	CDB_READ_CAPACITY_10 = 0x25,
	CDB_READ_10 = 0x28,
	CDB_WRITE_10 = 0x2a,
	CDB_WRITE_AND_VERIFY_10 = 0x2e,
	CDB_VERIFY_10 = 0x2f,
	CDB_PRE_FETCH_10 = 0x34,
	CDB_SYNCHRONIZE_CACHE_10 = 0x35,
	CDB_READ_DEFECT_DATA_10 = 0x37,
	CDB_WRITE_SAME_10 = 0x41,
	CDB_UNMAP = 0x42,
	CDB_SANITIZE = 0x48,
	CDB_LOG_SELECT = 0x4c,
	CDB_LOG_SENSE = 0x4d,
	CDB_MODE_SELECT_10 = 0x55,
	CDB_RESERVE_10 = 0x56,
	CDB_RELEASE_10 = 0x57,
	CDB_MODE_SENSE_10 = 0x5a,
	CDB_PERSISTENT_RESERVE_IN = 0x5e,
	CDB_PERSISTENT_RESERVE_OUT = 0x5f,
	CDB_VARIABLE_LENGTH = 0x7f, /* 32 bytes, service action in bytes 8 and 9 */
	CDB_THIRD_PARTY_COPY_OUT = 0x83,
	CDB_THIRD_PARTY_COPY_IN = 0x84,
	CDB_READ_16 = 0x88,
	CDB_COMPARE_AND_WRITE = 0x89,
	CDB_WRITE_16 = 0x8a,
	CDB_ORWRITE_16 = 0x8b,
	CDB_WRITE_AND_VERIFY_16 = 0x8e,
	CDB_VERIFY_16 = 0x8f,
	CDB_PRE_FETCH_16 = 0x90,
	CDB_SYNCHRONIZE_CACHE_16 = 0x91,
	CDB_WRITE_SAME_16 = 0x93,
	CDB_WRITE_ATOMIC_16 = 0x9c,
	CDB_SERVICE_ACTION_IN_16 = 0x9e,
	CDB_REPORT_LUNS = 0xa0,
	CDB_MAINTENANCE_IN = 0xa3,
	CDB_MAINTENANCE_OUT = 0xa4,
	CDB_READ_12 = 0xa8,
	CDB_WRITE_12 = 0xaa,
	CDB_WRITE_AND_VERIFY_12 = 0xae,
	CDB_VERIFY_12 = 0xaf,
	CDB_READ_DEFECT_DATA_12 = 0xb7,
};

/* Service actions. */
enum {
	SA_MASK = 0x1f, /* in CDB byte 1 */
	/* VARIABLE LENGTH */
	SA_READ_32 = 0x0009,
	SA_VERIFY_32 = 0x000a,
	SA_WRITE_32 = 0x000b,
	SA_WRITE_AND_VERIFY_32 = 0x000c,
	SA_WRITE_SAME_32 = 0x000d,
	/* SERVICE ACTION IN (16) */
	SA_READ_CAPACITY_16 = 0x10,
	SA_GET_LBA_STATUS = 0x12,
	/* MAINTENANCE IN */
	SA_REPORT_IDENTIFYING_INFORMATION = 0x05,
	SA_REPORT_TARGET_PORT_GROUPS = 0x0a,
	SA_REPORT_SUPPORTED_OPCODES = 0x0c,
	SA_REPORT_SUPPORTED_TMFS = 0x0d,
	SA_REPORT_TIMESTAMP = 0x0f,
	/* MAINTENANCE OUT */
	SA_SET_IDENTIFYING_INFORMATION = 0x06,
	SA_SET_TARGET_PORT_GROUPS = 0x0a,
	SA_SET_TIMESTAMP = 0x0f,
};

/* CDB shapes, SPC 4.2.2. The group code (top three bits of the operation code) names the shape. */
struct cdb6 {
	uint8_t opcode;
	struct be24 lba; /* 21 bits */
	uint8_t len;
	uint8_t control;
};
static_assert(sizeof(struct cdb6) == 6, "6-byte CDB");

struct cdb10 {
	uint8_t opcode;
	uint8_t flags;
	struct be32 lba;
	uint8_t group;
	struct be16 len;
	uint8_t control;
};
static_assert(sizeof(struct cdb10) == 10, "10-byte CDB");

struct cdb12 {
	uint8_t opcode;
	uint8_t flags;
	struct be32 lba;
	struct be32 len;
	uint8_t group;
	uint8_t control;
};
static_assert(sizeof(struct cdb12) == 12, "12-byte CDB");

struct cdb16 {
	uint8_t opcode;
	uint8_t flags;
	struct be64 lba;
	struct be32 len;
	uint8_t group;
	uint8_t control;
};
static_assert(sizeof(struct cdb16) == 16, "16-byte CDB");

struct cdb32 { /* VARIABLE LENGTH, SPC 4.2.3, as READ (32) and its like have it */
	uint8_t opcode;
	uint8_t control;
	uint8_t rsvd[4];
	uint8_t group;
	uint8_t additional_len; /* bytes that follow: CDB32_ADDITIONAL */
	struct be16 service_action;
	uint8_t flags;
	uint8_t rsvd2;
	struct be64 lba;
	struct be32 reference_tag;
	struct be16 application_tag, application_tag_mask;
	struct be32 len;
};
static_assert(sizeof(struct cdb32) == 32, "32-byte CDB");

#define CDB6_LBA_MASK 0x1fffffu
#define CONTROL_NACA 0x04 /* of the CONTROL byte, SAM 5.2 */
#define CDB32_ADDITIONAL 0x18

/* Bits of CDB byte 1. */
#define RW_DPO 0x10 /* READ, WRITE, VERIFY, COMPARE AND WRITE */
#define RW_FUA 0x08
#define RW_PROTECT 0xe0 /* RDPROTECT, WRPROTECT, VRPROTECT, ORPROTECT */
#define CACHE_IMMED 0x02 /* SYNCHRONIZE CACHE, PRE-FETCH */
#define CACHE_SYNC_NV 0x04 /* a non-volatile cache would do; obsolete in SBC-4 */
#define VERIFY_BYTCHK 0x06
#define VERIFY_BYTCHK_SHIFT 1
#define WRITE_SAME_ANCHOR 0x10
#define WRITE_SAME_UNMAP 0x08
#define WRITE_SAME_NDOB 0x01
#define INQUIRY_EVPD 0x01
#define REQUEST_SENSE_DESC 0x01
#define MODE_SENSE_DBD 0x08
#define MODE_SENSE_LLBAA 0x10 /* MODE SENSE (10) only */
#define START_STOP_IMMED 0x01
/* Bits of other CDB bytes. */
#define START_STOP_START 0x01 /* byte 4 */
#define START_STOP_LOEJ 0x02
#define START_STOP_NO_FLUSH 0x04
#define START_STOP_POWER 0xf0 /* POWER CONDITION: 1 active, 2 idle, 3 standby, ... */
#define START_STOP_POWER_SHIFT 4
#define START_STOP_STANDBY 3
#define PREVENT_REMOVAL 0x01 /* byte 4 of PREVENT ALLOW MEDIUM REMOVAL */
#define RSOC_RCTD 0x80 /* byte 2 */
#define RSOC_OPTIONS 0x07
#define CAW_BLOCKS_AT 13 /* NUMBER OF LOGICAL BLOCKS of COMPARE AND WRITE, one byte */

/* UNMAP, SBC 5.35: the CDB and the parameter list. */
#define UNMAP_ANCHOR 0x01
struct unmap_header {
	struct be16 data_len; /* bytes that follow this field */
	struct be16 descriptors_len; /* bytes */
	uint8_t rsvd[4];
};
static_assert(sizeof(struct unmap_header) == 8, "UNMAP header");

struct unmap_descriptor {
	struct be64 lba;
	struct be32 blocks;
	uint8_t rsvd[4];
};
static_assert(sizeof(struct unmap_descriptor) == 16, "UNMAP descriptor");

/* READ CAPACITY parameter data, SBC 5.20 and 5.21. */
struct capacity10 {
	struct be32 last_lba;
	struct be32 block_size;
};
static_assert(sizeof(struct capacity10) == 8, "READ CAPACITY (10)");

struct capacity16 {
	struct be64 last_lba;
	struct be32 block_size;
	uint8_t protection;
	uint8_t exponents; /* low nibble: LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT */
	struct be16 provisioning; /* LBPME, LBPRZ, LOWEST ALIGNED LBA */
	uint8_t rsvd[16];
};
static_assert(sizeof(struct capacity16) == 32, "READ CAPACITY (16)");
#define CAPACITY_PROT_EN 0x01
#define CAPACITY_P_TYPE_SHIFT 1
#define CAPACITY_LBPME 0x8000
#define CAPACITY_LBPRZ 0x4000

/* Standard INQUIRY data, SPC 6.7.2. */
struct inquiry_data {
	uint8_t peripheral; /* qualifier, device type */
	uint8_t rmb;
	uint8_t version;
	uint8_t format; /* NORMACA, HISUP, RESPONSE DATA FORMAT */
	uint8_t additional_len;
	uint8_t flags5, flags6, flags7;
	uint8_t vendor[8], product[16], revision[4];
	uint8_t specific[20], rsvd[2];
	struct be16 version_descriptor[8];
	uint8_t rsvd2[22];
};
static_assert(sizeof(struct inquiry_data) == 96, "INQUIRY");
#define INQUIRY_TPGS 0x30 /* flags5: implicit and explicit ALUA */
#define INQUIRY_MULTIP 0x10 /* flags6 */
#define INQUIRY_3PC 0x08
#define INQUIRY_NORMACA 0x20 /* format */
#define INQUIRY_RMB 0x80
#define INQUIRY_HISUP 0x10
#define INQUIRY_FORMAT 0x02
#define INQUIRY_CMDQUE 0x02
#define INQUIRY_PROTECT 0x01 /* flags5: blocks have protection information */
#define PERIPHERAL_NO_LU 0x7f /* qualifier 3, type 1Fh */

struct vpd_header {
	uint8_t peripheral;
	uint8_t page;
	struct be16 len; /* bytes that follow */
};
static_assert(sizeof(struct vpd_header) == 4, "VPD");

enum {
	VPD_SUPPORTED = 0x00,
	VPD_SERIAL = 0x80,
	VPD_IDENTIFICATION = 0x83,
	VPD_EXTENDED = 0x86,
	VPD_THIRD_PARTY_COPY = 0x8f,
	VPD_BLOCK_LIMITS = 0xb0,
	VPD_BLOCK_CHARACTERISTICS = 0xb1,
	VPD_PROVISIONING = 0xb2,
};

/* Designation descriptor of VPD 83, SPC 7.7.6. */
struct designator {
	uint8_t code_set; /* PROTOCOL IDENTIFIER, CODE SET */
	uint8_t type; /* PIV, ASSOCIATION, DESIGNATOR TYPE */
	uint8_t rsvd;
	uint8_t len; /* bytes that follow */
};
static_assert(sizeof(struct designator) == 4, "designation descriptor");
#define DESIGNATOR_ISCSI 0x50 /* protocol identifier 5 */
enum { CODE_SET_BINARY = 1, CODE_SET_ASCII = 2, CODE_SET_UTF8 = 3 };
#define DESIGNATOR_PIV 0x80
#define DESIGNATOR_OF_PORT 0x10
#define DESIGNATOR_OF_DEVICE 0x20
enum {
	DESIGNATOR_T10 = 1,
	DESIGNATOR_EUI64 = 2,
	DESIGNATOR_NAA = 3,
	DESIGNATOR_RELATIVE_PORT = 4,
	DESIGNATOR_PORT_GROUP = 5,
	DESIGNATOR_NAME = 8,
};

/* Block Limits, SBC 6.6.4. */
struct vpd_block_limits {
	struct vpd_header header;
	uint8_t wsnz;
	uint8_t max_compare_and_write; /* blocks */
	struct be16 optimal_granularity;
	struct be32 max_transfer, optimal_transfer, max_prefetch;
	struct be32 max_unmap_blocks, max_unmap_descriptors;
	struct be32 unmap_granularity, unmap_alignment;
	struct be64 max_write_same;
	uint8_t rsvd[20];
};
static_assert(sizeof(struct vpd_block_limits) == 64, "VPD B0");
#define UNMAP_ALIGNMENT_VALID 0x80000000u

struct vpd_block_characteristics {
	struct vpd_header header;
	struct be16 rotation; /* 0 not reported, 1 does not rotate */
	uint8_t product;
	uint8_t erase; /* WABEREQ, WACEREQ, NOMINAL FORM FACTOR */
	uint8_t flags; /* FUAB, VBULS */
	uint8_t rsvd[55];
};
static_assert(sizeof(struct vpd_block_characteristics) == 64, "VPD B1");

struct vpd_provisioning {
	struct vpd_header header;
	uint8_t threshold_exponent;
	uint8_t flags;
	uint8_t type;
	uint8_t rsvd;
};
static_assert(sizeof(struct vpd_provisioning) == 8, "VPD B2");
#define PROVISIONING_LBPU 0x80
#define PROVISIONING_LBPWS 0x40
#define PROVISIONING_LBPRZ 0x04
#define PROVISIONING_ANC_SUP 0x02
enum { PROVISIONING_THIN = 2 };

/* REPORT LUNS parameter data, SPC 6.35. */
struct report_luns_header {
	struct be32 list_len; /* bytes of LUNs that follow */
	uint8_t rsvd[4];
};
static_assert(sizeof(struct report_luns_header) == 8, "REPORT LUNS");

/* REPORT SUPPORTED OPERATION CODES parameter data, SPC 6.37. */
struct opcode_descriptor { /* all commands */
	uint8_t opcode;
	uint8_t rsvd;
	struct be16 service_action;
	uint8_t rsvd2;
	uint8_t flags;
	struct be16 cdb_len;
};
static_assert(sizeof(struct opcode_descriptor) == 8, "command descriptor");
#define OPCODE_SERVACTV 0x01
#define OPCODE_CTDP 0x02

struct opcode_support { /* one command; CDB usage data follow */
	uint8_t rsvd;
	uint8_t flags;
	struct be16 cdb_len;
};
static_assert(sizeof(struct opcode_support) == 4, "one command");
#define SUPPORT_CTDP 0x80
enum { SUPPORT_NOT = 1, SUPPORT_STANDARD = 3 };

struct opcode_timeouts {
	struct be16 len;
	uint8_t rsvd, specific;
	struct be32 nominal, recommended; /* seconds */
};
static_assert(sizeof(struct opcode_timeouts) == 12, "command timeouts descriptor");

/* REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS parameter data, SPC 6.40. */
struct supported_tmfs {
	uint8_t functions, more_functions;
	uint8_t rsvd;
	uint8_t additional_len; /* bytes that follow; 0: there are no timeouts */
	uint8_t timeouts_valid;
	uint8_t rsvd2;
	uint8_t short_timeout_for; /* these functions; the others have the long one */
	uint8_t more_short_timeout_for;
	struct be32 long_timeout, short_timeout; /* 100 ms */
};
static_assert(sizeof(struct supported_tmfs) == 16, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS");
#define RSTMF_REPD 0x80 /* CDB byte 2 */
enum {
	TMFS_ABORT_TASK = 0x80,
	TMFS_ABORT_TASK_SET = 0x40,
	TMFS_CLEAR_ACA = 0x20,
	TMFS_CLEAR_TASK_SET = 0x10,
	TMFS_LUN_RESET = 0x08,
	TMFS_QUERY_TASK = 0x04,
};
enum {
	/* more_functions */
	TMFS_QUERY_ASYNC_EVENT = 0x04,
	TMFS_QUERY_TASK_SET = 0x02,
	TMFS_I_T_NEXUS_RESET = 0x01,
};
#define TMFS_TIMEOUTS_VALID 0x01

/* MODE SENSE parameter data, SPC 7.5. */
struct mode_header6 {
	uint8_t data_len; /* bytes that follow this field */
	uint8_t medium_type, device_specific;
	uint8_t descriptors_len;
};
static_assert(sizeof(struct mode_header6) == 4, "mode parameter header(6)");

struct mode_header10 {
	struct be16 data_len;
	uint8_t medium_type, device_specific;
	uint8_t flags; /* bit 0: LONGLBA */
	uint8_t rsvd;
	struct be16 descriptors_len;
};
static_assert(sizeof(struct mode_header10) == 8, "mode parameter header(10)");
#define MODE_WRITE_PROTECT 0x80
#define MODE_DPOFUA 0x10
#define MODE_LONGLBA 0x01

struct mode_block_short {
	struct be32 blocks; /* ffffffffh: more than fit */
	uint8_t rsvd;
	struct be24 block_size;
};
static_assert(sizeof(struct mode_block_short) == 8, "short block descriptor");

struct mode_block_long {
	struct be64 blocks;
	uint8_t rsvd[4];
	struct be32 block_size;
};
static_assert(sizeof(struct mode_block_long) == 16, "long block descriptor");

enum {
	MODE_PAGE_CACHING = 0x08,
	MODE_PAGE_CONTROL = 0x0a,
	MODE_PAGE_EXCEPTIONS = 0x1c,
	MODE_PAGE_ALL = 0x3f,
};
enum { MODE_CURRENT = 0, MODE_CHANGEABLE = 1, MODE_DEFAULT = 2, MODE_SAVED = 3 };
#define MODE_CACHING_WCE 0x04

/* Sense data, SPC 4.4. */
struct sense_fixed {
	uint8_t response; /* VALID, RESPONSE CODE */
	uint8_t rsvd;
	uint8_t key;
	struct be32 information;
	uint8_t additional_len;
	struct be32 specific;
	uint8_t asc, ascq;
	uint8_t fru;
	uint8_t key_specific[3];
};
static_assert(sizeof(struct sense_fixed) == 18, "fixed format sense");

struct sense_descriptor {
	uint8_t response;
	uint8_t key, asc, ascq;
	uint8_t rsvd[3];
	uint8_t additional_len;
};
static_assert(sizeof(struct sense_descriptor) == 8, "descriptor format sense");

/* Descriptors behind it, SPC 4.4.2.2 and 4.4.2.4. */
struct sense_information {
	uint8_t type, additional_len;
	uint8_t valid;
	uint8_t rsvd;
	struct be64 information;
};
static_assert(sizeof(struct sense_information) == 12, "information sense data descriptor");

struct sense_key_specific {
	uint8_t type, additional_len;
	uint8_t rsvd[2];
	uint8_t flags; /* with number: SENSE KEY SPECIFIC */
	struct be16 number; /* field pointer, progress */
	uint8_t rsvd2;
};
static_assert(sizeof(struct sense_key_specific) == 8, "sense key specific sense data descriptor");
enum { SENSE_TYPE_INFORMATION = 0x00, SENSE_TYPE_KEY_SPECIFIC = 0x02 };

#define SENSE_VALID 0x80
#define SENSE_CURRENT_FIXED 0x70
#define SENSE_CURRENT_DESCRIPTOR 0x72
#define SENSE_SKSV 0x80 /* key_specific[0]: a field pointer is there, SPC 4.4.2.4.2 */
#define SENSE_IN_CDB 0x40
#define SENSE_BIT_VALID 0x08

/* Key, additional sense code and qualifier as one number, 0xKKAAQQ. */
enum sense_code {
	SENSE_NONE = 0x000000,
	SENSE_FORMATTING = 0x020404, /* LU NOT READY, FORMAT IN PROGRESS */
	SENSE_SANITIZING = 0x02041b, /* LU NOT READY, SANITIZE IN PROGRESS */
	SENSE_FORMAT_CORRUPTED = 0x033100, /* MEDIUM FORMAT CORRUPTED */
	SENSE_FORMAT_FAILED = 0x033101, /* FORMAT COMMAND FAILED */
	SENSE_SANITIZE_FAILED = 0x033103, /* SANITIZE COMMAND FAILED */
	SENSE_NOT_READY = 0x020400, /* LU NOT READY, CAUSE NOT REPORTABLE */
	SENSE_NEEDS_START = 0x020402, /* LU NOT READY, INITIALIZING COMMAND REQUIRED */
	SENSE_TRANSITION = 0x02040a, /* ASYMMETRIC ACCESS STATE TRANSITION */
	SENSE_STANDBY = 0x02040b, /* TARGET PORT IN STANDBY STATE */
	SENSE_UNAVAILABLE = 0x02040c, /* TARGET PORT IN UNAVAILABLE STATE */
	SENSE_OFFLINE = 0x020412, /* LOGICAL UNIT NOT READY, OFFLINE */
	SENSE_NO_MEDIUM = 0x023a00,
	SENSE_WRITE_ERROR = 0x030c00,
	SENSE_READ_ERROR = 0x031100,
	SENSE_INTERNAL_FAILURE = 0x044400, /* INTERNAL TARGET FAILURE */
	SENSE_INVALID_IU_FIELD = 0x050e03, /* INVALID FIELD IN COMMAND INFORMATION UNIT */
	SENSE_OPERATION_IN_PROGRESS = 0x050016,
	SENSE_LIST_LENGTH = 0x051a00, /* PARAMETER LIST LENGTH ERROR */
	SENSE_INVALID_OPCODE = 0x052000,
	SENSE_LBA_RANGE = 0x052100,
	SENSE_TOKEN_OPERATION = 0x052300, /* INVALID TOKEN OPERATION */
	SENSE_TOKEN_TYPE = 0x052301,
	SENSE_TOKEN_UNKNOWN = 0x052304,
	SENSE_TOKEN_EXPIRED = 0x052307,
	SENSE_TOKEN_LENGTH = 0x05230a,
	SENSE_INVALID_CDB_FIELD = 0x052400,
	SENSE_NO_LU = 0x052500, /* LOGICAL UNIT NOT SUPPORTED */
	SENSE_INVALID_LIST_FIELD = 0x052600,
	SENSE_BAD_RELEASE = 0x052604, /* INVALID RELEASE OF PERSISTENT RESERVATION */
	SENSE_TOO_MANY_CSCDS = 0x052606, /* TOO MANY TARGET DESCRIPTORS */
	SENSE_CSCD_TYPE = 0x052607, /* UNSUPPORTED TARGET DESCRIPTOR TYPE CODE */
	SENSE_TOO_MANY_SEGMENTS = 0x052608,
	SENSE_SEGMENT_TYPE = 0x052609, /* UNSUPPORTED SEGMENT DESCRIPTOR TYPE CODE */
	SENSE_INLINE_DATA = 0x05260b, /* INLINE DATA LENGTH EXCEEDED */
	SENSE_NO_SAVED_PARAMETERS = 0x053900,
	SENSE_REGISTRATION_RESOURCES = 0x055504, /* INSUFFICIENT REGISTRATION RESOURCES */
	SENSE_REMOVAL_PREVENTED = 0x055302, /* MEDIUM REMOVAL PREVENTED */
	SENSE_INVALID_MESSAGE = 0x054900, /* INVALID MESSAGE ERROR */
	SENSE_POWER_ON = 0x062900, /* POWER ON, RESET, OR BUS DEVICE RESET OCCURRED */
	SENSE_BUS_DEVICE_RESET = 0x062903,
	SENSE_NEXUS_LOSS = 0x062907,
	SENSE_MODE_CHANGED = 0x062a01,
	SENSE_RESERVATIONS_RELEASED = 0x062a04,
	SENSE_CAPACITY_CHANGED = 0x062a09,
	SENSE_MEDIUM_CHANGED = 0x062800,
	SENSE_LOG_CHANGED = 0x062a02,
	SENSE_RESERVATIONS_PREEMPTED = 0x062a03,
	SENSE_REGISTRATIONS_PREEMPTED = 0x062a05,
	SENSE_ACCESS_STATE_CHANGED = 0x062a06,
	SENSE_TIMESTAMP_CHANGED = 0x062a10,
	SENSE_COMMANDS_CLEARED = 0x062f00,
	SENSE_THRESHOLD_REACHED = 0x063807,
	SENSE_INQUIRY_CHANGED = 0x063f03,
	SENSE_IDENTIFIER_CHANGED = 0x063f05,
	SENSE_LUNS_CHANGED = 0x063f0e,
	SENSE_WRITE_PROTECTED = 0x072700,
	SENSE_SOFT_PROTECTED = 0x072702, /* LOGICAL UNIT SOFTWARE WRITE PROTECTED */
	SENSE_SPACE_FAILED = 0x072707, /* SPACE ALLOCATION FAILED WRITE PROTECT */
	SENSE_COPY_ABORTED = 0x0a0000,
	SENSE_COPY_END_FAILED = 0x0a0d01, /* THIRD PARTY DEVICE FAILURE */
	SENSE_COPY_UNREACHABLE = 0x0a0d02, /* COPY TARGET DEVICE NOT REACHABLE */
	SENSE_COPY_END_TYPE = 0x0a0d03, /* INCORRECT COPY TARGET DEVICE TYPE */
	SENSE_COPY_INEXACT = 0x0a260a, /* UNEXPECTED INEXACT SEGMENT */
	SENSE_RESOURCES = 0x0b5503, /* ABORTED COMMAND, INSUFFICIENT RESOURCES */
	SENSE_GUARD = 0x0b1001, /* LOGICAL BLOCK GUARD CHECK FAILED */
	SENSE_APPLICATION_TAG = 0x0b1002,
	SENSE_REFERENCE_TAG = 0x0b1003,
	SENSE_MISCOMPARE = 0x0e1d00,
	SENSE_MISCOMPARE_GUARD = 0x0e1001,
};

#endif
