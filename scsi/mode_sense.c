// SPDX-License-Identifier: BSD-2-Clause
/*
 * MODE SENSE, SPC 6.14 and 6.15. Nothing can be changed (there is no MODE SELECT), so that the
 * default values are the current ones and the changeable mask is zero.
 */
#include <string.h>

#include "rows.h"

enum { PAGE_MAX = 18, SUBPAGE_ALL = 0xff };

/* Page bytes behind PAGE CODE and PAGE LENGTH, at their offset in the page. */
static void caching_page(const struct lu *lu, uint8_t *page)
{
	page[2] = atomic_load(&lu->mode.write_cache) ? MODE_CACHING_WCE : 0;
}

static void control_page(const struct lu *lu, uint8_t *page)
{
	(void)lu;
	page[2] = 0x02; /* GLTSD: log parameters are not saved; D_SENSE 0: fixed format */
	page[3] = 0x10; /* QUEUE ALGORITHM MODIFIER 1: unrestricted reordering */
	page[8] = page[9] = 0xff; /* BUSY TIMEOUT PERIOD: unlimited */
}

static void exceptions_page(const struct lu *lu, uint8_t *page)
{
	(void)lu;
	page[2] = 0x08; /* DEXCPT: no exceptions are reported */
}

static const struct mode_page {
	uint8_t code, len; /* bytes behind PAGE LENGTH */
	void (*write)(const struct lu *lu, uint8_t *page);
} pages[] = {
	{ MODE_PAGE_CACHING, 18, caching_page },
	{ MODE_PAGE_CONTROL, 10, control_page },
	{ MODE_PAGE_EXCEPTIONS, 10, exceptions_page },
};

/* Returns the end of what was written; out itself when there is no such page. */
static uint8_t *write_pages(struct scsi_task *task, uint8_t *out)
{
	uint8_t code = task->cdb[2] & 0x3f, control = task->cdb[2] >> 6;

	for (size_t i = 0; i < array_size(pages); i++) {
		if (code != pages[i].code && code != MODE_PAGE_ALL)
			continue;
		out[0] = pages[i].code;
		out[1] = pages[i].len;
		if (control != MODE_CHANGEABLE)
			pages[i].write(task->lu, out);
		out += 2 + pages[i].len;
	}
	return out;
}

static bool mode_check(struct scsi_task *task)
{
	uint8_t code = task->cdb[2] & 0x3f, subpage = task->cdb[3];

	if (task->cdb[2] >> 6 == MODE_SAVED) {
		task_sense_code(task, SENSE_NO_SAVED_PARAMETERS);
		return false;
	}
	if (subpage && (subpage != SUBPAGE_ALL || code != MODE_PAGE_ALL)) {
		task_sense_cdb(task, 3, 7);
		return false;
	}
	return true;
}

/* Header, block descriptor and pages: the parts are the same but for their sizes. */
static int mode_fill(struct scsi_task *task, uint8_t *out, size_t header, bool longlba)
{
	const struct lu *lu = task->lu;
	uint8_t *at = out + header, *end;

	if (!mode_check(task))
		return -1;
	if (!(task->cdb[1] & MODE_SENSE_DBD) && longlba) {
		struct mode_block_long block = { .blocks = be64_of(lu->blocks),
						 .block_size = be32_of(lu->block_size) };

		memcpy(at, &block, sizeof(block));
		at += sizeof(block);
	} else if (!(task->cdb[1] & MODE_SENSE_DBD)) {
		struct mode_block_short block = {
			.blocks = be32_of(lu->blocks < UINT32_MAX ? (uint32_t)lu->blocks
								  : UINT32_MAX),
			.block_size = be24_of(lu->block_size),
		};

		memcpy(at, &block, sizeof(block));
		at += sizeof(block);
	}
	end = write_pages(task, at);
	if (end == at) {
		task_sense_cdb(task, 2, 5);
		return -1;
	}
	task->scratch[0] = (uint32_t)(at - out - (long)header);
	return (int)(end - out);
}

static uint8_t device_specific(const struct lu *lu)
{
	return (uint8_t)(MODE_DPOFUA |
			 (lu_is(lu, LU_READ_ONLY | LU_SOFT_PROTECTED) ? MODE_WRITE_PROTECT : 0));
}

static int mode_sense6_fill(struct scsi_task *task, uint8_t *out)
{
	struct mode_header6 *header = (struct mode_header6 *)out;
	int len = mode_fill(task, out, sizeof(*header), false);

	if (len < 0)
		return len;
	header->data_len = (uint8_t)(len - 1);
	header->device_specific = device_specific(task->lu);
	header->descriptors_len = (uint8_t)task->scratch[0];
	return len;
}

static int mode_sense10_fill(struct scsi_task *task, uint8_t *out)
{
	struct mode_header10 *header = (struct mode_header10 *)out;
	bool longlba = task->cdb[1] & MODE_SENSE_LLBAA;
	int len = mode_fill(task, out, sizeof(*header), longlba);

	if (len < 0)
		return len;
	header->data_len = be16_of((uint16_t)(len - 2));
	header->device_specific = device_specific(task->lu);
	header->flags = longlba && task->scratch[0] ? MODE_LONGLBA : 0;
	header->descriptors_len = be16_of((uint16_t)task->scratch[0]);
	return len;
}

const struct cdb_row mode_sense6_row = { .name = "MODE SENSE (6)",
					 USAGE6(CDB_MODE_SENSE_6, MODE_SENSE_DBD, 0xff, 0xff, 0xff,
						CONTROL),
					 RESPONDS(mode_sense6_fill),
					 ALLOCATION(4, 1),
					 .rule = RSV_READ,
					 QUICK };

const struct cdb_row mode_sense10_row = { .name = "MODE SENSE (10)",
					  USAGE10(CDB_MODE_SENSE_10,
						  MODE_SENSE_DBD | MODE_SENSE_LLBAA, 0xff, 0xff, 0,
						  0, 0, LEN2, CONTROL),
					  RESPONDS(mode_sense10_fill),
					  ALLOCATION(7, 2),
					  .rule = RSV_READ,
					  QUICK };
