// SPDX-License-Identifier: BSD-2-Clause
/*
 * SYNCHRONIZE CACHE, SBC 5.35. It is always the whole cache, whatever the range. With IMMED the
 * answer is GOOD before the flush has ended: it says that the flush has begun. When that fails, the
 * backstore remembers (bs.flush_failed), and the next SYNCHRONIZE CACHE without IMMED and every
 * forced write say so: no loss is ever covered by a later GOOD that promises stable media.
 */
#include <string.h>

#include "rows.h"

static void cache_synchronized(struct scsi_task *task)
{
	if (task->req.res < 0)
		task_fail_io(task);
	else
		task_good(task);
}

static void flush_begin(struct lu_flush *flush);

/* A flush that began before a command came may have passed over what that command means. */
static void flush_done(struct bs_req *req, int res)
{
	struct lu_flush *flush = container_of(req, struct lu_flush, req);

	(void)res; /* remembered below */
	flush->busy = false;
	if (flush->again)
		flush_begin(flush);
}

static void flush_begin(struct lu_flush *flush)
{
	struct bs_req *req = &flush->req;
	struct reactor *reactor = req->reactor;

	flush->again = false;
	memset(req, 0, sizeof(*req));
	req->opcode = BS_FLUSH;
	req->reactor = reactor;
	req->done = flush_done;
	flush->busy = !bs_submit(flush->lu->bs, req);
}

static void synchronize_later(struct scsi_task *task)
{
	struct lu_flush *flush = &task->lu->per_reactor[task->reactor->index].flush;

	flush->lu = task->lu;
	flush->req.reactor = task->reactor;
	flush->req.res = 0;
	if (flush->busy)
		flush->again = true;
	else
		flush_begin(flush);
	/* Over already: then the answer can tell. */
	if (!flush->busy && flush->req.res < 0)
		task_fail(task, sense_of_errno(flush->req.res, BS_FLUSH));
	else
		task_good(task);
}

static void synchronize_cache_start(struct scsi_task *task)
{
	task->kind = LATENCY_FLUSH;
	block_decode(task);
	if (!block_check_range(task))
		return;
	if (task_has_bit(task, CACHE_IMMED))
		synchronize_later(task);
	else if (task_io(task, BS_FLUSH, 0, 0, NULL, 0, cache_synchronized))
		cache_synchronized(task);
}

const struct cdb_row synchronize_cache10_row = {
	.name = "SYNCHRONIZE CACHE (10)",
	USAGE10(CDB_SYNCHRONIZE_CACHE_10, CACHE_SYNC_NV | CACHE_IMMED, LBA4, 0, LEN2, CONTROL),
	.start = synchronize_cache_start,
	.rule = RSV_WRITE,
	.flags = ROW_MEDIUM,
	LONG
};

const struct cdb_row synchronize_cache16_row = {
	.name = "SYNCHRONIZE CACHE (16)",
	USAGE16(CDB_SYNCHRONIZE_CACHE_16, CACHE_SYNC_NV | CACHE_IMMED, LBA8, LEN4, 0, CONTROL),
	.start = synchronize_cache_start,
	.rule = RSV_WRITE,
	.flags = ROW_MEDIUM,
	LONG
};
