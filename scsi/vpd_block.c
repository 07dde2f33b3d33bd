// SPDX-License-Identifier: BSD-2-Clause
/*
 * Vital product data of block devices: VPD B0h, B1h, B2h, SBC 6.6. What is said of the medium comes
 * from the backstore's limits.
 */
#include "scsi_vpd_wire.h"
#include "vpd.h"

static struct be32 blocks_of(const struct lu *lu, uint64_t bytes)
{
	uint64_t blocks = bytes >> lu->block_shift;

	return be32_of(blocks < UINT32_MAX ? (uint32_t)blocks : UINT32_MAX);
}

static void atomic_limits(const struct lu *lu, struct vpd_atomic_limits *out)
{
	const struct bs_limits *limits = &lu->bs->limits;

	if (!row_exists(&write_atomic16_row, lu))
		return;
	out->max_len = be32_of(lu_atomic_max(lu));
	out->alignment = out->granularity = blocks_of(lu, limits->atomic_granularity);
}

int vpd_block_limits(struct scsi_task *task, uint8_t *out)
{
	struct vpd_block_limits *page = (void *)(out - sizeof(struct vpd_header));
	const struct lu *lu = task->lu;
	const struct bs_limits *limits = &lu->bs->limits;
	uint32_t granularity = limits->physical_block_size >> lu->block_shift;
	uint32_t unmap = limits->unmap_granularity >> lu->block_shift;
	uint32_t alignment = limits->unmap_alignment >> lu->block_shift;

	page->wsnz = 1;
	page->max_compare_and_write = lu->max_compare_blocks;
	page->optimal_granularity =
		be16_of((uint16_t)(granularity < 0xffff ? granularity : 0xffff));
	page->max_transfer = be32_of(MAX_TRANSFER_BLOCKS);
	page->optimal_transfer = blocks_of(lu, limits->optimal_io_size);
	if (lu->can_unmap) {
		page->max_unmap_blocks = be32_of(MAX_UNMAP_BLOCKS);
		page->max_unmap_descriptors = be32_of(MAX_UNMAP_DESCRIPTORS);
		page->unmap_granularity = be32_of(unmap ? unmap : 1);
		page->unmap_alignment = be32_of(UNMAP_ALIGNMENT_VALID | alignment);
	}
	page->max_write_same = be64_of(MAX_WRITE_SAME_BYTES >> lu->block_shift);
	static_assert(sizeof(page->rsvd) == sizeof(struct vpd_atomic_limits), "bytes 44 to 63");
	atomic_limits(lu, (struct vpd_atomic_limits *)page->rsvd);
	return sizeof(*page) - sizeof(page->header);
}

/* VERIFY reads unmapped blocks as it reads others. */
int vpd_block_characteristics(struct scsi_task *task, uint8_t *out)
{
	struct vpd_block_characteristics *page = (void *)(out - sizeof(struct vpd_header));

	page->rotation = be16_of(task->lu->bs->limits.rotational ? 0 : 1);
	page->flags = CHARACTERISTICS_VBULS;
	if (row_exists(&sanitize_block_erase_row, task->lu))
		page->erase = CHARACTERISTICS_ERASED_READS;
	return sizeof(*page) - sizeof(page->header);
}

int vpd_provisioning(struct scsi_task *task, uint8_t *out)
{
	struct vpd_provisioning *page = (void *)(out - sizeof(struct vpd_header));

	if (!task->lu->can_unmap)
		return sizeof(*page) - sizeof(page->header);
	page->threshold_exponent = lu_threshold_exponent(task->lu);
	page->flags =
		PROVISIONING_LBPU | PROVISIONING_LBPWS | PROVISIONING_LBPWS10 | PROVISIONING_LBPRZ;
	if (task->lu->can_anchor)
		page->flags |= PROVISIONING_ANC_SUP;
	page->type = PROVISIONING_THIN;
	return sizeof(*page) - sizeof(page->header);
}
