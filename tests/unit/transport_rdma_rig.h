// SPDX-License-Identifier: BSD-2-Clause
/*
 * The RDMA transport between a recording session layer (transport_rig.h) and a verbs provider that
 * exists in memory only (tests/lib/mock_verbs.h). The test is the initiator: it sends messages,
 * ends what the target posted, and makes the connection manager's events.
 */
#ifndef RISER_TESTS_UNIT_TRANSPORT_RDMA_RIG_H
#define RISER_TESTS_UNIT_TRANSPORT_RDMA_RIG_H

#include <poll.h>

#include "core/log.h"
#include "tests/lib/mock_verbs.h"
#include "tests/unit/transport_rig.h"
#include "transport/rdma/rdma.h"

enum { ISER_WINDOW = 32, ISER_ORD = 4, ISER_MESSAGE_MAX = 32 << 10 };

/* An initiator and its connection. */
struct iser {
	struct rig *rig;
	struct rdma_cm_id *id;
	struct rdma_shard *shard; /* ours, so that it outlives the connection */
	struct remote_data remote; /* of the last SCSI Command */
	bool take; /* the session keeps pdu.buf: */
	struct buf *taken;
	const uint8_t *data; /* of the last PDU */
	unsigned int closed;
	struct mock_qp *qp;
};

/* What the initiator asked for in its connect request. */
static inline struct rdma_request iser_request(void)
{
	return (struct rdma_request){
		.ord = ISER_ORD,
		.responder_resources = 1,
		.send_w_inv = true,
	};
}

static inline struct conn_params iser_params(void)
{
	return (struct conn_params){
		.initial_r2t = false,
		.immediate_data = true,
		.max_recv_dsl = 8192,
		.max_xmit_dsl = 262144,
		.max_burst = 262144,
		.first_burst = 8192,
		.max_outstanding_r2t = 1,
		.rdma_extensions = true,
		.max_unexpected = UNEXPECTED_MAX,
		.max_ahs = AHS_MAX,
		.command_window = ISER_WINDOW,
	};
}

static inline void iser_pdu(struct rig *rig, struct pdu *pdu);

/* rig_accepted() has no place for more than the rig: one iser at a time. */
static struct iser *iser_now;

static inline void iser_pdu(struct rig *rig, struct pdu *pdu)
{
	struct iser *in = iser_now;

	(void)rig;
	in->data = pdu->data;
	if (pdu_opcode(&pdu->h.bhs) == OP_SCSI_COMMAND)
		in->remote = pdu->remote;
	if (in->take && pdu->buf) {
		in->taken = pdu->buf;
		pdu->buf = NULL;
	}
}

/* The session hangs up when it is told to. */
static inline void iser_error(struct rig *rig, bool fatal)
{
	if (fatal)
		conn_close(rig->conn, true);
}

static inline void iser_closed(struct conn *conn)
{
	CU_ASSERT_EQUAL(conn->bytes_queued, 0);
	iser_now->closed++;
	iser_now->qp = NULL;
	rig_closed(conn);
}

/* Of all transports only this one has this result. */
static inline void iser_done(struct conn *conn, struct transfer *t)
{
	struct rig *rig = conn->user;

	if (t->result != TRANSFER_NO_MEMORY) {
		rig_transfer_done(conn, t);
		return;
	}
	rig_note(rig, "done %x no memory %u\n", be32_get(t->h.bhs.itt), t->received);
	if (rig->on_done)
		rig->on_done(rig, t);
}

/* What the connection manager has said reaches its connection. */
static inline void iser_events(struct iser *in)
{
	in->shard->wake.done(&in->shard->wake, POLLIN, IORING_CQE_F_MORE);
	in->shard->polling = false; /* a virtual reactor polls no descriptor */
}

static inline void iser_event(struct iser *in, enum rdma_cm_event_type type)
{
	if (!mock_id_alive(in->id))
		return;
	mock_event(in->id, type, 0);
	iser_events(in);
}

static inline void iser_turn(struct iser *in)
{
	rig_turn(in->rig);
}

/* Everything that was posted is carried out, and what that brings, until nothing is left to do. */
static inline void iser_settle(struct iser *in)
{
	do
		iser_turn(in);
	while (in->qp && mock_send_all(in->qp));
}

/* A world with a connect request on its way; the device can be changed before iser_arrive(). */
static inline struct iser *iser_begin(void)
{
	struct iser *in = calloc(1, sizeof(*in));

	if (!in)
		abort();
	log_set_level(LOG_LEVEL_ERROR);
	mock_begin();
	in->rig = rig_create();
	in->rig->on_pdu = iser_pdu;
	in->rig->on_error = iser_error;
	iser_now = in;
	return in;
}

static inline void iser_arrive(struct iser *in, const struct rdma_request *request)
{
	static struct conn_up up;
	struct rdma_conn *c;

	up = rig_up;
	up.closed = iser_closed;
	up.transfer_done = iser_done;
	in->id = mock_id_new();
	in->shard = rdma_shard_get(in->rig->r);
	if (!in->shard || rdma_lib.rdma_migrate_id(in->id, in->shard->channel))
		abort();
	atomic_fetch_add(&in->rig->r->load, 1);
	c = rdma_conn_new(in->rig->r, in->id, request, &up, in->rig);
	if (!c)
		abort();
	c->shard = rdma_shard_get(in->rig->r);
	reactor_post(in->rig->r, &c->arrive);
	iser_turn(in);
	in->qp = mock_qp_latest();
}

static inline void iser_establish(struct iser *in)
{
	iser_event(in, RDMA_CM_EVENT_ESTABLISHED);
	iser_turn(in);
}

/* In full feature phase. */
static inline struct iser *iser_with(const struct rdma_request *request,
				     const struct conn_params *params)
{
	struct iser *in = iser_begin();

	iser_arrive(in, request);
	iser_establish(in);
	conn_apply_keys(in->rig->conn, params);
	iser_turn(in);
	return in;
}

static inline struct iser *iser_create(void)
{
	struct rdma_request request = iser_request();
	struct conn_params params = iser_params();

	return iser_with(&request, &params);
}

/* One more connection beside those that are there, logged in: iser is now about this one. */
static inline struct conn *iser_another(struct iser *in, const struct conn_params *params)
{
	struct rdma_request request = iser_request();

	rdma_shard_put(in->shard);
	iser_arrive(in, &request);
	iser_establish(in);
	conn_apply_keys(in->rig->conn, params);
	iser_turn(in);
	return in->rig->conn;
}

/* Closes all of them. */
static inline void iser_close_all(struct iser *in)
{
	struct list *node;

	list_for_each(node, &mock.qp_list) {
		struct mock_qp *qp = list_entry(node, struct mock_qp, node);

		conn_close(&((struct rdma_conn *)qp->ibv.qp_context)->base, false);
	}
	reactor_advance(in->rig->r, 2 * DRAIN_SECONDS * NSEC_PER_SEC);
	CU_ASSERT_EQUAL(mock.qps, 0);
}

/* Closes what is open; everything must have come back, and no rule been broken. */
static inline void iser_destroy(struct iser *in)
{
	const char *wrong;

	mock.hold_flush = false;
	if (in->qp && in->qp->state == MOCK_ERR)
		mock_qp_error(in->qp); /* flushes what was held */
	if (in->rig->conn)
		conn_close(in->rig->conn, false);
	reactor_advance(in->rig->r, 2 * DRAIN_SECONDS * NSEC_PER_SEC);
	if (in->taken)
		buf_put(in->rig->r, in->taken);
	rdma_shard_put(in->shard);
	rig_destroy(in->rig);
	wrong = mock_end();
	if (wrong)
		CU_FAIL("see stderr");
	if (wrong)
		fprintf(stderr, "# verbs: %s\n", wrong);
	iser_now = NULL;
	free(in);
}

/* --- Messages */

/* An iSER header and what follows. */
struct message {
	uint32_t len;
	struct iser_header ih;
	union pdu_header h;
	uint8_t rest[ISER_MESSAGE_MAX];
};

/* dlength and total_ahs_len are filled in; no padding. */
static inline void message_pdu(struct message *m, const union pdu_header *h, const void *ahs,
			       uint32_t ahs_len, const void *data, uint32_t len)
{
	memset(m, 0, offsetof(struct message, rest));
	m->ih.flags = ISER_CTRL;
	m->h = *h;
	m->h.bhs.total_ahs_len = (uint8_t)(ahs_len / 4);
	m->h.bhs.dlength = be24_of(len);
	if (ahs_len)
		memcpy(m->rest, ahs, ahs_len);
	if (len)
		memcpy(m->rest + ahs_len, data, len);
	m->len = HEADERS + ahs_len + len;
}

/* A PDU that the transport only passes on: payload is the pattern of its itt. */
static inline void message_plain(struct message *m, uint8_t opcode, uint32_t itt, uint32_t len)
{
	union pdu_header h = { .bhs = { .opcode = opcode, .flags = PDU_FINAL } };
	static uint8_t data[ISER_MESSAGE_MAX];

	rig_pattern(data, len, itt);
	h.bhs.itt = be32_of(itt);
	message_pdu(m, &h, NULL, 0, data, len);
}

/* flags: R, W and F bits. */
static inline void message_command(struct message *m, uint32_t itt, uint8_t flags, uint32_t edtl,
				   uint32_t immediate)
{
	message_plain(m, OP_SCSI_COMMAND, itt, immediate);
	m->h.scsi_command.flags = flags;
	m->h.scsi_command.edtl = be32_of(edtl);
}

static inline void message_reads(struct message *m, const struct mock_region *to)
{
	m->ih.flags |= ISER_RSV;
	m->ih.read_stag = be32_of(to->rkey);
	m->ih.read_va = be64_of(to->va);
}

/* The address is that of the first byte that is not sent unasked. */
static inline void message_writes(struct message *m, const struct mock_region *from, uint32_t skip)
{
	m->ih.flags |= ISER_WSV;
	m->ih.write_stag = be32_of(from->rkey);
	m->ih.write_va = be64_of(from->va + skip);
}

static inline void message_data_out(struct message *m, uint32_t itt, uint32_t ttt, uint32_t datasn,
				    uint32_t offset, uint32_t len, bool final)
{
	static uint8_t data[ISER_MESSAGE_MAX];
	union pdu_header h = { .data_out = { .opcode = OP_DATA_OUT } };

	rig_pattern(data, offset + len, itt);
	h.data_out.flags = final ? PDU_FINAL : 0;
	h.bhs.itt = be32_of(itt);
	h.data_out.ttt = be32_of(ttt);
	h.data_out.datasn = be32_of(datasn);
	h.data_out.buffer_offset = be32_of(offset);
	message_pdu(m, &h, NULL, 0, data + offset, len);
}

static inline enum mock_delivery iser_send(struct iser *in, const struct message *m)
{
	enum mock_delivery d = mock_deliver(in->qp, &m->ih, m->len);

	iser_turn(in);
	return d;
}

/* A READ of the whole region, up to the session. */
static inline struct mock_region *iser_read(struct iser *in, uint32_t itt, uint32_t len)
{
	struct mock_region *region = mock_region_add(0x7f0000100000 + 0x10000000ull * itt, len);
	static struct message m;

	message_command(&m, itt, CMD_FINAL | CMD_READ, len, 0);
	message_reads(&m, region);
	iser_send(in, &m);
	return region;
}

/* A WRITE of the whole region without immediate data. */
static inline struct mock_region *iser_write(struct iser *in, uint32_t itt, uint32_t len)
{
	struct mock_region *region = mock_region_add(0x7f0000100000 + 0x10000000ull * itt, len);
	static struct message m;

	rig_pattern(region->bytes, len, itt);
	message_command(&m, itt, CMD_FINAL | CMD_WRITE, len, 0);
	message_writes(&m, region, 0);
	iser_send(in, &m);
	return region;
}

/* --- What the session does */

/* A transfer for the last command, with memory of the slab unless data is given. */
static inline struct transfer *iser_transfer(struct iser *in, uint32_t itt, void *data,
					     uint32_t offset, uint32_t len)
{
	struct transfer *t = &in->rig->transfer[in->rig->transfers++];

	if (in->rig->transfers > RIG_TRANSFERS)
		abort();
	memset(t, 0, sizeof(*t));
	t->h.bhs.itt = be32_of(itt);
	t->remote = in->remote;
	t->offset = offset;
	t->len = len;
	t->data = data;
	return t;
}

/* Data for the last command, with GOOD behind it. */
static inline struct transfer *iser_put(struct iser *in, uint32_t itt, void *data, uint32_t len)
{
	struct transfer *t = iser_transfer(in, itt, data, 0, len);

	t->with_status = t->final = true;
	t->h.data_in.flags = PDU_FINAL | DATA_IN_STATUS;
	t->h.data_in.statsn = be32_of(itt + 1000);
	conn_put_data(in->rig->conn, t);
	return t;
}

static inline struct transfer *iser_get(struct iser *in, uint32_t itt, void *data, uint32_t offset,
					uint32_t len)
{
	struct transfer *t = iser_transfer(in, itt, data, offset, len);

	conn_get_data(in->rig->conn, t);
	return t;
}

static inline struct buf *iser_buf(struct iser *in, uint32_t len)
{
	struct buf *b = buf_get(in->rig->r, len);

	if (!b)
		abort();
	return b;
}

static inline void iser_buf_put(struct iser *in, struct buf *b)
{
	buf_put(in->rig->r, b);
}

/* All the memory that the transport could take, as a chain. */
static inline struct buf *iser_hoard(struct iser *in)
{
	struct buf *hoard = NULL, *b;
	unsigned int idle = 0;

	/* When it runs out, the slab collects what is left: by the next turn there may be more. */
	while (idle++ < 5) {
		iser_turn(in);
		for (uint32_t len = BUF_MAX; len >= BUF_MIN; len /= 2) {
			while ((b = buf_get(in->rig->r, len))) {
				b->next = hoard;
				hoard = b;
				idle = 0;
			}
		}
	}
	return hoard;
}

static inline void iser_hoard_put(struct iser *in, struct buf *hoard)
{
	for (struct buf *next; hoard; hoard = next) {
		next = hoard->next;
		buf_put(in->rig->r, hoard);
	}
}

static inline void iser_sent(struct tx_pdu *pdu)
{
	(void)pdu;
	iser_now->rig->sent++;
}

static inline void iser_respond(struct iser *in, struct tx_pdu *pdu, uint8_t opcode, uint32_t itt,
				const void *data, uint32_t len)
{
	memset(pdu, 0, sizeof(*pdu));
	pdu->h.bhs.opcode = opcode;
	pdu->h.bhs.flags = PDU_FINAL;
	pdu->h.bhs.itt = be32_of(itt);
	pdu->data = data;
	pdu->data_len = len;
	pdu->sent = iser_sent;
	conn_send_pdu(in->rig->conn, pdu);
}

/* The PDU header in a message that the initiator got. */
static inline const union pdu_header *message_header(const struct mock_message *msg)
{
	return (const union pdu_header *)(msg->bytes + sizeof(struct iser_header));
}

#endif
