// SPDX-License-Identifier: BSD-2-Clause
/* The file format and the names of records; see store_record.h. */
#include "store_record.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HASH_LEN = 32,
	HEADER_MAX = 64,
	TRAILER_LEN = 7 + 2 * HASH_LEN + 1, /* "sha256 ", digits, newline */
};

static const char magic[] = "riser-record 1 ";
static const char hex_digits[] = "0123456789abcdef";

/* TRAILER_LEN bytes. */
static bool write_trailer(char *out, const char *file, size_t len)
{
	unsigned char hash[HASH_LEN];

	if (!EVP_Digest(file, len, hash, NULL, EVP_sha256(), NULL))
		return false;
	memcpy(out, "sha256 ", 7);
	for (unsigned int i = 0; i < HASH_LEN; i++) {
		out[7 + 2 * i] = hex_digits[hash[i] >> 4];
		out[8 + 2 * i] = hex_digits[hash[i] & 15];
	}
	out[TRAILER_LEN - 1] = '\n';
	return true;
}

char *record_encode(const void *payload, size_t len, uint64_t version, size_t *file_len)
{
	char *file = malloc(HEADER_MAX + len + TRAILER_LEN);
	size_t at;

	if (!file)
		return NULL;
	at = (size_t)snprintf(file, HEADER_MAX, "%s%llu\n", magic, (unsigned long long)version);
	if (len)
		memcpy(file + at, payload, len);
	at += len;
	if (!write_trailer(file + at, file, at)) {
		free(file);
		return NULL;
	}
	*file_len = at + TRAILER_LEN;
	return file;
}

/* Bytes of the first line, or 0. VERSION has no zero in front, is not 0, and there is a next one. */
static size_t read_header(const char *file, size_t len, uint64_t *version)
{
	size_t at = sizeof(magic) - 1, first = at;
	uint64_t v = 0;

	if (len < at || memcmp(file, magic, at))
		return 0;
	for (; at < len && file[at] >= '0' && file[at] <= '9'; at++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(file[at] - '0'), &v))
			return 0;
	}
	if (at == len || file[at] != '\n' || file[first] == '0' || !v || v == UINT64_MAX)
		return 0;
	*version = v;
	return at + 1;
}

int record_decode(const char *file, size_t file_len, size_t *at, size_t *len, uint64_t *version,
		  const char **why)
{
	char trailer[TRAILER_LEN];
	size_t header;

	*why = "it is cut short";
	if (file_len < TRAILER_LEN || file_len > RECORD_FILE_MAX)
		return -EBADMSG;
	*why = "its checksum does not match";
	file_len -= TRAILER_LEN;
	if (!write_trailer(trailer, file, file_len) ||
	    memcmp(trailer, file + file_len, TRAILER_LEN) != 0)
		return -EBADMSG;
	*why = "its first line is not one of this version's";
	header = read_header(file, file_len, version);
	if (!header || file_len - header > STORE_RECORD_MAX)
		return -EBADMSG;
	*at = header;
	*len = file_len - header;
	return 0;
}

static bool letter_or_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool record_name_valid(const char *name)
{
	size_t len = strnlen(name, STORE_NAME_MAX);

	if (!len || len == STORE_NAME_MAX || name[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!letter_or_digit(name[i]) && !strchr("._-", name[i]))
			return false;
	}
	return true;
}

void store_record_name(char out[STORE_NAME_MAX], const char *kind, const char *serial)
{
	size_t at = (size_t)snprintf(out, STORE_NAME_MAX / 4, "%.20s.", kind);

	for (; *serial && at + 4 <= STORE_NAME_MAX; serial++) {
		unsigned char c = (unsigned char)*serial;

		if (letter_or_digit((char)c) || c == '-' || c == '.') {
			out[at++] = (char)c;
			continue;
		}
		out[at++] = '_';
		out[at++] = hex_digits[c >> 4];
		out[at++] = hex_digits[c & 15];
	}
	out[at] = '\0';
}
