// SPDX-License-Identifier: BSD-2-Clause
/*
 * Text of Login and Text PDUs, RFC 7143 6.1: key=value pairs, each ended by a NUL. Everything here
 * goes by length; nothing expects a NUL behind the last byte.
 */
#ifndef RISER_SESSION_TEXT_H
#define RISER_SESSION_TEXT_H

#include <stdbool.h>
#include <stdint.h>

enum { TEXT_KEY_MAX = 63, TEXT_VALUE_MAX = 255, TEXT_LONG_VALUE_MAX = 8192 };

/* Part of a text: not NUL-terminated, borrowed. */
struct text_str {
	const char *s;
	uint32_t len; /* bytes */
};

/* Bytes that grow by need, at most to max. Zero-initialise and set max. */
struct text_buf {
	uint8_t *bytes; /* owned */
	uint32_t len, size, max;
	int error; /* first failure: -ENOMEM or -EMSGSIZE (max); then nothing is added any more */
};

enum text_next { TEXT_PAIR, TEXT_END, TEXT_BAD };

/* Takes the next pair from text[*pos..len) and moves *pos behind it. TEXT_BAD: no NUL at the end,
 * no '=', a key that is no standard-label of 1..63 bytes, control characters in the value. */
enum text_next text_next(const uint8_t *text, uint32_t len, uint32_t *pos, struct text_str *key,
			 struct text_str *value);

bool text_is(struct text_str str, const char *literal);
/* "Reject", "Irrelevant" or "NotUnderstood": the peer's answer to something, never an offer. */
bool text_is_answer(struct text_str value);
/* A numerical-value: decimal without leading zeros, or 0x and hex digits; up to 2^32 - 1. */
bool text_number(struct text_str value, uint32_t *out);
/* A binary-value, 0x with an even number of digits or 0b with padded base64: returns the number of
 * bytes written to out, or -1: malformed, empty, or longer than size (nothing is written then). */
int text_binary(struct text_str value, uint8_t *out, uint32_t size);
/* Takes the next item of a comma-separated list; false: there is none. "" has one empty item. */
bool text_list_next(struct text_str *list, struct text_str *item);

void text_append(struct text_buf *buf, const void *bytes, uint32_t len);
/* Append one whole pair or nothing. */
void text_put(struct text_buf *buf, const char *key, const char *value);
void text_put_number(struct text_buf *buf, const char *key, uint32_t value);
void text_put_hex(struct text_buf *buf, const char *key, const uint8_t *bytes, uint32_t len);
/* A TargetAddress: the portal and its group tag. */
void text_put_address(struct text_buf *buf, const char *key, const char *portal, uint16_t tag);
void text_put_str(struct text_buf *buf, struct text_str key, const char *value);
/* Empties it, keeps max. */
void text_buf_free(struct text_buf *buf);

#endif
