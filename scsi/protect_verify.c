// SPDX-License-Identifier: BSD-2-Clause
/*
 * VERIFY with protection information, SBC 5.39. BYTCHK 0: the medium's is checked. Else what was sent
 * is checked and compared with the medium, whose own is then only compared. The buffer holds the
 * medium's data in front, where it is aligned and can be read past caches, and Data-Out behind.
 */
#include "protect.h"

enum { YIELD_BLOCKS = 4096 }; /* others run after so many; bounds the depth of calls too */

static void verify_chunk(struct scsi_task *task);

static uint8_t bytchk(const struct scsi_task *task)
{
	return (task->cdb[cdb_flags_at(task->row)] & VERIFY_BYTCHK) >> VERIFY_BYTCHK_SHIFT;
}

static uint8_t *verify_sent(const struct scsi_task *task)
{
	return task->buf->data + (size_t)protect_of(task)->most * task->lu->block_size;
}

/* With BYTCHK 3 the one block that was sent is the first of Data-Out all the time. */
static bool verify_equal(struct scsi_task *task)
{
	const struct protect *p = protect_of(task);
	uint32_t block = task->lu->block_size, at;
	bool one = bytchk(task) == 3;

	for (uint32_t i = 0; i < p->count; i++) {
		size_t sent = one ? 0 : i;
		enum sense_code code =
			protect_compare(task, verify_sent(task) + sent * block, &p->tuples[sent],
					task->buf->data + (size_t)i * block, &p->medium[i],
					one ? (uint32_t)p->done + i : 0, &at);

		if (code) {
			protect_fail(task, code, (one ? 0 : p->done + i) * p->unit + at);
			return false;
		}
	}
	return true;
}

/* A chunk of the medium is there. */
static void verify_read(struct scsi_task *task)
{
	struct protect *p = protect_of(task);

	if (task->req.res < 0) {
		task_fail_io(task);
		return;
	}
	/* Its own tuples, unless there are others to compare them with. */
	if ((!bytchk(task) || !p->transfers) && !protect_check(task, task->buf->data, p->medium))
		return;
	if (bytchk(task) && !verify_equal(task))
		return;
	p->done += p->count;
	if (p->done == task->blocks)
		task_good(task);
	else if (p->done % YIELD_BLOCKS < p->most)
		task_yield(task, verify_chunk);
	else
		verify_chunk(task);
}

static void verify_medium_next(struct scsi_task *task)
{
	if (protect_read(task, task->buf->data, protect_of(task)->medium, BS_FUA, verify_read))
		verify_read(task);
}

/* Its Data-Out is there. */
static void verify_arrived(struct scsi_task *task)
{
	struct protect *p = protect_of(task);
	uint32_t count = p->count;

	if (p->transfers) {
		p->count = bytchk(task) == 3 ? 1 : count;
		protect_gather(p, verify_sent(task), p->tuples);
		if (!protect_check(task, verify_sent(task), p->tuples))
			return;
		p->count = count;
	}
	verify_medium_next(task);
}

static void verify_chunk(struct scsi_task *task)
{
	struct protect *p = protect_of(task);
	uint32_t count = protect_next(p, task->blocks);

	if (bytchk(task) == 1)
		task_fetch(task, (uint32_t)(p->done * p->unit), count * p->unit, verify_sent(task),
			   verify_arrived);
	else if (bytchk(task) == 3 && !p->done)
		task_fetch(task, 0, p->unit, verify_sent(task), verify_arrived);
	else
		verify_medium_next(task);
}

void protect_verify_start(struct scsi_task *task)
{
	static const struct protect_shape shape = { .units = 1, .blocks = 1, .medium = true };
	uint8_t check = bytchk(task);
	unsigned int flags_at = cdb_flags_at(task->row);
	const struct protect *p;
	uint64_t data;

	if (check == 2) {
		task_fail_cdb(task, flags_at, 2);
		return;
	}
	/* 101b is there only to be compared. */
	if (!check && (task->cdb[flags_at] & RW_PROTECT) == 0xa0) {
		task_fail_cdb(task, flags_at, 7);
		return;
	}
	p = protect_begin(task, &shape);
	if (!p)
		return;
	data = check == 1 ? task->blocks * p->unit : check == 3 && task->blocks ? p->unit : 0;
	task_want_out(task, data);
	if (task_out_room(task) < data)
		task_fail(task, SENSE_INVALID_IU_FIELD);
	else if (!task->blocks)
		task_good(task);
	else if (task_buffer(task, 0, p->most * (p->unit + task->lu->block_size), verify_chunk))
		verify_chunk(task);
}
