// SPDX-License-Identifier: BSD-2-Clause
/* INQUIRY, SPC 6.7: standard data here, vital product data in vpd.c. */
#include <string.h>

#include "rows.h"

static const char vendor[8] = { 'R', 'I', 'S', 'E', 'R', ' ', ' ', ' ' };
static const char revision[4] = { '1', '.', '0', ' ' };

enum {
	VERSION_SPC4 = 0x06, /* test suites refuse a higher one; SPC-5 is a descriptor */
	DESCRIPTOR_SAM5 = 0x00a0,
	DESCRIPTOR_ISCSI = 0x0960,
	DESCRIPTOR_SPC4 = 0x0460,
	DESCRIPTOR_SPC5 = 0x05c0,
	DESCRIPTOR_SBC3 = 0x04c0,
	DESCRIPTOR_SBC4 = 0x0600,
};

static void pad_copy(uint8_t *to, size_t size, const char *text)
{
	size_t len = strnlen(text, size);

	memcpy(to, text, len);
	memset(to + len, ' ', size - len);
}

static int standard_fill(struct scsi_task *task, uint8_t *out)
{
	struct inquiry_data *data = (struct inquiry_data *)out;

	data->peripheral = task->lu ? 0 : PERIPHERAL_NO_LU;
	data->rmb = task->lu && task->lu->removable ? INQUIRY_RMB : 0;
	data->version = VERSION_SPC4;
	data->format = INQUIRY_NORMACA | INQUIRY_HISUP | INQUIRY_FORMAT;
	data->additional_len = sizeof(*data) - 5;
	data->flags5 = INQUIRY_TPGS | INQUIRY_3PC;
	if (task->lu && task->lu->protection)
		data->flags5 |= INQUIRY_PROTECT;
	data->flags6 = task->nexus->target->port_count > 1 ? INQUIRY_MULTIP : 0;
	data->flags7 = INQUIRY_CMDQUE;
	memcpy(data->vendor, vendor, sizeof(data->vendor));
	pad_copy(data->product, sizeof(data->product), task->lu ? task->lu->product : "");
	memcpy(data->revision, revision, sizeof(data->revision));
	data->version_descriptor[0] = be16_of(DESCRIPTOR_SAM5);
	data->version_descriptor[1] = be16_of(DESCRIPTOR_ISCSI);
	data->version_descriptor[2] = be16_of(DESCRIPTOR_SPC4);
	data->version_descriptor[3] = be16_of(DESCRIPTOR_SBC3);
	data->version_descriptor[4] = be16_of(DESCRIPTOR_SPC5);
	data->version_descriptor[5] = be16_of(DESCRIPTOR_SBC4);
	return sizeof(*data);
}

static int inquiry_fill(struct scsi_task *task, uint8_t *out)
{
	if (task->cdb[1] & INQUIRY_EVPD)
		return vpd_fill(task, out);
	if (task->cdb[2]) {
		task_sense_cdb(task, 2, 7);
		return -1;
	}
	return standard_fill(task, out);
}

const struct cdb_row inquiry_row = { .name = "INQUIRY",
				     USAGE6(CDB_INQUIRY, INQUIRY_EVPD, 0xff, LEN2, CONTROL),
				     RESPONDS(inquiry_fill),
				     ALLOCATION(3, 2),
				     .rule = RSV_NEVER,
				     .flags = ROW_NO_LU | ROW_NO_UA | ROW_UNAVAILABLE |
					      ROW_DURING_JOB,
				     QUICK };
