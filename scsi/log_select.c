// SPDX-License-Identifier: BSD-2-Clause
/*
 * LOG SELECT, SPC 6.6: sets counters back to zero, those of one page or all. There is no other value
 * to give them and nothing to save, so a parameter list is refused.
 */
#include "pages.h"
#include "rows.h"

/* Reads and writes are counted without a lock: what is counted now is where it begins. */
static void reset(struct lu *lu, uint32_t which)
{
	struct log_counters now;

	pthread_mutex_lock(&lu->pages->lock);
	log_count(lu, &now);
	for (unsigned int i = 0; i < LOG_COUNTERS; i++) {
		if (which >> i & 1)
			lu->pages->began.value[i] = now.value[i];
	}
	pthread_mutex_unlock(&lu->pages->lock);
}

static void log_select_start(struct scsi_task *task)
{
	const struct cdb10 *cdb = (const void *)task->cdb;
	uint8_t page = task->cdb[2] & 0x3f, subpage = task->cdb[3];
	bool all = !page && !subpage;

	task_want_out(task, be16_get(cdb->len));
	if (be16_get(cdb->len)) {
		task_fail_cdb(task, 7, 7);
		return;
	}
	if (!all && !log_page_exists(task->lu, page, subpage)) {
		bool named = log_page_exists(task->lu, page, 0);

		task_fail_cdb(task, named ? 3 : 2, named ? 7 : 5);
		return;
	}
	/* With the other values of PC without PCR: thresholds become what they are. */
	if (task->cdb[1] & LOG_SELECT_PCR || task->cdb[2] >> 6 == LOG_DEFAULT_CUMULATIVE) {
		reset(task->lu, all ? UINT32_MAX : log_page_counters(task->lu, page, subpage));
		lu_raise_ua(task->lu, UA_LOG_CHANGED, task->nexus);
	}
	task_good(task);
}

const struct cdb_row log_select_row = { .name = "LOG SELECT",
					USAGE10(CDB_LOG_SELECT, LOG_SELECT_PCR, 0xff, 0xff, 0, 0, 0,
						LEN2, CONTROL),
					.start = log_select_start,
					.direction = DIR_OUT,
					.rule = RSV_WRITE,
					.flags = ROW_STANDBY,
					QUICK };
