// SPDX-License-Identifier: BSD-2-Clause
/* MODE SENSE: header, descriptors, pages, subpages, what PC asks for. Truthful values. */
#include "fake_store.h"
#include "scsi/pages.h"
#include "scsi_port.h"

enum { BLOCK6 = 4, PAGES6 = 12, SERIAL_LUN = 0 };

static void sense6(struct world *w, struct command *c, uint8_t pc, uint8_t page, uint8_t subpage)
{
	const uint8_t cdb[CDB_MAX] = { CDB_MODE_SENSE_6, MODE_SENSE_DBD, (uint8_t)(pc << 6 | page),
				       subpage, 255 };

	command_run(w, c, cdb, DIR_READ, 255, NULL);
}

/* The whole page behind the header of MODE SENSE (6) without descriptor. */
static const uint8_t *page_of(const struct command *c)
{
	return c->in + sizeof(struct mode_header6);
}

static void world_with(struct world *w, struct fake_store *store, bool space)
{
	struct lu_config cfg = { .bs = &w->disk.bs,
				 .serial = "0123456789abcdef",
				 .product = "disk",
				 .reactors = 1,
				 .store = store ? &store->store : NULL };

	world_init(w, 512);
	w->disk.bs.limits.can_report_space = space;
	CU_ASSERT_FATAL(lu_create(&cfg, &w->lu, (char[256]){ 0 }, 256) == 0);
	w->target.lun[0] = w->lu;
	nexus_join(w, &w->a, "a");
	nexus_join(w, &w->b, "b");
}

static void which_pages(void)
{
	static const struct {
		uint8_t cdb[CDB_MAX];
		uint32_t sense, len, page_at;
		uint8_t first, bad_byte;
	} rows[] = {
		{ { CDB_MODE_SENSE_6, 0, 0x01, 0, 255 }, 0, 4 + 8 + 12, 12, 0x01, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x08, 0, 255 }, 0, 4 + 8 + 20, 12, 0x08, 0 },
		{ { CDB_MODE_SENSE_6, 8, 0x08, 0, 255 }, 0, 4 + 20, 4, 0x08, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x0a, 0, 255 }, 0, 4 + 8 + 12, 12, 0x0a, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x0a, 1, 255 }, 0, 4 + 8 + 32, 12, 0x4a, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x0a, 0xff, 255 }, 0, 4 + 8 + 44, 12, 0x0a, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x1a, 0, 255 }, 0, 4 + 8 + 40, 12, 0x1a, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x1c, 0, 255 }, 0, 4 + 8 + 12, 12, 0x1c, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x1c, 2, 255 }, 0, 4 + 8 + 32, 12, 0x5c, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x3f, 0, 255 }, 0, 4 + 8 + 96, 12, 0x01, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x3f, 0xff, 255 }, 0, 4 + 8 + 160, 12, 0x01, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x88, 0, 255 }, 0, 4 + 8 + 20, 12, 0x08, 0 },
		{ { CDB_MODE_SENSE_10, 0, 0x08, [8] = 255 }, 0, 8 + 8 + 20, 16, 0x08, 0 },
		{ { CDB_MODE_SENSE_10, 0x10, 0x08, [8] = 255 }, 0, 8 + 16 + 20, 24, 0x08, 0 },
		{ { CDB_MODE_SENSE_10, 0x18, 0x08, [8] = 255 }, 0, 8 + 20, 8, 0x08, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0xc8, 0, 255 }, SENSE_NO_SAVED_PARAMETERS, 0, 0, 0, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0xff, 0, 255 }, SENSE_NO_SAVED_PARAMETERS, 0, 0, 0, 0 },
		{ { CDB_MODE_SENSE_6, 0, 0x02, 0, 255 }, SENSE_INVALID_CDB_FIELD, 0, 0, 0, 2 },
		{ { CDB_MODE_SENSE_6, 0, 0x00, 0, 255 }, SENSE_INVALID_CDB_FIELD, 0, 0, 0, 2 },
		{ { CDB_MODE_SENSE_6, 0, 0x02, 0xff, 255 }, SENSE_INVALID_CDB_FIELD, 0, 0, 0, 2 },
		{ { CDB_MODE_SENSE_6, 0, 0x0a, 2, 255 }, SENSE_INVALID_CDB_FIELD, 0, 0, 0, 3 },
		{ { CDB_MODE_SENSE_6, 0, 0x3f, 3, 255 }, SENSE_INVALID_CDB_FIELD, 0, 0, 0, 3 },
	};
	struct world w;

	world_with(&w, NULL, true);
	for (size_t i = 0; i < array_size(rows); i++) {
		bool ten = rows[i].cdb[0] == CDB_MODE_SENSE_10;
		struct command c;

		command_run(&w, &c, rows[i].cdb, DIR_READ, 255, NULL);
		CU_ASSERT_EQUAL(command_sense(&c), rows[i].sense);
		CU_ASSERT_EQUAL(c.in_len, rows[i].len);
		if (rows[i].bad_byte)
			CU_ASSERT_EQUAL(get_be(c.task.sense + 16, 2), rows[i].bad_byte);
		if (!rows[i].sense) {
			CU_ASSERT_EQUAL(get_be(c.in, ten ? 2 : 1), c.in_len - (ten ? 2u : 1u));
			CU_ASSERT_EQUAL(c.in[ten ? 3 : 2], MODE_DPOFUA);
			CU_ASSERT_EQUAL(c.in[rows[i].page_at], rows[i].first);
			CU_ASSERT_EQUAL(c.in[ten ? 7 : 3], rows[i].page_at - (ten ? 8 : 4));
		}
		command_free(&c);
	}
	world_destroy(&w);
}

/* Each length field leads to the next page, and the codes ascend. */
static void pages_form_a_list(void)
{
	static const uint8_t cdb[CDB_MAX] = { CDB_MODE_SENSE_10, MODE_SENSE_DBD, MODE_PAGE_ALL,
					      MODE_SUBPAGE_ALL, [7] = 2 };
	unsigned int count = 0, before = 0;
	struct command c;
	struct world w;
	uint32_t at;

	world_with(&w, NULL, true);
	command_run(&w, &c, cdb, DIR_READ, 512, NULL);
	ASSERT_GOOD(&c);
	for (at = sizeof(struct mode_header10); at < c.in_len; count++) {
		const uint8_t *page = c.in + at;
		bool spf = page[0] & MODE_SPF;
		unsigned int code = (page[0] & 0x3fu) << 8 | (spf ? page[1] : 0);

		CU_ASSERT(code > before);
		before = code;
		at += spf ? 4 + (uint32_t)get_be(page + 2, 2) : 2u + page[1];
	}
	CU_ASSERT_EQUAL(at, c.in_len);
	CU_ASSERT_EQUAL(count, MODE_PAGES);
	command_free(&c);
	world_destroy(&w);
}

static void block_descriptors(void)
{
	static const uint8_t longlba[CDB_MAX] = { CDB_MODE_SENSE_10, 0x10, 0x08, [8] = 255 };
	static const uint8_t plain[CDB_MAX] = { CDB_MODE_SENSE_6, 0, 0x08, 0, 255 };
	struct command c;
	struct world w;

	world_init(&w, 4096);
	w.disk.bs.limits.size = 4096ull << 33;
	world_open(&w);
	command_run(&w, &c, plain, DIR_READ, 255, NULL);
	CU_ASSERT_EQUAL(get_be(c.in + BLOCK6, 4), UINT32_MAX);
	CU_ASSERT_EQUAL(get_be(c.in + BLOCK6 + 4, 4), 4096);
	command_free(&c);
	command_run(&w, &c, longlba, DIR_READ, 255, NULL);
	CU_ASSERT_EQUAL(c.in[4], MODE_LONGLBA);
	CU_ASSERT_EQUAL(get_be(c.in + 8, 8), 1ull << 33);
	CU_ASSERT_EQUAL(get_be(c.in + 20, 4), 4096);
	command_free(&c);
	world_destroy(&w);
}

/* Current, changeable and default bytes of a unit with a cache and one without, read-only or not. */
static void caching_and_write_protection(void)
{
	for (int i = 0; i < 4; i++) {
		uint8_t wce = i & 1 ? MODE_CACHING_WCE : 0;
		struct command c;
		struct world w;

		world_init(&w, 512);
		w.disk.bs.limits.volatile_cache = i & 1;
		w.disk.bs.limits.read_only = i & 2;
		world_open(&w);
		CU_ASSERT_EQUAL(atomic_load(&w.lu->mode.write_cache), (i & 1) == 1);
		for (uint8_t pc = MODE_CURRENT; pc <= MODE_DEFAULT; pc++) {
			sense6(&w, &c, pc, MODE_PAGE_CACHING, 0);
			CU_ASSERT_EQUAL(c.in[2], (i & 2 ? 0x80 : 0) | 0x10);
			CU_ASSERT_EQUAL(get_be(page_of(&c), 2), 0x0812);
			CU_ASSERT_EQUAL(page_of(&c)[2], wce);
			for (unsigned int k = 3; k < 20; k++)
				CU_ASSERT_EQUAL(page_of(&c)[k], 0);
			command_free(&c);
		}
		world_destroy(&w);
	}
}

static void control_pages(void)
{
	static const struct {
		uint8_t pc, protection;
		uint8_t bytes[12];
	} rows[] = {
		{ MODE_CURRENT, 0, { 0x0a, 10, 0x22, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0 } },
		{ MODE_DEFAULT, 0, { 0x0a, 10, 0x22, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0 } },
		{ MODE_CHANGEABLE, 0, { 0x0a, 10, 0x04, 0x06, 0x08, 0x40, 0, 0, 0, 0, 0, 0 } },
		/* ATO: the application tag is the initiator's. */
		{ MODE_CURRENT, 1, { 0x0a, 10, 0x22, 0x10, 0, 0x80, 0, 0, 0xff, 0xff, 0, 0 } },
		{ MODE_CHANGEABLE, 1, { 0x0a, 10, 0x04, 0x06, 0x08, 0x40, 0, 0, 0, 0, 0, 0 } },
	};
	struct command c;
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		w.lu->protection = rows[i].protection;
		sense6(&w, &c, rows[i].pc, MODE_PAGE_CONTROL, 0);
		CU_ASSERT(!memcmp(page_of(&c), rows[i].bytes, 12));
		command_free(&c);
	}
	w.lu->protection = 0;
	sense6(&w, &c, MODE_CURRENT, MODE_PAGE_CONTROL, MODE_SUBPAGE_EXTENSION);
	CU_ASSERT_EQUAL(get_be(page_of(&c), 4), 0x4a01001c);
	CU_ASSERT_EQUAL(page_of(&c)[4], 0x07);
	command_free(&c);
	sense6(&w, &c, MODE_CHANGEABLE, MODE_PAGE_CONTROL, MODE_SUBPAGE_EXTENSION);
	for (unsigned int k = 4; k < 32; k++)
		CU_ASSERT_EQUAL(page_of(&c)[k], 0);
	command_free(&c);
	world_destroy(&w);
}

/* Thresholds are there when the space can be told. */
static void provisioning_pages(void)
{
	for (int space = 0; space < 2; space++) {
		struct command c;
		struct world w;

		world_with(&w, NULL, space);
		CU_ASSERT_EQUAL(lu_threshold_exponent(w.lu), space ? 11 : 0);
		sense6(&w, &c, MODE_CURRENT, MODE_PAGE_RW_RECOVERY, 0);
		CU_ASSERT_EQUAL(get_be(page_of(&c), 2), 0x010a);
		CU_ASSERT_EQUAL(page_of(&c)[7], space ? MODE_LBPERE : 0);
		command_free(&c);
		sense6(&w, &c, MODE_CURRENT, MODE_PAGE_EXCEPTIONS, 0);
		CU_ASSERT_EQUAL(get_be(page_of(&c), 4), 0x1c0a0800);
		command_free(&c);
		sense6(&w, &c, MODE_CHANGEABLE, MODE_PAGE_EXCEPTIONS, MODE_SUBPAGE_PROVISIONING);
		CU_ASSERT_EQUAL(command_sense(&c), space ? 0 : SENSE_INVALID_CDB_FIELD);
		if (space) {
			CU_ASSERT_EQUAL(get_be(page_of(&c), 4), 0x5c02001c);
			CU_ASSERT_EQUAL(get_be(page_of(&c) + 16, 8), 0x80000000ffffffffull);
			CU_ASSERT_EQUAL(get_be(page_of(&c) + 24, 8), 0x80000000ffffffffull);
		}
		command_free(&c);
		if (space) {
			sense6(&w, &c, MODE_DEFAULT, MODE_PAGE_EXCEPTIONS,
			       MODE_SUBPAGE_PROVISIONING);
			CU_ASSERT_EQUAL(get_be(page_of(&c) + 16, 8), 0x0001000000000000ull);
			CU_ASSERT_EQUAL(get_be(page_of(&c) + 24, 8), 0x0102000000000000ull);
			command_free(&c);
		}
		world_destroy(&w);
	}
}

/* With a store every page is saveable (PS), and saved values begin as the default ones. */
static void saveable_pages(void)
{
	struct fake_store store;
	struct command c;
	struct world w;

	fake_store_init(&store);
	world_with(&w, &store, false);
	for (uint8_t pc = MODE_CURRENT; pc <= MODE_SAVED; pc++) {
		sense6(&w, &c, pc, MODE_PAGE_CACHING, 0);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(page_of(&c)[0], MODE_PS | MODE_PAGE_CACHING);
		CU_ASSERT_EQUAL(page_of(&c)[2], MODE_CACHING_WCE);
		command_free(&c);
	}
	world_destroy(&w);
}

/* --- Records */

static const char good_record[] =
	"riser mode pages 1\n"
	"08/00 88 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n"
	"0a/00 8a 0a 26 16 08 40 00 00 ff ff 00 00\n";

static int create(struct fake_store *store, struct world *w)
{
	struct lu_config cfg = { .bs = &w->disk.bs,
				 .serial = "a b/c",
				 .product = "disk",
				 .reactors = 1,
				 .store = &store->store };
	char why[256] = "";
	int err;

	err = lu_create(&cfg, &w->lu, why, sizeof(why));
	if (err)
		CU_ASSERT(why[0] != '\0' && !strchr(why, '\n'));
	return err;
}

static void saved_values_are_there_from_the_start(void)
{
	struct fake_store store;
	char name[STORE_NAME_MAX];
	struct command c;
	struct world w;

	fake_store_init(&store);
	store_record_name(name, "mode", "a b/c");
	fake_store_put(&store, name, good_record, sizeof(good_record) - 1);
	world_init(&w, 512);
	CU_ASSERT_FATAL(create(&store, &w) == 0);
	w.target.lun[0] = w.lu;
	nexus_join(&w, &w.a, "a");
	nexus_join(&w, &w.b, "b");
	CU_ASSERT(!atomic_load(&w.lu->mode.write_cache));
	CU_ASSERT(atomic_load(&w.lu->mode.d_sense));
	CU_ASSERT(atomic_load(&w.lu->mode.tas));
	CU_ASSERT_EQUAL(atomic_load(&w.lu->mode.qerr), QERR_NEXUS);
	CU_ASSERT(lu_is(w.lu, LU_SOFT_PROTECTED));
	sense6(&w, &c, MODE_SAVED, MODE_PAGE_CONTROL, 0);
	CU_ASSERT_EQUAL(get_be(page_of(&c), 6), 0x8a0a26160840);
	command_free(&c);
	sense6(&w, &c, MODE_DEFAULT, MODE_PAGE_CONTROL, 0);
	CU_ASSERT_EQUAL(get_be(page_of(&c), 6), 0x8a0a22100000);
	command_free(&c);
	world_destroy(&w);
}

/* Nobody serves a disk with a guess about what was saved. */
static void damaged_records_stop_the_start(void)
{
	static const char *const bad[] = {
		"",
		"riser mode pages 1",
		"riser mode pages 2\n",
		"riser mode pages 1\n\n",
		"riser mode pages 1\n0a/00 8a 0a 26 16 08 40 00 00 ff ff 00 00",
		"riser mode pages 1\n0a/00 8a 0a 26 16 08 40 00 00 ff ff 00\n",
		"riser mode pages 1\n0a/00 8a 0a 26 16 08 40 00 00 ff ff 00 00 00\n",
		"riser mode pages 1\n0a/00 8a 0a 24 14 08 40 00 00 ff ff 00 00\n", /* QERR 2 */
		"riser mode pages 1\n0a 8a 0a 26 16 08 40 00 00 ff ff 00 00\n",
		"riser mode pages 1\n0A/00 8a 0a 26 16 08 40 00 00 ff ff 00 00\n",
		"riser mode pages 1\n0a/00 8a 0a 26 16 08 40 00 00 ff ff 00  0\n",
		"riser mode pages 1\n33/00 b3 00\n",
		("riser mode pages 1\n0a/00 8a 0a 26 16 08 40 00 00 ff ff 00 00\n"
		 "0a/00 8a 0a 26 16 08 40 00 00 ff ff 00 00\n"),
	};
	struct fake_store store;
	char name[STORE_NAME_MAX];
	struct world w;

	world_create(&w);
	lu_destroy(w.lu);
	store_record_name(name, "mode", "a b/c");
	for (size_t i = 0; i < array_size(bad); i++) {
		fake_store_init(&store);
		fake_store_put(&store, name, bad[i], strlen(bad[i]));
		CU_ASSERT_EQUAL(create(&store, &w), -EBADMSG);
	}
	/* Zeros, and more bytes on a line than any page has. */
	fake_store_init(&store);
	fake_store_put(&store, name, good_record, sizeof(good_record));
	CU_ASSERT_EQUAL(create(&store, &w), -EBADMSG);
	for (size_t i = 24; i < 4000; i++)
		store.record[0].text[i] = " 00"[i % 3];
	store.record[0].len = 4000;
	CU_ASSERT_EQUAL(create(&store, &w), -EBADMSG);
	fake_store_init(&store);
	store.load_fails = -EIO;
	CU_ASSERT_EQUAL(create(&store, &w), -EIO);
	store.load_fails = 0;
	CU_ASSERT_EQUAL_FATAL(create(&store, &w), 0);
	w.target.lun[0] = w.lu;
	world_destroy(&w);
}

UNIT_MAIN(TEST(which_pages), TEST(pages_form_a_list), TEST(block_descriptors),
	  TEST(caching_and_write_protection), TEST(control_pages), TEST(provisioning_pages),
	  TEST(saveable_pages), TEST(saved_values_are_there_from_the_start),
	  TEST(damaged_records_stop_the_start));
