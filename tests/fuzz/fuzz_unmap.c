// SPDX-License-Identifier: BSD-2-Clause
/*
 * UNMAP parameter lists against a logical unit over a small disk in memory. The list is read a
 * second time here, by the text of SBC 5.35: the answer, the blocks that are zeros afterwards and
 * the requests that reach the disk must be what that says, nothing at all where the list is wrong.
 * The Data-Out is a buffer of exactly the Expected Data Transfer Length.
 *
 * Input: bits, blocks of the disk, PARAMETER LIST LENGTH (2), EDTL (2), immediate bytes (2), the list.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/scsi_port.h"

enum { BLOCK = 512, HEADER = 8, DESCRIPTOR = 16, INPUT_HEAD = 8 };
enum bits { SLOW = 0x01, IMMEDIATE = 0x02, NO_CACHE = 0x04, HUGE = 0x08, NO_DATA = 0x10 };

static struct {
	struct backstore bs;
	uint8_t *bytes, *expected;
	uint64_t blocks;
	bool slow;
	struct disk_queue queue;
	unsigned int unmaps, flushes;
	uint64_t unmapped; /* blocks */
} disk;

static struct port_command command;

/* --- the disk */

static int disk_do(struct bs_req *req)
{
	if (req->opcode == BS_FLUSH) {
		disk.flushes++;
		return 0;
	}
	require(req->opcode == BS_UNMAP, "UNMAP does something else");
	require(req->len > 0, "UNMAP of nothing reaches the disk");
	require(req->offset <= disk.bs.limits.size && req->len <= disk.bs.limits.size - req->offset,
		"a request beyond the disk");
	disk.unmaps++;
	disk.unmapped += req->len / BLOCK;
	return disk.bytes ? disk_execute(disk.bytes, req) : 0;
}

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	(void)bs;
	if (disk.slow)
		return disk_later(&disk.queue, req);
	req->res = disk_do(req);
	return true;
}

static const struct bs_driver disk_driver = { .name = "fuzz", .submit = disk_submit };

/* --- what SBC says */

struct verdict {
	uint32_t sense; /* key, ASC, ASCQ; 0: GOOD */
	unsigned int unmaps;
	uint64_t unmapped;
};

static struct verdict judge(uint32_t list_len, uint32_t edtl)
{
	const uint8_t *list = command.out;
	struct verdict v = { 0 };
	uint64_t count;

	if (!list_len)
		return v;
	v.sense = 0x051a00;
	if (list_len < HEADER || edtl < list_len)
		return v;
	if (number(list, 2) + 2 > list_len || number(list + 2, 2) + HEADER > list_len)
		return v;
	count = number(list + 2, 2) / DESCRIPTOR;
	v.sense = 0x052600;
	if (count > MAX_UNMAP_DESCRIPTORS)
		return v;
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *d = list + HEADER + i * DESCRIPTOR;
		uint64_t lba = number(d, 8), blocks = number(d + 8, 4);

		if (lba > disk.blocks || blocks > disk.blocks - lba)
			return (struct verdict){ .sense = 0x052100 };
		v.unmaps += blocks > 0;
		v.unmapped += blocks;
		if (disk.expected)
			memset(disk.expected + lba * BLOCK, 0, blocks * BLOCK);
	}
	if (v.unmapped > MAX_UNMAP_BLOCKS)
		return (struct verdict){ .sense = 0x052600 };
	v.sense = 0;
	return v;
}

static void check(const struct verdict *v, bool no_cache)
{
	const struct scsi_task *task = &command.task;
	uint32_t sense = 0;

	require(command.ended == 1, "the command does not end, or ends twice");
	if (task->status == SAM_CHECK_CONDITION)
		sense = (uint32_t)(task->sense[2] << 16 | task->sense[12] << 8 | task->sense[13]);
	else
		require(task->status == SAM_GOOD, "status");
	require(sense == v->sense, "another answer than the standard's");
	if (sense) {
		require(!disk.unmaps, "a list that is wrong unmaps something");
		return;
	}
	require(disk.unmaps == v->unmaps && disk.unmapped == v->unmapped,
		"more or less than the list says is unmapped");
	require(disk.flushes == (no_cache && command.task.cdb[7] + command.task.cdb[8] > 0),
		"GOOD without a cache is not durable, or a flush for nothing");
	require(!disk.bytes || !memcmp(disk.bytes, disk.expected, disk.blocks * BLOCK),
		"the disk has other content");
}

/* --- a life */

static void disk_create(uint8_t bits, uint8_t blocks)
{
	memset(&disk, 0, sizeof(disk));
	disk.blocks = bits & HUGE ? 1ull << 40 : 1u + blocks;
	disk.slow = bits & SLOW;
	disk.queue.max = 1;
	disk.queue.execute = disk_do;
	disk.bs.driver = &disk_driver;
	disk.bs.limits = (struct bs_limits){ .size = disk.blocks * BLOCK,
					     .block_size = BLOCK,
					     .physical_block_size = 4096,
					     .volatile_cache = !(bits & NO_CACHE),
					     .can_unmap = true };
	if (bits & HUGE)
		return;
	disk.bytes = malloc(disk.blocks * BLOCK);
	disk.expected = malloc(disk.blocks * BLOCK);
	require(disk.bytes && disk.expected, "out of memory");
	memset(disk.bytes, 0x5a, disk.blocks * BLOCK);
	memset(disk.expected, 0x5a, disk.blocks * BLOCK);
}

static void run(struct nexus *nexus, const uint8_t *data, size_t size)
{
	struct scsi_task *task = &command.task;
	uint32_t edtl = (uint32_t)number(data + 4, 2), first = (uint32_t)number(data + 6, 2);
	uint8_t bits = data[0];
	struct verdict v;
	size_t n = size - INPUT_HEAD < edtl ? size - INPUT_HEAD : edtl;
	uint8_t *out;

	if (bits & NO_DATA)
		edtl = 0;
	memset(&command, 0, sizeof(command));
	out = malloc(edtl ? edtl : 1);
	require(out != NULL, "out of memory");
	memset(out, 0, edtl ? edtl : 1);
	memcpy(out, data + INPUT_HEAD, n < edtl ? n : edtl);
	command.out = out;
	task->port = &port;
	task->reactor = reactor;
	task->nexus = nexus;
	task->cdb[0] = CDB_UNMAP;
	memcpy(task->cdb + 7, data + 2, 2);
	task->cdb_len = 16;
	task->writes = edtl > 0;
	task->edtl = edtl;
	if (bits & IMMEDIATE && edtl) {
		task->first_len = first < edtl ? first : edtl;
		task->first_buf = buf_get(reactor, edtl);
		require(task->first_buf != NULL, "memory has run out");
		memcpy(task->first_buf->data, command.out, task->first_len);
		command.first = task->first_buf->data;
		command.at_once = task->first_len;
	}
	v = judge((uint32_t)number(data + 2, 2), edtl);
	scsi_submit(task);
	turn();
	check(&v, bits & NO_CACHE);
	if (task->first_buf)
		buf_put(reactor, task->first_buf);
	free(out);
	require(slab_in_use(slab) == 0, "memory is left");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lu_config cfg = {
		.bs = &disk.bs, .serial = "FUZZ", .product = "fuzz", .reactors = 1
	};
	static struct scsi_target target;
	static struct nexus nexus;
	char why[256];
	struct lu *lu;

	if (size < INPUT_HEAD)
		return 0;
	disk_create(data[0], data[1]);
	require(!lu_create(&cfg, &lu, why, sizeof(why)), "lu_create");
	memset(&target, 0, sizeof(target));
	memset(&nexus, 0, sizeof(nexus));
	target.port_count = 1;
	target.lun[0] = lu;
	nexus_start(&nexus, &target, 0);
	run(&nexus, data, size);
	nexus_detach(&nexus);
	lu_destroy(lu);
	free(disk.bytes);
	free(disk.expected);
	return 0;
}
