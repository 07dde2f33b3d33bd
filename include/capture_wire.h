// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the writer and the reader of a capture share (capture.h), in host byte order:
 *
 *   struct capture_area, CAPTURE_PAGE bytes     then for each reactor
 *     struct capture_ring, CAPTURE_PAGE bytes,  then ring_size bytes of records
 */
#ifndef RISER_CAPTURE_WIRE_H
#define RISER_CAPTURE_WIRE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "endian_types.h"

enum {
	CAPTURE_VERSION = 1,
	CAPTURE_PAGE = 4096,
	CAPTURE_RING = 4 << 20, /* bytes of records of one reactor; a power of two */
	CAPTURE_DATA =
		256, /* kept of the data of SCSI commands in one PDU, unless told otherwise */
	CAPTURE_DATA_MAX = 1 << 20, /* of any PDU */
};
#define CAPTURE_MAGIC 0x7063615272657369ull

struct capture_area {
	uint64_t magic;
	uint32_t version, ring_count, ring_size;
	_Atomic uint32_t begun; /* so many reactors capture */
	_Atomic uint32_t over; /* nothing will be written any more */
};

/* Both count bytes, from 0 and without end. */
struct capture_ring {
	_Atomic uint64_t head; /* the daemon's: up to here there are records */
	uint8_t other_line[56];
	_Atomic uint64_t tail; /* the reader's: up to here it has read; not believed */
	uint8_t another_line[56];
	_Atomic uint64_t written, lost; /* PDUs */
};
static_assert(sizeof(struct capture_ring) <= CAPTURE_PAGE, "a page of its own");

enum capture_kind {
	CAPTURE_FILL, /* nothing: the next record is at the start of the ring */
	CAPTURE_IN, /* a PDU of the initiator */
	CAPTURE_OUT, /* a PDU of the target */
};

struct capture_endpoint {
	uint16_t family; /* AF_INET or AF_INET6 */
	struct be16 port;
	uint8_t address[16]; /* network order; IPv4: the first four */
};

/* Followed by BHS, AHS and the kept part of the data segment. CAPTURE_FILL: only size and kind. */
struct capture_record {
	uint32_t size; /* of the record and what follows it, bytes, a multiple of 8 */
	uint8_t kind; /* enum capture_kind */
	uint8_t rdma; /* over iSER */
	uint16_t ahs_len; /* bytes */
	uint64_t time_ns; /* CLOCK_REALTIME */
	uint32_t connection; /* counts from 1 in this capture */
	uint32_t data_len, data_kept; /* bytes of the data segment: in truth, and here */
	uint32_t lost; /* PDUs of this connection and direction before it, not here, */
	uint64_t lost_bytes; /* and how long they were, padding included */
	struct capture_endpoint initiator, target;
};
static_assert(sizeof(struct capture_record) == 80, "shared with readers");

#endif
