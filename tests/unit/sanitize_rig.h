// SPDX-License-Identifier: BSD-2-Clause
/* A unit with a store, for the tests of SANITIZE. */
#ifndef RISER_TESTS_UNIT_SANITIZE_RIG_H
#define RISER_TESTS_UNIT_SANITIZE_RIG_H

#include "fake_store.h"
#include "scsi_port.h"

enum {
	OVERWRITE = 0x01,
	BLOCK_ERASE = 0x02,
	CRYPTO_ERASE = 0x03,
	EXIT_FAILURE_MODE = 0x1f,
	IMMED = 0x80,
	AUSE = 0x20,
	INVERTED = 0x80,
	BLOCK = 512,
	DISK_SIZE = DISK_BLOCKS * BLOCK,
};
#define RECORD "sanitize.0123456789abcdef"

static const uint8_t test_unit_ready[6] = { CDB_TEST_UNIT_READY };

static struct fake_store store;

static inline void open_with_store(struct world *w)
{
	struct lu_config cfg = { .bs = &w->disk.bs,
				 .serial = "0123456789abcdef",
				 .product = "disk",
				 .reactors = 1,
				 .store = &store.store };
	char why[256] = "";

	CU_ASSERT_EQUAL_FATAL(lu_create(&cfg, &w->lu, why, sizeof(why)), 0);
	w->target.lun[0] = w->lu;
}

static inline void begin(struct world *w)
{
	fake_store_init(&store);
	world_init(w, BLOCK);
	w->disk.bs.limits.can_erase = true;
	open_with_store(w);
	nexus_join(w, &w->a, "a");
	nexus_join(w, &w->b, "b");
}

/* The daemon ends and starts again. */
static inline void restart(struct world *w)
{
	nexus_detach(&w->a);
	nexus_detach(&w->b);
	lu_destroy(w->lu);
	open_with_store(w);
	nexus_join(w, &w->a, "a");
	nexus_join(w, &w->b, "b");
}

static inline struct cdb sanitize(uint8_t action, uint16_t len)
{
	struct cdb c = { { CDB_SANITIZE, action } };

	put16(c.b + 7, len);
	return c;
}

/* malloc()ed exactly: the list with a pattern of len bytes. */
static inline uint8_t *overwrite_list(uint8_t flags, uint16_t len)
{
	uint8_t *list = malloc(4u + len);

	CU_ASSERT_FATAL(list != NULL);
	list[0] = flags;
	list[1] = 0;
	put16(list + 2, len);
	for (uint16_t i = 0; i < len; i++)
		list[4 + i] = (uint8_t)(0xa0 + i % 23);
	return list;
}

static inline bool overwritten(const struct world *w, const uint8_t *list, uint8_t mask)
{
	uint16_t len = (uint16_t)get_be(list + 2, 2);

	for (uint32_t i = 0; i < DISK_SIZE; i++) {
		if (w->disk.bytes[i] != (list[4 + i % BLOCK % len] ^ mask))
			return false;
	}
	return true;
}

static inline uint32_t overwrite(struct world *w, uint8_t action, const uint8_t *list)
{
	uint16_t len = (uint16_t)(4 + get_be(list + 2, 2));

	return outcome(w, sanitize(action, len).b, DIR_WRITE, len, list);
}

/* Sense of a command without data. */
static inline uint32_t without_data(struct world *w, const uint8_t *cdb)
{
	return outcome(w, cdb, 0, 0, NULL);
}

static inline uint32_t exit_failure(struct world *w)
{
	return without_data(w, sanitize(EXIT_FAILURE_MODE, 0).b);
}

#endif
