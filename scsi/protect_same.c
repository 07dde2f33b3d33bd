// SPDX-License-Identifier: BSD-2-Clause
/*
 * WRITE SAME with protection information, SBC 5.52: the guard and the application tag that came are
 * every block's; reference tags count on from the one that came (type 3: are the same).
 */
#include <string.h>

#include "protect.h"

enum {
	PATTERN_SIZE = 256 << 10, /* buffer of copies */
	YIELD_BLOCKS = 32768, /* others run after so many were written */
};

/* The tuple that came. */
static struct pi_tuple *received(const struct scsi_task *task)
{
	return &protect_of(task)->other[0];
}

static bool is_all(const void *data, uint8_t byte, uint32_t len)
{
	const uint8_t *d = data;

	return d[0] == byte && !memcmp(d, d + 1, len - 1);
}

static bool is_unmapped(const struct pi_tuple *tuple)
{
	return is_all(tuple, 0xff, sizeof(*tuple));
}

static void make_tuples(const struct scsi_task *task)
{
	struct protect *p = protect_of(task);
	struct pi_tuple tuple = *received(task);
	uint32_t ref = be32_get(tuple.ref) + (uint32_t)p->done;
	bool same = p->rule.type == 3 || is_unmapped(&tuple);

	for (uint32_t i = 0; i < p->count; i++) {
		if (!same)
			tuple.ref = be32_of(ref + i);
		p->tuples[i] = tuple;
	}
}

/* The present chunk. BS_ZERO and BS_UNMAP make their tuples themselves: escapes of what is unmapped,
 * and of zeros that are there because the CDB says that no data comes (SBC 5.53). */
static bool same_io(struct scsi_task *task, void (*step)(struct scsi_task *task))
{
	struct protect *p = protect_of(task);
	enum bs_opcode opcode = (enum bs_opcode)task->scratch[0];
	uint8_t shift = task->lu->block_shift;

	if (opcode != BS_WRITE)
		return task_io(task, opcode, (task->lba + p->done) << shift,
			       (uint64_t)p->count << shift, NULL,
			       (p->transfers ? BS_TUPLES : 0) | write_same_zero_flags(task), step);
	make_tuples(task);
	return protect_write(task, task->buf->data, p->tuples, 0, step);
}

static void same_next(struct scsi_task *task)
{
	struct protect *p = protect_of(task);

	for (;;) {
		if (task->req.res < 0) {
			task_fail_io(task);
			return;
		}
		p->done += p->count;
		if (p->done == task->blocks) {
			block_settle(task);
			return;
		}
		task->chunk += p->count;
		p->count = 0;
		if (task->chunk >= YIELD_BLOCKS) {
			task->chunk = 0;
			task_yield(task, same_next);
			return;
		}
		protect_next(p, task->blocks);
		if (!same_io(task, same_next))
			return;
	}
}

static void same_run(struct scsi_task *task, enum bs_opcode opcode)
{
	task->scratch[0] = opcode;
	task->chunk = 0;
	protect_of(task)->count = 0;
	task->req.res = 0;
	same_next(task);
}

static void zeros_run(struct scsi_task *task)
{
	protect_of(task)->most = YIELD_BLOCKS;
	same_run(task, write_same_zero_opcode(task));
}

static void copies_run(struct scsi_task *task)
{
	uint32_t block = task->lu->block_size, most = protect_of(task)->most;
	uint8_t *data = task->buf->data;

	for (uint32_t i = 1; i < most; i++)
		memcpy(data + (size_t)i * block, data, block);
	same_run(task, BS_WRITE);
}

static void same_arrived(struct scsi_task *task)
{
	struct protect *p = protect_of(task);
	uint8_t *data = task->buf->data;
	bool zeros = is_all(data, 0, task->lu->block_size);

	p->count = 1;
	if (p->transfers) {
		protect_gather(p, data, p->other);
		if (!protect_check(task, data, p->other))
			return;
		/* What is unmapped reads as zeros and escapes: nothing else may be. */
		zeros = zeros && task_has_bit(task, WRITE_SAME_UNMAP) &&
			is_unmapped(received(task));
	}
	if (zeros)
		zeros_run(task);
	else
		copies_run(task);
}

static void same_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, protect_of(task)->unit, task->buf->data, same_arrived);
}

void protect_write_same_start(struct scsi_task *task)
{
	static const struct protect_shape shape = { .decode = write_same_check,
						    .blocks = 1,
						    .other = true };
	uint32_t block = task->lu->block_size, data, most = PATTERN_SIZE / block;
	struct protect *p = protect_begin(task, &shape);

	if (!p)
		return;
	if (p->most > most)
		p->most = most;
	data = task_has_bit(task, WRITE_SAME_NDOB) ? 0 : p->unit;
	task_want_out(task, data);
	if (task_out_room(task) != data)
		task_fail(task, SENSE_INVALID_CDB_FIELD);
	else if (!data)
		zeros_run(task);
	else if (task_buffer(task, 0, p->most * block + sizeof(struct pi_tuple), same_fetch))
		same_fetch(task);
}
