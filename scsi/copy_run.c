// SPDX-License-Identifier: BSD-2-Clause
/*
 * The data movement of copies: move by move, chunk by chunk, on the task's own reactor. A chunk is
 *
 *	PICK ── zeros: BS_ZERO ──► ZEROED ──► FLUSHED ─────────────► PICK
 *	  ├──── BS_COPY ──► CLONED ─┬─ done ──► FLUSHED ───────────► PICK
 *	  │                         └─ the backstores cannot ──────► PICK, buffered
 *	  └──── BS_READ ──► READ ── BS_WRITE ───────────► WRITTEN ─► PICK
 *
 * Where the ranges of one unit overlap the result is that of memmove(): a destination behind its
 * source is written from the end. Writes pass the gate of their unit one chunk at a time, and
 * between chunks others run. There is one buffer, given back now and then.
 */
#include <string.h>

#include "copy.h"
#include "limiter.h"

enum {
	CLONE_CHUNK = 16 << 20, /* bytes of one BS_COPY or BS_ZERO: how long an abort may take */
	YIELD_BYTES = 4 << 20, /* others run after so much */
};

enum copy_phase {
	PHASE_PICK,
	PHASE_READ,
	PHASE_WRITTEN,
	PHASE_ZEROED,
	PHASE_CLONED,
	PHASE_FLUSHED,
};

static void copy_step(struct scsi_task *task);

static struct copy_move *present(const struct copy *copy)
{
	return (struct copy_move *)&copy->moves[copy->current];
}

/* --- Ending */

static void copy_good(struct scsi_task *task, struct copy *copy)
{
	task->status = SAM_GOOD;
	copy_record_end(copy->record, task, NULL);
	copy->record = NULL;
	task_good(task);
}

/* The end has answered with this, or would have. WRITE USING TOKEN writes to its own unit: what
 * that one answers is the command's answer. */
static void copy_end_failed(struct scsi_task *task, struct copy *copy, enum copy_side side,
			    uint8_t status, enum sense_code code)
{
	if (!copy->by_token || side == COPY_SOURCE) {
		copy_fail_segment(task, SENSE_COPY_END_FAILED, copy->current, side, status, code);
		return;
	}
	if (status == SAM_CHECK_CONDITION)
		task_sense_code(task, code);
	else
		task->status = status;
	copy_record_end(copy->record, task, NULL);
	copy->record = NULL;
	if (status == SAM_CHECK_CONDITION)
		stat_add(&task_stats(task)->check_conditions, 1);
	task_end(task);
}

static struct lu_stats *stats_of(const struct scsi_task *task, const struct lu *lu)
{
	return &lu->per_reactor[task->reactor->index].stats;
}

static void copy_io_failed(struct scsi_task *task, struct copy *copy, enum copy_side side)
{
	struct lu_stats *stats = stats_of(task, present(copy)->end[side].lu);

	stat_add(side == COPY_SOURCE ? &stats->read_errors : &stats->write_errors, 1);
	copy_end_failed(task, copy, side, SAM_CHECK_CONDITION,
			sense_of_errno(task->req.res, task->req.opcode));
}

static void copy_move_faulty(struct scsi_task *task, struct copy *copy, enum copy_fault fault)
{
	/* A range that is not there is a bad parameter of the segment: the end was not asked. */
	static const struct {
		enum sense_code code, end;
		enum copy_side side;
	} answers[] = {
		[COPY_FINE] = { SENSE_COPY_ABORTED, SENSE_NONE, COPY_SOURCE },
		[COPY_FAULT_UNREACHABLE] = { SENSE_COPY_UNREACHABLE, SENSE_NONE, COPY_SOURCE },
		[COPY_FAULT_TYPE] = { SENSE_COPY_END_TYPE, SENSE_NONE, COPY_SOURCE },
		[COPY_FAULT_INEXACT] = { SENSE_COPY_INEXACT, SENSE_NONE, COPY_SOURCE },
		[COPY_FAULT_SOURCE_RANGE] = { SENSE_COPY_ABORTED, SENSE_LBA_RANGE, COPY_SOURCE },
		[COPY_FAULT_DESTINATION_RANGE] = { SENSE_COPY_ABORTED, SENSE_LBA_RANGE,
						   COPY_DESTINATION },
	};

	copy_fail_segment(task, answers[fault].code, copy->current, answers[fault].side,
			  answers[fault].end ? SAM_CHECK_CONDITION : SAM_GOOD, answers[fault].end);
}

/* --- Before each chunk */

/* The unit may have become smaller since the list was checked. */
static bool in_range(const struct copy_move *move, enum copy_side side)
{
	uint64_t size;

	if (!move->end[side].lu)
		return true;
	size = move->end[side].lu->blocks << move->end[side].lu->block_shift;
	return move->at[side] <= size && move->len <= size - move->at[side];
}

/* False: the move cannot go on; ended. */
static bool ends_allow(struct scsi_task *task, struct copy *copy)
{
	const struct copy_move *move = present(copy);

	for (int side = COPY_SOURCE; side <= COPY_DESTINATION; side++) {
		const struct copy_end *end = &move->end[side];
		enum sense_code code;
		uint8_t status;

		if (!end->lu)
			continue;
		status = copy_end_check(task->nexus, end, (enum copy_side)side, &code);
		if (status == SAM_CHECK_CONDITION && code == SENSE_NO_LU) {
			copy_move_faulty(task, copy, COPY_FAULT_UNREACHABLE);
			return false;
		}
		if (status != SAM_GOOD) {
			copy_end_failed(task, copy, (enum copy_side)side, status, code);
			return false;
		}
	}
	return true;
}

/* False: ended. */
static bool move_allowed(struct scsi_task *task, struct copy *copy)
{
	const struct copy_move *move = present(copy);
	enum copy_fault fault = move->fault;

	if (fault == COPY_FINE && !ends_allow(task, copy))
		return false;
	if (fault == COPY_FINE && !in_range(move, COPY_SOURCE))
		fault = COPY_FAULT_SOURCE_RANGE;
	if (fault == COPY_FINE && !in_range(move, COPY_DESTINATION))
		fault = COPY_FAULT_DESTINATION_RANGE;
	if (fault == COPY_FINE)
		return true;
	copy_move_faulty(task, copy, fault);
	return false;
}

/* Goes to the next move that has something to move. False: there is none. */
static bool next_move(struct copy *copy)
{
	while (copy->current < copy->count) {
		const struct copy_move *move = present(copy);

		if (move->fault != COPY_FINE || copy->done < move->len)
			return true;
		copy_record_segment(copy->record);
		copy->current++;
		copy->done = 0;
		copy->buffered = false;
	}
	return false;
}

static bool onto_itself(const struct copy_move *move)
{
	return move->end[COPY_SOURCE].lu == move->end[COPY_DESTINATION].lu &&
	       move->at[COPY_SOURCE] == move->at[COPY_DESTINATION];
}

static bool overlaps(const struct copy_move *move)
{
	uint64_t from = move->at[COPY_SOURCE], to = move->at[COPY_DESTINATION];

	return move->end[COPY_SOURCE].lu == move->end[COPY_DESTINATION].lu &&
	       (from < to ? to - from : from - to) < move->len;
}

/* Where the present chunk is, in bytes from the start of its unit. */
static uint64_t chunk_at(const struct copy *copy, enum copy_side side)
{
	const struct copy_move *move = present(copy);
	bool backwards = overlaps(move) && move->at[COPY_SOURCE] < move->at[COPY_DESTINATION];

	return move->at[side] + (backwards ? move->len - copy->done - copy->chunk : copy->done);
}

/* --- The phases: true: go on, false: the task waits or has ended */

static bool start_zero(struct scsi_task *task, struct copy *copy)
{
	struct lu *to = present(copy)->end[COPY_DESTINATION].lu;

	copy->phase = PHASE_ZEROED;
	return task_io_on(task, to, BS_ZERO, chunk_at(copy, COPY_DESTINATION), copy->chunk, NULL, 0,
			  copy_step);
}

static bool start_clone(struct scsi_task *task, struct copy *copy)
{
	const struct copy_move *move = present(copy);

	copy->phase = PHASE_CLONED;
	task->from = move->end[COPY_SOURCE].lu;
	task->req.source = task->from->bs;
	task->req.source_offset = chunk_at(copy, COPY_SOURCE);
	return task_io_on(task, move->end[COPY_DESTINATION].lu, BS_COPY,
			  chunk_at(copy, COPY_DESTINATION), copy->chunk, NULL, 0, copy_step);
}

static bool start_read(struct scsi_task *task, struct copy *copy)
{
	uint32_t want = (uint32_t)(copy->largest < BUF_MAX ? copy->largest : BUF_MAX);

	if (!task->buf && !task_buffer(task, 0, want, copy_step))
		return false;
	if (copy->chunk > task->buf->size)
		copy->chunk = task->buf->size;
	copy->phase = PHASE_READ;
	return task_read_on(task, present(copy)->end[COPY_SOURCE].lu, chunk_at(copy, COPY_SOURCE),
			    copy->chunk, task->buf->data, 0, copy_step);
}

/* Gives back what memory the task has. */
static void drop_buffers(struct scsi_task *task)
{
	if (task->buf)
		buf_put(task->reactor, task->buf);
	if (task->first_buf)
		buf_put(task->reactor, task->first_buf);
	task->buf = task->first_buf = NULL;
}

/* A copy is no way around the limits of its units and its initiator. False: it waits, without memory. */
static bool pay(struct scsi_task *task, struct copy *copy)
{
	const struct copy_end *end = present(copy)->end;

	if (!task->paid && copy->prepaid >= copy->chunk) {
		copy->prepaid -= copy->chunk;
		return true;
	}
	if (limits_pass_copy(task, end[COPY_SOURCE].lu, end[COPY_DESTINATION].lu, copy->chunk,
			     copy_step))
		return true;
	drop_buffers(task);
	return false;
}

static bool phase_pick(struct scsi_task *task, struct copy *copy)
{
	const struct copy_move *move;
	uint64_t left, largest;

	if (!copy_record_progress(copy->record, 0)) {
		copy_fail_segment(task, SENSE_COPY_ABORTED, copy->current, COPY_SOURCE, SAM_GOOD,
				  SENSE_NONE);
		return false;
	}
	if (!next_move(copy)) {
		copy_good(task, copy);
		return false;
	}
	if (copy->since_yield >= YIELD_BYTES) {
		/* A long copy is no reason to hold memory that others wait for. */
		copy->since_yield = 0;
		drop_buffers(task);
		task_yield(task, copy_step);
		return false;
	}
	if (!move_allowed(task, copy))
		return false;
	move = present(copy);
	if (onto_itself(move)) {
		copy_record_progress(copy->record, move->len);
		copy->done = move->len;
		return true;
	}
	left = move->len - copy->done;
	largest = copy->buffered || overlaps(move) ? BUF_MAX : CLONE_CHUNK;
	copy->chunk = (uint32_t)(left < largest ? left : largest);
	if (!pay(task, copy))
		return false;
	if (!move->end[COPY_SOURCE].lu)
		return start_zero(task, copy);
	if (!copy->buffered && !overlaps(move))
		return start_clone(task, copy);
	return start_read(task, copy);
}

static bool chunk_done(struct scsi_task *task, struct copy *copy)
{
	const struct copy_move *move = present(copy);

	if (move->end[COPY_SOURCE].lu)
		stat_add(&stats_of(task, move->end[COPY_SOURCE].lu)->read_bytes, copy->chunk);
	stat_add(&stats_of(task, move->end[COPY_DESTINATION].lu)->write_bytes, copy->chunk);
	copy_record_progress(copy->record, copy->chunk);
	copy->done += copy->chunk;
	copy->since_yield += copy->chunk;
	task->paid = 0;
	copy->phase = PHASE_PICK;
	return true;
}

/* The chunk is in the buffer. */
static bool phase_read(struct scsi_task *task, struct copy *copy)
{
	struct lu *to = present(copy)->end[COPY_DESTINATION].lu;

	if (task->req.res < 0) {
		copy_io_failed(task, copy, COPY_SOURCE);
		return false;
	}
	/* A slow disk may have taken its time. */
	if (!ends_allow(task, copy))
		return false;
	copy->phase = PHASE_WRITTEN;
	return task_io_on(task, to, BS_WRITE, chunk_at(copy, COPY_DESTINATION), copy->chunk,
			  task->buf->data, write_flags(to, false), copy_step);
}

static bool phase_written(struct scsi_task *task, struct copy *copy)
{
	if (task->req.res >= 0)
		return chunk_done(task, copy);
	copy_io_failed(task, copy, COPY_DESTINATION);
	return false;
}

/* What was written may have to leave the cache. Looked at now: it may have been switched off while
 * the request waited at the gate. */
static bool chunk_settle(struct scsi_task *task, struct copy *copy)
{
	struct lu *to = present(copy)->end[COPY_DESTINATION].lu;

	if (!write_flags(to, false))
		return chunk_done(task, copy);
	copy->phase = PHASE_FLUSHED;
	return task_io_on(task, to, BS_FLUSH, 0, 0, NULL, 0, copy_step);
}

static bool phase_zeroed(struct scsi_task *task, struct copy *copy)
{
	if (task->req.res >= 0)
		return chunk_settle(task, copy);
	copy_io_failed(task, copy, COPY_DESTINATION);
	return false;
}

/* The driver has copied, or not. Reading and writing tells which end it is that fails. */
static bool phase_cloned(struct scsi_task *task, struct copy *copy)
{
	if (task->req.res >= 0)
		return chunk_settle(task, copy);
	copy->buffered = true;
	copy->prepaid = copy->chunk;
	task->paid = 0;
	copy->phase = PHASE_PICK;
	return true;
}

static void copy_step(struct scsi_task *task)
{
	static bool (*const phases[])(struct scsi_task * task, struct copy * copy) = {
		[PHASE_PICK] = phase_pick,	 [PHASE_READ] = phase_read,
		[PHASE_WRITTEN] = phase_written, [PHASE_ZEROED] = phase_zeroed,
		[PHASE_CLONED] = phase_cloned,	 [PHASE_FLUSHED] = phase_written,
	};
	struct copy *copy = task->context;

	while (phases[copy->phase](task, copy))
		;
}

/* So that who aborts everything that writes to a unit finds this task, too. */
static void note_units(struct scsi_task *task, const struct copy_move *move)
{
	for (int side = COPY_SOURCE; side <= COPY_DESTINATION; side++) {
		const struct copy_end *end = &move->end[side];

		if (end->lu)
			task->copy_luns[end->lun / 32] |= 1u << end->lun % 32;
	}
}

void copy_run(struct scsi_task *task)
{
	struct copy *copy = task->context;
	uint64_t total = 0;

	drop_buffers(task);
	memset(task->copy_luns, 0, sizeof(task->copy_luns));
	task->copies = true;
	task->paid = 0;
	for (unsigned int i = 0; i < copy->count; i++) {
		note_units(task, &copy->moves[i]);
		total += copy->moves[i].len;
		if (copy->moves[i].len > copy->largest)
			copy->largest = copy->moves[i].len;
	}
	copy_record_total(copy->record, total);
	copy->phase = PHASE_PICK;
	copy_step(task);
}
