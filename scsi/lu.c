// SPDX-License-Identifier: BSD-2-Clause
/* Logical units and the I_T nexuses that see them. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "limiter.h"
#include "task_set.h"

/* Every nexus of the daemon. The lock is taken last and guards only the list. */
static struct {
	pthread_mutex_t lock;
	struct list list;
	_Atomic uint64_t last_id;
} nexuses = { .lock = PTHREAD_MUTEX_INITIALIZER, .list = { &nexuses.list, &nexuses.list } };

int lu_create(const struct lu_config *cfg, struct lu **out, char *why, size_t why_size)
{
	const struct bs_limits *limits = &cfg->bs->limits;
	size_t size = cfg->reactors * sizeof(struct lu_reactor);
	struct lu *lu = aligned_alloc(_Alignof(struct lu), sizeof(*lu));
	unsigned int fit;
	int err;

	*out = NULL;
	snprintf(why, why_size, "not enough memory");
	if (!lu)
		return -ENOMEM;
	memset(lu, 0, sizeof(*lu));
	lu->per_reactor = aligned_alloc(_Alignof(struct lu_reactor), size);
	if (!lu->per_reactor) {
		free(lu);
		return -ENOMEM;
	}
	memset(lu->per_reactor, 0, size);
	lu->bs = cfg->bs;
	lu->reactors = cfg->reactors;
	lu->block_size = limits->block_size;
	lu->block_shift = (uint8_t)__builtin_ctz(limits->block_size);
	lu->blocks = limits->size >> lu->block_shift;
	if (limits->read_only)
		lu_set(lu, LU_READ_ONLY);
	lu->removable = cfg->removable;
	lu->store = cfg->store;
	atomic_store(&lu->mode.write_cache, limits->volatile_cache);
	lu->protection = limits->protection;
	lu->lends = limits->lends_pointers;
	lu->volatile_cache = limits->volatile_cache;
	lu->can_unmap = limits->can_unmap;
	lu->can_anchor = limits->can_unmap && limits->can_anchor;
	/* With protection information compare data, write data and the medium's share one buffer. */
	fit = BUF_MAX / (lu->protection ? 3 : 1) / lu->block_size;
	lu->max_compare_blocks = (uint8_t)(fit < MAX_COMPARE_BLOCKS ? fit : MAX_COMPARE_BLOCKS);
	lu->limiter = limiter_new(&(struct io_limits){ 0 });
	snprintf(lu->serial, sizeof(lu->serial), "%s", cfg->serial);
	snprintf(lu->product, sizeof(lu->product), "%s", cfg->product);
	snprintf(lu->target, sizeof(lu->target), "%s", cfg->target ? cfg->target : "");
	lu->number = cfg->lun;
	pthread_mutex_init(&lu->lock, NULL);
	list_init(&lu->queue);
	for (unsigned int i = 0; i < lu->reactors; i++)
		gate_slot_init(&lu->per_reactor[i].gate, lu);
	err = lu->limiter ? reservations_create(lu, why, why_size) : -ENOMEM;
	if (!err)
		err = lu_pages_create(lu, why, why_size);
	if (!err)
		err = sanitize_load(lu, why, why_size);
	if (!err)
		err = format_load(lu, why, why_size);
	if (err) {
		lu_destroy(lu);
		return err;
	}
	*out = lu;
	return 0;
}

void lu_destroy(struct lu *lu)
{
	if (!lu)
		return;
	assert(!lu->owner && list_empty(&lu->queue));
	for (unsigned int i = 0; i < lu->reactors; i++)
		assert(!lu->per_reactor[i].gate.writing);
	/* One that never ran may be left. */
	assert(!lu->job || !lu->job->reactor);
	free(lu->job);
	reservations_destroy(lu);
	lu_pages_destroy(lu);
	copy_forget_unit(lu);
	limiter_put(lu->limiter);
	pthread_mutex_destroy(&lu->lock);
	lu_latency_destroy(lu);
	free(lu->per_reactor);
	free(lu);
}

struct backstore *lu_backstore(const struct lu *lu)
{
	return lu->bs;
}

const struct lu_stats *lu_stats(const struct lu *lu, unsigned int reactor)
{
	return &lu->per_reactor[reactor].stats;
}

struct lu *target_lu(const struct scsi_target *target, const uint8_t lun[8])
{
	int number = lun_number(lun);

	return number < 0 ? NULL : target_found(target, number);
}

struct lu *target_lu_of(const struct scsi_target *target, const uint8_t lun[8])
{
	int number = lun_number(lun);

	return number < 0 ? NULL : target_unit(target, number);
}

void nexus_attach(struct nexus *nexus)
{
	nexus->id = atomic_fetch_add(&nexuses.last_id, 1) + 1;
	for (int i = 0; i < TARGET_LUNS; i++) {
		atomic_store(&nexus->unit_attentions[i], 1u << UA_POWER_ON);
		atomic_store(&nexus->prevents_removal[i], false);
	}
	task_set_attach(nexus);
	nexus->lun = nexus->target->lun;
	nexus->rights = nexus_rights_all();
	pthread_mutex_lock(&nexuses.lock);
	list_add_tail(&nexuses.list, &nexus->node);
	pthread_mutex_unlock(&nexuses.lock);
	reservations_meet(nexus);
}

/* What ends with a nexus, SAM 6.3.4. */
static void release_all(struct nexus *nexus)
{
	for (int i = 0; i < TARGET_LUNS; i++) {
		struct lu *lu = target_unit(nexus->target, i);

		if (lu)
			reservation_release(lu, nexus);
	}
	copy_forget_nexus(nexus);
}

void nexus_detach(struct nexus *nexus)
{
	pthread_mutex_lock(&nexuses.lock);
	list_del(&nexus->node);
	pthread_mutex_unlock(&nexuses.lock);
	release_all(nexus);
	nexus_forget_limits(nexus);
}

void nexus_loss(struct nexus *nexus)
{
	release_all(nexus);
	for (int i = 0; i < TARGET_LUNS; i++) {
		atomic_store(&nexus->prevents_removal[i], false);
		atomic_fetch_or(&nexus->unit_attentions[i], 1u << UA_NEXUS_LOSS);
	}
}

void lu_each_nexus(struct lu *lu, void (*visit)(struct nexus *nexus, int lun, void *arg), void *arg)
{
	struct list *node;

	pthread_mutex_lock(&nexuses.lock);
	list_for_each(node, &nexuses.list) {
		struct nexus *nexus = list_entry(node, struct nexus, node);

		for (int i = 0; i < TARGET_LUNS; i++) {
			if (target_unit(nexus->target, i) == lu)
				visit(nexus, i, arg);
		}
	}
	pthread_mutex_unlock(&nexuses.lock);
}

void nexus_locked(struct nexus *nexus, void (*visit)(struct nexus *nexus, void *arg), void *arg)
{
	pthread_mutex_lock(&nexuses.lock);
	visit(nexus, arg);
	pthread_mutex_unlock(&nexuses.lock);
}

void target_each_nexus(const struct scsi_target *target,
		       void (*visit)(struct nexus *nexus, void *arg), void *arg)
{
	struct list *node;

	pthread_mutex_lock(&nexuses.lock);
	list_for_each(node, &nexuses.list) {
		struct nexus *nexus = list_entry(node, struct nexus, node);

		if (nexus->target == target)
			visit(nexus, arg);
	}
	pthread_mutex_unlock(&nexuses.lock);
}

/* A nexus is on the list before this, and prepared, or sees the unit when it asks for its reservations
 * after it has come there. */
void target_publish_lun(struct scsi_target *target, unsigned int lun, struct lu *lu,
			void (*prepare)(struct nexus *nexus, void *arg), void *arg)
{
	struct list *node;

	pthread_mutex_lock(&nexuses.lock);
	list_for_each(node, &nexuses.list) {
		struct nexus *nexus = list_entry(node, struct nexus, node);

		if (nexus->target == target)
			prepare(nexus, arg);
	}
	atomic_store_explicit(&target->lun[lun], lu, memory_order_release);
	pthread_mutex_unlock(&nexuses.lock);
}

struct raise {
	const struct nexus *except;
	uint32_t bit;
};

static void raise_ua(struct nexus *nexus, int lun, void *arg)
{
	const struct raise *raise = arg;

	if (nexus != raise->except)
		atomic_fetch_or(&nexus->unit_attentions[lun], raise->bit);
}

void lu_raise_ua(struct lu *lu, enum unit_attention ua, const struct nexus *except)
{
	lu_each_nexus(lu, raise_ua, &(struct raise){ except, 1u << ua });
}

void lu_reset(struct lu *lu)
{
	atomic_store(&lu->reserved_by, 0);
	reservation_changed(lu);
	lu_clear(lu, LU_STOPPED);
	lu_allow_removal(lu);
	lu_raise_ua(lu, UA_BUS_DEVICE_RESET, NULL);
}
