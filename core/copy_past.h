// SPDX-License-Identifier: BSD-2-Clause
/* Copies to memory that is not looked at soon, and mostly not in the cache. */
#ifndef RISER_CORE_COPY_PAST_H
#define RISER_CORE_COPY_PAST_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* memcpy() for that, len bytes: past the cache where the processor can, which then does not have to
 * fetch every line that will be overwritten and keeps what it has. All of it is visible to other
 * threads before what the caller does next. [any thread] */
static inline void copy_past_cache(void *to, const void *from, size_t len)
{
#ifdef __SSE2__
	enum { LINE = 64 };
	const __m128i *f = from;
	__m128i *t = to;

	if (((uintptr_t)to | len) % LINE == 0) {
		for (const __m128i *end = f + len / sizeof(*f); f < end; f += 4, t += 4) {
			__m128i a = _mm_loadu_si128(f), b = _mm_loadu_si128(f + 1);
			__m128i c = _mm_loadu_si128(f + 2), d = _mm_loadu_si128(f + 3);

			_mm_stream_si128(t, a);
			_mm_stream_si128(t + 1, b);
			_mm_stream_si128(t + 2, c);
			_mm_stream_si128(t + 3, d);
		}
		_mm_sfence();
		return;
	}
#endif
	memcpy(to, from, len);
}

#endif
