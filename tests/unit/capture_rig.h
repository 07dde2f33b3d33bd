// SPDX-License-Identifier: BSD-2-Clause
/* What a capture has of one reactor, as lines of text: for tests that never fill the ring. */
#ifndef RISER_TESTS_UNIT_CAPTURE_RIG_H
#define RISER_TESTS_UNIT_CAPTURE_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "capture.h"
#include "tests/lib/unit.h"

/* Shared memory of the capture, for unmap_capture(). */
static inline struct capture_area *map_capture(const struct capture *c, size_t *size)
{
	struct capture_area *area;
	struct stat st;

	if (fstat(capture_fd(c), &st))
		abort();
	*size = (size_t)st.st_size;
	area = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, capture_fd(c), 0);
	if (area == MAP_FAILED)
		abort();
	return area;
}

static inline struct capture_ring *ring_of(struct capture_area *area, unsigned int i)
{
	return (struct capture_ring *)((uint8_t *)area + CAPTURE_PAGE +
				       i * ((size_t)CAPTURE_PAGE + area->ring_size));
}

/* "<01 itt 5 12/12": a PDU of the initiator with that opcode, ITT, bytes kept of bytes of data;
 * '>': of the target. */
static inline const char *captured(const struct capture *c)
{
	static char text[16384];
	size_t size, n = 0;
	struct capture_area *area = map_capture(c, &size);
	struct capture_ring *ring = ring_of(area, 0);
	const uint8_t *at = (const uint8_t *)ring + CAPTURE_PAGE;
	const uint8_t *end = at + ring->head;

	text[0] = '\0';
	for (; at < end; at += ((const struct capture_record *)at)->size) {
		const struct capture_record *r = (const struct capture_record *)at;
		const union pdu_header *h = (const union pdu_header *)(r + 1);

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%c%02x itt %x",
				      r->kind == CAPTURE_IN ? '<' : '>', pdu_opcode(&h->bhs),
				      be32_get(h->bhs.itt));
		if (r->ahs_len)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " ahs %u", r->ahs_len);
		if (r->data_len)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %u/%u", r->data_kept,
					      r->data_len);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\n");
		if (n >= sizeof(text))
			abort();
	}
	munmap(area, size);
	return text;
}

#endif
