// SPDX-License-Identifier: BSD-2-Clause
/* A small model of SBC: what a command of fuzz_cdb.c means, and what must hold when it has ended. */
#include <string.h>

#include "tests/fuzz/cdb.h"

/* By operation code. 32-byte CDBs are for protection information: cdb_decode_tuples(). */
static const struct {
	uint8_t opcode, kind;
} kinds[] = {
	{ 0x08, READ },	      { 0x28, READ },	 { 0xa8, READ },   { 0x88, READ },
	{ 0x0a, WRITE },      { 0x2a, WRITE },	 { 0xaa, WRITE },  { 0x8a, WRITE },
	{ 0x2e, WRITE },      { 0xae, WRITE },	 { 0x8e, WRITE },  { 0x9c, WRITE },
	{ 0x2f, VERIFY },     { 0xaf, VERIFY },	 { 0x8f, VERIFY }, { 0x41, WRITE_SAME },
	{ 0x93, WRITE_SAME }, { 0x8b, ORWRITE }, { 0x42, UNMAP },  { 0x89, COMPARE_AND_WRITE },
};

static enum kind kind_of(const uint8_t *cdb)
{
	for (size_t i = 0; i < array_size(kinds); i++) {
		if (kinds[i].opcode == cdb[0])
			return kinds[i].kind;
	}
	return OTHER;
}

void cdb_decode(struct command *c)
{
	const uint8_t *cdb = c->io.task.cdb;

	c->kind = kind_of(cdb);
	c->flags = cdb[1];
	switch (cdb[0] >> 5) {
	case 0:
		c->lba = number(cdb + 1, 3) & 0x1fffff;
		c->blocks = cdb[4] ? cdb[4] : 256;
		break;
	case 1:
	case 2:
		c->lba = number(cdb + 2, 4);
		c->blocks = number(cdb + 7, 2);
		break;
	case 4:
		c->lba = number(cdb + 2, 8);
		c->blocks = c->kind == COMPARE_AND_WRITE ? cdb[13]
			    : cdb[0] == 0x9c		 ? number(cdb + 12, 2)
							 : number(cdb + 10, 4);
		break;
	default:
		c->lba = number(cdb + 2, 4);
		c->blocks = number(cdb + 6, 4);
		break;
	}
}

void cdb_decode_tuples(struct command *c)
{
	const uint8_t *cdb = c->io.task.cdb;

	if (cdb[0] == CDB_VARIABLE_LENGTH) {
		c->lba = number(cdb + 12, 8);
		c->blocks = number(cdb + 28, 4);
	}
	c->transfers = cdb[0] == CDB_VARIABLE_LENGTH ||
		       (c->kind != OTHER && c->kind != UNMAP && cdb[0] >> 5 && cdb[1] & 0xe0);
}

static void check_sense(const struct scsi_task *task)
{
	const uint8_t *s = task->sense;

	if (task->status != SAM_CHECK_CONDITION) {
		require(task->sense_len == 0 || task->aborted, "sense without CHECK CONDITION");
		return;
	}
	require(task->sense_len >= 8 && task->sense_len <= SENSE_MAX, "length of the sense");
	require(task->sense_len == 8 + s[7], "additional length of the sense");
	if ((s[0] & 0x7f) == 0x70)
		require(task->sense_len >= 14 && s[2] & 0x0f && s[12], "fixed format sense");
	else
		require(s[0] == 0x72 && s[1] & 0x0f && s[2], "descriptor format sense");
}

static bool is_prefetch(uint8_t opcode)
{
	return opcode == 0x34 || opcode == 0x90;
}

void cdb_check_result(const struct command *c)
{
	const struct scsi_task *task = &c->io.task;
	const struct cdb_row *row = cdb_find(task->cdb);

	require(c->io.ended == 1 && !c->io.moving, "a command does not end, or ends twice");
	if (task->aborted)
		return;
	require(task->status == SAM_GOOD || task->status == SAM_CHECK_CONDITION ||
			task->status == SAM_BUSY || task->status == SAM_RESERVATION_CONFLICT ||
			task->status == SAM_TASK_SET_FULL || task->status == SAM_ACA_ACTIVE ||
			(task->status == SAM_CONDITION_MET && is_prefetch(task->cdb[0])),
		"status");
	check_sense(task);
	require(c->io.in_len <= task->transfer_len, "more Data-In than the command has");
	if (task->status != SAM_GOOD)
		return;
	require(row != NULL, "GOOD for a command that is not there");
	if (row->direction == DIR_IN && task->reads && !task->writes)
		require(c->io.in_len == min_u64(task->transfer_len, c->edtl), "Data-In is missing");
	else
		require(c->io.in_len == 0, "Data-In of a command without");
}

static void model_unmap(const struct command *c, uint8_t *disk)
{
	uint64_t end = 8 + (number(c->out + 2, 2) & ~15ull);

	for (uint64_t at = 8; at < end; at += 16) {
		uint64_t lba = number(c->out + at, 8), blocks = number(c->out + at + 8, 4);

		require(lba <= c->run->blocks && blocks <= c->run->blocks - lba,
			"UNMAP beyond the disk is GOOD");
		memset(disk + lba * c->run->block, 0, blocks * c->run->block);
	}
}

/* Makes the disk as it was into what it has to be after GOOD. */
static void model_good(const struct command *c, uint8_t *disk)
{
	const struct run *run = c->run;
	uint64_t bytes, room = c->io.task.writes ? c->edtl : 0;
	uint8_t *p;

	if (c->kind == OTHER)
		return;
	if (c->kind == UNMAP) {
		if (c->blocks) /* PARAMETER LIST LENGTH */
			model_unmap(c, disk);
		return;
	}
	require(c->lba <= run->blocks && c->blocks <= run->blocks - c->lba,
		"a range beyond the disk is GOOD");
	bytes = c->blocks * run->block;
	p = disk + c->lba * run->block;
	switch (c->kind) {
	case READ:
		require(!memcmp(c->io.in, p, c->io.in_len), "READ brings other data");
		require(c->io.in_len == (c->io.task.reads && !c->io.task.writes
						 ? min_u64(bytes, c->edtl)
						 : 0),
			"READ brings another length");
		break;
	case WRITE: memcpy(p, c->out, min_u64(bytes, room)); break;
	case VERIFY:
		require(!bytes || (c->flags & 6) != 2 ||
				(room >= bytes && !memcmp(p, c->out, bytes)),
			"VERIFY finds no difference");
		for (uint64_t i = 0; (c->flags & 6) == 6 && i < c->blocks; i++)
			require(!memcmp(p + i * run->block, c->out, run->block),
				"VERIFY finds no difference from one block");
		break;
	case WRITE_SAME:
		require(c->blocks > 0, "WRITE SAME of no blocks is GOOD");
		for (uint64_t i = 0; i < bytes; i += run->block) {
			if (c->flags & 1)
				memset(p + i, 0, run->block);
			else
				memcpy(p + i, c->out, run->block);
		}
		break;
	case ORWRITE:
		for (uint64_t i = 0; i < min_u64(bytes, room); i++)
			p[i] |= c->out[i];
		break;
	default:
		require(room == 2 * bytes, "COMPARE AND WRITE with another length is GOOD");
		require(!memcmp(p, c->out, bytes), "COMPARE AND WRITE finds no difference");
		memcpy(p, c->out + bytes, bytes);
		break;
	}
}

void cdb_check_model(const struct command *c)
{
	struct run *run = c->run;
	const struct scsi_task *task = &c->io.task;

	if (c->transfers) {
		memcpy(run->before, run->disk, run->bs.limits.size);
		return;
	}
	if (task->status == SAM_GOOD && !(c->bits & TASK_OTHER_LUN))
		model_good(c, run->before);
	require(!memcmp(run->disk, run->before, run->bs.limits.size), "the disk has other content");
}
