// SPDX-License-Identifier: BSD-2-Clause
/* Unit attention conditions, SAM 5.14: a set of bits per nexus and LUN, reported one by one. */
#include "scsi.h"

static const enum sense_code ua_sense[UA_COUNT] = {
	[UA_POWER_ON] = SENSE_POWER_ON,
	[UA_BUS_DEVICE_RESET] = SENSE_BUS_DEVICE_RESET,
	[UA_NEXUS_LOSS] = SENSE_NEXUS_LOSS,
	[UA_CAPACITY_CHANGED] = SENSE_CAPACITY_CHANGED,
	[UA_MODE_CHANGED] = SENSE_MODE_CHANGED,
	[UA_RESERVATIONS_RELEASED] = SENSE_RESERVATIONS_RELEASED,
	[UA_COMMANDS_CLEARED] = SENSE_COMMANDS_CLEARED,
	[UA_MEDIUM_CHANGED] = SENSE_MEDIUM_CHANGED,
	[UA_LOG_CHANGED] = SENSE_LOG_CHANGED,
	[UA_RESERVATIONS_PREEMPTED] = SENSE_RESERVATIONS_PREEMPTED,
	[UA_REGISTRATIONS_PREEMPTED] = SENSE_REGISTRATIONS_PREEMPTED,
	[UA_ACCESS_STATE_CHANGED] = SENSE_ACCESS_STATE_CHANGED,
	[UA_TIMESTAMP_CHANGED] = SENSE_TIMESTAMP_CHANGED,
	[UA_THRESHOLD_REACHED] = SENSE_THRESHOLD_REACHED,
	[UA_INQUIRY_CHANGED] = SENSE_INQUIRY_CHANGED,
	[UA_IDENTIFIER_CHANGED] = SENSE_IDENTIFIER_CHANGED,
	[UA_LUNS_CHANGED] = SENSE_LUNS_CHANGED,
};

bool unit_attention_take(struct nexus *nexus, int lun, enum sense_code *code)
{
	_Atomic uint32_t *set = &nexus->unit_attentions[lun];
	uint32_t bits = atomic_load(set);
	unsigned int first;

	/* Others only add bits, and adding a lower one meanwhile is not worth a retry. */
	if (!bits)
		return false;
	first = (unsigned int)__builtin_ctz(bits);
	atomic_fetch_and(set, ~(1u << first));
	*code = ua_sense[first];
	return true;
}

void nexus_raise_ua(struct nexus *nexus, const struct lu *lu, enum unit_attention ua)
{
	for (int i = 0; i < TARGET_LUNS; i++) {
		if (nexus->target->lun[i] == lu)
			atomic_fetch_or(&nexus->unit_attentions[i], 1u << ua);
	}
}

void unit_attention_clear(struct nexus *nexus, int lun, enum unit_attention ua)
{
	atomic_fetch_and(&nexus->unit_attentions[lun], ~(1u << ua));
}
