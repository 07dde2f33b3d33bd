// SPDX-License-Identifier: BSD-2-Clause
/*
 * The world of scsi_port.h with a disk that has protection information: two disks in memory, one for
 * the data and one for the tuples, under the filter of backstore/protection.c. The guard is computed
 * here bit by bit.
 */
#ifndef RISER_TESTS_UNIT_PROTECT_WORLD_H
#define RISER_TESTS_UNIT_PROTECT_WORLD_H

#include "backstore/tuple_store.h"
#include "protection.h"
#include "scsi_port.h"

struct protected
{
	struct world w;
	struct disk tuples;
	struct backstore *bs;
	uint32_t block, unit; /* bytes of a block without and with its tuple */
	uint8_t type;
};

static inline void disk_close(struct backstore *bs)
{
	(void)bs; /* the world's */
}

static const struct bs_driver closing_disk_driver = {
	.name = "test",
	.submit = disk_submit,
	.borrow = disk_borrow,
	.close = disk_close,
};

static inline void protected_create(struct protected *p, uint8_t type, uint32_t block)
{
	struct lu_config cfg = { .serial = "0123456789abcdef", .product = "disk", .reactors = 1 };
	struct bs_limits *l = &p->tuples.bs.limits;

	memset(p, 0, sizeof(*p));
	p->type = type;
	p->block = block;
	p->unit = block + 8;
	world_init(&p->w, block);
	p->w.disk.bs.driver = &closing_disk_driver;
	p->w.disk.bs.limits.atomic_max = 64 << 10;
	p->w.disk.bs.limits.atomic_granularity = block;
	p->tuples.bs.driver = &closing_disk_driver;
	list_init(&p->tuples.bs.open_node);
	l->size = DISK_BLOCKS * 8;
	l->block_size = 8;
	p->tuples.bytes = calloc(DISK_BLOCKS, 8); /* zeros: no block was ever written */
	CU_ASSERT_FATAL(p->tuples.bytes != NULL);
	CU_ASSERT_EQUAL_FATAL(protection_wrap(&p->w.disk.bs, &p->tuples.bs, 0, type, &p->bs), 0);
	cfg.bs = p->bs;
	CU_ASSERT_FATAL(lu_create(&cfg, &p->w.lu, (char[256]){ 0 }, 256) == 0);
	CU_ASSERT_EQUAL(p->w.lu->protection, type);
	p->w.target.lun[0] = p->w.lu;
	nexus_join(&p->w, &p->w.a, "a");
	nexus_join(&p->w, &p->w.b, "b");
}

static inline void protected_destroy(struct protected *p)
{
	world_destroy(&p->w);
	p->bs->driver->close(p->bs);
	free(p->tuples.bytes);
}

static inline uint16_t slow_guard(const uint8_t *data, size_t len)
{
	uint16_t crc = 0;

	while (len--) {
		crc ^= (uint16_t)(*data++ << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x8bb7 : crc << 1);
	}
	return crc;
}

/* --- What is stored */

static inline void tuple_put(uint8_t *at, uint16_t guard, uint16_t app, uint32_t ref)
{
	put16(at, guard);
	put16(at + 2, app);
	put32(at + 4, ref);
}

static inline void tuple_store(struct protected *p, uint64_t lba, uint16_t guard, uint16_t app,
			       uint32_t ref)
{
	uint8_t *at = p->tuples.bytes + lba * 8;

	tuple_put(at, guard, app, ref);
	for (int i = 0; i < 8; i++)
		at[i] = (uint8_t)~at[i];
}

static inline void tuple_load(const struct protected *p, uint64_t lba, uint8_t out[8])
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)~p->tuples.bytes[lba * 8 + (unsigned int)i];
}

static inline uint8_t *block_at(const struct protected *p, uint64_t lba)
{
	return p->w.disk.bytes + lba * p->block;
}

static inline uint16_t guard_at(const struct protected *p, uint64_t lba)
{
	return slow_guard(block_at(p, lba), p->block);
}

/* Right tuples for what is on the disk. */
static inline void protect_range(struct protected *p, uint64_t lba, uint32_t blocks, uint16_t app,
				 uint32_t ref)
{
	for (uint32_t i = 0; i < blocks; i++)
		tuple_store(p, lba + i, guard_at(p, lba + i), app, ref + i);
}

/* --- What is transferred */

/* Blocks with right tuples behind them. */
static inline uint8_t *transfer_of(const struct protected *p, uint32_t blocks, uint8_t seed,
				   uint16_t app, uint32_t ref)
{
	uint8_t *data = pattern((size_t)blocks * p->unit, seed);

	for (uint32_t i = 0; i < blocks; i++) {
		uint8_t *at = data + (size_t)i * p->unit;

		tuple_put(at + p->block, slow_guard(at, p->block), app, ref + i);
	}
	return data;
}

/* Whether these blocks and tuples are what the disk has. */
static inline bool is_stored(const struct protected *p, uint64_t lba, uint32_t blocks,
			     const uint8_t *transfer)
{
	uint8_t tuple[8];

	for (uint32_t i = 0; i < blocks; i++, transfer += p->unit) {
		tuple_load(p, lba + i, tuple);
		if (memcmp(transfer, block_at(p, lba + i), p->block) ||
		    memcmp(transfer + p->block, tuple, 8))
			return false;
	}
	return true;
}

/* --- CDBs */

enum { GUARD_WRONG = 1, APP_WRONG = 2, REF_WRONG = 4 };

/* A 32-byte one with its expectations. */
static inline struct cdb cdb_32(uint16_t action, uint8_t flags, uint64_t lba, uint32_t blocks,
				uint32_t ref, uint16_t app, uint16_t mask)
{
	struct cdb c = { { CDB_VARIABLE_LENGTH } };

	c.b[7] = 0x18;
	put16(c.b + 8, action);
	c.b[10] = flags;
	put64(c.b + 12, lba);
	put32(c.b + 20, ref);
	put16(c.b + 24, app);
	put16(c.b + 26, mask);
	put32(c.b + 28, blocks);
	return c;
}

static inline uint8_t protect_bits(uint8_t field)
{
	return (uint8_t)(field << 5);
}

enum { APP = 0x1234, APP_MASK = 0x0ff0 };

/* The usual command of this type: READ (16) and its like, and READ (32) with expectations that the
 * tuples of protect_range(p, lba, n, APP, lba) meet. */
static inline struct cdb cdb_protect(const struct protected *p, uint8_t opcode16, uint16_t action32,
				     uint8_t flags, uint64_t lba, uint32_t blocks)
{
	return p->type == 2
		       ? cdb_32(action32, flags, lba, blocks, (uint32_t)lba, APP ^ 0xf00f, APP_MASK)
		       : cdb_rw(opcode16, flags, lba, blocks);
}

/* What RDPROTECT and WRPROTECT have to notice, by the standard's table; 6 and 7 are reserved. */
static const uint8_t noticed[6] = { [1] = GUARD_WRONG | APP_WRONG | REF_WRONG,
				    [2] = APP_WRONG | REF_WRONG,
				    [3] = 0,
				    [4] = GUARD_WRONG,
				    [5] = GUARD_WRONG | APP_WRONG | REF_WRONG };

/* What this type can know. */
static inline uint8_t known(uint8_t type)
{
	return type == 1   ? GUARD_WRONG | REF_WRONG
	       : type == 2 ? GUARD_WRONG | APP_WRONG | REF_WRONG
			   : GUARD_WRONG;
}

/* --- Sense */

static inline uint32_t command_information(const struct command *c)
{
	CU_ASSERT_EQUAL(c->task.sense[0], SENSE_CURRENT_FIXED | SENSE_VALID);
	return (uint32_t)get_be(c->task.sense + 3, 4);
}

/* Runs a command that has to fail, about this block or byte. */
#define ASSERT_FAILS(world, cdb, dir, edtl, out, code, information)                      \
	do {                                                                             \
		struct command failing;                                                  \
                                                                                         \
		command_run(world, &failing, (cdb).b, dir, edtl, out);                   \
		ASSERT_SENSE(&failing, code);                                            \
		CU_ASSERT_EQUAL(command_information(&failing), (uint32_t)(information)); \
		command_free(&failing);                                                  \
	} while (0)

#endif
