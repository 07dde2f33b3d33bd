// SPDX-License-Identifier: BSD-2-Clause
/* LOG SENSE and LOG SELECT: which pages, what they count, resets; provisioning thresholds. */
#include "scsi/pages.h"
#include "scsi_port.h"

enum { MIB = 1 << 20 };

/* The disk of scsi_port.h that also knows its space. */
static uint64_t used, available;
static unsigned int looks;

static bool submit(struct backstore *bs, struct bs_req *req)
{
	if (req->opcode != BS_SPACE || container_of(bs, struct disk, bs)->hold)
		return disk_submit(bs, req);
	looks++;
	req->space.used = used;
	req->space.available = available;
	req->res = container_of(bs, struct disk, bs)->fail[BS_SPACE];
	return true;
}

static const struct bs_driver driver = { .name = "test", .submit = submit, .borrow = disk_borrow };

static void world_with_space(struct world *w, bool space)
{
	looks = 0;
	used = 10ull * MIB;
	available = 90ull * MIB;
	world_init(w, 512);
	w->disk.bs.driver = &driver;
	w->disk.bs.limits.can_report_space = space;
	world_open(w);
}

static struct cdb cdb_log(uint8_t pc, uint8_t page, uint8_t subpage, uint16_t pointer)
{
	struct cdb c = { { CDB_LOG_SENSE, 0, (uint8_t)(pc << 6 | page), subpage } };

	put16(c.b + 5, pointer);
	put16(c.b + 7, 4096);
	return c;
}

static void log_sense(struct world *w, struct command *c, uint8_t pc, uint8_t page)
{
	struct cdb cdb = cdb_log(pc, page, 0, 0);

	command_run(w, c, cdb.b, DIR_READ, 4096, NULL);
	ASSERT_GOOD(c);
}

/* The parameter with this code, behind its head; NULL: there is none. */
static const uint8_t *parameter(const struct command *c, uint16_t code)
{
	for (uint32_t at = 4; at + 4 <= c->in_len; at += 4u + c->in[at + 3]) {
		if (get_be(c->in + at, 2) == code)
			return c->in + at + 4;
	}
	return NULL;
}

/* Eight bytes of a parameter. */
static uint64_t counter(struct world *w, uint8_t pc, uint8_t page, uint16_t code, unsigned int at)
{
	struct command c;
	const uint8_t *p;
	uint64_t value;

	log_sense(w, &c, pc, page);
	p = parameter(&c, code);
	CU_ASSERT_FATAL(p != NULL);
	value = get_be(p + at, 8);
	command_free(&c);
	return value;
}

static void supported_pages(void)
{
	static const uint8_t plain[] = { 0x00, 0x02, 0x03, 0x05, 0x0c, 0x0d, 0x19, 0x2f };
	static const uint8_t subpages[] = { 0, 0,    0, 0xff, 2, 0,    3, 0,	5,
					    0, 0x0c, 0, 0x0d, 0, 0x19, 0, 0x2f, 0 };
	struct cdb all = cdb_log(0, 0, 0xff, 0);
	struct command c, page;
	struct world w;

	world_with_space(&w, true);
	log_sense(&w, &c, 0, 0);
	CU_ASSERT_EQUAL(get_be(c.in, 4), 0x80000000 | sizeof(plain));
	CU_ASSERT_EQUAL_FATAL(c.in_len, 4 + sizeof(plain));
	CU_ASSERT(!memcmp(c.in + 4, plain, sizeof(plain)));
	for (size_t i = 0; i < sizeof(plain); i++) {
		log_sense(&w, &page, LOG_CUMULATIVE, plain[i]);
		CU_ASSERT_EQUAL(page.in[0], 0x80 | plain[i]);
		CU_ASSERT_EQUAL(page.in[1], 0);
		CU_ASSERT_EQUAL(get_be(page.in + 2, 2) + 4, page.in_len);
		command_free(&page);
	}
	command_free(&c);
	command_run(&w, &c, all.b, DIR_READ, 4096, NULL);
	CU_ASSERT_EQUAL(get_be(c.in, 4), 0xc0ff0000 | sizeof(subpages));
	CU_ASSERT_EQUAL_FATAL(c.in_len, 4 + sizeof(subpages));
	CU_ASSERT(!memcmp(c.in + 4, subpages, sizeof(subpages)));
	command_free(&c);
	world_destroy(&w);

	/* Without a way to tell the space there is no page of it. */
	world_with_space(&w, false);
	log_sense(&w, &c, 0, 0);
	CU_ASSERT_EQUAL(c.in_len, 4 + sizeof(plain) - 1);
	command_free(&c);
	all = cdb_log(LOG_CUMULATIVE, LOG_PAGE_PROVISIONING, 0, 0);
	CU_ASSERT_EQUAL(outcome(&w, all.b, DIR_READ, 4096, NULL), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(looks, 0);
	world_destroy(&w);
}

/* S13. */
static void what_is_refused(void)
{
	static const struct {
		uint8_t page, subpage, ppc_sp;
		uint16_t pointer;
		uint32_t sense;
		uint8_t byte;
	} rows[] = {
		{ 0x02, 0, 0, 6, 0, 0 },
		{ 0x02, 0, 0, 7, SENSE_INVALID_CDB_FIELD, 5 },
		{ 0x00, 0, 0, 1, SENSE_INVALID_CDB_FIELD, 5 },
		{ 0x19, 0, 0, 4, SENSE_INVALID_CDB_FIELD, 5 },
		{ 0x2f, 0, 0, 0xffff, SENSE_INVALID_CDB_FIELD, 5 },
		{ 0x01, 0, 0, 0, SENSE_INVALID_CDB_FIELD, 2 },
		{ 0x3f, 0, 0, 0, SENSE_INVALID_CDB_FIELD, 2 },
		{ 0x3f, 0xff, 0, 0, SENSE_INVALID_CDB_FIELD, 2 },
		{ 0x00, 1, 0, 0, SENSE_INVALID_CDB_FIELD, 3 },
		{ 0x19, 0xff, 0, 0, SENSE_INVALID_CDB_FIELD, 3 },
		{ 0x02, 0, 1, 0, SENSE_INVALID_CDB_FIELD, 1 },
		{ 0x02, 0, 2, 0, SENSE_INVALID_CDB_FIELD, 1 },
	};
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb =
			cdb_log(LOG_CUMULATIVE, rows[i].page, rows[i].subpage, rows[i].pointer);
		struct command c;

		cdb.b[1] = rows[i].ppc_sp;
		command_run(&w, &c, cdb.b, DIR_READ, 4096, NULL);
		CU_ASSERT_EQUAL(command_sense(&c), rows[i].sense);
		if (rows[i].sense)
			CU_ASSERT_EQUAL(get_be(c.task.sense + 16, 2), rows[i].byte);
		command_free(&c);
	}
	world_destroy(&w);
}

static void the_pointer_names_the_first_parameter(void)
{
	struct cdb cdb = cdb_log(LOG_CUMULATIVE, LOG_PAGE_READ_ERRORS, 0, LOG_ERROR_BYTES);
	struct command c;
	struct world w;

	world_create(&w);
	command_run(&w, &c, cdb.b, DIR_READ, 4096, NULL);
	CU_ASSERT_EQUAL(c.in_len, 4 + 2 * 12);
	CU_ASSERT(parameter(&c, LOG_ERROR_BYTES) && parameter(&c, LOG_ERROR_UNCORRECTED));
	CU_ASSERT(!parameter(&c, 4));
	command_free(&c);
	world_destroy(&w);
}

static uint32_t run(struct world *w, uint8_t opcode, uint32_t blocks)
{
	struct cdb cdb = cdb_rw(opcode, 0, 0, blocks);
	uint8_t *data = pattern(blocks * 512, 1);
	bool reads = opcode == CDB_READ_10;
	uint32_t sense = outcome(w, cdb.b, reads ? DIR_READ : DIR_WRITE,
				 opcode == CDB_VERIFY_10 ? 0 : blocks * 512, data);

	free(data);
	return sense;
}

static void counters_count(void)
{
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(run(&w, CDB_READ_10, 3), 0);
	CU_ASSERT_EQUAL(run(&w, CDB_READ_10, 1), 0);
	CU_ASSERT_EQUAL(run(&w, CDB_WRITE_10, 8), 0);
	CU_ASSERT_EQUAL(run(&w, CDB_VERIFY_10, 5), 0);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_STATISTICS, 1, 0), 2);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_STATISTICS, 1, 8), 1);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_STATISTICS, 1, 16), 8);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_STATISTICS, 1, 24), 4);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_READ_ERRORS, LOG_ERROR_BYTES, 0), 4 * 512);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_WRITE_ERRORS, LOG_ERROR_BYTES, 0), 8 * 512);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_VERIFY_ERRORS, LOG_ERROR_BYTES, 0), 5 * 512);
	w.disk.fail[BS_READ] = w.disk.fail[BS_WRITE] = -EIO;
	CU_ASSERT_EQUAL(run(&w, CDB_READ_10, 1), SENSE_READ_ERROR);
	CU_ASSERT_EQUAL(run(&w, CDB_WRITE_10, 1), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(run(&w, CDB_WRITE_10, 1), SENSE_WRITE_ERROR);
	CU_ASSERT_EQUAL(run(&w, CDB_VERIFY_10, 1), SENSE_READ_ERROR);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_READ_ERRORS, LOG_ERROR_UNCORRECTED, 0), 1);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_WRITE_ERRORS, LOG_ERROR_UNCORRECTED, 0), 2);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_VERIFY_ERRORS, LOG_ERROR_UNCORRECTED, 0), 1);
	/* PC: thresholds nobody has set, and default values. */
	CU_ASSERT_EQUAL(counter(&w, LOG_THRESHOLD, LOG_PAGE_READ_ERRORS, 6, 0), UINT64_MAX);
	CU_ASSERT_EQUAL(counter(&w, LOG_DEFAULT_THRESHOLD, LOG_PAGE_READ_ERRORS, 6, 0), UINT64_MAX);
	CU_ASSERT_EQUAL(counter(&w, LOG_DEFAULT_CUMULATIVE, LOG_PAGE_READ_ERRORS, 6, 0), 0);
	world_destroy(&w);
}

static void what_is_not_measured_says_so(void)
{
	struct command c;
	struct world w;

	world_create(&w);
	log_sense(&w, &c, 1, LOG_PAGE_TEMPERATURE);
	CU_ASSERT_EQUAL(parameter(&c, 0)[1], 0xff);
	CU_ASSERT_EQUAL(parameter(&c, 1)[1], 0xff);
	command_free(&c);
	log_sense(&w, &c, 1, LOG_PAGE_STATISTICS);
	CU_ASSERT_EQUAL(c.in_len, 4 + 68 + 12 + 12);
	CU_ASSERT_EQUAL(get_be(parameter(&c, 3), 8), 0);
	command_free(&c);
	log_sense(&w, &c, 1, LOG_PAGE_EXCEPTIONS);
	CU_ASSERT_EQUAL(get_be(parameter(&c, 0), 4), 0x0000ffff);
	command_free(&c);
	atomic_store(&w.disk.bs.flush_failed, true);
	log_sense(&w, &c, 1, LOG_PAGE_EXCEPTIONS);
	CU_ASSERT_EQUAL(get_be(parameter(&c, 0), 4), 0x5d00ffff);
	command_free(&c);
	world_destroy(&w);
}

/* --- LOG SELECT */

static uint32_t log_select(struct world *w, uint8_t flags, uint8_t pc_page, uint8_t subpage,
			   uint16_t len)
{
	struct cdb cdb = { { CDB_LOG_SELECT, flags, pc_page, subpage } };

	put16(cdb.b + 7, len);
	return outcome(w, cdb.b, DIR_WRITE, len, cdb.b);
}

static void counters_are_reset(void)
{
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(run(&w, CDB_READ_10, 3), 0);
	CU_ASSERT_EQUAL(run(&w, CDB_WRITE_10, 3), 0);
	/* Of one page. */
	CU_ASSERT_EQUAL(log_select(&w, LOG_SELECT_PCR, LOG_PAGE_READ_ERRORS, 0, 0), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_LOG_CHANGED);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_READ_ERRORS, LOG_ERROR_BYTES, 0), 0);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_WRITE_ERRORS, LOG_ERROR_BYTES, 0), 3 * 512);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_STATISTICS, 1, 0), 1);
	/* They go on from there. */
	CU_ASSERT_EQUAL(run(&w, CDB_READ_10, 2), 0);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_READ_ERRORS, LOG_ERROR_BYTES, 0), 2 * 512);
	/* All, by the other way: cumulative values become their defaults. */
	CU_ASSERT_EQUAL(log_select(&w, 0, LOG_DEFAULT_CUMULATIVE << 6, 0, 0), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_LOG_CHANGED);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_WRITE_ERRORS, LOG_ERROR_BYTES, 0), 0);
	CU_ASSERT_EQUAL(counter(&w, 1, LOG_PAGE_STATISTICS, 1, 8), 0);
	/* Thresholds are what they are. */
	CU_ASSERT_EQUAL(log_select(&w, 0, LOG_DEFAULT_THRESHOLD << 6, 0, 0), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	/* What the operator reads is not touched. */
	CU_ASSERT_EQUAL(lu_stats(w.lu, 0)->read_bytes, 5 * 512);
	CU_ASSERT_EQUAL(log_select(&w, LOG_SELECT_PCR, 0x01, 0, 0), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(log_select(&w, LOG_SELECT_PCR, 0x02, 1, 0), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(log_select(&w, LOG_SELECT_PCR | 1, 0, 0, 0), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(log_select(&w, 0, LOG_CUMULATIVE << 6, 0, 4), SENSE_INVALID_CDB_FIELD);
	world_destroy(&w);
}

/* --- Thresholds */

/* Enables the thresholds with these counts; UINT32_MAX: not this one. */
static uint32_t set_thresholds(struct world *w, uint32_t low, uint32_t high)
{
	uint8_t list[4 + 32] = { 0, 0, 0, 0, 0x5c, 0x02, 0, 28 };
	struct cdb cdb = { { CDB_MODE_SELECT_6, 0x10, 0, 0, sizeof(list) } };

	list[4 + 16] = low == UINT32_MAX ? 0 : 0x80;
	list[4 + 17] = LOG_AVAILABLE;
	put32(list + 4 + 20, low);
	list[4 + 24] = high == UINT32_MAX ? 0x01 : 0x81;
	list[4 + 25] = LOG_USED;
	put32(list + 4 + 28, high);
	return outcome(w, cdb.b, DIR_WRITE, sizeof(list), list);
}

static void space_is_told_in_threshold_sets(void)
{
	struct cdb cdb = cdb_log(1, LOG_PAGE_PROVISIONING, 0, 0);
	struct command c;
	struct world w;

	world_with_space(&w, true);
	log_sense(&w, &c, 1, LOG_PAGE_PROVISIONING);
	CU_ASSERT_EQUAL(c.in_len, 4 + 2 * 12);
	CU_ASSERT_EQUAL(get_be(parameter(&c, LOG_AVAILABLE), 5), 90 << 8 | LOG_SCOPE_SHARED);
	CU_ASSERT_EQUAL(get_be(parameter(&c, LOG_USED), 5), 10 << 8 | LOG_SCOPE_UNIT);
	command_free(&c);
	w.disk.fail[BS_SPACE] = -EIO;
	CU_ASSERT(outcome(&w, cdb.b, DIR_READ, 4096, NULL) != 0);
	w.disk.fail[BS_SPACE] = 0;
	available = UINT64_MAX;
	log_sense(&w, &c, 1, LOG_PAGE_PROVISIONING);
	CU_ASSERT_EQUAL(get_be(parameter(&c, LOG_AVAILABLE), 4), UINT32_MAX);
	command_free(&c);
	world_destroy(&w);
}

static void a_threshold_is_told_once_when_crossed(void)
{
	struct world w;

	world_with_space(&w, true);
	CU_ASSERT_EQUAL(run(&w, CDB_READ_10, 1), 0);
	CU_ASSERT_EQUAL(looks, 0); /* none is enabled */
	CU_ASSERT_EQUAL(set_thresholds(&w, 50, UINT32_MAX), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_MODE_CHANGED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	CU_ASSERT_EQUAL(looks, 1);
	available = 50ull * MIB;
	/* Looked at once in a second. */
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	CU_ASSERT_EQUAL(looks, 1);
	reactor_advance(w.reactor, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(run(&w, CDB_WRITE_10, 1), 0); /* the one that finds out is carried out */
	CU_ASSERT_EQUAL(looks, 2);
	CU_ASSERT_EQUAL(ready(&w, &w.a), SENSE_THRESHOLD_REACHED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_THRESHOLD_REACHED);
	reactor_advance(w.reactor, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.a), 0);
	/* Back above it and down again: the page of the space looks, too. */
	available = 51ull * MIB;
	CU_ASSERT(counter(&w, 1, LOG_PAGE_PROVISIONING, LOG_AVAILABLE, 0) != 0);
	available = 3ull * MIB;
	CU_ASSERT(counter(&w, 1, LOG_PAGE_PROVISIONING, LOG_AVAILABLE, 0) != 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_THRESHOLD_REACHED);
	world_destroy(&w);
}

/* A command that is aborted while it asks for the space is not carried out. */
static void an_abort_while_it_looks(void)
{
	struct cdb write = cdb_rw(CDB_WRITE_10, 0, 0, 1);
	uint8_t *data = pattern(512, 9);
	struct command c;
	struct world w;

	world_with_space(&w, true);
	CU_ASSERT_EQUAL(set_thresholds(&w, 50, UINT32_MAX), 0);
	w.disk.hold = true;
	command_init(&w, &c, write.b, DIR_WRITE, 512, data);
	command_submit(&c);
	CU_ASSERT_EQUAL(w.disk.held_count, 1);
	/* Nobody waits for its answer but itself. */
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_MODE_CHANGED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	scsi_abort(&c.task);
	disk_release(&w.disk);
	world_turn(&w);
	CU_ASSERT_EQUAL(c.ends, 1);
	CU_ASSERT_EQUAL(w.disk.requests, 1);
	command_free(&c);
	free(data);
	world_destroy(&w);
}

static void the_other_threshold_and_none(void)
{
	uint8_t recovery[] = { 0, 0, 0, 0, 0x01, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct cdb cdb = { { CDB_MODE_SELECT_6, 0x10, 0, 0, sizeof(recovery) } };
	const uint8_t cache_off[24] = { [4] = MODE_PAGE_CACHING, 18 };
	struct cdb off = { { CDB_MODE_SELECT_6, 0x10, 0, 0, sizeof(cache_off) } };
	struct world w;

	world_with_space(&w, true);
	CU_ASSERT_EQUAL(set_thresholds(&w, UINT32_MAX, 11), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_MODE_CHANGED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	used = 11ull * MIB;
	reactor_advance(w.reactor, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.a), SENSE_THRESHOLD_REACHED);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_THRESHOLD_REACHED);
	/* Another page that changes is no reason to tell it again. */
	CU_ASSERT_EQUAL(outcome(&w, off.b, DIR_WRITE, sizeof(cache_off), cache_off), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_MODE_CHANGED);
	reactor_advance(w.reactor, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	/* Without LBPERE nobody looks. */
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, sizeof(recovery), recovery), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_MODE_CHANGED);
	looks = 0;
	reactor_advance(w.reactor, NSEC_PER_SEC);
	CU_ASSERT_EQUAL(ready(&w, &w.b), 0);
	CU_ASSERT_EQUAL(looks, 0);
	/* A backstore that cannot tell any more stops nobody. */
	recovery[7 + 4] = 0x80;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_WRITE, sizeof(recovery), recovery), 0);
	CU_ASSERT_EQUAL(ready(&w, &w.b), SENSE_MODE_CHANGED);
	w.disk.fail[BS_SPACE] = -EIO;
	CU_ASSERT_EQUAL(run(&w, CDB_READ_10, 1), 0);
	CU_ASSERT_EQUAL(looks, 1);
	world_destroy(&w);
}

UNIT_MAIN(TEST(supported_pages), TEST(what_is_refused), TEST(the_pointer_names_the_first_parameter),
	  TEST(counters_count), TEST(what_is_not_measured_says_so), TEST(counters_are_reset),
	  TEST(space_is_told_in_threshold_sets), TEST(a_threshold_is_told_once_when_crossed),
	  TEST(an_abort_while_it_looks), TEST(the_other_threshold_and_none));
