// SPDX-License-Identifier: BSD-2-Clause
/*
 * iSCSI PDU headers, RFC 7143 section 11: one struct per PDU, each 48 bytes, alignment 1.
 * Names of fields are the RFC's. "lun" is the 8-byte SAM LUN as it stands on the wire.
 */
#ifndef RISER_PDU_H
#define RISER_PDU_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "endian_types.h"

enum {
	BHS_LEN = 48,
	DIGEST_LEN = 4,
	AHS_MAX = 64, /* our cap on TotalAHSLength, bytes; longer is a format error */
	LOGIN_DATA_MAX = 8192, /* MaxRecvDataSegmentLength before negotiation, RFC 7143 13.12 */
	ISCSI_NAME_MAX = 223, /* RFC 7143 4.2.7.2 */
	ISCSI_PORT = 3260,
};

/* Opcodes, RFC 7143 11.2.1.2. */
enum pdu_opcode {
	OP_NOP_OUT = 0x00,
	OP_SCSI_COMMAND = 0x01,
	OP_TMF_REQUEST = 0x02,
	OP_LOGIN_REQUEST = 0x03,
	OP_TEXT_REQUEST = 0x04,
	OP_DATA_OUT = 0x05,
	OP_LOGOUT_REQUEST = 0x06,
	OP_SNACK = 0x10,
	OP_NOP_IN = 0x20,
	OP_SCSI_RESPONSE = 0x21,
	OP_TMF_RESPONSE = 0x22,
	OP_LOGIN_RESPONSE = 0x23,
	OP_TEXT_RESPONSE = 0x24,
	OP_DATA_IN = 0x25,
	OP_LOGOUT_RESPONSE = 0x26,
	OP_R2T = 0x31,
	OP_ASYNC = 0x32,
	OP_REJECT = 0x3f,
};

#define OPCODE_MASK 0x3f
#define OPCODE_IMMEDIATE 0x40
#define PDU_FINAL 0x80
#define TAG_NONE 0xffffffffu /* ITT/TTT "none" */

/* Every PDU: what the transport needs to frame it. */
struct bhs {
	uint8_t opcode; /* I bit | opcode */
	uint8_t flags; /* F bit first */
	uint8_t specific[2];
	uint8_t total_ahs_len; /* in 4-byte words */
	struct be24 dlength; /* DataSegmentLength in bytes, without padding */
	uint8_t lun[8];
	struct be32 itt;
	uint8_t rest[28];
};
static_assert(sizeof(struct bhs) == BHS_LEN, "BHS");

/* SCSI Command, 11.3. */
#define CMD_FINAL 0x80
#define CMD_READ 0x40
#define CMD_WRITE 0x20
#define CMD_ATTR_MASK 0x07
enum { ATTR_UNTAGGED = 0, ATTR_SIMPLE = 1, ATTR_ORDERED = 2, ATTR_HEAD = 3, ATTR_ACA = 4 };

#define CMD_PRIORITY_MASK 0x0f

struct bhs_scsi_command {
	uint8_t opcode;
	uint8_t flags;
	uint8_t priority; /* RFC 7144: of the command, 0 to 15 */
	uint8_t rsvd;
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 edtl; /* Expected Data Transfer Length, bytes */
	struct be32 cmdsn;
	struct be32 expstatsn;
	uint8_t cdb[16];
};
static_assert(sizeof(struct bhs_scsi_command) == BHS_LEN, "SCSI Command");

/* SCSI Response, 11.4. */
#define RSP_BIDI_OVERFLOW 0x10
#define RSP_BIDI_UNDERFLOW 0x08
#define RSP_OVERFLOW 0x04
#define RSP_UNDERFLOW 0x02
enum { RSP_COMPLETED = 0x00, RSP_TARGET_FAILURE = 0x01 };

struct bhs_scsi_response {
	uint8_t opcode;
	uint8_t flags;
	uint8_t response;
	uint8_t status; /* SAM status */
	uint8_t total_ahs_len;
	struct be24 dlength;
	struct be16 status_qualifier; /* RFC 7144: STATUS QUALIFIER, 0 says nothing */
	uint8_t rsvd[6];
	struct be32 itt;
	struct be32 snack_tag;
	struct be32 statsn;
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	struct be32 expdatasn;
	struct be32 bidi_residual;
	struct be32 residual;
};
static_assert(sizeof(struct bhs_scsi_response) == BHS_LEN, "SCSI Response");

/* Task Management Function Request and Response, 11.5 and 11.6. */
enum {
	TMF_ABORT_TASK = 1,
	TMF_ABORT_TASK_SET = 2,
	TMF_CLEAR_ACA = 3,
	TMF_CLEAR_TASK_SET = 4,
	TMF_LUN_RESET = 5,
	TMF_TARGET_WARM_RESET = 6,
	TMF_TARGET_COLD_RESET = 7,
	TMF_TASK_REASSIGN = 8,
	TMF_QUERY_TASK = 9, /* from here on RFC 7144 4.1: iSCSIProtocolLevel 2 */
	TMF_QUERY_TASK_SET = 10,
	TMF_I_T_NEXUS_RESET = 11,
	TMF_QUERY_ASYNC_EVENT = 12,
};
enum {
	TMF_RSP_COMPLETE = 0,
	TMF_RSP_NO_TASK = 1,
	TMF_RSP_NO_LUN = 2,
	TMF_RSP_STILL_ALLEGIANT = 3,
	TMF_RSP_NO_REASSIGN = 4,
	TMF_RSP_NOT_SUPPORTED = 5,
	TMF_RSP_NOT_AUTHORIZED = 6,
	TMF_RSP_SUCCEEDED = 7, /* RFC 7144 */
	TMF_RSP_REJECTED = 255,
};

#define TMF_FUNCTION_MASK 0x7f

struct bhs_tmf_request {
	uint8_t opcode;
	uint8_t function; /* F bit (always 1) | function */
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 rtt; /* Referenced Task Tag */
	struct be32 cmdsn;
	struct be32 expstatsn;
	struct be32 refcmdsn;
	struct be32 expdatasn;
	uint8_t rsvd2[8];
};
static_assert(sizeof(struct bhs_tmf_request) == BHS_LEN, "TMF Request");

struct bhs_tmf_response {
	uint8_t opcode;
	uint8_t flags;
	uint8_t response;
	uint8_t rsvd;
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t information[3]; /* RFC 7144: Additional Response Information */
	uint8_t rsvd2[5];
	struct be32 itt;
	uint8_t rsvd3[4];
	struct be32 statsn;
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	uint8_t rsvd4[12];
};
static_assert(sizeof(struct bhs_tmf_response) == BHS_LEN, "TMF Response");

/* SCSI Data-Out and Data-In, 11.7. */
struct bhs_data_out {
	uint8_t opcode;
	uint8_t flags;
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 ttt;
	uint8_t rsvd2[4];
	struct be32 expstatsn;
	uint8_t rsvd3[4];
	struct be32 datasn;
	struct be32 buffer_offset;
	uint8_t rsvd4[4];
};
static_assert(sizeof(struct bhs_data_out) == BHS_LEN, "Data-Out");

#define DATA_IN_ACK 0x40
#define DATA_IN_OVERFLOW 0x04
#define DATA_IN_UNDERFLOW 0x02
#define DATA_IN_STATUS 0x01

struct bhs_data_in {
	uint8_t opcode;
	uint8_t flags;
	uint8_t rsvd;
	uint8_t status;
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 ttt;
	struct be32 statsn; /* valid with the S bit */
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	struct be32 datasn;
	struct be32 buffer_offset;
	struct be32 residual; /* valid with the S bit */
};
static_assert(sizeof(struct bhs_data_in) == BHS_LEN, "Data-In");

/* Ready To Transfer, 11.8. */
struct bhs_r2t {
	uint8_t opcode;
	uint8_t flags;
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 ttt;
	struct be32 statsn; /* next StatSN, not consumed */
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	struct be32 r2tsn;
	struct be32 buffer_offset;
	struct be32 desired_len;
};
static_assert(sizeof(struct bhs_r2t) == BHS_LEN, "R2T");

/* Asynchronous Message, 11.9. */
enum {
	ASYNC_SCSI = 0,
	ASYNC_LOGOUT_REQUEST = 1,
	ASYNC_DROP_CONNECTION = 2,
	ASYNC_DROP_SESSION = 3,
	ASYNC_NEGOTIATE = 4,
};

struct bhs_async {
	uint8_t opcode;
	uint8_t flags;
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 tag; /* 0xffffffff */
	uint8_t rsvd2[4];
	struct be32 statsn;
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	uint8_t event;
	uint8_t vcode;
	struct be16 parameter[3];
	uint8_t rsvd3[4];
};
static_assert(sizeof(struct bhs_async) == BHS_LEN, "Async");

/* Text Request and Response, 11.10 and 11.11. */
#define TEXT_CONTINUE 0x40

struct bhs_text_request {
	uint8_t opcode;
	uint8_t flags;
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 ttt;
	struct be32 cmdsn;
	struct be32 expstatsn;
	uint8_t rsvd2[16];
};
static_assert(sizeof(struct bhs_text_request) == BHS_LEN, "Text Request");

struct bhs_text_response {
	uint8_t opcode;
	uint8_t flags;
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 ttt;
	struct be32 statsn;
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	uint8_t rsvd2[12];
};
static_assert(sizeof(struct bhs_text_response) == BHS_LEN, "Text Response");

/* Login Request and Response, 11.12 and 11.13. */
#define LOGIN_TRANSIT 0x80
#define LOGIN_CONTINUE 0x40
#define LOGIN_CSG(flags) (((flags) >> 2) & 3)
#define LOGIN_NSG(flags) ((flags)&3)
enum { STAGE_SECURITY = 0, STAGE_OPERATIONAL = 1, STAGE_FULL_FEATURE = 3 };

struct isid {
	uint8_t b[6];
};

struct bhs_login_request {
	uint8_t opcode;
	uint8_t flags;
	uint8_t version_max;
	uint8_t version_min;
	uint8_t total_ahs_len;
	struct be24 dlength;
	struct isid isid;
	struct be16 tsih;
	struct be32 itt;
	struct be16 cid;
	uint8_t rsvd[2];
	struct be32 cmdsn;
	struct be32 expstatsn;
	uint8_t rsvd2[16];
};
static_assert(sizeof(struct bhs_login_request) == BHS_LEN, "Login Request");

struct bhs_login_response {
	uint8_t opcode;
	uint8_t flags;
	uint8_t version_max;
	uint8_t version_active;
	uint8_t total_ahs_len;
	struct be24 dlength;
	struct isid isid;
	struct be16 tsih;
	struct be32 itt;
	uint8_t rsvd[4];
	struct be32 statsn;
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	struct be16 status; /* enum login_status: class and detail */
	uint8_t rsvd2[10];
};
static_assert(sizeof(struct bhs_login_response) == BHS_LEN, "Login Response");

/* Status-Class and Status-Detail, 11.13.5. */
enum login_status {
	LOGIN_SUCCESS = 0x0000,
	LOGIN_MOVED_TEMPORARILY = 0x0101,
	LOGIN_MOVED_PERMANENTLY = 0x0102,
	LOGIN_INITIATOR_ERROR = 0x0200,
	LOGIN_AUTH_FAILED = 0x0201,
	LOGIN_NOT_ALLOWED = 0x0202,
	LOGIN_NOT_FOUND = 0x0203,
	LOGIN_TARGET_REMOVED = 0x0204,
	LOGIN_BAD_VERSION = 0x0205,
	LOGIN_TOO_MANY_CONNECTIONS = 0x0206,
	LOGIN_MISSING_PARAMETER = 0x0207,
	LOGIN_CANNOT_INCLUDE = 0x0208,
	LOGIN_SESSION_TYPE = 0x0209,
	LOGIN_NO_SESSION = 0x020a,
	LOGIN_INVALID_DURING_LOGIN = 0x020b,
	LOGIN_TARGET_ERROR = 0x0300,
	LOGIN_UNAVAILABLE = 0x0301,
	LOGIN_OUT_OF_RESOURCES = 0x0302,
};

/* Logout Request and Response, 11.14 and 11.15. */
enum { LOGOUT_SESSION = 0, LOGOUT_CONNECTION = 1, LOGOUT_RECOVERY = 2 };
enum {
	LOGOUT_RSP_SUCCESS = 0,
	LOGOUT_RSP_NO_CID = 1,
	LOGOUT_RSP_NO_RECOVERY = 2,
	LOGOUT_RSP_FAILED = 3
};

struct bhs_logout_request {
	uint8_t opcode;
	uint8_t reason; /* 0x80 | reason */
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t rsvd2[8];
	struct be32 itt;
	struct be16 cid;
	uint8_t rsvd3[2];
	struct be32 cmdsn;
	struct be32 expstatsn;
	uint8_t rsvd4[16];
};
static_assert(sizeof(struct bhs_logout_request) == BHS_LEN, "Logout Request");

struct bhs_logout_response {
	uint8_t opcode;
	uint8_t flags;
	uint8_t response;
	uint8_t rsvd;
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t rsvd2[8];
	struct be32 itt;
	uint8_t rsvd3[4];
	struct be32 statsn;
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	uint8_t rsvd4[4];
	struct be16 time2wait;
	struct be16 time2retain;
	uint8_t rsvd5[4];
};
static_assert(sizeof(struct bhs_logout_response) == BHS_LEN, "Logout Response");

/* SNACK Request, 11.16. */
enum { SNACK_DATA = 0, SNACK_STATUS = 1, SNACK_DATA_ACK = 2, SNACK_R_DATA = 3 };

struct bhs_snack {
	uint8_t opcode;
	uint8_t type; /* 0x80 | type */
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 ttt;
	uint8_t rsvd2[4];
	struct be32 expstatsn;
	uint8_t rsvd3[8];
	struct be32 begrun;
	struct be32 runlength;
};
static_assert(sizeof(struct bhs_snack) == BHS_LEN, "SNACK");

/* Reject, 11.17. */
enum reject_reason {
	REJECT_DATA_DIGEST = 0x02,
	REJECT_SNACK = 0x03,
	REJECT_PROTOCOL_ERROR = 0x04,
	REJECT_NOT_SUPPORTED = 0x05,
	REJECT_IMMEDIATE_COMMAND = 0x06,
	REJECT_TASK_IN_PROGRESS = 0x07,
	REJECT_INVALID_DATA_ACK = 0x08,
	REJECT_INVALID_PDU_FIELD = 0x09,
	REJECT_OUT_OF_RESOURCES = 0x0a,
	REJECT_WAITING_FOR_LOGOUT = 0x0c,
};

struct bhs_reject {
	uint8_t opcode;
	uint8_t flags;
	uint8_t reason;
	uint8_t rsvd;
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t rsvd2[8];
	struct be32 tag; /* 0xffffffff */
	uint8_t rsvd3[4];
	struct be32 statsn;
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	struct be32 datasn_r2tsn;
	uint8_t rsvd4[8];
};
static_assert(sizeof(struct bhs_reject) == BHS_LEN, "Reject");

/* NOP-Out and NOP-In, 11.18 and 11.19. */
struct bhs_nop_out {
	uint8_t opcode;
	uint8_t flags;
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 ttt;
	struct be32 cmdsn;
	struct be32 expstatsn;
	uint8_t rsvd2[16];
};
static_assert(sizeof(struct bhs_nop_out) == BHS_LEN, "NOP-Out");

struct bhs_nop_in {
	uint8_t opcode;
	uint8_t flags;
	uint8_t rsvd[2];
	uint8_t total_ahs_len;
	struct be24 dlength;
	uint8_t lun[8];
	struct be32 itt;
	struct be32 ttt;
	struct be32 statsn;
	struct be32 expcmdsn;
	struct be32 maxcmdsn;
	uint8_t rsvd2[12];
};
static_assert(sizeof(struct bhs_nop_in) == BHS_LEN, "NOP-In");

/* Additional Header Segment, 11.2.2: length in bytes of what follows `type`. */
enum { AHS_EXTENDED_CDB = 1, AHS_BIDI_READ_LENGTH = 2 };
struct ahs {
	struct be16 length;
	uint8_t type;
	uint8_t specific;
};

/* Any header, to be filled or read in place. */
union pdu_header {
	struct bhs bhs;
	struct bhs_scsi_command scsi_command;
	struct bhs_scsi_response scsi_response;
	struct bhs_tmf_request tmf_request;
	struct bhs_tmf_response tmf_response;
	struct bhs_data_out data_out;
	struct bhs_data_in data_in;
	struct bhs_r2t r2t;
	struct bhs_async async;
	struct bhs_text_request text_request;
	struct bhs_text_response text_response;
	struct bhs_login_request login_request;
	struct bhs_login_response login_response;
	struct bhs_logout_request logout_request;
	struct bhs_logout_response logout_response;
	struct bhs_snack snack;
	struct bhs_reject reject;
	struct bhs_nop_out nop_out;
	struct bhs_nop_in nop_in;
};

/* RFC 1982 serial number arithmetic on 32-bit sequence numbers: a before b. */
static inline bool sn_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool sn_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline uint32_t pdu_padded(uint32_t len)
{
	return (len + 3) & ~3u;
}

static inline uint8_t pdu_opcode(const struct bhs *bhs)
{
	return bhs->opcode & OPCODE_MASK;
}

static inline bool pdu_immediate(const struct bhs *bhs)
{
	return bhs->opcode & OPCODE_IMMEDIATE;
}

#endif
