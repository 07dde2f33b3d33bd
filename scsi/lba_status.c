// SPDX-License-Identifier: BSD-2-Clause
/*
 * GET LBA STATUS (16), SBC 5.6: which blocks have data or space, as the backstore knows it. Alike
 * neighbours are one descriptor. Where the backstore does not know, everything is mapped, which also
 * stands for "unknown". The list ends where the allocation length, our buffer or the medium does, or
 * after many small extents; the initiator asks again from there on.
 */
#include <errno.h>

#include "rows.h"
#include "scsi_media_wire.h"

enum {
	QUERIES_MAX = 1024, /* once there is something to answer */
	YIELD_QUERIES = 64,
	REPORT_TYPE_AT = 14,
	MOST_IN_BUFFER =
		(RESPONSE_SIZE - sizeof(struct lba_status_header)) / sizeof(struct lba_status),
};

/* Members of task->scratch. */
enum { REPORT_TYPE, COUNT, MOST, QUERIES };

static struct lba_status *descriptors(const struct scsi_task *task)
{
	return (void *)(task->buf->data + sizeof(struct lba_status_header));
}

static bool is_wanted(uint32_t report_type, uint8_t provisioning)
{
	switch (report_type) {
	case LBA_REPORT_ALL: return true;
	case LBA_REPORT_MAPPED: return provisioning == LBA_MAPPED;
	case LBA_REPORT_NOT_MAPPED: return provisioning != LBA_MAPPED;
	case LBA_REPORT_DEALLOCATED: return provisioning == LBA_DEALLOCATED;
	case LBA_REPORT_ANCHORED: return provisioning == LBA_ANCHORED;
	default: return false; /* nothing is known to be unreadable */
	}
}

/* Whether there may be any on this unit. */
static bool may_exist(const struct lu *lu, uint32_t report_type)
{
	return report_type != LBA_REPORT_UNREADABLE &&
	       (report_type != LBA_REPORT_ANCHORED || lu->can_anchor);
}

/* False: there is no more room. */
static bool add(struct scsi_task *task, uint64_t lba, uint64_t blocks, uint8_t provisioning)
{
	struct lba_status *d = descriptors(task) + task->scratch[COUNT];

	if (task->scratch[COUNT] && d[-1].provisioning == provisioning &&
	    be64_get(d[-1].lba) + be32_get(d[-1].blocks) == lba) {
		uint64_t before = be32_get(d[-1].blocks), most = UINT32_MAX - before;
		uint64_t n = blocks < most ? blocks : most;

		d[-1].blocks = be32_of((uint32_t)(before + n));
		lba += n;
		blocks -= n;
	}
	while (blocks) {
		uint32_t n = blocks < UINT32_MAX ? (uint32_t)blocks : UINT32_MAX;

		if (task->scratch[COUNT] == task->scratch[MOST])
			return false;
		d = descriptors(task) + task->scratch[COUNT]++;
		*d = (struct lba_status){ .lba = be64_of(lba),
					  .blocks = be32_of(n),
					  .provisioning = provisioning };
		lba += n;
		blocks -= n;
	}
	return true;
}

static void answer(struct scsi_task *task, uint8_t condition)
{
	struct lba_status_header *header = (void *)task->buf->data;
	uint32_t len =
		(uint32_t)(sizeof(*header) + task->scratch[COUNT] * sizeof(struct lba_status));
	uint64_t room = task_in_room(task);

	*header = (struct lba_status_header){
		.data_len = be32_of(len - (uint32_t)sizeof(header->data_len)),
		.flags = (uint8_t)(condition << LBA_STATUS_CONDITION_SHIFT |
				   (task->scratch[REPORT_TYPE] ? LBA_STATUS_RTP : 0))
	};
	if (len > task->chunk)
		len = task->chunk; /* ALLOCATION LENGTH */
	task_want_in(task, len);
	if (len > room)
		len = (uint32_t)room;
	if (len)
		task_send_last(task, task->buf->data, 0, len);
	else
		task_good(task);
}

/* One extent is known. False: that was enough; answered. */
static bool extent_known(struct scsi_task *task)
{
	struct bs_req *req = &task->req;
	uint64_t left = task->end - task->pos, len = left;
	uint8_t shift = task->lu->block_shift;
	uint8_t state = LBA_MAPPED;

	if (req->res == 0 && req->extent.len && req->extent.len <= left) {
		len = req->extent.len & ~(uint64_t)(task->lu->block_size - 1);
		state = req->extent.mapped     ? LBA_MAPPED
			: req->extent.anchored ? LBA_ANCHORED
					       : LBA_DEALLOCATED;
	}
	if (req->res < 0 && req->res != -EOPNOTSUPP) {
		task_fail_io(task);
		return false;
	}
	if (!len) { /* less than a block: part of it has space */
		len = task->lu->block_size;
		state = LBA_MAPPED;
	}
	if (is_wanted(task->scratch[REPORT_TYPE], state) &&
	    !add(task, (task->pos >> shift) + task->lba, len >> shift, state)) {
		answer(task, task->scratch[MOST] == MOST_IN_BUFFER ? 0 : LBA_STATUS_BY_ALLOCATION);
		return false;
	}
	task->pos += len;
	task->scratch[QUERIES]++;
	if (task->pos == task->end) {
		answer(task, LBA_STATUS_BY_CAPACITY);
		return false;
	}
	if (task->scratch[COUNT] && task->scratch[QUERIES] >= QUERIES_MAX) {
		answer(task, 0);
		return false;
	}
	return true;
}

static void extent_ask(struct scsi_task *task);

static void extent_back(struct scsi_task *task)
{
	if (!extent_known(task))
		return;
	if (task->scratch[QUERIES] % YIELD_QUERIES)
		extent_ask(task);
	else
		task_yield(task, extent_ask);
}

static void extent_ask(struct scsi_task *task)
{
	uint64_t offset = (task->lba << task->lu->block_shift) + task->pos;

	if (!task->end) {
		answer(task, LBA_STATUS_BY_CAPACITY);
		return;
	}
	task->req.res = -EOPNOTSUPP;
	if (!task->lu->bs->limits.can_report_extents ||
	    task_io(task, BS_EXTENT, offset, task->end - task->pos, NULL, 0, extent_back))
		extent_back(task);
}

static bool is_report_type(uint8_t type)
{
	return type <= LBA_REPORT_ANCHORED || type == LBA_REPORT_UNREADABLE;
}

static void lba_status_start(struct scsi_task *task)
{
	uint8_t type = task->cdb[REPORT_TYPE_AT];

	block_decode(task);
	task->chunk =
		(uint32_t)task->blocks; /* ALLOCATION LENGTH is where others have the length */
	task->blocks = 1; /* the first one has to be there */
	if (!block_check_range(task))
		return;
	if (!is_report_type(type)) {
		task_fail_cdb(task, REPORT_TYPE_AT, 7);
		return;
	}
	task->blocks = task->lu->blocks - task->lba;
	task->end = task->blocks << task->lu->block_shift;
	task->scratch[REPORT_TYPE] = type;
	task->scratch[COUNT] = task->scratch[QUERIES] = 0;
	/* One more than fits is a descriptor that is cut, and so on: at least one is there. */
	task->scratch[MOST] = task->chunk / sizeof(struct lba_status) + 1;
	if (task->scratch[MOST] > MOST_IN_BUFFER)
		task->scratch[MOST] = MOST_IN_BUFFER;
	if (!may_exist(task->lu, type))
		task->end = 0; /* nothing to look for */
	if (task_buffer(task, 0, RESPONSE_SIZE, extent_ask))
		extent_ask(task);
}

const struct cdb_row lba_status16_row = { .name = "GET LBA STATUS (16)",
					  .service_action = SA_GET_LBA_STATUS,
					  USAGE16(CDB_SERVICE_ACTION_IN_16, SA_GET_LBA_STATUS, LBA8,
						  LEN4, 0xff, CONTROL),
					  .start = lba_status_start,
					  ALLOCATION(10, 4),
					  .direction = DIR_IN,
					  .rule = RSV_READ,
					  .flags = ROW_MEDIUM,
					  MEDIUM };
