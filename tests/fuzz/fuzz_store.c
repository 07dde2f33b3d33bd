// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is read back from the state folder, and TransportIDs. The first byte chooses:
 *
 *	0	a file of the store as it is	1	the same with a checksum that is right
 *	2	the text of reservations	3	a TransportID
 *
 * Oracle: what is taken for good, written again, is the same bytes (of a TransportID: the same name).
 */
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scsi/pr.h"
#include "scsi/store_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_store: %s\n", what);
	abort();
}

static void try_file(const char *file, size_t len)
{
	size_t at, payload, again_len;
	uint64_t version;
	const char *why;
	char *again;

	if (record_decode(file, len, &at, &payload, &version, &why)) {
		require(why && *why, "refused without a reason");
		return;
	}
	require(at <= len && payload <= len - at && version, "a payload beyond the file");
	again = record_encode(file + at, payload, version, &again_len);
	require(again && again_len == len && !memcmp(again, file, len), "another file");
	free(again);
}

static void try_checked(const uint8_t *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	char *file = malloc(size + 72);
	unsigned char hash[32];

	memcpy(file, data, size);
	SHA256(data, size, hash);
	memcpy(file + size, "sha256 ", 7);
	for (unsigned int i = 0; i < sizeof(hash); i++) {
		file[size + 7 + 2 * i] = digits[hash[i] >> 4];
		file[size + 8 + 2 * i] = digits[hash[i] & 15];
	}
	file[size + 71] = '\n';
	try_file(file, size + 72);
	free(file);
}

static void try_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *again, why[128] = "";
	struct pr_state *state;
	size_t len;
	int err;

	memcpy(text, data, size);
	text[size] = '\0';
	err = pr_record_read(text, size, &state, why, sizeof(why));
	if (err) {
		require(err == -EBADMSG && *why && !state, "refused without a reason");
	} else {
		require(state->count <= state->capacity && state->capacity <= PR_MAX, "too many");
		again = pr_record_write(state, &len);
		require(again && len == size && !memcmp(again, text, len), "another text");
		free(again);
		free(state);
	}
	free(text);
}

static void try_id(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1), out[TRANSPORT_ID_MAX];
	struct pr_registration r = { .key = 1, .port = 1 };
	struct pr_initiator id, again;
	uint32_t len;

	memcpy(exact, data, size);
	len = transport_id_parse(exact, (uint32_t)size, &id);
	require(len <= size && len % 4 == 0, "a TransportID beyond its list");
	if (len && !id.device) {
		memcpy(r.name, id.name, sizeof(r.name));
		memcpy(r.isid, id.isid, sizeof(r.isid));
		len = transport_id_write(out, &r);
		require(len <= sizeof(out), "a TransportID that is too long");
		require(transport_id_parse(out, len, &again) == len && !again.device &&
				!strcmp(again.name, id.name) && !memcmp(again.isid, id.isid, 6),
			"another TransportID");
	}
	free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *file;

	if (!size)
		return 0;
	switch (data[0] & 3) {
	case 0:
		file = malloc(size);
		memcpy(file, data + 1, size - 1);
		file = realloc(file, size > 1 ? size - 1 : 1);
		try_file(file, size - 1);
		free(file);
		break;
	case 1: try_checked(data + 1, size - 1); break;
	case 2: try_text(data + 1, size - 1); break;
	case 3: try_id(data + 1, size - 1); break;
	}
	return 0;
}
