// SPDX-License-Identifier: BSD-2-Clause
/* CRC32C as header and data digest, RFC 7143 13.1. Vectors: RFC 7143 has RFC 3720's B.4. */
#ifndef RISER_TRANSPORT_TCP_DIGEST_H
#define RISER_TRANSPORT_TCP_DIGEST_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/crc.h"
#include "pdu.h"

/* The digest goes out least significant byte first. */
static inline void digest_put(uint8_t out[DIGEST_LEN], uint32_t crc)
{
	uint32_t wire = htole32(~crc);

	memcpy(out, &wire, sizeof(wire));
}

static inline bool digest_matches(const uint8_t in[DIGEST_LEN], uint32_t crc)
{
	uint8_t want[DIGEST_LEN];

	digest_put(want, crc);
	return !memcmp(in, want, sizeof(want));
}

#endif
