// SPDX-License-Identifier: BSD-2-Clause
/*
 * The task set beyond the plain case, see task_set.h. Whoever leaves does not start those that wait:
 * a work at the end of the turn does, so that its status goes out first and nobody who walks over
 * tasks meets one that starts or ends under him.
 */
#include "task_set.h"

/* --- Who may run */

static bool may_run(const struct task_set *set, uint8_t attribute)
{
	if (set->heads || set->ordered || set->aca & ACA_ESTABLISHED)
		return false;
	return attribute != ATTR_ORDERED || !set->enabled;
}

static void enable(struct task_set *set, struct scsi_task *task)
{
	set->enabled++;
	switch (task->attribute) {
	case ATTR_ORDERED:
		task->set_state = SET_ORDERED;
		set->ordered = 1;
		break;
	case ATTR_HEAD:
		task->set_state = SET_HEAD;
		set->heads++;
		break;
	case ATTR_ACA:
		task->set_state = SET_ACA;
		set->aca |= ACA_COMMAND;
		break;
	default: task->set_state = SET_SIMPLE;
	}
}

static bool refuse(struct scsi_task *task, enum scsi_status status)
{
	task->status = status;
	task_end(task);
	return false;
}

/* No such message of the service delivery subsystem: SAM 8.6. */
static bool refuse_attribute(struct task_set *set, struct scsi_task *task)
{
	set->enabled++;
	task->set_state = SET_SIMPLE;
	task_fail(task, SENSE_INVALID_MESSAGE);
	return false;
}

/* SAM 5.3.3: ACA ACTIVE comes before everything else. */
bool task_set_enter_slowly(struct scsi_task *task)
{
	struct task_set *set = task_set_of(task);
	uint8_t attribute = task->attribute;

	if (set->aca & ACA_ESTABLISHED && (attribute != ATTR_ACA || set->aca & ACA_COMMAND))
		return refuse(task, SAM_ACA_ACTIVE);
	if (set->enabled + set->dormant >= TASK_SET_MAX)
		return refuse(task, SAM_TASK_SET_FULL);
	if (attribute > ATTR_ACA || (attribute == ATTR_ACA && !(set->aca & ACA_ESTABLISHED)))
		return refuse_attribute(set, task);
	if (attribute == ATTR_HEAD || attribute == ATTR_ACA ||
	    (!set->dormant && may_run(set, attribute))) {
		enable(set, task);
		return true;
	}
	if (task->nexus->hungry && task->first_buf)
		return refuse(task, SAM_TASK_SET_FULL);
	set->dormant++;
	task->set_state = SET_DORMANT;
	task->waits = WAITS_TASK_SET;
	list_add_tail(&task->nexus->dormant, &task->set_node);
	return false;
}

void task_set_pass(struct scsi_task *task)
{
	struct task_set *set = task_set_of(task);

	if (set->aca & ACA_ESTABLISHED && (task->attribute != ATTR_ACA || set->aca & ACA_COMMAND)) {
		task->status = SAM_ACA_ACTIVE;
		task->sense_len = 0;
		return;
	}
	set->enabled++;
	task->set_state = SET_SIMPLE;
	if (set->aca & ACA_ESTABLISHED) {
		task->set_state = SET_ACA;
		set->aca |= ACA_COMMAND;
	}
}

/* --- Waking */

/* The oldest dormant command whose turn has come leaves the list. */
static struct scsi_task *next_enabled(struct nexus *nexus)
{
	uint32_t blocked[TARGET_LUNS / 32] = { 0 }; /* an older one waits on: so do all behind it */
	struct list *node;

	list_for_each(node, &nexus->dormant) {
		struct scsi_task *task = list_entry(node, struct scsi_task, set_node);
		unsigned int lun = task->lun[1];
		struct task_set *set = &nexus->sets[lun];

		if (blocked[lun / 32] >> lun % 32 & 1)
			continue;
		if (may_run(set, task->attribute)) {
			list_del(&task->set_node);
			set->dormant--;
			enable(set, task);
			return task;
		}
		blocked[lun / 32] |= 1u << lun % 32;
	}
	return NULL;
}

static struct scsi_task *next_with_memory(struct nexus *nexus)
{
	struct list *node;

	list_for_each(node, &nexus->dormant) {
		struct scsi_task *task = list_entry(node, struct scsi_task, set_node);

		if (task->first_buf)
			return task;
	}
	return NULL;
}

/* A command that runs or is refused may end at once and change the list in any way. */
static void wake(struct work *work)
{
	struct nexus *nexus = container_of(work, struct nexus, wake);
	struct scsi_task *task;

	while (nexus->hungry && (task = next_with_memory(nexus))) {
		list_del(&task->set_node);
		task_set_of(task)->dormant--;
		task->set_state = SET_NONE;
		task->waits = WAITS_NOTHING;
		refuse(task, SAM_TASK_SET_FULL);
	}
	while ((task = next_enabled(nexus))) {
		task->waits = WAITS_NOTHING;
		task_enabled(task);
	}
}

static void wake_later(struct nexus *nexus)
{
	if (!list_empty(&nexus->dormant))
		reactor_defer(list_entry(nexus->dormant.next, struct scsi_task, set_node)->reactor,
			      &nexus->wake);
}

void task_set_hungry(struct nexus *nexus)
{
	nexus->hungry++;
	wake_later(nexus);
}

void task_set_attach(struct nexus *nexus)
{
	list_init(&nexus->dormant);
	nexus->wake = (struct work){ .fn = wake };
	nexus->hungry = 0;
	for (int i = 0; i < TARGET_LUNS; i++)
		nexus->sets[i] = (struct task_set){ 0 };
}

/* --- Leaving */

static bool has_naca(const uint8_t *cdb)
{
	/* Where the group of the operation code has CONTROL; 0: nowhere that we knew of. */
	static const uint8_t control_at[8] = { 5, 9, 9, 1, 15, 11 };
	uint8_t at = control_at[cdb[0] >> 5];

	return at && cdb[at] & CONTROL_NACA;
}

/* SAM 5.9, SPC 7.5.8 QERR: with a task set per nexus 01b and 11b are the same. */
static void ended_with_sense(struct task_set *set, struct scsi_task *task, enum set_state was)
{
	if (was == SET_ACA)
		set->aca &= (uint8_t)~ACA_ESTABLISHED;
	if (has_naca(task->cdb))
		set->aca |= ACA_ESTABLISHED;
	if (atomic_load_explicit(&task->lu->mode.qerr, memory_order_relaxed))
		task->port->abort_others(task);
}

void task_set_leave_slowly(struct scsi_task *task)
{
	struct task_set *set;
	enum set_state was = task->set_state;

	if (was == SET_NONE)
		return;
	set = task_set_of(task);
	task->set_state = SET_NONE;
	set->enabled--;
	if (was == SET_ORDERED)
		set->ordered = 0;
	else if (was == SET_HEAD)
		set->heads--;
	else if (was == SET_ACA)
		set->aca &= (uint8_t)~ACA_COMMAND;
	if (task->status == SAM_CHECK_CONDITION && !task->aborted)
		ended_with_sense(set, task, was);
	if (set->dormant)
		wake_later(task->nexus);
}

void task_set_withdraw(struct scsi_task *task)
{
	struct task_set *set = task_set_of(task);

	list_del(&task->set_node);
	task->set_state = SET_NONE;
	if (--set->dormant)
		wake_later(task->nexus);
}

void nexus_clear_aca(struct nexus *nexus, const struct lu *lu)
{
	for (int i = 0; i < TARGET_LUNS; i++) {
		struct task_set *set = &nexus->sets[i];

		if (lu && target_unit(nexus->target, i) != lu)
			continue;
		set->aca &= (uint8_t)~ACA_ESTABLISHED;
		if (set->dormant)
			wake_later(nexus);
	}
}

bool lu_reports_aborted(const struct lu *lu)
{
	return atomic_load_explicit(&lu->mode.tas, memory_order_relaxed);
}
