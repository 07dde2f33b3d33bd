// SPDX-License-Identifier: BSD-2-Clause
/*
 * Logical block provisioning thresholds, SBC 4.7.3.7: unit attentions when space gets short. While
 * one is enabled, a medium access command now and then asks the backstore for its space before it
 * runs; a unit without thresholds does not notice.
 */
#include <string.h>

#include "pages.h"

enum { SET_SHIFT = 20 /* a threshold set is 1 MiB */, LOOK_EVERY_S = 1 };

bool lu_reports_space(const struct lu *lu)
{
	return lu->can_unmap && lu->bs->limits.can_report_space;
}

uint8_t lu_threshold_exponent(const struct lu *lu)
{
	return lu_reports_space(lu) ? (uint8_t)(SET_SHIFT - lu->block_shift) : 0;
}

uint32_t threshold_sets(uint64_t bytes)
{
	uint64_t sets = bytes >> SET_SHIFT;

	return sets < UINT32_MAX ? (uint32_t)sets : UINT32_MAX;
}

void thresholds_apply(struct lu *lu, const struct mode_values *values)
{
	uint8_t recovery[MODE_PAGE_MAX], page[MODE_PAGE_MAX];
	const struct mode_provisioning *provisioning = (const void *)page;
	bool watches = false;

	mode_page_write(lu, MODE_PROVISIONING, values, page);
	mode_page_write(lu, MODE_RECOVERY, values, recovery);
	for (unsigned int i = 0; i < MODE_THRESHOLDS; i++)
		watches |= provisioning->thresholds[i].flags & MODE_THRESHOLD_ENABLED;
	/* Other pages that change are no reason to tell it again. */
	if (memcmp(&lu->pages->watched, provisioning, sizeof(lu->pages->watched)) != 0) {
		lu->pages->watched = *provisioning;
		atomic_store(&lu->pages->crossed, 0);
		atomic_store(&lu->pages->look_at, 0);
	}
	/* Without space to report, LBPERE is not set. */
	if (watches &&
	    ((const struct mode_rw_recovery *)(const void *)recovery)->flags7 & MODE_LBPERE)
		lu_set(lu, LU_WATCHES_SPACE);
	else
		lu_clear(lu, LU_WATCHES_SPACE);
}

void thresholds_look(struct lu *lu, uint64_t used, uint64_t available)
{
	const struct mode_provisioning *page;
	uint32_t crossed = 0, before;
	struct mode_values values;

	if (!lu_is(lu, LU_WATCHES_SPACE))
		return;
	mode_current(lu, &values);
	page = (const void *)values.page[MODE_PROVISIONING];
	for (unsigned int i = 0; i < MODE_THRESHOLDS; i++) {
		const struct mode_threshold *t = &page->thresholds[i];
		uint32_t count = be32_get(t->count);

		if (!(t->flags & MODE_THRESHOLD_ENABLED))
			continue;
		if (i == 0 ? threshold_sets(available) <= count : threshold_sets(used) >= count)
			crossed |= 1u << i;
	}
	before = atomic_exchange(&lu->pages->crossed, crossed);
	if (crossed & ~before)
		lu_raise_ua(lu, UA_THRESHOLD_REACHED, NULL);
}

static void looked(struct scsi_task *task)
{
	if (!task->req.res)
		thresholds_look(task->lu, task->req.space.used, task->req.space.available);
	task->row->start(task);
}

bool thresholds_due(struct scsi_task *task)
{
	struct lu_pages *pages = task->lu->pages;
	uint64_t now = reactor_now(task->reactor), at = atomic_load(&pages->look_at);

	if (now < at || !atomic_compare_exchange_strong(&pages->look_at, &at,
							now + LOOK_EVERY_S * NSEC_PER_SEC))
		return false;
	if (task_io(task, BS_SPACE, 0, 0, NULL, 0, looked))
		looked(task);
	return true;
}
