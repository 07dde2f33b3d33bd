// SPDX-License-Identifier: BSD-2-Clause
/*
 * Copy sources and destinations: from the designator in a CSCD descriptor to a unit, and whether
 * this nexus may use it. What VPD 83h shows of a unit is what it is found by. Only units of the
 * nexus' own target that it sees are looked at (CVE-2020-28374: other targets' designators can be guessed).
 */
#include <string.h>

#include "copy.h"
#include "vpd.h"

#define DESIGNATOR_PROTOCOL 0xf0
#define DESIGNATOR_ASSOCIATION 0x30
#define DESIGNATOR_TYPE 0x0f

/* The descriptors of VPD 83h of this unit, as task's initiator would see them. */
static int unit_designators(const struct scsi_task *task, struct lu *lu, uint8_t *out)
{
	struct scsi_task asking = { .nexus = task->nexus, .reactor = task->reactor, .lu = lu };

	memset(out, 0, RESPONSE_SIZE);
	return vpd_identification(&asking, out);
}

static const struct designator *designator_next(const struct designator *d)
{
	return (const void *)((const uint8_t *)(d + 1) + d->len);
}

static bool designator_equal(const struct designator *d, const struct copy_cscd_wire *wire)
{
	return !((d->type | wire->designator_type) & DESIGNATOR_ASSOCIATION) &&
	       (d->type & DESIGNATOR_TYPE) == (wire->designator_type & DESIGNATOR_TYPE) &&
	       !((d->code_set ^ wire->code_set) & ~DESIGNATOR_PROTOCOL) &&
	       d->len == wire->designator_len && d->len <= sizeof(wire->designator) &&
	       !memcmp(d + 1, wire->designator, d->len);
}

static bool designator_among(const uint8_t *page, int len, const struct copy_cscd_wire *wire)
{
	const struct designator *d = (const void *)page;

	for (; (const uint8_t *)d < page + len; d = designator_next(d)) {
		if (designator_equal(d, wire))
			return true;
	}
	return false;
}

void copy_find_units(const struct scsi_task *task, struct copy_cscd *cscds, unsigned int count)
{
	uint8_t page[RESPONSE_SIZE];

	for (unsigned int i = 0; i < count; i++)
		cscds[i].end = (struct copy_end){ NULL, -1 };
	for (int lun = 0; lun < TARGET_LUNS; lun++) {
		struct lu *lu = nexus_found(task->nexus, lun);
		int len;

		if (!lu)
			continue;
		len = unit_designators(task, lu, page);
		for (unsigned int i = 0; i < count; i++) {
			if (!cscds[i].end.lu && designator_among(page, len, cscds[i].wire))
				cscds[i].end = (struct copy_end){ lu, lun };
		}
	}
}

void copy_describe_unit(const struct scsi_task *task, struct copy_cscd_wire *out)
{
	uint8_t page[RESPONSE_SIZE];
	int len = unit_designators(task, task->lu, page);
	const struct designator *d = (const void *)page;

	memset(out, 0, sizeof(*out));
	out->type = CSCD_IDENTIFICATION;
	out->block_size = be24_of(task->lu->block_size);
	for (; (const uint8_t *)d < page + len; d = designator_next(d)) {
		uint8_t type = d->type & DESIGNATOR_TYPE;

		if (d->type & DESIGNATOR_ASSOCIATION || d->len > sizeof(out->designator) ||
		    (type != DESIGNATOR_NAA && type != DESIGNATOR_EUI64))
			continue;
		out->code_set = d->code_set;
		out->designator_type = d->type;
		out->designator_len = d->len;
		memcpy(out->designator, d + 1, d->len);
		return;
	}
}

bool task_uses(const struct scsi_task *task, const struct lu *lu)
{
	const struct scsi_target *target = task->nexus->target;

	if (target_lu_of(target, task->lun) == lu)
		return true;
	for (int lun = 0; task->copies && lun < TARGET_LUNS; lun++) {
		if (task->copy_luns[lun / 32] >> lun % 32 & 1 && target_unit(target, lun) == lu)
			return true;
	}
	return false;
}

uint8_t copy_end_check(const struct nexus *nexus, const struct copy_end *end, enum copy_side side,
		       enum sense_code *code)
{
	uint8_t needs = side == COPY_DESTINATION ? ROW_MEDIUM | ROW_WRITES : ROW_MEDIUM;
	enum reservation_rule rule = side == COPY_DESTINATION ? RSV_WRITE : RSV_READ;

	*code = SENSE_NO_LU;
	if (nexus_found(nexus, end->lun) != end->lu)
		return SAM_CHECK_CONDITION;
	if (reservation_conflict(nexus, end->lun, rule))
		return SAM_RESERVATION_CONFLICT;
	*code = unit_refusal(nexus, end->lun, end->lu, needs);
	return *code == SENSE_NONE ? SAM_GOOD : SAM_CHECK_CONDITION;
}
