// SPDX-License-Identifier: BSD-2-Clause
/* Vital product data, SPC 7.7 and SBC 6.6: a table of pages. To add one: a function and a row. */
#include <stdio.h>
#include <string.h>

#include "scsi.h"

/* Each writes behind the header and returns how many bytes it wrote there. */
static int serial_page(struct scsi_task *task, uint8_t *out)
{
	size_t len = strlen(task->lu->serial);

	memcpy(out, task->lu->serial, len);
	return (int)len;
}

/* --- 83h, Device Identification */

/* Writes the descriptor's head in front of `len` bytes that are there; returns its end. */
static uint8_t *designator_end(uint8_t *at, uint8_t code_set, uint8_t type, size_t len)
{
	struct designator *d = (struct designator *)at;

	d->code_set = code_set;
	d->type = type;
	d->len = (uint8_t)len;
	return at + sizeof(*d) + len;
}

/* 60 bits of FNV-1a, mixed so that serials that differ little differ much. */
static uint64_t serial_hash(const char *serial)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *serial; serial++)
		h = (h ^ (uint8_t)*serial) * 0x100000001b3;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccd;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53;
	return h ^ h >> 33;
}

/* UTF-8 with at least one NUL, padded to a multiple of four: SPC 7.7.6.11. */
static uint8_t *name_designator(uint8_t *at, uint8_t association, const char *name,
				const char *suffix)
{
	char *text = (char *)at + sizeof(struct designator);
	int len = snprintf(text, 252, "%s%s", name, suffix);

	return designator_end(at, DESIGNATOR_ISCSI | CODE_SET_UTF8,
			      (uint8_t)(DESIGNATOR_PIV | association | DESIGNATOR_NAME),
			      ((size_t)len + 4) & ~3ul);
}

static uint8_t *number_designator(uint8_t *at, uint8_t type, uint16_t number)
{
	struct be32 value = be32_of(number);

	memcpy(at + sizeof(struct designator), value.b, sizeof(value));
	return designator_end(at, DESIGNATOR_ISCSI | CODE_SET_BINARY,
			      (uint8_t)(DESIGNATOR_PIV | DESIGNATOR_OF_PORT | type), sizeof(value));
}

/* All of the unit's own names come from its stored serial: they survive restart and rename. */
static int identification_page(struct scsi_task *task, uint8_t *out)
{
	const struct scsi_target *target = task->nexus->target;
	const struct target_port *through = task->nexus->port;
	const char *serial = task->lu->serial;
	struct be64 naa = be64_of(0x3ull << 60 | serial_hash(serial) >> 4);
	uint8_t *at = out, *data = at + sizeof(struct designator);
	char port[16];

	memcpy(data, naa.b, sizeof(naa)); /* NAA 3h, locally assigned */
	at = designator_end(at, CODE_SET_BINARY, DESIGNATOR_NAA, sizeof(naa));

	data = at + sizeof(struct designator);
	memcpy(data, "RISER   ", 8);
	memcpy(data + 8, serial, strlen(serial));
	at = designator_end(at, CODE_SET_ASCII, DESIGNATOR_T10, 8 + strlen(serial));

	at = number_designator(at, DESIGNATOR_RELATIVE_PORT, through->relative);
	at = number_designator(at, DESIGNATOR_PORT_GROUP, through->tag);
	snprintf(port, sizeof(port), ",t,0x%04x", through->tag);
	at = name_designator(at, DESIGNATOR_OF_PORT, target->name, port);
	at = name_designator(at, DESIGNATOR_OF_DEVICE, target->name, "");
	return (int)(at - out);
}

/* --- The others */

enum { EXTENDED_SIMPSUP = 0x01, EXTENDED_HEADSUP = 0x04, EXTENDED_V_SUP = 0x01 };

static int extended_page(struct scsi_task *task, uint8_t *out)
{
	out[5 - sizeof(struct vpd_header)] = EXTENDED_HEADSUP | EXTENDED_SIMPSUP;
	out[6 - sizeof(struct vpd_header)] = task->lu->volatile_cache ? EXTENDED_V_SUP : 0;
	return 60;
}

static int block_limits_page(struct scsi_task *task, uint8_t *out)
{
	struct vpd_block_limits *page = (void *)(out - sizeof(struct vpd_header));
	const struct lu *lu = task->lu;
	const struct bs_limits *limits = &lu->bs->limits;
	uint32_t granularity = limits->physical_block_size >> lu->block_shift;
	uint32_t unmap = limits->unmap_granularity >> lu->block_shift;

	page->max_compare_and_write = lu->max_compare_blocks;
	page->optimal_granularity =
		be16_of((uint16_t)(granularity < 0xffff ? granularity : 0xffff));
	page->max_transfer = be32_of(MAX_TRANSFER_BLOCKS);
	page->optimal_transfer = be32_of(limits->optimal_io_size >> lu->block_shift);
	if (lu->can_unmap) {
		page->max_unmap_blocks = be32_of(MAX_UNMAP_BLOCKS);
		page->max_unmap_descriptors = be32_of(MAX_UNMAP_DESCRIPTORS);
		page->unmap_granularity = be32_of(unmap ? unmap : 1);
		page->unmap_alignment = be32_of(UNMAP_ALIGNMENT_VALID);
	}
	page->max_write_same = be64_of(MAX_WRITE_SAME_BYTES >> lu->block_shift);
	return sizeof(*page) - sizeof(page->header);
}

static int block_characteristics_page(struct scsi_task *task, uint8_t *out)
{
	struct vpd_block_characteristics *page = (void *)(out - sizeof(struct vpd_header));

	page->rotation = be16_of(task->lu->bs->limits.rotational ? 0 : 1);
	return sizeof(*page) - sizeof(page->header);
}

static int provisioning_page(struct scsi_task *task, uint8_t *out)
{
	struct vpd_provisioning *page = (void *)(out - sizeof(struct vpd_header));

	if (task->lu->can_unmap) {
		page->flags = PROVISIONING_LBPU | PROVISIONING_LBPWS | PROVISIONING_LBPRZ;
		page->type = PROVISIONING_THIN;
	}
	return sizeof(*page) - sizeof(page->header);
}

static int supported_page(struct scsi_task *task, uint8_t *out);

/* In ascending order, SPC 7.7.15. */
static const struct {
	uint8_t page;
	int (*write)(struct scsi_task *task, uint8_t *out);
} pages[] = {
	{ VPD_SUPPORTED, supported_page },
	{ VPD_SERIAL, serial_page },
	{ VPD_IDENTIFICATION, identification_page },
	{ VPD_EXTENDED, extended_page },
	{ VPD_BLOCK_LIMITS, block_limits_page },
	{ VPD_BLOCK_CHARACTERISTICS, block_characteristics_page },
	{ VPD_PROVISIONING, provisioning_page },
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
