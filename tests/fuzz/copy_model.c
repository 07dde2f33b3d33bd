// SPDX-License-Identifier: BSD-2-Clause
/* The fuzzer's own reading of EXTENDED COPY and WRITE USING TOKEN, on shadows of the disks. */
#include <string.h>

#include "tests/fuzz/copy.h"

void model_follow(void)
{
	for (unsigned int i = 0; i < DISKS; i++)
		memcpy(life.disks[i].shadow, life.disks[i].bytes, DISK_SIZE);
}

void model_check(void)
{
	for (unsigned int i = 0; i < DISKS; i++)
		require(!memcmp(life.disks[i].shadow, life.disks[i].bytes, DISK_SIZE),
			"a disk is not what it should be");
}

static void shadow_write(unsigned int to, uint64_t to_at, const uint8_t *from, uint64_t len)
{
	require(to_at <= DISK_SIZE && len <= DISK_SIZE - to_at, "GOOD for a range beyond the disk");
	require(!len || to != 1 || !(life.world & (PROTECTED | DENIED_WRITE | DENIED_READ)),
		"GOOD for a unit that may not be written");
	if (from)
		memmove(life.disks[to].shadow + to_at, from, len);
	else
		memset(life.disks[to].shadow + to_at, 0, len);
}

static const uint8_t *shadow_read(unsigned int from, uint64_t at, uint64_t len)
{
	require(at <= DISK_SIZE && len <= DISK_SIZE - at, "GOOD for a source beyond the disk");
	require(!len || from != 1 || !(life.world & DENIED_READ),
		"GOOD for a unit nobody may read");
	return life.disks[from].shadow + at;
}

unsigned int model_own_disk(const struct command *c)
{
	return c->bits & STRANGER ? FOREIGN : c->bits & UNIT_1 ? 1 : 0;
}

/* The disk that a CSCD descriptor means, for this command's nexus. */
static unsigned int cscd_disk(const struct command *c, const uint8_t *cscds, uint16_t i)
{
	const uint8_t *d = cscds + i * 32u + 4;

	if (i == CSCD_OF_COPY_MANAGER)
		return model_own_disk(c);
	for (unsigned int disk = 0; disk < DISKS; disk++) {
		if ((disk == FOREIGN) == !!(c->bits & STRANGER) &&
		    d[3] == life.disks[disk].designator[3] &&
		    !memcmp(d + 4, life.disks[disk].designator + 4, d[3]))
			return disk;
	}
	require(false, "GOOD for a CSCD that is nowhere");
	return 0;
}

static void model_segment(const struct command *c, const uint8_t *cscds, const uint8_t *s)
{
	unsigned int from = cscd_disk(c, cscds, (uint16_t)number(s + 4, 2));
	unsigned int to = cscd_disk(c, cscds, (uint16_t)number(s + 6, 2));
	uint64_t len = number(s + 10, 2) * block_size(s[1] & SEGMENT_DC ? to : from);
	uint64_t from_at = number(s + 12, 8), to_at = number(s + 20, 8);

	require(from_at <= DISK_SIZE && to_at <= DISK_SIZE, "GOOD for an LBA beyond the disk");
	shadow_write(to, to_at * block_size(to), shadow_read(from, from_at * block_size(from), len),
		     len);
}

void model_copy(const struct command *c)
{
	bool lid4 = c->io.task.cdb[1] == SA_EXTENDED_COPY_LID4;
	const uint8_t *cscds, *segments;
	uint64_t count;

	if (!c->len || (c->io.task.status != SAM_GOOD &&
			!(c->io.task.status == SAM_CHECK_CONDITION && c->io.task.sense[2] == 0x0a)))
		return;
	cscds = c->list + (lid4 ? 48 : 16);
	segments = cscds + number(c->list + (lid4 ? 42 : 2), 2);
	count = (lid4 ? number(c->list + 44, 2) : number(c->list + 8, 4)) / 28;
	if (c->io.task.status != SAM_GOOD)
		count = number(c->io.task.sense + 10, 2);
	for (uint64_t i = 0; i < count; i++)
		model_segment(c, cscds, segments + i * 28);
}

void model_write(const struct command *c)
{
	const uint8_t *range;
	uint64_t skip, blocks;
	unsigned int i = 0, to = model_own_disk(c);

	if (c->io.task.status != SAM_GOOD || !c->len)
		return;
	range = c->list + 536;
	skip = number(c->list + 8, 8);
	for (uint64_t n = number(c->list + 534, 2) / 16; n--; range += 16) {
		uint64_t at = number(range, 8);

		blocks = number(range + 8, 4);
		require(at <= DISK_SIZE && blocks <= DISK_SIZE,
			"GOOD for blocks that are not there");
		if (number(c->list + 16, 4) == ROD_BLOCK_DEVICE_ZERO) {
			shadow_write(to, at * block_size(to), NULL, blocks * block_size(to));
			continue;
		}
		require(!memcmp(c->list + 16, life.token, ROD_TOKEN_SIZE),
			"GOOD for no token of ours");
		require((life.token_disk == FOREIGN) == (to == FOREIGN),
			"a token of another target");
		while (blocks) {
			if (i == life.token_count)
				return; /* as much as the token has */
			if (skip >= life.token_ranges[i].blocks) {
				skip -= life.token_ranges[i++].blocks;
				continue;
			}
			shadow_write(to, at++ * block_size(to),
				     shadow_read(life.token_disk,
						 (life.token_ranges[i].lba + skip) *
							 block_size(life.token_disk),
						 block_size(to)),
				     block_size(to));
			skip++;
			blocks--;
		}
	}
}
