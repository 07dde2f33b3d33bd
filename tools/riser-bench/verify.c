// SPDX-License-Identifier: BSD-2-Clause
/*
 * Stamps of --verify: each 8-byte word of the disk holds a mixture of its own address, so lost,
 * misplaced and torn data are found, and a later run can check what an earlier one wrote.
 */
#include "bench.h"

static uint64_t stamp(uint64_t word)
{
	uint64_t z = (word + 1) * 0x9e3779b97f4a7c15u;

	return htole64(z ^ z >> 29);
}

void verify_fill(uint8_t *data, uint64_t offset, uint32_t len)
{
	for (uint32_t i = 0; i < len; i += 8) {
		uint64_t word = stamp((offset + i) / 8);

		memcpy(data + i, &word, sizeof(word));
	}
}

/* Any offset and length: pieces end where a recv ended. */
bool verify_matches(const uint8_t *data, uint64_t offset, uint32_t len)
{
	while (len) {
		uint64_t word = stamp(offset / 8);
		uint32_t skip = offset % 8;
		uint32_t n = 8 - skip < len ? 8 - skip : len;

		if (memcmp(data, (const uint8_t *)&word + skip, n))
			return false;
		data += n;
		offset += n;
		len -= n;
	}
	return true;
}
