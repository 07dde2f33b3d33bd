// SPDX-License-Identifier: BSD-2-Clause
/*
 * What one initiator may do at a target: the LUNs that it sees, those that it may only read, and how much
 * in a second. Where nobody has restrictions a command pays nothing for all this: nexus->lun is the load
 * that target->lun would be, and the rest hangs on bits of the unit's condition, which is looked at anyway.
 */
#include <string.h>

#include "core/log.h"
#include "limiter.h"
#include "pr.h"

/* --- Limits */

/* Those that transfer data of the medium. */
static bool counts(const struct scsi_task *task)
{
	const struct cdb_row *row = task->row;

	return task->edtl && row->flags & ROW_MEDIUM &&
	       (row->rule == RSV_READ || row->rule == RSV_WRITE);
}

/* Bytes that it may move. The initiator's word for that alone would make a debt that others have to wait
 * for. */
static uint32_t tokens_of(struct scsi_task *task)
{
	uint64_t bytes;

	block_decode(task);
	bytes = task->blocks < MAX_TRANSFER_BLOCKS ? task->blocks : MAX_TRANSFER_BLOCKS;
	bytes <<= task->lu->block_shift;
	return bytes < task->edtl ? (uint32_t)bytes : task->edtl;
}

static struct limiter *limiter_of(const struct lu *lu)
{
	return lu && lu_is(lu, LU_LIMITED) && !lu_is_leaving(lu) ? lu->limiter : NULL;
}

static bool pass(struct scsi_task *task, void (*step)(struct scsi_task *task))
{
	struct limiter *l[] = { task->nexus->limiter, limiter_of(task->lu) };

	while (task->paid < array_size(l)) {
		struct limiter *next = l[task->paid++];

		if (next && !limiter_take(next, task, step))
			return false;
	}
	return true;
}

static void go_on(struct scsi_task *task)
{
	if (pass(task, go_on))
		task_paid(task);
}

bool limits_pass(struct scsi_task *task)
{
	/* Lent data does not wait. */
	if (!counts(task) || task->lent_data || lu_is_leaving(task->lu))
		return true;
	task->paid = 0;
	task->tokens = tokens_of(task);
	return pass(task, go_on);
}

bool limits_pass_copy(struct scsi_task *task, struct lu *from, struct lu *to, uint32_t bytes,
		      void (*step)(struct scsi_task *task))
{
	struct limiter *l[] = { task->nexus->limiter, limiter_of(from),
				from == to ? NULL : limiter_of(to) };

	task->tokens = bytes;
	while (task->paid < array_size(l)) {
		struct limiter *next = l[task->paid++];

		if (next && !limiter_take(next, task, step))
			return false;
	}
	return true;
}

void lu_set_limits(struct lu *lu, const struct io_limits *limits)
{
	limiter_set(lu->limiter, limits);
	if (io_limits_any(limits))
		lu_set(lu, LU_LIMITED);
	else
		lu_clear(lu, LU_LIMITED);
}

/* --- Rights */

static bool guards(const struct nexus *nexus, unsigned int lun)
{
	return nexus->limiter || nexus_only_reads(nexus, lun);
}

void nexus_show(struct nexus *nexus, unsigned int lun, struct lu *lu)
{
	if (lu && guards(nexus, lun))
		lu_set(lu, LU_GUARDED);
	nexus->view[lun] = nexus_sees(nexus, lun) ? lu : NULL;
}

struct restriction {
	struct nexus *nexus;
	const struct nexus_rights *rights;
	struct limiter *limiter;
	unsigned int changed, first;
};

/* The sessions of an initiator share a limiter. */
static void find_limiter(struct nexus *other, void *arg)
{
	struct restriction *r = arg;

	if (!r->limiter && other != r->nexus && other->limiter &&
	    io_limits_equal(&other->rights.limits, &r->rights->limits) &&
	    !strcmp(other->initiator_name, r->nexus->initiator_name))
		r->limiter = limiter_keep(other->limiter);
}

static void compare(struct restriction *r, unsigned int lun)
{
	struct nexus *nexus = r->nexus;
	bool saw = nexus_sees(nexus, lun), sees = lun_set_has(&r->rights->sees, lun);
	bool protection = nexus_only_reads(nexus, lun) != lun_set_has(&r->rights->only_reads, lun);

	if (!nexus->target->lun[lun] || !nexus->restricted)
		return; /* for a new nexus all is new */
	if (sees && !saw)
		atomic_store(&nexus->unit_attentions[lun], 1u << UA_POWER_ON);
	else if (sees && protection)
		atomic_fetch_or(&nexus->unit_attentions[lun], 1u << UA_MODE_CHANGED);
	if (sees == saw)
		return;
	atomic_store(&nexus->prevents_removal[lun], false);
	if (!r->changed++)
		r->first = lun;
}

static void install(struct nexus *nexus, void *arg)
{
	struct restriction *r = arg;

	for (unsigned int lun = 0; lun < TARGET_LUNS; lun++)
		compare(r, lun);
	nexus->restricted = true;
	nexus->rights = *r->rights;
	nexus->limiter = r->limiter;
	for (unsigned int lun = 0; lun < TARGET_LUNS; lun++) {
		nexus_show(nexus, lun, nexus->target->lun[lun]);
		if (r->changed)
			atomic_fetch_or(&nexus->unit_attentions[lun], 1u << UA_LUNS_CHANGED);
	}
	nexus->lun = lun_set_is_all(&nexus->rights.sees) ? nexus->target->lun : nexus->view;
}

/* Who does not see a unit cannot release it either. */
static void release_unseen(struct nexus *nexus)
{
	for (unsigned int lun = 0; lun < TARGET_LUNS; lun++) {
		struct lu *lu = target_unit(nexus->target, (int)lun);

		if (lu && !nexus_sees(nexus, lun))
			reservation_release(lu, nexus);
	}
}

unsigned int nexus_restrict(struct nexus *nexus, const struct nexus_rights *rights,
			    unsigned int *first)
{
	struct restriction r = { .nexus = nexus, .rights = rights };
	struct limiter *before = nexus->limiter;

	if (before && io_limits_equal(&nexus->rights.limits, &rights->limits))
		r.limiter = limiter_keep(before);
	else if (io_limits_any(&rights->limits))
		target_each_nexus(nexus->target, find_limiter, &r);
	if (!r.limiter && io_limits_any(&rights->limits)) {
		r.limiter = limiter_new(&rights->limits);
		if (!r.limiter)
			log_error("%s: %s: no memory for its limits, which do not count",
				  nexus->target->name, nexus->initiator_name);
	}
	nexus_locked(nexus, install, &r);
	if (r.changed)
		release_unseen(nexus);
	if (before && before != r.limiter)
		limiter_let_pass(before, NULL, nexus);
	limiter_put(before);
	*first = r.first;
	return r.changed;
}

void nexus_forget_limits(struct nexus *nexus)
{
	limiter_put(nexus->limiter);
	nexus->limiter = NULL;
}

struct lu *nexus_lu(const struct nexus *nexus, const uint8_t lun[8])
{
	int number = lun_number(lun);

	return number < 0 ? NULL : nexus_found(nexus, number);
}

struct lu *nexus_lu_of(const struct nexus *nexus, const uint8_t lun[8])
{
	int number = lun_number(lun);

	return number < 0 || !nexus_sees(nexus, (unsigned int)number)
		       ? NULL
		       : target_unit(nexus->target, number);
}
