// SPDX-License-Identifier: BSD-2-Clause
/*
 * Logging: "riserd: level: message" on stderr. Where that is the journal's (JOURNAL_STREAM) the line goes to the
 * journal's own socket, with what it is about as fields; when it is not taken there, to stderr with an
 * sd-daemon priority prefix, "<N>riserd: message". One system call per line, from any thread.
 * Text that came from a peer must go through log_escape().
 */
#ifndef RISER_CORE_LOG_H
#define RISER_CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* A token bucket per class of message: at most `burst` lines, refilled one per second; the next
 * line that passes says how many were suppressed. Static initialiser LOG_LIMIT. [any thread] */
struct log_limit {
	_Atomic uint64_t tokens_at; /* packed state; see log.c */
	_Atomic uint32_t suppressed;
	uint32_t burst;
};
#define LOG_LIMIT(n)         \
	{                    \
		.burst = (n) \
	}

/* What a line is about, as far as it is known. Names may be a peer's. */
struct log_about {
	const char *target, *initiator; /* names; NULL or empty: not known */
	const char *from; /* the peer's address */
	const char *reason; /* one word */
	unsigned int session; /* TSIH; 0: none */
	unsigned int lun;
	bool has_lun;
};

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_write_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* limit NULL: there is none. about is borrowed for the call. */
void log_write_about(const struct log_about *about, struct log_limit *limit, enum log_level level,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* [main thread, while there is no other] Errors are told to heard(), too, which neither waits nor logs; NULL:
 * nobody is. [any thread calls it] */
void log_observe(void (*heard)(const char *text, void *arg), void *arg);
/* [any thread] Errors and warnings of this thread are also given to heard(), whatever the level is set
 * to; NULL: no more. */
void log_listen(void (*heard)(enum log_level level, const char *text, void *arg), void *arg);

/* Printable copy of len bytes: non-ASCII and control bytes as \xNN, cut to size. Returns out. */
const char *log_escape(char *out, size_t size, const void *bytes, size_t len);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                           \
	do {                                                     \
		if (log_enabled(LOG_LEVEL_DEBUG))                \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
