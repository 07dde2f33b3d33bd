// SPDX-License-Identifier: BSD-2-Clause
/* Full feature phase: command window, order, data, rejects, task management, reinstatement. */
#include "target_rig.h"
#include "tests/lib/unit.h"

static const uint8_t tur[16] = { 0 };
static const uint8_t read_1[16] = { [0] = 0x28, [8] = 1 };
static const uint8_t write_1[16] = { [0] = 0x2a, [8] = 1 };
static const uint8_t write_16[16] = { [0] = 0x2a, [8] = 16 };

/* A session whose power-on unit attention is out of the way. */
static void begin(struct rig *rig, struct initiator *in, const char *disk)
{
	uint32_t itt;

	CU_ASSERT_FATAL(rig_up(rig, disk, NULL));
	CU_ASSERT_FATAL(rig_login(rig, in, 1));
	itt = rig_command(in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(in, itt), SAM_CHECK_CONDITION);
}

static void end(struct rig *rig, struct initiator *in)
{
	rig_leave(in);
	CU_ASSERT_EQUAL(slab_in_use(rig->slab), 0);
	rig_down(rig);
}

static int next_reject(struct initiator *in)
{
	struct memory_record *rec = rig_receive(in);
	int reason = -1;

	if (rec && pdu_opcode(&rec->h.bhs) == OP_REJECT)
		reason = rec->h.reject.reason;
	free(rec);
	return reason;
}

static void write_then_read(void)
{
	struct rig rig;
	struct initiator in;
	struct memory_record *rec;
	uint8_t block[512];
	uint32_t itt;

	begin(&rig, &in, "ram:1M");
	memset(block, 0xa5, sizeof(block));
	itt = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, block, 512);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	itt = rig_command(&in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(rec->kind, MEMORY_DATA_IN);
	CU_ASSERT_EQUAL(be32_get(rec->h.bhs.itt), itt);
	CU_ASSERT_EQUAL(rec->len, 512);
	CU_ASSERT_EQUAL(memcmp(rec->data, block, 512), 0);
	free(rec);
	end(&rig, &in);
}

/* MaxCmdSN - ExpCmdSN + 1 is the whole window again after each answer. */
static void window_stays_open(void)
{
	struct rig rig;
	struct initiator in;

	begin(&rig, &in, "ram:1M");
	for (int i = 0; i < 300; i++) {
		uint32_t itt = rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);

		CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
		CU_ASSERT_EQUAL(in.expcmdsn, in.cmdsn);
		CU_ASSERT_EQUAL(in.maxcmdsn - in.expcmdsn + 1, 128);
	}
	end(&rig, &in);
}

/* RFC 7143 4.2.2.1: outside the window means silence; inside, order is kept. */
static void command_order(void)
{
	struct rig rig;
	struct initiator in;
	uint32_t first, second, sn;

	begin(&rig, &in, "ram:1M");
	sn = in.cmdsn;
	rig_command_sn(&in, sn + 128, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	rig_command_sn(&in, sn - 1, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	second = rig_command_sn(&in, sn + 1, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	rig_command_sn(&in, sn + 1, tur, CMD_FINAL, 0, NULL, 0); /* a duplicate */
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	first = rig_command_sn(&in, sn, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, first), SAM_GOOD);
	CU_ASSERT_EQUAL(rig_status(&in, second), SAM_GOOD);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_EQUAL(in.expcmdsn, sn + 2);
	CU_ASSERT_EQUAL(in.maxcmdsn - in.expcmdsn + 1, 128);
	end(&rig, &in);
}

/* A held NOP-Out with data is answered in its turn. */
static void held_ping(void)
{
	struct rig rig;
	struct initiator in;
	struct memory_record *rec;
	union pdu_header h = { 0 };
	uint32_t itt;

	begin(&rig, &in, "ram:1M");
	h.nop_out.opcode = OP_NOP_OUT;
	h.nop_out.flags = PDU_FINAL;
	h.nop_out.itt = be32_of(7);
	h.nop_out.ttt = be32_of(TAG_NONE);
	h.nop_out.cmdsn = be32_of(in.cmdsn + 1);
	memory_send(in.peer, &h, NULL, 0, "ping", 4);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	itt = rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(pdu_opcode(&rec->h.bhs), OP_NOP_IN);
	CU_ASSERT_EQUAL(rec->len, 4);
	CU_ASSERT_EQUAL(memcmp(rec->data, "ping", 4), 0);
	free(rec);
	end(&rig, &in);
}

static void rejects(void)
{
	static const struct {
		const char *name;
		uint8_t flags;
		uint32_t edtl;
		int reason;
	} rows[] = {
		{ "F=0 without W", CMD_READ, 512, REJECT_INVALID_PDU_FIELD },
		{ "EDTL without R and W", CMD_FINAL, 512, REJECT_INVALID_PDU_FIELD },
	};
	struct rig rig;
	struct initiator in;

	begin(&rig, &in, "ram:1M");
	for (unsigned int i = 0; i < array_size(rows); i++) {
		rig_command_sn(&in, in.cmdsn, read_1, rows[i].flags, rows[i].edtl, NULL, 0);
		CU_ASSERT_EQUAL(next_reject(&in), rows[i].reason);
		CU_ASSERT_EQUAL(in.expcmdsn, in.cmdsn); /* not received: RFC 7143 7.3 */
	}
	end(&rig, &in);
}

/* The tag of a task that is under way. */
static void tag_in_use(void)
{
	struct rig rig;
	struct initiator in;

	begin(&rig, &in, "ram:1M");
	rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0); /* waits for its data */
	free(rig_receive(&in)); /* R2T */
	in.itt--;
	rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(next_reject(&in), REJECT_TASK_IN_PROGRESS);
	end(&rig, &in);
}

/* The initiator may have our answer, and use the tag again, before we learn that it was sent. */
static void tag_free_when_answered(void)
{
	struct rig rig;
	struct initiator in;
	uint32_t itt;

	begin(&rig, &in, "ram:1M");
	for (int i = 0; i < 2; i++) {
		const uint8_t *cdb = i ? read_1 : tur;
		uint8_t flags = i ? CMD_FINAL | CMD_READ : CMD_FINAL;

		itt = rig_command(&in, cdb, flags, i ? 512 : 0, NULL, 0);
		in.itt = itt;
		rig_command(&in, cdb, flags, i ? 512 : 0, NULL, 0);
		CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
		CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	}
	end(&rig, &in);
}

static void solicited_write(void)
{
	struct rig rig;
	struct initiator in;
	struct memory_record *r2t;
	static uint8_t data[8192];
	uint32_t itt, ttt;

	begin(&rig, &in, "ram:1M");
	memset(data, 0x3c, sizeof(data));
	itt = rig_command(&in, write_16, CMD_FINAL | CMD_WRITE, 8192, data, 512);
	r2t = rig_receive(&in);
	CU_ASSERT_FATAL(r2t && r2t->kind == MEMORY_R2T);
	CU_ASSERT_EQUAL(be32_get(r2t->h.r2t.buffer_offset), 512);
	CU_ASSERT_EQUAL(be32_get(r2t->h.r2t.desired_len), 8192 - 512);
	ttt = be32_get(r2t->h.r2t.ttt);
	free(r2t);
	CU_ASSERT_TRUE(memory_data_out(in.peer, itt, ttt, 512, data + 512, 8192 - 512, true));
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	CU_ASSERT_EQUAL(memcmp(bs_borrow(rig.bs, 0, 8192), data, 8192), 0);
	end(&rig, &in);
}

/* A burst that broke a rule writes nothing and says why (D3, D5). */
static void failed_bursts(void)
{
	static const struct {
		enum transfer_result result;
		uint8_t asc, ascq;
	} rows[] = {
		{ TRANSFER_DIGEST, 0x47, 0x05 },
		{ TRANSFER_UNEXPECTED, 0x0c, 0x0c },
		{ TRANSFER_SHORT, 0x0c, 0x0d },
	};
	struct rig rig;
	struct initiator in;
	struct memory_record *rec;

	begin(&rig, &in, "ram:1M");
	for (unsigned int i = 0; i < array_size(rows); i++) {
		uint32_t itt = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);

		free(rig_receive(&in)); /* R2T */
		CU_ASSERT_TRUE(memory_finish(in.peer, itt, rows[i].result));
		rec = rig_receive(&in);
		CU_ASSERT_FATAL(rec && rec->len >= 16);
		CU_ASSERT_EQUAL(rec->h.scsi_response.status, SAM_CHECK_CONDITION);
		CU_ASSERT_EQUAL(rec->data[2 + 2] & 0xf, 0x0b);
		CU_ASSERT_EQUAL(rec->data[2 + 12], rows[i].asc);
		CU_ASSERT_EQUAL(rec->data[2 + 13], rows[i].ascq);
		free(rec);
	}
	end(&rig, &in);
}

/* ABORT TASK of a write that waits for data: nothing of the task is heard again. */
static void abort_task(void)
{
	struct rig rig;
	struct initiator in;
	uint32_t itt, tmf, ttt;
	struct memory_record *r2t;

	begin(&rig, &in, "ram:1M");
	itt = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	r2t = rig_receive(&in);
	CU_ASSERT_FATAL(r2t && r2t->kind == MEMORY_R2T);
	ttt = be32_get(r2t->h.r2t.ttt);
	free(r2t);
	tmf = rig_tmf(&in, TMF_ABORT_TASK, itt, in.cmdsn - 1);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_FALSE(memory_data_out(in.peer, itt, ttt, 0, &rig, 512, true));
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	CU_ASSERT_EQUAL(in.maxcmdsn - in.expcmdsn + 1, 128);
	end(&rig, &in);
}

static void abort_what_is_not_there(void)
{
	struct rig rig;
	struct initiator in;
	uint32_t tmf;

	begin(&rig, &in, "ram:1M");
	tmf = rig_tmf(&in, TMF_ABORT_TASK, 0x7777, in.cmdsn - 1);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_NO_TASK);
	tmf = rig_tmf(&in, TMF_ABORT_TASK, 0x7777, in.cmdsn); /* not used yet */
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_NO_TASK);
	CU_ASSERT_EQUAL(in.expcmdsn, in.cmdsn);
	in.cmdsn++;
	tmf = rig_tmf(&in, TMF_ABORT_TASK, 0x7777, in.cmdsn - 1); /* lost: counts as received */
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_COMPLETE);
	CU_ASSERT_EQUAL(in.expcmdsn, in.cmdsn);
	CU_ASSERT_EQUAL(in.maxcmdsn - in.expcmdsn + 1, 128);
	end(&rig, &in);
}

static void refused_functions(void)
{
	static const struct {
		uint8_t function;
		int response;
	} rows[] = {
		{ 0, TMF_RSP_NOT_SUPPORTED },
		{ 9, TMF_RSP_NOT_SUPPORTED },
		{ TMF_TASK_REASSIGN, TMF_RSP_NO_REASSIGN },
		{ TMF_TARGET_COLD_RESET, TMF_RSP_NOT_AUTHORIZED },
		{ 99, TMF_RSP_NOT_SUPPORTED },
	};
	struct rig rig;
	struct initiator in;

	begin(&rig, &in, "ram:1M");
	for (unsigned int i = 0; i < array_size(rows); i++) {
		uint32_t itt = rig_tmf(&in, rows[i].function, 0, 0);

		CU_ASSERT_EQUAL(rig_tmf_response(&in, itt), rows[i].response);
	}
	end(&rig, &in);
}

/* LUN RESET takes the other nexus's task away; a unit attention tells of it. */
static void lun_reset(void)
{
	struct rig rig;
	struct initiator a, b;
	struct memory_record *rec;
	uint32_t victim, itt;

	begin(&rig, &a, "ram:1M");
	CU_ASSERT_FATAL(rig_login(&rig, &b, 2));
	itt = rig_command(&b, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&b, itt), SAM_CHECK_CONDITION); /* power on */
	victim = rig_command(&b, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	free(rig_receive(&b)); /* R2T */
	itt = rig_tmf(&a, TMF_LUN_RESET, TAG_NONE, 0);
	CU_ASSERT_EQUAL(rig_tmf_response(&a, itt), TMF_RSP_COMPLETE);
	CU_ASSERT_PTR_NULL(rig_receive(&b));
	CU_ASSERT_FALSE(memory_finish(b.peer, victim, TRANSFER_OK));
	itt = rig_command(&b, tur, CMD_FINAL, 0, NULL, 0);
	rec = rig_receive(&b);
	CU_ASSERT_FATAL(rec && rec->len >= 16);
	CU_ASSERT_EQUAL(be32_get(rec->h.bhs.itt), itt);
	CU_ASSERT_EQUAL(rec->data[2 + 2] & 0xf, 0x06);
	CU_ASSERT_EQUAL(rec->data[2 + 12], 0x29);
	CU_ASSERT_EQUAL(rec->data[2 + 13], 0x03);
	free(rec);
	/* Who asked for it hears of it, too. */
	itt = rig_command(&a, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&a, itt), SAM_CHECK_CONDITION);
	rig_leave(&b);
	end(&rig, &a);
}

/* A backstore that never answers: the function does, after TMF_TIMEOUT_S; the LU of others lives. */
static void reset_while_the_disk_hangs(void)
{
	struct rig rig;
	struct initiator in;
	uint32_t itt, tmf;

	begin(&rig, &in, "ram:1M,fault=write:hang");
	itt = rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, &rig, 512);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	tmf = rig_tmf(&in, TMF_ABORT_TASK, itt, in.cmdsn - 1);
	CU_ASSERT_PTR_NULL(rig_receive(&in));
	reactor_advance(rig.r, 6 * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(rig_tmf_response(&in, tmf), TMF_RSP_REJECTED); /* it may yet be written */
	itt = rig_command(&in, read_1, CMD_FINAL | CMD_READ, 512, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&in, itt), SAM_GOOD);
	rig_leave(&in);
	/* The write is still with the disk: its command comes back when the disk closes. */
	bs_close(rig.bs);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(slab_in_use(rig.slab), 0);
	server_destroy(rig.server);
	lu_destroy(rig.lu);
	reactor_destroy(rig.r);
	slab_destroy(rig.slab);
}

/* RFC 7143 6.3.5: the same initiator port again ends the old session first. */
static void reinstatement(void)
{
	struct rig rig;
	struct initiator old, young;
	uint32_t itt;

	begin(&rig, &old, "ram:1M");
	rig_command(&old, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	free(rig_receive(&old)); /* R2T */
	CU_ASSERT_TRUE(rig_login(&rig, &young, 1));
	CU_ASSERT_PTR_NULL(memory_conn(old.peer));
	CU_ASSERT_NOT_EQUAL(young.tsih, 0);
	itt = rig_command(&young, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&young, itt), SAM_CHECK_CONDITION);
	itt = rig_command(&young, tur, CMD_FINAL, 0, NULL, 0);
	CU_ASSERT_EQUAL(rig_status(&young, itt), SAM_GOOD);
	rig_leave(&old);
	end(&rig, &young);
}

static void login_deadline(void)
{
	struct rig rig;
	struct memory_peer *peer;

	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", NULL));
	peer = memory_connect(rig.r, &session_conn_up, rig.server);
	CU_ASSERT_FATAL(peer != NULL);
	reactor_advance(rig.r, 14 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NOT_NULL(memory_conn(peer));
	reactor_advance(rig.r, 2 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NULL(memory_conn(peer));
	memory_free(peer);
	rig_down(&rig);
}

/* Silence is answered with a ping, silence after that with the end. */
static void keep_alive(void)
{
	struct rig rig;
	struct initiator in;
	struct memory_record *rec;

	begin(&rig, &in, "ram:1M");
	reactor_advance(rig.r, 24 * NSEC_PER_SEC);
	rec = rig_receive(&in);
	CU_ASSERT_FATAL(rec != NULL);
	CU_ASSERT_EQUAL(pdu_opcode(&rec->h.bhs), OP_NOP_IN);
	CU_ASSERT_EQUAL(be32_get(rec->h.nop_in.itt), TAG_NONE);
	CU_ASSERT_NOT_EQUAL(be32_get(rec->h.nop_in.ttt), TAG_NONE);
	free(rec);
	reactor_advance(rig.r, 24 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	end(&rig, &in);
}

/* D10: Data-Out that never comes. */
static void data_timeout(void)
{
	struct server_limits limits = server_default_limits;
	struct rig rig;
	struct initiator in;

	limits.nop_interval_s = 0;
	limits.data_timeout_s = 10;
	CU_ASSERT_FATAL(rig_up(&rig, "ram:1M", &limits));
	CU_ASSERT_FATAL(rig_login(&rig, &in, 1));
	rig_command(&in, tur, CMD_FINAL, 0, NULL, 0);
	free(rig_receive(&in));
	rig_command(&in, write_1, CMD_FINAL | CMD_WRITE, 512, NULL, 0);
	free(rig_receive(&in)); /* R2T */
	reactor_advance(rig.r, 9 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NOT_NULL(memory_conn(in.peer));
	reactor_advance(rig.r, 7 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NULL(memory_conn(in.peer));
	end(&rig, &in);
}

UNIT_MAIN(TEST(write_then_read), TEST(window_stays_open), TEST(command_order), TEST(held_ping),
	  TEST(rejects), TEST(tag_in_use), TEST(tag_free_when_answered), TEST(solicited_write),
	  TEST(failed_bursts), TEST(abort_task), TEST(abort_what_is_not_there),
	  TEST(refused_functions), TEST(lun_reset), TEST(reset_while_the_disk_hangs),
	  TEST(reinstatement), TEST(login_deadline), TEST(keep_alive), TEST(data_timeout));
