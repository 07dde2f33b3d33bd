// SPDX-License-Identifier: BSD-2-Clause
/*
 * Third-party copy on the wire: EXTENDED COPY and its relatives (SPC 6.6, 6.18 and following), ROD
 * tokens (SPC 7.8, SBC 5.14 and 5.49). Structs have alignment 1 and the standards' field names.
 */
#ifndef RISER_SCSI_COPY_WIRE_H
#define RISER_SCSI_COPY_WIRE_H

#include <assert.h>
#include <stdint.h>

#include "endian_types.h"

/* Service actions of THIRD-PARTY COPY OUT and IN. */
enum {
	SA_EXTENDED_COPY_LID1 = 0x00,
	SA_EXTENDED_COPY_LID4 = 0x01,
	SA_POPULATE_TOKEN = 0x10,
	SA_WRITE_USING_TOKEN = 0x11,
	SA_COPY_OPERATION_ABORT = 0x1c,

	SA_RECEIVE_COPY_STATUS_LID1 = 0x00,
	SA_RECEIVE_COPY_DATA_LID1 = 0x01,
	SA_RECEIVE_COPY_OPERATING_PARAMETERS = 0x03,
	SA_RECEIVE_COPY_FAILURE_DETAILS_LID1 = 0x04,
	SA_RECEIVE_COPY_STATUS_LID4 = 0x05,
	SA_RECEIVE_ROD_TOKEN_INFORMATION = 0x07,
	SA_REPORT_ALL_ROD_TOKENS = 0x08,
};

/* Where CDBs have LIST IDENTIFIER and PARAMETER LIST LENGTH or ALLOCATION LENGTH. */
enum {
	COPY_LIST_ID_AT = 2, /* all of THIRD-PARTY COPY IN, and COPY OPERATION ABORT */
	TOKEN_LIST_ID_AT = 6, /* POPULATE TOKEN, WRITE USING TOKEN */
	COPY_LENGTH_AT = 10,
};

/* EXTENDED COPY parameter lists. */
struct copy_list_lid1 {
	uint8_t list_id;
	uint8_t flags; /* STR, LIST ID USAGE, PRIORITY */
	struct be16 cscds_len;
	uint8_t rsvd[4];
	struct be32 segments_len;
	struct be32 inline_len;
};
static_assert(sizeof(struct copy_list_lid1) == 16, "EXTENDED COPY (LID1)");

struct copy_list_lid4 {
	uint8_t format; /* COPY_LIST_FORMAT */
	uint8_t flags;
	struct be16 header_cscds_len; /* COPY_HEADER_CSCDS_LEN */
	uint8_t rsvd[11];
	uint8_t flags2; /* G_SENSE, IMMED */
	uint8_t header_type; /* COPY_HEADER_TYPE */
	uint8_t rsvd2[3];
	struct be32 list_id;
	uint8_t rsvd3[18];
	struct be16 cscds_len;
	struct be16 segments_len;
	struct be16 inline_len;
};
static_assert(sizeof(struct copy_list_lid4) == 48, "EXTENDED COPY (LID4)");
enum { COPY_LIST_FORMAT = 0x01, COPY_HEADER_CSCDS_LEN = 0x20, COPY_HEADER_TYPE = 0xff };
#define COPY_USAGE_MASK 0x18
#define COPY_USAGE_RESERVED 0x08
#define COPY_USAGE_NONE 0x18 /* no list identifier */
#define COPY_LID4_IMMED 0x01

/* Copy source and copy destination (CSCD) descriptor: identification descriptor, SPC 6.6.5.5. */
struct copy_cscd_wire {
	uint8_t type;
	uint8_t peripheral;
	struct be16 initiator_port;
	uint8_t code_set, designator_type, rsvd, designator_len;
	uint8_t designator[20];
	uint8_t flags; /* PAD */
	struct be24 block_size;
};
static_assert(sizeof(struct copy_cscd_wire) == 32, "identification CSCD descriptor");
enum { CSCD_IDENTIFICATION = 0xe4, CSCD_OF_COPY_MANAGER = 0xffff };
#define CSCD_PERIPHERAL_TYPE 0x1f

struct copy_segment_wire { /* block device to block device */
	uint8_t type;
	uint8_t flags; /* DC, CAT */
	struct be16 len; /* bytes that follow this field */
	struct be16 source, destination; /* CSCD descriptors */
	uint8_t rsvd[2];
	struct be16 blocks;
	struct be64 source_lba, destination_lba;
};
static_assert(sizeof(struct copy_segment_wire) == 28, "block to block segment descriptor");
enum { SEGMENT_BLOCK_TO_BLOCK = 0x02, SEGMENT_HEAD = 4 };
#define SEGMENT_DC 0x02

/* What has become of a copy operation. COPY OPERATION STATUS of LID4; LID1 knows three. */
enum {
	COPY_STATUS_RUNNING_LID1 = 0x00,
	COPY_STATUS_GOOD = 0x01,
	COPY_STATUS_FAILED = 0x02,
	COPY_STATUS_PARTIAL = 0x03, /* no error, but less than was asked for */
	COPY_STATUS_RUNNING = 0x11, /* in the foreground */
	COPY_STATUS_TERMINATED = 0x60,
};
enum { COPY_UNITS_BYTES = 0x00, COPY_UNITS_MIB = 0x02, COPY_UNITS_BLOCKS = 0xf1 };

struct copy_status_lid1 {
	struct be32 available;
	uint8_t status; /* HDD, COPY OPERATION STATUS */
	struct be16 segments;
	uint8_t units;
	struct be32 count;
};
static_assert(sizeof(struct copy_status_lid1) == 12, "RECEIVE COPY STATUS (LID1)");

struct copy_failure_lid1 { /* sense data follow */
	struct be32 available;
	uint8_t rsvd[52];
	uint8_t status;
	uint8_t rsvd2;
	struct be16 sense_len;
};
static_assert(sizeof(struct copy_failure_lid1) == 60, "RECEIVE COPY FAILURE DETAILS (LID1)");

/* RECEIVE COPY STATUS (LID4), and the head of RECEIVE ROD TOKEN INFORMATION. Sense data follow. */
struct copy_status_lid4 {
	struct be32 available;
	uint8_t action; /* RESPONSE TO SERVICE ACTION */
	uint8_t status;
	struct be16 operations;
	struct be32 update_delay; /* ms; ffffffffh: none given */
	uint8_t completion; /* SCSI status of the command */
	uint8_t sense_field_len, sense_len;
	uint8_t units;
	struct be64 count;
	struct be16 segments;
	uint8_t rsvd[6];
};
static_assert(sizeof(struct copy_status_lid4) == 32, "RECEIVE COPY STATUS (LID4)");

struct copy_parameters { /* RECEIVE COPY OPERATING PARAMETERS; descriptor types follow */
	struct be32 available;
	uint8_t flags; /* SNLID */
	uint8_t rsvd[3];
	struct be16 cscds, segments;
	struct be32 descriptors_len, segment_len, inline_len, held_data, stream_transfer;
	uint8_t rsvd2[2];
	struct be16 total_copies;
	uint8_t copies;
	uint8_t segment_granularity, inline_granularity, held_granularity;
	uint8_t rsvd3[3];
	uint8_t types_len;
};
static_assert(sizeof(struct copy_parameters) == 44, "RECEIVE COPY OPERATING PARAMETERS");
#define COPY_SNLID 0x01

/* ROD tokens. */
enum {
	ROD_TOKEN_SIZE = 512,
	ROD_TOKEN_LENGTH = 0x1f8, /* what follows that field */
	ROD_MANAGEMENT_SIZE =
		96, /* ROD management token: how much of it REPORT ALL ROD TOKENS shows */
};
#define ROD_ACCESS_UPON_REFERENCE 0x00010000u
#define ROD_BLOCK_DEVICE_ZERO 0xffff0001u

struct rod_token_wire {
	struct be32 type;
	uint8_t rsvd[2];
	struct be16 len;
	struct be64 id; /* COPY MANAGER ROD TOKEN IDENTIFIER */
	struct copy_cscd_wire creator;
	struct be64 bytes_high, bytes;
	uint8_t rsvd2[32];
	struct be32 block_size; /* with what follows: as READ CAPACITY (16) has it */
	uint8_t protection, exponents;
	struct be16 provisioning;
	uint8_t rsvd3[24];
	uint8_t extended[384]; /* target device descriptor, extended ROD token data */
};
static_assert(sizeof(struct rod_token_wire) == ROD_TOKEN_SIZE, "ROD token");

struct range_wire { /* block device range descriptor */
	struct be64 lba;
	struct be32 blocks;
	uint8_t rsvd[4];
};
static_assert(sizeof(struct range_wire) == 16, "block device range descriptor");

struct populate_list { /* POPULATE TOKEN; ranges follow */
	struct be16 len; /* bytes that follow this field */
	uint8_t flags; /* RTV, IMMED */
	uint8_t rsvd;
	struct be32 timeout; /* s */
	struct be32 rod_type;
	uint8_t rsvd2[2];
	struct be16 ranges_len;
};
static_assert(sizeof(struct populate_list) == 16, "POPULATE TOKEN");
#define POPULATE_RTV 0x02

struct write_using_list { /* WRITE USING TOKEN; ranges follow */
	struct be16 len;
	uint8_t flags; /* DEL_TKN, IMMED */
	uint8_t rsvd[5];
	struct be64 offset; /* OFFSET INTO ROD, blocks */
	uint8_t token[ROD_TOKEN_SIZE];
	uint8_t rsvd2[6];
	struct be16 ranges_len;
};
static_assert(sizeof(struct write_using_list) == 536, "WRITE USING TOKEN");
#define WRITE_USING_DEL_TKN 0x02

struct token_descriptor { /* RECEIVE ROD TOKEN INFORMATION, behind the sense data */
	struct be32 descriptors_len; /* bytes that follow this field, 0: no token */
	struct be16 rod_cscd_id;
	uint8_t token[ROD_TOKEN_SIZE];
};
static_assert(sizeof(struct token_descriptor) == 518, "ROD token descriptor");

struct report_tokens {
	struct be32 available;
	uint8_t rsvd[4];
};
static_assert(sizeof(struct report_tokens) == 8, "REPORT ALL ROD TOKENS");

/* Sense data descriptors of a copy, SPC 4.4.2.3 and 4.4.2.6. */
struct sense_command_specific {
	uint8_t type, additional_len;
	uint8_t rsvd[2];
	struct be64 information;
};
static_assert(sizeof(struct sense_command_specific) == 12, "command-specific descriptor");

struct sense_forwarded { /* sense data follow */
	uint8_t type, additional_len;
	uint8_t source; /* FSDT, SENSE DATA SOURCE */
	uint8_t status;
};
static_assert(sizeof(struct sense_forwarded) == 4, "forwarded sense data descriptor");
enum { SENSE_TYPE_COMMAND_SPECIFIC = 0x01, SENSE_TYPE_FORWARDED = 0x0c };

/* Third-party Copy VPD page, SPC 7.7.18: third-party copy descriptors. */
enum {
	TPC_ROD_LIMITS = 0x0000,
	TPC_COMMANDS = 0x0001,
	TPC_PARAMETERS = 0x0004,
	TPC_DESCRIPTORS = 0x0008,
	TPC_CSCD_IDS = 0x000c,
	TPC_TOKEN_FEATURES = 0x0106,
	TPC_ROD_TYPES = 0x0108,
	TPC_GENERAL = 0x8001,
};

struct tpc_head {
	struct be16 type, len; /* bytes that follow */
};
static_assert(sizeof(struct tpc_head) == 4, "third-party copy descriptor");

struct tpc_rod_limits {
	struct tpc_head head;
	uint8_t vendor[6];
	struct be16 ranges;
	struct be32 max_timeout, default_timeout; /* s */
	struct be64 max_transfer, optimal_transfer; /* blocks */
};
static_assert(sizeof(struct tpc_rod_limits) == 36, "Block Device ROD Limits");

struct tpc_parameters {
	struct tpc_head head;
	uint8_t rsvd[4];
	struct be16 cscds, segments;
	struct be32 descriptors_len, inline_len;
	uint8_t rsvd2[12];
};
static_assert(sizeof(struct tpc_parameters) == 32, "Parameter Data");

struct tpc_token_features {
	struct tpc_head head;
	uint8_t remote;
	uint8_t rsvd[11];
	struct be32 min_lifetime, max_lifetime, max_timeout; /* s */
	uint8_t rsvd2[18];
	struct be16 features_len; /* of what follows: for block devices */
	uint8_t format, rsvd3;
	struct be16 len;
	uint8_t rsvd4[2];
	struct be16 granularity; /* blocks */
	struct be64 max_bytes, optimal_bytes, optimal_to_token, optimal_from_token;
	uint8_t rsvd5[8];
};
static_assert(sizeof(struct tpc_token_features) == 96, "ROD Token Features");

struct tpc_rod_type {
	struct be32 type;
	uint8_t flags; /* ECPY_INT, TOKEN_IN, TOKEN_OUT */
	uint8_t rsvd;
	struct be16 preference;
	uint8_t rsvd2[56];
};
static_assert(sizeof(struct tpc_rod_type) == 64, "ROD type descriptor");
#define TPC_TOKEN_OUT 0x01
#define TPC_TOKEN_IN 0x02

struct tpc_rod_types {
	struct tpc_head head;
	uint8_t rsvd[2];
	struct be16 types_len;
	struct tpc_rod_type types[2];
};
static_assert(sizeof(struct tpc_rod_types) == 136, "Supported ROD Token and ROD Types");

struct tpc_general {
	struct tpc_head head;
	struct be32 total_copies, copies;
	struct be32 segment_len; /* bytes */
	uint8_t segment_granularity, inline_granularity;
	uint8_t rsvd[18];
};
static_assert(sizeof(struct tpc_general) == 36, "General Copy Operations");

#endif
