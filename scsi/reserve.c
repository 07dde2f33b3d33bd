// SPDX-License-Identifier: BSD-2-Clause
/*
 * What reservations deny to each nexus, and RESERVE and RELEASE, SPC-2 5.5.1: one nexus has the
 * logical unit for itself until it releases it, is lost, or the unit is reset. The two methods
 * exclude each other: RESERVE conflicts while anybody is registered, PERSISTENT RESERVE IN and OUT
 * while the unit is reserved.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/worker.h"
#include "pr.h"
#include "rows.h"

enum {
	/* What a RESERVE (6) denies to all, and to others than its holder. */
	DENIED_TO_ALL = 1 << RSV_PERSISTENT,
	DENIED_TO_OTHERS = DENIED_TO_ALL | 1 << RSV_READ | 1 << RSV_WRITE | 1 << RSV_STATUS,
};

void reservation_deny(struct lu *lu, struct pr_state *state, struct nexus *nexus, int lun)
{
	uint64_t holder = atomic_load(&lu->reserved_by);
	uint8_t denied = pr_denies(state, nexus);

	if (holder)
		denied |= holder == nexus->id ? DENIED_TO_ALL : DENIED_TO_OTHERS;
	atomic_store_explicit(&nexus->denied[lun], denied, memory_order_release);
}

static void deny(struct nexus *nexus, int lun, void *arg)
{
	struct lu *lu = arg;

	reservation_deny(lu, lu->reservations->state, nexus, lun);
}

void reservation_changed(struct lu *lu)
{
	pthread_mutex_lock(&lu->reservations->lock);
	lu_each_nexus(lu, deny, lu);
	pthread_mutex_unlock(&lu->reservations->lock);
}

void reservations_meet(struct nexus *nexus)
{
	for (int i = 0; i < TARGET_LUNS; i++) {
		struct lu *lu = target_unit(nexus->target, i);

		if (!lu)
			continue;
		pthread_mutex_lock(&lu->reservations->lock);
		deny(nexus, i, lu);
		pthread_mutex_unlock(&lu->reservations->lock);
	}
}

bool reservation_allows(struct scsi_task *task, enum reservation_rule rule)
{
	if (!reservation_conflict(task->nexus, lun_number(task->lun), rule))
		return true;
	stat_add(&task_stats(task)->conflicts, 1);
	task->status = SAM_RESERVATION_CONFLICT;
	task_end(task);
	return false;
}

/* --- RESERVE and RELEASE */

/* What conflicts is told apart here, since RELEASE passes the reservation of another. */
static void reserve_start(struct scsi_task *task)
{
	struct lu *lu = task->lu;
	struct reservations *pr = lu->reservations;
	uint64_t holder = 0, id = task->nexus->id;
	bool conflict;

	pthread_mutex_lock(&pr->lock);
	conflict = pr->state->count || pr->turn.owner ||
		   (!atomic_compare_exchange_strong(&lu->reserved_by, &holder, id) && holder != id);
	pthread_mutex_unlock(&pr->lock);
	if (conflict) {
		stat_add(&task_stats(task)->conflicts, 1);
		task->status = SAM_RESERVATION_CONFLICT;
	} else {
		reservation_changed(lu);
	}
	task_end(task);
}

void reservation_release(struct lu *lu, const struct nexus *nexus)
{
	uint64_t holder = nexus->id;

	if (atomic_compare_exchange_strong(&lu->reserved_by, &holder, 0))
		reservation_changed(lu);
}

/* GOOD without effect for a nexus that does not hold it. */
static void release_start(struct scsi_task *task)
{
	reservation_release(task->lu, task->nexus);
	task_end(task);
}

/* --- the unit's part */

int reservations_load(struct lu *lu, struct pr_state **state, uint64_t *version, char *why,
		      size_t why_size)
{
	struct reservations *pr = lu->reservations;
	char *text = NULL, reason[128];
	size_t len = 0;
	int err;

	*state = NULL;
	*version = 0;
	err = lu->store ? lu->store->ops->load(lu->store, pr->record, &text, &len, version, why,
					       why_size)
			: -ENOENT;
	if (err == -ENOENT) {
		*version = 0;
		*state = pr_state_copy(NULL, 0);
		if (*state)
			return 0;
		snprintf(why, why_size, "not enough memory");
		return -ENOMEM;
	}
	if (err)
		return err;
	err = pr_record_read(text, len, state, reason, sizeof(reason));
	free(text);
	if (err == -ENOMEM)
		snprintf(why, why_size, "not enough memory");
	else if (err)
		snprintf(
			why, why_size,
			"the persistent reservations in the record %s of the state folder cannot be "
			"read: %s; restore the file, or remove it to start without reservations",
			pr->record, reason);
	return err;
}

int reservations_create(struct lu *lu, char *why, size_t why_size)
{
	struct reservations *pr = calloc(1, sizeof(*pr));
	int err = -ENOMEM;

	lu->reservations = pr;
	if (!pr)
		return -ENOMEM;
	pthread_mutex_init(&pr->lock, NULL);
	pr_fences_init(pr);
	store_record_name(pr->record, "reservations", lu->serial);
	if (!lu->store || !worker_create("reservations", &pr->worker))
		err = reservations_load(lu, &pr->state, &pr->version, why, why_size);
	if (err)
		reservations_destroy(lu);
	return err;
}

void reservations_destroy(struct lu *lu)
{
	struct reservations *pr = lu->reservations;

	if (!pr)
		return;
	worker_destroy(pr->worker);
	pthread_mutex_destroy(&pr->lock);
	free(pr->state);
	free(pr);
	lu->reservations = NULL;
}

#define RESERVES(label) .name = (label), .start = reserve_start, .rule = RSV_LEGACY, QUICK
#define RELEASES(label) .name = (label), .start = release_start, .rule = RSV_LEGACY, QUICK

const struct cdb_row reserve6_row = { USAGE6(CDB_RESERVE_6, 0, 0, 0, 0, CONTROL),
				      RESERVES("RESERVE (6)") };

const struct cdb_row release6_row = { USAGE6(CDB_RELEASE_6, 0, 0, 0, 0, CONTROL),
				      RELEASES("RELEASE (6)") };

/* Without third parties, and without what they would be named by. */
const struct cdb_row reserve10_row = { USAGE10(CDB_RESERVE_10, 0, 0, 0, 0, 0, 0, 0, 0, CONTROL),
				       RESERVES("RESERVE (10)") };

const struct cdb_row release10_row = { USAGE10(CDB_RELEASE_10, 0, 0, 0, 0, 0, 0, 0, 0, CONTROL),
				       RELEASES("RELEASE (10)") };
