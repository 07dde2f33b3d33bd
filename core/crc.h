// SPDX-License-Identifier: BSD-2-Clause
/*
 * Checksums, by ISA-L. Its functions for AVX-512 leave the upper parts of the vector registers in use;
 * ordinary code, compiled for SSE, then waits for them at its next vector instruction: 0.2 us a call
 * on a Sapphire Rapids, as much as the CRC of 8 KiB itself. So they are cleared here.
 * [any thread]
 */
#ifndef RISER_CORE_CRC_H
#define RISER_CORE_CRC_H

#include <isa-l/crc.h>
#include <stddef.h>
#include <stdint.h>

static inline void vectors_clear(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroupper" ::
					 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
					   "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
					   "xmm13", "xmm14", "xmm15");
#endif
}

/* ISA-L leaves the inversion before and after to its caller, so a running CRC is just its value. */
#define CRC32C_INIT 0xffffffffu

/* CRC32C (RFC 7143 13.1) of what crc is of and len bytes more. */
static inline uint32_t crc32c_update(uint32_t crc, const void *data, size_t len)
{
	crc = crc32_iscsi((unsigned char *)(uintptr_t)data, (int)len, crc);
	vectors_clear();
	return crc;
}

/* CRC-16 of T10 protection information (SBC-4 4.22). */
static inline uint16_t crc16_t10(const void *data, size_t len)
{
	uint16_t crc = crc16_t10dif(0, data, len);

	vectors_clear();
	return crc;
}

#endif
