// SPDX-License-Identifier: BSD-2-Clause
/* EXTENDED COPY: the list, the ends, the data. Reliability 3.8, S10. */
#include "scsi_copy_world.h"

static void all_that_is_right(void)
{
	struct copy_world cw;
	struct param_list l;

	copy_world_create(&cw, 512);
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 5, 1, 100, 20); /* to the other unit */
	list_segment(&l, 0, 7, CSCD_OF_COPY_MANAGER, 9000, 3); /* within the unit */
	list_segment(&l, 1, 1, 0, DISK_BLOCKS - 1, 1); /* back, to the end */
	list_segment(&l, 1, 0, 0, DISK_BLOCKS, 0); /* nothing */
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT(!memcmp(cw.second.bytes + 100 * 512, cw.w.disk.bytes + 5 * 512, 20 * 512));
	CU_ASSERT_EQUAL(cw.second.bytes[99 * 512], 0xee);
	CU_ASSERT_EQUAL(cw.second.bytes[120 * 512], 0xee);
	CU_ASSERT(!memcmp(cw.w.disk.bytes + 9000 * 512, cw.w.disk.bytes + 7 * 512, 3 * 512));
	CU_ASSERT_EQUAL(cw.w.disk.bytes[(DISK_BLOCKS - 1) * 512], 0xee);
	CU_ASSERT_EQUAL(lu_stats(cw.lu2, 0)->write_bytes, 20 * 512);
	CU_ASSERT_EQUAL(lu_stats(cw.lu2, 0)->read_bytes, 512);

	/* LID4, from LUN 1's copy manager, without list identifier. */
	list_units(&cw, list_start4(&l, 0));
	l.b[1] = COPY_USAGE_NONE;
	list_segment(&l, 0, 0, CSCD_OF_COPY_MANAGER, 0, 1)->flags = SEGMENT_DC;
	struct command c;

	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 1, list_cdb(&l), l.b, l.len, &c), 0);
	CU_ASSERT(!memcmp(cw.second.bytes, cw.w.disk.bytes, 512));
	/* No list, no segments: nothing to do. */
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 0, cdb_copy_out(0, 0, 0), NULL, 0, &c), 0);
	list_units(&cw, list_start(&l, 3));
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	copy_world_destroy(&cw);
}

/* Whatever VPD 83h shows of the unit itself will do, if it fits. */
static void found_by_the_t10_name(void)
{
	static const char name[] = "RISER   second";
	struct copy_cscd_wire *wire;
	struct copy_world cw;
	struct param_list l;

	copy_world_create(&cw, 512);
	list_units(&cw, list_start(&l, 1));
	wire = (void *)(l.b + 16 + 32);
	memset(wire->designator, 0, sizeof(wire->designator));
	wire->code_set = CODE_SET_ASCII;
	wire->designator_type = DESIGNATOR_T10;
	wire->designator_len = sizeof(name) - 1;
	memcpy(wire->designator, name, sizeof(name) - 1);
	list_segment(&l, 0, 0, 1, 0, 4);
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT(!memcmp(cw.second.bytes, cw.w.disk.bytes, 4 * 512));
	wire->designator_len--;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_UNREACHABLE);
	wire->designator_len++;
	wire->code_set = CODE_SET_BINARY;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_UNREACHABLE);
	copy_world_destroy(&cw);
}

static void a_large_copy_in_chunks(void)
{
	enum { BLOCKS = 10000 };
	struct copy_world cw;
	struct param_list l;

	copy_world_create(&cw, 512);
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 1, 1, 2, BLOCKS);
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT(!memcmp(cw.second.bytes + 2 * 512, cw.w.disk.bytes + 512, BLOCKS * 512));
	CU_ASSERT_EQUAL(cw.second.bytes[(BLOCKS + 2) * 512], 0xee);
	copy_world_destroy(&cw);
}

static void overlaps_are_memmove(void)
{
	static const struct {
		uint64_t from, to;
	} cases[] = { { 100, 101 }, { 101, 100 }, { 100, 5000 }, { 5000, 100 }, { 77, 77 } };
	enum { BLOCKS = 9000 };

	for (size_t i = 0; i < array_size(cases); i++) {
		struct copy_world cw;
		struct param_list l;
		uint8_t *expect = malloc(DISK_BLOCKS * 512);

		copy_world_create(&cw, 512);
		memcpy(expect, cw.w.disk.bytes, DISK_BLOCKS * 512);
		memmove(expect + cases[i].to * 512, expect + cases[i].from * 512, BLOCKS * 512);
		list_units(&cw, list_start(&l, 1));
		list_segment(&l, 0, cases[i].from, 0, cases[i].to, BLOCKS);
		CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
		CU_ASSERT(!memcmp(expect, cw.w.disk.bytes, DISK_BLOCKS * 512));
		copy_world_destroy(&cw);
		free(expect);
	}
}

static void backstores_that_clone(void)
{
	struct copy_world cw;
	struct param_list l;

	copy_world_create(&cw, 512);
	cw.clones = true;
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 1, 1, 2, 5000);
	disk_forget(&cw.w.disk);
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT_EQUAL(cw.cloned, 1);
	CU_ASSERT_EQUAL(cw.w.disk.requests, 0); /* no byte went through us */
	CU_ASSERT(!memcmp(cw.second.bytes + 2 * 512, cw.w.disk.bytes + 512, 5000 * 512));
	/* Nothing may stay in a cache. */
	atomic_store(&cw.lu2->mode.write_cache, false);
	disk_forget(&cw.second);
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT_EQUAL(cw.second.log[cw.second.requests - 1].opcode, BS_FLUSH);
	cw.second.fail[BS_FLUSH] = -EIO;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_END_FAILED);
	/* Overlapping ranges are not for them; forced writes when read and written. */
	cw.second.fail[BS_FLUSH] = 0;
	cw.second.bs.flush_failed = false;
	cw.cloned = 0;
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 1, 1, 1, 2, 2);
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT_EQUAL(cw.cloned, 0);
	CU_ASSERT_EQUAL(cw.second.log[cw.second.requests - 1].flags, BS_FUA);
	/* What fails as a clone is tried by hand. */
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 50, 1, 60, 2);
	cw.second.fail[BS_COPY] = -EIO;
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT(!memcmp(cw.second.bytes + 60 * 512, cw.w.disk.bytes + 50 * 512, 1024));
	copy_world_destroy(&cw);
}

/* --- Lists that are wrong */

enum which { LID1, LID4 };

/* A good list with one number changed. */
static const struct {
	enum which which;
	unsigned int at, width;
	uint32_t value, sense;
	int field; /* of the field pointer; -1: none */
} header_cases[] = {
	{ LID1, 1, 1, COPY_USAGE_RESERVED, SENSE_INVALID_LIST_FIELD, 1 },
	{ LID1, 1, 1, COPY_USAGE_NONE, SENSE_INVALID_LIST_FIELD, 0 }, /* identifier 1 */
	{ LID1, 2, 2, 65, SENSE_LIST_LENGTH, -1 },
	{ LID1, 2, 2, 96, SENSE_LIST_LENGTH, -1 },
	{ LID1, 2, 2, 0xffff, SENSE_LIST_LENGTH, -1 },
	{ LID1, 8, 4, 29, SENSE_LIST_LENGTH, -1 },
	{ LID1, 8, 4, 0xffffffff, SENSE_LIST_LENGTH, -1 }, /* as many segments as that is */
	{ LID1, 8, 4, 27, SENSE_LIST_LENGTH, -1 },
	{ LID1, 12, 4, 1, SENSE_LIST_LENGTH, -1 },
	{ LID1, 12, 4, 0xffffffff, SENSE_LIST_LENGTH, -1 },
	{ LID1, 16, 1, 0xe0, SENSE_CSCD_TYPE, 16 },
	{ LID1, 48, 1, 0xff, SENSE_CSCD_TYPE, 48 },
	{ LID1, 16 + 7, 1, 21, SENSE_INVALID_LIST_FIELD, 16 + 7 },
	{ LID1, 16 + 29, 3, 4096, SENSE_INVALID_LIST_FIELD, 16 + 29 },
	{ LID1, 80, 1, 0x00, SENSE_SEGMENT_TYPE, 80 },
	{ LID1, 80, 1, 0x03, SENSE_SEGMENT_TYPE, 80 },
	{ LID1, 80, 1, 0x0d, SENSE_SEGMENT_TYPE, 80 },
	{ LID1, 80, 1, 0xe4, SENSE_SEGMENT_TYPE, 80 },
	{ LID1, 82, 2, 0x17, SENSE_INVALID_LIST_FIELD, 82 },
	{ LID1, 82, 2, 0xffff, SENSE_INVALID_LIST_FIELD, 82 },
	{ LID4, 0, 1, 0, SENSE_INVALID_LIST_FIELD, 0 },
	{ LID4, 2, 2, 0, SENSE_INVALID_LIST_FIELD, 2 },
	{ LID4, 15, 1, COPY_LID4_IMMED, SENSE_INVALID_LIST_FIELD, 15 },
	{ LID4, 16, 1, 0xe4, SENSE_INVALID_LIST_FIELD, 16 },
	{ LID4, 1, 1, COPY_USAGE_NONE, SENSE_INVALID_LIST_FIELD, 20 },
	{ LID4, 42, 2, 96, SENSE_LIST_LENGTH, -1 },
	{ LID4, 44, 2, 0xffff, SENSE_LIST_LENGTH, -1 },
	{ LID4, 46, 2, 1, SENSE_LIST_LENGTH, -1 },
};

static void headers(void)
{
	for (size_t i = 0; i < array_size(header_cases); i++) {
		const struct sense_fixed *sense;
		struct copy_world cw;
		struct param_list l;
		struct command c;
		uint32_t got;

		copy_world_create(&cw, 512);
		list_units(&cw,
			   header_cases[i].which == LID4 ? list_start4(&l, 1) : list_start(&l, 1));
		list_segment(&l, 0, 0, 1, 0, 1);
		for (unsigned int byte = 0; byte < header_cases[i].width; byte++)
			l.b[header_cases[i].at + byte] =
				(uint8_t)(header_cases[i].value >>
					  8 * (header_cases[i].width - 1 - byte));
		got = copy_out_on(&cw, &cw.w.a, 0, list_cdb(&l), l.b, l.len, &c);
		if (got != header_cases[i].sense)
			fprintf(stderr, "case %zu: sense %06x\n", i, got);
		CU_ASSERT_EQUAL(got, header_cases[i].sense);
		sense = (const void *)c.task.sense;
		CU_ASSERT_EQUAL(sense->key_specific[0] & 0xc0,
				header_cases[i].field < 0 ? 0 : 0x80);
		if (header_cases[i].field >= 0)
			CU_ASSERT_EQUAL(get_be(sense->key_specific + 1, 2),
					(uint64_t)header_cases[i].field);
		CU_ASSERT_EQUAL(cw.second.bytes[0], 0xee);
		copy_world_destroy(&cw);
	}
}

static void list_is_shorter_than_it_says(void)
{
	struct copy_world cw;
	struct param_list l;

	copy_world_create(&cw, 512);
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 0, 1, 0, 1);
	for (uint32_t len = 1; len < l.len; len++) {
		struct command c;

		CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 0, cdb_copy_out(0, 0, len), l.b, len, &c),
				SENSE_LIST_LENGTH);
	}
	/* The initiator sends less than the CDB says; the CDB says more than may be. */
	struct cdb cdb = cdb_copy_out(0, 0, l.len);

	CU_ASSERT_EQUAL(outcome(&cw.w, cdb.b, DIR_WRITE, l.len - 1, l.b), SENSE_LIST_LENGTH);
	cdb = cdb_copy_out(0, 0, UINT32_MAX);
	CU_ASSERT_EQUAL(outcome(&cw.w, cdb.b, DIR_WRITE, l.len, l.b), SENSE_LIST_LENGTH);
	/* Inline data that is there is too much, too. */
	put32(l.b + 12, 4);
	l.len += 4;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_INLINE_DATA);
	CU_ASSERT_EQUAL(cw.second.bytes[0], 0xee);
	copy_world_destroy(&cw);
}

static void too_many_of_them(void)
{
	struct copy_world cw;
	struct param_list l;

	copy_world_create(&cw, 512);
	list_start(&l, 1);
	for (int i = 0; i < COPY_CSCDS; i++)
		list_cscd(&cw, &l, &cw.w.a, 1);
	for (int i = 0; i < COPY_SEGMENTS; i++)
		list_segment(&l, CSCD_OF_COPY_MANAGER, 10, (uint16_t)(i % COPY_CSCDS), (uint64_t)i,
			     1);
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT(!memcmp(cw.second.bytes + 63 * 512, cw.w.disk.bytes + 10 * 512, 512));
	list_segment(&l, 0, 0, 0, 0, 1);
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_TOO_MANY_SEGMENTS);
	list_start(&l, 1);
	for (int i = 0; i <= COPY_CSCDS; i++)
		list_cscd(&cw, &l, &cw.w.a, 1);
	list_segment(&l, 0, 0, 0, 0, 1);
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_TOO_MANY_CSCDS);
	/* Longer than any list may be. */
	list_units(&cw, list_start(&l, 1));
	for (int i = 0; l.len < 16 + COPY_LIST_MAX; i++)
		list_segment(&l, 0, 0, 0, 0, 1);
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_LIST_LENGTH);
	copy_world_destroy(&cw);
}

/* --- Segments that fail */

/* One good segment, then this one: the first is copied, the second answers. */
static uint32_t second_segment(struct copy_world *cw, struct param_list *l, struct command *c)
{
	CU_ASSERT_EQUAL(l->segments, 2);
	return copy_out_on(cw, &cw->w.a, 0, list_cdb(l), l->b, l->len, c);
}

static struct param_list *good_segment(struct copy_world *cw, struct param_list *l)
{
	list_units(cw, list_start(l, 1));
	list_segment(l, 0, 3, 1, 4, 1);
	return l;
}

static void ends_that_are_not_there(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;

	copy_world_create(&cw, 512);
	/* An index without descriptor. */
	list_segment(good_segment(&cw, &l), 0, 0, 2, 0, 1);
	CU_ASSERT_EQUAL(second_segment(&cw, &l, &c), SENSE_COPY_UNREACHABLE);
	assert_segment(&c, 1);
	CU_ASSERT(!memcmp(cw.second.bytes + 4 * 512, cw.w.disk.bytes + 3 * 512, 512));
	list_segment(good_segment(&cw, &l), 0xf800, 0, 1, 0, 1);
	CU_ASSERT_EQUAL(second_segment(&cw, &l, &c), SENSE_COPY_UNREACHABLE);
	/* A designator that nobody has, or of something else than a unit. */
	list_segment(good_segment(&cw, &l), 0, 0, 1, 0, 1);
	l.b[16 + 32 + 8]++;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_UNREACHABLE);
	list_segment(good_segment(&cw, &l), 0, 0, 1, 0, 1);
	l.b[16 + 32 + 5] |= DESIGNATOR_OF_PORT;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_UNREACHABLE);
	list_segment(good_segment(&cw, &l), 0, 0, 1, 0, 1);
	l.b[16 + 32 + 7] = 0;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_UNREACHABLE);
	/* Said to be a tape. */
	list_segment(good_segment(&cw, &l), 0, 0, 1, 0, 1);
	l.b[16 + 32 + 1] = 1;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_END_TYPE);
	copy_world_destroy(&cw);
}

/* CVE-2020-28374: the designators of other targets' units can be had or guessed. */
static void units_of_other_targets(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;
	uint8_t before[512];

	copy_world_create(&cw, 512);
	memcpy(before, cw.w.disk.bytes, sizeof(before));
	list_cscd(&cw, list_start(&l, 1), &cw.w.a, 0);
	list_cscd(&cw, &l, &cw.stranger, 0);
	list_segment(&l, 0, 0, 1, 0, 1);
	list_segment(&l, 1, 0, 0, 0, 1);
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_UNREACHABLE);
	CU_ASSERT_EQUAL(cw.foreign.requests, 0);
	/* Nor does it read from there. */
	list_cscd(&cw, list_start(&l, 1), &cw.w.a, 0);
	list_cscd(&cw, &l, &cw.stranger, 0);
	list_segment(&l, 1, 0, 0, 0, 1);
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_UNREACHABLE);
	CU_ASSERT(!memcmp(before, cw.w.disk.bytes, sizeof(before)));
	/* The one whose unit it is may. */
	l.b[0] = 2;
	put64(l.b + 16 + 64 + 20, 9); /* destination LBA */
	put16(l.b + 16 + 64 + 6, CSCD_OF_COPY_MANAGER);
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.stranger, 0, list_cdb(&l), l.b, l.len, &c), 0);
	CU_ASSERT_NOT_EQUAL(cw.foreign.requests, 0);
	copy_world_destroy(&cw);
}

static void ranges_that_are_not_there(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;

	copy_world_create(&cw, 512);
	list_segment(good_segment(&cw, &l), 0, 0, 1, DISK_BLOCKS - 1, 2);
	CU_ASSERT_EQUAL(second_segment(&cw, &l, &c), SENSE_COPY_ABORTED);
	assert_segment(&c, 1);
	assert_forwarded(&c, COPY_DESTINATION, SAM_CHECK_CONDITION, SENSE_LBA_RANGE);
	list_segment(good_segment(&cw, &l), 0, UINT64_MAX, 1, 0, 1);
	CU_ASSERT_EQUAL(second_segment(&cw, &l, &c), SENSE_COPY_ABORTED);
	assert_forwarded(&c, COPY_SOURCE, SAM_CHECK_CONDITION, SENSE_LBA_RANGE);
	list_segment(good_segment(&cw, &l), 0, UINT64_MAX >> 9, 1, 1ull << 55, 0xffff);
	CU_ASSERT_EQUAL(second_segment(&cw, &l, &c), SENSE_COPY_ABORTED);
	CU_ASSERT_EQUAL(cw.second.bytes[(DISK_BLOCKS - 1) * 512], 0xee);
	copy_world_destroy(&cw);
}

static void blocks_of_two_sizes(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;

	copy_world_create(&cw, 4096);
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 8, 1, 2, 16); /* two of the large ones */
	list_segment(&l, 0, 8, 1, 1, 1)->flags = SEGMENT_DC; /* one of the large ones */
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	CU_ASSERT(!memcmp(cw.second.bytes + 2 * 4096, cw.w.disk.bytes + 8 * 512, 2 * 4096));
	CU_ASSERT(!memcmp(cw.second.bytes + 4096, cw.w.disk.bytes + 8 * 512, 4096));
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 1, 0, 0, 0, 1);
	list_segment(&l, 0, 0, 1, 10, 9);
	CU_ASSERT_EQUAL(second_segment(&cw, &l, &c), SENSE_COPY_INEXACT);
	assert_segment(&c, 1);
	CU_ASSERT_EQUAL(cw.second.bytes[10 * 4096], 0xee);
	copy_world_destroy(&cw);
}

static void who_may_not(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;

	copy_world_create(&cw, 512);
	list_segment(good_segment(&cw, &l), 0, 0, 1, 0, 1);
	/* Another nexus has reserved the destination, for writing; then the source, for all. */
	atomic_store(&cw.w.a.denied[1], 1 << RSV_WRITE);
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 0, list_cdb(&l), l.b, l.len, &c),
			SENSE_COPY_END_FAILED);
	assert_segment(&c, 0);
	assert_forwarded(&c, COPY_DESTINATION, SAM_RESERVATION_CONFLICT, 0);
	CU_ASSERT_EQUAL(cw.second.requests, 0);
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 1, 0, 0, 5, 1);
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0); /* reading there is allowed */
	atomic_store(&cw.w.a.denied[1], 1 << RSV_WRITE | 1 << RSV_READ);
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 0, list_cdb(&l), l.b, l.len, &c),
			SENSE_COPY_END_FAILED);
	assert_forwarded(&c, COPY_SOURCE, SAM_RESERVATION_CONFLICT, 0);
	/* The unit that gets the command is reserved itself. */
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 1, list_cdb(&l), l.b, l.len, &c), UINT32_MAX);
	CU_ASSERT_EQUAL(c.task.status, SAM_RESERVATION_CONFLICT);
	atomic_store(&cw.w.a.denied[1], 0);
	/* Not even a block onto itself. */
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 1, 0, 1, 0, 1);
	lu_set(cw.lu2, LU_SOFT_PROTECTED);
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 0, list_cdb(&l), l.b, l.len, &c),
			SENSE_COPY_END_FAILED);
	assert_forwarded(&c, COPY_DESTINATION, SAM_CHECK_CONDITION, SENSE_SOFT_PROTECTED);
	lu_clear(cw.lu2, LU_SOFT_PROTECTED);
	lu_set(cw.lu2, LU_STOPPED);
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 0, list_cdb(&l), l.b, l.len, &c),
			SENSE_COPY_END_FAILED);
	assert_forwarded(&c, COPY_SOURCE, SAM_CHECK_CONDITION, SENSE_NEEDS_START);
	lu_clear(cw.lu2, LU_STOPPED);
	/* The unit goes away while the list is on its way. */
	cw.w.target.lun[1] = NULL;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_COPY_UNREACHABLE);
	cw.w.target.lun[1] = cw.lu2;
	copy_world_destroy(&cw);
}

UNIT_MAIN(TEST(all_that_is_right), TEST(found_by_the_t10_name), TEST(a_large_copy_in_chunks),
	  TEST(overlaps_are_memmove), TEST(backstores_that_clone), TEST(headers),
	  TEST(list_is_shorter_than_it_says), TEST(too_many_of_them), TEST(ends_that_are_not_there),
	  TEST(units_of_other_targets), TEST(ranges_that_are_not_there), TEST(blocks_of_two_sizes),
	  TEST(who_may_not));
