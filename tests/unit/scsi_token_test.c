// SPDX-License-Identifier: BSD-2-Clause
/* POPULATE TOKEN, WRITE USING TOKEN and what asks about them; VPD 8Fh. */
#include "scsi_copy_world.h"

struct span {
	uint64_t lba;
	uint32_t blocks;
};

static uint32_t put_ranges(uint8_t *at, const struct span *spans, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		put64(at + 16 * i, spans[i].lba);
		put32(at + 16 * i + 8, spans[i].blocks);
	}
	return 16 * count;
}

static uint32_t populate_list(uint8_t *list, uint32_t timeout, const struct span *spans,
			      unsigned int count)
{
	uint32_t len;

	memset(list, 0, LIST_SPACE);
	len = put_ranges(list + 16, spans, count);
	put16(list, (uint16_t)(14 + len));
	put32(list + 4, timeout);
	put16(list + 14, (uint16_t)len);
	return 16 + len;
}

static uint32_t write_list(uint8_t *list, const uint8_t *token, uint64_t offset,
			   const struct span *spans, unsigned int count)
{
	uint32_t len;

	memset(list, 0, LIST_SPACE);
	len = put_ranges(list + 536, spans, count);
	put16(list, (uint16_t)(534 + len));
	put64(list + 8, offset);
	memcpy(list + 16, token, ROD_TOKEN_SIZE);
	put16(list + 534, (uint16_t)len);
	return 536 + len;
}

static uint32_t populate_bytes(struct copy_world *cw, const struct nexus *nexus,
			       const uint8_t *list, uint32_t len)
{
	struct command c;

	return copy_out_on(cw, nexus, 0, cdb_copy_out(SA_POPULATE_TOKEN, 1, len), list, len, &c);
}

/* Of LUN 0; the token is fetched by the identifier 1. */
static uint32_t populate_by(struct copy_world *cw, const struct nexus *nexus, uint32_t timeout,
			    const struct span *spans, unsigned int count, uint8_t *token)
{
	uint8_t list[LIST_SPACE], data[4096];
	uint32_t len = populate_list(list, timeout, spans, count), sense;

	sense = populate_bytes(cw, nexus, list, len);
	if (sense)
		return sense;
	CU_ASSERT_EQUAL(copy_in_on(cw, nexus, 0, SA_RECEIVE_ROD_TOKEN_INFORMATION, 1, data, &len),
			0);
	CU_ASSERT_EQUAL_FATAL(len, 32 + 4 + 2 + ROD_TOKEN_SIZE);
	CU_ASSERT_EQUAL(get_be(data, 4), len - 4);
	CU_ASSERT_EQUAL(data[4], SA_POPULATE_TOKEN);
	CU_ASSERT_EQUAL(data[5], COPY_STATUS_GOOD);
	CU_ASSERT_EQUAL(data[15], COPY_UNITS_BLOCKS);
	CU_ASSERT_EQUAL(get_be(data + 32, 4), 2 + ROD_TOKEN_SIZE);
	memcpy(token, data + 38, ROD_TOKEN_SIZE);
	return 0;
}

static uint32_t populate(struct copy_world *cw, uint32_t timeout, const struct span *spans,
			 unsigned int count, uint8_t *token)
{
	return populate_by(cw, &cw->w.a, timeout, spans, count, token);
}

/* To LUN 1, identifier 2. */
static uint32_t write_on(struct copy_world *cw, const struct nexus *nexus, int lun,
			 const uint8_t *token, uint64_t offset, const struct span *spans,
			 unsigned int count, struct command *c)
{
	uint8_t list[LIST_SPACE];
	uint32_t len = write_list(list, token, offset, spans, count);

	return copy_out_on(cw, nexus, lun, cdb_copy_out(SA_WRITE_USING_TOKEN, 2, len), list, len,
			   c);
}

static uint32_t write_using(struct copy_world *cw, const uint8_t *token, uint64_t offset,
			    const struct span *spans, unsigned int count)
{
	struct command c;

	return write_on(cw, &cw->w.a, 1, token, offset, spans, count, &c);
}

#define ONE(lba, blocks)     \
	&(const struct span) \
	{                    \
		lba, blocks  \
	}

static void ranges_are_copied(void)
{
	static const struct span from[] = { { 10, 3 }, { 5, 0 }, { 200, 100 }, { 50, 2 } };
	static const struct span to[] = { { 1000, 1 }, { 7, 50 }, { 9, 0 }, { 2000, 53 } };
	uint8_t token[ROD_TOKEN_SIZE], *expect = malloc(105 * 512), data[4096];
	struct copy_world cw;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	memcpy(expect, cw.w.disk.bytes + 10 * 512, 3 * 512);
	memcpy(expect + 3 * 512, cw.w.disk.bytes + 200 * 512, 100 * 512);
	memcpy(expect + 103 * 512, cw.w.disk.bytes + 50 * 512, 2 * 512);
	CU_ASSERT_EQUAL(populate(&cw, 0, from, 4, token), 0);
	CU_ASSERT_EQUAL(get_be(token, 4), 0x00010000);
	CU_ASSERT_EQUAL(get_be(token + 6, 2), 0x1f8);
	CU_ASSERT_EQUAL(token[16], 0xe4);
	CU_ASSERT_EQUAL(get_be(token + 48, 8), 0);
	CU_ASSERT_EQUAL(get_be(token + 56, 8), 105 * 512);
	CU_ASSERT_EQUAL(get_be(token + 96, 4), 512);
	CU_ASSERT_EQUAL(write_using(&cw, token, 1, to, 4), 0);
	CU_ASSERT(!memcmp(cw.second.bytes + 1000 * 512, expect + 512, 512));
	CU_ASSERT(!memcmp(cw.second.bytes + 7 * 512, expect + 2 * 512, 50 * 512));
	CU_ASSERT(!memcmp(cw.second.bytes + 2000 * 512, expect + 52 * 512, 53 * 512));
	CU_ASSERT_EQUAL(cw.second.bytes[1001 * 512], 0xee);
	CU_ASSERT_EQUAL(cw.second.bytes[57 * 512], 0xee);
	CU_ASSERT_EQUAL(cw.second.bytes[2053 * 512], 0xee);
	CU_ASSERT_EQUAL(
		copy_in_on(&cw, &cw.w.a, 1, SA_RECEIVE_ROD_TOKEN_INFORMATION, 2, data, &len), 0);
	CU_ASSERT_EQUAL(len, 36);
	CU_ASSERT_EQUAL(data[4], SA_WRITE_USING_TOKEN);
	CU_ASSERT_EQUAL(data[5], COPY_STATUS_GOOD);
	CU_ASSERT_EQUAL(get_be(data + 16, 8), 104);
	CU_ASSERT_EQUAL(get_be(data + 32, 4), 0);
	/* Access upon reference: what the blocks hold now. */
	memset(cw.w.disk.bytes + 10 * 512, 0x77, 512);
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), 0);
	CU_ASSERT_EQUAL(cw.second.bytes[0], 0x77);
	/* Nothing is an amount, too. */
	CU_ASSERT_EQUAL(write_using(&cw, token, 104, ONE(0, 0), 1), 0);
	CU_ASSERT_EQUAL(write_using(&cw, token, 105, ONE(0, 0), 1), SENSE_INVALID_LIST_FIELD);
	/* What is there already has been written as well. */
	CU_ASSERT_EQUAL(write_on(&cw, &cw.w.a, 0, token, 0, ONE(10, 3), 1, &c), 0);
	CU_ASSERT_EQUAL(
		copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_ROD_TOKEN_INFORMATION, 2, data, &len), 0);
	CU_ASSERT_EQUAL(get_be(data + 16, 8), 3);
	free(expect);
	copy_world_destroy(&cw);
}

static void zero_token(void)
{
	uint8_t token[ROD_TOKEN_SIZE] = { 0xff, 0xff, 0, 1, 0, 0, 1, 0xf8 };
	static const struct span to[] = { { 10, 5 }, { 100, 1 } };
	struct copy_world cw;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, to, 2), 0);
	CU_ASSERT_EQUAL(cw.second.bytes[10 * 512], 0);
	CU_ASSERT_EQUAL(cw.second.bytes[15 * 512 - 1], 0);
	CU_ASSERT_EQUAL(cw.second.bytes[15 * 512], 0xee);
	CU_ASSERT_EQUAL(cw.second.bytes[100 * 512], 0);
	CU_ASSERT_EQUAL(cw.second.log[0].opcode, BS_ZERO);
	copy_world_destroy(&cw);
}

/* Zeros that waited at the gate while the cache was switched off are on the medium before GOOD. */
static void zeros_while_the_cache_is_switched_off(void)
{
	static const uint8_t wce_off[24] = { [4] = 0x08, 18 };
	uint8_t token[ROD_TOKEN_SIZE] = { 0xff, 0xff, 0, 1, 0, 0, 1, 0xf8 }, list[LIST_SPACE];
	struct cdb select = { { CDB_MODE_SELECT_6, 0x10, 0, 0, sizeof(wce_off) } };
	uint32_t len = write_list(list, token, 0, ONE(10, 5), 1);
	struct command mode, c;
	struct copy_world cw;

	copy_world_create(&cw, 512);
	cw.second.hold = true;
	command_prepare(&cw, &mode, &cw.w.b, 1, select, DIR_WRITE, sizeof(wce_off), wce_off);
	command_submit(&mode);
	command_prepare(&cw, &c, &cw.w.a, 1, cdb_copy_out(SA_WRITE_USING_TOKEN, 2, len), DIR_WRITE,
			len, list);
	command_submit(&c);
	CU_ASSERT_EQUAL(mode.ends + c.ends, 0);
	CU_ASSERT_EQUAL(cw.second.requests, 1);
	cw.second.hold = false;
	disk_release(&cw.second);
	world_turn(&cw.w);
	ASSERT_GOOD(&mode);
	ASSERT_GOOD(&c);
	command_done(&mode);
	command_done(&c);
	CU_ASSERT_EQUAL(cw.second.log[1].opcode, BS_ZERO);
	CU_ASSERT(cw.second.log[1].flags == BS_FUA ||
		  (cw.second.requests == 3 && cw.second.log[2].opcode == BS_FLUSH));
	copy_world_destroy(&cw);
}

static void populate_lists_that_are_wrong(void)
{
	static const struct {
		unsigned int at, width;
		uint32_t value, sense;
	} cases[] = {
		{ 0, 2, 29, SENSE_INVALID_LIST_FIELD }, /* less than one range */
		{ 0, 2, 45, SENSE_INVALID_LIST_FIELD }, /* less than its ranges */
		{ 0, 2, 47, SENSE_LIST_LENGTH },
		{ 0, 2, 0xffff, SENSE_LIST_LENGTH },
		{ 14, 2, 0, SENSE_INVALID_LIST_FIELD },
		{ 14, 2, 15, SENSE_INVALID_LIST_FIELD },
		{ 14, 2, 48, SENSE_INVALID_LIST_FIELD },
		{ 14, 2, 0xffff, SENSE_INVALID_LIST_FIELD },
		{ 4, 4, TOKEN_MAX_TIMEOUT + 1, SENSE_INVALID_LIST_FIELD },
		{ 2, 1, POPULATE_RTV, SENSE_INVALID_LIST_FIELD }, /* type 0 */
		{ 16, 4, 1, SENSE_LBA_RANGE },
		{ 20, 4, DISK_BLOCKS, SENSE_LBA_RANGE },
		{ 24, 4, 0xffffffff, SENSE_LBA_RANGE },
		{ 36, 4, 8, SENSE_INVALID_LIST_FIELD }, /* overlaps */
	};
	uint8_t list[LIST_SPACE], token[ROD_TOKEN_SIZE];
	static struct span many[COPY_RANGES + 1];
	struct copy_world cw;
	uint32_t len;

	copy_world_create(&cw, 512);
	for (size_t i = 0; i < array_size(cases); i++) {
		uint32_t got;

		len = populate_list(list, 0, (const struct span[]){ { 0, 10 }, { 100, 10 } }, 2);
		for (unsigned int byte = 0; byte < cases[i].width; byte++)
			list[cases[i].at + byte] =
				(uint8_t)(cases[i].value >> 8 * (cases[i].width - 1 - byte));
		got = populate_bytes(&cw, &cw.w.a, list, len);
		if (got != cases[i].sense)
			fprintf(stderr, "case %zu: sense %06x\n", i, got);
		CU_ASSERT_EQUAL(got, cases[i].sense);
	}
	len = populate_list(list, 0, ONE(0, 1), 1);
	for (uint32_t cut = 1; cut < len; cut++)
		CU_ASSERT_EQUAL(populate_bytes(&cw, &cw.w.a, list, cut), SENSE_LIST_LENGTH);
	CU_ASSERT_EQUAL(populate_bytes(&cw, &cw.w.a, list, 0), 0);
	for (unsigned int i = 0; i < array_size(many); i++)
		many[i] = (struct span){ i, 1 };
	CU_ASSERT_EQUAL(populate(&cw, 0, many, COPY_RANGES + 1, token), SENSE_TOO_MANY_SEGMENTS);
	CU_ASSERT_EQUAL(populate(&cw, 0, many, COPY_RANGES, token), 0);
	/* Much more than there may be, in a list that is longer than we read. */
	memset(list, 0, sizeof(list));
	put16(list, 8190);
	put16(list + 14, 8176);
	CU_ASSERT_EQUAL(populate_bytes(&cw, &cw.w.a, list, 8192), SENSE_TOO_MANY_SEGMENTS);
	copy_world_destroy(&cw);
}

/* SBC 5.49.2: as much as the token has is written, and the count tells how much that was. */
static void more_than_the_token_has(void)
{
	static const struct span to[] = { { 1000, 4 }, { 2000, 9 }, { 3000, 1 } };
	uint8_t token[ROD_TOKEN_SIZE], data[4096];
	struct copy_world cw;
	uint32_t len;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(50, 10), 1, token), 0);
	CU_ASSERT_EQUAL(write_using(&cw, token, 1, to, 3), 0);
	CU_ASSERT(!memcmp(cw.second.bytes + 1000 * 512, cw.w.disk.bytes + 51 * 512, 4 * 512));
	CU_ASSERT(!memcmp(cw.second.bytes + 2000 * 512, cw.w.disk.bytes + 55 * 512, 5 * 512));
	CU_ASSERT_EQUAL(cw.second.bytes[2005 * 512], 0xee);
	CU_ASSERT_EQUAL(cw.second.bytes[3000 * 512], 0xee);
	CU_ASSERT_EQUAL(
		copy_in_on(&cw, &cw.w.a, 1, SA_RECEIVE_ROD_TOKEN_INFORMATION, 2, data, &len), 0);
	CU_ASSERT_EQUAL(data[5], COPY_STATUS_PARTIAL);
	CU_ASSERT_EQUAL(get_be(data + 16, 8), 9);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 1, SA_RECEIVE_COPY_STATUS_LID1, 2, data, &len), 0);
	CU_ASSERT_EQUAL(data[4], COPY_STATUS_GOOD);
	copy_world_destroy(&cw);
}

/* Half a descriptor behind the last whole one does not count. */
static void half_a_range(void)
{
	uint8_t list[LIST_SPACE], token[ROD_TOKEN_SIZE];
	struct copy_world cw;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(50, 10), 1, token), 0);
	len = write_list(list, token, 0, ONE(1000, 1), 1) + 8;
	memset(list + len - 8, 0xff, 8);
	put16(list, (uint16_t)(len - 2));
	put16(list + 534, 16 + 8);
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 1, cdb_copy_out(SA_WRITE_USING_TOKEN, 2, len),
				    list, len, &c),
			0);
	CU_ASSERT(!memcmp(cw.second.bytes + 1000 * 512, cw.w.disk.bytes + 50 * 512, 512));
	copy_world_destroy(&cw);
}

static void write_lists_that_are_wrong(void)
{
	static const struct {
		unsigned int at, width;
		uint32_t value, sense;
	} cases[] = {
		{ 0, 2, 549, SENSE_INVALID_LIST_FIELD },
		{ 0, 2, 0xffff, SENSE_LIST_LENGTH },
		{ 534, 2, 0, SENSE_INVALID_LIST_FIELD },
		{ 534, 2, 15, SENSE_INVALID_LIST_FIELD },
		{ 534, 2, 0xffff, SENSE_INVALID_LIST_FIELD },
		{ 536, 4, 1, SENSE_LBA_RANGE },
		{ 8, 4, 1, SENSE_INVALID_LIST_FIELD }, /* offset */
		{ 12, 4, 10, SENSE_INVALID_LIST_FIELD },
		{ 16, 4, 0x00800000, SENSE_TOKEN_TYPE },
		{ 16, 4, 0, SENSE_TOKEN_TYPE },
		{ 22, 2, 0x1f7, SENSE_TOKEN_LENGTH },
		{ 24, 1, 0xff, SENSE_TOKEN_UNKNOWN },
		{ 16 + 511, 1, 0x100, SENSE_TOKEN_UNKNOWN }, /* flips a bit, see below */
	};
	uint8_t list[LIST_SPACE], token[ROD_TOKEN_SIZE];
	struct copy_world cw;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 10), 1, token), 0);
	for (size_t i = 0; i < array_size(cases); i++) {
		uint32_t got;

		len = write_list(list, token, 0, ONE(0, 10), 1);
		for (unsigned int byte = 0; byte < cases[i].width; byte++)
			list[cases[i].at + byte] =
				(uint8_t)(cases[i].value >> 8 * (cases[i].width - 1 - byte));
		if (cases[i].value == 0x100)
			list[cases[i].at] = token[511] ^ 1;
		got = copy_out_on(&cw, &cw.w.a, 1, cdb_copy_out(SA_WRITE_USING_TOKEN, 2, len), list,
				  len, &c);
		if (got != cases[i].sense)
			fprintf(stderr, "case %zu: sense %06x\n", i, got);
		CU_ASSERT_EQUAL(got, cases[i].sense);
	}
	len = write_list(list, token, 0, ONE(0, 10), 1);
	for (uint32_t cut = 1; cut < len; cut += 7)
		CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 1,
					    cdb_copy_out(SA_WRITE_USING_TOKEN, 2, cut), list, cut,
					    &c),
				SENSE_LIST_LENGTH);
	CU_ASSERT_EQUAL(cw.second.requests, 0);
	copy_world_destroy(&cw);
}

static void life_of_a_token(void)
{
	uint8_t token[ROD_TOKEN_SIZE], other[ROD_TOKEN_SIZE], list[LIST_SPACE];
	struct copy_world cw;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(populate(&cw, 5, ONE(0, 1), 1, token), 0);
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 1), 1, other), 0);
	CU_ASSERT(memcmp(token + 128 + 40, other + 128 + 40, 344) != 0);
	/* Using it keeps it alive. */
	reactor_advance(cw.w.reactor, 4 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), 0);
	reactor_advance(cw.w.reactor, 4 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), 0);
	reactor_advance(cw.w.reactor, 5 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), SENSE_TOKEN_EXPIRED);
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), SENSE_TOKEN_UNKNOWN);
	CU_ASSERT_EQUAL(write_using(&cw, other, 0, ONE(0, 1), 1), 0);
	/* Another session of the target may use it; it outlives its own. */
	CU_ASSERT_EQUAL(write_on(&cw, &cw.w.b, 1, other, 0, ONE(0, 1), 1, &c), 0);
	/* Deleted with its last use. */
	len = write_list(list, other, 0, ONE(0, 1), 1);
	list[2] = WRITE_USING_DEL_TKN;
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 1, cdb_copy_out(SA_WRITE_USING_TOKEN, 2, len),
				    list, len, &c),
			0);
	CU_ASSERT_EQUAL(write_using(&cw, other, 0, ONE(0, 1), 1), SENSE_TOKEN_UNKNOWN);
	copy_world_destroy(&cw);
}

static void too_many_tokens(void)
{
	uint8_t first[ROD_TOKEN_SIZE], others[ROD_TOKEN_SIZE], token[ROD_TOKEN_SIZE], data[4096];
	struct copy_world cw;
	uint32_t len;

	copy_world_create(&cw, 512);
	/* One initiator's many do not push another's out. */
	CU_ASSERT_EQUAL(populate_by(&cw, &cw.w.b, 0, ONE(0, 1), 1, others), 0);
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 1), 1, first), 0);
	for (int i = 1; i < TOKEN_PER_INITIATOR; i++)
		CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 1), 1, token), 0);
	CU_ASSERT_EQUAL(write_using(&cw, first, 0, ONE(0, 1), 1), 0); /* now the youngest */
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 1), 1, token), 0);
	CU_ASSERT_EQUAL(write_using(&cw, first, 0, ONE(0, 1), 1), 0);
	for (int i = 0; i < TOKEN_PER_INITIATOR; i++)
		CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 1), 1, token), 0);
	CU_ASSERT_EQUAL(write_using(&cw, first, 0, ONE(0, 1), 1), SENSE_TOKEN_UNKNOWN);
	CU_ASSERT_EQUAL(write_using(&cw, others, 0, ONE(0, 1), 1), 0);
	/* As many as fit, and only what is no secret. */
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_REPORT_ALL_ROD_TOKENS, 0, data, &len), 0);
	CU_ASSERT_EQUAL(len, 8 + (4096 - 8) / 96 * 96);
	CU_ASSERT_EQUAL(get_be(data, 4), len - 4);
	CU_ASSERT_EQUAL(get_be(data + 8, 4), 0x00010000);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 1, SA_REPORT_ALL_ROD_TOKENS, 0, data, &len), 0);
	CU_ASSERT_EQUAL(len, 8);
	copy_world_destroy(&cw);
}

static void who_may_not_use_it(void)
{
	uint8_t token[ROD_TOKEN_SIZE], data[4096];
	struct copy_world cw;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 10), 1, token), 0);
	/* All 512 bytes are not enough at another target. */
	CU_ASSERT_EQUAL(write_on(&cw, &cw.stranger, 0, token, 0, ONE(0, 1), 1, &c),
			SENSE_TOKEN_UNKNOWN);
	CU_ASSERT_EQUAL(cw.foreign.requests, 0);
	/* The source is reserved by another. */
	atomic_store(&cw.w.a.denied[0], 1 << RSV_READ);
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), SENSE_COPY_END_FAILED);
	atomic_store(&cw.w.a.denied[0], 0);
	/* The destination is. */
	atomic_store(&cw.w.a.denied[1], 1 << RSV_WRITE);
	CU_ASSERT_EQUAL(write_on(&cw, &cw.w.a, 1, token, 0, ONE(0, 1), 1, &c), UINT32_MAX);
	CU_ASSERT_EQUAL(c.task.status, SAM_RESERVATION_CONFLICT);
	atomic_store(&cw.w.a.denied[1], 0);
	lu_set(cw.lu2, LU_READ_ONLY);
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), SENSE_WRITE_PROTECTED);
	lu_clear(cw.lu2, LU_READ_ONLY);
	CU_ASSERT_EQUAL(cw.second.requests, 0);
	/* The source unit is not mapped any more. */
	cw.w.target.lun[0] = NULL;
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), SENSE_TOKEN_UNKNOWN);
	cw.w.target.lun[0] = cw.w.lu;
	/* What goes wrong while writing is the command's own sense. */
	cw.second.fail[BS_WRITE] = -ENOSPC;
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), SENSE_SPACE_FAILED);
	CU_ASSERT_EQUAL(
		copy_in_on(&cw, &cw.w.a, 1, SA_RECEIVE_ROD_TOKEN_INFORMATION, 2, data, &len), 0);
	CU_ASSERT_EQUAL(data[5], COPY_STATUS_FAILED);
	CU_ASSERT_EQUAL(data[14], 18);
	CU_ASSERT_EQUAL(len, 32 + 18 + 4);
	CU_ASSERT_EQUAL(get_be(data + 16, 8), 0);
	cw.second.fail[BS_WRITE] = 0;
	cw.w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), SENSE_COPY_END_FAILED);
	/* No such operation; one that is no token's. */
	CU_ASSERT_EQUAL(
		copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_ROD_TOKEN_INFORMATION, 99, data, &len),
		SENSE_INVALID_CDB_FIELD);
	copy_world_destroy(&cw);
}

static void a_token_goes_with_its_unit(void)
{
	uint8_t token[ROD_TOKEN_SIZE];
	struct lu *other;
	struct copy_world cw;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 10), 1, token), 0);
	other = cw.w.lu;
	cw.w.target.lun[0] = NULL;
	lu_destroy(other);
	cw.w.lu = second_lu(&cw.w.disk, "another");
	cw.w.target.lun[0] = cw.w.lu;
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), SENSE_TOKEN_UNKNOWN);
	copy_world_destroy(&cw);
}

static void blocks_of_two_sizes(void)
{
	uint8_t token[ROD_TOKEN_SIZE];
	struct copy_world cw;

	copy_world_create(&cw, 4096);
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 16), 1, token), 0);
	CU_ASSERT_EQUAL(write_using(&cw, token, 0, ONE(0, 1), 1), SENSE_TOKEN_OPERATION);
	copy_world_destroy(&cw);
}

static void aborted_write(void)
{
	uint8_t token[ROD_TOKEN_SIZE], list[LIST_SPACE], data[4096];
	struct copy_world cw;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(populate(&cw, 0, ONE(0, 5000), 1, token), 0);
	len = write_list(list, token, 0, ONE(0, 5000), 1);
	command_prepare(&cw, &c, &cw.w.a, 1, cdb_copy_out(SA_WRITE_USING_TOKEN, 2, len), DIR_WRITE,
			len, list);
	cw.w.disk.hold = true;
	command_submit(&c);
	scsi_abort(&c.task);
	cw.w.disk.hold = false;
	disk_release(&cw.w.disk);
	world_turn(&cw.w);
	CU_ASSERT_EQUAL(c.ends, 1);
	command_done(&c);
	CU_ASSERT_EQUAL(
		copy_in_on(&cw, &cw.w.a, 1, SA_RECEIVE_ROD_TOKEN_INFORMATION, 2, data, &len), 0);
	CU_ASSERT_EQUAL(data[5], COPY_STATUS_TERMINATED);
	copy_world_destroy(&cw);
}

/* The descriptor of this type in VPD 8Fh, or NULL. */
static const uint8_t *tpc_find(const uint8_t *page, uint32_t len, uint16_t type)
{
	uint32_t at = 4, next;

	for (; at < len; at = next) {
		next = at + 4 + (uint32_t)get_be(page + at + 2, 2);
		CU_ASSERT_FATAL(next <= len && !(next % 4));
		if (get_be(page + at, 2) == type)
			return page + at;
	}
	CU_ASSERT_EQUAL(at, len);
	return NULL;
}

static void third_party_copy_vpd(void)
{
	static const uint8_t commands[] = { 0x83, 5,	0x00, 0x01, 0x10, 0x11, 0x1c, 0x84,
					    7,	  0x00, 0x01, 0x03, 0x04, 0x05, 0x07, 0x08 };
	struct cdb cdb = { { CDB_INQUIRY, 1, VPD_THIRD_PARTY_COPY, 0x10, 0 } };
	struct cdb standard = { { CDB_INQUIRY, 0, 0, 0, 96 } };
	struct copy_world cw;
	const uint8_t *d;
	struct command c;

	copy_world_create(&cw, 512);
	command_run(&cw.w, &c, cdb.b, DIR_READ, 4096, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(get_be(c.in + 2, 2), c.in_len - 4);
	d = tpc_find(c.in, c.in_len, TPC_COMMANDS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_EQUAL(d[4], sizeof(commands));
	CU_ASSERT(!memcmp(d + 5, commands, sizeof(commands)));
	d = tpc_find(c.in, c.in_len, TPC_ROD_LIMITS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_EQUAL(get_be(d + 10, 2), COPY_RANGES);
	CU_ASSERT_EQUAL(get_be(d + 12, 4), TOKEN_MAX_TIMEOUT);
	CU_ASSERT_EQUAL(get_be(d + 16, 4), TOKEN_DEFAULT_TIMEOUT);
	d = tpc_find(c.in, c.in_len, TPC_PARAMETERS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_EQUAL(get_be(d + 8, 2), COPY_CSCDS);
	d = tpc_find(c.in, c.in_len, TPC_DESCRIPTORS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_EQUAL(get_be(d + 4, 3), 0x0202e4);
	d = tpc_find(c.in, c.in_len, TPC_CSCD_IDS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_EQUAL(get_be(d + 4, 4), 0x0002ffff);
	d = tpc_find(c.in, c.in_len, TPC_TOKEN_FEATURES);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_EQUAL(get_be(d + 46, 2), 48);
	CU_ASSERT_EQUAL(get_be(d + 50, 2), 44);
	d = tpc_find(c.in, c.in_len, TPC_ROD_TYPES);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_EQUAL(get_be(d + 6, 2), 128);
	CU_ASSERT_EQUAL(get_be(d + 8, 4), 0x00010000);
	CU_ASSERT_EQUAL(get_be(d + 8 + 64, 4), 0xffff0001);
	CU_ASSERT_PTR_NOT_NULL(tpc_find(c.in, c.in_len, TPC_GENERAL));
	command_free(&c);
	command_run(&cw.w, &c, standard.b, DIR_READ, 96, NULL);
	CU_ASSERT_EQUAL(c.in[5] & INQUIRY_3PC, INQUIRY_3PC);
	command_free(&c);
	copy_world_destroy(&cw);
}

UNIT_MAIN(TEST(ranges_are_copied), TEST(zero_token), TEST(zeros_while_the_cache_is_switched_off),
	  TEST(populate_lists_that_are_wrong), TEST(more_than_the_token_has), TEST(half_a_range),
	  TEST(write_lists_that_are_wrong), TEST(life_of_a_token), TEST(too_many_tokens),
	  TEST(who_may_not_use_it), TEST(a_token_goes_with_its_unit), TEST(blocks_of_two_sizes),
	  TEST(aborted_write), TEST(third_party_copy_vpd));
