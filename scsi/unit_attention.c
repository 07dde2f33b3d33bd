// SPDX-License-Identifier: BSD-2-Clause
/* Unit attention conditions, SAM 5.14: a set of bits per nexus and LUN, reported one by one. */
#include "scsi.h"

/* UADE DEPTH of QUERY ASYNCHRONOUS EVENT, SAM 7.10: how many conditions there are. */
enum { QAE_ONE = 1 << 4, QAE_SEVERAL = 2 << 4 };

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

bool unit_attention_pending(const struct nexus *nexus, const uint8_t lun[8], uint8_t info[3])
{
	int number = lun_number(lun);
	uint32_t bits = number < 0 ? 0 : atomic_load(&nexus->unit_attentions[number]);
	enum sense_code code;

	if (!bits)
		return false;
	code = ua_sense[__builtin_ctz(bits)];
	info[0] = (uint8_t)((bits & (bits - 1) ? QAE_SEVERAL : QAE_ONE) | code >> SENSE_KEY_SHIFT);
	info[1] = (uint8_t)(code >> SENSE_ASC_SHIFT);
	info[2] = (uint8_t)code;
	return true;
}

uint32_t unit_attention_sense(const struct lu *lu, enum unit_attention ua, uint8_t *sense)
{
	bool descriptor = lu && atomic_load_explicit(&lu->mode.d_sense, memory_order_relaxed);

	return (uint32_t)sense_write(sense, ua_sense[ua], descriptor);
}

void nexus_raise_ua(struct nexus *nexus, const struct lu *lu, enum unit_attention ua)
{
	for (int i = 0; i < TARGET_LUNS; i++) {
		if (target_unit(nexus->target, i) == lu)
			atomic_fetch_or(&nexus->unit_attentions[i], 1u << ua);
	}
}

void unit_attention_clear(struct nexus *nexus, int lun, enum unit_attention ua)
{
	atomic_fetch_and(&nexus->unit_attentions[lun], ~(1u << ua));
}
