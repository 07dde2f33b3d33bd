// SPDX-License-Identifier: BSD-2-Clause
/* Copies that hang, fail, or are aborted in the middle, and what can be asked about them. */
#include "scsi_copy_world.h"

/* A copy of two segments that hangs in the first request of the second one's write. */
static void start_and_hang(struct copy_world *cw, struct command *c, struct param_list *l,
			   uint8_t list_id)
{
	list_units(cw, list_start(l, list_id));
	list_segment(l, 0, 0, 1, 0, 8);
	list_segment(l, 0, 100, 1, 100, 5000);
	command_prepare(cw, c, &cw->w.a, 0, list_cdb(l), DIR_WRITE, l->len, l->b);
	cw->second.hold = true;
	command_submit(c);
	while (cw->second.held[0]->offset < 100 * 512 || cw->second.held[0]->opcode != BS_WRITE) {
		CU_ASSERT_FATAL(!c->ends);
		disk_release(&cw->second);
		world_turn(&cw->w);
	}
}

static void others_go_on_meanwhile(void)
{
	struct cdb tur = { { CDB_TEST_UNIT_READY } };
	struct cdb read = cdb_rw(CDB_READ_10, 0, 0, 1);
	uint8_t data[4096];
	struct copy_world cw;
	struct param_list l;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	start_and_hang(&cw, &c, &l, 7);
	CU_ASSERT_EQUAL(outcome(&cw.w, tur.b, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(outcome(&cw.w, read.b, DIR_READ, 512, NULL), 0);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID1, 7, data, &len), 0);
	CU_ASSERT_EQUAL(len, sizeof(struct copy_status_lid1));
	CU_ASSERT_EQUAL(get_be(data, 4), 8);
	CU_ASSERT_EQUAL(data[4], COPY_STATUS_RUNNING_LID1);
	CU_ASSERT_EQUAL(get_be(data + 5, 2), 1);
	CU_ASSERT_EQUAL(get_be(data + 8, 4), 8 * 512);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID4, 7, data, &len), 0);
	CU_ASSERT_EQUAL(data[5], COPY_STATUS_RUNNING);
	/* The same identifier again; the other nexus and the other unit have their own. */
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_OPERATION_IN_PROGRESS);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.b, 0, SA_RECEIVE_COPY_STATUS_LID1, 7, data, &len),
			SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 1, SA_RECEIVE_COPY_STATUS_LID1, 7, data, &len),
			SENSE_INVALID_CDB_FIELD);
	cw.second.hold = false;
	while (cw.second.held_count)
		disk_release(&cw.second);
	world_turn(&cw.w);
	ASSERT_GOOD(&c);
	command_done(&c);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID1, 7, data, &len), 0);
	CU_ASSERT_EQUAL(data[4], COPY_STATUS_GOOD);
	CU_ASSERT_EQUAL(get_be(data + 5, 2), 2);
	CU_ASSERT_EQUAL(get_be(data + 8, 4), 5008 * 512);
	/* Nothing failed, nothing is held. */
	CU_ASSERT_EQUAL(
		copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_FAILURE_DETAILS_LID1, 7, data, &len),
		0);
	CU_ASSERT_EQUAL(len, 4);
	CU_ASSERT_EQUAL(get_be(data, 4), 0);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_DATA_LID1, 7, data, &len), 0);
	CU_ASSERT_EQUAL(len, 4);
	CU_ASSERT(!memcmp(cw.second.bytes + 100 * 512, cw.w.disk.bytes + 100 * 512, 5000 * 512));
	copy_world_destroy(&cw);
}

static void asked_again_before_each_chunk(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;

	for (int side = COPY_SOURCE; side <= COPY_DESTINATION; side++) {
		copy_world_create(&cw, 512);
		start_and_hang(&cw, &c, &l, 1);
		cw.second.hold = false;
		if (side == COPY_SOURCE)
			atomic_store(&cw.w.a.denied[0], 1 << RSV_READ);
		else
			atomic_store(&cw.w.a.denied[1], 1 << RSV_WRITE);
		disk_release(&cw.second);
		world_turn(&cw.w);
		ASSERT_SENSE(&c, SENSE_COPY_END_FAILED);
		assert_segment(&c, 1);
		assert_forwarded(&c, (enum copy_side)side, SAM_RESERVATION_CONFLICT, 0);
		command_done(&c);
		/* One chunk of BUF_MAX and no more. */
		CU_ASSERT_EQUAL(cw.second.bytes[100 * 512 + BUF_MAX], 0xee);
		copy_world_destroy(&cw);
	}
}

/* The source takes its time, and the destination is reserved meanwhile. */
static void asked_again_before_the_write(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;

	copy_world_create(&cw, 512);
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 0, 1, 0, 8);
	command_prepare(&cw, &c, &cw.w.a, 0, list_cdb(&l), DIR_WRITE, l.len, l.b);
	cw.w.disk.hold = true;
	command_submit(&c);
	cw.w.disk.hold = false;
	atomic_store(&cw.w.a.denied[1], 1 << RSV_WRITE);
	disk_release(&cw.w.disk);
	world_turn(&cw.w);
	ASSERT_SENSE(&c, SENSE_COPY_END_FAILED);
	assert_forwarded(&c, COPY_DESTINATION, SAM_RESERVATION_CONFLICT, 0);
	command_done(&c);
	CU_ASSERT_EQUAL(cw.second.bytes[0], 0xee);
	copy_world_destroy(&cw);
}

/* The source takes its time, and the unit is formatted meanwhile: what was there must not come back. */
static void nothing_survives_a_format(void)
{
	struct cdb format = { { CDB_FORMAT_UNIT } };
	struct copy_world cw;
	struct param_list l;
	struct command c;
	struct bs_req *late;

	copy_world_create(&cw, 512);
	/* Not the first one, with which lending ends. */
	CU_ASSERT_EQUAL(outcome(&cw.w, format.b, 0, 0, NULL), 0);
	memset(cw.w.disk.bytes, 0xaa, DISK_BLOCKS * 512);
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 0, 0, 5000, 8);
	command_prepare(&cw, &c, &cw.w.a, 0, list_cdb(&l), DIR_WRITE, l.len, l.b);
	cw.w.disk.fail[BS_COPY] = -EOPNOTSUPP;
	cw.w.disk.hold = true;
	command_submit(&c);
	while (cw.w.disk.held[0]->opcode != BS_READ) {
		disk_release(&cw.w.disk);
		world_turn(&cw.w);
	}
	late = cw.w.disk.held[0];
	CU_ASSERT_EQUAL_FATAL(cw.w.disk.held_count, 1);
	cw.w.disk.held_count = 0;
	cw.w.disk.hold = false;
	memcpy(late->data, cw.w.disk.bytes + late->offset, late->len);
	CU_ASSERT_EQUAL(outcome(&cw.w, format.b, 0, 0, NULL), 0);
	bs_complete(late, 0);
	world_turn(&cw.w);
	CU_ASSERT_EQUAL(c.ends, 1);
	command_done(&c);
	for (uint32_t i = 0; i < 8 * 512; i++)
		CU_ASSERT_EQUAL_FATAL(cw.w.disk.bytes[5000 * 512 + i], 0);
	copy_world_destroy(&cw);
}

/* PREEMPT AND ABORT at one end has to find copies that were sent to the other. */
static void whose_task_it_is(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c, other;
	struct cdb tur = { { CDB_TEST_UNIT_READY } };

	copy_world_create(&cw, 512);
	start_and_hang(&cw, &c, &l, 1);
	CU_ASSERT(task_uses(&c.task, cw.w.lu));
	CU_ASSERT(task_uses(&c.task, cw.lu2));
	CU_ASSERT(!task_uses(&c.task, cw.foreign_lu));
	cw.second.hold = false;
	disk_release(&cw.second);
	world_turn(&cw.w);
	ASSERT_GOOD(&c);
	CU_ASSERT(task_uses(&c.task, cw.lu2));
	command_done(&c);
	command_prepare(&cw, &other, &cw.w.a, 0, tur, 0, 0, NULL);
	command_submit(&other);
	CU_ASSERT(task_uses(&other.task, cw.w.lu));
	CU_ASSERT(!task_uses(&other.task, cw.lu2));
	command_done(&other);
	copy_world_destroy(&cw);
}

static void errors_in_the_middle(void)
{
	uint8_t data[4096];
	struct copy_world cw;
	struct param_list l;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	start_and_hang(&cw, &c, &l, 9);
	cw.second.hold = false;
	cw.second.fail[BS_WRITE] = -ENOSPC;
	disk_release(&cw.second);
	world_turn(&cw.w);
	ASSERT_SENSE(&c, SENSE_COPY_END_FAILED);
	assert_segment(&c, 1);
	assert_forwarded(&c, COPY_DESTINATION, SAM_CHECK_CONDITION, SENSE_SPACE_FAILED);
	CU_ASSERT_EQUAL(lu_stats(cw.lu2, 0)->write_errors, 1);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID4, 9, data, &len), 0);
	CU_ASSERT_EQUAL(len, 32u + c.task.sense_len);
	CU_ASSERT_EQUAL(get_be(data, 4), len - 4);
	CU_ASSERT_EQUAL(data[4], SA_EXTENDED_COPY_LID1);
	CU_ASSERT_EQUAL(data[5], COPY_STATUS_FAILED);
	CU_ASSERT_EQUAL(data[12], SAM_CHECK_CONDITION);
	CU_ASSERT_EQUAL(data[14], c.task.sense_len);
	CU_ASSERT_EQUAL(get_be(data + 16, 8), 8 * 512);
	CU_ASSERT(!memcmp(data + 32, c.task.sense, c.task.sense_len));
	CU_ASSERT_EQUAL(
		copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_FAILURE_DETAILS_LID1, 9, data, &len),
		0);
	CU_ASSERT_EQUAL(len, 60u + c.task.sense_len);
	CU_ASSERT_EQUAL(data[56], COPY_STATUS_FAILED);
	CU_ASSERT_EQUAL(get_be(data + 58, 2), c.task.sense_len);
	command_done(&c);

	cw.second.fail[BS_WRITE] = 0;
	cw.w.disk.fail[BS_READ] = -EIO;
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 0, list_cdb(&l), l.b, l.len, &c),
			SENSE_COPY_END_FAILED);
	assert_segment(&c, 0);
	assert_forwarded(&c, COPY_SOURCE, SAM_CHECK_CONDITION, SENSE_READ_ERROR);
	copy_world_destroy(&cw);
}

static void sense_in_descriptors(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;

	copy_world_create(&cw, 512);
	atomic_store(&cw.w.lu->mode.d_sense, true);
	cw.second.fail[BS_WRITE] = -EIO;
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 0, 1, 0, 0);
	list_segment(&l, 0, 0, 1, 0, 1);
	CU_ASSERT_EQUAL(copy_out_on(&cw, &cw.w.a, 0, list_cdb(&l), l.b, l.len, &c),
			SENSE_COPY_END_FAILED);
	CU_ASSERT_EQUAL(c.task.sense_len, 8 + 12 + 4 + 8);
	CU_ASSERT_EQUAL(c.task.sense[8], 0x01);
	CU_ASSERT_EQUAL(get_be(c.task.sense + 12, 8), 1);
	CU_ASSERT_EQUAL(c.task.sense[20], 0x0c);
	CU_ASSERT_EQUAL(c.task.sense[21], 2 + 8);
	CU_ASSERT_EQUAL(c.task.sense[22], 2); /* the destination's */
	CU_ASSERT_EQUAL(c.task.sense[23], SAM_CHECK_CONDITION);
	CU_ASSERT_EQUAL(get_be(c.task.sense + 25, 3), SENSE_WRITE_ERROR);
	put16(l.b + 82, 5);
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_INVALID_LIST_FIELD);
	l.b[80] = 3;
	CU_ASSERT_EQUAL(list_run(&cw, &l), SENSE_SEGMENT_TYPE);
	copy_world_destroy(&cw);
}

static void aborted_in_the_middle(void)
{
	uint8_t data[4096];
	struct copy_world cw;
	struct param_list l;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	start_and_hang(&cw, &c, &l, 7);
	scsi_abort(&c.task);
	CU_ASSERT_EQUAL(c.ends, 0); /* its write is in the backstore */
	cw.second.hold = false;
	disk_release(&cw.second);
	world_turn(&cw.w);
	CU_ASSERT_EQUAL(c.ends, 1);
	command_done(&c);
	CU_ASSERT_EQUAL(cw.second.bytes[100 * 512 + BUF_MAX], 0xee);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID4, 7, data, &len), 0);
	CU_ASSERT_EQUAL(data[5], COPY_STATUS_TERMINATED);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID1, 7, data, &len), 0);
	CU_ASSERT_EQUAL(data[4], COPY_STATUS_FAILED);
	/* The identifier is free again. */
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	copy_world_destroy(&cw);
}

/* Each unit that the request touches has to stay until it is back, and one that a write may yet come to
 * refuses others until then. */
static void detached_in_the_middle(void)
{
	static const struct {
		enum bs_opcode hangs;
	} rows[] = { { BS_WRITE }, { BS_COPY } };

	for (size_t i = 0; i < array_size(rows); i++) {
		struct copy_world cw;
		struct param_list l;
		struct command c;
		struct lu *first, *second;
		uint64_t since;

		copy_world_create(&cw, 512);
		first = cw.w.lu;
		second = cw.w.target.lun[1];
		start_and_hang(&cw, &c, &l, 7);
		CU_ASSERT_FALSE(scsi_detach(&c.task, true)); /* it was not aborted */
		scsi_abort(&c.task);
		CU_ASSERT_FALSE(scsi_detach(&c.task, false));
		c.task.req.opcode = rows[i].hangs;
		c.task.from = rows[i].hangs == BS_COPY ? first : NULL;
		c.task.lu = rows[i].hangs == BS_COPY ? second : first;
		CU_ASSERT_FALSE(scsi_on_leaving(&c.task));
		CU_ASSERT_TRUE(scsi_detach(&c.task, true));
		CU_ASSERT_EQUAL(lu_detached(first, &since), 1);
		CU_ASSERT_EQUAL(lu_detached(second, &since), 1);
		CU_ASSERT_FALSE(lu_is(first, LU_HANGS));
		CU_ASSERT_TRUE(lu_is(second, LU_HANGS));
		scsi_detached_back(&c.task);
		CU_ASSERT_EQUAL(lu_detached(first, &since), 0);
		CU_ASSERT_EQUAL(lu_detached(second, &since), 0);
		CU_ASSERT_FALSE(lu_is(second, LU_HANGS));
		c.task.req.opcode = BS_WRITE;
		c.task.lu = first;
		cw.second.hold = false;
		disk_release(&cw.second);
		world_turn(&cw.w);
		CU_ASSERT_EQUAL(c.ends, 1);
		command_done(&c);
		copy_world_destroy(&cw);
	}
}

static void copy_operation_abort(void)
{
	struct cdb cdb = { { CDB_THIRD_PARTY_COPY_OUT, SA_COPY_OPERATION_ABORT } };
	uint8_t data[4096];
	struct copy_world cw;
	struct param_list l;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	put32(cdb.b + COPY_LIST_ID_AT, 7);
	CU_ASSERT_EQUAL(outcome(&cw.w, cdb.b, 0, 0, NULL), SENSE_INVALID_CDB_FIELD);
	start_and_hang(&cw, &c, &l, 7);
	CU_ASSERT_EQUAL(outcome(&cw.w, cdb.b, 0, 0, NULL), 0);
	cw.second.hold = false;
	disk_release(&cw.second);
	world_turn(&cw.w);
	ASSERT_SENSE(&c, SENSE_COPY_ABORTED);
	assert_segment(&c, 1);
	command_done(&c);
	CU_ASSERT_EQUAL(cw.second.bytes[100 * 512 + BUF_MAX], 0xee);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID4, 7, data, &len), 0);
	CU_ASSERT_EQUAL(data[5], COPY_STATUS_TERMINATED);
	copy_world_destroy(&cw);
}

static void memory_is_short(void)
{
	struct copy_world cw;
	struct param_list l;
	struct command c;
	struct buf *all = NULL, *b;

	copy_world_create(&cw, 512);
	list_units(&cw, list_start(&l, 1));
	list_segment(&l, 0, 0, 1, 0, 4096);
	command_init(&cw.w, &c, list_cdb(&l).b, DIR_WRITE, l.len, l.b);
	c.hold = true;
	command_submit(&c);
	while ((b = buf_get(cw.w.reactor, BUF_MAX))) {
		b->next = all;
		all = b;
	}
	b = buf_get(cw.w.reactor, BUF_MIN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	b->next = all;
	all = b;
	command_transfer(&c); /* the list: it waits for a buffer, and holds none */
	CU_ASSERT_EQUAL(c.ends, 0);
	while ((b = all)) {
		all = b->next;
		buf_put(cw.w.reactor, b);
	}
	world_turn(&cw.w);
	ASSERT_GOOD(&c);
	command_done(&c);
	CU_ASSERT(!memcmp(cw.second.bytes, cw.w.disk.bytes, 4096 * 512));
	copy_world_destroy(&cw);
}

static void parameters_and_memory_of_copies(void)
{
	uint8_t data[4096];
	struct copy_world cw;
	struct param_list l;
	uint32_t len;

	copy_world_create(&cw, 512);
	CU_ASSERT_EQUAL(
		copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_OPERATING_PARAMETERS, 0, data, &len),
		0);
	CU_ASSERT_EQUAL(len, 46);
	CU_ASSERT_EQUAL(get_be(data, 4), 42);
	CU_ASSERT_EQUAL(data[4], 1);
	CU_ASSERT_EQUAL(get_be(data + 8, 2), COPY_CSCDS);
	CU_ASSERT_EQUAL(get_be(data + 10, 2), COPY_SEGMENTS);
	CU_ASSERT_EQUAL(get_be(data + 12, 4), COPY_LIST_MAX);
	CU_ASSERT_EQUAL(get_be(data + 16, 4), 0xffff * 512);
	CU_ASSERT_EQUAL(data[43], 2);
	CU_ASSERT_EQUAL(data[44], 0x02);
	CU_ASSERT_EQUAL(data[45], 0xe4);
	/* So many are remembered, then the oldest goes. */
	for (unsigned int i = 0; i <= COPY_PER_NEXUS; i++) {
		list_units(&cw, list_start(&l, (uint8_t)i));
		CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	}
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID1, 0, data, &len),
			SENSE_INVALID_CDB_FIELD);
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID1, 1, data, &len), 0);
	copy_world_destroy(&cw);
}

/* What sessions that are gone have left pushes out nobody's. */
static void records_go_with_their_nexus(void)
{
	uint8_t data[4096];
	struct nexus passing;
	struct copy_world cw;
	struct param_list l;
	struct command c;
	uint32_t len;

	copy_world_create(&cw, 512);
	list_units(&cw, list_start(&l, 1));
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	for (unsigned int i = 0; i <= COPY_TOTAL; i++) {
		nexus_join(&cw.w, &passing, "passing");
		CU_ASSERT_EQUAL(copy_out_on(&cw, &passing, 0, list_cdb(&l), l.b, l.len, &c), 0);
		nexus_detach(&passing);
	}
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID1, 1, data, &len), 0);
	copy_world_destroy(&cw);
}

/* Nor do those of one that has many, be they of many sessions. */
static void records_of_many_sessions(void)
{
	enum { SESSIONS = COPY_TOTAL / COPY_PER_NEXUS };
	struct nexus *many = calloc(SESSIONS, sizeof(*many));
	uint8_t data[4096];
	struct copy_world cw;
	struct param_list l;
	struct command c;
	uint32_t len;

	CU_ASSERT_FATAL(many != NULL);
	copy_world_create(&cw, 512);
	list_units(&cw, list_start(&l, 1));
	CU_ASSERT_EQUAL(list_run(&cw, &l), 0);
	for (unsigned int i = 0; i < SESSIONS; i++) {
		nexus_join(&cw.w, &many[i], "many");
		for (unsigned int id = 0; id < COPY_PER_NEXUS; id++) {
			l.b[0] = (uint8_t)id;
			CU_ASSERT_EQUAL(copy_out_on(&cw, &many[i], 0, list_cdb(&l), l.b, l.len, &c),
					0);
		}
	}
	CU_ASSERT_EQUAL(copy_in_on(&cw, &cw.w.a, 0, SA_RECEIVE_COPY_STATUS_LID1, 1, data, &len), 0);
	for (unsigned int i = 0; i < SESSIONS; i++)
		nexus_detach(&many[i]);
	copy_world_destroy(&cw);
	free(many);
}

UNIT_MAIN(TEST(others_go_on_meanwhile), TEST(asked_again_before_each_chunk),
	  TEST(asked_again_before_the_write), TEST(nothing_survives_a_format),
	  TEST(whose_task_it_is), TEST(errors_in_the_middle), TEST(sense_in_descriptors),
	  TEST(aborted_in_the_middle), TEST(detached_in_the_middle), TEST(copy_operation_abort),
	  TEST(memory_is_short), TEST(parameters_and_memory_of_copies),
	  TEST(records_go_with_their_nexus), TEST(records_of_many_sessions));
