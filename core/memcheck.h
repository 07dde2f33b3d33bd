// SPDX-License-Identifier: BSD-2-Clause
/* Tells AddressSanitizer which parts of our own areas nobody owns; nothing in other builds. */
#ifndef RISER_CORE_MEMCHECK_H
#define RISER_CORE_MEMCHECK_H

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif
#ifndef THREAD_SANITIZER
#define THREAD_SANITIZER 0
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RISER_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define RISER_ASAN 1
#endif

#ifdef RISER_ASAN
#include <sanitizer/asan_interface.h>
#include <string.h>
/* Memory whose content is undefined shows it: nobody can rely on what was there. */
#define mem_junk(p, len) memset(p, 0xa5, len)
#define mem_poison(p, len) ASAN_POISON_MEMORY_REGION(p, len)
#define mem_unpoison(p, len) ASAN_UNPOISON_MEMORY_REGION(p, len)
#else
#define mem_poison(p, len) ((void)(p), (void)(len))
#define mem_unpoison(p, len) ((void)(p), (void)(len))
#define mem_junk(p, len) ((void)(p), (void)(len))
#endif

#endif
