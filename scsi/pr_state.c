// SPDX-License-Identifier: BSD-2-Clause
/* The registrations of a unit and what they deny to whom, SPC-5 5.14.1. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pr.h"

bool pr_type_valid(uint8_t type)
{
	switch (type) {
	case PR_WRITE_EXCLUSIVE:
	case PR_EXCLUSIVE_ACCESS:
	case PR_WRITE_EXCLUSIVE_REGISTRANTS:
	case PR_EXCLUSIVE_ACCESS_REGISTRANTS:
	case PR_WRITE_EXCLUSIVE_ALL:
	case PR_EXCLUSIVE_ACCESS_ALL: return true;
	}
	return false;
}

struct pr_state *pr_state_copy(const struct pr_state *of, uint64_t more)
{
	uint64_t capacity = (of ? of->count : 0) + (more < PR_MAX ? more : PR_MAX);
	struct pr_state *state;

	if (capacity > PR_MAX)
		capacity = PR_MAX;
	state = calloc(1, sizeof(*state) + capacity * sizeof(state->r[0]));
	if (!state)
		return NULL;
	if (of)
		memcpy(state, of, sizeof(*of) + of->count * sizeof(of->r[0]));
	state->capacity = (uint32_t)capacity;
	return state;
}

/* FNV-1a of the name in lower case. */
uint32_t pr_hash(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		hash = (hash ^ (c >= 'A' && c <= 'Z' ? c | 0x20u : c)) * 16777619u;
	}
	return hash;
}

struct pr_registration *pr_find(struct pr_state *state, const char *name, const uint8_t isid[6],
				uint16_t port)
{
	uint32_t hash = state->count ? pr_hash(name) : 0;

	for (uint32_t i = 0; i < state->count; i++) {
		struct pr_registration *r = &state->r[i];

		if (r->hash == hash && r->port == port && !memcmp(r->isid, isid, sizeof(r->isid)) &&
		    !strcasecmp(r->name, name))
			return r;
	}
	return NULL;
}

struct pr_registration *pr_add(struct pr_state *state, const char *name, const uint8_t isid[6],
			       uint16_t port, uint64_t key)
{
	struct pr_registration *r;

	if (state->count == state->capacity)
		return NULL;
	r = &state->r[state->count++];
	memset(r, 0, sizeof(*r));
	memcpy(r->name, name, strnlen(name, sizeof(r->name) - 1));
	memcpy(r->isid, isid, sizeof(r->isid));
	r->hash = pr_hash(r->name);
	r->port = port;
	r->key = key;
	return r;
}

void pr_remove(struct pr_state *state,
	       bool (*out)(const struct pr_registration *r, const void *arg), const void *arg)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < state->count; i++) {
		if (out(&state->r[i], arg))
			continue;
		if (kept != i)
			state->r[kept] = state->r[i];
		kept++;
	}
	state->count = kept;
}

struct pr_registration *pr_holder(struct pr_state *state)
{
	for (uint32_t i = 0; i < state->count; i++) {
		if (state->r[i].holder)
			return &state->r[i];
	}
	return NULL;
}

uint8_t pr_denies(struct pr_state *state, const struct nexus *nexus)
{
	const uint8_t legacy = 1 << RSV_LEGACY, writes = legacy | 1 << RSV_WRITE;
	const struct pr_registration *r;

	if (!state->count)
		return 0;
	if (!state->type)
		return legacy;
	r = pr_find(state, nexus->initiator_name, nexus->isid, nexus_port(nexus));
	if (r && (pr_registrants(state->type) || r->holder))
		return legacy;
	switch (state->type) {
	case PR_WRITE_EXCLUSIVE:
	case PR_WRITE_EXCLUSIVE_REGISTRANTS:
	case PR_WRITE_EXCLUSIVE_ALL: return writes;
	}
	return writes | 1 << RSV_READ;
}
