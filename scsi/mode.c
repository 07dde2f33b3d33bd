// SPDX-License-Identifier: BSD-2-Clause
/* What a unit remembers for its pages: current and saved mode values, and what they do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

void mode_apply(struct lu *lu)
{
	uint8_t bytes[MODE_PAGE_MAX];
	const struct mode_control *control = (const void *)bytes;
	const struct mode_caching *caching = (const void *)bytes;
	struct mode_values values;

	mode_current(lu, &values);
	mode_page_write(lu, MODE_CACHING, &values, bytes);
	atomic_store(&lu->mode.write_cache, caching->flags & MODE_CACHING_WCE);
	mode_page_write(lu, MODE_CONTROL, &values, bytes);
	atomic_store(&lu->mode.d_sense, control->flags2 & MODE_D_SENSE);
	atomic_store(&lu->mode.qerr, (control->flags3 & MODE_QERR) >> MODE_QERR_SHIFT);
	atomic_store(&lu->mode.tas, control->flags5 & MODE_TAS);
	if (control->flags4 & MODE_SWP)
		lu_set(lu, LU_SOFT_PROTECTED);
	else
		lu_clear(lu, LU_SOFT_PROTECTED);
	thresholds_apply(lu, &values);
}

void mode_current(struct lu *lu, struct mode_values *out)
{
	pthread_mutex_lock(&lu->pages->lock);
	*out = lu->pages->current;
	pthread_mutex_unlock(&lu->pages->lock);
}

void mode_saved(struct lu *lu, struct mode_values *out)
{
	pthread_mutex_lock(&lu->pages->lock);
	*out = lu->pages->saved;
	pthread_mutex_unlock(&lu->pages->lock);
}

void pages_give_turn(struct scsi_task *task)
{
	turn_give(&task->lu->pages->turn, task);
}

int lu_pages_create(struct lu *lu, char *why, size_t why_size)
{
	struct lu_pages *pages = calloc(1, sizeof(*pages));
	int err;

	if (!pages)
		return -ENOMEM;
	pthread_mutex_init(&pages->lock, NULL);
	turn_init(&pages->turn, &pages->lock);
	timestamp_init(pages);
	lu->pages = pages;
	mode_defaults(lu, &pages->saved);
	err = mode_load(lu, why, why_size);
	if (!err)
		err = identifying_load(lu, why, why_size);
	if (err) {
		lu_pages_destroy(lu);
		return err;
	}
	pages->current = pages->saved;
	mode_apply(lu);
	return 0;
}

void lu_pages_destroy(struct lu *lu)
{
	if (!lu->pages)
		return;
	pthread_mutex_destroy(&lu->pages->lock);
	free(lu->pages);
	lu->pages = NULL;
}
