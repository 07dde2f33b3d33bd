// SPDX-License-Identifier: BSD-2-Clause
/* A whole target behind the RDMA transport: login, READ, WRITE and task management as an initiator
 * on a fabric sees them. */
#include "tests/lib/mock_verbs.h"
#include "tests/lib/unit.h"
#include "tests/unit/target_rig.h"
#include "transport/rdma/rdma.h"

enum { TEXT_MAX = 8192, BLOCK = 512 };

/* An initiator and the target. */
struct fabric {
	struct rig rig;
	struct rdma_shard *shard; /* ours, so that it outlives the connection */
	struct rdma_cm_id *id;
	struct mock_qp *qp;
	uint32_t cmdsn, itt;
};

static struct conn *conn; /* NULL: closed */
static unsigned int closed_count;

static void accepted(void *ctx, struct conn *c)
{
	conn = c;
	session_conn_up.accepted(ctx, c);
}

static void closed(struct conn *c)
{
	session_conn_up.closed(c);
	conn = NULL;
	closed_count++;
}

static void settle(struct fabric *f)
{
	do
		rig_turn(&f->rig);
	while ((f->qp = mock_qp_latest()) && mock_send_all(f->qp));
}

static void event(struct fabric *f, enum rdma_cm_event_type type)
{
	mock_event(f->id, type, 0);
	f->shard->wake.done(&f->shard->wake, 1, IORING_CQE_F_MORE);
	f->shard->polling = false; /* a virtual reactor polls no descriptor */
	rig_turn(&f->rig);
}

static void connect_to(struct fabric *f, const char *disk)
{
	static struct conn_up up;
	struct rdma_request request = { .ord = 4, .responder_resources = 1, .send_w_inv = true };
	struct rdma_conn *c;

	memset(f, 0, sizeof(*f));
	mock_begin();
	closed_count = 0;
	up = session_conn_up;
	up.accepted = accepted;
	up.closed = closed;
	CU_ASSERT_FATAL(rig_up(&f->rig, disk, NULL));
	f->cmdsn = 1;
	f->id = mock_id_new();
	f->shard = rdma_shard_get(f->rig.r);
	rdma_lib.rdma_migrate_id(f->id, f->shard->channel);
	atomic_fetch_add(&f->rig.r->load, 1);
	c = rdma_conn_new(f->rig.r, f->id, &request, &up, f->rig.server);
	c->shard = rdma_shard_get(f->rig.r);
	reactor_post(f->rig.r, &c->arrive);
	rig_turn(&f->rig);
	event(f, RDMA_CM_EVENT_ESTABLISHED);
	f->qp = mock_qp_latest();
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->qp);
}

static void leave(struct fabric *f)
{
	const char *wrong;

	if (mock_qp_latest())
		mock_qp_error(mock_qp_latest());
	reactor_advance(f->rig.r, 10 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NULL(conn);
	CU_ASSERT_EQUAL(closed_count, 1);
	rdma_shard_put(f->shard);
	CU_ASSERT_EQUAL(slab_in_use(f->rig.slab), 0);
	rig_down(&f->rig);
	wrong = mock_end();
	if (wrong)
		fprintf(stderr, "# verbs: %s\n", wrong);
	CU_ASSERT_PTR_NULL(wrong);
}

/* --- Messages */

static void deliver(struct fabric *f, const struct iser_header *ih, const union pdu_header *header,
		    const void *data, uint32_t len)
{
	static uint8_t message[HEADERS + TEXT_MAX];
	union pdu_header h = *header;

	h.bhs.dlength = be24_of(len);
	memcpy(message, ih, sizeof(*ih));
	memcpy(message + sizeof(*ih), &h, BHS_LEN);
	if (len)
		memcpy(message + HEADERS, data, len);
	CU_ASSERT_EQUAL_FATAL(mock_deliver(f->qp, message, HEADERS + len), MOCK_DELIVERED);
}

static const struct iser_header plain = { .flags = ISER_CTRL };

/* The next message after everything has settled; NULL: none. */
static struct mock_message *receive(struct fabric *f, union pdu_header *h)
{
	struct mock_message *msg;

	settle(f);
	memset(h, 0, sizeof(*h));
	msg = f->qp ? mock_message_take(f->qp) : NULL;
	if (msg)
		memcpy(h, msg->bytes + sizeof(struct iser_header), BHS_LEN);
	return msg;
}

/* Status of the next PDU, a SCSI Response for itt; -1 if it is not. */
static int status_of(struct fabric *f, uint32_t itt)
{
	union pdu_header h;
	struct mock_message *msg = receive(f, &h);
	bool ok = msg && pdu_opcode(&h.bhs) == OP_SCSI_RESPONSE && be32_get(h.bhs.itt) == itt;

	free(msg);
	return ok ? h.scsi_response.status : -1;
}

#define KEYS "InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0SessionType=Normal\0"
#define ISER_KEYS                                                                       \
	"RDMAExtensions=Yes\0InitialR2T=No\0ImmediateData=Yes\0MaxBurstLength=262144\0" \
	"FirstBurstLength=8192\0InitiatorRecvDataSegmentLength=262144\0"                \
	"TargetRecvDataSegmentLength=8192\0"

static struct mock_message *login_answer(struct fabric *f, const char *text, size_t len,
					 union pdu_header *answer)
{
	union pdu_header h = { 0 };

	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = LOGIN_TRANSIT | STAGE_OPERATIONAL << 2 | STAGE_FULL_FEATURE;
	h.login_request.isid.b[0] = 0x80;
	h.login_request.itt = be32_of(f->itt++);
	h.login_request.cmdsn = be32_of(f->cmdsn);
	deliver(f, &plain, &h, text, (uint32_t)len);
	return receive(f, answer);
}

/* A SCSI Command for `blocks` at lba; region: what it advertises. */
static uint32_t command(struct fabric *f, uint8_t opcode, uint32_t lba, uint16_t blocks,
			const struct mock_region *region, const void *immediate, uint32_t len)
{
	struct iser_header ih = plain;
	union pdu_header h = { 0 };
	bool write = opcode == 0x2a;

	if (region && write) {
		ih.flags |= ISER_WSV;
		ih.write_stag = be32_of(region->rkey);
		ih.write_va = be64_of(region->va + len);
	} else if (region) {
		ih.flags |= ISER_RSV;
		ih.read_stag = be32_of(region->rkey);
		ih.read_va = be64_of(region->va);
	}
	h.scsi_command.opcode = OP_SCSI_COMMAND;
	h.scsi_command.flags = CMD_FINAL | ATTR_SIMPLE | (write ? CMD_WRITE : CMD_READ);
	h.scsi_command.itt = be32_of(f->itt);
	h.scsi_command.edtl = be32_of(blocks * (uint32_t)BLOCK);
	h.scsi_command.cmdsn = be32_of(f->cmdsn++);
	h.scsi_command.cdb[0] = opcode;
	h.scsi_command.cdb[2] = (uint8_t)(lba >> 24);
	h.scsi_command.cdb[3] = (uint8_t)(lba >> 16);
	h.scsi_command.cdb[4] = (uint8_t)(lba >> 8);
	h.scsi_command.cdb[5] = (uint8_t)lba;
	h.scsi_command.cdb[7] = (uint8_t)(blocks >> 8);
	h.scsi_command.cdb[8] = (uint8_t)blocks;
	deliver(f, &ih, &h, immediate, len);
	return f->itt++;
}

static void login(struct fabric *f, const char *disk)
{
	static const char keys[] = KEYS ISER_KEYS;
	union pdu_header h;
	struct mock_message *msg;

	connect_to(f, disk);
	msg = login_answer(f, keys, sizeof(keys) - 1, &h);
	CU_ASSERT_PTR_NOT_NULL_FATAL(msg);
	CU_ASSERT_EQUAL_FATAL(be16_get(h.login_response.status), LOGIN_SUCCESS);
	CU_ASSERT_FATAL(h.login_response.flags & LOGIN_TRANSIT);
	free(msg);
	/* The unit attentions that every new session sees. */
	while (status_of(f, command(f, 0x00, 0, 0, NULL, NULL, 0)) == 2)
		;
}

static struct mock_region *region_with(uint32_t len, uint8_t fill)
{
	struct mock_region *region = mock_region_add(0x7f1234560000, len);

	for (uint32_t i = 0; i < len; i++)
		region->bytes[i] = (uint8_t)(fill + i / 7);
	return region;
}

static uint32_t task_management(struct fabric *f, uint8_t function, uint32_t rtt)
{
	union pdu_header h = { 0 };

	h.tmf_request.opcode = OP_TMF_REQUEST | OPCODE_IMMEDIATE;
	h.tmf_request.function = 0x80 | function;
	h.tmf_request.itt = be32_of(f->itt);
	h.tmf_request.rtt = be32_of(rtt);
	h.tmf_request.cmdsn = be32_of(f->cmdsn);
	h.tmf_request.refcmdsn = be32_of(f->cmdsn - 1);
	deliver(f, &plain, &h, NULL, 0);
	return f->itt++;
}

/* --- Login */

static bool answered(const struct mock_message *msg, const char *pair)
{
	size_t n = strlen(pair) + 1;

	for (size_t at = HEADERS; at + n <= msg->len; at++)
		if (!memcmp(msg->bytes + at, pair, n))
			return true;
	return false;
}

static void the_extensions_are_negotiated(void)
{
	static const char keys[] = KEYS ISER_KEYS;
	struct fabric f;
	union pdu_header h;
	struct mock_message *msg;

	connect_to(&f, "ram:1M");
	msg = login_answer(&f, keys, sizeof(keys) - 1, &h);
	CU_ASSERT_PTR_NOT_NULL_FATAL(msg);
	CU_ASSERT(answered(msg, "RDMAExtensions=Yes"));
	CU_ASSERT(answered(msg, "TargetRecvDataSegmentLength=8192"));
	CU_ASSERT(answered(msg, "FirstBurstLength=8192"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
	CU_ASSERT(conn->params.rdma_extensions && conn->params.full_feature);
	CU_ASSERT_EQUAL(conn->params.max_recv_dsl, 8192);
	CU_ASSERT(conn->params.command_window > 0);
	/* A receive for every command of the window, and some for what comes on top. */
	CU_ASSERT(mock_recv_count(f.qp) >= conn->params.command_window + 6);
	free(msg);
	leave(&f);
}

static void a_normal_session_without_the_extensions_is_refused(void)
{
	static const char keys[] = KEYS;
	struct fabric f;
	union pdu_header h;
	struct mock_message *msg;

	connect_to(&f, "ram:1M");
	msg = login_answer(&f, keys, sizeof(keys) - 1, &h);
	CU_ASSERT_PTR_NOT_NULL_FATAL(msg);
	CU_ASSERT_NOT_EQUAL(be16_get(h.login_response.status), LOGIN_SUCCESS);
	free(msg);
	reactor_advance(f.rig.r, 10 * NSEC_PER_SEC);
	CU_ASSERT_PTR_NULL(conn);
	leave(&f);
}

/* --- Data */

static void what_is_written_is_read(void)
{
	for (uint32_t len = BLOCK; len <= 1 << 20; len *= 8) {
		struct fabric f;
		struct mock_region *from, *to;
		uint16_t blocks = (uint16_t)(len / BLOCK);

		login(&f, "ram:2M");
		from = region_with(len, 3);
		to = region_with(len, 0);
		CU_ASSERT_EQUAL(status_of(&f, command(&f, 0x2a, 8, blocks, from, NULL, 0)), 0);
		CU_ASSERT(from->touched > 0);
		CU_ASSERT_EQUAL(status_of(&f, command(&f, 0x28, 8, blocks, to, NULL, 0)), 0);
		CU_ASSERT(!memcmp(from->bytes, to->bytes, len));
		/* Invalidated for the initiator. */
		CU_ASSERT(from->dead && to->dead);
		/* No byte of it went through our CPU. */
		CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
		CU_ASSERT_EQUAL(atomic_load(&conn->bytes_copied), 0);
		leave(&f);
	}
}

static void immediate_data_and_the_rest(void)
{
	struct fabric f;
	struct mock_region *from, *to;

	login(&f, "ram:1M");
	for (uint32_t immediate = BLOCK; immediate <= 8192; immediate *= 2) {
		from = region_with(16384, (uint8_t)immediate);
		to = region_with(16384, 0);
		CU_ASSERT_EQUAL(
			status_of(&f, command(&f, 0x2a, 0, 32, from, from->bytes, immediate)), 0);
		CU_ASSERT_EQUAL(status_of(&f, command(&f, 0x28, 0, 32, to, NULL, 0)), 0);
		CU_ASSERT(!memcmp(from->bytes, to->bytes, 16384));
	}
	leave(&f);
}

/* All of it immediate: nothing is advertised, nothing invalidated. */
static void a_small_write_without_a_key(void)
{
	struct fabric f;
	struct mock_region *to;
	uint8_t data[4096];

	memset(data, 0x42, sizeof(data));
	login(&f, "ram:1M");
	to = region_with(4096, 0);
	CU_ASSERT_EQUAL(status_of(&f, command(&f, 0x2a, 0, 8, NULL, data, 4096)), 0);
	CU_ASSERT_EQUAL(status_of(&f, command(&f, 0x28, 0, 8, to, NULL, 0)), 0);
	CU_ASSERT(!memcmp(data, to->bytes, 4096));
	CU_ASSERT_EQUAL(atomic_load(&conn->bytes_copied), 0);
	leave(&f);
}

/* The device does not take the RAM disk's memory: what is read is copied once, as it is. */
static void a_disk_that_cannot_be_registered(void)
{
	struct fabric f;
	struct mock_region *from, *to;

	login(&f, "ram:8M");
	mock_forbid(bs_borrow(f.rig.bs, 0, 8 << 20), 8 << 20);
	from = region_with(4 << 20, 3);
	to = region_with(4 << 20, 0);
	CU_ASSERT_EQUAL(status_of(&f, command(&f, 0x2a, 8, 8192, from, NULL, 0)), 0);
	CU_ASSERT_EQUAL(atomic_load(&conn->bytes_copied), 0);
	CU_ASSERT_EQUAL(status_of(&f, command(&f, 0x28, 8, 8192, to, NULL, 0)), 0);
	CU_ASSERT(!memcmp(from->bytes, to->bytes, 4 << 20));
	CU_ASSERT_EQUAL(atomic_load(&conn->bytes_copied), 4 << 20);
	CU_ASSERT(mock.refused > 0);
	leave(&f);
}

/* A whole window at once: one post for all that was answered in a turn. */
static void a_window_of_reads(void)
{
	struct fabric f;
	struct mock_region *to[16];
	unsigned int posts;

	login(&f, "ram:1M");
	for (uint32_t i = 0; i < 16; i++) {
		to[i] = region_with(4096, 1);
		command(&f, 0x28, i * 8, 8, to[i], NULL, 0);
	}
	posts = f.qp->posts;
	rig_turn(&f.rig);
	CU_ASSERT_EQUAL(mock_send_count(f.qp), 32);
	CU_ASSERT_EQUAL(f.qp->posts, posts + 1);
	settle(&f);
	for (uint32_t i = 0; i < 16; i++) {
		CU_ASSERT_EQUAL(to[i]->touched, 1);
		CU_ASSERT_EQUAL(to[i]->bytes[0] | to[i]->bytes[4095], 0);
	}
	CU_ASSERT_EQUAL(mock.rnr, 0);
	leave(&f);
}

/* CHECK CONDITION with sense fits a receive of 128 bytes and invalidates, too. */
static void sense_fits(void)
{
	struct fabric f;
	struct mock_region *to;
	struct mock_message *msg;
	union pdu_header h;

	login(&f, "ram:1M");
	to = region_with(4096, 0);
	command(&f, 0x28, 0x7fffffff, 8, to, NULL, 0);
	msg = receive(&f, &h);
	CU_ASSERT_PTR_NOT_NULL_FATAL(msg);
	CU_ASSERT_EQUAL(h.scsi_response.status, 2);
	CU_ASSERT(msg->len > HEADERS && msg->len <= HEADERS + FULL_FEATURE_DATA);
	CU_ASSERT(msg->invalidates && msg->invalidated == to->rkey);
	CU_ASSERT_EQUAL(to->touched, 0);
	free(msg);
	leave(&f);
}

/* The initiator's memory is not what it said: never GOOD. */
static void a_bad_key_is_never_good(void)
{
	for (int opcode = 0x28; opcode <= 0x2a; opcode += 2) {
		struct fabric f;
		struct mock_region *region;

		login(&f, "ram:1M");
		region = region_with(4096, 0);
		region->len = 4095;
		command(&f, (uint8_t)opcode, 0, 8, region, NULL, 0);
		settle(&f);
		CU_ASSERT(!f.qp || !f.qp->in);
		reactor_advance(f.rig.r, NSEC_PER_SEC);
		CU_ASSERT_PTR_NULL(conn);
		leave(&f);
	}
}

/* --- Task management */

static bool posted(const struct fabric *f, uint8_t opcode)
{
	for (uint32_t i = 0; i < mock_send_count(f->qp); i++) {
		const struct mock_wr *w = mock_send_at(f->qp, i);
		const union pdu_header *h = (const void *)(w->bytes + sizeof(struct iser_header));

		if (w->inlined && pdu_opcode(&h->bhs) == opcode)
			return true;
	}
	return false;
}

/* The initiator takes its memory back when it has the response: no Read may be under way then. */
static void check_abort(uint8_t function)
{
	struct fabric f;
	struct mock_region *from;
	struct mock_message *msg;
	union pdu_header h;
	uint32_t task, tmf;

	login(&f, "ram:1M");
	from = region_with(65536, 9);
	task = command(&f, 0x2a, 0, 128, from, NULL, 0);
	rig_turn(&f.rig);
	CU_ASSERT_FATAL(mock_send_count(f.qp) > 0);
	CU_ASSERT_EQUAL(mock_send_at(f.qp, 0)->opcode, IBV_WR_RDMA_READ);
	tmf = task_management(&f, function, function == TMF_ABORT_TASK ? task : TAG_NONE);
	rig_turn(&f.rig);
	CU_ASSERT(!posted(&f, OP_TMF_RESPONSE));
	reactor_advance(f.rig.r, NSEC_PER_SEC);
	CU_ASSERT(!posted(&f, OP_TMF_RESPONSE));
	settle(&f);
	msg = receive(&f, &h);
	CU_ASSERT_PTR_NOT_NULL_FATAL(msg);
	CU_ASSERT_EQUAL(pdu_opcode(&h.bhs), OP_TMF_RESPONSE);
	CU_ASSERT_EQUAL(be32_get(h.bhs.itt), tmf);
	CU_ASSERT_EQUAL(h.tmf_response.response, TMF_RSP_COMPLETE);
	free(msg);
	from->dead = true;
	settle(&f);
	CU_ASSERT_PTR_NOT_NULL(conn);
	leave(&f);
}

static void abort_task_waits_for_the_read(void)
{
	check_abort(TMF_ABORT_TASK);
}

static void lun_reset_waits_for_the_read(void)
{
	check_abort(TMF_LUN_RESET);
}

static bool posted_without_fence(const struct fabric *f, uint8_t opcode)
{
	for (uint32_t i = 0; i < mock_send_count(f->qp); i++) {
		const struct mock_wr *w = mock_send_at(f->qp, i);
		const union pdu_header *h = (const void *)(w->bytes + sizeof(struct iser_header));

		if (w->inlined && !w->fenced && pdu_opcode(&h->bhs) == opcode)
			return true;
	}
	return false;
}

/* The device does not give the Read back. The initiator is not told that it may use its memory while
 * the Read can still reach it: no answer, one that the Read fences, or the end of the connection. */
static void no_response_outruns_a_read_that_hangs(void)
{
	struct fabric f;
	bool early = false;
	uint32_t task;

	login(&f, "ram:1M");
	task = command(&f, 0x2a, 0, 8, region_with(4096, 9), NULL, 0);
	rig_turn(&f.rig);
	task_management(&f, TMF_ABORT_TASK, task);
	for (int i = 0; i < 12; i++) {
		reactor_advance(f.rig.r, NSEC_PER_SEC);
		f.qp = mock_qp_latest();
		early |= f.qp && f.qp->state == MOCK_RTS &&
			 posted_without_fence(&f, OP_TMF_RESPONSE);
	}
	CU_ASSERT(!early);
	leave(&f);
}

/* Reads that wait for their turn are dropped with their task. */
static void an_abort_posts_no_more_reads(void)
{
	struct fabric f;
	struct mock_region *from[6];
	uint32_t task[6], reads;

	login(&f, "ram:1M");
	for (uint32_t i = 0; i < 6; i++) {
		from[i] = region_with(4096, 9);
		task[i] = command(&f, 0x2a, i * 8, 8, from[i], NULL, 0);
	}
	rig_turn(&f.rig);
	reads = mock_send_count(f.qp);
	CU_ASSERT_EQUAL(reads, 4); /* what the initiator answers */
	task_management(&f, TMF_ABORT_TASK, task[5]);
	rig_turn(&f.rig);
	CU_ASSERT(posted(&f, OP_TMF_RESPONSE)); /* nothing of it was under way */
	from[5]->dead = true;
	settle(&f);
	CU_ASSERT_EQUAL(from[4]->touched, 1);
	CU_ASSERT_EQUAL(from[5]->touched, 0);
	CU_ASSERT_PTR_NOT_NULL(conn);
	leave(&f);
}

/* --- The end */

static void the_device_goes_with_commands_under_way(void)
{
	struct fabric f;

	login(&f, "ram:1M");
	mock.hold_flush = true;
	for (uint32_t i = 0; i < 8; i++)
		command(&f, i % 2 ? 0x28 : 0x2a, i * 8, 8, region_with(4096, 9), NULL, 0);
	rig_turn(&f.rig);
	event(&f, RDMA_CM_EVENT_DEVICE_REMOVAL);
	mock_flush_recv(f.qp, UINT32_MAX);
	rig_turn(&f.rig);
	CU_ASSERT_PTR_NOT_NULL(conn); /* the send queue has not come back */
	mock_flush_send(f.qp, UINT32_MAX);
	rig_turn(&f.rig);
	CU_ASSERT_PTR_NULL(conn);
	leave(&f);
}

UNIT_MAIN(TEST(the_extensions_are_negotiated),
	  TEST(a_normal_session_without_the_extensions_is_refused), TEST(what_is_written_is_read),
	  TEST(immediate_data_and_the_rest), TEST(a_small_write_without_a_key),
	  TEST(a_disk_that_cannot_be_registered), TEST(a_window_of_reads), TEST(sense_fits),
	  TEST(a_bad_key_is_never_good), TEST(abort_task_waits_for_the_read),
	  TEST(lun_reset_waits_for_the_read), TEST(no_response_outruns_a_read_that_hangs),
	  TEST(an_abort_posts_no_more_reads), TEST(the_device_goes_with_commands_under_way));
