// SPDX-License-Identifier: BSD-2-Clause
/*
 * Target port groups and their asymmetric access states, SPC 5.16: one group for each target port.
 * The state belongs to the port, so all logical units of the target have the same one through it.
 * Which commands a state refuses is in ready.c.
 */
#include "core/log.h"
#include "rows.h"
#include "scsi_alua_wire.h"

/* Guards changes, and the reports that must not see half of one. The path of a command reads
 * port->access without it. A leaf, but for the list of nexuses. */
static pthread_mutex_t access_lock = PTHREAD_MUTEX_INITIALIZER;

static struct target_port *find_port(struct scsi_target *target, uint16_t tag)
{
	for (unsigned int i = 0; i < target->port_count; i++) {
		if (target->ports[i].tag == tag)
			return &target->ports[i];
	}
	return NULL;
}

struct target_port *target_port_by_tag(struct scsi_target *target, uint16_t tag)
{
	struct target_port *port = find_port(target, tag);

	return port ? port : &target->ports[0];
}

static void raise_access_changed(struct nexus *nexus, void *arg)
{
	if (nexus == arg)
		return;
	for (int i = 0; i < TARGET_LUNS; i++) {
		if (nexus->target->lun[i])
			atomic_fetch_or(&nexus->unit_attentions[i], 1u << UA_ACCESS_STATE_CHANGED);
	}
}

/* access_lock held. The state before. */
static uint8_t change(struct target_port *port, enum access_state state, uint8_t status)
{
	port->access_status = status;
	return atomic_exchange(&port->access, (uint8_t)state);
}

/* The log is no place for a lock. Whether it was a change. */
static bool announce(const struct target_port *port, uint8_t before, enum access_state state,
		     const char *why)
{
	static const char *const names[] = { [ACCESS_OPTIMIZED] = "active/optimized",
					     [ACCESS_NON_OPTIMIZED] = "active/non-optimized",
					     [ACCESS_STANDBY] = "standby",
					     [ACCESS_UNAVAILABLE] = "unavailable",
					     [ACCESS_OFFLINE] = "offline",
					     [ACCESS_TRANSITIONING] = "transitioning" };
	static struct log_limit limit = LOG_LIMIT(10);

	if (before == state)
		return false;
	log_write_limited(&limit, LOG_LEVEL_INFO, "target port group %u: %s, was %s%s", port->tag,
			  names[state], names[before], why);
	return true;
}

static bool is_state(unsigned int state)
{
	return state <= ACCESS_UNAVAILABLE || state == ACCESS_OFFLINE ||
	       state == ACCESS_TRANSITIONING;
}

bool target_set_access(struct scsi_target *target, uint16_t tag, enum access_state state)
{
	struct target_port *port = find_port(target, tag);
	uint8_t before;

	if (!port || !is_state(state))
		return false;
	pthread_mutex_lock(&access_lock);
	before = change(port, state, RTPG_IMPLICIT);
	pthread_mutex_unlock(&access_lock);
	if (announce(port, before, state, ""))
		target_each_nexus(target, raise_access_changed, NULL);
	return true;
}

/* --- REPORT TARGET PORT GROUPS, SPC 6.38 */

static uint8_t *write_group(const struct target_port *port, uint8_t *at)
{
	struct rtpg_group *group = (struct rtpg_group *)at;
	struct rtpg_port *member = (struct rtpg_port *)(group + 1);

	group->state = (uint8_t)(port->access | (port->preferred ? RTPG_PREF : 0));
	group->supported = RTPG_SUPPORTED;
	group->group = be16_of(port->tag);
	group->status = port->access_status;
	group->port_count = 1;
	member->relative = be16_of(port->relative);
	return (uint8_t *)(member + 1);
}

static int report_groups_fill(struct scsi_task *task, uint8_t *out)
{
	const struct scsi_target *target = task->nexus->target;
	struct rtpg_header *header = (struct rtpg_header *)out;
	unsigned int format = task->cdb[1] >> RTPG_FORMAT_SHIFT;
	uint8_t *at = (uint8_t *)(header + 1);

	static_assert(sizeof(struct rtpg_header) + sizeof(struct rtpg_extended) +
				      TARGET_PORTS * (sizeof(struct rtpg_group) +
						      sizeof(struct rtpg_port)) <=
			      RESPONSE_SIZE,
		      "every group fits");
	if (format > RTPG_EXTENDED) {
		task_sense_cdb(task, 1, 7);
		return -1;
	}
	if (format == RTPG_EXTENDED) {
		((struct rtpg_extended *)at)->format = RTPG_FORMAT_TYPE;
		at += sizeof(struct rtpg_extended);
	}
	pthread_mutex_lock(&access_lock);
	for (unsigned int i = 0; i < target->port_count; i++)
		at = write_group(&target->ports[i], at);
	pthread_mutex_unlock(&access_lock);
	header->len = be32_of((uint32_t)(at - out) - (uint32_t)sizeof(*header));
	return (int)(at - out);
}

const struct cdb_row report_target_port_groups_row = {
	.name = "REPORT TARGET PORT GROUPS",
	.service_action = SA_REPORT_TARGET_PORT_GROUPS,
	USAGE12(CDB_MAINTENANCE_IN, 7 << RTPG_FORMAT_SHIFT | SA_REPORT_TARGET_PORT_GROUPS, 0, 0, 0,
		0, LEN4, 0, CONTROL),
	RESPONDS(report_groups_fill),
	ALLOCATION(6, 4),
	.rule = RSV_NEVER,
	.flags = ROW_UNAVAILABLE | ROW_DURING_JOB,
	QUICK
};

/* --- SET TARGET PORT GROUPS, SPC 6.45 */

struct wanted {
	struct target_port *port;
	enum access_state state;
	uint8_t before;
};

/* The descriptors behind the header into wanted; false: one is wrong, ended. Nothing changes then. */
static bool set_groups_check(struct scsi_task *task, struct wanted *wanted, uint32_t count)
{
	const struct stpg_group *d = (const void *)(task->buf->data + sizeof(struct stpg_header));

	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = (uint32_t)(sizeof(struct stpg_header) + i * sizeof(*d));
		uint8_t state = d[i].state & STPG_STATE;

		/* Nobody asks for a transition itself. */
		if (!is_state(state) || state == ACCESS_TRANSITIONING) {
			task_fail_list(task, at, 3);
			return false;
		}
		/* Tags and relative identifiers are the same numbers. */
		wanted[i].port = find_port(task->nexus->target, be16_get(d[i].group));
		wanted[i].state = (enum access_state)state;
		for (uint32_t k = 0; k < i; k++) {
			if (wanted[k].port == wanted[i].port)
				wanted[i].port = NULL;
		}
		if (!wanted[i].port) {
			task_fail_list(task, at + 2, 7);
			return false;
		}
	}
	return true;
}

static void set_groups_here(struct scsi_task *task)
{
	uint32_t count = (task->chunk - (uint32_t)sizeof(struct stpg_header)) /
			 (uint32_t)sizeof(struct stpg_group);
	struct wanted wanted[TARGET_PORTS];
	bool changed = false, busy = false;

	if (!set_groups_check(task, wanted, count))
		return;
	pthread_mutex_lock(&access_lock);
	for (uint32_t i = 0; i < count; i++)
		busy |= wanted[i].port->access == ACCESS_TRANSITIONING;
	for (uint32_t i = 0; i < count && !busy; i++)
		wanted[i].before = change(wanted[i].port, wanted[i].state, RTPG_BY_COMMAND);
	pthread_mutex_unlock(&access_lock);
	if (busy) {
		task_fail(task, SENSE_TRANSITION);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		changed |= announce(wanted[i].port, wanted[i].before, wanted[i].state,
				    "; an initiator wants it so");
	if (changed)
		target_each_nexus(task->nexus->target, raise_access_changed, task->nexus);
	task_good(task);
}

static void set_groups_fetch(struct scsi_task *task)
{
	task_fetch(task, 0, task->chunk, task->buf->data, set_groups_here);
}

/* A list of more descriptors than there can be groups names one twice or one that is not there. */
static void set_groups_start(struct scsi_task *task)
{
	const struct cdb12 *cdb = (const void *)task->cdb;
	uint32_t list = be32_get(cdb->len);

	task_want_out(task, list);
	if (!list) {
		task_good(task);
		return;
	}
	if (list < sizeof(struct stpg_header) ||
	    (list - sizeof(struct stpg_header)) % sizeof(struct stpg_group) ||
	    list > sizeof(struct stpg_header) + TARGET_PORTS * sizeof(struct stpg_group) ||
	    task_out_room(task) < list) {
		task_fail(task, SENSE_LIST_LENGTH);
		return;
	}
	task->chunk = list;
	if (task_buffer(task, list, list, set_groups_fetch))
		set_groups_fetch(task);
}

const struct cdb_row set_target_port_groups_row = {
	.name = "SET TARGET PORT GROUPS",
	.service_action = SA_SET_TARGET_PORT_GROUPS,
	USAGE12(CDB_MAINTENANCE_OUT, SA_SET_TARGET_PORT_GROUPS, 0, 0, 0, 0, LEN4, 0, CONTROL),
	.start = set_groups_start,
	.direction = DIR_OUT,
	.rule = RSV_WRITE,
	.flags = ROW_UNAVAILABLE | ROW_DURING_JOB,
	QUICK
};
