// SPDX-License-Identifier: BSD-2-Clause
/* The text of the state file. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "state.h"
#include "tree.h"

enum { SUM_SIZE = 65, HEADER_MAX = 512 };
static const uint64_t VERSION_MAX = INT64_MAX; /* JSON's largest: the next one must have a number */

static const char header_end[] = "\"objects\":\n", tail[] = "\n}\n";

static bool checksum(const char *text, size_t len, char out[SUM_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;

	if (!EVP_Digest(text, len, digest, &size, EVP_sha256(), NULL))
		return false;
	for (unsigned int i = 0; i < size && 2 * i + 2 < SUM_SIZE; i++)
		snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
	return true;
}

char *state_format(const json_t *objects, uint64_t version, size_t *len)
{
	char *body = json_dumps(objects, JSON_INDENT(1)), *out = NULL;
	char sum[SUM_SIZE], saved[32];
	time_t now = time(NULL);
	struct tm tm;
	size_t room;
	int used;

	if (!body || !checksum(body, strlen(body), sum))
		goto out;
	strftime(saved, sizeof(saved), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	room = strlen(body) + HEADER_MAX;
	out = malloc(room);
	if (!out)
		goto out;
	used = snprintf(out, room,
			"{ \"riser-state\": %d, \"version\": %llu, \"saved\": \"%s\", "
			"\"sha256\": \"%s\", %s%s%s",
			STATE_FORMAT, (unsigned long long)version, saved, sum, header_end, body,
			tail);
	*len = (size_t)used;
out:
	tree_wipe_text(body);
	return out;
}

/* The whole as JSON has it, so that a mistake has its line. */
static json_t *decode(const char *text, size_t len, char *why, size_t why_size)
{
	json_error_t error;
	json_t *all = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (!all)
		snprintf(why, why_size, "line %d: %s", error.line, error.text);
	else if (!json_is_object(all) || !json_is_integer(json_object_get(all, "riser-state")))
		snprintf(why, why_size, "is no state file of riserd");
	else if (json_integer_value(json_object_get(all, "riser-state")) != STATE_FORMAT)
		snprintf(why, why_size,
			 "has format %lld, and this riserd knows %d: it is of another version of "
			 "riser",
			 (long long)json_integer_value(json_object_get(all, "riser-state")),
			 STATE_FORMAT);
	else
		return all;
	json_decref(all);
	return NULL;
}

json_t *state_parse(const char *text, size_t len, uint64_t *version, char *why, size_t why_size)
{
	const char *body = strstr(text, header_end);
	size_t end = sizeof(tail) - 1, body_len;
	char sum[SUM_SIZE];
	const char *said;
	json_t *all, *objects = NULL;

	if (strlen(text) != len || len < end || memcmp(text + len - end, tail, end) != 0 || !body) {
		snprintf(why, why_size, "is truncated: %zu bytes, and its end is not there", len);
		return NULL;
	}
	body += sizeof(header_end) - 1;
	if (body > text + len - end) {
		snprintf(why, why_size, "is truncated: it has no objects");
		return NULL;
	}
	body_len = (size_t)(text + len - end - body);
	all = decode(text, len, why, why_size);
	if (!all)
		return NULL;
	said = json_string_value(json_object_get(all, "sha256"));
	*version = (uint64_t)json_integer_value(json_object_get(all, "version"));
	if (!said || !checksum(body, body_len, sum) || strcmp(said, sum) != 0)
		snprintf(why, why_size,
			 "is damaged, or was changed by something else than riserd: its SHA-256 is "
			 "another one");
	else if (*version < 1 || *version >= VERSION_MAX)
		snprintf(why, why_size, "has no version");
	else
		objects = tree_clean(json_object_get(all, "objects"), why, why_size);
	json_decref(all);
	return objects;
}
