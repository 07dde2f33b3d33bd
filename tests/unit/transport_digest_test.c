// SPDX-License-Identifier: BSD-2-Clause
/* CRC32C against the vectors of RFC 3720 B.4, as bytes on the wire. */
#include "tests/lib/unit.h"
#include "transport/tcp/digest.h"

static void check(const void *data, size_t len, const uint8_t wire[DIGEST_LEN])
{
	uint8_t out[DIGEST_LEN];

	digest_put(out, crc32c_update(CRC32C_INIT, data, len));
	CU_ASSERT_EQUAL(memcmp(out, wire, DIGEST_LEN), 0);
	CU_ASSERT(digest_matches(wire, crc32c_update(CRC32C_INIT, data, len)));
	for (size_t cut = 0; cut <= len; cut++) {
		uint32_t crc = crc32c_update(CRC32C_INIT, data, cut);

		crc = crc32c_update(crc, (const uint8_t *)data + cut, len - cut);
		CU_ASSERT(digest_matches(wire, crc));
	}
	out[3] ^= 1;
	CU_ASSERT(!digest_matches(out, crc32c_update(CRC32C_INIT, data, len)));
}

static void vectors(void)
{
	static const uint8_t read_command[48] = {
		0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
		0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	};
	uint8_t data[32];

	memset(data, 0, sizeof(data));
	check(data, sizeof(data), (const uint8_t[]){ 0xaa, 0x36, 0x91, 0x8a });
	memset(data, 0xff, sizeof(data));
	check(data, sizeof(data), (const uint8_t[]){ 0x43, 0xab, 0xa8, 0x62 });
	for (uint8_t i = 0; i < sizeof(data); i++)
		data[i] = i;
	check(data, sizeof(data), (const uint8_t[]){ 0x4e, 0x79, 0xdd, 0x46 });
	for (uint8_t i = 0; i < sizeof(data); i++)
		data[i] = 31 - i;
	check(data, sizeof(data), (const uint8_t[]){ 0x5c, 0xdb, 0x3f, 0x11 });
	check(read_command, sizeof(read_command), (const uint8_t[]){ 0x56, 0x3a, 0x96, 0xd9 });
}

UNIT_MAIN(TEST(vectors));
