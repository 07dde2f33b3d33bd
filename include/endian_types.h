// SPDX-License-Identifier: BSD-2-Clause
/*
 * Big-endian integers as types: a wire field cannot be read without its conversion.
 * They are byte arrays, so a wire struct has alignment 1 and no padding.
 */
#ifndef RISER_ENDIAN_TYPES_H
#define RISER_ENDIAN_TYPES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

struct be16 {
	uint8_t b[2];
};
struct be24 {
	uint8_t b[3];
};
struct be32 {
	uint8_t b[4];
};
struct be64 {
	uint8_t b[8];
};

static inline uint16_t be16_get(struct be16 v)
{
	uint16_t x;

	memcpy(&x, v.b, sizeof(x));
	return be16toh(x);
}

static inline uint32_t be24_get(struct be24 v)
{
	return (uint32_t)v.b[0] << 16 | (uint32_t)v.b[1] << 8 | v.b[2];
}

static inline uint32_t be32_get(struct be32 v)
{
	uint32_t x;

	memcpy(&x, v.b, sizeof(x));
	return be32toh(x);
}

static inline uint64_t be64_get(struct be64 v)
{
	uint64_t x;

	memcpy(&x, v.b, sizeof(x));
	return be64toh(x);
}

static inline struct be16 be16_of(uint16_t host)
{
	uint16_t x = htobe16(host);
	struct be16 v;

	memcpy(v.b, &x, sizeof(x));
	return v;
}

static inline struct be24 be24_of(uint32_t host)
{
	return (struct be24){ { (uint8_t)(host >> 16), (uint8_t)(host >> 8), (uint8_t)host } };
}

static inline struct be32 be32_of(uint32_t host)
{
	uint32_t x = htobe32(host);
	struct be32 v;

	memcpy(v.b, &x, sizeof(x));
	return v;
}

static inline struct be64 be64_of(uint64_t host)
{
	uint64_t x = htobe64(host);
	struct be64 v;

	memcpy(v.b, &x, sizeof(x));
	return v;
}

#endif
