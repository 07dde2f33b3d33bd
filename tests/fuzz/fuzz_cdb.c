// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sequences of commands (CDB, lengths, Data-Out) against a logical unit over a disk in memory,
 * without transport and session. Each input lives twice: once with a disk that lends its memory
 * and answers at once, once with one that does neither, other memory content and Data-Out by
 * another way. Both must answer the same, and what a small model of SBC says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backstore/tuple_store.h"
#include "protection.h"
#include "tests/fuzz/cdb.h"

static uint8_t counting[251];

/* --- the disk */

static int disk_do(struct bs_req *req)
{
	struct run *run = container_of(req->bs, struct run, bs);

	if (req->opcode != BS_FLUSH)
		require(req->offset <= run->bs.limits.size &&
				req->len <= run->bs.limits.size - req->offset,
			"a request beyond the disk");
	require(!bs_writes(req->opcode) || !(run->bits & LU_PROTECTED),
		"a read-only disk is written");
	if (run->fault) {
		run->fault = false;
		return req->offset & 512 ? -EIO : -ENOSPC;
	}
	if (req->opcode != BS_EXTENT)
		return disk_execute(run->disk, req);
	/* by threes */
	req->extent.len = min_u64(req->len, (3 - req->offset / run->block % 3) * run->block);
	req->extent.mapped = req->offset / run->block / 3 % 2;
	req->extent.anchored = req->offset / run->block / 6 % 2;
	return 0;
}

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	struct run *run = container_of(bs, struct run, bs);

	if (run->slow)
		return disk_later(&run->queue, req);
	req->res = disk_do(req);
	return true;
}

static void *disk_borrow(struct backstore *bs, uint64_t offset, uint64_t len)
{
	(void)len;
	return container_of(bs, struct run, bs)->disk + offset;
}

static void disk_close(struct backstore *bs)
{
	(void)bs; /* part of struct run */
}

static const struct bs_driver disk_driver = {
	.name = "fuzz",
	.submit = disk_submit,
	.borrow = disk_borrow,
	.close = disk_close,
};

static bool tuples_submit(struct backstore *bs, struct bs_req *req)
{
	int res = disk_execute(container_of(bs, struct run, tuples)->tuple_bytes, req);

	req->res = res == -EOPNOTSUPP ? 0 : res;
	return true;
}

static const struct bs_driver tuples_driver = {
	.name = "tuples",
	.submit = tuples_submit,
	.close = disk_close,
};

/* --- one command */

/* Fills len bytes with copies of a part. */
static void repeat(uint8_t *to, uint64_t len, const uint8_t *part, uint64_t part_len)
{
	uint64_t n;

	for (uint64_t at = 0; part_len && at < len; at += n) {
		n = min_u64(at ? at : part_len, len - at);
		memcpy(to + at, at ? to : part, n);
	}
}

static void fill_out(struct command *c)
{
	const struct run *run = c->run;
	uint64_t at = c->lba * run->block, there = 0;

	memset(c->out, 0, c->edtl);
	switch ((enum data_from)(c->how >> 2 & 3)) {
	case DATA_ZEROS: break;
	case DATA_GIVEN: repeat(c->out, c->edtl, c->given, c->given_len); break;
	case DATA_DISK:
		if (c->lba < run->blocks)
			there = min_u64(c->edtl, run->bs.limits.size - at);
		memcpy(c->out, run->disk + (there ? at : 0), there);
		/* What COMPARE AND WRITE writes is something new. */
		if (c->kind == COMPARE_AND_WRITE)
			memset(c->out + c->edtl / 2, (int)c->edtl >> 9, c->edtl / 2);
		break;
	case DATA_COUNTING:
		repeat(c->out, c->edtl, counting, sizeof(counting));
		for (uint32_t i = 0; i < c->edtl; i += 512)
			c->out[i] = (uint8_t)(i >> 9);
		break;
	}
}

/* Data-Out behind which each block has its right tuple, or what the input says. */
static void protect_out(struct command *c)
{
	const struct run *run = c->run;
	uint32_t unit = run->block + (uint32_t)sizeof(struct pi_tuple);
	struct pi_rule rule = pi_default(run->type, c->lba);

	if (!c->transfers || (c->how >> 2 & 3) == DATA_GIVEN)
		return;
	for (uint32_t at = 0; c->edtl - at >= unit; at += unit, rule.ref++) {
		struct pi_tuple tuple;

		if (c->kind == COMPARE_AND_WRITE && at == c->edtl / 2)
			rule.ref = (uint32_t)c->lba;
		pi_make(&tuple, c->out + at, 1, run->block, &rule);
		memcpy(c->out + at + run->block, &tuple, sizeof(tuple));
	}
}

/* Not much more than the disk has, whatever the CDB says. */
static uint32_t edtl_for(const struct run *run, uint64_t blocks, uint32_t unit)
{
	return (uint32_t)(min_u64(blocks, run->blocks + 2) * unit);
}

/* Commands that last or know more than this world, with targets and tests of their own. */
static bool is_elsewhere(uint8_t opcode)
{
	static const uint8_t opcodes[] = { CDB_FORMAT_UNIT,
					   CDB_SANITIZE,
					   CDB_THIRD_PARTY_COPY_OUT,
					   CDB_THIRD_PARTY_COPY_IN,
					   CDB_PERSISTENT_RESERVE_OUT,
					   CDB_MODE_SELECT_6,
					   CDB_MODE_SELECT_10 };

	return memchr(opcodes, opcode, sizeof(opcodes)) != NULL;
}

static void read_command(struct run *run, struct command *c, struct input *in)
{
	uint32_t unit;

	memset(c, 0, sizeof(*c));
	c->run = run;
	c->bits = (uint8_t)take(in, 1);
	c->how = (uint8_t)take(in, 1);
	for (unsigned int i = 0; i < 16; i++)
		c->io.task.cdb[i] = (uint8_t)take(in, 1);
	c->io.task.cdb_len = c->io.task.cdb[0] == CDB_VARIABLE_LENGTH ? CDB_MAX : 16;
	for (unsigned int i = 16; i < c->io.task.cdb_len; i++)
		c->io.task.cdb[i] = (uint8_t)take(in, 1);
	if (is_elsewhere(c->io.task.cdb[0]))
		c->io.task.cdb[0] = CDB_TEST_UNIT_READY;
	cdb_decode(c);
	if (run->type)
		cdb_decode_tuples(c);
	unit = run->block + (c->transfers ? (uint32_t)sizeof(struct pi_tuple) : 0);
	switch ((enum edtl_from)(c->how & 3)) {
	case EDTL_GIVEN: c->edtl = take(in, 2); break;
	case EDTL_CDB: c->edtl = edtl_for(run, c->blocks, unit); break;
	case EDTL_TWICE: c->edtl = 2 * edtl_for(run, c->blocks, unit); break;
	case EDTL_BLOCK: c->edtl = unit; break;
	}
	if ((c->how >> 2 & 3) == DATA_GIVEN) {
		c->given_len = (uint32_t)min_u64(take(in, 2), in->left);
		c->given = in->at;
		in->at += c->given_len;
		in->left -= c->given_len;
	}
	c->out = malloc(c->edtl + 1u);
	c->io.in = malloc(c->edtl + 1u);
	require(c->out && c->io.in, "out of memory");
	c->io.out = c->out;
	fill_out(c);
	protect_out(c);
}

/* What is undefined shall differ between the two lives. */
static void spoil_memory(uint32_t up_to, uint8_t with)
{
	static const uint32_t sizes[] = {
		4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20
	};
	struct buf *b[3];

	for (size_t i = 0; i < array_size(sizes) && sizes[i] / 4 <= up_to; i++) {
		size_t n = sizes[i] > 64 << 10 ? 1 : array_size(b);

		for (size_t j = 0; j < n; j++) {
			b[j] = buf_get(reactor, sizes[i]);
			require(b[j] != NULL, "memory has run out");
			memset(b[j]->data, with, b[j]->size);
		}
		for (size_t j = 0; j < n; j++)
			buf_put(reactor, b[j]);
	}
}

static void give_immediate(struct command *c)
{
	struct scsi_task *task = &c->io.task;
	uint32_t steps = c->how >> 4;

	if (!task->writes || !c->edtl || !(c->bits & TASK_IMMEDIATE) == !c->run->slow)
		return;
	c->io.at_once = (uint32_t)min_u64(c->edtl, steps ? steps * 100 : BUF_MAX);
	task->first_buf = buf_get(reactor, (uint32_t)min_u64(c->edtl, BUF_MAX));
	require(task->first_buf != NULL, "memory has run out");
	memcpy(task->first_buf->data, c->out, c->io.at_once);
	task->first_len = c->io.at_once;
	c->io.first = task->first_buf->data;
}

static void submit(struct command *c)
{
	struct run *run = c->run;
	struct scsi_task *task = &c->io.task;

	spoil_memory(c->edtl, run->slow ? 0xaa : 0x55);
	task->port = &port;
	task->reactor = reactor;
	task->nexus = &run->nexus[c->bits & TASK_OTHER_NEXUS ? 1 : 0];
	task->lun[1] = c->bits & TASK_OTHER_LUN ? 1 : 0;
	task->attribute = 1;
	task->reads = c->bits & TASK_READS;
	task->writes = c->bits & TASK_WRITES;
	task->edtl = c->edtl;
	give_immediate(c);
	if (run->bits & LU_WILD)
		run->fault = c->io.fails = c->bits & TASK_FAULT;
	scsi_submit(task);
	if (run->bits & LU_WILD && c->bits & TASK_ABORT)
		scsi_abort(task);
}

static void release(struct command *c)
{
	if (c->io.task.first_buf)
		buf_put(reactor, c->io.task.first_buf);
	c->io.task.first_buf = NULL;
}

/* --- a life */

/* Puts protection information over the disk. */
static void protect(struct run *run)
{
	run->tuple_bytes = calloc(run->blocks, sizeof(struct pi_tuple));
	require(run->tuple_bytes != NULL, "out of memory");
	run->tuples.driver = &tuples_driver;
	run->tuples.limits.size = run->blocks * sizeof(struct pi_tuple);
	run->tuples.limits.block_size = sizeof(struct pi_tuple);
	list_init(&run->tuples.open_node);
	require(!protection_wrap(&run->bs, &run->tuples, 0, run->type, &run->top),
		"protection_wrap");
}

static void start(struct run *run, uint8_t bits, uint8_t size)
{
	static const uint16_t sizes[] = { 8, 1, 2, 33, 257 };
	struct lu_config lu = { .serial = "FUZZ", .product = "fuzz", .reactors = 1 };

	run->bits = bits;
	run->block = bits & LU_4096 ? 4096 : 512;
	run->blocks = sizes[size % array_size(sizes)];
	if (bits & LU_4096 && run->blocks > 33)
		run->blocks = 40;
	if (size == BIG) /* more than one buffer; such lives are slow */
		run->blocks = (BUF_MAX + (64 << 10)) / run->block;
	run->bs.driver = &disk_driver;
	run->bs.limits = (struct bs_limits){
		.size = run->blocks * run->block,
		.block_size = run->block,
		.physical_block_size = 4096,
		.read_only = bits & LU_PROTECTED,
		.volatile_cache = bits & LU_CACHED,
		.can_unmap = !(bits & LU_NO_UNMAP),
		.can_anchor = true,
		.can_report_extents = true,
		.atomic_max = 8 * run->block,
		.atomic_granularity = 2 * run->block,
		.caches_reads = true,
		.lends_pointers = !run->slow,
	};
	run->queue.max = COMMANDS_MAX;
	run->queue.execute = disk_do;
	/* Of exactly this size: a byte beyond is the sanitizer's. */
	run->disk = malloc(run->bs.limits.size);
	run->before = malloc(run->bs.limits.size);
	require(run->disk && run->before, "out of memory");
	repeat(run->disk, run->bs.limits.size, counting, sizeof(counting));
	run->top = &run->bs;
	run->type = bits & LU_TUPLES ? (uint8_t)(1 + size / 64 % 3) : 0;
	if (run->type)
		protect(run);
	lu.bs = run->top;
	require(!lu_create(&lu, &run->lu, (char[256]){ 0 }, 256), "lu_create");
	snprintf(run->target.name, sizeof(run->target.name), "iqn.2026-11.localhost:riser");
	run->target.lun[0] = run->lu;
	for (unsigned int i = 0; i < array_size(run->nexus); i++) {
		struct nexus *n = &run->nexus[i];

		n->target = &run->target;
		n->port = &run->target.ports[0];
		snprintf(n->initiator_name, sizeof(n->initiator_name), "iqn.2026-11.localhost:%u",
			 i);
		nexus_attach(n);
		for (unsigned int lun = 0; !(bits & LU_ATTENTIONS) && lun < TARGET_LUNS; lun++)
			n->unit_attentions[lun] = 0;
	}
}

static void live(struct run *run, struct input in)
{
	uint8_t bits = (uint8_t)take(&in, 1), size = (uint8_t)take(&in, 1);

	start(run, bits, size);
	while (in.left && run->count < (size == BIG ? BIG_COMMANDS_MAX : COMMANDS_MAX)) {
		struct command *c = &run->commands[run->count++];

		read_command(run, c, &in);
		if (!(bits & LU_WILD))
			memcpy(run->before, run->disk, run->bs.limits.size);
		submit(c);
		if (bits & LU_WILD && c->bits & TASK_LEAVE)
			continue;
		turn();
		if (!(bits & LU_WILD)) {
			cdb_check_result(c);
			cdb_check_model(c);
		}
	}
	turn();
	for (unsigned int i = 0; i < run->count; i++) {
		cdb_check_result(&run->commands[i]);
		release(&run->commands[i]);
	}
	for (unsigned int i = 0; i < array_size(run->nexus); i++)
		nexus_detach(&run->nexus[i]);
	require(slab_in_use(slab) == 0, "memory is left");
}

static void compare(const struct run *a, const struct run *b)
{
	for (unsigned int i = 0; i < a->count; i++) {
		const struct command *x = &a->commands[i], *y = &b->commands[i];

		require(x->io.task.status == y->io.task.status &&
				x->io.task.sense_len == y->io.task.sense_len &&
				!memcmp(x->io.task.sense, y->io.task.sense, x->io.task.sense_len),
			"another status the second time");
		require(x->io.task.transfer_len == y->io.task.transfer_len &&
				x->io.in_len == y->io.in_len,
			"another length the second time");
		require(!memcmp(x->io.in, y->io.in, x->io.in_len), "other Data-In the second time");
	}
	require(!memcmp(a->disk, b->disk, a->bs.limits.size), "another disk the second time");
	require(!a->type || !memcmp(a->tuple_bytes, b->tuple_bytes, a->tuples.limits.size),
		"other tuples the second time");
}

static void end(struct run *run)
{
	for (unsigned int i = 0; i < run->count; i++) {
		free(run->commands[i].out);
		free(run->commands[i].io.in);
	}
	lu_destroy(run->lu);
	if (run->type)
		run->top->driver->close(run->top);
	free(run->tuple_bytes);
	free(run->disk);
	free(run->before);
	free(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct run *run[VARIANTS];

	if (size < 2)
		return 0;
	for (unsigned int i = 0; i < sizeof(counting); i++)
		counting[i] = (uint8_t)(i + 1);
	for (unsigned int i = 0; i < VARIANTS; i++) {
		run[i] = calloc(1, sizeof(*run[i]));
		require(run[i] != NULL, "out of memory");
		run[i]->slow = i;
		live(run[i], in);
	}
	if (!(data[0] & LU_WILD))
		compare(run[0], run[1]);
	for (unsigned int i = 0; i < VARIANTS; i++)
		end(run[i]);
	return 0;
}
