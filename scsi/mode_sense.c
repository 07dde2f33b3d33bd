// SPDX-License-Identifier: BSD-2-Clause
/* MODE SENSE, SPC 6.14 and 6.15. The pages are rows of mode_pages.c. */
#include <string.h>

#include "pages.h"
#include "rows.h"

static bool is_asked_for(const struct scsi_task *task, const struct mode_page *row)
{
	uint8_t code = task->cdb[2] & MODE_CODE, subpage = task->cdb[3];

	return mode_page_exists(row, task->lu) && (code == MODE_PAGE_ALL || code == row->code) &&
	       (subpage == MODE_SUBPAGE_ALL || subpage == row->subpage);
}

/* Returns the end of what was written; out itself when there is no such page. */
static uint8_t *write_pages(struct scsi_task *task, uint8_t *out)
{
	uint8_t control = task->cdb[2] >> 6;
	struct mode_values values;

	if (control == MODE_CURRENT)
		mode_current(task->lu, &values);
	else if (control == MODE_SAVED)
		mode_saved(task->lu, &values);
	else
		mode_defaults(task->lu, &values);
	for (unsigned int i = 0; i < MODE_PAGES; i++) {
		if (!is_asked_for(task, &mode_pages[i]))
			continue;
		if (control == MODE_CHANGEABLE)
			mode_page_mask(task->lu, i, out);
		else
			mode_page_write(task->lu, i, &values, out);
		out += mode_pages[i].len;
	}
	return out;
}

static uint8_t *write_block(const struct lu *lu, bool longlba, uint8_t *out)
{
	uint64_t blocks = lu->blocks;
	struct mode_block_long large = { .blocks = be64_of(blocks),
					 .block_size = be32_of(lu->block_size) };
	struct mode_block_short small = {
		.blocks = be32_of(blocks < UINT32_MAX ? (uint32_t)blocks : UINT32_MAX),
		.block_size = be24_of(lu->block_size),
	};

	if (longlba)
		memcpy(out, &large, sizeof(large));
	else
		memcpy(out, &small, sizeof(small));
	return out + (longlba ? sizeof(large) : sizeof(small));
}

/* Header, block descriptor and pages: the parts are the same but for their sizes. */
static int mode_fill(struct scsi_task *task, uint8_t *out, size_t header, bool longlba)
{
	uint8_t *at = out + header, *end;
	uint8_t code = task->cdb[2] & MODE_CODE;
	bool named;

	if (task->cdb[2] >> 6 == MODE_SAVED && !task->lu->store) {
		task_sense_code(task, SENSE_NO_SAVED_PARAMETERS);
		return -1;
	}
	if (!(task->cdb[1] & MODE_SENSE_DBD))
		at = write_block(task->lu, longlba, at);
	end = write_pages(task, at);
	if (end == at) {
		/* Which of the two bytes is wrong. */
		named = code == MODE_PAGE_ALL || mode_page_find(task->lu, code, 0) >= 0;
		task_sense_cdb(task, named ? 3 : 2, named ? 7 : 5);
		return -1;
	}
	task->scratch[0] = (uint32_t)(at - out - (long)header);
	return (int)(end - out);
}

static uint8_t device_specific(const struct scsi_task *task)
{
	bool protects = lu_is(task->lu, LU_READ_ONLY | LU_SOFT_PROTECTED) ||
			nexus_only_reads(task->nexus, task->lun[1]);

	return (uint8_t)(MODE_DPOFUA | (protects ? MODE_WRITE_PROTECT : 0));
}

static int mode_sense6_fill(struct scsi_task *task, uint8_t *out)
{
	struct mode_header6 *header = (struct mode_header6 *)out;
	int len = mode_fill(task, out, sizeof(*header), false);

	if (len < 0)
		return len;
	header->data_len = (uint8_t)(len - 1);
	header->device_specific = device_specific(task);
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
	header->device_specific = device_specific(task);
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
					 .flags = ROW_STANDBY,
					 QUICK };

const struct cdb_row mode_sense10_row = { .name = "MODE SENSE (10)",
					  USAGE10(CDB_MODE_SENSE_10,
						  MODE_SENSE_DBD | MODE_SENSE_LLBAA, 0xff, 0xff, 0,
						  0, 0, LEN2, CONTROL),
					  RESPONDS(mode_sense10_fill),
					  ALLOCATION(7, 2),
					  .rule = RSV_READ,
					  .flags = ROW_STANDBY,
					  QUICK };
