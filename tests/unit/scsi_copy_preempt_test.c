// SPDX-License-Identifier: BSD-2-Clause
/*
 * PREEMPT AND ABORT at one end of a copy that was sent to the other: when it answers, the copy of the
 * preempted nexus writes nothing any more.
 */
#include "scsi_copy_wire.h"
#include "session_tasks_rig.h"

enum { OWN, OTHER }; /* LUNs: what is preempted, and where copies are sent */

static uint64_t victim;

static bool is_victim(const void *arg, const struct nexus *nexus)
{
	(void)arg;
	return nexus->id == victim;
}

static void preempt(struct scsi_task *task)
{
	task_abort_others(task, is_victim, NULL, false, task_good);
}

/* A WRITE that, when its data comes, does what PREEMPT AND ABORT does. */
static uint32_t preempt_begins(struct initiator *in)
{
	uint32_t ttt, itt = write_waits(in, &ttt);

	command_find(session_of(in), itt)->task.step = preempt;
	CU_ASSERT(rig_data_out(in, itt, ttt, 0, block, 512, true));
	return itt;
}

static uint32_t command_to_other(struct initiator *in, const uint8_t *cdb, const void *data,
				 uint32_t len)
{
	union pdu_header h = { 0 };

	h.scsi_command.opcode = OP_SCSI_COMMAND;
	h.scsi_command.flags = (uint8_t)(CMD_FINAL | ATTR_SIMPLE | (len ? CMD_WRITE : 0));
	h.scsi_command.lun[1] = OTHER;
	h.scsi_command.itt = be32_of(in->itt);
	h.scsi_command.edtl = be32_of(len);
	h.scsi_command.cmdsn = be32_of(in->cmdsn++);
	memcpy(h.scsi_command.cdb, cdb, 16);
	rig_send(in, &h, data, len);
	return in->itt++;
}

/* EXTENDED COPY of one block from the unit that gets it to that of this serial number. */
static uint32_t copy_to(struct initiator *in, const char *serial)
{
	struct {
		struct copy_list_lid1 header;
		struct copy_cscd_wire cscd;
		struct copy_segment_wire segment;
	} list = {
		.header = { .cscds_len = be16_of(sizeof(list.cscd)),
			    .segments_len = be32_of(sizeof(list.segment)) },
		.cscd = { .type = CSCD_IDENTIFICATION,
			  .code_set = CODE_SET_ASCII,
			  .designator_type = DESIGNATOR_T10,
			  .designator_len = (uint8_t)(8 + strlen(serial)) },
		.segment = { .type = SEGMENT_BLOCK_TO_BLOCK,
			     .len = be16_of(sizeof(list.segment) - SEGMENT_HEAD),
			     .source = be16_of(CSCD_OF_COPY_MANAGER),
			     .blocks = be16_of(1) },
	};
	uint8_t cdb[16] = { CDB_THIRD_PARTY_COPY_OUT, [COPY_LENGTH_AT + 3] = sizeof(list) };

	memcpy(list.cscd.designator, "RISER   ", 8);
	memcpy(list.cscd.designator + 8, serial, strlen(serial));
	return command_to_other(in, cdb, &list, sizeof(list));
}

static struct lu *add_unit(struct rig *rig, struct backstore **bs, unsigned int reactors)
{
	struct lu_config cfg = { .serial = "TEST0002", .product = "test", .reactors = reactors };
	struct bs_spec spec;
	struct lu *lu;
	char why[256];

	CU_ASSERT_FATAL(!bs_parse("ram:1M", &spec, why, sizeof(why)) &&
			!bs_open(&spec, bs, why, sizeof(why)));
	cfg.bs = *bs;
	CU_ASSERT_FATAL(!lu_create(&cfg, &lu, why, sizeof(why)));
	rig->scsi.lun[OTHER] = lu;
	return lu;
}

/* first: whose copy it is. serial: where it writes. */
static void preempt_during_copy(int first, const char *serial, bool waits)
{
	struct backstore *bs;
	uint32_t copy, preemption;
	struct test t;
	struct lu *lu;

	begin(&t, "ram:1M,fault=copy:delay=30s", 2);
	lu = add_unit(&t.rig, &bs, 2);
	victim = session_of(&t.in[first])->nexus.id;
	copy = command_to_other(&t.in[first], tur, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&t.in[first], copy), SAM_CHECK_CONDITION); /* power on */
	copy = copy_to(&t.in[first], serial);
	if (waits)
		CU_ASSERT_PTR_NULL(rig_receive(&t.in[first]))
	else
		CU_ASSERT_EQUAL(rig_status(&t.in[first], copy), SAM_GOOD);
	preemption = preempt_begins(&t.in[PREEMPTOR]);
	if (waits) {
		CU_ASSERT_PTR_NULL(rig_receive(&t.in[PREEMPTOR]));
		pass(&t.rig, SLOW_S);
		/* It was sent to a unit that nobody has preempted: answered in any case. */
		CU_ASSERT_EQUAL(rig_status(&t.in[first], copy), SAM_TASK_ABORTED);
	}
	CU_ASSERT_EQUAL(rig_status(&t.in[PREEMPTOR], preemption), SAM_GOOD);
	for (int i = 0; i < INITIATORS; i++)
		rig_leave(&t.in[i]);
	pass(&t.rig, 1);
	t.rig.scsi.lun[OTHER] = NULL;
	lu_destroy(lu);
	end(&t);
	bs_close(bs);
}

static void copies_to_the_unit_are_waited_for(void)
{
	preempt_during_copy(NEAR, "TEST0001", true);
	preempt_during_copy(FAR, "TEST0001", true);
}

static void copies_to_other_units_are_not(void)
{
	preempt_during_copy(NEAR, "TEST0002", false);
}

UNIT_MAIN(TEST(copies_to_the_unit_are_waited_for), TEST(copies_to_other_units_are_not));
