// SPDX-License-Identifier: BSD-2-Clause
/* Text of Login and Text PDUs: see text.h. */
#include "session/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* standard-label of RFC 7143 6.1, where the registered keys themselves begin in lower case
 * (iSCSIProtocolLevel), and '#' of the public extension keys of RFC 3720. */
static bool is_key_char(uint8_t c, bool first)
{
	if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return !first && c && ((c >= '0' && c <= '9') || strchr(".-+@_#", c));
}

static bool is_value_char(uint8_t c)
{
	return c >= 0x20 && c != 0x7f;
}

static bool key_ok(struct text_str key)
{
	if (key.len < 1 || key.len > TEXT_KEY_MAX)
		return false;
	for (uint32_t i = 0; i < key.len; i++) {
		if (!is_key_char((uint8_t)key.s[i], i == 0))
			return false;
	}
	return true;
}

static bool value_ok(struct text_str value)
{
	for (uint32_t i = 0; i < value.len; i++) {
		if (!is_value_char((uint8_t)value.s[i]))
			return false;
	}
	return true;
}

enum text_next text_next(const uint8_t *text, uint32_t len, uint32_t *pos, struct text_str *key,
			 struct text_str *value)
{
	const char *start, *end, *equals;

	if (*pos >= len)
		return TEXT_END;
	start = (const char *)text + *pos;
	end = memchr(start, '\0', len - *pos);
	if (!end)
		return TEXT_BAD;
	equals = memchr(start, '=', (size_t)(end - start));
	if (!equals)
		return TEXT_BAD;
	*key = (struct text_str){ start, (uint32_t)(equals - start) };
	*value = (struct text_str){ equals + 1, (uint32_t)(end - equals - 1) };
	*pos += (uint32_t)(end - start) + 1;
	return key_ok(*key) && value_ok(*value) ? TEXT_PAIR : TEXT_BAD;
}

bool text_is(struct text_str str, const char *literal)
{
	size_t len = strlen(literal);

	return str.len == len && !memcmp(str.s, literal, len);
}

bool text_is_answer(struct text_str value)
{
	return text_is(value, "Reject") || text_is(value, "Irrelevant") ||
	       text_is(value, "NotUnderstood");
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool has_prefix(struct text_str value, char letter)
{
	return value.len > 2 && value.s[0] == '0' && (value.s[1] | 0x20) == letter;
}

bool text_number(struct text_str value, uint32_t *out)
{
	bool hex = has_prefix(value, 'x');
	uint64_t n = 0;

	if (value.len == 0 || (!hex && value.len > 1 && value.s[0] == '0'))
		return false;
	for (uint32_t i = hex ? 2 : 0; i < value.len; i++) {
		int digit = hex_digit(value.s[i]);

		if (digit < 0 || (!hex && digit > 9))
			return false;
		n = n * (hex ? 16 : 10) + (unsigned int)digit;
		if (n > UINT32_MAX)
			return false;
	}
	*out = (uint32_t)n;
	return true;
}

static int decode_hex(const char *digits, uint32_t count, uint8_t *out, uint32_t size)
{
	if (count % 2 || count / 2 > size)
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		if (hex_digit(digits[i]) < 0)
			return -1;
	}
	for (uint32_t i = 0; i < count / 2; i++)
		out[i] = (uint8_t)(hex_digit(digits[2 * i]) << 4 | hex_digit(digits[2 * i + 1]));
	return (int)(count / 2);
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Only the canonical form: full groups, padding at the end, no stray bits under it. */
static int decode_base64(const char *digits, uint32_t count, uint8_t *out, uint32_t size)
{
	uint32_t pad = 0, bits = 0, held = 0, n = 0;

	if (count % 4)
		return -1;
	while (pad < 2 && digits[count - 1 - pad] == '=')
		pad++;
	if (count / 4 * 3 - pad > size)
		return -1;
	for (uint32_t i = 0; i < count - pad; i++) {
		if (base64_digit(digits[i]) < 0)
			return -1;
	}
	if (pad && base64_digit(digits[count - pad - 1]) & (pad == 1 ? 0x3 : 0xf))
		return -1;
	for (uint32_t i = 0; i < count - pad; i++) {
		bits = bits << 6 | (uint32_t)base64_digit(digits[i]);
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[n++] = (uint8_t)(bits >> held);
		}
	}
	return (int)n;
}

int text_binary(struct text_str value, uint8_t *out, uint32_t size)
{
	if (has_prefix(value, 'x'))
		return decode_hex(value.s + 2, value.len - 2, out, size);
	if (has_prefix(value, 'b'))
		return decode_base64(value.s + 2, value.len - 2, out, size);
	return -1;
}

bool text_list_next(struct text_str *list, struct text_str *item)
{
	const char *comma;

	if (!list->s)
		return false;
	*item = *list;
	comma = memchr(list->s, ',', list->len);
	if (!comma) {
		*list = (struct text_str){ 0 };
		return true;
	}
	item->len = (uint32_t)(comma - list->s);
	list->s += item->len + 1;
	list->len -= item->len + 1;
	return true;
}

/* Room for len more bytes. */
static bool reserve(struct text_buf *buf, uint32_t len)
{
	uint64_t need = (uint64_t)buf->len + len, size = buf->size ? buf->size : 256;
	uint8_t *bytes;

	if (buf->error)
		return false;
	if (need > buf->max) {
		buf->error = -EMSGSIZE;
		return false;
	}
	if (need <= buf->size)
		return true;
	while (size < need)
		size *= 2;
	if (size > buf->max)
		size = buf->max;
	bytes = realloc(buf->bytes, size);
	if (!bytes) {
		buf->error = -ENOMEM;
		return false;
	}
	buf->bytes = bytes;
	buf->size = (uint32_t)size;
	return true;
}

static void add(struct text_buf *buf, const void *bytes, uint32_t len)
{
	memcpy(buf->bytes + buf->len, bytes, len);
	buf->len += len;
}

void text_append(struct text_buf *buf, const void *bytes, uint32_t len)
{
	if (len && reserve(buf, len))
		add(buf, bytes, len);
}

void text_put_str(struct text_buf *buf, struct text_str key, const char *value)
{
	uint32_t value_len = (uint32_t)strlen(value);

	if (!reserve(buf, key.len + 1 + value_len + 1))
		return;
	add(buf, key.s, key.len);
	add(buf, "=", 1);
	add(buf, value, value_len + 1);
}

void text_put(struct text_buf *buf, const char *key, const char *value)
{
	text_put_str(buf, (struct text_str){ key, (uint32_t)strlen(key) }, value);
}

void text_put_number(struct text_buf *buf, const char *key, uint32_t value)
{
	char digits[12];

	snprintf(digits, sizeof(digits), "%u", value);
	text_put(buf, key, digits);
}

void text_put_address(struct text_buf *buf, const char *key, const char *portal, uint16_t tag)
{
	char value[TEXT_VALUE_MAX + 1];

	snprintf(value, sizeof(value), "%s,%u", portal, tag);
	text_put(buf, key, value);
}

void text_put_hex(struct text_buf *buf, const char *key, const uint8_t *bytes, uint32_t len)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t key_len = (uint32_t)strlen(key);

	if (!reserve(buf, key_len + 3 + 2 * len + 1))
		return;
	add(buf, key, key_len);
	add(buf, "=0x", 3);
	for (uint32_t i = 0; i < len; i++) {
		add(buf, &digits[bytes[i] >> 4], 1);
		add(buf, &digits[bytes[i] & 15], 1);
	}
	add(buf, "", 1);
}

void text_buf_free(struct text_buf *buf)
{
	free(buf->bytes);
	*buf = (struct text_buf){ .max = buf->max };
}
