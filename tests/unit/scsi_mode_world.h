// SPDX-License-Identifier: BSD-2-Clause
/* MODE SELECT and MODE SENSE in the world of scsi_port.h, with a store. */
#ifndef RISER_TESTS_UNIT_SCSI_MODE_WORLD_H
#define RISER_TESTS_UNIT_SCSI_MODE_WORLD_H

#include "fake_store.h"
#include "scsi/pages.h"
#include "scsi_port.h"

static const uint8_t wce_off[] = { 0, 0, 0, 0, 0x08, 18, 0, 0, 0, 0, 0, 0,
				   0, 0, 0, 0, 0,    0,	 0, 0, 0, 0, 0, 0 };
static const uint8_t wce_on[] = { 0, 0, 0, 0, 0x08, 18, 4, 0, 0, 0, 0, 0,
				  0, 0, 0, 0, 0,    0,	0, 0, 0, 0, 0, 0 };
static const uint8_t control_list[] = { 0, 0, 0, 0, 0x0a, 10,	0x22, 0x10,
					0, 0, 0, 0, 0xff, 0xff, 0,    0 };
enum { CONTROL_FLAGS2 = 6, CONTROL_FLAGS3 = 7, CONTROL_FLAGS4 = 8, CONTROL_FLAGS5 = 9 };

static inline void world_with_store(struct world *w, struct fake_store *store)
{
	struct lu_config cfg = { .bs = &w->disk.bs,
				 .serial = "0123456789abcdef",
				 .product = "disk",
				 .reactors = 1,
				 .store = store ? &store->store : NULL };

	world_init(w, 512);
	w->disk.bs.limits.can_report_space = true;
	if (store)
		fake_store_init(store);
	CU_ASSERT_FATAL(lu_create(&cfg, &w->lu, (char[256]){ 0 }, 256) == 0);
	w->target.lun[0] = w->lu;
	nexus_join(w, &w->a, "a");
	nexus_join(w, &w->b, "b");
}

static inline struct cdb cdb_select(uint8_t flags, uint8_t len)
{
	return (struct cdb){ { CDB_MODE_SELECT_6, flags, 0, 0, len } };
}

/* The list lies in memory of exactly its size. */
static inline uint32_t select_flags(struct world *w, uint8_t flags, const uint8_t *list,
				    uint8_t len)
{
	struct cdb cdb = cdb_select(flags, len);
	uint8_t *exact = malloc(len ? len : 1);
	uint32_t sense;

	CU_ASSERT_FATAL(exact != NULL);
	if (len)
		memcpy(exact, list, len);
	sense = outcome(w, cdb.b, DIR_WRITE, len, exact);
	free(exact);
	return sense;
}

static inline uint32_t select6(struct world *w, const uint8_t *list, uint8_t len)
{
	return select_flags(w, MODE_SELECT_PF, list, len);
}

static inline uint32_t select_control(struct world *w, unsigned int at, uint8_t value)
{
	uint8_t list[sizeof(control_list)];

	memcpy(list, control_list, sizeof(list));
	list[at] = value;
	return select6(w, list, sizeof(list));
}

/* One byte of a page by MODE SENSE. */
static inline uint8_t page_byte(struct world *w, uint8_t pc, uint8_t page, unsigned int at)
{
	uint8_t cdb[CDB_MAX] = { CDB_MODE_SENSE_6, MODE_SENSE_DBD, (uint8_t)(pc << 6 | page), 0,
				 255 };
	struct command c;
	uint8_t byte;

	command_run(w, &c, cdb, DIR_READ, 255, NULL);
	ASSERT_GOOD(&c);
	byte = c.in[4 + at];
	command_free(&c);
	return byte;
}

static inline uint32_t write_block(struct world *w)
{
	struct cdb cdb = cdb_rw(CDB_WRITE_10, 0, 5, 1);
	uint8_t *data = pattern(512, 1);
	uint32_t sense = outcome(w, cdb.b, DIR_WRITE, 512, data);

	free(data);
	return sense;
}

#endif
