// SPDX-License-Identifier: BSD-2-Clause
/*
 * LOG SENSE and LOG SELECT, the parameter data of identifying information and timestamp: SPC 6.6,
 * 6.7, 7.3, 6.32, 6.40, 6.45, 6.47; SBC 6.4.
 */
#ifndef RISER_SCSI_LOG_WIRE_H
#define RISER_SCSI_LOG_WIRE_H

#include <assert.h>
#include <stdint.h>

#include "endian_types.h"

#define LOG_SELECT_PCR 0x02 /* CDB byte 1: parameter code reset */
/* PC field, bits 7 and 6 of CDB byte 2. */
enum {
	LOG_THRESHOLD = 0,
	LOG_CUMULATIVE = 1,
	LOG_DEFAULT_THRESHOLD = 2,
	LOG_DEFAULT_CUMULATIVE = 3,
};

enum {
	LOG_PAGE_SUPPORTED = 0x00,
	LOG_PAGE_WRITE_ERRORS = 0x02,
	LOG_PAGE_READ_ERRORS = 0x03,
	LOG_PAGE_VERIFY_ERRORS = 0x05,
	LOG_PAGE_PROVISIONING = 0x0c,
	LOG_PAGE_TEMPERATURE = 0x0d,
	LOG_PAGE_STATISTICS = 0x19,
	LOG_PAGE_EXCEPTIONS = 0x2f,
	LOG_SUBPAGE_ALL = 0xff,
};

struct log_header {
	uint8_t page; /* DS, SPF, PAGE CODE */
	uint8_t subpage;
	struct be16 len; /* bytes that follow */
};
static_assert(sizeof(struct log_header) == 4, "log page header");
#define LOG_DS 0x80 /* not saved */
#define LOG_SPF 0x40

struct log_parameter {
	struct be16 code;
	uint8_t control;
	uint8_t len; /* bytes that follow */
};
static_assert(sizeof(struct log_parameter) == 4, "log parameter");
#define LOG_TSD 0x20 /* the target does not save it */
#define LOG_COUNTER 0x02 /* FORMAT AND LINKING: a counter */
#define LOG_LIST 0x03 /* a list in binary format */

/* Parameter codes of the error counter pages, SPC 7.3.8. */
enum {
	LOG_ERROR_COUNTERS = 7,
	LOG_ERROR_BYTES = 5, /* total bytes processed */
	LOG_ERROR_UNCORRECTED = 6,
};

/* Logical Block Provisioning, SBC 6.4.5. */
enum { LOG_AVAILABLE = 0x0001, LOG_USED = 0x0002 };
struct log_resource {
	struct log_parameter head;
	struct be32 count; /* in threshold sets */
	uint8_t scope;
	uint8_t rsvd[3];
};
static_assert(sizeof(struct log_resource) == 12, "LBA mapping resource");
enum { LOG_SCOPE_UNIT = 1, LOG_SCOPE_SHARED = 2 };

/* Temperature, SPC 7.3.21. */
struct log_temperature {
	struct log_parameter head;
	uint8_t rsvd;
	uint8_t celsius;
};
static_assert(sizeof(struct log_temperature) == 6, "temperature");
#define LOG_TEMPERATURE_UNKNOWN 0xff

/* General Statistics and Performance, SPC 7.3.12. Intervals are counted in the unit that parameter
 * 0003h gives; zero there: they are not measured. */
struct log_statistics {
	struct log_parameter head;
	struct be64 reads, writes;
	struct be64 blocks_received, blocks_sent;
	struct be64 read_intervals, write_intervals;
	struct be64 weighted_commands, weighted_intervals;
};
static_assert(sizeof(struct log_statistics) == 68, "statistics and performance");

struct log_idle {
	struct log_parameter head;
	struct be64 intervals;
};
static_assert(sizeof(struct log_idle) == 12, "idle time");

struct log_interval {
	struct log_parameter head;
	struct be32 exponent, integer;
};
static_assert(sizeof(struct log_interval) == 12, "time interval");

/* Informational Exceptions, SPC 7.3.13. */
struct log_exceptions {
	struct log_parameter head;
	uint8_t asc, ascq;
	uint8_t celsius;
	uint8_t specific;
};
static_assert(sizeof(struct log_exceptions) == 8, "informational exceptions");

/* REPORT and SET IDENTIFYING INFORMATION. */
struct identifying_header {
	uint8_t rsvd[2];
	struct be16 len; /* bytes that follow */
};
static_assert(sizeof(struct identifying_header) == 4, "identifying information");

struct identifying_type {
	uint8_t type; /* bits 7 to 1 */
	uint8_t rsvd;
	struct be16 max; /* bytes */
};
static_assert(sizeof(struct identifying_type) == 4, "identifying information descriptor");
enum {
	IDENTIFYING_INFORMATION = 0x00,
	IDENTIFYING_TEXT = 0x02, /* UTF-8, NUL behind it */
	IDENTIFYING_SUPPORTED = 0x7f,
	IDENTIFYING_INFORMATION_MAX = 64,
	IDENTIFYING_TEXT_MAX = 256,
};

/* REPORT and SET TIMESTAMP: milliseconds since 1970-01-01 in 48 bits. */
struct timestamp_data {
	struct be16 len; /* bytes that follow; reserved in SET TIMESTAMP */
	uint8_t origin;
	uint8_t rsvd;
	uint8_t ms[6];
	uint8_t rsvd2[2];
};
static_assert(sizeof(struct timestamp_data) == 12, "timestamp");
enum { TIMESTAMP_BY_SCSI = 2, TIMESTAMP_BY_OTHERS = 3 };

#endif
