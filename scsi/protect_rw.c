// SPDX-License-Identifier: BSD-2-Clause
/* READ, WRITE and WRITE AND VERIFY with protection information, SBC 5.12 to 5.51. */
#include "protect.h"

/* Data may wait in a cache of ours, and a read shall come from the medium. */
static bool reads_medium(const struct scsi_task *task)
{
	return task_has_bit(task, RW_FUA) && task->lu->volatile_cache;
}

/* --- READ. pos and end are bytes as transferred; the EDTL may end inside a block. */

static void read_chunk(struct scsi_task *task);

static void read_arrived(struct scsi_task *task)
{
	struct protect *p = protect_of(task);
	uint32_t offset = (uint32_t)task->pos;
	uint64_t left = task->end - task->pos;

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	if (!protect_check(task, task->buf->data, p->tuples))
		return;
	if (p->transfers)
		protect_spread(p, task->buf->data, p->tuples);
	task->chunk = left < (uint64_t)p->count * p->unit ? (uint32_t)left : p->count * p->unit;
	task->pos += task->chunk;
	p->done += p->count;
	if (task->pos == task->end)
		task_send_last(task, task->buf->data, offset, task->chunk);
	else
		task_send(task, task->buf->data, offset, task->chunk, read_chunk);
}

static void read_chunk(struct scsi_task *task)
{
	struct protect *p = protect_of(task);

	protect_next(p, (task->end + p->unit - 1) / p->unit);
	if (protect_read(task, task->buf->data, p->tuples, task_has_bit(task, RW_FUA) ? BS_FUA : 0,
			 read_arrived))
		read_arrived(task);
}

static void read_data(struct scsi_task *task)
{
	const struct protect *p = protect_of(task);

	if (task_buffer(task, 0, p->most * p->unit, read_chunk))
		read_chunk(task);
}

static void read_flushed(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else
		read_data(task);
}

void protect_read_start(struct scsi_task *task)
{
	static const struct protect_shape shape = { .units = 1 };
	const struct protect *p = protect_begin(task, &shape);
	uint64_t bytes, room = task_in_room(task);

	if (!p)
		return;
	bytes = task->blocks * p->unit;
	task_want_in(task, bytes);
	task->end = bytes < room ? bytes : room;
	task->kind = LATENCY_READ;
	stat_add(&task_stats(task)->reads, 1);
	stat_add(&task_stats(task)->read_bytes, task->end);
	if (!task->end)
		task_good(task);
	else if (!reads_medium(task))
		read_data(task);
	else if (task_io(task, BS_FLUSH, 0, 0, NULL, 0, read_flushed))
		read_flushed(task);
}

/* --- WRITE. Data that came with the command stays where it is and is copied. WRITE AND VERIFY reads
 * back to the front of the buffer, which is aligned: else it could not be read past caches. */

static void write_fetch(struct scsi_task *task);

static bool verifies(const struct scsi_task *task)
{
	uint8_t opcode = task->cdb[0];

	return opcode == CDB_WRITE_AND_VERIFY_10 || opcode == CDB_WRITE_AND_VERIFY_12 ||
	       opcode == CDB_WRITE_AND_VERIFY_16 ||
	       (opcode == CDB_VARIABLE_LENGTH &&
		task->row->service_action == SA_WRITE_AND_VERIFY_32);
}

static void write_chunk_over(struct scsi_task *task)
{
	struct protect *p = protect_of(task);

	p->done += p->count;
	if (p->done * p->unit == task->end)
		task_good(task);
	else
		write_fetch(task);
}

static uint8_t *write_data(const struct scsi_task *task)
{
	size_t front = verifies(task) ? (size_t)protect_of(task)->most * task->lu->block_size : 0;

	return task->buf->data + front;
}

/* False: the task has ended. */
static bool is_as_sent(struct scsi_task *task)
{
	const struct protect *p = protect_of(task);
	uint32_t block = task->lu->block_size, at;

	for (uint32_t i = 0; i < p->count; i++) {
		enum sense_code code =
			protect_compare(task, write_data(task) + (size_t)i * block, &p->tuples[i],
					task->buf->data + (size_t)i * block, &p->medium[i], 0, &at);

		if (code) {
			protect_fail(task, code, (p->done + i) * p->unit + at);
			return false;
		}
	}
	return true;
}

/* Without BYTCHK somebody else may have written there since: what is there has to be right. */
static void write_read_back(struct scsi_task *task)
{
	const struct protect *p = protect_of(task);

	if (task->req.res < 0)
		task_fail_io(task);
	else if (task_has_bit(task, 1 << VERIFY_BYTCHK_SHIFT)
			 ? is_as_sent(task)
			 : protect_check(task, task->buf->data, p->medium))
		write_chunk_over(task);
}

static void write_stored(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else if (!verifies(task))
		write_chunk_over(task);
	else if (protect_read(task, task->buf->data, protect_of(task)->medium, BS_FUA,
			      write_read_back))
		write_read_back(task);
}

static void write_arrived(struct scsi_task *task)
{
	struct protect *p = protect_of(task);
	uint32_t flags = write_flags(task->lu, verifies(task) || task_has_bit(task, RW_FUA));

	if (p->transfers) {
		protect_gather(p, write_data(task), p->tuples);
		if (!protect_check(task, write_data(task), p->tuples))
			return;
	}
	if (protect_write(task, write_data(task), p->tuples, flags, write_stored))
		write_stored(task);
}

static void write_fetch(struct scsi_task *task)
{
	struct protect *p = protect_of(task);

	protect_next(p, task->end / p->unit);
	task_fetch(task, (uint32_t)(p->done * p->unit), p->count * p->unit, write_data(task),
		   write_arrived);
}

static void write_begin(struct scsi_task *task, const struct protect_shape *shape)
{
	struct protect *p = protect_begin(task, shape);
	uint64_t bytes, room = task_out_room(task);

	if (!p)
		return;
	/* What the backstore makes is not what a 32-byte CDB expects. */
	if (!p->transfers)
		p->rule = pi_default(task->lu->protection, task->lba);
	bytes = task->blocks * p->unit;
	task_want_out(task, bytes);
	task->end = bytes < room ? bytes : room;
	/* As without protection information: whole blocks, or nothing. */
	if (task->end < bytes && (task->end % p->unit || !task->writes)) {
		task_fail(task, SENSE_INVALID_IU_FIELD);
		return;
	}
	task->kind = LATENCY_WRITE;
	stat_add(&task_stats(task)->writes, 1);
	stat_add(&task_stats(task)->write_bytes, task->end);
	if (!task->end)
		task_good(task);
	else if (task_buffer(
			 task, 0,
			 p->most * (shape->units * p->unit + shape->blocks * task->lu->block_size),
			 write_fetch))
		write_fetch(task);
}

void protect_write_start(struct scsi_task *task)
{
	static const struct protect_shape shape = { .units = 1 };

	write_begin(task, &shape);
}

void protect_write_and_verify_start(struct scsi_task *task)
{
	static const struct protect_shape shape = { .units = 1, .blocks = 1, .medium = true };

	/* Reserved here, as without protection information. */
	if (task_has_bit(task, 2 << VERIFY_BYTCHK_SHIFT)) {
		task_fail_cdb(task, cdb_flags_at(task->row), VERIFY_BYTCHK_SHIFT + 1);
		return;
	}
	write_begin(task, &shape);
}
