// SPDX-License-Identifier: BSD-2-Clause
/*
 * Vital product data, SPC 7.7 and SBC 6.6: the table of pages, and the short ones. To add one: a
 * function declared in vpd.h and a row.
 */
#include <string.h>

#include "scsi_vpd_wire.h"
#include "vpd.h"

static int serial_page(struct scsi_task *task, uint8_t *out)
{
	size_t len = strlen(task->lu->serial);

	memcpy(out, task->lu->serial, len);
	return (int)len;
}

static int extended_page(struct scsi_task *task, uint8_t *out)
{
	static const uint8_t types[] = { 0, EXTENDED_SPT_1, EXTENDED_SPT_2, EXTENDED_SPT_3 };
	struct vpd_extended *page = (void *)(out - sizeof(struct vpd_header));
	const struct lu *lu = task->lu;

	if (lu->protection) {
		page->checks = EXTENDED_CHECKS | types[lu->protection];
		page->nexus = EXTENDED_NO_PI_CHK;
	}
	page->attributes = EXTENDED_HEADSUP | EXTENDED_ORDSUP | EXTENDED_SIMPSUP;
	page->caches = lu->volatile_cache ? EXTENDED_V_SUP : 0;
	page->max_sense = SENSE_MAX;
	return sizeof(*page) - sizeof(page->header);
}

/* One descriptor for all pages: every initiator sees and changes the same values. */
static int policy_page(struct scsi_task *task, uint8_t *out)
{
	struct mode_page_policy *all = (struct mode_page_policy *)out;

	(void)task;
	all->page = MODE_PAGE_ALL;
	all->subpage = 0xff;
	return sizeof(*all);
}

static int supported_page(struct scsi_task *task, uint8_t *out);

/* In ascending order, SPC 7.7.15. */
static const struct {
	uint8_t page;
	int (*write)(struct scsi_task *task, uint8_t *out);
} pages[] = {
	{ VPD_SUPPORTED, supported_page },
	{ VPD_SERIAL, serial_page },
	{ VPD_IDENTIFICATION, vpd_identification },
	{ VPD_EXTENDED, extended_page },
	{ VPD_MODE_PAGE_POLICY, policy_page },
	{ VPD_SCSI_PORTS, vpd_ports },
	{ VPD_THIRD_PARTY_COPY, third_party_copy_page },
	{ VPD_BLOCK_LIMITS, vpd_block_limits },
	{ VPD_BLOCK_CHARACTERISTICS, vpd_block_characteristics },
	{ VPD_PROVISIONING, vpd_provisioning },
};

/* A LUN without a logical unit has this page alone. */
static int supported_page(struct scsi_task *task, uint8_t *out)
{
	size_t count = task->lu ? array_size(pages) : 1;

	for (size_t i = 0; i < count; i++)
		out[i] = pages[i].page;
	return (int)count;
}

int vpd_fill(struct scsi_task *task, uint8_t *out)
{
	struct vpd_header *header = (struct vpd_header *)out;
	int len;

	for (size_t i = 0; i < array_size(pages); i++) {
		if (pages[i].page != task->cdb[2] || (!task->lu && i))
			continue;
		header->peripheral = task->lu ? 0 : PERIPHERAL_NO_LU;
		header->page = pages[i].page;
		len = pages[i].write(task, out + sizeof(*header));
		header->len = be16_of((uint16_t)len);
		return (int)sizeof(*header) + len;
	}
	task_sense_cdb(task, 2, 7);
	return -1;
}
