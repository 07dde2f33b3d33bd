// SPDX-License-Identifier: BSD-2-Clause
/*
 * Bytes of iSCSI over TCP on one side, a connection of the in-process transport on the other. What
 * is TCP's business elsewhere is done here, in the plainest way: PDUs are cut out of the stream, one
 * record of Data-In becomes PDUs of MaxRecvDataSegmentLength, one R2T bursts of MaxBurstLength, and
 * both get the numbers that follow from that; DataACK is translated back. SNACKs for data and R2Ts
 * are out of reach.
 */
#ifndef TESTS_CONFORMANCE_MEMORY_STREAM_H
#define TESTS_CONFORMANCE_MEMORY_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/list.h"
#include "transport/memory.h"

/* Room for the longest PDU (MaxRecvDataSegmentLength is BUF_MAX at most) and one header. */
enum { STREAM_IN = BHS_LEN + AHS_MAX + BUF_MAX + BHS_LEN, STREAM_OUT = 64 << 20 };

struct stream {
	struct memory_peer *peer; /* borrowed */
	struct list commands;
	uint8_t *in,
		*out; /* in: STREAM_IN bytes; both may be read, filled and emptied by the owner */
	size_t in_len, out_len, out_size;
	uint32_t max_xmit, max_burst, max_r2ts; /* as last agreed on */
	uint32_t next_ttt;
	bool stopped; /* nothing more is taken from it */
};

/* Everything ends the program when there is no memory: a test that lost an answer proves nothing. */
void stream_init(struct stream *s, struct memory_peer *peer);
void stream_free(struct stream *s);
/* Delivers the next PDU of `in`, on its connection's reactor. False: there is none that is whole, or
 * nobody to take it. */
bool stream_take(struct stream *s);
/* What the target has sent meanwhile goes to `out`. */
void stream_gather(struct stream *s);

#endif
