// SPDX-License-Identifier: BSD-2-Clause
/*
 * iSER: the RDMA transport, the session layer, the SCSI layer and a RAM disk on a verbs provider
 * that exists in memory only. The input is a script of what an initiator, a device and the
 * connection manager do. Whatever it is: no rule of the provider is broken, the connection closes
 * once, nothing is left behind, and no status GOOD follows an RDMA operation that failed.
 *
 * Input: a byte of enum mode, a byte of enum device, then steps: a byte of enum step and its
 * arguments.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "session/internal.h"
#include "tests/lib/mock_verbs.h"
#include "transport/rdma/rdma.h"

enum mode {
	MODE_LOGGED_IN = 0x01, /* behind a login of ours */
	MODE_EARLY = 0x02, /* no ESTABLISHED but by a step */
	MODE_HOLD = 0x04, /* in error the queues wait for STEP_FLUSH */
	MODE_NO_INLINE = 0x08,
	MODE_NO_INVALIDATE = 0x10,
	MODE_IWARP = 0x20,
	MODE_DEPTH_1 = 0x40, /* the initiator answers one RDMA Read at a time */
	MODE_TURNS = 0x80, /* a turn after every step */
};

enum device {
	DEVICE_SHARED = 0x01, /* receives */
	DEVICE_FEW_KEYS = 0x02, /* does not register the RAM disk: reads are copied */
};

enum step {
	STEP_TURN,
	STEP_RAW, /* u16 length, bytes: a Send as it is */
	STEP_PDU, /* 48 bytes of header, u16 length, data: numbers and lengths are put right */
	STEP_COMMAND, /* see command() */
	STEP_DATA_OUT, /* u8 which command, u8 DataSN, u16 offset, u16 length, u8 F bit */
	STEP_ABORT, /* u8 function, u8 which command */
	STEP_SUCCESS, /* u8: so many work requests end well */
	STEP_ERROR, /* u8: status of the oldest one */
	STEP_FLUSH, /* u8 sends, u8 receives */
	STEP_BREAK, /* the queue pair goes into error */
	STEP_EVENT, /* u8: of the connection manager */
	STEP_TIME, /* u8: tenths of a second */
	STEP_FAIL, /* u8 function, u8 which of its calls */
	STEP_WITHDRAW, /* u8: which key of the initiator */
	STEP_ALL, /* everything is carried out until nothing is left to do */
	STEP_DEVICE, /* u8 event of its own, 0: none; and what it has to say is heard */
	STEPS,
};

enum { DISK_SIZE = 64 << 10, DATA_MAX = RECV_DATA + 512, REGIONS_MAX = 64, FIRST_CMDSN = 1 };

struct input {
	const uint8_t *p;
	size_t left;
};

/* One life of the target. */
static struct {
	struct backstore *bs; /* kept over the inputs */
	struct lu *lu;
	struct scsi_target target;
	struct target_config config;
	struct server *server;
	struct conn *conn; /* NULL: not accepted, or closed */
	unsigned int accepted, closed;
	struct rdma_cm_id *id;
	struct rdma_shard *shard;
	uint32_t cmdsn, itt, regions;
	bool failed; /* a work request has ended with an error */
} run;

static struct slab *slab;
static struct reactor *reactor;

static const char login_keys[] = "InitiatorName=iqn.2026-11.localhost:fuzz\0"
				 "TargetName=iqn.2026-11.localhost:riser\0"
				 "SessionType=Normal\0"
				 "RDMAExtensions=Yes\0"
				 "InitialR2T=No\0"
				 "ImmediateData=Yes\0"
				 "MaxBurstLength=16384\0"
				 "FirstBurstLength=8192\0"
				 "InitiatorRecvDataSegmentLength=8192\0"
				 "TargetRecvDataSegmentLength=8192";

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_iser: %s\n", what);
	abort();
}

static uint8_t take_u8(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static uint16_t take_u16(struct input *in)
{
	uint16_t high = take_u8(in);

	return (uint16_t)(high << 8 | take_u8(in));
}

/* At most `size` bytes; the rest of len is skipped, what is missing is zeros. */
static void take_bytes(struct input *in, void *to, size_t size, size_t len)
{
	size_t have = len < in->left ? len : in->left;

	memset(to, 0, size);
	memcpy(to, in->p, have < size ? have : size);
	in->p += have;
	in->left -= have;
}

/* --- The target */

static void accepted(void *ctx, struct conn *conn)
{
	run.conn = conn;
	run.accepted++;
	session_conn_up.accepted(ctx, conn);
}

static void closed(struct conn *conn)
{
	require(conn == run.conn, "closed() came twice or for nobody");
	session_conn_up.closed(conn);
	run.conn = NULL;
	run.closed++;
}

static void turn(void)
{
	while (reactor_turn(reactor))
		;
}

static void cm_event(enum rdma_cm_event_type type)
{
	if (!mock_id_alive(run.id))
		return;
	mock_event(run.id, type, 0);
	run.shard->wake.done(&run.shard->wake, 1, IORING_CQE_F_MORE);
	run.shard->polling = false; /* a virtual reactor polls no descriptor */
}

static void start_target(void)
{
	struct lu_config lu = { .bs = run.bs, .serial = "FUZZ", .product = "ram", .reactors = 1 };
	struct server_config cfg = {
		.targets = &run.config,
		.target_count = 1,
		.limits = server_default_limits,
		.reactors = &reactor,
		.reactor_count = 1,
	};

	cfg.limits.window = 8;
	memset(bs_borrow(run.bs, 0, DISK_SIZE), 0xd5, DISK_SIZE);
	require(!lu_create(&lu, &run.lu, (char[256]){ 0 }, 256), "lu_create");
	memset(&run.target, 0, sizeof(run.target));
	snprintf(run.target.name, sizeof(run.target.name), "iqn.2026-11.localhost:riser");
	run.target.ports[0] = (struct target_port){ .tag = 1, .relative = 1 };
	run.target.port_count = 1;
	run.target.lun[0] = run.lu;
	run.config = (struct target_config){ .scsi = &run.target, .allow_any = true };
	require(!server_create(&cfg, &run.server), "server_create");
}

static void start_device(uint8_t mode, uint8_t device)
{
	uint8_t *disk = bs_borrow(run.bs, 0, DISK_SIZE);

	mock_begin();
	setenv("RISER_RDMA_SRQ", device & DEVICE_SHARED ? "on" : "off", 1);
	if (device & DEVICE_FEW_KEYS)
		mock_forbid(disk, DISK_SIZE);
	mock.attr.max_cqe = CQ_PER_CONN;
	mock.hold_flush = mode & MODE_HOLD;
	if (mode & MODE_NO_INLINE)
		mock.max_inline = 0;
	if (mode & MODE_NO_INVALIDATE)
		mock.attr.device_cap_flags = 0;
	mock.iwarp = mode & MODE_IWARP;
	if (mock.iwarp)
		mock.device.transport_type = IBV_TRANSPORT_IWARP;
}

static void start(uint8_t mode, uint8_t device)
{
	static struct conn_up up;
	struct rdma_request request = { .responder_resources = 1, .send_w_inv = true };
	struct rdma_conn *c;

	up = session_conn_up;
	up.accepted = accepted;
	up.closed = closed;
	run.accepted = run.closed = 0;
	run.cmdsn = FIRST_CMDSN;
	run.itt = run.regions = 0;
	run.failed = false;
	start_device(mode, device);
	start_target();
	request.ord = mode & MODE_DEPTH_1 ? 1 : 4;
	run.id = mock_id_new();
	run.shard = rdma_shard_get(reactor);
	require(run.shard && !rdma_lib.rdma_migrate_id(run.id, run.shard->channel), "no shard");
	atomic_fetch_add(&reactor->load, 1);
	c = rdma_conn_new(reactor, run.id, &request, &up, run.server);
	require(c != NULL, "rdma_conn_new");
	c->shard = rdma_shard_get(reactor);
	reactor_post(reactor, &c->arrive);
	turn();
	if (!(mode & MODE_EARLY))
		cm_event(RDMA_CM_EVENT_ESTABLISHED);
}

static void finish(void)
{
	const struct reactor_state *rs = run.server->reactors;
	const char *wrong;

	mock.hold_flush = false;
	for (int i = 0; i < 20; i++) {
		if (mock_qp_latest())
			mock_qp_error(mock_qp_latest());
		/* No flushed receive says so when they are shared. */
		cm_event(RDMA_CM_EVENT_DISCONNECTED);
		turn();
		reactor_advance(reactor, NSEC_PER_SEC);
	}
	require(!run.conn && run.closed == run.accepted, "the connection did not close");
	require(run.server->connections == 0 && rs->unauthenticated_count == 0 &&
			list_empty(&rs->connections) && list_empty(&rs->unauthenticated),
		"a connection is left");
	require(list_empty(&rs->sessions) && list_empty(&rs->abort_waits), "a session is left");
	require(slab_in_use(slab) == 0, "memory is left");
	require(atomic_load(&reactor->load) == 0, "the reactor still counts a connection");
	rdma_shard_put(run.shard);
	server_destroy(run.server);
	lu_destroy(run.lu);
	wrong = mock_end();
	require(!wrong, wrong ? wrong : "");
}

/* --- The initiator */

static void deliver(const struct iser_header *ih, const union pdu_header *h, const void *data,
		    uint32_t len)
{
	static uint8_t message[HEADERS + DATA_MAX];

	if (!mock_qp_latest())
		return;
	memcpy(message, ih, sizeof(*ih));
	memcpy(message + sizeof(*ih), h, BHS_LEN);
	if (len)
		memcpy(message + HEADERS, data, len);
	mock_deliver(mock_qp_latest(), message, HEADERS + len);
}

static void raw(struct input *in)
{
	static uint8_t message[HEADERS + DATA_MAX];
	size_t len = take_u16(in) % sizeof(message);

	take_bytes(in, message, sizeof(message), len);
	if (mock_qp_latest())
		mock_deliver(mock_qp_latest(), message, (uint32_t)len);
}

static void put_numbers(union pdu_header *h, uint32_t len)
{
	h->bhs.total_ahs_len = 0;
	h->bhs.dlength = be24_of(len);
	h->nop_out.expstatsn = be32_of(0);
	if (pdu_opcode(&h->bhs) == OP_DATA_OUT)
		return;
	h->nop_out.cmdsn = be32_of(run.cmdsn);
	if (!pdu_immediate(&h->bhs))
		run.cmdsn++;
}

static void pdu(struct input *in)
{
	static const struct iser_header ih = { .flags = ISER_CTRL };
	static uint8_t data[DATA_MAX];
	union pdu_header h;
	uint32_t len;

	take_bytes(in, &h, BHS_LEN, BHS_LEN);
	len = take_u16(in) % DATA_MAX;
	take_bytes(in, data, sizeof(data), len);
	put_numbers(&h, len);
	deliver(&ih, &h, data, len);
}

static struct mock_region *advertise(uint32_t len)
{
	struct mock_region *region = mock_region_add(0x10000000ull * ++run.regions, len);

	memset(region->bytes, (int)run.regions, len);
	return region;
}

/* u8: 0x01 R, 0x02 W, 0x04 F, 0x08 RSV, 0x10 WSV, 0x20 the memory is shorter than EDTL, 0x40 WRITE
 * (10), else READ (10), 0x80 the CDB follows; u16 EDTL, u16 immediate data, u8 block. */
static void command(struct input *in)
{
	static uint8_t data[DATA_MAX];
	struct iser_header ih = { .flags = ISER_CTRL };
	union pdu_header h = { .scsi_command = { .opcode = OP_SCSI_COMMAND } };
	uint8_t flags = take_u8(in);
	uint32_t edtl = take_u16(in), immediate = take_u16(in) % DATA_MAX;
	uint8_t *cdb = h.scsi_command.cdb;

	h.bhs.itt = be32_of(run.itt++);
	h.bhs.flags = (flags & 1 ? CMD_READ : 0) | (flags & 2 ? CMD_WRITE : 0) |
		      (flags & 4 ? CMD_FINAL : 0) | ATTR_SIMPLE;
	h.scsi_command.edtl = be32_of(edtl);
	cdb[0] = flags & 0x40 ? 0x2a : 0x28;
	cdb[5] = take_u8(in) % 128;
	cdb[8] = (uint8_t)(edtl / 512);
	if (flags & 0x80)
		take_bytes(in, cdb, 16, 16);
	if (flags & 0x18 && run.regions < REGIONS_MAX) {
		struct mock_region *region = advertise(flags & 0x20 ? edtl / 2 : edtl);

		ih.flags |= (flags & 8 ? ISER_RSV : 0) | (flags & 0x10 ? ISER_WSV : 0);
		ih.read_stag = ih.write_stag = be32_of(region->rkey);
		ih.read_va = be64_of(region->va);
		ih.write_va = be64_of(region->va + immediate);
	}
	memset(data, 0x42, immediate);
	put_numbers(&h, immediate);
	deliver(&ih, &h, data, immediate);
}

static void data_out(struct input *in)
{
	static const struct iser_header ih = { .flags = ISER_CTRL };
	static uint8_t data[DATA_MAX];
	union pdu_header h = { .data_out = { .opcode = OP_DATA_OUT } };
	uint32_t len;

	h.data_out.itt = be32_of(run.itt - 1 - take_u8(in) % 8);
	h.data_out.ttt = be32_of(TAG_NONE);
	h.data_out.datasn = be32_of(take_u8(in));
	h.data_out.buffer_offset = be32_of(take_u16(in));
	len = take_u16(in) % DATA_MAX;
	h.data_out.flags = take_u8(in) & 1 ? PDU_FINAL : 0;
	put_numbers(&h, len);
	deliver(&ih, &h, data, len);
}

static void task_management(struct input *in)
{
	static const struct iser_header ih = { .flags = ISER_CTRL };
	union pdu_header h = { .tmf_request = { .opcode = OP_TMF_REQUEST | OPCODE_IMMEDIATE } };

	h.tmf_request.function = 0x80 | take_u8(in);
	h.tmf_request.rtt = be32_of(run.itt - 1 - take_u8(in) % 8);
	h.tmf_request.refcmdsn = be32_of(run.cmdsn - 1);
	h.tmf_request.itt = be32_of(run.itt++);
	put_numbers(&h, 0);
	deliver(&ih, &h, NULL, 0);
}

static void login(void)
{
	static const struct iser_header ih = { .flags = ISER_CTRL };
	union pdu_header h = { 0 };

	h.login_request.opcode = OP_LOGIN_REQUEST | OPCODE_IMMEDIATE;
	h.login_request.flags = 0x87; /* T, operational stage to full feature phase */
	h.login_request.isid.b[0] = 0x80;
	h.login_request.itt = be32_of(run.itt++);
	h.login_request.cmdsn = be32_of(FIRST_CMDSN);
	h.bhs.dlength = be24_of(sizeof(login_keys));
	deliver(&ih, &h, login_keys, sizeof(login_keys));
}

/* --- The device and the connection manager */

/* What the initiator gets after an operation of that queue pair has failed is nothing. */
static void read_messages(void)
{
	struct mock_qp *qp = mock_qp_latest();
	struct mock_message *msg;

	while (qp && (msg = mock_message_take(qp))) {
		require(!run.failed, "a message after an error");
		free(msg);
	}
}

static void carry_out(unsigned int n)
{
	struct mock_qp *qp = mock_qp_latest();

	while (n-- && qp && qp->state == MOCK_RTS && mock_send_end(qp, IBV_WC_SUCCESS))
		read_messages();
	run.failed |= qp && qp->state == MOCK_ERR;
}

static void carry_out_all(void)
{
	do {
		turn();
		carry_out(UINT32_MAX);
	} while (reactor_turn(reactor));
}

static void fail_one(uint8_t status)
{
	struct mock_qp *qp = mock_qp_latest();

	if (qp && qp->state == MOCK_RTS)
		run.failed |= mock_send_end(qp, 1 + status % IBV_WC_GENERAL_ERR);
}

static void flush(struct input *in)
{
	struct mock_qp *qp = mock_qp_latest();
	unsigned int sends = take_u8(in), receives = take_u8(in);

	if (!qp || qp->state != MOCK_ERR)
		return;
	mock_flush_send(qp, sends);
	mock_flush_recv(qp, receives);
}

static void fail_call(struct input *in)
{
	static const char *const functions[] = {
		"ibv_post_send", "ibv_post_recv",   "ibv_reg_mr",
		"ibv_modify_qp", "rdma_disconnect", "ibv_req_notify_cq",
	};
	const char *function = functions[take_u8(in) % array_size(functions)];

	mock_fail(function, take_u8(in));
}

/* A virtual reactor neither polls the device nor prepares for sleep. */
static void device_event(uint8_t which)
{
	struct rdma_cq *cq = run.conn ? rdma_conn_of(run.conn)->cq : NULL;

	if (!cq)
		return;
	if (which & 1)
		mock_async_cq(cq->cq);
	if (which & 2)
		mock_async(which & 4 ? IBV_EVENT_PORT_ERR : IBV_EVENT_DEVICE_FATAL, NULL);
	cq->device.done(&cq->device, 1, IORING_CQE_F_MORE);
	cq->watching = false;
	cq->poller.arm(&cq->poller);
}

static void withdraw(uint8_t which)
{
	struct mock_region *region = mock.regions;

	for (which %= REGIONS_MAX; region && which; which--)
		region = region->next;
	if (region)
		region->dead = true;
}

static void step(struct input *in)
{
	switch (take_u8(in) % STEPS) {
	case STEP_TURN: reactor_turn(reactor); break;
	case STEP_RAW: raw(in); break;
	case STEP_PDU: pdu(in); break;
	case STEP_COMMAND: command(in); break;
	case STEP_DATA_OUT: data_out(in); break;
	case STEP_ABORT: task_management(in); break;
	case STEP_SUCCESS: carry_out(take_u8(in)); break;
	case STEP_ERROR: fail_one(take_u8(in)); break;
	case STEP_FLUSH: flush(in); break;
	case STEP_BREAK:
		if (mock_qp_latest())
			mock_qp_error(mock_qp_latest());
		break;
	case STEP_EVENT: cm_event(take_u8(in) % (RDMA_CM_EVENT_TIMEWAIT_EXIT + 1)); break;
	case STEP_TIME: reactor_advance(reactor, take_u8(in) * (NSEC_PER_SEC / 10)); break;
	case STEP_FAIL: fail_call(in); break;
	case STEP_WITHDRAW: withdraw(take_u8(in)); break;
	case STEP_ALL: carry_out_all(); break;
	case STEP_DEVICE: device_event(take_u8(in)); break;
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct bs_spec spec;
	char why[256];

	(void)argc;
	(void)argv;
	log_set_level((enum log_level)0);
	require(!slab_create(32u << 20, &slab), "slab_create");
	require(!reactor_create_virtual(slab, &reactor), "reactor_create_virtual");
	require(!bs_parse("ram:64K", &spec, why, sizeof(why)), "bs_parse");
	require(!bs_open(&spec, &run.bs, why, sizeof(why)), "bs_open");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t mode = take_u8(&in), device = take_u8(&in);

	start(mode, device);
	if (mode & MODE_LOGGED_IN) {
		login();
		carry_out_all();
	}
	while (in.left) {
		step(&in);
		if (mode & MODE_TURNS)
			turn();
		read_messages();
		require(!mock_failure(), mock_failure() ? mock_failure() : "");
	}
	finish();
	return 0;
}
