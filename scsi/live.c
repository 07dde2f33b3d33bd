// SPDX-License-Identifier: BSD-2-Clause
/*
 * Units of a target that come and go while its reactors run (lu.h, "Live change"). The path of a command
 * is one load of target->lun[]. What has found a unit there goes on with it; that it is over is found out
 * by asking every reactor, by messages, which costs those nothing that do not change anything.
 *
 * Whose a command is, is asked again when others abort it and wait for its end. So a unit that leaves
 * keeps its number until then, in target->leaving[].
 */
#include <assert.h>

#include "job.h"
#include "limiter.h"
#include "pr.h"
#include "task_set.h"

struct arrival {
	struct lu *lu;
	unsigned int lun;
	uint32_t attentions;
};

/* What a nexus remembers of this number is of a unit that is gone. */
static void prepare(struct nexus *nexus, void *arg)
{
	const struct arrival *a = arg;

	atomic_store(&nexus->unit_attentions[a->lun], a->attentions);
	atomic_store(&nexus->prevents_removal[a->lun], false);
	reservation_deny(a->lu, a->lu->reservations->state, nexus, (int)a->lun);
	nexus_show(nexus, a->lun, a->lu);
}

void target_add_lun(struct scsi_target *target, unsigned int lun, struct lu *lu, bool another)
{
	struct arrival a = { lu, lun, 1u << UA_POWER_ON };

	assert(!target->lun[lun] && !target->leaving[lun]);
	if (another)
		a.attentions |= 1u << UA_INQUIRY_CHANGED;
	pthread_mutex_lock(&lu->reservations->lock);
	target_publish_lun(target, lun, lu, prepare, &a);
	pthread_mutex_unlock(&lu->reservations->lock);
}

static void show(struct nexus *nexus, void *arg)
{
	const struct arrival *a = arg;

	nexus_show(nexus, a->lun, a->lu);
}

static void let_pass(struct nexus *nexus, void *arg)
{
	if (nexus->limiter)
		limiter_let_pass(nexus->limiter, arg, NULL);
}

void target_remove_lun(struct scsi_target *target, unsigned int lun)
{
	struct lu *lu = target->lun[lun];

	assert(lu && !target->leaving[lun]);
	atomic_store(&lu->leaving, true);
	target->leaving[lun] = lu;
	target->lun[lun] = NULL;
	target_each_nexus(target, show, &(struct arrival){ NULL, lun, 0 });
	/* Nobody waits for a limit in front of the door. */
	limiter_let_pass(lu->limiter, NULL, NULL);
	target_each_nexus(target, let_pass, lu);
}

void target_return_lun(struct scsi_target *target, unsigned int lun)
{
	struct lu *lu = target->leaving[lun];

	assert(lu && !target->lun[lun]);
	target->lun[lun] = lu;
	target->leaving[lun] = NULL;
	target_each_nexus(target, show, &(struct arrival){ lu, lun, 0 });
	atomic_store(&lu->leaving, false);
}

struct lu *target_drop_lun(struct scsi_target *target, unsigned int lun)
{
	struct lu *lu = target->leaving[lun];

	assert(lu && !target->lun[lun]);
	target->leaving[lun] = NULL;
	return lu;
}

void target_show_lun(struct scsi_target *target, unsigned int lun, struct lu *lu)
{
	assert(!target->lun[lun] && !target->leaving[lun]);
	target->leaving[lun] = lu;
}

bool target_add_port(struct scsi_target *target, const struct target_port *port)
{
	unsigned int n = target->port_count;

	if (n == TARGET_PORTS)
		return false;
	target->ports[n] = *port;
	target->port_count = n + 1;
	return true;
}

static bool job_runs(const struct lu *lu)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&lu->lock;
	bool runs;

	pthread_mutex_lock(lock);
	runs = lu->job && lu->job->reactor;
	pthread_mutex_unlock(lock);
	return runs;
}

bool lu_busy(const struct lu *lu, const struct reactor *reactor)
{
	const struct lu_reactor *mine = &lu->per_reactor[reactor->index];
	const struct gate_slot *gate = &mine->gate;

	return mine->flush.busy || gate->writing || gate->posted || gate->active || gate->lent ||
	       !list_empty(&gate->waiting) || job_runs(lu) || atomic_load(&lu->operators);
}

bool lu_is_leaving(const struct lu *lu)
{
	return atomic_load_explicit(&lu->leaving, memory_order_relaxed);
}

void lu_forget_users(struct lu *lu)
{
	atomic_store(&lu->busy, false);
	atomic_store(&lu->users, 0);
	atomic_store(&lu->oldest, UINT64_MAX);
}

void lu_add_user(struct lu *lu, uint64_t since)
{
	uint64_t before = atomic_load(&lu->oldest);

	while (since < before && !atomic_compare_exchange_weak(&lu->oldest, &before, since))
		;
	atomic_fetch_add(&lu->users, 1);
}

void lu_set_busy(struct lu *lu)
{
	atomic_store(&lu->busy, true);
}

bool lu_is_used(const struct lu *lu)
{
	return atomic_load(&lu->users) || atomic_load(&lu->busy) || atomic_load(&lu->detached);
}

uint32_t lu_users(const struct lu *lu, uint64_t *oldest)
{
	*oldest = atomic_load(&lu->oldest);
	return atomic_load(&lu->users);
}

static bool mark(const struct scsi_target *target, int lun, uint64_t since)
{
	struct lu *lu = target->leaving[lun];

	if (lu)
		lu_add_user(lu, since);
	return lu;
}

bool task_uses_leaving(const struct scsi_task *task, uint64_t since)
{
	const struct scsi_target *target = task->nexus->target;
	int number = lun_number(task->lun);
	bool uses = number >= 0 && mark(target, number, since);

	for (int lun = 0; task->copies && lun < TARGET_LUNS; lun++) {
		if (lun != number && task->copy_luns[lun / 32] >> lun % 32 & 1)
			uses |= mark(target, lun, since);
	}
	return uses;
}

void nexus_forget_leaving(struct nexus *nexus)
{
	for (int lun = 0; lun < TARGET_LUNS; lun++) {
		if (nexus->target->leaving[lun])
			nexus->sets[lun].aca = 0;
	}
}
