// SPDX-License-Identifier: BSD-2-Clause
/*
 * EXTENDED COPY, POPULATE TOKEN and WRITE USING TOKEN with whatever lists, on two units of one
 * target and one of another. The oracle reads each list itself: after GOOD all segments are copied,
 * after COPY ABORTED those before the one that sense names, otherwise none; and nothing ever changes
 * on a unit of another target, a protected one, or one that somebody else has reserved.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/memcheck.h"
#include "tests/fuzz/copy.h"

struct copy_life life;
static struct scsi_target target, other;
static struct nexus nexus, stranger;
static bool fault;
static struct disk_queue queue;

static void put(uint8_t *at, unsigned int bytes, uint64_t v)
{
	while (bytes--) {
		at[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

/* --- disks */

static struct disk *disk_of(struct backstore *bs)
{
	return container_of(bs, struct disk, bs);
}

static int disk_copy(const struct bs_req *req)
{
	uint8_t *p = disk_of(req->bs)->bytes + req->offset;
	const uint8_t *from = disk_of(req->source)->bytes + req->source_offset;

	if (!(life.world & CLONES))
		return -EOPNOTSUPP;
	require(req->source_offset <= DISK_SIZE && req->len <= DISK_SIZE - req->source_offset,
		"a clone from beyond the disk");
	require(p + req->len <= from || from + req->len <= p, "a clone of what overlaps");
	memcpy(p, from, req->len);
	return 0;
}

static int disk_do(struct bs_req *req)
{
	require(req->offset <= DISK_SIZE && req->len <= DISK_SIZE - req->offset, "beyond the disk");
	if (fault) {
		fault = false;
		return req->offset & 512 ? -EIO : -ENOSPC;
	}
	switch (req->opcode) {
	case BS_COPY: return disk_copy(req);
	case BS_UNMAP: return -EOPNOTSUPP;
	default: return disk_execute(disk_of(req->bs)->bytes, req);
	}
}

static bool disk_submit(struct backstore *bs, struct bs_req *req)
{
	(void)bs;
	if (life.world & SLOW)
		return disk_later(&queue, req);
	req->res = disk_do(req);
	return true;
}

static const struct bs_driver disk_driver = { .name = "fuzz", .submit = disk_submit };

/* --- the world */

/* Slow worlds have the data come later; else all of it came with the command. */
static void run_command(struct command *c)
{
	struct scsi_task *task = &c->io.task;

	task->port = &port;
	task->reactor = reactor;
	task->nexus = c->bits & STRANGER ? &stranger : &nexus;
	task->lun[1] = c->bits & UNIT_1 && !(c->bits & STRANGER);
	task->attribute = 1;
	task->cdb_len = CDB_MAX;
	if (c->list && !(life.world & SLOW)) {
		task->first_buf = buf_get(reactor, task->edtl);
		require(task->first_buf != NULL, "memory has run out");
		memcpy(task->first_buf->data, c->list, task->edtl);
		task->first_len = task->edtl;
		mem_poison(task->first_buf->data + task->edtl, task->first_buf->size - task->edtl);
	}
	scsi_submit(task);
	if (c->bits & ABORT)
		scsi_abort(task);
	turn();
	fault = false;
	require(c->io.ended == 1 && !c->io.moving, "a command has not ended once");
	if (task->first_buf) {
		mem_unpoison(task->first_buf->data, task->first_buf->size);
		buf_put(reactor, task->first_buf);
	}
	require(slab_in_use(slab) == 0, "memory is left");
}

static void disk_start(unsigned int i, uint32_t block_size)
{
	struct disk *d = &life.disks[i];
	char serial[8] = { 'F', 'U', 'Z', 'Z', (char)('0' + i) }, why[256];
	struct lu_config cfg = { .bs = &d->bs, .serial = serial, .product = "fuzz", .reactors = 1 };

	memset(d, 0, sizeof(*d));
	d->bs.driver = &disk_driver;
	d->bs.limits = (struct bs_limits){ .size = DISK_SIZE,
					   .block_size = block_size,
					   .physical_block_size = 4096,
					   .read_only = i == 1 && life.world & PROTECTED,
					   .volatile_cache = i != 1 || !(life.world & FORCED) };
	d->bytes = malloc(DISK_SIZE);
	d->shadow = malloc(DISK_SIZE);
	require(d->bytes && d->shadow && !lu_create(&cfg, &d->lu, why, sizeof(why)), "no disk");
	for (unsigned int at = 0; at < DISK_SIZE; at++)
		d->bytes[at] = (uint8_t)(i * 80 + at / 512 + at % 3);
	memcpy(d->shadow, d->bytes, DISK_SIZE);
}

static void target_start(struct scsi_target *t, const char *name)
{
	memset(t, 0, sizeof(*t));
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->ports[0] = (struct target_port){ .tag = 1, .relative = 1 };
	t->port_count = 1;
}

static void initiator_start(struct nexus *n, struct scsi_target *t, const char *name)
{
	memset(n, 0, sizeof(*n));
	snprintf(n->initiator_name, sizeof(n->initiator_name), "%s", name);
	nexus_start(n, t, 0);
}

/* What INQUIRY shows of the unit. */
static void learn_designator(unsigned int i)
{
	uint8_t in[1024];
	struct command c = { .bits = i == FOREIGN ? STRANGER
				     : i	  ? UNIT_1
						  : 0,
			     .io.in = in,
			     .io.task.edtl = sizeof(in) };
	const uint8_t *d = in + 4;

	memcpy(c.io.task.cdb, (const uint8_t[]){ CDB_INQUIRY, 1, VPD_IDENTIFICATION, 4, 0 }, 5);
	c.io.task.reads = true;
	run_command(&c);
	while ((d[1] & 0x3f) != DESIGNATOR_NAA)
		d += 4 + d[3];
	memcpy(life.disks[i].designator, d, 4u + d[3]);
}

static void start(void)
{
	for (unsigned int i = 0; i < DISKS; i++)
		disk_start(i, i == 1 && life.world & LARGE_BLOCKS ? 4096 : 512);
	target_start(&target, "iqn.2026-11.localhost:riser");
	target_start(&other, "iqn.2026-11.localhost:other");
	target.lun[0] = life.disks[0].lu;
	target.lun[1] = life.disks[1].lu;
	other.lun[0] = life.disks[FOREIGN].lu;
	initiator_start(&nexus, &target, "iqn.2026-11.localhost:a");
	initiator_start(&stranger, &other, "iqn.2026-11.localhost:b");
	for (unsigned int i = 0; i < DISKS; i++)
		learn_designator(i);
	if (life.world & DENIED_WRITE)
		atomic_fetch_or(&nexus.denied[1], 1 << RSV_WRITE);
	if (life.world & DENIED_READ)
		atomic_fetch_or(&nexus.denied[1], 1 << RSV_WRITE | 1 << RSV_READ);
	life.token_count = 0;
	memset(life.token, 0, sizeof(life.token));
	queue.max = PENDING;
	queue.execute = disk_do;
}

static void end(void)
{
	nexus_detach(&nexus);
	nexus_detach(&stranger);
	for (unsigned int i = 0; i < DISKS; i++) {
		lu_destroy(life.disks[i].lu);
		free(life.disks[i].bytes);
		free(life.disks[i].shadow);
	}
}

/* --- commands */

/* Gets the token that was just made. */
static void fetch_token(const struct command *made)
{
	uint8_t in[1024];
	struct command c = { .bits = made->bits & (UNIT_1 | STRANGER),
			     .io.in = in,
			     .io.task.edtl = sizeof(in) };

	c.io.task.cdb[0] = CDB_THIRD_PARTY_COPY_IN;
	c.io.task.cdb[1] = SA_RECEIVE_ROD_TOKEN_INFORMATION;
	memcpy(c.io.task.cdb + 2, made->io.task.cdb + TOKEN_LIST_ID_AT, 4);
	put(c.io.task.cdb + COPY_LENGTH_AT, 4, sizeof(in));
	c.io.task.reads = true;
	run_command(&c);
	require(c.io.task.status == SAM_GOOD && c.io.in_len == 38 + ROD_TOKEN_SIZE, "no token");
	memcpy(life.token, in + 38, sizeof(life.token));
	life.token_disk = model_own_disk(made);
	life.token_count = (unsigned int)number(made->list + 14, 2) / 16;
	require(life.token_count <= COPY_RANGES, "a token of too many ranges");
	for (unsigned int i = 0; i < life.token_count; i++)
		life.token_ranges[i] =
			(struct copy_range){ number(made->list + 16 + 16 * i, 8),
					     (uint32_t)number(made->list + 24 + 16 * i, 4) };
}

/* Puts in what bytes cannot guess: CSCD descriptors of type E4h get the designator of the disk that
 * their designator's first byte names, tokens of access upon reference become the last one made. */
static void fix_up(struct command *c, enum kind kind)
{
	uint32_t at = kind == COPY_LID4 ? 48 : 16;
	uint8_t flip;

	if (kind == WRITE_USING) {
		if (c->len < 536 || number(c->list + 16, 4) != ROD_ACCESS_UPON_REFERENCE)
			return;
		flip = c->list[16 + 8];
		memcpy(c->list + 16, life.token, sizeof(life.token));
		if (flip & 0x80)
			c->list[16 + flip % 64 * 8] ^= flip;
		return;
	}
	for (; kind <= COPY_LID4 && at + 32 <= c->len && c->list[at] == CSCD_IDENTIFICATION;
	     at += 32)
		memcpy(c->list + at + 4, life.disks[c->list[at + 8] % DISKS].designator, 24);
}

static void take_list(struct command *c, struct input *in, enum kind kind)
{
	static const uint8_t actions[] = { SA_EXTENDED_COPY_LID1, SA_EXTENDED_COPY_LID4,
					   SA_POPULATE_TOKEN, SA_WRITE_USING_TOKEN };

	c->len = take(in, 2);
	if (c->len > in->left)
		c->len = (uint32_t)in->left;
	if (c->len > LIST_SIZE)
		c->len = LIST_SIZE;
	c->io.task.edtl = c->len;
	c->list = c->len ? malloc(c->len) : NULL;
	c->io.out = c->list;
	if (c->list)
		memcpy(c->list, in->at, c->len);
	in->at += c->len;
	in->left -= c->len;
	c->io.task.cdb[0] = CDB_THIRD_PARTY_COPY_OUT;
	c->io.task.cdb[1] = actions[kind];
	c->io.task.cdb[TOKEN_LIST_ID_AT + 3] = kind >= POPULATE;
	put(c->io.task.cdb + COPY_LENGTH_AT, 4, c->len);
	c->io.task.writes = c->len > 0;
	if (c->bits & FIX_UP)
		fix_up(c, kind);
}

static void copy_command(struct command *c, struct input *in, enum kind kind)
{
	take_list(c, in, kind);
	fault = c->bits & FAULT;
	run_command(c);
	if (c->bits & (ABORT | FAULT)) {
		require(!memcmp(life.disks[FOREIGN].shadow, life.disks[FOREIGN].bytes, DISK_SIZE) ||
				c->bits & STRANGER,
			"another target's disk has changed");
		model_follow();
	} else if (kind <= COPY_LID4) {
		model_copy(c);
	} else if (kind == WRITE_USING) {
		model_write(c);
	} else if (c->io.task.status == SAM_GOOD && c->len) {
		fetch_token(c);
	}
	model_check();
	free(c->list);
}

/* A question, or any CDB of these two operation codes without data. */
static void other_command(struct command *c, struct input *in, enum kind kind)
{
	uint8_t data[4096];

	c->io.task.cdb[0] = kind == ASK ? CDB_THIRD_PARTY_COPY_IN : CDB_THIRD_PARTY_COPY_OUT;
	for (unsigned int i = 1; i < 16; i++)
		c->io.task.cdb[i] = (uint8_t)take(in, 1);
	if (kind == STOP) {
		memset(c->io.task.cdb + 1, 0, 15);
		c->io.task.cdb[1] = SA_COPY_OPERATION_ABORT;
		c->io.task.cdb[5] = 1;
	}
	c->io.in = data;
	c->io.task.edtl = kind == ASK ? sizeof(data) : 0;
	c->io.task.reads = kind == ASK;
	run_command(c);
	require(c->io.in_len <= number(c->io.task.cdb + COPY_LENGTH_AT, 4),
		"more than was asked for");
	model_check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	life.world = (uint8_t)take(&in, 1);
	start();
	for (unsigned int i = 0; in.left && i < 16; i++) {
		struct command c = { .bits = (uint8_t)take(&in, 1) };
		enum kind kind = (enum kind)(c.bits & 7);

		if (kind == CLOCK)
			reactor_advance(reactor, take(&in, 2) * NSEC_PER_SEC);
		else if (kind < ASK)
			copy_command(&c, &in, kind);
		else
			other_command(&c, &in, kind);
	}
	end();
	return 0;
}
