// SPDX-License-Identifier: BSD-2-Clause
/* INQUIRY, VPD, REPORT LUNS, READ CAPACITY: who the unit says it is. */
#include "scsi_port.h"
#include "scsi_vpd_wire.h"

static struct cdb cdb_inquiry(bool evpd, uint8_t page, uint16_t alloc)
{
	struct cdb c = { { CDB_INQUIRY, evpd, page } };

	put16(c.b + 3, alloc);
	return c;
}

static void inquiry(struct world *w, struct command *c, bool evpd, uint8_t page)
{
	struct cdb cdb = cdb_inquiry(evpd, page, 4096);

	command_run(w, c, cdb.b, DIR_READ, 4096, NULL);
	ASSERT_GOOD(c);
}

static void standard_data(void)
{
	/* SAM-5, iSCSI, SPC-4, SBC-3, SPC-5, SBC-4 */
	static const uint16_t descriptors[8] = { 0x00a0, 0x0960, 0x0460, 0x04c0, 0x05c0, 0x0600 };
	struct command c;
	struct world w;

	world_create(&w);
	inquiry(&w, &c, false, 0);
	CU_ASSERT_EQUAL(c.in_len, 96);
	CU_ASSERT_EQUAL(c.in[0], 0);
	CU_ASSERT_EQUAL(c.in[2], 6);
	CU_ASSERT_EQUAL(c.in[3], 0x32); /* NORMACA, HISUP */
	CU_ASSERT_EQUAL(c.in[4], 96 - 5);
	CU_ASSERT_EQUAL(c.in[5] & 0x30, 0x30); /* TPGS: implicit and explicit */
	CU_ASSERT_EQUAL(c.in[6], 0);
	CU_ASSERT(!memcmp(c.in + 8, "RISER   disk            ", 24));
	for (size_t i = 0; i < 8; i++)
		CU_ASSERT_EQUAL(get_be(c.in + 58 + 2 * i, 2), descriptors[i]);
	CU_ASSERT_EQUAL(command_residual(&c), 4096 - 96);
	command_free(&c);
	world_destroy(&w);
}

/* S5: whatever the allocation length, the length fields stay and only the data is cut. full 0: as
 * much as comes at most. */
static void allocation_lengths_cut_the_data(void)
{
	static const struct {
		uint8_t cdb[CDB_MAX];
		unsigned int alloc_at, alloc_len;
		uint32_t full;
	} rows[] = {
		{ { CDB_INQUIRY }, 3, 2, 96 },
		{ { CDB_INQUIRY, 1, VPD_BLOCK_LIMITS }, 3, 2, 64 },
		{ { CDB_INQUIRY, 1, VPD_SUPPORTED }, 3, 2, 0 },
		{ { CDB_MODE_SENSE_6, 0, MODE_PAGE_ALL }, 4, 1, 0 },
		{ { CDB_MODE_SENSE_10, 0, MODE_PAGE_ALL }, 7, 2, 0 },
		{ { CDB_REQUEST_SENSE }, 4, 1, 18 },
		{ { CDB_SERVICE_ACTION_IN_16, SA_READ_CAPACITY_16 }, 10, 4, 32 },
		{ { CDB_MAINTENANCE_IN, SA_REPORT_SUPPORTED_OPCODES }, 6, 4, 0 },
		{ { CDB_MAINTENANCE_IN, SA_REPORT_TARGET_PORT_GROUPS }, 6, 4, 4 + 12 },
		{ { CDB_MAINTENANCE_IN, 1 << 5 | SA_REPORT_TARGET_PORT_GROUPS }, 6, 4, 8 + 12 },
	};
	static const uint32_t allocs[] = { 0, 1, 3, 4, 5, 18, 64, 255, 256, 0xffff };
	struct world w;

	world_create(&w);
	for (size_t i = 0; i < array_size(rows); i++) {
		uint8_t whole[8192] = { 0 };
		uint32_t full = rows[i].full;

		for (size_t k = array_size(allocs); k--;) {
			uint32_t alloc = allocs[k], expected;
			struct cdb cdb;
			struct command c;

			if (rows[i].alloc_len == 1 && alloc > 255)
				continue;
			memcpy(cdb.b, rows[i].cdb, sizeof(cdb.b));
			for (unsigned int b = 0; b < rows[i].alloc_len; b++)
				cdb.b[rows[i].alloc_at + b] =
					(uint8_t)(alloc >> 8 * (rows[i].alloc_len - 1 - b));
			command_run(&w, &c, cdb.b, DIR_READ, 70000, NULL);
			ASSERT_GOOD(&c);
			if (!full) {
				full = c.in_len;
				CU_ASSERT(full > 5 && full < alloc);
			}
			expected = alloc < full ? alloc : full;
			CU_ASSERT_EQUAL(c.in_len, expected);
			CU_ASSERT_EQUAL(command_residual(&c), 70000 - expected);
			if (c.in_len == full)
				memcpy(whole, c.in, c.in_len);
			CU_ASSERT(!memcmp(whole, c.in, c.in_len));
			command_free(&c);
		}
	}
	world_destroy(&w);
}

/* EDTL smaller than what there is: overflow. */
static void edtl_cuts_the_data_and_the_residual_says_so(void)
{
	struct cdb cdb = cdb_inquiry(false, 0, 255);
	struct command c;
	struct world w;

	world_create(&w);
	command_run(&w, &c, cdb.b, DIR_READ, 36, NULL);
	ASSERT_GOOD(&c);
	CU_ASSERT_EQUAL(c.in_len, 36);
	CU_ASSERT_EQUAL(command_residual(&c), 36 - 96);
	command_free(&c);
	world_destroy(&w);
}

static void supported_pages_are_sorted_and_work(void)
{
	struct command list, c;
	struct world w;

	world_create(&w);
	inquiry(&w, &list, true, VPD_SUPPORTED);
	CU_ASSERT(get_be(list.in + 2, 2) >= 9);
	for (unsigned int i = 0; i < get_be(list.in + 2, 2); i++) {
		if (i)
			CU_ASSERT(list.in[4 + i] > list.in[3 + i]);
		inquiry(&w, &c, true, list.in[4 + i]);
		CU_ASSERT_EQUAL(c.in[0], 0);
		CU_ASSERT_EQUAL(c.in[1], list.in[4 + i]);
		CU_ASSERT_EQUAL(get_be(c.in + 2, 2) + 4, c.in_len);
		command_free(&c);
	}
	command_free(&list);
	world_destroy(&w);
}

/* S13. */
static void pages_that_are_not_there(void)
{
	struct cdb vpd = cdb_inquiry(true, 0x84, 255), page = cdb_inquiry(false, 1, 255);
	struct world w;

	world_create(&w);
	CU_ASSERT_EQUAL(outcome(&w, vpd.b, DIR_READ, 255, NULL), SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(outcome(&w, page.b, DIR_READ, 255, NULL), SENSE_INVALID_CDB_FIELD);
	world_destroy(&w);
}

/* The descriptor of a type and association, or NULL. */
static const uint8_t *designator(const struct command *c, uint8_t association, uint8_t type)
{
	for (uint32_t at = 4; at + 4 <= c->in_len; at += 4u + c->in[at + 3]) {
		if ((c->in[at + 1] & 0x3f) == (association | type))
			return c->in + at;
	}
	return NULL;
}

static void identification(void)
{
	static const char port[] = "iqn.2026-11.test:disk,t,0x0001";
	const uint8_t *naa, *t10, *name, *device, *relative, *group;
	struct command c, again;
	struct world w, other;

	world_create(&w);
	inquiry(&w, &c, true, VPD_IDENTIFICATION);
	naa = designator(&c, 0, DESIGNATOR_NAA);
	t10 = designator(&c, 0, DESIGNATOR_T10);
	name = designator(&c, DESIGNATOR_OF_PORT, DESIGNATOR_NAME);
	device = designator(&c, DESIGNATOR_OF_DEVICE, DESIGNATOR_NAME);
	relative = designator(&c, DESIGNATOR_OF_PORT, DESIGNATOR_RELATIVE_PORT);
	group = designator(&c, DESIGNATOR_OF_PORT, DESIGNATOR_PORT_GROUP);
	CU_ASSERT_FATAL(naa && t10 && name && device && relative && group);
	CU_ASSERT_EQUAL(naa[3], 8);
	CU_ASSERT_EQUAL(naa[4] >> 4, 3);
	CU_ASSERT_EQUAL(t10[3], 24);
	CU_ASSERT(!memcmp(t10 + 4, "RISER   0123456789abcdef", 24));
	CU_ASSERT_EQUAL(name[0], 0x53);
	CU_ASSERT_EQUAL(name[3] % 4, 0);
	CU_ASSERT_EQUAL(name[3], 32);
	CU_ASSERT(!memcmp(name + 4, port, sizeof(port)));
	CU_ASSERT_STRING_EQUAL((const char *)device + 4, "iqn.2026-11.test:disk");
	CU_ASSERT_EQUAL(get_be(relative + 4, 4), 1);
	CU_ASSERT_EQUAL(get_be(group + 4, 4), 1);

	/* Another daemon with the same stored serial says the same. */
	world_create(&other);
	inquiry(&other, &again, true, VPD_IDENTIFICATION);
	CU_ASSERT_EQUAL(again.in_len, c.in_len);
	CU_ASSERT(!memcmp(again.in, c.in, c.in_len));
	command_free(&again);
	world_destroy(&other);
	command_free(&c);
	world_destroy(&w);
}

/* What an operator gives stands in place of the local NAA name, or beside it. */
static void designators_that_are_given(void)
{
	static const struct bs_designators given = {
		.naa = { 0x60, 0x0a, 0x0b, 0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 },
		.naa_len = 16,
		.eui = { 0, 0x1b, 0x44, 1, 2, 3, 4, 5, 6, 7, 8, 9 },
		.eui_len = 12,
	};
	const uint8_t *naa, *eui;
	struct command c;
	struct world w;

	world_create(&w);
	w.disk.bs.designators = given;
	inquiry(&w, &c, true, VPD_IDENTIFICATION);
	naa = designator(&c, 0, DESIGNATOR_NAA);
	eui = designator(&c, 0, DESIGNATOR_EUI64);
	CU_ASSERT_FATAL(naa && eui);
	CU_ASSERT(naa[3] == 16 && !memcmp(naa + 4, given.naa, 16));
	CU_ASSERT(eui[3] == 12 && !memcmp(eui + 4, given.eui, 12));
	CU_ASSERT_EQUAL(naa[0] & 0xf, 1);
	CU_ASSERT_EQUAL(eui[0] & 0xf, 1);
	CU_ASSERT_PTR_NOT_NULL(designator(&c, 0, DESIGNATOR_T10));
	command_free(&c);
	world_destroy(&w);
}

/* A name of the greatest length still fits its one-byte length. */
static void identification_of_the_longest_name(void)
{
	const uint8_t *name;
	struct command c;
	struct world w;

	world_create(&w);
	memset(w.target.name, 'x', 223);
	w.target.name[223] = 0;
	inquiry(&w, &c, true, VPD_IDENTIFICATION);
	name = designator(&c, DESIGNATOR_OF_PORT, DESIGNATOR_NAME);
	CU_ASSERT_FATAL(name != NULL);
	CU_ASSERT_EQUAL(name[3], 236);
	CU_ASSERT_EQUAL(strlen((const char *)name + 4), 232);
	command_free(&c);
	world_destroy(&w);
}

/* 88h: every port with its own name, whatever its state. 83h: the one that the command came by. */
static void ports(void)
{
	struct command c, id;
	const uint8_t *at;
	struct world w;

	world_create(&w);
	w.target.ports[1] = (struct target_port){ .tag = 0x1234, .relative = 77 };
	w.target.ports[1].access = ACCESS_STANDBY;
	w.target.port_count = 2;
	inquiry(&w, &c, true, VPD_SCSI_PORTS);
	at = c.in + 4;
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(get_be(at + 2, 2), i ? 77 : 1);
		CU_ASSERT_EQUAL(get_be(at + 6, 2), 0);
		CU_ASSERT_EQUAL(get_be(at + 10, 2), 4 + 32);
		CU_ASSERT_EQUAL(at[12], 0x53);
		CU_ASSERT_EQUAL(at[13], 0x98);
		CU_ASSERT_STRING_EQUAL((const char *)at + 16, i ? "iqn.2026-11.test:disk,t,0x1234"
								: "iqn.2026-11.test:disk,t,0x0001");
		at += 12 + get_be(at + 10, 2);
	}
	CU_ASSERT_EQUAL(at - c.in, c.in_len);
	command_free(&c);

	inquiry(&w, &c, false, 0);
	CU_ASSERT_EQUAL(c.in[6], 0x10); /* MULTIP */
	command_free(&c);

	w.a.port = &w.target.ports[1];
	inquiry(&w, &id, true, VPD_IDENTIFICATION);
	at = designator(&id, DESIGNATOR_OF_PORT, DESIGNATOR_RELATIVE_PORT);
	CU_ASSERT_FATAL(at != NULL);
	CU_ASSERT_EQUAL(get_be(at + 4, 4), 77);
	at = designator(&id, DESIGNATOR_OF_PORT, DESIGNATOR_PORT_GROUP);
	CU_ASSERT_FATAL(at != NULL);
	CU_ASSERT_EQUAL(get_be(at + 4, 4), 0x1234);
	command_free(&id);
	world_destroy(&w);
}

/* As many ports as there can be, with the longest names. */
static void ports_all_fit(void)
{
	struct command c;
	struct world w;

	world_create(&w);
	memset(w.target.name, 'x', 223);
	w.target.name[223] = 0;
	for (uint16_t i = 0; i < TARGET_PORTS; i++)
		w.target.ports[i] = (struct target_port){ .tag = 65535 - i, .relative = i + 1 };
	w.target.port_count = TARGET_PORTS;
	inquiry(&w, &c, true, VPD_SCSI_PORTS);
	CU_ASSERT_EQUAL(c.in_len, 4 + TARGET_PORTS * (12 + 4 + 236));
	CU_ASSERT_STRING_EQUAL((const char *)c.in + c.in_len - 236 + 223, ",t,0xfff0");
	command_free(&c);
	world_destroy(&w);
}

static void extended_and_policy(void)
{
	static const uint8_t checks[] = { 0, 0x07, 0x17, 0x27 };
	struct command c;
	struct world w;

	for (uint8_t type = 0; type <= 3; type++) {
		world_init(&w, 512);
		w.disk.bs.limits.volatile_cache = type & 1;
		world_open(&w);
		w.lu->protection = type;
		inquiry(&w, &c, true, VPD_EXTENDED);
		CU_ASSERT_EQUAL(c.in_len, 64);
		CU_ASSERT_EQUAL(c.in[4], checks[type]);
		CU_ASSERT_EQUAL(c.in[5], 0x07);
		CU_ASSERT_EQUAL(c.in[6], type & 1);
		CU_ASSERT_EQUAL(c.in[13], SENSE_MAX);
		command_free(&c);
		inquiry(&w, &c, true, VPD_MODE_PAGE_POLICY);
		CU_ASSERT_EQUAL(get_be(c.in, 4), 0x00870004);
		CU_ASSERT_EQUAL(get_be(c.in + 4, 4), 0x3fff0000);
		command_free(&c);
		world_destroy(&w);
	}
}

static void block_limits(void)
{
	struct command c;
	struct world w;

	for (int unmap = 0; unmap < 3; unmap++) {
		world_init(&w, 4096);
		w.disk.bs.limits.can_unmap = unmap;
		w.disk.bs.limits.can_anchor = unmap != 1; /* says nothing without the other */
		w.disk.bs.limits.unmap_granularity = 65536;
		w.disk.bs.limits.unmap_alignment = 12288;
		w.disk.bs.limits.atomic_max = 65536;
		w.disk.bs.limits.atomic_granularity = 8192;
		w.disk.bs.limits.optimal_io_size = 1 << 20;
		world_open(&w);
		inquiry(&w, &c, true, VPD_BLOCK_LIMITS);
		CU_ASSERT_EQUAL(c.in_len, 64);
		CU_ASSERT_EQUAL(c.in[4], 1); /* WSNZ */
		CU_ASSERT_EQUAL(c.in[5], 255);
		CU_ASSERT_EQUAL(get_be(c.in + 8, 4), MAX_TRANSFER_BLOCKS);
		CU_ASSERT_EQUAL(get_be(c.in + 12, 4), 256);
		CU_ASSERT_EQUAL(get_be(c.in + 20, 4), unmap ? MAX_UNMAP_BLOCKS : 0);
		CU_ASSERT_EQUAL(get_be(c.in + 24, 4), unmap ? MAX_UNMAP_DESCRIPTORS : 0);
		CU_ASSERT_EQUAL(get_be(c.in + 28, 4), unmap ? 16 : 0);
		CU_ASSERT_EQUAL(get_be(c.in + 32, 4), unmap ? 0x80000003 : 0);
		CU_ASSERT_EQUAL(get_be(c.in + 44, 4), 16);
		CU_ASSERT_EQUAL(get_be(c.in + 48, 4), 2);
		CU_ASSERT_EQUAL(get_be(c.in + 52, 4), 2);
		CU_ASSERT_EQUAL(get_be(c.in + 56, 8), 0);
		CU_ASSERT_EQUAL(get_be(c.in + 36, 8), (2ull << 30) / 4096);
		command_free(&c);
		inquiry(&w, &c, true, VPD_PROVISIONING);
		CU_ASSERT_EQUAL(c.in[5], unmap ? unmap == 1 ? 0xe4 : 0xe6 : 0);
		CU_ASSERT_EQUAL(c.in[6], unmap ? 2 : 0);
		command_free(&c);
		world_destroy(&w);
	}
}

static void capacity(void)
{
	static const struct {
		uint64_t size;
		uint32_t block, last10;
		uint64_t last16;
		uint8_t exponent;
	} rows[] = {
		{ 1 << 20, 512, 2047, 2047, 3 },
		{ 1 << 20, 4096, 255, 255, 0 },
		{ 512ull << 32, 512, UINT32_MAX, UINT32_MAX, 3 },
		{ 513ull << 32, 512, UINT32_MAX, (513ull << 23) - 1, 3 },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cap16 = { { CDB_SERVICE_ACTION_IN_16, SA_READ_CAPACITY_16, [13] = 32 } };
		struct cdb cap10 = { { CDB_READ_CAPACITY_10 } };
		struct command c;
		struct world w;

		world_init(&w, rows[i].block);
		w.disk.bs.limits.size = rows[i].size;
		world_open(&w);
		command_run(&w, &c, cap10.b, DIR_READ, 8, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(get_be(c.in, 4), rows[i].last10);
		CU_ASSERT_EQUAL(get_be(c.in + 4, 4), rows[i].block);
		command_free(&c);
		command_run(&w, &c, cap16.b, DIR_READ, 32, NULL);
		ASSERT_GOOD(&c);
		CU_ASSERT_EQUAL(get_be(c.in, 8), rows[i].last16);
		CU_ASSERT_EQUAL(get_be(c.in + 8, 4), rows[i].block);
		CU_ASSERT_EQUAL(c.in[13], rows[i].exponent);
		CU_ASSERT_EQUAL(c.in[14], 0xc0);
		command_free(&c);
		world_destroy(&w);
	}
}

static struct cdb cdb_report_luns(uint8_t select, uint32_t alloc)
{
	struct cdb c = { { CDB_REPORT_LUNS, 0, select } };

	put32(c.b + 6, alloc);
	return c;
}

static void report_luns(void)
{
	static const struct {
		uint8_t select;
		uint32_t alloc, sense, list, moved;
	} rows[] = {
		{ 0, 4096, 0, 24, 32 },
		{ 1, 4096, 0, 0, 8 },
		{ 2, 4096, 0, 24, 32 },
		{ 2, 16, 0, 24, 16 },
		{ 2, UINT32_MAX, 0, 24, 32 },
		{ 2, 15, SENSE_INVALID_CDB_FIELD, 0, 0 },
		{ 0, 0, SENSE_INVALID_CDB_FIELD, 0, 0 },
		{ 3, 4096, SENSE_INVALID_CDB_FIELD, 0, 0 },
		{ 0x0f, 4096, SENSE_INVALID_CDB_FIELD, 0, 0 },
		{ 0x10, 4096, 0, 0, 8 },
		{ 0x11, 4096, 0, 24, 32 },
		{ 0x12, 4096, 0, 0, 8 },
		{ 0x13, 4096, SENSE_INVALID_CDB_FIELD, 0, 0 },
		{ 0xff, 4096, SENSE_INVALID_CDB_FIELD, 0, 0 },
	};
	struct world w;

	world_create(&w);
	w.target.lun[5] = w.target.lun[255] = w.lu;
	for (size_t i = 0; i < array_size(rows); i++) {
		struct cdb cdb = cdb_report_luns(rows[i].select, rows[i].alloc);
		struct command c;

		command_run(&w, &c, cdb.b, DIR_READ, 8192, NULL);
		CU_ASSERT_EQUAL(command_sense(&c), rows[i].sense);
		CU_ASSERT_EQUAL(c.in_len, rows[i].moved);
		CU_ASSERT_EQUAL(get_be(c.in, 4), rows[i].list);
		if (rows[i].moved == 32) {
			CU_ASSERT_EQUAL(get_be(c.in + 8, 8), 0);
			CU_ASSERT_EQUAL(get_be(c.in + 16, 8), 5ull << 48);
			CU_ASSERT_EQUAL(get_be(c.in + 24, 8), 255ull << 48);
		}
		command_free(&c);
	}
	world_destroy(&w);
}

/* REPORT LUNS answers REPORTED LUNS DATA HAS CHANGED of every unit, and nothing else. */
static void report_luns_clears_its_condition(void)
{
	struct cdb cdb = cdb_report_luns(0, 4096);
	struct world w;

	world_create(&w);
	for (int i = 0; i < TARGET_LUNS; i++)
		w.a.unit_attentions[i] = 1u << UA_LUNS_CHANGED | 1u << UA_CAPACITY_CHANGED;
	CU_ASSERT_EQUAL(outcome(&w, cdb.b, DIR_READ, 4096, NULL), 0);
	for (int i = 0; i < TARGET_LUNS; i++)
		CU_ASSERT_EQUAL(w.a.unit_attentions[i], 1u << UA_CAPACITY_CHANGED);
	w.a.unit_attentions[0] = 0;
	world_destroy(&w);
}

UNIT_MAIN(TEST(standard_data), TEST(allocation_lengths_cut_the_data),
	  TEST(edtl_cuts_the_data_and_the_residual_says_so),
	  TEST(supported_pages_are_sorted_and_work), TEST(pages_that_are_not_there),
	  TEST(identification), TEST(designators_that_are_given),
	  TEST(identification_of_the_longest_name), TEST(ports), TEST(ports_all_fit),
	  TEST(extended_and_policy), TEST(block_limits), TEST(capacity), TEST(report_luns),
	  TEST(report_luns_clears_its_condition));
