// SPDX-License-Identifier: BSD-2-Clause
/*
 * The protect field of CDBs (RDPROTECT, WRPROTECT, VRPROTECT; SBC 5): what is checked, and taking
 * blocks apart. READ and WRITE are in protect_rw.c, the others in files of their own.
 */
#include "protect.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { PROTECT_SHIFT = 5, PROTECT_CODES = 6 };

/* By the value of the field; 110b and 111b are reserved. With 000b nothing is transferred, and a
 * 32-byte CDB comes here for what it expects. */
static const uint8_t checks[PROTECT_CODES] = {
	[0] = PI_GUARD | PI_APP | PI_REF,
	[1] = PI_GUARD | PI_APP | PI_REF,
	[2] = PI_APP | PI_REF,
	[3] = 0,
	[4] = PI_GUARD,
	[5] = PI_GUARD | PI_APP | PI_REF,
};

static uint8_t protect_field(const struct scsi_task *task)
{
	return task->cdb[cdb_flags_at(task->row)] >> PROTECT_SHIFT;
}

/* What is known of application tags stands in 32-byte CDBs alone: there is no Application Tag mode
 * page. */
static struct pi_rule rule_of(const struct scsi_task *task)
{
	const struct cdb32 *cdb = (const void *)task->cdb;
	struct pi_rule rule = pi_default(task->lu->protection, task->lba);

	rule.checks = checks[protect_field(task)];
	if (task->row->cdb_len == 32) {
		rule.ref = be32_get(cdb->reference_tag);
		rule.app = be16_get(cdb->application_tag);
		rule.app_mask = be16_get(cdb->application_tag_mask);
	} else {
		rule.checks &= (uint8_t)~PI_APP;
	}
	return rule;
}

bool protect_allows_32(const struct lu *lu)
{
	return lu->protection == 2;
}

static bool field_is_right(struct scsi_task *task)
{
	/* SBC 4.22.2.4: with type 2 the field is for the 32-byte CDBs alone. */
	if (task->lu->protection == 2 && task->row->cdb_len != 32) {
		task_fail(task, SENSE_INVALID_OPCODE);
		return false;
	}
	if (protect_field(task) < PROTECT_CODES)
		return true;
	task_fail_cdb(task, cdb_flags_at(task->row), 7);
	return false;
}

static bool decode(struct scsi_task *task)
{
	block_decode(task);
	return block_check_transfer(task);
}

struct protect *protect_begin(struct scsi_task *task, const struct protect_shape *shape)
{
	uint32_t block = task->lu->block_size, unit, most, arrays;
	struct protect *p;

	if (!field_is_right(task) || !(shape->decode ? shape->decode : decode)(task))
		return NULL;
	unit = block + (protect_field(task) ? sizeof(struct pi_tuple) : 0);
	most = BUF_MAX / (shape->units * unit + shape->blocks * block);
	if (task->blocks < most)
		most = (uint32_t)task->blocks;
	arrays = 1u + shape->other + shape->medium;
	p = malloc(sizeof(*p) + (size_t)arrays * most * sizeof(struct pi_tuple));
	if (!p) {
		task_fail(task, SENSE_RESOURCES);
		return NULL;
	}
	*p = (struct protect){ .rule = rule_of(task),
			       .transfers = protect_field(task),
			       .unit = unit,
			       .most = most,
			       .other = p->tuples + most,
			       .medium = p->tuples + (arrays - 1) * most };
	task->context = p;
	return p;
}

uint32_t protect_next(struct protect *p, uint64_t blocks)
{
	uint64_t left = blocks - p->done;

	p->count = left < p->most ? (uint32_t)left : p->most;
	return p->count;
}

void protect_gather(const struct protect *p, uint8_t *data, struct pi_tuple *tuples)
{
	uint32_t block = p->unit - sizeof(*tuples);

	for (uint32_t i = 0; i < p->count; i++) {
		const uint8_t *from = data + (size_t)i * p->unit;

		memcpy(&tuples[i], from + block, sizeof(*tuples));
		memmove(data + (size_t)i * block, from, block);
	}
}

void protect_spread(const struct protect *p, uint8_t *data, const struct pi_tuple *tuples)
{
	uint32_t block = p->unit - sizeof(*tuples);

	for (uint32_t i = p->count; i-- > 0;) {
		uint8_t *to = data + (size_t)i * p->unit;

		memmove(to, data + (size_t)i * block, block);
		memcpy(to + block, &tuples[i], sizeof(*tuples));
	}
}

static enum sense_code code_of(enum sense_code guard, uint8_t field)
{
	return (enum sense_code)(guard + (field == PI_GUARD ? 0 : field == PI_APP ? 1 : 2));
}

void protect_fail(struct scsi_task *task, enum sense_code code, uint64_t information)
{
	task_sense_code(task, code);
	task_sense_information(task, information);
	stat_add(&task_stats(task)->check_conditions, 1);
	task_end(task);
}

void protect_fail_io(struct scsi_task *task)
{
	const struct bs_req *req = &task->req;

	protect_fail(task, code_of(SENSE_GUARD, req->mismatch.what),
		     req->mismatch.offset >> task->io_lu->block_shift);
}

bool protect_check(struct scsi_task *task, const uint8_t *data, const struct pi_tuple *tuples)
{
	const struct protect *p = protect_of(task);
	struct pi_rule rule = p->rule;
	uint8_t wrong;
	uint32_t at;

	rule.ref += (uint32_t)p->done;
	wrong = pi_check(tuples, data, p->count, task->lu->block_size, &rule, &at);
	if (wrong)
		protect_fail(task, code_of(SENSE_GUARD, wrong), task->lba + p->done + at);
	return !wrong;
}

static uint8_t differing_field(const struct scsi_task *task, const struct pi_tuple *sent,
			       const struct pi_tuple *medium, uint32_t ref_ahead)
{
	/* An escape is the same everywhere. */
	uint32_t ahead = pi_is_escape(sent, 3) ? 0 : ref_ahead;

	if (protect_field(task) != 2 && memcmp(&sent->guard, &medium->guard, sizeof(sent->guard)))
		return PI_GUARD;
	if (memcmp(&sent->app, &medium->app, sizeof(sent->app)))
		return PI_APP;
	if (task->lu->protection != 3 && be32_get(sent->ref) + ahead != be32_get(medium->ref))
		return PI_REF;
	return 0;
}

enum sense_code protect_compare(const struct scsi_task *task, const uint8_t *sent,
				const struct pi_tuple *sent_tuple, const uint8_t *medium,
				const struct pi_tuple *medium_tuple, uint32_t ref_ahead,
				uint32_t *at)
{
	uint32_t block = task->lu->block_size;
	int64_t differs = block_compare(sent, medium, block);
	uint8_t field;

	if (differs >= 0) {
		*at = (uint32_t)differs;
		return SENSE_MISCOMPARE;
	}
	if (!protect_of(task)->transfers)
		return SENSE_NONE;
	field = differing_field(task, sent_tuple, medium_tuple, ref_ahead);
	if (!field)
		return SENSE_NONE;
	*at = block + (uint32_t)(field == PI_GUARD ? offsetof(struct pi_tuple, guard)
				 : field == PI_APP ? offsetof(struct pi_tuple, app)
						   : offsetof(struct pi_tuple, ref));
	return code_of(SENSE_MISCOMPARE_GUARD, field);
}

bool protect_read(struct scsi_task *task, uint8_t *data, struct pi_tuple *tuples, uint32_t flags,
		  void (*step)(struct scsi_task *task))
{
	const struct protect *p = protect_of(task);
	uint8_t shift = task->lu->block_shift;

	task->req.tuples = tuples;
	return task_read(task, (task->lba + p->done) << shift, (uint64_t)p->count << shift, data,
			 BS_TUPLES | flags, step);
}

/* Tuples that did not come with the data are made by the backstore. */
bool protect_write(struct scsi_task *task, uint8_t *data, struct pi_tuple *tuples, uint32_t flags,
		   void (*step)(struct scsi_task *task))
{
	const struct protect *p = protect_of(task);
	uint8_t shift = task->lu->block_shift;

	task->req.tuples = tuples;
	return task_io(task, BS_WRITE, (task->lba + p->done) << shift, (uint64_t)p->count << shift,
		       data, flags | (p->transfers ? BS_TUPLES : 0), step);
}
