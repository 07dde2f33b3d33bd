// SPDX-License-Identifier: BSD-2-Clause
/*
 * READ and WRITE, SBC 5.12 to 5.48. Big transfers go in chunks of at most
 * BUF_MAX; a read from memory that the backstore lends goes in one piece and needs no buffer.
 */
#include "rows.h"
#include "task_set.h"

/* --- READ */

static void read_chunk(struct scsi_task *task);

static uint32_t read_chunk_size(const struct scsi_task *task)
{
	uint64_t left = task->end - task->pos;

	return left < task->buf->size ? (uint32_t)left : task->buf->size;
}

static void read_arrived(struct scsi_task *task)
{
	uint32_t offset = (uint32_t)task->pos;

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	task->pos += task->chunk;
	if (task->pos == task->end)
		task_send_last(task, task->buf->data, offset, task->chunk);
	else
		task_send(task, task->buf->data, offset, task->chunk, read_chunk);
}

static void read_chunk(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	uint64_t offset = (task->lba << lu->block_shift) + task->pos, mask = lu->block_size - 1;

	/* The EDTL may end inside a block; the medium is read in blocks. */
	task->chunk = read_chunk_size(task);
	if (task_read(task, offset, (task->chunk + mask) & ~mask, task->buf->data,
		      task_has_bit(task, RW_FUA) ? BS_FUA : 0, read_arrived))
		read_arrived(task);
}

static void read_data(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	uint64_t offset = task->lba << lu->block_shift, mask = lu->block_size - 1;
	uint64_t len = (task->end + mask) & ~mask;
	const void *lent;

	if (lu->lends && !task->stable_source && gate_lend(task)) {
		lent = bs_borrow(lu->bs, offset, len);
		if (__builtin_expect(lent != NULL, 1)) {
			task->pos = task->end;
			task_send_last(task, lent, 0, (uint32_t)task->end);
			return;
		}
		gate_lend_end(task);
	}
	len = len < BUF_MAX ? len : BUF_MAX;
	if (task_buffer(task, (uint32_t)len, (uint32_t)len, read_chunk))
		read_chunk(task);
}

static void read_flushed(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else
		read_data(task);
}

static void read_start(struct scsi_task *task)
{
	uint64_t bytes, room = task_in_room(task);

	if (task_protected(task)) {
		protect_read_start(task);
		return;
	}
	block_decode(task);
	if (!block_check_transfer(task))
		return;
	bytes = task->blocks << task->lu->block_shift;
	task_want_in(task, bytes);
	task->end = bytes < room ? bytes : room;
	task->kind = LATENCY_READ;
	stat_add(&task_stats(task)->reads, 1);
	stat_add(&task_stats(task)->read_bytes, task->end);
	if (!task->end) {
		task_good(task);
		return;
	}
	/* FUA: the data shall come from the medium, so it has to be there first. */
	if (__builtin_expect(task_has_bit(task, RW_FUA) && task->lu->volatile_cache, 0)) {
		if (task_io(task, BS_FLUSH, 0, 0, NULL, 0, read_flushed))
			read_flushed(task);
		return;
	}
	read_data(task);
}

/* --- WRITE */

enum { WRITE_COPY_MAX = 8192 }; /* bytes of immediate data */

static void write_fetch(struct scsi_task *task);

static void write_stored(struct scsi_task *task)
{
	struct buf *bigger;
	uint64_t left;

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	task->pos += task->chunk;
	left = task->end - task->pos;
	if (!left) {
		task_good(task);
		return;
	}
	/* first_buf was small: go on with more when there is more, but never wait for it. */
	left = left < BUF_MAX ? left : BUF_MAX;
	if (task->buf->size < left && !task->frugal) {
		bigger = buf_get(task->reactor, (uint32_t)left);
		if (bigger) {
			buf_put(task->reactor, task->buf);
			task->buf = bigger;
		}
	}
	write_fetch(task);
}

static void write_arrived(struct scsi_task *task)
{
	uint64_t offset = (task->lba << task->lu->block_shift) + task->pos;

	/* Not taken: what was in it is copied. */
	if (task->first_buf) {
		buf_put(task->reactor, task->first_buf);
		task->first_buf = NULL;
	}
	if (task_io(task, BS_WRITE, offset, task->chunk, task->buf->data,
		    write_flags(task->lu, task_has_bit(task, RW_FUA)), write_stored))
		write_stored(task);
}

static void write_fetch(struct scsi_task *task)
{
	uint64_t left = task->end - task->pos;

	/* Buffers and what is left are whole blocks. */
	task->chunk = left < task->buf->size ? (uint32_t)left : task->buf->size;
	task_fetch(task, (uint32_t)task->pos, task->chunk, task->buf->data, write_arrived);
}

/* With little data here already: a buffer for the whole first step, if there is one without waiting,
 * so that the step is one transfer and one write. What is here is copied, which must stay little. */
static bool write_into_bigger(struct scsi_task *task, uint32_t step)
{
	if (task->frugal || task->first_len > WRITE_COPY_MAX || task->first_buf->size >= step)
		return false;
	task->buf = buf_get(task->reactor, step);
	return task->buf != NULL;
}

static bool writes_at_once(struct lu *lu, struct reactor *reactor)
{
	return lu->lends && gate_lets_in(lu, reactor);
}

/* Straight from where the port has the data. */
static void write_lent(struct scsi_task *task)
{
	bool done;

	if (__builtin_expect(!writes_at_once(task->lu, task->reactor), 0)) {
		task->status = SAM_BUSY; /* the LUN has become another unit's meanwhile */
		task_end(task);
		return;
	}
	if (!block_begin_out(task))
		return;
	task->kind = LATENCY_WRITE;
	stat_add(&task_stats(task)->writes, 1);
	stat_add(&task_stats(task)->write_bytes, task->end);
	done = task_io(task, BS_WRITE, task->lba << task->lu->block_shift, task->end,
		       (void *)(uintptr_t)task->lent_data,
		       write_flags(task->lu, task_has_bit(task, RW_FUA)), NULL);
	assert(done);
	if (task->req.res < 0)
		task_fail_io(task);
	else
		task_good(task);
}

static void write_start(struct scsi_task *task)
{
	uint32_t first;

	if (task->lent_data) {
		write_lent(task);
		return;
	}
	if (task_protected(task)) {
		protect_write_start(task);
		return;
	}
	if (!block_begin_out(task))
		return;
	task->kind = LATENCY_WRITE;
	stat_add(&task_stats(task)->writes, 1);
	stat_add(&task_stats(task)->write_bytes, task->end);
	first = task->end < BUF_MAX ? (uint32_t)task->end : BUF_MAX;
	if (task->first_buf) {
		if (!write_into_bigger(task, first))
			task_take_first(task);
	} else if (!task_buffer(task, first, first, write_fetch)) {
		return;
	}
	write_fetch(task);
}

const struct cdb_row read6_row = { .name = "READ (6)",
				   USAGE6(CDB_READ_6, 0x1f, 0xff, 0xff, 0xff, CONTROL),
				   .start = read_start,
				   READS_MEDIUM,
				   MEDIUM };

const struct cdb_row write6_row = { .name = "WRITE (6)",
				    USAGE6(CDB_WRITE_6, 0x1f, 0xff, 0xff, 0xff, CONTROL),
				    .start = write_start,
				    WRITES_MEDIUM,
				    MEDIUM };

const struct cdb_row read10_row = { .name = "READ (10)",
				    USAGE10(CDB_READ_10, RW_PROTECT | RW_DPO | RW_FUA, LBA4, 0,
					    LEN2, CONTROL),
				    .start = read_start,
				    PROTECTABLE,
				    READS_MEDIUM,
				    MEDIUM };

const struct cdb_row write10_row = { .name = "WRITE (10)",
				     USAGE10(CDB_WRITE_10, RW_PROTECT | RW_DPO | RW_FUA, LBA4, 0,
					     LEN2, CONTROL),
				     .start = write_start,
				     PROTECTABLE,
				     WRITES_MEDIUM,
				     MEDIUM };

const struct cdb_row read16_row = { .name = "READ (16)",
				    USAGE16(CDB_READ_16, RW_PROTECT | RW_DPO | RW_FUA, LBA8, LEN4,
					    0, CONTROL),
				    .start = read_start,
				    PROTECTABLE,
				    READS_MEDIUM,
				    MEDIUM };

const struct cdb_row write16_row = { .name = "WRITE (16)",
				     USAGE16(CDB_WRITE_16, RW_PROTECT | RW_DPO | RW_FUA, LBA8, LEN4,
					     0, CONTROL),
				     .start = write_start,
				     PROTECTABLE,
				     WRITES_MEDIUM,
				     MEDIUM };

const struct cdb_row read12_row = { .name = "READ (12)",
				    USAGE12(CDB_READ_12, RW_PROTECT | RW_DPO | RW_FUA, LBA4, LEN4,
					    0, CONTROL),
				    .start = read_start,
				    PROTECTABLE,
				    READS_MEDIUM,
				    MEDIUM };

const struct cdb_row write12_row = { .name = "WRITE (12)",
				     USAGE12(CDB_WRITE_12, RW_PROTECT | RW_DPO | RW_FUA, LBA4, LEN4,
					     0, CONTROL),
				     .start = write_start,
				     PROTECTABLE,
				     WRITES_MEDIUM,
				     MEDIUM };

const struct cdb_row read32_row = { .name = "READ (32)",
				    USAGE32(SA_READ_32, RW_PROTECT | RW_DPO | RW_FUA),
				    .start = read_start,
				    PROTECTABLE,
				    .exists = protect_allows_32,
				    READS_MEDIUM,
				    MEDIUM };

const struct cdb_row write32_row = { .name = "WRITE (32)",
				     USAGE32(SA_WRITE_32, RW_PROTECT | RW_DPO | RW_FUA),
				     .start = write_start,
				     PROTECTABLE,
				     .exists = protect_allows_32,
				     WRITES_MEDIUM,
				     MEDIUM };

bool scsi_takes_lent(const struct scsi_task *task)
{
	struct lu *lu = nexus_lu(task->nexus, task->lun);
	const struct cdb_row *row = cdb_find(task->cdb);

	return lu && row && row->start == write_start && task->first_len == task->edtl &&
	       !lu_is(lu, LU_WATCHES_SPACE | LU_LIMITED | LU_GUARDED) && task_set_lets_in(task) &&
	       writes_at_once(lu, task->reactor);
}
