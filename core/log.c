// SPDX-License-Identifier: BSD-2-Clause
/* Log lines on stderr: one write() each, so that threads do not mix their lines; or in the journal. */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/log_journal.h"

enum { LINE_MAX_BYTES = 2048 };
static const uint64_t one_second = 1000000000ull;

static struct {
	_Atomic int level;
	_Atomic int journal; /* 0: not looked yet, 1: no, 2: stderr is the journal */
} state = { .level = LOG_LEVEL_INFO };

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&state.level, level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&state.level, memory_order_relaxed);
}

/* $JOURNAL_STREAM is "device:inode" of the journal's socket and inherited by children whose
 * stderr may be something else by then (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
	int known = atomic_load_explicit(&state.journal, memory_order_relaxed);

	if (!known) {
		const char *stream = getenv("JOURNAL_STREAM");
		unsigned long long dev, ino;
		struct stat st;

		known = 1;
		if (stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
		    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino)
			known = 2;
		atomic_store_explicit(&state.journal, known, memory_order_relaxed);
	}
	return known == 2;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR: return "error";
	case LOG_LEVEL_WARN: return "warning";
	case LOG_LEVEL_INFO: return "info";
	case LOG_LEVEL_DEBUG: return "debug";
	}
	return "?";
}

/* Who reads along; of the thread. */
static _Thread_local struct {
	void (*heard)(enum log_level level, const char *text, void *arg);
	void *arg;
} listener;

void log_listen(void (*heard)(enum log_level level, const char *text, void *arg), void *arg)
{
	listener.heard = heard;
	listener.arg = arg;
}

/* Who hears of errors, whatever thread says them. */
static struct {
	void (*heard)(const char *text, void *arg);
	void *arg;
} observer;

void log_observe(void (*heard)(const char *text, void *arg), void *arg)
{
	observer.heard = heard;
	observer.arg = arg;
}

static bool wanted(enum log_level level)
{
	return log_enabled(level) || (listener.heard && level <= LOG_LEVEL_WARN);
}

static size_t clip(int printed, size_t space)
{
	if (printed < 0)
		return 0;
	return (size_t)printed < space ? (size_t)printed : space - 1;
}

static void write_line(const char *line, size_t len)
{
	ssize_t ret;

	do {
		ret = write(STDERR_FILENO, line, len);
	} while (ret < 0 && errno == EINTR);
}

__attribute__((format(printf, 4, 0))) static void emit(const struct log_about *about,
						       enum log_level level, uint32_t suppressed,
						       const char *fmt, va_list args)
{
	char line[LINE_MAX_BYTES];
	const char *name = program_invocation_short_name;
	/* The last byte is for the newline. */
	size_t space = sizeof(line) - 1, len, begin;

	if (stderr_is_journal())
		len = clip(snprintf(line, space, "<%d>%s: ", (int)level, name), space);
	else
		len = clip(snprintf(line, space, "%s: %s: ", name, level_name(level)), space);
	begin = len;
	len += clip(vsnprintf(line + len, space - len, fmt, args), space - len);
	if (suppressed)
		len += clip(
			snprintf(line + len, space - len, " (%u like this suppressed)", suppressed),
			space - len);
	/* A line break from somewhere must not start a line that looks like ours. */
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	}
	line[len] = '\0';
	if (listener.heard && level <= LOG_LEVEL_WARN)
		listener.heard(level, line + begin, listener.arg);
	if (observer.heard && level == LOG_LEVEL_ERROR)
		observer.heard(line + begin, observer.arg);
	if (!log_enabled(level))
		return;
	if (stderr_is_journal() && log_journal_send(level, line + begin, about))
		return;
	line[len++] = '\n';
	write_line(line, len);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	va_list args;

	if (!wanted(level))
		return;
	va_start(args, fmt);
	emit(NULL, level, 0, fmt, args);
	va_end(args);
	errno = saved;
}

/*
 * tokens_at is the time (ns, CLOCK_MONOTONIC) when the bucket will be full again: each line
 * moves it one second on, and a line passes when it is less than burst seconds ahead.
 */
static bool take_token(struct log_limit *limit)
{
	uint64_t burst = limit->burst ? limit->burst : 1;
	uint64_t full_at = atomic_load_explicit(&limit->tokens_at, memory_order_relaxed);
	uint64_t now, base;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * one_second + (uint64_t)ts.tv_nsec;
	do {
		base = full_at > now ? full_at : now;
		if (base - now > (burst - 1) * one_second)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&limit->tokens_at, &full_at,
							base + one_second, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

__attribute__((format(printf, 4, 0))) static void emit_limited(const struct log_about *about,
							       struct log_limit *limit,
							       enum log_level level,
							       const char *fmt, va_list args)
{
	int saved = errno;

	if (!log_enabled(level))
		return;
	if (!take_token(limit)) {
		atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
		return;
	}
	emit(about, level, atomic_exchange_explicit(&limit->suppressed, 0, memory_order_relaxed),
	     fmt, args);
	errno = saved;
}

void log_write_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit_limited(NULL, limit, level, fmt, args);
	va_end(args);
}

void log_write_about(const struct log_about *about, struct log_limit *limit, enum log_level level,
		     const char *fmt, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, fmt);
	if (limit)
		emit_limited(about, limit, level, fmt, args);
	else if (wanted(level))
		emit(about, level, 0, fmt, args);
	va_end(args);
	errno = saved;
}

const char *log_escape(char *out, size_t size, const void *bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *in = bytes;
	size_t used = 0;

	if (!size)
		return out;
	for (size_t i = 0; i < len; i++) {
		/* The backslash too, so that the text can be read back. */
		bool plain = in[i] >= 0x20 && in[i] < 0x7f && in[i] != '\\';

		if (used + (plain ? 1 : 4) >= size)
			break;
		if (plain) {
			out[used++] = (char)in[i];
			continue;
		}
		out[used++] = '\\';
		out[used++] = 'x';
		out[used++] = hex[in[i] >> 4];
		out[used++] = hex[in[i] & 15];
	}
	out[used] = '\0';
	return out;
}
