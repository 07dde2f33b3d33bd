// SPDX-License-Identifier: BSD-2-Clause
/* iSCSI TransportIDs, SPC-5 7.6.4.6: the name of an initiator device or of an initiator port, and which
 * ports a list of them means. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pr.h"

static const char separator[] = ",i,0x";

/* Into zeros. Names come as RFC 3722 leaves them, or in upper case from tools that do not know it. */
static bool copy_name(struct pr_initiator *id, const char *name, size_t len)
{
	if (len < 1 || len > 223)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c <= ' ' || c == 0x7f || c == ',')
			return false;
		id->name[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	id->hash = pr_hash(id->name);
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 1 to 12 digits up to the NUL. */
static bool parse_isid(uint8_t isid[6], const char *text, size_t len)
{
	uint64_t v = 0;

	if (len < 1 || len > 12)
		return false;
	for (size_t i = 0; i < len; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0)
			return false;
		v = v << 4 | (unsigned int)digit;
	}
	for (unsigned int i = 0; i < 6; i++)
		isid[i] = (uint8_t)(v >> (40 - 8 * i));
	return true;
}

uint32_t transport_id_parse(const uint8_t *at, uint32_t len, struct pr_initiator *id)
{
	const struct transport_id *header = (const void *)at;
	const char *name = (const char *)at + sizeof(*header), *isid;
	uint32_t size;
	size_t text;

	if (len < TRANSPORT_ID_MIN)
		return 0;
	size = sizeof(*header) + be16_get(header->additional_len);
	if (size < TRANSPORT_ID_MIN || size % 4 || size > len)
		return 0;
	text = strnlen(name, size - sizeof(*header));
	if (text == size - sizeof(*header))
		return 0;
	memset(id, 0, sizeof(*id));
	if (header->format == TRANSPORT_ID_DEVICE) {
		id->device = true;
		return copy_name(id, name, text) ? size : 0;
	}
	if (header->format != TRANSPORT_ID_PORT)
		return 0;
	isid = memmem(name, text, separator, sizeof(separator) - 1);
	if (!isid || !copy_name(id, name, (size_t)(isid - name)))
		return 0;
	isid += sizeof(separator) - 1;
	return parse_isid(id->isid, isid, text - (size_t)(isid - name)) ? size : 0;
}

uint32_t transport_id_write(uint8_t *out, const struct pr_registration *r)
{
	static const char digits[] = "0123456789abcdef";
	struct transport_id header = { .format = TRANSPORT_ID_PORT };
	uint8_t *at = out + sizeof(header);
	size_t len = strlen(r->name), padded;

	memset(out, 0, TRANSPORT_ID_MAX);
	memcpy(at, r->name, len);
	memcpy(at + len, separator, sizeof(separator) - 1);
	len += sizeof(separator) - 1;
	for (unsigned int i = 0; i < 6; i++) {
		at[len++] = (uint8_t)digits[r->isid[i] >> 4];
		at[len++] = (uint8_t)digits[r->isid[i] & 15];
	}
	padded = (len + 1 + 3) & ~(size_t)3;
	if (padded < TRANSPORT_ID_MIN - sizeof(header))
		padded = TRANSPORT_ID_MIN - sizeof(header);
	header.additional_len = be16_of((uint16_t)padded);
	memcpy(out, &header, sizeof(header));
	return (uint32_t)(sizeof(header) + padded);
}

/* --- who is meant */

struct resolution {
	struct pr_initiator *ids; /* of the list */
	uint32_t id_count;
	struct pr_initiator *out; /* room for PR_MAX */
	uint32_t count;
	bool full;
};

static void add(struct resolution *to, const char *name, uint32_t hash, const uint8_t isid[6])
{
	struct pr_initiator *id;

	for (uint32_t i = 0; i < to->count; i++) {
		id = &to->out[i];
		if (id->hash == hash && !memcmp(id->isid, isid, sizeof(id->isid)) &&
		    !strcasecmp(id->name, name))
			return;
	}
	if (to->count == PR_MAX) {
		to->full = true;
		return;
	}
	id = &to->out[to->count++];
	memcpy(id->name, name, strnlen(name, sizeof(id->name) - 1));
	memcpy(id->isid, isid, sizeof(id->isid));
	id->hash = hash;
}

/* An initiator port that is there: its device may be in the list. */
static void meet(struct resolution *to, const char *name, const uint8_t isid[6])
{
	uint32_t hash = pr_hash(name);

	for (uint32_t i = 0; i < to->id_count; i++) {
		struct pr_initiator *id = &to->ids[i];

		if (id->device && id->hash == hash && !strcasecmp(id->name, name)) {
			id->known = true;
			add(to, name, hash, isid);
		}
	}
}

static void meet_nexus(struct nexus *nexus, int lun, void *arg)
{
	(void)lun;
	meet(arg, nexus->initiator_name, nexus->isid);
}

enum pr_result pr_resolve(struct lu *lu, struct pr_initiator *ids, uint32_t count,
			  struct pr_initiator **out, uint32_t *out_count)
{
	struct resolution to = { .ids = ids,
				 .id_count = count,
				 .out = calloc(PR_MAX, sizeof(**out)) };
	const struct pr_state *state = lu->reservations->state;

	*out = to.out;
	if (!to.out)
		return PR_FULL;
	for (uint32_t i = 0; i < count; i++)
		ids[i].known = false;
	lu_each_nexus(lu, meet_nexus, &to);
	for (uint32_t r = 0; r < state->count; r++)
		meet(&to, state->r[r].name, state->r[r].isid);
	for (uint32_t i = 0; i < count; i++) {
		if (!ids[i].device)
			add(&to, ids[i].name, ids[i].hash, ids[i].isid);
		else if (!ids[i].known)
			return PR_BAD_LIST;
	}
	*out_count = to.count;
	return to.full ? PR_FULL : PR_GOOD;
}
