// SPDX-License-Identifier: BSD-2-Clause
/* The text of the state file, but for the lines behind its first part. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "state_impl.h"
#include "tree.h"

enum { HEADER_MAX = 512 };

static const char header_end[] = "\"objects\":\n", tail[] = "\n}\n";

bool state_checksum(const char *text, size_t len, char out[STATE_SUM_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;

	if (!EVP_Digest(text, len, digest, &size, EVP_sha256(), NULL))
		return false;
	for (unsigned int i = 0; i < size && 2 * i + 2 < STATE_SUM_SIZE; i++)
		snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
	return true;
}

char *state_format(const json_t *objects, uint64_t version, size_t *len)
{
	char *body = json_dumps(objects, JSON_INDENT(1)), *out = NULL;
	char sum[STATE_SUM_SIZE], saved[32];
	time_t now = time(NULL);
	struct tm tm;
	size_t room;
	int used;

	if (!body || !state_checksum(body, strlen(body), sum))
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

/* Behind what body has; NULL: it is not all there. Its own lines are indented, but for the last. */
static const char *find_end(const char *body)
{
	const char *end = strstr(body, tail);

	return end && !strncmp(end + sizeof(tail) - 1, tail + 1, sizeof(tail) - 2) ? end + 2 : end;
}

static json_t *parse_first(const char *text, const char *body, struct state_extent *extent,
			   char *why, size_t why_size)
{
	size_t end = sizeof(tail) - 1, before = (size_t)(body - text);
	json_t *all = decode(text, extent->whole, why, why_size), *objects = NULL;
	const char *said = json_string_value(json_object_get(all, "sha256"));
	json_int_t version = json_integer_value(json_object_get(all, "version"));
	char sum[STATE_SUM_SIZE];

	if (!all)
		return NULL;
	if (!said || !state_checksum(body, extent->whole - end - before, sum) ||
	    strcmp(said, sum) != 0)
		snprintf(why, why_size,
			 "is damaged, or was changed by something else than riserd: its SHA-256 is "
			 "another one");
	else if (version < 1 || (uint64_t)version >= STATE_VERSION_MAX)
		snprintf(why, why_size, "has no version");
	else
		objects = tree_clean(json_object_get(all, "objects"), why, why_size);
	extent->version = (uint64_t)version;
	json_decref(all);
	return objects;
}

json_t *state_parse(const char *text, size_t len, struct state_extent *extent, char *why,
		    size_t why_size)
{
	const char *body = strstr(text, header_end), *end;
	unsigned int lines = 1;
	json_t *objects;

	*extent = (struct state_extent){ 0 };
	body = body ? body + sizeof(header_end) - 1 : NULL;
	end = body ? find_end(body) : NULL;
	if (!end) {
		snprintf(why, why_size, "is truncated: %zu bytes, and its end is not there", len);
		return NULL;
	}
	extent->whole = (size_t)(end - text) + sizeof(tail) - 1;
	objects = parse_first(text, body, extent, why, why_size);
	for (const char *at = text; at < text + extent->whole; at++)
		lines += *at == '\n';
	if (objects && !state_replay(objects, text + extent->whole, len - extent->whole, lines,
				     extent, why, why_size)) {
		json_decref(objects);
		objects = NULL;
	}
	return objects;
}
