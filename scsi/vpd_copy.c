// SPDX-License-Identifier: BSD-2-Clause
/* VPD 8Fh, Third-party Copy, SPC 7.7.18: what copies there are and how large they may be. */
#include <string.h>

#include "copy.h"

/* So many bytes of descriptor, and zeros up to a multiple of four; sets its head. */
static uint8_t *descriptor_end(uint8_t *at, uint16_t type, size_t len)
{
	struct tpc_head *head = (struct tpc_head *)at;
	size_t padded = (len + 3) & ~3ul;

	head->type = be16_of(type);
	head->len = be16_of((uint16_t)(padded - sizeof(*head)));
	return at + padded;
}

static uint8_t *rod_limits(uint8_t *at, const struct lu *lu)
{
	struct tpc_rod_limits *d = (struct tpc_rod_limits *)at;

	d->ranges = be16_of(COPY_RANGES);
	d->max_timeout = be32_of(TOKEN_MAX_TIMEOUT);
	d->default_timeout = be32_of(TOKEN_DEFAULT_TIMEOUT);
	d->max_transfer = be64_of(TOKEN_MAX_BYTES >> lu->block_shift);
	d->optimal_transfer = be64_of(TOKEN_OPTIMAL_BYTES >> lu->block_shift);
	return descriptor_end(at, TPC_ROD_LIMITS, sizeof(*d));
}

/* The service actions of an operation code that this unit has, as the CDB table says. */
static uint8_t *service_actions(uint8_t *at, uint8_t opcode, const struct lu *lu)
{
	const struct cdb_row *const *row = cdb_table[opcode]->actions;
	uint8_t *count = at + 1;

	*at = opcode;
	at += 2;
	for (; *row; row++) {
		if (!row_exists(*row, lu))
			continue;
		*at++ = (uint8_t)(*row)->service_action;
		++*count;
	}
	return at;
}

static uint8_t *commands(uint8_t *at, const struct lu *lu)
{
	uint8_t *list_len = at + sizeof(struct tpc_head), *end = list_len + 1;

	end = service_actions(end, CDB_THIRD_PARTY_COPY_OUT, lu);
	end = service_actions(end, CDB_THIRD_PARTY_COPY_IN, lu);
	*list_len = (uint8_t)(end - list_len - 1);
	return descriptor_end(at, TPC_COMMANDS, (size_t)(end - at));
}

static uint8_t *parameters(uint8_t *at)
{
	struct tpc_parameters *d = (struct tpc_parameters *)at;

	d->cscds = be16_of(COPY_CSCDS);
	d->segments = be16_of(COPY_SEGMENTS);
	d->descriptors_len = be32_of(COPY_LIST_MAX);
	return descriptor_end(at, TPC_PARAMETERS, sizeof(*d));
}

static uint8_t *descriptors(uint8_t *at)
{
	uint8_t *list = at + sizeof(struct tpc_head);

	list[0] = 2;
	list[1] = SEGMENT_BLOCK_TO_BLOCK;
	list[2] = CSCD_IDENTIFICATION;
	return descriptor_end(at, TPC_DESCRIPTORS, sizeof(struct tpc_head) + 3);
}

static uint8_t *cscd_ids(uint8_t *at)
{
	struct be16 list[2] = { be16_of(sizeof(list[0])), be16_of(CSCD_OF_COPY_MANAGER) };

	memcpy(at + sizeof(struct tpc_head), list, sizeof(list));
	return descriptor_end(at, TPC_CSCD_IDS, sizeof(struct tpc_head) + sizeof(list));
}

/* REMOTE TOKENS 0: other targets' tokens are not known here. */
static uint8_t *token_features(uint8_t *at)
{
	struct tpc_token_features *d = (struct tpc_token_features *)at;

	d->min_lifetime = be32_of(1);
	d->max_lifetime = be32_of(UINT32_MAX);
	d->max_timeout = be32_of(TOKEN_MAX_TIMEOUT);
	d->features_len = be16_of(sizeof(*d) - offsetof(struct tpc_token_features, format));
	d->len = be16_of(sizeof(*d) - offsetof(struct tpc_token_features, rsvd4));
	d->max_bytes = be64_of(TOKEN_MAX_BYTES);
	d->optimal_bytes = be64_of(TOKEN_OPTIMAL_BYTES);
	d->optimal_to_token = be64_of(UINT64_MAX);
	d->optimal_from_token = be64_of(TOKEN_OPTIMAL_BYTES);
	return descriptor_end(at, TPC_TOKEN_FEATURES, sizeof(*d));
}

static uint8_t *rod_types(uint8_t *at)
{
	struct tpc_rod_types *d = (struct tpc_rod_types *)at;

	d->types_len = be16_of(sizeof(d->types));
	d->types[0].type = be32_of(ROD_ACCESS_UPON_REFERENCE);
	d->types[0].flags = TPC_TOKEN_IN | TPC_TOKEN_OUT;
	d->types[1].type = be32_of(ROD_BLOCK_DEVICE_ZERO);
	d->types[1].flags = TPC_TOKEN_IN;
	return descriptor_end(at, TPC_ROD_TYPES, sizeof(*d));
}

static uint8_t *general(uint8_t *at, const struct lu *lu)
{
	struct tpc_general *d = (struct tpc_general *)at;

	d->total_copies = be32_of(COPY_TOTAL);
	d->copies = be32_of(COPY_TOTAL);
	d->segment_len = be32_of((uint32_t)(COPY_SEGMENT_BLOCKS << lu->block_shift));
	d->segment_granularity = lu->block_shift;
	return descriptor_end(at, TPC_GENERAL, sizeof(*d));
}

int third_party_copy_page(struct scsi_task *task, uint8_t *out)
{
	uint8_t *at = rod_limits(out, task->lu);

	at = commands(at, task->lu);
	at = parameters(at);
	at = descriptors(at);
	at = cscd_ids(at);
	at = token_features(at);
	at = rod_types(at);
	at = general(at, task->lu);
	return (int)(at - out);
}
